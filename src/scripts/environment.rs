//! The environment of scripts: what npm sets on top of the process's own.
//! Sources: @npmcli/run-script 10 (lib/set-path.js, make-spawn-args.js, package-envs.js),
//! @npmcli/config 10 (lib/set-envs.js), @npmcli/arborist 9 (lib/arborist/rebuild.js).
//!
//! With npm on the machine all variables are npm's but one: `npm_config_user_agent` begins like
//! npm's, because packages ask it who installs them, and ends with our own name.

use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

use super::tools::Tools;
use crate::config::ScriptSettings;
use crate::graph::{Graph, NodeId};
use crate::manifest::Manifest;
use crate::platform::{Engines, Platform};
use crate::specifier::resolve_path;

pub type Variables = Vec<(OsString, OsString)>;

/// What all scripts of an installation have in common.
#[derive(Clone, Debug)]
pub struct Surroundings {
    variables: Variables,
    /// PATH as it is; `None` where there is none, and then scripts have none either.
    path: Option<OsString>,
    node_gyp_folder: Option<OsString>,
}

/// The npm whose behaviour is kept, for machines without one.
const NPM_VERSION: &str = "11.19.1";

impl Surroundings {
    pub fn new(
        settings: &ScriptSettings,
        tools: &Tools,
        engines: &Engines,
        directory: &Path,
        has_color: bool,
    ) -> Self {
        let mut variables = Variables::new();
        let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
        for (name, value) in &settings.variables {
            set(name, value.into());
        }
        let npm_version = tools.npm.as_ref().map_or(NPM_VERSION, |npm| &npm.version);
        set("npm_command", "ci".into());
        set("npm_config_local_prefix", directory.into());
        set("npm_config_npm_version", npm_version.into());
        set("npm_config_user_agent", user_agent(settings, npm_version, engines).into());
        set("COLOR", if has_color { "1" } else { "0" }.into());
        if let Ok(current) = std::env::current_dir() {
            set("INIT_CWD", current.into());
        }
        if let Some(node) = &tools.node {
            set("NODE", node.into());
            set("npm_node_execpath", node.into());
        }
        if let Some(npm) = &tools.npm {
            set("npm_execpath", npm.program().into());
        }
        if let Some(node_gyp) = &tools.node_gyp {
            set("npm_config_node_gyp", node_gyp.into());
        }
        let node_gyp_folder = tools.node_gyp_folder.clone().map(OsString::from);
        Self { variables, path: std::env::var_os("PATH"), node_gyp_folder }
    }

    /// The environment of one script of the package in `directory`, whose own variables are
    /// `package`.
    pub fn variables(
        &self,
        directory: &Path,
        package: &[(String, String)],
        event: &str,
        script: &str,
    ) -> Variables {
        let mut variables = self.variables.clone();
        variables.extend(package.iter().map(|(name, value)| (name.into(), value.into())));
        let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
        set("npm_package_json", directory.join("package.json").into());
        set("npm_lifecycle_event", event.into());
        set("npm_lifecycle_script", script.into());
        if let Some(path) = &self.path {
            set("PATH", self.path_from(directory, path));
        }
        variables
    }

    /// `node_modules/.bin` of the folder and of all above it, node-gyp, then PATH as it was.
    fn path_from(&self, directory: &Path, path: &OsString) -> OsString {
        let mut joined = OsString::new();
        let bins = directory.ancestors().map(|folder| folder.join("node_modules/.bin"));
        for folder in bins.map(OsString::from).chain(self.node_gyp_folder.clone()) {
            joined.push(folder);
            joined.push(":");
        }
        joined.push(path);
        joined
    }
}

fn user_agent(settings: &ScriptSettings, npm_version: &str, engines: &Engines) -> String {
    let platform = Platform::current();
    let node = engines.node.as_ref().map_or_else(String::new, |version| format!("v{version}"));
    let template = settings.user_agent.as_deref().unwrap_or(USER_AGENT);
    let filled = template
        .replace("{npm-version}", npm_version)
        .replace("{node-version}", &node)
        .replace("{platform}", &platform.os)
        .replace("{arch}", &platform.cpu)
        .replace("{workspaces}", "false")
        .replace("{ci}", "");
    format!("{} ringstall/{}", filled.trim(), env!("CARGO_PKG_VERSION"))
}

const USER_AGENT: &str =
    "npm/{npm-version} node/{node-version} {platform} {arch} workspaces/{workspaces} {ci}";

/// What a package's own description tells: `npm_package_name`, `_version`, `_config_*`,
/// `_engines_*`, `_bin_*`. `name` is for packages whose entry has none.
pub fn package_variables(
    manifest: &Manifest<'_>,
    name: Option<&str>,
    bins: &[(String, String)],
) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut set = |key: &str, value: &str| {
        variables.push((format!("npm_package_{key}"), value.to_owned()));
    };
    if let Some(name) = manifest.name.get().or(name) {
        set("name", name);
    }
    if let Some(version) = manifest.version.get() {
        set("version", version);
    }
    for (bin, file) in bins {
        set(&format!("bin_{bin}"), file);
    }
    for (key, raw) in [("config", manifest.config), ("engines", manifest.engines)] {
        let value = raw.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        if let Some(value) = value {
            flatten(&format!("npm_package_{key}"), &value, &mut variables);
        }
    }
    variables
}

/// Where a dependency comes from and how the tree came to want it. npm writes the word `null`
/// where it does not know an address or a digest.
pub fn dependency_variables(
    graph: &Graph<'_>,
    id: NodeId,
    is_bundled: bool,
    directory: &Path,
) -> Vec<(String, String)> {
    let node = graph.node(id);
    // Of a tarball on the disk npm tells where it lies on this machine.
    let resolved = node.entry.resolved.get().map(|resolved| match resolved.strip_prefix("file:") {
        Some(path) => format!("file:{}", resolve_path(directory, path).display()),
        None => resolved.to_owned(),
    });
    let known = |text: Option<&str>| text.filter(|_| !is_bundled).unwrap_or("null").to_owned();
    let flag = |is_set: bool| if is_set { "1" } else { "" }.to_owned();
    let flags = node.flags;
    [
        ("resolved", known(resolved.as_deref())),
        ("integrity", known(node.entry.integrity.get())),
        ("optional", flag(flags.is_optional)),
        ("dev", flag(flags.is_dev)),
        ("peer", flag(flags.is_peer)),
        ("dev_optional", flag(flags.is_dev_optional && !flags.is_dev && !flags.is_optional)),
    ]
    .map(|(name, value)| (format!("npm_package_{name}"), value))
    .into()
}

/// `null` and `false` are empty, objects and lists go on with `_` and their key.
fn flatten(name: &str, value: &Value, variables: &mut Vec<(String, String)>) {
    match value {
        Value::Null | Value::Bool(false) => variables.push((name.to_owned(), String::new())),
        Value::Bool(true) => variables.push((name.to_owned(), "true".to_owned())),
        Value::Number(number) => {
            // JavaScript has no `1.0`.
            let text = number.to_string();
            let text = text.strip_suffix(".0").unwrap_or(&text).to_owned();
            variables.push((name.to_owned(), text));
        }
        Value::String(text) => variables.push((name.to_owned(), text.clone())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{name}_{index}"), item, variables);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                flatten(&format!("{name}_{key}"), field, variables);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_lists_are_flattened() {
        let text = r#"{"name": "a", "version": "1.0.0",
            "config": {"port": 80, "list": ["x", 1.0],
                "deep": {"on": true, "off": false, "none": null}},
            "engines": ["node >= 4"]}"#;
        let manifest = Manifest::parse(text, "").unwrap();
        let bins = [("tool".to_owned(), "cli.js".to_owned())];
        let mut variables = package_variables(&manifest, None, &bins);
        variables.sort();
        let expected = [
            ("npm_package_bin_tool", "cli.js"),
            ("npm_package_config_deep_none", ""),
            ("npm_package_config_deep_off", ""),
            ("npm_package_config_deep_on", "true"),
            ("npm_package_config_list_0", "x"),
            ("npm_package_config_list_1", "1"),
            ("npm_package_config_port", "80"),
            ("npm_package_engines_0", "node >= 4"),
            ("npm_package_name", "a"),
            ("npm_package_version", "1.0.0"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, expected);
    }

    #[test]
    fn the_path_climbs_to_the_root() {
        let surroundings = Surroundings {
            variables: Vec::new(),
            path: Some("/usr/bin".into()),
            node_gyp_folder: Some("/gyp".into()),
        };
        let path = surroundings.path_from(Path::new("/p/node_modules/a"), &"/usr/bin".into());
        let expected = "/p/node_modules/a/node_modules/.bin:/p/node_modules/node_modules/.bin:\
                        /p/node_modules/.bin:/node_modules/.bin:/gyp:/usr/bin";
        assert_eq!(path, expected);
    }

    #[test]
    fn the_user_agent_begins_like_npms() {
        let agent = user_agent(&ScriptSettings::default(), "11.0.0", &Engines::default());
        assert!(agent.starts_with("npm/11.0.0 node/"), "{agent}");
        assert!(agent.ends_with(concat!("workspaces/false ringstall/", env!("CARGO_PKG_VERSION"))));
    }
}
