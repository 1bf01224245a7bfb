//! Packs a folder into the tarball that `npm pack` makes of it, as far as its files and their modes
//! go (pacote 21, `lib/dir.js` and `lib/util/tar-create-options.js`).

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

use super::manifest::PackManifest;
use super::packlist::list_files;
use crate::error::{Error, Result};

/// Packs `folder` into a new file at `target`. The folder is not changed meanwhile by anyone who is
/// not allowed to run code as us already.
pub fn pack(folder: &Path, target: &Path) -> Result<()> {
    let manifest = PackManifest::read(folder)?;
    let files = list_files(folder, &manifest)?;
    let failed = |error| Error::io("write", target, error);
    let file = File::create_new(target).map_err(failed)?;
    let mut builder = Builder::new(BufWriter::with_capacity(BUFFER_BYTES, file));
    for path in &files {
        add_file(&mut builder, folder, path, &manifest)?;
    }
    let mut writer = builder.into_inner().map_err(failed)?;
    writer.flush().map_err(failed)
}

fn add_file(
    builder: &mut Builder<BufWriter<File>>,
    folder: &Path,
    path: &Path,
    manifest: &PackManifest,
) -> Result<()> {
    let source = folder.join(path);
    let failed = |error| Error::io("pack", &source, error);
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).custom_flags(no_follow).open(&source).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let is_bin = manifest.bins.iter().any(|bin| bin.as_bytes() == below_first(path));
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(metadata.len());
    header.set_mode(packed_mode(metadata.permissions().mode(), is_bin));
    header.set_mtime(0);
    let name = Path::new("package").join(path);
    let content = file.take(metadata.len());
    builder.append_data(&mut header, name, content).map_err(failed)
}

/// npm makes commands executable, but finds only those at the top: it drops the first folder of
/// the file's path before it compares (`is-package-bin.js`).
fn below_first(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    bytes.iter().position(|byte| *byte == b'/').map_or(bytes, |slash| &bytes[slash + 1..])
}

/// node-tar's mode of a portable archive.
fn packed_mode(mode: u32, is_bin: bool) -> u32 {
    let executable = if is_bin { 0o111 } else { 0 };
    ((mode & 0o777) | executable | 0o600) & !0o022
}

const BUFFER_BYTES: usize = 256 << 10;
