//! Signals while scripts run: nothing is left running, and the command ends by the signal.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Package, Project, Registry};

/// A project whose package runs `script`, which can use the FIFOs `started` and `never`.
fn project(script: &str, own: Value) -> Project {
    let registry = Registry::start();
    let package = Package::new("a", "1.0.0").field("scripts", json!({"install": script}));
    let project = Project::new(&registry)
        .with(&registry.serve(package))
        .field("scripts", own)
        .keeping(registry);
    for fifo in ["started", "never"] {
        let made = Command::new("mkfifo").arg(project.path().join(fifo)).status();
        assert!(made.unwrap().success());
    }
    project
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
    if std::fs::File::open("/dev/tty").is_ok() {
        return;
    }
    let script = "cd \"$npm_config_local_prefix\"; \
                  sh -c 'exec 3> started; read line < never'; echo after > after";
    let project = project(script, json!({}));
    let command = start(&project);
    // Opens when the script's child has it, and ends when that has.
    let mut alive = std::fs::File::open(project.path().join("started")).unwrap();
    assert!(signal("TERM", &command.id().to_string()));
    command.wait_with_output().unwrap();
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(alive.read_to_end(&mut Vec::new()));
    });
    ended.recv_timeout(DEADLINE).expect("the script's child is still running").unwrap();
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

/// Longer than anything that works takes, on any machine.
const DEADLINE: Duration = Duration::from_secs(60);
