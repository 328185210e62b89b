//! Which hosts of other nodes live, for the shards that sleep: a beat of a host stands for the heartbeats of all of them.
//! Sends nothing, knows no shard's state.

use std::collections::BTreeMap;

use proto::v1::Beat;

/// Hosts that one node may have; more is garbage.
const HOSTS_MAX: u32 = 4_096;

/// What was heard, in ticks of this host.
#[derive(Debug)]
pub(crate) struct Beats {
    pub(crate) now: u64,
    election_ticks: u64,
    hosts: BTreeMap<u64, u32>,
    heard: BTreeMap<(u64, u32), u64>,
    /// Some host was not heard of for an election's time.
    pub(crate) any_silent: bool,
}

impl Beats {
    pub(crate) fn new(election_ticks: usize) -> Self {
        let (hosts, heard) = (BTreeMap::new(), BTreeMap::new());
        Self { now: 0, election_ticks: election_ticks as u64, hosts, heard, any_silent: false }
    }

    pub(crate) fn tick(&mut self) {
        self.now += 1;
        self.any_silent = self.heard.values().any(|heard| self.now - heard >= self.election_ticks);
    }

    /// False when no honest node says this.
    pub(crate) fn hear(&mut self, node: u64, beat: Beat) -> bool {
        if beat.host >= beat.hosts || beat.hosts > HOSTS_MAX {
            return false;
        }
        if self.hosts.insert(node, beat.hosts) != Some(beat.hosts) {
            self.heard.retain(|(known, _), _| *known != node);
        }
        self.heard.insert((node, beat.host), self.now);
        true
    }

    /// Nodes that nobody asks about any more.
    pub(crate) fn forget_others(&mut self, keep: impl Fn(u64) -> bool) {
        self.hosts.retain(|node, _| keep(*node));
        self.heard.retain(|(node, _), _| keep(*node));
    }

    /// For how many ticks the host that has this shard on that node was not heard of; an election's time when it never was.
    pub(crate) fn silence(&self, node: u64, shard: u32) -> u64 {
        let heard = self.hosts.get(&node).and_then(|hosts| self.heard.get(&(node, shard % hosts)));
        heard.map_or(self.election_ticks, |heard| self.now - heard)
    }

    pub(crate) fn is_silent(&self, node: u64, shard: u32) -> bool {
        self.silence(node, shard) >= self.election_ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELECTION: u64 = 15;

    #[test]
    fn a_shard_hears_the_host_that_has_it_whatever_their_number() {
        let mut beats = Beats::new(ELECTION as usize);
        assert_eq!(beats.silence(2, 7), ELECTION, "never heard of is silent");
        // Node 2 has three hosts: shard 7 is on its number 1. Node 3 has one.
        assert!(beats.hear(2, Beat { host: 1, hosts: 3 }) && beats.hear(3, Beat { host: 0, hosts: 1 }));
        for _ in 0..ELECTION - 1 {
            beats.tick();
        }
        assert!(!beats.is_silent(2, 7) && beats.is_silent(2, 6) && !beats.is_silent(3, 6) && !beats.any_silent);
        assert!(beats.hear(2, Beat { host: 1, hosts: 3 }));
        beats.tick();
        assert!(!beats.is_silent(2, 7) && beats.is_silent(3, 7) && beats.any_silent);
        assert_eq!(beats.silence(2, 7), 1);
    }

    #[test]
    fn a_node_that_comes_back_with_other_hosts_is_heard_anew() {
        let mut beats = Beats::new(ELECTION as usize);
        assert!(beats.hear(2, Beat { host: 0, hosts: 1 }) && !beats.is_silent(2, 3));
        assert!(beats.hear(2, Beat { host: 0, hosts: 2 }));
        assert!(beats.is_silent(2, 3) && !beats.is_silent(2, 4), "its host 1 has said nothing yet");
        beats.forget_others(|node| node != 2);
        assert!(beats.is_silent(2, 4));
    }

    #[test]
    fn what_no_honest_node_says_is_refused() {
        let mut beats = Beats::new(ELECTION as usize);
        for (host, hosts) in [(0, 0), (1, 1), (7, 3), (0, HOSTS_MAX + 1)] {
            assert!(!beats.hear(2, Beat { host, hosts }));
        }
        assert!(beats.is_silent(2, 0));
    }
}
