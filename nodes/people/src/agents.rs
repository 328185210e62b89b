//! Agents: shifts, breaks and the ringing phone; what they do while they talk is in `talks`.

use fastrand::Rng;

use crate::Timestamp;
use crate::agenda::{Event, Pick};
use crate::callers::{Call, Leg, Who};
use crate::people::{People, dice};
use crate::plan::Manners;
use crate::spread::happens;
use crate::words::Deed;

/// Who was thrown out comes back after it.
const AGAIN_MS: u64 = 5_000;

/// An agent at work or not.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) dice: Rng,
    /// Between coming and leaving, and known to the centre.
    pub(crate) at_work: bool,
    /// In a break.
    pub(crate) rests: bool,
    /// The break begins when the phone is down.
    pub(crate) owed_break_ms: Option<u64>,
    /// Legs in hand, ringing ones included.
    pub(crate) legs: u32,
}

impl Seat {
    pub(crate) fn new(seed: u64) -> Self {
        Seat { dice: Rng::with_seed(seed), at_work: false, rests: false, owed_break_ms: None, legs: 0 }
    }
}

impl People {
    /// The next shift that is not over before `now`.
    pub(crate) fn plan_shift(&mut self, worker: u32, from: u32, now: Timestamp) {
        let shifts = &self.plan.workers[worker as usize].shifts;
        let next = shifts.iter().enumerate().skip(from as usize).find(|(_, shift)| shift.until > now);
        if let Some((index, shift)) = next {
            self.agenda.put(shift.from.max(now), Event::Come { worker, shift: index as u32 });
        }
    }

    pub(crate) fn come(&mut self, now: Timestamp, worker: u32, shift: u32, deeds: &mut Vec<Deed>) {
        let seat = &mut self.seats[worker as usize];
        seat.at_work = true;
        seat.rests = false;
        seat.owed_break_ms = None;
        deeds.push(Deed::LogIn { agent: self.agent(worker) });
        let plan = std::sync::Arc::clone(&self.plan);
        let plan = &plan.workers[worker as usize].shifts[shift as usize];
        for (index, pause) in plan.breaks.iter().enumerate() {
            if pause.at > now {
                self.agenda.put(pause.at, Event::Break { worker, shift, pause: index as u32 });
            } else if pause.at.saturating_add(pause.length_ms) > now {
                self.take_break(now, worker, shift, index as u32, deeds);
            }
        }
        self.agenda.put(plan.until, Event::Leave { worker, shift });
        self.ask_for_calls(worker, deeds);
    }

    pub(crate) fn log_in_again(&mut self, worker: u32, deeds: &mut Vec<Deed>) {
        if self.seats[worker as usize].at_work {
            deeds.push(Deed::LogIn { agent: self.agent(worker) });
            self.ask_for_calls(worker, deeds);
        }
    }

    pub(crate) fn take_break(&mut self, now: Timestamp, worker: u32, shift: u32, pause: u32, deeds: &mut Vec<Deed>) {
        let pause = &self.plan.workers[worker as usize].shifts[shift as usize].breaks[pause as usize];
        let seat = &mut self.seats[worker as usize];
        if !seat.at_work || seat.rests {
            return;
        }
        seat.rests = true;
        let length = pause.length_ms.saturating_sub(now.saturating_sub(pause.at));
        if seat.legs > 0 {
            seat.owed_break_ms = Some(length);
        } else {
            self.agenda.put(now.saturating_add(length), Event::Back { worker });
        }
        deeds.push(Deed::NotReady { agent: self.agent(worker), reason: pause.reason.clone() });
    }

    pub(crate) fn come_back(&mut self, worker: u32, deeds: &mut Vec<Deed>) {
        self.seats[worker as usize].rests = false;
        self.ask_for_calls(worker, deeds);
    }

    pub(crate) fn ask_for_calls(&mut self, worker: u32, deeds: &mut Vec<Deed>) {
        let seat = &self.seats[worker as usize];
        if seat.at_work && !seat.rests {
            deeds.push(Deed::Ready { agent: self.agent(worker) });
        }
    }

    pub(crate) fn leave(&mut self, now: Timestamp, worker: u32, shift: u32, deeds: &mut Vec<Deed>) {
        if std::mem::take(&mut self.seats[worker as usize].at_work) {
            deeds.push(Deed::LogOut { agent: self.agent(worker) });
        }
        self.plan_shift(worker, shift + 1, now);
    }

    /// Decides at the first ring what becomes of it.
    pub(crate) fn hear_ringing(&mut self, now: Timestamp, id: u64, leg: u32, agent: &str) {
        let Some(worker) = self.names.get(agent).copied() else { return };
        let plan = &self.plan.workers[worker as usize];
        let seat = &mut self.seats[worker as usize];
        let row = Leg { number: leg, who: Who::Worker(worker), answered: false, ignored: false, change: 0 };
        let Some(row) = add_leg(self.calls.entry(id).or_insert_with(|| foreign(self.seed, id)), row) else { return };
        seat.legs += 1;
        let Manners { answer, ignores, busy, rejects, .. } = &plan.manners;
        decide(now, id, row, (answer, *ignores, *busy, *rejects), &mut seat.dice, |at, event| {
            self.agenda.put(at, event);
        });
    }

    /// A phone outside rings.
    pub(crate) fn be_called(&mut self, now: Timestamp, id: u64, leg: u32) {
        let row = Leg { number: leg, who: Who::Outside, answered: false, ignored: false, change: 0 };
        let call = self.calls.entry(id).or_insert_with(|| foreign(self.seed, id));
        let mut dice = dice(self.seed, id, u64::from(leg));
        let Some(row) = add_leg(call, row) else { return };
        let outside = &self.plan.outside;
        decide(now, id, row, (&outside.answer, outside.ignores, outside.busy, 0.0), &mut dice, |at, event| {
            self.agenda.put(at, event);
        });
    }

    /// An agent's leg is over.
    pub(crate) fn put_down(&mut self, now: Timestamp, worker: u32, leg: Leg) {
        let seat = &mut self.seats[worker as usize];
        seat.legs = seat.legs.saturating_sub(1);
        if seat.legs == 0
            && let Some(length) = seat.owed_break_ms.take()
        {
            self.agenda.put(now.saturating_add(length), Event::Back { worker });
        }
        let manners = &self.plan.workers[worker as usize].manners;
        let after = if leg.ignored {
            manners.returns.draw(&mut seat.dice)
        } else if leg.answered {
            manners.wrap_up.as_ref().and_then(|spread| spread.draw(&mut seat.dice))
        } else {
            None
        };
        if let Some(after) = after {
            self.agenda.put(now.saturating_add(after), Event::Return { worker });
        }
    }

    /// The centre does not know the agent, or does not want them: until the next shift.
    pub(crate) fn stay_out(&mut self, agent: &str) {
        if let Some(worker) = self.names.get(agent) {
            self.seats[*worker as usize].at_work = false;
        }
    }

    /// The centre has logged the agent out.
    pub(crate) fn be_thrown_out(&mut self, now: Timestamp, agent: &str) {
        if let Some(worker) = self.names.get(agent).copied()
            && self.seats[worker as usize].at_work
        {
            self.agenda.put(now + AGAIN_MS, Event::Again { worker });
        }
    }

    pub(crate) fn agent(&self, worker: u32) -> String {
        self.plan.workers[worker as usize].name.clone()
    }
}

/// A call that none of us dialled, or that all of us had left.
fn foreign(seed: u64, id: u64) -> Call {
    Call {
        line: None,
        caller: String::new(),
        dice: dice(seed, 4, id),
        tries: 0,
        patience_ms: None,
        talk_ms: None,
        wait: 0,
        waits: false,
        pressed: false,
        legs: Vec::new(),
        talk: None,
        talks: 0,
    }
}

fn add_leg(call: &mut Call, leg: Leg) -> Option<&mut Leg> {
    if call.leg(leg.number).is_some() {
        return None;
    }
    call.legs.push(leg);
    call.legs.last_mut()
}

type Tendencies<'a> = (&'a crate::Spread, f64, f64, f64);

fn decide(
    now: Timestamp,
    call: u64,
    row: &mut Leg,
    (answer, ignores, busy, rejects): Tendencies<'_>,
    dice: &mut Rng,
    put: impl FnOnce(Timestamp, Event),
) {
    let after = answer.draw(dice);
    let level = dice.f64();
    let Some(after) = after.filter(|_| level >= ignores) else {
        row.ignored = true;
        return;
    };
    let pick = match level - ignores {
        rest if rest < busy => Pick::Busy,
        rest if rest < busy + rejects => Pick::Reject,
        _ => Pick::Up,
    };
    put(now.saturating_add(after), Event::Pick { call, leg: row.number, pick });
}

/// A share that happens to the agent of a talk.
pub(crate) fn chance(seat: &mut Seat, share: f64) -> bool {
    happens(share, &mut seat.dice)
}
