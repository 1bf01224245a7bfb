//! Turns a tarball into a package of the cache: its integrity is checked, then it is inflated and
//! unpacked as npm does it, written under numbers, and published by one rename.
//!
//! A whole body is inflated in memory and its files are slices of that buffer. What is too large
//! for that is read as a stream in bounded memory. Neither looks at the project.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, Write as _};

use bytes::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::backend::{At, Base, Bases, FileQueue, Operation};
use crate::cache::{Cache, Facts, FileEntry, Index, Staging};
use crate::error::{Code, Error, Result};
use crate::integrity::{CacheKey, Integrity};
use crate::site::{finish, push};

mod archive;
mod folder;
#[cfg(test)]
mod hostile;
mod inflate;
mod listing;
mod manifest;

pub use folder::unpack_into;
pub use inflate::{Format, Inflated, Inflater};

use archive::{Archive, Kind, Member, Slice, Source, Stream, damaged};
use inflate::{detect, unpacked_max};
use listing::{Chosen, Listing};

/// A tarball as it came from the network. A reservation of memory can ride in the [`Bytes`]
/// ([`Bytes::from_owner`]): they are dropped as soon as the archive is inflated.
#[derive(Debug)]
pub enum Body {
    Memory(Bytes),
    /// A temporary file and its length.
    File(File, u64),
}

impl Body {
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }
}

/// What a package is known by.
#[derive(Clone, Copy, Debug)]
pub enum Identity<'a> {
    /// What the lockfile says its tarball is.
    Integrity(&'a Integrity),
    /// The lockfile says nothing: the address that the tarball came from.
    Address(&'a str),
}

/// A package that is written, as soon as the queue is finished, and that nobody can see yet. It is
/// either published or discarded.
#[derive(Debug)]
pub struct Unpacked {
    pub key: CacheKey,
    pub warnings: Warnings,
    /// How much memory its contents may keep until the queue is finished.
    pub bytes: usize,
    index: Index,
    staging: Staging,
}

/// A package of the cache.
#[derive(Debug)]
pub struct Extracted {
    pub key: CacheKey,
    /// Of what is in the cache now, which another process may have put there.
    pub index: Index,
}

/// What npm only warns about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    pub count: u32,
    pub first: Option<String>,
}

/// One worker's extractor; its buffers go from package to package.
pub struct Extractor {
    inflater: Inflater,
    listing: Listing,
    limits: Limits,
}

/// Bounds on what one tarball may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    entries_max: u64,
    names_bytes_max: usize,
    unpacked_bytes_max: u64,
    inflate_memory_max: u64,
    ratio_ignored_below: u64,
    streamed_file_min: u64,
}

impl Limits {
    /// Those of an installation.
    pub const DEFAULT: Self = Self {
        // The largest packages have some 100,000; the list of a million takes 60 MB.
        entries_max: 1_000_000,
        // Of files, and again of directories; an index is at most this twice, and 22 bytes a file.
        names_bytes_max: 64 << 20,
        // Ten times the largest package of the registry.
        unpacked_bytes_max: 8 << 30,
        // For each worker. 999 tarballs of 1000 are smaller.
        inflate_memory_max: 32 << 20,
        // A bomb of less than this harms nobody.
        ratio_ignored_below: 16 << 20,
        // Smaller files are gathered and go through the queue, larger ones are written in pieces.
        streamed_file_min: 1 << 20,
    };
}

/// Where the files of one package go.
struct Target<'a> {
    queue: &'a mut FileQueue,
    cache: &'a Cache,
    staging: &'a mut Staging,
}

impl Extractor {
    pub fn new() -> Self {
        let (inflater, listing) = (Inflater::new(), Listing::default());
        Self { inflater, listing, limits: Limits::DEFAULT }
    }

    /// Checks all of the tarball and pushes what is to be written of it; nothing is visible to
    /// anyone before it is published. Errors do not name the package: the caller does.
    pub fn extract(
        &mut self,
        body: Body,
        identity: Identity<'_>,
        queue: &mut FileQueue,
        cache: &Cache,
    ) -> Result<Unpacked> {
        self.listing.clear();
        self.inflater.reclaim();
        let (body, key) = verify(body, identity)?;
        let body_bytes = match &body {
            Body::Memory(bytes) => bytes.len(),
            Body::File(..) => 0,
        };
        let mut staging = cache.stage(queue.bases())?;
        match self.write(body, &mut Target { queue, cache, staging: &mut staging }) {
            Ok(index) => {
                let warnings = std::mem::take(&mut self.listing.warnings);
                let bytes = body_bytes.max(self.inflater.lent_bytes());
                Ok(Unpacked { key, warnings, bytes, index, staging })
            }
            Err(error) => {
                // Operations that are in flight must not outlive the folder. One that fails may be
                // another package's, which is worse than a tarball that cannot be unpacked.
                let finished = finish(queue);
                cache.discard(&staging);
                Err(finished.err().unwrap_or(error))
            }
        }
    }

    fn write(&mut self, body: Body, target: &mut Target<'_>) -> Result<Index> {
        match body {
            Body::Memory(bytes) => {
                let format = detect(&bytes)?;
                let archive = match format {
                    Format::Gzip => self.inflater.inflate(&bytes, &self.limits),
                    Format::Tar => Some(bytes.clone()),
                };
                if let Some(archive) = archive {
                    drop(bytes);
                    return self.write_slices(&archive, target);
                }
                let max = unpacked_max(format, bytes.len() as u64, &self.limits);
                self.write_stream(Inflated::new(format, &bytes[..], max), target)
            }
            Body::File(mut file, length) => {
                file.rewind().map_err(unreadable)?;
                let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
                let format = detect(reader.fill_buf().map_err(unreadable)?)?;
                let max = unpacked_max(format, length, &self.limits);
                self.write_stream(Inflated::new(format, reader, max), target)
            }
        }
    }

    /// The archive is in memory: its files are known before the first one is written.
    fn write_slices(&mut self, archive: &Bytes, target: &mut Target<'_>) -> Result<Index> {
        let mut members = Archive::new(Slice::new(archive), self.limits);
        while let Some(member) = members.next_member()? {
            self.list(&members, member)?;
        }
        let content = |number: u32, listing: &Listing| {
            let file = listing.files[number as usize];
            let start = usize::try_from(file.position).unwrap_or(usize::MAX);
            let size = usize::try_from(file.size).unwrap_or(usize::MAX);
            // The walk ends with an error where contents end before their size.
            archive.slice(start..start + size)
        };
        let mut chosen = self.listing.choose()?;
        for (place, file) in (0..).zip(&mut chosen) {
            // Files that are placed one after the other are written so, and lie side by side.
            file.place = place;
            let crlf = has_crlf_shebang(&content(file.number, &self.listing));
            self.listing.files[file.number as usize].has_crlf_shebang = crlf;
        }
        let manifest = self.find_manifest(&chosen);
        let manifest = match manifest.map(|number| content(number, &self.listing)) {
            Some(bytes) if bytes.len() as u64 >= MANIFEST_BYTES_MAX => {
                return Err(damaged(MANIFEST_TOO_LARGE));
            }
            manifest => manifest.unwrap_or_default(),
        };
        let facts = self.read_facts(&manifest, &chosen);
        let targets = manifest::bin_targets(&facts);
        for file in &chosen {
            let mode = self.mode(*file, &targets);
            let bytes = content(file.number, &self.listing);
            let path = target.make_room(file.place)?;
            target.write_file(path, mode, bytes)?;
        }
        self.write_index(&facts, &chosen, target)
    }

    /// The archive is read once: files are written as they come, and their modes and doubles are
    /// put right at the end.
    fn write_stream<R: BufRead>(
        &mut self,
        inflated: Inflated<R>,
        target: &mut Target<'_>,
    ) -> Result<Index> {
        let mut members = Archive::new(Stream::new(inflated), self.limits);
        let mut manifest = Bytes::new();
        let mut bytes_queued = 0;
        while let Some(member) = members.next_member()? {
            let Some(number) = self.list(&members, member)? else { continue };
            let path = target.make_room(number)?;
            let mode = self.listing.files[number as usize].mode;
            let is_manifest = self.listing.name(number) == MANIFEST_NAME;
            if is_manifest && member.size >= MANIFEST_BYTES_MAX {
                return Err(damaged(MANIFEST_TOO_LARGE));
            }
            let crlf = if member.size >= self.limits.streamed_file_min && !is_manifest {
                write_large(&mut members, member.size, &path, mode, target)?
            } else {
                let mut content = vec![0; usize::try_from(member.size).unwrap_or(usize::MAX)];
                members.read_content(&mut content)?;
                let content = Bytes::from(content);
                if is_manifest {
                    manifest = content.clone();
                }
                let crlf = has_crlf_shebang(&content);
                bytes_queued += content.len();
                target.write_file(path, mode, content)?;
                crlf
            };
            self.listing.files[number as usize].has_crlf_shebang = crlf;
            if bytes_queued >= QUEUED_BYTES_MAX {
                finish(target.queue)?;
                bytes_queued = 0;
            }
        }
        members.into_source().into_inner().finish().map_err(archive::unreadable)?;
        finish(target.queue)?;
        let chosen = self.listing.choose()?;
        let facts = self.read_facts(&manifest, &chosen);
        self.settle(&facts, &chosen, target)?;
        self.write_index(&facts, &chosen, target)
    }

    /// Sets the modes that a later entry, or `package.json`, has changed, and removes the contents
    /// that a later entry has replaced.
    fn settle(&self, facts: &Facts, chosen: &[Chosen], target: &Target<'_>) -> Result<()> {
        let cache = target.queue.bases().fd(Base::Cache);
        let targets = manifest::bin_targets(facts);
        let mut is_kept = vec![false; self.listing.files.len()];
        for file in chosen {
            is_kept[file.number as usize] = true;
            let mode = self.mode(*file, &targets);
            if mode != self.listing.files[file.number as usize].mode {
                let path = target.staging.path(file.place);
                let mode = Mode::from_raw_mode(mode & !target.cache.umask());
                rustix::fs::chmodat(cache, &path, mode, AtFlags::empty())
                    .map_err(|errno| target.error("set the mode of", &path, errno.into()))?;
            }
        }
        for (number, _) in (0..).zip(&is_kept).filter(|(_, is_kept)| !**is_kept) {
            let path = target.staging.path(number);
            rustix::fs::unlinkat(cache, &path, AtFlags::empty())
                .map_err(|errno| target.error("remove", &path, errno.into()))?;
        }
        Ok(())
    }

    /// The number that a member gets; `None` where npm does not extract it.
    fn list<S: Source>(&mut self, members: &Archive<S>, member: Member) -> Result<Option<u32>> {
        let path = members.path();
        match member.kind {
            Kind::File => {}
            Kind::Ignored => return Ok(None),
            Kind::Invalid(why) => {
                self.listing.warnings.add(why, path);
                return Ok(None);
            }
        }
        let number = u32::try_from(self.listing.files.len()).ok();
        let Member { mode, size, .. } = member;
        let is_taken = self.listing.add(path, mode, size, members.position(), &self.limits)?;
        Ok(number.filter(|_| is_taken))
    }

    fn find_manifest(&self, chosen: &[Chosen]) -> Option<u32> {
        let is_manifest = |file: &&Chosen| self.listing.name(file.number) == MANIFEST_NAME;
        chosen.iter().find(is_manifest).map(|file| file.number)
    }

    fn read_facts(&self, manifest: &[u8], chosen: &[Chosen]) -> Facts {
        manifest::read_facts(manifest, chosen.iter().map(|file| self.listing.name(file.number)))
    }

    fn mode(&self, file: Chosen, bin_targets: &std::collections::HashSet<&[u8]>) -> u32 {
        let is_bin =
            !bin_targets.is_empty() && bin_targets.contains(self.listing.name(file.number));
        if is_bin { BIN_MODE } else { file.mode }
    }

    fn write_index(
        &self,
        facts: &Facts,
        chosen: &[Chosen],
        target: &mut Target<'_>,
    ) -> Result<Index> {
        let targets = manifest::bin_targets(facts);
        let directories = self.listing.directories(chosen, &self.limits)?;
        let files = chosen.iter().map(|file| {
            let listed = self.listing.files[file.number as usize];
            FileEntry {
                number: file.place,
                path: self.listing.c_name(file.number),
                mode: self.mode(*file, &targets),
                plain_mode: file.mode,
                size: listed.size,
                has_crlf_shebang: listed.has_crlf_shebang,
            }
        });
        let index = Index::build(facts, directories.into_iter(), files)
            .ok_or_else(|| damaged("its index would be too large"))?;
        let bytes = Bytes::copy_from_slice(index.as_bytes());
        target.write_file(target.staging.index_path(), 0o600, bytes)?;
        Ok(index)
    }
}

impl Unpacked {
    /// Gives the package its name. The queue that it was written with is finished.
    pub fn publish(self, bases: &Bases, cache: &Cache) -> Result<Extracted> {
        let index = cache.publish(bases, &self.staging, &self.key, self.index)?;
        Ok(Extracted { key: self.key, index })
    }

    /// Removes what is written. The queue that it was written with is finished.
    pub fn discard(self, cache: &Cache) {
        cache.discard(&self.staging);
    }
}

impl Default for Extractor {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Extractor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Extractor").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Warnings {
    fn add(&mut self, what: &str, path: &[u8]) {
        self.count = self.count.saturating_add(1);
        if self.first.is_none() {
            let shown = &path[..path.len().min(WARNING_PATH_MAX)];
            self.first =
                Some(format!("{what}: `{}`", String::from_utf8_lossy(shown).escape_debug()));
        }
    }
}

impl Target<'_> {
    fn make_room(&mut self, number: u32) -> Result<String> {
        self.cache.make_room(self.queue.bases(), self.staging, number)
    }

    fn write_file(&mut self, path: String, mode: u32, bytes: Bytes) -> Result<()> {
        let at = At::new(Base::Cache, path)
            .ok_or_else(|| Error::new(Code::Io, "a path of the cache holds a NUL"))?;
        push(self.queue, Operation::WriteFile { at, mode, bytes })
    }

    fn error(&self, doing: &str, path: &str, error: io::Error) -> Error {
        Error::io(doing, self.cache.directory().join(path), error)
    }
}

/// Reads all of the body before anything is made of it.
pub(crate) fn verify(body: Body, identity: Identity<'_>) -> Result<(Body, CacheKey)> {
    let integrity = match identity {
        Identity::Integrity(integrity) => integrity,
        Identity::Address(address) => return Ok((body, CacheKey::unlocked(address))),
    };
    match body {
        Body::Memory(bytes) => integrity.check(&bytes).map(|key| (Body::Memory(bytes), key)),
        Body::File(mut file, length) => {
            let mut checker = integrity.checker();
            let mut chunk = vec![0; CHUNK_BYTES];
            file.rewind().map_err(unreadable)?;
            loop {
                match file.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(read) => checker.update(&chunk[..read]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(unreadable(error)),
                }
            }
            checker.finish().map(|key| (Body::File(file, length), key))
        }
    }
}

/// Writes a file in pieces and says whether its `#!` line ends with CRLF.
fn write_large<S: Source>(
    members: &mut Archive<S>,
    size: u64,
    path: &str,
    mode: u32,
    target: &Target<'_>,
) -> Result<bool> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let cache = target.queue.bases().fd(Base::Cache);
    let file = rustix::fs::openat(cache, path, flags, Mode::from_raw_mode(mode))
        .map_err(|errno| target.error("make", path, errno.into()))?;
    let mut file = File::from(file);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut crlf = false;
    let mut left = size;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let piece = &mut chunk[..length];
        members.read_content(piece)?;
        if left == size {
            crlf = has_crlf_shebang(piece);
        }
        file.write_all(piece).map_err(|error| target.error("write", path, error))?;
        left -= length as u64;
    }
    Ok(crlf)
}

/// `^#![^\n]+\r\n` in what npm reads of a file (`bin-links/lib/fix-bin.js`).
fn has_crlf_shebang(content: &[u8]) -> bool {
    if !content.starts_with(b"#!") {
        return false;
    }
    let seen = &content[..content.len().min(SHEBANG_BYTES_MAX)];
    let end = seen.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    end > 3 && seen[end - 1] == b'\r'
}

fn unreadable(error: io::Error) -> Error {
    Error::new(Code::Io, "failed to read the downloaded tarball").with_source(error)
}

const MANIFEST_NAME: &[u8] = b"package.json";
/// It is parsed in memory; the largest of the registry have some 100 KB.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
const MANIFEST_TOO_LARGE: &str = "its package.json is larger than 4 MiB";
/// npm's chmod of a bin, before the umask.
const BIN_MODE: u32 = 0o777;
/// npm reads so much of a bin to find its first line.
const SHEBANG_BYTES_MAX: usize = 2048;
/// A quarter of a second level cache: written and read in one pass.
const CHUNK_BYTES: usize = 256 << 10;
/// What a stream may leave in a queue that defers its writes.
const QUEUED_BYTES_MAX: usize = 8 << 20;
/// Of a path in a warning: one line of a terminal, or two.
const WARNING_PATH_MAX: usize = 200;
