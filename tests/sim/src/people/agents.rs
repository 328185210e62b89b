//! One agent: says what is wanted until the desk says that it is done, answers, refuses or lets ring, hangs up.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::{Deed, LegKey, Wish};
use crate::scenario::{Agent, MILLI, SECOND, Us};

/// What was said and not answered is said again after this.
const SAY_AGAIN_US: Us = 3 * SECOND;
/// Some answer so late that the call is long with somebody else.
const LATE_US: Us = 9 * SECOND;
/// An agent who was made not ready says so after this.
const RETURN_US: Us = 4 * SECOND;

#[derive(Debug)]
pub(super) struct Worker {
    plan: Agent,
    dice: Rng,
    /// Still to come: when, and what is wanted then.
    wishes: BTreeMap<(Us, u8), Wish>,
    /// Said and not known to be done.
    said: Option<(u64, Wish, Us)>,
    number: u64,
    ringing: BTreeMap<LegKey, (Us, Option<u32>)>,
    talking: BTreeMap<LegKey, Us>,
    /// Legs that ring this phone, or did until it was lifted.
    rung: BTreeSet<LegKey>,
}

impl Worker {
    pub(super) fn new(plan: Agent, seed: u64) -> Self {
        let salt = plan.name.bytes().fold(7_u64, |salt, byte| salt.wrapping_mul(31).wrapping_add(byte.into()));
        let mut wishes = BTreeMap::from([
            ((plan.begins_us, 0), Wish::LogIn),
            ((plan.begins_us + 50 * MILLI, 1), Wish::Ready),
            ((plan.ends_us, 9), Wish::LogOut),
        ]);
        for (from_us, to_us) in &plan.breaks {
            wishes.insert((*from_us, 2), Wish::NotReady);
            wishes.insert((*to_us, 3), Wish::Ready);
        }
        // Whoever was made not ready, by ringing for nothing perhaps, comes back now and then.
        let mut at_us = plan.begins_us + RETURN_US;
        while at_us < plan.ends_us {
            if !plan.breaks.iter().any(|(from_us, to_us)| (*from_us..=*to_us).contains(&at_us)) {
                wishes.insert((at_us, 4), Wish::Ready);
            }
            at_us += RETURN_US;
        }
        wishes.retain(|(at_us, rank), _| *at_us < plan.ends_us || *rank == 9);
        let (ringing, talking, rung) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let dice = Rng::with_seed(seed ^ salt);
        Self { plan, dice, wishes, said: None, number: 0, ringing, talking, rung }
    }

    pub(super) fn name(&self) -> &str {
        &self.plan.name
    }

    pub(super) fn next_us(&self) -> Option<Us> {
        let wish = self.wishes.keys().next().map(|(at_us, _)| *at_us);
        let said = self.said.map(|(_, _, since_us)| since_us + SAY_AGAIN_US);
        let ringing = self.ringing.values().map(|(at_us, _)| *at_us).min();
        let talking = self.talking.values().copied().min();
        wish.into_iter().chain(said).chain(ringing).chain(talking).min()
    }

    pub(super) fn act(&mut self, now_us: Us, deeds: &mut Vec<Deed>) {
        while let Some(first) = self.wishes.first_entry().filter(|first| first.key().0 <= now_us) {
            let wish = first.remove();
            // Nobody who is about to go says that they are ready.
            if wish == Wish::Ready && self.said.is_some_and(|(_, said, _)| said == Wish::LogOut) {
                continue;
            }
            self.say(now_us, wish, deeds);
        }
        if let Some((_, wish, since_us)) = self.said
            && since_us + SAY_AGAIN_US <= now_us
        {
            self.say(now_us, wish, deeds);
        }
        let due: Vec<_> = self.ringing.iter().filter(|(_, (at_us, _))| *at_us <= now_us).map(|(leg, _)| *leg).collect();
        for leg in due {
            let Some((_, refusal)) = self.ringing.remove(&leg) else { continue };
            deeds.push(refusal.map_or(Deed::Answer(leg), |status| Deed::Refuse(leg, status)));
        }
        let over: Vec<_> =
            self.talking.iter().filter(|(_, until_us)| **until_us <= now_us).map(|(leg, _)| *leg).collect();
        for leg in over {
            self.talking.remove(&leg);
            deeds.push(Deed::HangUp(leg));
        }
    }

    fn say(&mut self, now_us: Us, wish: Wish, deeds: &mut Vec<Deed>) {
        self.number += 1;
        self.said = Some((self.number, wish, now_us));
        deeds.push(Deed::Say { agent: self.plan.name.clone(), number: self.number, wish });
    }

    pub(super) fn rings(&mut self, now_us: Us, leg: LegKey) {
        self.rung.insert(leg);
        let draw = self.dice.u32(0..100);
        let after_us = self.dice.u64(100 * MILLI..1_800 * MILLI);
        // One ear: a second call is refused as busy.
        if !self.talking.is_empty() {
            self.ringing.insert(leg, (now_us + 50 * MILLI, Some(486)));
        } else if draw >= self.plan.ignores + self.plan.refuses {
            self.ringing.insert(leg, (now_us + after_us, None));
        } else if draw >= self.plan.ignores {
            self.ringing.insert(leg, (now_us + after_us, Some([486, 603, 503][self.dice.usize(0..3)])));
        } else if draw.is_multiple_of(2) {
            // Too late for most queues, should the phone ring for so long.
            self.ringing.insert(leg, (now_us + LATE_US + after_us, None));
        }
    }

    pub(super) fn talks(&mut self, now_us: Us, leg: LegKey) {
        if self.rung.contains(&leg) {
            self.talking.entry(leg).or_insert(now_us + self.plan.talk_us);
        }
    }

    pub(super) fn over(&mut self, leg: LegKey) {
        self.rung.remove(&leg);
        self.ringing.remove(&leg);
        self.talking.remove(&leg);
    }

    pub(super) fn done(&mut self, now_us: Us, number: u64, accepted: bool) {
        let Some((last, wish, _)) = self.said else { return };
        if last != number {
            return;
        }
        self.said = None;
        if !accepted && wish == Wish::Ready && now_us < self.plan.ends_us {
            // Not logged in, as after a change of the configuration: begin again.
            self.wishes.insert((now_us + SECOND, 0), Wish::LogIn);
            self.wishes.insert((now_us + 2 * SECOND, 1), Wish::Ready);
        }
    }
}
