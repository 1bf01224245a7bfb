//! Packages that one worker has unpacked and not placed yet.
//!
//! With plain calls that is one package, which is placed as soon as it is written. On the ring many
//! are written at the same time, and as many placed: each wait for the kernel is for thousands of
//! operations.

use super::{Depot, Worker};
use crate::backend::FileQueue;
use crate::cache::{Cache, Index};
use crate::error::Result;
use crate::extract::{Extracted, Unpacked};
use crate::site::finish;

#[derive(Default)]
pub(super) struct Batch {
    /// Handed to the queue, each with the number of its parcel.
    unpacked: Vec<(usize, Unpacked)>,
    unpacked_bytes: usize,
    /// In the cache.
    published: Vec<(usize, Extracted)>,
    published_files: usize,
}

/// Contents that one worker keeps in memory until they are written.
const UNPACKED_BYTES_MAX: usize = 16 << 20;
/// As many as the ring has in flight.
const PUBLISHED_FILES_MAX: usize = 8192;

impl Batch {
    pub fn add(&mut self, parcel: usize, unpacked: Unpacked) {
        self.unpacked_bytes += unpacked.bytes;
        self.unpacked.push((parcel, unpacked));
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
        finish(queue)?;
        batch.unpacked_bytes = 0;
        while let Some((parcel, unpacked)) = batch.unpacked.pop() {
            let extracted = unpacked.publish(queue.bases(), self.site.cache)?;
            batch.published_files += extracted.index.files().count();
            batch.published.push((parcel, extracted));
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
        let packages = published.iter().map(|(number, Extracted { key, index })| {
            (&self.parcels[*number], key, index as &Index)
        });
        self.place(worker.queue, packages, worker.placed)
    }
}
