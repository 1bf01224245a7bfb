//! Connections that are kept open between requests, so many to an origin and no more.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use url::{Host, Url};

use super::retry::Failure;
use super::timed;
use crate::backend::network::{self, Network};
use crate::config::NetworkSettings;
use crate::error::{Code, Error};
use crate::registry::{host_and_port, redact};
use crate::tls::{self, Connector};

pub type Sender = SendRequest<Empty<Bytes>>;

#[derive(Debug)]
pub struct Pool {
    network: Network,
    settings: Rc<NetworkSettings>,
    tls: Connector,
    origins: RefCell<HashMap<Origin, Rc<Connections>>>,
}

/// A connection for one request. Dropped, it is closed; only [`Lease::give_back`] keeps it.
#[derive(Debug)]
pub struct Lease {
    pub sender: Sender,
    /// It has served a request before, so the server may have closed it meanwhile.
    pub is_reused: bool,
    connections: Rc<Connections>,
    _slot: OwnedSemaphorePermit,
}

impl Lease {
    /// Keeps the connection for the next request. The answer must have been read to its end.
    pub fn give_back(self) {
        if !self.sender.is_closed() {
            self.connections.idle.borrow_mut().push(self.sender);
        }
    }
}

/// Two addresses of one origin may share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    is_secure: bool,
    /// An IPv6 address has no brackets.
    host: String,
    port: u16,
}

#[derive(Debug)]
struct Connections {
    /// One for each connection in use. As a new one is made only where none is idle, those idle
    /// and those in use are together never more than there were slots.
    slots: Arc<Semaphore>,
    idle: RefCell<Vec<Sender>>,
    /// Asked for once: a name server that is asked by all connections at the same time drops some
    /// of the questions, and each of those costs five seconds.
    addresses: OnceCell<Vec<SocketAddr>>,
}

impl Pool {
    pub fn new(network: Network, settings: Rc<NetworkSettings>) -> Self {
        Self { network, settings, tls: Connector::default(), origins: RefCell::default() }
    }

    /// Waits for a free slot, then takes an idle connection or makes one. `is_fresh` asks for a
    /// new one, in place of an idle one.
    pub async fn lease(&self, url: &Url, is_fresh: bool) -> Result<Lease, Failure> {
        let origin = Origin::of(url)?;
        let connections = self.connections(&origin);
        let Ok(slot) = connections.slots.clone().acquire_owned().await else {
            unreachable!("the semaphore of a pool is never closed")
        };
        let reused = if is_fresh {
            drop(connections.take_idle());
            None
        } else {
            self.take_live(&connections).await
        };
        let is_reused = reused.is_some();
        let sender = match reused {
            Some(sender) => sender,
            None => self.open(url, &origin, &connections).await?,
        };
        Ok(Lease { sender, is_reused, connections, _slot: slot })
    }

    fn connections(&self, origin: &Origin) -> Rc<Connections> {
        let mut origins = self.origins.borrow_mut();
        let connections = origins.entry(origin.clone()).or_insert_with(|| {
            let slots = Arc::new(Semaphore::new(self.settings.connections_max.max(1)));
            Rc::new(Connections { slots, idle: RefCell::default(), addresses: OnceCell::default() })
        });
        connections.clone()
    }

    /// An idle connection that is still open, as far as can be seen from here.
    async fn take_live(&self, connections: &Connections) -> Option<Sender> {
        while let Some(mut sender) = connections.take_idle() {
            if let Some(Ok(())) =
                timed(&self.network, self.settings.fetch_timeout, sender.ready()).await
            {
                return Some(sender);
            }
        }
        None
    }

    async fn open(
        &self,
        url: &Url,
        origin: &Origin,
        connections: &Connections,
    ) -> Result<Sender, Failure> {
        self.settings.proxies.check(url)?;
        let handshake =
            if origin.is_secure { Some(self.tls.prepare(&self.settings)?) } else { None };
        let place = host_and_port(url);
        let opening = Box::pin(async {
            let addresses = connections
                .addresses
                .get_or_try_init(|| network::resolve(&origin.host, origin.port))
                .await?;
            let stream = self.network.connect(addresses).await?;
            match handshake {
                Some(handshake) => {
                    let stream = handshake.run(&origin.host, stream).await?;
                    start(&self.network, stream).await
                }
                None => start(&self.network, stream).await,
            }
        });
        let Some(opened) = timed(&self.network, self.settings.fetch_timeout, opening).await else {
            let message = format!("`{place}` accepted no connection in time");
            return Err(Failure::passing(Error::new(Code::Network, message)));
        };
        opened.map_err(|cause| {
            let is_refused = tls::is_refused_certificate(&*cause);
            let error = Error::new(Code::Network, format!("failed to connect to `{place}`"))
                .with_source(cause);
            if is_refused {
                let hint = "if its certificate is right, set `cafile` to that of its authority";
                Failure::Lasting(error.with_hint(hint))
            } else {
                Failure::passing(error)
            }
        })
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Connections {
    fn take_idle(&self) -> Option<Sender> {
        self.idle.borrow_mut().pop()
    }
}

impl Origin {
    fn of(url: &Url) -> Result<Self, Error> {
        let host = match url.host() {
            Some(Host::Domain(name)) => Some(name.to_owned()),
            Some(Host::Ipv4(address)) => Some(address.to_string()),
            Some(Host::Ipv6(address)) => Some(address.to_string()),
            None => None,
        };
        let is_web = matches!(url.scheme(), "http" | "https");
        match (host, url.port_or_known_default()) {
            (Some(host), Some(port)) if is_web => {
                Ok(Self { is_secure: url.scheme() == "https", host, port })
            }
            _ => {
                let message = format!("`{}` is not an http or https address", redact(url));
                Err(Error::new(Code::UnsupportedSource, message))
            }
        }
    }
}

async fn start(
    network: &Network,
    stream: impl Read + Write + Unpin + 'static,
) -> Result<Sender, Cause> {
    let (sender, connection) = handshake(stream).await?;
    network.spawn(async move {
        // Its failure reaches the request that it breaks; an idle connection may break in peace.
        let _ = connection.await;
    });
    Ok(sender)
}
