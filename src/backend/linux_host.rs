//! What the process asks of Linux: its own account, its scheduling, its umask.

use rustix::fs::Mode;

pub use ringstall_linux::{Usage, kernel_workers, schedule_in_batches};

/// What the process has used so far; nothing where the kernel does not say.
pub fn usage() -> Usage {
    ringstall_linux::usage().unwrap_or_default()
}

/// What the calling thread has used so far; nothing where the kernel does not say.
pub fn thread_usage() -> Usage {
    ringstall_linux::thread_usage().unwrap_or_default()
}

/// The umask. It can only be read by setting it, so this is for the start, before other threads.
pub fn current_umask() -> u32 {
    let umask = rustix::process::umask(Mode::empty());
    rustix::process::umask(umask);
    umask.as_raw_mode()
}
