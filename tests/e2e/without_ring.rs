//! The command as it is on systems without io_uring: the ring is compiled out.

use crate::support::{Package, Project, Registry};

#[test]
fn the_ring_is_refused_with_its_reason_before_anything_is_touched() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a).file("node_modules/old/x", "x");
    project.ci(&["--io", "ring"]).assert_failure(&[
        "error: ECONFIG: `--io ring` cannot be had: io_uring is refused",
        "  caused by: this program was built without io_uring",
        "hint: `--io auto` goes on without it; `ringstall doctor` says more",
    ]);
    project.installed().assert(&["old/", "old/x \"x\""]);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn by_default_plain_calls_do_everything() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let summary = Project::new(&registry).with(&a).ci(&["--io", "auto", "--json"]).json();
    let engines: Vec<_> =
        summary["engines"].as_array().unwrap().iter().map(|row| &row["engine"]).collect();
    assert!(engines.iter().all(|engine| *engine != "ring"), "{summary:#}");
    assert_eq!(summary["ringRefusal"], serde_json::Value::Null);
}
