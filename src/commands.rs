//! What each command does with what was typed: settings are resolved here, once, and the library
//! is called with values.

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::config::Environment;
use crate::error::Result;
use crate::journal::Journal;
use crate::report::Reporter;

mod bench;
mod cache;
mod ci;
mod colors;
mod doctor;
mod fetch;
mod resolve;
mod session;
mod texts;

/// Runs the command that was typed, and tells what came of it.
pub fn run(cli: &Cli, environment: &Environment) -> ExitCode {
    colors::set(&cli.output, None, environment);
    let reporter = |stdout| resolve::reporter(&cli.output, stdout, None, environment);
    let text = reporter(resolve::stdout_of(false));
    match &cli.command {
        Command::Ci(arguments) => ci::run(arguments, &cli.output, environment),
        Command::Fetch(arguments) => fetch::run(arguments, &cli.output, environment),
        Command::Cache(arguments) => conclude(text, cache::run(arguments, environment, text)),
        Command::Doctor(arguments) => {
            let reporter = reporter(resolve::stdout_of(arguments.json));
            conclude(reporter, doctor::run(arguments, environment, reporter))
        }
        Command::Bench(arguments) => {
            let reporter = reporter(resolve::stdout_of(arguments.form.json));
            conclude(reporter, bench::run(arguments, environment, reporter))
        }
        Command::Completions(arguments) => conclude(text, texts::completions(arguments, text)),
        Command::Man(arguments) => conclude(text, texts::manual(arguments, text)),
    }
}

fn conclude(reporter: Reporter, result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.conclude_error(&error, &Journal::default());
            ExitCode::FAILURE
        }
    }
}
