//! Reading the lockfile: which file it is, its version, and the entries of `packages`.
//!
//! Old lockfiles say less than an installer has to know, and a dependency may bring a lockfile of
//! its own; both are read as a [`Partial`] here, and `inflate` completes them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::value::RawValue;

use crate::conflict::conflict;
use crate::error::{Code, Error, Result};
use crate::install_path::InstallPath;
use crate::manifest::{Manifest, without_byte_order_mark};

mod partial;
mod raw;
mod version_1;
mod version_4;

pub use partial::Partial;
pub use version_1::entries_of_version_1;
pub use version_4::refuse_new_features_of_project;

use raw::{LockfileVersion, RawLockfile};

/// The lockfiles that npm 11 reads, the one that wins first (shrinkwrap.js, `loadFiles`).
pub const LOCKFILE_NAMES: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

/// Some fifty times the largest lockfile known (2 MB, ant-design's).
const LOCKFILE_BYTES_MAX: u64 = 100 << 20;

/// The lockfile's text and which file it came from.
#[derive(Debug, Default)]
pub struct LockfileText {
    pub file_name: &'static str,
    pub text: String,
    /// Another lockfile that lies beside it and is not read.
    pub passed_over: Option<&'static str>,
}

impl LockfileText {
    /// Reads the lockfile of the project; EUSAGE in npm's words where there is none.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut empty = None;
        let mut names = LOCKFILE_NAMES.iter();
        while let Some(file_name) = names.next() {
            let text = read_text(&directory.join(file_name), LOCKFILE_BYTES_MAX)?;
            let Some(text) = text else { continue };
            // npm passes over an empty file as well.
            if text.is_empty() {
                empty = Some(file_name);
                continue;
            }
            let passed_over = names.find(|name| directory.join(name).exists()).copied();
            return Ok(Self { file_name, text, passed_over });
        }
        let directory = directory.display();
        let message = match empty {
            Some(file_name) => format!("`{file_name}` in `{directory}` is empty"),
            None => format!("no package-lock.json or npm-shrinkwrap.json in `{directory}`"),
        };
        Err(Error::new(Code::Usage, message)
            .with_hint("a lockfile is needed; run `npm install` once to write it"))
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

/// What a lockfile says: all that is needed, or less.
#[derive(Debug)]
pub enum Reading<'a> {
    Whole(Lockfile<'a>),
    Partial(Partial),
}

/// A parsed lockfile. Strings are borrowed from its text.
#[derive(Debug)]
pub struct Lockfile<'a> {
    pub file_name: &'static str,
    pub is_version_4: bool,
    /// What the file says of itself, which npm repeats in the hidden lockfile: `name`, `version`
    /// and whatever npm does not know.
    pub head: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// In the order of the file, the root first.
    pub packages: Vec<(InstallPath<'a>, Manifest<'a>)>,
}

impl<'a> Lockfile<'a> {
    /// Reads the lockfile of a project.
    pub fn read(lockfile: &'a LockfileText) -> Result<Reading<'a>> {
        let raw = parse(lockfile)?;
        let file_name = lockfile.file_name;
        if raw.version == LockfileVersion::Four {
            version_4::refuse_new_features(file_name, &lockfile.text)?;
        }
        let has_shrinkwrap = |(_, entry): &(_, Manifest<'_>)| entry.has_shrinkwrap.0;
        let is_old = raw.version == LockfileVersion::Old;
        let is_whole =
            match &raw.packages {
                Some(packages) => !is_old && !packages.has_escapes,
                None => !raw.has_dependencies,
            } && !raw.packages.iter().flat_map(|packages| &packages.entries).any(has_shrinkwrap);
        if is_whole {
            return Self::new(file_name, raw).map(Reading::Whole);
        }
        Partial::parse(file_name, &lockfile.text, &raw.version).map(Reading::Partial)
    }

    /// Parses a lockfile that says everything, or has been completed.
    pub fn parse(lockfile: &'a LockfileText) -> Result<Self> {
        let raw = parse(lockfile)?;
        if raw.packages.is_none() && raw.has_dependencies {
            let message = format!("`{}` has no `packages`, which are needed", lockfile.file_name);
            return Err(Error::new(Code::LockfileVersion, message).with_hint(REWRITE_HINT));
        }
        Self::new(lockfile.file_name, raw)
    }

    fn new(file_name: &'static str, raw: RawLockfile<'a>) -> Result<Self> {
        let entries = raw.packages.unwrap_or_default().entries;
        let mut packages = Vec::with_capacity(entries.len() + 1);
        packages.push((InstallPath::ROOT, Manifest::default()));
        // As in JavaScript, a key that comes twice has its last value.
        let mut places = HashMap::with_capacity(entries.len());
        for (key, manifest) in entries {
            let path = match key {
                Cow::Borrowed(key) => InstallPath::parse(key)?,
                Cow::Owned(key) => return Err(unusual_key(&key)),
            };
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
        let is_version_4 = raw.version == LockfileVersion::Four;
        Ok(Self { file_name, is_version_4, head: raw.head, packages })
    }
}

fn parse(lockfile: &LockfileText) -> Result<RawLockfile<'_>> {
    let LockfileText { file_name, text, .. } = lockfile;
    let raw: RawLockfile<'_> =
        serde_json::from_str(without_byte_order_mark(text)).map_err(|error| {
            conflict(file_name, text, CONFLICT_HINT).unwrap_or_else(|| {
                Error::new(Code::JsonParse, format!("failed to parse `{file_name}`"))
                    .with_source(error)
            })
        })?;
    if let LockfileVersion::Unknown(version) = &raw.version {
        let message =
            format!("`{file_name}` has lockfileVersion {version}, which is not installed");
        return Err(Error::new(Code::LockfileVersion, message).with_hint(REWRITE_HINT));
    }
    Ok(raw)
}

/// A key that is not the same in JSON as without it holds a quotation mark, a backslash or a
/// control character.
fn unusual_key(key: &str) -> Error {
    InstallPath::parse(key).err().unwrap_or_else(|| {
        let message = format!(
            "the lockfile's entry `{}` cannot be installed: it has a character that is no part \
             of a package's name",
            key.escape_debug()
        );
        Error::new(Code::LockfileInvalid, message)
    })
}

const REWRITE_HINT: &str =
    "`npm install --package-lock-only --lockfile-version=3` writes one that is";
const CONFLICT_HINT: &str = "run `npm install --package-lock-only` to settle it";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> LockfileText {
        let text = text.to_owned();
        LockfileText { file_name: "package-lock.json", text, passed_over: None }
    }

    fn read_error(json: &str) -> String {
        format!("{:?}", Lockfile::read(&text(json)).expect_err("refused"))
    }

    /// The paths that a lockfile which says everything names.
    fn whole_paths(json: &str) -> Vec<String> {
        let text = text(json);
        let Reading::Whole(lockfile) = Lockfile::read(&text).unwrap() else {
            panic!("should be whole: {json}");
        };
        lockfile.packages.iter().map(|(path, _)| path.as_str().to_owned()).collect()
    }

    #[test]
    fn versions_2_to_4_with_packages_say_everything() {
        for version in ["2", "3", "4", "\"3\"", "3.5"] {
            let json = format!(
                "\u{feff}{{\"lockfileVersion\": {version}, \"packages\": \
                 {{\"\": {{\"name\": \"r\"}}, \"node_modules/a\": {{\"version\": \"1.0.0\"}}}}}}"
            );
            assert_eq!(whole_paths(&json), ["", "node_modules/a"]);
        }
    }

    #[test]
    fn a_lockfile_without_packages_or_dependencies_names_nothing() {
        assert_eq!(whole_paths(r#"{"lockfileVersion": 3}"#), [""]);
        assert_eq!(whole_paths("{}"), [""]);
    }

    #[test]
    fn older_lockfiles_and_those_with_a_shrinkwrap_inside_have_to_be_completed() {
        for json in [
            r#"{"lockfileVersion": 1, "dependencies": {}}"#,
            r#"{"lockfileVersion": 3, "dependencies": {}}"#,
            r#"{"dependencies": {}}"#,
            r#"{"packages": {"": {}}}"#,
            r#"{"lockfileVersion": 1, "packages": {"": {}}}"#,
            r#"{"lockfileVersion": null, "packages": {"": {}}}"#,
            r#"{"lockfileVersion": 3, "packages": {"node_modules/a": {"hasShrinkwrap": true}}}"#,
            r#"{"lockfileVersion": 3, "packages": {"node_modules\/a": {"version": "1.0.0"}}}"#,
        ] {
            assert!(matches!(Lockfile::read(&text(json)), Ok(Reading::Partial(_))), "{json}");
        }
    }

    #[test]
    fn one_that_would_have_to_be_completed_first_is_not_taken_for_an_empty_one() {
        let text = text(r#"{"lockfileVersion": 1, "dependencies": {"a": {"version": "1.0.0"}}}"#);
        assert_eq!(
            format!("{:?}", Lockfile::parse(&text).unwrap_err()),
            "ELOCKFILEVERSION: `package-lock.json` has no `packages`, which are needed"
        );
    }

    #[test]
    fn versions_above_4_are_refused_by_name() {
        for version in ["5", "99", "4.5"] {
            let json = format!(r#"{{"lockfileVersion": {version}, "packages": {{"": {{}}}}}}"#);
            assert_eq!(
                read_error(&json),
                format!(
                    "ELOCKFILEVERSION: `package-lock.json` has lockfileVersion {version}, which \
                     is not installed"
                )
            );
        }
    }

    #[test]
    fn a_merge_conflict_is_named_with_its_line() {
        let text = "{\n<<<<<<< HEAD\n  \"lockfileVersion\": 3\n=======\n>>>>>>> b\n}";
        let expected = "EJSONPARSE: `package-lock.json` has a merge conflict at line 2";
        assert_eq!(read_error(text), expected);
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        let text = text(
            r#"{"lockfileVersion": 3, "packages": {"": {}, "node_modules/a":
            {"version": "1.0.0"}, "node_modules/a": {"version": "2.0.0"}}}"#,
        );
        let lockfile = Lockfile::parse(&text).unwrap();
        assert_eq!(lockfile.packages.len(), 2);
        assert_eq!(lockfile.packages[1].1.version.get(), Some("2.0.0"));
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        for key in ["packages", "dependencies", "else"] {
            let text = format!("{}{}", format!("{{\"{key}\":").repeat(10_000), "}".repeat(10_000));
            assert!(read_error(&text).starts_with("EJSONPARSE"), "{key}");
        }
    }

    #[test]
    fn a_root_that_is_a_link_is_refused() {
        let text = r#"{"lockfileVersion": 3, "packages": {"": {"link": true, "resolved": "x"}}}"#;
        assert_eq!(read_error(text), "ELOCKFILE: the root entry of `package-lock.json` is a link");
    }
}
