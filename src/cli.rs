//! The command line: what can be typed, and nothing of what it means.

use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};

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

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more of what is done
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct CiArguments {
    /// The project's folder
    #[arg(short = 'C', long = "prefix", value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// Where unpacked packages are kept [default: $XDG_CACHE_HOME/ringstall]
    #[arg(long, value_name = "DIR", env = "RINGSTALL_CACHE")]
    pub cache: Option<PathBuf>,
    /// The registry for packages without a scope's own
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,

    /// Leave out a kind of dependency; can be given several times
    #[arg(long, value_name = "KIND", help_heading = "Which packages")]
    pub omit: Vec<DependencyKind>,
    /// Install a kind of dependency in spite of --omit or NODE_ENV
    #[arg(long, value_name = "KIND", help_heading = "Which packages")]
    pub include: Vec<DependencyKind>,
    /// Install for another operating system, as node names it
    #[arg(long, help_heading = "Which packages")]
    pub os: Option<String>,
    /// Install for another processor, as node names it
    #[arg(long, help_heading = "Which packages")]
    pub cpu: Option<String>,
    /// Install for another C library: glibc or musl
    #[arg(long, help_heading = "Which packages")]
    pub libc: Option<String>,
    /// Fail where a package's `engines` do not match, instead of warning
    #[arg(long, help_heading = "Which packages")]
    pub engine_strict: bool,
    /// Ignore peer dependencies, as the author of the lockfile did
    #[arg(long, help_heading = "Which packages")]
    pub legacy_peer_deps: bool,

    /// Run no lifecycle scripts (none are run yet) and say nothing of them
    #[arg(long)]
    pub ignore_scripts: bool,
    /// Make no links in node_modules/.bin
    #[arg(long)]
    pub no_bin_links: bool,
    /// How files get from the cache into node_modules
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub link_mode: LinkModeArgument,
    /// How many threads place files [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,

    /// How files are made and placed
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE", env = "RINGSTALL_IO")]
    #[arg(help_heading = "Engines")]
    pub io: FileEngineArgument,
    /// How tarballs are downloaded
    #[arg(long, value_enum, default_value_t, value_name = "DRIVER", env = "RINGSTALL_NET")]
    #[arg(help_heading = "Engines")]
    pub net: NetworkDriverArgument,

    /// Print the summary as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Print where the time went, and what was used of the machine
    #[arg(long, help_heading = "Output")]
    pub stats: bool,

    // What scripts in the wild pass to `npm ci` and what has no effect here.
    #[arg(long, hide = true)]
    no_audit: bool,
    #[arg(long, hide = true)]
    no_fund: bool,
    #[arg(long, hide = true)]
    no_progress: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The project's folder
    #[arg(short = 'C', long = "prefix", value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// Where unpacked packages are kept [default: $XDG_CACHE_HOME/ringstall]
    #[arg(long, value_name = "DIR", env = "RINGSTALL_CACHE")]
    pub cache: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CacheArguments {
    #[command(subcommand)]
    pub action: CacheAction,
    /// Where unpacked packages are kept [default: $XDG_CACHE_HOME/ringstall]
    #[arg(long, global = true, value_name = "DIR", env = "RINGSTALL_CACHE")]
    pub cache: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum CacheAction {
    /// Print where the cache is
    Dir,
    /// Remove all that is in the cache
    Clean,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DependencyKind {
    Dev,
    Optional,
    Peer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LinkModeArgument {
    /// Hard link, else clone, else copy
    #[default]
    Auto,
    Hardlink,
    /// Share the extents but not the inode (btrfs, xfs)
    Clone,
    Copy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FileEngineArgument {
    /// For each kind of operation and filesystem, what was measured best
    #[default]
    Auto,
    /// Batches on io_uring; fails where the kernel refuses it
    Ring,
    /// Plain system calls on threads
    Threads,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworkDriverArgument {
    /// The ring where the kernel allows it, else epoll
    #[default]
    Auto,
    /// Batches on io_uring; fails where the kernel refuses it
    Ring,
    /// The tokio-uring crate, for comparison; fails where the kernel refuses io_uring
    TokioUring,
    /// Readiness by epoll, one system call for each read and write
    Epoll,
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
