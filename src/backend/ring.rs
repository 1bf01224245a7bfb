//! The engine of batches: operations are handed to the kernel by the thousand.
//!
//! What fails on the ring is done anew by a plain call, whose outcome counts. That is where
//! directories that are there already, parents that are missing and filesystems that cannot link
//! are dealt with, once for both engines; and where the kernel refuses an opcode, its class goes on
//! by plain calls.

use std::collections::BTreeMap;
use std::io;

use ringstall_linux::{FileOperation, FileOptions, FileRing, Fill};
use rustix::io::Errno;
use rustix::process::Resource;

use super::engines::{Class, Tally};
use super::place::{Placement, PlacementMode};
use super::queue::Failure;
use super::{At, Base, Bases, Operation, threads};

/// One worker's ring.
#[derive(Debug)]
pub struct RingQueue {
    bases: Bases,
    ring: FileRing<Tag>,
    /// Directories that are not made yet, by how deep they lie: a directory needs its parent.
    directories: BTreeMap<usize, Vec<Operation>>,
    /// What was pushed after them and may lie in them.
    waiting: Vec<(Operation, Class)>,
    waiting_directories: usize,
    refused: [bool; Class::ALL.len()],
    refusal: Option<String>,
}

/// What an operation on the ring needs to be done anew.
#[derive(Debug)]
struct Tag {
    class: Class,
    /// Of a file that is placed.
    placing: Option<(Placement, u32)>,
}

/// Fewer than thousands in flight let the kernel's workers fall asleep between them, and each
/// awakening is a switch; more gained nothing (docs/experiments.md).
const IN_FLIGHT_MAX: u32 = 8192;
/// Operations that wait for directories, so that a level of them is a large batch.
const WAITING_MAX: usize = 16_384;
const WRITES_MAX: u64 = 4096;
/// Each has two file descriptors.
const DUPLICATES_MAX: u64 = 256;

impl RingQueue {
    /// `workers` is how many threads the kernel may have for it.
    pub fn new(bases: &Bases, workers: u32) -> io::Result<Self> {
        let limit = rustix::process::getrlimit(Resource::Nofile);
        let open_files = limit.current.unwrap_or(u64::MAX);
        let options = FileOptions {
            in_flight_max: IN_FLIGHT_MAX,
            workers_max: workers,
            // The kernel allows a table of files as large as that of the process.
            writes_max: u32::try_from(open_files.min(WRITES_MAX)).unwrap_or(1),
            // Each worker may have as many, and there are connections as well.
            duplicates_max: u32::try_from((open_files / 16).min(DUPLICATES_MAX)).unwrap_or(1),
            opcodes_allowed: None,
        };
        Self::with_options(bases, &options)
    }

    fn with_options(bases: &Bases, options: &FileOptions) -> io::Result<Self> {
        let directories = [Base::Cache, Base::Project].map(|base| bases.shared_fd(base));
        Ok(Self {
            bases: bases.clone(),
            ring: FileRing::new(options, directories.into())?,
            directories: BTreeMap::new(),
            waiting: Vec::new(),
            waiting_directories: 0,
            refused: [false; Class::ALL.len()],
            refusal: None,
        })
    }

    /// Whether the kernel would not carry out operations of this class.
    pub fn is_refused(&self, class: Class) -> bool {
        self.refused[class as usize]
    }

    /// Why a class is refused.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    pub fn push(
        &mut self,
        operation: Operation,
        class: Class,
        tally: &mut Tally,
    ) -> Result<(), Box<Failure>> {
        if let Operation::MakeDirectory { at, .. } = &operation {
            let depth = at.path.to_bytes().split(|byte| *byte == b'/').count();
            self.directories.entry(depth).or_default().push(operation);
            self.waiting_directories += 1;
        } else if self.waiting_directories > 0 {
            self.waiting.push((operation, class));
        } else {
            return self.start(operation, class, tally);
        }
        if self.waiting.len() + self.waiting_directories < WAITING_MAX {
            return Ok(());
        }
        self.finish_directories(tally)
    }

    /// Makes the directories that are waiting, level by level, and starts what waited for them.
    pub fn finish_directories(&mut self, tally: &mut Tally) -> Result<(), Box<Failure>> {
        if self.waiting_directories == 0 {
            return Ok(());
        }
        self.waiting_directories = 0;
        for (_, level) in std::mem::take(&mut self.directories) {
            for directory in level {
                self.start(directory, Class::MakeDirectory, tally)?;
            }
            self.drain(Class::MakeDirectory, tally)?;
        }
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().try_for_each(|(operation, class)| self.start(operation, class, tally))
    }

    pub fn finish(&mut self, tally: &mut Tally) -> Result<(), Box<Failure>> {
        // The wait for all is counted with what it waits for most.
        let class = self.waiting.last().map_or(Class::MakeDirectory, |(_, class)| *class);
        self.finish_directories(tally)?;
        self.drain(class, tally)
    }

    /// Hands an operation to the kernel, whose directory is there.
    fn start(
        &mut self,
        operation: Operation,
        class: Class,
        tally: &mut Tally,
    ) -> Result<(), Box<Failure>> {
        tally.of_mut(class).on_ring += 1;
        let (operation, tag) = to_ring(operation, class);
        let pushed = self.ring.push(operation, tag);
        self.count(class, tally);
        pushed.map_err(failed_ring)?;
        self.redo_failed(tally)
    }

    fn drain(&mut self, class: Class, tally: &mut Tally) -> Result<(), Box<Failure>> {
        let finished = self.ring.finish();
        self.count(class, tally);
        finished.map_err(failed_ring)?;
        self.redo_failed(tally)
    }

    /// An enter is counted for the class of the operation that made it necessary.
    fn count(&mut self, class: Class, tally: &mut Tally) {
        let counts = self.ring.take_counts();
        if counts.enters > 0 {
            let done = tally.of_mut(class);
            done.submissions += counts.submissions;
            done.enters += counts.enters;
            done.batch_max = done.batch_max.max(counts.batch_max);
        }
    }

    fn redo_failed(&mut self, tally: &mut Tally) -> Result<(), Box<Failure>> {
        while let Some(failed) = self.ring.take_failure() {
            let class = failed.tag.class;
            let operation = from_ring(failed.operation, failed.tag);
            threads::carry_out(&self.bases, &operation)
                .map_err(|source| Box::new(Failure { operation: Some(operation), source }))?;
            tally.of_mut(class).plain += 1;
            if is_refusal(&failed.error) && !self.is_refused(class) {
                self.refused[class as usize] = true;
                self.refusal.get_or_insert(format!("the ring refuses {class}: {}", failed.error));
            }
        }
        Ok(())
    }
}

/// An error that an opcode gets from a sandbox or a kernel that does not know it, and a plain call
/// did not get. ECANCELED is what the parts of a chain get when one of them is refused.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::PERM
                | Errno::ACCESS
                | Errno::INVAL
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::CANCELED
        )
    )
}

fn failed_ring(source: io::Error) -> Failure {
    Failure { operation: None, source }
}

fn to_ring(operation: Operation, class: Class) -> (FileOperation, Tag) {
    let at = |at: At| ringstall_linux::At { directory: at.base as usize, path: at.path };
    let mut placing = None;
    let operation = match operation {
        Operation::MakeDirectory { at: path, mode } => {
            FileOperation::MakeDirectory { at: at(path), mode }
        }
        Operation::WriteFile { at: path, mode, bytes } => {
            FileOperation::WriteFile { at: at(path), mode, bytes }
        }
        Operation::PlaceFile { source, target, mode, placement } => {
            let how = placement.mode();
            placing = Some((placement, mode));
            let (source, target) = (at(source), at(target));
            match how {
                PlacementMode::HardLink => FileOperation::Link { source, target },
                PlacementMode::Clone => {
                    FileOperation::Duplicate { source, target, mode, fill: Fill::Clone }
                }
                PlacementMode::Copy => {
                    FileOperation::Duplicate { source, target, mode, fill: Fill::Copy }
                }
            }
        }
        Operation::MakeSymlink { target, at: path } => {
            FileOperation::Symlink { target, at: at(path) }
        }
        Operation::Rename { from, to } => FileOperation::Rename { from: at(from), to: at(to) },
    };
    (operation, Tag { class, placing })
}

fn from_ring(operation: FileOperation, tag: Tag) -> Operation {
    let at = |at: ringstall_linux::At| {
        let base = if at.directory == Base::Cache as usize { Base::Cache } else { Base::Project };
        At { base, path: at.path }
    };
    match operation {
        FileOperation::MakeDirectory { at: path, mode } => {
            Operation::MakeDirectory { at: at(path), mode }
        }
        FileOperation::WriteFile { at: path, mode, bytes } => {
            Operation::WriteFile { at: at(path), mode, bytes }
        }
        FileOperation::Link { source, target }
        | FileOperation::Duplicate { source, target, .. } => {
            let (placement, mode) = tag.placing.unwrap_or_default();
            Operation::PlaceFile { source: at(source), target: at(target), mode, placement }
        }
        FileOperation::Symlink { target, at: path } => {
            Operation::MakeSymlink { target, at: at(path) }
        }
        FileOperation::Rename { from, to } => Operation::Rename { from: at(from), to: at(to) },
        FileOperation::RemoveFile { .. } | FileOperation::RemoveDirectory { .. } => unreachable!(),
    }
}
