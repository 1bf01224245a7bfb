//! What lies in a folder, as a value: every path with its type, mode, link target and content.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Node>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory { mode: u32 },
    File { mode: u32, content: Content },
    Link { target: String },
    Other { mode: u32 },
}

/// The hidden lockfile is compared as JSON, everything else byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    HiddenLock(Value),
}

impl Tree {
    /// Reads everything below the folder; an absent one is empty.
    pub fn read(directory: &Path) -> Self {
        let mut tree = Self::default();
        if directory.exists() {
            tree.add(directory, "");
        }
        tree
    }

    fn add(&mut self, directory: &Path, prefix: &str) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let metadata = entry.metadata().unwrap();
            let mode = metadata.mode() & 0o7777;
            let kind = metadata.file_type();
            let node = if kind.is_dir() {
                self.add(&entry.path(), &format!("{path}/"));
                Node::Directory { mode }
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                Node::Link { target: target.to_string_lossy().into_owned() }
            } else if kind.is_fifo() || kind.is_socket() || !kind.is_file() {
                Node::Other { mode }
            } else {
                Node::File { mode, content: content(&entry.path(), &path) }
            };
            self.0.insert(path, node);
        }
    }

    /// One line a path, parents first. Of files and folders only an unusual mode is shown, and a
    /// package.json is shown as `{name@version}`.
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(|(path, node)| format!("{path}{node}")).collect()
    }

    /// Fails with both sides where the lines differ.
    #[track_caller]
    pub fn assert(&self, expected: &[&str]) {
        let found = self.lines().join("\n");
        let expected = expected.join("\n");
        assert!(found == expected, "the tree is\n{found}\n\nbut should be\n{expected}\n");
    }

    /// Only what lies below `folder`, with paths relative to it.
    pub fn below(&self, folder: &str) -> Self {
        let prefix = format!("{folder}/");
        let nodes = self.0.iter().filter_map(|(path, node)| {
            Some((path.strip_prefix(&prefix)?.to_owned(), node.clone()))
        });
        Self(nodes.collect())
    }

    /// Everything but the given path and what lies below it.
    pub fn without(&self, folder: &str) -> Self {
        let prefix = format!("{folder}/");
        let is_outside = |path: &str| path != folder && !path.starts_with(&prefix);
        let nodes = self.0.iter().filter(|(path, _)| is_outside(path));
        Self(nodes.map(|(path, node)| (path.clone(), node.clone())).collect())
    }

    /// One line for each path that differs; empty where the trees are equal.
    pub fn differences(&self, other: &Self, names: [&str; 2]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut paths: Vec<_> = self.0.keys().chain(other.0.keys()).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let (ours, theirs) = (self.0.get(path), other.0.get(path));
            if ours != theirs {
                for (name, node) in names.iter().zip([ours, theirs]) {
                    let shown = node.map_or(" is missing".to_owned(), Node::in_full);
                    lines.push(format!("{name}: {path}{shown}"));
                }
            }
        }
        lines
    }
}

fn content(file: &Path, path: &str) -> Content {
    let bytes = fs::read(file).unwrap();
    if path.ends_with("node_modules/.package-lock.json") || path == ".package-lock.json" {
        return Content::HiddenLock(serde_json::from_slice(&bytes).unwrap());
    }
    Content::Bytes(bytes)
}

impl Node {
    /// As [`fmt::Display`], with the hidden lockfile's text.
    fn in_full(&self) -> String {
        match self {
            Node::File { mode, content: Content::HiddenLock(value) } => {
                format!(" {mode:o} {value:#}")
            }
            Node::File { mode, content: Content::Bytes(bytes) } => {
                format!(" {mode:o} {:?}", String::from_utf8_lossy(bytes))
            }
            node => node.to_string(),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Directory { mode: 0o755 } => write!(formatter, "/"),
            Node::Directory { mode } => write!(formatter, "/ {mode:o}"),
            Node::Link { target } => write!(formatter, " -> {target}"),
            Node::Other { mode } => write!(formatter, " other {mode:o}"),
            Node::File { mode, content } => {
                if *mode != 0o644 {
                    write!(formatter, " {mode:o}")?;
                }
                write!(formatter, " {content}")
            }
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Content::Bytes(bytes) => bytes,
            Content::HiddenLock(value) => {
                let packages = value["packages"].as_object().unwrap();
                let paths: Vec<_> = packages.keys().map(String::as_str).collect();
                return write!(formatter, "[{}]", paths.join(", "));
            }
        };
        match serde_json::from_slice::<Value>(bytes) {
            Ok(Value::Object(manifest)) if manifest.contains_key("name") => {
                let text = |key| manifest.get(key).and_then(Value::as_str).unwrap_or_default();
                write!(formatter, "{{{}@{}}}", text("name"), text("version"))
            }
            _ => write!(formatter, "{:?}", String::from_utf8_lossy(bytes)),
        }
    }
}
