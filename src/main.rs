//! The command: parses, resolves the settings, installs, and tells what was done.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ringstall::backend::{FileEngine, LinkMode, NetworkDriver, current_umask};
use ringstall::cache;
use ringstall::cli::{
    CacheAction, CacheArguments, CiArguments, Cli, Command, DependencyKind, DoctorArguments,
    FileEngineArgument, LinkModeArgument, NetworkDriverArgument,
};
use ringstall::config::{self, Environment, Overrides};
use ringstall::doctor;
use ringstall::error::{Code, Error, Result};
use ringstall::install::{Request, ci};
use ringstall::plan::count;
use ringstall::report::{Reporter, set_colors};

fn main() -> ExitCode {
    let cli = Cli::parse();
    set_colors(cli.output.color);
    let reporter = Reporter { is_quiet: cli.output.quiet, is_verbose: cli.output.verbose };
    let environment = Environment::from_process();
    let done = match &cli.command {
        Command::Ci(arguments) => run_ci(arguments, &environment, reporter),
        Command::Cache(arguments) => run_cache(arguments, &environment, reporter),
        Command::Doctor(arguments) => run_doctor(arguments, &environment, reporter),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run_ci(arguments: &CiArguments, environment: &Environment, reporter: Reporter) -> Result<()> {
    let directory = project_directory(&arguments.directory)?;
    let settings = config::load(&directory, &overrides(arguments), environment)?;
    let ignores_scripts = settings.ignore_scripts;
    let jobs = arguments.jobs.map_or_else(processors, usize::from);
    let request = Request {
        cache: cache_directory(arguments.cache.as_deref(), environment)?,
        directory,
        settings,
        path: environment.get("PATH").unwrap_or_default().to_owned(),
        umask: current_umask(),
        link_mode: link_mode(arguments.link_mode),
        jobs,
        file_engine: file_engine(arguments.io),
        network_driver: network_driver(arguments.net),
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
    reporter.summary(&summary, arguments.json, arguments.stats);
    Ok(())
}

fn run_cache(
    arguments: &CacheArguments,
    environment: &Environment,
    reporter: Reporter,
) -> Result<()> {
    let directory = cache_directory(arguments.cache.as_deref(), environment)?;
    match arguments.action {
        CacheAction::Dir => reporter.line(&directory.display().to_string()),
        CacheAction::Clean => {
            let usage = cache::clean(&directory)?;
            let files = count(usize::try_from(usage.files).unwrap_or(usize::MAX), "file");
            reporter.line(&format!(
                "removed {files} of {} bytes from {}",
                usage.bytes,
                directory.display()
            ));
        }
    }
    Ok(())
}

/// A report, so that nothing that is refused makes it fail.
fn run_doctor(
    arguments: &DoctorArguments,
    environment: &Environment,
    reporter: Reporter,
) -> Result<()> {
    let directory = project_directory(&arguments.directory)?;
    let cache = cache_directory(arguments.cache.as_deref(), environment)?;
    let report = doctor::examine(&directory, &cache)?;
    let text = if arguments.json { doctor::to_json(&report) } else { doctor::to_text(&report) };
    reporter.report(&text);
    Ok(())
}

fn project_directory(argument: &Path) -> Result<PathBuf> {
    argument.canonicalize().map_err(|error| Error::io("find the project's folder", argument, error))
}

fn overrides(arguments: &CiArguments) -> Overrides {
    let names = |kinds: &[DependencyKind]| {
        let name = |kind: &DependencyKind| match kind {
            DependencyKind::Dev => "dev".to_owned(),
            DependencyKind::Optional => "optional".to_owned(),
            DependencyKind::Peer => "peer".to_owned(),
        };
        kinds.iter().map(name).collect()
    };
    Overrides {
        registry: arguments.registry.clone(),
        omit: names(&arguments.omit),
        include: names(&arguments.include),
        ignore_scripts: arguments.ignore_scripts.then_some(true),
        bin_links: arguments.no_bin_links.then_some(false),
        legacy_peer_deps: arguments.legacy_peer_deps.then_some(true),
        engine_strict: arguments.engine_strict.then_some(true),
        os: arguments.os.clone(),
        cpu: arguments.cpu.clone(),
        libc: arguments.libc.clone(),
        ..Overrides::default()
    }
}

fn link_mode(argument: LinkModeArgument) -> LinkMode {
    match argument {
        LinkModeArgument::Auto => LinkMode::Auto,
        LinkModeArgument::Hardlink => LinkMode::HardLink,
        LinkModeArgument::Clone => LinkMode::Clone,
        LinkModeArgument::Copy => LinkMode::Copy,
    }
}

fn file_engine(argument: FileEngineArgument) -> FileEngine {
    match argument {
        FileEngineArgument::Auto => FileEngine::Auto,
        FileEngineArgument::Ring => FileEngine::Ring,
        FileEngineArgument::Threads => FileEngine::Threads,
    }
}

fn network_driver(argument: NetworkDriverArgument) -> NetworkDriver {
    match argument {
        NetworkDriverArgument::Auto => NetworkDriver::Auto,
        NetworkDriverArgument::Ring => NetworkDriver::Ring,
        NetworkDriverArgument::TokioUring => NetworkDriver::TokioUring,
        NetworkDriverArgument::Epoll => NetworkDriver::Epoll,
    }
}

/// `--cache`, else `$XDG_CACHE_HOME/ringstall`, else `~/.cache/ringstall`. npm's own cache is
/// never written to.
fn cache_directory(argument: Option<&Path>, environment: &Environment) -> Result<PathBuf> {
    if let Some(directory) = argument {
        return std::path::absolute(directory)
            .map_err(|error| Error::io("find the cache", directory, error));
    }
    let is_absolute = |folder: &PathBuf| folder.is_absolute();
    environment
        .get("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(is_absolute)
        .or_else(|| environment.home().map(|home| home.join(".cache")))
        .map(|folder| folder.join("ringstall"))
        .ok_or_else(|| {
            Error::new(Code::Cache, "neither XDG_CACHE_HOME nor HOME says where the cache is")
                .with_hint("name a folder with --cache")
        })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
