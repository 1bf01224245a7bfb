//! A git repository in a project's temporary folder, beside what is copied for npm.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::project::Project;

pub struct Repository {
    path: PathBuf,
    home: PathBuf,
}

impl Repository {
    pub fn new(project: &Project, name: &str) -> Self {
        let path = project.temp().join("repositories").join(name);
        fs::create_dir_all(&path).unwrap();
        let repository = Self { path, home: project.temp().join("home") };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests read better without a `&`")]
    pub fn manifest(self, manifest: Value) -> Self {
        self.file("package.json", &manifest.to_string())
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        self.file_with_mode(path, 0o644, content)
    }

    pub fn file_with_mode(self, path: &str, mode: u32, content: &str) -> Self {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    /// Commits all there is, ignored or not, and gives the commit.
    pub fn commit(&self) -> String {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// The address of a commit as lockfiles have it.
    pub fn address(&self, commit: &str) -> String {
        format!("git+file://{}#{commit}", self.path.display())
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(&self.path).env("HOME", &self.home).env("GIT_CONFIG_NOSYSTEM", "1");
        command.args(["-c", "user.name=x", "-c", "user.email=x@x.test"]);
        command.args(["-c", "protocol.file.allow=always"]).args(arguments);
        let output = command.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {words}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
