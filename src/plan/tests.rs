//! Which packages are installed: a table of lockfiles, choices and the paths that are left.

use super::*;
use crate::check::check;
use crate::project::{ProjectText, TargetTexts};

/// The paths that are installed, in order, or the error.
fn installed(manifest: &str, packages: &str, omit: Omit) -> Result<String> {
    let lock = format!(r#"{{"lockfileVersion": 3, "packages": {{"": {manifest}, {packages}}}}}"#);
    let text = ProjectText::in_memory(lock, manifest.to_owned());
    let targets = TargetTexts::none();
    let project = Project::new(&text, text.lockfile()?, &targets)?;
    let graph = check(&project, true)?;
    let platform =
        Platform { os: "linux".to_owned(), cpu: "x64".to_owned(), libc: Some("glibc".to_owned()) };
    let engines = Engines { node: node_semver::Version::parse("20.1.0").ok(), npm: None };
    let choice = Choice {
        platform: &platform,
        host: &platform,
        engines: &engines,
        omit,
        selection: &Selection::Everything,
        allowances: Allowances::default(),
        is_engine_strict: false,
        is_forced: false,
        with_bins: true,
        unavailable: &HashSet::new(),
    };
    let plan = Plan::new(&graph, &project, &choice, &Registries::default())?;
    let paths: Vec<_> = plan
        .installed(&graph)
        .map(|id| graph.node(id).path.as_str().replace("node_modules/", ""))
        .collect();
    Ok(paths.join(" "))
}

const NOTHING: Omit = Omit { dev: false, optional: false, peer: false };
const DEV: Omit = Omit { dev: true, optional: false, peer: false };
const OPTIONAL: Omit = Omit { dev: false, optional: true, peer: false };
const BOTH: Omit = Omit { dev: true, optional: true, peer: false };
const PEER: Omit = Omit { dev: false, optional: false, peer: true };

/// A package of the table: its path without `node_modules/`, and more fields.
fn package(path: &str, fields: &str) -> String {
    let path = path.replace('/', "/node_modules/");
    let comma = if fields.is_empty() { "" } else { ", " };
    format!(r#""node_modules/{path}": {{"version": "1.0.0"{comma}{fields}}}"#)
}

fn packages(table: &[(&str, &str)]) -> String {
    table.iter().map(|(path, fields)| package(path, fields)).collect::<Vec<_>>().join(", ")
}

#[test]
fn omitted_kinds_go_with_what_only_they_need() {
    let manifest = r#"{"dependencies": {"p": "1"}, "devDependencies": {"d": "1"},
        "optionalDependencies": {"o": "1"}, "peerDependencies": {"q": "1"}}"#;
    let packages = packages(&[
        ("p", r#""dependencies": {"both": "1"}"#),
        ("d", r#""dependencies": {"both": "1", "dev-only": "1", "shared": "1"}"#),
        ("o", r#""dependencies": {"shared": "1"}"#),
        ("q", ""),
        ("both", ""),
        ("dev-only", ""),
        ("shared", ""),
    ]);
    for (omit, expected) in [
        (NOTHING, "p d o q both dev-only shared"),
        (DEV, "p o q both shared"),
        (OPTIONAL, "p d q both dev-only shared"),
        (BOTH, "p q both"),
        (PEER, "p d o both dev-only shared"),
    ] {
        assert_eq!(installed(manifest, &packages, omit).unwrap(), expected, "{omit:?}");
    }
}

#[test]
fn an_optional_package_for_elsewhere_leaves_with_its_set() {
    let manifest = r#"{"dependencies": {"a": "1"}, "optionalDependencies": {"o": "1"}}"#;
    for (fields, expected) in [
        (r#""os": ["linux"]"#, "a o only shared"),
        (r#""os": ["darwin"]"#, "a shared"),
        (r#""cpu": ["arm64"]"#, "a shared"),
        (r#""libc": ["musl"]"#, "a shared"),
        (r#""engines": {"node": ">=22"}"#, "a shared"),
        (r#""engines": {"node": ">=20"}"#, "a o only shared"),
    ] {
        let fields = format!(r#"{fields}, "dependencies": {{"only": "1", "shared": "1"}}"#);
        let packages = packages(&[
            ("a", r#""dependencies": {"shared": "1"}"#),
            ("o", &fields),
            ("only", ""),
            ("shared", ""),
        ]);
        assert_eq!(installed(manifest, &packages, NOTHING).unwrap(), expected, "{fields}");
    }
}

#[test]
fn a_set_reaches_up_to_the_optional_edge() {
    let manifest = r#"{"optionalDependencies": {"o": "1"}}"#;
    let packages = packages(&[
        ("o", r#""dependencies": {"needs": "1", "other": "1"}"#),
        ("needs", r#""os": ["darwin"]"#),
        ("other", ""),
    ]);
    assert_eq!(installed(manifest, &packages, NOTHING).unwrap(), "");
}

#[test]
fn what_two_sets_share_leaves_with_the_second() {
    let manifest = r#"{"optionalDependencies": {"a": "1", "b": "1"}}"#;
    let fields = r#""os": ["darwin"], "dependencies": {"shared": "1"}"#;
    let packages = packages(&[("a", fields), ("b", fields), ("shared", "")]);
    assert_eq!(installed(manifest, &packages, NOTHING).unwrap(), "");
}

#[test]
fn a_required_package_for_elsewhere_is_ebadplatform() {
    let packages = packages(&[("a", r#""os": ["darwin"], "cpu": ["arm64"]"#)]);
    let error = installed(r#"{"dependencies": {"a": "1"}}"#, &packages, NOTHING).unwrap_err();
    let expected = "EBADPLATFORM: unsupported platform for a@1.0.0: wanted os [darwin], \
                    cpu [arm64], libc [], this is linux x64 glibc";
    assert_eq!(format!("{error:?}"), expected);
    // What is omitted is not held against the machine.
    let manifest = r#"{"devDependencies": {"a": "1"}}"#;
    assert_eq!(installed(manifest, &packages, DEV).unwrap(), "");
}

#[test]
fn nothing_is_installed_below_what_is_left_out() {
    let manifest = r#"{"devDependencies": {"d": "1"}}"#;
    let packages = packages(&[("d", r#""dependencies": {"n": "1"}"#), ("d/n", "")]);
    assert_eq!(installed(manifest, &packages, NOTHING).unwrap(), "d d/n");
    assert_eq!(installed(manifest, &packages, DEV).unwrap(), "");
}

#[test]
fn what_nothing_asks_for_is_not_installed() {
    let packages = packages(&[("a", ""), ("extra", "")]);
    let paths = installed(r#"{"dependencies": {"a": "1"}}"#, &packages, NOTHING).unwrap();
    assert_eq!(paths, "a");
}

#[test]
fn other_sources_are_refused_by_name_all_at_once() {
    let manifest = r#"{"dependencies": {"a": "*", "b": "*", "c": "*"}}"#;
    let packages = packages(&[
        ("a", r#""resolved": "git+ssh://git@example.test/o/r.git#0123""#),
        ("b", r#""resolved": "file:b""#),
        ("c", r#""resolved": "gopher://example.test/c.tgz""#),
    ]);
    let error = installed(manifest, &packages, NOTHING).unwrap_err();
    let expected = "EUNSUPPORTEDSOURCE: 3 packages of the lockfile come from sources that are \
                    not installed\n\nnode_modules/a is a git repository without a whole \
                    commit\nnode_modules/b is a folder that is no link\n\
                    node_modules/c is an address that is not understood";
    assert_eq!(format!("{error:?}"), expected);
}

#[test]
fn an_entry_without_a_version_is_refused() {
    let packages = r#""node_modules/a": {}"#;
    let error = installed(r#"{"dependencies": {"a": "*"}}"#, packages, NOTHING).unwrap_err();
    assert_eq!(error.code(), Code::LockfileInvalid);
}
