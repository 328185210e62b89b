//! Three cores and everything around them, as small as it can be. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Host, HostConfig, Machine as _, MemoryStore, PeerMessage, Store as _};
use prost::Message as _;
use proto::v1::{
    Agent, Ask, Batch, Chooser, Command, CommandId, Configure, Document, Logged, Membership, Number, Order, Outcome,
    Queue, RejectionCode, Strategy, Submission, WatchReply, WatchRequest, command, document, order, outcome,
    watch_reply,
};

use crate::{
    core::{ClientKey, Core, Limits, WatcherKey},
    machine::{ShardMachine, gateways, standing_orders},
    members::Members,
};

pub(super) const SHARD: u32 = 1;
const TICK_US: u64 = 20_000;
const START_US: u64 = 1_700_000_000_000_000;

/// The usual limits, with a lease that does not make stories long.
pub(super) fn limits() -> Limits {
    Limits { lease_us: 400_000, find_leader_us: 400_000, ..Limits::default() }
}

pub(super) fn submission(id: CommandId, kind: command::Kind) -> Submission {
    let command = Some(Command { kind: Some(kind) });
    Submission { shard: SHARD, id: Some(id), settled_below: 0, command, trace: None }
}

pub(super) fn accepted(outcomes: &[Outcome]) -> bool {
    matches!(outcomes, [Outcome { result: Some(outcome::Result::Accepted(_)), .. }])
}

pub(super) fn rejection(outcome: &Outcome) -> Option<RejectionCode> {
    match &outcome.result {
        Some(outcome::Result::Rejection(rejection)) => Some(rejection.code()),
        _ => None,
    }
}

pub(super) struct Trio {
    cores: Vec<Core>,
    stores: Vec<MemoryStore>,
    now_us: u64,
    /// How far each node's clock is ahead.
    ahead_us: [u64; 3],
    cut: BTreeSet<usize>,
    outcomes: BTreeMap<ClientKey, Vec<Outcome>>,
    replies: BTreeMap<WatcherKey, Vec<WatchReply>>,
    closed: BTreeSet<WatcherKey>,
    number: u64,
    asks: Vec<(usize, u32, Ask)>,
    commands_applied: [u64; 3],
    restored: BTreeSet<usize>,
    /// A node applied entries while it was saving.
    saved_between_entries: bool,
}

impl Trio {
    pub(super) fn new(limits: Limits) -> Self {
        Self::with_snapshots(limits, HostConfig::new(1).snapshot_entries)
    }

    /// A snapshot every so many entries, and as few kept behind it.
    pub(super) fn with_snapshots(limits: Limits, snapshot_entries: u64) -> Self {
        let config = |number| HostConfig {
            snapshot_entries,
            entries_kept: HostConfig::new(number).entries_kept.min(snapshot_entries),
            ..HostConfig::new(number)
        };
        Self::of(limits, config, || ShardMachine::new(SHARD))
    }

    /// As if a release that knew the first rules only had begun it.
    pub(super) fn of_earlier_rules(limits: Limits) -> Self {
        Self::of(limits, HostConfig::new, || {
            let mut machine = ShardMachine::new(SHARD);
            let configure = command::Kind::Configure(Configure { version: 1, documents: Vec::new() });
            let logged = Logged {
                command: Some(Command { kind: Some(configure) }),
                id: Some(CommandId::default()),
                ..Logged::default()
            };
            machine.apply(
                1,
                &Batch { at_ms: START_US / 1_000, commands: vec![logged], ..Batch::default() }.encode_to_vec(),
            );
            machine
        })
    }

    fn of(limits: Limits, config: impl Fn(u64) -> HostConfig, machine: impl Fn() -> ShardMachine) -> Self {
        let peers: Vec<_> = (1..=3).map(|number| format!("n{number}=10.0.0.{number}:7000")).collect();
        let members = Members::parse(&peers).expect("three peers");
        let mut stores = vec![MemoryStore::default(), MemoryStore::default(), MemoryStore::default()];
        let cores = (1..)
            .zip(&mut stores)
            .map(|(number, store)| {
                let mut host = Host::new(config(number));
                let recovered = store.recover(SHARD).expect("empty").or_bootstrap(&members.numbers());
                host.add(SHARD, machine(), recovered).expect("added");
                Core::new(host, members.clone(), 1_000 * number, limits)
            })
            .collect();
        Self {
            cores,
            stores,
            now_us: START_US,
            ahead_us: [0; 3],
            cut: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            replies: BTreeMap::new(),
            closed: BTreeSet::new(),
            number: 0,
            asks: Vec::new(),
            commands_applied: [0; 3],
            restored: BTreeSet::new(),
            saved_between_entries: false,
        }
    }

    // Time and the network.

    pub(super) fn run_ms(&mut self, ms: u64) {
        self.run_until_ms(self.now_us / 1_000 + ms);
    }

    pub(super) fn run_until_ms(&mut self, until_ms: u64) {
        self.settle();
        while self.now_us < until_ms * 1_000 {
            let step = 5_000 - self.now_us % 5_000;
            self.now_us = (self.now_us + step).min(until_ms * 1_000);
            for (core, ahead_us) in self.cores.iter_mut().zip(self.ahead_us) {
                core.set_now(self.now_us + ahead_us);
                if self.now_us.is_multiple_of(TICK_US) {
                    core.tick();
                }
            }
            self.settle();
        }
    }

    /// A node's clock is set ahead.
    pub(super) fn leap_ms(&mut self, at: usize, ms: u64) {
        self.ahead_us[at] += ms * 1_000;
    }

    /// Until nobody has anything to say at this moment.
    pub(super) fn settle(&mut self) {
        loop {
            let mut mail = Vec::new();
            let mut again = false;
            for at in 0..self.cores.len() {
                let (messages, more) = self.drain(at);
                mail.extend(messages.into_iter().map(|(to, message)| (at, to, message)));
                again |= more;
            }
            let mail: Vec<_> =
                mail.into_iter().filter(|(from, to, _)| self.connected(*from, *to as usize - 1)).collect();
            if mail.is_empty() && !again {
                return;
            }
            for (from, to, message) in mail {
                self.cores[to as usize - 1].step(from as u64 + 1, vec![message]);
            }
        }
    }

    /// One drain whose messages are lost.
    pub(super) fn drain_only(&mut self, at: usize) {
        self.drain(at);
    }

    fn drain(&mut self, at: usize) -> (Vec<(u64, PeerMessage)>, bool) {
        let core = &mut self.cores[at];
        core.set_now(self.now_us + self.ahead_us[at]);
        let saving = |core: &Core| core.host().status(SHARD).is_some_and(|status| status.saving);
        let before = saving(core);
        let mut effects = core.drain();
        self.saved_between_entries |= before && saving(core) && effects.commands_applied > 0;
        self.asks.extend(effects.asks.drain(..).map(|(shard, ask)| (at, shard, ask)));
        self.commands_applied[at] += effects.commands_applied;
        if !effects.restored.is_empty() {
            self.restored.insert(at);
        }
        let mut again = effects.again;
        if let Some(batch) = effects.write.take() {
            self.stores[at].write(&batch).expect("memory");
            core.persisted(batch.done());
            again = true;
        }
        for (client, outcomes) in effects.outcomes {
            self.outcomes.entry(client).or_default().extend(outcomes);
        }
        for (key, reply) in effects.watch {
            assert!(!self.closed.contains(&key), "a closed stream is told something");
            self.replies.entry(key).or_default().push(reply);
        }
        self.closed.extend(effects.unwatch);
        (effects.messages, again)
    }

    fn connected(&self, from: usize, to: usize) -> bool {
        !self.cut.contains(&from) && !self.cut.contains(&to)
    }

    pub(super) fn cut(&mut self, at: usize) {
        self.cut.insert(at);
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// The leader begins to hand over to somebody whom no message reaches.
    pub(super) fn stall_hand_over(&mut self) {
        let leader = self.leader();
        self.cut.extend((0..3).filter(|at| *at != leader));
        self.cores[leader].hand_over();
    }

    pub(super) fn elect(&mut self) {
        self.wait_for(|trio| trio.cores.iter().any(|core| core.leads(SHARD)));
    }

    /// Until another than the one that is cut off leads.
    pub(super) fn elect_other_than(&mut self, old: usize) {
        self.wait_for(|trio| (0..3).any(|at| at != old && trio.cores[at].leads(SHARD)));
    }

    fn wait_for(&mut self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if condition(self) {
                return;
            }
            self.run_ms(20);
        }
        panic!("it never came");
    }

    pub(super) fn leader(&self) -> usize {
        let leads = |at: &usize| self.cores[*at].leads(SHARD);
        // One that is cut off may not know yet that it leads no more.
        (0..3).filter(leads).min_by_key(|at| self.cut.contains(at)).expect("somebody leads")
    }

    // What clients do.

    pub(super) fn submit(&mut self, client: ClientKey, submission: Submission) {
        self.submit_at(self.leader(), client, submission);
    }

    pub(super) fn submit_at(&mut self, at: usize, client: ClientKey, submission: Submission) {
        self.cores[at].set_now(self.now_us + self.ahead_us[at]);
        self.cores[at].submit(client, vec![submission]);
    }

    /// Submits and waits until it is accepted.
    pub(super) fn do_now(&mut self, kind: command::Kind) {
        self.number += 1;
        let client = 1_000_000 + self.number;
        self.submit(client, submission(CommandId { sender: 1, number: self.number }, kind));
        self.run_ms(20);
        let told = self.outcomes(client);
        assert!(accepted(&told), "{told:?}");
    }

    pub(super) fn watch(&mut self, key: WatcherKey, gateway: &str, incarnation: u64) {
        let leader = self.leader();
        let request = WatchRequest { shard: SHARD, gateway: gateway.into(), incarnation, sip: "10.0.1.1:5060".into() };
        self.cores[leader].set_now(self.now_us + self.ahead_us[leader]);
        self.cores[leader].watch(key, request);
    }

    pub(super) fn unwatch(&mut self, key: WatcherKey) {
        for (core, ahead_us) in self.cores.iter_mut().zip(self.ahead_us) {
            core.set_now(self.now_us + ahead_us);
            core.unwatch(key);
        }
    }

    /// A number, a queue, three agents.
    pub(super) fn configure(&mut self) {
        self.configure_with(1, Queue { name: "q".into(), ring_seconds: 15, ..Queue::default() });
    }

    /// The same with another queue `q`.
    pub(super) fn configure_with(&mut self, version: u64, queue: Queue) {
        let member = || Membership { queue: "q".into(), ..Membership::default() };
        let mut kinds = vec![
            document::Kind::Queue(queue),
            document::Kind::Number(Number { name: "5000".into(), queue: "q".into(), ..Number::default() }),
        ];
        kinds.extend(["a1", "a2", "a3"].map(|name| {
            document::Kind::Agent(Agent {
                name: name.into(),
                contact: format!("sip:{name}@10.0.2.1"),
                queues: vec![member()],
                ..Agent::default()
            })
        }));
        let documents = kinds.into_iter().map(|kind| Document { kind: Some(kind), ..Document::default() }).collect();
        self.do_now(command::Kind::Configure(Configure { version, documents }));
    }

    // What is seen.

    pub(super) fn outcomes(&self, client: ClientKey) -> Vec<Outcome> {
        self.outcomes.get(&client).cloned().unwrap_or_default()
    }

    pub(super) fn replies(&self, key: WatcherKey) -> &[WatchReply] {
        self.replies.get(&key).map_or(&[], Vec::as_slice)
    }

    pub(super) fn in_sync(&self, key: WatcherKey) -> bool {
        self.replies(key).iter().any(|reply| matches!(reply.kind, Some(watch_reply::Kind::InSync(_))))
    }

    pub(super) fn closed(&self, key: WatcherKey) -> bool {
        self.closed.contains(&key)
    }

    /// What a gateway that was told all this believes: of each leg the order of the highest revision, as long as
    /// there is anything to do.
    pub(super) fn told_to(&self, key: WatcherKey) -> BTreeMap<(u64, u32), Order> {
        let mut believed: BTreeMap<(u64, u32), Order> = BTreeMap::new();
        for reply in self.replies(key) {
            let Some(watch_reply::Kind::Orders(orders)) = &reply.kind else { continue };
            for order in &orders.orders {
                let held = believed.get(&(order.call, order.leg));
                if held.is_none_or(|held| held.revision <= order.revision) {
                    believed.insert((order.call, order.leg), order.clone());
                }
            }
        }
        believed.retain(|_, order| !is_end(order));
        believed
    }

    pub(super) fn standing_orders(&self, gateway: &str, incarnation: u64) -> BTreeMap<(u64, u32), Order> {
        let orders = standing_orders(self.tenant(self.leader()), gateway, incarnation).into_iter();
        orders.filter(|order| !is_end(order)).map(|order| ((order.call, order.leg), order)).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.tenant(self.leader()).next_deadline()
    }

    /// By the leader.
    pub(super) fn commands_applied(&self) -> u64 {
        self.commands_applied[self.leader()]
    }

    pub(super) fn shard_now_ms(&self) -> u64 {
        self.tenant(self.leader()).now()
    }

    pub(super) fn gateway_is_up(&self, gateway: &str) -> bool {
        gateways(self.tenant(self.leader())).iter().any(|(id, _)| id == gateway)
    }

    pub(super) fn calls(&self) -> Vec<u64> {
        let filter = acd::view::CallFilter { queue: None, ended: false, limit: 1_000 };
        self.tenant(self.leader()).calls(&filter).into_iter().map(|call| call.call).collect()
    }

    /// Every question to a chooser: the node that asks, the shard, the question.
    pub(super) fn asks(&self) -> Vec<(usize, u32, Ask)> {
        self.asks.clone()
    }

    pub(super) fn rules(&self) -> [u32; 3] {
        [0, 1, 2].map(|at| self.tenant(at).rules())
    }

    pub(super) fn agent_of(&self, call: u64) -> String {
        self.tenant(self.leader()).call(call).map(|call| call.info.agent).unwrap_or_default()
    }

    pub(super) fn restored(&self, at: usize) -> bool {
        self.restored.contains(&at)
    }

    pub(super) const fn saved_between_entries(&self) -> bool {
        self.saved_between_entries
    }

    pub(super) fn replicas_agree(&self) {
        let hashes: BTreeSet<_> = (0..3).map(|at| self.tenant(at).hash()).collect();
        assert_eq!(hashes.len(), 1);
    }

    fn tenant(&self, at: usize) -> &acd::Shard {
        self.cores[at].tenant(SHARD).expect("it lives here")
    }
}

/// `q` asks a program whom to choose.
pub(super) fn chooser_queue() -> Queue {
    Queue {
        name: "q".into(),
        ring_seconds: 15,
        strategy: Strategy::External.into(),
        chooser: Some(Chooser { endpoint: "http://10.0.3.1:80".into(), deadline_ms: 5_000 }),
        ..Queue::default()
    }
}

fn is_end(order: &Order) -> bool {
    matches!(order.want, Some(order::Want::Gone(_)))
}
