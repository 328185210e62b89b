//! What every response repeats of its request: Via, From, To, Call-ID, CSeq; kept as bytes ready to be sent.
//! Never looks at anything else of a request.

use std::net::{IpAddr, SocketAddr};

use sipx_sip::{HeaderName, Headers};

use crate::config::Limits;
use crate::raw::{self, Known};
use crate::types::Flow;

/// The repeated lines, and where responses go.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    /// Via, From, Call-ID and CSeq lines, then `To: value` without its line end.
    lines: Vec<u8>,
    to_has_tag: bool,
    /// Record-Route lines, for responses that make a dialog.
    routes: Vec<u8>,
    pub(crate) flow: Flow,
}

impl Echo {
    /// From a parsed request.
    pub(crate) fn from_headers(headers: &Headers, flow: Flow) -> Option<Self> {
        let mut builder = Builder::new(flow);
        for header in headers.iter() {
            // Folds are not repeated (RFC 3261 7.3.1): one field, one line.
            let unfolded = header.value();
            let value: &[u8] = unfolded.as_ref();
            match header.name() {
                HeaderName::Via => builder.via(value),
                HeaderName::From => builder.line("From", value),
                HeaderName::CallId => builder.line("Call-ID", value),
                HeaderName::CSeq => builder.line("CSeq", value),
                HeaderName::To => builder.to = value.to_vec(),
                HeaderName::RecordRoute => builder.route(value),
                _ => {}
            }
        }
        builder.finish()
    }

    /// From bytes that the parser has refused; none when there is no Via to answer to.
    pub(crate) fn salvage(bytes: &[u8], flow: Flow, limits: &Limits) -> Option<Self> {
        let mut builder = Builder::new(flow);
        let mut seen = 0u8;
        for (name, value) in raw::fields(bytes).take(limits.headers_max) {
            let Some(known) = raw::known(name) else { continue };
            // What is copied must not end a line early.
            let bad = value.len() > limits.header_bytes_max || value.contains(&b'\r') || value.contains(&b'\n');
            if bad {
                return None;
            }
            let bit = 1 << known as u8;
            let first = seen & bit == 0;
            seen |= bit;
            match known {
                Known::Via => builder.via(value),
                Known::From if first => builder.line("From", value),
                Known::CallId if first => builder.line("Call-ID", value),
                Known::CSeq if first => builder.line("CSeq", value),
                Known::To if first => builder.to = value.to_vec(),
                _ => {}
            }
        }
        builder.finish()
    }

    /// Begins a response: start line and repeated lines. `tag` goes to the To field when it has none.
    pub(crate) fn response(&self, status: u16, tag: &str) -> Vec<u8> {
        let reason = crate::write::phrase(status);
        let mut out = Vec::with_capacity(self.lines.len() + 512);
        out.extend_from_slice(b"SIP/2.0 ");
        crate::write::number(&mut out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.lines);
        if !self.to_has_tag && !tag.is_empty() {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(tag.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    pub(crate) fn routes(&self) -> &[u8] {
        &self.routes
    }

    /// The bytes that identify the request, for tags of stateless refusals.
    pub(crate) fn identity(&self) -> &[u8] {
        &self.lines
    }
}

struct Builder {
    lines: Vec<u8>,
    to: Vec<u8>,
    routes: Vec<u8>,
    flow: Flow,
    vias: usize,
}

impl Builder {
    fn new(flow: Flow) -> Self {
        Self { lines: Vec::with_capacity(384), to: Vec::new(), routes: Vec::new(), flow, vias: 0 }
    }

    fn line(&mut self, name: &str, value: &[u8]) {
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
    }

    fn route(&mut self, value: &[u8]) {
        self.routes.extend_from_slice(b"Record-Route: ");
        self.routes.extend_from_slice(value);
        self.routes.extend_from_slice(b"\r\n");
    }

    fn via(&mut self, value: &[u8]) {
        self.vias += 1;
        if self.vias > 1 {
            return self.line("Via", value);
        }
        let end = raw::list_end(value);
        let (top, rest) = value.split_at(end);
        let (stamped, reply_to) = stamp(top, self.flow);
        if !self.flow.transport.is_reliable() {
            self.flow.remote = reply_to;
        }
        self.lines.extend_from_slice(b"Via: ");
        self.lines.extend_from_slice(&stamped);
        self.lines.extend_from_slice(rest);
        self.lines.extend_from_slice(b"\r\n");
    }

    fn finish(mut self) -> Option<Echo> {
        if self.vias == 0 {
            return None;
        }
        self.lines.extend_from_slice(b"To: ");
        self.lines.extend_from_slice(&self.to);
        let to_has_tag = !raw::tag(&self.to).is_empty();
        Some(Echo { lines: self.lines, to_has_tag, routes: self.routes, flow: self.flow })
    }
}

/// RFC 3261 18.2.1 and RFC 3581: `received` and `rport` into the top Via; and where the response goes over UDP.
fn stamp(top: &[u8], flow: Flow) -> (Vec<u8>, SocketAddr) {
    let source = flow.remote;
    let mut out = Vec::with_capacity(top.len() + 48);
    let mut rport = false;
    let mut sent_by: &[u8] = b"";
    for (index, part) in top.split(|&b| b == b';').enumerate() {
        let name = part.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii();
        if index == 0 {
            sent_by = part.trim_ascii().rsplit(|&b| b == b' ' || b == b'\t').next().unwrap_or_default();
            out.extend_from_slice(part);
        } else if name.eq_ignore_ascii_case(b"rport") {
            rport = true;
        } else if !name.eq_ignore_ascii_case(b"received") {
            out.push(b';');
            out.extend_from_slice(part);
        }
    }
    let (host, port) = host_port(sent_by);
    if rport || host != Some(source.ip()) {
        out.extend_from_slice(b";received=");
        out.extend_from_slice(source.ip().to_string().as_bytes());
    }
    if rport {
        out.extend_from_slice(b";rport=");
        crate::write::number(&mut out, u64::from(source.port()));
    }
    let reply_to = if rport { source } else { SocketAddr::new(source.ip(), port.unwrap_or(5060)) };
    (out, reply_to)
}

fn host_port(sent_by: &[u8]) -> (Option<IpAddr>, Option<u16>) {
    let text = std::str::from_utf8(sent_by).unwrap_or_default();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (Some(address.ip()), Some(address.port()));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return (Some(ip), None);
    }
    (None, text.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).filter(|&port| port != 0))
}
