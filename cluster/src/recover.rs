//! The way out when most voters are lost for good: makes those that are left the only ones, on their disks, while no node
//! runs. Deliberate, by hand, on each of them with the same list. Never called by a running node.
//!
//! Raft cannot promise anything here: what only the lost ones had acknowledged is gone, and a lost one that came back with
//! its old disk would not know that it was left behind.

use std::collections::BTreeSet;
use std::path::Path;

use raft::eraftpb::{ConfState, EntryType};

use crate::disk::{DiskConfig, DiskStore};
use crate::identity::Identity;
use crate::store::{Recovered, Store as _, StoreError};

/// What is, or was, done with one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredShard {
    /// The shard.
    pub shard: u32,
    /// Who voted, as far as this disk knows; during a change both the old and the new ones.
    pub voters: Vec<u64>,
    /// The last entry that is here.
    pub last: u64,
    /// Of these, how many nobody may have been told of; they count from now on.
    pub unsure: u64,
    /// This replica did not vote, or had not caught up when it last ran: it may lack more than others would.
    pub behind: bool,
    /// Changes of members in its log, which no longer mean anything.
    pub changes: usize,
}

/// Makes the nodes `only` the only voters of every shard that this disk has; with `write` false only says what it would do.
/// May be repeated, also after a power cut. Other disks are to be treated alike, or wiped.
///
/// # Errors
/// When a node has the folder open, when it is another node's, or when it cannot be read or written.
pub fn recover(
    folder: &Path,
    identity: &Identity,
    only: &BTreeSet<u64>,
    write: bool,
) -> Result<Vec<RecoveredShard>, StoreError> {
    if !folder.join("state").exists() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no node's data is here");
        return Err(StoreError::Io { path: folder.to_owned(), source });
    }
    let mut store = DiskStore::open(folder, identity, DiskConfig::default())?;
    let mut shards = Vec::new();
    for shard in store.replicas()? {
        let found = store.recover(shard)?;
        // One that waits to be told has nothing that could be missed.
        if found.is_empty() {
            continue;
        }
        shards.push(describe(shard, &found, identity.node));
        if write {
            let mut entries = found.entries;
            // Entries of that kind would bring the old members back when they are applied again.
            let first = entries.iter().position(|entry| entry.entry_type != EntryType::EntryNormal);
            let mut entries = first.map(|first| entries.split_off(first)).unwrap_or_default();
            for entry in entries.iter_mut().filter(|entry| entry.entry_type != EntryType::EntryNormal) {
                entry.entry_type = EntryType::EntryNormal;
                entry.data = bytes::Bytes::new();
            }
            let voters = only.iter().copied().collect();
            store.replace_members(shard, &ConfState { voters, ..ConfState::default() }, &entries)?;
        }
    }
    Ok(shards)
}

fn describe(shard: u32, found: &Recovered, node: u64) -> RecoveredShard {
    let conf_state = &found.conf_state;
    let voters: BTreeSet<u64> = conf_state.voters.iter().chain(&conf_state.voters_outgoing).copied().collect();
    let last = found.entries.last().map_or(found.index, |entry| entry.index);
    RecoveredShard {
        shard,
        behind: !found.seeded || !voters.contains(&node),
        voters: voters.into_iter().collect(),
        last,
        unsure: last.saturating_sub(found.hard_state.commit),
        changes: found.entries.iter().filter(|entry| entry.entry_type != EntryType::EntryNormal).count(),
    }
}
