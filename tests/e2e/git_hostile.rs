//! Lockfiles and repositories that want more than to be installed.

use std::fs;

use serde_json::json;

use crate::support::repository::Repository;
use crate::support::{Package, Project, Registry};

const COMMIT: &str = "0123456789012345678901234567890123456789";

#[test]
fn addresses_that_are_options_or_programs_are_refused_before_anything_is_touched() {
    for (resolved, why) in [
        (
            format!("git+ssh://git@host.test/r#--upload-pack=touch {COMMIT}"),
            "without a whole commit",
        ),
        ("git+ssh://git@host.test/r#0123456".to_owned(), "without a whole commit"),
        ("git+ssh://git@host.test/r#main".to_owned(), "without a whole commit"),
        ("git+ssh://git@host.test/r".to_owned(), "without a whole commit"),
        (format!("git+ssh://-oProxyCommand=touch@host.test/r#{COMMIT}"), "cannot be given"),
        (format!("git+ssh://-oProxyCommand=touch/r#{COMMIT}"), "cannot be given"),
        (format!("git+file://host/r#{COMMIT}"), "cannot be given"),
        (format!("git+https://host.test/r#{COMMIT}::path:../x"), "outside of its git repository"),
        (format!("ext::sh -c touch% x#{COMMIT}"), "not understood"),
        (format!("git+ext::sh -c touch% x#{COMMIT}"), "not understood"),
        ("unix:/run/x.sock".to_owned(), "not understood"),
        ("file:///etc/passwd".to_owned(), "a folder that is no link"),
    ] {
        let registry = Registry::start();
        let a = registry.serve(Package::new("a", "1.0.0"));
        let project = Project::new(&registry)
            .with(&a)
            .entry("node_modules/a", json!({"resolved": resolved}))
            .file("node_modules/kept/x", "x");
        let before = project.whole_tree();
        let outcome = project.ci(&[]);
        outcome.assert_error("EUNSUPPORTEDSOURCE");
        assert!(outcome.stderr.contains(why), "{resolved}: {}", outcome.stderr);
        assert_eq!(project.whole_tree(), before);
        assert_eq!(registry.paths(), [""; 0]);
    }
}

/// The project wants `one` from the repository, and lies beside a file that it must not see.
fn project(make: impl FnOnce(Repository) -> Repository) -> Project {
    let registry = Registry::start();
    let project = Project::new(&registry).keeping(registry);
    fs::create_dir_all(project.temp().join("secret/node_modules/b")).unwrap();
    fs::write(project.temp().join("secret/file"), "secret\n").unwrap();
    let repository = make(Repository::new(&project, "one"));
    let address = repository.address(&repository.commit());
    project
        .wants("dependencies", "one", &address)
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": address}))
}

#[test]
fn links_of_a_repository_are_not_followed_out_of_it() {
    let project = project(|repository| {
        let secret = repository.path().join("../../secret").display().to_string();
        repository
            .manifest(json!({"name": "one", "version": "1.0.0", "files": ["x", "away/file"]}))
            .link("x", &format!("{secret}/file"))
            .link("away", &secret)
            .link(".npmignore", &format!("{secret}/file"))
    });
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/one]",
        "one/",
        "one/package.json {one@1.0.0}",
    ]);
}

#[test]
fn a_bundle_that_is_a_link_out_of_the_repository_is_refused() {
    let project = project(|repository| {
        let secret = repository.path().join("../../secret").canonicalize().unwrap();
        repository
            .manifest(json!({
                "name": "one",
                "version": "1.0.0",
                "dependencies": {"b": "1"},
                "bundleDependencies": ["b"],
            }))
            .link("node_modules/b", &secret.display().to_string())
    });
    let before = project.whole_tree();
    let outcome = project.ci(&["--ignore-scripts"]);
    outcome.assert_error("ETARBALL");
    assert!(outcome.stderr.contains("is a link out of the repository"), "{}", outcome.stderr);
    assert_eq!(project.whole_tree(), before);
}

#[test]
fn a_package_json_that_is_a_link_is_none() {
    let project = project(|repository| {
        repository
            .file("real.json", r#"{"name": "one", "version": "1.0.0"}"#)
            .link("package.json", "real.json")
    });
    let outcome = project.ci(&["--ignore-scripts"]);
    outcome.assert_error("ETARBALL");
    assert!(outcome.stderr.contains("it has no package.json"), "{}", outcome.stderr);
}

#[test]
fn hooks_of_the_machine_do_not_run_in_a_clone() {
    let project =
        project(|repository| repository.manifest(json!({"name": "one", "version": "1.0.0"})));
    let templates = project.temp().join("templates");
    let sprung = project.temp().join("sprung");
    fs::create_dir_all(templates.join("hooks")).unwrap();
    let hook = templates.join("hooks/post-checkout");
    fs::write(&hook, format!("#!/bin/sh\ntouch '{}'\n", sprung.display())).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let project = project
        .env("GIT_TEMPLATE_DIR", &templates.display().to_string())
        // As git sets it for a hook that calls us.
        .env("GIT_DIR", "/nowhere/.git");
    project.ci(&["--ignore-scripts"]).assert_success();
    assert!(!sprung.exists());
}

#[test]
fn a_repository_that_cannot_be_had_is_told_with_gits_words() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let address = format!("git+file://{}/gone#{COMMIT}", project.temp().display());
    let project = project
        .wants("dependencies", "one", &address)
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": address}))
        .file("node_modules/kept/x", "x");
    let before = project.whole_tree();
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("EGIT");
    let expected = format!("failed to fetch the git repository file://[TEMP]/gone#{COMMIT}");
    assert!(message.starts_with(&expected), "{message}");
    assert!(outcome.stderr.contains("does not appear to be a git repository"), "{message}");
    assert_eq!(project.whole_tree(), before);
}

#[test]
fn a_commit_that_the_repository_lacks_is_an_error() {
    let project =
        project(|repository| repository.manifest(json!({"name": "one", "version": "1.0.0"})));
    let address = format!("git+file://{}/repositories/one#{COMMIT}", project.temp().display());
    let project = project
        .wants("dependencies", "one", &address)
        .entry("node_modules/one", json!({"resolved": address}));
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("EGIT");
}

#[test]
fn without_git_the_error_says_what_it_is_needed_for() {
    let project =
        project(|repository| repository.manifest(json!({"name": "one", "version": "1.0.0"})));
    let bin = project.temp().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/sh", bin.join("sh")).unwrap();
    let project = project.env("PATH", &bin.display().to_string());
    project.ci(&[]).assert_failure(&[
        "error: ENOGIT: there is no git on PATH",
        "hint: the lockfile has packages from git repositories: install git, or fill the cache \
         where there is one",
    ]);
}

#[test]
fn a_pattern_that_no_path_could_match_is_an_error() {
    let project = project(|repository| {
        let pattern = format!("{}\n", "x".repeat(5000));
        repository.manifest(json!({"name": "one", "version": "1.0.0"})).file(".npmignore", &pattern)
    });
    let outcome = project.ci(&["--ignore-scripts"]);
    outcome.assert_error("ETARBALL");
    assert!(outcome.stderr.contains("a pattern is longer than 4096 bytes"), "{}", outcome.stderr);
}
