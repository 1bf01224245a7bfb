//! Tarballs that the lockfile gives no digest of, or only a weak one: what the registry sends for
//! them is installed unseen.
//!
//! Folders, repositories and what comes in a bundle have no digest in a lockfile that npm wrote
//! either, so they are not counted.

use crate::error::{Code, Error, Result};
use crate::integrity::{Algorithm, Integrity};
use crate::plan::{Plan, Tarball, count};
use crate::registry::Source;

/// How well the lockfile describes the tarballs of a plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unverified {
    /// `name@version` of the tarballs without any digest.
    pub without_integrity: Vec<String>,
    /// How many have SHA-1 alone.
    pub with_sha1: usize,
}

impl Unverified {
    pub fn of(plan: &Plan<'_>) -> Self {
        let mut found = Self::default();
        for tarball in &plan.tarballs {
            let is_legacy = match &tarball.source {
                Source::Registry { legacy_sha1, .. } => legacy_sha1.is_some(),
                Source::Remote(_) => false,
                Source::Git(_) | Source::File(_) | Source::Folder | Source::Unknown => continue,
            };
            match tarball.integrity {
                None if is_legacy => found.with_sha1 += 1,
                None => found.without_integrity.push(label(tarball)),
                Some(integrity) => found.with_sha1 += usize::from(is_sha1(integrity)),
            }
        }
        found
    }

    /// EINTEGRITY that names them all, where there are any.
    pub fn refuse(&self, lockfile: &str) -> Result<()> {
        if self.without_integrity.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{lockfile} has no integrity for {}, and --strict-integrity is set\n\n{}",
            count(self.without_integrity.len(), "package"),
            self.without_integrity.join("\n")
        );
        Err(Error::new(Code::Integrity, message).with_hint(
            "`npm update --package-lock-only` writes a lockfile that has it, within the ranges of \
             package.json",
        ))
    }

    pub fn warning(&self, lockfile: &str) -> Option<String> {
        let packages = count(self.without_integrity.len(), "package");
        (!self.without_integrity.is_empty()).then(|| {
            format!(
                "{lockfile} has no integrity for {packages}: what the registry sends is not \
                 checked (--strict-integrity refuses it)"
            )
        })
    }

    /// What is of interest to few: npm takes SHA-1 without a word.
    pub fn detail(&self, lockfile: &str) -> Option<String> {
        let packages = count(self.with_sha1, "package");
        (self.with_sha1 > 0).then(|| format!("{lockfile} has SHA-1 alone for {packages}"))
    }
}

fn label(tarball: &Tarball<'_>) -> String {
    format!("{}@{}", tarball.name, tarball.version)
}

fn is_sha1(integrity: &str) -> bool {
    // Nearly all have SHA-512, and need no closer look.
    integrity.contains("sha1-")
        && Integrity::parse(integrity).is_ok_and(|parsed| parsed.algorithm() == Algorithm::Sha1)
}
