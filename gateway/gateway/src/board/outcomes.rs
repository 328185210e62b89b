//! The shard's answers to what this board asked.

use bytes::Bytes;
use media::MediaKey;
use proto::v1::{self, RejectionCode};
use sip::{Flow, LegId, Millis, RegisterOutcome};

use super::{Board, LegPhase, Standing, Stray};
use crate::link::{Ticket, Verdict};

impl Board {
    pub(crate) fn outcome(&mut self, now_ms: u64, ticket: Ticket, verdict: Verdict) {
        match ticket {
            Ticket::Offer { call, birth } => self.offer_outcome(now_ms, MediaKey { call, leg: 1 }, birth, verdict),
            Ticket::Answer { call, leg, birth } => self.answer_outcome(now_ms, MediaKey { call, leg }, birth, verdict),
            Ticket::End { call, leg, birth } => self.bury(now_ms, MediaKey { call, leg }, birth),
            Ticket::Lost { call, leg, birth } => self.lost_outcome(now_ms, MediaKey { call, leg }, birth, verdict),
            Ticket::Refer { call, leg, birth } => self.refer_outcome(now_ms, MediaKey { call, leg }, birth, verdict),
            Ticket::Register(id) => {
                let outcome = match verdict {
                    Verdict::Accepted => RegisterOutcome::Accepted,
                    Verdict::Rejected(RejectionCode::LimitReached | RejectionCode::UnknownGateway) => {
                        RegisterOutcome::Unavailable
                    }
                    Verdict::Rejected(_) => RegisterOutcome::Refused,
                };
                self.endpoint.answer_register(Millis(now_ms), id, outcome);
            }
        }
        self.carry_out(now_ms);
    }

    fn offer_outcome(&mut self, now_ms: u64, key: MediaKey, birth: u32, verdict: Verdict) {
        let Some(shard) = self.legs.get(&key).filter(|leg| leg.birth == birth).map(|leg| leg.shard) else { return };
        let invite = self.invites.remove(&key);
        let epoch = self.epoch(shard);
        let Some(leg) = self.legs.get_mut(&key) else { return };
        match verdict {
            Verdict::Accepted => {
                leg.standing = Standing::Known;
                leg.seen = epoch;
                self.endpoint.taken(LegId { shard, call: key.call, leg: key.leg });
                if leg.revision == 0 {
                    self.limbo.push_back((now_ms + self.config.limbo_ms, key, birth));
                }
            }
            // It has ended meanwhile, and the end travels behind the offer.
            Verdict::Rejected(_) if !leg.stands() => {}
            // It has come here meanwhile, as its orders say.
            Verdict::Rejected(RejectionCode::WrongState) if leg.revision > 0 => leg.standing = Standing::Known,
            Verdict::Rejected(RejectionCode::WrongState) if invite.is_some() => {
                leg.standing = Standing::Unknown;
                self.elsewhere(key, shard, invite);
            }
            Verdict::Rejected(code) => {
                leg.standing = Standing::Unknown;
                self.config.metrics.calls_refused.inc();
                self.end(now_ms, key, v1::EndCause::Rejected, status_of(code), "");
            }
        }
    }

    /// Another gateway has the call, or it is over: the INVITE goes where it is, and is refused when it is nowhere.
    fn elsewhere(&mut self, key: MediaKey, shard: u32, invite: Option<(Flow, Bytes)>) {
        let Some((flow, bytes)) = invite else { return };
        self.endpoint.forget(LegId { shard, call: key.call, leg: key.leg });
        self.set_phase(key, LegPhase::Ended);
        self.remove(key);
        self.wires.locate(Stray { shard: Some(shard), call: key.call, flow, bytes });
    }

    /// Whether the transfer that a phone has asked for is under way.
    fn refer_outcome(&mut self, now_ms: u64, key: MediaKey, birth: u32, verdict: Verdict) {
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| leg.birth == birth && leg.stands()) else { return };
        let id = LegId { shard: leg.shard, call: key.call, leg: key.leg };
        leg.referring &= verdict == Verdict::Accepted;
        let status = match verdict {
            Verdict::Accepted => 202,
            Verdict::Rejected(RejectionCode::UnknownAgent | RejectionCode::UnknownNumber) => 404,
            Verdict::Rejected(RejectionCode::LimitReached) => 503,
            Verdict::Rejected(_) => 603,
        };
        // The leg may have ended in the same moment; then nobody waits for this.
        let _ = self.endpoint.answer_refer(Millis(now_ms), id, status);
    }

    /// The shard has given the call to somebody else, or it is over: this far end came too late.
    fn answer_outcome(&mut self, now_ms: u64, key: MediaKey, birth: u32, verdict: Verdict) {
        let stands = self.legs.get(&key).is_some_and(|leg| leg.birth == birth && leg.stands());
        if stands && matches!(verdict, Verdict::Rejected(_)) {
            self.end(now_ms, key, v1::EndCause::Ordered, 480, "Too late");
        }
    }
}

/// What a caller is told when the shard does not take the call.
fn status_of(code: RejectionCode) -> u16 {
    match code {
        RejectionCode::UnknownNumber => 404,
        RejectionCode::Unspecified
        | RejectionCode::UnknownCall
        | RejectionCode::UnknownLeg
        | RejectionCode::UnknownAgent
        | RejectionCode::UnknownGateway
        | RejectionCode::WrongState
        | RejectionCode::LimitReached
        | RejectionCode::Stale
        | RejectionCode::Invalid => 503,
    }
}
