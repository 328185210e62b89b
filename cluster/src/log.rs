//! The part of a group's log that is kept in memory, as raft's `Storage`. Never reads the disk, never writes it.

use std::cell::Cell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

/// Entries since the last compaction, and what came before them.
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    /// Index and term of the entry before the first one held.
    before: (u64, u64),
    /// Bytes of data held in `entries`.
    bytes: usize,
    hard_state: HardState,
    conf_state: ConfState,
    /// A snapshot made for a follower that lags behind the log; let go when it is not needed.
    offer: Option<Snapshot>,
    /// Raft asked for a snapshot and there was none.
    wanted: Cell<bool>,
}

impl Log {
    pub(crate) fn new(before: (u64, u64), entries: Vec<Entry>, hard_state: HardState, conf_state: ConfState) -> Self {
        let bytes = entries.iter().map(|entry| entry.data.len()).sum();
        Self { entries: entries.into(), before, bytes, hard_state, conf_state, offer: None, wanted: Cell::new(false) }
    }

    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        debug_assert!(first.index > self.before.0 && first.index <= self.last() + 1, "raft appends without holes");
        while self.last() >= first.index {
            let cut = self.entries.pop_back().map_or(0, |entry| entry.data.len());
            self.bytes -= cut;
        }
        self.bytes += entries.iter().map(|entry| entry.data.len()).sum::<usize>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Forgets the log in favour of a received snapshot.
    pub(crate) fn restart_at(&mut self, index: u64, term: u64, conf_state: ConfState) {
        self.entries.clear();
        self.bytes = 0;
        self.before = (index, term);
        self.conf_state = conf_state;
        self.offer = None;
    }

    /// Lets go of entries below `index`; the one before stays known by its term.
    pub(crate) fn compact_below(&mut self, index: u64) {
        while self.before.0 + 1 < index {
            let Some(entry) = self.entries.pop_front() else { break };
            self.bytes -= entry.data.len();
            self.before = (entry.index, entry.term);
        }
        if self.offer.as_ref().is_some_and(|offer| offer.get_metadata().index < self.before.0) {
            // What comes after it is gone.
            self.offer = None;
        }
    }

    /// The lowest index that keeps at most `entries_max` entries and `bytes_max` bytes up to `index`.
    pub(crate) fn tail_start(&self, index: u64, entries_max: u64, bytes_max: usize) -> u64 {
        let (mut start, mut bytes) = (index + 1, 0);
        while start > self.before.0 + 1 && index + 1 - start < entries_max {
            bytes += self.entry(start - 1).map_or(0, |entry| entry.data.len());
            if bytes > bytes_max {
                break;
            }
            start -= 1;
        }
        start
    }

    fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.get(index.checked_sub(self.before.0 + 1)? as usize)
    }

    pub(crate) fn first(&self) -> u64 {
        self.before.0 + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    pub(crate) fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
        // A node refuses a snapshot that does not know it.
        self.offer = None;
    }

    pub(crate) fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.replace(false)
    }

    pub(crate) fn offer(&mut self, snapshot: Option<Snapshot>) {
        self.offer = snapshot;
    }

    pub(crate) fn offers(&self) -> bool {
        self.offer.is_some()
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState { hard_state: self.hard_state.clone(), conf_state: self.conf_state.clone() })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        let skip = (low - self.before.0 - 1) as usize;
        let count = (high - low) as usize;
        let mut bytes = 0u64;
        let taken = self.entries.range(skip..skip + count).take_while(|entry| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(entry.data.len() as u64 + 16);
            first || bytes <= bytes_max
        });
        Ok(taken.cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.before.0 {
            return Ok(self.before.1);
        }
        if index < self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.entry(index).map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        match &self.offer {
            Some(offer) if offer.get_metadata().index >= request_index.max(self.before.0) => Ok(offer.clone()),
            _ => {
                self.wanted.set(true);
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}
