//! What one installation of ours did when, as `ringstall ci --timings` writes it: the JSON array of
//! Chrome's trace event format.

use std::collections::BTreeMap;

use serde_json::Value;

/// Spans by lane; lanes are in the order of their names' kinds, as a picture shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    pub lanes: Vec<Lane>,
    /// When the last span ends, in seconds.
    pub end: f64,
}

/// A thread, or one of the downloads that the network thread has under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    pub name: String,
    pub kind: LaneKind,
    /// In the order of their starts.
    pub spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKind {
    Phases,
    Download,
    Worker,
}

/// Times are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub name: String,
    pub start: f64,
    pub end: f64,
}

impl Trace {
    /// `None` where the text is no trace, or has nothing in it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let events: Vec<Value> = serde_json::from_slice(text).ok()?;
        let mut lanes: BTreeMap<u64, Lane> = BTreeMap::new();
        for event in &events {
            let Some(track) = event["tid"].as_u64() else { continue };
            if event["name"] == "thread_name" {
                let name = event["args"]["name"].as_str().unwrap_or_default().to_owned();
                let kind = kind(&name);
                lanes.insert(track, Lane { name, kind, spans: Vec::new() });
            }
        }
        let mut last = 0.0_f64;
        for event in events.iter().filter(|event| event["ph"] == "X") {
            let lane = event["tid"].as_u64().and_then(|track| lanes.get_mut(&track));
            let (start, duration) = (event["ts"].as_f64(), event["dur"].as_f64());
            let (Some(lane), Some(start), Some(duration)) = (lane, start, duration) else {
                continue;
            };
            let name = event["name"].as_str().unwrap_or_default().to_owned();
            let span = Span { name, start: start / 1e6, end: (start + duration) / 1e6 };
            last = last.max(span.end);
            lane.spans.push(span);
        }
        let mut lanes: Vec<_> = lanes.into_values().filter(|lane| !lane.spans.is_empty()).collect();
        lanes.sort_by_key(|lane| (lane.kind, number(&lane.name)));
        for lane in &mut lanes {
            lane.spans.sort_by(|first, second| first.start.total_cmp(&second.start));
        }
        (!lanes.is_empty()).then_some(Self { lanes, end: last })
    }
}

fn kind(name: &str) -> LaneKind {
    match name.split(['-', ' ']).next() {
        Some("worker") => LaneKind::Worker,
        Some("download") => LaneKind::Download,
        _ => LaneKind::Phases,
    }
}

/// Of `worker-3` and `download 12`.
fn number(name: &str) -> u64 {
    name.rsplit(['-', ' ']).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lanes_are_phases_downloads_and_workers_in_order() {
        let thread = |track: u64, name: &str| {
            json!({"ph": "M", "name": "thread_name", "tid": track,
            "args": {"name": name}})
        };
        let span = |track: u64, name: &str, start: f64, length: f64| {
            json!({"ph": "X", "name": name,
            "tid": track, "ts": start, "dur": length})
        };
        let events = json!([
            thread(0, "worker-1"),
            thread(1, "main"),
            thread(2, "download 10"),
            thread(3, "download 9"),
            thread(4, "idle"),
            span(0, "unpack b", 3e6, 1e6),
            span(0, "unpack a", 1e6, 1e6),
            span(1, "plan", 0.0, 5e5),
            span(2, "a@1", 1.0, 1.0),
            span(3, "b@1", 1.0, 1.0),
            span(9, "lost", 1.0, 1.0),
        ]);
        let trace = Trace::parse(events.to_string().as_bytes()).unwrap();
        let names: Vec<_> = trace.lanes.iter().map(|lane| lane.name.as_str()).collect();
        assert_eq!(names, ["main", "download 9", "download 10", "worker-1"]);
        let spans: Vec<_> = trace.lanes[3].spans.iter().map(|span| &*span.name).collect();
        assert_eq!(spans, ["unpack a", "unpack b"]);
        assert!((trace.end - 4.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_trace_is_none() {
        for text in ["", "{}", "[]", "[1, {}]"] {
            assert_eq!(Trace::parse(text.as_bytes()), None, "{text}");
        }
    }
}
