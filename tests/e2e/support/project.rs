//! A project in a temporary folder: package.json, lockfile, workspaces and settings, and the
//! commands that run on it.
//!
//! The folder holds `ours/project` (copied whole to `npm` for comparisons), and a home directory
//! and caches of its own; nothing else on the machine is read or written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use npmrc_config_rs::registry::DEFAULT_REGISTRY;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::RINGSTALL;
use super::engine::{self, Engines};
use super::outcome::Outcome;
use super::package::Package;
use super::registry::Registry;
use super::tree::Tree;

pub struct Project {
    temp: TempDir,
    registry: String,
    has_registry_option: bool,
    manifest: Map<String, Value>,
    packages: Map<String, Value>,
    resolved: Resolved,
    environment: Vec<(String, String)>,
    cache: PathBuf,
    kept: Vec<Registry>,
}

/// What lock entries say of where a tarball is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// At the registry that is used.
    Present,
    Absent,
    /// At the default registry, which means the one that is used.
    DefaultHost,
}

impl Project {
    pub fn new(registry: &Registry) -> Self {
        engine::forced();
        Self::on_any_engine(registry)
    }

    /// A project before it is known whether this target's engines can be had.
    pub fn on_any_engine(registry: &Registry) -> Self {
        let temp = TempDir::with_prefix("ringstall-e2e-").unwrap();
        for folder in ["ours/project", "home"] {
            fs::create_dir_all(temp.path().join(folder)).unwrap();
        }
        let manifest = json!({"name": "project", "version": "1.0.0"});
        let project = Self {
            cache: temp.path().join("cache"),
            temp,
            registry: registry.url(),
            has_registry_option: true,
            manifest: manifest.as_object().unwrap().clone(),
            packages: Map::new(),
            resolved: Resolved::Present,
            environment: Vec::new(),
            kept: Vec::new(),
        };
        project.write()
    }

    /// How entries that are added from now on say where their tarballs are.
    pub fn resolved(mut self, resolved: Resolved) -> Self {
        self.resolved = resolved;
        self
    }

    /// Sets a field of package.json, which the lockfile's root entry repeats.
    pub fn field(mut self, key: &str, value: Value) -> Self {
        self.manifest.insert(key.to_owned(), value);
        self.write()
    }

    /// `kind` is the field of package.json.
    pub fn wants(mut self, kind: &str, name: &str, specifier: &str) -> Self {
        let pairs = self.manifest.entry(kind).or_insert_with(|| json!({}));
        pairs[name] = json!(specifier);
        self.write()
    }

    /// A dependency of the root, installed at the root.
    pub fn with(self, package: &Package) -> Self {
        self.with_kind("dependencies", package, json!({}))
    }

    pub fn with_dev(self, package: &Package) -> Self {
        self.with_kind("devDependencies", package, json!({"dev": true}))
    }

    pub fn with_optional(self, package: &Package) -> Self {
        self.with_kind("optionalDependencies", package, json!({"optional": true}))
    }

    fn with_kind(self, kind: &str, package: &Package, flags: Value) -> Self {
        let path = format!("node_modules/{}", package.name);
        self.wants(kind, &package.name, &package.version).at(&path, package).entry(&path, flags)
    }

    /// A lock entry: the package is installed at `path`.
    pub fn at(mut self, path: &str, package: &Package) -> Self {
        let mut entry = package.lock_entry(path);
        let base = match self.resolved {
            Resolved::Present => Some(self.registry.as_str()),
            Resolved::Absent => None,
            Resolved::DefaultHost => Some(DEFAULT_REGISTRY),
        };
        if let Some(base) = base {
            entry.insert("resolved".to_owned(), json!(format!("{base}{}", package.tarball_path())));
        }
        self.packages.insert(path.to_owned(), entry.into());
        self.write()
    }

    /// Sets fields of a lock entry; `null` removes one.
    #[expect(clippy::needless_pass_by_value, reason = "tests read better without a `&`")]
    pub fn entry(mut self, path: &str, fields: Value) -> Self {
        let entry = self.packages.entry(path).or_insert_with(|| json!({}));
        let entry = entry.as_object_mut().unwrap();
        for (key, value) in fields.as_object().unwrap().clone() {
            match value {
                Value::Null => entry.remove(&key),
                value => entry.insert(key, value),
            };
        }
        self.write()
    }

    /// A folder with a package.json, and its lock entry.
    pub fn folder(self, path: &str, manifest: &Package) -> Self {
        let text = Value::from(manifest.normal_manifest()).to_string();
        let mut entry = manifest.lock_entry("");
        entry.remove("integrity");
        let project = self.file(&format!("{path}/package.json"), &text);
        project.entry(path, entry.into())
    }

    /// A folder, linked by its name from the root's `node_modules`.
    pub fn linked(self, path: &str, manifest: &Package) -> Self {
        let at = format!("node_modules/{}", manifest.name);
        self.folder(path, manifest).entry(&at, json!({"resolved": path, "link": true}))
    }

    pub fn workspace(mut self, path: &str, manifest: &Package) -> Self {
        let patterns = self.manifest.entry("workspaces").or_insert_with(|| json!([]));
        patterns.as_array_mut().unwrap().push(json!(path));
        self.linked(path, manifest)
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        self.file_with_mode(path, 0o644, content)
    }

    pub fn file_with_mode(self, path: &str, mode: u32, content: &str) -> Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn npmrc(self, text: &str) -> Self {
        self.file(".npmrc", text)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the registry live as long as the project, for tests that do not look at it.
    pub fn keeping(mut self, registry: Registry) -> Self {
        self.kept.push(registry);
        self
    }

    /// Uses another cache than its own.
    pub fn with_cache(mut self, cache: PathBuf) -> Self {
        self.cache = cache;
        self
    }

    /// Leaves the registry to the settings.
    pub fn without_registry_option(mut self) -> Self {
        self.has_registry_option = false;
        self
    }

    fn write(self) -> Self {
        let manifest = Value::from(self.manifest.clone());
        let lock = self.lockfile();
        self.file("package.json", &manifest.to_string())
            .file("package-lock.json", &format!("{lock:#}\n"))
    }

    /// The lockfile as a value, for tests that write it differently.
    pub fn lockfile(&self) -> Value {
        let mut packages = self.packages.clone();
        packages.insert(String::new(), self.manifest.clone().into());
        json!({
            "name": self.manifest.get("name"),
            "version": self.manifest.get("version"),
            "lockfileVersion": 3,
            "requires": true,
            "packages": packages,
        })
    }

    pub fn temp(&self) -> &Path {
        self.temp.path()
    }

    pub fn path(&self) -> PathBuf {
        self.temp().join("ours/project")
    }

    pub fn cache(&self) -> PathBuf {
        self.cache.clone()
    }

    /// What lies in the root's `node_modules`.
    pub fn installed(&self) -> Tree {
        Tree::read(&self.path().join("node_modules"))
    }

    /// The project's folder and what lies beside it.
    pub fn whole_tree(&self) -> Tree {
        Tree::read(&self.temp().join("ours"))
    }

    pub fn hidden_lock(&self) -> Value {
        let path = self.path().join("node_modules/.package-lock.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// `ringstall ci` on the project, to its end.
    pub fn ci(&self, arguments: &[&str]) -> Outcome {
        self.run(self.ci_command(arguments))
    }

    /// The same, under another umask than the usual one.
    pub fn ci_with_umask(&self, umask: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.command(Path::new(RINGSTALL), umask);
        self.add_ci_arguments(&mut command, arguments);
        self.run(command)
    }

    /// Any command line of ringstall.
    pub fn ringstall(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(Path::new(RINGSTALL), "022");
        command.args(arguments);
        self.run(command)
    }

    pub fn ci_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(Path::new(RINGSTALL), "022");
        self.add_ci_arguments(&mut command, arguments);
        command
    }

    /// `ringstall ci` from a folder of the project, which it has to find by itself.
    pub fn ci_from(&self, folder: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.command(Path::new(RINGSTALL), "022");
        command.current_dir(self.path().join(folder)).arg("ci").arg("--cache").arg(self.cache());
        command.args(self.registry_arguments()).args(arguments);
        self.run(command)
    }

    /// Starts `ringstall ci` and does not wait for it.
    pub fn start_ci(&self, arguments: &[&str]) -> Child {
        let mut command = self.ci_command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    pub fn add_ci_arguments(&self, command: &mut Command, arguments: &[&str]) {
        command.args(["ci", "-C"]).arg(self.path()).arg("--cache").arg(self.cache());
        command.args(self.registry_arguments()).args(arguments);
    }

    pub fn registry_arguments(&self) -> Vec<String> {
        if !self.has_registry_option {
            return Vec::new();
        }
        vec!["--registry".to_owned(), self.registry.clone()]
    }

    /// A program with nothing of our own environment but PATH, on this target's engines.
    pub fn command(&self, program: &Path, umask: &str) -> Command {
        self.command_on(engine::forced(), program, umask)
    }

    /// The umask is set by a shell, for it belongs to the whole process.
    pub fn command_on(&self, engines: Option<Engines>, program: &Path, umask: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask} && exec \"$0\" \"$@\"")]).arg(program);
        command.env_clear().current_dir(self.temp());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.env("HOME", self.temp().join("home"));
        command.env("XDG_CACHE_HOME", self.temp().join("home/cache"));
        command.env("XDG_CONFIG_HOME", self.temp().join("home/config"));
        command.env("npm_config_update_notifier", "false");
        // What a slow machine makes wait is no part of what a test expects on stderr.
        command.env("RINGSTALL_NOTICE_AFTER", "600");
        // The machine's own settings are no part of a test.
        command.env("npm_config_globalconfig", self.temp().join("home/global-npmrc"));
        command.envs(engines.into_iter().flatten());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, command: Command) -> Outcome {
        let output = assert_cmd::Command::from_std(command).timeout(DEADLINE).output().unwrap();
        self.outcome(&output)
    }

    pub fn outcome(&self, output: &std::process::Output) -> Outcome {
        let temp = self.temp().to_string_lossy();
        let names = [
            (format!("{temp}/ours/project"), "[PROJECT]"),
            (format!("{temp}/cache"), "[CACHE]"),
            (temp.into_owned(), "[TEMP]"),
            (self.registry.clone(), "[REGISTRY]/"),
        ];
        Outcome::new(output, &names)
    }
}

/// Longer than anything that works takes, on any machine.
const DEADLINE: Duration = Duration::from_secs(120);
