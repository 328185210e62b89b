//! Snapshots of shards: written beside the last one, then made the last one. Never touches the log.

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Snapshot, SnapshotMetadata};

use crate::store::StoreError;
use crate::vault::{Change, Drawer, Vault};

/// The largest snapshot that is sent to another node in one message. A larger state keeps its log and its disk
/// snapshots, and followers that lag behind the log stay behind ([`crate::HostCounters::snapshots_too_large`]).
pub const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

/// Small enough that sled keeps a chunk inside its log instead of in a file of its own.
const CHUNK_BYTES: usize = 32 << 10;

/// `shard` -> head: index, length, checksum, then raft's metadata.
/// `shard, index, chunk` -> bytes.
pub(crate) struct Snapshots {
    vault: Vault,
    heads: Drawer,
    chunks: Drawer,
}

const HEAD_FIXED: usize = 8 + 8 + 4;

impl Snapshots {
    pub(crate) fn open(vault: &Vault) -> Result<Self, StoreError> {
        Ok(Self {
            vault: vault.clone(),
            heads: vault.drawer("snapshot-heads")?,
            chunks: vault.drawer("snapshot-chunks")?,
        })
    }

    /// Makes a snapshot durable as the last one of its shard. After a crash it is whole, or the one before is there.
    pub(crate) fn save(&self, shard: u32, snapshot: &Snapshot) -> Result<(), StoreError> {
        let index = snapshot.get_metadata().index;
        for (number, chunk) in snapshot.data.chunks(CHUNK_BYTES).enumerate() {
            self.chunks.put(&chunk_key(shard, index, number as u32), chunk)?;
        }
        let metadata = snapshot
            .get_metadata()
            .write_to_bytes()
            .map_err(|error| StoreError::Log(format!("snapshot of shard {shard}: {error}")))?;
        let mut head = Vec::with_capacity(HEAD_FIXED + metadata.len());
        head.extend_from_slice(&index.to_be_bytes());
        head.extend_from_slice(&(snapshot.data.len() as u64).to_be_bytes());
        let checksum = checksum(index, &snapshot.data, &metadata);
        head.extend_from_slice(&checksum.to_be_bytes());
        head.extend_from_slice(&metadata);
        // The chunks first: a head must never be on the disk without them.
        self.vault.sync()?;
        self.heads.put(&shard.to_be_bytes(), &head)?;
        self.vault.sync()?;
        self.remove_others(shard, index)
    }

    fn remove_others(&self, shard: u32, index: u64) -> Result<(), StoreError> {
        let mut change = Change::default();
        let end = chunk_key(shard, u64::MAX, u32::MAX);
        for (from, to) in [(chunk_key(shard, 0, 0), chunk_key(shard, index, 0)), (chunk_key(shard, index + 1, 0), end)]
        {
            for item in self.chunks.range(&from, &to) {
                change.remove(&item?.0);
            }
        }
        self.chunks.apply(change)
    }

    pub(crate) fn load(&self, shard: u32) -> Result<Option<Snapshot>, StoreError> {
        let Some(head) = self.heads.get(&shard.to_be_bytes())? else { return Ok(None) };
        let corrupt = |what: &str| StoreError::Corrupt { shard, what: format!("the snapshot ({what})") };
        let (fixed, metadata) = head.split_at_checked(HEAD_FIXED).ok_or_else(|| corrupt("head"))?;
        let number = |at: usize, len: usize| {
            fixed[at..at + len].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (index, length, wanted) = (number(0, 8), number(8, 8), number(16, 4));
        let mut data = Vec::new();
        for item in self.chunks.range(&chunk_key(shard, index, 0), &chunk_key(shard, index, u32::MAX)) {
            data.extend_from_slice(&item?.1);
        }
        if data.len() as u64 != length {
            return Err(corrupt("length"));
        }
        if u64::from(checksum(index, &data, metadata)) != wanted {
            return Err(corrupt("checksum"));
        }
        let metadata = SnapshotMetadata::parse_from_bytes(metadata).map_err(|_| corrupt("metadata"))?;
        let mut snapshot = Snapshot { data: Bytes::from(data), ..Snapshot::default() };
        snapshot.set_metadata(metadata);
        Ok(Some(snapshot))
    }
}

fn checksum(index: u64, data: &[u8], metadata: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&index.to_be_bytes());
    hasher.update(data);
    hasher.update(metadata);
    hasher.finalize()
}

fn chunk_key(shard: u32, index: u64, chunk: u32) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&shard.to_be_bytes());
    key[4..12].copy_from_slice(&index.to_be_bytes());
    key[12..].copy_from_slice(&chunk.to_be_bytes());
    key
}

#[cfg(test)]
pub(crate) fn damage(vault: &Vault, shard: u32) {
    let chunks = vault.drawer("snapshot-chunks").expect("a drawer");
    let (from, to) = (chunk_key(shard, 0, 0), chunk_key(shard, u64::MAX, 0));
    let (key, mut value) = chunks.range(&from, &to).next().expect("a chunk").expect("readable");
    let middle = value.len() / 2;
    value[middle] ^= 0x40;
    chunks.put(&key, &value).expect("writable");
    vault.sync().expect("synced");
}
