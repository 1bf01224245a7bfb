//! One worker's queue of file operations: each goes to the engine of its class.

use std::io;

use super::engines::{Class, Engine, FileEngines, Tally};
use super::host::kernel_workers;
use super::ring::RingQueue;
use super::{Base, Bases, Operation, threads};

/// An operation that failed, and why.
#[derive(Debug)]
pub struct Failure {
    /// `None` where the ring itself failed, and with it whatever was in flight.
    pub operation: Option<Operation>,
    pub source: io::Error,
}

/// What is pushed is done at the latest when [`FileQueue::finish`] returns, in any order, but for
/// two rules: what lies below a directory that was pushed before is made after that directory, and
/// a directory is removed after all that lies in it.
#[derive(Debug)]
pub struct FileQueue {
    bases: Bases,
    engines: FileEngines,
    sharers: usize,
    ring: Ring,
    last: Class,
    tally: Tally,
}

/// A worker that does nothing on the ring has none.
#[derive(Debug)]
enum Ring {
    Untried,
    Refused,
    Ready(Box<RingQueue>),
}

impl FileQueue {
    /// `sharers` is how many queues are used at the same time, for each of which the kernel gets
    /// its share of worker threads.
    pub fn new(bases: Bases, engines: FileEngines, sharers: usize) -> Self {
        let (ring, last, tally) = (Ring::Untried, Class::MakeDirectory, Tally::default());
        Self { bases, engines, sharers, ring, last, tally }
    }

    /// A queue that carries out at once, by plain system calls.
    pub fn plain(bases: Bases) -> Self {
        let engines = FileEngines::plain(&bases);
        Self::new(bases, engines, 1)
    }

    pub fn bases(&self) -> &Bases {
        &self.bases
    }

    /// The engines that it takes, for what was done by them.
    pub fn engines(&self) -> &FileEngines {
        &self.engines
    }

    /// Whether files that are written to the cache may still be missing when `push` returns.
    pub fn defers(&self) -> bool {
        !matches!(self.ring, Ring::Refused)
            && self.engines.engine(Class::WriteFile, Base::Cache) == Engine::Ring
    }

    /// Takes an operation; a failure may be that of an earlier one.
    pub fn push(&mut self, operation: Operation) -> Result<(), Box<Failure>> {
        let class = operation.class();
        let is_ring = self.engines.engine(class, operation.base()) == Engine::Ring;
        if is_ring && matches!(self.ring, Ring::Untried) {
            self.ring = match self.engines.ring(&self.bases, self.sharers) {
                Some(ring) => Ring::Ready(Box::new(ring)),
                None => Ring::Refused,
            };
        }
        if let Ring::Ready(ring) = &mut self.ring {
            if is_ring && !ring.is_refused(class) {
                self.last = class;
                return ring.push(operation, class, &mut self.tally);
            }
            ring.finish_directories(&mut self.tally)?;
        }
        self.tally.of_mut(class).plain += 1;
        threads::carry_out(&self.bases, &operation)
            .map_err(|source| Box::new(Failure { operation: Some(operation), source }))
    }

    /// Waits until all that was pushed is done. The first failure comes back with its operation.
    pub fn finish(&mut self) -> Result<(), Box<Failure>> {
        match &mut self.ring {
            Ring::Ready(ring) => ring.finish(self.last, &mut self.tally),
            Ring::Untried | Ring::Refused => Ok(()),
        }
    }
}

impl Drop for FileQueue {
    fn drop(&mut self) {
        let mut workers = 0;
        if let Ring::Ready(ring) = &self.ring {
            workers = kernel_workers();
            if let Some(why) = ring.refusal() {
                self.engines.refuse(why);
            }
        }
        self.engines.add(&self.tally, workers);
    }
}

impl Operation {
    pub(super) fn class(&self) -> Class {
        match self {
            Self::MakeDirectory { .. } => Class::MakeDirectory,
            Self::WriteFile { .. } => Class::WriteFile,
            Self::PlaceFile { placement, .. } => placement.mode().into(),
            Self::MakeSymlink { .. } => Class::MakeSymlink,
            Self::MoveAside { .. } => Class::Rename,
            Self::Remove { .. } => Class::Remove,
        }
    }

    /// Where something is made or removed.
    fn base(&self) -> Base {
        match self {
            Self::MakeDirectory { at, .. }
            | Self::WriteFile { at, .. }
            | Self::PlaceFile { target: at, .. }
            | Self::MakeSymlink { at, .. }
            | Self::MoveAside { to: at, .. }
            | Self::Remove { at } => at.base,
        }
    }
}
