//! What kind of filesystem a directory is on, as far as that makes a difference here.

use std::fmt;
use std::os::fd::AsFd;

/// Those that behave differently enough to be measured apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    Ext4,
    Xfs,
    Btrfs,
    Tmpfs,
    Overlay,
    Other,
}

impl Filesystem {
    /// By the number that statfs(2) gives.
    #[cfg(target_os = "linux")]
    pub fn of(directory: impl AsFd) -> Self {
        let kind = rustix::fs::fstatfs(directory).map(|found| found.f_type);
        match kind.unwrap_or_default() {
            0xef53 => Self::Ext4,
            0x5846_5342 => Self::Xfs,
            0x9123_683e => Self::Btrfs,
            0x0102_1994 => Self::Tmpfs,
            0x794c_7630 => Self::Overlay,
            _ => Self::Other,
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub fn of(_directory: impl AsFd) -> Self {
        Self::Other
    }
}

/// Whether the filesystem notes when files are read, be it only once a day (`relatime`, which is
/// Linux's default).
#[cfg(target_os = "linux")]
pub fn keeps_access_times(directory: impl AsFd) -> bool {
    let found = rustix::fs::fstatvfs(directory);
    found.is_ok_and(|found| !found.f_flag.contains(rustix::fs::StatVfsMountFlags::NOATIME))
}

#[cfg(not(target_os = "linux"))]
pub fn keeps_access_times(_directory: impl AsFd) -> bool {
    true
}

/// Asks ext4 to put each folder that is made in `directory`, with all that it will hold, where
/// there are few folders yet (`EXT4_TOPDIR_FL`; the attribute T of chattr(1)). Who writes into one
/// of them then does not meet who writes into another: two that make files next to each other ask
/// for the same block of the inode table, one reads it from the disk, and both wait for that
/// (`__ext4_get_inode_loc` leaves the reading out only where no other inode of the block is taken).
/// It is only for speed: a filesystem that has no such thing does without it.
#[cfg(target_os = "linux")]
pub fn keep_folders_apart(directory: impl AsFd) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let Ok(flags) = ioctl_getflags(&directory) else { return };
    if !flags.contains(IFlags::TOPDIR) {
        let _ = ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
}

#[cfg(not(target_os = "linux"))]
pub fn keep_folders_apart(_directory: impl AsFd) {}

impl fmt::Display for Filesystem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Tmpfs => "tmpfs",
            Self::Overlay => "overlay",
            Self::Other => "other",
        })
    }
}
