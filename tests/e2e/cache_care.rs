//! Looking after the cache: its size, whether its packages are still what was unpacked, and
//! removing those that nobody uses.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::outcome::Outcome;
use crate::support::{Package, Project, Registry, Reply};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn three_packages() -> (Registry, Project) {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for name in ["a", "b", "c"] {
        let package = Package::new(name, "1.0.0").file("lib/index.js", name);
        project = project.with(&registry.serve(package));
    }
    project.ci(&[]).assert_quiet_success();
    registry.forget_requests();
    (registry, project)
}

fn cache_command(project: &Project, arguments: &[&str]) -> Outcome {
    let cache = project.cache();
    let line = [&["cache"], arguments, &["--cache", cache.to_str().unwrap()]].concat();
    project.ringstall(&line)
}

/// The folder of a package in the cache.
fn package_folder(project: &Project, name: &str) -> PathBuf {
    let installed = project.path().join("node_modules").join(name).join("lib/index.js");
    let content = fs::read(installed).unwrap();
    let packages = project.cache().join("v2-u022/packages");
    let folders = fs::read_dir(packages).unwrap().flat_map(|one| {
        fs::read_dir(one.unwrap().path()).unwrap().map(|package| package.unwrap().path())
    });
    let is_wanted = |folder: &PathBuf| {
        fs::read_dir(folder).unwrap().any(|file| fs::read(file.unwrap().path()).unwrap() == content)
    };
    folders.into_iter().find(is_wanted).unwrap()
}

/// The file of a package in the cache that has this content.
fn file_with(folder: &Path, content: &str) -> PathBuf {
    let mut files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.find(|file| fs::read(file).unwrap() == content.as_bytes()).unwrap()
}

#[test]
fn the_size_is_that_of_all_packages() {
    let (_registry, project) = three_packages();
    let outcome = cache_command(&project, &["size"]);
    outcome.assert_quiet_success();
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![project.cache().join("v2-u022")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                bytes += entry.metadata().unwrap().len();
            }
        }
    }
    let expected = format!("3 packages ({files} files of {bytes} bytes) in [CACHE]\n");
    assert_eq!(outcome.stdout, expected);
    assert!(files >= 9, "two files and an index each");
}

#[test]
fn a_cache_that_is_not_there_is_empty() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    let outcome = cache_command(&project, &["size"]);
    assert_eq!(outcome.stdout, "0 packages (0 files of 0 bytes) in [CACHE]\n");
    let outcome = cache_command(&project, &["verify"]);
    assert_eq!(outcome.stdout, "nothing to verify in [CACHE]\n");
    let outcome = cache_command(&project, &["prune"]);
    assert_eq!(outcome.stdout, "removed 0 packages (0 files of 0 bytes) from [CACHE]\n");
    assert!(!project.cache().exists());
}

#[test]
fn what_was_installed_and_linked_is_well() {
    let (_registry, project) = three_packages();
    project.ci(&[]).assert_quiet_success();
    let outcome = cache_command(&project, &["verify"]);
    outcome.assert_quiet_success();
    assert!(outcome.stdout.starts_with("3 packages (6 files of "), "{}", outcome.stdout);
    assert!(outcome.stdout.ends_with(" bytes) in [CACHE]: all is well\n"), "{}", outcome.stdout);
}

/// One way to damage package `b`, and what verify says of it.
type Case = (fn(&Path, &Project), &'static str);

const DAMAGES: [Case; 7] = [
    (
        |_, project| {
            // As an editor does that writes in place: the same length, in the cache as well.
            fs::write(project.path().join("node_modules/b/lib/index.js"), "x").unwrap();
        },
        "`lib/index.js` was written into after it was unpacked",
    ),
    (
        |folder, _| fs::write(file_with(folder, "b"), "").unwrap(),
        "`lib/index.js` has 0 bytes, not 1",
    ),
    (
        |folder, _| fs::remove_file(file_with(folder, "b")).unwrap(),
        "`lib/index.js` cannot be looked at: No such file or directory (os error 2)",
    ),
    (
        |folder, _| {
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(file_with(folder, "b"), mode).unwrap();
        },
        "`lib/index.js` has the mode 0600, not 0644",
    ),
    (
        |folder, _| {
            let file = file_with(folder, "b");
            fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", file).unwrap();
        },
        "`lib/index.js` is no regular file",
    ),
    (|folder, _| fs::write(folder.join("more"), "").unwrap(), "it has 4 files, not 3"),
    (|folder, _| fs::write(folder.join("index"), "torn").unwrap(), "it has no whole index"),
];

#[test]
fn a_damaged_package_is_named_and_what_is_wrong_with_it() {
    for (damage, what) in DAMAGES {
        let (_registry, project) = three_packages();
        let folder = package_folder(&project, "b");
        damage(&folder, &project);
        let label =
            if what.contains("index") && what.starts_with("it") { "a package" } else { "b@1.0.0" };
        let path = folder.strip_prefix(project.cache()).unwrap().display();
        let outcome = cache_command(&project, &["verify"]);
        outcome.assert_failure(&[
            "error: ECACHE: in the cache `[CACHE]` 1 package is damaged",
            "",
            &format!("{label} ([CACHE]/{path}): {what}"),
            "hint: `ringstall cache verify --repair` removes them, so that they are fetched again",
        ]);
        assert!(folder.exists(), "nothing is removed unless that is asked for");
    }
}

#[test]
fn files_of_a_large_package_lie_in_several_folders_and_each_is_looked_at() {
    let registry = Registry::start();
    let files = 0..200;
    let package = files.clone().fold(Package::new("large", "1.0.0"), |package, number| {
        package.file(&format!("lib/{number}.js"), &format!("content {number}"))
    });
    let project = Project::new(&registry).with(&registry.serve(package));
    project.ci(&[]).assert_quiet_success();
    for number in files {
        let installed = project.path().join(format!("node_modules/large/lib/{number}.js"));
        assert_eq!(fs::read_to_string(installed).unwrap(), format!("content {number}"));
    }
    cache_command(&project, &["verify"]).assert_quiet_success();
    let folder = the_only_package(&project);
    let largest = folders_below(&folder).iter().map(|one| fs::read_dir(one).unwrap().count()).max();
    assert!(largest.unwrap() < 100, "{largest:?}");
    let nested = folders_below(&folder).pop().unwrap();
    fs::write(nested.join("strange"), "").unwrap();
    let outcome = cache_command(&project, &["verify"]);
    assert_eq!(outcome.code, Some(1));
    // Two hundred, package.json and the index.
    let message = "it has 203 files, not 202";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
}

/// The folder of the one package that the cache holds.
fn the_only_package(project: &Project) -> PathBuf {
    let first = fs::read_dir(project.cache().join("v2-u022/packages")).unwrap().next().unwrap();
    fs::read_dir(first.unwrap().path()).unwrap().next().unwrap().unwrap().path()
}

/// A folder, and those in it.
fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    std::iter::once(folder.to_owned()).chain(entries.filter(|path| path.is_dir())).collect()
}

#[test]
fn what_is_repaired_is_fetched_again() {
    for (damage, what) in DAMAGES {
        let (registry, project) = three_packages();
        let before = project.installed();
        let folder = package_folder(&project, "b");
        damage(&folder, &project);
        let outcome = cache_command(&project, &["verify", "--repair"]);
        outcome.assert_quiet_success();
        let mut lines = outcome.stdout.lines();
        let first = lines.next().unwrap();
        assert!(first.starts_with("removed ") && first.ends_with(what), "{first}");
        assert_eq!(lines.collect::<Vec<_>>(), ["removed 1 of 3 packages from [CACHE]"]);
        assert!(!folder.exists());
        project.ci(&[]).assert_quiet_success();
        assert_eq!(registry.paths(), ["/b/-/b-1.0.0.tgz"]);
        assert_eq!(project.installed(), before);
        cache_command(&project, &["verify"]).assert_quiet_success();
    }
}

#[test]
fn what_was_not_used_for_longer_is_removed_and_fetched_again() {
    let (registry, project) = three_packages();
    let before = project.installed();
    for (name, days) in [("a", 29), ("b", 40)] {
        let index = package_folder(&project, name).join("index");
        let time = SystemTime::now() - days * DAY;
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        File::open(index).unwrap().set_times(times).unwrap();
    }
    let outcome = cache_command(&project, &["prune"]);
    outcome.assert_success();
    let said = outcome.stdout.replace(char::is_numeric, "#");
    assert_eq!(said, "removed # package (# files of ### bytes) from [CACHE]\n");
    assert_eq!(project.installed(), before, "projects keep what they have");
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), ["/b/-/b-1.0.0.tgz"]);
    assert_eq!(project.installed(), before);
}

#[test]
fn an_install_is_a_use() {
    let (_registry, project) = three_packages();
    let index = package_folder(&project, "a").join("index");
    let long_ago = SystemTime::now() - 100 * DAY;
    let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    File::open(&index).unwrap().set_times(times).unwrap();
    project.ci(&[]).assert_quiet_success();
    if fs::metadata(&index).unwrap().accessed().unwrap() == long_ago {
        eprintln!("not run: the filesystem of the temporary folder notes no accesses");
        return;
    }
    let outcome = cache_command(&project, &["prune", "--older-than", "1"]);
    outcome.assert_quiet_success();
    assert_eq!(outcome.stdout, "removed 0 packages (0 files of 0 bytes) from [CACHE]\n");
}

#[test]
fn nothing_is_removed_while_an_install_uses_the_cache() {
    let (registry, project) = three_packages();
    let d = registry.serve(Package::new("d", "1.0.0"));
    let project = project.with(&d);
    let slow = "/d/-/d-1.0.0.tgz";
    registry.reply_once(slow, Reply::silence());
    let mut running = project.start_ci(&[]);
    registry.wait_for(slow, 1);
    for command in [&["prune"][..], &["clean"], &["verify", "--repair"]] {
        cache_command(&project, command).assert_failure(&[
            "error: ECACHE: the cache `[CACHE]/v2-u022` is in use",
            "hint: run this again when the installs that use it have ended",
        ]);
    }
    cache_command(&project, &["verify"]).assert_quiet_success();
    running.kill().unwrap();
    running.wait().unwrap();
    cache_command(&project, &["clean"]).assert_quiet_success();
}

#[test]
fn prune_wants_a_number_of_days() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    for days in ["0", "-1", "soon", "99999999999"] {
        let outcome = cache_command(&project, &["prune", "--older-than", days]);
        assert_eq!(outcome.code, Some(2), "{days}: {}", outcome.stderr);
    }
}
