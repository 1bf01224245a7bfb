//! `--reuse` where lifecycle scripts run: what a script has changed is not taken for what was
//! placed.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Package, Project, Registry};

fn reused(project: &Project, arguments: &[&str]) -> Value {
    project.ci(&[&["--reuse", "--json"], arguments].concat()).json()
}

fn kept(project: &Project, arguments: &[&str]) -> u64 {
    reused(project, arguments)["kept"].as_u64().unwrap()
}

#[test]
fn an_optional_package_whose_script_has_failed_is_tried_again() {
    let registry = Registry::start();
    let script = "test -e \"$INIT_CWD/works\" || test -e \"$npm_config_local_prefix/works\"";
    let fails = Package::new("fails", "1.0.0").field("scripts", json!({"postinstall": script}));
    let fails = registry.serve(fails);
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let project = Project::new(&registry).with(&plain).with_optional(&fails);
    reused(&project, &[]);
    let installed = project.path().join("node_modules/fails");
    assert!(!installed.exists());
    let project = project.file("works", "");
    reused(&project, &[]);
    assert!(installed.exists());
}

#[test]
fn what_a_script_did_to_another_package_is_undone_when_the_script_is_gone() {
    let registry = Registry::start();
    let x = registry.serve(Package::new("x", "1.0.0").file("index.js", "pristine"));
    let y = registry.serve(Package::new("y", "1.0.0"));
    let copy = json!({"postinstall": "cp fix.js node_modules/x/index.js"});
    // By copying, for a hard link would take the cache along.
    let arguments = ["--link-mode", "copy"];
    let project = Project::new(&registry).with(&x).with(&y).file("fix.js", "fixed");
    let project = project.field("scripts", copy);
    reused(&project, &arguments);
    let index = project.path().join("node_modules/x/index.js");
    assert_eq!(fs::read_to_string(&index).unwrap(), "fixed");
    let project = project.field("scripts", json!({}));
    assert_eq!(kept(&project, &arguments), 1, "of both only the other one");
    assert_eq!(fs::read_to_string(&index).unwrap(), "pristine");
}

#[test]
fn what_was_built_does_not_stay_where_scripts_are_ignored() {
    let registry = Registry::start();
    let built =
        Package::new("built", "1.0.0").field("gypfile", json!(true)).file("binding.gyp", "{}");
    let built = registry.serve(built);
    let project = Project::new(&registry)
        .with(&built)
        .entry("node_modules/built", json!({"hasInstallScript": null}))
        .file("gyp.js", "require('fs').writeFileSync('made', '')\n");
    let node_gyp = project.path().join("gyp.js").display().to_string();
    let project = project.env("npm_config_node_gyp", &node_gyp);
    reused(&project, &[]);
    let made = project.path().join("node_modules/built/made");
    assert!(made.exists());
    reused(&project, &["--ignore-scripts"]);
    assert!(!made.exists());
}
