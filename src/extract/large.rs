//! Large archives in memory: a few packages hold a third of all bytes, and inflating them at once
//! takes half the time of reading them as a stream. One worker at a time may do so.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::{Body, Limits, unreadable};
use crate::error::Result;

/// The right to one large buffer, shared by all workers. Who does not get it reads a stream.
#[derive(Clone, Debug, Default)]
pub struct LargeBuffer(Arc<AtomicBool>);

/// The right, given back when dropped.
#[derive(Debug)]
pub(super) struct Taken(Arc<AtomicBool>);

impl LargeBuffer {
    fn take(&self) -> Option<Taken> {
        let was_taken = self.0.swap(true, Ordering::Acquire);
        (!was_taken).then(|| Taken(self.0.clone()))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The body, read into memory where it is a file, and the right to inflate it at once; the body as
/// it was where it is small, too large, or another worker has the right.
pub(super) fn gather(
    body: Body,
    buffer: &LargeBuffer,
    limits: &Limits,
) -> Result<(Body, Option<Taken>)> {
    let (length, unpacked) = match &body {
        Body::Memory(bytes) => (bytes.len() as u64, claimed_length(bytes)),
        Body::File(file, length) => (*length, claimed_length_of_file(file)?),
    };
    let is_large = unpacked > limits.inflate_memory_max && unpacked <= limits.large_memory_max;
    if !is_large || length > limits.large_body_max {
        return Ok((body, None));
    }
    let Some(taken) = buffer.take() else { return Ok((body, None)) };
    let body = match body {
        Body::Memory(bytes) => Body::Memory(bytes),
        Body::File(file, length) => Body::Memory(read_whole(&file, length)?),
    };
    Ok((body, Some(taken)))
}

/// What the footer of a gzip file says of its contents; only a claim.
fn claimed_length(bytes: &[u8]) -> u64 {
    bytes.last_chunk::<4>().map_or(0, |length| u64::from(u32::from_le_bytes(*length)))
}

fn claimed_length_of_file(mut file: &File) -> Result<u64> {
    let mut footer = [0; 4];
    file.seek(SeekFrom::End(-4)).map_err(unreadable)?;
    file.read_exact(&mut footer).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    Ok(claimed_length(&footer))
}

fn read_whole(file: &File, length: u64) -> Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(length).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LIMITS: Limits = Limits {
        inflate_memory_max: 100,
        large_memory_max: 1000,
        large_body_max: 50,
        ..Limits::DEFAULT
    };

    fn body(length: usize, unpacked: u32) -> Body {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = vec![7; length - 4];
        bytes.extend_from_slice(&unpacked.to_le_bytes());
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        Body::File(file, length as u64)
    }

    #[test]
    fn one_large_body_at_a_time_is_gathered() {
        let buffer = LargeBuffer::default();
        let (first, taken) = gather(body(50, 1000), &buffer, &LIMITS).unwrap();
        assert!(matches!(first, Body::Memory(bytes) if bytes.len() == 50));
        let (second, refused) = gather(body(50, 1000), &buffer, &LIMITS).unwrap();
        assert!(matches!(second, Body::File(..)) && refused.is_none());
        drop(taken);
        assert!(gather(body(50, 1000), &buffer, &LIMITS).unwrap().1.is_some());
    }

    #[test]
    fn small_and_too_large_bodies_are_left_as_they_are() {
        for (length, unpacked) in [(50, 100), (50, 1001), (51, 1000)] {
            let (left, taken) =
                gather(body(length, unpacked), &LargeBuffer::default(), &LIMITS).unwrap();
            assert!(matches!(left, Body::File(..)) && taken.is_none(), "{length} {unpacked}");
        }
    }
}
