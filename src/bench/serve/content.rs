//! What a mirror's folder holds, ready to be sent.
//!
//! The layout is that of a registry's addresses:
//!
//! ```text
//! <name>/index.json       the packument, where it is kept in full
//! <name>/index.min.json   the abbreviated packument
//! <name>/-/<file>.tgz     the tarballs
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use node_semver::Version;
use serde_json::Value;

use crate::backend::machine;
use crate::error::{Error, Result};
use crate::specifier::parse_range;

pub const FULL_NAME: &str = "index.json";
pub const ABBREVIATED_NAME: &str = "index.min.json";
pub const TARBALLS: &str = "-";

#[derive(Debug)]
pub struct Content {
    tarballs: HashMap<String, Arc<Tarball>>,
    packuments: HashMap<String, Packument>,
    /// How many more files may stay open.
    open_left: AtomicU64,
}

#[derive(Debug)]
pub struct Tarball {
    path: PathBuf,
    pub length: u64,
    file: OnceLock<Arc<File>>,
}

#[derive(Debug, Default)]
struct Packument {
    full: Option<Document>,
    abbreviated: Option<Document>,
    /// Made when one of them is first asked for.
    versions: OnceLock<Versions>,
}

/// A packument's versions one by one, for who asks for them so.
#[derive(Debug, Default)]
struct Versions {
    tags: HashMap<String, String>,
    /// The highest first.
    manifests: Vec<(Version, String, Bytes)>,
}

/// A text as it is sent.
#[derive(Clone, Debug)]
pub struct Document {
    pub gzip: Bytes,
    pub etag: String,
}

/// What is to be had at a path.
#[derive(Debug)]
pub enum Found<'c> {
    Tarball(&'c Arc<Tarball>),
    Packument(&'c Document),
    /// One version's part of a packument.
    Version(Bytes),
}

impl Content {
    /// Reads a mirror. Tarball addresses in packuments are made to begin with `origin`, whatever
    /// they were written for; each tarball is read once, so that none is waited for later.
    pub fn load(directory: &Path, origin: &str) -> Result<Self> {
        let open_left = machine::open_files_max().map_or(u64::MAX, |most| most / 2);
        let mut content = Self {
            tarballs: HashMap::new(),
            packuments: HashMap::new(),
            open_left: AtomicU64::new(open_left),
        };
        for name in names(directory)? {
            content.add(directory, &name, origin)?;
        }
        Ok(content)
    }

    pub fn tarball_count(&self) -> usize {
        self.tarballs.len()
    }

    /// A package that is only talked about: utoo asks for its own newest version.
    pub fn add_version(&mut self, name: &str, version: &str, origin: &str) -> Result<()> {
        let base = name.rsplit('/').next().unwrap_or(name);
        let tarball = format!("{origin}{name}/-/{base}-{version}.tgz");
        let entry = serde_json::json!({
            "name": name, "version": version, "dist": {"tarball": tarball},
        });
        let packument = serde_json::json!({
            "name": name, "dist-tags": {"latest": version}, "versions": {version: entry},
        });
        let abbreviated = Some(Document::new(packument.to_string().as_bytes())?);
        let packument = self.packuments.entry(name.to_owned()).or_default();
        packument.abbreviated = packument.abbreviated.take().or(abbreviated);
        Ok(())
    }

    fn add(&mut self, directory: &Path, name: &str, origin: &str) -> Result<()> {
        let folder = directory.join(name);
        let document = |file: &str| -> Result<Option<Document>> {
            let path = folder.join(file);
            match fs::read(&path) {
                Ok(text) => Document::new(&with_origin(&text, name, origin)).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::io("read", &path, error)),
            }
        };
        let packument = Packument {
            full: document(FULL_NAME)?,
            abbreviated: document(ABBREVIATED_NAME)?,
            versions: OnceLock::new(),
        };
        if packument.full.is_some() || packument.abbreviated.is_some() {
            self.packuments.insert(name.to_owned(), packument);
        }
        for (file, path) in entries(&folder.join(TARBALLS))? {
            if path.extension().is_none_or(|extension| extension != "tgz") {
                continue;
            }
            let read = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
            let length = read.map_err(|error| Error::io("read", &path, error))?;
            let tarball = Tarball { path, length, file: OnceLock::new() };
            self.tarballs.insert(format!("{name}/{TARBALLS}/{file}"), Arc::new(tarball));
        }
        Ok(())
    }

    pub fn find(&self, path: &str, wants_abbreviated: bool) -> Option<Found<'_>> {
        if is_tarball(path) {
            return self.tarballs.get(path).map(Found::Tarball);
        }
        if let Some(packument) = self.packuments.get(path) {
            return packument.document(wants_abbreviated).map(Found::Packument);
        }
        let (name, wanted) = split_version(path)?;
        let packument = self.packuments.get(name)?;
        let versions = packument.versions.get_or_init(|| {
            packument.document(true).map_or_else(Versions::default, Versions::read)
        });
        versions.find(wanted).map(Found::Version)
    }

    /// The open file of a tarball: kept open while there are few enough.
    pub fn open(&self, tarball: &Tarball) -> io::Result<Arc<File>> {
        if let Some(file) = tarball.file.get() {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(&tarball.path)?);
        let take = |left: u64| left.checked_sub(1);
        if self.open_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            // Another may have been faster, which is as good.
            let _ = tarball.file.set(file.clone());
        }
        Ok(file)
    }
}

impl Packument {
    fn document(&self, wants_abbreviated: bool) -> Option<&Document> {
        let Self { full, abbreviated, .. } = self;
        let (first, second) =
            if wants_abbreviated { (abbreviated, full) } else { (full, abbreviated) };
        first.as_ref().or(second.as_ref())
    }
}

impl Document {
    fn new(text: &[u8]) -> Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let gzip = encoder.write_all(text).and_then(|()| encoder.finish());
        let gzip = gzip.map_err(|error| Error::io("compress", "a packument", error))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &gzip);
        let digits = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}"));
        Ok(Self { etag: format!("\"{}\"", digits.collect::<String>()), gzip: gzip.into() })
    }

    /// The text itself, for a client that cannot inflate.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // What was compressed here inflates.
        let _ = GzDecoder::new(&*self.gzip).read_to_end(&mut text);
        text
    }
}

pub fn is_tarball(path: &str) -> bool {
    path.contains("/-/")
}

/// A path such as `a/^1.0.0` or `@s/a/latest`: a range may hold slashes only in its build metadata,
/// which nobody asks for.
fn split_version(path: &str) -> Option<(&str, &str)> {
    let scope = if path.starts_with('@') { path.find('/')? + 1 } else { 0 };
    let slash = scope + path[scope..].find('/')?;
    Some((&path[..slash], &path[slash + 1..]))
}

impl Versions {
    fn read(document: &Document) -> Self {
        let packument: Value = serde_json::from_slice(&document.text()).unwrap_or_default();
        let tags = packument["dist-tags"].as_object().into_iter().flatten();
        let tag =
            |(tag, version): (&String, &Value)| Some((tag.clone(), version.as_str()?.to_owned()));
        let versions = packument["versions"].as_object().into_iter().flatten();
        let manifest = |(text, manifest): (&String, &Value)| {
            let version = Version::parse(text).ok()?;
            Some((version, text.clone(), manifest.to_string().into()))
        };
        let mut manifests: Vec<_> = versions.filter_map(manifest).collect();
        manifests.sort_by(|first, second| second.0.cmp(&first.0));
        Self { tags: tags.filter_map(tag).collect(), manifests }
    }

    /// What a tag, a version or a range means.
    fn find(&self, wanted: &str) -> Option<Bytes> {
        let wanted = self.tags.get(wanted).map_or(wanted, String::as_str);
        let exact = self.manifests.iter().find(|(_, text, _)| text == wanted);
        let fitting = || {
            let range = parse_range(wanted)?;
            self.manifests.iter().find(|(version, ..)| range.satisfies(version))
        };
        exact.or_else(fitting).map(|(_, _, manifest)| manifest.clone())
    }
}

/// The packument's text with tarball addresses that begin with `origin`.
fn with_origin(text: &[u8], name: &str, origin: &str) -> Vec<u8> {
    const KEY: &[u8] = b"\"tarball\":";
    let path = format!("{name}/-/");
    let mut changed = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = find(rest, KEY) {
        let (before, after) = rest.split_at(found + KEY.len());
        changed.extend_from_slice(before);
        let quote = after.iter().position(|byte| *byte == b'"').map_or(0, |at| at + 1);
        changed.extend_from_slice(&after[..quote]);
        rest = &after[quote..];
        let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
        if let Some(start) = find(&rest[..end], path.as_bytes()) {
            changed.extend_from_slice(origin.as_bytes());
            rest = &rest[start..];
        }
    }
    changed.extend_from_slice(rest);
    changed
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The packages of a mirror; scopes are folders of packages.
fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, path) in entries(directory)? {
        if name.starts_with('.') {
            continue;
        }
        if name.starts_with('@') {
            names.extend(entries(&path)?.into_iter().map(|(base, _)| format!("{name}/{base}")));
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

/// Names and paths in a folder, sorted; nothing where there is none.
fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |error| Error::io("read directory", directory, error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        found.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path())));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ORIGIN: &str = "http://127.0.0.1:1/";

    fn mirror() -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/-/a-1.0.0.tgz", "tarball");
        write("a/-/a-2.0.0.tgz.part", "half of one");
        let versions = json!({"1.0.0": {"v": 1}, "1.2.0": {"v": 2}, "2.0.0-b": {"v": 3}});
        let packument = json!({"dist-tags": {"latest": "1.2.0"}, "versions": versions});
        write("a/index.min.json", &packument.to_string());
        write("@s/b/index.json", r#"{"x": {"tarball": "http://old.test/r/@s/b/-/b-1.tgz"}}"#);
        write(".serve/access.log", "");
        temp
    }

    fn text(found: Option<Found<'_>>) -> String {
        match found {
            Some(Found::Packument(document)) => String::from_utf8(document.text()).unwrap(),
            Some(Found::Version(text)) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{other:?} is no text"),
        }
    }

    #[test]
    fn tarballs_and_packuments_are_found_by_their_paths() {
        let mirror = mirror();
        let content = Content::load(mirror.path(), ORIGIN).unwrap();
        let Some(Found::Tarball(tarball)) = content.find("a/-/a-1.0.0.tgz", false) else {
            panic!("it is there")
        };
        assert_eq!(tarball.length, 7);
        let mut read = String::new();
        (&*content.open(tarball).unwrap()).read_to_string(&mut read).unwrap();
        assert_eq!(read, "tarball");
        assert!(text(content.find("a", true)).contains("dist-tags"));
        for path in ["", "b", "a/-/a-2.0.0.tgz.part", ".serve/access.log", "../a", "a/-/../x"] {
            assert!(content.find(path, true).is_none(), "{path}");
        }
    }

    #[test]
    fn addresses_of_tarballs_are_those_of_the_server() {
        let mirror = mirror();
        let content = Content::load(mirror.path(), ORIGIN).unwrap();
        let expected = r#"{"x": {"tarball": "http://127.0.0.1:1/@s/b/-/b-1.tgz"}}"#;
        assert_eq!(text(content.find("@s/b", true)), expected);
    }

    #[test]
    fn a_version_is_found_by_number_tag_and_range() {
        let mirror = mirror();
        let content = Content::load(mirror.path(), ORIGIN).unwrap();
        for (wanted, expected) in
            [("1.0.0", 1), ("latest", 2), ("^1", 2), (">= 1 < 1.2", 1), ("~1.0.0", 1)]
        {
            let found = text(content.find(&format!("a/{wanted}"), true));
            assert_eq!(found, format!("{{\"v\":{expected}}}"), "{wanted}");
        }
        assert!(content.find("a/^3", true).is_none());
    }

    #[test]
    fn a_package_can_be_there_by_name_alone() {
        let mirror = mirror();
        let mut content = Content::load(mirror.path(), ORIGIN).unwrap();
        content.add_version("tool", "1.1.9", ORIGIN).unwrap();
        for wanted in ["tool/latest", "tool/^1"] {
            assert!(text(content.find(wanted, true)).contains("\"1.1.9\""), "{wanted}");
        }
    }

    #[test]
    fn files_are_kept_open_up_to_a_limit() {
        let mirror = mirror();
        let mut content = Content::load(mirror.path(), ORIGIN).unwrap();
        content.open_left = AtomicU64::new(0);
        let tarball = content.tarballs["a/-/a-1.0.0.tgz"].clone();
        content.open(&tarball).unwrap();
        assert!(tarball.file.get().is_none());
        content.open_left = AtomicU64::new(1);
        content.open(&tarball).unwrap();
        assert!(tarball.file.get().is_some());
    }
}
