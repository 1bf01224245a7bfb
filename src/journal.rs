//! What is happening, for whoever wants to know: the stream of events, the trace, and the board of
//! what is awaited.
//!
//! One handle goes everywhere. Where nobody has asked for events or a trace, telling is one look at
//! a pointer: nothing is built, nothing is locked. The board is always kept, because a run that
//! hangs has to say why; it costs two locks a download that nobody else wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use interruption::Interruption;

mod board;
mod event;
mod interruption;
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
    is_of_preparation: bool,
}

#[derive(Debug, Default)]
struct Inner {
    board: Board,
    stream: Option<EventStream>,
    trace: Option<Trace>,
    interruption: Interruption,
    is_concluded: AtomicBool,
}

impl Journal {
    pub fn new(stream: Option<EventStream>, trace: Option<Trace>) -> Self {
        let inner = Inner { stream, trace, ..Inner::default() };
        Self { inner: Arc::new(inner), is_of_preparation: false }
    }

    /// The same for work on packages that is only the first part: of each package one event is
    /// told, and that when all of it is done.
    #[must_use]
    pub fn of_preparation(&self) -> Self {
        Self { is_of_preparation: true, ..self.clone() }
    }

    pub fn is_of_preparation(&self) -> bool {
        self.is_of_preparation
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

    /// Lets someone end what is running before a signal ends the run. `interrupt` is called with
    /// the signal on another thread; where it says true, the run is left to end by an error, and
    /// the process ends by the signal then.
    pub fn on_signal(&self, interrupt: impl Fn(i32) -> bool + Send + Sync + 'static) {
        self.inner.interruption.set(Box::new(interrupt));
    }

    /// Passes a signal on to who has asked for it; true where the run ends by itself now.
    pub fn interrupt(&self, signal: i32) -> bool {
        self.inner.interruption.pass(signal)
    }

    /// The signal that the run is ending for.
    pub fn taken_signal(&self) -> Option<i32> {
        self.inner.interruption.taken()
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
    fn a_signal_is_taken_by_who_has_something_to_end() {
        let journal = Journal::default();
        assert!(!journal.interrupt(15));
        journal.on_signal(|signal| signal == 2);
        assert!(!journal.interrupt(15));
        assert_eq!(journal.taken_signal(), None);
        assert!(journal.clone().interrupt(2));
        assert_eq!(journal.taken_signal(), Some(2));
    }

    #[test]
    fn a_signal_is_taken_before_what_it_ends_can_ask_for_it() {
        let journal = Journal::default();
        let (ending, ended) = std::sync::mpsc::channel();
        journal.on_signal(move |_| ending.send(()).is_ok());
        let asking = journal.clone();
        let asked = std::thread::spawn(move || ended.recv().map(|()| asking.taken_signal()));
        assert!(journal.interrupt(2));
        assert_eq!(asked.join().unwrap().unwrap(), Some(2));
    }

    #[test]
    fn only_one_has_the_last_word() {
        let journal = Journal::default();
        assert!(journal.clone().conclude());
        assert!(!journal.conclude());
    }
}
