//! Bundled packages: they come with the tarball of the package above them.

use serde_json::json;

use crate::support::{Package, Project, Registry};

/// A package that brings `inner` in its own tarball.
fn outer() -> Package {
    Package::new("outer", "1.0.0")
        .dependency("inner", "^1.0.0")
        .field("bundleDependencies", json!(["inner"]))
        .file("node_modules/inner/package.json", r#"{"name":"inner","version":"1.0.0"}"#)
        .file("node_modules/inner/index.js", "bundled")
}

/// `inner` is published as well, with another content.
fn project_with(registry: &Registry, outer: &Package) -> Project {
    let inner = registry.serve(Package::new("inner", "1.0.0").file("index.js", "published"));
    let path = "node_modules/outer/node_modules/inner";
    let in_bundle = json!({"inBundle": true, "resolved": null, "integrity": null});
    Project::new(registry).with(outer).at(path, &inner).entry(path, in_bundle)
}

#[test]
fn a_bundled_package_comes_with_its_parent_and_is_not_fetched() {
    let registry = Registry::start();
    let outer = registry.serve(outer());
    let project = project_with(&registry, &outer);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/outer, node_modules/outer/node_modules/inner]",
        "outer/",
        "outer/node_modules/",
        "outer/node_modules/inner/",
        "outer/node_modules/inner/index.js \"bundled\"",
        "outer/node_modules/inner/package.json {inner@1.0.0}",
        "outer/package.json {outer@1.0.0}",
    ]);
    assert_eq!(registry.count("/inner/-/inner-1.0.0.tgz"), 0);
}

/// npm's source means to fetch it; npm 11.19.1 was seen not to.
#[test]
fn a_bundled_package_that_the_tarball_does_not_bring_stays_missing() {
    let registry = Registry::start();
    let outer =
        outer().dependency("gone", "^1.0.0").field("bundleDependencies", json!(["inner", "gone"]));
    let outer = registry.serve(outer);
    let gone = registry.serve(Package::new("gone", "1.0.0").file("index.js", "published"));
    let path = "node_modules/outer/node_modules/gone";
    let project =
        project_with(&registry, &outer).at(path, &gone).entry(path, json!({"inBundle": true}));
    project.assert_same_as_npm(&[]);
    project.installed().below("outer/node_modules").assert(&[
        "inner/",
        "inner/index.js \"bundled\"",
        "inner/package.json {inner@1.0.0}",
    ]);
}

#[test]
fn the_hidden_lockfile_has_what_the_bundle_really_brought() {
    let registry = Registry::start();
    let outer = registry.serve(outer());
    let project = project_with(&registry, &outer)
        .entry("node_modules/outer/node_modules/inner", json!({"license": "MIT"}));
    project.assert_same_as_npm(&[]);
}

#[test]
fn what_the_root_bundles_is_installed_like_anything_else() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .with(&a)
        .field("bundleDependencies", json!(["a"]))
        .entry("node_modules/a", json!({"inBundle": true}));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
}

#[test]
fn commands_of_bundled_packages_are_linked_beside_them() {
    let registry = Registry::start();
    let manifest = r#"{"name":"inner","version":"1.0.0","bin":{"inner":"cli.js"}}"#;
    let outer = outer()
        .file("node_modules/inner/cli.js", "#!/bin/sh\n")
        .file("node_modules/inner/package.json", manifest);
    let outer = registry.serve(outer);
    let project = project_with(&registry, &outer)
        .entry("node_modules/outer/node_modules/inner", json!({"bin": {"inner": "cli.js"}}));
    project.assert_same_as_npm(&[]);
    project.installed().below("outer/node_modules").assert(&[
        ".bin/",
        ".bin/inner -> ../inner/cli.js",
        "inner/",
        "inner/cli.js 755 \"#!/bin/sh\\n\"",
        "inner/index.js \"bundled\"",
        "inner/package.json {inner@1.0.0}",
    ]);
}

#[test]
fn a_bundle_for_another_platform_is_left_out_with_its_parent() {
    let registry = Registry::start();
    let outer = registry.serve(outer().field("os", json!(["plan9"])));
    let inner = registry.serve(Package::new("inner", "1.0.0"));
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let path = "node_modules/outer/node_modules/inner";
    let flags = json!({"inBundle": true, "optional": true, "resolved": null, "integrity": null});
    let project = Project::new(&registry)
        .with(&plain)
        .with_optional(&outer)
        .at(path, &inner)
        .entry(path, flags);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/plain]",
        "plain/",
        "plain/package.json {plain@1.0.0}",
    ]);
}
