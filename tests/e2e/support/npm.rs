//! npm as the judge: it installs a copy of the project from the same registry, and the two trees
//! are compared whole.
//!
//! Where there is no npm 11 on PATH these comparisons are skipped with a line that says so; with
//! `RINGSTALL_TEST_NPM=require` in the environment they fail instead.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::outcome::Outcome;
use super::project::Project;
use super::tree::Tree;

/// The npm whose trees are the measure.
const NPM_MAJOR: &str = "11.";

impl Project {
    /// Installs with ringstall, and a copy with npm: both succeed, and leave the same trees behind.
    #[track_caller]
    pub fn assert_same_as_npm(&self, arguments: &[&str]) -> Outcome {
        let theirs = self.npm_ci(arguments);
        let ours = self.ci(&[&["--ignore-scripts"], arguments].concat());
        ours.assert_success();
        if let Some((theirs, tree)) = theirs {
            theirs.assert_success();
            let differences = self.whole_tree().differences(&tree, ["ringstall", "npm"]);
            assert!(differences.is_empty(), "{}\n", differences.join("\n"));
        }
        ours
    }

    /// npm refuses the project as well.
    #[track_caller]
    pub fn assert_npm_fails(&self, arguments: &[&str]) {
        if let Some((theirs, _)) = self.npm_ci(arguments) {
            assert_ne!(theirs.code, Some(0), "npm installs this:\n{}", theirs.stdout);
        }
    }

    /// npm's install in the project itself.
    #[track_caller]
    pub fn npm_ci_in_place(&self) {
        let cache = self.temp().join("npm-cache");
        let mut arguments = vec!["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache"];
        arguments.push(cache.to_str().unwrap());
        let registry = self.registry_arguments();
        arguments.extend(registry.iter().map(String::as_str));
        if let Some(outcome) = self.npm(&arguments) {
            outcome.assert_success();
        }
    }

    /// Any command of npm's, in the project itself.
    pub fn npm(&self, arguments: &[&str]) -> Option<Outcome> {
        let mut command = self.command(&find_npm()?, "022");
        command.current_dir(self.path()).args(arguments);
        Some(self.run(command))
    }

    /// What npm says, and the tree it leaves in a copy of the project as it is now.
    pub fn npm_ci(&self, arguments: &[&str]) -> Option<(Outcome, Tree)> {
        let npm = find_npm()?;
        let copy = self.temp().join("npm");
        let copied = Command::new("cp").arg("-a").arg(self.temp().join("ours")).arg(&copy).status();
        assert!(copied.unwrap().success());
        let mut command = self.command(&npm, "022");
        command.current_dir(copy.join("project"));
        command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        command.arg("--cache").arg(self.temp().join("npm-cache"));
        command.args(self.registry_arguments()).args(arguments);
        let outcome = self.run(command);
        let tree = Tree::read(&copy);
        fs::remove_dir_all(&copy).unwrap();
        Some((outcome, tree))
    }
}

fn find_npm() -> Option<PathBuf> {
    let found = npm_on_path();
    if found.is_none() {
        let is_required = std::env::var("RINGSTALL_TEST_NPM").is_ok_and(|value| value == "require");
        assert!(!is_required, "RINGSTALL_TEST_NPM=require, and no npm 11 on PATH");
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
