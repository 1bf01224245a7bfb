//! `--reuse`: what an earlier run has installed and nobody has changed since stays where it is.
//!
//! A run with `--reuse` ends with a [`record::Record`] in the cache: for each unit a fingerprint of
//! what was put there, and a row of looks at what was there when all was done. The next run keeps a
//! unit if what it would put there has the same fingerprint, and if every look gives the same
//! again. What is asked for counts as a whole, too: where that and all looks are as they were,
//! nothing is planned at all.
//!
//! A folder, a link and a file of a project's own are the same if inode and time of change are,
//! which no tool can set back. A file that shares its inode with the cache is the same if inode,
//! size, mode, owner and time of writing are; that time can be set back, so who edits such a file
//! in place and hides it is not found out. Everything else is: what came, what went, what was
//! replaced, written or given another mode. [`tree::Depth::Folders`] looks at folders only, and
//! does not see what was done to a file in place.
//!
//! Whatever is in doubt is installed anew: without a record, with one of another version, of
//! another folder, or of a run that did not come to its end (it has none, for it is removed before
//! anything is touched); and packages whose scripts may run, unless nothing at all has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::workers::Workers;

mod asked;
mod bytes;
mod look;
pub mod record;
pub mod tree;
pub mod units;

pub use asked::{Asked, Machine};

use look::{Look, Verdict};
pub use look::{Time, settle};
use record::{Digest, Place, Record, Tallies, Unit};
use tree::{Depth, Seen, glance, survey, verify};
use units::{Fingerprints, unit_of};

/// What is known of a project from the run before.
#[derive(Debug)]
pub struct Reuse<'r> {
    project: &'r Path,
    base: File,
    place: Place,
    /// `None` where nothing is to be kept.
    depth: Option<Depth>,
    record: Option<Record>,
}

/// What stays where it is.
#[derive(Debug, Default)]
pub struct Kept {
    units: BTreeSet<String>,
    /// Units in which a file was changed in place, and with it the cache's.
    changed_in_cache: BTreeSet<String>,
}

/// What else is recorded of an install that came to its end.
#[derive(Debug, Default)]
pub struct Outcome {
    pub fingerprints: Fingerprints,
    pub others: Others,
    pub asked: Option<Digest>,
    pub tallies: Tallies,
    pub warnings: Vec<String>,
    pub link_targets: Vec<String>,
    /// Packages whose tarball has scripts or a `binding.gyp`, sorted.
    pub built: Vec<String>,
    /// When the first script ran; `None` where none did. What was changed since then is no longer
    /// just what was placed.
    pub before_scripts: Option<Time>,
}

/// Paths that every run makes anew, and that have to be as they were for nothing to be done.
#[derive(Debug, Default)]
pub struct Others {
    /// Looked at with all that lies in them.
    pub whole: BTreeSet<String>,
    /// Looked at by themselves, be there something or not.
    pub alone: BTreeSet<String>,
}

impl<'r> Reuse<'r> {
    pub fn open(project: &'r Path, cache: &Cache, depth: Option<Depth>) -> Result<Self> {
        let failed = |error| Error::io("open directory", project, error);
        let place = Place::new(cache.directory(), project).map_err(failed)?;
        let base = File::open(project).map_err(failed)?;
        let record = depth.and_then(|_| place.read());
        Ok(Self { project, base, place, depth, record })
    }

    pub fn is_wanted(&self) -> bool {
        self.depth.is_some()
    }

    /// The folders whose package.json has to be among what is asked.
    pub fn link_targets(&self) -> &[String] {
        self.record.as_ref().map_or(&[], |record| &record.link_targets)
    }

    /// Packages that are known to have scripts or a `binding.gyp`, whatever the lockfile says.
    pub fn built(&self) -> &[String] {
        self.record.as_ref().map_or(&[], |record| &record.built)
    }

    /// Whether scripts ran in the run that left the record.
    pub fn has_run_scripts(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.has_run_scripts)
    }

    /// The record, if the same is asked as then and all is as it was.
    pub fn unchanged(&self, workers: Workers, asked: Digest) -> Option<&Record> {
        let record = self.record.as_ref().filter(|record| record.asked == Some(asked))?;
        let depth = self.depth?;
        let see = |unit: &Unit| match verify(&self.base, &unit.row, depth) {
            Verdict::Same => Ok(()),
            _ => Err(()),
        };
        workers.try_map(&record.units, UNITS_AT_ONCE, see).is_ok().then_some(record)
    }

    /// What is there already of what is to be put there.
    pub fn keep(&self, workers: Workers, fingerprints: &Fingerprints) -> Kept {
        let (Some(depth), Some(record)) = (self.depth, &self.record) else {
            return Kept::default();
        };
        let verdicts = workers.map(&record.units, UNITS_AT_ONCE, |unit| {
            let wanted = fingerprints.get(&unit.path)?;
            let verdict = match verify(&self.base, &unit.row, depth) {
                // Whether the cache can be trusted is for the files to tell.
                Verdict::Changed => verify(&self.base, &unit.row, Depth::Files),
                verdict => verdict,
            };
            Some((unit, wanted, verdict))
        });
        let mut kept = Kept::default();
        for (unit, wanted, verdict) in verdicts.into_iter().flatten() {
            match verdict {
                Verdict::Same
                    if *wanted == Some(unit.fingerprint) && self.is_in_folders(&unit.path) =>
                {
                    kept.units.insert(unit.path.clone());
                }
                Verdict::ChangedInCache => {
                    kept.changed_in_cache.insert(unit.path.clone());
                }
                Verdict::Same | Verdict::Changed => {}
            }
        }
        kept
    }

    /// Whether all that is above a path in the project is a folder, and no link to one.
    fn is_in_folders(&self, path: &str) -> bool {
        let above = path.match_indices('/').map(|(slash, _)| &path[..slash]);
        above
            .filter_map(|folder| CString::new(folder).ok())
            .all(|folder| matches!(Look::at(&self.base, &folder), Ok(Look::Directory(_))))
    }

    /// Removes the record, before anything of what it tells is touched. In a cache that must not be
    /// written it stays, and does no harm: whatever is touched looks different from then on.
    pub fn forget(&self) {
        let _ = self.place.remove();
    }

    /// Records an install that came to its end. Where that cannot be done the next run has none,
    /// and installs all anew.
    pub fn write(&self, workers: Workers, kept: &Kept, outcome: Outcome) -> io::Result<()> {
        if self.depth.is_none() {
            return Ok(());
        }
        let before: BTreeMap<&str, &Unit> = self
            .record
            .iter()
            .flat_map(|record| &record.units)
            .filter(|unit| kept.units.contains(&unit.path))
            .map(|unit| (unit.path.as_str(), unit))
            .collect();
        let done = settle();
        let before_scripts = outcome.before_scripts.unwrap_or(done);
        let seen = |path: &str, fingerprint: Digest, seen: io::Result<Seen>| {
            let Seen { row, latest } = seen?;
            if latest > done {
                return Err(io::Error::other(format!("`{path}` was changed meanwhile")));
            }
            let is_as_placed = latest <= before_scripts;
            let fingerprint = if is_as_placed { fingerprint } else { Digest::default() };
            Ok(Unit { path: path.to_owned(), fingerprint, row })
        };
        let see = |(path, fingerprint): &(&String, &Option<Digest>)| {
            if let Some(Unit { fingerprint, row, .. }) = before.get(path.as_str()) {
                let (fingerprint, row) = (*fingerprint, row.clone());
                return Ok(Unit { path: (*path).clone(), fingerprint, row });
            }
            let found = survey(self.project, &self.base, path.as_bytes());
            seen(path, fingerprint.unwrap_or_default(), found)
        };
        let wanted: Vec<_> = outcome.fingerprints.iter().collect();
        let mut units = workers.try_map(&wanted, UNITS_AT_ONCE, see)?;
        for path in outcome.others.whole {
            let found = survey(self.project, &self.base, path.as_bytes());
            units.push(seen(&path, Digest::default(), found)?);
        }
        for path in outcome.others.alone {
            let found = glance(&self.base, path.as_bytes());
            units.push(seen(&path, Digest::default(), found)?);
        }
        let has_run_scripts = outcome.before_scripts.is_some();
        let Outcome { asked, tallies, warnings, link_targets, built, .. } = outcome;
        self.place.write(&Record {
            asked,
            tallies,
            has_run_scripts,
            warnings,
            link_targets,
            built,
            units,
        })
    }
}

/// Small packages are looked at in some microseconds.
const UNITS_AT_ONCE: usize = 16;

impl Kept {
    /// Whether a path below the project is that of a unit that stays, or lies in one.
    pub fn covers(&self, path: &str) -> bool {
        unit_of(path).is_some_and(|unit| self.units.contains(unit))
    }

    /// Whether something below a path stays.
    pub fn has_below(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        let next = self.units.range(folder.clone()..).next();
        next.is_some_and(|unit| unit.starts_with(&folder))
    }

    /// Whether a file was changed in place in the unit that a path lies in.
    pub fn is_changed_in_cache(&self, path: &str) -> bool {
        unit_of(path).is_some_and(|unit| self.changed_in_cache.contains(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_unit_that_stays_is_covered() {
        let units = ["node_modules/a", "node_modules/@s/b", "w/node_modules/c"];
        let units = units.map(str::to_owned).into();
        let kept = Kept { units, ..Kept::default() };
        for (path, expected) in [
            ("node_modules/a", true),
            ("node_modules/a/node_modules/x", true),
            ("node_modules/ab", false),
            ("node_modules/@s/b", true),
            ("node_modules/@s", false),
            ("w/node_modules/c", true),
            ("node_modules/c", false),
        ] {
            assert_eq!(kept.covers(path), expected, "{path}");
        }
        assert!(kept.has_below("node_modules/@s") && !kept.has_below("node_modules/@t"));
    }
}
