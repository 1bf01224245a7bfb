//! File operations on a ring, thousands in flight.
//!
//! The kernel hands every operation on a path to its worker threads, and wakes one each time it
//! finds none at work. What keeps that rare: as many workers as processors, thousands of
//! operations in flight, and a submitter that sleeps until half of them are done.
//!
//! Who owns what: an operation lives in `flights` from its first entry to its last completion, so
//! that its paths and bytes stay where the kernel looks for them; a file that is written is in a
//! slot of the ring's own table until its close has completed; the two files of a duplicate are
//! descriptors of the process, owned by their flight.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use io_uring::squeue::Entry;
use slab::Slab;

use crate::operation::{Failed, FileOperation, Step};
use crate::ring::{Counts, Options, Ring, Wait};

mod breakdown;
mod entries;
mod flight;

use entries::Meaning;
use flight::{Flight, State, Why};

/// How a [`FileRing`] is made.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Operations in flight, at most; pushing another waits until half of them are done.
    pub in_flight_max: u32,
    /// The kernel's worker threads, at most.
    pub workers_max: u32,
    /// Files that are written at the same time, each in a slot of the ring's own table.
    pub writes_max: u32,
    /// Duplicates at the same time, each with two file descriptors of the process.
    pub duplicates_max: u32,
    /// See [`Options::opcodes_allowed`].
    pub opcodes_allowed: Option<Vec<u8>>,
}

/// A ring for one thread's file operations. They complete in any order.
pub struct FileRing<T> {
    ring: Ring,
    directories: Vec<Arc<OwnedFd>>,
    /// Leaked where the kernel cannot be asked whether it is done with them.
    flights: ManuallyDrop<Slab<Flight<T>>>,
    failures: VecDeque<Failed<T>>,
    free_slots: Vec<u32>,
    in_flight_max: usize,
    duplicates: usize,
    duplicates_max: usize,
    /// Completions that are still to come.
    awaited: usize,
    /// Entries that were ever queued, by which one can tell those that the kernel took.
    queued: u64,
    /// Files whose close is queued, each with its entry's number: the kernel's when it takes that.
    closing: Vec<(u64, File)>,
    /// Whether the kernel refuses to close descriptors on the ring.
    is_close_refused: bool,
    /// Of the ring itself: nothing is submitted any more.
    breakdown: Option<i32>,
}

/// Hardly more than waking up takes.
const NAP_MIN: Duration = Duration::from_micros(50);
/// At most 250 switches in a second; the workers have more than that to do meanwhile.
const NAP_MAX: Duration = Duration::from_millis(4);
/// The number of entries that are not queued at all.
const NEVER: u64 = u64::MAX;
/// More than this is not written by one entry, whose length has 32 bits.
const WRITE_BYTES_MAX: usize = 1 << 30;

impl<T> FileRing<T> {
    /// Paths are relative to `directories`, by their number.
    pub fn new(options: &FileOptions, directories: Vec<Arc<OwnedFd>>) -> io::Result<Self> {
        let ring = Ring::new(&Options {
            // The longest chain has three entries.
            submissions: options.in_flight_max.max(4),
            completions: options.in_flight_max.saturating_mul(2).max(8),
            workers_max: Some(options.workers_max.max(1)),
            opcodes_allowed: options.opcodes_allowed.clone(),
        })?;
        if options.writes_max > 0 {
            ring.submitter().register_files_sparse(options.writes_max)?;
        }
        Ok(Self {
            ring,
            directories,
            flights: ManuallyDrop::new(Slab::new()),
            failures: VecDeque::new(),
            free_slots: (0..options.writes_max).collect(),
            in_flight_max: (options.in_flight_max as usize).max(1),
            duplicates: 0,
            duplicates_max: (options.duplicates_max as usize).max(1),
            awaited: 0,
            queued: 0,
            closing: Vec::new(),
            is_close_refused: false,
            breakdown: None,
        })
    }

    /// How often the ring was used, since it was last asked.
    pub fn take_counts(&mut self) -> Counts {
        self.ring.take_counts()
    }

    /// Takes an operation, waiting for others where too many are in flight. Where the ring itself
    /// has failed, the operation fails at once, with that reason. An error is that of a ring which
    /// failed in such a way that what became of operations in flight cannot be known.
    pub fn push(&mut self, operation: FileOperation, tag: T) -> io::Result<()> {
        self.make_room(&operation)?;
        let refusal = match &operation {
            _ if self.breakdown.is_some() => self.breakdown,
            FileOperation::WriteFile { bytes, .. } if bytes.len() > WRITE_BYTES_MAX => {
                Some(libc::EFBIG)
            }
            FileOperation::WriteFile { .. } if self.free_slots.is_empty() => Some(libc::ENFILE),
            _ => None,
        };
        if let Some(errno) = refusal {
            let error = io::Error::from_raw_os_error(errno);
            self.failures.push_back(Failed { operation, tag, step: Step::Whole, error });
            return Ok(());
        }
        let state = self.first_state(&operation);
        let id = self.flights.insert(Flight { operation, tag, state, first_entry: self.queued });
        self.start(id);
        Ok(())
    }

    /// Waits until all that was pushed is done; errors are those of [`FileRing::push`].
    pub fn finish(&mut self) -> io::Result<()> {
        // Closes that post nothing may be queued still.
        while self.awaited > 0 || !self.closing.is_empty() {
            self.wait_for(self.awaited)?;
        }
        Ok(())
    }

    /// Operations that failed, first come first.
    pub fn take_failure(&mut self) -> Option<Failed<T>> {
        self.failures.pop_front()
    }

    /// Why nothing is submitted any more.
    pub fn breakdown(&self) -> Option<io::Error> {
        self.breakdown.map(io::Error::from_raw_os_error)
    }

    fn make_room(&mut self, operation: &FileOperation) -> io::Result<()> {
        while self.flights.len() >= self.in_flight_max {
            self.wait_for(self.awaited.saturating_sub(self.in_flight_max / 2).max(1))?;
        }
        match operation {
            FileOperation::WriteFile { .. } => {
                while self.free_slots.is_empty() && self.awaited > 0 {
                    self.wait_for(self.awaited.div_ceil(2))?;
                }
            }
            FileOperation::Duplicate { .. } => {
                while self.duplicates >= self.duplicates_max {
                    self.wait_for(self.awaited.div_ceil(2))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn first_state(&mut self, operation: &FileOperation) -> State {
        match operation {
            FileOperation::WriteFile { .. } => {
                // `push` has seen to it that there is one.
                let slot = self.free_slots.pop().unwrap_or_default();
                State::Writing { slot, written: 0 }
            }
            FileOperation::Duplicate { .. } => {
                self.duplicates += 1;
                State::Opening { source: None, target: None, pending: 2, failure: None }
            }
            _ => State::Single,
        }
    }

    /// Queues the first entries of an operation.
    fn start(&mut self, id: usize) {
        match &self.flights[id].operation {
            FileOperation::WriteFile { .. } => self.queue_write(id),
            FileOperation::Duplicate { source, target, mode, .. } => {
                let opens = entries::opens(&self.directories, id, source, target, *mode);
                self.queue(id, &opens, 2);
            }
            operation => {
                let entry = entries::single(&self.directories, id, operation);
                self.queue(id, &[entry], 1);
            }
        }
    }

    /// Queues what is left to do for a file that is written: its open, if nothing is written yet,
    /// the rest of its bytes, and its close. Of the whole chain one completion comes: that of the
    /// close, or that of the first entry that failed.
    fn queue_write(&mut self, id: usize) {
        let Flight { operation, state, .. } = &self.flights[id];
        let (FileOperation::WriteFile { at, mode, bytes }, State::Writing { slot, written }) =
            (operation, state)
        else {
            unreachable!("only a file that is written has something to write");
        };
        let mut chain = Vec::with_capacity(3);
        if *written == 0 {
            chain.push(entries::open_in_slot(&self.directories, id, at, *mode, *slot));
        }
        chain.extend(entries::write(id, *slot, bytes, *written));
        chain.push(entries::close_slot(id, *slot));
        self.queue(id, &chain, 1);
    }

    /// Queues entries of an operation, which post so many completions.
    fn queue(&mut self, id: usize, entries: &[Entry], completions: usize) {
        self.awaited += completions;
        self.flights[id].first_entry = NEVER;
        if self.breakdown.is_some() {
            return;
        }
        // SAFETY: the paths and bytes belong to the operation in `flights`, where they stay on the
        // heap and untouched until the flight has landed; the directories live as long as the ring.
        match unsafe { self.ring.push(entries) } {
            Ok(()) => {
                self.flights[id].first_entry = self.queued;
                self.queued += entries.len() as u64;
            }
            Err(error) => self.break_down(&error),
        }
    }

    /// Submits what is queued, and takes all completions when as many are there.
    ///
    /// The thread naps between looks: one that waits in the kernel is woken by each operation that
    /// a worker has done, however many it waits for (`io_req_local_work_add`), and one that naps
    /// by nothing but the time. The naps grow, so that a small batch is not kept waiting. It takes
    /// a ring with deferred work: without, each operation wakes even one that naps, to have its
    /// memory freed (`io_wq_free_work`).
    fn wait_for(&mut self, completions: usize) -> io::Result<()> {
        if self.breakdown.is_some() {
            return self.end_all();
        }
        let mut nap = NAP_MIN;
        loop {
            // Of what is done the kernel posts only as much as is waited for, so this waits, for no
            // time, for all (`IO_LOCAL_TW_DEFAULT_MAX`, Linux 6.13).
            let look = Wait { completions, batch_for: None, limit: Some(Duration::ZERO) };
            if let Err(error) = self.ring.wait(&look) {
                self.break_down(&error);
                break;
            }
            self.give_up_closing();
            if self.ring.ready() >= completions {
                break;
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(NAP_MAX);
        }
        self.take_completions();
        Ok(())
    }

    fn take_completions(&mut self) {
        while let Some(completion) = self.ring.completion() {
            match entries::meaning(completion.user_data) {
                Meaning::Part(id, step) => self.take(id, step, completion.result),
                Meaning::Close(fd) => self.take_close(fd, completion.result),
            }
        }
    }

    fn land(&mut self, id: usize, failure: Option<Why>) {
        let Flight { operation, tag, .. } = self.flights.remove(id);
        if let Some((step, error)) = failure {
            self.failures.push_back(Failed { operation, tag, step, error });
        }
    }
}

impl<T> Drop for FileRing<T> {
    /// What the kernel may still look at lives until it is done.
    fn drop(&mut self) {
        if self.finish().is_err() {
            return;
        }
        // SAFETY: nothing is in flight, and nothing is used after this.
        unsafe { ManuallyDrop::drop(&mut self.flights) };
    }
}

impl<T> std::fmt::Debug for FileRing<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FileRing")
            .field("ring", &self.ring)
            .field("awaited", &self.awaited)
            .field("breakdown", &self.breakdown)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
