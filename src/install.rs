//! The one place that knows the order in which things are done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::ThreadPool;

use crate::backend::{Bases, LinkMode, Placement, Usage, schedule_in_batches, usage};
use crate::cache::Cache;
use crate::check::check;
use crate::clear::{check_tops, clear_node_modules, clear_packages, remove};
use crate::config::Settings;
use crate::delivery::{Delivered, Parcel, Site, deliver, look_up};
use crate::error::{Code, Error, Result};
use crate::fetch::{FetchOptions, Progress};
use crate::finish::{make_bins, make_links, write_hidden_lock};
use crate::graph::Graph;
use crate::hidden_lock::hidden_lock;
use crate::http::{Budget, Limits};
use crate::link::Placed;
use crate::parcels::{missing_from_bundles, pack};
use crate::plan::{Choice, Plan, count};
use crate::platform::{Engines, Platform};
use crate::progress::show_progress;
use crate::project::{Project, ProjectText, TargetTexts};
use crate::report::Reporter;

/// What is to be installed, and how.
#[derive(Debug)]
pub struct Request {
    pub directory: PathBuf,
    pub cache: PathBuf,
    pub settings: Settings,
    /// Where node is looked for.
    pub path: String,
    pub umask: u32,
    pub link_mode: LinkMode,
    pub jobs: usize,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Summary {
    /// Packages in the tree, those of bundles and links among them.
    pub added: usize,
    pub downloaded: usize,
    pub reused: usize,
    pub requests: u64,
    pub bytes_received: u64,
    pub placed: Placed,
    pub links: usize,
    pub bins: usize,
    pub with_scripts: usize,
    pub warnings: Vec<String>,
    pub wall: Duration,
    pub phases: Vec<(&'static str, Duration)>,
    pub usage: Usage,
}

/// Memory for tarballs between the network and the workers: a few of the larger ones for each
/// worker, far below what the workers unpack them into.
const BODIES_BYTES_MAX: u64 = 48 << 20;

/// Installs what the lockfile says: the tree of `npm ci --ignore-scripts`.
pub fn ci(request: &Request, reporter: Reporter) -> Result<Summary> {
    let mut clock = Clock::start();
    // The scheduler's help is welcome and not needed.
    let _ = schedule_in_batches();
    let directory = &request.directory;
    let settings = &request.settings;

    let text = ProjectText::read(directory)?;
    let lockfile = text.lockfile()?;
    let targets = TargetTexts::read(directory, &lockfile)?;
    let project = Project::new(&text, lockfile, &targets)?;
    clock.lap("read");
    let graph = check(&project, !settings.legacy_peer_deps)?;
    clock.lap("check");
    let cache = Cache::open(&request.cache, request.umask)?;
    let mut plan = make_plan(request, &graph, &project, &cache)?;
    check_tops(directory, &plan.tops)?;
    clock.lap("plan");

    let pool = make_pool(request.jobs)?;
    let bases = Bases::open(cache.directory(), directory)?;
    let placement = Placement::new(request.link_mode);
    let site = Site { bases: &bases, cache: &cache, pool: &pool, placement: &placement };
    let mut parcels = pack(&graph, &plan, &plan.tarballs, &placement)?;
    look_up(&site, &mut parcels)?;
    clock.lap("look up");

    let downloaded = parcels.iter().filter(|parcel| parcel.stored.is_none()).count();
    let mut summary = Summary {
        downloaded,
        reused: parcels.len() - downloaded,
        warnings: settings.warnings.clone(),
        ..Summary::default()
    };
    let make_room = || {
        clear_node_modules(directory, &project.workspaces)?;
        let is_workspace = |top: &str| project.workspaces.iter().any(|one| one.path == top);
        clear_packages(directory, plan.below_other_tops(&graph, is_workspace))
    };
    let delivered = run(request, &site, &parcels, reporter, make_room)?;
    absorb(&mut summary, delivered, &parcels, &mut plan, &graph, directory)?;
    deliver_missing(request, &site, &mut plan, &graph, &mut summary)?;
    clock.lap("install");

    make_links(directory, &plan.links)?;
    summary.bins = make_bins(directory, &graph, &plan.bins, request.umask)?;
    clock.lap("link");
    if directory.join("node_modules").is_dir() {
        write_hidden_lock(directory, &hidden_lock(&graph, plan.installed(&graph)))?;
    }
    clock.lap("hidden lock");

    summary.links = plan.links.len();
    summary.added = plan.added(&graph);
    summary.with_scripts = plan.with_scripts;
    summary.warnings.append(&mut plan.warnings);
    summary.wall = clock.start.elapsed();
    summary.phases = clock.laps;
    summary.usage = usage();
    Ok(summary)
}

fn make_plan<'p>(
    request: &Request,
    graph: &Graph<'p>,
    project: &Project<'p>,
    cache: &Cache,
) -> Result<Plan<'p>> {
    let settings = &request.settings;
    let host = Platform::current();
    let platform = Platform {
        os: settings.os.clone().unwrap_or_else(|| host.os.clone()),
        cpu: settings.cpu.clone().unwrap_or_else(|| host.cpu.clone()),
        libc: settings.libc.clone().or_else(|| host.libc.clone()),
    };
    let choice = Choice {
        platform: &platform,
        host: &host,
        engines: &Engines::detect(&request.path, cache.directory()),
        omit: settings.omit,
        is_engine_strict: settings.engine_strict,
        with_bins: settings.bin_links,
    };
    Plan::new(graph, project, &choice, &settings.registries)
}

fn make_pool(jobs: usize) -> Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .thread_name(|index| format!("worker-{index}"))
        .build()
        .map_err(|cause| {
            Error::new(Code::Io, format!("failed to start {}", count(jobs, "thread")))
                .with_source(cause)
        })
}

fn run(
    request: &Request,
    site: &Site<'_>,
    parcels: &[Parcel<'_>],
    reporter: Reporter,
    make_room: impl FnOnce() -> Result<()>,
) -> Result<Delivered> {
    let progress = Arc::new(Progress::default());
    let options = FetchOptions {
        network: request.settings.network.clone(),
        registries: Arc::new(request.settings.registries.clone()),
        limits: Limits::default(),
        budget: Budget::new(BODIES_BYTES_MAX),
        spool: site.cache.temporary(),
        progress: progress.clone(),
    };
    let missing = parcels.iter().filter(|parcel| parcel.stored.is_none()).count();
    show_progress(reporter, missing, &progress, || deliver(site, parcels, options, make_room))
}

/// Takes over what was done; optional packages that could not be had leave with their sets.
fn absorb<'p>(
    summary: &mut Summary,
    delivered: Delivered,
    parcels: &[Parcel<'p>],
    plan: &mut Plan<'p>,
    graph: &Graph<'p>,
    directory: &Path,
) -> Result<()> {
    let Delivered { placed, traffic, failed, warnings } = delivered;
    summary.placed += placed;
    summary.requests += traffic.requests;
    summary.bytes_received += traffic.bytes_received;
    summary.warnings.extend(warnings);
    let mut nodes = Vec::new();
    for (index, error) in failed {
        summary.downloaded -= 1;
        summary.warnings.push(format!("left out an optional package: {error:?}"));
        nodes.extend(parcels[index].targets.iter().map(|target| target.node));
    }
    for path in plan.leave_out(graph, &nodes) {
        remove(&directory.join(path.as_str()))?;
    }
    Ok(())
}

/// Packages that a bundle should have brought and did not come from the registry after all.
fn deliver_missing<'p>(
    request: &Request,
    site: &Site<'_>,
    plan: &mut Plan<'p>,
    graph: &Graph<'p>,
    summary: &mut Summary,
) -> Result<()> {
    let tarballs =
        missing_from_bundles(&request.directory, graph, plan, &request.settings.registries)?;
    if tarballs.is_empty() {
        return Ok(());
    }
    let mut parcels = pack(graph, plan, &tarballs, site.placement)?;
    look_up(site, &mut parcels)?;
    let missing = parcels.iter().filter(|parcel| parcel.stored.is_none()).count();
    summary.downloaded += missing;
    summary.reused += parcels.len() - missing;
    let silent = Reporter { is_quiet: true, is_verbose: false };
    let delivered = run(request, site, &parcels, silent, || Ok(()))?;
    absorb(summary, delivered, &parcels, plan, graph, &request.directory)
}

/// The wall time of each phase.
struct Clock {
    start: Instant,
    lap: Instant,
    laps: Vec<(&'static str, Duration)>,
}

impl Clock {
    fn start() -> Self {
        let now = Instant::now();
        Self { start: now, lap: now, laps: Vec::new() }
    }

    fn lap(&mut self, phase: &'static str) {
        let now = Instant::now();
        self.laps.push((phase, now - self.lap));
        self.lap = now;
    }
}
