//! What settings say about lifecycle scripts, and the settings that scripts see in their own
//! environment: packages look there for mirrors, caches and flags (`npm_config_sharp_binary_host`).
//! Source: @npmcli/config 10, lib/set-envs.js and lib/definitions/definitions.js.

use std::fmt;
use std::path::Path;

use super::environment::Environment;
use super::ini::Entry;
use super::layers::Layers;
use crate::error::{Code, Error, Result};

/// The settings that only scripts are concerned with.
#[derive(Clone, Default)]
pub struct ScriptSettings {
    /// Scripts have the terminal, one after the other.
    pub foreground: bool,
    /// A package with scripts that nobody has allowed is an error.
    pub strict_allow: bool,
    /// The policy plays no part.
    pub dangerously_allow_all: bool,
    /// `allow-scripts` of an `.npmrc`: names that are allowed where package.json has no
    /// `allowScripts`.
    pub allow: Vec<String>,
    pub shell: Option<String>,
    /// Where node-gyp is; `None` where nobody has said.
    pub node_gyp: Option<String>,
    /// The template of the user agent, where one is set.
    pub user_agent: Option<String>,
    /// Variables for all scripts, by name.
    pub variables: Vec<(String, String)>,
}

impl fmt::Debug for ScriptSettings {
    /// Of variables the names only: an address among their values may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("ScriptSettings")
            .field("foreground", &self.foreground)
            .field("strict_allow", &self.strict_allow)
            .field("dangerously_allow_all", &self.dangerously_allow_all)
            .field("allow", &self.allow)
            .field("shell", &self.shell)
            .field("node_gyp", &self.node_gyp)
            .field("user_agent", &self.user_agent)
            .field("variables", &names)
            .finish()
    }
}

impl ScriptSettings {
    pub(super) fn from_layers(
        layers: &Layers,
        environment: &Environment,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let flag = |key: &str| Ok(layers.flag(key)?.unwrap_or(false));
        let text = |key: &str| {
            let value = layers.text(key).map(|found| found.value.to_owned());
            value.filter(|value| !value.is_empty())
        };
        Ok(Self {
            foreground: flag("foreground-scripts")?,
            strict_allow: flag("strict-allow-scripts")?,
            dangerously_allow_all: flag("dangerously-allow-all-scripts")?,
            allow: allowed(layers)?,
            shell: text("script-shell"),
            node_gyp: text("node-gyp"),
            user_agent: text("user-agent"),
            variables: variables(layers, environment, warnings),
        })
    }
}

/// npm refuses `allow-scripts` from the command line and from the environment in a project: what a
/// team allows belongs where all of it sees it.
fn allowed(layers: &Layers) -> Result<Vec<String>> {
    let Some(found) = layers.list("allow-scripts") else { return Ok(Vec::new()) };
    let names: Vec<_> = found
        .iter()
        .flat_map(|found| found.value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let is_from_environment =
        layers.strongest().get("allow-scripts").is_some_and(|(_, is_environment)| *is_environment);
    if is_from_environment && !names.is_empty() {
        let message = "`allow-scripts` in the environment is not for projects";
        return Err(Error::new(Code::AllowScripts, message)
            .with_hint("add the names to `allowScripts` in package.json, or to .npmrc"));
    }
    Ok(names)
}

/// All settings that are not what npm takes anyway. Those of variables are there already, and
/// those that hold credentials or belong to an address or a scope are nobody's business.
fn variables(
    layers: &Layers,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for (key, (entry, is_environment)) in layers.strongest() {
        let is_private = key.starts_with(['/', '@', '_']);
        if is_environment || is_private || NOT_EXPORTED.contains(&key) {
            continue;
        }
        if key.contains(['\0', '=']) {
            warnings.push(format!("the setting `{}` cannot be a variable", key.escape_debug()));
            continue;
        }
        let value = value_of(entry);
        let is_default = default_of(key) == Some(value.as_str());
        let name = variable_name(key);
        // What the environment thinks of it otherwise has to be set back.
        if !is_default || environment.get(&name).is_some_and(|theirs| theirs != value) {
            variables.push((name, value));
        }
    }
    variables.extend(places(layers, environment));
    for (key, name) in [("editor", "EDITOR"), ("node-options", "NODE_OPTIONS")] {
        let value = layers.text(key).map(|found| found.value.to_owned());
        variables.extend(value.map(|value| (name.to_owned(), value)));
    }
    if layers.text("editor").is_none() {
        let editor = environment.get("EDITOR").or_else(|| environment.get("VISUAL"));
        variables.push(("EDITOR".to_owned(), editor.unwrap_or("vi").to_owned()));
    }
    variables
}

/// The paths that npm always tells, and what it cannot tell from being set.
fn places(layers: &Layers, environment: &Environment) -> Vec<(String, String)> {
    let home = environment.home();
    let at_home = |key: &str, file: &str| layers.path(key).or_else(|| Some(home?.join(file)));
    let prefix = layers.global_prefix(environment);
    let paths = [
        ("cache", at_home("cache", ".npm")),
        ("userconfig", at_home("userconfig", ".npmrc")),
        ("init_module", at_home("init-module", ".npm-init.js")),
        ("globalconfig", layers.global_path(environment)),
        ("global_prefix", prefix.clone()),
        ("prefix", prefix),
    ];
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut places: Vec<_> = paths
        .into_iter()
        .filter_map(|(key, path)| Some((format!("npm_config_{key}"), text(&path?))))
        .collect();
    for (key, variables) in [("allow-scripts", &[][..]), ("noproxy", &["NO_PROXY", "no_proxy"][..])]
    {
        if layers.text(key).is_none() {
            let set = variables.iter().find_map(|name| environment.get(name));
            places.push((variable_name(key), set.unwrap_or_default().to_owned()));
        }
    }
    places
}

fn variable_name(key: &str) -> String {
    format!("npm_config_{}", key.replace('-', "_").to_lowercase())
}

/// npm has read `false` and `null` as such, and tells both as nothing.
fn value_of(entry: &Entry) -> String {
    let values = entry.values.iter().map(|value| match value.trim() {
        "false" | "null" => "",
        // `key` and `key=` of a switch are yes; a text that is empty stays so.
        value => value,
    });
    values.collect::<Vec<_>>().join("\n\n")
}

fn default_of(key: &str) -> Option<&'static str> {
    if TRUE_BY_DEFAULT.contains(&key) {
        return Some("true");
    }
    if FALSE_BY_DEFAULT.contains(&key) {
        return Some("");
    }
    DEFAULTS.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// Settings that npm has renounced, or that are for one command and not for those below it; and
/// those that are told in a way of their own.
const NOT_EXPORTED: [&str; 34] = [
    "also",
    "cache",
    "cache-max",
    "cache-min",
    "cert",
    "dev",
    "global-style",
    "globalconfig",
    "if-present",
    "include-workspace-root",
    "init-module",
    "init.author.email",
    "init.author.name",
    "init.author.url",
    "init.license",
    "init.module",
    "init.version",
    "key",
    "legacy-bundling",
    "min-release-age",
    "min-release-age-exclude",
    "node-gyp",
    "npm-version",
    "only",
    "optional",
    "password",
    "prefix",
    "production",
    "shrinkwrap",
    "user-agent",
    "userconfig",
    "workspace",
    "workspaces",
    "otp",
];

const TRUE_BY_DEFAULT: [&str; 15] = [
    "allow-scripts-pin",
    "audit",
    "bin-links",
    "commit-hooks",
    "description",
    "format-package-lock",
    "fund",
    "git-tag-version",
    "package-lock",
    "rebuild-bundle",
    "save",
    "strict-ssl",
    "unicode",
    "update-notifier",
    "workspaces-update",
];

const FALSE_BY_DEFAULT: [&str; 22] = [
    "dangerously-allow-all-scripts",
    "dry-run",
    "engine-strict",
    "force",
    "foreground-scripts",
    "global",
    "ignore-scripts",
    "include-attestations",
    "install-links",
    "json",
    "legacy-peer-deps",
    "long",
    "offline",
    "omit-lockfile-registry-resolved",
    "package-lock-only",
    "prefer-dedupe",
    "prefer-offline",
    "prefer-online",
    "save-exact",
    "strict-allow-scripts",
    "strict-peer-deps",
    "timing",
];

const DEFAULTS: [(&str, &str); 22] = [
    ("allow-directory", "all"),
    ("allow-file", "all"),
    ("allow-git", "all"),
    ("allow-remote", "all"),
    ("auth-type", "web"),
    ("fetch-retries", "2"),
    ("fetch-retry-factor", "10"),
    ("fetch-retry-maxtimeout", "60000"),
    ("fetch-retry-mintimeout", "10000"),
    ("fetch-timeout", "300000"),
    ("git", "git"),
    ("heading", "npm"),
    ("install-strategy", "hoisted"),
    ("loglevel", "notice"),
    ("logs-max", "10"),
    ("maxsockets", "15"),
    ("registry", npmrc_config_rs::registry::DEFAULT_REGISTRY),
    ("replace-registry-host", "npmjs"),
    ("save-prefix", "^"),
    ("tag", "latest"),
    ("tag-version-prefix", "v"),
    ("umask", "0"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};

    fn variables_of(npmrc: &str, variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join(".npmrc"), npmrc).unwrap();
        let environment = variables.iter().copied().chain([("PREFIX", "/nowhere")]).collect();
        let settings = load(project.path(), &Overrides::default(), &environment).unwrap();
        let mut told = settings.scripts.variables;
        told.retain(|(name, _)| !name.contains("prefix") && name != "npm_config_globalconfig");
        told.sort();
        told
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let always =
            [("EDITOR", "vi"), ("npm_config_allow_scripts", ""), ("npm_config_noproxy", "")];
        let mut pairs: Vec<_> = pairs
            .iter()
            .chain(&always)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn settings_that_differ_from_the_default_are_told() {
        let npmrc = "fund=false\naudit=true\nsharp_binary_host=http://x/y\nflag=true\nloud=false\n\
                     omit[]=dev\nomit[]=peer\nfetch-retries=2\n";
        let expected = [
            ("npm_config_fund", ""),
            ("npm_config_sharp_binary_host", "http://x/y"),
            ("npm_config_flag", "true"),
            ("npm_config_loud", ""),
            ("npm_config_omit", "dev\n\npeer"),
        ];
        assert_eq!(variables_of(npmrc, &[]), pairs(&expected));
    }

    #[test]
    fn credentials_and_scopes_are_not_told() {
        let npmrc = "//host/:_authToken=secret\n//host/:_password=secret\npassword=secret\n\
                     @scope:registry=http://host/\n";
        assert_eq!(variables_of(npmrc, &[]), pairs(&[]));
    }

    #[test]
    fn what_a_variable_sets_is_left_as_it_is() {
        let npmrc = "fund=false\nloglevel=warn\n";
        let told = variables_of(npmrc, &[("npm_config_loglevel", "error")]);
        assert_eq!(told, pairs(&[("npm_config_fund", "")]));
    }

    #[test]
    fn allowing_by_variable_is_refused() {
        let environment = [("npm_config_allow_scripts", "a,b")].into_iter().collect();
        let project = tempfile::tempdir().unwrap();
        let error = load(project.path(), &Overrides::default(), &environment).unwrap_err();
        assert_eq!(error.code(), Code::AllowScripts);
        let npmrc = "allow-scripts=a, b@1.0.0\n";
        std::fs::write(project.path().join(".npmrc"), npmrc).unwrap();
        let settings =
            load(project.path(), &Overrides::default(), &Environment::default()).unwrap();
        assert_eq!(settings.scripts.allow, ["a", "b@1.0.0"]);
    }
}
