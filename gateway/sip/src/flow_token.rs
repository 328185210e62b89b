//! A flow as a token (RFC 5626 section 5.2): user part of the Path and Record-Route values by which a phone is reached over
//! its own connection, and Via parameter by which answers find back. Good at one gateway, and for a connection in one life.
//! Never says who may use it: it cannot be guessed, and it only leads to the phone that it was given to.

use std::net::{IpAddr, SocketAddr};

use crate::tag::Keys;
use crate::types::{Flow, Transport};

/// Every flow token begins with this.
const PREFIX: &str = "cbf.";

/// A gateway's life, for tokens that end with it.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) keys: Keys,
    /// `host:port` of the gateway.
    pub(crate) host_port: String,
    pub(crate) incarnation: u64,
}

impl Life {
    /// The token of a flow of this life.
    pub(crate) fn token(&self, flow: Flow) -> String {
        let Flow { transport, remote, connection } = flow;
        let ip = match remote.ip() {
            IpAddr::V4(ip) => format!("{:08x}", u32::from(ip)),
            IpAddr::V6(ip) => format!("{:032x}", u128::from(ip)),
        };
        let head = format!("{:x}.{connection:x}.{ip}.{:x}", transport as u8, remote.port());
        let mac = self.mac(&head, transport);
        format!("{PREFIX}{head}.{mac:016x}")
    }

    /// The flow of a token; none when it is forged, another gateway's, or of a former life.
    pub(crate) fn flow(&self, token: &[u8]) -> Option<Flow> {
        let text = std::str::from_utf8(token).ok()?.strip_prefix(PREFIX)?;
        let (head, mac) = text.rsplit_once('.')?;
        let mut parts = head.split('.');
        let transport = match parts.next()? {
            "0" => Transport::Udp,
            "1" => Transport::Tcp,
            "2" => Transport::Tls,
            "3" => Transport::Ws,
            "4" => Transport::Wss,
            _ => return None,
        };
        if mac.len() != 16 || u64::from_str_radix(mac, 16).ok()? ^ self.mac(head, transport) != 0 {
            return None;
        }
        let connection = u64::from_str_radix(parts.next()?, 16).ok()?;
        let ip = parts.next()?;
        let ip = match ip.len() {
            8 => IpAddr::from(u32::from_str_radix(ip, 16).ok()?.to_be_bytes()),
            _ => IpAddr::from(u128::from_str_radix(ip, 16).ok()?.to_be_bytes()),
        };
        let port = u16::from_str_radix(parts.next()?, 16).ok()?;
        Some(Flow { transport, remote: SocketAddr::new(ip, port), connection })
    }

    /// A URI in a Route, Path or Record-Route value that leads over a flow.
    pub(crate) fn route(&self, flow: Flow, more: &str) -> String {
        format!("<sip:{}@{}{more};lr>", self.token(flow), self.host_port)
    }

    fn mac(&self, head: &str, transport: Transport) -> u64 {
        let life = if transport.is_reliable() { self.incarnation } else { 0 };
        self.keys.digest(b'F', &[self.host_port.as_bytes(), &life.to_le_bytes(), head.as_bytes()])
    }
}

/// Whether a user part looks like a flow token.
pub(crate) fn is_token(user: &[u8]) -> bool {
    user.starts_with(PREFIX.as_bytes())
}

/// The token in a Route value at one of our places (`host:port`), ours by its looks. Another port of our address is another
/// gateway.
pub(crate) fn of_route<'a>(value: &'a [u8], places: [&str; 2]) -> Option<&'a [u8]> {
    let start = value.iter().position(|&b| b == b'<').map_or(0, |at| at + 1);
    let uri = value[start..].split(|&b| b == b'>').next()?;
    let rest = uri.strip_prefix(b"sip:").or_else(|| uri.strip_prefix(b"sips:"))?;
    let at = rest.iter().position(|&b| b == b'@')?;
    let (token, place) = (&rest[..at], &rest[at + 1..]);
    let place = place.split(|b| matches!(b, b';' | b'?')).next()?;
    let ours = places.iter().any(|own| {
        let host = own.rsplit_once(':').map_or(*own, |(host, _)| host);
        place == own.as_bytes() || place == host.as_bytes()
    });
    (ours && is_token(token)).then_some(token)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn life(incarnation: u64) -> Life {
        Life { keys: Keys::new(&[7; 32]), host_port: "192.0.2.1:5060".to_owned(), incarnation }
    }

    fn flows() -> [Flow; 3] {
        let flow =
            |transport, remote: &str, connection| Flow { transport, remote: remote.parse().unwrap(), connection };
        [
            flow(Transport::Tcp, "198.51.100.20:41000", 3),
            flow(Transport::Wss, "[2001:db8::7]:443", u64::MAX),
            flow(Transport::Udp, "0.0.0.0:0", 0),
        ]
    }

    #[test]
    fn a_token_leads_over_its_flow_for_one_life_of_one_gateway() {
        for flow in flows() {
            let token = life(1).token(flow);
            assert_eq!(life(1).flow(token.as_bytes()), Some(flow), "{token}");
            assert_eq!(life(2).flow(token.as_bytes()).is_none(), flow.transport.is_reliable());
            assert_eq!(Life { host_port: "192.0.2.2:5060".to_owned(), ..life(1) }.flow(token.as_bytes()), None);
            assert_eq!(Life { keys: Keys::new(&[8; 32]), ..life(1) }.flow(token.as_bytes()), None);
            let route = life(1).route(flow, ";transport=tcp");
            let of = |place| of_route(route.as_bytes(), ["192.0.2.9:5060", place]);
            assert_eq!(of("192.0.2.1:5060"), Some(token.as_bytes()), "{route}");
            assert_eq!([of("192.0.2.1:5061"), of("192.0.2.2:5060"), of("192.0.2:5060")], [None; 3]);
            let short = route.replace(":5060", "");
            assert_eq!(of_route(short.as_bytes(), ["192.0.2.1:5060", ""]), Some(token.as_bytes()), "{short}");
        }
    }

    #[test]
    fn a_forged_token_leads_nowhere() {
        let token = life(1).token(flows()[0]).into_bytes();
        for at in 0..token.len() {
            let mut forged = token.clone();
            forged[at] = if forged[at] == b'1' { b'2' } else { b'1' };
            assert_eq!(life(1).flow(&forged), None, "changed at {at}");
        }
        for odd in ["", "cbf.", "cbf.1.2.3.4.0123456789abcdef", "cbf.9.1.c0000201.1.0"] {
            assert_eq!(life(1).flow(odd.as_bytes()), None);
        }
    }
}
