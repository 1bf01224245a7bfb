//! How a file of the cache gets into the project: by hard link, clone or copy.
//!
//! The cheapest way that a pair of filesystems allows is found by trying it on the first file,
//! and then held to: EXDEV, EPERM and EOPNOTSUPP move every later file of that pair one step down.
//! EMLINK (an inode that has all the links its filesystem allows) concerns one file alone.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{At, Bases};

/// What `--link-mode` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkMode {
    /// Hard link, else clone, else copy.
    #[default]
    Auto,
    HardLink,
    Clone,
    Copy,
}

/// How files are placed now, on one pair of filesystems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PlacementMode {
    HardLink,
    Clone,
    Copy,
}

/// What one pair of filesystems (the cache's and one of the project's) is found to allow.
#[derive(Clone, Debug)]
pub struct Placement {
    // Shared by all files of the pair; `is_private` files start at `Clone`.
    lowest: Arc<AtomicU8>,
    is_forced: bool,
    is_private: bool,
}

impl Default for Placement {
    fn default() -> Self {
        Self::new(LinkMode::Auto)
    }
}

impl Placement {
    pub fn new(mode: LinkMode) -> Self {
        let lowest = match mode {
            LinkMode::Auto | LinkMode::HardLink => PlacementMode::HardLink,
            LinkMode::Clone => PlacementMode::Clone,
            LinkMode::Copy => PlacementMode::Copy,
        };
        let lowest = Arc::new(AtomicU8::new(lowest as u8));
        Self { lowest, is_forced: mode != LinkMode::Auto, is_private: false }
    }

    /// The same pair, for a file that must not share the cache's inode.
    #[must_use]
    pub fn private(&self) -> Self {
        Self { is_private: true, is_forced: false, ..self.clone() }
    }

    /// How the next file will be placed.
    pub fn mode(&self) -> PlacementMode {
        let mode = match self.lowest.load(Ordering::Relaxed) {
            0 => PlacementMode::HardLink,
            1 => PlacementMode::Clone,
            _ => PlacementMode::Copy,
        };
        if self.is_private { mode.max(PlacementMode::Clone) } else { mode }
    }

    /// The next thing to try for a file after `mode` failed with `errno`; `None` where nothing is
    /// left or the failure has another reason.
    fn after(&self, mode: PlacementMode, errno: Errno) -> Option<PlacementMode> {
        let next = match (mode, errno) {
            (PlacementMode::HardLink, Errno::MLINK) => return Some(PlacementMode::Copy),
            (PlacementMode::HardLink, Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => {
                PlacementMode::Clone
            }
            // Filesystems that cannot clone answer with any of these (ioctl_ficlonerange(2)).
            (
                PlacementMode::Clone,
                Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOTTY,
            ) => PlacementMode::Copy,
            _ => return None,
        };
        if self.is_forced {
            return None;
        }
        // A private file's failed clone says nothing about hard links.
        let is_remembered = !self.is_private || self.lowest.load(Ordering::Relaxed) > 0;
        if is_remembered {
            self.lowest.fetch_max(next as u8, Ordering::Relaxed);
        }
        Some(next)
    }
}

/// Places one file by plain system calls, stepping down as the filesystems demand.
pub(super) fn place_file(
    bases: &Bases,
    source: &At,
    target: &At,
    mode: u32,
    placement: &Placement,
) -> io::Result<()> {
    let mut how = placement.mode();
    loop {
        let done = match how {
            PlacementMode::HardLink => rustix::fs::linkat(
                bases.fd(source.base),
                &source.path,
                bases.fd(target.base),
                &target.path,
                AtFlags::empty(),
            )
            .map_err(io::Error::from),
            PlacementMode::Clone => duplicate(bases, source, target, mode, clone_file),
            PlacementMode::Copy => duplicate(bases, source, target, mode, copy_file),
        };
        let Err(error) = done else { return Ok(()) };
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        match placement.after(how, errno) {
            Some(next) => how = next,
            None => return Err(error),
        }
    }
}

/// Makes the target with a `fill` that either shares or copies the source's extents; a target that
/// could not be filled is removed again.
fn duplicate(
    bases: &Bases,
    source: &At,
    target: &At,
    mode: u32,
    fill: fn(&File, &File) -> io::Result<()>,
) -> io::Result<()> {
    let from = open(bases.fd(source.base), source, OFlags::RDONLY, 0)?;
    let to_base = bases.fd(target.base);
    let to = open(to_base, target, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?;
    fill(&from, &to).inspect_err(|_| {
        // The error that is reported is the first one.
        let _ = rustix::fs::unlinkat(to_base, &target.path, AtFlags::empty());
    })
}

fn open(base: &OwnedFd, at: &At, flags: OFlags, mode: u32) -> io::Result<File> {
    let mode = Mode::from_raw_mode(mode);
    Ok(File::from(rustix::fs::openat(base.as_fd(), &at.path, flags | OFlags::CLOEXEC, mode)?))
}

#[cfg(target_os = "linux")]
fn clone_file(from: &File, to: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

#[cfg(not(target_os = "linux"))]
fn clone_file(_from: &File, _to: &File) -> io::Result<()> {
    Err(Errno::OPNOTSUPP.into())
}

/// `std::io::copy` between files is copy_file_range(2) on Linux, with the plain loop behind it.
fn copy_file(mut from: &File, mut to: &File) -> io::Result<()> {
    io::copy(&mut from, &mut to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_steps_down_once_for_all_files_of_a_pair() {
        let placement = Placement::new(LinkMode::Auto);
        let next = placement.after(PlacementMode::HardLink, Errno::XDEV);
        assert_eq!((next, placement.mode()), (Some(PlacementMode::Clone), PlacementMode::Clone));
        let next = placement.after(PlacementMode::Clone, Errno::OPNOTSUPP);
        assert_eq!((next, placement.mode()), (Some(PlacementMode::Copy), PlacementMode::Copy));
    }

    #[test]
    fn a_full_inode_is_copied_and_later_files_are_still_linked() {
        let placement = Placement::new(LinkMode::Auto);
        let next = placement.after(PlacementMode::HardLink, Errno::MLINK);
        assert_eq!((next, placement.mode()), (Some(PlacementMode::Copy), PlacementMode::HardLink));
    }

    #[test]
    fn a_forced_mode_does_not_step_down() {
        let placement = Placement::new(LinkMode::HardLink);
        assert_eq!(placement.after(PlacementMode::HardLink, Errno::XDEV), None);
    }

    #[test]
    fn a_private_file_is_never_hard_linked() {
        let placement = Placement::new(LinkMode::Auto).private();
        assert_eq!(placement.mode(), PlacementMode::Clone);
        assert_eq!(
            placement.after(PlacementMode::Clone, Errno::OPNOTSUPP),
            Some(PlacementMode::Copy)
        );
        assert_eq!(Placement::new(LinkMode::Auto).mode(), PlacementMode::HardLink);
    }
}
