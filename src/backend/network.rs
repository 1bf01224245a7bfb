//! The seam for connections, timers and tasks: one thread, and a driver that is chosen at run time.
//!
//! All that a [`Network`] offers works only inside [`run`], on that thread; nothing leaves it, so
//! that a driver whose connections cannot move can take part. TLS, HTTP, retries and redirects
//! exist once, above it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::pin;
use std::time::Duration;

use hyper::rt::{Read, Write};
use tokio::sync::oneshot;

use super::engines::NetworkDriver;
use super::host::{self, Counts, Usage, thread_usage};
use super::refused::refused;
use crate::error::Result;

mod epoll;
#[cfg(not(all(target_os = "linux", feature = "io-uring")))]
#[path = "network/no_ring.rs"]
mod ring;
#[cfg(all(target_os = "linux", feature = "io-uring"))]
mod ring;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(not(all(target_os = "linux", feature = "io-uring")))]
use ring as uring;
#[cfg(all(target_os = "linux", feature = "io-uring"))]
#[path = "network/tokio_uring.rs"]
mod uring;

/// Who carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Our own ring: multishot receives, one wait for many completions.
    Ring,
    /// The tokio-uring crate.
    TokioUring,
    /// tokio: readiness, and a system call for each read and write.
    Epoll,
}

/// What a driver did, and what its thread used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkTally {
    pub driver: Driver,
    /// Zeros where it does not count.
    pub counts: Counts,
    pub usage: Usage,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended<T> {
    Output(T),
    /// The kernel or a sandbox does not carry out what the driver needs; whatever was under way is
    /// given up.
    Refused(io::Error),
}

/// A driver that is running.
#[derive(Clone, Debug)]
pub struct Network(Running);

#[derive(Clone, Debug)]
enum Running {
    Ring(ring::Network),
    TokioUring(uring::Network),
    Epoll,
}

/// A TCP connection of any driver.
pub type Connection = Box<dyn Carrier>;

/// What hyper and TLS need of a connection.
pub trait Carrier: Read + Write + Unpin {}

impl<C: Read + Write + Unpin> Carrier for C {}

/// Runs `main` to its end. What it spawned and is not done by then is dropped.
pub fn run<T>(
    driver: Driver,
    main: impl AsyncFnOnce(Network) -> T,
) -> io::Result<(Ended<T>, NetworkTally)> {
    let before = thread_usage();
    let (ended, counts) = match driver {
        Driver::Ring => ring::run(async |running| main(Network(Running::Ring(running))).await)?,
        Driver::TokioUring => {
            uring::run(async |running| main(Network(Running::TokioUring(running))).await)?
        }
        Driver::Epoll => {
            let output = epoll::run(main(Network(Running::Epoll)))?;
            (Ended::Output(output), Counts::default())
        }
    };
    let usage = thread_usage().since(&before);
    Ok((ended, NetworkTally { driver, counts, usage }))
}

/// Fails with the reason where a driver that was asked for by name cannot be had.
pub fn check(asked: NetworkDriver) -> Result<()> {
    let (name, run): (_, fn() -> io::Result<()>) = match asked {
        NetworkDriver::Auto | NetworkDriver::Epoll => return Ok(()),
        NetworkDriver::Ring => ("ring", || ring::run(async |_| ()).map(drop)),
        NetworkDriver::TokioUring => ("tokio-uring", || uring::run(async |_| ()).map(drop)),
    };
    // A driver that is made and not used does not find that a sandbox refuses io_uring_enter(2).
    let tried = host::try_ring().and_then(|()| run().map_err(|error| host::explain(&error)));
    tried.map_err(|why| refused(&format!("--net {name}"), why))
}

/// The addresses of a host. An IPv6 address comes without brackets.
///
/// The C library is asked on a thread of its own: it waits for name servers and cannot be
/// cancelled.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (sender, answer) = oneshot::channel();
    let host = host.to_owned();
    std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        let addresses = (host, port).to_socket_addrs();
        // Who has asked may have given up.
        let _ = sender.send(addresses.map(Iterator::collect));
    })?;
    answer.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
}

impl NetworkDriver {
    /// The drivers to try, one after the other, until one is not refused.
    pub fn in_order(self) -> &'static [Driver] {
        match self {
            Self::Auto | Self::Ring => &[Driver::Ring, Driver::Epoll],
            Self::TokioUring => &[Driver::TokioUring, Driver::Epoll],
            Self::Epoll => &[Driver::Epoll],
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ring => "ring",
            Self::TokioUring => "tokio-uring",
            Self::Epoll => "epoll",
        })
    }
}

impl Network {
    /// Starts a task that no one waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        match &self.0 {
            Running::Ring(running) => running.spawn(task),
            Running::TokioUring(_) | Running::Epoll => epoll::spawn(task),
        }
    }

    /// Says whether what is received is waited for: where it is not, a driver that can do so sleeps
    /// longer and receives more at once.
    pub fn set_hurry(&self, has_hurry: bool) {
        match &self.0 {
            Running::Ring(running) => running.set_hurry(has_hurry),
            Running::TokioUring(_) | Running::Epoll => {}
        }
    }

    pub async fn sleep(&self, duration: Duration) {
        self.timeout(duration, std::future::pending::<()>()).await;
    }

    /// The future's output; `None` where it is not done in time.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let future = pin!(future);
        match &self.0 {
            Running::Ring(running) => running.timeout(limit, future).await,
            Running::TokioUring(_) | Running::Epoll => epoll::timeout(limit, future).await,
        }
    }

    /// Connects to the first of the addresses that answers; how long that may take is the caller's
    /// to say.
    pub async fn connect(&self, addresses: &[SocketAddr]) -> io::Result<Connection> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in addresses {
            match self.connect_to(*address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    #[allow(clippy::match_same_arms, reason = "without io_uring, two drivers are one")]
    async fn connect_to(&self, address: SocketAddr) -> io::Result<Connection> {
        Ok(match &self.0 {
            Running::Ring(running) => Box::new(running.connect(address).await?),
            Running::TokioUring(running) => Box::new(running.connect(address).await?),
            Running::Epoll => Box::new(epoll::connect(address).await?),
        })
    }
}
