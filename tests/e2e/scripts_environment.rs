//! What scripts see of the world: variables, PATH, folder, shell. Held against npm, name by name.

use serde_json::json;

use crate::support::{Package, Project, Registry, engine};

/// Variables whose value is another under npm, and why.
const DIFFERENT: [&str; 3] = [
    // Ends with our own name.
    "npm_config_user_agent",
    // The tests give npm a cache of its own on the command line.
    "npm_config_cache",
    // The shell's own.
    "_",
];

/// Writes the environment into the project, with its place replaced so that copies of the project
/// are comparable.
fn dump(name: &str) -> String {
    let different: Vec<_> = DIFFERENT.iter().map(|name| format!("-e '^{name}='")).collect();
    format!(
        "env | sort | grep -v {} -e '^RINGSTALL_' | \
         sed -e \"s#$npm_config_local_prefix#[PROJECT]#g\" \
         -e \"s#${{npm_config_local_prefix%/*}}#[ABOVE]#g\" \
         > \"$npm_config_local_prefix/{name}.env\"; pwd -P | sed \"s#.*/project#[PROJECT]#\" \
         >> \"$npm_config_local_prefix/{name}.env\"",
        different.join(" ")
    )
}

fn dumping(name: &str) -> Package {
    Package::new(name, "1.0.0").field("scripts", json!({"install": dump(name)}))
}

fn dumped(project: &Project, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(project.path().join(format!("{name}.env"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn packages_see_what_they_see_under_npm() {
    let registry = Registry::start();
    let plain = dumping("plain")
        .field("config", json!({"port": 80}))
        .field("engines", json!({"node": ">=4", "npm": ">=2"}))
        .field("bin", json!({"plain_tool": "./cli.js", "not-for-sh": "./cli.js"}))
        .file("cli.js", "");
    let optional = dumping("optional");
    let scoped = dumping("scoped").dependency("peer", "1.0.0");
    let bundled = json!({
        "name": "bundled", "version": "1.0.0", "config": {"deep": {"on": true, "off": false}},
        "engines": ["node >= 4"], "scripts": {"install": dump("bundled")},
    });
    let outer = Package::new("outer", "1.0.0")
        .dependency("bundled", "1.0.0")
        .field("bundleDependencies", json!(["bundled"]))
        .file("node_modules/bundled/package.json", &bundled.to_string());
    let member = dumping("member")
        .field("config", json!({"list": ["a", 1, null]}))
        .field("bin", json!({"member-tool": "cli.js"}));
    let project = Project::new(&registry)
        .with(&registry.serve(plain))
        .with_optional(&registry.serve(optional))
        .with_dev(&registry.serve(scoped))
        .with(&registry.serve(outer))
        .at("node_modules/outer/node_modules/bundled", &Package::new("bundled", "1.0.0"))
        .entry(
            "node_modules/outer/node_modules/bundled",
            json!({"inBundle": true, "resolved": null, "integrity": null}),
        )
        .entry("node_modules/scoped", json!({"dependencies": null}))
        .workspace("packages/member", &member);
    project.assert_same_as_npm_with_scripts(&["--foreground-scripts"]);
    let plain = dumped(&project, "plain");
    assert!(plain.contains(&"npm_package_name=plain".to_owned()), "{plain:#?}");
    assert!(plain.contains(&"npm_package_bin_plain_tool=cli.js".to_owned()), "{plain:#?}");
    assert_eq!(plain.last().unwrap(), "[PROJECT]/node_modules/plain");
    assert_eq!(dumped(&project, "member").last().unwrap(), "[PROJECT]/packages/member");
}

#[test]
fn the_project_sees_what_it_sees_under_npm() {
    let registry = Registry::start();
    let project = Project::new(&registry)
        .with(&registry.serve(Package::new("a", "1.0.0")))
        .field("config", json!({"x": {"y": 1}}))
        .field("engines", json!({"node": ">=1"}))
        .field("bin", json!("./root.js"))
        .field(
            "scripts",
            json!({"dependencies": dump("dependencies"), "prepare": dump("prepare")}),
        );
    project.assert_same_as_npm_with_scripts(&[]);
    assert!(dumped(&project, "prepare").contains(&"npm_package_config_x_y=1".to_owned()));
}

#[test]
fn settings_are_told_as_npm_tells_them() {
    let registry = Registry::start();
    let npmrc = "fund=false\nloglevel=error\nsharp_binary_host=http://mirror/x\nflag=true\n\
                 quiet=false\nsave-prefix=~\nfetch-retries=3\nengine-strict=false\n\
                 node-options=--no-warnings\n\
                 //elsewhere/:_authToken=secret\n@scope:registry=http://elsewhere/\n";
    let project = Project::new(&registry)
        .with(&registry.serve(dumping("a")))
        .npmrc(npmrc)
        .env("npm_config_loglevel", "silent")
        .env("EDITOR", "ed");
    let outcome = project.assert_same_as_npm_with_scripts(&["--omit=peer"]);
    assert!(!outcome.stderr.contains("secret"));
    let dumped = dumped(&project, "a");
    assert!(dumped.contains(&"npm_config_sharp_binary_host=http://mirror/x".to_owned()));
    assert!(dumped.iter().all(|line| !line.contains("secret")), "{dumped:#?}");
}

#[test]
fn the_user_agent_begins_with_npms() {
    let registry = Registry::start();
    let script = "echo \"$npm_config_user_agent\" > \"$npm_config_local_prefix/agent\"";
    let package = Package::new("a", "1.0.0").field("scripts", json!({"install": script}));
    let project = Project::new(&registry).with(&registry.serve(package));
    project.ci(&[]).assert_success();
    let agent = std::fs::read_to_string(project.path().join("agent")).unwrap();
    assert!(agent.starts_with("npm/") && agent.contains(" ringstall/"), "{agent}");
}

#[test]
fn the_shell_can_be_another() {
    let registry = Registry::start();
    let package = Package::new("a", "1.0.0").field("scripts", json!({"install": "the script"}));
    let shell = "#!/bin/sh\necho \"$1 $2\" > \"$npm_config_local_prefix/said\"\n";
    let project = Project::new(&registry)
        .with(&registry.serve(package))
        .file_with_mode("shell.sh", 0o755, shell);
    let npmrc = format!("script-shell={}\n", project.path().join("shell.sh").display());
    let project = project.npmrc(&npmrc);
    project.ci(&[]).assert_success();
    let said = || std::fs::read_to_string(project.path().join("said")).unwrap();
    assert_eq!(said(), "-c the script\n");
    assert_eq!(project.ci(&["--script-shell", "sh"]).code, Some(127));
}

#[test]
fn nothing_is_to_be_read_from_stdin() {
    let registry = Registry::start();
    let script = "read line || echo nothing > \"$npm_config_local_prefix/read\"";
    let package = Package::new("a", "1.0.0").field("scripts", json!({"install": script}));
    let project = Project::new(&registry).with(&registry.serve(package));
    project.ci(&[]).assert_success();
    assert!(project.path().join("read").exists());
}

#[test]
fn names_and_versions_reach_no_command_line() {
    let registry = Registry::start();
    let version = "1.0.0; touch ran $(touch ran) `touch ran`\nPATH=evil";
    let script = "printf %s \"$npm_package_version\" > version";
    let project = Project::new(&registry)
        .field("version", json!(version))
        .field("config", json!({"$(touch ran)": "$(touch ran)"}))
        .field("scripts", json!({"prepare": script}));
    project.ci(&[]).assert_success();
    assert_eq!(std::fs::read_to_string(project.path().join("version")).unwrap(), version);
    assert!(!project.path().join("ran").exists());
}

#[test]
fn node_gyp_is_the_one_that_is_named() {
    let registry = Registry::start();
    let fake = "require('fs').writeFileSync(process.env.npm_config_local_prefix + '/gyp', \
                process.argv.slice(2).join(' '))";
    let native = Package::new("native", "1.0.0").file("binding.gyp", "{}");
    let project = Project::new(&registry).with(&registry.serve(native)).file("fake.js", fake);
    let program = project.path().join("fake.js").display().to_string();
    let project = project.env("npm_config_node_gyp", &program);
    project.ci(&[]).assert_success();
    assert_eq!(std::fs::read_to_string(project.path().join("gyp")).unwrap(), "rebuild");
}

#[test]
fn without_node_gyp_the_error_says_where_to_get_it() {
    if !engine::IS_DEFAULT {
        return;
    }
    let registry = Registry::start();
    let native = Package::new("native", "1.0.0").file("binding.gyp", "{}");
    let project = Project::new(&registry).with(&registry.serve(native));
    // A machine without node and npm.
    for program in ["sh", "env"] {
        let found = std::process::Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        std::fs::create_dir_all(project.path().join("bin")).unwrap();
        let link = project.path().join("bin").join(program);
        std::os::unix::fs::symlink(found.trim(), link).unwrap();
    }
    let path = project.path().join("bin").display().to_string();
    let outcome = project.env("PATH", &path).ci(&[]);
    assert_eq!(outcome.code, Some(127), "{}", outcome.stderr);
    let hint = "hint: node-gyp is not installed: install npm or node-gyp, or name its \
                bin/node-gyp.js in npm_config_node_gyp\n";
    assert!(outcome.stderr.ends_with(hint), "{}", outcome.stderr);
}
