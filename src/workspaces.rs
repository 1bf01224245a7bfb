//! Which folders of the project are workspaces, by the patterns of the root's package.json.
//! Source: @npmcli/map-workspaces 5, lib/index.js.

use std::path::Path;

use serde_json::Value;

mod locked;

pub use locked::locked_workspaces;

use crate::collate::locale_compare;
use crate::error::{Code, Error, Result};
use crate::glob::{self, braces, matches};
use crate::lockfile::read_text;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};

/// A member of the project, as the root's package.json and the disk have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    pub name: String,
    /// Relative to the root.
    pub path: String,
}

/// Whether a pattern could name a folder outside of the one it is for.
pub fn leads_out(root: &Manifest<'_>) -> Result<bool> {
    let Patterns { wanted, .. } = Patterns::of(root)?;
    Ok(wanted.iter().flat_map(|pattern| braces::expand(pattern)).any(|pattern| {
        pattern.starts_with('/') || pattern.split('/').any(|component| component == "..")
    }))
}

/// The workspaces, in the order of the patterns that name them.
pub fn find_workspaces(directory: &Path, root: &Manifest<'_>) -> Result<Vec<Workspace>> {
    let Patterns { wanted, unwanted } = Patterns::of(root)?;
    let mut folders: Vec<String> = Vec::new();
    for pattern in &wanted {
        let mut found = glob::folders(directory, pattern);
        found.sort_by(|first, second| locale_compare(first, second));
        found.retain(|folder| {
            !folders.contains(folder) && !unwanted.iter().any(|one| matches(folder, one))
        });
        folders.extend(found);
    }
    let mut workspaces: Vec<Workspace> = Vec::new();
    for path in folders {
        let Some(text) =
            read_text(&directory.join(&path).join("package.json"), MANIFEST_BYTES_MAX)?
        else {
            continue;
        };
        let manifest = Manifest::parse(&text, &format!("{path}/package.json"))?;
        let named = manifest.name.get().filter(|name| !name.is_empty());
        let name = named.unwrap_or(folder_name(&path)).to_owned();
        if let Some(other) = workspaces.iter().find(|workspace| workspace.name == name) {
            let message =
                format!("`{}` and `{path}` are both workspaces named `{name}`", other.path);
            return Err(Error::new(Code::Usage, message)
                .with_hint("give one of the two another name in its package.json"));
        }
        workspaces.push(Workspace { name, path });
    }
    Ok(workspaces)
}

/// The last component, with its scope if it has one (name-from-folder 4).
fn folder_name(path: &str) -> &str {
    let mut slashes = path.rmatch_indices('/').map(|(place, _)| place + 1);
    let Some(last) = slashes.next() else { return path };
    let scope = slashes.next().unwrap_or(0);
    if path[scope..].starts_with('@') { &path[scope..] } else { &path[last..] }
}

/// Patterns of folders that are workspaces, and of folders that are none in spite of those.
#[derive(Debug, Default)]
struct Patterns {
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Patterns {
    /// A pattern takes back what a negated one before it had taken away, as a whole.
    fn of(root: &Manifest<'_>) -> Result<Self> {
        let mut patterns = Self::default();
        for raw in listed(root)? {
            let plain = raw.trim_start_matches('!');
            let is_negated = (raw.len() - plain.len()) % 2 == 1;
            let rest = plain.strip_prefix('.').filter(|rest| rest.starts_with('/'));
            let pattern = rest.unwrap_or(plain).trim_start_matches('/').replace('\\', "/");
            if is_negated {
                patterns.unwanted.push(pattern);
            } else {
                patterns.unwanted.retain(|unwanted| !matches(&pattern, unwanted));
                patterns.wanted.push(pattern);
            }
        }
        let Self { wanted, unwanted } = &mut patterns;
        wanted.retain(|pattern| !unwanted.iter().any(|one| matches(pattern, one)));
        Ok(patterns)
    }

    /// Whether they name a folder, by its path alone.
    fn name(&self, path: &str) -> bool {
        let is_in = |patterns: &[String]| {
            patterns.iter().any(|pattern| matches(path, pattern.trim_end_matches('/')))
        };
        is_in(&self.wanted) && !is_in(&self.unwanted)
    }
}

/// What `workspaces` lists, in either of its forms.
fn listed(root: &Manifest<'_>) -> Result<Vec<String>> {
    let Some(raw) = root.workspaces else { return Ok(Vec::new()) };
    let list = match serde_json::from_str(raw.get()) {
        Ok(Value::Array(list)) => Some(list),
        Ok(Value::Object(mut object)) => match object.remove("packages") {
            Some(Value::Array(list)) => Some(list),
            _ => None,
        },
        _ => None,
    };
    let texts = list.and_then(|list| {
        let text = |value: Value| value.as_str().map(str::to_owned);
        list.into_iter().map(text).collect::<Option<Vec<_>>>()
    });
    texts.ok_or_else(|| {
        Error::new(Code::Usage, "`workspaces` in package.json is no list of patterns")
            .with_hint("write it as `[\"packages/*\"]`, or as an object with such `packages`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn workspaces(folders: &[(&str, &str)], patterns: &str) -> Result<Vec<(String, String)>> {
        let directory = tempfile::tempdir().unwrap();
        for (folder, manifest) in folders {
            fs::create_dir_all(directory.path().join(folder)).unwrap();
            fs::write(directory.path().join(folder).join("package.json"), manifest).unwrap();
        }
        let text = format!(r#"{{"workspaces": {patterns}}}"#);
        let found = find_workspaces(directory.path(), &Manifest::parse(&text, "").unwrap())?;
        Ok(found.into_iter().map(|workspace| (workspace.name, workspace.path)).collect())
    }

    fn pair(name: &str, path: &str) -> (String, String) {
        (name.to_owned(), path.to_owned())
    }

    #[test]
    fn patterns_and_plain_paths_name_folders_with_a_manifest() {
        let folders = [("packages/a", r#"{"name": "@s/a"}"#), ("packages/b", "{}"), ("c", "{}")];
        let found = workspaces(&folders, r#"["./packages/*", "c/"]"#).unwrap();
        assert_eq!(found, [pair("@s/a", "packages/a"), pair("b", "packages/b"), pair("c", "c")]);
    }

    #[test]
    fn braces_name_several_folders() {
        let folders = [("a/x", "{}"), ("b/y", "{}"), ("c/z", "{}")];
        let found = workspaces(&folders, r#"["{a,b}/*"]"#).unwrap();
        assert_eq!(found.iter().map(|(_, path)| path.as_str()).collect::<Vec<_>>(), ["a/x", "b/y"]);
    }

    #[test]
    fn a_negated_pattern_takes_away() {
        let folders = [("packages/a", "{}"), ("packages/b", "{}")];
        let found = workspaces(&folders, r#"{"packages": ["packages/*", "!packages/b"]}"#).unwrap();
        assert_eq!(found, [pair("a", "packages/a")]);
    }

    /// What @npmcli/map-workspaces 5 finds for the same.
    #[test]
    fn patterns_are_read_as_npm_reads_them() {
        for (patterns, folders, expected) in [
            (r#"["packages/*"]"#, &["packages/a", "packages/.h"][..], &["packages/a"][..]),
            (r#"["!packages/b", "packages/*"]"#, &["packages/a", "packages/b"], &["packages/a"]),
            (
                r#"["packages/**", "!packages/b/**", "packages/b/x"]"#,
                &["packages/a", "packages/b", "packages/b/x", "packages/b/c"],
                &["packages/a", "packages/b", "packages/b/c", "packages/b/x"],
            ),
            (
                r#"["packages/**", "!packages/b"]"#,
                &["packages/b", "packages/b/a"],
                &["packages/b/a"],
            ),
            (r#"["!!packages/a"]"#, &["packages/a"], &["packages/a"]),
            (
                r#"["/packages/a", "./c", ".//d"]"#,
                &["packages/a", "c", "d"],
                &["packages/a", "c", "d"],
            ),
            (r#"["b", "a"]"#, &["a", "b"], &["b", "a"]),
            (r#"["packages/*/"]"#, &["packages/a"], &["packages/a"]),
            (r#"["packages\\a"]"#, &["packages/a"], &["packages/a"]),
            (r#"["../up"]"#, &[], &[]),
            (r#"["packages/[ab]"]"#, &["packages/a", "packages/c"], &["packages/a"]),
            (r#"["packages/*", "!packages/*"]"#, &["packages/a"], &[]),
            (r#"["**"]"#, &["a", "a/b"], &["a", "a/b"]),
            (r#"["@(a|b)/*"]"#, &["a/x", "b/y", "c/z"], &["a/x", "b/y"]),
            (r#"["packages/**"]"#, &["packages", "packages/a"], &["packages", "packages/a"]),
            (r#"["**/x"]"#, &["a/x", "a/.h/x"], &["a/x"]),
            (r#"["{a/,b}"]"#, &["a", "b"], &["a", "b"]),
            (r#"["packages/!(b)"]"#, &["packages/a", "packages/b"], &["packages/a"]),
            (r#"["packages/*", "!packages/+(b)"]"#, &["packages/a", "packages/b"], &["packages/a"]),
        ] {
            let manifests: Vec<_> = folders.iter().map(|folder| (*folder, "{}")).collect();
            let found = workspaces(&manifests, patterns).unwrap();
            let found: Vec<_> = found.into_iter().map(|(_, path)| path).collect();
            assert_eq!(found, expected, "{patterns}");
        }
    }

    #[test]
    fn a_folder_without_a_name_has_its_own_with_its_scope() {
        let found = workspaces(&[("libs/@s/e", "{}"), ("@t/f", "{}")], r#"["libs/@s/*", "@t/*"]"#);
        assert_eq!(found.unwrap(), [pair("@s/e", "libs/@s/e"), pair("@t/f", "@t/f")]);
    }

    #[test]
    fn workspaces_that_are_no_list_of_texts_are_refused() {
        for patterns in [r#""a""#, "{}", r#"{"packages": "a"}"#, "[5]"] {
            let error = workspaces(&[("a", "{}")], patterns).unwrap_err();
            let expected = "EUSAGE: `workspaces` in package.json is no list of patterns";
            assert_eq!(format!("{error:?}"), expected);
        }
    }

    #[test]
    fn folders_in_node_modules_are_no_workspaces() {
        let folders = [("packages/a", "{}"), ("packages/a/node_modules/x", "{}")];
        let found = workspaces(&folders, r#"["packages/**"]"#).unwrap();
        assert_eq!(found, [pair("a", "packages/a")]);
    }

    #[test]
    fn two_workspaces_of_one_name_are_refused() {
        let folders = [("a", r#"{"name": "x"}"#), ("b", r#"{"name": "x"}"#)];
        let error = workspaces(&folders, r#"["a", "b"]"#).unwrap_err();
        assert_eq!(format!("{error:?}"), "EUSAGE: `a` and `b` are both workspaces named `x`");
    }
}
