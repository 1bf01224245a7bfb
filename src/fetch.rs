//! The network stage: downloads a list of tarballs, many at once, and hands each body over.
//!
//! [`run`] takes a thread of its own, the only one with an asynchronous runtime. It does not know
//! what is in a tarball; the one who unpacks them asks for a damaged one again. A network driver
//! that the kernel turns out to refuse gives way to the next one, which does what is left.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use url::Url;

use crate::backend::network::{self, Ended, Network, NetworkTally};
use crate::backend::{NetworkDriver, explain};
use crate::config::NetworkSettings;
use crate::error::{Code, Error, Result};
use crate::http::{Body, Budget, Client, Limits};
use crate::journal::{Awaited, Journal, Lane};
use crate::registry::Registries;

#[cfg(test)]
mod tests;

/// A tarball to get.
#[derive(Clone, Debug)]
pub struct Download {
    /// The caller's number for it, of which there is one.
    pub index: usize,
    pub url: Url,
    /// `name@version`, for messages.
    pub name_version: String,
    /// Whether it is to be had at once, or only when it is asked for again.
    pub is_wanted: bool,
}

/// What became of the download with this index.
#[derive(Debug)]
pub struct Fetched {
    pub index: usize,
    pub result: Result<Body>,
}

/// What the receiver of bodies says back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The body of this index was damaged. Ignored while that download is still under way; how
    /// often it is worth asking is the sender's to limit.
    Retry(usize),
    /// Nothing will be asked for any more; downloads under way are given up.
    Finished,
}

/// What the downloads are made with.
#[derive(Debug)]
pub struct FetchOptions {
    pub driver: NetworkDriver,
    pub network: NetworkSettings,
    pub registries: Arc<Registries>,
    pub limits: Limits,
    pub budget: Budget,
    /// A folder for large bodies; what is put there has no name.
    pub spool: PathBuf,
    pub journal: Journal,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchStats {
    pub requests: u64,
    pub bytes_received: u64,
    /// Of the driver that came to the end; `None` where nothing was to be fetched.
    pub network: Option<NetworkTally>,
    /// Why a driver before it did not.
    pub refusal: Option<String>,
}

/// Gets all of `downloads`, then what `again` asks for, until it says [`Again::Finished`].
///
/// `deliver` must have room for every message (be unbounded): the memory is bounded by the budget,
/// and waiting in it would stop all connections at once. An installation is given up by dropping
/// either channel's other end, which is no error here. Where nothing is wanted at first, no network
/// is started before something is.
pub fn run(
    downloads: Vec<Download>,
    options: FetchOptions,
    deliver: crossbeam_channel::Sender<Fetched>,
    mut again: mpsc::UnboundedReceiver<Again>,
) -> Result<FetchStats> {
    let mut first_wanted = None;
    if !downloads.iter().any(|download| download.is_wanted) {
        let Some(Again::Retry(index)) = again.blocking_recv() else {
            return Ok(FetchStats::default());
        };
        first_wanted = Some(index);
    }
    let stage = Rc::new(Stage::new(downloads, options, deliver, again));
    if let Some(index) = first_wanted {
        stage.queue_again(index);
    }
    let mut stats = FetchStats::default();
    let mut failure = None;
    for driver in stage.options.driver.in_order() {
        let ran = network::run(*driver, async |network| run_lanes(network, stage.clone()).await);
        let (why, refused) = match ran {
            Ok((Ended::Output(()), tally)) => {
                let traffic = stage.options.journal.board().traffic();
                stats.requests = traffic.requests();
                stats.bytes_received = traffic.bytes_received();
                stats.network = Some(tally);
                return Ok(stats);
            }
            Ok((Ended::Refused(error), _)) => (error.to_string(), error),
            Err(error) => (explain(&error).to_string(), error),
        };
        stats.refusal = Some(format!("the network driver {driver} is refused: {why}"));
        failure = Some(refused);
        stage.give_up_running();
    }
    let error = Error::new(Code::Network, "failed to start the network thread");
    Err(match failure {
        Some(cause) => error.with_source(cause),
        None => error,
    })
}

async fn run_lanes(network: Network, stage: Rc<Stage>) {
    let FetchOptions { network: settings, limits, budget, spool, journal, .. } = &stage.options;
    let client = Rc::new(Client::new(
        network.clone(),
        settings.clone(),
        *limits,
        budget.clone(),
        spool,
        journal.board().traffic().clone(),
    ));
    let lane_count = settings.connections_max.clamp(1, stage.downloads.len().max(1));
    for lane in 0..lane_count {
        let (stage, client, running) = (stage.clone(), client.clone(), network.clone());
        network.spawn(async move { stage.run_lane(lane, &running, &client).await });
    }
    let listener = stage.clone();
    network.spawn(async move {
        let mut again = listener.again.lock().await;
        while let Some(Again::Retry(index)) = again.recv().await {
            listener.queue_again(index);
        }
        listener.stop.notify_one();
    });
    // The lanes are dropped with whatever they are doing when this returns.
    stage.stop.notified().await;
}

/// Bodies that wait for workers, from which on there is no hurry to receive more: they are some 30
/// milliseconds of work for two workers.
const BACKLOG_MIN: usize = 96;

/// What the lanes share. Positions are those in `downloads`.
struct Stage {
    downloads: Vec<Arc<Download>>,
    positions: HashMap<usize, usize>,
    options: FetchOptions,
    deliver: crossbeam_channel::Sender<Fetched>,
    again: tokio::sync::Mutex<mpsc::UnboundedReceiver<Again>>,
    queue: mpsc::UnboundedSender<usize>,
    queued: tokio::sync::Mutex<mpsc::UnboundedReceiver<usize>>,
    state: RefCell<State>,
    stop: Notify,
}

#[derive(Default)]
struct State {
    /// By position: queued or under way, so not to be queued again.
    is_pending: Vec<bool>,
    /// Downloads under way in the order in which they were started.
    running: BTreeMap<u64, usize>,
    started_count: u64,
}

impl Stage {
    fn new(
        downloads: Vec<Download>,
        options: FetchOptions,
        deliver: crossbeam_channel::Sender<Fetched>,
        again: mpsc::UnboundedReceiver<Again>,
    ) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        let positions: HashMap<usize, usize> =
            downloads.iter().enumerate().map(|(position, one)| (one.index, position)).collect();
        assert_eq!(positions.len(), downloads.len(), "every download has an index of its own");
        let is_pending = vec![false; downloads.len()];
        let stage = Self {
            positions,
            options,
            deliver,
            again: tokio::sync::Mutex::new(again),
            queue,
            queued: tokio::sync::Mutex::new(queued),
            state: RefCell::new(State { is_pending, ..State::default() }),
            stop: Notify::new(),
            downloads: downloads.into_iter().map(Arc::new).collect(),
        };
        for download in stage.downloads.iter().filter(|download| download.is_wanted) {
            stage.queue_again(download.index);
        }
        stage
    }

    /// Queues a download that is not pending; what was never in the list is ignored.
    fn queue_again(&self, index: usize) {
        let Some(position) = self.positions.get(&index) else { return };
        let was_pending =
            std::mem::replace(&mut self.state.borrow_mut().is_pending[*position], true);
        if !was_pending {
            // The other end is in the same value, so it is open.
            let _ = self.queue.send(*position);
        }
    }

    /// Queues what was under way in lanes that are gone.
    fn give_up_running(&self) {
        let mut state = self.state.borrow_mut();
        for position in std::mem::take(&mut state.running).into_values() {
            // The other end is in the same value, so it is open.
            let _ = self.queue.send(position);
        }
    }

    async fn run_lane(&self, lane: usize, network: &Network, client: &Client) {
        let journal = &self.options.journal;
        loop {
            let next = self.queued.lock().await.recv().await;
            let Some(position) = next else { return };
            let download = &self.downloads[position];
            let number = self.start(position);
            let authorization = |url: &Url| self.options.registries.authorization(url);
            let wait = journal.board().begin(Awaited::Download(download.clone()));
            let mut span = journal.span_in(Lane::Download(lane), || download.name_version.clone());
            let result = client.get(&download.url, authorization).await;
            span.set_bytes(result.as_ref().map_or(0, Body::length));
            drop((span, wait));
            self.end(number, position);
            let fetched = Fetched { index: download.index, result };
            if self.deliver.send(fetched).is_err() {
                self.stop.notify_one();
                return;
            }
            network.set_hurry(self.deliver.len() < BACKLOG_MIN);
        }
    }

    fn start(&self, position: usize) -> u64 {
        let mut state = self.state.borrow_mut();
        let number = state.started_count;
        state.started_count += 1;
        state.running.insert(number, position);
        number
    }

    fn end(&self, number: u64, position: usize) {
        let mut state = self.state.borrow_mut();
        state.running.remove(&number);
        state.is_pending[position] = false;
        self.options.journal.board().end_download();
    }
}
