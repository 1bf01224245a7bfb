//! `ringstall cache`: looks after the cache of unpacked packages.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::resolve;
use crate::cache::{self, Damage, Pruned, Usage, Verified};
use crate::cli::{CacheAction, CacheArguments};
use crate::config::Environment;
use crate::error::{Code, Error, Result};
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
        CacheAction::Size => {
            let usage = cache::size(&directory)?;
            reporter.line(&format!("{} in {}", describe(usage), directory.display()))
        }
        CacheAction::Verify { repair } => verify(&directory, repair, reporter),
        CacheAction::Prune { older_than } => prune(&directory, older_than, reporter),
        CacheAction::Clean => {
            let usage = cache::clean(&directory)?;
            reporter.line(&format!("removed {} from {}", describe(usage), directory.display()))
        }
    }
}

fn verify(directory: &Path, repairs: bool, reporter: Reporter) -> Result<()> {
    let Verified { usage, damages } = cache::verify(directory, repairs)?;
    if !damages.is_empty() && !repairs {
        let lines: Vec<_> = damages.iter().map(damage_line).collect();
        let message = format!(
            "in the cache `{}` {} damaged\n\n{}",
            directory.display(),
            count_with_verb(damages.len()),
            lines.join("\n")
        );
        return Err(Error::new(Code::Cache, message).with_hint(
            "`ringstall cache verify --repair` removes them, so that they are fetched again",
        ));
    }
    for damage in &damages {
        reporter.report(&format!("removed {}", damage_line(damage)))?;
    }
    let packages = count(usize::try_from(usage.packages).unwrap_or(usize::MAX), "package");
    reporter.line(&match damages.len() {
        0 if usage.packages == 0 => format!("nothing to verify in {}", directory.display()),
        0 => format!("{} in {}: all is well", describe(usage), directory.display()),
        removed => format!("removed {removed} of {packages} from {}", directory.display()),
    })
}

fn prune(directory: &Path, days: u32, reporter: Reporter) -> Result<()> {
    let age = days * Duration::from_secs(24 * 60 * 60);
    let Pruned { removed, lacks_access_times } = cache::prune(directory, age, SystemTime::now())?;
    if lacks_access_times {
        reporter.warn(
            "the filesystem of the cache notes no accesses (`noatime`): packages count from their \
             download, not from their last use",
        );
    }
    reporter.line(&format!("removed {} from {}", describe(removed), directory.display()))
}

fn damage_line(damage: &Damage) -> String {
    let Damage { label, path, what } = damage;
    let label = if label.is_empty() { "a package" } else { label };
    format!("{label} ({}): {what}", path.display())
}

fn count_with_verb(packages: usize) -> String {
    format!("{} {}", count(packages, "package"), if packages == 1 { "is" } else { "are" })
}

fn describe(usage: Usage) -> String {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let Usage { packages, files, bytes } = usage;
    let (packages, files) = (count(number(packages), "package"), count(number(files), "file"));
    format!("{packages} ({files} of {bytes} bytes)")
}
