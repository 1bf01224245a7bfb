//! The registry of a bench: a server in a process of its own, and its account of each run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::serve::{Account, BEGIN, END, Started};
use crate::error::{Code, Error, Result};

/// How the registry is to be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub is_secure: bool,
    pub latency: Duration,
    pub bytes_per_second: Option<u64>,
}

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    // `None` once it has been closed, which tells the server to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub url: String,
    /// What its certificate is to be checked with, in PEM.
    pub authority: Option<PathBuf>,
}

impl Registry {
    /// Serves the mirror in `directory` by the program `ringstall`. `known` are packages that are
    /// only talked about, and `work` is a folder for the authority of the certificate.
    pub fn start(
        ringstall: &Path,
        directory: &Path,
        line: Line,
        known: &[(&str, &str)],
        work: &Path,
    ) -> Result<Self> {
        let failed = |error| Error::io("run", ringstall, error);
        let mut command = Command::new(ringstall);
        command.args(["bench", "serve", "--controlled"]).arg(directory);
        if line.is_secure {
            command.arg("--https");
        }
        if !line.latency.is_zero() {
            command.arg("--latency").arg(line.latency.as_millis().to_string());
        }
        if let Some(bytes) = line.bytes_per_second {
            command.arg("--bandwidth").arg((bytes / BYTES_OF_MEGABIT).to_string());
        }
        for (name, version) in known {
            command.arg("--known").arg(format!("{name}@{version}"));
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were asked for")
        };
        let (input, output) = (Some(input), BufReader::new(output));
        let mut registry = Self { child, input, output, url: String::new(), authority: None };
        let started: Started = registry.hear()?;
        if let Some(authority) = started.authority {
            let path = work.join("authority.pem");
            std::fs::write(&path, authority).map_err(|error| Error::io("write", &path, error))?;
            registry.authority = Some(path);
        }
        registry.url = started.url;
        Ok(registry)
    }

    /// What is asked for from now on is counted anew.
    pub fn begin(&mut self) -> Result<()> {
        let _: serde_json::Value = self.ask(BEGIN)?;
        Ok(())
    }

    /// What was asked for since the beginning of the account.
    pub fn end(&mut self) -> Result<Account> {
        self.ask(END)
    }

    fn ask<T: DeserializeOwned>(&mut self, line: &str) -> Result<T> {
        let said = self
            .input
            .as_mut()
            .map_or(Ok(()), |input| writeln!(input, "{line}").and_then(|()| input.flush()));
        said.map_err(|error| Error::io("write to", "the registry", error))?;
        self.hear()
    }

    fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        read.map_err(|error| Error::io("read from", "the registry", error))?;
        serde_json::from_str(&line).map_err(|error| {
            Error::new(Code::Io, "the registry has ended or makes no sense").with_source(error)
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.input = None;
        // It ends by itself now.
        let _ = self.child.wait();
    }
}

/// Bytes a second of a line of 1 Mbit/s.
pub const BYTES_OF_MEGABIT: u64 = 125_000;
