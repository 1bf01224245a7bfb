//! Who is told first when a signal asks for the end of the run.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Says whether it has begun to end what it is doing, and will return from it.
type Interrupt = Box<dyn Fn(i32) -> bool + Send + Sync>;

/// The one who runs other programs, which are to end before the run does.
#[derive(Default)]
pub(super) struct Interruption {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    interrupt: Option<Interrupt>,
    /// The last signal that was taken.
    taken: Option<i32>,
}

impl Interruption {
    pub fn set(&self, interrupt: Interrupt) {
        self.state().interrupt = Some(interrupt);
    }

    /// Passes a signal on; true where it was taken.
    pub fn pass(&self, signal: i32) -> bool {
        let mut state = self.state();
        let is_taken = state.interrupt.as_ref().is_some_and(|interrupt| interrupt(signal));
        if is_taken {
            state.taken = Some(signal);
        }
        is_taken
    }

    /// The last signal that was taken. One that is being passed on is waited for: what it has ended
    /// may be why somebody asks.
    pub fn taken(&self) -> Option<i32> {
        self.state().taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Interruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interruption").finish_non_exhaustive()
    }
}
