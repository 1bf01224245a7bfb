//! Provided buffers: memory that the kernel picks from when bytes arrive, so that a socket that
//! waits holds none.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::ring::Ring;

/// A ring of buffers of one size, registered under a group number.
pub(crate) struct BufferRing {
    group: u16,
    count: u16,
    buffer_bytes: u32,
    entries: Area,
    buffers: Area,
    /// How many were ever given, modulo 2^16, as the kernel counts.
    tail: u16,
}

/// A buffer that the kernel has filled and that is ours until it is given back.
#[derive(Debug)]
pub(crate) struct Filled {
    id: u16,
    length: u32,
}

impl Filled {
    pub fn length(&self) -> usize {
        self.length as usize
    }
}

/// Page-aligned memory that is not touched before it is used.
struct Area {
    start: NonNull<u8>,
    layout: Layout,
}

const PAGE_BYTES: usize = 4096;

impl BufferRing {
    /// Registers `count` buffers, a power of two and at most 2^15, with the ring.
    pub fn new(ring: &Ring, group: u16, count: u16, buffer_bytes: u32) -> io::Result<Self> {
        let is_valid = count.is_power_of_two() && buffer_bytes > 0;
        assert!(is_valid, "{count} buffers of {buffer_bytes} bytes");
        let entries = Area::new(usize::from(count) * size_of::<BufRingEntry>());
        let buffers = Area::new(usize::from(count) * buffer_bytes as usize);
        let mut made = Self { group, count, buffer_bytes, entries, buffers, tail: 0 };
        let address = made.entries.start.as_ptr() as u64;
        // SAFETY: drain: the kernel reads the entries and writes to the buffers they name until
        // both are unregistered; this value has the areas, and its owner keeps it until then.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, group, 0) }?;
        (0..count).for_each(|id| made.offer(id));
        made.publish();
        Ok(made)
    }

    pub fn group(&self) -> u16 {
        self.group
    }

    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The buffer that a completion names, `length` bytes of it filled. `None` where the kernel
    /// names one that there is not.
    ///
    /// A completion gives a buffer once: it must not be taken from the same completion again.
    pub fn take(&self, id: u16, length: u32) -> Option<Filled> {
        (id < self.count && length <= self.buffer_bytes).then_some(Filled { id, length })
    }

    pub fn bytes(&self, filled: &Filled) -> &[u8] {
        let offset = usize::from(filled.id) * self.buffer_bytes as usize;
        // SAFETY: the area is `count` buffers long, and `take` has checked the number.
        let start = unsafe { self.buffers.start.add(offset) };
        // SAFETY: buffers: the memory is initialised (it was zeroed, then written by the kernel),
        // and the kernel leaves it alone until the `Filled` that is borrowed here is given back.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), filled.length()) }
    }

    /// Gives a buffer back to the kernel, which sees it with the next [`BufferRing::publish`].
    #[expect(clippy::needless_pass_by_value, reason = "who has given it back has it no more")]
    pub fn give_back(&mut self, filled: Filled) {
        self.offer(filled.id);
    }

    fn offer(&mut self, id: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        let offset = usize::from(id) * self.buffer_bytes as usize;
        // SAFETY: the area is `count` buffers long, and the number is one of them.
        let buffer = unsafe { self.buffers.start.add(offset) };
        // SAFETY: the area is `count` entries long, and the place is below that.
        let entry = unsafe { self.entries.start.cast::<BufRingEntry>().add(place) };
        // SAFETY: buffers: the entry is aligned and initialised, and the kernel reads it only once
        // the tail has passed it: there are as many as buffers, so this one is not offered now.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(buffer.as_ptr() as u64);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was given back.
    pub fn publish(&mut self) {
        let base = self.entries.start.cast::<BufRingEntry>();
        // SAFETY: the base is that of a whole ring of entries.
        let tail = unsafe { BufRingEntry::tail(base.as_ptr()) };
        // SAFETY: the tail is two aligned bytes of the area, which only this value writes to and
        // the kernel reads (io_uring_register_buf_ring(3)).
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the entries are written before.
        tail.store(self.tail, Ordering::Release);
    }
}

impl std::fmt::Debug for BufferRing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("BufferRing")
            .field("count", &self.count)
            .field("buffer_bytes", &self.buffer_bytes)
            .finish_non_exhaustive()
    }
}

impl Area {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, PAGE_BYTES)
            .unwrap_or_else(|_| unreachable!("at most 2^15 buffers of 2^32 bytes are asked for"));
        // SAFETY: the layout is not empty: there is at least one entry and one byte.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self { start, layout }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
