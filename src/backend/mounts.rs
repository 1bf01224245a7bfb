//! Which mount a folder is on, and the layers of an overlay (/proc/self/mountinfo).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A mount, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub point: PathBuf,
    /// As the kernel calls it: `ext4`, `overlay`, `nfs4`.
    pub kind: String,
    /// Where the layers of an overlay are, by the names of the host that mounted it; they need not
    /// be visible from here.
    pub lower: Vec<PathBuf>,
    pub upper: Option<PathBuf>,
}

impl Mount {
    /// The mount that a path without links is on; `None` where the system does not tell.
    pub fn of(path: &Path) -> Option<Self> {
        find(&fs::read("/proc/self/mountinfo").ok()?, path)
    }

    /// Those lower layers in which a path that is on this mount can be seen to lie.
    pub fn layers_below(&self, path: &Path) -> Vec<PathBuf> {
        let Ok(inside) = path.strip_prefix(&self.point) else { return Vec::new() };
        self.lower.iter().filter(|layer| layer.join(inside).exists()).cloned().collect()
    }
}

/// The last of the mounts with the longest path: later ones hide earlier ones.
fn find(mountinfo: &[u8], path: &Path) -> Option<Mount> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines
        .filter_map(parse)
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

/// A line as in proc_pid_mountinfo(5).
fn parse(line: &[u8]) -> Option<Mount> {
    let fields: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let kind = String::from_utf8_lossy(fields.get(separator + 1)?).into_owned();
    let mut mount =
        Mount { point: to_path(unescape(fields.get(4)?)), kind, lower: Vec::new(), upper: None };
    if mount.kind == "overlay" {
        let options = fields.get(separator + 3).copied().unwrap_or_default();
        for option in options.split(|byte| *byte == b',') {
            let value = |name: &[u8]| Some(unescape(option.strip_prefix(name)?));
            if let Some(layers) = value(b"lowerdir=") {
                // `::` begins the layers of which only data is seen.
                let layers = split(&layers, b':').into_iter().filter(|layer| !layer.is_empty());
                mount.lower.extend(layers.map(|layer| to_path(without_backslashes(&layer))));
            } else if let Some(layer) = value(b"lowerdir+=") {
                mount.lower.push(to_path(layer));
            } else if let Some(layer) = value(b"upperdir=") {
                mount.upper = Some(to_path(without_backslashes(&layer)));
            }
        }
    }
    Some(mount)
}

/// Parts between separators that no backslash precedes.
fn split(text: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut is_escaped = false;
    for byte in text {
        match parts.last_mut() {
            Some(part) if is_escaped || *byte != separator => part.push(*byte),
            _ => parts.push(Vec::new()),
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    parts
}

fn without_backslashes(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        let kept = if byte == b'\\' { bytes.next() } else { Some(byte) };
        plain.extend(kept);
    }
    plain
}

/// The kernel writes spaces, tabs, line ends and backslashes as three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal.filter(|_| *first == b'\\') {
            plain.push(byte);
            rest = &rest[4..];
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

fn to_path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = br"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
30 27 0:40 / /w\040x rw - overlay o rw,lowerdir=/l\040one:/l\134:two,upperdir=/u,workdir=/k
31 30 0:41 / /w\040x/m rw - overlay none rw,lowerdir+=/a:b,lowerdir+=/c,userxattr
32 27 0:42 / /proc rw - tmpfs none rw
";

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_path_is_on_the_last_of_the_nearest_mounts() {
        let on = |path: &str| {
            let mount = find(MOUNTINFO, Path::new(path)).unwrap();
            (mount.point.display().to_string(), mount.kind)
        };
        assert_eq!(on("/home"), ("/".to_owned(), "ext4".to_owned()));
        assert_eq!(on("/w xy"), ("/".to_owned(), "ext4".to_owned()));
        assert_eq!(on("/w x/a"), ("/w x".to_owned(), "overlay".to_owned()));
        assert_eq!(on("/proc/1"), ("/proc".to_owned(), "tmpfs".to_owned()));
        assert_eq!(find(b"", Path::new("/")), None);
    }

    #[test]
    fn the_layers_of_an_overlay_are_told_in_both_spellings() {
        let mount = find(MOUNTINFO, Path::new("/w x")).unwrap();
        assert_eq!(mount.lower, paths(&["/l one", "/l:two"]));
        assert_eq!(mount.upper, Some(PathBuf::from("/u")));
        let mount = find(MOUNTINFO, Path::new("/w x/m")).unwrap();
        assert_eq!((mount.lower, mount.upper), (paths(&["/a:b", "/c"]), None));
    }

    #[test]
    fn a_layer_that_holds_a_path_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let layers = ["with", "without"].map(|name| temp.path().join(name));
        fs::create_dir_all(layers[0].join("cache")).unwrap();
        fs::create_dir_all(&layers[1]).unwrap();
        let mount = Mount {
            point: "/merged".into(),
            kind: "overlay".to_owned(),
            lower: layers.to_vec(),
            upper: None,
        };
        assert_eq!(mount.layers_below(Path::new("/merged/cache")), layers[..1]);
    }
}
