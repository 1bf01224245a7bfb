//! Hashing and inflating tarballs, step by step and by the whole extractor, on one thread.
//!
//! ```console
//! $ cargo bench --bench unpack -- [--rounds N] [DIRECTORY]
//! ```
//!
//! Archives are made at the start and look like packages: many small files of text, and a few large
//! ones. `extract` writes to a new cache in each round, by plain calls; from memory it inflates at
//! once, from a file as a stream. Figures are megabytes of unpacked files a second.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "its numbers are what it is for")]

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ringstall::backend::{Bases, FileQueue, current_umask};
use ringstall::cache::{Cache, verify};
use ringstall::extract::{Body, Extractor, Format, Identity, Inflated, Inflater, Limits};
use ringstall::integrity::Integrity;
use ringstall::journal::Journal;
use tempfile::TempDir;

use common::{Arguments, Chance, Table, count, in_rounds, in_turn, number, spread, timed};

mod common;

/// Packages of one kind.
struct Kind {
    name: &'static str,
    packages: usize,
    files: usize,
    /// On average; no file has less than half of it, nor more than one and a half.
    file_bytes: usize,
}

const KINDS: [Kind; 2] = [
    Kind { name: "many small files", packages: 40, files: 100, file_bytes: 4 << 10 },
    Kind { name: "a few large files", packages: 4, files: 2, file_bytes: 2 << 20 },
];
const QUICK: [Kind; 2] = [
    Kind { name: "many small files", packages: 3, files: 20, file_bytes: 1 << 10 },
    Kind { name: "a few large files", packages: 1, files: 2, file_bytes: 128 << 10 },
];

/// What is done to each tarball.
#[derive(Clone, Copy, Debug)]
enum Step {
    Hash,
    InflateAtOnce,
    InflateAsStream,
    ExtractFromMemory,
    ExtractFromFile,
}

const STEPS: [(Step, &str); 5] = [
    (Step::Hash, "check sha512"),
    (Step::InflateAtOnce, "inflate at once"),
    (Step::InflateAsStream, "inflate as a stream"),
    (Step::ExtractFromMemory, "extract from memory"),
    (Step::ExtractFromFile, "extract from a file"),
];

struct Tarball {
    archive: Vec<u8>,
    body: Bytes,
    integrity: Integrity,
    path: PathBuf,
    /// Of all its files together.
    bytes: u64,
    files: usize,
}

fn main() {
    let arguments = Arguments::read(&["--rounds"]);
    let rounds = number(arguments.option("--rounds"), if arguments.is_quick { 1 } else { 9 });
    let directory = arguments.place(0).map_or_else(common::scratch, PathBuf::from);
    let work = tempfile::tempdir_in(&directory).unwrap();
    common::print_head(
        &format!("Unpack: {}, one thread, MB/s of unpacked files", in_rounds(rounds)),
        Some(&directory),
    );
    let head = ["", "least", "median", "most", "packages", "files", "MB", "MB packed"];
    let mut table = Table::new(&head);
    for kind in if arguments.is_quick { QUICK } else { KINDS } {
        let tarballs = make_tarballs(&kind, work.path());
        // Caches stay until all is measured: removing is not what is measured.
        let mut caches = Vec::new();
        let samples = in_turn(&STEPS, rounds, |_, (step, _)| {
            let (time, cache) = run(*step, &tarballs, work.path());
            caches.extend(cache);
            time
        });
        let bytes = count(tarballs.iter().map(|tarball| tarball.bytes).sum());
        let packed = count(tarballs.iter().map(|tarball| tarball.body.len() as u64).sum());
        for ((_, name), times) in STEPS.iter().zip(samples) {
            let speed = spread(&times, |time| bytes / 1e6 / time.as_secs_f64());
            table.row(vec![
                format!("{}: {name}", kind.name),
                format!("{:.0}", speed.least),
                format!("{:.0}", speed.median),
                format!("{:.0}", speed.most),
                kind.packages.to_string(),
                (kind.packages * kind.files).to_string(),
                format!("{:.1}", bytes / 1e6),
                format!("{:.1}", packed / 1e6),
            ]);
        }
        for cache in &caches {
            check_cache(cache.path(), &tarballs);
        }
    }
    table.print();
}

/// The time that all tarballs took, and the cache that they were written to.
fn run(step: Step, tarballs: &[Tarball], work: &Path) -> (Duration, Option<TempDir>) {
    let from_file = match step {
        Step::Hash => {
            let check = |tarball: &Tarball| tarball.integrity.check(&tarball.body).unwrap();
            return (timed(|| tarballs.iter().for_each(|tarball| drop(check(tarball)))).0, None);
        }
        Step::InflateAtOnce => return (inflate_at_once(tarballs), None),
        Step::InflateAsStream => return (inflate_as_stream(tarballs), None),
        Step::ExtractFromMemory => false,
        Step::ExtractFromFile => true,
    };
    let root = tempfile::tempdir_in(work).unwrap();
    let journal = Journal::default();
    let cache = Cache::open(root.path(), current_umask(), journal.board()).unwrap();
    let bases = Bases::open(cache.directory(), root.path()).unwrap();
    let mut queue = FileQueue::plain(bases.clone());
    let mut extractor = Extractor::new();
    let bodies: Vec<_> = tarballs.iter().map(|tarball| tarball.body(from_file)).collect();
    let (time, ()) = timed(|| {
        for (tarball, body) in tarballs.iter().zip(bodies) {
            let identity = Identity::Integrity(&tarball.integrity);
            let unpacked = extractor.extract(body, identity, &mut queue, &cache).unwrap();
            queue.finish().unwrap();
            let extracted = unpacked.publish(&bases, &cache).unwrap();
            assert_eq!(extracted.index.file_count(), tarball.files);
        }
    });
    (time, Some(root))
}

fn inflate_at_once(tarballs: &[Tarball]) -> Duration {
    let mut inflater = Inflater::new();
    let times = tarballs.iter().map(|tarball| {
        let inflate = || inflater.inflate(&tarball.body, &Limits::DEFAULT);
        let (time, archive) = timed(inflate);
        assert_eq!(archive.unwrap(), tarball.archive, "inflated to something else");
        inflater.reclaim();
        time
    });
    times.sum()
}

fn inflate_as_stream(tarballs: &[Tarball]) -> Duration {
    let times = tarballs.iter().map(|tarball| {
        let bytes_max = tarball.archive.len() as u64;
        let mut stream = Inflated::new(Format::Gzip, &tarball.body[..], bytes_max);
        // The decoder checks the sum of what it read.
        let (time, read) = timed(|| io::copy(&mut stream, &mut io::sink()).unwrap());
        assert_eq!(read, bytes_max, "the stream ended early");
        time
    });
    times.sum()
}

/// Every package is there with all its bytes.
fn check_cache(root: &Path, tarballs: &[Tarball]) {
    let verified = verify(root, false).unwrap();
    assert!(verified.damages.is_empty(), "{:?}", verified.damages);
    let files: usize = tarballs.iter().map(|tarball| tarball.files).sum();
    assert_eq!(verified.usage.files, files as u64);
    assert_eq!(verified.usage.packages, tarballs.len() as u64);
}

impl Tarball {
    fn body(&self, from_file: bool) -> Body {
        if from_file {
            Body::File(File::open(&self.path).unwrap(), self.body.len() as u64)
        } else {
            Body::Memory(self.body.clone())
        }
    }
}

fn make_tarballs(kind: &Kind, work: &Path) -> Vec<Tarball> {
    let mut chance = Chance(SEED);
    (0..kind.packages).map(|number| make_tarball(kind, number, &mut chance, work)).collect()
}

fn make_tarball(kind: &Kind, number: usize, chance: &mut Chance, work: &Path) -> Tarball {
    let mut builder = tar::Builder::new(Vec::new());
    let mut bytes = 0;
    let mut add = |path: String, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        bytes += content.len() as u64;
        builder.append_data(&mut header, format!("package/{path}"), content).unwrap();
    };
    let manifest = format!(r#"{{"name": "package-{number}", "version": "1.0.0"}}"#);
    add("package.json".to_owned(), manifest.as_bytes());
    for file in 1..kind.files {
        let length = kind.file_bytes / 2 + chance.below(kind.file_bytes);
        add(format!("lib/{}/{file}.js", file % FOLDERS), &text(chance, length));
    }
    let archive = builder.into_inner().unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&archive).unwrap();
    let body = encoder.finish().unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA512, &body);
    let integrity = Integrity::parse(&format!("sha512-{}", STANDARD.encode(digest))).unwrap();
    let path = work.join(format!("{}-{number}.tgz", kind.files));
    std::fs::write(&path, &body).unwrap();
    Tarball { archive, body: body.into(), integrity, path, bytes, files: kind.files }
}

/// Words in lines, a few of them often and most of them seldom, which packs about as well as code.
fn text(chance: &mut Chance, length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + WORD_BYTES_MAX);
    while text.len() < length {
        let word = chance.below(VOCABULARY) * chance.below(VOCABULARY) / VOCABULARY;
        let mut letters = Chance(word as u64);
        let word_bytes = 2 + letters.below(WORD_BYTES_MAX - 2);
        text.extend((0..word_bytes).map(|_| b"etaoinsrhldcumfpgwybvkxjqz"[letters.below(26)]));
        text.extend(match chance.below(12) {
            0 => &b";\n  "[..],
            1 => b"(",
            2 => b") {\n",
            3 => b" = ",
            4 => b".",
            _ => b" ",
        });
    }
    text.truncate(length);
    text
}

const SEED: u64 = 20;
const FOLDERS: usize = 10;
const VOCABULARY: usize = 2000;
const WORD_BYTES_MAX: usize = 10;
