//! A dialog (RFC 3261 section 12): who talks to whom with which numbers, and requests written inside of it.
//! Never knows why a request is sent.

use bytes::Bytes;

use crate::message::{Field, Fields, Request, Response};
use crate::raw;
use crate::transaction::Seed;
use crate::types::{Flow, Transport};
use crate::uri::{Uri, hidden_from};
use crate::write;

/// Max-Forwards of requests of ours (RFC 3261 8.1.1.6).
pub(crate) const HOPS_MAX: u8 = 70;

/// One dialog, as this side sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialog {
    pub(crate) call_id: Bytes,
    /// From and To values of our requests, tags included.
    pub(crate) local: Bytes,
    pub(crate) remote: Bytes,
    pub(crate) remote_tag: Bytes,
    pub(crate) local_cseq: u32,
    pub(crate) remote_cseq: u32,
    /// Route values in the order we write them.
    pub(crate) routes: Vec<Bytes>,
    /// Request-URI of our requests.
    pub(crate) target: Bytes,
    pub(crate) flow: Flow,
    /// The far end understands UPDATE.
    pub(crate) updates: bool,
}

impl Dialog {
    /// RFC 3261 12.1.1: from an INVITE we received; none when its Contact is missing or no SIP URI.
    pub(crate) fn of_request(request: &Request, flow: Flow, token: &str, routes_max: usize) -> Option<Self> {
        // RFC 2543 did not ask for a Contact; such a sender is known by its branch.
        let old = !request.branch.starts_with(b"z9hG4bK");
        let target = contact(&request.fields)
            .or_else(|| (old && request.from.uri.is_sip()).then(|| request.from.uri.clone()))?;
        let mut local = request.to.value.to_vec();
        local.extend_from_slice(b";tag=");
        local.extend_from_slice(token.as_bytes());
        let mut dialog = Self {
            call_id: request.call_id.clone(),
            local: Bytes::from(local),
            remote: request.from.value.clone(),
            remote_tag: request.from.tag.clone(),
            local_cseq: 0,
            remote_cseq: request.cseq,
            routes: routes(&request.fields, routes_max),
            target: target.text,
            flow,
            updates: request.fields.lists(Field::Allow, "UPDATE"),
        };
        dialog.aim(flow);
        Some(dialog)
    }

    /// RFC 3261 12.1.2: from a 2xx to our INVITE.
    pub(crate) fn of_response(seed: &Seed, response: &Response, flow: Flow, routes_max: usize) -> Self {
        let mut routes = routes(&response.fields, routes_max);
        routes.reverse();
        let mut dialog = Self {
            call_id: seed.call_id.clone(),
            local: seed.local.clone(),
            remote: response.to.clone(),
            remote_tag: response.to_tag.clone(),
            local_cseq: seed.cseq,
            remote_cseq: 0,
            routes,
            target: contact(&response.fields).map_or_else(|| seed.uri.clone(), |uri| uri.text),
            flow,
            updates: response.fields.lists(Field::Allow, "UPDATE"),
        };
        dialog.aim(flow);
        dialog
    }

    /// Where our requests go: the first route or the target when it is an address that can be reached, else back to
    /// where the far end's messages come from (NAT; names that we do not resolve; TCP connections).
    pub(crate) fn aim(&mut self, source: Flow) {
        self.flow = source;
        let hop = self.routes.first().map_or_else(|| Uri::parse(&self.target), |route| Uri::of_value(route));
        let Some(hop) = hop else { return };
        let transport = hop.transport.unwrap_or(Transport::Udp);
        let Some(remote) = hop.socket().filter(|address| !hidden_from(address.ip(), source.remote.ip())) else {
            return;
        };
        if source.transport == Transport::Udp
            && transport == Transport::Udp
            && remote.is_ipv4() == source.remote.is_ipv4()
        {
            self.flow = Flow { transport, remote, connection: 0 };
        }
    }

    /// After a take-over: the connection of the former is not ours, so that a new one goes to the first route or to the
    /// target, as far as they are addresses. Datagrams go where they went.
    pub(crate) fn aim_anew(&mut self) {
        self.flow.connection = 0;
        if !self.flow.transport.is_reliable() {
            return;
        }
        let route = self.routes.first().and_then(|route| Uri::of_value(route));
        let fallback = if route.is_some() { Transport::Udp } else { self.flow.transport };
        let Some(hop) = route.or_else(|| Uri::parse(&self.target)) else { return };
        let Some(remote) = hop.socket().filter(|address| !hidden_from(address.ip(), self.flow.remote.ip())) else {
            return;
        };
        // RFC 7118 has one name for both, and nobody is connected to by WebSocket.
        let transport = match hop.transport.unwrap_or(fallback) {
            Transport::Ws => self.flow.transport,
            other => other,
        };
        self.flow = Flow { transport, remote, connection: 0 };
    }

    /// RFC 3261 12.2.2: a target refresh request or its answer. Says whether something changed.
    pub(crate) fn refresh(&mut self, fields: &Fields, source: Flow) -> bool {
        let Some(target) = contact(fields) else { return false };
        let before = (self.target.clone(), self.flow);
        self.target = target.text;
        self.aim(source);
        before != (self.target.clone(), self.flow)
    }

    /// Begins a request inside of the dialog: start line, Via, routes, From, To, Call-ID, CSeq.
    pub(crate) fn request(&self, method: &str, cseq: u32, host_port: &str, branch: &str) -> Vec<u8> {
        self.request_within(HOPS_MAX, method, cseq, host_port, branch)
    }

    /// The same with another Max-Forwards.
    pub(crate) fn request_within(&self, hops: u8, method: &str, cseq: u32, host_port: &str, branch: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(768);
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        let strict = self.routes.first().and_then(|route| Uri::of_value(route)).filter(|uri| !uri.loose);
        // RFC 3261 12.2.1.1: a strict router gets its own URI on the start line and the target as the last route.
        out.extend_from_slice(strict.as_ref().map_or(&self.target, |uri| &uri.text));
        out.extend_from_slice(b" SIP/2.0\r\n");
        write::via(&mut out, self.flow.transport, host_port, branch);
        for route in self.routes.iter().skip(usize::from(strict.is_some())) {
            write::line(&mut out, "Route", route);
        }
        if strict.is_some() {
            out.extend_from_slice(b"Route: <");
            out.extend_from_slice(&self.target);
            out.extend_from_slice(b">\r\n");
        }
        out.extend_from_slice(b"Max-Forwards: ");
        write::number(&mut out, u64::from(hops));
        out.extend_from_slice(b"\r\n");
        write::line(&mut out, "From", &self.local);
        write::line(&mut out, "To", &self.remote);
        write::line(&mut out, "Call-ID", &self.call_id);
        out.extend_from_slice(b"CSeq: ");
        write::number(&mut out, u64::from(cseq));
        out.push(b' ');
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// The URI of the (only) Contact.
fn contact(fields: &Fields) -> Option<Uri> {
    let value = fields.first(Field::Contact)?;
    let end = raw::list_end(value.as_bytes());
    Uri::of_value(&value.as_bytes()[..end]).filter(Uri::is_sip)
}

fn routes(fields: &Fields, routes_max: usize) -> Vec<Bytes> {
    let mut routes: Vec<Bytes> = fields.list(Field::RecordRoute).into_iter().map(Bytes::from).collect();
    routes.truncate(routes_max);
    routes
}
