//! The machine that is installed for: os, cpu and libc as node names them, and the versions of
//! node and npm that `engines` speaks of.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use node_semver::Version;

use crate::manifest::{Manifest, parse_list};
use crate::specifier::parse_range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub cpu: String,
    /// `glibc` or `musl`; `None` where it cannot be told or the system is not Linux.
    pub libc: Option<String>,
}

/// The tools that `engines` names; a version that is not known fails no check.
#[derive(Clone, Debug, Default)]
pub struct Engines {
    pub node: Option<Version>,
    pub npm: Option<Version>,
}

impl Platform {
    /// The machine ringstall runs on.
    pub fn current() -> Self {
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            "windows" => "win32",
            "solaris" | "illumos" => "sunos",
            other => other,
        };
        let cpu = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            "x86" => "ia32",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            "mips" if cfg!(target_endian = "little") => "mipsel",
            other => other,
        };
        let libc = (os == "linux").then(libc_family).flatten().map(str::to_owned);
        Self { os: os.to_owned(), cpu: cpu.to_owned(), libc }
    }

    /// The same machine but for what is named.
    #[must_use]
    pub fn or(&self, os: &Option<String>, cpu: &Option<String>, libc: &Option<String>) -> Self {
        Self {
            os: os.as_ref().unwrap_or(&self.os).clone(),
            cpu: cpu.as_ref().unwrap_or(&self.cpu).clone(),
            libc: libc.clone().or_else(|| self.libc.clone()),
        }
    }

    /// Whether the package's `os`, `cpu` and `libc` allow this machine (npm-install-checks 7).
    pub fn allows(&self, manifest: &Manifest<'_>) -> bool {
        let is_libc_allowed = match &self.libc {
            Some(libc) => is_listed(libc, &parse_list(manifest.libc)),
            None => parse_list(manifest.libc).is_empty(),
        };
        is_listed(&self.os, &parse_list(manifest.os))
            && is_listed(&self.cpu, &parse_list(manifest.cpu))
            && is_libc_allowed
    }
}

impl Engines {
    /// The node on PATH, whose version is remembered in `cache` so that it is asked only once, and
    /// the npm beside it.
    pub fn detect(path: &str, cache: &Path) -> Self {
        let Some(node) = find_on_path(path, "node") else { return Self::default() };
        let version = remembered_version(&node, cache);
        Self { node: version, npm: npm_version(&node) }
    }

    pub fn allow(&self, manifest: &Manifest<'_>) -> bool {
        let wanted = manifest.engines();
        is_engine_allowed(self.node.as_ref(), wanted.node.get())
            && is_engine_allowed(self.npm.as_ref(), wanted.npm.get())
    }
}

/// None of the negated values, and one of the others if there are any; `any` alone allows all.
fn is_listed(value: &str, list: &[Cow<'_, str>]) -> bool {
    if list.is_empty() || (list.len() == 1 && list[0] == "any") {
        return true;
    }
    let negated = || list.iter().filter_map(|item| item.strip_prefix('!'));
    if negated().any(|item| item == value) {
        return false;
    }
    negated().count() == list.len() || list.iter().any(|item| item == value)
}

fn is_engine_allowed(version: Option<&Version>, range: Option<&str>) -> bool {
    let (Some(version), Some(range)) = (version, range) else { return true };
    let Some(range) = parse_range(range) else { return false };
    // npm asks with `includePrerelease`: a nightly counts as the release it leads to.
    let released = Version { pre_release: Vec::new(), ..version.clone() };
    range.satisfies(version) || (version.is_prerelease() && range.satisfies(&released))
}

/// As npm finds it (npm-install-checks 7, lib/current-env.js): by the words of ldd, else by the
/// loader that is installed.
fn libc_family() -> Option<&'static str> {
    if let Ok(ldd) = fs::read("/usr/bin/ldd") {
        let has = |word: &[u8]| ldd.windows(word.len()).any(|window| window == word);
        if has(b"musl") {
            return Some("musl");
        }
        return has(b"GNU C Library").then_some("glibc");
    }
    let loaders = ["/lib", "/lib64"].into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let names: Vec<_> =
        loaders.flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    if names.iter().any(|name| name.starts_with("ld-musl-")) {
        return Some("musl");
    }
    names.iter().any(|name| name.starts_with("ld-linux")).then_some("glibc")
}

/// The first file of this name on PATH, with all links followed.
pub fn find_on_path(path: &str, program: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(path).map(|folder| folder.join(program));
    found.filter(|file| file.is_file()).find_map(|file| file.canonicalize().ok())
}

/// Starting node takes 40 ms and a hundred context switches, so its answer is kept beside the
/// cache, with what tells this node from another.
fn remembered_version(node: &Path, cache: &Path) -> Option<Version> {
    let metadata = fs::metadata(node).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let identity = format!("{} {} {changed}", node.display(), metadata.len());
    let memory = cache.join("node-version");
    if let Ok(text) = fs::read_to_string(&memory)
        && let Some((known, version)) = text.split_once('\n')
        && known == identity
    {
        return Version::parse(version.trim()).ok();
    }
    let output = Command::new(node).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    let version = version.trim();
    let parsed = Version::parse(version).ok()?;
    // Only a memory: the next run asks again where it cannot be written.
    let _ = fs::write(&memory, format!("{identity}\n{version}\n"));
    Some(parsed)
}

fn npm_version(node: &Path) -> Option<Version> {
    let prefix = node.parent()?.parent()?;
    let manifest = fs::read_to_string(prefix.join("lib/node_modules/npm/package.json")).ok()?;
    let manifest = Manifest::parse(&manifest, "package.json").ok()?;
    Version::parse(manifest.version.get()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(manifest: &str, libc: Option<&str>) -> bool {
        let platform = Platform {
            os: "linux".to_owned(),
            cpu: "x64".to_owned(),
            libc: libc.map(str::to_owned),
        };
        platform.allows(&Manifest::parse(manifest, "").unwrap())
    }

    #[test]
    fn lists_name_what_is_allowed_or_what_is_not() {
        for (manifest, expected) in [
            (r"{}", true),
            (r#"{"os": ["linux", "darwin"]}"#, true),
            (r#"{"os": "linux"}"#, true),
            (r#"{"os": ["darwin"]}"#, false),
            (r#"{"os": ["!win32"]}"#, true),
            (r#"{"os": ["!linux"]}"#, false),
            (r#"{"os": ["!win32", "darwin"]}"#, false),
            (r#"{"os": ["any"]}"#, true),
            (r#"{"os": [], "cpu": ["arm64"]}"#, false),
            (r#"{"cpu": ["x64"], "libc": ["glibc"]}"#, true),
            (r#"{"libc": ["musl"]}"#, false),
        ] {
            assert_eq!(is_allowed(manifest, Some("glibc")), expected, "{manifest}");
        }
    }

    #[test]
    fn an_unknown_libc_fails_every_list() {
        assert!(!is_allowed(r#"{"libc": ["glibc"]}"#, None));
        assert!(is_allowed(r"{}", None));
    }

    #[test]
    fn engines_are_matched_with_prereleases() {
        let is_allowed = |version: &str, range: &str| {
            is_engine_allowed(Version::parse(version).ok().as_ref(), Some(range))
        };
        assert!(is_allowed("20.20.2", "^18 || >=20"));
        assert!(!is_allowed("20.20.2", ">=22"));
        assert!(is_allowed("23.0.0-nightly1", ">=20"));
        assert!(is_engine_allowed(None, Some(">=99")));
    }

    #[test]
    fn the_version_of_node_is_asked_once() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let node = directory.path().join("node");
        let asked = directory.path().join("asked");
        let script = format!("#!/bin/sh\necho x >>'{}'\necho v1.2.3\n", asked.display());
        fs::write(&node, script).unwrap();
        fs::set_permissions(&node, fs::Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().to_str().unwrap();
        for _ in 0..2 {
            let engines = Engines::detect(path, directory.path());
            assert_eq!(engines.node, Version::parse("1.2.3").ok());
        }
        assert_eq!(fs::read_to_string(asked).unwrap(), "x\n");
    }
}
