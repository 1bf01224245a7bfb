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
    /// Remove all that is in the cache
    Clean,
}
