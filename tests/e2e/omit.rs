//! Kinds of dependencies that are left out: --omit, --include, NODE_ENV and their settings.

use serde_json::json;

use crate::support::{Package, Project, Registry};

/// One package of each kind: production, dev, optional, peer, and one that is both a dependency of
/// a dev and of an optional package.
fn one_of_each() -> (Registry, Project) {
    let registry = Registry::start();
    let production = registry.serve(Package::new("production", "1.0.0"));
    let dev = registry.serve(Package::new("dev", "1.0.0").dependency("both", "1.0.0"));
    let optional = registry.serve(Package::new("optional", "1.0.0").dependency("both", "1.0.0"));
    let peer = registry.serve(Package::new("peer", "1.0.0"));
    let both = registry.serve(Package::new("both", "1.0.0"));
    let project = Project::new(&registry)
        .with(&production)
        .with_dev(&dev)
        .with_optional(&optional)
        .wants("peerDependencies", "peer", "1.0.0")
        .at("node_modules/peer", &peer)
        .entry("node_modules/peer", json!({"peer": true}))
        .at("node_modules/both", &both)
        .entry("node_modules/both", json!({"devOptional": true}));
    (registry, project)
}

#[track_caller]
fn assert_installed(project: &Project, arguments: &[&str], names: &[&str]) {
    project.assert_same_as_npm(arguments).assert_quiet_success();
    let paths: Vec<_> = names.iter().map(|name| format!("node_modules/{name}")).collect();
    let mut lines = vec![format!(".package-lock.json [{}]", paths.join(", "))];
    for name in names {
        lines.extend([format!("{name}/"), format!("{name}/package.json {{{name}@1.0.0}}")]);
    }
    project.installed().assert(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn everything_is_installed_unless_something_is_omitted() {
    let (_registry, project) = one_of_each();
    assert_installed(&project, &[], &["both", "dev", "optional", "peer", "production"]);
}

#[test]
fn omit_dev_leaves_out_what_only_dev_dependencies_want() {
    let (_registry, project) = one_of_each();
    assert_installed(&project, &["--omit", "dev"], &["both", "optional", "peer", "production"]);
}

#[test]
fn omit_optional_leaves_out_what_only_optional_dependencies_want() {
    let (_registry, project) = one_of_each();
    assert_installed(&project, &["--omit", "optional"], &["both", "dev", "peer", "production"]);
}

#[test]
fn what_dev_and_optional_dependencies_want_is_left_out_only_with_both() {
    let (_registry, project) = one_of_each();
    let arguments = ["--omit", "dev", "--omit", "optional"];
    assert_installed(&project, &arguments, &["peer", "production"]);
}

#[test]
fn omit_peer_leaves_out_what_only_peer_dependencies_want() {
    let (_registry, project) = one_of_each();
    assert_installed(&project, &["--omit", "peer"], &["both", "dev", "optional", "production"]);
}

#[test]
fn include_wins_over_omit() {
    let (_registry, project) = one_of_each();
    let arguments = ["--omit", "dev", "--omit", "optional", "--include", "dev"];
    assert_installed(&project, &arguments, &["both", "dev", "peer", "production"]);
}

#[test]
fn in_production_dev_dependencies_are_left_out() {
    let (_registry, project) = one_of_each();
    let project = project.env("NODE_ENV", "production");
    assert_installed(&project, &[], &["both", "optional", "peer", "production"]);
}

#[test]
fn in_production_dev_dependencies_can_be_included() {
    let (_registry, project) = one_of_each();
    let project = project.env("NODE_ENV", "production");
    let all = ["both", "dev", "optional", "peer", "production"];
    assert_installed(&project, &["--include", "dev"], &all);
}

#[test]
fn the_settings_can_omit() {
    let (_registry, project) = one_of_each();
    let project = project.npmrc("omit[]=dev\nomit[]=peer\n");
    assert_installed(&project, &[], &["both", "optional", "production"]);
}

#[test]
fn the_environment_can_omit() {
    let (_registry, project) = one_of_each();
    let project = project.env("NPM_CONFIG_OMIT", "optional");
    assert_installed(&project, &[], &["both", "dev", "peer", "production"]);
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_npmrc() {
    let (_registry, project) = one_of_each();
    let project = project.npmrc("omit=dev\n").env("npm_config_omit", "optional");
    assert_installed(&project, &[], &["both", "dev", "peer", "production"]);
    let arguments = ["--omit", "peer"];
    assert_installed(&project, &arguments, &["both", "dev", "optional", "production"]);
}

#[test]
fn dev_dependencies_of_workspaces_are_omitted_too() {
    let registry = Registry::start();
    let dev = registry.serve(Package::new("dev", "1.0.0"));
    let nested = registry.serve(Package::new("nested", "1.0.0"));
    let workspace = Package::new("w", "1.0.0")
        .dependency_of("devDependencies", "dev", "1.0.0")
        .dependency_of("devDependencies", "nested", "1.0.0");
    let project = Project::new(&registry)
        .workspace("w", &workspace)
        .at("node_modules/dev", &dev)
        .entry("node_modules/dev", json!({"dev": true}))
        .at("w/node_modules/nested", &nested)
        .entry("w/node_modules/nested", json!({"dev": true}));
    project.assert_same_as_npm(&["--omit", "dev"]);
    project.installed().assert(&[".package-lock.json [node_modules/w, w]", "w -> ../w"]);
}
