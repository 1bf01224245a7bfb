//! The order in which scripts run, and whose: held against npm. Each script adds a line to a log in
//! the project, one after the other, so that the comparison of the trees compares the order.

use serde_json::{Value, json};

use crate::support::{Package, Project, Registry};

/// One line in the log for each event.
fn logging(name: &str) -> Value {
    let mut scripts = serde_json::Map::new();
    for event in ["preinstall", "install", "postinstall", "prepare", "prepublish", "preprepare"] {
        scripts.insert(event.to_owned(), json!(log_line(&format!("{name} {event}"))));
    }
    scripts.into()
}

fn log_line(text: &str) -> String {
    format!("echo \"{text}\" >> \"$npm_config_local_prefix/log\"")
}

fn package(name: &str) -> Package {
    Package::new(name, "1.0.0").field("scripts", logging(name))
}

/// A command that is found before npm's own, for npm knows of no other way to name one.
fn fake_node_gyp() -> Package {
    let text =
        "#!/bin/sh\necho \"$npm_package_name node-gyp $*\" >> \"$npm_config_local_prefix/log\"\n";
    Package::new("fake-gyp", "1.0.0")
        .field("bin", json!({"node-gyp": "gyp.sh"}))
        .file("gyp.sh", text)
}

fn log(project: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(project.path().join("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn phases_go_over_all_packages_by_depth_and_path() {
    let registry = Registry::start();
    let [a, c, scoped] = ["a", "c", "@scope/d"].map(|name| registry.serve(package(name)));
    let b = registry.serve(package("b").dependency("c", "1.0.0"));
    let other = registry.serve(Package::new("c", "2.0.0").field("scripts", logging("c2")));
    let project = Project::new(&registry)
        .with(&b)
        .with(&a)
        .with(&other)
        .with(&scoped)
        .at("node_modules/b/node_modules/c", &c);
    project.assert_same_as_npm_with_scripts(&["--foreground-scripts"]);
    let expected: Vec<_> = ["preinstall", "install", "postinstall"]
        .into_iter()
        .flat_map(|event| ["@scope/d", "a", "b", "c2", "c"].map(|name| format!("{name} {event}")))
        .collect();
    assert_eq!(log(&project), expected);
}

#[test]
fn links_come_after_packages_and_are_prepared_before_their_commands() {
    let registry = Registry::start();
    let inner = registry.serve(package("inner"));
    let made = "mkdir -p dist && echo '#!/bin/sh' > dist/cli.js";
    let mut scripts = logging("member");
    scripts["prepare"] = json!(format!("{made} && {}", log_line("member prepare")));
    let member = Package::new("member", "1.0.0")
        .field("scripts", scripts)
        .field("bin", json!({"tool": "dist/cli.js"}))
        .dependency("inner", "1.0.0");
    let linked = package("linked");
    let project = Project::new(&registry)
        .with(&registry.serve(package("z")))
        .workspace("packages/member", &member)
        .at("packages/member/node_modules/inner", &inner)
        .wants("dependencies", "linked", "file:linked")
        .linked("linked", &linked);
    project.assert_same_as_npm_with_scripts(&["--foreground-scripts"]);
    let log = log(&project);
    let place = |line: &str| log.iter().position(|one| one == line).unwrap();
    assert!(place("z postinstall") < place("linked preinstall"));
    assert!(place("member preinstall") < place("member prepare"));
    assert!(place("member prepare") < place("linked install"));
    assert!(project.path().join("node_modules/.bin/tool").exists());
}

#[test]
fn the_projects_own_scripts_come_last() {
    let registry = Registry::start();
    let events = [
        "predependencies",
        "dependencies",
        "postdependencies",
        "preinstall",
        "install",
        "postinstall",
        "prepublish",
        "preprepare",
        "prepare",
        "postprepare",
        "test",
    ];
    let has_hidden_lock = "test -e node_modules/.package-lock.json";
    let scripts: serde_json::Map<_, _> = events
        .iter()
        .map(|event| {
            let script = format!("{has_hidden_lock} && {}", log_line(event));
            ((*event).to_owned(), json!(script))
        })
        .collect();
    let project = Project::new(&registry)
        .with(&registry.serve(Package::new("a", "1.0.0").field(
            "scripts",
            json!({"postinstall": format!("! test -e ../.package-lock.json && {}", log_line("a"))}),
        )))
        .field("scripts", scripts.into());
    project.assert_same_as_npm_with_scripts(&[]);
    let expected: Vec<_> = std::iter::once("a").chain(events.into_iter().take(10)).collect();
    assert_eq!(log(&project), expected);
}

#[test]
fn scripts_that_the_lockfile_does_not_speak_of_are_not_run() {
    let registry = Registry::start();
    let silent = registry.serve(package("silent"));
    let told = registry.serve(Package::new("told", "1.0.0"));
    let project = Project::new(&registry)
        .with(&silent)
        .with(&told)
        .entry("node_modules/silent", json!({"hasInstallScript": null}))
        .entry("node_modules/told", json!({"hasInstallScript": true}));
    project.assert_same_as_npm_with_scripts(&["--foreground-scripts"]);
    assert_eq!(log(&project), Vec::<String>::new());
}

#[test]
fn a_binding_gyp_is_built_whatever_the_lockfile_says() {
    let registry = Registry::start();
    let native = |name: &str| Package::new(name, "1.0.0").file("binding.gyp", "{}");
    let plain = registry.serve(native("plain"));
    // npm cannot know it: the lockfile does not say so.
    let refusing = registry.serve(native("refusing").field("gypfile", json!(false)));
    let own = registry
        .serve(native("own").field("scripts", json!({"preinstall": log_line("own preinstall")})));
    let after = registry.serve(
        native("with-after").field("scripts", json!({"postinstall": log_line("with-after")})),
    );
    let project = Project::new(&registry)
        .with(&registry.serve(fake_node_gyp()))
        .with(&plain)
        .with(&refusing)
        .with(&own)
        .with(&after);
    project.assert_same_as_npm_with_scripts(&["--foreground-scripts"]);
    let expected = [
        "own preinstall",
        "plain node-gyp rebuild",
        "refusing node-gyp rebuild",
        "with-after node-gyp rebuild",
        "with-after",
    ];
    assert_eq!(log(&project), expected);
}

#[test]
fn packages_of_bundles_run_what_their_own_package_json_says() {
    let registry = Registry::start();
    let manifest = |name: &str, extra: Value| {
        let mut manifest = json!({"name": name, "version": "1.0.0", "scripts": logging(name)});
        manifest.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        manifest.to_string()
    };
    let outer = package("outer")
        .dependency("inner", "1.0.0")
        .dependency("native", "1.0.0")
        .field("bundleDependencies", json!(["inner", "native"]))
        .file("node_modules/inner/package.json", &manifest("inner", json!({})))
        .file(
            "node_modules/native/package.json",
            &manifest("native", json!({"gypfile": false, "scripts": {}})),
        )
        .file("node_modules/native/binding.gyp", "{}");
    let inner = Package::new("inner", "1.0.0");
    let native = Package::new("native", "1.0.0");
    let in_bundle = json!({"inBundle": true, "resolved": null, "integrity": null});
    let project = Project::new(&registry)
        .with(&registry.serve(fake_node_gyp()))
        .with(&registry.serve(outer))
        .at("node_modules/outer/node_modules/inner", &inner)
        .entry("node_modules/outer/node_modules/inner", in_bundle.clone())
        .at("node_modules/outer/node_modules/native", &native)
        .entry("node_modules/outer/node_modules/native", in_bundle);
    project.assert_same_as_npm_with_scripts(&["--foreground-scripts"]);
    let expected = ["preinstall", "install", "postinstall"]
        .map(|event| [format!("outer {event}"), format!("inner {event}")]);
    assert_eq!(log(&project), expected.concat());
}

#[test]
fn commands_are_linked_between_preinstall_and_install() {
    let registry = Registry::start();
    let tool = Package::new("tool", "1.0.0").field("bin", json!({"tool": "cli.sh"})).field(
        "scripts",
        json!({
            "preinstall": "! test -e ../.bin/tool && printf '#!/bin/sh\\r\\necho tool\\n' > cli.sh",
            "install": format!("tool && {}", log_line("tool install")),
        }),
    );
    let project = Project::new(&registry).with(&registry.serve(tool));
    project.assert_same_as_npm_with_scripts(&["--foreground-scripts"]);
    assert_eq!(log(&project), ["tool install"]);
}

#[test]
fn without_bin_links_scripts_run_all_the_same() {
    let registry = Registry::start();
    let tool = package("tool").field("bin", json!({"tool": "cli.js"})).file("cli.js", "");
    let project = Project::new(&registry).with(&registry.serve(tool));
    project.npmrc("bin-links=false\n").assert_same_as_npm_with_scripts(&["--foreground-scripts"]);
}

#[test]
fn in_the_background_no_more_run_at_once_than_asked_for() {
    let registry = Registry::start();
    let mut project = Project::new(&registry);
    for name in ["a", "b", "c"] {
        project = project.with(&registry.serve(package(name)));
    }
    project.ci(&["--jobs", "1"]).assert_success();
    let expected: Vec<_> = ["preinstall", "install", "postinstall"]
        .into_iter()
        .flat_map(|event| ["a", "b", "c"].map(|name| format!("{name} {event}")))
        .collect();
    assert_eq!(log(&project), expected);
}

#[test]
fn scripts_run_at_the_same_time() {
    let registry = Registry::start();
    // Each ends only when the other has begun.
    let meet = |own: &str, other: &str| {
        let at = "\"$npm_config_local_prefix\"";
        format!("echo x > {at}/{own} & read line < {at}/{other}; wait")
    };
    let first = Package::new("a", "1.0.0").field("scripts", json!({"install": meet("1", "2")}));
    let second = Package::new("b", "1.0.0").field("scripts", json!({"install": meet("2", "1")}));
    let project =
        Project::new(&registry).with(&registry.serve(first)).with(&registry.serve(second));
    for fifo in ["1", "2"] {
        let made = std::process::Command::new("mkfifo").arg(project.path().join(fifo)).status();
        assert!(made.unwrap().success());
    }
    project.ci(&["--jobs", "2"]).assert_success();
}
