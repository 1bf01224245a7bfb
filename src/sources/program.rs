//! Running a program of the machine: to an end that comes in bounded time, its output kept as far
//! as a message can use it.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::running::{Running, Started};

/// The first program of this name on PATH. Relative folders are passed over: they would mean the
/// project's.
pub fn find_program(path: &str, name: &str) -> Option<PathBuf> {
    let is_executable = |file: &PathBuf| {
        let mode = file.metadata().map(|metadata| (metadata.is_file(), metadata.mode()));
        mode.is_ok_and(|(is_file, mode)| is_file && mode & 0o111 != 0)
    };
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(is_executable)
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Of each stream; the end is what matters.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// For what a program left behind in the background and still holds its output.
const OUTPUT_WAIT: Duration = Duration::from_secs(1);
/// Of what is shown of a program that failed.
const SHOWN_LINES_MAX: usize = 8;
const SHOWN_CHARACTERS_MAX: usize = 1000;

/// Runs a program without input; one that takes longer than `wait_max` is killed.
pub fn run(command: &mut Command, wait_max: Duration, running: &Running) -> io::Result<Finished> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut started = running.start(command)?;
    let stdout = follow(started.child.stdout.take());
    let stderr = follow(started.child.stderr.take());
    let status = wait(started, wait_max)?;
    Ok(Finished { status, stdout: ended(&stdout), stderr: ended(&stderr) })
}

fn wait(started: Started, wait_max: Duration) -> io::Result<ExitStatus> {
    let stop = started.stop();
    let (sender, ended) = bounded(1);
    thread::spawn(move || sender.send(started.wait()));
    match ended.recv_timeout(wait_max) {
        Ok(status) => status,
        Err(RecvTimeoutError::Timeout) => {
            stop.kill();
            let seconds = wait_max.as_secs();
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {seconds} s")))
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("its end was not seen")),
    }
}

/// Reads a stream to its end on a thread of its own, and keeps what came last.
fn follow(mut stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = bounded(1);
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut chunk = [0; 8192];
        let mut read_next = |chunk: &mut [u8]| {
            let stream = stream.as_mut()?;
            stream.read(chunk).ok().filter(|read| *read > 0)
        };
        while let Some(read) = read_next(&mut chunk) {
            kept.extend_from_slice(&chunk[..read]);
            if kept.len() > 2 * OUTPUT_BYTES_MAX {
                kept.drain(..kept.len() - OUTPUT_BYTES_MAX);
            }
        }
        sender.send(kept)
    });
    receiver
}

fn ended(receiver: &Receiver<Vec<u8>>) -> Vec<u8> {
    receiver.recv_timeout(OUTPUT_WAIT).unwrap_or_default()
}

/// The last lines of an output as part of a message: nothing in it moves a cursor or hides a line.
pub fn shown(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<String> = text
        .split(['\n', '\r'])
        .map(|line| line.trim().replace(|one: char| one.is_control(), "?"))
        .filter(|line| !line.is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..].join("; ");
    last.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    fn shell(script: &str, wait_max: Duration) -> io::Result<Finished> {
        let running = Running::watch(&Journal::default());
        run(Command::new("sh").args(["-c", script]), wait_max, &running)
    }

    #[test]
    fn both_streams_and_the_status_are_kept() {
        let finished = shell("echo out; echo err >&2; exit 3", Duration::from_secs(60)).unwrap();
        let kept = (finished.status.code(), &finished.stdout[..], &finished.stderr[..]);
        assert_eq!(kept, (Some(3), &b"out\n"[..], &b"err\n"[..]));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let error = shell("exec sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn more_output_than_is_kept_keeps_its_end() {
        let script = "head -c 1000000 /dev/zero; echo; echo last";
        let finished = shell(script, Duration::from_secs(60)).unwrap();
        assert!(finished.stdout.len() <= 2 * OUTPUT_BYTES_MAX + 8192);
        assert!(finished.stdout.ends_with(b"last\n"));
    }

    #[test]
    fn what_is_shown_is_one_harmless_line() {
        assert_eq!(shown(b"a\n\n  b\x1b[31m\r\nc\n"), "a; b?[31m; c");
        assert_eq!(shown("x".repeat(5000).as_bytes()).len(), SHOWN_CHARACTERS_MAX);
    }
}
