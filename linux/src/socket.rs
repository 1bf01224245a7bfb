//! One stream: what it has received and has to send, whatever carries it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::task::Waker;

use crate::buffers::{BufferRing, Filled};

pub(crate) struct Socket {
    pub fd: OwnedFd,
    /// Read by the kernel while it connects.
    pub address: Box<Address>,
    pub connected: Option<io::Result<()>>,
    pub receiving: Receiving,
    /// What comes after all that was received.
    pub end: Option<End>,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
    /// Operations whose last completion is still to come.
    pub in_flight: usize,
    pub is_abandoned: bool,
    received: VecDeque<Chunk>,
    received_bytes: usize,
    /// How much of the first chunk has been read.
    read_bytes: usize,
    /// In the kernel's hands while `is_sending`, from `sent_bytes` on.
    sending: Vec<u8>,
    sent_bytes: usize,
    is_sending: bool,
    unsent: Vec<u8>,
    send_error: Option<io::Error>,
}

/// The receive of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    Idle,
    Armed,
    /// Armed, and asked to stop.
    Ending,
    /// It ended for want of buffers.
    Starved,
}

pub(crate) enum End {
    /// The peer has sent all.
    Closed,
    /// Told once; after that it is as if closed.
    Broken(io::Error),
}

enum Chunk {
    Shared(Filled),
    Own(Box<[u8]>),
}

/// An address as connect(2) takes it.
pub(crate) enum Address {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

/// A socket that holds more than this unread is not received from.
const UNREAD_BYTES_MAX: usize = 512 << 10;
/// Bytes of one send, and of what may be queued behind it.
const SEND_BYTES_MAX: usize = 64 << 10;

impl Socket {
    pub fn new(fd: OwnedFd, address: SocketAddr) -> Self {
        Self {
            fd,
            address: Box::new(Address::from(address)),
            connected: None,
            receiving: Receiving::Idle,
            end: None,
            reader: None,
            writer: None,
            in_flight: 0,
            is_abandoned: false,
            received: VecDeque::new(),
            received_bytes: 0,
            read_bytes: 0,
            sending: Vec::new(),
            sent_bytes: 0,
            is_sending: false,
            unsent: Vec::new(),
            send_error: None,
        }
    }

    pub fn take_received(&mut self, filled: Filled) {
        self.received_bytes += filled.length();
        self.received.push_back(Chunk::Shared(filled));
    }

    pub fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    pub fn has_too_much(&self) -> bool {
        self.received_bytes > UNREAD_BYTES_MAX
    }

    /// Whether so much of it has been read that more may come.
    pub fn has_room(&self) -> bool {
        self.end.is_none() && self.received_bytes <= UNREAD_BYTES_MAX / 2
    }

    /// Hands what has been received to `sink`, which says how much it took, until it takes less
    /// than it is given or nothing is left.
    pub fn read(
        &mut self,
        buffers: &mut BufferRing,
        mut sink: impl FnMut(&[u8]) -> usize,
    ) -> usize {
        let mut taken = 0;
        while let Some(chunk) = self.received.front() {
            let rest = &chunk.bytes(buffers)[self.read_bytes..];
            let (count, length) = (sink(rest).min(rest.len()), rest.len());
            taken += count;
            self.received_bytes -= count;
            if count < length {
                self.read_bytes += count;
                break;
            }
            self.read_bytes = 0;
            if let Some(Chunk::Shared(filled)) = self.received.pop_front() {
                buffers.give_back(filled);
            }
        }
        taken
    }

    /// Gives back all buffers; what was in them is lost.
    pub fn forget_received(&mut self, buffers: &mut BufferRing) {
        for chunk in self.received.drain(..) {
            if let Chunk::Shared(filled) = chunk {
                buffers.give_back(filled);
            }
        }
    }

    /// How many of the shared buffers hold something that was not read.
    pub fn shared_count(&self) -> usize {
        self.received.iter().filter(|chunk| matches!(chunk, Chunk::Shared(_))).count()
    }

    /// Gives back all buffers; what was in them is copied.
    pub fn move_out(&mut self, buffers: &mut BufferRing) {
        for chunk in &mut self.received {
            let own = Chunk::Own(chunk.bytes(buffers).into());
            if let Chunk::Shared(filled) = std::mem::replace(chunk, own) {
                buffers.give_back(filled);
            }
        }
    }

    pub fn is_sending(&self) -> bool {
        self.is_sending
    }

    pub fn take_send_error(&mut self) -> Option<io::Error> {
        self.send_error.take()
    }

    /// Takes as many bytes to send as there is room for.
    pub fn take_to_send(&mut self, bytes: &[u8]) -> usize {
        let queue = if self.is_sending { &mut self.unsent } else { &mut self.sending };
        let count = bytes.len().min(SEND_BYTES_MAX - queue.len());
        queue.extend_from_slice(&bytes[..count]);
        count
    }

    /// What the kernel is to send next, which stays in place until [`Socket::sent`].
    pub fn next_to_send(&mut self) -> Option<&[u8]> {
        let rest = &self.sending[self.sent_bytes..];
        self.is_sending = !rest.is_empty();
        self.is_sending.then_some(rest)
    }

    /// What became of it.
    pub fn sent(&mut self, outcome: io::Result<usize>) {
        self.is_sending = false;
        match outcome {
            Ok(count) => self.sent_bytes += count,
            Err(error) => {
                self.send_error = Some(error);
                self.sent_bytes = self.sending.len();
                self.unsent.clear();
            }
        }
        if self.sent_bytes >= self.sending.len() {
            self.sending.clear();
            self.sent_bytes = 0;
            std::mem::swap(&mut self.sending, &mut self.unsent);
        }
    }

    pub fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

impl Chunk {
    fn bytes<'b>(&'b self, buffers: &'b BufferRing) -> &'b [u8] {
        match self {
            Self::Shared(filled) => buffers.bytes(filled),
            Self::Own(bytes) => bytes,
        }
    }
}

impl Address {
    pub fn as_raw(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            Self::V4(address) => ((&raw const *address).cast(), length_of(address)),
            Self::V6(address) => ((&raw const *address).cast(), length_of(address)),
        }
    }
}

fn length_of<T>(_address: &T) -> libc::socklen_t {
    // Some dozens of bytes.
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(libc::sockaddr_in {
                sin_family: AF_INET,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(address) => Self::V6(libc::sockaddr_in6 {
                sin6_family: AF_INET6,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            }),
        }
    }
}

/// `AF_INET` and `AF_INET6` as addresses hold them.
const AF_INET: libc::sa_family_t = 2;
const AF_INET6: libc::sa_family_t = 10;
