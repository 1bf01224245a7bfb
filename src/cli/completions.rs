//! `ringstall completions`: the scripts that complete its command line, made from its own options.

use std::io;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::Cli;

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    #[arg(value_enum)]
    pub shell: ShellArgument,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShellArgument {
    Bash,
    Fish,
    Zsh,
}

/// The script as text.
pub fn write_completions(arguments: &CompletionsArguments) -> io::Result<String> {
    let shell = match arguments.shell {
        ShellArgument::Bash => Shell::Bash,
        ShellArgument::Fish => Shell::Fish,
        ShellArgument::Zsh => Shell::Zsh,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "ringstall", &mut script);
    String::from_utf8(script).map_err(io::Error::other)
}
