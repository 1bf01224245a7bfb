//! Which engine does what: what is asked for, what is chosen, and what was done by it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::filesystem::Filesystem;
use super::host::Counts;
use super::place::PlacementMode;
use super::refused::refused;
use super::{Base, Bases, host, ring};
use crate::error::Result;

/// What `--io` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileEngine {
    /// For each class of operation and filesystem, what was measured best.
    #[default]
    Auto,
    Ring,
    Threads,
}

/// What `--io` and `--batch` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEngineChoice {
    pub engine: FileEngine,
    /// Operations that each ring has in flight, at most, from 1 to [`BATCH_MAX`].
    pub batch: u32,
}

/// Fewer than thousands in flight let the kernel's workers fall asleep between them, and each
/// awakening is a switch.
pub const BATCH_DEFAULT: u32 = 8192;
/// What a ring can have (`IORING_MAX_ENTRIES` in io_uring/io_uring.h).
pub const BATCH_MAX: u32 = 32_768;

/// What `--net` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkDriver {
    /// The ring where it can be had, else epoll.
    #[default]
    Auto,
    Ring,
    TokioUring,
    Epoll,
}

/// Operations that cost alike, and so have one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    MakeDirectory,
    WriteFile,
    HardLink,
    Clone,
    Copy,
    MakeSymlink,
    Rename,
    Remove,
}

/// Who carries out an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The worker that asks for it, by plain system calls.
    Threads,
    /// The kernel, in batches.
    Ring,
}

/// The engines of one installation, shared by its workers.
#[derive(Clone, Debug)]
pub struct FileEngines {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    asked: FileEngine,
    batch: u32,
    cache: Filesystem,
    project: Filesystem,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    kernel_workers: usize,
    /// Why the ring is not used where it should be.
    refusal: Option<String>,
}

/// What was done, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([Done; Class::ALL.len()]);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// By plain calls.
    pub plain: u64,
    /// On the ring, those among them that had to be done anew by plain calls.
    pub on_ring: u64,
    /// How often the ring was used for it. A call of io_uring_enter(2), and all that it takes,
    /// counts for the class whose operation made it necessary.
    pub counts: Counts,
}

/// The engine that `auto` takes: that with the least wall time, and among equals that with the
/// fewest context switches, by the measurements in `docs/experiments.md`. The filesystem is that
/// on which something is made.
pub fn chosen(class: Class, filesystem: Filesystem) -> Engine {
    match (class, filesystem) {
        (Class::Clone, Filesystem::Xfs | Filesystem::Btrfs)
        | (Class::Copy, Filesystem::Ext4 | Filesystem::Xfs | Filesystem::Btrfs) => Engine::Ring,
        _ => Engine::Threads,
    }
}

impl Class {
    pub const ALL: [Self; 8] = [
        Self::MakeDirectory,
        Self::WriteFile,
        Self::HardLink,
        Self::Clone,
        Self::Copy,
        Self::MakeSymlink,
        Self::Rename,
        Self::Remove,
    ];
}

impl From<FileEngine> for FileEngineChoice {
    fn from(engine: FileEngine) -> Self {
        Self { engine, batch: BATCH_DEFAULT }
    }
}

impl From<PlacementMode> for Class {
    fn from(mode: PlacementMode) -> Self {
        match mode {
            PlacementMode::HardLink => Self::HardLink,
            PlacementMode::Clone => Self::Clone,
            PlacementMode::Copy => Self::Copy,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::MakeDirectory => "mkdir",
            Self::WriteFile => "write",
            Self::HardLink => "link",
            Self::Clone => "clone",
            Self::Copy => "copy",
            Self::MakeSymlink => "symlink",
            Self::Rename => "rename",
            Self::Remove => "unlink",
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Threads => "threads",
            Self::Ring => "ring",
        })
    }
}

impl FileEngines {
    /// Tries the ring, and fails with the reason where it was asked for and is refused. Where the
    /// choice is left to us, plain calls do all then.
    pub fn new(asked: FileEngineChoice, bases: &Bases) -> Result<Self> {
        let engine = asked.engine;
        let found = if engine == FileEngine::Threads { Ok(()) } else { host::try_ring() };
        match (found, engine) {
            (Ok(()), FileEngine::Ring) => {
                ring::RingQueue::new(bases, 1, asked.batch)
                    .map_err(|error| refused("--io ring", host::explain(&error)))?;
                Ok(Self::untried(asked, bases))
            }
            (Ok(()), _) => Ok(Self::untried(asked, bases)),
            (Err(why), FileEngine::Ring) => Err(refused("--io ring", why)),
            (Err(why), _) => {
                let engines = Self::plain(bases);
                engines.refuse(&why.to_string());
                Ok(engines)
            }
        }
    }

    /// Plain system calls for everything.
    pub fn plain(bases: &Bases) -> Self {
        Self::untried(FileEngine::Threads.into(), bases)
    }

    fn untried(asked: FileEngineChoice, bases: &Bases) -> Self {
        let filesystem = |base| Filesystem::of(bases.fd(base));
        let shared = Shared {
            asked: asked.engine,
            batch: asked.batch,
            cache: filesystem(Base::Cache),
            project: filesystem(Base::Project),
            state: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub fn engine(&self, class: Class, base: Base) -> Engine {
        match self.shared.asked {
            FileEngine::Threads => Engine::Threads,
            FileEngine::Ring => Engine::Ring,
            FileEngine::Auto => chosen(class, self.filesystem(base)),
        }
    }

    /// How many of `workers` threads should ask for operations of a class. Of clones and copies
    /// on the ring, one thread fills what the kernel's opens for it: two would meet on the locks
    /// of the filesystem's allocator (docs/experiments.md).
    pub fn submitters(&self, class: Class, base: Base, workers: usize) -> usize {
        match (self.engine(class, base), class) {
            (Engine::Ring, Class::Clone | Class::Copy) => 1,
            _ => workers,
        }
    }

    /// A ring for one of `sharers` queues; `None` where it is refused.
    pub(super) fn ring(&self, bases: &Bases, sharers: usize) -> Option<ring::RingQueue> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = u32::try_from((processors / sharers.max(1)).max(1)).unwrap_or(1);
        ring::RingQueue::new(bases, workers, self.shared.batch)
            .inspect_err(|error| self.refuse(&host::explain(error).to_string()))
            .ok()
    }

    /// Remembers why the ring is not used, for who asks.
    pub(super) fn refuse(&self, why: &str) {
        self.lock().refusal.get_or_insert_with(|| why.to_owned());
    }

    pub(super) fn add(&self, tally: &Tally, kernel_workers: usize) {
        let mut state = self.lock();
        state.tally += *tally;
        state.kernel_workers = state.kernel_workers.max(kernel_workers);
    }

    /// What was done so far by queues that have been dropped.
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// The most threads that the kernel had at work on the rings' operations.
    pub fn kernel_workers(&self) -> usize {
        self.lock().kernel_workers
    }

    /// Why the ring is not used where it should be.
    pub fn refusal(&self) -> Option<String> {
        self.lock().refusal.clone()
    }

    fn filesystem(&self, base: Base) -> Filesystem {
        match base {
            Base::Cache => self.shared.cache,
            Base::Project => self.shared.project,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    pub fn of(&self, class: Class) -> &Done {
        &self.0[class as usize]
    }

    pub(super) fn of_mut(&mut self, class: Class) -> &mut Done {
        &mut self.0[class as usize]
    }
}

impl FromIterator<(Class, Done)> for Tally {
    fn from_iter<I: IntoIterator<Item = (Class, Done)>>(done: I) -> Self {
        let mut tally = Self::default();
        for (class, done) in done {
            *tally.of_mut(class) = done;
        }
        tally
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            mine.plain += others.plain;
            mine.on_ring += others.on_ring;
            mine.counts += others.counts;
        }
    }
}

/// Both engines, or plain calls alone where the ring cannot be had. `RINGSTALL_TEST_RING=require`
/// makes that a failure.
#[cfg(test)]
pub(crate) fn engines_to_test(bases: &Bases) -> Vec<FileEngines> {
    let mut engines = vec![FileEngines::plain(bases)];
    match FileEngines::new(FileEngine::Ring.into(), bases) {
        Ok(ring) => engines.push(ring),
        Err(error) => super::testing::tell_no_ring("the engine of batches", &error),
    }
    engines
}
