//! The folders that a pattern names, as npm's glob 13 finds them.

use std::collections::HashSet;
use std::fs::{self, FileType};
use std::path::Path;

use super::{Dialect, Part, Rule, Work, is_hidden};

/// Folders below folders and parts of a pattern: more than any repository has.
const DEPTH_MAX: usize = 400;

/// The folders below `directory` that fit a pattern of [`Dialect::Path`], by their paths relative
/// to it, each once. No package lies in `node_modules`, so that is passed by. A folder that cannot
/// be read is empty, and a pattern that is too long finds nothing.
pub fn folders(directory: &Path, pattern: &str) -> Vec<String> {
    let mut walk = Walk {
        directory,
        work: Work::default(),
        seen: HashSet::new(),
        known: HashSet::new(),
        found: Vec::new(),
    };
    if let Some(rule) = Rule::plain(pattern.trim_end_matches('/'), Dialect::Path) {
        for parts in &rule.alternatives {
            walk.visit("", parts, 0);
            // The same number of parts is another place of another alternative.
            walk.seen.clear();
        }
    }
    walk.found
}

struct Walk<'w> {
    directory: &'w Path,
    work: Work,
    /// Folders with how many parts were left there: `**` may lead to one in several ways.
    seen: HashSet<(String, usize)>,
    known: HashSet<String>,
    found: Vec<String>,
}

impl Walk<'_> {
    /// What fits `parts` from a folder on.
    fn visit(&mut self, folder: &str, parts: &[Part], depth: usize) {
        if depth > DEPTH_MAX || !self.seen.insert((folder.to_owned(), parts.len())) {
            return;
        }
        match parts.split_first() {
            None => {
                if !folder.is_empty() && self.known.insert(folder.to_owned()) {
                    self.found.push(folder.to_owned());
                }
            }
            Some((Part::Globstar, rest)) => {
                self.visit(folder, rest, depth + 1);
                for (name, kind) in self.entries(folder) {
                    if is_hidden(&characters(&name)) {
                        continue;
                    }
                    // What a link leads to is found, and not what lies in it.
                    let parts = if kind.is_symlink() { rest } else { parts };
                    self.visit(&join(folder, &name), parts, depth + 1);
                }
            }
            Some((Part::Portion(portion), rest)) => {
                if let Some(name) = portion.literal() {
                    let below = join(folder, &name);
                    if name != NODE_MODULES && self.directory.join(&below).is_dir() {
                        self.visit(&below, rest, depth + 1);
                    }
                    return;
                }
                for (name, _) in self.entries(folder) {
                    if portion.matches(&characters(&name), &self.work) {
                        self.visit(&join(folder, &name), rest, depth + 1);
                    }
                }
            }
        }
    }

    /// The folders in a folder, and links to folders.
    fn entries(&self, folder: &str) -> Vec<(String, FileType)> {
        let path = self.directory.join(folder);
        let Ok(entries) = fs::read_dir(&path) else { return Vec::new() };
        let folder = |entry: fs::DirEntry| {
            let kind = entry.file_type().ok()?;
            let is_folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            let name = entry.file_name().into_string().ok()?;
            (is_folder && name != NODE_MODULES).then_some((name, kind))
        };
        entries.flatten().filter_map(folder).collect()
    }
}

const NODE_MODULES: &str = "node_modules";

fn characters(name: &str) -> Vec<char> {
    name.chars().collect()
}

/// A dot, and what follows a final slash, is the folder itself.
fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        (folder, "" | ".") => folder.to_owned(),
        ("", name) => name.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What glob 13 of npm finds for the same, but for `node_modules` and the folder itself.
    #[test]
    fn folders_are_found_as_by_npm() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for folder in ["a/x/y", "b/.h/z", "b/node_modules/n", "c", "real/in"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("a/file"), "").unwrap();
        symlink("../real", root.join("c/link")).unwrap();
        symlink("nowhere", root.join("c/dangling")).unwrap();
        for (pattern, expected) in [
            ("*", &["a", "b", "c", "real"][..]),
            ("a/*", &["a/x"]),
            ("a", &["a"]),
            ("a/file", &[]),
            ("b/*", &[]),
            ("b/.*", &["b/.h"]),
            ("b/.h/*", &["b/.h/z"]),
            ("c/*", &["c/link"]),
            ("c/link/*", &["c/link/in"]),
            ("c/**", &["c", "c/link"]),
            ("a/**", &["a", "a/x", "a/x/y"]),
            ("**/y", &["a/x/y"]),
            ("**/**/x/**", &["a/x", "a/x/y"]),
            ("@(a|c)", &["a", "c"]),
            ("!(a)", &["b", "c", "real"]),
            ("{a,b}", &["a", "b"]),
            ("{a/,b/}", &["a", "b"]),
            (".", &[]),
            ("a/*/.", &["a/x"]),
            ("{a,*}", &["a", "b", "c", "real"]),
            ("a/../b", &["b"]),
            ("b/node_modules/*", &[]),
            ("b/node_modules", &[]),
        ] {
            let mut found = folders(root, pattern);
            found.sort();
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_leads_to_a_folder_in_many_ways_ends() {
        let temp = tempfile::tempdir().unwrap();
        let deep = vec!["a"; 200].join("/");
        fs::create_dir_all(temp.path().join(&deep)).unwrap();
        let pattern = format!("{}b", "**/a/".repeat(50));
        assert!(folders(temp.path(), &pattern).is_empty());
    }
}
