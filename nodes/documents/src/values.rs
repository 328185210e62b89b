//! Values with a form of their own: contacts, networks, credentials. Each says what is wrong; none looks anything up.

use std::net::IpAddr;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::limits::{
    CODE_DIGITS_MAX, CONTACT_CHARS_MAX, DOMAIN_CHARS_MAX, ENDPOINT_CHARS_MAX, LABEL_CHARS_MAX, LOGIN_CHARS_MAX,
};

/// The realm that agents' credentials are hashed with.
pub const REALM: &str = "cordboard";

/// What a contact looks like, in words.
pub(super) const CONTACT_ALLOWED: &str =
    "sip:user@ADDRESS, sip:user@ADDRESS:port, with ;transport=udp or ;transport=tcp";

/// RFC 3261 section 19.1, as far as an agent's static contact needs it.
pub(super) fn check_contact(text: &str) -> Result<(), &'static str> {
    if text.len() > CONTACT_CHARS_MAX {
        return Err("is longer than 255 characters");
    }
    let (scheme, rest) = text.split_once(':').ok_or("is not a SIP URI")?;
    if scheme.eq_ignore_ascii_case("sips") {
        return Err("sips is not supported");
    }
    if !scheme.eq_ignore_ascii_case("sip") {
        return Err("is not a SIP URI");
    }
    if rest.bytes().any(|byte| !byte.is_ascii_graphic() || b"<>\"{}|\\^`".contains(&byte)) {
        return Err("has a character that a SIP URI cannot have");
    }
    if rest.contains('?') {
        return Err("must not have headers (?)");
    }
    let place = match rest.rsplit_once('@') {
        Some((user, place)) => {
            check_user(user)?;
            place
        }
        None => rest,
    };
    let mut parts = place.split(';');
    check_host_port(parts.next().unwrap_or_default())?;
    parts.try_for_each(check_parameter)
}

fn check_user(user: &str) -> Result<(), &'static str> {
    // RFC 3261 section 25.1: unreserved / escaped / user-unreserved. A password in a URI is refused.
    let mut bytes = user.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            other => other.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;/".contains(&other),
        };
        if !fine {
            return Err("the user has a character that must be escaped");
        }
    }
    if user.is_empty() { Err("has no user before the @") } else { Ok(()) }
}

fn check_host_port(text: &str) -> Result<(), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("has a [ without ]")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| "the host is not an IPv6 address")?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or("has something other than a port after the host")?),
        };
        (None, port)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        }
    };
    if let Some(host) = host {
        check_host(host)?;
    }
    match port {
        None => Ok(()),
        Some(port) if is_port(port) => Ok(()),
        Some(_) => Err("the port is not 1 to 65535"),
    }
}

/// An address: gateways look no names up in this release, so a name could only ever be unreachable.
fn check_host(host: &str) -> Result<(), &'static str> {
    match host {
        "" => Err("has no host"),
        _ if host.parse::<std::net::Ipv4Addr>().is_err() => Err("the host is not an IP address"),
        _ => Ok(()),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn check_parameter(text: &str) -> Result<(), &'static str> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("has an empty parameter");
    }
    let known = ["udp", "tcp"].iter().any(|transport| value.eq_ignore_ascii_case(transport));
    if name.eq_ignore_ascii_case("transport") && !known {
        return Err("the transport is not supported");
    }
    Ok(())
}

/// What a trunk's address looks like, in words.
pub(super) const NETWORK_ALLOWED: &str = "an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32";

/// An IP address, or a network in CIDR form with no bits beyond its prefix. The Ok is the canonical text.
pub(super) fn check_network(text: &str) -> Result<String, String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| "is not an IP address".to_owned())?;
    let Some(prefix) = prefix else { return Ok(address.to_string()) };
    let (bits, width) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse::<u32>().ok().filter(|prefix| digits && *prefix <= width);
    let prefix = prefix.ok_or_else(|| format!("the prefix length is not 0 to {width}"))?;
    let kept = bits & u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    if kept != bits {
        let network = match address {
            IpAddr::V4(_) => IpAddr::from(u32::try_from(kept >> 96).unwrap_or(0).to_be_bytes()),
            IpAddr::V6(_) => IpAddr::from(kept.to_be_bytes()),
        };
        return Err(format!("has bits beyond its prefix; the network is {network}/{prefix}"));
    }
    Ok(format!("{address}/{prefix}"))
}

/// What a host to call out to looks like, in words.
pub(super) const HOST_ALLOWED: &str = "an address or a name, such as 192.0.2.7, 2001:db8::7 or sip.example.net";

/// An address, or a name that DNS can be asked for.
pub(super) fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_domain(text)
}

/// What a domain looks like, in words.
pub(super) const DOMAIN_ALLOWED: &str = "a name or an IPv4 address, such as sip.example.net";

/// RFC 3261 section 25.1 `hostname` or `IPv4address`: the last label of a name begins with a letter, so what looks like
/// an address is one.
pub(super) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let named = last.starts_with(|first: char| first.is_ascii_alphabetic()) && text.split('.').all(label);
    text.len() <= DOMAIN_CHARS_MAX && (named || text.parse::<std::net::Ipv4Addr>().is_ok())
}

/// Whether `text` is `sip:user@domain` and nothing more (RFC 3261 section 10.1).
pub(super) fn is_aor(text: &str) -> bool {
    let parts = text.strip_prefix("sip:").and_then(|rest| rest.rsplit_once('@'));
    text.len() <= CONTACT_CHARS_MAX
        && parts.is_some_and(|(user, domain)| check_user(user).is_ok() && !user.contains(';') && is_domain(domain))
}

/// Whether `text` may stand between the quotes of a digest (RFC 3261 section 25.1) as it is.
pub(super) fn is_quotable(text: &str) -> bool {
    (1..=LOGIN_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| (byte == b' ' || byte.is_ascii_graphic()) && !b"\"\\".contains(&byte))
}

/// What a star code looks like, in words.
pub(super) const CODE_ALLOWED: &str = "a star and 1 to 4 digits, such as *8";

/// Whether `text` may be pressed to transfer a call.
pub(super) fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix('*').unwrap_or_default();
    (1..=CODE_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a chooser's endpoint looks like, in words.
pub(super) const ENDPOINT_ALLOWED: &str = "http://HOST:PORT";

/// Whether `text` may be called over gRPC: a host and a port, and nothing after them.
pub(super) fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.strip_prefix("http://").and_then(|rest| rest.rsplit_once(':')) else { return false };
    let named = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let addressed = bracketed.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    text.len() <= ENDPOINT_CHARS_MAX && (named || addressed) && is_port(port)
}

/// HA1 of RFC 7616 section 3.4.2 in both digests: MD5 and SHA-256 of user, realm and password.
pub(super) fn hash_password(user: &str, realm: &str, password: &str) -> (Vec<u8>, Vec<u8>) {
    let text = format!("{user}:{realm}:{password}");
    (Md5::digest(text.as_bytes()).to_vec(), Sha256::digest(text.as_bytes()).to_vec())
}

/// Bytes of hex digits; None when it is not exactly `bytes` of them.
pub(super) fn from_hex(text: &str, bytes: usize) -> Option<Vec<u8>> {
    if text.len() != bytes * 2 || !text.is_ascii() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Hex digits of bytes.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
