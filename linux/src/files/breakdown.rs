//! A ring that fails as a whole: io_uring_enter(2) is refused for good.
//!
//! What the kernel did not take fails with the ring's error, and with that all that comes later, so
//! that the caller can go on by other means. Of what it took nothing can be known any more: it
//! posts completions only to who enters.

use std::io;

use super::FileRing;
use super::flight::State;
use crate::operation::Step;

impl<T> FileRing<T> {
    /// Nothing is submitted from now on.
    pub(super) fn break_down(&mut self, error: &io::Error) {
        self.breakdown.get_or_insert(error.raw_os_error().unwrap_or(libc::EIO));
        // The kernel owns the files whose closes it took; the others are closed here.
        let taken = self.taken();
        for (entry, file) in self.closing.drain(..) {
            if entry < taken {
                std::mem::forget(file);
            }
        }
    }

    /// Fails what the kernel did not take; an error where it took something.
    pub(super) fn end_all(&mut self) -> io::Result<()> {
        self.take_completions();
        self.fail_untaken();
        if self.awaited == 0 {
            return Ok(());
        }
        Err(io::Error::from_raw_os_error(self.breakdown.unwrap_or(libc::EIO)))
    }

    /// Completes, with the ring's error, all entries that the kernel will never see.
    fn fail_untaken(&mut self) {
        let taken = self.taken();
        let result = -self.breakdown.unwrap_or(libc::EIO);
        let ids: Vec<_> = self.flights.iter().map(|(id, _)| id).collect();
        for id in ids {
            // A file that is half written is closed first, which fails as well.
            while let Some(step) = self.untaken_step(id, taken) {
                self.take(id, step, result);
            }
        }
    }

    /// A part of an operation that should have been submitted and that the kernel did not take.
    fn untaken_step(&self, id: usize, taken: u64) -> Option<Step> {
        let flight = self.flights.get(id)?;
        let is_untaken = flight.first_entry >= taken;
        match &flight.state {
            State::Single => is_untaken.then_some(Step::Whole),
            State::Writing { written: 0, .. } => is_untaken.then_some(Step::Open),
            State::Writing { .. } => is_untaken.then_some(Step::Write),
            State::Failing { .. } => is_untaken.then_some(Step::Close),
            State::Opening { pending: 2, .. } if is_untaken => Some(Step::OpenSource),
            // The target's open is the second entry.
            State::Opening { target: None, pending: 1.., failure, .. } => {
                let has_failed = matches!(failure, Some((Step::Open, _)));
                let is_untaken = flight.first_entry.saturating_add(1) >= taken;
                (is_untaken && !has_failed).then_some(Step::Open)
            }
            State::Opening { .. } => None,
        }
    }

    /// How many of all entries that were ever queued the kernel took.
    fn taken(&mut self) -> u64 {
        self.queued - self.ring.queued() as u64
    }
}
