//! Links to folders of the project: workspaces and `file:` dependencies.

use serde_json::json;

use crate::support::{Package, Project, Registry};

#[test]
fn a_workspace_is_linked_by_its_name() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("packages/plain", &Package::new("plain", "1.0.0"))
        .workspace("packages/scoped", &Package::new("@scope/name", "1.0.0"));
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&[
        ".package-lock.json [node_modules/@scope/name, node_modules/plain, packages/plain, \
         packages/scoped]",
        "@scope/",
        "@scope/name -> ../../packages/scoped",
        "plain -> ../packages/plain",
    ]);
}

#[test]
fn a_workspace_that_has_no_version_is_linked() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("w", &Package::new("w", "0.0.0"))
        .file("w/package.json", r#"{"name": "w"}"#)
        .entry("w", json!({"version": null}));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[".package-lock.json [node_modules/w, w]", "w -> ../w"]);
}

#[test]
fn packages_of_a_workspace_lie_in_its_own_node_modules() {
    let registry = Registry::start();
    let old = registry.serve(Package::new("a", "1.0.0"));
    let new = registry.serve(Package::new("a", "2.0.0"));
    let workspace = Package::new("w", "1.0.0").dependency("a", "^1.0.0");
    let project = Project::new(&registry)
        .with(&new)
        .workspace("packages/w", &workspace)
        .at("packages/w/node_modules/a", &old);
    project.assert_same_as_npm(&[]);
    project.whole_tree().below("project").without("package-lock.json").assert(&[
        "node_modules/",
        "node_modules/.package-lock.json [node_modules/a, node_modules/w, packages/w, \
         packages/w/node_modules/a]",
        "node_modules/a/",
        "node_modules/a/package.json {a@2.0.0}",
        "node_modules/w -> ../packages/w",
        "package.json {project@1.0.0}",
        "packages/",
        "packages/w/",
        "packages/w/node_modules/",
        "packages/w/node_modules/a/",
        "packages/w/node_modules/a/package.json {a@1.0.0}",
        "packages/w/package.json {w@1.0.0}",
    ]);
}

#[test]
fn a_workspace_can_use_another() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("packages/a", &Package::new("a", "1.0.0").dependency("b", "^1.0.0"))
        .workspace("packages/b", &Package::new("b", "1.2.0"));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a, node_modules/b, packages/a, packages/b]",
        "a -> ../packages/a",
        "b -> ../packages/b",
    ]);
}

#[test]
fn a_file_dependency_on_a_folder_is_linked() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .wants("dependencies", "local", "file:lib/local")
        .linked("lib/local", &Package::new("local", "1.0.0"));
    project.assert_same_as_npm(&[]);
    project
        .installed()
        .assert(&[".package-lock.json [lib/local, node_modules/local]", "local -> ../lib/local"]);
}

#[test]
fn a_file_dependency_on_a_folder_outside_of_the_project_is_linked() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .wants("dependencies", "local", "file:../beside")
        .linked("../beside", &Package::new("local", "1.0.0"));
    project.assert_same_as_npm(&[]);
    project
        .installed()
        .assert(&[".package-lock.json [../beside, node_modules/local]", "local -> ../../beside"]);
}

#[test]
fn packages_of_a_link_target_lie_in_its_own_node_modules() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let local = Package::new("local", "1.0.0").dependency("a", "1.0.0");
    let project = Project::new(&registry)
        .wants("dependencies", "local", "file:lib")
        .linked("lib", &local)
        .at("lib/node_modules/a", &a);
    project.assert_same_as_npm(&[]);
    project.whole_tree().below("project/lib").assert(&[
        "node_modules/",
        "node_modules/a/",
        "node_modules/a/package.json {a@1.0.0}",
        "package.json {local@1.0.0}",
    ]);
}

#[test]
fn commands_of_workspaces_are_linked_and_made_executable() {
    let registry = Registry::start();
    let workspace = Package::new("w", "1.0.0").field("bin", json!({"run": "./bin/run.js"}));
    let project = Project::new(&registry)
        .workspace("packages/w", &workspace)
        .file("packages/w/bin/run.js", "#!/usr/bin/env node\r\nrun()\r\n");
    project.assert_same_as_npm(&[]);
    project.installed().below(".bin").assert(&["run -> ../w/bin/run.js"]);
    project
        .whole_tree()
        .below("project/packages/w/bin")
        .assert(&["run.js 755 \"#!/usr/bin/env node\\nrun()\\r\\n\""]);
}

#[test]
fn commands_that_a_workspace_uses_are_linked_in_its_own_node_modules() {
    let registry = Registry::start();
    let tool = Package::new("tool", "1.0.0")
        .field("bin", json!("cli.js"))
        .file("cli.js", "#!/usr/bin/env node\n");
    let tool = registry.serve(tool);
    let workspace = Package::new("w", "1.0.0").dependency("tool", "1.0.0");
    let project =
        Project::new(&registry).workspace("w", &workspace).at("w/node_modules/tool", &tool);
    project.assert_same_as_npm(&[]);
    project.whole_tree().below("project/w/node_modules/.bin").assert(&["tool -> ../tool/cli.js"]);
}

#[test]
fn patterns_name_workspaces_and_can_take_some_away() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .field("workspaces", json!(["packages/*", "!packages/old"]))
        .linked("packages/a", &Package::new("a", "1.0.0"))
        .file("packages/old/package.json", r#"{"name": "old", "version": "1.0.0"}"#);
    project.assert_same_as_npm(&[]);
    project
        .installed()
        .assert(&[".package-lock.json [node_modules/a, packages/a]", "a -> ../packages/a"]);
}

#[test]
fn a_workspace_inside_of_another_is_linked() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("a", &Package::new("a", "1.0.0"))
        .workspace("a/inner", &Package::new("inner", "1.0.0"));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [a, a/inner, node_modules/a, node_modules/inner]",
        "a -> ../a",
        "inner -> ../a/inner",
    ]);
}

#[test]
fn two_workspaces_of_one_name_are_refused() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("a", &Package::new("same", "1.0.0"))
        .workspace("b", &Package::new("same", "1.0.0"));
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_failure(&[
        "error: EUSAGE: `a` and `b` are both workspaces named `same`",
        "hint: give one of the two another name in its package.json",
    ]);
}

#[test]
fn directories_bin_of_a_workspace_makes_no_commands_that_the_lockfile_does_not_have() {
    let registry = Registry::start();
    let workspace = Package::new("w", "1.0.0").field("directories", json!({"bin": "bin"}));
    let project =
        Project::new(&registry).workspace("w", &workspace).file("w/bin/run", "#!/bin/sh\n");
    project.assert_same_as_npm(&[]);
}

#[test]
fn a_link_whose_folder_has_gone_is_treated_as_npm_treats_it() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .wants("dependencies", "local", "file:lib")
        .linked("lib", &Package::new("local", "1.0.0"));
    std::fs::remove_dir_all(project.path().join("lib")).unwrap();
    let Some((theirs, _)) = project.npm_ci(&[]) else { return };
    assert_eq!(project.ci(&[]).code, theirs.code, "{}", theirs.stderr);
}
