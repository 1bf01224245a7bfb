//! Preparing a package that comes from git, as npm does before it packs one: its dependencies are
//! installed, which runs its scripts and theirs, and then its `prepare` runs once more (pacote 21,
//! `#prepareDir` in `lib/git.js` and `lib/dir.js`).
//!
//! That needs versions to be chosen, which is npm's trade: npm itself is called.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::address::{GitSource, State};
use super::manifest::PackManifest;
use super::program::{find_program, run, shown};
use crate::error::{Code, Error, Result};
use crate::platform::find_on_path;
use crate::running::Running;

/// What a repository is prepared with.
#[derive(Debug)]
pub struct Preparation<'p> {
    pub path: &'p str,
    pub git: &'p Path,
    pub running: &'p Running,
    pub is_allowed: bool,
    /// Settings that npm would hand on to what it starts, under their names in `.npmrc`.
    pub exported: &'p [(String, String)],
}

/// For one command of npm: a large build.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);
/// npm's own word for "this repository is being prepared further up": repositories may need each
/// other in a circle.
const NO_PREPARE: &str = "_PACOTE_NO_PREPARE_";

const INSTALL: [&str; 10] = [
    "install",
    "--force",
    "--no-progress",
    "--no-save",
    "--no-audit",
    "--include=dev",
    "--include=peer",
    "--include=optional",
    "--no-package-lock-only",
    "--no-dry-run",
];

impl Preparation<'_> {
    /// Prepares the package in `folder` if it asks for that and may.
    pub fn prepare(&self, source: &GitSource, folder: &Path) -> Result<State> {
        let manifest = PackManifest::read(folder)?;
        if !manifest.wants_installation() {
            return Ok(State::Plain);
        }
        // Without scripts, an installation only matters to what is packed along with the package.
        if !self.is_allowed && manifest.bundled.is_empty() {
            return Ok(State::Unprepared);
        }
        if !self.is_allowed {
            // npm would put variables of the environment into the addresses that it names.
            remove_npmrc(folder)?;
        }
        let resolved = source.npm_name();
        let seen = std::env::var(NO_PREPARE).unwrap_or_default();
        if !seen.lines().any(|line| line == resolved) {
            let seen = format!("{seen}\n{resolved}");
            self.npm(source, folder, &INSTALL, seen.trim_start())?;
        }
        if self.is_allowed && manifest.has_script("prepare") {
            self.npm(source, folder, &["run-script", "prepare"], &seen)?;
        }
        Ok(if self.is_allowed { State::Prepared } else { State::Unprepared })
    }

    fn npm(&self, source: &GitSource, folder: &Path, arguments: &[&str], seen: &str) -> Result<()> {
        let Some(mut command) = find_npm(self.path) else {
            let message = format!("there is no npm to prepare the git repository {source} with");
            return Err(Error::new(Code::Git, message).with_hint(
                "the package is built by scripts of its own, for which npm has to install what it \
                 needs: install npm, or use --ignore-scripts",
            ));
        };
        for (key, value) in self.exported {
            command.env(format!("npm_config_{}", key.replace('-', "_")), value);
        }
        if !self.is_allowed {
            command.arg("--ignore-scripts");
        }
        // A repository's own .npmrc must not say which program is its git.
        command
            .args(arguments)
            .arg("--git")
            .arg(self.git)
            .current_dir(folder)
            .env(NO_PREPARE, seen);
        let failed = |words: &str| {
            let message = format!("failed to prepare the git repository {source}{words}");
            Error::new(Code::Git, message).with_hint("--ignore-scripts does without")
        };
        let finished = run(&mut command, WAIT_MAX, self.running)
            .map_err(|error| failed("").with_source(error))?;
        if finished.status.success() {
            return Ok(());
        }
        let output = [finished.stdout, finished.stderr].concat();
        Err(failed(&format!(": npm ended with {}: {}", finished.status, shown(&output))))
    }
}

/// The npm beside the node on PATH, else the one on PATH.
fn find_npm(path: &str) -> Option<Command> {
    let beside = || {
        let node = find_on_path(path, "node")?;
        let npm = node.parent()?.parent()?.join("lib/node_modules/npm/bin/npm-cli.js");
        npm.is_file().then(|| command_of(node, Some(npm)))
    };
    beside().or_else(|| find_program(path, "npm").map(|npm| command_of(npm, None)))
}

fn command_of(program: PathBuf, script: Option<PathBuf>) -> Command {
    let mut command = Command::new(program);
    command.args(script);
    command
}

fn remove_npmrc(folder: &Path) -> Result<()> {
    let path = folder.join(".npmrc");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
