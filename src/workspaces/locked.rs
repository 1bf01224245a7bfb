//! Which folders are workspaces as the lockfile has them, without looking at the disk.

use super::{Patterns, Workspace};
use crate::install_path::InstallPath;
use crate::manifest::Manifest;

/// The targets of links that the root's patterns name, in the lockfile's order. A pattern that
/// cannot be understood names none: it is refused when the project is installed.
pub fn locked_workspaces<'a>(
    packages: impl Iterator<Item = (InstallPath<'a>, &'a Manifest<'a>)>,
    root: &Manifest<'_>,
) -> Vec<Workspace> {
    let patterns = Patterns::of(root).unwrap_or_default();
    let links = packages.filter(|(_, entry)| entry.link.0);
    links
        .filter_map(|(link, entry)| {
            let path = entry.resolved.get().filter(|path| patterns.name(path))?.to_owned();
            Some(Workspace { name: link.name().to_owned(), path })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::{Lockfile, LockfileText};

    fn workspaces(patterns: &str) -> Vec<String> {
        let folders = ["packages/a", "packages/b/deep", "tools", "../outside"];
        let links = folders.map(|folder| {
            let name = folder.rsplit('/').next().unwrap();
            format!(
                r#""node_modules/@s/{name}": {{"link": true, "resolved": "{folder}"}},
                "{folder}": {{}}"#
            )
        });
        let text = format!(
            r#"{{"lockfileVersion": 3, "packages": {{"": {{"workspaces": {patterns}}}, {}}}}}"#,
            links.join(", ")
        );
        let text = LockfileText { text, ..LockfileText::default() };
        let lockfile = Lockfile::parse(&text).unwrap();
        let packages = lockfile.packages.iter().map(|(path, entry)| (*path, entry));
        let found = locked_workspaces(packages, &lockfile.packages[0].1);
        found.into_iter().map(|one| format!("{} {}", one.name, one.path)).collect()
    }

    #[test]
    fn links_that_a_pattern_names_are_workspaces() {
        assert_eq!(workspaces(r#"["./packages/*"]"#), ["@s/a packages/a"]);
        assert_eq!(
            workspaces(r#"["packages/**"]"#),
            ["@s/a packages/a", "@s/deep packages/b/deep"]
        );
        assert_eq!(workspaces(r#"{"packages": ["{tools,x}/"]}"#), ["@s/tools tools"]);
        assert_eq!(workspaces(r#"["packages/**", "!packages/a"]"#), ["@s/deep packages/b/deep"]);
        assert_eq!(workspaces("[]"), [""; 0]);
    }
}
