//! From words of the command line to values of the library, for the groups that commands share.

use std::path::{Path, PathBuf};

use crate::backend::{FileEngine, FileEngineChoice, LinkMode, NetworkDriver};
use crate::cli::{
    CacheFolderArguments, EngineArguments, FileEngineArgument, LinkModeArgument, LogLevelArgument,
    NetworkDriverArgument, OutputArguments, ProjectArguments, ScriptsArgument, SettingArguments,
    SummaryArguments, SupplyArguments, WorkspaceArguments,
};
use crate::config::{self, Environment, LogLevel, OutputSettings, Overrides, Settings};
use crate::error::{Code, Error, Result};
use crate::locate::locate;
use crate::report::{Level, Reporter, Stdout};
use crate::scripts::ScriptMode;
use crate::selection::{Viewpoint, lexical};

/// The project that a command works on.
pub struct ProjectPlace {
    pub directory: PathBuf,
    pub seen_from: Viewpoint,
    /// The workspace that the command was started in.
    member: Option<PathBuf>,
}

/// The folder that was named, else the project that the current directory lies in.
pub fn project(
    arguments: &ProjectArguments,
    workspaces: &WorkspaceArguments,
) -> Result<ProjectPlace> {
    let current_directory = std::env::current_dir()
        .map_err(|error| Error::io("find the current directory", ".", error))?;
    let (root, member) = if let Some(directory) = &arguments.directory {
        (lexical(&current_directory.join(directory)), None)
    } else {
        let location = locate(&current_directory, workspaces.all() != Some(false))?;
        (location.root, location.member)
    };
    let named = arguments.directory.as_deref().unwrap_or(&root);
    let directory = canonical(named)?;
    Ok(ProjectPlace { directory, seen_from: Viewpoint { current_directory, root }, member })
}

impl ProjectPlace {
    /// The workspace that the command was started in is the one that is meant, unless the settings
    /// name others. Its own `.npmrc` does not count.
    pub fn select_member(&self, settings: &mut Settings) {
        let Some(member) = &self.member else { return };
        let npmrc = member.join(".npmrc");
        if npmrc.is_file() {
            settings.warnings.push(format!("ignoring workspace config at {}", npmrc.display()));
        }
        if settings.members.filters.is_empty() {
            settings.members.filters.push(member.to_string_lossy().into_owned());
        }
    }
}

pub fn project_directory(arguments: &ProjectArguments) -> Result<PathBuf> {
    canonical(arguments.named())
}

fn canonical(directory: &Path) -> Result<PathBuf> {
    directory
        .canonicalize()
        .map_err(|error| Error::io("find the project's folder", directory, error))
}

/// `--cache`, else `$XDG_CACHE_HOME/ringstall`, else `~/.cache/ringstall`. npm's own cache is
/// never written to.
pub fn cache_directory(
    arguments: &CacheFolderArguments,
    environment: &Environment,
) -> Result<PathBuf> {
    // As an empty XDG_CACHE_HOME, and as npm takes an empty variable, nothing says nothing.
    let named = arguments.directory.as_ref().filter(|named| !named.as_os_str().is_empty());
    if let Some(directory) = named {
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

/// What was typed of npm's settings.
pub fn overrides(typed: &SettingArguments, workspaces: &WorkspaceArguments) -> Overrides {
    let mut overrides = typed.overrides.clone();
    for name in &workspaces.workspace {
        overrides.add("workspace", name);
    }
    let flags = [
        ("workspaces", workspaces.all()),
        ("include-workspace-root", workspaces.include_workspace_root),
    ];
    for (key, value) in flags {
        if let Some(value) = value {
            overrides.set(key, value.to_string());
        }
    }
    overrides
}

/// The settings of the project, with what was typed.
pub fn settings(
    directory: &Path,
    typed: &Overrides,
    supply: &SupplyArguments,
    environment: &Environment,
) -> Result<Settings> {
    let mut settings = config::load(directory, typed, environment)?;
    if supply.no_npm_cache {
        settings.npm_cache = None;
    }
    Ok(settings)
}

pub fn stdout_of(is_json: bool) -> Stdout {
    if is_json { Stdout::Json } else { Stdout::Text }
}

pub fn stdout_of_summary(arguments: &SummaryArguments) -> Stdout {
    match &arguments.events {
        Some(path) if path.as_os_str() == "-" => Stdout::Events,
        _ => stdout_of(arguments.json),
    }
}

/// How much is said: by what was typed, else by npm's settings.
pub fn reporter(
    arguments: &OutputArguments,
    stdout: Stdout,
    settings: Option<OutputSettings>,
    environment: &Environment,
) -> Reporter {
    let settings = settings.unwrap_or_default();
    let log_level = arguments.loglevel.map(log_level).or(settings.log_level);
    let level = match log_level {
        _ if arguments.quiet => Level::Silent,
        _ if arguments.verbose => Level::Verbose,
        Some(LogLevel::Silent) => Level::Silent,
        Some(LogLevel::Error) => Level::Error,
        Some(LogLevel::Verbose) => Level::Verbose,
        Some(LogLevel::Normal) | None => Level::Normal,
    };
    let is_ci = environment.get("CI").is_some_and(|value| value != "false");
    let is_dumb = environment.get("TERM") == Some("dumb");
    let wants_progress = !is_dumb && !arguments.no_progress && settings.progress.unwrap_or(!is_ci);
    Reporter { level, stdout, wants_progress }
}

fn log_level(argument: LogLevelArgument) -> LogLevel {
    match argument {
        LogLevelArgument::Silent => LogLevel::Silent,
        LogLevelArgument::Error => LogLevel::Error,
        LogLevelArgument::Warn
        | LogLevelArgument::Notice
        | LogLevelArgument::Http
        | LogLevelArgument::Info => LogLevel::Normal,
        LogLevelArgument::Verbose | LogLevelArgument::Silly => LogLevel::Verbose,
    }
}

pub fn jobs(argument: Option<u16>) -> usize {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    argument.map_or_else(processors, usize::from)
}

/// npm leaves one processor to itself (promise-call-limit 3).
pub fn scripts_at_once(argument: Option<u16>) -> usize {
    argument.map_or_else(|| (jobs(None) - 1).max(1), usize::from)
}

pub fn script_mode(argument: ScriptsArgument) -> ScriptMode {
    match argument {
        ScriptsArgument::All => ScriptMode::All,
        ScriptsArgument::Allowed => ScriptMode::Allowed,
        ScriptsArgument::None => ScriptMode::None,
    }
}

pub fn link_mode(argument: LinkModeArgument) -> LinkMode {
    match argument {
        LinkModeArgument::Auto => LinkMode::Auto,
        LinkModeArgument::Hardlink => LinkMode::HardLink,
        LinkModeArgument::Clone => LinkMode::Clone,
        LinkModeArgument::Copy => LinkMode::Copy,
    }
}

pub fn file_engine(arguments: &EngineArguments) -> FileEngineChoice {
    let engine = match arguments.io {
        FileEngineArgument::Auto => FileEngine::Auto,
        FileEngineArgument::Ring => FileEngine::Ring,
        FileEngineArgument::Threads => FileEngine::Threads,
    };
    FileEngineChoice { engine, batch: arguments.batch }
}

pub fn network_driver(argument: NetworkDriverArgument) -> NetworkDriver {
    match argument {
        NetworkDriverArgument::Auto => NetworkDriver::Auto,
        NetworkDriverArgument::Ring => NetworkDriver::Ring,
        NetworkDriverArgument::TokioUring => NetworkDriver::TokioUring,
        NetworkDriverArgument::Epoll => NetworkDriver::Epoll,
    }
}
