//! A store in memory for tests: it can lose what was not synced, as a power cut does. No disk.

use std::collections::BTreeMap;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};

use crate::store::{GroupWrite, Part, Raw, Recovered, Store, StoreError, Taken, WriteBatch};

/// What a disk would hold, and what is still on its way there.
#[derive(Debug, Default, Clone)]
pub struct MemoryStore {
    durable: BTreeMap<u32, Held>,
    facts: BTreeMap<String, Vec<u8>>,
    staged: Vec<WriteBatch>,
}

#[derive(Debug, Default, Clone)]
struct Held {
    hard_state: HardState,
    bootstrap: Option<ConfState>,
    snapshot: Option<Snapshot>,
    /// Index and data of a snapshot that is not whole.
    parts: (u64, Vec<u8>),
    entries: Vec<Entry>,
    seeded: bool,
}

impl MemoryStore {
    /// Writes without syncing.
    pub fn stage(&mut self, batch: WriteBatch) {
        self.staged.push(batch);
    }

    /// How many batches are not synced.
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Makes everything staged durable.
    ///
    /// # Errors
    /// When an append does not fit.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        for batch in std::mem::take(&mut self.staged) {
            for write in &batch.groups {
                self.durable.entry(write.shard).or_default().write(write)?;
            }
        }
        Ok(())
    }

    /// A power cut: the first `survivors` staged batches happened to reach the disk, the others did not. Of the next
    /// one, when `torn`, the received or taken snapshots did, which are written before the log.
    ///
    /// # Errors
    /// When an append does not fit.
    pub fn crash(&mut self, survivors: usize, torn: bool) -> Result<(), StoreError> {
        let mut lost = self.staged.split_off(survivors.min(self.staged.len()));
        self.sync()?;
        if torn && !lost.is_empty() {
            for write in lost.remove(0).groups {
                let held = self.durable.entry(write.shard).or_default();
                if write.restored.is_some() {
                    held.snapshot = write.restored;
                }
                if let Some(taken) = &write.taken {
                    held.take(write.shard, taken)?;
                }
            }
        }
        Ok(())
    }

    /// A new disk.
    pub fn wipe(&mut self) {
        *self = Self::default();
    }
}

impl Held {
    fn write(&mut self, write: &GroupWrite) -> Result<(), StoreError> {
        if write.bootstrap.is_some() {
            self.bootstrap.clone_from(&write.bootstrap);
        }
        if let Some(snapshot) = &write.restored {
            self.snapshot = Some(snapshot.clone());
            self.entries.clear();
        }
        if let Some(first) = write.entries.first() {
            if let (Some(low), Some(high)) = (self.entries.first(), self.entries.last())
                && (first.index < low.index || first.index > high.index + 1)
            {
                let held = format!("{}..={}", low.index, high.index);
                return Err(StoreError::Gap { shard: write.shard, first: first.index, held });
            }
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend(write.entries.iter().cloned());
        }
        if let Some(hard_state) = &write.hard_state {
            self.hard_state = hard_state.clone();
        }
        self.seeded |= write.seeded;
        if let Some(part) = &write.part {
            self.put(write.shard, part)?;
        }
        if let Some(taken) = &write.taken {
            self.take(write.shard, taken)?;
        }
        if let Some(index) = write.compact_below {
            self.entries.retain(|entry| entry.index >= index);
        }
        Ok(())
    }

    fn put(&mut self, shard: u32, part: &Part) -> Result<(), StoreError> {
        if part.offset == 0 {
            self.parts = (part.index, Vec::new());
        }
        if (part.index, part.offset) != (self.parts.0, self.parts.1.len()) {
            return Err(StoreError::Inconsistent {
                shard,
                what: format!("a part at {} has no neighbour", part.offset),
            });
        }
        self.parts.1.extend_from_slice(&part.data);
        Ok(())
    }

    /// As from a disk: what came in parts is read from these.
    fn take(&mut self, shard: u32, taken: &Taken) -> Result<(), StoreError> {
        let (index, mut data) = std::mem::take(&mut self.parts);
        let mut snapshot = taken.snapshot.clone();
        if taken.written > 0 {
            if (index, data.len()) != (snapshot.get_metadata().index, taken.written) {
                return Err(StoreError::Inconsistent { shard, what: format!("parts of snapshot {index} are missing") });
            }
            data.extend_from_slice(&snapshot.data[taken.written..]);
            snapshot.data = data.into();
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn recover(&mut self, shard: u32) -> Result<Recovered, StoreError> {
        let held = self.durable.get(&shard).cloned().unwrap_or_default();
        let Held { hard_state, bootstrap, snapshot, entries, seeded, .. } = held;
        let found = Recovered::reconcile(shard, Raw { hard_state, bootstrap, snapshot, entries, seeded })?;
        if found.stale_log
            && let Some(held) = self.durable.get_mut(&shard)
        {
            held.entries.clear();
        }
        Ok(found)
    }

    fn replicas(&mut self) -> Result<Vec<u32>, StoreError> {
        Ok(self.durable.keys().copied().collect())
    }

    /// What was staged before is durable first, as on the log thread.
    fn destroy(&mut self, shard: u32) -> Result<(), StoreError> {
        self.sync()?;
        self.durable.remove(&shard);
        Ok(())
    }

    fn remember(&mut self, key: &str, fact: &[u8]) -> Result<(), StoreError> {
        if fact.is_empty() {
            self.facts.remove(key);
        } else {
            self.facts.insert(key.to_owned(), fact.to_vec());
        }
        Ok(())
    }

    fn recall(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.facts.get(key).cloned())
    }

    fn write(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        self.stage(batch.clone());
        self.sync()
    }
}
