//! Runs a command to which io_uring is refused, as it is in a container: `without-ring COMMAND...`.
#![expect(clippy::print_stderr, reason = "it is a command")]

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use ringstall_linux::confine::Confinement;

/// EPERM, which container runtimes answer.
const ERRNO: u16 = 1;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: without-ring COMMAND [ARGUMENT]...");
        return ExitCode::from(2);
    };
    let mut command = Command::new(&program);
    command.args(words);
    Confinement::default().refuse_ring(ERRNO).apply(&mut command);
    let error = command.exec();
    eprintln!("without-ring: failed to run `{}`: {error}", program.display());
    ExitCode::from(127)
}
