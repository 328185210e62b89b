//! What the owner of a replica asks of it: proposals, reads, hand-over. Refused unless it leads.

use std::mem;

use bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};

use super::Group;
use crate::Machine;
use crate::host::{HostConfig, HostCounters, ProposeError};

impl<M: Machine> Group<M> {
    pub(crate) fn propose(&mut self, config: &HostConfig, data: Vec<u8>) -> Result<(), ProposeError> {
        self.leads()?;
        let raft = &self.raw.raft;
        let in_flight = raft.raft_log.last_index() - raft.raft_log.committed + self.queued.len() as u64;
        let bytes = raft.uncommitted_size() + self.queued_bytes + data.len();
        if raft.lead_transferee.is_some()
            || in_flight >= config.proposals_in_flight_max
            || bytes as u64 > config.uncommitted_bytes_max
        {
            return Err(ProposeError::Busy);
        }
        if self.queued_term != raft.term {
            self.queued.clear();
            self.queued_bytes = 0;
            self.queued_term = raft.term;
        }
        self.queued_bytes += data.len();
        self.queued.push(Entry { data: Bytes::from(data), ..Entry::default() });
        Ok(())
    }

    /// All proposals of a burst go into raft as one, so that each follower is sent one message.
    pub(super) fn flush_queued(&mut self, counters: &mut HostCounters) {
        if self.queued.is_empty() {
            return;
        }
        let entries = mem::take(&mut self.queued);
        self.queued_bytes = 0;
        if !self.is_leader() || self.raw.raft.term != self.queued_term {
            // Lost with the leadership, as the role change tells.
            counters.proposals_lost += entries.len() as u64;
            return;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.raw.raft.id;
        message.set_entries(entries.into());
        if self.raw.raft.step(message).is_err() {
            counters.proposals_lost += 1;
        }
    }

    pub(crate) fn read(&mut self, config: &HostConfig, token: u64) -> Result<(), ProposeError> {
        self.leads()?;
        if self.reads.open() >= config.reads_open_max {
            return Err(ProposeError::Busy);
        }
        self.reads.add(token);
        Ok(())
    }

    pub(super) fn leads(&self) -> Result<(), ProposeError> {
        if self.is_leader() { Ok(()) } else { Err(ProposeError::NotLeader { hint: self.leader() }) }
    }

    pub(crate) fn transfer(&mut self, to: Option<u64>, counters: &mut HostCounters) {
        if !self.is_leader() {
            return;
        }
        self.flush_queued(counters);
        let own = self.raw.raft.id;
        let voters = &self.raw.store().conf_state().voters;
        let target = to.filter(|node| voters.contains(node)).or_else(|| {
            let others = self.raw.raft.prs().iter().filter(|(node, _)| **node != own && voters.contains(*node));
            others.max_by_key(|(node, p)| (p.recent_active, p.matched, u64::MAX - **node)).map(|(node, _)| *node)
        });
        if let Some(target) = target.filter(|target| *target != own) {
            self.raw.transfer_leader(target);
        }
    }

    pub(super) fn ask_reads(&mut self) {
        // Raft forgets reads silently until the leader has committed in its own term.
        if self.reads.has_waiting() && self.is_leader() && self.raw.raft.commit_to_current_term() {
            let context = self.reads.ask();
            self.raw.read_index(context);
        }
    }
}
