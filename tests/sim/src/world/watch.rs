//! What is held against what must be from outside the log: minorities that answer, rings that come too late, time
//! that passes without anything happening, and whether all is over.

use std::collections::BTreeMap;

use proto::v1::{Outcome, Submission, outcome::Result as Answer};

use super::{Event, LOOK_US, World, moves::ARRIVAL_US};
use crate::{
    link::TENANT,
    machine::SHARDS,
    node_process::LEASE_US,
    people::{LegKey, Wish},
    scenario::{MILLI, SECOND, Us},
    verdict::{Check, Invariant, hold},
};

/// Rings that were ordered before a break may sound until this long after it was acknowledged.
const RING_SLACK_US: Us = 3 * SECOND;
/// With nothing wrong for this long the shard has a leader and its clock moves.
const CALM_US: Us = 5 * SECOND;
/// How late a deadline may be in calm times.
const LATE_US: u64 = SECOND;
/// A node finds out within this that a stream is broken.
const STREAM_US: Us = 4 * SECOND;
/// Replicas are audited at each so manieth look.
const AUDIT_EVERY: u64 = 8;
/// For so many looks somebody asks about the tenant, and for as many nobody does: questions keep a shard awake.
const CURIOUS: u64 = 16;
/// The shard where it does not live is asked about at each so manieth look.
const REMOTE_EVERY: u64 = 40;
/// With nothing wrong a move goes on, and the tenant lives somewhere again within this.
const DARK_US: Us = 10 * SECOND;

#[derive(Debug, Default)]
struct Away {
    said: BTreeMap<u64, Wish>,
    since_us: Option<Us>,
}

#[derive(Debug)]
pub(super) struct Watch {
    minority_since_us: Vec<Option<Us>>,
    started_us: Vec<Us>,
    gained_us: Vec<Us>,
    wrong_us: Us,
    /// The same, a tenant that moves left aside.
    broken_us: Us,
    submitted: BTreeMap<(usize, u64, u64), Us>,
    /// Since when, and what was applied by then.
    asked: BTreeMap<(usize, u64), (Us, u64)>,
    answers: u64,
    tokens: u64,
    looks: u64,
    away: BTreeMap<String, Away>,
    rung: BTreeMap<LegKey, String>,
    problem: Option<(Invariant, String)>,
}

impl Watch {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            minority_since_us: vec![None; nodes],
            started_us: vec![0; nodes],
            gained_us: vec![0; nodes],
            wrong_us: 0,
            broken_us: 0,
            submitted: BTreeMap::new(),
            asked: BTreeMap::new(),
            answers: 0,
            tokens: 0,
            looks: 0,
            away: BTreeMap::new(),
            rung: BTreeMap::new(),
            problem: None,
        }
    }

    pub(super) fn started(&mut self, at: usize, now_us: Us) {
        self.started_us[at] = now_us;
    }

    pub(super) fn gained(&mut self, at: usize, now_us: Us) {
        self.gained_us[at] = now_us;
    }

    pub(super) fn submitted(&mut self, at: usize, submissions: &[Submission], now_us: Us) {
        for id in submissions.iter().filter_map(|submission| submission.id) {
            self.submitted.entry((at, id.sender, id.number)).or_insert(now_us);
        }
    }

    pub(super) fn answered(&mut self, at: usize, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let Some(id) = outcome.id else { continue };
            let Some(since_us) = self.submitted.remove(&(at, id.sender, id.number)) else { continue };
            let committed = matches!(outcome.result, Some(Answer::Accepted(_) | Answer::Rejection(_)));
            let alone = self.minority_since_us[at].is_some_and(|alone_us| since_us > alone_us);
            if committed && alone {
                let what = format!("n{} is alone and answers command {:x?}", at + 1, (id.sender, id.number));
                self.problem.get_or_insert((Invariant::Minority, what));
            }
        }
    }

    /// Something is wrong with the nodes: calm times begin anew.
    pub(super) fn wrong(&mut self, now_us: Us) {
        (self.wrong_us, self.broken_us) = (now_us, now_us);
    }

    /// Whether it cannot talk to a majority.
    pub(super) fn is_alone(&self, at: usize) -> bool {
        self.minority_since_us[at].is_some()
    }

    pub(super) const fn answers(&self) -> u64 {
        self.answers
    }

    pub(super) fn asked(&mut self, at: usize, token: u64, now_us: Us, applied: u64) {
        self.asked.insert((at, token), (now_us, applied));
    }

    pub(super) fn unread(&mut self, at: usize, token: u64) {
        self.asked.remove(&(at, token));
    }

    pub(super) fn read(&mut self, at: usize, token: u64, shard: u32, applied: u64) {
        let Some((since_us, known)) = self.asked.remove(&(at, token)) else { return };
        self.answers += 1;
        if applied < known {
            let n = at + 1;
            let what = format!("n{n} answers about shard {shard} from entry {applied}, {known} was applied before");
            self.problem.get_or_insert((Invariant::Reads, what));
        }
        if self.minority_since_us[at].is_some_and(|alone_us| since_us > alone_us) {
            let what = format!("n{} is alone and answers a question", at + 1);
            self.problem.get_or_insert((Invariant::Minority, what));
        }
    }

    pub(super) fn wish_said(&mut self, agent: &str, number: u64, wish: Wish) {
        let away = self.away.entry(agent.to_owned()).or_default();
        away.said.insert(number, wish);
        if matches!(wish, Wish::Ready | Wish::LogIn) {
            away.since_us = None;
        }
    }

    pub(super) fn wish_done(&mut self, agent: &str, number: u64, now_us: Us) {
        let Some(away) = self.away.get_mut(agent) else { return };
        let leaves = |wish: &Wish| matches!(wish, Wish::NotReady | Wish::LogOut);
        if away.said.range(number..).all(|(_, wish)| leaves(wish)) {
            away.since_us.get_or_insert(now_us);
        }
    }

    /// A phone begins to ring. What is ordered after a break is the judge's business; this is about what was ordered
    /// before and comes late.
    pub(super) fn rings(&mut self, agent: &str, leg: LegKey, ordered_us: Us, now_us: Us) {
        if self.rung.insert(leg, agent.to_owned()).is_none() {
            let since_us = self.away.get(agent).and_then(|away| away.since_us);
            if since_us.is_some_and(|since_us| ordered_us < since_us && since_us + RING_SLACK_US < now_us) {
                let what = format!("{agent} rings for call {:x} long after a break was acknowledged", leg.0);
                self.problem.get_or_insert((Invariant::Breaks, what));
            }
        }
    }
}

impl World {
    /// Which nodes cannot talk to a majority, both ways.
    pub(super) fn look_for_minorities(&mut self) {
        let count = self.nodes.len();
        for at in 0..count {
            let talks = |other: &usize| {
                *other == at
                    || (self.nodes[*other].core.is_some()
                        && self.network.cut_by(at, *other).is_empty()
                        && self.network.cut_by(*other, at).is_empty())
            };
            let alone = (0..count).filter(talks).count() * 2 <= count;
            let since_us = &mut self.watch.minority_since_us[at];
            *since_us = if alone { Some(since_us.unwrap_or(self.now_us)) } else { None };
        }
    }

    /// The world as a whole.
    pub(super) fn look(&mut self) -> Check {
        self.schedule(LOOK_US, Event::Look);
        self.watch.looks += 1;
        if let Some(problem) = self.watch.problem.take() {
            return Err(problem);
        }
        self.faults.configured(self.judge.shard().config_version());
        self.ask_around();
        self.look_for_a_mover();
        if self.watch.looks.is_multiple_of(AUDIT_EVERY) {
            self.audit_replicas()?;
        }
        let calm = self.network.is_whole() && self.nodes.iter().all(|node| node.runs() && node.slow_until_us == 0);
        if !calm {
            self.watch.wrong(self.now_us);
        }
        if let Some(since_us) = self.judge.dark_since_us() {
            let dark_us = self.now_us - since_us.max(self.watch.broken_us);
            // Of a mover's messages some are lost all the time; when too many are, it lives where it was again.
            let moving_us = if self.moves.is_moving() { ARRIVAL_US } else { 0 };
            hold!(
                dark_us < DARK_US + moving_us,
                Healing,
                "nothing is wrong, and the tenant lives nowhere for {} s",
                dark_us / SECOND
            );
            // Nothing of it can be calm meanwhile.
            self.watch.wrong_us = self.now_us;
        }
        if self.now_us > self.watch.wrong_us + CALM_US { self.calm_times() } else { Ok(()) }
    }

    /// Questions about the shards: of whoever leads, of somebody else, and of one that has just been left alone.
    fn ask_around(&mut self) {
        let asked = self.dice.usize(0..self.nodes.len());
        let (looks, home) = (self.watch.looks, self.judge.home());
        for shard in SHARDS {
            let due = if home == Some(shard) {
                (looks / CURIOUS).is_multiple_of(2)
            } else {
                looks.is_multiple_of(REMOTE_EVERY)
            };
            for at in 0..self.nodes.len() {
                let lonely = self.watch.minority_since_us[at].is_some_and(|since_us| since_us + LOOK_US >= self.now_us);
                if lonely || (due && (at == asked || self.nodes[at].leads_shard(shard))) {
                    self.watch.tokens += 1;
                    self.ask(at, shard, self.watch.tokens);
                }
            }
        }
    }

    fn audit_replicas(&mut self) -> Check {
        for (at, node) in self.nodes.iter().enumerate() {
            let tenants = SHARDS.into_iter().filter_map(|shard| node.core.as_ref()?.tenants(shard));
            for shard in tenants.flat_map(|tenants| tenants.all_living().filter_map(|tenant| tenants.living(tenant))) {
                let audit = shard.audit();
                hold!(audit.is_ok(), Audit, "n{}: {}", at + 1, audit.err().unwrap_or_default());
            }
        }
        Ok(())
    }

    /// What the cluster must do when nothing is wrong with it.
    fn calm_times(&mut self) -> Check {
        for shard in SHARDS {
            let led = self.nodes.iter().any(|node| node.leads_shard(shard));
            let calm_s = CALM_US / SECOND;
            hold!(led, Healing, "nobody leads shard {shard} although nothing has been wrong for {calm_s} s");
        }
        let Some(leader) = (0..self.nodes.len()).find(|at| self.nodes[*at].leads()) else {
            hold!(false, Healing, "nobody leads the tenant although nothing has been wrong for {} s", CALM_US / SECOND);
            return Ok(());
        };
        let own_us = self.nodes[leader].own_us(self.now_us);
        let tenant = self.nodes[leader].core.as_ref().and_then(|core| core.tenant(TENANT));
        let due_ms = tenant.and_then(acd::Shard::next_deadline).unwrap_or(u64::MAX);
        let late = due_ms.saturating_mul(MILLI) + LATE_US < own_us;
        hold!(!late, Deadlines, "a deadline has been due for {} ms", own_us / MILLI - due_ms.min(own_us / MILLI));
        let living = tenant.map_or_else(Vec::new, acd::Shard::gateways);
        let long_us = LEASE_US + STREAM_US + 2 * SECOND;
        if self.now_us < self.watch.gained_us[leader] + long_us || self.now_us < self.watch.wrong_us + long_us {
            return Ok(());
        }
        for (at, slot) in self.gateways.iter().enumerate() {
            let gone = slot.gateway.is_none() && slot.since_us + long_us < self.now_us;
            let known = living.iter().any(|gateway| gateway.up && gateway.id == format!("g{}", at + 1));
            hold!(!gone || !known, Deadlines, "g{} is dead and the shard still counts on it", at + 1);
        }
        Ok(())
    }

    /// Whether all is over: everything whole, everybody served or gone, nothing left behind.
    pub(super) fn is_over(&self) -> bool {
        self.healed()
            && self.people.callers_are_done()
            && self.gateways.iter().all(|slot| slot.gateway.as_ref().is_some_and(|gateway| gateway.is_idle()))
            && self.judge.shard().calls(&acd::view::CallFilter::default()).is_empty()
            && self.judge.shard().calls(&acd::view::CallFilter { ended: true, ..Default::default() }).is_empty()
            && self.replicas_agree()
    }

    fn replicas_agree(&self) -> bool {
        SHARDS.into_iter().all(|shard| {
            let mut applied = self.nodes.iter().map(|node| {
                let core = node.core.as_ref()?;
                Some(core.host().status(shard)?.applied)
            });
            let first = applied.next().flatten();
            first.is_some_and(|first| first >= self.judge.last(shard) && applied.all(|other| other == Some(first)))
        })
    }

    pub(super) fn finish(&mut self) -> Check {
        self.judge.finish()?;
        self.audit_replicas()?;
        for shard in SHARDS {
            let hash = self.judge.hash(shard);
            for (at, node) in self.nodes.iter().enumerate() {
                let same = node.hash(shard) == Some(hash);
                hold!(same, Replicas, "n{} ends in another state of shard {shard}", at + 1);
            }
        }
        self.faults.check(&self.scenario.faults)
    }

    /// Why it is not over.
    pub(super) fn what_is_left(&self) -> String {
        let legs: Vec<_> = self
            .gateways
            .iter()
            .filter_map(|slot| slot.gateway.as_ref())
            .flat_map(|gateway| gateway.standing())
            .collect();
        let calls = self.judge.shard().calls(&acd::view::CallFilter::default());
        let calls: Vec<_> = calls.into_iter().map(|call| format!("{:x} {}", call.call, call.state)).collect();
        let ended = self.judge.shard().calls(&acd::view::CallFilter { ended: true, ..Default::default() });
        let ended: Vec<_> = ended.into_iter().map(|call| format!("{:x}", call.call)).collect();
        let callers = self.people.callers_are_done();
        let agree = self.replicas_agree();
        format!(
            "not over: healed {}, faults and versions left {:?}, moving {}, callers done {callers}, replicas agree {agree}, legs {legs:x?}, calls {calls:?}, ended calls {ended:?}",
            self.healed(),
            self.faults.left(),
            self.moves.is_moving()
        )
    }
}
