//! What is thought before anything is done: a lockfile read, parsed, checked and planned, and the
//! hidden lockfile that is made at the end.
//!
//! ```console
//! $ cargo bench --bench plan -- [--lockfile PATH] [--rounds N]
//! ```
//!
//! Without a lockfile, one of a large project is made, some 4,600 packages of which a fifth are
//! nested, and planned for one and the same platform everywhere. Files come from the page cache.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "its numbers are what it is for")]

use std::collections::HashSet;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringstall::check::check;
use ringstall::config::Omit;
use ringstall::graph::Graph;
use ringstall::hidden_lock::{BundleTexts, hidden_lock};
use ringstall::lockfile::{LOCKFILE_NAMES, Lockfile, Reading};
use ringstall::plan::{Choice, Plan};
use ringstall::platform::{Engines, Platform};
use ringstall::project::{Project, ProjectText, TargetTexts};
use ringstall::registry::Registries;
use ringstall::selection::Selection;
use ringstall::sources::allowance::Allowances;
use ringstall::workers::Workers;
use serde_json::Value;

use common::{Arguments, Table, count, in_rounds, in_turn, milliseconds, number, spread, timed};
use made::Made;

mod common;
#[path = "plan/made.rs"]
mod made;

#[derive(Clone, Copy, Debug)]
enum Step {
    Read,
    Parse,
    Check,
    Plan,
    HiddenLockfile,
}

const STEPS: [(Step, &str); 5] = [
    (Step::Read, "read lockfile and package.json"),
    (Step::Parse, "parse them"),
    (Step::Check, "build the graph and check it"),
    (Step::Plan, "plan"),
    (Step::HiddenLockfile, "hidden lockfile"),
];

/// The size of ant-design's lockfile.
const PACKAGES: usize = 4600;
const PACKAGES_QUICK: usize = 300;

fn main() {
    let arguments = Arguments::read(&["--lockfile", "--rounds"]);
    let rounds = number(arguments.option("--rounds"), if arguments.is_quick { 1 } else { 21 });
    let work = tempfile::tempdir_in(common::scratch()).unwrap();
    let (directory, expected, platform) = if let Some(path) = arguments.option("--lockfile") {
        (project_of(Path::new(path), work.path()), None, Platform::current())
    } else {
        let made = Made::new(if arguments.is_quick { PACKAGES_QUICK } else { PACKAGES });
        made.write(work.path());
        (work.path().to_owned(), Some(made), made::platform())
    };
    let text = ProjectText::read(&directory).unwrap();
    let targets = TargetTexts::read(&directory, &parse(&text)).unwrap();
    let project = Project::new(&text, parse(&text), &targets).unwrap();
    // A lockfile that was written with `legacy-peer-deps` lacks peers.
    let with_peers = check(&project, true).is_ok();
    let graph = check(&project, with_peers).unwrap();
    let plan = make_plan(&graph, &project, &platform);
    let hidden = make_hidden_lock(&graph, &project, &plan);
    check_outcome(&graph, &plan, &hidden, expected.as_ref());

    let run = |step: Step| -> Duration {
        match step {
            Step::Read => timed(|| ProjectText::read(&directory).unwrap()).0,
            Step::Parse => {
                let parse = || {
                    let lockfile = parse(&text);
                    let targets = TargetTexts::read(&directory, &lockfile).unwrap();
                    black_box(Project::new(&text, lockfile, &targets).unwrap()).packages.len()
                };
                let (time, packages) = timed(parse);
                assert_eq!(packages, project.packages.len());
                time
            }
            Step::Check => timed(|| check(&project, with_peers).unwrap()).0,
            Step::Plan => {
                let (time, again) = timed(|| make_plan(&graph, &project, &platform));
                assert_eq!(again.tarballs.len(), plan.tarballs.len());
                time
            }
            Step::HiddenLockfile => {
                let (time, again) = timed(|| make_hidden_lock(&graph, &project, &plan));
                assert_eq!(again, hidden, "the hidden lockfile is not the same again");
                time
            }
        }
    };
    let samples = in_turn(&STEPS, rounds, |_, (step, _)| run(*step));

    let place = if expected.is_some() { common::scratch() } else { directory.clone() };
    common::print_head(&format!("Plan: {}, ms", in_rounds(rounds)), Some(&place));
    println!(
        "lockfile of {:.1} MB: {} packages, {} tarballs, {} links, {} bins, {} left out",
        count(text.texts()[1].len() as u64) / 1e6,
        project.packages.len() - 1,
        plan.tarballs.len(),
        plan.links.len(),
        plan.bins.len(),
        plan.left_out.len(),
    );
    let mut table = Table::new(&["", "least", "median", "most"]);
    for ((_, name), times) in STEPS.iter().zip(samples) {
        let times = spread(&times, |time| milliseconds(*time));
        let figures = [times.least, times.median, times.most].map(|time| format!("{time:.2}"));
        table.row([vec![(*name).to_owned()], figures.to_vec()].concat());
    }
    table.print();
}

fn parse(text: &ProjectText) -> Lockfile<'_> {
    match text.read_lockfile().unwrap() {
        Reading::Whole(lockfile) => lockfile,
        Reading::Partial(_) => panic!("the lockfile says less than is needed; take one of npm 7"),
    }
}

fn make_plan<'p>(graph: &Graph<'p>, project: &Project<'p>, platform: &Platform) -> Plan<'p> {
    let choice = Choice {
        platform,
        host: platform,
        engines: &Engines::default(),
        omit: Omit::default(),
        selection: &Selection::Everything,
        allowances: Allowances::default(),
        is_engine_strict: false,
        is_forced: false,
        with_bins: true,
        unavailable: &HashSet::new(),
    };
    Plan::new(graph, project, &choice, &Registries::default()).unwrap()
}

fn make_hidden_lock(graph: &Graph<'_>, project: &Project<'_>, plan: &Plan<'_>) -> String {
    let (bundles, built) = (BundleTexts::default(), HashSet::new());
    let workers = Workers::new(common::workers());
    let nodes = plan.listed(graph);
    hidden_lock(graph, nodes, &bundles, &project.lockfile_head, false, &built, workers)
}

/// The hidden lockfile has what was planned, and of a lockfile that was made here it is known what
/// that has to be.
fn check_outcome(graph: &Graph<'_>, plan: &Plan<'_>, hidden: &str, expected: Option<&Made>) {
    let hidden: Value = serde_json::from_str(hidden).unwrap();
    let listed = hidden["packages"].as_object().unwrap().len();
    assert_eq!(listed, plan.listed(graph).count());
    assert!(listed > 0, "nothing was planned");
    if let Some(made) = expected {
        assert_eq!(plan.left_out.len(), made.left_out);
        assert_eq!(listed, made.packages() - made.left_out);
        assert_eq!(plan.tarballs.len(), listed);
        assert_eq!(plan.bins.len(), made.bins);
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    }
}

/// The folder of a lockfile. Where that has no package.json, a new one in which the entries of the
/// root and of the workspaces take their place.
fn project_of(path: &Path, work: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap();
    let folder = path.parent().unwrap();
    if LOCKFILE_NAMES.contains(&name) && folder.join("package.json").exists() {
        // A path of one word has an empty parent.
        return folder.canonicalize().unwrap_or_else(|_| PathBuf::from("."));
    }
    let text = fs::read_to_string(path).unwrap();
    let lockfile: Value = serde_json::from_str(&text).unwrap();
    for (place, entry) in lockfile["packages"].as_object().unwrap() {
        let is_ours = !place.split('/').any(|part| matches!(part, "node_modules" | ".."));
        if is_ours {
            fs::create_dir_all(work.join(place)).unwrap();
            fs::write(work.join(place).join("package.json"), entry.to_string()).unwrap();
        }
    }
    fs::write(work.join(LOCKFILE_NAMES[1]), text).unwrap();
    work.to_owned()
}
