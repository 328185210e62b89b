//! Reading and writing SIP text for the test telephone: as little as it needs. Knows no call.

use std::net::SocketAddr;

use crate::tone::Law;

/// A message taken apart.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) start: &'a str,
    head: &'a str,
    pub(super) body: &'a str,
}

impl<'a> Message<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (all, body) = text.split_once("\r\n\r\n")?;
        let (start, head) = all.split_once("\r\n")?;
        Some(Self { start, head, body })
    }

    /// The status of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The method of a request.
    pub(super) fn method(&self) -> &'a str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.head.split("\r\n").filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn one(&self, name: &str) -> &'a str {
        self.all(name).next().unwrap_or_default()
    }

    /// Number and method.
    pub(super) fn cseq(&self) -> (u32, &'a str) {
        let (number, method) = self.one("CSeq").split_once(' ').unwrap_or_default();
        (number.parse().unwrap_or_default(), method.trim())
    }

    /// The lines that a response copies, with our tag.
    pub(super) fn echo(&self, tag: &str) -> String {
        let mut lines: String = self.all("Via").map(|via| format!("Via: {via}\r\n")).collect();
        let to = self.one("To");
        let tag = if to.contains(";tag=") || tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        lines += &format!("From: {}\r\nTo: {to}{tag}\r\n", self.one("From"));
        lines + &format!("Call-ID: {}\r\nCSeq: {}\r\n", self.one("Call-ID"), self.one("CSeq"))
    }
}

/// The URI within a header value.
pub(super) fn uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => value.split(';').next().unwrap_or_default(),
    }
}

/// The user part of a URI.
pub(super) fn user(uri: &str) -> &str {
    uri.strip_prefix("sip:").and_then(|rest| rest.split_once('@')).map_or("", |(user, _)| user)
}

/// The address that a URI names, when it names one.
pub(super) fn host(uri: &str) -> Option<SocketAddr> {
    let rest = uri.strip_prefix("sip:")?;
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    host.split([';', '?', '>']).next()?.parse().ok()
}

/// Whole message from its lines.
pub(super) fn message(start: &str, lines: &str, kind: &str, body: &str) -> String {
    let kind = if body.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    format!("{start}\r\n{lines}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// One audio stream with these codecs and digits.
pub(super) fn sdp(media: SocketAddr, laws: &[Law], direction: &str, version: u32) -> String {
    let (ip, port) = (media.ip(), media.port());
    let formats: String = laws.iter().map(|law| format!("{} ", law.payload_type())).collect();
    let maps: String =
        laws.iter().map(|law| format!("a=rtpmap:{} {}/8000\r\n", law.payload_type(), law.name())).collect();
    format!(
        "v=0\r\no=phone 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}101\r\n{maps}a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
         a=ptime:20\r\na={direction}\r\n"
    )
}

/// Where a description wants its audio.
pub(super) fn media_of(sdp: &str) -> Option<SocketAddr> {
    let line = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix));
    let ip = line("c=IN IP4 ")?.trim();
    let port = line("m=audio ")?.split(' ').next()?;
    format!("{ip}:{port}").parse().ok()
}
