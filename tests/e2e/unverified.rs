//! Tarballs that the lockfile has no integrity for: one warning, or an error where that is asked.

use serde_json::json;

use crate::support::package::sri;
use crate::support::{Package, Project, Registry};

/// `a` and `b` without integrity, `c` with it; `b` in two places.
fn project(registry: &Registry) -> Project {
    let a = registry.serve(Package::new("a", "1.0.0").dependency("b", "1"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let c = registry.serve(Package::new("c", "1.0.0").dependency("b", "1"));
    let without = || json!({"integrity": null});
    Project::new(registry)
        .with(&a)
        .with(&c)
        .at("node_modules/a/node_modules/b", &b)
        .at("node_modules/c/node_modules/b", &b)
        .entry("node_modules/a", without())
        .entry("node_modules/a/node_modules/b", without())
        .entry("node_modules/c/node_modules/b", without())
}

#[test]
fn one_warning_counts_them() {
    let registry = Registry::start();
    let project = project(&registry);
    let outcome = project.assert_same_as_npm(&[]);
    assert_eq!(
        outcome.stderr,
        "warning: package-lock.json has no integrity for 2 packages: what the registry sends is \
         not checked (--strict-integrity refuses it)\n"
    );
}

#[test]
fn strict_integrity_refuses_them_all_by_name_before_anything_is_touched() {
    let registry = Registry::start();
    let project = project(&registry).file("node_modules/before/x", "x");
    let expected = [
        "error: EINTEGRITY: package-lock.json has no integrity for 2 packages, and \
         --strict-integrity is set",
        "",
        "a@1.0.0",
        "b@1.0.0",
        "hint: `npm update --package-lock-only` writes a lockfile that has it, within the ranges \
         of package.json",
    ];
    project.ci(&["--strict-integrity"]).assert_failure(&expected);
    let project = project.env("RINGSTALL_STRICT_INTEGRITY", "true");
    project.ci(&[]).assert_failure(&expected);
    project.installed().assert(&["before/", "before/x \"x\""]);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn the_remedy_works() {
    let registry = Registry::start();
    let project = project(&registry);
    let arguments = ["update", "--package-lock-only", "--ignore-scripts", "--no-audit"];
    let arguments = arguments.map(str::to_owned).into_iter().chain(project.registry_arguments());
    let arguments: Vec<_> = arguments.collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let Some(updated) = project.npm(&arguments) else { return };
    updated.assert_success();
    project.ci(&["--strict-integrity"]).assert_quiet_success();
}

#[test]
fn what_has_no_integrity_in_npm_s_own_lockfiles_is_not_counted() {
    let registry = Registry::start();
    let inner = json!({"name": "inner", "version": "1.0.0"});
    let bundle = Package::new("bundle", "1.0.0")
        .dependency("inner", "1")
        .field("bundleDependencies", json!(["inner"]))
        .file("node_modules/inner/package.json", &inner.to_string());
    let bundle = registry.serve(bundle);
    let inner = Package::new("inner", "1.0.0");
    let project = Project::new(&registry)
        .with(&bundle)
        .at("node_modules/bundle/node_modules/inner", &inner)
        .entry(
            "node_modules/bundle/node_modules/inner",
            json!({"inBundle": true, "integrity": null, "resolved": null}),
        )
        .wants("dependencies", "folder", "file:folder")
        .linked("folder", &Package::new("folder", "1.0.0"));
    project.ci(&["--strict-integrity"]).assert_quiet_success();
}

#[test]
fn sha1_alone_is_told_to_who_asks_for_more() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .entry("node_modules/a", json!({"integrity": sri("sha1", &a.tgz())}));
    project.ci(&["--strict-integrity"]).assert_quiet_success();
    let outcome = project.ci(&["--verbose"]);
    let line = "package-lock.json has SHA-1 alone for 1 package\n";
    assert!(outcome.stderr.contains(line), "{}", outcome.stderr);
}
