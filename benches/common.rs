//! What the benches share: arguments, rounds in turn, figures, tables, and contents that are the
//! same in each run.
#![allow(dead_code, reason = "no bench needs all of it")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringstall::backend::machine::{kernel_release, processor};
use ringstall::backend::mounts::Mount;
use ringstall::bench::figure::Spread;

/// How a bench was called.
pub struct Arguments {
    /// One small round that only shows that everything works.
    pub is_quick: bool,
    options: Vec<(String, String)>,
    places: Vec<String>,
}

impl Arguments {
    /// `names` are those of the options, each of which takes a value. `cargo bench` adds `--bench`;
    /// who runs a bench without it, like `cargo test --benches`, wants no figures.
    pub fn read(names: &[&str]) -> Self {
        let mut read = Self { is_quick: true, options: Vec::new(), places: Vec::new() };
        let (mut is_bench, mut is_short) = (false, false);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => is_bench = true,
                "--quick" | "--test" => is_short = true,
                name if names.contains(&name) => {
                    let value = words.next().unwrap_or_else(|| panic!("{name} wants a value"));
                    read.options.push((word, value));
                }
                name if name.starts_with("--") => {
                    panic!("no option {name}; there are --quick, --test {}", names.join(" "))
                }
                _ => read.places.push(word),
            }
        }
        read.is_quick = is_short || !is_bench;
        read
    }

    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// What stands at a place among the words that are no options.
    pub fn place(&self, index: usize) -> Option<&str> {
        self.places.get(index).map(String::as_str)
    }
}

/// A number that was given, or what takes its place.
pub fn number(text: Option<&str>, default: usize) -> usize {
    let Some(text) = text else { return default };
    let number = text.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number));
    number.unwrap_or_else(|| panic!("`{text}` is no number from 1 to {NUMBER_MAX}"))
}

/// Of files and of rounds; a bench comes to an end.
const NUMBER_MAX: usize = 1_000_000;

/// Where a bench writes that was given no folder: below `target`.
pub fn scratch() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// What is measured and on what, as a line above the tables.
pub fn print_head(what: &str, directory: Option<&Path>) {
    let mut head = format!(
        "{} on {}, {} processors, Linux {}",
        concat!("ringstall ", env!("CARGO_PKG_VERSION")),
        processor().as_deref().unwrap_or("an unknown processor"),
        workers(),
        kernel_release(),
    );
    if let Some(directory) = directory {
        let path = directory.canonicalize().unwrap();
        let kind = Mount::of(&path).map_or_else(|| "an unknown filesystem".into(), |it| it.kind);
        write!(head, ", {kind} ({})", path.display()).unwrap();
    }
    if cfg!(debug_assertions) {
        head += ", not optimised";
    }
    println!("\n{what}\n{head}");
}

pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Each case once a round, A B C and then C B A, so that what drifts does so for all. The samples
/// come back by case; `run` gets the number of the round.
pub fn in_turn<C, S>(
    cases: &[C],
    rounds: usize,
    mut run: impl FnMut(usize, &C) -> S,
) -> Vec<Vec<S>> {
    let mut samples: Vec<Vec<S>> = cases.iter().map(|_| Vec::with_capacity(rounds)).collect();
    let mut order: Vec<usize> = (0..cases.len()).collect();
    for round in 0..rounds {
        for case in &order {
            samples[*case].push(run(round, &cases[*case]));
        }
        order.reverse();
    }
    samples
}

pub fn in_rounds(rounds: usize) -> String {
    format!("{} in turn", ringstall::plan::count(rounds, "round"))
}

/// How long it takes, and what comes of it, which is not dropped meanwhile.
pub fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let made = std::hint::black_box(run());
    (start.elapsed(), made)
}

/// Of one value of each sample, of which there is at least one.
pub fn spread<S>(samples: &[S], value: impl Fn(&S) -> f64) -> Spread {
    Spread::of(samples.iter().map(value)).unwrap()
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Counts and sizes are far below 2^53, where every one of them is a number of its own.
#[expect(clippy::cast_precision_loss, reason = "nothing here comes near 2^53")]
pub fn count(number: u64) -> f64 {
    number as f64
}

/// Columns as wide as what is in them: names to the left, figures to the right.
pub struct Table(Vec<Vec<String>>);

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|&cell| cell.to_owned()).collect()])
    }

    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.0[0].len(), "a row has a cell for each column");
        self.0.push(cells);
    }

    pub fn print(&self) {
        let wide = |cell: &String| cell.chars().count();
        let widths: Vec<usize> = (0..self.0[0].len())
            .map(|column| self.0.iter().map(|row| wide(&row[column])).max().unwrap_or(0))
            .collect();
        for row in &self.0 {
            let mut line = format!("{:<width$}", row[0], width = widths[0]);
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(line, "  {cell:>width$}").unwrap();
            }
            println!("{}", line.trim_end());
        }
    }
}

/// Numbers that look like chance and are the same in each run (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// Bytes that cannot be compressed.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(length).collect()
    }
}
