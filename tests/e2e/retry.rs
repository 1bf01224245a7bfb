//! Asking again: what is worth it, how long it waits, and when it gives up.

use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::support::{Package, Project, Registry, Reply};

/// Waits of milliseconds, so that no test is slow.
pub const FAST: &str = "fetch-retry-mintimeout=1\nfetch-retry-maxtimeout=5\nfetch-retry-factor=1\n";
const TARBALL: &str = "/a/-/a-1.0.0.tgz";

fn one_package() -> (Registry, Package, Project) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("index.js", &"a".repeat(10_000)));
    let project = Project::new(&registry).npmrc(FAST).with(&a);
    (registry, a, project)
}

#[track_caller]
fn assert_installed_after(registry: &Registry, project: &Project, requests: usize) {
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.count(TARBALL), requests);
    let tree = project.installed().without("a/index.js");
    tree.assert(&[".package-lock.json [node_modules/a]", "a/", "a/package.json {a@1.0.0}"]);
}

#[test]
fn a_server_error_is_asked_again() {
    for status in [500, 502, 503, 504] {
        let (registry, _, project) = one_package();
        registry.reply_once(TARBALL, Reply::status(status));
        registry.reply_once(TARBALL, Reply::status(status));
        assert_installed_after(&registry, &project, 3);
    }
}

#[test]
fn a_request_timeout_is_asked_again() {
    let (registry, _, project) = one_package();
    registry.reply_once(TARBALL, Reply::status(408));
    assert_installed_after(&registry, &project, 2);
}

#[test]
fn too_many_requests_are_asked_again_when_the_registry_says() {
    let (registry, _, project) = one_package();
    let project = project.npmrc("fetch-retry-mintimeout=1\nfetch-retry-maxtimeout=60000\n");
    registry.reply_once(TARBALL, Reply::status(429).header("retry-after", "1"));
    assert_installed_after(&registry, &project, 2);
    let times: Vec<_> = registry.requests().iter().map(|seen| seen.at).collect();
    let waited = times[1] - times[0];
    assert!(waited >= Duration::from_millis(990), "waited {waited:?} only");
}

#[test]
fn a_registry_that_is_busy_is_asked_again_on_the_date_that_it_names() {
    let (registry, _, project) = one_package();
    let project = project.npmrc("fetch-retry-mintimeout=1\nfetch-retry-maxtimeout=60000\n");
    // Dates have whole seconds, so this one is between one and two of them away.
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    registry.reply_once(TARBALL, Reply::status(503).header("retry-after", &date));
    assert_installed_after(&registry, &project, 2);
    let times: Vec<_> = registry.requests().iter().map(|seen| seen.at).collect();
    let waited = times[1] - times[0];
    // Starting the command takes from it.
    assert!(waited >= Duration::from_millis(100), "waited {waited:?} only");
}

#[test]
fn a_body_that_drips_is_given_up_and_asked_again() {
    let (registry, _, project) = one_package();
    let project = project.npmrc(&format!("{FAST}fetch-timeout=300\n"));
    registry.reply_once(TARBALL, Reply::dripping());
    assert_installed_after(&registry, &project, 2);
}

#[test]
fn a_body_that_drips_for_ever_is_an_error() {
    let (registry, _, project) = one_package();
    let project = project.npmrc(&format!("{FAST}fetch-timeout=100\nfetch-retries=1\n"));
    registry.reply_always(TARBALL, Reply::dripping());
    let outcome = project.ci(&[]);
    outcome.assert_error("ENETWORK");
    let expected = "caused by: `[REGISTRY]/a/-/a-1.0.0.tgz` sent ";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(" bytes of a body in "), "{}", outcome.stderr);
    assert_eq!(registry.count(TARBALL), 2);
}

#[test]
fn a_truncated_body_is_asked_again() {
    let (registry, a, project) = one_package();
    registry.reply_once(TARBALL, Reply::ok(a.tgz()).truncated());
    assert_installed_after(&registry, &project, 2);
}

#[test]
fn a_registry_that_does_not_answer_is_asked_again() {
    let (registry, _, project) = one_package();
    let project = project.npmrc(&format!("{FAST}fetch-timeout=200\n"));
    registry.reply_once(TARBALL, Reply::silence());
    assert_installed_after(&registry, &project, 2);
}

#[test]
fn a_registry_that_never_answers_is_an_error() {
    let (registry, _, project) = one_package();
    let project = project.npmrc(&format!("{FAST}fetch-timeout=50\nfetch-retries=1\n"));
    registry.reply_always(TARBALL, Reply::silence());
    let outcome = project.ci(&[]);
    outcome.assert_error("ENETWORK");
    assert!(outcome.stderr.contains("[REGISTRY]/a/-/a-1.0.0.tgz"), "{}", outcome.stderr);
    assert_eq!(registry.count(TARBALL), 2);
}

#[test]
fn a_registry_that_always_fails_is_an_error_that_names_the_address() {
    let (registry, _, project) = one_package();
    registry.reply_always(TARBALL, Reply::status(503));
    let outcome = project.ci(&[]);
    outcome.assert_error("ENETWORK");
    assert!(outcome.stderr.contains("[REGISTRY]/a/-/a-1.0.0.tgz"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("503"), "{}", outcome.stderr);
    assert_eq!(registry.count(TARBALL), 3, "two retries are npm's default");
}

#[test]
fn the_number_of_retries_is_a_setting() {
    let (registry, _, project) = one_package();
    let project = project.npmrc(&format!("{FAST}fetch-retries=4\n"));
    for _ in 0..4 {
        registry.reply_once(TARBALL, Reply::status(500));
    }
    assert_installed_after(&registry, &project, 5);
}

#[test]
fn a_body_that_is_always_truncated_is_an_error_and_leaves_nothing() {
    let (registry, a, project) = one_package();
    registry.reply_always(TARBALL, Reply::ok(a.tgz()).truncated());
    project.ci(&[]).assert_error("ENETWORK");
    assert_eq!(registry.count(TARBALL), 3);
    assert!(!project.path().join("node_modules/a").exists());
}

#[test]
fn what_is_refused_is_not_asked_again() {
    for (status, code) in [(401, "E401"), (403, "E403"), (404, "E404")] {
        let (registry, _, project) = one_package();
        registry.reply_always(TARBALL, Reply::status(status));
        let outcome = project.ci(&[]);
        outcome.assert_error(code);
        assert!(outcome.stderr.contains("a@1.0.0"), "{}", outcome.stderr);
        assert_eq!(registry.count(TARBALL), 1);
    }
}

#[test]
fn a_registry_that_is_not_there_is_an_error_that_names_it() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0");
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/");
    let project = Project::new(&registry)
        .without_registry_option()
        .npmrc(&format!("{FAST}registry={url}\n"))
        .with(&a)
        .entry("node_modules/a", json!({"resolved": null}));
    let outcome = project.ci(&[]);
    outcome.assert_error("ENETWORK");
    assert!(outcome.stderr.contains(&format!("127.0.0.1:{port}")), "{}", outcome.stderr);
}

#[test]
fn the_first_failure_is_reported_and_the_others_are_not() {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for number in 0..30 {
        // None of them is served.
        project = project.with(&Package::new(&format!("p{number}"), "1.0.0"));
    }
    project.ci(&[]).assert_error("E404");
}
