//! Without the network: what the caches have is installed, and all that they lack is named before
//! anything is touched.

use std::fs;

use serde_json::json;

use crate::support::npm_cache::NpmCache;
use crate::support::{Package, Project, Registry};

/// Two packages, of which npm has the first in its cache.
fn two_packages() -> (Registry, [Package; 2], Project, NpmCache) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = registry.serve(Package::new("b", "2.0.0"));
    let project = Project::new(&registry).with(&a).with(&b).file("node_modules/x", "");
    let cache = NpmCache::new(project.temp().join("home/.npm")).with(&a, "sha512");
    (registry, [a, b], project, cache)
}

#[test]
fn what_both_caches_lack_is_named_and_nothing_is_touched() {
    let (registry, _, project, _) = two_packages();
    let outcome = project.ci(&["--offline"]);
    outcome.assert_failure(&[
        "error: ENOTCACHED: the cache lacks 1 package, which npm's in `[TEMP]/home/.npm` lacks as \
         well, and `offline` is set",
        "",
        "b@2.0.0",
        "hint: install once without it, or fill the cache with `ringstall fetch`",
    ]);
    project.installed().assert(&[r#"x """#]);
    project.ci(&["--offline", "--no-npm-cache"]).assert_failure(&[
        "error: ENOTCACHED: the cache lacks 2 packages and `offline` is set",
        "",
        "a@1.0.0",
        "b@2.0.0",
        "hint: install once without it, or fill the cache with `ringstall fetch`",
    ]);
    project.installed().assert(&[r#"x """#]);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn both_caches_together_are_enough() {
    let (registry, [_, b], project, cache) = two_packages();
    let other = Project::new(&registry).with(&b).with_cache(project.cache());
    other.ci(&[]).assert_quiet_success();
    drop((registry, cache));
    let summary = project.ci(&["--offline", "--json"]).json();
    assert_eq!((&summary["fromNpmCache"], &summary["reused"]), (&json!(1), &json!(1)));
    assert_eq!((&summary["requests"], &summary["network"]), (&json!(0), &json!(null)));
    project.installed().assert(&[
        ".package-lock.json [node_modules/a, node_modules/b]",
        "a/",
        "a/package.json {a@1.0.0}",
        "b/",
        "b/package.json {b@2.0.0}",
    ]);
    // From now on ours has both.
    fs::remove_dir_all(project.temp().join("home/.npm")).unwrap();
    assert_eq!(project.ci(&["--offline", "--json"]).json()["reused"], json!(2));
}

#[test]
fn a_package_of_npm_s_cache_is_one_event() {
    let (registry, [_, b], project, cache) = two_packages();
    let _cache = cache.with(&b, "sha512");
    let path = project.temp().join("events");
    for (option, source) in [("--offline", "cache"), ("--prefer-offline", "npmCache")] {
        project.ci(&[option, "--events", path.to_str().unwrap()]).assert_quiet_success();
        let events = super::events::parse(&fs::read_to_string(&path).unwrap());
        let packages = events.iter().filter(|event| event["event"] == "package");
        let mut told: Vec<_> =
            packages.map(|event| [event["name"].clone(), event["source"].clone()]).collect();
        told.sort_by_key(|[name, _]| name.to_string());
        assert_eq!(told, [[json!("a"), json!(source)], [json!("b"), json!(source)]]);
        fs::remove_dir_all(project.cache()).unwrap();
    }
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn a_damaged_file_of_npm_s_cache_is_an_error_that_names_it_and_nothing_is_touched() {
    let (registry, [a, b], project, cache) = two_packages();
    let cache = cache.with(&b, "sha512");
    fs::write(cache.content(&a, "sha512"), "damaged").unwrap();
    let outcome = project.ci(&["--offline"]);
    let message = outcome.assert_error("EINTEGRITY");
    assert!(message.starts_with("failed to install a@1.0.0 from "), "{message}");
    let file = cache.content(&a, "sha512");
    let file = file.strip_prefix(project.temp()).unwrap().display().to_string();
    let cause = format!("caused by: `[TEMP]/{file}` of npm's cache cannot be used");
    assert!(outcome.stderr.contains(&cause), "{}", outcome.stderr);
    assert_eq!(registry.paths(), [""; 0]);
    project.installed().assert(&[r#"x """#]);
}

#[test]
fn where_only_optional_packages_are_missing_they_are_left_out_as_in_npm() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let below = registry.serve(Package::new("below", "1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0").dependency("below", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .with_optional(&b)
        .at("node_modules/below", &below)
        .entry("node_modules/below", json!({"optional": true}))
        .env("npm_config_cache", "../../npm-cache");
    let cache = NpmCache::new(project.temp().join("npm-cache")).with(&a, "sha512");
    let _cache = cache.with(&below, "sha512");
    drop(registry);
    let outcome = project.assert_same_as_npm(&["--offline"]);
    assert!(outcome.stderr.starts_with("warning: left out an optional package: ENOTCACHED: "));
    assert!(outcome.stderr.contains(" b@1.0.0 "), "{}", outcome.stderr);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
}

#[test]
fn a_required_package_that_is_missing_is_named_with_the_optional_ones() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry).with(&a).with_optional(&b);
    project.ci(&["--offline"]).assert_failure(&[
        "error: ENOTCACHED: the cache lacks 2 packages and `offline` is set",
        "",
        "a@1.0.0",
        "b@1.0.0",
        "hint: install once without it, or fill the cache with `ringstall fetch`",
    ]);
}

#[test]
fn npm_says_enotcached_as_well() {
    let (_registry, _, project, _) = two_packages();
    project.assert_npm_fails(&["--offline"]);
    let Some((outcome, _)) = project.npm_ci(&["--offline"]) else { return };
    assert!(outcome.stderr.contains("ENOTCACHED"), "{}", outcome.stderr);
}

#[test]
fn prefer_offline_and_prefer_online_install_what_is_missing() {
    for option in ["--prefer-offline", "--prefer-online"] {
        let (registry, _, project, _) = two_packages();
        project.ci(&[option]).assert_quiet_success();
        assert_eq!(registry.paths(), ["/b/-/b-2.0.0.tgz"], "{option}");
        registry.forget_requests();
        project.ci(&[option]).assert_quiet_success();
        assert_eq!(registry.paths(), [""; 0], "{option}");
    }
}

#[test]
fn offline_wins_over_the_preferences() {
    let (registry, _, project, _) = two_packages();
    let outcome = project.ci(&["--offline", "--prefer-online", "--prefer-offline"]);
    outcome.assert_error("ENOTCACHED");
    assert_eq!(registry.paths(), [""; 0]);
}
