//! What a package's own `package.json` says about its bins and scripts, as npm reads it
//! (`npm-normalize-package-bin` and `@npmcli/package-json` of npm 11).
//!
//! A `package.json` that cannot be read says nothing: npm installs such a package all the same.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::cache::Facts;

/// Reads `package.json`. `paths` are all files of the package, in order.
pub(super) fn read_facts<'p>(
    manifest: &[u8],
    paths: impl Iterator<Item = &'p [u8]> + Clone,
) -> Facts {
    let manifest = manifest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(manifest);
    let members: Members<'_> = serde_json::from_slice(manifest).unwrap_or_default();
    let name = members.text("name").unwrap_or_default();
    let version = members.text("version").unwrap_or_default();
    let has_node_modules = paths.clone().any(|path| path.starts_with(b"node_modules/"));
    let has_install_scripts = has_install_scripts(&members, paths.clone());
    let bins = read_bins(&members, &name, paths);
    let known = |text: String| if text.len() <= NAME_BYTES_MAX { text } else { String::new() };
    let (name, version) = (known(name), known(version));
    Facts { name, version, bins, has_install_scripts, has_node_modules }
}

/// The files that bins lead to.
pub(super) fn bin_targets(facts: &Facts) -> HashSet<&[u8]> {
    facts.bins.iter().map(|(_, target)| target.as_bytes()).collect()
}

/// `preinstall`, `install` or `postinstall`, or a `binding.gyp`, which npm builds even where the
/// package's `gypfile` is false: the lockfile, from which it installs, does not say so.
fn has_install_scripts<'p>(
    members: &Members<'_>,
    mut paths: impl Iterator<Item = &'p [u8]>,
) -> bool {
    let scripts = members.object("scripts").unwrap_or_default();
    let has = |name: &str| scripts.text(name).is_some_and(|script| !script.is_empty());
    ["preinstall", "install", "postinstall"].into_iter().any(has)
        || paths.any(|path| path == b"binding.gyp")
}

fn read_bins<'p>(
    members: &Members<'_>,
    package: &str,
    paths: impl Iterator<Item = &'p [u8]>,
) -> Vec<(String, String)> {
    let mut bins = Vec::new();
    let mut add = |name: &str, target: &str| {
        let (name, target) = (bin_name(name), bin_target(target));
        let fits = |text: &str, max: usize| !text.is_empty() && text.len() <= max;
        let is_usable = fits(&name, NAME_BYTES_MAX) && fits(&target, TARGET_BYTES_MAX);
        if !is_usable || name.contains('\0') || target.contains('\0') {
            return;
        }
        bins.push((name, target));
    };
    if let Some(target) = members.text("bin") {
        // An empty one, like any value that is false in JavaScript, is as good as none.
        if !target.is_empty() {
            if !package.is_empty() {
                add(package, &target);
            }
            return bins;
        }
    } else if let Some(object) = members.object("bin") {
        for (name, value) in &object.0 {
            if let Ok(target) = serde_json::from_str::<Cow<'_, str>>(value.get()) {
                add(name, &target);
            }
        }
        return last_of_each(bins);
    } else if let Some(targets) = members.parse::<Vec<Cow<'_, str>>>("bin") {
        for target in targets {
            add(base_name(&target), &target);
        }
        return last_of_each(bins);
    }
    let directory = members.object("directories").and_then(|object| object.text("bin"));
    if let Some(directory) = directory.map(|directory| bin_target(&directory)) {
        let directory = directory.trim_end_matches('/');
        for path in paths.filter_map(|path| str::from_utf8(path).ok()) {
            let inside = match directory {
                "" => Some(path),
                _ => path.strip_prefix(directory).and_then(|path| path.strip_prefix('/')),
            };
            // A glob passes over what begins with a dot, at any depth.
            if inside.is_some_and(|path| !path.split('/').any(|part| part.starts_with('.'))) {
                add(base_name(path), path);
            }
        }
    }
    last_of_each(bins)
}

/// Of bins with one name the last counts, at the place of the first: as in a JavaScript object.
fn last_of_each(bins: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut places = HashMap::new();
    let mut kept: Vec<(String, String)> = Vec::with_capacity(bins.len());
    for (name, target) in bins {
        if let Some(place) = places.get(&name) {
            let entry: &mut (String, String) = &mut kept[*place];
            entry.1 = target;
        } else {
            places.insert(name.clone(), kept.len());
            kept.push((name, target));
        }
    }
    kept
}

/// `join('/', basename(name.replace(/\\|:/g, '/'))).slice(1)`
fn bin_name(name: &str) -> String {
    let name = name.replace(['\\', ':'], "/");
    match base_name(&name) {
        "." | ".." => String::new(),
        base => base.to_owned(),
    }
}

/// `join('/', target.replace(/\\/g, '/')).slice(1)`: `..` never leaves the package.
fn bin_target(target: &str) -> String {
    let target = target.replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    let mut joined = parts.join("/");
    if target.ends_with('/') && !joined.is_empty() {
        joined.push('/');
    }
    joined
}

/// Node's `path.posix.basename`.
fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// The members of a JSON object in their order, values unread.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The last of a name, as in JavaScript.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    fn parse<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.parse(name)
    }

    fn object(&self, name: &str) -> Option<Members<'a>> {
        self.parse(name)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// Longer names are no file names, so that no link could be made; npm's own limit for a package is
/// 214.
const NAME_BYTES_MAX: usize = 255;
/// The longest path that Linux takes, without its NUL.
const TARGET_BYTES_MAX: usize = 4095;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(manifest: &str, paths: &[&str]) -> Facts {
        read_facts(manifest.as_bytes(), paths.iter().map(|path| path.as_bytes()))
    }

    fn bins(manifest: &str, paths: &[&str]) -> Vec<(String, String)> {
        facts(manifest, paths).bins
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, target)| ((*name).to_owned(), (*target).to_owned())).collect()
    }

    #[test]
    fn a_bin_string_takes_the_name_of_the_package_without_its_scope() {
        let manifest = r#"{"bin": "./bin/x.js", "version": "1.0.0", "name": "@scope/tool"}"#;
        let expected = Facts {
            name: "@scope/tool".to_owned(),
            version: "1.0.0".to_owned(),
            bins: pairs(&[("tool", "bin/x.js")]),
            ..Facts::default()
        };
        assert_eq!(facts(manifest, &[]), expected);
        assert_eq!(bins(r#"{"bin": "x"}"#, &[]), []);
    }

    #[test]
    fn names_and_targets_cannot_leave_their_places() {
        let manifest = r#"{"bin": {"../../x": "../../../etc/passwd", "@s/y": "/z", "a\\b:c": "d\\e",
            "..": "f", ".": "f", "": "f", "g": "..", "h": 5, "i\u0000": "i", "j": "k/"}}"#;
        let expected = [("x", "etc/passwd"), ("y", "z"), ("c", "d/e"), ("j", "k/")];
        assert_eq!(bins(manifest, &[]), pairs(&expected));
    }

    #[test]
    fn of_bins_with_one_name_the_last_counts() {
        let manifest = r#"{"bin": {"z": "1", "a/x": "2", "x": "3"}, "name": 5}"#;
        assert_eq!(bins(manifest, &[]), pairs(&[("z", "1"), ("x", "3")]));
        assert_eq!(
            bins(r#"{"bin": "a", "name": "n", "bin": ["b/c"]}"#, &[]),
            pairs(&[("c", "b/c")])
        );
    }

    #[test]
    fn a_bin_directory_counts_where_there_is_no_bin() {
        let paths = ["bin/.hidden", "bin/a", "bin/sub/b", "binary", "package.json"];
        let manifest = r#"{"directories": {"bin": "./bin/"}}"#;
        assert_eq!(bins(manifest, &paths), pairs(&[("a", "bin/a"), ("b", "bin/sub/b")]));
        let manifest = r#"{"directories": {"bin": "bin"}, "bin": {"c": "binary"}}"#;
        assert_eq!(bins(manifest, &paths), pairs(&[("c", "binary")]));
    }

    #[test]
    fn scripts_and_native_builds_are_noticed() {
        let has = |manifest: &str, paths: &[&str]| facts(manifest, paths).has_install_scripts;
        for script in ["preinstall", "install", "postinstall"] {
            assert!(has(&format!(r#"{{"scripts": {{"{script}": "x"}}}}"#), &[]));
        }
        assert!(!has(r#"{"scripts": {"test": "x", "install": "", "postinstall": 1}}"#, &[]));
        assert!(has("{}", &["binding.gyp"]));
        assert!(!has("{}", &["src/binding.gyp"]));
        assert!(has(r#"{"gypfile": false}"#, &["binding.gyp"]));
    }

    #[test]
    fn a_manifest_that_cannot_be_read_says_nothing() {
        let deep = "[".repeat(100_000);
        for manifest in ["", "{", "5", "[]", "null", "\u{feff}", &deep, r#"{"bin": {"a": [[}"#] {
            let expected = Facts { has_node_modules: true, ..Facts::default() };
            assert_eq!(facts(manifest, &["node_modules/a/b"]), expected);
        }
        assert_eq!(facts("\u{feff}{\"name\": \"a\"}", &[]).name, "a");
    }
}
