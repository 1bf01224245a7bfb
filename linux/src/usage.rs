//! What the process or a child of it has used so far, and how the scheduler treats it.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// What was used of the machine (getrusage(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub user: Duration,
    pub system: Duration,
    /// The peak of the resident set, in bytes.
    pub resident_bytes_max: u64,
    pub minor_faults: u64,
    /// How often a thread gave up its processor to wait.
    pub voluntary_switches: u64,
    /// How often a thread was made to give it up.
    pub involuntary_switches: u64,
}

/// The process's own account, all threads and the kernel's io_uring workers included. Fails only
/// where the kernel does not know `RUSAGE_SELF`.
pub fn usage() -> io::Result<Usage> {
    usage_of(libc::RUSAGE_SELF)
}

/// The account of the calling thread; its peak of the resident set is the process's. Fails only
/// where the kernel does not know `RUSAGE_THREAD`.
pub fn thread_usage() -> io::Result<Usage> {
    usage_of(libc::RUSAGE_THREAD)
}

impl Usage {
    /// What was used after `earlier`, but for the peak of the resident set, which has no start.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            resident_bytes_max: self.resident_bytes_max,
            minor_faults: self.minor_faults - earlier.minor_faults,
            voluntary_switches: self.voluntary_switches - earlier.voluntary_switches,
            involuntary_switches: self.involuntary_switches - earlier.involuntary_switches,
        }
    }
}

/// Waits for a child's end (wait4(2)). The account is that of all its threads, the kernel's
/// io_uring workers and those children of it that it has waited for included; the peak of the
/// resident set is the largest of them, and at least that of this process where the child was
/// started without a copy of its memory. Fails where the child has been waited for already.
pub fn wait_with_usage(child: Child) -> io::Result<(ExitStatus, Usage)> {
    let process = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to whole values that live across the call. The child is ours
        // alone and has not been waited for, or the kernel says so: its number is no other's.
        let waited = unsafe { libc::wait4(process, &raw mut status, 0, usage.as_mut_ptr()) };
        if waited == process {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // Dropping it neither waits nor ends anything.
    drop(child);
    // SAFETY: every bit pattern is a valid `rusage`: it was zeroed and then filled by the kernel.
    let usage = unsafe { usage.assume_init() };
    Ok((ExitStatus::from_raw(status), account(&usage)))
}

fn usage_of(who: libc::c_int) -> io::Result<Usage> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole `rusage` that lives across the call.
    let result = unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every bit pattern is a valid `rusage`: it was zeroed and then filled by the kernel.
    let usage = unsafe { usage.assume_init() };
    Ok(account(&usage))
}

fn account(usage: &libc::rusage) -> Usage {
    Usage {
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        // Linux counts in KiB.
        resident_bytes_max: count(usage.ru_maxrss) * 1024,
        minor_faults: count(usage.ru_minflt),
        voluntary_switches: count(usage.ru_nvcsw),
        involuntary_switches: count(usage.ru_nivcsw),
    }
}

/// Puts the calling thread, and those it starts from now on, under `SCHED_BATCH` with long slices:
/// a thread that wakes up does not take the processor from one that runs, and one that runs keeps
/// it for longer, so that bulk work is switched less. Its share of the processor stays the same.
/// Linux before 6.12 has one length of slices for all, and ignores what is asked for.
pub fn schedule_in_batches() -> io::Result<()> {
    schedule(libc::SCHED_BATCH, BATCH_SLICE)
}

/// Undoes [`schedule_in_batches`] for the calling thread: what it starts is treated as it would be
/// without us.
pub fn schedule_normally() -> io::Result<()> {
    schedule(libc::SCHED_OTHER, Duration::ZERO)
}

/// A slice of no time is the kernel's default.
fn schedule(policy: libc::c_int, slice: Duration) -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: policy.unsigned_abs(),
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX),
        sched_deadline: 0,
        sched_period: 0,
    };
    let (this_thread, no_flags) = (0, 0);
    // SAFETY: the pointer is to a whole `sched_attr`, of the size that it says, which lives across
    // the call.
    let result = unsafe {
        libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const attributes, no_flags)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The longest that the kernel gives (`__setparam_fair` in kernel/sched/syscalls.c).
const BATCH_SLICE: Duration = Duration::from_millis(100);

/// The threads that the kernel has started for this process's rings and not ended yet.
pub fn kernel_workers() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let is_worker = |path: &Path| {
        std::fs::read(path.join("comm")).is_ok_and(|name| name.starts_with(b"iou-wrk"))
    };
    tasks.flatten().filter(|task| is_worker(&task.path())).count()
}

fn duration(time: libc::timeval) -> Duration {
    let micros = u32::try_from(time.tv_usec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), 1000 * micros)
}

fn count(number: libc::c_long) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_account_only_grows() {
        let before = usage().unwrap();
        let pages = vec![1_u8; 8 << 20];
        let after = usage().unwrap();
        assert_eq!(pages.iter().map(|byte| usize::from(*byte)).sum::<usize>(), pages.len());
        assert!(after.minor_faults > before.minor_faults);
        assert!(after.resident_bytes_max >= 8 << 20);
    }

    #[test]
    fn the_account_of_a_thread_is_its_own() {
        let before = thread_usage().unwrap();
        std::thread::spawn(|| std::thread::sleep(Duration::from_millis(1))).join().unwrap();
        let others = usage().unwrap();
        let own = thread_usage().unwrap().since(&before);
        assert!(own.voluntary_switches < others.voluntary_switches, "{own:?} {others:?}");
    }

    #[test]
    fn the_account_of_a_child_is_its_own_and_its_children_s() {
        let script = "i=0; while [ $i -lt 20 ]; do sleep 0.001; i=$((i + 1)); done; exit 7";
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let (status, usage) = wait_with_usage(child).unwrap();
        assert_eq!(status.code(), Some(7));
        // The shell waits for each of them, and each of them sleeps.
        assert!(usage.voluntary_switches >= 20, "{usage:?}");
        assert!(usage.minor_faults > 0 && usage.resident_bytes_max > 0, "{usage:?}");
    }

    #[test]
    fn a_child_that_has_been_waited_for_is_no_more() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let error = wait_with_usage(child).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
    }

    #[test]
    fn scheduling_in_batches_and_back_needs_no_privilege() {
        let back_and_forth = || {
            schedule_in_batches().unwrap();
            schedule_normally().unwrap();
        };
        std::thread::spawn(back_and_forth).join().unwrap();
    }
}
