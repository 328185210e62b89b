//! A SIP or tel URI, reduced to what routing and dialogs need, with its text kept as it came.
//! Never resolves a name.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sipx_sip::Host;

use crate::types::Transport;

/// The schemes we tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Sip,
    Sips,
    Tel,
    Other,
}

/// A parsed URI.
#[derive(Debug, Clone)]
pub(crate) struct Uri {
    pub(crate) text: Bytes,
    pub(crate) scheme: Scheme,
    /// Decoded user part, or the digits of a tel URI; empty when there is none.
    pub(crate) user: Bytes,
    /// The host when it is an address.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) transport: Option<Transport>,
    /// Loose routing (RFC 3261 19.1.1).
    pub(crate) loose: bool,
    /// The host as it is written, an IPv6 address without brackets; none for a tel URI.
    pub(crate) host: Option<String>,
    /// `method` (RFC 3261 19.1.1).
    pub(crate) method: Option<Bytes>,
}

impl Uri {
    pub(crate) fn from_wire(uri: &sipx_sip::Uri) -> Self {
        let scheme = match uri.scheme() {
            sipx_sip::Scheme::Sip => Scheme::Sip,
            sipx_sip::Scheme::Sips => Scheme::Sips,
            sipx_sip::Scheme::Tel => Scheme::Tel,
            _ => Scheme::Other,
        };
        let user = match uri.tel_parts() {
            // RFC 3966 3: visual separators mean nothing.
            Some(tel) => tel.subscriber().iter().copied().filter(|b| !b"-.()".contains(b)).collect(),
            None => uri.decoded_user().unwrap_or_default(),
        };
        // RFC 3261 19.1.6: a telephone number in a user part may carry parameters of its own.
        let user = user.split(|&b| b == b';').next().unwrap_or_default().to_vec();
        let transport = uri.transport().and_then(|name| {
            if name.eq_ignore_ascii_case(b"udp") {
                Some(Transport::Udp)
            } else if name.eq_ignore_ascii_case(b"tcp") {
                Some(Transport::Tcp)
            } else if name.eq_ignore_ascii_case(b"tls") {
                Some(Transport::Tls)
            } else if name.eq_ignore_ascii_case(b"ws") {
                Some(Transport::Ws)
            } else {
                None
            }
        });
        Self {
            text: uri.to_bytes(),
            scheme,
            user: Bytes::from(user),
            ip: match uri.host() {
                Some(Host::Ip(ip)) => Some(*ip),
                _ => None,
            },
            port: uri.port(),
            transport,
            host: uri.host().map(|host| match host {
                Host::Ip(ip) => ip.to_string(),
                Host::Name(name) => String::from_utf8_lossy(name.as_bytes()).into_owned(),
            }),
            method: uri.params().and_then(|params| params.value("method")).map(Bytes::copy_from_slice),
            loose: uri.params().is_some_and(|params| params.contains("lr")),
        }
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        sipx_sip::Uri::parse(Bytes::copy_from_slice(text))
            .ok()
            .filter(|uri| !uri.has_headers())
            .map(|uri| Self::from_wire(&uri))
    }

    /// The URI inside of a name-addr, addr-spec or header value with parameters.
    pub(crate) fn of_value(value: &[u8]) -> Option<Self> {
        sipx_sip::headers::Address::parse(value, "address").ok().map(|address| Self::from_wire(&address.uri))
    }

    /// Display name and URI of a name-addr.
    pub(crate) fn named(value: &[u8]) -> Option<(String, Self)> {
        let address = sipx_sip::headers::Address::parse(value, "address").ok()?;
        let name = address.display_name.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        Some((name, Self::from_wire(&address.uri)))
    }

    /// The URI of a name-addr without its header components, and those, unescaped (RFC 3261 19.1.1).
    pub(crate) fn split_headers(value: &[u8]) -> Option<(Self, Vec<(String, String)>)> {
        let mut uri = sipx_sip::headers::Address::parse(value, "address").ok()?.uri;
        let headers: Vec<(String, String)> = uri.headers().map(headers).unwrap_or_default();
        for (name, _) in &headers {
            while uri.remove_header(name) {}
        }
        Some((Self::from_wire(&uri), headers))
    }

    pub(crate) fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// Where it points when its host is an address.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        self.ip.map(|ip| SocketAddr::new(ip, self.port.unwrap_or(5060)))
    }

    /// The host as a URI writes it.
    pub(crate) fn host_text(&self) -> String {
        match (self.ip, &self.host) {
            (Some(IpAddr::V6(ip)), _) => format!("[{ip}]"),
            (_, Some(host)) => host.clone(),
            (_, None) => String::new(),
        }
    }

    pub(crate) fn user_text(&self, bytes_max: usize) -> String {
        clean(&String::from_utf8_lossy(&self.user), bytes_max)
    }
}

fn headers(params: &sipx_sip::params::Params) -> Vec<(String, String)> {
    let one = |param: &sipx_sip::params::Param| {
        let name = String::from_utf8_lossy(param.name()).into_owned();
        (name, unescape(param.value().unwrap_or_default()))
    };
    params.iter().map(one).collect()
}

/// `%41` is `A` (RFC 3261 25.1 `escaped`); what is no UTF-8 afterwards is replaced.
fn unescape(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (b, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                out.push(b);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Text without control characters, at most so many bytes: CR, LF and terminal codes end here.
pub(crate) fn clean(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars().filter(|c| !is_harmful(*c)) {
        if out.len() + c.len_utf8() > bytes_max {
            break;
        }
        out.push(c);
    }
    out
}

/// Control characters, those that turn the direction of text or end a line (UAX 9), and those that nobody sees.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{180e}' | '\u{feff}' | '\u{00ad}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether an address cannot be reached from where `source` is: a phone behind NAT writes such ones.
pub(crate) fn hidden_from(ip: IpAddr, source: IpAddr) -> bool {
    ip.is_unspecified()
        || ip.is_multicast()
        || (is_local(ip) && !is_local(source))
        || (ip.is_loopback() && !source.is_loopback())
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || (ip.segments()[0] & 0xfe00) == 0xfc00 || (ip.segments()[0] & 0xffc0) == 0xfe80
        }
    }
}
