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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;

use crate::backend::machine::is_signal_ignored;
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
    let (reader, mut writer) = UnixStream::pair().map_err(failed)?;
    let signal = listen(&writer).map_err(failed)?;
    let watcher = Watcher { journal, reporter, options, signal };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn_scoped(scope, move || watcher.run(reader))
            .map_err(failed)?;
        let result = work();
        // The thread has the other end until it has seen this.
        let _ = writer.write_all(&[0]);
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
        Ok(result)
    })
}

/// Makes each signal set the number and write a byte. One that the process was started to ignore,
/// as by nohup(1), stays ignored.
fn listen(writer: &UnixStream) -> io::Result<Arc<AtomicUsize>> {
    let caught = Arc::new(AtomicUsize::new(0));
    for signal in SIGNALS.into_iter().filter(|signal| !is_signal_ignored(*signal)) {
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
    /// The signal that was caught last, or 0.
    signal: Arc<AtomicUsize>,
}

impl Watcher<'_> {
    fn run(&self, mut reader: UnixStream) {
        let start = Instant::now();
        let deadline = self.options.deadline.and_then(|after| start.checked_add(after));
        let mut stall = Stall::new(self.options.notice_after, start);
        let mut bar = self.reporter.has_progress().then(Bar::hidden);
        loop {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                bar.as_mut().map(Bar::clear);
                self.end_late();
                return;
            }
            if let Some(still) = stall.look(now, self.journal.board().moves()) {
                bar.as_mut().map(Bar::clear);
                self.notice(still);
            }
            if let Some(bar) = &mut bar {
                bar.draw(self.journal.board());
            }
            let next = [Some(stall.due()), deadline].into_iter().flatten().min();
            let wait = next.map_or(TICK, |next| next.saturating_duration_since(now));
            let wait = if bar.is_some() { wait.min(TICK) } else { wait };
            let is_woken = read_within(&mut reader, wait);
            if is_woken {
                bar.as_mut().map(Bar::clear);
                match self.signal.load(Ordering::Acquire) {
                    0 => return,
                    signal => self.end_by_signal(signal),
                }
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

    /// Ends the process with exit code 1, unless its result is being told already.
    fn end_late(&self) {
        if !self.journal.conclude() {
            return;
        }
        let seconds = self.options.deadline.unwrap_or_default().as_secs_f64();
        let awaited = self.journal.board().describe(Instant::now()).join("; ");
        let error = Error::new(
            Code::TimedOut,
            format!("not done within {seconds} seconds; waiting for {awaited}"),
        );
        self.tell_end(&error.with_hint(UNFINISHED), Signal::TERM);
        process::exit(1);
    }

    /// Ends the process by the signal that it got, so that who waits for it sees which it was.
    fn end_by_signal(&self, number: usize) {
        let signal = i32::try_from(number).unwrap_or(SIGTERM);
        let name = low_level::signal_name(signal).unwrap_or("a signal");
        if self.journal.conclude() {
            let phase = self.journal.board().phase();
            let message = format!("ended by {name} in the phase `{phase}`");
            let passed_on = match signal {
                SIGINT => Signal::INT,
                SIGHUP => Signal::HUP,
                _ => Signal::TERM,
            };
            let error = Error::new(Code::Signal, message).with_hint(UNFINISHED);
            self.tell_end(&error, passed_on);
        }
        // It returns where the signal is none that ends a process.
        let _ = low_level::emulate_default_handler(signal);
        process::exit(1);
    }

    fn tell_end(&self, error: &Error, signal: Signal) {
        for script in self.journal.board().processes() {
            // It may have ended just now.
            let _ = kill_process(script, signal);
        }
        self.reporter.conclude_error(error, self.journal);
    }
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
