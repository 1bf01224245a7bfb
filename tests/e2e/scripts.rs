//! Lifecycle scripts: when they run at all, what is told of them, and what their output does.

use serde_json::{Value, json};

use crate::support::{Package, Project, RINGSTALL, Registry};

/// A package whose script leaves a file beside the project's package.json.
fn with_script(name: &str) -> Package {
    let script = format!("echo ran > \"$npm_config_local_prefix/{name}.ran\"");
    Package::new(name, "1.0.0").field("scripts", json!({"postinstall": script, "test": "false"}))
}

fn with_scripts(names: &[&str]) -> Project {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for name in names {
        project = project.with(&registry.serve(with_script(name)));
    }
    let plain = Package::new("plain", "1.0.0").field("scripts", json!({"test": "false"}));
    project.with(&registry.serve(plain)).keeping(registry)
}

fn has_run(project: &Project, name: &str) -> bool {
    project.path().join(format!("{name}.ran")).exists()
}

#[test]
fn scripts_run_and_are_counted() {
    let project = with_scripts(&["a", "b"]);
    let outcome = project.ci(&[]);
    outcome.assert_success();
    assert!(has_run(&project, "a") && has_run(&project, "b"));
    assert!(outcome.stdout.ends_with(", ran 2 scripts of 2 packages\n"), "{}", outcome.stdout);
}

#[test]
fn what_nobody_has_allowed_is_told_with_the_lines_that_allow_it() {
    let outcome = with_scripts(&["a", "b"]).ci(&[]);
    outcome.assert_success();
    let expected = "\
warning: 2 packages have scripts that `allowScripts` does not speak of; they were run
  a@1.0.0 (postinstall: echo ran > \"$npm_config_local_prefix/a.ran\")
  b@1.0.0 (postinstall: echo ran > \"$npm_config_local_prefix/b.ran\")
to allow exactly these, put this into package.json:
\"allowScripts\": {
  \"a@1.0.0\": true,
  \"b@1.0.0\": true
}
";
    assert_eq!(outcome.stderr, expected);
}

#[test]
fn ignore_scripts_runs_none_and_says_nothing() {
    let ways: [&dyn Fn(Project) -> (Project, Vec<&'static str>); 4] = [
        &|project| (project, vec!["--ignore-scripts"]),
        &|project| (project, vec!["--scripts=none"]),
        &|project| (project.npmrc("ignore-scripts=true\n"), vec![]),
        &|project| (project.env("npm_config_ignore_scripts", "true"), vec![]),
    ];
    for way in ways {
        let root = json!({"postinstall": "touch root.ran", "prepare": "touch root.ran"});
        let (project, arguments) = way(with_scripts(&["a"]).field("scripts", root));
        project.ci(&arguments).assert_quiet_success();
        assert!(!has_run(&project, "a") && !has_run(&project, "root"));
    }
}

#[test]
fn without_scripts_nothing_is_said() {
    let outcome = with_scripts(&[]).ci(&[]);
    outcome.assert_quiet_success();
    assert!(!outcome.stdout.contains("script"), "{}", outcome.stdout);
}

#[test]
fn packages_that_are_left_out_run_nothing() {
    let registry = Registry::start();
    let native = registry.serve(with_script("native").field("os", json!(["plan9"])));
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let project = Project::new(&registry).with(&plain).with_optional(&native);
    project.ci(&[]).assert_quiet_success();
    assert!(!has_run(&project, "native"));
}

#[test]
fn output_in_the_background_is_not_shown() {
    let registry = Registry::start();
    let loud =
        Package::new("loud", "1.0.0").field("scripts", json!({"install": "echo loud; pwd >&2"}));
    let project = Project::new(&registry)
        .with(&registry.serve(loud))
        .field("allowScripts", json!({"loud": true}));
    let outcome = project.ci(&[]);
    outcome.assert_quiet_success();
    assert!(!outcome.stdout.contains("loud"), "{}", outcome.stdout);
}

#[test]
fn in_the_foreground_scripts_have_our_streams() {
    let registry = Registry::start();
    let loud = Package::new("loud", "1.0.0").field("scripts", json!({"install": "echo loud"}));
    let project = Project::new(&registry)
        .with(&registry.serve(loud))
        .field("allowScripts", json!({"loud": true}));
    let outcome = project.ci(&["--foreground-scripts"]);
    outcome.assert_success();
    assert!(outcome.stdout.starts_with("loud\nadded 1 package"), "{}", outcome.stdout);
    assert_eq!(outcome.stderr, "\n> loud@1.0.0 install\n> echo loud\n\n");
}

#[test]
fn scripts_of_the_project_have_our_streams() {
    let registry = Registry::start();
    let project =
        Project::new(&registry).field("scripts", json!({"prepare": "echo out; echo err >&2"}));
    let outcome = project.ci(&[]);
    outcome.assert_success();
    assert!(outcome.stdout.starts_with("out\nadded 0 packages"), "{}", outcome.stdout);
    let banner = "\n> project@1.0.0 prepare\n> echo out; echo err >&2\n\n";
    assert_eq!(outcome.stderr, format!("{banner}err\n"));
    assert_eq!(project.ci(&["--quiet"]).stderr, "err\n");
}

#[test]
fn the_summary_as_json_tells_of_scripts_and_stands_alone() {
    let project = with_scripts(&["a"]).field("scripts", json!({"prepare": "echo out"}));
    let outcome = project.ci(&["--json"]);
    let summary = outcome.json();
    assert_eq!(summary["withScripts"], json!(1));
    let ran =
        |name: &str, path: &str, event: &str| json!({"name": name, "path": path, "event": event});
    let scripts = &summary["scripts"];
    let expected = json!([
        ran("a@1.0.0", "node_modules/a", "postinstall"),
        ran("project@1.0.0", "", "prepare")
    ]);
    assert_eq!(scripts["ran"], expected);
    assert_eq!(scripts["allowScripts"], json!({"a@1.0.0": true}));
    assert_eq!(scripts["unreviewed"][0]["key"], json!("a@1.0.0"));
    assert!(matches!(&scripts["unreviewed"][0]["scripts"]["postinstall"], Value::String(_)));
    assert!(outcome.stderr.contains("\nout\n"), "{}", outcome.stderr);
}

#[test]
fn a_process_left_behind_does_not_hold_us_up() {
    let registry = Registry::start();
    // It holds the pipe until the test lets it go.
    let script = "mkfifo \"$npm_config_local_prefix/fifo\"; \
                  (read line < \"$npm_config_local_prefix/fifo\") & echo started";
    let daemon = Package::new("daemon", "1.0.0").field("scripts", json!({"install": script}));
    let project = Project::new(&registry)
        .with(&registry.serve(daemon))
        .field("allowScripts", json!({"daemon": true}));
    project.ci(&[]).assert_quiet_success();
    std::fs::write(project.path().join("fifo"), "end\n").unwrap();
}

#[test]
fn the_time_of_scripts_is_a_phase_of_its_own() {
    let outcome = with_scripts(&["a"]).ci(&["--stats"]);
    outcome.assert_success();
    let phases = ["build", "scripts"];
    let lines: Vec<_> = outcome.stdout.lines().collect();
    for phase in phases {
        assert!(lines.iter().any(|line| line.starts_with(phase)), "{}", outcome.stdout);
    }
}

#[test]
fn events_tell_of_each_script() {
    let outcome = with_scripts(&["a"]).ci(&["--events", "-"]);
    outcome.assert_success();
    let events: Vec<Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_script = |name: &str| {
        let event = events.iter().find(|event| event["event"] == name).unwrap();
        ["package", "path", "script"].map(|key| event[key].as_str().unwrap().to_owned())
    };
    let expected = ["a@1.0.0", "node_modules/a", "postinstall"].map(str::to_owned);
    assert_eq!(of_script("scriptStarted"), expected);
    assert_eq!(of_script("scriptEnded"), expected);
    let ended = events.iter().find(|event| event["event"] == "scriptEnded").unwrap();
    assert_eq!((&ended["exitCode"], &ended["signal"]), (&json!(0), &Value::Null));
}

/// It would wait for its own end.
#[test]
fn a_script_may_install_in_its_own_project() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let again = format!("{RINGSTALL} ci --ignore-scripts --cache {}", project.cache().display());
    let project = project.field("scripts", json!({"postinstall": again}));
    project.ci(&[]).assert_success();
    assert!(project.path().join("node_modules/a/package.json").exists());
}
