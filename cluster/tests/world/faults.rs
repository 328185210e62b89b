//! What goes wrong in the seeded world, and what changes in it on purpose.

use std::collections::BTreeSet;

use cluster::{Membership, ProposeError};

use super::{Event, Node, SHARD, World};

impl World {
    pub(crate) fn crash(&mut self, at: usize) {
        self.say(|| format!("n{} crashes", at + 1));
        let survivors = self.dice.usize(0..=self.nodes[at].store.staged());
        let torn = self.dice.bool();
        let seed = self.seed;
        self.counts.between.crashes += u64::from(self.nodes[at].is_saving());
        self.counts.asleep.crashes += u64::from(self.is_asleep(at));
        self.count_silences(at);
        let node = &mut self.nodes[at];
        node.host = None;
        node.life += 1;
        node.paused_until = 0;
        node.writing.clear();
        node.store.crash(survivors, torn).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for other in (0..self.size()).filter(|other| *other != at) {
            if self.chance(50)
                && let Some(host) = &mut self.nodes[other].host
            {
                host.unreachable(at as u64 + 1);
                self.nodes[other].touched = true;
            }
        }
        self.oracle.forget_reads(at);
        self.clients.give_up(self.now, Some(at));
        self.counts.crashes += 1;
    }

    /// A new disk. What the old one had sent is gone too: no network delays for as long as a disk is replaced.
    pub(crate) fn wipe(&mut self, at: usize) {
        self.say(|| format!("n{} is wiped", at + 1));
        self.crash(at);
        self.nodes[at].store.wipe();
        self.nodes[at].has_lost_its_disk = true;
        // A cluster whose members have changed does not tell a new disk whom it was founded by.
        self.nodes[at].is_founder &= !self.changes_members;
        self.agenda.forget_messages_of(at);
        self.counts.wipes += 1;
    }

    /// A lost disk is a failure that lasts until the replica is seeded again: one at a time, and never while another is
    /// down, nor while the members change.
    pub(crate) fn may_wipe(&self) -> bool {
        // Whoever anybody takes for a voter, for the leader that is found may be an old one.
        let mut voters = BTreeSet::new();
        for status in self.nodes.iter().filter_map(Node::status) {
            if !status.voters_outgoing.is_empty() {
                return false;
            }
            voters.extend(status.voters);
        }
        // An old leader that stands still and a lost disk are two failures.
        let all_run = self.nodes.iter().all(|node| node.runs(self.now));
        all_run
            && self.leader().is_some()
            && voters.into_iter().all(|node| self.status(node as usize - 1).is_some_and(|status| status.seeded))
    }

    /// The process stands still: it hears all of it later.
    pub(crate) fn pause(&mut self, at: usize, ms: u64) {
        if self.nodes.iter().any(|node| node.has_lost_its_disk) {
            return;
        }
        self.say(|| format!("n{} stands still for {ms} ms", at + 1));
        self.nodes[at].paused_until = self.now + ms;
        // Asked before it hears what it has missed.
        (0..3).for_each(|_| self.schedule(ms, Event::Ask { at }));
        self.counts.pauses += 1;
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, both: bool) {
        self.say(|| format!("n{} to n{} is cut, both ways {both}", from + 1, to + 1));
        self.wires.cut(from, to, both);
        if self.chance(50)
            && let Some(host) = &mut self.nodes[from].host
        {
            host.unreachable(to as u64 + 1);
            self.nodes[from].touched = true;
        }
    }

    pub(crate) fn heal(&mut self) {
        self.say(|| "all wires are whole".into());
        self.wires.heal();
    }

    pub(crate) fn hand_over(&mut self, at: usize) {
        if let Some(host) = self.nodes[at].host.as_mut() {
            host.transfer_leadership(SHARD, None);
            self.nodes[at].touched = true;
        }
    }

    pub(crate) fn hand_over_to(&mut self, at: usize, to: usize) {
        if let Some(host) = self.nodes[at].host.as_mut() {
            host.transfer_leadership(SHARD, Some(to as u64 + 1));
            self.nodes[at].touched = true;
        }
    }

    /// A change that is asked of a node.
    pub(crate) fn change(&mut self, at: usize, steps: &[Membership]) -> Result<(), ProposeError> {
        self.nodes[at].touched = true;
        self.nodes[at].host.as_mut().expect("it is up").change_members(SHARD, steps)
    }

    /// One change of members that an operator or the steward could ask for.
    pub(crate) fn change_members(&mut self) {
        let Some(leader) = self.leader() else { return };
        let status = self.status(leader).expect("it leads");
        let any = |dice: &mut fastrand::Rng, nodes: &[u64]| {
            if nodes.is_empty() { None } else { Some(nodes[dice.usize(0..nodes.len())]) }
        };
        let outside: Vec<u64> = (1..=self.size() as u64)
            .filter(|node| !status.voters.contains(node) && !status.learners.contains(node))
            .collect();
        let caught_up = |node: &u64| {
            status.progress.iter().any(|progress| progress.node == *node && progress.matched + 20 >= status.committed)
        };
        let ready: Vec<u64> = status.learners.iter().copied().filter(caught_up).collect();
        let (outside, ready) = (any(&mut self.dice, &outside), any(&mut self.dice, &ready));
        let leaver = any(&mut self.dice, &status.voters);
        let steps = match (self.dice.u8(0..6), outside, ready, leaver) {
            (0..=1, Some(node), ..) => vec![Membership::Learn(node)],
            (2, _, Some(node), _) => vec![Membership::Vote(node)],
            // One takes the place of another, in one step.
            (3..=4, _, Some(node), Some(leaver)) => vec![Membership::Vote(node), Membership::Leave(leaver)],
            (5, _, _, Some(leaver)) if status.voters.len() > 3 => vec![Membership::Leave(leaver)],
            (5, _, Some(node), _) => vec![Membership::Leave(node)],
            _ => return,
        };
        let host = self.nodes[leader].host.as_mut().expect("it leads");
        if host.change_members(SHARD, &steps).is_ok() {
            self.counts.changes += 1;
            self.nodes[leader].touched = true;
            self.say(|| format!("n{} changes the members: {steps:?}", leader + 1));
        } else if let Some(leaver) = leaver
            && leaver == leader as u64 + 1
        {
            self.hand_over(leader);
        }
    }
}
