//! Lockfiles of version 1, which npm 5 and 6 wrote: `dependencies` inside `dependencies`.
//!
//! Each becomes an entry of `packages` as npm makes it before it asks the registry for more: its
//! path from the nesting, the source from what stands in `version`, `from` or `resolved`, and edges
//! from `requires`, whose kind is guessed. Sources: @npmcli/arborist 9 lib/shrinkwrap.js
//! (`loadAll`, `metaFromLock`, `fixDependencies`), lib/spec-from-lock.js, lib/version-from-tgz.js.

use std::collections::HashSet;

use node_semver::Version;
use serde_json::{Map, Value};

use crate::specifier::Specifier;

/// The entries of a lockfile of version 1.
#[derive(Debug, Default)]
pub struct Converted {
    pub packages: Map<String, Value>,
    /// Those whose `version` is the address of a tarball.
    pub by_address: HashSet<String>,
}

/// Makes entries of the `dependencies` of a lockfile.
pub fn entries_of_version_1(dependencies: Option<&Value>) -> Converted {
    let mut converted = Converted::default();
    let mut requires = Vec::new();
    add_all("", dependencies, &mut converted, &mut requires);
    for (path, required) in requires {
        add_edges(&mut converted.packages, &path, required);
    }
    converted
}

/// The parser's own limit on nesting bounds the depth.
fn add_all<'v>(
    above: &str,
    dependencies: Option<&'v Value>,
    converted: &mut Converted,
    requires: &mut Vec<(String, &'v Map<String, Value>)>,
) {
    for (name, locked) in dependencies.and_then(Value::as_object).into_iter().flatten() {
        let Some(locked) = locked.as_object() else { continue };
        let slash = if above.is_empty() { "" } else { "/" };
        let path = format!("{above}{slash}node_modules/{name}");
        let source = Source::of(name, locked);
        if matches!(&source, Source::Address(_)) {
            converted.by_address.insert(path.clone());
        }
        let place = if let Source::Folder(target) = &source {
            let link = Value::from_iter([
                ("link", Value::from(true)),
                ("resolved", target.as_str().into()),
            ]);
            converted.packages.insert(path, link);
            target.clone()
        } else {
            path
        };
        // What lies below a link lies in the folder that it leads to.
        if !converted.packages.contains_key(&place) {
            converted.packages.insert(place.clone(), entry(name, locked, &source).into());
            if let Some(required) = locked.get("requires").and_then(Value::as_object) {
                requires.push((place.clone(), required));
            }
        }
        add_all(&place, locked.get("dependencies"), converted, requires);
    }
}

fn entry(name: &str, locked: &Map<String, Value>, source: &Source) -> Map<String, Value> {
    let mut entry = Map::new();
    let is_set = |key: &str| locked.get(key).is_some_and(is_true_in_javascript);
    for (key, is_set) in
        [("optional", is_set("optional")), ("dev", is_set("dev")), ("inBundle", is_set("bundled"))]
    {
        if is_set {
            entry.insert(key.to_owned(), true.into());
        }
    }
    let text = |key: &str| locked.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut set = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            entry.insert(key.to_owned(), value.into());
        }
    };
    match source {
        Source::Folder(_) => {}
        // Nothing is known of a repository's version.
        Source::Git(address) => set("resolved", Some(address)),
        Source::Version { real_name, version } => {
            set("name", real_name.as_deref());
            set("version", Some(version));
            set("resolved", text("resolved"));
            set("integrity", text("integrity"));
        }
        Source::Address(address) | Source::Tarball(address) => {
            set("resolved", Some(address));
            set("integrity", text("integrity"));
            let found = name_and_version(name, address);
            let other_name = found.as_ref().map(|(found, _)| found.as_str());
            set("name", other_name.filter(|found| *found != name));
            set("version", found.as_ref().map(|(_, version)| version.as_str()));
        }
    }
    entry
}

/// Where a package comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Version {
        /// The name behind an alias.
        real_name: Option<String>,
        version: String,
    },
    /// The address of a tarball in the place of a version.
    Address(String),
    /// A tarball that only `resolved` or `from` names, or one in the project.
    Tarball(String),
    Git(String),
    /// A folder that is linked, relative to the root.
    Folder(String),
}

impl Source {
    fn of(name: &str, locked: &Map<String, Value>) -> Self {
        let text = |key: &str| {
            locked.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
        };
        let (version, from, resolved) = (text("version"), text("from"), text("resolved"));
        if let Some(version) = version {
            let source = Self::parse(version);
            if text("integrity").is_some() || matches!(source, Self::Git(_)) {
                return source;
            }
        }
        // What was asked for, without the name before it, says nothing that the version does not.
        let is_named = from
            .is_some_and(|from| from.strip_prefix(name).is_some_and(|rest| rest.starts_with('@')));
        if let Some(from) = from.filter(|_| !is_named && resolved.is_none()) {
            let source = Self::parse(from);
            if !matches!(source, Self::Version { .. }) {
                return source;
            }
        }
        if let Some(resolved) = resolved.filter(|_| !is_named) {
            return match Self::parse(resolved) {
                Self::Address(address) => Self::Tarball(address),
                source => source,
            };
        }
        Self::parse(version.unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        match Specifier::parse(text) {
            Specifier::Git(address) => Self::Git(address.to_owned()),
            Specifier::Remote(address) => Self::Address(address.to_owned()),
            Specifier::File(path) => Self::Tarball(format!("file:{}", from_root(path))),
            Specifier::Directory(path) => Self::Folder(from_root(path)),
            Specifier::Alias(real_name, _) => {
                let version = text.rsplit('@').next().unwrap_or_default().to_owned();
                Self::Version { real_name: Some(real_name.to_owned()), version }
            }
            Specifier::Any | Specifier::Range(_) | Specifier::Tag(_) => {
                Self::Version { real_name: None, version: text.to_owned() }
            }
        }
    }
}

/// A path as keys of `packages` have it: without `.` and with `..` only at its start.
fn from_root(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" if parts.is_empty() && path.starts_with('/') => parts.push(""),
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The name and version that the file name of a tarball tells, where it is one of a registry's
/// form.
fn name_and_version(name: &str, address: &str) -> Option<(String, String)> {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    let base = path.rsplit(['/', ':']).next()?;
    let stem = base.strip_suffix(".tgz")?;
    let is_web = address.starts_with("http:") || address.starts_with("https:");
    let project =
        path.rsplit_once("/-/").filter(|(_, after)| is_web && *after == base).map_or_else(
            || name.to_owned(),
            |(project, _)| project.replace("%2f", "/").replace("%2F", "/"),
        );
    let mut parts = project.rsplit('/');
    let short = parts.next().unwrap_or_default();
    let scope = parts.next().filter(|scope| scope.starts_with('@'));
    let version = Version::parse(stem.strip_prefix(short)?.strip_prefix('-')?).ok()?;
    let name = scope.map_or_else(|| short.to_owned(), |scope| format!("{scope}/{short}"));
    Some((name, version.to_string()))
}

/// Makes edges of `requires`. What a package needs that is optional while the package is not, is
/// an optional dependency; npm treats `dev` alike.
fn add_edges(packages: &mut Map<String, Value>, path: &str, required: &Map<String, Value>) {
    for (name, specifier) in required.iter().filter(|(_, specifier)| specifier.is_string()) {
        let has = |entry: Option<&Value>, flag: &str| {
            entry.and_then(|entry| entry.get(flag)).is_some_and(|flag| flag == true)
        };
        let (own, found) = (packages.get(path), resolve(packages, path, name));
        let kind = if has(found, "optional") && !has(own, "optional") {
            "optionalDependencies"
        } else if has(found, "dev") && !has(own, "dev") {
            "devDependencies"
        } else {
            "dependencies"
        };
        let Some(own) = packages.get_mut(path).and_then(Value::as_object_mut) else { return };
        let pairs = own.entry(kind).or_insert_with(|| Map::new().into());
        if let Some(pairs) = pairs.as_object_mut() {
            pairs.insert(name.clone(), specifier.clone());
        }
    }
}

/// The entry that a package finds by a name: in its own `node_modules`, then upwards.
fn resolve<'p>(packages: &'p Map<String, Value>, from: &str, name: &str) -> Option<&'p Value> {
    let mut above = Some(from);
    while let Some(path) = above {
        let slash = if path.is_empty() { "" } else { "/" };
        if let Some(found) = packages.get(&format!("{path}{slash}node_modules/{name}")) {
            return Some(found);
        }
        above = (!path.is_empty()).then(|| path.rfind('/').map_or("", |end| &path[..end]));
    }
    None
}

fn is_true_in_javascript(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "tests read better without a `&`")]
    fn packages(dependencies: Value) -> Value {
        entries_of_version_1(Some(&dependencies)).packages.into()
    }

    #[test]
    fn paths_come_from_the_nesting() {
        let nested =
            json!({"b": {"version": "2.0.0", "dependencies": {"@s/c": {"version": "3.0.0"}}}});
        assert_eq!(
            packages(json!({"a": {"version": "1.0.0", "dependencies": nested}})),
            json!({
                "node_modules/a": {"version": "1.0.0"},
                "node_modules/a/node_modules/b": {"version": "2.0.0"},
                "node_modules/a/node_modules/b/node_modules/@s/c": {"version": "3.0.0"},
            })
        );
    }

    #[test]
    fn what_stands_for_a_version_tells_the_source() {
        let integrity = "sha512-x";
        let sha = "0123456789012345678901234567890123456789";
        for (locked, expected) in [
            (json!({"version": "1.0.0"}), json!({"version": "1.0.0"})),
            (
                json!({"version": "1.0.0", "resolved": "https://r.test/a/-/a-1.0.0.tgz"}),
                json!({"version": "1.0.0", "resolved": "https://r.test/a/-/a-1.0.0.tgz"}),
            ),
            (
                json!({"version": "npm:@s/real@1.0.0", "integrity": integrity}),
                json!({"name": "@s/real", "version": "1.0.0", "integrity": integrity}),
            ),
            (
                json!({"version": "https://r.test/@s%2fb/-/b-1.0.0.tgz", "integrity": integrity}),
                json!({
                    "name": "@s/b", "version": "1.0.0", "integrity": integrity,
                    "resolved": "https://r.test/@s%2fb/-/b-1.0.0.tgz",
                }),
            ),
            (
                json!({"version": "https://h.test/a-2.0.0.tgz"}),
                json!({"version": "2.0.0", "resolved": "https://h.test/a-2.0.0.tgz"}),
            ),
            (
                json!({"version": "https://h.test/archive.tgz"}),
                json!({"resolved": "https://h.test/archive.tgz"}),
            ),
            (
                json!({"version": "file:./vendor/../a-1.0.0.tgz", "integrity": integrity}),
                json!({"version": "1.0.0", "resolved": "file:a-1.0.0.tgz", "integrity": integrity}),
            ),
            (
                json!({"version": format!("git+ssh://git@h.test/r.git#{sha}"), "from": "x"}),
                json!({"resolved": format!("git+ssh://git@h.test/r.git#{sha}")}),
            ),
            (
                json!({"version": "1.0.0", "from": "a@^1.0.0", "resolved": "https://r.test/odd"}),
                json!({"version": "1.0.0", "resolved": "https://r.test/odd"}),
            ),
        ] {
            let found = packages(json!({"a": locked}));
            assert_eq!(found, json!({"node_modules/a": expected}), "{locked}");
        }
    }

    #[test]
    fn a_folder_is_a_link_and_what_is_nested_lies_below_its_target() {
        let nested = json!({"b": {"version": "1.0.0"}});
        let locked =
            json!({"version": "file:../lib/./a", "requires": {"b": "1"}, "dependencies": nested});
        assert_eq!(
            packages(json!({"a": locked})),
            json!({
                "node_modules/a": {"link": true, "resolved": "../lib/a"},
                "../lib/a": {"dependencies": {"b": "1"}},
                "../lib/a/node_modules/b": {"version": "1.0.0"},
            })
        );
    }

    #[test]
    fn the_kind_of_an_edge_is_guessed_from_both_ends() {
        let found = packages(json!({
            "a": {"version": "1.0.0", "requires": {"b": "1", "c": "1", "d": "1", "gone": "1"}},
            "b": {"version": "1.0.0", "optional": true, "requires": {"c": "1"}},
            "c": {"version": "1.0.0", "optional": true},
            "d": {"version": "1.0.0", "dev": true},
        }));
        assert_eq!(
            found["node_modules/a"],
            json!({
                "version": "1.0.0",
                "optionalDependencies": {"b": "1", "c": "1"},
                "devDependencies": {"d": "1"},
                "dependencies": {"gone": "1"},
            })
        );
        assert_eq!(found["node_modules/b"]["dependencies"], json!({"c": "1"}));
    }

    #[test]
    fn fields_of_the_wrong_type_say_nothing() {
        let locked = json!({"version": 1, "requires": true, "bundled": "", "integrity": []});
        let found = packages(json!({"a": locked, "b": "1.0.0", "c": null}));
        assert_eq!(found, json!({"node_modules/a": {"version": ""}}));
        assert_eq!(packages(json!([1, 2])), json!({}));
    }
}
