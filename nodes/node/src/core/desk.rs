//! What the leader of a tenant's shard keeps beside the tenant's state: who waits for which outcome, what is on its way into
//! the log (`batches.rs`) and at what time (`shard_time.rs`), who watches and whose lease runs (`watchers.rs`). All of it may
//! be lost at any time: senders ask again, gateways watch again.

mod batches;
mod shard_time;
mod watchers;

use std::collections::BTreeMap;

use prost::Message as _;
use proto::v1::{
    AdvanceClock, Batch, Command, CommandId, Logged, NotLeader, Outcome, RejectionCode, SetRules, Submission, TakeLead,
    TraceContext, Unavailable, WatchRequest, command, outcome,
};

use super::{
    ClientKey, Effects, SpanFact, WatcherKey,
    replies::{outcome_of, rejected},
};
use crate::machine::TenantOutput;
use batches::{Batches, Place};
use shard_time::ShardTime;
use watchers::Watchers;

/// Bounds and times of a desk.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Commands that may wait for their outcome; one more is answered Unavailable.
    pub pending_max: usize,
    /// Bytes of one command; a larger one is refused.
    pub command_bytes_max: usize,
    /// Watch streams; one more is closed at once.
    pub watchers_max: usize,
    /// Commands in one log entry.
    pub batch_commands_max: usize,
    /// A batch is closed when its commands have so many bytes.
    pub batch_bytes_max: usize,
    /// Batches proposed and not yet applied. Few of them, so that a busy moment makes larger ones.
    pub batches_in_flight_max: usize,
    /// While commands keep coming, a batch waits for others for so long, microseconds: a lonely batch costs a
    /// millisecond of CPU across three nodes. A command after a pause never waits.
    pub batch_window_us: u64,
    /// A gateway whose Watch stream has ended and that opens no other one for so long is lost, microseconds.
    pub lease_us: u64,
    /// The same when it is the leader that has changed: gateways must find it first, microseconds.
    pub find_leader_us: u64,
    /// How often a watcher hears that we still lead, microseconds.
    pub keep_alive_us: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_max: 20_000,
            command_bytes_max: 16 << 20,
            watchers_max: 1_000,
            batch_commands_max: 512,
            batch_bytes_max: 1 << 20,
            batches_in_flight_max: 2,
            batch_window_us: 8_000,
            lease_us: 700_000,
            find_leader_us: 3_000_000,
            keep_alive_us: 200_000,
        }
    }
}

/// Why a command of the cluster's own is refused.
pub(crate) const NOT_FOR_CLIENTS: &str = "not for clients";

type Id = (u64, u64);

/// Someone waits for the outcome of a command.
#[derive(Debug)]
struct Pending {
    asker: Asker,
    since_us: u64,
    trace: Option<TraceContext>,
    in_flight: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Client(ClientKey),
    /// An AttachGateway of ours: its watcher is told everything once it is applied.
    Attach(WatcherKey),
    /// Nobody: a TakeLead of ours, which shard time waits for.
    Time,
    /// Nobody: the rules of a shard that is new.
    Rules,
    /// Nobody: a LoseGateway of ours.
    Nobody,
}

#[derive(Debug, Default)]
struct Owed {
    take_lead: bool,
    rules: bool,
}

/// A log entry to propose, and the commands in it.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) data: Vec<u8>,
    pub(super) commands: Vec<Id>,
}

#[derive(Debug)]
pub(super) struct Desk {
    tenant: u32,
    /// Where it lives; the shard whose log takes its commands.
    home: u32,
    limits: Limits,
    lead: bool,
    sender: u64,
    number: u64,
    pending: BTreeMap<Id, Pending>,
    time: ShardTime,
    /// Commands of ours that are not in the log although they should be: put again at the next tick.
    owed: Owed,
    batches: Batches,
    watchers: Watchers,
}

impl Desk {
    pub(super) fn new(tenant: u32, sender: u64, limits: Limits) -> Self {
        Self {
            tenant,
            home: 0,
            limits,
            lead: false,
            sender,
            number: 0,
            pending: BTreeMap::new(),
            time: ShardTime::default(),
            owed: Owed::default(),
            batches: Batches::new(limits),
            watchers: Watchers::new(limits),
        }
    }

    pub(super) const fn home(&self) -> u32 {
        self.home
    }

    pub(super) const fn leads(&self) -> bool {
        self.lead
    }

    /// Every gateway that the shard knows gets time to find the new leader.
    pub(super) fn take_lead(&mut self, now_us: u64, home: u32, shard: &acd::Shard) {
        (self.lead, self.home) = (true, home);
        self.watchers.wait_for_all(now_us, shard);
        self.time.begin(now_us, shard.now().saturating_mul(1_000));
        self.enqueue_take_lead(now_us);
        // A tenant that nobody has configured has nothing that other rules could change under. Later ones come from the
        // directory, which knows what every node can follow.
        if shard.config_version() == 0 && shard.rules() < acd::RULES_BEFORE {
            self.enqueue_first_rules(now_us);
        }
    }

    /// The node's clock was not read for so long, or was set ahead, and shows `now_us`: neither who rings nor a gateway that
    /// has gone is held to a time in which nobody was heard.
    pub(super) fn leapt(&mut self, now_us: u64, by_us: u64) {
        self.watchers.leapt(by_us);
        let held = self.time.hold(by_us);
        let waits = |pending: &Pending| pending.asker == Asker::Time && !pending.in_flight;
        if held && !self.owed.take_lead && !self.pending.values().any(waits) {
            // As far as time has passed it has passed for those who ring too: only what was leapt over is given to them.
            self.enqueue_own(now_us, Asker::Nobody, command::Kind::AdvanceClock(AdvanceClock {}));
            self.enqueue_take_lead(now_us);
        }
    }

    /// Whether something waits to be proposed.
    pub(super) fn is_busy(&self) -> bool {
        self.batches.is_busy()
    }

    /// What was proposed may or may not be committed by the next leader; senders ask again with the same ids.
    pub(super) fn lose_lead(&mut self, next: &NotLeader, effects: &mut Effects) {
        for (id, pending) in std::mem::take(&mut self.pending) {
            if let Asker::Client(client) = pending.asker {
                let result = if pending.in_flight {
                    outcome::Result::Unavailable(Unavailable { detail: "the leader changed".into() })
                } else {
                    outcome::Result::NotLeader(next.clone())
                };
                effects.outcomes.entry(client).or_default().push(outcome_of(Some(wire(id)), self.tenant, result));
            }
        }
        self.watchers.close_all(next, effects);
        *self = Self { number: self.number, ..Self::new(self.tenant, self.sender, self.limits) };
    }

    /// Takes a command in.
    ///
    /// # Errors
    /// The outcome, when it is known at once.
    pub(super) fn submit(&mut self, now_us: u64, client: ClientKey, submission: Submission) -> Result<(), Outcome> {
        let Submission { id, settled_below, command, trace, .. } = submission;
        let (Some(id), Some(command)) = (id, command) else {
            return Err(rejected(id, self.tenant, RejectionCode::Invalid, "a submission needs an id and a command"));
        };
        if !may_be_submitted(&command) {
            return Err(rejected(Some(id), self.tenant, RejectionCode::Invalid, NOT_FOR_CLIENTS));
        }
        if let Some(known) = self.pending.get_mut(&(id.sender, id.number)) {
            // The same command again, over another stream perhaps: whoever asked last gets the outcome.
            known.asker = Asker::Client(client);
            return Ok(());
        }
        if self.pending.len() >= self.limits.pending_max {
            let detail = format!("{} commands wait already", self.limits.pending_max);
            let result = outcome::Result::Unavailable(Unavailable { detail });
            return Err(outcome_of(Some(id), self.tenant, result));
        }
        let trace = trace.filter(|trace| !trace.traceparent.is_empty());
        let logged = Logged { id: Some(id), settled_below, trace, command: Some(command) };
        if logged.encoded_len() > self.limits.command_bytes_max {
            return Err(rejected(Some(id), self.tenant, RejectionCode::LimitReached, "command_bytes_max"));
        }
        self.enqueue(now_us, Asker::Client(client), logged);
        Ok(())
    }

    fn enqueue(&mut self, now_us: u64, asker: Asker, logged: Logged) {
        let id = logged.id.as_ref().map_or((0, 0), |id| (id.sender, id.number));
        let trace = logged.trace.clone();
        self.pending.insert(id, Pending { asker, since_us: now_us, trace, in_flight: false });
        self.batches.push(logged, if asker == Asker::Time { Place::First } else { Place::Any });
    }

    fn enqueue_take_lead(&mut self, now_us: u64) {
        self.enqueue_own(now_us, Asker::Time, command::Kind::TakeLead(TakeLead {}));
    }

    fn enqueue_first_rules(&mut self, now_us: u64) {
        let version = acd::RULES_BEFORE;
        self.enqueue_own(now_us, Asker::Rules, command::Kind::SetRules(SetRules { version }));
    }

    fn enqueue_own(&mut self, now_us: u64, asker: Asker, kind: command::Kind) {
        self.number += 1;
        // Ours are never sent again, so all earlier ones are settled.
        let (id, settled_below) = (CommandId { sender: self.sender, number: self.number }, self.number);
        let command = Some(Command { kind: Some(kind) });
        self.enqueue(now_us, asker, Logged { id: Some(id), settled_below, trace: None, command });
    }

    pub(super) fn forget_client(&mut self, client: ClientKey) {
        for pending in self.pending.values_mut().filter(|pending| pending.asker == Asker::Client(client)) {
            pending.asker = Asker::Nobody;
        }
    }

    pub(super) fn watch(&mut self, now_us: u64, key: WatcherKey, request: WatchRequest, effects: &mut Effects) {
        match self.watchers.open(now_us, key, request) {
            Some(attach) => self.enqueue_own(now_us, Asker::Attach(key), command::Kind::AttachGateway(attach)),
            None => effects.unwatch.push(key),
        }
    }

    pub(super) fn unwatch(&mut self, now_us: u64, key: WatcherKey) {
        self.watchers.end(now_us, key);
    }

    /// Deadlines of the shard, leases, keep-alives.
    pub(super) fn tick(&mut self, now_us: u64, shard: &acd::Shard, effects: &mut Effects) {
        let owed = std::mem::take(&mut self.owed);
        if owed.take_lead {
            self.enqueue_take_lead(now_us);
        }
        if owed.rules {
            self.enqueue_first_rules(now_us);
        }
        let shard_us = self.time.read(now_us);
        if shard.next_deadline().is_some_and(|at_ms| at_ms.saturating_mul(1_000) <= shard_us) {
            self.batches.move_the_clock();
        }
        for lose in self.watchers.lapsed(now_us, shard) {
            self.enqueue_own(now_us, Asker::Nobody, command::Kind::LoseGateway(lose));
        }
        self.watchers.keep_alive(now_us, shard, effects);
    }

    /// The next log entry, encoded, if one should be proposed at this time.
    pub(super) fn take_batch(&mut self, now_us: u64) -> Option<Proposal> {
        let taken = self.batches.take(now_us)?;
        let commands: Vec<Id> =
            taken.iter().filter_map(|logged| logged.id.as_ref()).map(|id| (id.sender, id.number)).collect();
        for id in &commands {
            if let Some(pending) = self.pending.get_mut(id) {
                pending.in_flight = true;
                if pending.asker == Asker::Time {
                    self.time.let_go();
                }
            }
        }
        let at_ms = self.time.read(now_us) / 1_000;
        // A shard's own tenant is not named, as no release named it.
        let tenant = if self.tenant == self.home { 0 } else { self.tenant };
        Some(Proposal { data: Batch { at_ms, commands: taken, tenant, ..Batch::default() }.encode_to_vec(), commands })
    }

    /// When the waiting commands should go, if there are any and a place is free for them.
    pub(super) fn next_wake(&self) -> Option<u64> {
        self.batches.next_wake()
    }

    /// Consensus did not take the batch (a hand-over is going on): whoever asked must ask again, and so do we.
    pub(super) fn batch_refused(&mut self, now_us: u64, refused: Vec<Id>, effects: &mut Effects) {
        self.batches.one_is_over();
        for id in refused {
            match self.pending.remove(&id).map(|pending| pending.asker) {
                Some(Asker::Client(client)) => {
                    let detail = "leadership is being handed over".into();
                    let result = outcome::Result::Unavailable(Unavailable { detail });
                    effects.outcomes.entry(client).or_default().push(outcome_of(Some(wire(id)), self.tenant, result));
                }
                // Never attached, it would wait for its orders for ever.
                Some(Asker::Attach(key)) => {
                    self.watchers.end(now_us, key);
                    effects.unwatch.push(key);
                }
                Some(Asker::Time) => {
                    self.time.take_back();
                    self.owed.take_lead = true;
                }
                Some(Asker::Rules) => self.owed.rules = true,
                Some(Asker::Nobody) | None => {}
            }
        }
    }

    /// An entry of this tenant has been applied while we lead. `shard` is its state, unless a later entry has sealed it.
    pub(super) fn applied(
        &mut self,
        now_us: u64,
        output: TenantOutput,
        shard: Option<&acd::Shard>,
        effects: &mut Effects,
    ) {
        self.batches.one_is_over();
        if let Some(shard) = shard {
            self.watchers.tell_changes(now_us, output.orders, shard, effects);
        }
        for (id, result) in output.outcomes {
            let Some(pending) = self.pending.remove(&id) else { continue };
            if let Some(trace) = &pending.trace {
                let span = |name, from_us| SpanFact {
                    name,
                    traceparent: trace.traceparent.clone(),
                    shard: self.tenant,
                    from_us,
                    to_us: now_us,
                };
                effects.spans.push(span("commit", pending.since_us));
                effects.spans.push(span("apply", now_us));
            }
            match pending.asker {
                Asker::Client(client) => {
                    let result = result.map_or_else(outcome::Result::Rejection, outcome::Result::Accepted);
                    effects.outcomes.entry(client).or_default().push(outcome_of(Some(wire(id)), self.tenant, result));
                }
                Asker::Attach(key) => {
                    self.watchers.attached(now_us, key, shard.filter(|_| result.is_ok()), effects);
                }
                // Refused by the tenant itself, which has no room to remember us: nor did its time move.
                Asker::Time if result.is_err() => {
                    self.time.take_back();
                    self.owed.take_lead = true;
                }
                Asker::Rules if result.is_err() => self.owed.rules = true,
                Asker::Time | Asker::Rules | Asker::Nobody => {}
            }
        }
    }
}

/// Leases and the clock are the leader's own business. Rules come from the directory, and never ones that would stop us.
const fn may_be_submitted(command: &Command) -> bool {
    match &command.kind {
        None
        | Some(
            command::Kind::AttachGateway(_)
            | command::Kind::LoseGateway(_)
            | command::Kind::TakeLead(_)
            | command::Kind::AdvanceClock(_),
        ) => false,
        Some(command::Kind::SetRules(set)) => set.version <= acd::RULES,
        Some(_) => true,
    }
}

const fn wire((sender, number): Id) -> CommandId {
    CommandId { sender, number }
}
