//! Placing: how files get from the cache into `node_modules`, and what stands in the way.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::outcome::Outcome;
use crate::support::{Package, Project, Registry};

fn one_package() -> Project {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("lib/x.js", "x"));
    Project::new(&registry).with(&a).keeping(registry)
}

const ONE_PACKAGE: [&str; 5] = [
    ".package-lock.json [node_modules/a]",
    "a/",
    "a/lib/",
    "a/lib/x.js \"x\"",
    "a/package.json {a@1.0.0}",
];

/// How many names the inode of the installed file has.
fn links(project: &Project) -> u64 {
    fs::metadata(project.path().join("node_modules/a/lib/x.js")).unwrap().nlink()
}

#[test]
fn batches_of_any_size_make_the_same_tree() {
    let project = one_package();
    for batch in ["1", "16", "32768"] {
        project.ci(&["--batch", batch]).assert_quiet_success();
        project.installed().assert(&ONE_PACKAGE);
        fs::remove_dir_all(project.cache()).unwrap();
    }
    for batch in ["0", "32769", "many"] {
        assert_eq!(project.ci(&["--batch", batch]).code, Some(2), "{batch}");
    }
}

#[test]
fn a_hard_link_shares_the_inode_with_the_cache() {
    let project = one_package();
    project.ci(&["--link-mode", "hardlink"]).assert_quiet_success();
    assert_eq!(links(&project), 2);
    project.installed().assert(&ONE_PACKAGE);
}

#[test]
fn a_copy_does_not_share_the_inode_with_the_cache() {
    let project = one_package();
    project.ci(&["--link-mode", "copy"]).assert_quiet_success();
    assert_eq!(links(&project), 1);
    project.installed().assert(&ONE_PACKAGE);
}

#[test]
fn by_default_files_are_hard_links() {
    let project = one_package();
    project.ci(&[]).assert_quiet_success();
    assert_eq!(links(&project), 2);
    project.ci(&["--link-mode", "auto"]).assert_quiet_success();
    assert_eq!(links(&project), 2);
}

#[test]
fn a_clone_is_a_file_of_its_own_or_an_error_where_the_filesystem_has_none() {
    let project = one_package();
    let outcome = project.ci(&["--link-mode", "clone"]);
    if outcome.code == Some(0) {
        assert_eq!(links(&project), 1);
        project.installed().assert(&ONE_PACKAGE);
    } else {
        assert_names_both_ends(&outcome);
    }
}

/// A mode that was asked for by name is not exchanged for another in silence.
#[track_caller]
fn assert_names_both_ends(outcome: &Outcome) {
    let message = outcome.assert_error("EIO");
    assert!(message.starts_with("failed to place `"), "{message}");
    assert!(message.contains("/v2-u022/packages/"), "{message}");
    assert!(message.contains("` at `[PROJECT]/node_modules/a/"), "{message}");
}

/// A package whose two places need different modes of one file, and a first line that is mended.
fn with_private_files() -> Project {
    let registry = Registry::start();
    let bin = json!({"tool": "cli.js"});
    let tool =
        Package::new("tool", "1.0.0").field("bin", bin).file("cli.js", "#!/bin/sh\r\nrun\r\n");
    let tool = registry.serve(tool);
    Project::new(&registry)
        .with(&tool)
        .wants("dependencies", "other", "npm:tool@1.0.0")
        .at("node_modules/other", &tool)
        .keeping(registry)
}

#[test]
fn every_mode_makes_the_same_tree() {
    let project = with_private_files();
    project.assert_same_as_npm(&[]);
    let expected = project.installed();
    for mode in ["auto", "hardlink", "copy"] {
        project.ci(&["--link-mode", mode]).assert_quiet_success();
        assert_eq!(project.installed(), expected, "{mode}");
    }
}

/// A folder on another filesystem than the project's; `None` where the machine has none.
fn other_filesystem(project: &Project) -> Option<tempfile::TempDir> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let shared_memory = Path::new("/dev/shm");
    let is_other = device(shared_memory).is_some_and(|other| Some(other) != device(project.temp()));
    let folder = is_other.then(|| tempfile::tempdir_in(shared_memory).ok()).flatten();
    if folder.is_none() {
        eprintln!("skipped: /dev/shm is no filesystem of its own that can be written");
    }
    folder
}

#[test]
fn a_cache_on_another_filesystem_is_copied_from() {
    let project = one_package();
    let Some(folder) = other_filesystem(&project) else { return };
    let project = project.with_cache(folder.path().join("cache"));
    for _ in 0..2 {
        project.ci(&[]).assert_quiet_success();
        assert_eq!(links(&project), 1);
        project.installed().assert(&ONE_PACKAGE);
    }
}

/// A mounted filesystem that is unmounted when dropped.
struct Mount<'m>(&'m Path);

impl<'m> Mount<'m> {
    /// `None` where this process may not mount.
    fn memory(at: &'m Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(at).output();
        if !mount.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: a filesystem cannot be mounted here (it takes root)");
            return None;
        }
        Some(Self(at))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{} stays mounted",
            self.0.display()
        );
    }
}

#[test]
fn a_workspace_on_another_filesystem_does_not_keep_the_others_from_links() {
    let registry = Registry::start();
    let old = registry.serve(Package::new("a", "1.0.0").file("x", "old"));
    let new = registry.serve(Package::new("a", "2.0.0").file("x", "new"));
    let project = Project::new(&registry);
    let folder = project.path().join("b");
    let Some(mount) = Mount::memory(&folder) else { return };
    let project = project
        .workspace("b", &Package::new("b", "1.0.0").dependency("a", "^1.0.0"))
        .at("b/node_modules/a", &old)
        .with(&new);
    let links = |path: &str| fs::metadata(project.path().join(path)).unwrap().nlink();
    // Warm, the workspace's packages come first: `b` sorts before `node_modules`.
    for _ in 0..2 {
        project.ci(&["--jobs", "1"]).assert_quiet_success();
        assert_eq!(links("node_modules/a/x"), 2);
        assert_eq!(links("b/node_modules/a/x"), 1);
    }
    // Before the project's folder is removed: a mount point cannot be.
    drop(mount);
}

#[test]
fn hard_links_to_another_filesystem_are_an_error_where_they_were_asked_for() {
    let project = one_package();
    let Some(folder) = other_filesystem(&project) else { return };
    let project = project.with_cache(folder.path().join("cache"));
    assert_names_both_ends(&project.ci(&["--link-mode", "hardlink"]));
}

#[test]
fn any_number_of_workers_makes_the_same_tree() {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for number in 0..40 {
        let package = Package::new(&format!("p{number}"), "1.0.0").file("lib/x", "x");
        project = project.with(&registry.serve(package));
    }
    project.assert_same_as_npm(&[]);
    let expected = project.installed();
    for jobs in ["1", "2", "32"] {
        project.ci(&["--jobs", jobs]).assert_quiet_success();
        assert_eq!(project.installed(), expected, "{jobs} workers");
        fs::remove_dir_all(project.cache()).unwrap();
        project.ci(&["--jobs", jobs]).assert_quiet_success();
        assert_eq!(project.installed(), expected, "{jobs} workers, cold");
    }
}

#[test]
fn a_file_named_node_modules_is_an_error_that_names_it() {
    let project = one_package().file("node_modules", "precious");
    project.ci(&[]).assert_failure(&[
        "error: EIO: failed to install into `[PROJECT]/node_modules`",
        "  caused by: it is not a directory",
        "hint: remove it: packages are placed in a real folder only",
    ]);
    let text = fs::read_to_string(project.path().join("node_modules")).unwrap();
    assert_eq!(text, "precious");
}

#[test]
fn a_symbolic_link_named_node_modules_is_an_error_and_not_followed() {
    let project = one_package().file("../elsewhere/precious", "x");
    symlink("../elsewhere", project.path().join("node_modules")).unwrap();
    let before = project.whole_tree();
    project.ci(&[]).assert_failure(&[
        "error: EIO: failed to install into `[PROJECT]/node_modules`",
        "  caused by: it is a symbolic link",
        "hint: remove it: packages are placed in a real folder only",
    ]);
    assert_eq!(project.whole_tree(), before);
}

#[test]
fn the_project_s_folder_can_be_reached_through_a_symbolic_link() {
    let project = one_package();
    let link = project.temp().join("link");
    symlink(project.path(), &link).unwrap();
    let cache = project.cache();
    let registry = project.registry_arguments();
    let mut arguments = vec!["ci", "-C", link.to_str().unwrap()];
    arguments.extend(["--cache", cache.to_str().unwrap()]);
    arguments.extend(registry.iter().map(String::as_str));
    project.ringstall(&arguments).assert_quiet_success();
    project.installed().assert(&ONE_PACKAGE);
}

#[test]
fn a_folder_that_does_not_exist_is_an_error_that_names_it() {
    let project = one_package();
    let outcome = project.ringstall(&["ci", "-C", "nowhere"]);
    outcome.assert_failure(&[
        "error: EIO: failed to find the project's folder `nowhere`",
        "  caused by: No such file or directory (os error 2)",
    ]);
}
