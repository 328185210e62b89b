//! The store on real disks: log and hard state in raft-engine, snapshots beside it. The only file that names
//! raft-engine. Decides nothing: writes what it is given, in an order that a crash cannot hurt.

mod damage;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use raft::eraftpb::{ConfState, Entry, HardState};
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};

use self::damage::Rewritten;
use crate::guard::stored;
use crate::identity::{Disk, Identity};
use crate::outbox::Outbox;
use crate::snapshots::{Snapshots, sync_folder};
use crate::store::{FOUNDED, GroupWrite, Raw, Recovered, Store, StoreError, WriteBatch};
use crate::vault::{Drawer, Vault};

const HARD_STATE: &[u8] = b"hard-state";
const BOOTSTRAP: &[u8] = b"bootstrap";
/// Of the facts: how far the log's oldest part is durable, so that damage is told from a torn write.
const REWRITTEN: &[u8] = b"rewritten";
const SEEDED: &[u8] = b"seeded";

/// Sizes of the log's files.
#[derive(Debug, Clone, Copy)]
pub struct DiskConfig {
    /// One log file is closed and the next begun at this size.
    pub log_file_bytes: u64,
    /// Old log files are given back when all together exceed this.
    pub log_bytes_max: u64,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self { log_file_bytes: 16 << 20, log_bytes_max: 96 << 20 }
    }
}

/// All shards of one node, in one folder.
pub struct DiskStore {
    engine: Engine,
    vault: Vault,
    snapshots: Snapshots,
    /// Small facts by name.
    facts: Drawer,
    /// Shards that are being destroyed: whatever is left of them goes at the next start.
    doomed: Drawer,
    disk: Disk,
    outbox: Option<Outbox>,
    /// First and last index of each shard's log: the engine panics on a hole, so it is never shown one.
    spans: BTreeMap<u32, (u64, u64)>,
    batch: LogBatch,
    log_file_bytes: u64,
    written_since_purge: u64,
    rewritten: Option<Rewritten>,
    log_path: PathBuf,
}

struct LogEntries;

impl MessageExt for LogEntries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

impl DiskStore {
    /// Opens or begins a node's folder.
    ///
    /// # Errors
    /// When it belongs to another node, is open in another process, or cannot be read.
    pub fn open(folder: &Path, identity: &Identity, config: DiskConfig) -> Result<Self, StoreError> {
        stored(|| Self::begin(folder, identity, config))
    }

    fn begin(folder: &Path, identity: &Identity, config: DiskConfig) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|source| StoreError::Io { path: folder.to_owned(), source })?;
        let vault = Vault::open(&folder.join("state"))?;
        let disk = identity.claim(&vault, folder)?;
        let log_path = folder.join("log");
        let dir = log_path.to_str().ok_or_else(|| StoreError::Log("the folder's name is not UTF-8".into()))?;
        let facts = vault.drawer("facts")?;
        damage::check(&log_path, facts.get(REWRITTEN)?.as_deref().and_then(Rewritten::decode))?;
        damage::remove_unbegun(&log_path)?;
        let engine = Engine::open(Config {
            dir: dir.to_owned(),
            // A batch of small commands hardly compresses, and the processor is what is scarce.
            batch_compression_threshold: ReadableSize(0),
            target_file_size: ReadableSize(config.log_file_bytes),
            purge_threshold: ReadableSize(config.log_bytes_max.max(config.log_file_bytes)),
            purge_rewrite_threshold: Some(ReadableSize(config.log_file_bytes)),
            ..Config::default()
        })
        .map_err(unreadable)?;
        // The engine does not make its first file's name durable by itself.
        sync_folder(&log_path)?;
        sync_folder(folder)?;
        let mut store = Self {
            engine,
            snapshots: Snapshots::open(&vault, &folder.join("snapshots"))?,
            facts,
            doomed: vault.drawer("doomed")?,
            vault,
            disk,
            outbox: None,
            spans: BTreeMap::new(),
            batch: LogBatch::default(),
            log_file_bytes: config.log_file_bytes,
            written_since_purge: 0,
            rewritten: None,
            log_path,
        };
        for shard in store.doomed.keys().collect::<Result<Vec<_>, _>>()? {
            if let Ok(shard) = shard.try_into() {
                store.finish_destroying(u32::from_be_bytes(shard))?;
            }
        }
        Ok(store)
    }

    /// Which disk this is.
    pub fn disk(&self) -> Disk {
        self.disk
    }

    /// The random identity of the cluster that this disk has seen, if it has.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn founded(&self) -> Result<Option<String>, StoreError> {
        Ok(self.facts.get(FOUNDED.as_bytes())?.map(|founded| String::from_utf8_lossy(&founded).into_owned()))
    }

    /// Gives a replica other members, and other entries in the place of the last ones. For [`crate::recover`] alone.
    pub(crate) fn replace_members(
        &mut self,
        shard: u32,
        conf_state: &ConfState,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        let (region, failed) = (region(shard), |error: raft_engine::Error| StoreError::Log(error.to_string()));
        // The log first: with the old members it is what it was.
        self.batch.add_entries::<LogEntries>(region, entries).map_err(failed)?;
        self.batch.put_message(region, BOOTSTRAP.to_vec(), conf_state).map_err(failed)?;
        self.batch.put(region, SEEDED.to_vec(), vec![1]).map_err(failed)?;
        self.engine.write(&mut self.batch, true).map_err(failed)?;
        self.snapshots.replace_members(shard, conf_state)
    }

    /// Removes what there is of a doomed shard; may be repeated after a power cut at any point.
    fn finish_destroying(&mut self, shard: u32) -> Result<(), StoreError> {
        self.batch.add_command(region(shard), Command::Clean);
        self.engine.write(&mut self.batch, true).map_err(|error| StoreError::Log(error.to_string()))?;
        self.spans.remove(&shard);
        self.snapshots.destroy(shard)?;
        self.doomed.remove(&shard.to_be_bytes())?;
        self.vault.sync()
    }

    /// Syncs this outbox before each snapshot, so that no record is lost with the log it came from. Records must be put
    /// before the batch with the snapshot is submitted.
    #[must_use]
    pub fn with_outbox(mut self, outbox: Outbox) -> Self {
        self.outbox = Some(outbox);
        self
    }

    /// How many bytes the log's files take.
    pub fn log_bytes(&self) -> u64 {
        let files = fs::read_dir(&self.log_path).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// Snapshots received or taken, durable before the log knows of them.
    fn save_snapshots(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        if batch.has_snapshot()
            && let Some(outbox) = &self.outbox
        {
            outbox.sync()?;
        }
        for group in &batch.groups {
            if let Some(snapshot) = &group.restored {
                self.snapshots.save(group.shard, snapshot, 0)?;
            }
            if let Some(part) = &group.part {
                self.snapshots.put(group.shard, part)?;
            }
            if let Some(taken) = &group.taken {
                self.snapshots.save(group.shard, &taken.snapshot, taken.written)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, write: &GroupWrite) -> Result<(), StoreError> {
        let (shard, region) = (write.shard, region(write.shard));
        let failed = |error: raft_engine::Error| StoreError::Log(error.to_string());
        let batch = &mut self.batch;
        if let Some(conf_state) = &write.bootstrap {
            batch.put_message(region, BOOTSTRAP.to_vec(), conf_state).map_err(failed)?;
        }
        if let Some(snapshot) = &write.restored {
            // Everything goes, also what lies behind the snapshot: it is another history.
            let index = snapshot.get_metadata().index;
            let last = self.spans.get(&shard).map_or(0, |(_, last)| *last);
            batch.add_command(region, Command::Compact { index: last.max(index) + 1 });
            self.spans.remove(&shard);
        }
        if let (Some(first), Some(last)) = (write.entries.first(), write.entries.last()) {
            self.spans.insert(shard, extend(self.spans.get(&shard).copied(), shard, first.index, last.index)?);
            batch.add_entries::<LogEntries>(region, &write.entries).map_err(failed)?;
        }
        if let Some(hard_state) = &write.hard_state {
            batch.put_message(region, HARD_STATE.to_vec(), hard_state).map_err(failed)?;
        }
        if write.seeded {
            batch.put(region, SEEDED.to_vec(), vec![1]).map_err(failed)?;
        }
        if let Some(index) = write.compact_below {
            batch.add_command(region, Command::Compact { index });
            if let Some((first, last)) = self.spans.remove(&shard)
                && index <= last
            {
                self.spans.insert(shard, (first.max(index), last));
            }
        }
        Ok(())
    }

    /// Gives old log files back; now and then, for it may have to move what still lives in them.
    fn purge(&mut self, written: usize) -> Result<(), StoreError> {
        self.written_since_purge += written as u64;
        if self.written_since_purge < self.log_file_bytes {
            return Ok(());
        }
        self.written_since_purge = 0;
        self.engine.purge_expired_files().map_err(|error| StoreError::Log(error.to_string()))?;
        match Rewritten::read(&self.log_path)? {
            Some(now) if self.rewritten != Some(now) => {
                self.rewritten = Some(now);
                self.facts.put(REWRITTEN, &now.encode())?;
                self.vault.sync()
            }
            _ => Ok(()),
        }
    }
}

impl Store for DiskStore {
    fn recover(&mut self, shard: u32) -> Result<Recovered, StoreError> {
        let region = region(shard);
        let failed = unreadable;
        let mut raw = Raw {
            hard_state: self.engine.get_message::<HardState>(region, HARD_STATE).map_err(failed)?.unwrap_or_default(),
            bootstrap: self.engine.get_message::<ConfState>(region, BOOTSTRAP).map_err(failed)?,
            snapshot: self.snapshots.load(shard)?,
            entries: Vec::new(),
            seeded: self.engine.get(region, SEEDED).is_some(),
        };
        if let (Some(first), Some(last)) = (self.engine.first_index(region), self.engine.last_index(region)) {
            self.engine
                .fetch_entries_to::<LogEntries>(region, first, last + 1, None, &mut raw.entries)
                .map_err(failed)?;
            self.spans.insert(shard, (first, last));
        }
        let found = Recovered::reconcile(shard, raw)?;
        if found.stale_log
            && let Some((_, last)) = self.spans.remove(&shard)
        {
            self.batch.add_command(region, Command::Compact { index: last + 1 });
            self.engine.write(&mut self.batch, true).map_err(failed)?;
        }
        Ok(found)
    }

    fn replicas(&mut self) -> Result<Vec<u32>, StoreError> {
        let mut shards = self.snapshots.shards()?;
        shards.extend(
            self.engine.raft_groups().into_iter().filter_map(|region| u32::try_from(region.checked_sub(1)?).ok()),
        );
        Ok(shards.into_iter().collect())
    }

    fn destroy(&mut self, shard: u32) -> Result<(), StoreError> {
        self.doomed.put(&shard.to_be_bytes(), &[])?;
        self.vault.sync()?;
        self.finish_destroying(shard)
    }

    fn remember(&mut self, key: &str, fact: &[u8]) -> Result<(), StoreError> {
        if fact.is_empty() {
            self.facts.remove(key.as_bytes())?;
        } else {
            self.facts.put(key.as_bytes(), fact)?;
        }
        self.vault.sync()
    }

    fn recall(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.facts.get(key.as_bytes())
    }

    fn write(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        self.save_snapshots(batch)?;
        for write in &batch.groups {
            self.add(write)?;
        }
        let written = self.engine.write(&mut self.batch, true).map_err(|error| StoreError::Log(error.to_string()))?;
        self.purge(written)
    }
}

/// The span of a log after an append, if it may be appended.
fn extend(held: Option<(u64, u64)>, shard: u32, first: u64, last: u64) -> Result<(u64, u64), StoreError> {
    match held {
        None => Ok((first, last)),
        Some((low, high)) if first >= low && first <= high + 1 => Ok((low, last)),
        Some((low, high)) => Err(StoreError::Gap { shard, first, held: format!("{low}..={high}") }),
    }
}

fn unreadable(error: raft_engine::Error) -> StoreError {
    match error {
        raft_engine::Error::Corruption(what) => {
            StoreError::Log(format!("it is damaged ({what}); move this node's data away and let it rejoin"))
        }
        other => StoreError::Log(other.to_string()),
    }
}

/// The engine's name of a shard's log; 0 is left free.
fn region(shard: u32) -> u64 {
    u64::from(shard) + 1
}

#[cfg(test)]
mod tests;
