//! package.json and the lockfile have to agree: an edge that leads nowhere or to a version that
//! does not satisfy it is EUSAGE, named, before anything is touched.

use serde_json::json;

use crate::support::{Package, Project, Registry};

const HINT: &str = "hint: update the lockfile with `npm install` before continuing";
const OUT_OF_SYNC: &str = "error: EUSAGE: package.json and package-lock.json are not in sync";

/// Exactly these disagreements, no request, and every file as it was. npm refuses it too.
#[track_caller]
fn assert_out_of_sync(registry: &Registry, project: Project, disagreements: &[&str]) {
    let project = project.file("node_modules/kept/x", "x");
    project.assert_npm_fails(&[]);
    registry.forget_requests();
    let before = project.whole_tree();
    let lines = [&[OUT_OF_SYNC, ""], disagreements, &[HINT]].concat();
    project.ci(&[]).assert_failure(&lines);
    assert_eq!(project.whole_tree(), before);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn a_dependency_that_the_lockfile_does_not_have_is_named() {
    let registry = Registry::start();
    registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).wants("dependencies", "a", "^1.0.0");
    let line = "Missing: a@^1.0.0 from lock file, wanted by package.json:1";
    assert_out_of_sync(&registry, project, &[line]);
}

#[test]
fn a_locked_version_that_does_not_satisfy_package_json_is_named_with_both_sides() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    registry.serve(Package::new("a", "2.0.0"));
    let project = Project::new(&registry).with(&a).wants("dependencies", "a", "^2.0.0");
    let line = "Invalid: lock file's a@1.0.0 (node_modules/a, package-lock.json:12) does not \
                satisfy a@^2.0.0, wanted by package.json:1";
    assert_out_of_sync(&registry, project, &[line]);
}

#[test]
fn a_dependency_of_a_package_is_checked_as_well() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").dependency("b", "^1.0.0"));
    registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let line = "Missing: b@^1.0.0 from lock file, wanted by node_modules/a in package-lock.json:12";
    assert_out_of_sync(&registry, project, &[line]);
}

#[test]
fn a_dependency_of_a_workspace_is_checked_as_well() {
    let registry = Registry::start();
    registry.serve(Package::new("a", "1.0.0"));
    let workspace = Package::new("w", "1.0.0");
    let project = Project::new(&registry).workspace("packages/w", &workspace).file(
        "packages/w/package.json",
        r#"{"name": "w", "version": "1.0.0", "devDependencies": {"a": "1"}}"#,
    );
    let line = "Missing: a@1 from lock file, wanted by packages/w/package.json:1";
    assert_out_of_sync(&registry, project, &[line]);
}

#[test]
fn every_disagreement_is_named_at_once() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").dependency("d", "1"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    for name in ["b", "c", "d"] {
        registry.serve(Package::new(name, "3.0.0"));
    }
    let project = Project::new(&registry)
        .with(&a)
        .with(&b)
        .wants("devDependencies", "c", "^3.0.0")
        .wants("dependencies", "b", "^3.0.0");
    registry.serve(Package::new("d", "1.0.0"));
    let project = project.file("node_modules/kept/x", "x");
    project.assert_npm_fails(&[]);
    let outcome = project.ci(&[]);
    outcome.assert_error("EUSAGE");
    let mut lines: Vec<_> = outcome.stderr.lines().collect();
    lines.sort_unstable();
    let mut expected = [
        OUT_OF_SYNC,
        "",
        "Invalid: lock file's b@1.0.0 (node_modules/b, package-lock.json:24) does not satisfy \
         b@^3.0.0, wanted by package.json:1",
        "Missing: c@^3.0.0 from lock file, wanted by package.json:1",
        "Missing: d@1 from lock file, wanted by node_modules/a in package-lock.json:16",
        HINT,
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn a_workspace_that_the_lockfile_does_not_have_is_named() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .field("workspaces", json!(["packages/*"]))
        .file("packages/w/package.json", r#"{"name": "w", "version": "1.0.0"}"#);
    let outcome = project.ci(&[]);
    project.assert_npm_fails(&[]);
    assert!(outcome.assert_error("EUSAGE").contains("not in sync"));
    assert!(outcome.stderr.contains("Missing: w@"), "{}", outcome.stderr);
}

#[test]
fn an_unmet_peer_dependency_is_named() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").dependency_of("peerDependencies", "b", "^1.0.0");
    let a = registry.serve(a);
    registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let line = "Missing: b@^1.0.0 from lock file, wanted by node_modules/a in package-lock.json:12";
    assert_out_of_sync(&registry, project, &[line]);
}

#[test]
fn with_legacy_peer_deps_an_unmet_peer_dependency_is_nothing() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").dependency_of("peerDependencies", "b", "^1.0.0");
    let a = registry.serve(a);
    registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    project.assert_same_as_npm(&["--legacy-peer-deps"]);
    let project = project.npmrc("legacy-peer-deps=true\n");
    project.assert_same_as_npm(&[]);
}

#[test]
fn an_optional_peer_dependency_may_be_missing() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0")
        .dependency_of("peerDependencies", "b", "^1.0.0")
        .field("peerDependenciesMeta", json!({"b": {"optional": true}}));
    let a = registry.serve(a);
    let project = Project::new(&registry).with(&a);
    project.assert_same_as_npm(&[]);
}

#[test]
fn an_override_takes_the_place_of_what_a_package_asks_for() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").dependency("b", "^1.0.0"));
    let b = registry.serve(Package::new("b", "2.0.0"));
    let project = Project::new(&registry)
        .field("overrides", json!({"b": "2.0.0"}))
        .with(&a)
        .at("node_modules/b", &b);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a, node_modules/b]",
        "a/",
        "a/package.json {a@1.0.0}",
        "b/",
        "b/package.json {b@2.0.0}",
    ]);
}

#[test]
fn what_the_root_entry_of_the_lockfile_repeats_of_package_json_is_not_compared() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let mut lockfile = project.lockfile();
    lockfile["packages"][""]["dependencies"]["a"] = json!("~1.0.0");
    let project = project.file("package-lock.json", &lockfile.to_string());
    project.assert_same_as_npm(&[]);
}

#[test]
fn a_prerelease_satisfies_a_range_only_where_the_range_names_one() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "2.0.0-rc.1"));
    registry.serve(Package::new("a", "2.0.0"));
    let project = Project::new(&registry).with(&a).wants("dependencies", "a", "^2.0.0-rc.0");
    project.assert_same_as_npm(&[]);
    let project = project.wants("dependencies", "a", "^2.0.0");
    let line = "Invalid: lock file's a@2.0.0-rc.1 (node_modules/a, package-lock.json:12) does not \
                satisfy a@^2.0.0, wanted by package.json:1";
    assert_out_of_sync(&registry, project, &[line]);
}

#[test]
fn an_override_can_be_nested_and_can_refer_to_a_dependency_of_the_root() {
    let registry = Registry::start();
    let b = registry.serve(Package::new("b", "2.0.0"));
    let c = registry.serve(Package::new("c", "3.0.0"));
    let a = Package::new("a", "1.0.0").dependency("b", "^1.0.0").dependency("c", "^1.0.0");
    let a = registry.serve(a);
    let project = Project::new(&registry)
        .field("overrides", json!({"a": {"b": "$b", "c": "3.0.0"}}))
        .with(&a)
        .with(&b)
        .at("node_modules/c", &c);
    project.assert_same_as_npm(&[]);
}

#[test]
fn the_line_of_package_json_is_that_of_the_dependency() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let manifest = "{\n  \"scripts\": {\n    \"a\": \"x\"\n  },\n  \"devDependencies\": {\n    \
                    \"b\": \"1\",\n    \"a\": \"2\"\n  }\n}\n";
    let project = Project::new(&registry).with(&a).file("package.json", manifest);
    let outcome = project.ci(&[]);
    outcome.assert_error("EUSAGE");
    assert!(outcome.stderr.contains("a@2, wanted by package.json:7\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("b@1 from lock file, wanted by package.json:6\n"));
}
