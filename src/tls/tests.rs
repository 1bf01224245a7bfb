//! Trust, names and identities, against servers on loopback with authorities of their own.

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
    let settings = NetworkSettings { ca: vec![authority().pem()], ..NetworkSettings::default() };
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
        let error = Connector::default().prepare(&settings, None).unwrap_err();
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
