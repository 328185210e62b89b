//! What a shard wants to be true, compared with what is; the difference is done. Doing it twice is doing it once.

use std::sync::Arc;

use media::MediaKey;
use proto::v1::{self, Order, order::Want as Told};
use sip::{Invite, LegId, LocalMedia, Millis};

use super::{
    Board, Hears, LegPhase, Stage, Standing,
    leg::{Saying, Want},
};

/// Says which queue an offered call comes from.
const QUEUE_HEADER: &str = "X-Cordboard-Queue";
/// Reason of a leg that goes because its transfer was accepted.
const TRANSFERRED: &str = "transferred";
/// The leg that every call begins with.
pub(super) const CALLER: u32 = 1;

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

    /// The whole set has been told: what is here and was not in it does not exist for the shard, or is another gateway's.
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
            self.doubt(key);
        }
        self.carry_out(now_ms);
    }

    fn order(&mut self, now_ms: u64, shard: u32, order: Order) {
        let key = MediaKey { call: order.call, leg: order.leg };
        if self.arrives(&order) {
            return self.await_turn(shard, order);
        }
        let epoch = self.epoch(shard);
        let Some(leg) = self.legs.get_mut(&key) else { return self.meet(now_ms, shard, order) };
        leg.seen = epoch;
        // An ended leg has said so already; a lower revision is older.
        if !leg.stands() || leg.shard != shard || order.revision < leg.revision {
            return;
        }
        let first = order.revision > leg.revision;
        if leg.standing == Standing::Asked {
            self.endpoint.taken(LegId { shard, call: key.call, leg: key.leg });
        }
        leg.revision = order.revision;
        leg.standing = Standing::Known;
        if matches!(order.want, Some(Told::Yield(_))) {
            return self.yield_leg(now_ms, key);
        }
        leg.tenure = leg.tenure.max(order.tenure);
        let Some(want) = order.want else { return };
        leg.want = Some(want_of(want));
        if first && let Some(leg) = self.legs.get(&key) {
            self.config.tracing.order(span_name(leg.want.as_ref()), key.leg, order.trace.as_ref());
        }
        self.settle(now_ms, key);
    }

    /// An order for a leg that is not here. Ringing makes one; any other leg lived in an earlier life of this gateway
    /// or in another one, and without its passport in the order it is lost.
    pub(super) fn meet(&mut self, now_ms: u64, shard: u32, order: Order) {
        let key = MediaKey { call: order.call, leg: order.leg };
        match order.want {
            Some(Told::Ring(ring)) => {
                let parent = self.config.tracing.parent_of(order.trace.as_ref()).map(Box::new);
                self.config.tracing.order("ring", key.leg, order.trace.as_ref());
                let leg = self.insert(key, shard, Standing::Known, LegPhase::Ringing);
                leg.revision = order.revision;
                leg.tenure = order.tenure;
                leg.want = Some(Want::Ring);
                leg.ordered_by = parent;
                self.ring(now_ms, key, shard, ring);
            }
            Some(Told::Dial(dial)) => {
                self.config.tracing.order("ring", key.leg, order.trace.as_ref());
                let leg = self.insert(key, shard, Standing::Known, LegPhase::Ringing);
                leg.revision = order.revision;
                leg.tenure = order.tenure;
                leg.want = Some(Want::Ring);
                self.dial(now_ms, key, shard, &dial);
            }
            Some(Told::Alert(_) | Told::Listen(_) | Told::Join(_) | Told::Gone(_) | Told::Quiet(_) | Told::Meet(_)) => {
                self.config.metrics.legs_lost.inc();
                let leg = self.insert(key, shard, Standing::Known, LegPhase::Answered);
                (leg.revision, leg.tenure) = (order.revision, order.tenure);
                self.ended(key, v1::EndCause::Lost, 0);
            }
            // Nothing of it is here.
            Some(Told::Yield(_)) | None => {}
        }
    }

    fn ring(&mut self, now_ms: u64, key: MediaKey, shard: u32, ring: v1::Ring) {
        if !self.may_ring(key) {
            return;
        }
        let id = LegId { shard, call: key.call, leg: key.leg };
        let Some(media) = self.open(key) else { return self.ended(key, v1::EndCause::Media, 0) };
        let invite = self.invite_of(ring, media);
        self.endpoint.invite(Millis(now_ms), id, invite);
    }

    /// Whether somebody may be rung for this leg; if not, it has ended.
    pub(super) fn may_ring(&mut self, key: MediaKey) -> bool {
        if self.stage != Stage::Serving || self.legs.len() > self.config.legs_max {
            self.ended(key, v1::EndCause::Unreachable, 503);
            return false;
        }
        // The caller left before the shard had heard of the call, as when there was no leader: the end travels behind the
        // offer, and nobody's phone rings for a moment only.
        let gone = self.legs.get(&MediaKey { leg: CALLER, ..key }).is_some_and(|caller| !caller.stands());
        if gone {
            self.ended(key, v1::EndCause::Ordered, 0);
        }
        !gone
    }

    /// The INVITE that an order means.
    pub(super) fn invite_of(&self, ring: v1::Ring, media: LocalMedia) -> Invite {
        Invite {
            caller: ring.caller,
            caller_name: ring.caller_name,
            number: ring.number,
            headers: vec![(QUEUE_HEADER.to_owned(), ring.queue)],
            route: ring.path.split(',').map(str::trim).filter(|hop| !hop.is_empty()).map(str::to_owned).collect(),
            replaces: ring.replaces,
            history: ring.history,
            ..Invite::to(&ring.contact, media)
        }
    }

    /// Brings one leg to what is wanted of it, as far as it can be.
    pub(super) fn settle(&mut self, now_ms: u64, key: MediaKey) {
        let Some(leg) = self.legs.get(&key).filter(|leg| leg.stands()) else { return };
        match leg.want.clone() {
            None | Some(Want::Ring) => {}
            Some(Want::Alert) => self.alert(now_ms, key),
            Some(Want::Listen(prompt, saying)) => {
                if self.ensure_answered(now_ms, key) {
                    self.listen(key, &prompt);
                    if let Some(saying) = saying {
                        self.media.say(key, saying.number, &saying.parts);
                    }
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
            Some(Want::Meet(others)) => {
                if self.ensure_answered(now_ms, key) {
                    self.meet_with(key, &others);
                }
            }
            Some(Want::Gone { status, reason }) => {
                self.conclude_refer(now_ms, key, &reason);
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

    /// One conference, as soon as all have media.
    fn meet_with(&mut self, key: MediaKey, others: &[u32]) {
        let mut legs: Vec<u32> = others.iter().copied().chain([key.leg]).collect();
        legs.sort_unstable();
        legs.dedup();
        let keys: Vec<MediaKey> = legs.iter().map(|leg| MediaKey { call: key.call, leg: *leg }).collect();
        let hears = Hears::Legs(legs.into());
        let open = |key: &MediaKey| self.legs.get(key).is_some_and(|leg| leg.port.is_some() && leg.answered);
        if !keys.iter().all(open) || self.legs.get(&key).is_some_and(|leg| leg.hears == hears) {
            return;
        }
        for key in &keys {
            self.unhook(*key);
            self.hear(*key, hears.clone());
            self.set_phase(*key, LegPhase::Joined);
        }
        self.media.meet(&keys);
    }

    /// The phone that asked for a transfer hears that it is done, before it is hung up.
    fn conclude_refer(&mut self, now_ms: u64, key: MediaKey, reason: &str) {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| leg.referring) else { return };
        leg.referring = false;
        // The order and the answer to what was asked come by different streams, and the order may be first.
        if reason == TRANSFERRED {
            let id = LegId { shard: leg.shard, call: key.call, leg: key.leg };
            // It may have hung up in the same moment; who was answered already is not answered again.
            let _ = self.endpoint.answer_refer(Millis(now_ms), id, 202);
            let _ = self.endpoint.refer_ended(Millis(now_ms), id, 200);
        }
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
        if let Some(media) = self.endpoint.remote_media(id).cloned() {
            self.connect(id, &media);
        }
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.answered = true;
        }
        self.set_phase(key, LegPhase::Answered);
        true
    }

    /// A port of ours for this leg's audio.
    pub(super) fn open(&mut self, key: MediaKey) -> Option<LocalMedia> {
        match self.media.open(key) {
            Ok(port) => {
                let leg = self.legs.get_mut(&key)?;
                leg.port = Some(port);
                let crypto = self.config.srtp.then(|| self.wires.key()).flatten();
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

/// What is wanted of a leg.
pub(super) fn want_of(told: Told) -> Want {
    match told {
        Told::Alert(_) => Want::Alert,
        Told::Ring(_) | Told::Dial(_) => Want::Ring,
        Told::Listen(listen) => Want::Listen(
            listen.prompt.into(),
            listen.announcement.map(|said| Arc::new(Saying { number: said.number, parts: said.parts })),
        ),
        Told::Join(join) => Want::Join(join.leg),
        Told::Quiet(_) | Told::Yield(_) => Want::Quiet,
        Told::Meet(meet) => Want::Meet(meet.legs.into()),
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
        Some(Want::Listen(..)) => "answer",
        Some(Want::Join(_) | Want::Meet(_)) => "join",
        Some(Want::Quiet) => "hold",
        Some(Want::Gone { .. }) => "end",
        None => "order",
    }
}
