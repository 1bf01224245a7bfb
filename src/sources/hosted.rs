//! The git hosts that npm knows by name, and the addresses that a repository has there
//! (hosted-git-info 9).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// A repository at a known host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedRepository {
    host: &'static Host,
    /// Several components where GitLab has groups in groups; `None` for a gist without one.
    user: Option<String>,
    project: String,
    /// `user:password` or a token, from an address that may carry it.
    auth: Option<String>,
    pub committish: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Host {
    shortcut: &'static str,
    domain: &'static str,
    protocols: &'static [&'static str],
    kind: HostKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HostKind {
    GitHub,
    Bitbucket,
    GitLab,
    Gist,
    SourceHut,
}

const HOSTS: [Host; 5] = [
    Host {
        shortcut: "github",
        domain: "github.com",
        protocols: &["git", "http", "git+ssh", "git+https", "ssh", "https"],
        kind: HostKind::GitHub,
    },
    Host {
        shortcut: "bitbucket",
        domain: "bitbucket.org",
        protocols: &["git+ssh", "git+https", "ssh", "https"],
        kind: HostKind::Bitbucket,
    },
    Host {
        shortcut: "gitlab",
        domain: "gitlab.com",
        protocols: &["git+ssh", "git+https", "ssh", "https"],
        kind: HostKind::GitLab,
    },
    Host {
        shortcut: "gist",
        domain: "gist.github.com",
        protocols: &["git", "git+ssh", "git+https", "ssh", "https"],
        kind: HostKind::Gist,
    },
    Host {
        shortcut: "sourcehut",
        domain: "git.sr.ht",
        protocols: &["git+ssh", "https"],
        kind: HostKind::SourceHut,
    },
];

/// Schemes whose user name and password are kept.
const WITH_AUTH: [&str; 5] = ["git+https", "git", "http", "https", "git+http"];
const KNOWN_SCHEMES: [&str; 7] =
    ["git+ssh", "ssh", "git+https", "git", "http", "https", "git+http"];

/// What encodeURIComponent leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

impl HostedRepository {
    /// `None` for what is at no known host.
    pub fn parse(text: &str) -> Option<Self> {
        let text = if is_shorthand(text) { format!("github:{text}") } else { text.to_owned() };
        let url = parse_address(&text)?;
        let scheme = url.scheme();
        if let Some(host) = HOSTS.iter().find(|host| host.shortcut == scheme) {
            return Self::from_shortcut(host, &url);
        }
        let domain = url.host_str()?;
        let domain = domain.strip_prefix("www.").unwrap_or(domain);
        let host = HOSTS.iter().find(|host| host.domain == domain)?;
        if !host.protocols.contains(&scheme) {
            return None;
        }
        let (user, project, committish) = host.kind.extract(&url)?;
        let auth = match (url.username(), url.password()) {
            _ if !WITH_AUTH.contains(&scheme) => None,
            ("", None) => None,
            (user, None) => Some(user.to_owned()),
            (user, Some(password)) => Some(format!("{user}:{password}")),
        };
        Some(Self {
            host,
            user: match user {
                Some(user) => Some(decoded(&user)?),
                None => None,
            },
            project: decoded(&project)?,
            auth,
            committish: decoded(&committish)?.into_option(),
        })
    }

    fn from_shortcut(host: &'static Host, url: &Url) -> Option<Self> {
        let path = url.path().trim_start_matches('/');
        let path = path.split_once('@').map_or(path, |(_, path)| path);
        let (user, project) = match path.rsplit_once('/') {
            Some((user, project)) => (decoded(user)?.into_option(), decoded(project)?),
            None => (None, decoded(path)?),
        };
        let project = project.strip_suffix(".git").unwrap_or(&project).to_owned();
        let committish = decoded(url.fragment().unwrap_or_default())?.into_option();
        Some(Self { host, user, project, auth: None, committish })
    }

    pub fn has_auth(&self) -> bool {
        self.auth.is_some()
    }

    /// `user/project`, or the project alone.
    fn path(&self) -> String {
        match (&self.user, self.host.kind) {
            (_, HostKind::Gist) => self.project.clone(),
            (user, _) => format!("{}/{}", user.as_deref().unwrap_or("null"), self.project),
        }
    }

    /// What git clones over https.
    pub fn https(&self) -> String {
        let Host { domain, kind, .. } = self.host;
        let auth = self.auth.as_ref().map(|auth| format!("{auth}@")).unwrap_or_default();
        match kind {
            HostKind::Gist => format!("https://{domain}/{}.git", self.path()),
            HostKind::SourceHut => format!("https://{domain}/{}", self.path()),
            _ => format!("https://{auth}{domain}/{}.git", self.path()),
        }
    }

    /// What git clones over ssh.
    pub fn ssh(&self) -> String {
        format!("ssh://git@{}/{}.git", self.host.domain, self.path())
    }

    /// The scp form, by which two addresses are compared.
    pub fn identity(&self) -> String {
        format!("git@{}:{}.git", self.host.domain, self.path())
    }

    /// Where the host has an archive of a commit.
    pub fn archive(&self, commit: &str) -> Option<Url> {
        let Host { domain, kind, .. } = self.host;
        let path = self.path();
        let address = match kind {
            HostKind::GitHub => format!("https://codeload.{domain}/{path}/tar.gz/{commit}"),
            HostKind::Bitbucket => format!("https://{domain}/{path}/get/{commit}.tar.gz"),
            HostKind::GitLab => {
                let project = utf8_percent_encode(&path, COMPONENT);
                format!(
                    "https://{domain}/api/v4/projects/{project}/repository/archive.tar.gz\
                     ?sha={commit}"
                )
            }
            HostKind::Gist => format!("https://codeload.github.com/gist/{path}/tar.gz/{commit}"),
            HostKind::SourceHut => format!("https://{domain}/{path}/archive/{commit}.tar.gz"),
        };
        Url::parse(&address).ok()
    }
}

impl HostKind {
    /// User, project and committish; `None` for the address of something else at the host.
    fn extract(self, url: &Url) -> Option<(Option<String>, String, String)> {
        let path = url.path().strip_prefix('/').unwrap_or(url.path());
        let fragment = url.fragment().unwrap_or_default().to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let part = |at: usize| parts.get(at).copied().unwrap_or_default();
        let plain = |project: &str| project.strip_suffix(".git").unwrap_or(project).to_owned();
        let both = |user: &str, project: &str, committish: String| {
            let is_whole = !user.is_empty() && !project.is_empty();
            is_whole.then(|| (Some(user.to_owned()), plain(project), committish))
        };
        match self {
            HostKind::GitHub => match part(2) {
                "" => both(part(0), part(1), fragment),
                "tree" => both(part(0), part(1), part(3).to_owned()),
                _ => None,
            },
            HostKind::Bitbucket if part(2) == "get" => None,
            HostKind::SourceHut if part(2) == "archive" => None,
            HostKind::Bitbucket | HostKind::SourceHut => both(part(0), part(1), fragment),
            HostKind::GitLab => {
                if path.contains("/-/") || path.contains("/archive.tar.gz") {
                    return None;
                }
                let (user, project) = path.rsplit_once('/')?;
                both(user, project, fragment)
            }
            HostKind::Gist if part(2) == "raw" => None,
            HostKind::Gist => match (part(0), part(1)) {
                ("", "") => None,
                (project, "") => Some((None, plain(project), fragment)),
                (user, project) => Some((Some(user.to_owned()), plain(project), fragment)),
            },
        }
    }
}

trait IntoOption {
    fn into_option(self) -> Option<String>;
}

impl IntoOption for String {
    fn into_option(self) -> Option<String> {
        (!self.is_empty()).then_some(self)
    }
}

/// `user/project#committish`, which means GitHub.
fn is_shorthand(text: &str) -> bool {
    let (before, _) = text.split_once('#').unwrap_or((text, ""));
    let mut parts = before.split('/');
    let (Some(user), Some(project), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    !user.is_empty()
        && !project.is_empty()
        && !before.starts_with('.')
        && !before.contains(|one: char| one.is_whitespace() || one == '@' || one == ':')
}

/// Reads an address as a URL, the scp form and `git:host:path` among them.
fn parse_address(text: &str) -> Option<Url> {
    let text = with_slashes(text);
    Url::parse(&text).ok().or_else(|| Url::parse(&without_last_colon(&text)).ok())
}

fn with_slashes(text: &str) -> String {
    let Some(colon) = text.find(':') else { return text.to_owned() };
    let scheme = &text[..colon];
    let is_known =
        KNOWN_SCHEMES.contains(&scheme) || HOSTS.iter().any(|host| host.shortcut == scheme);
    if is_known || text[colon..].starts_with("://") {
        return text.to_owned();
    }
    match text.find('@') {
        Some(at) if at > colon => format!("git+ssh://{text}"),
        Some(_) => text.to_owned(),
        None => format!("{}://{}", scheme, &text[colon + 1..]),
    }
}

/// `user@host:path` as `git+ssh://user@host/path`.
fn without_last_colon(text: &str) -> String {
    let end = text.find('#').unwrap_or(text.len());
    let (before, committish) = text.split_at(end);
    let mut fixed = before.to_owned();
    if let Some(colon) = before.rfind(':')
        && before.rfind('@').is_none_or(|at| colon > at)
    {
        fixed.replace_range(colon..=colon, "/");
    }
    if !fixed.contains(':') && !fixed.contains("//") {
        fixed.insert_str(0, "git+ssh://");
    }
    fixed + committish
}

/// decodeURIComponent, which throws at what is not UTF-8 or no escape.
fn decoded(text: &str) -> Option<String> {
    let is_escape = |at: usize| {
        let digits = text.get(at + 1..at + 3);
        digits.is_some_and(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    if !text.match_indices('%').all(|(at, _)| is_escape(at)) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn every_way_to_write_a_repository_means_the_same_one() {
        for text in [
            "user/project",
            "github:user/project",
            "github:user/project.git",
            "git@github.com:user/project.git",
            "git+ssh://git@github.com/user/project.git",
            "git+ssh://git@github.com:user/project.git",
            "git+https://github.com/user/project.git",
            "git://github.com/user/project",
            "https://github.com/user/project.git",
            "https://www.github.com/user/project",
            "ssh://git@github.com/user/project.git",
            "https://github.com/user/project/tree/main",
        ] {
            let found = HostedRepository::parse(text).unwrap();
            assert_eq!(found.identity(), "git@github.com:user/project.git", "{text}");
            assert_eq!(found.ssh(), "ssh://git@github.com/user/project.git", "{text}");
            assert_eq!(found.https(), "https://github.com/user/project.git", "{text}");
        }
    }

    #[test]
    fn each_host_has_an_archive_of_each_commit() {
        for (text, address) in [
            ("github:u/p", format!("https://codeload.github.com/u/p/tar.gz/{COMMIT}")),
            ("bitbucket:u/p", format!("https://bitbucket.org/u/p/get/{COMMIT}.tar.gz")),
            (
                "gitlab:group/sub/p",
                format!(
                    "https://gitlab.com/api/v4/projects/group%2Fsub%2Fp/repository/\
                     archive.tar.gz?sha={COMMIT}"
                ),
            ),
            ("gist:u/abc", format!("https://codeload.github.com/gist/abc/tar.gz/{COMMIT}")),
            ("sourcehut:~u/p", format!("https://git.sr.ht/~u/p/archive/{COMMIT}.tar.gz")),
        ] {
            let found = HostedRepository::parse(text).unwrap();
            assert_eq!(found.archive(COMMIT).unwrap().as_str(), address, "{text}");
        }
    }

    #[test]
    fn a_token_is_kept_for_https_alone() {
        let found = HostedRepository::parse("git+https://token@github.com/u/p.git#x").unwrap();
        assert!(found.has_auth());
        assert_eq!(found.https(), "https://token@github.com/u/p.git");
        assert_eq!(found.committish.as_deref(), Some("x"));
        let found = HostedRepository::parse("git+ssh://git@github.com/u/p.git").unwrap();
        assert!(!found.has_auth());
    }

    #[test]
    fn other_hosts_and_other_things_at_a_host_are_none() {
        for text in [
            "git+ssh://git@example.test/u/p.git",
            "git@example.test:u/p.git",
            "https://github.com/u/p/archive/main.tar.gz",
            "https://codeload.github.com/u/p/tar.gz/main",
            "https://gitlab.com/u/p/-/archive/main/p.tar.gz",
            "https://bitbucket.org/u/p/get/main.tar.gz",
            "https://github.com.evil.test/u/p.git",
            "git+https://github.com@evil.test/u/p.git",
            "git+file:///u/p",
            "https://github.com/%zz/p",
            "../u/p",
            "./p",
            "",
        ] {
            assert_eq!(HostedRepository::parse(text), None, "{text}");
        }
    }
}
