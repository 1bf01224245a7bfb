//! Optional packages that cannot be had for another reason than their platform: they are left out
//! with their set, except where their bytes are not what the lockfile says.

use serde_json::json;

use crate::support::archive::gzip;
use crate::support::{Package, Project, Registry, Reply};

const LEFT_OUT: [&str; 3] =
    [".package-lock.json [node_modules/plain]", "plain/", "plain/package.json {plain@1.0.0}"];

fn with_optional(registry: &Registry, optional: Package) -> Project {
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let optional = registry.serve(optional);
    Project::new(registry).npmrc(crate::retry::FAST).with(&plain).with_optional(&optional)
}

#[test]
fn one_that_the_registry_refuses_or_fails_to_give_is_left_out() {
    for status in [401, 403, 410, 503] {
        let registry = Registry::start();
        let project = with_optional(&registry, Package::new("optional", "1.0.0"));
        registry.reply_always("/optional/-/optional-1.0.0.tgz", Reply::status(status));
        project.assert_same_as_npm(&[]);
        project.installed().assert(&LEFT_OUT);
    }
}

#[test]
fn one_whose_tarball_cannot_be_unpacked_is_left_out() {
    let registry = Registry::start();
    let broken = Package::new("optional", "1.0.0").tarball(gzip(&[b'x'; 1024]));
    let project = with_optional(&registry, broken);
    let outcome = project.ci(&[]);
    outcome.assert_success();
    assert!(outcome.stderr.contains("optional@1.0.0"), "{}", outcome.stderr);
    project.installed().assert(&LEFT_OUT);
}

#[test]
fn one_from_git_for_another_platform_is_left_out_and_not_refused() {
    let registry = Registry::start();
    let native = Package::new("optional", "1.0.0").field("os", json!(["plan9"]));
    let commit = "0123456789012345678901234567890123456789";
    let resolved = format!("git+ssh://git@git.test/o/r.git#{commit}");
    let project = with_optional(&registry, native)
        .entry("node_modules/optional", json!({"resolved": resolved, "integrity": null}));
    project.ci(&[]).assert_quiet_success();
    project.installed().assert(&LEFT_OUT);
}

#[test]
fn one_that_is_required_elsewhere_is_an_error() {
    let registry = Registry::start();
    let gone = Package::new("gone", "1.0.0");
    let user = registry.serve(Package::new("user", "1.0.0").dependency("gone", "1.0.0"));
    let project = Project::new(&registry)
        .with(&user)
        .with_optional(&gone)
        .entry("node_modules/gone", json!({"optional": null}));
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("E404");
}

#[test]
fn one_of_package_json_that_the_lockfile_does_not_have_is_out_of_sync() {
    let registry = Registry::start();
    registry.serve(Package::new("optional", "1.0.0"));
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let project =
        Project::new(&registry).with(&plain).wants("optionalDependencies", "optional", "1.0.0");
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("EUSAGE");
}

/// npm says so even where the registry does not have it.
#[test]
fn one_of_a_package_that_the_lockfile_does_not_have_is_out_of_sync() {
    let registry = Registry::start();
    let plain =
        Package::new("plain", "1.0.0").dependency_of("optionalDependencies", "optional", "1.0.0");
    let plain = registry.serve(plain);
    let project = Project::new(&registry).with(&plain);
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("EUSAGE");
}
