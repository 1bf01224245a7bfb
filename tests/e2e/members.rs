//! A part of a project: which workspaces are chosen, from where, and what is installed for them.

use serde_json::json;

use crate::support::{Package, Project, Registry};

/// Two workspaces that share a package, and have one of their own each; the root has one, too.
fn project() -> Project {
    let registry = Registry::start();
    let shared = registry.serve(Package::new("shared", "1.0.0"));
    let old = registry.serve(Package::new("shared", "0.1.0"));
    let tool = Package::new("tool", "1.0.0").field("bin", json!("cli.js"));
    let tool = registry.serve(tool.file("cli.js", "#!/usr/bin/env node\n"));
    let own = registry.serve(Package::new("own", "1.0.0"));
    let a = Package::new("a", "1.0.0").dependency("shared", "1.0.0").dependency("tool", "1.0.0");
    let b = Package::new("@s/b", "1.0.0").dependency("shared", "0.1.0");
    Project::new(&registry)
        .with(&own)
        .at("node_modules/shared", &shared)
        .at("node_modules/tool", &tool)
        .workspace("packages/a", &a)
        .workspace("packages/b", &b)
        .at("packages/b/node_modules/shared", &old)
        .file("packages/a/src/index.js", "")
        .keeping(registry)
}

/// The names in the root's `node_modules`, and whether the second workspace has its package.
#[track_caller]
fn assert_installed(project: &Project, expected: &str) {
    let lock = project.hidden_lock();
    let names: Vec<_> = lock["packages"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names.join(" "), expected);
}

const ONLY_A: &str = "node_modules/a node_modules/shared node_modules/tool packages/a";
const ONLY_B: &str = "node_modules/@s/b packages/b packages/b/node_modules/shared";

#[test]
fn a_workspace_is_chosen_by_name_path_and_folder() {
    let project = project();
    for (words, expected) in [
        (&["-w", "a"][..], ONLY_A),
        (&["--workspace", "packages/a"], ONLY_A),
        (&["-w", "./packages/b"], ONLY_B),
        (&["--workspace=@s/b"], ONLY_B),
    ] {
        project.assert_same_as_npm(words);
        assert_installed(&project, expected);
    }
    for words in [&["-w", "packages"][..], &["-w", "a", "-w", "@s/b"], &["--workspaces"], &["-ws"]]
    {
        project.assert_same_as_npm(words);
        let all = "node_modules/@s/b node_modules/a node_modules/shared node_modules/tool \
                   packages/a packages/b packages/b/node_modules/shared";
        assert_installed(&project, all);
    }
}

#[test]
fn the_root_s_own_dependencies_come_along_where_they_are_asked_for() {
    let project = project();
    project.assert_same_as_npm(&["-w", "a", "--include-workspace-root"]);
    let expected =
        "node_modules/a node_modules/own node_modules/shared node_modules/tool packages/a";
    assert_installed(&project, expected);
    // Without a workspace there is nothing to add it to.
    project.assert_same_as_npm(&["--include-workspace-root"]);
    project.assert_same_as_npm(&["--workspaces", "-iwr"]);
}

#[test]
fn without_workspaces_the_root_alone_is_installed() {
    let project = project();
    for words in ["--no-workspaces", "--workspaces=false"] {
        project.assert_same_as_npm(&[words]);
        assert_installed(&project, "node_modules/own");
    }
}

#[test]
fn without_workspaces_a_root_that_depends_on_nothing_has_all_installed() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .workspace("w", &Package::new("w", "1.0.0").dependency("a", "1.0.0"))
        .at("node_modules/a", &a);
    project.assert_same_as_npm(&["--no-workspaces"]);
    assert_installed(&project, "node_modules/a node_modules/w w");
}

#[test]
fn every_workspace_is_emptied_whichever_is_chosen() {
    let project = project()
        .file("packages/a/node_modules/old/x", "x")
        .file("packages/b/node_modules/old/x", "x")
        .file("node_modules/old/x", "x");
    project.assert_same_as_npm(&["-w", "a"]);
    project
        .whole_tree()
        .below("project/packages/b")
        .assert(&["node_modules/", "package.json {@s/b@1.0.0}"]);
}

#[test]
fn workspaces_are_chosen_by_npmrc_and_environment_too() {
    let by_file = project().npmrc("workspace=a\n");
    by_file.assert_same_as_npm(&[]);
    assert_installed(&by_file, ONLY_A);
    by_file.assert_same_as_npm(&["-w", "packages/b"]);
    assert_installed(&by_file, ONLY_B);

    let by_variable = project().npmrc("workspace=@s/b\n").env("npm_config_workspace", "a");
    by_variable.assert_same_as_npm(&[]);
    assert_installed(&by_variable, ONLY_A);

    let all = project().npmrc("workspaces=true\ninclude-workspace-root=true\n");
    all.assert_same_as_npm(&[]);
    let none = project().env("npm_config_workspaces", "false");
    none.assert_same_as_npm(&[]);
    assert_installed(&none, "node_modules/own");
}

#[test]
fn in_the_folder_of_a_workspace_that_one_is_chosen() {
    let project = project();
    for folder in ["packages/a", "packages/a/src"] {
        project.assert_same_as_npm_from(folder, &[]);
        assert_installed(&project, ONLY_A);
    }
    project.assert_same_as_npm_from("packages/a", &["--include-workspace-root"]);
    project.assert_same_as_npm_from("packages/a", &["-w", "@s/b"]);
    assert_installed(&project, ONLY_B);
    project.assert_same_as_npm_from("packages/a", &["-w", "../b"]);
    assert_installed(&project, ONLY_B);
}

#[test]
fn in_a_folder_that_is_no_package_the_project_above_is_found() {
    let project = project().file("docs/deep/x", "");
    project.assert_same_as_npm_from("docs/deep", &[]);
    project.assert_same_as_npm_from("packages", &["-w", "a"]);
    assert_installed(&project, ONLY_A);
}

#[test]
fn the_npmrc_of_a_workspace_is_ignored_with_a_warning() {
    let project = project().file("packages/a/.npmrc", "omit=dev\n");
    let outcome = project.assert_same_as_npm_from("packages/a", &[]);
    let expected = "warning: ignoring workspace config at [PROJECT]/packages/a/.npmrc\n";
    assert_eq!(outcome.stderr, expected);
}

#[test]
fn a_prefix_is_taken_as_it_is() {
    let project = project();
    // From the folder of a workspace the whole project, and paths are seen from that folder.
    project
        .assert_same_as_npm_from("packages/a", &["--prefix", "../..", "--include-workspace-root"]);
    project.assert_same_as_npm_from("packages/a", &["-C", "../..", "-w", "../b"]);
    assert_installed(&project, ONLY_B);
    // A workspace that is named is a project of its own, which has no lockfile.
    project.assert_npm_fails(&["--prefix", "packages/a"]);
    let outcome = project.ci_from("", &["--prefix", "packages/a"]);
    outcome.assert_error("EUSAGE");
}

#[test]
fn without_workspaces_a_workspace_is_a_project_of_its_own() {
    let project = project();
    let outcome = project.ci_from("packages/a", &["--no-workspaces"]);
    outcome.assert_error("EUSAGE");
    if let Some((theirs, _)) = project.npm_ci_from("packages/a", &["--no-workspaces"]) {
        assert_ne!(theirs.code, Some(0));
    }
}

#[test]
fn an_unknown_workspace_is_refused_before_anything_is_touched() {
    let project = project().file("node_modules/kept", "k");
    project.assert_npm_fails(&["-w", "nope", "-w", "no/pe"]);
    project.ci(&["-w", "nope", "-w", "no/pe"]).assert_failure(&[
        "error: EUSAGE: No workspaces found:",
        "  --workspace=nope --workspace=no/pe",
        "hint: the workspaces are a, @s/b",
    ]);
    project.installed().assert(&["kept \"k\""]);
    // One that is known is enough.
    project.assert_same_as_npm(&["-w", "nope", "-w", "a"]);
    assert_installed(&project, ONLY_A);
}

#[test]
fn workspaces_of_a_project_without_any_are_refused() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    project.assert_npm_fails(&["--workspaces"]);
    project.ci(&["--workspaces"]).assert_failure(&[
        "error: EUSAGE: No workspaces found!",
        "hint: package.json has no `workspaces` that match a folder with a package.json",
    ]);
}

#[test]
fn one_workspace_and_none_contradict_each_other() {
    let project = project();
    project.assert_npm_fails(&["-w", "a", "--no-workspaces"]);
    project.ci(&["-w", "a", "--no-workspaces"]).assert_failure(&[
        "error: EUSAGE: cannot use --no-workspaces and --workspace at the same time",
        "hint: one of the two may come from .npmrc or the environment",
    ]);
}

#[test]
fn another_workspace_that_is_needed_comes_along() {
    let registry = Registry::start();
    let x = registry.serve(Package::new("x", "1.0.0"));
    let project = Project::new(&registry)
        .workspace("a", &Package::new("a", "1.0.0").dependency("b", "*"))
        .workspace("b", &Package::new("b", "1.0.0").dependency_of("devDependencies", "x", "*"))
        .workspace("c", &Package::new("c", "1.0.0"))
        .at("node_modules/x", &x)
        .entry("node_modules/x", json!({"dev": true}));
    project.assert_same_as_npm(&["-w", "a"]);
    assert_installed(&project, "a b node_modules/a node_modules/b node_modules/x");
    project.assert_same_as_npm(&["-w", "a", "--omit", "dev"]);
}

#[test]
fn a_workspace_that_is_also_a_dependency_of_the_root_is_linked() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .wants("dependencies", "w", "^1.0.0")
        .workspace("w", &Package::new("w", "1.0.0"))
        .workspace("v", &Package::new("v", "1.0.0"));
    project.assert_same_as_npm(&[]);
    project.assert_same_as_npm(&["--no-workspaces"]);
    project.assert_same_as_npm(&["-w", "v", "--include-workspace-root"]);
}

#[test]
fn a_workspace_without_a_name_goes_by_its_folder() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let manifest = json!({"version": "1.0.0", "dependencies": {"a": "1.0.0"}});
    let project = Project::new(&registry)
        .workspace("libs/unnamed", &Package::new("unnamed", "1.0.0").dependency("a", "1.0.0"))
        .workspace("other", &Package::new("other", "1.0.0"))
        .at("node_modules/a", &a)
        .file("libs/unnamed/package.json", &manifest.to_string())
        .entry("libs/unnamed", json!({"name": null}));
    project.assert_same_as_npm(&[]);
    project.assert_same_as_npm(&["-w", "unnamed"]);
    assert_installed(&project, "libs/unnamed node_modules/a node_modules/unnamed");
}

#[test]
fn what_a_workspace_without_a_name_has_to_itself_is_never_omitted() {
    let registry = Registry::start();
    let old = registry.serve(Package::new("x", "1.0.0"));
    let new = registry.serve(Package::new("x", "2.0.0"));
    let workspace =
        |name: &str| Package::new(name, "1.0.0").dependency_of("devDependencies", "x", "1.0.0");
    let manifest = json!({"version": "1.0.0", "devDependencies": {"x": "1.0.0"}});
    let project = Project::new(&registry)
        .with(&new)
        .workspace("named", &workspace("named"))
        .workspace("unnamed", &workspace("unnamed"))
        .at("named/node_modules/x", &old)
        .entry("named/node_modules/x", json!({"dev": true}))
        .at("unnamed/node_modules/x", &old)
        .entry("unnamed/node_modules/x", json!({"dev": true}))
        .file("unnamed/package.json", &manifest.to_string());
    project.assert_same_as_npm(&["--omit", "dev"]);
    assert_installed(
        &project,
        "named node_modules/named node_modules/unnamed node_modules/x unnamed \
         unnamed/node_modules/x",
    );
}

/// A workspace in the folder of another one, with a package in its own `node_modules`.
fn nested() -> Project {
    let registry = Registry::start();
    let old = registry.serve(Package::new("x", "1.0.0"));
    let new = registry.serve(Package::new("x", "2.0.0"));
    let newest = registry.serve(Package::new("x", "3.0.0"));
    Project::new(&registry)
        .with(&newest)
        .workspace("outer", &Package::new("outer", "1.0.0").dependency("x", "2.0.0"))
        .workspace("outer/inner", &Package::new("inner", "1.0.0").dependency("x", "1.0.0"))
        .at("outer/node_modules/x", &new)
        .at("outer/inner/node_modules/x", &old)
        .file("outer/inner/node_modules/old/x", "x")
        .keeping(registry)
}

#[test]
fn the_node_modules_of_a_workspace_inside_another_stays_empty_as_in_npm() {
    let project = nested();
    let outcome = project.assert_same_as_npm(&[]);
    let expected = "warning: 1 package in the node_modules of workspaces that lie in other \
                    workspaces: left out, as npm leaves them out\n";
    assert_eq!(outcome.stderr, expected);
    project
        .whole_tree()
        .below("project/outer/inner")
        .assert(&["node_modules/", "package.json {inner@1.0.0}"]);
    assert_installed(
        &project,
        "node_modules/inner node_modules/outer node_modules/x outer outer/inner \
         outer/inner/node_modules/x outer/node_modules/x",
    );
}

#[test]
fn of_a_workspace_inside_another_that_is_not_chosen_the_hidden_lockfile_lists_the_link_alone() {
    let project = nested();
    project.assert_same_as_npm(&["-w", "inner"]);
    assert_installed(&project, "node_modules/inner");
    // The folder of the outer one holds the inner one, and is chosen with it.
    project.assert_same_as_npm(&["-w", "outer"]);
}
