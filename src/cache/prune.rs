//! Removing the packages that have not been used for some time.
//!
//! Every install reads the index of each package that it takes from the cache, and the filesystem
//! notes the time: that is the record of use, and it costs an install nothing. With `relatime`, as
//! Linux mounts filesystems unless told otherwise, that time is up to a day old. On a filesystem
//! that notes no accesses a package is as old as its download.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::packages::{Bucket, Package};
use super::root::{INDEX_NAME, Usage, buckets, hold_alone, measure, umask_of};
use crate::backend::keeps_access_times;
use crate::error::Result;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removed: Usage,
    /// Whether there was a filesystem that does not say when packages were used.
    pub lacks_access_times: bool,
}

/// Removes what was last used before `now` by more than `age`, to the day.
pub fn prune(root: &Path, age: Duration, now: SystemTime) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    for path in buckets(root)? {
        // Another layout is another version's to look after.
        if umask_of(&path).is_none() {
            continue;
        }
        let lock = hold_alone(&path)?;
        pruned.lacks_access_times |= !keeps_access_times(&lock);
        let bucket = Bucket::open(path)?;
        for package in bucket.packages()? {
            if last_used(&package).is_some_and(|used| is_older(used, age, now)) {
                pruned.removed += measure(&package.path)?;
                bucket.remove(&package)?;
            }
        }
    }
    Ok(pruned)
}

/// `None` where nothing is known of it.
fn last_used(package: &Package) -> Option<SystemTime> {
    let metadata = package.path.join(INDEX_NAME).metadata().ok()?;
    let (accessed, modified) = (metadata.accessed().ok(), metadata.modified().ok()?);
    Some(accessed.map_or(modified, |accessed| accessed.max(modified)))
}

/// A day is added, because the time that is noted may be so much older than the last use.
fn is_older(used: SystemTime, age: Duration, now: SystemTime) -> bool {
    now.duration_since(used).is_ok_and(|since| since > age + DAY)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, FileTimes};
    use std::path::PathBuf;

    use crate::cache::{Cache, size};
    use crate::error::Code;
    use crate::journal::Board;

    struct Fixture {
        root: tempfile::TempDir,
        bucket: PathBuf,
        now: SystemTime,
    }

    fn fixture() -> Fixture {
        let root = tempfile::tempdir().unwrap();
        let bucket =
            Cache::open(root.path(), 0o022, &Board::default()).unwrap().directory().to_owned();
        Fixture { root, bucket, now: SystemTime::now() }
    }

    impl Fixture {
        /// A package that was fetched and last used so many days ago.
        fn package(&self, name: &str, fetched: u32, used: u32) {
            let folder = self.bucket.join("packages").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("0"), "abc").unwrap();
            fs::write(folder.join("index"), "").unwrap();
            let times = FileTimes::new().set_modified(self.now - fetched * DAY);
            let times = times.set_accessed(self.now - used * DAY);
            File::open(folder.join("index")).unwrap().set_times(times).unwrap();
        }

        fn prune(&self, days: u32) -> Result<Pruned> {
            prune(self.root.path(), days * DAY, self.now)
        }

        fn left(&self) -> Vec<String> {
            let bucket = Bucket::open(self.bucket.clone()).unwrap();
            let mut names: Vec<_> =
                bucket.packages().unwrap().into_iter().map(|package| package.name).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn what_was_used_within_the_time_or_a_day_more_stays() {
        let fixture = fixture();
        fixture.package("aa/used", 100, 10);
        fixture.package("aa/fetched", 10, 100);
        fixture.package("bb/old", 100, 12);
        assert_eq!(fixture.prune(11).unwrap().removed, Usage::default());
        let pruned = fixture.prune(10).unwrap();
        assert_eq!(pruned.removed, Usage { packages: 1, files: 2, bytes: 3 });
        assert_eq!(fixture.left(), ["packages/aa/fetched", "packages/aa/used"]);
        assert_eq!(fs::read_dir(fixture.bucket.join("tmp")).unwrap().count(), 0);
        assert_eq!(size(fixture.root.path()).unwrap().packages, 2);
    }

    #[test]
    fn a_clock_that_went_backwards_removes_nothing() {
        let fixture = fixture();
        fixture.package("aa/future", 1, 1);
        let pruned = prune(fixture.root.path(), DAY, fixture.now - 30 * DAY).unwrap();
        assert_eq!(pruned.removed, Usage::default());
    }

    #[test]
    fn nothing_is_removed_while_the_cache_is_used() {
        let fixture = fixture();
        fixture.package("aa/old", 100, 100);
        let used = Cache::open(fixture.root.path(), 0o022, &Board::default()).unwrap();
        assert_eq!(fixture.prune(1).unwrap_err().code(), Code::Cache);
        assert_eq!(fixture.left(), ["packages/aa/old"]);
        drop(used);
        assert_eq!(fixture.prune(1).unwrap().removed.packages, 1);
    }

    #[test]
    fn looking_at_packages_is_no_use_of_them() {
        let fixture = fixture();
        fixture.package("aa/old", 100, 100);
        let bucket = Bucket::open(fixture.bucket.clone()).unwrap();
        for package in bucket.packages().unwrap() {
            bucket.index(&package);
        }
        assert_eq!(fixture.prune(1).unwrap().removed.packages, 1);
    }
}
