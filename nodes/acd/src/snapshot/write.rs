//! Rows to saved messages; never reads an index.

use super::*;
use crate::command::Accepted;
use crate::document::{AnswerMode, Strategy};
use crate::rows::{AfterCall, Agent, AgentState, Call, CallState, Gateway, InLine, Leg, LegWant, Place, Queue, Rank};
use crate::senders::Sender;
use crate::table::Key;

pub(super) fn snapshot(shard: &Shard) -> Saved {
    Saved {
        now: shard.now,
        config_version: shard.config_version,
        sequence: shard.sequence,
        revision: shard.revision,
        numbers: shard
            .numbers
            .iter()
            .map(|(name, queue)| SavedNumber { name: name.clone(), queue: queue.slot() })
            .collect(),
        queues: shard.queues.iter().map(|(key, row)| queue(key.slot(), row)).collect(),
        agents: shard.agents.iter().map(|(key, row)| agent(key.slot(), row)).collect(),
        calls: shard.calls.iter().map(|(key, row)| call(key.slot(), row)).collect(),
        gateways: shard.gateways.iter().map(|(key, row)| gateway(key.slot(), row)).collect(),
        senders: shard.senders.rows.iter().map(|(id, row)| sender(*id, row)).collect(),
    }
}

fn queue(slot: u32, row: &Queue) -> SavedQueue {
    SavedQueue {
        slot,
        name: row.name.clone(),
        strategy: match row.policy.strategy {
            Strategy::LongestIdle => 1,
        },
        answer: match row.policy.answer {
            AnswerMode::OnEntry => 1,
            AnswerMode::OnAgent => 2,
        },
        ring_seconds: row.policy.ring_seconds,
        wrap_up_seconds: row.policy.wrap_up_seconds,
        waiting_max: row.policy.waiting_max,
        wait_seconds_max: row.policy.wait_seconds_max,
        busy_delay_seconds: row.policy.busy_delay_seconds,
        unreachable_delay_seconds: row.policy.unreachable_delay_seconds,
        music: row.policy.music.clone(),
        removed: row.removed,
        offered: row.counts.offered,
        answered: row.counts.answered,
        abandoned: row.counts.abandoned,
        wait_ms: row.counts.wait_ms,
        talk_ms: row.counts.talk_ms,
    }
}

fn agent(slot: u32, row: &Agent) -> SavedAgent {
    let contacts = row.contacts.iter().map(|contact| SavedContact {
        uri: contact.uri.clone(),
        gateway: contact.gateway.clone(),
        expires: contact.expires,
    });
    SavedAgent {
        slot,
        name: row.name.clone(),
        contact: row.contact.clone(),
        queues: row.queues.iter().map(|queue| queue.slot()).collect(),
        wrap_up_seconds: row.wrap_up_seconds,
        removed: row.removed,
        since: row.since,
        contacts: contacts.collect(),
        answered: row.answered,
        state: Some(agent_state(&row.state)),
    }
}

fn agent_state(state: &AgentState) -> SavedAgentState {
    match state {
        AgentState::LoggedOut => SavedAgentState::LoggedOut(SavedNothing {}),
        AgentState::NotReady { reason, until } => {
            SavedAgentState::NotReady(SavedNotReady { reason: reason.clone(), until: *until })
        }
        AgentState::Ready { rank } => SavedAgentState::Ready(from_rank(*rank)),
        AgentState::Reserved { call, leg, until, rank } => SavedAgentState::Reserved(SavedReserved {
            call: call.slot(),
            leg: *leg,
            until: *until,
            rank: from_rank(*rank),
        }),
        AgentState::Talking { call, leg, since, after } => SavedAgentState::Talking(SavedTalking {
            call: call.slot(),
            leg: *leg,
            since: *since,
            after_logged_out: *after == AfterCall::LoggedOut,
            after_not_ready: match after {
                AfterCall::NotReady { reason } => Some(reason.clone()),
                AfterCall::Ready | AfterCall::LoggedOut => None,
            },
        }),
        AgentState::WrapUp { until } => SavedAgentState::WrapUp(*until),
    }
}

fn from_rank(rank: Rank) -> SavedMoment {
    SavedMoment { at: rank.since, sequence: rank.sequence }
}

fn from_place(place: Place) -> SavedMoment {
    SavedMoment { at: place.joined, sequence: place.sequence }
}

fn line(line: InLine) -> SavedLine {
    SavedLine { queue: line.queue.slot(), place: from_place(line.place), agent: 0, leg: 0, since: 0 }
}

fn call(slot: u32, row: &Call) -> SavedCall {
    let state = match &row.state {
        CallState::Waiting { line: at } => SavedCallState::Waiting(line(*at)),
        CallState::Offered { line: at, agent, leg } => {
            SavedCallState::Offered(SavedLine { agent: agent.slot(), leg: *leg, ..line(*at) })
        }
        CallState::Talking { line: at, agent, leg, since } => {
            SavedCallState::Talking(SavedLine { agent: agent.slot(), leg: *leg, since: *since, ..line(*at) })
        }
        CallState::Ended { record } => SavedCallState::Ended(SavedCallRecord {
            queue: record.queue.clone(),
            agent: record.agent.clone(),
            answered_ms: record.answered_ms,
            ended_ms: record.ended_ms,
            outcome: record.outcome as i32,
            ended_by: record.ended_by.clone(),
            gateway: record.gateway.clone(),
        }),
    };
    SavedCall {
        slot,
        id: row.id,
        gateway: row.gateway.slot(),
        number: row.number.clone(),
        caller: row.caller.clone(),
        caller_name: row.caller_name.clone(),
        trace: row.trace.clone(),
        offered: row.offered,
        offers: row.offers,
        legs_made: row.legs_made,
        legs: row.legs.iter().map(leg).collect(),
        state: Some(state),
    }
}

fn leg(row: &Leg) -> SavedLeg {
    let want = match &row.want {
        LegWant::Alert => SavedWant::Alert(SavedNothing {}),
        LegWant::Ring { contact } => SavedWant::Ring(contact.to_string()),
        LegWant::Listen => SavedWant::Listen(SavedNothing {}),
        LegWant::Join { leg } => SavedWant::Join(*leg),
        LegWant::Gone { release } => SavedWant::Gone(*release as i32),
    };
    SavedLeg {
        number: row.number,
        agent: row.agent.as_deref().map(str::to_owned),
        answered: row.answered,
        revision: row.revision,
        passport: row.passport.to_vec(),
        want: Some(want),
    }
}

fn gateway(slot: u32, row: &Gateway) -> SavedGateway {
    SavedGateway {
        slot,
        id: row.id.clone(),
        incarnation: row.incarnation,
        former: row.former,
        sip: row.sip.clone(),
        up: row.up,
        since: row.since,
    }
}

fn sender(id: u64, row: &Sender) -> SavedSender {
    let replies = row.replies.iter().map(|(number, reply)| match reply {
        Ok(Accepted) => SavedReply { number: *number, code: 0, detail: String::new() },
        Err(rejection) => SavedReply { number: *number, code: rejection.code as i32, detail: rejection.detail.clone() },
    });
    SavedSender {
        id,
        last_seen: row.last_seen,
        check_at: row.check_at,
        settled_below: row.settled_below,
        replies: replies.collect(),
    }
}
