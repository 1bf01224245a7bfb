//! What packing and preparing a package ask of its package.json, normalised as
//! `@npmcli/package-json` 7 does before npm-packlist and pacote look at it.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::bins::{directory_bins, normalized_bins};
use crate::error::{Code, Error, Result};
use crate::lockfile::read_text;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest, without_byte_order_mark};
use crate::workspaces::{find_workspaces, leads_out};

#[derive(Debug, Default)]
pub struct PackManifest {
    pub files: Option<Vec<String>>,
    pub main: Option<String>,
    pub browser: Option<String>,
    /// What the commands lead to.
    pub bins: Vec<String>,
    /// The dependencies that are packed along.
    pub bundled: Vec<String>,
    /// What a package that is packed along itself takes along.
    pub needed: Vec<String>,
    /// Workspaces of the package, as paths below it.
    pub workspaces: Vec<String>,
    has_workspaces_field: bool,
    scripts: Vec<String>,
}

/// The scripts for which pacote 21 installs the dependencies of a repository (`lib/git.js`).
const PREPARING_SCRIPTS: [&str; 6] =
    ["postinstall", "build", "preinstall", "install", "prepack", "prepare"];

impl PackManifest {
    /// Reads the package.json of the folder. A symbolic link is none: it could lead anywhere.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("package.json");
        let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        let text = if is_file { read_text(&path, MANIFEST_BYTES_MAX)? } else { None };
        let Some(text) = text else {
            return Err(Error::new(Code::Tarball, "it has no package.json"));
        };
        let manifest = Manifest::parse(&text, "package.json")?;
        let members: Map<String, Value> = serde_json::from_str(without_byte_order_mark(&text))
            .map_err(|error| {
                Error::new(Code::JsonParse, "failed to parse `package.json`").with_source(error)
            })?;
        let bins = normalized_bins(&manifest, manifest.name.get().unwrap_or_default());
        let more_bins = directory_bins(&manifest, folder);
        let workspaces = match manifest.workspaces {
            Some(_) if leads_out(&manifest)? => {
                return Err(Error::new(Code::Tarball, "its workspaces lie outside of it"));
            }
            Some(_) => find_workspaces(folder, &manifest)?,
            None => Vec::new(),
        };
        Ok(Self {
            files: text_list(members.get("files")),
            main: text_of(members.get("main")),
            browser: text_of(members.get("browser")),
            bins: bins.into_iter().chain(more_bins).map(|(_, target)| target).collect(),
            bundled: bundled(&manifest, &members),
            needed: needed(&manifest),
            workspaces: workspaces.into_iter().map(|workspace| workspace.path).collect(),
            has_workspaces_field: members.get("workspaces").is_some_and(is_truthy),
            scripts: scripts(&members),
        })
    }

    /// Whether npm installs the dependencies of the repository before it packs it.
    pub fn wants_installation(&self) -> bool {
        self.has_workspaces_field || PREPARING_SCRIPTS.iter().any(|name| self.has_script(name))
    }

    pub fn has_script(&self, name: &str) -> bool {
        self.scripts.iter().any(|script| script == name)
    }
}

fn scripts(members: &Map<String, Value>) -> Vec<String> {
    let scripts = members.get("scripts").and_then(Value::as_object);
    let is_script = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let named = scripts.into_iter().flatten().filter(|(_, value)| is_script(value));
    named.map(|(name, _)| name.clone()).collect()
}

/// `bundleDependencies` in all its forms. What is only a development or peer dependency is not
/// packed along.
fn bundled(manifest: &Manifest<'_>, members: &Map<String, Value>) -> Vec<String> {
    let field = members.get("bundleDependencies").or_else(|| members.get("bundledDependencies"));
    let names: Vec<String> = match field {
        Some(Value::Bool(true)) => {
            manifest.dependencies.pairs().map(|(name, _)| name.to_owned()).collect()
        }
        Some(Value::Array(names)) => names.iter().filter_map(string_of).collect(),
        Some(Value::Object(names)) => names.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let is_packed = |name: &String| {
        let is_wanted = manifest.dependencies.find(name).is_some()
            || manifest.optional_dependencies.find(name).is_some();
        is_wanted && manifest.dev_dependencies.find(name).is_none()
    };
    names.into_iter().filter(is_packed).collect()
}

fn needed(manifest: &Manifest<'_>) -> Vec<String> {
    let pairs = manifest.dependencies.pairs().chain(manifest.optional_dependencies.pairs());
    pairs.map(|(name, _)| name.to_owned()).collect()
}

fn text_list(value: Option<&Value>) -> Option<Vec<String>> {
    Some(value?.as_array()?.iter().filter_map(string_of).collect())
}

fn string_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The text that a template makes of a value; an object gives a pattern that npm did not mean.
fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Object(_) => Some("[object Object]".to_owned()),
        _ => None,
    }
}

fn is_truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && value.as_str() != Some("")
}
