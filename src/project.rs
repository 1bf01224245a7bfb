//! What is known of a project before anything is decided: its lockfile, its package.json and those
//! of the folders it links to, its workspaces and its overrides.

use std::path::{Path, PathBuf};

use crate::bins::directory_bins;
use crate::error::{Code, Error, Result};
use crate::install_path::InstallPath;
use crate::lockfile::{Lockfile, LockfileText, read_text};
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};
use crate::overrides::Overrides;
use crate::workspaces::{Workspace, find_workspaces};

/// The texts that a [`Project`] borrows from.
#[derive(Debug)]
pub struct ProjectText {
    pub directory: PathBuf,
    lockfile: LockfileText,
    manifest: String,
}

/// The package.json texts of the folders that links lead to, by the path of the folder.
#[derive(Debug)]
pub struct TargetTexts(Vec<(String, String)>);

#[derive(Debug)]
pub struct Project<'a> {
    pub lockfile_name: &'static str,
    /// The root first, then in the lockfile's order.
    pub packages: Vec<Package<'a>>,
    pub workspaces: Vec<Workspace>,
    pub overrides: Option<Overrides>,
}

/// An entry of the lockfile, with the package.json on disk for the root and for targets of links:
/// people change those by hand, and npm reads them anew.
#[derive(Debug)]
pub struct Package<'a> {
    pub path: InstallPath<'a>,
    pub entry: Manifest<'a>,
    pub on_disk: Option<Manifest<'a>>,
    /// The commands that `directories.bin` of the package.json on disk stands for.
    pub directory_bins: Vec<(String, String)>,
}

impl ProjectText {
    pub fn read(directory: &Path) -> Result<Self> {
        let lockfile = LockfileText::read(directory)?;
        let path = directory.join("package.json");
        let manifest = read_text(&path, MANIFEST_BYTES_MAX)?.ok_or_else(|| {
            let message = format!("no package.json in `{}`", directory.display());
            Error::new(Code::Usage, message)
                .with_hint("run ringstall in the project's folder, or name it with -C")
        })?;
        Ok(Self { directory: directory.to_owned(), lockfile, manifest })
    }

    pub fn lockfile(&self) -> Result<Lockfile<'_>> {
        Lockfile::parse(&self.lockfile)
    }

    /// A project without a folder.
    #[cfg(test)]
    pub fn in_memory(lockfile: String, manifest: String) -> Self {
        let lockfile = LockfileText { file_name: "package-lock.json", text: lockfile };
        Self { directory: PathBuf::new(), lockfile, manifest }
    }
}

impl TargetTexts {
    /// Reads the package.json of each folder that a link of the lockfile leads to, where it has
    /// one.
    pub fn read(directory: &Path, lockfile: &Lockfile<'_>) -> Result<Self> {
        let mut texts = Vec::new();
        for (_, entry) in lockfile.packages.iter().filter(|(_, entry)| entry.link.0) {
            let Some(target) = entry.resolved.get() else { continue };
            if InstallPath::parse(target).is_err() {
                continue;
            }
            let path = directory.join(target).join("package.json");
            if let Some(text) = read_text(&path, MANIFEST_BYTES_MAX)? {
                texts.push((target.to_owned(), text));
            }
        }
        texts.sort_unstable();
        texts.dedup_by(|second, first| second.0 == first.0);
        Ok(Self(texts))
    }

    #[cfg(test)]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    fn manifest(&self, path: InstallPath<'_>) -> Result<Option<Manifest<'_>>> {
        let found = self.0.binary_search_by(|(target, _)| target.as_str().cmp(path.as_str()));
        let Ok(index) = found else { return Ok(None) };
        let (target, text) = &self.0[index];
        Manifest::parse(text, &format!("{target}/package.json")).map(Some)
    }
}

impl<'a> Project<'a> {
    pub fn new(
        text: &'a ProjectText,
        lockfile: Lockfile<'a>,
        targets: &'a TargetTexts,
    ) -> Result<Self> {
        let root = Manifest::parse(&text.manifest, "package.json")?;
        let workspaces = find_workspaces(&text.directory, &root)?;
        let overrides = Overrides::of(&root);
        let mut root = Some(root);
        let packages = lockfile
            .packages
            .into_iter()
            .map(|(path, entry)| {
                let on_disk = if path.is_root() { root.take() } else { targets.manifest(path)? };
                let directory_bins = match &on_disk {
                    Some(manifest) if !path.is_root() => {
                        directory_bins(manifest, &text.directory.join(path.as_str()))
                    }
                    _ => Vec::new(),
                };
                Ok(Package { path, entry, on_disk, directory_bins })
            })
            .collect::<Result<_>>()?;
        Ok(Self { lockfile_name: lockfile.file_name, packages, workspaces, overrides })
    }
}
