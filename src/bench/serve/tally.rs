//! What one client asked for and got, counted where its bytes pass.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Paths that are remembered of those that were not there.
const MISSING_MAX: usize = 8;

/// Counters of one client. A connection belongs to the client it was accepted for, to its end.
#[derive(Debug, Default)]
pub struct Tally {
    connections: AtomicU64,
    requests: AtomicU64,
    tarballs: AtomicU64,
    not_found: AtomicU64,
    refused: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    missing: Mutex<Vec<String>>,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub connections: u64,
    pub requests: u64,
    /// Those of the requests that were for a tarball.
    pub tarballs: u64,
    /// Those that were answered with status 404.
    pub not_found: u64,
    /// Those that were not understood, or neither GET nor HEAD.
    pub refused: u64,
    /// On the wire, heads and TLS included: from the client.
    pub bytes_received: u64,
    /// To the client.
    pub bytes_sent: u64,
    /// Some of the paths that were not there.
    pub missing: Vec<String>,
}

impl Tally {
    pub fn add_connection(&self) {
        add(&self.connections, 1);
    }

    pub fn add_request(&self, is_tarball: bool) {
        add(&self.requests, 1);
        add(&self.tarballs, u64::from(is_tarball));
    }

    pub fn add_missing(&self, path: &str) {
        add(&self.not_found, 1);
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.len() < MISSING_MAX {
            missing.push(path.to_owned());
        }
    }

    pub fn add_refused(&self) {
        add(&self.requests, 1);
        add(&self.refused, 1);
    }

    pub fn add_sent(&self, bytes: usize) {
        add(&self.bytes_sent, bytes as u64);
    }

    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.connections),
            requests: read(&self.requests),
            tarballs: read(&self.tarballs),
            not_found: read(&self.not_found),
            refused: read(&self.refused),
            bytes_received: read(&self.bytes_received),
            bytes_sent: read(&self.bytes_sent),
            missing: self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub struct Counted {
    pub stream: TcpStream,
    pub tally: Arc<Tally>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        add(&self.tally.bytes_received, (buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.tally.add_sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
