//! What an installation works with: the two open directories, the engines, the cache, the workers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;

use crate::backend::{Base, Bases, Class, Engine, FileEngines, FileQueue, Operation};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::journal::Journal;

/// The same for all of an installation.
#[derive(Clone, Copy, Debug)]
pub struct Site<'s> {
    pub bases: &'s Bases,
    pub engines: &'s FileEngines,
    pub cache: &'s Cache,
    pub pool: &'s ThreadPool,
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

    /// How many of `count` items of a class a worker takes at once: a few where it carries them
    /// out itself, for an even end, and its whole share where it hands them to the kernel.
    pub fn share(&self, class: Class, count: usize, few: usize) -> usize {
        let workers = self.pool.current_num_threads();
        match self.engines.engine(class, Base::Project) {
            Engine::Threads => few,
            Engine::Ring => {
                let submitters = self.engines.submitters(class, Base::Project, workers);
                count.div_ceil(submitters).max(1)
            }
        }
    }

    /// Carries out many operations of a class in the project, shared out to the workers.
    pub fn share_out(&self, class: Class, operations: &[Operation]) -> Result<()> {
        let at_once = self.share(class, operations.len(), 1);
        let next = AtomicUsize::new(0);
        let is_stopped = AtomicBool::new(false);
        let first_error = Mutex::new(None);
        self.pool.broadcast(|_| {
            let mut pieces = std::iter::from_fn(|| {
                let start = next.fetch_add(at_once, Ordering::Relaxed);
                let piece = operations.get(start..operations.len().min(start + at_once));
                piece.filter(|_| !is_stopped.load(Ordering::Relaxed))
            });
            let mut queue = self.queue(self.pool.current_num_threads());
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

    use super::Site;
    use crate::backend::{Bases, engines_to_test};
    use crate::cache::Cache;
    use crate::journal::Journal;

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
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
            let (bases, engines) = (&bases, &engines);
            let site = Site { bases, engines, cache: &cache, pool: &pool, journal: &journal };
            test(&site, project.path());
        }
    }
}
