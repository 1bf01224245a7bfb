//! The command line itself: other names, completions, manual pages, what npm has and this command
//! has not, and how much is said.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::{Package, Project, Registry};

fn project() -> Project {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    Project::new(&registry).with(&a).keeping(registry)
}

/// The long options that a command's help names at the start of a line.
fn options(project: &Project, command: &str) -> BTreeSet<String> {
    let outcome = project.ringstall(&[command, "--help"]);
    outcome.assert_quiet_success();
    let option = |line: &str| {
        let line = line.trim_start();
        let line =
            line.strip_prefix('-').filter(|rest| !rest.starts_with('-')).map_or(line, |rest| {
                rest.get(1..).and_then(|rest| rest.strip_prefix(", ")).unwrap_or(rest)
            });
        let name = line.strip_prefix("--")?;
        Some(name.split([' ', '=', '[']).next()?.to_owned())
    };
    outcome.stdout.lines().filter_map(option).collect()
}

const COMMANDS: [&str; 5] = ["ci", "cache", "doctor", "completions", "man"];

#[test]
fn every_option_of_the_help_is_in_the_manual() {
    let project = project();
    assert!(options(&project, "ci").len() > 20, "the help is not what this test reads");
    for command in COMMANDS {
        let page = project.ringstall(&["man", command]);
        page.assert_quiet_success();
        let title = format!(".TH ringstall-{command} 1");
        assert!(page.stdout.contains(&title), "{}", page.stdout);
        for option in options(&project, command) {
            let written = format!("\\-\\-{}", option.replace('-', "\\-"));
            assert!(page.stdout.contains(&written), "no `{option}` in the page of {command}");
        }
    }
}

#[test]
fn the_manual_of_all_names_the_commands_and_the_exit_status() {
    let page = project().ringstall(&["man"]);
    page.assert_quiet_success();
    let plain = page.stdout.replace('\\', "");
    for text in COMMANDS.map(|command| format!("ringstall-{command}(1)")) {
        assert!(plain.contains(&text), "no `{text}` in {plain}");
    }
    assert!(plain.contains("Exit status: 0 when all is done"), "{plain}");
}

#[test]
fn commands_below_others_have_pages() {
    let page = project().ringstall(&["man", "cache", "prune"]);
    page.assert_quiet_success();
    assert!(page.stdout.contains(".TH ringstall-cache-prune 1"), "{}", page.stdout);
    assert!(page.stdout.replace('\\', "").contains("--older-than"), "{}", page.stdout);
}

#[test]
fn a_page_that_is_not_there_is_an_error() {
    for words in [&["teleport"][..], &["cache", "teleport"], &["ci", "prune"]] {
        let error = project().ringstall(&[&["man"], words].concat());
        let words = words.join(" ");
        error.assert_failure(&[
            &format!("error: EUSAGE: ringstall has no command `{words}`"),
            "hint: `ringstall --help` lists the commands",
        ]);
    }
}

#[test]
fn completions_know_every_option() {
    let project = project();
    for shell in ["bash", "fish", "zsh"] {
        let script = project.ringstall(&["completions", shell]);
        script.assert_quiet_success();
        for option in COMMANDS.iter().flat_map(|command| options(&project, command)) {
            let written =
                if shell == "fish" { format!("-l {option}") } else { format!("--{option}") };
            assert!(script.stdout.contains(&written), "no `{option}` for {shell}");
        }
    }
}

#[test]
fn bash_completes_an_option() {
    if Command::new("bash").arg("--version").output().is_err() {
        eprintln!("skipped: there is no bash");
        return;
    }
    let project = project();
    let script = project.ringstall(&["completions", "bash"]).stdout;
    let path = project.temp().join("completions");
    fs::write(&path, script).unwrap();
    let typed = "source \"$0\"; COMP_WORDS=(ringstall ci --time); COMP_CWORD=2; \
                 _ringstall ringstall --tim ci; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", typed]).arg(&path).output().unwrap();
    let replies = String::from_utf8(output.stdout).unwrap();
    assert_eq!(replies, "--timings\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn all_of_npm_s_names_for_ci_are_known() {
    let project = project();
    for name in ["ci", "clean-install", "ic", "install-clean", "isntall-clean"] {
        let mut arguments = vec![name.to_owned(), "-C".to_owned()];
        arguments.push(project.path().to_str().unwrap().to_owned());
        arguments.extend(["--cache".to_owned(), project.cache().to_str().unwrap().to_owned()]);
        arguments.extend(project.registry_arguments());
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        project.ringstall(&arguments).assert_quiet_success();
        fs::remove_dir_all(project.path().join("node_modules")).unwrap();
    }
}

#[test]
fn what_npm_has_and_ringstall_has_not_is_pointed_out() {
    let project = project();
    let use_npm = |name: &str| {
        format!("use `npm {name}` for that; `ringstall ci` installs from the lockfile")
    };
    let install = "`ringstall ci` installs what the lockfile says; use `npm install` to change it";
    for (arguments, hint) in [
        (&["install"][..], install.to_owned()),
        (&["i", "--save-dev", "left-pad"], install.to_owned()),
        (&["add", "left-pad"], install.to_owned()),
        (&["run", "build"], use_npm("run")),
        (&["test"], use_npm("test")),
        (&["exec", "tsc"], use_npm("exec")),
        (&["audit"], use_npm("audit")),
        (&["ls"], use_npm("ls")),
        (&["update"], use_npm("update")),
        (&["cit"], "use `ringstall ci && npm test` for that".to_owned()),
    ] {
        let outcome = project.ringstall(arguments);
        let name = arguments[0];
        let expected = format!(
            "error: EUSAGE: `{name}` is no command of ringstall, which only installs lockfiles\n\
             hint: {hint}\n"
        );
        assert_eq!((outcome.code, outcome.stderr), (Some(2), expected));
    }
    let outcome = project.ringstall(&["teleport"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.starts_with("error: unrecognized subcommand 'teleport'"));
}

/// The closing line and the warnings of an installation that has one of each.
fn told(project: &Project, arguments: &[&str]) -> (bool, bool) {
    let outcome = project.ci(arguments);
    outcome.assert_success();
    (!outcome.stdout.is_empty(), outcome.stderr.contains("warning: "))
}

#[test]
fn npm_s_levels_say_how_much_is_told() {
    let project = project().npmrc("omit=everything\n");
    for (level, expected) in [
        ("silent", (false, false)),
        ("error", (true, false)),
        ("warn", (true, true)),
        ("notice", (true, true)),
        ("http", (true, true)),
        ("info", (true, true)),
        ("verbose", (true, true)),
        ("silly", (true, true)),
    ] {
        assert_eq!(told(&project, &["--loglevel", level]), expected, "{level}");
        let project = project_with_setting(&format!("loglevel={level}\n"));
        assert_eq!(told(&project, &[]), expected, "{level} in .npmrc");
    }
    assert_eq!(told(&project, &["--silent"]), (false, false));
    assert_eq!(told(&project, &["-s"]), (false, false));
    let loud = project_with_setting("loglevel=silent\n");
    assert_eq!(told(&loud, &["--loglevel", "warn"]), (true, true), "what is typed wins");
}

fn project_with_setting(line: &str) -> Project {
    project().npmrc(&format!("omit=everything\n{line}"))
}

#[test]
fn a_level_that_npm_does_not_know_is_a_warning() {
    let outcome = project().npmrc("loglevel=loud\n").ci(&[]);
    outcome.assert_success();
    let expected = "warning: `loud` in `[PROJECT]/.npmrc` is not a level of `loglevel`\n";
    assert_eq!(outcome.stderr, expected);
}

#[test]
fn silence_does_not_hide_errors() {
    let project = project().wants("dependencies", "c", "1.0.0");
    project.ci(&["--silent"]).assert_error("EUSAGE");
    project.npmrc("loglevel=silent\n").ci(&[]).assert_error("EUSAGE");
}

#[test]
fn colours_follow_what_is_typed_then_settings_then_the_environment() {
    let is_coloured = |setting: &str, variables: &[(&str, &str)], arguments: &[&str]| {
        let project = project().npmrc(setting).wants("dependencies", "c", "1.0.0");
        let project =
            variables.iter().fold(project, |project, (name, value)| project.env(name, value));
        project.ci(arguments).stderr.contains('\u{1b}')
    };
    assert!(!is_coloured("", &[], &[]));
    for (variables, expected) in [
        (&[("FORCE_COLOR", "1")][..], true),
        (&[("FORCE_COLOR", "0"), ("CLICOLOR_FORCE", "1")], false),
        (&[("CLICOLOR_FORCE", "1")], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&[("FORCE_COLOR", "1"), ("NO_COLOR", "1")], true),
    ] {
        assert_eq!(is_coloured("", variables, &[]), expected, "{variables:?}");
    }
    assert!(is_coloured("color=always\n", &[("FORCE_COLOR", "0")], &[]));
    assert!(!is_coloured("color=false\n", &[("FORCE_COLOR", "1")], &[]));
    assert!(is_coloured("color=false\n", &[], &["--color", "always"]));
    for arguments in [&["--color=false"][..], &["--no-color"]] {
        assert!(!is_coloured("color=always\n", &[("FORCE_COLOR", "1")], arguments));
    }
}
