//! Lockfiles of version 1, which say nothing of commands, platforms, engines and peers: npm asks
//! the registry, ringstall reads the tarballs, and the trees are the same.

use serde_json::{Value, json};

use crate::support::package::sri;
use crate::support::{Package, Project, Registry, Reply};

/// A project that asks for `dependencies`, with a lockfile of version 1.
fn project(registry: &Registry, dependencies: Value, locked: Value) -> Project {
    let project = Project::new(registry).field("dependencies", dependencies);
    with_lockfile(project, locked)
}

#[expect(clippy::needless_pass_by_value, reason = "tests read better without a `&`")]
fn with_lockfile(project: Project, locked: Value) -> Project {
    let lockfile = json!({
        "name": "project",
        "version": "1.0.0",
        "lockfileVersion": 1,
        "requires": true,
        "dependencies": locked,
    });
    project.file("package-lock.json", &format!("{lockfile:#}"))
}

/// What npm 6 wrote of a package, and more fields.
#[expect(clippy::needless_pass_by_value, reason = "tests read better without a `&`")]
fn locked(registry: &Registry, package: &Package, more: Value) -> Value {
    let resolved = format!("{}{}", registry.url(), package.tarball_path());
    let mut locked = json!({
        "version": package.version,
        "resolved": resolved,
        "integrity": package.integrity(),
    });
    for (key, value) in more.as_object().unwrap() {
        locked[key] = value.clone();
    }
    locked
}

#[test]
fn what_the_lockfile_does_not_say_comes_from_the_tarballs() {
    let registry = Registry::start();
    let tool = Package::new("tool", "1.0.0")
        .field("bin", json!("./cli.js"))
        .field("license", json!({"type": "MIT", "url": "x"}))
        .field("funding", json!("https://fund.test"))
        .field("engines", json!({"node": ">=1"}))
        .field("scripts", json!({"install": "exit 1"}))
        .field("description", json!("is not repeated"))
        .dependency("plain", "^1.0.0")
        .file("cli.js", "#!/bin/sh\r\n");
    let tool = registry.serve(tool);
    let plain = Package::new("plain", "1.0.0").dependency_of("optionalDependencies", "native", "1");
    let plain = registry.serve(plain);
    let native = registry.serve(Package::new("native", "1.0.0").field("os", json!(["plan9"])));
    let old = registry.serve(Package::new("plain", "0.9.0"));
    let user = registry.serve(Package::new("user", "1.0.0").dependency("plain", "^0.9.0"));
    let project = project(
        &registry,
        json!({"tool": "^1.0.0", "user": "1"}),
        json!({
            "tool": locked(&registry, &tool, json!({"requires": {"plain": "^1.0.0"}})),
            "plain": locked(&registry, &plain, json!({"requires": {"native": "1"}})),
            "native": locked(&registry, &native, json!({"optional": true})),
            "user": locked(&registry, &user, json!({
                "requires": {"plain": "^0.9.0"},
                "dependencies": {"plain": locked(&registry, &old, json!({}))},
            })),
        }),
    );
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&[
        ".bin/",
        ".bin/tool -> ../tool/cli.js",
        ".package-lock.json [node_modules/plain, node_modules/tool, node_modules/user, \
         node_modules/user/node_modules/plain]",
        "plain/",
        "plain/package.json {plain@1.0.0}",
        "tool/",
        "tool/cli.js 755 \"#!/bin/sh\\n\"",
        "tool/package.json {tool@1.0.0}",
        "user/",
        "user/node_modules/",
        "user/node_modules/plain/",
        "user/node_modules/plain/package.json {plain@0.9.0}",
        "user/package.json {user@1.0.0}",
    ]);
}

#[test]
fn kinds_of_dependencies_come_from_package_json_and_the_tarballs() {
    let registry = Registry::start();
    let shared = registry.serve(Package::new("shared", "1.0.0"));
    let kept = registry.serve(Package::new("kept", "1.0.0").dependency("shared", "1"));
    let dev = Package::new("dev", "1.0.0").dependency("shared", "1").dependency("alone", "1");
    let dev = registry.serve(dev);
    let alone = registry.serve(Package::new("alone", "1.0.0"));
    let optional = registry.serve(Package::new("optional", "1.0.0"));
    let project = Project::new(&registry)
        .wants("dependencies", "kept", "1")
        .wants("devDependencies", "dev", "1")
        .wants("optionalDependencies", "optional", "1");
    let project = with_lockfile(
        project,
        json!({
            "shared": locked(&registry, &shared, json!({})),
            "kept": locked(&registry, &kept, json!({"requires": {"shared": "1"}})),
            "dev": locked(&registry, &dev, json!({
                "dev": true, "requires": {"shared": "1", "alone": "1"},
            })),
            "alone": locked(&registry, &alone, json!({"dev": true})),
            "optional": locked(&registry, &optional, json!({"optional": true})),
        }),
    );
    for arguments in
        [&[][..], &["--omit=dev"], &["--omit=optional"], &["--omit=dev", "--omit=optional"]]
    {
        project.assert_same_as_npm(arguments);
    }
}

#[test]
fn peers_that_such_a_lockfile_never_had_are_not_missed() {
    let registry = Registry::start();
    let plugin = Package::new("plugin", "1.0.0").dependency_of("peerDependencies", "host", "1");
    let plugin = registry.serve(plugin);
    registry.serve(Package::new("host", "1.0.0"));
    let locked = json!({"plugin": locked(&registry, &plugin, json!({}))});
    let project = project(&registry, json!({"plugin": "1"}), locked);
    project.assert_same_as_npm(&[]);
}

#[test]
fn a_dependency_that_the_lockfile_itself_lacks_is_missed() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").dependency("b", "1"));
    registry.serve(Package::new("b", "1.0.0"));
    let locked = json!({"a": locked(&registry, &a, json!({"requires": {"b": "1"}}))});
    let project = project(&registry, json!({"a": "1"}), locked);
    project.assert_npm_fails(&[]);
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("EUSAGE");
    assert_eq!(message, "package.json and package-lock.json are not in sync");
    assert!(outcome.stderr.contains("Missing: b@1 from lock file"), "{}", outcome.stderr);
    project.installed().assert(&[]);
}

#[test]
fn behind_an_alias_only_the_lockfile_is_believed() {
    let registry = Registry::start();
    let real = Package::new("real", "1.0.0").field("bin", json!("x.js")).file("x.js", "x");
    let real = registry.serve(real.dependency("plain", "1"));
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    // A package of the name that the alias has is another one.
    registry.serve(Package::new("alias", "1.0.0").field("bin", json!("other.js")));
    let locked = json!({
        "alias": locked(&registry, &real, json!({
            "version": "npm:real@1.0.0", "requires": {"plain": "1"},
        })),
        "plain": locked(&registry, &plain, json!({})),
    });
    let project = project(&registry, json!({"alias": "npm:real@1"}), locked);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/alias, node_modules/plain]",
        "alias/",
        "alias/package.json {real@1.0.0}",
        "alias/x.js \"x\"",
        "plain/",
        "plain/package.json {plain@1.0.0}",
    ]);
}

#[test]
fn a_folder_is_linked_and_what_it_needs_lies_below_it_or_above() {
    let registry = Registry::start();
    let below =
        registry.serve(Package::new("below", "1.0.0").field("bin", json!("x")).file("x", ""));
    let above = registry.serve(Package::new("above", "1.0.0"));
    let folder = Package::new("folder", "2.0.0")
        .field("bin", json!({"command": "run.js"}))
        .dependency("below", "1")
        .dependency("above", "1");
    let text = Value::from(folder.normal_manifest()).to_string();
    let locked = json!({
        "folder": {
            "version": "file:lib/folder",
            "requires": {"below": "1", "above": "1"},
            "dependencies": {"below": locked(&registry, &below, json!({}))},
        },
        "above": locked(&registry, &above, json!({})),
    });
    let project = project(&registry, json!({"folder": "file:lib/folder"}), locked)
        .file("lib/folder/package.json", &text)
        .file("lib/folder/run.js", "");
    project.assert_same_as_npm(&[]);
    project.whole_tree().below("project/lib").assert(&[
        "folder/",
        "folder/node_modules/",
        "folder/node_modules/below/",
        "folder/node_modules/below/package.json {below@1.0.0}",
        "folder/node_modules/below/x \"\"",
        "folder/package.json {folder@2.0.0}",
        "folder/run.js 755 \"\"",
    ]);
}

#[test]
fn bundled_packages_come_with_their_bundle_and_are_described_from_it() {
    let registry = Registry::start();
    let inner =
        json!({"name": "inner", "version": "1.0.0", "bin": "i.js", "dependencies": {"leaf": "1"}});
    let leaf = json!({"name": "leaf", "version": "1.0.0", "bin": {"leaf-command": "l.js"}});
    let bundle = Package::new("bundle", "1.0.0")
        .dependency("inner", "1")
        .dependency("plain", "1")
        .field("bundleDependencies", json!(["inner"]))
        .file("node_modules/inner/package.json", &inner.to_string())
        .file("node_modules/inner/i.js", "")
        .file("node_modules/leaf/package.json", &leaf.to_string())
        .file("node_modules/leaf/l.js", "");
    let bundle = registry.serve(bundle);
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let locked = json!({
        "bundle": locked(&registry, &bundle, json!({
            "requires": {"inner": "1", "plain": "1"},
            "dependencies": {
                "inner": {"version": "1.0.0", "bundled": true, "requires": {"leaf": "1"}},
                "leaf": {"version": "1.0.0", "bundled": true},
            },
        })),
        "plain": locked(&registry, &plain, json!({})),
    });
    let project = project(&registry, json!({"bundle": "1"}), locked);
    project.assert_same_as_npm(&[]);
}

#[test]
fn of_very_old_lockfiles_the_address_tells_the_version_and_sha1_the_bytes() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("bin", json!("x.js")).file("x.js", "");
    let a = registry.serve(a.dependency("@s/b", "1"));
    let b = registry.serve(Package::new("@s/b", "1.0.0"));
    let address = |package: &Package| format!("{}{}", registry.url(), package.tarball_path());
    let sha1 = sri("sha1", &a.tgz());
    let locked = json!({
        "a": {"version": address(&a), "integrity": sha1, "requires": {"@s/b": "1"}},
        "@s/b": {"version": address(&b), "integrity": b.integrity()},
    });
    let project = project(&registry, json!({"a": "1"}), locked);
    project.assert_same_as_npm(&[]);
}

#[test]
fn a_shrinkwrap_without_any_version_is_one_of_version_1() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("bin", json!("x.js")).file("x.js", "");
    let a = registry.serve(a.dependency("b", "1"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let nested = json!({"b": locked(&registry, &b, json!({"from": "b@1"}))});
    let lockfile = json!({
        "name": "another-name",
        "dependencies": {
            "a": locked(&registry, &a, json!({"from": "a@^1.0.0", "dependencies": nested})),
        },
    });
    let project = Project::new(&registry)
        .wants("dependencies", "a", "^1.0.0")
        .file("npm-shrinkwrap.json", &lockfile.to_string());
    project.assert_same_as_npm(&[]);
    assert_eq!(project.hidden_lock()["name"], json!("another-name"));
}

#[test]
fn a_lockfile_of_version_2_without_packages_says_all_that_is_known() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("bin", json!("x.js")).file("x.js", "");
    let a = registry.serve(a);
    let lockfile = json!({
        "lockfileVersion": 2,
        "dependencies": {"a": locked(&registry, &a, json!({}))},
    });
    let project = Project::new(&registry)
        .wants("dependencies", "a", "1")
        .file("package-lock.json", &lockfile.to_string());
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
        "a/x.js \"\"",
    ]);
}

#[test]
fn packages_without_a_lockfile_version_are_completed_as_well() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0").field("bin", json!("x.js")).file("x.js", "");
    let a = registry.serve(a);
    let project = Project::new(&registry)
        .with(&a)
        .entry("node_modules/a", json!({"bin": {"b": "y.js"}, "engines": {"node": ">=999"}}));
    for version in [json!(null), json!(1)] {
        let mut lockfile = project.lockfile();
        lockfile["lockfileVersion"] = version;
        std::fs::write(project.path().join("package-lock.json"), lockfile.to_string()).unwrap();
        project.assert_same_as_npm(&[]);
        assert_eq!(
            project.hidden_lock()["packages"]["node_modules/a"]["bin"],
            json!({"a": "x.js"})
        );
    }
}

#[test]
fn a_repository_has_no_version_in_such_a_lockfile_and_is_refused_as_by_npm() {
    let registry = Registry::start();
    let commit = "0123456789012345678901234567890123456789";
    let address = format!("git+file:///nowhere.git#{commit}");
    let locked = json!({"tool": {"version": address, "from": "git+file:///nowhere.git"}});
    let project = project(&registry, json!({"tool": "git+file:///nowhere.git"}), locked);
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_failure(&[
        "error: EUSAGE: package.json and package-lock.json are not in sync",
        "",
        &format!(
            "Invalid: lock file's tool (node_modules/tool) has no version, which this version of \
             the lockfile cannot say of {address}"
        ),
        "hint: update the lockfile with `npm install` before continuing",
    ]);
}

#[test]
fn an_optional_package_that_is_gone_is_left_out() {
    let registry = Registry::start();
    let gone = Package::new("gone", "1.0.0");
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let locked = json!({
        "gone": locked(&registry, &gone, json!({"optional": true})),
        "plain": locked(&registry, &plain, json!({})),
    });
    let project = with_lockfile(
        Project::new(&registry).wants("dependencies", "plain", "1").wants(
            "optionalDependencies",
            "gone",
            "1",
        ),
        locked,
    );
    let outcome = project.assert_same_as_npm(&[]);
    assert_eq!(outcome.stderr.matches("gone@1.0.0").count(), 1, "{}", outcome.stderr);
}

#[test]
fn a_package_that_is_gone_and_wanted_is_an_error_before_anything_is_touched() {
    let registry = Registry::start();
    let gone = Package::new("gone", "1.0.0");
    let locked = json!({"gone": locked(&registry, &gone, json!({"optional": true}))});
    let project = project(&registry, json!({"gone": "1"}), locked)
        .file("node_modules/before/package.json", "{}");
    project.assert_npm_fails(&[]);
    project.ci(&[]).assert_error("E404");
    project.installed().assert(&["before/", "before/package.json \"{}\""]);
}

#[test]
fn with_a_full_cache_nothing_is_asked_for() {
    let registry = Registry::start();
    let tool = Package::new("tool", "1.0.0").field("bin", json!("cli.js")).file("cli.js", "");
    let tool = registry.serve(tool.dependency_of("optionalDependencies", "native", "1"));
    let native = registry.serve(Package::new("native", "1.0.0").field("os", json!(["plan9"])));
    let locked = json!({
        "tool": locked(&registry, &tool, json!({"requires": {"native": "1"}})),
        "native": locked(&registry, &native, json!({"optional": true})),
    });
    let project = project(&registry, json!({"tool": "1"}), locked).npmrc("offline=true");
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("ENOTCACHED");
    assert_eq!(message, "the cache lacks 2 packages and `offline` is set");
    std::fs::remove_file(project.path().join(".npmrc")).unwrap();
    let first = project.ci(&["--json"]).json();
    assert_eq!((first["downloaded"].as_u64(), first["reused"].as_u64()), (Some(2), Some(0)));
    let before = project.installed();
    registry.reply_always("/tool/-/tool-1.0.0.tgz", Reply::status(500));
    registry.forget_requests();
    let project = project.npmrc("offline=true");
    let second = project.ci(&["--json"]).json();
    assert_eq!((second["downloaded"].as_u64(), second["reused"].as_u64()), (Some(0), Some(1)));
    assert_eq!(project.installed(), before);
    assert_eq!(registry.paths(), [""; 0]);
}

#[test]
fn offline_an_optional_package_that_is_not_cached_is_done_without() {
    let registry = Registry::start();
    let plain = registry.serve(Package::new("plain", "1.0.0"));
    let absent = registry.serve(Package::new("absent", "1.0.0"));
    let locked_plain = json!({"plain": locked(&registry, &plain, json!({}))});
    let project = project(&registry, json!({"plain": "1"}), locked_plain);
    project.ci(&[]).assert_success();
    let project = with_lockfile(
        project.wants("optionalDependencies", "absent", "1").npmrc("offline=true"),
        json!({
            "plain": locked(&registry, &plain, json!({})),
            "absent": locked(&registry, &absent, json!({"optional": true})),
        }),
    );
    let outcome = project.ci(&[]);
    outcome.assert_success();
    let warning = "warning: left out an optional package: ENOTCACHED: failed to install \
                   absent@1.0.0 from [REGISTRY]/absent/-/absent-1.0.0.tgz: the caches lack it and \
                   cannot be filled\n";
    assert_eq!(outcome.stderr, warning);
    project.installed().assert(&[
        ".package-lock.json [node_modules/plain]",
        "plain/",
        "plain/package.json {plain@1.0.0}",
    ]);
}

#[test]
fn names_that_climb_are_refused() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    for name in ["../../x", "..", "/x", ".bin", ""] {
        let locked = json!({name: locked(&registry, &a, json!({}))});
        let project = project(&registry, json!({"a": "1"}), locked);
        project.ci(&[]).assert_error("ELOCKFILE");
        assert_eq!(registry.paths(), [""; 0], "{name:?}");
    }
}

#[test]
fn the_cache_is_filled_from_the_lockfile_alone() {
    let registry = Registry::start();
    let tool = Package::new("tool", "1.0.0").field("bin", json!("cli.js")).file("cli.js", "");
    let tool = registry.serve(tool);
    let real = registry.serve(Package::new("real", "1.0.0"));
    let below = registry.serve(Package::new("below", "1.0.0"));
    let remote = Package::new("remote", "1.0.0");
    registry.reply_always("/elsewhere/remote-1.0.0.tgz", Reply::ok(remote.tgz()));
    let address = format!("{}elsewhere/remote-1.0.0.tgz", registry.url());
    let alias = json!({"version": "npm:real@1.0.0", "requires": {"below": "npm:below@1"}});
    let locked = json!({
        "tool": locked(&registry, &tool, json!({})),
        // Neither what only an alias names nor what only an address names is read to complete it.
        "alias": locked(&registry, &real, alias),
        "below": locked(&registry, &below, json!({"version": "npm:below@1.0.0"})),
        "remote": {"version": address, "integrity": remote.integrity()},
    });
    let wanted = json!({"tool": "1", "alias": "npm:real@1", "remote": address});
    let project = project(&registry, wanted, locked);
    let (folder, cache) = (project.path(), project.cache());
    let manifest = std::fs::read_to_string(folder.join("package.json")).unwrap();
    std::fs::remove_file(folder.join("package.json")).unwrap();
    let arguments = ["fetch", "-C", folder.to_str().unwrap(), "--cache", cache.to_str().unwrap()];
    project.ringstall(&arguments).assert_success();
    registry.forget_requests();
    let project = project.file("package.json", &manifest).npmrc("offline=true");
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), [""; 0]);
}
