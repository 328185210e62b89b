//! Snapshots on their way to other nodes: each in pieces on a connection of its own, so that no message waits behind one.
//! Few at a time, and no faster than others can bear. Looks into none of them, unless a peer's release knows no other way
//! than one message.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::v1::SnapshotPiece;
use proto::v1::peer_client::PeerClient as Stub;
use protobuf::Message as _;
use raft::eraftpb::Message;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, interval, sleep_until};
use tokio_stream::{Stream, StreamExt as _};
use tonic::Code;
use tonic::transport::Endpoint;
use trust::Trust;

use super::client::{PeerCounters, PeerEvent, Told};
use super::connect::connect;
use super::{INLINE_SNAPSHOT_BYTES_MAX, SNAPSHOT_PIECE_BYTES, SNAPSHOT_STALL_MAX};
use crate::PeerMessage;

/// Snapshots that a node sends at the same time; others wait.
const SNAPSHOTS_OUT_MAX: usize = 2;
/// Snapshots that wait or are sent; more are given up at once, and Raft asks again.
const SNAPSHOTS_HELD_MAX: usize = 64;
/// Bytes per second of one snapshot: the leader's other work needs the same cores and wires.
const SNAPSHOT_BYTES_PER_SECOND_MAX: u64 = 64 << 20;

/// All snapshots on their way from this node.
pub(super) struct Outgoing {
    under_way: Arc<Mutex<BTreeMap<(u32, u64), UnderWay>>>,
    turns: Arc<Semaphore>,
    numbers: AtomicU64,
}

struct UnderWay {
    number: u64,
    /// Another one has taken its place: nobody is told of its end.
    replaced: Arc<AtomicBool>,
    /// Dropped to end it.
    _stop: oneshot::Sender<()>,
}

/// What to do when a peer takes no pieces: the same as one message.
pub(super) type Inline = Box<dyn FnOnce(PeerMessage) -> bool + Send>;

impl Outgoing {
    pub(super) fn new() -> Self {
        let turns = Arc::new(Semaphore::new(SNAPSHOTS_OUT_MAX));
        Self { under_way: Arc::default(), turns, numbers: AtomicU64::new(0) }
    }

    /// Begins to send one. It takes the place of an older one of the same shard for the same node.
    pub(super) fn send(&self, runtime: &Handle, transfer: Transfer, message: PeerMessage, told: &Told, inline: Inline) {
        let to = transfer.to;
        let key = (message.shard, to);
        let replaced = Arc::new(AtomicBool::new(false));
        let number = self.numbers.fetch_add(1, Relaxed);
        let mut end = End {
            key,
            number,
            ok: false,
            replaced: Arc::clone(&replaced),
            under_way: Arc::clone(&self.under_way),
            told: Arc::clone(told),
        };
        let mut under_way = lock(&self.under_way);
        if under_way.len() >= SNAPSHOTS_HELD_MAX && !under_way.contains_key(&key) {
            transfer.counters.snapshots_given_up.fetch_add(1, Relaxed);
            drop(under_way);
            drop(end);
            return;
        }
        let turns = Arc::clone(&self.turns);
        let (stop, stopped) = oneshot::channel();
        if let Some(old) = under_way.insert(key, UnderWay { number, replaced, _stop: stop }) {
            old.replaced.store(true, Relaxed);
        }
        drop(under_way);
        runtime.spawn(async move {
            let (shard, bytes) = (message.shard, message.snapshot.len());
            let sent = async {
                let _turn = turns.acquire().await.map_err(|error| error.to_string())?;
                transfer.run(message, inline).await
            };
            let ended = tokio::select! {
                ended = sent => ended,
                _ = stopped => Err("it is not wanted any more".into()),
            };
            match ended {
                Ok(()) => {
                    transfer.counters.snapshots.fetch_add(1, Relaxed);
                    end.ok = true;
                }
                Err(reason) => {
                    transfer.counters.snapshots_given_up.fetch_add(1, Relaxed);
                    tracing::info!(to, shard, bytes, reason, "a snapshot could not be sent");
                }
            }
            drop(end);
        });
    }

    /// Gives up what is on its way of a shard.
    pub(super) fn abort(&self, shard: u32) {
        lock(&self.under_way).retain(|(of, _), _| *of != shard);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        lock(&self.under_way).clear();
    }
}

fn lock(under_way: &Mutex<BTreeMap<(u32, u64), UnderWay>>) -> MutexGuard<'_, BTreeMap<(u32, u64), UnderWay>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// However a transfer ends, the host is told once.
struct End {
    key: (u32, u64),
    number: u64,
    ok: bool,
    replaced: Arc<AtomicBool>,
    under_way: Arc<Mutex<BTreeMap<(u32, u64), UnderWay>>>,
    told: Told,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        if under_way.get(&self.key).is_some_and(|held| held.number == self.number) {
            under_way.remove(&self.key);
        }
        drop(under_way);
        if !self.replaced.load(Relaxed) {
            let (shard, to) = self.key;
            (self.told)(PeerEvent::SnapshotDone { shard, to, ok: self.ok });
        }
    }
}

/// From whom to whom, and how to get there.
pub(super) struct Transfer {
    pub(super) cluster: String,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) seal: u64,
    pub(super) endpoint: Endpoint,
    pub(super) trust: Trust,
    pub(super) counters: Arc<PeerCounters>,
}

impl Transfer {
    async fn run(&self, message: PeerMessage, inline: Inline) -> Result<(), String> {
        let channel = connect(&self.endpoint, &self.trust, self.to).await?;
        let taken = Arc::new(AtomicU64::new(0));
        let pieces = self.pieces(message.clone(), Arc::clone(&taken));
        let mut stub = Stub::new(channel);
        let call = stub.send_snapshot(pieces);
        tokio::pin!(call);
        let mut watch = interval(SNAPSHOT_STALL_MAX);
        watch.tick().await;
        let mut before = 0;
        loop {
            tokio::select! {
                ended = &mut call => match ended {
                    Ok(_) => return Ok(()),
                    // Of a release that takes snapshots as it takes every other message.
                    Err(status) if status.code() == Code::Unimplemented => {
                        let whole = in_one(message).ok_or("too large for the peer's release")?;
                        return if inline(whole) { Ok(()) } else { Err("the queue is full".into()) };
                    }
                    Err(status) => return Err(format!("{:?}: {}", status.code(), status.message())),
                },
                _ = watch.tick() => {
                    let now = taken.load(Relaxed);
                    if now == before {
                        return Err("the peer takes no more pieces".into());
                    }
                    before = now;
                }
            }
        }
    }

    /// Made one by one, when the connection takes the next.
    fn pieces(&self, message: PeerMessage, taken: Arc<AtomicU64>) -> impl Stream<Item = SnapshotPiece> + use<> {
        let PeerMessage { shard, raft, snapshot, .. } = message;
        let (cluster, from, to, seal) = (self.cluster.clone(), self.from, self.to, self.seal);
        let (counters, began) = (Arc::clone(&self.counters), Instant::now());
        let total = snapshot.len();
        let mut hasher = crc32fast::Hasher::new();
        let offsets = (0..total).step_by(SNAPSHOT_PIECE_BYTES);
        let pieces = offsets.map(move |offset| {
            let end = total.min(offset + SNAPSHOT_PIECE_BYTES);
            let data = snapshot.slice(offset..end);
            hasher.update(&data);
            let mut piece = SnapshotPiece { shard, offset: offset as u64, data, ..SnapshotPiece::default() };
            if offset == 0 {
                (piece.cluster, piece.from, piece.to, piece.seal) = (cluster.clone(), from, to, seal);
                (piece.raft, piece.bytes_total) = (raft.clone(), total as u64);
            }
            if end == total {
                piece.crc = hasher.clone().finalize();
            }
            taken.fetch_add(1, Relaxed);
            counters.snapshot_bytes.fetch_add(piece.data.len() as u64, Relaxed);
            piece
        });
        tokio_stream::iter(pieces).then(move |piece| async move {
            sleep_until(began + Duration::from_micros(piece.offset * 1_000_000 / SNAPSHOT_BYTES_PER_SECOND_MAX)).await;
            piece
        })
    }
}

/// The message as releases without pieces send it.
fn in_one(message: PeerMessage) -> Option<PeerMessage> {
    if message.snapshot.len() > INLINE_SNAPSHOT_BYTES_MAX {
        return None;
    }
    let mut raft = Message::parse_from_bytes(&message.raft).ok()?;
    raft.mut_snapshot().data = message.snapshot;
    let raft = raft.write_to_bytes().ok()?.into();
    Some(PeerMessage { shard: message.shard, raft, ..PeerMessage::default() })
}
