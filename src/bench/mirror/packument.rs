//! Packuments of a mirror: made of what the lockfile says, or cut from those of the registry.

use node_semver::Version;
use serde_json::{Map, Value, json};

use super::locked::{Locked, tarball_path};

/// What the abbreviated form of a packument keeps of a version.
const KEPT: [&str; 21] = [
    "name",
    "version",
    "deprecated",
    "dependencies",
    "optionalDependencies",
    "devDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "acceptDependencies",
    "bin",
    "directories",
    "dist",
    "engines",
    "_hasShrinkwrap",
    "hasInstallScript",
    "cpu",
    "os",
    "libc",
    "funding",
];

/// The events for which a package counts as one that has scripts.
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// A packument of the versions of one package that a lockfile names. The lockfile keeps all that
/// an abbreviated packument says of them, but for tags: the highest version is the latest.
pub fn of_lock(name: &str, versions: &[&Locked], origin: &str) -> Value {
    let mut entries = Map::new();
    for locked in versions {
        let mut entry = locked.entry.clone();
        entry.retain(|key, _| KEPT.contains(&key.as_str()));
        entry.insert("name".to_owned(), name.into());
        entry.insert("version".to_owned(), locked.version.as_str().into());
        if locked.entry.get("hasShrinkwrap") == Some(&true.into()) {
            entry.insert("_hasShrinkwrap".to_owned(), true.into());
        }
        let mut dist = json!({
            "tarball": format!("{origin}{}", tarball_path(name, &locked.version)),
        });
        if let Some(integrity) = locked.integrity() {
            dist["integrity"] = integrity.into();
        }
        entry.insert("dist".to_owned(), dist);
        entries.insert(locked.version.clone(), entry.into());
    }
    let latest = newest(entries.keys());
    json!({"name": name, "dist-tags": {"latest": latest}, "versions": entries})
}

/// The abbreviated form of a full packument.
pub fn abbreviate(full: &Value) -> Value {
    let mut versions = full["versions"].as_object().cloned().unwrap_or_default();
    for manifest in versions.values_mut().filter_map(Value::as_object_mut) {
        let has_script = manifest.get("scripts").is_some_and(|scripts| {
            INSTALL_SCRIPTS.iter().any(|event| scripts.get(event).is_some())
        });
        manifest.retain(|key, _| KEPT.contains(&key.as_str()));
        if has_script {
            manifest.insert("hasInstallScript".to_owned(), true.into());
        }
    }
    let mut short = json!({
        "name": full["name"], "dist-tags": full["dist-tags"], "versions": versions,
    });
    if let Some(modified) = full["time"].get("modified") {
        short["modified"] = modified.clone();
    }
    short
}

/// The packument without what was published after a date (ISO 8601). A tag whose version is gone
/// goes too, but for `latest`, which moves to the newest that is kept. A package of which nothing
/// is older stays as it is.
pub fn as_of(mut full: Value, date: &str) -> Value {
    let times = full["time"].as_object().cloned().unwrap_or_default();
    let is_old =
        |version: &str| times.get(version).and_then(Value::as_str).is_none_or(|time| time <= date);
    let Some(versions) = full["versions"].as_object() else { return full };
    let mut kept = versions.clone();
    kept.retain(|version, _| is_old(version));
    if kept.is_empty() || kept.len() == versions.len() {
        return full;
    }
    let latest = newest(kept.keys());
    if let Some(tags) = full["dist-tags"].as_object_mut() {
        tags.retain(|tag, version| {
            tag == "latest" || version.as_str().is_some_and(|version| kept.contains_key(version))
        });
        if let Some(tag) = tags.get_mut("latest")
            && !tag.as_str().is_some_and(|version| kept.contains_key(version))
        {
            *tag = latest.into();
        }
    }
    if let Some(times) = full["time"].as_object_mut() {
        times.retain(|key, _| key == "created" || kept.contains_key(key));
    }
    full["versions"] = kept.into();
    full
}

/// The highest version; one that is no pre-release, where there is one.
fn newest<'v>(versions: impl Iterator<Item = &'v String>) -> Option<String> {
    let parsed = versions.filter_map(|text| Some((Version::parse(text).ok()?, text)));
    let newest = parsed.max_by(|(first, _), (second, _)| {
        let is_stable = |version: &Version| !version.is_prerelease();
        is_stable(first).cmp(&is_stable(second)).then_with(|| first.cmp(second))
    });
    newest.map(|(_, text)| text.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn locked(version: &str, entry: &Value) -> Locked {
        Locked {
            name: "@s/a".to_owned(),
            version: version.to_owned(),
            url: Url::parse("http://r.test/").unwrap(),
            entry: entry.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn a_lockfile_s_entries_make_a_packument() {
        let old = json!({"version": "1.0.0", "resolved": "x", "dev": true, "license": "MIT",
            "integrity": "sha512-x", "dependencies": {"b": "^1"}, "bin": {"a": "a.js"}});
        let new = json!({"version": "2.0.0-b.1", "hasInstallScript": true});
        let [old, new] = [locked("1.0.0", &old), locked("2.0.0-b.1", &new)];
        let packument = of_lock("@s/a", &[&old, &new], "http://m.test/");
        let expected = json!({
            "name": "@s/a",
            "dist-tags": {"latest": "1.0.0"},
            "versions": {
                "1.0.0": {
                    "name": "@s/a", "version": "1.0.0", "dependencies": {"b": "^1"},
                    "bin": {"a": "a.js"}, "dist": {
                        "tarball": "http://m.test/@s/a/-/a-1.0.0.tgz", "integrity": "sha512-x",
                    },
                },
                "2.0.0-b.1": {
                    "name": "@s/a", "version": "2.0.0-b.1", "hasInstallScript": true,
                    "dist": {"tarball": "http://m.test/@s/a/-/a-2.0.0-b.1.tgz"},
                },
            },
        });
        assert_eq!(packument, expected);
    }

    fn full() -> Value {
        json!({
            "name": "a", "readme": "long",
            "dist-tags": {"latest": "2.0.0", "next": "2.0.0", "old": "0.9.0"},
            "time": {
                "created": "2019", "modified": "2022", "0.9.0": "2019", "1.0.0-b": "2020",
                "2.0.0": "2022",
            },
            "versions": {
                "0.9.0": {"version": "0.9.0", "scripts": {"test": "x"}, "license": "MIT"},
                "1.0.0-b": {"version": "1.0.0-b", "scripts": {"postinstall": "x"}},
                "2.0.0": {"version": "2.0.0"},
            },
        })
    }

    #[test]
    fn the_abbreviated_form_says_which_have_install_scripts() {
        let expected = json!({
            "name": "a", "modified": "2022", "dist-tags": full()["dist-tags"],
            "versions": {
                "0.9.0": {"version": "0.9.0"},
                "1.0.0-b": {"version": "1.0.0-b", "hasInstallScript": true},
                "2.0.0": {"version": "2.0.0"},
            },
        });
        assert_eq!(abbreviate(&full()), expected);
    }

    #[test]
    fn what_was_published_later_is_left_out() {
        let old = as_of(full(), "2021-06-01");
        let versions: Vec<_> = old["versions"].as_object().unwrap().keys().collect();
        assert_eq!(versions, ["0.9.0", "1.0.0-b"]);
        assert_eq!(old["dist-tags"], json!({"latest": "0.9.0", "old": "0.9.0"}));
        assert_eq!(old["time"], json!({"created": "2019", "0.9.0": "2019", "1.0.0-b": "2020"}));
        assert_eq!(as_of(full(), "2018"), full());
        assert_eq!(as_of(full(), "2023"), full());
    }
}
