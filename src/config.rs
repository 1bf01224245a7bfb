//! Settings: what the command line, the environment and the `.npmrc` files say together.
//!
//! Keys that would change the tree in a way that is not supported are refused by name; all others
//! that are not used are ignored, as npm ignores them. [`keys`] has the whole list.

use std::path::{Path, PathBuf};

mod environment;
mod ini;
pub mod keys;
mod layers;
mod network;
mod output;
mod overrides;
mod proxies;
mod scripts;
#[cfg(test)]
mod tests;
mod unfit;

pub use environment::Environment;
pub use network::{Identity, NetworkSettings};
pub use output::{Color, LogLevel, OutputSettings};
pub use overrides::Overrides;
pub use proxies::{Proxies, Proxy};
pub use scripts::ScriptSettings;

use crate::error::{Code, Error, Result};
use crate::registry::{Credentials, Registries, ReplaceHost, parse_registry};
use crate::sources::allowance::{Allowances, Allowed};
use keys::{Kind, Role};
use layers::{Found, Layers};

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of npm's, under its name")]
pub struct Settings {
    pub registries: Registries,
    pub network: NetworkSettings,
    pub output: OutputSettings,
    pub omit: Omit,
    pub allowances: Allowances,
    pub ignore_scripts: bool,
    pub scripts: ScriptSettings,
    pub bin_links: bool,
    pub legacy_peer_deps: bool,
    pub engine_strict: bool,
    /// Engines and platforms of packages that are not optional are not looked at.
    pub force: bool,
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
    /// What the files of packages must not allow, before the umask of the process.
    pub umask: u32,
    /// PATH, where programs are looked for.
    pub path: String,
    /// What the command line sets, which npm hands on to the programs that it starts.
    pub exported: Vec<(String, String)>,
    /// Values that npm ignores with a warning, one line each.
    pub warnings: Vec<String>,
    /// Settings without effect, one line each.
    pub ignored: Vec<String>,
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
    refuse_global(&layers)?;
    refuse_unsupported(&layers)?;
    let flag = |key: &str| Ok(layers.flag(key)?.unwrap_or(false));
    let text = |key: &str| {
        let value = layers.text(key).map(|found| found.value.to_owned());
        value.filter(|value| !value.is_empty())
    };
    let mut warnings = layers.warnings.clone();
    let credentials = credentials(&layers);
    Ok(Settings {
        registries: registries(&layers, &credentials)?,
        network: NetworkSettings::from_layers(&layers, environment, credentials)?,
        output: OutputSettings::from_layers(&layers, &mut warnings)?,
        omit: omit(&layers, environment, &mut warnings)?,
        allowances: allowances(&layers, &mut warnings),
        ignore_scripts: flag("ignore-scripts")?,
        scripts: ScriptSettings::from_layers(&layers, environment, &mut warnings)?,
        bin_links: layers.flag("bin-links")?.unwrap_or(true),
        legacy_peer_deps: flag("legacy-peer-deps")?,
        engine_strict: flag("engine-strict")?,
        force: flag("force")?,
        offline: flag("offline")?,
        fund: layers.flag("fund")?.unwrap_or(true),
        prefer_online: flag("prefer-online")?,
        npm_cache: npm_cache(&layers, environment),
        omit_lockfile_registry_resolved: flag("omit-lockfile-registry-resolved")?,
        os: text("os"),
        cpu: text("cpu"),
        libc: text("libc"),
        members: members(&layers)?,
        umask: umask(&layers)?,
        path: environment.get("PATH").unwrap_or_default().to_owned(),
        exported: exported(overrides),
        warnings,
        ignored: without_effect(&layers),
    })
}

/// Fails by name for the first setting that asks for another tree in a way that is not supported.
fn refuse_unsupported(layers: &Layers) -> Result<()> {
    for key in keys::KEYS {
        let Role::Refused { harmless, problem } = key.role else { continue };
        let Some(found) = layers.text(key.name) else { continue };
        let asked = match key.kind {
            Kind::Flag => match layers.flag(key.name)? {
                Some(true) => "true",
                _ => "false",
            },
            Kind::Text | Kind::List => found.value,
        };
        if !harmless.contains(&asked) {
            let hint = "remove the setting, or install with npm";
            return Err(found.error(problem).with_hint(hint));
        }
    }
    Ok(())
}

/// Global packages have no lockfile that they could be installed from.
fn refuse_global(layers: &Layers) -> Result<()> {
    let is_global = layers.flag("global")? == Some(true);
    let key = if is_global { "global" } else { "location" };
    match layers.text(key).filter(|found| is_global || found.value == "global") {
        Some(found) => {
            let message = format!("`{key}` in {} asks for global packages", found.origin);
            Err(Error::new(Code::CiGlobal, message).with_hint("remove the setting"))
        }
        None => Ok(()),
    }
}

/// The setting `cache` is npm's own: ours is never named by a setting.
fn npm_cache(layers: &Layers, environment: &Environment) -> Option<PathBuf> {
    layers.path("cache").or_else(|| environment.home().map(|home| home.join(".npm")))
}

/// One line for each setting that has no effect, for who wonders.
fn without_effect(layers: &Layers) -> Vec<String> {
    // npm tells the scripts that it runs these, and a person cannot set them.
    const NPMS_OWN: [&str; 4] = ["global-prefix", "local-prefix", "nodedir", "npm-version"];
    let is_asked = |key: &str| !NPMS_OWN.contains(&key) && !key.ends_with(":registry");
    let told = layers.keys().filter(|(key, _)| is_asked(key)).filter_map(|(key, origin)| {
        let kind = key.rsplit_once(':').map_or(key, |(_, kind)| kind);
        match keys::find(kind).map(|found| found.role) {
            Some(Role::Idle(idle)) => {
                Some(format!("`{key}` in {origin} has no effect: {}", idle.reason()))
            }
            Some(Role::Used | Role::Refused { .. }) => None,
            None if Credentials::is_kind(kind) => None,
            None => {
                Some(format!("{} in {origin} has no effect: npm knows no such setting", name(key)))
            }
        }
    });
    told.collect()
}

fn members(layers: &Layers) -> Result<Members> {
    let filters = layers.list("workspace").unwrap_or_default();
    Ok(Members {
        filters: filters.into_iter().map(|found| found.value.to_owned()).collect(),
        all: layers.flag("workspaces")?,
        with_root: layers.flag("include-workspace-root")?.unwrap_or(false),
    })
}

/// An unknown key as it may be shown: one with more than small letters in its name can be a line
/// without its `=`, and a secret.
fn name(key: &str) -> String {
    let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-' | b'.'));
    match key.rsplit_once(':') {
        None if is_plain(key) => format!("`{key}`"),
        Some((_, kind)) if is_plain(kind) => format!("a key that ends with `:{kind}`"),
        _ => "a key".to_owned(),
    }
}

/// npm's two ways to write one: octal digits with a leading zero, or a decimal number.
fn umask(layers: &Layers) -> Result<u32> {
    let Some(found) = layers.text("umask") else { return Ok(0) };
    let digits = found.value.strip_prefix("0o").or_else(|| found.value.strip_prefix('0'));
    let parsed = match digits {
        Some("") => Some(0),
        Some(digits) => u32::from_str_radix(digits, 8).ok(),
        None => found.value.parse().ok(),
    };
    let is_mask = |umask: &u32| *umask <= 0o777;
    parsed.filter(is_mask).ok_or_else(|| found.error("is no umask between 0000 and 0777"))
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

/// Only what bears on where packages come from: the rest is about this tree.
fn exported(overrides: &Overrides) -> Vec<(String, String)> {
    let is_exported = |key: &str| matches!(key, "registry" | "userconfig");
    let set = overrides.values().filter(|(key, _)| is_exported(key));
    set.filter_map(|(key, values)| Some((key.to_owned(), (*values.last()?).to_owned()))).collect()
}

fn allowances(layers: &Layers, warnings: &mut Vec<String>) -> Allowances {
    let mut allowed = |key| match layers.text(key) {
        None => Allowed::default(),
        Some(Found { key, value, origin }) => Allowed::parse(value).unwrap_or_else(|| {
            warnings.push(format!("`{key}` in {origin} is neither all, root nor none"));
            Allowed::default()
        }),
    };
    Allowances {
        git: allowed("allow-git"),
        remote: allowed("allow-remote"),
        file: allowed("allow-file"),
    }
}

fn registries(layers: &Layers, credentials: &Credentials) -> Result<Registries> {
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
    if let Some(found) = layers.text("scope").filter(|found| !found.value.is_empty()) {
        registries.set_fallback_scope(format!("@{}", found.value.trim_start_matches('@')));
    }
    if let Some(found) = layers.text("replace-registry-host") {
        registries.set_replace_host(ReplaceHost::parse(found.value));
    }
    registries.set_credentials(credentials.clone());
    Ok(registries)
}

fn credentials(layers: &Layers) -> Credentials {
    let mut credentials = Credentials::default();
    for found in layers.matching(|key| key.starts_with("//")) {
        if Credentials::is_path(found.key) && !found.value.is_empty() {
            let path = layers.path_of(found.value);
            credentials.set(found.key, &path.to_string_lossy());
        } else {
            credentials.set(found.key, found.value);
        }
    }
    credentials
}
