//! Settings of `.npmrc` that change the tree, or what may be asked for.

use ringstall::config::keys;
use serde_json::{Value, json};

use crate::support::project::Resolved;
use crate::support::{Package, Project, Registry};

#[test]
fn offline_names_all_that_the_cache_lacks_and_touches_nothing() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let b = registry.serve(Package::new("b", "2.0.0"));
    let project =
        Project::new(&registry).npmrc("offline=true").with(&a).with(&b).file("node_modules/x", "");
    project.ci(&[]).assert_failure(&[
        "error: ENOTCACHED: the cache lacks 2 packages and `offline` is set",
        "",
        "a@1.0.0",
        "b@2.0.0",
        "hint: install once without it, or fill the cache with `ringstall fetch`",
    ]);
    assert_eq!(registry.paths(), [""; 0]);
    project.installed().assert(&[r#"x """#]);
}

#[test]
fn offline_installs_what_the_cache_has() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    project.ci(&[]).assert_quiet_success();
    let tree = project.whole_tree();
    registry.forget_requests();
    let project = project.env("npm_config_offline", "true");
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), [""; 0]);
    assert_eq!(project.whole_tree(), tree);
}

#[test]
fn omit_lockfile_registry_resolved_hides_addresses_from_the_hidden_lockfile() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .npmrc("omit-lockfile-registry-resolved=true")
        .resolved(Resolved::Present)
        .with(&a);
    project.assert_same_as_npm(&[]);
    assert_eq!(project.hidden_lock()["packages"]["node_modules/a"]["resolved"], json!(null));
}

#[test]
fn braces_in_workspace_patterns_are_expanded() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .workspace("x", &Package::new("x", "1.0.0"))
        .workspace("y", &Package::new("y", "1.0.0"))
        .field("workspaces", json!(["{x,y}"]));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/x, node_modules/y, x, y]",
        "x -> ../x",
        "y -> ../y",
    ]);
}

#[test]
fn settings_that_ask_for_another_tree_are_refused_by_name() {
    for (setting, key) in [
        ("install-links=true", "install-links"),
        ("install-strategy=linked", "install-strategy"),
        ("legacy-bundling=true", "legacy-bundling"),
        ("global-style", "global-style"),
        ("dry-run=true", "dry-run"),
        ("package-lock-only=true", "package-lock-only"),
    ] {
        let registry = Registry::start();
        let a = registry.serve(Package::new("a", "1.0.0"));
        let project = Project::new(&registry).npmrc(setting).with(&a);
        let text = project.ci(&[]);
        let text = text.assert_error("ECONFIG");
        assert!(text.contains(&format!("`{key}`")), "{setting}: {text}");
        assert_eq!(registry.paths(), [""; 0]);
    }
}

#[test]
fn the_command_line_is_refused_by_the_same_rule() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    project.ci(&["--install-strategy", "linked"]).assert_failure(&[
        "error: ECONFIG: `install-strategy` in the command line asks for a layout that is not \
         supported",
        "hint: remove the setting, or install with npm",
    ]);
    let outcome = project.ci(&["--dry-run"]);
    let message = outcome.assert_error("ECONFIG");
    assert_eq!(
        message,
        "`dry-run` in the command line asks for a rehearsal, which is not supported"
    );
}

#[test]
fn global_packages_are_refused_as_by_npm() {
    let registry = Registry::start();
    let project = Project::new(&registry);
    for options in [&["--global"][..], &["-g"], &["--location=global"]] {
        project.assert_npm_fails(options);
        project.ci(options).assert_error("ECIGLOBAL");
    }
}

/// Settings that do nothing to `npm ci`, and therefore nothing here.
const IDLE: &str = "package-lock=false\nshrinkwrap=false\nsave=false\nsave-exact=true\n\
                    save-prefix=~\nlockfile-version=1\nbefore=2001-01-01\nmin-release-age=9999\n\
                    prefer-dedupe=true\ntag=next\nprefer-online=true\naudit=false\nfund=false\n\
                    loglevel=silent\nformat-package-lock=false\nstrict-peer-deps=true\n";

#[test]
fn settings_that_npm_ci_does_not_look_at_have_no_effect() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").dependency("b", "^1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let project = Project::new(&registry).with(&a).at("node_modules/b", &b);
    let plain = project.assert_same_as_npm(&[]);
    let tree = project.whole_tree().without("project/.npmrc");
    let project = project.npmrc(IDLE);
    let idle = project.assert_same_as_npm(&[]);
    assert_eq!(plain.stderr, idle.stderr);
    assert_eq!(project.whole_tree().without("project/.npmrc"), tree);
}

#[test]
fn settings_without_effect_are_named_to_who_asks_for_more() {
    let registry = Registry::start();
    let project = Project::new(&registry).npmrc("save-exact=true\nodd=1\n");
    let outcome = project.ci(&["-v", "--no-audit"]);
    outcome.assert_success();
    for line in [
        "`audit` in the command line has no effect: it is about npm's own output and logs",
        "`odd` in `[PROJECT]/.npmrc` has no effect: npm knows no such setting",
        "`save-exact` in `[PROJECT]/.npmrc` has no effect: it is for other commands than `ci`",
    ] {
        assert!(outcome.stderr.lines().any(|said| said == line), "{line}: {}", outcome.stderr);
    }
}

#[test]
fn the_list_of_settings_is_npm_s() {
    let registry = Registry::start();
    let Some(outcome) = Project::new(&registry).npm(&["config", "list", "--long", "--json"]) else {
        return;
    };
    // npm does not tell what could be a secret, and tells what it computes.
    let theirs = outcome.json();
    let theirs = theirs.as_object().unwrap().keys().map(String::as_str);
    let missing: Vec<_> =
        theirs.filter(|key| *key != "npm-version" && keys::find(key).is_none()).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn what_scripts_pass_to_npm_ci_is_understood() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let lines: [&[&str]; 8] = [
        &["--no-audit", "--no-fund", "--no-progress", "--prefer-offline", "--loglevel=error"],
        &["--audit=false", "--fund=false", "--progress=false", "--no-save"],
        &["--production", "--ignore-scripts=false", "--legacy-peer-deps=true"],
        &["--fetch-retries", "5", "--fetch-timeout", "600000", "--maxsockets=1", "-s"],
        &["--fetch-retry-mintimeout=1", "--fetch-retry-maxtimeout=2", "--fetch-retry-factor=1"],
        &["--include=dev", "--omit", "optional", "--no-optional", "--force", "--silent"],
        &["--no-package-lock", "--replace-registry-host=never", "--strict-ssl=false"],
        &[
            "--userconfig=/dev/null",
            "--no-bin-links",
            "--no-engine-strict",
            "--install-links=false",
        ],
    ];
    for line in lines {
        let outcome = project.ci(line);
        outcome.assert_quiet_success();
    }
}

#[test]
fn a_scope_s_registry_can_be_typed() {
    let registry = Registry::start();
    let a = registry.serve_under("team/", Package::new("@team/a", "1.0.0"));
    let project = Project::new(&registry).resolved(Resolved::Absent).with(&a);
    project.ci(&[&format!("--@team:registry={}team/", registry.url())]).assert_quiet_success();
    assert_eq!(registry.paths(), ["/team/@team/a/-/a-1.0.0.tgz"]);
}

#[test]
fn a_scope_that_is_set_has_the_packages_without_one_as_in_npm() {
    let registry = Registry::start();
    let a = registry.serve_under("team/", Package::new("a", "1.0.0"));
    let b = registry.serve_under("other/", Package::new("@other/b", "1.0.0"));
    for scope in ["team", "@team"] {
        let url = registry.url();
        let project = Project::new(&registry)
            .npmrc(&format!(
                "scope={scope}\n@team:registry={url}team/\n@other:registry={url}other/"
            ))
            .resolved(Resolved::Absent)
            .with(&a)
            .with(&b);
        project.assert_same_as_npm(&[]);
        let without_registry =
            project.npmrc(&format!("scope={scope}\n@other:registry={url}other/"));
        std::fs::remove_dir_all(without_registry.cache()).unwrap();
        without_registry.ci(&[]).assert_error("E404");
    }
}

#[test]
fn force_waives_platforms_and_engines_as_in_npm() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").field("os", json!(["none"])));
    let b = registry.serve(Package::new("b", "1.0.0").field("engines", json!({"node": ">=9999"})));
    let c = registry.serve(Package::new("c", "1.0.0").field("os", json!(["none"])));
    let project = || {
        let settings = "engine-strict=true\nforce=true";
        Project::new(&registry).npmrc(settings).with(&a).with(&b).with_optional(&c)
    };
    let forced = project();
    forced.assert_same_as_npm(&[]);
    forced.installed().assert(&[
        ".package-lock.json [node_modules/a, node_modules/b]",
        "a/",
        "a/package.json {a@1.0.0}",
        "b/",
        "b/package.json {b@1.0.0}",
    ]);
    let strict = project();
    strict.assert_npm_fails(&["--no-force"]);
    assert_eq!(strict.ci(&["--no-force"]).code, Some(1));
}

#[test]
fn a_projects_file_sends_no_secret_of_the_environment_to_a_server() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = || Project::new(&registry).without_registry_option().with(&a);
    let url = registry.url();
    let evil =
        project().npmrc(&format!("registry={url}${{NPM_TOKEN}}/")).env("NPM_TOKEN", "s3cr3t");
    evil.ci(&[]).assert_failure(&[
        "error: ECONFIG: `registry` in `[PROJECT]/.npmrc` sends the environment variable \
         `NPM_TOKEN` to a server",
        "hint: keep tokens in `//host/:_authToken`; an address that has to hold one belongs into \
         your own `.npmrc` or the environment",
    ]);
    assert_eq!(registry.paths(), [""; 0]);
    let usual = project().npmrc("registry=${CI_REGISTRY}").env("CI_REGISTRY", &url);
    usual.ci(&[]).assert_quiet_success();
}

#[test]
fn engine_strict_holds_for_the_project_itself_unless_it_has_dev_engines() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = || {
        Project::new(&registry)
            .npmrc("engine-strict=true")
            .field("name", json!("app"))
            .field("version", json!("1.2.3"))
            .field("engines", json!({"node": ">=9999"}))
            .with(&a)
    };
    let strict = project();
    strict.assert_npm_fails(&[]);
    strict.ci(&[]).assert_failure(&[
        "error: EBADENGINE: app@1.2.3 wants the engines {\"node\":\">=9999\"}",
        "hint: use the node that it wants, or unset engine-strict",
    ]);
    let own_rules = project().field("devEngines", json!({"runtime": {"name": "node"}}));
    own_rules.assert_same_as_npm(&[]);
}

#[test]
fn dev_engines_of_the_project_are_held_against_the_machine() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let wanting = |dev_engines: Value| {
        Project::new(&registry).with(&a).field("devEngines", json!({"runtime": dev_engines}))
    };
    let misfit = wanting(json!({"name": "node", "version": ">=9999"}));
    misfit.assert_npm_fails(&[]);
    let refused = misfit.ci(&[]);
    assert!(refused.assert_error("EBADDEVENGINES").contains("wants the runtime node >=9999"));
    assert!(!misfit.path().join("node_modules").exists());
    let forced = misfit.assert_same_as_npm(&["--force"]);
    assert!(forced.stderr.starts_with("warning: EBADDEVENGINES: "), "{}", forced.stderr);
    let lenient = json!([{"name": "deno"}, {"name": "node", "version": "1", "onFail": "ignore"}]);
    wanting(lenient).assert_same_as_npm(&[]).assert_quiet_success();
}
