//! A proxy on loopback: it passes on what it is asked to, by CONNECT or with the whole address, and
//! remembers what it was told. One thread with a runtime of its own, which ends with the value.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passed {
    /// `CONNECT host:port` or `GET http://host:port/path`.
    pub what: String,
    pub authorization: Option<String>,
    pub proxy_authorization: Option<String>,
}

#[derive(Default)]
struct State {
    passed: Mutex<Vec<Passed>>,
    /// What is answered in place of passing on, in turn.
    replies: Mutex<VecDeque<&'static str>>,
    /// The only `Proxy-Authorization` that is let through.
    wanted: Mutex<Option<String>>,
}

impl Proxy {
    pub fn start() -> Self {
        Self::start_on(None)
    }

    /// A proxy that is itself spoken to by TLS.
    pub fn start_secure(config: ServerConfig) -> Self {
        Self::start_on(Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start_on(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (stop, stopped) = oneshot::channel();
        let for_thread = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.spawn(accept(listener, tls, for_thread));
            // Ends as well where the sender is dropped; what is still open ends with the runtime.
            let _ = runtime.block_on(stopped);
        });
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Lets through only who says this in `Proxy-Authorization`.
    pub fn wants(self, authorization: &str) -> Self {
        *self.state.wanted.lock().unwrap() = Some(authorization.to_owned());
        self
    }

    /// The next request gets this answer, which has to be a whole one.
    pub fn reply_once(&self, answer: &'static str) {
        self.state.replies.lock().unwrap().push_back(answer);
    }

    /// What came since the last time this was asked, sorted.
    pub fn take(&self) -> Vec<Passed> {
        let mut passed = std::mem::take(&mut *self.state.passed.lock().unwrap());
        passed.sort();
        passed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            // Either side may hang up whenever it likes.
            let _ = match tls {
                None => pass(stream, &state).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => pass(stream, &state).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

/// One request, and what comes of it.
async fn pass(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    state: &State,
) -> std::io::Result<()> {
    let head = read_head(&mut client).await?;
    let mut lines = head.lines();
    let line = lines.next().unwrap();
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    };
    let what = line.trim_end_matches(" HTTP/1.1").to_owned();
    let (method, target) = what.split_once(' ').unwrap();
    state.passed.lock().unwrap().push(Passed {
        what: what.clone(),
        authorization: header("authorization"),
        proxy_authorization: header("proxy-authorization"),
    });
    let reply = state.replies.lock().unwrap().pop_front();
    let wanted = state.wanted.lock().unwrap().clone();
    let is_let_through = wanted.is_none() || header("proxy-authorization") == wanted;
    if let Some(reply) = reply.or((!is_let_through).then_some(UNAUTHORIZED)) {
        client.write_all(reply.as_bytes()).await?;
        return client.shutdown().await;
    }
    if method == "CONNECT" {
        let mut server = TcpStream::connect(target).await?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let rest = target.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let mut server = TcpStream::connect(authority).await?;
    let mut request = format!("{method} /{path} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in headers {
        if !name.starts_with("proxy-") && name != "connection" {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
    }
    server.write_all(format!("{request}\r\n").as_bytes()).await?;
    tokio::io::copy(&mut server, &mut client).await?;
    client.shutdown().await
}

async fn read_head(client: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

const UNAUTHORIZED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                            proxy-authenticate: Basic realm=\"test\"\r\ncontent-length: 0\r\n\
                            connection: close\r\n\r\n";
