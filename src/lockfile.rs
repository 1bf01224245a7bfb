//! Reading the lockfile: which file it is, its version, and the entries of `packages`.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::error::{Code, Error, Result};
use crate::install_path::InstallPath;
use crate::manifest::{Manifest, without_byte_order_mark};

/// The lockfiles that npm 11 reads, the one that wins first (shrinkwrap.js, `loadFiles`).
pub const LOCKFILE_NAMES: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

/// Some fifty times the largest lockfile known (2 MB, ant-design's).
const LOCKFILE_BYTES_MAX: u64 = 100 << 20;

/// The lockfile's text and which file it came from.
#[derive(Debug)]
pub struct LockfileText {
    pub file_name: &'static str,
    pub text: String,
}

impl LockfileText {
    /// Reads the lockfile of the project; EUSAGE in npm's words where there is none.
    pub fn read(directory: &Path) -> Result<Self> {
        for file_name in LOCKFILE_NAMES {
            if let Some(text) = read_text(&directory.join(file_name), LOCKFILE_BYTES_MAX)? {
                return Ok(Self { file_name, text });
            }
        }
        Err(Error::new(
            Code::Usage,
            format!("no package-lock.json or npm-shrinkwrap.json in `{}`", directory.display()),
        )
        .with_hint(
            "a lockfile with lockfileVersion 2 or 3 is needed; run `npm install` once to write it",
        ))
    }
}

/// Reads a whole text file of at most `bytes_max`; `None` where there is none.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let size = file.metadata().map_or(0, |metadata| metadata.len()).min(bytes_max);
    let mut text = String::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(|error| Error::io("read", path, error))?;
    if text.len() as u64 > bytes_max {
        let message = format!("`{}` is larger than {bytes_max} bytes", path.display());
        return Err(Error::new(Code::LockfileInvalid, message));
    }
    Ok(Some(text))
}

/// A parsed lockfile. Strings are borrowed from its text.
#[derive(Debug)]
pub struct Lockfile<'a> {
    pub file_name: &'static str,
    /// In the order of the file, the root first.
    pub packages: Vec<(InstallPath<'a>, Manifest<'a>)>,
}

impl<'a> Lockfile<'a> {
    pub fn parse(lockfile: &'a LockfileText) -> Result<Self> {
        let LockfileText { file_name, text } = lockfile;
        let text = without_byte_order_mark(text);
        let raw: RawLockfile<'a> = serde_json::from_str(text).map_err(|error| {
            conflict(file_name, text).unwrap_or_else(|| {
                Error::new(Code::JsonParse, format!("failed to parse `{file_name}`"))
                    .with_source(error)
            })
        })?;
        check_version(file_name, &raw)?;
        let mut packages = Vec::with_capacity(raw.packages.0.len() + 1);
        packages.push((InstallPath::ROOT, Manifest::default()));
        // As in JavaScript, a key that comes twice has its last value.
        let mut places = HashMap::with_capacity(raw.packages.0.len());
        for (key, manifest) in raw.packages.0 {
            let path = InstallPath::parse(key)?;
            if path.is_root() {
                packages[0].1 = manifest;
                continue;
            }
            let place = *places.entry(path).or_insert(packages.len());
            if place == packages.len() {
                packages.push((path, manifest));
            } else {
                packages[place].1 = manifest;
            }
        }
        if packages[0].1.link.0 {
            let message = format!("the root entry of `{file_name}` is a link");
            return Err(Error::new(Code::LockfileInvalid, message));
        }
        Ok(Self { file_name, packages })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLockfile<'a> {
    lockfile_version: Option<serde_json::Number>,
    #[serde(borrow, default)]
    packages: Packages<'a>,
}

#[derive(Default)]
struct Packages<'a>(Vec<(&'a str, Manifest<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Packages<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PackagesVisitor;
        impl<'de> Visitor<'de> for PackagesVisitor {
            type Value = Packages<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of packages")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Packages<'de>, A::Error> {
                let mut packages = Vec::new();
                // A key with escapes is no path that npm writes; borrowing refuses it.
                while let Some(entry) = map.next_entry()? {
                    packages.push(entry);
                }
                Ok(Packages(packages))
            }
        }
        deserializer.deserialize_map(PackagesVisitor)
    }
}

fn check_version(file_name: &str, raw: &RawLockfile<'_>) -> Result<()> {
    let version = raw.lockfile_version.as_ref().and_then(serde_json::Number::as_u64);
    let refused = |what: String, hint: &str| {
        let message = format!("`{file_name}` has {what}, which is not installed");
        Err(Error::new(Code::LockfileVersion, message).with_hint(hint))
    };
    match version {
        Some(2 | 3) if !raw.packages.0.is_empty() => Ok(()),
        Some(2 | 3) => refused("no `packages`".to_owned(), REWRITE_HINT),
        Some(version) => refused(format!("lockfileVersion {version}"), REWRITE_HINT),
        None => refused("no lockfileVersion".to_owned(), REWRITE_HINT),
    }
}

const REWRITE_HINT: &str =
    "`npm install --package-lock-only --lockfile-version=3` writes one that is";

/// An error that names the place of a merge conflict, where there is one.
fn conflict(file_name: &str, text: &str) -> Option<Error> {
    let line = text.lines().position(|line| line.starts_with("<<<<<<<"))?;
    let message = format!("`{file_name}` has a merge conflict at line {}", line + 1);
    let hint = "run `npm install --package-lock-only` to settle it";
    Some(Error::new(Code::JsonParse, message).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_error(text: &str) -> String {
        let text = LockfileText { file_name: "package-lock.json", text: text.to_owned() };
        format!("{:?}", Lockfile::parse(&text).expect_err("refused"))
    }

    #[test]
    fn versions_2_and_3_with_packages_are_read() {
        for version in [2, 3] {
            let text = format!(
                "\u{feff}{{\"lockfileVersion\": {version}, \"packages\": \
                 {{\"\": {{\"name\": \"r\"}}, \"node_modules/a\": {{\"version\": \"1.0.0\"}}}}}}"
            );
            let text = LockfileText { file_name: "package-lock.json", text };
            let lockfile = Lockfile::parse(&text).unwrap();
            let paths: Vec<_> = lockfile.packages.iter().map(|(path, _)| path.as_str()).collect();
            assert_eq!(paths, ["", "node_modules/a"]);
        }
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        for (text, expected) in [
            (r#"{"lockfileVersion": 1, "dependencies": {}}"#, "lockfileVersion 1"),
            (r#"{"lockfileVersion": 4, "packages": {"": {}}}"#, "lockfileVersion 4"),
            (r#"{"packages": {"": {}}}"#, "no lockfileVersion"),
            (r#"{"lockfileVersion": 3}"#, "no `packages`"),
        ] {
            assert_eq!(
                parse_error(text),
                format!(
                    "ELOCKFILEVERSION: `package-lock.json` has {expected}, which is not installed"
                )
            );
        }
    }

    #[test]
    fn a_merge_conflict_is_named_with_its_line() {
        let text = "{\n<<<<<<< HEAD\n  \"lockfileVersion\": 3\n=======\n>>>>>>> b\n}";
        assert_eq!(
            parse_error(text),
            "EJSONPARSE: `package-lock.json` has a merge conflict at line 2"
        );
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        let text = r#"{"lockfileVersion": 3, "packages": {"": {}, "node_modules/a":
            {"version": "1.0.0"}, "node_modules/a": {"version": "2.0.0"}}}"#;
        let text = LockfileText { file_name: "package-lock.json", text: text.to_owned() };
        let lockfile = Lockfile::parse(&text).unwrap();
        assert_eq!(lockfile.packages.len(), 2);
        assert_eq!(lockfile.packages[1].1.version.get(), Some("2.0.0"));
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        let text = format!("{}{}", "{\"packages\":".repeat(10_000), "}".repeat(10_000));
        assert!(parse_error(&text).starts_with("EJSONPARSE"));
    }

    #[test]
    fn a_root_that_is_a_link_is_refused() {
        let text = r#"{"lockfileVersion": 3, "packages": {"": {"link": true, "resolved": "x"}}}"#;
        assert_eq!(parse_error(text), "ELOCKFILE: the root entry of `package-lock.json` is a link");
    }
}
