//! What the kernel asks for at least: the folders and hard links of a tree, by plain calls on bare
//! threads, with nothing of an installer around them.

use std::fs::{self, FileType};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use super::measure::{Measured, Used};
use crate::backend::usage;
use crate::error::{Error, Result};

/// A tree, as it is to be made again.
#[derive(Debug, Default)]
struct Listing {
    /// In the order in which they can be made.
    folders: Vec<PathBuf>,
    /// Regular files. Links are left out: installers make those their own way.
    files: Vec<PathBuf>,
}

/// Makes the folders and hard links of `source` at `target`, which must not be there. Reading
/// `source` is not counted.
pub fn link_tree(source: &Path, target: &Path, threads: usize) -> Result<Measured> {
    let listing = list(source)?;
    let before = usage();
    let start = Instant::now();
    make_folders(target, &listing.folders)?;
    let share = listing.files.len().div_ceil(threads.max(1)).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = listing
            .files
            .chunks(share)
            .map(|files| scope.spawn(|| link_files(source, target, files)))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(linked) => linked,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let wall = start.elapsed().as_secs_f64();
    let used = Some(Used::from(usage().since(&before)));
    Ok(Measured { exit_code: Some(0), wall, used })
}

fn list(source: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = source.join(&folder);
        let failed = |error| Error::io("read directory", &path, error);
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let at = folder.join(entry.file_name());
            let kind: FileType = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.push(at.clone());
                listing.folders.push(at);
            } else if kind.is_file() {
                listing.files.push(at);
            }
        }
    }
    Ok(listing)
}

fn make_folders(target: &Path, folders: &[PathBuf]) -> Result<()> {
    let make = |path: &Path| {
        fs::create_dir(path).map_err(|error| Error::io("make directory", path, error))
    };
    make(target)?;
    folders.iter().try_for_each(|folder| make(&target.join(folder)))
}

fn link_files(source: &Path, target: &Path, files: &[PathBuf]) -> Result<()> {
    for file in files {
        let to = target.join(file);
        fs::hard_link(source.join(file), &to).map_err(|error| Error::io("link", &to, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn the_files_of_a_tree_are_linked() {
        let temp = tempfile::tempdir().unwrap();
        let [source, target] = ["source", "target"].map(|name| temp.path().join(name));
        for number in 0..7 {
            let folder = source.join(format!("a/{number}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("x"), "x").unwrap();
        }
        let measured = link_tree(&source, &target, 3).unwrap();
        assert_eq!(measured.exit_code, Some(0));
        for number in 0..7 {
            assert_eq!(fs::metadata(target.join(format!("a/{number}/x"))).unwrap().nlink(), 2);
        }
        link_tree(&source, &target, 3).unwrap_err();
    }
}
