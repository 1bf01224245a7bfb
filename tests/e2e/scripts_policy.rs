//! `allowScripts`: whose scripts run. Where npm 11 knows the rule it is the judge, by the files
//! that scripts leave in the project.

use serde_json::{Value, json};

use crate::support::project::Resolved;
use crate::support::{Package, Project, Registry};

fn package(name: &str, version: &str) -> Package {
    let script = "echo ran >> \"$npm_config_local_prefix/${PWD##*/}.ran\"";
    Package::new(name, version).field("scripts", json!({"postinstall": script}))
}

fn has_run(project: &Project, folder: &str) -> bool {
    project.path().join(format!("{folder}.ran")).exists()
}

/// A project with `a@1.0.0` and an allowance.
fn project(allow: Value) -> Project {
    let registry = Registry::start();
    let a = registry.serve(package("a", "1.0.0"));
    Project::new(&registry).with(&a).field("allowScripts", allow).keeping(registry)
}

#[test]
fn a_denied_package_runs_nothing_and_keeps_its_commands() {
    for allow in [
        json!({"a": false}),
        json!({"a@1.0.0": false}),
        json!({"a@0.9.0 || 1.0.0": false}),
        json!({"a": true, "a@1.0.0": false}),
    ] {
        let project = project(allow);
        project.assert_same_as_npm_with_scripts(&[]).assert_quiet_success();
        assert!(!has_run(&project, "a"));
    }
}

#[test]
fn what_is_not_denied_is_run_by_default() {
    for allow in [json!({"a": true}), json!({"a@1.0.0": true}), json!({"a@2.0.0": false}), json!(5)]
    {
        let project = project(allow);
        project.assert_same_as_npm_with_scripts(&[]);
        assert!(has_run(&project, "a"));
    }
}

#[test]
fn only_what_is_allowed_is_run_when_that_is_asked_for() {
    for (allow, is_run) in [
        (json!({"a": true}), true),
        (json!({"a@*": true}), true),
        (json!({"a@1.0.0": true}), true),
        (json!({"a@0.9.0||1.0.0": true}), true),
        (json!({"a@2.0.0": true}), false),
        (json!({"a": true, "a@1.0.0": false}), false),
        (json!({"b": true}), false),
        (json!({}), false),
        (json!({"file:a": true}), false),
    ] {
        let project = project(allow.clone());
        project.ci(&["--scripts=allowed"]).assert_success();
        assert_eq!(has_run(&project, "a"), is_run, "{allow}");
    }
}

#[test]
fn what_was_not_run_is_told() {
    let outcome = project(json!({})).ci(&["--scripts=allowed"]);
    outcome.assert_success();
    let first = outcome.stderr.lines().next().unwrap();
    let expected =
        "warning: 1 package has scripts that `allowScripts` does not speak of; they were not run";
    assert_eq!(first, expected);
    assert!(outcome.stderr.ends_with("\"allowScripts\": {\n  \"a@1.0.0\": true\n}\n"));
}

#[test]
fn the_project_and_its_members_need_no_allowance() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("packages/member", &package("member", "1.0.0"))
        .wants("dependencies", "linked", "file:linked")
        .linked("linked", &package("linked", "1.0.0"))
        .field("scripts", json!({"prepare": "touch root.ran"}));
    let outcome = project.ci(&["--scripts=allowed"]);
    outcome.assert_success();
    assert!(has_run(&project, "member") && has_run(&project, "root"));
    assert!(!has_run(&project, "linked"));
    assert!(outcome.stderr.contains("\"file:linked\": true\n"), "{}", outcome.stderr);
    let project = project.field("allowScripts", json!({"file:linked": true}));
    project.ci(&["--scripts=allowed"]).assert_success();
    assert!(has_run(&project, "linked"));
}

#[test]
fn an_alias_does_not_lend_its_name() {
    let registry = Registry::start();
    let real = registry.serve(package("real", "1.0.0"));
    let build = |allow: Value| {
        Project::new(&registry)
            .wants("dependencies", "trusted", "npm:real@1.0.0")
            .at("node_modules/trusted", &real)
            .field("allowScripts", allow)
    };
    for (allow, is_run) in [
        (json!({"trusted": true}), false),
        (json!({"trusted@npm:real@1.0.0": true}), false),
        (json!({"real": true}), true),
    ] {
        let project = build(allow.clone());
        project.ci(&["--scripts=allowed"]).assert_success();
        assert_eq!(has_run(&project, "trusted"), is_run, "{allow}");
    }
    let project = build(json!({"trusted": false}));
    project.assert_same_as_npm_with_scripts(&[]);
    assert!(has_run(&project, "trusted"));
    let project = build(json!({"real": false}));
    project.assert_same_as_npm_with_scripts(&[]);
    assert!(!has_run(&project, "trusted"));
}

#[test]
fn a_tarball_cannot_claim_an_allowed_name() {
    let registry = Registry::start();
    let mut claiming = package("esbuild", "1.0.0");
    claiming.name = "evil".to_owned();
    let claiming = registry.serve(claiming);
    let project = Project::new(&registry)
        .with(&claiming)
        .entry("node_modules/evil", json!({"name": null}))
        .field("allowScripts", json!({"esbuild": true}));
    project.ci(&["--scripts=allowed"]).assert_success();
    assert!(!has_run(&project, "evil"));
}

#[test]
fn a_version_that_no_address_proves_is_not_allowed_but_is_denied() {
    let registry = Registry::start();
    let a = registry.serve(package("a", "1.0.0"));
    let build = |allow: Value| {
        let project = Project::new(&registry).resolved(Resolved::Absent);
        project.with(&a).field("allowScripts", allow)
    };
    for (allow, is_run) in [(json!({"a@1.0.0": true}), false), (json!({"a": true}), true)] {
        let project = build(allow.clone());
        project.ci(&["--scripts=allowed"]).assert_success();
        assert_eq!(has_run(&project, "a"), is_run, "{allow}");
    }
    let project = build(json!({"a@3.0.0": false}));
    project.ci(&[]).assert_success();
    assert!(!has_run(&project, "a"));
}

#[test]
fn what_comes_in_a_bundle_cannot_be_allowed() {
    let registry = Registry::start();
    let script = "touch \"$npm_config_local_prefix/inner.ran\"";
    let inner = json!({"name": "inner", "version": "1.0.0", "scripts": {"install": script}});
    let outer = Package::new("outer", "1.0.0")
        .dependency("inner", "1.0.0")
        .field("bundleDependencies", json!(["inner"]))
        .file("node_modules/inner/package.json", &inner.to_string());
    let path = "node_modules/outer/node_modules/inner";
    let project = Project::new(&registry)
        .with(&registry.serve(outer))
        .at(path, &Package::new("inner", "1.0.0"))
        .entry(path, json!({"inBundle": true, "resolved": null, "integrity": null}))
        .field("allowScripts", json!({"inner": true, "outer": true}));
    project.ci(&["--scripts=allowed"]).assert_quiet_success();
    assert!(!has_run(&project, "inner"));
    project.ci(&[]).assert_quiet_success();
    assert!(has_run(&project, "inner"));
}

#[test]
fn a_native_build_that_nobody_asked_for_needs_allowance_too() {
    let registry = Registry::start();
    let native = Package::new("native", "1.0.0").file("binding.gyp", "{}");
    let native = registry.serve(native);
    let fake =
        "require('fs').writeFileSync(process.env.npm_config_local_prefix + '/native.ran', '')";
    let build = |allow: Value| {
        let project = Project::new(&registry).with(&native).file("fake.js", fake);
        let program = project.path().join("fake.js").display().to_string();
        project.env("npm_config_node_gyp", &program).field("allowScripts", allow)
    };
    for (allow, arguments, is_run) in [
        (json!({}), vec!["--scripts=allowed"], false),
        (json!({"native": true}), vec!["--scripts=allowed"], true),
        (json!({"native": false}), vec![], false),
    ] {
        let project = build(allow.clone());
        project.ci(&arguments).assert_success();
        assert_eq!(has_run(&project, "native"), is_run, "{allow}");
    }
    let outcome = build(json!({})).ci(&["--strict-allow-scripts"]);
    outcome.assert_error("ESTRICTALLOWSCRIPTS");
}

#[test]
fn ranges_allow_nothing_and_are_told() {
    let project = project(json!({"a@^1.0.0": true, "a@latest": true}));
    let outcome = project.ci(&["--scripts=allowed"]);
    outcome.assert_success();
    assert!(!has_run(&project, "a"));
    let expected = "warning: `allowScripts` of package.json: `a@^1.0.0` is passed over: it is a \
                    range, and would speak for versions that nobody has seen\n";
    assert!(outcome.stderr.starts_with(expected), "{}", outcome.stderr);
}

#[test]
fn a_denial_that_cannot_be_followed_is_an_error() {
    let project = project(json!({"a@^1.0.0": false}));
    project.ci(&[]).assert_failure(&[
        "error: EALLOWSCRIPTS: `allowScripts` of package.json denies `a@^1.0.0` in a way that \
         cannot be followed: it is a range, and would speak for versions that nobody has seen",
        "hint: deny the name alone, or exact versions joined by `||`",
    ]);
    assert!(!project.path().join("node_modules").exists());
}

#[test]
fn strict_stops_before_anything_is_touched() {
    let strict = ["--strict-allow-scripts"];
    let project = project(json!({})).file("node_modules/old/x", "");
    let outcome = project.ci(&strict);
    outcome.assert_failure(&[
        "error: ESTRICTALLOWSCRIPTS: 1 package has scripts that `allowScripts` does not speak of, \
         and `strict-allow-scripts` is set",
        "  a@1.0.0 in node_modules/a",
        "hint: allow or deny them in `allowScripts` of package.json, with true or false",
    ]);
    project.assert_npm_fails_with_scripts(&strict);
    assert!(project.path().join("node_modules/old/x").exists());
    for allow in [json!({"a": true}), json!({"a": false})] {
        super::scripts_policy::project(allow).ci(&strict).assert_quiet_success();
    }
    project.ci(&["--strict-allow-scripts", "--ignore-scripts"]).assert_quiet_success();
}

#[test]
fn all_can_be_allowed_in_spite_of_everything() {
    let project = project(json!({"a": false}));
    project
        .assert_same_as_npm_with_scripts(&["--dangerously-allow-all-scripts"])
        .assert_quiet_success();
    assert!(has_run(&project, "a"));
}

#[test]
fn an_npmrc_allows_where_package_json_says_nothing() {
    let registry = Registry::start();
    let a = registry.serve(package("a", "1.0.0"));
    let project = Project::new(&registry).with(&a).npmrc("allow-scripts=b,a@1.0.0\n");
    project.ci(&["--scripts=allowed"]).assert_quiet_success();
    assert!(has_run(&project, "a"));
    let project = project.field("allowScripts", json!({"a": false}));
    let outcome = project.ci(&[]);
    outcome.assert_success();
    let warning =
        "warning: `allow-scripts` of .npmrc plays no part: package.json has `allowScripts`\n";
    assert_eq!(outcome.stderr, warning);
}

/// A lockfile alone must not lend an allowed name to other bytes.
#[test]
fn an_allowed_name_is_not_lent_to_another_address() {
    let (registry, other) = (Registry::start(), Registry::start());
    let a = package("a", "1.0.0");
    let a = registry.serve(a);
    other.serve(a.clone());
    let address = format!("{}{}", other.url(), a.tarball_path());
    for allow in [json!({"a": true}), json!({"a@1.0.0": true})] {
        let project = Project::new(&registry)
            .with(&a)
            .entry("node_modules/a", json!({"resolved": address}))
            .field("allowScripts", allow);
        project.ci(&["--scripts=allowed"]).assert_success();
        assert!(!has_run(&project, "a"));
    }
    let denied = Project::new(&registry)
        .with(&a)
        .entry("node_modules/a", json!({"resolved": address}))
        .field("allowScripts", json!({"a": false}));
    denied.ci(&[]).assert_success();
    assert!(!has_run(&denied, "a"));
}
