//! The packages of a lockfile and the edges between them, resolved as node resolves them.
//!
//! Nothing is placed anew: a node's path is its key in the lockfile. Edges come from the lock's
//! own entries, for the root and for targets of links from the package.json on disk. Source:
//! @npmcli/arborist 9, lib/node.js and lib/arborist/load-virtual.js.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use node_semver::Version;

use crate::error::{Code, Error, Result};
use crate::install_path::InstallPath;
use crate::manifest::Manifest;
use crate::overrides::{Overrides, RuleId};
use crate::project::Project;
use crate::specifier::Specifier;

mod dedupe;
mod edges;
mod flags;

pub use dedupe::duplicates;
pub use flags::{DependencyFlags, optional_set};

/// The place of a node in its [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

#[derive(Debug)]
pub struct Graph<'p> {
    nodes: Vec<Node<'p>>,
    children: HashMap<(NodeId, &'p str), NodeId>,
    specifiers: HashMap<&'p str, Specifier<'p>>,
    overrides: Option<&'p Overrides>,
}

#[derive(Debug)]
pub struct Node<'p> {
    pub path: InstallPath<'p>,
    /// What the package is: its entry in the lockfile, or its package.json on disk.
    pub manifest: &'p Manifest<'p>,
    /// Its entry in the lockfile, with `resolved` and `integrity`.
    pub entry: &'p Manifest<'p>,
    /// The commands that its `directories.bin` stands for.
    pub directory_bins: &'p [(String, String)],
    pub link_target: Option<NodeId>,
    /// The package whose `node_modules` it is in.
    pub parent: Option<NodeId>,
    /// Where a name that is not found in its own `node_modules` is looked up next.
    pub resolve_parent: Option<NodeId>,
    pub edges: Vec<Edge<'p>>,
    /// The edges that lead here, as their node and their place in its `edges`.
    pub dependents: Vec<(NodeId, usize)>,
    pub flags: DependencyFlags,
    version: Option<Version>,
    override_place: Option<RuleId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeKind {
    Production,
    Development,
    Optional,
    Peer,
    PeerOptional,
    Workspace,
}

/// One dependency of one package.
#[derive(Debug)]
pub struct Edge<'p> {
    pub name: &'p str,
    /// What package.json or the lockfile's entry asks for, before overrides.
    pub specifier: Cow<'p, str>,
    pub kind: EdgeKind,
    pub to: Option<NodeId>,
    pub problem: Option<EdgeProblem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeProblem {
    Missing,
    Invalid,
}

impl EdgeKind {
    pub fn is_optional(self) -> bool {
        matches!(self, EdgeKind::Optional | EdgeKind::PeerOptional)
    }

    pub fn is_peer(self) -> bool {
        matches!(self, EdgeKind::Peer | EdgeKind::PeerOptional)
    }
}

impl<'p> Graph<'p> {
    /// Builds the graph of all entries but those in `left_out`. `with_peers` is off for
    /// `legacy-peer-deps`, which ignores peer dependencies altogether.
    pub fn build(
        project: &'p Project<'p>,
        left_out: &HashSet<InstallPath<'p>>,
        with_peers: bool,
    ) -> Result<Self> {
        let mut graph = Graph {
            nodes: Vec::with_capacity(project.packages.len()),
            children: HashMap::with_capacity(project.packages.len()),
            specifiers: HashMap::new(),
            overrides: project.overrides.as_ref(),
        };
        let by_path = graph.add_nodes(project, left_out);
        graph.connect_links(&by_path)?;
        graph.connect_parents(&by_path)?;
        graph.add_edges(project, with_peers);
        graph.compute_flags();
        Ok(graph)
    }

    pub const ROOT: NodeId = NodeId(0);

    pub fn node(&self, id: NodeId) -> &Node<'p> {
        &self.nodes[id.0 as usize]
    }

    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId::from_usize)
    }

    /// All nodes but the root that something asks for; npm removes the others.
    pub fn wanted(&self) -> impl Iterator<Item = NodeId> {
        self.ids().skip(1).filter(|id| !self.node(*id).flags.is_extraneous)
    }

    /// The node itself, or what it links to.
    pub fn target(&self, id: NodeId) -> NodeId {
        self.node(id).link_target.unwrap_or(id)
    }

    /// The package's version, that of the target for a link.
    pub fn version(&self, id: NodeId) -> Option<&str> {
        self.node(self.target(id)).manifest.version.get()
    }

    /// The package of that name in the node's own `node_modules`.
    pub fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        self.children.get(&(parent, name)).copied()
    }

    /// As `require` finds it: in the node's own `node_modules`, then upwards.
    pub fn resolve(&self, from: NodeId, name: &str) -> Option<NodeId> {
        let mut place = Some(from);
        while let Some(id) = place {
            if let Some(found) = self.children.get(&(id, name)) {
                return Some(*found);
            }
            place = self.node(id).resolve_parent;
        }
        None
    }

    /// Whether all that depends on the package asks a registry for it (node.js,
    /// `isRegistryDependency`).
    pub fn is_from_registry(&self, id: NodeId) -> bool {
        let dependents = &self.node(id).dependents;
        let asks = |(from, edge): &(NodeId, usize)| {
            Specifier::parse(&self.node(*from).edges[*edge].specifier).is_of_registry()
        };
        !dependents.is_empty() && dependents.iter().all(asks)
    }

    /// The packages above it, as nested `node_modules` go, nearest first.
    pub fn parents(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(self.node(id).parent, |id| self.node(*id).parent)
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<'p> {
        &mut self.nodes[id.0 as usize]
    }

    fn add_nodes(
        &mut self,
        project: &'p Project<'p>,
        left_out: &HashSet<InstallPath<'p>>,
    ) -> HashMap<InstallPath<'p>, NodeId> {
        let mut by_path = HashMap::with_capacity(project.packages.len());
        for package in &project.packages {
            if left_out.contains(&package.path)
                || package.path.ancestors().any(|above| left_out.contains(&above))
            {
                continue;
            }
            let manifest = package.on_disk.as_ref().unwrap_or(&package.entry);
            by_path.insert(package.path, NodeId::from_usize(self.nodes.len()));
            self.nodes.push(Node {
                path: package.path,
                manifest,
                entry: &package.entry,
                directory_bins: &package.directory_bins,
                link_target: None,
                parent: None,
                resolve_parent: None,
                edges: Vec::new(),
                dependents: Vec::new(),
                flags: DependencyFlags::UNKNOWN,
                version: manifest.version.get().and_then(|text| Version::parse(text).ok()),
                override_place: None,
            });
        }
        by_path
    }

    fn connect_links(&mut self, by_path: &HashMap<InstallPath<'p>, NodeId>) -> Result<()> {
        for id in self.ids() {
            let node = self.node(id);
            if !node.entry.link.0 {
                continue;
            }
            let (path, entry) = (node.path.as_str(), node.entry);
            let resolved = entry.resolved.get().unwrap_or_default();
            let target = InstallPath::parse(resolved)
                .ok()
                .and_then(|path| by_path.get(&path).copied())
                .filter(|target| *target != id && !self.node(*target).entry.link.0)
                .ok_or_else(|| {
                    let resolved = resolved.escape_debug();
                    Error::new(
                        Code::LockfileInvalid,
                        format!(
                            "the lockfile's link `{path}` leads to `{resolved}`, which has no entry"
                        ),
                    )
                    .with_hint("remove package-lock.json and run `npm install` to write it anew")
                })?;
            self.node_mut(id).link_target = Some(target);
        }
        Ok(())
    }

    fn connect_parents(&mut self, by_path: &HashMap<InstallPath<'p>, NodeId>) -> Result<()> {
        for id in self.ids().skip(1) {
            let path = self.node(id).path;
            let parent = path
                .split_node_modules()
                .and_then(|(parent, name)| Some((*by_path.get(&parent)?, name)));
            if let Some((parent, name)) = parent {
                if self.node(parent).entry.link.0 {
                    return Err(Error::new(
                        Code::LockfileInvalid,
                        format!("the lockfile's entry `{}` lies below a link", path.as_str()),
                    ));
                }
                self.children.insert((parent, name), id);
                self.node_mut(id).parent = Some(parent);
            }
            let nearest = || path.ancestors().find_map(|above| by_path.get(&above).copied());
            let resolve_parent = match parent {
                Some((parent, _)) => Some(parent),
                None if path.is_outside() => None,
                None => nearest(),
            };
            self.node_mut(id).resolve_parent = resolve_parent;
        }
        Ok(())
    }
}

impl NodeId {
    fn from_usize(index: usize) -> Self {
        // A lockfile of 4 G entries would not fit into LOCKFILE_BYTES_MAX.
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}
