//! The whole system in one thread: events in virtual time, each handled at its moment, in one order that only the seed
//! decides. Control flow only: what breaks is in `faults.rs`, what must hold in `judge.rs` and `watch.rs`.

mod faults;
mod gateways;
mod moves;
mod nodes;
mod tenancies;
mod watch;

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher as _},
};

use cluster::PeerMessage;
use fastrand::Rng;
use proto::v1::MoveTenant;

use crate::{
    gateway::Gateway,
    judge::Judge,
    machine::Facts,
    mover::{Answer, Ask},
    mutant::Mutant,
    network::{Down, Network, Up},
    node_process::NodeProcess,
    people::People,
    scenario::{SECOND, Scenario, Us},
    verdict::{Check, Failure, Invariant},
};
use faults::Faults;
use moves::{MoverKey, Moves};
use tenancies::Tenancies;
use watch::Watch;

/// After everything has healed, all must be over within this: the longest patience, talks, redials and some more.
const DRAIN_US: Us = 300 * SECOND;
/// How often the world as a whole is looked at.
const LOOK_US: Us = 250_000;

/// Something that happens at a moment.
#[derive(Debug)]
enum Event {
    Tick { node: usize, life: u64 },
    Peer { from: usize, to: usize, message: PeerMessage },
    Synced { node: usize, life: u64, fault: Option<usize> },
    NodeWake { node: usize, life: u64 },
    GatewayWake { gateway: usize },
    Up { session: u64, message: Up },
    Down { session: u64, message: Down },
    HungUp { session: u64 },
    Broken { session: u64 },
    People,
    Fault { number: usize },
    Over { number: usize },
    Look,
    Mover { life: MoverKey },
    MoverAsks { from: usize, to: usize, life: MoverKey, number: u64, ask: Ask },
    MoverHears { from: usize, life: MoverKey, number: u64, answer: Answer },
    Applied { node: usize, life: u64, change: u64 },
    Decides { life: MoverKey, number: u64, step: MoveTenant },
    Decided { life: MoverKey, number: u64, taken: bool },
    Homes { node: usize },
}

/// One life of a gateway, or none.
struct GatewayProcess {
    life: u64,
    gateway: Option<Gateway>,
    since_us: Us,
    wake_us: Option<Us>,
    /// Stands still until then.
    frozen_until_us: Option<Us>,
    /// That were open when it stopped.
    sessions: Vec<u64>,
}

impl GatewayProcess {
    fn awake(&mut self) -> Option<&mut Gateway> {
        self.gateway.as_mut().filter(|_| self.frozen_until_us.is_none())
    }

    fn of_life(&mut self, life: u64) -> Option<&mut Gateway> {
        self.gateway.as_mut().filter(|_| self.life == life)
    }
}

/// How often replicas fell asleep and woke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Naps {
    /// Fell asleep.
    pub sleeps: u64,
    /// Woke, whatever woke them.
    pub wakes: u64,
}

impl Naps {
    fn count(&mut self, asleep: bool) {
        self.sleeps += u64::from(asleep);
        self.wakes += u64::from(!asleep);
    }
}

/// What a run was, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls that reached the shard.
    pub calls: usize,
    /// Commands that were applied.
    pub commands: u64,
    /// Decisions held against the reference model.
    pub decisions: u64,
    /// Leaders that took over.
    pub leaders: u64,
    /// Calls that had no gateway for a while.
    pub homeless: u64,
    /// Calls that failed because they had none for too long.
    pub given_up: u64,
    /// Of the replicas of the shard where the tenant lives, and of the other one.
    pub naps: [Naps; 2],
    /// Moves of the tenant that arrived.
    pub arrived: u64,
    /// Moves that failed and were undone.
    pub undone: u64,
    /// Movers: more than moves, for some died on the way.
    pub movers: u64,
    /// The longest that the tenant lived nowhere, microseconds.
    pub dark_us: Us,
    /// Questions that were answered.
    pub answers: u64,
    /// Outcomes that gateways heard.
    pub acknowledged: u64,
    /// Virtual microseconds until all was over.
    pub over_us: Us,
    /// Of everything that happened, in order: equal for equal runs.
    pub trace: u64,
    /// Faults that happened, by name.
    pub faults: BTreeMap<&'static str, u64>,
}

/// The whole system.
pub(crate) struct World {
    scenario: Scenario,
    now_us: Us,
    events: BTreeMap<(Us, u64), Event>,
    sequence: u64,
    dice: Rng,
    nodes: Vec<NodeProcess>,
    gateways: Vec<GatewayProcess>,
    network: Network,
    people: People,
    people_us: Option<Us>,
    callers: BTreeMap<u64, (String, String)>,
    judge: Judge,
    facts: Facts,
    faults: Faults,
    watch: Watch,
    moves: Moves,
    /// By node.
    tenancies: Vec<Tenancies>,
    mutant: Option<Mutant>,
    trace: DefaultHasher,
    aloud: bool,
    story: Vec<(Us, String)>,
    figures: Figures,
}

impl World {
    pub(crate) fn new(scenario: Scenario, mutant: Option<Mutant>, aloud: bool) -> Self {
        let facts = Facts::default();
        let nodes = (0..scenario.nodes).map(|at| NodeProcess::new(at, facts.clone(), mutant)).collect();
        // One more than carry calls: the office.
        let gateways = (0..=scenario.gateways)
            .map(|_| GatewayProcess {
                life: 0,
                gateway: None,
                since_us: 0,
                wake_us: None,
                frozen_until_us: None,
                sessions: Vec::new(),
            })
            .collect();
        Self {
            now_us: 0,
            events: BTreeMap::new(),
            sequence: 0,
            dice: Rng::with_seed(scenario.seed ^ 0xd1ce),
            nodes,
            gateways,
            network: Network::new(scenario.seed, scenario.nodes),
            people: People::new(&scenario),
            people_us: None,
            callers: BTreeMap::new(),
            judge: Judge::new(mutant),
            facts,
            faults: Faults::new(scenario.faults.len()),
            watch: Watch::new(scenario.nodes),
            moves: Moves::new(),
            tenancies: (0..scenario.nodes).map(|_| Tenancies::default()).collect(),
            mutant,
            trace: DefaultHasher::new(),
            aloud,
            story: Vec::new(),
            figures: Figures::default(),
            scenario,
        }
    }

    /// What happened, for people; empty unless it was asked for.
    pub(crate) fn story(&self) -> &[(Us, String)] {
        &self.story
    }

    /// Runs until everything is over.
    pub(crate) fn run(&mut self) -> Result<Figures, Failure> {
        let over = self.begin().and_then(|()| self.all_events()).and_then(|()| self.finish());
        over.map_err(|(invariant, what)| Failure { invariant, at_us: self.now_us, what })?;
        self.figures.calls = self.judge.calls();
        self.figures.commands = self.judge.commands;
        self.figures.decisions = self.judge.reference.decisions;
        (self.figures.homeless, self.figures.given_up) = self.judge.homeless();
        (self.figures.arrived, self.figures.undone) = (self.moves.arrived, self.moves.undone);
        (self.figures.movers, self.figures.answers) = (self.moves.lives(), self.watch.answers());
        self.figures.over_us = self.now_us;
        self.figures.trace = self.trace.finish();
        self.figures.faults = self.faults.sums(&self.scenario.faults);
        Ok(self.figures.clone())
    }

    fn begin(&mut self) -> Check {
        for at in 0..self.nodes.len() {
            self.start_node(at)?;
        }
        for at in 0..self.gateways.len() {
            self.start_gateway(at);
        }
        for number in 0..self.scenario.faults.len() {
            self.schedule_at(self.scenario.faults[number].at_us, Event::Fault { number });
        }
        self.configure_first();
        self.schedule(LOOK_US, Event::Look);
        self.wake_people();
        Ok(())
    }

    fn all_events(&mut self) -> Check {
        while let Some(((at_us, _), event)) = self.events.pop_first() {
            self.now_us = at_us;
            self.handle(event)?;
            self.settle()?;
            if self.is_over() {
                return Ok(());
            }
            if self.now_us > self.scenario.heal_us + DRAIN_US {
                return Err((Invariant::Healing, self.what_is_left()));
            }
        }
        Err((Invariant::Healing, "nothing happens any more".into()))
    }

    fn handle(&mut self, event: Event) -> Check {
        match event {
            Event::Tick { node, life } => self.tick(node, life),
            Event::Peer { from, to, message } => self.peer(from, to, message),
            Event::Synced { node, life, fault } => return self.synced(node, life, fault),
            Event::NodeWake { node, life } => self.wake_node(node, life),
            Event::GatewayWake { gateway } => self.wake_gateway(gateway),
            Event::Up { session, message } => self.arrived_up(session, message),
            Event::Down { session, message } => self.arrived_down(session, message),
            Event::HungUp { session } => self.hung_up(session),
            Event::Broken { session } => self.broken(session),
            Event::People => self.people_act(),
            Event::Fault { number } => return self.fault(number),
            Event::Over { number } => return self.fault_over(number),
            Event::Look => return self.look(),
            Event::Mover { life } => self.mover_acts(life),
            Event::MoverAsks { from, to, life, number, ask } => self.mover_asks(from, to, life, number, ask),
            Event::MoverHears { from, life, number, answer } => self.mover_hears(from, life, number, answer),
            Event::Applied { node, life, change } => self.applied(node, life, change),
            Event::Decides { life, number, step } => self.decides(life, number, &step),
            Event::Decided { life, number, taken } => self.decided(life, number, taken),
            Event::Homes { node } => self.told_home(node),
        }
        Ok(())
    }

    /// Everything that follows from what just happened, at the same moment.
    fn settle(&mut self) -> Check {
        for at in 0..self.gateways.len() {
            self.settle_gateway(at)?;
        }
        for fact in std::mem::take(&mut *self.facts.borrow_mut()) {
            self.trace.write_u64(fact.index);
            self.trace.write_u64(fact.hash);
            self.judge.applied(self.now_us, &fact)?;
            if let Some(since_us) = self.judge.dark_since_us() {
                self.figures.dark_us = self.figures.dark_us.max(self.now_us - since_us);
            }
        }
        self.wake_people();
        Ok(())
    }

    fn schedule(&mut self, delay_us: Us, event: Event) {
        self.schedule_at(self.now_us + delay_us, event);
    }

    fn schedule_at(&mut self, at_us: Us, event: Event) {
        self.sequence += 1;
        self.events.insert((at_us, self.sequence), event);
    }

    fn healed(&self) -> bool {
        self.now_us >= self.scenario.heal_us && self.faults.none_goes_on()
    }

    /// Tells the story, when somebody listens.
    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.aloud {
            self.story.push((self.now_us, what()));
        }
    }
}
