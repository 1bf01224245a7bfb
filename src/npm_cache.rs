//! npm's own cache as a second source of tarballs: a pipeline that keeps `~/.npm` from run to run
//! has most of what it needs there, and downloads nothing of that again.
//!
//! The cache is only read. What is not in it, must not be read or cannot be understood is a miss,
//! never an error; what a file holds is checked when it is unpacked, like anything that comes from
//! the network. Sources: cacache 20 lib/content/path.js and lib/entry-index.js, make-fetch-happen
//! 15 lib/cache/key.js and lib/cache/entry.js.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use url::Url;

use crate::delivery::Parcel;
use crate::integrity::{Algorithm, Integrity};
use crate::workers::Workers;

mod requests;

/// The `_cacache` of one npm.
#[derive(Debug)]
pub struct NpmCache {
    directory: PathBuf,
    /// Whether what its index says of an address is believed: only its owner can have written it.
    is_ours: bool,
}

/// A tarball that npm has downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpmTarball {
    pub path: PathBuf,
    /// What npm's index says the file is, where it was found by its address: the lockfile says
    /// nothing, or nothing that npm would know it by.
    pub recorded: Option<Integrity>,
}

/// How many packages a worker looks up at once.
const PACKAGES_AT_ONCE: usize = 16;

impl NpmCache {
    /// `folder` is npm's setting `cache`. `None` where npm has cached nothing.
    pub fn open(folder: &Path) -> Option<Self> {
        let directory = folder.join("_cacache");
        let metadata = directory.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        let uid = rustix::process::geteuid();
        let is_ours = metadata.mode() & 0o002 == 0 && [uid.as_raw(), 0].contains(&metadata.uid());
        Some(Self { directory, is_ours })
    }

    /// Finds the parcels that are neither stored nor at hand. With `asks_anew`, an address is worth
    /// nothing: only what the lockfile has the integrity of is taken.
    pub fn look_up(&self, workers: Workers, parcels: &mut [Parcel<'_>], asks_anew: bool) {
        let found = workers.map(parcels, PACKAGES_AT_ONCE, |parcel| {
            let is_wanted = parcel.stored.is_none() && parcel.at_hand.is_none();
            match &parcel.integrity {
                None if asks_anew => None,
                integrity if is_wanted => self.find(integrity.as_ref(), &parcel.url),
                _ => None,
            }
        });
        for (parcel, found) in parcels.iter_mut().zip(found) {
            parcel.cached_by_npm = found;
        }
    }

    /// By its content, which npm names by the algorithm that it was asked to check. A lockfile
    /// without integrity, or with one of before SHA-512, may be younger or older than the cache:
    /// there the address is tried as well.
    fn find(&self, integrity: Option<&Integrity>, url: &Url) -> Option<NpmTarball> {
        if let Some(path) = integrity.and_then(|integrity| self.content(integrity)) {
            return Some(NpmTarball { path, recorded: None });
        }
        let is_known_by_content = integrity.is_some_and(|it| it.algorithm() > Algorithm::Sha1);
        if is_known_by_content || !self.is_ours {
            return None;
        }
        let recorded = requests::find(&self.directory, url)?;
        let path = self.content(&recorded)?;
        Some(NpmTarball { path, recorded: Some(recorded) })
    }

    /// The file that has this content, if it may be read. One system call for each digest; the
    /// file is opened when its turn to be unpacked has come.
    fn content(&self, integrity: &Integrity) -> Option<PathBuf> {
        let folder = self.directory.join("content-v2").join(integrity.algorithm().name());
        integrity
            .hex_digests()
            .map(|hex| folder.join(segments(&hex)))
            .find(|path| rustix::fs::accessat(CWD, path, Access::READ_OK, AtFlags::empty()).is_ok())
    }
}

/// Where a hash in hexadecimal stands below its folder (cacache 20, lib/util/hash-to-segments.js).
fn segments(hex: &str) -> PathBuf {
    let (first, rest) = hex.split_at(2.min(hex.len()));
    let (second, rest) = rest.split_at(2.min(rest.len()));
    [first, second, rest].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    // Of the bytes `abc`.
    const SHA1: &str = "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
    const SHA1_PATH: &str = "content-v2/sha1/a9/99/3e364706816aba3e25717850c26c9cd0d89d";
    const SHA256: &str = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    const SHA256_PATH: &str =
        "content-v2/sha256/ba/78/16bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn cache_with(paths: &[&str]) -> (tempfile::TempDir, NpmCache) {
        let folder = tempfile::tempdir().unwrap();
        for path in paths {
            let path = folder.path().join("_cacache").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "abc").unwrap();
        }
        let cache = NpmCache::open(folder.path()).unwrap();
        (folder, cache)
    }

    fn url() -> Url {
        Url::parse("http://one.test/a/-/a-1.0.0.tgz").unwrap()
    }

    #[test]
    fn content_is_found_by_the_strongest_algorithm() {
        let (folder, cache) = cache_with(&[SHA1_PATH, SHA256_PATH]);
        for (integrity, path) in
            [(SHA1.to_owned(), SHA1_PATH), (format!("{SHA1} {SHA256}"), SHA256_PATH)]
        {
            let integrity = Integrity::parse(&integrity).unwrap();
            let path = folder.path().join("_cacache").join(path);
            let expected = NpmTarball { path, recorded: None };
            assert_eq!(cache.find(Some(&integrity), &url()), Some(expected));
        }
    }

    #[test]
    fn a_weaker_content_does_not_stand_in() {
        let (_folder, cache) = cache_with(&[SHA1_PATH]);
        let integrity = Integrity::parse(&format!("{SHA1} {SHA256}")).unwrap();
        assert_eq!(cache.find(Some(&integrity), &url()), None);
    }

    #[test]
    fn where_npm_has_cached_nothing_there_is_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        assert!(NpmCache::open(folder.path()).is_none());
        fs::write(folder.path().join("_cacache"), "").unwrap();
        assert!(NpmCache::open(folder.path()).is_none());
    }
}
