//! One command, measured from a small process of its own: a process inherits the peak of the
//! resident set of the one that started it, so that a large one would hide what small ones use.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::figure::{Figure, Figures};
use super::serve::to_json;
use crate::backend::{Usage, wait_with_usage};
use crate::error::{Code, Error, Result};

/// What was seen of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// `None` where a signal ended it.
    pub exit_code: Option<i32>,
    pub wall: f64,
    /// `None` where the system keeps no account of it.
    pub used: Option<Used>,
}

/// What it and those that it waited for have used (wait4(2)).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Used {
    pub user: f64,
    pub system: f64,
    pub resident_bytes_max: u64,
    pub minor_faults: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        Self {
            user: usage.user.as_secs_f64(),
            system: usage.system.as_secs_f64(),
            resident_bytes_max: usage.resident_bytes_max,
            minor_faults: usage.minor_faults,
            voluntary_switches: usage.voluntary_switches,
            involuntary_switches: usage.involuntary_switches,
        }
    }
}

/// Runs a command in the present folder to its end, and writes what was seen to `report`.
pub fn measure(report: &Path, command: &[OsString]) -> Result<()> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| Error::new(Code::Usage, "no command to measure"))?;
    let failed = |error| Error::io("run", program, error);
    let start = Instant::now();
    let child = Command::new(program).args(arguments).spawn().map_err(failed)?;
    let (status, usage) = wait_with_usage(child).map_err(failed)?;
    let wall = start.elapsed().as_secs_f64();
    let measured = Measured { exit_code: status.code(), wall, used: usage.map(Used::from) };
    fs::write(report, to_json(&measured)?).map_err(|error| Error::io("write", report, error))
}

impl Measured {
    pub fn read(report: &Path) -> Result<Self> {
        let text = fs::read(report).map_err(|error| Error::io("read", report, error))?;
        serde_json::from_slice(&text).map_err(|error| {
            let message = format!("failed to parse `{}`", report.display());
            Error::new(Code::JsonParse, message).with_source(error)
        })
    }

    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        figures.set(Figure::Wall, self.wall);
        if let Some(used) = &self.used {
            figures.set(Figure::User, used.user);
            figures.set(Figure::System, used.system);
            figures.set_count(Figure::PeakResidentBytes, used.resident_bytes_max);
            figures.set_count(Figure::MinorFaults, used.minor_faults);
            figures.set_count(Figure::VoluntarySwitches, used.voluntary_switches);
            figures.set_count(Figure::InvoluntarySwitches, used.involuntary_switches);
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_seen_to_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let report = temp.path().join("report");
        measure(&report, &["sh", "-c", "sleep 0.02; exit 3"].map(OsString::from)).unwrap();
        let measured = Measured::read(&report).unwrap();
        assert_eq!(measured.exit_code, Some(3));
        assert!(measured.wall >= 0.02, "{measured:?}");
        let figures = measured.figures();
        assert_eq!(figures.get(Figure::Wall), Some(measured.wall));
        assert_eq!(figures.switches().is_some(), measured.used.is_some());
        let error = measure(&report, &["/no/such/program".into()]).unwrap_err();
        assert_eq!(error.to_string(), "failed to run `/no/such/program`");
    }
}
