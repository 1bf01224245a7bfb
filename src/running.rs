//! The scripts and other programs that run now, and how they are ended.
//!
//! A terminal sends Ctrl-C to everything in its foreground. Elsewhere (a CI service, `docker stop`,
//! `kill`) only this process is told. There each program leads a process group of its own, so that
//! a signal can be passed on to all that it has started; at a terminal that would keep programs
//! from reading it.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group};

use crate::error::{Code, Error, Result};
use crate::journal::Journal;

/// How long programs have to end after a signal before they are killed. CI services give a job ten
/// seconds or less.
const GRACE: Duration = Duration::from_secs(5);

/// All programs that are started for one purpose.
#[derive(Clone, Debug)]
pub struct Running {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Leaders that have been started and not been waited for.
    children: Mutex<HashSet<Pid>>,
    /// The signal that asked for the end; 0 where none did.
    signal: AtomicI32,
    has_terminal: bool,
}

/// A program that has been started.
#[derive(Debug)]
pub struct Started {
    pub child: Child,
    shared: Arc<Shared>,
}

impl Running {
    /// From now on a signal that would end this process ends these programs first, if any run.
    pub fn watch(journal: &Journal) -> Self {
        let has_terminal = File::open("/dev/tty").is_ok();
        let shared = Arc::new(Shared { has_terminal, ..Shared::default() });
        let watched = shared.clone();
        journal.on_signal(move |signal| watched.interrupt(signal));
        Self { shared }
    }

    /// Starts a program; not one more after a signal.
    pub fn start(&self, command: &mut Command) -> io::Result<Started> {
        if !self.shared.has_terminal {
            command.process_group(0);
        }
        let mut children = self.shared.children();
        if self.signal().is_some() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = command.spawn()?;
        children.extend(pid(&child));
        Ok(Started { child, shared: self.shared.clone() })
    }

    /// The signal that asked for the end.
    pub fn signal(&self) -> Option<i32> {
        Some(self.shared.signal.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }

    /// After a signal, what programs have to say for themselves is of no interest. `doing` says
    /// what they were started for.
    pub fn check_signal(&self, doing: &str) -> Result<()> {
        let Some(signal) = self.signal() else { return Ok(()) };
        let message = format!("interrupted by signal {signal} while {doing}");
        Err(Error::new(Code::Interrupted, message).with_exit_code(status_of(signal)))
    }

    /// Ends all programs, as after a failure of one that the rest cannot do without; does not wait.
    pub fn end_all(&self) {
        self.shared.send(Signal::TERM);
        self.shared.kill_later();
    }
}

/// What a shell says of a process that a signal has ended.
pub fn status_of(signal: i32) -> u8 {
    u8::try_from(signal).map_or(1, |signal| 128 + signal % 128)
}

impl Started {
    /// What ends it while it is waited for.
    pub fn stop(&self) -> Stop {
        Stop { pid: pid(&self.child), shared: self.shared.clone() }
    }

    /// Waits for its end. The process id is given back to the system only when no signal can be
    /// sent to it any more.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        let Some(pid) = pid(&self.child) else { return self.child.wait() };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(errno) = rustix::process::waitid(WaitId::Pid(pid), options) {
            if errno != rustix::io::Errno::INTR {
                break;
            }
        }
        let mut children = self.shared.children();
        children.remove(&pid);
        self.child.wait()
    }
}

/// Ends one program while another thread waits for it.
#[derive(Debug)]
pub struct Stop {
    pid: Option<Pid>,
    shared: Arc<Shared>,
}

impl Stop {
    /// Kills it with all that it has started, unless it has ended.
    pub fn kill(&self) {
        let children = self.shared.children();
        if let Some(pid) = self.pid.filter(|pid| children.contains(pid)) {
            self.shared.send_to(pid, Signal::KILL);
        }
    }
}

impl Shared {
    /// Whether programs are being ended, so that the run is going to end by an error.
    fn interrupt(self: &Arc<Self>, signal: i32) -> bool {
        let is_first = self.signal.swap(signal, Ordering::AcqRel) == 0;
        if self.children().is_empty() {
            return false;
        }
        if !is_first {
            self.send(Signal::KILL);
            return true;
        }
        // The terminal has sent Ctrl-C to them already.
        let is_told = self.has_terminal && signal == Signal::INT.as_raw();
        if !is_told {
            self.send(Signal::from_named_raw(signal).unwrap_or(Signal::TERM));
        }
        self.kill_later();
        true
    }

    fn kill_later(self: &Arc<Self>) {
        let shared = self.clone();
        let kill = move || {
            std::thread::sleep(GRACE);
            shared.send(Signal::KILL);
        };
        // Without it, they have all the time they want.
        let _ = std::thread::Builder::new().name("grace".to_owned()).spawn(kill);
    }

    /// One that has ended in the meantime is still a process, because nobody has waited for it.
    fn send(&self, signal: Signal) {
        for pid in self.children().iter().copied() {
            self.send_to(pid, signal);
        }
    }

    fn send_to(&self, pid: Pid, signal: Signal) {
        let _ = if self.has_terminal {
            kill_process(pid, signal)
        } else {
            kill_process_group(pid, signal)
        };
    }

    fn children(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
