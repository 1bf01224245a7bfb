//! The files of an archive under the names that npm gives them: the first component is dropped,
//! `..` and what is too deep is passed over, `.gitignore` becomes `.npmignore`, and of two entries
//! with one name the last contents and the first mode count.
//!
//! Cites: `pacote` 21.5 `lib/fetcher.js` (`#tarxOptions`, `#entryMode`), node-tar 7.5
//! `dist/esm/unpack.js` (`CHECKPATH`, `STRIPABSOLUTEPATH`).

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::CStr;

use crate::error::Result;

use super::archive::damaged;
use super::{Limits, Warnings};

/// All files that were seen, their names in one buffer that goes from package to package.
#[derive(Default)]
pub(super) struct Listing {
    // Each name ends with a NUL.
    names: Vec<u8>,
    pub files: Vec<Listed>,
    // Paths of every `.npmignore` so far, as in the archive.
    ignores: HashSet<Vec<u8>>,
    cleaned: Vec<u8>,
    keeps_git_ignore: bool,
    pub warnings: Warnings,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    name_start: usize,
    name_length: usize,
    pub mode: u32,
    pub size: u64,
    /// Where the contents begin in the archive.
    pub position: u64,
    pub has_crlf_shebang: bool,
}

/// One file of the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Of the entry that has its contents.
    pub number: u32,
    pub mode: u32,
    /// The number that it is written under: that of the entry, unless another is given to it.
    pub place: u32,
}

impl Listing {
    /// For an archive that is no package yet.
    pub fn keeping_git_ignore() -> Self {
        Self { keeps_git_ignore: true, ..Self::default() }
    }

    pub fn clear(&mut self) {
        self.names.clear();
        self.files.clear();
        self.ignores.clear();
        self.warnings = Warnings::default();
    }

    /// Takes a file; false where npm passes it over.
    pub fn add(
        &mut self,
        path: &[u8],
        mode: u32,
        size: u64,
        position: u64,
        limits: &Limits,
    ) -> Result<bool> {
        let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let renamed;
        let mut path = path;
        if base == b".npmignore" {
            self.ignores.insert(path.to_vec());
        } else if base == b".gitignore" && !self.keeps_git_ignore {
            renamed = [&path[..path.len() - base.len()], b".npmignore"].concat();
            if self.ignores.contains(&renamed) {
                return Ok(false);
            }
            path = &renamed;
        }
        if !self.clean(path)? {
            return Ok(false);
        }
        let (name_start, name_length) = (self.names.len(), self.cleaned.len());
        if name_start + name_length >= limits.names_bytes_max {
            let max = limits.names_bytes_max;
            return Err(damaged(&format!("the names of its files take more than {max} bytes")));
        }
        self.names.extend_from_slice(&self.cleaned);
        self.names.push(0);
        let mode = plain_mode(mode);
        let has_crlf_shebang = false;
        self.files.push(Listed { name_start, name_length, mode, size, position, has_crlf_shebang });
        Ok(true)
    }

    pub fn name(&self, number: u32) -> &[u8] {
        let file = &self.files[number as usize];
        &self.names[file.name_start..file.name_start + file.name_length]
    }

    pub fn c_name(&self, number: u32) -> &CStr {
        let file = &self.files[number as usize];
        let bytes = &self.names[file.name_start..=file.name_start + file.name_length];
        CStr::from_bytes_with_nul(bytes).unwrap_or_default()
    }

    /// The files that the package consists of, each directory's together and parents first.
    pub fn choose(&self) -> Result<Vec<Chosen>> {
        let count = u32::try_from(self.files.len()).map_err(|_| damaged("too many files"))?;
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by(|a, b| {
            compare_paths(self.name(*a), self.name(*b)).then_with(|| a.cmp(b))
        });
        let mut chosen: Vec<Chosen> = Vec::with_capacity(order.len());
        for number in order {
            let name = self.name(number);
            let mode = self.files[number as usize].mode;
            match chosen.last_mut() {
                Some(last) if self.name(last.number) == name => {
                    (last.number, last.place) = (number, number);
                }
                // What is below a path comes right after it.
                Some(last) if is_below(name, self.name(last.number)) => {
                    let path = String::from_utf8_lossy(self.name(last.number));
                    let why = format!("`{}` is a file and a directory", path.escape_debug());
                    return Err(damaged(&why));
                }
                _ => chosen.push(Chosen { number, mode, place: number }),
            }
        }
        Ok(chosen)
    }

    /// Every directory of the chosen files, parents first.
    pub fn directories<'a>(&'a self, chosen: &[Chosen], limits: &Limits) -> Result<Vec<&'a [u8]>> {
        let mut directories = Vec::new();
        let mut bytes_left = limits.names_bytes_max;
        let mut last: &[u8] = b"";
        for file in chosen {
            let name = self.name(file.number);
            let shared = name.iter().zip(last).take_while(|(a, b)| a == b).count();
            for (at, byte) in name.iter().enumerate().skip(shared) {
                if *byte == b'/' {
                    bytes_left = bytes_left.checked_sub(at).ok_or_else(|| {
                        let max = limits.names_bytes_max;
                        damaged(&format!("the names of its directories take more than {max} bytes"))
                    })?;
                    directories.push(&name[..at]);
                }
            }
            last = name;
        }
        Ok(directories)
    }

    /// Puts the path that a file gets into `cleaned`; false where npm passes the entry over.
    fn clean(&mut self, path: &[u8]) -> Result<bool> {
        let Some(slash) = path.iter().position(|byte| *byte == b'/') else { return Ok(false) };
        let stripped = &path[slash + 1..];
        if stripped.split(|byte| *byte == b'/').count() > DEPTH_MAX {
            self.warnings.add("path excessively deep", path);
            return Ok(false);
        }
        let rest = without_root(stripped);
        if rest.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..") {
            self.warnings.add("path contains '..'", path);
            return Ok(false);
        }
        if rest.len() < stripped.len() {
            self.warnings.add("stripping the root from an absolute path", path);
        }
        self.cleaned.clear();
        for part in rest.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
            if part.len() > NAME_BYTES_MAX {
                return Err(damaged(&format!("a file name is longer than {NAME_BYTES_MAX} bytes")));
            }
            if !self.cleaned.is_empty() {
                self.cleaned.push(b'/');
            }
            self.cleaned.extend_from_slice(part);
        }
        if self.cleaned.len() > PATH_BYTES_MAX {
            return Err(damaged(&format!("a path is longer than {PATH_BYTES_MAX} bytes")));
        }
        Ok(!self.cleaned.is_empty())
    }
}

/// npm 11's mode before its umask setting and that of the process; without the setuid bit and its
/// like, which npm lets through.
fn plain_mode(mode: u32) -> u32 {
    (mode | 0o666) & 0o777
}

/// The roots that node-tar takes off on every system: slashes, backslashes and drive letters.
fn without_root(mut path: &[u8]) -> &[u8] {
    loop {
        path = match path {
            [b'/' | b'\\', rest @ ..] => rest,
            [drive, b':', rest @ ..] if drive.is_ascii_alphabetic() => rest,
            _ => return path,
        };
    }
}

/// By components: what is in a directory comes right after it.
fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((a, b)) => rank(a).cmp(&rank(b)),
        None => a.len().cmp(&b.len()),
    }
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// node-tar's `DEFAULT_MAX_DEPTH`.
const DEPTH_MAX: usize = 1024;
/// Linux's `NAME_MAX`.
const NAME_BYTES_MAX: usize = 255;
/// Linux's `PATH_MAX` without its NUL.
const PATH_BYTES_MAX: usize = 4095;

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[&[u8]]) -> Result<Listing> {
        let mut listing = Listing::default();
        for path in paths {
            listing.add(path, 0o644, 0, 0, &Limits::DEFAULT)?;
        }
        Ok(listing)
    }

    /// The name that a path of the archive gets.
    fn cleaned(path: &[u8]) -> Option<Vec<u8>> {
        let listing = listing(&[path]).unwrap();
        (!listing.files.is_empty()).then(|| listing.name(0).to_vec())
    }

    #[test]
    fn names_are_those_of_npm() {
        let cases: [(&[u8], Option<&[u8]>); 20] = [
            (b"package/a", Some(b"a")),
            (b"anything/a/b", Some(b"a/b")),
            (b"../x", Some(b"x")),
            (b"/abs", Some(b"abs")),
            (b"////abs", Some(b"abs")),
            (b"package//a/./b//c", Some(b"a/b/c")),
            (b"package/../../x", None),
            (b"package/a/..", None),
            (b"package/..", None),
            (b"package\\..\\..\\x", None),
            (b"package/..\\x", None),
            (b"package/a\\b", Some(b"a\\b")),
            (b"package/C:\\x", Some(b"x")),
            (b"package/C:..\\x", None),
            (b"package/c:x", Some(b"x")),
            (b"package/\xff\xfe", Some(b"\xff\xfe")),
            (b"package", None),
            (b"package/", None),
            (b"package/.", None),
            (b"", None),
        ];
        for (path, expected) in cases {
            assert_eq!(cleaned(path).as_deref(), expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn components_and_paths_have_limits() {
        let path = |part: usize, count: usize| {
            [
                b"package".as_slice(),
                &["/".to_owned() + &"x".repeat(part)].concat().repeat(count).into_bytes(),
            ]
            .concat()
        };
        assert!(cleaned(&path(255, 1)).is_some());
        assert!(listing(&[&path(256, 1)]).is_err());
        assert!(cleaned(&path(2, 1024)).is_some());
        assert_eq!(cleaned(&path(1, 1025)), None);
        assert!(cleaned(&path(127, 32)).is_some());
        assert!(listing(&[&path(128, 32)]).is_err());
    }

    #[test]
    fn a_gitignore_is_an_npmignore_unless_one_came_before() {
        let names = |paths: &[&[u8]]| {
            let listing = listing(paths).unwrap();
            let chosen = listing.choose().unwrap();
            chosen.iter().map(|c| (listing.name(c.number).to_vec(), c.number)).collect::<Vec<_>>()
        };
        let npmignore = |number| (b".npmignore".to_vec(), number);
        assert_eq!(names(&[b"p/.gitignore"]), [npmignore(0)]);
        assert_eq!(names(&[b"p/.npmignore", b"p/.gitignore"]), [npmignore(0)]);
        assert_eq!(names(&[b"p/.gitignore", b"p/.npmignore"]), [npmignore(1)]);
        let nested = names(&[b"p/.npmignore", b"p/a/.gitignore", b"p/x.gitignore"]);
        let expected = [npmignore(0), (b"a/.npmignore".to_vec(), 1), (b"x.gitignore".to_vec(), 2)];
        assert_eq!(nested, expected);
    }

    #[test]
    fn of_two_entries_the_last_contents_and_the_first_mode_count() {
        let mut listing = Listing::default();
        for mode in [0o755, 0o644, 0o600] {
            listing.add(b"p/a", mode, 0, 0, &Limits::DEFAULT).unwrap();
        }
        assert_eq!(listing.choose().unwrap(), [Chosen { number: 2, mode: 0o777, place: 2 }]);
    }

    #[test]
    fn a_file_where_a_directory_is_needed_is_refused_in_either_order() {
        for paths in [[&b"p/a"[..], b"p/a-b", b"p/a/c"], [b"p/a/c", b"p/a-b", b"p/a"]] {
            let error = listing(&paths).unwrap().choose().unwrap_err();
            let expected = "the tarball cannot be unpacked: `a` is a file and a directory";
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn directories_come_once_and_parents_first() {
        let listing = listing(&[b"p/a/b/c", b"p/a-/x", b"p/a/b-/d", b"p/a/z", b"p/y"]).unwrap();
        let chosen = listing.choose().unwrap();
        let directories = listing.directories(&chosen, &Limits::DEFAULT).unwrap();
        assert_eq!(directories, [&b"a"[..], b"a/b", b"a/b-", b"a-"]);
        let limits = Limits { names_bytes_max: 9, ..Limits::DEFAULT };
        assert!(listing.directories(&chosen, &limits).is_err());
    }

    #[test]
    fn modes_are_readable_by_all_and_never_setuid() {
        for (mode, expected) in
            [(0, 0o666), (0o6777, 0o777), (0o755, 0o777), (0o100, 0o766), (0o4755, 0o777)]
        {
            assert_eq!(plain_mode(mode), expected, "{mode:o}");
        }
    }
}
