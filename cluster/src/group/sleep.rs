//! Sleep of an idle group: no ticks and no heartbeats, until anything happens. Decides nothing about the log.
//!
//! The leader offers sleep when every member holds exactly its log and nothing is under way; it sleeps when every member
//! has said that it does. From then on the beats of whole hosts stand for heartbeats: a replica wakes when a host that it
//! depends on is silent for an election's time, and it then stands where it would have stood with heartbeats, so leases and
//! the check of the quorum are as old as what was really heard. A beat says that a host lives, not that it still leads. So a
//! sleeping leader looks after its members about once a second, and a sleeping follower that is not looked after wakes.
//! Nothing that is promised hangs on any of this: votes, commits and reads need their majorities as always.

use proto::v1::Sleep;
use raft::eraftpb::{Message, MessageType};
use raft::{ProgressState, StateRole};

use super::{Group, Seeding};
use crate::host::{Beats, HostConfig};
use crate::{Machine, PeerMessage};

/// A follower that was not looked after for so many looks wakes.
const LOOKS_MISSED_MAX: u64 = 3;

/// How awake a replica is.
#[derive(Debug, Default)]
pub(super) struct Drowsiness {
    pub(super) asleep: bool,
    /// Ticks in which nothing was to be done.
    idle_ticks: u64,
    /// Members that sleep, as they said since something was last to be done.
    agreed: Vec<u64>,
    /// Members that have answered the last look; `None` before the first one of this sleep.
    answered: Option<Vec<u64>>,
    /// When the leader was last heard of in this group.
    last_word: u64,
}

impl<M: Machine> Group<M> {
    /// Something is to be done.
    pub(crate) fn stir(&mut self, beats: &Beats) {
        self.wake(beats);
        self.drowsiness.idle_ticks = 0;
        self.drowsiness.agreed.clear();
    }

    /// Something is to be done if this replica leads; a follower that was asked in error sleeps on.
    pub(crate) fn stir_leader(&mut self, beats: &Beats) {
        if self.is_leader() {
            self.stir(beats);
        }
    }

    /// What a message does to sleep. Heartbeats of the leader that is known, and their answers, disturb nobody.
    pub(super) fn stir_by(&mut self, message: &Message, beats: &Beats) {
        let raft = &self.raw.raft;
        let same_term = message.term == raft.term;
        match message.get_msg_type() {
            MessageType::MsgHeartbeat
                if same_term && message.from == raft.leader_id && message.commit <= raft.raft_log.committed =>
            {
                self.drowsiness.last_word = beats.now;
            }
            MessageType::MsgHeartbeatResponse if same_term && self.is_leader() => {
                if let Some(answered) = &mut self.drowsiness.answered {
                    answered.push(message.from);
                }
            }
            _ => self.stir(beats),
        }
    }

    /// A tick of an awake replica: a leader with nothing to do offers sleep, and sleeps when all do.
    pub(super) fn doze(&mut self, config: &HostConfig, beats: &Beats, out: &mut Vec<(u64, PeerMessage)>) {
        if !self.is_leader() || !self.is_idle(config) {
            self.drowsiness.idle_ticks = 0;
            self.drowsiness.agreed.clear();
            return;
        }
        self.drowsiness.idle_ticks += 1;
        let over = self.drowsiness.idle_ticks.saturating_sub(config.sleep_after_ticks);
        if over == 0 {
            return;
        }
        let last = self.raw.raft.raft_log.last_index();
        let mut all = true;
        for (node, progress) in self.raw.raft.prs().iter() {
            if *node == self.raw.raft.id {
                continue;
            }
            if progress.matched != last || progress.state == ProgressState::Snapshot {
                self.drowsiness.idle_ticks = 0;
                self.drowsiness.agreed.clear();
                return;
            }
            let agreed = self.drowsiness.agreed.contains(node);
            all &= agreed && !beats.is_silent(*node, self.shard);
            if !agreed && over % config.heartbeat_ticks.max(1) as u64 == 1 {
                out.push((*node, self.sleep_message()));
            }
        }
        if all {
            self.fall_asleep(beats);
        }
    }

    /// The leader offers sleep, or a member says that it does.
    pub(crate) fn step_sleep(
        &mut self,
        config: &HostConfig,
        beats: &Beats,
        from: u64,
        word: Sleep,
        out: &mut Vec<(u64, PeerMessage)>,
    ) {
        let raft = &self.raw.raft;
        if word.term != raft.term || word.last != raft.raft_log.last_index() {
            return;
        }
        if self.is_leader() {
            if raft.prs().get(from).is_some() && !self.drowsiness.asleep && !self.drowsiness.agreed.contains(&from) {
                self.drowsiness.agreed.push(from);
            }
        } else if raft.state == StateRole::Follower && raft.leader_id == from {
            if !self.drowsiness.asleep && self.is_idle(config) && !beats.is_silent(from, self.shard) {
                self.fall_asleep(beats);
            }
            if self.drowsiness.asleep {
                out.push((from, self.sleep_message()));
            }
        }
    }

    fn sleep_message(&self) -> PeerMessage {
        let sleep = Sleep { term: self.raw.raft.term, last: self.raw.raft.raft_log.last_index() };
        PeerMessage { shard: self.shard, sleep: Some(sleep), ..PeerMessage::default() }
    }

    /// Nothing is under way, and nothing that is here waits for somebody.
    fn is_idle(&self, config: &HostConfig) -> bool {
        let raft = &self.raw.raft;
        let last = raft.raft_log.last_index();
        let leads = !self.is_leader() || (self.applied_term == raft.term && raft.lead_transferee.is_none());
        leads
            && self.seeding == Seeding::Done
            && raft.raft_log.committed == last
            && self.applied == last
            && self.queued.is_empty()
            && self.outstanding.is_empty()
            && self.held.is_empty()
            && self.restoring.is_none()
            && self.reads.open() == 0
            && !self.is_saving()
            && self.taking.is_none()
            && !self.is_due(config)
            && !self.raw.store().offers()
            && self.raw.store().conf_state().voters_outgoing.is_empty()
    }

    fn fall_asleep(&mut self, beats: &Beats) {
        self.drowsiness = Drowsiness { asleep: true, last_word: beats.now, ..Drowsiness::default() };
        let own = self.raw.raft.id;
        let others = self.raw.raft.mut_prs().iter_mut().filter(|(node, _)| **node != own);
        for (_, progress) in others {
            progress.recent_active = true;
            // One that was out of reach is probed until the next entry; it holds everything, so the next one may go at once.
            if progress.state == ProgressState::Probe {
                progress.become_replicate();
            }
        }
    }

    /// A tick of a sleeping replica. True when it is to wake now.
    pub(crate) fn should_wake(&mut self, config: &HostConfig, beats: &Beats) -> bool {
        let raft = &self.raw.raft;
        if beats.any_silent {
            let silent = |node: u64| node != raft.id && beats.is_silent(node, self.shard);
            let missed = if self.is_leader() {
                raft.prs().iter().any(|(node, _)| silent(*node))
            } else {
                silent(raft.leader_id)
            };
            if missed {
                return true;
            }
        }
        if !self.is_leader() {
            return beats.now - self.drowsiness.last_word > LOOKS_MISSED_MAX * config.look_ticks;
        }
        // With the beats, so that it costs no burst of its own.
        let beat = config.heartbeat_ticks.max(1) as u64;
        let looks = (config.look_ticks / beat).max(1);
        if !beats.now.is_multiple_of(beat) || !(beats.now / beat + u64::from(self.shard)).is_multiple_of(looks) {
            return false;
        }
        if let Some(answered) = &self.drowsiness.answered
            && raft.prs().iter().any(|(node, _)| *node != raft.id && !answered.contains(node))
        {
            return true;
        }
        self.drowsiness.answered = Some(Vec::new());
        self.raw.ping();
        false
    }

    /// Ends sleep, as if heartbeats had come for as long as beats did.
    pub(crate) fn wake(&mut self, beats: &Beats) {
        if !self.drowsiness.asleep {
            return;
        }
        self.drowsiness = Drowsiness::default();
        let shard = self.shard;
        let (leads, own, leader) = (self.is_leader(), self.raw.raft.id, self.raw.raft.leader_id);
        let raft = &mut self.raw.raft;
        let timeout = raft.election_timeout();
        if leads {
            let mut silence = 0;
            for (node, progress) in raft.mut_prs().iter_mut() {
                if *node != own {
                    progress.recent_active = !beats.is_silent(*node, shard);
                    silence = silence.max(beats.silence(*node, shard));
                }
            }
            // The next check of the quorum is no later than it would have been.
            raft.election_elapsed = (silence as usize).min(timeout - 1);
            raft.ping();
        } else if leader != 0 {
            raft.election_elapsed = (beats.silence(leader, shard) as usize).min(timeout);
        }
    }
}
