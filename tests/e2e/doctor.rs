//! `ringstall doctor`: it tells what there is, changes nothing, and fails where it cannot look.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::outcome::Outcome;
use crate::support::{Project, Registry};

const RINGSTALL: &str = env!("CARGO_BIN_EXE_ringstall");

#[test]
fn the_report_has_its_keys_and_leaves_nothing_behind() {
    let project = project();
    let before = project.whole_tree();
    let report = doctor(&project, &["--json"]).json();
    assert_eq!(
        keys(&report),
        [
            "advice",
            "auto",
            "cache",
            "hardLink",
            "ioUring",
            "kernel",
            "limits",
            "processors",
            "project",
            "reflink",
            "schemaVersion"
        ]
    );
    assert_eq!(
        keys(&report["limits"]),
        [
            "cgroupVersion",
            "lockedBytes",
            "memoryBytes",
            "openFiles",
            "processes",
            "processors",
            "seccomp"
        ]
    );
    assert_eq!(
        keys(&report["auto"]["operations"]),
        ["clone", "copy", "link", "mkdir", "rename", "symlink", "unlink", "write"]
    );
    assert_eq!(report["hardLink"], json!({"works": true}));
    assert_eq!(report["project"]["path"], "[PROJECT]");
    assert_eq!(report["cache"]["path"], "[TEMP]", "the cache is not there, and is not made");
    assert_eq!(project.whole_tree(), before);
    let left: Vec<_> = fs::read_dir(project.temp()).unwrap().map(|one| one.unwrap()).collect();
    let mut left: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
    left.sort();
    assert_eq!(left, ["home", "ours"]);
}

#[test]
fn node_modules_is_where_files_would_be_placed() {
    let project = project().file("node_modules/a/index.js", "");
    let report = doctor(&project, &["--json"]).json();
    assert_eq!(report["project"]["path"], "[PROJECT]/node_modules");
    project.installed().assert(&["a/", r#"a/index.js """#]);
}

#[test]
fn the_text_says_the_same() {
    let outcome = doctor(&project(), &[]);
    outcome.assert_quiet_success();
    let headings = outcome.stdout.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
    let headings: Vec<_> = headings.filter(|line| *line != "advice").collect();
    assert_eq!(headings, ["machine", "io_uring", "folders", "what `auto` takes"]);
    let hard_link = outcome.stdout.lines().find(|line| line.starts_with("  hard link"));
    assert_eq!(hard_link, Some("  hard link      works"));
}

#[test]
fn a_project_that_is_not_there_is_an_error() {
    let project = project();
    let directory = project.temp().join("absent");
    let outcome = project.ringstall(&["doctor", "-C", directory.to_str().unwrap()]);
    outcome.assert_failure(&[
        "error: EIO: failed to find the project's folder `[TEMP]/absent`",
        "  caused by: No such file or directory (os error 2)",
    ]);
}

#[test]
fn names_of_folders_cannot_steer_the_terminal() {
    let project = project();
    let directory = project.temp().join("\u{1b}[31mred");
    fs::create_dir(&directory).unwrap();
    let outcome = project.ringstall(&["doctor", "-C", directory.to_str().unwrap()]);
    outcome.assert_quiet_success();
    assert!(
        outcome
            .stdout
            .contains("  project        [TEMP]/\u{fffd}[31mred/node_modules (to be made in ")
    );
    assert!(!outcome.stdout.contains('\u{1b}'));
}

#[test]
fn other_filesystems_and_the_layers_of_an_overlay_are_seen() {
    let project = project();
    let mounts = "mkdir lower upper work merged other lower/cache &&
        layers=lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work &&
        mount -t overlay -o $layers overlay merged &&
        mount -t tmpfs tmpfs other";
    if let Some(why) = refusal_of_mounts(&project, mounts) {
        eprintln!("not run: {why}");
        return;
    }
    let in_layer = doctor_after(&project, mounts, "merged/cache");
    let temp = "[TEMP]";
    assert_eq!(
        in_layer["cache"],
        json!({
            "path": format!("{temp}/merged/cache"),
            "isThere": true,
            "filesystem": "overlay",
            "mountPoint": format!("{temp}/merged"),
            "mountType": "overlay",
            "lowerLayers": [format!("{temp}/lower")],
            "upperLayer": format!("{temp}/upper"),
            "liesInLayers": [format!("{temp}/lower")],
        })
    );
    let advice = in_layer["advice"].as_array().unwrap();
    let is_of_layers = |line: &&Value| line.as_str().unwrap().contains("lies in a lower layer");
    assert_eq!(advice.iter().filter(is_of_layers).count(), 1);

    let across = doctor_after(&project, mounts, "other/cache");
    assert_eq!(across["cache"]["filesystem"], "tmpfs");
    let refused = json!({"works": false, "why": "Invalid cross-device link (os error 18)"});
    assert_eq!((&across["hardLink"], &across["reflink"]), (&refused, &refused));
}

#[cfg(feature = "io-uring")]
mod confined {
    use super::*;

    use ringstall_linux::confine::Confinement;

    fn doctor_under(confinement: &Confinement) -> Value {
        let project = project();
        let mut command = doctor_command(&project, &["--json"]);
        confinement.apply(&mut command);
        project.run(command).json()
    }

    #[test]
    fn a_filter_is_named_and_auto_goes_without_the_ring() {
        let report = doctor_under(&Confinement::default().refuse_ring(1));
        let refused = json!({
            "works": false,
            "why": "a seccomp filter answers EPERM to io_uring",
            "advice": "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp \
                       profile of the container (docker run --security-opt seccomp=PROFILE)",
        });
        let expected = json!({"files": refused, "connections": refused, "parts": []});
        assert_eq!(report["ioUring"], expected);
        assert_eq!(report["limits"]["seccomp"], "filter");
        assert_eq!(report["auto"]["network"], "epoll");
        let operations = report["auto"]["operations"].as_object().unwrap();
        let plain = json!({"cache": "threads", "project": "threads"});
        assert!(operations.values().all(|engines| *engines == plain), "{operations:?}");
        let advice = report["advice"].as_array().unwrap();
        let of_ring = advice.iter().filter(|line| line.as_str().unwrap().starts_with("io_uring: "));
        assert_eq!(of_ring.count(), 1, "{advice:?}");
    }

    #[test]
    fn limits_are_those_of_the_process() {
        let limits = Confinement::default().limit_locked_bytes(4096).limit_open_files(64);
        let report = doctor_under(&limits);
        assert_eq!(report["limits"]["lockedBytes"], 4096);
        assert_eq!(report["limits"]["openFiles"], 64);
        let advice = report["advice"].as_array().unwrap();
        let expected = "open files: only 64 are allowed, so that fewer connections are used; raise \
                        the limit (ulimit -n)";
        assert!(advice.contains(&json!(expected)), "{advice:?}");
    }

    #[test]
    fn every_part_of_a_ring_is_told_with_what_depends_on_it() {
        let report = doctor(&project(), &["--json"]).json();
        let parts = report["ioUring"]["parts"].as_array().unwrap();
        if let Err(refusal) = ringstall_linux::try_ring() {
            assert_eq!(report["ioUring"]["files"]["why"], refusal.to_string());
            return;
        }
        for part in parts {
            assert_eq!(keys(part), ["errno", "kind", "name", "role", "since", "works"]);
        }
        let link = parts.iter().find(|part| part["name"] == "LINKAT").unwrap();
        assert_eq!(
            *link,
            json!({
                "kind": "opcode",
                "name": "LINKAT",
                "since": "5.15",
                "role": "needed",
                "works": true,
                "errno": null,
            })
        );
    }
}

#[cfg(not(feature = "io-uring"))]
#[test]
fn a_build_without_io_uring_says_so() {
    let project = project();
    let report = doctor(&project, &["--json"]).json();
    let why = "this program was built without io_uring";
    assert_eq!(report["ioUring"]["files"]["why"], why);
    assert_eq!(report["auto"]["network"], "epoll");
    for [option, engine] in [["--io", "ring"], ["--net", "ring"], ["--net", "tokio-uring"]] {
        project.ci(&[option, engine]).assert_failure(&[
            &format!("error: ECONFIG: `{option} {engine}` cannot be had: io_uring is refused"),
            &format!("  caused by: {why}"),
            "hint: use a build for Linux with the feature `io-uring`, or leave it to `auto`; \
             `ringstall doctor` says more",
        ]);
    }
}

fn project() -> Project {
    let registry = Registry::start();
    Project::new(&registry).keeping(registry)
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn doctor_command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(Path::new(RINGSTALL), "022");
    command.args(["doctor", "-C"]).arg(project.path()).arg("--cache").arg(project.cache());
    command.args(arguments);
    command
}

fn doctor(project: &Project, arguments: &[&str]) -> Outcome {
    project.run(doctor_command(project, arguments))
}

/// Runs a script as root in a mount namespace of its own, so that what it mounts goes with it.
fn unshared(project: &Project, script: &str) -> Outcome {
    let mut command = project.command(Path::new("unshare"), "022");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, RINGSTALL]);
    project.run(command)
}

/// Why these cannot be mounted here; the folders that the script makes are removed again.
fn refusal_of_mounts(project: &Project, mounts: &str) -> Option<String> {
    let outcome = unshared(project, &format!("{mounts} && {CLEAN}"));
    (outcome.code != Some(0)).then(|| outcome.stderr.trim().to_owned())
}

const CLEAN: &str = "umount merged other && rm -rf lower upper work merged other";

fn doctor_after(project: &Project, mounts: &str, cache: &str) -> Value {
    let doctor = format!("\"$0\" doctor --json -C ours/project --cache {cache}");
    unshared(project, &format!("{{ {mounts}; }} >&2 && {doctor} && {CLEAN}")).json()
}
