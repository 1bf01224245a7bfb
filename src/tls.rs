//! TLS for connections to https addresses: which certificates are trusted, and the handshake.
//!
//! Nothing is read before the first https address is asked for: an install that needs no network
//! does not pay for the system's list of certificates.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::Arc;

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::config::NetworkSettings;
use crate::error::{Code, Error, Result};

mod identity;
pub mod server;
#[cfg(test)]
mod tests;

pub use identity::ClientIdentity;

/// Makes TLS connections with what the settings say; they are read at the first one.
#[derive(Default)]
pub struct Connector {
    /// One for each identity that a server may be shown, and one for none.
    configs: RefCell<HashMap<Option<ClientIdentity>, Arc<ClientConfig>>>,
}

impl Connector {
    /// The configuration, read on first use. A certificate that cannot be read is an error each
    /// time it is asked for.
    pub fn prepare(
        &self,
        settings: &NetworkSettings,
        identity: Option<&ClientIdentity>,
    ) -> Result<Handshake> {
        let identity = identity.cloned();
        if let Some(config) = self.configs.borrow().get(&identity) {
            return Ok(Handshake { config: config.clone() });
        }
        let config = Arc::new(client_config(settings, identity.as_ref())?);
        self.configs.borrow_mut().insert(identity, config.clone());
        Ok(Handshake { config })
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let configs = self.configs.borrow().len();
        formatter.debug_struct("Connector").field("configs", &configs).finish()
    }
}

/// One handshake to be made.
#[derive(Debug)]
pub struct Handshake {
    config: Arc<ClientConfig>,
}

impl Handshake {
    /// `host` is the name that the certificate has to be for; an IPv6 address has no brackets.
    pub async fn run<S: Read + Write + Unpin>(
        self,
        host: &str,
        stream: S,
    ) -> io::Result<impl Read + Write + Unpin + use<S>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = tokio_rustls::TlsConnector::from(self.config);
        Ok(TokioIo::new(connector.connect(name, TokioIo::new(stream)).await?))
    }
}

/// What helps where TLS was refused for a reason that no retry mends; `None` for all other
/// failures.
pub fn refusal_hint(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An `io::Error` shows the error inside it only here, not as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let error = inner.map_or(error, |inner| inner as &(dyn StdError + 'static));
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return match error {
                rustls::Error::InvalidCertificate(_) => {
                    Some("if its certificate is right, set `cafile` to that of its authority")
                }
                rustls::Error::AlertReceived(alert) if is_about_the_client(*alert) => {
                    Some("it wants a client's certificate: set `//host/:certfile` and `:keyfile`")
                }
                _ => None,
            };
        }
        cause = error.source();
    }
    None
}

fn is_about_the_client(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

fn client_config(
    settings: &NetworkSettings,
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("failed to set up TLS", error))?;
    let builder = if settings.strict_ssl {
        builder.with_root_certificates(roots(settings)?)
    } else {
        let verifier = Arc::new(AcceptAny { provider });
        builder.dangerous().with_custom_certificate_verifier(verifier)
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (certificates, key) = identity.read()?;
            builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| refused(format!("failed to use {}", identity.describe()), error))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// `ca` and `cafile` take the place of the system's certificates, and `NODE_EXTRA_CA_CERTS` adds
/// to these: npm hands the former to Node's `tls.connect`, whose `ca` replaces all others.
fn roots(settings: &NetworkSettings) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for text in &settings.ca {
        add(&mut roots, "`ca`", certificates(text.as_bytes()))?;
    }
    if let Some(path) = &settings.cafile {
        add_file(&mut roots, "`cafile`", path)?;
    }
    if !settings.ca.is_empty() || settings.cafile.is_some() {
        return Ok(roots);
    }
    // SSL_CERT_FILE and SSL_CERT_DIR are honoured in there.
    let native = rustls_native_certs::load_native_certs();
    // One odd certificate among the system's hundred does not matter; none at all does.
    roots.add_parsable_certificates(native.certs);
    for path in &settings.extra_ca_files {
        add_file(&mut roots, "`NODE_EXTRA_CA_CERTS`", path)?;
    }
    if !roots.is_empty() {
        return Ok(roots);
    }
    let error = Error::new(Code::Config, "failed to find the system's certificates")
        .with_hint("install the package `ca-certificates`, or set `SSL_CERT_FILE` or `cafile`");
    Err(match native.errors.into_iter().next() {
        Some(cause) => error.with_source(cause),
        None => error,
    })
}

fn add_file(roots: &mut RootCertStore, name: &str, path: &Path) -> Result<()> {
    let text = std::fs::read(path).map_err(|error| {
        let message = format!("failed to read {name} `{}`", path.display());
        refused(message, error)
    })?;
    add(roots, &format!("{name} `{}`", path.display()), certificates(&text))
}

fn certificates(
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(text).collect()
}

fn add(
    roots: &mut RootCertStore,
    name: &str,
    certificates: Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error>,
) -> Result<()> {
    let message = || format!("failed to understand the certificates of {name}");
    let certificates = certificates.map_err(|error| refused(message(), error))?;
    if certificates.is_empty() {
        return Err(Error::new(Code::Config, format!("{name} holds no certificate in PEM")));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|error| refused(message(), error))?;
    }
    Ok(())
}

fn refused(message: impl Into<String>, cause: impl StdError + Send + Sync + 'static) -> Error {
    Error::new(Code::Config, message).with_source(cause)
}

/// What `strict-ssl=false` asks for: any certificate will do, for any name, at any time. That the
/// server holds the certificate's key is still checked, though it says nothing of who it is.
#[derive(Debug)]
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
