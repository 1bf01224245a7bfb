//! What hangs says what it waits for, ends at its deadline, and ends by a signal with a word; and
//! the next run ends like a fresh one.

use std::fs::{self, DirBuilder, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::events;
use crate::support::outcome::Outcome;
use crate::support::schema::assert_valid;
use crate::support::{Package, Project, Registry, Reply};

const TARBALL: &str = "/b/-/b-1.0.0.tgz";

/// Of two packages one never comes, unless it is asked for so often.
fn hanging(reply: impl FnOnce(&Package) -> Reply) -> (Registry, Project) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("x", "x"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    registry.reply_once(TARBALL, reply(&b));
    let project = Project::new(&registry).with(&a).with(&b);
    (registry, project)
}

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn assert_next_run_is_like_a_fresh_one(registry: &Registry, project: &Project) {
    assert!(!project.path().join("node_modules/.package-lock.json").exists());
    project.ci(&[]).assert_quiet_success();
    let fresh = Project::new(registry)
        .with(&Package::new("a", "1.0.0").file("x", "x"))
        .with(&Package::new("b", "1.0.0"));
    fresh.ci(&[]).assert_quiet_success();
    assert_eq!(project.installed(), fresh.installed());
}

#[test]
fn a_download_that_never_comes_is_named_with_its_address() {
    let (registry, project) = hanging(|_| Reply::silence());
    let events = project.temp().join("events");
    let mut command = project.ci_command(&["--notice-after", "0.02", "--events"]);
    command.arg(&events);
    let mut running = start(command);
    let expected = format!("waiting for b@1.0.0 from {}b/-/b-1.0.0.tgz for ", registry.url());
    let stderr = BufReader::new(running.stderr.take().unwrap());
    // The first notices may come before the download has begun.
    let notice = stderr.lines().map_while(Result::ok).find(|line| line.contains(&expected));
    let notice = notice.unwrap();
    assert!(notice.starts_with("nothing has moved for "), "{notice}");
    running.kill().unwrap();
    running.wait().unwrap();
    let text = fs::read_to_string(events).unwrap();
    let events = events::parse(&text);
    assert!(events.iter().any(|event| event["event"] == "waiting"), "{text}");
}

#[test]
fn a_lock_that_someone_else_holds_is_named() {
    let (_registry, project) = hanging(|b| Reply::ok(b.tgz()));
    let bucket = project.cache().join("v2-u022");
    DirBuilder::new().recursive(true).mode(0o700).create(&bucket).unwrap();
    let lock = File::open(&bucket).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut running = start(project.ci_command(&["--notice-after", "0.02"]));
    let stderr = BufReader::new(running.stderr.take().unwrap());
    let expected = format!("waiting for the lock `{}` for ", bucket.display());
    let mut lines = stderr.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(&expected)));
    drop(lock);
    assert_eq!(running.wait().unwrap().code(), Some(0));
}

#[test]
fn quiet_says_nothing_of_waiting() {
    for quiet in ["-q", "--loglevel=error"] {
        let (_registry, project) = hanging(|_| Reply::silence());
        let outcome = project.ci(&[quiet, "--notice-after", "0.02", "--deadline", "0.3"]);
        assert!(!outcome.stderr.contains("nothing has moved"), "{}", outcome.stderr);
        assert!(outcome.stderr.starts_with("error: ETIMEDOUT: "), "{}", outcome.stderr);
    }
}

#[test]
fn what_is_not_done_at_its_deadline_is_given_up() {
    let (registry, project) = hanging(|_| Reply::silence());
    let trace = project.temp().join("trace");
    let outcome =
        project.ci(&["--json", "--deadline", "0.5", "--timings", trace.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(1));
    let error: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_valid(&error, "error");
    assert_eq!(error["error"]["code"], "ETIMEDOUT");
    let start = "error: ETIMEDOUT: not done within 0.5 seconds; waiting for ";
    assert!(outcome.stderr.starts_with(start), "{}", outcome.stderr);
    serde_json::from_slice::<Vec<Value>>(&fs::read(trace).unwrap()).unwrap();
    assert_next_run_is_like_a_fresh_one(&registry, &project);
}

#[test]
fn the_deadline_comes_from_the_environment_too() {
    let (_registry, project) = hanging(|_| Reply::silence());
    project.env("RINGSTALL_DEADLINE", "0.2").ci(&[]).assert_error("ETIMEDOUT");
}

#[test]
fn a_run_that_is_done_before_its_deadline_knows_nothing_of_it() {
    let (_registry, project) = hanging(|b| Reply::ok(b.tgz()));
    project.ci(&["--deadline", "1e9"]).assert_quiet_success();
}

#[test]
fn a_signal_ends_the_run_with_a_word_and_by_that_signal() {
    for (signal, name) in
        [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT"), (Signal::HUP, "SIGHUP")]
    {
        if is_ignored(signal) {
            // By who started this test, so that the command has to ignore it as well.
            continue;
        }
        let (registry, project) = hanging(|_| Reply::silence());
        let running = start(project.ci_command(&["--json"]));
        registry.wait_for(TARBALL, 1);
        send(&running, signal);
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(signal.as_raw()), "{name}");
        let outcome: Outcome = project.outcome(&output);
        let expected = format!(
            "error: EINTERRUPTED: ended by {name} in the phase `install`\n\
             hint: node_modules is not whole; the next run starts from the beginning\n"
        );
        assert_eq!(outcome.stderr, expected);
        let error: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_valid(&error, "error");
        assert_next_run_is_like_a_fresh_one(&registry, &project);
    }
}

#[test]
fn a_signal_that_is_ignored_from_the_start_stays_ignored() {
    let (registry, project) = hanging(|b| Reply::ok(b.tgz()).after(2));
    let inner = project.ci_command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(project.temp());
    command.env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let running = start(command);
    registry.wait_for(TARBALL, 1);
    send(&running, Signal::HUP);
    registry.ask(TARBALL);
    let outcome = project.outcome(&running.wait_with_output().unwrap());
    outcome.assert_quiet_success();
}

fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap_or("0").trim(), 16).unwrap();
    mask >> (signal.as_raw() - 1) & 1 == 1
}
