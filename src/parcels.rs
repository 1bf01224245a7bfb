//! From the plan to the parcels that are delivered: addresses, integrity, and what each place of a
//! package asks for.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use url::Url;

use crate::backend::{LinkMode, Placement};
use crate::delivery::Parcel;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::integrity::Integrity;
use crate::link::{Privacy, Target};
use crate::plan::{Plan, Tarball};
use crate::registry::Source;
use crate::scripts::Policy;
use crate::sources::address::{GitSource, State};
use crate::sources::local;
use crate::specifier::resolve_path;

/// Packs the tarballs of the plan.
pub fn pack<'p>(
    graph: &Graph<'p>,
    plan: &Plan<'p>,
    mut placements: Placements,
    policy: &Policy,
) -> Result<Vec<Parcel<'p>>> {
    let owners = Owners::new(&plan.tarballs);
    let mut won_bins = owners.won_bins(graph, plan);
    let mut nested = owners.nested(graph, plan);
    let with_bundles = owners.with_bundles(graph, plan, policy);
    plan.tarballs
        .iter()
        .map(|tarball| {
            let may_be_prepared = tarball.targets.iter().all(|id| policy.runs(graph, plan, *id));
            let Origin { url, at_hand, git, integrity } =
                origin(tarball, &placements.directory, may_be_prepared)?;
            let is_file = at_hand.is_some();
            let targets = tarball.targets.iter().map(|id| Target {
                node: *id,
                path: graph.node(*id).path.as_str(),
                known_as: known_as(graph, *id, &tarball.source),
                won_bins: won_bins.remove(id).unwrap_or_default(),
                is_resolved: !is_file && graph.node(*id).entry.resolved.get().is_some(),
                nested: nested.remove(id).unwrap_or_default(),
                placement: placements.below(graph, *id),
                umask: placements.umask,
                privacy: privacy(graph, plan, *id, policy, &with_bundles),
            });
            Ok(Parcel {
                label: label(tarball),
                url,
                at_hand,
                cached_by_npm: None,
                git,
                may_be_prepared,
                integrity,
                targets: targets.collect(),
                is_optional: tarball.targets.iter().all(|id| graph.node(*id).flags.is_optional),
                stored: None,
            })
        })
        .collect()
}

fn privacy(
    graph: &Graph<'_>,
    plan: &Plan<'_>,
    id: NodeId,
    policy: &Policy,
    with_bundles: &HashSet<NodeId>,
) -> Privacy {
    if with_bundles.contains(&id) || policy.is_patched(graph.node(id).path.name()) {
        return Privacy::Private;
    }
    match policy.runs(graph, plan, id) {
        false => Privacy::Shared,
        true if graph.node(id).entry.has_install_script.0 => Privacy::Private,
        true => Privacy::WithScripts,
    }
}

/// Each entry's own: two may name the same bytes.
fn known_as<'p>(graph: &Graph<'p>, id: NodeId, source: &Source) -> Option<(&'p str, &'p str)> {
    let node = graph.node(id);
    let name = node.entry.name.get().unwrap_or(node.path.name());
    let version = node.entry.version.get()?;
    matches!(source, Source::Registry { .. }).then_some((name, version))
}

fn label(tarball: &Tarball<'_>) -> String {
    match tarball.version {
        "" => tarball.name.to_owned(),
        version => format!("{}@{version}", tarball.name),
    }
}

/// Where a tarball comes from, and what it must be.
struct Origin {
    url: Url,
    at_hand: Option<PathBuf>,
    git: Option<GitSource>,
    integrity: Option<Integrity>,
}

fn origin(tarball: &Tarball<'_>, directory: &Path, may_be_prepared: bool) -> Result<Origin> {
    let locked = || tarball.integrity.map(Integrity::parse).transpose();
    let (at_hand, git) = (None, None);
    Ok(match &tarball.source {
        Source::Registry { url, legacy_sha1 } => {
            let integrity = match (locked()?, legacy_sha1) {
                (None, Some(hex)) => Some(Integrity::from_sha1_hex(hex)?),
                (integrity, _) => integrity,
            };
            Origin { url: url.clone(), at_hand, git, integrity }
        }
        Source::Remote(url) => Origin { url: url.clone(), at_hand, git, integrity: locked()? },
        Source::File(path) => {
            let path = resolve_path(directory, path);
            let integrity = match locked()? {
                Some(integrity) => Some(integrity),
                None => Some(local::content_integrity(&path)?),
            };
            Origin { url: local::address(&path)?, at_hand: Some(path), git, integrity }
        }
        Source::Git(address) => {
            let Ok(git) = address.source() else {
                unreachable!("the plan refuses repositories that cannot be fetched")
            };
            // Whether it asks for preparation is not known before it is fetched.
            let state = if may_be_prepared { State::Prepared } else { State::Unprepared };
            let url = git.cache_address(state)?;
            Origin { url, at_hand, git: Some(git), integrity: None }
        }
        Source::Folder | Source::Unknown => unreachable!("the plan refuses these sources"),
    })
}

/// How files are placed, for each filesystem that the project lies on: a workspace may be a mount
/// of its own, and what cannot be linked there can be linked elsewhere.
#[derive(Debug)]
pub struct Placements {
    directory: PathBuf,
    mode: LinkMode,
    umask: u32,
    by_device: HashMap<u64, Placement>,
    by_top: HashMap<NodeId, Placement>,
}

impl Placements {
    /// `umask` is npm's setting, not that of the process.
    pub fn new(directory: &Path, mode: LinkMode, umask: u32) -> Self {
        let directory = directory.to_owned();
        Self { directory, mode, umask, by_device: HashMap::new(), by_top: HashMap::new() }
    }

    /// For a package, by the folder in whose `node_modules` all of its parents are.
    fn below(&mut self, graph: &Graph<'_>, id: NodeId) -> Placement {
        let top = graph.parents(id).last().unwrap_or(Graph::ROOT);
        let Self { directory, mode, by_device, by_top, .. } = self;
        let placement = by_top.entry(top).or_insert_with(|| {
            let folder = directory.join(graph.node(top).path.as_str());
            let metadata = folder.join("node_modules").metadata().or_else(|_| folder.metadata());
            // A folder that is not there yet fails or appears when it is placed into.
            let device = metadata.map_or(0, |metadata| metadata.dev());
            by_device.entry(device).or_insert_with(|| Placement::new(*mode)).clone()
        });
        placement.clone()
    }
}

/// Which tarball a file below a package comes from: the package's own, or that of the package
/// which bundles it.
struct Owners {
    own: HashSet<NodeId>,
}

impl Owners {
    fn new(tarballs: &[Tarball<'_>]) -> Self {
        Self { own: tarballs.iter().flat_map(|tarball| tarball.targets.iter().copied()).collect() }
    }

    /// The package whose tarball brings the files of `id`.
    fn of(&self, graph: &Graph<'_>, plan: &Plan<'_>, id: NodeId) -> Option<NodeId> {
        if self.own.contains(&id) {
            return Some(id);
        }
        if !plan.bundled.contains(&id) {
            return None;
        }
        graph.parents(id).find(|parent| self.own.contains(parent))
    }

    /// The files that commands lead to, by the package whose tarball has them.
    fn won_bins(&self, graph: &Graph<'_>, plan: &Plan<'_>) -> HashMap<NodeId, Vec<String>> {
        let mut won: HashMap<NodeId, Vec<String>> = HashMap::new();
        for bin in &plan.bins {
            let Some(owner) = self.of(graph, plan, bin.node) else { continue };
            let inner = relative(graph, owner, bin.node);
            let file = match inner {
                "" => bin.file.clone(),
                inner => format!("{inner}/{}", bin.file),
            };
            won.entry(owner).or_default().push(file);
        }
        won
    }

    /// The packages that bring others whose scripts may run: what those have to run is not known
    /// before they lie there.
    fn with_bundles(&self, graph: &Graph<'_>, plan: &Plan<'_>, policy: &Policy) -> HashSet<NodeId> {
        let runs = |id: &&NodeId| policy.runs(graph, plan, **id);
        plan.bundled.iter().filter(runs).filter_map(|id| self.of(graph, plan, *id)).collect()
    }

    /// The packages that have a place of their own below another.
    fn nested<'p>(&self, graph: &Graph<'p>, plan: &Plan<'p>) -> HashMap<NodeId, Vec<&'p str>> {
        let mut nested: HashMap<NodeId, Vec<&'p str>> = HashMap::new();
        let links = plan.installed(graph).filter(|id| graph.node(*id).link_target.is_some());
        for id in self.own.iter().copied().chain(links) {
            for parent in graph.parents(id).filter(|parent| self.own.contains(parent)) {
                nested.entry(parent).or_default().push(relative(graph, parent, id));
            }
        }
        nested
    }
}

/// The path of a package from one above it.
fn relative<'p>(graph: &Graph<'p>, above: NodeId, id: NodeId) -> &'p str {
    let (above, path) = (graph.node(above).path.as_str(), graph.node(id).path.as_str());
    path.strip_prefix(above).map_or(path, |rest| rest.trim_start_matches('/'))
}
