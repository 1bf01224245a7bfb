//! Our own network driver: a ring for all sockets, one system call for many of them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use ringstall_linux::{SocketOptions, Stream};

use super::{Counts, Ended};

#[derive(Clone, Debug)]
pub struct Network(ringstall_linux::Network);

#[derive(Debug)]
pub struct Connection(Stream);

/// Few and large buffers stay in the processor's cache, from which the bytes are copied once more;
/// measured with ant-design's tarballs (docs/experiments.md).
const OPTIONS: SocketOptions = SocketOptions {
    buffers: 32,
    buffer_bytes: 256 << 10,
    batch: 32,
    batch_for: Duration::from_millis(1),
    batch_for_max: Duration::from_millis(30),
    opcodes_allowed: None,
};

pub fn run<T>(main: impl AsyncFnOnce(Network) -> T) -> io::Result<(Ended<T>, Counts)> {
    let options = OPTIONS;
    #[cfg(test)]
    let options = SocketOptions { opcodes_allowed: super::testing::opcodes_allowed(), ..options };
    let (ended, counts) =
        ringstall_linux::Network::run(options, async |network| main(Network(network)).await)?;
    let ended = match ended {
        ringstall_linux::Ended::Output(output) => Ended::Output(output),
        ringstall_linux::Ended::Refused(error) => Ended::Refused(error),
    };
    Ok((ended, counts))
}

impl Network {
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(task);
    }

    pub fn set_hurry(&self, has_hurry: bool) {
        self.0.set_hurry(has_hurry);
    }

    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        self.0.timeout(limit, future).await
    }

    pub async fn connect(&self, address: SocketAddr) -> io::Result<Connection> {
        Ok(Connection(self.0.connect(address).await?))
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.poll_read(context, |bytes| {
            let count = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..count]);
            count
        });
        read.map_ok(drop)
    }
}

impl Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, bytes)
    }

    /// What was written is on its way with the next turn of the ring.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(context)
    }
}
