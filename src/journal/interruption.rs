//! Who is told first when a signal asks for the end of the run.

use std::fmt;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Says whether it has begun to end what it is doing, and will return from it.
type Interrupt = Box<dyn Fn(i32) -> bool + Send + Sync>;

/// The one who runs lifecycle scripts, which are to end before the run does.
#[derive(Default)]
pub(super) struct Interruption {
    interrupt: Mutex<Option<Interrupt>>,
    /// The last signal that was taken; 0 where none was.
    taken: AtomicI32,
}

impl Interruption {
    pub fn set(&self, interrupt: Interrupt) {
        *self.interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Some(interrupt);
    }

    /// Passes a signal on; true where it was taken.
    pub fn pass(&self, signal: i32) -> bool {
        let interrupt = self.interrupt.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = interrupt.as_ref().is_some_and(|interrupt| interrupt(signal));
        if is_taken {
            self.taken.store(signal, Ordering::Release);
        }
        is_taken
    }

    pub fn taken(&self) -> Option<i32> {
        Some(self.taken.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }
}

impl fmt::Debug for Interruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interruption").field("taken", &self.taken).finish_non_exhaustive()
    }
}
