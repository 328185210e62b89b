//! A cluster in one thread under one seed: hosts, memory disks, a bad network, crashes. Virtual milliseconds.
//! What must always hold is checked at every step; a violation is a panic that names the seed.

mod clients;
mod faults;
pub(crate) mod ledger;
pub(crate) mod oracle;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use clients::Clients;
use cluster::{Drained, Host, HostConfig, MemoryStore, PeerMessage, Role, Store};
use ledger::{Ledger, REGISTERS, command};
use oracle::Oracle;

use crate::linear::register::{RegisterAnswer, RegisterCall};

const SHARD: u32 = 1;
const TICK_MS: u64 = 20;
/// How long a leader may go on after another one leads: two elections' time and what the slowest clock adds;
const STALE_MS: u64 = 800;
/// and two looks more when it sleeps.
const STALE_ASLEEP_MS: u64 = 2_000;
/// The latest that a message arrives, but for those whose receiver stands still.
const LATE_MS: u64 = 400;
/// Clients that ask at the same time.
const CLIENTS: usize = 5;

/// A bug put in on purpose, to see that it is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// Says that a write is durable when it has only been asked for.
    AcknowledgeBeforeDurable,
    /// Saves what is applied between the slices of a snapshot.
    SaveTooMuch,
    /// Answers reads of whoever believes that it leads, without asking the others.
    ReadWithoutAsking,
    /// Answers reads from any replica.
    ReadAnywhere,
    /// Tells a client that its write is done when it has only been proposed.
    AnswerBeforeCommit,
}

/// What came between two slices of a snapshot, counted, so that it is known to come.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct BetweenSlices {
    pub(crate) applied: u64,
    pub(crate) crashes: u64,
    pub(crate) elections: u64,
    /// The replica was itself given a snapshot.
    pub(crate) restored: u64,
    /// Snapshots made for followers that asked while it was under way.
    pub(crate) offered: u64,
}

/// What came while a replica slept.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Asleep {
    pub(crate) sleeps: u64,
    pub(crate) crashes: u64,
    pub(crate) proposals: u64,
    pub(crate) reads: u64,
    pub(crate) silences: u64,
}

struct Node {
    number: u64,
    /// It was told the first members.
    is_founder: bool,
    /// Until it has what the group had committed.
    has_lost_its_disk: bool,
    tick_ms: u64,
    paused_until: u64,
    /// It leads, and so does another one of a later term.
    stale_since: Option<u64>,
    host: Option<Host<Ledger>>,
    store: MemoryStore,
    /// Raised by each crash: what was under way before it never arrives.
    life: u64,
    tick_phase: u64,
    /// Batches staged and not reported yet.
    writing: Vec<cluster::Persisted>,
    touched: bool,
}

enum Event {
    Deliver {
        from: usize,
        to: usize,
        message: PeerMessage,
    },
    /// A client asks.
    Ask {
        at: usize,
    },
    /// The transport tells the sender what became of a snapshot.
    Snapshot {
        from: usize,
        life: u64,
        to: usize,
        ok: bool,
    },
    Synced {
        node: usize,
        life: u64,
    },
}

pub(crate) struct World {
    seed: u64,
    dice: fastrand::Rng,
    now: u64,
    nodes: Vec<Node>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    /// cut[from][to]
    cut: Vec<Vec<bool>>,
    pub(crate) loss_percent: u64,
    /// All disks take so long.
    pub(crate) flush_ms: Option<u64>,
    /// All snapshots travel so long.
    pub(crate) snapshot_ms: Option<u64>,
    /// A third of the messages are damaged.
    pub(crate) garble: bool,
    sabotage: Sabotage,
    founders: usize,
    pub(crate) may_sleep: bool,
    pub(crate) changes_members: bool,
    aloud: bool,
    pub(crate) oracle: Oracle,
    next_id: u64,
    trace: DefaultHasher,
    pub(crate) crashes: u64,
    pub(crate) wipes: u64,
    pub(crate) elections: u64,
    pub(crate) snapshots: u64,
    pub(crate) between: BetweenSlices,
    pub(crate) asleep: Asleep,
    pub(crate) pauses: u64,
    pub(crate) changes: u64,
    pub(crate) clients: Clients,
    pub(crate) messages: u64,
}

impl World {
    pub(crate) fn new(seed: u64, size: usize, sabotage: Sabotage) -> Self {
        Self::with_spares(seed, size, 0, sabotage)
    }

    /// So many nodes found the group; the spares wait to be asked into it.
    pub(crate) fn with_spares(seed: u64, founders: usize, spares: usize, sabotage: Sabotage) -> Self {
        let size = founders + spares;
        let mut dice = fastrand::Rng::with_seed(seed);
        let nodes = (0..size)
            .map(|at| Node {
                number: at as u64 + 1,
                is_founder: at < founders,
                has_lost_its_disk: false,
                tick_ms: TICK_MS,
                paused_until: 0,
                stale_since: None,
                host: None,
                store: MemoryStore::default(),
                life: 0,
                tick_phase: dice.u64(0..TICK_MS),
                writing: Vec::new(),
                touched: false,
            })
            .collect();
        let mut world = Self {
            seed,
            dice,
            now: 0,
            nodes,
            events: BTreeMap::new(),
            sequence: 0,
            cut: vec![vec![false; size]; size],
            loss_percent: 0,
            flush_ms: None,
            snapshot_ms: None,
            garble: false,
            sabotage,
            founders,
            may_sleep: false,
            changes_members: spares > 0,
            aloud: std::env::var_os("CLUSTER_STORY").is_some(),
            oracle: Oracle::new(seed),
            next_id: 0,
            trace: DefaultHasher::new(),
            crashes: 0,
            wipes: 0,
            elections: 0,
            snapshots: 0,
            between: BetweenSlices::default(),
            asleep: Asleep::default(),
            pauses: 0,
            changes: 0,
            clients: Clients::default(),
            messages: 0,
        };
        (0..size).for_each(|at| world.start(at));
        world
    }

    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.dice.u64(0..100) < percent
    }

    pub(crate) fn pick(&mut self) -> usize {
        self.dice.usize(0..self.nodes.len())
    }

    pub(crate) fn pick_of(&mut self, sides: u64) -> u64 {
        self.dice.u64(0..sides)
    }

    pub(crate) fn is_up(&self, at: usize) -> bool {
        self.nodes[at].host.is_some()
    }

    pub(crate) fn start(&mut self, at: usize) {
        let voters: Vec<u64> = (1..=self.founders as u64).collect();
        self.say(|| format!("n{} starts", at + 1));
        let node = &mut self.nodes[at];
        let config = HostConfig {
            snapshot_entries: 24,
            snapshot_part_bytes: 2_000,
            entries_kept: 6,
            append_bytes_max: 512,
            appends_in_flight_max: 8,
            sleep_after_ticks: 8,
            look_ticks: 24,
            ..HostConfig::new(node.number)
        };
        let mut host = Host::new(config);
        let seed = self.seed;
        let recovered = node.store.recover(SHARD).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let ledger = Ledger { saves_too_much: self.sabotage == Sabotage::SaveTooMuch, ..Ledger::default() };
        let recovered = if node.is_founder { recovered.or_bootstrap(&voters) } else { recovered };
        host.set_sleep(self.may_sleep);
        host.add(SHARD, ledger, recovered).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        node.host = Some(host);
        node.touched = true;
    }

    /// From now on, and after restarts.
    pub(crate) fn let_sleep(&mut self) {
        self.may_sleep = true;
        self.nodes.iter_mut().filter_map(|node| node.host.as_mut()).for_each(|host| host.set_sleep(true));
    }

    /// Each node's time runs at a pace of its own.
    pub(crate) fn run_unevenly(&mut self) {
        for at in 0..self.size() {
            self.nodes[at].tick_ms = self.dice.u64(17..24);
        }
    }

    pub(crate) fn propose(&mut self, at: usize) {
        let padding = self.dice.usize(0..64);
        self.next_id += 1;
        let id = self.next_id;
        self.propose_command(at, id, command(id, None, padding));
    }

    fn propose_command(&mut self, at: usize, id: u64, data: Vec<u8>) -> bool {
        let slept = self.is_asleep(at);
        let Some(host) = self.nodes[at].host.as_mut() else { return false };
        let taken = host.propose(SHARD, data).is_ok();
        if taken {
            self.nodes[at].touched = true;
            self.oracle.proposed(at, id);
            self.asleep.proposals += u64::from(slept);
        }
        taken
    }

    pub(crate) fn read(&mut self, at: usize) {
        self.next_id += 1;
        self.ask_read(at, self.next_id);
    }

    fn ask_read(&mut self, at: usize, token: u64) -> bool {
        let slept = self.is_asleep(at);
        let Some(host) = self.nodes[at].host.as_mut() else { return false };
        let taken = host.read(SHARD, token).is_ok();
        if taken {
            self.nodes[at].touched = true;
            self.oracle.asked(at, token);
            self.asleep.reads += u64::from(slept);
        }
        taken
    }

    /// A client asks something of a register of a node that it takes for the leader.
    pub(crate) fn ask(&mut self, at: usize) {
        self.clients.give_up(self.now, None);
        let up = self.nodes[at].host.as_ref().is_some() && self.nodes[at].paused_until <= self.now;
        if !up || self.clients.open() >= CLIENTS {
            return;
        }
        self.next_id += 1;
        let (id, register) = (self.next_id, self.dice.usize(0..REGISTERS));
        let host = self.nodes[at].host.as_ref().expect("it is up");
        let value = host.machine(SHARD).map_or(0, |machine| machine.registers[register]);
        let role = host.status(SHARD).map(|status| status.role);
        let call = match self.dice.u8(0..4) {
            0..=1 => RegisterCall::Read,
            2 => RegisterCall::Write(id),
            _ => RegisterCall::Swap(value, id),
        };
        if call == RegisterCall::Read {
            let at_once = match self.sabotage {
                Sabotage::ReadWithoutAsking => role == Some(Role::Leader),
                Sabotage::ReadAnywhere => true,
                _ => false,
            };
            if at_once {
                self.clients.asked(at, self.now, id, register, call);
                self.clients.answer(at, id, |_| RegisterAnswer::Value(value));
            } else if self.ask_read(at, id) {
                self.clients.asked(at, self.now, id, register, call);
            }
        } else if self.propose_command(at, id, command(id, Some((register, call)), 0)) {
            self.clients.asked(at, self.now, id, register, call);
            if self.sabotage == Sabotage::AnswerBeforeCommit && matches!(call, RegisterCall::Write(_)) {
                self.clients.answer(at, id, |_| RegisterAnswer::Written);
            }
        }
    }

    pub(crate) fn leads(&self, at: usize) -> bool {
        let status = self.nodes[at].host.as_ref().and_then(|host| host.status(SHARD));
        status.is_some_and(|status| status.established)
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| {
            node.host.as_ref().and_then(|host| host.status(SHARD)).is_some_and(|status| status.established)
        };
        self.nodes.iter().position(leads)
    }

    /// One millisecond for everybody.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if node.paused_until <= self.now
                && (self.now + node.tick_phase).is_multiple_of(node.tick_ms)
                && let Some(host) = &mut node.host
            {
                host.tick();
                node.touched = true;
            }
        }
        while let Some(first) = self.events.first_entry() {
            if first.key().0 > self.now {
                break;
            }
            match first.remove() {
                Event::Deliver { from, to, message } => self.deliver(from, to, message),
                Event::Ask { at } => self.ask(at),
                Event::Snapshot { from, life, to, ok } => self.snapshot_done(from, life, to, ok),
                Event::Synced { node, life } => self.synced(node, life),
            }
        }
        if self.now.is_multiple_of(10) && !self.garble {
            self.nobody_is_stale_for_long();
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].paused_until <= self.now && std::mem::take(&mut self.nodes[at].touched) {
                self.drain(at);
            }
        }
    }

    /// Whoever runs and leads no more knows it soon, whoever may be cut off from whom: gateways rely on it.
    fn nobody_is_stale_for_long(&mut self) {
        let leads = |node: &Node| {
            let status = node.host.as_ref()?.status(SHARD)?;
            (status.role == Role::Leader).then_some((status.term, status.established))
        };
        let latest = self.nodes.iter().filter_map(leads).filter(|(_, established)| *established).map(|(term, _)| term);
        let latest = latest.max().unwrap_or(0);
        let limit = if self.may_sleep { STALE_ASLEEP_MS } else { STALE_MS };
        for node in &mut self.nodes {
            let stale = leads(node).is_some_and(|(term, _)| term < latest) && node.paused_until <= self.now;
            node.stale_since = if stale { node.stale_since.or(Some(self.now)) } else { None };
            let since = self.now - node.stale_since.unwrap_or(self.now);
            assert!(since <= limit, "seed {}: n{} has led in an old term for {since} ms", self.seed, node.number);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: PeerMessage) {
        if to >= self.size() || self.cut[from][to] {
            return;
        }
        if self.nodes[to].host.is_some() && self.nodes[to].paused_until > self.now {
            // In the order in which it came.
            let delay = self.nodes[to].paused_until - self.now;
            self.schedule(delay, Event::Deliver { from, to, message });
            return;
        }
        if let Some(host) = &mut self.nodes[to].host {
            self.trace.write_u64(self.now);
            self.trace.write_usize(to);
            self.trace.write(&message.raft);
            let slept = host.status(SHARD).is_some_and(|status| status.asleep);
            host.step_from(from as u64 + 1, &message);
            self.nodes[to].touched = true;
            self.asleep.sleeps += u64::from(!slept && self.is_asleep(to));
            if !message.snapshot.is_empty() {
                let life = self.nodes[from].life;
                self.schedule(1, Event::Snapshot { from, life, to, ok: true });
            }
        }
    }

    fn snapshot_done(&mut self, from: usize, life: u64, to: usize, ok: bool) {
        let node = &mut self.nodes[from];
        if node.life == life
            && let Some(host) = &mut node.host
        {
            host.snapshot_done(SHARD, to as u64 + 1, ok);
            node.touched = true;
        }
    }

    fn synced(&mut self, at: usize, life: u64) {
        let seed = self.seed;
        let node = &mut self.nodes[at];
        if node.life != life {
            return;
        }
        if node.paused_until > self.now {
            let delay = node.paused_until - self.now;
            self.schedule(delay, Event::Synced { node: at, life });
            return;
        }
        node.store.sync().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        if let Some(host) = &mut node.host {
            for done in node.writing.drain(..) {
                host.persisted(done);
            }
            node.touched = true;
        }
    }

    /// Damages a message on the wire now and then, as no checksum would let it.
    fn garble(&mut self, message: &PeerMessage) -> PeerMessage {
        let mut raft = message.raft.to_vec();
        for _ in 0..self.dice.usize(1..4) {
            match self.dice.u8(0..4) {
                0 if !raft.is_empty() => raft.truncate(self.dice.usize(0..raft.len())),
                1 => raft.push(self.dice.u8(..)),
                _ if !raft.is_empty() => {
                    let at = self.dice.usize(0..raft.len());
                    raft[at] = self.dice.u8(..);
                }
                _ => {}
            }
        }
        PeerMessage { raft: raft.into(), ..message.clone() }
    }

    pub(crate) fn is_asleep(&self, at: usize) -> bool {
        let status = self.nodes[at].host.as_ref().and_then(|host| host.status(SHARD));
        status.is_some_and(|status| status.asleep)
    }

    fn is_saving(&self, at: usize) -> bool {
        let status = self.nodes[at].host.as_ref().and_then(|host| host.status(SHARD));
        status.is_some_and(|status| status.saving)
    }

    fn drain(&mut self, at: usize) {
        let saving = self.is_saving(at);
        let node = &mut self.nodes[at];
        let Some(host) = &mut node.host else { return };
        node.has_lost_its_disk &= host.status(SHARD).is_none_or(|status| !status.seeded);
        let offered = host.counters().snapshots_offered;
        let Drained { write, messages, applied, reads, failed_reads, roles, restored, failures, .. } = host.drain();
        if saving {
            self.between.applied += applied.len() as u64;
            self.between.elections += roles.iter().filter(|role| role.is_leader).count() as u64;
            self.between.restored += restored.len() as u64;
            self.between.offered += host.counters().snapshots_offered - offered;
        }
        assert!(self.garble || failures.is_empty(), "seed {}: {failures:?}", self.seed);
        if let Some(batch) = write {
            let done = batch.done();
            let node = &mut self.nodes[at];
            node.store.stage(batch);
            if self.sabotage == Sabotage::AcknowledgeBeforeDurable {
                if let Some(host) = &mut node.host {
                    host.persisted(done);
                    node.touched = true;
                }
            } else {
                node.writing.push(done);
            }
            let life = node.life;
            // A lie about the disk is found the sooner the more there is to lose.
            let slow = self.chance(if self.sabotage == Sabotage::AcknowledgeBeforeDurable { 70 } else { 3 });
            let delay = if slow { self.dice.u64(20..120) } else { self.dice.u64(1..8) };
            let delay = self.flush_ms.unwrap_or(delay);
            self.schedule(delay, Event::Synced { node: at, life });
        }
        for (to, message) in messages {
            self.send(at, (to as usize).wrapping_sub(1), &message);
        }
        if self.garble {
            // Damaged entries are other entries: nothing holds but that nobody panics.
            return;
        }
        for role in roles {
            self.say(|| format!("n{} {role:?}", at + 1));
            self.elections += u64::from(role.is_leader);
            self.trace.write_u64(role.term);
            self.oracle.role(at, &role);
        }
        for entry in applied {
            self.say(|| format!("n{} {entry:?}", at + 1));
            self.trace.write_u64(entry.output.hash);
            self.oracle.applied(at, &entry);
            self.clients.applied(at, &entry.output);
        }
        self.snapshots += restored.len() as u64;
        let machine = self.nodes[at].host.as_ref().and_then(|host| host.machine(SHARD)).expect("a machine");
        self.oracle.state(machine);
        for read in failed_reads {
            self.oracle.read_failed(at, read.token);
            self.clients.refused(at, read.token);
        }
        for read in reads {
            self.oracle.answered(at, read.token, machine);
            self.clients.readable(at, read.token, machine);
        }
    }

    fn send(&mut self, from: usize, to: usize, message: &PeerMessage) {
        self.messages += 1;
        let copies = if self.loss_percent > 0 { 1 + u64::from(self.chance(5)) } else { 1 };
        for _ in 0..copies {
            let large = !message.snapshot.is_empty();
            if self.chance(self.loss_percent + if large { self.loss_percent } else { 0 }) {
                // The transport tells, unless it does not know itself.
                if large && self.chance(70) {
                    let (life, delay) = (self.nodes[from].life, self.dice.u64(1..400));
                    self.schedule(delay, Event::Snapshot { from, life, to, ok: false });
                }
                continue;
            }
            let late = self.loss_percent > 0 && self.chance(5);
            let delay = if large {
                // On a way of its own: everything else overtakes it.
                self.snapshot_ms.unwrap_or_else(|| self.dice.u64(3..150))
            } else if late {
                self.dice.u64(10..LATE_MS)
            } else {
                self.dice.u64(1..6)
            };
            // Not the long ones: the ledger itself does not survive the damaged state of another.
            let message = if self.garble && message.raft.len() < 150 && self.chance(30) {
                self.garble(message)
            } else {
                message.clone()
            };
            self.schedule(delay, Event::Deliver { from, to, message });
        }
    }

    fn schedule(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    /// Before a host goes.
    fn count_silences(&mut self, at: usize) {
        self.asleep.silences += self.nodes[at].host.as_ref().map_or(0, |host| host.counters().wakes_by_silence);
    }

    /// Everybody up, every wire whole: a leader is found and all have the same state within some seconds.
    pub(crate) fn settle(&mut self) {
        self.heal();
        self.loss_percent = 0;
        for at in 0..self.size() {
            self.nodes[at].paused_until = 0;
            if !self.is_up(at) {
                self.start(at);
            }
        }
        let goal = self.next_id;
        for round in 0..20_000 {
            self.step();
            if let Some(leader) = self.leader() {
                let is_done = self.oracle.last_acknowledged() > goal && self.oracle.reads_since(goal);
                if !is_done && round % 50 == 0 {
                    self.propose(leader);
                    self.read(leader);
                }
                if is_done && self.agree() {
                    let (members, _) = self.members().expect("a leader");
                    let machines = members.iter().filter_map(|at| self.nodes[*at].host.as_ref()?.machine(SHARD));
                    self.oracle.finish(machines);
                    (0..self.size()).for_each(|at| self.count_silences(at));
                    let seed = self.seed;
                    self.clients.check().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
                    return;
                }
            }
        }
        let status: Vec<_> = self.nodes.iter().map(|node| node.host.as_ref().and_then(|h| h.status(SHARD))).collect();
        panic!("seed {}: no agreement after 20 s: {status:#?}", self.seed);
    }

    /// All members have the same state, and no change of them is under way.
    fn agree(&self) -> bool {
        let Some((members, is_joint)) = self.members() else { return false };
        let mut states = members.into_iter().map(|at| {
            let host = self.nodes[at].host.as_ref().expect("all are up");
            let status = host.status(SHARD).expect("a replica");
            (status.applied, host.machine(SHARD).map(|machine| machine.hash), status.seeded)
        });
        let first = states.next();
        !is_joint && first.is_some_and(|first| first.2 && states.all(|state| state == first))
    }

    pub(crate) fn run(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step());
    }

    /// The story so far, when it is asked for with CLUSTER_STORY=1.
    fn say(&self, what: impl FnOnce() -> String) {
        if self.aloud {
            eprintln!("{:>6} {}", self.now, what());
        }
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace.finish()
    }
}
