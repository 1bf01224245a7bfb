//! Options that are npm's settings: what is typed here goes before `.npmrc` and the environment.

use clap::{Args, ValueEnum};

use super::SupplyArguments;

#[derive(Debug, Args)]
pub struct SettingArguments {
    /// The registry for packages without a scope's own
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Make no links in node_modules/.bin
    #[arg(long)]
    pub no_bin_links: bool,
    #[command(flatten)]
    pub packages: PackageArguments,
    #[command(flatten)]
    pub supply: SupplyArguments,
    #[command(flatten)]
    pub scripts: ScriptArguments,
    #[command(flatten)]
    idle: IdleArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Which packages")]
pub struct PackageArguments {
    /// Leave out a kind of dependency; can be given several times
    #[arg(long, value_name = "KIND")]
    pub omit: Vec<DependencyKind>,
    /// Install a kind of dependency in spite of --omit or NODE_ENV
    #[arg(long, value_name = "KIND")]
    pub include: Vec<DependencyKind>,
    /// Install for another operating system, as node names it
    #[arg(long)]
    pub os: Option<String>,
    /// Install for another processor, as node names it
    #[arg(long)]
    pub cpu: Option<String>,
    /// Install for another C library: glibc or musl
    #[arg(long)]
    pub libc: Option<String>,
    /// Fail where a package's `engines` do not match, instead of warning
    #[arg(long)]
    pub engine_strict: bool,
    /// Ignore peer dependencies, as the author of the lockfile did
    #[arg(long)]
    pub legacy_peer_deps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DependencyKind {
    Dev,
    Optional,
    Peer,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Lifecycle scripts")]
pub struct ScriptArguments {
    /// Run no lifecycle scripts (none are run yet) and say nothing of them
    #[arg(long)]
    pub ignore_scripts: bool,
}

/// What scripts in the wild pass to `npm ci` and what has no effect here.
#[derive(Debug, Args)]
struct IdleArguments {
    #[arg(long, hide = true)]
    no_audit: bool,
    #[arg(long, hide = true)]
    no_fund: bool,
}
