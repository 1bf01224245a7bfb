//! Fetching: how often a tarball is asked for, with how many connections, and what answers other
//! than a tarball mean.

use serde_json::json;

use crate::support::{Package, Project, Registry, Reply};

#[test]
fn a_tarball_that_many_places_want_is_asked_for_once() {
    let registry = Registry::start();
    let shared = registry.serve(Package::new("shared", "1.0.0").file("index.js", "s"));
    let mut project = Project::new(&registry);
    for number in 0..10 {
        let name = format!("user{number}");
        let user = registry.serve(Package::new(&name, "1.0.0").dependency("shared", "1.0.0"));
        let path = format!("node_modules/{name}/node_modules/shared");
        project = project.with(&user).at(&path, &shared);
    }
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.count("/shared/-/shared-1.0.0.tgz"), 1);
    assert_eq!(registry.requests().len(), 11);
    for number in 0..10 {
        let folder = format!("user{number}/node_modules/shared");
        let expected = ["index.js \"s\"", "package.json {shared@1.0.0}"];
        project.installed().below(&folder).assert(&expected);
    }
}

#[test]
fn two_aliases_of_one_package_are_one_request() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .wants("dependencies", "other", "npm:a@1.0.0")
        .at("node_modules/other", &a);
    project.assert_same_as_npm(&[]);
    registry.forget_requests();
    std::fs::remove_dir_all(project.cache()).unwrap();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), ["/a/-/a-1.0.0.tgz"]);
}

#[test]
fn no_more_than_64_connections_are_made_to_a_host() {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for number in 0..200 {
        let package = registry.serve(Package::new(&format!("p{number}"), "1.0.0"));
        project = project.with(&package);
    }
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.requests().len(), 200);
    assert!(registry.connections_max() <= 64, "{} connections", registry.connections_max());
}

#[test]
fn maxsockets_bounds_the_connections() {
    let registry = Registry::start();
    let mut project = Project::new(&registry).npmrc("maxsockets=2\n");
    for number in 0..20 {
        let package = registry.serve(Package::new(&format!("p{number}"), "1.0.0"));
        project = project.with(&package);
    }
    project.ci(&[]).assert_quiet_success();
    assert!(registry.connections_max() <= 2, "{} connections", registry.connections_max());
}

#[test]
fn requests_say_who_asks() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    Project::new(&registry).with(&a).ci(&[]).assert_quiet_success();
    let agent = registry.requests()[0].user_agent.clone().unwrap();
    assert!(agent.starts_with("ringstall/"), "{agent}");
}

#[test]
fn a_required_tarball_that_the_registry_does_not_have_is_an_error() {
    for resolved in [true, false] {
        let registry = Registry::start();
        let a = Package::new("a", "1.0.0");
        let mut project = Project::new(&registry).with(&a);
        if !resolved {
            project = project.entry("node_modules/a", json!({"resolved": null}));
        }
        project.assert_npm_fails(&[]);
        registry.forget_requests();
        let outcome = project.ci(&[]);
        let message = outcome.assert_error("E404");
        assert!(message.contains("a@1.0.0"), "{message}");
        assert!(outcome.stderr.contains("[REGISTRY]/a/-/a-1.0.0.tgz"), "{}", outcome.stderr);
        assert_eq!(registry.count("/a/-/a-1.0.0.tgz"), 1, "404 is not asked again");
    }
}

#[test]
fn an_optional_tarball_that_the_registry_does_not_have_leaves_out_its_set() {
    let registry = Registry::start();
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let below = registry.serve(Package::new("below", "1.0.0"));
    let gone = Package::new("gone", "1.0.0").dependency("below", "1.0.0");
    let project = Project::new(&registry)
        .with(&plain)
        .with_optional(&gone)
        .at("node_modules/below", &below)
        .entry("node_modules/below", json!({"optional": true}));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/plain]",
        "plain/",
        "plain/package.json {plain@1.0.0}",
    ]);
}

#[test]
fn an_optional_package_that_cannot_be_had_takes_its_commands_with_it() {
    let registry = Registry::start();
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let gone = Package::new("gone", "1.0.0").field("bin", json!({"gone": "cli.js"}));
    let project = Project::new(&registry).with(&plain).with_optional(&gone);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/plain]",
        "plain/",
        "plain/package.json {plain@1.0.0}",
    ]);
}

#[test]
fn a_redirect_is_followed() {
    let (registry, mirror) = (Registry::start(), Registry::start());
    let a = mirror.serve(Package::new("a", "1.0.0"));
    let location = format!("{}{}", mirror.url(), a.tarball_path());
    registry.reply_always("/a/-/a-1.0.0.tgz", Reply::redirect(&location));
    let project = Project::new(&registry).with(&a);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
}

#[test]
fn a_relative_redirect_is_followed() {
    let registry = Registry::start();
    let a = registry.serve_under("mirror/", Package::new("a", "1.0.0"));
    registry.reply_always("/a/-/a-1.0.0.tgz", Reply::redirect("/mirror/a/-/a-1.0.0.tgz"));
    Project::new(&registry).with(&a).assert_same_as_npm(&[]);
}

#[test]
fn redirects_without_end_are_an_error() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0");
    registry.reply_always("/a/-/a-1.0.0.tgz", Reply::redirect("/a/-/a-1.0.0.tgz"));
    let project = Project::new(&registry).npmrc(crate::retry::FAST).with(&a);
    let outcome = project.ci(&[]);
    outcome.assert_error("ENETWORK");
    assert!(registry.requests().len() < 100, "{} requests", registry.requests().len());
}

#[test]
fn a_page_instead_of_a_tarball_is_refused_by_its_integrity() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0");
    let page = Reply::ok("<!doctype html><p>Sign in").header("content-type", "text/html");
    registry.reply_always("/a/-/a-1.0.0.tgz", page);
    let project = Project::new(&registry).with(&a);
    project.ci(&[]).assert_error("EINTEGRITY");
    assert!(!project.path().join("node_modules/a").exists());
}

#[test]
fn a_registry_can_lie_below_a_path() {
    let registry = Registry::start();
    let a = registry.serve_under("npm/team/", Package::new("a", "1.0.0"));
    let b = registry.serve_under("npm/team/", Package::new("@s/b", "1.0.0"));
    let project = Project::new(&registry)
        .without_registry_option()
        .npmrc(&format!("registry={}npm/team\n", registry.url()))
        .resolved(crate::support::project::Resolved::Absent)
        .with(&a)
        .with(&b);
    project.assert_same_as_npm(&[]);
    registry.forget_requests();
    std::fs::remove_dir_all(project.cache()).unwrap();
    project.ci(&[]).assert_quiet_success();
    let expected = ["/npm/team/@s/b/-/b-1.0.0.tgz", "/npm/team/a/-/a-1.0.0.tgz"];
    assert_eq!(registry.paths(), expected);
}

#[test]
fn the_summary_names_the_driver_and_what_it_asked_for() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry).with(&a).with(&b);
    let driver = crate::support::engine::forced().map_or("epoll", |[_, (_, net)]| net);
    let summary = project.ci(&["--json", "--net", driver]).json();
    let network = &summary["network"];
    assert_eq!(network["driver"], driver);
    assert_eq!(network["requests"], 2);
    let received = [&a, &b].map(|package| package.tgz().len()).iter().sum::<usize>();
    assert_eq!(network["bytesReceived"], received);
    let batches = ["submissions", "enters", "largestBatch"].map(|key| network[key].as_u64());
    let are_counted = batches.iter().all(|number| *number > Some(0));
    assert_eq!(are_counted, driver == "ring", "{network:#}");
    // What is in the cache is not asked for.
    let summary = project.ci(&["--json", "--net", driver]).json();
    assert_eq!(summary["network"], serde_json::Value::Null);
}
