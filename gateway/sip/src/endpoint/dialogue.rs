//! What the far end says inside of a dialog: BYE, re-INVITE, UPDATE, INFO, OPTIONS, ACK.
//! Never begins anything itself.

use super::core::Core;
use super::inbound::ACCEPT;
use super::offered::{Ok2xx, about_us, is_type, refusal_inside, refuse, say_ok};
use super::{Endpoint, refer, session};
use crate::leg::{Fate, Leg, LegState};
use crate::message::{Method, Request};
use crate::sdp;
use crate::timers::LegTimer;
use crate::transaction::{ServerState, ServerTx};
use crate::types::{Direction, Effect, EndCause, Flow, LegId, Millis};
use crate::{passport, write};

/// A refusal inside of a dialog.
pub(super) struct No(u16, Option<(&'static str, String)>);

impl From<u16> for No {
    fn from(status: u16) -> Self {
        Self(status, None)
    }
}

impl No {
    /// RFC 3261 14.2: come again in a moment.
    pub(super) fn later(status: u16) -> Self {
        Self(status, Some(("Retry-After", "1".to_owned())))
    }
}

impl Endpoint {
    pub(super) fn in_dialog(&mut self, now: Millis, flow: Flow, key: u64, request: &Request) {
        let Some(id) = self.leg_of(request) else {
            // A dialog of another gateway, or a forgery: RFC 3261 12.2.2.
            return self.core.refuse(&request.echo, 481, &[]);
        };
        let core = &mut self.core;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        // RFC 3261 12.2.2: an older number is out of order.
        if request.cseq < leg.dialog.remote_cseq {
            return core.refuse(&request.echo, 500, &[]);
        }
        leg.dialog.remote_cseq = request.cseq;
        if request.method != Method::Bye
            && let Some((status, field)) = refusal_inside(request)
        {
            return no(core, now, key, request, leg, &No(status, field));
        }
        if matches!(request.method, Method::Invite | Method::Update) && core.in_doubt(id.shard) {
            return no(core, now, key, request, leg, &No::later(500));
        }
        let mut fate = Fate::Lives;
        let outcome = match request.method {
            Method::Bye => {
                fate = bye(core, now, key, request, leg);
                Ok(())
            }
            Method::Invite => reinvite(core, now, flow, key, request, leg),
            Method::Update => update(core, now, flow, key, request, leg),
            Method::Info => info(core, now, key, request, leg),
            Method::Options => {
                let mut out = request.echo.response(200, &leg.token);
                about_us(core, &mut out);
                write::field(&mut out, "Accept", ACCEPT);
                core.reply(now, key, request.echo.flow, write::finish(out));
                Ok(())
            }
            Method::Refer => refer::ask(core, now, key, request, leg),
            Method::Unserved | Method::Notify | Method::Prack => Err(405.into()),
            Method::Unknown | Method::Register | Method::Ack | Method::Cancel => Err(501.into()),
        };
        if let Err(refusal) = outcome {
            no(core, now, key, request, leg, &refusal);
        }
        self.settle(id, fate);
    }

    /// The ACK of a 2xx of ours.
    pub(super) fn acked(&mut self, now: Millis, id: LegId, request: &Request) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let fate = acked(&mut self.core, now, leg, request);
        self.settle(id, fate);
    }
}

/// Answers a refusal and remembers it for repeats; an INVITE's waits for its ACK.
fn no(core: &mut Core, now: Millis, key: u64, request: &Request, leg: &Leg, refusal: &No) {
    let No(status, field) = refusal;
    let mut out = request.echo.response(*status, &leg.token);
    if let Some((name, value)) = field {
        write::field(&mut out, name, value);
    }
    core.finish_refusal(&mut out, *status);
    let bytes = write::finish(out);
    let flow = request.echo.flow;
    if request.method != Method::Invite {
        return core.reply(now, key, flow, bytes);
    }
    core.send(flow, bytes.clone());
    let (state, response) = (ServerState::Proceeding, bytes.clone());
    let mut tx = ServerTx { state, flow, response, due: Millis(0), merge: 0, leg: Some(leg.id) };
    tx.refuse(now, &core.config.timers, bytes);
    core.serve(key, tx);
}

fn bye(core: &mut Core, now: Millis, key: u64, request: &Request, leg: &mut Leg) -> Fate {
    let mut out = request.echo.response(200, &leg.token);
    write::field(&mut out, "Server", &core.config.user_agent);
    core.reply(now, key, request.echo.flow, write::finish(out));
    match &leg.state {
        // RFC 3261 15.1.2: a BYE before the final answer ends the INVITE too.
        LegState::Offered(_) => {
            refuse(core, now, leg, 487, "");
            Fate::Ended(EndCause::Cancelled, 487)
        }
        LegState::Calling(_) | LegState::Up(_) => Fate::Ended(EndCause::Hangup, 200),
    }
}

fn reinvite(core: &mut Core, now: Millis, flow: Flow, key: u64, request: &Request, leg: &mut Leg) -> Result<(), No> {
    let LegState::Up(up) = &leg.state else {
        // RFC 3261 14.2: the first INVITE has no final answer yet.
        return Err(No::later(500));
    };
    if up.asking.is_some() {
        return Err(491.into());
    }
    // Adopted: until our media is offered there is nothing to answer with.
    if up.unacked.is_some() || up.stale {
        return Err(No::later(500));
    }
    let (session, session_line) = session_terms(core, request)?;
    let changed = take_offer(core, request, leg)?;
    let offered = request.body.is_empty();
    if offered {
        offer_again(leg);
    }
    let refreshed = leg.dialog.refresh(&request.fields, flow);
    let mut out = request.echo.response(200, &leg.token);
    core.contact(&mut out, &leg.token, request.echo.flow.transport);
    out.extend_from_slice(session_line.as_bytes());
    about_us(core, &mut out);
    let ok = write::finish_sdp(out, &leg.audio.sdp);
    let (state, response) = (ServerState::Accepted, bytes::Bytes::new());
    let due = now.plus(core.config.timers.patience_ms());
    core.serve(key, ServerTx { state, flow: request.echo.flow, response, due, merge: 0, leg: Some(leg.id) });
    let tell = changed || refreshed;
    say_ok(core, now, leg, Ok2xx { flow: request.echo.flow, ok, cseq: request.cseq, offered, tell });
    leg.session = session;
    session::start(core, now, leg);
    Ok(())
}

fn update(core: &mut Core, now: Millis, flow: Flow, key: u64, request: &Request, leg: &mut Leg) -> Result<(), No> {
    if !request.body.is_empty() {
        // RFC 3311 5.2: one offer at a time.
        match &leg.state {
            LegState::Up(up) if up.asking.is_some() => return Err(491.into()),
            LegState::Up(up) if up.stale => return Err(No::later(500)),
            LegState::Up(up) if up.unacked.as_ref().is_none_or(|unacked| !unacked.offered) => {}
            LegState::Up(_) | LegState::Offered(_) | LegState::Calling(_) => return Err(No::later(500)),
        }
    }
    let (session, session_line) = session_terms(core, request)?;
    let changed = take_offer(core, request, leg)?;
    let refreshed = leg.dialog.refresh(&request.fields, flow);
    let mut out = request.echo.response(200, &leg.token);
    core.contact(&mut out, &leg.token, request.echo.flow.transport);
    out.extend_from_slice(session_line.as_bytes());
    about_us(core, &mut out);
    let ok = match request.body.is_empty() {
        true => write::finish(out),
        false => write::finish_sdp(out, &leg.audio.sdp),
    };
    core.reply(now, key, request.echo.flow, ok);
    if let LegState::Up(_) = leg.state {
        leg.session = session;
        session::start(core, now, leg);
        if changed || refreshed {
            confirm(core, leg);
        }
    }
    Ok(())
}

fn session_terms(core: &Core, request: &Request) -> Result<(Option<crate::leg::Session>, String), No> {
    session::answer(request, &core.config).map_err(|min| No(422, Some(("Min-SE", min.to_string()))))
}

/// Answers the offer in a request, if there is one: our SDP is rewritten, its version grows with each change.
fn take_offer(core: &mut Core, request: &Request, leg: &mut Leg) -> Result<bool, No> {
    let (Some(local), false) = (leg.audio.local, request.body.is_empty()) else { return Ok(false) };
    if !is_type(request, "application/sdp") {
        return Err(415.into());
    }
    let keys = core.keys_may_travel(leg.dialog.flow) && local.crypto.is_some();
    let offer = sdp::read(&request.body, &core.config.limits).and_then(|offer| offer.permitted(keys));
    let offer = offer.map_err(|problem| match problem {
        sdp::SdpProblem::Malformed => 400u16,
        sdp::SdpProblem::NothingInCommon => 488,
    })?;
    let mut answer = sdp::answer(leg.audio.origin, local, &offer);
    if answer != leg.audio.sdp {
        leg.audio.origin.version += 1;
        answer = sdp::answer(leg.audio.origin, local, &offer);
    }
    leg.audio.sdp = answer;
    Ok(hear(core, leg, offer.media))
}

/// The far end asks us to offer (a re-INVITE without SDP): the whole again.
fn offer_again(leg: &mut Leg) {
    if let Some(local) = leg.audio.local {
        leg.audio.origin.version += 1;
        leg.audio.sdp = sdp::offer(leg.audio.origin, local, Direction::SendRecv);
    }
}

/// Notes the far end's audio and tells when it is another.
pub(super) fn hear(core: &mut Core, leg: &mut Leg, media: crate::types::RemoteMedia) -> bool {
    if leg.audio.remote == Some(media) {
        return false;
    }
    leg.audio.remote = Some(media);
    core.tell(Effect::MediaChanged { leg: leg.id, media });
    true
}

/// The dialog as others should know it.
pub(super) fn confirm(core: &mut Core, leg: &Leg) {
    if let Some(passport) = passport::write(leg) {
        core.tell(Effect::Confirmed { leg: leg.id, passport });
    }
}

fn acked(core: &mut Core, now: Millis, leg: &mut Leg, request: &Request) -> Fate {
    let LegState::Up(up) = &mut leg.state else { return Fate::Lives };
    let Some(unacked) = up.unacked.take_if(|unacked| unacked.cseq == request.cseq) else { return Fate::Lives };
    up.confirmed = true;
    let ending = up.ending.take();
    leg.wakes[LegTimer::Ok as usize] = Millis(0);
    if let Some(ending) = ending {
        core.hang_up(now, leg.id, &mut leg.dialog, ending.status, &ending.reason);
        return Fate::Ended(EndCause::Ordered, 200);
    }
    if unacked.offered {
        // A late offer: the answer is in the ACK, and there is no way to refuse it but to hang up.
        match sdp::read(&request.body, &core.config.limits).and_then(|answer| answer.answers(leg.audio.local)) {
            Ok(answer) => {
                hear(core, leg, answer.media);
            }
            Err(_) => {
                core.hang_up(now, leg.id, &mut leg.dialog, 488, "no common codec");
                return Fate::Ended(EndCause::Media, 200);
            }
        }
    }
    if unacked.tell || unacked.offered {
        confirm(core, leg);
    }
    if let LegState::Up(up) = &leg.state
        && up.stale
        && up.wanted.is_some()
    {
        // The ACK may be for the former's answer.
        super::offering::begin(core, now, leg);
    }
    Fate::Lives
}

fn info(core: &mut Core, now: Millis, key: u64, request: &Request, leg: &Leg) -> Result<(), No> {
    let body = String::from_utf8_lossy(&request.body);
    let digits = if request.body.is_empty() {
        String::new()
    } else if is_type(request, "application/dtmf-relay") {
        let signal = body.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then(|| value.trim())
        });
        digit(signal.ok_or(400)?).ok_or(400)?
    } else if is_type(request, "application/dtmf") {
        digit(body.trim()).ok_or(400)?
    } else {
        return Err(415.into());
    };
    let mut out = request.echo.response(200, &leg.token);
    write::field(&mut out, "Server", &core.config.user_agent);
    core.reply(now, key, request.echo.flow, write::finish(out));
    if !digits.is_empty() {
        core.tell(Effect::Digits { leg: leg.id, digits });
    }
    Ok(())
}

/// One key, as phones write it: itself, or 10 and 11 for star and hash.
fn digit(text: &str) -> Option<String> {
    match text {
        "10" => Some("*".to_owned()),
        "11" => Some("#".to_owned()),
        _ => {
            let mut chars = text.chars();
            let key = chars.next().filter(|_| chars.next().is_none())?.to_ascii_uppercase();
            "0123456789*#ABCD".contains(key).then(|| key.to_string())
        }
    }
}
