//! Where a package comes from: the configured registries, and what a lockfile's `resolved` means
//! with them. It makes no request.

use std::collections::BTreeMap;

use npmrc_config_rs::registry::{DEFAULT_REGISTRY, extract_scope};
use url::Url;

mod credentials;

pub use credentials::{CertificateFiles, Credentials};

use crate::error::{Code, Error, Result};
use crate::sources::address::GitAddress;
use crate::specifier::Specifier;

/// The configured registries with their credentials. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Registries {
    default: Url,
    scoped: BTreeMap<String, Url>,
    /// The scope whose registry has the packages without one (npm's setting `scope`).
    fallback_scope: Option<String>,
    replace_host: ReplaceHost,
    credentials: Credentials,
}

/// What a lockfile's entry is installed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Registry {
        url: Url,
        /// The SHA-1 in hex that old lockfiles put behind `#`.
        legacy_sha1: Option<String>,
    },
    /// A repository, which may turn out not to be one that can be fetched.
    Git(Box<GitAddress>),
    /// A tarball on the disk, its path seen from the project's root.
    File(String),
    /// A folder that is no link.
    Folder,
    /// A tarball at an address that is below no configured registry.
    Remote(Url),
    Unknown,
}

/// Which addresses in a lockfile mean "the configured registry" (`replace-registry-host`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplaceHost {
    Never,
    Always,
    Host(String),
    /// Addresses below a host and path (without its last slash).
    Below {
        host: String,
        path: String,
    },
}

impl ReplaceHost {
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "npmjs" => Self::default(),
            "never" => Self::Never,
            "always" => Self::Always,
            _ => {
                match Url::parse(text).ok().as_ref().and_then(|url| Some((url.host_str()?, url))) {
                    Some((host, url)) => Self::Below {
                        host: host.to_owned(),
                        path: url.path().trim_end_matches('/').to_owned(),
                    },
                    None => Self::Host(text.to_lowercase()),
                }
            }
        }
    }
}

impl Default for ReplaceHost {
    fn default() -> Self {
        Self::Host(default_registry().host_str().unwrap_or_default().to_owned())
    }
}

impl Registries {
    pub fn new(default: Url) -> Self {
        Self {
            default,
            scoped: BTreeMap::new(),
            fallback_scope: None,
            replace_host: ReplaceHost::default(),
            credentials: Credentials::default(),
        }
    }

    /// `scope` with its `@`.
    pub fn set_scope(&mut self, scope: &str, registry: Url) {
        self.scoped.insert(scope.to_owned(), registry);
    }

    /// `scope` with its `@`; it counts where it has a registry of its own.
    pub fn set_fallback_scope(&mut self, scope: String) {
        self.fallback_scope = Some(scope);
    }

    pub fn set_replace_host(&mut self, replace_host: ReplaceHost) {
        self.replace_host = replace_host;
    }

    pub fn set_credentials(&mut self, credentials: Credentials) {
        self.credentials = credentials;
    }

    /// The registry that a package of this name is taken from (`pickRegistry` in npm 11.19,
    /// `npm-registry-fetch/lib/index.js`).
    pub fn registry_of(&self, name: &str) -> &Url {
        let registry = |scope: &str| self.scoped.get(scope);
        let own = extract_scope(name).and_then(registry);
        let fallback = || self.fallback_scope.as_deref().and_then(registry);
        own.or_else(fallback).unwrap_or(&self.default)
    }

    /// The source of a package: `name` is its real name, never an alias.
    pub fn tarball_url(&self, name: &str, version: &str, resolved: Option<&str>) -> Result<Source> {
        if let Some(resolved) = resolved.filter(|resolved| !resolved.is_empty()) {
            return Ok(self.classify(resolved));
        }
        let url = conventional(self.registry_of(name), name, version)?;
        Ok(Source::Registry { url, legacy_sha1: None })
    }

    /// Whether an address is below the registry that packages of this name are taken from.
    pub fn serves(&self, name: &str, url: &Url) -> bool {
        is_below(url, self.registry_of(name))
    }

    /// The `Authorization` header for an address, from the longest key that is a prefix of it; else
    /// from the user name that stands in the address itself.
    pub fn authorization(&self, url: &Url) -> Option<String> {
        self.credentials.authorization(url).or_else(|| credentials::of_address(url))
    }

    /// Where the archive of a known git host is asked for: at the registry, if
    /// `replace-registry-host` names that host (pacote 21, `lib/remote.js`).
    pub fn archive_url(&self, archive: Url) -> Url {
        let is_replaced = match &self.replace_host {
            ReplaceHost::Always => true,
            ReplaceHost::Host(host) => archive.host_str() == Some(host),
            ReplaceHost::Never | ReplaceHost::Below { .. } => false,
        };
        if !is_replaced {
            return archive;
        }
        let mut replaced = self.default.clone();
        replaced.set_path(archive.path());
        replaced
    }

    fn classify(&self, resolved: &str) -> Source {
        let git = || GitAddress::parse(resolved).map(|address| Source::Git(Box::new(address)));
        match Url::parse(resolved) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => match self.classify_web(url) {
                // Known git hosts have repositories at plain addresses, too.
                Source::Remote(url) => git().unwrap_or(Source::Remote(url)),
                source => source,
            },
            Ok(url) if url.scheme() == "file" => match Specifier::parse(resolved) {
                Specifier::File(path) => Source::File(path.to_owned()),
                _ => Source::Folder,
            },
            _ => git().unwrap_or(Source::Unknown),
        }
    }

    fn classify_web(&self, mut url: Url) -> Source {
        let legacy_sha1 = url.fragment().filter(|text| is_sha1(text)).map(str::to_lowercase);
        url.set_fragment(None);
        if let Some(url) = self.replaced(&url) {
            return Source::Registry { url, legacy_sha1 };
        }
        let default = default_registry();
        let mut registries = self.scoped.values().chain([&self.default, &default]);
        if !registries.any(|registry| is_below(&url, registry)) {
            return Source::Remote(url);
        }
        // A lockfile's user name is never sent; neither call can fail where there is a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Source::Registry { url, legacy_sha1 }
    }

    /// The same path at the configured registry, if the address stands for that
    /// (`#registryResolved` in npm 11.19, `@npmcli/arborist/lib/arborist/reify.js`).
    fn replaced(&self, url: &Url) -> Option<Url> {
        let host = url.host_str()?;
        let prefix = match &self.replace_host {
            ReplaceHost::Never => return None,
            ReplaceHost::Always => "",
            ReplaceHost::Host(wanted) => (wanted == host).then_some("")?,
            ReplaceHost::Below { host: wanted, path } => {
                (wanted == host && has_path_prefix(url.path(), path)).then_some(path)?
            }
        };
        let registry_path = self.default.path().trim_end_matches('/');
        let path = if prefix.is_empty() && has_path_prefix(url.path(), registry_path) {
            url.path().to_owned()
        } else {
            format!("{registry_path}{}", &url.path()[prefix.len()..])
        };
        let mut replaced = self.default.clone();
        replaced.set_path(&path);
        replaced.set_query(url.query());
        Some(replaced)
    }
}

impl Default for Registries {
    fn default() -> Self {
        Self::new(default_registry())
    }
}

/// Reads a registry's address, or says what is wrong with it.
pub fn parse_registry(text: &str) -> Result<Url, &'static str> {
    let mut url = Url::parse(text).map_err(|_| "is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is not an http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password, which belong into `//host/:_authToken`");
    }
    // Each address below the registry would carry it, and it is where a token could be hidden.
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment, which a registry cannot have");
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// The host, with its port unless that is the scheme's own.
pub fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address for messages: without user name, password, values of the query, and fragment.
pub fn redact(url: &Url) -> String {
    let mut shown = url.clone();
    // Addresses without a host have no user, so there is nothing to take out where this fails.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(url.query().map(|_| "***"));
    shown.set_fragment(None);
    shown.into()
}

fn default_registry() -> Url {
    match Url::parse(DEFAULT_REGISTRY) {
        Ok(url) => url,
        Err(error) => unreachable!("a constant that a test parses is a URL: {error}"),
    }
}

/// `<registry><name>/-/<base>-<version>.tgz`. Build metadata is no part of a published version.
fn conventional(registry: &Url, name: &str, version: &str) -> Result<Url> {
    let parts: Vec<&str> = name.split('/').collect();
    let is_name = match parts[..] {
        [base] => is_segment(base) && !base.starts_with('@'),
        [scope, base] => scope.starts_with('@') && scope.len() > 1 && is_segment(base),
        _ => false,
    };
    let refuse = || {
        let message = format!("`{name}` is not a name that a registry can have");
        Error::new(Code::LockfileInvalid, message)
    };
    if !is_name {
        return Err(refuse());
    }
    let version = version.split('+').next().unwrap_or_default();
    let base = parts.last().copied().unwrap_or_default();
    let mut url = registry.clone();
    url.path_segments_mut()
        .map_err(|()| refuse())?
        .pop_if_empty()
        .extend(&parts)
        .extend(["-", &format!("{base}-{version}.tgz")]);
    Ok(url)
}

fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
}

fn is_below(url: &Url, registry: &Url) -> bool {
    url.origin() == registry.origin() && url.path().starts_with(registry.path())
}

fn has_path_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_sha1(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

    fn registries(default: &str) -> Registries {
        Registries::new(parse_registry(default).unwrap())
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn registry_source(text: &str) -> Source {
        Source::Registry { url: url(text), legacy_sha1: None }
    }

    fn classified(registries: &Registries, resolved: &str) -> Source {
        registries.tarball_url("a", "1.0.0", Some(resolved)).unwrap()
    }

    fn at_default(path: &str) -> String {
        format!("{DEFAULT_REGISTRY}{path}")
    }

    #[test]
    fn the_default_registry_is_a_registry() {
        assert_eq!(parse_registry(DEFAULT_REGISTRY), Ok(default_registry()));
    }

    #[test]
    fn without_resolved_the_address_follows_the_convention() {
        let mut registries = registries("https://one.test/npm");
        registries.set_scope("@s", url("https://two.test/"));
        let cases = [
            ("a", "1.0.0", "https://one.test/npm/a/-/a-1.0.0.tgz"),
            ("a", "1.0.0-b.1+build.5", "https://one.test/npm/a/-/a-1.0.0-b.1.tgz"),
            ("@s/a", "1.0.0", "https://two.test/@s/a/-/a-1.0.0.tgz"),
            ("@other/a", "1.0.0", "https://one.test/npm/@other/a/-/a-1.0.0.tgz"),
            ("a?b#c", "1/2", "https://one.test/npm/a%3Fb%23c/-/a%3Fb%23c-1%2F2.tgz"),
        ];
        for (name, version, expected) in cases {
            for resolved in [None, Some("")] {
                let source = registries.tarball_url(name, version, resolved).unwrap();
                assert_eq!(source, registry_source(expected));
            }
        }
    }

    #[test]
    fn a_name_that_leaves_its_place_is_refused() {
        for name in ["", ".", "..", "@s", "@s/..", "@/a", "a/b", "@s/a/b", "../a", "/a"] {
            let error = registries("https://one.test/").tarball_url(name, "1.0.0", None);
            assert_eq!(error.unwrap_err().code(), Code::LockfileInvalid, "{name}");
        }
    }

    #[test]
    fn the_default_host_means_the_configured_registry() {
        let registries = registries("https://one.test:8443/npm/");
        let expected = registry_source("https://one.test:8443/npm/a/-/a-1.0.0.tgz");
        assert_eq!(classified(&registries, &at_default("a/-/a-1.0.0.tgz")), expected);
        let downgraded = at_default("a/-/a-1.0.0.tgz").replace("https:", "http:");
        assert_eq!(classified(&registries, &downgraded), expected);
        let with_path = at_default("npm/a/-/a-1.0.0.tgz");
        assert_eq!(classified(&registries, &with_path), expected);
    }

    #[test]
    fn replace_registry_host_says_which_hosts_are_replaced() {
        let resolved = "https://old.test/x/a.tgz?q=1";
        let replaced = registry_source("https://one.test/r/x/a.tgz?q=1");
        let cases = [
            ("always", replaced.clone()),
            ("old.test", replaced.clone()),
            ("https://old.test/", replaced),
            ("https://old.test/x", registry_source("https://one.test/r/a.tgz?q=1")),
            ("https://old.test/y", Source::Remote(url(resolved))),
            ("never", Source::Remote(url(resolved))),
            ("npmjs", Source::Remote(url(resolved))),
        ];
        for (setting, expected) in cases {
            let mut registries = registries("https://one.test/r/");
            registries.set_replace_host(ReplaceHost::parse(setting));
            assert_eq!(classified(&registries, resolved), expected, "{setting}");
        }
    }

    #[test]
    fn never_replacing_keeps_the_default_registry_a_registry() {
        let mut registries = registries("https://one.test/");
        registries.set_replace_host(ReplaceHost::Never);
        let address = at_default("a/-/a-1.0.0.tgz");
        assert_eq!(classified(&registries, &address), registry_source(&address));
    }

    #[test]
    fn only_addresses_below_a_registry_are_the_registrys() {
        let mut registries = registries("https://one.test/npm/");
        registries.set_scope("@s", url("https://two.test/"));
        for address in ["https://one.test/npm/a.tgz", "https://two.test/a.tgz"] {
            assert_eq!(classified(&registries, address), registry_source(address));
        }
        let host = default_registry().host_str().unwrap().to_owned();
        let strangers = [
            "http://one.test/npm/a.tgz".to_owned(),
            "https://one.test:444/npm/a.tgz".to_owned(),
            "https://one.test/npmx/a.tgz".to_owned(),
            "https://one.test/npm/../a.tgz".to_owned(),
            "https://one.test/npm/%2e%2e/a.tgz".to_owned(),
            "https://one.test.evil.test/npm/a.tgz".to_owned(),
            format!("https://{host}.evil.test/a.tgz"),
            format!("https://{host}@evil.test/a.tgz"),
            format!("https://evil.test/{host}/a.tgz"),
            "https://[::1]/a.tgz".to_owned(),
        ];
        for address in strangers {
            let source = classified(&registries, &address);
            assert!(matches!(source, Source::Remote(_)), "{address}: {source:?}");
        }
    }

    #[test]
    fn a_user_name_in_a_lockfile_is_dropped() {
        let source = classified(&registries("https://one.test/"), "https://u:p@one.test/a.tgz");
        assert_eq!(source, registry_source("https://one.test/a.tgz"));
    }

    #[test]
    fn a_fragment_of_forty_hex_digits_is_a_legacy_integrity() {
        let registries = registries("https://one.test/");
        let upper = format!("https://one.test/a.tgz#{}", SHA1.to_uppercase());
        let expected = Source::Registry {
            url: url("https://one.test/a.tgz"),
            legacy_sha1: Some(SHA1.to_owned()),
        };
        assert_eq!(classified(&registries, &upper), expected);
        let other = classified(&registries, "https://one.test/a.tgz#main");
        assert_eq!(other, registry_source("https://one.test/a.tgz"));
    }

    #[test]
    fn other_schemes_are_named_for_what_they_are() {
        for resolved in [
            "git+ssh://git@host.test/a.git#abc",
            "git+https://one.test/a.git",
            "git://one.test/a.git",
            "github:a/b",
            "git@host.test:a/b.git",
            "https://github.com/a/b.git",
        ] {
            let source = classified(&Registries::default(), resolved);
            assert!(matches!(source, Source::Git(_)), "{resolved}: {source:?}");
        }
        for (resolved, expected) in [
            ("file:../a.tgz", Source::File("../a.tgz".to_owned())),
            ("file:///srv/a.tar.gz", Source::File("/srv/a.tar.gz".to_owned())),
            ("file:///etc/passwd", Source::Folder),
            ("file:../a", Source::Folder),
            ("unix:/run/socket", Source::Unknown),
            ("ext::sh -c x", Source::Unknown),
            ("javascript:1", Source::Unknown),
            ("../a", Source::Unknown),
            ("https://", Source::Unknown),
        ] {
            assert_eq!(classified(&Registries::default(), resolved), expected, "{resolved}");
        }
    }

    #[test]
    fn archives_of_a_git_host_come_from_the_registry_where_that_replaces_it() {
        let archive = || url("https://codeload.github.com/a/b/tar.gz/x");
        for (setting, expected) in [
            ("npmjs", "https://codeload.github.com/a/b/tar.gz/x"),
            ("never", "https://codeload.github.com/a/b/tar.gz/x"),
            ("always", "https://one.test/a/b/tar.gz/x"),
            ("codeload.github.com", "https://one.test/a/b/tar.gz/x"),
        ] {
            let mut registries = registries("https://one.test/npm/");
            registries.set_replace_host(ReplaceHost::parse(setting));
            assert_eq!(registries.archive_url(archive()).as_str(), expected, "{setting}");
        }
    }

    #[test]
    fn an_address_in_a_message_holds_no_secret() {
        let shown = redact(&url("https://u:p@one.test:8443/a.tgz?token=secret#x"));
        assert_eq!(shown, "https://one.test:8443/a.tgz?***");
    }
}
