//! `ringstall man`: the manual pages, made from the same words as `--help`.

use std::io;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::Cli;

#[derive(Debug, Args)]
pub struct ManualArguments {
    /// The command to print the page of [default: the page of ringstall itself]
    pub command: Option<String>,
}

/// The page as roff; `None` where there is no such command.
pub fn write_manual(arguments: &ManualArguments) -> io::Result<Option<String>> {
    let mut whole = Cli::command().disable_help_subcommand(true);
    // Global options and full names are given to the commands when all is built.
    whole.build();
    let command = match &arguments.command {
        None => Some(whole),
        Some(name) => {
            let found = whole.find_subcommand(name).cloned();
            found.map(|command| {
                let name = format!("ringstall-{}", command.get_name());
                command.display_name(name)
            })
        }
    };
    let Some(command) = command else { return Ok(None) };
    let mut page = Vec::new();
    let version = concat!("ringstall ", env!("CARGO_PKG_VERSION"));
    Man::new(command).source(version).render(&mut page)?;
    String::from_utf8(page).map(Some).map_err(io::Error::other)
}
