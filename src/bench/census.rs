//! What lies in a folder: files, links, bytes on the disk, and packages with their versions.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::lockfile::read_text;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};

/// Folders below one another, more than any path can have.
const DEPTH_MAX: usize = 2048;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Regular files and symbolic links.
    pub files: u64,
    /// What they and the folders take on the disk; a file with several names counts once.
    pub bytes: u64,
}

/// Counts what is below a folder; an absent one is empty.
pub fn count(root: &Path) -> Result<Census> {
    let mut census = Census::default();
    let mut seen = HashSet::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let failed = |error| Error::io("read directory", &folder, error);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // Of the entry itself, not of what a link leads to.
            let metadata = entry.metadata().map_err(failed)?;
            if metadata.is_dir() {
                if depth < DEPTH_MAX {
                    folders.push((entry.path(), depth + 1));
                }
            } else {
                census.files += 1;
            }
            let is_new = metadata.nlink() < 2
                || metadata.is_dir()
                || seen.insert((metadata.dev(), metadata.ino()));
            if is_new {
                census.bytes += metadata.blocks() * 512;
            }
        }
    }
    Ok(census)
}

/// The packages of a tree: paths such as `node_modules/a/node_modules/b`, and their versions. Only
/// folders directly in a `node_modules` that is directly in a package count: what else is called
/// so belongs to the tests of some package.
pub fn packages(project: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec!["node_modules".to_owned()];
    while let Some(folder) = folders.pop() {
        for name in subfolders(&project.join(&folder))? {
            let path = format!("{folder}/{name}");
            if name.starts_with('@') {
                for base in subfolders(&project.join(&path))? {
                    add(project, &format!("{path}/{base}"), &mut found, &mut folders)?;
                }
            } else if !name.starts_with('.') {
                add(project, &path, &mut found, &mut folders)?;
            } else {
                // Where pnpm and bun keep packages that are linked into place.
                let stores = subfolders(&project.join(&path))?;
                folders.extend(stores.iter().map(|store| format!("{path}/{store}/node_modules")));
            }
        }
    }
    Ok(found)
}

/// The names that can be asked for from the project itself: folders and links in `node_modules`.
pub fn top_names(project: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let top = project.join("node_modules");
    for name in names(&top)? {
        if name.starts_with('@') {
            let bases = names(&top.join(&name))?;
            found.extend(bases.into_iter().map(|base| format!("{name}/{base}")));
        } else {
            found.insert(name);
        }
    }
    Ok(found)
}

fn add(
    project: &Path,
    path: &str,
    found: &mut BTreeMap<String, String>,
    folders: &mut Vec<String>,
) -> Result<()> {
    let text = read_text(&project.join(path).join("package.json"), MANIFEST_BYTES_MAX)?;
    let manifest = text.as_deref().map(|text| Manifest::parse(text, path)).transpose();
    // A package.json that cannot be parsed has no version, which is told where it matters.
    if let Ok(Some(manifest)) = manifest
        && let Some(version) = manifest.version.get()
    {
        found.insert(path.to_owned(), version.to_owned());
    }
    folders.push(format!("{path}/node_modules"));
    Ok(())
}

/// The names of real folders in a folder, of which there may be none.
fn subfolders(folder: &Path) -> Result<Vec<String>> {
    entries(folder, |kind| kind.is_dir())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    entries(folder, |_| true)
}

/// The names of some entries of a folder; of what is no folder there are none.
fn entries(folder: &Path, is_wanted: impl Fn(FileType) -> bool) -> Result<Vec<String>> {
    let failed = |error| Error::io("read directory", folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if is_wanted(entry.file_type().map_err(failed)?) {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_and_links_are_counted_and_shared_bytes_once() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/x"), vec![1; 100_000]).unwrap();
        let once = count(root).unwrap();
        fs::hard_link(root.join("d/x"), root.join("y")).unwrap();
        symlink("/", root.join("z")).unwrap();
        let twice = count(root).unwrap();
        assert_eq!((once.files, twice.files), (1, 3));
        assert!(once.bytes >= 100_000, "{once:?}");
        assert!(twice.bytes < once.bytes + 50_000, "{once:?} {twice:?}");
        assert_eq!(count(&root.join("absent")).unwrap(), Census::default());
    }

    #[test]
    fn packages_are_where_node_looks_for_them() {
        let temp = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let manifest = |version: &str| format!("{{\"version\": \"{version}\"}}");
        write("node_modules/a/package.json", &manifest("1.0.0"));
        write("node_modules/a/node_modules/@s/b/package.json", &manifest("2.0.0"));
        write("node_modules/a/test/node_modules/c/package.json", &manifest("3.0.0"));
        write("node_modules/.pnpm/d@4.0.0/node_modules/d/package.json", &manifest("4.0.0"));
        write("node_modules/.bin/a", "");
        write("node_modules/e/package.json", "no JSON");
        symlink(".pnpm/d@4.0.0/node_modules/d", temp.path().join("node_modules/d")).unwrap();
        let found = packages(temp.path()).unwrap();
        let expected = [
            ("node_modules/.pnpm/d@4.0.0/node_modules/d", "4.0.0"),
            ("node_modules/a", "1.0.0"),
            ("node_modules/a/node_modules/@s/b", "2.0.0"),
        ];
        let expected: BTreeMap<_, _> =
            expected.map(|(path, version)| (path.to_owned(), version.to_owned())).into();
        assert_eq!(found, expected);
        let expected = [".bin", ".pnpm", "a", "d", "e"].map(str::to_owned);
        assert_eq!(top_names(temp.path()).unwrap(), expected.into());
    }
}
