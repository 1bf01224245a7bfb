//! The options of `ringstall ci`.

use clap::Args;

use super::{
    CacheFolderArguments, DeadlineArguments, EngineArguments, PlacingArguments, ProjectArguments,
    SettingArguments, SummaryArguments, WorkspaceArguments,
};

#[derive(Debug, Args)]
pub struct CiArguments {
    #[command(flatten)]
    pub project: ProjectArguments,
    #[command(flatten)]
    pub workspaces: WorkspaceArguments,
    #[command(flatten)]
    pub cache: CacheFolderArguments,
    #[command(flatten)]
    pub settings: SettingArguments,
    #[command(flatten)]
    pub placing: PlacingArguments,
    #[command(flatten)]
    pub engines: EngineArguments,
    #[command(flatten)]
    pub deadlines: DeadlineArguments,
    #[command(flatten)]
    pub summary: SummaryArguments,
}
