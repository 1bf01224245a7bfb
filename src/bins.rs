//! The commands in `node_modules/.bin`: which there are, and which package wins a name.
//!
//! They come from the lockfile's `bin`; a package without one there has no commands, whatever its
//! tarball or the package.json of a workspace says. Sources: bin-links 6, @npmcli/arborist 9
//! lib/arborist/rebuild.js, npm-normalize-package-bin 5.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::collate::locale_compare;
use crate::graph::{Graph, NodeId};
use crate::manifest::Manifest;

/// A command that its package has won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinLink<'p> {
    pub node: NodeId,
    /// The link's own path, relative to the root.
    pub at: String,
    /// What the link says.
    pub target: String,
    /// The file, relative to its package.
    pub file: String,
    pub package: &'p str,
}

/// A `bin` holds a handful of commands; this bounds hostile lockfiles.
const BINS_MAX: usize = 1000;

/// The commands of the given nodes. Packages come before links, then the shallower before the
/// deeper, then by path; the first to claim a name has it, even if its file is missing.
pub fn find_bins<'p>(graph: &Graph<'p>, nodes: impl Iterator<Item = NodeId>) -> Vec<BinLink<'p>> {
    let mut nodes: Vec<_> = nodes
        .filter(|id| graph.node(*id).parent.is_some())
        .filter(|id| graph.node(graph.target(*id)).entry.bin.is_some())
        .map(|id| (id, graph.parents(id).count()))
        .collect();
    nodes.sort_by(|(first, first_depth), (second, second_depth)| {
        let is_link = |id: &NodeId| graph.node(*id).link_target.is_some();
        is_link(first).cmp(&is_link(second)).then(first_depth.cmp(second_depth)).then_with(|| {
            locale_compare(graph.node(*first).path.as_str(), graph.node(*second).path.as_str())
        })
    });
    let mut taken = HashSet::new();
    let mut links = Vec::new();
    for (id, _) in nodes {
        let node = graph.node(id);
        let Some((parent, name)) = node.path.split_node_modules() else { continue };
        let folder = match parent.as_str() {
            "" => "node_modules".to_owned(),
            parent => format!("{parent}/node_modules"),
        };
        let package = graph.node(graph.target(id));
        let own_name = package.entry.name.get().unwrap_or(package.path.name());
        for (bin, file) in normalized_bins(package.entry, own_name) {
            let at = format!("{folder}/.bin/{bin}");
            if taken.insert(at.clone()) {
                let target = format!("../{name}/{file}");
                links.push(BinLink { node: id, at, target, file, package: node.path.as_str() });
            }
        }
    }
    links
}

/// The commands of a manifest as npm normalises them: a name is a plain file name, a target stays
/// inside the package, and what is neither is dropped. Sorted as in the file; a later name that
/// normalises to an earlier one replaces its target.
pub fn normalized_bins(manifest: &Manifest<'_>, name: &str) -> Vec<(String, String)> {
    let Some(bin) = manifest.bin.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok())
    else {
        return Vec::new();
    };
    let raw: Vec<(String, String)> = match bin {
        Value::String(target) => vec![(name.to_owned(), target)],
        Value::Array(targets) => targets
            .into_iter()
            .filter_map(|target| target.as_str().map(|path| (basename(path), path.to_owned())))
            .collect(),
        Value::Object(bins) => bins
            .into_iter()
            .filter_map(|(name, target)| target.as_str().map(|path| (name, path.to_owned())))
            .collect(),
        _ => Vec::new(),
    };
    let mut bins: Vec<(String, String)> = Vec::new();
    for (name, target) in raw.into_iter().take(BINS_MAX) {
        let name = basename(&inside(&name.replace(':', "/")));
        let target = inside(&target);
        if name.is_empty() || target.is_empty() {
            continue;
        }
        match bins.iter_mut().find(|(earlier, _)| *earlier == name) {
            Some(earlier) => earlier.1 = target,
            None => bins.push((name, target)),
        }
    }
    bins
}

/// Everything below the folder that `directories.bin` names, by its last component, as npm's glob
/// finds it: folders too, but nothing hidden. The package lies on disk at `directory`.
pub fn directory_bins(manifest: &Manifest<'_>, directory: &Path) -> Vec<(String, String)> {
    let value = manifest.directories.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let folder = match value.as_ref().and_then(|value: &Value| value.get("bin")?.as_str()) {
        Some(folder) if manifest.bin.is_none() => inside(folder),
        _ => return Vec::new(),
    };
    let mut bins: Vec<(String, String)> = Vec::new();
    let mut queue = vec![folder];
    while let Some(folder) = queue.pop() {
        let Ok(entries) = fs::read_dir(directory.join(&folder)) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || bins.len() == BINS_MAX {
                continue;
            }
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                queue.push(path.clone());
            }
            bins.retain(|(earlier, _)| *earlier != name);
            bins.push((name, path));
        }
    }
    bins
}

/// The path with `.` and `..` resolved as if the package were the root of everything; no leading
/// slash. A NUL, which no path can hold, makes it empty.
fn inside(path: &str) -> String {
    if path.contains('\0') {
        return String::new();
    }
    let mut components: Vec<&str> = Vec::new();
    let path = path.replace('\\', "/");
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    components.join("/")
}

fn basename(path: &str) -> String {
    path.rsplit('/').find(|component| !component.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bins(bin: &str) -> Vec<(String, String)> {
        let text = format!(r#"{{"bin": {bin}}}"#);
        normalized_bins(&Manifest::parse(&text, "").unwrap(), "@scope/tool")
    }

    fn pair(name: &str, target: &str) -> (String, String) {
        (name.to_owned(), target.to_owned())
    }

    #[test]
    fn a_string_is_a_command_of_the_packages_name() {
        assert_eq!(bins(r#""./cli.js""#), [pair("tool", "cli.js")]);
    }

    #[test]
    fn a_list_names_commands_by_their_files() {
        assert_eq!(bins(r#"["bin/a", "b.js"]"#), [pair("a", "bin/a"), pair("b.js", "b.js")]);
    }

    #[test]
    fn names_that_could_leave_the_folder_are_cut_or_dropped() {
        for (bin, expected) in [
            (r#"{"../../x": "a.js"}"#, vec![pair("x", "a.js")]),
            (r#"{"@s/../../x": "a.js"}"#, vec![pair("x", "a.js")]),
            (r#"{"a/b": "a.js"}"#, vec![pair("b", "a.js")]),
            (r#"{"a:b": "a.js"}"#, vec![pair("b", "a.js")]),
            (r#"{"": "a.js"}"#, vec![]),
            (r#"{".": "a.js"}"#, vec![]),
            (r#"{"..": "a.js"}"#, vec![]),
            (r#"{"x\u0000": "a.js"}"#, vec![]),
            (r#"{"x": 1}"#, vec![]),
        ] {
            assert_eq!(bins(bin), expected, "{bin}");
        }
    }

    #[test]
    fn targets_stay_inside_the_package() {
        assert_eq!(bins(r#"{"x": "../../../etc/passwd"}"#), [pair("x", "etc/passwd")]);
        assert_eq!(bins(r#"{"x": "/etc/passwd"}"#), [pair("x", "etc/passwd")]);
        assert_eq!(bins(r#"{"x": "..\\..\\a.js"}"#), [pair("x", "a.js")]);
        assert_eq!(bins(r#"{"x": ".."}"#), []);
    }
}
