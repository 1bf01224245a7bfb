//! What a package.json adds to an entry of an old lockfile.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Shelf, is_set, source, text};
use crate::bins::{directory_bins, normalized_bins};
use crate::error::Result;
use crate::install_path::InstallPath;
use crate::lockfile::{Partial, read_text};
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest, without_byte_order_mark};
use crate::registry::{Registries, Source};

/// The paths of the entries whose tarball npm would ask the registry about, and find it there.
///
/// It asks by the name of the folder, so that it learns nothing of what stands behind an alias; it
/// asks for nothing outside the root's `node_modules`; and it finds no tarball that only its
/// address names.
pub(super) fn wanted(partial: &Partial, registries: &Registries) -> BTreeSet<String> {
    let is_wanted = |path: &&String| {
        let is_foreign = || {
            let source = source(partial, path, registries);
            partial.by_address.contains(*path)
                && !matches!(source, Ok(Some(Source::Registry { .. })))
        };
        path.starts_with("node_modules")
            && !is_set(partial, path, "link")
            && !is_set(partial, path, "inBundle")
            && text(partial, path, "name").is_empty()
            && !is_foreign()
    };
    partial.packages.keys().filter(is_wanted).cloned().collect()
}

/// Adds to each entry what the package.json in its tarball says, or in that of the package which
/// bundles it.
pub(super) fn complete(
    partial: &mut Partial,
    shelf: &Shelf<'_>,
    directory: Option<&Path>,
) -> Result<()> {
    let paths: Vec<String> = partial.packages.keys().cloned().collect();
    for path in paths {
        if is_set(partial, &path, "link") {
            if let Some(directory) = directory {
                add_bins_of_target(partial, &path, directory)?;
            }
            continue;
        }
        let found = if is_set(partial, &path, "inBundle") {
            let owner = owner(partial, &path);
            owner.map(|owner| (owner, format!("{}/package.json", &path[owner.len() + 1..])))
        } else {
            Some((path.as_str(), "package.json".to_owned()))
        };
        let Some((owner, file)) = found else { continue };
        let Some(json) = shelf.read(owner, &file)? else { continue };
        // npm, too, installs a package whose package.json cannot be read.
        let Ok(Value::Object(manifest)) = serde_json::from_str(without_byte_order_mark(&json))
        else {
            continue;
        };
        let mut fields = fields(manifest);
        if owner == path
            && let Some(index) = shelf.index(&path)
        {
            // The index has the commands with their names and files as npm gives them. Those that
            // only `directories.bin` stands for are in the metadata of some registries.
            if fields.remove("bin").is_some() {
                let bins: Map<_, _> =
                    index.bins().map(|(name, file)| (name.to_owned(), file.into())).collect();
                fields.insert("bin".to_owned(), bins.into());
            }
            if index.has_install_scripts() {
                fields.insert("hasInstallScript".to_owned(), true.into());
            }
        }
        if let Some(Value::Object(entry)) = partial.packages.get_mut(&path) {
            entry.retain(|key, _| OF_LOCKFILE.contains(&key.as_str()));
            for (key, value) in fields {
                entry.entry(key).or_insert(value);
            }
        }
    }
    Ok(())
}

/// The commands of a linked folder come from its package.json, as all else of it does.
fn add_bins_of_target(partial: &mut Partial, path: &str, directory: &Path) -> Result<()> {
    let target = text(partial, path, "resolved").to_owned();
    if !path.starts_with("node_modules") || InstallPath::parse(&target).is_err() {
        return Ok(());
    }
    let folder = directory.join(&target);
    let Some(json) = read_text(&folder.join("package.json"), MANIFEST_BYTES_MAX)? else {
        return Ok(());
    };
    let manifest = Manifest::parse(&json, &format!("{target}/package.json"))?;
    let name = manifest.name.get().or(target.rsplit('/').next()).unwrap_or_default();
    let mut bins = normalized_bins(&manifest, name);
    bins.extend(directory_bins(&manifest, &folder));
    let bins: Map<_, _> = bins.into_iter().map(|(name, file)| (name, file.into())).collect();
    if let Some(Value::Object(entry)) =
        partial.packages.get_mut(&target).filter(|_| !bins.is_empty())
    {
        entry.insert("bin".to_owned(), bins.into());
    }
    Ok(())
}

/// The package whose tarball brings a bundled one: the nearest above it that has its own.
fn owner<'p>(partial: &Partial, path: &'p str) -> Option<&'p str> {
    let mut above = path;
    while let Some(end) = above.rfind("/node_modules/") {
        above = &path[..end];
        if !is_set(partial, above, "inBundle") {
            return partial.packages.contains_key(above).then_some(above);
        }
    }
    None
}

/// The fields of a package.json that npm keeps in a lockfile.
fn fields(mut manifest: Map<String, Value>) -> Map<String, Value> {
    if let Some(names) = manifest.remove("bundledDependencies") {
        manifest.entry("bundleDependencies").or_insert(names);
    }
    manifest.retain(|key, _| KEPT.contains(&key.as_str()));
    manifest
}

/// What only the lockfile can say of a package; all else its package.json says better.
const OF_LOCKFILE: [&str; 6] = ["version", "resolved", "integrity", "inBundle", "optional", "dev"];

const KEPT: [&str; 14] = [
    "version",
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "acceptDependencies",
    "funding",
    "engines",
    "os",
    "cpu",
    "libc",
    "license",
    "bin",
];
