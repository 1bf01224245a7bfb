//! The root of the cache: making and checking it, its lock, removing what killed runs left behind,
//! and what `ringstall cache` does with the whole.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::backend::keep_folders_apart;
use crate::error::{Code, Error, Result};

/// What a cache takes on disk. A file that projects link to is counted all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub packages: u64,
    pub files: u64,
    pub bytes: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.packages += other.packages;
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// The folder of the packages that were extracted under one umask. Its first number is that of
/// the layout.
pub(super) fn bucket_name(umask: u32) -> String {
    format!("{LAYOUT}-u{umask:03o}")
}

/// The umask of a bucket that has this version's layout.
pub(super) fn umask_of(bucket: &Path) -> Option<u32> {
    let digits = bucket.file_name()?.to_str()?.strip_prefix(LAYOUT)?.strip_prefix("-u")?;
    u32::from_str_radix(digits, 8).ok()
}

/// Makes `<root>/<bucket>` with its folders and gives its path. What is there already need not be
/// writable.
pub(super) fn prepare(root: &Path, bucket: &str) -> Result<PathBuf> {
    make_directory(root)?;
    check_owner(root)?;
    let tag = root.join(TAG_NAME);
    if !tag.exists() {
        match fs::write(&tag, TAG) {
            Err(error) if !is_refused(&error) => return Err(unusable("write", &tag, error)),
            _ => {}
        }
    }
    let directory = root.join(bucket);
    for name in ["packages", "tmp"] {
        make_directory(&directory.join(name))?;
    }
    let tmp = directory.join("tmp");
    if let Ok(tmp) = File::open(&tmp) {
        // Packages are written there by several threads at the same time.
        keep_folders_apart(tmp);
    }
    remove_leftovers(&tmp, SystemTime::now());
    Ok(directory)
}

/// Removes a cache with all its buckets. Other things in `root` are left alone.
pub fn clean(root: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    for bucket in buckets(root)? {
        let _lock = hold_alone(&bucket)?;
        usage += measure(&bucket)?;
        fs::remove_dir_all(&bucket).map_err(|error| unusable("remove", &bucket, error))?;
    }
    Ok(usage)
}

/// What a cache takes; nothing where there is none.
pub fn size(root: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    for bucket in buckets(root)? {
        usage += measure(&bucket)?;
    }
    Ok(usage)
}

/// The lock of who uses packages, as long as the file is open. `None` where it cannot be had:
/// some filesystems have no locks.
pub(super) fn share(bucket: &Path) -> Option<File> {
    let file = File::open(bucket).ok()?;
    rustix::fs::flock(&file, FlockOperation::LockShared).ok()?;
    Some(file)
}

/// The lock of who removes packages. It does not wait: whoever uses the cache may be the one who
/// has started this very command.
pub(super) fn hold_alone(bucket: &Path) -> Result<File> {
    let file = File::open(bucket).map_err(|error| unusable("open", bucket, error))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => {
            let message = format!("the cache `{}` is in use", bucket.display());
            let hint = "run this again when the installs that use it have ended";
            Err(Error::new(Code::Cache, message).with_hint(hint))
        }
        Err(errno) => Err(unusable("lock", bucket, errno.into())),
    }
}

/// Everything is private to the owner: who can write into a cache can write into the projects that
/// are linked to it.
fn make_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| unusable("make directory", path, error))
}

/// Root may use every cache. Others use their own, or root's if only root can have written it.
fn check_owner(root: &Path) -> Result<()> {
    let metadata = fs::metadata(root).map_err(|error| unusable("read", root, error))?;
    let uid = rustix::process::geteuid();
    let is_only_roots = metadata.uid() == 0 && metadata.mode() & 0o022 == 0;
    if !uid.is_root() && metadata.uid() != uid.as_raw() && !is_only_roots {
        let message = format!(
            "the cache `{}` belongs to user {}, not to {uid}",
            root.display(),
            metadata.uid()
        );
        return Err(Error::new(Code::Cache, message).with_hint(HINT));
    }
    if metadata.mode() & 0o002 != 0 {
        let message = format!("the cache `{}` can be written by every user", root.display());
        let hint = format!("run `chmod o-w {}` if nobody else has used it", root.display());
        return Err(Error::new(Code::Cache, message).with_hint(hint));
    }
    Ok(())
}

fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

pub(super) fn unusable(doing: &str, path: &Path, error: io::Error) -> Error {
    let is_refused = is_refused(&error);
    let message = format!("failed to {doing} `{}` of the cache", path.display());
    let failure = Error::new(Code::Cache, message).with_source(error);
    if is_refused { failure.with_hint(HINT) } else { failure }
}

/// A killed run leaves folders behind. A day is longer than any run; what cannot be removed is
/// tried again by the next run.
fn remove_leftovers(tmp: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(tmp) else { return };
    let is_old = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > LEFTOVER_AGE))
    };
    let old = entries.take(LEFTOVERS_SEEN_MAX).flatten().filter(is_old);
    for entry in old.take(LEFTOVERS_REMOVED_MAX) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// The folders below `root` that are ours. A directory without our tag is not a cache.
pub(super) fn buckets(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable("read", root, error)),
    };
    if !fs::read(root.join(TAG_NAME)).is_ok_and(|tag| tag == TAG) {
        let message = format!("`{}` is not a cache of ringstall", root.display());
        return Err(Error::new(Code::Cache, message));
    }
    let mut buckets = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unusable("read", root, error))?;
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && entry.file_name().to_str().is_some_and(is_bucket_name) {
            buckets.push(entry.path());
        }
    }
    Ok(buckets)
}

/// `v<layout>-u<umask>`, of this and of other versions.
fn is_bucket_name(name: &str) -> bool {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name.strip_prefix('v')
        .and_then(|rest| rest.split_once("-u"))
        .is_some_and(|(layout, umask)| all_digits(layout) && all_digits(umask))
}

/// A folder with all that is below it.
pub(super) fn measure(directory: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let failed = |error| unusable("read", &directory, error);
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // What another run removes meanwhile is not counted. Links are not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                pending.push(entry.path());
            } else {
                usage.packages += u64::from(entry.file_name() == INDEX_NAME);
                usage.files += 1;
                usage.bytes += metadata.len();
            }
        }
    }
    Ok(usage)
}

const LAYOUT: &str = "v2";
/// Of the file in each package's folder that says what the others are.
pub(super) const INDEX_NAME: &str = "index";
const TAG_NAME: &str = "CACHEDIR.TAG";
/// The first line is fixed by <https://bford.info/cachedir/>: backups pass such a directory over.
const TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n\
    # This file is a cache directory tag created by ringstall.\n";
const HINT: &str = "name a directory of your own with `--cache`";
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Opening the cache must not take long after a run was killed with many packages in flight.
const LEFTOVERS_SEEN_MAX: usize = 1024;
const LEFTOVERS_REMOVED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_cache_is_private_and_tagged() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("a/b");
        let bucket = prepare(&root, "v2-u022").unwrap();
        assert_eq!((mode(&root), mode(&bucket.join("tmp"))), (0o700, 0o700));
        assert_eq!(fs::read(root.join(TAG_NAME)).unwrap(), TAG);
        assert_eq!(prepare(&root, "v2-u022").unwrap(), bucket);
    }

    #[test]
    fn a_cache_that_everyone_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = prepare(directory.path(), "v2-u022").unwrap_err();
        assert_eq!(error.code(), Code::Cache);
        assert!(error.hint().is_some());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_place_of_the_cache_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("file");
        fs::write(&root, "").unwrap();
        assert_eq!(prepare(&root, "v2-u022").unwrap_err().code(), Code::Cache);
    }

    #[test]
    fn leftovers_of_killed_runs_are_removed_after_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let tmp = prepare(directory.path(), "v2-u022").unwrap().join("tmp");
        fs::create_dir_all(tmp.join("left")).unwrap();
        fs::write(tmp.join("left/0"), "").unwrap();
        let made = fs::metadata(tmp.join("left")).unwrap().modified().unwrap();
        remove_leftovers(&tmp, made + LEFTOVER_AGE);
        assert!(tmp.join("left/0").exists());
        remove_leftovers(&tmp, made + LEFTOVER_AGE + Duration::from_secs(1));
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
    }

    #[test]
    fn cleaning_removes_only_what_is_ours() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for bucket in ["v1-u077", "v2-u022"] {
            fs::write(prepare(root, bucket).unwrap().join("packages/0"), "abc").unwrap();
        }
        fs::create_dir(root.join("v1-utopia")).unwrap();
        fs::write(root.join("mine"), "").unwrap();
        let usage = Usage { packages: 0, files: 2, bytes: 6 };
        assert_eq!((size(root).unwrap(), clean(root).unwrap()), (usage, usage));
        let mut left: Vec<_> =
            fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [TAG_NAME, "mine", "v1-utopia"]);
        assert_eq!(size(root).unwrap(), Usage::default());
    }

    #[test]
    fn a_directory_without_the_tag_is_not_cleaned() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("v2-u022")).unwrap();
        assert_eq!(clean(directory.path()).unwrap_err().code(), Code::Cache);
        assert!(directory.path().join("v2-u022").exists());
        assert_eq!(clean(&directory.path().join("none")).unwrap(), Usage::default());
    }
}
