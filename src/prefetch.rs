//! `ringstall fetch`: fills the cache with what a project needs, from its lockfile alone.
//!
//! Neither package.json nor any folder of the project is looked at, so that a layer of an image
//! which holds the lockfile alone, and is made anew only when that changes, has all the packages.
//! Whatever `ci` will ask the cache for is fetched, for this platform or the one that is named.
//! Where the lockfile leaves a doubt, more is fetched rather than less: which node will run, and so
//! whose `engines` match, is not known yet.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::backend::{
    Bases, FileEngineChoice, FileEngines, LinkMode, NetworkDriver, network, schedule_in_batches,
    usage,
};
use crate::cache::Cache;
use crate::config::Settings;
use crate::delivery::{Delivered, Parcel};
use crate::error::Result;
use crate::fill::Supply;
use crate::graph::Graph;
use crate::inflate::{Inflated, read_whole};
use crate::install::Summary;
use crate::journal::Journal;
use crate::lockfile::{Lockfile, LockfileText};
use crate::parcels::{Placements, pack};
use crate::phases::Phases;
use crate::plan::{Choice, Plan};
use crate::platform::{Engines, Platform};
use crate::project::{Package, Project};
use crate::report::Reporter;
use crate::scripts::{Policy, ScriptMode};
use crate::selection::Selection;
use crate::site::Site;
use crate::workers::Workers;
use crate::workspaces::locked_workspaces;

/// What is to be fetched, and how.
#[derive(Debug)]
pub struct Request {
    /// Where the lockfile is.
    pub directory: PathBuf,
    pub cache: PathBuf,
    pub settings: Settings,
    pub umask: u32,
    pub jobs: usize,
    pub file_engine: FileEngineChoice,
    pub network_driver: NetworkDriver,
    pub journal: Journal,
}

/// Makes the cache hold what the lockfile needs. Nothing is placed.
pub fn prefetch(request: &Request, reporter: Reporter) -> Result<Summary> {
    let journal = &request.journal;
    let mut phases = Phases::start(journal, "read");
    // The scheduler's help is welcome and not needed.
    let _ = schedule_in_batches();
    let settings = &request.settings;
    let text = LockfileText::read(&request.directory)?;
    reporter.detail(&format!("read {}", text.file_name));
    let reading = Lockfile::read(&text)?;

    let cache = Cache::open(&request.cache, request.umask, journal.board())?;
    let workers = Workers::new(request.jobs);
    let bases = Bases::open(cache.directory(), &request.directory)?;
    network::check(request.network_driver)?;
    let engines = FileEngines::new(request.file_engine, &bases)?;
    let site = Site { bases: &bases, engines: &engines, cache: &cache, workers, journal };
    let supply = Supply { settings, driver: request.network_driver };
    let (whole, mut inflated) = read_whole(&site, &supply, None, reading, &mut phases)?;
    let completed = std::mem::take(&mut inflated.text);
    let lockfile = whole.map_or_else(|| Lockfile::parse(&completed), Ok)?;
    phases.enter("plan");
    let project = locked_project(lockfile);
    let graph = Graph::build(&project, &HashSet::new(), !settings.legacy_peer_deps)?;
    inflated.refuse_unavailable(&graph)?;
    let plan = make_plan(settings, &graph, &project, &inflated)?;
    let placements = Placements::new(&request.directory, LinkMode::Auto, 0);
    // Nothing is placed, so no scripts are run but those that prepare what comes from git.
    let mode = if settings.ignore_scripts { ScriptMode::None } else { ScriptMode::All };
    let policy = Policy::without_rules(mode);
    let mut parcels = pack(&graph, &plan, placements, &policy)?;
    for parcel in &mut parcels {
        parcel.targets.clear();
    }

    phases.enter("look up");
    supply.look_up(&site, &mut parcels)?;
    phases.enter("fetch");
    let stored = parcels.iter().filter(|parcel| parcel.stored.is_some()).count();
    let is_new = |parcel: &&Parcel<'_>| inflated.filled.unpacked.contains(&parcel.label);
    let is_stored = |parcel: &&Parcel<'_>| parcel.stored.is_some();
    let unpacked = parcels.iter().filter(is_stored).filter(is_new).count();
    let delivered = supply.deliver(&site, &mut parcels, || Ok(()))?;
    let mut summary = summarize(delivered, parcels.len(), stored);
    summary.lockfile = text.file_name;
    summary.reused -= unpacked;
    summary.take_over(inflated);
    summary.warnings.splice(0..0, settings.warnings.iter().chain(&plan.warnings).cloned());
    summary.refusals.extend(engines.refusal());
    for why in &summary.refusals {
        reporter.detail(&format!("io_uring is not used: {why}"));
    }
    summary.operations = engines.tally();
    summary.kernel_workers = engines.kernel_workers();
    summary.usage = usage();
    (summary.wall, summary.phases) = phases.end();
    Ok(summary)
}

/// The project as its lockfile has it: the root and the folders that links lead to are what their
/// entries say.
fn locked_project(lockfile: Lockfile<'_>) -> Project<'_> {
    let Lockfile { file_name, head, packages, .. } = lockfile;
    let entries = packages.iter().map(|(path, entry)| (*path, entry));
    let workspaces = locked_workspaces(entries, &packages[0].1);
    let package = |(path, entry)| Package {
        path,
        entry,
        on_disk: None,
        text: "",
        directory_bins: Vec::new(),
    };
    let packages = packages.into_iter().map(package).collect();
    Project {
        lockfile_name: file_name,
        lockfile_text: "",
        lockfile_head: head,
        examined: None,
        packages,
        workspaces,
        overrides: None,
    }
}

/// Engines are not judged. Nor is the machine that fetches: it may fetch for another.
fn make_plan<'p>(
    settings: &Settings,
    graph: &Graph<'p>,
    project: &Project<'p>,
    inflated: &Inflated,
) -> Result<Plan<'p>> {
    let platform = Platform::current().or(&settings.os, &settings.cpu, &settings.libc);
    let choice = Choice {
        platform: &platform,
        host: &platform,
        engines: &Engines::default(),
        omit: settings.omit,
        selection: &Selection::Everything,
        allowances: settings.allowances,
        is_engine_strict: false,
        is_forced: settings.force,
        with_bins: false,
        unavailable: &inflated.unavailable.iter().map(|(path, _)| path.clone()).collect(),
    };
    Plan::new(graph, project, &choice, &settings.registries)
}

fn summarize(delivered: Delivered, parcels: usize, reused: usize) -> Summary {
    let Delivered { traffic, from_npm_cache, failed, mut warnings, .. } = delivered;
    let downloaded = parcels - reused - failed.len() - from_npm_cache;
    for (_, error) in failed {
        warnings.push(format!("left out an optional package: {error:?}"));
    }
    Summary {
        downloaded,
        from_npm_cache,
        reused,
        requests: traffic.requests,
        bytes_received: traffic.bytes_received,
        network: traffic.network,
        refusals: traffic.refusal.into_iter().collect(),
        warnings,
        ..Summary::default()
    }
}
