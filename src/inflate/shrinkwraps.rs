//! Lockfiles that dependencies bring along.
//!
//! npm 11 reads the lockfile in the tarball of a package whose entry says `hasShrinkwrap`, and
//! puts its entries in the place of those that the project's lockfile has below that package.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Shelf, is_set, text};
use crate::error::{Code, Error, Result};
use crate::install_path::InstallPath;
use crate::lockfile::{LOCKFILE_NAMES, Partial, entries_of_version_1};
use crate::manifest::without_byte_order_mark;
use crate::plan::count;

/// A shrinkwrap may name packages that bring one; each round reads one level of them.
const ROUNDS_MAX: usize = 16;

/// Entries of one project; the largest lockfile known has 5,000.
const ENTRIES_MAX: usize = 1_000_000;

/// Puts the entries of every lockfile that a dependency brings in their place.
pub(super) fn merge(
    partial: &mut Partial,
    shelf: &mut Shelf<'_>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let found: BTreeSet<String> = partial
            .packages
            .keys()
            .filter(|path| {
                path.starts_with("node_modules/")
                    && is_set(partial, path, "hasShrinkwrap")
                    && !is_set(partial, path, "inBundle")
                    && !seen.contains(*path)
            })
            .cloned()
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        shelf.stock(partial, &found)?;
        for path in &found {
            if let Some(entries) = read(shelf, path)? {
                put(partial, path, entries, warnings)?;
            }
        }
        seen.extend(found);
    }
    let message = format!("dependencies bring lockfiles that are nested over {ROUNDS_MAX} deep");
    Err(Error::new(Code::LockfileInvalid, message))
}

/// The entries of the lockfile in a package, relative to the package.
fn read(shelf: &Shelf<'_>, path: &str) -> Result<Option<Map<String, Value>>> {
    for file_name in LOCKFILE_NAMES {
        let Some(json) = shelf.read(path, file_name)? else { continue };
        let value: Value =
            serde_json::from_str(without_byte_order_mark(&json)).map_err(|error| {
                let message = format!("failed to parse `{path}/{file_name}`");
                Error::new(Code::JsonParse, message).with_source(error)
            })?;
        return Ok(Some(match value.get("packages") {
            Some(Value::Object(packages)) => packages.clone(),
            Some(_) | None => entries_of_version_1(value.get("dependencies")).packages,
        }));
    }
    Ok(None)
}

fn put(
    partial: &mut Partial,
    path: &str,
    entries: Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut changed = Vec::new();
    for (key, mut entry) in entries {
        if key.is_empty() {
            continue;
        }
        let at = format!("{path}/{key}");
        // What a tarball says must stay inside its own package.
        InstallPath::parse(&at)?;
        if !key.starts_with("node_modules/") || is_link(&entry) {
            warnings.push(format!(
                "{path} brings a lockfile with the folder {key}, which is not linked"
            ));
            continue;
        }
        let wanted = entry.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
        let locked = text(partial, &at, "version").to_owned();
        if let Some(flags) = entry.as_object_mut() {
            flags.retain(|key, _| !FLAGS.contains(&key.as_str()));
        }
        let below = format!("{at}/");
        if partial.packages.contains_key(&at) {
            partial.packages.retain(|other, _| !other.starts_with(&below));
            if locked != wanted {
                let name = key.rsplit("node_modules/").next().unwrap_or_default();
                changed.push(format!("{name}@{wanted} for {locked}"));
            }
        }
        partial.packages.insert(at, entry);
        if partial.packages.len() > ENTRIES_MAX {
            let message = format!("dependencies bring more than {ENTRIES_MAX} entries");
            return Err(Error::new(Code::LockfileInvalid, message));
        }
    }
    if !changed.is_empty() {
        warnings.push(format!(
            "{path} brings a lockfile of its own, which differs from {} in {}: {}",
            partial.file_name,
            count(changed.len(), "package"),
            changed.join(", ")
        ));
    }
    Ok(())
}

fn is_link(entry: &Value) -> bool {
    entry.get("link").is_some_and(|link| *link == Value::Bool(true))
}

/// They speak of the package as a project; what they are in this one is computed anew.
const FLAGS: [&str; 5] = ["dev", "optional", "devOptional", "peer", "extraneous"];
