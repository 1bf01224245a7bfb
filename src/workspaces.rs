//! Which folders of the project are workspaces, by the patterns of the root's package.json.
//! Source: @npmcli/map-workspaces 5, lib/index.js.

use std::path::Path;

use serde_json::Value;

mod locked;

pub use locked::locked_workspaces;

use crate::error::{Code, Error, Result};
use crate::lockfile::read_text;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};

/// A member of the project, as the root's package.json and the disk have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    pub name: String,
    /// Relative to the root.
    pub path: String,
}

/// The workspaces, sorted by path. Later patterns win: `!pattern` takes away what is before it.
pub fn find_workspaces(directory: &Path, root: &Manifest<'_>) -> Result<Vec<Workspace>> {
    let mut folders: Vec<String> = Vec::new();
    for pattern in patterns(root) {
        match pattern.strip_prefix('!') {
            Some(pattern) => {
                let removed = expand(directory, pattern)?;
                folders.retain(|folder| !removed.contains(folder));
            }
            None => folders.extend(expand(directory, &pattern)?),
        }
    }
    folders.sort_unstable();
    folders.dedup();
    let mut workspaces: Vec<Workspace> = Vec::new();
    for path in folders {
        let Some(text) =
            read_text(&directory.join(&path).join("package.json"), MANIFEST_BYTES_MAX)?
        else {
            continue;
        };
        let manifest = Manifest::parse(&text, &format!("{path}/package.json"))?;
        let folder_name = path.rsplit('/').next().unwrap_or(&path);
        let name = manifest.name.get().unwrap_or(folder_name).to_owned();
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

fn patterns(root: &Manifest<'_>) -> Vec<String> {
    let value = root.workspaces.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let list = match value {
        Some(Value::Array(list)) => list,
        Some(Value::Object(mut object)) => match object.remove("packages") {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    list.iter().filter_map(Value::as_str).flat_map(|pattern| expand_braces(pattern, 0)).collect()
}

/// Braces nest as deep as a person writes them; this bounds hostile package.json files.
const BRACES_MAX: usize = 4;

/// `{a,b}/*` as `a/*` and `b/*`; braces without a comma are plain characters.
fn expand_braces(pattern: &str, depth: usize) -> Vec<String> {
    let parts = pattern.split_once('{').and_then(|(before, rest)| {
        let (choices, after) = rest.split_once('}')?;
        choices.contains(',').then_some((before, choices, after))
    });
    match parts {
        Some((before, choices, after)) if depth < BRACES_MAX => choices
            .split(',')
            .flat_map(|choice| expand_braces(&format!("{before}{choice}{after}"), depth + 1))
            .collect(),
        _ => vec![pattern.to_owned()],
    }
}

/// The folders that a pattern matches, relative to the root.
fn expand(directory: &Path, pattern: &str) -> Result<Vec<String>> {
    let relative = pattern.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
    let invalid = |error| {
        let message = format!("the workspace pattern `{pattern}` cannot be understood");
        Error::new(Code::Usage, message).with_source(error)
    };
    let escaped = glob::Pattern::escape(&directory.to_string_lossy());
    let matches = glob::glob(&format!("{escaped}/{relative}")).map_err(invalid)?;
    let folders = matches
        .filter_map(std::result::Result::ok)
        .filter(|found| found.is_dir())
        .filter_map(|found| found.strip_prefix(directory).ok()?.to_str().map(str::to_owned))
        .filter(|folder| !folder.is_empty())
        .filter(|folder| folder.split('/').all(|component| component != "node_modules"));
    Ok(folders.collect())
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
        assert_eq!(found, [pair("c", "c"), pair("@s/a", "packages/a"), pair("b", "packages/b")]);
    }

    #[test]
    fn braces_name_several_folders() {
        let folders = [("a/x", "{}"), ("b/y", "{}"), ("c/z", "{}")];
        let found = workspaces(&folders, r#"["{a,b}/*"]"#).unwrap();
        assert_eq!(found.iter().map(|(_, path)| path.as_str()).collect::<Vec<_>>(), ["a/x", "b/y"]);
        assert_eq!(expand_braces("{a,b}/{c,d}", 0), ["a/c", "a/d", "b/c", "b/d"]);
    }

    #[test]
    fn a_negated_pattern_takes_away() {
        let folders = [("packages/a", "{}"), ("packages/b", "{}")];
        let found = workspaces(&folders, r#"{"packages": ["packages/*", "!packages/b"]}"#).unwrap();
        assert_eq!(found, [pair("a", "packages/a")]);
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
