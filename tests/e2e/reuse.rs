//! `--reuse`: what is right stays, all else is installed anew, and the tree is npm's either way.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Package, Project, Registry, Reply};

/// Packages with a scope, with folders, with commands, one in another, and a workspace with one of
/// its own.
fn project(registry: &Registry) -> Project {
    let package = |name: &str, version: &str| {
        Package::new(name, version).file("lib/index.js", &format!("{name} {version}"))
    };
    let tool = package("tool", "1.0.0").field("bin", json!("cli.js"));
    let tool = registry.serve(tool.file("cli.js", "#!/usr/bin/env node\n"));
    let outer = registry.serve(package("outer", "1.0.0").dependency("inner", "1.0.0"));
    let inner = registry.serve(package("inner", "1.0.0"));
    let scoped = registry.serve(package("@s/one", "1.0.0"));
    let other = registry.serve(package("@s/two", "1.0.0"));
    let dev = registry.serve(package("dev", "1.0.0"));
    let workspace = Package::new("w", "1.0.0").field("bin", json!("run.js"));
    Project::new(registry)
        .with(&tool)
        .with(&outer)
        .at("node_modules/outer/node_modules/inner", &inner)
        .with(&scoped)
        .with(&other)
        .with_dev(&dev)
        .workspace("w", &workspace.dependency("inner", "1.0.0"))
        .at("w/node_modules/inner", &inner)
        .file("w/run.js", "#!/usr/bin/env node\r\n")
}

/// The packages of that project, its link among them.
const PACKAGES: u64 = 8;

/// An install with `--reuse` leaves the tree that a fresh one leaves. Gives its summary.
#[track_caller]
fn reuse(project: &Project, arguments: &[&str]) -> Value {
    let theirs = project.npm_ci(arguments);
    let ours = project.ci(&[&["--ignore-scripts", "--reuse", "--json"], arguments].concat());
    ours.assert_success();
    project.assert_same_outcome(theirs);
    ours.json()
}

/// How many packages were added and kept, and how many files were placed.
fn figures(summary: &Value) -> [u64; 3] {
    ["added", "kept", "files"].map(|key| summary[key].as_u64().unwrap())
}

/// After a change, an install with `--reuse` ends like a fresh one and keeps the rest.
#[track_caller]
fn after(change: impl FnOnce(&Path)) -> [u64; 3] {
    let registry = Registry::start();
    let project = project(&registry);
    let again = || figures(&project.ci(&["--ignore-scripts", "--reuse", "--json"]).json());
    assert_eq!(again()[..2], [PACKAGES, 0]);
    change(&project.path());
    let summary = figures(&reuse(&project, &[]));
    assert_eq!(again(), [0, PACKAGES, 0], "it is recorded again");
    summary
}

/// The whole of what one such package brings.
const ONE: [u64; 3] = [1, PACKAGES - 1, 2];
/// Everything in its place, but for the commands and the hidden lockfile.
const NOTHING: [u64; 3] = [0, PACKAGES, 0];

#[test]
fn where_nothing_has_changed_nothing_is_done() {
    let registry = Registry::start();
    let project = project(&registry);
    let first = reuse(&project, &[]);
    assert_eq!(figures(&first), [PACKAGES, 0, 15]);
    let inode = |path: &str| fs::metadata(project.path().join(path)).unwrap().ino();
    let hidden = "node_modules/.package-lock.json";
    let before = (inode(hidden), inode("node_modules/outer"));
    registry.forget_requests();
    let second = project.ci(&["--ignore-scripts", "--reuse", "--json"]).json();
    assert_eq!(figures(&second), NOTHING);
    assert_eq!((inode(hidden), inode("node_modules/outer")), before);
    assert_eq!(second["phases"].as_object().unwrap().keys().collect::<Vec<_>>(), ["look", "read"]);
    assert_eq!(registry.paths(), [""; 0]);
    assert_eq!(figures(&reuse(&project, &[])), NOTHING);
}

#[test]
fn the_closing_line_tells_what_was_kept() {
    let registry = Registry::start();
    let project = project(&registry);
    project.ci(&["--ignore-scripts", "--reuse"]).assert_quiet_success();
    let outcome = project.ci(&["--ignore-scripts", "--reuse"]);
    let expected = "added 0 packages, kept 8 in [TIME] (0 downloaded, 0 reused; 0 files placed)\n";
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn without_it_everything_is_emptied() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    assert_eq!(figures(&project.ci(&["--json"]).json())[..2], [PACKAGES, 0]);
    // And nothing of what such a run leaves is kept.
    assert_eq!(figures(&reuse(&project, &[]))[..2], [PACKAGES, 0]);
}

#[test]
fn a_file_that_is_replaced() {
    let found = after(|project| {
        let path = project.join("node_modules/@s/one/lib/index.js");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "@s/one 1.0.0").unwrap();
    });
    assert_eq!(found, ONE);
}

#[test]
fn a_file_that_is_written_in_place_is_mended_in_the_cache_too() {
    let found = after(|project| {
        fs::write(project.join("node_modules/@s/one/lib/index.js"), "@s/one 1.0.1").unwrap();
    });
    assert_eq!(found, ONE);
}

#[test]
fn a_mode_that_is_changed_is_mended_in_the_cache_too() {
    let found = after(|project| {
        let path = project.join("node_modules/@s/one/lib/index.js");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    });
    assert_eq!(found, ONE);
}

#[test]
fn a_file_that_is_written_in_place_and_has_no_other_name() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &["--link-mode", "copy"]);
    let path = project.path().join("node_modules/@s/one/lib/index.js");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "@s/one 1.0.1").unwrap();
    // Setting back the time of writing hides nothing.
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(figures(&reuse(&project, &["--link-mode", "copy"])), ONE);
}

#[test]
fn a_file_that_is_removed() {
    let found = after(|project| {
        fs::remove_file(project.join("node_modules/@s/one/package.json")).unwrap();
    });
    assert_eq!(found, ONE);
}

#[test]
fn a_file_that_is_added() {
    let found = after(|project| {
        fs::write(project.join("node_modules/@s/one/lib/new.js"), "").unwrap();
    });
    assert_eq!(found, ONE);
}

#[test]
fn a_change_in_a_nested_package_takes_the_outer_one_with_it() {
    let found = after(|project| {
        let path = project.join("node_modules/outer/node_modules/inner/lib/index.js");
        fs::remove_file(path).unwrap();
    });
    assert_eq!(found, [2, PACKAGES - 2, 4]);
}

#[test]
fn packages_and_other_things_that_are_added_go() {
    let add = |project: &Path, path: &str| {
        let path = project.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    let found = after(|project| {
        for path in [
            "node_modules/stray/index.js",
            "node_modules/@s/stray/index.js",
            "node_modules/@t/stray/index.js",
            "node_modules/.cache/tool/x",
            "node_modules/.bin/stray",
            "node_modules/.ringstall-old-1/0",
            "w/node_modules/stray/index.js",
        ] {
            add(project, path);
        }
    });
    assert_eq!(found, NOTHING);
    let found = after(|project| add(project, "node_modules/outer/node_modules/.cache/x"));
    assert_eq!(found, [2, PACKAGES - 2, 4]);
}

#[test]
fn packages_that_are_removed_come_back() {
    let found = after(|project| fs::remove_dir_all(project.join("node_modules/@s")).unwrap());
    assert_eq!(found, [2, PACKAGES - 2, 4]);
    let found = after(|project| fs::remove_dir_all(project.join("node_modules")).unwrap());
    assert_eq!(found[..2], [PACKAGES - 1, 1]);
}

#[test]
fn a_command_that_leads_elsewhere_is_mended() {
    let found = after(|project| {
        let path = project.join("node_modules/.bin/tool");
        fs::remove_file(&path).unwrap();
        symlink("../outer/lib/index.js", &path).unwrap();
    });
    assert_eq!(found, NOTHING);
}

#[test]
fn the_command_of_a_workspace_is_made_executable_again() {
    let found = after(|project| {
        let path = project.join("w/run.js");
        fs::write(&path, "#!/usr/bin/env node\r\nnew\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    });
    assert_eq!(found, NOTHING);
}

#[test]
fn a_link_to_a_workspace_that_was_replaced_is_mended() {
    let found = after(|project| {
        let path = project.join("node_modules/w");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
    });
    assert_eq!(found, [1, PACKAGES - 1, 0]);
}

#[test]
fn a_scope_that_was_replaced_by_a_link_is_not_followed() {
    let found = after(|project| {
        let scope = project.join("node_modules/@s");
        fs::rename(&scope, project.join("elsewhere")).unwrap();
        symlink("../elsewhere", &scope).unwrap();
    });
    assert_eq!(found, [2, PACKAGES - 2, 4]);
}

#[test]
fn a_hidden_lockfile_that_was_changed_is_written_again() {
    let found = after(|project| {
        fs::write(project.join("node_modules/.package-lock.json"), "{}").unwrap();
    });
    assert_eq!(found, NOTHING);
    let found = after(|project| {
        fs::remove_file(project.join("node_modules/.package-lock.json")).unwrap();
    });
    assert_eq!(found, NOTHING);
}

#[test]
fn of_another_lockfile_only_what_differs_is_placed() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    let newer = Package::new("tool", "2.0.0").field("bin", json!("other.js"));
    let newer = registry.serve(newer.file("other.js", "#!/usr/bin/env node\n"));
    let added = registry.serve(Package::new("added", "1.0.0"));
    let project = project.with(&newer).with(&added);
    registry.forget_requests();
    assert_eq!(figures(&reuse(&project, &[])), [2, PACKAGES - 1, 3]);
    let project = project.entry("", json!({})).wants("dependencies", "gone", "1.0.0");
    let gone = registry.serve(Package::new("gone", "1.0.0"));
    let project = project.at("node_modules/gone", &gone);
    assert_eq!(figures(&reuse(&project, &[])), [1, PACKAGES + 1, 1]);
}

#[test]
fn what_the_lockfile_no_longer_has_goes() {
    let registry = Registry::start();
    let larger = project(&registry);
    let extra = registry.serve(Package::new("@s/extra", "1.0.0"));
    let larger = larger.with(&extra);
    reuse(&larger, &[]);
    let smaller = project(&registry);
    for file in ["package.json", "package-lock.json"] {
        fs::copy(smaller.path().join(file), larger.path().join(file)).unwrap();
    }
    assert_eq!(figures(&reuse(&larger, &[])), NOTHING);
    assert!(!larger.path().join("node_modules/@s/extra").exists());
}

#[test]
fn another_package_json_is_seen() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    let text = fs::read_to_string(project.path().join("package.json")).unwrap();
    fs::write(project.path().join("package.json"), text.replace("tool", "toll")).unwrap();
    project.ci(&["--ignore-scripts", "--reuse"]).assert_error("EUSAGE");
    fs::write(project.path().join("package.json"), format!("{text}\n")).unwrap();
    assert_eq!(figures(&reuse(&project, &[])), NOTHING);
}

#[test]
fn another_package_json_of_a_workspace_is_seen() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    let path = project.path().join("w/package.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen('{', r#"{"license": "MIT", "#, 1)).unwrap();
    assert_eq!(figures(&reuse(&project, &[])), NOTHING);
    assert_eq!(project.hidden_lock()["packages"]["w"]["license"], "MIT");
}

#[test]
fn other_settings_are_seen() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    assert_eq!(figures(&reuse(&project, &["--omit", "dev"])), [0, PACKAGES - 1, 0]);
    assert_eq!(figures(&reuse(&project, &[])), ONE);
    assert_eq!(figures(&reuse(&project, &["-w", "w"])), [0, 2, 0]);
    assert_eq!(figures(&reuse(&project, &["--no-bin-links"])), [6, 2, 13]);
}

#[test]
fn another_way_of_placing_files_places_them_all() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    let links =
        || fs::metadata(project.path().join("node_modules/dev/package.json")).unwrap().nlink();
    assert_eq!(links(), 2);
    assert_eq!(figures(&reuse(&project, &["--link-mode", "copy"]))[..2], [PACKAGES, 0]);
    assert_eq!(links(), 1);
}

#[test]
fn with_the_cache_all_that_is_known_goes() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    let cache = project.cache();
    project.ringstall(&["cache", "clean", "--cache", cache.to_str().unwrap()]).assert_success();
    assert_eq!(figures(&reuse(&project, &[]))[..2], [PACKAGES, 0]);
}

#[test]
fn a_copy_in_the_place_of_what_was_installed_is_not_kept() {
    let found = after(|project| {
        let (here, there) = (project.join("node_modules"), project.join("moved"));
        fs::rename(&here, &there).unwrap();
        let copied = Command::new("cp").arg("-a").arg(&there).arg(&here).status();
        assert!(copied.unwrap().success());
        fs::remove_dir_all(&there).unwrap();
    });
    assert_eq!(found[..2], [PACKAGES - 1, 1]);
}

#[test]
fn after_a_kill_nothing_is_kept() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    let slow = registry.serve(Package::new("slow", "1.0.0"));
    let project = project.with(&slow);
    let path = "/slow/-/slow-1.0.0.tgz";
    registry.reply_once(path, Reply::silence());
    let mut running = project.start_ci(&["--ignore-scripts", "--reuse"]);
    registry.wait_for(path, 1);
    let records = || fs::read_dir(project.cache().join("v2-u022/projects")).unwrap().count();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while records() > 0 {
        assert!(std::time::Instant::now() < deadline, "the record is removed before the tree is");
        std::thread::yield_now();
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(figures(&reuse(&project, &[]))[..2], [PACKAGES + 1, 0]);
}

#[test]
fn after_a_failure_nothing_is_kept() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    let broken = Package::new("broken", "1.0.0");
    let project = project.with(&broken);
    project.ci(&["--ignore-scripts", "--reuse"]).assert_error("E404");
    registry.serve(broken);
    assert_eq!(figures(&reuse(&project, &[]))[..2], [PACKAGES + 1, 0]);
}

#[test]
fn an_optional_package_that_could_not_be_had_is_tried_again() {
    let registry = Registry::start();
    let optional = Package::new("optional", "1.0.0");
    let project = project(&registry).with_optional(&optional);
    let outcome = project.ci(&["--ignore-scripts", "--reuse"]);
    assert_eq!(outcome.code, Some(0));
    registry.serve(optional);
    assert_eq!(figures(&reuse(&project, &[]))[..2], [PACKAGES + 1, 0]);
}

#[test]
fn a_package_whose_scripts_may_run_is_kept_only_where_nothing_at_all_has_changed() {
    let registry = Registry::start();
    let builds = Package::new("builds", "1.0.0").field("scripts", json!({"install": "true"}));
    let builds = registry.serve(builds);
    let project = project(&registry)
        .with(&builds)
        .entry("node_modules/builds", json!({"hasInstallScript": true}));
    let kept = || figures(&project.ci(&["--reuse", "--json"]).json())[1];
    assert_eq!(kept(), 0);
    assert_eq!(kept(), PACKAGES + 1);
    fs::create_dir(project.path().join("node_modules/.cache")).unwrap();
    assert_eq!(kept(), PACKAGES);
    assert_eq!(kept(), PACKAGES + 1);
}

#[test]
fn where_the_project_has_scripts_of_its_own_a_plan_is_made_even_if_nothing_has_changed() {
    let registry = Registry::start();
    let project = project(&registry).field("scripts", json!({"prepare": "true"}));
    let run = |arguments: &[&str]| project.ci(&[&["--reuse", "--json"], arguments].concat()).json();
    run(&[]);
    let summary = run(&[]);
    assert_eq!(figures(&summary), NOTHING);
    assert!(summary["phases"].get("plan").is_some());
    run(&["--ignore-scripts"]);
    assert!(run(&["--ignore-scripts"])["phases"].get("plan").is_none());
}

#[test]
fn by_folders_alone_all_but_changes_in_place_are_found() {
    let registry = Registry::start();
    let project = project(&registry);
    let kept = || figures(&project.ci(&["--reuse=folders", "--json"]).json())[1];
    assert_eq!((kept(), kept()), (0, PACKAGES));
    let path = project.path().join("node_modules/dev/lib/index.js");
    fs::write(&path, "changed").unwrap();
    assert_eq!(kept(), PACKAGES);
    fs::write(path.with_file_name("new.js"), "").unwrap();
    assert_eq!(kept(), PACKAGES - 1);
    assert_eq!(figures(&reuse(&project, &[])), NOTHING);
}

#[test]
fn two_installs_in_one_project_come_one_after_the_other() {
    let registry = Registry::start();
    let project = project(&registry);
    let path = "/tool/-/tool-1.0.0.tgz";
    registry.reply_once(path, Reply::silence());
    let mut first = project.start_ci(&["--ignore-scripts"]);
    registry.wait_for(path, 1);
    let second = project.start_ci(&["--ignore-scripts", "--reuse"]);
    // Only when the first has ended the second asks for anything, or touches it.
    let waiting = read_line(second);
    let expected = "warning: another install is at work in this project: waiting for its end";
    assert_eq!(waiting.1, expected);
    assert!(!project.path().join("node_modules/.package-lock.json").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    let outcome = project.outcome(&waiting.0.wait_with_output().unwrap());
    outcome.assert_quiet_success();
    assert_eq!(figures(&reuse(&project, &[])), NOTHING);
}

/// The first line that a running command prints on stderr.
fn read_line(mut running: std::process::Child) -> (std::process::Child, String) {
    use std::io::Read as _;
    let mut stderr = running.stderr.take().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while stderr.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    running.stderr = Some(stderr);
    (running, String::from_utf8(line).unwrap())
}

#[test]
fn another_path_to_the_same_programs_changes_nothing() {
    let registry = Registry::start();
    let project = project(&registry);
    reuse(&project, &[]);
    let path = format!("{}:{}", std::env::var("PATH").unwrap(), project.temp().display());
    let project = project.env("PATH", &path);
    assert!(reuse(&project, &[])["phases"].get("plan").is_none());
}
