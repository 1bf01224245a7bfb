//! Fetching one commit of a git repository with the `git` of the machine.
//!
//! What git is told comes from a lockfile, so that it is told little: a whole commit, an address of
//! one of its own transports behind the end of the options, no hooks and no templates. What the
//! user has configured (proxies, credentials, `url.*.insteadOf`) holds, as it does under npm.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::address::GitSource;
use super::program::{Finished, find_program, run, shown};
use crate::config::NetworkSettings;
use crate::error::{Code, Error, Result};
use crate::running::Running;

/// The git that is used, and how.
#[derive(Debug)]
pub struct Git {
    program: PathBuf,
    running: Running,
    tries_max: u32,
    retry_wait: Duration,
    retry_wait_max: Duration,
    /// The user has an ssh command or a password helper of their own.
    has_ssh_command: bool,
    has_askpass: bool,
}

/// For one command of git: the whole history of a large repository over a slow line.
const WAIT_MAX: Duration = Duration::from_secs(30 * 60);
/// npm's own (`@npmcli/git` 7, `maxRetry`), whatever `fetch-retries` says beyond it.
const TRIES_MAX: u32 = 3;

/// Words of git after which npm asks again (`@npmcli/git` 7, `lib/make-error.js`).
const PASSING_FAILURES: [&str; 8] = [
    "remote error: Internal Server Error",
    "The remote end hung up unexpectedly",
    "Connection timed out",
    "Operation timed out",
    "Failed to connect to ",
    "Connection reset by peer",
    "SSL_ERROR_SYSCALL",
    "The requested URL returned error: 503",
];

/// Variables that say where git's own repository is, which a hook that calls us has set.
const REPOSITORY_VARIABLES: [&str; 10] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
];

impl Git {
    /// The git on PATH. No setting names another: a project's, or that of a package, could make it
    /// any program.
    pub fn find(path: &str, network: &NetworkSettings, running: &Running) -> Result<Self> {
        let program = find_program(path, "git").ok_or_else(|| {
            Error::new(Code::NoGit, "there is no git on PATH").with_hint(
                "the lockfile has packages from git repositories: install git, or fill the cache \
                 where there is one",
            )
        })?;
        let mut git = Self {
            program,
            running: running.clone(),
            tries_max: (network.fetch_retries + 1).min(TRIES_MAX),
            retry_wait: network.fetch_retry_mintimeout,
            retry_wait_max: network.fetch_retry_maxtimeout,
            has_ssh_command: false,
            has_askpass: false,
        };
        let names = r"^core\.(sshcommand|askpass)$";
        let found = git.run(Path::new("/"), &["config", "--get-regexp", names])?;
        let found = String::from_utf8_lossy(&found.stdout).to_ascii_lowercase();
        let is_set = |name: &str| std::env::var_os(name).is_some();
        git.has_ssh_command = is_set("GIT_SSH_COMMAND") || found.contains("core.sshcommand");
        git.has_askpass = is_set("GIT_ASKPASS") || found.contains("core.askpass");
        Ok(git)
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Checks the commit out in `folder`, which is not there yet, submodules included.
    pub fn check_out(&self, source: &GitSource, folder: &Path) -> Result<()> {
        let remotes = source.remotes();
        let mut first_error = None;
        for remote in &remotes {
            match self.check_out_from(remote, &source.commit, folder) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    // What another address says of a repository that is not there says less.
                    first_error.get_or_insert(error);
                    remove(folder)?;
                }
            }
        }
        let Some(error) = first_error else { unreachable!("a source has an address") };
        let message = format!("failed to fetch the git repository {source}");
        Err(Error::new(error.code(), message).with_source(error))
    }

    fn check_out_from(&self, remote: &str, commit: &str, folder: &Path) -> Result<()> {
        std::fs::create_dir(folder).map_err(|error| Error::io("make directory", folder, error))?;
        let format = if commit.len() == 64 { "sha256" } else { "sha1" };
        let format = format!("--object-format={format}");
        self.expect(folder, remote, &["init", "--quiet", "--template=", &format])?;
        // Submodules with relative addresses are looked for beside it.
        self.expect(folder, remote, &["remote", "add", "--", "origin", remote])?;
        self.fetch(folder, remote, commit)?;
        self.expect(folder, remote, &["checkout", "--quiet", "--force", "--detach", commit])?;
        if folder.join(".gitmodules").symlink_metadata().is_ok() {
            let update = ["submodule", "update", "--quiet", "--init", "--recursive"];
            self.expect_in_time(folder, remote, &update)?;
        }
        let head = self.expect(folder, remote, &["rev-parse", "--verify", "HEAD"])?;
        let head = String::from_utf8_lossy(&head.stdout);
        if head.trim() != commit {
            let message = format!("expected the commit {commit}, and git has {}", head.trim());
            return Err(Error::new(Code::GitCheckout, message));
        }
        Ok(())
    }

    /// The commit alone where the server gives it, else all that it has.
    fn fetch(&self, folder: &Path, remote: &str, commit: &str) -> Result<()> {
        let common = ["fetch", "--quiet", "--recurse-submodules=no", "--no-auto-gc"];
        let alone = [&common[..], &["--no-tags", "--depth=1", "origin", commit]].concat();
        if self.run_in_time(folder, &alone)?.status.success() {
            return Ok(());
        }
        let all = [&common[..], &["--force", "origin", "+refs/*:refs/remotes/origin/*"]].concat();
        self.expect_in_time(folder, remote, &all)
    }

    fn expect_in_time(&self, folder: &Path, remote: &str, arguments: &[&str]) -> Result<()> {
        let finished = self.run_in_time(folder, arguments)?;
        if finished.status.success() {
            return Ok(());
        }
        Err(failed(arguments, remote, &finished))
    }

    /// Tries again after a broken connection.
    fn run_in_time(&self, folder: &Path, arguments: &[&str]) -> Result<Finished> {
        let mut tries_made = 0;
        let mut wait = self.retry_wait;
        loop {
            let finished = self.run(folder, arguments)?;
            tries_made += 1;
            let words = String::from_utf8_lossy(&finished.stderr);
            let is_passing = PASSING_FAILURES.iter().any(|failure| words.contains(failure));
            let is_last = !is_passing || tries_made >= self.tries_max;
            if finished.status.success() || is_last || self.running.signal().is_some() {
                return Ok(finished);
            }
            std::thread::sleep(wait.min(self.retry_wait_max));
            wait *= 10;
        }
    }

    fn expect(&self, folder: &Path, remote: &str, arguments: &[&str]) -> Result<Finished> {
        let finished = self.run(folder, arguments)?;
        if finished.status.success() {
            return Ok(finished);
        }
        Err(failed(arguments, remote, &finished))
    }

    fn run(&self, folder: &Path, arguments: &[&str]) -> Result<Finished> {
        let mut command = Command::new(&self.program);
        command
            .current_dir(folder)
            .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never"])
            .args(["-c", "advice.detachedHead=false", "--no-replace-objects"])
            .args(arguments);
        for name in REPOSITORY_VARIABLES {
            command.env_remove(name);
        }
        let defaults = [
            ("GIT_TERMINAL_PROMPT", "0", false),
            ("GIT_ASKPASS", "echo", self.has_askpass),
            ("GIT_SSH_COMMAND", "ssh -oStrictHostKeyChecking=accept-new", self.has_ssh_command),
        ];
        for (name, value, has_own) in defaults {
            if !has_own && std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        // Its words are searched for some that npm knows.
        command.env("LC_ALL", "C");
        run(&mut command, WAIT_MAX, &self.running).map_err(|error| {
            let what = arguments.first().copied().unwrap_or_default();
            Error::new(Code::Git, format!("failed to run `git {what}`")).with_source(error)
        })
    }
}

/// Removes a clone, if there is one.
pub fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder, error))
        }
        _ => Ok(()),
    }
}

/// git's own last words, without the password of an address.
fn failed(arguments: &[&str], remote: &str, finished: &Finished) -> Error {
    let what = arguments.first().map(OsStr::new).unwrap_or_default().display();
    let told = String::from_utf8_lossy(&finished.stderr).replace(remote, "the repository");
    let words = shown(told.as_bytes());
    let message = format!("`git {what}` ended with {}: {words}", finished.status);
    Error::new(Code::Git, message)
}
