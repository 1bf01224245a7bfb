//! What the process asks of Linux: its own account, its scheduling, its umask, and io_uring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ExitStatus};

use ringstall_linux::{Kind, Need, Refusal, Trial, Use};
use rustix::fs::Mode;

use super::filesystem::Filesystem;
use super::refused::{Refused, RingFindings, RingPart, RingPartKind, RingPartRole};

pub use ringstall_linux::{
    AllocationGroups, Counts, Usage, kernel_workers, schedule_in_batches, schedule_normally,
};

/// What the process has used so far; nothing where the kernel does not say.
pub fn usage() -> Usage {
    ringstall_linux::usage().unwrap_or_default()
}

/// What the calling thread has used so far; nothing where the kernel does not say.
pub fn thread_usage() -> Usage {
    ringstall_linux::thread_usage().unwrap_or_default()
}

/// Waits for a child's end, and tells what it and those that it waited for have used.
pub fn wait_with_usage(child: Child) -> io::Result<(ExitStatus, Option<Usage>)> {
    ringstall_linux::wait_with_usage(child).map(|(status, usage)| (status, Some(usage)))
}

/// Sends a part of a file to a socket without taking it into this process (sendfile(2)). Tells how
/// many bytes went, which may be fewer; none at the end of the file.
pub fn send_file(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    let mut offset = offset;
    Ok(rustix::fs::sendfile(socket, file, Some(&mut offset), length)?)
}

/// The umask. It can only be read by setting it, so this is for the start, before other threads.
pub fn current_umask() -> u32 {
    let umask = rustix::process::umask(Mode::empty());
    rustix::process::umask(umask);
    umask.as_raw_mode()
}

/// The groups that the filesystem of a directory puts inodes in, where it is one that tells: an
/// xfs.
pub fn allocation_groups(directory: impl AsFd) -> Option<AllocationGroups> {
    let is_xfs = Filesystem::of(&directory) == Filesystem::Xfs;
    is_xfs.then(|| AllocationGroups::of(directory).ok()).flatten()
}

/// Makes a small ring and uses it once.
pub fn try_ring() -> Result<(), Refused> {
    ringstall_linux::try_ring().map_err(Refused::from)
}

/// The reason for an error that making a ring has met.
pub fn explain(error: &io::Error) -> Refused {
    Refusal::explain(error).into()
}

/// Tries all that there is of io_uring.
pub fn probe_ring() -> RingFindings {
    let probe = ringstall_linux::probe();
    let refused = |purpose| probe.refusal(purpose).map(Refused::from);
    RingFindings {
        files: refused(Use::Files),
        sockets: refused(Use::Sockets),
        parts: probe.trials().iter().map(part).collect(),
    }
}

fn part(trial: &Trial) -> RingPart {
    let Trial { kind, name, since, need, errno } = *trial;
    let kind = match kind {
        Kind::SetupFlag => RingPartKind::SetupFlag,
        Kind::Feature => RingPartKind::Feature,
        Kind::Registration => RingPartKind::Registration,
        Kind::Opcode => RingPartKind::Opcode,
    };
    let role = match need {
        Need::Files | Need::Sockets | Need::All => RingPartRole::Needed,
        Need::Speed => RingPartRole::Faster,
        Need::Nobody => RingPartRole::Unused,
    };
    RingPart { kind, name, since, role, errno }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { why: refusal.to_string(), advice: refusal.advice() }
    }
}
