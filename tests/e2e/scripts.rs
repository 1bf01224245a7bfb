//! Lifecycle scripts: none is run, and one line says how many packages have some.

use serde_json::json;

use crate::support::{Package, Project, Registry};

fn with_scripts(names: &[&str]) -> Project {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for name in names {
        let package = Package::new(name, "1.0.0")
            .field("scripts", json!({"postinstall": "touch ../../ran", "test": "true"}));
        project = project.with(&registry.serve(package));
    }
    let plain = Package::new("plain", "1.0.0").field("scripts", json!({"test": "true"}));
    project.with(&registry.serve(plain)).keeping(registry)
}

#[test]
fn one_line_names_how_many_packages_have_scripts() {
    let project = with_scripts(&["a", "b"]);
    let outcome = project.ci(&[]);
    outcome.assert_success();
    let expected = "warning: 2 packages with lifecycle scripts: none were run (--ignore-scripts \
                    silences this)\n";
    assert_eq!(outcome.stderr, expected);
    assert!(!project.path().join("ran").exists());
}

#[test]
fn one_package_with_scripts_is_one() {
    let outcome = with_scripts(&["a"]).ci(&[]);
    let expected = "warning: 1 package with lifecycle scripts: none were run (--ignore-scripts \
                    silences this)\n";
    assert_eq!(outcome.stderr, expected);
}

#[test]
fn ignore_scripts_silences_the_line() {
    with_scripts(&["a"]).ci(&["--ignore-scripts"]).assert_quiet_success();
}

#[test]
fn the_settings_can_ignore_scripts() {
    with_scripts(&["a"]).npmrc("ignore-scripts=true\n").ci(&[]).assert_quiet_success();
    with_scripts(&["a"]).env("npm_config_ignore_scripts", "true").ci(&[]).assert_quiet_success();
}

#[test]
fn without_scripts_nothing_is_said() {
    with_scripts(&[]).ci(&[]).assert_quiet_success();
}

#[test]
fn packages_that_are_left_out_are_not_counted() {
    let registry = Registry::start();
    let native = Package::new("native", "1.0.0")
        .field("os", json!(["plan9"]))
        .field("scripts", json!({"install": "true"}));
    let native = registry.serve(native);
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    Project::new(&registry).with(&plain).with_optional(&native).ci(&[]).assert_quiet_success();
}

#[test]
fn the_summary_as_json_has_the_number() {
    let summary = with_scripts(&["a", "b"]).ci(&["--json"]).json();
    assert_eq!(summary["withScripts"], json!(2));
}
