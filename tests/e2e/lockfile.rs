//! Reading the lockfile: which file, which versions of the format, and what is refused.

use serde_json::{Value, json};

use crate::support::{Package, Project, Registry};

/// A project that wants one small package, and the registry that has it.
fn one_package() -> (Registry, Project) {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0").file("index.js", "a"));
    let project = Project::new(&registry).with(&a);
    (registry, project)
}

const ONE_PACKAGE: [&str; 4] =
    [".package-lock.json [node_modules/a]", "a/", "a/index.js \"a\"", "a/package.json {a@1.0.0}"];

fn with_lockfile(project: Project, lockfile: &Value) -> Project {
    project.file("package-lock.json", &lockfile.to_string())
}

/// Nothing was asked of the registry and nothing but the inputs is there.
#[track_caller]
fn assert_untouched(registry: &Registry, project: &Project) {
    assert_eq!(registry.paths(), [""; 0]);
    project.installed().assert(&[]);
}

#[test]
fn a_lockfile_of_version_3_is_installed() {
    let (_registry, project) = one_package();
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&ONE_PACKAGE);
}

#[test]
fn of_a_lockfile_of_version_2_only_packages_is_read() {
    let (_registry, project) = one_package();
    let mut lockfile = project.lockfile();
    lockfile["lockfileVersion"] = json!(2);
    lockfile["dependencies"] = json!({"a": {"version": "9.9.9", "integrity": "sha512-junk"}});
    let project = with_lockfile(project, &lockfile);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&ONE_PACKAGE);
}

#[test]
fn a_byte_order_mark_before_the_lockfile_and_package_json_is_passed_over() {
    let (_registry, project) = one_package();
    let lockfile = format!("\u{feff}{}", project.lockfile());
    let manifest = std::fs::read_to_string(project.path().join("package.json")).unwrap();
    let project = project
        .file("package-lock.json", &lockfile)
        .file("package.json", &format!("\u{feff}{manifest}"));
    project.assert_same_as_npm(&[]);
    project.installed().assert(&ONE_PACKAGE);
}

#[test]
fn a_merge_conflict_is_refused_with_its_line() {
    let (registry, project) = one_package();
    let text = "{\n<<<<<<< ours\n  \"lockfileVersion\": 3\n=======\n>>>>>>> theirs\n}\n";
    let project = project.file("package-lock.json", text);
    project.ci(&[]).assert_failure(&[
        "error: EJSONPARSE: `package-lock.json` has a merge conflict at line 2",
        "hint: run `npm install --package-lock-only` to settle it",
    ]);
    assert_untouched(&registry, &project);
}

#[test]
fn a_lockfile_that_is_no_json_is_refused_with_the_place() {
    let (registry, project) = one_package();
    let project = project.file("package-lock.json", "{\"lockfileVersion\": 3,");
    project.ci(&[]).assert_failure(&[
        "error: EJSONPARSE: failed to parse `package-lock.json`",
        "  caused by: EOF while parsing a value at line 1 column 22",
    ]);
    assert_untouched(&registry, &project);
}

#[test]
fn a_project_without_lockfile_is_refused() {
    let (registry, project) = one_package();
    std::fs::remove_file(project.path().join("package-lock.json")).unwrap();
    project.assert_npm_fails(&[]);
    registry.forget_requests();
    project.ci(&[]).assert_failure(&[
        "error: EUSAGE: no package-lock.json or npm-shrinkwrap.json in `[PROJECT]`",
        "hint: a lockfile is needed; run `npm install` once to write it",
    ]);
    assert_untouched(&registry, &project);
}

#[test]
fn a_project_without_package_json_is_refused() {
    let (registry, project) = one_package();
    std::fs::remove_file(project.path().join("package.json")).unwrap();
    project.ci(&[]).assert_failure(&[
        "error: EUSAGE: no package.json in `[PROJECT]`",
        "hint: run ringstall in the project's folder, or name it with -C",
    ]);
    assert_untouched(&registry, &project);
}

#[test]
fn a_package_json_that_is_no_json_is_refused() {
    let (registry, project) = one_package();
    let project = project.file("package.json", "{");
    project.ci(&[]).assert_failure(&[
        "error: EJSONPARSE: failed to parse `package.json`",
        "  caused by: EOF while parsing an object at line 1 column 1",
    ]);
    assert_untouched(&registry, &project);
}

#[test]
fn npm_shrinkwrap_json_wins_over_package_lock_json() {
    let registry = Registry::start();
    let old = registry.serve(Package::new("a", "1.0.0"));
    let new = registry.serve(Package::new("a", "1.1.0"));
    let project = Project::new(&registry).wants("dependencies", "a", "^1.0.0");
    let shrinkwrap = project.at("node_modules/a", &new);
    let text = shrinkwrap.lockfile().to_string();
    let project = shrinkwrap.at("node_modules/a", &old).file("npm-shrinkwrap.json", &text);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.1.0}",
    ]);
}

#[test]
fn of_two_equal_keys_the_last_counts() {
    let registry = Registry::start();
    let old = registry.serve(Package::new("a", "1.0.0"));
    let new = registry.serve(Package::new("a", "1.1.0"));
    let project = Project::new(&registry).wants("dependencies", "a", "^1.0.0");
    let project = project.at("node_modules/a", &new);
    let text = project.lockfile().to_string();
    let before = format!(
        "\"packages\":{{\"node_modules/a\":{},",
        json!({"version": "1.0.0", "integrity": old.integrity()})
    );
    let text = text.replace("\"packages\":{", &before);
    let project = project.file("package-lock.json", &text);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.1.0}",
    ]);
}

#[test]
fn an_entry_without_version_is_refused() {
    let (registry, project) = one_package();
    let project =
        project.wants("dependencies", "a", "*").entry("node_modules/a", json!({"version": null}));
    let outcome = project.ci(&[]);
    outcome.assert_failure(&[
        "error: ELOCKFILE: the lockfile's entry `node_modules/a` has no version",
        "hint: remove package-lock.json and run `npm install` to write it anew",
    ]);
    assert_untouched(&registry, &project);
}

#[test]
fn entries_that_nothing_asks_for_are_not_installed() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let stray = registry.serve(Package::new("stray", "1.0.0"));
    let project = Project::new(&registry).with(&a).at("node_modules/stray", &stray);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
}

#[test]
fn a_package_lies_where_its_key_says_and_nowhere_else() {
    let registry = Registry::start();
    let shared = registry.serve(Package::new("shared", "1.0.0").file("index.js", "s"));
    let a = registry.serve(Package::new("a", "1.0.0").dependency("shared", "^1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0").dependency("shared", "^1.0.0"));
    // It could be hoisted to the root; the lockfile says otherwise.
    let project = Project::new(&registry)
        .with(&a)
        .with(&b)
        .at("node_modules/a/node_modules/shared", &shared)
        .at("node_modules/b/node_modules/shared", &shared);
    project.assert_same_as_npm(&[]);
    project.installed().assert(&[
        ".package-lock.json [node_modules/a, node_modules/a/node_modules/shared, node_modules/b, \
         node_modules/b/node_modules/shared]",
        "a/",
        "a/node_modules/",
        "a/node_modules/shared/",
        "a/node_modules/shared/index.js \"s\"",
        "a/node_modules/shared/package.json {shared@1.0.0}",
        "a/package.json {a@1.0.0}",
        "b/",
        "b/node_modules/",
        "b/node_modules/shared/",
        "b/node_modules/shared/index.js \"s\"",
        "b/node_modules/shared/package.json {shared@1.0.0}",
        "b/package.json {b@1.0.0}",
    ]);
}

#[test]
fn of_two_lockfiles_it_is_said_which_one_is_read() {
    let (_registry, project) = one_package();
    let text = project.lockfile().to_string();
    let project = project.file("npm-shrinkwrap.json", &text);
    let outcome = project.ci(&["--verbose"]);
    outcome.assert_success();
    let detail = "read npm-shrinkwrap.json and package.json\n";
    assert!(outcome.stderr.contains(detail), "{}", outcome.stderr);
    let json = project.ci(&["--json"]).json();
    let warning = "package-lock.json is not read, because npm-shrinkwrap.json is there as well";
    assert_eq!(json["lockfile"], json!("npm-shrinkwrap.json"));
    assert_eq!(json["warnings"], json!([warning]));
}

#[test]
fn an_empty_shrinkwrap_is_none() {
    let (_registry, project) = one_package();
    let project = project.file("npm-shrinkwrap.json", "");
    project.assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn an_empty_lockfile_is_said_to_be_empty() {
    let (_registry, project) = one_package();
    let project = project.file("package-lock.json", "");
    project.ci(&[]).assert_failure(&[
        "error: EUSAGE: `package-lock.json` in `[PROJECT]` is empty",
        "hint: a lockfile is needed; run `npm install` once to write it",
    ]);
}

#[test]
fn a_lockfile_of_version_4_that_uses_nothing_new_is_installed() {
    let (_registry, project) = one_package();
    let mut lockfile = project.lockfile();
    lockfile["lockfileVersion"] = json!(4);
    let project = with_lockfile(project, &lockfile);
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&ONE_PACKAGE);
}

#[test]
fn what_only_version_4_knows_is_refused_by_name() {
    let in_lockfile = |path: &str, field: &str| {
        let (registry, project) = one_package();
        let mut lockfile = project.lockfile();
        lockfile["lockfileVersion"] = json!(4);
        lockfile.pointer_mut(path).unwrap()[field] = json!({});
        (registry, with_lockfile(project, &lockfile))
    };
    let in_project = |file: &str, text: &str| {
        let (registry, project) = in_lockfile("/packages", "node_modules/none");
        (registry, project.file(file, text))
    };
    let manifest = r#"{"dependencies": {"a": "1.0.0"}, "packageExtensions": {}}"#;
    for ((registry, project), place, feature) in [
        (in_lockfile("", "patchedDependencies"), "package-lock.json", "patchedDependencies"),
        (
            in_lockfile("/packages/node_modules~1a", "patched"),
            "package-lock.json (`node_modules/a`)",
            "patchedDependencies",
        ),
        (
            in_lockfile("/packages/", "packageExtensionsHash"),
            "package-lock.json (``)",
            "packageExtensions",
        ),
        (in_project("package.json", manifest), "package.json", "packageExtensions"),
        (in_project(".npm-extension.mjs", ""), ".npm-extension.mjs", ".npm-extension"),
    ] {
        project.ci(&[]).assert_failure(&[
            &format!(
                "error: ELOCKFILEVERSION: {place} asks for `{feature}` of npm 12, which is not \
                 applied here"
            ),
            "hint: install this project with npm 12, or do without it",
        ]);
        assert_untouched(&registry, &project);
    }
}

#[test]
fn a_lockfile_of_a_version_to_come_is_refused() {
    let (registry, project) = one_package();
    let mut lockfile = project.lockfile();
    lockfile["lockfileVersion"] = json!(5);
    let project = with_lockfile(project, &lockfile);
    project.ci(&[]).assert_failure(&[
        "error: ELOCKFILEVERSION: `package-lock.json` has lockfileVersion 5, which is not \
         installed",
        "hint: `npm install --package-lock-only --lockfile-version=3` writes one that is",
    ]);
    assert_untouched(&registry, &project);
}

#[test]
fn a_merge_conflict_in_package_json_or_a_shrinkwrap_is_refused_with_its_line() {
    let text = "{\n  \"name\": \"x\",\n<<<<<<< ours\n=======\n>>>>>>> theirs\n}\n";
    let by_hand =
        "keep one side of it, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>";
    let by_npm = "run `npm install --package-lock-only` to settle it";
    for (file, hint) in [("package.json", by_hand), ("npm-shrinkwrap.json", by_npm)] {
        let (registry, project) = one_package();
        let project = project.file(file, text);
        project.ci(&[]).assert_failure(&[
            &format!("error: EJSONPARSE: `{file}` has a merge conflict at line 3"),
            &format!("hint: {hint}"),
        ]);
        assert_untouched(&registry, &project);
    }
}

#[test]
fn what_npm_does_not_know_is_passed_over_and_repeated_of_the_whole_file() {
    let (_registry, project) = one_package();
    let project = project.entry("node_modules/a", json!({"unknown": {"x": [1]}}));
    let mut lockfile = project.lockfile();
    lockfile["else"] = json!({"b": [1, {"c": null}, []], "a": {}, "name": 1.5});
    lockfile["also"] = json!("text");
    lockfile["name"] = json!("another");
    lockfile["packages"][""]["else"] = json!(true);
    let project = with_lockfile(project, &lockfile);
    project.assert_same_as_npm(&[]);
    assert_eq!(project.hidden_lock()["also"], json!("text"));
    project.npm_ci_in_place();
    let path = project.path().join("node_modules/.package-lock.json");
    let judged = std::fs::read_to_string(&path).unwrap();
    project.ci(&[]).assert_success();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), judged);
}

#[test]
fn a_key_that_is_written_with_escapes_is_the_path_that_it_reads_as() {
    let (_registry, project) = one_package();
    let text = project.lockfile().to_string().replace("node_modules/a", "node_modules\\/\\u0061");
    let project = project.file("package-lock.json", &text);
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().assert(&ONE_PACKAGE);
}
