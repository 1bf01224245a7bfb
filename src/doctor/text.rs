//! The report for people.

use std::fmt::{Display, Write as _};

use super::json::engine;
use super::{Folder, Report, Trial};
use crate::backend::{Refused, RingPart, RingPartKind};

pub fn to_text(report: &Report) -> String {
    let mut text = String::new();
    machine(report, &mut text);
    ring(report, &mut text);
    folders(report, &mut text);
    engines(report, &mut text);
    let advice = report.advice();
    if !advice.is_empty() {
        text.push_str("\nadvice\n");
        for line in advice {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn row(text: &mut String, name: &str, value: impl Display) {
    let _ = writeln!(text, "  {name:<15}{value}");
}

fn machine(report: &Report, text: &mut String) {
    let Report { groups, .. } = report;
    text.push_str("machine\n");
    row(text, "kernel", &report.kernel);
    row(text, "processors", report.processors);
    row(text, "seccomp", report.seccomp.unwrap_or("unknown"));
    row(text, "open files", limit(report.open_files_max, ""));
    row(text, "locked memory", limit(report.locked_bytes_max, " bytes"));
    let version = groups.version.map_or("none".to_owned(), |version| format!("version {version}"));
    row(text, "cgroup", version);
    row(text, "  processors", limit(groups.processors, ""));
    row(text, "  memory", limit(groups.memory_bytes, " bytes"));
    row(text, "  processes", limit(groups.processes, ""));
}

fn limit(limit: Option<impl Display>, unit: &str) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit}{unit}"))
}

fn ring(report: &Report, text: &mut String) {
    text.push_str("\nio_uring\n");
    row(text, "files", verdict(report.ring.files.as_ref()));
    row(text, "connections", verdict(report.ring.sockets.as_ref()));
    for kind in RingPartKind::ALL {
        let parts = || report.ring.parts.iter().filter(|part| part.kind == kind);
        let there: Vec<_> =
            parts().filter(|part| part.errno.is_none()).map(|part| part.name).collect();
        let missing: Vec<_> = parts().filter(|part| part.errno.is_some()).map(missing).collect();
        if there.is_empty() && missing.is_empty() {
            continue;
        }
        row(text, name(kind), there.join(", "));
        if !missing.is_empty() {
            row(text, "  missing", missing.join(", "));
        }
    }
}

fn verdict(refused: Option<&Refused>) -> String {
    refused.map_or_else(|| "works".to_owned(), |refused| format!("refused: {refused}"))
}

fn name(kind: RingPartKind) -> &'static str {
    match kind {
        RingPartKind::SetupFlag => "setup flags",
        RingPartKind::Feature => "features",
        RingPartKind::Registration => "registrations",
        RingPartKind::Opcode => "opcodes",
    }
}

fn missing(part: &RingPart) -> String {
    format!("{} (Linux {})", part.name, part.since)
}

fn folders(report: &Report, text: &mut String) {
    text.push_str("\nfolders\n");
    for (name, folder) in [("cache", &report.cache), ("project", &report.project)] {
        let path = folder.path.display();
        match &folder.missing {
            None => row(text, name, path),
            Some(missing) => {
                row(text, name, format!("{} (to be made in {path})", missing.display()));
            }
        }
        row(text, "  filesystem", filesystem(folder));
        for layer in folder.mount.iter().flat_map(|mount| &mount.lower) {
            let lies = if folder.layers.contains(layer) { ", with this folder in it" } else { "" };
            row(text, "  lower layer", format!("{}{lies}", layer.display()));
        }
        if let Some(layer) = folder.mount.as_ref().and_then(|mount| mount.upper.as_ref()) {
            row(text, "  upper layer", layer.display());
        }
    }
    row(text, "hard link", trial(&report.hard_link));
    row(text, "reflink", trial(&report.reflink));
}

fn filesystem(folder: &Folder) -> String {
    folder.mount.as_ref().map_or_else(
        || folder.filesystem.to_string(),
        |mount| format!("{} at {}", mount.kind, mount.point.display()),
    )
}

fn trial(trial: &Trial) -> String {
    match trial {
        Trial::Works => "works".to_owned(),
        Trial::Fails(why) => format!("refused: {why}"),
        Trial::Unknown(why) => format!("not tried: {why}"),
    }
}

fn engines(report: &Report, text: &mut String) {
    text.push_str("\nwhat `auto` takes\n");
    for (class, cache, project) in &report.engines {
        let (cache, project) = (engine(*cache), engine(*project));
        row(text, &class.to_string(), format!("{cache} in the cache, {project} in the project"));
    }
    row(text, "network", report.network);
}
