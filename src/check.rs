//! Whether package.json and the lockfile agree, as a check of edges alone: nothing is resolved
//! anew and no registry is asked.
//!
//! npm builds the tree it would have wanted and compares; that asks the network and differs
//! between versions of npm. What npm accepts is accepted here, with its quirks: packages that only
//! workspaces lead to are not looked at, a nested package that does not satisfy its dependent is
//! let be where the right one could stand further up, and then, where the right one does stand
//! there, the whole tree is deduplicated. Sources: @npmcli/arborist 9 lib/arborist/
//! build-ideal-tree.js, lib/place-dep.js and lib/can-place-dep.js.

use std::collections::HashSet;

use node_semver::Version;

use crate::error::{Code, Error, Result};
use crate::graph::{Edge, EdgeKind, EdgeProblem, Graph, NodeId, duplicates};
use crate::missing_optional::is_for_a_platform;
use crate::project::Project;
use crate::specifier::Specifier;

/// The graph of what is to be installed, or EUSAGE with every disagreement.
pub fn check<'p>(project: &'p Project<'p>, with_peers: bool) -> Result<Graph<'p>> {
    let mut left_out = HashSet::new();
    let graph = Graph::build(project, &left_out, with_peers)?;
    let examined = examine(&graph, project);
    if !examined.disagreements.is_empty() {
        let message = format!(
            "package.json and {} are not in sync\n\n{}",
            project.lockfile_name,
            examined.disagreements.join("\n")
        );
        return Err(Error::new(Code::Usage, message).with_hint(examined.hint()));
    }
    let Some(top) = examined.deduplicated_from else { return Ok(graph) };
    let top = graph.node(top).path;
    let mut graph = graph;
    // Each round leaves out at least one entry of the lockfile, so this ends.
    loop {
        let Some(top) = graph.ids().find(|id| graph.node(*id).path == top) else {
            return Ok(graph);
        };
        let duplicates = duplicates(&graph, top);
        if duplicates.is_empty() {
            return Ok(graph);
        }
        left_out.extend(duplicates.into_iter().map(|id| graph.node(id).path));
        graph = Graph::build(project, &left_out, with_peers)?;
    }
}

struct Examined {
    disagreements: Vec<String>,
    /// Whether only optional packages for some platforms are missing.
    lacks_platforms_alone: bool,
    /// Where npm would have found a fitting package in its place, and so looked for duplicates.
    deduplicated_from: Option<NodeId>,
}

impl Examined {
    fn hint(&self) -> &'static str {
        if self.lacks_platforms_alone {
            "it was written beside a node_modules of another platform; \
             `npm install --package-lock-only` adds what is missing"
        } else {
            "update the lockfile with `npm install` before continuing"
        }
    }
}

/// What npm would do about an edge that is not satisfied.
enum Repair {
    /// A fitting package stands here already.
    Keep(NodeId),
    /// The right one would be placed further up, find itself unused, and go again.
    Shadowed,
    /// The tree would differ from the lockfile.
    Impossible,
}

fn examine(graph: &Graph<'_>, project: &Project<'_>) -> Examined {
    let mut examined = Examined {
        disagreements: Vec::new(),
        lacks_platforms_alone: true,
        deduplicated_from: None,
    };
    if project.examined.is_some() {
        examined.disagreements.extend(without_version(graph));
        examined.lacks_platforms_alone &= examined.disagreements.is_empty();
    }
    for from in examined_nodes(graph, project) {
        let node = graph.node(from);
        for edge in &node.edges {
            let Some(problem) = edge.problem else { continue };
            let is_bundled = node.parent.is_some() && node.manifest.bundles(edge.name);
            // npm trusts the lockfile in optional peers, and warns of conflicts between peers that
            // are not the project's own.
            let is_let_be = edge.kind == EdgeKind::PeerOptional
                || (edge.kind.is_peer()
                    && problem == EdgeProblem::Invalid
                    && node.parent.is_some());
            if is_bundled || is_let_be {
                continue;
            }
            match repair(graph, from, edge) {
                Repair::Keep(at) => {
                    let before = examined.deduplicated_from.replace(at);
                    if before == Some(Graph::ROOT) {
                        examined.deduplicated_from = before;
                    }
                }
                Repair::Shadowed => {}
                Repair::Impossible => {
                    examined.lacks_platforms_alone &=
                        edge.kind == EdgeKind::Optional && is_for_a_platform(edge.name);
                    examined.disagreements.push(disagreement(graph, project, from, edge));
                }
            }
        }
    }
    examined
}

/// The root, all that it reaches without passing a link, and the folders that links lead to.
fn examined_nodes(graph: &Graph<'_>, project: &Project<'_>) -> Vec<NodeId> {
    let mut seen = HashSet::from([Graph::ROOT]);
    let mut nodes = vec![Graph::ROOT];
    let mut place = 0;
    while let Some(from) = nodes.get(place).copied() {
        place += 1;
        // Of a folder behind a link only its own edges are examined, and the links among them.
        let is_behind_link = from != Graph::ROOT && graph.node(from).parent.is_none();
        for to in graph.node(from).edges.iter().filter_map(|edge| edge.to) {
            let target = graph.target(to);
            if (target != to || !is_behind_link) && seen.insert(target) {
                nodes.push(target);
            }
        }
    }
    let has_shrinkwrap = |id: NodeId| graph.node(id).entry.has_shrinkwrap.0;
    nodes.retain(|id| {
        let node = graph.node(*id);
        let is_chosen = match &project.examined {
            Some(examined) if node.parent.is_some() => examined.contains(node.path.as_str()),
            Some(_) | None => true,
        };
        let is_shrinkwrapped = has_shrinkwrap(*id) || graph.parents(*id).any(has_shrinkwrap);
        *id == Graph::ROOT || (is_chosen && !is_shrinkwrapped)
    });
    nodes
}

/// Old lockfiles say no version of what comes from git, and of some tarballs; npm then finds that
/// the version it gets is another than none.
fn without_version<'g>(graph: &'g Graph<'_>) -> impl Iterator<Item = String> + 'g {
    let lacks_version = |id: &NodeId| {
        let node = graph.node(*id);
        node.parent.is_some() && node.link_target.is_none() && node.entry.version.get().is_none()
    };
    graph.wanted().filter(lacks_version).map(|id| {
        let node = graph.node(id);
        let (path, source) = (node.path, node.entry.resolved.get().unwrap_or("nowhere"));
        format!(
            "Invalid: lock file's {} ({}) has no version, which this version of the lockfile \
             cannot say of {source}",
            path.name(),
            path.as_str()
        )
    })
}

fn repair(graph: &Graph<'_>, from: NodeId, edge: &Edge<'_>) -> Repair {
    let Some(wrong) = edge.to.filter(|wrong| graph.node(*wrong).parent == Some(from)) else {
        // A new package would stand where the lockfile has none.
        return Repair::Impossible;
    };
    let Some(above) = graph.node(from).resolve_parent else { return Repair::Impossible };
    match graph.child(above, edge.name) {
        Some(fitting) if graph.is_satisfied_by(from, edge, fitting) => Repair::Keep(above),
        // npm takes the newest version that fits. If that is newer than the wrong one, the wrong
        // one makes way for it.
        None if is_below(&edge.specifier, graph.version(wrong)) => Repair::Shadowed,
        Some(_) | None => Repair::Impossible,
    }
}

/// Whether all that the specifier accepts is older than the version.
fn is_below(specifier: &str, version: Option<&str>) -> bool {
    let version = version.and_then(|version| Version::parse(version).ok());
    let (Specifier::Range(range), Some(version)) = (Specifier::parse(specifier), version) else {
        return false;
    };
    range.min_version().is_some_and(|lowest| lowest < version)
}

fn disagreement(graph: &Graph<'_>, project: &Project<'_>, from: NodeId, edge: &Edge<'_>) -> String {
    let node = graph.node(from);
    let by = match node.path.as_str() {
        "" => format!("package.json{}", project.line_of_dependency("", edge.name)),
        path if node.parent.is_none() => {
            format!("{path}/package.json{}", project.line_of_dependency(path, edge.name))
        }
        path => format!("{path} in {}{}", project.lockfile_name, project.line_of_entry(path)),
    };
    let (name, specifier) = (edge.name, &edge.specifier);
    match edge.to {
        None => format!("Missing: {name}@{specifier} from lock file, wanted by {by}"),
        Some(to) => {
            let version = graph.version(to).unwrap_or("(no version)");
            let path = graph.node(to).path.as_str();
            let line = project.line_of_entry(path);
            let place = match line.as_str() {
                "" => path.to_owned(),
                line => format!("{path}, {}{line}", project.lockfile_name),
            };
            format!(
                "Invalid: lock file's {name}@{version} ({place}) does not satisfy \
                 {name}@{specifier}, wanted by {by}"
            )
        }
    }
}
