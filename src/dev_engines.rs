//! `devEngines` of the project's own package.json: what its developers want it to be worked on
//! with. npm holds it against the machine before it does anything else
//! (npm-install-checks 7, lib/dev-engines.js).

use node_semver::Version;
use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};
use crate::manifest::Manifest;
use crate::platform::{Engines, Platform};
use crate::specifier::parse_range;

/// What `devEngines` can speak of.
const SUBJECTS: [&str; 5] = ["packageManager", "runtime", "cpu", "libc", "os"];

/// One of them on this machine; what is not known fails no check.
struct Current<'c> {
    name: Option<&'c str>,
    version: Option<&'c Version>,
}

/// The warnings, or the first misfit that is to be an error (npm: `EBADDEVENGINES`); with
/// `is_forced` that is a warning too.
pub fn check(
    manifest: &Manifest<'_>,
    engines: &Engines,
    host: &Platform,
    is_forced: bool,
) -> Result<Vec<String>> {
    let Some(raw) = manifest.dev_engines else { return Ok(Vec::new()) };
    let Ok(Value::Object(wanted)) = serde_json::from_str(raw.get()) else {
        return Err(refused("`devEngines` is not an object"));
    };
    let mut warnings = Vec::new();
    for (subject, alternatives) in &wanted {
        if !SUBJECTS.contains(&subject.as_str()) {
            return Err(refused(format!("`devEngines.{subject}` is none that npm knows")));
        }
        let alternatives = match alternatives {
            Value::Array(list) => list.iter().collect(),
            one => vec![one],
        };
        let current = current(subject, engines, host);
        let mut problems = Vec::new();
        for wanted in &alternatives {
            problems.extend(problem(subject, wanted, &current)?);
        }
        // One that fits is enough, and none is asked for where the list is empty.
        if problems.len() < alternatives.len() || alternatives.is_empty() {
            continue;
        }
        // The last one says how much it matters.
        let on_fail = alternatives.last().and_then(|last| last.get("onFail")?.as_str());
        let message = problems.join("; ");
        match on_fail.unwrap_or("error") {
            "ignore" => {}
            "error" | "download" if !is_forced => return Err(refused(message)),
            _ => warnings.push(format!("{}: {message}", Code::BadDevEngines.as_str())),
        }
    }
    Ok(warnings)
}

fn current<'c>(subject: &str, engines: &'c Engines, host: &'c Platform) -> Current<'c> {
    let (name, version) = match subject {
        "runtime" => (Some("node"), engines.node.as_ref()),
        "packageManager" => (Some("npm"), engines.npm.as_ref()),
        "os" => (Some(host.os.as_str()), None),
        "cpu" => (Some(host.cpu.as_str()), None),
        _ => (host.libc.as_deref(), None),
    };
    Current { name, version }
}

/// Why the machine is not what is wanted.
fn problem(subject: &str, wanted: &Value, current: &Current<'_>) -> Result<Option<String>> {
    let Value::Object(wanted) = wanted else {
        return Err(refused(format!("`devEngines.{subject}` is not an object")));
    };
    let known = |key: &&String| matches!(key.as_str(), "name" | "version" | "onFail");
    if let Some(odd) = wanted.keys().find(|key| !known(key)) {
        return Err(refused(format!("`devEngines.{subject}.{odd}` is none that npm knows")));
    }
    let Some(name) = text(subject, wanted, "name")? else {
        return Err(refused(format!("`devEngines.{subject}` has no name")));
    };
    let version = text(subject, wanted, "version")?;
    if let Some(on_fail) = text(subject, wanted, "onFail")?
        && !matches!(on_fail, "ignore" | "warn" | "error" | "download")
    {
        return Err(refused(format!("`devEngines.{subject}.onFail` is `{on_fail}`")));
    }
    if let Some(found) = current.name.filter(|found| *found != name) {
        return Ok(Some(format!("devEngines wants the {subject} {name}, this is {found}")));
    }
    let (Some(version), Some(found)) = (version, current.version) else { return Ok(None) };
    let is_right = match parse_range(version) {
        Some(range) => range.satisfies(found),
        None => found.to_string() == version,
    };
    let problem = || format!("devEngines wants the {subject} {name} {version}, this is {found}");
    Ok((!is_right).then(problem))
}

fn text<'v>(subject: &str, wanted: &'v Map<String, Value>, key: &str) -> Result<Option<&'v str>> {
    match wanted.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(refused(format!("`devEngines.{subject}.{key}` is not a string"))),
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Code::BadDevEngines, message)
        .with_hint("use what package.json asks for in `devEngines`, or --force")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(dev_engines: &str) -> Result<Vec<String>, String> {
        let text = format!(r#"{{"devEngines": {dev_engines}}}"#);
        let manifest = Manifest::parse(&text, "").unwrap();
        let version = |text| Version::parse(text).ok();
        let engines = Engines { node: version("20.20.2"), npm: version("11.19.1") };
        let host = Platform { os: "linux".into(), cpu: "x64".into(), libc: Some("glibc".into()) };
        check(&manifest, &engines, &host, false).map_err(|error| error.to_string())
    }

    #[test]
    fn one_of_several_alternatives_is_enough() {
        for fitting in [
            r#"{"runtime": {"name": "node", "version": ">=20"}}"#,
            r#"{"runtime": [{"name": "deno"}, {"name": "node"}]}"#,
            r#"{"packageManager": {"name": "npm", "version": "^11"}, "os": {"name": "linux"}}"#,
            r#"{"cpu": [], "libc": {"name": "glibc"}}"#,
            r#"{"runtime": {"name": "deno", "onFail": "ignore"}}"#,
        ] {
            assert_eq!(outcome(fitting), Ok(Vec::new()), "{fitting}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_unless_it_says_otherwise() {
        for (misfit, expected) in [
            (
                r#"{"runtime": {"name": "node", "version": ">=99"}}"#,
                "devEngines wants the runtime node >=99, this is 20.20.2",
            ),
            (
                r#"{"packageManager": {"name": "pnpm", "onFail": "download"}}"#,
                "devEngines wants the packageManager pnpm, this is npm",
            ),
            (r#"{"os": {"name": "win32"}}"#, "devEngines wants the os win32, this is linux"),
        ] {
            assert_eq!(outcome(misfit), Err(expected.to_owned()));
        }
        let warning = r#"{"os": {"name": "win32", "onFail": "warn"}}"#;
        let expected = "EBADDEVENGINES: devEngines wants the os win32, this is linux";
        assert_eq!(outcome(warning), Ok(vec![expected.to_owned()]));
    }

    #[test]
    fn what_npm_cannot_read_is_an_error() {
        for odd in [
            "[]",
            r#"{"node": {"name": "node"}}"#,
            r#"{"runtime": "node"}"#,
            r#"{"runtime": {"version": "1"}}"#,
            r#"{"runtime": {"name": "node", "range": "1"}}"#,
            r#"{"runtime": {"name": "node", "version": 1}}"#,
            r#"{"runtime": {"name": "node", "onFail": "explode"}}"#,
        ] {
            assert!(outcome(odd).is_err(), "{odd}");
        }
    }
}
