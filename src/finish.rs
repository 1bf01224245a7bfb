//! What comes after the packages: links to folders, commands, and the hidden lockfile.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use crate::backend::{At, Base, Operation};
use crate::error::{Code, Error, Result};
use crate::graph::Graph;
use crate::hidden_lock::HIDDEN_LOCK_PATH;
use crate::link::mend_first_line;
use crate::plan::Link;
use crate::scripts::BinPhase;
use crate::site::Site;

/// Makes the symbolic links to workspaces and other folders, each relative to where it lies. One
/// that is there already (in the folder of a link's target, which is not emptied) is replaced.
pub fn make_links(site: &Site<'_>, links: &[Link<'_>]) -> Result<()> {
    site.carry_out(
        links
            .iter()
            .map(|link| {
                let at = link.at.as_str();
                let above = at.rsplit_once('/').map_or("", |(folder, _)| folder);
                make_symlink(&relative(above, link.target.as_str()), at)
            })
            .collect::<Result<Vec<_>>>()?
            .into_iter(),
    )
}

/// Makes the links in `.bin`. A command whose file is missing is passed over in silence, as in
/// npm; files that are not as the cache has them (those of workspaces, and of packages whose
/// scripts have run) are made executable where they lie.
pub fn make_bins(
    site: &Site<'_>,
    project: &Path,
    graph: &Graph<'_>,
    phase: &BinPhase<'_, '_>,
) -> Result<usize> {
    let mut operations = Vec::new();
    let mut folders = HashSet::new();
    let mut made = 0;
    for bin in &phase.bins {
        let file = project.join(bin.package).join(&bin.file);
        if fs::symlink_metadata(&file).is_err() {
            continue;
        }
        let folder = bin.at.rsplit_once('/').map_or("", |(folder, _)| folder);
        if folders.insert(folder) {
            operations.push(Operation::MakeDirectory { at: at(folder)?, mode: 0o777 });
        }
        operations.push(make_symlink(&bin.target, &bin.at)?);
        made += 1;
        if graph.node(bin.node).link_target.is_some() || phase.touched.contains(&bin.node) {
            make_executable(&file, site.cache.umask())?;
        }
    }
    site.carry_out(operations.into_iter())?;
    Ok(made)
}

/// Removes links in `.bin` whose package has been left out.
pub fn remove_bins(site: &Site<'_>, bins: &[String]) -> Result<()> {
    let remove = |path: &String| Ok(Operation::Remove { at: at(path)? });
    site.carry_out(bins.iter().map(remove).collect::<Result<Vec<_>>>()?.into_iter())
}

fn make_symlink(target: &str, path: &str) -> Result<Operation> {
    let target = CString::new(target).map_err(|_| has_nul(target))?;
    Ok(Operation::MakeSymlink { target, at: at(path)? })
}

fn at(path: &str) -> Result<At> {
    At::new(Base::Project, path).ok_or_else(|| has_nul(path))
}

fn has_nul(path: &str) -> Error {
    let path = path.escape_debug();
    Error::new(Code::LockfileInvalid, format!("the path `{path}` holds a NUL"))
}

/// Writes the hidden lockfile and publishes it by rename. npm and others hold the times of all
/// folders against its own, so it is touched once more when it has its name.
pub fn write_hidden_lock(project: &Path, text: &str) -> Result<()> {
    let path = project.join(HIDDEN_LOCK_PATH);
    let aside = path.with_extension(format!("json.{}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&aside, &path)?;
        file.set_modified(SystemTime::now())
    })();
    written.map_err(|error| {
        // The error that is reported is the first one.
        let _ = fs::remove_file(&aside);
        Error::io("write", &path, error)
    })
}

/// `0777 & ~umask`, and a `#!` line that ends with LF (bin-links 6, lib/fix-bin.js).
fn make_executable(file: &Path, umask: u32) -> Result<()> {
    let failed = |doing| move |error| Error::io(doing, file, error);
    let metadata = fs::metadata(file).map_err(failed("look at"))?;
    let mode = fs::Permissions::from_mode(0o777 & !umask);
    fs::set_permissions(file, mode).map_err(failed("make executable"))?;
    if !metadata.is_file() {
        return Ok(());
    }
    let mut bytes = fs::read(file).map_err(failed("read"))?;
    if mend_first_line(&mut bytes) {
        fs::write(file, bytes).map_err(failed("write"))?;
    }
    Ok(())
}

/// The way from a folder to a path, both relative to the project.
fn relative(from: &str, to: &str) -> String {
    let split = |path: &'_ str| -> Vec<String> {
        path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let (from, to) = (split(from), split(to));
    let common = from.iter().zip(&to).take_while(|(first, second)| first == second).count();
    let mut parts = vec!["..".to_owned(); from.len() - common];
    parts.extend_from_slice(&to[common..]);
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_to_their_folder() {
        assert_eq!(relative("node_modules", "packages/a"), "../packages/a");
        assert_eq!(relative("node_modules/@s", "packages/a"), "../../packages/a");
        assert_eq!(relative("packages/b/node_modules", "packages/a"), "../../a");
        assert_eq!(relative("node_modules", "../beside"), "../../beside");
        assert_eq!(relative("node_modules", ""), "..");
    }

    #[test]
    fn the_hidden_lockfile_is_not_older_than_its_folder() {
        let project = tempfile::tempdir().unwrap();
        let folder = project.path().join("node_modules");
        fs::create_dir(&folder).unwrap();
        write_hidden_lock(project.path(), "{}\n").unwrap();
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        assert!(modified(&project.path().join(HIDDEN_LOCK_PATH)) >= modified(&folder));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
