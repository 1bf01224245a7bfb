//! Making room: what an earlier install left is removed, the folders themselves stay.
//!
//! `node_modules` may be a mount point or a volume, so it is emptied and never removed. Nothing is
//! ever followed: a symbolic link in the place of a folder is an error that names it.
//!
//! What is there is moved aside first and removed last: ext4 does not hand out an inode again for
//! some time after it was freed, and looks at each such inode on its way to a free one, so that
//! making 16,000 folders right after removing as many takes five times as long.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::install_path::InstallPath;
use crate::workspaces::Workspace;

/// What was in the way, moved into one hidden folder of each `node_modules`.
#[derive(Debug, Default)]
pub struct Aside(Vec<PathBuf>);

/// The folder's name; the next run removes one that a killed run left, with all else.
const ASIDE_PREFIX: &str = ".ringstall-old-";

impl Aside {
    /// Empties `node_modules` of the root and of every workspace, as `npm ci` does; none of them
    /// where one is not a folder. What a failure leaves moved is still held here.
    pub fn take(&mut self, project: &Path, workspaces: &[Workspace]) -> Result<()> {
        let members = workspaces.iter().map(|workspace| project.join(&workspace.path));
        let mut folders = Vec::new();
        for folder in std::iter::once(project.to_owned()).chain(members) {
            let folder = folder.join("node_modules");
            if directory_metadata(&folder)?.is_some() {
                folders.push(folder);
            }
        }
        folders.iter().try_for_each(|folder| self.move_aside(folder))
    }

    /// Moves everything in a folder into a new folder in it, if there is anything.
    fn move_aside(&mut self, directory: &Path) -> Result<()> {
        let entries = entries(directory)?;
        if entries.is_empty() {
            return Ok(());
        }
        let aside = make_aside(directory)?;
        self.0.push(aside.clone());
        for entry in entries {
            let path = entry.path();
            fs::rename(&path, aside.join(entry.file_name()))
                .map_err(|error| Error::io("move aside", path, error))?;
        }
        Ok(())
    }

    /// Removes it for good.
    pub fn remove(self) -> Result<()> {
        for folder in self.0 {
            entries(&folder)?.par_iter().try_for_each(|entry| remove(&entry.path()))?;
            remove(&folder)?;
        }
        Ok(())
    }
}

/// A new hidden folder in `directory`.
fn make_aside(directory: &Path) -> Result<PathBuf> {
    let mut attempt = std::process::id();
    loop {
        let aside = directory.join(format!("{ASIDE_PREFIX}{attempt}"));
        match fs::create_dir(&aside) {
            Ok(()) => return Ok(aside),
            // A killed run had the same process id.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                attempt = attempt.wrapping_add(1);
            }
            Err(error) => return Err(Error::io("make directory", aside, error)),
        }
    }
}

/// Removes what lies where a package will be placed below a link's target: the `node_modules` of
/// a folder that is no workspace is not emptied, so the rest of it stays.
pub fn clear_packages<'p>(
    project: &Path,
    paths: impl Iterator<Item = InstallPath<'p>>,
) -> Result<()> {
    paths.into_iter().try_for_each(|path| remove(&project.join(path.as_str())))
}

/// Refuses folders of the project that are symbolic links, before anything is put below them.
pub fn check_tops(project: &Path, tops: &[InstallPath<'_>]) -> Result<()> {
    for top in tops {
        let mut folder = project.to_owned();
        for component in top.as_str().split('/') {
            folder.push(component);
            directory_metadata(&folder)?;
        }
        directory_metadata(&folder.join("node_modules"))?;
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    let failed = |error| Error::io("read directory", directory, error);
    fs::read_dir(directory).map_err(failed)?.collect::<io::Result<_>>().map_err(failed)
}

/// Removes a file, a link or a whole folder; what has gone already is no failure.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// `None` where there is nothing; an error where there is something else than a folder.
fn directory_metadata(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(metadata)),
        Ok(metadata) => Err(not_a_directory(path, &metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path, error)),
    }
}

fn not_a_directory(path: &Path, metadata: &Metadata) -> Error {
    let what = if metadata.is_symlink() { "a symbolic link" } else { "not a directory" };
    let cause = io::Error::new(io::ErrorKind::NotADirectory, format!("it is {what}"));
    Error::io("install into", PathBuf::from(path), cause)
        .with_hint("remove it: packages are placed in a real folder only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_folders_stay_and_everything_in_them_goes() {
        let project = tempfile::tempdir().unwrap();
        let workspace = Workspace { name: "w".to_owned(), path: "w".to_owned() };
        for folder in
            ["node_modules/a/lib", "node_modules/.bin", "w/node_modules/.x", "o/node_modules"]
        {
            fs::create_dir_all(project.path().join(folder)).unwrap();
        }
        symlink("/", project.path().join("node_modules/root")).unwrap();
        fs::write(project.path().join("o/node_modules/kept"), "").unwrap();
        let mut aside = Aside::default();
        aside.take(project.path(), &[workspace]).unwrap();
        aside.remove().unwrap();
        let names = |folder: &str| fs::read_dir(project.path().join(folder)).unwrap().count();
        assert_eq!((names("node_modules"), names("w/node_modules")), (0, 0));
        assert_eq!(names("o/node_modules"), 1);
    }

    #[test]
    fn a_link_in_the_place_of_node_modules_is_refused_and_not_followed() {
        let project = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("kept"), "").unwrap();
        let path = project.path().join("node_modules");
        symlink(elsewhere.path(), &path).unwrap();
        let error = Aside::default().take(project.path(), &[]).unwrap_err();
        let expected =
            format!("EIO: failed to install into `{}`: it is a symbolic link", path.display());
        assert_eq!(format!("{error:?}"), expected);
        assert!(elsewhere.path().join("kept").exists());
    }

    #[test]
    fn nothing_is_moved_where_one_folder_is_refused() {
        let project = tempfile::tempdir().unwrap();
        let workspace = Workspace { name: "w".to_owned(), path: "w".to_owned() };
        fs::create_dir_all(project.path().join("node_modules/a")).unwrap();
        fs::create_dir(project.path().join("w")).unwrap();
        symlink("/", project.path().join("w/node_modules")).unwrap();
        Aside::default().take(project.path(), &[workspace]).unwrap_err();
        assert!(project.path().join("node_modules/a").is_dir());
    }

    #[test]
    fn a_workspace_that_is_a_link_is_refused() {
        let project = tempfile::tempdir().unwrap();
        symlink("/tmp", project.path().join("w")).unwrap();
        check_tops(project.path(), &[InstallPath::parse("w").unwrap()]).unwrap_err();
    }
}
