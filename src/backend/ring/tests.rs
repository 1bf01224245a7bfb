//! Opcodes that are refused: each operation ends as with plain calls, and its class goes on by
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ringstall_linux::FileOptions;

use super::RingQueue;
use crate::backend::engines::{Class, Tally};
use crate::backend::testing::tell_no_ring;
use crate::backend::{At, BATCH_DEFAULT, Base, Bases, LinkMode, Operation, Placement, threads};

/// `IORING_OP_*`, by the classes that need them.
const OPCODES: [(u8, &[Class]); 9] = [
    (18, &[Class::WriteFile, Class::Copy]),
    // A close of a slot; those of descriptors fail in silence, which is not seen here.
    (19, &[Class::WriteFile]),
    (23, &[Class::WriteFile]),
    (35, &[Class::Rename]),
    (36, &[Class::Remove]),
    (37, &[Class::MakeDirectory]),
    (38, &[Class::MakeSymlink]),
    (39, &[Class::HardLink]),
    (0, &[]),
];

fn had(ring: std::io::Result<RingQueue>) -> Option<RingQueue> {
    ring.inspect_err(|error| tell_no_ring("a refused opcode", error)).ok()
}

fn at(path: &str) -> At {
    At::new(Base::Project, path).unwrap()
}

/// One or more of each, in steps that need each other.
fn steps() -> Vec<Vec<Operation>> {
    let placed = |target: &str, mode| {
        let placement = Placement::new(mode);
        let source = At::new(Base::Cache, "source").unwrap();
        Operation::PlaceFile { source, target: at(target), mode: 0o755, placement }
    };
    let write = |path: String| {
        let bytes = bytes::Bytes::from(vec![7; 5000]);
        Operation::WriteFile { at: at(&path), mode: 0o644, bytes }
    };
    let make = |path: &str| Operation::MakeDirectory { at: at(path), mode: 0o755 };
    let target = std::ffi::CString::new("a").unwrap();
    let mut second: Vec<_> = (0..20).map(|number| write(format!("a/b/f{number}"))).collect();
    second.extend((0..20).map(|number| placed(&format!("a/l{number}"), LinkMode::HardLink)));
    second.extend((0..20).map(|number| placed(&format!("a/c{number}"), LinkMode::Copy)));
    second.push(Operation::MakeSymlink { target, at: at("symlink") });
    vec![
        vec![make("a"), make("a/b"), make("a/b/c"), make("d")],
        second,
        vec![
            Operation::MoveAside { from: at("d"), to: at("renamed") },
            Operation::Remove { at: at("a/b/f0") },
            Operation::Remove { at: at("a/b/c") },
        ],
    ]
}

/// Path to mode, size and number of names.
fn tree(root: &Path) -> BTreeMap<String, (u32, u64, u64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let size = if metadata.is_dir() { 0 } else { metadata.size() };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.insert(name, (metadata.mode(), size, metadata.nlink()));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// A cache with one file, and an empty project.
fn bases(root: &Path) -> Bases {
    for folder in ["cache", "project"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::write(root.join("cache/source"), "source").unwrap();
    Bases::open(&root.join("cache"), &root.join("project")).unwrap()
}

#[test]
fn a_refused_opcode_changes_nothing_but_the_engine_of_its_class() {
    let plain = tempfile::tempdir().unwrap();
    let plain_bases = bases(plain.path());
    for operation in steps().iter().flatten() {
        threads::carry_out(&plain_bases, operation).unwrap();
    }
    for (refused, classes) in OPCODES {
        let temp = tempfile::tempdir().unwrap();
        let options = FileOptions {
            in_flight_max: 64,
            workers_max: 2,
            writes_max: 8,
            duplicates_max: 4,
            opcodes_allowed: Some((0..60).filter(|opcode| *opcode != refused).collect()),
        };
        let ring = RingQueue::with_options(&bases(temp.path()), &options);
        let Some(mut ring) = had(ring) else { return };
        let mut tally = Tally::default();
        for step in steps() {
            let mut last = Class::MakeDirectory;
            for operation in step {
                last = operation.class();
                ring.push(operation, last, &mut tally).unwrap();
            }
            ring.finish(last, &mut tally).unwrap();
        }
        let project = |root: &Path| tree(&root.join("project"));
        assert_eq!(project(temp.path()), project(plain.path()), "opcode {refused}");
        let given_up: Vec<_> =
            Class::ALL.into_iter().filter(|class| ring.is_refused(*class)).collect();
        assert_eq!(given_up, classes, "opcode {refused}");
        assert_eq!(ring.refusal().is_some(), !classes.is_empty(), "opcode {refused}");
        for class in classes {
            assert!(tally.of(*class).plain > 0, "{class} without opcode {refused}");
        }
    }
}

#[test]
fn an_operation_that_plain_calls_refuse_as_well_is_an_error_and_no_refusal() {
    let temp = tempfile::tempdir().unwrap();
    let Some(mut ring) = had(RingQueue::new(&bases(temp.path()), 1, BATCH_DEFAULT)) else { return };
    let mut tally = Tally::default();
    let operation = Operation::MoveAside { from: at("none"), to: at("x") };
    ring.push(operation, Class::Rename, &mut tally).unwrap();
    let failure = ring.finish(Class::Rename, &mut tally).unwrap_err();
    assert!(matches!(failure.operation, Some(Operation::MoveAside { .. })));
    assert_eq!(failure.source.raw_os_error(), Some(rustix::io::Errno::NOENT.raw_os_error()));
    assert!(Class::ALL.into_iter().all(|class| !ring.is_refused(class)));
}

#[test]
fn no_more_operations_are_in_flight_than_the_batch_has() {
    let temp = tempfile::tempdir().unwrap();
    let Some(mut ring) = had(RingQueue::new(&bases(temp.path()), 1, 16)) else { return };
    let mut tally = Tally::default();
    for number in 0..100 {
        let target = std::ffi::CString::new("a").unwrap();
        let operation = Operation::MakeSymlink { target, at: at(&format!("s{number}")) };
        ring.push(operation, Class::MakeSymlink, &mut tally).unwrap();
    }
    ring.finish(Class::MakeSymlink, &mut tally).unwrap();
    let counts = tally.of(Class::MakeSymlink).counts;
    assert_eq!((counts.submissions, counts.batch_max), (100, 16));
    assert_eq!(fs::read_dir(temp.path().join("project")).unwrap().count(), 100);
}
