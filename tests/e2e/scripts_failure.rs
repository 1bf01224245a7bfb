//! Scripts that fail: what is said, what is left, and how the command ends.

use serde_json::json;

use crate::support::{Package, Project, Registry};

fn with_install(name: &str, script: &str) -> Package {
    Package::new(name, "1.0.0").field("scripts", json!({"install": script}))
}

fn failing(script: &str) -> Project {
    let registry = Registry::start();
    let package = registry.serve(with_install("bad", script));
    Project::new(&registry)
        .with(&package)
        .field("allowScripts", json!({"bad": true}))
        .keeping(registry)
}

#[test]
fn a_failure_names_the_script_the_package_and_the_output() {
    let outcome = failing("echo to stdout; echo to stderr >&2; exit 1").ci(&[]);
    outcome.assert_failure(&[
        "error: ELIFECYCLE: the `install` script of bad@1.0.0 in `node_modules/bad` exited with \
         code 1",
        "",
        "> echo to stdout; echo to stderr >&2; exit 1",
        "to stdout",
        "to stderr",
    ]);
}

#[test]
fn the_command_ends_with_the_scripts_own_code_as_npm_does() {
    for (script, code) in [("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 1)] {
        let project = failing(script);
        let outcome = project.ci(&[]);
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        if let Some((theirs, _)) = project.judged_ci(&[]) {
            assert_eq!(theirs.code, Some(code), "the judge: {}", theirs.stderr);
        }
    }
}

#[test]
fn a_failure_leaves_no_hidden_lockfile() {
    let project = failing("exit 1");
    project.ci(&[]).assert_error("ELIFECYCLE");
    assert!(!project.path().join("node_modules/.package-lock.json").exists());
    project.ci(&["--ignore-scripts"]).assert_success();
    assert!(project.path().join("node_modules/.package-lock.json").exists());
}

#[test]
fn what_comes_after_a_failure_is_not_run() {
    let registry = Registry::start();
    let mark = "touch \"$npm_config_local_prefix/ran\"";
    let project = Project::new(&registry)
        .with(&registry.serve(with_install("a", "exit 1")))
        .with(
            &registry
                .serve(Package::new("b", "1.0.0").field("scripts", json!({"postinstall": mark}))),
        )
        .field("scripts", json!({"install": "touch ran"}));
    project.ci(&[]).assert_error("ELIFECYCLE");
    assert!(!project.path().join("ran").exists());
}

#[test]
fn an_optional_package_that_fails_leaves_with_its_set() {
    let registry = Registry::start();
    let bin = |package: Package, name: &str| {
        package.field("bin", json!({name: "cli.js"})).file("cli.js", "")
    };
    let needed = registry.serve(bin(Package::new("needed", "1.0.0"), "needed"));
    let shared = registry.serve(Package::new("shared", "1.0.0"));
    for event in ["preinstall", "install", "postinstall"] {
        let optional = bin(Package::new("optional", "1.0.0"), "optional")
            .dependency("needed", "1.0.0")
            .dependency("shared", "1.0.0")
            .field("scripts", json!({event: "exit 7"}));
        let registry = Registry::start();
        let optional = registry.serve(optional);
        let (needed, shared) = (registry.serve(needed.clone()), registry.serve(shared.clone()));
        let project = Project::new(&registry)
            .with_optional(&optional)
            .with(&shared)
            .at("node_modules/needed", &needed)
            .entry("node_modules/needed", json!({"optional": true}));
        let outcome = project.assert_same_as_npm_with_scripts(&[]);
        let warning = format!(
            "warning: left out an optional package: the `{event}` script of optional@1.0.0 in \
             `node_modules/optional` exited with code 7\n"
        );
        assert_eq!(outcome.stderr, warning);
        assert!(!project.path().join("node_modules/optional").exists());
        assert!(!project.path().join("node_modules/needed").exists());
    }
}

#[test]
fn scripts_of_the_project_end_the_command_as_they_end() {
    let registry = Registry::start();
    for (script, code) in [("exit 5", Some(5)), ("kill -9 $$", Some(137))] {
        let project = Project::new(&registry)
            .with(&registry.serve(Package::new("a", "1.0.0")))
            .field("scripts", json!({"postinstall": script, "prepare": "touch ran"}));
        let outcome = project.ci(&[]);
        assert_eq!(outcome.code, code, "{}", outcome.stderr);
        // The tree stands, as under npm.
        assert!(project.path().join("node_modules/.package-lock.json").exists());
        assert!(!project.path().join("ran").exists());
    }
}

#[test]
fn output_cannot_steer_the_terminal() {
    let script = "printf '\\033[2J\\033]8;;http://evil\\007link\\033]8;;\\007 ';
                  printf '\\342\\200\\256bidi\\n'; exit 1";
    let outcome = failing(script).ci(&[]);
    outcome.assert_error("ELIFECYCLE");
    assert!(!outcome.stderr.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", outcome.stderr);
    assert!(outcome.stderr.ends_with("\nlink \u{fffd}bidi\n"), "{:?}", outcome.stderr);
}

#[test]
fn endless_output_is_shown_in_part() {
    let outcome = failing("echo first; yes | head -c 50000000; echo last; exit 1").ci(&[]);
    outcome.assert_error("ELIFECYCLE");
    assert!(outcome.stderr.len() < 400_000, "{} bytes", outcome.stderr.len());
    assert!(outcome.stderr.contains("\nfirst\n") && outcome.stderr.ends_with("\nlast\n"));
    assert!(outcome.stderr.contains(" bytes are left out here]\n"));
}

#[test]
fn one_failure_ends_what_runs_beside_it() {
    let registry = Registry::start();
    // The first would wait for ever.
    let at = "\"$npm_config_local_prefix\"";
    let waiting = format!("echo x > {at}/started; read line < {at}/never");
    let bad = format!("read line < {at}/started; exit 1");
    let project = Project::new(&registry)
        .with(&registry.serve(with_install("a", &waiting)))
        .with(&registry.serve(with_install("b", &bad)));
    for fifo in ["started", "never"] {
        let made = std::process::Command::new("mkfifo").arg(project.path().join(fifo)).status();
        assert!(made.unwrap().success());
    }
    let outcome = project.ci(&["--jobs", "2"]);
    let message = outcome.assert_error("ELIFECYCLE");
    assert!(message.starts_with("the `install` script of b@1.0.0"), "{message}");
}

#[test]
fn a_shell_that_is_not_there_is_an_error() {
    let outcome = failing("true").ci(&["--script-shell", "/nowhere/sh"]);
    let message = outcome.assert_error("ELIFECYCLE");
    let expected = "the `install` script of bad@1.0.0 in `node_modules/bad` could not be run with \
                    `/nowhere/sh`";
    assert_eq!(message, expected);
}
