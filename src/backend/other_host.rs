//! What `linux_host` offers, for hosts without it: no account is kept and nothing is scheduled,
//! and there is no io_uring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::fs::Mode;

use super::refused::{Refused, RingFindings};

/// What the process has used; always nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub user: Duration,
    pub system: Duration,
    pub resident_bytes_max: u64,
    pub minor_faults: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
}

/// How often a ring was used; never, here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub submissions: u64,
    pub enters: u64,
    pub batches: u64,
    pub batch_max: u64,
    pub completions: u64,
}

/// The groups that a filesystem puts inodes in; none is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocationGroups {}

impl AllocationGroups {
    pub fn count(&self) -> u32 {
        match *self {}
    }

    pub fn of_inode(&self, _inode: u64) -> u64 {
        match *self {}
    }
}

pub fn allocation_groups(_directory: impl AsFd) -> Option<AllocationGroups> {
    None
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, _other: Self) {}
}

pub fn usage() -> Usage {
    Usage::default()
}

pub fn thread_usage() -> Usage {
    Usage::default()
}

impl Usage {
    #[must_use]
    pub fn since(&self, _earlier: &Self) -> Self {
        Self::default()
    }
}

/// Waits for a child's end; no account is kept of it here.
pub fn wait_with_usage(mut child: Child) -> io::Result<(ExitStatus, Option<Usage>)> {
    child.wait().map(|status| (status, None))
}

/// Sends a part of a file to a socket. Tells how many bytes went, which may be fewer; none at the
/// end of the file.
pub fn send_file(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    const PIECE_BYTES_MAX: usize = 64 << 10;
    let mut piece = vec![0; length.min(PIECE_BYTES_MAX)];
    let read = rustix::io::pread(file, &mut piece, offset)?;
    Ok(rustix::io::write(socket, &piece[..read])?)
}

/// The kernel has none here.
pub fn kernel_workers() -> usize {
    0
}

pub fn schedule_in_batches() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn schedule_normally() -> io::Result<()> {
    Ok(())
}

/// The umask. It can only be read by setting it, so this is for the start, before other threads.
#[allow(clippy::useless_conversion, reason = "modes have 16 bits on some systems")]
pub fn current_umask() -> u32 {
    let umask = rustix::process::umask(Mode::empty());
    rustix::process::umask(umask);
    umask.as_raw_mode().into()
}

/// Never to be had here.
pub fn try_ring() -> Result<(), Refused> {
    Err(absent())
}

pub fn explain(_error: &io::Error) -> Refused {
    absent()
}

pub fn probe_ring() -> RingFindings {
    RingFindings { files: Some(absent()), sockets: Some(absent()), parts: Vec::new() }
}

fn absent() -> Refused {
    Refused {
        why: "this program was built without io_uring".to_owned(),
        advice: "use a build for Linux with the feature `io-uring`".to_owned(),
    }
}
