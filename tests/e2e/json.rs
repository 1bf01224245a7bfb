//! What programs read on stdout: npm's fields and ours after a success, the error after a failure,
//! and never half of either with exit code 0.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::schema::assert_valid;
use crate::support::{Package, Project, Registry, Reply};

const RINGSTALL: &str = env!("CARGO_BIN_EXE_ringstall");
const TARBALL: &str = "/a/-/a-1.0.0.tgz";

fn one_package() -> (Registry, Project) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("x", "x"));
    let project = Project::new(&registry).with(&a);
    (registry, project)
}

#[test]
fn npm_s_fields_have_npm_s_values() {
    let registry = Registry::start();
    let funded = |name: &str, funding: Value| {
        registry.serve(Package::new(name, "1.0.0").field("funding", funding))
    };
    let packages = [
        funded("a", json!("https://one.test/a")),
        funded("b", json!([{"url": "https://one.test/b"}, "http://one.test/c"])),
        funded("c", json!({"url": "mailto:c@one.test"})),
        registry.serve(Package::new("@scope/d", "2.0.0-rc.1")),
    ];
    let project = packages.iter().fold(Project::new(&registry), Project::with);
    let member = Package::new("w", "1.0.0").field("funding", json!("https://one.test/w"));
    let project = project.workspace("packages/w", &member);
    let ours = project.ci(&["--json"]).json();
    assert_valid(&ours, "ci");
    let registry = project.registry_arguments();
    let mut arguments = vec!["ci", "--json", "--ignore-scripts", "--no-audit"];
    arguments.extend(registry.iter().map(String::as_str));
    let Some(theirs) = project.npm(&arguments) else { return };
    let theirs = theirs.json();
    for key in ["added", "audited", "change", "changed", "funding", "remove", "removed"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    let packages = |summary: &Value| -> BTreeSet<String> {
        summary["add"].as_array().unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(packages(&ours), packages(&theirs));
    assert_eq!(ours["funding"], 3);
}

#[test]
fn no_funding_is_counted_where_nobody_asks() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("funding", json!("https://one.test/a"));
    let project = Project::new(&registry).with(&registry.serve(a)).npmrc("fund=false\n");
    assert_eq!(project.ci(&["--json"]).json()["funding"], 0);
}

#[test]
fn a_failure_is_an_object_with_npm_s_names() {
    let registry = Registry::start();
    let project = Project::new(&registry).with(&Package::new("a", "1.0.0"));
    let outcome = project.ci(&["--json"]);
    assert_eq!(outcome.code, Some(1));
    let error: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_valid(&error, "error");
    let cause = "`[REGISTRY]/a/-/a-1.0.0.tgz` does not exist";
    let expected = json!({
        "code": "E404",
        "summary": "failed to install a@1.0.0 from [REGISTRY]/a/-/a-1.0.0.tgz",
        "detail": cause,
        "causes": [cause],
        "hint": "the version may have been taken back, or the registry hides it from who has no \
                 token for it",
    });
    assert_eq!(error["error"], expected);
    assert!(outcome.stderr.starts_with("error: E404: "), "{}", outcome.stderr);
}

#[test]
fn a_project_or_settings_that_cannot_be_read_are_an_object_too() {
    let (_registry, project) = one_package();
    let project = project.npmrc("fetch-retries=many\n");
    let settings = project.ci(&["--json"]);
    let folder = project.ringstall(&["ci", "--json", "-C", "no/such/folder"]);
    let doctor = project.ringstall(&["doctor", "--json", "-C", "no/such/folder"]);
    for (outcome, code) in [(settings, "ECONFIG"), (folder, "EIO"), (doctor, "EIO")] {
        assert_eq!(outcome.code, Some(1));
        let error: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_valid(&error, "error");
        assert_eq!(error["error"]["code"], code);
    }
}

#[test]
fn a_wrong_command_line_is_an_object_too() {
    let (_registry, project) = one_package();
    for arguments in [&["ci", "--json", "--no-such-option"][..], &["install", "--json"]] {
        let outcome = project.ringstall(arguments);
        assert_eq!(outcome.code, Some(2));
        let error: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_valid(&error, "error");
        assert_eq!(error["error"]["code"], "EUSAGE");
    }
}

#[test]
fn the_doctor_s_report_is_as_published() {
    let (_registry, project) = one_package();
    assert_valid(&project.ringstall(&["doctor", "--json"]).json(), "doctor");
}

#[test]
fn a_result_that_finds_no_space_is_a_failure() {
    let (_registry, project) = one_package();
    for arguments in [&["--json"][..], &["--stats"], &["--events", "-"]] {
        let Ok(full) = File::create("/dev/full") else { return };
        let mut command = project.ci_command(arguments);
        let output = command.stdout(full).output().unwrap();
        let outcome = project.outcome(&output);
        assert_eq!(outcome.code, Some(1), "{arguments:?}");
        let what = if arguments[0] == "--events" { "events" } else { "the result" };
        let expected = format!(
            "error: EIO: failed to write {what} to `stdout`\n  \
             caused by: No space left on device (os error 28)\n\
             hint: make space; `ringstall cache prune` removes packages that were not used lately\n"
        );
        assert_eq!(outcome.stderr, expected);
        assert!(project.path().join("node_modules/.package-lock.json").exists());
    }
}

#[test]
fn other_results_that_find_no_space_are_failures_too() {
    let (_registry, project) = one_package();
    for arguments in [
        &["doctor"][..],
        &["doctor", "--json"],
        &["cache", "dir"],
        &["man"],
        &["completions", "zsh"],
    ] {
        let Ok(full) = File::create("/dev/full") else { return };
        let mut command = project.command(std::path::Path::new(RINGSTALL), "022");
        let output = command.args(arguments).stdout(full).output().unwrap();
        let outcome = project.outcome(&output);
        assert_eq!(outcome.code, Some(1), "{arguments:?}");
        assert!(outcome.stderr.starts_with("error: EIO: failed to write the result to `stdout`"));
    }
}

#[test]
fn the_closing_line_is_no_result() {
    let (_registry, project) = one_package();
    let Ok(full) = File::create("/dev/full") else { return };
    let output = project.ci_command(&[]).stdout(full).output().unwrap();
    assert_eq!(project.outcome(&output).code, Some(0));
}

#[test]
fn a_reader_that_goes_away_makes_the_result_a_failure() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    registry.reply_always(TARBALL, Reply::ok(a.tgz()).after(2));
    let mut command = project.ci_command(&["--json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    registry.wait_for(TARBALL, 1);
    drop(running.stdout.take());
    registry.ask(TARBALL);
    let outcome = project.outcome(&running.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(1));
    let expected = "error: EIO: failed to write the result to `stdout`\n  \
                    caused by: Broken pipe (os error 32)\n";
    assert_eq!(outcome.stderr, expected);
}
