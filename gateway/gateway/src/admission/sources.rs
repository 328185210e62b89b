//! A bucket for each source and each trunk. Bounded: whoever fills the table makes it forget, and the lane's own rate stays.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use crate::tokens::Bucket;

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// An IPv4 address.
    Address(IpAddr),
    /// An IPv6 network of 64 bits: one subscriber has it whole.
    Network(u64),
    /// All addresses of a trunk together, by the hash of its name.
    Trunk(u64),
}

impl Key {
    pub(super) fn of(source: IpAddr) -> Self {
        match source.to_canonical() {
            IpAddr::V6(v6) => Self::Network(network(v6)),
            v4 @ IpAddr::V4(_) => Self::Address(v4),
        }
    }
}

fn network(v6: Ipv6Addr) -> u64 {
    u64::try_from(v6.to_bits() >> 64).unwrap_or(0)
}

/// Two generations, as nothing in them is worth more: when the younger one is full, the elder is forgotten whole.
pub(super) struct Sources {
    most: usize,
    young: HashMap<Key, Account>,
    old: HashMap<Key, Account>,
}

#[derive(Clone, Copy, Default)]
struct Account {
    requests: Option<Bucket>,
    refusals: Option<Bucket>,
}

impl Sources {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), young: HashMap::new(), old: HashMap::new() }
    }

    /// Whether the source may have one more request.
    pub(super) fn admits(&mut self, now_us: u64, key: Key, rate: u32, burst: u32) -> bool {
        let account = self.account(key);
        account.requests.get_or_insert_with(|| Bucket::full(now_us, burst)).take(now_us, rate, burst)
    }

    /// Whether the source is worth one more refusal.
    pub(super) fn hears(&mut self, now_us: u64, key: Key, rate: u32) -> bool {
        let account = self.account(key);
        account.refusals.get_or_insert_with(|| Bucket::full(now_us, rate)).take(now_us, rate, rate)
    }

    fn account(&mut self, key: Key) -> &mut Account {
        if !self.young.contains_key(&key) {
            if self.young.len() >= self.most {
                self.old = std::mem::take(&mut self.young);
            }
            let account = self.old.remove(&key).unwrap_or_default();
            self.young.insert(key, account);
        }
        self.young.entry(key).or_default()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
