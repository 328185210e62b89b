//! Records that wait to be read: call detail, agent activity, decisions. Ordered by where in the log they came from, so
//! that writing one twice is writing it once. Knows no record's meaning.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::StoreError;
use crate::vault::{Change, Drawer, Vault};

/// Records looked at in one call.
const PAGE_MAX: usize = 1_000;
/// The longest tag.
const TAG_BYTES_MAX: usize = 255;

/// How much an outbox keeps.
#[derive(Debug, Clone, Copy)]
pub struct OutboxLimits {
    /// Records per shard; the oldest go first.
    pub records_per_shard_max: u64,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { records_per_shard_max: 1_000_000 }
    }
}

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The shard.
    pub shard: u32,
    /// The entry of its log.
    pub index: u64,
    /// Which of the entry's records.
    pub position: u32,
}

const KEY_BYTES: usize = 16;

impl RecordKey {
    fn encode(self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..4].copy_from_slice(&self.shard.to_be_bytes());
        key[4..12].copy_from_slice(&self.index.to_be_bytes());
        key[12..].copy_from_slice(&self.position.to_be_bytes());
        key
    }

    fn decode(key: &[u8]) -> Option<Self> {
        let key: [u8; KEY_BYTES] = key.try_into().ok()?;
        let number = u128::from_be_bytes(key);
        Some(Self { shard: (number >> 96) as u32, index: (number >> 32) as u64, position: number as u32 })
    }
}

/// The records of one node. Clones share it; every method may be called from any thread.
#[derive(Clone)]
pub struct Outbox {
    vault: Vault,
    /// key -> tag length, tag, record
    records: Drawer,
    /// shard, tag length, tag, key -> nothing
    tags: Drawer,
    counts: Arc<Mutex<BTreeMap<u32, u64>>>,
    limits: OutboxLimits,
}

impl Outbox {
    /// Opens or begins an outbox in a folder of its own.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path, limits: OutboxLimits) -> Result<Self, StoreError> {
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(|source| StoreError::Io { path: parent.to_owned(), source })?;
        }
        let vault = Vault::open(folder)?;
        let records = vault.drawer("records")?;
        let mut counts = BTreeMap::new();
        for key in records.keys() {
            if let Some(key) = RecordKey::decode(&key?) {
                *counts.entry(key.shard).or_default() += 1;
            }
        }
        let tags = vault.drawer("tags")?;
        Ok(Self { vault, records, tags, counts: Arc::new(Mutex::new(counts)), limits })
    }

    /// Puts a record; false when it was there already. The tag, at most 255 bytes of it, finds it again with others of
    /// the same tag. Not durable before [`Outbox::sync`]; the log brings it again after a crash.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put(&self, key: RecordKey, tag: &[u8], record: &[u8]) -> Result<bool, StoreError> {
        let tag = &tag[..tag.len().min(TAG_BYTES_MAX)];
        let mut value = Vec::with_capacity(1 + tag.len() + record.len());
        value.push(tag.len() as u8);
        value.extend_from_slice(tag);
        value.extend_from_slice(record);
        if !tag.is_empty() {
            self.tags.put(&tag_key(key, tag), &[])?;
        }
        let new = self.records.put(&key.encode(), &value)?;
        if new {
            let count = {
                let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                let count = counts.entry(key.shard).or_default();
                *count += 1;
                *count
            };
            // A little at a time would be a scan for each record.
            let slack = self.limits.records_per_shard_max / 16;
            if count > self.limits.records_per_shard_max + slack {
                self.prune(key.shard, (count - self.limits.records_per_shard_max) as usize)?;
            }
        }
        Ok(new)
    }

    /// Removes the oldest records of a shard.
    fn prune(&self, shard: u32, count: usize) -> Result<(), StoreError> {
        let from = RecordKey { shard, index: 0, position: 0 }.encode();
        let to = RecordKey { shard, index: u64::MAX, position: u32::MAX }.encode();
        let (mut records, mut tags, mut removed) = (Change::default(), Change::default(), 0);
        for item in self.records.range(&from, &to).take(count) {
            let (key, value) = item?;
            if let (Some(parsed), Some((tag, _))) = (RecordKey::decode(&key), split(&value))
                && !tag.is_empty()
            {
                tags.remove(&tag_key(parsed, tag));
            }
            records.remove(&key);
            removed += 1;
        }
        self.records.apply(records)?;
        self.tags.apply(tags)?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(shard).or_default();
        *count = count.saturating_sub(removed);
        Ok(())
    }

    /// Records of a shard from a key on, in order, `limit` of them at most.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read(&self, from: RecordKey, limit: usize) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        let to = RecordKey { shard: from.shard, index: u64::MAX, position: u32::MAX };
        let items = self.records.range(&from.encode(), &to.encode()).take(limit.min(PAGE_MAX));
        let mut found = Vec::new();
        for item in items {
            let (key, value) = item?;
            if let (Some(key), Some((_, record))) = (RecordKey::decode(&key), split(&value)) {
                found.push((key, record.to_vec()));
            }
        }
        Ok(found)
    }

    /// The last `limit` records of a shard, newest first. Reads at most 50 pages.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read_last(&self, shard: u32, limit: usize) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        let from = RecordKey { shard, index: 0, position: 0 };
        let to = RecordKey { shard, index: u64::MAX, position: u32::MAX };
        let items = self.records.range(&from.encode(), &to.encode()).rev().take(limit.min(50 * PAGE_MAX));
        let mut found = Vec::new();
        for item in items {
            let (key, value) = item?;
            if let (Some(key), Some((_, record))) = (RecordKey::decode(&key), split(&value)) {
                found.push((key, record.to_vec()));
            }
        }
        Ok(found)
    }

    /// Records of a shard with this tag, in order, at most 1,000.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read_tagged(&self, shard: u32, tag: &[u8]) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        let tag = &tag[..tag.len().min(TAG_BYTES_MAX)];
        let from = tag_key(RecordKey { shard, index: 0, position: 0 }, tag);
        let to = tag_key(RecordKey { shard, index: u64::MAX, position: u32::MAX }, tag);
        let mut found = Vec::new();
        for item in self.tags.range(&from, &to).take(PAGE_MAX) {
            let (tagged, _) = item?;
            let key = &tagged[tagged.len() - KEY_BYTES..];
            if let (Some(parsed), Some(value)) = (RecordKey::decode(key), self.records.get(key)?)
                && let Some((_, record)) = split(&value)
            {
                found.push((parsed, record.to_vec()));
            }
        }
        Ok(found)
    }

    /// How many records of a shard are kept.
    pub fn len(&self, shard: u32) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied().unwrap_or(0)
    }

    /// Returns when everything put before is on the disk.
    ///
    /// # Errors
    /// When it cannot be; the node must stop then.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.vault.sync()
    }
}

fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = value.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn tag_key(key: RecordKey, tag: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(4 + 1 + tag.len() + KEY_BYTES);
    tagged.extend_from_slice(&key.shard.to_be_bytes());
    tagged.push(tag.len() as u8);
    tagged.extend_from_slice(tag);
    tagged.extend_from_slice(&key.encode());
    tagged
}
