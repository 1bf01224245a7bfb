//! What an install leaves in the cache for the next one in the same project: what was asked for,
//! and how each thing that was installed looked when all was done.
//!
//! It lies beside the packages, under a name made of the project's path, and not in the project:
//! there it would be a difference from npm's tree. It goes with `ringstall cache clean`, and with
//! it goes all that is known of the project.
//!
//! ```text
//! "rsreuse" and the version of ringstall, crc32 of all that follows
//! device and inode of the project's folder
//! what was asked for (32 bytes), or zeros; tallies; whether scripts ran;
//! warnings; folders that links lead to;
//! packages with scripts
//! units: path, fingerprint (32 bytes), row of looks
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ring::digest;

use super::bytes::{Reader, put_bytes, put_u32, put_u64};

/// SHA-256 of something that is compared as a whole.
pub type Digest = [u8; 32];

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// All that decides what is installed; `None` where that cannot be told without a plan.
    pub asked: Option<Digest>,
    pub tallies: Tallies,
    pub has_run_scripts: bool,
    pub warnings: Vec<String>,
    /// The folders whose package.json is among what was asked.
    pub link_targets: Vec<String>,
    /// Packages whose tarball has scripts or a `binding.gyp`, sorted.
    pub built: Vec<String>,
    pub units: Vec<Unit>,
}

/// For the summary of a run that finds all as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    pub packages: u64,
    pub with_scripts: u64,
    pub funding: u64,
}

/// Something that is kept or replaced as a whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    /// Relative to the project.
    pub path: String,
    /// What was put there; zeros for what every run makes anew.
    pub fingerprint: Digest,
    pub row: Vec<u8>,
}

/// Where the record of a project is.
#[derive(Debug)]
pub struct Place {
    file: PathBuf,
    /// Device and inode of the project's folder.
    identity: (u64, u64),
}

impl Place {
    /// `cache` is the part of the cache for one umask.
    pub fn new(cache: &Path, project: &Path) -> io::Result<Self> {
        use std::os::unix::ffi::OsStrExt as _;
        let digest = digest::digest(&digest::SHA256, project.as_os_str().as_bytes());
        let name: String = digest.as_ref().iter().fold(String::new(), |mut name, byte| {
            use std::fmt::Write as _;
            let _ = write!(name, "{byte:02x}");
            name
        });
        let metadata = project.metadata()?;
        let file = cache.join(FOLDER).join(name);
        Ok(Self { file, identity: (metadata.dev(), metadata.ino()) })
    }

    /// `None` where there is none that can be used; why does not matter.
    pub fn read(&self) -> Option<Record> {
        let file = File::open(&self.file).ok()?;
        let size = file.metadata().ok()?.len();
        if size > RECORD_BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).ok()?);
        file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Record::parse(&bytes, self.identity)
    }

    /// Also where there is none.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// By rename, so that no other run reads half of it.
    pub fn write(&self, record: &Record) -> io::Result<()> {
        let bytes = record.to_bytes(self.identity).ok_or(io::ErrorKind::FileTooLarge)?;
        let folder = self.file.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let aside = self.file.with_extension(std::process::id().to_string());
        let written = File::create(&aside)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&aside, &self.file));
        if written.is_err() {
            // The error that counts is the first one.
            let _ = fs::remove_file(&aside);
        }
        written
    }
}

impl Record {
    fn to_bytes(&self, identity: (u64, u64)) -> Option<Vec<u8>> {
        let mut buffer = head();
        let sum = buffer.len();
        put_u32(&mut buffer, 0);
        put_u64(&mut buffer, identity.0);
        put_u64(&mut buffer, identity.1);
        buffer.extend_from_slice(&self.asked.unwrap_or_default());
        let Tallies { packages, with_scripts, funding } = self.tallies;
        for tally in [packages, with_scripts, funding] {
            put_u64(&mut buffer, tally);
        }
        put_u32(&mut buffer, u32::from(self.has_run_scripts));
        for texts in [&self.warnings, &self.link_targets, &self.built] {
            put_u32(&mut buffer, u32::try_from(texts.len()).ok()?);
            for text in texts {
                put_bytes(&mut buffer, text.as_bytes())?;
            }
        }
        for unit in &self.units {
            put_bytes(&mut buffer, unit.path.as_bytes())?;
            buffer.extend_from_slice(&unit.fingerprint);
            put_bytes(&mut buffer, &unit.row)?;
        }
        let crc = libdeflater::crc32(&buffer[sum + 4..]);
        buffer[sum..sum + 4].copy_from_slice(&crc.to_le_bytes());
        (buffer.len() as u64 <= RECORD_BYTES_MAX).then_some(buffer)
    }

    fn parse(bytes: &[u8], identity: (u64, u64)) -> Option<Self> {
        let mut reader = Reader::new(bytes.strip_prefix(head().as_slice())?);
        let crc = reader.u32()?;
        if libdeflater::crc32(&bytes[head().len() + 4..]) != crc {
            return None;
        }
        if (reader.u64()?, reader.u64()?) != identity {
            return None;
        }
        let asked: Digest = reader.array()?;
        let mut tally = || reader.u64();
        let tallies = Tallies { packages: tally()?, with_scripts: tally()?, funding: tally()? };
        let has_run_scripts = reader.u32()? != 0;
        let mut texts = || -> Option<Vec<String>> {
            let count = reader.u32()?;
            (0..count).map(|_| reader.text()).collect()
        };
        let (warnings, link_targets, built) = (texts()?, texts()?, texts()?);
        let mut units = Vec::new();
        while !reader.is_at_end() {
            units.push(Unit {
                path: reader.text()?,
                fingerprint: reader.array()?,
                row: reader.bytes()?.to_vec(),
            });
        }
        let asked = Some(asked).filter(|asked| *asked != Digest::default());
        Some(Self { asked, tallies, has_run_scripts, warnings, link_targets, built, units })
    }
}

/// Another version may lay out other trees, so it does not read this one's.
fn head() -> Vec<u8> {
    format!("rsreuse {}\n", env!("CARGO_PKG_VERSION")).into_bytes()
}

/// In the cache, beside the packages.
const FOLDER: &str = "projects";
/// A hundred times that of a project with 140,000 files.
const RECORD_BYTES_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let unit = |path: &str, byte| Unit {
            path: path.to_owned(),
            fingerprint: [byte; 32],
            row: vec![byte; usize::from(byte)],
        };
        Record {
            asked: Some([7; 32]),
            tallies: Tallies { packages: 1, with_scripts: 4, funding: 2 },
            has_run_scripts: true,
            warnings: vec!["w".to_owned()],
            link_targets: vec!["a".to_owned(), "../b".to_owned()],
            built: vec!["node_modules/a".to_owned()],
            units: vec![unit("node_modules/a", 1), unit("node_modules", 0)],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("cache"), folder.path()).unwrap();
        assert_eq!(place.read(), None);
        place.write(&record()).unwrap();
        assert_eq!(place.read(), Some(record()));
        place.remove().unwrap();
        place.remove().unwrap();
        assert_eq!(place.read(), None);
    }

    #[test]
    fn a_project_in_another_folder_has_another_record() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::create_dir(&one).unwrap();
        Place::new(folder.path(), &one).unwrap().write(&record()).unwrap();
        fs::rename(&one, &two).unwrap();
        assert_eq!(Place::new(folder.path(), &two).unwrap().read(), None);
        // The folder that is made in its place is not the one that was installed in.
        fs::create_dir(&one).unwrap();
        assert_eq!(Place::new(folder.path(), &one).unwrap().read(), None);
    }

    #[test]
    fn a_truncated_or_altered_record_is_none() {
        let good = record().to_bytes((1, 2)).unwrap();
        assert_eq!(Record::parse(&good, (1, 2)), Some(record()));
        assert_eq!(Record::parse(&good, (1, 3)), None);
        for length in 0..good.len() {
            assert_eq!(Record::parse(&good[..length], (1, 2)), None);
            let mut altered = good.clone();
            altered[length] ^= 1;
            assert_eq!(Record::parse(&altered, (1, 2)), None);
        }
    }
}
