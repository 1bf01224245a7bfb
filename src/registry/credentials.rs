//! Credentials by address, as `.npmrc` scopes them (`//host/path/:_authToken`), and the header
//! that is made of them. Nothing here can print a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;
use url::Url;

const TOKEN: &str = "_authToken";
const AUTH: &str = "_auth";
const USERNAME: &str = "username";
const PASSWORD: &str = "_password";
const CERTIFICATE: &str = "certfile";
const KEY: &str = "keyfile";

/// The keys of `.npmrc` that hold credentials, with their values.
#[derive(Clone, Default)]
pub struct Credentials {
    values: BTreeMap<String, String>,
}

/// The files with a client's certificate and its key, in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFiles<'c> {
    pub certificate: &'c Path,
    pub key: &'c Path,
}

impl Credentials {
    /// Whether keys that end so hold credentials. npm knows `email` as well, and sends it nowhere.
    pub fn is_kind(kind: &str) -> bool {
        matches!(kind, TOKEN | AUTH | USERNAME | PASSWORD | CERTIFICATE | KEY | "email")
    }

    /// Whether the value of a key such as `//host/:certfile` is the path of a file.
    pub fn is_path(key: &str) -> bool {
        key.rsplit_once(':').is_some_and(|(_, kind)| matches!(kind, CERTIFICATE | KEY))
    }

    /// Keeps a key such as `//host/:_authToken`, unless it is of another kind or has no value.
    pub fn set(&mut self, key: &str, value: &str) {
        let is_credential = key.rsplit_once(':').is_some_and(|(_, kind)| Self::is_kind(kind));
        if is_credential && !value.is_empty() {
            self.values.insert(key.to_owned(), value.to_owned());
        }
    }

    /// The header's value for an address.
    ///
    /// npm goes on to try the registry's own credentials for any address at the same host. That is
    /// left out: a token for one folder of a host is not meant for its other folders.
    pub fn authorization(&self, url: &Url) -> Option<String> {
        self.header(&self.prefix(url)?)
    }

    /// The certificate for an address. Like npm, it goes by the same key as the header: where a
    /// longer prefix has a token and no certificate, none is shown.
    pub fn certificate(&self, url: &Url) -> Option<CertificateFiles<'_>> {
        self.files(&self.prefix(url)?)
    }

    /// The longest prefix of an address that has credentials of any kind. Walks from the whole
    /// address up to its host, taking off a segment or a slash at a time, so that neither another
    /// host nor a path beside the one that is named can match (npm 11.19,
    /// `npm-registry-fetch/lib/auth.js`).
    fn prefix(&self, url: &Url) -> Option<String> {
        if self.values.is_empty() {
            return None;
        }
        let mut prefix = format!("//{}{}", super::host_and_port(url), url.path());
        while prefix.len() > "//".len() {
            if self.header(&prefix).is_some() || self.files(&prefix).is_some() {
                return Some(prefix);
            }
            let end = match prefix.strip_suffix('/') {
                Some(rest) => rest.len(),
                None => prefix.rfind('/').map_or(0, |slash| slash + 1),
            };
            prefix.truncate(end);
        }
        None
    }

    fn value(&self, prefix: &str, kind: &str) -> Option<&str> {
        self.values.get(&format!("{prefix}:{kind}")).map(String::as_str)
    }

    fn header(&self, prefix: &str) -> Option<String> {
        if let Some(token) = self.value(prefix, TOKEN) {
            return Some(format!("Bearer {token}"));
        }
        if let Some(auth) = self.value(prefix, AUTH) {
            return Some(format!("Basic {auth}"));
        }
        let (username, password) = (self.value(prefix, USERNAME)?, self.value(prefix, PASSWORD)?);
        // Node takes base64 with and without its padding.
        let config = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        let password = GeneralPurpose::new(&ALPHABET, config).decode(password).ok()?;
        let mut pair = format!("{username}:").into_bytes();
        pair.extend(password);
        Some(format!("Basic {}", STANDARD.encode(pair)))
    }

    fn files(&self, prefix: &str) -> Option<CertificateFiles<'_>> {
        let path = |kind| self.value(prefix, kind).map(Path::new);
        Some(CertificateFiles { certificate: path(CERTIFICATE)?, key: path(KEY)? })
    }
}

/// The header that the user name and password of an address stand for.
pub(super) fn of_address(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    Some(format!("Basic {}", STANDARD.encode(pair)))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(entries: &[(&str, &str)], address: &str) -> Option<String> {
        let mut credentials = Credentials::default();
        for (key, value) in entries {
            credentials.set(key, value);
        }
        credentials.authorization(&Url::parse(address).unwrap())
    }

    #[test]
    fn the_longest_prefix_wins() {
        let entries = [("//r.test/:_authToken", "host"), ("//r.test/a/:_authToken", "folder")];
        let sent = |address| header(&entries, address);
        assert_eq!(sent("https://r.test/a/b/-/b.tgz").as_deref(), Some("Bearer folder"));
        assert_eq!(sent("https://r.test/c.tgz").as_deref(), Some("Bearer host"));
    }

    #[test]
    fn a_key_without_its_last_slash_counts() {
        let entries = [("//r.test/a:_authToken", "t"), ("//s.test:_authToken", "t")];
        for address in ["https://r.test/a/b.tgz", "https://r.test/a", "https://s.test/a"] {
            assert_eq!(header(&entries, address).as_deref(), Some("Bearer t"), "{address}");
        }
    }

    #[test]
    fn another_host_or_folder_gets_nothing() {
        let entries = [("//r.test/a/:_authToken", "t"), ("//p.test:8443/:_authToken", "t")];
        let strangers = [
            "https://r.test/b/c.tgz",
            "https://r.test/ab/c.tgz",
            "https://r.test/a/../b/c.tgz",
            "https://r.test/c.tgz",
            "https://r.test.evil.test/a/c.tgz",
            "https://r.test:8443/a/c.tgz",
            "https://r.test@evil.test/a/c.tgz",
            "https://evil.test//r.test/a/c.tgz",
            "https://p.test/c.tgz",
        ];
        for address in strangers {
            assert_eq!(header(&entries, address), None, "{address}");
        }
    }

    #[test]
    fn every_kind_of_credential_makes_its_header() {
        let token = ("//r.test/:_authToken", "t");
        let auth = ("//r.test/:_auth", "dTpw");
        let user = [("//r.test/:username", "u"), ("//r.test/:_password", "cA")];
        let sent = |entries: &[_]| header(entries, "https://r.test/a.tgz");
        assert_eq!(sent(&[user[0], user[1]]).as_deref(), Some("Basic dTpw"));
        assert_eq!(sent(&[user[0], user[1], auth]).as_deref(), Some("Basic dTpw"));
        assert_eq!(sent(&[auth, token]).as_deref(), Some("Bearer t"));
        assert_eq!(sent(&[user[0]]), None);
        assert_eq!(sent(&[("//r.test/:_authToken", "")]), None);
        assert_eq!(sent(&[("//r.test/:email", "e")]), None);
    }

    #[test]
    fn a_certificate_goes_by_the_same_key_as_the_header() {
        let mut credentials = Credentials::default();
        credentials.set("//r.test/:certfile", "/c");
        credentials.set("//r.test/:keyfile", "/k");
        credentials.set("//r.test/a/:_authToken", "t");
        credentials.set("//s.test/:certfile", "/c");
        let shown = |address: &str| {
            let files = credentials.certificate(&Url::parse(address).unwrap());
            files.map(|files| (files.certificate.to_owned(), files.key.to_owned()))
        };
        assert_eq!(shown("https://r.test/b.tgz"), Some(("/c".into(), "/k".into())));
        assert_eq!(shown("https://r.test/a/b.tgz"), None);
        assert_eq!(shown("https://s.test/b.tgz"), None);
    }

    #[test]
    fn a_user_name_in_an_address_is_for_that_address() {
        let sent = |address| of_address(&Url::parse(address).unwrap());
        assert_eq!(sent("https://u:p%40@r.test/a.tgz").as_deref(), Some("Basic dTpwQA=="));
        assert_eq!(sent("https://u@r.test/a.tgz").as_deref(), Some("Basic dTo="));
        assert_eq!(sent("https://r.test/a.tgz"), None);
    }

    #[test]
    fn debug_shows_no_value() {
        let mut credentials = Credentials::default();
        credentials.set("//r.test/:_authToken", "secret");
        assert_eq!(format!("{credentials:?}"), r#"{"//r.test/:_authToken"}"#);
    }
}
