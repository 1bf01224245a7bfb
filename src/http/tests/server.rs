//! A server of plain threads on loopback, which says exactly what a test wants.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use url::Url;

/// What the server was asked, and how often before.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HashMap<String, String>,
    /// Requests before this one, on all connections.
    pub number: usize,
}

/// The bytes to send; the connection is closed behind them where `closes`.
pub struct Answer {
    pub bytes: Vec<u8>,
    pub closes: bool,
}

/// A server for as long as the test runs; its threads end with their connections.
pub struct Server {
    pub port: u16,
    connection_count: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            connection_count: Arc::default(),
            asked: Arc::default(),
        };
        let (count, asked, answer) =
            (server.connection_count.clone(), server.asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (asked, answer) = (asked.clone(), answer.clone());
                std::thread::spawn(move || serve(&stream.unwrap(), &asked, &*answer));
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn connection_count(&self) -> usize {
        self.connection_count.load(Ordering::SeqCst)
    }
}

fn serve(stream: &TcpStream, asked: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Answer) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let pairs = lines[1..].iter().filter_map(|line| line.split_once(": "));
        let request = {
            let mut asked = asked.lock().unwrap();
            let number = asked.len();
            asked.push(Asked {
                path: lines[0].split(' ').nth(1).unwrap().to_owned(),
                headers: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                number,
            });
            asked.last().unwrap().clone()
        };
        let Answer { bytes, closes } = answer(&request);
        let mut writer = stream;
        if writer.write_all(&bytes).is_err() || closes {
            return;
        }
    }
}

pub fn ok(body: &[u8]) -> Answer {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Answer { bytes, closes: false }
}

pub fn status(status: u16, headers: &str) -> Answer {
    let head = format!("HTTP/1.1 {status} Status\r\n{headers}content-length: 2\r\n\r\nno");
    Answer { bytes: head.into_bytes(), closes: false }
}

pub fn redirect(target: &str) -> Answer {
    status(302, &format!("location: {target}\r\n"))
}

pub fn raw(text: &str) -> Answer {
    Answer { bytes: text.as_bytes().to_vec(), closes: true }
}
