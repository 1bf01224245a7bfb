//! The options of `ringstall fetch`.

use clap::Args;

use super::{
    CacheFolderArguments, DeadlineArguments, EngineArguments, ProjectArguments, SettingArguments,
    SummaryArguments, SupplyArguments,
};

#[derive(Debug, Args)]
pub struct FetchArguments {
    #[command(flatten)]
    pub project: ProjectArguments,
    #[command(flatten)]
    pub cache: CacheFolderArguments,
    /// How many threads unpack packages [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
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
