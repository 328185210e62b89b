//! The sending end: one task per other node. Never waits for a slow peer: what does not fit is dropped, and Raft says
//! it again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use proto::v1::PeerBatch;
use proto::v1::peer_client::PeerClient as Stub;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use trust::Trust;

use super::BATCH_BYTES_MAX;
use super::connect::{connect, endpoint};
use super::outgoing::{Outgoing, Transfer};
use crate::PeerMessage;

/// Bursts waiting for one peer; the next one is dropped.
const QUEUE_BURSTS_MAX: usize = 1024;
/// Their bytes; likewise.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Batches given to the connection and not yet taken by it.
const BATCHES_OUT_MAX: usize = 4;
/// A batch is closed when it has this many bytes; a larger message goes alone.
const BATCH_BYTES_SOFT: usize = 1 << 20;
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// A peer that is back is found again within this time.
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// Who this node is and where the others are.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The cluster's name.
    pub cluster: String,
    /// This node's number.
    pub node: u64,
    /// Where the other nodes may be, as `http://host:port`, likeliest first. This node itself is ignored.
    pub peers: BTreeMap<u64, Vec<String>>,
    /// Of this node's disk; 0 = none. Peers that know another one of this node refuse what it says.
    pub seal: u64,
}

/// Sends to all other nodes. Dropping it ends its tasks.
pub struct PeerClient {
    config: PeerConfig,
    trust: Trust,
    runtime: Handle,
    told: Told,
    lanes: RwLock<BTreeMap<u64, Lane>>,
    outgoing: Outgoing,
    counters: Arc<PeerCounters>,
}

/// What the transport has to say, to be passed on to hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerEvent {
    /// A connection failed or broke: [`crate::Host::unreachable`] of all hosts.
    Unreachable(u64),
    /// What became of a snapshot: [`crate::Host::snapshot_done`] of the host that has the shard.
    SnapshotDone {
        /// The shard.
        shard: u32,
        /// The node it was for.
        to: u64,
        /// Whether it is there.
        ok: bool,
    },
}

pub(super) type Told = Arc<dyn Fn(PeerEvent) + Send + Sync>;

struct Lane {
    uris: Vec<String>,
    places: Arc<Places>,
    queue: Queue,
    task: JoinHandle<()>,
}

/// Where a peer may be: the next place is tried when a connection fails.
struct Places {
    endpoints: Vec<Endpoint>,
    tried: AtomicUsize,
}

impl Places {
    /// None for a peer that is nowhere.
    fn present(&self) -> Option<&Endpoint> {
        self.endpoints.get(self.tried.load(Relaxed) % self.endpoints.len().max(1))
    }

    fn try_next(&self) {
        self.tried.fetch_add(1, Relaxed);
    }
}

/// What waits for one peer.
#[derive(Clone)]
struct Queue {
    bursts: Sender<Vec<PeerMessage>>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    /// False when it is full.
    fn push(&self, burst: Vec<PeerMessage>) -> bool {
        let size = bytes_of(&burst);
        if self.bytes.load(Relaxed) + size > QUEUE_BYTES_MAX.max(size) {
            return false;
        }
        self.bytes.fetch_add(size, Relaxed);
        let sent = self.bursts.try_send(burst).is_ok();
        if !sent {
            self.bytes.fetch_sub(size, Relaxed);
        }
        sent
    }
}

fn bytes_of(burst: &[PeerMessage]) -> usize {
    burst.iter().map(|message| message.raft.len()).sum()
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was sent and lost, for metrics.
#[derive(Debug, Default)]
pub struct PeerCounters {
    /// Batches given to connections.
    pub batches: AtomicU64,
    /// Messages in them.
    pub messages: AtomicU64,
    /// Messages dropped because a peer is slow, away or unknown.
    pub dropped: AtomicU64,
    /// Messages dropped because they exceed [`BATCH_BYTES_MAX`].
    pub too_large: AtomicU64,
    /// Snapshots delivered,
    pub snapshots: AtomicU64,
    /// and given up: the peer is away or takes no more, or too many are on their way.
    pub snapshots_given_up: AtomicU64,
    /// Bytes of snapshots sent.
    pub snapshot_bytes: AtomicU64,
    /// Connections opened, but for snapshots.
    pub connects: AtomicU64,
}

impl PeerClient {
    /// Starts a task per other node on `runtime`, in the open. `told` must not block.
    ///
    /// # Errors
    /// When an endpoint is not a URI.
    pub fn start<F>(config: &PeerConfig, runtime: &Handle, told: F) -> Result<Self, tonic::transport::Error>
    where
        F: Fn(PeerEvent) + Send + Sync + 'static,
    {
        Self::start_with(config, Trust::off(), runtime, told)
    }

    /// The same with these certificates: each node must prove to be itself.
    ///
    /// # Errors
    /// When an endpoint is not a URI.
    pub fn start_with<F>(
        config: &PeerConfig,
        trust: Trust,
        runtime: &Handle,
        told: F,
    ) -> Result<Self, tonic::transport::Error>
    where
        F: Fn(PeerEvent) + Send + Sync + 'static,
    {
        let client = Self {
            config: PeerConfig { peers: BTreeMap::new(), ..config.clone() },
            trust,
            runtime: runtime.clone(),
            told: Arc::new(told),
            lanes: RwLock::default(),
            outgoing: Outgoing::new(),
            counters: Arc::default(),
        };
        client.set_peers(config.peers.clone())?;
        Ok(client)
    }

    /// Who the other nodes are from now on, and where: connections to those that are gone or elsewhere end. From any
    /// thread.
    ///
    /// # Errors
    /// When an endpoint is not a URI; nothing is changed then.
    pub fn set_peers(&self, mut peers: BTreeMap<u64, Vec<String>>) -> Result<(), tonic::transport::Error> {
        peers.remove(&self.config.node);
        let all = |uris: &Vec<String>| uris.iter().map(|uri| endpoint(uri)).collect::<Result<Vec<_>, _>>();
        let endpoints = peers.values().map(all).collect::<Result<Vec<_>, _>>()?;
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|node, lane| peers.get(node) == Some(&lane.uris));
        for ((node, uris), endpoints) in peers.into_iter().zip(endpoints) {
            lanes.entry(node).or_insert_with(|| self.open(node, uris, endpoints));
        }
        Ok(())
    }

    fn open(&self, to: u64, uris: Vec<String>, endpoints: Vec<Endpoint>) -> Lane {
        let places = Arc::new(Places { endpoints, tried: AtomicUsize::new(0) });
        let (queue, bursts) = channel(QUEUE_BURSTS_MAX);
        let queue = Queue { bursts: queue, bytes: Arc::default() };
        let link = Link {
            cluster: self.config.cluster.clone(),
            from: self.config.node,
            seal: self.config.seal,
            to,
            places: Arc::clone(&places),
            trust: self.trust.clone(),
            bursts,
            queued: Arc::clone(&queue.bytes),
            carried: None,
            told: Arc::clone(&self.told),
            counters: Arc::clone(&self.counters),
        };
        Lane { uris, places, queue, task: self.runtime.spawn(link.run()) }
    }

    /// Queues everything of one drain; never waits. From any thread.
    pub fn send(&self, messages: Vec<(u64, PeerMessage)>) {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let mut bursts: Vec<(u64, Vec<PeerMessage>)> = Vec::with_capacity(lanes.len());
        for (to, message) in messages {
            if !message.snapshot.is_empty() {
                self.send_snapshot(&lanes, to, message);
                continue;
            }
            match bursts.iter_mut().find(|(node, _)| *node == to) {
                Some((_, burst)) => burst.push(message),
                None => bursts.push((to, vec![message])),
            }
        }
        for (to, burst) in bursts {
            let count = burst.len() as u64;
            let sent = lanes.get(&to).is_some_and(|lane| lane.queue.push(burst));
            if !sent {
                self.counters.dropped.fetch_add(count, Relaxed);
            }
        }
    }

    fn send_snapshot(&self, lanes: &BTreeMap<u64, Lane>, to: u64, message: PeerMessage) {
        let Some((lane, endpoint)) = lanes.get(&to).and_then(|lane| Some((lane, lane.places.present()?.clone())))
        else {
            (self.told)(PeerEvent::SnapshotDone { shard: message.shard, to, ok: false });
            return;
        };
        let queue = lane.queue.clone();
        let inline = Box::new(move |message| queue.push(vec![message]));
        let transfer = Transfer {
            cluster: self.config.cluster.clone(),
            from: self.config.node,
            to,
            seal: self.config.seal,
            endpoint,
            trust: self.trust.clone(),
            counters: Arc::clone(&self.counters),
        };
        self.outgoing.send(&self.runtime, transfer, message, &self.told, inline);
    }

    /// Gives up the snapshots of a shard that are on their way: this node does not lead it any more.
    pub fn abort_snapshots(&self, shard: u32) {
        self.outgoing.abort(shard);
    }

    /// What was sent and lost so far.
    pub fn counters(&self) -> Arc<PeerCounters> {
        Arc::clone(&self.counters)
    }
}

/// One peer, as its task sees it.
struct Link {
    cluster: String,
    from: u64,
    seal: u64,
    to: u64,
    places: Arc<Places>,
    trust: Trust,
    bursts: Receiver<Vec<PeerMessage>>,
    /// Bytes in the queue.
    queued: Arc<AtomicUsize>,
    /// Messages that did not fit into the last batch.
    carried: Option<std::vec::IntoIter<PeerMessage>>,
    told: Told,
    counters: Arc<PeerCounters>,
}

impl Link {
    async fn run(mut self) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let Some(endpoint) = self.places.present() else { return };
            match connect(endpoint, &self.trust, self.to).await {
                Ok(channel) => {
                    self.counters.connects.fetch_add(1, Relaxed);
                    backoff = BACKOFF_FIRST;
                    if self.exchange(channel).await {
                        return;
                    }
                }
                Err(error) => tracing::debug!(to = self.to, %error, "peer does not answer"),
            }
            self.places.try_next();
            (self.told)(PeerEvent::Unreachable(self.to));
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
            self.drop_queued();
        }
    }

    /// Sends until the stream breaks (false) or the client is gone (true).
    async fn exchange(&mut self, channel: Channel) -> bool {
        let (out, batches) = channel_of_batches();
        let mut stub = Stub::new(channel).max_encoding_message_size(BATCH_BYTES_MAX);
        let call = stub.exchange(ReceiverStream::new(batches));
        tokio::pin!(call);
        loop {
            let batch = tokio::select! {
                biased;
                ended = &mut call => {
                    if let Err(status) = ended {
                        let (code, reason) = (status.code(), status.message());
                        tracing::debug!(to = self.to, ?code, reason, "peer stream ended");
                    }
                    return false;
                }
                batch = self.next_batch() => batch,
            };
            let Some(batch) = batch else { return true };
            self.counters.batches.fetch_add(1, Relaxed);
            self.counters.messages.fetch_add(batch.messages.len() as u64, Relaxed);
            let sent = tokio::select! {
                biased;
                sent = out.send(batch) => sent.is_ok(),
                _ = &mut call => false,
            };
            if !sent {
                return false;
            }
        }
    }

    /// Waits for a burst and takes what else is queued into the same batch.
    async fn next_batch(&mut self) -> Option<PeerBatch> {
        let mut batch = PeerBatch {
            cluster: self.cluster.clone(),
            from: self.from,
            to: self.to,
            messages: Vec::new(),
            seal: self.seal,
        };
        let mut bytes = 0;
        loop {
            if self.carried.is_none() {
                let burst = if batch.messages.is_empty() {
                    self.bursts.recv().await?
                } else {
                    match self.bursts.try_recv() {
                        Ok(burst) => burst,
                        Err(_) => return Some(batch),
                    }
                };
                self.queued.fetch_sub(bytes_of(&burst), Relaxed);
                self.carried = Some(burst.into_iter());
            }
            while let Some(message) = self.carried.as_mut().and_then(Iterator::next) {
                if message.raft.len() > BATCH_BYTES_MAX - (1 << 20) {
                    self.counters.too_large.fetch_add(1, Relaxed);
                    let bytes = message.raft.len();
                    tracing::warn!(to = self.to, shard = message.shard, bytes, "a message is too large to send");
                    (self.told)(PeerEvent::Unreachable(self.to));
                    continue;
                }
                bytes += message.raft.len() + 16;
                batch.messages.push(message);
                if bytes >= BATCH_BYTES_SOFT {
                    return Some(batch);
                }
            }
            self.carried = None;
        }
    }

    /// What was queued while nobody listened is old.
    fn drop_queued(&mut self) {
        let mut dropped = self.carried.take().map_or(0, |carried| carried.len());
        while let Ok(burst) = self.bursts.try_recv() {
            self.queued.fetch_sub(bytes_of(&burst), Relaxed);
            dropped += burst.len();
        }
        self.counters.dropped.fetch_add(dropped as u64, Relaxed);
    }
}

fn channel_of_batches() -> (Sender<PeerBatch>, Receiver<PeerBatch>) {
    channel(BATCHES_OUT_MAX)
}
