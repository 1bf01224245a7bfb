//! Connections that are kept open between requests, so many to an origin and no more.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::StatusCode;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use url::{Host, Url};

use super::retry::{self, Failure};
use super::timed;
use super::tunnel::{self, Refusal};
use crate::backend::network::{self, Connection, Network};
use crate::config::{NetworkSettings, Proxy};
use crate::error::{Code, Error};
use crate::registry::{host_and_port, redact};
use crate::tls::{self, ClientIdentity, Connector};

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

/// Two addresses of one origin may share a connection, if both are for the same person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    is_secure: bool,
    /// An IPv6 address has no brackets.
    host: String,
    port: u16,
    identity: Option<ClientIdentity>,
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
    /// new one, in place of an idle one. An address is always reached by the same `proxy`.
    pub async fn lease(
        &self,
        url: &Url,
        proxy: Option<&Proxy>,
        is_fresh: bool,
    ) -> Result<Lease, Failure> {
        let mut origin = Origin::of(url)?;
        origin.identity = ClientIdentity::of(url, &self.settings);
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
            None => self.open(url, proxy, &origin, &connections).await?,
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
        proxy: Option<&Proxy>,
        origin: &Origin,
        connections: &Connections,
    ) -> Result<Sender, Failure> {
        let identity = origin.identity.as_ref();
        let handshake = origin.is_secure.then(|| self.tls.prepare(&self.settings, identity));
        let handshake = handshake.transpose()?;
        let opening = Box::pin(async {
            let stream = match proxy {
                None => self.connect(origin, connections).await?,
                Some(proxy) => self.connect_to_proxy(proxy, connections).await?,
            };
            let Some(handshake) = handshake else {
                return Ok(start(&self.network, stream).await?);
            };
            let stream = match proxy {
                None => stream,
                Some(proxy) => tunnel::open(stream, url, proxy).await?,
            };
            let stream = handshake.run(&origin.host, stream).await.map_err(Cause::from)?;
            Ok(start(&self.network, stream).await?)
        });
        let limit = self.settings.fetch_timeout;
        let place = match proxy {
            None => format!("`{}`", host_and_port(url)),
            Some(proxy) => {
                format!("`{}` by the proxy `{}`", host_and_port(url), host_and_port(&proxy.url))
            }
        };
        let Some(opened) = timed(&self.network, limit, opening).await else {
            let message = format!("{place} accepted no connection in time");
            return Err(Failure::passing(Error::new(Code::Network, message)));
        };
        opened.map_err(|refusal| refused(&place, url, refusal))
    }

    async fn connect(
        &self,
        origin: &Origin,
        connections: &Connections,
    ) -> Result<Connection, Cause> {
        let addresses = connections
            .addresses
            .get_or_try_init(|| network::resolve(&origin.host, origin.port))
            .await?;
        Ok(self.network.connect(addresses).await?)
    }

    /// To an https proxy the connection is secure itself, whatever goes through it.
    async fn connect_to_proxy(
        &self,
        proxy: &Proxy,
        connections: &Connections,
    ) -> Result<Connection, Cause> {
        let origin = Origin::of(&proxy.url)?;
        let stream = self.connect(&origin, connections).await?;
        if !origin.is_secure {
            return Ok(stream);
        }
        let handshake = self.tls.prepare(&self.settings, None)?;
        Ok(Box::new(handshake.run(&origin.host, stream).await?))
    }
}

/// What came of an attempt to connect, for the person who waits for it.
fn refused(place: &str, url: &Url, refusal: Refusal) -> Failure {
    let message = format!("failed to connect to {place}");
    let error = Error::new(Code::Network, message);
    match refusal {
        Refusal::Status(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
            Failure::Lasting(tunnel::unauthorized(&host_and_port(url)))
        }
        Refusal::Status(status) => {
            let error = error.with_source(format!("the proxy answered with status {status}"));
            if retry::is_passing_status(status.as_u16()) {
                Failure::passing(error)
            } else {
                Failure::Lasting(error)
            }
        }
        Refusal::Broken(cause) => {
            // Settings that cannot be used are reported as what they are.
            let cause = match cause.downcast::<Error>() {
                Ok(error) => return Failure::Lasting(*error),
                Err(cause) => cause,
            };
            let hint = tls::refusal_hint(&*cause);
            let error = error.with_source(cause);
            match hint {
                Some(hint) => Failure::Lasting(error.with_hint(hint)),
                None => Failure::passing(error),
            }
        }
    }
}

pub type Cause = Box<dyn std::error::Error + Send + Sync>;

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
                Ok(Self { is_secure: url.scheme() == "https", host, port, identity: None })
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
