//! The events, as they stand in the stream; docs/schema/event.json describes each.

use serde::Serialize;
use serde_json::Value;

/// One line of the stream. At most one is written for each package and for each script's start and
/// end; the last is [`Event::Summary`] or [`Event::Error`].
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event<'e> {
    Start {
        schema_version: u32,
        version: &'e str,
        command: &'e str,
        project: String,
    },
    PhaseStarted {
        phase: &'e str,
    },
    PhaseEnded {
        phase: &'e str,
        duration: f64,
    },
    /// How many tarballs there are, and how many of them have to be downloaded.
    Plan {
        tarballs: usize,
        downloads: usize,
    },
    /// A package has all its places.
    Package {
        name: &'e str,
        version: &'e str,
        source: PackageSource,
        /// Without what may be secret in it.
        address: String,
        /// Of the tarball; `None` where it was not needed.
        bytes: Option<u64>,
        /// Relative to the project.
        paths: Vec<&'e str>,
    },
    ScriptStarted {
        package: &'e str,
        /// Relative to the project.
        path: &'e str,
        script: &'e str,
        command: &'e str,
    },
    ScriptEnded {
        package: &'e str,
        path: &'e str,
        script: &'e str,
        duration: f64,
        /// `None` where a signal ended it.
        exit_code: Option<i32>,
        signal: Option<i32>,
    },
    Warning {
        message: &'e str,
    },
    /// Nothing has moved for so many seconds.
    Waiting {
        duration: f64,
        awaited: &'e [String],
    },
    /// What `--json` prints.
    Summary {
        summary: Value,
    },
    /// What `--json` prints after a failure.
    Error {
        error: Value,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PackageSource {
    Cache,
    /// A tarball that was at hand.
    Disk,
    /// A tarball that npm had downloaded.
    NpmCache,
    Network,
}
