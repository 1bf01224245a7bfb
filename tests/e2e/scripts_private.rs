//! Scripts that change their own package's files: the cache keeps what the registry gave.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::json;

use crate::support::{Package, Project, Registry};

/// Everything in the cache with its mode and bytes.
fn contents(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else {
                let name = path.to_string_lossy().into_owned();
                found.insert(name, (metadata.mode(), fs::read(&path).unwrap()));
            }
        }
    }
    found
}

const CHANGES: &str = "echo edited > edited && : > truncated && chmod 600 moded && \
                       echo more >> appended && printf X | dd of=patched conv=notrunc 2>/dev/null";

fn with_files(package: Package, folder: &str) -> Package {
    ["edited", "truncated", "moded", "appended", "patched"]
        .iter()
        .fold(package, |package, name| package.file(&format!("{folder}{name}"), "original\n"))
}

fn assert_changed(folder: &Path) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("edited"), "edited\n");
    assert_eq!(read("truncated"), "");
    assert_eq!(read("appended"), "original\nmore\n");
    assert_eq!(read("patched"), "Xriginal\n");
    assert_eq!(fs::metadata(folder.join("moded")).unwrap().mode() & 0o777, 0o600);
}

/// Installs twice, cold and warm, and proves the cache and a second project unharmed.
fn assert_cache_unharmed(project: &Project, other: &Project, package: &str) {
    for mode in ["auto", "hardlink", "clone", "copy"] {
        let arguments = ["--link-mode", mode];
        let unharmed = other.ci(&["--ignore-scripts", "--link-mode", mode]);
        if mode == "clone" && unharmed.code != Some(0) {
            // Not every filesystem can.
            unharmed.assert_error("EIO");
            continue;
        }
        project.ci(&arguments).assert_success();
        assert_changed(&project.path().join(package));
        let before = contents(&project.cache());
        project.ci(&arguments).assert_success();
        assert_changed(&project.path().join(package));
        assert!(contents(&project.cache()) == before, "{mode}: the cache has changed");
        other.ci(&["--ignore-scripts", "--link-mode", mode]).assert_success();
        let folder = other.path().join(package);
        for name in ["edited", "truncated", "moded", "appended", "patched"] {
            assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), "original\n", "{mode}");
        }
        assert_eq!(fs::metadata(folder.join("moded")).unwrap().mode() & 0o777, 0o644, "{mode}");
    }
}

#[test]
fn a_script_that_changes_its_own_files_leaves_the_cache_as_it_is() {
    for event in ["preinstall", "install", "postinstall"] {
        let registry = Registry::start();
        let package = Package::new("a", "1.0.0").field("scripts", json!({event: CHANGES}));
        let package = registry.serve(with_files(package, ""));
        let project = Project::new(&registry).with(&package);
        let other = Project::new(&registry).with(&package).with_cache(project.cache());
        assert_cache_unharmed(&project, &other, "node_modules/a");
    }
}

#[test]
fn a_bundled_package_that_changes_its_files_leaves_the_cache_as_it_is() {
    let registry = Registry::start();
    let inner = json!({"name": "inner", "version": "1.0.0", "scripts": {"install": CHANGES}});
    let outer = Package::new("outer", "1.0.0")
        .dependency("inner", "1.0.0")
        .field("bundleDependencies", json!(["inner"]))
        .file("node_modules/inner/package.json", &inner.to_string());
    let outer = registry.serve(with_files(outer, "node_modules/inner/"));
    let path = "node_modules/outer/node_modules/inner";
    let in_bundle = json!({"inBundle": true, "resolved": null, "integrity": null});
    let project = || {
        Project::new(&registry)
            .with(&outer)
            .at(path, &Package::new("inner", "1.0.0"))
            .entry(path, in_bundle.clone())
    };
    let (project, other) = (project(), project());
    let other = other.with_cache(project.cache());
    assert_cache_unharmed(&project, &other, path);
}

#[test]
fn a_native_build_that_only_the_tarball_tells_of_is_private() {
    let registry = Registry::start();
    let package = Package::new("a", "1.0.0").file("binding.gyp", "{}");
    let package = registry.serve(with_files(package, ""));
    let fake = format!(
        "require('child_process').execSync({}, {{shell: 'sh'}})",
        serde_json::to_string(CHANGES).unwrap()
    );
    let project = Project::new(&registry).with(&package).file("fake.js", &fake);
    let program = project.path().join("fake.js").display().to_string();
    let project = project.env("npm_config_node_gyp", &program);
    let other = Project::new(&registry).with(&package).with_cache(project.cache());
    assert_cache_unharmed(&project, &other, "node_modules/a");
}

#[test]
fn a_package_that_the_project_patches_is_private() {
    let registry = Registry::start();
    let package = registry.serve(with_files(Package::new("a", "1.0.0"), ""));
    let project = Project::new(&registry)
        .with(&package)
        .field("scripts", json!({"postinstall": format!("cd node_modules/a && {CHANGES}")}))
        .file("patches/a+1.0.0.patch", "");
    let other = Project::new(&registry).with(&package).with_cache(project.cache());
    assert_cache_unharmed(&project, &other, "node_modules/a");
}

#[test]
fn where_no_script_runs_files_are_shared() {
    let registry = Registry::start();
    let with_script = Package::new("a", "1.0.0").field("scripts", json!({"install": "true"}));
    let package = registry.serve(with_script.file("file", ""));
    let project = Project::new(&registry).with(&package);
    let links = |project: &Project| {
        fs::metadata(project.path().join("node_modules/a/file")).unwrap().nlink()
    };
    project.ci(&["--link-mode", "hardlink"]).assert_success();
    assert_eq!(links(&project), 1);
    project.ci(&["--link-mode", "hardlink", "--ignore-scripts"]).assert_success();
    assert_eq!(links(&project), 2);
    let denied = project.field("allowScripts", json!({"a": false}));
    denied.ci(&["--link-mode", "hardlink"]).assert_success();
    assert_eq!(links(&denied), 2);
}
