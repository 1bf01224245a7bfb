//! Making room: what an earlier install left is removed, the folders themselves stay.
//!
//! `node_modules` may be a mount point or a volume, so it is emptied and never removed. Nothing is
//! ever followed: a symbolic link in the place of a folder is an error that names it.
//!
//! What is there is moved aside first and removed last: ext4 does not hand out an inode again for
//! some time after it was freed, and looks at each such inode on its way to a free one, so that
//! making 16,000 folders right after removing as many takes five times as long.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::backend::{At, Base, Class, Operation};
use crate::error::{Error, Result};
use crate::install_path::InstallPath;
use crate::reuse::Kept;
use crate::site::Site;
use crate::workspaces::Workspace;

/// What was in the way, moved into one hidden folder of each `node_modules`: their paths, relative
/// to the project.
#[derive(Debug, Default)]
pub struct Aside(Vec<PathBuf>);

/// The folder's name; the next run removes one that a killed run left, with all else.
const ASIDE_PREFIX: &str = ".ringstall-old-";

impl Aside {
    /// Empties `node_modules` of the root and of every workspace, as `npm ci` does, but for what is
    /// kept; none of them where one is not a folder. What a failure leaves moved is still held
    /// here.
    pub fn take(
        &mut self,
        site: &Site<'_>,
        project: &Path,
        workspaces: &[Workspace],
        kept: &Kept,
    ) -> Result<()> {
        let mut folders = Vec::new();
        for top in std::iter::once("").chain(workspaces.iter().map(|one| one.path.as_str())) {
            let folder = Path::new(top).join("node_modules");
            if directory_metadata(&project.join(&folder))?.is_some() {
                folders.push(folder);
            }
        }
        let mut moves = Vec::new();
        for folder in folders {
            self.move_aside(project, &folder, kept, &mut moves)?;
        }
        site.carry_out(moves.into_iter())
    }

    /// The moves of everything in a folder that is not kept into a new folder in it, if there is
    /// anything.
    fn move_aside(
        &mut self,
        project: &Path,
        folder: &Path,
        kept: &Kept,
        moves: &mut Vec<Operation>,
    ) -> Result<()> {
        let unwanted = unwanted(project, folder, kept)?;
        if unwanted.is_empty() {
            return Ok(());
        }
        let aside = folder.join(make_aside(&project.join(folder))?);
        self.0.push(aside.clone());
        moves.extend(unwanted.iter().enumerate().filter_map(|(number, path)| {
            // By number, for a name may be there twice: in the folder and in a scope.
            let to = at(&aside.join(number.to_string()))?;
            Some(Operation::MoveAside { from: at(path)?, to })
        }));
        Ok(())
    }

    /// Removes it for good.
    pub fn remove(self, site: &Site<'_>, project: &Path) -> Result<()> {
        let mut contents = Vec::new();
        for folder in &self.0 {
            let names = names(&project.join(folder))?;
            contents.extend(names.iter().filter_map(|name| removal(&folder.join(name))));
        }
        site.share_out(Class::Remove, &contents)?;
        site.carry_out(self.0.iter().filter_map(|folder| removal(folder)))
    }
}

/// What is in a `node_modules` and not kept: of a scope of which something is kept, the rest.
fn unwanted(project: &Path, folder: &Path, kept: &Kept) -> Result<Vec<PathBuf>> {
    let mut unwanted = Vec::new();
    for name in names(&project.join(folder))? {
        let path = folder.join(name);
        let text = path.to_str().unwrap_or_default();
        if kept.covers(text) {
            continue;
        }
        let metadata = fs::symlink_metadata(project.join(&path));
        if kept.has_below(text) && metadata.is_ok_and(|metadata| metadata.is_dir()) {
            let inner = names(&project.join(&path))?.into_iter().map(|name| path.join(name));
            unwanted.extend(inner.filter(|path| !kept.covers(path.to_str().unwrap_or_default())));
        } else {
            unwanted.push(path);
        }
    }
    Ok(unwanted)
}

/// The name of a new hidden folder in `directory`.
fn make_aside(directory: &Path) -> Result<String> {
    let mut attempt = std::process::id();
    loop {
        let name = format!("{ASIDE_PREFIX}{attempt}");
        let aside = directory.join(&name);
        match fs::create_dir(&aside) {
            Ok(()) => return Ok(name),
            // A killed run had the same process id.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                attempt = attempt.wrapping_add(1);
            }
            Err(error) => return Err(Error::io("make directory", aside, error)),
        }
    }
}

/// Removes packages, with all that lies in them: where others will be placed below a link's target
/// (the `node_modules` of a folder that is no workspace is not emptied, so the rest of it stays),
/// and where one that was placed is not wanted after all.
pub fn remove_packages<'p>(
    site: &Site<'_>,
    paths: impl Iterator<Item = InstallPath<'p>>,
) -> Result<()> {
    site.carry_out(paths.filter_map(|path| removal(Path::new(path.as_str()))))
}

fn removal(path: &Path) -> Option<Operation> {
    at(path).map(|at| Operation::Remove { at })
}

/// `None` for no path that a system call has given.
fn at(path: &Path) -> Option<At> {
    At::new(Base::Project, path.as_os_str().as_bytes())
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

/// What is in a directory.
fn names(directory: &Path) -> Result<Vec<OsString>> {
    let failed = |error| Error::io("read directory", directory, error);
    let entries = fs::read_dir(directory).map_err(failed)?;
    entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()
        .map_err(failed)
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
    use crate::site::tests::on_each_engine;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_folders_stay_and_everything_in_them_goes() {
        on_each_engine(|site, project| {
            let workspace = Workspace { name: "w".to_owned(), path: "w".to_owned() };
            for folder in
                ["node_modules/a/lib", "node_modules/.bin", "w/node_modules/.x", "o/node_modules"]
            {
                fs::create_dir_all(project.join(folder)).unwrap();
            }
            for number in 0..200 {
                fs::write(project.join(format!("node_modules/a/lib/{number}")), "").unwrap();
            }
            symlink("/", project.join("node_modules/root")).unwrap();
            symlink(project, project.join("node_modules/a/up")).unwrap();
            fs::write(project.join("o/node_modules/kept"), "").unwrap();
            let mut aside = Aside::default();
            aside.take(site, project, &[workspace], &Kept::default()).unwrap();
            let moved: Vec<_> = names(&project.join("node_modules")).unwrap();
            assert_eq!(moved.len(), 1);
            aside.remove(site, project).unwrap();
            let names = |folder: &str| fs::read_dir(project.join(folder)).unwrap().count();
            assert_eq!((names("node_modules"), names("w/node_modules")), (0, 0));
            assert_eq!(names("o/node_modules"), 1);
        });
    }

    #[test]
    fn packages_are_removed_with_all_that_lies_in_them() {
        on_each_engine(|site, project| {
            fs::create_dir_all(project.join("node_modules/a/b/c")).unwrap();
            fs::write(project.join("node_modules/a/b/x"), "").unwrap();
            fs::create_dir(project.join("node_modules/kept")).unwrap();
            let paths = ["node_modules/a", "node_modules/gone"];
            let paths = paths.map(|path| InstallPath::parse(path).unwrap());
            remove_packages(site, paths.into_iter()).unwrap();
            assert_eq!(names(&project.join("node_modules")).unwrap(), ["kept"]);
        });
    }

    #[test]
    fn a_link_in_the_place_of_node_modules_is_refused_and_not_followed() {
        on_each_engine(|site, project| {
            let elsewhere = tempfile::tempdir().unwrap();
            fs::write(elsewhere.path().join("kept"), "").unwrap();
            let path = project.join("node_modules");
            symlink(elsewhere.path(), &path).unwrap();
            let error = Aside::default().take(site, project, &[], &Kept::default()).unwrap_err();
            let path = path.display();
            let expected = format!("EIO: failed to install into `{path}`: it is a symbolic link");
            assert_eq!(format!("{error:?}"), expected);
            assert!(elsewhere.path().join("kept").exists());
        });
    }

    #[test]
    fn nothing_is_moved_where_one_folder_is_refused() {
        on_each_engine(|site, project| {
            let workspace = Workspace { name: "w".to_owned(), path: "w".to_owned() };
            fs::create_dir_all(project.join("node_modules/a")).unwrap();
            fs::create_dir(project.join("w")).unwrap();
            symlink("/", project.join("w/node_modules")).unwrap();
            Aside::default().take(site, project, &[workspace], &Kept::default()).unwrap_err();
            assert!(project.join("node_modules/a").is_dir());
        });
    }

    #[test]
    fn a_workspace_that_is_a_link_is_refused() {
        let project = tempfile::tempdir().unwrap();
        symlink("/tmp", project.path().join("w")).unwrap();
        check_tops(project.path(), &[InstallPath::parse("w").unwrap()]).unwrap_err();
    }
}
