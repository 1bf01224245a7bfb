//! Lockfiles of version 4, which npm 12 writes for projects that change what packages say or hold.
//!
//! That is not done here, so such a project is refused by the name of what it uses; a lockfile of
//! version 4 without any of it is one of version 3. npm 11 installs both as if they were version 3.

use std::path::Path;

use serde_json::{Map, Value};

use super::partial::parse;
use crate::error::{Code, Error, Result};

/// Refuses a lockfile of version 4 that says more than one of version 3 can.
pub(super) fn refuse_new_features(file_name: &str, text: &str) -> Result<()> {
    let value = parse(file_name, text)?;
    if let Some(feature) = value.as_object().and_then(feature_of) {
        return Err(refused(file_name, feature));
    }
    let entries = value.get("packages").and_then(Value::as_object).into_iter().flatten();
    for (path, entry) in entries {
        if let Some(feature) = entry.as_object().and_then(feature_of) {
            return Err(refused(&format!("{file_name} (`{path}`)"), feature));
        }
    }
    Ok(())
}

/// Refuses a project that uses something which only lockfiles of version 4 record.
pub fn refuse_new_features_of_project(directory: &Path, manifest: &str) -> Result<()> {
    let value = parse("package.json", manifest)?;
    if let Some(feature) = value.as_object().and_then(feature_of) {
        return Err(refused("package.json", feature));
    }
    for file_name in EXTENSION_FILES {
        if directory.join(file_name).exists() {
            return Err(refused(file_name, ".npm-extension"));
        }
    }
    Ok(())
}

fn feature_of(object: &Map<String, Value>) -> Option<&'static str> {
    let found = FIELDS.into_iter().find(|(field, _)| object.contains_key(*field));
    found.map(|(_, feature)| feature)
}

fn refused(place: &str, feature: &str) -> Error {
    let message = format!("{place} asks for `{feature}` of npm 12, which is not applied here");
    Error::new(Code::LockfileVersion, message)
        .with_hint("install this project with npm 12, or do without it")
}

/// Fields of package.json, of the lockfile and of its entries, with what they stand for.
const FIELDS: [(&str, &str); 7] = [
    ("patchedDependencies", "patchedDependencies"),
    ("patched", "patchedDependencies"),
    ("packageExtensions", "packageExtensions"),
    ("packageExtensionsHash", "packageExtensions"),
    ("packageExtensionsApplied", "packageExtensions"),
    ("npmExtensionHash", ".npm-extension"),
    ("npmExtensionApplied", ".npm-extension"),
];

const EXTENSION_FILES: [&str; 2] = [".npm-extension.mjs", ".npm-extension.cjs"];
