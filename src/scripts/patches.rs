//! Packages that the project itself patches after each installation.
//!
//! `patch-package`, run by thousands of projects from their `postinstall`, writes into the files of
//! other packages, and would write into the cache where those are hard links. It keeps one file a
//! package in `patches`, whose name says which, so that these can be given copies of their own.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// More patches than any project keeps.
const PATCHES_MAX: usize = 10_000;

/// The names of packages that the project has a patch for.
pub fn patched_packages(directory: &Path) -> HashSet<String> {
    let Ok(entries) = fs::read_dir(directory.join("patches")) else { return HashSet::new() };
    let names = entries.take(PATCHES_MAX).flatten().filter_map(|entry| {
        let file = entry.file_name().into_string().ok()?;
        package_of(file.strip_suffix(".patch")?)
    });
    names.collect()
}

/// `@scope+name+1.0.0` is of `@scope/name`, `above++name+1.0.0` of the `name` in another package.
fn package_of(patch: &str) -> Option<String> {
    let last = patch.rsplit("++").next()?;
    let mut parts = last.split('+');
    let first = parts.next().filter(|first| !first.is_empty())?;
    if first.starts_with('@') {
        Some(format!("{first}/{}", parts.next()?))
    } else {
        Some(first.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_patch_says_which_package() {
        for (patch, package) in [
            ("left-pad+1.3.0", Some("left-pad")),
            ("left-pad+1.3.0+001+title", Some("left-pad")),
            ("@scope+name+1.0.0-rc.1", Some("@scope/name")),
            ("above++@scope+name+1.0.0", Some("@scope/name")),
            ("above++below+1.0.0", Some("below")),
            ("@scope", None),
            ("", None),
        ] {
            assert_eq!(package_of(patch).as_deref(), package, "{patch}");
        }
    }

    #[test]
    fn only_patches_count() {
        let folder = tempfile::tempdir().unwrap();
        assert!(patched_packages(folder.path()).is_empty());
        fs::create_dir(folder.path().join("patches")).unwrap();
        fs::write(folder.path().join("patches/a+1.0.0.patch"), "").unwrap();
        fs::write(folder.path().join("patches/README"), "").unwrap();
        assert_eq!(patched_packages(folder.path()), HashSet::from(["a".to_owned()]));
    }
}
