//! One install at a time in one project.
//!
//! The lock is advisory and lies on the project's folder itself, so that no file is made for it,
//! and it ends with the process however that ends. Where the filesystem has no locks there is
//! none, as in npm.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::journal::{Awaited, Board};
use crate::report::Reporter;

/// Held for as long as an install is at work.
#[derive(Debug)]
pub struct Guard {
    // Closing it ends the lock.
    _directory: File,
}

impl Guard {
    /// Waits for another install in the same project, says so, and puts that on the board.
    pub fn enter(project: &Path, reporter: Reporter, board: &Board) -> Result<Self> {
        let failed = |doing| move |error| Error::io(doing, project, error);
        let directory = File::open(project).map_err(failed("open"))?;
        // Any other answer is that it is taken, or that the filesystem has no locks.
        let tried = flock(&directory, FlockOperation::NonBlockingLockExclusive);
        if tried == Err(Errno::WOULDBLOCK) {
            reporter.warn("another install is at work in this project: waiting for its end");
            let _wait = board.begin(Awaited::Lock(project.to_owned()));
            while let Err(errno) = flock(&directory, FlockOperation::LockExclusive) {
                if errno != Errno::INTR {
                    return Err(failed("lock")(errno.into()));
                }
            }
        }
        Ok(Self { _directory: directory })
    }
}
