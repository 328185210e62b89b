//! Snapshots of one replica: taken to shorten the log, made for followers, received from a leader. Writes no disk.

use std::mem;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Snapshot};
use raft::{ProgressState, SnapshotStatus};

use super::{Group, SNAPSHOT_TICKS_MAX, Saves};
use crate::drained::{Drained, Restored};
use crate::host::{HostConfig, HostCounters};
use crate::snapshots::SNAPSHOT_BYTES_MAX;
use crate::store::{GroupWrite, Part, Taken};
use crate::{Machine, RestoreError};

/// The slowest that a snapshot may travel before it is given up.
const SNAPSHOT_BYTES_PER_TICK_MIN: u64 = 64 << 10;

/// A snapshot that the machine is at: of which entry, and what is wanted of it.
pub(super) struct Saving {
    index: u64,
    term: u64,
    conf_state: ConfState,
    /// Bytes of entries since the last snapshot that it takes in.
    bytes: usize,
    /// A follower waits for it.
    offer: bool,
}

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
        (self.snapshot_at, self.bytes_since_snapshot) = (metadata.index, 0);
        (self.saving, self.writing, self.taking) = (None, None, None);
        self.bootstrap = None;
        self.set_patience();
        counters.snapshots_restored += 1;
        out.restored.push(Restored { shard: self.shard, index: metadata.index });
        Ok(())
    }

    /// Whether a snapshot is under way.
    pub(crate) fn is_saving(&self) -> bool {
        (self.saving.is_some() || self.writing.is_some()) && !self.failed
    }

    /// Begins a snapshot when one is due or a follower is behind the log, and does a slice of it when it is its turn: of
    /// the machine first, then of writing.
    pub(super) fn save(
        &mut self,
        config: &HostConfig,
        counters: &mut HostCounters,
        saves: &mut Saves,
        writes: &mut Vec<GroupWrite>,
    ) {
        // Raft asks for a follower again and again until there is one.
        let wanted = self.raw.store().take_wanted() && !self.raw.store().offers() && self.is_leader();
        if let Some(saving) = &mut self.saving {
            saving.offer |= wanted;
        } else if (wanted || self.is_due(config)) && self.may_begin() && saves.begin(self.shard) {
            self.machine.begin_save();
            self.saving = Some(Saving {
                index: self.applied,
                term: self.applied_term,
                conf_state: self.raw.store().conf_state().clone(),
                bytes: self.bytes_since_snapshot,
                offer: wanted,
            });
        }
        // No piece is written before the one before is durable.
        if !self.is_saving() || self.taking.is_some() || !saves.take_slice(self.shard) {
            return;
        }
        counters.snapshot_slices += 1;
        if self.saving.is_some() {
            let Some(data) = self.machine.save_slice() else { return };
            self.saved(data, counters);
        }
        self.write_part(config, counters, writes);
    }

    fn may_begin(&self) -> bool {
        self.writing.is_none() && self.taking.is_none() && self.restoring.is_none()
    }

    pub(super) fn is_due(&self, config: &HostConfig) -> bool {
        let enough = self.applied - self.snapshot_at >= config.snapshot_entries
            || self.bytes_since_snapshot >= config.snapshot_bytes;
        enough && self.applied != self.snapshot_at
    }

    /// The machine has ended its save.
    fn saved(&mut self, data: Vec<u8>, counters: &mut HostCounters) {
        let Some(saving) = self.saving.take() else { return };
        let mut snapshot = Snapshot { data: Bytes::from(data), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (saving.index, saving.term);
        metadata.set_conf_state(saving.conf_state);
        if saving.offer {
            self.offer(&snapshot, counters);
        }
        // Never the same one twice: the one on the disk is not to be touched.
        if saving.index > self.snapshot_at {
            self.bytes_since_snapshot -= saving.bytes;
            self.writing = Some(Taken { snapshot, written: 0 });
        }
    }

    /// To the disk, piece by piece; with the last one the log before the snapshot may go.
    fn write_part(&mut self, config: &HostConfig, counters: &mut HostCounters, writes: &mut Vec<GroupWrite>) {
        let Some(mut taken) = self.writing.take() else { return };
        let index = taken.snapshot.get_metadata().index;
        if writes.last().is_none_or(|write| write.shard != self.shard) {
            let hard_state = self.lazy_hard_state.take();
            let ready = self.last_ready;
            writes.push(GroupWrite { shard: self.shard, ready, hard_state, ..GroupWrite::default() });
            self.outstanding.push_back(ready);
        }
        let Some(write) = writes.last_mut() else { return };
        self.taking = Some(write.ready);
        let (offset, data) = (taken.written, &taken.snapshot.data);
        if data.len() - offset > config.snapshot_part_bytes {
            let data = data.slice(offset..offset + config.snapshot_part_bytes);
            taken.written += data.len();
            write.part = Some(Part { index, offset, data });
            self.writing = Some(taken);
            return;
        }
        let keep_from = self.keep_from(config, index);
        self.raw.mut_store().compact_below(keep_from);
        counters.snapshots_taken += 1;
        self.snapshot_at = index;
        write.taken = Some(taken);
        write.compact_below = Some(keep_from);
    }

    /// Where the log may begin behind a snapshot. A leader keeps what a follower needs next that was sent a snapshot, within a
    /// limit, or a large one would be too old whenever it arrives.
    fn keep_from(&self, config: &HostConfig, index: u64) -> u64 {
        let kept = self.raw.store().tail_start(index, config.entries_kept, config.snapshot_bytes);
        if !self.is_leader() {
            return kept;
        }
        let progress = self.catching_up.iter().filter_map(|(node, _)| self.raw.raft.prs().get(*node));
        let needed = progress.map(|progress| progress.matched.max(progress.pending_snapshot) + 1).min();
        let furthest = self.raw.store().tail_start(index, u64::MAX, config.catch_up_bytes_max);
        needed.map_or(kept, |needed| kept.min(needed.max(furthest)))
    }

    /// For followers that are behind the log, when they can use it: raft finds it when it asks again.
    fn offer(&mut self, snapshot: &Snapshot, counters: &mut HostCounters) {
        if !self.is_leader() || snapshot.get_metadata().get_conf_state() != self.raw.store().conf_state() {
            return;
        }
        if snapshot.data.len() > SNAPSHOT_BYTES_MAX {
            counters.snapshots_too_large += 1;
            return;
        }
        counters.snapshots_offered += 1;
        self.offer_ticks = 0;
        self.offered_bytes = snapshot.data.len();
        self.raw.mut_store().offer(Some(snapshot.clone()));
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
            if *ticks > SNAPSHOT_TICKS_MAX + self.offered_bytes as u64 / SNAPSHOT_BYTES_PER_TICK_MIN {
                self.raw.report_snapshot(*node, SnapshotStatus::Failure);
            }
        }
        self.snapshot_ticks = under_way;
        self.see_who_catches_up();
    }

    /// From the snapshot on until they follow like the others, or are silent for long.
    fn see_who_catches_up(&mut self) {
        for (node, ..) in &self.snapshot_ticks {
            if !self.catching_up.iter().any(|(known, _)| known == node) {
                self.catching_up.push((*node, 0));
            }
        }
        let raft = &self.raw.raft;
        self.catching_up.retain_mut(|(node, silent_ticks)| {
            let Some(progress) = raft.prs().get(*node) else { return false };
            let is_silent = progress.state != ProgressState::Snapshot && !progress.recent_active;
            *silent_ticks = if is_silent { *silent_ticks + 1 } else { 0 };
            let follows = progress.state == ProgressState::Replicate && progress.matched >= raft.raft_log.committed;
            !follows && *silent_ticks <= SNAPSHOT_TICKS_MAX
        });
    }

    /// The transport has delivered a snapshot, or given it up.
    pub(crate) fn snapshot_done(&mut self, node: u64, ok: bool) {
        let sent = self.raw.raft.prs().get(node).is_some_and(|progress| progress.state == ProgressState::Snapshot);
        if self.is_leader() && sent {
            self.raw.report_snapshot(node, if ok { SnapshotStatus::Finish } else { SnapshotStatus::Failure });
        }
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
