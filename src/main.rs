//! The command: parses what was typed, runs it, and exits with what came of it.

use std::process::ExitCode;

use clap::Parser;
use ringstall::cli::Cli;
use ringstall::commands;
use ringstall::config::Environment;
use ringstall::report::{Reporter, set_colors};

fn main() -> ExitCode {
    let cli = Cli::parse();
    set_colors(cli.output.color);
    let reporter = Reporter { is_quiet: cli.output.quiet, is_verbose: cli.output.verbose };
    match commands::run(&cli, &Environment::from_process(), reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.error(&error);
            ExitCode::FAILURE
        }
    }
}
