//! The command line: what can be typed, and nothing of what it means.
//!
//! Each command has a file of its own; options that several commands have are groups in files of
//! theirs, which the commands take up whole.

use std::process;

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{Code, Error};
use crate::report::{Reporter, failure_json};

mod bench;
mod cache;
mod ci;
mod completions;
mod deadlines;
mod doctor;
mod engines;
mod fetch;
mod folders;
mod manual;
mod npm_commands;
mod output;
mod placing;
mod scripts;
mod settings;
mod strictness;
mod supply;
mod workspaces;

pub use bench::{
    BenchAction, BenchArguments, FillArguments, LineArguments, PackumentsArgument, ServeArguments,
};
pub use cache::{CacheAction, CacheArguments};
pub use ci::{CiArguments, ReuseArgument};
pub use completions::{CompletionsArguments, write_completions};
pub use deadlines::DeadlineArguments;
pub use doctor::DoctorArguments;
pub use engines::{EngineArguments, FileEngineArgument, NetworkDriverArgument};
pub use fetch::FetchArguments;
pub use folders::{CacheFolderArguments, ProjectArguments};
pub use manual::{ManualArguments, write_manual};
pub use output::{ColorArgument, LogLevelArgument, OutputArguments, SummaryArguments};
pub use placing::{LinkModeArgument, PlacingArguments};
pub use scripts::{ScriptArguments, ScriptsArgument};
pub use settings::{SettingArguments, spelled};
pub use strictness::StrictnessArguments;
pub use supply::SupplyArguments;
pub use workspaces::WorkspaceArguments;
use workspaces::without_shorthands;

/// Installs npm projects from their lockfile: the tree of `npm ci`, in a fraction of the time.
#[derive(Debug, Parser)]
#[command(name = "ringstall", version, propagate_version = true, max_term_width = 100)]
#[command(args_override_self = true)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub output: OutputArguments,
}

const AFTER_HELP: &str = "\
Run `ringstall ci` in a project that has a package-lock.json.

Exit status: 0 when all is done, 1 after an error, 2 for a command line that is not understood, \
and that of a lifecycle script which failed, as with npm. \
A run that a signal ends is ended by that signal: 130 for SIGINT and 143 for SIGTERM, as shells \
count them.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Empty node_modules and install exactly what the lockfile says, as `npm ci` does
    #[command(visible_alias = "clean-install")]
    #[command(aliases = ["ic", "install-clean", "isntall-clean"])]
    Ci(Box<CiArguments>),
    /// Fill the cache with what the lockfile needs, without package.json or any other file
    Fetch(Box<FetchArguments>),
    /// Look after the cache of unpacked packages
    Cache(CacheArguments),
    /// Compare installations with those of other package managers, phase by phase
    Bench(Box<BenchArguments>),
    /// Tell what this machine allows: io_uring, links, limits, and which engines are taken
    Doctor(DoctorArguments),
    /// Print a script that completes the command line, for a shell to read
    Completions(CompletionsArguments),
    /// Print the manual page, or that of a command, for `man -l -`
    Man(ManualArguments),
}

/// Parses the arguments of this process. Does not return where they are wrong, or ask for help.
pub fn parse() -> Cli {
    let words = spelled(without_shorthands(std::env::args_os()));
    let parsed = Cli::try_parse_from(words).and_then(|cli| cli.check().map(|()| cli));
    parsed.unwrap_or_else(|error| refuse(&error))
}

/// Exits with 2, or with 0 after help. What npm has and this command has not is pointed out, and
/// who asked for JSON gets it.
fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let unknown = error.get(ContextKind::InvalidSubcommand).map(ToString::to_string);
    let hint = unknown.and_then(|name| npm_commands::hint(&name));
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    match &hint {
        Some(hint) => Reporter::plain().error(hint),
        None => {
            let _ = error.print();
        }
    }
    if wants_json {
        let error = hint.unwrap_or_else(|| {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            Error::new(Code::Usage, first.trim_start_matches("error: "))
        });
        // It is told on stderr, and failed in any case.
        let _ = Reporter::plain().line(&failure_json(&error));
    }
    process::exit(2)
}

impl Cli {
    /// What clap cannot say: stdout is for one thing.
    fn check(&self) -> Result<(), clap::Error> {
        let SummaryArguments { events, json, stats, .. } = match &self.command {
            Command::Ci(arguments) => &arguments.summary,
            Command::Fetch(arguments) => &arguments.summary,
            _ => return Ok(()),
        };
        let has_events = events.as_deref().is_some_and(|path| path.as_os_str() == "-");
        if has_events && (*json || *stats) {
            let message = "`--events -` leaves no room on stdout for `--json` or `--stats`; give \
                           it the name of a file";
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
