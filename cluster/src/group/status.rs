//! A replica as seen from outside. Changes nothing.

use raft::{ProgressState, StateRole};

use super::{Group, Seeding};
use crate::Machine;

/// What a replica is within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// What a leader knows of another replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerProgress {
    /// Its node.
    pub node: u64,
    /// The last entry it is known to hold.
    pub matched: u64,
    /// Whether it was heard of within the last election timeout.
    pub active: bool,
    /// Whether it is being sent a snapshot.
    pub snapshot: bool,
}

/// A replica as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// The leader's node, if one is known.
    pub leader: Option<u64>,
    /// Raft's term.
    pub term: u64,
    /// What this replica is.
    pub role: Role,
    /// Leads, and has applied its first entry of the term: all that was ever acknowledged is in the machine.
    pub established: bool,
    /// Last committed index known here.
    pub committed: u64,
    /// Last index in the machine.
    pub applied: u64,
    /// First index of the log in memory.
    pub first: u64,
    /// Last index of the log.
    pub last: u64,
    /// Nodes that vote, as this replica has applied them.
    pub voters: Vec<u64>,
    /// Nodes that voted before a change that is under way; empty when none is.
    pub voters_outgoing: Vec<u64>,
    /// Nodes that only learn.
    pub learners: Vec<u64>,
    /// False until a replica that began empty has what the group had committed; it does not vote before.
    pub seeded: bool,
    /// A snapshot of this replica's state is under way, in slices.
    pub saving: bool,
    /// Neither ticks nor heartbeats: nothing is to be done, and all members know it.
    pub asleep: bool,
    /// The others, in order of node; empty unless this is the leader.
    pub progress: Vec<PeerProgress>,
}

impl<M: Machine> Group<M> {
    pub(crate) fn status(&self) -> GroupStatus {
        let raft = &self.raw.raft;
        let conf_state = self.raw.store().conf_state();
        let mut progress: Vec<_> = if self.is_leader() {
            let others = raft.prs().iter().filter(|(node, _)| **node != raft.id);
            others
                .map(|(node, progress)| PeerProgress {
                    node: *node,
                    matched: progress.matched,
                    active: progress.recent_active,
                    snapshot: progress.state == ProgressState::Snapshot,
                })
                .collect()
        } else {
            Vec::new()
        };
        progress.sort_unstable_by_key(|progress| progress.node);
        GroupStatus {
            leader: self.leader(),
            term: raft.term,
            role: match raft.state {
                StateRole::Follower => Role::Follower,
                StateRole::PreCandidate | StateRole::Candidate => Role::Candidate,
                StateRole::Leader => Role::Leader,
            },
            established: self.is_leader() && self.applied_term == raft.term,
            committed: raft.raft_log.committed,
            applied: self.applied,
            first: self.raw.store().first(),
            last: raft.raft_log.last_index(),
            voters: conf_state.voters.clone(),
            voters_outgoing: conf_state.voters_outgoing.clone(),
            learners: conf_state.learners.clone(),
            seeded: self.seeding == Seeding::Done,
            saving: self.is_saving(),
            asleep: self.is_asleep(),
            progress,
        }
    }
}
