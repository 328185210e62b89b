//! Talks: how long, who ends them, and what the agent does meanwhile. Time drives a talk, so that none lasts for ever
//! whatever the world answers.

use fastrand::Rng;

use crate::Timestamp;
use crate::agenda::Event;
use crate::agents::chance;
use crate::callers::{CALLER, Who};
use crate::people::People;
use crate::plan::Worker;
use crate::spread::{happens, whole};
use crate::words::{Act, Deed, Target};

/// A target that nobody has joined by then is called off.
const CONSULT_MS_MAX: u64 = 60_000;
/// Two who talk about nobody hang up after it.
const TIRE_MS: u64 = 600_000;
/// When no talk time can be drawn.
const TALK_MS_DEFAULT: u64 = 60_000;

/// The customer's present talk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    /// Tells its events from those of earlier talks and stages.
    pub(crate) number: u32,
    pub(crate) stage: Stage,
    /// The agent and their leg; `None`: somebody outside.
    agent: Option<(u32, u32)>,
    /// When it ends, while talking.
    until: Timestamp,
    /// What is left of it, while not.
    left_ms: u64,
    /// The agent hands the caller on in the end.
    transfers: bool,
}

/// Where a talk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Talking { turn: Middle },
    Held,
    Consulting { target_joined: bool },
    Conferring,
}

/// What is to come in the middle of a talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Middle {
    Nothing,
    Hold,
    Consult,
}

impl People {
    /// A leg talks with others.
    pub(crate) fn join(&mut self, now: Timestamp, id: u64, leg: u32, with: &[u32]) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(row) = call.leg_mut(leg) else { return };
        row.change += 1;
        row.answered = true;
        let (who, change) = (row.who, row.change);
        if call.customer() == Some(leg) {
            call.waits = false;
            call.wait += 1;
            return self.begin_talk(now, id, with);
        }
        let customer = call.customer();
        if customer.is_some_and(|customer| with.contains(&customer)) {
            return;
        }
        self.agenda.put(now + TIRE_MS, Event::Tire { call: id, leg, change });
        if let Who::Worker(worker) = who {
            self.begin_consultation(now, id, worker, leg);
        }
    }

    fn begin_talk(&mut self, now: Timestamp, id: u64, with: &[u32]) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let agent = with.iter().find_map(|leg| match call.leg(*leg)?.who {
            Who::Worker(worker) => Some((worker, *leg)),
            Who::Caller | Who::Outside => None,
        });
        if let Some(talk) = &mut call.talk
            && (talk.agent == agent || with.len() > 1)
        {
            return match talk.stage {
                Stage::Talking { .. } | Stage::Conferring => {}
                // The target did not come, or the world was faster than the agent.
                Stage::Held | Stage::Consulting { .. } => self.talk_on(now, id),
            };
        }
        let spread = match call.line {
            Some(line) => &self.plan.lines[line as usize].habits.talk,
            None => &self.plan.outside.talk,
        };
        let first = call.talk_ms.take();
        let usual = first.or_else(|| spread.draw(&mut call.dice)).unwrap_or(TALK_MS_DEFAULT);
        let pace = agent.map_or(1.0, |(worker, _)| self.plan.workers[worker as usize].pace);
        let length = whole(usual as f64 * pace);
        let mut middle = Middle::Nothing;
        let mut transfers = false;
        let mut part = 0.0;
        if let Some((worker, _)) = agent {
            let manners = &self.plan.workers[worker as usize].manners;
            let seat = &mut self.seats[worker as usize];
            let (consults, holds) = (chance(seat, manners.consults), chance(seat, manners.holds));
            transfers = chance(seat, manners.transfers) && !manners.targets.is_empty();
            part = seat.dice.f64();
            if consults && !manners.targets.is_empty() {
                middle = Middle::Consult;
            } else if holds {
                middle = Middle::Hold;
            }
        }
        call.talks += 1;
        let until = now.saturating_add(length);
        let number = call.talk.map_or(0, |talk| talk.number) + 1;
        call.talk = Some(Talk { number, stage: Stage::Talking { turn: middle }, agent, until, left_ms: 0, transfers });
        if middle != Middle::Nothing {
            self.agenda.put(now.saturating_add(whole(length as f64 * part)), Event::Turn { call: id, talk: number });
        }
        self.agenda.put(until, Event::Talked { call: id, talk: number });
    }

    /// The agent's leg talks with the target while the customer hears music.
    fn begin_consultation(&mut self, now: Timestamp, id: u64, worker: u32, leg: u32) {
        let Some(talk) = self.calls.get_mut(&id).and_then(|call| call.talk.as_mut()) else { return };
        if talk.agent != Some((worker, leg)) || !matches!(talk.stage, Stage::Consulting { target_joined: false }) {
            return;
        }
        talk.number += 1;
        talk.stage = Stage::Consulting { target_joined: true };
        let number = talk.number;
        let spread = &self.plan.workers[worker as usize].manners.consult;
        let length = spread.draw(&mut self.seats[worker as usize].dice).unwrap_or(TALK_MS_DEFAULT);
        self.agenda.put(now.saturating_add(length), Event::Turn { call: id, talk: number });
    }

    /// Back to the customer, for what was left.
    fn talk_on(&mut self, now: Timestamp, id: u64) {
        let Some(talk) = self.calls.get_mut(&id).and_then(|call| call.talk.as_mut()) else { return };
        talk.number += 1;
        talk.stage = Stage::Talking { turn: Middle::Nothing };
        talk.until = now.saturating_add(talk.left_ms);
        self.agenda.put(talk.until, Event::Talked { call: id, talk: talk.number });
    }

    pub(crate) fn turn(&mut self, now: Timestamp, id: u64, number: u32, deeds: &mut Vec<Deed>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(talk) = call.talk.as_mut().filter(|talk| talk.number == number) else { return };
        let Some((worker, leg)) = talk.agent.filter(|(_, leg)| call.legs.iter().any(|row| row.number == *leg)) else {
            return;
        };
        let plan = &self.plan.workers[worker as usize];
        let manners = &plan.manners;
        let seat = &mut self.seats[worker as usize];
        let mut act = |act| deeds.push(Deed::Act { call: id, agent: plan.name.clone(), act });
        match talk.stage {
            Stage::Talking { turn: Middle::Nothing } => {}
            Stage::Talking { turn: Middle::Hold } => {
                act(Act::Hold);
                talk.pause(now, Stage::Held);
                let length = manners.hold.draw(&mut seat.dice).unwrap_or(TALK_MS_DEFAULT);
                self.agenda.put(now.saturating_add(length), Event::Turn { call: id, talk: talk.number });
            }
            Stage::Held => {
                act(Act::Resume);
                self.talk_on(now, id);
            }
            Stage::Talking { turn: Middle::Consult } => {
                let Some(target) = target(plan, true, &mut seat.dice) else { return };
                act(Act::Consult(target));
                talk.pause(now, Stage::Consulting { target_joined: false });
                self.agenda.put(now + CONSULT_MS_MAX, Event::Turn { call: id, talk: talk.number });
            }
            Stage::Consulting { target_joined: false } => {
                act(Act::TakeBack);
                self.talk_on(now, id);
            }
            Stage::Consulting { target_joined: true } => {
                if chance(seat, manners.conferences) {
                    act(Act::Conference);
                    talk.number += 1;
                    talk.stage = Stage::Conferring;
                    let length = manners.consult.draw(&mut seat.dice).unwrap_or(TALK_MS_DEFAULT);
                    self.agenda.put(now.saturating_add(length), Event::Turn { call: id, talk: talk.number });
                } else if chance(seat, manners.completes) {
                    act(Act::Complete);
                    self.hand_over(now, id);
                } else {
                    act(Act::TakeBack);
                    self.talk_on(now, id);
                }
            }
            Stage::Conferring => {
                if chance(seat, manners.completes) {
                    act(Act::Leave);
                    self.hand_over(now, id);
                } else {
                    self.hang_up(now, id, leg, deeds);
                }
            }
        }
    }

    /// The agent is done with the customer as soon as the world says so; should it never, they hang up.
    fn hand_over(&mut self, now: Timestamp, id: u64) {
        let Some(talk) = self.calls.get_mut(&id).and_then(|call| call.talk.as_mut()) else { return };
        talk.left_ms = CONSULT_MS_MAX;
        talk.transfers = false;
        self.talk_on(now, id);
    }

    /// What an agent wanted to do with the call is not done.
    pub(crate) fn be_denied(&mut self, now: Timestamp, id: u64, act: &Act) {
        let Some(talk) = self.calls.get_mut(&id).and_then(|call| call.talk.as_mut()) else { return };
        match act {
            Act::Hold | Act::Consult(_) if !matches!(talk.stage, Stage::Talking { .. }) => self.talk_on(now, id),
            // Nothing is left but to say so and to hang up.
            Act::Transfer(_) => {
                talk.left_ms = 0;
                self.talk_on(now, id);
            }
            Act::Hold
            | Act::Consult(_)
            | Act::Resume
            | Act::Complete
            | Act::Swap
            | Act::Conference
            | Act::TakeBack
            | Act::Leave => {}
        }
    }

    pub(crate) fn end_talk(&mut self, now: Timestamp, id: u64, number: u32, deeds: &mut Vec<Deed>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let customer = call.customer();
        let Some(talk) = call.talk.as_mut().filter(|talk| talk.number == number) else { return };
        let agent = talk.agent.filter(|(_, leg)| call.legs.iter().any(|row| row.number == *leg));
        if let (true, Some((worker, _)), Some(_)) = (talk.transfers, agent, customer) {
            let plan = &self.plan.workers[worker as usize];
            if let Some(target) = target(plan, false, &mut self.seats[worker as usize].dice) {
                deeds.push(Deed::Act { call: id, agent: plan.name.clone(), act: Act::Transfer(target) });
                return self.hand_over(now, id);
            }
        }
        let caller_first = match call.line {
            Some(line) => happens(self.plan.lines[line as usize].habits.hangs_up_first, &mut call.dice),
            None => happens(0.5, &mut call.dice),
        };
        let cut_off = talk.agent.is_some() && agent.is_none();
        let leg = match (customer, agent) {
            // The agent was cut off: whoever they talked to is sent on or waits again, with patience of their own.
            (Some(_), None) if cut_off => None,
            (Some(customer), Some((_, leg))) => Some(if caller_first { customer } else { leg }),
            (Some(leg), None) | (None, Some((_, leg))) => Some(leg),
            (None, None) => None,
        };
        if let Some(leg) = leg {
            self.hang_up(now, id, leg, deeds);
        }
    }

    /// Two who talk about nobody.
    pub(crate) fn tire(&mut self, now: Timestamp, id: u64, leg: u32, change: u32, deeds: &mut Vec<Deed>) {
        let row = self.calls.get(&id).and_then(|call| call.leg(leg));
        if leg != CALLER && row.is_some_and(|row| row.change == change) {
            self.hang_up(now, id, leg, deeds);
        }
    }
}

impl Talk {
    fn pause(&mut self, now: Timestamp, stage: Stage) {
        self.number += 1;
        self.left_ms = self.until.saturating_sub(now);
        self.stage = stage;
    }
}

/// Whom to send the caller to, or to ask: not oneself, and a queue cannot be asked.
fn target(worker: &Worker, asks: bool, dice: &mut Rng) -> Option<Target> {
    let fits = |target: &&Target| match target {
        Target::Agent(name) => *name != worker.name,
        Target::Queue(_) => !asks,
        Target::Number(_) | Target::Sip(_) => true,
    };
    let count = worker.manners.targets.iter().filter(fits).count();
    let index = dice.usize(..count.max(1));
    worker.manners.targets.iter().filter(fits).nth(index).cloned()
}
