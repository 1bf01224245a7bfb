//! Downloading tarballs and nothing else, by each network driver in turn: what its thread uses.
//!
//! ```console
//! $ cargo bench --bench receive -- [--lockfile FILE --registry URL [--cafile PEM]] [--rounds N]
//! ```
//!
//! Without a lockfile, bodies that cannot be compressed come over http and https from the registry
//! that `ringstall bench` uses, in a process of its own. Before anything is measured each driver
//! receives everything once, and all bytes are compared.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "its numbers are what it is for")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringstall::backend::NetworkDriver;
use ringstall::backend::network::NetworkTally;
use ringstall::backend::schedule_in_batches;
use ringstall::bench::registry::{Line, Registry};
use ringstall::config::NetworkSettings;
use ringstall::fetch::{Again, Download, FetchOptions, FetchStats, run};
use ringstall::http::{Body, Budget, Limits};
use ringstall::journal::Journal;
use ringstall::registry::Registries;
use url::Url;

use common::{
    Arguments, Chance, Table, count, in_rounds, in_turn, milliseconds, number, spread, timed,
};

mod common;

const DRIVERS: [(NetworkDriver, &str); 3] = [
    (NetworkDriver::Ring, "ring"),
    (NetworkDriver::Epoll, "epoll"),
    (NetworkDriver::TokioUring, "tokio-uring"),
];
/// As an installation has.
const BODIES_BYTES_MAX: u64 = 48 << 20;
/// For one body after another; a bench comes to an end.
const WAIT_MAX: Duration = Duration::from_secs(60);
const SEED: u64 = 1;

/// Tarballs, and where they are.
struct Goods {
    name: String,
    urls: Vec<Url>,
    cafile: Option<PathBuf>,
    /// What they have to be, where that is known.
    bodies: Option<Arc<Vec<Vec<u8>>>>,
    /// Serves for as long as it is there.
    _registry: Option<Registry>,
}

struct Sample {
    wall: Duration,
    bytes: u64,
    tally: NetworkTally,
}

fn main() {
    let names = ["--lockfile", "--registry", "--cafile", "--rounds"];
    let arguments = Arguments::read(&names);
    let rounds = number(arguments.option("--rounds"), if arguments.is_quick { 1 } else { 7 });
    let work = tempfile::tempdir_in(common::scratch()).unwrap();
    let goods = match (arguments.option("--lockfile"), arguments.option("--registry")) {
        (Some(lockfile), Some(registry)) => vec![Goods {
            name: registry.to_owned(),
            urls: addresses(lockfile, &Url::parse(registry).unwrap()),
            cafile: arguments.option("--cafile").map(PathBuf::from),
            bodies: None,
            _registry: None,
        }],
        (None, None) => own_goods(work.path(), arguments.is_quick),
        _ => panic!("--lockfile and --registry go together"),
    };
    common::print_head(
        &format!("Receive: {}; all but wall are the network thread's", in_rounds(rounds)),
        None,
    );
    let head = [
        "",
        "wall ms, least",
        "median",
        "MB/s",
        "user ms",
        "system ms",
        "voluntary",
        "involuntary",
        "switches",
        "enters",
        "submissions",
        "tarballs",
        "MB",
    ];
    let mut table = Table::new(&head);
    let mut notes = BTreeSet::new();
    for goods in &goods {
        let mut bytes = None;
        let mut measure =
            |(driver, name): &(NetworkDriver, &str)| match download(goods, *driver, false) {
                Ok(sample) => {
                    let before = *bytes.get_or_insert(sample.bytes);
                    assert_eq!(sample.bytes, before, "the tarballs are not the same again");
                    Some(sample)
                }
                Err(refusal) => {
                    notes.insert(format!("{name} is not measured: {refusal}"));
                    None
                }
            };
        for (driver, _) in DRIVERS {
            // What it cannot do is told by the rounds.
            download(goods, driver, true).ok();
        }
        let samples = in_turn(&DRIVERS, rounds, |_, driver| measure(driver));
        for ((_, driver), samples) in DRIVERS.iter().zip(samples) {
            let samples: Vec<_> = samples.into_iter().flatten().collect();
            if !samples.is_empty() {
                table.row(row(&format!("{}: {driver}", goods.name), &samples, goods));
            }
        }
    }
    table.print();
    for note in notes {
        println!("{note}");
    }
}

fn row(name: &str, samples: &[Sample], goods: &Goods) -> Vec<String> {
    let median = |value: &dyn Fn(&Sample) -> f64| format!("{:.0}", spread(samples, value).median);
    let wall = spread(samples, |sample| milliseconds(sample.wall));
    let switches = spread(samples, |sample| {
        let usage = sample.tally.usage;
        count(usage.voluntary_switches + usage.involuntary_switches)
    });
    let bytes = count(samples[0].bytes);
    vec![
        name.to_owned(),
        format!("{:.0}", wall.least),
        format!("{:.0}", wall.median),
        format!("{:.0}", bytes / 1e3 / wall.median),
        median(&|sample| milliseconds(sample.tally.usage.user)),
        median(&|sample| milliseconds(sample.tally.usage.system)),
        median(&|sample| count(sample.tally.usage.voluntary_switches)),
        median(&|sample| count(sample.tally.usage.involuntary_switches)),
        format!("{:.0}-{:.0}", switches.least, switches.most),
        median(&|sample| count(sample.tally.counts.enters)),
        median(&|sample| count(sample.tally.counts.submissions)),
        goods.urls.len().to_string(),
        format!("{:.1}", bytes / 1e6),
    ]
}

/// On a thread of its own, as in an installation; the bodies are dropped here. What a driver was
/// refused for is an error.
fn download(goods: &Goods, driver: NetworkDriver, compares: bool) -> Result<Sample, String> {
    let downloads = goods.urls.iter().enumerate().map(|(index, url)| Download {
        index,
        url: url.clone(),
        name_version: url.path().to_owned(),
        is_wanted: true,
    });
    let downloads: Vec<_> = downloads.collect();
    let options = FetchOptions {
        driver,
        network: NetworkSettings { cafile: goods.cafile.clone(), ..NetworkSettings::default() },
        registries: Arc::new(Registries::default()),
        limits: Limits::default(),
        budget: Budget::new(BODIES_BYTES_MAX),
        spool: common::scratch(),
        journal: Journal::default(),
    };
    let (wall, (bytes, stats)) = timed(|| receive(downloads, options, goods, compares));
    match (stats.refusal, stats.network) {
        (None, Some(tally)) => Ok(Sample { wall, bytes, tally }),
        (refusal, _) => Err(refusal.unwrap_or_else(|| "nothing was received".to_owned())),
    }
}

fn receive(
    downloads: Vec<Download>,
    options: FetchOptions,
    goods: &Goods,
    compares: bool,
) -> (u64, FetchStats) {
    let (deliver, fetched) = crossbeam_channel::unbounded();
    let (again, asked_again) = tokio::sync::mpsc::unbounded_channel();
    let network = std::thread::spawn(move || {
        schedule_in_batches().ok();
        run(downloads, options, deliver, asked_again).unwrap()
    });
    let mut bytes = 0;
    for _ in &goods.urls {
        let fetched = fetched.recv_timeout(WAIT_MAX).unwrap();
        let body = fetched.result.unwrap();
        bytes += body.length();
        if let Some(bodies) = &goods.bodies {
            let expected = &bodies[fetched.index];
            assert_eq!(body.length(), expected.len() as u64, "a body has another length");
            assert!(!compares || contents(body) == *expected, "a body is another");
        }
    }
    again.send(Again::Finished).unwrap();
    (bytes, network.join().unwrap())
}

fn contents(body: Body) -> Vec<u8> {
    match body {
        Body::Memory { bytes, .. } => bytes.to_vec(),
        Body::File { mut file, .. } => {
            let mut contents = Vec::new();
            file.read_to_end(&mut contents).unwrap();
            contents
        }
    }
}

/// Where the registry has the tarballs that a lockfile names.
fn addresses(lockfile: &str, registry: &Url) -> Vec<Url> {
    let text = fs::read(lockfile).unwrap();
    let lockfile: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let packages = lockfile["packages"].as_object().unwrap();
    let paths: BTreeSet<String> = packages
        .iter()
        .filter(|(_, entry)| entry["integrity"].is_string())
        .filter_map(|(path, entry)| {
            let (_, installed) = path.rsplit_once("node_modules/")?;
            let name = entry["name"].as_str().unwrap_or(installed);
            let base = name.rsplit('/').next()?;
            Some(format!("{name}/-/{base}-{}.tgz", entry["version"].as_str()?))
        })
        .collect();
    paths.iter().map(|path| registry.join(path).unwrap()).collect()
}

/// The sizes of a large project's tarballs in small: most are small, and a few make half of it.
fn own_goods(work: &Path, is_quick: bool) -> Vec<Goods> {
    let (small, large) = if is_quick { (24, 1) } else { (1500, 24) };
    let mut chance = Chance(SEED);
    let lengths = (0..small + large).map(|number| {
        if number % (small / large) == 1 { 1 << 21 } else { 1000 + chance.below(60_000) }
    });
    let lengths: Vec<_> = lengths.collect();
    let bodies: Vec<_> = lengths.into_iter().map(|length| chance.bytes(length)).collect();
    let mirror = work.join("mirror");
    for (number, body) in bodies.iter().enumerate() {
        let folder = mirror.join(format!("package-{number}/-"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("package-{number}-1.0.0.tgz")), body).unwrap();
    }
    let bodies = Arc::new(bodies);
    let program = Path::new(env!("CARGO_BIN_EXE_ringstall"));
    [("http", false), ("https", true)]
        .map(|(name, is_secure)| {
            let line = Line { is_secure, ..Line::default() };
            let registry = Registry::start(program, &mirror, line, &[], work).unwrap();
            let base = Url::parse(&registry.url).unwrap();
            let url = |number| {
                base.join(&format!("package-{number}/-/package-{number}-1.0.0.tgz")).unwrap()
            };
            Goods {
                name: name.to_owned(),
                urls: (0..bodies.len()).map(url).collect(),
                cafile: registry.authority.clone(),
                bodies: Some(bodies.clone()),
                _registry: Some(registry),
            }
        })
        .into()
}
