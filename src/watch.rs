//! The watching thread: says what is awaited when nothing moves, ends the run at its deadline or by
//! a signal, and draws the progress bar.
//!
//! It sleeps in a read with a timeout, and wakes once in the interval of notices when all goes
//! well, or ten times a second where there is a bar. Signals and the end of the run wake it by a
//! byte. A run that is ended this way ends as if it were killed: no clean-up can be waited for
//! where something hangs, and the next run starts from the beginning in either case.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;

use crate::backend::machine::IgnoredSignals;
use crate::error::{Code, Error, Result};
use crate::journal::{Event, Journal};
use crate::progress::Bar;
use crate::report::Reporter;

mod stall;

use stall::Stall;

/// When the watching thread speaks up.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// The time without any move after which it is said what is awaited.
    pub notice_after: Duration,
    /// The time after which the run is given up.
    pub deadline: Option<Duration>,
}

/// Those that people and machines end a command with.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Fast enough to look alive, and ten context switches a second.
const TICK: Duration = Duration::from_millis(100);

/// Runs `work` to its end, the telling of its result included, and watches over it meanwhile.
pub fn watched<T>(
    journal: &Journal,
    reporter: Reporter,
    options: WatchOptions,
    work: impl FnOnce() -> T,
) -> Result<T> {
    let failed = |error: io::Error| {
        Error::new(Code::Io, "failed to start the watching thread").with_source(error)
    };
    let (reader, writer) = UnixStream::pair().map_err(failed)?;
    let signal = listen(&writer).map_err(failed)?;
    let is_over = AtomicBool::new(false);
    let watcher = Watcher { journal, reporter, options, signal, is_over: &is_over };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn_scoped(scope, move || watcher.run(reader))
            .map_err(failed)?;
        let end = End { is_over: &is_over, writer };
        let result = work();
        drop(end);
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
        Ok(result)
    })
}

/// Ends the watching thread when it is dropped, also while a panic is on its way through: the scope
/// waits for the thread.
struct End<'e> {
    is_over: &'e AtomicBool,
    writer: UnixStream,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // The thread has the other end until it has seen this.
        let _ = self.writer.write_all(&[0]);
    }
}

/// Makes each signal set the number and write a byte. One that the process was started to ignore,
/// as by nohup(1), stays ignored.
fn listen(writer: &UnixStream) -> io::Result<Arc<AtomicUsize>> {
    let caught = Arc::new(AtomicUsize::new(0));
    let ignored = IgnoredSignals::read();
    for signal in SIGNALS.into_iter().filter(|signal| !ignored.contains(*signal)) {
        // What is registered first is done first.
        let number = usize::try_from(signal).unwrap_or(0);
        signal_hook::flag::register_usize(signal, caught.clone(), number)?;
        low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(caught)
}

struct Watcher<'w> {
    journal: &'w Journal,
    reporter: Reporter,
    options: WatchOptions,
    /// The signal that was caught last and not seen yet, or 0.
    signal: Arc<AtomicUsize>,
    is_over: &'w AtomicBool,
}

impl Watcher<'_> {
    fn run(&self, mut reader: UnixStream) {
        let start = Instant::now();
        let mut deadline = self.options.deadline.and_then(|after| start.checked_add(after));
        let mut stall = Stall::new(self.options.notice_after, start);
        let mut bar = self.reporter.has_progress().then(Bar::hidden);
        loop {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                bar.as_mut().map(Bar::clear);
                self.end_late();
                deadline = None;
            }
            if let Some(still) = stall.look(now, self.journal.board().moves()) {
                bar.as_mut().map(Bar::clear);
                self.notice(still);
            }
            if let Some(bar) = &mut bar {
                bar.draw(self.journal.board());
            }
            let next = deadline.map_or(stall.due(), |deadline| deadline.min(stall.due()));
            let wait = next.saturating_duration_since(now);
            if !read_within(&mut reader, if bar.is_some() { wait.min(TICK) } else { wait }) {
                continue;
            }
            bar.as_mut().map(Bar::clear);
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            let signal = self.signal.swap(0, Ordering::AcqRel);
            if signal != 0 {
                self.end_by_signal(i32::try_from(signal).unwrap_or(SIGTERM));
            }
        }
    }

    fn notice(&self, still: Duration) {
        let awaited = self.journal.board().describe(Instant::now());
        self.journal.tell(|| Event::Waiting { duration: still.as_secs_f64(), awaited: &awaited });
        let seconds = still.as_secs_f64();
        self.reporter.notice(&format!(
            "nothing has moved for {seconds:.0} s; waiting for {}",
            awaited.join("; ")
        ));
    }

    /// Ends the process with exit code 1, unless its result is being told already. Scripts are told
    /// to end, and not waited for.
    fn end_late(&self) {
        if !self.journal.conclude() {
            return;
        }
        let seconds = self.options.deadline.unwrap_or_default().as_secs_f64();
        let awaited = self.journal.board().describe(Instant::now()).join("; ");
        let message = format!("not done within {seconds} seconds; waiting for {awaited}");
        self.journal.interrupt(SIGTERM);
        let error = Error::new(Code::TimedOut, message).with_hint(UNFINISHED);
        self.reporter.conclude_error(&error, self.journal);
        process::exit(1);
    }

    /// Ends the process by the signal that it got, unless scripts have to end before.
    fn end_by_signal(&self, signal: i32) {
        if self.journal.interrupt(signal) {
            return;
        }
        let name = low_level::signal_name(signal).unwrap_or("a signal");
        if self.journal.conclude() {
            let phase = self.journal.board().phase();
            let message = format!("ended by {name} in the phase `{phase}`");
            let error = Error::new(Code::Interrupted, message).with_hint(UNFINISHED);
            self.reporter.conclude_error(&error, self.journal);
        }
        end_by(signal);
    }
}

/// Ends this process by a signal, so that who waits for it sees which it was.
pub fn end_by(signal: i32) -> ! {
    // It returns only where the signal is none that ends a process.
    let _ = low_level::emulate_default_handler(signal);
    process::exit(1)
}

const UNFINISHED: &str = "node_modules is not whole; the next run starts from the beginning";

/// Whether a byte came within the time.
fn read_within(reader: &mut UnixStream, wait: Duration) -> bool {
    // A timeout of zero would be none.
    let wait = wait.max(Duration::from_millis(1));
    if reader.set_read_timeout(Some(wait)).is_err() {
        thread::sleep(wait);
        return false;
    }
    // An error is the timeout, or a call that a signal has interrupted and that is made again.
    reader.read(&mut [0]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Reporter;

    const OPTIONS: WatchOptions =
        WatchOptions { notice_after: Duration::from_secs(3600), deadline: None };

    #[test]
    fn the_result_of_the_work_comes_back() {
        let watched = watched(&Journal::default(), Reporter::plain(), OPTIONS, || 7);
        assert_eq!(watched.unwrap(), 7);
    }

    #[test]
    fn a_panic_is_not_waited_for_in_vain() {
        let work = || {
            let _ = watched(&Journal::default(), Reporter::plain(), OPTIONS, || panic!("a bug"));
        };
        assert!(std::panic::catch_unwind(work).is_err());
    }
}
