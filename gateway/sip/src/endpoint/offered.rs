//! Calls in: an INVITE is checked, offered, and given its final answer.
//! Never decides who is called; that is asked by `Effect::Offered`.

use super::core::Core;
use super::{ASLEEP, Endpoint, reliable, session};
use crate::dialog::Dialog;
use crate::leg::{Audio, Ending, Fate, Leg, LegState, Offered, Reliable, Unacked, Up};
use crate::message::{Field, Method, Request};
use crate::sdp::{self, SdpProblem};
use crate::timers::{Due, LegTimer};
use crate::transaction::{ServerState, ServerTx};
use crate::types::{Access, Effect, EndCause, Flow, LegId, LocalMedia, Millis, UnknownLeg};
use crate::uri::Scheme;
use crate::{identity, tag, write};

/// 180 is said again this often, because a proxy gives up after three minutes (RFC 3261 13.3.1.1, timer C).
const ALERT_AGAIN_MS: u64 = 60_000;

/// A refusal before there is a leg.
struct Refusal {
    status: u16,
    field: Option<(&'static str, String)>,
}

impl From<u16> for Refusal {
    fn from(status: u16) -> Self {
        Self { status, field: None }
    }
}

impl Endpoint {
    pub(super) fn on_invite(&mut self, now: Millis, flow: Flow, key: u64, request: &Request, access: &dyn Access) {
        if self.moved_here(now, flow, key, request, access) {
            return;
        }
        if let Err(refusal) = self.take_in(now, flow, key, request, access) {
            match &refusal.field {
                Some((name, value)) => self.core.refuse(&request.echo, refusal.status, &[(name, value)]),
                None => self.core.refuse(&request.echo, refusal.status, &[]),
            }
        }
    }

    fn take_in(
        &mut self,
        now: Millis,
        flow: Flow,
        key: u64,
        request: &Request,
        access: &dyn Access,
    ) -> Result<(), Refusal> {
        if !access.trunk_allows(flow.remote.ip()) {
            return Err(403.into());
        }
        if self.is_ours_back(request) {
            return Err(482.into());
        }
        let merge = self.core.merge_key(request);
        // RFC 3261 8.2.2.2: the same request over another path.
        if self.core.merges.contains_key(&merge) {
            return Err(482.into());
        }
        let limits = self.core.config.limits;
        inspect(request)?;
        let number = request.uri.user_text(limits.name_bytes_max);
        let shard = access.shard_of_number(&number).filter(|_| !number.is_empty()).ok_or(404)?;
        let call = self.core.keys.call_id(&request.call_id, &request.from.tag);
        let id = LegId { shard, call, leg: 1 };
        if self.legs.contains_key(&id) {
            return Err(482.into());
        }
        let (session, session_line) = session::answer(request, &self.core.config)
            .map_err(|min| Refusal { status: 422, field: Some(("Min-SE", min.to_string())) })?;
        let offer = match request.body.is_empty() {
            true => None,
            false => Some(self.read_offer(&request.body, flow).map_err(|problem| match problem {
                SdpProblem::Malformed => 400u16,
                SdpProblem::NothingInCommon => 488,
            })?),
        };
        if !self.has_room_for_leg() {
            return Err(503.into());
        }
        let token = tag::encode(&self.core.keys, id);
        let dialog = Dialog::of_request(request, flow, &token, limits.routes_max).ok_or(400)?;

        let trying = write::finish(request.echo.response(100, ""));
        self.core.send(request.echo.flow, trying.clone());
        let state = ServerState::Proceeding;
        let tx = ServerTx { state, flow: request.echo.flow, response: trying, due: Millis(0), merge, leg: Some(id) };
        self.core.serve(key, tx);

        let media = offer.as_ref().map(|offer| offer.media);
        let mut audio = Audio::new(id);
        audio.remote = media;
        let reliable = Reliable { wanted: request.fields.lists(Field::Require, "100rel"), ..Reliable::default() };
        let offered = Offered {
            key,
            cseq: request.cseq,
            echo: request.echo.clone(),
            offer,
            alerted: false,
            session_line,
            reliable,
            adopted: false,
            taken: false,
        };
        let state = LegState::Offered(Box::new(offered));
        let mut leg = Box::new(Leg { id, token, state, dialog, audio, session, wakes: ASLEEP });
        self.core.wake_leg(&mut leg, LegTimer::Setup, now.plus(self.core.config.setup_wait_ms));
        let passport = self.core.passport(&leg).unwrap_or_default();
        self.legs.insert(id, leg);
        let trusted = access.trusts_identity(flow.remote.ip());
        let identity::Calling { number: caller, name: caller_name, hidden } =
            identity::calling(request, trusted, &limits);
        self.core.tell(Effect::Offered { leg: id, number, caller, caller_name, hidden, media, passport });
        Ok(())
    }

    /// RFC 3261 16.3 step 4: an INVITE of ours that came back to us, by its tag and one of its branches, both with MAC.
    fn is_ours_back(&self, request: &Request) -> bool {
        let Some(leg) = tag::decode(&self.core.keys, &request.from.tag) else { return false };
        let ours = self.core.branch(leg, "INVITE", request.cseq, b"");
        let mut vias = request.fields.list(Field::Via).into_iter();
        vias.any(|via| crate::raw::param(via.as_bytes(), b"branch") == ours.as_bytes())
    }

    /// The caller hears ringing: 180.
    pub fn alert(&mut self, now: Millis, leg: LegId) -> Result<(), UnknownLeg> {
        let it = self.legs.get_mut(&leg).ok_or(UnknownLeg(leg))?;
        if let LegState::Offered(offered) = &mut it.state
            && !offered.alerted
        {
            offered.alerted = true;
            alert(&mut self.core, now, it);
        }
        Ok(())
    }

    /// The caller is answered: 200 with SDP, sent again until ACK.
    pub fn answer(&mut self, now: Millis, leg: LegId, media: LocalMedia) -> Result<(), UnknownLeg> {
        let it = self.legs.get_mut(&leg).ok_or(UnknownLeg(leg))?;
        let offer = match &it.state {
            LegState::Offered(offered) => offered.offer.as_ref(),
            LegState::Calling(_) | LegState::Up(_) => None,
        };
        if media.crypto.is_none() && offer.is_some_and(|offer| offer.media.crypto.is_some()) {
            refuse(&mut self.core, now, it, 488, "no key for SRTP");
            self.settle(leg, Fate::Ended(EndCause::Media, 488));
            return Ok(());
        }
        answer(&mut self.core, now, it, media);
        Ok(())
    }

    fn read_offer(&self, body: &[u8], flow: Flow) -> Result<sdp::Description, SdpProblem> {
        sdp::read_offer(body, &self.core.config.limits, self.core.keys_may_travel(flow))
    }

    pub(super) fn on_cancel(&mut self, now: Millis, request: &Request) {
        let key = self.core.server_key(request, Method::Invite);
        let Some(tx) = self.core.servers.get(&key) else {
            return self.core.refuse(&request.echo, 481, &[]);
        };
        let leg = tx.leg;
        // RFC 3261 9.2: 200 in any case; only an INVITE without a final answer is touched.
        let token = leg.map(|leg| tag::encode(&self.core.keys, leg)).unwrap_or_default();
        let mut out = request.echo.response(200, &token);
        write::field(&mut out, "Server", &self.core.config.user_agent);
        self.core.send(request.echo.flow, write::finish(out));
        let Some(id) = leg else { return };
        if let Some(leg) = self.legs.get_mut(&id)
            && let LegState::Offered(offered) = &leg.state
            && offered.key == key
        {
            refuse(&mut self.core, now, leg, 487, "");
            self.settle(id, Fate::Ended(EndCause::Cancelled, 487));
        }
    }

    pub(super) fn on_ack(&mut self, now: Millis, key: u64, request: &Request) {
        if let Some(tx) = self.core.servers.get_mut(&key) {
            // The ACK for a refusal has the INVITE's branch and ends here.
            if tx.acknowledge(now, &self.core.config.timers) {
                let gone = tx.due <= now;
                if gone {
                    self.core.forget_server(key)
                } else {
                    self.core.rearm_server(key)
                }
                return;
            }
        }
        // RFC 6026: the ACK for a 2xx belongs to the dialog.
        if let Some(id) = self.leg_of(request) {
            self.acked(now, id, request);
        }
    }
}

/// RFC 3261 8.2: what can be said against an INVITE before anybody is asked.
fn inspect(request: &Request) -> Result<(), Refusal> {
    if request.max_forwards == 0 {
        return Err(483.into());
    }
    understood(request)?;
    body_is_sdp(request)?;
    accepts_sdp(request)
}

/// What OPTIONS and INVITE are asked alike.
fn understood(request: &Request) -> Result<(), Refusal> {
    if request.uri.scheme == Scheme::Other {
        return Err(416.into());
    }
    supported(request)
}

/// RFC 3261 8.2.2.3: extensions we must not ignore.
fn supported(request: &Request) -> Result<(), Refusal> {
    let unknown: Vec<String> =
        request.fields.list(Field::Require).into_iter().filter(|option| !is_known(option, request.method)).collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Refusal { status: 420, field: Some(("Unsupported", unsupported(&unknown))) })
    }
}

/// The value of Unsupported (RFC 3261 20.40): a few of them say enough.
pub(super) fn unsupported(unknown: &[String]) -> String {
    let short = |option: &&String| option.len() <= 64 && option.bytes().all(crate::raw::is_token);
    unknown.iter().filter(short).take(16).map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Option tags that we understand; `replaces` is served inside of Refer-To alone.
fn is_known(option: &str, method: Method) -> bool {
    let listed = write::SUPPORTED.split(", ").any(|known| known.eq_ignore_ascii_case(option));
    listed || (method == Method::Refer && option.eq_ignore_ascii_case("replaces"))
}

fn body_is_sdp(request: &Request) -> Result<(), Refusal> {
    if request.body.is_empty() {
        return Ok(());
    }
    let encoded = request.fields.list(Field::ContentEncoding).iter().any(|e| !e.eq_ignore_ascii_case("identity"));
    if encoded || !is_type(request, "application/sdp") {
        return Err(415.into());
    }
    Ok(())
}

/// RFC 3261 8.2.3, 20.1: an answer that the caller cannot read is no answer.
fn accepts_sdp(request: &Request) -> Result<(), Refusal> {
    if request.fields.lines(Field::Accept).is_empty() {
        return Ok(());
    }
    let ranges = request.fields.list(Field::Accept);
    let reads = |range: &String| {
        let bare = range.split(';').next().unwrap_or_default().trim();
        ["application/sdp", "application/*", "*/*"].iter().any(|wanted| wanted.eq_ignore_ascii_case(bare))
    };
    if ranges.iter().any(reads) { Ok(()) } else { Err(406.into()) }
}

/// Whether the body has this media type; parameters do not matter.
pub(super) fn is_type(request: &Request, wanted: &str) -> bool {
    if request.unpacked {
        return wanted == "application/sdp";
    }
    let value = request.fields.first(Field::ContentType).unwrap_or_default();
    let bare = value.split(';').next().unwrap_or_default();
    let mut parts = bare.split('/').map(str::trim);
    let mut wanted = wanted.split('/');
    let same = |a: Option<&str>, b: Option<&str>| a.zip(b).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
    same(parts.next(), wanted.next()) && same(parts.next(), wanted.next()) && parts.next().is_none()
}

/// The same for OPTIONS.
pub(super) fn refusal_of_options(request: &Request) -> Option<(u16, Option<(&'static str, String)>)> {
    understood(request).err().map(|refusal| (refusal.status, refusal.field))
}

/// The same checks for a request inside of a dialog; the refusal's status and field.
pub(super) fn refusal_inside(request: &Request) -> Option<(u16, Option<(&'static str, String)>)> {
    supported(request).err().map(|refusal| (refusal.status, refusal.field))
}

/// Says 180, and again in a while.
pub(super) fn alert(core: &mut Core, now: Millis, leg: &mut Leg) {
    let lines = reliable::lines(core, leg);
    let LegState::Offered(offered) = &leg.state else { return };
    leg.wakes[LegTimer::Setup as usize] = Millis(0);
    let Some(lines) = lines else { return core.wake_leg(leg, LegTimer::Alert, now.plus(ALERT_AGAIN_MS)) };
    let mut out = offered.echo.response(180, &leg.token);
    out.extend_from_slice(offered.echo.routes());
    out.extend_from_slice(lines.as_bytes());
    core.contact_in(&leg.dialog, &mut out, &leg.token, offered.echo.flow.transport);
    write::field(&mut out, "Allow", write::ALLOW);
    let ringing = write::finish(out);
    core.send(offered.echo.flow, ringing.clone());
    if let Some(tx) = core.servers.get_mut(&offered.key) {
        tx.response = ringing.clone();
    }
    reliable::said(core, now, leg, &ringing);
    core.wake_leg(leg, LegTimer::Alert, now.plus(ALERT_AGAIN_MS));
}

fn answer(core: &mut Core, now: Millis, leg: &mut Leg, media: LocalMedia) {
    let LegState::Offered(offered) = &leg.state else { return };
    let media = match &offered.offer {
        Some(offer) => LocalMedia { crypto: media.crypto.filter(|_| offer.media.crypto.is_some()), ..media },
        None => core.offerable(media, offered.echo.flow),
    };
    leg.audio.local = Some(media);
    leg.audio.sdp = match &offered.offer {
        Some(offer) => sdp::answer(leg.audio.origin, media, offer),
        None => sdp::offer(leg.audio.origin, media, crate::types::Direction::SendRecv),
    };
    let mut out = offered.echo.response(200, &leg.token);
    out.extend_from_slice(offered.echo.routes());
    core.contact_in(&leg.dialog, &mut out, &leg.token, offered.echo.flow.transport);
    out.extend_from_slice(offered.session_line.as_bytes());
    about_us(core, &mut out);
    let ok = write::finish_sdp(out, &leg.audio.sdp);
    let (key, flow, cseq, offered_by_us) = (offered.key, offered.echo.flow, offered.cseq, offered.offer.is_none());
    leg.wakes[LegTimer::Setup as usize] = Millis(0);
    leg.wakes[LegTimer::Alert as usize] = Millis(0);
    leg.wakes[LegTimer::Reliable as usize] = Millis(0);
    if let Some(tx) = core.servers.get_mut(&key) {
        tx.accept(now, &core.config.timers);
        core.timers.arm(tx.due, Due::Server(key));
    }
    let adopted = offered.adopted;
    // The former may have answered: its media is then taken back by a re-INVITE.
    leg.state = LegState::Up(Up { stale: adopted, wanted: adopted.then_some(media), ..Up::default() });
    if adopted {
        core.wake_leg(leg, LegTimer::Retry, now.plus(core.config.timers.t1_ms.saturating_mul(2)));
    }
    say_ok(core, now, leg, Ok2xx { flow, ok, cseq, offered: offered_by_us, tell: true });
    session::start(core, now, leg);
}

/// Allow, Supported and Server, for every 2xx that makes or keeps a dialog.
pub(super) fn about_us(core: &Core, out: &mut Vec<u8>) {
    write::field(out, "Allow", write::ALLOW);
    write::field(out, "Supported", write::SUPPORTED);
    write::field(out, "Server", &core.config.user_agent);
}

/// A 2xx to an INVITE or re-INVITE.
pub(super) struct Ok2xx {
    pub(super) flow: Flow,
    pub(super) ok: bytes::Bytes,
    pub(super) cseq: u32,
    pub(super) offered: bool,
    pub(super) tell: bool,
}

/// RFC 3261 13.3.1.4: a 2xx is sent again, over any transport, until its ACK comes.
pub(super) fn say_ok(core: &mut Core, now: Millis, leg: &mut Leg, what: Ok2xx) {
    core.send(what.flow, what.ok.clone());
    let interval_ms = core.config.timers.t1_ms;
    let until = now.plus(core.config.timers.patience_ms());
    let Ok2xx { flow, ok, cseq, offered, tell } = what;
    if let LegState::Up(up) = &mut leg.state {
        up.unacked = Some(Box::new(Unacked { flow, ok, cseq, interval_ms, until, offered, tell }));
    }
    core.wake_leg(leg, LegTimer::Ok, now.plus(interval_ms));
}

/// The final refusal of a caller.
pub(super) fn refuse(core: &mut Core, now: Millis, leg: &mut Leg, status: u16, reason: &str) {
    let LegState::Offered(offered) = &leg.state else { return };
    let mut out = offered.echo.response(status, &leg.token);
    if !reason.is_empty() {
        write::reason(&mut out, status, reason);
    }
    core.finish_refusal(&mut out, status);
    let bytes = write::finish(out);
    core.send(offered.echo.flow, bytes.clone());
    if let Some(tx) = core.servers.get_mut(&offered.key) {
        tx.refuse(now, &core.config.timers, bytes);
        core.timers.arm(tx.due, Due::Server(offered.key));
    }
}

/// `end` of a caller without a final answer.
pub(super) fn end(core: &mut Core, now: Millis, leg: &mut Leg, ending: &Ending) -> Fate {
    let status = if (300..700).contains(&ending.status) { ending.status } else { 480 };
    refuse(core, now, leg, status, &ending.reason);
    if let LegState::Offered(offered) = &leg.state
        && offered.adopted
    {
        // The former may have answered, and then a refusal means nothing to the caller.
        core.hang_up(now, leg.id, &mut leg.dialog, ending.status, &ending.reason);
    }
    Fate::Ended(EndCause::Ordered, status)
}
