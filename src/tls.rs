//! TLS for connections to https addresses: which certificates are trusted, and the handshake.
//!
//! Nothing is read before the first https address is asked for: an install that needs no network
//! does not pay for the system's list of certificates.

use std::cell::OnceCell;
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
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::NetworkSettings;
use crate::error::{Code, Error, Result};

/// Makes TLS connections with what the settings say; they are read at the first one.
#[derive(Default)]
pub struct Connector {
    config: OnceCell<Arc<ClientConfig>>,
}

impl Connector {
    /// The configuration, read on first use. A certificate that cannot be read is an error each
    /// time it is asked for.
    pub fn prepare(&self, settings: &NetworkSettings) -> Result<Handshake> {
        if let Some(config) = self.config.get() {
            return Ok(Handshake { config: config.clone() });
        }
        let config = Arc::new(client_config(settings)?);
        Ok(Handshake { config: self.config.get_or_init(|| config).clone() })
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_prepared = self.config.get().is_some();
        formatter.debug_struct("Connector").field("is_prepared", &is_prepared).finish()
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

/// Whether a failed handshake is a matter of trust, which no retry mends.
pub fn is_refused_certificate(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An `io::Error` shows the error inside it only here, not as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let error = inner.map_or(error, |inner| inner as &(dyn StdError + 'static));
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return matches!(error, rustls::Error::InvalidCertificate(_));
        }
        cause = error.source();
    }
    false
}

fn client_config(settings: &NetworkSettings) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("failed to set up TLS", error))?;
    let mut config = if settings.strict_ssl {
        builder.with_root_certificates(roots(settings)?).with_no_client_auth()
    } else {
        let verifier = Arc::new(AcceptAny { provider });
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use tempfile::TempDir;
    use url::Url;

    use crate::backend::network::Driver;
    use crate::backend::network::testing::run_on;
    use crate::http::{Body, Budget, Client, Limits, Traffic};

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A server for the name `localhost` that answers every connection with the text `secure`.
    fn start_server(authority: &Authority) -> Url {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        // A client that offered anything else would be refused.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                // A client that does not trust us goes away in the middle.
                let _ = answer(StreamOwned::new(connection, stream.unwrap()));
            }
        });
        Url::parse(&format!("https://localhost:{port}/")).unwrap()
    }

    fn answer(mut stream: StreamOwned<ServerConnection, std::net::TcpStream>) -> io::Result<()> {
        use std::io::{Read, Write};
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecure")?;
        stream.flush()
    }

    fn get(url: &Url, settings: NetworkSettings) -> Result<Body> {
        let spool = tempfile::tempdir().unwrap();
        let budget = Budget::new(1 << 20);
        let traffic = Arc::new(Traffic::default());
        run_on(Driver::Epoll, async |network| {
            let (limits, spool) = (Limits::default(), spool.path());
            let client = Client::new(network, settings, limits, budget, spool, traffic);
            client.get(url, |_| None).await
        })
    }

    fn file(folder: &TempDir, text: &str) -> PathBuf {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn an_authority_in_cafile_or_ca_is_trusted() {
        let authority = authority();
        let url = start_server(&authority);
        let folder = tempfile::tempdir().unwrap();
        let cafile = Some(file(&folder, &authority.pem()));
        let settings = NetworkSettings { cafile, ..NetworkSettings::default() };
        assert_eq!(get(&url, settings).unwrap().length(), 6);
        let settings = NetworkSettings { ca: vec![authority.pem()], ..NetworkSettings::default() };
        assert_eq!(get(&url, settings).unwrap().length(), 6);
    }

    #[test]
    fn another_authority_is_refused_without_a_second_try() {
        let url = start_server(&authority());
        // The default wait before a second try is longer than any test may take.
        let settings =
            NetworkSettings { ca: vec![authority().pem()], ..NetworkSettings::default() };
        let error = get(&url, settings.clone()).unwrap_err();
        assert_eq!(error.code(), Code::Network);
        assert!(error.hint().is_some_and(|hint| hint.contains("`cafile`")), "{error:?}");
        let settings = NetworkSettings { strict_ssl: false, ..settings };
        assert_eq!(get(&url, settings).unwrap().length(), 6);
    }

    #[test]
    fn a_certificate_is_for_one_name() {
        let authority = authority();
        let mut url = start_server(&authority);
        let settings = NetworkSettings { ca: vec![authority.pem()], ..NetworkSettings::default() };
        assert!(get(&url, settings.clone()).is_ok());
        if url.socket_addrs(|| None).unwrap().iter().any(std::net::SocketAddr::is_ipv4) {
            url.set_host(Some("127.0.0.1")).unwrap();
        } else {
            url.set_host(Some("[::1]")).unwrap();
        }
        let settings = NetworkSettings { fetch_retries: 0, ..settings };
        assert_eq!(get(&url, settings).unwrap_err().code(), Code::Network);
    }

    #[test]
    fn files_that_hold_no_certificate_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |settings: NetworkSettings| {
            let error = Connector::default().prepare(&settings).unwrap_err();
            assert_eq!(error.code(), Code::Config);
            error.to_string()
        };
        let missing = Some(folder.path().join("missing"));
        let settings = NetworkSettings { cafile: missing, ..NetworkSettings::default() };
        let expected = format!("failed to read `cafile` `{}/missing`", folder.path().display());
        assert_eq!(refusal(settings), expected);
        let cafile = Some(file(&folder, "no certificate"));
        let settings = NetworkSettings { cafile, ..NetworkSettings::default() };
        let path = folder.path().join("ca.pem");
        let expected = format!("`cafile` `{}` holds no certificate in PEM", path.display());
        assert_eq!(refusal(settings), expected);
        let ca = vec!["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_owned()];
        let settings = NetworkSettings { ca, ..NetworkSettings::default() };
        assert_eq!(refusal(settings), "failed to understand the certificates of `ca`");
    }

    #[test]
    fn nothing_is_read_before_an_https_address_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let settings = NetworkSettings {
            cafile: Some(PathBuf::from("/nonexistent")),
            fetch_retries: 0,
            ..NetworkSettings::default()
        };
        assert_eq!(get(&url, settings).unwrap_err().code(), Code::Network);
    }
}
