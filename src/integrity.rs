//! Subresource integrity as npm reads it: which digests are wanted, whether bytes have one of
//! them, and the name under which the cache keeps what matched.
//!
//! The rules are those of `ssri` 13.0.1 (`lib/index.js`) for the algorithms that npm writes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use crate::error::{Code, Error, Result};

/// What a lockfile says the bytes of a tarball must be: digests of one algorithm, any of which
/// may match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity {
    algorithm: Algorithm,
    digests: Vec<Vec<u8>>,
    /// As it was written, for messages.
    source: String,
}

/// The hashes that are checked, weakest first: their order is their strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// The name of a package in the cache: a digest of its tarball or, where the lockfile has none, of
/// the address that it comes from. The two kinds never share a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    // `None` for an address.
    algorithm: Option<Algorithm>,
    digest: Vec<u8>,
}

/// Checks bytes that come in pieces.
pub struct Checker<'a> {
    integrity: &'a Integrity,
    context: digest::Context,
    bytes_seen: u64,
}

impl Integrity {
    /// Reads `algorithm-base64?options`, separated by white space. Only the strongest algorithm
    /// that is there counts, and tokens that cannot be understood are passed over, as in ssri.
    pub fn parse(source: &str) -> Result<Self> {
        let tokens = || source.split_whitespace().filter_map(parse_token);
        let Some(algorithm) = tokens().map(|(algorithm, _)| algorithm).max() else {
            let message = format!(
                "integrity `{}` has no digest that can be checked (sha512, sha384, sha256 or sha1)",
                source.escape_debug()
            );
            return Err(Error::new(Code::Integrity, message));
        };
        // ssri compares texts, so that a digest which is not canonical base64 of the right length
        // never matches. It is left out here, and refused where it is the only one: a weaker
        // algorithm must not stand in for it.
        let digests: Vec<_> = tokens()
            .filter(|(found, _)| *found == algorithm)
            .filter_map(|(_, digest)| STANDARD.decode(digest).ok())
            .filter(|digest| digest.len() == algorithm.hash().output_len())
            .collect();
        if digests.is_empty() {
            let message = format!(
                "integrity `{}` has no {algorithm} digest of {} bytes in base64",
                source.escape_debug(),
                algorithm.hash().output_len()
            );
            return Err(Error::new(Code::Integrity, message));
        }
        Ok(Self { algorithm, digests, source: source.trim().to_owned() })
    }

    /// The legacy form: 40 hexadecimal digits after the `#` of `resolved`.
    pub fn from_sha1_hex(hex: &str) -> Result<Self> {
        let refused = || {
            let message = format!("`{}` is not a sha1 digest", hex.escape_debug());
            Error::new(Code::Integrity, message)
        };
        let length = Algorithm::Sha1.hash().output_len();
        if hex.len() != 2 * length || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused());
        }
        let digest: Result<Vec<u8>, _> =
            (0..length).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16)).collect();
        let digest = digest.map_err(|_| refused())?;
        let source = format!("sha1-{}", STANDARD.encode(&digest));
        Ok(Self { algorithm: Algorithm::Sha1, digests: vec![digest], source })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The names under which the package may already be in the cache, to be tried in this order.
    pub fn cache_keys(&self) -> impl Iterator<Item = CacheKey> {
        let algorithm = Some(self.algorithm);
        self.digests.iter().map(move |digest| CacheKey { algorithm, digest: digest.clone() })
    }

    /// The digests, any of which may match, in hexadecimal.
    pub fn hex_digests(&self) -> impl Iterator<Item = String> {
        self.digests.iter().map(|digest| to_hex(digest))
    }

    /// The cache's name for `bytes`, if they are what is wanted.
    pub fn check(&self, bytes: &[u8]) -> Result<CacheKey> {
        let found = digest::digest(self.algorithm.hash(), bytes);
        self.compare(found.as_ref(), bytes.len() as u64)
    }

    pub fn checker(&self) -> Checker<'_> {
        let context = digest::Context::new(self.algorithm.hash());
        Checker { integrity: self, context, bytes_seen: 0 }
    }

    fn compare(&self, found: &[u8], bytes_seen: u64) -> Result<CacheKey> {
        if self.digests.iter().any(|wanted| wanted == found) {
            return Ok(CacheKey { algorithm: Some(self.algorithm), digest: found.to_vec() });
        }
        let algorithm = self.algorithm;
        let wanted: Vec<_> = self.digests.iter().map(|digest| algorithm.sri(digest)).collect();
        // The words are ssri's, because people search for them.
        let message = format!(
            "{self} integrity checksum failed when using {algorithm}: wanted {} but got {} \
             ({bytes_seen} bytes)",
            wanted.join(","),
            algorithm.sri(found),
        );
        Err(Error::new(Code::Integrity, message).with_hint(
            "these are not the bytes that the lockfile was written for: ask who sent them, a proxy \
             or a mirror among others; where the change is meant, `npm install` writes it down",
        ))
    }
}

impl Checker<'_> {
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes_seen += bytes.len() as u64;
    }

    /// The cache's name for all that was seen, if it is what is wanted.
    pub fn finish(self) -> Result<CacheKey> {
        self.integrity.compare(self.context.finish().as_ref(), self.bytes_seen)
    }
}

impl CacheKey {
    /// The name of a package that the lockfile has no integrity for.
    pub fn unlocked(address: &str) -> Self {
        let digest = digest::digest(&digest::SHA512, address.as_bytes());
        Self { algorithm: None, digest: digest.as_ref().to_vec() }
    }

    /// The package's folder below `packages`: `<2 hex>/<kind>-<the other hex>`. The kind is part of
    /// the name, so that neither two algorithms nor an address and a digest can collide.
    pub fn path(&self) -> String {
        let kind = self.algorithm.map_or("address", Algorithm::name);
        let hex = to_hex(&self.digest);
        // The shortest digest has twenty bytes.
        let (first, rest) = hex.split_at(2);
        format!("{first}/{kind}-{rest}")
    }
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha384 => "sha384",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let all = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
        all.into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn hash(self) -> &'static digest::Algorithm {
        match self {
            Algorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => &digest::SHA256,
            Algorithm::Sha384 => &digest::SHA384,
            Algorithm::Sha512 => &digest::SHA512,
        }
    }

    fn sri(self, digest: &[u8]) -> String {
        format!("{self}-{}", STANDARD.encode(digest))
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Debug for Checker<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { integrity, bytes_seen, .. } = self;
        write!(formatter, "Checker {{ integrity: {integrity}, bytes_seen: {bytes_seen} }}")
    }
}

/// In lower case.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        hex.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
    }
    hex
}

/// `SRI_REGEX` of ssri; a token without a digest is none.
fn parse_token(token: &str) -> Option<(Algorithm, &str)> {
    let (name, rest) = token.split_once('-')?;
    let digest = rest.split_once('?').map_or(rest, |(digest, _options)| digest);
    if digest.is_empty() {
        return None;
    }
    Some((Algorithm::from_name(name)?, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of the bytes `abc`.
    const SHA1: &str = "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
    const SHA256: &str = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    const SHA512: &str = "sha512-\
        3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1E\
        I2Q86A4qmslPpUyknw==";

    fn code(result: Result<impl fmt::Debug>) -> Code {
        result.unwrap_err().code()
    }

    fn wrong_sha512() -> String {
        format!("sha512-{}", STANDARD.encode([0; 64]))
    }

    #[test]
    fn every_algorithm_matches_its_digest() {
        for source in [SHA1, SHA256, SHA512] {
            let integrity = Integrity::parse(source).unwrap();
            let key = integrity.check(b"abc").unwrap();
            assert!(integrity.cache_keys().eq([key.clone()]));
            let mut checker = integrity.checker();
            checker.update(b"a");
            checker.update(b"bc");
            assert_eq!(checker.finish().unwrap(), key);
        }
    }

    #[test]
    fn only_the_strongest_algorithm_counts() {
        let good_sha1_bad_sha512 = format!("{SHA1} {}", wrong_sha512());
        let integrity = Integrity::parse(&good_sha1_bad_sha512).unwrap();
        assert_eq!(code(integrity.check(b"abc")), Code::Integrity);
        let bad_sha1_good_sha512 = format!("sha1-{} {SHA512}", STANDARD.encode([0; 20]));
        assert!(Integrity::parse(&bad_sha1_good_sha512).unwrap().check(b"abc").is_ok());
    }

    #[test]
    fn any_digest_of_the_strongest_algorithm_may_match_and_gives_the_name() {
        let source = format!("{}\n\t{SHA512}?option=1", wrong_sha512());
        let integrity = Integrity::parse(&source).unwrap();
        let keys: Vec<_> = integrity.cache_keys().collect();
        assert_eq!(keys.len(), 2);
        assert_eq!(integrity.check(b"abc").unwrap(), keys[1]);
    }

    #[test]
    fn an_unknown_algorithm_beside_a_known_one_is_passed_over() {
        let source = format!("blake9-AAAA {SHA512} md5-AAAA junk");
        assert!(Integrity::parse(&source).unwrap().check(b"abc").is_ok());
    }

    #[test]
    fn nothing_that_can_be_checked_is_refused() {
        for source in ["", "  ", "md5-kAFQmDzST7DWlj99KOF/cg==", "junk", "sha512-", "sha512-?a"] {
            assert_eq!(code(Integrity::parse(source)), Code::Integrity, "{source}");
        }
    }

    #[test]
    fn a_damaged_digest_is_refused_and_a_weaker_algorithm_does_not_replace_it() {
        for digest in ["AAAA", "!!!!", &SHA512["sha512-".len()..SHA512.len() - 2]] {
            let source = format!("sha512-{digest} {SHA1}");
            let error = Integrity::parse(&source).unwrap_err();
            let expected =
                format!("integrity `{source}` has no sha512 digest of 64 bytes in base64");
            assert_eq!((error.code(), error.to_string()), (Code::Integrity, expected));
        }
    }

    #[test]
    fn a_mismatch_is_told_in_the_words_of_npm() {
        let error = Integrity::parse(SHA1).unwrap().check(b"abcd").unwrap_err();
        let expected = format!(
            "{SHA1} integrity checksum failed when using sha1: wanted {SHA1} but got \
             sha1-gf6L/odXbD7LIkJvjleEc4KRes8= (4 bytes)"
        );
        assert_eq!((error.code(), error.to_string()), (Code::Integrity, expected));
    }

    #[test]
    fn the_legacy_fragment_is_the_same_as_its_sri() {
        let hex = "a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(Integrity::from_sha1_hex(hex).unwrap(), Integrity::parse(SHA1).unwrap());
        for hex in ["", "a9993e", "+9993e364706816aba3e25717850c26c9cd0d89d", "é9993e"] {
            assert_eq!(code(Integrity::from_sha1_hex(hex)), Code::Integrity);
        }
    }

    #[test]
    fn the_names_of_contents_and_addresses_never_collide() {
        let content = Integrity::parse(SHA512).unwrap().check(b"abc").unwrap();
        let address = CacheKey::unlocked("abc");
        assert_ne!(content, address);
        assert_eq!(&content.path()[..16], "dd/sha512-af35a1");
        assert_eq!(&address.path()[..17], "dd/address-af35a1");
        assert_eq!(content.path().len(), 128 + "/sha512-".len());
    }
}
