//! Streams of one ring: what each has received and has to send, and what is in flight for it.
//!
//! One multishot receive a socket lets the kernel post whatever arrives, in buffers that all
//! sockets share. Who does not read loses its receive until it has read, and where the buffers run
//! out, what they hold is moved to memory of its own: no socket can hold up another.

use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use io_uring::squeue::Entry;
use io_uring::types::CancelBuilder;
use io_uring::{cqueue, opcode, types};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, ipproto, sockopt};
use slab::Slab;

use crate::buffers::BufferRing;
use crate::ring::{Completion, Counts, Options, Ring, Wait};
use crate::socket::{End, Receiving, Socket};

/// How sockets share a ring.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// Buffers that the kernel fills, a power of two.
    pub buffers: u16,
    pub buffer_bytes: u32,
    /// Completions to wait for, at most; fewer where fewer sockets are waiting.
    pub batch: usize,
    /// How long one completion may wait for others.
    pub batch_for: Duration,
    /// The same while there is no hurry (see [`crate::Network::set_hurry`]), when the whole batch
    /// is waited for.
    pub batch_for_max: Duration,
    /// See [`Options::opcodes_allowed`].
    pub opcodes_allowed: Option<Vec<u8>>,
}

pub(crate) struct Sockets {
    ring: Ring,
    options: SocketOptions,
    /// Both are leaked where the kernel cannot be asked whether it is done with them.
    buffers: ManuallyDrop<BufferRing>,
    slab: ManuallyDrop<Slab<Socket>>,
    /// Filled by the read of the bell, which is in flight while `is_bell_awaited`.
    bell_count: ManuallyDrop<Box<[u8; 8]>>,
    is_bell_awaited: bool,
    /// Those whose receive ended for want of buffers.
    starved: Vec<usize>,
    /// Operations whose last completion is still to come.
    in_flight: usize,
    receives: usize,
    sends_queued: usize,
    has_hurry: bool,
    refusal: Option<io::Error>,
}

#[derive(Clone, Copy)]
#[repr(u64)]
enum Kind {
    Connect,
    Receive,
    Send,
    Cancel,
    Bell,
}

const GROUP: u16 = 1;
const KIND_BITS: u32 = 3;
const SUBMISSIONS: u32 = 256;
const COMPLETIONS: u32 = 4096;
/// Cancelled socket operations complete at once; this is for a kernel that is out of its mind.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

impl Sockets {
    pub fn new(options: SocketOptions) -> io::Result<Self> {
        let ring = Ring::new(&Options {
            submissions: SUBMISSIONS,
            completions: COMPLETIONS,
            workers_max: Some(1),
            opcodes_allowed: options.opcodes_allowed.clone(),
        })?;
        let buffers = BufferRing::new(&ring, GROUP, options.buffers, options.buffer_bytes)?;
        Ok(Self {
            ring,
            options,
            buffers: ManuallyDrop::new(buffers),
            slab: ManuallyDrop::default(),
            bell_count: ManuallyDrop::default(),
            is_bell_awaited: false,
            starved: Vec::new(),
            in_flight: 0,
            receives: 0,
            sends_queued: 0,
            has_hurry: true,
            refusal: None,
        })
    }

    pub fn take_counts(&mut self) -> Counts {
        self.ring.take_counts()
    }

    /// An opcode that the kernel or a sandbox does not carry out: nothing more will come of this
    /// ring.
    pub fn take_refusal(&mut self) -> Option<io::Error> {
        self.refusal.take()
    }

    pub fn set_hurry(&mut self, has_hurry: bool) {
        self.has_hurry = has_hurry;
    }

    /// Starts to connect a new socket.
    pub fn connect(&mut self, address: SocketAddr) -> io::Result<usize> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        // Not O_NONBLOCK: on such a socket the ring completes with EAGAIN where it should wait.
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        // A request is one small write that must not wait for the answer to an earlier one.
        sockopt::set_tcp_nodelay(&fd, true)?;
        let key = self.slab.insert(Socket::new(fd, address));
        let socket = &self.slab[key];
        let (pointer, length) = socket.address.as_raw();
        let entry = opcode::Connect::new(types::Fd(socket.fd.as_raw_fd()), pointer, length);
        self.start(key, Kind::Connect, entry.build())?;
        Ok(key)
    }

    pub fn poll_connected(&mut self, key: usize, context: &Context<'_>) -> Poll<io::Result<()>> {
        let socket = &mut self.slab[key];
        let Some(connected) = socket.connected.take() else {
            socket.writer = Some(context.waker().clone());
            return Poll::Pending;
        };
        connected?;
        self.receive(key)?;
        Poll::Ready(Ok(()))
    }

    /// Hands what has been received to `sink`, which says how much it took and takes at least
    /// something. 0 is the end of the stream.
    pub fn poll_read(
        &mut self,
        key: usize,
        context: &Context<'_>,
        sink: impl FnMut(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let socket = &mut self.slab[key];
        let is_pending = !socket.has_received();
        let taken = socket.read(&mut self.buffers, sink);
        if is_pending {
            match socket.end.replace(End::Closed) {
                Some(End::Closed) => return Poll::Ready(Ok(0)),
                Some(End::Broken(error)) => return Poll::Ready(Err(error)),
                None => socket.end = None,
            }
            socket.reader = Some(context.waker().clone());
        }
        if socket.receiving == Receiving::Idle && socket.has_room() {
            self.receive(key)?;
        }
        if is_pending { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    /// Takes bytes to send, as many as there is room for. A failure is that of earlier bytes.
    pub fn poll_write(
        &mut self,
        key: usize,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = &mut self.slab[key];
        if let Some(error) = socket.take_send_error() {
            return Poll::Ready(Err(error));
        }
        let count = socket.take_to_send(bytes);
        if count == 0 && !bytes.is_empty() {
            socket.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        if !socket.is_sending() {
            self.send(key)?;
        }
        Poll::Ready(Ok(count))
    }

    /// Waits until all is sent, then says so to the peer.
    pub fn poll_shutdown(&mut self, key: usize, context: &Context<'_>) -> Poll<io::Result<()>> {
        let socket = &mut self.slab[key];
        if socket.is_sending() {
            socket.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        if let Some(error) = socket.take_send_error() {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(rustix::net::shutdown(&socket.fd, Shutdown::Write)?))
    }

    /// Gives a socket up: what is in flight for it is cancelled, and it is closed after that.
    pub fn abandon(&mut self, key: usize) {
        let Some(socket) = self.slab.get_mut(key) else { return };
        socket.is_abandoned = true;
        socket.forget_received(&mut self.buffers);
        if socket.in_flight == 0 {
            self.slab.remove(key);
            return;
        }
        // A failure here is one that the next turn meets as well.
        let of_socket = CancelBuilder::fd(types::Fd(socket.fd.as_raw_fd())).all();
        let _ = self.cancel(of_socket);
    }

    /// Sees to it that a turn ends when the bell rings.
    pub fn await_bell(&mut self, bell: &OwnedFd) -> io::Result<()> {
        if self.is_bell_awaited {
            return Ok(());
        }
        let fd = types::Fd(bell.as_raw_fd());
        let entry = opcode::Read::new(fd, self.bell_count.as_mut_ptr(), 8).build();
        let entry = entry.user_data(user_data(0, Kind::Bell));
        // SAFETY: ownership: the count stays in its box until the read has completed, or is leaked.
        unsafe { self.ring.push(&[entry]) }?;
        self.is_bell_awaited = true;
        self.in_flight += 1;
        Ok(())
    }

    /// Submits what is queued and takes what has completed, without waiting.
    pub fn submit(&mut self) -> io::Result<()> {
        self.feed()?;
        self.ring.submit()?;
        self.take_completions()
    }

    /// Submits what is queued, waits for many completions or until the limit, and takes them.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.feed()?;
        // Small sends complete as they are submitted; they are not what is waited for.
        let sends = std::mem::take(&mut self.sends_queued);
        let SocketOptions { batch, batch_for, batch_for_max, .. } = self.options;
        let (expected, batch_for) = if self.has_hurry {
            ((self.receives / 4).clamp(1, batch), batch_for)
        } else {
            (batch, batch_for_max)
        };
        let batch_for = Some(batch_for);
        self.ring.wait(&Wait { completions: expected + sends, batch_for, limit })?;
        self.take_completions()
    }

    /// Cancels all there is and waits until nothing is in flight.
    pub fn drain(&mut self) -> io::Result<()> {
        let give_up = Instant::now() + DRAIN_LIMIT;
        while self.in_flight > 0 {
            if Instant::now() > give_up {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Again and again: what a completion leads to may have started after the last one.
            self.cancel(CancelBuilder::any())?;
            let limit = Some(Duration::from_millis(100));
            self.ring.wait(&Wait { completions: 2, batch_for: None, limit })?;
            self.take_completions()?;
        }
        Ok(())
    }

    /// Lets the kernel have the buffers that were given back, and those go on that lacked some.
    fn feed(&mut self) -> io::Result<()> {
        self.buffers.publish();
        let starved = std::mem::take(&mut self.starved);
        if starved.is_empty() {
            return Ok(());
        }
        let shared: usize = self.slab.iter().map(|(_, one)| one.shared_count()).sum();
        if shared == self.buffers.count() {
            self.slab.iter_mut().for_each(|(_, one)| one.move_out(&mut self.buffers));
            self.buffers.publish();
        }
        for key in starved {
            // Its number may be another's by now, which then is not starved.
            if self.slab.get(key).is_some_and(|one| one.receiving == Receiving::Starved) {
                self.slab[key].receiving = Receiving::Idle;
                self.receive(key)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, key: usize) -> io::Result<()> {
        let socket = &mut self.slab[key];
        socket.receiving = Receiving::Armed;
        self.receives += 1;
        let fd = types::Fd(socket.fd.as_raw_fd());
        let entry = opcode::RecvMulti::new(fd, self.buffers.group()).build();
        self.start(key, Kind::Receive, entry)
    }

    /// Sends what is there to send, if anything.
    fn send(&mut self, key: usize) -> io::Result<()> {
        let socket = &mut self.slab[key];
        let fd = types::Fd(socket.fd.as_raw_fd());
        let Some(bytes) = socket.next_to_send() else { return Ok(()) };
        // A send is far smaller.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(fd, bytes.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build();
        self.sends_queued += 1;
        self.start(key, Kind::Send, entry)
    }

    fn cancel(&mut self, which: CancelBuilder) -> io::Result<()> {
        let entry = opcode::AsyncCancel2::new(which).build();
        // SAFETY: a cancellation points to nothing.
        unsafe { self.ring.push(&[entry.user_data(user_data(0, Kind::Cancel))]) }
    }

    fn start(&mut self, key: usize, kind: Kind, entry: Entry) -> io::Result<()> {
        // SAFETY: ownership: the address is in a box, and the bytes to send are in a vector that is
        // left alone while it is sending; both belong to the socket, which is removed only when
        // nothing is in flight for it. Received bytes go to the ring's own buffers.
        unsafe { self.ring.push(&[entry.user_data(user_data(key, kind))]) }?;
        self.slab[key].in_flight += 1;
        self.in_flight += 1;
        Ok(())
    }

    fn take_completions(&mut self) -> io::Result<()> {
        while let Some(completion) = self.ring.completion() {
            self.take(completion)?;
        }
        Ok(())
    }

    fn take(&mut self, completion: Completion) -> io::Result<()> {
        let kind = completion.user_data & ((1 << KIND_BITS) - 1);
        let key = usize::try_from(completion.user_data >> KIND_BITS).unwrap_or(usize::MAX);
        if kind == Kind::Cancel as u64 {
            return Ok(());
        }
        let has_more = cqueue::more(completion.flags);
        if !has_more {
            self.in_flight -= 1;
        }
        if kind == Kind::Bell as u64 {
            self.is_bell_awaited = false;
            return Ok(());
        }
        let Some(socket) = self.slab.get_mut(key) else { return Ok(()) };
        if !has_more {
            socket.in_flight -= 1;
        }
        let result = completion.result;
        let outcome = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        if let Err(error) = &outcome
            && is_refusal(error)
        {
            let error = io::Error::from_raw_os_error(-result);
            self.refusal.get_or_insert(error);
        }
        if kind == Kind::Connect as u64 {
            socket.connected = Some(outcome.map(drop));
            socket.wake_writer();
        } else if kind == Kind::Send as u64 {
            self.take_sent(key, outcome)?;
        } else {
            self.take_received(key, outcome, completion.flags)?;
        }
        let is_over = |socket: &Socket| socket.is_abandoned && socket.in_flight == 0;
        if self.slab.get(key).is_some_and(is_over) {
            self.slab.remove(key);
        }
        Ok(())
    }

    fn take_sent(&mut self, key: usize, outcome: io::Result<usize>) -> io::Result<()> {
        let socket = &mut self.slab[key];
        socket.sent(outcome);
        socket.wake_writer();
        if socket.is_abandoned { Ok(()) } else { self.send(key) }
    }

    fn take_received(
        &mut self,
        key: usize,
        outcome: io::Result<usize>,
        flags: u32,
    ) -> io::Result<()> {
        let socket = &mut self.slab[key];
        if !cqueue::more(flags) {
            socket.receiving = Receiving::Idle;
            self.receives -= 1;
        }
        // A buffer may come with an error or with nothing in it.
        let length = outcome.as_ref().map_or(0, |count| u32::try_from(*count).unwrap_or(0));
        let filled = cqueue::buffer_select(flags).and_then(|id| self.buffers.take(id, length));
        match filled {
            Some(filled) if length > 0 && !socket.is_abandoned => socket.take_received(filled),
            Some(filled) => self.buffers.give_back(filled),
            None => {}
        }
        match outcome {
            Ok(0) => socket.end = Some(End::Closed),
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => {
                    socket.receiving = Receiving::Starved;
                    self.starved.push(key);
                    return Ok(());
                }
                // It was asked to stop, or interrupted: who reads next starts it anew.
                Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
                _ => socket.end = Some(End::Broken(error)),
            },
        }
        socket.wake_reader();
        if socket.has_too_much() && socket.receiving == Receiving::Armed {
            socket.receiving = Receiving::Ending;
            let receive = CancelBuilder::user_data(user_data(key, Kind::Receive));
            return self.cancel(receive);
        }
        Ok(())
    }
}

impl Drop for Sockets {
    /// What the kernel may still look at lives until it is done.
    fn drop(&mut self) {
        if self.drain().is_err() {
            return;
        }
        if self.ring.submitter().unregister_buf_ring(self.buffers.group()).is_err() {
            return;
        }
        // SAFETY: drain: nothing is in flight, and it is not used after this.
        unsafe { ManuallyDrop::drop(&mut self.slab) };
        // SAFETY: drain: the kernel has let go of the buffers, and they are not used after this.
        unsafe { ManuallyDrop::drop(&mut self.buffers) };
        // SAFETY: drain: nothing is in flight, and it is not used after this.
        unsafe { ManuallyDrop::drop(&mut self.bell_count) };
    }
}

/// An error that an opcode gets from a sandbox, or from a kernel that does not know it.
fn is_refusal(error: &io::Error) -> bool {
    let errno = error.raw_os_error().unwrap_or(0);
    [libc::EPERM, libc::EACCES, libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP].contains(&errno)
}

fn user_data(key: usize, kind: Kind) -> u64 {
    (key as u64) << KIND_BITS | kind as u64
}
