//! The keys of `allowScripts`: npm's package specifiers, as far as they can name a package exactly.

use std::fmt;
use std::path::Path;

use node_semver::Version;

use crate::specifier::{parse_range, resolve_path, split_name};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Any version of a package of a registry.
    Name(String),
    /// These versions of it.
    Versions(String, Vec<Version>),
    /// A repository, and the start of a commit or nothing.
    Git { repository: String, commit: String },
    /// A tarball or a folder, as it is written.
    Place(String),
    /// The address of a tarball.
    Remote(String),
    /// npm knows the form, and lets it match nothing: the real name has to be given.
    Alias,
}

/// Why a key cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    Range,
    Tag,
    NoName,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Problem::Range => "it is a range, and would speak for versions that nobody has seen",
            Problem::Tag => "it is a tag, and what it points at changes",
            Problem::NoName => "it names no package",
        })
    }
}

impl Key {
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if let Some(key) = elsewhere(text) {
            return Ok(key);
        }
        let (name, specifier) = split_name(text);
        let specifier = specifier.trim();
        if !is_name(name) {
            return Err(Problem::NoName);
        }
        if matches!(specifier, "" | "*") {
            return Ok(Key::Name(name.to_owned()));
        }
        if specifier.to_ascii_lowercase().starts_with("npm:") {
            return Ok(Key::Alias);
        }
        if let Some(key) = elsewhere(specifier) {
            return Ok(key);
        }
        let versions: Option<Vec<_>> = specifier
            .split("||")
            .map(|version| Version::parse(version.trim().trim_start_matches(['v', '='])).ok())
            .collect();
        match versions {
            Some(versions) => Ok(Key::Versions(name.to_owned(), versions)),
            None if parse_range(specifier).is_some() => Err(Problem::Range),
            None => Err(Problem::Tag),
        }
    }
}

/// A key that names no package of a registry.
fn elsewhere(text: &str) -> Option<Key> {
    if let Some((repository, commit)) = repository(text) {
        let commit = commit.to_owned();
        return Some(Key::Git { repository, commit });
    }
    if text.starts_with("https://") || text.starts_with("http://") {
        return Some(Key::Remote(text.to_owned()));
    }
    if let Some(path) = text.strip_prefix("file:") {
        return Some(Key::Place(path.to_owned()));
    }
    let is_path = ["./", "../", "/", "~/"].iter().any(|start| text.starts_with(start));
    let is_tarball = [".tgz", ".tar.gz", ".tar"].iter().any(|end| text.ends_with(end));
    (is_path || is_tarball).then(|| Key::Place(text.to_owned()))
}

/// One spelling for all that name the same repository, and the commit. A host that is well known
/// is the same whichever way it is asked; of others the way counts too.
pub fn repository(text: &str) -> Option<(String, &str)> {
    let (place, commit) = text.split_once('#').unwrap_or((text, ""));
    let place = place.strip_suffix(".git").unwrap_or(place);
    for (short, host) in SHORT_HOSTS {
        if let Some(path) = place.strip_prefix(short) {
            return Some((format!("{host}/{path}"), commit));
        }
    }
    let is_shorthand = place.split_once('/').is_some_and(|(owner, name)| {
        let is_word = |word: &str| {
            !word.is_empty() && !word.starts_with('.') && !word.contains(['/', ':', '@', '~'])
        };
        is_word(owner) && is_word(name)
    });
    if is_shorthand {
        return Some((format!("github.com/{place}"), commit));
    }
    if let Some((user, rest)) = place.split_once('@')
        && !user.contains(['/', ':'])
        && !user.is_empty()
        && let Some((host, path)) = rest.split_once(':')
        && !host.contains('/')
        && host.contains('.')
    {
        return Some((known_or("ssh", host, path), commit));
    }
    let (scheme, rest) = place.split_once("://")?;
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase();
    let is_known = SHORT_HOSTS.iter().any(|(_, known)| *known == host);
    let path = if is_known { path.trim_end_matches('/') } else { path };
    let is_repository = path.split('/').count() == 2;
    let is_git = scheme == "git"
        || scheme == "ssh"
        || scheme.starts_with("git+")
        || (is_known && is_repository && scheme.starts_with("http"));
    let way = scheme.strip_prefix("git+").unwrap_or(scheme);
    is_git.then(|| (known_or(way, &host, path), commit))
}

fn known_or(way: &str, host: &str, path: &str) -> String {
    let is_known = SHORT_HOSTS.iter().any(|(_, known)| *known == host);
    if is_known { format!("{host}/{path}") } else { format!("{way}://{host}/{path}") }
}

/// A path relative to the project, seen from a folder of it.
pub fn normalized(folder: &str, path: &str) -> String {
    // What climbs out of the project is compared as it is written.
    if folder.is_empty() && path.starts_with("..") {
        return path.to_owned();
    }
    let base = Path::new("/").join(folder);
    let joined = resolve_path(&base, path);
    joined.to_string_lossy().trim_start_matches('/').to_owned()
}

fn is_name(name: &str) -> bool {
    let plain = match name.strip_prefix('@') {
        None => name,
        Some(scoped) => match scoped.split_once('/') {
            Some((scope, plain)) if !scope.is_empty() => plain,
            _ => return false,
        },
    };
    let is_harmless = |character: char| {
        !character.is_whitespace() && !character.is_control() && !"/:?#%\\".contains(character)
    };
    !plain.is_empty()
        && !plain.starts_with('.')
        && name.chars().skip(1).all(|character| is_harmless(character) || character == '/')
        && plain.chars().all(is_harmless)
}

/// The hosts that npm knows by a word.
const SHORT_HOSTS: [(&str, &str); 5] = [
    ("github:", "github.com"),
    ("gitlab:", "gitlab.com"),
    ("bitbucket:", "bitbucket.org"),
    ("gist:", "gist.github.com"),
    ("sourcehut:", "git.sr.ht"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(name: &str, versions: &[&str]) -> Key {
        let versions = versions.iter().map(|version| Version::parse(version).unwrap());
        Key::Versions(name.to_owned(), versions.collect())
    }

    #[test]
    fn a_name_alone_is_every_version() {
        for text in ["esbuild", "esbuild@*", " esbuild ", "esbuild@"] {
            assert_eq!(Key::parse(text), Ok(Key::Name("esbuild".to_owned())), "{text}");
        }
        assert_eq!(Key::parse("@scope/name"), Ok(Key::Name("@scope/name".to_owned())));
    }

    #[test]
    fn exact_versions_are_joined_by_bars() {
        assert_eq!(Key::parse("a@1.2.3"), Ok(versions("a", &["1.2.3"])));
        let both = versions("@s/a", &["1.0.0", "2.0.0-rc.1"]);
        assert_eq!(Key::parse("@s/a@1.0.0 || v2.0.0-rc.1"), Ok(both));
    }

    #[test]
    fn ranges_tags_and_what_is_no_name_are_not_followed() {
        for (text, problem) in [
            ("a@^1.0.0", Problem::Range),
            ("a@1", Problem::Range),
            ("a@>=0", Problem::Range),
            ("a@1.0.0 || ^2", Problem::Range),
            ("a@latest", Problem::Tag),
            ("", Problem::NoName),
            ("@scope", Problem::NoName),
            ("a b", Problem::NoName),
            ("a\u{1b}[31m", Problem::NoName),
        ] {
            assert_eq!(Key::parse(text), Err(problem), "{text:?}");
        }
    }

    #[test]
    fn an_alias_names_nothing() {
        assert_eq!(Key::parse("alias@npm:real@1.0.0"), Ok(Key::Alias));
    }

    #[test]
    fn a_repository_has_one_spelling() {
        for text in [
            "github:owner/name#abc",
            "owner/name#abc",
            "git+ssh://git@github.com/owner/name.git#abc",
            "git@github.com:owner/name.git#abc",
            "https://github.com/owner/name#abc",
            "name@github:owner/name#abc",
        ] {
            let expected = Key::Git {
                repository: "github.com/owner/name".to_owned(),
                commit: "abc".to_owned(),
            };
            assert_eq!(Key::parse(text), Ok(expected), "{text}");
        }
        let own = repository("git+ssh://git@host.example/owner/name.git#abc");
        assert_eq!(own, Some(("ssh://host.example/owner/name".to_owned(), "abc")));
        assert_ne!(repository("git+http://host.example/owner/name"), own);
    }

    #[test]
    fn files_folders_and_addresses_are_taken_as_they_are() {
        let place = |path: &str| Ok(Key::Place(path.to_owned()));
        assert_eq!(Key::parse("file:lib/x.tgz"), place("lib/x.tgz"));
        assert_eq!(Key::parse("./lib"), place("./lib"));
        let address = "https://host.example/x.tgz";
        assert_eq!(Key::parse(address), Ok(Key::Remote(address.to_owned())));
        assert_eq!(normalized("", "./lib/"), "lib");
        assert_eq!(normalized("node_modules", "../lib"), "lib");
        assert_eq!(normalized("", "../lib"), "../lib");
    }
}
