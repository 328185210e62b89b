//! An IP address or CIDR block, IPv4 and IPv6 alike. Parsing and membership only.

use std::{net::IpAddr, str::FromStr};

use thiserror::Error;

/// A block of addresses; IPv4 is held as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2), so one comparison serves both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    network: u128,
    mask: u128,
}

/// The text is neither an address nor a block.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is neither an IP address nor a CIDR block")]
pub(crate) struct NotABlock(String);

impl Block {
    /// Whether `ip` is inside.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        mapped(ip) & self.mask == self.network
    }
}

impl FromStr for Block {
    type Err = NotABlock;

    fn from_str(text: &str) -> Result<Self, NotABlock> {
        let wrong = || NotABlock(text.to_owned());
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), |prefix| prefix.parse::<u32>().map_err(|_| wrong()))?;
        if prefix > width {
            return Err(wrong());
        }
        let host_bits = width - prefix;
        let mask = if host_bits == 128 { 0 } else { u128::MAX << host_bits };
        Ok(Self { network: mapped(address) & mask, mask })
    }
}

fn mapped(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(block: &str, ip: &str) -> bool {
        block.parse::<Block>().unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn a_block_holds_its_addresses_and_no_others() {
        assert!(inside("10.0.0.0/8", "10.255.1.2"));
        assert!(!inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("192.0.2.7", "192.0.2.7"));
        assert!(!inside("192.0.2.7", "192.0.2.8"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(!inside("0.0.0.0/0", "2001:db8::1"), "all of IPv4 is not all of IPv6");
        assert!(inside("2001:db8::/32", "2001:db8:1::5"));
        assert!(inside("::/0", "192.0.2.1"));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_self() {
        assert!(inside("127.0.0.0/8", "::ffff:127.0.0.1"));
        assert!(inside("::ffff:127.0.0.1", "127.0.0.1"));
    }

    #[test]
    fn nonsense_is_no_block() {
        for text in ["", "10.0.0.0/33", "example.org", "10.0.0.0/-1", "::1/129", "10.0.0/8"] {
            assert!(text.parse::<Block>().is_err(), "{text}");
        }
    }
}
