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

    /// Whether a progress bar is shown.
    pub fn has_progress(self) -> bool {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_ci = std::env::var_os("CI").is_some();
        !self.is_quiet && !is_dumb && !is_ci && io::stderr().is_terminal()
    }

    pub fn summary(self, summary: &Summary, is_json: bool, has_stats: bool) {
        let mut text = String::new();
        if is_json {
            text = json(summary);
        } else {
            if has_stats {
                text = stats(summary);
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

fn stats(summary: &Summary) -> String {
    let usage = summary.usage;
    let mut text = String::new();
    for (phase, duration) in &summary.phases {
        let _ = writeln!(text, "{phase:<12}{:>10.1} ms", duration.as_secs_f64() * 1e3);
    }
    let _ = writeln!(
        text,
        "wall        {:>10.3} s\nuser        {:>10.3} s\nsystem      {:>10.3} s\n\
         peak RSS    {:>10.1} MiB\nswitches    {:>10} voluntary, {} involuntary\n\
         network     {:>10} requests, {} bytes received\n\
         placed      {:>10} directories, {} files of {} bytes, {} links, {} commands",
        summary.wall.as_secs_f64(),
        usage.user.as_secs_f64(),
        usage.system.as_secs_f64(),
        mebibytes(usage.resident_bytes_max),
        usage.voluntary_switches,
        usage.involuntary_switches,
        summary.requests,
        summary.bytes_received,
        summary.placed.directories + summary.placed.packages,
        summary.placed.files,
        summary.placed.bytes,
        summary.links,
        summary.bins,
    );
    text
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with one decimal")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn json(summary: &Summary) -> String {
    let usage = summary.usage;
    let phases: serde_json::Map<_, _> = summary
        .phases
        .iter()
        .map(|(phase, duration)| ((*phase).to_owned(), duration.as_secs_f64().into()))
        .collect();
    let value = serde_json::json!({
        "schemaVersion": 1,
        "added": summary.added,
        "downloaded": summary.downloaded,
        "reused": summary.reused,
        "requests": summary.requests,
        "bytesReceived": summary.bytes_received,
        "directories": summary.placed.directories + summary.placed.packages,
        "files": summary.placed.files,
        "bytes": summary.placed.bytes,
        "links": summary.links,
        "bins": summary.bins,
        "withScripts": summary.with_scripts,
        "warnings": summary.warnings,
        "seconds": summary.wall.as_secs_f64(),
        "phases": phases,
        "userSeconds": usage.user.as_secs_f64(),
        "systemSeconds": usage.system.as_secs_f64(),
        "peakResidentBytes": usage.resident_bytes_max,
        "minorFaults": usage.minor_faults,
        "voluntarySwitches": usage.voluntary_switches,
        "involuntarySwitches": usage.involuntary_switches,
    });
    format!("{value:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}\nc"), "a\u{fffd}[31mb\u{fffd}\nc");
    }
}
