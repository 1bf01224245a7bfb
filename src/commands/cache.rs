//! `ringstall cache`: looks after the cache of unpacked packages.

use super::resolve;
use crate::cache;
use crate::cli::{CacheAction, CacheArguments};
use crate::config::Environment;
use crate::error::Result;
use crate::plan::count;
use crate::report::Reporter;

pub fn run(
    arguments: &CacheArguments,
    environment: &Environment,
    reporter: Reporter,
) -> Result<()> {
    let directory = resolve::cache_directory(&arguments.cache, environment)?;
    match arguments.action {
        CacheAction::Dir => reporter.line(&directory.display().to_string()),
        CacheAction::Clean => {
            let usage = cache::clean(&directory)?;
            let files = count(usize::try_from(usage.files).unwrap_or(usize::MAX), "file");
            reporter.line(&format!(
                "removed {files} of {} bytes from {}",
                usage.bytes,
                directory.display()
            ))
        }
    }
}
