//! What is known of a project before anything is decided: its lockfile, its package.json and those
//! of the folders it links to, its workspaces and its overrides.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::bins::directory_bins;
use crate::error::{Code, Error, Result};
use crate::install_path::InstallPath;
use crate::lockfile::{Lockfile, LockfileText, Reading, read_text, refuse_new_features_of_project};
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
pub struct TargetTexts(Vec<(String, Option<String>)>);

#[derive(Debug)]
pub struct Project<'a> {
    pub lockfile_name: &'static str,
    /// For messages, which name lines of it.
    pub lockfile_text: &'a str,
    /// What the lockfile says of itself, as in [`Lockfile::head`].
    pub lockfile_head: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Where only some packages' dependencies are looked at, their paths.
    pub examined: Option<HashSet<String>>,
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
    /// The text that `on_disk` was read from; empty where there is none.
    pub text: &'a str,
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

    /// What the lockfile says, which may be less than is needed.
    pub fn read_lockfile(&self) -> Result<Reading<'_>> {
        let reading = Lockfile::read(&self.lockfile)?;
        let is_version_4 = match &reading {
            Reading::Whole(lockfile) => lockfile.is_version_4,
            Reading::Partial(partial) => partial.is_version_4,
        };
        if is_version_4 {
            refuse_new_features_of_project(&self.directory, &self.manifest)?;
        }
        Ok(reading)
    }

    /// The lockfile that is read, and the one beside it that is not.
    pub fn lockfile_names(&self) -> (&'static str, Option<&'static str>) {
        (self.lockfile.file_name, self.lockfile.passed_over)
    }

    #[cfg(test)]
    pub fn lockfile(&self) -> Result<Lockfile<'_>> {
        Lockfile::parse(&self.lockfile)
    }

    /// The root's package.json.
    pub fn manifest(&self) -> Result<Manifest<'_>> {
        Manifest::parse(&self.manifest, "package.json")
    }

    /// The lockfile's name, its text, and that of package.json.
    pub fn texts(&self) -> [&str; 3] {
        [self.lockfile.file_name, &self.lockfile.text, &self.manifest]
    }

    /// A project without a folder.
    #[cfg(test)]
    pub fn in_memory(lockfile: String, manifest: String) -> Self {
        let lockfile =
            LockfileText { file_name: "package-lock.json", text: lockfile, passed_over: None };
        Self { directory: PathBuf::new(), lockfile, manifest }
    }
}

impl TargetTexts {
    /// Reads the package.json of each folder that a link of the lockfile leads to, where it has
    /// one.
    pub fn read(directory: &Path, lockfile: &Lockfile<'_>) -> Result<Self> {
        let links = lockfile.packages.iter().filter(|(_, entry)| entry.link.0);
        let targets = links.filter_map(|(_, entry)| entry.resolved.get());
        Self::read_all(directory, targets.filter(|target| InstallPath::parse(target).is_ok()))
    }

    /// Reads those of the named folders.
    pub fn read_all<'t>(directory: &Path, targets: impl Iterator<Item = &'t str>) -> Result<Self> {
        let mut texts = Vec::new();
        for target in targets {
            let path = directory.join(target).join("package.json");
            texts.push((target.to_owned(), read_text(&path, MANIFEST_BYTES_MAX)?));
        }
        texts.sort_unstable();
        texts.dedup_by(|second, first| second.0 == first.0);
        Ok(Self(texts))
    }

    /// Every folder with its text, which may be missing.
    pub fn all(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(target, text)| (target.as_str(), text.as_deref()))
    }

    #[cfg(test)]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Empty where there is none.
    fn text(&self, path: InstallPath<'_>) -> &str {
        let found = self.0.binary_search_by(|(target, _)| target.as_str().cmp(path.as_str()));
        found.map_or("", |index| self.0[index].1.as_deref().unwrap_or_default())
    }

    fn manifest(&self, path: InstallPath<'_>) -> Result<Option<Manifest<'_>>> {
        let text = self.text(path);
        let parse = || Manifest::parse(text, &format!("{}/package.json", path.as_str()));
        (!text.is_empty()).then(parse).transpose()
    }
}

impl<'a> Project<'a> {
    /// Whether the package.json of the root, or of a folder that a link leads to, has a script that
    /// npm runs at installation. Those run with every install, whatever is there already.
    pub fn has_own_scripts(&self) -> bool {
        let on_disk = self.packages.iter().filter_map(|package| package.on_disk.as_ref());
        on_disk.into_iter().any(Manifest::has_own_scripts)
    }

    pub fn new(
        text: &'a ProjectText,
        lockfile: Lockfile<'a>,
        targets: &'a TargetTexts,
    ) -> Result<Self> {
        let root = text.manifest()?;
        let workspaces = find_workspaces(&text.directory, &root)?;
        let overrides = Overrides::of(&root);
        let mut root = Some(root);
        let packages = lockfile
            .packages
            .into_iter()
            .map(|(path, entry)| {
                let json = if path.is_root() { &text.manifest } else { targets.text(path) };
                let on_disk = if path.is_root() { root.take() } else { targets.manifest(path)? };
                let directory_bins = match &on_disk {
                    Some(manifest) if !path.is_root() => {
                        directory_bins(manifest, &text.directory.join(path.as_str()))
                    }
                    _ => Vec::new(),
                };
                Ok(Package { path, entry, on_disk, text: json, directory_bins })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            lockfile_name: lockfile.file_name,
            lockfile_text: &text.lockfile.text,
            lockfile_head: lockfile.head,
            examined: None,
            packages,
            workspaces,
            overrides,
        })
    }
}

impl Project<'_> {
    /// Where the lockfile has the entry, as `:line`; empty where it cannot be told.
    pub fn line_of_entry(&self, path: &str) -> String {
        line_of(self.lockfile_text, 0, path)
    }

    /// Where the package.json of the root or of a linked folder has the dependency.
    pub fn line_of_dependency(&self, path: &str, name: &str) -> String {
        let package = self.packages.iter().find(|package| package.path.as_str() == path);
        let text = package.map_or("", |package| package.text);
        // The name may also be that of a script or of a setting.
        let start = text.find("ependencies\"").unwrap_or(0);
        line_of(text, start, name)
    }
}

/// The line of the first key of that name from a place on, as `:line`. It is for a message only:
/// the text is searched, not parsed.
fn line_of(text: &str, start: usize, key: &str) -> String {
    let key = format!("\"{key}\"");
    let mut places = text[start..].match_indices(&key);
    let is_key =
        |(at, _): &(usize, &str)| text[start + at + key.len()..].trim_start().starts_with(':');
    places.find(is_key).map_or_else(String::new, |(at, _)| {
        format!(":{}", text[..start + at].matches('\n').count() + 1)
    })
}
