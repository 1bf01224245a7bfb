//! The seam between the pipeline and the operating system: file operations as values.
//!
//! An [`Operation`] owns its paths and bytes, so an engine may carry it out at once or hand it to
//! the kernel in a batch. A worker pushes operations into its own [`FileQueue`] and finishes them
//! together. Paths are relative to one of two open directories, the cache and the project, which
//! keeps the kernel's path walks short and absolute paths out of every value.
//!
//! The seam for connections is [`network`].

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};

mod engines;
mod filesystem;
#[cfg(all(target_os = "linux", feature = "io-uring"))]
#[path = "backend/linux_host.rs"]
mod host;
#[cfg(not(all(target_os = "linux", feature = "io-uring")))]
#[path = "backend/other_host.rs"]
mod host;
pub mod machine;
pub mod mounts;
pub mod network;
mod place;
mod queue;
mod refused;
#[cfg(not(all(target_os = "linux", feature = "io-uring")))]
#[path = "backend/no_ring.rs"]
mod ring;
#[cfg(all(target_os = "linux", feature = "io-uring"))]
mod ring;
#[cfg(test)]
mod testing;
mod threads;

#[cfg(test)]
pub(crate) use engines::engines_to_test;
pub use engines::{
    BATCH_DEFAULT, BATCH_MAX, Class, Done, Engine, FileEngine, FileEngineChoice, FileEngines,
    NetworkDriver, Tally, chosen,
};
pub use filesystem::{Filesystem, keep_folders_apart, keeps_access_times};
pub use host::{
    AllocationGroups, Counts, Usage, allocation_groups, current_umask, explain, probe_ring,
    schedule_in_batches, schedule_normally, send_file, usage, wait_with_usage,
};
pub use place::{LinkMode, Placement, PlacementMode};
pub use queue::{Failure, FileQueue};
pub use refused::{Refused, RingFindings, RingPart, RingPartKind, RingPartRole};

/// Which of the two open directories a path is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Cache,
    Project,
}

/// A path below one of the two bases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    pub base: Base,
    pub path: CString,
}

impl At {
    /// `None` where the path holds a NUL byte, which no path can.
    pub fn new(base: Base, path: impl Into<Vec<u8>>) -> Option<Self> {
        CString::new(path).ok().map(|path| Self { base, path })
    }
}

/// One change to the file system. Modes are what is asked for; the kernel applies the umask.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Makes a directory and those above it that are missing; one that is there is kept.
    MakeDirectory { at: At, mode: u32 },
    /// Makes a file that must not exist yet and writes all of it.
    WriteFile { at: At, mode: u32, bytes: Bytes },
    /// Puts a file of the cache into the project. `mode` is given to copies and clones; a hard
    /// link keeps that of its inode.
    PlaceFile { source: At, target: At, mode: u32, placement: Placement },
    /// Makes a symbolic link, in the place of whatever is there, and directories above it that are
    /// missing.
    MakeSymlink { target: CString, at: At },
    /// Gives a directory or file that is not wanted another name, under which it is removed later.
    /// One that cannot be moved is removed at once: a directory of an overlay's lower layer.
    MoveAside { from: At, to: At },
    /// Removes a file, a link or a whole directory; what has gone already is no failure. Links are
    /// not followed.
    Remove { at: At },
}

/// The two open directories that operations are relative to.
#[derive(Clone, Debug)]
pub struct Bases {
    cache: Arc<BaseDirectory>,
    project: Arc<BaseDirectory>,
}

#[derive(Debug)]
struct BaseDirectory {
    fd: Arc<OwnedFd>,
    path: PathBuf,
}

impl Bases {
    pub fn open(cache: &Path, project: &Path) -> Result<Self> {
        Ok(Self { cache: open_base(cache)?, project: open_base(project)? })
    }

    pub fn fd(&self, base: Base) -> &OwnedFd {
        &self.base(base).fd
    }

    /// The same, for who keeps it open.
    #[cfg(all(target_os = "linux", feature = "io-uring"))]
    fn shared_fd(&self, base: Base) -> Arc<OwnedFd> {
        self.base(base).fd.clone()
    }

    /// The whole path, for messages.
    pub fn path(&self, at: &At) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        self.base(at.base).path.join(std::ffi::OsStr::from_bytes(at.path.to_bytes()))
    }

    fn base(&self, base: Base) -> &BaseDirectory {
        match base {
            Base::Cache => &self.cache,
            Base::Project => &self.project,
        }
    }

    /// Turns a failed operation into an error that names what was being done to which path.
    pub fn error(&self, failure: Failure) -> Error {
        let Failure { operation, source } = failure;
        let Some(operation) = operation else {
            return Error::new(Code::Io, "io_uring failed with operations in flight")
                .with_source(source)
                .with_hint("`--io threads` goes without it");
        };
        let (doing, at) = match &operation {
            Operation::MakeDirectory { at, .. } => ("make directory", at),
            Operation::WriteFile { at, .. } => ("write", at),
            Operation::MakeSymlink { at, .. } => ("make symbolic link", at),
            Operation::MoveAside { from, .. } => ("move aside", from),
            Operation::Remove { at } => ("remove", at),
            Operation::PlaceFile { source: from, target, .. } => {
                let doing = format!("place `{}` at", self.path(from).display());
                let is_forced = matches!(
                    Errno::from_io_error(&source),
                    Some(Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP | Errno::NOTTY)
                );
                let error = Error::io(&doing, self.path(target), source);
                let hint = "--link-mode auto takes the best way that the file systems allow";
                return if is_forced { error.with_hint(hint) } else { error };
            }
        };
        Error::io(doing, self.path(at), source)
    }
}

fn open_base(path: &Path) -> Result<Arc<BaseDirectory>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::io("open directory", path, errno.into()))?;
    Ok(Arc::new(BaseDirectory { fd: Arc::new(fd), path: path.to_owned() }))
}

/// The parent of a relative path, without its slash; `None` for a single component.
fn parent(path: &CStr) -> Option<CString> {
    let bytes = path.to_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/')?;
    CString::new(&bytes[..slash]).ok()
}

#[cfg(test)]
mod tests;
