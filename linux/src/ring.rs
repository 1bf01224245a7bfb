//! One io_uring: its two queues, and what can go wrong between them.
//!
//! All waiting, retrying and flow control is here: a full submission queue is submitted, a kernel
//! that cannot take more (EAGAIN, EBUSY) is given the chance to post what is done, an interrupted
//! call is made again. What the entries point to is the caller's to keep until their completion.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::{IoUring, register::Restriction, types};

/// How a ring is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Submission queue entries, rounded up to a power of two by the kernel.
    pub submissions: u32,
    /// Completion queue entries; more are kept by the kernel (`IORING_FEAT_NODROP`).
    pub completions: u32,
    /// The kernel's worker threads for each of bounded and unbounded work; `None` leaves the
    /// kernel's own limit, which is large.
    pub workers_max: Option<u32>,
    /// The only opcodes that this ring will carry out (`IORING_REGISTER_RESTRICTIONS`): all others
    /// complete with EACCES, as under a sandbox that filters opcodes.
    pub opcodes_allowed: Option<Vec<u8>>,
}

/// How often the ring was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that the kernel took.
    pub submissions: u64,
    /// Calls of io_uring_enter(2).
    pub enters: u64,
    /// Those of them that took entries.
    pub batches: u64,
    /// The most entries that one call took.
    pub batch_max: u64,
    /// Completions that were taken.
    pub completions: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.submissions += other.submissions;
        self.enters += other.enters;
        self.batches += other.batches;
        self.batch_max = self.batch_max.max(other.batch_max);
        self.completions += other.completions;
    }
}

/// What came of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    pub user_data: u64,
    /// As the system call would return it; an errno is negative.
    pub result: i32,
    pub flags: u32,
}

/// How long to wait for completions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Return when so many are there.
    pub completions: usize,
    /// After this, one is enough (`min_wait_usec`, Linux 6.12; before, by a second call).
    pub batch_for: Option<Duration>,
    /// After this, return with whatever is there.
    pub limit: Option<Duration>,
}

/// A ring for the thread that made it.
pub struct Ring {
    inner: IoUring,
    /// Completions that had to make way for others.
    early: VecDeque<Completion>,
    counts: Counts,
    has_min_wait: bool,
}

/// EAGAIN and EBUSY in a row before the kernel is taken at its word.
const REFUSALS_MAX: u32 = 1000;

impl Ring {
    /// Asks for `SINGLE_ISSUER | DEFER_TASKRUN` (Linux 6.1), and goes on without where they are
    /// unknown: they save wake-ups and change nothing else.
    pub fn new(options: &Options) -> io::Result<Self> {
        let build = |has_deferred_work: bool| {
            let mut builder = IoUring::builder();
            builder.setup_cqsize(options.completions).setup_clamp().dontfork();
            if has_deferred_work {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
            }
            if options.opcodes_allowed.is_some() {
                builder.setup_r_disabled();
            }
            builder.build(options.submissions)
        };
        let is_unknown = |error: &io::Error| error.raw_os_error() == Some(libc::EINVAL);
        let inner = build(true)
            .or_else(|error| if is_unknown(&error) { build(false) } else { Err(error) })?;
        if !inner.params().is_feature_nodrop() || !inner.params().is_feature_ext_arg() {
            // Both are older than every opcode that is used here.
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        if let Some(workers) = options.workers_max {
            inner.submitter().register_iowq_max_workers(&mut [workers, workers])?;
        }
        if let Some(opcodes) = &options.opcodes_allowed {
            let mut restrictions: Vec<_> =
                opcodes.iter().map(|opcode| Restriction::sqe_op(*opcode)).collect();
            restrictions.push(Restriction::sqe_flags_allowed(u8::MAX));
            // Registering files and buffers stays allowed; the list is of `IORING_REGISTER_*`.
            restrictions.extend((0..32).map(Restriction::register_op));
            inner.submitter().register_restrictions(&mut restrictions)?;
            inner.submitter().register_enable_rings()?;
        }
        let has_min_wait = inner.params().is_feature_min_timeout();
        Ok(Self { inner, early: VecDeque::new(), counts: Counts::default(), has_min_wait })
    }

    /// Since it was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// For the calls that register files and buffers.
    pub fn submitter(&self) -> io_uring::Submitter<'_> {
        self.inner.submitter()
    }

    /// Queues entries that are submitted together: links between them hold. They are no
    /// more than the submission queue has.
    ///
    /// # Safety
    ///
    /// All that the entries point to stays in place and untouched until the completion of each, or,
    /// for those that post none, until that of the last one of their chain.
    pub unsafe fn push(&mut self, entries: &[Entry]) -> io::Result<()> {
        let free = {
            let queue = self.inner.submission();
            queue.capacity() - queue.len()
        };
        if free < entries.len() {
            self.submit()?;
        }
        // SAFETY: the caller keeps what the entries point to.
        let pushed = unsafe { self.inner.submission().push_multiple(entries) };
        // Only a chain that is longer than the queue can be left over.
        pushed.map_err(|_| io::Error::from_raw_os_error(libc::ENOBUFS))
    }

    /// Entries that are queued and not submitted.
    pub fn queued(&mut self) -> usize {
        self.inner.submission().len()
    }

    /// Hands all that is queued to the kernel, which posts what is done and does not wait.
    pub fn submit(&mut self) -> io::Result<()> {
        self.enter(&Wait::default())
    }

    /// Hands all that is queued to the kernel and waits. A limit that passes is no error.
    pub fn wait(&mut self, wait: &Wait) -> io::Result<()> {
        let Some(batch_for) = wait.batch_for.filter(|_| !self.has_min_wait) else {
            return self.enter(wait);
        };
        let limit = wait.limit.unwrap_or(Duration::MAX);
        self.enter(&Wait { batch_for: None, limit: Some(batch_for.min(limit)), ..*wait })?;
        if self.ready() > 0 || limit <= batch_for {
            return Ok(());
        }
        let limit = wait.limit.map(|limit| limit.saturating_sub(batch_for));
        self.enter(&Wait { completions: 1, batch_for: None, limit })
    }

    /// How many completions are there.
    pub fn ready(&mut self) -> usize {
        self.early.len() + self.inner.completion().len()
    }

    /// The next completion that is there.
    pub fn completion(&mut self) -> Option<Completion> {
        self.early.pop_front().or_else(|| self.next())
    }

    fn next(&mut self) -> Option<Completion> {
        let entry = self.inner.completion().next()?;
        self.counts.completions += 1;
        Some(Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        })
    }

    fn enter(&mut self, wait: &Wait) -> io::Result<()> {
        let mut refusals = 0;
        let mut wait = *wait;
        loop {
            wait.completions = wait.completions.saturating_sub(self.early.len());
            let before = self.queued();
            let entered = self.enter_once(&wait);
            self.counts.enters += 1;
            let left = self.queued();
            let taken = (before - left) as u64;
            self.counts.submissions += taken;
            self.counts.batches += u64::from(taken > 0);
            self.counts.batch_max = self.counts.batch_max.max(taken);
            match entered.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO)) {
                // The kernel may take fewer than it is given, when one of them is malformed.
                Ok(()) | Err(libc::ETIME | libc::EINTR) if left == 0 => return Ok(()),
                Ok(()) | Err(libc::ETIME | libc::EINTR) => {}
                // Out of memory for requests, or too many completions are waiting.
                Err(libc::EAGAIN | libc::EBUSY) if refusals < REFUSALS_MAX => {
                    refusals += 1;
                    self.make_way();
                }
                Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }

    /// Takes the completions that are there out of the kernel's way.
    fn make_way(&mut self) {
        let before = self.early.len();
        while let Some(completion) = self.next() {
            self.early.push_back(completion);
        }
        if self.early.len() == before {
            std::thread::yield_now();
        }
    }

    fn enter_once(&self, wait: &Wait) -> io::Result<()> {
        let submitter = self.inner.submitter();
        let limit = wait.limit.map(types::Timespec::from);
        let mut arguments = types::SubmitArgs::new();
        if let Some(batch_for) = wait.batch_for {
            let micros = u32::try_from(batch_for.as_micros()).unwrap_or(u32::MAX);
            arguments = arguments.min_wait_usec(micros);
        }
        let arguments = match &limit {
            Some(limit) => arguments.timespec(limit),
            None => arguments,
        };
        submitter.submit_with_args(wait.completions, &arguments).map(drop)
    }
}

#[cfg(test)]
impl Ring {
    /// Puts another file in the place of the ring's descriptor, so that every later call fails.
    pub(crate) fn break_off(&self) {
        use std::os::fd::AsRawFd;
        let null = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: both descriptors are open, and the ring's stays the ring's to close.
        let replaced = unsafe { libc::dup2(null.as_raw_fd(), self.inner.as_raw_fd()) };
        assert_eq!(replaced, self.inner.as_raw_fd());
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ring").field("counts", &self.counts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::needs_ring;
    use io_uring::opcode;
    use std::time::Instant;

    fn ring(submissions: u32, completions: u32) -> Ring {
        let options =
            Options { submissions, completions, workers_max: None, opcodes_allowed: None };
        Ring::new(&options).unwrap()
    }

    fn push_nop(ring: &mut Ring, user_data: u64) {
        let entry = opcode::Nop::new().build().user_data(user_data);
        // SAFETY: a NOP points to nothing.
        unsafe { ring.push(&[entry]) }.unwrap();
    }

    fn drain(ring: &mut Ring, expected: usize) -> Vec<u64> {
        let mut seen = Vec::new();
        while seen.len() < expected {
            ring.wait(&Wait { completions: 1, ..Wait::default() }).unwrap();
            seen.extend(std::iter::from_fn(|| ring.completion()).map(|done| done.user_data));
        }
        seen
    }

    #[test]
    fn a_full_submission_queue_is_submitted() {
        needs_ring!();
        let mut ring = ring(8, 64);
        (0..50).for_each(|number| push_nop(&mut ring, number));
        let mut seen = drain(&mut ring, 50);
        let counts = ring.take_counts();
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
        assert_eq!((counts.submissions, counts.batches, counts.batch_max), (50, 7, 8));
    }

    #[test]
    fn completions_beyond_their_queue_are_not_lost() {
        needs_ring!();
        let mut ring = ring(8, 8);
        (0..500).for_each(|number| push_nop(&mut ring, number));
        let mut seen = drain(&mut ring, 500);
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn a_chain_longer_than_the_queue_is_refused() {
        needs_ring!();
        let mut ring = ring(4, 8);
        let entries = vec![opcode::Nop::new().build(); 5];
        // SAFETY: a NOP points to nothing.
        let error = unsafe { ring.push(&entries) }.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
    }

    #[test]
    fn a_wait_ends_at_its_limit() {
        needs_ring!();
        let mut ring = ring(8, 8);
        push_nop(&mut ring, 7);
        let limit = Some(Duration::from_millis(1));
        ring.wait(&Wait { completions: 2, limit, ..Wait::default() }).unwrap();
        assert_eq!(ring.completion().map(|done| done.user_data), Some(7));
        assert_eq!(ring.completion(), None);
    }

    #[test]
    fn a_wait_for_a_batch_ends_with_one_completion_when_its_time_is_over() {
        needs_ring!();
        for has_min_wait in [true, false] {
            let mut ring = ring(8, 8);
            ring.has_min_wait &= has_min_wait;
            push_nop(&mut ring, 7);
            let wait = Wait {
                completions: 4,
                batch_for: Some(Duration::from_millis(1)),
                limit: Some(Duration::from_secs(60)),
            };
            ring.wait(&wait).unwrap();
            assert_eq!(ring.completion().map(|done| done.user_data), Some(7));
            // Nothing comes any more: only the limit ends it.
            let limit = Some(Duration::from_millis(5));
            let start = Instant::now();
            ring.wait(&Wait { limit, ..wait }).unwrap();
            assert!(start.elapsed() >= Duration::from_millis(5));
            assert_eq!(ring.completion(), None);
        }
    }

    #[test]
    fn a_restricted_opcode_completes_with_eacces() {
        needs_ring!();
        let options = Options {
            submissions: 4,
            completions: 8,
            workers_max: Some(1),
            opcodes_allowed: Some(vec![opcode::Close::CODE]),
        };
        let mut ring = Ring::new(&options).unwrap();
        push_nop(&mut ring, 1);
        ring.wait(&Wait { completions: 1, ..Wait::default() }).unwrap();
        assert_eq!(ring.completion().map(|done| done.result), Some(-libc::EACCES));
    }
}
