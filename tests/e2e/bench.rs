//! `ringstall bench`: what it measures is there and is checked. Nothing here looks at how long
//! anything takes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::outcome::Outcome;
use crate::support::{Package, Project, Registry, Reply, engine, npm};

/// Two packages, one in a scope, with a command and a nested version.
fn small(registry: &Registry) -> Project {
    let old = registry.serve(Package::new("@s/b", "1.0.0").file("lib/deep/x.js", "old"));
    let new = registry.serve(Package::new("@s/b", "2.0.0").file("lib/x.js", "new"));
    let a = Package::new("a", "1.0.0").field("bin", json!({"run": "run.js"})).file("run.js", "");
    let a = registry.serve(a.dependency("@s/b", "^1.0.0"));
    Project::new(registry).with(&a).with(&new).at("node_modules/a/node_modules/@s/b", &old)
}

impl Project {
    fn mirror(&self) -> PathBuf {
        self.temp().join("mirror")
    }

    fn bench_mirror(&self, arguments: &[&str]) -> Outcome {
        let (path, mirror) = (self.path(), self.mirror());
        let mut words = vec!["bench", "mirror", "-C", path.to_str().unwrap()];
        words.extend(["--into", mirror.to_str().unwrap()]);
        let registry = self.registry_arguments();
        words.extend(registry.iter().map(String::as_str).chain(arguments.iter().copied()));
        self.ringstall(&words)
    }

    fn bench(&self, arguments: &[&str]) -> Outcome {
        let path = self.path();
        let work = self.temp().join("work");
        let mut words = vec!["bench", "-C", path.to_str().unwrap(), "--rounds", "1"];
        words.extend(["--work", work.to_str().unwrap()]);
        let registry = self.registry_arguments();
        words.extend(registry.iter().map(String::as_str).chain(arguments.iter().copied()));
        let outcome = self.ringstall(&words);
        let left = fs::read_dir(&work).into_iter().flatten().count();
        assert_eq!(left, 0, "the bench leaves nothing behind");
        outcome
    }
}

/// The knobs that make ours what this target is; by default ours is varied by nothing.
fn matrix() -> Vec<String> {
    let Some([(_, io), (_, net)]) = engine::forced() else { return Vec::new() };
    vec!["--matrix".to_owned(), format!("io={io}"), format!("net={net}")]
}

fn rival() -> &'static str {
    if npm::is_there() { "npm" } else { "none" }
}

#[test]
fn every_contender_runs_every_phase_of_its_own_and_counts() {
    let registry = Registry::start();
    let project = small(&registry);
    let matrix = matrix();
    let mut words = vec!["--json", "--floor", "--phases", "p0,p1,p3,p4,p5", "--against", rival()];
    words.extend(matrix.iter().map(String::as_str));
    let report = project.bench(&words).json();
    let runs = report["runs"].as_array().unwrap();
    let phases = |contender: &str| -> Vec<_> {
        let own = runs.iter().filter(|run| run["contender"] == contender);
        own.map(|run| run["phase"].as_str().unwrap()).collect()
    };
    let contenders = report["contenders"].as_array().unwrap();
    for contender in contenders {
        let name = contender["name"].as_str().unwrap();
        let expected: &[_] = match contender["manager"].as_str().unwrap() {
            "ringstall" => &["p3", "p4", "p5"],
            "floor" => &["p3", "p4"],
            _ => &["p0", "p1", "p3", "p4", "p5"],
        };
        assert_eq!(phases(name), expected, "{name}");
    }
    // Ours twice, ours by plain calls unless there is a matrix, and the floor.
    let ours = if matrix.is_empty() { 4 } else { 3 };
    assert_eq!(contenders.len(), ours + usize::from(npm::is_there()));
    for run in runs {
        assert_eq!(run["fault"], Value::Null, "{run:#}");
        assert!(run["wallSeconds"].as_f64().unwrap() > 0.0);
        let requests = run["requests"].as_u64().unwrap();
        match (run["phase"].as_str().unwrap(), run["contender"].as_str().unwrap()) {
            ("p3", "floor") | ("p4", _) => assert_eq!(requests, 0, "{run:#}"),
            ("p3", "npm") => assert!(requests >= 3, "{run:#}"),
            ("p3", _) => assert_eq!(requests, 3, "{run:#}"),
            _ => {}
        }
    }
}

#[test]
fn the_table_is_for_people_and_names_everyone() {
    let registry = Registry::start();
    let project = small(&registry);
    let outcome = project.bench(&["--against", "none", "--phases", "p4", "--floor"]);
    outcome.assert_success();
    for line in ["| ringstall | p4 | 1 | ", "| ringstall again | p4 | 1 | ", "| floor | p4 | 1 | "]
    {
        assert!(outcome.stdout.contains(line), "no `{line}` in\n{}", outcome.stdout);
    }
    assert!(outcome.stdout.contains("\n- p4: wall "), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("Not counted"), "{}", outcome.stdout);
    let csv = project.bench(&["--against", "none", "--phases", "p4", "--csv", "-q"]);
    csv.assert_quiet_success();
    assert_eq!(csv.stdout.lines().count(), 1 + 3);
}

#[test]
fn a_run_that_fails_does_not_count_and_is_told() {
    let registry = Registry::start();
    let project = small(&registry);
    project.bench_mirror(&[]).assert_success();
    let mirror = project.mirror();
    fs::write(mirror.join("a/-/a-1.0.0.tgz"), "no tarball").unwrap();
    let mirror = mirror.to_str().unwrap();
    let words = ["--against", "none", "--phases", "p3,p4", "--registry-mirror", mirror];
    project.bench(&words).assert_success();
    let outcome = project.bench(&[&words[..], &["--strict", "-q"]].concat());
    let expected = "error: EBENCH: 6 of 6 runs do not count\n";
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), expected));
    let table = &outcome.stdout;
    for line in [
        "| ringstall | p3 | 0 | - |",
        "Not counted: p3, round 0, ringstall: exit code 1: error: EINTEGRITY: ",
        "Not counted: p4, round 0, threads: its warm-up failed: exit code 1: error: EINTEGRITY: ",
    ] {
        assert!(table.contains(line), "no `{line}` in\n{table}");
    }
}

#[test]
fn a_mirror_is_filled_once() {
    let registry = Registry::start();
    let project = small(&registry);
    let outcome = project.bench_mirror(&[]);
    outcome.assert_success();
    assert_eq!(outcome.stderr, "filling [TEMP]/mirror with 3 files\n");
    let expected = "[TEMP]/mirror has 3 tarballs (3 downloaded) and 2 packuments\n";
    assert_eq!(outcome.stdout, expected);
    let tarball = fs::read(project.mirror().join("@s/b/-/b-2.0.0.tgz")).unwrap();
    assert_eq!(tarball, Package::new("@s/b", "2.0.0").file("lib/x.js", "new").tgz());
    registry.forget_requests();
    let outcome = project.bench_mirror(&[]);
    outcome.assert_quiet_success();
    let expected = "[TEMP]/mirror has 3 tarballs (0 downloaded) and 2 packuments\n";
    assert_eq!(outcome.stdout, expected);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn a_mirror_has_every_libc_of_this_os_and_lacks_other_systems() {
    let registry = Registry::start();
    let mut project = small(&registry);
    for (name, field, value) in
        [("gnu", "libc", "glibc"), ("musl", "libc", "musl"), ("other", "os", "no-such-system")]
    {
        let package = Package::new(name, "1.0.0").field(field, json!([value]));
        project = project.with_optional(&registry.serve(package));
    }
    let tarballs = ["gnu", "musl", "other"].map(|name| format!("{name}/-/{name}-1.0.0.tgz"));
    let are_there = || tarballs.each_ref().map(|tarball| project.mirror().join(tarball).exists());
    project.bench_mirror(&[]).assert_success();
    assert_eq!(are_there(), [true, true, false]);
    project.bench_mirror(&["--all-platforms"]).assert_success();
    assert_eq!(are_there(), [true, true, true]);
}

#[test]
fn a_bench_completes_a_mirror_that_lacks_something() {
    let registry = Registry::start();
    let foreign = ["glibc", "musl"]
        .map(|libc| registry.serve(Package::new(libc, "1.0.0").field("libc", json!([libc]))));
    let project = foreign.iter().fold(small(&registry), Project::with_optional);
    project.bench_mirror(&[]).assert_success();
    let mirror = project.mirror();
    let lacking = ["glibc", "musl"].map(|libc| mirror.join(format!("{libc}/-/{libc}-1.0.0.tgz")));
    for tarball in &lacking {
        fs::remove_file(tarball).unwrap();
    }
    registry.forget_requests();
    let mirror = mirror.to_str().unwrap();
    let words = ["--against", "none", "--phases", "p4", "--registry-mirror", mirror, "--strict"];
    project.bench(&words).assert_success();
    assert!(lacking.iter().all(|tarball| tarball.exists()));
    let mut paths = registry.paths();
    paths.sort();
    assert_eq!(paths, ["/glibc/-/glibc-1.0.0.tgz", "/musl/-/musl-1.0.0.tgz"]);
}

#[test]
fn published_packuments_are_the_registry_s() {
    let registry = Registry::start();
    let project = small(&registry);
    registry.serve(Package::new("a", "1.7.0").field("scripts", json!({"install": "x"})));
    project.bench_mirror(&["--packuments", "published"]).assert_success();
    let read = |file: &str| -> Value {
        serde_json::from_slice(&fs::read(project.mirror().join(file)).unwrap()).unwrap()
    };
    let [full, short] = ["a/index.json", "a/index.min.json"].map(read);
    let scripts = json!({"install": "x"});
    assert_eq!(full["versions"]["1.7.0"]["scripts"], scripts);
    assert_eq!(short["versions"]["1.7.0"]["scripts"], Value::Null);
    assert_eq!(short["versions"]["1.7.0"]["hasInstallScript"], true);
    assert!(read("@s/b/index.json")["versions"]["1.0.0"].is_object());
}

#[test]
fn a_mirror_takes_nothing_that_is_not_the_lockfile_s() {
    let registry = Registry::start();
    let project = small(&registry);
    registry.reply_always("/a/-/a-1.0.0.tgz", Reply::ok(b"something else".to_vec()));
    project.bench_mirror(&[]).assert_error("EINTEGRITY");
    assert!(!project.mirror().join("a/-/a-1.0.0.tgz").exists());
}

#[test]
fn an_optional_package_that_cannot_be_had_is_left_out_of_a_mirror() {
    let registry = Registry::start();
    let project = small(&registry).with_optional(&Package::new("gone", "1.0.0"));
    let outcome = project.bench_mirror(&[]);
    outcome.assert_success();
    assert!(outcome.stdout.contains("3 tarballs (3 downloaded) and 3 packuments"));
    assert!(outcome.stderr.contains("left out an optional package: gone@1.0.0: "));
}

#[test]
fn a_mirror_can_be_installed_from() {
    let registry = Registry::start();
    let project = small(&registry);
    project.bench_mirror(&[]).assert_success();
    let mut command = project.command(std::path::Path::new(env!("CARGO_BIN_EXE_ringstall")), "022");
    command.args(["bench", "serve", "--controlled"]).arg(project.mirror());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let started: Value = serde_json::from_str(&line).unwrap();
    let url = started["url"].as_str().unwrap();
    let lock = fs::read_to_string(project.path().join("package-lock.json")).unwrap();
    let lock = lock.replace(&registry.url(), url);
    fs::write(project.path().join("package-lock.json"), lock).unwrap();
    registry.forget_requests();
    project.ci(&["--registry", url]).assert_quiet_success();
    assert_eq!(registry.paths(), [""; 0]);
    assert!(project.path().join("node_modules/a/node_modules/@s/b/lib/deep/x.js").exists());
    // The end of its input is the end of the server.
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_wrong_contest_is_refused_before_anything_is_done() {
    let registry = Registry::start();
    let project = small(&registry);
    for (words, code) in [
        (&["--against", "yarn"][..], "EUSAGE"),
        (&["--against", "bun=/no/such/bun"], "EIO"),
        (&["--matrix", "io=uring"], "EUSAGE"),
        (&["--ours", "old"], "EUSAGE"),
    ] {
        project.bench(words).assert_error(code);
    }
    for words in [&["--phases", "p2"][..], &["--rounds", "0"], &["--json", "--csv"]] {
        assert_eq!(project.bench(words).code, Some(2), "{words:?}");
    }
    assert_eq!(registry.paths(), [""; 0]);
}
