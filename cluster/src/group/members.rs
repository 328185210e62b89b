//! Who is in the group: changes asked for, applied, and what they mean for this replica. Decides about no placement.

use raft::INVALID_ID;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};

use super::Group;
use crate::Machine;
use crate::host::{HostConfig, HostCounters, Membership, ProposeError};

/// Voters beyond this many share their patience with others.
pub(super) const RANKS_MAX: usize = 16;

impl<M: Machine> Group<M> {
    /// Steps that are so already are left out. Whatever touches votes is a joint change, which leaves by itself.
    pub(crate) fn change_members(&mut self, steps: &[Membership]) -> Result<(), ProposeError> {
        self.leads()?;
        let conf = self.raw.store().conf_state();
        let raft = &self.raw.raft;
        if raft.has_pending_conf() || raft.lead_transferee.is_some() || !conf.voters_outgoing.is_empty() {
            return Err(ProposeError::Busy);
        }
        let (mut voters, mut learners) = (conf.voters.clone(), conf.learners.clone());
        let mut change = ConfChangeV2::default();
        for step in steps {
            let (kind, node, is_so) = match *step {
                Membership::Learn(node) => (ConfChangeType::AddLearnerNode, node, learners.contains(&node)),
                Membership::Vote(node) => (ConfChangeType::AddNode, node, voters.contains(&node)),
                Membership::Leave(node) => {
                    let is_out = !voters.contains(&node) && !learners.contains(&node);
                    (ConfChangeType::RemoveNode, node, is_out)
                }
            };
            if node == INVALID_ID {
                return Err(ProposeError::Senseless);
            }
            if is_so {
                continue;
            }
            voters.retain(|known| *known != node);
            learners.retain(|known| *known != node);
            match kind {
                ConfChangeType::AddNode => voters.push(node),
                ConfChangeType::AddLearnerNode => learners.push(node),
                ConfChangeType::RemoveNode => {}
            }
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = node;
            change.mut_changes().push(single);
        }
        if change.get_changes().is_empty() {
            return Ok(());
        }
        // A leader without a vote would answer for others alone: the lead goes first, then the vote.
        if !voters.contains(&raft.id) {
            return Err(ProposeError::Senseless);
        }
        voters.sort_unstable();
        if voters != conf.voters {
            change.set_transition(ConfChangeTransition::Implicit);
        }
        self.raw.propose_conf_change(Vec::new(), change).map_err(|_| ProposeError::Busy)
    }

    pub(super) fn apply_conf_change(&mut self, change: &ConfChangeV2, counters: &mut HostCounters) {
        // The same on every replica, so refusing is agreement too.
        let Ok(mut conf_state) = self.raw.apply_conf_change(change) else {
            counters.garbage += 1;
            return;
        };
        // Raft keeps sets; what is stored and shown has an order.
        conf_state.voters.sort_unstable();
        conf_state.learners.sort_unstable();
        conf_state.voters_outgoing.sort_unstable();
        conf_state.learners_next.sort_unstable();
        let (stays, is_joint) = (conf_state.voters.contains(&self.raw.raft.id), !conf_state.voters_outgoing.is_empty());
        self.raw.mut_store().set_conf_state(conf_state);
        self.set_patience();
        if self.is_leader() && !stays {
            // Proposed by a leader before this one. Raft would let it lead on without a vote.
            if is_joint {
                self.transfer(None, counters);
            } else {
                let term = self.raw.raft.term;
                self.raw.raft.become_follower(term, INVALID_ID);
            }
        }
    }

    /// No two voters ask for votes at the same tick, and no dice decide: each waits longer by its rank.
    pub(super) fn set_patience(&mut self) {
        let voters = &self.raw.store().conf_state().voters;
        let own = self.raw.raft.id;
        let rank = voters.iter().filter(|voter| **voter < own).count() + self.shard as usize;
        self.rank = (rank % voters.len().max(1)).min(RANKS_MAX - 1);
    }

    /// Raft draws by dice whenever its role changes; this takes the place of what it drew.
    pub(super) fn be_patient(&mut self, config: &HostConfig) {
        let patience = patience(config, self.rank);
        self.raw.raft.set_randomized_election_timeout(patience);
    }

    /// A leader that came to a joint change in the middle ends it.
    pub(super) fn leave_joint(&mut self) {
        let raft = &self.raw.raft;
        if self.is_leader()
            && !self.raw.store().conf_state().voters_outgoing.is_empty()
            && self.applied_term == raft.term
            && !raft.has_pending_conf()
            && raft.lead_transferee.is_none()
        {
            // Refused by raft when it is under way already.
            let _ = self.raw.propose_conf_change(Vec::new(), ConfChangeV2::default());
        }
    }
}

/// Ticks without a leader until a voter of this rank asks for votes: one more than the lease, so that the others' leases are
/// over when the first one asks.
pub(super) fn patience(config: &HostConfig, rank: usize) -> usize {
    config.election_ticks + 1 + rank * config.election_spread_ticks
}
