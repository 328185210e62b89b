//! A cluster in one thread under one seed: hosts, memory disks, a bad network, crashes. Virtual milliseconds.
//! What must always hold is checked at every step; a violation is a panic that names the seed.

pub(crate) mod ledger;
pub(crate) mod oracle;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use cluster::{Drained, Host, HostConfig, MemoryStore, PeerMessage, Store};
use ledger::Ledger;
use oracle::Oracle;

const SHARD: u32 = 1;
const TICK_MS: u64 = 20;

/// A bug put in on purpose, to see that it is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// Says that a write is durable when it has only been asked for.
    AcknowledgeBeforeDurable,
    /// Saves what is applied between the slices of a snapshot.
    SaveTooMuch,
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

struct Node {
    number: u64,
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
    Deliver { from: usize, to: usize, message: PeerMessage },
    Synced { node: usize, life: u64 },
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
    /// A third of the messages are damaged.
    pub(crate) garble: bool,
    sabotage: Sabotage,
    aloud: bool,
    pub(crate) oracle: Oracle,
    next_id: u64,
    trace: DefaultHasher,
    pub(crate) crashes: u64,
    pub(crate) wipes: u64,
    pub(crate) elections: u64,
    pub(crate) snapshots: u64,
    pub(crate) between: BetweenSlices,
}

impl World {
    pub(crate) fn new(seed: u64, size: usize, sabotage: Sabotage) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let nodes = (0..size)
            .map(|at| Node {
                number: at as u64 + 1,
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
            garble: false,
            sabotage,
            aloud: std::env::var_os("CLUSTER_STORY").is_some(),
            oracle: Oracle::new(seed),
            next_id: 0,
            trace: DefaultHasher::new(),
            crashes: 0,
            wipes: 0,
            elections: 0,
            snapshots: 0,
            between: BetweenSlices::default(),
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
        let voters: Vec<u64> = (1..=self.nodes.len() as u64).collect();
        self.say(|| format!("n{} starts", at + 1));
        let node = &mut self.nodes[at];
        let config = HostConfig {
            snapshot_entries: 24,
            snapshot_part_bytes: 2_000,
            entries_kept: 6,
            append_bytes_max: 512,
            appends_in_flight_max: 8,
            ..HostConfig::new(node.number)
        };
        let mut host = Host::new(config);
        let seed = self.seed;
        let recovered = node.store.recover(SHARD).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let ledger = Ledger { saves_too_much: self.sabotage == Sabotage::SaveTooMuch, ..Ledger::default() };
        host.add(SHARD, ledger, recovered.or_bootstrap(&voters)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        node.host = Some(host);
        node.touched = true;
    }

    pub(crate) fn crash(&mut self, at: usize) {
        self.say(|| format!("n{} crashes", at + 1));
        let survivors = self.dice.usize(0..=self.nodes[at].store.staged());
        let torn = self.dice.bool();
        let seed = self.seed;
        self.between.crashes += u64::from(self.is_saving(at));
        let node = &mut self.nodes[at];
        node.host = None;
        node.life += 1;
        node.writing.clear();
        node.store.crash(survivors, torn).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        self.oracle.forget_reads(at);
        self.crashes += 1;
    }

    /// A new disk. What the old one had sent is gone too: no network delays for as long as a disk is replaced.
    pub(crate) fn wipe(&mut self, at: usize) {
        self.say(|| format!("n{} is wiped", at + 1));
        self.crash(at);
        self.nodes[at].store.wipe();
        self.events.retain(|_, event| !matches!(event, Event::Deliver { from, .. } if *from == at));
        self.wipes += 1;
    }

    /// A lost disk is a failure that lasts until the replica is seeded again: one at a time.
    pub(crate) fn may_wipe(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.host.as_ref().and_then(|host| host.status(SHARD)).is_some_and(|status| status.seeded))
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, both: bool) {
        self.say(|| format!("n{} to n{} is cut, both ways {both}", from + 1, to + 1));
        self.cut[from][to] = true;
        self.cut[to][from] |= both;
    }

    pub(crate) fn heal(&mut self) {
        self.say(|| "all wires are whole".into());
        self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
    }

    pub(crate) fn propose(&mut self, at: usize) {
        let Some(host) = self.nodes[at].host.as_mut() else { return };
        self.next_id += 1;
        let mut data = self.next_id.to_be_bytes().to_vec();
        data.resize(8 + self.dice.usize(0..64), 7);
        if host.propose(SHARD, data).is_ok() {
            self.nodes[at].touched = true;
            self.oracle.proposed(at, self.next_id);
        }
    }

    pub(crate) fn read(&mut self, at: usize) {
        let Some(host) = self.nodes[at].host.as_mut() else { return };
        self.next_id += 1;
        if host.read(SHARD, self.next_id).is_ok() {
            self.nodes[at].touched = true;
            self.oracle.asked(at, self.next_id);
        }
    }

    pub(crate) fn hand_over(&mut self, at: usize) {
        if let Some(host) = self.nodes[at].host.as_mut() {
            host.transfer_leadership(SHARD, None);
            self.nodes[at].touched = true;
        }
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
            if (self.now + node.tick_phase).is_multiple_of(TICK_MS)
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
                Event::Deliver { from, to, message } => self.deliver(from, to, &message),
                Event::Synced { node, life } => self.synced(node, life),
            }
        }
        for at in 0..self.nodes.len() {
            if std::mem::take(&mut self.nodes[at].touched) {
                self.drain(at);
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: &PeerMessage) {
        if to >= self.size() || self.cut[from][to] {
            return;
        }
        if let Some(host) = &mut self.nodes[to].host {
            self.trace.write_u64(self.now);
            self.trace.write_usize(to);
            self.trace.write(&message.raft);
            host.step_from(from as u64 + 1, message);
            self.nodes[to].touched = true;
        }
    }

    fn synced(&mut self, at: usize, life: u64) {
        let seed = self.seed;
        let node = &mut self.nodes[at];
        if node.life != life {
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
        PeerMessage { shard: message.shard, raft: raft.into(), ..PeerMessage::default() }
    }

    fn is_saving(&self, at: usize) -> bool {
        let status = self.nodes[at].host.as_ref().and_then(|host| host.status(SHARD));
        status.is_some_and(|status| status.saving)
    }

    fn drain(&mut self, at: usize) {
        let saving = self.is_saving(at);
        let Some(host) = &mut self.nodes[at].host else { return };
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
            let slow = self.chance(3);
            let delay = if slow { self.dice.u64(20..120) } else { self.dice.u64(1..8) };
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
        }
        self.snapshots += restored.len() as u64;
        let machine = self.nodes[at].host.as_ref().and_then(|host| host.machine(SHARD)).expect("a machine");
        self.oracle.state(machine);
        for read in failed_reads {
            self.oracle.read_failed(at, read.token);
        }
        for read in reads {
            self.oracle.answered(at, read.token, machine);
        }
    }

    fn send(&mut self, from: usize, to: usize, message: &PeerMessage) {
        let copies = if self.loss_percent > 0 { 1 + u64::from(self.chance(5)) } else { 1 };
        for _ in 0..copies {
            if self.chance(self.loss_percent) {
                continue;
            }
            let late = self.loss_percent > 0 && self.chance(5);
            let delay = if late { self.dice.u64(10..400) } else { self.dice.u64(1..6) };
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

    /// Everybody up, every wire whole: a leader is found and all have the same state within some seconds.
    pub(crate) fn settle(&mut self) {
        self.heal();
        self.loss_percent = 0;
        for at in 0..self.size() {
            if !self.is_up(at) {
                self.start(at);
            }
        }
        let goal = self.next_id;
        for round in 0..20_000 {
            self.step();
            if let Some(leader) = self.leader() {
                if self.oracle.last_acknowledged() <= goal && round % 50 == 0 {
                    self.propose(leader);
                    self.read(leader);
                }
                if self.oracle.last_acknowledged() > goal && self.oracle.reads_since(goal) && self.agree() {
                    self.oracle.finish(self.nodes.iter().filter_map(|node| node.host.as_ref()?.machine(SHARD)));
                    return;
                }
            }
        }
        let status: Vec<_> = self.nodes.iter().map(|node| node.host.as_ref().and_then(|h| h.status(SHARD))).collect();
        panic!("seed {}: no agreement after 20 s: {status:#?}", self.seed);
    }

    fn agree(&self) -> bool {
        let mut states = self.nodes.iter().map(|node| {
            let host = node.host.as_ref().expect("all are up");
            let status = host.status(SHARD).expect("a replica");
            (status.applied, host.machine(SHARD).map(|machine| machine.hash), status.seeded)
        });
        let first = states.next();
        first.is_some_and(|first| first.2 && states.all(|state| state == first))
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
