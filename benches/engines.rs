//! One engine against the other, for each class of file operations on one filesystem.
//!
//!     cargo bench --bench engines -- [DIRECTORY] [FILES] [ROUNDS]
//!
//! Everything goes through the queue that an installation uses, and is shared out to workers as
//! there. Engines are interleaved, each round in a new folder; what was made is removed after all
//! rounds, as some filesystems are slow to hand out inodes that were freed a short while ago.
//! Shown are the least and the median wall time and the median of voluntary and involuntary
//! switches, those of the kernel's workers included. Without arguments it is a short trial in the
//! folder for temporary files; numbers worth keeping take 100,000 files and 7 rounds.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "its numbers are what it is for")]

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringstall::backend::{
    At, Base, Bases, Class, FileEngine, FileEngines, FileQueue, LinkMode, Operation, Placement,
    schedule_in_batches, usage,
};

/// The median of ant-design's tree is less than this, the mean 12 KB.
const FILE_BYTES: usize = 4096;
const FILES_A_FOLDER: usize = 10;

struct Sample {
    wall: Duration,
    voluntary: u64,
    involuntary: u64,
}

fn main() {
    // `cargo bench` adds an option of its own.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let number =
        |index: usize, default| arguments.get(index).map_or(default, |text| text.parse().unwrap());
    let directory = arguments.first().map_or_else(std::env::temp_dir, PathBuf::from);
    let (files, rounds) = (number(1, 1000), number(2, 3));
    // The scheduler's help is welcome and not needed.
    let _ = schedule_in_batches();
    let mut engines = [(0, FileEngine::Threads), (1, FileEngine::Ring)];
    let mut results = Vec::new();
    let mut made = Vec::new();
    for _ in 0..rounds {
        for (column, engine) in engines {
            let Some(round) = Round::start(&directory, engine, files) else { continue };
            for class in ORDER {
                results.push((class, column, round.measure(class)));
            }
            made.push((column, round));
        }
        engines.reverse();
    }
    for (column, round) in made {
        results.push((Class::Remove, column, round.measure(Class::Remove)));
    }
    println!("{files} files a class in {}, {rounds} rounds", directory.display());
    println!("{:8} {:>32} {:>32}", "", "threads: ms, switches", "ring: ms, switches");
    for class in Class::ALL {
        let [threads, ring] = [0, 1].map(|column| {
            let of_it =
                |(its, at, _): &&(Class, usize, Option<Sample>)| *its == class && *at == column;
            let samples = results.iter().filter(of_it).filter_map(|(.., sample)| sample.as_ref());
            summary(&samples.collect::<Vec<_>>())
        });
        println!("{class:8} {threads:>32} {ring:>32}");
    }
}

fn summary(samples: &[&Sample]) -> String {
    if samples.is_empty() {
        return "refused".to_owned();
    }
    let sorted = |value: fn(&Sample) -> u64| {
        let mut values: Vec<_> = samples.iter().map(|sample| value(sample)).collect();
        values.sort_unstable();
        values
    };
    let micros = sorted(|sample| u64::try_from(sample.wall.as_micros()).unwrap());
    let middle = samples.len() / 2;
    format!(
        "{}.{}/{}.{} {}/{}",
        micros[0] / 1000,
        micros[0] / 100 % 10,
        micros[middle] / 1000,
        micros[middle] / 100 % 10,
        sorted(|sample| sample.voluntary)[middle],
        sorted(|sample| sample.involuntary)[middle],
    )
}

/// All classes once on one engine, in a folder of its own.
struct Round {
    bases: Bases,
    engines: FileEngines,
    files: usize,
    _folder: tempfile::TempDir,
}

impl Round {
    /// `None` where the engine cannot be had.
    fn start(directory: &Path, engine: FileEngine, files: usize) -> Option<Self> {
        let folder = tempfile::tempdir_in(directory).unwrap();
        let [cache, project] = ["cache", "project"].map(|name| folder.path().join(name));
        for number in 0..files.div_ceil(FILES_A_FOLDER) {
            fs::create_dir_all(cache.join(number.to_string())).unwrap();
            for kind in ["clone", "copy", "links"] {
                fs::create_dir_all(project.join(format!("{kind}/{number}"))).unwrap();
            }
        }
        let bases = Bases::open(&cache, &project).unwrap();
        let engines = FileEngines::new(engine, &bases).ok()?;
        Some(Self { bases, engines, files, _folder: folder })
    }

    /// `None` where the filesystem or the kernel refuses it.
    fn measure(&self, class: Class) -> Option<Sample> {
        let folders = 0..self.files.div_ceil(FILES_A_FOLDER);
        let operations: Vec<_> = match class {
            Class::Remove => folders.map(remove).collect(),
            Class::MakeDirectory => folders.flat_map(make).collect(),
            class => (0..self.files).map(|number| operation(class, number)).collect(),
        };
        measure(&self.bases, &self.engines, class, &operations)
    }
}

/// As they need each other.
const ORDER: [Class; 7] = [
    Class::MakeDirectory,
    Class::WriteFile,
    Class::HardLink,
    Class::Clone,
    Class::Copy,
    Class::MakeSymlink,
    Class::Rename,
];

fn at(base: Base, path: String) -> At {
    At::new(base, path).unwrap()
}

/// A package's folder and some in it.
fn make(folder: usize) -> Vec<Operation> {
    let path = |below: &str| at(Base::Project, format!("link/{folder}{below}"));
    ["", "/lib", "/lib/a", "/lib/b"]
        .map(|below| Operation::MakeDirectory { at: path(below), mode: 0o755 })
        .into()
}

fn remove(folder: usize) -> Operation {
    Operation::Remove { at: at(Base::Project, format!("link/{folder}")) }
}

fn operation(class: Class, number: usize) -> Operation {
    let path = format!("{}/{number}", number / FILES_A_FOLDER);
    let below = |folder: &str| at(Base::Project, format!("{folder}/{path}"));
    let place = |folder, mode| Operation::PlaceFile {
        source: at(Base::Cache, path.clone()),
        target: below(folder),
        mode: 0o644,
        placement: Placement::new(mode),
    };
    match class {
        Class::WriteFile => Operation::WriteFile {
            at: at(Base::Cache, path),
            mode: 0o644,
            bytes: Bytes::from_static(&[b'x'; FILE_BYTES]),
        },
        Class::HardLink => place("link", LinkMode::HardLink),
        Class::Clone => place("clone", LinkMode::Clone),
        Class::Copy => place("copy", LinkMode::Copy),
        Class::MakeSymlink => Operation::MakeSymlink {
            target: CString::new("../target").unwrap(),
            at: below("links"),
        },
        Class::Rename => Operation::MoveAside {
            from: below("links"),
            to: at(Base::Project, format!("links/{path}.old")),
        },
        Class::MakeDirectory | Class::Remove => unreachable!("these are made by folder"),
    }
}

/// As the installer shares them out: in equal parts, to as many workers as the engine wants.
fn measure(
    bases: &Bases,
    engines: &FileEngines,
    class: Class,
    operations: &[Operation],
) -> Option<Sample> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let submitters = engines.submitters(class, Base::Project, workers);
    // A clone of what is not on the disk yet has to wait until it is.
    rustix::fs::sync();
    let (before, start) = (usage(), Instant::now());
    let carry_out = |part: &[Operation]| {
        let mut queue = FileQueue::new(bases.clone(), engines.clone(), workers);
        let pushed = part.iter().try_for_each(|operation| queue.push(operation.clone()));
        let finished = queue.finish();
        pushed.and(finished).is_ok()
    };
    let is_done = std::thread::scope(|scope| {
        let parts = operations.chunks(operations.len().div_ceil(submitters));
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || carry_out(part))).collect();
        threads.into_iter().all(|thread| thread.join().unwrap())
    });
    let (wall, after) = (start.elapsed(), usage());
    is_done.then(|| Sample {
        wall,
        voluntary: after.voluntary_switches - before.voluntary_switches,
        involuntary: after.involuntary_switches - before.involuntary_switches,
    })
}
