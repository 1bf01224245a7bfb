//! The runs of a bench for machines: JSON with all that was known, CSV with a line for each run.

use std::fmt::Write as _;

use serde_json::json;

use super::Report;
use super::contender::Contender;
use super::figure::{Figure, Run};

/// Of the object; it grows when a key changes its meaning.
const SCHEMA_VERSION: u32 = 1;

pub fn json(report: &Report) -> String {
    let contenders: Vec<_> = report
        .contenders
        .iter()
        .map(|contender| {
            let Contender { label, version, .. } = contender;
            let manager = contender.manager.name();
            let call = report.call(contender);
            json!({"name": label, "manager": manager, "version": version, "command": call})
        })
        .collect();
    let value = json!({
        "schemaVersion": SCHEMA_VERSION,
        "surroundings": report.surroundings,
        "rounds": report.rounds,
        "contenders": contenders,
        "runs": report.runs,
    });
    format!("{value:#}")
}

pub fn csv(report: &Report) -> String {
    let mut text = "contender,phase,filesystem,round".to_owned();
    for figure in Figure::ALL {
        let _ = write!(text, ",{}", figure.name());
    }
    text.push_str(",fault\n");
    for run in &report.runs {
        let Run { contender, phase, filesystem, round, figures, fault } = run;
        let filesystem = filesystem.unwrap_or_default();
        let _ = write!(text, "{},{phase},{filesystem},{round}", quoted(contender));
        for figure in Figure::ALL {
            let value = figures.get(figure).map(|value| value.to_string());
            let _ = write!(text, ",{}", value.unwrap_or_default());
        }
        let _ = writeln!(text, ",{}", quoted(fault.as_deref().unwrap_or_default()));
    }
    text
}

/// A field as in RFC 4180.
fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    use crate::bench::figure::Figures;
    use crate::bench::phase::Phase;

    fn report() -> Report {
        let mut figures = Figures::default();
        figures.set(Figure::Wall, 1.25);
        figures.set_count(Figure::Files, 7);
        let run = Run {
            contender: "io=ring, twice".to_owned(),
            phase: Phase::Cold,
            filesystem: Some("xfs"),
            round: 2,
            figures,
            fault: Some("said \"no\"".to_owned()),
        };
        Report { runs: vec![run], ..Report::default() }
    }

    #[test]
    fn a_line_for_each_run_with_all_figures() {
        let text = csv(&report());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].split(',').count(), Figure::ALL.len() + 5);
        assert!(lines[0].starts_with("contender,phase,filesystem,round,wallSeconds,"));
        assert!(lines[1].starts_with("\"io=ring, twice\",p3,xfs,2,1.25,,"), "{text}");
        assert!(lines[1].ends_with(",\"said \"\"no\"\"\""), "{text}");
    }

    #[test]
    fn the_object_holds_every_run() {
        let value: Value = serde_json::from_str(&json(&report())).unwrap();
        assert_eq!(value["schemaVersion"], 1);
        assert_eq!(value["runs"][0]["wallSeconds"], 1.25);
        assert_eq!(value["runs"][0]["fault"], "said \"no\"");
    }
}
