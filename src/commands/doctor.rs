//! `ringstall doctor`: a report, so that nothing that is refused makes it fail.

use super::resolve;
use crate::cli::DoctorArguments;
use crate::config::Environment;
use crate::doctor;
use crate::error::Result;
use crate::report::Reporter;

pub fn run(
    arguments: &DoctorArguments,
    environment: &Environment,
    reporter: Reporter,
) -> Result<()> {
    let directory = resolve::project_directory(&arguments.project)?;
    let cache = resolve::cache_directory(&arguments.cache, environment)?;
    let report = doctor::examine(&directory, &cache)?;
    let text = if arguments.json { doctor::to_json(&report) } else { doctor::to_text(&report) };
    reporter.report(&text)
}
