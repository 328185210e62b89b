//! Whether a replica may vote: one whose disk is empty may have lost what it once acknowledged. Sends nothing.

use std::mem;

use raft::eraftpb::{Message, MessageType};

use super::Group;
use crate::Machine;
use crate::store::BOOTSTRAP_INDEX;

/// A replica that may have lost its disk believes no leader before it is so many elections old. The disk may have
/// acknowledged things to a later leader than the one that speaks first, or after what it says was sent. By then an old
/// leader has stepped down, for it hears no majority, and no message is on its way for so long.
const ELECTIONS_UNTIL_BELIEF: u64 = 4;

/// Whether this is a group's very first word: nothing can have been lost then.
pub(super) fn begins_the_group(message: &Message) -> bool {
    let committed = message.commit.max(message.get_snapshot().get_metadata().index);
    let first = message.entries.first().is_some_and(|entry| entry.term == message.term);
    committed <= BOOTSTRAP_INDEX && message.index == BOOTSTRAP_INDEX && first
}

/// Whether this replica may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seeding {
    Done,
    /// Nothing heard from a leader yet.
    Unknown,
    /// The leader's first entry is the group's first: there is nothing that this replica could have lost.
    First,
    /// A leader said this much was committed, and the lost disk may have acknowledged it. A new leader does not know
    /// yet how much is committed, so an entry of its own term must be, too.
    Until(u64),
}

impl<M: Machine> Group<M> {
    /// Whether what a leader says may be believed by a replica that knows nothing. What others say always may.
    pub(super) fn may_believe(&self, message: &Message) -> bool {
        let begun = match message.get_msg_type() {
            MessageType::MsgAppend | MessageType::MsgHeartbeat => message.commit > BOOTSTRAP_INDEX,
            MessageType::MsgSnapshot => true,
            _ => return true,
        };
        let is_founder = !self.raw.store().conf_state().voters.is_empty();
        (is_founder && !begun) || self.age_ticks > ELECTIONS_UNTIL_BELIEF * self.raw.raft.election_timeout() as u64
    }

    /// An empty replica cannot tell a group's first hour from the loss of its own disk. What it may have acknowledged is
    /// in the log of an older member, so it helps only those to power that have nothing either.
    pub(super) fn may_vote_unseeded(&self, request: &Message) -> bool {
        let raft = &self.raw.raft;
        let voters = raft.prs().conf().voters().ids().len();
        if voters == 0 {
            // Not of the first hour, or a disk that was one and is lost: it waits to be told.
            return false;
        }
        if voters.is_multiple_of(2) {
            // Half with the first entry and half without must not wait for each other for ever.
            return request.commit <= BOOTSTRAP_INDEX;
        }
        raft.raft_log.last_index() <= BOOTSTRAP_INDEX && request.index <= BOOTSTRAP_INDEX
    }

    /// True once: when this replica has all that the group had committed when it came.
    pub(super) fn just_seeded(&mut self) -> bool {
        let done = match self.seeding {
            Seeding::Done => true,
            Seeding::Unknown => self.is_leader(),
            Seeding::First => self.raw.raft.raft_log.last_index() > BOOTSTRAP_INDEX,
            Seeding::Until(committed) => {
                let raft = &self.raw.raft;
                self.is_leader() || (raft.raft_log.committed >= committed && raft.commit_to_current_term())
            }
        };
        if done {
            self.seeding = Seeding::Done;
        }
        done && !mem::replace(&mut self.seeded_written, done)
    }
}
