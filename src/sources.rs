//! Sources other than the registry: git repositories, tarballs on the disk, and tarballs at other
//! addresses.
//!
//! A repository becomes a tarball at hand before anything of the project is touched; from there on
//! it is a package like any other. [`allowance`] says what may come from where.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::unbounded;
use tokio::sync::mpsc;

use crate::cache::{Cache, Staging};
use crate::delivery::{Parcel, reserved};
use crate::error::{Error, Result};
use crate::extract::{Body, unpack_into};
use crate::fetch::{self, Again, Download, FetchOptions, Fetched};
use crate::integrity::CacheKey;

pub mod address;
pub mod allowance;
pub mod git;
pub mod hosted;
pub mod local;
pub mod manifest;
pub mod pack;
pub mod packlist;
pub mod prepare;
pub mod program;

use crate::fill::Supply;
use crate::journal::{Awaited, Journal};
use crate::running::Running;
use crate::site::Site;
use address::{GitSource, State};
use git::Git;
use prepare::Preparation;

/// The tarballs that repositories were packed into. They are removed when this is dropped.
#[derive(Debug)]
pub struct Packed<'s> {
    cache: &'s Cache,
    staging: Option<Staging>,
    /// Optional parcels that could not be had, with the reason.
    failed: Vec<(usize, Error)>,
}

/// A package from git that asks for no preparation is the same with scripts and without.
pub fn look_up_plain<T>(
    parcel: &mut Parcel<'_>,
    find: impl Fn(CacheKey) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let Some(source) = &parcel.git else { return Ok(None) };
    let plain = source.cache_address(State::Plain)?;
    let found = find(CacheKey::unlocked(plain.as_str()))?;
    if found.is_some() {
        parcel.url = plain;
    }
    Ok(found)
}

/// Clones at a time: each is a download, a checkout and perhaps a build.
const AT_ONCE_MAX: usize = 4;

/// Makes tarballs of the repositories that the cache does not have, and sees that local tarballs
/// are there.
pub fn obtain<'s>(
    site: &Site<'s>,
    parcels: &mut [Parcel<'_>],
    supply: &Supply<'_>,
) -> Result<Packed<'s>> {
    let mut packed = Packed { cache: site.cache, staging: None, failed: Vec::new() };
    for parcel in parcels.iter().filter(|parcel| parcel.stored.is_none() && !parcel.is_optional) {
        if let Some(tarball) = parcel.at_hand.as_ref().filter(|_| parcel.url.scheme() == "file") {
            local::open(tarball)?;
        }
    }
    let mut jobs = Vec::new();
    for (index, parcel) in parcels.iter().enumerate().filter(|(_, one)| one.stored.is_none()) {
        if let Some(source) = &parcel.git {
            let (is_optional, may_be_prepared) = (parcel.is_optional, parcel.may_be_prepared);
            jobs.push(Job { index, source: source.clone(), is_optional, may_be_prepared });
        }
    }
    // What is missing and not optional is refused by then.
    if jobs.is_empty() || supply.settings.offline {
        return Ok(packed);
    }
    let running = Running::watch(site.journal);
    let staging = packed.staging.insert(site.cache.stage(site.bases)?);
    let workshop = Workshop {
        folder: site.cache.directory().join(staging.folder()),
        git: Git::find(&supply.settings.path, &supply.settings.network, &running)?,
        running: &running,
        supply,
        journal: site.journal,
    };
    let unpacked = workshop.fetch_archives(&jobs, supply.fetch_options(site))?;
    let results = workshop.pack_all(&jobs, &unpacked);
    running.check_signal("git repositories were being packed")?;
    for (job, result) in jobs.iter().zip(results) {
        match result {
            Some(Ok((tarball, state))) => {
                parcels[job.index].url = job.source.cache_address(state)?;
                parcels[job.index].at_hand = Some(tarball);
            }
            Some(Err(error)) if job.is_optional => packed.failed.push((job.index, error)),
            Some(Err(error)) => return Err(error),
            // Another one failed first.
            None => {}
        }
    }
    Ok(packed)
}

impl Packed<'_> {
    /// Says of parcels that could not be delivered why that is so.
    pub fn explain(&mut self, failed: &mut [(usize, Error)]) {
        for (index, error) in failed {
            if let Some(place) = self.failed.iter().position(|(packed, _)| packed == index) {
                *error = self.failed.swap_remove(place).1;
            }
        }
    }
}

impl Drop for Packed<'_> {
    fn drop(&mut self) {
        if let Some(staging) = &self.staging {
            self.cache.discard(staging);
        }
    }
}

/// One repository that has to be packed.
struct Job {
    index: usize,
    source: GitSource,
    is_optional: bool,
    may_be_prepared: bool,
}

struct Workshop<'w> {
    folder: PathBuf,
    git: Git,
    running: &'w Running,
    supply: &'w Supply<'w>,
    journal: &'w Journal,
}

impl Workshop<'_> {
    fn clone_folder(&self, job: &Job) -> PathBuf {
        self.folder.join(format!("{}-clone", job.index))
    }

    /// Known hosts have an archive of every commit, which spares the clone. Gives the jobs whose
    /// archives are unpacked; for all others, git is asked (pacote 21, `#clone` in `lib/git.js`).
    fn fetch_archives(&self, jobs: &[Job], options: FetchOptions) -> Result<Vec<usize>> {
        let archive = |job: &Job| {
            let archive = job.source.hosted.as_ref()?.archive(&job.source.commit)?;
            Some(Download {
                index: job.index,
                url: self.supply.settings.registries.archive_url(archive),
                name_version: job.source.to_string(),
                is_wanted: true,
            })
        };
        let downloads: Vec<Download> = jobs.iter().filter_map(archive).collect();
        if downloads.is_empty() {
            return Ok(Vec::new());
        }
        let (bodies, arrivals) = unbounded();
        let (again, asked_again) = mpsc::unbounded_channel();
        let awaited = downloads.len();
        std::thread::scope(|scope| {
            let network = scope.spawn(move || fetch::run(downloads, options, bodies, asked_again));
            let unpacked = self.unpack_archives(jobs, arrivals.iter().take(awaited));
            // The network thread waits for this, unless it has ended by itself.
            let _ = again.send(Again::Finished);
            match network.join() {
                Ok(ran) => ran.and(unpacked),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn unpack_archives(
        &self,
        jobs: &[Job],
        arrivals: impl Iterator<Item = Fetched>,
    ) -> Result<Vec<usize>> {
        let by_index: HashMap<usize, &Job> = jobs.iter().map(|job| (job.index, job)).collect();
        let mut unpacked = Vec::new();
        for Fetched { index, result } in arrivals {
            let (Ok(body), Some(job)) = (result, by_index.get(&index)) else { continue };
            let folder = self.clone_folder(job);
            // git will do where the archive cannot be understood.
            match unpack_archive(reserved(body), &folder) {
                Ok(()) => unpacked.push(index),
                Err(_) => git::remove(&folder)?,
            }
        }
        Ok(unpacked)
    }

    /// In the order of the jobs; after the first failure that matters, nothing new is begun.
    fn pack_all(&self, jobs: &[Job], unpacked: &[usize]) -> Vec<Option<Result<(PathBuf, State)>>> {
        let next = AtomicUsize::new(0);
        let is_stopped = AtomicBool::new(false);
        let results: Vec<_> = jobs.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..jobs.len().min(AT_ONCE_MAX) {
                scope.spawn(|| {
                    while !is_stopped.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(number) else { return };
                        let packed = self.pack(job, unpacked.contains(&job.index));
                        if packed.is_err() && !job.is_optional {
                            is_stopped.store(true, Ordering::Relaxed);
                        }
                        *results[number].lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(packed);
                    }
                });
            }
        });
        let result = |one: Mutex<_>| one.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.into_iter().map(result).collect()
    }

    fn pack(&self, job: &Job, is_unpacked: bool) -> Result<(PathBuf, State)> {
        let Job { index, source, .. } = job;
        let clone = self.clone_folder(job);
        if !is_unpacked {
            let _wait = self.journal.board().begin(Awaited::Repository(source.to_string()));
            self.git.check_out(source, &clone)?;
        }
        let folder = package_folder(&clone, source)?;
        let settings = &self.supply.settings;
        let preparation = Preparation {
            path: &settings.path,
            git: self.git.program(),
            running: self.running,
            is_allowed: job.may_be_prepared,
            exported: &settings.exported,
        };
        let tarball = self.folder.join(format!("{index}.tar"));
        let wait = self
            .journal
            .board()
            .begin(Awaited::Script { package: source.to_string(), script: "prepare".to_owned() });
        let prepared = preparation.prepare(source, &folder);
        drop(wait);
        let packed = prepared.and_then(|state| pack::pack(&folder, &tarball).map(|()| state));
        let state = packed.map_err(|error| {
            let message = format!("failed to pack the git repository {source}");
            let wrapped = Error::new(error.code(), message);
            let wrapped = match error.hint() {
                Some(hint) => wrapped.with_hint(hint),
                None => wrapped,
            };
            wrapped.with_source(error)
        })?;
        git::remove(&clone)?;
        Ok((tarball, state))
    }
}

fn unpack_archive(body: Body, folder: &Path) -> Result<()> {
    std::fs::create_dir(folder).map_err(|error| Error::io("make directory", folder, error))?;
    unpack_into(body, folder)
}

/// Where in the clone the package is. A link on the way there could lead out of it.
fn package_folder(clone: &Path, source: &GitSource) -> Result<PathBuf> {
    let Some(subfolder) = &source.subfolder else { return Ok(clone.to_owned()) };
    let root = clone.canonicalize().map_err(|error| Error::io("find", clone, error))?;
    let folder = root.join(subfolder);
    match folder.canonicalize() {
        Ok(real) if real == folder && real.is_dir() => Ok(folder),
        _ => {
            let message = format!("the git repository {source} has no folder `{subfolder}`");
            Err(Error::new(crate::error::Code::Git, message))
        }
    }
}
