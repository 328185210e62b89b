//! Raft messages between nodes over gRPC, as bytes in batches over all shards. Looks into none of them.
//!
//! One stream per ordered pair of nodes, and one more for each snapshot. Delivery is not promised; order within a stream
//! is kept.

mod client;
mod connect;
mod incoming;
mod outgoing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use proto::v1::peer_server::{Peer, PeerServer};
use proto::v1::{PeerBatch, PeerClosed, SnapshotPiece, SnapshotTaken};
use tonic::{Request, Response, Status, Streaming};

use connect::{certified, in_own_name};
use incoming::Incoming;

pub use client::{PeerClient, PeerConfig, PeerCounters, PeerEvent};
pub use incoming::{SNAPSHOTS_IN_BYTES_MAX, SNAPSHOTS_IN_MAX};

use crate::PeerMessage;

/// The largest snapshot in one message, as releases without pieces send and take them.
const INLINE_SNAPSHOT_BYTES_MAX: usize = 256 << 20;
/// The largest batch on the wire: such a snapshot and what goes with it. Larger ones are refused by both ends.
pub const BATCH_BYTES_MAX: usize = INLINE_SNAPSHOT_BYTES_MAX + (4 << 20);
/// Bytes of a snapshot in one piece.
pub const SNAPSHOT_PIECE_BYTES: usize = 256 << 10;
/// A snapshot of which no further piece is taken or comes for so long is given up, by both ends.
const SNAPSHOT_STALL_MAX: Duration = Duration::from_secs(10);

/// The receiving end: the gRPC service `Peer` of one node.
pub struct PeerService<F> {
    cluster: String,
    node: u64,
    deliver: F,
    known_seal: KnownSeal,
    incoming: Arc<Incoming>,
    counters: Arc<ServiceCounters>,
}

type KnownSeal = Box<dyn Fn(u64) -> Option<u64> + Send + Sync>;

/// Who a peer says it is, and whom it speaks to.
struct Claim<'a> {
    certified: Option<u64>,
    cluster: &'a str,
    from: u64,
    to: u64,
    seal: u64,
}

/// What has come in, for metrics.
#[derive(Debug, Default)]
pub struct ServiceCounters {
    /// Streams opened by peers.
    pub streams: AtomicU64,
    /// Batches received.
    pub batches: AtomicU64,
    /// Messages in them.
    pub messages: AtomicU64,
    /// Batches refused: another cluster's, or for another node.
    pub refused: AtomicU64,
    /// Snapshots received in pieces.
    pub snapshots: AtomicU64,
    /// Snapshots refused, damaged or broken off.
    pub snapshots_failed: AtomicU64,
}

impl<F> PeerService<F>
where
    F: Fn(u64, Vec<PeerMessage>) + Send + Sync + 'static,
{
    /// A service that hands each batch to `deliver` with the node it is from, which must not block: it queues for the
    /// actors that own the shards (a message with `beat` is for all of them), or drops. `known_seal` says which disk a
    /// node has, where that is known: another disk's batches are refused.
    pub fn new<S>(cluster: String, node: u64, deliver: F, known_seal: S) -> Self
    where
        S: Fn(u64) -> Option<u64> + Send + Sync + 'static,
    {
        Self {
            cluster,
            node,
            deliver,
            known_seal: Box::new(known_seal),
            incoming: Arc::default(),
            counters: Arc::default(),
        }
    }

    /// What has come in so far.
    pub fn counters(&self) -> Arc<ServiceCounters> {
        Arc::clone(&self.counters)
    }

    /// The service with its limits, to be added to a tonic server.
    pub fn into_server(self) -> PeerServer<Self> {
        PeerServer::new(self).max_decoding_message_size(BATCH_BYTES_MAX)
    }

    /// Bytes of snapshots that are not whole yet.
    pub fn snapshot_bytes(&self) -> impl Fn() -> u64 + Send + Sync + use<F> {
        let incoming = Arc::clone(&self.incoming);
        move || incoming.bytes()
    }

    fn check(&self, batch: &Claim<'_>) -> Result<(), Status> {
        in_own_name(batch.certified, batch.from)?;
        if batch.cluster != self.cluster {
            let text = format!("this node belongs to cluster {:?}, not {:?}", self.cluster, batch.cluster);
            return Err(Status::permission_denied(text));
        }
        if batch.to != self.node {
            return Err(Status::failed_precondition(format!("this is node n{}, not n{}", self.node, batch.to)));
        }
        if batch.from == self.node || batch.from == 0 {
            let text = format!("another node calls itself n{}, which is this one", batch.from);
            return Err(Status::failed_precondition(text));
        }
        let known = (self.known_seal)(batch.from).unwrap_or(0);
        if known != 0 && batch.seal != 0 && known != batch.seal {
            let text = format!("n{} has another disk than the one this cluster knows", batch.from);
            return Err(Status::failed_precondition(text));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl<F> Peer for PeerService<F>
where
    F: Fn(u64, Vec<PeerMessage>) + Send + Sync + 'static,
{
    async fn exchange(&self, request: Request<Streaming<PeerBatch>>) -> Result<Response<PeerClosed>, Status> {
        let certified = certified(&request)?;
        let mut batches = request.into_inner();
        self.counters.streams.fetch_add(1, Relaxed);
        while let Some(batch) = batches.message().await? {
            let claim = Claim { certified, cluster: &batch.cluster, from: batch.from, to: batch.to, seal: batch.seal };
            if let Err(refusal) = self.check(&claim) {
                self.counters.refused.fetch_add(1, Relaxed);
                return Err(refusal);
            }
            self.counters.batches.fetch_add(1, Relaxed);
            self.counters.messages.fetch_add(batch.messages.len() as u64, Relaxed);
            if !batch.messages.is_empty() {
                (self.deliver)(batch.from, batch.messages);
            }
        }
        Ok(Response::new(PeerClosed {}))
    }

    async fn send_snapshot(
        &self,
        request: Request<Streaming<SnapshotPiece>>,
    ) -> Result<Response<SnapshotTaken>, Status> {
        let certified = certified(&request)?;
        let check = |first: &SnapshotPiece| {
            self.check(&Claim { certified, cluster: &first.cluster, from: first.from, to: first.to, seal: first.seal })
        };
        match incoming::take(&self.incoming, request.into_inner(), check).await {
            Ok((from, message)) => {
                self.counters.snapshots.fetch_add(1, Relaxed);
                (self.deliver)(from, vec![message]);
                Ok(Response::new(SnapshotTaken {}))
            }
            Err(refusal) => {
                self.counters.snapshots_failed.fetch_add(1, Relaxed);
                Err(refusal)
            }
        }
    }
}
