//! The client against a server on loopback, on each network driver.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Read;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use url::Url;

use super::{Body, Budget, Client, Limits, Traffic};
use crate::backend::network::testing::{on_each_driver, run_on};
use crate::backend::network::{Driver, Network};
use crate::config::NetworkSettings;
use crate::error::{Code, Error, Result};

mod server;

use server::{Answer, Server, ok, raw, redirect, status};

on_each_driver!(
    requests_share_connections_up_to_the_limit,
    a_request_says_what_it_takes_and_who_asks,
    a_connection_that_died_while_idle_is_not_a_failed_try,
    a_truncated_body_is_asked_for_again,
    a_body_in_chunks_or_up_to_the_end_is_whole,
    passing_refusals_are_asked_again_and_then_reported,
    retry_after_goes_before_our_own_wait,
    lasting_refusals_are_reported_at_once,
    a_server_that_is_not_there_is_reported_after_all_tries,
    a_silent_server_is_given_up,
    a_redirect_to_another_host_takes_no_credentials_along,
    redirects_end,
    a_redirect_leads_to_http_or_https_only,
    a_body_over_the_limit_is_refused_whether_or_not_it_says_so,
    a_large_body_goes_to_a_file_without_a_name,
    a_body_in_memory_holds_its_part_of_the_budget,
    a_full_budget_holds_downloads_back_until_a_body_is_dropped,
    credentials_that_no_header_can_hold_are_not_shown,
);

fn settings() -> NetworkSettings {
    NetworkSettings {
        fetch_retry_mintimeout: Duration::from_millis(1),
        fetch_retry_maxtimeout: Duration::from_millis(2),
        fetch_timeout: Duration::from_secs(20),
        ..NetworkSettings::default()
    }
}

/// A client with its spool and its budget.
struct Fixture {
    driver: Driver,
    spool: TempDir,
    budget: Budget,
    traffic: Arc<Traffic>,
    settings: NetworkSettings,
    limits: Limits,
}

impl Fixture {
    fn new(driver: Driver) -> Self {
        Self {
            driver,
            spool: tempfile::tempdir().unwrap(),
            budget: Budget::new(1 << 20),
            traffic: Arc::default(),
            settings: settings(),
            limits: Limits::default(),
        }
    }

    fn client(&self, network: Network) -> Client {
        let Self { spool, budget, traffic, settings, limits, .. } = self;
        let (settings, budget, traffic) = (settings.clone(), budget.clone(), traffic.clone());
        Client::new(network, settings, *limits, budget, spool.path(), traffic)
    }

    fn get(&self, url: &Url) -> Result<Body> {
        run_on(self.driver, async |network| self.client(network).get(url, |_| None).await)
    }

    fn refusal(&self, url: &Url) -> Error {
        self.get(url).unwrap_err()
    }
}

fn bytes_of(body: Body) -> Vec<u8> {
    match body {
        Body::Memory { bytes, .. } => bytes.to_vec(),
        Body::File { mut file, length } => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, length);
            bytes
        }
    }
}

fn requests_share_connections_up_to_the_limit(driver: Driver) {
    let server = Server::start(|asked| ok(asked.path.as_bytes()));
    let mut fixture = Fixture::new(driver);
    fixture.settings.connections_max = 2;
    let urls: Vec<Url> = (0..12).map(|index| server.url(&format!("/{index}"))).collect();
    let mut bodies: Vec<Vec<u8>> = run_on(driver, async |network| {
        let client = Rc::new(fixture.client(network.clone()));
        let (deliver, mut delivered) = tokio::sync::mpsc::unbounded_channel();
        for url in urls.clone() {
            let (client, deliver) = (client.clone(), deliver.clone());
            network.spawn(async move {
                let body = client.get(&url, |_| None).await.unwrap();
                deliver.send(bytes_of(body)).unwrap();
            });
        }
        let mut bodies = Vec::new();
        while bodies.len() < urls.len() {
            bodies.push(delivered.recv().await.unwrap());
        }
        bodies
    });
    bodies.sort();
    let mut expected: Vec<Vec<u8>> = urls.iter().map(|url| url.path().into()).collect();
    expected.sort();
    assert_eq!(bodies, expected);
    assert_eq!(server.connection_count(), 2);
    assert_eq!(fixture.traffic.requests(), 12);
    assert_eq!(fixture.traffic.bytes_received(), expected.concat().len() as u64);
}

fn a_request_says_what_it_takes_and_who_asks(driver: Driver) {
    let server = Server::start(|_| ok(b""));
    let mut fixture = Fixture::new(driver);
    fixture.settings.user_agent = "agent/1".to_owned();
    fixture.get(&server.url("/@s/a/-/a.tgz?q=1")).unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].path, "/@s/a/-/a.tgz?q=1");
    let expected = [
        ("host", format!("127.0.0.1:{}", server.port)),
        ("accept", "*/*".to_owned()),
        ("accept-encoding", "identity".to_owned()),
        ("user-agent", "agent/1".to_owned()),
    ];
    let expected: HashMap<_, _> =
        expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(asked[0].headers, expected);
}

fn a_connection_that_died_while_idle_is_not_a_failed_try(driver: Driver) {
    // The server says that it keeps the connection, and closes it.
    let server = Server::start(|_| Answer { closes: true, ..ok(b"x") });
    let mut fixture = Fixture::new(driver);
    fixture.settings.fetch_retries = 0;
    run_on(driver, async |network| {
        let client = fixture.client(network.clone());
        for _ in 0..5 {
            client.get(&server.url("/"), |_| None).await.unwrap();
        }
    });
    assert_eq!(fixture.traffic.requests(), 5);
}

fn a_truncated_body_is_asked_for_again(driver: Driver) {
    let cut = [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "",
    ];
    for text in cut {
        let server =
            Server::start(move |asked| if asked.number == 0 { raw(text) } else { ok(b"whole") });
        let fixture = Fixture::new(driver);
        assert_eq!(bytes_of(fixture.get(&server.url("/")).unwrap()), b"whole", "{text}");
        assert_eq!(server.asked().len(), 2);
        assert_eq!(fixture.budget.available(), 1 << 20);
    }
}

fn a_body_in_chunks_or_up_to_the_end_is_whole(driver: Driver) {
    for text in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nabc",
    ] {
        let server = Server::start(move |_| raw(text));
        assert_eq!(bytes_of(Fixture::new(driver).get(&server.url("/")).unwrap()), b"abc");
    }
}

fn passing_refusals_are_asked_again_and_then_reported(driver: Driver) {
    for number in [408, 420, 429, 500, 503] {
        let server = Server::start(move |_| status(number, "retry-after: 0\r\n"));
        let error = Fixture::new(driver).refusal(&server.url("/a?secret"));
        assert_eq!(error.code(), Code::Network);
        let expected = format!("`{}?***` answered with status {number}", server.url("/a"));
        assert_eq!(error.to_string(), expected);
        assert_eq!(server.asked().len(), 3);
        assert_eq!(server.connection_count(), 1);
    }
}

fn retry_after_goes_before_our_own_wait(driver: Driver) {
    let server = Server::start(|asked| match asked.number {
        0 => status(429, "retry-after: 0\r\n"),
        _ => ok(b"x"),
    });
    let mut fixture = Fixture::new(driver);
    // The test would run into the deadline of all tests if these were waited for.
    fixture.settings.fetch_retry_mintimeout = Duration::from_secs(3600);
    fixture.settings.fetch_retry_maxtimeout = Duration::from_secs(3600);
    assert_eq!(bytes_of(fixture.get(&server.url("/")).unwrap()), b"x");
}

fn lasting_refusals_are_reported_at_once(driver: Driver) {
    let cases = [
        (401, Code::Unauthorized),
        (403, Code::Forbidden),
        (404, Code::NotFound),
        (410, Code::NotFound),
        (304, Code::Network),
        (204, Code::Network),
        (400, Code::Network),
    ];
    for (number, code) in cases {
        let server = Server::start(move |_| match number {
            204 | 304 => raw(&format!("HTTP/1.1 {number} Status\r\n\r\n")),
            _ => status(number, ""),
        });
        let error = Fixture::new(driver).refusal(&server.url("/"));
        assert_eq!(error.code(), code, "{number}");
        assert_eq!(server.asked().len(), 1, "{number}");
        if matches!(code, Code::Unauthorized | Code::Forbidden) {
            let key = format!("//127.0.0.1:{}/:_authToken", server.port);
            let expected = format!("set `{key}` in `.npmrc` to a valid token");
            assert_eq!(error.hint(), Some(expected.as_str()));
        }
    }
}

fn a_server_that_is_not_there_is_reported_after_all_tries(driver: Driver) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let fixture = Fixture::new(driver);
    let error = fixture.refusal(&url);
    assert_eq!(error.code(), Code::Network);
    assert_eq!(error.to_string(), format!("failed to connect to `127.0.0.1:{port}`"));
}

fn a_silent_server_is_given_up(driver: Driver) {
    // The head promises a body that never comes, on a connection that stays open.
    let server = Server::start(|asked| match asked.number {
        0 => Answer { closes: false, ..raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n") },
        _ => ok(b"x"),
    });
    let mut fixture = Fixture::new(driver);
    fixture.settings.fetch_timeout = Duration::from_millis(100);
    assert_eq!(bytes_of(fixture.get(&server.url("/")).unwrap()), b"x");
}

fn a_redirect_to_another_host_takes_no_credentials_along(driver: Driver) {
    let target = Server::start(|_| ok(b"x"));
    let address = target.url("/b").to_string();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/" => redirect("/a"),
        _ => redirect(&address),
    });
    let (home, port) = (server.url("/"), server.port);
    let authorization =
        move |url: &Url| (url.port() == Some(port)).then(|| "Bearer secret".to_owned());
    let fixture = Fixture::new(driver);
    let body =
        run_on(driver, async |network| fixture.client(network).get(&home, authorization).await)
            .unwrap();
    assert_eq!(bytes_of(body), b"x");
    let sent = |server: &Server| -> Vec<Option<String>> {
        server.asked().iter().map(|asked| asked.headers.get("authorization").cloned()).collect()
    };
    let secret = Some("Bearer secret".to_owned());
    assert_eq!(sent(&server), [secret.clone(), secret]);
    assert_eq!(sent(&target), [None]);
    // Both answers of the first host came over one connection.
    assert_eq!(server.connection_count(), 1);
}

fn redirects_end(driver: Driver) {
    let server = Server::start(|_| redirect("/again"));
    let error = Fixture::new(driver).refusal(&server.url("/"));
    let expected = format!("`{}` led to more than 10 redirects", server.url("/"));
    assert_eq!(error.to_string(), expected);
    assert_eq!(server.asked().len(), 11);
}

fn a_redirect_leads_to_http_or_https_only(driver: Driver) {
    for target in ["file:///etc/passwd", "ftp://127.0.0.1/"] {
        let server = Server::start(move |_| redirect(target));
        let error = Fixture::new(driver).refusal(&server.url("/"));
        let problem = "redirects to an address that is neither http nor https";
        assert_eq!(error.to_string(), format!("`{}` {problem}", server.url("/")));
    }
    let headers = [(hyper::header::LOCATION, "http://a.test/".parse().unwrap())];
    let headers = headers.into_iter().collect();
    let secure = Url::parse("https://a.test/").unwrap();
    let error = super::redirect_target(&secure, &headers).unwrap_err();
    assert_eq!(error.to_string(), "`https://a.test/` redirects from https to http");
}

fn a_body_over_the_limit_is_refused_whether_or_not_it_says_so(driver: Driver) {
    let claimed = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\nabc";
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "4\r\nabcd\r\n".repeat(10_000)
    );
    for text in [claimed.to_owned(), endless] {
        let server = Server::start(move |_| raw(&text));
        let mut fixture = Fixture::new(driver);
        fixture.limits = Limits { body_bytes_max: 1000, body_memory_max: 100 };
        let error = fixture.refusal(&server.url("/"));
        assert_eq!(error.code(), Code::Tarball);
        assert_eq!(error.to_string(), format!("`{}` is larger than 1000 bytes", server.url("/")));
        assert_eq!(server.asked().len(), 1);
        assert_eq!(fixture.budget.available(), 1 << 20);
        assert_eq!(fixture.spool.path().read_dir().unwrap().count(), 0);
    }
}

fn a_large_body_goes_to_a_file_without_a_name(driver: Driver) {
    let content: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let chunked = {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for part in content.chunks(1000) {
            bytes.extend(format!("{:x}\r\n", part.len()).into_bytes());
            bytes.extend(part);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    };
    let whole = content.clone();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/chunked" => Answer { bytes: chunked.clone(), closes: false },
        _ => ok(&whole),
    });
    for path in ["/chunked", "/claimed"] {
        let mut fixture = Fixture::new(driver);
        fixture.limits.body_memory_max = 2048;
        let body = fixture.get(&server.url(path)).unwrap();
        assert!(matches!(body, Body::File { length: 3000, .. }), "{path}");
        assert_eq!(fixture.spool.path().read_dir().unwrap().count(), 0);
        assert_eq!(fixture.budget.available(), 1 << 20);
        assert_eq!(bytes_of(body), content);
    }
}

fn a_body_in_memory_holds_its_part_of_the_budget(driver: Driver) {
    let server = Server::start(|_| ok(&[0; 5000]));
    let fixture = Fixture::new(driver);
    let body = fixture.get(&server.url("/")).unwrap();
    assert_eq!(fixture.budget.available(), (1 << 20) - 5 * 1024);
    drop(body);
    assert_eq!(fixture.budget.available(), 1 << 20);
}

fn a_full_budget_holds_downloads_back_until_a_body_is_dropped(driver: Driver) {
    let server = Server::start(|_| ok(&[0; 1024]));
    let mut fixture = Fixture::new(driver);
    fixture.budget = Budget::new(1024);
    run_on(driver, async |network| {
        let client = fixture.client(network.clone());
        let url = server.url("/");
        let first = client.get(&url, |_| None).await.unwrap();
        let is_done = Cell::new(false);
        let second = async {
            client.get(&url, |_| None).await.unwrap();
            is_done.set(true);
        };
        let mut second = std::pin::pin!(second);
        // The head of the second answer comes in this time; its body has to wait.
        let waited = network.timeout(Duration::from_millis(100), &mut second);
        assert!(waited.await.is_none() && !is_done.get());
        drop(first);
        second.await;
        assert!(is_done.get());
    });
}

fn credentials_that_no_header_can_hold_are_not_shown(driver: Driver) {
    let server = Server::start(|_| ok(b""));
    let fixture = Fixture::new(driver);
    let url = server.url("/");
    let authorization = |_: &Url| Some("Bearer secret\nx".to_owned());
    let error =
        run_on(driver, async |network| fixture.client(network).get(&url, authorization).await);
    let expected = "ECONFIG: the credentials for `127.0.0.1` hold a line break or the like";
    assert_eq!(format!("{:?}", error.unwrap_err()), expected);
}
