//! Lockfiles that want to do harm: a key or a link that leaves its place is refused by name, and
//! neither disk nor registry is touched.

use serde_json::{Value, json};

use crate::support::tree::Tree;
use crate::support::{Package, Project, Registry};

/// A good project with one more entry; the text of the lockfile is changed as JSON.
fn with_entry(key: &str, entry: &Value) -> (Registry, Project) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a).file("node_modules/kept", "x");
    let mut lockfile = project.lockfile();
    lockfile["packages"][key] = entry.clone();
    let project = project.file("package-lock.json", &lockfile.to_string());
    (registry, project)
}

#[track_caller]
fn assert_refused(key: &str, entry: &Value, code: &str) {
    let (registry, project) = with_entry(key, entry);
    let before = Tree::read(project.temp()).without("cache");
    project.ci(&[]).assert_error(code);
    let after = Tree::read(project.temp()).without("cache");
    assert_eq!(after.differences(&before, ["after", "before"]), [""; 0], "{key:?}");
    assert_eq!(registry.paths(), [""; 0], "{key:?}");
}

#[track_caller]
fn assert_keys_refused(keys: &[&str]) {
    for key in keys {
        assert_refused(key, &json!({"version": "1.0.0"}), "ELOCKFILE");
    }
}

#[test]
fn keys_that_climb_are_refused() {
    assert_keys_refused(&[
        "node_modules/../../x",
        "node_modules/a/../../b",
        "node_modules/@x/../y",
        "node_modules/..",
        "a/../../b",
    ]);
}

#[test]
fn absolute_keys_are_refused() {
    assert_keys_refused(&["/etc/node_modules/x", "/node_modules/a"]);
}

#[test]
fn keys_that_are_names_of_our_own_are_refused() {
    assert_keys_refused(&[
        "node_modules/.bin",
        "node_modules/.bin/x",
        "node_modules/.package-lock.json",
        "node_modules/.hidden",
        "node_modules/node_modules",
    ]);
}

#[test]
fn keys_that_name_no_package_are_refused() {
    assert_keys_refused(&[
        "node_modules",
        "node_modules/",
        "node_modules/@x",
        "node_modules//a",
        "./node_modules/a",
    ]);
}

#[test]
fn keys_with_characters_that_no_path_has_are_refused() {
    let long = format!("node_modules/{}", "a".repeat(300));
    let (registry, project) = with_entry("node_modules/b", &json!({"version": "1.0.0"}));
    for key in ["node_modules/a\\\\b", "node_modules/a\\u0000b", "node_modules/a\\nb", &long] {
        let text = project.lockfile().to_string();
        let text = text.replace("\"packages\":{", &format!("\"packages\":{{\"{key}\":{{}},"));
        std::fs::write(project.path().join("package-lock.json"), text).unwrap();
        let outcome = project.ci(&[]);
        assert_eq!(outcome.code, Some(1), "{key}");
        let is_refused = ["error: ELOCKFILE: ", "error: EJSONPARSE: "]
            .iter()
            .any(|start| outcome.stderr.starts_with(start));
        assert!(is_refused, "{key}: {}", outcome.stderr);
    }
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn names_that_javascript_fears_are_plain_names() {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for name in ["constructor", "tostring", "hasownproperty"] {
        project = project.with(&registry.serve(Package::new(name, "1.0.0")));
    }
    // npm 11 itself fails on `constructor`.
    project.ci(&[]).assert_quiet_success();
    for name in ["constructor", "tostring", "hasownproperty"] {
        let manifest = format!("package.json {{{name}@1.0.0}}");
        project.installed().below(name).assert(&[&manifest]);
    }
}

#[test]
fn a_link_that_leads_to_no_entry_is_refused() {
    for target in ["../../..", "/", "/etc", "nowhere", "node_modules/b"] {
        let entry = json!({"resolved": target, "link": true});
        assert_refused("node_modules/b", &entry, "ELOCKFILE");
    }
}

#[test]
fn a_link_to_the_root_that_nothing_asks_for_is_not_made() {
    let entry = json!({"resolved": "", "link": true});
    let (_registry, project) = with_entry("node_modules/b", &entry);
    project.ci(&[]).assert_quiet_success();
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
}

#[test]
fn an_entry_below_a_link_is_refused() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .workspace("w", &Package::new("w", "1.0.0").dependency("a", "1.0.0"))
        .at("node_modules/w/node_modules/a", &a);
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("ELOCKFILE");
    let expected = "the lockfile's entry `node_modules/w/node_modules/a` lies below a link";
    assert_eq!(message, expected);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn a_root_that_is_a_link_is_refused() {
    let entry = json!({"link": true, "resolved": "packages/a"});
    assert_refused("", &entry, "ELOCKFILE");
}

#[test]
fn a_workspace_folder_that_is_a_symbolic_link_is_not_written_through() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .workspace("w", &Package::new("w", "1.0.0").dependency("a", "1.0.0"))
        .at("w/node_modules/a", &a)
        .file(
            "../elsewhere/package.json",
            r#"{"name":"w","version":"1.0.0","dependencies":{"a":"1.0.0"}}"#,
        );
    std::fs::remove_dir_all(project.path().join("w")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", project.path().join("w")).unwrap();
    let elsewhere = || Tree::read(&project.temp().join("ours/elsewhere"));
    let before = elsewhere();
    project.ci(&[]).assert_error("EIO");
    assert_eq!(elsewhere(), before);
}

#[test]
fn nesting_without_end_is_refused() {
    let registry = Registry::start();
    let text = format!("{}{}", "{\"packages\":".repeat(20_000), "}".repeat(20_000));
    let project = Project::new(&registry).file("package-lock.json", &text);
    project.ci(&[]).assert_error("EJSONPARSE");
}

#[test]
fn addresses_of_no_known_kind_are_refused() {
    for resolved in ["ext::sh -c true", "unix:/run/x", "../a"] {
        let (registry, project) = with_entry(
            "node_modules/a",
            &json!({
                "version": "1.0.0",
                "resolved": resolved,
            }),
        );
        project.ci(&[]).assert_error("EUNSUPPORTEDSOURCE");
        assert_eq!(registry.paths(), [""; 0], "{resolved}");
        project.installed().assert(&["kept \"x\""]);
    }
}

#[test]
fn a_host_that_only_begins_like_the_default_registry_is_another_host() {
    let default = npmrc_config_rs::registry::DEFAULT_REGISTRY.trim_end_matches('/');
    for resolved in [format!("{default}.evil.test/a.tgz"), format!("{default}@evil.test/a.tgz")] {
        let (_registry, project) = with_entry(
            "node_modules/a",
            &json!({
                "version": "1.0.0",
                "resolved": resolved,
            }),
        );
        project.ci(&["--allow-remote=none"]).assert_error("EALLOWREMOTE");
    }
}

#[test]
fn command_names_of_the_lockfile_stay_in_the_bin_folder() {
    let registry = Registry::start();
    let bins = json!({
        "../../escape": "cli.js", "@s/../../up": "cli.js", "": "cli.js", ".": "cli.js",
        "..": "cli.js", "a/b": "cli.js", "/abs": "cli.js", "good": "cli.js",
        "passwd": "../../../../../../etc/passwd", "absolute": "/etc/passwd",
    });
    let a = Package::new("a", "1.0.0").field("bin", bins).file("cli.js", "#!/bin/sh\n");
    let a = registry.serve(a);
    let project = Project::new(&registry).with(&a);
    let before = project.whole_tree().without("project/node_modules");
    project.assert_same_as_npm(&[]);
    assert_eq!(project.whole_tree().without("project/node_modules"), before);
    project.installed().below(".bin").assert(&[
        "abs -> ../a/cli.js",
        "b -> ../a/cli.js",
        "escape -> ../a/cli.js",
        "good -> ../a/cli.js",
        "up -> ../a/cli.js",
    ]);
}
