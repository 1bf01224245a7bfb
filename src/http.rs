//! Downloads over HTTP/1.1: connections kept open, redirects, retries, limits.
//!
//! It knows nothing of packages, nor of who carries the bytes ([`crate::backend::network`]).

use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use url::Url;

mod body;
mod budget;
mod pace;
mod pool;
mod retry;
#[cfg(test)]
mod tests;
mod tunnel;

pub use body::Body;
pub use budget::{Budget, Reservation};

use crate::backend::network::Network;
use crate::config::{NetworkSettings, Proxy};
use crate::error::{Code, Error, Result};
use crate::registry::{host_and_port, redact};
use crate::tls;
use body::Gathering;
use pace::Pace;
use pool::{Lease, Pool};
use retry::Failure;

/// The largest package there is has a few hundred MiB; what is larger than this is no package.
pub const TARBALL_BYTES_MAX: u64 = 1 << 30;
/// Nearly all tarballs are smaller; a larger one in each of many connections would be too much.
pub const BODY_MEMORY_MAX: u64 = 8 << 20;
/// Browsers follow 20 and registries send one or two.
const REDIRECTS_MAX: usize = 10;
/// The text of a refusal is read to keep the connection, unless it is longer or takes longer than
/// a new connection would.
const DRAINED_BYTES_MAX: usize = 64 << 10;
const DRAIN_WAIT: Duration = Duration::from_millis(500);

/// What may come in one answer. Tests have smaller limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub body_bytes_max: u64,
    pub body_memory_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes_max: TARBALL_BYTES_MAX, body_memory_max: BODY_MEMORY_MAX }
    }
}

/// What a client has done so far, to be read from any thread.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    bytes_received: AtomicU64,
}

impl Traffic {
    /// Requests made: retries and redirects count, one on a connection that was found dead does
    /// not.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies, those of failed tries among them.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received.load(Ordering::Relaxed)
    }
}

/// Gets addresses. Many may be asked for at once; each waits for a connection of its own.
#[derive(Debug)]
pub struct Client {
    network: Network,
    settings: Rc<NetworkSettings>,
    limits: Limits,
    budget: Budget,
    spool: PathBuf,
    pool: Pool,
    traffic: Arc<Traffic>,
}

impl Client {
    /// Large bodies go through unnamed files in the folder `spool`.
    pub fn new(
        network: Network,
        settings: NetworkSettings,
        limits: Limits,
        budget: Budget,
        spool: &Path,
        traffic: Arc<Traffic>,
    ) -> Self {
        let settings = Rc::new(settings);
        let pool = Pool::new(network.clone(), settings.clone());
        Self { network, settings, limits, budget, spool: spool.to_owned(), pool, traffic }
    }

    /// The body at an address. `authorization` is asked for the header of each address on the way,
    /// so that a redirect takes along nothing that is not meant for its target.
    pub async fn get(
        &self,
        url: &Url,
        authorization: impl Fn(&Url) -> Option<String>,
    ) -> Result<Body> {
        let mut tries_made = 0;
        loop {
            let failure = match self.get_once(url, &authorization).await {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            tries_made += 1;
            match failure {
                Failure::Passing { retry_after, .. }
                    if tries_made <= self.settings.fetch_retries =>
                {
                    let wait = retry::wait(&self.settings, tries_made, retry_after);
                    self.network.sleep(wait).await;
                }
                Failure::Passing { error, .. } | Failure::Lasting(error) => return Err(error),
            }
        }
    }

    async fn get_once(
        &self,
        url: &Url,
        authorization: &impl Fn(&Url) -> Option<String>,
    ) -> Result<Body, Failure> {
        let mut here = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let (response, lease) = self.send(&here, authorization(&here)).await?;
            match response.status().as_u16() {
                200 => return self.read(&here, response, lease).await,
                301 | 302 | 303 | 307 | 308 => {
                    here = redirect_target(&here, response.headers())?;
                    self.drain(response, lease).await;
                }
                status => {
                    let failure = refusal(&here, status, response.headers());
                    self.drain(response, lease).await;
                    return Err(failure);
                }
            }
        }
        let message = format!("`{}` led to more than {REDIRECTS_MAX} redirects", redact(url));
        Err(Error::new(Code::Network, message).into())
    }

    /// The head of an answer. A connection that died while it was idle is replaced by a new one.
    async fn send(
        &self,
        url: &Url,
        authorization: Option<String>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let proxy = self.settings.proxies.of(url)?;
        let request = self.request(url, authorization, proxy.as_ref())?;
        let mut is_fresh = false;
        loop {
            let mut lease = self.pool.lease(url, proxy.as_ref(), is_fresh).await?;
            let answer = self.timed(lease.sender.send_request(request.clone())).await;
            if let Some(Err(_)) = answer
                && lease.is_reused
            {
                is_fresh = true;
                continue;
            }
            self.traffic.requests.fetch_add(1, Ordering::Relaxed);
            return match answer {
                Some(Ok(response)) => Ok((response, lease)),
                Some(Err(cause)) => Err(broken(url, cause)),
                None => Err(self.silent(url)),
            };
        }
    }

    /// An http proxy is told the whole address; the way to an https one goes through a tunnel, in
    /// which the request is the server's alone.
    fn request(
        &self,
        url: &Url,
        authorization: Option<String>,
        proxy: Option<&Proxy>,
    ) -> Result<Request<Empty<Bytes>>> {
        let proxy = proxy.filter(|_| url.scheme() == "http");
        let mut target = match proxy {
            Some(_) => format!("http://{}{}", host_and_port(url), url.path()),
            None => url.path().to_owned(),
        };
        if let Some(query) = url.query() {
            target.push('?');
            target.push_str(query);
        }
        let mut request = Request::get(target)
            .header(header::HOST, host_and_port(url))
            .header(header::ACCEPT, "*/*")
            // A tarball is compressed already, and its integrity is that of its bytes as they are.
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, &self.settings.user_agent)
            .body(Empty::new())
            .map_err(|cause| {
                let message = format!("`{}` cannot be asked for", redact(url));
                Error::new(Code::Network, message).with_source(cause)
            })?;
        if let Some(authorization) = authorization {
            let owner = url.host_str().unwrap_or_default();
            let value = secret_header(authorization, owner)?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        if let Some(proxy) = proxy {
            tunnel::authorize(proxy, request.headers_mut())?;
        }
        Ok(request)
    }

    /// Reads a body to its end, within the limits and the budget.
    async fn read(
        &self,
        url: &Url,
        response: Response<Incoming>,
        lease: Lease,
    ) -> Result<Body, Failure> {
        let mut incoming = response.into_body();
        let Limits { body_bytes_max, body_memory_max } = self.limits;
        let claimed = incoming.size_hint().exact();
        if claimed.is_some_and(|length| length > body_bytes_max) {
            return Err(too_large(url, body_bytes_max));
        }
        // What is known to be large goes to a file from its first byte.
        let in_memory = claimed.unwrap_or(body_memory_max);
        let in_memory = if in_memory > body_memory_max { 0 } else { in_memory };
        let reservation = self.budget.reserve(in_memory).await;
        let memory_max = if claimed.is_some() { in_memory } else { body_memory_max };
        let mut gathering = Gathering::new(&self.spool, memory_max, claimed, reservation);
        let pace = Pace::start(self.settings.fetch_timeout);
        loop {
            let limit = pace.limit(gathering.length());
            let frame = match timed(&self.network, limit, incoming.frame()).await {
                Some(Some(Ok(frame))) => frame,
                Some(Some(Err(cause))) => return Err(broken(url, cause)),
                Some(None) => break,
                None => return Err(pace.failure(&redact(url), gathering.length())),
            };
            // Trailers are of no use.
            let Some(data) = frame.data_ref() else { continue };
            self.traffic.bytes_received.fetch_add(data.len() as u64, Ordering::Relaxed);
            if gathering.length() + data.len() as u64 > body_bytes_max {
                return Err(too_large(url, body_bytes_max));
            }
            gathering.push(data)?;
        }
        lease.give_back();
        Ok(gathering.finish()?)
    }

    /// Reads what is left of an answer that is not wanted, so that its connection can be used
    /// again.
    async fn drain(&self, response: Response<Incoming>, lease: Lease) {
        let mut incoming = response.into_body();
        let to_the_end = async {
            let mut length = 0;
            while let Some(frame) = incoming.frame().await {
                length += frame.ok()?.data_ref().map_or(0, Bytes::len);
                if length > DRAINED_BYTES_MAX {
                    return None;
                }
            }
            Some(())
        };
        if let Some(Some(())) = self.network.timeout(DRAIN_WAIT, to_the_end).await {
            lease.give_back();
        }
    }

    async fn timed<F: Future>(&self, future: F) -> Option<F::Output> {
        timed(&self.network, self.settings.fetch_timeout, future).await
    }

    fn silent(&self, url: &Url) -> Failure {
        let seconds = self.settings.fetch_timeout.as_secs_f64();
        let message = format!("`{}` sent nothing for {seconds} seconds", redact(url));
        Failure::passing(Error::new(Code::Network, message))
    }
}

/// The future's output, unless it takes longer than `limit`; zero is no limit.
async fn timed<F: Future>(network: &Network, limit: Duration, future: F) -> Option<F::Output> {
    if limit.is_zero() {
        return Some(future.await);
    }
    network.timeout(limit, future).await
}

/// A header that no log shows.
fn secret_header(text: String, owner: &str) -> Result<HeaderValue> {
    // The cause would say nothing, and must not show the value.
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        let message = format!("the credentials for `{owner}` hold a line break or the like");
        Error::new(Code::Config, message)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn redirect_target(url: &Url, headers: &HeaderMap) -> Result<Url, Error> {
    let refuse =
        |problem: &str| Error::new(Code::Network, format!("`{}` redirects {problem}", redact(url)));
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let mut target = location
        .and_then(|location| url.join(location).ok())
        .ok_or_else(|| refuse("to no address"))?;
    match (url.scheme(), target.scheme()) {
        ("https", "https") | ("http", "http" | "https") => {}
        ("https", "http") => return Err(refuse("from https to http")),
        _ => return Err(refuse("to an address that is neither http nor https")),
    }
    // A user name in an address is not sent; with a host to go with it, neither call can fail.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    Ok(target)
}

/// What an answer other than 200 means.
fn refusal(url: &Url, status: u16, headers: &HeaderMap) -> Failure {
    let shown = redact(url);
    if retry::is_passing_status(status) {
        let error = Error::new(Code::Network, format!("`{shown}` answered with status {status}"));
        let retry_after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        return Failure::Passing {
            error,
            retry_after: retry_after
                .and_then(|value| retry::parse_retry_after(value, SystemTime::now())),
        };
    }
    Failure::Lasting(match status {
        401 | 403 => {
            let message = format!("`{shown}` refuses access with status {status}");
            let code = if status == 401 { Code::Unauthorized } else { Code::Forbidden };
            Error::new(code, message).with_hint(format!(
                "set `//{}/:_authToken` in `.npmrc` to a valid token",
                host_and_port(url)
            ))
        }
        407 => tunnel::unauthorized(&shown),
        404 | 410 => Error::new(Code::NotFound, format!("`{shown}` does not exist")),
        _ => Error::new(Code::Network, format!("`{shown}` answered with status {status}")),
    })
}

/// A connection that broke, or an answer that ended early or makes no sense.
fn broken(url: &Url, cause: hyper::Error) -> Failure {
    let message = format!("failed to download `{}`", redact(url));
    let hint = tls::refusal_hint(&cause);
    let error = Error::new(Code::Network, message).with_source(cause);
    match hint {
        // Another try would be refused alike.
        Some(hint) => Failure::Lasting(error.with_hint(hint)),
        None => Failure::passing(error),
    }
}

fn too_large(url: &Url, limit: u64) -> Failure {
    let message = format!("`{}` is larger than {limit} bytes", redact(url));
    Failure::Lasting(Error::new(Code::Tarball, message))
}
