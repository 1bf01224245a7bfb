//! The options of `ringstall ci`.

use clap::{Args, ValueEnum};

use super::{
    CacheFolderArguments, DeadlineArguments, EngineArguments, PlacingArguments, ProjectArguments,
    ScriptArguments, SettingArguments, StrictnessArguments, SummaryArguments, SupplyArguments,
    WorkspaceArguments,
};

#[derive(Debug, Args)]
pub struct CiArguments {
    #[command(flatten)]
    pub project: ProjectArguments,
    // Before all groups, whose headings go on until the next.
    #[command(flatten)]
    pub cache: CacheFolderArguments,
    #[command(flatten)]
    pub workspaces: WorkspaceArguments,
    #[command(flatten)]
    pub strictness: StrictnessArguments,
    #[command(flatten)]
    pub placing: PlacingArguments,
    /// Keep what an earlier run with --reuse has installed and nobody has changed since
    #[arg(long, value_enum, value_name = "DEPTH", help_heading = "Placing")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "files")]
    pub reuse: Option<ReuseArgument>,
    #[command(flatten)]
    pub scripts: ScriptArguments,
    #[command(flatten)]
    pub engines: EngineArguments,
    #[command(flatten)]
    pub deadlines: DeadlineArguments,
    #[command(flatten)]
    pub summary: SummaryArguments,
    #[command(flatten)]
    pub supply: SupplyArguments,
    // The last, for it takes the names that are left.
    #[command(flatten)]
    pub settings: SettingArguments,
}

/// How closely what is there is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReuseArgument {
    /// At every file and folder: finds all that was added, removed or changed
    Files,
    /// At folders alone, which is faster: does not find what was changed in a file in place
    Folders,
}
