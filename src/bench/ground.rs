//! Where runs take place: a folder, or filesystems that are made and mounted for them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;

use super::matrix::FilesystemKind;
use crate::error::{Code, Error, Result};

/// A folder of its own for runs.
#[derive(Debug)]
pub struct Ground {
    pub directory: PathBuf,
    mounted: Option<Mounted>,
}

#[derive(Debug)]
struct Mounted {
    kind: FilesystemKind,
    image: Option<PathBuf>,
}

impl Ground {
    /// A folder on the filesystem that is there. `directory` must not be there yet.
    pub fn folder(directory: PathBuf) -> Result<Self> {
        make(&directory)?;
        Ok(Self { directory, mounted: None })
    }

    /// A new filesystem of at most `bytes`, mounted at `directory`; its image is a file in the
    /// folder `images`, which takes what is written to it. Takes root.
    pub fn mount(
        kind: FilesystemKind,
        bytes: u64,
        images: &Path,
        directory: PathBuf,
    ) -> Result<Self> {
        make(&directory)?;
        let mut mount = Command::new("mount");
        let image = match kind {
            FilesystemKind::Tmpfs => {
                mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "ringstall-bench"]);
                None
            }
            kind => {
                let image = image_path(images, kind);
                let made = File::create_new(&image).and_then(|file| file.set_len(bytes));
                made.map_err(|error| Error::io("make", &image, error))?;
                mount.args(["-o", "loop"]).arg(&image);
                Some(image)
            }
        };
        // From here on the image is removed whatever happens.
        let ground = Self { directory, mounted: Some(Mounted { kind, image }) };
        if let Some(image) = ground.image() {
            let format = format!("mkfs.{}", kind.name());
            run(Command::new(&format).arg("-q").arg(image), kind)?;
        }
        run(mount.arg(&ground.directory), kind)?;
        Ok(ground)
    }

    /// Gives the filesystem back, or removes the folder with what is in it.
    pub fn clear(mut self) -> Result<()> {
        let mounted = self.mounted.is_some();
        self.unmount()?;
        if !mounted {
            remove(&self.directory)?;
        }
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        let Some(mounted) = &self.mounted else { return Ok(()) };
        let unmounted = run(Command::new("umount").arg(&self.directory), mounted.kind);
        self.remove_image();
        self.mounted = None;
        unmounted
    }

    fn image(&self) -> Option<&Path> {
        self.mounted.as_ref()?.image.as_deref()
    }

    fn remove_image(&self) {
        if let Some(image) = self.image() {
            // What stays is a file of the bench's own, and another failure is told already.
            let _ = fs::remove_file(image);
        }
    }
}

/// Also after a failure nothing stays mounted; that it does is told by the system.
impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

/// Starts this program again where its mounts are its own, so that they end with it, whatever ends
/// it. Comes back only where that is refused.
pub fn become_private(program: &Path, arguments: impl Iterator<Item = OsString>) -> Error {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(program).args(arguments);
    Error::new(Code::Io, "failed to run unshare")
        .with_source(command.exec())
        .with_hint("filesystems take root and the package util-linux")
}

fn image_path(images: &Path, kind: FilesystemKind) -> PathBuf {
    images.join(format!("ringstall-bench-{}.{}", std::process::id(), kind.name()))
}

/// Removes a folder with what is in it, on all processors: that of many runs has millions of files.
pub fn remove(directory: &Path) -> Result<()> {
    remove_tree(directory).map_err(|error| Error::io("remove", directory, error))
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.par_iter().try_for_each(|entry| {
        let is_directory = entry.file_type()?.is_dir();
        if is_directory { remove_tree(&entry.path()) } else { fs::remove_file(entry.path()) }
    })?;
    fs::remove_dir(directory)
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(|error| Error::io("make directory", directory, error))
}

fn run(command: &mut Command, kind: FilesystemKind) -> Result<()> {
    let kind = kind.name();
    let refused = |message: String| {
        Error::new(Code::Io, message)
            .with_hint(format!("filesystems take root, mount and mkfs.{kind}; tmpfs no mkfs"))
    };
    let output = command
        .output()
        .map_err(|error| refused(format!("failed to run {command:?}")).with_source(error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(refused(format!("failed to make or mount {kind}: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_what_is_in_it() {
        let temp = tempfile::tempdir().unwrap();
        let directory = temp.path().join("a/b");
        let ground = Ground::folder(directory.clone()).unwrap();
        fs::write(directory.join("x"), "").unwrap();
        ground.clear().unwrap();
        assert!(!directory.exists());
    }

    #[test]
    fn a_filesystem_that_cannot_be_had_leaves_no_image() {
        let temp = tempfile::tempdir().unwrap();
        // Too small for any: its mkfs refuses, or is not there.
        let mounted =
            Ground::mount(FilesystemKind::Xfs, 4096, temp.path(), temp.path().join("mount"));
        assert_eq!(mounted.unwrap_err().code(), Code::Io);
        let left: Vec<_> = fs::read_dir(temp.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
