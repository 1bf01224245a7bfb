//! A cache that cannot be written: it came with an image, and whoever installs has another account
//! or a read-only mount. What it holds can be installed all the same.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::outcome::Outcome;
use crate::support::{Package, Project, Registry};

/// A project whose packages are in its cache, but for the last one if `is_whole` is not.
fn cached(is_whole: bool) -> (Registry, Project) {
    let registry = Registry::start();
    let a = registry.serve(
        Package::new("a", "1.0.0").file("run.js", "#!/bin/sh\r\n").field("bin", "run.js".into()),
    );
    let project = Project::new(&registry).with(&a);
    project.ci(&[]).assert_quiet_success();
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = project.with(&b);
    if is_whole {
        project.ci(&[]).assert_quiet_success();
    }
    registry.forget_requests();
    (registry, project)
}

/// The command with the cache mounted read-only; `None` where that is not allowed here.
fn ci_on_read_only_mount(project: &Project, arguments: &[&str]) -> Option<Outcome> {
    let script = "mount --bind \"$CACHE\" \"$CACHE\" && \
                  mount -o remount,bind,ro \"$CACHE\" && exec \"$0\" \"$@\"";
    let run = |command: Command| {
        let mut unshared = project.command(Path::new("unshare"), "022");
        unshared.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        // Of the command only what `sh` of the harness is given after its script.
        unshared.args(command.get_args().skip(2)).env("CACHE", project.cache());
        project.run(unshared)
    };
    let tried = run(project.command(Path::new("true"), "022"));
    if tried.code != Some(0) {
        eprintln!("not run: {}", tried.stderr.trim());
        return None;
    }
    Some(run(project.ci_command(arguments)))
}

#[test]
fn a_cache_on_a_read_only_mount_is_installed_from() {
    let (registry, project) = cached(true);
    let before = project.installed();
    drop(registry);
    for arguments in [&["--offline"][..], &[]] {
        fs::remove_dir_all(project.path().join("node_modules")).unwrap();
        let Some(outcome) = ci_on_read_only_mount(&project, arguments) else { return };
        outcome.assert_quiet_success();
        assert_eq!(project.installed(), before);
    }
}

#[test]
fn what_a_read_only_cache_lacks_is_told_before_anything_is_touched() {
    let (registry, project) = cached(false);
    let before = project.installed();
    let Some(outcome) = ci_on_read_only_mount(&project, &["--offline"]) else { return };
    outcome.assert_error("ENOTCACHED");
    let Some(outcome) = ci_on_read_only_mount(&project, &[]) else { return };
    outcome.assert_failure(&[
        "error: ECACHE: the cache `[CACHE]/v2-u022` lacks 1 package and cannot be written",
        "  caused by: Read-only file system (os error 30)",
        "hint: fill it where it can be written, or name another with `--cache`",
    ]);
    assert_eq!(registry.paths(), [""; 0]);
    assert_eq!(project.installed(), before);
}

#[test]
fn an_optional_package_that_a_read_only_cache_lacks_is_left_out_offline() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a).with_optional(&Package::new("b", "1.0.0"));
    project.ci(&[]).assert_success();
    let before = project.installed();
    let Some(outcome) = ci_on_read_only_mount(&project, &["--offline"]) else { return };
    outcome.assert_success();
    assert_eq!(project.installed(), before);
}

const OTHER_USER: u32 = 65534;

/// Gives all that the other account may see and write, as an image does.
fn prepare_for_other_user(project: &Project) -> bool {
    if !is_root() {
        eprintln!("not run: only root can start a command for another account");
        return false;
    }
    fs::set_permissions(project.temp(), fs::Permissions::from_mode(0o755)).unwrap();
    let readable = Command::new("chmod").args(["-R", "a+rX"]).arg(project.cache()).status();
    assert!(readable.unwrap().success());
    fs::remove_dir_all(project.path().join("node_modules")).unwrap();
    for folder in [project.path(), project.temp().join("home")] {
        chown(folder, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    }
    true
}

/// By the owner of what this process makes.
fn is_root() -> bool {
    tempfile::tempfile().unwrap().metadata().unwrap().uid() == 0
}

/// On a copy of the command, for the other account may not see the folder that it was built in.
fn ci_as_other_user(project: &Project, arguments: &[&str]) -> Outcome {
    let program = project.temp().join("ringstall");
    // By a process of its own: as long as one that was started meanwhile has the file open for
    // writing, it cannot be run.
    let mut copy = Command::new("cp");
    let copied = copy.arg(env!("CARGO_BIN_EXE_ringstall")).arg(&program).status();
    assert!(copied.unwrap().success());
    let mut command = project.command(&program, "022");
    command.args(["ci", "-C"]).arg(project.path()).arg("--cache").arg(project.cache());
    command.args(project.registry_arguments()).args(arguments);
    command.uid(OTHER_USER).gid(OTHER_USER);
    project.run(command)
}

#[test]
fn a_cache_of_root_s_is_installed_from_by_others() {
    let (registry, project) = cached(true);
    let before = project.installed();
    drop(registry);
    if !prepare_for_other_user(&project) {
        return;
    }
    let outcome = ci_as_other_user(&project, &["--offline"]);
    outcome.assert_quiet_success();
    assert_eq!(project.installed(), before);
}

#[test]
fn a_cache_of_root_s_that_more_than_root_can_write_is_refused() {
    let (_registry, project) = cached(true);
    if !prepare_for_other_user(&project) {
        return;
    }
    fs::set_permissions(project.cache(), fs::Permissions::from_mode(0o775)).unwrap();
    let outcome = ci_as_other_user(&project, &["--offline"]);
    let message = outcome.assert_error("ECACHE");
    assert_eq!(message, "the cache `[CACHE]` belongs to user 0, not to 65534");
}

#[test]
fn a_cache_of_a_third_account_s_is_refused() {
    let (_registry, project) = cached(true);
    if !prepare_for_other_user(&project) {
        return;
    }
    chown(project.cache(), Some(OTHER_USER - 1), None).unwrap();
    let outcome = ci_as_other_user(&project, &["--offline"]);
    let message = outcome.assert_error("ECACHE");
    assert_eq!(message, "the cache `[CACHE]` belongs to user 65533, not to 65534");
}
