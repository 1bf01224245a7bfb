//! Removing trees: files in batches as they are found, then directories from the deepest level up.
//!
//! Directories are read by plain calls, for which there is no opcode. What cannot be removed, or
//! has come into a directory meanwhile, is left to the plain call that does it anew.

use std::ffi::{CStr, CString};
use std::io;

use ringstall_linux::FileOperation;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::translation::{Tag, at_on_ring};
use super::{RingQueue, depth};
use crate::backend::engines::{Class, Tally};
use crate::backend::queue::Failure;
use crate::backend::{At, Bases, Operation};

impl RingQueue {
    /// Removes what is no directory, and all that is in a directory; the directories themselves
    /// wait for [`RingQueue::finish_removals`].
    pub(super) fn push_removal(&mut self, at: At, tally: &mut Tally) -> Result<(), Box<Failure>> {
        match kind(&self.bases, &at) {
            Ok(FileType::Directory) => {}
            Ok(_) => return self.remove_file(at, tally),
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed(at, errno.into()).into()),
        }
        let mut unread = vec![at];
        while let Some(directory) = unread.pop() {
            match entries(&self.bases, &directory) {
                Ok(entries) => {
                    for (at, is_directory) in entries {
                        if is_directory {
                            unread.push(at);
                        } else {
                            self.remove_file(at, tally)?;
                        }
                    }
                }
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(directory, errno.into()).into()),
            }
            self.old.entry(depth(&directory)).or_default().push(directory);
        }
        Ok(())
    }

    /// Removes the directories that have been emptied, each before its parent.
    pub(super) fn finish_removals(&mut self, tally: &mut Tally) -> Result<(), Box<Failure>> {
        while let Some((_, level)) = self.old.pop_last() {
            for at in level {
                let operation = FileOperation::RemoveDirectory { at: at_on_ring(at) };
                self.start(operation, Tag::new(Class::Remove), tally)?;
            }
            self.drain(Class::Remove, tally)?;
        }
        Ok(())
    }

    fn remove_file(&mut self, at: At, tally: &mut Tally) -> Result<(), Box<Failure>> {
        let operation = FileOperation::RemoveFile { at: at_on_ring(at) };
        self.start(operation, Tag::new(Class::Remove), tally)
    }
}

fn failed(at: At, source: io::Error) -> Failure {
    Failure { operation: Some(Operation::Remove { at }), source }
}

fn kind(bases: &Bases, at: &At) -> rustix::io::Result<FileType> {
    let stat = rustix::fs::statat(bases.fd(at.base), &at.path, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// What is in a directory, and whether it is one itself. A link in its place is not followed.
fn entries(bases: &Bases, directory: &At) -> rustix::io::Result<Vec<(At, bool)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(bases.fd(directory.base), &directory.path, flags, Mode::empty())?;
    let mut found = Vec::new();
    for entry in Dir::new(fd)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let at = join(directory, name);
        let kind = match entry.file_type() {
            FileType::Unknown => kind(bases, &at)?,
            kind => kind,
        };
        found.push((at, kind == FileType::Directory));
    }
    Ok(found)
}

fn join(directory: &At, name: &CStr) -> At {
    let path = [directory.path.to_bytes(), name.to_bytes()].join(&b'/');
    let path = CString::new(path).unwrap_or_else(|_| unreachable!("neither holds a NUL"));
    At { base: directory.base, path }
}
