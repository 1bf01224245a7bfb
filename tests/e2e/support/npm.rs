//! npm as the judge: it installs a copy of the project from the same registry, and the two trees
//! are compared whole.
//!
//! It judges the default engines. Where others are forced, the judge is the command on the default
//! engines: all trees are the same then, and npm, which takes ten times as long, runs once.
//!
//! Where there is no npm 11 on PATH these comparisons are skipped with a line that says so; with
//! `RINGSTALL_TEST_NPM=require` in the environment they fail instead, with `skip` npm is not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::RINGSTALL;
use super::engine;
use super::outcome::Outcome;
use super::project::Project;
use super::tree::Tree;

/// The npm whose trees are the measure.
const NPM_MAJOR: &str = "11.";

impl Project {
    /// Installs with ringstall, and a copy with npm: both succeed, and leave the same trees behind.
    #[track_caller]
    pub fn assert_same_as_npm(&self, arguments: &[&str]) -> Outcome {
        self.assert_same_as_npm_with_umask("022", arguments)
    }

    #[track_caller]
    pub fn assert_same_as_npm_with_umask(&self, umask: &str, arguments: &[&str]) -> Outcome {
        let arguments = [&["--ignore-scripts"], arguments].concat();
        self.assert_same_as_judge(umask, &arguments)
    }

    /// The same, with lifecycle scripts. What they write into the project is compared as well.
    #[track_caller]
    pub fn assert_same_as_npm_with_scripts(&self, arguments: &[&str]) -> Outcome {
        self.assert_same_as_judge("022", arguments)
    }

    #[track_caller]
    fn assert_same_as_judge(&self, umask: &str, arguments: &[&str]) -> Outcome {
        let theirs = self.npm_ci_in("", umask, arguments);
        let mut command = self.command(Path::new(RINGSTALL), umask);
        self.add_ci_arguments(&mut command, &["--no-audit", "--no-fund"]);
        command.args(arguments).current_dir(self.path());
        let ours = self.run(command);
        ours.assert_success();
        self.assert_same_outcome(theirs);
        ours
    }

    /// The same, both from a folder of the project, which they have to find by themselves.
    #[track_caller]
    pub fn assert_same_as_npm_from(&self, folder: &str, arguments: &[&str]) -> Outcome {
        let theirs = self.npm_ci_from(folder, arguments);
        let ours = self.ci_from(folder, &[&["--ignore-scripts"], arguments].concat());
        ours.assert_success();
        self.assert_same_outcome(theirs);
        ours
    }

    /// What was installed is what the judge has left in its copy.
    #[track_caller]
    pub fn assert_same_outcome(&self, theirs: Option<(Outcome, Tree)>) {
        let Some((theirs, tree)) = theirs else { return };
        theirs.assert_success();
        let differences = self.whole_tree().differences(&tree, ["ringstall", "the judge"]);
        assert!(differences.is_empty(), "{}\n", differences.join("\n"));
    }

    /// npm refuses the project as well.
    #[track_caller]
    pub fn assert_npm_fails(&self, arguments: &[&str]) {
        if let Some((theirs, _)) = self.npm_ci(arguments) {
            assert_ne!(theirs.code, Some(0), "the judge installs this:\n{}", theirs.stdout);
        }
    }

    /// npm refuses the project as well, with its lifecycle scripts.
    #[track_caller]
    pub fn assert_npm_fails_with_scripts(&self, arguments: &[&str]) {
        if let Some((theirs, _)) = self.judged_ci(arguments) {
            assert_ne!(theirs.code, Some(0), "the judge installs this:\n{}", theirs.stdout);
        }
    }

    /// The judge's install in the project itself.
    #[track_caller]
    pub fn npm_ci_in_place(&self) {
        let Some(judge) = find_judge() else { return };
        self.judge_ci(&judge, &self.path(), "022", &["--ignore-scripts"]).assert_success();
    }

    /// Any command of npm's, in the project itself. npm is asked once, not for every engine.
    pub fn npm(&self, arguments: &[&str]) -> Option<Outcome> {
        let npm = find_judge().filter(|_| engine::IS_DEFAULT)?;
        let mut command = self.command(&npm, "022");
        command.current_dir(self.path()).args(arguments);
        Some(self.run(command))
    }

    /// What the judge says, and the tree it leaves in a copy of the project as it is now.
    pub fn npm_ci(&self, arguments: &[&str]) -> Option<(Outcome, Tree)> {
        self.npm_ci_from("", arguments)
    }

    /// The same from a folder of the project.
    pub fn npm_ci_from(&self, folder: &str, arguments: &[&str]) -> Option<(Outcome, Tree)> {
        self.npm_ci_in(folder, "022", &[&["--ignore-scripts"], arguments].concat())
    }

    /// The same, with lifecycle scripts.
    pub fn judged_ci(&self, arguments: &[&str]) -> Option<(Outcome, Tree)> {
        self.npm_ci_in("", "022", arguments)
    }

    fn npm_ci_in(&self, folder: &str, umask: &str, arguments: &[&str]) -> Option<(Outcome, Tree)> {
        let judge = find_judge()?;
        let copy = self.temp().join("npm");
        let copied = Command::new("cp").arg("-a").arg(self.temp().join("ours")).arg(&copy).status();
        assert!(copied.unwrap().success());
        let outcome = self.judge_ci(&judge, &copy.join("project").join(folder), umask, arguments);
        let tree = Tree::read(&copy);
        fs::remove_dir_all(&copy).unwrap();
        Some((outcome, tree))
    }

    fn judge_ci(&self, judge: &Path, folder: &Path, umask: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.command_on(None, judge, umask);
        command.current_dir(folder).args(["ci", "--no-audit", "--no-fund"]);
        command.arg("--cache").arg(self.temp().join("npm-cache"));
        command.args(self.registry_arguments()).args(arguments);
        self.run(command)
    }
}

/// The program whose trees are right: npm for the default engines, and those for the others.
fn find_judge() -> Option<PathBuf> {
    if engine::IS_DEFAULT { find_npm() } else { Some(RINGSTALL.into()) }
}

/// Whether npm itself can take part in what is tested here.
pub fn is_there() -> bool {
    engine::IS_DEFAULT && find_npm().is_some()
}

fn find_npm() -> Option<PathBuf> {
    let wish = std::env::var("RINGSTALL_TEST_NPM").unwrap_or_default();
    if wish == "skip" {
        return None;
    }
    let found = npm_on_path();
    if found.is_none() {
        assert_ne!(wish, "require", "RINGSTALL_TEST_NPM=require, and no npm 11 on PATH");
        eprintln!("skipped the comparison with npm: no npm 11 on PATH");
    }
    found
}

fn npm_on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let npm =
        std::env::split_paths(&path).map(|folder| folder.join("npm")).find(|npm| npm.is_file())?;
    // `npm` is a link to npm's own `bin/npm-cli.js`.
    let manifest = npm.canonicalize().ok()?.parent()?.parent()?.join("package.json");
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
    manifest["version"].as_str()?.starts_with(NPM_MAJOR).then_some(npm)
}
