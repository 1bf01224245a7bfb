//! A registry on loopback: it serves the packages it is given, remembers every request, and
//! misbehaves where a test asks for it.
//!
//! One thread with a runtime of its own; it ends when the value is dropped.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::package::{Package, hex_digest};
use super::reply::{Reply, ReplyBody, ReplyKind};

pub struct Registry {
    address: SocketAddr,
    is_secure: bool,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub authorization: Option<String>,
    pub proxy_authorization: Option<String>,
    /// Whether the connection came with a client's certificate.
    pub has_certificate: bool,
    pub user_agent: Option<String>,
    pub at: Instant,
}

struct Shared {
    state: Mutex<State>,
    came: Condvar,
    // The same event for the tasks of the runtime.
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// Path prefix and package.
    packages: Vec<(String, Package)>,
    once: BTreeMap<String, VecDeque<Reply>>,
    always: BTreeMap<String, Reply>,
    seen: Vec<Seen>,
    connections: usize,
    connections_max: usize,
}

impl Registry {
    pub fn start() -> Self {
        Self::start_on(None)
    }

    /// An https registry.
    pub fn start_secure(config: ServerConfig) -> Self {
        Self::start_on(Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start_on(tls: Option<TlsAcceptor>) -> Self {
        let is_secure = tls.is_some();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            came: Condvar::new(),
            count: watch::Sender::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.spawn(accept(listener, address, tls, for_thread));
            // Ends as well where the sender is dropped; what is still open ends with the runtime.
            let _ = runtime.block_on(stopped);
        });
        Self { address, is_secure, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// The registry's address, with its final slash.
    pub fn url(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// The host and port.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The address as keys of `.npmrc` have it: `//host:port/`.
    pub fn nerf_dart(&self) -> String {
        format!("//{}/", self.address)
    }

    pub fn serve(&self, package: Package) -> Package {
        self.serve_under("", package)
    }

    /// Serves below a path such as `team/`, as registries with several repositories do.
    pub fn serve_under(&self, prefix: &str, package: Package) -> Package {
        self.state().packages.push((prefix.to_owned(), package.clone()));
        package
    }

    /// The next request for the path gets this reply; several are given in turn.
    pub fn reply_once(&self, path: &str, reply: Reply) {
        self.state().once.entry(path.to_owned()).or_default().push_back(reply);
    }

    /// Every request for the path gets this reply.
    pub fn reply_always(&self, path: &str, reply: Reply) {
        self.state().always.insert(path.to_owned(), reply);
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The paths that were asked for, sorted.
    pub fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.requests().into_iter().map(|seen| seen.path).collect();
        paths.sort();
        paths
    }

    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|seen| seen.path == path).count()
    }

    pub fn connections_max(&self) -> usize {
        self.state().connections_max
    }

    pub fn forget_requests(&self) {
        self.state().seen.clear();
    }

    /// Waits until so many requests for the path have come in.
    pub fn wait_for(&self, path: &str, requests: usize) {
        let is_waiting = |state: &mut State| {
            state.seen.iter().filter(|seen| seen.path == path).count() < requests
        };
        let state = self.state();
        let waited = self.shared.came.wait_timeout_while(state, DEADLINE, is_waiting).unwrap();
        assert!(!waited.1.timed_out(), "`{path}` was not asked for {requests} times");
    }

    /// A request of the test's own, to its end.
    pub fn ask(&self, path: &str) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the registry panicked");
        }
    }
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            {
                let mut state = shared.state.lock().unwrap();
                state.connections += 1;
                state.connections_max = state.connections_max.max(state.connections);
            }
            match tls {
                None => serve(stream, address, false, &shared).await,
                // A client that does not trust us goes away in the middle.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                        serve(stream, address, has_certificate, &shared).await;
                    }
                }
            }
            shared.state.lock().unwrap().connections -= 1;
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    has_certificate: bool,
    shared: &Arc<Shared>,
) {
    let service =
        service_fn(|request| answer(request, address, has_certificate, Arc::clone(shared)));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that hangs up is no failure of ours.
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    has_certificate: bool,
    shared: Arc<Shared>,
) -> Result<Response<ReplyBody>, Infallible> {
    let path = request.uri().path().to_owned();
    let reply = {
        let mut state = shared.state.lock().unwrap();
        let header = |name| {
            let value = request.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        state.seen.push(Seen {
            path: path.clone(),
            authorization: header("authorization"),
            proxy_authorization: header("proxy-authorization"),
            has_certificate,
            user_agent: header("user-agent"),
            at: Instant::now(),
        });
        let is_abbreviated =
            header("accept").is_some_and(|accept| accept.contains("vnd.npm.install-v1"));
        state.reply(&path, address, is_abbreviated)
    };
    shared.came.notify_all();
    shared.count.send_modify(|count| *count += 1);
    match reply.kind {
        ReplyKind::Silent => std::future::pending().await,
        ReplyKind::After(requests) => wait_for(&shared, &path, requests).await,
        ReplyKind::Whole | ReplyKind::Truncated | ReplyKind::Dripping => {}
    }
    Ok(reply.into_response())
}

async fn wait_for(shared: &Shared, path: &str, requests: usize) {
    let mut count = shared.count.subscribe();
    let enough = async {
        loop {
            let seen =
                shared.state.lock().unwrap().seen.iter().filter(|seen| seen.path == path).count();
            if seen >= requests || count.changed().await.is_err() {
                return;
            }
        }
    };
    let waited = tokio::time::timeout(DEADLINE, enough).await;
    assert!(waited.is_ok(), "`{path}` was not asked for {requests} times");
}

impl State {
    fn reply(&mut self, path: &str, address: SocketAddr, is_abbreviated: bool) -> Reply {
        if let Some(reply) = self.once.get_mut(path).and_then(VecDeque::pop_front) {
            return reply;
        }
        if let Some(reply) = self.always.get(path) {
            return reply.clone();
        }
        let wanted = path.replace("%2f", "/").replace("%2F", "/");
        let mut versions = Map::new();
        let mut latest = None;
        for (prefix, package) in &self.packages {
            if wanted == format!("/{prefix}{}", package.tarball_path()) {
                return Reply::ok(package.tgz()).header("content-type", "application/octet-stream");
            }
            if wanted == format!("/{prefix}{}", package.name) {
                let tarball = format!("http://{address}/{prefix}{}", package.tarball_path());
                let manifest = published(package, &tarball, is_abbreviated);
                versions.insert(package.version.clone(), manifest.into());
                latest = Some(package);
            }
        }
        let Some(latest) = latest else { return Reply::status(404) };
        let packument = json!({
            "_id": latest.name,
            "name": latest.name,
            "dist-tags": {"latest": latest.version},
            "versions": versions,
        });
        Reply::ok(packument.to_string()).header("content-type", "application/json")
    }
}

/// One version in a packument; the abbreviated form has only what an installer needs.
fn published(package: &Package, tarball: &str, is_abbreviated: bool) -> Map<String, Value> {
    let mut manifest = package.normal_manifest();
    if is_abbreviated {
        manifest.remove("scripts");
    } else {
        manifest.remove("hasInstallScript");
    }
    let dist = json!({
        "integrity": package.integrity(),
        "shasum": hex_digest("sha1", &package.tgz()),
        "tarball": tarball,
    });
    manifest.insert("dist".to_owned(), dist);
    manifest
}

/// Longer than anything that works takes, on any machine.
const DEADLINE: Duration = Duration::from_secs(60);
