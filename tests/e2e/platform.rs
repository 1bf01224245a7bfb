//! Which packages this machine can have: os, cpu, libc and engines, and what goes with an optional
//! package that it cannot have.

use serde_json::{Value, json};

use crate::support::{Package, Project, Registry};

/// `optional` with the given fields, beside a plain package.
fn with_optional(fields: &[(&str, Value)]) -> (Registry, Project) {
    let registry = Registry::start();
    let mut optional = Package::new("optional", "1.0.0");
    for (key, value) in fields {
        optional = optional.field(key, value.clone());
    }
    let optional = registry.serve(optional);
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let project = Project::new(&registry).with(&plain).with_optional(&optional);
    (registry, project)
}

const LEFT_OUT: [&str; 3] =
    [".package-lock.json [node_modules/plain]", "plain/", "plain/package.json {plain@1.0.0}"];
const INSTALLED: [&str; 5] = [
    ".package-lock.json [node_modules/optional, node_modules/plain]",
    "optional/",
    "optional/package.json {optional@1.0.0}",
    "plain/",
    "plain/package.json {plain@1.0.0}",
];

#[track_caller]
fn assert_optional(fields: &[(&str, Value)], arguments: &[&str], expected: &[&str]) {
    let (registry, project) = with_optional(fields);
    project.assert_same_as_npm(arguments).assert_quiet_success();
    project.installed().assert(expected);
    if expected == LEFT_OUT {
        assert_eq!(registry.count("/optional/-/optional-1.0.0.tgz"), 0, "it is not even fetched");
    }
}

#[test]
fn an_optional_package_for_another_os_is_left_out() {
    assert_optional(&[("os", json!(["plan9"]))], &[], &LEFT_OUT);
}

#[test]
fn an_optional_package_for_another_cpu_is_left_out() {
    assert_optional(&[("cpu", json!(["pdp11"]))], &[], &LEFT_OUT);
}

#[test]
fn an_optional_package_for_another_libc_is_left_out() {
    assert_optional(&[("libc", json!(["dietlibc"]))], &[], &LEFT_OUT);
}

#[test]
fn an_optional_package_for_other_engines_is_left_out() {
    assert_optional(&[("engines", json!({"node": ">=999"}))], &[], &LEFT_OUT);
}

#[test]
fn a_list_that_only_excludes_others_allows_this_machine() {
    assert_optional(&[("os", json!(["!win32", "!darwin"]))], &[], &INSTALLED);
}

#[test]
fn a_list_that_excludes_this_machine_leaves_it_out() {
    assert_optional(&[("os", json!(["!linux"]))], &[], &LEFT_OUT);
    assert_optional(&[("os", json!(["linux", "!linux"]))], &[], &LEFT_OUT);
}

#[test]
fn any_allows_every_machine() {
    assert_optional(&[("os", json!(["any"])), ("cpu", json!(["any"]))], &[], &INSTALLED);
}

#[test]
fn a_text_in_the_place_of_a_list_is_a_list_of_one_and_stays_a_text() {
    assert_optional(&[("cpu", json!("any"))], &[], &INSTALLED);
    assert_optional(&[("os", json!("plan9"))], &[], &LEFT_OUT);
}

#[test]
fn another_machine_can_be_named() {
    let fields = [("os", json!(["win32"])), ("cpu", json!(["arm64"])), ("libc", json!(["musl"]))];
    assert_optional(&fields, &[], &LEFT_OUT);
    assert_optional(&fields, &["--os", "win32", "--cpu", "arm64"], &LEFT_OUT);
    assert_optional(&fields[..2], &["--os", "win32", "--cpu", "arm64"], &INSTALLED);
    let libc = ["--os", "linux", "--libc", "musl"];
    assert_optional(&fields[2..], &libc, &INSTALLED);
}

#[test]
fn another_machine_can_be_named_in_the_settings() {
    let (_registry, project) = with_optional(&[("os", json!(["win32"]))]);
    let project = project.npmrc("os=win32\n");
    project.assert_same_as_npm(&[]);
    project.installed().assert(&INSTALLED);
}

#[test]
fn what_only_an_excluded_package_wants_is_left_out_with_it() {
    let registry = Registry::start();
    let deep = registry.serve(Package::new("deep", "1.0.0"));
    let below = registry.serve(Package::new("below", "1.0.0").dependency("deep", "1.0.0"));
    let shared = registry.serve(Package::new("shared", "1.0.0"));
    let native = Package::new("native", "1.0.0")
        .field("os", json!(["plan9"]))
        .dependency("below", "1.0.0")
        .dependency("shared", "1.0.0");
    let native = registry.serve(native);
    let plain = registry.serve(Package::new("plain", "1.0.0").dependency("shared", "1.0.0"));
    let flags = json!({"optional": true});
    let project = Project::new(&registry)
        .with(&plain)
        .with_optional(&native)
        .at("node_modules/below", &below)
        .entry("node_modules/below", flags.clone())
        .at("node_modules/deep", &deep)
        .entry("node_modules/deep", flags)
        .at("node_modules/shared", &shared);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/plain, node_modules/shared]",
        "plain/",
        "plain/package.json {plain@1.0.0}",
        "shared/",
        "shared/package.json {shared@1.0.0}",
    ]);
}

#[test]
fn the_package_that_requires_an_excluded_one_is_left_out_up_to_the_optional_edge() {
    let registry = Registry::start();
    let native = registry.serve(Package::new("native", "1.0.0").field("cpu", json!(["pdp11"])));
    let wrapper = registry.serve(Package::new("wrapper", "1.0.0").dependency("native", "1.0.0"));
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let project = Project::new(&registry)
        .with(&plain)
        .with_optional(&wrapper)
        .at("node_modules/native", &native)
        .entry("node_modules/native", json!({"optional": true}));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&LEFT_OUT);
}

#[test]
fn a_required_package_for_another_platform_is_an_error_before_anything_is_touched() {
    let registry = Registry::start();
    let native = registry.serve(Package::new("native", "1.0.0").field("os", json!(["plan9"])));
    let project = Project::new(&registry).with(&native).file("node_modules/kept/x", "x");
    project.assert_npm_fails(&[]);
    registry.forget_requests();
    let before = project.whole_tree();
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("EBADPLATFORM");
    let start =
        "unsupported platform for native@1.0.0: wanted os [plan9], cpu [], libc [], this is";
    assert!(message.starts_with(start), "{message}");
    assert_eq!(project.whole_tree(), before);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn a_required_package_for_other_engines_is_installed_with_a_warning() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("engines", json!({"node": ">=999"}));
    let a = registry.serve(a);
    let project = Project::new(&registry).with(&a);
    let outcome = project.assert_same_as_npm(&[]);
    assert!(outcome.stderr.starts_with("warning: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("a@1.0.0"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1);
}

#[test]
fn with_engine_strict_a_required_package_for_other_engines_is_an_error() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("engines", json!({"node": ">=999"}));
    let a = registry.serve(a);
    let project = Project::new(&registry).with(&a);
    project.assert_npm_fails(&["--engine-strict"]);
    let lines = [
        "error: EBADENGINE: a@1.0.0 wants the engines { \"node\": \">=999\" }",
        "hint: use the node that it wants, or unset engine-strict",
    ];
    project.ci(&["--engine-strict"]).assert_failure(&lines);
    let project = project.npmrc("engine-strict=true\n");
    project.ci(&[]).assert_failure(&lines);
}

#[test]
fn engines_that_this_node_matches_say_nothing() {
    let fields = [("engines", json!({"node": ">=0.10", "npm": ">=1", "other": "7"}))];
    assert_optional(&fields, &[], &INSTALLED);
}

#[test]
fn an_omitted_package_for_another_platform_is_no_error() {
    let registry = Registry::start();
    let native = registry.serve(Package::new("native", "1.0.0").field("os", json!(["plan9"])));
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let project = Project::new(&registry).with(&plain).with_dev(&native);
    project.assert_same_as_npm(&["--omit", "dev"]);
    project.installed().assert(&LEFT_OUT);
}
