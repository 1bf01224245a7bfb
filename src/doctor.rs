//! `ringstall doctor`: what this machine allows, and what `auto` makes of it.
//!
//! Nothing is installed. To know whether files can be linked and cloned, one is made in the cache
//! (or the nearest folder that is there) and placed into the project; both are removed again.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::backend::machine::{self, GroupLimits};
use crate::backend::mounts::Mount;
use crate::backend::network::Driver;
use crate::backend::{
    At, Base, Bases, Class, Engine, FileQueue, Filesystem, LinkMode, NetworkDriver, Operation,
    Placement, RingFindings, RingPart, RingPartKind, RingPartRole, chosen, probe_ring,
};
use crate::error::{Code, Error, Result};

mod advice;
mod json;
mod text;

pub use json::to_json;
pub use text::to_text;

/// All that was found.
#[derive(Debug)]
pub struct Report {
    pub kernel: String,
    pub processors: usize,
    pub groups: GroupLimits,
    pub open_files_max: Option<u64>,
    pub locked_bytes_max: Option<u64>,
    /// By its name in seccomp(2).
    pub seccomp: Option<&'static str>,
    pub ring: RingFindings,
    pub cache: Folder,
    pub project: Folder,
    pub hard_link: Trial,
    pub reflink: Trial,
    /// What `auto` takes for each class of operation in the cache and in the project.
    pub engines: Vec<(Class, Engine, Engine)>,
    pub network: Driver,
}

/// A folder that files are placed from or into.
#[derive(Debug)]
pub struct Folder {
    /// The folder that was asked for, or the nearest above it that is there.
    pub path: PathBuf,
    /// The folder that was asked for, where it is not there.
    pub missing: Option<PathBuf>,
    pub filesystem: Filesystem,
    /// `None` where the system does not tell.
    pub mount: Option<Mount>,
    /// The lower layers of an overlay in which the folder can be seen to lie.
    pub layers: Vec<PathBuf>,
}

/// What came of trying something once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    Works,
    Fails(String),
    /// It could not be tried.
    Unknown(String),
}

/// Looks at everything. `project` is there; `cache` need not be.
pub fn examine(project: &Path, cache: &Path) -> Result<Report> {
    // Files are placed into node_modules, which may be a mount of its own.
    let (asked_project, asked_cache) = (project.join("node_modules"), cache);
    let project = nearest(&asked_project)?;
    let cache = nearest(asked_cache)?;
    let bases = Bases::open(&cache, &project)?;
    let ring = probe_ring();
    let filesystem = |base| Filesystem::of(bases.fd(base));
    let cache = Folder::new(cache, asked_cache, filesystem(Base::Cache));
    let project = Folder::new(project, &asked_project, filesystem(Base::Project));
    let engine = |class, folder: &Folder| {
        if carries(&ring, class) { chosen(class, folder.filesystem) } else { Engine::Threads }
    };
    let engines = Class::ALL.map(|class| (class, engine(class, &cache), engine(class, &project)));
    let (hard_link, reflink) = try_placements(&bases, &cache.path);
    Ok(Report {
        kernel: machine::kernel_release(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        groups: GroupLimits::read(),
        open_files_max: machine::open_files_max(),
        locked_bytes_max: machine::locked_bytes_max(),
        seccomp: machine::seccomp_mode(),
        network: network_driver(ring.sockets.is_none()),
        ring,
        cache,
        project,
        hard_link,
        reflink,
        engines: engines.into(),
    })
}

impl Folder {
    fn new(path: PathBuf, asked: &Path, filesystem: Filesystem) -> Self {
        let mount = Mount::of(&path);
        let is_there = asked.is_dir();
        let below = |mount: &Mount| if is_there { mount.layers_below(&path) } else { Vec::new() };
        let layers = mount.as_ref().map(below).unwrap_or_default();
        let missing = (!is_there).then(|| asked.to_owned());
        Self { path, missing, filesystem, mount, layers }
    }
}

/// The path itself or the nearest folder above it, without links.
fn nearest(path: &Path) -> Result<PathBuf> {
    let found = path
        .ancestors()
        .find_map(|folder| folder.is_dir().then(|| folder.canonicalize().ok()).flatten());
    found.ok_or_else(|| {
        Error::new(Code::Io, format!("failed to find a folder at or above `{}`", path.display()))
    })
}

/// Whether a ring can be had, and does all that a class of operations takes. Where it does not, the
/// class alone goes on by plain calls.
fn carries(ring: &RingFindings, class: Class) -> bool {
    let opcodes: &[&str] = match class {
        Class::MakeDirectory => &["MKDIRAT"],
        Class::WriteFile => &["OPENAT", "WRITE", "CLOSE"],
        Class::HardLink => &["LINKAT"],
        Class::Clone | Class::Copy => &["OPENAT", "CLOSE"],
        Class::MakeSymlink => &["SYMLINKAT"],
        Class::Rename => &["RENAMEAT"],
        Class::Remove => &["UNLINKAT"],
    };
    let is_opcode = |part: &RingPart| part.kind == RingPartKind::Opcode;
    let is_missed = |part: &RingPart| {
        let matters = opcodes.contains(&part.name) || !is_opcode(part);
        part.errno.is_some() && part.role == RingPartRole::Needed && matters
    };
    // Opcodes are tried only on a ring that can be used.
    ring.parts.iter().any(is_opcode) && !ring.parts.iter().any(is_missed)
}

/// The first of those that `auto` tries which is not refused.
fn network_driver(has_ring: bool) -> Driver {
    let is_available = |driver: &&Driver| has_ring || **driver == Driver::Epoll;
    let mut drivers = NetworkDriver::Auto.in_order().iter();
    drivers.find(is_available).copied().unwrap_or(Driver::Epoll)
}

/// Places a file of the cache by hard link and by clone.
fn try_placements(bases: &Bases, cache: &Path) -> (Trial, Trial) {
    let name = format!(".ringstall-doctor-{}", std::process::id());
    let Some(source) = At::new(Base::Cache, name.clone()) else { unreachable!("it has no NUL") };
    let mut queue = FileQueue::plain(bases.clone());
    // As long as a common file, for some filesystems keep shorter ones where they keep names.
    let bytes = Bytes::from_static(&[b'\n'; 16 << 10]);
    let write = Operation::WriteFile { at: source.clone(), mode: 0o600, bytes };
    if let Err(failure) = queue.push(write) {
        let why = Error::io("write", bases.path(&source), failure.source);
        let unknown = Trial::Unknown(format!("{why:?}"));
        return (unknown.clone(), unknown);
    }
    let trials = (
        try_placement(bases, &mut queue, &source, LinkMode::HardLink, &format!("{name}-link")),
        try_placement(bases, &mut queue, &source, LinkMode::Clone, &format!("{name}-clone")),
    );
    // There is nothing to be done about one that cannot be removed.
    let _ = fs::remove_file(cache.join(&name));
    trials
}

fn try_placement(
    bases: &Bases,
    queue: &mut FileQueue,
    source: &At,
    mode: LinkMode,
    name: &str,
) -> Trial {
    let Some(target) = At::new(Base::Project, name) else { unreachable!("it has no NUL") };
    let path = bases.path(&target);
    let placed = queue.push(Operation::PlaceFile {
        source: source.clone(),
        target,
        mode: 0o600,
        placement: Placement::new(mode),
    });
    match placed {
        Ok(()) => {
            let _ = fs::remove_file(path);
            Trial::Works
        }
        Err(failure) => Trial::Fails(failure.source.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: RingPartKind, name: &'static str, errno: Option<i32>) -> RingPart {
        RingPart { kind, name, since: "5.15", role: RingPartRole::Needed, errno }
    }

    fn carried(parts: Vec<RingPart>) -> Vec<Class> {
        let ring = RingFindings { files: None, sockets: None, parts };
        Class::ALL.into_iter().filter(|class| carries(&ring, *class)).collect()
    }

    #[test]
    fn an_opcode_that_is_refused_concerns_the_classes_that_need_it() {
        let open = part(RingPartKind::Opcode, "OPENAT", Some(13));
        let link = part(RingPartKind::Opcode, "LINKAT", None);
        assert_eq!(
            carried(vec![open, link]),
            [
                Class::MakeDirectory,
                Class::HardLink,
                Class::MakeSymlink,
                Class::Rename,
                Class::Remove
            ]
        );
    }

    #[test]
    fn without_what_all_need_nothing_is_carried() {
        let link = part(RingPartKind::Opcode, "LINKAT", None);
        let files = part(RingPartKind::Registration, "FILES2 (sparse)", Some(22));
        assert_eq!(carried(vec![files.clone(), link]), []);
        let files = RingPart { errno: None, ..files };
        assert_eq!(carried(vec![files]), [], "no opcode could be tried");
        assert_eq!(carried(Vec::new()), []);
    }
}
