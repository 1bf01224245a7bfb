//! Whose scripts may run: `allowScripts` of the root's package.json, as npm 12 and npm 11.19 read
//! it.
//!
//! A key names a package (`esbuild`), exact versions of it (`esbuild@1.0.0 || 1.0.1`), a repository
//! (`github:owner/name#commit`), or a file, folder or address exactly. What a package is called
//! comes from where the lockfile says its tarball is, or from who depends on it: never from an
//! alias, and never from the package.json in the tarball, which its author can make say anything.
//! Source: @npmcli/arborist 9, lib/script-allowed.js and lib/version-from-tgz.js.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use node_semver::Version;
use serde_json::Value;

use super::patches::patched_packages;
use crate::config::Settings;
use crate::error::{Code, Error, Result};
use crate::graph::{Graph, NodeId};
use crate::plan::Plan;
use crate::project::Project;
use crate::registry::{Registries, Source};
use crate::specifier::{Specifier, resolve_path};

mod key;

use key::{Key, repository};

/// Which scripts are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScriptMode {
    /// All that `allowScripts` does not deny, as in npm 11.
    #[default]
    All,
    /// Of dependencies only what `allowScripts` allows, as in npm 12.
    Allowed,
    /// None at all.
    None,
}

/// What the policy says of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Denied,
    /// Nobody has said anything.
    Unreviewed,
}

#[derive(Debug, Default)]
pub struct Policy {
    pub mode: ScriptMode,
    is_strict: bool,
    allows_all: bool,
    rules: Vec<(Key, bool)>,
    patched: HashSet<String>,
    workspaces: Vec<String>,
    registries: Registries,
    directory: PathBuf,
    pub warnings: Vec<String>,
}

/// A project's policy is written by hand; this bounds hostile ones.
const RULES_MAX: usize = 10_000;

impl Policy {
    /// Reads the policy. An entry that cannot be followed is passed over with a warning where it
    /// allows, as in npm; where it denies, that would run what somebody wanted kept from running,
    /// so it is an error.
    pub fn new(
        directory: &Path,
        project: &Project<'_>,
        settings: &Settings,
        mode: ScriptMode,
    ) -> Result<Self> {
        let (registries, settings) = (settings.registries.clone(), &settings.scripts);
        let root = project.packages.first().and_then(|root| root.on_disk.as_ref());
        let written = root.and_then(|root| root.allow_scripts);
        let entries = match written.map(|raw| serde_json::from_str::<Value>(raw.get())) {
            Some(Ok(Value::Object(entries))) => entries.into_iter().collect(),
            _ => Vec::new(),
        };
        let mut policy = Self {
            mode,
            is_strict: settings.strict_allow,
            allows_all: settings.dangerously_allow_all,
            patched: patched_packages(directory),
            workspaces: project.workspaces.iter().map(|one| one.path.clone()).collect(),
            registries,
            directory: directory.to_owned(),
            ..Self::default()
        };
        for (key, value) in entries.iter().take(RULES_MAX) {
            let Value::Bool(is_allowed) = value else { continue };
            policy.add(key, *is_allowed, "`allowScripts` of package.json")?;
        }
        if policy.rules.is_empty() {
            for name in settings.allow.iter().take(RULES_MAX) {
                policy.add(name, true, "`allow-scripts` of .npmrc")?;
            }
        } else if !settings.allow.is_empty() {
            let ignored =
                "`allow-scripts` of .npmrc plays no part: package.json has `allowScripts`";
            policy.warnings.push(ignored.to_owned());
        }
        Ok(policy)
    }

    /// For who has no package.json.
    pub fn without_rules(mode: ScriptMode) -> Self {
        Self { mode, ..Self::default() }
    }

    fn add(&mut self, text: &str, is_allowed: bool, origin: &str) -> Result<()> {
        match Key::parse(text) {
            Ok(key) => self.rules.push((key, is_allowed)),
            Err(problem) if is_allowed => {
                let shown = text.escape_debug();
                self.warnings.push(format!("{origin}: `{shown}` is passed over: {problem}"));
            }
            Err(problem) => {
                let shown = text.escape_debug();
                let message = format!(
                    "{origin} denies `{shown}` in a way that cannot be followed: {problem}"
                );
                return Err(Error::new(Code::AllowScripts, message)
                    .with_hint("deny the name alone, or exact versions joined by `||`"));
            }
        }
        Ok(())
    }

    /// Whether any script is run at all.
    pub fn runs_any(&self) -> bool {
        self.mode != ScriptMode::None
    }

    /// Whether a script of the project changes the package's files.
    pub fn is_patched(&self, name: &str) -> bool {
        self.runs_any() && self.patched.contains(name)
    }

    /// Whether packages that nobody has allowed stop the installation.
    pub fn is_strict(&self) -> bool {
        self.is_strict && self.runs_any() && !self.allows_all
    }

    /// Whether packages that nobody has allowed are worth telling of.
    pub fn asks_for_review(&self) -> bool {
        self.runs_any() && !self.allows_all
    }

    /// Whether the scripts of a dependency are run.
    pub fn runs(&self, graph: &Graph<'_>, plan: &Plan<'_>, id: NodeId) -> bool {
        if self.allows_all {
            return self.runs_any();
        }
        match self.mode {
            ScriptMode::None => false,
            ScriptMode::All => self.verdict(graph, plan, id) != Verdict::Denied,
            ScriptMode::Allowed => match self.verdict(graph, plan, id) {
                Verdict::Allowed => true,
                Verdict::Denied => false,
                Verdict::Unreviewed => self.is_workspace(graph, id),
            },
        }
    }

    /// Members of the project are its own, and need no allowance.
    pub fn is_workspace(&self, graph: &Graph<'_>, id: NodeId) -> bool {
        let path = graph.node(graph.target(id)).path;
        self.workspaces.iter().any(|workspace| workspace == path.as_str())
    }

    /// A denial wins over any number of allowances. What comes in another package's tarball can
    /// claim any name, so nothing is said of it.
    pub fn verdict(&self, graph: &Graph<'_>, plan: &Plan<'_>, id: NodeId) -> Verdict {
        if plan.bundled.contains(&id) || graph.node(id).entry.in_bundle.0 {
            return Verdict::Unreviewed;
        }
        let mut verdict = Verdict::Unreviewed;
        for (key, is_allowed) in &self.rules {
            if verdict == Verdict::Allowed && *is_allowed {
                continue;
            }
            if self.matches(graph, id, key, !is_allowed) {
                if !is_allowed {
                    return Verdict::Denied;
                }
                verdict = Verdict::Allowed;
            }
        }
        verdict
    }

    /// `is_denial` decides where a version is asked for and none can be trusted.
    fn matches(&self, graph: &Graph<'_>, id: NodeId, key: &Key, is_denial: bool) -> bool {
        let node = graph.node(id);
        let resolved = node.entry.resolved.get();
        match key {
            Key::Name(name) => {
                graph.is_from_registry(id)
                    && (is_denial || self.is_served(name, resolved))
                    && identity(graph, id).is_some_and(|(trusted, _)| trusted == *name)
            }
            Key::Versions(name, versions) => {
                graph.is_from_registry(id)
                    && (is_denial || self.is_served(name, resolved))
                    && identity(graph, id).is_some_and(|(trusted, version)| {
                        trusted == *name
                            && version.map_or(is_denial, |version| versions.contains(&version))
                    })
            }
            Key::Git { repository: wanted, commit } => {
                let Some((place, full)) = resolved.and_then(repository) else { return false };
                place == *wanted && full.starts_with(commit.as_str())
            }
            Key::Place(path) => match node.link_target {
                Some(target) => {
                    let target = graph.node(target).path.as_str();
                    let above = node.path.as_str().rsplit_once('/').map_or("", |(above, _)| above);
                    key::normalized("", path) == target || key::normalized(above, path) == target
                }
                // npm writes where the tarball lies on this machine.
                None => resolved.and_then(|resolved| resolved.strip_prefix("file:")).is_some_and(
                    |resolved| {
                        resolve_path(&self.directory, path)
                            == resolve_path(&self.directory, resolved)
                    },
                ),
            },
            Key::Remote(address) => resolved == Some(address.as_str()),
            Key::Alias => false,
        }
    }

    /// Whether the bytes come from the registry that the name belongs to. A lockfile may name
    /// another place for them, and would lend it the name.
    fn is_served(&self, name: &str, resolved: Option<&str>) -> bool {
        let Some(resolved) = resolved else { return true };
        match self.registries.tarball_url(name, "", Some(resolved)) {
            Ok(Source::Registry { url, .. }) => self.registries.serves(name, &url),
            _ => false,
        }
    }
}

/// The name and, where the lockfile's address has it, the version of a package of a registry.
pub fn identity(graph: &Graph<'_>, id: NodeId) -> Option<(String, Option<Version>)> {
    let node = graph.node(id);
    if let Some((name, version)) = node.entry.resolved.get().and_then(name_in_address) {
        return Some((name, Some(version)));
    }
    node.dependents.iter().find_map(|(from, edge)| {
        let edge = &graph.node(*from).edges[*edge];
        match Specifier::parse(&edge.specifier) {
            Specifier::Alias(name, behind) if behind.is_of_registry() => {
                Some((name.to_owned(), None))
            }
            specifier if specifier.is_of_registry() => Some((edge.name.to_owned(), None)),
            _ => None,
        }
    })
}

/// `.../@scope/name/-/name-1.2.3.tgz`, the form of all registries.
fn name_in_address(address: &str) -> Option<(String, Version)> {
    let url = url::Url::parse(address).ok().filter(|url| url.scheme().starts_with("http"))?;
    let (place, file) = url.path().trim_start_matches('/').rsplit_once("/-/")?;
    let place = place.replace("%2f", "/").replace("%2F", "/");
    let (above, name) = place.rsplit_once('/').unwrap_or(("", &place));
    let scope = above.rsplit('/').next().filter(|scope| scope.starts_with('@'));
    let version = file.strip_suffix(".tgz")?.strip_prefix(name)?.strip_prefix('-')?;
    let version = Version::parse(version).ok()?;
    Some((scope.map_or(name.to_owned(), |scope| format!("{scope}/{name}")), version))
}

/// What to write into `allowScripts` for exactly this package.
pub fn key_of(graph: &Graph<'_>, id: NodeId) -> String {
    let node = graph.node(id);
    if let Some(target) = node.link_target {
        return format!("file:{}", graph.node(target).path.as_str());
    }
    if graph.is_from_registry(id)
        && let Some((name, version)) = identity(graph, id)
    {
        return version.map_or(name.clone(), |version| format!("{name}@{version}"));
    }
    node.entry.resolved.get().map_or_else(|| node.path.name().to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_comes_from_the_address() {
        let name = |address: &str| {
            name_in_address(address).map(|(name, version)| format!("{name}@{version}"))
        };
        for (address, expected) in [
            ("https://host/esbuild/-/esbuild-1.2.3.tgz", Some("esbuild@1.2.3")),
            ("https://host/@s/n/-/n-1.0.0-rc.1.tgz", Some("@s/n@1.0.0-rc.1")),
            ("https://host/@s%2fn/-/n-1.0.0.tgz", Some("@s/n@1.0.0")),
            ("https://host/npm/-/team/esbuild/-/esbuild-1.2.3.tgz", Some("esbuild@1.2.3")),
            ("https://host/esbuild/-/other-1.2.3.tgz", None),
            ("https://host/esbuild-1.2.3.tgz", None),
            ("https://host/-/esbuild-1.2.3.tgz", None),
            ("git+ssh://git@host/esbuild/-/esbuild-1.2.3.tgz", None),
            ("https://host/esbuild/-/esbuild-1.2.3.zip", None),
        ] {
            assert_eq!(name(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn names_that_are_asked_for_of_something_else_than_a_registry_are_not_trusted() {
        for specifier in ["file:x", "github:a/b", "https://host/x.tgz", "npm:x@file:y"] {
            assert!(!Specifier::parse(specifier).is_of_registry(), "{specifier}");
        }
        assert!(Specifier::parse("npm:real@^1").is_of_registry());
    }
}
