//! A small, safe io_uring engine for files and sockets. It knows nothing of npm.

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

pub use files::{FileOptions, FileRing};
pub use network::{Ended, Network, Sleep, Stream};
pub use operation::{At, Failed, FileOperation, Fill, Step};
pub use probe::{Kind, Need, Probe, Trial, Use, probe, try_ring};
pub use refusal::Refusal;
pub use ring::{Completion, Counts, Options, Ring, Wait};
pub use sockets::SocketOptions;
pub use surroundings::{Seccomp, Surroundings};
pub use usage::{Usage, kernel_workers, schedule_in_batches, thread_usage, usage};
