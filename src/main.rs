//! The command: parses what was typed, runs it, and exits with what came of it.

use std::process::ExitCode;

use ringstall::config::Environment;
use ringstall::{cli, commands};

fn main() -> ExitCode {
    commands::run(&cli::parse(), &Environment::from_process())
}
