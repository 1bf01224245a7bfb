//! Making room: what an earlier install left goes, folders stay; and what happens where nothing is
//! to be installed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::json;

use crate::support::{Package, Project, Registry};

#[test]
fn everything_in_node_modules_goes_and_the_folder_stays() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .file("node_modules/old/index.js", "o")
        .file("node_modules/a/stray", "s")
        .file("node_modules/.cache/x", "x")
        .file("node_modules/.bin/old", "o")
        .file("node_modules/@scope/old/x", "x");
    std::os::unix::fs::symlink("/", project.path().join("node_modules/root")).unwrap();
    let inode = || fs::metadata(project.path().join("node_modules")).unwrap().ino();
    let before = inode();
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
    assert_eq!(inode(), before);
}

#[test]
fn the_node_modules_of_workspaces_are_emptied_and_stay() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("w", &Package::new("w", "1.0.0"))
        .file("w/node_modules/old/index.js", "o")
        .file("w/node_modules/.cache/x", "x");
    project.assert_same_as_npm(&[]);
    project.whole_tree().below("project/w").assert(&["node_modules/", "package.json {w@1.0.0}"]);
}

#[test]
fn the_node_modules_of_a_link_target_that_is_no_workspace_is_not_emptied() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .wants("dependencies", "local", "file:lib")
        .linked("lib", &Package::new("local", "1.0.0").dependency("a", "1.0.0"))
        .at("lib/node_modules/a", &a)
        .file("lib/node_modules/kept/index.js", "k")
        .file("lib/node_modules/a/stray", "s");
    project.assert_same_as_npm(&[]);
    project.whole_tree().below("project/lib/node_modules").assert(&[
        "a/",
        "a/package.json {a@1.0.0}",
        "kept/",
        "kept/index.js \"k\"",
    ]);
}

#[test]
fn where_nothing_is_to_be_installed_no_node_modules_is_made() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    project.assert_same_as_npm(&[]).assert_quiet_success();
    assert!(!project.path().join("node_modules").exists());
}

#[test]
fn where_everything_is_omitted_no_node_modules_is_made() {
    let registry = Registry::start();
    let dev = registry.serve(Package::new("dev", "1.0.0"));
    let project = Project::new(&registry).with_dev(&dev);
    project.assert_same_as_npm(&["--omit", "dev"]).assert_quiet_success();
    assert!(!project.path().join("node_modules").exists());
}

#[test]
fn where_all_is_for_another_platform_no_node_modules_is_made() {
    let registry = Registry::start();
    let native = registry.serve(Package::new("native", "1.0.0").field("os", json!(["plan9"])));
    let project = Project::new(&registry).with_optional(&native);
    project.assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn a_node_modules_that_is_there_stays_and_gets_an_empty_hidden_lockfile() {
    let registry = Registry::start();
    let project = Project::new(&registry).file("node_modules/old/index.js", "o");
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[".package-lock.json []"]);
}

#[test]
fn installing_twice_gives_the_same_tree() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("bin", json!("cli.js")).file("cli.js", "#!/bin/sh\n");
    let a = registry.serve(a);
    let project = Project::new(&registry).with(&a).workspace("w", &Package::new("w", "1.0.0"));
    project.assert_same_as_npm(&[]);
    let once = project.whole_tree();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(project.whole_tree(), once);
}
