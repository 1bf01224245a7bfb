//! One engine against the other, for each class of file operations on one filesystem: folders made,
//! files written, linked, cloned and copied, symbolic links made, renames, and removal.
//!
//! ```console
//! $ cargo bench --bench engines -- [DIRECTORY] [FILES] [ROUNDS]
//! ```
//!
//! Everything goes through the queue that an installation uses, and is shared out to workers as
//! there. Engines take turns, each round in a new folder; what was made is removed after all
//! rounds, as some filesystems are slow to hand out inodes that were freed a short while ago.
//! Shown are the least and the median wall time and the medians of voluntary and involuntary
//! switches, those of the kernel's workers included. Without arguments it is a short trial below
//! `target`; numbers worth keeping take 20,000 files and more.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "its numbers are what it is for")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringstall::backend::{
    At, Base, Bases, Class, FileEngine, FileEngines, FileQueue, LinkMode, Operation, Placement,
    schedule_in_batches, usage,
};
use rustix::io::Errno;

use common::{Arguments, Table, count, in_rounds, in_turn, milliseconds, number, spread, workers};

mod common;

/// The median of ant-design's tree is less than this, the mean 12 KB.
const FILE_BYTES: usize = 4096;
const FILES_A_FOLDER: usize = 10;

#[derive(Clone)]
struct Sample {
    wall: Duration,
    voluntary: u64,
    involuntary: u64,
}

fn main() {
    let arguments = Arguments::read(&[]);
    let directory = arguments.place(0).map_or_else(common::scratch, PathBuf::from);
    let files = number(arguments.place(1), if arguments.is_quick { 60 } else { 4000 });
    let rounds = number(arguments.place(2), if arguments.is_quick { 1 } else { 5 });
    // The scheduler's help is welcome and not needed.
    let _ = schedule_in_batches();
    let engines = [FileEngine::Threads, FileEngine::Ring];
    let measured = in_turn(&engines, rounds, |_, engine| {
        let round = Round::start(&directory, *engine, files)?;
        let samples: Vec<_> =
            ORDER.into_iter().map(|class| (class, round.measure(class))).collect();
        round.check(&samples);
        Some((round, samples))
    });
    let what = format!("File operations: {files} files a class, {}, ms", in_rounds(rounds));
    common::print_head(&what, Some(&directory));
    let samples = in_turn(&[0, 1], rounds, |number, column| {
        let (round, samples) = measured[*column][number].as_ref()?;
        Some([&samples[..], &[round.remove()]].concat())
    });
    let mut table = Table::new(&[
        "",
        "threads: least",
        "median",
        "voluntary",
        "involuntary",
        "ring: least",
        "median",
        "voluntary",
        "involuntary",
    ]);
    for class in Class::ALL {
        let mut row = vec![class.to_string()];
        for rounds in &samples {
            let of_it = rounds.iter().flatten().flatten().filter(|(its, _)| *its == class);
            let of_it: Vec<_> = of_it.filter_map(|(_, sample)| sample.as_ref()).collect();
            row.extend(figures(&of_it));
        }
        table.row(row);
    }
    table.print();
}

fn figures(samples: &[&Sample]) -> [String; 4] {
    if samples.is_empty() {
        return ["refused", "", "", ""].map(str::to_owned);
    }
    let wall = spread(samples, |sample| milliseconds(sample.wall));
    let voluntary = spread(samples, |sample| count(sample.voluntary)).median;
    let involuntary = spread(samples, |sample| count(sample.involuntary)).median;
    [
        format!("{:.1}", wall.least),
        format!("{:.1}", wall.median),
        format!("{voluntary:.0}"),
        format!("{involuntary:.0}"),
    ]
}

/// All classes once on one engine, in a folder of its own.
struct Round {
    bases: Bases,
    engines: FileEngines,
    files: usize,
    folder: tempfile::TempDir,
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
        let engines = FileEngines::new(engine.into(), &bases).ok()?;
        Some(Self { bases, engines, files, folder })
    }

    /// `None` where the filesystem refuses it.
    fn measure(&self, class: Class) -> Option<Sample> {
        let folders = 0..self.files.div_ceil(FILES_A_FOLDER);
        let operations: Vec<_> = match class {
            Class::Remove => folders.map(remove).collect(),
            Class::MakeDirectory => folders.flat_map(make).collect(),
            class => (0..self.files).map(|number| operation(class, number)).collect(),
        };
        measure(&self.bases, &self.engines, class, &operations)
    }

    /// The last thing that is done in it.
    fn remove(&self) -> (Class, Option<Sample>) {
        let sample = self.measure(Class::Remove);
        let left = fs::read_dir(self.folder.path().join("project/link")).unwrap().count();
        assert_eq!(left, 0, "folders are left");
        (Class::Remove, sample)
    }

    /// Everything is there that was made, as it was to be.
    fn check(&self, samples: &[(Class, Option<Sample>)]) {
        let is_done = |class| samples.iter().any(|(its, sample)| *its == class && sample.is_some());
        let project = self.folder.path().join("project");
        for number in 0..self.files {
            let path = format!("{}/{number}", number / FILES_A_FOLDER);
            let look = |path: PathBuf| fs::symlink_metadata(path).unwrap();
            let source = look(self.folder.path().join("cache").join(&path));
            assert_eq!(source.len(), FILE_BYTES as u64);
            let link = look(project.join("link").join(&path));
            assert_eq!((link.ino(), link.nlink()), (source.ino(), 2), "{path} is no hard link");
            for kind in [Class::Clone, Class::Copy] {
                let folder = kind.to_string();
                if is_done(kind) {
                    assert_eq!(look(project.join(folder).join(&path)).len(), FILE_BYTES as u64);
                }
            }
            let moved = project.join(format!("links/{path}.old"));
            assert_eq!(fs::read_link(moved).unwrap(), Path::new(TARGET));
        }
    }
}

const TARGET: &str = "../target";

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
        Class::MakeSymlink => {
            Operation::MakeSymlink { target: CString::new(TARGET).unwrap(), at: below("links") }
        }
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
    let workers = workers();
    let submitters = engines.submitters(class, Base::Project, workers);
    // A clone of what is not on the disk yet has to wait until it is.
    rustix::fs::sync();
    let (before, start) = (usage(), Instant::now());
    let carry_out = |part: &[Operation]| {
        let mut queue = FileQueue::new(bases.clone(), engines.clone(), workers);
        let pushed = part.iter().try_for_each(|operation| queue.push(operation.clone()));
        let finished = queue.finish();
        pushed.and(finished)
    };
    let done = std::thread::scope(|scope| {
        let parts = operations.chunks(operations.len().div_ceil(submitters));
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || carry_out(part))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap())
    });
    let (wall, used) = (start.elapsed(), usage().since(&before));
    match done {
        Ok(()) => Some(Sample {
            wall,
            voluntary: used.voluntary_switches,
            involuntary: used.involuntary_switches,
        }),
        // Few filesystems can do that.
        Err(failure) if class == Class::Clone && is_refusal(&failure.source) => None,
        Err(failure) => panic!("{}", bases.error(*failure)),
    }
}

fn is_refusal(error: &io::Error) -> bool {
    // By ioctl_ficlone(2), and ENOTTY where there is no such call.
    let refusals = [Errno::OPNOTSUPP, Errno::NOTTY, Errno::XDEV, Errno::INVAL];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}
