//! Who we are to a server that asks for a certificate.

use std::path::PathBuf;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::refused;
use crate::config::{Identity, NetworkSettings};
use crate::error::{Code, Error, Result};

/// A certificate and its key, not read yet. `Debug` shows no key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientIdentity {
    /// `//host/path/:certfile` and `:keyfile`.
    Files { certificate: PathBuf, key: PathBuf },
    /// `cert` and `key`.
    Text(Identity),
}

impl ClientIdentity {
    /// The identity for an address: that of the address, else the one for all.
    pub fn of(url: &Url, settings: &NetworkSettings) -> Option<Self> {
        if url.scheme() != "https" {
            return None;
        }
        let files = settings.credentials.certificate(url).map(|files| Self::Files {
            certificate: files.certificate.to_owned(),
            key: files.key.to_owned(),
        });
        files.or_else(|| settings.identity.clone().map(Self::Text))
    }

    /// npm takes a file that is not there for none at all; the server's refusal would not say why.
    pub(super) fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let (certificate, key) = match self {
            Self::Files { certificate, key } => {
                let read = |name, path: &PathBuf| {
                    std::fs::read(path).map_err(|error| {
                        refused(format!("failed to read `{name}` `{}`", path.display()), error)
                    })
                };
                (read("certfile", certificate)?, read("keyfile", key)?)
            }
            Self::Text(Identity { certificate, key }) => {
                (certificate.clone().into_bytes(), key.clone().into_bytes())
            }
        };
        let understood: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate).collect();
        let certificates = understood.map_err(|error| {
            refused(format!("failed to understand the certificate of {}", self.describe()), error)
        })?;
        if certificates.is_empty() {
            let message = format!("{} holds no certificate in PEM", self.describe());
            return Err(Error::new(Code::Config, message));
        }
        // The cause could quote the key, and there is no more to say.
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
            let message = format!("the key of {} is no private key in PEM", self.describe());
            Error::new(Code::Config, message)
                .with_hint("a key with a passphrase has to be decrypted first")
        })?;
        Ok((certificates, key))
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Files { certificate, key } => {
                format!("`certfile` `{}` with `{}`", certificate.display(), key.display())
            }
            Self::Text(_) => "`cert` with `key`".to_owned(),
        }
    }
}
