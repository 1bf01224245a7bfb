//! The cache on disk: one folder a package, unpacked once and never changed afterwards.
//!
//! ```text
//! <root>/CACHEDIR.TAG
//! <root>/v2-u<umask>/packages/<2 hex>/<kind>-<hex>/{index,0,1,...,63,d1/64,...}
//! <root>/v2-u<umask>/tmp/<random>/                 a package that is being written, or will be
//! ```
//!
//! Files are named by numbers: nothing from a tarball is ever a path here. The umask is part of the
//! layout because inodes are shared by hard link, so their modes are settled here. A package
//! appears by rename when all of it is written; who loses that race takes the winner's.
//!
//! Who installs holds a shared lock on the folder of its umask, and who removes packages holds it
//! alone: a package never vanishes while it is placed. A cache that holds all that is needed need
//! not be writable: it may come with an image, or belong to root.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::fs::{Access, Advice, AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::backend::{Base, Bases};
use crate::error::{Code, Error, Result};
use crate::integrity::CacheKey;
use crate::journal::{Awaited, Board};
use crate::plan::count;

pub mod index;
mod names;
mod packages;
mod prune;
mod root;
mod seat;
mod verify;

pub use index::{Facts, FileEntry, Index};
pub use names::{file_path, push_file};
pub use prune::{Pruned, prune};
pub use root::{Usage, clean, size};
pub use verify::{Damage, Verified, verify};

use seat::{Seat, Seats};

/// The packages that were extracted under one umask.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    umask: u32,
    seats: Arc<Seats>,
    /// Held, where the filesystem has locks, for as long as the cache is used.
    _lock: Option<File>,
}

/// A folder in which a package is written before anyone can see it. It is removed by
/// [`Cache::discard`], or by a later run where this one is killed.
#[derive(Debug)]
pub struct Staging {
    name: String,
    /// The folders for files that are there.
    folders: HashSet<u32>,
    seat: Seat,
}

impl Cache {
    /// Makes what is missing, and refuses a directory that others could change. Waits for who is
    /// removing packages, and puts that on the board.
    pub fn open(root: &Path, umask: u32, board: &Board) -> Result<Self> {
        let umask = umask & 0o777;
        let directory = root::prepare(root, &root::bucket_name(umask))?;
        let wait = board.begin(Awaited::Lock(directory.clone()));
        let lock = root::share(&directory);
        drop(wait);
        let seats = Seats::of(&directory);
        Ok(Self { directory, umask, seats, _lock: lock })
    }

    /// The directory that [`Base::Cache`] is opened on.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn umask(&self) -> u32 {
        self.umask
    }

    /// An error where `missing` packages could not be put into the cache.
    pub fn check_writable(&self, missing: usize) -> Result<()> {
        let tmp = self.temporary();
        rustix::fs::accessat(CWD, &tmp, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
            .map_err(|errno| {
                let message = format!(
                    "the cache `{}` lacks {} and cannot be written",
                    self.directory.display(),
                    count(missing, "package"),
                );
                let hint = "fill it where it can be written, or name another with `--cache`";
                Error::new(Code::Cache, message).with_source(io::Error::from(errno)).with_hint(hint)
            })
    }

    /// Has the kernel read the package's index from the disk, where memory does not hold it.
    /// Many that are announced before the first is looked up are read at the same time.
    pub fn announce(&self, bases: &Bases, key: &CacheKey) {
        let path = format!("{}/index", package_path(key));
        // Who looks it up is told what is wrong.
        let _ = open_index(bases.fd(Base::Cache), &path)
            .and_then(|index| Ok(rustix::fs::fadvise(index, 0, None, Advice::WillNeed)?));
    }

    /// The package's index; a damaged one is a miss, which [`Cache::publish`] replaces.
    pub fn lookup(&self, bases: &Bases, key: &CacheKey) -> Result<Option<Index>> {
        let path = format!("{}/index", package_path(key));
        let buffer = match read_index(bases.fd(Base::Cache), &path) {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", self.directory.join(path), error)),
        };
        Ok(buffer.and_then(Index::parse))
    }

    /// A folder for files that are gone when this run ends.
    pub fn temporary(&self) -> PathBuf {
        self.directory.join("tmp")
    }

    /// The folder of a package, relative to [`Base::Cache`]. Its files are named by their numbers.
    pub fn package_path(key: &CacheKey) -> String {
        package_path(key)
    }

    /// Makes an empty folder to write a package into.
    pub fn stage(&self, bases: &Bases) -> Result<Staging> {
        let (name, seat) = (temporary_name()?, Seat::new(&self.seats));
        let mut staging = Staging { name, folders: HashSet::new(), seat };
        staging.seat.make_folder(bases, &staging.name)?;
        Ok(staging)
    }

    /// The path of a file that is to be written, relative to [`Base::Cache`]; its folder is there.
    pub fn make_room(&self, bases: &Bases, staging: &mut Staging, number: u32) -> Result<String> {
        if let Some(folder) = names::folder_of(number).filter(|new| staging.folders.insert(*new)) {
            let path = staging.folder_path(folder);
            staging.seat.make_folder(bases, &path)?;
        }
        Ok(staging.path(number))
    }

    /// Gives a written package its name. Where another process was first, its package is taken and
    /// `staging` removed: the index that comes back is of what is in the cache.
    pub fn publish(
        &self,
        bases: &Bases,
        staging: &Staging,
        key: &CacheKey,
        index: Index,
    ) -> Result<Index> {
        let path = package_path(key);
        let published = self.publish_as(bases, staging, &path, key);
        match published {
            Ok(None) => Ok(index),
            Ok(Some(winner)) => {
                self.discard(staging);
                Ok(winner)
            }
            Err(error) => {
                self.discard(staging);
                Err(error)
            }
        }
    }

    /// Takes out a package whose files were changed through a name that they have in a project.
    /// Another run that is placing it at this moment fails, and would place what is wrong.
    pub fn take_out(&self, bases: &Bases, key: &CacheKey) -> Result<()> {
        let cache = bases.fd(Base::Cache);
        let path = package_path(key);
        let aside = temporary_name()?;
        match rustix::fs::renameat(cache, &path, cache, &aside) {
            Ok(()) => self.remove(&aside),
            Err(Errno::NOENT) => {}
            Err(errno) => {
                return Err(Error::io("take out", self.directory.join(path), errno.into()));
            }
        }
        Ok(())
    }

    /// Removes a folder that will not be published.
    pub fn discard(&self, staging: &Staging) {
        self.remove(&staging.name);
    }

    /// What cannot be removed now is removed when the cache is opened a day later, so that a
    /// failure here is not reported.
    fn remove(&self, path: &str) {
        let _ = std::fs::remove_dir_all(self.directory.join(path));
    }

    /// `Some` is the index of the package that is already there.
    fn publish_as(
        &self,
        bases: &Bases,
        staging: &Staging,
        path: &str,
        key: &CacheKey,
    ) -> Result<Option<Index>> {
        let cache = bases.fd(Base::Cache);
        for _ in 0..PUBLISH_ATTEMPTS_MAX {
            match rustix::fs::renameat(cache, &staging.name, cache, path) {
                Ok(()) => return Ok(None),
                Err(Errno::NOENT) => self.make_parent(bases, path)?,
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    if let Some(winner) = self.lookup(bases, key)? {
                        return Ok(Some(winner));
                    }
                    self.remove_damaged(bases, path, key)?;
                }
                Err(errno) => {
                    return Err(Error::io("publish", self.directory.join(path), errno.into()));
                }
            }
        }
        let path = self.directory.join(path);
        let message = format!("failed to publish `{}`: others keep changing it", path.display());
        Err(Error::new(Code::Cache, message))
    }

    /// The folder of all packages whose digest starts with the same byte.
    fn make_parent(&self, bases: &Bases, path: &str) -> Result<()> {
        let parent = path.rsplit_once('/').map_or(path, |(parent, _)| parent);
        match rustix::fs::mkdirat(bases.fd(Base::Cache), parent, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => {
                Err(Error::io("make directory", self.directory.join(parent), errno.into()))
            }
        }
    }

    /// Moves a package without a whole index out of the way. Only the holder of the lock moves
    /// one, and only after looking again: a good package must never vanish under a reader.
    fn remove_damaged(&self, bases: &Bases, path: &str, key: &CacheKey) -> Result<()> {
        let cache = bases.fd(Base::Cache);
        let failed = |doing: &str, name: &str, errno: Errno| {
            Error::io(doing, self.directory.join(name), errno.into())
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(cache, REPAIR_LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed("open", REPAIR_LOCK, errno))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|errno| failed("lock", REPAIR_LOCK, errno))?;
        if self.lookup(bases, key)?.is_some() {
            return Ok(());
        }
        let aside = temporary_name()?;
        match rustix::fs::renameat(cache, path, cache, &aside) {
            Ok(()) => self.remove(&aside),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("move aside", path, errno)),
        }
        Ok(())
    }
}

impl Staging {
    /// The folder itself, relative to the cache's directory.
    pub fn folder(&self) -> &str {
        &self.name
    }

    /// A path in the folder, relative to [`Base::Cache`].
    pub fn path(&self, number: u32) -> String {
        format!("{}/{}", self.name, file_path(number))
    }

    fn folder_path(&self, folder: u32) -> String {
        let mut path = format!("{}/", self.name).into_bytes();
        names::push_folder(&mut path, folder);
        String::from_utf8_lossy(&path).into_owned()
    }

    pub fn index_path(&self) -> String {
        format!("{}/index", self.name)
    }
}

/// A new name for a folder that is gone when this run ends, relative to the cache's directory.
fn temporary_name() -> Result<String> {
    Ok(format!("tmp/{}", random_name()?))
}

fn package_path(key: &CacheKey) -> String {
    format!("packages/{}", key.path())
}

fn open_index(bucket: impl AsFd, path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(File::from(rustix::fs::openat(bucket, path, flags, Mode::empty())?))
}

/// One open and, for all but the largest packages, one read. `None` is an index that is shorter or
/// longer than it says.
fn read_index(bucket: impl AsFd, path: &str) -> io::Result<Option<Vec<u8>>> {
    let mut file = open_index(bucket, path)?;
    let mut first = [0; INDEX_FIRST_READ];
    let read = file.read(&mut first)?;
    let Some(length) = Index::claimed_length(&first[..read]) else { return Ok(None) };
    if length <= read {
        return Ok((length == read).then(|| first[..read].to_vec()));
    }
    // The claim is believed only as far as the file is that long.
    if read < INDEX_FIRST_READ || file.metadata()?.len() != length as u64 {
        return Ok(None);
    }
    let mut buffer = Vec::with_capacity(length);
    buffer.extend_from_slice(&first);
    file.take((length - read) as u64).read_to_end(&mut buffer)?;
    Ok(Some(buffer))
}

fn random_name() -> Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::new(Code::Cache, "failed to read random bytes from the system"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Each attempt but the first follows a change by another process.
const PUBLISH_ATTEMPTS_MAX: u32 = 8;
/// The index of some 250 files; nine packages of ten have fewer than 100.
const INDEX_FIRST_READ: usize = 16 << 10;
const REPAIR_LOCK: &str = "repair.lock";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Fixture {
        _directory: tempfile::TempDir,
        cache: Cache,
        bases: Bases,
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(&directory.path().join("cache"), 0o022, &Board::default()).unwrap();
        let bases = Bases::open(cache.directory(), directory.path()).unwrap();
        Fixture { _directory: directory, cache, bases }
    }

    fn index(count: u32) -> Index {
        let paths: Vec<_> =
            (0..count).map(|n| std::ffi::CString::new(format!("f{n:06}")).unwrap()).collect();
        let files = paths.iter().zip(0..).map(|(path, number)| FileEntry {
            number,
            path,
            mode: 0o644,
            plain_mode: 0o644,
            size: 0,
            has_crlf_shebang: false,
        });
        Index::build(&Facts::default(), [].into_iter(), files).unwrap()
    }

    fn staged(fixture: &Fixture, index: &Index) -> Staging {
        let staging = fixture.cache.stage(&fixture.bases).unwrap();
        let directory = fixture.cache.directory();
        fs::write(directory.join(staging.index_path()), index.as_bytes()).unwrap();
        staging
    }

    #[test]
    fn a_published_package_is_found_again_whatever_its_size() {
        let fixture = fixture();
        for count in [0, 1, 100, 5000] {
            let key = CacheKey::unlocked(&count.to_string());
            fixture.cache.announce(&fixture.bases, &key);
            assert_eq!(fixture.cache.lookup(&fixture.bases, &key).unwrap(), None);
            let staging = staged(&fixture, &index(count));
            fixture.cache.publish(&fixture.bases, &staging, &key, index(count)).unwrap();
            fixture.cache.announce(&fixture.bases, &key);
            assert_eq!(fixture.cache.lookup(&fixture.bases, &key).unwrap(), Some(index(count)));
        }
    }

    #[test]
    fn the_loser_of_a_race_takes_what_the_winner_published() {
        let fixture = fixture();
        let key = CacheKey::unlocked("a");
        let (first, second) = (staged(&fixture, &index(1)), staged(&fixture, &index(2)));
        fixture.cache.publish(&fixture.bases, &first, &key, index(1)).unwrap();
        let found = fixture.cache.publish(&fixture.bases, &second, &key, index(2)).unwrap();
        assert_eq!(found, index(1));
        let left = fs::read_dir(fixture.cache.directory().join("tmp")).unwrap().count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_damaged_package_is_a_miss_and_is_replaced() {
        let fixture = fixture();
        let key = CacheKey::unlocked("a");
        let path = fixture.cache.directory().join(package_path(&key)).join("index");
        let whole = index(3000).as_bytes().to_vec();
        let damages = [Vec::new(), whole[..7].to_vec(), whole[..20_000].to_vec(), vec![0; 50]];
        for damage in damages {
            let staging = staged(&fixture, &index(1));
            fixture.cache.publish(&fixture.bases, &staging, &key, index(1)).unwrap();
            fs::write(&path, damage).unwrap();
            assert_eq!(fixture.cache.lookup(&fixture.bases, &key).unwrap(), None);
            let staging = staged(&fixture, &index(2));
            fixture.cache.publish(&fixture.bases, &staging, &key, index(2)).unwrap();
            assert_eq!(fixture.cache.lookup(&fixture.bases, &key).unwrap(), Some(index(2)));
            fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
        let left = fs::read_dir(fixture.cache.directory().join("tmp")).unwrap().count();
        assert_eq!(left, 0);
    }
}
