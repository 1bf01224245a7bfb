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
