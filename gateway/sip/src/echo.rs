//! What every response repeats of its request: Via, From, To, Call-ID, CSeq; kept as bytes ready to be sent.
//! Never looks at anything else of a request.

use std::net::{IpAddr, SocketAddr};

use sipx_sip::{HeaderName, Headers};

use crate::config::Limits;
use crate::dialog::Dialog;
use crate::raw::{self, Known};
use crate::types::{Flow, Transport};
use crate::write;

/// The repeated lines, and where responses go.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    /// Via, From, Call-ID and CSeq lines, then `To: value` without its line end.
    lines: Vec<u8>,
    /// Where the Via lines end.
    vias_end: usize,
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
            match header.name() {
                HeaderName::Via => builder.via(header.raw_value()),
                HeaderName::From => builder.from = header.raw_value().to_vec(),
                HeaderName::CallId => builder.call_id = header.raw_value().to_vec(),
                HeaderName::CSeq => builder.cseq = header.raw_value().to_vec(),
                HeaderName::To => builder.to = header.raw_value().to_vec(),
                HeaderName::RecordRoute => builder.route(header.raw_value()),
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
                Known::From if first => builder.from = value.to_vec(),
                Known::CallId if first => builder.call_id = value.to_vec(),
                Known::CSeq if first => builder.cseq = value.to_vec(),
                Known::To if first => builder.to = value.to_vec(),
                _ => {}
            }
        }
        builder.finish()
    }

    /// Begins a response: start line and repeated lines. `tag` goes to the To field when it has none.
    pub(crate) fn response(&self, status: u16, tag: &str) -> Vec<u8> {
        let reason = write::phrase(status);
        let mut out = Vec::with_capacity(self.lines.len() + 512);
        out.extend_from_slice(b"SIP/2.0 ");
        write::number(&mut out, u64::from(status));
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

    /// The Via lines, for the passport.
    pub(crate) fn vias(&self) -> &[u8] {
        &self.lines[..self.vias_end]
    }

    /// From what a passport says; none when that is not what `vias` wrote.
    pub(crate) fn restore(vias: &[u8], dialog: &Dialog, transport: Transport) -> Option<Self> {
        for (index, line) in vias.strip_suffix(b"\r\n")?.split(|&b| b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let folded = index > 0 && line.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
            if line.contains(&b'\r') || !(folded || line.starts_with(b"Via: ")) {
                return None;
            }
        }
        let remote = reply_to(raw::fields_of(vias).next()?.1, transport)?;
        let mut builder = Builder::new(Flow { transport, remote, connection: 0 });
        builder.vias = 1;
        builder.via_lines = vias.to_vec();
        builder.from = dialog.remote.to_vec();
        builder.call_id = dialog.call_id.to_vec();
        builder.cseq = format!("{} INVITE", dialog.remote_cseq).into_bytes();
        // Our tag is the last parameter of the dialog's local value; the request had none.
        let tag = dialog.local.windows(5).rposition(|w| w == b";tag=")?;
        builder.to = dialog.local[..tag].to_vec();
        for route in &dialog.routes {
            builder.route(route);
        }
        builder.finish()
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
    via_lines: Vec<u8>,
    from: Vec<u8>,
    call_id: Vec<u8>,
    cseq: Vec<u8>,
    to: Vec<u8>,
    routes: Vec<u8>,
    flow: Flow,
    vias: usize,
}

impl Builder {
    fn new(flow: Flow) -> Self {
        let (via_lines, empty) = (Vec::with_capacity(384), Vec::new);
        let (from, call_id, cseq, to, routes) = (empty(), empty(), empty(), empty(), empty());
        Self { via_lines, from, call_id, cseq, to, routes, flow, vias: 0 }
    }

    fn route(&mut self, value: &[u8]) {
        write::line(&mut self.routes, "Record-Route", value);
    }

    fn via(&mut self, value: &[u8]) {
        self.vias += 1;
        if self.vias > 1 {
            return write::line(&mut self.via_lines, "Via", value);
        }
        let end = raw::list_end(value);
        let (top, rest) = value.split_at(end);
        let (stamped, reply_to) = stamp(top, self.flow);
        if !self.flow.transport.is_reliable() {
            self.flow.remote = reply_to;
        }
        self.via_lines.extend_from_slice(b"Via: ");
        self.via_lines.extend_from_slice(&stamped);
        self.via_lines.extend_from_slice(rest);
        self.via_lines.extend_from_slice(b"\r\n");
    }

    fn finish(self) -> Option<Echo> {
        if self.vias == 0 {
            return None;
        }
        let vias_end = self.via_lines.len();
        let mut lines = self.via_lines;
        for (name, value) in [("From", &self.from), ("Call-ID", &self.call_id), ("CSeq", &self.cseq)] {
            if !value.is_empty() {
                write::line(&mut lines, name, value);
            }
        }
        lines.extend_from_slice(b"To: ");
        lines.extend_from_slice(&self.to);
        let to_has_tag = !raw::tag(&self.to).is_empty();
        Some(Echo { lines, vias_end, to_has_tag, routes: self.routes, flow: self.flow })
    }
}

/// RFC 3261 18.2.2 and RFC 3581: where the response goes that this (stamped) Via is the top of. Over a stream that is
/// for when the request's connection is no more.
pub(crate) fn reply_to(via: &[u8], transport: Transport) -> Option<SocketAddr> {
    let top = &via[..raw::list_end(via)];
    let sent_by = top.split(|&b| b == b';').next()?.trim_ascii().rsplit(|&b| b == b' ' || b == b'\t').next()?;
    let (host, port) = host_port(sent_by);
    let text = |name: &[u8]| std::str::from_utf8(raw::param(top, name)).unwrap_or_default();
    let ip = text(b"received").trim_matches(['[', ']']).parse::<IpAddr>().ok().or(host)?;
    let rport = text(b"rport").parse::<u16>().ok().filter(|_| !transport.is_reliable());
    Some(SocketAddr::new(ip, rport.or(port).unwrap_or(5060)))
}

/// RFC 3261 18.2.1 and RFC 3581: `received` and `rport` into the top Via; and where the response goes over UDP.
pub(crate) fn stamp(top: &[u8], flow: Flow) -> (Vec<u8>, SocketAddr) {
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
        write::number(&mut out, u64::from(source.port()));
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
