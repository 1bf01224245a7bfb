//! The portable network driver: tokio on one thread, which waits for many sockets with `epoll`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

pub type Connection = TokioIo<TcpStream>;

/// Runs `future` to its end. What it spawned and is not done by then is dropped.
pub fn run<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    Ok(LocalSet::new().block_on(&runtime, future))
}

pub async fn connect(address: SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect(address).await?;
    // A request is one small write that must not wait for the answer to an earlier one.
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(task));
}

pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}
