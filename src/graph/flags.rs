//! Why a package is in the tree: which of `dev`, `optional`, `peer` and `extraneous` hold for it.
//!
//! npm computes them anew on every `ci`, so what the lockfile says of them is not used. Source:
//! @npmcli/arborist 9, lib/calc-dep-flags.js, lib/optional-set.js and lib/gather-dep-set.js.

use std::collections::HashSet;

use super::{EdgeKind, Graph, NodeId};

/// Each holds where every way from the root to the package has that property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are npm's five independent flags")]
pub struct DependencyFlags {
    /// Nothing asks for it.
    pub is_extraneous: bool,
    pub is_dev: bool,
    pub is_optional: bool,
    pub is_peer: bool,
    /// Reached by `dev` ways and by `optional` ones, and by no others.
    pub is_dev_optional: bool,
}

impl DependencyFlags {
    /// Before the walk everything is assumed; each way that lacks a property takes it away.
    pub(super) const UNKNOWN: Self = Self {
        is_extraneous: true,
        is_dev: true,
        is_optional: true,
        is_peer: true,
        is_dev_optional: true,
    };

    const ROOT: Self = Self {
        is_extraneous: false,
        is_dev: false,
        is_optional: false,
        is_peer: false,
        is_dev_optional: false,
    };

    /// What is left of the flags of a package after an edge of this kind has reached it.
    fn reached(self, from: Self, kind: EdgeKind) -> Self {
        let is_dev_edge = kind == EdgeKind::Development;
        Self {
            is_extraneous: self.is_extraneous
                && (from.is_extraneous || kind == EdgeKind::PeerOptional),
            is_dev: self.is_dev && (from.is_dev || is_dev_edge),
            is_optional: self.is_optional && (from.is_optional || kind.is_optional()),
            is_peer: self.is_peer && (from.is_peer || kind.is_peer()),
            is_dev_optional: self.is_dev_optional
                && (from.is_dev_optional
                    || from.is_dev
                    || from.is_optional
                    || is_dev_edge
                    || kind.is_optional()),
        }
    }

    /// What is left of the flags of a link's target.
    fn linked(self, from: Self) -> Self {
        Self {
            is_extraneous: self.is_extraneous && from.is_extraneous,
            is_dev: self.is_dev && from.is_dev,
            is_optional: self.is_optional && from.is_optional,
            is_peer: self.is_peer && from.is_peer,
            is_dev_optional: self.is_dev_optional && from.is_dev_optional,
        }
    }
}

impl Graph<'_> {
    pub(super) fn compute_flags(&mut self) {
        self.node_mut(Self::ROOT).flags = DependencyFlags::ROOT;
        let mut queue = vec![Self::ROOT];
        let mut seen = vec![false; self.nodes.len()];
        while let Some(id) = queue.pop() {
            seen[id.0 as usize] = true;
            let flags = self.node(id).flags;
            if !flags.is_extraneous {
                self.keep_parents(id);
            }
            if let Some(target) = self.node(id).link_target {
                let before = self.node(target).flags;
                let after = before.linked(flags);
                self.node_mut(target).flags = after;
                if after != before || !seen[target.0 as usize] {
                    queue.push(target);
                }
                continue;
            }
            for index in 0..self.node(id).edges.len() {
                let edge = &self.node(id).edges[index];
                let (Some(to), kind) = (edge.to, edge.kind) else { continue };
                let before = self.node(to).flags;
                let after = before.reached(flags, kind);
                if after != before {
                    self.node_mut(to).flags = after;
                    queue.push(to);
                }
            }
        }
        for id in self.ids().skip(1).filter(|id| seen[id.0 as usize]) {
            let flags = &mut self.node_mut(id).flags;
            flags.is_dev_optional &= !flags.is_dev && !flags.is_optional;
        }
    }

    /// A package that is wanted keeps those in whose folder it lies.
    fn keep_parents(&mut self, id: NodeId) {
        let mut above = self.node(id).resolve_parent;
        while let Some(parent) = above.filter(|parent| self.node(*parent).flags.is_extraneous) {
            self.node_mut(parent).flags.is_extraneous = false;
            above = self.node(parent).resolve_parent;
        }
    }
}

/// What has to go when an optional package cannot be installed: all that leads to it without an
/// optional edge, and all that only those ask for. What is `inert` (has gone before) asks for
/// nothing any more.
pub fn optional_set(graph: &Graph<'_>, failed: NodeId, inert: &HashSet<NodeId>) -> HashSet<NodeId> {
    let mut branch = vec![failed];
    let mut set = HashSet::from([failed]);
    while let Some(id) = branch.pop() {
        for (from, edge) in &graph.node(id).dependents {
            let is_wanted = !graph.node(*from).flags.is_extraneous;
            if is_wanted && !graph.node(*from).edges[*edge].kind.is_optional() && set.insert(*from)
            {
                branch.push(*from);
            }
        }
    }
    gather(graph, &set, inert)
}

/// The set with all its dependencies, less those that something outside asks for. Edges that lead
/// into the original set do not count.
fn gather(graph: &Graph<'_>, set: &HashSet<NodeId>, inert: &HashSet<NodeId>) -> HashSet<NodeId> {
    let mut gathered = set.clone();
    let mut queue: Vec<_> = set.iter().copied().filter(|id| !inert.contains(id)).collect();
    while let Some(id) = queue.pop() {
        for to in graph.node(id).edges.iter().filter_map(|edge| edge.to) {
            if !set.contains(&to) && gathered.insert(to) {
                queue.push(to);
            }
        }
    }
    let asks = |from: &NodeId| !inert.contains(from) && !graph.node(*from).flags.is_extraneous;
    loop {
        let kept: HashSet<_> = gathered
            .iter()
            .copied()
            .filter(|id| {
                let dependents = &graph.node(*id).dependents;
                let is_held =
                    dependents.iter().any(|(from, _)| asks(from) && !gathered.contains(from));
                set.contains(id) || !is_held
            })
            .collect();
        if kept.len() == gathered.len() {
            return kept;
        }
        gathered = kept;
    }
}
