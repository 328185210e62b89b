//! Records that wait to be read: call detail, agent activity, decisions. Ordered by where in the log they came from, so
//! that writing one twice is writing it once. Knows no record's meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::StoreError;
use crate::vault::{Change, Drawer, Vault};

/// This part of the limit is pruned together: a little at a time would be a scan for each entry.
const SLACK: u64 = 16;
/// Records looked at in one call.
const PAGE_MAX: usize = 1_000;
/// The longest tag.
const TAG_BYTES_MAX: usize = 255;

/// How much an outbox keeps.
#[derive(Debug, Clone, Copy)]
pub struct OutboxLimits {
    /// Records per shard; the oldest go first.
    pub records_per_shard_max: u64,
    /// How often space is looked for that can be given back.
    pub tidy_every_ms: u64,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { records_per_shard_max: 1_000_000, tidy_every_ms: 500 }
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

/// An entry of a shard's log and its records, in order.
pub type Entry = (u64, Vec<Vec<u8>>);

/// A record that is put, and what finds it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tagged<'a> {
    /// Finds it with others of the same tag; the first 255 bytes count, an empty one finds nothing.
    pub tag: &'a [u8],
    /// The record.
    pub record: &'a [u8],
}

const KEY_BYTES: usize = 16;

/// The row of one entry: where it came from and how many records it holds, so that keys alone tell the number.
#[derive(Debug, Clone, Copy)]
struct RowKey {
    shard: u32,
    index: u64,
    records: u32,
}

impl RowKey {
    fn encode(self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..4].copy_from_slice(&self.shard.to_be_bytes());
        key[4..12].copy_from_slice(&self.index.to_be_bytes());
        key[12..].copy_from_slice(&self.records.to_be_bytes());
        key
    }

    fn decode(key: &[u8]) -> Option<Self> {
        let key: [u8; KEY_BYTES] = key.try_into().ok()?;
        let number = u128::from_be_bytes(key);
        Some(Self { shard: (number >> 96) as u32, index: (number >> 32) as u64, records: number as u32 })
    }

    /// Bounds of all rows of a shard from an entry on.
    fn span(shard: u32, from: u64) -> ([u8; KEY_BYTES], [u8; KEY_BYTES]) {
        let bound = |index, records| Self { shard, index, records }.encode();
        (bound(from, 0), bound(u64::MAX, u32::MAX))
    }
}

/// The records of one node. Clones share it; every method may be called from any thread.
#[derive(Clone)]
pub struct Outbox {
    vault: Vault,
    /// key -> for each record: tag length, tag, record length, record
    records: Drawer,
    /// shard, tag length, tag, key -> nothing; once for each tag of a row
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
        let vault = Vault::open_tidied(folder, limits.tidy_every_ms)?;
        let records = vault.drawer("records")?;
        let mut counts = BTreeMap::new();
        for key in records.keys() {
            if let Some(key) = RowKey::decode(&key?) {
                *counts.entry(key.shard).or_default() += u64::from(key.records);
            }
        }
        let tags = vault.drawer("tags")?;
        Ok(Self { vault, records, tags, counts: Arc::new(Mutex::new(counts)), limits })
    }

    /// Puts all records of one entry, as one row; false when they were there already. Not durable before
    /// [`Outbox::sync`]; the log brings them again after a crash.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put(&self, shard: u32, index: u64, records: &[Tagged<'_>]) -> Result<bool, StoreError> {
        let key = RowKey { shard, index, records: records.len() as u32 };
        let mut row = Vec::with_capacity(records.iter().map(|put| 5 + put.tag.len() + put.record.len()).sum());
        let mut tags = BTreeSet::new();
        for Tagged { tag, record } in records {
            let tag = &tag[..tag.len().min(TAG_BYTES_MAX)];
            row.push(tag.len() as u8);
            row.extend_from_slice(tag);
            row.extend_from_slice(&(record.len() as u32).to_be_bytes());
            row.extend_from_slice(record);
            tags.insert(tag);
        }
        for tag in tags.into_iter().filter(|tag| !tag.is_empty()) {
            self.tags.put(&tag_key(key, tag), &[])?;
        }
        let new = self.records.put(&key.encode(), &row)?;
        if new {
            let count = {
                let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                let count = counts.entry(shard).or_default();
                *count += records.len() as u64;
                *count
            };
            let slack = self.limits.records_per_shard_max / SLACK;
            if count > self.limits.records_per_shard_max + slack {
                self.prune(shard, count - self.limits.records_per_shard_max)?;
            }
        }
        Ok(new)
    }

    /// Removes the oldest entries of a shard, `count` records or a few more.
    fn prune(&self, shard: u32, count: u64) -> Result<(), StoreError> {
        let (from, to) = RowKey::span(shard, 0);
        let (mut rows, mut removed) = (Vec::new(), 0);
        for item in self.records.range(&from, &to) {
            if removed >= count {
                break;
            }
            let (key, row) = item?;
            removed += RowKey::decode(&key).map_or(0, |key| u64::from(key.records));
            rows.push((key, row));
        }
        self.remove_rows(shard, rows.into_iter())
    }

    fn remove_rows(&self, shard: u32, rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        let (mut records, mut tags, mut removed) = (Change::default(), Change::default(), 0);
        for (key, row) in rows {
            if let Some(parsed) = RowKey::decode(&key) {
                Row(&row).filter(|(tag, _)| !tag.is_empty()).for_each(|(tag, _)| tags.remove(&tag_key(parsed, tag)));
                removed += u64::from(parsed.records);
            }
            records.remove(&key);
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
        let (low, high) = RowKey::span(from.shard, from.index);
        let (limit, mut found) = (limit.min(PAGE_MAX), Vec::new());
        for item in self.records.range(&low, &high) {
            let (key, row) = item?;
            found.extend(expand(&key, &row).filter(|(key, ..)| *key >= from).map(|(key, _, record)| (key, record)));
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Entries of a shard behind `after` up to and with `until`, each whole, in order: so many that they have `bytes` of
    /// records, and one at least. Besides, up to and with which entry that is all there is.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read_entries(
        &self,
        shard: u32,
        after: u64,
        until: u64,
        bytes: usize,
    ) -> Result<(Vec<Entry>, u64), StoreError> {
        let (low, high) = RowKey::span(shard, after.saturating_add(1));
        let (mut found, mut size): (Vec<Entry>, _) = (Vec::new(), 0);
        for item in self.records.range(&low, &high) {
            let (key, row) = item?;
            let Some(RowKey { index, .. }) = RowKey::decode(&key).filter(|key| key.index <= until) else { break };
            if found.last().is_some_and(|(last, _)| *last == index) {
                continue; // of another release, which wrote another number of records of this entry
            }
            size += row.len();
            if let Some((last, _)) = found.last().filter(|_| size > bytes) {
                let last = *last;
                return Ok((found, last));
            }
            found.push((index, Row(&row).map(|(_, record)| record.to_vec()).collect()));
        }
        Ok((found, until))
    }

    /// Removes the records of one entry, if there are any.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove(&self, shard: u32, index: u64) -> Result<(), StoreError> {
        let row = |records| RowKey { shard, index, records }.encode();
        for item in self.records.range(&row(0), &row(u32::MAX)) {
            self.remove_rows(shard, std::iter::once(item?))?;
        }
        Ok(())
    }

    /// The last `limit` records of a shard, newest first. Reads at most 50 pages.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read_last(&self, shard: u32, limit: usize) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        let (low, high) = RowKey::span(shard, 0);
        let (limit, mut found) = (limit.min(50 * PAGE_MAX), Vec::new());
        for item in self.records.range(&low, &high).rev() {
            let (key, row) = item?;
            let entry: Vec<_> = expand(&key, &row).collect();
            found.extend(entry.into_iter().rev().map(|(key, _, record)| (key, record)));
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Records of a shard with this tag, in order; those of 1,000 entries at most.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read_tagged(&self, shard: u32, tag: &[u8]) -> Result<Vec<(RecordKey, Vec<u8>)>, StoreError> {
        let tag = &tag[..tag.len().min(TAG_BYTES_MAX)];
        let bound = |index, records| tag_key(RowKey { shard, index, records }, tag);
        let mut found = Vec::new();
        for item in self.tags.range(&bound(0, 0), &bound(u64::MAX, u32::MAX)).take(PAGE_MAX) {
            let (tagged, _) = item?;
            let key = &tagged[tagged.len() - KEY_BYTES..];
            if let Some(row) = self.records.get(key)? {
                let tagged = expand(key, &row).filter(|(_, other, _)| *other == tag);
                found.extend(tagged.map(|(key, _, record)| (key, record)));
            }
        }
        Ok(found)
    }

    /// Whether as many records of a shard are kept as may be: its oldest may have gone.
    pub fn is_full(&self, shard: u32) -> bool {
        let max = self.limits.records_per_shard_max;
        self.len(shard) > max - max / SLACK
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

/// Tag and record of each record of a row; ends early where the row is damaged.
struct Row<'a>(&'a [u8]);

impl<'a> Iterator for Row<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag_bytes, rest) = self.0.split_first()?;
        let (tag, rest) = rest.split_at_checked(usize::from(*tag_bytes))?;
        let (record_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (record, rest) = rest.split_at_checked(u32::from_be_bytes(*record_bytes) as usize)?;
        self.0 = rest;
        Some((tag, record))
    }
}

/// Key, tag and record of each record of a row.
fn expand<'a>(key: &[u8], row: &'a [u8]) -> impl Iterator<Item = (RecordKey, &'a [u8], Vec<u8>)> + use<'a> {
    let from = RowKey::decode(key);
    (0..).zip(Row(row)).filter_map(move |(position, (tag, record))| {
        let RowKey { shard, index, .. } = from?;
        Some((RecordKey { shard, index, position }, tag, record.to_vec()))
    })
}

fn tag_key(key: RowKey, tag: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(4 + 1 + tag.len() + KEY_BYTES);
    tagged.extend_from_slice(&key.shard.to_be_bytes());
    tagged.push(tag.len() as u8);
    tagged.extend_from_slice(tag);
    tagged.extend_from_slice(&key.encode());
    tagged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a drawer.
    fn rows(drawer: &Drawer) -> usize {
        drawer.keys().inspect(|key| assert!(key.is_ok(), "readable")).count()
    }

    #[test]
    fn of_what_was_pruned_nothing_is_left_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = OutboxLimits { records_per_shard_max: 64, ..OutboxLimits::default() };
        let outbox = Outbox::open(&folder.path().join("outbox"), limits).expect("opened");
        for index in 1..=3_000_u64 {
            // A tag of its own, one that comes again and again, and none.
            let own = index.to_be_bytes();
            let records = [&own[..], &own[..], b"call", b""].map(|tag| Tagged { tag, record: &[7; 40] });
            assert!(outbox.put(index as u32 % 3, index, &records).expect("put"));
            if index % 500 == 0 {
                let kept: u64 = (0..3).map(|shard| outbox.len(shard)).sum();
                let (records, tags) = (rows(&outbox.records), rows(&outbox.tags));
                assert_eq!((records as u64, tags), (kept / 4, 2 * records), "after {index} entries");
                assert!(kept <= 3 * (64 + 64 / 16 + 4), "{kept}");
            }
        }
    }
}
