//! The sending end: one task per other node. Never waits for a slow peer: what does not fit is dropped, and Raft says
//! it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use proto::v1::PeerBatch;
use proto::v1::peer_client::PeerClient as Stub;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::BATCH_BYTES_MAX;
use crate::PeerMessage;

/// Bursts waiting for one peer; the next one is dropped.
const QUEUE_BURSTS_MAX: usize = 1024;
/// Batches given to the connection and not yet taken by it.
const BATCHES_OUT_MAX: usize = 4;
/// A batch is closed when it has this many bytes; a larger message goes alone.
const BATCH_BYTES_SOFT: usize = 1 << 20;
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// A peer that is back is found again within this time.
const BACKOFF_MAX: Duration = Duration::from_millis(250);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(2);

/// Who this node is and where the others are.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The cluster's name.
    pub cluster: String,
    /// This node's number.
    pub node: u64,
    /// The other nodes' endpoints, as `http://host:port`. This node itself is ignored.
    pub peers: BTreeMap<u64, String>,
}

/// Sends to all other nodes. Dropping it ends its tasks.
pub struct PeerClient {
    lanes: BTreeMap<u64, Lane>,
    counters: Arc<PeerCounters>,
}

struct Lane {
    queue: Sender<Vec<PeerMessage>>,
    task: JoinHandle<()>,
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
    /// Connections opened.
    pub connects: AtomicU64,
}

impl PeerClient {
    /// Starts a task per other node on `runtime`. `unreachable` is called with a node's number when a connection to it
    /// fails or breaks or its queue overflows; pass it to [`crate::Host::unreachable`]. It must not block.
    ///
    /// # Errors
    /// When an endpoint is not a URI.
    pub fn start<F>(config: &PeerConfig, runtime: &Handle, unreachable: F) -> Result<Self, tonic::transport::Error>
    where
        F: Fn(u64) + Send + Sync + 'static,
    {
        let counters = Arc::new(PeerCounters::default());
        let unreachable: Arc<dyn Fn(u64) + Send + Sync> = Arc::new(unreachable);
        let mut lanes = BTreeMap::new();
        for (node, uri) in config.peers.iter().filter(|(node, _)| **node != config.node) {
            let (queue, bursts) = channel(QUEUE_BURSTS_MAX);
            let link = Link {
                cluster: config.cluster.clone(),
                from: config.node,
                to: *node,
                endpoint: endpoint(uri)?,
                bursts,
                carried: None,
                unreachable: Arc::clone(&unreachable),
                counters: Arc::clone(&counters),
            };
            lanes.insert(*node, Lane { queue, task: runtime.spawn(link.run()) });
        }
        Ok(Self { lanes, counters })
    }

    /// Queues everything of one drain; never waits. From any thread.
    pub fn send(&self, messages: Vec<(u64, PeerMessage)>) {
        let mut bursts: Vec<(u64, Vec<PeerMessage>)> = Vec::with_capacity(self.lanes.len());
        for (to, message) in messages {
            match bursts.iter_mut().find(|(node, _)| *node == to) {
                Some((_, burst)) => burst.push(message),
                None => bursts.push((to, vec![message])),
            }
        }
        for (to, burst) in bursts {
            let count = burst.len() as u64;
            let sent = self.lanes.get(&to).is_some_and(|lane| lane.queue.try_send(burst).is_ok());
            if !sent {
                self.counters.dropped.fetch_add(count, Relaxed);
            }
        }
    }

    /// What was sent and lost so far.
    pub fn counters(&self) -> Arc<PeerCounters> {
        Arc::clone(&self.counters)
    }
}

impl Drop for PeerClient {
    fn drop(&mut self) {
        self.lanes.values().for_each(|lane| lane.task.abort());
    }
}

fn endpoint(uri: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(uri.to_owned())?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_WITHIN)
        .keep_alive_while_idle(true))
}

/// One peer, as its task sees it.
struct Link {
    cluster: String,
    from: u64,
    to: u64,
    endpoint: Endpoint,
    bursts: Receiver<Vec<PeerMessage>>,
    /// Messages that did not fit into the last batch.
    carried: Option<std::vec::IntoIter<PeerMessage>>,
    unreachable: Arc<dyn Fn(u64) + Send + Sync>,
    counters: Arc<PeerCounters>,
}

impl Link {
    async fn run(mut self) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            match timeout(CONNECT_WITHIN, self.endpoint.connect()).await {
                Ok(Ok(channel)) => {
                    self.counters.connects.fetch_add(1, Relaxed);
                    backoff = BACKOFF_FIRST;
                    if self.exchange(channel).await {
                        return;
                    }
                }
                Ok(Err(error)) => tracing::debug!(to = self.to, %error, "peer does not answer"),
                Err(_) => tracing::debug!(to = self.to, "peer does not answer in time"),
            }
            (self.unreachable)(self.to);
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
        let mut batch =
            PeerBatch { cluster: self.cluster.clone(), from: self.from, to: self.to, messages: Vec::new(), seal: 0 };
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
                self.carried = Some(burst.into_iter());
            }
            while let Some(message) = self.carried.as_mut().and_then(Iterator::next) {
                if message.raft.len() > BATCH_BYTES_MAX - (1 << 20) {
                    self.counters.too_large.fetch_add(1, Relaxed);
                    let bytes = message.raft.len();
                    tracing::warn!(to = self.to, shard = message.shard, bytes, "a message is too large to send");
                    (self.unreachable)(self.to);
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
            dropped += burst.len();
        }
        self.counters.dropped.fetch_add(dropped as u64, Relaxed);
    }
}

fn channel_of_batches() -> (Sender<PeerBatch>, Receiver<PeerBatch>) {
    channel(BATCHES_OUT_MAX)
}
