//! Which of a peer's messages may reach raft. Raft panics on words that no honest peer says; they end here.

use raft::eraftpb::{ConfState, Message, MessageType};

/// No term or index ever gets here; beyond it, raft's own sums could overflow.
const NUMBER_MAX: u64 = 1 << 62;

/// Whether a message is one that a peer of this group could send to `node`. State is looked at by the group.
pub(crate) fn admit(message: &Message, node: u64) -> bool {
    if message.to != node || message.from == 0 || message.from == node || message.term == 0 {
        return false;
    }
    let numbers =
        [message.term, message.log_term, message.index, message.commit, message.commit_term, message.reject_hint];
    if numbers.into_iter().any(|number| number > NUMBER_MAX) {
        return false;
    }
    match message.get_msg_type() {
        MessageType::MsgAppend => entries_follow(message),
        MessageType::MsgSnapshot => snapshot_is_whole(message, node),
        MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow => message.entries.is_empty(),
        // Local words, and what a follower would forward: hosts refuse instead, so nobody sends these.
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => false,
    }
}

fn entries_follow(message: &Message) -> bool {
    let (mut index, mut term) = (message.index, message.log_term);
    // Raft takes term 0 for "no such entry", and would find it in any log.
    if term == 0 && (index > 0 || message.entries.iter().any(|entry| entry.term == 0)) {
        return false;
    }
    for entry in message.entries.iter() {
        if Some(entry.index) != index.checked_add(1) || entry.term < term || entry.term > message.term {
            return false;
        }
        (index, term) = (entry.index, entry.term);
    }
    true
}

fn snapshot_is_whole(message: &Message, node: u64) -> bool {
    let metadata = message.get_snapshot().get_metadata();
    let state = metadata.get_conf_state();
    metadata.index > 0
        && metadata.index < NUMBER_MAX
        && metadata.term > 0
        && metadata.term <= message.term
        && conf_state_is_sound(state)
        && [&state.voters, &state.learners, &state.voters_outgoing].into_iter().any(|ids| ids.contains(&node))
}

/// The rules that raft's own restore of a configuration relies on.
fn conf_state_is_sound(state: &ConfState) -> bool {
    let distinct = |ids: &[u64]| {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| pair[0] != pair[1]) && !ids.contains(&0)
    };
    let joint = !state.voters_outgoing.is_empty();
    !state.voters.is_empty()
        && [&state.voters, &state.learners, &state.voters_outgoing, &state.learners_next]
            .into_iter()
            .all(|ids| distinct(ids))
        && state.learners.iter().all(|id| !state.voters.contains(id) && !state.voters_outgoing.contains(id))
        && state.learners_next.iter().all(|id| state.voters_outgoing.contains(id) && !state.voters.contains(id))
        && (joint || (!state.auto_leave && state.learners_next.is_empty()))
}
