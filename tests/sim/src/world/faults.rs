//! Faults as they come and go, and whether each has really happened: one that nobody noticed has shown nothing.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{Configure, DrainGateway, SetRules, command::Kind};

use super::{Event, World};
use crate::{
    link::Ticket,
    scenario::{self, Fault, FaultKind, MILLI, Us},
    verdict::{Check, hold},
};

/// A fault that finds nothing to break tries again after this.
const AGAIN_US: u64 = 200 * MILLI;

#[derive(Debug)]
pub(super) struct Faults {
    happened: Vec<bool>,
    active: BTreeSet<usize>,
    noise: Option<usize>,
    slow: BTreeMap<usize, usize>,
    /// A power cut that waits for the worst moment.
    armed: Option<usize>,
    /// Configurations that were asked for: the version and the fault.
    versions: BTreeMap<u64, usize>,
}

impl Faults {
    pub(super) fn new(count: usize) -> Self {
        let (active, slow, versions) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { happened: vec![false; count], active, noise: None, slow, armed: None, versions }
    }

    pub(super) fn happened(&mut self, number: usize) {
        self.happened[number] = true;
    }

    pub(super) fn noise_happened(&mut self) {
        if let Some(number) = self.noise {
            self.happened(number);
        }
    }

    /// The fault that makes a node's disk slow.
    pub(super) fn slow(&self, node: usize) -> Option<usize> {
        self.slow.get(&node).copied()
    }

    pub(super) fn configured(&mut self, version: u64) {
        let done: Vec<_> = self.versions.range(..=version).map(|(version, number)| (*version, *number)).collect();
        for (version, number) in done {
            self.versions.remove(&version);
            self.happened(number);
        }
    }

    /// One that ends when what it began has ended.
    pub(super) fn over(&mut self, number: usize) {
        self.happened(number);
        self.active.remove(&number);
    }

    pub(super) fn none_goes_on(&self) -> bool {
        self.active.is_empty() && self.versions.is_empty()
    }

    /// Numbers of the faults that are not over, and versions of the configuration that nobody has applied.
    pub(super) fn left(&self) -> (Vec<usize>, Vec<u64>) {
        (self.active.iter().copied().collect(), self.versions.keys().copied().collect())
    }

    pub(super) fn sums(&self, faults: &[Fault]) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for (fault, _) in faults.iter().zip(&self.happened).filter(|(_, happened)| **happened) {
            *sums.entry(fault.kind.name()).or_insert(0) += 1;
        }
        sums
    }

    pub(super) fn check(&self, faults: &[Fault]) -> Check {
        // A supervisor who finds no call has none to end.
        let may_miss = |fault: &Fault| fault.kind == FaultKind::ClearCall;
        let missing = faults.iter().zip(&self.happened).find(|(fault, happened)| !**happened && !may_miss(fault));
        hold!(
            missing.is_none(),
            Asked,
            "{} was asked for and never happened",
            missing.map_or("it", |(fault, _)| fault.kind.name())
        );
        Ok(())
    }
}

impl World {
    /// The first configuration, by the office: a gateway without calls that nothing happens to.
    pub(super) fn configure_first(&mut self) {
        let documents = self.scenario.documents.clone();
        // As the directory does where every node knows them.
        self.office(Kind::SetRules(SetRules { version: acd::RULES }));
        self.office(Kind::Configure(Configure { version: 1, documents }));
        // It is never dealt a call: when all others are gone, calls are homeless.
        self.drain_gateway(self.scenario.gateways, false);
    }

    fn office(&mut self, kind: Kind) {
        if let Some(gateway) = self.gateways.last_mut().and_then(|slot| slot.gateway.as_mut()) {
            gateway.link().ask(kind, Ticket::Nothing);
        }
    }

    fn drain_gateway(&mut self, at: usize, undo: bool) {
        let gateway = format!("g{}", at + 1);
        self.office(Kind::DrainGateway(DrainGateway { gateway, undo, by: "boss".into(), incarnation: 0 }));
    }

    pub(super) fn fault(&mut self, number: usize) -> Check {
        let fault = self.scenario.faults[number].clone();
        let heal_us = match fault.kind {
            // So long that calls fail by it.
            FaultKind::Blackout => Us::MAX,
            _ => self.scenario.heal_us.max(self.now_us + 1),
        };
        let over_us = (self.now_us + fault.for_us).min(heal_us);
        self.say(|| format!("-- {fault}"));
        let everybody: Vec<usize> = (0..self.nodes.len() + self.gateways.len()).collect();
        let nodes: Vec<usize> = (0..self.nodes.len()).collect();
        match fault.kind {
            FaultKind::Crash(node) => self.crash_node(node)?,
            FaultKind::PowerCut => {
                if self.faults.happened[number] {
                    return Ok(());
                }
                if self.faults.armed.replace(number).is_none() {
                    self.schedule(FaultKind::PATIENCE_US, Event::Fault { number });
                    return Ok(());
                }
                self.faults.armed = None;
                nodes.iter().try_for_each(|node| self.crash_node(*node))?;
            }
            FaultKind::Pause(node) => {
                hold!(self.nodes[node].core.is_some(), Asked, "n{} should pause and is dead", node + 1);
                self.nodes[node].paused_until_us = Some(over_us);
            }
            FaultKind::Isolate(node) => self.cut(&everybody, node, number, true, true),
            FaultKind::Deafen(node) => self.cut(&everybody, node, number, true, false),
            FaultKind::Mute(node) => self.cut(&everybody, node, number, false, true),
            FaultKind::IsolateGateway(gateway) => {
                self.cut(&nodes, self.network.gateway(gateway), number, true, true);
            }
            FaultKind::DeafenGateway(gateway) => {
                self.cut(&nodes, self.network.gateway(gateway), number, true, false);
            }
            FaultKind::Noise(percent) => {
                self.network.noise_percent = percent;
                self.faults.noise = Some(number);
            }
            FaultKind::SetClock(node, by_ms) => {
                hold!(self.nodes[node].core.is_some(), Asked, "n{} is dead and has no clock", node + 1);
                self.nodes[node].set_clock(by_ms * 1_000);
            }
            FaultKind::SlowDisk(node) => {
                self.nodes[node].slow_until_us = Us::MAX;
                self.faults.slow.insert(node, number);
            }
            FaultKind::Vanish(gateway) => self.vanish(gateway),
            FaultKind::Blackout => (0..self.scenario.gateways).for_each(|gateway| self.vanish(gateway)),
            FaultKind::Freeze(gateway) => self.freeze(gateway, over_us),
            FaultKind::Drain(gateway) => self.drain_gateway(gateway, false),
            FaultKind::BreakStreams(_) | FaultKind::HandOver | FaultKind::ClearCall => return self.retry(number),
            FaultKind::MoveTenant(drawn) => {
                self.faults.active.insert(number);
                if !self.begin_move(number, drawn) {
                    self.schedule(AGAIN_US, Event::Fault { number });
                }
                return Ok(());
            }
            FaultKind::Configure(change) => {
                self.scenario.documents = scenario::change(&self.scenario.documents, change);
                let version = number as u64 + 2;
                let documents = self.scenario.documents.clone();
                self.faults.versions.insert(version, number);
                self.office(Kind::Configure(Configure { version, documents }));
            }
        }
        let at_once = matches!(
            fault.kind,
            FaultKind::Crash(_)
                | FaultKind::PowerCut
                | FaultKind::Pause(_)
                | FaultKind::SetClock(..)
                | FaultKind::Vanish(_)
                | FaultKind::Blackout
                | FaultKind::Freeze(_)
                | FaultKind::Drain(_)
        );
        if at_once {
            self.faults.happened(number);
        }
        if !matches!(fault.kind, FaultKind::SetClock(..) | FaultKind::Configure(_)) {
            self.faults.active.insert(number);
            self.schedule_at(over_us, Event::Over { number });
        }
        self.look_for_minorities();
        if !fault.kind.is_above_nodes() {
            self.watch.wrong(self.now_us);
        }
        Ok(())
    }

    /// The worst moment for the power to go: somebody was just told something, and most disks are still writing.
    pub(super) fn worst_moment(&mut self) {
        let writing = self.nodes.iter().filter(|node| node.staged() > 0).count() * 2 > self.nodes.len();
        if let Some(number) = self.faults.armed.filter(|_| writing) {
            self.schedule(0, Event::Fault { number });
        }
    }

    /// Faults that need something to be there: they wait for it.
    fn retry(&mut self, number: usize) -> Check {
        let done = match self.scenario.faults[number].kind {
            FaultKind::BreakStreams(gateway) => {
                let sessions = self.sessions_of(gateway);
                for session in &sessions {
                    self.schedule(MILLI, Event::Broken { session: *session });
                }
                !sessions.is_empty()
            }
            FaultKind::HandOver => {
                let leader = (0..self.nodes.len()).find(|at| self.nodes[*at].runs() && self.nodes[*at].leads());
                if let Some(core) = leader.and_then(|at| self.nodes[at].core(self.now_us)) {
                    core.hand_over();
                }
                leader.into_iter().for_each(|at| self.drain(at));
                leader.is_some()
            }
            FaultKind::ClearCall => {
                let calls = self.judge.shard().calls(&acd::view::CallFilter::default());
                let call = (!calls.is_empty()).then(|| calls[self.dice.usize(0..calls.len())].call);
                if let Some(call) = call
                    && let Some(gateway) = self.gateways.last_mut().and_then(|slot| slot.gateway.as_mut())
                {
                    gateway.clear(call);
                }
                call.is_some()
            }
            _ => true,
        };
        if done {
            self.faults.happened(number);
            self.watch.wrong(self.now_us);
        } else if self.now_us < self.scenario.heal_us {
            self.schedule(AGAIN_US, Event::Fault { number });
        }
        Ok(())
    }

    fn cut(&mut self, others: &[usize], who: usize, number: usize, hears_not: bool, is_not_heard: bool) {
        for other in others.iter().filter(|other| **other != who) {
            if hears_not {
                self.network.cut(*other, who, number);
            }
            if is_not_heard {
                self.network.cut(who, *other, number);
            }
        }
    }

    pub(super) fn fault_over(&mut self, number: usize) -> Check {
        if !self.faults.active.contains(&number) {
            return Ok(());
        }
        let kind = self.scenario.faults[number].kind.clone();
        if matches!(kind, FaultKind::SlowDisk(_)) && !self.faults.happened[number] {
            // Nothing was written meanwhile: it goes on until something is, and when all is quiet nobody else has something.
            self.drain_gateway(self.scenario.gateways, false);
            self.schedule(AGAIN_US, Event::Over { number });
            return Ok(());
        }
        self.faults.active.remove(&number);
        self.say(|| format!("-- {kind:?} is over"));
        match kind {
            FaultKind::Crash(node) => self.start_node(node)?,
            FaultKind::PowerCut => (0..self.nodes.len()).try_for_each(|node| self.start_node(node))?,
            FaultKind::Pause(node) => {
                self.nodes[node].paused_until_us = None;
                self.drain(node);
            }
            FaultKind::Noise(_) => (self.network.noise_percent, self.faults.noise) = (0, None),
            FaultKind::SlowDisk(node) => {
                self.nodes[node].slow_until_us = 0;
            }
            FaultKind::Vanish(gateway) => self.start_gateway(gateway),
            FaultKind::Blackout => (0..self.scenario.gateways).for_each(|gateway| self.start_gateway(gateway)),
            FaultKind::Freeze(gateway) => self.thaw(gateway),
            FaultKind::Drain(gateway) => self.drain_gateway(gateway, true),
            _ => self.network.heal(number),
        }
        self.look_for_minorities();
        if !self.scenario.faults[number].kind.is_above_nodes() {
            self.watch.wrong(self.now_us);
        }
        Ok(())
    }
}
