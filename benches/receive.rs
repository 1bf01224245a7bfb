//! Downloading tarballs and nothing else, by each network driver in turn: what its thread uses.
//!
//! ```console
//! $ cargo bench --bench receive -- [--lockfile FILE --registry URL [--cafile PEM]] [--rounds N]
//! ```
//!
//! Without a lockfile, 512 bodies of 64 KiB come from a server of its own, on threads of the same
//! process; that shows that it works, and compares system calls rather than times.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench tells and fails in plain words"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringstall::backend::NetworkDriver;
use ringstall::backend::schedule_in_batches;
use ringstall::config::NetworkSettings;
use ringstall::fetch::{Again, Download, FetchOptions, FetchStats, run};
use ringstall::http::{Budget, Limits};
use ringstall::journal::Journal;
use ringstall::registry::Registries;
use url::Url;

const DRIVERS: [NetworkDriver; 3] =
    [NetworkDriver::Ring, NetworkDriver::Epoll, NetworkDriver::TokioUring];
/// As an installation has.
const BODIES_BYTES_MAX: u64 = 48 << 20;
const OWN_BODIES: usize = 512;
const OWN_BODY_BYTES: usize = 64 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|it| it == name)?;
        Some(arguments.get(place + 1).unwrap_or_else(|| panic!("{name} wants a value")).clone())
    };
    let rounds: usize = option("--rounds").map_or(3, |text| text.parse().unwrap());
    let urls = match (option("--lockfile"), option("--registry")) {
        (Some(lockfile), Some(registry)) => addresses(&lockfile, &Url::parse(&registry).unwrap()),
        _ => own_server(),
    };
    let cafile = option("--cafile").map(PathBuf::from);
    println!(
        "{} tarballs, {rounds} rounds; switches, user and system are the thread's",
        urls.len()
    );
    println!(
        "{:<12}{:>8}{:>10}{:>10}{:>12}{:>12}{:>10}{:>12}{:>10}",
        "driver",
        "wall s",
        "user s",
        "system s",
        "voluntary",
        "involuntary",
        "enters",
        "submissions",
        "MB"
    );
    for round in 0..rounds {
        // A B C, C B A, ...: what drifts, drifts for all.
        let mut drivers = DRIVERS;
        if round % 2 == 1 {
            drivers.reverse();
        }
        for driver in drivers {
            let start = Instant::now();
            let stats = download(&urls, driver, cafile.clone());
            show(&stats, start.elapsed());
        }
    }
}

fn show(stats: &FetchStats, wall: Duration) {
    let Some(tally) = stats.network else { return };
    let refusal = stats.refusal.as_deref().map_or(String::new(), |why| format!("  ({why})"));
    println!(
        "{:<12}{:>8.3}{:>10.3}{:>10.3}{:>12}{:>12}{:>10}{:>12}{:>10}{refusal}",
        tally.driver.to_string(),
        wall.as_secs_f64(),
        tally.usage.user.as_secs_f64(),
        tally.usage.system.as_secs_f64(),
        tally.usage.voluntary_switches,
        tally.usage.involuntary_switches,
        tally.counts.enters,
        tally.counts.submissions,
        stats.bytes_received / 1_000_000,
    );
}

/// On a thread of its own, as in an installation; the bodies are dropped here.
fn download(urls: &[Url], driver: NetworkDriver, cafile: Option<PathBuf>) -> FetchStats {
    let downloads = urls.iter().enumerate().map(|(index, url)| Download {
        index,
        url: url.clone(),
        name_version: url.path().to_owned(),
        is_wanted: true,
    });
    let downloads: Vec<_> = downloads.collect();
    let options = FetchOptions {
        driver,
        network: NetworkSettings { cafile, ..NetworkSettings::default() },
        registries: Arc::new(Registries::default()),
        limits: Limits::default(),
        budget: Budget::new(BODIES_BYTES_MAX),
        spool: std::env::temp_dir(),
        journal: Journal::default(),
    };
    let (deliver, fetched) = crossbeam_channel::unbounded();
    let (again, asked_again) = tokio::sync::mpsc::unbounded_channel();
    let network = std::thread::spawn(move || {
        schedule_in_batches().ok();
        run(downloads, options, deliver, asked_again).unwrap()
    });
    for _ in urls {
        fetched.recv().unwrap().result.unwrap();
    }
    again.send(Again::Finished).unwrap();
    network.join().unwrap()
}

/// Where the registry has the tarballs that a lockfile names.
fn addresses(lockfile: &str, registry: &Url) -> Vec<Url> {
    let text = std::fs::read(lockfile).unwrap();
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

fn own_server() -> Vec<Url> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(&stream.unwrap()));
        }
    });
    (0..OWN_BODIES).map(|number| Url::parse(&format!("{base}{number}.tgz")).unwrap()).collect()
}

fn answer(mut stream: &TcpStream) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {OWN_BODY_BYTES}\r\n\r\n");
    let answer = [head.as_bytes(), &vec![7; OWN_BODY_BYTES]].concat();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // A request ends with an empty line.
    while lines.by_ref().any(|line| line.is_empty()) {
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}
