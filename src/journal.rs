//! What is happening, for whoever wants to know: the stream of events, the trace, and the board of
//! what is awaited.
//!
//! One handle goes everywhere. Where nobody has asked for events or a trace, telling is one look at
//! a pointer: nothing is built, nothing is locked. The board is always kept, because a run that
//! hangs has to say why; it costs two locks a download that nobody else wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;

mod board;
mod event;
mod stream;
mod trace;

pub use board::{Awaited, Board, Wait};
pub use event::{Event, PackageSource};
pub use stream::EventStream;
pub use trace::{Lane, Span, Trace};

/// The handle; clones are of the same journal. By default nothing is recorded.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    board: Board,
    stream: Option<EventStream>,
    trace: Option<Trace>,
    is_concluded: AtomicBool,
}

impl Journal {
    pub fn new(stream: Option<EventStream>, trace: Option<Trace>) -> Self {
        let inner = Inner { stream, trace, ..Inner::default() };
        Self { inner: Arc::new(inner) }
    }

    pub fn board(&self) -> &Board {
        &self.inner.board
    }

    /// Writes an event, if there is a stream; `event` is not called where there is none.
    pub fn tell<'e>(&self, event: impl FnOnce() -> Event<'e>) {
        if let Some(stream) = &self.inner.stream {
            stream.write(std::iter::once(event()));
        }
    }

    /// Writes many events at once; `events` is not called where there is no stream.
    pub fn tell_all<'e, I: Iterator<Item = Event<'e>>>(&self, events: impl FnOnce() -> I) {
        if let Some(stream) = &self.inner.stream {
            stream.write(events());
        }
    }

    /// What this thread does from now until the value is dropped, for the trace.
    pub fn span(&self, name: impl FnOnce() -> String) -> Span<'_> {
        Span::begin(self.inner.trace.as_ref(), Lane::ThisThread, name)
    }

    /// The same for one of many things that one thread does side by side.
    pub fn span_in(&self, lane: Lane, name: impl FnOnce() -> String) -> Span<'_> {
        Span::begin(self.inner.trace.as_ref(), lane, name)
    }

    /// Whether the caller is the first who has the last word: the result, or what ended the run
    /// before there was one. Only one of them is told.
    pub fn conclude(&self) -> bool {
        !self.inner.is_concluded.swap(true, Ordering::AcqRel)
    }

    /// Writes the trace, and fails if that, or a line of the stream before, could not be written.
    pub fn close(&self) -> Result<()> {
        let traced = self.inner.trace.as_ref().map_or(Ok(()), Trace::write);
        let streamed = self.inner.stream.as_ref().map_or(Ok(()), EventStream::check);
        traced.and(streamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_built_where_nobody_listens() {
        let journal = Journal::default();
        journal.tell(|| unreachable!("there is no stream"));
        journal.tell_all(|| -> std::iter::Empty<Event<'_>> { unreachable!("nor here") });
        drop(journal.span(|| unreachable!("there is no trace")));
        journal.close().unwrap();
    }

    #[test]
    fn only_one_has_the_last_word() {
        let journal = Journal::default();
        assert!(journal.clone().conclude());
        assert!(!journal.conclude());
    }
}
