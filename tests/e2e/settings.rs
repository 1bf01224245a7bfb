//! Settings of `.npmrc` that change the tree, or what may be asked for.

use serde_json::json;

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
    for (setting, key) in
        [("install-links=true", "install-links"), ("install-strategy=linked", "install-strategy")]
    {
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
