//! The rules of one folder, in the order in which they are heard: what npm always leaves out, then
//! `files` of package.json or an ignore file, then what npm always takes and never takes.

use std::fs;
use std::path::Path;

use super::refused;
use crate::error::Result;
use crate::glob::{Dialect, PATTERN_BYTES_MAX, Rule};
use crate::sources::manifest::PackManifest;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Default,
    Manifest,
    NpmIgnore,
    GitIgnore,
    Strict,
}

impl Kind {
    pub const ALL: [Kind; 5] =
        [Kind::Default, Kind::Manifest, Kind::NpmIgnore, Kind::GitIgnore, Kind::Strict];
}

#[derive(Debug)]
pub struct RuleSets {
    sets: [Option<Vec<Rule>>; 5],
    is_heard: [bool; 5],
}

/// An ignore file is read whole; the longest that people write have some hundred lines.
const IGNORE_FILE_BYTES_MAX: u64 = 1 << 20;

/// Space to JavaScript.
const BYTE_ORDER_MARK: char = '\u{feff}';

const DEFAULT: &str = "\
.npmignore\n.gitignore\n**/.git\n**/.svn\n**/.hg\n**/CVS\n**/.git/**\n**/.svn/**\n**/.hg/**\n\
**/CVS/**\n/.lock-wscript\n/.wafpickle-*\n/build/config.gypi\nnpm-debug.log\n**/.npmrc\n.*.swp\n\
.DS_Store\n**/.DS_Store/**\n._*\n**/._*/**\n*.orig\n/archived-packages/**\n";

/// Never packed, whatever the package says.
const NEVER: &str = "/.git";
const STRICT_OF_PACKAGE: [&str; 12] = [
    "!/package.json",
    "!/readme{,.*[^~$]}",
    "!/copying{,.*[^~$]}",
    "!/license{,.*[^~$]}",
    "!/licence{,.*[^~$]}",
    "/.git",
    "/node_modules",
    ".npmrc",
    "/package-lock.json",
    "/yarn.lock",
    "/pnpm-lock.yaml",
    "/bun.lockb",
];

impl RuleSets {
    /// Rules for a folder that listens to these kinds.
    pub fn new(kinds: &[Kind]) -> Result<Self> {
        let mut sets = Self { sets: Default::default(), is_heard: [false; 5] };
        for kind in kinds {
            sets.is_heard[*kind as usize] = true;
        }
        sets.set(Kind::Default, DEFAULT)?;
        Ok(sets)
    }

    pub fn in_order(&self) -> impl Iterator<Item = &Rule> {
        let heard = self.sets.iter().zip(self.is_heard).filter(|(_, is_heard)| *is_heard);
        heard.filter_map(|(set, _)| set.as_ref()).flatten()
    }

    /// Rules of a folder that is no package's: only what names a file of it one by one is strict.
    pub fn require(&mut self, files: &[String]) -> Result<()> {
        let lines: Vec<_> = files.iter().map(|file| format!("!{file}")).collect();
        self.set(Kind::Strict, &format!("{NEVER}\n{}", lines.join("\n")))
    }

    /// Rules of a package. Gives the files that `files` names one by one.
    pub fn add_manifest(&mut self, folder: &Path, manifest: &PackManifest) -> Result<Vec<String>> {
        let mut required = Vec::new();
        let mut strict = vec![NEVER.to_owned()];
        strict.extend(STRICT_OF_PACKAGE.map(str::to_owned));
        if let Some(files) = &manifest.files {
            let mut lines = vec!["*".to_owned()];
            for file in files {
                add_file_entry(folder, file, &mut lines, &mut strict, &mut required);
            }
            self.set(Kind::Manifest, &lines.join("\n"))?;
        }
        let always = manifest.browser.iter().chain(&manifest.main).chain(&manifest.bins);
        strict.extend(always.map(|file| format!("!/{file}")));
        self.set(Kind::Strict, &strict.join("\n"))?;
        Ok(required)
    }

    /// An ignore file. Through a symbolic link it is read only where that stays below `root`.
    pub fn add_file(&mut self, kind: Kind, path: &Path, root: &Path) -> Result<()> {
        let real = path.canonicalize().ok().filter(|real| real.starts_with(root));
        let Some(real) = real.filter(|real| real.is_file()) else { return Ok(()) };
        let failed = |error| crate::error::Error::io("read", path, error);
        if fs::metadata(&real).map_err(failed)?.len() > IGNORE_FILE_BYTES_MAX {
            return Err(refused(&format!("an ignore file has over {IGNORE_FILE_BYTES_MAX} bytes")));
        }
        let text = fs::read(&real).map_err(failed)?;
        self.set(kind, &String::from_utf8_lossy(&text))
    }

    /// `files` stands in the place of `.npmignore`, and that of `.gitignore`.
    pub fn settle(&mut self) {
        let has = |sets: &Self, kind: Kind| sets.sets[kind as usize].is_some();
        let has_manifest = has(self, Kind::Manifest);
        if has_manifest {
            self.sets[Kind::NpmIgnore as usize] = None;
        }
        if has_manifest || has(self, Kind::NpmIgnore) {
            self.sets[Kind::GitIgnore as usize] = None;
        }
    }

    fn set(&mut self, kind: Kind, text: &str) -> Result<()> {
        let is_space = |one: char| one.is_whitespace() || one == BYTE_ORDER_MARK;
        let lines = text.lines().map(|line| line.trim_matches(is_space));
        let is_rule = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let parse = |line: &str| {
            Rule::parse(line, Dialect::Ignore).ok_or_else(|| {
                refused(&format!("a pattern is longer than {PATTERN_BYTES_MAX} bytes"))
            })
        };
        let rules = lines.filter(is_rule).map(parse).collect::<Result<Vec<_>>>()?;
        self.sets[kind as usize] = Some(rules);
        Ok(())
    }
}

/// An element of `files`: a file is required, a folder stands for all below it, and what is not
/// there is a pattern.
fn add_file_entry(
    folder: &Path,
    file: &str,
    lines: &mut Vec<String>,
    strict: &mut Vec<String>,
    required: &mut Vec<String>,
) {
    let mut file = if file.starts_with("./") { &file[1..] } else { file }.to_owned();
    if file.ends_with("/*") {
        file.push('*');
    }
    let inverse = format!("!{file}");
    let path = file.trim_start_matches('!').trim_start_matches('/');
    let climbs = path.split('/').any(|part| part == "..") || path.contains('\0');
    let metadata = (!climbs).then(|| fs::symlink_metadata(folder.join(path)).ok()).flatten();
    match metadata.map(|metadata| metadata.file_type()) {
        Some(kind) if kind.is_file() => {
            strict.insert(0, inverse);
            required.push(file.strip_prefix('/').unwrap_or(&file).to_owned());
        }
        Some(kind) if kind.is_dir() => {
            lines.push(inverse.clone());
            lines.push(format!("{inverse}/**"));
        }
        // A link or the like is not wanted.
        Some(_) => {}
        None => lines.push(inverse),
    }
}
