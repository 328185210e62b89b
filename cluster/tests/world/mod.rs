//! A cluster in one thread under one seed: hosts, memory disks, a bad network, crashes. Virtual milliseconds.
//! What must always hold is checked at every step; a violation is a panic that names the seed.

mod agenda;
mod asks;
mod clients;
mod counts;
mod faults;
pub(crate) mod ledger;
mod node;
pub(crate) mod oracle;
mod verdict;
mod wires;

use std::hash::{DefaultHasher, Hasher};

use agenda::{Agenda, Event};
use clients::Clients;
use cluster::{Drained, GroupStatus, PeerMessage};
use counts::Counts;
use ledger::Ledger;
use node::{Node, TICK_MS};
use oracle::Oracle;
use wires::{Fate, Wires};

const SHARD: u32 = 1;

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

pub(crate) struct World {
    seed: u64,
    dice: fastrand::Rng,
    now: u64,
    nodes: Vec<Node>,
    agenda: Agenda,
    pub(crate) wires: Wires,
    /// All disks take so long.
    pub(crate) flush_ms: Option<u64>,
    sabotage: Sabotage,
    founders: usize,
    pub(crate) may_sleep: bool,
    pub(crate) changes_members: bool,
    aloud: bool,
    pub(crate) oracle: Oracle,
    pub(crate) clients: Clients,
    pub(crate) counts: Counts,
    next_id: u64,
    trace: DefaultHasher,
}

impl World {
    pub(crate) fn new(seed: u64, size: usize, sabotage: Sabotage) -> Self {
        Self::with_spares(seed, size, 0, sabotage)
    }

    /// So many nodes found the group; the spares wait to be asked into it.
    pub(crate) fn with_spares(seed: u64, founders: usize, spares: usize, sabotage: Sabotage) -> Self {
        let size = founders + spares;
        let mut dice = fastrand::Rng::with_seed(seed);
        let nodes = (0..size).map(|at| Node::new(at as u64 + 1, at < founders, dice.u64(0..TICK_MS))).collect();
        let mut world = Self {
            seed,
            dice,
            now: 0,
            nodes,
            agenda: Agenda::default(),
            wires: Wires::between(size),
            flush_ms: None,
            sabotage,
            founders,
            may_sleep: false,
            changes_members: spares > 0,
            aloud: std::env::var_os("CLUSTER_STORY").is_some(),
            oracle: Oracle::new(seed),
            clients: Clients::default(),
            counts: Counts::default(),
            next_id: 0,
            trace: DefaultHasher::new(),
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

    pub(crate) fn start(&mut self, at: usize) {
        let voters: Vec<u64> = (1..=self.founders as u64).collect();
        self.say(|| format!("n{} starts", at + 1));
        let ledger = Ledger { saves_too_much: self.sabotage == Sabotage::SaveTooMuch, ..Ledger::default() };
        let started = self.nodes[at].start(&voters, ledger, self.may_sleep);
        started.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
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

    pub(crate) fn is_up(&self, at: usize) -> bool {
        self.nodes[at].host.is_some()
    }

    pub(crate) fn is_asleep(&self, at: usize) -> bool {
        self.nodes[at].is_asleep()
    }

    pub(crate) fn leads(&self, at: usize) -> bool {
        self.nodes[at].leads()
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(Node::leads)
    }

    pub(crate) fn status(&self, at: usize) -> Option<GroupStatus> {
        self.nodes[at].status()
    }

    /// Places of the nodes that belong to the group, as the leader has it, and whether a change is under way.
    pub(crate) fn members(&self) -> Option<(Vec<usize>, bool)> {
        let status = self.status(self.leader()?)?;
        let mut members: Vec<usize> = status
            .voters
            .iter()
            .chain(&status.voters_outgoing)
            .chain(&status.learners)
            .map(|node| *node as usize - 1)
            .collect();
        members.sort_unstable();
        members.dedup();
        Some((members, !status.voters_outgoing.is_empty()))
    }

    pub(crate) fn run(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step());
    }

    /// One millisecond for everybody.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        self.nodes.iter_mut().for_each(|node| node.tick(self.now));
        while let Some(event) = self.agenda.take(self.now) {
            match event {
                Event::Deliver { from, to, message } => self.deliver(from, to, message),
                Event::Ask { at } => self.ask(at),
                Event::Snapshot { from, life, to, ok } => self.snapshot_done(from, life, to, ok),
                Event::Synced { node, life } => self.synced(node, life),
            }
        }
        if self.now.is_multiple_of(10) && !self.wires.garble {
            self.nobody_is_stale_for_long();
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].runs(self.now) && std::mem::take(&mut self.nodes[at].touched) {
                self.drain(at);
            }
        }
    }

    fn schedule(&mut self, delay: u64, event: Event) {
        self.agenda.put(self.now + delay, event);
    }

    fn deliver(&mut self, from: usize, to: usize, message: PeerMessage) {
        if to >= self.size() || !self.wires.is_whole(from, to) {
            return;
        }
        if self.is_up(to) && !self.nodes[to].runs(self.now) {
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
            self.counts.asleep.sleeps += u64::from(!slept && self.is_asleep(to));
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
        if !node.runs(self.now) {
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

    fn drain(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let saving = node.is_saving();
        let Some(host) = &mut node.host else { return };
        node.has_lost_its_disk &= host.status(SHARD).is_none_or(|status| !status.seeded);
        let offered = host.counters().snapshots_offered;
        let Drained { write, messages, applied, reads, failed_reads, roles, restored, failures, .. } = host.drain();
        if saving {
            self.counts.between.applied += applied.len() as u64;
            self.counts.between.elections += roles.iter().filter(|role| role.is_leader).count() as u64;
            self.counts.between.restored += restored.len() as u64;
            self.counts.between.offered += host.counters().snapshots_offered - offered;
        }
        assert!(self.wires.garble || failures.is_empty(), "seed {}: {failures:?}", self.seed);
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
        if self.wires.garble {
            // Damaged entries are other entries: nothing holds but that nobody panics.
            return;
        }
        for role in roles {
            self.say(|| format!("n{} {role:?}", at + 1));
            self.counts.elections += u64::from(role.is_leader);
            self.trace.write_u64(role.term);
            self.oracle.role(at, &role);
        }
        for entry in applied {
            self.say(|| format!("n{} {entry:?}", at + 1));
            self.trace.write_u64(entry.output.hash);
            self.oracle.applied(at, &entry);
            self.clients.applied(at, &entry.output);
        }
        self.counts.snapshots += restored.len() as u64;
        let machine = self.nodes[at].machine().expect("a machine");
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
        self.counts.messages += 1;
        for _ in 0..self.wires.copies(&mut self.dice) {
            match self.wires.carry(&mut self.dice, message) {
                Fate::Arrives { delay_ms, message } => self.schedule(delay_ms, Event::Deliver { from, to, message }),
                Fate::LostAndTold { delay_ms } => {
                    let life = self.nodes[from].life;
                    self.schedule(delay_ms, Event::Snapshot { from, life, to, ok: false });
                }
                Fate::Lost => {}
            }
        }
    }

    /// Before a host goes.
    fn count_silences(&mut self, at: usize) {
        let host = self.nodes[at].host.as_ref();
        self.counts.asleep.silences += host.map_or(0, |host| host.counters().wakes_by_silence);
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
