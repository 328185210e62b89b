//! Snapshots that come from other nodes in pieces: few at a time, of so many bytes at most. Hands over whole ones only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use proto::v1::SnapshotPiece;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::SNAPSHOT_STALL_MAX;
use crate::{PeerMessage, SNAPSHOT_BYTES_MAX};

/// Snapshots that a node takes at the same time; others are refused, and come again.
pub const SNAPSHOTS_IN_MAX: usize = 4;
/// Bytes of snapshots that are not whole yet.
pub const SNAPSHOTS_IN_BYTES_MAX: u64 = SNAPSHOT_BYTES_MAX as u64;

/// What is coming in now.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    count: AtomicUsize,
    bytes: AtomicU64,
}

/// Room for one snapshot, given back when it is dropped.
struct Room {
    of: Arc<Incoming>,
    bytes: u64,
}

impl Incoming {
    fn room(self: &Arc<Self>, bytes: u64) -> Option<Room> {
        let more = |count: usize| (count < SNAPSHOTS_IN_MAX).then_some(count + 1);
        self.count.fetch_update(Relaxed, Relaxed, more).ok()?;
        let mut room = Room { of: Arc::clone(self), bytes: 0 };
        let fits = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= SNAPSHOTS_IN_BYTES_MAX);
        self.bytes.fetch_update(Relaxed, Relaxed, fits).ok()?;
        room.bytes = bytes;
        Some(room)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.count.fetch_sub(1, Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// Takes one snapshot, whose first piece `check` has found to be from a peer.
pub(super) async fn take(
    incoming: &Arc<Incoming>,
    mut pieces: Streaming<SnapshotPiece>,
    check: impl FnOnce(&SnapshotPiece) -> Result<(), Status>,
) -> Result<(u64, PeerMessage), Status> {
    let first = next(&mut pieces).await?.ok_or_else(|| Status::invalid_argument("a snapshot without pieces"))?;
    check(&first)?;
    let total = first.bytes_total;
    if total == 0 || total > SNAPSHOT_BYTES_MAX as u64 {
        return Err(Status::out_of_range(format!("a snapshot of {total} bytes; {SNAPSHOT_BYTES_MAX} are the most")));
    }
    let busy = || Status::resource_exhausted("as many snapshots as this node takes at a time are coming in");
    let _room = incoming.room(total).ok_or_else(busy)?;
    let (from, shard, raft) = (first.from, first.shard, first.raft.clone());
    let mut data: Vec<u8> = Vec::with_capacity(total as usize);
    let mut piece = first;
    loop {
        let fits = piece.offset == data.len() as u64 && data.len() as u64 + piece.data.len() as u64 <= total;
        if !fits || piece.data.is_empty() || piece.shard != shard {
            return Err(Status::data_loss("a piece of a snapshot does not fit to those before it"));
        }
        data.extend_from_slice(&piece.data);
        if data.len() as u64 == total {
            break;
        }
        piece = next(&mut pieces).await?.ok_or_else(|| Status::data_loss("a snapshot ended too early"))?;
    }
    if crc32fast::hash(&data) != piece.crc {
        return Err(Status::data_loss("a snapshot was damaged on its way"));
    }
    Ok((from, PeerMessage { shard, raft, snapshot: data.into(), ..PeerMessage::default() }))
}

async fn next(pieces: &mut Streaming<SnapshotPiece>) -> Result<Option<SnapshotPiece>, Status> {
    let piece = timeout(SNAPSHOT_STALL_MAX, pieces.message()).await;
    piece.map_err(|_| Status::deadline_exceeded("no piece came for too long"))?
}
