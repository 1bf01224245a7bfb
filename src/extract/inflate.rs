//! From the bytes of a tarball to those of its tar archive: at once in memory where that is
//! possible, else as a stream in bounded memory.
//!
//! What is accepted is what node's zlib accepts under npm (seen with node 20, npm 11.19): members
//! one after another, and anything after a zero byte that follows a member. Other garbage is an
//! error there and here.

use std::fmt;
use std::io::{self, BufRead, Read};

use bytes::{Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use libdeflater::Decompressor;

use crate::error::Result;

use super::Limits;
use super::archive::damaged;

/// What a tarball is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Gzip,
    Tar,
}

/// Inflates into a buffer that goes from package to package.
pub struct Inflater {
    decompressor: Decompressor,
    buffer: BytesMut,
    /// The buffer while slices of it are in use.
    lent: Bytes,
}

/// A stream of gzip members, or of a plain archive, that ends with an error at a limit.
pub struct Inflated<R: BufRead> {
    layer: Layer<R>,
    bytes_left: u64,
}

enum Layer<R: BufRead> {
    Gzip(Box<GzDecoder<R>>),
    Tar(R),
    End,
}

/// By the first bytes. npm takes gzip and plain tar; node 20 knows nothing else that npm tries.
pub(super) fn detect(first: &[u8]) -> Result<Format> {
    let others: [(&[u8], &str); 5] = [
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ", "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"<", "HTML or XML"),
    ];
    if first.starts_with(&GZIP_MAGIC) {
        return Ok(Format::Gzip);
    }
    match others.iter().find(|(magic, _)| first.starts_with(magic)) {
        // A plain archive may hold a file whose name begins like any of these.
        Some((_, name)) if first.get(USTAR_AT..USTAR_AT + 5) != Some(b"ustar") => {
            Err(damaged(&format!("it is {name}, not gzip or tar")))
        }
        _ => Ok(Format::Tar),
    }
}

/// The most that `compressed` bytes may unpack to.
pub(super) fn unpacked_max(format: Format, compressed: u64, limits: &Limits) -> u64 {
    match format {
        Format::Tar => limits.unpacked_bytes_max,
        Format::Gzip => compressed
            .saturating_mul(RATIO_MAX)
            .max(limits.ratio_ignored_below)
            .min(limits.unpacked_bytes_max),
    }
}

impl Inflater {
    pub fn new() -> Self {
        let decompressor = Decompressor::new();
        Self { decompressor, buffer: BytesMut::new(), lent: Bytes::new() }
    }

    /// The archive, where its footer names a plausible length and both length and sum are right for
    /// the whole; else `None`, and the stream has the last word. A second member with the same
    /// contents as the first passes for one: the archive that it repeats has been read by then.
    pub fn inflate(&mut self, body: &[u8], limits: &Limits) -> Option<Bytes> {
        let footer = body.last_chunk::<8>()?;
        let (sum, length) = footer.split_at(4);
        let sum = u32::from_le_bytes(sum.try_into().ok()?);
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let compressed = body.len() as u64;
        if u64::from(length) > limits.inflate_memory_max.min(compressed.saturating_mul(RATIO_MAX)) {
            return None;
        }
        let length = length as usize;
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let target = &mut self.buffer[..length];
        let written = self.decompressor.gzip_decompress(body, target).ok()?;
        if written != length || libdeflater::crc32(target) != sum {
            return None;
        }
        self.lent = std::mem::take(&mut self.buffer).freeze().slice(..length);
        Some(self.lent.clone())
    }

    /// The size of the archive that is lent, if one is.
    pub fn lent_bytes(&self) -> usize {
        self.lent.len()
    }

    /// Takes the buffer back if no slice of it is left; if one is, the next package gets a new one.
    pub fn reclaim(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        if !lent.is_empty() {
            self.buffer = lent.try_into_mut().unwrap_or_default();
        }
    }
}

impl<R: BufRead> Inflated<R> {
    pub fn new(format: Format, reader: R, bytes_max: u64) -> Self {
        let layer = match format {
            Format::Gzip => Layer::Gzip(Box::new(GzDecoder::new(reader))),
            Format::Tar => Layer::Tar(reader),
        };
        Self { layer, bytes_left: bytes_max }
    }

    fn read_layer(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.layer {
                Layer::Gzip(member) => member.read(into)?,
                Layer::Tar(reader) => return reader.read(into),
                Layer::End => return Ok(0),
            };
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            if let Layer::Gzip(member) = std::mem::replace(&mut self.layer, Layer::End) {
                let mut reader = member.into_inner();
                // Zero bytes are padding, of tapes once. Anything else must be a member.
                if reader.fill_buf()?.first().is_some_and(|byte| *byte != 0) {
                    self.layer = Layer::Gzip(Box::new(GzDecoder::new(reader)));
                }
            }
        }
    }

    /// Reads to the end of the members: what follows the archive must be sound as well.
    pub fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(drop)
    }
}

impl<R: BufRead> Read for Inflated<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.read_layer(into)?;
        let Some(left) = self.bytes_left.checked_sub(read as u64) else {
            let message = "the tarball unpacks to more than it may, for its size";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        };
        self.bytes_left = left;
        Ok(read)
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Inflater {{ lent: {} bytes }}", self.lent.len())
    }
}

impl<R: BufRead> fmt::Debug for Inflated<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Inflated {{ bytes_left: {} }}", self.bytes_left)
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const USTAR_AT: usize = 257;
/// node-tar's `maxDecompressionRatio`.
const RATIO_MAX: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog. The quick brown fox.";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn stream(body: &[u8], bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        // A small buffer, so that members end in the middle of one and at its edge.
        let reader = io::BufReader::with_capacity(7, body);
        Inflated::new(Format::Gzip, reader, bytes_max).read_to_end(&mut out)?;
        Ok(out)
    }

    fn memory(body: &[u8]) -> Option<Vec<u8>> {
        Inflater::new().inflate(body, &Limits::DEFAULT).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn one_member_is_inflated_in_memory_as_in_the_stream() {
        assert_eq!(memory(&gzip(TEXT)).unwrap(), TEXT);
        assert_eq!(stream(&gzip(TEXT), 1000).unwrap(), TEXT);
    }

    #[test]
    fn members_are_joined_and_zero_padding_is_passed_over() {
        let members = [gzip(&TEXT[..20]), gzip(&TEXT[20..])].concat();
        assert_eq!(memory(&members), None);
        assert_eq!(stream(&members, 1000).unwrap(), TEXT);
        let padded = [gzip(TEXT), vec![0; 20]].concat();
        assert_eq!(stream(&padded, 1000).unwrap(), TEXT);
    }

    #[test]
    fn truncated_bodies_wrong_sums_and_garbage_are_errors() {
        let good = gzip(TEXT);
        let mut wrong_sum = good.clone();
        wrong_sum[good.len() - 6] ^= 1;
        let mut wrong_length = good.clone();
        wrong_length[good.len() - 2] ^= 1;
        let mut bodies = vec![wrong_sum, wrong_length];
        bodies.extend(
            [&b"hello, garbage"[..], b"\x1f\x8b", b"\x1f\x8b\xff\xff\0\0\0\0\0\0\0"]
                .map(|garbage| [&good, garbage].concat()),
        );
        bodies.extend((1..good.len()).map(|length| good[..length].to_vec()));
        for body in bodies {
            assert_eq!(memory(&body), None);
            assert!(stream(&body, 1000).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_stream_ends_with_an_error_at_its_limit() {
        assert!(stream(&gzip(TEXT), TEXT.len() as u64).is_ok());
        assert!(stream(&gzip(TEXT), TEXT.len() as u64 - 1).is_err());
    }

    #[test]
    fn the_ratio_counts_for_large_archives_only() {
        let limits = Limits::DEFAULT;
        assert_eq!(unpacked_max(Format::Gzip, 10, &limits), limits.ratio_ignored_below);
        assert_eq!(unpacked_max(Format::Gzip, 1 << 20, &limits), 1000 << 20);
        assert_eq!(unpacked_max(Format::Gzip, u64::MAX, &limits), limits.unpacked_bytes_max);
        assert_eq!(unpacked_max(Format::Tar, 10, &limits), limits.unpacked_bytes_max);
    }

    #[test]
    fn the_buffer_is_used_again_unless_a_slice_is_left() {
        let mut inflater = Inflater::new();
        let first = inflater.inflate(&gzip(TEXT), &Limits::DEFAULT).unwrap();
        let address = first.as_ptr();
        drop(first);
        inflater.reclaim();
        let second = inflater.inflate(&gzip(TEXT), &Limits::DEFAULT).unwrap();
        assert_eq!(second.as_ptr(), address);
        inflater.reclaim();
        let third = inflater.inflate(&gzip(&TEXT[..9]), &Limits::DEFAULT).unwrap();
        assert_eq!((&second[..], &third[..]), (TEXT, &TEXT[..9]));
    }

    #[test]
    fn other_formats_are_refused_by_name() {
        assert_eq!(detect(&gzip(TEXT)).unwrap(), Format::Gzip);
        assert_eq!(detect(b"package/a").unwrap(), Format::Tar);
        let error = detect(b"\x28\xb5\x2f\xfd...").unwrap_err();
        let expected = "the tarball cannot be unpacked: it is zstd, not gzip or tar";
        assert_eq!(error.to_string(), expected);
    }
}
