//! Snapshots of shards: the bytes in a file beside the last one, the head that makes it the last one in the vault. Never
//! touches the log.
//!
//! Not all in the vault: sled needs seconds to flush fifty megabytes, and no entry becomes durable meanwhile.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfState, Snapshot, SnapshotMetadata};

use crate::store::{Part, StoreError};
use crate::vault::{Drawer, Vault};

/// The largest snapshot that is sent to another node. A larger state keeps its log and its disk
/// snapshots, and followers that lag behind the log stay behind ([`crate::HostCounters::snapshots_too_large`]).
pub const SNAPSHOT_BYTES_MAX: usize = 1 << 30;

/// In the vault, `shard` -> head: index, length, checksum, then raft's metadata. In the folder, `shard-index`: bytes.
pub(crate) struct Snapshots {
    vault: Vault,
    heads: Drawer,
    /// Where the first releases kept the bytes: `shard, index, chunk`. Only read.
    chunks: Drawer,
    folder: PathBuf,
}

const HEAD_FIXED: usize = 8 + 8 + 4;

impl Snapshots {
    pub(crate) fn open(vault: &Vault, folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|source| StoreError::Io { path: folder.to_owned(), source })?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        let (heads, chunks) = (vault.drawer("snapshot-heads")?, vault.drawer("snapshot-chunks")?);
        Ok(Self { vault: vault.clone(), heads, chunks, folder: folder.to_owned() })
    }

    /// Makes a piece of a snapshot durable; nothing reads it before the snapshot is saved.
    pub(crate) fn put(&self, shard: u32, part: &Part) -> Result<(), StoreError> {
        if self.last(shard)? == Some(part.index) {
            return Ok(());
        }
        self.append(shard, part.index, part.offset, &part.data)
    }

    /// Makes a snapshot durable as the last one of its shard, of which `written` bytes were put in parts. After a crash it
    /// is whole, or the one before is there. One that is the last already is left alone: it is the same state.
    pub(crate) fn save(&self, shard: u32, snapshot: &Snapshot, written: usize) -> Result<(), StoreError> {
        let index = snapshot.get_metadata().index;
        if self.last(shard)? == Some(index) {
            return Ok(());
        }
        self.append(shard, index, written, &snapshot.data[written..])?;
        // The file first: a head must never be on the disk without it.
        sync_folder(&self.folder)?;
        self.heads.put(&shard.to_be_bytes(), &head(shard, snapshot)?)?;
        self.vault.sync()?;
        self.remove_others(shard, Some(index))
    }

    /// Writes to the end of a snapshot's file, and syncs it. What a crash has left of an earlier attempt goes.
    fn append(&self, shard: u32, index: u64, offset: usize, data: &[u8]) -> Result<(), StoreError> {
        let path = self.path(shard, index);
        let failed = |source| StoreError::Io { path: path.clone(), source };
        let mut file = if offset == 0 {
            File::create(&path).map_err(failed)?
        } else {
            OpenOptions::new().append(true).open(&path).map_err(failed)?
        };
        let held = file.metadata().map_err(failed)?.len();
        if held != offset as u64 {
            let what = format!("snapshot {index} has {held} bytes, the next part begins at {offset}");
            return Err(StoreError::Inconsistent { shard, what });
        }
        file.write_all(data).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Gives the last snapshot of a shard, if there is one, other members.
    pub(crate) fn replace_members(&self, shard: u32, conf_state: &ConfState) -> Result<(), StoreError> {
        let Some(mut snapshot) = self.load(shard)? else { return Ok(()) };
        snapshot.mut_metadata().set_conf_state(conf_state.clone());
        self.heads.put(&shard.to_be_bytes(), &head(shard, &snapshot)?)?;
        self.vault.sync()
    }

    /// Removes all of a shard. The caller has made sure that a power cut on the way is finished at the next start.
    pub(crate) fn destroy(&self, shard: u32) -> Result<(), StoreError> {
        self.heads.remove(&shard.to_be_bytes())?;
        for item in self.chunks.range(&chunk_key(shard, 0, 0), &chunk_key(shard, u64::MAX, u32::MAX)) {
            self.chunks.remove(&item?.0)?;
        }
        self.vault.sync()?;
        // Only now: a head without its file would be a corrupt snapshot.
        self.remove_others(shard, None)?;
        sync_folder(&self.folder)
    }

    /// The shards that have a snapshot.
    pub(crate) fn shards(&self) -> Result<BTreeSet<u32>, StoreError> {
        let mut shards = BTreeSet::new();
        for key in self.heads.keys() {
            shards.extend(key?.first_chunk().copied().map(u32::from_be_bytes));
        }
        Ok(shards)
    }

    fn remove_others(&self, shard: u32, kept: Option<u64>) -> Result<(), StoreError> {
        let failed = |source| StoreError::Io { path: self.folder.clone(), source };
        let ours = format!("{shard}-");
        let kept = kept.map(|index| self.path(shard, index));
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&ours));
            if is_ours && Some(&path) != kept.as_ref() {
                fs::remove_file(&path).map_err(|source| StoreError::Io { path, source })?;
            }
        }
        Ok(())
    }

    pub(crate) fn load(&self, shard: u32) -> Result<Option<Snapshot>, StoreError> {
        let Some(head) = self.heads.get(&shard.to_be_bytes())? else { return Ok(None) };
        let corrupt = |what: &str| StoreError::Corrupt { shard, what: format!("the snapshot ({what})") };
        let (fixed, metadata) = head.split_at_checked(HEAD_FIXED).ok_or_else(|| corrupt("head"))?;
        let number = |at: usize, len: usize| {
            fixed[at..at + len].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (index, length, wanted) = (number(0, 8), number(8, 8), number(16, 4));
        let path = self.path(shard, index);
        let data = match fs::read(&path) {
            Ok(data) => data,
            Err(error) if error.kind() == ErrorKind::NotFound => self.read_chunks(shard, index)?,
            Err(source) => return Err(StoreError::Io { path, source }),
        };
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

    fn read_chunks(&self, shard: u32, index: u64) -> Result<Vec<u8>, StoreError> {
        let mut data = Vec::new();
        for item in self.chunks.range(&chunk_key(shard, index, 0), &chunk_key(shard, index, u32::MAX)) {
            data.extend_from_slice(&item?.1);
        }
        Ok(data)
    }

    /// The index of the last snapshot.
    fn last(&self, shard: u32) -> Result<Option<u64>, StoreError> {
        let head = self.heads.get(&shard.to_be_bytes())?;
        Ok(head.and_then(|head| head.first_chunk().copied()).map(u64::from_be_bytes))
    }

    fn path(&self, shard: u32, index: u64) -> PathBuf {
        self.folder.join(format!("{shard}-{index}"))
    }
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| StoreError::Io { path: folder.to_owned(), source })
}

/// What makes a file the last snapshot of a shard.
fn head(shard: u32, snapshot: &Snapshot) -> Result<Vec<u8>, StoreError> {
    let index = snapshot.get_metadata().index;
    let metadata = snapshot
        .get_metadata()
        .write_to_bytes()
        .map_err(|error| StoreError::Log(format!("snapshot of shard {shard}: {error}")))?;
    let mut head = Vec::with_capacity(HEAD_FIXED + metadata.len());
    head.extend_from_slice(&index.to_be_bytes());
    head.extend_from_slice(&(snapshot.data.len() as u64).to_be_bytes());
    head.extend_from_slice(&checksum(index, &snapshot.data, &metadata).to_be_bytes());
    head.extend_from_slice(&metadata);
    Ok(head)
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
mod tests;
