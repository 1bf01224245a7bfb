//! Commands and lifecycle scripts: what npm calls building a package.

use std::collections::HashSet;

use super::{Installation, Request};
use crate::clear::remove_packages;
use crate::error::Result;
use crate::finish::{make_bins, remove_bins};
use crate::graph::{Graph, NodeId};
use crate::plan::Plan;
use crate::project::Project;
use crate::reuse::Kept;
use crate::scripts::{
    Found, Policy, ScriptMode, ScriptSummary, Scripts, Search, Stage, refuse_unreviewed,
};

impl Request {
    pub(super) fn runs_scripts(&self) -> bool {
        self.scripts != ScriptMode::None && !self.settings.ignore_scripts
    }
}

impl<'i, 'p> Installation<'i, 'p> {
    /// Links the commands of dependencies and runs their scripts, which npm does in turns.
    pub(super) fn build<'s>(&mut self, scripts: &mut Scripts<'s, 'p>, kept: &Kept) -> Result<()> {
        let Self { request, graph, site, policy, .. } = *self;
        let directory = &request.directory;
        let with_scripts = &self.with_scripts;
        let search = Search { graph, plan: &self.plan, policy, directory, with_scripts };
        let mut found = if policy.runs_any() { search.run() } else { Found::default() };
        // Those that stay were built when they came; members of the project are built each time.
        found.packages.retain(|package| !kept.covers(&package.path));
        if policy.is_strict() && !found.unreviewed.is_empty() {
            return Err(refuse_unreviewed(&found.unreviewed));
        }
        let mut bins = 0;
        scripts.build(&mut self.plan, &found, |phase| {
            bins += make_bins(&site, directory, graph, &phase)?;
            Ok(())
        })?;
        self.has_failed |= !scripts.removed.is_empty();
        self.summary.bins = bins - scripts.removed_bins.len().min(bins);
        self.summary.warnings.append(&mut scripts.warnings);
        let mut unreviewed = found.unreviewed;
        unreviewed.retain(|one| !self.plan.left_out.contains(&one.node));
        self.summary.scripts =
            ScriptSummary { mode: policy.mode, unreviewed, ..ScriptSummary::default() };
        remove_bins(&site, &scripts.removed_bins)?;
        remove_packages(&site, scripts.removed.drain(..))
    }

    /// The packages that npm builds, or would build, though nothing but their files says so. It
    /// does not look where neither scripts nor commands are wanted.
    pub(super) fn built(&self) -> HashSet<NodeId> {
        let Self { request, graph, policy, plan, with_scripts, .. } = self;
        if !policy.runs_any() && !request.settings.bin_links {
            return HashSet::new();
        }
        let directory = &request.directory;
        Search { graph, plan, policy, directory, with_scripts }.built()
    }

    pub(super) fn stage(&self) -> Stage<'i> {
        let Self { request, reporter, site, .. } = *self;
        Stage {
            directory: &request.directory,
            settings: &request.settings.scripts,
            path: &request.settings.path,
            cache: site.cache.directory(),
            at_once: request.scripts_at_once,
            journal: &request.journal,
            reporter,
        }
    }
}

/// Before anything is touched, what the lockfile knows of is held against it; what only a tarball
/// tells is seen when it is there, before any script is run.
pub(super) fn make_policy(
    request: &Request,
    project: &Project<'_>,
    graph: &Graph<'_>,
    plan: &Plan<'_>,
) -> Result<Policy> {
    let Request { settings, directory, .. } = request;
    let mode = if request.runs_scripts() { request.scripts } else { ScriptMode::None };
    let policy = Policy::new(directory, project, settings, mode)?;
    if policy.is_strict() {
        let with_scripts = &HashSet::new();
        let search = Search { graph, plan, policy: &policy, directory, with_scripts };
        let unreviewed = search.flagged();
        if !unreviewed.is_empty() {
            return Err(refuse_unreviewed(&unreviewed));
        }
    }
    Ok(policy)
}
