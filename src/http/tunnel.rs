//! The way through a proxy: what it is told of who we are, and the tunnel that it makes to a server
//! on request (CONNECT, RFC 9110, section 9.3.6).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{Builder, Parts};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::{Request, Response, StatusCode};
use url::Url;

use super::pool::Cause;
use super::secret_header;
use crate::config::Proxy;
use crate::error::{Code, Error, Result};
use crate::registry::host_and_port;

/// The answer to a CONNECT has a line and a few headers.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Puts the proxy's own user name and password among the headers.
pub fn authorize(proxy: &Proxy, headers: &mut HeaderMap) -> Result<()> {
    if let Some(authorization) = &proxy.authorization {
        let owner = format!("the proxy {}", host_and_port(&proxy.url));
        let value = secret_header(authorization.clone(), &owner)?;
        headers.insert(header::PROXY_AUTHORIZATION, value);
    }
    Ok(())
}

/// The proxy wants to know who asks, or somebody else.
pub fn unauthorized(address: &str) -> Error {
    let message = format!("the proxy refuses access to `{address}` with status 407");
    Error::new(Code::ProxyAuthentication, message).with_hint(
        "put its user name and password into its address, \
         `https-proxy=http://name:password@host:port/`, in your own `.npmrc` or `HTTPS_PROXY`",
    )
}

/// Why there is no tunnel.
pub enum Refusal {
    /// The connection to the proxy broke.
    Broken(Cause),
    /// What the proxy said instead.
    Status(StatusCode),
}

impl<C: Into<Cause>> From<C> for Refusal {
    fn from(cause: C) -> Self {
        Self::Broken(cause.into())
    }
}

/// Makes the stream to a proxy one to the server of `url`.
pub async fn open<S: Read + Write + Unpin>(
    stream: S,
    url: &Url,
    proxy: &Proxy,
) -> Result<S, Refusal> {
    let request = request(url, proxy).map_err(|error| Refusal::Broken(error.into()))?;
    let (response, parts) = exchange(stream, request).await.map_err(Refusal::Broken)?;
    // A proxy may answer with any success (RFC 9110), and npm takes 200 alone.
    if response.status() != StatusCode::OK {
        return Err(Refusal::Status(response.status()));
    }
    match parts {
        Some(Parts { io, read_buf, .. }) if read_buf.is_empty() => Ok(io),
        // In TLS the client speaks first.
        _ => Err(Refusal::Broken("the proxy sent more than the answer to CONNECT".into())),
    }
}

fn request(url: &Url, proxy: &Proxy) -> Result<Request<Empty<Bytes>>> {
    let host = url.host_str().unwrap_or_default();
    let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or(443));
    let failed = |cause: hyper::http::Error| {
        let message = format!("`{authority}` cannot be asked for");
        Error::new(Code::Network, message).with_source(cause)
    };
    let mut request = Request::connect(authority.as_str())
        .header(header::HOST, authority.as_str())
        .body(Empty::new())
        .map_err(failed)?;
    // Old proxies close the connection after their answer unless they are told.
    request.headers_mut().insert("proxy-connection", HeaderValue::from_static("keep-alive"));
    authorize(proxy, request.headers_mut())?;
    Ok(request)
}

/// The answer, and the stream where the answer makes it a tunnel.
async fn exchange<S: Read + Write + Unpin>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> Result<(Response<hyper::body::Incoming>, Option<Parts<S>>), Cause> {
    let (mut sender, connection) =
        Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(stream).await?;
    let mut answer = pin!(sender.send_request(request));
    let mut connection = pin!(connection.without_shutdown());
    let (mut response, mut parts) = (None, None);
    poll_fn(|context| {
        if parts.is_none()
            && let Poll::Ready(ended) = connection.as_mut().poll(context)
        {
            parts = Some(ended?);
        }
        if response.is_none()
            && let Poll::Ready(answered) = answer.as_mut().poll(context)
        {
            response = Some(answered?);
        }
        let Some(status) = response.as_ref().map(Response::status) else {
            return Poll::Pending;
        };
        // Only a tunnel ends the connection's part in it.
        if status == StatusCode::OK && parts.is_none() {
            return Poll::Pending;
        }
        Poll::Ready(Ok::<_, hyper::Error>(()))
    })
    .await?;
    match response {
        Some(response) => Ok((response, parts)),
        None => Err("the proxy did not answer".into()),
    }
}
