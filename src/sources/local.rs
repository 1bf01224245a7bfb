//! Tarballs on the disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA512};
use url::Url;

use crate::error::{Code, Error, Result};
use crate::http::TARBALL_BYTES_MAX;
use crate::integrity::Integrity;

/// Opens a tarball and says how long it is.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let failed = |error| unreadable(path, error);
    // Looked at first: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() || metadata.len() > TARBALL_BYTES_MAX {
        let message =
            format!("`{}` is no file of at most {TARBALL_BYTES_MAX} bytes", path.display());
        return Err(Error::new(Code::Tarball, message));
    }
    let file = File::open(path).map_err(failed)?;
    Ok((file, metadata.len()))
}

/// Why a tarball cannot be read.
pub fn unreadable(path: &Path, error: io::Error) -> Error {
    if error.kind() != io::ErrorKind::NotFound {
        return Error::io("read the tarball", path, error);
    }
    let message = format!("there is no tarball `{}`", path.display());
    Error::new(Code::NoEntry, message).with_hint(
        "the lockfile names it: put it back, or run `npm install` to write the lockfile anew",
    )
}

/// What the tarball is now, for the lockfiles that do not say what it must be: the cache must never
/// take a changed file for the one of that name which it has seen. A file that is not there is as
/// good as an empty one, which no tarball is: whoever unpacks it will say that it is missing.
pub fn content_integrity(path: &Path) -> Result<Integrity> {
    let mut file: Box<dyn Read> = match open(path) {
        Ok((file, _)) => Box::new(file.take(TARBALL_BYTES_MAX)),
        Err(error) if error.code() == Code::NoEntry => Box::new(io::empty()),
        Err(error) => return Err(error),
    };
    let mut context = Context::new(&SHA512);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => context.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read the tarball", path, error)),
        }
    }
    let digest = STANDARD.encode(context.finish().as_ref());
    Integrity::parse(&format!("sha512-{digest}"))
}

/// The address that the tarball is known by in messages.
pub fn address(path: &Path) -> Result<Url> {
    Url::from_file_path(path).map_err(|()| {
        let message = format!("`{}` is no absolute path", path.display());
        Error::new(Code::LockfileInvalid, message)
    })
}

const CHUNK_BYTES: usize = 256 << 10;
