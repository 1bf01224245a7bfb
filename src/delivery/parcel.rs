//! What is delivered.

use std::path::PathBuf;

use url::Url;

use crate::cache::Index;
use crate::error::Error;
use crate::fetch::Download;
use crate::integrity::{CacheKey, Integrity};
use crate::link::Target;
use crate::npm_cache::NpmTarball;
use crate::registry::redact;
use crate::sources::address::GitSource;

/// A tarball, where it comes from, and where it goes.
#[derive(Debug)]
pub struct Parcel<'p> {
    /// `name@version`.
    pub label: String,
    /// Where it is asked for, and what it is known by where it has no integrity.
    pub url: Url,
    /// A tarball on this machine's disk, which spares the download.
    pub at_hand: Option<PathBuf>,
    /// What npm's cache has of it, which is asked only where `stored` and `at_hand` are `None`.
    pub cached_by_npm: Option<NpmTarball>,
    /// The repository that a tarball is packed from before it is at hand.
    pub git: Option<GitSource>,
    /// Whether that may run the scripts it asks for before it is packed.
    pub may_be_prepared: bool,
    pub integrity: Option<Integrity>,
    pub targets: Vec<Target<'p>>,
    /// Whether the tree may do without it.
    pub is_optional: bool,
    /// What the cache holds of it.
    pub stored: Option<(CacheKey, Index)>,
}

impl Parcel<'_> {
    /// The same tarball, for the cache alone.
    #[must_use]
    pub fn without_targets(&self) -> Self {
        Self {
            label: self.label.clone(),
            url: self.url.clone(),
            at_hand: self.at_hand.clone(),
            cached_by_npm: self.cached_by_npm.clone(),
            git: self.git.clone(),
            may_be_prepared: self.may_be_prepared,
            integrity: self.integrity.clone(),
            targets: Vec::new(),
            is_optional: self.is_optional,
            stored: self.stored.clone(),
        }
    }

    /// How long placing it takes, with a file as the unit.
    pub(super) fn weight(&self) -> u64 {
        let Some((_, index)) = &self.stored else { return 0 };
        let directories = 1 + index.directory_count() as u64;
        let one = index.file_count() as u64 + DIRECTORY_WEIGHT * directories;
        one * self.targets.len() as u64
    }

    /// `None` for what no network has.
    pub(super) fn download(&self, index: usize) -> Option<Download> {
        self.is_on_the_web().then(|| Download {
            index,
            url: self.url.clone(),
            name_version: self.label.clone(),
            is_wanted: self.source_at_hand().is_none(),
        })
    }

    pub(super) fn is_on_the_web(&self) -> bool {
        matches!(self.url.scheme(), "http" | "https")
    }

    /// The error with the package and its address.
    pub(super) fn error(&self, error: Error) -> Error {
        let address = redact(&self.url);
        let message = format!("failed to install {} from {address}", self.label);
        let wrapped = Error::new(error.code(), message);
        let wrapped = match error.hint() {
            Some(hint) => wrapped.with_hint(hint),
            None => wrapped,
        };
        wrapped.with_source(error)
    }
}

/// On ext4 a mkdir takes as long as 3.7 links ("File operations" in docs/experiments.md).
const DIRECTORY_WEIGHT: u64 = 4;
