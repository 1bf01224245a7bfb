//! Where a file of a package lies in the package's folder.
//!
//! Files have numbers, never names from a tarball. The first [`FOLDER_FILES`] lie in the folder
//! itself, the others by as many in folders below it: ext4 reads a folder's block from its start
//! for every file that is made in it, and short names make for blocks of 340.

/// Files in one folder: few, so that a block of it is looked through quickly, and enough that few
/// more folders are made (docs/experiments.md). Other numbers were not tried.
const FOLDER_FILES: u32 = 64;
/// What the name of such a folder begins with; its number follows.
const FOLDER_PREFIX: u8 = b'd';

/// The number of the folder that a file lies in; `None` for the package's own.
pub(super) fn folder_of(number: u32) -> Option<u32> {
    Some(number / FOLDER_FILES).filter(|folder| *folder > 0)
}

/// Appends the name of a folder.
pub(super) fn push_folder(path: &mut Vec<u8>, folder: u32) {
    path.push(FOLDER_PREFIX);
    path.extend_from_slice(itoa::Buffer::new().format(folder).as_bytes());
}

/// Appends where a file lies in its package's folder.
pub fn push_file(path: &mut Vec<u8>, number: u32) {
    if let Some(folder) = folder_of(number) {
        push_folder(path, folder);
        path.push(b'/');
    }
    path.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The same as a text.
pub fn file_path(number: u32) -> String {
    let mut path = Vec::with_capacity(24);
    push_file(&mut path, number);
    String::from_utf8(path).unwrap_or_else(|_| unreachable!("digits and a prefix are ASCII"))
}

/// Whether an entry of a package's folder is a folder for files.
pub(super) fn is_folder(name: &[u8]) -> bool {
    name.strip_prefix(&[FOLDER_PREFIX])
        .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_place_of_its_own_in_a_folder_that_is_not_too_full() {
        for (number, path) in [
            (0, "0"),
            (63, "63"),
            (64, "d1/64"),
            (127, "d1/127"),
            (128, "d2/128"),
            (u32::MAX, "d67108863/4294967295"),
        ] {
            assert_eq!(file_path(number), path);
            let (folder, _) = path.split_once('/').unwrap_or((path, ""));
            assert_eq!(is_folder(folder.as_bytes()), folder_of(number).is_some());
        }
        assert!(!is_folder(b"d") && !is_folder(b"index"));
    }
}
