//! `node_modules/.package-lock.json`: what it says, and that it is written last.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::support::project::Resolved;
use crate::support::{Package, Project, Registry};

#[test]
fn it_has_the_lockfile_s_entries_of_what_was_installed() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0")
        .dependency("b", "^1.0.0")
        .field("bin", json!("cli.js"))
        .field("engines", json!({"node": ">=4"}))
        .field("license", json!("MIT"))
        .field("funding", json!("https://fund.test/a"))
        .field("scripts", json!({"install": "true"}))
        .file("cli.js", "");
    let a = registry.serve(a);
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry).with(&a).at("node_modules/b", &b);
    project.assert_same_as_npm(&[]);
    let url = registry.url();
    let expected = json!({
        "name": "project",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "requires": true,
        "packages": {
            "node_modules/a": {
                "version": "1.0.0",
                "resolved": format!("{url}a/-/a-1.0.0.tgz"),
                "integrity": a.integrity(),
                "dependencies": {"b": "^1.0.0"},
                "bin": {"a": "cli.js"},
                "engines": {"node": ">=4"},
                "funding": {"url": "https://fund.test/a"},
                "hasInstallScript": true,
                "license": "MIT",
            },
            "node_modules/b": {
                "version": "1.0.0",
                "resolved": format!("{url}b/-/b-1.0.0.tgz"),
                "integrity": b.integrity(),
            },
        },
    });
    assert_eq!(project.hidden_lock(), expected);
}

#[test]
fn it_is_npm_s_byte_for_byte() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0")
        .dependency("b", "^1.0.0")
        .field("bin", json!({"y": "y.js", "x": "x.js"}))
        .field("os", json!(["linux", "darwin"]))
        .field("peerDependencies", json!({"b": "1"}));
    let a = registry.serve(a);
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .at("node_modules/b", &b)
        .workspace("w", &Package::new("@scope/w", "1.0.0"));
    let Some((outcome, _)) = project.npm_ci(&[]) else { return };
    outcome.assert_success();
    // npm's copy of the project is gone; its text is taken from a run in place.
    let path = project.path().join("node_modules/.package-lock.json");
    project.npm_ci_in_place();
    let theirs = fs::read_to_string(&path).unwrap();
    project.ci(&[]).assert_success();
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
}

#[test]
fn it_is_written_last() {
    let registry = Registry::start();
    let mut project = Project::new(&registry)
        .workspace("w", &Package::new("w", "1.0.0").field("bin", json!("run.js")))
        .file("w/run.js", "");
    for number in 0..20 {
        let package = Package::new(&format!("p{number}"), "1.0.0")
            .field("bin", json!("cli.js"))
            .file("cli.js", "")
            .file("lib/x", "");
        project = project.with(&registry.serve(package));
    }
    for _ in 0..2 {
        project.ci(&[]).assert_quiet_success();
        let lock = project.path().join("node_modules/.package-lock.json");
        let written = modified(&lock);
        // npm's own tolerance (shrinkwrap.js, `assertNoNewer`).
        let latest = written + Duration::from_millis(10);
        for folder in folders(&project.path().join("node_modules")) {
            let changed = modified(&folder);
            assert!(changed <= latest, "{} is newer than the lockfile", folder.display());
        }
    }
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn folders(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(folders(&entry.path()));
        }
    }
    found
}

#[test]
fn flags_are_computed_anew() {
    let registry = Registry::start();
    let peer = registry.serve(Package::new("peer", "1.0.0"));
    let dev = registry.serve(Package::new("dev", "1.0.0"));
    let optional = registry.serve(Package::new("optional", "1.0.0"));
    // The lockfile's flags are all wrong.
    let project = Project::new(&registry)
        .with(&peer)
        .entry("node_modules/peer", json!({"peer": true, "dev": true}))
        .with_dev(&dev)
        .entry("node_modules/dev", json!({"dev": null, "optional": true}))
        .with_optional(&optional)
        .entry("node_modules/optional", json!({"optional": null, "devOptional": true}));
    project.assert_same_as_npm(&[]);
    let packages = &project.hidden_lock()["packages"];
    let flags = |name: &str| {
        let entry = packages[format!("node_modules/{name}")].as_object().unwrap();
        let flags = ["peer", "dev", "optional", "devOptional"];
        flags.into_iter().filter(|flag| entry.contains_key(*flag)).collect::<Vec<_>>()
    };
    assert_eq!(flags("peer"), [""; 0]);
    assert_eq!(flags("dev"), ["dev"]);
    assert_eq!(flags("optional"), ["optional"]);
}

#[test]
fn a_bundled_entry_loses_its_integrity() {
    let registry = Registry::start();
    let outer = Package::new("outer", "1.0.0")
        .dependency("inner", "1.0.0")
        .field("bundleDependencies", json!(["inner"]))
        .file("node_modules/inner/package.json", r#"{"name":"inner","version":"1.0.0"}"#);
    let outer = registry.serve(outer);
    let inner = registry.serve(Package::new("inner", "1.0.0"));
    let path = "node_modules/outer/node_modules/inner";
    let project = Project::new(&registry)
        .with(&outer)
        .at(path, &inner)
        .entry(path, json!({"inBundle": true, "resolved": null}));
    project.assert_same_as_npm(&[]);
    let expected = json!({"version": "1.0.0", "inBundle": true});
    assert_eq!(project.hidden_lock()["packages"][path], expected);
}

#[test]
fn a_name_that_is_optional_too_is_no_plain_dependency() {
    let registry = Registry::start();
    let b = registry.serve(Package::new("b", "1.0.0"));
    let a = Package::new("a", "1.0.0").dependency("b", "1.0.0").dependency_of(
        "optionalDependencies",
        "b",
        "1.0.0",
    );
    let a = registry.serve(a);
    let project = Project::new(&registry)
        .with(&a)
        .at("node_modules/b", &b)
        .entry("node_modules/b", json!({"optional": true}));
    project.assert_same_as_npm(&[]);
    let entry = &project.hidden_lock()["packages"]["node_modules/a"];
    assert_eq!(entry["optionalDependencies"], json!({"b": "1.0.0"}));
    assert!(entry.get("dependencies").is_none());
}

#[test]
fn nothing_is_added_that_the_lockfile_did_not_have() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .resolved(Resolved::Absent)
        .with(&a)
        .entry("node_modules/a", json!({"integrity": null}));
    project.assert_same_as_npm(&[]);
    assert_eq!(project.hidden_lock()["packages"]["node_modules/a"], json!({"version": "1.0.0"}));
}

#[test]
fn the_address_of_the_default_registry_is_kept() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).resolved(Resolved::DefaultHost).with(&a);
    project.assert_same_as_npm(&[]);
}

#[test]
fn entries_of_link_targets_come_from_their_package_json() {
    let registry = Registry::start();
    let workspace = Package::new("w", "2.0.0").field("license", json!("ISC"));
    let project = Project::new(&registry)
        .workspace("w", &workspace)
        .entry("w", json!({"version": "1.0.0", "license": "MIT"}));
    project.assert_same_as_npm(&[]);
    let entry = &project.hidden_lock()["packages"]["w"];
    assert_eq!(*entry, json!({"version": "2.0.0", "license": "ISC"}));
}

#[test]
fn npm_trusts_it() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    project.ci(&[]).assert_quiet_success();
    let Some(outcome) = project.npm(&["ls", "--json"]) else { return };
    let listed = outcome.json();
    assert_eq!(listed["dependencies"]["a"]["version"], "1.0.0");
    assert!(listed.get("problems").is_none(), "{listed:#}");
}
