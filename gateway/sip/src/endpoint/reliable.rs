//! Reliable provisional responses (RFC 3262): ours are said again until PRACK, those of others get one.
//! Our 180 never carries SDP, so that a 200 need not wait for its PRACK (RFC 3262 section 3).

use super::core::{Ask, Core};
use super::dialogue::No;
use super::offered;
use crate::dialog::Dialog;
use crate::leg::{Fate, Fork, Leg, LegState, Unpracked};
use crate::message::{Field, Method, Request, Response};
use crate::timers::LegTimer;
use crate::transaction::{Purpose, Seed};
use crate::types::{EndCause, Flow, LegId, Millis};
use crate::write;

/// A leg says fewer reliable responses than this; PRACKs for others name nothing.
const RESPONSES_MAX: u32 = 1_000;

/// The number before the first: derived, between 1 and 2^31 - 1 (RFC 3262 section 3).
fn base(core: &Core, leg: LegId) -> u32 {
    let hash = core.keys.digest(b'Q', &[&leg.call.to_le_bytes(), &leg.leg.to_le_bytes()]);
    (hash % 0x3fff_ffff) as u32 + 1
}

/// The lines that make the next response of this caller reliable; none when it must not be said at all.
pub(super) fn lines(core: &Core, leg: &mut Leg) -> Option<String> {
    let base = base(core, leg.id);
    let LegState::Offered(offered) = &mut leg.state else { return None };
    if !offered.reliable.wanted {
        return Some(String::new());
    }
    // RFC 3261 13.2.1: without an offer in the INVITE the first reliable response would have to carry ours, and there
    // is none yet. RFC 3262 section 3: one at a time.
    // The gateway before us may have said some, and nobody knows which number comes next.
    if offered.offer.is_none() || offered.reliable.waits.is_some() || offered.adopted {
        return None;
    }
    offered.reliable.said += 1;
    Some(format!("Require: 100rel\r\nRSeq: {}\r\n", base + offered.reliable.said))
}

/// It has been said: again at T1, 2*T1, .. until PRACK.
pub(super) fn said(core: &mut Core, now: Millis, leg: &mut Leg, response: &bytes::Bytes) {
    let LegState::Offered(offered) = &mut leg.state else { return };
    if !offered.reliable.wanted {
        return;
    }
    let interval_ms = core.config.timers.t1_ms;
    let until = now.plus(core.config.timers.patience_ms());
    offered.reliable.waits = Some(Unpracked { response: response.clone(), interval_ms, until });
    core.wake_leg(leg, LegTimer::Reliable, now.plus(interval_ms));
}

/// Nobody has said PRACK yet. After 64*T1 the INVITE is refused with 5xx (RFC 3262 section 3).
pub(super) fn again(core: &mut Core, now: Millis, leg: &mut Leg) -> Fate {
    let LegState::Offered(offered) = &mut leg.state else { return Fate::Lives };
    let flow = offered.echo.flow;
    let Some(waits) = offered.reliable.waits.as_mut() else { return Fate::Lives };
    if now >= waits.until {
        offered::refuse(core, now, leg, 504, "no PRACK");
        return Fate::Ended(EndCause::Failed, 504);
    }
    waits.interval_ms = waits.interval_ms.saturating_mul(2);
    let next = now.plus(waits.interval_ms).min(waits.until);
    let response = waits.response.clone();
    core.send(flow, response);
    core.wake_leg(leg, LegTimer::Reliable, next);
    Fate::Lives
}

/// PRACK from a caller.
pub(super) fn pracked(core: &mut Core, now: Millis, key: u64, request: &Request, leg: &mut Leg) -> Result<(), No> {
    let (rseq, _, method) = rack(request).ok_or(400)?;
    let base = base(core, leg.id);
    let said = rseq.checked_sub(base).filter(|_| method == "INVITE").ok_or(481)?;
    match &mut leg.state {
        // It is for what the gateway before us has said.
        LegState::Offered(offered) if offered.adopted && (1..RESPONSES_MAX).contains(&said) => {}
        LegState::Offered(offered) => {
            if offered.reliable.waits.is_none() || said != offered.reliable.said {
                return Err(481.into());
            }
            offered.reliable.waits = None;
            leg.wakes[LegTimer::Reliable as usize] = Millis(0);
        }
        // The 200 was faster than the PRACK of what came before it.
        LegState::Up(_) if (1..RESPONSES_MAX).contains(&said) => {}
        LegState::Up(_) | LegState::Calling(_) => return Err(481.into()),
    }
    // RFC 3262 section 5: an offer here would need an answer before it, and ours comes in the 200.
    if !request.body.is_empty() {
        return Err(488.into());
    }
    let mut out = request.echo.response(200, &leg.token);
    write::field(&mut out, "Server", &core.config.user_agent);
    core.reply(now, key, request.echo.flow, write::finish(out));
    Ok(())
}

/// `RAck` (RFC 3262 7.2): response number, CSeq number, method.
fn rack(request: &Request) -> Option<(u32, u32, String)> {
    let value = request.fields.first(Field::RAck)?;
    let mut words = value.split_ascii_whitespace();
    let rack = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.to_owned());
    words.next().is_none().then_some(rack)
}

/// A provisional response to an INVITE of ours: a reliable one gets its PRACK. Says whether it counts: one that is out
/// of order, or said again, does not (RFC 3262 section 4).
pub(super) fn acknowledge(
    core: &mut Core,
    now: Millis,
    flow: Flow,
    leg: &mut Leg,
    seed: Option<&Seed>,
    response: &Response,
) -> bool {
    let Some(rseq) = rseq_of(response) else { return true };
    let (LegState::Calling(calling), Some(seed)) = (&mut leg.state, seed) else { return true };
    let room = calling.forks.len() < core.config.limits.forks_max;
    match calling.forks.iter_mut().find(|fork| fork.tag == response.to_tag) {
        Some(fork) if fork.rseq.checked_add(1) == Some(rseq) => fork.rseq = rseq,
        Some(_) => return false,
        None if room => {
            calling.forks.push(Fork { tag: response.to_tag.clone(), rseq });
        }
        None => return false,
    }
    let dialog = Dialog::of_response(seed, response, flow, core.config.limits.routes_max);
    leg.dialog.local_cseq += 1;
    let cseq = leg.dialog.local_cseq;
    let branch = core.branch(leg.id, "PRACK", cseq, &dialog.remote_tag);
    let key = core.client_key(branch.as_bytes(), Method::Prack);
    let mut out = dialog.request("PRACK", cseq, &core.host_port, &branch);
    write::field(&mut out, "RAck", &format!("{rseq} {} INVITE", seed.cseq));
    write::field(&mut out, "User-Agent", &core.config.user_agent);
    let (bytes, patience_ms) = (write::finish(out), core.config.timers.patience_ms());
    core.ask(now, key, Ask { purpose: Purpose::Prack, leg: leg.id, flow: dialog.flow, bytes, seed: None, patience_ms });
    true
}

/// The number of a reliable response: 101 to 199, with a tag, `Require: 100rel` and RSeq.
fn rseq_of(response: &Response) -> Option<u32> {
    let reliable = (101..200).contains(&response.status)
        && !response.to_tag.is_empty()
        && response.fields.lists(Field::Require, "100rel");
    let value = response.fields.first(Field::RSeq).filter(|_| reliable)?;
    value.trim().parse().ok().filter(|rseq| *rseq > 0)
}
