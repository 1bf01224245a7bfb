//! Packages from git repositories, made with local ones: npm packs the same commit.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::package::wrong_sri;
use crate::support::repository::Repository;
use crate::support::{Package, Project, Registry};

/// The project wants `one` from this address, which the lockfile has as well.
fn wanting(project: Project, address: &str) -> Project {
    wanting_with(project, address, json!({}))
}

fn wanting_with(project: Project, address: &str, fields: Value) -> Project {
    project
        .wants("dependencies", "one", address)
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": address}))
        .entry("node_modules/one", fields)
}

fn new_project() -> Project {
    let registry = Registry::start();
    Project::new(&registry).keeping(registry)
}

fn plain(project: &Project) -> Repository {
    Repository::new(project, "one")
        .manifest(json!({"name": "one", "version": "1.0.0"}))
        .file("index.js", "first\n")
}

#[test]
fn a_commit_is_packed_as_npm_packs_it() {
    let project = new_project();
    let bin = json!({"nested": "bin/nested.js", "top": "top.js"});
    let repository = Repository::new(&project, "one")
        .manifest(json!({
            "name": "one",
            "version": "1.0.0",
            "bin": bin,
            "files": ["lib", "bin", "top.js", ".gitignore"],
        }))
        .file("top.js", "#!/usr/bin/env node\n")
        .file("bin/nested.js", "#!/usr/bin/env node\r\n")
        .file_with_mode("lib/run.sh", 0o755, "#!/bin/sh\n")
        .file("lib/deep/a.js", "a\n")
        .file("lib/.npmignore", "ignored\n")
        .file("lib/ignored", "x\n")
        .file(".gitignore", "x\n")
        .file("README.md", "# one\n")
        .file("test/a.js", "a\n")
        .link("lib/link", "deep/a.js");
    let address = repository.address(&repository.commit());
    let project = wanting_with(project, &address, json!({"bin": bin}));
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&[
        ".bin/",
        ".bin/nested -> ../one/bin/nested.js",
        ".bin/top -> ../one/top.js",
        ".package-lock.json [node_modules/one]",
        "one/",
        r#"one/.npmignore "x\n""#,
        r##"one/README.md "# one\n""##,
        "one/bin/",
        r##"one/bin/nested.js 755 "#!/usr/bin/env node\n""##,
        "one/lib/",
        "one/lib/deep/",
        r#"one/lib/deep/a.js "a\n""#,
        r##"one/lib/run.sh 755 "#!/bin/sh\n""##,
        "one/package.json {one@1.0.0}",
        r##"one/top.js 755 "#!/usr/bin/env node\n""##,
    ]);
}

#[test]
fn commands_that_win_no_name_have_the_mode_that_npm_packs() {
    let project = new_project();
    let bin = json!({"nested": "bin/nested.js", "top": "top.js"});
    let repository = Repository::new(&project, "one")
        .manifest(json!({"name": "one", "version": "1.0.0", "bin": bin}))
        .file("top.js", "#!/usr/bin/env node\n")
        .file("bin/nested.js", "#!/usr/bin/env node\n");
    let address = repository.address(&repository.commit());
    wanting(project, &address).assert_same_as_npm(&[]);
}

#[test]
fn any_commit_of_any_branch_can_be_had() {
    let project = new_project();
    let repository = plain(&project);
    let first = repository.commit();
    let repository = repository.file("index.js", "second\n");
    repository.commit();
    repository.git(&["checkout", "--quiet", "-b", "other"]);
    let repository = repository.file("index.js", "third\n");
    let third = repository.commit();
    repository.git(&["checkout", "--quiet", "main"]);
    let mut project = project;
    for (commit, content) in [(first, "first\n"), (third, "third\n")] {
        project = wanting(project, &repository.address(&commit));
        project.assert_same_as_npm(&[]).assert_quiet_success();
        let path = project.path().join("node_modules/one/index.js");
        assert_eq!(fs::read_to_string(path).unwrap(), content);
    }
}

#[test]
fn a_server_that_gives_no_single_commit_is_asked_for_all() {
    let project = new_project();
    let repository = plain(&project);
    let first = repository.commit();
    repository.file("index.js", "second\n").commit();
    let repository = plain(&project);
    // Version 0 of git's protocol serves the tips of branches alone.
    let project = wanting(project, &repository.address(&first))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "protocol.version")
        .env("GIT_CONFIG_VALUE_0", "0");
    project.ci(&[]).assert_quiet_success();
    let path = project.path().join("node_modules/one/index.js");
    assert_eq!(fs::read_to_string(path).unwrap(), "first\n");
}

#[test]
fn submodules_come_along() {
    let project = new_project();
    let inner = Repository::new(&project, "inner").file("inner.js", "x\n");
    inner.commit();
    let repository = plain(&project);
    repository.git(&["submodule", "--quiet", "add", "../inner", "lib/inner"]);
    let address = repository.address(&repository.commit());
    let project = wanting(project, &address)
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "protocol.file.allow")
        .env("GIT_CONFIG_VALUE_0", "always");
    project.assert_same_as_npm(&[]).assert_quiet_success();
    assert!(project.path().join("node_modules/one/lib/inner/inner.js").is_file());
}

#[test]
fn a_folder_of_a_repository_can_be_the_package() {
    let project = new_project();
    let repository = Repository::new(&project, "one")
        .manifest(json!({"name": "all", "version": "3.0.0"}))
        .file("packages/one/package.json", r#"{"name": "one", "version": "1.0.0"}"#)
        .file("packages/one/index.js", "x\n");
    let address = format!("{}::path:packages/one", repository.address(&repository.commit()));
    wanting(project, &address).assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn bundled_dependencies_that_are_committed_are_packed_along() {
    let project = new_project();
    let repository = Repository::new(&project, "one")
        .manifest(json!({
            "name": "one",
            "version": "1.0.0",
            "dependencies": {"b": "1.0.0"},
            "bundleDependencies": ["b"],
        }))
        .file("node_modules/b/package.json", r#"{"name": "b", "version": "1.0.0"}"#)
        .file("node_modules/b/index.js", "x\n");
    let address = repository.address(&repository.commit());
    let fields = json!({"dependencies": {"b": "1.0.0"}, "bundleDependencies": ["b"]});
    let project = wanting_with(project, &address, fields)
        .entry("node_modules/one/node_modules/b", json!({"version": "1.0.0", "inBundle": true}));
    project.assert_same_as_npm(&[]).assert_quiet_success();
    assert!(project.path().join("node_modules/one/node_modules/b/index.js").is_file());
}

/// npm says so in a warning: what it packs today need not be what it packed then.
#[test]
fn integrity_of_a_git_package_is_not_compared() {
    let project = new_project();
    let repository = plain(&project);
    let address = repository.address(&repository.commit());
    let fields = json!({"integrity": wrong_sri("sha512")});
    wanting_with(project, &address, fields).assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn a_second_install_needs_neither_git_nor_the_repository() {
    let project = new_project();
    let repository = plain(&project);
    let address = repository.address(&repository.commit());
    let project = wanting(project, &address);
    project.ci(&[]).assert_quiet_success();
    let before = project.installed();
    fs::remove_dir_all(repository.path()).unwrap();
    let project = project.npmrc("offline=true\n");
    project.ci(&[]).assert_quiet_success();
    assert_eq!(project.installed(), before);
}

#[test]
fn offline_names_git_packages_with_the_others() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let repository = plain(&project);
    let project = wanting(project, &repository.address(&repository.commit()));
    let project = project.npmrc("offline=true\n");
    project.ci(&[]).assert_failure(&[
        "error: ENOTCACHED: the cache lacks 2 packages and `offline` is set",
        "",
        "a@1.0.0",
        "one@1.0.0",
        "hint: install once without it, or fill the cache with `ringstall fetch`",
    ]);
}

#[test]
fn nothing_of_a_clone_is_left_behind() {
    let project = new_project();
    let repository = plain(&project);
    let project = wanting(project, &repository.address(&repository.commit()));
    project.ci(&[]).assert_quiet_success();
    let gone = format!("git+file://{}/gone#{}", project.temp().display(), repository.commit());
    let project = wanting(project, &gone);
    project.ci(&[]).assert_error("EGIT");
    let left = fs::read_dir(project.cache().join("v2-u022/tmp")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn an_ssh_address_goes_through_the_ssh_command_of_the_user() {
    let project = new_project();
    let repository = plain(&project);
    let commit = repository.commit();
    let script = project.temp().join("ssh");
    let log = project.temp().join("ssh-log");
    // What ssh is asked to run on the other machine comes last.
    let text = format!(
        "#!/bin/sh\necho \"$@\" >>'{}'\nfor last; do :; done\nexec sh -c \"$last\"\n",
        log.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = repository.path().display().to_string();
    let project = project.env("GIT_SSH_COMMAND", &script.display().to_string());
    for host in ["git+ssh://git@host.test", "git+ssh://git@host.test:"] {
        let project_cache = project.cache();
        if project_cache.exists() {
            fs::remove_dir_all(project_cache).unwrap();
        }
        fs::write(&log, "").unwrap();
        let address = format!("{host}{path}#{commit}");
        let fields = json!({"version": "1.0.0", "resolved": address});
        let lock = json!({
            "name": "project",
            "version": "1.0.0",
            "lockfileVersion": 3,
            "packages": {
                "": {"name": "project", "version": "1.0.0", "dependencies": {"one": address}},
                "node_modules/one": fields,
            },
        });
        let manifest = &lock["packages"][""];
        fs::write(project.path().join("package.json"), manifest.to_string()).unwrap();
        fs::write(project.path().join("package-lock.json"), lock.to_string()).unwrap();
        project.assert_same_as_npm(&[]).assert_quiet_success();
        let log = fs::read_to_string(&log).unwrap();
        assert!(log.contains("git@host.test git-upload-pack"), "{log}");
    }
}

#[test]
fn an_optional_repository_that_cannot_be_had_is_left_out_with_what_it_needs() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let kept = registry.serve(Package::new("kept", "1.0.0"));
    let project = Project::new(&registry).with(&kept);
    let commit = "0123456789012345678901234567890123456789";
    let address = format!("git+file://{}/gone#{commit}", project.temp().display());
    let project = project
        .wants("optionalDependencies", "one", &address)
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": address}))
        .entry("node_modules/one", json!({"optional": true, "dependencies": {"a": "1.0.0"}}))
        .at("node_modules/a", &a)
        .entry("node_modules/a", json!({"optional": true}));
    let outcome = project.assert_same_as_npm(&[]);
    assert!(outcome.stderr.contains("left out an optional package: EGIT"), "{}", outcome.stderr);
    project.installed().assert(&[
        ".package-lock.json [node_modules/kept]",
        "kept/",
        "kept/package.json {kept@1.0.0}",
    ]);
}

#[test]
fn two_packages_of_one_repository_and_an_alias_path_are_all_installed() {
    let project = new_project();
    let repository = plain(&project);
    let first = repository.commit();
    let repository = repository.file("index.js", "second\n");
    let second = repository.commit();
    let project = wanting(project, &repository.address(&first))
        .wants("dependencies", "two", &repository.address(&second))
        .entry(
            "node_modules/two",
            json!({"name": "one", "version": "1.0.0", "resolved": repository.address(&second)}),
        );
    project.assert_same_as_npm(&[]).assert_quiet_success();
    let path = project.path().join("node_modules/two/index.js");
    assert_eq!(fs::read_to_string(path).unwrap(), "second\n");
}
