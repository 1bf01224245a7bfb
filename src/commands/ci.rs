//! `ringstall ci`: resolves the settings, installs, and tells what was done.

use std::process::ExitCode;

use super::session::Session;
use super::{colors, resolve};
use crate::backend::current_umask;
use crate::cli::{CiArguments, OutputArguments};
use crate::config::{self, Environment};
use crate::install::{Request, ci};
use crate::plan::count;
use crate::report::installed_line;

pub fn run(
    arguments: &CiArguments,
    output: &OutputArguments,
    environment: &Environment,
) -> ExitCode {
    let stdout = resolve::stdout_of_summary(&arguments.summary);
    let session = Session {
        command: "ci",
        project: &arguments.project.directory,
        summary: &arguments.summary,
        deadlines: &arguments.deadlines,
        closing_line: installed_line,
    };
    let prepare = |journal| {
        let directory = resolve::project_directory(&arguments.project)?;
        let overrides = resolve::overrides(&arguments.settings);
        let settings = config::load(&directory, &overrides, environment)?;
        colors::set(output, settings.output.color, environment);
        let reporter = resolve::reporter(output, stdout, Some(settings.output), environment);
        let request = Request {
            cache: resolve::cache_directory(&arguments.cache, environment)?,
            directory,
            settings,
            path: environment.get("PATH").unwrap_or_default().to_owned(),
            umask: current_umask(),
            link_mode: resolve::link_mode(arguments.placing.link_mode),
            jobs: resolve::jobs(arguments.placing.jobs),
            file_engine: resolve::file_engine(arguments.engines.io),
            network_driver: resolve::network_driver(arguments.engines.net),
            journal,
        };
        Ok((request, reporter))
    };
    let reporter = resolve::reporter(output, stdout, None, environment);
    session.run(reporter, prepare, |request, reporter| {
        let mut summary = ci(request, reporter)?;
        if summary.with_scripts > 0 && !request.settings.ignore_scripts {
            summary.warnings.push(format!(
                "{} with lifecycle scripts: none were run (--ignore-scripts silences this)",
                count(summary.with_scripts, "package")
            ));
        }
        Ok(summary)
    })
}
