//! The one place that knows the order in which things are done.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::backend::{
    Bases, FileEngineChoice, FileEngines, LinkMode, NetworkDriver, Tally, Usage, network,
    schedule_in_batches, usage,
};
use crate::cache::Cache;
use crate::check::check;
use crate::clear::{Aside, check_tops, remove_packages};
use crate::config::Settings;
use crate::delivery::{Delivered, Parcel};
use crate::error::{Error, Result};
use crate::fill::Supply;
use crate::finish::{make_links, write_hidden_lock};
use crate::graph::{Graph, NodeId};
use crate::guard::Guard;
use crate::hidden_lock::{BundleTexts, hidden_lock};
use crate::inflate::{Inflated, read_whole};
use crate::installed::{InstalledPackage, count_funded, installed_packages};
use crate::journal::Journal;
use crate::link::Placed;
use crate::lockfile::Lockfile;
use crate::missing_optional::MissingOptional;
use crate::parcels::{Placements, pack};
use crate::phases::Phases;
use crate::plan::{Choice, Plan, count};
use crate::platform::{Engines, Platform};
use crate::project::{Project, ProjectText, TargetTexts};
use crate::report::Reporter;
use crate::reuse::tree::Depth;
use crate::reuse::{Kept, Machine, Outcome, Reuse, settle};
use crate::scripts::{Policy, ScriptMode, ScriptSummary, Scripts};
use crate::selection::{Selection, Viewpoint};
use crate::site::Site;
use crate::unverified::Unverified;
use crate::workers::Workers;

mod building;
mod reusing;

use building::make_policy;
use reusing::{Question, unchanged};

/// What is to be installed, and how.
#[derive(Debug)]
pub struct Request {
    pub directory: PathBuf,
    pub cache: PathBuf,
    pub settings: Settings,
    /// From where the workspaces that the settings name are seen.
    pub seen_from: Viewpoint,
    /// A script of an install in this very project has started this one and waits for its end.
    pub is_nested: bool,
    pub umask: u32,
    pub link_mode: LinkMode,
    pub jobs: usize,
    pub scripts: ScriptMode,
    pub scripts_at_once: usize,
    /// How closely what an earlier run has installed is looked at; `None` where nothing is kept.
    pub reuse: Option<Depth>,
    pub file_engine: FileEngineChoice,
    pub network_driver: NetworkDriver,
    pub journal: Journal,
    /// Whether a tarball that the lockfile has no integrity for is an error.
    pub strict_integrity: bool,
    /// Whether a platform's package that the lockfile lacks is an error.
    pub fail_on_missing_optional: bool,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Summary {
    /// The file that was installed from.
    pub lockfile: &'static str,
    /// What was put into the tree, packages of bundles and links among it.
    pub packages: Vec<InstalledPackage>,
    /// How many packages and links were there already.
    pub kept: usize,
    /// How many of all of them ask for funding.
    pub funding: usize,
    pub downloaded: usize,
    pub from_npm_cache: usize,
    pub reused: usize,
    pub requests: u64,
    pub bytes_received: u64,
    pub placed: Placed,
    pub links: usize,
    pub bins: usize,
    pub with_scripts: usize,
    pub scripts: ScriptSummary,
    pub warnings: Vec<String>,
    pub wall: Duration,
    pub phases: Vec<(&'static str, Duration)>,
    pub usage: Usage,
    /// File operations, by class.
    pub operations: Tally,
    /// `None` where nothing was asked of the network.
    pub network: Option<network::NetworkTally>,
    /// The most threads that the kernel had at work on file operations.
    pub kernel_workers: usize,
    /// Why io_uring is not used where it would be, for files and for the network.
    pub refusals: Vec<String>,
}

/// Installs what the lockfile says: the tree of `npm ci`.
pub fn ci(request: &Request, reporter: Reporter) -> Result<Summary> {
    let journal = &request.journal;
    let mut phases = Phases::start(journal, "read");
    // The scheduler's help is welcome and not needed.
    let _ = schedule_in_batches();
    let directory = &request.directory;
    let guard = || Guard::enter(directory, reporter, journal.board());
    let _guard = if request.is_nested { None } else { Some(guard()?) };

    let text = ProjectText::read(directory)?;
    if request.reuse.is_some() {
        phases.enter("look");
        if let Some(summary) = unchanged(request, &text)? {
            let (wall, phases) = phases.end();
            return Ok(Summary { wall, phases, usage: usage(), ..summary });
        }
        phases.enter("parse");
    }
    let reading = text.read_lockfile()?;
    let cache = Cache::open(&request.cache, request.umask, journal.board())?;
    let workers = Workers::new(request.jobs);
    let bases = Bases::open(cache.directory(), directory)?;
    network::check(request.network_driver)?;
    let engines = FileEngines::new(request.file_engine, &bases)?;
    let site = Site { bases: &bases, engines: &engines, cache: &cache, workers, journal };
    let (whole, mut inflated) =
        read_whole(&site, &request.supply(), Some(&text), reading, &mut phases)?;
    let completed = std::mem::take(&mut inflated.text);
    let lockfile = whole.map_or_else(|| Lockfile::parse(&completed), Ok)?;
    let targets = TargetTexts::read(directory, &lockfile)?;
    let mut project = Project::new(&text, lockfile, &targets)?;
    project.examined.clone_from(&inflated.examined);
    phases.enter("check");
    let members = &request.settings.members;
    let selection = Selection::new(members, &project.workspaces, &request.seen_from)?;
    let graph = check(&project, !request.settings.legacy_peer_deps)?;
    inflated.refuse_unavailable(&graph)?;
    phases.enter("plan");
    let machine = machine(request, &cache);
    let mut plan = make_plan(request, &graph, &project, &machine, &selection, &inflated)?;
    let policy = make_policy(request, &project, &graph, &plan)?;
    check_tops(directory, &plan.tops)?;
    let doubts = doubts(request, &machine.platform, &plan, &graph, &text, reporter)?;
    plan.warnings.extend(doubts);

    phases.enter("look up");
    let reuse = Reuse::open(directory, &cache, request.reuse)?;
    let question = Question { request, text: &text, machine: &machine, selection: &selection };
    let warnings = [&request.settings.warnings[..], &policy.warnings].concat();
    let mut summary = Summary { warnings, ..Summary::default() };
    summary.tell_lockfile(&text, reporter);
    let has_failed = !inflated.unavailable.is_empty();
    let filled = summary.take_over(inflated);
    let installation = Installation {
        request,
        reporter,
        project: &project,
        graph: &graph,
        plan,
        policy: &policy,
        site,
        filled,
        reuse: &reuse,
        outcome: question.record(&project, &targets),
        has_failed,
        with_scripts: HashSet::new(),
        summary,
    };
    installation.carry_out(phases)
}

/// Everything that an installation knows, from the plan on.
struct Installation<'i, 'p> {
    request: &'i Request,
    reporter: Reporter,
    project: &'i Project<'p>,
    graph: &'i Graph<'p>,
    plan: Plan<'p>,
    policy: &'i Policy,
    site: Site<'i>,
    /// Packages that were unpacked to complete the lockfile.
    filled: HashSet<String>,
    reuse: &'i Reuse<'i>,
    outcome: Outcome,
    /// An optional package could not be had.
    has_failed: bool,
    /// Packages whose tarball has scripts or a `binding.gyp`.
    with_scripts: HashSet<NodeId>,
    summary: Summary,
}

impl Request {
    fn supply(&self) -> Supply<'_> {
        Supply { settings: &self.settings, driver: self.network_driver }
    }
}

impl Summary {
    /// Says which lockfile is installed from, and which is not.
    fn tell_lockfile(&mut self, text: &ProjectText, reporter: Reporter) {
        let (read, passed_over) = text.lockfile_names();
        self.lockfile = read;
        reporter.detail(&format!("read {read} and package.json"));
        if let Some(other) = passed_over {
            self.warnings.push(format!("{other} is not read, because {read} is there as well"));
        }
    }

    /// Takes over what it took to complete the lockfile; gives the packages that were unpacked.
    pub(crate) fn take_over(&mut self, inflated: Inflated) -> HashSet<String> {
        self.warnings.extend(inflated.warnings);
        let left_out = inflated.unavailable.into_iter().map(|(_, error)| left_out(&error));
        self.warnings.extend(left_out);
        let from_npm_cache = self.from_npm_cache;
        inflated.filled.deliveries.into_iter().for_each(|filled| self.take_over_delivery(filled));
        let from_npm_cache = self.from_npm_cache - from_npm_cache;
        self.downloaded += inflated.filled.unpacked.len().saturating_sub(from_npm_cache);
        inflated.filled.unpacked
    }

    fn take_over_delivery(&mut self, delivered: Delivered) {
        let Delivered { placed, traffic, from_npm_cache, warnings, .. } = delivered;
        self.placed += placed;
        self.from_npm_cache += from_npm_cache;
        self.requests += traffic.requests;
        self.bytes_received += traffic.bytes_received;
        self.network = traffic.network.or(self.network.take());
        self.refusals.extend(traffic.refusal);
        self.warnings.extend(warnings);
    }
}

/// What the lockfile leaves open, as warnings; an error where that is asked.
fn doubts(
    request: &Request,
    platform: &Platform,
    plan: &Plan<'_>,
    graph: &Graph<'_>,
    text: &ProjectText,
    reporter: Reporter,
) -> Result<Vec<String>> {
    let (lockfile, _) = text.lockfile_names();
    let unverified = Unverified::of(plan);
    if request.strict_integrity {
        unverified.refuse(lockfile)?;
    }
    if let Some(detail) = unverified.detail(lockfile) {
        reporter.detail(&detail);
    }
    let mut doubts: Vec<_> = unverified.warning(lockfile).into_iter().collect();
    let missing = MissingOptional::find(graph, plan.installed(graph), platform);
    if !missing.is_empty() && !request.settings.omit.optional {
        if request.fail_on_missing_optional {
            return Err(missing.error(lockfile));
        }
        doubts.push(missing.warning(lockfile));
    }
    Ok(doubts)
}

fn left_out(error: &Error) -> String {
    format!("left out an optional package: {error:?}")
}

impl<'p> Installation<'_, 'p> {
    /// All of it, from the old tree to what is told of the new one.
    fn carry_out(mut self, mut phases: Phases<'_>) -> Result<Summary> {
        let mut aside = Aside::default();
        let installed = self.install(&mut aside, &mut phases);
        phases.enter("remove old");
        // Also after a failure: what was moved aside is not wanted back.
        let removed = aside.remove(&self.site, &self.request.directory);
        self.summary.refusals.extend(self.site.engines.refusal());
        for why in &self.summary.refusals {
            self.reporter.detail(&format!("io_uring is not used: {why}"));
        }
        let kept = installed?;
        removed?;
        phases.enter("build");
        // From here on scripts may change what lies in other packages.
        let before_scripts = self.reuse.is_wanted().then(settle);
        let mut scripts = Scripts::new(self.stage(), self.graph);
        self.build(&mut scripts, &kept)?;
        phases.enter("hidden lock");
        self.write_hidden_lock()?;
        if self.policy.runs_any() {
            phases.enter("scripts");
            scripts.run_project(self.plan.added(self.graph) > 0)?;
        }
        let has_run = !scripts.ran.is_empty();
        self.summary.scripts.ran = scripts.ran;
        if self.reuse.is_wanted() {
            phases.enter("record");
            self.outcome.before_scripts = before_scripts.filter(|_| has_run);
            self.write_record(&kept);
        }
        Ok(self.summarize(&kept, phases))
    }

    /// From an old tree, or none, to the new one, but for the hidden lockfile.
    fn install(&mut self, aside: &mut Aside, phases: &mut Phases<'_>) -> Result<Kept> {
        let Self { request, graph, project, .. } = *self;
        let directory = &request.directory;
        let placements = Placements::new(directory, request.link_mode, request.settings.umask);
        let mut parcels = pack(graph, &self.plan, placements, self.policy)?;
        let kept = self.keep(&mut parcels);
        request.supply().look_up(&self.site, &mut parcels)?;
        self.distrust(&mut parcels, &kept)?;
        let is_workspace = |top: &str| project.workspaces.iter().any(|one| one.path == top);
        let below_other_tops = self.plan.below_other_tops(graph, is_workspace);
        let below_other_tops: Vec<_> =
            below_other_tops.filter(|path| !kept.covers(path.as_str())).collect();
        let (site, reuse) = (self.site, self.reuse);
        phases.enter("install");
        self.deliver(&mut parcels, || {
            reuse.forget();
            aside.take(&site, directory, &project.workspaces, &kept)?;
            remove_packages(&site, below_other_tops.into_iter())
        })?;
        phases.enter("link");
        make_links(&site, &self.plan.links)?;
        Ok(kept)
    }

    /// Delivers parcels and takes over what was done; optional packages that could not be had
    /// leave with their sets.
    fn deliver(
        &mut self,
        parcels: &mut [Parcel<'p>],
        make_room: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let missing = parcels.iter().filter(|parcel| parcel.stored.is_none()).count();
        self.reporter.detail(&format!(
            "the cache {} has {} of {}",
            self.request.cache.display(),
            parcels.len() - missing,
            count(parcels.len(), "tarball"),
        ));
        let is_reused =
            |parcel: &&Parcel<'_>| parcel.stored.is_some() && !self.filled.contains(&parcel.label);
        let reused = parcels.iter().filter(is_reused).count();
        let supply = self.request.supply();
        let mut delivered = supply.deliver(&self.site, parcels, make_room)?;
        let failed = std::mem::take(&mut delivered.failed);
        self.with_scripts.extend(std::mem::take(&mut delivered.with_scripts));
        let summary = &mut self.summary;
        summary.downloaded += missing - failed.len() - delivered.from_npm_cache;
        summary.reused += reused;
        summary.take_over_delivery(delivered);
        self.has_failed |= !failed.is_empty();
        let mut nodes = Vec::new();
        for (index, error) in failed {
            summary.warnings.push(left_out(&error));
            nodes.extend(parcels[index].targets.iter().map(|target| target.node));
        }
        let left_out = self.plan.leave_out(self.graph, &nodes);
        remove_packages(&self.site, left_out.into_iter())
    }

    /// Written last: who reads it finds all that it names. Where nothing was to be installed, there
    /// may be no folder for it, and none is made.
    fn write_hidden_lock(&self) -> Result<()> {
        let directory = &self.request.directory;
        if !directory.join("node_modules").is_dir() {
            return Ok(());
        }
        let brought = self.plan.bundled.iter().filter(|id| !self.plan.left_out.contains(id));
        let bundles = BundleTexts::read(directory, self.graph, brought.copied())?;
        let nodes = self.plan.listed(self.graph);
        let hides_resolved = self.request.settings.omit_lockfile_registry_resolved;
        let built = self.built();
        let head = &self.project.lockfile_head;
        let workers = self.site.workers;
        let text = hidden_lock(self.graph, nodes, &bundles, head, hides_resolved, &built, workers);
        write_hidden_lock(directory, &text)
    }

    fn funding(&self) -> usize {
        let nodes = self.plan.installed(self.graph);
        if self.request.settings.fund { count_funded(self.graph, nodes) } else { 0 }
    }

    fn summarize(self, kept: &Kept, phases: Phases<'_>) -> Summary {
        let funding = self.funding();
        let mut summary = self.summary;
        summary.links = self.plan.links.len();
        let is_kept = |id: &NodeId| kept.covers(self.graph.node(*id).path.as_str());
        summary.kept = self.plan.placed(self.graph).filter(is_kept).count();
        let added = self.plan.placed(self.graph).filter(|id| !is_kept(id));
        summary.packages = installed_packages(self.graph, added, &self.request.directory);
        summary.funding = funding;
        summary.with_scripts = self.plan.with_scripts;
        summary.warnings.extend(self.plan.warnings);
        (summary.wall, summary.phases) = phases.end();
        summary.usage = usage();
        summary.operations = self.site.engines.tally();
        summary.kernel_workers = self.site.engines.kernel_workers();
        summary
    }
}

/// The machine that this is, and the one that the settings name.
fn machine(request: &Request, cache: &Cache) -> Machine {
    let settings = &request.settings;
    let host = Platform::current();
    let platform = host.or(&settings.os, &settings.cpu, &settings.libc);
    Machine { platform, host, engines: Engines::detect(&request.settings.path, cache.directory()) }
}

fn make_plan<'p>(
    request: &Request,
    graph: &Graph<'p>,
    project: &Project<'p>,
    machine: &Machine,
    selection: &Selection,
    inflated: &Inflated,
) -> Result<Plan<'p>> {
    let settings = &request.settings;
    let choice = Choice {
        platform: &machine.platform,
        host: &machine.host,
        engines: &machine.engines,
        omit: settings.omit,
        selection,
        allowances: settings.allowances,
        is_engine_strict: settings.engine_strict,
        is_forced: settings.force,
        with_bins: settings.bin_links,
        unavailable: &inflated.unavailable.iter().map(|(path, _)| path.clone()).collect(),
    };
    Plan::new(graph, project, &choice, &settings.registries)
}
