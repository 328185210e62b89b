//! Legs that change hands: taken over from a gateway that is gone, yielded to one that has them now, and those of which
//! nobody is sure. Never decides who gets a leg; the shard does, and its tenure is the fence.

use std::collections::{HashMap, VecDeque};

use media::MediaKey;
use proto::v1::{self, Order, RejectionCode, command::Kind, takeover::Rang};
use sip::{Adopted, LegId, LocalMedia, Millis};

use super::{Board, LegPhase, Standing, leg::Leg, leg::Want, orders::want_of};
use crate::link::{Ticket, Urgency, Verdict};

/// Calls that come at once are taken over in portions, so that answers, sound and other calls are not kept waiting.
const LEGS_PER_PORTION: usize = 48;
/// Between two portions.
const PORTION_MS: u64 = 10;
/// A yielded leg's sound goes on for so long: the far end may still send here until the new gateway has its ear.
const YIELD_MS: u64 = 3_000;

/// Calls that have to be taken over, in the order in which they came, and what is wanted of their legs.
#[derive(Default)]
pub(super) struct Arriving {
    line: VecDeque<u64>,
    orders: HashMap<u64, (u32, Vec<Order>)>,
    next_ms: u64,
}

impl Arriving {
    /// Of two orders for a leg the later one counts, with what the earlier one said of where it comes from.
    fn push(&mut self, shard: u32, mut order: Order) {
        let (_, orders) = self.orders.entry(order.call).or_insert_with(|| {
            self.line.push_back(order.call);
            (shard, Vec::new())
        });
        match orders.iter_mut().find(|known| known.leg == order.leg) {
            Some(known) if known.revision > order.revision => {}
            Some(known) => {
                order.takeover = order.takeover.or_else(|| known.takeover.take());
                *known = order;
            }
            None => orders.push(order),
        }
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        (!self.line.is_empty()).then_some(self.next_ms)
    }

    /// Whole calls, for their legs travel together.
    fn portion(&mut self, now_ms: u64) -> Vec<(u32, Order)> {
        let mut portion = Vec::new();
        if self.next_ms > now_ms {
            return portion;
        }
        while portion.len() < LEGS_PER_PORTION
            && let Some(call) = self.line.pop_front()
        {
            let (shard, orders) = self.orders.remove(&call).unwrap_or_default();
            portion.extend(orders.into_iter().map(|order| (shard, order)));
        }
        self.next_ms = now_ms + PORTION_MS;
        portion
    }
}

impl Board {
    /// Whether an order is about a leg that is not here, of a call that another gateway held before.
    pub(super) fn arrives(&self, order: &Order) -> bool {
        let key = MediaKey { call: order.call, leg: order.leg };
        let here = self.legs.get(&key).is_some_and(|leg| leg.stands() || leg.tenure >= order.tenure);
        !here && (order.takeover.is_some() || self.arriving.orders.contains_key(&order.call))
    }

    pub(super) fn await_turn(&mut self, shard: u32, order: Order) {
        self.arriving.push(shard, order);
    }

    /// Takes over the next portion of calls.
    pub(super) fn take_over_portion(&mut self, now_ms: u64) {
        for (shard, order) in self.arriving.portion(now_ms) {
            match order.takeover {
                Some(_) => self.take_over(now_ms, shard, order),
                None => self.meet(now_ms, shard, order),
            }
        }
    }

    fn take_over(&mut self, now_ms: u64, shard: u32, order: Order) {
        let key = MediaKey { call: order.call, leg: order.leg };
        let id = LegId { shard, call: key.call, leg: key.leg };
        let Order { revision, tenure, trace, want: Some(want), takeover: Some(takeover), .. } = order else { return };
        self.config.metrics.take_overs.inc();
        self.config.tracing.order("take-over", key.leg, trace.as_ref());
        let parent = self.config.tracing.parent_of(trace.as_ref()).map(Box::new);
        let phase = if takeover.rang.is_some() { LegPhase::Ringing } else { LegPhase::Answered };
        let leg = self.insert(key, shard, Standing::Known, phase);
        (leg.revision, leg.tenure, leg.ordered_by) = (revision, tenure, parent);
        leg.want = Some(want_of(want));
        if let Some(rang) = takeover.rang {
            let nowhere = LocalMedia { address: self.config.rtp_ip, port: 9, crypto: None };
            let invite = match rang {
                Rang::Ring(ring) => self.invite_of(ring, nowhere),
                Rang::Dial(dial) => self.first_outward(now_ms, key, &dial, nowhere),
            };
            return self.endpoint.take_back(Millis(now_ms), id, invite, &takeover.former_sip);
        }
        let adopted = self.endpoint.adopt(Millis(now_ms), id, &takeover.passport);
        if adopted.is_ok() {
            self.count_on_trunk(key, id);
        }
        match adopted {
            Ok(Adopted::Offered) => self.set_phase(key, LegPhase::Offered),
            Ok(Adopted::Up) => self.anchor(now_ms, key, id),
            Err(error) => {
                tracing::warn!(call = format!("{:016x}", key.call), leg = key.leg, %error, "a leg cannot be taken over");
                self.config.metrics.legs_lost.inc();
                return self.ended(key, v1::EndCause::Lost, 0);
            }
        }
        self.settle(now_ms, key);
    }

    /// The far end is asked to send to us, and hears us at once: where it listens is in the passport.
    fn anchor(&mut self, now_ms: u64, key: MediaKey, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.answered = true;
            if matches!(leg.want, Some(Want::Gone { .. })) {
                return;
            }
        }
        let Some(media) = self.open(key) else { return self.end(now_ms, key, v1::EndCause::Media, 503, "") };
        if let Some(media) = self.endpoint.remote_media(id).cloned() {
            self.connect(id, &media);
        }
        if self.endpoint.reoffer(Millis(now_ms), id, media).is_err() {
            self.ended(key, v1::EndCause::Lost, 0);
        }
    }

    /// Another gateway has this leg: its sound goes on for a moment, nothing else.
    pub(super) fn yield_leg(&mut self, now_ms: u64, key: MediaKey) {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| leg.stands()) else { return };
        let (shard, birth) = (leg.shard, leg.birth);
        leg.trace = None;
        self.endpoint.forget(LegId { shard, call: key.call, leg: key.leg });
        self.set_phase(key, LegPhase::Ended);
        self.config.metrics.legs_yielded.inc();
        self.yielded.push_back((now_ms + YIELD_MS, key, birth));
    }

    /// The sound of yielded legs ends.
    pub(super) fn close_yielded(&mut self, now_ms: u64) {
        while let Some(&(until_ms, key, birth)) = self.yielded.front()
            && until_ms <= now_ms
        {
            self.yielded.pop_front();
            if self.legs.get(&key).is_some_and(|leg| leg.birth == birth) {
                self.remove(key);
            }
        }
    }

    /// The shard did not speak of this leg where it ought to have: it is asked, for it may be another gateway's by now.
    pub(super) fn doubt(&mut self, key: MediaKey) {
        let Some(leg) = self.legs.get(&key).filter(|leg| leg.stands()) else { return };
        let (shard, tenure, birth, parent) = (leg.shard, leg.tenure, leg.birth, leg.parent());
        let end = v1::EndLeg {
            call: key.call,
            leg: key.leg,
            cause: v1::EndCause::Lost.into(),
            tenure,
            ..v1::EndLeg::default()
        };
        let ticket = Ticket::Lost { call: key.call, leg: key.leg, birth };
        self.ask(shard, Kind::EndLeg(end), Urgency::Urgent, Some(ticket), parent);
    }

    /// What the shard says of a leg that was in doubt.
    pub(super) fn lost_outcome(&mut self, now_ms: u64, key: MediaKey, birth: u32, verdict: Verdict) {
        if !self.legs.get(&key).is_some_and(|leg| leg.birth == birth && leg.stands()) {
            return;
        }
        if verdict == Verdict::Rejected(RejectionCode::Stale) {
            return self.yield_leg(now_ms, key);
        }
        tracing::warn!(call = format!("{:016x}", key.call), leg = key.leg, "the shard does not know this leg");
        self.config.metrics.legs_lost.inc();
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.standing = Standing::Unknown;
        }
        self.end(now_ms, key, v1::EndCause::Lost, 503, "Unknown leg");
    }

    /// Offers that were accepted and that nobody has said a word about since.
    pub(super) fn look_into_limbo(&mut self, now_ms: u64) {
        while let Some(&(until_ms, key, birth)) = self.limbo.front()
            && until_ms <= now_ms
        {
            self.limbo.pop_front();
            let silent = |leg: &&Leg| leg.birth == birth && leg.revision == 0 && leg.stands();
            let Some(shard) = self.legs.get(&key).filter(silent).map(|leg| leg.shard) else { continue };
            if self.doubted.contains(&shard) {
                // It cannot have said anything.
                self.limbo.push_back((now_ms + self.config.limbo_ms, key, birth));
            } else {
                self.doubt(key);
            }
        }
    }

    /// Whether the leader of this shard may have given our legs away without our knowing: nothing is begun in them until
    /// it has spoken.
    pub(crate) fn set_doubt(&mut self, shard: u32, doubt: bool) {
        if doubt != self.doubted.contains(&shard) {
            self.endpoint.set_doubt(shard, doubt);
            match doubt {
                true => self.doubted.insert(shard),
                false => self.doubted.remove(&shard),
            };
        }
    }
}
