//! REFER (RFC 3515) inside of a dialog: checked, told, answered, and its NOTIFYs. Never calls anybody itself.

use std::net::IpAddr;

use super::core::{Ask, Core};
use super::dialogue::{No, confirm};
use super::redirect::usable;
use super::{Endpoint, offered};
use crate::config::Limits;
use crate::leg::{Leg, LegState, Refer};
use crate::message::{Field, Method, Request};
use crate::timers::LegTimer;
use crate::transaction::{Purpose, ServerState, ServerTx};
use crate::types::{Effect, LegId, Millis, UnknownLeg};
use crate::uri::{Scheme, Uri, clean};
use crate::write;

/// How long an accepted REFER is said to be followed; nobody refreshes it, and it ends with its final NOTIFY.
const ACTIVE_SECONDS: u32 = 180;

/// Whom a REFER names.
struct Target {
    to: String,
    user: String,
    ours: bool,
    replaces: String,
}

impl Endpoint {
    /// Answers `Effect::Referred`: a final refusal, or (below 300) 202 and a NOTIFY that it is being tried.
    pub fn answer_refer(&mut self, now: Millis, leg: LegId, status: u16) -> Result<(), UnknownLeg> {
        let it = self.legs.get_mut(&leg).ok_or(UnknownLeg(leg))?;
        answer(&mut self.core, now, it, status);
        Ok(())
    }

    /// What became of an accepted REFER: the final NOTIFY. Nothing is done when none is open.
    pub fn refer_ended(&mut self, now: Millis, leg: LegId, status: u16) -> Result<(), UnknownLeg> {
        let it = self.legs.get_mut(&leg).ok_or(UnknownLeg(leg))?;
        if open(it).is_some_and(|refer| refer.asked.is_none()) {
            conclude(&mut self.core, now, it, status);
            confirm(&mut self.core, it);
        }
        Ok(())
    }

    /// Referred-By (RFC 3892) of the open REFER, for the INVITE that it brings about; empty: none.
    #[must_use]
    pub fn referred_by(&self, leg: LegId) -> &str {
        self.legs.get(&leg).and_then(|leg| open(leg)).map_or("", |refer| &refer.by)
    }
}

fn open(leg: &Leg) -> Option<&Refer> {
    match &leg.state {
        LegState::Up(up) => up.refer.as_deref(),
        LegState::Offered(_) | LegState::Calling(_) => None,
    }
}

/// A REFER from the far end.
pub(super) fn ask(core: &mut Core, now: Millis, key: u64, request: &Request, leg: &mut Leg) -> Result<(), No> {
    let LegState::Up(up) = &mut leg.state else { return Err(No::later(500)) };
    if !up.confirmed {
        return Err(No::later(500));
    }
    if up.refer.is_some() {
        return Err(491.into());
    }
    let target = target(core, request)?;
    let limits = &core.config.limits;
    let silent = request
        .fields
        .first(Field::ReferSub)
        .is_some_and(|value| value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("false"));
    let by = referred_by(request, limits);
    up.refer = Some(Box::new(Refer { asked: Some((key, request.echo.clone())), cseq: request.cseq, silent, by }));
    // Repeats are absorbed until there is an answer.
    let (state, response) = (ServerState::Proceeding, bytes::Bytes::new());
    let tx = ServerTx { state, flow: request.echo.flow, response, due: Millis(0), merge: 0, leg: Some(leg.id) };
    core.serve(key, tx);
    core.wake_leg(leg, LegTimer::Refer, now.plus(core.config.setup_wait_ms));
    let Target { to, user, ours, replaces } = target;
    core.tell(Effect::Referred { leg: leg.id, to, user, ours, replaces });
    Ok(())
}

/// RFC 3515 2.4.2: exactly one Refer-To. Of its header components only Replaces is taken (RFC 3261 19.1.5).
fn target(core: &Core, request: &Request) -> Result<Target, No> {
    let limits = &core.config.limits;
    let values = request.fields.list(Field::ReferTo);
    let [value] = values.as_slice() else { return Err(400.into()) };
    if value.len() > limits.uri_bytes_max * 2 {
        return Err(400.into());
    }
    let (bare, headers) = Uri::split_headers(value.as_bytes()).ok_or(400)?;
    if bare.scheme == Scheme::Other {
        return Err(416.into());
    }
    // RFC 3515 2.1: another method is another service.
    if bare.method.as_ref().is_some_and(|method| !method.eq_ignore_ascii_case(b"INVITE")) {
        return Err(501.into());
    }
    let to = usable(&bare, limits).ok_or(400)?;
    let mut replaces = String::new();
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("replaces") {
            let bad = !replaces.is_empty() || value.len() > limits.uri_bytes_max || value.chars().any(char::is_control);
            if bad || value.is_empty() {
                return Err(400.into());
            }
            replaces = value;
        }
    }
    let ours = is_ours(core, &bare);
    Ok(Target { user: bare.user_text(limits.name_bytes_max), to, ours, replaces })
}

/// A number of ours, or one that we know how to call: not somebody else's address.
pub(super) fn is_ours(core: &Core, uri: &Uri) -> bool {
    let config = &core.config;
    let host = uri.host.as_deref().unwrap_or_default();
    // Another port of the same machine is somebody else.
    let here = uri.port.is_none_or(|port| port == config.port || port == config.tls_port);
    let mut names = std::iter::once(&config.realm).chain(&config.names);
    uri.scheme == Scheme::Tel || here && is_host(&config.host, host) || names.any(|name| is_host(name, host))
}

/// The same name, or the same address however it is written.
fn is_host(name: &str, host: &str) -> bool {
    let same = |a: IpAddr, b: IpAddr| a.to_canonical() == b.to_canonical();
    name.eq_ignore_ascii_case(host) || matches!((name.parse(), host.parse()), (Ok(a), Ok(b)) if same(a, b))
}

/// RFC 3892 2.1: at most one, a SIP URI; what is odd is not handed on.
fn referred_by(request: &Request, limits: &Limits) -> String {
    let values = request.fields.lines(Field::ReferredBy);
    let [value] = values.as_slice() else { return String::new() };
    let uri = Uri::of_value(value.as_bytes()).filter(Uri::is_sip).and_then(|uri| usable(&uri, limits));
    uri.map(|uri| format!("<{}>", clean(&uri, limits.uri_bytes_max))).unwrap_or_default()
}

fn answer(core: &mut Core, now: Millis, leg: &mut Leg, status: u16) {
    let token = leg.token.clone();
    let LegState::Up(up) = &mut leg.state else { return };
    let Some(refer) = up.refer.as_mut() else { return };
    let Some((key, echo)) = refer.asked.take() else { return };
    leg.wakes[LegTimer::Refer as usize] = Millis(0);
    let accepted = status < 300;
    let status = if accepted { 202 } else { status.min(699) };
    let mut out = echo.response(status, &token);
    if accepted {
        core.contact(&mut out, &token, echo.flow.transport);
        if refer.silent {
            write::field(&mut out, "Refer-Sub", "false");
        }
        offered::about_us(core, &mut out);
    } else {
        up.refer = None;
        core.finish_refusal(&mut out, status);
    }
    core.reply(now, key, echo.flow, write::finish(out));
    if accepted {
        notify(core, now, leg, 100, false);
        // Another gateway may have to say how it ended.
        confirm(core, leg);
    }
}

/// Nobody decided in time.
pub(super) fn overdue(core: &mut Core, now: Millis, leg: &mut Leg) {
    if open(leg).is_some_and(|refer| refer.asked.is_some()) {
        answer(core, now, leg, 503);
    }
}

/// Ends an open REFER: a final NOTIFY, or the refusal when nobody has decided. What is no final status counts as 503.
pub(super) fn conclude(core: &mut Core, now: Millis, leg: &mut Leg, status: u16) {
    let Some(refer) = open(leg) else { return };
    let status = if (200..700).contains(&status) { status } else { 503 };
    if refer.asked.is_some() {
        return answer(core, now, leg, status.max(480));
    }
    notify(core, now, leg, status, true);
    if let LegState::Up(up) = &mut leg.state {
        up.refer = None;
    }
}

/// The leg is gone and its REFER has no answer: 487, which nobody remembers.
pub(super) fn abandon(core: &mut Core, leg: &Leg) {
    let Some((key, echo)) = open(leg).and_then(|refer| refer.asked.as_ref()) else { return };
    if core.servers.contains_key(key) {
        core.forget_server(*key);
        let mut out = echo.response(487, &leg.token);
        core.finish_refusal(&mut out, 487);
        core.send(echo.flow, write::finish(out));
    }
}

/// The leg goes on elsewhere: what is open is dropped without a word.
pub(super) fn forget(core: &mut Core, leg: &Leg) {
    if let Some((key, _)) = open(leg).and_then(|refer| refer.asked.as_ref()) {
        core.forget_server(*key);
    }
}

/// RFC 3515 2.4.4, RFC 3420: how far it is, as the status line of the call it brought about.
fn notify(core: &mut Core, now: Millis, leg: &mut Leg, status: u16, last: bool) {
    let Some(refer) = open(leg).filter(|refer| !refer.silent) else { return };
    let event = format!("refer;id={}", refer.cseq);
    leg.dialog.local_cseq += 1;
    let cseq = leg.dialog.local_cseq;
    let branch = core.branch(leg.id, "NOTIFY", cseq, &leg.dialog.remote_tag);
    let key = core.client_key(branch.as_bytes(), Method::Notify);
    let mut out = leg.dialog.request("NOTIFY", cseq, &core.host_port, &branch);
    core.contact(&mut out, &leg.token, leg.dialog.flow.transport);
    write::field(&mut out, "Event", &event);
    let state =
        if last { "terminated;reason=noresource".to_owned() } else { format!("active;expires={ACTIVE_SECONDS}") };
    write::field(&mut out, "Subscription-State", &state);
    write::field(&mut out, "Allow", write::ALLOW);
    write::field(&mut out, "User-Agent", &core.config.user_agent);
    let fragment = format!("SIP/2.0 {status} {}\r\n", write::phrase(status));
    let bytes = write::finish_body(out, "message/sipfrag;version=2.0", fragment.as_bytes());
    let patience_ms = core.config.timers.patience_ms();
    let (leg, flow) = (leg.id, leg.dialog.flow);
    core.ask(now, key, Ask { purpose: Purpose::Notify, leg, flow, bytes, seed: None, patience_ms });
}
