//! What every operation of the seam does, on both engines.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::io::Errno;

use super::testing::tell_not_run;
use super::{
    At, Base, Bases, Engine, Failure, FileQueue, LinkMode, Operation, Placement, PlacementMode,
    engines_to_test,
};

struct Fixture {
    temp: tempfile::TempDir,
    queue: FileQueue,
    bases: Bases,
}

/// Runs a test once on each engine, each time with an empty cache and project.
fn on_each_engine(test: impl Fn(&mut Fixture)) {
    on_each_engine_between(|temp| (temp.join("cache"), temp.join("project")), test);
}

fn on_each_engine_between(
    folders: impl Fn(&Path) -> (PathBuf, PathBuf),
    test: impl Fn(&mut Fixture),
) {
    let mut number = 0;
    loop {
        let temp = tempfile::tempdir().unwrap();
        let (cache, project) = folders(temp.path());
        fs::create_dir_all(&cache).unwrap();
        fs::create_dir_all(&project).unwrap();
        let bases = Bases::open(&cache, &project).unwrap();
        let mut engines = engines_to_test(&bases);
        if number == engines.len() {
            return;
        }
        let queue = FileQueue::new(bases.clone(), engines.swap_remove(number), 1);
        test(&mut Fixture { temp, queue, bases });
        number += 1;
    }
}

fn cache(path: &str) -> At {
    At::new(Base::Cache, path).unwrap()
}

fn project(path: &str) -> At {
    At::new(Base::Project, path).unwrap()
}

fn make(path: &str, mode: u32) -> Operation {
    Operation::MakeDirectory { at: project(path), mode }
}

fn write(at: At, mode: u32, content: &'static str) -> Operation {
    Operation::WriteFile { at, mode, bytes: Bytes::from_static(content.as_bytes()) }
}

fn place(source: &str, target: &str, placement: &Placement) -> Operation {
    let (source, target, placement) = (cache(source), project(target), placement.clone());
    Operation::PlaceFile { source, target, mode: 0o755, placement }
}

fn link(target: &str, at: &str) -> Operation {
    Operation::MakeSymlink { target: CString::new(target).unwrap(), at: project(at) }
}

impl Fixture {
    /// Pushes all and finishes; the first failure.
    fn try_all(&mut self, operations: Vec<Operation>) -> Result<(), Failure> {
        let pushed = operations.into_iter().try_for_each(|one| self.queue.push(one));
        let finished = self.queue.finish();
        pushed.and(finished).map_err(|failure| *failure)
    }

    fn run(&mut self, operations: Vec<Operation>) {
        self.try_all(operations).unwrap();
    }

    /// The errno of the one operation, and that it comes back with it.
    #[track_caller]
    fn errno(&mut self, operation: Operation) -> Errno {
        let expected = format!("{operation:?}");
        let failure = self.try_all(vec![operation]).unwrap_err();
        assert_eq!(format!("{:?}", failure.operation.unwrap()), expected);
        Errno::from_io_error(&failure.source).unwrap()
    }

    fn path(&self, at: &At) -> PathBuf {
        self.bases.path(at)
    }

    fn mode(&self, path: &str) -> u32 {
        let metadata = fs::symlink_metadata(self.path(&project(path))).unwrap();
        metadata.permissions().mode() & 0o777
    }

    fn inode(&self, at: &At) -> u64 {
        fs::symlink_metadata(self.path(at)).unwrap().ino()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(&project(path))).unwrap()
    }
}

#[test]
fn directories_are_made_with_the_parents_that_are_missing() {
    on_each_engine(|fixture| {
        let deep = make("a/@s/b/node_modules/c", 0o700);
        fixture.run(vec![deep, make("a/@s/b/lib", 0o755), make("z", 0o755)]);
        assert_eq!(fixture.mode("a/@s/b/node_modules/c"), 0o700);
        assert!(fixture.path(&project("a/@s/b/lib")).is_dir());
        assert!(fixture.path(&project("z")).is_dir());
    });
}

#[test]
fn a_directory_that_is_there_is_kept() {
    on_each_engine(|fixture| {
        fixture.run(vec![make("a/b", 0o700)]);
        fs::write(fixture.path(&project("a/b/kept")), "").unwrap();
        fixture.run(vec![make("a/b", 0o755), make("a", 0o755)]);
        assert_eq!(fixture.mode("a/b"), 0o700);
        assert!(fixture.path(&project("a/b/kept")).exists());
    });
}

#[test]
fn a_link_in_the_place_of_a_directory_is_an_error() {
    on_each_engine(|fixture| {
        let elsewhere = fixture.temp.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, fixture.path(&project("a"))).unwrap();
        assert_eq!(fixture.errno(make("a", 0o755)), Errno::NOTDIR);
        assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
    });
}

#[test]
fn what_lies_below_a_directory_comes_after_it() {
    on_each_engine(|fixture| {
        let mut operations = Vec::new();
        for number in 0..300 {
            operations.push(make(&format!("p{number}/lib/x"), 0o755));
            let at = project(&format!("p{number}/lib/x/file"));
            operations.push(write(at, 0o644, "content"));
        }
        fixture.run(operations);
        for number in 0..300 {
            assert_eq!(fixture.read(&format!("p{number}/lib/x/file")), "content");
        }
    });
}

#[test]
fn a_file_is_written_once_and_never_over_another() {
    on_each_engine(|fixture| {
        fixture.run(vec![write(project("a"), 0o600, "first"), write(project("e"), 0o600, "")]);
        assert_eq!((fixture.mode("a"), fixture.read("a").as_str()), (0o600, "first"));
        assert_eq!(fixture.read("e"), "");
        assert_eq!(fixture.errno(write(project("a"), 0o600, "second")), Errno::EXIST);
        assert_eq!(fixture.read("a"), "first");
        assert_eq!(fixture.errno(write(project("no/x"), 0o600, "")), Errno::NOENT);
    });
}

#[test]
fn files_are_placed_as_asked_for() {
    on_each_engine(|fixture| {
        fixture.run(vec![write(cache("f"), 0o644, "content")]);
        let linked = place("f", "linked", &Placement::new(LinkMode::HardLink));
        let private = place("f", "private", &Placement::new(LinkMode::Auto).private());
        let copied = place("f", "copied", &Placement::new(LinkMode::Copy));
        fixture.run(vec![linked, private, copied]);
        let source = fixture.inode(&cache("f"));
        let is_shared = |path| fixture.inode(&project(path)) == source;
        assert_eq!(["linked", "private", "copied"].map(is_shared), [true, false, false]);
        for path in ["linked", "private", "copied"] {
            assert_eq!(fixture.read(path), "content");
        }
        // The umask decides about the rest.
        assert_eq!(
            (fixture.mode("copied") & 0o700, fixture.mode("linked") & 0o700),
            (0o700, 0o600)
        );
    });
}

#[test]
fn a_clone_is_one_or_an_error_and_leaves_nothing_behind() {
    on_each_engine(|fixture| {
        fixture.run(vec![write(cache("f"), 0o644, "content")]);
        let placement = Placement::new(LinkMode::Clone);
        match fixture.try_all(vec![place("f", "a", &placement)]) {
            Ok(()) => assert_eq!(fixture.read("a"), "content"),
            Err(failure) => {
                assert!(matches!(failure.operation, Some(Operation::PlaceFile { .. })));
                assert!(!fixture.path(&project("a")).exists());
            }
        }
    });
}

#[test]
fn a_place_that_is_taken_or_a_source_that_is_gone_is_an_error_in_every_mode() {
    on_each_engine(|fixture| {
        fixture.run(vec![write(cache("f"), 0o644, "f"), write(project("taken"), 0o644, "kept")]);
        for mode in [LinkMode::Auto, LinkMode::HardLink, LinkMode::Clone, LinkMode::Copy] {
            let placement = Placement::new(mode);
            assert_eq!(fixture.errno(place("f", "taken", &placement)), Errno::EXIST);
            assert_eq!(fixture.errno(place("none", "new", &placement)), Errno::NOENT);
            assert_eq!(fixture.read("taken"), "kept");
            assert!(!fixture.path(&project("new")).exists());
        }
    });
}

/// Two folders on different filesystems, where the machine has them.
fn on_each_engine_between_filesystems(test: impl Fn(&mut Fixture)) {
    let memory = tempfile::tempdir_in("/dev/shm");
    let memory = match memory {
        Ok(memory) => memory,
        Err(error) => return tell_not_run("files across filesystems", &error),
    };
    let cache = memory.path().to_owned();
    let number = std::cell::Cell::new(0);
    let folders = |temp: &Path| {
        number.set(number.get() + 1);
        (cache.join(number.get().to_string()), temp.join("project"))
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    on_each_engine_between(folders, |fixture| {
        if device(&fixture.path(&cache_root())) == device(fixture.temp.path()) {
            tell_not_run("files across filesystems", &"there is one filesystem only");
        } else {
            test(fixture);
        }
    });
}

fn cache_root() -> At {
    cache(".")
}

#[test]
fn between_filesystems_auto_copies_and_holds_to_it() {
    on_each_engine_between_filesystems(|fixture| {
        let placement = Placement::new(LinkMode::Auto);
        fixture.run((0..200).map(|n| write(cache(&format!("f{n}")), 0o644, "x")).collect());
        let places = |n: u32| place(&format!("f{n}"), &format!("t{n}"), &placement);
        fixture.run((0..200).map(places).collect());
        assert_eq!(placement.mode(), PlacementMode::Copy);
        for number in 0..200 {
            assert_eq!(fixture.read(&format!("t{number}")), "x");
        }
    });
}

#[test]
fn between_filesystems_a_hard_link_that_was_asked_for_is_an_error() {
    on_each_engine_between_filesystems(|fixture| {
        fixture.run(vec![write(cache("f"), 0o644, "x")]);
        let placement = Placement::new(LinkMode::HardLink);
        assert_eq!(fixture.errno(place("f", "t", &placement)), Errno::XDEV);
        assert!(!fixture.path(&project("t")).exists());
    });
}

/// ext4 allows 65,000 names of an inode; where more are allowed, all are made.
#[test]
fn an_inode_with_all_the_names_that_it_can_have_is_copied() {
    on_each_engine(|fixture| {
        const NAMES: u32 = 65_100;
        fixture.run(vec![write(cache("f"), 0o644, "x")]);
        let placement = Placement::new(LinkMode::Auto);
        fixture.run((0..NAMES).map(|n| place("f", &format!("t{n}"), &placement)).collect());
        assert_eq!(placement.mode(), PlacementMode::HardLink);
        let source = fs::metadata(fixture.path(&cache("f"))).unwrap();
        let is_linked = |n: &u32| fixture.inode(&project(&format!("t{n}"))) == source.ino();
        assert_eq!((0..NAMES).filter(is_linked).count() as u64, source.nlink() - 1);
        assert!((0..NAMES).all(|n| fs::metadata(fixture.path(&project(&format!("t{n}")))).is_ok()));
    });
}

#[test]
fn a_symbolic_link_replaces_what_is_there_and_makes_its_parents() {
    on_each_engine(|fixture| {
        fixture.run(vec![make("b/full", 0o755), write(project("f"), 0o644, "x")]);
        symlink("old", fixture.path(&project("l"))).unwrap();
        let links = ["a/@s/new", "l", "f", "b"];
        fixture.run(links.map(|at| link("../target", at)).into());
        for at in links {
            let target = fs::read_link(fixture.path(&project(at))).unwrap();
            assert_eq!(target, Path::new("../target"), "{at}");
        }
    });
}

#[test]
fn what_is_moved_aside_never_goes_over_a_directory_that_is_not_empty() {
    on_each_engine(|fixture| {
        fixture.run(vec![make("from/sub", 0o755), make("full/sub", 0o755), make("empty", 0o755)]);
        let move_to = |to| Operation::MoveAside { from: project("from"), to: project(to) };
        let errno = fixture.errno(move_to("full"));
        assert!([Errno::NOTEMPTY, Errno::EXIST].contains(&errno), "{errno}");
        assert_eq!(fixture.errno(move_to("no/such")), Errno::NOENT);
        fixture.run(vec![move_to("empty")]);
        assert!(fixture.path(&project("empty/sub")).is_dir());
        assert!(!fixture.path(&project("from")).exists());
    });
}

#[test]
fn a_removal_takes_whole_trees_follows_no_link_and_misses_nothing() {
    on_each_engine(|fixture| {
        let kept = fixture.temp.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        let mut operations = vec![make("t/empty", 0o755), make("t/a/b/c/d", 0o755)];
        let files = (0..500).map(|n| write(project(&format!("t/a/b/c/{n}")), 0o444, ""));
        operations.extend(files);
        operations.push(write(project("f"), 0o644, ""));
        fixture.run(operations);
        symlink(&kept, fixture.path(&project("t/a/up"))).unwrap();
        symlink(&kept, fixture.path(&project("l"))).unwrap();
        let paths = ["t", "f", "l", "none", "no/such"];
        fixture.run(paths.map(|path| Operation::Remove { at: project(path) }).into());
        assert_eq!(fs::read_dir(fixture.path(&project("."))).unwrap().count(), 0);
        assert!(kept.join("file").exists());
    });
}

#[test]
fn the_tally_names_the_engine() {
    on_each_engine(|fixture| {
        let engines = fixture.queue.engines().clone();
        let is_ring = engines.engine(super::Class::WriteFile, Base::Project) == Engine::Ring;
        fixture.run((0..10).map(|n| write(project(&n.to_string()), 0o644, "x")).collect());
        let empty = FileQueue::plain(fixture.bases.clone());
        drop(std::mem::replace(&mut fixture.queue, empty));
        let done = *engines.tally().of(super::Class::WriteFile);
        let expected = if is_ring { (0, 10, 30) } else { (10, 0, 0) };
        assert_eq!((done.plain, done.on_ring, done.counts.submissions), expected);
    });
}
