//! The lockfile's integrity: what is checked, what is asked for again, and that nothing of a wrong
//! tarball is ever seen.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::package::{hex_digest, sri, wrong_sri};
use crate::support::{Package, Project, Registry, Reply};

const TARBALL: &str = "/a/-/a-1.0.0.tgz";
const INSTALLED: [&str; 4] =
    [".package-lock.json [node_modules/a]", "a/", "a/index.js \"a\"", "a/package.json {a@1.0.0}"];

/// One package whose lock entry has this integrity, made of its tarball.
fn with_integrity(integrity: impl FnOnce(&[u8]) -> Value) -> (Registry, Package, Project) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("index.js", "a"));
    let project = Project::new(&registry)
        .npmrc(crate::retry::FAST)
        .with(&a)
        .entry("node_modules/a", json!({"integrity": integrity(&a.tgz())}));
    (registry, a, project)
}

fn sha512(bytes: &[u8]) -> Value {
    json!(sri("sha512", bytes))
}

/// Neither the project nor the cache has anything of the package.
#[track_caller]
fn assert_nothing_visible(project: &Project) {
    assert!(!project.path().join("node_modules/a").exists());
    assert!(!project.path().join("node_modules/.package-lock.json").exists());
    for folder in ["v2-u022/packages", "v2-u022/tmp"] {
        assert_eq!(files_below(&project.cache().join(folder)), [""; 0]);
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path().to_string_lossy().into_owned());
            }
        }
    }
    files
}

#[test]
fn every_algorithm_that_npm_knows_is_accepted() {
    for algorithm in ["sha1", "sha256", "sha384", "sha512"] {
        let (_registry, _, project) = with_integrity(|bytes| json!(sri(algorithm, bytes)));
        project.assert_same_as_npm(&[]);
        project.installed().assert(&INSTALLED);
    }
}

#[test]
fn any_digest_of_the_strongest_algorithm_may_match() {
    let (_registry, _, project) =
        with_integrity(|bytes| json!(format!("{} {}", wrong_sri("sha512"), sri("sha512", bytes))));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&INSTALLED);
}

#[test]
fn a_weaker_digest_beside_a_right_stronger_one_is_not_looked_at() {
    let (_registry, _, project) =
        with_integrity(|bytes| json!(format!("{} {}", wrong_sri("sha1"), sri("sha512", bytes))));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&INSTALLED);
}

#[test]
fn a_right_weaker_digest_does_not_make_up_for_a_wrong_stronger_one() {
    let (_registry, _, project) =
        with_integrity(|bytes| json!(format!("{} {}", sri("sha1", bytes), wrong_sri("sha512"))));
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("EINTEGRITY");
    assert_nothing_visible(&project);
}

#[test]
fn an_unknown_algorithm_beside_a_known_one_is_passed_over() {
    let (_registry, _, project) =
        with_integrity(|bytes| json!(format!("blake9-AAAA {}", sri("sha512", bytes))));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&INSTALLED);
}

#[test]
fn options_of_a_digest_are_passed_over() {
    let (_registry, _, project) =
        with_integrity(|bytes| json!(format!("{}?option", sri("sha512", bytes))));
    project.assert_same_as_npm(&[]);
}

#[test]
fn an_integrity_that_cannot_be_checked_is_refused() {
    for integrity in ["sha512-", "md5-rL0Y20zC+Fzt72VPzMSk2A==", "sha512-AAAA", "junk"] {
        let (registry, _, project) = with_integrity(|_| json!(integrity));
        project.ci(&[]).assert_error("EINTEGRITY");
        assert_nothing_visible(&project);
        assert_eq!(registry.count(TARBALL), 0, "{integrity}");
    }
}

#[test]
fn a_package_without_integrity_is_installed() {
    for integrity in [Value::Null, json!("")] {
        let (_registry, _, project) = with_integrity(|_| integrity);
        project.assert_same_as_npm(&[]);
        project.installed().assert(&INSTALLED);
    }
}

#[test]
fn a_package_without_integrity_is_reused_as_well() {
    let (registry, _, project) = with_integrity(|_| Value::Null);
    project.ci(&[]).assert_success();
    registry.forget_requests();
    project.ci(&[]).assert_success();
    assert_eq!(registry.paths(), [""; 0]);
    project.installed().assert(&INSTALLED);
}

/// npm ignores it; here a digest that is there is checked.
#[test]
fn the_sha1_after_the_number_sign_of_resolved_counts_where_there_is_no_other() {
    let (registry, a, project) = with_integrity(|_| Value::Null);
    let resolved = |digest: &str| {
        let url = registry.url();
        json!({"resolved": format!("{url}{}#{digest}", a.tarball_path())})
    };
    let right = hex_digest("sha1", &a.tgz());
    let project = project.entry("node_modules/a", resolved(&right));
    project.ci(&[]).assert_success();
    assert!(project.path().join("node_modules/a/index.js").exists());
    let project = project.entry("node_modules/a", resolved(&"0".repeat(40)));
    project.ci(&[]).assert_error("EINTEGRITY");
}

#[test]
fn wrong_bytes_are_asked_for_once_more() {
    let (registry, _, project) = with_integrity(sha512);
    let other = Package::new("a", "1.0.0").file("index.js", "other");
    registry.reply_once(TARBALL, Reply::ok(other.tgz()));
    project.ci(&[]).assert_success();
    assert_eq!(registry.count(TARBALL), 2);
    project.installed().assert(&INSTALLED);
}

#[test]
fn bytes_that_stay_wrong_are_an_error_with_both_digests() {
    let (registry, a, project) = with_integrity(sha512);
    let other = Package::new("a", "1.0.0").file("index.js", "other").tgz();
    registry.reply_always(TARBALL, Reply::ok(other.clone()));
    project.assert_npm_fails(&[]);
    registry.forget_requests();
    let (wanted, found) = (a.integrity(), sri("sha512", &other));
    project.ci(&[]).assert_failure(&[
        "error: EINTEGRITY: failed to install a@1.0.0 from [REGISTRY]/a/-/a-1.0.0.tgz",
        &format!(
            "  caused by: {wanted} integrity checksum failed when using sha512: wanted {wanted} \
             but got {found} ({} bytes)",
            other.len()
        ),
        "hint: these are not the bytes that the lockfile was written for: ask who sent them, a \
         proxy or a mirror among others; where the change is meant, `npm install` writes it down",
    ]);
    assert_eq!(registry.count(TARBALL), 2);
    assert_nothing_visible(&project);
}

/// npm leaves an optional package with wrong bytes out in silence; here it is an error.
#[test]
fn wrong_bytes_of_an_optional_package_are_an_error_as_well() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .with_optional(&a)
        .entry("node_modules/a", json!({"integrity": wrong_sri("sha512")}));
    project.ci(&[]).assert_error("EINTEGRITY");
    assert_nothing_visible(&project);
}

#[test]
fn a_wrong_tarball_does_not_stop_a_right_one_from_being_kept() {
    let (registry, a, project) = with_integrity(|_| json!(wrong_sri("sha512")));
    project.ci(&[]).assert_error("EINTEGRITY");
    let project = project.entry("node_modules/a", json!({"integrity": a.integrity()}));
    registry.forget_requests();
    project.assert_same_as_npm(&[]);
    project.installed().assert(&INSTALLED);
}

#[test]
fn the_cache_does_not_hand_out_what_another_integrity_was_given_for() {
    let (registry, a, project) = with_integrity(sha512);
    project.ci(&[]).assert_success();
    let other = Package::new("a", "1.0.0").file("index.js", "other");
    registry.reply_always(TARBALL, Reply::ok(other.tgz()));
    let project = project.entry("node_modules/a", json!({"integrity": other.integrity()}));
    project.ci(&[]).assert_success();
    let text = fs::read_to_string(project.path().join("node_modules/a/index.js")).unwrap();
    assert_eq!(text, "other");
    // And the first is still there.
    registry.forget_requests();
    let project = project.entry("node_modules/a", json!({"integrity": a.integrity()}));
    project.ci(&[]).assert_success();
    project.installed().assert(&INSTALLED);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn two_names_for_the_same_bytes_are_both_installed() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("index.js", "a"));
    registry.reply_always("/b/-/b-1.0.0.tgz", Reply::ok(a.tgz()));
    let b = Package::new("b", "1.0.0");
    let project = Project::new(&registry)
        .with(&a)
        .with(&b)
        .entry("node_modules/b", json!({"integrity": a.integrity()}));
    project.assert_same_as_npm(&[]);
    project.installed().below("b").assert(&["index.js \"a\"", "package.json {a@1.0.0}"]);
}
