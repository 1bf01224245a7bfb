//! `ringstall fetch`: resolves the settings, fills the cache, and tells what was done.

use std::process::ExitCode;

use super::session::Session;
use super::{colors, resolve};
use crate::backend::current_umask;
use crate::cli::{FetchArguments, OutputArguments};
use crate::config::Environment;
use crate::prefetch::{Request, prefetch};
use crate::report::fetched_line;

pub fn run(
    arguments: &FetchArguments,
    output: &OutputArguments,
    environment: &Environment,
) -> ExitCode {
    let stdout = resolve::stdout_of_summary(&arguments.summary);
    let session = Session {
        command: "fetch",
        project: arguments.project.named(),
        summary: &arguments.summary,
        deadlines: &arguments.deadlines,
        closing_line: fetched_line,
    };
    let prepare = |journal| {
        let directory = resolve::project_directory(&arguments.project)?;
        let (typed, supply) = (&arguments.settings.overrides, &arguments.supply);
        let settings = resolve::settings(&directory, typed, supply, environment)?;
        colors::set(output, settings.output.color, environment);
        let reporter = resolve::reporter(output, stdout, Some(settings.output), environment);
        let request = Request {
            cache: resolve::cache_directory(&arguments.cache, environment)?,
            directory,
            settings,
            umask: current_umask(),
            jobs: resolve::jobs(arguments.jobs),
            file_engine: resolve::file_engine(&arguments.engines),
            network_driver: resolve::network_driver(arguments.engines.net),
            journal,
        };
        Ok((request, reporter))
    };
    let reporter = resolve::reporter(output, stdout, None, environment);
    session.run(reporter, prepare, |request, reporter| {
        for line in &request.settings.ignored {
            reporter.detail(line);
        }
        prefetch(request, reporter)
    })
}
