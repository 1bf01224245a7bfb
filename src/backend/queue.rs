//! One worker's queue of file operations: each goes to the engine of its class.

use std::io;

use super::engines::{Class, Engine, FileEngines, Tally};
use super::host::kernel_workers;
use super::place::PlacementMode;
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
/// one rule: what lies below a directory that was pushed before is done after that directory.
#[derive(Debug)]
pub struct FileQueue {
    bases: Bases,
    engines: FileEngines,
    ring: Option<RingQueue>,
    tally: Tally,
}

impl FileQueue {
    pub fn new(bases: Bases, engines: FileEngines) -> Self {
        let ring = engines.ring(&bases);
        Self { bases, engines, ring, tally: Tally::default() }
    }

    /// A queue that carries out at once, by plain system calls.
    pub fn plain(bases: Bases) -> Self {
        let engines = FileEngines::plain(&bases);
        Self::new(bases, engines)
    }

    pub fn bases(&self) -> &Bases {
        &self.bases
    }

    /// Whether files that are written to the cache may still be missing when `push` returns.
    pub fn defers(&self) -> bool {
        self.ring.is_some() && self.engines.engine(Class::WriteFile, Base::Cache) == Engine::Ring
    }

    /// Takes an operation; a failure may be that of an earlier one.
    pub fn push(&mut self, operation: Operation) -> Result<(), Box<Failure>> {
        let class = operation.class();
        if let Some(ring) = &mut self.ring {
            let engine = self.engines.engine(class, operation.base());
            if engine == Engine::Ring && !ring.is_refused(class) {
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
            Some(ring) => ring.finish(&mut self.tally),
            None => Ok(()),
        }
    }
}

impl Drop for FileQueue {
    fn drop(&mut self) {
        let workers = if self.ring.is_some() { kernel_workers() } else { 0 };
        if let Some(why) = self.ring.as_ref().and_then(RingQueue::refusal) {
            self.engines.refuse(why);
        }
        self.engines.add(&self.tally, workers);
    }
}

impl Operation {
    fn class(&self) -> Class {
        match self {
            Self::MakeDirectory { .. } => Class::MakeDirectory,
            Self::WriteFile { .. } => Class::WriteFile,
            Self::PlaceFile { placement, .. } => match placement.mode() {
                PlacementMode::HardLink => Class::HardLink,
                PlacementMode::Clone => Class::Clone,
                PlacementMode::Copy => Class::Copy,
            },
            Self::MakeSymlink { .. } => Class::MakeSymlink,
            Self::Rename { .. } => Class::Rename,
        }
    }

    /// Where something is made or removed.
    fn base(&self) -> Base {
        match self {
            Self::MakeDirectory { at, .. }
            | Self::WriteFile { at, .. }
            | Self::PlaceFile { target: at, .. }
            | Self::MakeSymlink { at, .. }
            | Self::Rename { to: at, .. } => at.base,
        }
    }
}
