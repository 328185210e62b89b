//! A leg of another gateway goes on here, from its passport.
//! Never speaks to the far end by itself: `alert`, `answer`, `reoffer` and `end` do, when the gateway knows what is wanted.

use std::sync::Arc;

use bytes::Bytes;

use super::core::Core;
use super::{ASLEEP, Endpoint, offered, session};
use crate::dialog::Dialog;
use crate::leg::{Audio, Leg, LegState, Offered, Up};
use crate::message::Request;
use crate::passport::{self, PassportError};
use crate::relay;
use crate::sdp::Origin;
use crate::tag;
use crate::timers::LegTimer;
use crate::transaction::{ServerState, ServerTx};
use crate::types::{Access, Adopted, Flow, LegId, Millis};
use crate::write;

/// Our next CSeq in an adopted dialog is at least so much higher than the passport's: the other gateway may have used some
/// since it was written. RFC 3261 12.2.1.1 only asks that it grows.
const CSEQ_LEAP: u32 = 10_000;

/// Two gateways that adopt a leg one after the other from the same passport must not use the same numbers: the later one's
/// are higher by the time between them.
const CSEQ_EPOCH_MS: u64 = 1_700_000_000_000;
const CSEQ_STEP_MS: u64 = 250;
/// So many requests can the former have begun since the passport was written: it tells each that is agreed.
const FORMER_ASKS_MAX: u32 = 3;
/// RFC 3261 8.1.1.5: less than 2^31, with room to count on.
const CSEQ_MAX: u32 = 0x7fff_0000;

impl Endpoint {
    /// Takes a leg over. The token in the passport must be the one that our secret gives this leg.
    pub fn adopt(&mut self, now: Millis, leg: LegId, passport: &[u8]) -> Result<Adopted, PassportError> {
        let opened = passport::open(passport)?;
        if opened.token != tag::encode(&self.core.keys, leg) {
            return Err(PassportError::Foreign);
        }
        if self.legs.contains_key(&leg) || !self.has_room_for_leg() {
            return Err(PassportError::NoPlace);
        }
        let mut dialog = opened.dialog;
        let before = dialog.local_cseq;
        dialog.local_cseq = leap(now, before);
        dialog.aim_anew();
        let (token, session) = (opened.token, opened.session);
        let (state, audio, adopted) = match opened.early {
            Some(offered) => {
                self.resume(&dialog.call_id, &dialog.remote_tag, leg, &offered);
                (LegState::Offered(offered), Audio { remote: opened.audio.remote, ..Audio::new(leg) }, Adopted::Offered)
            }
            None => {
                let Origin { id, version } = opened.audio.origin;
                // RFC 3264 8: another description has another version, whoever writes it.
                let origin = Origin { id, version: version.saturating_add(u64::from(dialog.local_cseq - before)) };
                let up = Up { confirmed: true, stale: true, former_cseq: before, refer: opened.refer, ..Up::default() };
                (LegState::Up(up), Audio { origin, ..opened.audio }, Adopted::Up)
            }
        };
        let mut it = Box::new(Leg { id: leg, token, state, dialog, audio, session, wakes: ASLEEP });
        match adopted {
            Adopted::Up => session::start(&mut self.core, now, &mut it),
            Adopted::Offered => {
                self.core.wake_leg(&mut it, LegTimer::Setup, now.plus(self.core.config.setup_wait_ms));
            }
        }
        self.legs.insert(leg, it);
        if let Some(login) = opened.login {
            self.core.logins.insert(leg, Arc::new(login));
        }
        Ok(adopted)
    }

    /// A caller who waits has lost the former too and asks here, in a transaction of its own (RFC 3263 4.3): that one is
    /// answered from now on. Says whether it was so.
    pub(super) fn moved_here(
        &mut self,
        now: Millis,
        flow: Flow,
        key: u64,
        request: &Request,
        access: &dyn Access,
    ) -> bool {
        let merge = self.core.merge_key(request);
        if !self.core.merges.contains_key(&merge) {
            return false;
        }
        let limits = self.core.config.limits;
        let call = self.core.keys.call_id(&request.call_id, &request.from.tag);
        let number = request.uri.user_text(limits.name_bytes_max);
        let Some(shard) = access.shard_of_number(&number) else { return false };
        let id = LegId { shard, call, leg: 1 };
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let LegState::Offered(offered) = &mut leg.state else { return false };
        // Or the caller asked another gateway, which has passed it on.
        let relayed = relay::source(&self.core.keys, request);
        let source = relayed.unwrap_or(flow).remote.ip();
        if !(offered.adopted || relayed.is_some()) || !access.trunk_allows(source) {
            return false;
        }
        let Some(dialog) = Dialog::of_request(request, flow, &leg.token, limits.routes_max) else { return false };
        let before = std::mem::replace(&mut offered.key, key);
        offered.echo = request.echo.clone();
        leg.dialog = Dialog { local_cseq: leg.dialog.local_cseq, ..dialog };
        let response = write::finish(offered.echo.response(100, ""));
        let alerted = offered.alerted;
        self.core.forget_server(before);
        let (state, flow) = (ServerState::Proceeding, request.echo.flow);
        self.core.send(flow, response.clone());
        self.core.serve(key, ServerTx { state, flow, response, due: Millis(0), merge, leg: Some(id) });
        if alerted {
            offered::alert(&mut self.core, now, leg);
        }
        true
    }

    /// The INVITE's transaction, so that repeats, CANCEL and ACK find it.
    fn resume(&mut self, call_id: &Bytes, from_tag: &Bytes, leg: LegId, offered: &Offered) {
        let response = write::finish(offered.echo.response(100, ""));
        let merge = self.core.merge_key_of(call_id, from_tag, offered.cseq);
        let (state, flow) = (ServerState::Proceeding, offered.echo.flow);
        self.core.serve(offered.key, ServerTx { state, flow, response, due: Millis(0), merge, leg: Some(leg) });
    }
}

/// The far end of an adopted leg is busy: it may wait for the ACK of a 2xx that the former did not live to acknowledge. What
/// the former can have asked last is acknowledged in its place; an ACK that nobody waits for is nothing.
pub(super) fn acknowledge_for_former(core: &mut Core, leg: &Leg) {
    let LegState::Up(up) = &leg.state else { return };
    for cseq in up.former_cseq.max(1)..=up.former_cseq.saturating_add(FORMER_ASKS_MAX) {
        core.say(leg.id, &leg.dialog, "ACK", cseq);
    }
}

fn leap(now: Millis, cseq: u32) -> u32 {
    let by_time = now.0.saturating_sub(CSEQ_EPOCH_MS) / CSEQ_STEP_MS;
    let by_time = u32::try_from(by_time).unwrap_or(CSEQ_MAX).min(CSEQ_MAX - CSEQ_LEAP);
    cseq.saturating_add(CSEQ_LEAP).max(by_time).max(cseq).min(CSEQ_MAX.max(cseq))
}
