//! `ringstall bench`: the phases table of a project, for ours and for other package managers.
//!
//! Everyone installs the same lockfile from the same frozen registry on loopback, in a home and
//! cache of its own, in turn, each run in a new folder. Each run is checked before it counts: its
//! tree against the lockfile, its requests against what the phase allows. What was measured are
//! values ([`Report`]); how they are told is for [`table`], [`export`] and
//! [`plot`].

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::backend::machine;
use crate::backend::mounts::Mount;
use crate::config::Settings;
use crate::error::{Code, Error, Result};
use crate::report::Reporter;

pub mod census;
pub mod contender;
pub mod export;
pub mod figure;
pub mod floor;
pub mod ground;
pub mod matrix;
pub mod measure;
pub mod mirror;
pub mod phase;
pub mod plot;
pub mod registry;
pub mod seed;
pub mod serve;
pub mod session;
mod summary;
pub mod table;
pub mod trace;
pub mod verdict;

use contender::{Contender, Manager, find_program, version_of};
use figure::Run;
use matrix::Matrix;
use mirror::locked::Lock;
use mirror::{MirrorRequest, Packuments, mirror};
use phase::Phase;
use registry::{Line, Registry};
use seed::Soil;
use session::Session;
use trace::Trace;
use verdict::Standard;

/// What is to be measured, and how.
#[derive(Clone, Debug)]
pub struct BenchRequest {
    /// The project's folder; nothing is written to it.
    pub project: PathBuf,
    pub settings: Settings,
    pub phases: Vec<Phase>,
    pub rounds: usize,
    pub rivals: Rivals,
    /// Other builds of ours, by name.
    pub others: Vec<(String, PathBuf)>,
    pub matrix: Matrix,
    pub has_floor: bool,
    /// Whether one more cold install of ours is to be traced.
    pub has_trace: bool,
    /// A mirror that is there or is to be made; without it, one for this bench alone.
    pub mirror: Option<PathBuf>,
    pub line: Line,
    /// A folder for a new folder in which everything takes place.
    pub work: PathBuf,
    pub keeps_work: bool,
    pub image_bytes: u64,
    /// Where images of filesystems are put.
    pub images: PathBuf,
    /// This program.
    pub ringstall: PathBuf,
    /// Where programs are looked for.
    pub path: String,
}

/// Who else takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rivals {
    /// All that are found.
    Found,
    /// These, by the program's path or by a name that has to be found.
    Named(Vec<(Manager, Option<PathBuf>)>),
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The machine, the filesystem, the registry and the project, in a line.
    pub surroundings: String,
    pub contenders: Vec<Contender>,
    pub phases: Vec<Phase>,
    /// The filesystems that were made, if any were.
    pub filesystems: Vec<&'static str>,
    pub rounds: usize,
    pub runs: Vec<Run>,
    /// What one more cold install of ours did when, where that was asked for.
    pub trace: Option<Trace>,
}

pub const OURS: &str = "ringstall";
/// Behind the name of one that takes part twice.
const AGAIN: &str = " again";

/// Measures all that is asked for, and hands it to `tell`. What the runs have left is removed after
/// that: it may take minutes.
pub fn run(
    request: &BenchRequest,
    reporter: Reporter,
    tell: impl FnOnce(&Report) -> Result<()>,
) -> Result<()> {
    let lock = Lock::read(&request.project)?;
    let work = Work::make(&request.work, request.keeps_work)?;
    let contenders = contenders(request, &work.directory)?;
    let directory = match &request.mirror {
        Some(directory) => std::path::absolute(directory)
            .map_err(|error| Error::io("find the mirror", directory, error))?,
        None => work.directory.join("mirror"),
    };
    fill_mirror(request, &directory, reporter)?;
    let is_utoo = |contender: &&Contender| contender.manager == Manager::Utoo;
    let known: Vec<_> = contenders
        .iter()
        .find(is_utoo)
        .map(|utoo| (Manager::Utoo.name(), utoo.version.as_str()))
        .into_iter()
        .collect();
    let mut registry =
        Registry::start(&request.ringstall, &directory, request.line, &known, &work.directory)?;
    let (url, authority) = (registry.url.clone(), registry.authority.clone());
    let session = Session {
        contenders: &contenders,
        phases: &request.phases,
        rounds: request.rounds,
        filesystems: &request.matrix.filesystems,
        image_bytes: request.image_bytes,
        images: &request.images,
        work: &work.directory,
        ringstall: &request.ringstall,
        soil: Soil {
            project: &request.project,
            lock: &lock,
            registries: &request.settings.registries,
            registry: &url,
            authority: authority.as_deref(),
            path: &request.path,
        },
        reporter,
    };
    let runs = session.run(Standard::new(&lock), &mut registry)?;
    let trace = if request.has_trace { session.trace()? } else { None };
    drop(registry);
    let filesystems = request.matrix.filesystems.iter().map(|kind| kind.name()).collect();
    let surroundings = surroundings(request, &lock, &work.directory);
    let (phases, rounds) = (request.phases.clone(), request.rounds);
    let told = tell(&Report { surroundings, contenders, phases, filesystems, rounds, runs, trace });
    work.clear()?;
    told
}

fn fill_mirror(request: &BenchRequest, into: &Path, reporter: Reporter) -> Result<()> {
    let request = MirrorRequest {
        project: request.project.clone(),
        into: into.to_owned(),
        settings: request.settings.clone(),
        // Those of the registry are kept where they are there.
        packuments: Packuments::Locked,
        names: Vec::new(),
        has_all_platforms: false,
    };
    let mirrored = mirror(&request, reporter)?;
    reporter.notice(&format!("the mirror {} has {mirrored}", into.display()));
    for why in &mirrored.left_out {
        reporter.warn(&format!("not in the mirror: {why}"));
    }
    if mirrored.elsewhere > 0 {
        reporter.warn(&format!(
            "{} of the lockfile come from no registry: they are not in the mirror",
            crate::plan::count(mirrored.elsewhere, "package")
        ));
    }
    Ok(())
}

/// Ours first: its first tree is what others are held against.
fn contenders(request: &BenchRequest, home: &Path) -> Result<Vec<Contender>> {
    let version = |label: &str, program: &Path| version_of(label, program, &request.path, home);
    let own = version(OURS, &request.ringstall)?;
    let ours = |label: &str, options: &[String]| Contender {
        label: label.to_owned(),
        manager: Manager::Ringstall,
        program: request.ringstall.clone(),
        options: options.to_vec(),
        version: own.clone(),
    };
    let mut contenders: Vec<Contender> = Vec::new();
    let variants = request.matrix.variants();
    if let Some(first) = variants.first() {
        contenders.extend(variants.iter().map(|one| ours(&one.label, &one.options)));
        contenders.push(ours(&format!("{}{AGAIN}", first.label), &first.options));
    } else {
        contenders.extend([ours(OURS, &[]), ours(&format!("{OURS}{AGAIN}"), &[])]);
        let plain = ["--io", "threads", "--net", "epoll"].map(str::to_owned);
        contenders.push(ours("threads", &plain));
    }
    for (label, program) in &request.others {
        let version = version(label, program)?;
        let manager = Manager::Ringstall;
        let (label, program) = (label.clone(), program.clone());
        contenders.push(Contender { label, manager, program, options: Vec::new(), version });
    }
    for (manager, program) in rivals(request)? {
        let label = manager.name().to_owned();
        let version = version(&label, &program)?;
        contenders.push(Contender { label, manager, program, options: Vec::new(), version });
    }
    if request.has_floor {
        contenders.push(Contender { manager: Manager::Floor, ..ours("floor", &[]) });
    }
    let mut labels: Vec<_> = contenders.iter().map(|contender| &contender.label).collect();
    labels.sort();
    let twice = labels.windows(2).find_map(|pair| match pair {
        [first, second] if first == second => Some(first),
        _ => None,
    });
    if let Some(label) = twice {
        let message = format!("two contenders are called `{label}`");
        return Err(Error::new(Code::Usage, message));
    }
    Ok(contenders)
}

fn rivals(request: &BenchRequest) -> Result<Vec<(Manager, PathBuf)>> {
    let find = |manager: Manager| find_program(manager.name(), &request.path);
    let named = match &request.rivals {
        Rivals::Found => {
            let found = Manager::RIVALS.into_iter();
            return Ok(found.filter_map(|manager| Some((manager, find(manager)?))).collect());
        }
        Rivals::Named(named) => named,
    };
    let found = named.iter().map(|(manager, program)| {
        let program = program.clone().or_else(|| find(*manager)).ok_or_else(|| {
            let name = manager.name();
            Error::new(Code::Usage, format!("`{name}` is not on the search path"))
                .with_hint(format!("say where it is: `--against {name}=PATH`"))
        })?;
        // A project folder is the working directory, so a relative path would be lost. Links stay:
        // a program may go by the name under which it is called.
        let absolute = std::path::absolute(&program).and_then(|path| path.metadata().map(|_| path));
        let program = absolute.map_err(|error| Error::io("find", &program, error))?;
        Ok((*manager, program))
    });
    found.collect()
}

fn surroundings(request: &BenchRequest, lock: &Lock, work: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let filesystem = if request.matrix.filesystems.is_empty() {
        Mount::of(work).map_or("an unknown filesystem".to_owned(), |mount| mount.kind)
    } else {
        format!("new filesystems in images in {}", request.images.display())
    };
    let Line { is_secure, latency, bytes_per_second } = request.line;
    let mut line = if is_secure { "https" } else { "http" }.to_owned();
    if !latency.is_zero() {
        let _ = write!(line, " with {} ms of latency", latency.as_millis());
    }
    if let Some(bytes) = bytes_per_second {
        let _ = write!(line, " at {} Mbit/s", bytes / registry::BYTES_OF_MEGABIT);
    }
    let memory =
        if machine::reports_free_pages() { " (its host takes free memory back)" } else { "" };
    let name = lock.value["name"].as_str().unwrap_or("the project");
    let packages = lock.entries().filter(|(path, _)| path.contains("node_modules/")).count();
    format!(
        "{}, Linux {}, {cores} cores{memory}, {filesystem}, {line} on loopback, {name} ({packages} \
         packages in its lockfile)",
        machine::processor().unwrap_or_else(|| "an unknown processor".to_owned()),
        machine::kernel_release(),
    )
}

impl Report {
    /// How a contender is called in a warm run, without what is the same for all.
    pub fn call(&self, contender: &Contender) -> String {
        let places = contender::Places {
            registry: "URL",
            authority: None,
            state: Path::new("STATE"),
            source: Some(Path::new("SOURCE")),
        };
        let words = contender.arguments(Phase::Warm, &places);
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let program = contender.program.file_name().unwrap_or_default().to_string_lossy();
        format!("{program} {}", words.join(" "))
    }

    /// The two that are the same program.
    pub fn twins(&self) -> Option<(&str, &str)> {
        let is_again = |contender: &&Contender| contender.label.ends_with(AGAIN);
        let second = &self.contenders.iter().find(is_again)?.label;
        Some((second.strip_suffix(AGAIN)?, second))
    }

    /// Those that ratios are taken against: everyone but ours as it is by default, which is what
    /// is compared, and but the second of two that are the same. Of a matrix it is the first point.
    pub fn references(&self) -> impl Iterator<Item = &String> {
        let first = self.contenders.first().map(|contender| &contender.label);
        let is_matrix = first.is_some_and(|first| first != OURS);
        let is_reference = move |contender: &&Contender| {
            let label = &contender.label;
            if contender.manager != Manager::Ringstall || self.is_other_build(contender) {
                return true;
            }
            if is_matrix { Some(label) == first } else { label != OURS && !label.ends_with(AGAIN) }
        };
        self.contenders.iter().filter(is_reference).map(|contender| &contender.label)
    }

    /// Whether it is ringstall, but not this program.
    fn is_other_build(&self, contender: &Contender) -> bool {
        self.contenders.first().is_some_and(|first| first.program != contender.program)
    }
}

/// A new folder, removed at the end with what is in it.
#[derive(Debug)]
struct Work {
    directory: PathBuf,
    is_kept: bool,
}

impl Work {
    fn make(parent: &Path, is_kept: bool) -> Result<Self> {
        let parent =
            std::path::absolute(parent).map_err(|error| Error::io("find", parent, error))?;
        let directory = parent.join(format!("ringstall-bench-{}", std::process::id()));
        fs::create_dir_all(&parent)
            .and_then(|()| fs::create_dir(&directory))
            .map_err(|error| Error::io("make directory", &directory, error))?;
        Ok(Self { directory, is_kept })
    }

    fn clear(mut self) -> Result<()> {
        let is_kept = std::mem::replace(&mut self.is_kept, true);
        if is_kept {
            return Ok(());
        }
        ground::remove(&self.directory)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.is_kept {
            // After a failure, which is what is told.
            let _ = ground::remove(&self.directory);
        }
    }
}
