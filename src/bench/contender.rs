//! Who takes part: how each package manager is found, called and kept to itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::phase::Phase;
use crate::error::{Code, Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manager {
    Ringstall,
    Bun,
    Utoo,
    Npm,
    Pnpm,
    /// No installer: the folders, hard links and bytes of a tree that is there, by plain calls.
    Floor,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its name in tables; no other has it.
    pub label: String,
    pub manager: Manager,
    pub program: PathBuf,
    /// Options of ours that make it what it is.
    pub options: Vec<String>,
    /// As it says itself.
    pub version: String,
}

/// Where things are in one run.
#[derive(Clone, Debug)]
pub struct Places<'p> {
    /// The registry's address, with its last slash.
    pub registry: &'p str,
    /// What the registry's certificate is to be checked with, in PEM.
    pub authority: Option<&'p Path>,
    /// Home, cache and the like: everything that is kept from one run to the next.
    pub state: &'p Path,
    /// The tree that the floor makes again, where there is one.
    pub source: Option<&'p Path>,
}

impl Manager {
    pub const RIVALS: [Self; 4] = [Self::Bun, Self::Utoo, Self::Npm, Self::Pnpm];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ringstall => "ringstall",
            Self::Bun => "bun",
            Self::Utoo => "utoo",
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Floor => "floor",
        }
    }

    pub fn rival(name: &str) -> Option<Self> {
        Self::RIVALS.into_iter().find(|manager| manager.name() == name)
    }

    /// Whether it puts packages where the lockfile says.
    pub fn follows_paths(self) -> bool {
        matches!(self, Self::Ringstall | Self::Npm)
    }

    fn phases(self) -> &'static [Phase] {
        match self {
            // It resolves nothing.
            Self::Ringstall => &[Phase::Cold, Phase::Warm, Phase::Unchanged],
            Self::Floor => &[Phase::Cold, Phase::Warm],
            _ => &Phase::ALL,
        }
    }
}

impl Contender {
    /// npm is there for scale and takes as long as all others together: one round is enough.
    pub fn takes_part(&self, phase: Phase, round: usize) -> bool {
        self.manager.phases().contains(&phase) && (self.manager != Manager::Npm || round == 0)
    }

    /// What is typed behind the program's name.
    pub fn arguments(&self, phase: Phase, places: &Places<'_>) -> Vec<OsString> {
        let (bare, resolve, locked): (&[_], &[_], &[_]) = match self.manager {
            // It resolves nothing.
            Manager::Ringstall => (&[], &[], &["ci", "--json", "--ignore-scripts"]),
            Manager::Bun => {
                (&["install"], &["install", "--lockfile-only"], &["install", "--frozen-lockfile"])
            }
            Manager::Utoo => {
                let install = &["install", "--ignore-scripts"];
                (install, &["deps"], install)
            }
            Manager::Npm => (&["install"], &["install", "--package-lock-only"], &["ci"]),
            Manager::Pnpm => (
                &["install", "--no-frozen-lockfile"],
                &["install", "--lockfile-only"],
                &["install", "--frozen-lockfile"],
            ),
            Manager::Floor => (&[], &[], &["bench", "floor"]),
        };
        let mut words: Vec<&str> = match phase {
            Phase::FullCold => bare,
            // `npm ci` begins with the removal of what is there.
            Phase::Unchanged if self.manager == Manager::Npm => bare,
            Phase::Resolve => resolve,
            Phase::Cold | Phase::Warm | Phase::Unchanged => locked,
        }
        .to_vec();
        let cache = match self.manager {
            Manager::Ringstall | Manager::Npm => Some("--cache"),
            Manager::Utoo => Some("--cache-dir"),
            Manager::Pnpm => Some("--store-dir"),
            Manager::Bun | Manager::Floor => None,
        };
        if (self.manager, phase) == (Manager::Ringstall, Phase::Unchanged) {
            words.push("--reuse");
        }
        words.extend(match self.manager {
            Manager::Bun => &["--ignore-scripts", "--no-progress"][..],
            Manager::Npm => &["--ignore-scripts", "--no-audit", "--no-fund"],
            Manager::Pnpm => &["--ignore-scripts"],
            Manager::Ringstall | Manager::Utoo | Manager::Floor => &[],
        });
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        words.extend(self.options.iter().map(OsString::from));
        if self.manager == Manager::Floor {
            words.extend(places.source.map(OsString::from));
            words.push("node_modules".into());
            if phase == Phase::Cold {
                words.extend(["--written".into(), places.state.join("cache/floor").into()]);
            }
            return words;
        }
        words.extend(["--registry".into(), places.registry.into()]);
        if let Some(option) = cache {
            words.extend([option.into(), places.state.join("cache").into()]);
        }
        words
    }

    /// All variables that it sees, and the folders that they name. Of the caller's environment only
    /// the search path gets through.
    pub fn environment(&self, places: &Places<'_>, path: &str) -> Vec<(&'static str, OsString)> {
        let state = places.state;
        let mut variables: Vec<(&'static str, OsString)> = vec![
            ("PATH", path.into()),
            ("LANG", "C.UTF-8".into()),
            ("DO_NOT_TRACK", "1".into()),
            ("HOME", state.join("home").into()),
            ("TMPDIR", state.join("tmp").into()),
            ("XDG_CACHE_HOME", state.join("xdg/cache").into()),
            ("XDG_CONFIG_HOME", state.join("xdg/config").into()),
            ("XDG_DATA_HOME", state.join("xdg/data").into()),
            ("XDG_STATE_HOME", state.join("xdg/state").into()),
        ];
        match self.manager {
            Manager::Bun => variables.extend([
                ("BUN_INSTALL", state.join("home/.bun").into()),
                ("BUN_INSTALL_CACHE_DIR", state.join("cache").into()),
            ]),
            // It would put itself into package.json.
            Manager::Utoo => variables.push(("UTOO_SELF_PIN", "0".into())),
            Manager::Npm => variables.push(("NPM_CONFIG_UPDATE_NOTIFIER", "false".into())),
            Manager::Pnpm => variables.extend([
                ("NPM_CONFIG_UPDATE_NOTIFIER", "false".into()),
                ("COREPACK_ENABLE_STRICT", "0".into()),
                ("NPM_CONFIG_MANAGE_PACKAGE_MANAGER_VERSIONS", "false".into()),
            ]),
            Manager::Ringstall | Manager::Floor => {}
        }
        if let Some(authority) = places.authority {
            let names = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "NPM_CONFIG_CAFILE"];
            variables.extend(names.map(|name| (name, authority.into())));
        }
        variables
    }

    /// How the lockfile is turned into its own, where it has one.
    pub fn conversion(&self) -> Option<&'static [&'static str]> {
        match self.manager {
            Manager::Bun => Some(&["pm", "migrate", "-f"]),
            Manager::Pnpm => Some(&["import"]),
            _ => None,
        }
    }

    /// The lockfiles that it may write, the usual one first.
    pub fn lockfiles(&self) -> &'static [&'static str] {
        match self.manager {
            Manager::Bun => &["bun.lock", "bun.lockb"],
            Manager::Pnpm => &["pnpm-lock.yaml"],
            _ => &["package-lock.json"],
        }
    }
}

/// Finds a program as a shell would.
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// What a program says of its version, asked in a home of its own.
pub fn version_of(label: &str, program: &Path, path: &str, home: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io("run", program, error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().next().unwrap_or_default().trim();
    if !output.status.success() || line.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        let message = format!("`{}` does not tell its version: {}", program.display(), said.trim());
        return Err(Error::new(Code::Usage, message)
            .with_hint(format!("name the program itself with `--against {label}=PATH`")));
    }
    let version = line.rsplit(' ').next().unwrap_or(line);
    Ok(version.trim_start_matches('v').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(manager: Manager) -> Contender {
        let (label, version) = (manager.name().to_owned(), String::new());
        Contender { label, manager, program: "x".into(), options: Vec::new(), version }
    }

    fn places() -> Places<'static> {
        Places {
            registry: "http://r.test/",
            authority: None,
            state: Path::new("/s"),
            source: Some(Path::new("/tree")),
        }
    }

    fn line(manager: Manager, phase: Phase) -> String {
        let words = contender(manager).arguments(phase, &places());
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn every_contender_installs_without_scripts_from_the_registry() {
        for manager in Manager::RIVALS.into_iter().chain([Manager::Ringstall]) {
            for phase in manager.phases().iter().copied() {
                let line = line(manager, phase);
                let is_utoo_deps = line.starts_with("deps");
                assert!(line.contains("--ignore-scripts") || is_utoo_deps, "{line}");
                assert!(line.contains("--registry http://r.test/"), "{line}");
            }
        }
        assert!(line(Manager::Ringstall, Phase::Unchanged).contains(" --reuse "));
        let floor = "bench floor /tree node_modules";
        assert_eq!(line(Manager::Floor, Phase::Warm), floor);
        let written = " --written /s/cache/floor";
        assert_eq!(line(Manager::Floor, Phase::Cold), format!("{floor}{written}"));
    }

    #[test]
    fn nothing_but_the_search_path_is_taken_from_outside() {
        for manager in Manager::RIVALS.into_iter().chain([Manager::Ringstall]) {
            let variables = contender(manager).environment(&places(), "/bin");
            let value = |wanted: &str| {
                let found = variables.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| value.to_str().unwrap())
            };
            assert_eq!((value("PATH"), value("HOME")), (Some("/bin"), Some("/s/home")));
        }
    }

    #[test]
    fn npm_takes_part_once_and_ours_only_with_a_lockfile() {
        let npm = contender(Manager::Npm);
        assert!(npm.takes_part(Phase::FullCold, 0) && !npm.takes_part(Phase::Cold, 1));
        let ours = contender(Manager::Ringstall);
        let phases: Vec<_> =
            Phase::ALL.into_iter().filter(|phase| ours.takes_part(*phase, 3)).collect();
        assert_eq!(phases, [Phase::Cold, Phase::Warm, Phase::Unchanged]);
    }

    #[test]
    fn a_program_that_says_no_version_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap();
        let sh = find_program("false", &path).unwrap();
        let error = version_of("bun", &sh, &path, temp.path()).unwrap_err();
        assert_eq!(error.code(), Code::Usage);
        assert!(error.hint().unwrap().contains("--against bun=PATH"));
        assert_eq!(find_program("no-such-program", &path), None);
    }
}
