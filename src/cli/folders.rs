//! Where things lie: the project, and the cache.

use std::path::{Path, PathBuf};

use clap::Args;

#[derive(Debug, Args)]
pub struct ProjectArguments {
    /// The project's folder [default: the nearest one upwards that is a project]
    #[arg(short = 'C', long = "prefix", value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

impl ProjectArguments {
    /// What was typed, or the current directory.
    pub fn named(&self) -> &Path {
        self.directory.as_deref().unwrap_or(Path::new("."))
    }
}

#[derive(Debug, Args)]
pub struct CacheFolderArguments {
    /// Where unpacked packages are kept [default: $XDG_CACHE_HOME/ringstall]
    // Global for the commands below `cache`; the others have none below them.
    #[arg(id = "cache_folder", long = "cache", global = true)]
    #[arg(value_name = "DIR", env = "RINGSTALL_CACHE")]
    pub directory: Option<PathBuf>,
}
