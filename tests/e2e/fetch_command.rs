//! `ringstall fetch`: the cache is filled from the lockfile alone, and `ci --offline` then finds
//! all that it asks for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::npm_cache::NpmCache;
use crate::support::outcome::Outcome;
use crate::support::schema::assert_valid;
use crate::support::{Package, Project, Registry};

/// A folder with the lockfile alone, as a layer of an image has it.
fn layer(project: &Project) -> PathBuf {
    let layer = project.temp().join("layer");
    fs::create_dir_all(&layer).unwrap();
    for name in ["package-lock.json", ".npmrc"] {
        // Not every project has an .npmrc.
        if project.path().join(name).exists() {
            fs::copy(project.path().join(name), layer.join(name)).unwrap();
        }
    }
    layer
}

fn fetch_in(project: &Project, folder: &Path, arguments: &[&str]) -> Outcome {
    let (folder, cache) = (folder.to_str().unwrap().to_owned(), project.cache());
    let registry = project.registry_arguments();
    let mut line = vec!["fetch", "-C", &folder, "--cache", cache.to_str().unwrap()];
    line.extend(registry.iter().map(String::as_str));
    line.extend(arguments);
    project.ringstall(&line)
}

fn fetch(project: &Project, arguments: &[&str]) -> Outcome {
    fetch_in(project, &layer(project), arguments)
}

/// Of every kind that a lockfile has.
fn every_kind(registry: &Registry) -> Project {
    let serve = |package: Package| registry.serve(package);
    let plain = serve(Package::new("plain", "1.0.0").file("index.js", "plain"));
    let tool = serve(
        Package::new("@s/tool", "1.0.0")
            .file("run.js", "#!/bin/sh\n")
            .field("bin", json!("run.js")),
    );
    let here = serve(Package::new("here", "1.0.0").field("os", json!(["linux"])));
    let below = serve(Package::new("below", "1.0.0"));
    let elsewhere = Package::new("elsewhere", "1.0.0").field("os", json!(["sunos"]));
    let elsewhere = serve(elsewhere.dependency("below", "1.0.0"));
    let peer = serve(Package::new("peer", "1.0.0"));
    let host = Package::new("host", "1.0.0").dependency_of("peerDependencies", "peer", "1.0.0");
    let host = serve(host);
    let inner = Package::new("inner", "1.0.0");
    let bundling = Package::new("bundling", "1.0.0")
        .dependency("inner", "1.0.0")
        .field("bundleDependencies", json!(["inner"]))
        .file("node_modules/inner/package.json", r#"{"name": "inner", "version": "1.0.0"}"#);
    let bundling = serve(bundling);
    let only_a = serve(Package::new("only-a", "1.0.0"));
    let dev_of_a = serve(Package::new("dev-of-a", "1.0.0"));
    let beside = serve(Package::new("beside-dep", "1.0.0"));
    let member = Package::new("member", "1.0.0").dependency("only-a", "1.0.0").dependency_of(
        "devDependencies",
        "dev-of-a",
        "1.0.0",
    );
    let linked = Package::new("linked", "1.0.0").dependency("beside-dep", "1.0.0");
    Project::new(registry)
        .with(&plain)
        .with_dev(&tool)
        .with_optional(&here)
        .with_optional(&elsewhere)
        .at("node_modules/below", &below)
        .entry("node_modules/below", json!({"optional": true}))
        .with(&host)
        .at("node_modules/peer", &peer)
        .entry("node_modules/peer", json!({"peer": true}))
        .wants("dependencies", "alias", "npm:plain@1.0.0")
        .at("node_modules/alias", &plain)
        .with(&bundling)
        .at("node_modules/bundling/node_modules/inner", &inner)
        .entry("node_modules/bundling/node_modules/inner", json!({"inBundle": true}))
        .workspace("packages/member", &member)
        .at("node_modules/only-a", &only_a)
        .at("packages/member/node_modules/dev-of-a", &dev_of_a)
        .entry("packages/member/node_modules/dev-of-a", json!({"dev": true}))
        .wants("dependencies", "linked", "file:linked")
        .linked("linked", &linked)
        .at("linked/node_modules/beside-dep", &beside)
}

#[test]
fn after_fetch_from_the_lockfile_alone_ci_needs_no_registry() {
    let registry = Registry::start();
    let project = every_kind(&registry);
    let theirs = project.npm_ci(&[]);
    registry.forget_requests();
    let outcome = fetch(&project, &[]);
    outcome.assert_quiet_success();
    let said = "fetched 9 packages in [TIME] (9 downloaded, 0 reused)\n";
    assert_eq!(outcome.stdout, said);
    assert_eq!(registry.requests().len(), 9);
    assert!(!project.temp().join("layer/node_modules").exists());
    drop(registry);
    let outcome = project.ci(&["--offline"]);
    outcome.assert_quiet_success();
    assert!(outcome.stdout.contains("(0 downloaded, 9 reused;"), "{}", outcome.stdout);
    if let Some((judge, tree)) = theirs {
        judge.assert_success();
        let differences = project.whole_tree().differences(&tree, ["ringstall", "the judge"]);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

#[test]
fn the_same_holds_for_each_kind_that_is_left_out() {
    for arguments in [
        &["--omit=dev"][..],
        &["--omit=optional"],
        &["--omit=peer"],
        &["--omit=dev", "--omit=optional", "--omit=peer"],
        &["--os=sunos"],
        &["--legacy-peer-deps"],
    ] {
        let registry = Registry::start();
        let project = every_kind(&registry);
        fetch(&project, arguments).assert_quiet_success();
        let fetched = registry.paths();
        drop(registry);
        let outcome = project.ci(&[arguments, &["--offline", "--json"]].concat());
        assert_eq!(outcome.json()["reused"], json!(fetched.len()), "{arguments:?}: {fetched:?}");
    }
}

#[test]
fn fetch_needs_neither_package_json_nor_node() {
    let registry = Registry::start();
    let project = every_kind(&registry);
    let programs = project.temp().join("programs");
    fs::create_dir(&programs).unwrap();
    symlink("/bin/sh", programs.join("sh")).unwrap();
    let project = project.env("PATH", programs.to_str().unwrap());
    let layer = layer(&project);
    fetch_in(&project, &layer, &[]).assert_quiet_success();
    let left: Vec<_> = fs::read_dir(layer).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, ["package-lock.json"]);
}

#[test]
fn fetch_looks_at_nothing_but_the_lockfile() {
    let registry = Registry::start();
    let project = every_kind(&registry);
    let layer = layer(&project);
    fs::write(layer.join("package.json"), "no JSON").unwrap();
    fs::create_dir_all(layer.join("packages/member")).unwrap();
    fs::write(layer.join("packages/member/package.json"), r#"{"name": "other"}"#).unwrap();
    fetch_in(&project, &layer, &[]).assert_quiet_success();
    assert_eq!(registry.requests().len(), 9);
}

#[test]
fn what_fetch_has_is_not_fetched_again() {
    let registry = Registry::start();
    let project = every_kind(&registry);
    fetch(&project, &[]).assert_quiet_success();
    registry.forget_requests();
    let summary = fetch(&project, &["--json"]).json();
    assert_eq!((&summary["reused"], &summary["downloaded"]), (&json!(9), &json!(0)));
    assert_eq!((&summary["added"], &summary["files"]), (&json!(0), &json!(0)));
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn fetch_tells_machines_what_ci_tells_them() {
    let registry = Registry::start();
    let project = every_kind(&registry);
    let events = project.temp().join("events");
    let arguments = ["--json", "--events", events.to_str().unwrap()];
    assert_valid(&fetch(&project, &arguments).json(), "ci");
    let events = fs::read_to_string(events).unwrap();
    let events: Vec<Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        assert_valid(event, "event");
    }
    assert_eq!(events[0]["command"], json!("fetch"));
    let packages = events.iter().filter(|event| event["event"] == "package");
    let places: Vec<_> = packages.map(|event| event["paths"].clone()).collect();
    assert_eq!(places, vec![json!([]); 9]);
}

#[test]
fn stdout_has_room_for_one_thing() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let outcome = fetch(&project, &["--json", "--events", "-"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}

#[test]
fn optional_packages_are_fetched_whatever_node_they_want() {
    let registry = Registry::start();
    let picky = Package::new("picky", "1.0.0").field("engines", json!({"node": ">=9999"}));
    let picky = registry.serve(picky);
    let project = Project::new(&registry).with_optional(&picky);
    fetch(&project, &[]).assert_quiet_success();
    assert_eq!(registry.paths(), ["/picky/-/picky-1.0.0.tgz"]);
}

#[test]
fn an_optional_package_that_cannot_be_had_is_a_warning() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let gone = Package::new("gone", "1.0.0");
    let project = Project::new(&registry).with(&a).with_optional(&gone);
    let outcome = fetch(&project, &[]);
    outcome.assert_success();
    let warning = "warning: left out an optional package: E404: failed to install gone@1.0.0";
    assert!(outcome.stderr.starts_with(warning), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "fetched 1 package in [TIME] (1 downloaded, 0 reused)\n");
}

#[test]
fn a_required_package_that_cannot_be_had_is_an_error() {
    let registry = Registry::start();
    let gone = Package::new("gone", "1.0.0");
    let project = Project::new(&registry).with(&gone);
    let outcome = fetch(&project, &[]);
    let message = outcome.assert_error("E404");
    assert!(message.starts_with("failed to install gone@1.0.0"), "{message}");
}

#[test]
fn a_folder_without_a_lockfile_is_an_error() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let outcome = fetch_in(&project, &project.temp().join("home"), &[]);
    let message = outcome.assert_error("EUSAGE");
    let expected = "no package-lock.json or npm-shrinkwrap.json in `[TEMP]/home`";
    assert_eq!(message, expected);
}

#[test]
fn the_npmrc_beside_the_lockfile_is_honoured() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let (url, address) = (registry.url(), registry.nerf_dart());
    let project = Project::new(&registry)
        .with(&a)
        .npmrc(&format!("registry={url}\n{address}:_authToken=${{TOKEN}}\n"))
        .env("TOKEN", "open-sesame")
        .without_registry_option();
    fetch(&project, &[]).assert_quiet_success();
    assert_eq!(registry.requests()[0].authorization.as_deref(), Some("Bearer open-sesame"));
}

#[test]
fn fetch_can_be_kept_to_what_npm_has() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    fetch(&project, &["--offline"]).assert_error("ENOTCACHED");
    let folder = project.temp().join("home/.npm");
    let _cache = NpmCache::new(folder).with(&a, "sha512");
    let outcome = fetch(&project, &["--offline"]);
    outcome.assert_quiet_success();
    let said = "fetched 1 package in [TIME] (0 downloaded, 1 from npm's cache, 0 reused)\n";
    assert_eq!(outcome.stdout, said);
    assert_eq!(registry.paths(), [""; 0]);
}
