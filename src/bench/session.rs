//! The runs themselves: everyone is prepared, then takes turns, and nothing is deleted before the
//! last run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::census::{self, Census};
use super::contender::{Contender, Manager, Places};
use super::figure::{Figure, Figures, Run};
use super::ground::Ground;
use super::matrix::FilesystemKind;
use super::measure::Measured;
use super::phase::Phase;
use super::registry::Registry;
use super::seed::{Soil, copy_folder, make_state};
use super::serve::Account;
use super::summary;
use super::trace::Trace;
use super::verdict::{Left, Standard, fault_of_requests};
use crate::error::{Code, Error, Result};
use crate::report::Reporter;

/// What one bench consists of, ready to be run.
#[derive(Debug)]
pub struct Session<'s> {
    pub contenders: &'s [Contender],
    pub phases: &'s [Phase],
    pub rounds: usize,
    pub filesystems: &'s [FilesystemKind],
    /// The most that a filesystem may hold.
    pub image_bytes: u64,
    /// Where images of filesystems are.
    pub images: &'s Path,
    pub work: &'s Path,
    /// This program, which measures others.
    pub ringstall: &'s Path,
    pub soil: Soil<'s>,
    pub reporter: Reporter,
}

/// What changes from run to run.
struct Course<'s> {
    session: &'s Session<'s>,
    registry: &'s mut Registry,
    standard: Standard,
    runs: Vec<Run>,
    /// The most that one run has taken of the disk.
    bytes_max: u64,
}

/// Where one run takes place and what it is.
#[derive(Clone, Copy)]
struct Turn<'t> {
    ground: &'t Path,
    filesystem: Option<&'static str>,
    phase: Phase,
    round: usize,
    /// The number of the contender.
    index: usize,
}

/// Room that has to be left beside what a run takes, which is not known of the first.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// Of what a program said before it failed.
const SAID_LINES_MAX: usize = 3;

impl Session<'_> {
    /// Makes all runs in order: A B C, then C B A, and so on.
    pub fn run(&self, standard: Standard, registry: &mut Registry) -> Result<Vec<Run>> {
        for (index, contender) in self.contenders.iter().enumerate() {
            if contender.manager == Manager::Floor {
                continue;
            }
            for phase in self.phases {
                let seed = self.seed(index, *phase);
                if contender.takes_part(*phase, 0) && !seed.exists() {
                    self.soil.seed(contender, &seed, phase.has_lockfile())?;
                }
            }
        }
        let runs = Vec::new();
        let mut course = Course { session: self, registry, standard, runs, bytes_max: 0 };
        if self.filesystems.is_empty() {
            let ground = Ground::folder(self.work.join("runs"))?;
            course.run_on(&ground.directory, None, 0..self.rounds)?;
        }
        for round in 0..if self.filesystems.is_empty() { 0 } else { self.rounds } {
            for kind in self.filesystems {
                // A new one each time: none has been written to by an earlier round.
                let directory = self.work.join("mounted");
                let ground = Ground::mount(*kind, self.image_bytes, self.images, directory)?;
                course.run_on(&ground.directory, Some(kind.name()), round..round + 1)?;
                ground.clear()?;
            }
        }
        Ok(course.runs)
    }

    /// One more cold install of the first of ours, traced; it is no run that counts.
    pub fn trace(&self) -> Result<Option<Trace>> {
        let Some(first) = self.contenders.first() else { return Ok(None) };
        let folder = self.work.join("traced");
        let (project, state, path) =
            (folder.join("project"), folder.join("state"), folder.join("trace.json"));
        let mut traced = first.clone();
        traced.options.extend(["--timings".to_owned(), path.to_string_lossy().into_owned()]);
        self.soil.seed(&traced, &project, true)?;
        make_state(&state)?;
        let places = Places {
            registry: self.soil.registry,
            authority: self.soil.authority,
            state: &state,
            source: None,
        };
        let seen = start(self, &traced, Phase::Cold, &places, &project)?;
        if let Some(fault) = seen.fault(&self.work.to_string_lossy()) {
            self.reporter.warn(&format!("no trace of {}: {fault}", first.label));
            return Ok(None);
        }
        let text = fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
        Ok(Trace::parse(&text))
    }

    /// The number of the contender whose tree the floor makes again.
    fn first_of_ours(&self) -> Option<usize> {
        let is_ours = |contender: &Contender| contender.manager == Manager::Ringstall;
        self.contenders.iter().position(is_ours)
    }

    /// The folder that projects are copied from.
    fn seed(&self, index: usize, phase: Phase) -> PathBuf {
        let kind = if phase.has_lockfile() { "locked" } else { "bare" };
        self.work.join("seeds").join(format!("{index}-{kind}"))
    }
}

impl Course<'_> {
    fn run_on(
        &mut self,
        ground: &Path,
        filesystem: Option<&'static str>,
        rounds: std::ops::Range<usize>,
    ) -> Result<()> {
        let session = self.session;
        let count = session.contenders.len();
        // For each contender: nothing yet, or why its warm-up failed if it did.
        let mut warmed: Vec<Option<Option<String>>> = vec![None; count];
        // The same of the tree that the floor of cold runs makes again.
        let mut model: Option<Option<String>> = None;
        for phase in session.phases.iter().copied() {
            for round in rounds.clone() {
                let mut order: Vec<usize> = (0..count).collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                order.retain(|index| session.contenders[*index].takes_part(phase, round));
                let turn = |index| Turn { ground, filesystem, phase, round, index };
                let is_floor = |index: usize| session.contenders[index].manager == Manager::Floor;
                let first = session.first_of_ours();
                if phase.has_warm_cache() {
                    // All of them before the first that counts.
                    for (index, warmed) in warmed.iter_mut().enumerate() {
                        if order.contains(&index) && !is_floor(index) && warmed.is_none() {
                            *warmed = Some(self.warm_up(turn(index))?);
                        }
                    }
                } else if let Some(first) = first
                    && order.iter().copied().any(is_floor)
                    && model.is_none()
                {
                    model = Some(self.make_model(turn(first))?);
                }
                for index in order {
                    let fault = match (phase.has_warm_cache(), is_floor(index)) {
                        (true, true) => first.and_then(|first| warmed[first].clone()),
                        (true, false) => warmed[index].clone(),
                        (false, true) => model.clone(),
                        (false, false) => None,
                    };
                    let fault = fault.flatten();
                    let run = match fault {
                        None => self.measure(turn(index))?,
                        Some(fault) => turn(index).not_run(session, fault),
                    };
                    self.tell(&run);
                    self.runs.push(run);
                }
            }
        }
        Ok(())
    }

    /// Fills the cache that later runs share. Tells why that failed, if it did.
    fn warm_up(&mut self, turn: Turn<'_>) -> Result<Option<String>> {
        self.install("warm-up", turn, &turn.warm_state())
    }

    /// Makes a tree with a cache that no run has, so that none finds its own in memory.
    fn make_model(&mut self, turn: Turn<'_>) -> Result<Option<String>> {
        self.install("model", turn, &turn.folder("model").join("state"))
    }

    /// A cold run that does not count. Tells why it failed, if it did.
    fn install(&mut self, what: &str, turn: Turn<'_>, state: &Path) -> Result<Option<String>> {
        if let Some(fault) = self.lacks_room(turn.ground)? {
            return Ok(Some(format!("its {what} failed: {fault}")));
        }
        let project = turn.folder(what).join("project");
        let turn = Turn { phase: Phase::Cold, ..turn };
        self.prepare(turn, &project)?;
        let run = self.measure_in(turn, &project, state)?;
        Ok(run.fault.map(|fault| format!("its {what} failed: {fault}")))
    }

    fn measure(&mut self, turn: Turn<'_>) -> Result<Run> {
        if let Some(fault) = self.lacks_room(turn.ground)? {
            return Ok(turn.not_run(self.session, fault));
        }
        let folder = turn.folder(&format!("{}-{}", turn.phase, turn.round));
        let project = folder.join("project");
        let has_warm_cache = turn.phase.has_warm_cache();
        let state = if has_warm_cache { turn.warm_state() } else { folder.join("state") };
        self.prepare(turn, &project)?;
        if turn.phase == Phase::Unchanged {
            // What is to be found unchanged is installed first, in the same words.
            let run = self.measure_in(turn, &project, &state)?;
            if let Some(fault) = run.fault {
                let fault = format!("the installation before it failed: {fault}");
                return Ok(turn.not_run(self.session, fault));
            }
        }
        self.measure_in(turn, &project, &state)
    }

    /// Makes the project's folder as it is at the start.
    fn prepare(&mut self, turn: Turn<'_>, project: &Path) -> Result<()> {
        let session = self.session;
        match session.contenders[turn.index].manager {
            Manager::Floor => make(project),
            _ => copy_folder(&session.seed(turn.index, turn.phase), project),
        }
    }

    fn measure_in(&mut self, turn: Turn<'_>, project: &Path, state: &Path) -> Result<Run> {
        let session = self.session;
        let contender = &session.contenders[turn.index];
        make_state(state)?;
        let source = turn.floor_source(session);
        let places = Places {
            registry: session.soil.registry,
            authority: session.soil.authority,
            state,
            source: source.as_deref(),
        };
        rustix::fs::sync();
        let free = free_bytes(turn.ground)?;
        self.registry.begin()?;
        let seen = start(session, contender, turn.phase, &places, project)?;
        let account = self.registry.end()?;
        let taken = free.saturating_sub(free_bytes(turn.ground)?);
        self.bytes_max = self.bytes_max.max(taken);
        self.judge(turn, project, state, &seen, &account)
    }

    /// What a run left behind, and whether it counts.
    fn judge(
        &mut self,
        turn: Turn<'_>,
        project: &Path,
        state: &Path,
        seen: &Seen,
        account: &Account,
    ) -> Result<Run> {
        let contender = &self.session.contenders[turn.index];
        let mut figures = seen.measured.figures();
        let mut announced = None;
        if contender.manager == Manager::Ringstall {
            announced = summary::add(&seen.said, &mut figures);
        } else if contender.manager == Manager::Floor
            && let Ok(own) = serde_json::from_slice::<Measured>(&seen.said)
        {
            // Without its walk of the source.
            figures = own.figures();
        }
        let tree = census::count(&project.join("node_modules"))?;
        let packages = census::packages(project)?;
        let top_names = census::top_names(project)?;
        let kept = census::count(state)?;
        let lock_bytes = lock_bytes(contender, project);
        add_sizes(&mut figures, tree, kept, lock_bytes);
        add_account(&mut figures, account);
        let work = self.session.work.to_string_lossy();
        let fault = seen.fault(&work).or_else(|| {
            let (packages, top_names) = (&packages, &top_names);
            let left = Left { census: tree, packages, top_names, announced, lock_bytes };
            let of_tree = self.standard.fault(contender.manager, turn.phase, &left);
            let is_client = contender.manager != Manager::Floor;
            of_tree.or_else(|| fault_of_requests(turn.phase, &account.counts).filter(|_| is_client))
        });
        Ok(turn.run(self.session, figures, fault))
    }

    /// Why a run cannot be made that would fill the disk: what it would fail with could be many
    /// other things. Those that were made before keep their place in the tables.
    fn lacks_room(&self, ground: &Path) -> Result<Option<String>> {
        let mut free = free_bytes(ground)?;
        if !self.session.filesystems.is_empty() {
            // An image takes what is written to it, whatever the size of its filesystem.
            free = free.min(free_bytes(self.session.images)?);
        }
        let wanted = self.bytes_max + self.bytes_max / 4 + FREE_BYTES_MIN;
        Ok((free < wanted).then(|| {
            format!(
                "only {free} bytes are free and a run may take {wanted}: take fewer --rounds, or a \
                 larger disk with --work, --images or --image-size"
            )
        }))
    }

    fn tell(&self, run: &Run) {
        let Run { contender, phase, round, figures, .. } = run;
        let place = run.filesystem.map(|kind| format!("{kind} ")).unwrap_or_default();
        let wall = figures.get(Figure::Wall).unwrap_or_default();
        let switches = figures.switches().map(|number| format!(", {number:.0} switches"));
        let fault = run.fault.as_ref().map(|why| format!(": NOT COUNTED: {why}"));
        self.session.reporter.notice(&format!(
            "{place}{phase} {round} {contender}: {wall:.2} s{}{}",
            switches.unwrap_or_default(),
            fault.unwrap_or_default(),
        ));
    }
}

impl Turn<'_> {
    fn folder(&self, what: &str) -> PathBuf {
        self.ground.join(format!("{what}-{}", self.index))
    }

    fn warm_state(&self) -> PathBuf {
        self.ground.join(format!("warm-{}", self.index))
    }

    /// The tree that the floor makes again. That of a warm run is the one that the warm-up left.
    fn floor_source(&self, session: &Session<'_>) -> Option<PathBuf> {
        let first = Turn { index: session.first_of_ours()?, ..*self };
        let what = if self.phase.has_warm_cache() { "warm-up" } else { "model" };
        Some(first.folder(what).join("project/node_modules"))
    }

    fn run(&self, session: &Session<'_>, figures: Figures, fault: Option<String>) -> Run {
        Run {
            contender: session.contenders[self.index].label.clone(),
            phase: self.phase,
            filesystem: self.filesystem,
            round: self.round,
            figures,
            fault,
        }
    }

    fn not_run(&self, session: &Session<'_>, fault: String) -> Run {
        self.run(session, Figures::default(), Some(fault))
    }
}

/// What was seen of one run.
struct Seen {
    measured: Measured,
    /// Its standard output.
    said: Vec<u8>,
    complaints: Vec<u8>,
}

fn start(
    session: &Session<'_>,
    contender: &Contender,
    phase: Phase,
    places: &Places<'_>,
    project: &Path,
) -> Result<Seen> {
    let beside = |name: &str| project.with_file_name(name);
    let (report, said, complaints) = (beside("report"), beside("said"), beside("complaints"));
    let create = |path: &Path| File::create(path).map_err(|error| Error::io("make", path, error));
    let status = Command::new(session.ringstall)
        .args(["bench", "measure"])
        .arg(&report)
        .arg(&contender.program)
        .args(contender.arguments(phase, places))
        .current_dir(project)
        .env_clear()
        .envs(contender.environment(places, session.soil.path))
        .stdin(Stdio::null())
        .stdout(create(&said)?)
        .stderr(create(&complaints)?)
        .status()
        .map_err(|error| Error::io("run", session.ringstall, error))?;
    let read = |path: &Path| fs::read(path).map_err(|error| Error::io("read", path, error));
    if !status.success() {
        let said = String::from_utf8_lossy(&read(&complaints)?).into_owned();
        let message = format!("`{}` cannot be run: {}", contender.label, said.trim());
        return Err(Error::new(Code::Io, message));
    }
    let measured = Measured::read(&report)?;
    Ok(Seen { measured, said: read(&said)?, complaints: read(&complaints)? })
}

impl Seen {
    /// Why it failed, if it did. `work` is the folder that the reader need not know.
    fn fault(&self, work: &str) -> Option<String> {
        let how = match self.measured.exit_code {
            Some(0) => return None,
            Some(code) => format!("exit code {code}"),
            None => "ended by a signal".to_owned(),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let mut said = text(&self.complaints);
        if said.is_empty() {
            said = text(&self.said);
        }
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(SAID_LINES_MAX)..];
        Some(format!("{how}: {}", last.join(" / ").replace(work, "[WORK]")))
    }
}

/// What is left of the filesystem that a folder is on, for us.
fn free_bytes(folder: &Path) -> Result<u64> {
    let failed = |error: rustix::io::Errno| Error::io("ask for room on", folder, error.into());
    let room = rustix::fs::statvfs(folder).map_err(failed)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

fn lock_bytes(contender: &Contender, project: &Path) -> u64 {
    let length = |name: &&str| fs::metadata(project.join(name)).ok().map(|found| found.len());
    contender.lockfiles().iter().find_map(length).unwrap_or_default()
}

fn add_sizes(figures: &mut Figures, tree: Census, kept: Census, lock_bytes: u64) {
    figures.set_count(Figure::Files, tree.files);
    figures.set_count(Figure::TreeBytes, tree.bytes);
    figures.set_count(Figure::CacheBytes, kept.bytes);
    figures.set_count(Figure::LockBytes, lock_bytes);
}

fn add_account(figures: &mut Figures, account: &Account) {
    figures.set_count(Figure::Requests, account.counts.requests);
    // What the one sent the other received.
    figures.set_count(Figure::BytesReceived, account.counts.bytes_sent);
    figures.set_count(Figure::BytesSent, account.counts.bytes_received);
    figures.set(Figure::RegistrySeconds, account.processor_seconds);
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(|error| Error::io("make directory", directory, error))
}
