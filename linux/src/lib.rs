//! A small, safe io_uring engine for files and sockets. It knows nothing of npm.

mod ring;
mod usage;

pub use ring::Counts;
pub use usage::{Usage, schedule_in_batches, usage};
