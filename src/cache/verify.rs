//! Whether the packages of the cache are still what was unpacked.
//!
//! A package's index says which files there are, how large, and with which modes; a file that is
//! missing, is too many, or differs in one of these is damage. An index has no sums of contents.
//! But files are never written again once their package has its name, and the package's folder
//! keeps the time of that as its change time, which no link to a file moves: a file that was
//! modified later was written into, most likely through a project that it is linked to. Contents
//! that rot on the disk, or that someone changes and hides, are not found.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::names::{file_path, is_folder};
use super::packages::{Bucket, Package};
use super::root::{Usage, buckets, hold_alone, share, umask_of};
use super::{FileEntry, Index};
use crate::error::Result;

/// What was looked at, and what is wrong.
#[derive(Debug, Default)]
pub struct Verified {
    pub usage: Usage,
    pub damages: Vec<Damage>,
}

/// A package that is not what was unpacked.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// `name@version`; empty where the index does not say.
    pub label: String,
    pub path: PathBuf,
    /// The first thing that was found.
    pub what: String,
}

/// Looks at every package that this version can read. With `repairs`, damaged ones are removed, so
/// that they are fetched again when they are wanted.
pub fn verify(root: &Path, repairs: bool) -> Result<Verified> {
    let mut verified = Verified::default();
    for path in buckets(root)? {
        let Some(umask) = umask_of(&path) else { continue };
        let _lock = if repairs { Some(hold_alone(&path)?) } else { share(&path) };
        let bucket = Bucket::open(path)?;
        for package in bucket.packages()? {
            let index = bucket.index(&package);
            verified.usage.packages += 1;
            let checked = match &index {
                None => Err("it has no whole index".to_owned()),
                Some(index) => check(&package, index, umask, &mut verified.usage),
            };
            let Err(what) = checked else { continue };
            if repairs {
                bucket.remove(&package)?;
            }
            let label = index
                .map_or_else(String::new, |index| format!("{}@{}", index.name(), index.version()));
            verified.damages.push(Damage { label, path: package.path, what });
        }
    }
    Ok(verified)
}

/// The first thing that is wrong with a package.
fn check(package: &Package, index: &Index, umask: u32, usage: &mut Usage) -> Result<(), String> {
    let folder = &package.path;
    let unreadable = |error| format!("its folder cannot be read: {error}");
    let published = Time::of_change(&folder.metadata().map_err(unreadable)?);
    for file in index.files() {
        check_file(folder, &file, umask, published)?;
        usage.files += 1;
        usage.bytes += file.size;
    }
    let found = count_files(folder).map_err(unreadable)?;
    // The index is one of them.
    let expected = index.file_count() + 1;
    if found != expected {
        return Err(format!("it has {found} files, not {expected}"));
    }
    Ok(())
}

/// How many entries there are in a package's folder and its folders for files.
fn count_files(folder: &Path) -> io::Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_folder = is_folder(entry.file_name().as_bytes()) && entry.file_type()?.is_dir();
        found += if is_folder { fs::read_dir(entry.path())?.count() } else { 1 };
    }
    Ok(found)
}

fn check_file(
    folder: &Path,
    file: &FileEntry<'_>,
    umask: u32,
    published: Time,
) -> Result<(), String> {
    let shown = || format!("`{}`", String::from_utf8_lossy(file.path.to_bytes()).escape_debug());
    let metadata = fs::symlink_metadata(folder.join(file_path(file.number)))
        .map_err(|error| format!("{} cannot be looked at: {error}", shown()))?;
    if !metadata.is_file() {
        return Err(format!("{} is no regular file", shown()));
    }
    if metadata.len() != file.size {
        return Err(format!("{} has {} bytes, not {}", shown(), metadata.len(), file.size));
    }
    let (mode, expected) = (metadata.mode() & 0o7777, file.mode & !umask);
    if mode != expected {
        return Err(format!("{} has the mode {mode:04o}, not {expected:04o}", shown()));
    }
    if Time::of_modification(&metadata) > published {
        return Err(format!("{} was written into after it was unpacked", shown()));
    }
    Ok(())
}

/// Seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Time(i64, i64);

impl Time {
    fn of_change(metadata: &fs::Metadata) -> Self {
        Self(metadata.ctime(), metadata.ctime_nsec())
    }

    fn of_modification(metadata: &fs::Metadata) -> Self {
        Self(metadata.mtime(), metadata.mtime_nsec())
    }
}
