//! The engine of plain system calls.

use std::ffi::CStr;
use std::io;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::place::place_file;
use super::{At, Bases, Operation, parent};

/// Parents that are missing are `node_modules`, scopes and packages: npm makes those with 0777.
pub(super) const PARENT_MODE: u32 = 0o777;

/// Carries out an operation at once.
pub(super) fn carry_out(bases: &Bases, operation: &Operation) -> io::Result<()> {
    match operation {
        Operation::MakeDirectory { at, mode } => make_directory(bases, at, *mode),
        Operation::WriteFile { at, mode, bytes } => write_file(bases, at, *mode, bytes),
        Operation::PlaceFile { source, target, mode, placement } => {
            place_file(bases, source, target, *mode, placement)
        }
        Operation::MakeSymlink { target, at } => make_symlink(bases, target, at),
        Operation::MoveAside { from, to } => move_aside(bases, from, to),
        Operation::Remove { at } => remove(bases, at),
    }
}

fn make_directory(bases: &Bases, at: &At, mode: u32) -> io::Result<()> {
    let base = bases.fd(at.base);
    match rustix::fs::mkdirat(base, &at.path, Mode::from_raw_mode(mode)) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            // Another worker may have made it as a parent. A symbolic link is not a directory here:
            // nothing may be written through one.
            let stat = rustix::fs::statat(base, &at.path, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_directory { Ok(()) } else { Err(Errno::NOTDIR.into()) }
        }
        Err(Errno::NOENT) => {
            make_parent(bases, at)?;
            make_directory(bases, at, mode)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn make_parent(bases: &Bases, at: &At) -> io::Result<()> {
    let Some(path) = parent(&at.path) else { return Err(Errno::NOENT.into()) };
    make_directory(bases, &At { base: at.base, path }, PARENT_MODE)
}

fn make_symlink(bases: &Bases, target: &CStr, at: &At) -> io::Result<()> {
    let make = || rustix::fs::symlinkat(target, bases.fd(at.base), &at.path);
    match make() {
        Err(Errno::EXIST) => remove(bases, at)?,
        Err(Errno::NOENT) => make_parent(bases, at)?,
        outcome => return Ok(outcome?),
    }
    Ok(make()?)
}

fn move_aside(bases: &Bases, from: &At, to: &At) -> io::Result<()> {
    match rustix::fs::renameat(bases.fd(from.base), &from.path, bases.fd(to.base), &to.path) {
        Err(Errno::XDEV) => remove(bases, from),
        outcome => Ok(outcome?),
    }
}

fn remove(bases: &Bases, at: &At) -> io::Result<()> {
    let base = bases.fd(at.base);
    let removed = match rustix::fs::unlinkat(base, &at.path, AtFlags::empty()) {
        // POSIX has EPERM for what Linux answers with EISDIR.
        Err(errno @ (Errno::ISDIR | Errno::PERM)) => {
            let stat = rustix::fs::statat(base, &at.path, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => std::fs::remove_dir_all(bases.path(at)),
                _ => Err(errno.into()),
            }
        }
        removed => removed.map_err(io::Error::from),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn write_file(bases: &Bases, at: &At, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let base = bases.fd(at.base);
    let file = rustix::fs::openat(base, &at.path, flags, Mode::from_raw_mode(mode))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(&file, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
