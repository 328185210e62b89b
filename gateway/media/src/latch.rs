//! Whose packets a leg believes, and where to send (symmetric RTP). Pure: addresses and time come in, a verdict goes out.

use std::net::{IpAddr, SocketAddr};

/// A source that was silent for this long may be followed by another that has the SDP's address.
pub const RELATCH_AFTER_MS: u64 = 2_000;

/// What to do with a valid RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// From the far end.
    Accept,
    /// From the far end, which is heard at this address for the first time.
    Latch,
    /// From somebody else.
    Stranger,
}

/// The far end's address as told and as seen.
#[derive(Clone, Copy, Debug)]
pub struct Latch {
    told: SocketAddr,
    seen: Seen,
}

#[derive(Clone, Copy, Debug)]
enum Seen {
    /// Nothing has been heard.
    Nothing,
    /// Heard here before its SDP changed: sent to until it is heard again.
    Before(SocketAddr),
    /// Only this source is believed.
    Locked { source: SocketAddr, heard_ms: u64 },
}

impl Latch {
    /// For a far end whose SDP names this address.
    pub fn new(told: SocketAddr) -> Latch {
        Latch { told, seen: Seen::Nothing }
    }

    /// The SDP was renewed: the next valid packet decides again. As long as it names the same address, what was learnt is sent to.
    pub fn reconnect(&mut self, told: SocketAddr) {
        self.seen = match self.seen {
            Seen::Locked { source, .. } | Seen::Before(source) if told == self.told => Seen::Before(source),
            Seen::Locked { .. } | Seen::Before(_) | Seen::Nothing => Seen::Nothing,
        };
        self.told = told;
    }

    /// Judges the source of a packet that is valid RTP.
    pub fn judge(&mut self, now_ms: u64, from: SocketAddr) -> Verdict {
        let (verdict, believed) = match self.seen {
            Seen::Locked { source, .. } if source == from => (Verdict::Accept, true),
            Seen::Locked { heard_ms, .. } => {
                let silent = now_ms.saturating_sub(heard_ms) >= RELATCH_AFTER_MS;
                (Verdict::Latch, silent && from == self.told)
            }
            Seen::Nothing | Seen::Before(_) => {
                (Verdict::Latch, from.ip() == self.told.ip() || is_behind_nat(self.told.ip(), from.ip()))
            }
        };
        if !believed {
            return Verdict::Stranger;
        }
        self.seen = Seen::Locked { source: from, heard_ms: now_ms };
        verdict
    }

    /// Whether a packet from there could be the far end's: asked before anything costly is done with it.
    pub fn might_be(&self, now_ms: u64, from: SocketAddr) -> bool {
        let mut copy = *self;
        copy.judge(now_ms, from) != Verdict::Stranger
    }

    /// Where to send; `None` for an address that nobody has (RFC 3264 calls 0.0.0.0 hold; port 0 is no stream).
    pub fn destination(&self) -> Option<SocketAddr> {
        match self.seen {
            Seen::Locked { source, .. } | Seen::Before(source) => Some(source),
            Seen::Nothing if self.told.ip().is_unspecified() || self.told.port() == 0 => None,
            Seen::Nothing => Some(self.told),
        }
    }
}

/// Where an address can be reached from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Global,
    Loopback,
    LinkLocal,
    Private(u8),
    /// 0.0.0.0, multicast and the like: no far end lives there.
    Nowhere,
}

/// Whether `told` cannot be reached from where `from` is, so that there is a NAT between and the SDP could not know better.
fn is_behind_nat(told: IpAddr, from: IpAddr) -> bool {
    match scope(told) {
        Scope::Global | Scope::Nowhere => false,
        local @ (Scope::Loopback | Scope::LinkLocal | Scope::Private(_)) => local != scope(from),
    }
}

fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(ip) => match ip.octets() {
            [0, ..] | [224..=255, ..] => Scope::Nowhere,
            [127, ..] => Scope::Loopback,
            [169, 254, ..] => Scope::LinkLocal,
            [10, ..] => Scope::Private(10),
            [100, 64..=127, ..] => Scope::Private(100),
            [172, 16..=31, ..] => Scope::Private(172),
            [192, 168, ..] => Scope::Private(192),
            _ => Scope::Global,
        },
        IpAddr::V6(ip) => match ip.segments()[0] {
            _ if ip.is_loopback() => Scope::Loopback,
            _ if ip.is_unspecified() => Scope::Nowhere,
            0xff00..=0xffff => Scope::Nowhere,
            0xfe80..=0xfebf => Scope::LinkLocal,
            0xfc00..=0xfdff => Scope::Private(6),
            _ => Scope::Global,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn the_first_source_with_the_sdp_s_ip_is_locked_and_sent_to() {
        let mut latch = Latch::new(at("198.51.100.7:4000"));
        assert_eq!(latch.destination(), Some(at("198.51.100.7:4000")));
        assert_eq!(latch.judge(0, at("203.0.113.1:4000")), Verdict::Stranger);
        assert_eq!(latch.judge(0, at("198.51.100.7:4002")), Verdict::Latch);
        assert_eq!(latch.judge(20, at("198.51.100.7:4002")), Verdict::Accept);
        assert_eq!(latch.judge(20, at("198.51.100.7:4004")), Verdict::Stranger);
        assert_eq!(latch.destination(), Some(at("198.51.100.7:4002")));
    }

    #[test]
    fn a_private_address_in_the_sdp_is_overruled_by_a_source_that_cannot_reach_it() {
        for (told, from, believed) in [
            ("192.168.1.5:4000", "203.0.113.9:61000", true),
            ("10.0.0.5:4000", "192.168.1.1:4000", true),
            ("100.64.3.3:4000", "203.0.113.9:4000", true),
            ("127.0.0.1:4000", "10.0.0.9:4000", true),
            ("[fd00::5]:4000", "[2001:db8::5]:4000", true),
            ("192.168.1.5:4000", "192.168.1.6:4000", false),
            ("10.0.0.5:4000", "10.9.0.1:4000", false),
            ("203.0.113.9:4000", "192.168.1.5:4000", false),
            ("127.0.0.1:4000", "127.0.0.2:4000", false),
            ("0.0.0.0:4000", "203.0.113.9:4000", false),
        ] {
            let verdict = Latch::new(at(told)).judge(0, at(from));
            assert_eq!(verdict == Verdict::Latch, believed, "{told} {from}");
        }
    }

    #[test]
    fn a_silent_source_is_followed_only_by_the_sdp_s_address() {
        let mut latch = Latch::new(at("198.51.100.7:4000"));
        assert_eq!(latch.judge(0, at("198.51.100.7:4002")), Verdict::Latch);
        assert_eq!(latch.judge(1_999, at("198.51.100.7:4000")), Verdict::Stranger);
        assert_eq!(latch.judge(2_000, at("198.51.100.7:4006")), Verdict::Stranger);
        assert_eq!(latch.judge(2_000, at("198.51.100.7:4000")), Verdict::Latch);
        assert_eq!(latch.judge(2_020, at("198.51.100.7:4002")), Verdict::Stranger);
    }

    #[test]
    fn a_reconnect_looks_again_but_keeps_sending_to_where_it_was() {
        let mut latch = Latch::new(at("192.168.1.5:4000"));
        latch.judge(0, at("203.0.113.9:61000"));
        latch.reconnect(at("192.168.1.5:4000"));
        assert_eq!(latch.destination(), Some(at("203.0.113.9:61000")));
        assert_eq!(latch.judge(40, at("203.0.113.9:62000")), Verdict::Latch);
        latch.reconnect(at("198.51.100.7:4000"));
        assert_eq!(latch.destination(), Some(at("198.51.100.7:4000")));
        assert_eq!(latch.judge(60, at("203.0.113.9:62000")), Verdict::Stranger);
    }

    #[test]
    fn nobody_is_sent_to_at_the_address_of_nobody() {
        assert_eq!(Latch::new(at("0.0.0.0:4000")).destination(), None);
        assert_eq!(Latch::new(at("198.51.100.7:0")).destination(), None);
    }
}
