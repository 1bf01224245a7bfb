//! The edges of the graph: which they are, where they lead, and whether they are satisfied.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::{Edge, EdgeKind, EdgeProblem, Graph, NodeId};
use crate::manifest::Manifest;
use crate::overrides::Overrides;
use crate::project::Project;
use crate::sources::address::GitAddress;
use crate::specifier::{Specifier, parse_range, resolve_path};

impl<'p> Graph<'p> {
    pub(super) fn add_edges(&mut self, project: &'p Project<'p>, with_peers: bool) {
        for id in self.ids() {
            if self.node(id).link_target.is_some() {
                continue;
            }
            let is_top = self.node(id).parent.is_none();
            let workspaces = if id == Self::ROOT { &project.workspaces[..] } else { &[] };
            let mut edges = declared_edges(self.node(id).manifest, is_top, with_peers);
            for workspace in workspaces {
                edges.retain(|edge| edge.name != workspace.name);
                edges.push(Edge {
                    name: &workspace.name,
                    specifier: Cow::Owned(format!("file:{}", workspace.path)),
                    kind: EdgeKind::Workspace,
                    to: None,
                    problem: None,
                });
            }
            for (place, edge) in edges.iter_mut().enumerate() {
                edge.to = self.resolve(id, edge.name);
                if let Some(to) = edge.to {
                    self.node_mut(to).dependents.push((id, place));
                }
            }
            self.node_mut(id).edges = edges;
        }
        self.parse_specifiers();
        self.place_overrides();
        for id in self.ids() {
            for place in 0..self.node(id).edges.len() {
                let problem = self.problem(id, &self.node(id).edges[place]);
                self.node_mut(id).edges[place].problem = problem;
            }
        }
    }

    fn parse_specifiers(&mut self) {
        let mut specifiers = std::mem::take(&mut self.specifiers);
        for edge in self.nodes.iter().flat_map(|node| &node.edges) {
            if let Cow::Borrowed(text) = edge.specifier {
                specifiers.entry(text).or_insert_with(|| Specifier::parse(text));
            }
        }
        self.specifiers = specifiers;
    }

    /// Passes the rules of `overrides` along the edges, from the root to all it reaches.
    fn place_overrides(&mut self) {
        let Some(overrides) = self.overrides else { return };
        self.node_mut(Self::ROOT).override_place = Some(Overrides::TOP);
        let mut queue = vec![Self::ROOT];
        while let Some(id) = queue.pop() {
            let Some(place) = self.node(id).override_place else { continue };
            for index in 0..self.node(id).edges.len() {
                let edge = &self.node(id).edges[index];
                let Some(to) = edge.to.map(|to| self.target(to)) else { continue };
                let specifier = Specifier::parse(&edge.specifier);
                let rule = overrides.for_edge(place, edge.name, &specifier);
                let now = match self.node(to).override_place {
                    None => rule,
                    Some(before) => overrides.join(before, rule),
                };
                if self.node(to).override_place != Some(now) {
                    self.node_mut(to).override_place = Some(now);
                    queue.push(to);
                }
            }
        }
    }

    fn problem(&self, from: NodeId, edge: &Edge<'p>) -> Option<EdgeProblem> {
        let Some(to) = edge.to else {
            return (edge.kind != EdgeKind::PeerOptional).then_some(EdgeProblem::Missing);
        };
        let is_local_peer = edge.kind.is_peer()
            && self.node(to).parent == Some(from)
            && self.node(from).parent.is_some();
        (is_local_peer || !self.is_satisfied_by(from, edge, to)).then_some(EdgeProblem::Invalid)
    }

    /// Whether `child` is what the edge asks for, overrides included (edge.js, `satisfiedBy`).
    pub fn is_satisfied_by(&self, from: NodeId, edge: &Edge<'p>, child: NodeId) -> bool {
        let parsed;
        let specifier = if let Some(specifier) = self.specifiers.get(&*edge.specifier) {
            specifier
        } else {
            parsed = Specifier::parse(&edge.specifier);
            &parsed
        };
        let is_raw_satisfied = || {
            let accepted = self.node(from).manifest.accept_dependencies.find(edge.name);
            self.is_valid(from, edge.name, child, specifier)
                || accepted.is_some_and(|more| {
                    self.is_valid(from, edge.name, child, &Specifier::parse(more))
                })
        };
        let child_entry = self.node(child).entry;
        let demand = self
            .node(from)
            .override_place
            .zip(self.overrides)
            .filter(|_| !child_entry.in_bundle.0 && !child_entry.has_shrinkwrap.0)
            .and_then(|(place, overrides)| {
                let rule = overrides.for_edge(place, edge.name, specifier);
                overrides.demand(rule, edge.name)
            });
        let Some(demand) = demand else { return is_raw_satisfied() };
        // Paths in overrides are relative to the root.
        self.is_valid(Self::ROOT, edge.name, child, &Specifier::parse(demand.specifier))
            || (is_raw_satisfied()
                && !self.is_valid(from, edge.name, child, &Specifier::parse(demand.key_specifier)))
    }

    /// Follows `depValid` (arborist 9, lib/dep-valid.js).
    fn is_valid(&self, from: NodeId, name: &str, child: NodeId, specifier: &Specifier<'_>) -> bool {
        let version = self.node(self.target(child)).version.as_ref();
        if let Some(answer) = specifier.accepts(version) {
            return answer;
        }
        let child_node = self.node(child);
        let resolved = child_node.entry.resolved.get();
        let below_root = |path: &str| resolve_path(ROOT_STAND_IN.as_ref(), path);
        match specifier {
            Specifier::Alias(_, inner) => self.is_valid(from, name, child, inner),
            Specifier::Directory(path) => child_node.link_target.is_some_and(|target| {
                below_root(self.node(target).path.as_str())
                    == resolve_path(&self.base_of_paths(from), path)
            }),
            Specifier::File(path) => {
                let resolved = resolved.filter(|_| child_node.link_target.is_none());
                resolved.and_then(local_tarball).is_some_and(|resolved| {
                    below_root(resolved) == resolve_path(&self.base_of_paths(from), path)
                })
            }
            Specifier::Remote(address) => resolved == Some(address),
            Specifier::Git(address) => {
                let locked = self.node(from).entry.locked_specifier(name);
                is_same_repository(address, resolved.unwrap_or_default(), locked)
                    && GitAddress::parse(address).is_some_and(|wanted| match wanted.range {
                        None => true,
                        Some(range) => parse_range(&range)
                            .zip(version)
                            .is_some_and(|(range, version)| range.satisfies(version)),
                    })
            }
            Specifier::Any | Specifier::Range(_) | Specifier::Tag(_) => true,
        }
    }

    /// What relative paths in a package's dependencies start from: its folder, or that of the
    /// tarball which it came in (arborist 9, lib/from-path.js). Only relations between paths
    /// matter, so the root stands for itself.
    fn base_of_paths(&self, from: NodeId) -> PathBuf {
        let node = self.node(from);
        let tarball = node.entry.resolved.get().and_then(local_tarball);
        let path = tarball.unwrap_or(node.path.as_str());
        let mut base = resolve_path(ROOT_STAND_IN.as_ref(), path);
        if tarball.is_some() {
            base.pop();
        }
        base
    }
}

/// Deep enough for paths that climb out of the project.
const ROOT_STAND_IN: &str = "/root/1/2/3/4/5/6/7/8/9";

/// The path of a tarball on the disk.
fn local_tarball(resolved: &str) -> Option<&str> {
    match Specifier::parse(resolved) {
        Specifier::File(path) => Some(path),
        _ => None,
    }
}

/// Whether the repository is the one that is asked for, and the commit as far as it can be told:
/// a whole one by itself at known hosts, a branch or tag by what was asked for when the lockfile
/// was written (`locked`).
fn is_same_repository(wanted: &str, resolved: &str, locked: Option<&str>) -> bool {
    let Some(address) = GitAddress::parse(wanted) else { return false };
    let found = GitAddress::parse(resolved);
    let has_commit = address.committish.as_deref().is_some_and(|committish| {
        (40..=64).contains(&committish.len())
            && committish.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let is_same = match (&address.hosted, found.as_ref().and_then(|found| found.hosted.as_ref())) {
        (Some(wanted), Some(found)) => {
            wanted.identity() == found.identity()
                && (!has_commit || wanted.committish == found.committish)
        }
        (None, None) => {
            let found = found.as_ref().and_then(|found| found.remote.as_ref());
            found.is_some() && found == address.remote.as_ref()
        }
        _ => false,
    };
    let has_moved = || {
        let locked = GitAddress::parse(locked?)?;
        Some(locked.committish != address.committish)
    };
    is_same && (has_commit || address.range.is_some() || has_moved() != Some(true))
}

/// The edges that a manifest declares; a later kind replaces an earlier one of the same name, in
/// npm's order (node.js, `_loadDeps`).
fn declared_edges<'p>(manifest: &'p Manifest<'p>, is_top: bool, with_peers: bool) -> Vec<Edge<'p>> {
    let mut edges: Vec<Edge<'p>> = Vec::new();
    let mut places = HashMap::new();
    let mut add = |name: &'p str, specifier: &'p str, kind: EdgeKind| {
        let specifier = Cow::Borrowed(specifier);
        let edge = Edge { name, specifier, kind, to: None, problem: None };
        let place = *places.entry(name).or_insert(edges.len());
        if place == edges.len() {
            edges.push(edge);
        } else {
            edges[place] = edge;
        }
    };
    if with_peers && !manifest.peer_dependencies.is_empty() {
        let optional: HashSet<_> = manifest.optional_peers().into_iter().collect();
        for (name, specifier) in manifest.peer_dependencies.pairs() {
            let is_optional = optional.contains(name);
            let kind = if is_optional { EdgeKind::PeerOptional } else { EdgeKind::Peer };
            add(name, specifier, kind);
        }
    }
    for (name, specifier) in manifest.dependencies.pairs() {
        add(name, specifier, EdgeKind::Production);
    }
    for (name, specifier) in manifest.optional_dependencies.pairs() {
        add(name, specifier, EdgeKind::Optional);
    }
    if is_top {
        for (name, specifier) in manifest.dev_dependencies.pairs() {
            add(name, specifier, EdgeKind::Development);
        }
    }
    edges
}
