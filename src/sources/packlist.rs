//! Which files of a folder belong to its package: npm-packlist 10 on top of ignore-walk 8.
//!
//! Only files and folders of the folder itself are listed. A symbolic link is neither; one that a
//! bundled dependency is must stay in the folder.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

mod rules;

use super::manifest::PackManifest;
use crate::error::{Code, Error, Result};
use crate::glob::{Rule, SplitPath, Work};
use rules::{Kind, RuleSets};

/// What extraction allows a tarball.
const FILES_MAX: usize = 1_000_000;
/// Deeper than any repository, and as deep as the stack allows.
const DEPTH_MAX: usize = 200;

/// The files to pack, relative to the folder, in order.
pub fn list_files(root: &Path, manifest: &PackManifest) -> Result<BTreeSet<PathBuf>> {
    let root = root.canonicalize().map_err(|error| Error::io("find", root, error))?;
    let mut packing = Packing {
        root: &root,
        work: Work::default(),
        entries_left: FILES_MAX,
        seen: HashSet::new(),
        files: BTreeSet::new(),
    };
    packing.add_package(&root, &root, manifest, &Kind::ALL, true)?;
    Ok(packing.files)
}

struct Packing<'p> {
    root: &'p Path,
    work: Work,
    entries_left: usize,
    /// Packages whose bundles are taken along already, by their real path.
    seen: HashSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

/// What a folder holds, with the names as rules see them.
type Entries = Vec<(String, DirEntry)>;

/// A folder that is walked, with what its parents have to say.
struct Folder<'f> {
    parent: Option<&'f Folder<'f>>,
    path: PathBuf,
    name: String,
    /// A parent asks for it by name, so that its own rules are heard even if another excludes it.
    is_exact: bool,
    rules: RuleSets,
    /// Files in it that `files` names one by one.
    required: Vec<String>,
    depth: usize,
}

impl Packing<'_> {
    /// `path` is where the package is packed, `real` where it lies.
    fn add_package(
        &mut self,
        path: &Path,
        real: &Path,
        manifest: &PackManifest,
        kinds: &[Kind],
        is_root: bool,
    ) -> Result<()> {
        let entries = self.read(path)?;
        let (rules, required) = self.rules(path, &entries, kinds, Some(manifest))?;
        let (name, is_exact, depth) = (String::new(), false, 0);
        let folder =
            Folder { parent: None, path: path.to_owned(), name, is_exact, rules, required, depth };
        let has_workspaces = !manifest.workspaces.is_empty();
        self.walk(&folder, entries, has_workspaces)?;
        if self.seen.insert(real.to_owned()) {
            let names = if is_root { &manifest.bundled } else { &manifest.needed };
            for name in names {
                self.add_bundled(real, name)?;
            }
        }
        Ok(())
    }

    /// A dependency that lies in a `node_modules` at or above the package; one that is not there is
    /// passed over.
    fn add_bundled(&mut self, package: &Path, name: &str) -> Result<()> {
        if !is_package_name(name) {
            return Err(refused(&format!("`{}` cannot be bundled", name.escape_debug())));
        }
        let above = package.ancestors().take_while(|folder| folder.starts_with(self.root));
        let found = above
            .filter(|folder| !folder.ends_with("node_modules"))
            .map(|folder| folder.join("node_modules").join(name))
            .find(|path| path.is_dir());
        let Some(path) = found else { return Ok(()) };
        let real = path.canonicalize().map_err(|error| Error::io("find", &path, error))?;
        if !real.starts_with(self.root) {
            return Err(refused(&format!("the bundled `{name}` is a link out of the repository")));
        }
        if self.seen.contains(&real) {
            return Ok(());
        }
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        let kinds: &[Kind] = if is_link { &Kind::ALL } else { &[Kind::Manifest, Kind::Strict] };
        let manifest = PackManifest::read(&path)?;
        self.add_package(&path, &real, &manifest, kinds, false)
    }

    fn walk(&mut self, folder: &Folder<'_>, entries: Entries, has_workspaces: bool) -> Result<()> {
        let allows = |packing: &Self, entry: &str, is_folder| {
            folder.allows(entry, is_folder, None, &packing.work)
        };
        for (name, entry) in entries {
            let as_file = allows(self, &name, false);
            let as_folder = allows(self, &name, true);
            if self.work.is_exhausted() {
                return Err(refused("the patterns in its ignore files take too long to match"));
            }
            // npm packs nothing that Windows could not unpack.
            if !(as_file || as_folder) || name.contains('*') {
                continue;
            }
            let path = folder.path.join(entry.file_name());
            let kind = entry.file_type().map_err(|error| Error::io("read", &path, error))?;
            if kind.is_file() && as_file {
                if let Ok(relative) = path.strip_prefix(self.root) {
                    self.files.insert(relative.to_owned());
                }
            } else if kind.is_dir() && as_folder {
                let is_exact = as_file || allows(self, &format!("{name}/"), false);
                self.walk_below(folder, name, path, is_exact, has_workspaces)?;
            }
        }
        Ok(())
    }

    fn walk_below(
        &mut self,
        parent: &Folder<'_>,
        name: String,
        path: PathBuf,
        is_exact: bool,
        has_workspaces: bool,
    ) -> Result<()> {
        if parent.depth >= DEPTH_MAX {
            return Err(refused(&format!("its folders are deeper than {DEPTH_MAX}")));
        }
        let entries = self.read(&path)?;
        // In a package with workspaces, npm reads every other package.json as an ignore file: no
        // line of it fits a file, and it stands in the way of the real ones.
        let kinds: &[Kind] = if has_workspaces {
            &Kind::ALL
        } else {
            &[Kind::Default, Kind::NpmIgnore, Kind::GitIgnore, Kind::Strict]
        };
        let (mut rules, _) = self.rules(&path, &entries, kinds, None)?;
        let required: Vec<_> = parent
            .required
            .iter()
            .filter_map(|file| file.strip_prefix(name.as_str())?.strip_prefix('/'))
            .filter(|file| !file.contains('/'))
            .map(str::to_owned)
            .collect();
        rules.require(&required)?;
        let depth = parent.depth + 1;
        let parent = Some(parent);
        let folder = Folder { parent, path, name, is_exact, rules, required, depth };
        self.walk(&folder, entries, has_workspaces)
    }

    /// The rules of a folder, and the files that its `files` names one by one. `manifest` is that
    /// of a package's own folder.
    fn rules(
        &self,
        path: &Path,
        entries: &Entries,
        kinds: &[Kind],
        manifest: Option<&PackManifest>,
    ) -> Result<(RuleSets, Vec<String>)> {
        let mut rules = RuleSets::new(kinds)?;
        let mut required = Vec::new();
        for (kind, file) in [
            (Kind::Manifest, "package.json"),
            (Kind::NpmIgnore, ".npmignore"),
            (Kind::GitIgnore, ".gitignore"),
        ] {
            if !kinds.contains(&kind) || entries.iter().all(|(name, _)| name != file) {
                continue;
            }
            match manifest.filter(|_| kind == Kind::Manifest) {
                Some(manifest) => required = rules.add_manifest(path, manifest)?,
                None => rules.add_file(kind, &path.join(file), self.root)?,
            }
        }
        rules.settle();
        Ok((rules, required))
    }

    fn read(&mut self, path: &Path) -> Result<Entries> {
        let failed = |error| Error::io("read", path, error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.entries_left = self.entries_left.checked_sub(1).ok_or_else(|| {
                refused(&format!("it has more than {FILES_MAX} files and folders"))
            })?;
            entries.push((entry.file_name().to_string_lossy().into_owned(), entry));
        }
        Ok(entries)
    }
}

impl Folder<'_> {
    /// Asks the folders above first: what one of them excludes stays out, unless this one is
    /// wanted by name. `base` is the last component where a folder below asks.
    fn allows(&self, entry: &str, as_folder: bool, base: Option<&str>, work: &Work) -> bool {
        let mut is_included = true;
        if let Some(parent) = self.parent {
            let above = format!("{}/{entry}", self.name);
            is_included = parent.allows(&above, as_folder, base.or(Some(entry)), work);
            if !is_included && !self.is_exact {
                return false;
            }
        }
        let forms = Forms::new(entry, base);
        for rule in self.rules.in_order() {
            // What it would say is so already.
            if rule.is_negated != is_included && forms.fit(rule, as_folder, work) {
                is_included = rule.is_negated;
            }
        }
        is_included
    }
}

/// The ways in which a path is shown to a rule.
struct Forms {
    plain: SplitPath,
    rooted: SplitPath,
    open: [SplitPath; 2],
    base: Option<Base>,
}

struct Base {
    closed: [SplitPath; 2],
    open: [SplitPath; 2],
}

impl Forms {
    fn new(entry: &str, base: Option<&str>) -> Self {
        let open =
            |text: &str| [format!("/{text}/"), format!("{text}/")].map(|one| SplitPath::new(&one));
        let closed =
            |text: &str| [format!("/{text}"), text.to_owned()].map(|one| SplitPath::new(&one));
        Self {
            plain: SplitPath::new(entry),
            rooted: SplitPath::new(&format!("/{entry}")),
            open: open(entry),
            base: base.map(|base| Base { closed: closed(base), open: open(base) }),
        }
    }

    fn fit(&self, rule: &Rule, as_folder: bool, work: &Work) -> bool {
        let matches = |path: &SplitPath| rule.matches(path, work);
        let leads_to = |path: &SplitPath| rule.is_negated && rule.matches_partly(path, work);
        if matches(&self.rooted) || matches(&self.plain) {
            return true;
        }
        if !as_folder {
            return false;
        }
        if self.open.iter().any(matches) || leads_to(&self.rooted) || leads_to(&self.plain) {
            return true;
        }
        self.base
            .as_ref()
            .filter(|_| rule.is_relative)
            .is_some_and(|base| base.open.iter().any(matches) || base.closed.iter().any(leads_to))
    }
}

/// `name` or `@scope/name`, neither of which can climb.
fn is_package_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let is_plain = |part: &&str| !matches!(*part, "" | "." | ".." | "node_modules");
    let has_right_count = if name.starts_with('@') { parts.len() == 2 } else { parts.len() == 1 };
    has_right_count && parts.iter().all(is_plain) && !name.contains(['\0', '\\'])
}

fn refused(why: &str) -> Error {
    Error::new(Code::Tarball, why)
}
