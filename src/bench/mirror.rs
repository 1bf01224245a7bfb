//! `bench mirror`: fills the folder of a frozen registry with what a project's lockfile needs.
//!
//! Tarballs come from the registries that the project is configured for, and are held against the
//! lockfile's integrity. Packuments are made of the lockfile itself, so that a resolution has the
//! lockfile's versions to choose from and none is asked for; or they are those of the registry, for
//! resolutions of the size they have in life. What is there already is kept, and what is missing is
//! added.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use serde_json::Value;
use tokio::sync::mpsc;
use url::Url;

use crate::backend::NetworkDriver;
use crate::bench::serve::content::{ABBREVIATED_NAME, FULL_NAME};
use crate::config::Settings;
use crate::error::{Code, Error, Result};
use crate::fetch::{self, Again, Download, FetchOptions, Fetched};
use crate::http::{Body, Budget, Limits};
use crate::integrity::Integrity;
use crate::journal::Journal;
use crate::plan::count;
use crate::platform::Platform;
use crate::report::Reporter;

pub mod locked;
pub mod packument;

use locked::{Lock, Locked, tarball_path};

/// What a mirror is to hold.
#[derive(Clone, Debug)]
pub struct MirrorRequest {
    /// The project's folder.
    pub project: PathBuf,
    pub into: PathBuf,
    pub settings: Settings,
    pub packuments: Packuments,
    /// More packuments, by name, where they are those of the registry.
    pub names: Vec<String>,
    /// Tarballs of packages for another os or cpu, too; those for another libc are there always.
    pub has_all_platforms: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Packuments {
    /// Made of the lockfile.
    #[default]
    Locked,
    /// Those of the registry, without what was published after the date (ISO 8601).
    Published { before: Option<String> },
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Tarballs that the mirror holds for the lockfile.
    pub tarballs: usize,
    /// Those that had to be downloaded.
    pub downloaded: usize,
    pub packuments: usize,
    /// Packages of the lockfile that come from no registry: who installs them asks elsewhere.
    pub elsewhere: usize,
    /// Optional packages that could not be had, and why.
    pub left_out: Vec<String>,
}

/// What one download is for.
enum Wanted<'l> {
    Tarball(&'l Locked),
    Packument(String),
}

/// Tarballs between the network and the disk.
const BODIES_BYTES_MAX: u64 = 48 << 20;
/// The address that is written into packuments; a server puts its own in its place.
const ORIGIN: &str = "http://127.0.0.1:4873/";

pub fn mirror(request: &MirrorRequest, reporter: Reporter) -> Result<Mirrored> {
    let registries = &request.settings.registries;
    let lock = Lock::read(&request.project)?;
    let (packages, elsewhere) = lock.packages(registries)?;
    let into = &request.into;
    fs::create_dir_all(into).map_err(|error| Error::io("make directory", into, error))?;
    let mut mirrored = Mirrored { elsewhere, ..Mirrored::default() };

    let platform = Platform::current();
    let mut wanted = Vec::new();
    for locked in &packages {
        if !request.has_all_platforms && !locked.fits_but_for_libc(&platform) {
            continue;
        }
        mirrored.tarballs += 1;
        if !tarball_file(into, locked).exists() {
            wanted.push(Wanted::Tarball(locked));
        }
    }
    mirrored.downloaded = wanted.len();
    match &request.packuments {
        Packuments::Locked => mirrored.packuments = write_locked(into, &packages)?,
        Packuments::Published { .. } => {
            let names: BTreeSet<_> =
                packages.iter().map(|locked| &locked.name).chain(&request.names).collect();
            mirrored.packuments = names.len();
            let is_missing = |name: &&String| !into.join(name).join(FULL_NAME).exists();
            let missing = names.into_iter().filter(is_missing);
            wanted.extend(missing.map(|name| Wanted::Packument(name.clone())));
        }
    }
    let left_out = download(request, &wanted, reporter)?;
    mirrored.downloaded -= left_out.len();
    mirrored.tarballs -= left_out.len();
    mirrored.left_out = left_out;
    Ok(mirrored)
}

/// Writes a packument for each package of the lockfile, over one of an earlier lockfile.
fn write_locked(into: &Path, packages: &[Locked]) -> Result<usize> {
    let mut by_name: BTreeMap<&str, Vec<&Locked>> = BTreeMap::new();
    for locked in packages {
        by_name.entry(&locked.name).or_default().push(locked);
    }
    for (name, versions) in &by_name {
        let packument = packument::of_lock(name, versions, ORIGIN);
        put(&into.join(name).join(ABBREVIATED_NAME), packument.to_string().as_bytes())?;
    }
    Ok(by_name.len())
}

/// Gets all that is wanted. Tells the optional packages that could not be had.
fn download(
    request: &MirrorRequest,
    wanted: &[Wanted<'_>],
    reporter: Reporter,
) -> Result<Vec<String>> {
    let downloads = wanted
        .iter()
        .enumerate()
        .map(|(index, wanted)| Ok(Download { index, is_wanted: true, ..wanted.download(request)? }))
        .collect::<Result<Vec<_>>>()?;
    if downloads.is_empty() {
        return Ok(Vec::new());
    }
    let options = FetchOptions {
        driver: NetworkDriver::Auto,
        network: request.settings.network.clone(),
        registries: Arc::new(request.settings.registries.clone()),
        limits: Limits::default(),
        budget: Budget::new(BODIES_BYTES_MAX),
        spool: request.into.clone(),
        journal: Journal::default(),
    };
    let (deliver, delivered) = crossbeam_channel::unbounded();
    let (again, asked_again) = mpsc::unbounded_channel();
    let total = downloads.len();
    reporter.notice(&format!("filling {} with {}", request.into.display(), count(total, "file")));
    thread::scope(|scope| {
        let network = scope.spawn(move || fetch::run(downloads, options, deliver, asked_again));
        let stored = store_all(request, wanted, delivered.iter().take(total));
        // It has ended already where its channel is closed.
        let _ = again.send(Again::Finished);
        drop(delivered);
        match network.join() {
            // What was delivered is told first: the network ends early where no one listens.
            Ok(ran) => stored.and_then(|left_out| ran.map(|_| left_out)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn store_all(
    request: &MirrorRequest,
    wanted: &[Wanted<'_>],
    delivered: impl Iterator<Item = Fetched>,
) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    for Fetched { index, result } in delivered {
        let stored = result.and_then(|body| match &wanted[index] {
            Wanted::Tarball(locked) => store_tarball(&request.into, locked, body),
            Wanted::Packument(name) => store_packument(request, name, body),
        });
        match (&wanted[index], stored) {
            (_, Ok(())) => {}
            (Wanted::Tarball(locked), Err(error)) if locked.is_optional() => {
                left_out.push(format!("{}@{}: {error}", locked.name, locked.version));
            }
            (_, Err(error)) => return Err(error),
        }
    }
    Ok(left_out)
}

impl Wanted<'_> {
    fn download(&self, request: &MirrorRequest) -> Result<Download> {
        let (url, name_version) = match self {
            Wanted::Tarball(locked) => {
                (locked.url.clone(), format!("{}@{}", locked.name, locked.version))
            }
            Wanted::Packument(name) => {
                (packument_url(request.settings.registries.registry_of(name), name)?, name.clone())
            }
        };
        Ok(Download { index: 0, url, name_version, is_wanted: true })
    }
}

/// A scope's slash is written as `%2f`, as npm does it (npm-package-arg, `escapedName`).
fn packument_url(registry: &Url, name: &str) -> Result<Url> {
    let escaped = name.replace('/', "%2f");
    let refused = |error| {
        let message = format!("`{name}` is not a name that a registry can have");
        Error::new(Code::Usage, message).with_source(error)
    };
    registry.join(&escaped).map_err(refused)
}

fn tarball_file(into: &Path, locked: &Locked) -> PathBuf {
    into.join(tarball_path(&locked.name, &locked.version))
}

/// Puts a tarball in its place if it is what the lockfile says.
fn store_tarball(into: &Path, locked: &Locked, body: Body) -> Result<()> {
    let path = tarball_file(into, locked);
    let integrity = locked.integrity().map(Integrity::parse).transpose()?;
    match body {
        Body::Memory { bytes, .. } => {
            if let Some(integrity) = integrity {
                integrity.check(&bytes)?;
            }
            put(&path, &bytes)
        }
        Body::File { mut file, .. } => {
            let part = part(&path)?;
            File::create(&part)
                .and_then(|mut copy| io::copy(&mut file, &mut copy))
                .map_err(|error| Error::io("write", &part, error))?;
            if let Some(integrity) = integrity {
                let bytes = fs::read(&part).map_err(|error| Error::io("read", &part, error))?;
                integrity.check(&bytes)?;
            }
            fs::rename(&part, &path).map_err(|error| Error::io("rename", &part, error))
        }
    }
}

fn store_packument(request: &MirrorRequest, name: &str, body: Body) -> Result<()> {
    let parsed = match body {
        Body::Memory { bytes, .. } => serde_json::from_slice(&bytes),
        Body::File { file, .. } => serde_json::from_reader(io::BufReader::new(file)),
    };
    let mut full: Value = parsed.map_err(|error| {
        Error::new(Code::JsonParse, format!("failed to parse the packument of {name}"))
            .with_source(error)
    })?;
    if let Packuments::Published { before: Some(date) } = &request.packuments {
        full = packument::as_of(full, date);
    }
    let folder = request.into.join(name);
    let short = packument::abbreviate(&full);
    put(&folder.join(ABBREVIATED_NAME), short.to_string().as_bytes())?;
    // Last, for it is what says that both are there.
    put(&folder.join(FULL_NAME), full.to_string().as_bytes())
}

/// The name under which a file is written; the folder is made.
fn part(path: &Path) -> Result<PathBuf> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Error::io("make directory", folder, error))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    Ok(name.into())
}

/// A file is there whole or not at all.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = part(path)?;
    fs::write(&part, bytes).map_err(|error| Error::io("write", &part, error))?;
    fs::rename(&part, path).map_err(|error| Error::io("rename", &part, error))
}

/// `12 tarballs (3 downloaded) and 10 packuments`.
impl std::fmt::Display for Mirrored {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tarballs, downloaded, packuments, .. } = self;
        let (tarballs, packuments) = (count(*tarballs, "tarball"), count(*packuments, "packument"));
        write!(formatter, "{tarballs} ({downloaded} downloaded) and {packuments}")
    }
}
