//! The one trait for durable storage, and what goes in and comes out of it. No disk is touched here.

use std::path::PathBuf;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};

/// Durable storage of all groups of one node.
///
/// The log writer is its only caller after start, so it needs no lock.
pub trait Store: Send {
    /// What is durable of a shard. Called before the first write.
    ///
    /// # Errors
    /// When the disk cannot be read or what it holds cannot be right; the replica must not start then.
    fn recover(&mut self, shard: u32) -> Result<Recovered, StoreError>;

    /// The shards of which anything is durable here, in order.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn replicas(&mut self) -> Result<Vec<u32>, StoreError>;

    /// Forgets a shard for good. When this returns, a replica of the same number that begins here later finds nothing; a
    /// power cut on the way leaves it whole or gone. The shard's owner must have stopped writing it.
    ///
    /// # Errors
    /// As of [`Store::write`].
    fn destroy(&mut self, shard: u32) -> Result<(), StoreError>;

    /// Keeps a small fact beside the shards, durable when this returns. Empty bytes forget it.
    ///
    /// # Errors
    /// As of [`Store::write`].
    fn remember(&mut self, key: &str, fact: &[u8]) -> Result<(), StoreError>;

    /// The fact that was last remembered by this name.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn recall(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Makes a batch durable; when this returns `Ok` a power cut may happen.
    ///
    /// # Errors
    /// Any error ends the node: a failed flush must never be tried again, for the kernel may have dropped the pages.
    fn write(&mut self, batch: &WriteBatch) -> Result<(), StoreError>;
}

/// The fact that says which cluster this disk has seen: its random identity, as text. See [`Store::remember`].
pub const FOUNDED: &str = "founded";

/// What one [`crate::Host::drain`] wants to have durable, over all its groups, in one flush.
#[derive(Debug, Default, Clone)]
pub struct WriteBatch {
    pub(crate) number: u64,
    pub(crate) groups: Vec<GroupWrite>,
}

impl WriteBatch {
    /// How many bytes of entries and snapshots it carries, roughly.
    pub fn bytes(&self) -> usize {
        self.groups.iter().map(GroupWrite::bytes).sum()
    }

    /// What to tell the host when this batch is durable. The log writer does it; tests without one do it themselves.
    pub fn done(&self) -> Persisted {
        Persisted { batch: self.number }
    }

    /// Whether a snapshot is in it, so that the outbox has to be synced before it is written.
    pub fn has_snapshot(&self) -> bool {
        self.groups.iter().any(|group| group.taken.is_some() || group.restored.is_some())
    }

    /// The shards it writes, in order.
    pub fn shards(&self) -> impl Iterator<Item = u32> + '_ {
        self.groups.iter().map(|group| group.shard)
    }

    /// Takes in a later batch, of this or another host. The caller remembers the numbers.
    pub(crate) fn merge(&mut self, later: Self) {
        self.groups.extend(later.groups);
    }
}

/// One group's part of a batch. A store applies the fields in the order of declaration.
#[derive(Debug, Default, Clone)]
pub(crate) struct GroupWrite {
    pub(crate) shard: u32,
    /// The number of raft's ready that is durable with this.
    pub(crate) ready: u64,
    /// The first configuration, written once.
    pub(crate) bootstrap: Option<ConfState>,
    /// A snapshot received from the leader: replaces the whole log.
    pub(crate) restored: Option<Snapshot>,
    /// Entries to append; whatever the log has at or after the first one is replaced.
    pub(crate) entries: Vec<Entry>,
    pub(crate) hard_state: Option<HardState>,
    /// This replica has seen all that was committed when it joined, and may vote.
    pub(crate) seeded: bool,
    /// A piece of a snapshot that will be taken.
    pub(crate) part: Option<Part>,
    /// A snapshot taken here: must be durable before the log is compacted.
    pub(crate) taken: Option<Taken>,
    /// Entries below this index may go.
    pub(crate) compact_below: Option<u64>,
}

impl GroupWrite {
    fn bytes(&self) -> usize {
        let entries: usize = self.entries.iter().map(|entry| entry.data.len() + 64).sum();
        let part = self.part.as_ref().map_or(0, |part| part.data.len());
        let taken = self.taken.as_ref().map_or(0, |taken| taken.snapshot.data.len() - taken.written);
        entries + self.restored.as_ref().map_or(0, |snapshot| snapshot.data.len()) + part + taken
    }
}

/// A piece of a snapshot's data, in order without holes. Worth nothing until the snapshot itself is durable, and never
/// if another one begins at offset 0.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) index: u64,
    pub(crate) offset: usize,
    pub(crate) data: Bytes,
}

/// A whole snapshot.
#[derive(Debug, Default, Clone)]
pub(crate) struct Taken {
    pub(crate) snapshot: Snapshot,
    /// So many bytes of it were written in parts.
    pub(crate) written: usize,
}

/// All batches of one host up to and with this one are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persisted {
    pub(crate) batch: u64,
}

/// What a store holds of one shard, made consistent.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    pub(crate) hard_state: HardState,
    pub(crate) conf_state: ConfState,
    /// Index and term of the snapshot; (1, 1) of a group that only knows its first configuration; (0, 0) of a replica
    /// that waits to be told.
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) snapshot: Bytes,
    /// The log, contiguous: from some index at or before `index + 1`, to the end.
    pub(crate) entries: Vec<Entry>,
    /// Index and term of the entry before the first of `entries`.
    pub(crate) before: (u64, u64),
    pub(crate) seeded: bool,
    /// The first configuration has still to be written.
    pub(crate) fresh: bool,
    /// The stored log is older than the snapshot: a crash came between the two. The store must drop it before it
    /// appends again.
    pub(crate) stale_log: bool,
}

/// What a store reads from its disk, before it is made consistent.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) hard_state: HardState,
    pub(crate) bootstrap: Option<ConfState>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) seeded: bool,
}

/// Every group begins as if a snapshot of nothing had been taken here, so that a later joiner without a configuration
/// lacks something and is sent a snapshot.
pub(crate) const BOOTSTRAP_INDEX: u64 = 1;
/// The term of that snapshot.
pub(crate) const BOOTSTRAP_TERM: u64 = 1;

impl Recovered {
    /// Whether nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.index == 0 && self.entries.is_empty()
    }

    /// Gives a replica that has nothing the first configuration of its group. Every initial voter must be given the
    /// same list. Where something was recovered, that stays.
    #[must_use]
    pub fn or_bootstrap(mut self, voters: &[u64]) -> Self {
        if self.is_empty() {
            let mut voters = voters.to_vec();
            voters.sort_unstable();
            voters.dedup();
            self.conf_state.set_voters(voters);
            self.begin();
            self.fresh = true;
        }
        self
    }

    fn begin(&mut self) {
        (self.index, self.term) = (BOOTSTRAP_INDEX, BOOTSTRAP_TERM);
        self.before = (BOOTSTRAP_INDEX, BOOTSTRAP_TERM);
        self.hard_state.term = self.hard_state.term.max(BOOTSTRAP_TERM);
        self.hard_state.commit = self.hard_state.commit.max(BOOTSTRAP_INDEX);
    }

    /// Puts together what was read, whatever moment the crash came at: snapshot first, then log, is the order of
    /// writing, so a snapshot may be ahead of log and hard state, never behind the log's first entry.
    pub(crate) fn reconcile(shard: u32, raw: Raw) -> Result<Self, StoreError> {
        let Raw { hard_state, bootstrap, snapshot, mut entries, seeded } = raw;
        let mut found = Self { hard_state, seeded, ..Self::default() };
        if let Some(mut snapshot) = snapshot {
            let mut metadata = snapshot.take_metadata();
            (found.index, found.term) = (metadata.index, metadata.term);
            found.conf_state = metadata.take_conf_state();
            found.snapshot = snapshot.take_data();
        } else if let Some(conf_state) = bootstrap {
            found.conf_state = conf_state;
            found.begin();
        } else if !entries.is_empty() || found.hard_state.term != 0 {
            // A joiner may have voted for nobody yet but knows a term.
            if !entries.is_empty() {
                return Err(StoreError::Inconsistent { shard, what: "a log without a snapshot to start from".into() });
            }
            return Ok(found);
        } else {
            return Ok(found);
        }

        let first = entries.first().map_or(found.index + 1, |entry| entry.index);
        if first > found.index + 1 {
            let what = format!("the snapshot ends at {}, the log begins at {first}", found.index);
            return Err(StoreError::Inconsistent { shard, what });
        }
        // A log that does not hold the snapshot's own entry is older than the snapshot or went another way.
        let agrees = first == found.index + 1
            || entries.get((found.index - first) as usize).is_some_and(|entry| entry.term == found.term);
        if !agrees {
            found.stale_log = true;
            entries.clear();
        }
        found.before = (found.index, found.term);
        if let Some(entry) = entries.first()
            && entry.index <= found.index
        {
            // The first kept entry stands for the one before the log; only its term is needed.
            found.before = (entry.index, entry.term);
            entries.remove(0);
        }
        let last = entries.last().map_or(found.before.0, |entry| entry.index);
        let hard_state = &mut found.hard_state;
        if hard_state.term < found.term {
            // Received together with the snapshot, which alone became durable; nothing was voted in that term.
            hard_state.term = found.term;
            hard_state.vote = 0;
        }
        if hard_state.commit > last {
            let what = format!("committed up to {}, the log ends at {last}", hard_state.commit);
            return Err(StoreError::Inconsistent { shard, what });
        }
        hard_state.commit = hard_state.commit.max(found.index);
        found.entries = entries;
        Ok(found)
    }
}

/// Storage failed. Nothing of this is retried; the node stops and says this.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The log engine failed.
    #[error("raft log: {0}")]
    Log(String),
    /// The operating system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// The embedded database failed or cannot be opened.
    #[error("{}: {what}", path.display())]
    Database {
        /// Its folder.
        path: PathBuf,
        /// What it said.
        what: String,
    },
    /// Bytes are not what was written.
    #[error("shard {shard}: {what} is corrupt; move this node's data away and let it rejoin")]
    Corrupt {
        /// The shard.
        shard: u32,
        /// Which part.
        what: String,
    },
    /// A file of the log was changed after it was written.
    #[error("{}: damaged at byte {at}; move this node's data away and let it rejoin", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first part begins that is not what was written.
        at: u64,
    },
    /// Parts of the disk do not fit together.
    #[error("shard {shard}: {what}; move this node's data away and let it rejoin")]
    Inconsistent {
        /// The shard.
        shard: u32,
        /// What does not fit.
        what: String,
    },
    /// The folder belongs to another node, cluster or format.
    #[error("{}: this folder belongs to {found}, not to {wanted}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked.
        wanted: String,
    },
    /// An append would leave a hole, or reach below the compacted part.
    #[error("shard {shard}: entries from {first} on do not fit a log of {held}")]
    Gap {
        /// The shard.
        shard: u32,
        /// First index of the append.
        first: u64,
        /// What the log holds.
        held: String,
    },
    /// The store panicked; its state is unknown.
    #[error("the log's storage panicked: {0}")]
    Panicked(String),
}
