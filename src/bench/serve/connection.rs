//! One connection: requests are read and answered in turn, until the client has no more.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Shared;
use super::content::{Found, Tarball, is_tarball};
use super::pace::PIECE_BYTES_MAX;
use super::request::{HEAD_BYTES_MAX, Head, Parsed, Request, parse};
use super::tally::{Counted, Tally};
use crate::backend::send_file;
use crate::tls::server::Acceptor;

/// Most tarballs are smaller, and go out with their heads in one call.
const FIRST_BYTES_MAX: u64 = 64 << 10;
/// In one call, where the bandwidth has no limit.
const SENT_BYTES_MAX: usize = 1 << 20;

/// A connection, of whichever kind.
trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// The socket, where the bytes of a file can be sent as they are.
    fn socket(&self) -> Option<&TcpStream>;
}

impl Wire for Counted {
    fn socket(&self) -> Option<&TcpStream> {
        Some(&self.stream)
    }
}

struct Secure<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for Secure<S> {
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

/// Serves a connection to its end. That a client hangs up is no failure.
pub async fn serve(stream: TcpStream, acceptor: Option<Acceptor>, shared: Arc<Shared>) {
    let tally = shared.tally();
    tally.add_connection();
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    sleep(shared.latency).await;
    let stream = Counted { stream, tally: tally.clone() };
    let Some(acceptor) = acceptor else {
        let _ = Connection { wire: stream, tally, shared: &shared }.run().await;
        return;
    };
    // A handshake is one more way to and fro.
    sleep(shared.latency).await;
    if let Ok(stream) = acceptor.accept(stream).await {
        let _ = Connection { wire: Secure(stream), tally, shared: &shared }.run().await;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Secure<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Secure<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(context)
    }
}

struct Connection<'s, W> {
    wire: W,
    tally: Arc<Tally>,
    shared: &'s Shared,
}

/// An answer's body.
enum Body {
    Nothing,
    Bytes(Bytes),
    File(Arc<File>, u64),
}

impl<W: Wire> Connection<'_, W> {
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(HEAD_BYTES_MAX);
        loop {
            match parse(&buffer) {
                Parsed::Request(request, length) => {
                    buffer.drain(..length);
                    self.answer(&request).await?;
                    if !request.keeps_alive {
                        break;
                    }
                }
                Parsed::Partial => {
                    if self.wire.read_buf(&mut buffer).await? == 0 {
                        break;
                    }
                }
                Parsed::Refused(status) => {
                    self.tally.add_refused();
                    self.send_plain(status, false).await?;
                    break;
                }
            }
        }
        self.wire.shutdown().await
    }

    async fn answer(&mut self, request: &Request) -> io::Result<()> {
        self.tally.add_request(is_tarball(&request.path));
        sleep(self.shared.latency).await;
        let shared = self.shared;
        let keeps_alive = request.keeps_alive;
        let Some(found) = shared.content.find(&request.path, request.wants_abbreviated) else {
            self.tally.add_missing(&request.path);
            return self.send_plain("404 Not Found", keeps_alive).await;
        };
        let mut head = Head {
            status: "200 OK",
            media_type: "application/json",
            length: 0,
            is_gzip: false,
            etag: None,
            keeps_alive,
        };
        let body = match found {
            Found::Tarball(tarball) => {
                head.media_type = "application/octet-stream";
                self.open(tarball)?
            }
            Found::Version(text) => Body::Bytes(text),
            Found::Packument(document) => {
                head.etag = Some(&document.etag);
                if request.if_none_match.as_ref() == Some(&document.etag) {
                    head.status = "304 Not Modified";
                    Body::Nothing
                } else if request.accepts_gzip {
                    head.is_gzip = true;
                    Body::Bytes(document.gzip.clone())
                } else {
                    Body::Bytes(document.text().into())
                }
            }
        };
        head.length = body.length();
        let body = if request.is_head { Body::Nothing } else { body };
        self.send(&head, body).await
    }

    fn open(&self, tarball: &Tarball) -> io::Result<Body> {
        Ok(Body::File(self.shared.content.open(tarball)?, tarball.length))
    }

    async fn send_plain(&mut self, status: &str, keeps_alive: bool) -> io::Result<()> {
        let body = Bytes::from_static(b"{}");
        let head = Head {
            status,
            media_type: "application/json",
            length: body.len() as u64,
            is_gzip: false,
            etag: None,
            keeps_alive,
        };
        self.send(&head, Body::Bytes(body)).await
    }

    async fn send(&mut self, head: &Head<'_>, body: Body) -> io::Result<()> {
        let mut first = Vec::with_capacity(512);
        head.write(&mut first);
        match body {
            Body::Nothing => self.write(&first).await,
            Body::Bytes(bytes) if bytes.len() as u64 <= FIRST_BYTES_MAX => {
                first.extend_from_slice(&bytes);
                self.write(&first).await
            }
            Body::Bytes(bytes) => {
                self.write(&first).await?;
                self.write(&bytes).await
            }
            Body::File(file, length) => {
                let start = first.len();
                let begun = length.min(FIRST_BYTES_MAX);
                first.resize(start + usize::try_from(begun).unwrap_or(0), 0);
                file.read_exact_at(&mut first[start..], 0)?;
                self.write(&first).await?;
                self.send_rest(&file, begun, length, first).await
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(self.piece_bytes_max()) {
            self.wait_for_line(piece.len()).await;
            self.wire.write_all(piece).await?;
        }
        self.wire.flush().await
    }

    /// The bytes of a file from `offset` on; `buffer` is room for those that cannot be sent as
    /// they are.
    async fn send_rest(
        &mut self,
        file: &File,
        mut offset: u64,
        length: u64,
        mut buffer: Vec<u8>,
    ) -> io::Result<()> {
        while offset < length {
            let most = usize::try_from(length - offset).unwrap_or(usize::MAX);
            let most = most.min(self.piece_bytes_max());
            let Some(socket) = self.wire.socket() else {
                buffer.resize(most.min(PIECE_BYTES_MAX), 0);
                file.read_exact_at(&mut buffer, offset)?;
                self.write(&buffer).await?;
                offset += buffer.len() as u64;
                continue;
            };
            self.wait_for_line(most).await;
            let sent = socket
                .async_io(Interest::WRITABLE, || {
                    send_file(socket.as_fd(), file.as_fd(), offset, most)
                })
                .await?;
            if sent == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.tally.add_sent(sent);
            offset += sent as u64;
        }
        Ok(())
    }

    fn piece_bytes_max(&self) -> usize {
        if self.shared.pace.is_some() { PIECE_BYTES_MAX } else { SENT_BYTES_MAX }
    }

    async fn wait_for_line(&self, bytes: usize) {
        if let Some(pace) = &self.shared.pace {
            pace.pass(bytes).await;
        }
    }
}

impl Body {
    fn length(&self) -> u64 {
        match self {
            Body::Nothing => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File(_, length) => *length,
        }
    }
}
