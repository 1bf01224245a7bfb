//! The folders that each contender's projects are copied from: the project's own files, with its
//! lockfile turned into what the contender reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::contender::{Contender, Manager, Places};
use super::mirror::locked::Lock;
use crate::error::{Code, Error, Result};
use crate::registry::Registries;

/// What seeds are made of.
#[derive(Debug)]
pub struct Soil<'s> {
    pub project: &'s Path,
    pub lock: &'s Lock,
    pub registries: &'s Registries,
    pub registry: &'s str,
    pub authority: Option<&'s Path>,
    pub path: &'s str,
}

const LOCKFILE: &str = "package-lock.json";

impl Soil<'_> {
    /// Makes the folder `seed`, with a lockfile or without.
    pub fn seed(&self, contender: &Contender, seed: &Path, has_lockfile: bool) -> Result<()> {
        let folders: Vec<_> = self.lock.folders().filter(|folder| is_inside(folder)).collect();
        for folder in std::iter::once("").chain(folders.iter().copied()) {
            let (from, to) = (self.project.join(folder), seed.join(folder));
            fs::create_dir_all(&to).map_err(|error| Error::io("make directory", &to, error))?;
            copy(&from.join("package.json"), &to.join("package.json"))?;
        }
        if contender.manager == Manager::Pnpm && !folders.is_empty() {
            let lines: Vec<_> = folders.iter().map(|folder| format!("  - {folder:?}\n")).collect();
            let text = format!("packages:\n{}", lines.concat());
            write(&seed.join("pnpm-workspace.yaml"), &text)?;
        }
        write(&seed.join(".npmrc"), &self.npmrc()?)?;
        if has_lockfile {
            let text = self.lock.clone().with_addresses(self.registries, self.registry)?;
            write(&seed.join(LOCKFILE), &text)?;
            self.convert(contender, seed)?;
        }
        Ok(())
    }

    /// The project's own settings, but for where packages come from and with which credentials.
    fn npmrc(&self) -> Result<String> {
        let path = self.project.join(".npmrc");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let is_kept = |line: &&str| {
            let key = line.split('=').next().unwrap_or_default().trim();
            !matches!(key, "registry" | "cafile" | "ca" | "proxy" | "https-proxy")
                && !key.ends_with(":registry")
                && !key.starts_with("//")
        };
        let mut kept: Vec<String> = text.lines().filter(is_kept).map(str::to_owned).collect();
        kept.push(format!("registry={}", self.registry));
        kept.extend(self.authority.map(|path| format!("cafile={}", path.display())));
        Ok(kept.join("\n") + "\n")
    }

    fn convert(&self, contender: &Contender, seed: &Path) -> Result<()> {
        let Some(words) = contender.conversion() else { return Ok(()) };
        let state = seed.with_extension("state");
        let places = Places {
            registry: self.registry,
            authority: self.authority,
            state: &state,
            source: None,
        };
        let environment = contender.environment(&places, self.path);
        make_state(&state)?;
        let output = Command::new(&contender.program)
            .args(words)
            .current_dir(seed)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::io("run", &contender.program, error))?;
        let made = contender.lockfiles().iter().any(|name| seed.join(name).exists());
        if !output.status.success() || !made {
            let said = String::from_utf8_lossy(&output.stderr);
            let message = format!(
                "{} cannot read the lockfile: `{}` failed: {}",
                contender.label,
                words.join(" "),
                said.trim()
            );
            return Err(Error::new(Code::LockfileInvalid, message));
        }
        let lockfile = seed.join(LOCKFILE);
        fs::remove_file(&lockfile).map_err(|error| Error::io("remove", &lockfile, error))
    }
}

/// Makes the folders in which a contender keeps what it keeps.
pub fn make_state(state: &Path) -> Result<()> {
    let folders = ["home", "cache", "tmp", "xdg/cache", "xdg/config", "xdg/data", "xdg/state"];
    folders.iter().try_for_each(|folder| {
        let path = state.join(folder);
        fs::create_dir_all(&path).map_err(|error| Error::io("make directory", &path, error))
    })
}

/// Copies a folder with what is in it: contents alone, for the original may be read-only.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let (from, to) = (from.join(&folder), to.join(&folder));
        let failed = |error| Error::io("copy", &from, error);
        fs::create_dir_all(&to).map_err(failed)?;
        for entry in fs::read_dir(&from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(folder.join(entry.file_name()));
            } else {
                copy(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).map_err(|error| Error::io("read", from, error))?;
    fs::write(to, bytes).map_err(|error| Error::io("write", to, error))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::io("write", path, error))
}

/// A folder of the lockfile that is one of the project's.
fn is_inside(folder: &str) -> bool {
    !folder.starts_with('/') && folder.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_seed_has_the_project_s_files_and_the_bench_s_registry() {
        let temp = tempfile::tempdir().unwrap();
        let project = temp.path().join("project");
        fs::create_dir_all(project.join("packages/w")).unwrap();
        for folder in ["", "packages/w"] {
            write(&project.join(folder).join("package.json"), "{}").unwrap();
        }
        let npmrc = "engine-strict=true\n@s:registry=http://other.test\n//r.test/:_authToken=t\n\
            registry = http://r.test\nlegacy-peer-deps=true";
        write(&project.join(".npmrc"), npmrc).unwrap();
        let packages = json!({
            "": {}, "packages/w": {}, "../outside": {}, "node_modules/a": {"version": "1.0.0"},
        });
        let text = json!({"lockfileVersion": 3, "packages": packages}).to_string();
        let soil = Soil {
            project: &project,
            lock: &Lock::parse("package-lock.json", &text).unwrap(),
            registries: &Registries::default(),
            registry: "http://127.0.0.1:1/",
            authority: None,
            path: "",
        };
        let contender = Contender {
            label: "pnpm".to_owned(),
            manager: Manager::Pnpm,
            program: PathBuf::new(),
            options: Vec::new(),
            version: String::new(),
        };
        let seed = temp.path().join("seed");
        soil.seed(&contender, &seed, false).unwrap();
        let copy = temp.path().join("copy");
        copy_folder(&seed, &copy).unwrap();
        let read = |path: &str| fs::read_to_string(copy.join(path)).unwrap();
        let expected = "engine-strict=true\nlegacy-peer-deps=true\nregistry=http://127.0.0.1:1/\n";
        assert_eq!(read(".npmrc"), expected);
        assert_eq!(read("packages/w/package.json"), "{}");
        assert_eq!(read("pnpm-workspace.yaml"), "packages:\n  - \"packages/w\"\n");
        assert!(!copy.join(LOCKFILE).exists() && !temp.path().join("outside").exists());

        let ours = Contender { manager: Manager::Ringstall, ..contender };
        let seed = temp.path().join("ours");
        soil.seed(&ours, &seed, true).unwrap();
        let lock = fs::read_to_string(seed.join(LOCKFILE)).unwrap();
        assert!(lock.contains("http://127.0.0.1:1/a/-/a-1.0.0.tgz"), "{lock}");
    }

    #[test]
    fn a_lockfile_that_a_rival_cannot_read_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let project = temp.path().join("project");
        fs::create_dir_all(&project).unwrap();
        write(&project.join("package.json"), "{}").unwrap();
        let lock = Lock::parse("package-lock.json", r#"{"packages": {"": {}}}"#).unwrap();
        let soil = Soil {
            project: &project,
            lock: &lock,
            registries: &Registries::default(),
            registry: "http://127.0.0.1:1/",
            authority: None,
            path: "",
        };
        let bun = Contender {
            label: "bun".to_owned(),
            manager: Manager::Bun,
            program: "/bin/false".into(),
            options: Vec::new(),
            version: String::new(),
        };
        let error = soil.seed(&bun, &temp.path().join("seed"), true).unwrap_err();
        assert_eq!(error.code(), Code::LockfileInvalid);
    }
}
