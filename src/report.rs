//! What a person sees: errors, warnings, the closing line, the summary as JSON, and the progress.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

use crate::error::Error;
use crate::install::Summary;
use crate::plan::count;

mod figures;

/// How much is said, and in which colours.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    pub is_quiet: bool,
    pub is_verbose: bool,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Sets for the whole process when colours are used; `Auto` is by terminal, NO_COLOR and the like.
pub fn set_colors(choice: ColorChoice) {
    let choice = match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

impl Reporter {
    /// The error with its code, its causes and its hint.
    pub fn error(self, error: &Error) {
        let mut text = format!("{ERROR}error:{ERROR:#} {}: ", error.code().as_str());
        text.push_str(&printable(&error.to_string()));
        let mut cause = error.source();
        while let Some(source) = cause {
            let _ = write!(text, "\n  caused by: {}", printable(&source.to_string()));
            cause = source.source();
        }
        if let Some(hint) = error.hint() {
            let _ = write!(text, "\n{HINT}hint:{HINT:#} {}", printable(hint));
        }
        say(&text);
    }

    pub fn warn(self, warning: &str) {
        if !self.is_quiet {
            say(&format!("{WARNING}warning:{WARNING:#} {}", printable(warning)));
        }
    }

    /// Of interest only to who asked for more.
    pub fn detail(self, detail: &str) {
        if self.is_verbose {
            say(&printable(detail));
        }
    }

    /// The result of a command that was asked for it.
    pub fn line(self, text: &str) {
        let _ = writeln!(anstream::stdout(), "{text}");
    }

    /// A result that may hold text from outside.
    pub fn report(self, text: &str) {
        self.line(printable(text).trim_end());
    }

    /// Whether a progress bar is shown.
    pub fn has_progress(self) -> bool {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_ci = std::env::var_os("CI").is_some();
        !self.is_quiet && !is_dumb && !is_ci && io::stderr().is_terminal()
    }

    pub fn summary(self, summary: &Summary, is_json: bool, has_stats: bool) {
        let mut text = String::new();
        if is_json {
            text = figures::json(summary);
        } else {
            if has_stats {
                text = figures::table(summary);
            }
            if !self.is_quiet {
                text.push_str(&closing_line(summary));
            }
        }
        if !text.is_empty() {
            // A reader that has gone away is no reason to fail.
            let _ = writeln!(anstream::stdout(), "{}", text.trim_end());
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Text from a registry or a lockfile must not move the cursor or change colours.
fn printable(text: &str) -> String {
    let is_harmful = |character: char| {
        (character.is_control() && character != '\n')
            || matches!(character, '\u{200e}' | '\u{200f}')
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|character| if is_harmful(character) { '\u{fffd}' } else { character })
        .collect()
}

fn closing_line(summary: &Summary) -> String {
    let Summary { added, downloaded, reused, placed, .. } = summary;
    format!(
        "added {} in {} ({downloaded} downloaded, {reused} reused; {} placed)",
        count(*added, "package"),
        seconds(summary.wall),
        count(usize::try_from(placed.files).unwrap_or(usize::MAX), "file"),
    )
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}\nc"), "a\u{fffd}[31mb\u{fffd}\nc");
    }
}
