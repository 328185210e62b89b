//! What happened on the SIP side, translated once into commands and media. One arm per effect.

use bytes::Bytes;
use media::{MediaKey, Remote, Srtp};
use proto::v1::{self, command::Kind};
use sip::{Effect, EndCause, Flow, LegId, LocalMedia, Millis, RegisterId, RegisterOutcome, RemoteMedia};

use super::{Board, LegPhase, Stage, Standing, Stray, orders::CALLER};
use crate::link::{Ticket, Urgency};

/// An INVITE as the endpoint tells it.
struct Offered {
    id: LegId,
    number: String,
    caller: String,
    caller_name: String,
    passport: Vec<u8>,
    /// Its sound would go where nothing is sent.
    deaf: bool,
}

/// A REFER as the endpoint tells it.
struct Referred {
    to: String,
    user: String,
    ours: bool,
    replaces: String,
}

/// A REGISTER as the endpoint tells it.
struct Registering {
    id: RegisterId,
    shard: u32,
    binding: v1::RegisterContact,
}

impl Board {
    /// Drains the endpoint: every effect, in order, those that carrying out brings about included.
    pub(super) fn carry_out(&mut self, now_ms: u64) {
        while let Some(effect) = self.endpoint.poll() {
            match effect {
                Effect::Send { flow, bytes } => self.send(now_ms, flow, bytes),
                Effect::Offered { leg, number, caller, caller_name, hidden, media, passport } => {
                    // RFC 3323: who asks for privacy is nobody to agents, screens and records.
                    let (caller, caller_name) = if hidden { Default::default() } else { (caller, caller_name) };
                    let deaf = media.is_some_and(|media| !self.may_hear(&media));
                    self.offered(now_ms, Offered { id: leg, number, caller, caller_name, passport, deaf });
                }
                Effect::Ringing { leg } => self.rings_outside(key(leg)),
                Effect::Answered { leg, media, passport } => self.answered(now_ms, leg, &media, passport),
                Effect::Confirmed { leg, passport } => self.confirmed(leg, passport),
                Effect::MediaChanged { leg, media } => self.media_changed(leg, &media),
                Effect::Referred { leg, to, user, ours, replaces } => {
                    self.referred(now_ms, leg, Referred { to, user, ours, replaces });
                }
                Effect::Redirected { leg, mut contacts } => {
                    // What has no scheme is a number or a name of ours (`sip`, redirects).
                    contacts.retain(|contact| !contact.contains(':') || self.may_call(contact));
                    if let Some(leg) = self.legs.get_mut(&key(leg)) {
                        leg.moved_to = Some(Box::new(contacts));
                    }
                }
                Effect::Bound { id, status, expires_seconds } => self.bound(now_ms, id, status, expires_seconds),
                Effect::Pinged { id, status } => self.pinged(now_ms, id, status),
                Effect::Stray { shard, call, flow, bytes } => self.wires.locate(Stray { shard, call, flow, bytes }),
                Effect::Digits { leg, digits } => {
                    let digits: Vec<char> = digits.chars().collect();
                    self.press(now_ms, key(leg), &digits);
                }
                Effect::Ended { leg, cause, status } => {
                    if !self.another_way(now_ms, key(leg), cause, status) {
                        self.ended(key(leg), cause_of(cause), status);
                    }
                }
                Effect::Register { id, agent, shard, contact, expires_seconds, path, flow } => {
                    let gateway = self.config.gateway.clone();
                    let binding = v1::RegisterContact { agent, contact, expires_seconds, gateway, path, flow };
                    self.register(now_ms, Registering { id, shard, binding });
                }
            }
        }
    }

    /// A caller wants in: the shard decides.
    fn offered(&mut self, now_ms: u64, offered: Offered) {
        let Offered { id, number, caller, caller_name, passport, deaf } = offered;
        let key = key(id);
        let slot = self.place_of_source(now_ms);
        let welcome = !deaf
            && slot.is_ok()
            && self.stage == Stage::Serving
            && self.legs.len() < self.config.legs_max
            && self.wires.has_room(id.shard);
        let trace = self.config.tracing.call(id.shard, id.call).map(Box::new);
        let standing = if welcome { Standing::Asked } else { Standing::Unknown };
        let leg = self.insert(key, id.shard, standing, LegPhase::Offered);
        leg.trace = trace;
        leg.slot = slot.ok().flatten();
        let (birth, parent) = (leg.birth, leg.parent());
        let command = Kind::OfferCall(v1::OfferCall {
            call: id.call,
            gateway: self.config.gateway.clone(),
            incarnation: self.config.incarnation,
            number,
            caller,
            caller_name,
            passport,
        });
        let ticket = Ticket::Offer { call: id.call, birth };
        if welcome && self.ask(id.shard, command, Urgency::Urgent, Some(ticket), parent) {
            self.config.metrics.calls_offered.inc();
            let reading = self.reading.as_mut().and_then(|reading| Some((reading.flow, reading.invite.take()?)));
            self.invites.extend(reading.map(|invite| (key, invite)));
            return;
        }
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.standing = Standing::Unknown;
        }
        self.config.metrics.calls_refused.inc();
        let (cause, status) = if deaf { (v1::EndCause::Media, 488) } else { (v1::EndCause::Failed, 503) };
        self.end(now_ms, key, cause, status, "");
    }

    /// A request that goes to an address which somebody has named goes only where calls may go; what goes back by the
    /// connection it came over goes to whom we have talked with.
    fn send(&mut self, now_ms: u64, flow: Flow, bytes: Bytes) {
        if flow.connection == 0 && !bytes.starts_with(b"SIP/2.0 ") && !self.egress.allows(flow.remote) {
            self.config.metrics.egress_refused.inc();
            tracing::debug!("a request is not sent where no calls go");
            return self.endpoint.flow_failed(Millis(now_ms), flow);
        }
        self.config.metrics.sip_out(&bytes);
        self.wires.send(flow, bytes);
    }

    /// Whether somebody may be called there whom a far end has named.
    fn may_call(&self, uri: &str) -> bool {
        let may = is_tel(uri) || self.egress.allows_uri(uri);
        if !may {
            self.config.metrics.egress_refused.inc();
        }
        may
    }

    /// Whether sound may be sent where this description says.
    fn may_hear(&self, media: &RemoteMedia) -> bool {
        let may = self.egress.allows_media(media.address);
        if !may {
            self.config.metrics.egress_refused.inc();
        }
        may
    }

    /// Sound goes to where the far end says that it listens, if it may.
    pub(super) fn connect(&mut self, id: LegId, media: &RemoteMedia) {
        if self.may_hear(media) {
            self.media.connect(key(id), remote(media, self.endpoint.local_media(id)));
        }
    }

    /// Somebody whom we rang has answered.
    fn answered(&mut self, now_ms: u64, id: LegId, media: &RemoteMedia, passport: Vec<u8>) {
        let key = key(id);
        if !self.may_hear(media) {
            return self.end(now_ms, key, v1::EndCause::Media, 488, "");
        }
        let Some(leg) = self.legs.get_mut(&key).filter(|leg| leg.stands()) else { return };
        leg.answered = true;
        let (birth, tenure, parent) = (leg.birth, leg.tenure, leg.parent());
        self.went_out(key);
        self.set_phase(key, LegPhase::Answered);
        self.media.connect(key, remote(media, self.endpoint.local_media(id)));
        let command = Kind::AnswerLeg(v1::AnswerLeg { call: id.call, leg: id.leg, passport, tenure });
        let ticket = Ticket::Answer { call: id.call, leg: id.leg, birth };
        self.ask(id.shard, command, Urgency::Urgent, Some(ticket), parent);
        self.settle(now_ms, key);
    }

    /// The passport can be told again, so it waits for company.
    fn confirmed(&mut self, id: LegId, passport: Vec<u8>) {
        let Some(leg) = self.legs.get(&key(id)).filter(|leg| leg.stands()) else { return };
        let (tenure, parent) = (leg.tenure, leg.parent());
        let command = Kind::ConfirmLeg(v1::ConfirmLeg { call: id.call, leg: id.leg, passport, tenure });
        self.ask(id.shard, command, Urgency::Lazy, None, parent);
    }

    /// An agent's phone that holds its call is told to the shard, which knows what the other side hears meanwhile.
    fn media_changed(&mut self, id: LegId, media: &RemoteMedia) {
        let Some(leg) = self.legs.get_mut(&key(id)).filter(|leg| leg.stands() && leg.port.is_some()) else { return };
        let held = matches!(media.direction, sip::Direction::SendOnly | sip::Direction::Inactive);
        let (news, tenure, parent) = (held != leg.held && leg.answered && id.leg != CALLER, leg.tenure, leg.parent());
        leg.held = held;
        self.connect(id, media);
        if news {
            let command = Kind::HoldLeg(v1::HoldLeg { call: id.call, leg: id.leg, tenure, held });
            self.ask(id.shard, command, Urgency::Urgent, None, parent);
        }
    }

    /// An agent's phone wants its call transferred: the shard decides whether and whereto.
    fn referred(&mut self, now_ms: u64, id: LegId, referred: Referred) {
        let Referred { to, user, ours, replaces } = referred;
        if self.egress.is_own(&to) || !(ours || self.may_call(&to)) {
            // The leg lives: it has just asked.
            let _ = self.endpoint.answer_refer(Millis(now_ms), id, 603);
            return;
        }
        let kind = match ours || is_tel(&to) {
            true => v1::target::Kind::Number(user),
            false => v1::target::Kind::Sip(to),
        };
        let Some(leg) = self.legs.get(&key(id)).filter(|leg| leg.stands()) else { return };
        let (tenure, birth, parent) = (leg.tenure, leg.birth, leg.parent());
        let target = Some(v1::Target { kind: Some(kind) });
        let command = Kind::ReferLeg(v1::ReferLeg { call: id.call, leg: id.leg, tenure, target, replaces });
        let ticket = Ticket::Refer { call: id.call, leg: id.leg, birth };
        let asked = self.wires.has_room(id.shard) && self.ask(id.shard, command, Urgency::Urgent, Some(ticket), parent);
        if let Some(leg) = self.legs.get_mut(&key(id)) {
            leg.referring = asked;
        }
        if !asked {
            // The leg lives: it has just asked.
            let _ = self.endpoint.answer_refer(Millis(now_ms), id, 503);
        }
    }

    fn register(&mut self, now_ms: u64, registering: Registering) {
        let Registering { id, shard, binding } = registering;
        self.config.metrics.registrations.inc();
        // Over a connection nothing else is called than that.
        if !binding.flow && binding.expires_seconds > 0 && !self.may_call(first_hop(&binding)) {
            return self.endpoint.answer_register(Millis(now_ms), id, RegisterOutcome::Refused);
        }
        self.attach(shard, &binding);
        let asked = self.wires.has_room(shard)
            && self.ask(shard, Kind::RegisterContact(binding), Urgency::Urgent, Some(Ticket::Register(id)), None);
        if !asked {
            self.endpoint.answer_register(Millis(now_ms), id, RegisterOutcome::Unavailable);
        }
    }
}

/// Where an INVITE to a contact goes at first: what is behind another proxy is that proxy's to judge (RFC 3327).
fn first_hop(binding: &v1::RegisterContact) -> &str {
    match binding.path.split(',').next() {
        Some(hop) if !hop.trim().is_empty() => hop.trim(),
        _ => &binding.contact,
    }
}

fn is_tel(uri: &str) -> bool {
    uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:"))
}

pub(super) fn key(id: LegId) -> MediaKey {
    MediaKey { call: id.call, leg: id.leg }
}

/// SIP's words for media in the media plane's.
fn remote(media: &RemoteMedia, local: Option<&LocalMedia>) -> Remote {
    Remote {
        address: media.address,
        codec: match media.codec {
            sip::Codec::Pcmu => media::Codec::Pcmu,
            sip::Codec::Pcma => media::Codec::Pcma,
        },
        dtmf_payload: media.dtmf_payload,
        srtp: media.crypto.zip(local.and_then(|local| local.crypto)).map(|(theirs, ours)| Srtp { ours, theirs }),
        direction: match media.direction {
            sip::Direction::SendRecv => media::Direction::SendRecv,
            sip::Direction::SendOnly => media::Direction::SendOnly,
            sip::Direction::RecvOnly => media::Direction::RecvOnly,
            sip::Direction::Inactive => media::Direction::Inactive,
        },
    }
}

fn cause_of(cause: EndCause) -> v1::EndCause {
    match cause {
        EndCause::Hangup => v1::EndCause::Hangup,
        EndCause::Cancelled => v1::EndCause::Cancelled,
        EndCause::Busy => v1::EndCause::Busy,
        EndCause::Rejected => v1::EndCause::Rejected,
        EndCause::NoAnswer => v1::EndCause::NoAnswer,
        EndCause::Unreachable => v1::EndCause::Unreachable,
        EndCause::Media => v1::EndCause::Media,
        EndCause::Ordered => v1::EndCause::Ordered,
        EndCause::Failed => v1::EndCause::Failed,
        EndCause::Moved => v1::EndCause::Moved,
    }
}
