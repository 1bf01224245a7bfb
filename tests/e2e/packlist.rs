//! Which files of a repository belong to its package: `npm pack --dry-run` is the judge.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use ringstall::sources::manifest::PackManifest;
use ringstall::sources::packlist::list_files;
use serde_json::{Value, json};

use crate::support::{Project, Registry};

/// A package of its own in a folder of the project: npm lists many in one run.
struct Folder<'p> {
    project: &'p Project,
    name: String,
}

impl Folder<'_> {
    fn file(self, path: &str, content: &str) -> Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn link(self, path: &str, target: &str) -> Self {
        std::os::unix::fs::symlink(target, self.path().join(path)).unwrap();
        self
    }

    fn path(&self) -> PathBuf {
        self.project.path().join(&self.name)
    }
}

struct Folders {
    project: Project,
    count: Cell<usize>,
}

impl Folders {
    fn new() -> Self {
        let registry = Registry::start();
        Self { project: Project::new(&registry).keeping(registry), count: Cell::new(0) }
    }

    /// A package with these fields in its package.json, and these files.
    fn add(&self, fields: &[(&str, Value)], files: &[&str]) -> Folder<'_> {
        let name = self.count.get().to_string();
        self.count.set(self.count.get() + 1);
        let mut manifest = json!({"name": format!("p{name}"), "version": "1.0.0"});
        for (key, value) in fields {
            manifest[key] = value.clone();
        }
        let folder = Folder { project: &self.project, name };
        let folder = folder.file("package.json", &manifest.to_string());
        files.iter().fold(folder, |folder, file| folder.file(file, file))
    }

    /// Both list the same files of every package. Gives those of the last one.
    #[track_caller]
    fn assert_listed_as_npm(&self) -> Vec<String> {
        let names: Vec<String> = (0..self.count.get()).map(|name| format!("./{name}")).collect();
        let arguments = ["pack", "--dry-run", "--json", "--ignore-scripts"];
        let arguments: Vec<&str> =
            arguments.into_iter().chain(names.iter().map(String::as_str)).collect();
        let outcome = self.project.npm(&arguments);
        let theirs: Option<Vec<Value>> =
            outcome.map(|outcome| serde_json::from_str(&outcome.stdout).unwrap());
        let mut last = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let folder = self.project.path().join(name);
            let manifest = PackManifest::read(&folder).unwrap();
            let files = list_files(&folder, &manifest).unwrap();
            last = files.iter().map(|file| file.display().to_string()).collect();
            let Some(theirs) = &theirs else { continue };
            let paths = theirs[number]["files"].as_array().unwrap().iter();
            let mut paths: Vec<_> =
                paths.map(|file| file["path"].as_str().unwrap().to_owned()).collect();
            paths.sort();
            last.sort();
            assert_eq!(last, paths, "package {number}");
        }
        last
    }
}

const ORDINARY: [&str; 24] = [
    "README.md",
    "Readme.txt~",
    "LICENSE",
    "licence.md",
    "COPYING",
    "CHANGELOG.md",
    "index.js",
    "lib/a.js",
    "lib/b.test.js",
    "lib/deep/c.js",
    "lib/README.md",
    "test/x.js",
    ".eslintrc",
    ".npmrc",
    "lib/.npmrc",
    ".DS_Store",
    "lib/._x",
    "a.orig",
    ".x.swp",
    "npm-debug.log",
    "node_modules/x/index.js",
    "build/config.gypi",
    "yarn.lock",
    "archived-packages/x",
];

#[test]
fn without_rules_everything_is_packed_but_what_never_is() {
    let folders = Folders::new();
    folders.add(&[], &ORDINARY);
    let files = folders.assert_listed_as_npm();
    assert!(files.contains(&"lib/deep/c.js".to_owned()), "{files:?}");
    assert!(!files.contains(&"node_modules/x/index.js".to_owned()), "{files:?}");
}

#[test]
fn files_names_what_is_packed() {
    let folders = Folders::new();
    for list in [
        json!(["lib"]),
        json!(["lib/"]),
        json!(["./lib"]),
        json!(["/lib"]),
        json!(["lib/*"]),
        json!(["lib/**"]),
        json!(["lib/*.js"]),
        json!(["lib", "!lib/deep"]),
        json!(["lib", "!**/*.test.js"]),
        json!(["*.md", "test"]),
        json!(["lib/a.js", "test/missing"]),
        json!(["**/*.js"]),
        json!([".npmrc", ".eslintrc", "yarn.lock", "node_modules"]),
        json!(["lib/{a,deep/c}.js"]),
        json!([]),
        json!(["../..", "/", "."]),
    ] {
        folders.add(&[("files", list)], &ORDINARY);
    }
    folders.assert_listed_as_npm();
}

#[test]
fn files_wins_over_an_ignore_file_beside_it_but_not_over_one_below() {
    let folders = Folders::new();
    folders
        .add(&[("files", json!(["lib"]))], &ORDINARY)
        .file(".npmignore", "lib\n")
        .file("lib/.npmignore", "*.test.js\n")
        .file("lib/deep/.gitignore", "c.js\n");
    let files = folders.assert_listed_as_npm();
    assert!(files.contains(&"lib/a.js".to_owned()) && !files.contains(&"lib/deep/c.js".to_owned()));
}

#[test]
fn a_file_that_is_named_is_packed_though_it_is_ignored() {
    let folders = Folders::new();
    folders
        .add(&[("files", json!(["lib/b.test.js", "lib/deep/c.js"]))], &ORDINARY)
        .file("lib/.npmignore", "*.test.js\n")
        .file("lib/deep/.npmignore", "c.js\n");
    folders.assert_listed_as_npm();
}

#[test]
fn ignore_files_are_read_as_npm_reads_them() {
    let folders = Folders::new();
    for text in [
        "lib\n",
        "lib/\n",
        "/lib/*\n!/lib/deep\n",
        "*.js\n!index.js\n",
        "# comment\n\n  test  \r\n",
        "*\n!lib/**\n",
        "**/deep\n",
        "README.md\npackage.json\nLICENSE\n",
        "LIB\n",
        "lib/!(a).js\n",
        "\u{feff}test\n",
        "lib/[ab].*\n",
        "\\!x\n",
    ] {
        for name in [".npmignore", ".gitignore"] {
            folders.add(&[], &ORDINARY).file(name, text);
        }
    }
    folders.assert_listed_as_npm();
}

#[test]
fn an_npmignore_takes_the_place_of_the_gitignore_beside_it() {
    let folders = Folders::new();
    folders
        .add(&[], &ORDINARY)
        .file(".gitignore", "lib\n")
        .file(".npmignore", "test\n")
        .file("lib/.gitignore", "deep\n");
    folders.assert_listed_as_npm();
}

#[test]
fn main_browser_and_bin_are_always_packed() {
    let folders = Folders::new();
    for (key, value) in [
        ("main", json!("lib/a.js")),
        ("main", json!("./lib/a.js")),
        ("browser", json!("lib/a.js")),
        ("browser", json!({"a": "b"})),
        ("bin", json!("lib/a.js")),
        ("bin", json!({"x": "./lib/deep/c.js"})),
        ("directories", json!({"bin": "lib/deep"})),
    ] {
        folders.add(&[("files", json!(["test"])), (key, value)], &ORDINARY).file("b", "b");
    }
    folders.assert_listed_as_npm();
}

#[test]
fn links_are_not_packed_nor_followed() {
    let folders = Folders::new();
    folders
        .add(&[("files", json!(["linked", "away", "lib"]))], &ORDINARY)
        .link("linked", "lib/a.js")
        .link("away", "/etc")
        .link("lib/passwd", "/etc/passwd");
    let files = folders.assert_listed_as_npm();
    assert!(!files.iter().any(|file| file.contains("passwd")), "{files:?}");
}

#[test]
fn bundled_dependencies_are_packed_with_what_they_need() {
    let manifest = [
        ("bundleDependencies", json!(["a", "dev", "missing"])),
        ("dependencies", json!({"a": "1", "@s/other": "1"})),
        ("devDependencies", json!({"dev": "1"})),
    ];
    let package = |name: &str, needs: &str| {
        json!({"name": name, "version": "1.0.0", "dependencies": {needs: "1"}}).to_string()
    };
    let folders = Folders::new();
    folders
        .add(&manifest, &ORDINARY)
        .file("node_modules/a/package.json", &package("a", "b"))
        .file("node_modules/a/.npmignore", "x\n")
        .file("node_modules/a/x", "x")
        .file("node_modules/a/test/.npmignore", "y\n")
        .file("node_modules/a/test/y", "y")
        .file("node_modules/a/node_modules/b/package.json", &package("b", "c"))
        .file("node_modules/b/package.json", &package("b", "c"))
        .file("node_modules/c/package.json", &package("c", "a"))
        .file("node_modules/c/lib/x.js", "x")
        .file("node_modules/dev/package.json", &package("dev", "a"))
        .file("node_modules/@s/other/package.json", &package("@s/other", "a"));
    let files = folders.assert_listed_as_npm();
    assert!(files.contains(&"node_modules/c/lib/x.js".to_owned()), "{files:?}");
}

#[test]
fn in_a_package_with_workspaces_other_rules_hold_below() {
    let folders = Folders::new();
    folders
        .add(&[("workspaces", json!(["packages/*"]))], &ORDINARY)
        .file("packages/a/package.json", r#"{"name": "a", "version": "1.0.0", "files": ["x"]}"#)
        .file("packages/a/x", "x")
        .file("packages/a/y", "y")
        .file("packages/a/.npmignore", "x\n")
        .file("other/package.json", "{\n\"name\": \"other\"\n}")
        .file("other/.npmignore", "x\n")
        .file("other/x", "x")
        .file("plain/.npmignore", "x\n")
        .file("plain/x", "x");
    folders.assert_listed_as_npm();
}
