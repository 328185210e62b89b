//! Where nothing is ever sent: neither SIP nor sound. Asked for every address that a far end or a document names: Contact,
//! Route, Refer-To, redirections, SDP, hosts of trunks. Pure.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::{cidr::Block, directory::View};

/// RFC 6052: IPv4 addresses behind a translator.
const NAT64: u128 = 0x0064_ff9b_0000_0000_0000_0000_0000_0000;

/// What of the cluster must not be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// Where SIP is heard.
    pub(crate) sip: Option<IpAddr>,
    /// This gateway's own gRPC and HTTP ports; an unspecified address stands for all of this machine's.
    pub(crate) listeners: Vec<SocketAddr>,
    /// gRPC endpoints of nodes, `host:port`.
    pub(crate) nodes: Vec<String>,
}

/// The rules of one view.
#[derive(Clone, Debug)]
pub(crate) struct Egress {
    allow: Vec<Block>,
    deny: Vec<Block>,
    own: BTreeSet<(IpAddr, u16)>,
    /// Own endpoints by name, in lower case.
    own_names: BTreeSet<(String, u16)>,
    loopback: bool,
}

impl Egress {
    /// Of the directory's view.
    pub(crate) fn of(view: &View, own: &Own) -> Self {
        let mut own = own.clone();
        own.nodes.extend(view.shards.iter().flat_map(|place| place.endpoints.iter().cloned()));
        Self::new(&view.egress_allow, &view.egress_deny, &own)
    }

    pub(crate) fn new(allow: &[Block], deny: &[Block], own: &Own) -> Self {
        let loopback = own.sip.is_some_and(|ip| ip.to_canonical().is_loopback());
        let mut egress = Self {
            allow: allow.to_vec(),
            deny: deny.to_vec(),
            own: BTreeSet::new(),
            own_names: BTreeSet::new(),
            loopback,
        };
        for listener in &own.listeners {
            let ip = listener.ip().to_canonical();
            if ip.is_unspecified() {
                let local = [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)), own.sip];
                egress.own.extend(local.into_iter().flatten().map(|ip| (ip.to_canonical(), listener.port())));
            } else {
                egress.own.insert((ip, listener.port()));
            }
        }
        for node in &own.nodes {
            let text = node.rsplit_once("://").map_or(node.as_str(), |(_, rest)| rest);
            if let Ok(address) = text.parse::<SocketAddr>() {
                egress.own.insert((address.ip().to_canonical(), address.port()));
            } else if let Some((host, port)) = text.rsplit_once(':')
                && let Ok(port) = port.parse()
            {
                egress.own_names.insert((host.to_ascii_lowercase(), port));
            }
        }
        egress
    }

    /// Whether a message or sound may be sent there.
    pub(crate) fn allows(&self, address: SocketAddr) -> bool {
        let ip = inner(address.ip());
        if address.port() == 0 || never(ip) || self.own.contains(&(ip, address.port())) {
            return false;
        }
        if ip.is_loopback() && !self.loopback {
            return false;
        }
        let within = |blocks: &[Block]| blocks.iter().any(|block| block.contains(ip));
        if within(&self.allow) {
            return true;
        }
        // Where machines of a cloud are asked for secrets; no phone lives there.
        self.allow.is_empty() && !within(&self.deny) && !is_link_local(ip)
    }

    /// Whether SDP may name this: also what means that nothing is sent (RFC 3264 section 5.1 port 0, section 8.4 `0.0.0.0`).
    pub(crate) fn allows_media(&self, address: SocketAddr) -> bool {
        address.port() == 0 || address.ip().is_unspecified() || self.allows(address)
    }

    /// Whether a SIP URI, bare or within `<>`, may be called. A host that is a name is good as long as it is not one of ours:
    /// the addresses that DNS has for it are asked for one by one.
    pub(crate) fn allows_uri(&self, uri: &str) -> bool {
        let Some(target) = Target::of(uri) else { return false };
        let host_allowed = self.allows_host(target.host, target.port);
        // RFC 3261 19.1.1: maddr overrides the host.
        host_allowed && target.maddr.is_none_or(|host| self.allows_host(host, target.port))
    }

    /// Whether a SIP URI leads to where the cluster talks with itself.
    pub(crate) fn is_own(&self, uri: &str) -> bool {
        let owned = |host: &str, port: u16| match bare(host).parse::<IpAddr>() {
            Ok(ip) => self.own.contains(&(inner(ip), port)),
            Err(_) => self.own_names.contains(&(name(host), port)),
        };
        Target::of(uri).is_some_and(|target| {
            owned(target.host, target.port) || target.maddr.is_some_and(|host| owned(host, target.port))
        })
    }

    fn allows_host(&self, host: &str, port: u16) -> bool {
        match bare(host).parse::<IpAddr>() {
            Ok(ip) => self.allows(SocketAddr::new(ip, port)),
            Err(_) => {
                let name = name(host);
                let local = name == "localhost" || name.ends_with(".localhost");
                !name.is_empty() && (!local || self.loopback) && !self.own_names.contains(&(name, port))
            }
        }
    }
}

/// An address without the brackets of a URI.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// A name as it is compared.
fn name(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Where a SIP URI leads.
struct Target<'a> {
    host: &'a str,
    port: u16,
    maddr: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(uri: &'a str) -> Option<Self> {
        let uri = behind_name(uri.trim())?;
        let uri = match uri.split_once('<') {
            Some((_, inside)) => inside.split_once('>')?.0,
            None => uri,
        };
        let (scheme, rest) = uri.trim().split_once(':')?;
        let secure = scheme.eq_ignore_ascii_case("sips");
        if !secure && !scheme.eq_ignore_ascii_case("sip") {
            return None;
        }
        // A user part may have parameters and even headers of its own: what counts is behind the last @.
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let place = place.split('?').next().unwrap_or_default();
        let mut parts = place.split(';');
        let host_port = parts.next().unwrap_or_default();
        let (mut maddr, mut tls) = (None, secure);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if name.trim().eq_ignore_ascii_case("maddr") {
                maddr = Some(value.trim());
            } else if name.trim().eq_ignore_ascii_case("transport") {
                tls |= value.trim().eq_ignore_ascii_case("tls");
            }
        }
        let default = if tls { 5061 } else { 5060 };
        let after_host = host_port.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match host_port[after_host..].find(':') {
            Some(colon) => {
                let (host, port) = host_port.split_at(after_host + colon);
                (host, port[1..].parse().ok()?)
            }
            None => (host_port, default),
        };
        Some(Self { host, port, maddr })
    }
}

/// What follows a quoted display name; none when its quote never ends.
fn behind_name(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else { return Some(text) };
    let mut escaped = false;
    let end = quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some(&quoted[end + 1..])
}

/// What is behind an address: IPv4 in IPv6 is IPv4.
fn inner(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if v6.to_bits() >> 32 == NAT64 >> 32 => {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(v6.to_bits() & u128::from(u32::MAX)).unwrap_or(0)))
        }
        other => other,
    }
}

/// Nobody is there, or everybody.
fn never(ip: IpAddr) -> bool {
    ip.is_unspecified()
        || ip.is_multicast()
        || match ip {
            // 0.0.0.0/8 is this host (RFC 6890), 240.0.0.0/4 is reserved and holds the broadcast address.
            IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.octets()[0] >= 240,
            IpAddr::V6(_) => false,
        }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(allow: &[&str], deny: &[&str], sip: &str) -> Egress {
        let blocks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Block>>();
        let own = Own {
            sip: Some(sip.parse().unwrap()),
            listeners: vec!["0.0.0.0:9000".parse().unwrap(), "10.0.0.5:9100".parse().unwrap()],
            nodes: vec!["10.0.0.1:7000".into(), "http://n2.cluster:7000".into(), "[2001:db8::1]:7000".into()],
        };
        Egress::new(&blocks(allow), &blocks(deny), &own)
    }

    fn allows(egress: &Egress, address: &str) -> bool {
        egress.allows(address.parse().unwrap())
    }

    #[test]
    fn calls_go_anywhere_but_into_the_cluster() {
        let egress = egress(&[], &[], "10.0.0.5");
        for good in ["10.0.0.1:5060", "192.0.2.1:7000", "10.0.0.5:5060", "[2001:db8::1]:5060", "203.0.113.9:9000"] {
            assert!(allows(&egress, good), "{good}");
        }
        for bad in [
            "10.0.0.1:7000",
            "[::ffff:10.0.0.1]:7000",
            "[64:ff9b::10.0.0.1]:7000",
            "[2001:db8::1]:7000",
            "10.0.0.5:9000",
            "10.0.0.5:9100",
            "127.0.0.1:9000",
        ] {
            assert!(!allows(&egress, bad), "{bad}");
        }
    }

    #[test]
    fn nobody_everybody_and_the_machine_itself_are_never_called() {
        let egress = egress(&["0.0.0.0/0", "::/0"], &[], "10.0.0.5");
        for bad in [
            "0.0.0.0:5060",
            "0.1.2.3:5060",
            "[::]:5060",
            "224.0.1.75:5060",
            "[ff02::1]:5060",
            "255.255.255.255:5060",
            "127.0.0.1:5060",
            "[::1]:5060",
            "[::ffff:127.0.0.1]:5060",
            "[64:ff9b::127.0.0.1]:5060",
            "192.0.2.1:0",
        ] {
            assert!(!allows(&egress, bad), "{bad}");
        }
        assert!(allows(&egress, "169.254.1.1:5060"), "allowed by name of its block");
    }

    #[test]
    fn a_gateway_on_loopback_calls_there_but_not_its_own_ports() {
        let egress = egress(&[], &[], "127.0.0.1");
        assert!(allows(&egress, "127.0.0.1:5070"));
        assert!(!allows(&egress, "127.0.0.1:9000"));
        assert!(egress.allows_uri("sip:a@localhost"));
    }

    #[test]
    fn blocks_deny_and_a_list_of_allowed_ones_is_all_there_is() {
        let denied = egress(&[], &["10.0.0.0/8", "fd00::/8"], "192.0.2.5");
        assert!(!allows(&denied, "10.9.9.9:5060") && !allows(&denied, "[fd00::1]:5060"));
        assert!(!allows(&denied, "169.254.169.254:80"));
        assert!(allows(&denied, "192.0.2.1:5060"));
        let allowed = egress(&["10.1.0.0/16"], &["10.0.0.0/8"], "192.0.2.5");
        assert!(allows(&allowed, "10.1.2.3:5060"), "allowed goes before denied");
        assert!(!allows(&allowed, "192.0.2.1:5060"));
    }

    #[test]
    fn a_uri_is_asked_for_by_what_it_leads_to() {
        let egress = egress(&[], &["198.51.100.0/24"], "10.0.0.5");
        for good in [
            "sip:a@192.0.2.1",
            "\"A <b> \\\" <\" <sip:a@192.0.2.1:5070;transport=tcp>;expires=3",
            "sips:a@[2001:db8::9]:5061",
            "sip:10.0.0.1@phone.example.net",
            "sip:a;x=1@192.0.2.1?Replaces=b%40198.51.100.1",
            "sip:a@n2.cluster",
        ] {
            assert!(egress.allows_uri(good), "{good}");
        }
        for bad in [
            "sip:a@198.51.100.1",
            "<sip:a@198.51.100.1;lr>",
            "sip:192.0.2.1@198.51.100.1",
            "sip:a@192.0.2.1;maddr=198.51.100.1",
            "sip:a@192.0.2.1;maddr=127.0.0.1",
            "sip:a@10.0.0.1:7000",
            "sip:a@N2.cluster:7000",
            "sip:a@n2.cluster.:7000",
            "sip:a@localhost",
            "sip:a@192.0.2.1:99999",
            "sip:a@",
            "tel:+49301",
            "http://192.0.2.1",
            "<sip:a@192.0.2.1",
            "\"<sip:a@192.0.2.1>",
            "",
        ] {
            assert!(!egress.allows_uri(bad), "{bad}");
        }
    }

    #[test]
    fn the_cluster_is_known_by_address_and_by_name() {
        let egress = egress(&[], &[], "10.0.0.5");
        for own in ["sip:5000@10.0.0.1:7000", "sip:5000@N2.cluster.:7000", "sip:x@[::ffff:10.0.0.5]:9000"] {
            assert!(egress.is_own(own), "{own}");
        }
        for other in ["sip:5000@10.0.0.1", "sip:5000@cordboard", "tel:5000"] {
            assert!(!egress.is_own(other), "{other}");
        }
    }

    #[test]
    fn sdp_may_say_that_nothing_is_sent() {
        let egress = egress(&[], &[], "10.0.0.5");
        assert!(egress.allows_media("0.0.0.0:4000".parse().unwrap()));
        assert!(egress.allows_media("192.0.2.1:0".parse().unwrap()));
        assert!(!egress.allows_media("10.0.0.1:7000".parse().unwrap()));
        assert!(!egress.allows_media("127.0.0.1:4000".parse().unwrap()));
    }
}
