//! What an installation works with: the two open directories, the engines, the cache, the workers.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::backend::{Base, Bases, Class, Engine, FileEngines, FileQueue, Operation};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::workers::Workers;

/// The same for all of an installation.
#[derive(Clone, Copy, Debug)]
pub struct Site<'s> {
    pub bases: &'s Bases,
    pub engines: &'s FileEngines,
    pub cache: &'s Cache,
    pub workers: Workers,
    pub journal: &'s Journal,
}

impl Site<'_> {
    /// A queue for one of `sharers` threads that have one at the same time.
    pub fn queue(&self, sharers: usize) -> FileQueue {
        FileQueue::new(self.bases.clone(), self.engines.clone(), sharers)
    }

    /// Carries out a few operations.
    pub fn carry_out(&self, operations: impl Iterator<Item = Operation>) -> Result<()> {
        let mut queue = self.queue(1);
        let mut pushed = operations.map(|operation| push(&mut queue, operation));
        let pushed = pushed.try_for_each(|pushed| pushed);
        let finished = finish(&mut queue);
        pushed.and(finished)
    }

    /// Carries out many operations of a class in the project, shared out to the workers.
    pub fn share_out(&self, class: Class, operations: &[Operation]) -> Result<()> {
        let pieces = Pieces::new(self, class, &vec![1; operations.len()], 1);
        let is_stopped = AtomicBool::new(false);
        let first_error = Mutex::new(None);
        self.workers.each(|| {
            let mut pieces = std::iter::from_fn(|| {
                let piece = pieces.take()?;
                (!is_stopped.load(Ordering::Relaxed)).then(|| &operations[piece])
            });
            let mut queue = self.queue(self.workers.count());
            let mut pushed =
                pieces.by_ref().flatten().map(|operation| push(&mut queue, operation.clone()));
            let pushed = pushed.try_for_each(|pushed| pushed);
            let finished = finish(&mut queue);
            if let Err(error) = pushed.and(finished) {
                is_stopped.store(true, Ordering::Relaxed);
                let mut first = first_error.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
            }
        });
        let first_error: Option<Error> =
            first_error.into_inner().unwrap_or_else(PoisonError::into_inner);
        first_error.map_or(Ok(()), Err)
    }
}

/// The pieces of a list that workers take at once, in turn.
#[derive(Debug)]
pub struct Pieces {
    ranges: Vec<Range<usize>>,
    next: AtomicUsize,
}

impl Pieces {
    /// `weights` says of each item what it weighs. Pieces are of `few` items where a worker carries
    /// them out itself, for an even end, and its whole share where it hands them to the kernel.
    pub fn new(site: &Site<'_>, class: Class, weights: &[u64], few: usize) -> Self {
        let workers = site.workers.count();
        let ranges = match site.engines.engine(class, Base::Project) {
            Engine::Threads => {
                let starts = (0..weights.len()).step_by(few);
                starts.map(|start| start..weights.len().min(start + few)).collect()
            }
            Engine::Ring => {
                let submitters = site.engines.submitters(class, Base::Project, workers);
                even_pieces(weights, submitters)
            }
        };
        Self { ranges, next: AtomicUsize::new(0) }
    }

    /// The next one, whoever asks.
    pub fn take(&self) -> Option<Range<usize>> {
        self.ranges.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }
}

/// Cuts a list into at most `count` pieces, each of which weighs as much as the others as far as
/// whole items allow.
fn even_pieces(weights: &[u64], count: usize) -> Vec<Range<usize>> {
    let total: u64 = weights.iter().sum();
    let count = count.max(1) as u64;
    let mut pieces = Vec::new();
    let (mut start, mut before) = (0, 0);
    for (index, weight) in weights.iter().enumerate() {
        before += weight;
        let is_full = before * count >= total * (pieces.len() as u64 + 1);
        if is_full && (pieces.len() as u64) < count - 1 {
            pieces.push(start..index + 1);
            start = index + 1;
        }
    }
    if start < weights.len() {
        pieces.push(start..weights.len());
    }
    pieces
}

/// The queue's failure as an error that names the path.
pub fn push(queue: &mut FileQueue, operation: Operation) -> Result<()> {
    queue.push(operation).map_err(|failure| queue.bases().error(*failure))
}

/// Waits for all that was pushed.
pub fn finish(queue: &mut FileQueue) -> Result<()> {
    queue.finish().map_err(|failure| queue.bases().error(*failure))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::{Site, Workers, even_pieces};
    use crate::backend::{Bases, engines_to_test};
    use crate::cache::Cache;
    use crate::journal::Journal;

    #[test]
    fn pieces_weigh_alike_and_have_every_item_once() {
        for (weights, count, ends) in [
            (&[1, 1, 1, 1][..], 2, &[2, 4][..]),
            (&[1, 1, 1, 7], 2, &[4]),
            (&[7, 1, 1, 1], 2, &[1, 4]),
            (&[5, 1, 1, 1, 1, 1], 2, &[1, 6]),
            (&[1, 1, 1], 1, &[3]),
            (&[1, 1], 4, &[1, 2]),
            (&[0, 0], 3, &[1, 2]),
            (&[], 2, &[]),
        ] {
            let pieces = even_pieces(weights, count);
            let mut start = 0;
            for piece in &pieces {
                assert_eq!(piece.start, start, "{weights:?} by {count}");
                start = piece.end;
            }
            let found: Vec<_> = pieces.iter().map(|piece| piece.end).collect();
            assert_eq!(found, ends, "{weights:?} by {count}");
        }
    }

    /// Runs a test once on each file engine, each time in a new folder.
    pub(crate) fn on_each_engine(test: impl Fn(&Site<'_>, &Path)) {
        let count = {
            let folder = tempfile::tempdir().unwrap();
            engines_to_test(&Bases::open(folder.path(), folder.path()).unwrap()).len()
        };
        for number in 0..count {
            let (project, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let journal = Journal::default();
            let cache = Cache::open(&root.path().join("cache"), 0o022, journal.board()).unwrap();
            let bases = Bases::open(cache.directory(), project.path()).unwrap();
            let engines = engines_to_test(&bases).swap_remove(number);
            let workers = Workers::new(2);
            let (bases, engines) = (&bases, &engines);
            let site = Site { bases, engines, cache: &cache, workers, journal: &journal };
            test(&site, project.path());
        }
    }
}
