//! What `--reuse` adds to an install: finding out that nothing has changed, keeping what is right,
//! and recording how all looked in the end.

use std::collections::BTreeSet;

use super::{Installation, Request, Summary, machine};
use crate::cache::Cache;
use crate::config::Settings;
use crate::delivery::Parcel;
use crate::error::Result;
use crate::graph::NodeId;
use crate::hidden_lock::HIDDEN_LOCK_PATH;
use crate::plan::Tarball;
use crate::project::{Project, ProjectText, TargetTexts};
use crate::registry::Source;
use crate::reuse::record::Tallies;
use crate::reuse::units::{fingerprints, is_of_every_run};
use crate::reuse::{Asked, Kept, Machine, Others, Outcome, Reuse};
use crate::selection::Selection;
use crate::workers::Workers;
use crate::workspaces::{Workspace, find_workspaces};

/// The summary of an install that has nothing to do; `None` where it has, or may have.
pub(super) fn unchanged(request: &Request, text: &ProjectText) -> Result<Option<Summary>> {
    let Request { directory, settings, .. } = request;
    let cache = Cache::open(&request.cache, request.umask, request.journal.board())?;
    let reuse = Reuse::open(directory, &cache, request.reuse)?;
    let workspaces = find_workspaces(directory, &text.manifest()?)?;
    let selection = Selection::new(&settings.members, &workspaces, &request.seen_from)?;
    let known = reuse.link_targets().iter().map(String::as_str);
    let targets = TargetTexts::read_all(directory, known)?;
    let machine = machine(request, &cache);
    let asked = Question { request, text, machine: &machine, selection: &selection };
    let asked = asked.digest(&workspaces, &targets);
    let Some(record) = asked.and_then(|asked| reuse.unchanged(Workers::new(request.jobs), asked))
    else {
        return Ok(None);
    };
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Some(Summary {
        lockfile: text.lockfile_names().0,
        kept: count(record.tallies.packages),
        with_scripts: count(record.tallies.with_scripts),
        funding: count(record.tallies.funding),
        warnings: [settings.warnings.as_slice(), &record.warnings].concat(),
        ..Summary::default()
    }))
}

/// What is asked for, before there is a plan.
pub(super) struct Question<'q> {
    pub request: &'q Request,
    pub text: &'q ProjectText,
    pub machine: &'q Machine,
    pub selection: &'q Selection,
}

impl Question<'_> {
    fn digest(&self, workspaces: &[Workspace], targets: &TargetTexts) -> Option<[u8; 32]> {
        let Self { request, text, machine, selection } = *self;
        // All settings, also those that others add, and more than can make a difference.
        let Request { settings, link_mode, scripts, .. } = request;
        // What is found on PATH counts, not where.
        let settings = Settings { path: String::new(), ..settings.clone() };
        let strictness = (request.strict_integrity, request.fail_on_missing_optional);
        // Values that may be secret are in the digest, and nowhere else.
        let seen_by_scripts = &settings.scripts.variables;
        let settings =
            format!("{settings:?} {link_mode:?} {scripts:?} {strictness:?} {seen_by_scripts:?}");
        let asked = Asked { text, workspaces, selection, machine, settings: &settings };
        asked.digest(targets.all())
    }

    /// What the record says of the question. It says nothing where the answer hangs on more than
    /// that: on a folder full of commands, or on scripts that run whatever is there.
    pub(super) fn record(&self, project: &Project<'_>, targets: &TargetTexts) -> Outcome {
        let has_folder_of_bins =
            project.packages.iter().skip(1).filter_map(|package| package.on_disk.as_ref());
        let has_folder_of_bins =
            has_folder_of_bins.into_iter().any(|one| one.directories.is_some());
        let runs_scripts = project.has_own_scripts() && self.request.runs_scripts();
        let is_whole = !has_folder_of_bins && !runs_scripts;
        Outcome {
            asked: is_whole.then(|| self.digest(&project.workspaces, targets)).flatten(),
            link_targets: targets.all().map(|(target, _)| target.to_owned()).collect(),
            ..Outcome::default()
        }
    }
}

impl<'p> Installation<'_, 'p> {
    /// Finds what is kept, and takes it out of what is to be done.
    pub(super) fn keep(&mut self, parcels: &mut Vec<Parcel<'p>>) -> Kept {
        if !self.reuse.is_wanted() {
            return Kept::default();
        }
        let how = format!("{:?}", self.request.link_mode);
        let counts = self.policy.runs_any() || self.reuse.has_run_scripts();
        let built = if counts { self.reuse.built() } else { &[] };
        let wanted = fingerprints(self.graph, &self.plan, parcels, &how, built);
        let kept = self.reuse.keep(self.site.workers, &wanted);
        self.outcome.fingerprints = wanted;
        self.outcome.others = self.others();
        for parcel in &mut *parcels {
            parcel.targets.retain(|target| !kept.covers(target.path));
        }
        parcels.retain(|parcel| !parcel.targets.is_empty());
        let is_built = |id: &NodeId| {
            let path = self.graph.node(*id).path.as_str();
            kept.covers(path)
                && self.reuse.built().binary_search_by(|built| built.as_str().cmp(path)).is_ok()
        };
        self.with_scripts.extend(self.plan.placed(self.graph).filter(is_built));
        self.plan.links.retain(|link| !kept.covers(link.at.as_str()));
        self.plan.bins.retain(|bin| !kept.covers(&bin.at));
        kept
    }

    /// A package whose files were changed in place is wrong in the cache, too: it is taken out.
    pub(super) fn distrust(&self, parcels: &mut [Parcel<'p>], kept: &Kept) -> Result<()> {
        for parcel in parcels {
            let is_wrong =
                parcel.targets.iter().any(|target| kept.is_changed_in_cache(target.path));
            if is_wrong && let Some((key, _)) = parcel.stored.take() {
                self.site.cache.take_out(self.site.bases, &key)?;
            }
        }
        Ok(())
    }

    /// For the next run. Without an optional package that could not be had there is none, so that
    /// the next run tries again; nor is there where a tarball on the disk may be another by then.
    pub(super) fn write_record(&mut self, kept: &Kept) {
        let may_change = |tarball: &Tarball<'_>| {
            matches!(tarball.source, Source::File(_)) && tarball.integrity.is_none()
        };
        let is_in_doubt = self.has_failed || self.plan.tarballs.iter().any(may_change);
        if !self.reuse.is_wanted() || is_in_doubt {
            return;
        }
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.tallies = Tallies {
            packages: self.plan.added(self.graph) as u64,
            with_scripts: self.plan.with_scripts as u64,
            funding: self.funding() as u64,
        };
        outcome.warnings.clone_from(&self.plan.warnings);
        let path = |id: &NodeId| self.graph.node(*id).path.as_str().to_owned();
        outcome.built = self.with_scripts.iter().map(path).collect();
        outcome.built.sort_unstable();
        if let Err(error) = self.reuse.write(self.site.workers, kept, outcome) {
            let why = format!("the next run will reuse nothing, this one is not recorded: {error}");
            self.reporter.detail(&why);
        }
    }

    /// What every run makes anew, and the folders that nothing else may lie in.
    fn others(&self) -> Others {
        let Self { graph, project, .. } = *self;
        let mut others = Others::default();
        others.alone.insert(HIDDEN_LOCK_PATH.to_owned());
        let mut emptied = BTreeSet::new();
        for top in std::iter::once("").chain(project.workspaces.iter().map(|one| one.path.as_str()))
        {
            let folder = format!("{top}{}node_modules", if top.is_empty() { "" } else { "/" });
            others.whole.insert(format!("{folder}/.bin"));
            others.alone.insert(folder.clone());
            emptied.insert(folder);
        }
        for unit in self.outcome.fingerprints.keys() {
            let above = unit.rsplit_once('/').map_or("", |(above, _)| above);
            let is_scope =
                above.rsplit_once('/').is_some_and(|(folder, _)| emptied.contains(folder));
            if is_scope {
                others.alone.insert(above.to_owned());
            }
        }
        for bin in &self.plan.bins {
            let of_emptied =
                bin.at.rsplit_once("/.bin/").is_some_and(|(at, _)| emptied.contains(at));
            if is_of_every_run(&bin.at) && !of_emptied {
                others.alone.insert(bin.at.clone());
            }
            if let Some(target) = graph.node(bin.node).link_target {
                let folder = graph.node(target).path.as_str();
                let slash = if folder.is_empty() { "" } else { "/" };
                others.alone.insert(format!("{folder}{slash}{}", bin.file));
            }
        }
        others
    }
}
