//! The command line: what can be typed, and nothing of what it means.
//!
//! Each command has a file of its own; options that several commands have are groups in files of
//! theirs, which the commands take up whole.

use clap::{Parser, Subcommand};

mod cache;
mod ci;
mod doctor;
mod engines;
mod folders;
mod output;
mod placing;
mod settings;

pub use cache::{CacheAction, CacheArguments};
pub use ci::CiArguments;
pub use doctor::DoctorArguments;
pub use engines::{EngineArguments, FileEngineArgument, NetworkDriverArgument};
pub use folders::{CacheFolderArguments, ProjectArguments};
pub use output::{OutputArguments, SummaryArguments};
pub use placing::{LinkModeArgument, PlacingArguments};
pub use settings::{DependencyKind, PackageArguments, ScriptArguments, SettingArguments};

/// Installs npm projects from their lockfile: the tree of `npm ci`, in a fraction of the time.
#[derive(Debug, Parser)]
#[command(name = "ringstall", version, propagate_version = true, max_term_width = 100)]
#[command(args_override_self = true)]
#[command(after_help = "Run `ringstall ci` in a project that has a package-lock.json.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Empty node_modules and install exactly what the lockfile says, as `npm ci` does
    #[command(visible_alias = "clean-install")]
    Ci(Box<CiArguments>),
    /// Look after the cache of unpacked packages
    Cache(CacheArguments),
    /// Tell what this machine allows: io_uring, links, limits, and which engines are taken
    Doctor(DoctorArguments),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
