//! How long is waited, and from when on something is said of it.

use std::time::Duration;

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Waiting")]
pub struct DeadlineArguments {
    /// Give up what is not done after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, env = "RINGSTALL_DEADLINE")]
    pub deadline: Option<Duration>,
    /// Say what is awaited when nothing has moved for so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    #[arg(env = "RINGSTALL_NOTICE_AFTER")]
    pub notice_after: Duration,
}

/// Some 30 years, which every clock can count.
const SECONDS_MAX: f64 = 1e9;

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if seconds.is_nan() || seconds <= 0.0 {
        return Err("the time must be longer than none".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds.min(SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_longer_than_none() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("inf"), Ok(Duration::from_secs(1_000_000_000)));
        for text in ["0", "-1", "NaN", "", "10s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
