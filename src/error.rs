//! The one error type: a stable code, what was being done to what, the cause, and the remedy.
//!
//! Codes are npm's where npm has one, so that a script that greps for `EINTEGRITY` goes on working.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A stable name for a kind of failure, printed as `error: CODE: ...` and in `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `allow-file` forbids a tarball on the disk (npm: `EALLOWFILE`).
    AllowFile,
    /// `allow-git` forbids a git repository (npm: `EALLOWGIT`).
    AllowGit,
    /// `allow-remote` forbids a tarball at another address than the registry's (npm:
    /// `EALLOWREMOTE`).
    AllowRemote,
    /// Scripts are allowed or denied in a way that cannot be followed (npm: `EALLOWSCRIPTS`).
    AllowScripts,
    /// A package that has to be installed is not for this platform (npm: `EBADPLATFORM`).
    BadPlatform,
    /// `devEngines` of the project does not match (npm: `EBADDEVENGINES`).
    BadDevEngines,
    /// `engines` does not match and `engine-strict` is set (npm: `EBADENGINE`).
    BadEngine,
    /// Runs of a bench do not count.
    Bench,
    /// The cache directory cannot be used.
    Cache,
    /// Global packages have no lockfile (npm: `ECIGLOBAL`).
    CiGlobal,
    /// A setting in `.npmrc`, the environment or an option cannot be understood.
    Config,
    /// The registry refuses what is asked for (npm: `E403`).
    Forbidden,
    /// A signal ended the run.
    Interrupted,
    /// A git repository cannot be had or packed (npm reports the status of git).
    Git,
    /// git checked out something else than the commit that it was asked for (npm:
    /// `EGITCHECKOUT`).
    GitCheckout,
    /// A file operation failed (npm reports the bare errno).
    Io,
    /// A tarball is not what the lockfile's `integrity` says (npm: `EINTEGRITY`).
    Integrity,
    /// A file of settings holds credentials without an address (npm: `ERR_INVALID_AUTH`).
    InvalidAuth,
    /// A JSON file cannot be parsed (npm: `EJSONPARSE`).
    JsonParse,
    /// A lifecycle script failed (npm: the script's exit code; before npm 7, `ELIFECYCLE`).
    Lifecycle,
    /// The lockfile names something that could leave its place, or cannot be understood.
    LockfileInvalid,
    /// The lockfile's version is not one that is installed (npm: `ELOCKFILEVERSION`).
    LockfileVersion,
    /// The lockfile lacks packages for this platform, and `--fail-on-missing-optional` is set.
    MissingOptional,
    /// A request failed after all its retries (npm reports the bare errno).
    Network,
    /// The cache lacks tarballs and nothing may be asked for (npm: `ENOTCACHED`).
    NotCached,
    /// A tarball on the disk is not there (npm: `ENOENT`).
    NoEntry,
    /// There is no git to fetch a repository with (npm: `ENOGIT`).
    NoGit,
    /// The registry answered that it has no such tarball (npm: `E404`).
    NotFound,
    /// Scripts that nobody has allowed, with `strict-allow-scripts` (npm:
    /// `ESTRICTALLOWSCRIPTS`).
    StrictAllowScripts,
    /// A tarball holds something that must not be extracted, or exceeds a limit.
    Tarball,
    /// The run was not done at its deadline (npm has the code for single requests).
    TimedOut,
    /// The lockfile asks for a source that is not installed.
    UnsupportedSource,
    /// The proxy wants a user name and password, or others (npm: `E407`).
    ProxyAuthentication,
    /// The registry wants other credentials, or any at all (npm: `E401`).
    Unauthorized,
    /// The lockfile is missing or does not agree with package.json, or the command line is wrong
    /// (npm: `EUSAGE`).
    Usage,
}

impl Code {
    pub const ALL: [Code; 35] = [
        Code::AllowFile,
        Code::AllowGit,
        Code::AllowRemote,
        Code::AllowScripts,
        Code::BadPlatform,
        Code::BadDevEngines,
        Code::BadEngine,
        Code::Bench,
        Code::Cache,
        Code::CiGlobal,
        Code::Config,
        Code::Forbidden,
        Code::Interrupted,
        Code::Git,
        Code::GitCheckout,
        Code::Io,
        Code::Integrity,
        Code::InvalidAuth,
        Code::JsonParse,
        Code::Lifecycle,
        Code::LockfileInvalid,
        Code::LockfileVersion,
        Code::MissingOptional,
        Code::Network,
        Code::NotCached,
        Code::NoEntry,
        Code::NoGit,
        Code::NotFound,
        Code::StrictAllowScripts,
        Code::Tarball,
        Code::TimedOut,
        Code::UnsupportedSource,
        Code::ProxyAuthentication,
        Code::Unauthorized,
        Code::Usage,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Code::AllowFile => "EALLOWFILE",
            Code::AllowGit => "EALLOWGIT",
            Code::AllowRemote => "EALLOWREMOTE",
            Code::AllowScripts => "EALLOWSCRIPTS",
            Code::BadPlatform => "EBADPLATFORM",
            Code::BadDevEngines => "EBADDEVENGINES",
            Code::BadEngine => "EBADENGINE",
            Code::Bench => "EBENCH",
            Code::Cache => "ECACHE",
            Code::CiGlobal => "ECIGLOBAL",
            Code::Config => "ECONFIG",
            Code::Forbidden => "E403",
            Code::Interrupted => "EINTERRUPTED",
            Code::Git => "EGIT",
            Code::GitCheckout => "EGITCHECKOUT",
            Code::Io => "EIO",
            Code::Integrity => "EINTEGRITY",
            Code::InvalidAuth => "ERR_INVALID_AUTH",
            Code::JsonParse => "EJSONPARSE",
            Code::Lifecycle => "ELIFECYCLE",
            Code::LockfileInvalid => "ELOCKFILE",
            Code::LockfileVersion => "ELOCKFILEVERSION",
            Code::MissingOptional => "EMISSINGOPTIONAL",
            Code::Network => "ENETWORK",
            Code::NotCached => "ENOTCACHED",
            Code::NoEntry => "ENOENT",
            Code::NoGit => "ENOGIT",
            Code::NotFound => "E404",
            Code::StrictAllowScripts => "ESTRICTALLOWSCRIPTS",
            Code::Tarball => "ETARBALL",
            Code::TimedOut => "ETIMEDOUT",
            Code::UnsupportedSource => "EUNSUPPORTEDSOURCE",
            Code::ProxyAuthentication => "E407",
            Code::Unauthorized => "E401",
            Code::Usage => "EUSAGE",
        }
    }
}

/// A failure that a person can act on. The cause is a source, never pasted into the text.
pub struct Error {
    // Boxed, so that a `Result` on the hot paths stays one pointer wide.
    inner: Box<Inner>,
}

struct Inner {
    code: Code,
    message: String,
    hint: Option<String>,
    exit_code: Option<u8>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `message` says what was being done, to which path or address: lower case, no full stop.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let inner =
            Inner { code, message: message.into(), hint: None, exit_code: None, source: None };
        Self { inner: Box::new(inner) }
    }

    /// A failed system call: `doing` is a verb phrase such as "open".
    pub fn io(doing: &str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::new(Code::Io, format!("failed to {doing} `{}`", path.as_ref().display()))
            .with_source(source)
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// What the reader can do about it; a whole sentence without its full stop.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Makes the command end with this status instead of 1.
    #[must_use]
    pub fn with_exit_code(mut self, exit_code: u8) -> Self {
        self.inner.exit_code = Some(exit_code);
        self
    }

    /// The status that the command ends with.
    pub fn exit_code(&self) -> u8 {
        self.inner.exit_code.unwrap_or(1)
    }

    pub fn code(&self) -> Code {
        self.inner.code
    }

    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code().as_str(), self.inner.message)?;
        let mut cause = self.source();
        while let Some(source) = cause {
            write!(formatter, ": {source}")?;
            cause = source.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn debug_shows_the_whole_chain() {
        let cause = io::Error::other("disk on fire");
        let error = Error::io("open", "a/b", cause);
        assert_eq!(format!("{error:?}"), "EIO: failed to open `a/b`: disk on fire");
    }
}
