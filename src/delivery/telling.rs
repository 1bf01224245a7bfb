//! What the journal is told of each package.

use super::{Depot, Parcel};
use crate::journal::{Event, PackageSource};
use crate::registry::redact;

impl Parcel<'_> {
    fn placed_event(&self, source: PackageSource, bytes: Option<u64>) -> Event<'_> {
        let (name, version) = self.label.rsplit_once('@').unwrap_or((&self.label, ""));
        Event::Package {
            name,
            version,
            source,
            address: redact(&self.url),
            bytes,
            paths: self.targets.iter().map(|target| target.path).collect(),
        }
    }
}

impl Depot<'_, '_> {
    /// That packages have all their places, of which on the ring the last may still be under way;
    /// with where their tarballs came from, and how large they were.
    pub(super) fn tell_placed<'a>(
        &self,
        packages: impl Iterator<Item = (&'a Parcel<'a>, PackageSource, Option<u64>)>,
    ) {
        let journal = self.site.journal;
        journal.board().step();
        if journal.is_of_preparation() {
            return;
        }
        let event =
            |(parcel, source, bytes): (&'a Parcel<'a>, _, _)| parcel.placed_event(source, bytes);
        journal.tell_all(|| packages.map(event));
    }
}
