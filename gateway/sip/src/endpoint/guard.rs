//! Passwords cannot be tried without end: failed logins are counted per source and per user, in a window.
//! Never asks whether a user exists; what is counted and answered is the same for those who do not.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use crate::config::Limits;
use crate::types::Millis;

/// Who failed. A user is kept as a keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Source(IpAddr),
    User(u64),
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    /// When it is forgotten.
    until: Millis,
}

/// The failed logins of a lane.
#[derive(Debug, Default)]
pub(super) struct Guard {
    counts: BTreeMap<Who, Count>,
    /// In the order in which they are forgotten; never longer than `counts`.
    order: VecDeque<(Millis, Who)>,
}

impl Guard {
    /// Whether a login from there as this user is not even looked at. A user that others guess at is only closed to
    /// sources that have failed themselves: nobody can lock somebody out.
    pub(super) fn is_closed(&self, now: Millis, source: IpAddr, user: u64, limits: &Limits) -> bool {
        let failures = |who| self.counts.get(&who).filter(|count| now < count.until).map_or(0, |count| count.failures);
        let own = failures(Who::Source(network(source)));
        own >= limits.source_failures_max || (own > 0 && failures(Who::User(user)) >= limits.user_failures_max)
    }

    /// A login failed.
    pub(super) fn failed(&mut self, now: Millis, source: IpAddr, user: u64, limits: &Limits) {
        self.forget(now);
        for who in [Who::Source(network(source)), Who::User(user)] {
            if let Some(count) = self.counts.get_mut(&who) {
                count.failures = count.failures.saturating_add(1);
                continue;
            }
            // Full: the oldest goes, it would be the next to be forgotten anyway.
            while self.counts.len() >= limits.failures_max {
                let Some((_, oldest)) = self.order.pop_front() else { return };
                self.counts.remove(&oldest);
            }
            let until = now.plus(limits.failure_window_ms);
            self.counts.insert(who, Count { failures: 1, until });
            self.order.push_back((until, who));
        }
    }

    fn forget(&mut self, now: Millis) {
        while let Some((_, who)) = self.order.front().filter(|(until, _)| *until <= now).copied() {
            self.order.pop_front();
            self.counts.remove(&who);
        }
    }
}

/// A household has a whole /64 of IPv6 (RFC 4291 2.5.4).
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits = || Limits {
        source_failures_max: 3,
        user_failures_max: 2,
        failures_max: 10,
        failure_window_ms: 60_000,
        ..Limits::default()
    };

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn who_fails_too_often_is_not_looked_at_for_a_while() {
        let (mut guard, limits) = (Guard::default(), LIMITS());
        for user in 0..3 {
            assert!(!guard.is_closed(Millis(0), ip(1), user, &limits));
            guard.failed(Millis(0), ip(1), user, &limits);
        }
        assert!(guard.is_closed(Millis(1), ip(1), 99, &limits));
        assert!(!guard.is_closed(Millis(1), ip(2), 99, &limits));
        assert!(!guard.is_closed(Millis(60_000), ip(1), 99, &limits));
    }

    #[test]
    fn many_sources_cannot_guess_at_one_user_nor_lock_it_out() {
        let (mut guard, limits) = (Guard::default(), LIMITS());
        guard.failed(Millis(0), ip(1), 7, &limits);
        guard.failed(Millis(0), ip(2), 7, &limits);
        assert!(guard.is_closed(Millis(1), ip(1), 7, &limits));
        assert!(!guard.is_closed(Millis(1), ip(3), 7, &limits), "the user's own phone");
        let house = |n: u128| IpAddr::from(Ipv6Addr::from((0x2001_0db8_u128 << 96) | n));
        guard.failed(Millis(0), house(1), 8, &limits);
        guard.failed(Millis(0), house(2), 8, &limits);
        assert!(guard.is_closed(Millis(1), house(3), 8, &limits));
    }

    #[test]
    fn its_memory_is_bounded() {
        let (mut guard, limits) = (Guard::default(), LIMITS());
        for n in 0..10_000 {
            guard.failed(Millis(u64::from(n)), ip(n), u64::from(n), &limits);
            assert!(guard.counts.len() <= 10 && guard.order.len() == guard.counts.len());
        }
    }
}
