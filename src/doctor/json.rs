//! The report for programs; docs/doctor.md describes each key.

use serde_json::{Value, json};

use super::{Folder, Report, Trial};
use crate::backend::{Engine, Refused, RingPart, RingPartKind, RingPartRole};

pub fn to_json(report: &Report) -> String {
    let engines: serde_json::Map<_, _> = report
        .engines
        .iter()
        .map(|(class, cache, project)| {
            let engines = json!({"cache": engine(*cache), "project": engine(*project)});
            (class.to_string(), engines)
        })
        .collect();
    let value = json!({
        "schemaVersion": 1,
        "kernel": report.kernel,
        "processors": report.processors,
        "limits": {
            "openFiles": report.open_files_max,
            "lockedBytes": report.locked_bytes_max,
            "seccomp": report.seccomp,
            "cgroupVersion": report.groups.version,
            "processors": report.groups.processors,
            "memoryBytes": report.groups.memory_bytes,
            "processes": report.groups.processes,
        },
        "ioUring": {
            "files": refused(report.ring.files.as_ref()),
            "connections": refused(report.ring.sockets.as_ref()),
            "parts": report.ring.parts.iter().map(part).collect::<Vec<_>>(),
        },
        "cache": folder(&report.cache),
        "project": folder(&report.project),
        "hardLink": trial(&report.hard_link),
        "reflink": trial(&report.reflink),
        "auto": {"operations": engines, "network": report.network.to_string()},
        "advice": report.advice(),
    });
    format!("{value:#}")
}

pub(super) fn engine(engine: Engine) -> &'static str {
    match engine {
        Engine::Threads => "threads",
        Engine::Ring => "ring",
    }
}

fn refused(refused: Option<&Refused>) -> Value {
    match refused {
        None => json!({"works": true}),
        Some(Refused { why, advice }) => json!({"works": false, "why": why, "advice": advice}),
    }
}

fn part(part: &RingPart) -> Value {
    let kind = match part.kind {
        RingPartKind::SetupFlag => "setupFlag",
        RingPartKind::Feature => "feature",
        RingPartKind::Registration => "registration",
        RingPartKind::Opcode => "opcode",
    };
    let role = match part.role {
        RingPartRole::Needed => "needed",
        RingPartRole::Faster => "faster",
        RingPartRole::Unused => "unused",
    };
    json!({
        "kind": kind,
        "name": part.name,
        "since": part.since,
        "role": role,
        "works": part.errno.is_none(),
        "errno": part.errno,
    })
}

fn folder(folder: &Folder) -> Value {
    let mount = folder.mount.as_ref();
    json!({
        "path": folder.path.to_string_lossy(),
        "isThere": folder.missing.is_none(),
        "filesystem": folder.filesystem.to_string(),
        "mountPoint": mount.map(|mount| mount.point.to_string_lossy()),
        "mountType": mount.map(|mount| mount.kind.as_str()),
        "lowerLayers": mount.map_or_else(Vec::new, |mount| paths(&mount.lower)),
        "upperLayer": mount.and_then(|mount| Some(mount.upper.as_ref()?.to_string_lossy())),
        "liesInLayers": paths(&folder.layers),
    })
}

fn paths(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// `works` is null where it could not be tried.
fn trial(trial: &Trial) -> Value {
    match trial {
        Trial::Works => json!({"works": true}),
        Trial::Fails(why) => json!({"works": false, "why": why}),
        Trial::Unknown(why) => json!({"works": null, "why": why}),
    }
}
