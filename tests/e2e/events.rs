//! The stream of events: every line as published, in an order that can be relied on, and one line
//! a package at most.

use std::fs;

use serde_json::{Value, json};

use crate::support::schema::assert_valid;
use crate::support::{Package, Project, Registry};

/// The lines of a stream, each of which is held against the schema.
#[track_caller]
pub fn parse(text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'), "the last line is whole: {text}");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        assert_valid(event, "event");
    }
    events
}

fn two_packages() -> (Registry, Project) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("x", "x"));
    let b = registry.serve(Package::new("@scope/b", "1.0.0"));
    let project = Project::new(&registry).with(&a).with(&b).at("node_modules/a/node_modules/b", &b);
    (registry, project)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn the_stream_tells_a_run_from_its_start_to_its_summary() {
    let (registry, project) = two_packages();
    let path = project.temp().join("events");
    let argument = path.to_str().unwrap();
    let outcome = project.ci(&["--json", "--events", argument]);
    let events = parse(&fs::read_to_string(&path).unwrap());
    let kinds = kinds(&events);
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("start", "summary"));
    assert_eq!(events[0]["command"], "ci");
    let counts = |wanted| kinds.iter().filter(|kind| **kind == wanted).count();
    assert_eq!(["start", "plan", "package", "summary"].map(counts), [1, 1, 2, 1]);
    assert_eq!(counts("phaseStarted"), counts("phaseEnded"));
    let times: Vec<f64> = events.iter().map(|event| event["time"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let (told, printed) = (&events[events.len() - 1]["summary"], outcome.json());
    assert_eq!(told["added"], printed["added"]);
    assert_eq!(told["seconds"], printed["seconds"]);
    drop(registry);
}

#[test]
fn phases_follow_one_another() {
    let (_registry, project) = two_packages();
    let outcome = project.ci(&["--events", "-"]);
    outcome.assert_quiet_success();
    let events = parse(&outcome.stdout);
    let phases: Vec<_> = events
        .iter()
        .filter(|event| event["phase"].is_string())
        .map(|event| (event["event"].as_str().unwrap(), event["phase"].as_str().unwrap()))
        .collect();
    let names = [
        "read",
        "check",
        "plan",
        "look up",
        "install",
        "link",
        "remove old",
        "build",
        "hidden lock",
        "scripts",
    ];
    let expected: Vec<_> =
        names.iter().flat_map(|name| [("phaseStarted", *name), ("phaseEnded", *name)]).collect();
    assert_eq!(phases, expected);
}

#[test]
fn a_package_comes_with_its_source_its_size_and_its_places() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("@scope/a", "1.0.0").file("x", "x"));
    let project = Project::new(&registry).with(&a);
    let length = a.tgz().len();
    let package = |outcome: &crate::support::outcome::Outcome| {
        outcome.assert_quiet_success();
        let events = parse(&outcome.stdout);
        let mut package = events.into_iter().find(|event| event["event"] == "package").unwrap();
        package.as_object_mut().unwrap().remove("time");
        package
    };
    let expected = |source: &str, bytes: Value| {
        json!({
            "event": "package",
            "name": "@scope/a",
            "version": "1.0.0",
            "source": source,
            "address": "[REGISTRY]/@scope/a/-/a-1.0.0.tgz",
            "bytes": bytes,
            "paths": ["node_modules/@scope/a"],
        })
    };
    let first = project.ci(&["--events", "-"]);
    assert_eq!(package(&first), expected("network", json!(length)));
    let second = project.ci(&["--events", "-"]);
    assert_eq!(package(&second), expected("cache", Value::Null));
}

#[test]
fn a_failure_ends_the_stream_with_the_error_that_json_prints() {
    let registry = Registry::start();
    let project = Project::new(&registry).with(&Package::new("a", "1.0.0"));
    let path = project.temp().join("events");
    let outcome = project.ci(&["--json", "--events", path.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(1));
    let text = fs::read_to_string(&path).unwrap().replace(&registry.url(), "[REGISTRY]/");
    let events = parse(&text);
    let printed: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["error"]), (&json!("error"), &printed["error"]));
    let kinds = kinds(&events);
    let counts = |wanted| kinds.iter().filter(|kind| **kind == wanted).count();
    assert_eq!(counts("phaseStarted"), counts("phaseEnded"), "a phase that fails ends too");
}

#[test]
fn a_warning_is_an_event_too() {
    let (_registry, project) = two_packages();
    let project = project.npmrc("omit=everything\n");
    let outcome = project.ci(&["--events", "-"]);
    let events = parse(&outcome.stdout);
    let warnings: Vec<_> = events.iter().filter(|event| event["event"] == "warning").collect();
    assert_eq!(warnings.len(), 1);
    let message = warnings[0]["message"].as_str().unwrap();
    assert_eq!(outcome.stderr, format!("warning: {message}\n"));
}

#[test]
fn secrets_stay_out_of_the_stream() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let key = registry.nerf_dart();
    let project = Project::new(&registry).with(&a).npmrc(&format!("{key}:_authToken=hush\n"));
    let trace = project.temp().join("trace");
    let outcome = project.ci(&["-v", "--events", "-", "--timings", trace.to_str().unwrap()]);
    outcome.assert_success();
    let told =
        format!("{}{}{}", outcome.stdout, outcome.stderr, fs::read_to_string(trace).unwrap());
    assert!(!told.contains("hush"), "{told}");
    let authorization = registry.requests()[0].authorization.clone();
    assert_eq!(authorization.as_deref(), Some("Bearer hush"));
}

#[test]
fn stdout_has_room_for_one_thing() {
    let (_registry, project) = two_packages();
    for other in ["--json", "--stats"] {
        let outcome = project.ci(&[other, "--events", "-"]);
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.stderr.contains("`--events -`"), "{}", outcome.stderr);
        assert!(!project.path().join("node_modules").exists());
    }
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_before_anything_is_done() {
    let (_registry, project) = two_packages();
    for option in ["--events", "--timings"] {
        let message = project.ci(&[option, "no/such/folder/file"]).assert_error("EIO").to_owned();
        assert_eq!(message, "failed to create `no/such/folder/file`");
        assert!(!project.path().join("node_modules").exists());
    }
}
