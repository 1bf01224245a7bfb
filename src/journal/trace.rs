//! The trace: what each thread and each download lane did when, in the JSON array of Chrome's trace
//! event format, which Perfetto and chrome://tracing open.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A package has three spans; no lockfile that is known has a twentieth of the packages that this
/// is enough for. What is beyond is counted and left out.
const SPANS_MAX: usize = 1 << 20;

/// Collects spans in memory. The file is there from the start, so that one that cannot be had is
/// no surprise at the end.
#[derive(Debug)]
pub struct Trace {
    start: Instant,
    path: PathBuf,
    file: Mutex<Option<File>>,
    tracks: Mutex<Tracks>,
}

/// A line of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// That of the thread that asks.
    ThisThread,
    /// One of the downloads that the network thread has under way, by its number.
    Download(usize),
}

/// Runs from its making to its drop.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Span<'t>(Option<Open<'t>>);

#[derive(Debug)]
struct Open<'t> {
    trace: &'t Trace,
    lane: Lane,
    name: String,
    bytes: Option<u64>,
    began: Instant,
}

#[derive(Debug, Default)]
struct Tracks {
    names: Vec<String>,
    /// By name: the threads of a later stage go on where those of an earlier one have ended.
    numbers: HashMap<String, usize>,
    spans: Vec<Closed>,
    left_out: usize,
}

#[derive(Debug)]
struct Closed {
    track: usize,
    name: String,
    bytes: Option<u64>,
    began: Duration,
    lasted: Duration,
}

impl Trace {
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| Error::io("create", path, error))?;
        Ok(Self {
            start: Instant::now(),
            path: path.to_owned(),
            file: Mutex::new(Some(file)),
            tracks: Mutex::default(),
        })
    }

    fn close(&self, open: &mut Open<'_>) {
        let lasted = open.began.elapsed();
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        if tracks.spans.len() == SPANS_MAX {
            tracks.left_out += 1;
            return;
        }
        let closed = Closed {
            track: tracks.track(open.lane),
            name: std::mem::take(&mut open.name),
            bytes: open.bytes,
            began: open.began.saturating_duration_since(self.start),
            lasted,
        };
        tracks.spans.push(closed);
    }

    /// Writes the file; once, whoever asks first.
    pub(super) fn write(&self) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(file) = file else { return Ok(()) };
        let tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = BufWriter::new(file);
        let written = (|| {
            for (number, event) in tracks.events().enumerate() {
                writer.write_all(if number == 0 { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(&mut writer, &event)?;
            }
            writer.write_all(b"\n]\n")?;
            writer.flush()
        })();
        written.map_err(|error| Error::io("write the trace to", &self.path, error))
    }
}

impl Tracks {
    fn track(&mut self, lane: Lane) -> usize {
        let name = match lane {
            Lane::ThisThread => thread::current().name().unwrap_or("unnamed").to_owned(),
            Lane::Download(number) => format!("download {number}"),
        };
        let next = self.names.len();
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            next
        })
    }

    /// The names of process and tracks, then the spans in the order of their ends.
    fn events(&self) -> impl Iterator<Item = Value> {
        let pid = std::process::id();
        let name = move |kind: &str, track: usize, name: &str| {
            let arguments = json!({"name": name});
            json!({"ph": "M", "name": kind, "pid": pid, "tid": track, "args": arguments})
        };
        let process = std::iter::once(name("process_name", 0, "ringstall"));
        let threads =
            self.names.iter().enumerate().map(move |(track, one)| name("thread_name", track, one));
        let spans = self.spans.iter().map(move |span| {
            let mut event = json!({
                "ph": "X", "name": span.name, "cat": "ringstall", "pid": pid, "tid": span.track,
                "ts": microseconds(span.began), "dur": microseconds(span.lasted),
            });
            if let Some(bytes) = span.bytes {
                event["args"] = json!({"bytes": bytes});
            }
            event
        });
        let left_out = (self.left_out > 0).then(|| {
            let name = format!("{} more spans are left out", self.left_out);
            json!({"ph": "i", "s": "g", "name": name, "pid": pid, "tid": 0, "ts": 0})
        });
        process.chain(threads).chain(spans).chain(left_out)
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

impl<'t> Span<'t> {
    pub(super) fn begin(
        trace: Option<&'t Trace>,
        lane: Lane,
        name: impl FnOnce() -> String,
    ) -> Self {
        Self(trace.map(|trace| Open {
            trace,
            lane,
            name: name(),
            bytes: None,
            began: Instant::now(),
        }))
    }

    pub fn set_bytes(&mut self, bytes: u64) {
        if let Some(open) = &mut self.0 {
            open.bytes = Some(bytes);
        }
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        if let Some(open) = &mut self.0 {
            open.trace.close(open);
        }
    }
}
