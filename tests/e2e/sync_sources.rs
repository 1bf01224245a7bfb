//! package.json and lockfile in agreement on sources other than the registry.

use serde_json::json;

use crate::support::repository::Repository;
use crate::support::{Project, Registry};

/// package.json asks for `wanted`; the lockfile was written for `locked`, and has `resolved`.
fn project(wanted: &str, locked: &str, resolved: &str) -> Project {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .keeping(registry)
        .wants("dependencies", "one", locked)
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": resolved}));
    let manifest = json!({"name": "project", "version": "1.0.0", "dependencies": {"one": wanted}});
    project.file("package.json", &manifest.to_string())
}

/// Whether the two are found to agree: what else goes wrong then is another matter.
fn agrees(wanted: &str, locked: &str, resolved: &str) -> bool {
    let outcome = project(wanted, locked, resolved).npmrc("offline=true\n").ci(&[]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    if outcome.stderr.starts_with("error: EUSAGE") {
        let line = "Invalid: lock file's one@1.0.0 (node_modules/one, package-lock.json:12) \
                    does not satisfy";
        assert!(outcome.stderr.contains(line), "{}", outcome.stderr);
        return false;
    }
    true
}

#[test]
fn a_git_dependency_agrees_by_repository_and_commit() {
    let (first, second) = ("0".repeat(40), "1".repeat(40));
    let at = |commit: &str| format!("git+ssh://git@github.com/o/r.git#{commit}");
    let resolved = at(&first);
    for (wanted, locked, expected) in [
        ("github:o/r".to_owned(), "github:o/r".to_owned(), true),
        ("o/r".to_owned(), "o/r".to_owned(), true),
        ("https://github.com/o/r".to_owned(), "o/r".to_owned(), true),
        ("git+https://github.com/o/r.git".to_owned(), "o/r".to_owned(), true),
        (at(&first), at(&first), true),
        (at(&second), at(&first), false),
        ("github:o/other".to_owned(), "github:o/r".to_owned(), false),
        ("gitlab:o/r".to_owned(), "github:o/r".to_owned(), false),
        ("github:o/r#main".to_owned(), "github:o/r#main".to_owned(), true),
        ("github:o/r#next".to_owned(), "github:o/r#main".to_owned(), false),
        ("github:o/r#next".to_owned(), "github:o/r".to_owned(), false),
        ("github:o/r#semver:^1.0.0".to_owned(), "github:o/r#semver:^1.0.0".to_owned(), true),
        ("github:o/r#semver:^2.0.0".to_owned(), "github:o/r#semver:^1.0.0".to_owned(), false),
    ] {
        assert_eq!(agrees(&wanted, &locked, &resolved), expected, "{wanted} for {locked}");
    }
}

#[test]
fn a_repository_at_an_unknown_host_agrees_by_its_address() {
    let commit = "0".repeat(40);
    let at = |path: &str| format!("git+https://host.test/{path}.git");
    let resolved = format!("{}#{commit}", at("one"));
    assert!(agrees(&at("one"), &at("one"), &resolved));
    assert!(!agrees(&at("two"), &at("one"), &resolved));
    assert!(!agrees("git+ssh://git@host.test/one.git", &at("one"), &resolved));
}

#[test]
fn a_tarball_agrees_by_its_address() {
    let address = "https://host.test/one.tgz";
    assert!(agrees(address, address, address));
    assert!(!agrees("https://host.test/two.tgz", address, address));
    assert!(!agrees("http://host.test/one.tgz", address, address));
}

#[test]
fn a_tarball_on_the_disk_agrees_by_its_path() {
    for (wanted, expected) in [
        ("file:one.tgz", true),
        ("file:./one.tgz", true),
        ("./one.tgz", true),
        ("file:x/../one.tgz", true),
        ("file:two.tgz", false),
        ("file:../one.tgz", false),
    ] {
        assert_eq!(agrees(wanted, "file:one.tgz", "file:one.tgz"), expected, "{wanted}");
    }
}

/// npm resolves the branch anew, and finds that the lockfile lacks what it finds.
#[test]
fn npm_refuses_a_branch_that_has_moved_to_another_version() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let repository =
        Repository::new(&project, "one").manifest(json!({"name": "one", "version": "1.0.0"}));
    let first = repository.commit();
    let repository = repository.manifest(json!({"name": "one", "version": "2.0.0"}));
    repository.commit();
    repository.git(&["branch", "next"]);
    let locked = repository.address("main");
    let project = project
        .wants("dependencies", "one", &locked)
        .entry(
            "node_modules/one",
            json!({"version": "1.0.0", "resolved": repository.address(&first)}),
        )
        .file(
            "package.json",
            &json!({
                "name": "project",
                "version": "1.0.0",
                "dependencies": {"one": repository.address("next")},
            })
            .to_string(),
        );
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("EUSAGE");
}
