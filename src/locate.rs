//! Which folder is the project, seen from where the command was started.
//!
//! Source: @npmcli/config 10, lib/index.js (`loadLocalPrefix`).

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::lockfile::read_text;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};
use crate::workspaces::find_workspaces;

/// A project, and the workspace in it that the command was started in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub root: PathBuf,
    pub member: Option<PathBuf>,
}

/// The nearest folder upwards that has a package.json or a `node_modules`; where that is a
/// workspace of a project further up, that project. Without `with_workspaces`
/// (`--no-workspaces`) a workspace is a project of its own.
pub fn locate(current_directory: &Path, with_workspaces: bool) -> Result<Location> {
    let is_project = |folder: &&Path| {
        folder.join("package.json").is_file() || folder.join("node_modules").is_dir()
    };
    let Some(nearest) = current_directory.ancestors().find(is_project) else {
        return Ok(Location { root: current_directory.to_owned(), member: None });
    };
    if with_workspaces {
        for folder in nearest.ancestors().skip(1) {
            if has_workspace(folder, nearest)? {
                let member = Some(nearest.to_owned());
                return Ok(Location { root: folder.to_owned(), member });
            }
        }
    }
    Ok(Location { root: nearest.to_owned(), member: None })
}

/// A package.json that cannot be read is none of ours to complain of.
fn has_workspace(folder: &Path, member: &Path) -> Result<bool> {
    let path = folder.join("package.json");
    let Ok(Some(text)) = read_text(&path, MANIFEST_BYTES_MAX) else { return Ok(false) };
    let Ok(manifest) = Manifest::parse(&text, "package.json") else { return Ok(false) };
    if manifest.workspaces.is_none() {
        return Ok(false);
    }
    let workspaces = find_workspaces(folder, &manifest)?;
    Ok(workspaces.iter().any(|workspace| folder.join(&workspace.path) == member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("package.json"), r#"{"workspaces": ["w/*"]}"#).unwrap();
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        directory
    }

    fn found(directory: &tempfile::TempDir, from: &str, with_workspaces: bool) -> (String, String) {
        let base = directory.path();
        let location = locate(&base.join(from), with_workspaces).unwrap();
        let name = |path: &Path| path.strip_prefix(base).unwrap().display().to_string();
        let member = location.member.map_or_else(|| "none".to_owned(), |member| name(&member));
        (name(&location.root), member)
    }

    fn pair(root: &str, member: &str) -> (String, String) {
        (root.to_owned(), member.to_owned())
    }

    #[test]
    fn the_nearest_folder_with_a_package_json_is_the_project() {
        let directory = folder(&["src/deep/x", "sub/package.json", "sub/src/x"]);
        assert_eq!(found(&directory, "src/deep", true), pair("", "none"));
        assert_eq!(found(&directory, "sub/src", true), pair("sub", "none"));
    }

    #[test]
    fn a_folder_with_a_node_modules_is_a_project() {
        let directory = folder(&["sub/node_modules/x", "sub/src/x"]);
        assert_eq!(found(&directory, "sub/src", true), pair("sub", "none"));
    }

    #[test]
    fn from_a_workspace_its_root_is_found() {
        let directory = folder(&["w/a/package.json", "w/a/src/x"]);
        assert_eq!(found(&directory, "w/a", true), pair("", "w/a"));
        assert_eq!(found(&directory, "w/a/src", true), pair("", "w/a"));
        assert_eq!(found(&directory, "w/a/src", false), pair("w/a", "none"));
    }

    #[test]
    fn a_package_json_between_that_cannot_be_read_is_passed_over() {
        let directory = folder(&["w/a/package.json"]);
        fs::write(directory.path().join("w/package.json"), "{").unwrap();
        assert_eq!(found(&directory, "w/a", true), pair("", "w/a"));
    }
}
