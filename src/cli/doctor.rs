//! The options of `ringstall doctor`.

use clap::Args;

use super::{CacheFolderArguments, ProjectArguments};

#[derive(Debug, Args)]
pub struct DoctorArguments {
    #[command(flatten)]
    pub project: ProjectArguments,
    #[command(flatten)]
    pub cache: CacheFolderArguments,
    /// Print the report as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}
