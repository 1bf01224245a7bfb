//! The command as it is on systems without io_uring: the ring is compiled out.

use crate::support::{Package, Project, Registry};

#[test]
fn what_needs_the_ring_is_refused_with_the_reason_before_anything_is_touched() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a).file("node_modules/old/x", "x");
    for [option, value] in [["--io", "ring"], ["--net", "ring"], ["--net", "tokio-uring"]] {
        let outcome = project.ci(&[option, value]);
        let message = outcome.assert_error("ECONFIG");
        let expected = format!("`{option} {value}` cannot be had: io_uring is refused");
        assert_eq!(message, expected);
        let cause = "  caused by: this program was built without io_uring";
        assert!(outcome.stderr.lines().any(|line| line == cause), "{}", outcome.stderr);
    }
    project.installed().assert(&["old/", "old/x \"x\""]);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn by_default_plain_calls_do_everything() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let summary = project.ci(&["--io", "auto", "--net", "auto", "--json"]).json();
    let mut engines: Vec<_> =
        summary["engines"].as_array().unwrap().iter().map(|row| &row["engine"]).collect();
    engines.dedup();
    assert_eq!(engines, ["threads", "epoll"], "{summary:#}");
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
}
