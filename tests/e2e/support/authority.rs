//! Authorities of our own: certificates for servers on loopback, and for clients.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::rustls;

use super::package::hex_digest;

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A client's certificate and its key, in PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// What a server asks of its clients.
#[derive(Clone, Copy)]
pub enum Clients<'a> {
    Anyone,
    /// Takes a certificate of this authority where the client has one to show.
    Known(&'a Authority),
    /// Takes no client without one.
    Only(&'a Authority),
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        // OpenSSL finds an issuer by its name, so two must not share one.
        let name = format!("authority {}", hex_digest("sha1", key.public_key_raw()));
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// In PEM on one line, as `.npmrc` has it.
    pub fn one_line(&self) -> String {
        self.pem().trim().replace("\r\n", "\n").replace('\n', "\\n")
    }

    pub fn identity(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client.test".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A server at 127.0.0.1 and `localhost`.
    pub fn server(&self, clients: Clients<'_>) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = |authority: &Authority| {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).unwrap();
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Clients::Anyone => builder.with_no_client_auth(),
            Clients::Known(authority) => builder.with_client_cert_verifier(
                verifier(authority).allow_unauthenticated().build().unwrap(),
            ),
            Clients::Only(authority) => {
                builder.with_client_cert_verifier(verifier(authority).build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        builder.with_single_cert(vec![certificate.unwrap().der().clone()], key).unwrap()
    }
}
