//! A stateless proxy (RFC 3261 16.11) for two errands: requests of calls that another gateway has, and phones that are
//! reached only over a connection of this gateway (RFC 3327, RFC 5626). Bytes in, bytes out.
//! Never an open relay: a request goes where the gateway says (its own strays) or over a flow whose token it carries, and
//! a response only where its request came from, which our Via proves.

use bytes::Bytes;

use crate::config::{EndpointConfig, Limits};
use crate::echo;
use crate::flow_token::{self, Life};
use crate::message::{self, Method, Parsed, Request};
use crate::raw::{self, Known};
use crate::tag::{self, Keys};
use crate::types::{Flow, Transport};
use crate::uri::Uri;
use crate::write;

/// Branches of ours that are a relay's: RFC 3261's cookie, and a letter that no transaction of ours has.
const BRANCH: &str = "z9hG4bKr";
/// Via parameter with the flow that the answer goes back by.
const FLOW_PARAM: &str = "cbf";

/// What is to be done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// It is the endpoint's.
    Here,
    /// A request goes on. When its connection is gone, `refuse` the original with 430 (RFC 5626 section 11).
    Forward {
        /// Where to.
        flow: Flow,
        /// The message as it goes on.
        bytes: Bytes,
    },
    /// A response to a request that passed here goes back, or a request is refused.
    Answer {
        /// Where to.
        flow: Flow,
        /// The response.
        bytes: Bytes,
    },
    /// Nothing.
    Nothing,
}

/// Passes messages on. Holds no state: any lane of any gateway can have one.
pub struct Relay {
    life: Life,
    secure_host_port: String,
    limits: Limits,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("host_port", &self.life.host_port).finish_non_exhaustive()
    }
}

impl Relay {
    /// Of a gateway whose endpoints have this configuration.
    #[must_use]
    pub fn new(config: &EndpointConfig) -> Self {
        let life = life(config);
        Self { life, secure_host_port: write::secure_host_port(config), limits: config.limits }
    }

    /// Which messages are not for the endpoint: responses to what passed here, and requests whose top Route is a flow token
    /// of ours. Those of a phone inside of a dialog of ours are the endpoint's, which tells a `Stray` for others' calls.
    #[must_use]
    pub fn sort(&self, from: Flow, bytes: &[u8]) -> Passage {
        if bytes.starts_with(b"SIP/2.0 ") {
            return self.back(bytes);
        }
        let Some(token) = self.top_token(bytes) else { return Passage::Here };
        if self.is_inward(bytes) {
            return Passage::Here;
        }
        match self.life.flow(token) {
            // From the phone itself: it wants something of us.
            Some(to) if to == from => Passage::Here,
            Some(to) => self.pass(bytes, from, to, true),
            None => self.refuse(bytes, from, 430),
        }
    }

    /// Passes a `Stray` on to the gateway that has its call.
    #[must_use]
    pub fn forward(&self, bytes: &[u8], from: Flow, to: Flow) -> Passage {
        self.pass(bytes, from, to, false)
    }

    /// Refuses a request that cannot be passed on; an ACK is dropped.
    #[must_use]
    pub fn refuse(&self, bytes: &[u8], from: Flow, status: u16) -> Passage {
        match message::parse(bytes, from, &self.limits) {
            Parsed::Request(request) => self.refusal(&request, status),
            Parsed::Refused { echo, status } => self.answer(&echo, status),
            Parsed::Response(_) | Parsed::Noise => Passage::Nothing,
        }
    }

    fn refusal(&self, request: &Request, status: u16) -> Passage {
        if request.method == Method::Ack { Passage::Nothing } else { self.answer(&request.echo, status) }
    }

    fn answer(&self, echo: &echo::Echo, status: u16) -> Passage {
        let tag = format!("{:016x}", self.life.keys.digest(b'T', &[echo.identity()]));
        Passage::Answer { flow: echo.flow, bytes: write::finish(echo.response(status, &tag)) }
    }

    fn places(&self) -> [&str; 2] {
        [&self.life.host_port, &self.secure_host_port]
    }

    /// The flow token in the top Route, ours by its looks.
    fn top_token<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut fields = raw::fields(bytes).take(self.limits.headers_max);
        let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case(b"Route"))?;
        flow_token::of_route(&value[..raw::list_end(value)], self.places())
    }

    /// Whether the Request-URI is a Contact of a gateway of ours.
    fn is_inward(&self, bytes: &[u8]) -> bool {
        let line = bytes.split(|&b| b == b'\r' || b == b'\n').next().unwrap_or_default();
        let uri = line.split(|&b| b == b' ').nth(1).and_then(Uri::parse);
        uri.is_some_and(|uri| tag::decode(&self.life.keys, &uri.user).is_some())
    }

    /// RFC 3261 16.6 and 16.11: one request on its way.
    fn pass(&self, bytes: &[u8], from: Flow, to: Flow, edge: bool) -> Passage {
        let request = match message::parse(bytes, from, &self.limits) {
            Parsed::Request(request) => request,
            Parsed::Refused { echo, status } => return self.answer(&echo, status),
            Parsed::Response(_) | Parsed::Noise => return Passage::Nothing,
        };
        if request.max_forwards == 0 {
            return self.refusal(&request, 483);
        }
        let Some((start, body)) = ends(bytes) else { return Passage::Nothing };
        let Some((_, via)) = raw::fields_of(request.echo.vias()).next() else { return Passage::Nothing };
        let mut out = Vec::with_capacity(bytes.len() + 320);
        out.extend_from_slice(start);
        out.extend_from_slice(b"\r\n");
        let mark = mark(&self.life.keys, via, &request.call_id, &request.from.tag, request.cseq);
        self.via(&mut out, to.transport, &mark, request.echo.flow);
        out.extend_from_slice(request.echo.vias());
        // RFC 3261 16.6 step 4, RFC 5658: towards the phone by its own transport, towards the other gateway by ours.
        if edge && request.method == Method::Invite && request.to.tag.is_empty() {
            self.record_routes(&mut out, to);
        }
        write::field(&mut out, "Max-Forwards", &(request.max_forwards - 1).to_string());
        let mut length = false;
        let mut own_routes = true;
        for (name, value) in raw::fields(bytes) {
            length |= raw::known(name) == Some(Known::ContentLength);
            if raw::known(name) == Some(Known::Via) || name.eq_ignore_ascii_case(b"Max-Forwards") {
                continue;
            }
            if own_routes && name.eq_ignore_ascii_case(b"Route") {
                // RFC 3261 16.4: ours are taken off, as far as they stand on top.
                let rest = self.strip(value);
                own_routes = rest.is_empty();
                if !rest.is_empty() {
                    copy(&mut out, name, rest);
                }
                continue;
            }
            copy(&mut out, name, value);
        }
        Passage::Forward { flow: to, bytes: finish(out, body, length) }
    }

    fn via(&self, out: &mut Vec<u8>, transport: Transport, mark: &str, from: Flow) {
        out.extend_from_slice(b"Via: SIP/2.0/");
        out.extend_from_slice(transport.via_name().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.life.host_port.as_bytes());
        out.extend_from_slice(format!(";branch={mark};rport;{FLOW_PARAM}={}\r\n", self.life.token(from)).as_bytes());
    }

    fn record_routes(&self, out: &mut Vec<u8>, to: Flow) {
        if to.transport.is_reliable() {
            let place = if to.transport == Transport::Tls { &self.secure_host_port } else { &self.life.host_port };
            let (token, transport) = (self.life.token(to), to.transport.uri_name());
            write::field(out, "Record-Route", &format!("<sip:{token}@{place};transport={transport};lr>"));
        }
        write::field(out, "Record-Route", &self.life.route(to, ""));
    }

    /// A Route value without those of ours that it begins with.
    fn strip<'a>(&self, mut value: &'a [u8]) -> &'a [u8] {
        while !value.is_empty() {
            let end = raw::list_end(value);
            if flow_token::of_route(value[..end].trim_ascii(), self.places()).is_none() {
                break;
            }
            value = value.get(end + 1..).unwrap_or_default().trim_ascii();
        }
        value
    }

    /// RFC 3261 16.7, 16.11: a response loses our Via and goes where the next one says, if the request passed here.
    fn back(&self, bytes: &[u8]) -> Passage {
        let values: Vec<&[u8]> = vias(raw::fields(bytes).take(self.limits.headers_max)).take(2).collect();
        let [own, next] = values[..] else { return Passage::Here };
        if !sent_by(own).eq_ignore_ascii_case(self.life.host_port.as_bytes()) {
            return Passage::Here;
        }
        let Some((flow, (start, body))) = self.way_back(bytes, own, next).zip(ends(bytes)) else {
            return Passage::Nothing;
        };
        let mut out = Vec::with_capacity(bytes.len());
        out.extend_from_slice(start);
        out.extend_from_slice(b"\r\n");
        let (mut length, mut own) = (false, true);
        for (name, value) in raw::fields(bytes) {
            length |= raw::known(name) == Some(Known::ContentLength);
            let mut value = value;
            if own && raw::known(name) == Some(Known::Via) {
                own = false;
                value = value.get(raw::list_end(value) + 1..).unwrap_or_default().trim_ascii();
                if value.is_empty() {
                    continue;
                }
            }
            copy(&mut out, name, value);
        }
        Passage::Answer { flow, bytes: finish(out, body, length) }
    }

    fn way_back(&self, bytes: &[u8], own: &[u8], next: &[u8]) -> Option<Flow> {
        let field = |wanted| raw::fields(bytes).find(|(name, _)| raw::known(name) == Some(wanted)).map(|(_, v)| v);
        let cseq = std::str::from_utf8(field(Known::CSeq)?).ok()?.split_ascii_whitespace().next()?.parse().ok()?;
        let (call_id, from_tag) = (field(Known::CallId)?, raw::tag(field(Known::From)?));
        let mark = mark(&self.life.keys, next, call_id, from_tag, cseq);
        if raw::param(own, b"branch") != mark.as_bytes() {
            return None;
        }
        self.life.flow(raw::param(own, FLOW_PARAM.as_bytes()))
    }
}

/// Where a request came from that another gateway of ours has relayed; none when it was not.
pub(crate) fn source(keys: &Keys, request: &Request) -> Option<Flow> {
    let mut vias = vias(raw::fields_of(request.echo.vias()));
    let (own, next) = (vias.next()?, vias.next()?);
    if !raw::param(own, b"branch").starts_with(BRANCH.as_bytes()) {
        return None;
    }
    let mark = mark(keys, next, &request.call_id, &request.from.tag, request.cseq);
    if raw::param(own, b"branch") != mark.as_bytes() {
        return None;
    }
    let name = next.split(|b| b.is_ascii_whitespace()).next()?.rsplit(|&b| b == b'/').next()?;
    let all = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    let transport = all.into_iter().find(|transport| name.eq_ignore_ascii_case(transport.via_name().as_bytes()))?;
    Some(Flow { transport, remote: echo::reply_to(next, Transport::Udp)?, connection: 0 })
}

/// The life that a gateway's flow tokens belong to.
pub(crate) fn life(config: &EndpointConfig) -> Life {
    Life { keys: Keys::new(&config.secret), host_port: write::host_port(config), incarnation: config.incarnation }
}

/// RFC 3261 16.11: the branch follows from the branch of the Via below, so that a repeat, a CANCEL (another gateway's in its
/// name, too) and the ACK of a refusal get the one of their INVITE. A keyed hash: nobody else can write it.
fn mark(keys: &Keys, via: &[u8], call_id: &[u8], from_tag: &[u8], cseq: u32) -> String {
    let via = &via[..raw::list_end(via)];
    let (sent_by, branch) = (sent_by(via).to_ascii_lowercase(), raw::param(via, b"branch"));
    let parts: [&[u8]; 5] = [&sent_by, branch, call_id, from_tag, &cseq.to_le_bytes()];
    format!("{BRANCH}{:016x}", keys.digest(b'R', &parts))
}

fn vias<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> impl Iterator<Item = &'a [u8]> {
    fields.filter(|(name, _)| raw::known(name) == Some(Known::Via)).flat_map(|(_, value)| raw::split_list(value))
}

fn sent_by(via: &[u8]) -> &[u8] {
    let first = via.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    first.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default()
}

/// The start line, and the body after the empty line.
fn ends(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = bytes.windows(2).position(|w| w == b"\r\n")?;
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    Some((&bytes[..line], &bytes[head + 4..]))
}

fn copy(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// RFC 3261 18.3: over a stream the length must be there.
fn finish(mut out: Vec<u8>, body: &[u8], length: bool) -> Bytes {
    if !length {
        write::field(&mut out, "Content-Length", &body.len().to_string());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Bytes::from(out)
}
