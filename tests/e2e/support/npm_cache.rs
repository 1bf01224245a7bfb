//! npm's own cache as npm leaves it: contents by their digest, and an index of requests.
//!
//! Written by hand, so that it can be damaged, and filled where there is no npm. That npm writes it
//! like this is a test of its own.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Package;
use super::package::{hex_digest, sri};

pub struct NpmCache {
    /// What npm's setting `cache` names.
    pub folder: PathBuf,
}

impl NpmCache {
    pub fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("_cacache")).unwrap();
        Self { folder }
    }

    /// The tarball of the package, as npm keeps one that it knows by this algorithm.
    pub fn with(self, package: &Package, algorithm: &str) -> Self {
        write(&self.content(package, algorithm), &package.tgz());
        self
    }

    /// And the request for it.
    pub fn with_request(self, package: &Package, registry: &str) -> Self {
        let url = format!("{registry}{}", package.tarball_path());
        let key = format!("make-fetch-happen:request-cache:{url}");
        let integrity = sri("sha512", &package.tgz());
        let entry = json!({"key": key, "integrity": integrity, "metadata": {"url": url}});
        let entry = entry.to_string();
        let line = format!("\n{}\t{entry}", hex_digest("sha1", entry.as_bytes()));
        let path = self.below("index-v5", &hex_digest("sha256", key.as_bytes()));
        write(&path, line.as_bytes());
        self.with(package, "sha512")
    }

    /// The file with the package's tarball.
    pub fn content(&self, package: &Package, algorithm: &str) -> PathBuf {
        let hex = hex_digest(algorithm, &package.tgz());
        self.below(&format!("content-v2/{algorithm}"), &hex)
    }

    fn below(&self, folder: &str, hex: &str) -> PathBuf {
        let parts = [&hex[..2], &hex[2..4], &hex[4..]];
        self.folder.join("_cacache").join(folder).join(parts.iter().collect::<PathBuf>())
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
