//! The same tree on every filesystem, by both engines and in every link mode, and files that share
//! their inode with the cache exactly where they should.
//!
//! The filesystems are images that are mounted for the test, which takes root. Where one cannot be
//! had, the test says so; `RINGSTALL_TEST_MOUNTS=require` makes that a failure.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::outcome::Outcome;
use crate::support::tree::Tree;
use crate::support::{Package, Project, Registry};

/// Large enough for the smallest xfs that its mkfs makes.
const IMAGE_BYTES: u64 = 320 << 20;

/// How a file came into the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placing {
    Shared,
    Own,
    Refused,
}
use Placing::{Own, Refused, Shared};

/// What is expected of `auto`, `hardlink`, `clone` and `copy`.
type Expected = [Placing; 4];
const LINK_MODES: [&str; 4] = ["auto", "hardlink", "clone", "copy"];
const WITH_CLONES: Expected = [Shared, Shared, Own, Own];
const WITHOUT_CLONES: Expected = [Shared, Shared, Refused, Own];
const APART: Expected = [Own, Refused, Refused, Own];

/// Mounted filesystems, unmounted last first when dropped, also after a failure.
#[derive(Default)]
struct Mounts(Vec<PathBuf>);

impl Mounts {
    /// Why it cannot be mounted, if it cannot.
    fn mount(&mut self, arguments: &[&str], at: &Path) -> Result<(), String> {
        fs::create_dir_all(at).unwrap();
        run(Command::new("mount").args(arguments).arg(at))?;
        self.0.push(at.to_owned());
        Ok(())
    }

    /// A new filesystem of a kind, in a file beside its mount point.
    fn image(&mut self, kind: &str, at: &Path) -> Result<(), String> {
        let image = at.with_extension("image");
        fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        run(Command::new(format!("mkfs.{kind}")).args(["-q"]).arg(&image))?;
        self.mount(&["-o", "loop", image.to_str().unwrap()], at)
    }

    fn memory(&mut self, at: &Path) -> Result<(), String> {
        self.mount(&["-t", "tmpfs", "-o", "size=64m", "none"], at)
    }

    /// An overlay on folders of `root`, which is on a filesystem that can carry one.
    fn overlay(&mut self, root: &Path, at: &Path) -> Result<(), String> {
        let layers = ["lower", "upper", "work"].map(|name| root.join(name));
        for layer in &layers {
            fs::create_dir_all(layer).unwrap();
        }
        let [lower, upper, work] = layers.each_ref().map(|layer| layer.to_str().unwrap());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        self.mount(&["-t", "overlay", "-o", &options, "none"], at)
    }

    fn unmount(&mut self, at: &Path) {
        let position = self.0.iter().position(|mounted| mounted == at).unwrap();
        run(Command::new("umount").arg(at)).unwrap();
        self.0.remove(position);
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for at in self.0.drain(..).rev() {
            let unmounted = run(Command::new("umount").arg(&at));
            if let Err(why) = unmounted {
                eprintln!("{} stays mounted: {why}", at.display());
            }
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// Says why a test is left out, or fails where none may be.
fn leave_out(filesystem: &str, why: &str) {
    let is_required = std::env::var_os("RINGSTALL_TEST_MOUNTS").is_some_and(|it| it == "require");
    assert!(!is_required, "{filesystem} cannot be tested: {why}");
    eprintln!("skipped: {filesystem}: {why}");
}

fn engines(project: &Project) -> Vec<&'static str> {
    let outcome = project.ci(&["--io", "ring"]);
    if outcome.code == Some(0) {
        return vec!["threads", "ring"];
    }
    outcome.assert_error("ECONFIG");
    eprintln!("not run on the ring: {}", outcome.stderr);
    vec!["threads"]
}

/// Some packages with folders and a command; their cache and project are put elsewhere.
fn several() -> Project {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for number in 0..6 {
        let package = Package::new(&format!("@s/p{number}"), "1.0.0")
            .file("lib/deep/x.js", &format!("content {number}"))
            .file("empty", "");
        let package = registry.serve(package);
        let nested = format!("node_modules/@s/p{number}/node_modules/@s/p{number}");
        project = project.with(&package).at(&nested, &package);
    }
    project.keeping(registry)
}

/// The project's folder, mounted in the place of what it was, with the same contents.
struct Scene {
    project: Project,
    expected: Tree,
}

impl Scene {
    /// What an installation on the machine's own filesystem looks like is what all look like.
    fn new() -> Self {
        Self::of(several())
    }

    fn of(project: Project) -> Self {
        project.ci(&["--io", "threads"]).assert_quiet_success();
        let expected = project.installed();
        fs::remove_dir_all(project.path().join("node_modules")).unwrap();
        fs::remove_dir_all(project.cache()).unwrap();
        Self { project, expected }
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.project.temp().join(name)
    }

    /// Installs into `volume`, from a cache there or elsewhere, on each engine and in each mode.
    fn check(&self, filesystem: &str, volume: &Path, cache: &Path, expected: Expected) {
        let folder = volume.join("project");
        let engines = engines(&self.project);
        for (mode, placing) in LINK_MODES.into_iter().zip(expected) {
            for engine in &engines {
                let what = format!("{filesystem}, {mode}, {engine}");
                // Cold, warm into nothing, and warm over what is there.
                for round in 0..3 {
                    if round < 2 {
                        self.copy_project(&folder);
                    }
                    if round == 0 && cache.exists() {
                        fs::remove_dir_all(cache).unwrap();
                    }
                    let outcome =
                        self.install(&folder, cache, &["--link-mode", mode, "--io", engine]);
                    if placing == Refused {
                        outcome.assert_error("EIO");
                        continue;
                    }
                    outcome.assert_quiet_success();
                    let tree = Tree::read(&folder.join("node_modules"));
                    let differences = tree.differences(&self.expected, ["installed", "expected"]);
                    assert_eq!(differences, [""; 0], "{what}, round {round}");
                    assert_eq!(placing_of(&folder), placing, "{what}, round {round}");
                }
            }
        }
    }

    fn copy_project(&self, folder: &Path) {
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
        fs::create_dir_all(folder).unwrap();
        for name in ["package.json", "package-lock.json"] {
            fs::copy(self.project.path().join(name), folder.join(name)).unwrap();
        }
    }

    fn install(&self, folder: &Path, cache: &Path, options: &[&str]) -> Outcome {
        let (folder, cache) = (folder.to_str().unwrap(), cache.to_str().unwrap());
        let registry = self.project.registry_arguments();
        let mut arguments = vec!["ci", "-C", folder, "--cache", cache];
        arguments.extend(options);
        arguments.extend(registry.iter().map(String::as_str));
        self.project.ringstall(&arguments)
    }
}

fn placing_of(project: &Path) -> Placing {
    let file = project.join("node_modules/@s/p0/lib/deep/x.js");
    if fs::metadata(file).unwrap().nlink() > 1 { Shared } else { Own }
}

/// Cache and project on a new filesystem of a kind, then the cache elsewhere.
fn check_image(kind: &str, together: Expected) {
    let scene = Scene::new();
    let volume = scene.volume(kind);
    let mut mounts = Mounts::default();
    let mounted = match kind {
        "tmpfs" => mounts.memory(&volume),
        kind => mounts.image(kind, &volume),
    };
    if let Err(why) = mounted {
        return leave_out(kind, &why);
    }
    scene.check(kind, &volume, &volume.join("cache"), together);
    let elsewhere = scene.volume("elsewhere");
    scene.check(&format!("{kind}, apart"), &volume, &elsewhere.join("cache"), APART);
}

#[test]
fn ext4_has_hard_links_and_copies() {
    check_image("ext4", WITHOUT_CLONES);
}

/// The folder of the only umask that a cache was used with.
fn bucket(cache: &Path) -> PathBuf {
    let mut entries = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.is_dir()).unwrap()
}

/// So that workers do not wait for each other's part of the inode table.
#[test]
fn ext4_is_asked_to_keep_unpacked_packages_apart() {
    let scene = Scene::new();
    let volume = scene.volume("ext4");
    let mut mounts = Mounts::default();
    if let Err(why) = mounts.image("ext4", &volume) {
        return leave_out("ext4", &why);
    }
    let (folder, cache) = (volume.join("project"), volume.join("cache"));
    scene.copy_project(&folder);
    scene.install(&folder, &cache, &[]).assert_quiet_success();
    let bucket = bucket(&cache);
    let is_kept_apart = ["tmp", "packages"].map(|name| {
        let listed = Command::new("lsattr").arg("-d").arg(bucket.join(name)).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        listed.split(' ').next().unwrap().contains('T')
    });
    assert_eq!(is_kept_apart, [true, false]);
}

#[test]
fn xfs_has_hard_links_clones_and_copies() {
    check_image("xfs", WITH_CLONES);
}

/// There folders are chosen by the allocation group that they have come to be in, and others put
/// by for later: many workers with many files each.
#[test]
fn folders_that_are_put_by_on_xfs_are_used_or_removed() {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for number in 0..30 {
        let package = Package::new(&format!("p{number}"), "1.0.0");
        let package = (0..150).fold(package, |package, file| {
            package.file(&format!("f{file}"), &format!("{file} of {number}"))
        });
        project = project.with(&registry.serve(package));
    }
    let scene = Scene::of(project.keeping(registry));
    let volume = scene.volume("xfs");
    let mut mounts = Mounts::default();
    if let Err(why) = mounts.image("xfs", &volume) {
        return leave_out("xfs", &why);
    }
    for (round, jobs) in ["2", "16"].into_iter().enumerate() {
        let (folder, cache) = (volume.join("project"), volume.join(format!("cache{round}")));
        scene.copy_project(&folder);
        scene.install(&folder, &cache, &["--jobs", jobs]).assert_quiet_success();
        let tree = Tree::read(&folder.join("node_modules"));
        let differences = tree.differences(&scene.expected, ["installed", "expected"]);
        assert_eq!(differences, [""; 0], "{jobs} workers");
        assert_eq!(fs::read_dir(bucket(&cache).join("tmp")).unwrap().count(), 0, "{jobs} workers");
    }
}

#[test]
fn btrfs_has_hard_links_clones_and_copies() {
    check_image("btrfs", WITH_CLONES);
}

#[test]
fn tmpfs_has_hard_links_and_copies() {
    check_image("tmpfs", WITHOUT_CLONES);
}

#[test]
fn an_overlay_links_what_is_in_its_upper_layer() {
    let scene = Scene::new();
    let (base, volume) = (scene.volume("base"), scene.volume("overlay"));
    let mut mounts = Mounts::default();
    let mounted = mounts.memory(&base).and_then(|()| mounts.overlay(&base, &volume));
    if let Err(why) = mounted {
        return leave_out("overlay", &why);
    }
    scene.check("overlay", &volume, &volume.join("cache"), WITHOUT_CLONES);
}

/// As in an image whose earlier layer has the cache, and, at the end, the packages.
#[test]
fn an_overlay_installs_from_and_over_its_lower_layer() {
    let scene = Scene::new();
    let (base, volume) = (scene.volume("base"), scene.volume("overlay"));
    let mut mounts = Mounts::default();
    if let Err(why) = mounts.memory(&base) {
        return leave_out("overlay", &why);
    }
    for engine in engines(&scene.project) {
        for layer in ["lower", "upper", "work"] {
            let _ = fs::remove_dir_all(base.join(layer));
        }
        let (lower, cache) = (base.join("lower/project"), base.join("lower/cache"));
        scene.copy_project(&lower);
        scene.install(&lower, &cache, &["--io", engine]).assert_quiet_success();
        if let Err(why) = mounts.overlay(&base, &volume) {
            return leave_out("overlay", &why);
        }
        for round in 0..2 {
            let folder = volume.join("project");
            let outcome = scene.install(&folder, &volume.join("cache"), &["--io", engine]);
            outcome.assert_quiet_success();
            let tree = Tree::read(&folder.join("node_modules"));
            let differences = tree.differences(&scene.expected, ["installed", "expected"]);
            assert_eq!(differences, [""; 0], "{engine}, round {round}");
        }
        mounts.unmount(&volume);
    }
}

/// Runs a bench with a folder that is too small for it.
fn bench_without_room(option: &str, others: &[&str], contender: &str) {
    let project = several();
    let small = project.temp().join("small");
    let mut mounts = Mounts::default();
    if let Err(why) = mounts.memory(&small) {
        return leave_out("tmpfs", &why);
    }
    let (path, registry) = (project.path(), project.registry_arguments());
    let [path, at] = [&path, &small].map(|path| path.to_str().unwrap());
    let mut words = vec!["bench", "-C", path, option, at, "--against", "none", "--rounds", "1"];
    words.extend(others);
    words.extend(registry.iter().map(String::as_str));
    let outcome = project.ringstall(&words);
    outcome.assert_success();
    assert!(outcome.stdout.contains("| contender | phase |"), "{}", outcome.stdout);
    for (phase, fault) in [("p3", "only "), ("p4", "its warm-up failed: only ")] {
        let fault = format!("Not counted: {phase}, round 0, {contender}: {fault}");
        assert!(outcome.stdout.contains(&fault), "{}", outcome.stdout);
    }
    words.push("--strict");
    assert_eq!(project.ringstall(&words).code, Some(1));
}

#[test]
fn a_bench_without_room_for_a_run_says_so_in_its_tables() {
    bench_without_room("--work", &[], "ringstall");
}

#[test]
fn a_bench_without_room_for_what_an_image_takes_says_so() {
    let others = ["--matrix", "fs=ext4", "--image-size", "1"];
    bench_without_room("--images", &others, "ringstall on ext4");
}
