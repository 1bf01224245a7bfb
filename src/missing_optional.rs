//! Packages for this platform that their owner lists and the lockfile lacks.
//!
//! npm writes such lockfiles where a `node_modules` of another platform lies beside package.json
//! (npm/cli#4828). Of what a project itself depends on `npm ci` then finds the lockfile out of
//! sync; of what only its workspaces and linked folders depend on it says nothing, and the program
//! fails when it is run. Which platform a package is for is told by its name alone, as in
//! `@rollup/rollup-linux-x64-gnu`: nothing else of it is known.

use std::collections::BTreeMap;

use crate::error::{Code, Error};
use crate::graph::{EdgeKind, Graph, Node, NodeId};
use crate::platform::Platform;

/// What a lockfile lacks: the missing packages by their owner, both as `name@version`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MissingOptional(BTreeMap<String, Vec<String>>);

impl MissingOptional {
    /// Looks through the packages that are installed.
    pub fn find(
        graph: &Graph<'_>,
        installed: impl Iterator<Item = NodeId>,
        platform: &Platform,
    ) -> Self {
        let mut found = BTreeMap::new();
        for id in installed {
            let node = graph.node(id);
            let missing = missing(node, platform);
            if !missing.is_empty() {
                let version = graph.version(id).unwrap_or_default();
                found.insert(format!("{}@{version}", node.path.name()), missing);
            }
        }
        Self(found)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both sides and the remedy, in one line.
    pub fn warning(&self, lockfile: &str) -> String {
        format!(
            "{lockfile} lacks packages for this platform: {}; {REMEDY} \
             (--fail-on-missing-optional makes this an error)",
            self.owners().join("; ")
        )
    }

    pub fn error(&self, lockfile: &str) -> Error {
        let message =
            format!("{lockfile} lacks packages for this platform\n\n{}", self.owners().join("\n"));
        Error::new(Code::MissingOptional, message).with_hint(REMEDY)
    }

    fn owners(&self) -> Vec<String> {
        let owner = |(owner, missing): (&String, &Vec<String>)| {
            format!("{} for {owner}", missing.join(", "))
        };
        self.0.iter().map(owner).collect()
    }
}

/// The optional dependencies of a package that the lockfile lacks, where they are for the platform
/// and no other of the same family is.
fn missing(node: &Node<'_>, platform: &Platform) -> Vec<String> {
    let is_optional = |kind| kind == EdgeKind::Optional;
    let targets = || {
        let edges = node.edges.iter().filter(|edge| is_optional(edge.kind));
        edges.filter_map(|edge| Some((edge, Target::of(edge.name)?)))
    };
    let is_present = |wanted: &Target<'_>| {
        targets().any(|(edge, target)| {
            edge.to.is_some() && target.family == wanted.family && target.is_for(platform)
        })
    };
    targets()
        .filter(|(edge, target)| {
            edge.to.is_none()
                && target.is_for(platform)
                && !node.manifest.bundles(edge.name)
                && !is_present(target)
        })
        .map(|(edge, _)| format!("{}@{}", edge.name, edge.specifier))
        .collect()
}

/// Whether it is the name of a package for one platform.
pub fn is_for_a_platform(name: &str) -> bool {
    Target::of(name).is_some()
}

/// The platform that a package's name tells.
#[derive(Debug, PartialEq, Eq)]
struct Target<'n> {
    /// What the name has before it.
    family: &'n str,
    os: &'static str,
    cpu: &'static str,
    libc: Option<&'static str>,
}

impl<'n> Target<'n> {
    fn of(name: &'n str) -> Option<Self> {
        let base = name.rfind('/').map_or(0, |slash| slash + 1);
        let mut start = base;
        let (family, os, mut libc, rest) = loop {
            let rest = &name[start..];
            let word = rest.split('-').next().unwrap_or_default();
            let after = rest.get(word.len() + 1..).unwrap_or_default();
            if let Some((_, os)) = SYSTEMS.into_iter().find(|(known, _)| *known == word) {
                break (&name[..start], os, libc_of(word), after);
            }
            if after.is_empty() {
                return None;
            }
            start += word.len() + 1;
        };
        let mut cpu = None;
        for word in rest.split('-') {
            libc = libc.or_else(|| libc_of(word));
            cpu = cpu.or_else(|| CPUS.into_iter().find(|(known, _)| *known == word));
        }
        let (_, cpu) = cpu?;
        Some(Self { family, os, cpu, libc })
    }

    fn is_for(&self, platform: &Platform) -> bool {
        let is_for_libc = match (self.libc, &platform.libc) {
            (Some(libc), Some(own)) => libc == own,
            (None, _) | (_, None) => true,
        };
        self.os == platform.os && self.cpu == platform.cpu && is_for_libc
    }
}

fn libc_of(word: &str) -> Option<&'static str> {
    match word {
        "gnu" | "glibc" | "gnueabihf" => Some("glibc"),
        "musl" | "linuxmusl" | "musleabihf" => Some("musl"),
        _ => None,
    }
}

const REMEDY: &str = "`npm update --package-lock-only` writes it anew, within the ranges of \
                      package.json";

/// Words for systems in names, and what node calls them.
const SYSTEMS: [(&str, &str); 12] = [
    ("linux", "linux"),
    ("linuxmusl", "linux"),
    ("darwin", "darwin"),
    ("macos", "darwin"),
    ("win32", "win32"),
    ("windows", "win32"),
    ("android", "android"),
    ("freebsd", "freebsd"),
    ("netbsd", "netbsd"),
    ("openbsd", "openbsd"),
    ("sunos", "sunos"),
    ("aix", "aix"),
];

/// Words for processors in names, and what node calls them.
const CPUS: [(&str, &str); 14] = [
    ("x64", "x64"),
    ("64", "x64"),
    ("arm64", "arm64"),
    ("aarch64", "arm64"),
    ("arm", "arm"),
    ("armv7", "arm"),
    ("ia32", "ia32"),
    ("32", "ia32"),
    ("ppc64", "ppc64"),
    ("ppc64le", "ppc64"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
    ("loong64", "loong64"),
    ("mips64el", "mips64el"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_platform() {
        for (name, expected) in [
            ("@rollup/rollup-linux-x64-gnu", ("@rollup/rollup-", "linux", "x64", Some("glibc"))),
            (
                "@rollup/rollup-linux-arm64-musl",
                ("@rollup/rollup-", "linux", "arm64", Some("musl")),
            ),
            ("@esbuild/linux-x64", ("@esbuild/", "linux", "x64", None)),
            ("esbuild-linux-64", ("esbuild-", "linux", "x64", None)),
            ("@img/sharp-linuxmusl-x64", ("@img/sharp-", "linux", "x64", Some("musl"))),
            ("@img/sharp-libvips-linux-s390x", ("@img/sharp-libvips-", "linux", "s390x", None)),
            ("lightningcss-linux-arm-gnueabihf", ("lightningcss-", "linux", "arm", Some("glibc"))),
            ("@swc/core-win32-x64-msvc", ("@swc/core-", "win32", "x64", None)),
            (
                "@parcel/watcher-linux-x64-glibc",
                ("@parcel/watcher-", "linux", "x64", Some("glibc")),
            ),
            ("sass-embedded-linux-musl-x64", ("sass-embedded-", "linux", "x64", Some("musl"))),
            ("@next/swc-darwin-arm64", ("@next/swc-", "darwin", "arm64", None)),
        ] {
            let (family, os, cpu, libc) = expected;
            assert_eq!(Target::of(name), Some(Target { family, os, cpu, libc }), "{name}");
        }
    }

    #[test]
    fn other_names_tell_nothing() {
        for name in [
            "fsevents",
            "linux",
            "linux-",
            "x64",
            "@esbuild/wasm32",
            "rollup",
            "is-linux-compatible",
            "node-linux",
            "",
            "-",
            "@scope/",
        ] {
            assert_eq!(Target::of(name), None, "{name}");
        }
    }
}
