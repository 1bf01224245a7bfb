//! A git repository as lockfiles and package.json name it: where it is, and what of it is wanted
//! (npm-package-arg 13, `setGitAttrs` and `fromURL`).

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::hosted::HostedRepository;
use crate::error::{Code, Error, Result};

/// What a git address says, before anyone decides whether it is to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitAddress {
    pub hosted: Option<HostedRepository>,
    /// What git is given; for a known host that follows from `hosted`.
    pub remote: Option<String>,
    /// A commit, branch or tag.
    pub committish: Option<String>,
    /// The range behind `semver:`.
    pub range: Option<String>,
    /// The folder of the package, behind `path:`.
    pub subfolder: Option<String>,
}

/// A repository that can be fetched: a whole commit, by a transport that runs no program of the
/// address's choice. `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub struct GitSource {
    pub hosted: Option<HostedRepository>,
    remote: String,
    pub commit: String,
    /// Below the repository's root.
    pub subfolder: Option<String>,
}

/// How a package from git is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It asks for no preparation.
    Plain,
    Prepared,
    /// It asks for one that is not allowed.
    Unprepared,
}

impl GitAddress {
    /// `None` for what npm takes for something else than a git repository.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(hosted) = HostedRepository::parse(text) {
            let committish = hosted.committish.clone().unwrap_or_default();
            let mut address = Self::with_committish(&committish)?;
            address.hosted = Some(hosted);
            return Some(address);
        }
        let (before, committish) = text.split_once('#').unwrap_or((text, ""));
        // `git+ssh://git@host:path` is the scp form with a scheme before it.
        let scp = before.strip_prefix("git+ssh://").or((!before.contains("://")).then_some(before));
        if let Some(scp) = scp.filter(|scp| is_scp(scp)) {
            let mut address = Self::with_committish(committish)?;
            address.remote = Some(scp.to_owned());
            return Some(address);
        }
        let mut url = Url::parse(text).ok()?;
        let transport = match url.scheme() {
            "git" => "git",
            "ssh" => "ssh",
            scheme => scheme.strip_prefix("git+")?,
        };
        if !matches!(transport, "git" | "ssh" | "http" | "https" | "file" | "rsync" | "ftp") {
            return None;
        }
        let mut address = Self::with_committish(url.fragment().unwrap_or_default())?;
        url.set_fragment(None);
        let remote = url.as_str();
        address.remote = Some(remote.strip_prefix("git+").unwrap_or(remote).to_owned());
        Some(address)
    }

    /// Parts between `::`; npm refuses two commits or ranges.
    fn with_committish(text: &str) -> Option<Self> {
        let mut address =
            Self { hosted: None, remote: None, committish: None, range: None, subfolder: None };
        for part in text.split("::").filter(|_| !text.is_empty()) {
            let slot = match part.split_once(':') {
                None => &mut address.committish,
                Some(("semver", _)) => &mut address.range,
                Some(("path", _)) => &mut address.subfolder,
                Some(_) => continue,
            };
            let value = part.split_once(':').map_or(part, |(_, value)| value);
            if slot.replace(value.to_owned()).is_some() {
                return None;
            }
        }
        let has_both = address.committish.is_some() && address.range.is_some();
        (!has_both).then_some(address)
    }

    /// What is wanted, if it can be fetched safely; else why not.
    pub fn source(&self) -> Result<GitSource, &'static str> {
        let commit = self.committish.as_deref().filter(|text| is_commit(text));
        let commit = commit.ok_or("a git repository without a whole commit")?.to_owned();
        let subfolder = self.subfolder.as_deref().map(|path| path.trim_matches('/'));
        if subfolder.is_some_and(|path| !is_below(path)) {
            return Err("a folder outside of its git repository");
        }
        let remote = match (&self.hosted, &self.remote) {
            (Some(hosted), _) => hosted.https(),
            (None, Some(remote)) => remote.clone(),
            (None, None) => String::new(),
        };
        if !is_safe(&remote) || self.hosted.as_ref().is_some_and(|hosted| !is_safe(&hosted.ssh())) {
            return Err("a git repository at an address that git cannot be given");
        }
        let (hosted, subfolder) = (self.hosted.clone(), subfolder.map(str::to_owned));
        Ok(GitSource { hosted, remote, commit, subfolder })
    }
}

impl GitSource {
    /// What git is to be given, in the order in which it is tried: npm prefers https, and ssh for
    /// private repositories of known hosts (pacote 21, `#cloneHosted`).
    pub fn remotes(&self) -> Vec<String> {
        match &self.hosted {
            Some(hosted) if !hosted.has_auth() => vec![hosted.https(), hosted.ssh()],
            _ => vec![self.remote.clone()],
        }
    }

    /// What npm calls the package while it prepares it (pacote 21, `this.resolved` in
    /// `lib/git.js`).
    pub fn npm_name(&self) -> String {
        let subfolder = self.subfolder.as_ref().map(|path| format!("::path:{path}"));
        let committish = format!("{}{}", self.commit, subfolder.unwrap_or_default());
        match &self.hosted {
            Some(hosted) if !hosted.has_auth() => format!("git+{}#{committish}", hosted.ssh()),
            None if self.remote.starts_with("git://") => format!("{}#{committish}", self.remote),
            None if is_scp(&self.remote) => format!("git+ssh://{}#{committish}", self.remote),
            _ => format!("git+{}#{committish}", self.remote),
        }
    }

    /// What the cache knows the package by: the repository without a password, as its commit
    /// says all. With its scripts run it is another package.
    pub fn cache_address(&self, state: State) -> Result<Url> {
        let scheme = match state {
            State::Plain => "git-plain",
            State::Prepared => "git-prepared",
            State::Unprepared => "git-unprepared",
        };
        let repository = match &self.hosted {
            Some(hosted) => hosted.identity(),
            None => shown(&self.remote),
        };
        let parts = [&repository, &self.commit, self.subfolder.as_deref().unwrap_or_default()];
        let parts = parts.map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
        let address = format!("{scheme}:{}", parts.join("/"));
        Url::parse(&address).map_err(|error| {
            Error::new(Code::LockfileInvalid, format!("`{self}` is no address")).with_source(error)
        })
    }
}

impl fmt::Display for GitSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{}", shown(&self.remote), self.commit)
    }
}

impl fmt::Debug for GitSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An address without what may be a secret.
fn shown(remote: &str) -> String {
    match Url::parse(remote) {
        Ok(url) if url.scheme() != "ssh" || url.password().is_some() => {
            crate::registry::redact(&url)
        }
        _ => remote.to_owned(),
    }
}

/// All of a SHA-1 or SHA-256 name, so that nothing can be meant but one commit, and no option.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_below(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git") && !part.contains('\0'))
}

/// One of git's own transports, and no name that could be read as an option: of git, or of the ssh
/// that it starts.
fn is_safe(remote: &str) -> bool {
    if remote.contains(|one: char| one.is_control() || one.is_whitespace()) {
        return false;
    }
    if is_scp(remote) {
        return !remote.starts_with('-') && !remote.contains("@-");
    }
    let Ok(url) = Url::parse(remote) else { return false };
    let is_plain = |text: &str| !text.starts_with('-');
    match url.scheme() {
        "https" | "http" | "ssh" | "git" => {
            url.host_str().is_some_and(|host| !host.is_empty() && is_plain(host))
                && is_plain(url.username())
        }
        "file" => remote.starts_with("file:///"),
        _ => false,
    }
}

/// `user@host:path`, where the part behind the colon is no port.
fn is_scp(text: &str) -> bool {
    let Some((before, path)) = text.split_once(':') else { return false };
    let is_port = {
        let digits = path.split('/').next().unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let Some((user, host)) = before.split_once('@') else { return false };
    !user.is_empty() && !host.is_empty() && !before.contains('/') && !path.is_empty() && !is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    fn source(address: &str) -> Result<GitSource, &'static str> {
        GitAddress::parse(&format!("{address}#{COMMIT}")).unwrap().source()
    }

    #[test]
    fn every_transport_of_gits_own_is_followed() {
        for (address, remote) in [
            ("git+ssh://git@host.test/o/r.git", "ssh://git@host.test/o/r.git"),
            ("git+ssh://git@host.test:2222/o/r.git", "ssh://git@host.test:2222/o/r.git"),
            ("git+ssh://git@host.test:o/r.git", "git@host.test:o/r.git"),
            ("git@host.test:o/r.git", "git@host.test:o/r.git"),
            ("git+https://host.test/o/r.git", "https://host.test/o/r.git"),
            ("git+http://host.test:8080/r", "http://host.test:8080/r"),
            ("git://host.test/r.git", "git://host.test/r.git"),
            ("git+file:///srv/r", "file:///srv/r"),
        ] {
            assert_eq!(source(address).unwrap().remotes(), [remote], "{address}");
        }
    }

    #[test]
    fn a_known_host_is_tried_over_https_and_then_over_ssh() {
        let found = source("git+ssh://git@github.com/o/r.git").unwrap();
        let expected = ["https://github.com/o/r.git", "ssh://git@github.com/o/r.git"];
        assert_eq!(found.remotes(), expected);
        let found = source("git+https://token@github.com/o/r.git").unwrap();
        assert_eq!(found.remotes(), ["https://token@github.com/o/r.git"]);
    }

    #[test]
    fn no_address_is_an_option_or_a_program() {
        for address in [
            "git+ssh://-oProxyCommand=x/r",
            "git+ssh://-oProxyCommand=x@host.test/r",
            "git+ssh://-oProxyCommand=x@host.test:r",
            "git+ssh://git@-oProxyCommand=x:r",
            "git+file://host/r",
            "git+file:relative",
            "git+rsync://host.test/r",
            "git+ftp://host.test/r",
        ] {
            let found = GitAddress::parse(&format!("{address}#{COMMIT}"));
            assert!(found.is_none_or(|address| address.source().is_err()), "{address}");
        }
        for address in
            ["ext::sh -c touch% /x", "git+ext::sh -c x", "git+ext://x", "--upload-pack=x"]
        {
            assert_eq!(GitAddress::parse(&format!("{address}#{COMMIT}")), None, "{address}");
        }
    }

    #[test]
    fn only_a_whole_commit_is_followed() {
        for committish in [
            "",
            "main",
            "0123456",
            "--upload-pack=touch x",
            "semver:^1",
            &COMMIT.to_uppercase().replace('0', "A"),
            &format!("{COMMIT}0"),
        ] {
            let address = GitAddress::parse(&format!("git+https://host.test/r#{committish}"));
            assert!(address.unwrap().source().is_err(), "{committish}");
        }
    }

    #[test]
    fn a_folder_of_the_repository_stays_in_it() {
        let find = |path: &str| {
            GitAddress::parse(&format!("git+https://host.test/r#{COMMIT}::path:{path}"))
                .unwrap()
                .source()
        };
        assert_eq!(find("packages/a").unwrap().subfolder.as_deref(), Some("packages/a"));
        for path in ["..", "a/../../b", ".git", "a//b", "."] {
            assert!(find(path).is_err(), "{path}");
        }
    }

    #[test]
    fn nothing_that_is_shown_holds_a_password() {
        let found = source("git+https://user:secret@host.test/r.git").unwrap();
        assert_eq!(format!("{found}"), format!("https://host.test/r.git#{COMMIT}"));
        assert!(!format!("{found:?}").contains("secret"));
    }
}
