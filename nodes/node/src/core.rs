//! The leader's desk of every shard this actor owns: who asked what, who is told what, when the clock must move.
//! It has no IO, no clock and no dice: an actor in production and a simulator in tests feed it and carry out its
//! [`Effects`]. It never looks inside a call.

mod desk;

use std::{collections::BTreeMap, mem};

use cluster::{Applied, Host, PeerMessage, Persisted, ProposeError, RoleChange, WriteBatch};
use prost::Message as _;
use proto::v1::{
    Ask, DirectoryEntry, NotLeader, Order, Outcome, Record, RejectionCode, Submission, Unavailable, WatchReply,
    WatchRequest, outcome,
};

use desk::Desk;
pub use desk::Limits;
pub(crate) use desk::NOT_FOR_CLIENTS;

use crate::{
    machine::{Output, Replica, ShardMachine},
    members::Members,
};

/// Names one Submit stream, for as long as it is open.
pub type ClientKey = u64;
/// Names one Watch stream.
pub type WatcherKey = u64;
/// Names one question that waits for a read index.
pub type AskToken = u64;

/// What the shell has to do after a burst of inputs, each list in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// To the log writer.
    pub write: Option<WriteBatch>,
    /// To peers.
    pub messages: Vec<(u64, PeerMessage)>,
    /// To Submit streams.
    pub outcomes: BTreeMap<ClientKey, Vec<Outcome>>,
    /// To Watch streams.
    pub watch: Vec<(WatcherKey, WatchReply)>,
    /// Watch streams to close after the above.
    pub unwatch: Vec<WatcherKey>,
    /// Questions that may be answered from the machine now.
    pub answerable: Vec<(u32, AskToken)>,
    /// Questions that this node must not answer.
    pub unanswerable: Vec<(u32, AskToken)>,
    /// To be written down: shard, log index, records.
    pub records: Vec<(u32, u64, Vec<Record>)>,
    /// Shards whose machine was replaced by a leader's snapshot, and its index: this node has no records of the entries
    /// that it took in.
    pub restored: Vec<(u32, u64)>,
    /// Questions to choosers, of shards that this node leads.
    pub asks: Vec<(u32, Ask)>,
    /// Directory entries of this node that are decided: id and result.
    pub decided: Vec<(u64, Result<(), proto::v1::Rejection>)>,
    /// Shard 0 has changed.
    pub directory_changed: bool,
    /// Shards whose leadership this node has gained.
    pub gained: Vec<u32>,
    /// Spans of traced commands.
    pub spans: Vec<SpanFact>,
    /// Commands applied by this replica, for metrics.
    pub commands_applied: u64,
    /// There is more to do at once.
    pub again: bool,
}

/// A piece of a call's trace, told after the fact. Times are Unix microseconds; the core has no clock, so the shell
/// moves the end of `apply` to when the burst was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanFact {
    /// What happened: `commit` or `apply`.
    pub name: &'static str,
    /// W3C parent.
    pub traceparent: String,
    /// Shard.
    pub shard: u32,
    /// When it began.
    pub from_us: u64,
    /// When it was over.
    pub to_us: u64,
}

/// All shards of one actor. Its machines are [`ShardMachine`]s, or, in the simulator, such in a coat that watches them.
pub struct Core<M: Replica = ShardMachine> {
    host: Host<M>,
    desks: BTreeMap<u32, Desk>,
    members: Members,
    effects: Effects,
    now_us: u64,
}

impl<M: Replica> Core<M> {
    /// A core that owns what `host` owns. `sender` is drawn at random by the shell and names this process's commands.
    #[must_use]
    pub fn new(host: Host<M>, shards: &[u32], members: Members, sender: u64, limits: Limits) -> Self {
        let desks = shards.iter().map(|&shard| (shard, Desk::new(shard, sender ^ u64::from(shard), limits))).collect();
        Self { host, desks, members, effects: Effects::default(), now_us: 0 }
    }

    /// Moves the time of all later inputs; it never goes backwards.
    pub fn set_now(&mut self, unix_us: u64) {
        self.now_us = self.now_us.max(unix_us);
    }

    /// One Raft tick, and everything that time decides.
    pub fn tick(&mut self) {
        self.host.tick();
        for desk in self.desks.values_mut().filter(|desk| desk.leads()) {
            let machine = self.host.machine(desk.shard()).map(M::shard).expect("a desk has a machine");
            desk.tick(self.now_us, machine, &mut self.effects);
        }
    }

    /// Messages from a peer, by its number.
    pub fn step(&mut self, from: u64, messages: Vec<PeerMessage>) {
        for message in messages {
            self.host.step_from(from, &message);
        }
    }

    /// What became of a snapshot for a node.
    pub fn snapshot_done(&mut self, shard: u32, to: u64, ok: bool) {
        self.host.snapshot_done(shard, to, ok);
    }

    /// Whether idle shards may sleep: every node of the cluster must know it.
    pub fn set_sleep(&mut self, may_sleep: bool) {
        self.host.set_sleep(may_sleep);
    }

    /// The log writer has made a batch durable.
    pub fn persisted(&mut self, done: Persisted) {
        self.host.persisted(done);
    }

    /// A peer cannot be reached.
    pub fn unreachable(&mut self, node: u64) {
        self.host.unreachable(node);
    }

    /// Commands from one Submit stream.
    pub fn submit(&mut self, client: ClientKey, submissions: Vec<Submission>) {
        for submission in submissions {
            let shard = submission.shard;
            let refusal = match self.desks.get_mut(&shard) {
                Some(desk) if shard != 0 && desk.leads() => match desk.submit(self.now_us, client, submission) {
                    Ok(()) => continue,
                    Err(refusal) => refusal,
                },
                Some(_) if shard != 0 => {
                    let not_leader = not_leader(&self.host, &self.members, shard);
                    outcome_of(submission.id, shard, outcome::Result::NotLeader(not_leader))
                }
                Some(_) | None => {
                    let detail = format!("shard {shard} takes no commands here");
                    outcome_of(submission.id, shard, outcome::Result::Unavailable(Unavailable { detail }))
                }
            };
            self.effects.outcomes.entry(client).or_default().push(refusal);
        }
    }

    /// A Submit stream has ended: nobody waits for its outcomes.
    pub fn forget_client(&mut self, client: ClientKey) {
        self.desks.values_mut().for_each(|desk| desk.forget_client(client));
    }

    /// A gateway asks for its orders: attach it, then tell all of them, then each change.
    pub fn watch(&mut self, key: WatcherKey, request: WatchRequest) {
        let shard = request.shard;
        match self.desks.get_mut(&shard) {
            Some(desk) if shard != 0 && desk.leads() => desk.watch(self.now_us, key, request, &mut self.effects),
            Some(_) | None => {
                let not_leader = not_leader(&self.host, &self.members, shard);
                self.effects.watch.push((key, desk::watch_reply(not_leader)));
                self.effects.unwatch.push(key);
            }
        }
    }

    /// A Watch stream has ended: its gateway's lease runs from here.
    pub fn unwatch(&mut self, key: WatcherKey) {
        self.desks.values_mut().for_each(|desk| desk.unwatch(self.now_us, key));
    }

    /// A question that only the leader may answer. Ends in `answerable` or `unanswerable`.
    pub fn ask(&mut self, shard: u32, token: AskToken) {
        if self.host.read(shard, token).is_err() {
            self.effects.unanswerable.push((shard, token));
        }
    }

    /// Proposes a change of the directory.
    ///
    /// # Errors
    /// Who leads instead, or that the shard is busy.
    pub fn propose_directory(&mut self, mut entry: DirectoryEntry) -> Result<(), NotLeader> {
        entry.at_ms = self.now_us / 1_000;
        self.host.propose(0, entry.encode_to_vec()).map_err(|error| match error {
            ProposeError::NotLeader { .. }
            | ProposeError::Busy
            | ProposeError::UnknownShard
            | ProposeError::Senseless => not_leader(&self.host, &self.members, 0),
        })
    }

    /// Hands every led shard to another replica: before a planned stop.
    pub fn hand_over(&mut self) {
        let led: Vec<_> = self.desks.values().filter(|desk| desk.leads()).map(Desk::shard).collect();
        for shard in led {
            self.host.transfer_leadership(shard, None);
        }
    }

    /// Whether any shard is led here.
    #[must_use]
    pub fn leads_any(&self) -> bool {
        self.desks.values().any(Desk::leads)
    }

    /// Whether this node may speak for the shard.
    #[must_use]
    pub fn leads(&self, shard: u32) -> bool {
        self.desks.get(&shard).is_some_and(Desk::leads)
    }

    /// The machine of a shard, to answer questions from.
    #[must_use]
    pub fn machine(&self, shard: u32) -> Option<&ShardMachine> {
        self.host.machine(shard).map(M::shard)
    }

    /// Consensus, for people.
    #[must_use]
    pub const fn host(&self) -> &Host<M> {
        &self.host
    }

    /// Who leads a shard, for those who must ask there.
    #[must_use]
    pub fn leader_of(&self, shard: u32) -> NotLeader {
        not_leader(&self.host, &self.members, shard)
    }

    /// When `drain` should be called although nothing came in, Unix microseconds.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        self.desks.values().filter_map(Desk::next_wake).min()
    }

    /// Proposes what is waiting, runs consensus and says what to do. Call it after a burst of inputs, and once more
    /// when the effects say `again`.
    ///
    /// # Panics
    /// When a snapshot of the leader cannot be read: going on would split the shard.
    pub fn drain(&mut self) -> Effects {
        self.propose_waiting();
        let drained = self.host.drain();
        if let Some(failure) = drained.failures.first() {
            panic!("shard {} cannot be restored: {}", failure.shard, failure.error);
        }
        for role in drained.roles {
            self.role_changed(&role);
        }
        for applied in drained.applied {
            self.applied(applied);
        }
        for established in drained.established {
            self.established(established.shard);
        }
        let mut effects = mem::take(&mut self.effects);
        effects.write = drained.write;
        effects.messages = drained.messages;
        effects.answerable.extend(drained.reads.into_iter().map(|read| (read.shard, read.token)));
        effects.unanswerable.extend(drained.failed_reads.into_iter().map(|read| (read.shard, read.token)));
        effects.restored.extend(drained.restored.iter().map(|restored| (restored.shard, restored.index)));
        effects.directory_changed |= drained.restored.iter().any(|restored| restored.shard == 0);
        // What was applied may have made room for the next batch.
        effects.again = self.host.has_work() || self.next_wake().is_some_and(|at| at <= self.now_us);
        effects
    }

    fn propose_waiting(&mut self) {
        for desk in self.desks.values_mut().filter(|desk| desk.leads()) {
            while let Some(proposal) = desk.take_batch(self.now_us) {
                if self.host.propose(desk.shard(), proposal.data).is_err() {
                    desk.batch_refused(self.now_us, proposal.commands, &mut self.effects);
                }
            }
        }
    }

    /// The first entry of our own term is applied, so everything before it is: from here on we may speak for the shard.
    fn established(&mut self, shard: u32) {
        let Some(desk) = self.desks.get_mut(&shard) else { return };
        if !desk.leads() {
            let machine = self.host.machine(shard).map(M::shard).expect("a desk has a machine");
            desk.take_lead(self.now_us, machine);
            self.effects.gained.push(shard);
            let asks = self.machine(shard).map(ShardMachine::standing_asks).unwrap_or_default();
            self.effects.asks.extend(asks.into_iter().map(|ask| (shard, ask)));
        }
    }

    fn role_changed(&mut self, role: &RoleChange) {
        let Some(desk) = self.desks.get_mut(&role.shard) else { return };
        if desk.leads() && !role.is_leader {
            let not_leader = not_leader(&self.host, &self.members, role.shard);
            desk.lose_lead(&not_leader, &mut self.effects);
        }
    }

    fn applied(&mut self, applied: Applied<Output>) {
        let Applied { shard, index, output, .. } = applied;
        match output {
            Output::Directory { id, result, audit } => {
                // Who changed what is nothing that anybody follows.
                self.effects.directory_changed |= audit.is_none();
                self.effects.records.extend(audit.map(|record| (shard, index, vec![record])));
                self.effects.decided.push((id, result));
            }
            Output::Tenant(mut output) => {
                self.effects.commands_applied += output.outcomes.len() as u64;
                let records = mem::take(&mut output.records);
                if !records.is_empty() {
                    self.effects.records.push((shard, index, records));
                }
                let desk = self.desks.get_mut(&shard).expect("an applied shard has a desk");
                if desk.leads() {
                    self.effects.asks.extend(mem::take(&mut output.asks).into_iter().map(|ask| (shard, ask)));
                    let machine = self.host.machine(shard).map(M::shard).expect("a desk has a machine");
                    desk.applied(self.now_us, output, machine, &mut self.effects);
                }
            }
        }
    }
}

fn not_leader<M: Replica>(host: &Host<M>, members: &Members, shard: u32) -> NotLeader {
    let leader = host.status(shard).and_then(|status| status.leader);
    leader.and_then(|number| members.get(number)).map_or_else(NotLeader::default, |member| NotLeader {
        leader: member.id.clone(),
        endpoint: member.endpoint.clone(),
    })
}

fn outcome_of(id: Option<proto::v1::CommandId>, shard: u32, result: outcome::Result) -> Outcome {
    Outcome { id, shard, result: Some(result) }
}

fn rejected(id: Option<proto::v1::CommandId>, shard: u32, code: RejectionCode, detail: &str) -> Outcome {
    let rejection = proto::v1::Rejection { code: code.into(), detail: detail.to_owned() };
    outcome_of(id, shard, outcome::Result::Rejection(rejection))
}

/// Orders in one message to a gateway; more go into the next.
pub(crate) const ORDERS_PER_MESSAGE: usize = 1_000;

fn in_messages(orders: Vec<Order>) -> impl Iterator<Item = WatchReply> {
    let mut orders = orders.into_iter().peekable();
    std::iter::from_fn(move || {
        orders.peek()?;
        Some(desk::orders_reply(orders.by_ref().take(ORDERS_PER_MESSAGE).collect()))
    })
}

#[cfg(test)]
mod tests;
