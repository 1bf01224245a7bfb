//! Where a package comes from: `resolved` in all its forms, aliases, scopes, and the sources that
//! are refused by name.

use serde_json::json;

use crate::support::project::Resolved;
use crate::support::{Package, Project, Registry};

/// A plain and a scoped package in a project whose entries have `resolved` as given.
fn plain_and_scoped(resolved: Resolved) -> (Registry, Project) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = registry.serve(Package::new("@scope/b", "2.0.0"));
    let project = Project::new(&registry).resolved(resolved).with(&a).with(&b);
    (registry, project)
}

#[track_caller]
fn assert_plain_and_scoped(registry: &Registry, project: &Project) {
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&[
        ".package-lock.json [node_modules/@scope/b, node_modules/a]",
        "@scope/",
        "@scope/b/",
        "@scope/b/package.json {@scope/b@2.0.0}",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
    // Once more without npm's own requests.
    registry.forget_requests();
    std::fs::remove_dir_all(project.cache()).unwrap();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), ["/@scope/b/-/b-2.0.0.tgz", "/a/-/a-1.0.0.tgz"]);
}

#[test]
fn resolved_at_the_registry_is_asked_for_as_it_is() {
    let (registry, project) = plain_and_scoped(Resolved::Present);
    assert_plain_and_scoped(&registry, &project);
}

#[test]
fn without_resolved_the_conventional_address_is_asked_for() {
    let (registry, project) = plain_and_scoped(Resolved::Absent);
    assert_plain_and_scoped(&registry, &project);
}

#[test]
fn resolved_at_the_default_registry_means_the_configured_one() {
    let (registry, project) = plain_and_scoped(Resolved::DefaultHost);
    assert_plain_and_scoped(&registry, &project);
}

#[test]
fn entries_with_and_without_resolved_go_together() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let c = registry.serve(Package::new("c", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .resolved(Resolved::Absent)
        .with(&b)
        .resolved(Resolved::DefaultHost)
        .with(&c);
    project.assert_same_as_npm(&[]);
}

#[test]
fn a_scope_with_a_registry_of_its_own_is_asked_there() {
    let (main, scoped) = (Registry::start(), Registry::start());
    let a = main.serve(Package::new("a", "1.0.0"));
    let b = scoped.serve(Package::new("@scope/b", "2.0.0"));
    let project = Project::new(&main)
        .npmrc(&format!("@scope:registry={}\n", scoped.url()))
        .resolved(Resolved::Absent)
        .with(&a)
        .with(&b);
    project.assert_same_as_npm(&[]);
    main.forget_requests();
    scoped.forget_requests();
    std::fs::remove_dir_all(project.cache()).unwrap();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(main.paths(), ["/a/-/a-1.0.0.tgz"]);
    assert_eq!(scoped.paths(), ["/@scope/b/-/b-2.0.0.tgz"]);
}

#[test]
fn an_alias_is_fetched_under_the_real_name_and_lies_under_its_own() {
    for resolved in [Resolved::Present, Resolved::Absent] {
        let registry = Registry::start();
        let real = registry.serve(Package::new("@scope/real", "1.2.3"));
        let project = Project::new(&registry)
            .resolved(resolved)
            .wants("dependencies", "alias", "npm:@scope/real@^1.0.0")
            .at("node_modules/alias", &real);
        project.assert_same_as_npm(&[]);
        project.installed().assert(&[
            ".package-lock.json [node_modules/alias]",
            "alias/",
            "alias/package.json {@scope/real@1.2.3}",
        ]);
        assert!(registry.count("/@scope/real/-/real-1.2.3.tgz") > 0);
        assert_eq!(registry.count("/alias/-/alias-1.2.3.tgz"), 0);
    }
}

/// The source is refused with this line, and neither the disk nor the registry was touched.
#[track_caller]
fn assert_refused(resolved: &str, line: &str) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .entry("node_modules/a", json!({"resolved": resolved}))
        .file("node_modules/kept/x", "x");
    let before = project.whole_tree();
    project.ci(&[]).assert_failure(&[
        "error: EUNSUPPORTEDSOURCE: 1 package of the lockfile come from sources that are not \
         installed",
        "",
        line,
        "hint: install this project with `npm ci`, which knows those sources",
    ]);
    assert_eq!(project.whole_tree(), before);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn a_folder_that_is_no_link_is_refused_before_anything_is_touched() {
    assert_refused("file:a-1.0.0", "node_modules/a is a folder that is no link");
}

#[test]
fn an_address_of_an_unknown_kind_is_refused_before_anything_is_touched() {
    let line = "node_modules/a is an address that is not understood";
    assert_refused("gopher://other.test/a", line);
}

#[test]
fn every_source_that_is_not_installed_is_named_at_once() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .with(&b)
        .entry("node_modules/a", json!({"resolved": "file:a"}))
        .entry("node_modules/b", json!({"resolved": "git+https://other.test/b.git#main"}));
    project.ci(&[]).assert_failure(&[
        "error: EUNSUPPORTEDSOURCE: 2 packages of the lockfile come from sources that are not \
         installed",
        "",
        "node_modules/a is a folder that is no link",
        "node_modules/b is a git repository without a whole commit",
        "hint: install this project with `npm ci`, which knows those sources",
    ]);
}
