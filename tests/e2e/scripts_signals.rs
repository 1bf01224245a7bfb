//! Signals while scripts or git run: nothing is left running, and the command ends by the signal.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::repository::Repository;
use crate::support::{Package, Project, Registry, npm};

/// A project whose package runs `script`, which can use the FIFOs `started` and `never`.
fn project(script: &str, own: Value) -> Project {
    let registry = Registry::start();
    let package = Package::new("a", "1.0.0").field("scripts", json!({"install": script}));
    let project = Project::new(&registry)
        .with(&registry.serve(package))
        .field("scripts", own)
        .keeping(registry);
    make_fifos(&project);
    project
}

fn make_fifos(project: &Project) {
    for fifo in ["started", "never"] {
        let made = Command::new("mkfifo").arg(project.path().join(fifo)).status();
        assert!(made.unwrap().success());
    }
}

/// A project with a package from git that is fetched by an ssh command of the user's, which waits.
fn project_from_git(is_optional: bool) -> Project {
    let registry = Registry::start();
    let address = format!("git+ssh://git@host.test/one.git#{}", "0".repeat(40));
    let kind = if is_optional { "optionalDependencies" } else { "dependencies" };
    let fields = json!({"version": "1.0.0", "resolved": address, "optional": is_optional});
    let project = Project::new(&registry)
        .keeping(registry)
        .wants(kind, "one", &address)
        .entry("node_modules/one", fields);
    make_fifos(&project);
    let here = project.path().display().to_string();
    project.env("GIT_SSH_COMMAND", &format!("cd '{here}'; {HOLDING}; :"))
}

fn signal(name: &str, process: &str) -> bool {
    let kill = format!("kill -{name} {process} 2>/dev/null");
    Command::new("sh").args(["-c", &kill]).status().unwrap().success()
}

/// Waits until the script has said who it is.
fn started(project: &Project) -> String {
    std::fs::read_to_string(project.path().join("started")).unwrap().trim().to_owned()
}

fn start(project: &Project) -> Child {
    project.start_ci(&[])
}

const WAITING: &str = "cd \"$npm_config_local_prefix\"; echo $$ > started; read line < never";

/// For a process that another one waits for, whose number may live on as a zombie.
const HOLDING: &str = "exec 3> started; read line < never";

/// Opens when the process has it, and ends when that has.
fn held(project: &Project) -> File {
    File::open(project.path().join("started")).unwrap()
}

fn assert_let_go(mut held: File) {
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(held.read_to_end(&mut Vec::new()));
    });
    let ended = ended.recv_timeout(DEADLINE);
    assert!(ended.is_ok_and(|read| read.is_ok()), "it is still running");
}

#[test]
fn a_signal_ends_scripts_in_the_background_and_then_the_command() {
    for (name, number) in [("TERM", 15), ("INT", 2)] {
        let project = project(WAITING, json!({}));
        let command = start(&project);
        let script = started(&project);
        assert!(signal(name, &command.id().to_string()));
        let output = command.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(number));
        let outcome = project.outcome(&output);
        let expected = format!(
            "error: EINTERRUPTED: interrupted by signal {number} while scripts were running\n"
        );
        assert_eq!(outcome.stderr, expected);
        assert!(!signal("0", &script), "the script is still running");
    }
}

#[test]
fn a_signal_ends_the_projects_own_scripts() {
    let project = project("true", json!({"prepare": WAITING}));
    let command = start(&project);
    let script = started(&project);
    assert!(signal("TERM", &command.id().to_string()));
    let output = command.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(15));
    assert!(!signal("0", &script), "the script is still running");
}

#[test]
fn what_a_script_has_started_ends_with_it() {
    // At a terminal the signal is the terminal's to send.
    if File::open("/dev/tty").is_ok() {
        return;
    }
    let script = format!("cd \"$npm_config_local_prefix\"; sh -c '{HOLDING}'; echo after > after");
    let project = project(&script, json!({}));
    let command = start(&project);
    let held = held(&project);
    assert!(signal("TERM", &command.id().to_string()));
    command.wait_with_output().unwrap();
    assert_let_go(held);
    assert!(!project.path().join("after").exists());
}

#[test]
fn a_second_signal_ends_scripts_that_ignore_the_first() {
    let script = format!("trap '' TERM INT; {WAITING}");
    let project = project(&script, json!({}));
    let command = start(&project);
    let script = started(&project);
    let process = command.id().to_string();
    assert!(signal("TERM", &process) && signal("INT", &process));
    let output = command.wait_with_output().unwrap();
    assert!(matches!(output.status.signal(), Some(2 | 15)), "{:?}", output.status);
    assert!(!signal("0", &script), "the script is still running");
}

#[test]
fn a_signal_ends_git_and_what_it_has_started() {
    // At a terminal the signal is the terminal's to send.
    if File::open("/dev/tty").is_ok() {
        return;
    }
    for is_optional in [false, true] {
        let project = project_from_git(is_optional);
        let command = start(&project);
        let ssh = held(&project);
        assert!(signal("TERM", &command.id().to_string()));
        let output = command.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(15));
        let outcome = project.outcome(&output);
        let doing = "git repositories were being packed";
        let expected = format!("error: EINTERRUPTED: interrupted by signal 15 while {doing}\n");
        assert_eq!(outcome.stderr, expected);
        assert_let_go(ssh);
        assert!(!project.path().join("node_modules").exists());
    }
}

#[test]
fn a_signal_ends_the_npm_that_prepares_a_repository() {
    if !npm::is_there() || File::open("/dev/tty").is_ok() {
        return;
    }
    let registry = Registry::start();
    let project = Project::new(&registry).keeping(registry);
    make_fifos(&project);
    let here = project.path().display().to_string();
    let prepare = format!("cd '{here}'; {HOLDING}");
    let repository = Repository::new(&project, "one")
        .manifest(json!({"name": "one", "version": "1.0.0", "scripts": {"prepare": prepare}}));
    let address = repository.address(&repository.commit());
    let project = project
        .wants("dependencies", "one", &address)
        .entry("node_modules/one", json!({"version": "1.0.0", "resolved": address}));
    let command = start(&project);
    let script = held(&project);
    assert!(signal("TERM", &command.id().to_string()));
    let output = command.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(15));
    assert_let_go(script);
}

/// Longer than anything that works takes, on any machine.
const DEADLINE: Duration = Duration::from_secs(60);
