//! The stage as its caller sees it: on a thread of its own, with both channels.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use url::Url;

use super::{Again, Download, FetchOptions, FetchStats, Fetched, run};
use crate::backend::NetworkDriver;
use crate::backend::network::Driver;
use crate::backend::network::testing::{is_had, on_each_driver, refuse_sends};
use crate::config::NetworkSettings;
use crate::error::Code;
use crate::http::{Body, Budget, Limits};
use crate::journal::{Awaited, Journal};
use crate::registry::Registries;

/// Long enough for any machine; only a test that fails waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

on_each_driver!(
    every_download_is_delivered_once,
    a_damaged_tarball_is_asked_for_again,
    what_is_under_way_or_unknown_is_not_asked_for_again,
    what_is_not_wanted_yet_is_had_when_it_is_asked_for,
    nothing_to_download_waits_for_the_end,
    an_installation_that_is_given_up_stops_the_downloads,
);

/// Answers each path with itself, `/missing` with 404 and `/silent` never.
fn start_server() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(&stream.unwrap()));
        }
    });
    Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap()
}

fn serve(mut stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let _ = lines.by_ref().find(String::is_empty);
        let status = match path.as_str() {
            "/silent" => continue,
            "/missing" => "404 Not Found",
            _ => "200 OK",
        };
        let length = path.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{path}");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

struct Running {
    thread: JoinHandle<FetchStats>,
    fetched: Receiver<Fetched>,
    again: UnboundedSender<Again>,
    journal: Journal,
    _spool: TempDir,
}

/// Starts the stage; indexes are ten times the position, to be no positions.
fn start(driver: Driver, paths: &[&str], connections_max: usize) -> Running {
    start_with(driver, paths, connections_max, || {})
}

/// The same, on a thread that `prepare` was called on.
fn start_with(driver: Driver, paths: &[&str], connections_max: usize, prepare: fn()) -> Running {
    let base = start_server();
    let downloads = paths.iter().enumerate().map(|(position, path)| Download {
        index: position * 10,
        url: base.join(path).unwrap(),
        name_version: (*path).to_owned(),
        is_wanted: !path.starts_with("later"),
    });
    let downloads = downloads.collect();
    let spool = tempfile::tempdir().unwrap();
    let journal = Journal::default();
    let options = FetchOptions {
        driver: match driver {
            Driver::Ring => NetworkDriver::Ring,
            Driver::TokioUring => NetworkDriver::TokioUring,
            Driver::Epoll => NetworkDriver::Epoll,
        },
        network: NetworkSettings { connections_max, ..NetworkSettings::default() },
        registries: Arc::new(Registries::default()),
        limits: Limits::default(),
        budget: Budget::new(1 << 20),
        spool: spool.path().to_owned(),
        journal: journal.clone(),
    };
    let (deliver, fetched) = crossbeam_channel::unbounded();
    let (again, receive) = unbounded_channel();
    let thread = std::thread::spawn(move || {
        prepare();
        run(downloads, options, deliver, receive).unwrap()
    });
    Running { thread, fetched, again, journal, _spool: spool }
}

impl Running {
    fn next(&self) -> (usize, Result<String, Code>) {
        let Fetched { index, result } = self.fetched.recv_timeout(DEADLINE).unwrap();
        let text = result.map(|body| match body {
            Body::Memory { bytes, .. } => String::from_utf8(bytes.to_vec()).unwrap(),
            Body::File { .. } => panic!("a small body is in memory"),
        });
        (index, text.map_err(|error| error.code()))
    }
}

fn every_download_is_delivered_once(driver: Driver) {
    let running = start(driver, &["a", "missing", "b", "c"], 2);
    let mut delivered: Vec<_> = (0..4).map(|_| running.next()).collect();
    delivered.sort_by_key(|(index, _)| *index);
    let whole = |text: &str| Ok(text.to_owned());
    let expected =
        [(0, whole("/a")), (10, Err(Code::NotFound)), (20, whole("/b")), (30, whole("/c"))];
    assert_eq!(delivered, expected);
    assert_eq!(running.journal.board().downloads().0, 4);
    assert!(running.journal.board().oldest().is_none());
    running.again.send(Again::Finished).unwrap();
    let stats = running.thread.join().unwrap();
    assert_eq!((stats.requests, stats.bytes_received), (4, 6));
    assert_eq!(stats.network.map(|tally| tally.driver), Some(driver));
    assert_eq!(stats.refusal, None);
}

fn a_damaged_tarball_is_asked_for_again(driver: Driver) {
    let running = start(driver, &["a", "b"], 8);
    for _ in 0..2 {
        assert!(running.next().1.is_ok());
    }
    running.again.send(Again::Retry(10)).unwrap();
    assert_eq!(running.next(), (10, Ok("/b".to_owned())));
    running.again.send(Again::Finished).unwrap();
    assert_eq!(running.thread.join().unwrap().requests, 3);
    assert!(running.fetched.try_recv().is_err());
}

fn what_is_under_way_or_unknown_is_not_asked_for_again(driver: Driver) {
    let running = start(driver, &["silent", "a"], 2);
    assert_eq!(running.next(), (10, Ok("/a".to_owned())));
    for index in [0, 0, 7] {
        running.again.send(Again::Retry(index)).unwrap();
    }
    running.again.send(Again::Retry(10)).unwrap();
    assert_eq!(running.next(), (10, Ok("/a".to_owned())));
    let (oldest, _) = running.journal.board().oldest().unwrap();
    assert!(matches!(oldest, Awaited::Download(download) if download.name_version == "silent"));
    running.again.send(Again::Finished).unwrap();
    // The one that never answers was not counted, as it was neither answered nor repeated.
    assert_eq!(running.thread.join().unwrap().requests, 2);
}

fn what_is_not_wanted_yet_is_had_when_it_is_asked_for(driver: Driver) {
    let running = start(driver, &["later", "a"], 1);
    assert_eq!(running.next(), (10, Ok("/a".to_owned())));
    running.again.send(Again::Retry(0)).unwrap();
    assert_eq!(running.next(), (0, Ok("/later".to_owned())));
    running.again.send(Again::Finished).unwrap();
    assert_eq!(running.thread.join().unwrap().requests, 2);
}

fn nothing_to_download_waits_for_the_end(driver: Driver) {
    let running = start(driver, &[], 2);
    running.again.send(Again::Finished).unwrap();
    // Not even the network is started.
    assert_eq!(running.thread.join().unwrap(), FetchStats::default());
}

fn an_installation_that_is_given_up_stops_the_downloads(driver: Driver) {
    let running = start(driver, &["silent"], 2);
    drop(running.again);
    assert_eq!(running.thread.join().unwrap().bytes_received, 0);

    let running = start(driver, &["silent", "a", "b"], 2);
    let Running { thread, fetched, again, .. } = running;
    drop(fetched);
    thread.join().unwrap();
    drop(again);
}

#[test]
fn what_a_refused_driver_leaves_is_done_by_the_next() {
    if !is_had(Driver::Ring) {
        return;
    }
    let running = start_with(Driver::Ring, &["a", "missing", "b"], 2, refuse_sends);
    let mut delivered: Vec<_> = (0..3).map(|_| running.next()).collect();
    delivered.sort_by_key(|(index, _)| *index);
    let whole = |text: &str| Ok(text.to_owned());
    assert_eq!(delivered, [(0, whole("/a")), (10, Err(Code::NotFound)), (20, whole("/b"))]);
    running.again.send(Again::Retry(20)).unwrap();
    assert_eq!(running.next(), (20, whole("/b")));
    running.again.send(Again::Finished).unwrap();
    let stats = running.thread.join().unwrap();
    assert_eq!(stats.network.map(|tally| tally.driver), Some(Driver::Epoll));
    let expected = "the network driver ring is refused: Permission denied (os error 13)";
    assert_eq!(stats.refusal.as_deref(), Some(expected));
}
