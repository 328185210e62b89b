//! Callers: dialling, waiting, giving up, ringing again; what they do while they talk is in `talks`.

use fastrand::Rng;

use crate::Timestamp;
use crate::agenda::Event;
use crate::people::{People, dice};
use crate::plan::{Arrival, Arrivals, Habits};
use crate::spread::happens;
use crate::talks::Talk;
use crate::words::Deed;

/// The caller's leg.
pub(crate) const CALLER: u32 = 1;
/// Caller numbers drawn for callers without a population begin here.
const UNIQUE_FROM: u64 = 50_000_000_000;
/// Caller numbers drawn from a population begin here.
const POPULATION_FROM: u64 = 40_000_000_000;

/// A call that somebody is on.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `None`: we were called.
    pub(crate) line: Option<u32>,
    pub(crate) caller: String,
    pub(crate) dice: Rng,
    /// Calls of this caller before it, for the same matter.
    pub(crate) tries: u32,
    pub(crate) patience_ms: Option<u64>,
    /// Of the first talk.
    pub(crate) talk_ms: Option<u64>,
    /// Counts the times the customer began or ceased to wait.
    pub(crate) wait: u32,
    pub(crate) waits: bool,
    /// Asked for something by key, so that being let go is no refusal.
    pub(crate) pressed: bool,
    pub(crate) legs: Vec<Leg>,
    pub(crate) talk: Option<Talk>,
    pub(crate) talks: u32,
}

/// Somebody on a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    pub(crate) number: u32,
    pub(crate) who: Who,
    pub(crate) answered: bool,
    /// Let it ring.
    pub(crate) ignored: bool,
    /// Counts what happened to it.
    pub(crate) change: u32,
}

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Caller,
    Worker(u32),
    Outside,
}

/// One who will ring again.
#[derive(Clone, Debug)]
pub(crate) struct Redial {
    line: u32,
    caller: String,
    dice: Rng,
    tries: u32,
}

impl Call {
    pub(crate) fn leg(&self, number: u32) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.number == number)
    }

    pub(crate) fn leg_mut(&mut self, number: u32) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.number == number)
    }

    /// Who wants something: the caller, or one who was called back.
    pub(crate) fn customer(&self) -> Option<u32> {
        let caller = self.legs.iter().find(|leg| leg.who == Who::Caller);
        caller.or_else(|| self.legs.iter().find(|leg| leg.who == Who::Outside)).map(|leg| leg.number)
    }
}

impl People {
    pub(crate) fn plan_arrival(&mut self, line: u32, start: Timestamp) {
        let at = line as usize;
        let next = self.streams[at].next(&self.plan.lines[at].arrivals, start);
        if let Some(arrival) = &next {
            self.agenda.put(arrival.at, Event::Arrive { line });
        }
        self.coming[at] = next;
    }

    pub(crate) fn arrive(&mut self, now: Timestamp, line: u32, deeds: &mut Vec<Deed>) {
        let count = self.streams[line as usize].count;
        let Some(arrival) = self.coming[line as usize].take() else { return };
        let mut dice = dice(self.seed, 0x100 + u64::from(line), count);
        let habits = &self.plan.lines[line as usize].habits;
        let drawn = caller_of(habits, u64::from(line), count, &mut dice);
        let caller = if arrival.caller.is_empty() { drawn } else { arrival.caller.clone() };
        if !arrival.is_repeat || self.unserved.remove(&(line, caller.clone())) {
            self.dial(now, line, caller, dice, 0, &arrival, deeds);
        }
        self.plan_arrival(line, now);
    }

    pub(crate) fn redial(&mut self, now: Timestamp, slot: u32, deeds: &mut Vec<Deed>) {
        let Some(Redial { line, caller, dice, tries }) = self.redials.remove(&slot) else { return };
        self.dial(now, line, caller, dice, tries, &Arrival::default(), deeds);
    }

    #[allow(clippy::too_many_arguments)] // who dials what, and when: all of it is one fact
    fn dial(
        &mut self,
        now: Timestamp,
        line: u32,
        caller: String,
        mut dice: Rng,
        tries: u32,
        arrival: &Arrival,
        deeds: &mut Vec<Deed>,
    ) {
        let id = self.next_call;
        self.next_call += 1;
        let plan = &self.plan.lines[line as usize];
        let habits = &plan.habits;
        // Thrown whether needed or not, so that what is recorded of a caller changes nothing else about them.
        let (patience, talk) =
            (habits.patience.draw_above(arrival.patience_above_ms, &mut dice), habits.talk.draw(&mut dice));
        let patience_ms = arrival.patience_ms.or(patience);
        if let Some(ms) = patience_ms {
            self.agenda.put(now.saturating_add(ms), Event::GiveUp { call: id, wait: 0 });
        }
        for (index, press) in habits.presses.iter().enumerate() {
            if happens(press.share, &mut dice)
                && let Some(after) = press.after.draw(&mut dice)
            {
                self.agenda.put(now.saturating_add(after), Event::Press { call: id, press: index as u32 });
            }
        }
        deeds.push(Deed::Dial { call: id, number: plan.number.clone(), caller: caller.clone() });
        let leg = Leg { number: CALLER, who: Who::Caller, answered: true, ignored: false, change: 0 };
        let call = Call {
            line: Some(line),
            caller,
            dice,
            tries,
            patience_ms,
            talk_ms: arrival.talk_ms.or(talk),
            wait: 0,
            waits: true,
            pressed: false,
            legs: vec![leg],
            talk: None,
            talks: 0,
        };
        self.calls.insert(id, call);
    }

    pub(crate) fn give_up(&mut self, now: Timestamp, id: u64, wait: u32, deeds: &mut Vec<Deed>) {
        let Some(call) = self.calls.get(&id).filter(|call| call.waits && call.wait == wait) else { return };
        let Some(leg) = call.customer() else { return };
        self.perhaps_again(now, id, |habits| habits.repeat.abandoned);
        self.hang_up(now, id, leg, deeds);
    }

    pub(crate) fn press(&mut self, id: u64, press: u32, deeds: &mut Vec<Deed>) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.waits && call.wait == 0) else { return };
        let Some(line) = call.line.filter(|_| call.leg(CALLER).is_some()) else { return };
        call.pressed = true;
        let digits = self.plan.lines[line as usize].habits.presses[press as usize].digits.clone();
        deeds.push(Deed::Press { call: id, leg: CALLER, digits });
    }

    /// Music again after a talk, or at first: the customer waits.
    pub(crate) fn listen(&mut self, now: Timestamp, id: u64, leg: u32) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.customer() != Some(leg) || call.waits {
            return;
        }
        call.waits = true;
        call.wait += 1;
        if let Some(ms) = call.patience_ms {
            self.agenda.put(now.saturating_add(ms), Event::GiveUp { call: id, wait: call.wait });
        }
    }

    /// The line is dead without the person's doing.
    pub(crate) fn lose_line(&mut self, now: Timestamp, id: u64, leg: u32, status: u32) {
        let Some(call) = self.calls.get(&id) else { return };
        if leg == CALLER && call.waits && !call.pressed && call.talks == 0 && status >= 400 {
            self.perhaps_again(now, id, |habits| habits.repeat.refused);
        }
        self.drop_leg(now, id, leg);
    }

    /// One leg less. A call without legs is nobody's.
    pub(crate) fn drop_leg(&mut self, now: Timestamp, id: u64, leg: u32) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(index) = call.legs.iter().position(|row| row.number == leg) else { return };
        let row = call.legs.remove(index);
        if row.who == Who::Caller {
            call.waits = false;
        }
        if call.legs.is_empty() {
            self.calls.remove(&id);
        }
        if let Who::Worker(worker) = row.who {
            self.put_down(now, worker, row);
        }
    }

    fn perhaps_again(&mut self, now: Timestamp, id: u64, share: fn(&Habits) -> f64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(line) = call.line else { return };
        if matches!(self.plan.lines[line as usize].arrivals, Arrivals::List(_)) {
            self.unserved.insert((line, call.caller.clone()));
        }
        let habits = &self.plan.lines[line as usize].habits;
        if call.tries >= habits.repeat.most || !happens(share(habits), &mut call.dice) {
            return;
        }
        let Some(after) = habits.repeat.after.draw(&mut call.dice) else { return };
        let redial = Redial { line, caller: call.caller.clone(), dice: call.dice.clone(), tries: call.tries + 1 };
        let slot = self.redials_made;
        self.redials_made += 1;
        self.redials.insert(slot, redial);
        self.agenda.put(now.saturating_add(after), Event::Redial { slot });
    }
}

fn caller_of(habits: &Habits, line: u64, count: u64, dice: &mut Rng) -> String {
    let is_vip = happens(habits.vip_share, dice) && !habits.vips.is_empty();
    let pick = dice.u64(..);
    if is_vip {
        return habits.vips[(pick % habits.vips.len() as u64) as usize].clone();
    }
    match habits.population {
        0 => (UNIQUE_FROM + line * 10_000_000 + count).to_string(),
        people => (POPULATION_FROM + line * 10_000_000 + pick % u64::from(people)).to_string(),
    }
}
