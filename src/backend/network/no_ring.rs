//! What the drivers on io_uring offer, for hosts without it: they can never be had.

#![expect(clippy::unused_async, reason = "the drivers that can be had wait")]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};

use super::{Counts, Ended};

#[derive(Clone, Debug)]
pub enum Network {}

#[derive(Debug)]
pub enum Connection {}

pub fn run<T>(_main: impl AsyncFnOnce(Network) -> T) -> io::Result<(Ended<T>, Counts)> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this program was built without io_uring"))
}

impl Network {
    pub fn spawn(&self, _task: impl Future<Output = ()> + 'static) {
        match *self {}
    }

    pub fn set_hurry(&self, _has_hurry: bool) {
        match *self {}
    }

    pub async fn timeout<F: Future>(&self, _limit: Duration, _future: F) -> Option<F::Output> {
        match *self {}
    }

    pub async fn connect(&self, _address: SocketAddr) -> io::Result<Connection> {
        match *self {}
    }
}

impl Read for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match *self {}
    }
}

impl Write for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}
