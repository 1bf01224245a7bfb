//! The portable network driver: tokio on one thread, which waits for many sockets with `epoll`.
//!
//! Nothing leaves its thread, so that a driver whose connections cannot move can take its place.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Runs `future` to its end. What it spawned and is not done by then is dropped.
pub fn run<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let output = LocalSet::new().block_on(&runtime, future);
    // A name that is still being looked up sits in the C library and cannot be cancelled.
    runtime.shutdown_background();
    Ok(output)
}

/// The addresses of a host. An IPv6 address comes without brackets.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// Connects to the first of the addresses that answers; how long that may take is the caller's to
/// say.
pub async fn connect(
    addresses: &[SocketAddr],
) -> io::Result<impl Read + Write + Unpin + use<> + 'static> {
    let stream = TcpStream::connect(addresses).await?;
    // A request is one small write that must not wait for the answer to an earlier one.
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

/// Starts a task that no one waits for.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(task));
}

pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The future's output; `None` where it is not done in time.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}
