//! One replica of one Raft group, without IO: tick, step, propose, drain, persisted. Never waits, never reads a clock.
//!
//! What is here beyond raft itself: messages that promise something are held until the write they promise is durable;
//! a replica whose disk is empty does not vote in a group that has already committed something.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, HardState, Message, MessageType, Snapshot};
use raft::{Config, ProgressState, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};

use crate::host::{Applied, Established};
use crate::host::{Drained, Failure, HostConfig, HostCounters, ProposeError, ReadReady, Restored, RoleChange};
use crate::log::Log;
use crate::reads::Reads;
use crate::snapshots::SNAPSHOT_BYTES_MAX;
use crate::store::{BOOTSTRAP_INDEX, GroupWrite, Recovered};
use crate::{Machine, PeerMessage, RestoreError, admit::admit};

/// A snapshot made for a follower is let go after this many ticks, and one under way is given up.
const SNAPSHOT_TICKS_MAX: u64 = 250;

/// What a replica is within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// What a leader knows of another replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerProgress {
    /// Its node.
    pub node: u64,
    /// The last entry it is known to hold.
    pub matched: u64,
    /// Whether it was heard of within the last election timeout.
    pub active: bool,
    /// Whether it is being sent a snapshot.
    pub snapshot: bool,
}

/// A replica as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// The leader's node, if one is known.
    pub leader: Option<u64>,
    /// Raft's term.
    pub term: u64,
    /// What this replica is.
    pub role: Role,
    /// Leads, and has applied its first entry of the term: all that was ever acknowledged is in the machine.
    pub established: bool,
    /// Last committed index known here.
    pub committed: u64,
    /// Last index in the machine.
    pub applied: u64,
    /// First index of the log in memory.
    pub first: u64,
    /// Last index of the log.
    pub last: u64,
    /// Nodes that vote.
    pub voters: Vec<u64>,
    /// Nodes that only learn.
    pub learners: Vec<u64>,
    /// False until a replica that began empty has what the group had committed; it does not vote before.
    pub seeded: bool,
    /// The others, in order of node; empty unless this is the leader.
    pub others: Vec<PeerProgress>,
}

/// Whether this replica may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seeding {
    Done,
    /// Nothing heard from a leader yet.
    Unknown,
    /// The leader's first entry is the group's first: there is nothing that this replica could have lost.
    First,
    /// A leader said this much was committed, and the lost disk may have acknowledged it. A new leader does not know
    /// yet how much is committed, so an entry of its own term must be, too.
    Until(u64),
}

pub(crate) struct Group<M> {
    pub(crate) shard: u32,
    raw: RawNode<Log>,
    pub(crate) machine: M,
    applied: u64,
    applied_term: u64,
    reads: Reads,
    seeding: Seeding,
    seeded_written: bool,
    bootstrap: Option<raft::eraftpb::ConfState>,

    /// Proposals of this burst, and the term they were taken in.
    queued: Vec<Entry>,
    queued_bytes: usize,
    queued_term: u64,

    /// Ready numbers whose write is under way, and messages that wait for one.
    outstanding: VecDeque<u64>,
    held: VecDeque<(u64, Vec<Message>)>,
    last_ready: u64,
    /// A hard state that only moved the commit index goes with the next write.
    lazy_hard_state: Option<HardState>,
    /// Ready number and index of a received snapshot that is not durable yet.
    restoring: Option<(u64, u64)>,

    snapshot_at: u64,
    bytes_since_snapshot: usize,
    taking: Option<u64>,
    offer_ticks: u64,
    snapshot_ticks: Vec<(u64, u64, u64)>,

    seen: (u64, Option<u64>, bool),
    established: Option<u64>,
    pub(crate) failed: bool,
}

impl<M: Machine> Group<M> {
    pub(crate) fn new(
        config: &HostConfig,
        logger: &slog::Logger,
        shard: u32,
        mut machine: M,
        recovered: Recovered,
    ) -> Result<Self, Failure> {
        let Recovered { hard_state, conf_state, index, term, snapshot, entries, before, seeded, fresh } = recovered;
        if !snapshot.is_empty() {
            machine.restore(&snapshot).map_err(|error| Failure { shard, error })?;
        }
        let rank = conf_state.voters.iter().filter(|voter| **voter < config.node).count() + shard as usize;
        let rank = rank % conf_state.voters.len().max(1);
        // One more than the lease, so that the others' leases are over when the first one asks.
        let election_min = config.election_ticks + 1 + rank * config.election_spread_ticks;
        let raft_config = Config {
            id: config.node,
            election_tick: config.election_ticks,
            heartbeat_tick: config.heartbeat_ticks,
            applied: index,
            max_size_per_msg: config.append_bytes_max,
            max_inflight_msgs: config.appends_in_flight_max,
            check_quorum: true,
            pre_vote: true,
            // A range of one value: raft's dice cannot matter, and no two voters ask at the same tick.
            min_election_tick: election_min,
            max_election_tick: election_min + 1,
            read_only_option: ReadOnlyOption::Safe,
            batch_append: true,
            max_uncommitted_size: config.uncommitted_bytes_max,
            max_committed_size_per_ready: config.apply_bytes_max,
            ..Config::default()
        };
        let seen = (hard_state.term, None, false);
        let bootstrap = fresh.then(|| conf_state.clone());
        let log = Log::new(before, entries, hard_state, conf_state);
        let raw = RawNode::new(&raft_config, log, logger)
            .map_err(|error| Failure { shard, error: RestoreError(error.to_string()) })?;
        Ok(Self {
            shard,
            raw,
            machine,
            applied: index,
            applied_term: term,
            reads: Reads::default(),
            seeding: if seeded { Seeding::Done } else { Seeding::Unknown },
            seeded_written: seeded,
            bootstrap,
            queued: Vec::new(),
            queued_bytes: 0,
            queued_term: 0,
            outstanding: VecDeque::new(),
            held: VecDeque::new(),
            last_ready: 0,
            lazy_hard_state: None,
            restoring: None,
            snapshot_at: index,
            bytes_since_snapshot: 0,
            taking: None,
            offer_ticks: 0,
            snapshot_ticks: Vec::new(),
            seen,
            established: None,
            failed: false,
        })
    }

    /// Time passes. True when there may be something to drain.
    pub(crate) fn tick(&mut self) -> bool {
        if self.seeding != Seeding::Done && self.raw.raft.raft_log.last_index() > BOOTSTRAP_INDEX {
            // Half of a lost log is back: its vote for itself could outvote what it has forgotten.
            return false;
        }
        if self.raw.store().offers() {
            self.offer_ticks += 1;
            if self.offer_ticks > SNAPSHOT_TICKS_MAX {
                self.raw.mut_store().offer(None);
            }
        }
        let active = self.raw.tick();
        if self.is_leader() {
            self.give_up_slow_snapshots();
        }
        active
    }

    /// A snapshot message may be lost anywhere, and raft waits for word of it for ever.
    fn give_up_slow_snapshots(&mut self) {
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

    /// A peer's message. False when it is not one that a peer may send.
    pub(crate) fn step(&mut self, mut message: Message, node: u64) -> bool {
        if !admit(&message, node) {
            return false;
        }
        let raft = &self.raw.raft;
        match message.get_msg_type() {
            MessageType::MsgHeartbeat if message.commit > raft.raft_log.last_index() => {
                // This disk has lost what the leader was told it has; raft would panic. Committing less is safe, and
                // committing up to our own end is not, for that end may be another history.
                message.commit = 0;
            }
            MessageType::MsgAppendResponse => {
                if message.index > raft.raft_log.last_index() && message.term == raft.term {
                    return false;
                }
                if message.reject && self.forget_progress(&message) {
                    return true;
                }
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
                if self.seeding != Seeding::Done && !self.may_vote_unseeded(&message) =>
            {
                return true;
            }
            MessageType::MsgTimeoutNow if self.seeding != Seeding::Done => return true,
            MessageType::MsgAppend | MessageType::MsgSnapshot
                if self.seeding == Seeding::Unknown && message.term >= raft.term =>
            {
                let committed = message.commit.max(message.get_snapshot().get_metadata().index);
                let first = message.entries.first().is_some_and(|entry| entry.term == message.term);
                let begins = committed <= BOOTSTRAP_INDEX && message.index == BOOTSTRAP_INDEX && first;
                self.seeding = if begins { Seeding::First } else { Seeding::Until(committed) };
            }
            _ => {}
        }
        // What raft refuses here is stale or from a node that is no longer in the group.
        let _ = self.raw.step(message);
        true
    }

    /// An empty replica cannot tell a group's first hour from the loss of its own disk. What it may have acknowledged is
    /// in the log of an older member, so it helps only those to power that have nothing either.
    fn may_vote_unseeded(&self, request: &Message) -> bool {
        let raft = &self.raw.raft;
        let voters = raft.prs().conf().voters().ids().len();
        if voters.is_multiple_of(2) {
            // Half with the first entry and half without must not wait for each other for ever.
            return request.commit <= BOOTSTRAP_INDEX;
        }
        raft.raft_log.last_index() <= BOOTSTRAP_INDEX && request.index <= BOOTSTRAP_INDEX
    }

    /// A follower that refuses below what it once acknowledged has lost its log. Raft would ignore it for ever; begin
    /// again with it. A late refusal does the same and costs one round.
    fn forget_progress(&mut self, refusal: &Message) -> bool {
        let raft = &mut self.raw.raft;
        if raft.state != StateRole::Leader || refusal.term != raft.term {
            return false;
        }
        let Some(progress) = raft.mut_prs().get_mut(refusal.from) else { return false };
        if refusal.reject_hint >= progress.matched || progress.state == ProgressState::Snapshot {
            return false;
        }
        progress.matched = 0;
        progress.become_probe();
        progress.next_idx = refusal.reject_hint + 1;
        progress.recent_active = true;
        raft.send_append(refusal.from);
        true
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

    pub(crate) fn propose(&mut self, config: &HostConfig, data: Vec<u8>) -> Result<(), ProposeError> {
        self.leads()?;
        let raft = &self.raw.raft;
        let in_flight = raft.raft_log.last_index() - raft.raft_log.committed + self.queued.len() as u64;
        let bytes = raft.uncommitted_size() + self.queued_bytes + data.len();
        if raft.lead_transferee.is_some()
            || in_flight >= config.proposals_in_flight_max
            || bytes as u64 > config.uncommitted_bytes_max
        {
            return Err(ProposeError::Busy);
        }
        if self.queued_term != raft.term {
            self.queued.clear();
            self.queued_bytes = 0;
            self.queued_term = raft.term;
        }
        self.queued_bytes += data.len();
        self.queued.push(Entry { data: Bytes::from(data), ..Entry::default() });
        Ok(())
    }

    /// All proposals of a burst go into raft as one, so that each follower is sent one message.
    fn flush_queued(&mut self, counters: &mut HostCounters) {
        if self.queued.is_empty() {
            return;
        }
        let entries = mem::take(&mut self.queued);
        self.queued_bytes = 0;
        if !self.is_leader() || self.raw.raft.term != self.queued_term {
            // Lost with the leadership, as the role change tells.
            counters.proposals_lost += entries.len() as u64;
            return;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.raw.raft.id;
        message.set_entries(entries.into());
        if self.raw.raft.step(message).is_err() {
            counters.proposals_lost += 1;
        }
    }

    pub(crate) fn change_members(&mut self, change: ConfChangeV2) -> Result<(), ProposeError> {
        self.leads()?;
        if self.raw.raft.has_pending_conf() || self.raw.raft.lead_transferee.is_some() {
            return Err(ProposeError::Busy);
        }
        self.raw.propose_conf_change(Vec::new(), change).map_err(|_| ProposeError::Busy)
    }

    pub(crate) fn read(&mut self, config: &HostConfig, token: u64) -> Result<(), ProposeError> {
        self.leads()?;
        if self.reads.open() >= config.reads_open_max {
            return Err(ProposeError::Busy);
        }
        self.reads.add(token);
        Ok(())
    }

    fn leads(&self) -> Result<(), ProposeError> {
        if self.is_leader() { Ok(()) } else { Err(ProposeError::NotLeader { hint: self.leader() }) }
    }

    pub(crate) fn transfer(&mut self, to: Option<u64>, counters: &mut HostCounters) {
        if !self.is_leader() {
            return;
        }
        self.flush_queued(counters);
        let own = self.raw.raft.id;
        let voters = self.raw.raft.prs().conf().voters();
        let target = to.filter(|node| voters.contains(*node)).or_else(|| {
            let others = self.raw.raft.prs().iter().filter(|(node, _)| **node != own && voters.contains(**node));
            others.max_by_key(|(node, p)| (p.recent_active, p.matched, u64::MAX - **node)).map(|(node, _)| *node)
        });
        if let Some(target) = target.filter(|target| *target != own) {
            self.raw.transfer_leader(target);
        }
    }

    /// Hands out everything that is to be done, and adds what has to be durable to `writes`.
    pub(crate) fn drain(
        &mut self,
        config: &HostConfig,
        counters: &mut HostCounters,
        out: &mut Drained<M::Output>,
        writes: &mut Vec<GroupWrite>,
    ) {
        self.flush_queued(counters);
        self.see_role(out);
        self.ask_reads();
        while !self.failed && self.raw.has_ready() {
            self.drain_ready(counters, out, writes);
            self.see_role(out);
        }
        let applied = self.applied;
        let shard = self.shard;
        self.reads.release(applied, |token| out.reads.push(ReadReady { shard, token }));
        if !self.failed {
            self.take_snapshot(config, counters, writes);
            if self.raw.store().take_wanted() && !self.raw.store().offers() {
                self.offer_snapshot(counters);
            }
        }
    }

    fn drain_ready(&mut self, counters: &mut HostCounters, out: &mut Drained<M::Output>, writes: &mut Vec<GroupWrite>) {
        let mut ready = self.raw.ready();
        let number = ready.number();
        self.last_ready = number;
        for state in ready.take_read_states() {
            self.reads.confirm(&state.request_ctx, state.index);
        }
        self.send(counters, out, ready.take_messages());

        let mut write = GroupWrite { shard: self.shard, ready: number, ..GroupWrite::default() };
        if !ready.snapshot().is_empty() {
            let snapshot = ready.snapshot().clone();
            if let Err(error) = self.restore(number, &snapshot, counters, out) {
                self.failed = true;
                out.failures.push(Failure { shard: self.shard, error });
                return;
            }
            write.restored = Some(snapshot);
        }
        let entries = ready.take_entries();
        self.raw.mut_store().append(&entries);
        write.entries = entries;
        if let Some(hard_state) = ready.hs() {
            self.lazy_hard_state = Some(hard_state.clone());
        }
        write.seeded = self.just_seeded();
        if ready.must_sync() || write.seeded {
            write.hard_state = self.lazy_hard_state.take();
            write.bootstrap = self.bootstrap.take();
            writes.push(write);
            self.outstanding.push_back(number);
        }
        let promises = ready.take_persisted_messages();
        let committed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        if self.outstanding.is_empty() {
            // Nothing is under way, so this ready is as durable as it will ever be.
            self.raw.on_persist_ready(number);
            self.send(counters, out, promises);
        } else if !promises.is_empty() {
            self.held.push_back((number, promises));
        }
        self.apply(counters, out, committed);
    }

    fn restore(
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

    fn apply(&mut self, counters: &mut HostCounters, out: &mut Drained<M::Output>, entries: Vec<Entry>) {
        let Some(last) = entries.last().map(|entry| entry.index) else { return };
        out.applied.reserve(entries.len());
        for entry in entries {
            self.applied_term = entry.term;
            self.bytes_since_snapshot += entry.data.len();
            match entry.entry_type {
                EntryType::EntryNormal if entry.data.is_empty() => {}
                EntryType::EntryNormal => {
                    let output = self.machine.apply(entry.index, &entry.data);
                    counters.applied += 1;
                    out.applied.push(Applied { shard: self.shard, index: entry.index, term: entry.term, output });
                }
                // The first form of the protocol, which hosts never propose.
                EntryType::EntryConfChange => counters.garbage += 1,
                EntryType::EntryConfChangeV2 => match ConfChangeV2::parse_from_bytes(&entry.data) {
                    Ok(change) => self.apply_conf_change(&change, counters),
                    Err(_) => counters.garbage += 1,
                },
            }
        }
        self.applied = last;
        self.raw.raft.commit_apply(last);
    }

    fn apply_conf_change(&mut self, change: &ConfChangeV2, counters: &mut HostCounters) {
        // The same on every replica, so refusing is agreement too.
        match self.raw.apply_conf_change(change) {
            Ok(conf_state) => self.raw.mut_store().set_conf_state(conf_state),
            Err(_) => counters.garbage += 1,
        }
    }

    /// The log writer has made everything up to this ready durable.
    pub(crate) fn persisted(&mut self, ready: u64, counters: &mut HostCounters, out: &mut Vec<(u64, PeerMessage)>) {
        if self.failed {
            return;
        }
        while self.outstanding.front().is_some_and(|number| *number <= ready) {
            self.outstanding.pop_front();
        }
        let durable = self.outstanding.front().map_or(self.last_ready, |number| number - 1);
        self.raw.on_persist_ready(durable);
        if let Some((number, index)) = self.restoring
            && number <= durable
        {
            self.restoring = None;
            self.raw.raft.commit_apply(index);
        }
        if self.taking.is_some_and(|number| number <= ready) {
            self.taking = None;
        }
        while self.held.front().is_some_and(|(number, _)| *number <= durable) {
            let Some((_, messages)) = self.held.pop_front() else { break };
            encode(self.shard, counters, out, messages);
        }
    }

    fn send(&self, counters: &mut HostCounters, out: &mut Drained<M::Output>, messages: Vec<Message>) {
        encode(self.shard, counters, &mut out.messages, messages);
    }

    /// True once: when this replica has all that the group had committed when it came.
    fn just_seeded(&mut self) -> bool {
        let done = match self.seeding {
            Seeding::Done => true,
            Seeding::Unknown => self.is_leader(),
            Seeding::First => self.raw.raft.raft_log.last_index() > BOOTSTRAP_INDEX,
            Seeding::Until(committed) => {
                let raft = &self.raw.raft;
                self.is_leader() || (raft.raft_log.committed >= committed && raft.commit_to_current_term())
            }
        };
        if done {
            self.seeding = Seeding::Done;
        }
        done && !mem::replace(&mut self.seeded_written, done)
    }

    fn see_role(&mut self, out: &mut Drained<M::Output>) {
        let raft = &self.raw.raft;
        let now = (raft.term, self.leader(), self.is_leader());
        let shard = self.shard;
        if now != self.seen {
            let was_leader = self.seen.2;
            if was_leader && (!now.2 || now.0 != self.seen.0) {
                self.reads.fail(|token| out.failed_reads.push(ReadReady { shard, token }));
                if now.2 {
                    out.roles.push(RoleChange { shard, term: self.seen.0, leader: None, is_leader: false });
                }
            }
            self.seen = now;
            out.roles.push(RoleChange { shard, term: now.0, leader: now.1, is_leader: now.2 });
        }
        if now.2 && self.established != Some(now.0) && self.applied_term == now.0 {
            self.established = Some(now.0);
            out.established.push(Established { shard, term: now.0, applied: self.applied });
        }
    }

    fn ask_reads(&mut self) {
        // Raft forgets reads silently until the leader has committed in its own term.
        if self.reads.has_waiting() && self.is_leader() && self.raw.raft.commit_to_current_term() {
            let context = self.reads.ask();
            self.raw.read_index(context);
        }
    }

    fn take_snapshot(&mut self, config: &HostConfig, counters: &mut HostCounters, writes: &mut Vec<GroupWrite>) {
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
    fn offer_snapshot(&mut self, counters: &mut HostCounters) {
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

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { data: Bytes::from(self.machine.save()), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        metadata.index = self.applied;
        metadata.term = self.applied_term;
        metadata.set_conf_state(self.raw.store().conf_state().clone());
        snapshot
    }

    fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    fn leader(&self) -> Option<u64> {
        Some(self.raw.raft.leader_id).filter(|node| *node != 0)
    }

    pub(crate) fn status(&self) -> GroupStatus {
        let raft = &self.raw.raft;
        let conf_state = self.raw.store().conf_state();
        let mut others: Vec<_> = if self.is_leader() {
            let others = raft.prs().iter().filter(|(node, _)| **node != raft.id);
            others
                .map(|(node, progress)| PeerProgress {
                    node: *node,
                    matched: progress.matched,
                    active: progress.recent_active,
                    snapshot: progress.state == ProgressState::Snapshot,
                })
                .collect()
        } else {
            Vec::new()
        };
        others.sort_unstable_by_key(|progress| progress.node);
        GroupStatus {
            leader: self.leader(),
            term: raft.term,
            role: match raft.state {
                StateRole::Follower => Role::Follower,
                StateRole::PreCandidate | StateRole::Candidate => Role::Candidate,
                StateRole::Leader => Role::Leader,
            },
            established: self.is_leader() && self.applied_term == raft.term,
            committed: raft.raft_log.committed,
            applied: self.applied,
            first: self.raw.store().first(),
            last: raft.raft_log.last_index(),
            voters: conf_state.voters.clone(),
            learners: conf_state.learners.clone(),
            seeded: self.seeding == Seeding::Done,
            others,
        }
    }
}

fn encode(shard: u32, counters: &mut HostCounters, out: &mut Vec<(u64, PeerMessage)>, messages: Vec<Message>) {
    for message in messages {
        counters.messages_out += 1;
        // Writing to memory cannot fail; a message without required fields could, and eraftpb has none.
        if let Ok(bytes) = message.write_to_bytes() {
            out.push((message.to, PeerMessage { shard, raft: Bytes::from(bytes) }));
        }
    }
}
