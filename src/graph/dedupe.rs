//! Which nested packages could make way for one further up, as npm looks for them.
//! Source: @npmcli/arborist 9, lib/node.js (`canDedupe`, `canReplaceWith`) and lib/place-dep.js
//! (`pruneDedupable`).

use std::collections::HashSet;

use super::{Graph, NodeId};

/// The packages below `top` that npm would take away as duplicates, with all that only they need.
pub fn duplicates(graph: &Graph<'_>, top: NodeId) -> HashSet<NodeId> {
    let mut found = HashSet::new();
    for id in graph.wanted() {
        let is_below = graph.parents(id).any(|parent| parent == top)
            || graph.parents(id).last().and_then(|last| graph.node(last).resolve_parent)
                == Some(top);
        let is_in_found = graph.parents(id).any(|parent| found.contains(&parent));
        if is_below && !is_in_found && can_dedupe(graph, id) {
            found.extend(dependencies_of(graph, id, true));
        }
    }
    found
}

fn can_dedupe(graph: &Graph<'_>, id: NodeId) -> bool {
    let node = graph.node(id);
    if node.entry.in_bundle.0 {
        return false;
    }
    let Some(above) = node.parent.and_then(|parent| graph.node(parent).resolve_parent) else {
        return false;
    };
    let Some(other) = graph.resolve(above, node.path.name()) else { return false };
    if is_same(graph, other, id) {
        return true;
    }
    if !can_replace(graph, other, id) {
        return false;
    }
    let version = |id: NodeId| graph.node(graph.target(id)).version.as_ref();
    match (version(other), version(id)) {
        (Some(other), Some(own)) => other >= own,
        _ => false,
    }
}

/// npm's `matches`: the same bytes, or the same address.
fn is_same(graph: &Graph<'_>, first: NodeId, second: NodeId) -> bool {
    let (first, second) = (graph.node(first), graph.node(second));
    if first.link_target.is_some() || second.link_target.is_some() {
        return first.link_target == second.link_target;
    }
    let integrities = first.entry.integrity.get().zip(second.entry.integrity.get());
    if let Some((first, second)) = integrities {
        return first == second;
    }
    let resolved = first.entry.resolved.get();
    resolved.is_some() && resolved == second.entry.resolved.get()
}

/// Whether everything that uses the package is content with the other one.
fn can_replace(graph: &Graph<'_>, other: NodeId, id: NodeId) -> bool {
    let (node, replacement) = (graph.node(id), graph.node(other));
    let real_name = |id: NodeId| graph.node(graph.target(id)).manifest.name.get();
    let name = node.path.name();
    if real_name(other).unwrap_or(name) != real_name(id).unwrap_or(name)
        || (!node.edges.is_empty() && node.override_place != replacement.override_place)
    {
        return false;
    }
    let own = dependencies_of(graph, id, false);
    node.dependents
        .iter()
        .filter(|(from, _)| !own.contains(from))
        .all(|(from, place)| graph.is_satisfied_by(*from, &graph.node(*from).edges[*place], other))
}

/// The package and all that nothing but it and they ask for. Edges that are not satisfied do not
/// count, nor (unless `is_going`) does anything outside that leads to it.
fn dependencies_of(graph: &Graph<'_>, id: NodeId, is_going: bool) -> HashSet<NodeId> {
    let mut gathered = HashSet::from([id]);
    let mut queue = vec![id];
    while let Some(from) = queue.pop() {
        for edge in graph.node(from).edges.iter().filter(|edge| edge.problem.is_none()) {
            if let Some(to) = edge.to.filter(|to| *to != id)
                && gathered.insert(to)
            {
                queue.push(to);
            }
        }
    }
    loop {
        let kept: HashSet<_> = gathered
            .iter()
            .copied()
            .filter(|node| {
                let is_held = graph.node(*node).dependents.iter().any(|(from, place)| {
                    let is_valid = graph.node(*from).edges[*place].problem.is_none();
                    let is_wanted =
                        !is_going || *from == Graph::ROOT || !graph.node(*from).flags.is_extraneous;
                    is_valid && is_wanted && !gathered.contains(from)
                });
                *node == id || !is_held
            })
            .collect();
        if kept.len() == gathered.len() {
            return kept;
        }
        gathered = kept;
    }
}
