//! Running one script: `sh -c` in the package's folder, as npm does it (@npmcli/run-script 10,
//! @npmcli/promise-spawn 9). What is in a name, a version or a path reaches it only through the
//! environment; the command line is the script as its author wrote it.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, poll};

use super::output::Output;
use crate::backend::schedule_normally;
use crate::journal::{Awaited, Journal};
use crate::running::Running;

/// A script that is to be run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// `name@version` of the package.
    pub package: String,
    pub event: String,
    pub shell: String,
    pub script: String,
    pub directory: PathBuf,
    /// On top of this process's own environment.
    pub variables: Vec<(OsString, OsString)>,
    pub stream: Stream,
}

/// Where a script's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Kept, and shown if the script fails.
    Kept,
    /// Where our own goes, and it may read what we may read.
    Inherited,
    /// The same, but for stdout, where nothing but our own result may be.
    InheritedStderr,
}

/// How a script ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub output: Output,
}

impl Ended {
    pub fn is_success(&self) -> bool {
        self.status.success()
    }

    /// `exited with code 3`, `was ended by signal 9`.
    pub fn describe(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended in an unknown way".to_owned(),
        }
    }
}

/// Runs it to its end.
pub fn run(launch: &Launch, running: &Running, journal: &Journal) -> io::Result<Ended> {
    // What the scheduler thinks of us is not for scripts to inherit.
    let _ = schedule_normally();
    let mut command = Command::new(&launch.shell);
    command.arg("-c").arg(&launch.script).current_dir(&launch.directory);
    command.envs(launch.variables.iter().map(|(name, value)| (name, value)));
    let output = match launch.stream {
        Stream::Kept => return run_kept(launch, command, running, journal),
        Stream::Inherited => Stdio::inherit(),
        Stream::InheritedStderr => io::stderr().as_fd().try_clone_to_owned()?.into(),
    };
    command.stdout(output);
    let started = running.start(&mut command)?;
    let _wait = journal.board().begin(awaited(launch));
    let status = started.wait()?;
    Ok(Ended { status, output: Output::default() })
}

fn awaited(launch: &Launch) -> Awaited {
    Awaited::Script { package: launch.package.clone(), script: launch.event.clone() }
}

/// A process that the script leaves behind may hold the pipe for as long as it likes, so the end is
/// the script's own, not the pipe's: what is in the pipe then is read, and nobody waits for more.
fn run_kept(
    launch: &Launch,
    mut command: Command,
    running: &Running,
    journal: &Journal,
) -> io::Result<Ended> {
    let (reader, writer) = io::pipe()?;
    let (ended, ends) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let started = running.start(&mut command)?;
    let _wait = journal.board().begin(awaited(launch));
    // It holds the ends that the script writes to.
    drop(command);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let status = started.wait();
            drop(ends);
            status
        });
        let output = read_until(reader, &ended.into(), journal);
        let status = match waiting.join() {
            Ok(status) => status?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok(Ended { status, output: output? })
    })
}

/// Reads until the other pipe is closed, and then what is there already.
fn read_until(mut reader: PipeReader, ended: &OwnedFd, journal: &Journal) -> io::Result<Output> {
    rustix::io::ioctl_fionbio(&reader, true)?;
    let mut output = Output::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut is_open = true;
    loop {
        let has_ended = {
            let mut fds = [PollFd::new(ended, PollFlags::IN), PollFd::new(&reader, PollFlags::IN)];
            let polled = if is_open { &mut fds[..] } else { &mut fds[..1] };
            match poll(polled, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            !fds[0].revents().is_empty()
        };
        // What was written before the end is in the pipe by now. A process left behind may go on
        // writing, so no more than a pipe holds is taken after it.
        let mut rest = if has_ended { PIPE_BYTES_MAX } else { READ_BYTES };
        while is_open && rest > 0 {
            match reader.read(&mut buffer) {
                Ok(0) => is_open = false,
                Ok(length) => {
                    output.push(&buffer[..length]);
                    journal.board().step();
                    rest = rest.saturating_sub(length);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if has_ended {
            return Ok(output);
        }
    }
}

const READ_BYTES: usize = 64 << 10;
/// A pipe of Linux holds 64 KiB, or 1 MiB where somebody has made it larger.
const PIPE_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(script: &str) -> Launch {
        Launch {
            package: "a@1.0.0".to_owned(),
            event: "install".to_owned(),
            shell: "sh".to_owned(),
            script: script.to_owned(),
            directory: std::env::temp_dir(),
            variables: vec![("GREETING".into(), "a; b".into())],
            stream: Stream::Kept,
        }
    }

    fn run_here(script: &str) -> Ended {
        let journal = Journal::default();
        run(&launch(script), &Running::watch(&journal), &journal).unwrap()
    }

    #[test]
    fn both_streams_are_kept_in_order() {
        let ended = run_here("echo one; echo two >&2; echo \"$GREETING\"; exit 3");
        assert_eq!(ended.output.text(), "one\ntwo\na; b");
        assert_eq!(ended.describe(), "exited with code 3");
    }

    #[test]
    fn a_process_left_behind_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let script = format!("mkfifo {0}; (read line <{0}) & echo done", fifo.display());
        let ended = run_here(&script);
        assert!(ended.is_success());
        assert_eq!(ended.output.text(), "done");
        // Only now does the process left behind end.
        std::fs::write(&fifo, "end\n").unwrap();
    }

    #[test]
    fn nothing_is_to_be_read_and_a_signal_is_told() {
        let ended = run_here("read line || echo nothing; kill -9 $$");
        assert_eq!(
            (ended.output.text().as_str(), ended.describe().as_str()),
            ("nothing", "was ended by signal 9")
        );
    }

    #[test]
    fn more_than_is_kept_is_read_to_the_end() {
        let ended = run_here("yes | head -c 3000000; echo the end");
        assert!(ended.is_success() && ended.output.text().ends_with("the end"));
    }
}
