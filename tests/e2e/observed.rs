//! What npm was seen to do on real projects, where its documentation says otherwise or nothing:
//! one test for each of the sixteen observations of the contract, in its order. Some have more
//! tests in the module of their subject.

use serde_json::json;

use crate::support::engine;
use crate::support::project::Resolved;
use crate::support::{Package, Project, Registry, Reply};

#[test]
fn observed_01_engines_of_an_optional_package_leave_out_its_whole_set() {
    let registry = Registry::start();
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let below = registry.serve(Package::new("below", "1.0.0"));
    let modern = Package::new("modern", "6.0.7")
        .field("engines", json!({"node": ">=999"}))
        .dependency("below", "1.0.0");
    let modern = registry.serve(modern);
    let project = Project::new(&registry)
        .with(&plain)
        .with_optional(&modern)
        .at("node_modules/below", &below)
        .entry("node_modules/below", json!({"optional": true}));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/plain]",
        "plain/",
        "plain/package.json {plain@1.0.0}",
    ]);
}

#[test]
fn observed_02_entries_without_os_of_their_own_go_with_the_excluded_package_that_wants_them() {
    let registry = Registry::start();
    let tslib = registry.serve(Package::new("tslib", "2.0.0"));
    let runtime = Package::new("@emnapi/runtime", "1.0.0").dependency("tslib", "^2.0.0");
    let runtime = registry.serve(runtime);
    let wasm = Package::new("sharp-wasm32", "1.0.0")
        .field("cpu", json!(["wasm32"]))
        .dependency("@emnapi/runtime", "^1.0.0");
    let wasm = registry.serve(wasm);
    let sharp = Package::new("sharp", "1.0.0").dependency_of(
        "optionalDependencies",
        "sharp-wasm32",
        "1.0.0",
    );
    let sharp = registry.serve(sharp);
    let optional = || json!({"optional": true});
    let project = Project::new(&registry)
        .with(&sharp)
        .at("node_modules/sharp-wasm32", &wasm)
        .entry("node_modules/sharp-wasm32", optional())
        .at("node_modules/@emnapi/runtime", &runtime)
        .entry("node_modules/@emnapi/runtime", optional())
        .at("node_modules/tslib", &tslib)
        .entry("node_modules/tslib", optional());
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/sharp]",
        "sharp/",
        "sharp/package.json {sharp@1.0.0}",
    ]);
}

#[test]
fn observed_03_an_invalid_edge_is_repaired_where_the_lockfile_has_a_fitting_version() {
    let registry = Registry::start();
    let expect = registry.serve(Package::new("expect", "3.1.1"));
    let old = Package::new("vitest", "3.1.1").dependency("expect", "3.1.1");
    let old = registry.serve(old);
    let new = registry.serve(Package::new("vitest", "3.2.4"));
    let workspace = Package::new("w", "1.0.0").dependency_of("devDependencies", "vitest", "^3.2.4");
    let project = Project::new(&registry)
        .with_dev(&new)
        .workspace("w", &workspace)
        .at("w/node_modules/vitest", &old)
        .entry("w/node_modules/vitest", json!({"dev": true}))
        .at("w/node_modules/vitest/node_modules/expect", &expect)
        .entry("w/node_modules/vitest/node_modules/expect", json!({"dev": true}));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/vitest, node_modules/w, w]",
        "vitest/",
        "vitest/package.json {vitest@3.2.4}",
        "w -> ../w",
    ]);
}

#[test]
fn observed_04_where_nothing_is_to_be_installed_no_node_modules_is_made_and_one_is_kept() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    project.assert_same_as_npm(&[]);
    assert!(!project.path().join("node_modules").exists());
    let project = project.file("node_modules/old/x", "x");
    project.assert_same_as_npm(&[]);
    let expected = json!({
        "name": "project", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {},
    });
    assert_eq!(project.hidden_lock(), expected);
    project.installed().assert(&[".package-lock.json []"]);
}

#[test]
fn observed_05_the_node_modules_of_workspaces_are_emptied_and_that_of_a_link_target_is_not() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("w", &Package::new("w", "1.0.0"))
        .wants("dependencies", "local", "file:lib")
        .linked("lib", &Package::new("local", "1.0.0"))
        .file("w/node_modules/old/x", "x")
        .file("w/node_modules/.cache/x", "x")
        .file("lib/node_modules/old/x", "x");
    project.assert_same_as_npm(&[]);
    let tree = project.whole_tree();
    tree.below("project/w").assert(&["node_modules/", "package.json {w@1.0.0}"]);
    tree.below("project/lib/node_modules").assert(&["old/", "old/x \"x\""]);
}

/// npm leaves links and parts of trees behind. What is left here is no success either: there is no
/// hidden lockfile, and the next install ends like a fresh one.
#[test]
fn observed_06_after_a_failure_there_is_no_hidden_lockfile_and_the_next_install_is_whole() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = Package::new("b", "1.0.0");
    let project = Project::new(&registry)
        .with(&a)
        .with(&b)
        .workspace("w", &Package::new("w", "1.0.0"))
        .file("node_modules/.package-lock.json", r#"{"packages": {}}"#);
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("E404");
    assert!(!project.path().join("node_modules/.package-lock.json").exists());
    registry.serve(b);
    project.assert_same_as_npm(&[]);
}

#[test]
fn observed_07_commands_come_from_the_lockfile_for_workspaces_and_link_targets_too() {
    let registry = Registry::start();
    let workspace = Package::new("w", "1.0.0").field("bin", json!({"run": "run.js"}));
    let local = Package::new("local", "1.0.0").field("bin", json!({"go": "go.js"}));
    let project = Project::new(&registry)
        .workspace("w", &workspace)
        .file("w/run.js", "")
        .wants("dependencies", "local", "file:lib")
        .linked("lib", &local)
        .file("lib/go.js", "");
    project.assert_same_as_npm(&[]);
    project.installed().below(".bin").assert(&["go -> ../local/go.js", "run -> ../w/run.js"]);
    let project = project.entry("w", json!({"bin": null})).entry("lib", json!({"bin": null}));
    project.assert_same_as_npm(&[]);
}

#[test]
fn observed_08_a_command_that_loses_its_name_is_executable_only_without_resolved() {
    for (resolved, line) in
        [(Resolved::Present, "cli.js \"\""), (Resolved::Absent, "cli.js 755 \"\"")]
    {
        let registry = Registry::start();
        let tool = |name| {
            Package::new(name, "1.0.0").field("bin", json!({"same": "cli.js"})).file("cli.js", "")
        };
        let (a, b) = (registry.serve(tool("a")), registry.serve(tool("b")));
        let project = Project::new(&registry).resolved(resolved).with(&a).with(&b);
        project.assert_same_as_npm(&[]);
        project.installed().below("b").assert(&[line, "package.json {b@1.0.0}"]);
    }
}

#[test]
fn observed_09_only_the_winner_of_a_name_is_made_executable_and_mended() {
    let registry = Registry::start();
    let semver = Package::new("semver", "1.0.0")
        .field("bin", json!({"semver": "cli.js"}))
        .file_with_mode("cli.js", 0o600, "#!/bin/sh\r\n");
    let semver = registry.serve(semver);
    let project = Project::new(&registry)
        .with(&semver)
        .wants("dependencies", "@al/ias", "npm:semver@1.0.0")
        .at("node_modules/@al/ias", &semver);
    project.assert_same_as_npm(&[]);
    let tree = project.installed();
    tree.below(".bin").assert(&["semver -> ../@al/ias/cli.js"]);
    let manifest = "package.json {semver@1.0.0}";
    tree.below("@al/ias").assert(&["cli.js 755 \"#!/bin/sh\\n\"", manifest]);
    tree.below("semver").assert(&["cli.js \"#!/bin/sh\\r\\n\"", manifest]);
}

#[test]
fn observed_10_files_of_workspaces_change_and_a_subfolder_is_a_command_as_well() {
    let registry = Registry::start();
    let workspace = Package::new("w", "1.0.0").field("directories", json!({"bin": "bin"}));
    let project = Project::new(&registry)
        .workspace("w", &workspace)
        .entry("w", json!({"bin": {"run": "bin/run", "deep": "bin/sub/deep", "sub": "bin/sub"}}))
        .file("w/bin/run", "#!/bin/sh\r\nrun\r\n")
        .file("w/bin/sub/deep", "#!/bin/sh\n");
    project.assert_same_as_npm(&[]);
    let tree = project.whole_tree();
    tree.below("project/node_modules/.bin").assert(&[
        "deep -> ../w/bin/sub/deep",
        "run -> ../w/bin/run",
        "sub -> ../w/bin/sub",
    ]);
    tree.below("project/w/bin").assert(&[
        "run 755 \"#!/bin/sh\\nrun\\r\\n\"",
        "sub/",
        "sub/deep 755 \"#!/bin/sh\\n\"",
    ]);
}

/// Of a setuid bit npm takes nothing away; here it is masked on purpose, see `extract`.
#[test]
fn observed_11_of_two_entries_the_last_content_and_the_first_mode_count() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0")
        .file_with_mode("x", 0o755, "first")
        .file_with_mode("x", 0o644, "second");
    let a = registry.serve(a);
    let project = Project::new(&registry).with(&a);
    project.assert_same_as_npm(&[]);
    project.installed().below("a").assert(&["package.json {a@1.0.0}", "x 755 \"second\""]);
}

#[test]
fn observed_12_an_undeclared_node_modules_stays_and_is_not_in_the_hidden_lockfile() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0")
        .file("node_modules/stray/package.json", r#"{"name":"stray","version":"1.0.0"}"#)
        .member(crate::support::archive::member("package/lib/", b'5', 0o700, b""))
        .file("lib/x", "x")
        .file("../../escape", "e");
    let a = registry.serve(a);
    let project = Project::new(&registry).with(&a);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/lib/",
        "a/lib/x \"x\"",
        "a/node_modules/",
        "a/node_modules/stray/",
        "a/node_modules/stray/package.json {stray@1.0.0}",
        "a/package.json {a@1.0.0}",
    ]);
}

#[test]
fn observed_13_flags_bundles_and_link_targets_of_the_hidden_lockfile_are_computed_anew() {
    let registry = Registry::start();
    let peer = registry.serve(Package::new("peer", "1.0.0"));
    let user = Package::new("user", "1.0.0").dependency_of("peerDependencies", "peer", "1.0.0");
    let user = registry.serve(user);
    let workspace = Package::new("w", "1.0.0").field("directories", json!({"bin": "bin"}));
    let project = Project::new(&registry)
        .with(&peer)
        .with(&user)
        .entry("node_modules/peer", json!({"peer": true}))
        .workspace("w", &workspace)
        .entry("w", json!({"bin": {"run": "bin/run"}}))
        .file("w/bin/run", "");
    project.assert_same_as_npm(&[]);
    let packages = &project.hidden_lock()["packages"];
    assert!(packages["node_modules/peer"].get("peer").is_none());
    assert_eq!(packages["w"]["bin"], json!({"run": "bin/run"}));
}

#[test]
fn observed_14_neither_resolved_nor_integrity_is_added_to_the_hidden_lockfile() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry)
        .resolved(Resolved::Absent)
        .with(&a)
        .with(&b)
        .entry("node_modules/b", json!({"integrity": null}));
    project.assert_same_as_npm(&[]);
    let packages = &project.hidden_lock()["packages"];
    let expected = json!({"version": "1.0.0", "integrity": a.integrity()});
    assert_eq!(packages["node_modules/a"], expected);
    assert_eq!(packages["node_modules/b"], json!({"version": "1.0.0"}));
}

/// npm asks for the packument; here the conventional address comes first, so that a lockfile
/// without `resolved` costs no more requests than one with it.
#[test]
fn observed_15_without_resolved_the_name_of_the_entry_is_looked_up_and_not_the_alias() {
    let registry = Registry::start();
    let real = registry.serve(Package::new("real", "1.0.0"));
    let project = Project::new(&registry)
        .resolved(Resolved::Absent)
        .wants("dependencies", "alias", "npm:real@^1.0.0")
        .at("node_modules/alias", &real);
    project.assert_same_as_npm(&[]);
    registry.forget_requests();
    std::fs::remove_dir_all(project.cache()).unwrap();
    // A packument is never needed.
    registry.reply_always("/real", Reply::status(500));
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), ["/real/-/real-1.0.0.tgz"]);
}

/// npm fetches manifests for such a lockfile; here it is refused by name, and nothing is asked.
#[test]
fn observed_16_for_a_lockfile_of_version_1_no_metadata_is_asked_for() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("bin", json!("cli.js")).file("cli.js", "");
    let a = registry.serve(a);
    let lockfile = json!({
        "lockfileVersion": 1,
        "requires": true,
        "dependencies": {"a": {"version": "1.0.0", "integrity": a.integrity()}},
    });
    let project = Project::new(&registry).wants("dependencies", "a", "1.0.0");
    let project = project.file("package-lock.json", &lockfile.to_string());
    let theirs = project.npm_ci(&[]);
    let is_npm = theirs.is_some() && engine::IS_DEFAULT;
    assert_eq!(registry.count("/a"), usize::from(is_npm));
    registry.forget_requests();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), ["/a/-/a-1.0.0.tgz"]);
    if let Some((theirs, tree)) = theirs {
        theirs.assert_success();
        assert_eq!(project.whole_tree(), tree);
    }
}
