//! What a [`FileRing`] does, held against plain system calls.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicPtr, Ordering};

use bytes::Bytes;
use io_uring::{opcode, types};
use rustix::fs::{Mode, OFlags};

use super::*;
use crate::operation::{At, Fill};
use crate::testing::needs_ring;

const OPTIONS: FileOptions = FileOptions {
    in_flight_max: 64,
    workers_max: 2,
    writes_max: 8,
    duplicates_max: 4,
    opcodes_allowed: None,
};

struct Fixture {
    temp: tempfile::TempDir,
    ring: FileRing<u32>,
}

fn fixture(options: &FileOptions) -> Fixture {
    let temp = tempfile::tempdir().unwrap();
    let ring = FileRing::new(options, vec![open(temp.path())]).unwrap();
    Fixture { temp, ring }
}

fn open(path: &Path) -> Arc<OwnedFd> {
    Arc::new(rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap())
}

fn at(path: &str) -> At {
    At { directory: 0, path: CString::new(path).unwrap() }
}

fn write(path: &str, bytes: impl Into<Bytes>) -> FileOperation {
    FileOperation::WriteFile { at: at(path), mode: 0o640, bytes: bytes.into() }
}

impl Fixture {
    fn path(&self, path: &str) -> std::path::PathBuf {
        self.temp.path().join(path)
    }

    /// Carries them out together; the numbers, steps and errors of those that failed.
    fn run(&mut self, operations: Vec<FileOperation>) -> Vec<(u32, Step, i32)> {
        for (operation, number) in operations.into_iter().zip(0..) {
            self.ring.push(operation, number).unwrap();
        }
        self.ring.finish().unwrap();
        let failures = std::iter::from_fn(|| self.ring.take_failure());
        failures
            .map(|failed| (failed.tag, failed.step, failed.error.raw_os_error().unwrap_or(0)))
            .collect()
    }
}

#[test]
fn each_operation_does_what_its_call_does() {
    needs_ring!();
    let mut fixture = fixture(&OPTIONS);
    let make = FileOperation::MakeDirectory { at: at("d"), mode: 0o750 };
    assert_eq!(fixture.run(vec![make]), []);
    let symlink = FileOperation::Symlink { target: CString::new("d/a").unwrap(), at: at("s") };
    let writes = vec![write("d/a", "content"), write("d/empty", ""), symlink, write("gone", "x")];
    assert_eq!(fixture.run(writes), []);
    let copy = FileOperation::Duplicate {
        source: at("d/a"),
        target: at("c"),
        mode: 0o755,
        fill: Fill::Copy,
    };
    let others = vec![
        FileOperation::Link { source: at("d/a"), target: at("l") },
        FileOperation::Rename { from: at("d/empty"), to: at("r") },
        FileOperation::RemoveFile { at: at("gone") },
        copy,
    ];
    assert_eq!(fixture.run(others), []);
    let mode = |path| fs::metadata(fixture.path(path)).unwrap().permissions().mode() & 0o777;
    let plain_mode = |mode: u32| {
        let plain = fixture.path(&format!("plain{mode}"));
        fs::OpenOptions::new().write(true).create(true).mode(mode).open(&plain).unwrap();
        fs::metadata(plain).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(
        (mode("d"), mode("d/a"), mode("c")),
        (plain_mode(0o750), plain_mode(0o640), plain_mode(0o755))
    );
    for path in ["d/a", "l", "c", "s"] {
        assert_eq!(fs::read(fixture.path(path)).unwrap(), b"content");
    }
    let inode = |path| fs::metadata(fixture.path(path)).unwrap().ino();
    assert_eq!(inode("l"), inode("d/a"));
    assert_ne!(inode("c"), inode("d/a"));
    assert!(fixture.path("r").exists() && !fixture.path("gone").exists());
    let removals = vec![
        FileOperation::RemoveFile { at: at("d/a") },
        FileOperation::RemoveDirectory { at: at("nothing") },
    ];
    assert_eq!(fixture.run(removals), [(1, Step::Whole, libc::ENOENT)]);
    assert_eq!(fixture.run(vec![FileOperation::RemoveDirectory { at: at("d") }]), []);
}

#[test]
fn more_than_fits_waits_for_what_is_in_flight() {
    needs_ring!();
    let mut fixture = fixture(&OPTIONS);
    let names: Vec<_> = (0..3000).map(|number| format!("f{number}")).collect();
    let writes = names.iter().map(|name| write(name, name.clone())).collect();
    assert_eq!(fixture.run(writes), []);
    for name in &names {
        assert_eq!(fs::read(fixture.path(name)).unwrap(), name.as_bytes());
    }
    assert_eq!(fixture.ring.take_counts().submissions, 9000);
}

#[test]
fn the_part_of_a_write_that_failed_is_named_and_its_slot_is_free_again() {
    needs_ring!();
    let mut fixture = fixture(&OPTIONS);
    fs::write(fixture.path("taken"), "old").unwrap();
    let mut operations = vec![write("taken", "new"), write("no/such", "x")];
    operations.extend((0..40).map(|number| write(&format!("f{number}"), "x")));
    let failures = fixture.run(operations);
    let expected = [(0, Step::Open, libc::EEXIST), (1, Step::Open, libc::ENOENT)];
    assert_eq!(failures, expected);
    assert_eq!(fs::read(fixture.path("taken")).unwrap(), b"old");
    assert_eq!(fixture.run((0..40).map(|n| write(&format!("g{n}"), "x")).collect()), []);
}

#[test]
fn a_short_write_is_finished() {
    needs_ring!();
    let mut fixture = fixture(&OPTIONS);
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    // The file after a write that the kernel has ended early: open, and with the first bytes.
    let path = CString::new("f").unwrap();
    let directory = types::Fd(fixture.ring.directories[0].as_raw_fd());
    let open = opcode::OpenAt::new(directory, path.as_ptr())
        .flags(libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)
        .mode(0o600)
        .file_index(types::DestinationSlot::try_from_slot_target(0).ok())
        .build();
    let flight = Flight {
        operation: write("f", bytes.clone()),
        tag: 0,
        state: State::Writing { slot: 0, written: 0 },
        first_entry: 0,
    };
    let id = fixture.ring.flights.insert(flight);
    fixture.ring.free_slots.retain(|slot| *slot != 0);
    // SAFETY: the path lives until the completion is seen, which is before the end of this test.
    unsafe { fixture.ring.ring.push(&[open.user_data(0)]) }.unwrap();
    fixture.ring.ring.wait(&Wait { completions: 1, ..Wait::default() }).unwrap();
    assert_eq!(fixture.ring.ring.completion().map(|done| done.result), Some(0));
    fs::write(fixture.path("f"), &bytes[..1000]).unwrap();
    fixture.ring.awaited += 1;
    fixture.ring.take(id, Step::Write, 1000);
    fixture.ring.finish().unwrap();
    assert!(fixture.ring.flights.is_empty() && fixture.ring.take_failure().is_none());
    assert_eq!(fs::read(fixture.path("f")).unwrap(), bytes);
}

#[test]
fn a_refused_part_of_a_chain_leaves_nothing_behind() {
    needs_ring!();
    for refused in [opcode::OpenAt::CODE, opcode::Write::CODE, opcode::Close::CODE] {
        let allowed = (0..60).filter(|code| *code != refused).collect();
        let options = FileOptions { opcodes_allowed: Some(allowed), ..OPTIONS };
        let mut fixture = fixture(&options);
        let failures = fixture.run((0..20).map(|n| write(&format!("f{n}"), "x")).collect());
        assert_eq!(failures.len(), 20, "{refused}");
        // An entry that is refused before it starts takes its whole chain with it.
        let expected = if refused == opcode::OpenAt::CODE { libc::EACCES } else { libc::ECANCELED };
        assert!(failures.iter().all(|(_, _, errno)| *errno == expected), "{failures:?}");
        assert_eq!(fs::read_dir(fixture.temp.path()).unwrap().count(), 0, "{refused}");
    }
}

#[test]
fn duplicates_fail_alike_and_close_what_they_opened() {
    needs_ring!();
    let mut fixture = fixture(&OPTIONS);
    fs::write(fixture.path("a"), "a").unwrap();
    let duplicate = |source: &str, target: &str| FileOperation::Duplicate {
        source: at(source),
        target: at(target),
        mode: 0o644,
        fill: Fill::Copy,
    };
    let count_open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut operations = vec![duplicate("none", "x"), duplicate("a", "no/such")];
    operations.extend((0..30).map(|number| duplicate("a", &format!("c{number}"))));
    let before = count_open();
    let failures = fixture.run(operations);
    assert_eq!(failures, [(0, Step::OpenSource, libc::ENOENT), (1, Step::Open, libc::ENOENT)]);
    // Other tests open files as well, but not as many.
    assert!(count_open() < before + 60);
    assert!(!fixture.path("x").exists());
    assert_eq!(fs::read(fixture.path("c29")).unwrap(), b"a");
}

#[test]
fn where_closes_are_refused_descriptors_are_closed_all_the_same() {
    needs_ring!();
    let allowed = (0..60).filter(|code| *code != opcode::Close::CODE).collect();
    let options = FileOptions { opcodes_allowed: Some(allowed), ..OPTIONS };
    let mut fixture = fixture(&options);
    fs::write(fixture.path("a"), "a").unwrap();
    let duplicate = |number| FileOperation::Duplicate {
        source: at("a"),
        target: at(&format!("c{number}")),
        mode: 0o644,
        fill: Fill::Copy,
    };
    assert_eq!(fixture.run((0..200).map(duplicate).collect()), []);
    let ours =
        |path: &Path| fs::read_link(path).is_ok_and(|to| to.starts_with(fixture.temp.path()));
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let left = descriptors.filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        ours(&path) && fs::metadata(&path).is_ok_and(|found| found.is_file())
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn dropping_a_ring_waits_for_what_is_in_flight() {
    needs_ring!();
    let Fixture { temp, mut ring } = fixture(&OPTIONS);
    for number in 0..60 {
        ring.push(write(&format!("f{number}"), vec![7; 10_000]), 0).unwrap();
    }
    drop(ring);
    let whole = fs::read_dir(temp.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().metadata().unwrap().len() == 10_000)
        .count();
    assert_eq!(whole, 60);
}

#[test]
fn a_ring_that_breaks_down_fails_what_it_did_not_take() {
    needs_ring!();
    let mut fixture = fixture(&OPTIONS);
    fs::write(fixture.path("a"), "a").unwrap();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    fixture.ring.ring.break_off();
    for number in 0..60 {
        let make = FileOperation::MakeDirectory { at: at(&format!("d{number}")), mode: 0o700 };
        let copy = FileOperation::Duplicate {
            source: at("a"),
            target: at(&format!("c{number}")),
            mode: 0o600,
            fill: Fill::Copy,
        };
        for operation in [write(&format!("f{number}"), vec![7; 10_000]), make, copy] {
            fixture.ring.push(operation, number).unwrap();
        }
    }
    fixture.ring.finish().unwrap();
    assert!(fixture.ring.breakdown().is_some() && fixture.ring.flights.is_empty());
    let failed: Vec<_> = std::iter::from_fn(|| fixture.ring.take_failure()).collect();
    assert_eq!(failed.len(), 3 * 60);
    for failed in &failed {
        let carried_out = carry_out(fixture.temp.path(), &failed.operation);
        assert!(carried_out.is_ok(), "{failed:?}: {carried_out:?}");
    }
    // Other tests open files as well, but not as many.
    assert!(descriptors() < before + 60);
}

static KEPT: AtomicPtr<FileRing<u32>> = AtomicPtr::new(std::ptr::null_mut());

#[test]
fn a_ring_that_breaks_down_with_operations_in_flight_is_an_error() {
    needs_ring!();
    let mut fixture = fixture(&OPTIONS);
    for number in 0..20 {
        fixture.ring.push(write(&format!("f{number}"), vec![7; 10_000]), number).unwrap();
    }
    fixture.ring.ring.submit().unwrap();
    fixture.ring.ring.break_off();
    let error = fixture.ring.finish().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    assert!(!fixture.ring.flights.is_empty(), "the kernel may still look at them");
    // Dropped, it would leak them; kept, it is no leak to who looks for some.
    KEPT.store(Box::into_raw(Box::new(fixture.ring)), Ordering::Relaxed);
}

/// A small generator of numbers (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    /// Operations that do not concern each other: no name is used twice.
    fn batch(&mut self) -> Vec<FileOperation> {
        let mut names: Vec<_> =
            ["a", "b", "c", "d", "e", "a/x", "b/x", "c/x", "c/y", "d/y"].map(at).into();
        let mut batch = Vec::new();
        while names.len() > 1 {
            let first = names.swap_remove(self.below(names.len()));
            let second = names[self.below(names.len())].clone();
            // A directory and what is in it do concern each other.
            let is_related = |name: &At, other: &At| {
                let (name, other) = (name.path.to_bytes(), other.path.to_bytes());
                name[0] == other[0]
            };
            names.retain(|name| !is_related(name, &first));
            let bytes = vec![b'x'; self.below(3) * 9];
            let pair = names.contains(&second);
            let operation = match self.below(if pair { 8 } else { 5 }) {
                0 => FileOperation::MakeDirectory { at: first, mode: 0o755 },
                1 => FileOperation::WriteFile { at: first, mode: 0o644, bytes: bytes.into() },
                2 => FileOperation::RemoveFile { at: first },
                3 => FileOperation::RemoveDirectory { at: first },
                4 => FileOperation::Symlink { target: CString::new("t").unwrap(), at: first },
                5 => FileOperation::Link { source: first, target: second.clone() },
                6 => FileOperation::Rename { from: first, to: second.clone() },
                _ => FileOperation::Duplicate {
                    source: first,
                    target: second.clone(),
                    mode: 0o600,
                    fill: Fill::Copy,
                },
            };
            if pair {
                names.retain(|name| !is_related(name, &second));
            }
            batch.push(operation);
        }
        batch
    }
}

/// The same by plain calls.
fn carry_out(root: &Path, operation: &FileOperation) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = |at: &At| root.join(at.path.to_str().unwrap());
    let create = |at: &At, mode: u32| {
        fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path(at))
    };
    match operation {
        FileOperation::MakeDirectory { at, mode } => {
            fs::DirBuilder::new().mode(*mode).create(path(at))
        }
        FileOperation::WriteFile { at, mode, bytes } => {
            io::Write::write_all(&mut create(at, *mode)?, bytes)
        }
        FileOperation::Link { source, target } => fs::hard_link(path(source), path(target)),
        FileOperation::Duplicate { source, target, mode, .. } => {
            let mut from = File::open(path(source))?;
            let mut to = create(target, *mode)?;
            io::copy(&mut from, &mut to).map(drop).inspect_err(|_| {
                fs::remove_file(path(target)).unwrap();
            })
        }
        FileOperation::Symlink { target, at } => {
            std::os::unix::fs::symlink(target.to_str().unwrap(), path(at))
        }
        FileOperation::Rename { from, to } => fs::rename(path(from), path(to)),
        FileOperation::RemoveFile { at } => fs::remove_file(path(at)),
        FileOperation::RemoveDirectory { at } => fs::remove_dir(path(at)),
    }
}

fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let content = if metadata.is_file() { fs::read(&path).unwrap().len() } else { 0 };
            found.push(format!("{name} {:o} {content}", metadata.mode()));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_thousand_random_sequences_end_as_with_plain_calls() {
    needs_ring!();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let temp = tempfile::tempdir().unwrap();
    let mut ring = None;
    for sequence in 0..1000 {
        let (ours, plain) = (temp.path().join("ours"), temp.path().join("plain"));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&plain).unwrap();
        // A ring's directories are given to it once, so it is made anew.
        let ring = ring.insert(FileRing::new(&OPTIONS, vec![open(&ours)]).unwrap());
        for _ in 0..6 {
            let batch = random.batch();
            let expected: Vec<_> = (0..)
                .zip(&batch)
                .filter_map(|(number, operation)| {
                    let error = carry_out(&plain, operation).err()?;
                    Some((number, error.raw_os_error().unwrap()))
                })
                .collect();
            for (number, operation) in (0..).zip(&batch) {
                ring.push(operation.clone(), number).unwrap();
            }
            ring.finish().unwrap();
            let mut failures: Vec<_> = std::iter::from_fn(|| ring.take_failure())
                .map(|failed| (failed.tag, failed.error.raw_os_error().unwrap()))
                .collect();
            failures.sort_unstable();
            assert_eq!(failures, expected, "sequence {sequence}: {batch:?}");
            assert_eq!(tree(&ours), tree(&plain), "sequence {sequence}: {batch:?}");
        }
        fs::remove_dir_all(&ours).unwrap();
        fs::remove_dir_all(&plain).unwrap();
    }
}
