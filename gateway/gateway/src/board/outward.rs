//! Legs to the outside: a SIP address, or a number by one trunk after the other. Also what trunks send for themselves, which the
//! first lane does. Never decides whom to call; shards do, and which way is the trunks' choice.

use std::collections::VecDeque;

use media::MediaKey;
use proto::v1;
use sip::{BindingId, EndCause, Flow, Invite, LegId, LocalMedia, Millis, PingId};

use super::Board;
use crate::trunks::{Due, Full, Slot, Way, lock, retry};

/// The lane that speaks for the trunks.
const SPEAKER: usize = 0;

/// A leg that rings outside, and the ways that are left.
pub(super) struct Outward {
    invite: Invite,
    left: VecDeque<Way>,
    at: Flow,
    rang: bool,
}

impl Board {
    /// Calls a SIP address, or a number by the first way that may be taken.
    pub(super) fn dial(&mut self, now_ms: u64, key: MediaKey, shard: u32, dial: &v1::Dial) {
        if !self.may_ring(key) {
            return;
        }
        let by_number = !is_uri(&dial.target);
        if !by_number && !self.egress.allows_uri(&dial.target) {
            tracing::info!(call = format!("{:016x}", key.call), leg = key.leg, "a target is where no calls go");
            return self.ended(key, v1::EndCause::Rejected, 403);
        }
        let Some(media) = self.open(key) else { return self.ended(key, v1::EndCause::Media, 0) };
        let invite = invite_of(dial, media);
        if !by_number {
            return self.endpoint.invite(Millis(now_ms), LegId { shard, call: key.call, leg: key.leg }, invite);
        }
        let left = lock(&self.config.trunks).candidates(now_ms, &dial.target, dice(key)).into();
        if !self.take_way(now_ms, key, invite, left) {
            self.ended(key, v1::EndCause::Unreachable, 503);
        }
    }

    /// The INVITE of a leg that another gateway dialled, as far as it can be known here: by its first way.
    pub(super) fn first_outward(&self, now_ms: u64, key: MediaKey, dial: &v1::Dial, media: LocalMedia) -> Invite {
        let mut invite = invite_of(dial, media);
        if !is_uri(&dial.target)
            && let Some(way) = lock(&self.config.trunks).candidates(now_ms, &dial.target, dice(key)).first()
        {
            way.dress(&mut invite);
        }
        invite
    }

    /// Sends the INVITE by the first way that is free and allowed; false when there is none.
    fn take_way(&mut self, now_ms: u64, key: MediaKey, mut invite: Invite, mut left: VecDeque<Way>) -> bool {
        let Some(leg) = self.legs.get_mut(&key) else { return true };
        while let Some(way) = left.pop_front() {
            if !self.egress.allows(way.destination.remote) {
                tracing::warn!(trunk = way.trunk.name, "a host of this trunk is where no calls go");
                continue;
            }
            leg.slot = None;
            match lock(&self.config.trunks).begin(now_ms, &way.trunk) {
                Ok(slot) => leg.slot = Some(slot),
                Err(error) => {
                    tracing::debug!(trunk = way.trunk.name, %error, "a way is passed over");
                    continue;
                }
            }
            way.dress(&mut invite);
            let id = LegId { shard: leg.shard, call: key.call, leg: key.leg };
            let outward = Outward { invite: invite.clone(), left, at: way.destination, rang: false };
            leg.outward = Some(Box::new(outward));
            self.endpoint.invite(Millis(now_ms), id, invite);
            return true;
        }
        false
    }

    pub(super) fn rings_outside(&mut self, key: MediaKey) {
        if let Some(outward) = self.legs.get_mut(&key).and_then(|leg| leg.outward.as_mut()) {
            outward.rang = true;
        }
    }

    /// The party has answered: this way is good.
    pub(super) fn went_out(&mut self, key: MediaKey) {
        if let Some(outward) = self.legs.get_mut(&key).and_then(|leg| leg.outward.take()) {
            lock(&self.config.trunks).call_went(outward.at);
        }
    }

    /// Whether a leg that came to nothing is tried by another way.
    pub(super) fn another_way(&mut self, now_ms: u64, key: MediaKey, cause: EndCause, status: u16) -> bool {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| leg.stands()) else { return false };
        let Some(outward) = leg.outward.take() else { return false };
        let failed = retry(cause, status, outward.rang);
        if failed {
            let rest_seconds = self.reading.as_ref().map_or(0, |reading| reading.retry_after_seconds);
            lock(&self.config.trunks).call_failed(now_ms, outward.at, status, rest_seconds);
        } else if status != 0 && cause != EndCause::Ordered {
            lock(&self.config.trunks).call_went(outward.at);
        }
        let Outward { mut invite, left, .. } = *outward;
        // Who is to be gone, or to be told of a drain, is not rung again.
        if !failed || leg.cause.is_some() || self.stage != super::Stage::Serving {
            return false;
        }
        invite.attempt = invite.attempt.saturating_add(1);
        self.take_way(now_ms, key, invite, left)
    }

    /// The place of a call that comes in, on the trunk of whoever brings it; none without a trunk.
    pub(super) fn place_of_source(&self, now_ms: u64) -> Result<Option<Slot>, Full> {
        let Some(reading) = &self.reading else { return Ok(None) };
        let mut trunks = lock(&self.config.trunks);
        match trunks.trunk_of(reading.flow.remote.ip()) {
            Some(trunk) => trunks.begin(now_ms, &trunk).map(Some),
            None => Ok(None),
        }
    }

    /// A call that stands already has its place on the trunk of its far end, however full that is.
    pub(super) fn count_on_trunk(&mut self, key: MediaKey, id: LegId) {
        let (Some(flow), Some(leg)) = (self.endpoint.flow(id), self.legs.get_mut(&key)) else { return };
        let mut trunks = lock(&self.config.trunks);
        leg.slot = trunks.trunk_of(flow.remote.ip()).and_then(|trunk| trunks.count(&trunk.name));
    }

    // -- what trunks send for themselves -----------------------------------------------------------------------

    pub(super) fn trunks_due_ms(&self) -> Option<u64> {
        (self.config.lane == SPEAKER).then(|| lock(&self.config.trunks).next_due_ms()).flatten()
    }

    pub(super) fn tend_trunks(&mut self, now_ms: u64) {
        if self.trunks_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            let due = lock(&self.config.trunks).due(now_ms);
            self.send_due(now_ms, due);
        }
    }

    /// What is registered is taken back.
    pub(super) fn leave_trunks(&mut self, now_ms: u64) {
        if self.config.lane == SPEAKER {
            let due = lock(&self.config.trunks).leave();
            self.send_due(now_ms, due);
        }
    }

    fn send_due(&mut self, now_ms: u64, due: Vec<Due>) {
        for due in due {
            match due {
                Due::Ping { flow, .. } if !self.egress.allows(flow.remote) => {}
                Due::Bind { bind, .. } if !self.egress.allows(bind.registrar.remote) => {}
                Due::Ping { id, flow, host } => self.endpoint.ping(Millis(now_ms), PingId(id), flow, &host),
                Due::Bind { id, bind } => self.endpoint.bind(Millis(now_ms), BindingId(id), bind),
                Due::Unbind { id } => self.endpoint.unbind(Millis(now_ms), BindingId(id)),
            }
        }
    }

    pub(super) fn pinged(&self, now_ms: u64, id: PingId, status: u16) {
        let rest_seconds = self.reading.as_ref().map_or(0, |reading| reading.retry_after_seconds);
        lock(&self.config.trunks).pinged(now_ms, id.0, status, rest_seconds);
    }

    pub(super) fn bound(&self, now_ms: u64, id: BindingId, status: u16, expires_seconds: u32) {
        lock(&self.config.trunks).bound(now_ms, id.0, status, expires_seconds);
    }
}

fn is_uri(target: &str) -> bool {
    ["sip:", "sips:"]
        .iter()
        .any(|scheme| target.get(..scheme.len()).is_some_and(|text| text.eq_ignore_ascii_case(scheme)))
}

fn invite_of(dial: &v1::Dial, media: LocalMedia) -> Invite {
    let mut invite = Invite::to(&dial.target, media);
    invite.caller.clone_from(&dial.caller);
    invite.caller_name.clone_from(&dial.caller_name);
    invite.identity.hidden = dial.hidden;
    invite.history.clone_from(&dial.history);
    invite.replaces.clone_from(&dial.replaces);
    invite
}

/// The same for the same leg on every gateway, so that another one finds the first way again.
fn dice(key: MediaKey) -> u64 {
    key.call ^ u64::from(key.leg).rotate_right(16)
}
