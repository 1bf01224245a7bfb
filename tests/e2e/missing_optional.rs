//! Lockfiles that were written beside a `node_modules` of another platform, and lack the packages
//! of this one. The remedies that messages name are tried with npm.

use serde_json::{Value, json};

use crate::support::{Package, Project, Registry};

const LINUX: [&str; 4] = ["--os=linux", "--cpu=x64", "--libc=glibc", "--ignore-scripts"];
const NAMES: [&str; 3] = ["linux-x64-gnu", "linux-x64-musl", "darwin-arm64"];

/// A bundler with a package for each platform, and one that depends on it.
struct Family {
    registry: Registry,
    bundler: Package,
    user: Package,
    of_darwin: Package,
}

fn family() -> Family {
    let registry = Registry::start();
    let mut bundler = Package::new("bundler", "4.0.0");
    let mut of_darwin = None;
    for name in NAMES {
        let full_name = format!("@bundler/bundler-{name}");
        bundler = bundler.dependency_of("optionalDependencies", &full_name, "4.0.0");
        let mut parts = name.split('-');
        let mut package = Package::new(&full_name, "4.0.0")
            .field("os", json!([parts.next()]))
            .field("cpu", json!([parts.next()]));
        if let Some(libc) = parts.next() {
            let libc = if libc == "gnu" { "glibc" } else { libc };
            package = package.field("libc", json!([libc]));
        }
        of_darwin = Some(registry.serve(package));
    }
    let bundler = registry.serve(bundler);
    let user = registry.serve(Package::new("user", "1.0.0").dependency("bundler", "^4.0.0"));
    Family { registry, bundler, user, of_darwin: of_darwin.unwrap() }
}

/// The lockfile has the package for darwin alone.
fn written_on_darwin(family: &Family, project: Project) -> Project {
    project
        .at("node_modules/user", &family.user)
        .at("node_modules/bundler", &family.bundler)
        .at("node_modules/@bundler/bundler-darwin-arm64", &family.of_darwin)
        .entry("node_modules/@bundler/bundler-darwin-arm64", json!({"optional": true}))
}

/// Only a workspace asks for it, and npm says nothing.
fn workspace(family: &Family) -> Project {
    let member = Package::new("member", "1.0.0").dependency("user", "1");
    written_on_darwin(family, Project::new(&family.registry).workspace("member", &member))
}

fn npm(project: &Project, command: &[&str]) -> bool {
    let arguments = project.registry_arguments();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let common = ["--ignore-scripts", "--no-audit", "--no-fund"];
    let done = project.npm(&[command, &common, &arguments].concat());
    done.inspect(|done| done.assert_success()).is_some()
}

#[test]
fn what_npm_takes_in_silence_is_warned_of_and_the_tree_is_npm_s() {
    let family = family();
    let project = workspace(&family);
    let outcome = project.assert_same_as_npm(&LINUX[..3]);
    assert_eq!(
        outcome.stderr,
        "warning: package-lock.json lacks packages for this platform: \
         @bundler/bundler-linux-x64-gnu@4.0.0 for bundler@4.0.0; `npm update --package-lock-only` \
         writes it anew, within the ranges of package.json (--fail-on-missing-optional makes this \
         an error)\n"
    );
}

#[test]
fn it_is_an_error_before_anything_is_touched_where_that_is_asked() {
    let family = family();
    let project = workspace(&family).file("node_modules/before/x", "x");
    let arguments = [&LINUX[..], &["--fail-on-missing-optional"]].concat();
    project.ci(&arguments).assert_failure(&[
        "error: EMISSINGOPTIONAL: package-lock.json lacks packages for this platform",
        "",
        "@bundler/bundler-linux-x64-gnu@4.0.0 for bundler@4.0.0",
        "hint: `npm update --package-lock-only` writes it anew, within the ranges of package.json",
    ]);
    project.installed().assert(&["before/", "before/x \"x\""]);
    assert_eq!(family.registry.paths(), [""; 0]);
}

#[test]
fn the_remedy_of_the_warning_works() {
    let family = family();
    let project = workspace(&family);
    if !npm(&project, &["update", "--package-lock-only"]) {
        return;
    }
    project.ci(&[&LINUX[..], &["--fail-on-missing-optional"]].concat()).assert_quiet_success();
    let hidden: Value = project.hidden_lock();
    assert!(hidden["packages"]["node_modules/@bundler/bundler-linux-x64-gnu"].is_object());
}

#[test]
fn what_npm_refuses_is_refused_with_a_remedy_that_works() {
    let family = family();
    let project = Project::new(&family.registry).wants("dependencies", "user", "1");
    let project = written_on_darwin(&family, project);
    project.assert_npm_fails(&LINUX[..3]);
    let outcome = project.ci(&LINUX);
    outcome.assert_error("EUSAGE");
    let hint = "hint: it was written beside a node_modules of another platform; `npm install \
                --package-lock-only` adds what is missing\n";
    assert!(outcome.stderr.ends_with(hint), "{}", outcome.stderr);
    if npm(&project, &["install", "--package-lock-only"]) {
        project.ci(&[&LINUX[..], &["--fail-on-missing-optional"]].concat()).assert_quiet_success();
    }
}

#[test]
fn on_the_platform_that_it_was_written_on_nothing_is_missing() {
    let family = family();
    let darwin = ["--os=darwin", "--cpu=arm64", "--ignore-scripts", "--fail-on-missing-optional"];
    workspace(&family).ci(&darwin).assert_quiet_success();
}

#[test]
fn without_optional_packages_nothing_is_missing() {
    let family = family();
    let arguments = [&LINUX[..], &["--omit=optional", "--fail-on-missing-optional"]].concat();
    workspace(&family).ci(&arguments).assert_quiet_success();
}
