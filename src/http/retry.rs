//! Which failures are worth another try, and how long to wait before it.

use std::time::{Duration, SystemTime};

use crate::config::NetworkSettings;
use crate::error::Error;

/// Why a try failed.
#[derive(Debug)]
pub enum Failure {
    /// Another try would fail alike.
    Lasting(Error),
    /// Another try may succeed, after the wait that the server asks for.
    Passing { error: Error, retry_after: Option<Duration> },
}

impl Failure {
    pub fn passing(error: Error) -> Self {
        Self::Passing { error, retry_after: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

/// The status codes that npm asks again for (npm 11.19, `make-fetch-happen/lib/remote.js`).
pub fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 420 | 429 | 500..)
}

/// The wait before try number `tries_made + 1`. A server's wish is followed as far as the longest
/// wait of our own.
pub fn wait(
    settings: &NetworkSettings,
    tries_made: u32,
    retry_after: Option<Duration>,
) -> Duration {
    let longest = settings.fetch_retry_maxtimeout;
    if let Some(wish) = retry_after {
        return wish.min(longest);
    }
    let exponent = i32::try_from(tries_made.saturating_sub(1)).unwrap_or(i32::MAX);
    let shortest = settings.fetch_retry_mintimeout.max(Duration::from_millis(1));
    let seconds = shortest.as_secs_f64() * settings.fetch_retry_factor.powi(exponent);
    // Too large for a duration, or for the longest wait, is the same.
    Duration::try_from_secs_f64(seconds).unwrap_or(longest).min(longest)
}

/// Seconds, or a date, which is now if it has passed. `now` is the time of the answer.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_the_factor_up_to_the_longest() {
        let settings = NetworkSettings::default();
        let waits = [1, 2, 3, u32::MAX].map(|tries| wait(&settings, tries, None).as_secs());
        assert_eq!(waits, [10, 60, 60, 60]);
    }

    #[test]
    fn a_servers_wish_is_bounded() {
        let settings = NetworkSettings::default();
        let waits = ["0", " 7 ", "86400"]
            .map(|value| wait(&settings, 1, parse_retry_after(value, SystemTime::now())).as_secs());
        assert_eq!(waits, [0, 7, 60]);
    }

    #[test]
    fn a_servers_wish_can_be_a_date() {
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        let now = httpdate::parse_http_date("Fri, 31 Dec 1999 23:59:30 GMT").unwrap();
        assert_eq!(parse_retry_after(date, now), Some(Duration::from_secs(29)));
        assert_eq!(parse_retry_after(date, SystemTime::now()), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("tomorrow", now), None);
    }

    #[test]
    fn only_some_refusals_pass() {
        let passing = [200, 304, 400, 401, 403, 404, 408, 420, 429, 500, 503, 599];
        let passing: Vec<u16> =
            passing.into_iter().filter(|status| is_passing_status(*status)).collect();
        assert_eq!(passing, [408, 420, 429, 500, 503, 599]);
    }
}
