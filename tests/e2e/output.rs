//! What a person sees: the closing line, the summary as JSON, errors, and the command line.

use serde_json::json;

use crate::support::engine;
use crate::support::{Package, Project, Registry};

fn two_packages() -> Project {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("x", "x"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    Project::new(&registry).with(&a).with(&b).keeping(registry)
}

#[test]
fn the_closing_line_says_what_was_downloaded_and_what_was_reused() {
    let project = two_packages();
    let outcome = project.ci(&[]);
    outcome.assert_quiet_success();
    let expected = "added 2 packages in [TIME] (2 downloaded, 0 reused; 3 files placed)\n";
    assert_eq!(outcome.stdout, expected);
    let outcome = project.ci(&[]);
    outcome.assert_quiet_success();
    let expected = "added 2 packages in [TIME] (0 downloaded, 2 reused; 3 files placed)\n";
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn the_closing_line_counts_one_package_as_one() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let outcome = Project::new(&registry).with(&a).ci(&[]);
    let expected = "added 1 package in [TIME] (1 downloaded, 0 reused; 1 file placed)\n";
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn quiet_says_nothing_of_a_success() {
    let project = two_packages();
    for quiet in ["-q", "--quiet"] {
        let outcome = project.ci(&[quiet]);
        outcome.assert_quiet_success();
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn quiet_still_says_errors() {
    let project = two_packages().wants("dependencies", "c", "1.0.0");
    project.ci(&["-q"]).assert_error("EUSAGE");
}

#[test]
fn the_summary_as_json_counts_everything() {
    let registry = Registry::start();
    let tool = Package::new("tool", "1.0.0").field("bin", json!("cli.js")).file("cli.js", "");
    let tool = registry.serve(tool);
    let project = Project::new(&registry).with(&tool).workspace("w", &Package::new("w", "1.0.0"));
    let summary = project.ci(&["--json"]).json();
    let counts = |summary: &serde_json::Value| {
        ["added", "downloaded", "reused", "requests", "links", "bins", "files"]
            .map(|key| summary[key].as_u64().unwrap())
    };
    assert_eq!(counts(&summary), [2, 1, 0, 1, 1, 1, 2]);
    let summary = project.ci(&["--json"]).json();
    assert_eq!(counts(&summary), [2, 0, 1, 0, 1, 1, 2]);
    assert_eq!(summary["warnings"], json!([]));
    assert_eq!(summary["schemaVersion"], json!(1));
}

#[test]
fn stats_name_every_phase_and_what_was_used() {
    let outcome = two_packages().ci(&["--stats"]);
    outcome.assert_quiet_success();
    let words: Vec<_> = outcome.stdout.lines().filter_map(|line| line.split("  ").next()).collect();
    for word in ["wall", "user", "system", "peak RSS", "switches", "workers", "network", "placed"] {
        assert!(words.contains(&word), "no `{word}` in\n{}", outcome.stdout);
    }
    assert!(outcome.stdout.contains("2 requests"), "{}", outcome.stdout);
}

/// This target's engine and driver; plain calls and epoll where the command may choose.
fn forced() -> [&'static str; 2] {
    engine::forced().map_or(["threads", "epoll"], |engines| engines.map(|(_, value)| value))
}

#[test]
fn the_summary_as_json_counts_operations_by_class_and_engine() {
    let [engine, driver] = forced();
    let summary = two_packages().ci(&["--json", "--io", engine, "--net", driver]).json();
    let rows: Vec<_> = summary["engines"].as_array().unwrap().iter().collect();
    let counts = |class| {
        let row = rows.iter().find(|row| row["class"] == class && row["engine"] == engine);
        let row = row.unwrap_or_else(|| panic!("no {class} by {engine} in {summary:#}"));
        ["operations", "submissions", "enters", "largestBatch"]
            .map(|key| row[key].as_u64().unwrap())
    };
    // Two folders; three files, and an index for each package, go into the cache.
    let [[folders, ..], [writes, ..], [links, ..]] = ["mkdir", "write", "link"].map(counts);
    assert_eq!([writes, links], [5, 3]);
    // The folder above them too, by each queue that hands them to the kernel.
    assert!(if engine == "ring" { folders >= 2 } else { folders == 2 }, "{summary:#}");
    let [submissions, enters, largest] = [1, 2, 3].map(|place| {
        ["mkdir", "write", "link"].map(counts).iter().map(|counts| counts[place]).sum::<u64>()
    });
    if engine == "ring" {
        // A file is opened, written (again where the kernel stops short) and closed.
        assert!(submissions >= folders + 3 * writes + links, "{summary:#}");
        assert!((1..=submissions).contains(&largest), "{summary:#}");
        assert!(enters > 0, "{summary:#}");
        assert!(summary["kernelWorkers"].as_u64() > Some(0), "{summary:#}");
    } else {
        assert_eq!([submissions, enters, largest], [0; 3]);
        assert_eq!(summary["kernelWorkers"], 0);
    }
    assert_eq!(summary["refusals"], json!([]));
}

#[test]
fn stats_have_a_row_for_each_class_and_engine() {
    let [engine, driver] = forced();
    let outcome = two_packages().ci(&["--stats", "--io", engine, "--net", driver]);
    let rows: Vec<Vec<_>> =
        outcome.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for (class, engine, operations) in
        [("write", engine, "5"), ("link", engine, "3"), ("receive", driver, "2")]
    {
        let row = rows.iter().find(|row| row.starts_with(&[class, engine, operations]));
        let row = row.unwrap_or_else(|| panic!("no {class} by {engine}:\n{}", outcome.stdout));
        assert_eq!(row.len(), 7);
        assert_eq!(row[3..] == ["-"; 4], engine != "ring", "{row:?}");
    }
    let widest = outcome.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{}", outcome.stdout);
}

#[test]
fn nothing_is_coloured_unless_it_is_asked_for() {
    let project = two_packages().wants("dependencies", "c", "1.0.0");
    assert!(!project.ci(&[]).stderr.contains('\u{1b}'));
    assert!(!project.ci(&["--color", "never"]).stderr.contains('\u{1b}'));
    let outcome = project.ci(&["--color", "always"]);
    assert!(outcome.stderr.contains('\u{1b}'), "{:?}", outcome.stderr);
}

#[test]
fn an_error_says_its_code_its_causes_and_what_to_do() {
    let registry = Registry::start();
    let project = Project::new(&registry).with(&Package::new("a", "1.0.0"));
    project.ci(&[]).assert_failure(&[
        "error: E404: failed to install a@1.0.0 from [REGISTRY]/a/-/a-1.0.0.tgz",
        "  caused by: `[REGISTRY]/a/-/a-1.0.0.tgz` does not exist",
        "hint: the version may have been taken back, or the registry hides it from who has no \
         token for it",
    ]);
}

#[test]
fn an_error_with_json_is_an_object_on_stdout_and_still_told_on_stderr() {
    let registry = Registry::start();
    let project = Project::new(&registry).wants("dependencies", "a", "1.0.0");
    let outcome = project.ci(&["--json"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.starts_with("error: EUSAGE: "), "{}", outcome.stderr);
    let summary = "package.json and package-lock.json are not in sync\n\n\
                   Missing: a@1.0.0 from lock file, wanted by package.json:1";
    let expected = json!({
        "schemaVersion": 1,
        "error": {
            "code": "EUSAGE",
            "summary": summary,
            "detail": "",
            "causes": [],
            "hint": "update the lockfile with `npm install` before continuing",
        },
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&outcome.stdout).unwrap(), expected);
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    for arguments in [
        &["ci", "--no-such-option"][..],
        &["ci", "--omit", "prod"],
        &["ci", "--link-mode", "teleport"],
        &["ci", "--jobs", "0"],
        &["ci", "-q", "-v"],
        &["cache"],
        &["no-such-command"],
        &[],
    ] {
        let outcome = project.ringstall(arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_names_the_commands_and_their_options() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let outcome = project.ringstall(&["--help"]);
    outcome.assert_quiet_success();
    for word in ["ringstall ci", "ci ", "fetch ", "cache "] {
        assert!(outcome.stdout.contains(word), "no `{word}` in\n{}", outcome.stdout);
    }
    let outcome = project.ringstall(&["ci", "--help"]);
    outcome.assert_quiet_success();
    for option in [
        "-C",
        "--cache",
        "--registry",
        "--omit",
        "--offline",
        "--prefer-offline",
        "--prefer-online",
        "--no-npm-cache",
        "--include",
        "--ignore-scripts",
        "--link-mode",
        "--engine-strict",
        "--legacy-peer-deps",
        "--os",
        "--cpu",
        "--libc",
        "--json",
        "--stats",
        "--quiet",
        "--verbose",
        "--color",
        "--jobs",
    ] {
        assert!(outcome.stdout.contains(option), "no `{option}` in\n{}", outcome.stdout);
    }
}

#[test]
fn the_version_is_the_crate_s() {
    let registry = Registry::start();
    let outcome = Project::new(&registry).ringstall(&["--version"]);
    assert_eq!(outcome.stdout, format!("ringstall {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_scripts_pass_to_npm_ci_is_accepted() {
    let project = two_packages();
    let arguments = ["--no-audit", "--no-fund", "--no-progress", "--ignore-scripts"];
    project.ci(&arguments).assert_quiet_success();
}

#[test]
fn clean_install_is_another_name_for_ci() {
    let project = two_packages();
    let (path, cache, registry) = (project.path(), project.cache(), project.registry_arguments());
    let mut arguments = vec!["clean-install", "-C", path.to_str().unwrap()];
    arguments.extend(["--cache", cache.to_str().unwrap()]);
    arguments.extend(registry.iter().map(String::as_str));
    project.ringstall(&arguments).assert_quiet_success();
    assert!(path.join("node_modules/.package-lock.json").exists());
}

#[test]
fn the_present_folder_is_the_project_unless_another_is_named() {
    let project = two_packages();
    let mut command = project.command(std::path::Path::new(env!("CARGO_BIN_EXE_ringstall")), "022");
    command.current_dir(project.path()).args(["ci", "--cache"]).arg(project.cache());
    command.args(project.registry_arguments());
    project.run(command).assert_quiet_success();
    assert!(project.path().join("node_modules/.package-lock.json").exists());
}
