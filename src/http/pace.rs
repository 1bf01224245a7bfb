//! How slowly a body may come: a server that sends a byte now and then is never silent, and would
//! hold a connection for ever.

use std::time::{Duration, Instant};

use super::retry::Failure;
use crate::error::{Code, Error};

/// Bytes a second, beyond the time that silence is allowed. Slower than any line that packages are
/// installed over; a body of a mebibyte has 17 minutes.
const RATE_MIN: u64 = 1 << 10;

/// The time that one body takes.
pub struct Pace {
    start: Instant,
    silence_max: Duration,
}

impl Pace {
    /// `silence_max` of zero is no limit at all, as it is for npm.
    pub fn start(silence_max: Duration) -> Self {
        Self { start: Instant::now(), silence_max }
    }

    /// How long the next bytes may take after the first `received`; zero is no limit.
    pub fn limit(&self, received: u64) -> Duration {
        left(self.silence_max, received, self.start.elapsed())
    }

    pub fn failure(&self, address: &str, received: u64) -> Failure {
        let seconds = self.start.elapsed().as_secs_f64();
        let message = format!("`{address}` sent {received} bytes of a body in {seconds:.1} s");
        Failure::passing(Error::new(Code::Network, message))
    }
}

fn left(silence_max: Duration, received: u64, elapsed: Duration) -> Duration {
    if silence_max.is_zero() {
        return Duration::ZERO;
    }
    let allowed = silence_max + Duration::from_secs(received / RATE_MIN);
    // What is late is given up at once, and not without a limit.
    allowed.saturating_sub(elapsed).clamp(Duration::from_millis(1), silence_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn each_kibibyte_buys_a_second() {
        let second = Duration::from_secs(1);
        assert_eq!(left(MINUTE, 0, second), 59 * second);
        assert_eq!(left(MINUTE, 20 << 10, second * 70), 10 * second);
        assert_eq!(left(MINUTE, 1, second * 70), Duration::from_millis(1));
    }

    #[test]
    fn silence_is_limited_however_much_came() {
        assert_eq!(left(MINUTE, 1 << 30, MINUTE), MINUTE);
    }

    #[test]
    fn no_limit_is_none_at_all() {
        assert_eq!(left(Duration::ZERO, 0, MINUTE), Duration::ZERO);
    }
}
