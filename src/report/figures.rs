//! The figures of an installation: as a table for `--stats`, as an object for `--json`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::backend::{Class, Counts, Engine, Usage};
use crate::install::Summary;
use crate::installed::InstalledPackage;

/// What one engine did of one class of operation.
struct Row {
    class: String,
    engine: String,
    operations: u64,
    /// `None` where the engine makes a system call for each operation.
    counts: Option<Counts>,
}

pub fn table(summary: &Summary) -> String {
    let usage = summary.usage;
    let mut text = String::new();
    for (phase, duration) in &summary.phases {
        let _ = writeln!(text, "{phase:<12}{:>10.1} ms", duration.as_secs_f64() * 1e3);
    }
    let _ = writeln!(
        text,
        "wall        {:>10.3} s\nuser        {:>10.3} s\nsystem      {:>10.3} s\n\
         peak RSS    {:>10.1} MiB\n\
         switches    {:>10} voluntary, {} involuntary, kernel workers included\n\
         workers     {:>10} threads of the kernel at work on rings, at most\n\
         network     {:>10} requests, {} bytes received\n\
         placed      {:>10} directories, {} files of {} bytes, {} links, {} commands",
        summary.wall.as_secs_f64(),
        usage.user.as_secs_f64(),
        usage.system.as_secs_f64(),
        mebibytes(usage.resident_bytes_max),
        usage.voluntary_switches,
        usage.involuntary_switches,
        summary.kernel_workers,
        summary.requests,
        summary.bytes_received,
        summary.placed.directories + summary.placed.packages,
        summary.placed.files,
        summary.placed.bytes,
        summary.links,
        summary.bins,
    );
    if let Some(tally) = &summary.network {
        let Usage { voluntary_switches: own, involuntary_switches: forced, .. } = tally.usage;
        let _ = writeln!(text, "its thread  {own:>10} voluntary, {forced} involuntary switches");
    }
    for why in &summary.refusals {
        let _ = writeln!(text, "not used    {why}");
    }
    let rows = rows(summary);
    if !rows.is_empty() {
        let _ = writeln!(
            text,
            "\n{:<12}{:<12}{:>12}{:>13}{:>9}{:>12}{:>10}",
            "operation", "engine", "operations", "submissions", "enters", "mean batch", "largest"
        );
    }
    for row in &rows {
        row.write(&mut text);
    }
    text.push('\n');
    text
}

/// The object of `--json`; docs/schema/ci.json describes each key.
pub fn value(summary: &Summary) -> Value {
    let usage = summary.usage;
    let phases: Map<_, _> = summary
        .phases
        .iter()
        .map(|(phase, duration)| ((*phase).to_owned(), duration.as_secs_f64().into()))
        .collect();
    let packages: Vec<_> = summary.packages.iter().map(package).collect();
    let engines: Vec<_> = rows(summary).iter().map(Row::json).collect();
    json!({
        "schemaVersion": 1,
        "add": packages,
        "added": summary.packages.len(),
        "kept": summary.kept,
        // npm empties the tree before it compares, and asks nobody for advisories here.
        "audited": 0,
        "change": [],
        "changed": 0,
        "funding": summary.funding,
        "remove": [],
        "removed": 0,
        "lockfile": summary.lockfile,
        "downloaded": summary.downloaded,
        "fromNpmCache": summary.from_npm_cache,
        "reused": summary.reused,
        "requests": summary.requests,
        "bytesReceived": summary.bytes_received,
        "directories": summary.placed.directories + summary.placed.packages,
        "files": summary.placed.files,
        "bytes": summary.placed.bytes,
        "links": summary.links,
        "bins": summary.bins,
        "withScripts": summary.with_scripts,
        "scripts": summary.scripts.json(),
        "warnings": summary.warnings,
        "seconds": summary.wall.as_secs_f64(),
        "phases": phases,
        "userSeconds": usage.user.as_secs_f64(),
        "systemSeconds": usage.system.as_secs_f64(),
        "peakResidentBytes": usage.resident_bytes_max,
        "minorFaults": usage.minor_faults,
        "voluntarySwitches": usage.voluntary_switches,
        "involuntarySwitches": usage.involuntary_switches,
        "kernelWorkers": summary.kernel_workers,
        "engines": engines,
        "network": network(summary),
        "refusals": summary.refusals,
    })
}

fn package(package: &InstalledPackage) -> Value {
    let InstalledPackage { name, version, path } = package;
    json!({"name": name, "version": version, "path": path.to_string_lossy()})
}

fn network(summary: &Summary) -> Value {
    let Some(tally) = &summary.network else { return Value::Null };
    json!({
        "driver": tally.driver.to_string(),
        "requests": summary.requests,
        "bytesReceived": summary.bytes_received,
        "submissions": tally.counts.submissions,
        "enters": tally.counts.enters,
        "largestBatch": tally.counts.batch_max,
        "completions": tally.counts.completions,
        "threadVoluntarySwitches": tally.usage.voluntary_switches,
        "threadInvoluntarySwitches": tally.usage.involuntary_switches,
    })
}

/// What was done, in the order of the classes; nothing where a class was not needed.
fn rows(summary: &Summary) -> Vec<Row> {
    let mut rows = Vec::new();
    for class in Class::ALL {
        let done = summary.operations.of(class);
        for (engine, operations, counts) in
            [(Engine::Ring, done.on_ring, Some(done.counts)), (Engine::Threads, done.plain, None)]
        {
            if operations > 0 {
                let (class, engine) = (class.to_string(), engine.to_string());
                rows.push(Row { class, engine, operations, counts });
            }
        }
    }
    rows.extend(summary.network.as_ref().map(|tally| Row {
        class: "receive".to_owned(),
        engine: tally.driver.to_string(),
        operations: summary.requests,
        counts: (tally.counts.enters > 0).then_some(tally.counts),
    }));
    rows
}

impl Row {
    fn write(&self, text: &mut String) {
        let Self { class, engine, operations, .. } = self;
        let _ = write!(text, "{class:<12}{engine:<12}{operations:>12}");
        let _ = match &self.counts {
            Some(counts @ Counts { submissions, enters, batch_max, .. }) => {
                let mean = mean_batch(counts);
                writeln!(text, "{submissions:>13}{enters:>9}{mean:>12.1}{batch_max:>10}")
            }
            None => writeln!(text, "{0:>13}{0:>9}{0:>12}{0:>10}", "-"),
        };
    }

    fn json(&self) -> Value {
        let counts = self.counts.unwrap_or_default();
        json!({
            "class": self.class,
            "engine": self.engine,
            "operations": self.operations,
            "submissions": counts.submissions,
            "enters": counts.enters,
            "meanBatch": mean_batch(&counts),
            "largestBatch": counts.batch_max,
        })
    }
}

/// Calls that only look at what has completed are not counted.
#[expect(clippy::cast_precision_loss, reason = "it is printed with one decimal")]
fn mean_batch(counts: &Counts) -> f64 {
    counts.submissions as f64 / counts.batches.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with one decimal")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Done;
    use crate::backend::network::{Driver, NetworkTally};

    fn summary() -> Summary {
        let write = Done {
            plain: 1,
            on_ring: 12,
            counts: Counts {
                submissions: 36,
                enters: 5,
                batches: 2,
                batch_max: 30,
                completions: 12,
            },
        };
        let link = Done { plain: 7, ..Done::default() };
        let operations = [(Class::WriteFile, write), (Class::HardLink, link)];
        let counts =
            Counts { submissions: 250, enters: 100, batches: 80, batch_max: 64, completions: 300 };
        let usage = Usage { voluntary_switches: 3, involuntary_switches: 4, ..Usage::default() };
        let network = NetworkTally { driver: Driver::Ring, counts, usage };
        Summary {
            requests: 82,
            bytes_received: 4096,
            operations: operations.into_iter().collect(),
            network: Some(network),
            kernel_workers: 2,
            ..Summary::default()
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_class_and_engine() {
        let text = table(&summary());
        let (_, rows) = text.split_once("\n\n").unwrap();
        let expected = "\
operation   engine        operations  submissions   enters  mean batch   largest
write       ring                  12           36        5        18.0        30
write       threads                1            -        -           -         -
link        threads                7            -        -           -         -
receive     ring                  82          250      100         3.1        64

";
        assert_eq!(rows, expected);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn what_was_not_done_has_no_row() {
        let text = table(&Summary::default());
        assert!(text.ends_with("0 commands\n\n"), "{text}");
    }

    #[test]
    fn epoll_hands_nothing_over_in_batches() {
        let counts = Counts::default();
        let tally = NetworkTally { driver: Driver::Epoll, counts, usage: Usage::default() };
        let summary = Summary { requests: 2, network: Some(tally), ..Summary::default() };
        let text = table(&summary);
        let row = text.trim_end().lines().next_back().unwrap();
        let expected = ["receive", "epoll", "2", "-", "-", "-", "-"];
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_object_says_the_same_as_the_table() {
        let value: Value = value(&summary());
        let row = |class, engine, operations, submissions, enters, mean, largest| {
            json!({
                "class": class, "engine": engine, "operations": operations,
                "submissions": submissions, "enters": enters, "meanBatch": mean,
                "largestBatch": largest,
            })
        };
        let expected = json!([
            row("write", "ring", 12, 36, 5, 18.0, 30),
            row("write", "threads", 1, 0, 0, 0.0, 0),
            row("link", "threads", 7, 0, 0, 0.0, 0),
            row("receive", "ring", 82, 250, 100, 3.125, 64),
        ]);
        assert_eq!(value["engines"], expected);
        let expected = json!({
            "driver": "ring", "requests": 82, "bytesReceived": 4096, "submissions": 250,
            "enters": 100, "largestBatch": 64, "completions": 300,
            "threadVoluntarySwitches": 3, "threadInvoluntarySwitches": 4,
        });
        assert_eq!(value["network"], expected);
        assert_eq!((&value["kernelWorkers"], &value["refusals"]), (&json!(2), &json!([])));
    }

    #[test]
    fn a_refused_ring_is_told() {
        let refusals = vec!["the ring refuses link: EPERM".to_owned()];
        let summary = Summary { refusals, ..Summary::default() };
        let line = "not used    the ring refuses link: EPERM";
        assert!(table(&summary).lines().any(|one| one == line));
        let value: Value = value(&summary);
        assert_eq!(value["refusals"], json!(["the ring refuses link: EPERM"]));
    }
}
