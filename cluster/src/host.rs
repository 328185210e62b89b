//! All the groups that one actor owns. No clock, no IO, no thread, no dice: inputs in, one [`Drained`] out.

mod beats;
mod config;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use proto::v1::Beat;
use protobuf::Message as _;
use raft::eraftpb::Message;

pub(crate) use beats::Beats;
pub use config::{HostConfig, HostCounters, Membership, ProposeError};

use crate::drained::{Drained, Failure};
use crate::group::{Group, GroupStatus, Saves};
use crate::store::{Persisted, Recovered, WriteBatch};
use crate::{Machine, PeerMessage};

/// Who the neighbours are is looked up anew every so many beats.
const NEIGHBOURS_EVERY_BEATS: u64 = 16;

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
    may_sleep: bool,
    beats: Beats,
    /// Nodes that have replicas of the same shards, as of some moment.
    neighbours: BTreeSet<u64>,
    counters: HostCounters,
    logger: slog::Logger,
}

impl<M: Machine> Host<M> {
    /// A host without groups.
    pub fn new(config: HostConfig) -> Self {
        Self {
            beats: Beats::new(config.election_ticks),
            config,
            groups: BTreeMap::new(),
            touched: BTreeSet::new(),
            freed: Vec::new(),
            in_flight: VecDeque::new(),
            batches: 0,
            saves: Saves::default(),
            may_sleep: false,
            neighbours: BTreeSet::new(),
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
        self.beats.tick();
        self.beat();
        let mut wakes = 0;
        for (shard, group) in self.groups.iter_mut().filter(|(_, group)| !group.failed) {
            if group.is_asleep() {
                if wakes < self.config.wakes_per_tick_max && group.should_wake(&self.config, &self.beats) {
                    group.stir(&self.beats);
                    wakes += 1;
                }
                if group.has_ready() {
                    self.touched.insert(*shard);
                }
                continue;
            }
            let beats = self.may_sleep.then_some(&self.beats);
            if group.tick(&self.config, beats, &mut self.freed) {
                self.touched.insert(*shard);
            }
            self.counters.sleeps += u64::from(group.is_asleep());
        }
        self.counters.wakes_by_silence += wakes as u64;
    }

    /// Tells all neighbours that this host lives.
    fn beat(&mut self) {
        let beat = self.config.heartbeat_ticks.max(1) as u64;
        if !self.may_sleep || !self.beats.now.is_multiple_of(beat) {
            return;
        }
        if (self.beats.now / beat) % NEIGHBOURS_EVERY_BEATS == 1 {
            self.neighbours = self.groups.values().flat_map(Group::members).collect();
            self.neighbours.remove(&self.config.node);
            self.beats.forget_others(|node| self.neighbours.contains(&node));
        }
        let beat = Beat { host: self.config.host, hosts: self.config.hosts };
        let message = PeerMessage { beat: Some(beat), ..PeerMessage::default() };
        self.counters.beats += self.neighbours.len() as u64;
        self.freed.extend(self.neighbours.iter().map(|node| (*node, message.clone())));
    }

    /// Forgets a replica: whatever it had under way is dropped, and its messages are garbage from now on. False when there
    /// was none. The store forgets it apart from this, and only afterwards may the shard be added again.
    pub fn remove(&mut self, shard: u32) -> bool {
        self.saves.end(shard);
        self.touched.remove(&shard);
        self.freed.retain(|(_, message)| message.shard != shard);
        self.in_flight.iter_mut().for_each(|(_, readies)| readies.retain(|(written, _)| *written != shard));
        self.groups.remove(&shard).is_some()
    }

    /// Whether shards with nothing to do may fall asleep: no ticks, no heartbeats. Off at first; every node of the cluster
    /// must know it.
    pub fn set_sleep(&mut self, may_sleep: bool) {
        if mem::replace(&mut self.may_sleep, may_sleep) && !may_sleep {
            self.stir(|_| true);
        }
    }

    /// Wakes groups; those that are awake count as busy.
    fn stir(&mut self, which: impl Fn(&Group<M>) -> bool) {
        for (shard, group) in &mut self.groups {
            if which(group) {
                group.stir(&self.beats);
                self.touched.insert(*shard);
            }
        }
    }

    /// A message from a node. Garbage is counted; so is what another node says in its name.
    pub fn step_from(&mut self, node: u64, message: &PeerMessage) {
        self.counters.messages_in += 1;
        if let Some(beat) = message.beat {
            self.counters.garbage += u64::from(node == self.config.node || !self.beats.hear(node, beat));
            return;
        }
        let shard = message.shard;
        let Some(group) = self.groups.get_mut(&shard).filter(|group| !group.failed) else {
            self.counters.garbage += 1;
            return;
        };
        if let Some(word) = message.sleep {
            if self.may_sleep {
                let slept = group.is_asleep();
                group.step_sleep(&self.config, &self.beats, node, word, &mut self.freed);
                self.counters.sleeps += u64::from(!slept && group.is_asleep());
            }
            return;
        }
        // Copied out of the received buffer: the log keeps entries for long, and the buffer is large.
        let raft = Message::parse_from_bytes(&message.raft).ok().filter(|raft| raft.from == node);
        let taken = raft.is_some_and(|mut raft| {
            if !message.snapshot.is_empty() {
                raft.mut_snapshot().data = message.snapshot.clone();
            }
            group.step(raft, self.config.node, &self.beats)
        });
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
                group.stir(&self.beats);
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
        group.stir(&self.beats);
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
            if group.members().contains(&node) {
                group.stir_leader(&self.beats);
                group.unreachable(node);
                self.touched.insert(*shard);
            }
        }
    }

    /// A snapshot for a node was delivered to it, or cannot be.
    pub fn snapshot_done(&mut self, shard: u32, to: u64, ok: bool) {
        if let Some(group) = self.groups.get_mut(&shard) {
            group.snapshot_done(to, ok);
            group.stir_leader(&self.beats);
            self.touched.insert(shard);
        }
    }

    /// Hands leadership to a voter; `None` chooses the one that is furthest. No effect unless this replica leads; the
    /// outcome shows in [`Drained::roles`].
    pub fn transfer_leadership(&mut self, shard: u32, to: Option<u64>) {
        if let Some(group) = self.groups.get_mut(&shard) {
            group.transfer(to, &mut self.counters);
            group.stir_leader(&self.beats);
            self.touched.insert(shard);
        }
    }

    /// Changes who is in the group: by joint consensus whenever votes are touched. Steps that are so already are left
    /// out. The outcome shows in [`Host::status`].
    ///
    /// # Errors
    /// When it was not taken; [`ProposeError::Busy`] while another change is under way, [`ProposeError::Senseless`] when the
    /// leader itself would lose its vote: another has to lead first.
    pub fn change_members(&mut self, shard: u32, steps: &[Membership]) -> Result<(), ProposeError> {
        let group = self.groups.get_mut(&shard).ok_or(ProposeError::UnknownShard)?;
        group.change_members(steps)?;
        group.stir(&self.beats);
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
