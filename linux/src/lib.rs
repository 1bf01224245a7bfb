//! What ringstall asks of Linux beyond the standard library. It knows nothing of npm.

mod usage;

pub use usage::{Usage, schedule_in_batches, usage};
