//! The options of `ringstall cache`.

use clap::{Args, Subcommand};

use super::CacheFolderArguments;

#[derive(Debug, Args)]
pub struct CacheArguments {
    #[command(subcommand)]
    pub action: CacheAction,
    #[command(flatten)]
    pub cache: CacheFolderArguments,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum CacheAction {
    /// Print where the cache is
    Dir,
    /// Print how much is in the cache
    Size,
    /// Check that the packages are what was unpacked: their files, sizes, modes and times
    Verify {
        /// Remove the packages that are damaged, so that they are fetched again
        #[arg(long)]
        repair: bool,
    },
    /// Remove the packages that have not been used for some time
    Prune {
        /// How long, in days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=36500))]
        older_than: u32,
    },
    /// Remove all that is in the cache
    Clean,
}
