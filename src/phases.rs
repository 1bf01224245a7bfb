//! The phases of a command, one after the other: for the summary, the events and the trace.

use std::time::{Duration, Instant};

use crate::journal::{Event, Journal, Span};

/// Which phase it is, and how long those before it took.
#[derive(Debug)]
pub struct Phases<'j> {
    journal: &'j Journal,
    start: Instant,
    current: Option<Current<'j>>,
    ended: Vec<(&'static str, Duration)>,
}

#[derive(Debug)]
struct Current<'j> {
    name: &'static str,
    began: Instant,
    _span: Span<'j>,
}

impl<'j> Phases<'j> {
    pub fn start(journal: &'j Journal, first: &'static str) -> Self {
        let mut phases = Self { journal, start: Instant::now(), current: None, ended: Vec::new() };
        phases.enter(first);
        phases
    }

    /// Ends the phase before, and begins the next.
    pub fn enter(&mut self, name: &'static str) {
        self.leave();
        self.journal.board().set_phase(name);
        self.journal.tell(|| Event::PhaseStarted { phase: name });
        let span = self.journal.span(|| name.to_owned());
        self.current = Some(Current { name, began: Instant::now(), _span: span });
    }

    /// The time since the start, and that of each phase.
    pub fn end(mut self) -> (Duration, Vec<(&'static str, Duration)>) {
        self.leave();
        (self.start.elapsed(), std::mem::take(&mut self.ended))
    }

    fn leave(&mut self) {
        let Some(Current { name, began, .. }) = self.current.take() else { return };
        let duration = began.elapsed();
        self.ended.push((name, duration));
        self.journal.tell(|| Event::PhaseEnded { phase: name, duration: duration.as_secs_f64() });
    }
}

/// A phase that fails ends too.
impl Drop for Phases<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
