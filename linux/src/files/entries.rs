//! The submission queue entries of file operations, and what their completions mean.
//!
//! Entries hold pointers into the operations and directories that they are made from. Making one
//! is safe; who queues it sees to it that they outlive its completion.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

use crate::operation::{At, FileOperation, Step};

/// What a completion is of.
pub(super) enum Meaning {
    /// A part of an operation.
    Part(usize, Step),
    /// The close of a descriptor, which posts a completion only where it fails.
    Close(RawFd),
}

const STEP_BITS: u32 = 3;
const CLOSE: u64 = 1 << 63;
const CREATE: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;

/// What is told by the number that an entry was given.
pub(super) fn meaning(user_data: u64) -> Meaning {
    // Both numbers come from where they are put together here, so neither is too large.
    if user_data & CLOSE != 0 {
        return Meaning::Close(RawFd::try_from(user_data & !CLOSE).unwrap_or(-1));
    }
    let step = Step::from_bits(user_data & ((1 << STEP_BITS) - 1));
    Meaning::Part(usize::try_from(user_data >> STEP_BITS).unwrap_or(usize::MAX), step)
}

fn user_data(id: usize, step: Step) -> u64 {
    (id as u64) << STEP_BITS | step as u64
}

fn fd(directories: &[Arc<OwnedFd>], at: &At) -> types::Fd {
    types::Fd(directories[at.directory].as_raw_fd())
}

/// An operation that is one entry.
pub(super) fn single(directories: &[Arc<OwnedFd>], id: usize, operation: &FileOperation) -> Entry {
    let fd = |at| fd(directories, at);
    let entry = match operation {
        FileOperation::MakeDirectory { at, mode } => {
            opcode::MkDirAt::new(fd(at), at.path.as_ptr()).mode(*mode).build()
        }
        FileOperation::Link { source, target } => {
            let (from, to) = (source.path.as_ptr(), target.path.as_ptr());
            opcode::LinkAt::new(fd(source), from, fd(target), to).build()
        }
        FileOperation::Symlink { target, at } => {
            opcode::SymlinkAt::new(fd(at), target.as_ptr(), at.path.as_ptr()).build()
        }
        FileOperation::Rename { from, to } => {
            let (old, new) = (from.path.as_ptr(), to.path.as_ptr());
            opcode::RenameAt::new(fd(from), old, fd(to), new).build()
        }
        FileOperation::RemoveFile { at } => opcode::UnlinkAt::new(fd(at), at.path.as_ptr()).build(),
        FileOperation::RemoveDirectory { at } => {
            opcode::UnlinkAt::new(fd(at), at.path.as_ptr()).flags(libc::AT_REMOVEDIR).build()
        }
        FileOperation::WriteFile { .. } | FileOperation::Duplicate { .. } => {
            unreachable!("these are several entries")
        }
    };
    entry.user_data(user_data(id, Step::Whole))
}

/// The two files of a duplicate, opened independently.
pub(super) fn opens(
    directories: &[Arc<OwnedFd>],
    id: usize,
    source: &At,
    target: &At,
    mode: u32,
) -> [Entry; 2] {
    let from = opcode::OpenAt::new(fd(directories, source), source.path.as_ptr())
        .flags(libc::O_RDONLY | libc::O_CLOEXEC)
        .build()
        .user_data(user_data(id, Step::OpenSource));
    let to = opcode::OpenAt::new(fd(directories, target), target.path.as_ptr())
        .flags(CREATE | libc::O_CLOEXEC)
        .mode(mode)
        .build()
        .user_data(user_data(id, Step::Open));
    [from, to]
}

/// Makes a file and opens it in a slot of the ring's own table; the first of a chain.
pub(super) fn open_in_slot(
    directories: &[Arc<OwnedFd>],
    id: usize,
    at: &At,
    mode: u32,
    slot: u32,
) -> Entry {
    // Fails only for the largest numbers, which are more than any table has.
    let destination = types::DestinationSlot::try_from_slot_target(slot).ok();
    opcode::OpenAt::new(fd(directories, at), at.path.as_ptr())
        .flags(CREATE)
        .mode(mode)
        .file_index(destination)
        .build()
        .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
        .user_data(user_data(id, Step::Open))
}

/// Writes what is left of a file, if anything is; in the middle of a chain.
pub(super) fn write(id: usize, slot: u32, bytes: &[u8], written: usize) -> Option<Entry> {
    let rest = &bytes[written..];
    // An entry's length has 32 bits; longer files are not taken.
    let length = u32::try_from(rest.len()).ok().filter(|length| *length > 0)?;
    let write = opcode::Write::new(types::Fixed(slot), rest.as_ptr(), length)
        .offset(written as u64)
        .build()
        .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
        .user_data(user_data(id, Step::Write));
    Some(write)
}

/// Frees a slot; the last of a chain.
pub(super) fn close_slot(id: usize, slot: u32) -> Entry {
    opcode::Close::new(types::Fixed(slot)).build().user_data(user_data(id, Step::Close))
}

/// Closes a descriptor of the process; nobody waits for it.
pub(super) fn close(fd: &impl AsRawFd) -> Entry {
    let close = opcode::Close::new(types::Fd(fd.as_raw_fd())).build();
    // A descriptor is no negative number.
    let number = u64::try_from(fd.as_raw_fd()).unwrap_or(0);
    close.flags(Flags::SKIP_SUCCESS).user_data(CLOSE | number)
}
