//! An IP address or CIDR block, IPv4 and IPv6 alike. Parsing and membership only.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr, str::FromStr};

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

/// What belongs to the most specific block of an address. A question costs as many look-ups as there are prefix lengths,
/// however many blocks.
#[derive(Debug, Default)]
pub(crate) struct BlockMap<T> {
    /// The longest prefix first.
    widths: Vec<(u128, HashMap<u128, T>)>,
}

impl<T> BlockMap<T> {
    /// Of two for the same block the first counts.
    pub(crate) fn of(blocks: impl IntoIterator<Item = (Block, T)>) -> Self {
        let mut widths: Vec<(u128, HashMap<u128, T>)> = Vec::new();
        for (block, value) in blocks {
            let at = widths.iter().position(|(mask, _)| *mask == block.mask).unwrap_or_else(|| {
                widths.push((block.mask, HashMap::new()));
                widths.len() - 1
            });
            widths[at].1.entry(block.network).or_insert(value);
        }
        widths.sort_by_key(|(mask, _)| Reverse(*mask));
        Self { widths }
    }

    pub(crate) fn get(&self, ip: IpAddr) -> Option<&T> {
        let ip = mapped(ip);
        self.widths.iter().find_map(|(mask, values)| values.get(&(ip & mask)))
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
    fn the_most_specific_block_counts() {
        let blocks = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.1.2.3/32", "::/0"];
        let blocks = blocks.iter().map(|text| (text.parse::<Block>().unwrap(), *text));
        let map = BlockMap::of(blocks);
        let of = |ip: &str| map.get(ip.parse().unwrap()).copied();
        assert_eq!(of("10.2.0.1"), Some("10.0.0.0/8"));
        assert_eq!(of("10.1.2.4"), Some("10.1.0.0/16"));
        assert_eq!(of("::ffff:10.1.2.3"), Some("10.1.2.3"), "the first of two");
        assert_eq!(of("192.0.2.1"), Some("::/0"));
        assert_eq!(BlockMap::<()>::default().get("::1".parse().unwrap()), None);
    }

    #[test]
    fn nonsense_is_no_block() {
        for text in ["", "10.0.0.0/33", "example.org", "10.0.0.0/-1", "::1/129", "10.0.0/8"] {
            assert!(text.parse::<Block>().is_err(), "{text}");
        }
    }
}
