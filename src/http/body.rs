//! The body of an answer: gathered in memory, or in a file without a name where it is large.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::{Bytes, BytesMut};

use super::budget::Reservation;
use crate::error::{Error, Result};

/// All bytes of one answer.
pub enum Body {
    /// The memory is free for other bodies when the reservation is dropped, so it has to be kept
    /// for as long as the bytes are.
    Memory { bytes: Bytes, reservation: Reservation },
    /// A file without a name, at its start.
    File { file: File, length: u64 },
}

impl Body {
    pub fn length(&self) -> u64 {
        match self {
            Body::Memory { bytes, .. } => bytes.len() as u64,
            Body::File { length, .. } => *length,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Body::Memory { .. } => "Memory",
            Body::File { .. } => "File",
        };
        write!(formatter, "{name}({} bytes)", self.length())
    }
}

/// A body of which a part has come.
pub struct Gathering<'a> {
    spool: &'a Path,
    memory_max: u64,
    memory: BytesMut,
    file: Option<File>,
    length: u64,
    reservation: Reservation,
}

impl<'a> Gathering<'a> {
    /// `reservation` stands for what will be gathered in memory, `expected` bytes or up to
    /// `memory_max`.
    pub fn new(
        spool: &'a Path,
        memory_max: u64,
        expected: Option<u64>,
        reservation: Reservation,
    ) -> Self {
        let is_small = |bytes: &u64| *bytes <= memory_max;
        let capacity = expected.filter(is_small).and_then(|bytes| usize::try_from(bytes).ok());
        let memory = BytesMut::with_capacity(capacity.unwrap_or_default());
        Self { spool, memory_max, memory, file: None, length: 0, reservation }
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        if self.file.is_none() && self.length > self.memory_max {
            let mut file = unnamed(self.spool)?;
            file.write_all(&self.memory).map_err(|error| self.error(error))?;
            self.memory = BytesMut::new();
            self.reservation.shrink_to(0);
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        };
        file.write_all(bytes).map_err(|error| self.error(error))
    }

    pub fn finish(mut self) -> Result<Body> {
        if let Some(mut file) = self.file.take() {
            file.rewind().map_err(|error| self.error(error))?;
            return Ok(Body::File { file, length: self.length });
        }
        self.reservation.shrink_to(self.length);
        Ok(Body::Memory { bytes: self.memory.freeze(), reservation: self.reservation })
    }

    fn error(&self, source: io::Error) -> Error {
        Error::io("write a download below", self.spool, source)
    }
}

/// A file that is gone when it is closed, even if this process is killed.
fn unnamed(folder: &Path) -> Result<File> {
    let mut error = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAMES_TRIED_MAX {
        let name = format!(".download-{:016x}", RandomState::new().hash_one(std::process::id()));
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        match options.read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path).map_err(|error| Error::io("unlink", &path, error))?;
                return Ok(file);
            }
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => error = cause,
            Err(cause) => return Err(Error::io("make a temporary file below", folder, cause)),
        }
    }
    Err(Error::io("make a temporary file below", folder, error))
}

/// Two random names of 64 bits are hardly ever alike; more than this is someone's doing.
const NAMES_TRIED_MAX: usize = 8;
