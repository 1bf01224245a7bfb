//! The network driver on the tokio-uring crate, for comparison. Tasks and timers are tokio's.
//!
//! It takes buffers whole and gives them back, so that what hyper reads and writes is copied once.

use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio_uring::net::TcpStream;

use super::{Counts, Ended};

#[derive(Clone, Debug)]
pub struct Network;

pub struct Connection {
    stream: Rc<TcpStream>,
    /// What was received, read up to `read_bytes`.
    received: Vec<u8>,
    read_bytes: usize,
    receiving: Option<Receiving>,
    sending: Option<Sending>,
}

type Receiving = Pin<Box<dyn Future<Output = (io::Result<usize>, Vec<u8>)>>>;
type Sending = Pin<Box<dyn Future<Output = io::Result<()>>>>;

const RECEIVE_BYTES: usize = 64 << 10;
/// A request, or a piece of a TLS handshake, is smaller.
const SEND_BYTES_MAX: usize = 64 << 10;

pub fn run<T>(main: impl AsyncFnOnce(Network) -> T) -> io::Result<(Ended<T>, Counts)> {
    let runtime = tokio_uring::Runtime::new(&tokio_uring::builder())?;
    let output = runtime.block_on(main(Network));
    Ok((Ended::Output(output), Counts::default()))
}

impl Network {
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        // A request is one small write that must not wait for the answer to an earlier one.
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: Rc::new(stream),
            received: Vec::new(),
            read_bytes: 0,
            receiving: None,
            sending: None,
        })
    }
}

impl Connection {
    fn receive(&mut self) -> Receiving {
        let (stream, mut buffer) = (self.stream.clone(), std::mem::take(&mut self.received));
        self.read_bytes = 0;
        buffer.clear();
        buffer.reserve(RECEIVE_BYTES);
        Box::pin(async move { stream.read(buffer).await })
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_bytes == self.received.len() {
            let mut receiving = match self.receiving.take() {
                Some(receiving) => receiving,
                None => self.receive(),
            };
            let Poll::Ready((outcome, received)) = receiving.as_mut().poll(context) else {
                self.receiving = Some(receiving);
                return Poll::Pending;
            };
            self.received = received;
            if let Err(error) = outcome {
                self.received.clear();
                return Poll::Ready(Err(error));
            }
        }
        let rest = &self.received[self.read_bytes..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.read_bytes += count;
        Poll::Ready(Ok(()))
    }
}

impl Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(context))?;
        let (stream, bytes) =
            (self.stream.clone(), bytes[..bytes.len().min(SEND_BYTES_MAX)].to_vec());
        let count = bytes.len();
        self.sending = Some(Box::pin(async move { stream.write_all(bytes).await.0 }));
        // Nothing is submitted before it is polled. What comes of it is told with the next call.
        let _ = self.poll_flush(context)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(sending.as_mut().poll(context));
        self.sending = None;
        Poll::Ready(sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}

impl Drop for Connection {
    /// A receive that nobody waits for would keep the connection open.
    fn drop(&mut self) {
        if self.receiving.is_some() {
            // It may be closed already.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}
