//! The engine of batches: operations are handed to the kernel by the thousand.
//!
//! What fails on the ring is done anew by a plain call, whose outcome counts. That is where
//! directories that are there already, parents that are missing and filesystems that cannot link
//! are dealt with, once for both engines; and where the kernel refuses an opcode, its class goes on
//! by plain calls, as does everything where the ring itself fails.

use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::io;

use ringstall_linux::{FileOperation, FileOptions, FileRing, Step};
use rustix::io::Errno;
use rustix::process::Resource;

use super::engines::{Class, Tally};
use super::queue::Failure;
use super::{At, Base, Bases, Operation, parent, threads};

mod removal;
#[cfg(test)]
mod tests;
mod translation;

use translation::{Tag, from_ring, to_ring};

/// One worker's ring.
#[derive(Debug)]
pub struct RingQueue {
    bases: Bases,
    ring: FileRing<Tag>,
    /// Directories that are not made yet, by how deep they lie: a directory needs its parent.
    new: BTreeMap<usize, Vec<Operation>>,
    /// Those in the project among them, and their parents.
    new_paths: HashSet<CString>,
    /// Directories that are removed when they are empty, by how deep they lie.
    old: BTreeMap<usize, Vec<At>>,
    refused: [bool; Class::ALL.len()],
    refusal: Option<String>,
}

/// Directories that wait to be made; a whole tree's are rarely more.
const NEW_MAX: usize = 65_536;
const WRITES_MAX: u64 = 4096;
/// Each has two file descriptors.
const DUPLICATES_MAX: u64 = 256;

impl RingQueue {
    /// `workers` is how many threads the kernel may have for it, `batch` how many operations it
    /// has in flight at most.
    pub fn new(bases: &Bases, workers: u32, batch: u32) -> io::Result<Self> {
        let limit = rustix::process::getrlimit(Resource::Nofile);
        let open_files = limit.current.unwrap_or(u64::MAX);
        let options = FileOptions {
            in_flight_max: batch,
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
            new: BTreeMap::new(),
            new_paths: HashSet::new(),
            old: BTreeMap::new(),
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
        match operation {
            Operation::MakeDirectory { at, mode } => self.push_directory(at, mode, tally),
            Operation::Remove { at } => self.push_removal(at, tally),
            operation => {
                self.finish_directories(tally)?;
                let (operation, tag) = to_ring(operation, class);
                self.start(operation, tag, tally)
            }
        }
    }

    /// Parents that nobody asked for (scopes and `node_modules`) are made with their level, rather
    /// than one by one when each of their directories has failed.
    fn push_directory(&mut self, at: At, mode: u32, tally: &mut Tally) -> Result<(), Box<Failure>> {
        let mut next = Some((at, mode));
        while let Some((at, mode)) = next {
            if at.base == Base::Project && !self.new_paths.insert(at.path.clone()) {
                break;
            }
            next = (at.base == Base::Project)
                .then(|| parent(&at.path))
                .flatten()
                .map(|path| (At { base: at.base, path }, threads::PARENT_MODE));
            let level = self.new.entry(depth(&at)).or_default();
            level.push(Operation::MakeDirectory { at, mode });
        }
        if self.new_paths.len() < NEW_MAX { Ok(()) } else { self.finish_directories(tally) }
    }

    /// Makes the directories that are waiting, level by level.
    pub fn finish_directories(&mut self, tally: &mut Tally) -> Result<(), Box<Failure>> {
        if self.new.is_empty() {
            return Ok(());
        }
        self.new_paths.clear();
        for (_, level) in std::mem::take(&mut self.new) {
            for directory in level {
                let (operation, tag) = to_ring(directory, Class::MakeDirectory);
                self.start(operation, tag, tally)?;
            }
            self.drain(Class::MakeDirectory, tally)?;
        }
        Ok(())
    }

    /// `class` is that of what was pushed last, which the wait for all is counted with.
    pub fn finish(&mut self, class: Class, tally: &mut Tally) -> Result<(), Box<Failure>> {
        self.finish_directories(tally)?;
        self.drain(class, tally)?;
        self.finish_removals(tally)
    }

    /// Hands an operation to the kernel. What it needs is there.
    fn start(
        &mut self,
        operation: FileOperation,
        tag: Tag,
        tally: &mut Tally,
    ) -> Result<(), Box<Failure>> {
        let class = tag.class;
        tally.of_mut(class).on_ring += 1;
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
        tally.of_mut(class).counts += self.ring.take_counts();
    }

    fn redo_failed(&mut self, tally: &mut Tally) -> Result<(), Box<Failure>> {
        while let Some(failed) = self.ring.take_failure() {
            let class = failed.tag.class;
            // Between the files of a duplicate is a plain call, whose failure is not the ring's.
            let may_be_refused = failed.step != Step::Fill && is_refusal(&failed.error);
            let operation = from_ring(failed.operation, failed.tag);
            threads::carry_out(&self.bases, &operation).map_err(|source| {
                Box::new(Failure { operation: Some(operation.clone()), source })
            })?;
            tally.of_mut(class).plain += 1;
            // A file that is now placed in another way was refused by its filesystem.
            if may_be_refused && operation.class() == class && !self.is_refused(class) {
                self.refused[class as usize] = true;
                self.refusal.get_or_insert(format!("the ring refuses {class}: {}", failed.error));
            }
        }
        if let Some(error) = self.ring.breakdown() {
            self.refused = [true; Class::ALL.len()];
            self.refusal.get_or_insert(format!("the ring has failed: {error}"));
        }
        Ok(())
    }
}

/// How many components a path has.
fn depth(at: &At) -> usize {
    at.path.to_bytes().split(|byte| *byte == b'/').count()
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
