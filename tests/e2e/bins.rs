//! Commands in `node_modules/.bin`: names, targets, winners, modes and the first line.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use crate::support::project::Resolved;
use crate::support::{Package, Project, Registry};

const SCRIPT: &str = "#!/usr/bin/env node\n";

/// A package with this `bin` and these scripts, none of which is executable.
fn with_bin(name: &str, bin: Value, files: &[&str]) -> Package {
    let package = Package::new(name, "1.0.0").field("bin", bin);
    files.iter().fold(package, |package, path| package.file(path, SCRIPT))
}

#[track_caller]
fn assert_bins(packages: &[Package], expected: &[&str]) -> Project {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for package in packages {
        project = project.with(&registry.serve(package.clone()));
    }
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().below(".bin").assert(expected);
    project.keeping(registry)
}

#[test]
fn a_text_is_one_command_with_the_package_s_name() {
    assert_bins(&[with_bin("tool", json!("cli.js"), &["cli.js"])], &["tool -> ../tool/cli.js"]);
}

#[test]
fn the_scope_is_not_part_of_the_command() {
    let package = with_bin("@scope/tool", json!("./bin/cli.js"), &["bin/cli.js"]);
    assert_bins(&[package], &["tool -> ../@scope/tool/bin/cli.js"]);
}

#[test]
fn an_object_gives_each_command_its_file() {
    let bin = json!({"one": "./one.js", "two": "lib/../two.js"});
    let expected = ["one -> ../tool/one.js", "two -> ../tool/two.js"];
    assert_bins(&[with_bin("tool", bin, &["one.js", "two.js"])], &expected);
}

#[test]
fn names_are_cut_to_a_file_name() {
    let bin = json!({"../up": "x.js", "a/b": "x.js", ".": "x.js", "..": "x.js", "": "x.js"});
    let expected = ["b -> ../tool/x.js", "up -> ../tool/x.js"];
    assert_bins(&[with_bin("tool", bin, &["x.js"])], &expected);
}

#[test]
fn a_command_whose_file_is_missing_is_not_linked() {
    let bin = json!({"gone": "gone.js", "good": "good.js"});
    assert_bins(&[with_bin("tool", bin, &["good.js"])], &["good -> ../tool/good.js"]);
}

#[test]
fn where_no_command_is_linked_there_is_no_bin_folder() {
    let project = assert_bins(&[with_bin("tool", json!("gone.js"), &[])], &[]);
    assert!(!project.path().join("node_modules/.bin").exists());
}

#[test]
fn of_two_packages_with_one_command_the_first_by_path_wins() {
    let bin = || json!({"same": "cli.js"});
    let packages = [with_bin("b", bin(), &["cli.js"]), with_bin("a", bin(), &["cli.js"])];
    let project = assert_bins(&packages, &["same -> ../a/cli.js"]);
    // Only the winner was made executable.
    let mode = |path: &str| fs::metadata(project.path().join(path)).unwrap().mode() & 0o777;
    let modes = (mode("node_modules/a/cli.js"), mode("node_modules/b/cli.js"));
    assert_eq!(modes, (0o755, 0o644));
}

#[test]
fn a_winner_whose_file_is_missing_still_takes_the_name() {
    let bin = || json!({"same": "cli.js"});
    let packages = [with_bin("a", bin(), &[]), with_bin("b", bin(), &["cli.js"])];
    assert_bins(&packages, &[]);
}

#[test]
fn an_alias_in_a_scope_comes_before_the_package_itself() {
    let registry = Registry::start();
    let semver = registry.serve(with_bin("semver", json!({"semver": "cli.js"}), &["cli.js"]));
    let project = Project::new(&registry)
        .with(&semver)
        .wants("dependencies", "@al/ias", "npm:semver@1.0.0")
        .at("node_modules/@al/ias", &semver);
    project.assert_same_as_npm(&[]);
    project.installed().below(".bin").assert(&["semver -> ../@al/ias/cli.js"]);
}

#[test]
fn nested_packages_have_their_commands_beside_them() {
    let registry = Registry::start();
    let tool = registry.serve(with_bin("tool", json!("cli.js"), &["cli.js"]));
    let user = registry.serve(Package::new("user", "1.0.0").dependency("tool", "1.0.0"));
    let project =
        Project::new(&registry).with(&user).at("node_modules/user/node_modules/tool", &tool);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/user, node_modules/user/node_modules/tool]",
        "user/",
        "user/node_modules/",
        "user/node_modules/.bin/",
        "user/node_modules/.bin/tool -> ../tool/cli.js",
        "user/node_modules/tool/",
        "user/node_modules/tool/cli.js 755 \"#!/usr/bin/env node\\n\"",
        "user/node_modules/tool/package.json {tool@1.0.0}",
        "user/package.json {user@1.0.0}",
    ]);
}

#[test]
fn commands_come_from_the_lockfile_and_not_from_the_package() {
    let registry = Registry::start();
    let tool = registry.serve(with_bin("tool", json!("cli.js"), &["cli.js", "other.js"]));
    let project = Project::new(&registry)
        .with(&tool)
        .entry("node_modules/tool", json!({"bin": {"renamed": "other.js"}}));
    project.assert_same_as_npm(&[]);
    project.installed().below(".bin").assert(&["renamed -> ../tool/other.js"]);
    let project = project.entry("node_modules/tool", json!({"bin": null}));
    project.assert_same_as_npm(&[]);
    assert!(!project.path().join("node_modules/.bin").exists());
}

#[test]
fn a_command_s_file_has_exactly_the_mode_that_the_umask_leaves() {
    let package = Package::new("tool", "1.0.0")
        .field("bin", json!({"a": "a", "b": "b", "c": "c"}))
        .file_with_mode("a", 0o600, "")
        .file_with_mode("b", 0o755, "")
        .file_with_mode("c", 0o777, "");
    let project = assert_bins(&[package], &["a -> ../tool/a", "b -> ../tool/b", "c -> ../tool/c"]);
    let expected = ["a 755 \"\"", "b 755 \"\"", "c 755 \"\""];
    project.installed().below("tool").without("package.json").assert(&expected);
}

#[test]
fn without_resolved_a_command_that_loses_its_name_is_executable_all_the_same() {
    for (resolved, mode) in [(Resolved::Present, 0o644), (Resolved::Absent, 0o755)] {
        let registry = Registry::start();
        let bin = || json!({"same": "cli.js"});
        let a = registry.serve(with_bin("a", bin(), &["cli.js"]));
        let b = registry.serve(with_bin("b", bin(), &["cli.js"]));
        let project = Project::new(&registry).resolved(resolved).with(&a).with(&b);
        project.assert_same_as_npm(&[]);
        let loser = fs::metadata(project.path().join("node_modules/b/cli.js")).unwrap();
        assert_eq!(loser.mode() & 0o777, mode, "{resolved:?}");
    }
}

#[test]
fn a_first_line_that_ends_with_crlf_is_mended_and_no_other_line() {
    let text = "#!/usr/bin/env node\r\nrun()\r\n";
    let tool = Package::new("tool", "1.0.0").field("bin", json!("cli.js")).file("cli.js", text);
    let project = assert_bins(&[tool], &["tool -> ../tool/cli.js"]);
    let expected = "cli.js 755 \"#!/usr/bin/env node\\nrun()\\r\\n\"";
    project.installed().below("tool").without("package.json").assert(&[expected]);
}

#[test]
fn mending_a_first_line_leaves_the_cache_as_it_was() {
    let registry = Registry::start();
    let text = "#!/usr/bin/env node\r\nrun()\r\n";
    let bin = json!({"same": "cli.js"});
    let package = |name| Package::new(name, "1.0.0").field("bin", bin.clone()).file("cli.js", text);
    let (a, b) = (registry.serve(package("a")), registry.serve(package("b")));
    let project = Project::new(&registry).with(&a).with(&b);
    for _ in 0..2 {
        project.assert_same_as_npm(&[]);
        let read = |name| {
            let path = project.path().join("node_modules").join(name).join("cli.js");
            fs::read_to_string(path).unwrap()
        };
        assert_eq!(read("a"), "#!/usr/bin/env node\nrun()\r\n", "the winner is mended");
        assert_eq!(read("b"), text, "the loser is not");
    }
    // Alone, the other package is the winner; what the cache holds of it serves for both.
    let project = Project::new(&registry).with(&b);
    project.assert_same_as_npm(&[]);
}

#[test]
fn a_file_that_is_a_command_in_one_place_only_is_executable_there_only() {
    let registry = Registry::start();
    let tool = registry.serve(with_bin("tool", json!({"tool": "cli.js"}), &["cli.js"]));
    let project = Project::new(&registry)
        .with(&tool)
        .wants("dependencies", "zz", "npm:tool@1.0.0")
        .at("node_modules/zz", &tool);
    project.assert_same_as_npm(&[]);
    let inode = |path: &str| fs::metadata(project.path().join(path)).unwrap().ino();
    assert_ne!(inode("node_modules/tool/cli.js"), inode("node_modules/zz/cli.js"));
}

#[test]
fn without_bin_links_there_are_none() {
    let registry = Registry::start();
    let tool = registry.serve(with_bin("tool", json!("cli.js"), &["cli.js"]));
    let project = Project::new(&registry).with(&tool);
    project.assert_same_as_npm(&["--no-bin-links"]);
    assert!(!project.path().join("node_modules/.bin").exists());
    let project = project.npmrc("bin-links=false\n");
    project.assert_same_as_npm(&[]);
}

#[test]
fn a_folder_as_a_command_is_treated_as_npm_does() {
    let registry = Registry::start();
    let tool = Package::new("tool", "1.0.0").field("bin", json!({"dir": "lib"})).file("lib/x", "");
    let tool = registry.serve(tool);
    Project::new(&registry).with(&tool).assert_same_as_npm(&[]);
}

#[test]
fn commands_of_workspaces_give_way_to_those_of_packages() {
    let registry = Registry::start();
    let tool = registry.serve(with_bin("tool", json!({"same": "cli.js"}), &["cli.js"]));
    let workspace = Package::new("a", "1.0.0").field("bin", json!({"same": "run.js"}));
    let project =
        Project::new(&registry).with(&tool).workspace("a", &workspace).file("a/run.js", SCRIPT);
    project.assert_same_as_npm(&[]);
}
