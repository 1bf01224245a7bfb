//! `ringstall ci`: resolves the settings, installs, and tells what was done.

use std::path::Path;
use std::process::ExitCode;

use super::session::Session;
use super::{colors, resolve};
use crate::backend::current_umask;
use crate::cli::{CiArguments, OutputArguments, ReuseArgument};
use crate::config::Environment;
use crate::install::{Request, ci};
use crate::report::installed_line;
use crate::reuse::tree::Depth;

pub fn run(
    arguments: &CiArguments,
    output: &OutputArguments,
    environment: &Environment,
) -> ExitCode {
    let stdout = resolve::stdout_of_summary(&arguments.summary);
    let session = Session {
        command: "ci",
        project: arguments.project.named(),
        summary: &arguments.summary,
        deadlines: &arguments.deadlines,
        closing_line: installed_line,
    };
    let prepare = |journal| {
        let project = resolve::project(&arguments.project, &arguments.workspaces)?;
        let typed = resolve::overrides(&arguments.settings, &arguments.workspaces);
        let (directory, supply) = (&project.directory, &arguments.supply);
        let mut settings = resolve::settings(directory, &typed, supply, environment)?;
        project.select_member(&mut settings);
        colors::set(output, settings.output.color, environment);
        let reporter = resolve::reporter(output, stdout, Some(settings.output), environment);
        let request = Request {
            cache: resolve::cache_directory(&arguments.cache, environment)?,
            is_nested: is_nested(environment, &project.directory),
            directory: project.directory,
            seen_from: project.seen_from,
            settings,
            umask: current_umask(),
            scripts: resolve::script_mode(arguments.scripts.scripts),
            scripts_at_once: resolve::scripts_at_once(arguments.placing.jobs),
            link_mode: resolve::link_mode(arguments.placing.link_mode),
            jobs: resolve::jobs(arguments.placing.jobs),
            reuse: arguments.reuse.map(depth),
            file_engine: resolve::file_engine(&arguments.engines),
            network_driver: resolve::network_driver(arguments.engines.net),
            journal,
            strict_integrity: arguments.strictness.strict_integrity,
            fail_on_missing_optional: arguments.strictness.fail_on_missing_optional,
        };
        Ok((request, reporter))
    };
    let reporter = resolve::reporter(output, stdout, None, environment);
    session.run(reporter, prepare, |request, reporter| {
        for line in &request.settings.ignored {
            reporter.detail(line);
        }
        let mut summary = ci(request, reporter)?;
        summary.warnings.extend(summary.scripts.warning());
        Ok(summary)
    })
}

/// Scripts see which project it is, and who runs them (`src/scripts/environment.rs`).
fn is_nested(environment: &Environment, project: &Path) -> bool {
    let is_ours = |agent: &str| agent.contains("ringstall/");
    environment.get("npm_lifecycle_event").is_some()
        && environment.get("npm_config_user_agent").is_some_and(is_ours)
        && environment.get("npm_config_local_prefix").is_some_and(|held| Path::new(held) == project)
}

fn depth(argument: ReuseArgument) -> Depth {
    match argument {
        ReuseArgument::Files => Depth::Files,
        ReuseArgument::Folders => Depth::Folders,
    }
}
