//! The registry packages that a lockfile names, with all that it says of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use crate::error::{Code, Error, Result};
use crate::lockfile::{LOCKFILE_NAMES, LockfileText};
use crate::manifest::{Manifest, without_byte_order_mark};
use crate::platform::Platform;
use crate::registry::{Registries, Source};

/// A version of a package. Where it is installed several times, it is here once.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The name in the registry, which an alias hides.
    pub name: String,
    pub version: String,
    /// Where its tarball comes from.
    pub url: Url,
    pub entry: Map<String, Value>,
}

/// A lockfile as a value.
#[derive(Clone, Debug)]
pub struct Lock {
    pub file_name: &'static str,
    pub value: Value,
}

impl Lock {
    pub fn read(directory: &std::path::Path) -> Result<Self> {
        let LockfileText { file_name, text, .. } = LockfileText::read(directory)?;
        Self::parse(file_name, &text)
    }

    pub fn parse(file_name: &'static str, text: &str) -> Result<Self> {
        debug_assert!(LOCKFILE_NAMES.contains(&file_name));
        let value: Value =
            serde_json::from_str(without_byte_order_mark(text)).map_err(|error| {
                Error::new(Code::JsonParse, format!("failed to parse `{file_name}`"))
                    .with_source(error)
            })?;
        if !value["packages"].is_object() {
            let message = format!("`{file_name}` has no `packages`, which a bench needs");
            return Err(Error::new(Code::LockfileVersion, message).with_hint(
                "`npm install --package-lock-only --lockfile-version=3` writes one that has",
            ));
        }
        Ok(Self { file_name, value })
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        let packages = self.value["packages"].as_object().into_iter().flatten();
        packages.filter_map(|(path, entry)| Some((path.as_str(), entry.as_object()?)))
    }

    /// The folders of workspaces and other linked packages, from the project's.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        let is_folder = |path: &&str| !path.is_empty() && !is_installed(path);
        self.entries().map(|(path, _)| path).filter(is_folder)
    }

    /// The packages of registries, and how many come from elsewhere.
    pub fn packages(&self, registries: &Registries) -> Result<(Vec<Locked>, usize)> {
        let mut found = BTreeMap::new();
        let mut elsewhere = 0;
        for (path, entry) in self.entries() {
            let Some((name, version)) = identity(path, entry) else { continue };
            let resolved = entry.get("resolved").and_then(Value::as_str);
            let Source::Registry { url, .. } = registries.tarball_url(name, version, resolved)?
            else {
                elsewhere += 1;
                continue;
            };
            let (name, version) = (name.to_owned(), version.to_owned());
            let locked = Locked { name, version, url, entry: entry.clone() };
            found.entry((locked.name.clone(), locked.version.clone())).or_insert(locked);
        }
        Ok((found.into_values().collect(), elsewhere))
    }

    /// The lockfile's text with each registry package's address at the registry `url`: rivals want
    /// addresses, and ours must not go to another registry that the lockfile names.
    pub fn with_addresses(mut self, registries: &Registries, url: &str) -> Result<String> {
        let packages = self.value["packages"].as_object_mut();
        for (path, entry) in packages.into_iter().flatten() {
            let Some(entry) = entry.as_object_mut() else { continue };
            let Some((name, version)) = identity(path, entry) else { continue };
            let resolved = entry.get("resolved").and_then(Value::as_str);
            let source = registries.tarball_url(name, version, resolved)?;
            if matches!(source, Source::Registry { .. }) {
                let address = format!("{url}{}", tarball_path(name, version));
                entry.insert("resolved".to_owned(), address.into());
            }
        }
        Ok(format!("{:#}\n", self.value))
    }
}

impl Locked {
    pub fn integrity(&self) -> Option<&str> {
        self.entry.get("integrity").and_then(Value::as_str)
    }

    pub fn is_optional(&self) -> bool {
        ["optional", "devOptional"].iter().any(|key| self.entry.get(*key) == Some(&true.into()))
    }

    /// Whether it can be installed on the os and cpu of a platform, for any libc: there are
    /// installers that take the packages of all. What is not understood can.
    pub fn fits_but_for_libc(&self, platform: &Platform) -> bool {
        let mut entry = self.entry.clone();
        entry.remove("libc");
        let text = Value::from(entry).to_string();
        Manifest::parse(&text, "").map_or(true, |manifest| platform.allows(&manifest))
    }
}

/// Name and version of a package that has a tarball of its own.
pub fn identity<'e>(path: &'e str, entry: &'e Map<String, Value>) -> Option<(&'e str, &'e str)> {
    let is = |key: &str| entry.get(key) == Some(&Value::Bool(true));
    if !is_installed(path) || is("link") || is("inBundle") {
        return None;
    }
    let name = entry.get("name").and_then(Value::as_str);
    let name = name.unwrap_or_else(|| path.rsplit("node_modules/").next().unwrap_or(path));
    Some((name, entry.get("version")?.as_str()?))
}

fn is_installed(path: &str) -> bool {
    path.starts_with("node_modules/") || path.contains("/node_modules/")
}

/// Where a mirror keeps a tarball, and where its address is below the registry's. Build metadata
/// is no part of a published version.
pub fn tarball_path(name: &str, version: &str) -> String {
    let base = name.rsplit('/').next().unwrap_or(name);
    let version = version.split('+').next().unwrap_or(version);
    format!("{name}/-/{base}-{version}.tgz")
}

#[cfg(test)]
mod tests {
    use super::*;
    use npmrc_config_rs::registry::DEFAULT_REGISTRY;
    use serde_json::json;

    fn lock() -> Lock {
        let packages = json!({
            "": {"name": "r", "version": "1.0.0"},
            "w": {"name": "w", "version": "1.0.0"},
            "node_modules/w": {"resolved": "w", "link": true},
            "node_modules/a": {"version": "1.0.0"},
            "node_modules/b/node_modules/a": {"version": "1.0.0", "integrity": "x"},
            "w/node_modules/alias": {
                "name": "@s/c", "version": "2.0.0+build",
                "resolved": format!("{DEFAULT_REGISTRY}@s/c/-/c-2.0.0.tgz"),
            },
            "node_modules/b": {"version": "1.0.0", "optional": true, "os": ["no-such-system"]},
            "node_modules/b/node_modules/in": {"version": "1.0.0", "inBundle": true},
            "node_modules/g": {"version": "1.0.0", "resolved": "git+ssh://git@h.test/g.git#1"},
        });
        let text = json!({"lockfileVersion": 3, "packages": packages}).to_string();
        Lock::parse("package-lock.json", &text).unwrap()
    }

    #[test]
    fn each_version_of_a_registry_is_there_once() {
        let (packages, elsewhere) = lock().packages(&Registries::default()).unwrap();
        let names: Vec<_> =
            packages.iter().map(|one| format!("{}@{}", one.name, one.version)).collect();
        assert_eq!(names, ["@s/c@2.0.0+build", "a@1.0.0", "b@1.0.0"]);
        assert_eq!(elsewhere, 1);
        assert!(packages[2].is_optional() && !packages[2].fits_but_for_libc(&Platform::current()));
        assert!(packages[0].fits_but_for_libc(&Platform::current()));
    }

    #[test]
    fn os_and_cpu_say_what_fits_and_libc_does_not() {
        let fits = |entry: Value, libc: Option<&str>| {
            let text = json!({"packages": {"node_modules/a": entry}}).to_string();
            let lock = Lock::parse("package-lock.json", &text).unwrap();
            let (packages, _) = lock.packages(&Registries::default()).unwrap();
            let [os, cpu] = ["linux", "x64"].map(str::to_owned);
            packages[0].fits_but_for_libc(&Platform { os, cpu, libc: libc.map(str::to_owned) })
        };
        for (entry, expected) in [
            (json!({"version": "1.0.0", "os": ["linux"], "libc": ["musl"]}), true),
            (json!({"version": "1.0.0", "os": ["linux"], "libc": ["glibc"]}), true),
            (json!({"version": "1.0.0", "cpu": ["arm64"], "libc": ["glibc"]}), false),
            (json!({"version": "1.0.0", "os": ["darwin"]}), false),
        ] {
            for libc in [Some("glibc"), Some("musl"), None] {
                assert_eq!(fits(entry.clone(), libc), expected, "{entry} {libc:?}");
            }
        }
    }

    #[test]
    fn addresses_are_those_of_the_mirror() {
        let text = lock().with_addresses(&Registries::default(), "http://m.test/").unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let resolved = |path: &str| value["packages"][path]["resolved"].as_str();
        assert_eq!(resolved("node_modules/a"), Some("http://m.test/a/-/a-1.0.0.tgz"));
        assert_eq!(resolved("w/node_modules/alias"), Some("http://m.test/@s/c/-/c-2.0.0.tgz"));
        assert_eq!(resolved("node_modules/w"), Some("w"));
        assert_eq!(resolved("node_modules/g"), Some("git+ssh://git@h.test/g.git#1"));
        assert_eq!(resolved("node_modules/b/node_modules/in"), None);
        assert_eq!(lock().folders().collect::<Vec<_>>(), ["w"]);
    }

    #[test]
    fn a_lockfile_without_packages_is_refused() {
        let error = Lock::parse("package-lock.json", r#"{"lockfileVersion": 1}"#).unwrap_err();
        assert_eq!(error.code(), Code::LockfileVersion);
    }
}
