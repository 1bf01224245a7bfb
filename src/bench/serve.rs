//! A frozen registry on loopback: what a mirror holds, over http or https, as fast as it can be
//! sent or at the latency and bandwidth that are asked for.
//!
//! It is a process of its own, so that what it uses is not counted as its clients'. One thread
//! serves everyone; bodies are in memory or go from the page cache to the socket (sendfile(2)), and
//! connections are kept. Who started it can have requests, bytes and its own use of the processor
//! counted for each client, one client after another.

use std::io::{self, BufRead};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::usage;
use crate::error::{Code, Error, Result};
use crate::tls::server::Acceptor;

mod connection;
pub mod content;
mod pace;
mod request;
mod tally;
#[cfg(test)]
mod tests;

use content::Content;
use pace::Pace;
use tally::Tally;

pub use tally::Counts;

/// What is served, and how.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    pub directory: PathBuf,
    /// Zero for any that is free.
    pub port: u16,
    pub is_secure: bool,
    /// A round trip: added to each request, to each new connection, and to each handshake.
    pub latency: Duration,
    /// Of all connections together; `None` is no limit.
    pub bytes_per_second: Option<u64>,
    /// Packages, `name` and `version`, that are only talked about.
    pub known: Vec<(String, String)>,
}

/// What is said at the start, as a line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub url: String,
    pub tarballs: usize,
    /// The authority that a client has to trust, in PEM.
    pub authority: Option<String>,
}

/// What was counted of one client, as a line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    #[serde(flatten)]
    pub counts: Counts,
    /// What the server has used of the processor meanwhile.
    pub processor_seconds: f64,
}

/// What can be asked of the server by lines on its standard input.
pub const BEGIN: &str = "begin";
pub const END: &str = "end";

/// A server that runs until it is dropped or its process ends.
#[derive(Debug)]
pub struct Server {
    pub started: Started,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    content: Content,
    latency: Duration,
    pace: Option<Pace>,
    current: Mutex<Arc<Tally>>,
}

impl Server {
    pub fn start(options: &ServeOptions) -> Result<Self> {
        let failed = |error| Error::io("listen on", "127.0.0.1", error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let acceptor = options.is_secure.then(Acceptor::for_loopback).transpose()?;
        let url = match &acceptor {
            // The certificate is for this name; clients look it up as they would another.
            Some(_) => format!("https://localhost:{port}/"),
            None => format!("http://127.0.0.1:{port}/"),
        };
        let mut content = Content::load(&options.directory, &url)?;
        for (name, version) in &options.known {
            content.add_version(name, version, &url)?;
        }
        let started = Started {
            url,
            tarballs: content.tarball_count(),
            authority: acceptor.as_ref().map(|acceptor| acceptor.authority().to_owned()),
        };
        let shared = Arc::new(Shared {
            content,
            latency: options.latency,
            pace: options.bytes_per_second.map(Pace::new),
            current: Mutex::default(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let for_thread = shared.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let thread = std::thread::spawn(move || {
            runtime.spawn(accept(listener, acceptor, for_thread));
            // Ends as well where the sender is dropped; what is still open ends with the runtime.
            let _ = runtime.block_on(stopped);
        });
        Ok(Self { started, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Connections from now on belong to a new client.
    pub fn begin(&self) {
        let mut current = self.shared.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::default();
    }

    /// What the present client has done.
    pub fn counts(&self) -> Counts {
        self.shared.tally().counts()
    }

    /// Answers lines from `input` until it ends: [`BEGIN`] with the start of an account, [`END`]
    /// with the account.
    pub fn obey(&self, input: impl BufRead, mut say: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let mut before = usage();
        for line in input.lines() {
            let line = line.map_err(|error| Error::io("read", "standard input", error))?;
            match line.trim() {
                BEGIN => {
                    self.begin();
                    before = usage();
                    say("{}")?;
                }
                END => {
                    let used = usage().since(&before);
                    let processor_seconds = (used.user + used.system).as_secs_f64();
                    let account = Account { counts: self.counts(), processor_seconds };
                    say(&to_json(&account)?)?;
                }
                other => {
                    let message = format!("the server does not know `{}`", other.escape_debug());
                    return Err(Error::new(Code::Usage, message));
                }
            }
        }
        Ok(())
    }

    /// Serves until the process is ended.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic has been told where it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn tally(&self) -> Arc<Tally> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(Code::Io, "failed to write JSON").with_source(error))
}

async fn accept(listener: TcpListener, acceptor: Option<Acceptor>, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection::serve(stream, acceptor.clone(), shared.clone()));
            }
            // The client is gone already, or there are no files left: neither lasts.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Until some connection may have ended, where no more can be open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
