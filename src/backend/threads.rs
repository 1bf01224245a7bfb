//! The engine of plain system calls.

use std::io;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::place::place_file;
use super::{At, Bases, Operation, parent};

/// Carries out an operation at once.
pub(super) fn carry_out(bases: &Bases, operation: &Operation) -> io::Result<()> {
    match operation {
        Operation::MakeDirectory { at, mode } => make_directory(bases, at, *mode),
        Operation::WriteFile { at, mode, bytes } => write_file(bases, at, *mode, bytes),
        Operation::PlaceFile { source, target, mode, placement } => {
            place_file(bases, source, target, *mode, placement)
        }
        Operation::MakeSymlink { target, at } => {
            Ok(rustix::fs::symlinkat(target, bases.fd(at.base), &at.path)?)
        }
        Operation::Rename { from, to } => {
            Ok(rustix::fs::renameat(bases.fd(from.base), &from.path, bases.fd(to.base), &to.path)?)
        }
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
            let Some(path) = parent(&at.path) else { return Err(Errno::NOENT.into()) };
            // Parents are node_modules, scopes and packages: npm makes those with 0777.
            make_directory(bases, &At { base: at.base, path }, 0o777)?;
            make_directory(bases, at, mode)
        }
        Err(errno) => Err(errno.into()),
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
