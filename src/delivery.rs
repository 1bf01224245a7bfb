//! Fetching, unpacking and placing, all at the same time.
//!
//! One thread has the network; the workers place what the cache holds already, then unpack and
//! place what arrives. Work is handed out by a counter, never by a message for each package:
//! hand-offs are where context switches come from.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, TryRecvError};
use tokio::sync::mpsc;

use crate::backend::{FileQueue, schedule_in_batches};
use crate::error::{Code, Error, Result};
use crate::extract::{self, Extractor, Identity};
use crate::fetch::{self, Again, Download, FetchOptions, FetchStats, Fetched};
use crate::graph::NodeId;
use crate::http;
use crate::integrity::CacheKey;
use crate::journal::PackageSource;
use crate::link::Placed;
use crate::site::{Site, finish};
use crate::sources;

mod at_hand;
mod batch;
mod parcel;
mod stored;
mod telling;

pub use parcel::Parcel;

use at_hand::is_damage;
use batch::{Arrived, Batch};
use stored::{Held, Stored};

/// What was done, and what could not be had.
#[derive(Debug, Default)]
pub struct Delivered {
    pub placed: Placed,
    pub traffic: FetchStats,
    /// Parcels whose tarball was taken from npm's cache.
    pub from_npm_cache: usize,
    /// Optional parcels that failed, with the reason.
    pub failed: Vec<(usize, Error)>,
    pub warnings: Vec<String>,
    /// Packages whose tarball has scripts or a `binding.gyp`.
    pub with_scripts: HashSet<NodeId>,
}

/// How many packages a worker takes at once: few enough for an even end, many enough for the
/// counter not to matter.
const PACKAGES_AT_ONCE: usize = 16;

/// A damaged tarball is asked for once more (pacote 21, `tarballStream`).
const RETRIES_MAX: u8 = 1;

/// Finds what the cache holds; the others are left without.
pub fn look_up(site: &Site<'_>, parcels: &mut [Parcel<'_>]) -> Result<()> {
    let find = |key: CacheKey| {
        let index = site.cache.lookup(site.bases, &key)?;
        Ok(index.map(|index| (key, index)))
    };
    let keys_of = |parcel: &Parcel<'_>| match &parcel.integrity {
        None => vec![CacheKey::unlocked(parcel.url.as_str())],
        Some(integrity) => integrity.cache_keys().collect(),
    };
    let chunks: Vec<_> = parcels.chunks(PACKAGES_AT_ONCE).collect();
    let found = site.workers.try_map(&chunks, 1, |chunk| {
        let keys: Vec<_> = chunk.iter().map(keys_of).collect();
        for key in keys.iter().filter_map(|keys| keys.first()) {
            site.cache.announce(site.bases, key);
        }
        let first = |keys: Vec<CacheKey>| keys.into_iter().find_map(|key| find(key).transpose());
        keys.into_iter().map(|keys| first(keys).transpose()).collect::<Result<Vec<_>>>()
    })?;
    for (parcel, found) in parcels.iter_mut().zip(found.into_iter().flatten()) {
        parcel.stored = match found {
            None if parcel.integrity.is_none() => sources::look_up_plain(parcel, find)?,
            found => found,
        };
    }
    Ok(())
}

/// Places all parcels, fetching those that are not stored. Downloads start before `make_room` is
/// called, and nothing is placed before it has returned. Without `options` the network is not
/// asked: what only it has cannot be had.
pub fn deliver(
    site: &Site<'_>,
    parcels: &[Parcel<'_>],
    options: Option<FetchOptions>,
    make_room: impl FnOnce() -> Result<()>,
) -> Result<Delivered> {
    let (missing, stored): (Vec<usize>, Vec<usize>) =
        (0..parcels.len()).partition(|index| parcels[*index].stored.is_none());
    let is_at_hand = |index: &usize| parcels[*index].source_at_hand().is_some();
    let at_hand: Vec<usize> = missing.iter().copied().filter(is_at_hand).collect();
    // What is at hand may turn out to be damaged; then it is asked for like anything else.
    let downloads = missing.iter().filter_map(|index| parcels[*index].download(*index));
    let downloads: Vec<Download> = options.iter().flat_map(|_| downloads.clone()).collect();
    let (bodies, arrivals) = crossbeam_channel::unbounded();
    let (again, asked_again) = mpsc::unbounded_channel();
    let depot = Depot {
        site,
        parcels,
        stored: &stored,
        at_hand: &at_hand,
        next_at_hand: AtomicUsize::new(0),
        awaited: AtomicUsize::new(missing.len()),
        has_network: options.is_some(),
        retries: parcels.iter().map(|_| AtomicU8::new(0)).collect(),
        again,
        is_stopped: AtomicBool::new(false),
        outcome: Mutex::default(),
    };
    let is_nowhere = |index: &usize| {
        !is_at_hand(index) && (options.is_none() || !parcels[*index].is_on_the_web())
    };
    depot.do_without(missing.iter().copied().filter(is_nowhere));
    std::thread::scope(|scope| {
        let options = options.filter(|_| !downloads.is_empty());
        let network = options.map(|options| {
            scope.spawn(move || {
                // The scheduler's help is welcome and not needed.
                let _ = schedule_in_batches();
                fetch::run(downloads, options, bodies, asked_again)
            })
        });
        let has_network = network.is_some();
        match make_room() {
            Ok(()) => depot.work(has_network.then_some(arrivals)),
            Err(error) => depot.fail(error),
        }
        match network.map(std::thread::ScopedJoinHandle::join) {
            None => {}
            Some(Ok(Ok(traffic))) => depot.lock().delivered.traffic = traffic,
            Some(Ok(Err(error))) => depot.fail(error),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    });
    let mut outcome = depot.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.delivered.warnings.extend(strangers_warning(outcome.strangers));
    outcome.first_error.map_or(Ok(outcome.delivered), Err)
}

/// One line for all of them.
fn strangers_warning(mut strangers: Vec<String>) -> Option<String> {
    const SHOWN_MAX: usize = 3;
    strangers.sort_unstable();
    let more = match strangers.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    strangers.truncate(SHOWN_MAX);
    (!strangers.is_empty()).then(|| {
        let shown = strangers.join(", ");
        format!("the lockfile names other packages than its tarballs hold: {shown}{more}")
    })
}

/// What the workers share.
struct Depot<'d, 'p> {
    site: &'d Site<'d>,
    parcels: &'d [Parcel<'p>],
    stored: &'d [usize],
    at_hand: &'d [usize],
    next_at_hand: AtomicUsize,
    /// Parcels that are neither unpacked nor given up yet.
    awaited: AtomicUsize,
    has_network: bool,
    retries: Vec<AtomicU8>,
    again: mpsc::UnboundedSender<Again>,
    is_stopped: AtomicBool,
    outcome: Mutex<Outcome>,
}

/// What one worker unpacks with.
struct Worker<'w> {
    queue: &'w mut FileQueue,
    extractor: Extractor,
    batch: Batch,
    placed: &'w mut Placed,
}

#[derive(Default)]
struct Outcome {
    delivered: Delivered,
    /// Packages that call themselves something else than the lockfile does.
    strangers: Vec<String>,
    first_error: Option<Error>,
}

impl Depot<'_, '_> {
    /// Runs all workers to their end. The channel ends with them, which stops the network thread.
    fn work(&self, arrivals: Option<Receiver<Fetched>>) {
        let stored = Stored::new(self);
        if let Some(folders) = stored.folders_before() {
            self.each_worker(|queue, placed| self.make_folders(folders, queue, placed, drop));
        }
        self.each_worker(|queue, placed| {
            self.place_stored(&stored, queue, placed)?;
            if !self.at_hand.is_empty() || arrivals.is_some() {
                self.unpack(queue, arrivals.as_ref(), placed)?;
            }
            Ok(())
        });
        drop(arrivals);
    }

    /// The same work for each worker, with a queue of its own.
    fn each_worker(&self, work: impl Fn(&mut FileQueue, &mut Placed) -> Result<()> + Sync) {
        self.site.workers.each(|| {
            let mut queue = self.site.queue(self.site.workers.count());
            let mut placed = Placed::default();
            let done = work(&mut queue, &mut placed);
            // Also after a failure: what was pushed is done before anything is cleared away.
            let finished = finish(&mut queue);
            match done.and(finished) {
                Ok(()) => self.lock().delivered.placed += placed,
                Err(error) => self.fail(error),
            }
        });
    }

    fn unpack(
        &self,
        queue: &mut FileQueue,
        arrivals: Option<&Receiver<Fetched>>,
        placed: &mut Placed,
    ) -> Result<()> {
        let extractor = Extractor::new();
        let mut worker = Worker { queue, extractor, batch: Batch::default(), placed };
        let unpacked = self.unpack_all(&mut worker, arrivals);
        // After a failure nothing may be in flight into what is removed.
        let finished = finish(worker.queue);
        worker.batch.discard(self.site.cache);
        unpacked.and(finished)
    }

    /// What is at hand first, then what arrives until the network thread has nothing more.
    fn unpack_all(
        &self,
        worker: &mut Worker<'_>,
        arrivals: Option<&Receiver<Fetched>>,
    ) -> Result<()> {
        while let Some(index) = self.at_hand.get(self.next_at_hand.fetch_add(1, Ordering::Relaxed))
        {
            let parcel = &self.parcels[*index];
            let source = parcel.source_at_hand().unwrap_or(PackageSource::Disk);
            self.unpack_one(worker, *index, source, parcel.read_at_hand())?;
        }
        while let Some(arrivals) = arrivals {
            let fetched = match arrivals.try_recv() {
                Ok(fetched) => fetched,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    // The network waits for memory that these may hold.
                    self.place_batch(worker)?;
                    let Ok(fetched) = arrivals.recv() else { break };
                    fetched
                }
            };
            let Fetched { index, result } = fetched;
            self.unpack_one(worker, index, PackageSource::Network, result.map(reserved))?;
        }
        self.place_batch(worker)
    }

    /// Does nothing any more once another worker has failed.
    fn unpack_one(
        &self,
        worker: &mut Worker<'_>,
        index: usize,
        source: PackageSource,
        body: Result<extract::Body>,
    ) -> Result<()> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        let parcel = &self.parcels[index];
        let identity = match &parcel.integrity {
            None => Identity::Address(parcel.url.as_str()),
            Some(integrity) => Identity::Integrity(integrity),
        };
        let bytes = body.as_ref().map_or(0, extract::Body::length);
        let mut span = self.site.journal.span(|| format!("unpack {}", parcel.label));
        span.set_bytes(bytes);
        let extracted = body.and_then(|body| {
            worker.extractor.extract(body, identity, worker.queue, self.site.cache)
        });
        drop(span);
        match extracted {
            Ok(unpacked) => {
                self.settle();
                if source == PackageSource::NpmCache {
                    self.lock().delivered.from_npm_cache += 1;
                }
                if let Some(warning) = &unpacked.warnings.first {
                    self.lock().delivered.warnings.push(format!("{}: {warning}", parcel.label));
                }
                worker.batch.add(Arrived { parcel: index, source, bytes }, unpacked);
            }
            Err(error) if source == PackageSource::NpmCache => {
                self.refuse(index, parcel.of_npm_cache(error))?;
            }
            Err(error) => self.refuse(index, error)?,
        }
        if worker.batch.is_full(worker.queue) {
            self.publish_batch(worker)?;
        }
        if worker.batch.is_worth_placing(worker.queue) {
            self.place_batch(worker)?;
        }
        Ok(())
    }

    /// Gives up parcels that would have to be asked for.
    fn do_without(&self, parcels: impl Iterator<Item = usize>) {
        for index in parcels {
            let error = Error::new(Code::NotCached, "the caches lack it and cannot be filled");
            if let Err(error) = self.refuse(index, error) {
                self.fail(error);
            }
        }
    }

    /// Asks again for what is damaged, does without what is optional, and fails for the rest.
    fn refuse(&self, index: usize, error: Error) -> Result<()> {
        let parcel = &self.parcels[index];
        let tries_max = RETRIES_MAX + u8::from(parcel.source_at_hand().is_some());
        if is_damage(&error)
            && self.has_network
            && parcel.is_on_the_web()
            && self.retries[index].fetch_add(1, Ordering::Relaxed) < tries_max
        {
            // The network thread ends only after this worker has settled the parcel.
            let _ = self.again.send(Again::Retry(index));
            return Ok(());
        }
        // npm does without an optional package whose bytes are not what the lockfile says; that
        // hides an attack, so here it is an error. And a file that cannot be written is no
        // package's fault, and may be another's that is written at the same time.
        if !parcel.is_optional || matches!(error.code(), Code::Integrity | Code::Io) {
            return Err(parcel.error(error));
        }
        self.lock().delivered.failed.push((index, parcel.error(error)));
        self.settle();
        Ok(())
    }

    fn settle(&self) {
        if self.awaited.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.again.send(Again::Finished);
        }
    }

    /// Keeps the first error, and stops all others.
    fn fail(&self, error: Error) {
        self.lock().first_error.get_or_insert(error);
        self.is_stopped.store(true, Ordering::Relaxed);
        let _ = self.again.send(Again::Finished);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body as the extractor takes it: the reservation goes where the bytes go.
pub fn reserved(body: http::Body) -> extract::Body {
    struct Reserved {
        bytes: Bytes,
        _reservation: http::Reservation,
    }
    impl AsRef<[u8]> for Reserved {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    match body {
        http::Body::Memory { bytes, reservation } => {
            extract::Body::Memory(Bytes::from_owner(Reserved { bytes, _reservation: reservation }))
        }
        http::Body::File { file, length } => extract::Body::File(file, length),
    }
}
