//! A package as its author would publish it: fields of package.json, files, and the tarball.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{self, Algorithm};
use serde_json::{Map, Value, json};

use super::archive::{archive, gzip, member};

#[derive(Clone, Debug)]
pub struct Package {
    pub name: String,
    pub version: String,
    manifest: Map<String, Value>,
    members: Vec<Vec<u8>>,
    /// Replaces all that would be made of the members.
    tarball: Option<Vec<u8>>,
}

impl Package {
    /// A package with nothing in it but its package.json.
    pub fn new(name: &str, version: &str) -> Self {
        let manifest = json!({"name": name, "version": version});
        let manifest = manifest.as_object().unwrap().clone();
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, manifest, members: Vec::new(), tarball: None }
    }

    /// Sets a field of package.json.
    pub fn field(mut self, key: &str, value: Value) -> Self {
        self.manifest.insert(key.to_owned(), value);
        self
    }

    pub fn dependency(self, name: &str, specifier: &str) -> Self {
        self.dependency_of("dependencies", name, specifier)
    }

    /// `kind` is the field of package.json.
    pub fn dependency_of(mut self, kind: &str, name: &str, specifier: &str) -> Self {
        let pairs = self.manifest.entry(kind).or_insert_with(|| json!({}));
        pairs[name] = json!(specifier);
        self
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        self.file_with_mode(path, 0o644, content)
    }

    pub fn file_with_mode(self, path: &str, mode: u32, content: &str) -> Self {
        self.member(member(&format!("package/{path}"), b'0', mode, content.as_bytes()))
    }

    /// Adds a member of the archive as it is.
    pub fn member(mut self, bytes: Vec<u8>) -> Self {
        self.members.push(bytes);
        self
    }

    /// Makes the tarball these bytes, whatever the package is said to hold.
    pub fn tarball(mut self, bytes: Vec<u8>) -> Self {
        self.tarball = Some(bytes);
        self
    }

    pub fn tgz(&self) -> Vec<u8> {
        if let Some(bytes) = &self.tarball {
            return bytes.clone();
        }
        let manifest = serde_json::to_vec(&self.manifest).unwrap();
        let mut members = vec![member("package/package.json", b'0', 0o644, &manifest)];
        members.extend(self.members.iter().cloned());
        gzip(&archive(&members))
    }

    /// The name without its scope.
    pub fn base_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    /// Where a registry keeps the tarball, seen from the registry's address.
    pub fn tarball_path(&self) -> String {
        format!("{}/-/{}-{}.tgz", self.name, self.base_name(), self.version)
    }

    pub fn integrity(&self) -> String {
        sri("sha512", &self.tgz())
    }

    /// The package.json as registries and lockfiles give it: `bin` is always an object.
    pub fn normal_manifest(&self) -> Map<String, Value> {
        let mut manifest = self.manifest.clone();
        if let Some(Value::String(target)) = manifest.get("bin") {
            let bin = json!({self.base_name(): target});
            manifest.insert("bin".to_owned(), bin);
        }
        if self.has_install_script() {
            manifest.insert("hasInstallScript".to_owned(), json!(true));
        }
        manifest
    }

    /// An entry of a lockfile's `packages` at `path`, but for `resolved`.
    pub fn lock_entry(&self, path: &str) -> Map<String, Value> {
        let mut entry = self.normal_manifest();
        entry.retain(|key, _| LOCK_KEYS.contains(&key.as_str()));
        entry.insert("integrity".to_owned(), json!(self.integrity()));
        if path.ends_with(&format!("node_modules/{}", self.name)) {
            entry.remove("name");
        }
        entry
    }

    fn has_install_script(&self) -> bool {
        let scripts = self.manifest.get("scripts").and_then(Value::as_object);
        scripts.is_some_and(|scripts| SCRIPT_EVENTS.iter().any(|name| scripts.contains_key(*name)))
    }
}

/// `sha512-...` and its like.
pub fn sri(name: &str, bytes: &[u8]) -> String {
    let digest = digest::digest(algorithm(name), bytes);
    format!("{name}-{}", STANDARD.encode(digest.as_ref()))
}

pub fn hex_digest(name: &str, bytes: &[u8]) -> String {
    let digest = digest::digest(algorithm(name), bytes);
    let digits: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// A digest of the right form that no tarball has.
pub fn wrong_sri(name: &str) -> String {
    let length = algorithm(name).output_len();
    format!("{name}-{}", STANDARD.encode(vec![0; length]))
}

fn algorithm(name: &str) -> &'static Algorithm {
    match name {
        "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => &digest::SHA256,
        "sha384" => &digest::SHA384,
        "sha512" => &digest::SHA512,
        _ => panic!("no algorithm `{name}`"),
    }
}

const SCRIPT_EVENTS: [&str; 3] = ["preinstall", "install", "postinstall"];
const LOCK_KEYS: [&str; 20] = [
    "name",
    "version",
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "bin",
    "engines",
    "os",
    "cpu",
    "libc",
    "license",
    "funding",
    "deprecated",
    "hasInstallScript",
    "hasShrinkwrap",
    "acceptDependencies",
    "integrity",
];
