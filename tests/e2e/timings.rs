//! The trace: what Perfetto and chrome://tracing need, and nothing that cannot have been.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::support::{Package, Project, Registry};

/// The array, each of whose events has what its kind needs.
fn trace(project: &Project, arguments: &[&str]) -> Vec<Value> {
    let path = project.temp().join("trace.json");
    project.ci(&[&["--timings", path.to_str().unwrap()], arguments].concat());
    let trace: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for event in &trace {
        assert!(event["pid"].is_u64() && event["tid"].is_u64(), "{event}");
        match event["ph"].as_str() {
            Some("M") => assert!(event["args"]["name"].is_string(), "{event}"),
            Some("X") => {
                let [start, duration] = [&event["ts"], &event["dur"]].map(Value::as_f64);
                assert!(start >= Some(0.0) && duration >= Some(0.0), "{event}");
            }
            _ => panic!("no kind that is written: {event}"),
        }
    }
    trace
}

fn spans(trace: &[Value]) -> impl Iterator<Item = &Value> {
    trace.iter().filter(|event| event["ph"] == "X")
}

/// The names of the tracks that have spans.
fn names(trace: &[Value]) -> BTreeMap<u64, String> {
    let named = trace.iter().filter(|event| event["name"] == "thread_name");
    let name = |event: &Value| event["args"]["name"].as_str().unwrap().to_owned();
    named.map(|event| (event["tid"].as_u64().unwrap(), name(event))).collect()
}

fn several_packages() -> (Registry, Project) {
    let registry = Registry::start();
    let project = (0..8).fold(Project::new(&registry), |project, number| {
        project.with(&registry.serve(Package::new(&format!("p{number}"), "1.0.0").file("x", "x")))
    });
    (registry, project)
}

#[test]
fn phases_downloads_and_workers_have_named_tracks() {
    let (_registry, project) = several_packages();
    let trace = trace(&project, &["--jobs", "2"]);
    let names = names(&trace);
    let used: BTreeSet<_> = spans(&trace).map(|span| span["tid"].as_u64().unwrap()).collect();
    assert_eq!(used, names.keys().copied().collect(), "all tracks are used, and named");
    let on = |prefix: &str| {
        let is_on = |span: &&Value| names[&span["tid"].as_u64().unwrap()].starts_with(prefix);
        let name = |span: &Value| span["name"].as_str().unwrap().to_owned();
        spans(&trace).filter(is_on).map(name).collect::<Vec<_>>()
    };
    assert!(on("main").contains(&"install".to_owned()), "{:?}", on("main"));
    let mut downloads = on("download ");
    downloads.sort();
    let expected: Vec<_> = (0..8).map(|number| format!("p{number}@1.0.0")).collect();
    assert_eq!(downloads, expected);
    let workers = on("worker-");
    for number in 0..8 {
        let unpacked = format!("unpack p{number}@1.0.0");
        assert_eq!(workers.iter().filter(|name| **name == unpacked).count(), 1, "{workers:?}");
    }
    assert!(workers.iter().any(|name| name.starts_with("place ")), "{workers:?}");
}

#[test]
fn spans_of_a_track_follow_or_contain_one_another() {
    let (_registry, project) = several_packages();
    let trace = trace(&project, &[]);
    let mut tracks: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for span in spans(&trace) {
        let (start, duration) = (span["ts"].as_f64().unwrap(), span["dur"].as_f64().unwrap());
        tracks.entry(span["tid"].as_u64().unwrap()).or_default().push((start, start + duration));
    }
    // Times are nanoseconds, written as microseconds.
    let rounding = 0.002;
    for spans in tracks.values_mut() {
        spans.sort_by(|one, other| one.0.total_cmp(&other.0).then(other.1.total_cmp(&one.1)));
        let mut open: Vec<f64> = Vec::new();
        for (start, end) in spans {
            open.retain(|outer| *start < outer - rounding);
            assert!(open.iter().all(|outer| *end <= outer + rounding), "{start} to {end}");
            open.push(*end);
        }
    }
}

#[test]
fn what_the_cache_has_is_placed_and_not_downloaded() {
    let (_registry, project) = several_packages();
    project.ci(&[]).assert_quiet_success();
    let trace = trace(&project, &[]);
    assert!(names(&trace).values().all(|name| !name.starts_with("download")));
    assert!(spans(&trace).any(|span| span["name"].as_str().unwrap().starts_with("place ")));
}

#[test]
fn a_failure_leaves_a_trace_too() {
    let registry = Registry::start();
    let project = Project::new(&registry).with(&Package::new("a", "1.0.0"));
    let trace = trace(&project, &[]);
    assert!(spans(&trace).any(|span| span["name"] == "a@1.0.0"));
}
