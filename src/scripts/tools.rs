//! The programs that scripts count on: node, npm beside it, and node-gyp.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::platform::find_on_path;

/// What was found on this machine.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    pub node: Option<PathBuf>,
    pub npm: Option<Npm>,
    /// The program that node runs for `node-gyp`.
    pub node_gyp: Option<PathBuf>,
    /// A folder with a `node-gyp` command that runs it.
    pub node_gyp_folder: Option<PathBuf>,
}

/// npm as it is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Npm {
    pub directory: PathBuf,
    pub version: String,
}

impl Tools {
    /// `node_gyp` is what the settings say of it; `commands` is a folder of ours, in which a
    /// command is made where npm does not bring one.
    pub fn find(path: &str, node_gyp: Option<&str>, commands: &Path) -> Result<Self> {
        let node = find_on_path(path, "node");
        let npm = node.as_deref().and_then(npm_beside).or_else(|| npm_on_path(path));
        let bundled = |npm: &Npm| {
            let program = npm.directory.join("node_modules/node-gyp/bin/node-gyp.js");
            program.is_file().then_some(program)
        };
        let on_path = || find_on_path(path, "node-gyp").filter(|found| is_script(found));
        let node_gyp =
            node_gyp.map(PathBuf::from).or_else(|| npm.as_ref().and_then(bundled)).or_else(on_path);
        let node_gyp_folder = match (&node_gyp, &npm) {
            (None, _) => None,
            (Some(_), Some(npm)) if npm.commands().is_dir() => Some(npm.commands()),
            (Some(_), _) => Some(make_command(commands)?),
        };
        Ok(Self { node, npm, node_gyp, node_gyp_folder })
    }

    /// Whether a script that calls `node-gyp` finds one.
    pub fn has_node_gyp(&self, path: &str) -> bool {
        self.node_gyp.is_some() || find_on_path(path, "node-gyp").is_some()
    }
}

impl Npm {
    fn commands(&self) -> PathBuf {
        self.directory.join("node_modules/@npmcli/run-script/lib/node-gyp-bin")
    }

    /// What scripts call to run npm.
    pub fn program(&self) -> PathBuf {
        self.directory.join("bin/npm-cli.js")
    }

    fn at(directory: PathBuf) -> Option<Self> {
        let text = fs::read_to_string(directory.join("package.json")).ok()?;
        let manifest = Manifest::parse(&text, "package.json").ok()?;
        let version = manifest.version.get().filter(|_| manifest.name.get() == Some("npm"))?;
        let version = version.to_owned();
        Some(Self { directory, version })
    }
}

/// Where the distributions of node put it.
fn npm_beside(node: &Path) -> Option<Npm> {
    Npm::at(node.parent()?.parent()?.join("lib/node_modules/npm"))
}

/// `npm` on PATH is a link to npm's `bin/npm-cli.js`.
fn npm_on_path(path: &str) -> Option<Npm> {
    Npm::at(find_on_path(path, "npm")?.parent()?.parent()?.to_owned())
}

/// Whether node can run it: a wrapper in another language is found on PATH anyway.
fn is_script(program: &Path) -> bool {
    program.extension().is_some_and(|end| end == "js")
}

/// The command that npm has for it. Another run may be using it, so it is replaced whole.
fn make_command(folder: &Path) -> Result<PathBuf> {
    let command = folder.join("node-gyp");
    if fs::read_to_string(&command).is_ok_and(|text| text == COMMAND) {
        return Ok(folder.to_owned());
    }
    let aside = folder.join(format!("node-gyp.{}", std::process::id()));
    let made = (|| {
        fs::create_dir_all(folder)?;
        fs::write(&aside, COMMAND)?;
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755))?;
        fs::rename(&aside, &command)
    })();
    made.map_err(|error| Error::io("make", &command, error))?;
    Ok(folder.to_owned())
}

const COMMAND: &str = "#!/bin/sh\nexec node \"$npm_config_node_gyp\" \"$@\"\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn npm_and_its_node_gyp_are_found_beside_node() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let npm = root.join("lib/node_modules/npm");
        write(&root.join("bin/node"), "");
        write(&npm.join("package.json"), r#"{"name": "npm", "version": "11.0.0"}"#);
        write(&npm.join("node_modules/node-gyp/bin/node-gyp.js"), "");
        let path = root.join("bin").display().to_string();
        let commands = root.join("commands");
        let tools = Tools::find(&path, None, &commands).unwrap();
        assert_eq!(tools.npm.as_ref().map(|npm| npm.version.as_str()), Some("11.0.0"));
        let gyp = npm.join("node_modules/node-gyp/bin/node-gyp.js");
        assert_eq!(tools.node_gyp, Some(gyp));
        // npm brings no command here, so there is one of ours.
        assert_eq!(tools.node_gyp_folder, Some(commands.clone()));
        assert!(commands.join("node-gyp").is_file());
        let tools = Tools::find(&path, Some("/mine.js"), &commands).unwrap();
        assert_eq!(tools.node_gyp, Some(PathBuf::from("/mine.js")));
    }

    #[test]
    fn without_npm_there_may_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let commands = folder.path().join("commands");
        let tools = Tools::find(&path, None, &commands).unwrap();
        assert!(!tools.has_node_gyp(&path) && tools.node_gyp_folder.is_none());
        assert!(!commands.exists());
        write(&folder.path().join("node-gyp"), "");
        assert!(tools.has_node_gyp(&path));
    }
}
