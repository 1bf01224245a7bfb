//! What the kernel asks for at least: the folders, hard links and bytes of a tree, by plain calls
//! of bare threads, with nothing of an installer around them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::measure::{Measured, Used};
use crate::backend::{schedule_in_batches, usage};
use crate::error::{Error, Result};
use crate::workers::Workers;

/// A tree, as it is to be made again.
#[derive(Debug, Default)]
struct Listing {
    folders: Vec<PathBuf>,
    /// Regular files. Symbolic links are left out: installers make those their own way.
    files: Vec<Listed>,
}

/// A file of a tree.
#[derive(Debug)]
struct Listed {
    /// In bytes.
    length: u64,
    /// All its names: a package that is installed twice is in the cache once.
    paths: Vec<PathBuf>,
}

/// Files that a thread takes at a time, and of a folder of the cache.
const FILES_OF_CHUNK: usize = 64;
/// Bytes of one write.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// Makes the folders and hard links of `source` at `target`, which must not be there: what a warm
/// install takes at least. Reading `source` is not counted.
///
/// With `cache`, a folder that must not be there, files of the same length are written to it, one
/// for each of `source` however many names it has there, and linked from there: what a cold install
/// takes at least.
pub fn make_tree(
    source: &Path,
    target: &Path,
    cache: Option<&Path>,
    threads: usize,
) -> Result<Measured> {
    let listing = list(source)?;
    // As an installation has it, and as little needed.
    let _ = schedule_in_batches();
    let workers = Workers::new(threads);
    let before = usage();
    let start = Instant::now();
    make_folders(target, &listing.folders, workers)?;
    match cache {
        None => link_files(source, target, &listing.files, workers)?,
        Some(cache) => {
            make_folder(cache)?;
            write_files(cache, target, &listing.files, workers)?;
        }
    }
    let wall = start.elapsed().as_secs_f64();
    let used = Some(Used::from(usage().since(&before)));
    Ok(Measured { exit_code: Some(0), wall, used })
}

/// Folders stand before those below them, as many levels deep as the tree is.
fn list(source: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut places = HashMap::new();
    let mut level = vec![PathBuf::new()];
    while !level.is_empty() {
        let mut below = Vec::new();
        for folder in level {
            let path = source.join(&folder);
            let failed = |error| Error::io("read directory", &path, error);
            for entry in fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let at = folder.join(entry.file_name());
                let metadata = entry.metadata().map_err(failed)?;
                if metadata.is_dir() {
                    below.push(at);
                } else if metadata.is_file() {
                    let place = *places.entry(metadata.ino()).or_insert(listing.files.len());
                    if place == listing.files.len() {
                        listing.files.push(Listed { length: metadata.len(), paths: Vec::new() });
                    }
                    listing.files[place].paths.push(at);
                }
            }
        }
        listing.folders.extend(below.iter().cloned());
        level = below;
    }
    Ok(listing)
}

/// One level after the other.
fn make_folders(target: &Path, folders: &[PathBuf], workers: Workers) -> Result<()> {
    make_folder(target)?;
    let depth = |folder: &PathBuf| folder.components().count();
    folders.chunk_by(|one, next| depth(one) == depth(next)).try_for_each(|level| {
        let make = |folder: &PathBuf| make_folder(&target.join(folder));
        workers.try_map(level, FILES_OF_CHUNK, make).map(drop)
    })
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(|error| Error::io("make directory", path, error))
}

fn link_files(source: &Path, target: &Path, files: &[Listed], workers: Workers) -> Result<()> {
    let link = |path: &PathBuf| link(&source.join(path), &target.join(path));
    let link_all = |file: &Listed| file.paths.iter().try_for_each(link);
    workers.try_map(files, FILES_OF_CHUNK, link_all).map(drop)
}

fn link(from: &Path, to: &Path) -> Result<()> {
    fs::hard_link(from, to).map_err(|error| Error::io("link", to, error))
}

fn write_files(cache: &Path, target: &Path, files: &[Listed], workers: Workers) -> Result<()> {
    // What is in them makes no difference to the kernel.
    let bytes = vec![b'x'; WRITE_BYTES_MAX];
    let chunks: Vec<_> = files.chunks(FILES_OF_CHUNK).enumerate().collect();
    let write = |(number, chunk): &(usize, &[Listed])| {
        let folder = cache.join(number.to_string());
        make_folder(&folder)?;
        chunk.iter().enumerate().try_for_each(|(number, file)| {
            let path = folder.join(number.to_string());
            write(&path, file.length, &bytes).map_err(|error| Error::io("write", &path, error))?;
            file.paths.iter().try_for_each(|to| link(&path, &target.join(to)))
        })
    };
    workers.try_map(&chunks, 1, write).map(drop)
}

fn write(path: &Path, length: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        file.write_all(&bytes[..part])?;
        left -= part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDERS: usize = 2 * FILES_OF_CHUNK;

    /// A folder with as many others below it, and a file in each.
    fn make_source(source: &Path) {
        for number in 0..FOLDERS {
            let folder = source.join(format!("a/{number}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("x"), "x".repeat(number)).unwrap();
        }
    }

    #[test]
    fn the_files_of_a_tree_are_linked() {
        let temp = tempfile::tempdir().unwrap();
        let [source, target] = ["source", "target"].map(|name| temp.path().join(name));
        make_source(&source);
        let measured = make_tree(&source, &target, None, 3).unwrap();
        assert_eq!(measured.exit_code, Some(0));
        for number in 0..FOLDERS {
            let path = format!("a/{number}/x");
            let [from, to] = [&source, &target].map(|tree| fs::metadata(tree.join(&path)).unwrap());
            assert_eq!(to.ino(), from.ino(), "{path}");
        }
        make_tree(&source, &target, None, 3).unwrap_err();
    }

    #[test]
    fn with_a_cache_files_of_the_same_length_are_written_there_and_linked() {
        let temp = tempfile::tempdir().unwrap();
        let [source, target, cache] =
            ["source", "target", "cache"].map(|name| temp.path().join(name));
        make_source(&source);
        make_tree(&source, &target, Some(&cache), 3).unwrap();
        for number in 0..FOLDERS {
            let path = format!("a/{number}/x");
            let [from, to] = [&source, &target].map(|tree| fs::metadata(tree.join(&path)).unwrap());
            assert_eq!((to.len(), to.nlink()), (from.len(), 2), "{path}");
            assert_ne!(to.ino(), from.ino(), "{path}");
        }
        assert_eq!(fs::read_dir(&cache).unwrap().count(), FOLDERS / FILES_OF_CHUNK);
    }

    #[test]
    fn a_file_with_two_names_is_written_once() {
        let temp = tempfile::tempdir().unwrap();
        let [source, target, cache] =
            ["source", "target", "cache"].map(|name| temp.path().join(name));
        fs::create_dir_all(source.join("b")).unwrap();
        fs::write(source.join("a"), "a").unwrap();
        fs::hard_link(source.join("a"), source.join("b/a")).unwrap();
        make_tree(&source, &target, Some(&cache), 2).unwrap();
        let [one, other] = ["a", "b/a"].map(|path| fs::metadata(target.join(path)).unwrap());
        assert_eq!((one.ino(), one.nlink()), (other.ino(), 3));
    }

    #[test]
    fn large_files_are_written_in_parts() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x");
        write(&path, 10, b"abcd").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "abcdabcdab");
    }
}
