//! The options of `ringstall fetch`.

use clap::Args;

use super::{
    CacheFolderArguments, DeadlineArguments, EngineArguments, PackageArguments, ProjectArguments,
    SummaryArguments, SupplyArguments,
};

#[derive(Debug, Args)]
pub struct FetchArguments {
    #[command(flatten)]
    pub project: ProjectArguments,
    #[command(flatten)]
    pub cache: CacheFolderArguments,
    /// The registry for packages without a scope's own
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    #[command(flatten)]
    pub packages: PackageArguments,
    #[command(flatten)]
    pub supply: SupplyArguments,
    /// How many threads unpack packages [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    #[command(flatten)]
    pub engines: EngineArguments,
    #[command(flatten)]
    pub deadlines: DeadlineArguments,
    #[command(flatten)]
    pub summary: SummaryArguments,
}
