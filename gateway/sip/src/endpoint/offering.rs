//! What we begin inside of a dialog: re-INVITE with other media, and session refreshes.
//! Never touches a leg without an answer.

use super::core::{Ask, Core};
use super::dialogue::{confirm, hear};
use super::{Endpoint, adopting, session};
use crate::leg::{Asking, Fate, Leg, LegState};
use crate::message::{Method, Response};
use crate::sdp;
use crate::timers::LegTimer;
use crate::transaction::{ClientState, ClientTx, Purpose, Seed};
use crate::types::{Direction, EndCause, Flow, LegId, LocalMedia, Millis, UnknownLeg};
use crate::write;

/// Something else is under way in the dialog: look again after this.
const BUSY_MS: u64 = 500;

impl Endpoint {
    /// Offers new media of ours to the far end of an established leg (re-INVITE). What comes of it is told by
    /// `MediaChanged` and `Confirmed`; media that is in use already is not offered again.
    pub fn reoffer(&mut self, now: Millis, leg: LegId, media: LocalMedia) -> Result<(), UnknownLeg> {
        let it = self.legs.get_mut(&leg).ok_or(UnknownLeg(leg))?;
        let LegState::Up(up) = &mut it.state else { return Err(UnknownLeg(leg)) };
        // A key that is in use stays; a plain dialog stays plain.
        let secure = it.audio.remote.is_some_and(|remote| remote.crypto.is_some());
        let key = it.audio.local.and_then(|local| local.crypto).or(media.crypto);
        let media = LocalMedia { crypto: key.filter(|_| secure), ..media };
        if up.asking.is_some_and(|asking| asking.media == Some(media)) {
            up.wanted = None;
        } else if up.stale || it.audio.local != Some(media) {
            up.wanted = Some(media);
            // An answer that waits for its ACK has armed its own timer.
            if !(up.stale && up.unacked.is_some()) {
                begin(&mut self.core, now, it);
            }
        }
        Ok(())
    }

    pub(super) fn on_reinvite_response(
        &mut self,
        now: Millis,
        flow: Flow,
        key: u64,
        mut tx: ClientTx,
        response: &Response,
    ) {
        let id = tx.leg;
        match (tx.state, response.status) {
            (ClientState::Trying { .. } | ClientState::Proceeding { .. }, 100..=199) => {
                let until = now.plus(self.core.config.timers.patience_ms());
                self.core.proceed(key, &mut tx, until);
                self.core.clients.insert(key, tx);
            }
            (ClientState::Trying { .. } | ClientState::Proceeding { .. }, 200..=299) => {
                let cseq = tx.seed.as_ref().map_or(response.cseq, |seed| seed.cseq);
                if let Some(leg) = self.legs.get(&id) {
                    tx.bytes = self.core.ack_as(id, &leg.dialog, cseq, &tx.bytes);
                    tx.flow = leg.dialog.flow;
                    self.core.accept(now, key, tx);
                }
                let fate = self.agreed(now, flow, id, key, response);
                self.settle(id, fate);
            }
            (ClientState::Trying { .. } | ClientState::Proceeding { .. }, _) => {
                let ack = super::calling::derive(&tx.bytes, "ACK", Some(&response.to), |_| {});
                self.core.send(tx.flow, ack.clone());
                tx.bytes = ack;
                self.core.complete(now, key, tx);
                let fate = self.disagreed(now, id, key, response.status);
                self.settle(id, fate);
            }
            (ClientState::Completed, 300..) | (ClientState::Accepted, 200..=299) => {
                self.core.send(tx.flow, tx.bytes.clone());
                self.core.clients.insert(key, tx);
            }
            (ClientState::Completed | ClientState::Accepted, _) => {
                self.core.clients.insert(key, tx);
            }
        }
    }

    pub(super) fn on_update_response(&mut self, now: Millis, flow: Flow, key: u64, tx: &ClientTx, response: &Response) {
        let fate = match response.status {
            200..=299 => self.agreed(now, flow, tx.leg, key, response),
            status => self.disagreed(now, tx.leg, key, status),
        };
        self.settle(tx.leg, fate);
    }

    fn agreed(&mut self, now: Millis, flow: Flow, id: LegId, key: u64, response: &Response) -> Fate {
        let core = &mut self.core;
        let Some(leg) = self.legs.get_mut(&id) else { return Fate::Lives };
        let LegState::Up(up) = &mut leg.state else { return Fate::Lives };
        let Some(asking) = up.asking.take_if(|asking| asking.key == key) else { return Fate::Lives };
        let stale = up.stale && asking.media.is_some();
        if stale {
            up.stale = false;
            // It answers inside of the dialog: our 2xx, or the former's, has come.
            up.confirmed = true;
            up.unacked = None;
            let ending = up.ending.take();
            leg.wakes[LegTimer::Ok as usize] = Millis(0);
            // Told in any case: nobody here has heard it from this far end.
            if !response.body.is_empty() {
                leg.audio.remote = None;
            }
            if let Some(ending) = ending {
                core.hang_up(now, id, &mut leg.dialog, ending.status, &ending.reason);
                return Fate::Ended(EndCause::Ordered, 200);
            }
        }
        let refreshed = leg.dialog.refresh(&response.fields, flow);
        let agreed = session::adopt(&response.fields).or(leg.session);
        let retimed = leg.session != agreed;
        leg.session = agreed;
        session::start(core, now, leg);
        if let Some(media) = asking.media {
            leg.audio.local = Some(media);
        }
        if !response.body.is_empty() {
            match sdp::read(&response.body, &core.config.limits).and_then(|answer| answer.answers(leg.audio.local)) {
                Ok(answer) => {
                    hear(core, leg, answer.media);
                }
                Err(_) => {
                    core.hang_up(now, id, &mut leg.dialog, 488, "no common codec");
                    return Fate::Ended(EndCause::Media, response.status);
                }
            }
        }
        if refreshed || retimed || asking.media.is_some() {
            confirm(core, leg);
        }
        if let LegState::Up(up) = &leg.state
            && up.wanted.is_some()
        {
            begin(core, now, leg);
        }
        Fate::Lives
    }

    fn disagreed(&mut self, now: Millis, id: LegId, key: u64, status: u16) -> Fate {
        // RFC 3261 12.2.1.2: the far end does not know the dialog, or is gone.
        if matches!(status, 408 | 481) {
            return self.broken(now, id, key, status);
        }
        let core = &mut self.core;
        let Some(leg) = self.legs.get_mut(&id) else { return Fate::Lives };
        let LegState::Up(up) = &mut leg.state else { return Fate::Lives };
        let Some(asking) = up.asking.take_if(|asking| asking.key == key) else { return Fate::Lives };
        // An adopted leg without our media is mute: what passes is waited for, what does not ends it.
        let passes = matches!(status, 491 | 500) || (up.stale && matches!(status, 501..=599));
        if up.stale && !passes {
            let cause = if status == 488 { EndCause::Media } else { EndCause::Failed };
            if !core.in_doubt(id.shard) {
                core.hang_up(now, id, &mut leg.dialog, status, "not taken over");
            }
            return Fate::Ended(cause, status);
        }
        if passes {
            // RFC 3261 14.1: the owner of the Call-ID waits 2.1 to 4 s, the other up to 2 s. Hashed, not drawn.
            let dice = core.keys.digest(b'D', &[&key.to_le_bytes()]) % 1_900;
            let wait_ms = if id.leg == 1 { dice } else { 2_100 + dice };
            up.wanted = up.wanted.or(asking.media);
            if up.stale {
                adopting::acknowledge_for_former(core, leg);
            }
            core.wake_leg(leg, LegTimer::Retry, now.plus(wait_ms));
        }
        Fate::Lives
    }

    /// A request inside of the dialog failed for good: BYE, as far as it goes.
    pub(super) fn broken(&mut self, now: Millis, id: LegId, key: u64, status: u16) -> Fate {
        let Some(leg) = self.legs.get_mut(&id) else { return Fate::Lives };
        match &mut leg.state {
            // Adopted and not acknowledged: it may not know the dialog yet; our 2xx is on its way to it.
            LegState::Up(up) if up.stale && up.unacked.is_some() => {
                if let Some(asking) = up.asking.take_if(|asking| asking.key == key) {
                    up.wanted = up.wanted.or(asking.media);
                    let again = now.plus(self.core.config.timers.t1_ms.saturating_mul(4));
                    self.core.wake_leg(leg, LegTimer::Retry, again);
                }
                Fate::Lives
            }
            LegState::Up(up) if up.asking.is_some_and(|asking| asking.key == key) => {
                if !self.core.in_doubt(id.shard) {
                    self.core.hang_up(now, id, &mut leg.dialog, status, "dialog broken");
                }
                Fate::Ended(EndCause::Failed, status)
            }
            LegState::Up(_) | LegState::Offered(_) | LegState::Calling(_) => Fate::Lives,
        }
    }
}

/// Sends what is wanted: new media by re-INVITE, else a session refresh.
pub(super) fn begin(core: &mut Core, now: Millis, leg: &mut Leg) {
    let LegState::Up(up) = &mut leg.state else { return };
    let waits = (up.unacked.is_some() || !up.confirmed) && !up.stale;
    if up.asking.is_some() || waits {
        return core.wake_leg(leg, LegTimer::Retry, now.plus(BUSY_MS));
    }
    leg.wakes[LegTimer::Retry as usize] = Millis(0);
    let media = up.wanted.take();
    let update = media.is_none() && leg.dialog.updates;
    leg.dialog.local_cseq += 1;
    let cseq = leg.dialog.local_cseq;
    let (method, purpose) =
        if update { (Method::Update, Purpose::Update) } else { (Method::Invite, Purpose::Reinvite) };
    let branch = core.branch(leg.id, method.name(), cseq, &leg.dialog.remote_tag);
    let key = core.method_key(&branch, method);
    let mut out = leg.dialog.request(method.name(), cseq, &core.host_port, &branch);
    core.contact_in(&leg.dialog, &mut out, &leg.token, leg.dialog.flow.transport);
    write::field(&mut out, "Supported", write::SUPPORTED);
    write::field(&mut out, "Allow", write::ALLOW);
    write::field(&mut out, "User-Agent", &core.config.user_agent);
    if let Some(session) = leg.session {
        write::field(&mut out, "Min-SE", &core.config.limits.session_seconds_min.to_string());
        write::field(
            &mut out,
            "Session-Expires",
            &format!("{};refresher={}", session.seconds, if session.ours { "uac" } else { "uas" }),
        );
    }
    let bytes = if update {
        write::finish(out)
    } else {
        // RFC 4028 7.4: a refresh says the same SDP again, with the same version.
        let fresh = if leg.audio.sdp.is_empty() { media.or(leg.audio.local) } else { media };
        if let Some(local) = fresh {
            let mut offer = sdp::offer(leg.audio.origin, local, Direction::SendRecv);
            if offer != leg.audio.sdp {
                leg.audio.origin.version += 1;
                offer = sdp::offer(leg.audio.origin, local, Direction::SendRecv);
            }
            leg.audio.sdp = offer;
        }
        write::finish_sdp(out, &leg.audio.sdp)
    };
    up.asking = Some(Asking { key, media });
    let seed = (!update).then(|| Box::new(reinvite_seed(leg, cseq)));
    let patience_ms = core.config.timers.patience_ms();
    core.ask(now, key, Ask { purpose, leg: leg.id, flow: leg.dialog.flow, bytes, seed, patience_ms });
}

fn reinvite_seed(leg: &Leg, cseq: u32) -> Seed {
    let dialog = &leg.dialog;
    Seed {
        uri: dialog.target.clone(),
        local: dialog.local.clone(),
        remote: dialog.remote.clone(),
        call_id: dialog.call_id.clone(),
        cseq,
        tag: dialog.remote_tag.clone(),
        abandoned: false,
        cancelled: false,
    }
}
