//! The cache: what is reused, what several installers at once do to it, and what a killed one
//! leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Package, Project, Registry, Reply};

/// Some packages, with files, commands and folders.
fn several(registry: &Registry) -> Project {
    let mut project = Project::new(registry);
    for number in 0..8 {
        let package = Package::new(&format!("p{number}"), "1.0.0")
            .field("bin", json!({format!("run{number}"): "bin/run.js"}))
            .file("bin/run.js", "#!/usr/bin/env node\n")
            .file("lib/deep/index.js", &number.to_string());
        project = project.with(&registry.serve(package));
    }
    project
}

/// Every file of the cache with this name.
fn files_named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_named(&entry.path(), name));
        } else if entry.file_name() == name {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn a_warm_install_makes_no_request_and_the_same_tree() {
    let registry = Registry::start();
    let project = several(&registry);
    project.ci(&[]).assert_quiet_success();
    let cold = project.whole_tree();
    assert_eq!(registry.requests().len(), 8);
    registry.forget_requests();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), [""; 0]);
    assert_eq!(project.whole_tree(), cold);
}

#[test]
fn a_warm_install_needs_no_registry() {
    let registry = Registry::start();
    let project = several(&registry);
    project.ci(&[]).assert_quiet_success();
    let cold = project.whole_tree();
    drop(registry);
    project.ci(&[]).assert_quiet_success();
    assert_eq!(project.whole_tree(), cold);
}

#[test]
fn another_project_reuses_what_one_has_fetched() {
    let registry = Registry::start();
    let first = several(&registry);
    first.ci(&[]).assert_quiet_success();
    registry.forget_requests();
    let second = several(&registry).with_cache(first.cache());
    second.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), [""; 0]);
    assert_eq!(second.installed(), first.installed());
}

#[test]
fn only_what_is_missing_is_fetched() {
    let registry = Registry::start();
    let project = several(&registry);
    project.ci(&[]).assert_quiet_success();
    registry.forget_requests();
    let project = project.with(&registry.serve(Package::new("new", "1.0.0")));
    let summary = project.ci(&["--json"]).json();
    assert_eq!(registry.paths(), ["/new/-/new-1.0.0.tgz"]);
    assert_eq!((&summary["downloaded"], &summary["reused"]), (&json!(1), &json!(8)));
}

#[test]
fn two_installers_on_one_cold_cache_both_end_well() {
    let registry = Registry::start();
    let first = several(&registry);
    let second = several(&registry).with_cache(first.cache());
    for number in 0..8 {
        // No tarball is given out before both have asked for it.
        let path = format!("/p{number}/-/p{number}-1.0.0.tgz");
        let bytes = Package::new(&format!("p{number}"), "1.0.0")
            .field("bin", json!({format!("run{number}"): "bin/run.js"}))
            .file("bin/run.js", "#!/usr/bin/env node\n")
            .file("lib/deep/index.js", &number.to_string())
            .tgz();
        registry.reply_always(&path, Reply::ok(bytes).after(2));
    }
    let running = [first.start_ci(&[]), second.start_ci(&[])];
    for (project, running) in [&first, &second].into_iter().zip(running) {
        project.outcome(&running.wait_with_output().unwrap()).assert_quiet_success();
    }
    assert_eq!(first.installed(), second.installed());
    let left = fs::read_dir(first.cache().join("v2-u022/tmp")).unwrap().count();
    assert_eq!(left, 0, "the loser's folders are removed");
    registry.forget_requests();
    let before = first.installed();
    first.ci(&[]).assert_quiet_success();
    assert_eq!((registry.paths(), first.installed()), (Vec::new(), before));
}

#[test]
fn sixteen_installers_on_one_cold_cache_all_end_well() {
    const INSTALLERS: usize = 16;
    let registry = Registry::start();
    let first = several(&registry);
    let cache = first.cache();
    let others = std::iter::repeat_with(|| several(&registry).with_cache(cache.clone()));
    let others: Vec<_> = others.take(INSTALLERS - 1).collect();
    let projects: Vec<_> = std::iter::once(&first).chain(&others).collect();
    // Each has found nothing when the first tarball is given out, so that all of them unpack it.
    let path = "/p0/-/p0-1.0.0.tgz";
    let bytes = Package::new("p0", "1.0.0")
        .field("bin", json!({"run0": "bin/run.js"}))
        .file("bin/run.js", "#!/usr/bin/env node\n")
        .file("lib/deep/index.js", "0")
        .tgz();
    registry.reply_always(path, Reply::ok(bytes).after(INSTALLERS));
    let running: Vec<_> = projects.iter().map(|project| project.start_ci(&["--jobs=2"])).collect();
    for (project, running) in projects.iter().zip(running) {
        project.outcome(&running.wait_with_output().unwrap()).assert_quiet_success();
        assert_eq!(project.installed(), first.installed());
    }
    assert_eq!(registry.count(path), INSTALLERS);
    let left = fs::read_dir(cache.join("v2-u022/tmp")).unwrap().count();
    assert_eq!(left, 0, "the losers' folders are removed");
    let verify = ["cache", "verify", "--cache", cache.to_str().unwrap()];
    let outcome = first.ringstall(&verify);
    outcome.assert_quiet_success();
    assert!(outcome.stdout.starts_with("8 packages (24 files of "), "{}", outcome.stdout);
    registry.forget_requests();
    first.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn after_a_kill_the_next_install_ends_like_a_fresh_one() {
    let registry = Registry::start();
    let project = several(&registry);
    let slow = "/p7/-/p7-1.0.0.tgz";
    registry.reply_once(slow, Reply::silence());
    let mut running = project.start_ci(&[]);
    registry.wait_for(slow, 1);
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(!project.path().join("node_modules/.package-lock.json").exists());
    project.ci(&[]).assert_quiet_success();
    let fresh = several(&registry);
    fresh.ci(&[]).assert_quiet_success();
    assert_eq!(project.installed(), fresh.installed());
}

#[test]
fn what_a_killed_run_was_writing_is_no_package() {
    let registry = Registry::start();
    let project = several(&registry);
    project.ci(&[]).assert_quiet_success();
    // As if the run had died before its last rename.
    let cache = project.cache().join("v2-u022");
    let index = files_named(&cache.join("packages"), "index").remove(0);
    fs::create_dir_all(cache.join("tmp")).unwrap();
    fs::rename(index.parent().unwrap(), cache.join("tmp/half")).unwrap();
    let before = project.installed();
    registry.forget_requests();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.requests().len(), 1);
    assert_eq!(project.installed(), before);
}

#[test]
fn a_package_with_a_damaged_index_is_fetched_again() {
    let registry = Registry::start();
    let project = several(&registry);
    project.ci(&[]).assert_quiet_success();
    let before = project.installed();
    let indexes = files_named(&project.cache(), "index");
    assert_eq!(indexes.len(), 8);
    fs::write(&indexes[0], "").unwrap();
    let bytes = fs::read(&indexes[1]).unwrap();
    fs::write(&indexes[1], &bytes[..bytes.len() / 2]).unwrap();
    registry.forget_requests();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.requests().len(), 2);
    assert_eq!(project.installed(), before);
}

#[test]
fn a_file_that_has_gone_from_the_cache_is_an_error_that_names_both_ends() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    project.ci(&[]).assert_quiet_success();
    let file = files_named(&project.cache(), "0").remove(0);
    fs::remove_file(&file).unwrap();
    for mode in ["hardlink", "copy"] {
        let outcome = project.ci(&["--link-mode", mode]);
        let message = outcome.assert_error("EIO").to_owned();
        let name = file.strip_prefix(project.cache()).unwrap().to_str().unwrap().to_owned();
        assert!(message.contains(&format!("[CACHE]/{name}")), "{message}");
        assert!(message.contains("[PROJECT]/node_modules/a/package.json"), "{message}");
    }
}

#[test]
fn the_cache_is_under_xdg_cache_home_unless_it_is_named() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let outcome = project.ringstall(&["cache", "dir"]);
    assert_eq!(outcome.stdout, "[TEMP]/home/cache/ringstall\n");
    let cache = project.cache();
    let outcome = project.ringstall(&["cache", "dir", "--cache", cache.to_str().unwrap()]);
    assert_eq!(outcome.stdout, "[CACHE]\n");
    let project = project.env("XDG_CACHE_HOME", "");
    let outcome = project.ringstall(&["cache", "dir"]);
    assert_eq!(outcome.stdout, "[TEMP]/home/.cache/ringstall\n");
}

#[test]
fn cache_clean_removes_the_packages_and_nothing_of_projects() {
    let registry = Registry::start();
    let project = several(&registry);
    project.ci(&[]).assert_quiet_success();
    let (cache, before) = (project.cache(), project.installed());
    let clean = ["cache", "clean", "--cache", cache.to_str().unwrap()];
    let outcome = project.ringstall(&clean);
    outcome.assert_quiet_success();
    assert!(outcome.stdout.starts_with("removed "), "{}", outcome.stdout);
    assert!(outcome.stdout.ends_with(" from [CACHE]\n"), "{}", outcome.stdout);
    assert_eq!(files_named(&cache, "index").len(), 0);
    assert_eq!(project.installed(), before);
    registry.forget_requests();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.requests().len(), 8);
}

#[test]
fn cache_clean_removes_nothing_that_is_no_cache() {
    let registry = Registry::start();
    let project = Project::new(&registry).file("../other/v2-u022/precious", "x");
    let folder = project.temp().join("ours/other");
    let outcome = project.ringstall(&["cache", "clean", "--cache", folder.to_str().unwrap()]);
    outcome.assert_failure(&["error: ECACHE: `[TEMP]/ours/other` is not a cache of ringstall"]);
    assert!(folder.join("v2-u022/precious").exists());
}

#[test]
fn a_cache_that_everyone_can_write_is_refused() {
    let registry = Registry::start();
    let project = several(&registry);
    fs::create_dir(project.cache()).unwrap();
    fs::set_permissions(project.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    project.ci(&[]).assert_failure(&[
        "error: ECACHE: the cache `[CACHE]` can be written by every user",
        "hint: run `chmod o-w [CACHE]` if nobody else has used it",
    ]);
    project.installed().assert(&[]);
}

#[test]
fn a_file_in_the_place_of_the_cache_is_an_error_that_names_it() {
    let registry = Registry::start();
    let project = several(&registry);
    fs::write(project.cache(), "").unwrap();
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("ECACHE");
    assert_eq!(message, "failed to make directory `[CACHE]` of the cache");
}

#[test]
fn changing_an_installed_copy_does_not_change_the_cache() {
    let registry = Registry::start();
    let project = several(&registry);
    project.ci(&["--link-mode", "copy"]).assert_quiet_success();
    let before = project.installed();
    fs::write(project.path().join("node_modules/p0/lib/deep/index.js"), "changed").unwrap();
    project.ci(&["--link-mode", "copy"]).assert_quiet_success();
    assert_eq!(project.installed(), before);
}

#[test]
fn caches_under_two_umasks_do_not_mix() {
    let registry = Registry::start();
    let project = several(&registry);
    project.ci(&[]).assert_quiet_success();
    let usual = project.installed();
    project.ci_with_umask("077", &[]).assert_quiet_success();
    let strict = project.installed();
    assert_ne!(usual, strict);
    project.ci(&[]).assert_quiet_success();
    // The folder itself was not made anew.
    assert_eq!(project.installed(), usual);
}
