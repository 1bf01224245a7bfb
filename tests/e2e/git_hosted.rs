//! Repositories at known hosts. The archive that npm asks such a host for is served by the
//! registry here (`replace-registry-host`), and git is led to a local repository
//! (`url.*.insteadOf`), so that nothing leaves the machine.

use serde_json::json;

use crate::support::archive::{archive, file, gzip, link, member};
use crate::support::repository::Repository;
use crate::support::{Project, Registry, Reply};

const COMMIT: &str = "0123456789012345678901234567890123456789";

/// The project wants `one` from GitHub; git finds in the place of GitHub the folder of
/// repositories.
fn project(commit: &str) -> (Registry, Project) {
    let registry = Registry::start();
    let address = format!("git+ssh://git@github.com/owner/one.git#{commit}");
    let project = Project::new(&registry);
    let instead = format!("url.file://{}/repositories/.insteadOf", project.temp().display());
    let project = project
        .npmrc("replace-registry-host=codeload.github.com\n")
        .wants("dependencies", "one", &format!("github:owner/one#{commit}"))
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": address}))
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", &instead)
        .env("GIT_CONFIG_VALUE_0", "https://github.com/")
        .env("GIT_CONFIG_KEY_1", &instead)
        .env("GIT_CONFIG_VALUE_1", "ssh://git@github.com/");
    (registry, project)
}

fn archive_path(commit: &str) -> String {
    format!("/owner/one/tar.gz/{commit}")
}

#[test]
fn a_known_host_is_asked_for_an_archive_of_the_commit() {
    let (registry, project) = project(COMMIT);
    let manifest = r#"{"name": "one", "version": "1.0.0", "files": ["lib", ".gitignore"]}"#;
    let members = [
        file("one-0123456/package.json", manifest),
        file("one-0123456/.gitignore", "x\n"),
        file("one-0123456/lib/a.js", "a\n"),
        file("one-0123456/lib/.gitignore", "b.js\n"),
        file("one-0123456/lib/b.js", "b\n"),
        member("one-0123456/lib/run", b'0', 0o755, b"#!/bin/sh\n"),
        file("one-0123456/test.js", "x\n"),
        link("one-0123456/lib/passwd", b'2', "/etc/passwd"),
    ];
    registry.reply_always(&archive_path(COMMIT), Reply::ok(gzip(&archive(&members))));
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&[
        ".package-lock.json [node_modules/one]",
        "one/",
        r#"one/.npmignore "x\n""#,
        "one/lib/",
        r#"one/lib/a.js "a\n""#,
        r##"one/lib/run 755 "#!/bin/sh\n""##,
        "one/package.json {one@1.0.0}",
    ]);
    registry.forget_requests();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn without_an_archive_git_is_asked() {
    let (_registry, scratch) = project(COMMIT);
    let commit = Repository::new(&scratch, "owner/one.git")
        .manifest(json!({"name": "one", "version": "1.0.0"}))
        .commit();
    let repositories = scratch.temp().join("repositories");
    let (registry, project) = project(&commit);
    std::fs::rename(repositories, project.temp().join("repositories")).unwrap();
    for status in [404, 403] {
        registry.reply_always(&archive_path(&commit), Reply::status(status));
        project.assert_same_as_npm(&[]).assert_quiet_success();
        assert!(registry.count(&archive_path(&commit)) > 0);
        std::fs::remove_dir_all(project.cache()).unwrap();
    }
}

#[test]
fn an_archive_that_cannot_be_understood_is_not_installed() {
    let (registry, project) = project(COMMIT);
    for body in [b"<html>".to_vec(), gzip(&archive(&[file("one/../../x", "x")]))] {
        registry.reply_always(&archive_path(COMMIT), Reply::ok(body));
        let before = project.whole_tree();
        let outcome = project.ci(&[]);
        assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
        assert_eq!(project.whole_tree(), before);
    }
}
