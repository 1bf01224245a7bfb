//! From completion to completion: how an operation in flight goes on, and how it lands.

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::fs::AtFlags;

use super::{FileRing, entries};
use crate::operation::{FileOperation, Fill, Step};

pub(super) struct Flight<T> {
    pub operation: FileOperation,
    pub tag: T,
    pub state: State,
    /// The number of the first of its entries that were queued last.
    pub first_entry: u64,
}

pub(super) enum State {
    Single,
    Writing {
        slot: u32,
        written: usize,
    },
    Opening {
        source: Option<File>,
        target: Option<File>,
        pending: u8,
        failure: Option<Why>,
    },
    /// Only the slot's close is left.
    Failing {
        slot: u32,
        why: Why,
    },
}

pub(super) type Why = (Step, io::Error);

impl<T> FileRing<T> {
    /// Takes one completion to its operation.
    pub(super) fn take(&mut self, id: usize, step: Step, result: i32) {
        self.awaited -= 1;
        let outcome = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        match &mut self.flights[id].state {
            State::Single => {
                let failure = outcome.err().map(|error| (step, error));
                self.land(id, failure);
            }
            State::Writing { .. } => self.take_write(id, step, outcome),
            State::Opening { source, target, pending, failure } => {
                *pending -= 1;
                match outcome {
                    Ok(_) => {
                        // SAFETY: the kernel has just opened it for this entry alone.
                        let fd = unsafe { OwnedFd::from_raw_fd(result) };
                        *(if step == Step::OpenSource { source } else { target }) = Some(fd.into());
                    }
                    // Where both fail, the source's is told, as if it had been opened first.
                    Err(error) if step == Step::OpenSource || failure.is_none() => {
                        *failure = Some((step, error));
                    }
                    Err(_) => {}
                }
                if *pending == 0 {
                    self.fill(id);
                }
            }
            state @ State::Failing { .. } => {
                let State::Failing { slot, why } = std::mem::replace(state, State::Single) else {
                    unreachable!("it has just been seen");
                };
                // A slot that could not be closed holds a file still, and an open into it closes
                // that: it is as good as a free one.
                self.free_slots.push(slot);
                self.remove_target(id);
                self.land(id, Some(why));
            }
        }
    }

    fn take_write(&mut self, id: usize, step: Step, outcome: io::Result<usize>) {
        let State::Writing { slot, written } = &mut self.flights[id].state else {
            unreachable!("it is being written");
        };
        let slot = *slot;
        match (step, outcome) {
            // A write that is shorter than asked for breaks its chain.
            (Step::Write, Ok(count)) if count > 0 => {
                *written += count;
                self.queue_write(id);
            }
            (Step::Write, outcome) => {
                // The file is open and has a name.
                let error = outcome.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                self.flights[id].state = State::Failing { slot, why: (step, error) };
                self.queue(id, &[entries::close_slot(id, slot)], 1);
            }
            (_, outcome) => {
                self.free_slots.push(slot);
                let failure = outcome.err().map(|error| (step, error));
                if step == Step::Close && failure.is_some() {
                    self.remove_target(id);
                }
                self.land(id, failure);
            }
        }
    }

    /// Both files of a duplicate are open, or could not be opened.
    fn fill(&mut self, id: usize) {
        let flight = &mut self.flights[id];
        let FileOperation::Duplicate { fill, .. } = flight.operation else {
            unreachable!("only a duplicate opens two files");
        };
        let State::Opening { source, target, failure, .. } =
            std::mem::replace(&mut flight.state, State::Single)
        else {
            unreachable!("its last open has just completed");
        };
        self.duplicates -= 1;
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
            self.close(file);
        }
        self.land(id, failure);
    }

    /// Closes a file with the next submission, and waits for nothing.
    fn close(&mut self, file: File) {
        if self.breakdown.is_some() || self.is_close_refused {
            return;
        }
        let close = entries::close(&file);
        // SAFETY: a close points to nothing. The descriptor stays open until the kernel takes the
        // entry, and is not closed here as well: `give_up_closing`.
        match unsafe { self.ring.push(&[close]) } {
            Ok(()) => {
                self.closing.push((self.queued, file));
                self.queued += 1;
            }
            Err(error) => self.break_down(&error),
        }
    }

    /// A close on the ring has failed. close(2) frees the descriptor even where it fails; only an
    /// entry that was refused has not been carried out.
    pub(super) fn take_close(&mut self, fd: RawFd, result: i32) {
        if matches!(-result, libc::EACCES | libc::EPERM | libc::EINVAL | libc::EOPNOTSUPP) {
            self.is_close_refused = true;
            // SAFETY: the kernel has given it back, unclosed, and nobody else knows of it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }

    /// The kernel has taken all that was queued, and with it the files to close.
    pub(super) fn give_up_closing(&mut self) {
        for (_, file) in self.closing.drain(..) {
            std::mem::forget(file);
        }
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
}
