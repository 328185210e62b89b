//! Session timers (RFC 4028): agreed, refreshed, expired.
//! We ask for one as `EndpointConfig::session_seconds` says; what the far end asks for is honoured.

use super::core::Core;
use crate::config::EndpointConfig;
use crate::leg::{Leg, Session};
use crate::message::{Field, Fields, Request};
use crate::timers::LegTimer;
use crate::types::Millis;
use crate::write;

/// Longest interval we agree to; a day.
pub(super) const SECONDS_MAX: u32 = 86_400;

/// What our INVITE asks for (RFC 4028 section 7.1); the far end says who refreshes.
pub(super) fn ask(out: &mut Vec<u8>, config: &EndpointConfig) {
    if config.session_seconds == 0 {
        return;
    }
    let least = config.limits.session_seconds_min;
    let seconds = config.session_seconds.clamp(least, SECONDS_MAX.max(least));
    write::field(out, "Session-Expires", &seconds.to_string());
    write::field(out, "Min-SE", &least.to_string());
}

/// Reads `Session-Expires`: seconds and refresher.
fn read(fields: &Fields) -> Option<(u32, Option<bool>)> {
    let value = fields.first(Field::SessionExpires)?;
    let mut parts = value.split(';').map(str::trim);
    let seconds = parts.next()?.parse::<u32>().ok()?;
    let refresher = parts.find_map(|part| {
        let (name, who) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("refresher").then(|| who.trim().eq_ignore_ascii_case("uac"))
    });
    Some((seconds, refresher))
}

/// As UAS (RFC 4028 section 9): what we keep and the lines of the 2xx; or the shortest interval, for a 422.
pub(super) fn answer(request: &Request, config: &EndpointConfig) -> Result<(Option<Session>, String), u32> {
    let seconds_min = config.limits.session_seconds_min;
    let knows = request.fields.lists(Field::Supported, "timer") || request.fields.lists(Field::Require, "timer");
    let Some((seconds, refresher)) = read(&request.fields) else { return Ok(ours(request, config, knows)) };
    if seconds < seconds_min && knows {
        return Err(seconds_min);
    }
    let seconds = seconds.clamp(seconds_min, SECONDS_MAX);
    // Who does not know session timers cannot refresh: a proxy asked for it, and we do it.
    let theirs = knows && refresher.unwrap_or(true);
    let line = if theirs {
        format!("Require: timer\r\nSession-Expires: {seconds};refresher=uac\r\n")
    } else {
        format!("Session-Expires: {seconds};refresher=uas\r\n")
    };
    Ok((Some(Session { seconds, ours: !theirs }), line))
}

/// The caller knows session timers and asked for none: we do, and refresh (RFC 4028 section 9).
fn ours(request: &Request, config: &EndpointConfig, knows: bool) -> (Option<Session>, String) {
    if !knows || config.session_seconds == 0 {
        return (None, String::new());
    }
    // RFC 4028 section 5: not below the caller's Min-SE.
    let least = request.fields.first(Field::MinSe).and_then(|value| value.split(';').next()?.trim().parse().ok());
    let least = least.unwrap_or(0).max(config.limits.session_seconds_min);
    let seconds = config.session_seconds.max(least).min(SECONDS_MAX);
    let line = format!("Session-Expires: {seconds};refresher=uas\r\n");
    (Some(Session { seconds, ours: true }), line)
}

/// As UAC (RFC 4028 section 7.2): what the 2xx says.
pub(super) fn adopt(fields: &Fields) -> Option<Session> {
    let (seconds, refresher) = read(fields)?;
    Some(Session { seconds: seconds.clamp(32, SECONDS_MAX), ours: refresher.unwrap_or(true) })
}

/// Begins the interval again. RFC 4028 section 10: the refresher acts at half of it; the other side hangs up shortly
/// before its end.
pub(super) fn start(core: &mut Core, now: Millis, leg: &mut Leg) {
    leg.wakes[LegTimer::Refresh as usize] = Millis(0);
    leg.wakes[LegTimer::Expiry as usize] = Millis(0);
    let Some(session) = leg.session else { return };
    let whole_ms = u64::from(session.seconds) * 1_000;
    if session.ours {
        core.wake_leg(leg, LegTimer::Refresh, now.plus(whole_ms / 2));
    }
    core.wake_leg(leg, LegTimer::Expiry, now.plus(whole_ms - (whole_ms / 3).min(32_000)));
}
