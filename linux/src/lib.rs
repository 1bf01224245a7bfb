//! A small, safe io_uring engine for files and sockets. It knows nothing of npm.
//!
//! - [`probe()`] finds out by trying what the kernel and the sandbox allow, and [`Refusal`] says
//!   why not and what to do.
//! - [`FileRing`] carries out file operations, thousands in flight, for one thread.
//! - [`Network`] runs the tasks, timers and streams of one thread, which waits for many of them in
//!   one call.
//! - [`Ring`] is what both stand on: two queues, and all waiting, retrying and flow control.
//!
//! # What the unsafe code rests on
//!
//! A block that leaves memory to the kernel names the clause that it relies on.
//!
//! - **Ownership.** What an entry points to (paths, bytes, addresses) belongs to a flight or a
//!   socket in a slab, on the heap, from before the entry is queued until its last completion has
//!   been taken; meanwhile it is neither moved, changed nor freed.
//! - **Drain.** Whoever owns such a slab waits, when it is dropped, until nothing is in flight.
//!   Where the kernel cannot be asked any more, the slab is leaked.
//! - **Buffers.** A provided buffer is the kernel's from when it is offered until a completion
//!   names it, then ours until it is given back, which consumes the value that stands for it.

mod buffers;
#[cfg(feature = "confine")]
pub mod confine;
mod executor;
mod files;
mod network;
mod operation;
mod probe;
mod refusal;
mod ring;
mod socket;
mod sockets;
mod surroundings;
#[cfg(test)]
mod testing;
mod usage;
mod xfs;

pub use files::{FileOptions, FileRing};
pub use network::{Ended, Network, Sleep, Stream};
pub use operation::{At, Failed, FileOperation, Fill, Step};
pub use probe::{Kind, Need, Probe, Trial, Use, probe, try_ring};
pub use refusal::Refusal;
pub use ring::{Completion, Counts, Options, Ring, Wait};
pub use sockets::SocketOptions;
pub use surroundings::{Seccomp, Surroundings};
pub use usage::{
    Usage, kernel_workers, schedule_in_batches, schedule_normally, thread_usage, usage,
    wait_with_usage,
};
pub use xfs::AllocationGroups;
