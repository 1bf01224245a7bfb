//! The threads that share the work of one stage of an installation.
//!
//! They are plain threads, started for the stage, that take what is next by a counter and end when
//! nothing is left. A pool that keeps its threads costs more: those of rayon yield 32 times before
//! they sleep, and two of them that the kernel has put on one processor hand it to each other each
//! time (docs/experiments.md).

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many threads there are for a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers(usize);

impl Workers {
    /// At least one.
    pub fn new(count: usize) -> Self {
        Self(count.max(1))
    }

    pub fn count(self) -> usize {
        self.0
    }

    /// Runs `work` on all threads at the same time, and waits until each has come back. Of what the
    /// work shares out, the others take the part of a thread that the system refuses; where it
    /// refuses all, the caller does it.
    pub fn each(self, work: impl Fn() + Sync) {
        let work = &work;
        let started = thread::scope(|scope| {
            let start = |number: &usize| {
                let thread = thread::Builder::new().name(format!("worker-{number}"));
                thread.spawn_scoped(scope, work).is_ok()
            };
            (0..self.0).take_while(start).count()
        });
        if started == 0 {
            work();
        }
    }

    /// What `work` makes of each item, in their order; `at_once` items are taken at a time. After
    /// an error no more are taken: the error is one of those that there were.
    pub fn try_map<'t, T: Sync, R: Send, E: Send>(
        self,
        items: &'t [T],
        at_once: usize,
        work: impl Fn(&'t T) -> Result<R, E> + Sync,
    ) -> Result<Vec<R>, E> {
        let chunks: Vec<_> = items.chunks(at_once).collect();
        let next = AtomicUsize::new(0);
        let is_stopped = AtomicBool::new(false);
        let done = Mutex::new(Vec::with_capacity(chunks.len()));
        let take = || {
            while !is_stopped.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(chunk) = chunks.get(number) else { return };
                let made: Result<Vec<R>, E> = chunk.iter().map(&work).collect();
                is_stopped.fetch_or(made.is_err(), Ordering::Relaxed);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((number, made));
            }
        };
        // No thread is worth its start for what is taken at once.
        if chunks.len() > 1 {
            self.each(take);
        } else {
            take();
        }
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(number, _)| *number);
        let mut all = Vec::with_capacity(items.len());
        for (_, made) in done {
            all.extend(made?);
        }
        Ok(all)
    }

    /// The same for work that cannot fail.
    pub fn map<'t, T: Sync, R: Send>(
        self,
        items: &'t [T],
        at_once: usize,
        work: impl Fn(&'t T) -> R + Sync,
    ) -> Vec<R> {
        let Ok(all) = self.try_map(items, at_once, |item| Ok::<_, Infallible>(work(item)));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn work_runs_on_as_many_threads_at_the_same_time() {
        let (together, names) = (Barrier::new(3), Mutex::new(HashSet::new()));
        Workers::new(3).each(|| {
            together.wait();
            names.lock().unwrap().insert(thread::current().name().map(str::to_owned));
        });
        let expected = ["worker-0", "worker-1", "worker-2"];
        assert_eq!(*names.lock().unwrap(), expected.map(|name| Some(name.to_owned())).into());
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        for count in [0, 1, 3] {
            let doubled = Workers::new(count).map(&items, 7, |item| item * 2);
            assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
        assert!(Workers::new(2).map(&items[..0], 7, |item| item * 2).is_empty());
    }

    #[test]
    fn after_an_error_no_more_is_taken() {
        let items: Vec<usize> = (0..1000).collect();
        let taken = AtomicUsize::new(0);
        let done = Workers::new(1).try_map(&items, 10, |item| {
            taken.fetch_add(1, Ordering::Relaxed);
            if *item == 25 { Err("the 25th") } else { Ok(()) }
        });
        assert_eq!(done, Err("the 25th"));
        assert_eq!(taken.into_inner(), 26);
    }
}
