//! The keys of `allowScripts`: npm's package specifiers, as far as they can name a package exactly.

use std::fmt;
use std::path::Path;

use node_semver::Version;
use url::Url;

use crate::sources::address::GitAddress;
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
    // `name@github:owner/name` looks like `user@host:path`, but for the dot that hosts have.
    let behind = text.split_once('@').and_then(|(_, behind)| behind.split_once(':'));
    let is_named = !text.contains("://") && behind.is_some_and(|(host, _)| !host.contains('.'));
    if let Some((repository, commit)) = repository(text).filter(|_| !is_named) {
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

/// One spelling for all that name the same repository, and the commit, as they are read where the
/// repository is fetched. A host that is well known is the same whichever way it is asked; of
/// others the way counts too.
pub fn repository(text: &str) -> Option<(String, String)> {
    let address = GitAddress::parse(text)?;
    let place = match (address.hosted, address.remote) {
        (Some(hosted), _) => hosted.identity(),
        (None, Some(remote)) => without_user(&remote),
        (None, None) => return None,
    };
    Some((place.trim_end_matches(".git").to_owned(), address.committish.unwrap_or_default()))
}

/// `git@host:path` is ssh; who asks makes no other repository of it.
fn without_user(remote: &str) -> String {
    let Ok(mut url) = Url::parse(remote) else {
        let rest = remote.split_once('@').map_or(remote, |(_, rest)| rest);
        return format!("ssh://{}", rest.replacen(':', "/", 1));
    };
    // Neither can fail where there is a host, and without one there is no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
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
            "git+https://github.com:443/owner/name.git#abc",
            "git+https://www.github.com/own%65r/name.git#abc",
        ] {
            let expected = Key::Git {
                repository: "git@github.com:owner/name".to_owned(),
                commit: "abc".to_owned(),
            };
            assert_eq!(Key::parse(text), Ok(expected), "{text}");
        }
        let own = repository("git+ssh://git@host.example/owner/name.git#abc");
        assert_eq!(own, Some(("ssh://host.example/owner/name".to_owned(), "abc".to_owned())));
        assert_eq!(repository("git@host.example:owner/name.git#abc"), own);
        assert_ne!(repository("git+http://host.example/owner/name"), own);
    }

    #[test]
    fn another_host_cannot_pass_for_a_known_one() {
        let known = repository("github:owner/name").map(|(place, _)| place);
        for spoof in [
            "https://evil.example?@github.com/owner/name",
            "git+https://evil.example?@github.com/owner/name#abc",
            "git+https://evil.example/x@github.com/owner/name#abc",
            "git+ssh://git@evil.example/github.com/owner/name.git",
        ] {
            assert_ne!(repository(spoof).map(|(place, _)| place), known, "{spoof}");
        }
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
