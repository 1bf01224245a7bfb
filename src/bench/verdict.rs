//! Whether a run counts: its tree is the lockfile's, and it asked the registry for what its phase
//! allows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::census::Census;
use super::contender::Manager;
use super::mirror::locked::Lock;
use super::phase::Phase;
use super::serve::Counts;

/// Rivals hoist and skip a little differently.
const RIVAL_SHARE_MIN: f64 = 0.95;
/// Examples of what is wrong.
const SHOWN_MAX: usize = 3;

/// What trees are held against: the lockfile, and the first tree of ours.
#[derive(Clone, Debug, Default)]
pub struct Standard {
    /// Paths and versions of what nothing allows to be left out.
    required: BTreeMap<String, String>,
    /// Names, those of folders and those of packages, and versions of all packages.
    known: BTreeSet<(String, String)>,
    /// What package.json asks for by name.
    direct: Vec<String>,
    /// Files and links of the first tree of ours.
    files: Option<u64>,
    /// Packages of ours that say another version of themselves than the lockfile, or that came in
    /// a tarball unannounced.
    odd: BTreeSet<(String, String)>,
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Left<'l> {
    pub census: Census,
    /// Paths and versions.
    pub packages: &'l BTreeMap<String, String>,
    /// What is to be found by name from the project, links too.
    pub top_names: &'l BTreeSet<String>,
    /// Files and links that ours says it has placed.
    pub announced: Option<u64>,
    pub lock_bytes: u64,
}

impl Standard {
    pub fn new(lock: &Lock) -> Self {
        let mut standard = Self::default();
        for (path, entry) in lock.entries() {
            let is = |key: &str| entry.get(key) == Some(&Value::Bool(true));
            if path.is_empty() {
                let kinds = ["dependencies", "devDependencies"];
                let names = kinds.iter().filter_map(|kind| entry.get(*kind)?.as_object());
                standard.direct = names.flat_map(|pairs| pairs.keys().cloned()).collect();
            }
            let version = entry.get("version").and_then(Value::as_str);
            let Some(version) = version.filter(|_| path.contains("node_modules/") && !is("link"))
            else {
                continue;
            };
            standard.known.insert((folder_name(path), plain(version)));
            // Where packages are kept by their real names, an alias is but a link.
            if let Some(name) = entry.get("name").and_then(Value::as_str) {
                standard.known.insert((name.to_owned(), plain(version)));
            }
            let may_be_absent = ["optional", "devOptional", "inBundle", "extraneous", "peer"];
            if !may_be_absent.iter().any(|key| is(key)) {
                standard.required.insert(path.to_owned(), plain(version));
            }
        }
        standard
    }

    /// What is wrong with what a run left; ours set the measure for those after it.
    pub fn fault(&mut self, manager: Manager, phase: Phase, left: &Left<'_>) -> Option<String> {
        if phase == Phase::Resolve {
            return (left.lock_bytes == 0).then(|| "wrote no lockfile".to_owned());
        }
        if manager == Manager::Floor {
            return None;
        }
        if phase == Phase::FullCold {
            return missing(self.direct.iter().filter(|name| !left.top_names.contains(*name)));
        }
        let fault = if manager.follows_paths() {
            self.fault_by_path(left.packages)
        } else {
            self.fault_by_name(left.packages)
        };
        fault.or_else(|| self.fault_of_files(manager, phase, left))
    }

    fn fault_by_path(&self, packages: &BTreeMap<String, String>) -> Option<String> {
        let is_absent = |path: &&String| !packages.contains_key(*path);
        if let Some(fault) = missing(self.required.keys().filter(is_absent)) {
            return Some(fault);
        }
        let wrong = packages.iter().find_map(|(path, version)| {
            let wanted = self.required.get(path)?;
            (*wanted != plain(version)).then(|| format!("{path} is {version}, not {wanted}"))
        });
        wrong.map(|wrong| format!("WRONG: {wrong}"))
    }

    fn fault_by_name(&self, packages: &BTreeMap<String, String>) -> Option<String> {
        let found: BTreeSet<_> =
            packages.iter().map(|(path, version)| (folder_name(path), plain(version))).collect();
        let is_foreign =
            |one: &&(String, String)| !self.known.contains(*one) && !self.odd.contains(*one);
        let foreign: Vec<_> = found.iter().filter(is_foreign).collect();
        if !foreign.is_empty() {
            let names = foreign.iter().map(|(name, version)| format!("{name}@{version}"));
            return Some(format!("WRONG: not in the lockfile: {}", examples(names)));
        }
        let wanted: BTreeSet<_> = self
            .required
            .iter()
            .map(|(path, version)| (folder_name(path), version.clone()))
            .collect();
        let absent = wanted.iter().filter(|one| !found.contains(*one));
        if is_share(wanted.intersection(&found).count(), wanted.len()) {
            return None;
        }
        missing(absent.map(|(name, version)| format!("{name}@{version}")))
    }

    fn fault_of_files(
        &mut self,
        manager: Manager,
        phase: Phase,
        left: &Left<'_>,
    ) -> Option<String> {
        let files = left.census.files;
        let announced = left.announced.filter(|_| phase != Phase::Unchanged);
        if let Some(announced) = announced.filter(|announced| *announced != files) {
            return Some(format!("WRONG: {files} files, {announced} of them announced"));
        }
        if manager == Manager::Ringstall && self.files.is_none() {
            self.files = Some(files);
            let strange =
                left.packages.iter().map(|(path, version)| (folder_name(path), plain(version)));
            self.odd = strange.filter(|one| !self.known.contains(one)).collect();
        }
        let expected = self.files?;
        let is_right = match manager {
            Manager::Ringstall => files == expected,
            _ => is_share(
                usize::try_from(files).unwrap_or(usize::MAX),
                usize::try_from(expected).unwrap_or(usize::MAX),
            ),
        };
        (!is_right).then(|| format!("WRONG: {files} files, {expected} expected"))
    }
}

/// What is wrong with what a run asked for.
pub fn fault_of_requests(phase: Phase, counts: &Counts) -> Option<String> {
    if counts.not_found > 0 {
        return Some(format!("answered 404: {}", examples(counts.missing.iter().cloned())));
    }
    match phase.wants_tarballs() {
        Some(false) if counts.tarballs > 0 => {
            Some(format!("asked for {} tarballs with a warm cache", counts.tarballs))
        }
        Some(true) if counts.tarballs == 0 => {
            Some("asked for no tarball with an empty cache".to_owned())
        }
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a file more or less does not matter")]
fn is_share(part: usize, whole: usize) -> bool {
    part as f64 >= RIVAL_SHARE_MIN * whole as f64
}

fn missing(names: impl Iterator<Item = impl AsRef<str>>) -> Option<String> {
    let names: Vec<_> = names.map(|name| name.as_ref().to_owned()).collect();
    let count = names.len();
    (count > 0).then(|| format!("WRONG: {count} missing: {}", examples(names.into_iter())))
}

fn examples(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<_> = names.take(SHOWN_MAX + 1).collect();
    if names.len() > SHOWN_MAX {
        names.truncate(SHOWN_MAX);
        names.push("...".to_owned());
    }
    names.join(", ")
}

/// The name of a package's folder, with its scope.
fn folder_name(path: &str) -> String {
    path.rsplit("node_modules/").next().unwrap_or(path).to_owned()
}

/// A version as it is compared: authors write `v1.0.0`, and registries drop build metadata.
fn plain(version: &str) -> String {
    let version = version.trim().trim_start_matches(['v', '=']);
    version.split('+').next().unwrap_or(version).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn standard() -> Standard {
        let packages = json!({
            "": {"dependencies": {"a": "1"}, "devDependencies": {"c": "2"}},
            "node_modules/a": {"version": "1.0.0"},
            "node_modules/b": {"version": "2.0.0+build"},
            "node_modules/c": {"version": "3.0.0"},
            "node_modules/a/node_modules/b": {"version": "1.5.0", "optional": true},
            "node_modules/w": {"resolved": "w", "link": true},
            "node_modules/alias": {"name": "real", "version": "4.0.0", "optional": true},
        });
        let text = json!({"lockfileVersion": 3, "packages": packages}).to_string();
        Standard::new(&Lock::parse("package-lock.json", &text).unwrap())
    }

    const RIGHT: [(&str, &str); 3] =
        [("node_modules/a", "v1.0.0"), ("node_modules/b", "2.0.0"), ("node_modules/c", "3.0.0")];

    fn fault(
        standard: &mut Standard,
        manager: Manager,
        phase: Phase,
        tree: &[(&str, &str)],
        files: u64,
    ) -> Option<String> {
        let packages: BTreeMap<_, _> = tree
            .iter()
            .map(|(path, version)| ((*path).to_owned(), (*version).to_owned()))
            .collect();
        let census = Census { files, bytes: 0 };
        let announced = (manager == Manager::Ringstall).then_some(100);
        let top_names = packages.keys().map(|path| folder_name(path)).collect();
        let left =
            Left { census, packages: &packages, top_names: &top_names, announced, lock_bytes: 0 };
        standard.fault(manager, phase, &left)
    }

    #[test]
    fn ours_has_every_package_at_its_path() {
        let ours = |tree: &[_], files| {
            fault(&mut standard(), Manager::Ringstall, Phase::Cold, tree, files)
        };
        assert_eq!(ours(&RIGHT, 100), None);
        assert_eq!(ours(&RIGHT, 99).unwrap(), "WRONG: 99 files, 100 of them announced");
        assert_eq!(ours(&RIGHT[1..], 100).unwrap(), "WRONG: 1 missing: node_modules/a");
        let other = [("node_modules/a", "1.0.1"), RIGHT[1], RIGHT[2]];
        assert_eq!(ours(&other, 100).unwrap(), "WRONG: node_modules/a is 1.0.1, not 1.0.0");
    }

    #[test]
    fn a_rival_may_put_packages_elsewhere_but_no_others() {
        let mut standard = standard();
        let tree = [("node_modules/a", "1.0.0"), ("node_modules/odd", "7.0.0"), RIGHT[1], RIGHT[2]];
        assert_eq!(fault(&mut standard, Manager::Ringstall, Phase::Warm, &tree, 100), None);
        let mut bun =
            |tree: &[_], files| fault(&mut standard, Manager::Bun, Phase::Warm, tree, files);
        let moved = [
            ("node_modules/.bun/a/node_modules/a", "1.0.0"),
            ("node_modules/.pnpm/real/node_modules/real", "4.0.0"),
            ("node_modules/odd", "7.0.0"),
            RIGHT[1],
            RIGHT[2],
        ];
        assert_eq!(bun(&moved, 96), None);
        assert_eq!(bun(&moved, 94).unwrap(), "WRONG: 94 files, 100 expected");
        let foreign = [RIGHT[0], RIGHT[1], RIGHT[2], ("node_modules/d", "1.0.0")];
        assert_eq!(bun(&foreign, 100).unwrap(), "WRONG: not in the lockfile: d@1.0.0");
        assert_eq!(bun(&RIGHT[1..], 100).unwrap(), "WRONG: 1 missing: a@1.0.0");
    }

    #[test]
    fn without_a_lockfile_what_package_json_asks_for_has_to_be_there() {
        let mut standard = standard();
        let mut bun = |tree: &[_]| fault(&mut standard, Manager::Bun, Phase::FullCold, tree, 1);
        assert_eq!(bun(&[("node_modules/a", "9.0.0"), ("node_modules/c", "1.0.0")]), None);
        assert_eq!(bun(&[("node_modules/a", "9.0.0")]).unwrap(), "WRONG: 1 missing: c");
        let left = Left {
            census: Census::default(),
            packages: &BTreeMap::new(),
            top_names: &BTreeSet::new(),
            announced: None,
            lock_bytes: 0,
        };
        let fault = standard.fault(Manager::Bun, Phase::Resolve, &left);
        assert_eq!(fault.as_deref(), Some("wrote no lockfile"));
    }

    #[test]
    fn a_phase_says_what_may_be_asked_for() {
        let counts = |not_found, tarballs| Counts {
            not_found,
            tarballs,
            missing: ["w", "x", "y", "z"].map(str::to_owned).to_vec(),
            ..Counts::default()
        };
        assert_eq!(fault_of_requests(Phase::Warm, &counts(0, 0)), None);
        assert_eq!(fault_of_requests(Phase::Cold, &counts(0, 9)), None);
        assert_eq!(fault_of_requests(Phase::Resolve, &counts(0, 9)), None);
        for (phase, counts, expected) in [
            (Phase::Warm, counts(0, 2), "asked for 2 tarballs with a warm cache"),
            (Phase::Unchanged, counts(0, 1), "asked for 1 tarballs with a warm cache"),
            (Phase::Cold, counts(0, 0), "asked for no tarball with an empty cache"),
            (Phase::Cold, counts(1, 9), "answered 404: w, x, y, ..."),
        ] {
            assert_eq!(fault_of_requests(phase, &counts).as_deref(), Some(expected));
        }
    }
}
