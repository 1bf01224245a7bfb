//! What is told on stdout and stderr: errors, warnings, the closing line, and results as text or
//! JSON.
//!
//! stdout has the result and nothing else, stderr has everything that is said on the way.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::error::{Error, Result};
use crate::install::Summary;
use crate::journal::{Event, Journal};
use crate::plan::count;

mod failure;
mod figures;
mod remedy;

pub use failure::json_text as failure_json;
pub use figures::value as summary_value;

/// How much is said, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    pub level: Level,
    pub stdout: Stdout,
    /// Whether a progress bar may be shown, if there is a terminal for it.
    pub wants_progress: bool,
}

/// Errors are always said: a run that fails without a word is a riddle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing but errors.
    Silent,
    /// And the closing line.
    Error,
    /// And warnings.
    Normal,
    /// And what is done on the way.
    Verbose,
}

/// What stdout is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    Text,
    /// One JSON object, after a failure too.
    Json,
    /// The stream of events.
    Events,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

impl Reporter {
    /// As it is before anything is known of what was typed.
    pub fn plain() -> Self {
        Self { level: Level::Normal, stdout: Stdout::Text, wants_progress: false }
    }

    /// For when stdout has its one object.
    #[must_use]
    pub fn without_json(self) -> Self {
        Self { stdout: Stdout::Text, ..self }
    }

    /// The error with its code, its causes and its hint; and as JSON where that is the result.
    pub fn error(self, error: &Error) {
        let mut text = format!("{ERROR}error:{ERROR:#} {}: ", error.code().as_str());
        text.push_str(&printable(&error.to_string()));
        let mut cause = error.source();
        while let Some(source) = cause {
            let _ = write!(text, "\n  caused by: {}", printable(&source.to_string()));
            cause = source.source();
        }
        if let Some(hint) = remedy::remedy(error) {
            let _ = write!(text, "\n{HINT}hint:{HINT:#} {}", printable(hint));
        }
        say(&text);
        if self.stdout == Stdout::Json {
            // It has failed already, and has said so on stderr.
            let _ = print(&failure_json(error));
        }
    }

    /// The last word of a run that failed, for everyone who listens.
    pub fn conclude_error(self, error: &Error, journal: &Journal) {
        self.error(error);
        journal.tell(|| Event::Error { error: failure::value(error) });
        if let Err(error) = journal.close() {
            self.without_json().error(&error);
        }
    }

    pub fn warn(self, warning: &str) {
        if self.level >= Level::Normal {
            say(&format!("{WARNING}warning:{WARNING:#} {}", printable(warning)));
        }
    }

    /// That something takes its time.
    pub fn notice(self, notice: &str) {
        if self.level >= Level::Normal {
            say(&printable(notice));
        }
    }

    /// What is about to be run, with its output to follow.
    pub fn announce(self, text: &str) {
        if self.level >= Level::Error {
            say(&printable(text));
        }
    }

    /// Whether what is printed has colours.
    pub fn has_color(self) -> bool {
        anstream::stdout().current_choice() != anstream::ColorChoice::Never
    }

    /// Of interest only to who asked for more.
    pub fn detail(self, detail: &str) {
        if self.level >= Level::Verbose {
            say(&printable(detail));
        }
    }

    /// The result of a command that was asked for it. What cannot be written is an error: half a
    /// result must not look like a whole one.
    pub fn line(self, text: &str) -> Result<()> {
        print(text).map_err(failed_to_print)
    }

    /// A result that may hold text from outside.
    pub fn report(self, text: &str) -> Result<()> {
        self.line(printable(text).trim_end())
    }

    /// Whether a progress bar is shown.
    pub fn has_progress(self) -> bool {
        self.wants_progress && self.level >= Level::Error && io::stderr().is_terminal()
    }

    /// What a run has to show: an object, or tables and its closing line. The latter is no result,
    /// so that a reader who has gone away is no reason to fail.
    pub fn summary(self, summary: &Summary, closing_line: &str, has_stats: bool) -> Result<()> {
        match self.stdout {
            Stdout::Events => return Ok(()),
            Stdout::Json => return self.line(&format!("{:#}", figures::value(summary))),
            Stdout::Text => {}
        }
        if has_stats {
            self.line(figures::table(summary).trim_end_matches('\n'))?;
            self.line("")?;
        }
        if self.level >= Level::Error {
            let _ = print(closing_line);
        }
        Ok(())
    }
}

fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// One write for all, so that a reader finds it whole or not at all.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(format!("{text}\n").as_bytes())?;
    stdout.flush()
}

fn failed_to_print(cause: io::Error) -> Error {
    Error::io("write the result to", "stdout", cause)
}

/// Text from a registry or a lockfile must not move the cursor or change colours.
fn printable(text: &str) -> String {
    let is_harmful = |character: char| {
        (character.is_control() && !matches!(character, '\n' | '\t'))
            || matches!(character, '\u{200e}' | '\u{200f}')
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|character| if is_harmful(character) { '\u{fffd}' } else { character })
        .collect()
}

/// The closing line of an installation.
pub fn installed_line(summary: &Summary) -> String {
    let packages = count(summary.packages.len(), "package");
    let files = count(usize::try_from(summary.placed.files).unwrap_or(usize::MAX), "file");
    let kept = if summary.kept > 0 { format!(", kept {}", summary.kept) } else { String::new() };
    let ran = summary.scripts.closing().map_or_else(String::new, |ran| format!(", {ran}"));
    let (time, origins) = (seconds(summary.wall), origins(summary));
    format!("added {packages}{kept} in {time} ({origins}; {files} placed){ran}")
}

/// The closing line of a filling of the cache.
pub fn fetched_line(summary: &Summary) -> String {
    let Summary { downloaded, from_npm_cache, reused, .. } = summary;
    let packages = count(downloaded + from_npm_cache + reused, "package");
    format!("fetched {packages} in {} ({})", seconds(summary.wall), origins(summary))
}

/// Where the packages came from.
fn origins(summary: &Summary) -> String {
    let Summary { downloaded, from_npm_cache, reused, .. } = summary;
    match from_npm_cache {
        0 => format!("{downloaded} downloaded, {reused} reused"),
        _ => format!("{downloaded} downloaded, {from_npm_cache} from npm's cache, {reused} reused"),
    }
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
