//! What a shard wants to be true, compared with what is; the difference is done. Doing it twice is doing it once.

use std::sync::Arc;

use media::MediaKey;
use proto::v1::{self, Order, order::Want as Told};
use sip::{Invite, LegId, LocalMedia, Millis};

use super::{Board, Hears, LegPhase, Stage, Standing, effects::remote, leg::Want};

/// Says which queue an offered call comes from.
const QUEUE_HEADER: &str = "X-Cordboard-Queue";
/// The leg that every call begins with.
const CALLER: u32 = 1;

impl Board {
    /// A leader begins to tell all orders of this shard.
    pub(crate) fn watching(&mut self, shard: u32) {
        *self.epochs.entry(shard).or_insert(0) += 1;
    }

    pub(crate) fn orders(&mut self, now_ms: u64, shard: u32, orders: Vec<Order>) {
        for order in orders {
            self.config.metrics.orders.inc();
            self.order(now_ms, shard, order);
        }
        self.carry_out(now_ms);
    }

    /// The whole set has been told: what is here and was not in it does not exist for the shard.
    pub(crate) fn in_sync(&mut self, now_ms: u64, shard: u32) {
        let epoch = self.epoch(shard);
        let lost: Vec<_> = self
            .legs
            .iter()
            .filter(|(_, leg)| leg.shard == shard && leg.seen != epoch && leg.stands())
            .filter(|(_, leg)| leg.standing != Standing::Asked)
            .map(|(key, _)| *key)
            .collect();
        for key in lost {
            tracing::warn!(call = format!("{:016x}", key.call), leg = key.leg, "the shard does not know this leg");
            self.config.metrics.legs_lost.inc();
            self.end(now_ms, key, v1::EndCause::Lost, 503, "Unknown leg");
        }
        self.carry_out(now_ms);
    }

    fn order(&mut self, now_ms: u64, shard: u32, order: Order) {
        let key = MediaKey { call: order.call, leg: order.leg };
        let epoch = self.epoch(shard);
        let Some(leg) = self.legs.get_mut(&key) else { return self.meet(now_ms, shard, order) };
        leg.seen = epoch;
        // An ended leg has said so already; a lower revision is older.
        if !leg.stands() || leg.shard != shard || order.revision < leg.revision {
            return;
        }
        let first = order.revision > leg.revision;
        leg.revision = order.revision;
        leg.standing = Standing::Known;
        let Some(want) = order.want else { return };
        leg.want = Some(want_of(key.leg, want));
        if first && let Some(leg) = self.legs.get(&key) {
            self.config.tracing.order(span_name(leg.want.as_ref()), key.leg, order.trace.as_ref());
        }
        self.settle(now_ms, key);
    }

    /// An order for a leg that is not here. Ringing makes one; any other leg lived in an earlier life of this gateway
    /// or in another one. With its passport in the order it would be taken over here (`Endpoint::adopt`, then media and
    /// `Endpoint::reoffer`); without one it is lost.
    fn meet(&mut self, now_ms: u64, shard: u32, order: Order) {
        let key = MediaKey { call: order.call, leg: order.leg };
        match order.want {
            Some(Told::Ring(ring)) => {
                let parent = self.config.tracing.parent_of(order.trace.as_ref()).map(Box::new);
                self.config.tracing.order("ring", key.leg, order.trace.as_ref());
                let leg = self.insert(key, shard, Standing::Known, LegPhase::Ringing);
                leg.revision = order.revision;
                leg.want = Some(Want::Ring);
                leg.ordered_by = parent;
                self.ring(now_ms, key, shard, ring);
            }
            Some(Told::Dial(dial)) => {
                self.config.tracing.order("ring", key.leg, order.trace.as_ref());
                let leg = self.insert(key, shard, Standing::Known, LegPhase::Ringing);
                leg.revision = order.revision;
                leg.want = Some(Want::Ring);
                self.dial(now_ms, key, shard, dial);
            }
            Some(
                Told::Alert(_)
                | Told::Listen(_)
                | Told::Join(_)
                | Told::Gone(_)
                | Told::Quiet(_)
                | Told::Meet(_)
                | Told::Yield(_),
            ) => {
                self.config.metrics.legs_lost.inc();
                self.insert(key, shard, Standing::Known, LegPhase::Answered).revision = order.revision;
                self.ended(key, v1::EndCause::Lost, 0);
            }
            None => {}
        }
    }

    /// Calls a SIP address outside. A number needs a trunk to go out by, which this release does not have: the shard is told
    /// that it cannot be reached and returns the call.
    fn dial(&mut self, now_ms: u64, key: MediaKey, shard: u32, dial: v1::Dial) {
        if !dial.target.starts_with("sip:") {
            return self.ended(key, v1::EndCause::Unreachable, 0);
        }
        let ring = v1::Ring {
            contact: dial.target,
            caller: dial.caller,
            caller_name: dial.caller_name,
            ..v1::Ring::default()
        };
        self.ring(now_ms, key, shard, ring);
    }

    fn ring(&mut self, now_ms: u64, key: MediaKey, shard: u32, ring: v1::Ring) {
        if self.stage != Stage::Serving || self.legs.len() > self.config.legs_max {
            return self.ended(key, v1::EndCause::Unreachable, 503);
        }
        // The caller left before the shard had heard of the call, as when there was no leader: the end travels behind the
        // offer, and nobody's phone rings for a moment only.
        if self.legs.get(&MediaKey { leg: CALLER, ..key }).is_some_and(|caller| !caller.stands()) {
            return self.ended(key, v1::EndCause::Ordered, 0);
        }
        let Some(media) = self.open(key) else { return self.ended(key, v1::EndCause::Media, 0) };
        let invite = Invite {
            caller: ring.caller,
            caller_name: ring.caller_name,
            number: ring.number,
            headers: vec![(QUEUE_HEADER.to_owned(), ring.queue)],
            ..Invite::to(&ring.contact, media)
        };
        self.endpoint.invite(Millis(now_ms), LegId { shard, call: key.call, leg: key.leg }, invite);
    }

    /// Brings one leg to what is wanted of it, as far as it can be.
    pub(super) fn settle(&mut self, now_ms: u64, key: MediaKey) {
        let Some(leg) = self.legs.get(&key).filter(|leg| leg.stands()) else { return };
        match leg.want.clone() {
            None | Some(Want::Ring) => {}
            Some(Want::Alert) => self.alert(now_ms, key),
            Some(Want::Listen(prompt)) => {
                if self.ensure_answered(now_ms, key) {
                    self.listen(key, &prompt);
                }
            }
            Some(Want::Quiet) => {
                if self.ensure_answered(now_ms, key)
                    && self.legs.get(&key).is_some_and(|leg| leg.hears != Hears::Nothing)
                {
                    self.unhook(key);
                    self.media.silence(key);
                    self.hear(key, Hears::Nothing);
                }
            }
            Some(Want::Join(other)) => {
                if self.ensure_answered(now_ms, key) {
                    self.join(key, other);
                }
            }
            Some(Want::Gone { status, reason }) => {
                self.end(now_ms, key, v1::EndCause::Ordered, status, &reason);
            }
        }
    }

    fn alert(&mut self, now_ms: u64, key: MediaKey) {
        let Some(leg) = self.legs.get(&key).filter(|leg| leg.phase == LegPhase::Offered) else { return };
        let id = LegId { shard: leg.shard, call: key.call, leg: key.leg };
        if self.endpoint.alert(Millis(now_ms), id).is_ok() {
            self.set_phase(key, LegPhase::Alerting);
        }
    }

    fn listen(&mut self, key: MediaKey, prompt: &Arc<str>) {
        let hears = Hears::Prompt(Arc::clone(prompt));
        if self.legs.get(&key).is_some_and(|leg| leg.hears != hears) {
            self.unhook(key);
            self.media.play(key, prompt);
            self.hear(key, hears);
            self.set_phase(key, LegPhase::Listening);
        }
    }

    /// Joins both ways, as soon as both have media.
    fn join(&mut self, key: MediaKey, other: u32) {
        let partner = MediaKey { call: key.call, leg: other };
        let both = [(key, other), (partner, key.leg)];
        let open =
            |(key, _): &(MediaKey, u32)| self.legs.get(key).is_some_and(|leg| leg.port.is_some() && leg.answered);
        if !both.iter().all(open) || self.legs.get(&key).is_some_and(|leg| leg.hears == Hears::Leg(other)) {
            return;
        }
        for (key, other) in both {
            self.unhook(key);
            self.hear(key, Hears::Leg(other));
            self.set_phase(key, LegPhase::Joined);
        }
        self.media.join(key, partner);
    }

    fn hear(&mut self, key: MediaKey, hears: Hears) {
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.hears = hears;
        }
    }

    /// A caller who must hear something is answered first; an agent answers when they do.
    fn ensure_answered(&mut self, now_ms: u64, key: MediaKey) -> bool {
        let Some(leg) = self.legs.get(&key) else { return false };
        if leg.answered || key.leg != 1 {
            return leg.answered;
        }
        let id = LegId { shard: leg.shard, call: key.call, leg: key.leg };
        let Some(media) = self.open(key) else {
            self.end(now_ms, key, v1::EndCause::Media, 503, "");
            return false;
        };
        if self.endpoint.answer(Millis(now_ms), id, media).is_err() {
            self.ended(key, v1::EndCause::Lost, 0);
            return false;
        }
        if let Some(media) = self.endpoint.remote_media(id) {
            self.media.connect(key, remote(media, self.endpoint.local_media(id)));
        }
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.answered = true;
        }
        self.set_phase(key, LegPhase::Answered);
        true
    }

    /// A port of ours for this leg's audio.
    fn open(&mut self, key: MediaKey) -> Option<LocalMedia> {
        match self.media.open(key) {
            Ok(port) => {
                let leg = self.legs.get_mut(&key)?;
                leg.port = Some(port);
                // A key for each offer; SIP uses it where SRTP may be agreed.
                let mut key = [0; 30];
                let crypto = (self.config.srtp && getrandom::fill(&mut key).is_ok()).then_some(key);
                Some(LocalMedia { address: self.config.rtp_ip, port, crypto })
            }
            Err(error) => {
                tracing::warn!(%error, "a leg ends for want of media");
                self.config.metrics.media_ports_missing.inc();
                None
            }
        }
    }
}

/// What is wanted of the leg with this number.
fn want_of(leg: u32, told: Told) -> Want {
    match told {
        Told::Alert(_) => Want::Alert,
        Told::Ring(_) | Told::Dial(_) => Want::Ring,
        Told::Listen(listen) => Want::Listen(listen.prompt.into()),
        Told::Join(join) => Want::Join(join.leg),
        Told::Quiet(_) | Told::Yield(_) => Want::Quiet,
        // Media does not mix yet: of a conference the two first legs hear each other.
        Told::Meet(meet) => match meet.legs.iter().copied().min() {
            Some(other) if meet.legs.iter().any(|third| *third > leg) => Want::Join(other),
            Some(_) | None => Want::Quiet,
        },
        Told::Gone(gone) => {
            // Only a final status may refuse an INVITE.
            let status = u16::try_from(gone.sip_status).ok().filter(|status| (400..700).contains(status));
            Want::Gone { status: status.unwrap_or(480), reason: gone.reason.into() }
        }
    }
}

fn span_name(want: Option<&Want>) -> &'static str {
    match want {
        Some(Want::Alert) => "alert",
        Some(Want::Ring) => "ring",
        Some(Want::Listen(_)) => "answer",
        Some(Want::Join(_)) => "join",
        Some(Want::Quiet) => "hold",
        Some(Want::Gone { .. }) => "end",
        None => "order",
    }
}
