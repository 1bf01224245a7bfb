//! npm's own cache as a second source: what is taken from it, what is not, and that it is left as
//! it is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::json;

use crate::support::npm_cache::NpmCache;
use crate::support::package::sri;
use crate::support::project::Resolved;
use crate::support::{Package, Project, Registry, Reply};

const TARBALL: &str = "/a/-/a-1.0.0.tgz";

/// One package, which npm has in its cache in the usual place.
fn one_package() -> (Registry, Package, Project, NpmCache) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("index.js", "a"));
    let project = Project::new(&registry).npmrc(crate::retry::FAST).with(&a);
    let cache = NpmCache::new(project.temp().join("home/.npm")).with(&a, "sha512");
    (registry, a, project, cache)
}

/// One package without integrity, of whose address npm remembers what it was.
fn one_package_by_address() -> (Registry, Package, Project, NpmCache) {
    let (registry, a, project, cache) = one_package();
    let project = project.entry("node_modules/a", json!({"integrity": null}));
    let cache = cache.with_request(&a, &registry.url());
    (registry, a, project, cache)
}

#[track_caller]
fn assert_installed(project: &Project) {
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/index.js \"a\"",
        "a/package.json {a@1.0.0}",
    ]);
}

#[test]
fn what_npm_has_downloaded_is_not_downloaded_again() {
    let registry = Registry::start();
    let package = |name: &str| registry.serve(Package::new(name, "1.0.0").file("index.js", name));
    let (a, scoped, old, unlocked) =
        (package("a"), package("@s/scoped"), package("old"), package("unlocked"));
    let sha1 = sri("sha1", &old.tgz());
    let project = Project::new(&registry)
        .with(&a)
        .with(&scoped)
        .with(&old)
        .entry("node_modules/old", json!({"integrity": sha1}))
        .with(&unlocked)
        .entry("node_modules/unlocked", json!({"integrity": null}))
        .env("npm_config_cache", "../../npm-own");
    let Some(theirs) = project.npm(&["ci", "--registry", &registry.url()]) else { return };
    theirs.assert_success();
    let tree = project.whole_tree();
    registry.forget_requests();
    let outcome = project.ci(&[]);
    outcome.assert_success();
    assert_eq!(registry.paths(), [""; 0]);
    let closing = "added 4 packages in [TIME] \
                   (0 downloaded, 4 from npm's cache, 0 reused; 8 files placed)\n";
    assert_eq!(outcome.stdout, closing);
    let differences = project.whole_tree().differences(&tree, ["ringstall", "npm"]);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_lockfile_of_sha1_finds_what_was_cached_by_sha512() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("index.js", "a"));
    let project = Project::new(&registry).with(&a).env("npm_config_cache", "../../npm-own");
    let Some(theirs) = project.npm(&["ci", "--registry", &registry.url()]) else { return };
    theirs.assert_success();
    let project = project.entry("node_modules/a", json!({"integrity": sri("sha1", &a.tgz())}));
    registry.forget_requests();
    assert_eq!(project.ci(&["--json"]).json()["fromNpmCache"], json!(1));
    assert_eq!(registry.paths(), [""; 0]);
    assert_installed(&project);
}

#[test]
fn npm_s_cache_is_in_the_home_unless_the_setting_names_another() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = || Project::new(&registry).with(&a);
    for (project, folder) in [
        (project(), "home/.npm"),
        (project().npmrc("cache=below"), "ours/project/below"),
        (project().npmrc("cache=~/there"), "home/there"),
        (project().npmrc("cache=below").env("npm_config_cache", "../above"), "ours/above"),
    ] {
        let _cache = NpmCache::new(project.temp().join(folder)).with(&a, "sha512");
        assert_eq!(project.ci(&["--json"]).json()["fromNpmCache"], json!(1), "{folder}");
    }
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn packages_without_resolved_are_found_as_well() {
    let (registry, a, _, _) = one_package();
    let project = Project::new(&registry).resolved(Resolved::Absent).with(&a);
    let _cache = NpmCache::new(project.temp().join("home/.npm")).with_request(&a, &registry.url());
    let project = project.entry("node_modules/a", json!({"integrity": null}));
    assert_eq!(project.ci(&["--json"]).json()["fromNpmCache"], json!(1));
    assert_eq!(registry.paths(), [""; 0]);
    assert_installed(&project);
}

#[test]
fn what_our_cache_has_is_not_looked_for_in_npm_s() {
    let (registry, a, project, cache) = one_package();
    project.ci(&["--no-npm-cache"]).assert_quiet_success();
    assert_eq!(registry.paths(), [TARBALL]);
    fs::write(cache.content(&a, "sha512"), "damaged").unwrap();
    registry.forget_requests();
    let summary = project.ci(&["--json"]).json();
    assert_eq!((&summary["fromNpmCache"], &summary["reused"]), (&json!(0), &json!(1)));
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn npm_s_cache_can_be_passed_over() {
    let (registry, _, project, _) = one_package();
    let project = project.env("RINGSTALL_NO_NPM_CACHE", "1");
    let outcome = project.ci(&[]);
    outcome.assert_quiet_success();
    assert!(outcome.stdout.contains("(1 downloaded, 0 reused; "), "{}", outcome.stdout);
    assert_eq!(registry.paths(), [TARBALL]);
}

/// Path, kind, time of the last change of the content, and length of all that is there.
fn snapshot(folder: &Path) -> Vec<(PathBuf, bool, SystemTime, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            found.push((
                entry.path(),
                metadata.is_dir(),
                metadata.modified().unwrap(),
                metadata.size(),
            ));
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn npm_s_cache_is_left_as_it_is() {
    let (registry, a, project, cache) = one_package_by_address();
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = project.with(&b);
    fs::write(cache.content(&a, "sha512"), "damaged").unwrap();
    let before = snapshot(&cache.folder);
    project.ci(&[]).assert_success();
    assert_eq!(registry.requests().len(), 2);
    assert_eq!(snapshot(&cache.folder), before);
}

#[test]
fn a_damaged_file_of_npm_s_cache_is_downloaded_instead() {
    let damages: [&dyn Fn(&Path); 4] = [
        &|path| fs::write(path, "damaged").unwrap(),
        &|path| fs::write(path, "").unwrap(),
        &|path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        // Nobody writes into it: who opened it to read would wait for ever.
        &|path| {
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        },
    ];
    for damage in damages {
        let (registry, a, project, cache) = one_package();
        damage(&cache.content(&a, "sha512"));
        let summary = project.ci(&["--json"]).json();
        assert_eq!((&summary["fromNpmCache"], &summary["downloaded"]), (&json!(0), &json!(1)));
        assert_eq!(registry.paths(), [TARBALL]);
        assert_installed(&project);
    }
}

#[test]
fn after_a_damaged_file_of_npm_s_cache_a_damaged_download_is_asked_for_again() {
    let (registry, a, project, cache) = one_package();
    fs::write(cache.content(&a, "sha512"), "damaged").unwrap();
    registry.reply_once(TARBALL, Reply::ok("damaged as well"));
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), [TARBALL, TARBALL]);
    assert_installed(&project);
}

#[test]
fn what_npm_recorded_of_an_address_is_held_against_the_file() {
    let (registry, a, project, cache) = one_package_by_address();
    let other = Package::new("a", "1.0.0").file("index.js", "planted");
    fs::write(cache.content(&a, "sha512"), other.tgz()).unwrap();
    project.ci(&[]).assert_success();
    assert_eq!(registry.paths(), [TARBALL]);
    assert_installed(&project);
}

#[test]
fn prefer_online_asks_anew_for_what_only_its_address_is_known_of() {
    let (registry, _, project, _) = one_package_by_address();
    project.ci(&["--prefer-online"]).assert_success();
    assert_eq!(registry.paths(), [TARBALL]);
    let (registry, _, project, _) = one_package();
    project.ci(&["--prefer-online"]).assert_quiet_success();
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn a_tarball_larger_than_the_memory_for_one_is_read_from_npm_s_cache_as_well() {
    let registry = Registry::start();
    // Hardly compressible, so that the tarball is as large.
    let mut state = 0x5eed_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{state:016x}")
    })
    .take(1 << 20)
    .collect();
    let large = Package::new("large", "1.0.0").file("noise", &noise);
    let bytes = large.tgz();
    assert!(bytes.len() > 8 << 20, "{} bytes", bytes.len());
    let large = large.tarball(bytes);
    for integrity in [json!(large.integrity()), json!(null)] {
        let project = Project::new(&registry)
            .with(&large)
            .entry("node_modules/large", json!({"integrity": integrity}));
        let folder = project.temp().join("home/.npm");
        let _cache = NpmCache::new(folder).with_request(&large, &registry.url());
        assert_eq!(project.ci(&["--json"]).json()["fromNpmCache"], json!(1));
        let placed = fs::read_to_string(project.path().join("node_modules/large/noise")).unwrap();
        assert!(placed == noise);
    }
    assert_eq!(registry.paths(), [""; 0]);
}
