//! Packages that one worker has unpacked and not placed yet.
//!
//! With plain calls that is one package, which is placed as soon as it is written. On the ring many
//! are written at the same time, and as many placed: each wait for the kernel is for thousands of
//! operations.

use super::{Depot, Held, Worker};
use crate::backend::{BATCH_DEFAULT, FileQueue};
use crate::cache::Cache;
use crate::error::Result;
use crate::extract::{Extracted, Unpacked};
use crate::journal::PackageSource;
use crate::site::finish;

#[derive(Default)]
pub(super) struct Batch {
    /// Handed to the queue.
    unpacked: Vec<(Arrived, Unpacked)>,
    unpacked_bytes: usize,
    /// In the cache.
    published: Vec<(Arrived, Extracted)>,
    published_files: usize,
}

/// The number of a parcel, and what came of it from where.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    pub parcel: usize,
    pub source: PackageSource,
    pub bytes: u64,
}

/// Contents that one worker keeps in memory until they are written.
const UNPACKED_BYTES_MAX: usize = 16 << 20;
/// As many as the ring has in flight, unless it was told otherwise.
const PUBLISHED_FILES_MAX: usize = BATCH_DEFAULT as usize;

impl Batch {
    pub fn add(&mut self, arrived: Arrived, unpacked: Unpacked) {
        self.unpacked_bytes += unpacked.bytes;
        self.unpacked.push((arrived, unpacked));
    }

    /// Whether no more should be handed to the queue before that has written what it has.
    pub fn is_full(&self, queue: &FileQueue) -> bool {
        !queue.defers() || self.unpacked_bytes >= UNPACKED_BYTES_MAX
    }

    /// Whether what is in the cache should be placed now.
    pub fn is_worth_placing(&self, queue: &FileQueue) -> bool {
        !queue.defers() || self.published_files >= PUBLISHED_FILES_MAX
    }

    /// After a failure, and when nothing is in flight any more.
    pub fn discard(self, cache: &Cache) {
        self.unpacked.into_iter().for_each(|(_, unpacked)| unpacked.discard(cache));
    }
}

impl Depot<'_, '_> {
    /// Gives what is unpacked its names in the cache.
    pub(super) fn publish_batch(&self, worker: &mut Worker<'_>) -> Result<()> {
        let Worker { queue, batch, .. } = worker;
        let count = batch.unpacked.len();
        let _span = self.site.journal.span(|| format!("write {count} packages"));
        finish(queue)?;
        batch.unpacked_bytes = 0;
        while let Some((arrived, unpacked)) = batch.unpacked.pop() {
            let extracted = unpacked.publish(queue.bases(), self.site.cache)?;
            batch.published_files += extracted.index.files().count();
            batch.published.push((arrived, extracted));
        }
        Ok(())
    }

    /// Places all that is unpacked.
    pub(super) fn place_batch(&self, worker: &mut Worker<'_>) -> Result<()> {
        if !worker.batch.unpacked.is_empty() {
            self.publish_batch(worker)?;
        }
        worker.batch.published_files = 0;
        let published = std::mem::take(&mut worker.batch.published);
        if published.is_empty() {
            return Ok(());
        }
        let _span = self.site.journal.span(|| format!("place {} packages", published.len()));
        let held = published.iter().map(|(arrived, Extracted { key, index })| Held {
            parcel: &self.parcels[arrived.parcel],
            key,
            index,
        });
        self.place(worker.queue, &held.collect::<Vec<_>>(), worker.placed)?;
        self.tell_placed(published.iter().map(|(arrived, _)| {
            (&self.parcels[arrived.parcel], arrived.source, Some(arrived.bytes))
        }));
        Ok(())
    }
}
