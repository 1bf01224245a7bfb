//! Which packages have scripts to run, and which scripts: npm's rule.
//!
//! Of a package that the lockfile describes, package.json is read only where the entry says
//! `hasInstallScript`; scripts that it does not speak of are not run. A `binding.gyp` is built in
//! any case, even where the package's own `gypfile` is false: that, too, npm would have to read.
//! What came in another package's tarball, and the targets of links, are known from their
//! package.json.
//! Source: @npmcli/arborist 9, lib/arborist/rebuild.js (`#addToBuildSet`, `#buildQueues`).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::environment::{dependency_variables, package_variables};
use super::policy::{Policy, Verdict, identity, key_of};
use crate::bins::normalized_bins;
use crate::collate::locale_compare;
use crate::graph::{Graph, NodeId};
use crate::lockfile::read_text;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};
use crate::plan::Plan;

/// The scripts of package.json that are texts and not empty, by event.
pub type Scripts = BTreeMap<String, String>;

/// What is run of a dependency, in order; `prepare` only of links.
pub const DEPENDENCY_EVENTS: [&str; 4] = ["preinstall", "prepare", "install", "postinstall"];

/// A package with its scripts.
#[derive(Clone, Debug)]
pub struct Package {
    /// `None` for the project itself.
    pub node: Option<NodeId>,
    /// `name@version`.
    pub label: String,
    /// Relative to the project.
    pub path: String,
    pub directory: PathBuf,
    pub scripts: Scripts,
    /// What its scripts see of itself.
    pub variables: Vec<(String, String)>,
    pub is_optional: bool,
}

/// A package with scripts that nobody has allowed or denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreviewed {
    pub node: NodeId,
    pub label: String,
    pub path: String,
    /// What allows it in `allowScripts`.
    pub key: String,
    pub scripts: Scripts,
}

/// In npm's order: the shallow before the deep, then by path.
#[derive(Debug, Default)]
pub struct Found {
    pub packages: Vec<Package>,
    pub links: Vec<Package>,
    pub unreviewed: Vec<Unreviewed>,
}

/// What packages are looked for in.
#[derive(Clone, Copy, Debug)]
pub struct Search<'s, 'p> {
    pub graph: &'s Graph<'p>,
    pub plan: &'s Plan<'p>,
    pub policy: &'s Policy,
    pub directory: &'s Path,
    /// Packages whose tarball has scripts or a `binding.gyp`.
    pub with_scripts: &'s HashSet<NodeId>,
}

const BUILD_SCRIPT: &str = "node-gyp rebuild";

impl Search<'_, '_> {
    pub fn run(self) -> Found {
        let mut ids: Vec<_> = self
            .plan
            .installed(self.graph)
            .filter(|id| self.graph.node(*id).parent.is_some())
            .map(|id| (id, self.graph.parents(id).count()))
            .collect();
        ids.retain(|(id, _)| self.may_have_scripts(*id));
        let path = |id: NodeId| self.graph.node(id).path.as_str();
        ids.sort_by(|(first, first_depth), (second, second_depth)| {
            let by_path = || locale_compare(path(*first), path(*second));
            first_depth.cmp(second_depth).then_with(by_path)
        });
        let mut found = Found::default();
        for (id, _) in ids {
            let Some(package) = self.package(id) else { continue };
            if self.awaits_review(id) {
                found.unreviewed.push(self.unreviewed(id, &package));
            }
            if !self.policy.runs(self.graph, self.plan, id) {
                continue;
            }
            let is_link = self.graph.node(id).link_target.is_some();
            if is_link { found.links.push(package) } else { found.packages.push(package) }
        }
        found
    }

    /// Packages of which the lockfile itself says that they have scripts nobody has allowed.
    pub fn flagged(self) -> Vec<Unreviewed> {
        let is_flagged = |id: &NodeId| {
            let node = self.graph.node(*id);
            node.parent.is_some()
                && self.graph.node(self.graph.target(*id)).manifest.has_install_script()
                && self.awaits_review(*id)
        };
        let ids = self.plan.installed(self.graph).filter(is_flagged);
        let unreviewed = |id: NodeId| Unreviewed {
            node: id,
            label: self.label(id),
            path: self.graph.node(id).path.as_str().to_owned(),
            key: key_of(self.graph, id),
            scripts: Scripts::new(),
        };
        ids.map(unreviewed).collect()
    }

    /// Packages with a `binding.gyp` and no script of their own that would stand in for it.
    pub fn built(self) -> HashSet<NodeId> {
        let ids = self
            .plan
            .installed(self.graph)
            .filter(|id| self.with_scripts.contains(id) || self.plan.bundled.contains(id));
        let is_built = |id: &NodeId| {
            let package = self.package(*id);
            package.is_some_and(|package| {
                package.scripts.get("install").is_some_and(|script| script == BUILD_SCRIPT)
            })
        };
        ids.filter(is_built).collect()
    }

    fn may_have_scripts(self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        node.link_target.is_some()
            || node.entry.has_install_script.0
            || self.with_scripts.contains(&id)
            || self.plan.bundled.contains(&id)
    }

    /// Members of the project are not for review, and what comes in another's tarball cannot be.
    fn awaits_review(self, id: NodeId) -> bool {
        self.policy.asks_for_review()
            && !self.plan.bundled.contains(&id)
            && !self.graph.node(id).entry.in_bundle.0
            && !self.policy.is_workspace(self.graph, id)
            && self.policy.verdict(self.graph, self.plan, id) == Verdict::Unreviewed
    }

    fn unreviewed(self, id: NodeId, package: &Package) -> Unreviewed {
        Unreviewed {
            node: id,
            label: package.label.clone(),
            path: package.path.clone(),
            key: key_of(self.graph, id),
            scripts: package.scripts.clone(),
        }
    }

    fn package(self, id: NodeId) -> Option<Package> {
        let graph = self.graph;
        let node = graph.node(id);
        let target = graph.node(graph.target(id));
        let directory = self.directory.join(target.path.as_str());
        let is_bundled = self.plan.bundled.contains(&id);
        let text = if is_bundled || node.entry.has_install_script.0 {
            read_text(&directory.join("package.json"), MANIFEST_BYTES_MAX).ok().flatten()
        } else {
            None
        };
        let on_disk = text.as_ref().and_then(|text| Manifest::parse(text, "package.json").ok());
        let known = match &on_disk {
            Some(on_disk) if is_bundled => on_disk,
            _ if node.link_target.is_some() => target.manifest,
            _ => node.entry,
        };
        let mut scripts = match &on_disk {
            Some(on_disk) => scripts_of(on_disk),
            None if node.link_target.is_some() => scripts_of(target.manifest),
            None => Scripts::new(),
        };
        add_build(&mut scripts, known, &directory);
        let is_link = node.link_target.is_some();
        scripts.retain(|event, _| {
            DEPENDENCY_EVENTS.contains(&event.as_str()) && (is_link || event != "prepare")
        });
        if scripts.is_empty() {
            return None;
        }
        let name = known.name.get().unwrap_or(target.path.name()).to_owned();
        let mut bins = normalized_bins(known, &name);
        if known.bin.is_none() {
            bins.extend_from_slice(target.directory_bins);
        }
        let mut variables = package_variables(known, Some(&name), &bins);
        variables.extend(dependency_variables(
            graph,
            graph.target(id),
            is_bundled || is_link,
            self.directory,
        ));
        Some(Package {
            node: Some(id),
            label: self.label(id),
            path: target.path.as_str().to_owned(),
            directory,
            scripts,
            variables,
            is_optional: node.flags.is_optional,
        })
    }

    /// The name is the one that can be trusted, where there is one.
    fn label(self, id: NodeId) -> String {
        let graph = self.graph;
        let node = graph.node(graph.target(id));
        let trusted = identity(graph, id).filter(|(_, version)| version.is_some());
        let name = trusted.map(|(name, _)| name);
        let own = node.manifest.name.get().unwrap_or(node.path.name());
        let name = name.as_deref().unwrap_or(own);
        graph.version(id).map_or_else(|| name.to_owned(), |version| format!("{name}@{version}"))
    }
}

/// The project itself, as its package.json is now; npm reads it anew for each script.
pub fn project(directory: &Path) -> Option<Package> {
    let text = read_text(&directory.join("package.json"), MANIFEST_BYTES_MAX).ok().flatten()?;
    let manifest = Manifest::parse(&text, "package.json").ok()?;
    let mut scripts = scripts_of(&manifest);
    add_build(&mut scripts, &manifest, directory);
    let name = manifest.name.get();
    let bins = normalized_bins(&manifest, name.unwrap_or_default());
    let label = match (name, manifest.version.get()) {
        (Some(name), Some(version)) => format!("{name}@{version}"),
        _ => String::new(),
    };
    Some(Package {
        node: None,
        label,
        path: String::new(),
        directory: directory.to_owned(),
        scripts,
        variables: package_variables(&manifest, None, &bins),
        is_optional: false,
    })
}

fn scripts_of(manifest: &Manifest<'_>) -> Scripts {
    let value = manifest.scripts.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let Some(Value::Object(scripts)) = value else { return Scripts::new() };
    scripts
        .into_iter()
        .filter_map(|(event, script)| Some((event, script.as_str()?.to_owned())))
        .filter(|(_, script)| !script.is_empty())
        .collect()
}

/// node-gyp stands in where a package with a `binding.gyp` says nothing of how it is built.
fn add_build(scripts: &mut Scripts, known: &Manifest<'_>, directory: &Path) {
    let is_told = scripts.contains_key("install") || scripts.contains_key("preinstall");
    let is_refused = known.gypfile.is_some_and(|gypfile| gypfile.get() == "false");
    if !is_told && !is_refused && directory.join("binding.gyp").is_file() {
        scripts.insert("install".to_owned(), BUILD_SCRIPT.to_owned());
    }
}
