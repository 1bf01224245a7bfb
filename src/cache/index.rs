//! The index of one package in the cache: its directories, its files, and what its own
//! `package.json` says about bins and scripts.
//!
//! The bytes on disk are the value in memory: one buffer, read at once, and iterators over it that
//! allocate nothing. All numbers are little endian, all texts end with a NUL that is not counted:
//!
//! ```text
//! header       "rsindex" and the version, crc32 of all that follows it, length of the whole,
//!              counts of bins, directories and files, flags
//! name         u16 length, text (empty where there is none)
//! version      u16 length, text
//! bins         u16 length, name; u16 length, path of the file
//! directories  u16 length, path; parents come first
//! files        u32 number, u64 size, u16 mode with the CRLF flag, u16 plain mode,
//!              u16 length, path
//! ```
//!
//! A torn, truncated or altered index has the wrong length or sum. Every bound is checked even so,
//! and no path that could leave its package is accepted.

use std::ffi::CStr;

/// What a package's index says. A reader never sees one that was not checked as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    buffer: Vec<u8>,
    sections: Sections,
}

/// One file of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// The file's name in the package's folder of the cache.
    pub number: u32,
    /// Below the package's root.
    pub path: &'a CStr,
    /// As asked of open(2), before the umask: 0777 for the target of a bin.
    pub mode: u32,
    /// The same for a file that no bin leads to.
    pub plain_mode: u32,
    pub size: u64,
    /// The `#!` line ends with CRLF, which npm rewrites when it links the file as a bin.
    pub has_crlf_shebang: bool,
}

/// What a package's own `package.json`, and the names of its files, say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Empty where there is none.
    pub name: String,
    pub version: String,
    /// Names and the files that they lead to, both normalised.
    pub bins: Vec<(String, String)>,
    /// npm would run something when the package is installed.
    pub has_install_scripts: bool,
    /// The package brings packages of its own.
    pub has_node_modules: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sections {
    bins: Section,
    directories: Section,
    files: Section,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    start: usize,
    count: u32,
}

impl Index {
    /// `None` where the bytes are not a whole index of this version.
    pub fn parse(buffer: Vec<u8>) -> Option<Self> {
        let mut cursor = Cursor { rest: &buffer };
        if cursor.take(MAGIC.len())? != MAGIC
            || cursor.u32()? != libdeflater::crc32(buffer.get(SUM_END..)?)
            || cursor.u32()? as usize != buffer.len()
        {
            return None;
        }
        let (bins, directories, files) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        if cursor.u32()? & !(HAS_INSTALL_SCRIPTS | HAS_NODE_MODULES) != 0 {
            return None;
        }
        for _ in 0..2 {
            str::from_utf8(cursor.text()?.to_bytes()).ok()?;
        }
        let start = |cursor: &Cursor<'_>| buffer.len() - cursor.rest.len();
        let bins = Section { start: start(&cursor), count: bins };
        for _ in 0..2 * u64::from(bins.count) {
            str::from_utf8(cursor.text()?.to_bytes()).ok()?;
        }
        let directories = Section { start: start(&cursor), count: directories };
        for _ in 0..directories.count {
            cursor.text().filter(|path| stays_inside(path.to_bytes()))?;
        }
        let files = Section { start: start(&cursor), count: files };
        for _ in 0..files.count {
            cursor.file().filter(|file| stays_inside(file.path.to_bytes()))?;
        }
        let is_whole = cursor.rest.is_empty();
        let sections = Sections { bins, directories, files };
        is_whole.then_some(Self { buffer, sections })
    }

    /// `None` where a text is longer than any path, or the whole longer than [`INDEX_BYTES_MAX`].
    pub fn build<'a>(
        facts: &Facts,
        directories: impl Iterator<Item = &'a [u8]>,
        files: impl Iterator<Item = FileEntry<'a>>,
    ) -> Option<Self> {
        let mut buffer = vec![0; HEADER_BYTES];
        put_text(&mut buffer, facts.name.as_bytes())?;
        put_text(&mut buffer, facts.version.as_bytes())?;
        for text in facts.bins.iter().flat_map(|(name, path)| [name, path]) {
            put_text(&mut buffer, text.as_bytes())?;
        }
        let (mut directory_count, mut file_count) = (0_u32, 0_u32);
        for path in directories {
            put_text(&mut buffer, path)?;
            directory_count = directory_count.checked_add(1)?;
        }
        for file in files {
            buffer.extend_from_slice(&file.number.to_le_bytes());
            buffer.extend_from_slice(&file.size.to_le_bytes());
            let crlf = if file.has_crlf_shebang { CRLF_SHEBANG } else { 0 };
            for mode in [file.mode | crlf, file.plain_mode] {
                buffer.extend_from_slice(&u16::try_from(mode).ok()?.to_le_bytes());
            }
            put_text(&mut buffer, file.path.to_bytes())?;
            file_count = file_count.checked_add(1)?;
        }
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let flags = flag(facts.has_install_scripts, HAS_INSTALL_SCRIPTS)
            | flag(facts.has_node_modules, HAS_NODE_MODULES);
        let length =
            u32::try_from(buffer.len()).ok().filter(|length| *length <= INDEX_BYTES_MAX)?;
        let bin_count = u32::try_from(facts.bins.len()).ok()?;
        let numbers = [length, bin_count, directory_count, file_count, flags];
        for (slot, number) in buffer[SUM_END..HEADER_BYTES].chunks_exact_mut(4).zip(numbers) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        let sum = libdeflater::crc32(&buffer[SUM_END..]);
        buffer[..MAGIC.len()].copy_from_slice(MAGIC);
        buffer[MAGIC.len()..SUM_END].copy_from_slice(&sum.to_le_bytes());
        Self::parse(buffer)
    }

    /// What is written to disk.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// How long the index that starts with `bytes` claims to be.
    pub fn claimed_length(bytes: &[u8]) -> Option<usize> {
        let mut cursor = Cursor { rest: bytes.get(SUM_END..)? };
        let length = cursor.u32().filter(|length| *length <= INDEX_BYTES_MAX)?;
        (bytes[..MAGIC.len()] == *MAGIC).then_some(length as usize)
    }

    /// Of the package's own `package.json`; empty where it has none.
    pub fn name(&self) -> &str {
        self.cursor(HEADER_BYTES).str().unwrap_or_default()
    }

    pub fn version(&self) -> &str {
        let mut cursor = self.cursor(HEADER_BYTES);
        cursor.text();
        cursor.str().unwrap_or_default()
    }

    /// Names and the files that they lead to, both normalised as npm does it.
    pub fn bins(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut cursor = self.cursor(self.sections.bins.start);
        (0..self.sections.bins.count).map_while(move |_| Some((cursor.str()?, cursor.str()?)))
    }

    /// Every directory below the package's root, parents first.
    pub fn directories(&self) -> impl Iterator<Item = &CStr> {
        let mut cursor = self.cursor(self.sections.directories.start);
        (0..self.sections.directories.count).map_while(move |_| cursor.text())
    }

    pub fn files(&self) -> impl Iterator<Item = FileEntry<'_>> {
        let mut cursor = self.cursor(self.sections.files.start);
        (0..self.sections.files.count).map_while(move |_| cursor.file())
    }

    pub fn directory_count(&self) -> usize {
        self.sections.directories.count as usize
    }

    pub fn file_count(&self) -> usize {
        self.sections.files.count as usize
    }

    /// npm would run `preinstall`, `install` or `postinstall`, or node-gyp.
    pub fn has_install_scripts(&self) -> bool {
        self.flags() & HAS_INSTALL_SCRIPTS != 0
    }

    /// Some path starts with `node_modules/`.
    pub fn has_node_modules(&self) -> bool {
        self.flags() & HAS_NODE_MODULES != 0
    }

    fn flags(&self) -> u32 {
        self.cursor(HEADER_BYTES - 4).u32().unwrap_or_default()
    }

    fn cursor(&self, start: usize) -> Cursor<'_> {
        Cursor { rest: self.buffer.get(start..).unwrap_or_default() }
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a CStr> {
        let length = usize::from(self.u16()?);
        CStr::from_bytes_with_nul(self.take(length + 1)?).ok()
    }

    fn str(&mut self) -> Option<&'a str> {
        str::from_utf8(self.text()?.to_bytes()).ok()
    }

    fn file(&mut self) -> Option<FileEntry<'a>> {
        let (number, size) = (self.u32()?, self.u64()?);
        let (mode, plain_mode) = (u32::from(self.u16()?), u32::from(self.u16()?));
        let has_crlf_shebang = mode & CRLF_SHEBANG != 0;
        let mode = mode & !CRLF_SHEBANG;
        if (mode | plain_mode) & !0o777 != 0 {
            return None;
        }
        Some(FileEntry { number, path: self.text()?, mode, plain_mode, size, has_crlf_shebang })
    }
}

fn put_text(buffer: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    buffer.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
    buffer.extend_from_slice(text);
    buffer.push(0);
    Some(())
}

fn stays_inside(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

/// A million files with their paths and directories, which `extract` bounds; reading allocates no
/// more than this for one index.
pub const INDEX_BYTES_MAX: u32 = 192 << 20;

const MAGIC: &[u8; 8] = b"rsindex\x02";
const SUM_END: usize = MAGIC.len() + 4;
const HEADER_BYTES: usize = SUM_END + 5 * 4;
const HAS_INSTALL_SCRIPTS: u32 = 1;
const HAS_NODE_MODULES: u32 = 2;
/// Above all the bits of a mode.
const CRLF_SHEBANG: u32 = 1 << 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            name: "@scope/name".to_owned(),
            version: "1.2.3".to_owned(),
            bins: vec![("a".to_owned(), "bin/a.js".to_owned()), ("b".to_owned(), "b".to_owned())],
            has_install_scripts: true,
            has_node_modules: false,
        }
    }

    fn file(number: u32, path: &CStr) -> FileEntry<'_> {
        let size = 5_000_000_000 + u64::from(number);
        let has_crlf_shebang = number == 1;
        FileEntry { number, path, mode: 0o777, plain_mode: 0o644, size, has_crlf_shebang }
    }

    fn sample() -> Index {
        let directories: [&[u8]; 3] = [b"bin", b"lib", b"lib/\xff"];
        let files = [file(1, c"bin/a.js"), file(0, c"lib/\xff/x"), file(7, c"package.json")];
        Index::build(&facts(), directories.into_iter(), files.into_iter()).unwrap()
    }

    /// xorshift64: the same numbers in every run.
    fn random(state: &mut u64) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state >> 33).unwrap()
    }

    fn read_all(index: &Index) -> usize {
        index.name().len()
            + index.version().len()
            + index.bins().count()
            + index.directories().count()
            + index.files().count()
    }

    #[test]
    fn what_is_built_is_read_back() {
        let index = Index::parse(sample().as_bytes().to_vec()).unwrap();
        assert_eq!((index.name(), index.version()), ("@scope/name", "1.2.3"));
        assert_eq!(index.bins().collect::<Vec<_>>(), [("a", "bin/a.js"), ("b", "b")]);
        assert_eq!(index.directories().collect::<Vec<_>>(), [c"bin", c"lib", c"lib/\xff"]);
        let files = [file(1, c"bin/a.js"), file(0, c"lib/\xff/x"), file(7, c"package.json")];
        assert_eq!(index.files().collect::<Vec<_>>(), files);
        assert_eq!((index.file_count(), index.directory_count()), (3, 3));
        assert!(index.has_install_scripts() && !index.has_node_modules());
        assert_eq!(Index::claimed_length(index.as_bytes()), Some(index.as_bytes().len()));
    }

    #[test]
    fn an_empty_package_has_an_index() {
        let index = Index::build(&Facts::default(), [].into_iter(), [].into_iter()).unwrap();
        assert_eq!((index.name(), read_all(&index)), ("", 0));
    }

    #[test]
    fn a_path_that_could_leave_the_package_is_not_accepted() {
        for path in [c"", c"/a", c"a//b", c"../a", c"a/..", c"./a"] {
            let files = [file(0, path)].into_iter();
            assert_eq!(Index::build(&Facts::default(), [].into_iter(), files), None);
            let directories = [path.to_bytes()].into_iter();
            assert_eq!(Index::build(&Facts::default(), directories, [].into_iter()), None);
        }
    }

    #[test]
    fn a_truncated_or_altered_index_is_not_accepted() {
        let good = sample().as_bytes().to_vec();
        for length in 0..good.len() {
            assert_eq!(Index::parse(good[..length].to_vec()), None);
        }
        let mut state = 0x5eed;
        for _ in 0..5000 {
            let mut bytes = good.clone();
            let at = random(&mut state) % bytes.len();
            bytes[at] ^= 1 << (random(&mut state) % 8);
            assert_eq!(Index::parse(bytes), None);
        }
        assert_eq!(Index::parse([good, vec![0]].concat()), None);
    }

    #[test]
    fn an_altered_index_with_a_right_sum_and_length_is_read_without_panic() {
        let good = sample().as_bytes().to_vec();
        let mut state = 0xfeed;
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=random(&mut state) % 4 {
                let at = SUM_END + 4 + random(&mut state) % (bytes.len() - SUM_END - 4);
                bytes[at] = u8::try_from(random(&mut state) % 256).unwrap();
            }
            let sum = libdeflater::crc32(&bytes[SUM_END..]);
            bytes[MAGIC.len()..SUM_END].copy_from_slice(&sum.to_le_bytes());
            if let Some(index) = Index::parse(bytes) {
                read_all(&index);
                assert!(index.files().all(|file| stays_inside(file.path.to_bytes())));
            }
        }
    }
}
