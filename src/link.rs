//! Placing packages: from the cache's folder of a package to each place that wants it.
//!
//! The index says all there is to know, so nothing is read or looked at on the way: one operation
//! a directory, one a file. A file is shared with the cache unless it must differ from what lies
//! there: another mode, or a `#!` line that npm mends. Of a package whose scripts are run no file
//! is shared.

use std::ffi::{CStr, CString};

use bytes::Bytes;

use crate::backend::{At, Base, FileQueue, Operation, Placement};
use crate::cache::{Cache, FileEntry, Index, push_file};
use crate::error::{Code, Error, Result};
use crate::graph::NodeId;
use crate::integrity::CacheKey;
use crate::site::push;

/// One place of one package.
#[derive(Debug)]
pub struct Target<'p> {
    pub node: NodeId,
    /// Relative to the project's root.
    pub path: &'p str,
    /// The name and version that the lockfile gives a package of a registry.
    pub known_as: Option<(&'p str, &'p str)>,
    /// Files of the package (and of those it bundles) that a command leads to.
    pub won_bins: Vec<String>,
    /// Whether the lockfile's entry has `resolved`: without it npm asks the registry for the
    /// package's bins, and makes them executable even where they win no name.
    pub is_resolved: bool,
    /// Other packages that have their own place below this one, relative to it.
    pub nested: Vec<&'p str>,
    pub placement: Placement,
    /// npm's setting of this name: what it takes off all modes but those of commands that win
    /// their name, before the umask of the process.
    pub umask: u32,
    pub privacy: Privacy,
}

/// Which packages must share no file with the cache, because their scripts may change their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privacy {
    /// No script of it is run.
    #[default]
    Shared,
    /// Private where its tarball has scripts or a `binding.gyp`.
    WithScripts,
    Private,
}

/// What was done, for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    pub packages: u64,
    pub directories: u64,
    pub files: u64,
    pub bytes: u64,
}

impl Target<'_> {
    /// What is placed here under another name or version, as `path is name@version`. npm says
    /// nothing of it; whoever made the lockfile say so may want it to go unseen.
    pub fn stranger(&self, index: &Index) -> Option<String> {
        let (name, version) = self.known_as?;
        let is_known = !index.name().is_empty() && !index.version().is_empty();
        let is_same =
            index.name() == name && plain_version(index.version()) == plain_version(version);
        (is_known && !is_same)
            .then(|| format!("{} is {}@{}", self.path, index.name(), index.version()))
    }
}

/// Registries publish versions without a `v`, and build metadata is no part of them.
fn plain_version(version: &str) -> &str {
    let version = version.trim().trim_start_matches(['v', '=']);
    version.split('+').next().unwrap_or(version)
}

impl std::ops::AddAssign for Placed {
    fn add_assign(&mut self, other: Self) {
        self.packages += other.packages;
        self.directories += other.directories;
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// npm's mode of the folders that packages lie in, and of those that a tarball brings before its
/// setting is taken off (pacote 21, `dmode`), both before the umask.
const DIRECTORY_MODE: u32 = 0o777;

/// A command larger than this is no script with a `#!` line to mend.
const SCRIPT_BYTES_MAX: u64 = 64 << 20;

/// Pushes the package's directories; the caller finishes the queue.
pub fn make_directories(
    queue: &mut FileQueue,
    index: &Index,
    target: &Target<'_>,
) -> Result<Placed> {
    let mut placed = Placed { packages: 1, ..Placed::default() };
    let at = At::new(Base::Project, target.path).ok_or_else(|| has_nul(target))?;
    push(queue, Operation::MakeDirectory { at, mode: DIRECTORY_MODE })?;
    let mut at = Prefixed::new(Base::Project, target.path);
    for directory in index.directories().filter(|path| !is_skipped(path, index, target)) {
        let at = at.join(directory);
        let mode = DIRECTORY_MODE & !target.umask | 0o700;
        push(queue, Operation::MakeDirectory { at, mode })?;
        placed.directories += 1;
    }
    Ok(placed)
}

/// Pushes the package's files, whose directories were pushed before; the caller finishes the
/// queue.
pub fn place_files(
    queue: &mut FileQueue,
    key: &CacheKey,
    index: &Index,
    target: &Target<'_>,
    umask: u32,
) -> Result<Placed> {
    let mut placed = Placed::default();
    let mut source = Prefixed::new(Base::Cache, &Cache::package_path(key));
    let mut at = Prefixed::new(Base::Project, target.path);
    let is_private = match target.privacy {
        Privacy::Shared => false,
        Privacy::WithScripts => index.has_install_scripts(),
        Privacy::Private => true,
    };
    for file in index.files().filter(|file| !is_skipped(file.path, index, target)) {
        let source = source.join_number(file.number);
        let at = at.join(file.path);
        let operation = match demand(&file, target, index, umask) {
            Demand::Shared if !is_private => {
                let placement = target.placement.clone();
                Operation::PlaceFile { source, target: at, mode: file.mode, placement }
            }
            Demand::Shared => {
                let placement = target.placement.private();
                Operation::PlaceFile { source, target: at, mode: file.mode, placement }
            }
            Demand::Private { mode } => {
                let placement = target.placement.private();
                Operation::PlaceFile { source, target: at, mode, placement }
            }
            Demand::Mended { mode } => {
                Operation::WriteFile { at, mode, bytes: mended(queue, &source)? }
            }
        };
        push(queue, operation)?;
        placed.files += 1;
        placed.bytes += file.size;
    }
    Ok(placed)
}

/// How a file has to differ from the cache's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Shared,
    Private { mode: u32 },
    Mended { mode: u32 },
}

/// npm gives a command that wins its name exactly `0777 & ~umask` and mends its `#!` line; one
/// that does not keeps the mode that it was extracted with.
fn demand(file: &FileEntry<'_>, target: &Target<'_>, index: &Index, umask: u32) -> Demand {
    let is_plain = file.mode == file.plain_mode && !file.has_crlf_shebang;
    if is_plain && target.won_bins.is_empty() && target.umask == 0 {
        return Demand::Shared;
    }
    // The owner can always read and write (pacote 21, `#entryMode`).
    let plain_mode = file.plain_mode & !target.umask | 0o600;
    let path = file.path.to_bytes();
    let is_won = target.won_bins.iter().any(|won| won.as_bytes() == path);
    let mode = if is_won {
        0o777
    } else if !target.is_resolved && index.bins().any(|(_, bin)| bin.as_bytes() == path) {
        plain_mode | 0o111
    } else {
        plain_mode
    };
    if is_won && file.has_crlf_shebang && file.size <= SCRIPT_BYTES_MAX {
        return Demand::Mended { mode };
    }
    if mode & !umask == file.mode & !umask { Demand::Shared } else { Demand::Private { mode } }
}

/// The file's bytes with the end of its first line made LF.
fn mended(queue: &FileQueue, source: &At) -> Result<Bytes> {
    let path = queue.bases().path(source);
    let mut bytes = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    mend_first_line(&mut bytes);
    Ok(bytes.into())
}

/// Makes `#!...\r\n` at the start `#!...\n`; true where there was something to mend
/// (bin-links 6, lib/fix-bin.js).
pub fn mend_first_line(bytes: &mut Vec<u8>) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return false };
    let has_carriage_return = end > 2 && bytes.starts_with(b"#!") && bytes[end - 1] == b'\r';
    if has_carriage_return && end > 3 {
        bytes.remove(end - 1);
    }
    has_carriage_return && end > 3
}

/// Whether another package has its own place here, so that what the tarball brings is not wanted.
fn is_skipped(path: &CStr, index: &Index, target: &Target<'_>) -> bool {
    let is_in = |nested: &&str| {
        path.to_bytes()
            .strip_prefix(nested.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    index.has_node_modules() && target.nested.iter().any(is_in)
}

fn has_nul(target: &Target<'_>) -> Error {
    let path = target.path.escape_debug();
    Error::new(Code::LockfileInvalid, format!("the path `{path}` holds a NUL"))
}

/// Paths below one folder, without an allocation but that of the path itself.
struct Prefixed {
    base: Base,
    buffer: Vec<u8>,
    prefix_length: usize,
}

impl Prefixed {
    fn new(base: Base, prefix: &str) -> Self {
        let mut buffer = Vec::with_capacity(prefix.len() + 128);
        buffer.extend_from_slice(prefix.as_bytes());
        buffer.push(b'/');
        Self { base, prefix_length: buffer.len(), buffer }
    }

    fn join(&mut self, path: &CStr) -> At {
        self.buffer.truncate(self.prefix_length);
        self.buffer.extend_from_slice(path.to_bytes());
        self.at()
    }

    fn join_number(&mut self, number: u32) -> At {
        self.buffer.truncate(self.prefix_length);
        push_file(&mut self.buffer, number);
        self.at()
    }

    fn at(&self) -> At {
        let mut bytes = Vec::with_capacity(self.buffer.len() + 1);
        bytes.extend_from_slice(&self.buffer);
        let path = CString::new(bytes)
            .unwrap_or_else(|_| unreachable!("indexes and install paths hold no NUL"));
        At { base: self.base, path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_line_with_an_interpreter_is_mended() {
        for (before, after) in [
            ("#!/bin/sh\r\nx\r\n", Some("#!/bin/sh\nx\r\n")),
            ("#!/bin/sh\nx\r\n", None),
            ("#!\r\nx", None),
            ("x\r\n", None),
            ("#!/bin/sh\r", None),
            ("", None),
        ] {
            let mut bytes = before.as_bytes().to_vec();
            let is_mended = mend_first_line(&mut bytes);
            assert_eq!(is_mended, after.is_some(), "{before:?}");
            assert_eq!(bytes, after.unwrap_or(before).as_bytes(), "{before:?}");
        }
    }
}
