//! What has to be done, as a value: which packages are installed where, and which are not.
//! Nothing here touches the disk or the network.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::bins::{BinLink, find_bins};
use crate::config::Omit;
use crate::dev_engines;
use crate::error::{Code, Error, Result};
use crate::graph::{Graph, NodeId, optional_set};
use crate::install_path::InstallPath;
use crate::manifest::{Manifest, parse_list};
use crate::platform::{Engines, Platform};
use crate::project::Project;
use crate::registry::{Registries, Source};
use crate::selection::Selection;
use crate::sources::allowance::Allowances;

#[cfg(test)]
mod tests;

/// How packages are chosen.
#[derive(Debug)]
pub struct Choice<'c> {
    pub platform: &'c Platform,
    /// The machine as it is: packages that are not optional are held against it even where `--os`,
    /// `--cpu` or `--libc` name another.
    pub host: &'c Platform,
    pub engines: &'c Engines,
    pub omit: Omit,
    pub selection: &'c Selection,
    pub allowances: Allowances,
    pub is_engine_strict: bool,
    /// Whether the rules for packages that are not optional are waived (`force`).
    pub is_forced: bool,
    pub with_bins: bool,
    /// The paths of packages that are known not to be had.
    pub unavailable: &'c HashSet<String>,
}

#[derive(Debug)]
pub struct Plan<'p> {
    pub tarballs: Vec<Tarball<'p>>,
    pub links: Vec<Link<'p>>,
    pub bins: Vec<BinLink<'p>>,
    /// What is left out: for another platform, omitted, or below such a package.
    pub left_out: HashSet<NodeId>,
    /// The part of the tree that was asked for; `None` for all of it.
    pub selected: Option<HashSet<NodeId>>,
    /// Packages of bundles: they come with the tarball of another package.
    pub bundled: BTreeSet<NodeId>,
    /// Folders outside the root's `node_modules` that get one of their own.
    pub tops: Vec<InstallPath<'p>>,
    pub warnings: Vec<String>,
    /// How many packages have lifecycle scripts of their own.
    pub with_scripts: usize,
}

/// One tarball and every place it goes to.
#[derive(Debug)]
pub struct Tarball<'p> {
    /// The name in the registry, which an alias hides.
    pub name: &'p str,
    pub version: &'p str,
    pub resolved: Option<&'p str>,
    pub integrity: Option<&'p str>,
    pub source: Source,
    pub targets: Vec<NodeId>,
}

/// A symbolic link to a folder of the project.
#[derive(Debug, PartialEq, Eq)]
pub struct Link<'p> {
    pub at: InstallPath<'p>,
    pub target: InstallPath<'p>,
}

impl<'p> Plan<'p> {
    /// Decides for every package of the graph; a package that cannot be installed is an error
    /// before anything is touched.
    pub fn new(
        graph: &Graph<'p>,
        project: &Project<'p>,
        choice: &Choice<'_>,
        registries: &Registries,
    ) -> Result<Self> {
        let mut warnings = Vec::new();
        let mut left_out = incompatible(graph, project, choice, &mut warnings)?;
        // npm leaves out where it installs, so what it cannot reach is not omitted either.
        let is_in_reach =
            |id: &NodeId| graph.parents(*id).last().is_none_or(|top| !is_out_of_reach(graph, top));
        let is_omitted = |id: &NodeId| is_omitted(graph, project, *id, choice.omit);
        left_out.extend(graph.wanted().filter(is_in_reach).filter(is_omitted));
        let nested: Vec<_> = graph
            .wanted()
            .filter(|id| graph.parents(*id).any(|parent| left_out.contains(&parent)))
            .collect();
        left_out.extend(nested);

        let mut plan = Self {
            tarballs: Vec::new(),
            links: Vec::new(),
            bins: Vec::new(),
            left_out,
            selected: choice.selection.nodes(graph),
            bundled: BTreeSet::new(),
            tops: Vec::new(),
            warnings,
            with_scripts: 0,
        };
        plan.leave_out_denied(graph, project, choice, registries)?;
        plan.sort_packages(graph, registries)?;
        if choice.with_bins {
            plan.bins = find_bins(graph, plan.placed(graph));
        }
        Ok(plan)
    }

    /// The nodes that are installed, in the lockfile's order.
    pub fn installed<'g>(&'g self, graph: &'g Graph<'p>) -> impl Iterator<Item = NodeId> + 'g {
        let is_selected = |id: &NodeId| self.selected.as_ref().is_none_or(|set| set.contains(id));
        graph.wanted().filter(|id| !self.left_out.contains(id)).filter(is_selected)
    }

    /// Those of them that are put somewhere: in the root's `node_modules` or in that of a folder
    /// that lies in no other workspace.
    pub fn placed<'g>(&'g self, graph: &'g Graph<'p>) -> impl Iterator<Item = NodeId> + 'g {
        self.installed(graph).filter(|id| {
            let top = graph.parents(*id).last();
            top.is_some_and(|top| !is_out_of_reach(graph, top))
        })
    }

    /// Those that the hidden lockfile lists: npm drops a folder that was not selected with all that
    /// lies below it, be that selected or not.
    pub fn listed<'g>(&'g self, graph: &'g Graph<'p>) -> impl Iterator<Item = NodeId> + 'g {
        let is_selected = |id: &NodeId| self.selected.as_ref().is_none_or(|set| set.contains(id));
        let above = |id: NodeId| {
            std::iter::successors(graph.node(id).resolve_parent, |id| {
                graph.node(*id).resolve_parent
            })
        };
        self.installed(graph)
            .filter(move |id| above(*id).all(|id| id == Graph::ROOT || is_selected(&id)))
    }

    /// Takes packages out again that turned out not to be had, with all that goes with them.
    pub fn leave_out(&mut self, graph: &Graph<'p>, failed: &[NodeId]) -> Vec<InstallPath<'p>> {
        let mut removed = HashSet::new();
        for id in failed {
            let set = optional_set(graph, *id, &self.left_out);
            self.left_out.extend(set.iter().copied());
            removed.extend(set);
        }
        let nested: Vec<_> = graph
            .wanted()
            .filter(|id| graph.parents(*id).any(|parent| removed.contains(&parent)))
            .collect();
        self.left_out.extend(nested);
        self.bins.retain(|bin| !self.left_out.contains(&bin.node));
        let in_node_modules = |id: &NodeId| graph.node(*id).parent.is_some();
        removed.into_iter().filter(in_node_modules).map(|id| graph.node(id).path).collect()
    }

    /// How many packages the tree has: everything in a `node_modules`.
    pub fn added(&self, graph: &Graph<'p>) -> usize {
        self.placed(graph).count()
    }

    /// The paths of packages and links below folders that are not ours to empty.
    pub fn below_other_tops<'g>(
        &'g self,
        graph: &'g Graph<'p>,
        is_workspace: impl Fn(&str) -> bool + 'g,
    ) -> impl Iterator<Item = InstallPath<'p>> + 'g {
        self.placed(graph)
            .filter(move |id| {
                let top = graph.parents(*id).last();
                top.is_some_and(|top| {
                    top != Graph::ROOT && !is_workspace(graph.node(top).path.as_str())
                })
            })
            .map(|id| graph.node(id).path)
    }

    /// npm does without an optional package that may not be fetched.
    fn leave_out_denied(
        &mut self,
        graph: &Graph<'p>,
        project: &Project<'p>,
        choice: &Choice<'_>,
        registries: &Registries,
    ) -> Result<()> {
        let ids = self.placed(graph);
        let denied = choice.allowances.denied(graph, project, registries, ids)?;
        let warning = |id: &NodeId| {
            let path = graph.node(*id).path.as_str();
            format!("left out an optional package: {path} may not come from where it does")
        };
        self.warnings.extend(denied.iter().map(warning));
        self.leave_out(graph, &denied);
        Ok(())
    }

    fn sort_packages(&mut self, graph: &Graph<'p>, registries: &Registries) -> Result<()> {
        let mut tops = HashSet::new();
        let mut refused = Vec::new();
        let mut by_tarball = HashMap::new();
        let mut unreached = 0;
        let ids: Vec<_> = self.installed(graph).collect();
        for id in ids {
            let node = graph.node(id);
            let Some(parent) = node.parent else { continue };
            let top = graph.parents(id).last().unwrap_or(parent);
            if is_out_of_reach(graph, top) {
                unreached += 1;
                continue;
            }
            if tops.insert(top) && top != Graph::ROOT {
                self.tops.push(graph.node(top).path);
            }
            if let Some(target) = node.link_target {
                self.links.push(Link { at: node.path, target: graph.node(target).path });
                continue;
            }
            if node.path.is_outside() {
                refused.push(format!("{} is outside the project", node.path.as_str()));
                continue;
            }
            self.with_scripts += usize::from(node.entry.has_install_script.0);
            if is_in_bundle(graph, id) {
                self.bundled.insert(id);
                continue;
            }
            match self.add_tarball(graph, id, registries, &mut by_tarball)? {
                None => {}
                Some(refusal) => refused.push(refusal),
            }
        }
        self.warnings.extend(out_of_reach_warning(unreached));
        if refused.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{} of the lockfile come from sources that are not installed\n\n{}",
            count(refused.len(), "package"),
            refused.join("\n")
        );
        Err(Error::new(Code::UnsupportedSource, message)
            .with_hint("install this project with `npm ci`, which knows those sources"))
    }

    /// The reason why it cannot be fetched, if there is one.
    fn add_tarball(
        &mut self,
        graph: &Graph<'p>,
        id: NodeId,
        registries: &Registries,
        by_tarball: &mut HashMap<TarballKey<'p>, usize>,
    ) -> Result<Option<String>> {
        let node = graph.node(id);
        let path = node.path.as_str();
        let name = node.entry.name.get().unwrap_or(node.path.name());
        let resolved = node.entry.resolved.get();
        let integrity = node.entry.integrity.get();
        let version = node.entry.version.get();
        let source = registries.tarball_url(name, version.unwrap_or_default(), resolved)?;
        if version.is_none() && matches!(source, Source::Registry { .. }) {
            let message = format!("the lockfile's entry `{path}` has no version");
            return Err(Error::new(Code::LockfileInvalid, message)
                .with_hint("remove package-lock.json and run `npm install` to write it anew"));
        }
        let refusal = match &source {
            Source::Registry { .. } | Source::Remote(_) | Source::File(_) => None,
            Source::Git(address) => address.source().err(),
            Source::Folder => Some("a folder that is no link"),
            Source::Unknown => Some("an address that is not understood"),
        };
        if let Some(refusal) = refusal {
            return Ok(Some(format!("{path} is {refusal}")));
        }
        let version = version.unwrap_or_default();
        let key = match integrity {
            // What git has is packed anew each time, and npm compares it with no integrity.
            Some(integrity) if !matches!(source, Source::Git(_)) => TarballKey::Content(integrity),
            _ => TarballKey::Name(name, version, resolved),
        };
        if let Some(index) = by_tarball.get(&key) {
            let tarball: &mut Tarball<'p> = &mut self.tarballs[*index];
            tarball.targets.push(id);
            return Ok(None);
        }
        by_tarball.insert(key, self.tarballs.len());
        let targets = vec![id];
        self.tarballs.push(Tarball { name, version, resolved, integrity, source, targets });
        Ok(None)
    }
}

/// Two entries with one key are one download and one folder of the cache.
#[derive(PartialEq, Eq, Hash)]
enum TarballKey<'p> {
    Content(&'p str),
    Name(&'p str, &'p str, Option<&'p str>),
}

/// The optional packages that this machine cannot have, with their optional sets. Packages that
/// are not optional are an error (platform) or a warning (engines).
fn incompatible(
    graph: &Graph<'_>,
    project: &Project<'_>,
    choice: &Choice<'_>,
    warnings: &mut Vec<String>,
) -> Result<HashSet<NodeId>> {
    let root = graph.node(Graph::ROOT).manifest;
    warnings.extend(dev_engines::check(root, choice.engines, choice.host, choice.is_forced)?);
    let mut inert = HashSet::new();
    let mut misfits = Vec::new();
    for id in std::iter::once(Graph::ROOT).chain(graph.wanted()) {
        let manifest = graph.node(graph.target(id)).manifest;
        if graph.node(id).flags.is_optional {
            let fits = choice.engines.allow(manifest)
                && choice.platform.allows(manifest)
                && !choice.unavailable.contains(graph.node(id).path.as_str());
            if !fits && !inert.contains(&id) {
                let set = optional_set(graph, id, &inert);
                inert.extend(set);
            }
            continue;
        }
        if choice.is_forced || is_omitted(graph, project, id, choice.omit) {
            continue;
        }
        let package = || {
            let path = graph.node(id).path;
            let name = if path.is_root() { manifest.name.get() } else { Some(path.name()) };
            format!("{}@{}", name.unwrap_or("the project"), graph.version(id).unwrap_or_default())
        };
        // npm leaves the engines of a project alone that has devEngines.
        let has_own_rules = id == Graph::ROOT && manifest.dev_engines.is_some();
        if !has_own_rules && !choice.engines.allow(manifest) {
            if choice.is_engine_strict {
                let wanted = manifest.engines.map_or("", |engines| engines.get());
                let message = format!("{} wants the engines {}", package(), one_line(wanted));
                return Err(Error::new(Code::BadEngine, message)
                    .with_hint("use the node that it wants, or unset engine-strict"));
            }
            misfits.push(package());
        }
        if !choice.host.allows(manifest) {
            return Err(bad_platform(&package(), graph.node(id).manifest, choice.host));
        }
    }
    warnings.extend(engines_warning(&misfits));
    Ok(inert)
}

/// One line for all of them: a large project has dozens on a node that is a year old.
fn engines_warning(misfits: &[String]) -> Option<String> {
    const SHOWN_MAX: usize = 3;
    let shown = misfits.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match misfits.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!misfits.is_empty()).then(|| {
        format!("EBADENGINE: {shown}{more}: `engines` asks for another version of node or npm")
    })
}

fn bad_platform(package: &str, manifest: &Manifest<'_>, host: &Platform) -> Error {
    let libc = host.libc.as_deref().unwrap_or("unknown");
    let message = format!(
        "unsupported platform for {package}: wanted os [{}], cpu [{}], libc [{}], \
         this is {} {} {libc}",
        parse_list(manifest.os).join(", "),
        parse_list(manifest.cpu).join(", "),
        parse_list(manifest.libc).join(", "),
        host.os,
        host.cpu,
    );
    Error::new(Code::BadPlatform, message)
        .with_hint("it is not an optional dependency, so npm cannot install it here either")
}

/// npm's rule (node.js, `shouldOmit`): only what the root or a workspace brought in is left out;
/// and a workspace without a name is none to it (`isWorkspace`).
fn is_omitted(graph: &Graph<'_>, project: &Project<'_>, id: NodeId, omit: Omit) -> bool {
    let top = graph.parents(id).last().unwrap_or(id);
    let (path, name) = (graph.node(top).path.as_str(), graph.node(top).manifest.name.get());
    let mut workspaces = project.workspaces.iter();
    let is_ours = top == Graph::ROOT
        || workspaces.any(|one| one.path == path && Some(one.name.as_str()) == name);
    let flags = graph.node(id).flags;
    is_ours
        && (flags.is_peer && omit.peer
            || flags.is_dev && omit.dev
            || flags.is_optional && omit.optional
            || flags.is_dev_optional && omit.optional && omit.dev)
}

/// npm installs into the folders of links one level deep: those whose nearest package upwards is
/// the root (@npmcli/arborist 9, lib/diff.js, `allChildren`). What the lockfile has in the
/// `node_modules` of a workspace inside another one is not installed, though the hidden lockfile
/// lists it.
fn is_out_of_reach(graph: &Graph<'_>, top: NodeId) -> bool {
    let above = graph.node(top).resolve_parent;
    top != Graph::ROOT && above.is_some_and(|above| above != Graph::ROOT)
}

fn out_of_reach_warning(number: usize) -> Option<String> {
    (number > 0).then(|| {
        format!(
            "{} in the node_modules of workspaces that lie in other workspaces: left out, as npm \
             leaves them out",
            count(number, "package")
        )
    })
}

/// Whether it comes with the tarball of a package above it. What the root itself bundles is
/// installed like anything else.
fn is_in_bundle(graph: &Graph<'_>, id: NodeId) -> bool {
    graph.node(id).entry.in_bundle.0
        && graph.parents(id).any(|parent| {
            let parent = graph.node(parent);
            parent.parent.is_some() && parent.manifest.has_bundle()
        })
}

/// `1 package`, `2 packages`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
