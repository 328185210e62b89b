//! Snapshots of one replica: taken to shorten the log, made for followers, received from a leader. Writes no disk.

use std::mem;

use bytes::Bytes;
use raft::eraftpb::Snapshot;
use raft::{ProgressState, SnapshotStatus};

use super::{Group, SNAPSHOT_TICKS_MAX};
use crate::drained::{Drained, Restored};
use crate::host::{HostConfig, HostCounters};
use crate::snapshots::SNAPSHOT_BYTES_MAX;
use crate::store::GroupWrite;
use crate::{Machine, RestoreError};

impl<M: Machine> Group<M> {
    pub(super) fn restore(
        &mut self,
        number: u64,
        snapshot: &Snapshot,
        counters: &mut HostCounters,
        out: &mut Drained<M::Output>,
    ) -> Result<(), RestoreError> {
        let metadata = snapshot.get_metadata();
        if !snapshot.data.is_empty() {
            self.machine.restore(&snapshot.data)?;
        }
        self.raw.mut_store().restart_at(metadata.index, metadata.term, metadata.get_conf_state().clone());
        self.restoring = Some((number, metadata.index));
        (self.applied, self.applied_term) = (metadata.index, metadata.term);
        (self.snapshot_at, self.bytes_since_snapshot, self.taking) = (metadata.index, 0, None);
        self.bootstrap = None;
        counters.snapshots_restored += 1;
        out.restored.push(Restored { shard: self.shard, index: metadata.index });
        Ok(())
    }

    pub(super) fn take_snapshot(
        &mut self,
        config: &HostConfig,
        counters: &mut HostCounters,
        writes: &mut Vec<GroupWrite>,
    ) {
        let due = self.applied - self.snapshot_at >= config.snapshot_entries
            || self.bytes_since_snapshot >= config.snapshot_bytes;
        if !due || self.taking.is_some() || self.restoring.is_some() || self.applied == self.snapshot_at {
            return;
        }
        let taken = self.snapshot();
        let keep_from = self.raw.store().tail_start(self.applied, config.entries_kept, config.snapshot_bytes);
        self.raw.mut_store().compact_below(keep_from);
        counters.snapshots_taken += 1;
        (self.snapshot_at, self.bytes_since_snapshot) = (self.applied, 0);
        self.taking = Some(self.last_ready);
        if writes.last().is_none_or(|write| write.shard != self.shard) {
            let hard_state = self.lazy_hard_state.take();
            let ready = self.last_ready;
            writes.push(GroupWrite { shard: self.shard, ready, hard_state, ..GroupWrite::default() });
            self.outstanding.push_back(ready);
        }
        if let Some(write) = writes.last_mut() {
            write.taken = Some(taken);
            write.compact_below = Some(keep_from);
        }
    }

    /// A follower is behind the log: make a snapshot for it. Raft asks again and finds it.
    pub(super) fn offer_snapshot(&mut self, counters: &mut HostCounters) {
        if !self.is_leader() || self.restoring.is_some() {
            return;
        }
        let snapshot = self.snapshot();
        if snapshot.data.len() > SNAPSHOT_BYTES_MAX {
            counters.snapshots_too_large += 1;
            return;
        }
        counters.snapshots_offered += 1;
        self.offer_ticks = 0;
        self.raw.mut_store().offer(Some(snapshot));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { data: Bytes::from(self.machine.save()), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        metadata.index = self.applied;
        metadata.term = self.applied_term;
        metadata.set_conf_state(self.raw.store().conf_state().clone());
        snapshot
    }

    /// A snapshot message may be lost anywhere, and raft waits for word of it for ever.
    pub(super) fn give_up_slow_snapshots(&mut self) {
        let mut under_way = mem::take(&mut self.snapshot_ticks);
        under_way.retain(|(node, index, _)| {
            let progress = self.raw.raft.prs().get(*node);
            progress.is_some_and(|p| p.state == ProgressState::Snapshot && p.pending_snapshot == *index)
        });
        for (node, progress) in self.raw.raft.prs().iter() {
            if progress.state == ProgressState::Snapshot && !under_way.iter().any(|(known, ..)| known == node) {
                under_way.push((*node, progress.pending_snapshot, 0));
            }
        }
        under_way.sort_unstable();
        for (node, _, ticks) in &mut under_way {
            *ticks += 1;
            if *ticks > SNAPSHOT_TICKS_MAX {
                self.raw.report_snapshot(*node, SnapshotStatus::Failure);
            }
        }
        self.snapshot_ticks = under_way;
    }

    pub(crate) fn unreachable(&mut self, node: u64) {
        if !self.is_leader() {
            return;
        }
        self.raw.report_unreachable(node);
        if self.raw.raft.prs().get(node).is_some_and(|progress| progress.state == ProgressState::Snapshot) {
            self.raw.report_snapshot(node, SnapshotStatus::Failure);
        }
    }
}
