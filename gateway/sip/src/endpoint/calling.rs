//! Calls out: an INVITE of ours, what comes back, and how it is taken back.
//! Never decides whom to ring.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::core::{Ask, Core};
use super::{ASLEEP, Endpoint, redirect, reliable, session};
use crate::dialog::{Dialog, HOPS_MAX};
use crate::flow_token;
use crate::leg::{Audio, Calling, Ending, Fate, Leg, LegState, Up};
use crate::message::{Method, Response};
use crate::raw;
use crate::sdp;
use crate::tag;
use crate::timers::LegTimer;
use crate::transaction::{ClientState, ClientTx, Purpose, Seed};
use crate::types::{Direction, Effect, EndCause, Flow, Invite, LegId, Millis, Transport};
use crate::uri::{Scheme, Uri};
use crate::{identity, write};

/// Fields that `Invite::headers` may not set.
const OURS: &[&str] = &[
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "contact",
    "max-forwards",
    "route",
    "record-route",
    "content-type",
    "content-length",
    "require",
    "supported",
    "allow",
    "authorization",
    "proxy-authorization",
    "session-expires",
    "min-se",
    "p-asserted-identity",
    "p-preferred-identity",
    "privacy",
    "history-info",
    "diversion",
    "replaces",
    "rack",
    "rseq",
];

impl Endpoint {
    /// Rings somebody. Asked again for a leg that exists, or for the same attempt of one that existed, nothing is done.
    #[allow(clippy::needless_pass_by_value)] // the order is spent here
    pub fn invite(&mut self, now: Millis, leg: LegId, invite: Invite) {
        let branch = self.core.branch(leg, "INVITE", invite.cseq(), b"");
        let key = self.core.client_key(branch.as_bytes(), Method::Invite);
        if self.legs.contains_key(&leg) || self.core.clients.contains_key(&key) {
            return;
        }
        let (Some((target, flow, route)), true) = (self.way_out(&invite), self.has_room_for_leg()) else {
            return self.core.tell(Effect::Ended { leg, cause: EndCause::Unreachable, status: 0 });
        };
        let token = tag::encode(&self.core.keys, leg);
        let seed = self.seed(leg, &token, &target, &invite);
        let mut audio = Audio::new(leg);
        let media = self.core.offerable(invite.media, flow);
        audio.local = Some(media);
        audio.sdp = sdp::offer(audio.origin, media, Direction::SendRecv);
        let dialog = early_dialog(&seed, flow, route);
        let bytes = self.first_invite(&dialog, &branch, &token, &invite, &audio.sdp);
        let calling = Calling { key, rang: false, provisional: false, ending: None, early: None, forks: Vec::new() };
        let state = LegState::Calling(Box::new(calling));
        self.legs.insert(leg, Box::new(Leg { id: leg, token, state, dialog, audio, session: None, wakes: ASLEEP }));
        let patience_ms = self.core.config.no_provisional_ms.min(self.core.config.timers.patience_ms());
        let ask = Ask { purpose: Purpose::Invite, leg, flow, bytes, seed: Some(Box::new(seed)), patience_ms };
        if let Some(login) = invite.login {
            self.core.logins.insert(leg, Arc::new(login));
        }
        self.core.ask(now, key, ask);
    }

    /// The target, and where its INVITE goes: where we are told, else to the first route, else to the target itself.
    /// A message of any size goes over the transport that is asked for: one that is too long for a datagram (RFC 3261
    /// 18.1.1) is cut and put together by the network, as the INVITEs of most phones are; who wants TCP for it says so in
    /// the target.
    pub(super) fn way_out<'a>(&self, invite: &'a Invite) -> Option<(Uri, Flow, &'a [String])> {
        let target = Uri::parse(invite.target.as_bytes()).filter(Uri::is_sip)?;
        let first = invite.route.first().and_then(|route| Uri::of_value(route.as_bytes()));
        let own = invite.route.first().and_then(|route| {
            let secure = write::secure_host_port(&self.core.config);
            flow_token::of_route(route.as_bytes(), [&self.core.host_port, &secure])
        });
        let (flow, route) = match (invite.destination, own, &first) {
            (Some(flow), ..) => (flow, &invite.route[..]),
            // The phone's connection is here, or was in a former life.
            (None, Some(token), _) => (self.core.life.flow(token)?, &invite.route[1..]),
            (None, None, Some(first)) => (flow_to(first)?, &invite.route[..]),
            (None, None, None) => (flow_to(&target)?, &invite.route[..]),
        };
        // RFC 3261 26.2.2: what is asked for with `sips` never leaves in the clear, but to the gateway of ours that has the
        // phone's connection.
        let edge = first.is_some_and(|first| flow_token::is_token(&first.user));
        (target.scheme == Scheme::Sip || edge || flow.transport.is_secure()).then_some((target, flow, route))
    }

    pub(super) fn seed(&self, leg: LegId, token: &str, target: &Uri, invite: &Invite) -> Seed {
        let mut local = identity::from(invite, &self.core.host_port);
        local.extend_from_slice(b";tag=");
        local.extend_from_slice(token.as_bytes());
        let uri = identity::request_uri(invite, target);
        let remote = [b"<", uri.as_slice(), b">"].concat();
        // Derived, like the tag: another gateway must be able to take the INVITE back.
        let call_id = format!("{:016x}{:016x}-{}", leg.call, self.core.keys.digest(b'I', &[token.as_bytes()]), leg.leg);
        Seed {
            uri: Bytes::from(uri),
            local: Bytes::from(local),
            remote: Bytes::from(remote),
            call_id: Bytes::from(call_id),
            cseq: invite.cseq(),
            tag: Bytes::new(),
            abandoned: false,
            cancelled: false,
        }
    }

    fn first_invite(&self, dialog: &Dialog, branch: &str, token: &str, invite: &Invite, sdp: &[u8]) -> Bytes {
        let hops = if invite.max_forwards == 0 { HOPS_MAX } else { invite.max_forwards };
        let mut out = dialog.request_within(hops, "INVITE", invite.cseq(), &self.core.host_port, branch);
        self.core.contact_in(dialog, &mut out, token, dialog.flow.transport);
        write::field(&mut out, "Allow", write::ALLOW);
        write::field(&mut out, "Supported", write::SUPPORTED);
        write::field(&mut out, "User-Agent", &self.core.config.user_agent);
        session::ask(&mut out, &self.core.config);
        identity::lines(&mut out, invite, &dialog.target, &self.core.host_port, &self.core.config.limits);
        for (name, value) in &invite.headers {
            let token = !name.is_empty() && name.bytes().all(raw::is_token);
            let ours = OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) || name.len() == 1;
            if token && !ours && !value.chars().any(char::is_control) {
                write::field(&mut out, name, value);
            }
        }
        write::finish_sdp(out, sdp)
    }

    /// A response to an INVITE of ours. The transaction has been taken out of the table and is put back here.
    pub(super) fn on_invite_response(
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
                self.core.proceed(key, &mut tx, now.plus(self.core.config.ring_ms_max));
                let core = &mut self.core;
                let wanted = self.legs.get_mut(&id).and_then(|leg| {
                    let counts = reliable::acknowledge(core, now, flow, leg, tx.seed.as_deref(), response);
                    if counts { progress(core, leg, response) } else { None }
                });
                let abandoned = tx.seed.as_ref().is_some_and(|seed| seed.abandoned);
                if abandoned || wanted.is_some() {
                    let first = cancel(&mut self.core, now, &mut tx, &wanted.unwrap_or_default());
                    if let Some(leg) = self.legs.get_mut(&id).filter(|_| first && !abandoned) {
                        await_cancelled(&mut self.core, now, leg);
                    }
                }
                self.core.clients.insert(key, tx);
            }
            (ClientState::Trying { .. } | ClientState::Proceeding { .. }, 200..=299) => {
                self.accepted(now, flow, key, tx, response);
            }
            (ClientState::Trying { .. } | ClientState::Proceeding { .. }, _) => {
                let ack = derive(&tx.bytes, "ACK", Some(&response.to), |_| {});
                self.core.send(tx.flow, ack.clone());
                tx.bytes = ack;
                self.core.complete(now, key, tx);
                let fate = self.legs.get(&id).map_or(Fate::Lives, |leg| refused(&mut self.core, leg, key, response));
                self.settle(id, fate);
            }
            // RFC 3261 17.1.1.2: a repeat of the refusal gets the ACK again.
            (ClientState::Completed, 300..) => {
                self.core.send(tx.flow, tx.bytes.clone());
                self.core.clients.insert(key, tx);
            }
            // RFC 6026: a repeat of the 2xx gets its ACK again; another fork's gets ACK and BYE.
            (ClientState::Accepted, 200..=299) => {
                match tx.seed.as_ref().filter(|seed| seed.tag != response.to_tag) {
                    None => self.core.send(tx.flow, tx.bytes.clone()),
                    Some(seed) => {
                        let mut fork = Dialog::of_response(seed, response, flow, self.core.config.limits.routes_max);
                        self.core.ack(id, &fork, seed.cseq);
                        self.core.hang_up(now, id, &mut fork, 200, "answered elsewhere");
                    }
                }
                self.core.clients.insert(key, tx);
            }
            (ClientState::Completed | ClientState::Accepted, _) => {
                self.core.clients.insert(key, tx);
            }
        }
    }

    fn accepted(&mut self, now: Millis, flow: Flow, key: u64, mut tx: ClientTx, response: &Response) {
        let id = tx.leg;
        let Some(seed) = tx.seed.as_mut() else { return };
        let mut dialog = Dialog::of_response(seed, response, flow, self.core.config.limits.routes_max);
        tx.bytes = self.core.ack_as(id, &dialog, seed.cseq, &tx.bytes);
        tx.flow = dialog.flow;
        seed.tag = response.to_tag.clone();
        let abandoned = seed.abandoned;
        self.core.accept(now, key, tx);
        match self.legs.get_mut(&id).filter(|_| !abandoned) {
            Some(leg) => {
                let fate = answered(&mut self.core, now, leg, dialog, response);
                self.settle(id, fate);
            }
            None => self.core.hang_up(now, id, &mut dialog, 487, "too late"),
        }
    }
}

/// Where a URI points when its host is an address.
fn flow_to(uri: &Uri) -> Option<Flow> {
    let secure = uri.scheme == Scheme::Sips;
    let transport = match uri.transport.unwrap_or(Transport::Udp) {
        // RFC 3261 26.2.2, 18.1: `sips` is TLS, whatever stream it names.
        Transport::Udp | Transport::Tcp if secure => Transport::Tls,
        Transport::Ws if secure => Transport::Wss,
        other => other,
    };
    let port = uri.port.unwrap_or(if transport == Transport::Tls { 5061 } else { 5060 });
    uri.ip.map(|ip| Flow { transport, remote: SocketAddr::new(ip, port), connection: 0 })
}

/// The dialog of an INVITE before anything came back.
pub(super) fn early_dialog(seed: &Seed, flow: Flow, route: &[String]) -> Dialog {
    Dialog {
        call_id: seed.call_id.clone(),
        local: seed.local.clone(),
        remote: seed.remote.clone(),
        remote_tag: Bytes::new(),
        local_cseq: seed.cseq,
        remote_cseq: 0,
        routes: route.iter().filter(|value| !value.chars().any(char::is_control)).cloned().map(Bytes::from).collect(),
        target: seed.uri.clone(),
        flow,
        updates: false,
    }
}

/// A provisional response. Returns why the call should be cancelled, if it should.
fn progress(core: &mut Core, leg: &mut Leg, response: &Response) -> Option<Ending> {
    let limits = core.config.limits;
    let LegState::Calling(calling) = &mut leg.state else { return None };
    calling.provisional = true;
    if response.status > 100 {
        if !response.body.is_empty() {
            let answer = sdp::read(&response.body, &limits).and_then(|answer| answer.answers(leg.audio.local));
            calling.early = answer.ok().map(|description| description.media);
        }
        if !calling.rang && calling.ending.is_none() {
            calling.rang = true;
            core.tell(Effect::Ringing { leg: leg.id });
        }
    }
    calling.ending.clone()
}

/// The first 2xx: its ACK is out, now it is judged.
fn answered(core: &mut Core, now: Millis, leg: &mut Leg, mut dialog: Dialog, response: &Response) -> Fate {
    let LegState::Calling(calling) = &leg.state else { return Fate::Lives };
    // PRACKs have used numbers.
    dialog.local_cseq = dialog.local_cseq.max(leg.dialog.local_cseq);
    // CANCEL and 200 have crossed.
    if let Some(ending) = &calling.ending {
        core.hang_up(now, leg.id, &mut dialog, ending.status, &ending.reason);
        return Fate::Ended(EndCause::Ordered, response.status);
    }
    let media = match response.body.is_empty() {
        true => calling.early,
        false => {
            let answer = sdp::read(&response.body, &core.config.limits);
            answer.and_then(|answer| answer.answers(leg.audio.local)).ok().map(|description| description.media)
        }
    };
    let Some(media) = media else {
        core.hang_up(now, leg.id, &mut dialog, 488, "no common codec");
        return Fate::Ended(EndCause::Media, response.status);
    };
    leg.dialog = dialog;
    leg.audio.remote = Some(media);
    leg.state = LegState::Up(Up { confirmed: true, ..Up::default() });
    leg.session = session::adopt(&response.fields);
    session::start(core, now, leg);
    let passport = core.passport(leg).unwrap_or_default();
    core.tell(Effect::Answered { leg: leg.id, media, passport });
    Fate::Lives
}

/// A final refusal of our INVITE.
fn refused(core: &mut Core, leg: &Leg, key: u64, response: &Response) -> Fate {
    let status = response.status;
    match &leg.state {
        LegState::Calling(calling) if calling.key == key => {
            if calling.ending.is_some() {
                Fate::Ended(EndCause::Ordered, status)
            } else if redirect::tell(core, leg.id, response) {
                Fate::Ended(EndCause::Moved, status)
            } else {
                Fate::Ended(cause_of(status), status)
            }
        }
        LegState::Calling(_) | LegState::Offered(_) | LegState::Up(_) => Fate::Lives,
    }
}

/// What a refusal means (shard.proto, `EndCause`).
fn cause_of(status: u16) -> EndCause {
    match status {
        486 | 600 => EndCause::Busy,
        408 | 480 => EndCause::NoAnswer,
        404 | 410 | 500..=599 => EndCause::Unreachable,
        _ => EndCause::Rejected,
    }
}

/// `end` while calling.
pub(super) fn end(core: &mut Core, now: Millis, leg: &mut Leg, ending: &Ending) -> Fate {
    let LegState::Calling(calling) = &mut leg.state else { return Fate::Lives };
    if calling.ending.is_some() {
        return Fate::Lives;
    }
    calling.ending = Some(ending.clone());
    let (key, provisional) = (calling.key, calling.provisional);
    // RFC 3261 9.1: no CANCEL before a provisional response; it goes out as soon as one comes.
    if provisional {
        if let Some(mut tx) = core.clients.remove(&key) {
            cancel(core, now, &mut tx, ending);
            core.clients.insert(key, tx);
        }
        await_cancelled(core, now, leg);
    }
    Fate::Lives
}

/// A far end that does not react to CANCEL is not waited for any longer than one that does not react to INVITE.
fn await_cancelled(core: &mut Core, now: Millis, leg: &mut Leg) {
    core.wake_leg(leg, LegTimer::Setup, now.plus(core.config.no_provisional_ms));
}

/// The far end does not react to CANCEL: the leg goes, its transaction stays to hang up a late answer.
pub(super) fn give_up(core: &mut Core, now: Millis, leg: &Leg) -> Fate {
    let LegState::Calling(calling) = &leg.state else { return Fate::Lives };
    core.abandon(now, calling.key);
    Fate::Ended(EndCause::Ordered, 0)
}

/// Sends CANCEL, once; says whether it did.
pub(super) fn cancel(core: &mut Core, now: Millis, tx: &mut ClientTx, ending: &Ending) -> bool {
    let Some(seed) = tx.seed.as_mut().filter(|seed| !seed.cancelled) else { return false };
    seed.cancelled = true;
    let branch = core.branch(tx.leg, "INVITE", seed.cseq, b"");
    let key = core.client_key(branch.as_bytes(), Method::Cancel);
    let bytes = derive(&tx.bytes, "CANCEL", None, |out| write::reason(out, ending.status, &ending.reason));
    let patience_ms = core.config.timers.patience_ms();
    core.ask(now, key, Ask { purpose: Purpose::Cancel, leg: tx.leg, flow: tx.flow, bytes, seed: None, patience_ms });
    true
}

/// CANCEL and the ACK of a refusal repeat their INVITE: Request-URI, Via, Route, From, Call-ID and CSeq number
/// (RFC 3261 9.1, 17.1.1.3). `to` replaces the To value.
pub(super) fn derive(invite: &[u8], method: &str, to: Option<&[u8]>, more: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(512);
    let line = invite.split(|&b| b == b'\r').next().unwrap_or_default();
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(line.strip_prefix(b"INVITE").unwrap_or(line));
    out.extend_from_slice(b"\r\nMax-Forwards: 70\r\n");
    for (name, value) in raw::fields(invite) {
        match name {
            b"Via" | b"Route" | b"From" | b"Call-ID" => copy(&mut out, name, value),
            b"To" => copy(&mut out, name, to.unwrap_or(value)),
            b"CSeq" => {
                let sequence = value.split(|&b| b == b' ').next().unwrap_or_default();
                copy(&mut out, name, &[sequence, b" ", method.as_bytes()].concat());
            }
            _ => {}
        }
    }
    more(&mut out);
    write::finish(out)
}

fn copy(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
