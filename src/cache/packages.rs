//! The packages of one bucket, one after the other: for who looks after the cache as a whole.

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};

use super::root::{INDEX_NAME, unusable};
use super::{Index, random_name, read_index};
use crate::error::Result;

/// A folder that packages of one umask lie in.
#[derive(Debug)]
pub(super) struct Bucket {
    path: PathBuf,
    directory: File,
}

/// The folder of one package.
#[derive(Debug)]
pub(super) struct Package {
    /// From the bucket.
    pub name: String,
    pub path: PathBuf,
}

impl Bucket {
    pub fn open(path: PathBuf) -> Result<Self> {
        let directory = File::open(&path).map_err(|error| unusable("open", &path, error))?;
        Ok(Self { path, directory })
    }

    /// All packages, in no order. What another run removes meanwhile may be among them or not.
    pub fn packages(&self) -> Result<Vec<Package>> {
        let mut packages = Vec::new();
        let folder = self.path.join("packages");
        for first in names(&folder)? {
            let folder = folder.join(&first);
            // What is no folder is not ours.
            if !folder.is_dir() {
                continue;
            }
            packages.extend(names(&folder)?.into_iter().map(|rest| Package {
                path: folder.join(&rest),
                name: format!("packages/{first}/{rest}"),
            }));
        }
        Ok(packages)
    }

    /// `None` where the package has none that is whole. That it was read is no use of the package:
    /// the time of the last access is put back.
    pub fn index(&self, package: &Package) -> Option<Index> {
        let path = package.path.join(INDEX_NAME);
        let accessed = path.metadata().and_then(|metadata| metadata.accessed());
        let buffer = read_index(&self.directory, &format!("{}/{INDEX_NAME}", package.name));
        if let Ok(accessed) = accessed {
            // Whoever may not do this has no use for prune either.
            let _ = File::open(&path)
                .and_then(|file| file.set_times(FileTimes::new().set_accessed(accessed)));
        }
        buffer.ok().flatten().and_then(Index::parse)
    }

    /// Takes a package out of the cache. It is gone at once and as a whole, even where this is
    /// killed; what is left of it then is removed by a later run.
    pub fn remove(&self, package: &Package) -> Result<()> {
        let tmp = self.path.join("tmp");
        let aside = tmp.join(random_name()?);
        fs::rename(&package.path, &aside)
            .and_then(|()| fs::remove_dir_all(&aside))
            .map_err(|error| unusable("remove", &package.path, error))
    }
}

/// Names that are not UTF-8 are not ours.
fn names(folder: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| unusable("read", folder, error)),
    }
}
