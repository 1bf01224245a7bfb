//! Lifecycle scripts: whose run, in which order, and what becomes of one that fails.
//!
//! The order is npm's: of all packages first `preinstall`, then their commands are linked, then
//! `install`, then `postinstall`; after them the same for links, whose `prepare` comes before their
//! commands. Then, when the hidden lockfile is written, the project's own. Sources:
//! @npmcli/arborist 9, lib/arborist/rebuild.js and reify.js; npm 11.19, lib/commands/ci.js.

use std::collections::HashSet;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use crate::bins::BinLink;
use crate::config::ScriptSettings;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::install_path::InstallPath;
use crate::journal::{Event, Journal};
use crate::manifest::{CHANGE_EVENTS, PROJECT_EVENTS};
use crate::plan::{Plan, count};
use crate::platform::Engines;
use crate::report::{Reporter, Stdout};
use crate::running::Running;

mod environment;
mod failure;
mod output;
mod packages;
mod patches;
mod policy;
mod run;
mod summary;
mod tools;

pub use packages::{Found, Search, Unreviewed};
pub use policy::{Policy, ScriptMode, Verdict};
pub use summary::{ScriptSummary, refuse_unreviewed};

use environment::Surroundings;
use failure::failure;
use packages::Package;
use run::{Ended, Launch, Stream, run};
use tools::Tools;

/// Where scripts run, and how.
#[derive(Clone, Debug)]
pub struct Stage<'s> {
    pub directory: &'s Path,
    pub settings: &'s ScriptSettings,
    /// Where programs are looked for.
    pub path: &'s str,
    pub cache: &'s Path,
    /// How many scripts of dependencies run at the same time.
    pub at_once: usize,
    pub reporter: Reporter,
    pub journal: &'s Journal,
}

/// One script that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    pub label: String,
    pub path: String,
    pub event: String,
}

/// What has been done with scripts so far, and what is needed to run more.
#[derive(Debug)]
pub struct Scripts<'s, 'p> {
    stage: Stage<'s>,
    graph: &'s Graph<'p>,
    /// Made for the first script: most projects have none.
    means: Option<Means>,
    pub ran: Vec<Ran>,
    pub warnings: Vec<String>,
    /// Optional packages that failed, with all that goes with them.
    pub removed: Vec<InstallPath<'p>>,
    pub removed_bins: Vec<String>,
}

/// What every script needs.
#[derive(Debug)]
struct Means {
    surroundings: Surroundings,
    running: Running,
    has_node_gyp: bool,
}

/// The commands that are to be linked now: of packages or of links, and which of their packages
/// have run a script that may have made or changed them.
#[derive(Debug)]
pub struct BinPhase<'b, 'p> {
    pub bins: Vec<&'b BinLink<'p>>,
    pub touched: HashSet<NodeId>,
}

impl<'s, 'p> Scripts<'s, 'p> {
    pub fn new(stage: Stage<'s>, graph: &'s Graph<'p>) -> Self {
        Self {
            stage,
            graph,
            means: None,
            ran: Vec::new(),
            warnings: Vec::new(),
            removed: Vec::new(),
            removed_bins: Vec::new(),
        }
    }

    /// Links the commands of all dependencies and runs their scripts.
    pub fn build(
        &mut self,
        plan: &mut Plan<'p>,
        found: &Found,
        mut link_bins: impl FnMut(BinPhase<'_, 'p>) -> Result<()>,
    ) -> Result<()> {
        for (packages, is_links) in [(&found.packages, false), (&found.links, true)] {
            self.run_event(plan, packages, "preinstall")?;
            if is_links {
                self.run_event(plan, packages, "prepare")?;
            }
            let has_run = |package: &&Package| {
                ["preinstall", "prepare"].iter().any(|event| package.scripts.contains_key(*event))
            };
            let touched = packages.iter().filter(has_run).filter_map(|package| package.node);
            let is_of_link = |node: NodeId| self.graph.node(node).link_target.is_some();
            let bins = plan.bins.iter().filter(|bin| is_of_link(bin.node) == is_links);
            link_bins(BinPhase { bins: bins.collect(), touched: touched.collect() })?;
            self.run_event(plan, packages, "install")?;
            self.run_event(plan, packages, "postinstall")?;
        }
        Ok(())
    }

    /// The scripts of the root that npm runs once the tree stands, with the terminal as their own.
    /// `has_changed` says whether anything was installed.
    pub fn run_project(&mut self, has_changed: bool) -> Result<()> {
        let stream = if self.stage.settings.foreground { self.inherited() } else { Stream::Kept };
        for event in CHANGE_EVENTS.into_iter().filter(|_| has_changed) {
            self.run_of_project(event, stream)?;
        }
        for event in PROJECT_EVENTS {
            self.run_of_project(event, self.inherited())?;
        }
        Ok(())
    }

    fn run_of_project(&mut self, event: &str, stream: Stream) -> Result<()> {
        let Some(package) = packages::project(self.stage.directory) else { return Ok(()) };
        let Some(script) = package.scripts.get(event) else { return Ok(()) };
        let launch = self.launch(&package, event, script, stream)?;
        let running = self.running()?;
        self.announce(&package, event, &launch);
        let ended = told(self.stage.journal, &package.path, &launch, || {
            run(&launch, &running, self.stage.journal)
        });
        running.check_signal("scripts were running")?;
        if let Some(error) = failure(&package, event, &launch, ended) {
            return Err(self.with_hint(error, &launch));
        }
        self.ran.push(ran(&package, event));
        Ok(())
    }

    /// Runs one event of all packages that have it, several at a time, started in order. Only the
    /// failure of a package that the tree cannot do without is an error.
    fn run_event(
        &mut self,
        plan: &mut Plan<'p>,
        packages: &[Package],
        event: &'static str,
    ) -> Result<()> {
        let is_foreground = self.stage.settings.foreground;
        let stream = if is_foreground { self.inherited() } else { Stream::Kept };
        let at_once = if is_foreground { 1 } else { self.stage.at_once };
        let mut launches = Vec::new();
        for package in packages {
            if let Some(script) = package.scripts.get(event) {
                launches.push((package, self.launch(package, event, script, stream)?));
            }
        }
        if launches.is_empty() {
            return Ok(());
        }
        let running = self.running()?;
        let (sender, ends) = mpsc::channel();
        let mut first_error = None;
        std::thread::scope(|scope| {
            let mut next = launches.iter().enumerate();
            let mut active = 0;
            loop {
                while active < at_once && first_error.is_none() {
                    let Some((place, (package, launch))) = next.next() else { break };
                    if package.node.is_some_and(|node| plan.left_out.contains(&node)) {
                        continue;
                    }
                    self.announce(package, event, launch);
                    let (sender, running) = (sender.clone(), running.clone());
                    let journal = self.stage.journal;
                    scope.spawn(move || {
                        let run = || run(launch, &running, journal);
                        let ended = told(journal, &package.path, launch, run);
                        // The receiver stays until all have ended.
                        let _ = sender.send((place, ended));
                    });
                    active += 1;
                }
                if active == 0 {
                    break;
                }
                let Ok((place, ended)) = ends.recv() else { break };
                active -= 1;
                let (package, launch) = &launches[place];
                match failure(package, event, launch, ended) {
                    None => self.ran.push(ran(package, event)),
                    Some(error) if package.is_optional && running.signal().is_none() => {
                        self.leave_out(plan, package, &error);
                    }
                    Some(error) => {
                        if first_error.is_none() {
                            running.end_all();
                        }
                        first_error.get_or_insert_with(|| self.with_hint(error, launch));
                    }
                }
            }
        });
        running.check_signal("scripts were running")?;
        first_error.map_or(Ok(()), Err)
    }

    /// npm removes an optional package that cannot be built, and all that goes with it.
    fn leave_out(&mut self, plan: &mut Plan<'p>, package: &Package, error: &Error) {
        let Some(node) = package.node else { return };
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        self.warnings.push(format!("left out an optional package: {first}"));
        let before: Vec<_> = plan.bins.iter().map(|bin| (bin.node, bin.at.clone())).collect();
        self.removed.extend(plan.leave_out(self.graph, &[node]));
        let is_gone = |(node, _): &(NodeId, String)| plan.left_out.contains(node);
        self.removed_bins.extend(before.into_iter().filter(is_gone).map(|(_, at)| at));
    }

    fn announce(&self, package: &Package, event: &str, launch: &Launch) {
        let script = launch.script.trim();
        if launch.stream == Stream::Kept {
            let label = &launch.package;
            self.stage.reporter.detail(&format!("running {event} of {label}: {script}"));
        } else {
            let label = &package.label;
            let space = if label.is_empty() { "" } else { " " };
            let script = script.replace('\n', "\n> ");
            self.stage.reporter.announce(&format!("\n> {label}{space}{event}\n> {script}\n"));
        }
    }

    fn inherited(&self) -> Stream {
        // A result for machines has stdout to itself.
        match self.stage.reporter.stdout {
            Stdout::Text => Stream::Inherited,
            Stdout::Json | Stdout::Events => Stream::InheritedStderr,
        }
    }

    fn launch(
        &mut self,
        package: &Package,
        event: &str,
        script: &str,
        stream: Stream,
    ) -> Result<Launch> {
        let shell = self.stage.settings.shell.clone().unwrap_or_else(|| "sh".to_owned());
        let surroundings = &self.means()?.surroundings;
        let directory = package.directory.clone();
        let variables = surroundings.variables(&directory, &package.variables, event, script);
        let package = match package.label.as_str() {
            "" => "the project".to_owned(),
            label => label.to_owned(),
        };
        let (event, script) = (event.to_owned(), script.to_owned());
        Ok(Launch { package, event, shell, script, directory, variables, stream })
    }

    fn running(&mut self) -> Result<Running> {
        self.means().map(|means| means.running.clone())
    }

    fn means(&mut self) -> Result<&Means> {
        let means = match self.means.take() {
            Some(means) => means,
            None => self.make_means()?,
        };
        Ok(self.means.insert(means))
    }

    fn make_means(&self) -> Result<Means> {
        let Stage { directory, settings, path, cache, reporter, .. } = self.stage;
        let node_gyp = settings.node_gyp.as_deref();
        let tools = Tools::find(path, node_gyp, &cache.join("commands"))?;
        let engines = Engines::detect(path, cache);
        let has_color = reporter.has_color();
        let surroundings = Surroundings::new(settings, &tools, &engines, directory, has_color);
        let has_node_gyp = tools.has_node_gyp(path);
        Ok(Means { surroundings, running: Running::watch(self.stage.journal), has_node_gyp })
    }

    fn with_hint(&self, error: Error, launch: &Launch) -> Error {
        let has_node_gyp = self.means.as_ref().is_some_and(|means| means.has_node_gyp);
        if launch.script.contains("node-gyp") && !has_node_gyp {
            return error.with_hint(
                "node-gyp is not installed: install npm or node-gyp, or name its \
                 bin/node-gyp.js in npm_config_node_gyp",
            );
        }
        error
    }
}

/// Runs a script, and tells the journal of its start and its end.
fn told(
    journal: &Journal,
    path: &str,
    launch: &Launch,
    run: impl FnOnce() -> io::Result<Ended>,
) -> io::Result<Ended> {
    let Launch { package, event: script, script: command, .. } = launch;
    journal.tell(|| Event::ScriptStarted { package, path, script, command });
    let _span = journal.span(|| format!("{script} {package}"));
    let began = Instant::now();
    let ended = run();
    journal.tell(|| {
        let status = ended.as_ref().ok().map(|ended| ended.status);
        Event::ScriptEnded {
            package,
            path,
            script,
            duration: began.elapsed().as_secs_f64(),
            exit_code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
        }
    });
    ended
}

fn ran(package: &Package, event: &str) -> Ran {
    Ran { label: package.label.clone(), path: package.path.clone(), event: event.to_owned() }
}

/// `3 scripts of 2 packages`.
pub fn count_ran(ran: &[Ran]) -> String {
    let packages: HashSet<_> = ran.iter().map(|one| one.path.as_str()).collect();
    format!("{} of {}", count(ran.len(), "script"), count(packages.len(), "package"))
}
