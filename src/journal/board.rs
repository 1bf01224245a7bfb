//! The board: what is under way and awaited, and whether anything moves at all.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fetch::Download;
use crate::http::Traffic;
use crate::registry::redact;

/// Something that comes from outside and may never come.
#[derive(Clone, Debug)]
pub enum Awaited {
    Download(Arc<Download>),
    Lock(PathBuf),
    /// git fetches it.
    Repository(String),
    Script {
        /// `name@version`.
        package: String,
        /// `postinstall` and the like.
        script: String,
    },
}

/// Written by all, read by the one who watches.
#[derive(Debug, Default)]
pub struct Board {
    traffic: Arc<Traffic>,
    downloads_wanted: AtomicUsize,
    downloads_done: AtomicUsize,
    steps: AtomicU64,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    phase: &'static str,
    begun_count: u64,
    /// In the order in which they began.
    open: BTreeMap<u64, (Instant, Awaited)>,
}

/// Stands on the board until it is dropped.
#[derive(Debug)]
#[must_use = "it leaves the board when it is dropped"]
pub struct Wait<'b> {
    board: &'b Board,
    number: u64,
}

impl Board {
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Puts on the board what is awaited from now on.
    pub fn begin(&self, awaited: Awaited) -> Wait<'_> {
        let mut waits = self.lock();
        let number = waits.begun_count;
        waits.begun_count += 1;
        waits.open.insert(number, (Instant::now(), awaited));
        Wait { board: self, number }
    }

    pub fn set_phase(&self, phase: &'static str) {
        self.lock().phase = phase;
        self.step();
    }

    pub fn phase(&self) -> &'static str {
        self.lock().phase
    }

    /// Something got done: a package was placed, a script said something.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub fn want_downloads(&self, count: usize) {
        self.downloads_wanted.fetch_add(count, Ordering::Relaxed);
    }

    /// A body was handed over; one that was asked for again counts again.
    pub fn end_download(&self) {
        self.downloads_done.fetch_add(1, Ordering::Relaxed);
    }

    /// How many downloads are done, and how many were wanted.
    pub fn downloads(&self) -> (usize, usize) {
        let [done, wanted] =
            [&self.downloads_done, &self.downloads_wanted].map(|one| one.load(Ordering::Relaxed));
        (done, wanted)
    }

    /// A number that changes with all that moves.
    pub fn moves(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
            + self.traffic.bytes_received()
            + self.downloads_done.load(Ordering::Relaxed) as u64
    }

    /// What has been awaited for longest, and for how long.
    pub fn oldest(&self) -> Option<(Awaited, Duration)> {
        let waits = self.lock();
        let (began, awaited) = waits.open.values().next()?;
        Some((awaited.clone(), began.elapsed()))
    }

    /// The oldest wait of each kind with its time until `now`, the others of its kind as a number;
    /// the phase where nothing is awaited from outside.
    pub fn describe(&self, now: Instant) -> Vec<String> {
        let waits = self.lock();
        let mut kinds: BTreeMap<Kind, (&Awaited, Duration, usize)> = BTreeMap::new();
        for (began, awaited) in waits.open.values() {
            let first = (awaited, now.saturating_duration_since(*began), 0);
            kinds.entry(awaited.kind()).and_modify(|(_, _, others)| *others += 1).or_insert(first);
        }
        if kinds.is_empty() {
            return vec![format!("the phase `{}`", waits.phase)];
        }
        let line = |(kind, (awaited, duration, others)): (Kind, (&Awaited, Duration, usize))| {
            let others = match others {
                0 => String::new(),
                others => format!(" and {others} more {}", kind.plural(others)),
            };
            format!("{awaited} for {} s{others}", duration.as_secs())
        };
        kinds.into_iter().map(line).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.board.lock().open.remove(&self.number);
        self.board.step();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Lock,
    Repository,
    Script,
    Download,
}

impl Kind {
    fn plural(self, count: usize) -> &'static str {
        match (self, count) {
            (Self::Lock, 1) => "lock",
            (Self::Lock, _) => "locks",
            (Self::Repository, 1) => "repository",
            (Self::Repository, _) => "repositories",
            (Self::Script, 1) => "script",
            (Self::Script, _) => "scripts",
            (Self::Download, 1) => "download",
            (Self::Download, _) => "downloads",
        }
    }
}

impl Awaited {
    fn kind(&self) -> Kind {
        match self {
            Self::Download(_) => Kind::Download,
            Self::Lock(_) => Kind::Lock,
            Self::Repository(_) => Kind::Repository,
            Self::Script { .. } => Kind::Script,
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Download(download) => {
                write!(formatter, "{} from {}", download.name_version, redact(&download.url))
            }
            Self::Lock(path) => write!(formatter, "the lock `{}`", path.display()),
            Self::Repository(source) => write!(formatter, "the repository {source}"),
            Self::Script { package, script } => write!(formatter, "`{script}` of {package}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn download(name: &str) -> Awaited {
        let url = url::Url::parse(&format!("http://u:secret@one.test/{name}.tgz?token=x")).unwrap();
        let name_version = format!("{name}@1.0.0");
        Awaited::Download(Arc::new(Download { index: 0, url, name_version, is_wanted: true }))
    }

    #[test]
    fn the_oldest_of_each_kind_is_named_without_its_secrets() {
        let now = Instant::now();
        let board = Board::default();
        board.set_phase("install");
        assert_eq!(board.describe(now), ["the phase `install`"]);
        let first = board.begin(download("a"));
        let _others = [board.begin(download("b")), board.begin(download("c"))];
        let script = "postinstall".to_owned();
        let _script = board.begin(Awaited::Script { package: "x@2".into(), script });
        let expected = [
            "`postinstall` of x@2 for 0 s",
            "a@1.0.0 from http://one.test/a.tgz?*** for 0 s and 2 more downloads",
        ];
        assert_eq!(board.describe(now), expected);
        drop(first);
        assert_eq!(
            board.describe(now)[1],
            "b@1.0.0 from http://one.test/b.tgz?*** for 0 s and 1 more download"
        );
    }

    #[test]
    fn the_end_of_a_wait_is_a_move() {
        let board = Board::default();
        let wait = board.begin(Awaited::Lock("l".into()));
        let before = board.moves();
        assert_eq!(board.oldest().unwrap().0.to_string(), "the lock `l`");
        drop(wait);
        assert!(board.moves() > before);
        assert!(board.oldest().is_none());
    }
}
