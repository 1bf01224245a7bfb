//! How a registry answers one request, rightly or wrongly.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Interval;

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub kind: ReplyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    Whole,
    /// Says the length of the whole body, sends half of it, and closes the connection.
    Truncated,
    /// Takes the request and never answers.
    Silent,
    /// Answers when so many requests for the path have come.
    After(usize),
    /// Says that there are a billion bytes, and sends one of them now and then.
    Dripping,
}

impl Reply {
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::status(200) }
    }

    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), kind: ReplyKind::Whole }
    }

    pub fn redirect(location: &str) -> Self {
        Self::status(302).header("location", location)
    }

    pub fn silence() -> Self {
        Self { kind: ReplyKind::Silent, ..Self::status(200) }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn truncated(self) -> Self {
        Self { kind: ReplyKind::Truncated, ..self }
    }

    pub fn dripping() -> Self {
        Self { kind: ReplyKind::Dripping, ..Self::status(200) }
    }

    pub fn after(self, requests: usize) -> Self {
        Self { kind: ReplyKind::After(requests), ..self }
    }

    pub fn into_response(self) -> Response<ReplyBody> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let sent = match self.kind {
            ReplyKind::Truncated => self.body.len() / 2,
            _ => self.body.len(),
        };
        let drip = (self.kind == ReplyKind::Dripping).then(|| tokio::time::interval(DRIP));
        let claimed = if drip.is_some() { 1 << 30 } else { self.body.len() };
        let body = ReplyBody { claimed, rest: Some(self.body.slice(..sent)), drip };
        response.body(body).unwrap()
    }
}

/// A body that can be shorter than it says; hyper then drops the connection.
#[derive(Debug)]
pub struct ReplyBody {
    claimed: usize,
    rest: Option<Bytes>,
    drip: Option<Interval>,
}

const DRIP: Duration = Duration::from_millis(10);

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(drip) = &mut self.drip {
            return drip
                .poll_tick(context)
                .map(|_| Some(Ok(Frame::data(Bytes::from_static(b"x")))));
        }
        Poll::Ready(self.rest.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.claimed == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.claimed as u64)
    }
}
