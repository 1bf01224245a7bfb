//! A run that can be followed and watched: with a stream of events, a trace, notices of what is
//! awaited, a deadline, and one last word.

use std::process::ExitCode;
use std::thread;

use crate::cli::{DeadlineArguments, SummaryArguments};
use crate::error::Result;
use crate::install::Summary;
use crate::journal::{Event, EventStream, Journal, Trace};
use crate::report::{Reporter, summary_value};
use crate::watch::{WatchOptions, end_by, watched};

/// What was typed of how it is told and for how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Session<'s> {
    pub command: &'static str,
    pub project: &'s std::path::Path,
    pub summary: &'s SummaryArguments,
    pub deadlines: &'s DeadlineArguments,
    /// The last line of a success.
    pub closing_line: fn(&Summary) -> String,
}

impl Session<'_> {
    /// `prepare` resolves the settings, which may change how much is said; `work` does the rest,
    /// and is watched. `reporter` tells what fails before.
    pub fn run<R>(
        &self,
        reporter: Reporter,
        prepare: impl FnOnce(Journal) -> Result<(R, Reporter)>,
        work: impl FnOnce(&R, Reporter) -> Result<Summary>,
    ) -> ExitCode {
        let journal = match self.open_journal() {
            Ok(journal) => journal,
            Err(error) => {
                reporter.conclude_error(&error, &Journal::default());
                return ExitCode::FAILURE;
            }
        };
        let done = prepare(journal.clone()).and_then(|(request, reporter)| {
            let DeadlineArguments { deadline, notice_after } = *self.deadlines;
            let options = WatchOptions { notice_after, deadline };
            watched(&journal, reporter, options, || {
                let done = work(&request, reporter);
                self.conclude(&journal, reporter, done)
            })
        });
        done.unwrap_or_else(|error| {
            reporter.conclude_error(&error, &journal);
            ExitCode::from(error.exit_code())
        })
    }

    fn open_journal(&self) -> Result<Journal> {
        let SummaryArguments { events, timings, .. } = self.summary;
        let stream = events.as_deref().map(EventStream::open).transpose()?;
        let trace = timings.as_deref().map(Trace::create).transpose()?;
        let journal = Journal::new(stream, trace);
        journal.tell(|| Event::Start {
            schema_version: 1,
            version: env!("CARGO_PKG_VERSION"),
            command: self.command,
            project: self.project.to_string_lossy().into_owned(),
        });
        Ok(journal)
    }

    /// The last word, unless a signal or the deadline has it.
    fn conclude(&self, journal: &Journal, reporter: Reporter, done: Result<Summary>) -> ExitCode {
        while !journal.conclude() {
            // The watching thread ends the process.
            thread::park();
        }
        let told = done.and_then(|summary| {
            for warning in &summary.warnings {
                reporter.warn(warning);
                journal.tell(|| Event::Warning { message: warning });
            }
            journal.close()?;
            reporter.summary(&summary, &(self.closing_line)(&summary), self.summary.stats)?;
            journal.tell(|| Event::Summary { summary: summary_value(&summary) });
            Ok(())
        });
        match told.map(|()| journal.close()) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            // The object on stdout is whole; that of a failure would be a second one.
            Ok(Err(error)) => {
                reporter.without_json().error(&error);
                ExitCode::FAILURE
            }
            Err(error) => {
                reporter.conclude_error(&error, journal);
                if let Some(signal) = journal.taken_signal() {
                    end_by(signal);
                }
                ExitCode::from(error.exit_code())
            }
        }
    }
}
