//! A lockfile of a project that does not exist, the same in each run.
//!
//! Packages are numbered. Each but the project's own dependencies is a dependency of one with a
//! lower number, so that all are reached. Some bring another version of one with a lower number,
//! which is nested, some have peers, and some have optional packages for four platforms.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use npmrc_config_rs::registry::DEFAULT_REGISTRY;
use ringstall::platform::Platform;
use serde_json::{Map, Value, json};

use super::common::Chance;

pub struct Made {
    entries: Map<String, Value>,
    manifest: Value,
    chance: Chance,
    /// Optional packages for other platforms.
    pub left_out: usize,
    pub bins: usize,
}

/// The one that plans are made for.
pub fn platform() -> Platform {
    Platform { os: "linux".into(), cpu: "x64".into(), libc: Some("glibc".into()) }
}

impl Made {
    /// A project of about so many packages.
    pub fn new(packages: usize) -> Self {
        let (mut dependencies, mut development) = (Map::new(), Map::new());
        for own in 0..OWN {
            let kind = if own % 2 == 0 { &mut dependencies } else { &mut development };
            kind.insert(name(own), range(own).into());
        }
        let manifest = json!({
            "name": "made", "version": "1.0.0",
            "dependencies": dependencies, "devDependencies": development,
        });
        let mut made =
            Self { entries: Map::new(), manifest, chance: Chance(SEED), left_out: 0, bins: 0 };
        // Of 100 packages some 26 more are nested or for platforms.
        let numbered = packages * 100 / 126;
        assert!(numbered > OWN, "a project of {packages} packages is too small");
        for number in 0..numbered {
            made.add_package(number, numbered);
        }
        made
    }

    pub fn packages(&self) -> usize {
        self.entries.len()
    }

    pub fn write(&self, directory: &Path) {
        let mut packages = self.entries.clone();
        packages.insert(String::new(), self.manifest.clone());
        let lockfile = json!({
            "name": "made", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
            "packages": packages,
        });
        let write = |name, value| {
            let text = serde_json::to_string_pretty(value).unwrap();
            fs::write(directory.join(name), text).unwrap();
        };
        write("package-lock.json", &lockfile);
        write("package.json", &self.manifest);
    }

    fn add_package(&mut self, number: usize, numbered: usize) {
        let path = format!("node_modules/{}", name(number));
        let mut dependencies = Map::new();
        let first = OWN + CHILDREN * number;
        for child in first..(first + CHILDREN).min(numbered) {
            dependencies.insert(name(child), range(child).into());
        }
        for _ in 0..2 {
            let other = number + self.chance.below(numbered - number);
            if other > number {
                dependencies.insert(name(other), range(other).into());
            }
        }
        let mut entry = self.entry(&name(number), &version(number));
        if number % 6 == 1 {
            let nested = self.chance.below(number);
            dependencies.insert(name(nested), "^2.0.0".into());
            self.add_nested(&path, nested, number);
        } else if number % 9 == 3 {
            let peer = self.chance.below(number);
            entry["peerDependencies"] = json!({name(peer): range(peer)});
            if number.is_multiple_of(2) {
                entry["peerDependenciesMeta"] = json!({name(peer): {"optional": true}});
            }
        } else if number % 60 == 5 {
            entry["optionalDependencies"] = self.add_platforms(number);
        }
        entry["dependencies"] = dependencies.into();
        if number.is_multiple_of(10) {
            entry["bin"] = json!({format!("command-{number}"): "cli.js"});
            self.bins += 1;
        }
        if number.is_multiple_of(5) {
            entry["funding"] = json!({"url": "made.example"});
        }
        if number.is_multiple_of(50) {
            entry["hasInstallScript"] = true.into();
        }
        self.entries.insert(path, entry);
    }

    /// Another version of a package below one that wants it, and now and then one more below that.
    fn add_nested(&mut self, path: &str, nested: usize, number: usize) {
        let mut entry = self.entry(&name(nested), "2.1.0");
        let path = format!("{path}/node_modules/{}", name(nested));
        if number % 36 == 1 && nested > 0 {
            let deeper = self.chance.below(nested);
            entry["dependencies"] = json!({name(deeper): "~3.0.0"});
            let deepest = self.entry(&name(deeper), "3.0.4");
            self.entries.insert(format!("{path}/node_modules/{}", name(deeper)), deepest);
        }
        self.entries.insert(path, entry);
    }

    fn add_platforms(&mut self, number: usize) -> Value {
        let mut optional = Map::new();
        let platforms =
            [("linux", "x64"), ("linux", "arm64"), ("darwin", "arm64"), ("win32", "x64")];
        for (os, cpu) in platforms {
            let name = format!("@native-{number}/{os}-{cpu}");
            let mut entry = self.entry(&name, "1.0.0");
            entry["os"] = json!([os]);
            entry["cpu"] = json!([cpu]);
            entry["optional"] = true.into();
            self.entries.insert(format!("node_modules/{name}"), entry);
            optional.insert(name, "1.0.0".into());
        }
        self.left_out += platforms.len() - 1;
        optional.into()
    }

    fn entry(&mut self, name: &str, version: &str) -> Value {
        let base = name.rsplit('/').next().unwrap();
        json!({
            "version": version,
            "resolved": format!("{DEFAULT_REGISTRY}{name}/-/{base}-{version}.tgz"),
            "integrity": format!("sha512-{}", STANDARD.encode(self.chance.bytes(64))),
            "license": "MIT",
            "engines": {"node": ">=14.17.0 <15 || >=16.10.0"},
        })
    }
}

fn name(number: usize) -> String {
    match number % 4 {
        0 => format!("@scope-{}/package-{number}", number % 50),
        _ => format!("package-{number}"),
    }
}

fn version(number: usize) -> String {
    format!("1.{}.{}", number % 20, number % 7)
}

fn range(number: usize) -> String {
    match number % 3 {
        0 => version(number),
        1 => format!("~1.{}.0", number % 20),
        _ => "^1.0.0".to_owned(),
    }
}

const SEED: u64 = 11;
/// Dependencies of the project itself.
const OWN: usize = 120;
/// Packages that no other package was meant to bring.
const CHILDREN: usize = 4;
