//! What a dependency asks for: the right-hand side of `dependencies`, as npm-package-arg reads it.

use std::path::{Component, Path, PathBuf};

use node_semver::{Range, Version};

use crate::sources::address::GitAddress;

/// A parsed dependency specifier.
#[derive(Clone, Debug)]
pub enum Specifier<'a> {
    /// `*` or nothing: any version, prereleases too.
    Any,
    /// A version or a range of versions.
    Range(Range),
    /// A dist-tag such as `latest`; also a range that cannot be understood.
    Tag(&'a str),
    /// `npm:real@specifier`.
    Alias(&'a str, Box<Specifier<'a>>),
    /// A git repository, at any host.
    Git(&'a str),
    /// The address of a tarball.
    Remote(&'a str),
    /// A tarball in the project.
    File(&'a str),
    /// A folder that is linked.
    Directory(&'a str),
}

impl<'a> Specifier<'a> {
    pub fn parse(text: &'a str) -> Self {
        let trimmed = text.trim();
        if matches!(trimmed, "" | "*") {
            return Specifier::Any;
        }
        if let Some(alias) = strip_prefix_ignoring_case(trimmed, "npm:") {
            let (name, specifier) = split_name(alias);
            return Specifier::Alias(name, Box::new(Specifier::parse(specifier)));
        }
        if let Some(path) = local_path(trimmed) {
            let is_tarball = [".tgz", ".tar.gz", ".tar"].iter().any(|end| path.ends_with(end));
            return if is_tarball { Specifier::File(path) } else { Specifier::Directory(path) };
        }
        if is_git(trimmed) {
            return Specifier::Git(trimmed);
        }
        if trimmed.starts_with("http://") || trimmed.starts_with("https://") {
            return Specifier::Remote(trimmed);
        }
        parse_range(trimmed).map_or(Specifier::Tag(trimmed), Specifier::Range)
    }

    /// Whether it asks a registry.
    pub fn is_of_registry(&self) -> bool {
        match self {
            Specifier::Any | Specifier::Range(_) | Specifier::Tag(_) => true,
            Specifier::Alias(_, behind) => behind.is_of_registry(),
            Specifier::Git(_)
            | Specifier::Remote(_)
            | Specifier::File(_)
            | Specifier::Directory(_) => false,
        }
    }

    /// Whether a version satisfies it, by npm's rule for registry packages (dep-valid.js); `None`
    /// where the specifier does not speak of versions.
    pub fn accepts(&self, version: Option<&Version>) -> Option<bool> {
        match self {
            // What a tag pointed at when the lockfile was written is not to be known from it.
            Specifier::Any | Specifier::Tag(_) => Some(true),
            Specifier::Range(range) => {
                Some(version.is_some_and(|version| range.satisfies(version)))
            }
            // The name behind an alias is not compared, as in npm.
            Specifier::Alias(_, specifier) => specifier.accepts(version),
            Specifier::Git(_)
            | Specifier::Remote(_)
            | Specifier::File(_)
            | Specifier::Directory(_) => None,
        }
    }
}

/// A range as npm's own semver reads it, in its loose mode. The library differs in a few forms
/// (compared over the 2,284 specifiers of seven real lockfiles and 1,255 versions): `<=27` has to
/// allow 27.5.1, `^x` and `||` have to allow anything.
pub fn parse_range(text: &str) -> Option<Range> {
    if text.contains("<=") {
        return Range::parse(widen_upper_bounds(text)).ok();
    }
    Range::parse(text).ok().or_else(|| {
        let is_anything = matches!(text.trim(), "" | "||" | "^x" | "~x" | "^*" | "~*");
        is_anything.then(Range::any)
    })
}

/// Writes `<=1` and `<=1.2` as `<2.0.0-0` and `<1.3.0-0`.
fn widen_upper_bounds(text: &str) -> String {
    let mut parts = text.split("<=");
    let mut widened = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let trimmed = part.trim_start();
        let end = trimmed
            .find(|character: char| character.is_whitespace() || character == '|')
            .unwrap_or(trimmed.len());
        let (version, rest) = trimmed.split_at(end);
        match next_after_partial(version) {
            Some(next) => widened.extend(["<", &next, rest]),
            None => widened.extend(["<=", version, rest]),
        }
    }
    widened
}

/// `2.0.0-0` for `1` and `1.x`, `1.3.0-0` for `1.2`; `None` for a whole version.
fn next_after_partial(version: &str) -> Option<String> {
    let numbers: Vec<&str> = version
        .trim_start_matches(['v', '='])
        .split('.')
        .take_while(|part| !matches!(*part, "x" | "X" | "*"))
        .collect();
    match numbers[..] {
        [major] => Some(format!("{}.0.0-0", major.parse::<u64>().ok()?.checked_add(1)?)),
        [major, minor] => {
            let minor = minor.parse::<u64>().ok()?.checked_add(1)?;
            Some(format!("{major}.{minor}.0-0"))
        }
        _ => None,
    }
}

/// `real@specifier` or `@scope/real@specifier`.
pub fn split_name(text: &str) -> (&str, &str) {
    let from = usize::from(text.starts_with('@'));
    match text[from..].find('@') {
        Some(at) => (&text[..from + at], &text[from + at + 1..]),
        None => (text, ""),
    }
}

/// Joins and normalises without asking the file system: `..` at the root of an absolute path goes
/// nowhere, as in path.resolve.
pub fn resolve_path(base: &Path, path: &str) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            Component::RootDir | Component::Normal(_) | Component::Prefix(_) => {
                resolved.push(component);
            }
        }
    }
    resolved
}

fn local_path(text: &str) -> Option<&str> {
    if let Some(path) = strip_prefix_ignoring_case(text, "file:") {
        // file:///abs and file://./x are two spellings of file:/abs and file:./x.
        return Some(path.strip_prefix("//").unwrap_or(path));
    }
    let is_path = ["./", "../", "/", "~/"].iter().any(|start| text.starts_with(start))
        || text == "."
        || text == "..";
    is_path.then_some(text)
}

fn is_git(text: &str) -> bool {
    // A version has neither.
    text.contains([':', '/']) && GitAddress::parse(text).is_some()
}

fn strip_prefix_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(specifier: &str, version: &str) -> Option<bool> {
        Specifier::parse(specifier).accepts(Version::parse(version).ok().as_ref())
    }

    #[test]
    fn ranges_are_matched_as_npm_matches_them() {
        for (specifier, version, expected) in [
            ("^1.2.3", "1.9.0", true),
            ("^0.2.3", "0.3.0", false),
            ("~1.2", "1.2.9", true),
            (">=1.0.0 <2.0.0 || 3.x", "3.1.4", true),
            ("1.2.3 - 2.3", "2.3.9", true),
            ("^1.2.3", "1.3.0-beta.1", false),
            ("^1.2.3-alpha", "1.2.3-beta.1", true),
            (">= 1.0", "2.0.0", true),
            ("v1.2.3", "1.2.3", true),
            ("=1.2.3", "1.2.3+build", true),
            ("x", "1.0.0", true),
            ("*", "1.0.0-rc.1", true),
            ("", "1.0.0-rc.1", true),
            ("~> 1.2.0", "1.2.5", true),
            ("^ 1.2.0", "1.4.0", true),
            ("<1.0.0", "1.0.0-rc.1", false),
            (">=24 <=27", "27.5.1", true),
            ("<=1.2", "1.2.9", true),
            ("<=1.2", "1.3.0", false),
            ("<= 1.2.3", "1.2.4", false),
            ("<=2.x || 4", "2.9.5", true),
            ("||", "1.0.0", true),
            ("^x", "1.0.0", true),
            ("latest", "1.0.0", true),
            ("npm:other@^2", "2.1.0", true),
            ("npm:@scope/other@1", "2.0.0", false),
        ] {
            assert_eq!(accepts(specifier, version), Some(expected), "{specifier} {version}");
        }
    }

    #[test]
    fn other_sources_say_nothing_of_versions() {
        for specifier in [
            "git+ssh://git@example.test/o/r.git#abc",
            "github:o/r",
            "owner/repository",
            "owner/repository#semver:^1",
            "https://example.test/x.tgz",
            "file:../x",
            "file:x.tgz",
            "./x",
        ] {
            assert_eq!(accepts(specifier, "1.0.0"), None, "{specifier}");
        }
    }

    #[test]
    fn local_paths_are_tarballs_or_folders_by_their_ending() {
        assert!(matches!(Specifier::parse("file:a/b.tgz"), Specifier::File("a/b.tgz")));
        assert!(matches!(Specifier::parse("file:a/b"), Specifier::Directory("a/b")));
    }

    #[test]
    fn a_path_is_resolved_without_the_file_system() {
        let resolved = resolve_path(Path::new("/p/a"), "../../../b/./c");
        assert_eq!(resolved, Path::new("/b/c"));
    }
}
