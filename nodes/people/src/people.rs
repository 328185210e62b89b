//! Everybody, and the two doors: what they do and what happens to them. Who behaves how is in the files of the nouns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;

use crate::Timestamp;
use crate::agenda::{Agenda, Event, Pick};
use crate::agents::Seat;
use crate::arrivals::Stream;
use crate::callers::{Call, Redial};
use crate::plan::{Arrival, Plan};
use crate::words::{Deed, Sense};

/// All callers and agents of a plan, acting it out under a seed.
#[derive(Clone, Debug)]
pub struct People {
    pub(crate) plan: Arc<Plan>,
    pub(crate) seed: u64,
    pub(crate) agenda: Agenda,
    pub(crate) streams: Vec<Stream>,
    /// The next arrival of each line.
    pub(crate) coming: Vec<Option<Arrival>>,
    pub(crate) redials: BTreeMap<u32, Redial>,
    pub(crate) redials_made: u32,
    /// Of lines with recorded arrivals: line and caller whose last call was not served.
    pub(crate) unserved: BTreeSet<(u32, String)>,
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) next_call: u64,
    pub(crate) seats: Vec<Seat>,
    pub(crate) names: BTreeMap<String, u32>,
}

impl People {
    /// Puts everybody of the plan before their day. What should have begun before `start` begins then.
    pub fn new(plan: Plan, seed: u64, start: Timestamp) -> Self {
        let mut people = People {
            seed,
            agenda: Agenda::default(),
            streams: (0..plan.lines.len()).map(|line| Stream::new(mix(seed, 1, line as u64))).collect(),
            coming: vec![None; plan.lines.len()],
            redials: BTreeMap::new(),
            redials_made: 0,
            unserved: BTreeSet::new(),
            calls: BTreeMap::new(),
            next_call: plan.first_call.max(1),
            seats: plan.workers.iter().map(|worker| Seat::new(mix_text(seed, &worker.name))).collect(),
            names: plan.workers.iter().enumerate().map(|(at, worker)| (worker.name.clone(), at as u32)).collect(),
            plan: Arc::new(plan),
        };
        for worker in 0..people.seats.len() as u32 {
            people.plan_shift(worker, 0, start);
        }
        for line in 0..people.streams.len() as u32 {
            people.plan_arrival(line, start);
        }
        people
    }

    /// When [`People::act`] is to be called next. Now and then nobody does anything then.
    pub fn next(&self) -> Option<Timestamp> {
        self.agenda.next()
    }

    /// Appends what people do up to `now`, in order.
    pub fn act(&mut self, now: Timestamp, deeds: &mut Vec<Deed>) {
        while let Some(event) = self.agenda.pop_due(now) {
            match event {
                Event::Arrive { line } => self.arrive(now, line, deeds),
                Event::Redial { slot } => self.redial(now, slot, deeds),
                Event::GiveUp { call, wait } => self.give_up(now, call, wait, deeds),
                Event::Press { call, press } => self.press(call, press, deeds),
                Event::Pick { call, leg, pick } => self.pick(now, call, leg, pick, deeds),
                Event::Turn { call, talk } => self.turn(now, call, talk, deeds),
                Event::Talked { call, talk } => self.end_talk(now, call, talk, deeds),
                Event::Tire { call, leg, change } => self.tire(now, call, leg, change, deeds),
                Event::Come { worker, shift } => self.come(now, worker, shift, deeds),
                Event::Break { worker, shift, pause } => self.take_break(now, worker, shift, pause, deeds),
                Event::Back { worker } => self.come_back(worker, deeds),
                Event::Return { worker } => self.ask_for_calls(worker, deeds),
                Event::Leave { worker, shift } => self.leave(now, worker, shift, deeds),
                Event::Again { worker } => self.log_in_again(worker, deeds),
            }
        }
    }

    /// Something happens to somebody. Unknown calls and legs are nobody's.
    pub fn sense(&mut self, now: Timestamp, sense: &Sense) {
        match sense {
            Sense::Alerting { .. } | Sense::Quiet { .. } => {}
            Sense::Ringing { call, leg, agent } => self.hear_ringing(now, *call, *leg, agent),
            Sense::Called { call, leg, target: _ } => self.be_called(now, *call, *leg),
            Sense::Listening { call, leg } => self.listen(now, *call, *leg),
            Sense::Joined { call, leg, with } => self.join(now, *call, *leg, with),
            Sense::Gone { call, leg, status } => self.lose_line(now, *call, *leg, *status),
            Sense::Refused { deed } => self.be_refused(now, deed),
        }
    }

    /// Nobody is on the phone, nobody will ring or ring again. Shifts may still lie ahead.
    pub fn is_quiet(&self) -> bool {
        self.calls.is_empty() && self.redials.is_empty() && self.coming.iter().all(Option::is_none)
    }

    /// Calls that somebody is on.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    fn be_refused(&mut self, now: Timestamp, deed: &Deed) {
        match deed {
            Deed::Dial { call, .. } => self.lose_line(now, *call, crate::callers::CALLER, 503),
            Deed::LogIn { agent } => self.stay_out(agent),
            Deed::Ready { agent } => self.be_thrown_out(now, agent),
            Deed::Act { call, act, .. } => self.be_denied(now, *call, act),
            Deed::Answer { .. }
            | Deed::Refuse { .. }
            | Deed::HangUp { .. }
            | Deed::Press { .. }
            | Deed::LogOut { .. }
            | Deed::NotReady { .. } => {}
        }
    }

    /// Does with a ringing phone what was decided when it began to ring.
    fn pick(&mut self, now: Timestamp, call: u64, leg: u32, pick: Pick, deeds: &mut Vec<Deed>) {
        let Some(row) = self.calls.get_mut(&call).and_then(|call| call.leg_mut(leg)) else { return };
        match pick {
            Pick::Up => {
                row.answered = true;
                deeds.push(Deed::Answer { call, leg });
            }
            Pick::Busy | Pick::Reject => {
                deeds.push(Deed::Refuse { call, leg, busy: pick == Pick::Busy });
                self.drop_leg(now, call, leg);
            }
        }
    }

    /// A person puts the phone down.
    pub(crate) fn hang_up(&mut self, now: Timestamp, call: u64, leg: u32, deeds: &mut Vec<Deed>) {
        deeds.push(Deed::HangUp { call, leg });
        self.drop_leg(now, call, leg);
    }
}

/// Seeds of single dice out of the one seed (splitmix64).
pub(crate) fn mix(seed: u64, kind: u64, number: u64) -> u64 {
    let mut mixed = seed;
    for part in [kind, number] {
        mixed = mixed.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    mixed
}

/// The same by name, so that an agent keeps their dice when others come or go.
fn mix_text(seed: u64, text: &str) -> u64 {
    text.bytes().fold(mix(seed, 2, text.len() as u64), |mixed, byte| mix(mixed, 3, u64::from(byte)))
}

pub(crate) fn dice(seed: u64, kind: u64, number: u64) -> Rng {
    Rng::with_seed(mix(seed, kind, number))
}
