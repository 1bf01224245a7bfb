//! `ringstall man`: the manual pages, made from the same words as `--help`.

use std::io;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::Cli;

#[derive(Debug, Args)]
pub struct ManualArguments {
    /// The command to print the page of [default: the page of ringstall itself]
    pub command: Vec<String>,
}

/// The page as roff; `None` where there is no such command. Commands have others below them, as
/// `cache prune`.
pub fn write_manual(arguments: &ManualArguments) -> io::Result<Option<String>> {
    let mut whole = Cli::command().disable_help_subcommand(true);
    // Global options and full names are given to the commands when all is built.
    whole.build();
    let mut command = &whole;
    let mut name = whole.get_name().to_owned();
    for word in &arguments.command {
        let Some(found) = command.find_subcommand(word) else { return Ok(None) };
        command = found;
        name = format!("{name}-{}", found.get_name());
    }
    let command = command.clone().display_name(name);
    let mut page = Vec::new();
    let version = concat!("ringstall ", env!("CARGO_PKG_VERSION"));
    Man::new(command).source(version).render(&mut page)?;
    String::from_utf8(page).map(Some).map_err(io::Error::other)
}
