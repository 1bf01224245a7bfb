//! The scripts that run now, and how they are ended.
//!
//! A terminal sends Ctrl-C to everything in its foreground. Elsewhere (a CI service, `docker stop`,
//! `kill`) only this process is told. There each script leads a process group of its own, so that
//! a signal can be passed on to all that it has started; at a terminal that would keep scripts
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

use crate::journal::{Awaited, Journal, Wait};

/// How long scripts have to end after a signal before they are killed. CI services give a job ten
/// seconds or less.
const GRACE: Duration = Duration::from_secs(5);

/// All scripts of an installation.
#[derive(Clone, Debug)]
pub struct Running {
    journal: Journal,
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

/// A script that has been started.
#[derive(Debug)]
pub struct Started<'r> {
    child: Child,
    running: &'r Running,
    _wait: Wait<'r>,
}

impl Running {
    /// From now on a signal that would end this process ends scripts first, if any run.
    pub fn watch(journal: &Journal) -> Self {
        let has_terminal = File::open("/dev/tty").is_ok();
        let shared = Arc::new(Shared { has_terminal, ..Shared::default() });
        let watched = shared.clone();
        journal.on_signal(move |signal| watched.interrupt(signal));
        Self { journal: journal.clone(), shared }
    }

    /// Starts a script; not one more after a signal.
    pub fn start(
        &self,
        command: &mut Command,
        package: &str,
        event: &str,
    ) -> io::Result<Started<'_>> {
        if !self.shared.has_terminal {
            command.process_group(0);
        }
        let mut children = self.shared.children();
        if self.signal().is_some() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = command.spawn()?;
        children.extend(pid(&child));
        let (package, script) = (package.to_owned(), event.to_owned());
        let wait = self.journal.board().begin(Awaited::Script { package, script });
        Ok(Started { child, running: self, _wait: wait })
    }

    /// The signal that asked for the end.
    pub fn signal(&self) -> Option<i32> {
        Some(self.shared.signal.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }

    /// A script has said something.
    pub fn step(&self) {
        self.journal.board().step();
    }

    /// Ends all scripts, as after a failure of one that the tree cannot do without; does not wait.
    pub fn end_all(&self) {
        self.shared.send(Signal::TERM);
        self.shared.kill_later();
    }
}

impl Started<'_> {
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
        let mut children = self.running.shared.children();
        children.remove(&pid);
        self.child.wait()
    }
}

impl Shared {
    /// Whether scripts are being ended, so that the run is going to end by an error.
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
            let _ = if self.has_terminal {
                kill_process(pid, signal)
            } else {
                kill_process_group(pid, signal)
            };
        }
    }

    fn children(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
