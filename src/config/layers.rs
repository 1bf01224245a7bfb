//! The places a setting can come from, strongest first, and typed look-ups that say where a value
//! that cannot be understood was set. It knows the names of files, not of other settings.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::ini::{self, Entries, Entry};
use super::unfit;
use crate::error::{Code, Error, Result};

/// An `.npmrc` is written by hand, and one with a few certificates has some tens of KiB; more than
/// this is not one.
const NPMRC_BYTES_MAX: u64 = 1 << 20;

/// The origin of what variables set.
const ENVIRONMENT: &str = "the environment";

#[derive(Default)]
pub struct Layers {
    strongest_first: Vec<Layer>,
    home: Option<PathBuf>,
    project: PathBuf,
    /// One line for each file that was passed over.
    pub warnings: Vec<String>,
}

struct Layer {
    origin: String,
    entries: Entries,
    /// A file whose owner is expected to know how npm wants credentials written.
    is_checked: bool,
}

/// Whose a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Whoever may change the project.
    Project,
    /// Who runs the command, or looks after the machine.
    Person,
    Npm,
}

/// A value with the place where it was set.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    pub key: &'a str,
    pub value: &'a str,
    pub origin: &'a str,
}

impl Found<'_> {
    /// The value itself is not shown, because `${NPM_TOKEN}` may have been expanded into it.
    pub fn error(&self, problem: &str) -> Error {
        Error::new(Code::Config, format!("`{}` in {} {problem}", self.key, self.origin))
    }
}

impl Layers {
    /// Command line > environment > project > user > global > npm's own, each over the next.
    pub fn read(project: &Path, command_line: Entries, environment: &Environment) -> Result<Self> {
        let mut layers = Self {
            home: environment.home().map(Path::to_owned),
            project: project.to_owned(),
            ..Self::default()
        };
        layers.push("the command line", expanded(command_line, environment), false);
        layers.push(ENVIRONMENT, environment_entries(environment), false);

        let user_path = |layers: &Self| {
            layers.path("userconfig").or_else(|| environment.home().map(|home| home.join(".npmrc")))
        };
        let project_path = project.join(".npmrc");
        // A project in the home directory has one file for both; npm reads it as the user's.
        if user_path(&layers).as_ref() != Some(&project_path) {
            layers.push_file(&project_path, environment, Owner::Project)?;
        }
        if let Some(path) = user_path(&layers) {
            layers.push_file(&path, environment, Owner::Person)?;
        }
        // npm's own file is the weakest, but it may say where the global one is.
        let mut own = Self { project: layers.project.clone(), ..Self::default() };
        if let Some(folder) = environment.npm_folder() {
            own.push_file(&folder.join("npmrc"), environment, Owner::Npm)?;
        }
        let path = |key| layers.path(key).or_else(|| own.path(key));
        let global_path = path("globalconfig").or_else(|| {
            let prefix = path("prefix").or_else(|| environment.global_prefix())?;
            Some(npmrc_config_rs::global_config_path(&prefix))
        });
        if let Some(path) = global_path {
            layers.push_file(&path, environment, Owner::Person)?;
        }
        layers.strongest_first.extend(own.strongest_first);
        layers.warnings.extend(own.warnings);
        layers.refuse_unscoped_credentials()?;
        Ok(layers)
    }

    pub fn global_prefix(&self, environment: &Environment) -> Option<PathBuf> {
        self.path("prefix").or_else(|| environment.global_prefix())
    }

    pub fn global_path(&self, environment: &Environment) -> Option<PathBuf> {
        let beside = || self.global_prefix(environment);
        self.path("globalconfig").or_else(|| Some(npmrc_config_rs::global_config_path(&beside()?)))
    }

    /// The strongest value; npm's word for "not set" is `null`, which hides weaker ones.
    pub fn text<'a>(&'a self, key: &'a str) -> Option<Found<'a>> {
        let (entry, origin) = self.entry(key)?;
        let value = entry.values.last()?.trim();
        (value != "null").then_some(Found { key, value, origin })
    }

    /// The elements of the strongest list; weaker lists are not added to it.
    pub fn list<'a>(&'a self, key: &'a str) -> Option<Vec<Found<'a>>> {
        let (entry, origin) = self.entry(key)?;
        let found = entry
            .values
            .iter()
            // Several values come in one variable with an empty line between them.
            .flat_map(|value| value.split("\n\n"))
            .map(str::trim)
            .filter(|value| *value != "null")
            .map(|value| Found { key, value, origin });
        Some(found.collect())
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(found) = self.text(key) else { return Ok(None) };
        match found.value {
            // `key` and `key=` are yes, as `--key` is.
            "" | "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(found.error("is neither `true` nor `false`")),
        }
    }

    pub fn number(&self, key: &str) -> Result<Option<u64>> {
        let Some(found) = self.text(key) else { return Ok(None) };
        found.value.parse().map(Some).map_err(|_| found.error("is not a whole number"))
    }

    /// A path, with `~/` at its start replaced, seen from the project.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        let value = self.text(key)?.value;
        (!value.is_empty()).then(|| self.path_of(value))
    }

    /// A path in a key that npm does not know to hold one, seen from the project.
    pub fn path_of(&self, value: &str) -> PathBuf {
        match (value.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.project.join(value),
        }
    }

    /// Every key with the place where it is set, once for each place.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.strongest_first
            .iter()
            .flat_map(|layer| layer.entries.keys().map(|key| (key.as_str(), layer.origin.as_str())))
    }

    /// Every key that `matches`, with its strongest value.
    pub fn matching(&self, matches: impl Fn(&str) -> bool) -> Vec<Found<'_>> {
        let mut keys: Vec<&str> = self
            .strongest_first
            .iter()
            .flat_map(|layer| layer.entries.keys())
            .map(String::as_str)
            .filter(|key| matches(key))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().filter_map(|key| self.text(key)).collect()
    }

    /// Every key that is set somewhere, with its strongest entry and whether that is the
    /// environment's.
    pub fn strongest(&self) -> BTreeMap<&str, (&Entry, bool)> {
        let mut strongest = BTreeMap::new();
        for layer in self.strongest_first.iter().rev() {
            let is_environment = layer.origin == ENVIRONMENT;
            let entries = layer.entries.iter();
            strongest.extend(entries.map(|(key, entry)| (key.as_str(), (entry, is_environment))));
        }
        strongest
    }

    fn entry(&self, key: &str) -> Option<(&Entry, &str)> {
        self.strongest_first
            .iter()
            .find_map(|layer| layer.entries.get(key).map(|entry| (entry, layer.origin.as_str())))
    }

    fn push(&mut self, origin: impl Into<String>, entries: Entries, is_checked: bool) {
        self.strongest_first.push(Layer { origin: origin.into(), entries, is_checked });
    }

    fn refuse_unscoped_credentials(&self) -> Result<()> {
        let checked = self.strongest_first.iter().filter(|layer| layer.is_checked);
        let found: Vec<_> = checked
            .flat_map(|layer| {
                let origin = layer.origin.as_str();
                unfit::unscoped_credentials(&layer.entries).map(move |key| (key, origin))
            })
            .collect();
        unfit::refuse_unscoped(&found)
    }

    /// Adds a file below all layers so far; one that does not exist is no layer.
    fn push_file(&mut self, path: &Path, environment: &Environment, owner: Owner) -> Result<()> {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => return Ok(()),
            // In a container, another user's home is a common one to be given; npm goes on, too.
            Err(error) if is_forbidden(&error) && owner != Owner::Project => {
                self.warnings.push(format!("`{}` must not be read and is ignored", path.display()));
                return Ok(());
            }
            Err(error) => return Err(Error::io("read", path, error)),
        };
        let (origin, entries) = (format!("`{}`", path.display()), ini::parse(&text));
        if owner == Owner::Project {
            unfit::refuse_secrets_in_addresses(&entries, environment, &origin)?;
        }
        self.push(origin, expanded(entries, environment), owner != Owner::Npm);
        Ok(())
    }
}

fn environment_entries(environment: &Environment) -> Entries {
    let entries = environment.settings().map(|(key, value)| (key, Entry::one(value))).collect();
    expanded(entries, environment)
}

fn expanded(entries: Entries, environment: &Environment) -> Entries {
    let expand = |(key, mut entry): (String, Entry)| {
        for value in &mut entry.values {
            *value = environment.expand(value);
        }
        (environment.expand(&key), entry)
    };
    entries.into_iter().map(expand).collect()
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(NPMRC_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > NPMRC_BYTES_MAX {
        let problem = format!("larger than {NPMRC_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

/// A path through something that is no folder (`/dev/null/npmrc` is a common way to say "none"),
/// or to a folder, is as good as absent.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
