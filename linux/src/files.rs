//! File operations on a ring, thousands in flight.
//!
//! The kernel hands every operation on a path to its worker threads, and wakes one each time it
//! finds none at work. What keeps that rare: as many workers as processors, thousands of
//! operations in flight, and a submitter that sleeps until half of them are done.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};
use rustix::fs::AtFlags;
use slab::Slab;

use crate::operation::{At, Failed, FileOperation, Fill, Step};
use crate::ring::{Counts, Options, Ring};

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
    pace: Pace,
}

struct Flight<T> {
    operation: FileOperation,
    tag: T,
    state: State,
}

enum State {
    Single,
    Writing {
        slot: u32,
        written: usize,
    },
    Opening {
        source: Option<OwnedFd>,
        target: Option<OwnedFd>,
        pending: u8,
        failure: Option<Why>,
    },
    /// Only the slot's close is left.
    Failing {
        slot: u32,
        why: Why,
    },
}

type Why = (Step, io::Error);

/// How fast operations have been done lately.
struct Pace {
    nanoseconds: u64,
}

/// Short enough not to matter at the end of a batch.
const NAP_MIN: Duration = Duration::from_micros(50);
/// The workers have as much left to do when the thread wakes.
const NAP_MAX: Duration = Duration::from_millis(10);

impl Pace {
    /// So long that most of `operations` are done, and not all.
    fn nap(&self, operations: usize) -> Duration {
        let expected = self.nanoseconds.saturating_mul(operations as u64);
        Duration::from_nanos(expected / 8 * 7).clamp(NAP_MIN, NAP_MAX)
    }

    fn observe(&mut self, elapsed: Duration, operations: usize) {
        // Of a few operations, the naps are most of the time.
        if operations < OBSERVED_MIN {
            return;
        }
        let seen = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX) / operations as u64;
        self.nanoseconds = u64::midpoint(self.nanoseconds, seen);
    }
}

const OBSERVED_MIN: usize = 64;
/// A link or an empty file takes some 10 microseconds of a worker.
const PACE_AT_FIRST: Pace = Pace { nanoseconds: 5_000 };

/// More than this is not written by one entry, whose length has 32 bits.
const WRITE_BYTES_MAX: usize = 1 << 30;
const STEP_BITS: u32 = 3;
/// Of an entry whose failure concerns no operation.
const NOBODYS: u64 = u64::MAX;

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
        let slots = if options.writes_max == 0 {
            0
        } else {
            ring.submitter().register_files_sparse(options.writes_max)?;
            options.writes_max
        };
        Ok(Self {
            ring,
            directories,
            flights: ManuallyDrop::new(Slab::new()),
            failures: VecDeque::new(),
            free_slots: (0..slots).collect(),
            in_flight_max: (options.in_flight_max as usize).max(1),
            duplicates: 0,
            duplicates_max: (options.duplicates_max as usize).max(1),
            awaited: 0,
            pace: PACE_AT_FIRST,
        })
    }

    /// How often the ring was used, since it was last asked.
    pub fn take_counts(&mut self) -> Counts {
        self.ring.take_counts()
    }

    /// Takes an operation, waiting for others where too many are in flight. An error is the ring's
    /// own, after which what became of the operations in flight cannot be known.
    pub fn push(&mut self, operation: FileOperation, tag: T) -> io::Result<()> {
        self.make_room(&operation)?;
        if let FileOperation::WriteFile { bytes, .. } = &operation
            && bytes.len() > WRITE_BYTES_MAX
        {
            let error = io::Error::from_raw_os_error(libc::EFBIG);
            self.failures.push_back(Failed { operation, tag, step: Step::Write, error });
            return Ok(());
        }
        let state = self.first_state(&operation);
        let id = self.flights.insert(Flight { operation, tag, state });
        self.start(id)
    }

    /// Waits until all that was pushed is done.
    pub fn finish(&mut self) -> io::Result<()> {
        while self.awaited > 0 {
            self.wait_for(self.awaited)?;
        }
        // Closes that post nothing may still be queued.
        if self.ring.queued() > 0 { self.ring.submit() } else { Ok(()) }
    }

    /// Operations that failed, first come first.
    pub fn take_failure(&mut self) -> Option<Failed<T>> {
        self.failures.pop_front()
    }

    fn make_room(&mut self, operation: &FileOperation) -> io::Result<()> {
        if self.flights.len() >= self.in_flight_max {
            self.wait_for(self.awaited.saturating_sub(self.in_flight_max / 2).max(1))?;
        }
        match operation {
            FileOperation::WriteFile { .. } => {
                while self.free_slots.is_empty() && self.awaited > 0 {
                    self.wait_for(self.awaited.div_ceil(2))?;
                }
                if self.free_slots.is_empty() {
                    return Err(io::Error::from_raw_os_error(libc::ENFILE));
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
                // There is one: `make_room` has seen to it.
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
    fn start(&mut self, id: usize) -> io::Result<()> {
        let flight = &self.flights[id];
        let fd = |at: &At| types::Fd(self.directories[at.directory].as_raw_fd());
        let whole = user_data(id, Step::Whole);
        let create = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        match (&flight.operation, &flight.state) {
            (FileOperation::MakeDirectory { at, mode }, _) => {
                let entry = opcode::MkDirAt::new(fd(at), at.path.as_ptr()).mode(*mode);
                self.queue(&[entry.build().user_data(whole)], 1)
            }
            (FileOperation::WriteFile { at, mode, .. }, State::Writing { slot, .. }) => {
                let open = opcode::OpenAt::new(fd(at), at.path.as_ptr())
                    .flags(create)
                    .mode(*mode)
                    .file_index(destination(*slot))
                    .build()
                    .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
                    .user_data(user_data(id, Step::Open));
                self.write_rest(id, Some(open))
            }
            (FileOperation::WriteFile { .. }, _) => Err(io::ErrorKind::InvalidInput.into()),
            (FileOperation::Link { source, target }, _) => {
                let (from, to) = (source.path.as_ptr(), target.path.as_ptr());
                let entry = opcode::LinkAt::new(fd(source), from, fd(target), to);
                self.queue(&[entry.build().user_data(whole)], 1)
            }
            (FileOperation::Duplicate { source, target, mode, .. }, _) => {
                let from = opcode::OpenAt::new(fd(source), source.path.as_ptr())
                    .flags(libc::O_RDONLY | libc::O_CLOEXEC)
                    .build()
                    .user_data(user_data(id, Step::OpenSource));
                let to = opcode::OpenAt::new(fd(target), target.path.as_ptr())
                    .flags(create | libc::O_CLOEXEC)
                    .mode(*mode)
                    .build()
                    .user_data(user_data(id, Step::Open));
                self.queue(&[from, to], 2)
            }
            (FileOperation::Symlink { target, at }, _) => {
                let entry = opcode::SymlinkAt::new(fd(at), target.as_ptr(), at.path.as_ptr());
                self.queue(&[entry.build().user_data(whole)], 1)
            }
            (FileOperation::Rename { from, to }, _) => {
                let (old, new) = (from.path.as_ptr(), to.path.as_ptr());
                let entry = opcode::RenameAt::new(fd(from), old, fd(to), new);
                self.queue(&[entry.build().user_data(whole)], 1)
            }
            (FileOperation::RemoveFile { at }, _) => {
                let entry = opcode::UnlinkAt::new(fd(at), at.path.as_ptr());
                self.queue(&[entry.build().user_data(whole)], 1)
            }
            (FileOperation::RemoveDirectory { at }, _) => {
                let entry =
                    opcode::UnlinkAt::new(fd(at), at.path.as_ptr()).flags(libc::AT_REMOVEDIR);
                self.queue(&[entry.build().user_data(whole)], 1)
            }
        }
    }

    /// Queues what is left to write of a file, and its close. Of the whole chain one completion
    /// comes: that of the close, or that of the first entry that failed.
    fn write_rest(&mut self, id: usize, open: Option<Entry>) -> io::Result<()> {
        let flight = &self.flights[id];
        let (FileOperation::WriteFile { bytes, .. }, State::Writing { slot, written }) =
            (&flight.operation, &flight.state)
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let rest = &bytes[*written..];
        let slot = *slot;
        let close = opcode::Close::new(types::Fixed(slot)).build();
        let mut chain = Vec::with_capacity(3);
        chain.extend(open);
        // An entry's length has 32 bits; `push` takes no more.
        if let Some(length) = u32::try_from(rest.len()).ok().filter(|length| *length > 0) {
            let write = opcode::Write::new(types::Fixed(slot), rest.as_ptr(), length)
                .offset(*written as u64)
                .build()
                .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
                .user_data(user_data(id, Step::Write));
            chain.push(write);
        }
        chain.push(close.user_data(user_data(id, Step::Close)));
        self.queue(&chain, 1)
    }

    fn queue(&mut self, entries: &[Entry], completions: usize) -> io::Result<()> {
        // SAFETY: the paths and bytes belong to the operation in `flights`, where they stay on the
        // heap and untouched until the flight has landed; the directories live as long as the ring.
        unsafe { self.ring.push(entries) }?;
        self.awaited += completions;
        Ok(())
    }

    /// Waits by napping: a thread that waits in the kernel is woken by each operation that a worker
    /// has done, however many it waits for (`io_req_local_work_add`), and a nap only by its end.
    fn wait_for(&mut self, completions: usize) -> io::Result<()> {
        let start = Instant::now();
        self.ring.submit()?;
        let first = self.ring.ready();
        let mut ready = first;
        while ready < completions {
            std::thread::sleep(self.pace.nap(completions - ready));
            self.ring.submit()?;
            ready = self.ring.ready();
        }
        self.pace.observe(start.elapsed(), ready - first);
        while let Some(completion) = self.ring.completion() {
            if completion.user_data == NOBODYS {
                continue;
            }
            self.awaited -= 1;
            let id = usize::try_from(completion.user_data >> STEP_BITS).unwrap_or(usize::MAX);
            let step = Step::from_bits(completion.user_data & ((1 << STEP_BITS) - 1));
            self.take(id, step, completion.result)?;
        }
        Ok(())
    }

    /// Takes one completion to its operation.
    fn take(&mut self, id: usize, step: Step, result: i32) -> io::Result<()> {
        let Some(flight) = self.flights.get_mut(id) else { return Ok(()) };
        let outcome = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        match &mut flight.state {
            State::Single => {
                let failure = outcome.err().map(|error| (step, error));
                self.land(id, failure);
            }
            State::Writing { slot, written } => match (step, outcome) {
                (Step::Write, Ok(count)) if count > 0 => {
                    *written += count;
                    self.write_rest(id, None)?;
                }
                (Step::Write, outcome) => {
                    // The file is open and has a name.
                    let error = outcome.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                    let slot = *slot;
                    flight.state = State::Failing { slot, why: (step, error) };
                    let close = opcode::Close::new(types::Fixed(slot)).build();
                    self.queue(&[close.user_data(user_data(id, Step::Close))], 1)?;
                }
                (_, outcome) => {
                    let slot = *slot;
                    self.free_slots.push(slot);
                    let failure = outcome.err().map(|error| (step, error));
                    if step == Step::Close && failure.is_some() {
                        self.remove_target(id);
                    }
                    self.land(id, failure);
                }
            },
            State::Opening { source, target, pending, failure } => {
                *pending -= 1;
                match outcome {
                    Ok(_) => {
                        // SAFETY: the kernel has just opened it for this entry alone.
                        let fd = unsafe { OwnedFd::from_raw_fd(result) };
                        *(if step == Step::OpenSource { source } else { target }) = Some(fd);
                    }
                    // Where both fail, the source's is told, as if it had been opened first.
                    Err(error) if step == Step::OpenSource || failure.is_none() => {
                        *failure = Some((step, error));
                    }
                    Err(_) => {}
                }
                if *pending == 0 {
                    self.fill(id)?;
                }
            }
            State::Failing { slot, .. } => {
                self.free_slots.push(*slot);
                let failed = std::mem::replace(&mut flight.state, State::Single);
                self.remove_target(id);
                if let State::Failing { why, .. } = failed {
                    self.land(id, Some(why));
                }
            }
        }
        Ok(())
    }

    /// Both files of a duplicate are open, or could not be opened.
    fn fill(&mut self, id: usize) -> io::Result<()> {
        let flight = &mut self.flights[id];
        let FileOperation::Duplicate { fill, .. } = flight.operation else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let State::Opening { source, target, failure, .. } =
            std::mem::replace(&mut flight.state, State::Single)
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.duplicates -= 1;
        let (source, target) = (source.map(File::from), target.map(File::from));
        let failure = failure.or_else(|| {
            let (mut from, mut to) = (source.as_ref()?, target.as_ref()?);
            let filled = match fill {
                Fill::Clone => rustix::fs::ioctl_ficlone(to, from).map_err(io::Error::from),
                Fill::Copy => io::copy(&mut from, &mut to).map(drop),
            };
            filled.err().map(|error| (Step::Fill, error))
        });
        if failure.is_some() && target.is_some() {
            self.remove_target(id);
        }
        for file in [source, target].into_iter().flatten() {
            self.close(file)?;
        }
        self.land(id, failure);
        Ok(())
    }

    /// Closes a file with the next submission, and waits for nothing.
    fn close(&mut self, file: File) -> io::Result<()> {
        let fd = types::Fd(file.as_raw_fd());
        let close = opcode::Close::new(fd).build().flags(Flags::SKIP_SUCCESS).user_data(NOBODYS);
        // SAFETY: a close points to nothing; the descriptor is the ring's from here on.
        unsafe { self.ring.push(&[close]) }?;
        std::mem::forget(file);
        Ok(())
    }

    /// A file that could not be filled is not left behind. The error that counts is the first one.
    fn remove_target(&self, id: usize) {
        let at = match &self.flights[id].operation {
            FileOperation::WriteFile { at, .. } => at,
            FileOperation::Duplicate { target, .. } => target,
            _ => return,
        };
        let directory = &self.directories[at.directory];
        let _ = rustix::fs::unlinkat(directory, &at.path, AtFlags::empty());
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
        while self.awaited > 0 {
            if self.wait_for(self.awaited).is_err() {
                return;
            }
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
            .finish_non_exhaustive()
    }
}

fn user_data(id: usize, step: Step) -> u64 {
    (id as u64) << STEP_BITS | step as u64
}

/// The slot of the ring's own file table that an open fills.
fn destination(slot: u32) -> Option<types::DestinationSlot> {
    // Fails only for the largest numbers, which are more than any table has.
    types::DestinationSlot::try_from_slot_target(slot).ok()
}

#[cfg(test)]
mod tests;
