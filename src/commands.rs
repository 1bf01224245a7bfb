//! What each command does with what was typed: settings are resolved here, once, and the library
//! is called with values.

use crate::cli::{Cli, Command};
use crate::config::Environment;
use crate::error::Result;
use crate::report::Reporter;

mod cache;
mod ci;
mod doctor;
mod resolve;

/// Runs the command that was typed.
pub fn run(cli: &Cli, environment: &Environment, reporter: Reporter) -> Result<()> {
    match &cli.command {
        Command::Ci(arguments) => ci::run(arguments, environment, reporter),
        Command::Cache(arguments) => cache::run(arguments, environment, reporter),
        Command::Doctor(arguments) => doctor::run(arguments, environment, reporter),
    }
}
