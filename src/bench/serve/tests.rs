//! The server, asked by plain sockets and by the client that installs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::backend::network::Driver;
use crate::backend::network::testing::run_on;
use crate::config::NetworkSettings;
use crate::http::{Body, Budget, Client, Limits, Traffic};
use url::Url;

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Larger than what goes out with its head, and than one piece of it.
fn large() -> Vec<u8> {
    (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect()
}

struct Scene {
    _mirror: tempfile::TempDir,
    server: Server,
}

fn start(options: ServeOptions) -> Scene {
    let mirror = tempfile::tempdir().unwrap();
    write(mirror.path(), "a/-/a-1.0.0.tgz", b"small");
    write(mirror.path(), "@s/b/-/b-1.0.0.tgz", &large());
    write(mirror.path(), "a/index.min.json", br#"{"name": "a"}"#);
    let options = ServeOptions { directory: mirror.path().to_owned(), ..options };
    Scene { server: Server::start(&options).unwrap(), _mirror: mirror }
}

impl Scene {
    /// All that comes back for some bytes on one connection.
    fn ask(&self, bytes: &str) -> String {
        let address = self.server.started.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address.trim_end_matches('/')).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str, settings: NetworkSettings) -> Result<Vec<u8>> {
        let url = Url::parse(&format!("{}{path}", self.server.started.url)).unwrap();
        let spool = tempfile::tempdir().unwrap();
        let traffic = Arc::new(Traffic::default());
        let body = run_on(Driver::Epoll, async |network| {
            let (limits, spool) = (Limits::default(), spool.path());
            let budget = Budget::new(64 << 20);
            Client::new(network, settings, limits, budget, spool, traffic).get(&url, |_| None).await
        })?;
        match body {
            Body::Memory { bytes, .. } => Ok(bytes.to_vec()),
            Body::File { .. } => panic!("it is small enough for memory"),
        }
    }
}

#[test]
fn requests_on_one_connection_are_answered_in_turn() {
    let scene = start(ServeOptions::default());
    let answer = scene.ask(
        "GET /a/-/a-1.0.0.tgz HTTP/1.1\r\n\r\nHEAD /a HTTP/1.1\r\n\r\n\
         GET /a HTTP/1.1\r\nconnection: close\r\n\r\n",
    );
    let heads = answer.matches("HTTP/1.1 200 OK\r\n").count();
    assert_eq!(heads, 3, "{answer}");
    assert!(answer.contains("\r\n\r\nsmallHTTP/1.1"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"name\": \"a\"}"), "{answer}");
    // The head of a HEAD says how long the body would be.
    assert_eq!(answer.matches("content-length: 13\r\n").count(), 2, "{answer}");
    let counts = scene.server.counts();
    assert_eq!((counts.connections, counts.requests, counts.tarballs), (1, 3, 1));
    assert_eq!(counts.bytes_sent, answer.len() as u64);
}

#[test]
fn what_is_not_there_is_counted_and_named() {
    let scene = start(ServeOptions::default());
    let answer = scene.ask("GET /c HTTP/1.1\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    let counts = scene.server.counts();
    assert_eq!((counts.requests, counts.not_found, counts.missing), (1, 1, vec!["c".to_owned()]));
}

#[test]
fn what_is_not_understood_ends_the_connection() {
    let scene = start(ServeOptions::default());
    let answer = scene.ask("POST /a HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert_eq!(scene.server.counts().refused, 1);
}

#[test]
fn what_a_client_has_already_is_not_sent_again() {
    let scene = start(ServeOptions::default());
    let head = "GET /a HTTP/1.1\r\naccept-encoding: gzip\r\nconnection: close\r\n";
    let address = scene.server.started.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address.trim_end_matches('/')).unwrap();
    write!(stream, "{head}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("content-encoding: gzip\r\n"), "{answer}");
    let etag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let again = scene.ask(&format!("{head}if-none-match: {etag}\r\n\r\n"));
    assert!(again.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{again}");
    assert!(again.ends_with("\r\n\r\n"), "{again}");
}

#[test]
fn each_client_has_an_account_of_its_own() {
    let scene = start(ServeOptions::default());
    let ask = "GET /a HTTP/1.1\r\nconnection: close\r\n\r\n";
    let mut said = Vec::new();
    scene.ask(ask);
    let mut obey = |line: &str| {
        scene.server.obey(line.as_bytes(), |line| {
            said.push(line.to_owned());
            Ok(())
        })
    };
    obey("begin\n").unwrap();
    scene.ask(ask);
    scene.ask(ask);
    obey("end\n").unwrap();
    let error = obey("stop\n").unwrap_err();
    assert_eq!(error.code(), Code::Usage);
    assert_eq!(said[0], "{}");
    let account: Account = serde_json::from_str(&said[1]).unwrap();
    assert_eq!((account.counts.requests, account.counts.connections), (2, 2));
    assert_eq!(account.counts.bytes_received, 2 * ask.len() as u64);
}

#[test]
fn many_are_served_at_once() {
    let scene = start(ServeOptions::default());
    let get = || scene.get("@s/b/-/b-1.0.0.tgz", NetworkSettings::default()).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
        for thread in threads {
            assert!(thread.join().unwrap() == large());
        }
    });
    let counts = scene.server.counts();
    assert_eq!((counts.connections, counts.tarballs, counts.not_found), (8, 8, 0));
    assert!(counts.bytes_sent > 8 * large().len() as u64, "{counts:?}");
}

#[test]
fn https_is_for_who_trusts_its_authority() {
    let scene = start(ServeOptions { is_secure: true, ..ServeOptions::default() });
    let authority = scene.server.started.authority.clone().unwrap();
    let settings = NetworkSettings { ca: vec![authority], ..NetworkSettings::default() };
    assert!(scene.get("@s/b/-/b-1.0.0.tgz", settings).unwrap() == large());
    let other = Acceptor::for_loopback().unwrap().authority().to_owned();
    let settings = NetworkSettings { ca: vec![other], ..NetworkSettings::default() };
    assert_eq!(scene.get("a", settings).unwrap_err().code(), Code::Network);
}

#[test]
fn latency_and_bandwidth_are_what_was_asked_for() {
    let latency = Duration::from_millis(30);
    let options =
        ServeOptions { latency, bytes_per_second: Some(20_000_000), ..ServeOptions::default() };
    let scene = start(options);
    let start = std::time::Instant::now();
    let body = scene.get("@s/b/-/b-1.0.0.tgz", NetworkSettings::default()).unwrap();
    // Twice the latency, and 3 MB at 20 MB a second. It may take longer, never shorter.
    assert!(start.elapsed() >= 2 * latency + Duration::from_millis(150));
    assert!(body == large());
}
