//! Walks a tar archive as node-tar 7.5 (`dist/esm/{parse,header,pax}.js`) does, block by block.
//!
//! The `tar` crate gives the views of a header; its own iterator is not used, because it reads PAX
//! records, sizes, chains of extensions and lone null blocks differently from npm, and skips what
//! is malformed. Here, whatever readers could understand in two ways is an error: nothing is ever
//! resynchronised after a header that is not one.

use std::io::{self, BufReader, Read};

use tar::Header;

use crate::error::{Code, Error, Result};

use super::Limits;

/// Where an archive's bytes come from: memory, or a stream that is inflated as it is read.
pub(super) trait Source {
    /// Fills as much of `into` as there is; less only at the end.
    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Passes over at most `bytes` and says how many there were.
    fn skip(&mut self, bytes: u64) -> io::Result<u64>;
}

/// An archive that lies in memory.
pub(super) struct Slice<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// An archive that is read once.
pub(super) struct Stream<R> {
    // Inflating 512 bytes at a time would leave zlib's fast loop unused.
    reader: BufReader<R>,
}

/// A member of the archive that is no extension of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub kind: Kind,
    pub mode: u32,
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// A link, device, fifo or directory, or a type that npm does not know.
    Ignored,
    /// A file that npm's reader takes for invalid; why.
    Invalid(&'static str),
}

pub(super) struct Archive<S> {
    source: S,
    block: [u8; BLOCK],
    path: Vec<u8>,
    extension: Extension,
    // What is left of the present member's contents, and of its padding.
    content_left: u64,
    padding_left: u64,
    limits: Limits,
    headers_seen: u64,
    position: u64,
    has_members: bool,
}

/// What the headers before a member say about it.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a> Slice<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }
}

impl<R: Read> Stream<R> {
    pub fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(STREAM_BUFFER_BYTES, reader) }
    }

    pub fn into_inner(self) -> R {
        self.reader.into_inner()
    }
}

impl<S: Source> Archive<S> {
    pub fn new(source: S, limits: Limits) -> Self {
        Self {
            source,
            block: [0; BLOCK],
            path: Vec::new(),
            extension: Extension::default(),
            content_left: 0,
            padding_left: 0,
            limits,
            headers_seen: 0,
            position: 0,
            has_members: false,
        }
    }

    /// The next member, its contents not yet read; `None` at the end of the archive.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        loop {
            self.skip_content()?;
            if !self.read_header()? {
                if self.has_members {
                    return Ok(None);
                }
                return Err(damaged("it is not a tar archive, or an empty one"));
            }
            self.headers_seen += 1;
            if self.headers_seen > self.limits.entries_max {
                let max = self.limits.entries_max;
                return Err(damaged(&format!("it has more than {max} entries")));
            }
            match self.header().as_old().linkflag[0] {
                b'x' | b'X' => {
                    let records = self.read_meta()?;
                    self.read_local_records(&records)?;
                }
                b'g' => {
                    let records = self.read_meta()?;
                    check_global_records(&records)?;
                }
                b'L' | b'N' => self.extension.path = Some(until_nul(&self.read_meta()?).to_vec()),
                b'K' => drop(self.read_meta()?),
                flag => return self.member(flag).map(Some),
            }
            self.has_members = true;
        }
    }

    /// The present member's name, as it stands in the archive.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Where the contents that are read next begin.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Fills `into` with contents of the present member; it must not be longer than what is left.
    pub fn read_content(&mut self, into: &mut [u8]) -> Result<()> {
        let read = self.source.fill(into).map_err(unreadable)?;
        self.position += read as u64;
        self.content_left = self.content_left.saturating_sub(read as u64);
        if read < into.len() { Err(truncated()) } else { Ok(()) }
    }

    pub fn into_source(self) -> S {
        self.source
    }

    fn skip_content(&mut self) -> Result<()> {
        let bytes = self.content_left + self.padding_left;
        (self.content_left, self.padding_left) = (0, 0);
        let skipped = self.source.skip(bytes).map_err(unreadable)?;
        self.position += skipped;
        if skipped < bytes { Err(truncated()) } else { Ok(()) }
    }

    /// False at the end: of the bytes, after two null blocks, or where one null block is followed
    /// by what is no header. npm's reader passes over a single null block.
    fn read_header(&mut self) -> Result<bool> {
        let mut is_after_null = false;
        loop {
            let read = self.source.fill(&mut self.block).map_err(unreadable)?;
            self.position += read as u64;
            if read < BLOCK {
                return Ok(false);
            }
            let is_null = self.block.iter().all(|byte| *byte == 0);
            if is_null && is_after_null {
                // Node counts the pair as the end only; what follows is not looked at.
                return Ok(false);
            }
            if !is_null {
                let is_header = self.has_right_sum();
                if is_header || is_after_null {
                    return Ok(is_header);
                }
                return Err(if self.headers_seen == 0 {
                    damaged("it is not a tar archive")
                } else {
                    damaged("the checksum of a header is wrong")
                });
            }
            is_after_null = true;
        }
    }

    fn has_right_sum(&self) -> bool {
        let field = CHECKSUM.start..CHECKSUM.end;
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let blanks = field.len() as u64 * u64::from(b' ');
        let sum = sum(&self.block) - sum(&self.block[field]) + blanks;
        number(&self.header().as_old().cksum) == Some(sum)
    }

    fn header(&self) -> &Header {
        Header::from_byte_slice(&self.block)
    }

    fn member(&mut self, flag: u8) -> Result<Member> {
        self.has_members = true;
        let extension = std::mem::take(&mut self.extension);
        let header = Header::from_byte_slice(&self.block);
        let is_known = matches!(flag, 0 | b'0'..=b'7' | b'D');
        let has_size = extension.size.is_some();
        if has_size && !is_known {
            // node-tar takes the header's size here, others the record's.
            return Err(damaged("a PAX size belongs to an entry of unknown type"));
        }
        self.path.clear();
        match extension.path {
            Some(path) if is_known => self.path = path,
            _ => header_path(header, &mut self.path),
        }
        // Old archives mark a directory by a slash. Neither kind has contents, whatever is said.
        let ends_with_slash = self.path.last() == Some(&b'/');
        let is_directory = flag == b'5' || (matches!(flag, 0 | b'0') && ends_with_slash);
        let size = match extension.size {
            _ if is_directory => 0,
            Some(size) => size,
            None => number(&header.as_old().size)
                .ok_or_else(|| damaged("the size of an entry is not a number"))?,
        };
        let kind = match flag {
            _ if is_directory => Kind::Ignored,
            0 | b'0' | b'7' if self.path.is_empty() => Kind::Invalid("path is required"),
            0 | b'0' | b'7' if header.as_old().linkname[0] != 0 => {
                Kind::Invalid("linkpath forbidden")
            }
            0 | b'0' | b'7' => Kind::File,
            _ => Kind::Ignored,
        };
        // Garbage is no mode: npm takes its default.
        let mode = number(&header.as_old().mode).unwrap_or(0);
        let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
        self.expect_content(size)?;
        Ok(Member { kind, mode, size })
    }

    /// A size is a claim, held against the limit before anything is done with it.
    fn expect_content(&mut self, size: u64) -> Result<()> {
        let end = size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
        let max = self.limits.unpacked_bytes_max;
        if self.position.checked_add(end).is_none_or(|end| end > max) {
            return Err(damaged(&format!("unpacked, it is larger than {max} bytes")));
        }
        self.content_left = size;
        self.padding_left = end - size;
        Ok(())
    }

    fn read_meta(&mut self) -> Result<Vec<u8>> {
        let size = number(&self.header().as_old().size)
            .ok_or_else(|| damaged("the size of an entry is not a number"))?;
        self.expect_content(size)?;
        let length = usize::try_from(size).ok().filter(|length| *length <= META_BYTES_MAX);
        let Some(length) = length else {
            return Err(damaged("the description of an entry is larger than 1 MiB"));
        };
        let mut meta = vec![0; length];
        self.read_content(&mut meta)?;
        Ok(meta)
    }

    /// Later records and headers win over earlier ones.
    fn read_local_records(&mut self, records: &[u8]) -> Result<()> {
        for record in (Records { rest: records }) {
            let (key, value) = record?;
            match key {
                b"path" => self.extension.path = Some(until_nul(value).to_vec()),
                b"size" => self.extension.size = Some(pax_size(value)?),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Source for Slice<'_> {
    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.position..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(length)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let rest = self.bytes.len() - self.position;
        let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(rest);
        self.position += length;
        Ok(length as u64)
    }
}

impl<R: Read> Source for Stream<R> {
    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.reader.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink())
    }
}

/// The records `<length> <key>=<value>\n` of a PAX header. A malformed one is an error: passing it
/// over would give the member another name or size than the next reader sees.
struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.take_record();
        if record.is_none() {
            self.rest = &[];
        }
        Some(record.ok_or_else(|| damaged("a PAX record is malformed")))
    }
}

impl<'a> Records<'a> {
    fn take_record(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let space = self.rest.iter().take(DIGITS_MAX).position(|byte| *byte == b' ')?;
        let length = usize::try_from(decimal(&self.rest[..space])?).ok()?;
        let (record, rest) = self.rest.split_at_checked(length)?;
        let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        // npm reads line by line, so that it would find records inside of this value.
        let is_ambiguous = value.contains(&b'\n')
            && [&b" path="[..], b" size="]
                .iter()
                .any(|key| value.windows(key.len()).any(|window| window == *key));
        if key.is_empty() || is_ambiguous {
            return None;
        }
        self.rest = rest;
        Some((key, value))
    }
}

/// npm ignores the path of a global header; a size for all members is something only an attacker
/// writes.
fn check_global_records(records: &[u8]) -> Result<()> {
    for record in (Records { rest: records }) {
        if record?.0 == b"size" {
            return Err(damaged("a global PAX header sets a size"));
        }
    }
    Ok(())
}

fn header_path(header: &Header, path: &mut Vec<u8>) {
    if let Some(ustar) = header.as_ustar() {
        let prefix = until_nul(&ustar.prefix);
        if !prefix.is_empty() {
            path.extend_from_slice(prefix);
            path.push(b'/');
        }
    }
    path.extend_from_slice(until_nul(&header.as_old().name));
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or base 256 where the first bit is set. An empty field is 0. Negative numbers and
/// those above 2^63 are none, which the `tar` crate would cut to their last eight bytes.
fn number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let (sign, digits) = field.split_first()?;
        let (high, low) = digits.split_at(digits.len().saturating_sub(8));
        let is_small = *sign == 0x80 && high.iter().all(|byte| *byte == 0);
        let value = low.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        return (is_small && i64::try_from(value).is_ok()).then_some(value);
    }
    let field = until_nul(field).trim_ascii();
    // At most 12 digits of three bits.
    field.iter().try_fold(0, |value, byte| match byte {
        b'0'..=b'7' => Some((value << 3) | u64::from(byte - b'0')),
        _ => None,
    })
}

fn pax_size(value: &[u8]) -> Result<u64> {
    decimal(value).ok_or_else(|| damaged("a PAX size is not a number"))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn truncated() -> Error {
    damaged("it ends in the middle of an entry")
}

pub(super) fn unreadable(error: io::Error) -> Error {
    Error::new(Code::Tarball, "failed to unpack the tarball").with_source(error)
}

pub(super) fn damaged(why: &str) -> Error {
    Error::new(Code::Tarball, format!("the tarball cannot be unpacked: {why}"))
}

const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Less than the pieces of a large file, which are then read past the buffer.
const STREAM_BUFFER_BYTES: usize = 128 << 10;
/// node-tar's `maxMetaEntrySize`; what is larger it ignores, and so gives the member another name.
const META_BYTES_MAX: usize = 1 << 20;
/// Of the length of a PAX record: no header is longer than seven digits say.
const DIGITS_MAX: usize = 9;
