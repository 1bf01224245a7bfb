//! File operations as values that own all that the kernel needs of them.

use std::ffi::CString;
use std::io;

use bytes::Bytes;
use io_uring::opcode;

/// A path below one of the directories that a [`crate::FileRing`] was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Its number.
    pub directory: usize,
    pub path: CString,
}

/// One change to the file system. Modes are what is asked for; the kernel applies the umask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOperation {
    /// mkdir(2); the parent must be there.
    MakeDirectory { at: At, mode: u32 },
    /// Makes a file that must not exist yet and writes all of it.
    WriteFile { at: At, mode: u32, bytes: Bytes },
    /// link(2).
    Link { source: At, target: At },
    /// Makes a file that must not exist yet and fills it from another.
    Duplicate { source: At, target: At, mode: u32, fill: Fill },
    /// symlink(2).
    Symlink { target: CString, at: At },
    /// rename(2).
    Rename { from: At, to: At },
    /// unlink(2).
    RemoveFile { at: At },
    /// rmdir(2).
    RemoveDirectory { at: At },
}

/// How a duplicate gets its content. There is no opcode for either: the files are opened and closed
/// on the ring, and the call between is a plain one of the thread that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Shares the extents (ioctl_ficlone(2)).
    Clone,
    /// Copies (copy_file_range(2), with read and write where that is refused).
    Copy,
}

/// An operation that failed. Nothing of it is left behind, so it can be done anew by other means.
#[derive(Debug)]
pub struct Failed<T> {
    pub operation: FileOperation,
    /// What the operation was pushed with.
    pub tag: T,
    /// The part that failed: a write is an open, a write and a close.
    pub step: Step,
    pub error: io::Error,
}

/// A part of an operation, and its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// The operation is one entry.
    Whole,
    Open,
    OpenSource,
    Write,
    Close,
    Fill,
}

impl Step {
    pub(crate) fn from_bits(bits: u64) -> Self {
        match bits {
            1 => Self::Open,
            2 => Self::OpenSource,
            3 => Self::Write,
            4 => Self::Close,
            5 => Self::Fill,
            _ => Self::Whole,
        }
    }
}

impl FileOperation {
    /// The names of the opcodes that it needs.
    pub fn opcodes(&self) -> &'static [u8] {
        match self {
            Self::MakeDirectory { .. } => &[opcode::MkDirAt::CODE],
            Self::WriteFile { .. } => {
                &[opcode::OpenAt::CODE, opcode::Write::CODE, opcode::Close::CODE]
            }
            Self::Link { .. } => &[opcode::LinkAt::CODE],
            Self::Duplicate { .. } => &[opcode::OpenAt::CODE, opcode::Close::CODE],
            Self::Symlink { .. } => &[opcode::SymlinkAt::CODE],
            Self::Rename { .. } => &[opcode::RenameAt::CODE],
            Self::RemoveFile { .. } | Self::RemoveDirectory { .. } => &[opcode::UnlinkAt::CODE],
        }
    }
}
