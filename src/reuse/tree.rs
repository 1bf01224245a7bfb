//! A folder with all that lies in it, as a row of looks.
//!
//! ```text
//! name, look; for a folder: what is in it, then an empty name
//! ```
//!
//! Symbolic links in a folder are not in the row: one cannot be changed without the folder.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::bytes::{Reader, put_bytes};
use super::look::{Look, Time, Verdict};

/// How closely a tree is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every folder: what came, went, or was replaced.
    Folders,
    /// Every file as well: what was written or has another mode.
    Files,
}

/// What was seen, and the latest time of all of it.
#[derive(Debug, Default)]
pub struct Seen {
    pub row: Vec<u8>,
    pub latest: Time,
}

/// Folders in folders: paths end at 4096 bytes.
const FOLDERS_MAX: usize = 2048;

/// Looks at a path, and for a folder at all that lies in it.
pub fn survey(project: &Path, base: impl AsFd, path: &[u8]) -> io::Result<Seen> {
    let mut survey = Survey { project, base, path: path.to_vec(), seen: Seen::default() };
    survey.visit(path, 0)?;
    Ok(survey.seen)
}

/// Looks at a path alone.
pub fn glance(base: impl AsFd, path: &[u8]) -> io::Result<Seen> {
    let mut survey =
        Survey { project: Path::new(""), base, path: path.to_vec(), seen: Seen::default() };
    let look = survey.look(path)?;
    if matches!(look, Look::Directory(_)) {
        survey.put(b"")?;
    }
    Ok(survey.seen)
}

struct Survey<'s, F> {
    project: &'s Path,
    base: F,
    path: Vec<u8>,
    seen: Seen,
}

impl<F: AsFd> Survey<'_, F> {
    fn visit(&mut self, name: &[u8], depth: usize) -> io::Result<()> {
        let look = self.look(name)?;
        if !matches!(look, Look::Directory(_)) {
            return Ok(());
        }
        if depth == FOLDERS_MAX {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let folder = self.project.join(OsStr::from_bytes(&self.path));
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_symlink() {
                continue;
            }
            let name = entry.file_name().into_vec();
            let length = self.path.len();
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            self.visit(&name, depth + 1)?;
            self.path.truncate(length);
        }
        self.put(b"")
    }

    fn look(&mut self, name: &[u8]) -> io::Result<Look> {
        self.path.push(0);
        let look = path_of(&self.path).and_then(|path| Look::at(&self.base, path));
        self.path.pop();
        let look = look?;
        self.put(name)?;
        look.write(&mut self.seen.row);
        self.seen.latest = self.seen.latest.max(look.time());
        Ok(look)
    }

    fn put(&mut self, name: &[u8]) -> io::Result<()> {
        put_bytes(&mut self.seen.row, name).ok_or_else(|| io::ErrorKind::InvalidFilename.into())
    }
}

/// Holds a row against what is there now; the worst of all that is found.
pub fn verify(base: impl AsFd, row: &[u8], depth: Depth) -> Verdict {
    // A row that cannot be read is one that was not written by this version.
    verify_row(base, Reader::new(row), depth).unwrap_or(Verdict::Changed)
}

fn verify_row(base: impl AsFd, mut reader: Reader<'_>, depth: Depth) -> Option<Verdict> {
    let top = CString::new(reader.bytes()?).ok()?;
    let look = Look::read(&mut reader)?;
    let mut worst = look.verify(&base, &top);
    if !matches!(look, Look::Directory(_)) {
        return reader.is_at_end().then_some(worst);
    }
    // What lies in it is looked up from there, which spares the kernel the way to it each time.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(folder) = openat(&base, &top, flags, Mode::empty()) else {
        return Some(Verdict::Changed);
    };
    let mut path = Vec::with_capacity(256);
    let mut lengths = vec![0];
    while !lengths.is_empty() {
        let name = reader.bytes()?;
        if name.is_empty() {
            path.truncate(lengths.pop()?);
            continue;
        }
        let look = Look::read(&mut reader)?;
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let is_file = matches!(look, Look::File(_) | Look::Shared(_));
        if !is_file || depth == Depth::Files {
            path.push(0);
            worst = worst.max(look.verify(&folder, path_of(&path).ok()?));
            path.pop();
        }
        match look {
            Look::Directory(_) => lengths.push(length),
            _ => path.truncate(length),
        }
    }
    reader.is_at_end().then_some(worst)
}

fn path_of(bytes: &[u8]) -> Result<&CStr, Errno> {
    CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reuse::look::settle;
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Fixture {
        directory: tempfile::TempDir,
        base: File,
    }

    /// A folder with files, a folder in it, and a link.
    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("a/lib/deep")).unwrap();
        for file in ["a/package.json", "a/lib/x.js", "a/lib/deep/y.js"] {
            fs::write(at(file), "x").unwrap();
        }
        symlink("x.js", at("a/lib/link")).unwrap();
        let base = File::open(directory.path()).unwrap();
        Fixture { directory, base }
    }

    impl Fixture {
        fn survey(&self) -> Seen {
            settle();
            survey(self.directory.path(), &self.base, b"a").unwrap()
        }

        /// What each depth finds after a change.
        fn after(&self, change: impl FnOnce(&Path)) -> [Verdict; 2] {
            let seen = self.survey();
            change(&self.directory.path().join("a"));
            [Depth::Folders, Depth::Files].map(|depth| verify(&self.base, &seen.row, depth))
        }
    }

    #[test]
    fn what_is_left_alone_is_the_same() {
        assert_eq!(fixture().after(|_| ()), [Verdict::Same; 2]);
    }

    #[test]
    fn what_comes_and_goes_is_seen_in_the_folders() {
        let changes: [fn(&Path); 6] = [
            |a| fs::write(a.join("lib/deep/new"), "").unwrap(),
            |a| fs::remove_file(a.join("lib/x.js")).unwrap(),
            |a| fs::remove_dir_all(a.join("lib/deep")).unwrap(),
            |a| fs::rename(a.join("lib/x.js"), a.join("lib/z.js")).unwrap(),
            |a| {
                fs::remove_file(a.join("lib/link")).unwrap();
                symlink("y.js", a.join("lib/link")).unwrap();
            },
            |a| fs::set_permissions(a.join("lib"), fs::Permissions::from_mode(0o700)).unwrap(),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(fixture().after(change), [Verdict::Changed; 2], "{number}");
        }
    }

    #[test]
    fn a_file_that_is_changed_in_place_is_seen_only_in_the_files() {
        let changes: [fn(&Path); 2] = [
            |a| fs::write(a.join("lib/deep/y.js"), "longer").unwrap(),
            |a| fs::set_permissions(a.join("lib/x.js"), fs::Permissions::from_mode(0o755)).unwrap(),
        ];
        for change in changes {
            assert_eq!(fixture().after(change), [Verdict::Same, Verdict::Changed]);
        }
    }

    #[test]
    fn the_same_files_in_a_new_folder_are_not_the_same() {
        let fixture = fixture();
        let found = fixture.after(|a| {
            fs::rename(a, a.with_file_name("b")).unwrap();
            fs::create_dir(a).unwrap();
        });
        assert_eq!(found, [Verdict::Changed; 2]);
    }

    #[test]
    fn a_row_that_is_cut_off_or_altered_is_never_the_same_by_accident() {
        let fixture = fixture();
        let row = fixture.survey().row;
        for length in 0..row.len() {
            let found = verify(&fixture.base, &row[..length], Depth::Files);
            assert_eq!(found, Verdict::Changed, "{length}");
        }
        assert_eq!(verify(&fixture.base, &[0; 4], Depth::Files), Verdict::Changed);
    }

    #[test]
    fn a_glance_sees_what_comes_and_goes_in_a_folder_and_not_below() {
        let fixture = fixture();
        settle();
        let seen = glance(&fixture.base, b"a").unwrap();
        fs::write(fixture.directory.path().join("a/lib/new"), "").unwrap();
        assert_eq!(verify(&fixture.base, &seen.row, Depth::Files), Verdict::Same);
        fs::write(fixture.directory.path().join("a/new"), "").unwrap();
        assert_eq!(verify(&fixture.base, &seen.row, Depth::Files), Verdict::Changed);
        assert_eq!(
            verify(&fixture.base, &glance(&fixture.base, b"no").unwrap().row, Depth::Files),
            Verdict::Same
        );
    }
}
