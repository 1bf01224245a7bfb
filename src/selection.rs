//! Which part of a project is installed: all of it, or what some of its workspaces need.
//!
//! Sources: npm 11.19 lib/commands/ci.js, lib/base-cmd.js and lib/utils/get-workspaces.js;
//! @npmcli/arborist 9 lib/arborist/reify.js (`_diffTrees`) and lib/diff.js.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::config::Members;
use crate::error::{Code, Error, Result};
use crate::glob;
use crate::graph::{EdgeKind, Graph, NodeId};
use crate::workspaces::Workspace;

/// The part that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    Everything,
    /// These workspaces with all that they lead to; the root's own dependencies only if asked for.
    Members {
        names: Vec<String>,
        with_root: bool,
    },
    /// The root's dependencies, and no workspace that none of them leads to.
    Root,
}

/// From where the words of `--workspace` are seen, both without `.` and `..`.
#[derive(Clone, Debug)]
pub struct Viewpoint {
    pub current_directory: PathBuf,
    /// As it was given or found, so perhaps through symbolic links.
    pub root: PathBuf,
}

impl Selection {
    /// What the settings select among the workspaces of a project.
    pub fn new(members: &Members, workspaces: &[Workspace], seen: &Viewpoint) -> Result<Self> {
        let filters = &members.filters;
        match members.all {
            Some(false) if filters.is_empty() => return Ok(Self::Root),
            Some(false) => {
                let message = "cannot use --no-workspaces and --workspace at the same time";
                return Err(Error::new(Code::Usage, message)
                    .with_hint("one of the two may come from .npmrc or the environment"));
            }
            None if filters.is_empty() => return Ok(Self::Everything),
            None | Some(true) => {}
        }
        let is_selected = |workspace: &&Workspace| {
            filters.is_empty() || filters.iter().any(|filter| seen.matches(filter, workspace))
        };
        let names: Vec<_> =
            workspaces.iter().filter(is_selected).map(|one| one.name.clone()).collect();
        if names.is_empty() {
            return Err(no_workspaces(filters, workspaces));
        }
        Ok(Self::Members { names, with_root: members.with_root })
    }

    /// The selected nodes; `None` where nothing narrows them down, which includes the cases in
    /// which npm finds no place to start from (`--no-workspaces` where the root has no
    /// dependencies) and installs everything.
    pub fn nodes(&self, graph: &Graph<'_>) -> Option<HashSet<NodeId>> {
        let mut queue = Vec::new();
        let add_root = |queue: &mut Vec<NodeId>| {
            let edges = graph.node(Graph::ROOT).edges.iter();
            let own = edges.filter(|edge| edge.kind != EdgeKind::Workspace);
            queue.extend(own.filter_map(|edge| edge.to));
        };
        match self {
            Self::Everything => return None,
            Self::Members { names, with_root } => {
                queue.extend(names.iter().filter_map(|name| graph.child(Graph::ROOT, name)));
                if *with_root {
                    add_root(&mut queue);
                }
            }
            Self::Root => add_root(&mut queue),
        }
        if queue.is_empty() {
            return None;
        }
        let mut selected: HashSet<NodeId> = queue.iter().copied().collect();
        while let Some(id) = queue.pop() {
            let target = graph.target(id);
            let reached = graph.node(target).edges.iter().filter_map(|edge| edge.to);
            queue.extend(reached.chain([target]).filter(|id| selected.insert(*id)));
        }
        Some(selected)
    }
}

impl Viewpoint {
    /// A filter is a name, the path of a workspace, or that of a folder that workspaces are in.
    fn matches(&self, filter: &str, workspace: &Workspace) -> bool {
        let path = self.root.join(&workspace.path);
        if filter == workspace.name || lexical(&self.base().join(filter)) == path {
            return true;
        }
        let mut seen = relative(self.base(), &path);
        if filter.starts_with("./") {
            seen.insert_str(0, "./");
        }
        let from_root = relative(&self.root, &lexical(&self.current_directory.join(filter)));
        is_in_folder(&seen, &from_root) || is_in_folder(&seen, filter)
    }

    /// The current directory where it is in the project, else the project.
    fn base(&self) -> &Path {
        let is_inside = self.current_directory.starts_with(&self.root);
        if is_inside { &self.current_directory } else { &self.root }
    }
}

/// npm's words, but for the names that follow.
fn no_workspaces(filters: &[String], workspaces: &[Workspace]) -> Error {
    let message = if filters.is_empty() {
        "No workspaces found!".to_owned()
    } else {
        format!("No workspaces found:\n  --workspace={}", filters.join(" --workspace="))
    };
    let names: Vec<_> =
        workspaces.iter().take(NAMES_SHOWN_MAX).map(|one| one.name.as_str()).collect();
    let more = if workspaces.len() > NAMES_SHOWN_MAX { ", ..." } else { "" };
    let hint = if names.is_empty() {
        "package.json has no `workspaces` that match a folder with a package.json".to_owned()
    } else {
        format!("the workspaces are {}{more}", names.join(", "))
    };
    Error::new(Code::Usage, message).with_hint(hint)
}

/// A large project has hundreds of workspaces, and a hint is for reading.
const NAMES_SHOWN_MAX: usize = 20;

/// Whether the path lies in the folder itself.
fn is_in_folder(path: &str, folder: &str) -> bool {
    glob::matches(path, &format!("{}/*", folder.replace('\\', "/")))
}

/// The path without `.` and `..`, as text alone: nothing is looked up.
pub fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            component => plain.push(component),
        }
    }
    plain
}

/// The way from one absolute path to another; empty where they are the same.
fn relative(from: &Path, to: &Path) -> String {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to.components().skip(common);
    let down = down.map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspaces() -> Vec<Workspace> {
        [("a", "packages/a"), ("@s/b", "packages/b"), ("inner", "packages/a/inner"), ("h", ".h/h")]
            .map(|(name, path)| Workspace { name: name.to_owned(), path: path.to_owned() })
            .to_vec()
    }

    fn select(current_directory: &str, filters: &[&str]) -> Vec<String> {
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let members = Members { filters, all: None, with_root: false };
        let seen =
            Viewpoint { current_directory: current_directory.into(), root: PathBuf::from("/p") };
        match Selection::new(&members, &workspaces(), &seen) {
            Ok(Selection::Members { names, .. }) => names,
            Ok(other) => panic!("{other:?}"),
            Err(_) => Vec::new(),
        }
    }

    /// What npm's get-workspaces.js gives for the same.
    #[test]
    fn a_filter_is_a_name_a_path_or_a_folder_above() {
        for (current_directory, filter, expected) in [
            ("/p", "a", &["a"][..]),
            ("/p", "@s/b", &["@s/b"]),
            ("/p", "b", &[]),
            ("/p", "packages/b", &["@s/b"]),
            ("/p", "./packages/b", &["@s/b"]),
            ("/p", "/p/packages/b", &["@s/b"]),
            ("/p", "packages/a/", &["a", "inner"]),
            ("/p", "packages", &["a", "@s/b"]),
            ("/p", "./packages", &["a", "@s/b"]),
            ("/p", "packages/a", &["a", "inner"]),
            ("/p", "{packages,.h}", &["a", "@s/b", "h"]),
            ("/p", ".h", &["h"]),
            ("/p", "*", &["a", "@s/b"]),
            ("/p/packages", "a", &["a", "inner"]),
            ("/p/packages", "b", &["@s/b"]),
            ("/p/packages", "../packages/b", &["@s/b"]),
            ("/p/packages", "./", &["a", "@s/b"]),
            ("/p/packages/a", "/p/packages/a", &["a"]),
            ("/p/packages/a", "..", &["@s/b"]),
            ("/elsewhere", "packages/b", &["@s/b"]),
            ("/elsewhere", "packages", &["a", "@s/b"]),
        ] {
            assert_eq!(
                select(current_directory, &[filter]),
                expected,
                "{current_directory} {filter}"
            );
        }
    }

    #[test]
    fn one_filter_that_matches_is_enough() {
        assert_eq!(select("/p", &["nope", "a"]), ["a"]);
    }

    #[test]
    fn filters_that_match_nothing_are_an_error_in_npms_words() {
        let filters = vec!["x".to_owned(), "y".to_owned()];
        let members = Members { filters, all: None, with_root: false };
        let seen = Viewpoint { current_directory: "/p".into(), root: "/p".into() };
        let error = Selection::new(&members, &workspaces(), &seen).unwrap_err();
        let expected = "EUSAGE: No workspaces found:\n  --workspace=x --workspace=y";
        assert_eq!(format!("{error:?}"), expected);
        assert_eq!(error.hint(), Some("the workspaces are a, @s/b, inner, h"));
        let all = Members { filters: Vec::new(), all: Some(true), with_root: false };
        let error = Selection::new(&all, &[], &seen).unwrap_err();
        assert_eq!(format!("{error:?}"), "EUSAGE: No workspaces found!");
    }
}
