//! When to say that nothing moves: after the interval, then after twice that time, and so on.

use std::time::{Duration, Instant};

/// However long it hangs, a log shows that it still does.
const INTERVAL_MAX: Duration = Duration::from_secs(300);

/// Looks at a number that changes with all that moves, once in each first interval.
#[derive(Debug)]
pub struct Stall {
    look_every: Duration,
    due: Instant,
    moves: u64,
    since: Instant,
    interval: Duration,
    notice_at: Instant,
}

impl Stall {
    pub fn new(interval: Duration, now: Instant) -> Self {
        let due = later(now, interval);
        Self { look_every: interval, due, moves: 0, since: now, interval, notice_at: due }
    }

    /// When it has to be looked at next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// For how long nothing has moved, if that is to be said now. The time is counted from the
    /// look that saw the last move, so that up to one interval more may have passed.
    pub fn look(&mut self, now: Instant, moves: u64) -> Option<Duration> {
        if now < self.due {
            return None;
        }
        self.due = later(now, self.look_every);
        if moves != self.moves {
            (self.moves, self.since, self.interval) = (moves, now, self.look_every);
            self.notice_at = self.due;
            return None;
        }
        if now < self.notice_at {
            return None;
        }
        self.interval = (self.interval.saturating_mul(2)).min(INTERVAL_MAX.max(self.look_every));
        self.notice_at = later(now, self.interval);
        Some(now.saturating_duration_since(self.since))
    }
}

/// A century is as good as never where the clock goes no further.
fn later(now: Instant, interval: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now.checked_add(interval.min(CENTURY)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds of the notices, for the moves that each second brings.
    fn notices(moves: impl Fn(u64) -> u64, until: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut stall = Stall::new(Duration::from_secs(10), start);
        let look = |second: u64| stall.look(start + Duration::from_secs(second), moves(second));
        (1..=until).filter_map(look).map(|still| still.as_secs()).collect()
    }

    #[test]
    fn what_moves_is_not_spoken_of() {
        assert_eq!(notices(|second| second, 1000), [0; 0]);
        assert_eq!(notices(|second| second / 9, 1000), [0; 0]);
    }

    #[test]
    fn the_intervals_grow_to_five_minutes() {
        let expected = [10, 30, 70, 150, 310, 610, 910];
        assert_eq!(notices(|_| 0, 1000), expected);
    }

    #[test]
    fn a_move_begins_anew() {
        // It is seen at 230, and nothing moves from there on.
        let moves = |second| u64::from(second > 225);
        assert_eq!(notices(moves, 270), [10, 30, 70, 150, 10, 30]);
    }
}
