//! What must always hold, told by what the nodes do. Knows nothing of how they do it.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Applied, RoleChange};

use super::ledger::{Ledger, Line};

pub(crate) struct Oracle {
    seed: u64,
    /// The one history: what every replica must have at an index.
    history: BTreeMap<u64, Line>,
    leaders: BTreeMap<u64, usize>,
    proposed: BTreeSet<(usize, u64)>,
    /// Command ids that their proposer saw applied, and where.
    acknowledged: BTreeMap<u64, u64>,
    acknowledged_index: u64,
    /// Open reads: node and token, and the last acknowledged index when it was asked.
    reads: BTreeMap<(usize, u64), u64>,
    answered: BTreeSet<u64>,
}

impl Oracle {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            history: BTreeMap::new(),
            leaders: BTreeMap::new(),
            proposed: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            acknowledged_index: 0,
            reads: BTreeMap::new(),
            answered: BTreeSet::new(),
        }
    }

    pub(crate) fn role(&mut self, at: usize, role: &RoleChange) {
        if role.is_leader {
            let leader = *self.leaders.entry(role.term).or_insert(at);
            assert_eq!(leader, at, "seed {}: two leaders in term {}", self.seed, role.term);
        }
    }

    pub(crate) fn proposed(&mut self, at: usize, id: u64) {
        self.proposed.insert((at, id));
    }

    pub(crate) fn applied(&mut self, at: usize, entry: &Applied<Line>) {
        let line = *self.history.entry(entry.index).or_insert(entry.output);
        assert_eq!(line, entry.output, "seed {}: index {} differs on node {}", self.seed, entry.index, at + 1);
        if self.proposed.remove(&(at, entry.output.id)) {
            self.acknowledged.insert(entry.output.id, entry.index);
            self.acknowledged_index = self.acknowledged_index.max(entry.index);
        }
    }

    pub(crate) fn state(&self, machine: &Ledger) {
        if let Some(line) = self.history.get(&machine.last_index) {
            assert_eq!(line.hash, machine.hash, "seed {}: states differ at {}", self.seed, machine.last_index);
        }
    }

    pub(crate) fn asked(&mut self, at: usize, token: u64) {
        self.reads.insert((at, token), self.acknowledged_index);
    }

    pub(crate) fn read_failed(&mut self, at: usize, token: u64) {
        let known = self.reads.remove(&(at, token));
        assert!(known.is_some(), "seed {}: read {token} ended twice", self.seed);
    }

    pub(crate) fn answered(&mut self, at: usize, token: u64, machine: &Ledger) {
        let floor = self.reads.remove(&(at, token));
        let floor = floor.unwrap_or_else(|| panic!("seed {}: read {token} ended twice", self.seed));
        assert!(
            machine.last_index >= floor,
            "seed {}: a read saw {} after {floor} was acknowledged",
            self.seed,
            machine.last_index
        );
        self.answered.insert(token);
    }

    pub(crate) fn forget_reads(&mut self, at: usize) {
        self.reads.retain(|(node, _), _| *node != at);
        self.proposed.retain(|(node, _)| *node != at);
    }

    pub(crate) fn last_acknowledged(&self) -> u64 {
        self.acknowledged.last_key_value().map_or(0, |(id, _)| *id)
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    pub(crate) fn reads_since(&self, id: u64) -> bool {
        self.answered.range(id..).next().is_some()
    }

    pub(crate) fn answered_reads(&self) -> usize {
        self.answered.len()
    }

    pub(crate) fn finish<'a>(&self, machines: impl Iterator<Item = &'a Ledger>) {
        for machine in machines {
            let ids: BTreeSet<u64> = machine.ids.iter().copied().collect();
            assert_eq!(ids.len(), machine.ids.len(), "seed {}: a command was applied twice", self.seed);
            for (id, index) in &self.acknowledged {
                assert!(ids.contains(id), "seed {}: acknowledged command {id} at {index} is lost", self.seed);
            }
        }
    }
}
