//! Completing a lockfile that says too little, from the tarballs that it names.
//!
//! A lockfile of version 1 says nothing of commands, platforms, engines or peers: npm asks the
//! registry for each package's metadata, here the package.json in its tarball is read. A dependency
//! that brings a lockfile of its own decides what lies in its `node_modules`, whatever the
//! project's lockfile says. Either way the cache is filled first with the tarballs that are needed,
//! and what comes out is a lockfile that says everything, from which all goes on as with any other.
//! Sources: @npmcli/arborist 9 lib/arborist/build-ideal-tree.js (`inflateAncientLockfile`),
//! reify.js (`loadShrinkwrapsAndUpdateTrees`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::cache::{Cache, Index, file_path};
use crate::delivery::{Delivered, Parcel, look_up};
use crate::error::{Code, Error, Result};
use crate::fill::{Supply, fill};
use crate::graph::{Graph, NodeId};
use crate::install_path::InstallPath;
use crate::integrity::{CacheKey, Integrity};
use crate::lockfile::{Lockfile, LockfileText, Partial, Reading};
use crate::manifest::MANIFEST_BYTES_MAX;
use crate::phases::Phases;
use crate::project::{Project, ProjectText, TargetTexts};
use crate::registry::{Registries, Source};
use crate::site::Site;
use crate::sources::allowance::Allowed;

mod manifests;
mod shrinkwraps;

/// A lockfile that says everything, and what came to light on the way.
#[derive(Debug, Default)]
pub struct Inflated {
    pub text: LockfileText,
    /// Of an old lockfile, the paths of packages whose dependencies npm looks at: where something
    /// was wrong before it knew of any others.
    pub examined: Option<HashSet<String>>,
    /// Optional packages that cannot be had, by their path.
    pub unavailable: Vec<(String, Error)>,
    pub warnings: Vec<String>,
    pub filled: Filled,
}

impl Inflated {
    /// What cannot be had must be optional in the project, or nothing that it asks for.
    pub fn refuse_unavailable(&mut self, graph: &Graph<'_>) -> Result<()> {
        let wanted: HashMap<&str, bool> = graph
            .wanted()
            .map(|id| (graph.node(id).path.as_str(), graph.node(id).flags.is_optional))
            .collect();
        self.unavailable.retain(|(path, _)| wanted.contains_key(path.as_str()));
        let is_required = |(path, _): &(String, Error)| wanted.get(path.as_str()) == Some(&false);
        match self.unavailable.iter().position(is_required) {
            Some(place) => Err(self.unavailable.swap_remove(place).1),
            None => Ok(()),
        }
    }
}

/// What was fetched and unpacked.
#[derive(Debug, Default)]
pub struct Filled {
    /// `name@version` of each package that the cache gained.
    pub unpacked: HashSet<String>,
    pub deliveries: Vec<Delivered>,
}

/// Completes the lockfile where that is needed; there is one in the result either way.
pub fn read_whole<'t>(
    site: &Site<'_>,
    supply: &Supply<'_>,
    project: Option<&ProjectText>,
    reading: Reading<'t>,
    phases: &mut Phases<'_>,
) -> Result<(Option<Lockfile<'t>>, Inflated)> {
    match reading {
        Reading::Whole(lockfile) => Ok((Some(lockfile), Inflated::default())),
        Reading::Partial(partial) => {
            phases.enter("complete lockfile");
            Ok((None, inflate(site, supply, project, partial)?))
        }
    }
}

/// Completes the lockfile. Nothing in the project is touched; the cache gains packages. Without a
/// project its package.json and linked folders are not looked at: enough to know the tarballs.
fn inflate(
    site: &Site<'_>,
    supply: &Supply<'_>,
    project: Option<&ProjectText>,
    mut partial: Partial,
) -> Result<Inflated> {
    let mut shelf = Shelf::new(site, supply);
    let mut warnings = Vec::new();
    let mut examined = None;
    if partial.is_old {
        let with_peers = !supply.settings.legacy_peer_deps;
        let find = |project| unsatisfied(project, &partial, with_peers);
        examined = project.map(find).transpose()?;
        if project.is_none() {
            partial.add_dependencies_of_root();
        }
        let wanted = manifests::wanted(&partial, &supply.settings.registries);
        shelf.stock(&partial, &wanted)?;
        let directory = project.map(|project| project.directory.as_path());
        manifests::complete(&mut partial, &shelf, directory)?;
    } else {
        shrinkwraps::merge(&mut partial, &mut shelf, &mut warnings)?;
    }
    let Shelf { unavailable, filled, .. } = shelf;
    Ok(Inflated { text: partial.to_text(), examined, unavailable, warnings, filled })
}

/// The packages whose dependencies are not satisfied, by all that the lockfile itself says.
fn unsatisfied(text: &ProjectText, partial: &Partial, with_peers: bool) -> Result<HashSet<String>> {
    let known = partial.to_text();
    let lockfile = Lockfile::parse(&known)?;
    let targets = TargetTexts::read(&text.directory, &lockfile)?;
    let project = Project::new(text, lockfile, &targets)?;
    let graph = Graph::build(&project, &HashSet::new(), with_peers)?;
    let has_problem = |id: &NodeId| graph.node(*id).edges.iter().any(|edge| edge.problem.is_some());
    let path = |id: NodeId| graph.node(id).path.as_str().to_owned();
    Ok(graph.ids().filter(has_problem).map(path).collect())
}

/// Packages in the cache, by the path of their entry.
struct Shelf<'s> {
    site: &'s Site<'s>,
    supply: &'s Supply<'s>,
    stored: BTreeMap<String, (CacheKey, Index)>,
    unavailable: Vec<(String, Error)>,
    filled: Filled,
}

impl<'s> Shelf<'s> {
    fn new(site: &'s Site<'s>, supply: &'s Supply<'s>) -> Self {
        let (stored, unavailable) = (BTreeMap::new(), Vec::new());
        Self { site, supply, stored, unavailable, filled: Filled::default() }
    }

    /// Takes the packages at the given paths in stock, downloading what the cache lacks.
    fn stock(&mut self, partial: &Partial, paths: &BTreeSet<String>) -> Result<()> {
        let mut parcels: Vec<Parcel<'static>> = Vec::new();
        let mut paths_of: Vec<Vec<&str>> = Vec::new();
        let mut places = BTreeMap::new();
        for path in paths {
            let Some(parcel) = self.parcel(partial, path)? else { continue };
            let key = (parcel.url.to_string(), text(partial, path, "integrity").to_owned());
            let place = *places.entry(key).or_insert(parcels.len());
            if place == parcels.len() {
                parcels.push(parcel);
                paths_of.push(vec![path.as_str()]);
            } else {
                parcels[place].is_optional &= parcel.is_optional;
                paths_of[place].push(path);
            }
        }
        look_up(self.site, &mut parcels)?;
        let is_missing = |place: &usize| parcels[*place].stored.is_none();
        let missing: Vec<usize> = (0..parcels.len()).filter(is_missing).collect();
        let journal = self.site.journal.of_preparation();
        let site = Site { journal: &journal, ..*self.site };
        let mut delivered = fill(&site, &mut parcels, self.supply)?;
        let mut reasons: BTreeMap<_, _> =
            std::mem::take(&mut delivered.failed).into_iter().collect();
        self.filled.deliveries.push(delivered);
        let new = missing.iter().map(|place| &parcels[*place]);
        let new = new.filter(|parcel| parcel.stored.is_some());
        self.filled.unpacked.extend(new.map(|parcel| parcel.label.clone()));
        for (place, parcel) in parcels.into_iter().enumerate() {
            if let Some(stored) = parcel.stored {
                let paths = paths_of[place].iter().map(|path| (*path).to_owned());
                self.stored.extend(paths.map(|path| (path, stored.clone())));
                continue;
            }
            let label = &parcel.label;
            let mut reason = reasons.remove(&place);
            for path in &paths_of[place] {
                let reason = reason.take().unwrap_or_else(|| {
                    Error::new(Code::NotCached, format!("the cache lacks {label}"))
                });
                self.unavailable.push(((*path).to_owned(), reason));
            }
        }
        Ok(())
    }

    /// The tarball of an entry; `None` where it is none that can be fetched.
    fn parcel(&self, partial: &Partial, path: &str) -> Result<Option<Parcel<'static>>> {
        // Paths are checked before anything is made of them.
        let at = InstallPath::parse(path)?;
        let name = Some(text(partial, path, "name")).filter(|name| !name.is_empty());
        let name = name.unwrap_or(at.name());
        let version = text(partial, path, "version");
        let Some(source) = source(partial, path, &self.supply.settings.registries)? else {
            return Ok(None);
        };
        let (url, legacy_sha1) = match source {
            Source::Registry { url, legacy_sha1 } => (url, legacy_sha1),
            // What may not be installed is not asked for.
            Source::Remote(_) if self.supply.settings.allowances.remote == Allowed::None => {
                return Ok(None);
            }
            Source::Remote(url) => (url, None),
            Source::Git(_) | Source::File(_) | Source::Folder | Source::Unknown => return Ok(None),
        };
        let integrity = match (text(partial, path, "integrity"), legacy_sha1) {
            ("", None) => None,
            ("", Some(hex)) => Some(Integrity::from_sha1_hex(&hex)?),
            (text, _) => Some(Integrity::parse(text)?),
        };
        Ok(Some(Parcel {
            label: format!("{name}@{version}"),
            url,
            at_hand: None,
            git: None,
            may_be_prepared: false,
            cached_by_npm: None,
            integrity,
            targets: Vec::new(),
            is_optional: is_set(partial, path, "optional"),
            stored: None,
        }))
    }

    /// A file of the package whose entry has the path; `None` where it is not in stock or has no
    /// such file.
    fn read(&self, path: &str, file: &str) -> Result<Option<String>> {
        let Some((key, index)) = self.stored.get(path) else { return Ok(None) };
        let found = index.files().find(|entry| entry.path.to_bytes() == file.as_bytes());
        let Some(found) = found.filter(|entry| entry.size <= MANIFEST_BYTES_MAX) else {
            return Ok(None);
        };
        let relative = format!("{}/{}", Cache::package_path(key), file_path(found.number));
        let at = self.site.cache.directory().join(relative);
        let bytes = std::fs::read(&at).map_err(|error| Error::io("read", &at, error))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn index(&self, path: &str) -> Option<&Index> {
        self.stored.get(path).map(|(_, index)| index)
    }
}

/// What an entry is installed from; `None` where it has no version to ask for.
fn source(partial: &Partial, path: &str, registries: &Registries) -> Result<Option<Source>> {
    let at = InstallPath::parse(path)?;
    let name = Some(text(partial, path, "name")).filter(|name| !name.is_empty());
    let version = text(partial, path, "version");
    if version.is_empty() {
        return Ok(None);
    }
    let resolved = Some(text(partial, path, "resolved"));
    registries.tarball_url(name.unwrap_or(at.name()), version, resolved).map(Some)
}

/// A text field of an entry; empty where it has none.
fn text<'p>(partial: &'p Partial, path: &str, key: &str) -> &'p str {
    let entry = partial.packages.get(path);
    entry.and_then(|entry| entry.get(key)?.as_str()).unwrap_or_default()
}

fn is_set(partial: &Partial, path: &str, key: &str) -> bool {
    let flag = partial.packages.get(path).and_then(|entry| entry.get(key));
    flag.is_some_and(|flag| *flag == Value::Bool(true))
}
