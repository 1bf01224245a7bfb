//! What one look at a path tells: enough to know later whether it is still the same.
//!
//! The time of the last change of an inode (ctime) cannot be set by hand, and every write, chmod,
//! chown, and every entry that comes or goes moves it. It is all that is held against a folder, a
//! link, or a file with one name. A file that shares its inode with the cache gets a new one with
//! every project that links to the same package, so of such a file the rest is compared.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

use super::bytes::{Reader, put_u32, put_u64};

/// Seconds and nanoseconds of the filesystem's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// A path as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Absent,
    Directory(Inode),
    Link(Inode),
    /// A file with one name.
    File(Inode),
    /// A file whose inode has other names, in the cache or in other projects.
    Shared(Content),
}

/// Everything about an inode, by its number and the time of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    pub number: u64,
    pub changed: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub number: u64,
    pub size: u64,
    pub mode: u32,
    pub owner: u32,
    pub group: u32,
    pub modified: Time,
}

/// How long the clock of a filesystem may stand still: a tick of the slowest kernels (100 Hz).
const TICK: Duration = Duration::from_millis(10);

/// Waits until whatever is changed from now on has a later time than what was changed before, and
/// gives a time that nothing that was changed before is later than.
pub fn settle() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    std::thread::sleep(TICK);
    time(now.as_secs(), now.subsec_nanos())
}

/// What has become of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Same,
    Changed,
    /// Changed in place, and with it the cache's file.
    ChangedInCache,
}

impl Look {
    /// Links are not followed. A socket and its like are an error, as nothing that is installed.
    pub fn at(base: impl AsFd, path: &CStr) -> Result<Self, Errno> {
        let stat = match statat(base, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Self::Absent),
            Err(errno) => return Err(errno),
        };
        let number = whole(stat.st_ino);
        let inode = Inode { number, changed: time(stat.st_ctime, stat.st_ctime_nsec) };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Self::Directory(inode),
            FileType::Symlink => Self::Link(inode),
            FileType::RegularFile if whole(stat.st_nlink) == 1 => Self::File(inode),
            FileType::RegularFile => Self::Shared(Content {
                number,
                size: whole(stat.st_size),
                mode: stat.st_mode,
                owner: stat.st_uid,
                group: stat.st_gid,
                modified: time(stat.st_mtime, stat.st_mtime_nsec),
            }),
            _ => return Err(Errno::OPNOTSUPP),
        })
    }

    /// Holds an earlier look against the path as it is now.
    pub fn verify(&self, base: impl AsFd, path: &CStr) -> Verdict {
        let Ok(now) = Self::at(base, path) else { return Verdict::Changed };
        match (self, &now) {
            _ if *self == now => Verdict::Same,
            (Self::Shared(before), Self::Shared(now)) if before.number == now.number => {
                Verdict::ChangedInCache
            }
            _ => Verdict::Changed,
        }
    }

    /// The latest time that is held against it.
    pub fn time(&self) -> Time {
        match self {
            Self::Absent => Time::default(),
            Self::Directory(inode) | Self::Link(inode) | Self::File(inode) => inode.changed,
            Self::Shared(content) => content.modified,
        }
    }

    pub fn write(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Absent => buffer.push(ABSENT),
            Self::Directory(inode) => inode.write(DIRECTORY, buffer),
            Self::Link(inode) => inode.write(LINK, buffer),
            Self::File(inode) => inode.write(FILE, buffer),
            Self::Shared(content) => {
                buffer.push(SHARED);
                put_u64(buffer, content.number);
                put_u64(buffer, content.size);
                put_u32(buffer, content.mode);
                put_u32(buffer, content.owner);
                put_u32(buffer, content.group);
                content.modified.write(buffer);
            }
        }
    }

    /// `None` where the bytes are no look.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.u8()? {
            ABSENT => Self::Absent,
            DIRECTORY => Self::Directory(Inode::read(reader)?),
            LINK => Self::Link(Inode::read(reader)?),
            FILE => Self::File(Inode::read(reader)?),
            SHARED => Self::Shared(Content {
                number: reader.u64()?,
                size: reader.u64()?,
                mode: reader.u32()?,
                owner: reader.u32()?,
                group: reader.u32()?,
                modified: Time::read(reader)?,
            }),
            _ => return None,
        })
    }
}

impl Inode {
    fn write(self, tag: u8, buffer: &mut Vec<u8>) {
        buffer.push(tag);
        put_u64(buffer, self.number);
        self.changed.write(buffer);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { number: reader.u64()?, changed: Time::read(reader)? })
    }
}

impl Time {
    fn write(self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.seconds.to_le_bytes());
        put_u32(buffer, self.nanoseconds);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let seconds = i64::from_le_bytes(reader.array()?);
        Some(Self { seconds, nanoseconds: reader.u32()? })
    }
}

/// The fields of `stat` have other widths and signs on each processor.
fn whole(value: impl Into<i128>) -> u64 {
    u64::try_from(value.into()).unwrap_or(u64::MAX)
}

fn time(seconds: impl Into<i128>, nanoseconds: impl Into<i128>) -> Time {
    Time {
        seconds: i64::try_from(seconds.into()).unwrap_or(i64::MAX),
        nanoseconds: u32::try_from(nanoseconds.into()).unwrap_or(u32::MAX),
    }
}

const ABSENT: u8 = 0;
const DIRECTORY: u8 = 1;
const LINK: u8 = 2;
const FILE: u8 = 3;
const SHARED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Fixture {
        directory: tempfile::TempDir,
        base: File,
    }

    impl Fixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let base = File::open(directory.path()).unwrap();
            Self { directory, base }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.directory.path().join(name), text).unwrap();
        }

        fn look(&self, name: &str) -> Look {
            settle();
            Look::at(&self.base, &CString::new(name).unwrap()).unwrap()
        }

        fn verify(&self, look: Look, name: &str) -> Verdict {
            look.verify(&self.base, &CString::new(name).unwrap())
        }

        /// A time that no clock of the test gives.
        fn date(&self, name: &str) {
            let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
            let path = self.directory.path().join(name);
            File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }
    }

    #[test]
    fn what_is_left_alone_is_the_same() {
        let fixture = Fixture::new();
        fixture.write("file", "x");
        fs::hard_link(fixture.directory.path().join("file"), fixture.directory.path().join("two"))
            .unwrap();
        fixture.write("one", "x");
        symlink("one", fixture.directory.path().join("link")).unwrap();
        for name in [".", "file", "one", "link", "nothing", "one/below"] {
            assert_eq!(fixture.verify(fixture.look(name), name), Verdict::Same, "{name}");
        }
        assert_eq!(fixture.look("nothing"), Look::Absent);
    }

    #[test]
    fn another_name_for_a_shared_file_changes_nothing() {
        let fixture = Fixture::new();
        fixture.write("a", "x");
        let path = |name| fixture.directory.path().join(name);
        fs::hard_link(path("a"), path("b")).unwrap();
        let look = fixture.look("a");
        fs::hard_link(path("a"), path("c")).unwrap();
        assert_eq!(fixture.verify(look, "a"), Verdict::Same);
    }

    #[test]
    fn a_shared_file_that_is_written_or_has_another_mode_has_changed_in_the_cache() {
        let fixture = Fixture::new();
        fixture.write("a", "x");
        fixture.date("a");
        let path = |name| fixture.directory.path().join(name);
        fs::hard_link(path("a"), path("b")).unwrap();
        let look = fixture.look("a");
        fs::set_permissions(path("b"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fixture.verify(look, "a"), Verdict::ChangedInCache);
        let look = fixture.look("a");
        fixture.write("b", "y");
        assert_eq!(fixture.verify(look, "a"), Verdict::ChangedInCache);
    }

    #[test]
    fn a_file_that_takes_the_place_of_another_is_a_change() {
        let fixture = Fixture::new();
        fixture.write("a", "x");
        fixture.write("b", "x");
        let look = fixture.look("a");
        let path = |name| fixture.directory.path().join(name);
        fs::rename(path("b"), path("a")).unwrap();
        assert_eq!(fixture.verify(look, "a"), Verdict::Changed);
        fs::remove_file(path("a")).unwrap();
        assert_eq!(fixture.verify(look, "a"), Verdict::Changed);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let inode = Inode { number: 7, changed: Time { seconds: -5, nanoseconds: 9 } };
        let content = Content {
            number: u64::MAX,
            size: 1,
            mode: 0o100_644,
            owner: 1000,
            group: 100,
            modified: Time { seconds: 1, nanoseconds: 2 },
        };
        let looks = [
            Look::Absent,
            Look::Directory(inode),
            Look::Link(inode),
            Look::File(inode),
            Look::Shared(content),
        ];
        let mut buffer = Vec::new();
        for look in &looks {
            look.write(&mut buffer);
        }
        let mut reader = Reader::new(&buffer);
        for look in looks {
            assert_eq!(Look::read(&mut reader), Some(look));
        }
        assert_eq!(Look::read(&mut reader), None);
    }
}
