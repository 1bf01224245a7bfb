//! Settings: what the command line, the environment and the `.npmrc` files say together.
//!
//! Keys that would change the tree in a way that is not supported are refused by name; all others
//! that are not used are ignored, as npm ignores them.

use std::path::{Path, PathBuf};

mod environment;
mod ini;
mod layers;
mod network;
mod output;
#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use network::{NetworkSettings, Proxies};
pub use output::{Color, LogLevel, OutputSettings};

use crate::error::{Code, Error, Result};
use crate::registry::{Credentials, Registries, ReplaceHost, parse_registry};
use ini::{Entries, Entry};
use layers::{Found, Layers};

/// What the command line may set. An empty list and `None` set nothing.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub registry: Option<String>,
    pub userconfig: Option<String>,
    pub omit: Vec<String>,
    pub include: Vec<String>,
    pub ignore_scripts: Option<bool>,
    pub bin_links: Option<bool>,
    pub legacy_peer_deps: Option<bool>,
    pub engine_strict: Option<bool>,
    pub offline: Option<bool>,
    pub prefer_online: Option<bool>,
    /// Not a setting of npm's: npm always reads its cache.
    pub without_npm_cache: bool,
    pub os: Option<String>,
    pub cpu: Option<String>,
    pub libc: Option<String>,
    pub connections_max: Option<usize>,
    pub install_strategy: Option<String>,
    pub workspace: Vec<String>,
    pub workspaces: Option<bool>,
    pub include_workspace_root: Option<bool>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of npm's, under its name")]
pub struct Settings {
    pub registries: Registries,
    pub network: NetworkSettings,
    pub output: OutputSettings,
    pub omit: Omit,
    pub ignore_scripts: bool,
    pub bin_links: bool,
    pub legacy_peer_deps: bool,
    pub engine_strict: bool,
    pub offline: bool,
    /// Whether packages that ask for funding are counted.
    pub fund: bool,
    /// What is known by its address alone is worth asking for anew.
    pub prefer_online: bool,
    /// The folder of npm's cache, in which tarballs are looked for. `None` where there is no home,
    /// and where the command line says that it is not to be read.
    pub npm_cache: Option<PathBuf>,
    /// The hidden lockfile says nothing of where registry packages come from.
    pub omit_lockfile_registry_resolved: bool,
    pub os: Option<String>,
    pub cpu: Option<String>,
    pub libc: Option<String>,
    pub members: Members,
    /// Values that npm ignores with a warning, one line each.
    pub warnings: Vec<String>,
}

/// What the settings say of workspaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// `workspace`: names, or paths of workspaces or of folders above them.
    pub filters: Vec<String>,
    /// `workspaces`: all of them, or none.
    pub all: Option<bool>,
    /// `include-workspace-root`.
    pub with_root: bool,
}

/// The kinds of dependencies that are not installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Omit {
    pub dev: bool,
    pub optional: bool,
    pub peer: bool,
}

/// Resolves the settings of the project in the folder `project`.
pub fn load(project: &Path, overrides: &Overrides, environment: &Environment) -> Result<Settings> {
    let layers = Layers::read(project, overrides.entries(), environment)?;
    refuse_other_layouts(&layers)?;
    let flag = |key: &str| Ok(layers.flag(key)?.unwrap_or(false));
    let text = |key: &str| {
        let value = layers.text(key).map(|found| found.value.to_owned());
        value.filter(|value| !value.is_empty())
    };
    let mut warnings = layers.warnings.clone();
    Ok(Settings {
        registries: registries(&layers)?,
        network: NetworkSettings::from_layers(&layers, environment)?,
        output: OutputSettings::from_layers(&layers, &mut warnings)?,
        omit: omit(&layers, environment, &mut warnings)?,
        ignore_scripts: flag("ignore-scripts")?,
        bin_links: layers.flag("bin-links")?.unwrap_or(true),
        legacy_peer_deps: flag("legacy-peer-deps")?,
        engine_strict: flag("engine-strict")?,
        offline: flag("offline")?,
        fund: layers.flag("fund")?.unwrap_or(true),
        prefer_online: flag("prefer-online")?,
        npm_cache: npm_cache(&layers, overrides, environment),
        omit_lockfile_registry_resolved: flag("omit-lockfile-registry-resolved")?,
        os: text("os"),
        cpu: text("cpu"),
        libc: text("libc"),
        members: members(&layers)?,
        warnings,
    })
}

impl Overrides {
    fn entries(&self) -> Entries {
        let mut entries = Entries::new();
        let texts = [
            ("registry", &self.registry),
            ("userconfig", &self.userconfig),
            ("os", &self.os),
            ("cpu", &self.cpu),
            ("libc", &self.libc),
            ("install-strategy", &self.install_strategy),
        ];
        for (key, value) in texts {
            entries.extend(value.as_ref().map(|value| (key.to_owned(), Entry::one(value))));
        }
        let flags = [
            ("ignore-scripts", self.ignore_scripts),
            ("bin-links", self.bin_links),
            ("legacy-peer-deps", self.legacy_peer_deps),
            ("engine-strict", self.engine_strict),
            ("offline", self.offline),
            ("prefer-online", self.prefer_online),
            ("workspaces", self.workspaces),
            ("include-workspace-root", self.include_workspace_root),
        ];
        for (key, value) in flags {
            entries.extend(value.map(|value| (key.to_owned(), Entry::one(value.to_string()))));
        }
        let lists =
            [("omit", &self.omit), ("include", &self.include), ("workspace", &self.workspace)];
        for (key, values) in lists {
            if !values.is_empty() {
                entries.insert(key.to_owned(), Entry::list(values));
            }
        }
        if let Some(count) = self.connections_max {
            entries.insert("maxsockets".to_owned(), Entry::one(count.to_string()));
        }
        entries
    }
}

/// The setting `cache` is npm's own: ours is never named by a setting.
fn npm_cache(layers: &Layers, overrides: &Overrides, environment: &Environment) -> Option<PathBuf> {
    if overrides.without_npm_cache {
        return None;
    }
    layers.path("cache").or_else(|| environment.home().map(|home| home.join(".npm")))
}

/// The tree of a lockfile is laid out hoisted; the other strategies move packages.
fn refuse_other_layouts(layers: &Layers) -> Result<()> {
    let hint = "remove the setting, or install with npm";
    if let Some(found) = layers.text("install-strategy").filter(|found| found.value != "hoisted") {
        return Err(found.error("asks for a layout that is not supported").with_hint(hint));
    }
    for (key, refused) in
        [("legacy-bundling", true), ("global-style", true), ("install-links", true)]
    {
        if layers.flag(key)? == Some(refused)
            && let Some(found) = layers.text(key)
        {
            return Err(found.error("asks for a layout that is not supported").with_hint(hint));
        }
    }
    Ok(())
}

fn members(layers: &Layers) -> Result<Members> {
    let filters = layers.list("workspace").unwrap_or_default();
    Ok(Members {
        filters: filters.into_iter().map(|found| found.value.to_owned()).collect(),
        all: layers.flag("workspaces")?,
        with_root: layers.flag("include-workspace-root")?.unwrap_or(false),
    })
}

/// Follows `buildOmitList` (npm 11.19, `@npmcli/config/lib/definitions/definitions.js`).
fn omit(layers: &Layers, environment: &Environment, warnings: &mut Vec<String>) -> Result<Omit> {
    let listed = dependency_kinds(layers, "omit", &["dev", "optional", "peer"], warnings);
    let mut omit = match listed {
        Some(kinds) => kinds,
        None if environment.get("NODE_ENV") == Some("production") => vec!["dev"],
        None => Vec::new(),
    };
    let kinds = ["prod", "dev", "optional", "peer"];
    let mut include = dependency_kinds(layers, "include", &kinds, warnings).unwrap_or_default();

    let value = |key| layers.text(key).map(|found| found.value);
    let production = layers.flag("production")?;
    if matches!(value("only"), Some("prod" | "production")) || production == Some(true) {
        omit.push("dev");
    } else if production == Some(false) {
        include.push("dev");
    }
    if matches!(value("also"), Some("dev" | "development")) || layers.flag("dev")? == Some(true) {
        include.push("dev");
    }
    match layers.flag("optional")? {
        Some(false) => omit.push("optional"),
        Some(true) => include.push("optional"),
        None => {}
    }
    let is_omitted = |kind: &str| omit.contains(&kind) && !include.contains(&kind);
    Ok(Omit { dev: is_omitted("dev"), optional: is_omitted("optional"), peer: is_omitted("peer") })
}

/// What npm does not know (`omit=dev,optional` is one such word) it ignores with a warning.
fn dependency_kinds<'a>(
    layers: &'a Layers,
    key: &'a str,
    known: &[&str],
    warnings: &mut Vec<String>,
) -> Option<Vec<&'a str>> {
    let (good, bad): (Vec<Found>, Vec<Found>) =
        layers.list(key)?.into_iter().partition(|found| known.contains(&found.value));
    warnings.extend(bad.iter().map(|found| {
        let Found { value, origin, .. } = found;
        format!("`{value}` is not a kind of dependency that `{key}` in {origin} can name")
    }));
    Some(good.into_iter().map(|found| found.value).collect())
}

fn registries(layers: &Layers) -> Result<Registries> {
    let address = |found: Found| {
        parse_registry(found.value).map_err(|problem| {
            Error::new(Code::Config, format!("`{}` in {} {problem}", found.key, found.origin))
        })
    };
    let mut registries = match layers.text("registry") {
        Some(found) => Registries::new(address(found)?),
        None => Registries::default(),
    };
    for found in layers.matching(|key| key.starts_with('@') && key.ends_with(":registry")) {
        let scope = found.key.trim_end_matches(":registry");
        registries.set_scope(scope, address(found)?);
    }
    if let Some(found) = layers.text("replace-registry-host") {
        registries.set_replace_host(ReplaceHost::parse(found.value));
    }
    let mut credentials = Credentials::default();
    for found in layers.matching(|key| key.starts_with("//")) {
        credentials.set(found.key, found.value);
    }
    registries.set_credentials(credentials);
    Ok(registries)
}
