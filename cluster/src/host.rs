//! All the groups that one actor owns. No clock, no IO, no thread, no dice: inputs in, one [`Drained`] out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Message};

use crate::drained::{Drained, Failure};
use crate::group::{Group, GroupStatus, Saves};
use crate::store::{Persisted, Recovered, WriteBatch};
use crate::{Machine, PeerMessage};

/// The limits and clocks of a host. Times are in ticks of the caller, 20 ms each by design.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// This node's number, from 1.
    pub node: u64,
    /// A leader that was not heard of for this long is gone.
    pub election_ticks: usize,
    /// How much later each further voter asks for votes, so that they do not ask together.
    pub election_spread_ticks: usize,
    /// A leader speaks at least this often.
    pub heartbeat_ticks: usize,
    /// Proposals of one group that are not committed yet.
    pub proposals_in_flight_max: u64,
    /// Their bytes.
    pub uncommitted_bytes_max: u64,
    /// Bytes of entries in one message to a follower.
    pub append_bytes_max: u64,
    /// Such messages on the way to one follower.
    pub appends_in_flight_max: usize,
    /// Bytes of entries applied before the loop looks at anything else.
    pub apply_bytes_max: u64,
    /// Reads of one group that are not answered yet.
    pub reads_open_max: usize,
    /// A snapshot is taken after this many entries,
    pub snapshot_entries: u64,
    /// or this many bytes of them.
    pub snapshot_bytes: usize,
    /// Entries kept behind a snapshot for slow followers, as long as they are fewer bytes than `snapshot_bytes`.
    pub entries_kept: u64,
    /// A larger snapshot goes to the disk in pieces of so many bytes, one per tick, so that no flush waits for all of it.
    pub snapshot_part_bytes: usize,
}

impl HostConfig {
    /// The house's settings.
    pub fn new(node: u64) -> Self {
        Self {
            node,
            election_ticks: 15,
            election_spread_ticks: 2,
            heartbeat_ticks: 3,
            proposals_in_flight_max: 8192,
            uncommitted_bytes_max: 32 << 20,
            append_bytes_max: 512 << 10,
            appends_in_flight_max: 128,
            apply_bytes_max: 4 << 20,
            reads_open_max: 8192,
            snapshot_entries: 50_000,
            snapshot_bytes: 32 << 20,
            entries_kept: 5_000,
            snapshot_part_bytes: 512 << 10,
        }
    }
}

/// All replicas that one actor owns.
pub struct Host<M: Machine> {
    config: HostConfig,
    groups: BTreeMap<u32, Group<M>>,
    touched: BTreeSet<u32>,
    /// Messages set free by the log writer since the last drain.
    freed: Vec<(u64, PeerMessage)>,
    /// Batches under way: number, and per group the ready it makes durable.
    in_flight: VecDeque<(u64, Vec<(u32, u64)>)>,
    batches: u64,
    saves: Saves,
    counters: HostCounters,
    logger: slog::Logger,
}

/// What has happened so far, for metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct HostCounters {
    /// Proposals taken.
    pub proposals: u64,
    /// Proposals refused because of a limit or a hand-over.
    pub proposals_refused: u64,
    /// Proposals taken and lost with the leadership within one burst.
    pub proposals_lost: u64,
    /// Entries given to machines.
    pub applied: u64,
    /// Reads asked for.
    pub reads: u64,
    /// Messages from peers.
    pub messages_in: u64,
    /// Messages to peers.
    pub messages_out: u64,
    /// Messages that no honest peer sends, or for shards that are not here.
    pub garbage: u64,
    /// Snapshots taken to shorten the log.
    pub snapshots_taken: u64,
    /// Slices of work on snapshots: of the machine, and pieces written.
    pub snapshot_slices: u64,
    /// Snapshots made for followers.
    pub snapshots_offered: u64,
    /// Snapshots received and restored.
    pub snapshots_restored: u64,
    /// Snapshots not sent because they exceed [`crate::SNAPSHOT_BYTES_MAX`].
    pub snapshots_too_large: u64,
    /// Batches given to the log writer.
    pub batches: u64,
}

/// Why a proposal or read was not taken. Nothing has happened then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another replica leads, or none.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as known.
        hint: Option<u64>,
    },
    /// A limit is reached or leadership is being handed over; ask again soon.
    #[error("busy")]
    Busy,
    /// No replica of the shard is here.
    #[error("no such shard here")]
    UnknownShard,
}

/// A step of membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The node gets the log and does not vote.
    Learn(u64),
    /// The node votes.
    Vote(u64),
    /// The node is out.
    Leave(u64),
}

impl<M: Machine> Host<M> {
    /// A host without groups.
    pub fn new(config: HostConfig) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            touched: BTreeSet::new(),
            freed: Vec::new(),
            in_flight: VecDeque::new(),
            batches: 0,
            saves: Saves::default(),
            counters: HostCounters::default(),
            logger: slog::Logger::root(slog::Discard, slog::o!()),
        }
    }

    /// Starts a replica from what the store recovered. Entries after the snapshot are applied again by later drains.
    ///
    /// # Errors
    /// When the machine cannot read its own snapshot.
    pub fn add(&mut self, shard: u32, machine: M, recovered: Recovered) -> Result<(), Failure> {
        let group = Group::new(&self.config, &self.logger, shard, machine, recovered)?;
        self.saves.end(shard);
        self.groups.insert(shard, group);
        self.touched.insert(shard);
        Ok(())
    }

    /// One tick of time for all groups, and of a snapshot that is under way.
    pub fn tick(&mut self) {
        self.touched.extend(self.saves.tick());
        for (shard, group) in &mut self.groups {
            if !group.failed && group.tick() {
                self.touched.insert(*shard);
            }
        }
    }

    /// A message from a peer. Garbage is counted.
    pub fn step(&mut self, message: &PeerMessage) {
        self.counters.messages_in += 1;
        let shard = message.shard;
        let Some(group) = self.groups.get_mut(&shard).filter(|group| !group.failed) else {
            self.counters.garbage += 1;
            return;
        };
        // Copied out of the received buffer: the log keeps entries for long, and the buffer is large.
        let taken = Message::parse_from_bytes(&message.raft).is_ok_and(|raft| group.step(raft, self.config.node));
        if taken {
            self.touched.insert(shard);
        } else {
            self.counters.garbage += 1;
        }
    }

    /// Wants `data` to be applied by every replica. `Ok` is no promise; [`Drained::applied`] is.
    ///
    /// # Errors
    /// When it was not taken; nothing happened then.
    pub fn propose(&mut self, shard: u32, data: Vec<u8>) -> Result<(), ProposeError> {
        let group = self.groups.get_mut(&shard).ok_or(ProposeError::UnknownShard)?;
        if group.failed {
            return Err(ProposeError::NotLeader { hint: None });
        }
        let taken = group.propose(&self.config, data);
        match taken {
            Ok(()) => {
                self.counters.proposals += 1;
                self.touched.insert(shard);
            }
            Err(_) => self.counters.proposals_refused += 1,
        }
        taken
    }

    /// Asks when the machine may be read so that the answer has seen every proposal that was applied before now.
    /// Answered in [`Drained::reads`] or [`Drained::failed_reads`].
    ///
    /// # Errors
    /// When it was not taken.
    pub fn read(&mut self, shard: u32, token: u64) -> Result<(), ProposeError> {
        let group = self.groups.get_mut(&shard).ok_or(ProposeError::UnknownShard)?;
        group.read(&self.config, token)?;
        self.counters.reads += 1;
        self.touched.insert(shard);
        Ok(())
    }

    /// The log writer has made this and all earlier batches durable. Drain afterwards.
    pub fn persisted(&mut self, done: Persisted) {
        while self.in_flight.front().is_some_and(|(number, _)| *number <= done.batch) {
            let Some((_, readies)) = self.in_flight.pop_front() else { break };
            for (shard, ready) in readies {
                if let Some(group) = self.groups.get_mut(&shard) {
                    group.persisted(ready, &mut self.counters, &mut self.freed);
                    self.touched.insert(shard);
                }
            }
        }
    }

    /// Messages to a node cannot be delivered.
    pub fn unreachable(&mut self, node: u64) {
        for (shard, group) in &mut self.groups {
            group.unreachable(node);
            self.touched.insert(*shard);
        }
    }

    /// Hands leadership to a voter; `None` chooses the one that is furthest. No effect unless this replica leads; the
    /// outcome shows in [`Drained::roles`].
    pub fn transfer_leadership(&mut self, shard: u32, to: Option<u64>) {
        if let Some(group) = self.groups.get_mut(&shard) {
            group.transfer(to, &mut self.counters);
            self.touched.insert(shard);
        }
    }

    /// Changes who is in the group, by joint consensus when it is more than one step.
    ///
    /// # Errors
    /// When it was not taken; [`ProposeError::Busy`] while another change is under way.
    pub fn change_members(&mut self, shard: u32, steps: &[Membership]) -> Result<(), ProposeError> {
        let group = self.groups.get_mut(&shard).ok_or(ProposeError::UnknownShard)?;
        let mut change = ConfChangeV2::default();
        for step in steps {
            let (kind, node) = match step {
                Membership::Learn(node) => (ConfChangeType::AddLearnerNode, *node),
                Membership::Vote(node) => (ConfChangeType::AddNode, *node),
                Membership::Leave(node) => (ConfChangeType::RemoveNode, *node),
            };
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = node;
            change.mut_changes().push(single);
        }
        group.change_members(change)?;
        self.touched.insert(shard);
        Ok(())
    }

    /// Everything to be done. Call after a burst of inputs, not after each one: a burst becomes one flush.
    pub fn drain(&mut self) -> Drained<M::Output> {
        let mut out = Drained::new();
        out.messages = mem::take(&mut self.freed);
        let mut groups = Vec::new();
        for shard in mem::take(&mut self.touched) {
            if let Some(group) = self.groups.get_mut(&shard).filter(|group| !group.failed) {
                group.drain(&self.config, &mut self.counters, &mut self.saves, &mut out, &mut groups);
                if !group.is_saving() {
                    self.saves.end(shard);
                }
            }
        }
        self.saves.drain();
        if !groups.is_empty() {
            self.batches += 1;
            self.counters.batches += 1;
            let readies = groups.iter().map(|write| (write.shard, write.ready)).collect();
            self.in_flight.push_back((self.batches, readies));
            out.write = Some(WriteBatch { number: self.batches, groups });
        }
        out
    }

    /// Whether a drain may have something to give.
    pub fn has_work(&self) -> bool {
        !self.touched.is_empty() || !self.freed.is_empty()
    }

    /// A shard's machine, for reading.
    pub fn machine(&self, shard: u32) -> Option<&M> {
        self.groups.get(&shard).map(|group| &group.machine)
    }

    /// A replica as seen from outside.
    pub fn status(&self, shard: u32) -> Option<GroupStatus> {
        self.groups.get(&shard).map(Group::status)
    }

    /// The shards that have a replica here, in order.
    pub fn shards(&self) -> impl Iterator<Item = u32> + '_ {
        self.groups.keys().copied()
    }

    /// What has happened so far.
    pub fn counters(&self) -> HostCounters {
        self.counters
    }
}
