//! Unpacks the archive that a git host makes of a commit into a folder of its own, to be packed
//! from there: its files under the names that they have in the repository.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::archive::{Archive, Kind, Stream, damaged, unreadable};
use super::inflate::{Inflated, detect, unpacked_max};
use super::listing::Listing;
use super::{Body, CHUNK_BYTES, Limits, unreadable as unreadable_body};
use crate::error::{Error, Result};

/// Unpacks the files of `body` into `folder`, which is empty and ours alone. Links, devices and
/// folders are passed over, as in a package (pacote 21, `lib/fetcher.js`); `.gitignore` keeps its
/// name (`allowGitIgnore`).
pub fn unpack_into(body: Body, folder: &Path) -> Result<()> {
    match body {
        Body::Memory(bytes) => {
            let format = detect(&bytes)?;
            let max = unpacked_max(format, bytes.len() as u64, &Limits::DEFAULT);
            write_files(Inflated::new(format, &bytes[..], max), folder)
        }
        Body::File(mut file, length) => {
            file.rewind().map_err(unreadable_body)?;
            let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
            let format = detect(reader.fill_buf().map_err(unreadable_body)?)?;
            let max = unpacked_max(format, length, &Limits::DEFAULT);
            write_files(Inflated::new(format, reader, max), folder)
        }
    }
}

fn write_files<R: BufRead>(inflated: Inflated<R>, folder: &Path) -> Result<()> {
    let mut archive = Archive::new(Stream::new(inflated), Limits::DEFAULT);
    let mut listing = Listing::keeping_git_ignore();
    let mut made = HashSet::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Some(member) = archive.next_member()? {
        if member.kind != Kind::File {
            continue;
        }
        let number = listing.files.len();
        let path = archive.path().to_vec();
        if !listing.add(&path, member.mode, member.size, archive.position(), &Limits::DEFAULT)? {
            continue;
        }
        let listed = listing.files[number];
        let number = u32::try_from(number).map_err(|_| damaged("too many files"))?;
        let path = folder.join(OsStr::from_bytes(listing.name(number)));
        if let Some(parent) = path.parent().filter(|parent| made.insert(parent.to_path_buf())) {
            let failed = |error| Error::io("make directory", parent, error);
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = create(&path, listed.mode)?;
        let mut left = member.size;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            archive.read_content(&mut chunk[..length])?;
            let failed = |error| Error::io("write", &path, error);
            file.write_all(&chunk[..length]).map_err(failed)?;
            left -= length as u64;
        }
    }
    archive.into_source().into_inner().finish().map_err(unreadable)
}

/// A new file; of two with one name the last counts. Nothing here is a link that could be followed:
/// only files and folders are ever made.
fn create(path: &Path, mode: u32) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    options.open(path).map_err(|error| Error::io("make", path, error))
}
