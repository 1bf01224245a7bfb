//! Packages from git that are built by their own scripts before they are packed.

use std::fs;

use serde_json::{Value, json};

use crate::support::repository::Repository;
use crate::support::tree::Tree;
use crate::support::{Project, Registry};

/// A package that is built by `prepare` and packs what that has made.
fn project(scripts: &Value) -> Project {
    let registry = Registry::start();
    let project = Project::new(&registry).keeping(registry);
    let repository = Repository::new(&project, "one").file("kept.txt", "kept\n").manifest(
        json!({"name": "one", "version": "1.0.0", "files": ["*.txt"], "scripts": scripts}),
    );
    let address = repository.address(&repository.commit());
    project
        .wants("dependencies", "one", &address)
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": address}))
}

/// What npm installs where scripts run; it does so once, for the default engines.
fn npm_with_scripts(project: &Project) -> Option<Tree> {
    let cache = project.temp().join("npm-cache").display().to_string();
    let arguments = ["ci", "--no-audit", "--no-fund", "--cache", &cache];
    let outcome = project.npm(&arguments)?;
    outcome.assert_success();
    let tree = project.installed();
    fs::remove_dir_all(project.path().join("node_modules")).unwrap();
    Some(tree)
}

#[test]
fn prepare_runs_before_a_package_is_packed() {
    let project = project(&json!({"prepare": "echo built >built.txt"}));
    let theirs = npm_with_scripts(&project);
    project.ci(&[]).assert_success();
    let ours = project.installed();
    ours.assert(&[
        ".package-lock.json [node_modules/one]",
        "one/",
        r#"one/built.txt "built\n""#,
        r#"one/kept.txt "kept\n""#,
        "one/package.json {one@1.0.0}",
    ]);
    assert!(theirs.is_none_or(|theirs| theirs == ours));
}

#[test]
fn without_scripts_a_package_is_packed_as_it_is_and_stored_beside_the_built_one() {
    let project = project(&json!({"prepare": "echo built >built.txt"}));
    let unbuilt = [
        ".package-lock.json [node_modules/one]",
        "one/",
        r#"one/kept.txt "kept\n""#,
        "one/package.json {one@1.0.0}",
    ];
    project.assert_same_as_npm(&[]);
    project.installed().assert(&unbuilt);
    project.ci(&[]).assert_success();
    assert!(project.path().join("node_modules/one/built.txt").is_file());
    project.ci(&["--ignore-scripts"]).assert_success();
    project.installed().assert(&unbuilt);
}

#[test]
fn a_script_that_fails_is_told_with_its_last_words() {
    let project = project(&json!({"prepare": "echo broken build; exit 3"}));
    let before = project.whole_tree();
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("EGIT");
    assert!(message.starts_with("failed to pack the git repository"), "{message}");
    assert!(outcome.stderr.contains("broken build"), "{}", outcome.stderr);
    assert_eq!(project.whole_tree(), before);
}

#[test]
fn a_build_without_npm_is_an_error_that_says_what_for() {
    let project = project(&json!({"prepare": "true"}));
    let bin = project.temp().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["sh", "git"] {
        let path = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&path).map(|folder| folder.join(program));
        let found = found.into_iter().find(|file| file.is_file()).unwrap();
        std::os::unix::fs::symlink(found, bin.join(program)).unwrap();
    }
    let project = project.env("PATH", &bin.display().to_string());
    let outcome = project.ci(&[]);
    outcome.assert_error("EGIT");
    assert!(outcome.stderr.contains("there is no npm to prepare"), "{}", outcome.stderr);
    project.ci(&["--ignore-scripts"]).assert_success();
}

/// A dependency of the repository comes from git as well, so that npm needs a git while it
/// prepares; the repository's own settings name another program.
#[test]
fn a_repository_does_not_choose_the_git_that_prepares_it() {
    let registry = Registry::start();
    let project = Project::new(&registry).keeping(registry);
    let trap = project.temp().join("trap");
    let sprung = project.temp().join("sprung");
    fs::write(&trap, format!("#!/bin/sh\ntouch '{}'\nexec git \"$@\"\n", sprung.display()))
        .unwrap();
    fs::set_permissions(&trap, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let inner =
        Repository::new(&project, "inner").manifest(json!({"name": "inner", "version": "1.0.0"}));
    let inner_address = inner.address(&inner.commit());
    let repository = Repository::new(&project, "one")
        .manifest(json!({
            "name": "one",
            "version": "1.0.0",
            "scripts": {"prepare": "true"},
            "devDependencies": {"inner": inner_address},
        }))
        .file(".npmrc", &format!("git={}\n", trap.display()));
    let address = repository.address(&repository.commit());
    let project = project
        .npmrc(&format!("git={}\n", trap.display()))
        .wants("dependencies", "one", &address)
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": address}));
    project.ci(&[]).assert_success();
    assert!(!sprung.exists());
}

#[test]
fn what_keeps_scripts_of_dependencies_from_running_keeps_packages_from_being_built() {
    let is_built = |allow: &Value, arguments: &[&str]| {
        let project = project(&json!({"prepare": "echo built >built.txt"}));
        let project = project.field("allowScripts", allow.clone());
        project.ci(arguments).assert_success();
        project.path().join("node_modules/one/built.txt").exists()
    };
    let nobody = json!({});
    assert!(is_built(&nobody, &[]));
    assert!(!is_built(&nobody, &["--scripts=none"]));
    assert!(!is_built(&nobody, &["--scripts=allowed"]));
}
