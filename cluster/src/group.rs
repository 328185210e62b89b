//! One replica of one Raft group, without IO: tick, step, propose, drain, persisted. Never waits, never reads a clock.
//!
//! What is here beyond raft itself: messages that promise something are held until the write they promise is durable;
//! a replica whose disk is empty does not vote in a group that has already committed something.

mod ask;
mod members;
mod saves;
mod seeding;
mod sleep;
mod snapshot;
mod status;
mod step;

use std::collections::VecDeque;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, HardState, Message, MessageType};
use raft::{Config, RawNode, ReadOnlyOption, StateRole};

pub use status::{GroupStatus, PeerProgress, Role};

use crate::drained::{Applied, Drained, Established, Failure, ReadReady, RoleChange};
use crate::host::{Beats, HostConfig, HostCounters};
use crate::log::Log;
use crate::reads::Reads;
use crate::store::{BOOTSTRAP_INDEX, GroupWrite, Recovered, Taken};
use crate::{Machine, PeerMessage, RestoreError};
use members::{RANKS_MAX, patience};
pub(crate) use saves::Saves;
use seeding::Seeding;
use sleep::Drowsiness;
use snapshot::Saving;

/// A snapshot made for a follower is let go after this many ticks, and one under way is given up.
const SNAPSHOT_TICKS_MAX: u64 = 250;

/// One replica.
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
    /// Since this replica began here.
    age_ticks: u64,

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
    /// The machine is at a snapshot; then it goes to the disk, of which a piece may be under way.
    saving: Option<Saving>,
    writing: Option<Taken>,
    taking: Option<u64>,
    offer_ticks: u64,
    /// Of the last snapshot made for followers.
    offered_bytes: usize,
    snapshot_ticks: Vec<(u64, u64, u64)>,
    /// Followers that were sent a snapshot and do not follow like the others yet, and for how long they are silent.
    catching_up: Vec<(u64, u64)>,

    drowsiness: Drowsiness,
    /// Among the voters, for elections.
    rank: usize,
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
        let Recovered { hard_state, conf_state, index, term, snapshot, entries, before, seeded, fresh, .. } = recovered;
        if !snapshot.is_empty() {
            machine.restore(&snapshot).map_err(|error| Failure { shard, error })?;
        }
        let raft_config = Config {
            id: config.node,
            election_tick: config.election_ticks,
            heartbeat_tick: config.heartbeat_ticks,
            applied: index,
            max_size_per_msg: config.append_bytes_max,
            max_inflight_msgs: config.appends_in_flight_max,
            check_quorum: true,
            pre_vote: true,
            // What raft draws from this range is replaced before each tick.
            min_election_tick: patience(config, 0),
            max_election_tick: patience(config, RANKS_MAX),
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
        let mut group = Self {
            shard,
            raw,
            machine,
            applied: index,
            applied_term: term,
            reads: Reads::default(),
            seeding: if seeded { Seeding::Done } else { Seeding::Unknown },
            seeded_written: seeded,
            bootstrap,
            age_ticks: 0,
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
            saving: None,
            writing: None,
            taking: None,
            offer_ticks: 0,
            offered_bytes: 0,
            snapshot_ticks: Vec::new(),
            catching_up: Vec::new(),
            drowsiness: Drowsiness::default(),
            rank: 0,
            seen,
            established: None,
            failed: false,
        };
        group.set_patience();
        Ok(group)
    }

    /// Time passes for a replica that is awake; `beats` when it may fall asleep. True when there may be something to drain.
    pub(crate) fn tick(
        &mut self,
        config: &HostConfig,
        beats: Option<&Beats>,
        out: &mut Vec<(u64, PeerMessage)>,
    ) -> bool {
        self.age_ticks += 1;
        if self.seeding != Seeding::Done && self.raw.raft.raft_log.last_index() > BOOTSTRAP_INDEX {
            // Half of a lost log is back: its vote for itself could outvote what it has forgotten.
            return false;
        }
        if self.restoring.is_some() {
            // Raft would look for entries that the snapshot has taken the place of, and panic; after the flush it does not.
            return false;
        }
        if self.raw.store().offers() {
            self.offer_ticks += 1;
            if self.offer_ticks > SNAPSHOT_TICKS_MAX {
                self.raw.mut_store().offer(None);
            }
        }
        self.be_patient(config);
        let active = self.raw.tick();
        if self.is_leader() {
            self.give_up_slow_snapshots();
            self.leave_joint();
        }
        if let Some(beats) = beats {
            self.doze(config, beats, out);
        }
        active || self.raw.has_ready()
    }

    /// Hands out everything that is to be done, and adds what has to be durable to `writes`.
    pub(crate) fn drain(
        &mut self,
        config: &HostConfig,
        counters: &mut HostCounters,
        saves: &mut Saves,
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
            self.save(config, counters, saves, writes);
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

    fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether there is something to drain.
    pub(crate) fn has_ready(&self) -> bool {
        self.raw.has_ready()
    }

    /// All nodes that have a part in this group, this one too if it has.
    pub(crate) fn members(&self) -> Vec<u64> {
        let conf = self.raw.store().conf_state();
        [&conf.voters, &conf.voters_outgoing, &conf.learners].into_iter().flatten().copied().collect()
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.drowsiness.asleep
    }

    fn leader(&self) -> Option<u64> {
        Some(self.raw.raft.leader_id).filter(|node| *node != 0)
    }
}

fn encode(shard: u32, counters: &mut HostCounters, out: &mut Vec<(u64, PeerMessage)>, messages: Vec<Message>) {
    for message in messages {
        counters.messages_out += 1;
        let mut message = message;
        // Not copied: it is large, and goes by a way of its own.
        let snapshot = match message.get_msg_type() {
            MessageType::MsgSnapshot => message.mut_snapshot().take_data(),
            _ => Bytes::new(),
        };
        // Writing to memory cannot fail; a message without required fields could, and eraftpb has none.
        if let Ok(bytes) = message.write_to_bytes() {
            out.push((message.to, PeerMessage { shard, raft: bytes.into(), snapshot, ..PeerMessage::default() }));
        }
    }
}
