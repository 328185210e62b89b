//! A peer's message on its way into raft, and the words that raft alone would stumble over.

use raft::eraftpb::{Message, MessageType};
use raft::{ProgressState, StateRole};

use super::seeding::begins_the_group;
use super::{Group, Seeding};
use crate::Machine;
use crate::admit::admit;
use crate::host::Beats;

impl<M: Machine> Group<M> {
    /// A peer's message. False when it is not one that a peer may send.
    pub(crate) fn step(&mut self, mut message: Message, node: u64, beats: &Beats) -> bool {
        if !admit(&message, node) {
            return false;
        }
        if self.seeding == Seeding::Unknown && !self.may_believe(&message) {
            return true;
        }
        self.stir_by(&message, beats);
        let raft = &self.raw.raft;
        let (from, term, mut lost) = (message.from, message.term, 0);
        match message.get_msg_type() {
            MessageType::MsgHeartbeat if message.commit > raft.raft_log.last_index() => {
                // This disk has lost what the leader was told it has; raft would panic. Committing less is safe, and
                // committing up to our own end is not, for that end may be another history.
                lost = message.commit;
                message.commit = 0;
            }
            MessageType::MsgAppendResponse => {
                if message.index > raft.raft_log.last_index() && message.term == raft.term {
                    return false;
                }
                if message.reject && self.forget_progress(&message) {
                    return true;
                }
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
                if self.seeding != Seeding::Done && !self.may_vote_unseeded(&message) =>
            {
                return true;
            }
            MessageType::MsgTimeoutNow if self.seeding != Seeding::Done || self.restoring.is_some() => return true,
            MessageType::MsgAppend | MessageType::MsgSnapshot
                if self.seeding == Seeding::Unknown && message.term >= raft.term =>
            {
                let committed = message.commit.max(message.get_snapshot().get_metadata().index);
                self.seeding = if begins_the_group(&message) { Seeding::First } else { Seeding::Until(committed) };
            }
            _ => {}
        }
        // What raft refuses here is stale or from a node that is no longer in the group.
        let _ = self.raw.step(message);
        if lost > 0 && self.raw.raft.term == term && self.raw.raft.leader_id == from {
            self.say_what_is_lost(from, lost);
        }
        true
    }

    /// In a shard where nothing happens no append would ever show the leader that this replica is not what it was.
    fn say_what_is_lost(&mut self, leader: u64, lost: u64) {
        let raft = &mut self.raw.raft;
        let mut refusal = Message::default();
        refusal.set_msg_type(MessageType::MsgAppendResponse);
        (refusal.from, refusal.to, refusal.term) = (raft.id, leader, raft.term);
        refusal.index = lost;
        refusal.reject = true;
        refusal.reject_hint = raft.raft_log.last_index();
        raft.msgs.push(refusal);
    }

    /// A follower that refuses below what it once acknowledged has lost its log. Raft would ignore it for ever; begin
    /// again with it. A late refusal does the same and costs one round.
    fn forget_progress(&mut self, refusal: &Message) -> bool {
        let raft = &mut self.raw.raft;
        if raft.state != StateRole::Leader || refusal.term != raft.term {
            return false;
        }
        let Some(progress) = raft.mut_prs().get_mut(refusal.from) else { return false };
        if refusal.reject_hint >= progress.matched || progress.state == ProgressState::Snapshot {
            return false;
        }
        progress.matched = 0;
        progress.become_probe();
        progress.next_idx = refusal.reject_hint + 1;
        progress.recent_active = true;
        raft.send_append(refusal.from);
        true
    }
}
