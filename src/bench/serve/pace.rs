//! A line of limited bandwidth that all connections share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Sends in pieces of this size take turns on the line.
pub const PIECE_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    /// When the line is free again.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// `bytes_per_second` is not zero.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: Mutex::default() }
    }

    /// Waits until so many bytes can have passed after all that was asked for before.
    pub async fn pass(&self, bytes: usize) {
        sleep_until(self.reserve(bytes, Instant::now())).await;
    }

    fn reserve(&self, bytes: usize, now: Instant) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "a nanosecond does not matter")]
        let duration = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let end = free_at.map_or(now, |free| free.max(now)) + duration;
        *free_at = Some(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_one_another_on_the_line() {
        let pace = Pace::new(1000);
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(pace.reserve(500, start), at(500));
        assert_eq!(pace.reserve(500, at(100)), at(1000));
        // An idle line saves nothing up.
        assert_eq!(pace.reserve(500, at(9000)), at(9500));
    }
}
