//! `ringstall ci`: resolves the settings, installs, and tells what was done.

use super::resolve;
use crate::backend::current_umask;
use crate::cli::CiArguments;
use crate::config::{self, Environment};
use crate::error::Result;
use crate::install::{Request, ci};
use crate::plan::count;
use crate::report::Reporter;

pub fn run(arguments: &CiArguments, environment: &Environment, reporter: Reporter) -> Result<()> {
    let directory = resolve::project_directory(&arguments.project)?;
    let overrides = resolve::overrides(&arguments.settings);
    let settings = config::load(&directory, &overrides, environment)?;
    let ignores_scripts = settings.ignore_scripts;
    let request = Request {
        cache: resolve::cache_directory(&arguments.cache, environment)?,
        directory,
        settings,
        path: environment.get("PATH").unwrap_or_default().to_owned(),
        umask: current_umask(),
        link_mode: resolve::link_mode(arguments.placing.link_mode),
        jobs: resolve::jobs(&arguments.placing),
        file_engine: resolve::file_engine(arguments.engines.io),
        network_driver: resolve::network_driver(arguments.engines.net),
    };
    let summary = ci(&request, reporter)?;
    for warning in &summary.warnings {
        reporter.warn(warning);
    }
    if summary.with_scripts > 0 && !ignores_scripts {
        reporter.warn(&format!(
            "{} with lifecycle scripts: none were run (--ignore-scripts silences this)",
            count(summary.with_scripts, "package")
        ));
    }
    reporter.summary(&summary, arguments.summary.json, arguments.summary.stats);
    Ok(())
}
