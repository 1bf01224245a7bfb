//! Tarballs that spare the download: they lie on the disk, for themselves or in npm's cache.
//!
//! What npm's cache has is worth no more than a download: where it has vanished since it was
//! looked up, must not be read or is damaged, the network is asked.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use super::Parcel;
use crate::error::{Code, Error, Result};
use crate::extract::{self, Identity};
use crate::http;
use crate::journal::PackageSource;
use crate::npm_cache::NpmTarball;
use crate::sources::local;

impl Parcel<'_> {
    /// `None` where it has to be downloaded.
    pub(super) fn source_at_hand(&self) -> Option<PackageSource> {
        let npm = self.cached_by_npm.as_ref().map(|_| PackageSource::NpmCache);
        self.at_hand.as_ref().map(|_| PackageSource::Disk).or(npm)
    }

    /// The tarball as the extractor takes it.
    pub(super) fn read_at_hand(&self) -> Result<extract::Body> {
        match (&self.at_hand, &self.cached_by_npm) {
            (Some(path), _) => read(path).map_err(|error| local::unreadable(path, error)),
            (None, Some(tarball)) => read_npm_tarball(tarball),
            (None, None) => unreachable!("only parcels that are at hand are in that list"),
        }
    }

    /// Says which file it is that is damaged; what failed for another reason is left as it is.
    pub(super) fn of_npm_cache(&self, error: Error) -> Error {
        let Some(tarball) = self.cached_by_npm.as_ref().filter(|_| is_damage(&error)) else {
            return error;
        };
        let message = format!("`{}` of npm's cache cannot be used", tarball.path.display());
        Error::new(error.code(), message).with_source(error)
    }
}

/// Whether the bytes are at fault, so that others are worth asking for.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.code(), Code::Integrity | Code::Tarball | Code::NotCached)
}

fn read_npm_tarball(tarball: &NpmTarball) -> Result<extract::Body> {
    let NpmTarball { path, recorded } = tarball;
    let body = read(path).map_err(|cause| {
        Error::new(Code::NotCached, "it was there and cannot be read").with_source(cause)
    })?;
    match recorded {
        None => Ok(body),
        Some(integrity) => {
            extract::verify(body, Identity::Integrity(integrity)).map(|(body, _)| body)
        }
    }
}

fn read(path: &Path) -> io::Result<extract::Body> {
    // Without it the opening of a pipe would wait for who writes into it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let length = metadata.len();
    if length > http::BODY_MEMORY_MAX {
        return Ok(extract::Body::File(file, length));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.by_ref().take(http::BODY_MEMORY_MAX).read_to_end(&mut bytes)?;
    Ok(extract::Body::Memory(bytes.into()))
}
