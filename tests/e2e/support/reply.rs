//! How a registry answers one request, rightly or wrongly.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};

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
        let body = ReplyBody { claimed: self.body.len(), rest: Some(self.body.slice(..sent)) };
        response.body(body).unwrap()
    }
}

/// A body that can be shorter than it says; hyper then drops the connection.
#[derive(Debug)]
pub struct ReplyBody {
    claimed: usize,
    rest: Option<Bytes>,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.rest.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.claimed == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.claimed as u64)
    }
}
