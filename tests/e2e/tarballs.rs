//! Tarballs on the disk, and at addresses that are no registry's.

use std::fs;

use serde_json::json;

use crate::support::package::{sri, wrong_sri};
use crate::support::{Package, Project, Registry, Reply};

/// A project with a tarball beside its package.json, and one beside the project's folder.
fn inside_and_outside() -> (Registry, Project) {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let inside = Package::new("inside", "1.0.0")
        .field("bin", json!({"tool": "bin/tool.js"}))
        .file("bin/tool.js", "#!/usr/bin/env node\n");
    let outside = Package::new("outside", "2.0.0")
        .field("bin", json!({"tool": "tool.js"}))
        .file("tool.js", "#!/usr/bin/env node\r\n")
        .file(".gitignore", "x\n");
    fs::create_dir_all(project.path().join("vendor")).unwrap();
    fs::write(project.path().join("vendor/inside.tgz"), inside.tgz()).unwrap();
    fs::write(project.path().join("../outside.tar.gz"), outside.tgz()).unwrap();
    let project = with_tarball(project, &inside, "file:vendor/inside.tgz");
    let project = with_tarball(project, &outside, "file:../outside.tar.gz");
    (registry, project)
}

/// The package as a dependency of the root from this address.
fn with_tarball(project: Project, package: &Package, address: &str) -> Project {
    let path = format!("node_modules/{}", package.name);
    project
        .wants("dependencies", &package.name, address)
        .at(&path, package)
        .entry(&path, json!({"resolved": address}))
}

#[test]
fn a_tarball_on_the_disk_is_installed_from_wherever_it_lies() {
    let (registry, project) = inside_and_outside();
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&[
        ".bin/",
        ".bin/tool -> ../inside/bin/tool.js",
        ".package-lock.json [node_modules/inside, node_modules/outside]",
        "inside/",
        "inside/bin/",
        r##"inside/bin/tool.js 755 "#!/usr/bin/env node\n""##,
        "inside/package.json {inside@1.0.0}",
        "outside/",
        r#"outside/.npmignore "x\n""#,
        "outside/package.json {outside@2.0.0}",
        r##"outside/tool.js 755 "#!/usr/bin/env node\r\n""##,
    ]);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn tarballs_on_the_disk_need_no_network() {
    let (_registry, project) = inside_and_outside();
    project.npmrc("offline=true\n").ci(&[]).assert_quiet_success();
}

#[test]
fn a_stored_tarball_is_not_looked_for_again() {
    let (_registry, project) = inside_and_outside();
    project.ci(&[]).assert_quiet_success();
    let before = project.installed();
    fs::remove_dir_all(project.path().join("vendor")).unwrap();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(project.installed(), before);
}

#[test]
fn without_integrity_the_tarball_is_what_it_is_now() {
    let (_registry, project) = inside_and_outside();
    let project = project.entry("node_modules/inside", json!({"integrity": null}));
    project.assert_same_as_npm(&[]).assert_quiet_success();
    let changed = Package::new("inside", "1.0.0")
        .field("bin", json!({"tool": "bin/tool.js"}))
        .file("bin/tool.js", "changed\n");
    fs::write(project.path().join("vendor/inside.tgz"), changed.tgz()).unwrap();
    project.assert_same_as_npm(&[]).assert_quiet_success();
    let tool = fs::read_to_string(project.path().join("node_modules/inside/bin/tool.js"));
    assert_eq!(tool.unwrap(), "changed\n");
}

#[test]
fn a_tarball_on_the_disk_with_another_integrity_is_refused() {
    let (_registry, project) = inside_and_outside();
    let project = project.entry("node_modules/inside", json!({"integrity": wrong_sri("sha512")}));
    project.assert_npm_fails(&[]);
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("EINTEGRITY");
    assert!(message.starts_with("failed to install inside@1.0.0 from file://"), "{message}");
}

#[test]
fn a_tarball_that_is_not_there_is_told_before_anything_is_touched() {
    let (_registry, project) = inside_and_outside();
    fs::remove_dir_all(project.path().join("vendor")).unwrap();
    let project = project.file("node_modules/kept/x", "x");
    project.assert_npm_fails(&[]);
    for integrity in [json!(wrong_sri("sha512")), json!(null)] {
        let project_tree = project.whole_tree();
        let lock = project.lockfile();
        assert!(lock["packages"]["node_modules/inside"].is_object(), "{integrity}");
        project.ci(&[]).assert_failure(&[
            "error: ENOENT: there is no tarball `[PROJECT]/vendor/inside.tgz`",
            "hint: the lockfile names it: put it back, or run `npm install` to write the \
             lockfile anew",
        ]);
        assert_eq!(project.whole_tree(), project_tree);
    }
}

#[test]
fn an_optional_tarball_that_is_not_there_is_left_out() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let gone = Package::new("gone", "1.0.0").dependency("a", "1.0.0");
    let project = Project::new(&registry)
        .wants("optionalDependencies", "gone", "file:gone.tgz")
        .at("node_modules/gone", &gone)
        .entry("node_modules/gone", json!({"resolved": "file:gone.tgz", "optional": true}))
        .entry("node_modules/gone", json!({"integrity": null}))
        .at("node_modules/a", &a)
        .entry("node_modules/a", json!({"optional": true}));
    let outcome = project.assert_same_as_npm(&[]);
    assert!(outcome.stderr.contains("left out an optional package: ENOENT"), "{}", outcome.stderr);
    project.installed().assert(&[".package-lock.json []"]);
}

#[test]
fn what_is_no_plain_file_is_no_tarball() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0");
    let project = with_tarball(Project::new(&registry), &a, "file:a.tgz");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        project.path().join("a.tgz"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("ETARBALL");
    assert!(message.ends_with("`[PROJECT]/a.tgz` is no file of at most 1073741824 bytes"));
}

/// As npm does: who can change the lockfile can only point it at what lies there anyway.
#[test]
fn a_registry_dependency_may_be_locked_to_a_tarball_on_the_disk() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0");
    let project = Project::new(&registry).with(&a);
    fs::write(project.path().join("../a.tgz"), a.tgz()).unwrap();
    let project = project.entry("node_modules/a", json!({"resolved": "file:../a.tgz"}));
    project.assert_same_as_npm(&[]).assert_quiet_success();
}

/// A project whose package comes from a server that is no registry.
fn elsewhere() -> (Registry, Registry, Project) {
    let (registry, other) = (Registry::start(), Registry::start());
    let a = Package::new("a", "1.0.0")
        .field("bin", json!({"tool": "tool.js"}))
        .file("tool.js", "#!/usr/bin/env node\n");
    other.reply_always("/files/a.tgz", Reply::ok(a.tgz()));
    let address = format!("{}files/a.tgz", other.url());
    let project = with_tarball(Project::new(&registry), &a, &address);
    (registry, other, project)
}

#[test]
fn a_tarball_at_another_address_is_installed() {
    let (registry, other, project) = elsewhere();
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&[
        ".bin/",
        ".bin/tool -> ../a/tool.js",
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
        r##"a/tool.js 755 "#!/usr/bin/env node\n""##,
    ]);
    assert_eq!(registry.paths(), [""; 0]);
    assert!(other.count("/files/a.tgz") > 0);
}

#[test]
fn a_tarball_at_another_address_is_stored_with_and_without_integrity() {
    for integrity in [true, false] {
        let (_registry, other, mut project) = elsewhere();
        if !integrity {
            project = project.entry("node_modules/a", json!({"integrity": null}));
        }
        project.assert_same_as_npm(&[]);
        other.forget_requests();
        project.ci(&[]).assert_success();
        assert_eq!(other.paths(), [""; 0]);
    }
}

#[test]
fn a_tarball_at_another_address_is_held_to_its_integrity() {
    let (_registry, other, project) = elsewhere();
    other.reply_always("/files/a.tgz", Reply::ok(Package::new("a", "1.0.1").tgz()));
    project.assert_npm_fails(&["--fetch-retries=0"]);
    project.ci(&[]).assert_error("EINTEGRITY");
}

#[test]
fn another_address_gets_its_own_credentials_and_no_others() {
    let (registry, other, project) = elsewhere();
    let tokens = format!("{}:_authToken=registry\n", registry.nerf_dart());
    let project = project.npmrc(&tokens);
    project.ci(&[]).assert_quiet_success();
    assert_eq!(other.requests()[0].authorization, None);
    let more = format!("{tokens}{}files/:_authToken=other\n", other.nerf_dart());
    fs::remove_dir_all(project.cache()).unwrap();
    let project = project.npmrc(&more);
    project.ci(&[]).assert_quiet_success();
    let last = other.requests().pop().unwrap();
    assert_eq!(last.authorization.as_deref(), Some("Bearer other"));
}

#[test]
fn a_user_name_in_an_address_is_sent_there_and_not_on_from_there() {
    let (_registry, other, project) = elsewhere();
    let third = Registry::start();
    let a = Package::new("a", "1.0.0");
    third.reply_always("/a.tgz", Reply::ok(a.tgz()));
    other.reply_always("/files/a.tgz", Reply::redirect(&format!("{}a.tgz", third.url())));
    let address = format!("{}files/a.tgz", other.url().replace("//", "//user:secret@"));
    let project = project
        .wants("dependencies", "a", &address)
        .entry("node_modules/a", json!({"resolved": address, "bin": null}))
        .entry("node_modules/a", json!({"integrity": sri("sha512", &a.tgz())}));
    project.ci(&[]).assert_quiet_success();
    let first = other.requests().pop().unwrap();
    assert_eq!(first.authorization.as_deref(), Some("Basic dXNlcjpzZWNyZXQ="));
    assert_eq!(third.requests()[0].authorization, None);
}

#[test]
fn a_failing_address_is_shown_without_its_password() {
    let (_registry, other, project) = elsewhere();
    other.reply_always("/files/a.tgz", Reply::status(404));
    let address = format!("{}files/a.tgz", other.url().replace("//", "//user:secret@"));
    let project = project
        .wants("dependencies", "a", &address)
        .entry("node_modules/a", json!({"resolved": address}));
    let outcome = project.ci(&[]);
    outcome.assert_error("E404");
    assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
}

#[test]
fn a_package_that_calls_itself_something_else_is_told_in_one_line() {
    let registry = Registry::start();
    let real = registry.serve(Package::new("real", "1.0.0"));
    let fake = Package::new("fake", "1.0.0").tarball(real.tgz());
    let old = Package::new("real", "0.9.0").tarball(real.tgz());
    let address = format!("{}{}", registry.url(), real.tarball_path());
    let project = Project::new(&registry)
        .with(&real)
        .with(&fake)
        .at("node_modules/old", &old)
        .wants("dependencies", "old", "npm:real@0.9.0")
        .entry("node_modules/fake", json!({"resolved": address}))
        .entry("node_modules/old", json!({"resolved": address}));
    let outcome = project.assert_same_as_npm(&[]);
    assert_eq!(
        outcome.stderr,
        "warning: the lockfile names other packages than its tarballs hold: node_modules/fake is \
         real@1.0.0, node_modules/old is real@1.0.0\n"
    );
}

#[test]
fn a_changed_tarball_without_integrity_is_seen_by_a_run_that_reuses() {
    let (_registry, project) = inside_and_outside();
    let project = project.entry("node_modules/inside", json!({"integrity": null}));
    project.ci(&["--reuse"]).assert_success();
    let changed = Package::new("inside", "1.0.0")
        .field("bin", json!({"tool": "bin/tool.js"}))
        .file("bin/tool.js", "changed\n");
    fs::write(project.path().join("vendor/inside.tgz"), changed.tgz()).unwrap();
    project.ci(&["--reuse"]).assert_success();
    let tool = fs::read_to_string(project.path().join("node_modules/inside/bin/tool.js"));
    assert_eq!(tool.unwrap(), "changed\n");
}

#[test]
fn where_a_tarball_on_the_disk_lies_is_told_by_the_hidden_lockfile_in_any_case() {
    let (_registry, project) = inside_and_outside();
    project.npmrc("omit-lockfile-registry-resolved=true\n").assert_same_as_npm(&[]);
}

/// As `npm install-scripts deny` writes it.
#[test]
fn a_tarball_on_the_disk_is_denied_by_where_it_lies() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let script = json!({"postinstall": "touch \"$npm_config_local_prefix/ran\""});
    let noisy = Package::new("noisy", "1.0.0").field("scripts", script);
    fs::write(project.path().join("noisy.tgz"), noisy.tgz()).unwrap();
    let key = format!("file:{}", project.path().join("noisy.tgz").display());
    let project = with_tarball(project, &noisy, "file:noisy.tgz");
    let project = project.field("allowScripts", json!({key: false}));
    project.ci(&[]).assert_success();
    assert!(!project.path().join("ran").exists());
    let project = project.field("allowScripts", json!({}));
    project.ci(&[]).assert_success();
    assert!(project.path().join("ran").exists());
}
