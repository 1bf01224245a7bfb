//! A small, safe io_uring engine for files and sockets. It knows nothing of npm.

mod files;
mod operation;
mod ring;
mod usage;

pub use files::{FileOptions, FileRing};
pub use operation::{At, Failed, FileOperation, Fill, Step};
pub use ring::{Completion, Counts, Options, Ring, Wait};
pub use usage::{Usage, kernel_workers, schedule_in_batches, usage};
