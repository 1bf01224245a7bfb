//! `allow-git`, `allow-remote` and `allow-file`: npm is asked the same.

use std::fs;

use serde_json::json;

use crate::support::repository::Repository;
use crate::support::{Package, Project, Registry, Reply};

/// A project of which each kind of package is wanted by the project or by another package.
fn project(kind: &str, is_wanted_by_project: bool) -> (Registry, Registry, Project) {
    let (registry, other) = (Registry::start(), Registry::start());
    let project = Project::new(&registry);
    let one = Package::new("one", "1.0.0");
    other.reply_always("/one.tgz", Reply::ok(one.tgz()));
    fs::write(project.path().join("one.tgz"), one.tgz()).unwrap();
    let repository =
        Repository::new(&project, "one").manifest(json!({"name": "one", "version": "1.0.0"}));
    let address = match kind {
        "git" => repository.address(&repository.commit()),
        "remote" => format!("{}one.tgz", other.url()),
        _ => format!("file:{}", project.path().join("one.tgz").display()),
    };
    let project = if is_wanted_by_project {
        project.wants("dependencies", "one", &address)
    } else {
        let a = registry.serve(Package::new("a", "1.0.0").dependency("one", &address));
        project.with(&a)
    };
    let project = project
        .at("node_modules/one", &one)
        .entry("node_modules/one", json!({"resolved": address, "integrity": null}));
    (registry, other, project)
}

#[test]
fn each_setting_forbids_its_own_kind_with_npms_code() {
    for (kind, code) in [("git", "EALLOWGIT"), ("remote", "EALLOWREMOTE"), ("file", "EALLOWFILE")] {
        let (_registry, _other, project) = project(kind, true);
        let project = project.npmrc(&format!("allow-{kind}=none\n"));
        let project = project.file("node_modules/kept/x", "x");
        let before = project.whole_tree();
        project.assert_npm_fails(&[]);
        let outcome = project.ci(&[]);
        let message = outcome.assert_error(code);
        assert!(message.starts_with(&format!("`allow-{kind}=none` forbids 1 package from")));
        assert!(outcome.stderr.contains("\nnode_modules/one\n"), "{}", outcome.stderr);
        assert_eq!(project.whole_tree(), before);
    }
}

#[test]
fn root_allows_what_the_project_asks_for_itself() {
    for kind in ["git", "remote"] {
        let (_registry, _other, wanted) = project(kind, true);
        wanted.npmrc(&format!("allow-{kind}=root\n")).assert_same_as_npm(&[]);
        let (_registry, _other, unwanted) = project(kind, false);
        let unwanted = unwanted.npmrc(&format!("allow-{kind}=root\n"));
        unwanted.assert_npm_fails(&[]);
        let outcome = unwanted.ci(&[]);
        outcome.assert_error(&format!("EALLOW{}", kind.to_uppercase()));
    }
}

#[test]
fn an_optional_package_that_is_forbidden_is_left_out() {
    let (registry, _other, project) = project("remote", true);
    let other = registry.serve(Package::new("other", "1.0.0"));
    let address = project.lockfile()["packages"]["node_modules/one"]["resolved"].clone();
    let project = project
        .field("dependencies", json!({}))
        .wants("optionalDependencies", "one", address.as_str().unwrap())
        .entry("node_modules/one", json!({"optional": true}))
        .with(&other)
        .npmrc("allow-remote=none\n");
    let outcome = project.assert_same_as_npm(&[]);
    let line = "left out an optional package: node_modules/one may not come from where it does";
    assert!(outcome.stderr.contains(line), "{}", outcome.stderr);
}

#[test]
fn a_registrys_tarball_is_not_remote() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a).npmrc("allow-remote=none\n");
    project.assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn a_registrys_tarball_that_is_asked_for_by_address_is_remote() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let address = format!("{}{}", registry.url(), a.tarball_path());
    let project = Project::new(&registry)
        .with(&a)
        .wants("dependencies", "a", &address)
        .npmrc("allow-remote=none\n");
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("EALLOWREMOTE");
}

#[test]
fn what_is_no_value_of_the_setting_is_ignored_with_a_warning() {
    let (_registry, _other, project) = project("remote", true);
    let project = project.npmrc("allow-remote=never\n");
    let outcome = project.assert_same_as_npm(&[]);
    assert!(outcome.stderr.contains("is neither all, root nor none"), "{}", outcome.stderr);
}
