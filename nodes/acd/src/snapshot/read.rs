//! Saved messages to rows, and the indices built from the rows; never trusts that rows fit together.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::CallId;
use crate::command::{Accepted, Rejection, RejectionCode};
use crate::deadlines::Deadline;
use crate::document::{AnswerMode, Strategy};
use crate::output::{CallOutcome, CallRecord};
use crate::rows::{
    AfterCall, Agent, AgentState, Call, CallState, Class, Contact, Gateway, InLine, Leg, LegWant, Place, Queue,
    QueueCounts, QueuePolicy, Rank, Release,
};
use crate::senders::Sender;
use crate::table::{AgentKey, CallKey, GatewayKey, Key, QueueKey, Table};

type Result<T> = std::result::Result<T, RestoreError>;
const BROKEN: fn(&'static str) -> RestoreError = RestoreError::Broken;

/// Slots are dense, so none is far beyond what the limits allow even after limits were lowered.
const SLOTS_MAX: u32 = 1 << 24;

pub(super) fn shard(saved: Saved, limits: Limits) -> Result<Shard> {
    let mut shard = Shard::with_limits(limits);
    shard.now = saved.now;
    shard.config_version = saved.config_version;
    shard.sequence = saved.sequence;
    shard.revision = saved.revision;
    shard.queues = rows(saved.queues.into_iter().map(queue), "queue slots")?;
    shard.gateways = rows(saved.gateways.into_iter().map(|row| Ok(gateway(row))), "gateway slots")?;
    shard.agents = rows(saved.agents.into_iter().map(agent), "agent slots")?;
    let gateways = &shard.gateways;
    shard.calls = rows(saved.calls.into_iter().map(|row| call(row, gateways)), "call slots")?;
    for number in saved.numbers {
        shard.numbers.insert(number.name, QueueKey::from_slot(number.queue));
    }
    for row in saved.senders {
        let (id, sender) = sender(row)?;
        shard.senders.rows.insert(id, sender);
    }
    index(&mut shard)?;
    shard.audit().map_err(|_| BROKEN("rows disagree"))?;
    Ok(shard)
}

fn rows<K: Key, T>(rows: impl Iterator<Item = Result<(u32, T)>>, what: &'static str) -> Result<Table<K, T>> {
    Table::from_rows(rows.collect::<Result<Vec<_>>>()?, SLOTS_MAX).ok_or(BROKEN(what))
}

fn queue(row: SavedQueue) -> Result<(u32, Queue)> {
    let policy = QueuePolicy {
        strategy: match row.strategy {
            1 => Strategy::LongestIdle,
            _ => return Err(BROKEN("queue strategy")),
        },
        answer: match row.answer {
            1 => AnswerMode::OnEntry,
            2 => AnswerMode::OnAgent,
            _ => return Err(BROKEN("queue answer mode")),
        },
        ring_seconds: row.ring_seconds,
        wrap_up_seconds: row.wrap_up_seconds,
        waiting_max: row.waiting_max,
        wait_seconds_max: row.wait_seconds_max,
        busy_delay_seconds: row.busy_delay_seconds,
        unreachable_delay_seconds: row.unreachable_delay_seconds,
        music: row.music,
    };
    let counts = QueueCounts {
        offered: row.offered,
        answered: row.answered,
        abandoned: row.abandoned,
        wait_ms: row.wait_ms,
        talk_ms: row.talk_ms,
    };
    let queue = Queue {
        name: row.name,
        policy,
        removed: row.removed,
        waiting: BTreeMap::new(),
        offered: BTreeMap::new(),
        talking: 0,
        ready: BTreeMap::new(),
        members: [0; Class::COUNT],
        counts,
    };
    Ok((row.slot, queue))
}

fn gateway(row: SavedGateway) -> (u32, Gateway) {
    let SavedGateway { slot, id, incarnation, former, sip, up, since } = row;
    (slot, Gateway { id, incarnation, former, sip, up, since, calls: BTreeSet::new() })
}

fn agent(row: SavedAgent) -> Result<(u32, Agent)> {
    let contacts = row.contacts.into_iter();
    let agent = Agent {
        name: row.name,
        contact: row.contact,
        queues: row.queues.into_iter().map(QueueKey::from_slot).collect(),
        wrap_up_seconds: row.wrap_up_seconds,
        removed: row.removed,
        state: agent_state(row.state.ok_or(BROKEN("agent state"))?),
        since: row.since,
        contacts: contacts
            .map(|contact| Contact { uri: contact.uri, gateway: contact.gateway, expires: contact.expires })
            .collect(),
        answered: row.answered,
    };
    Ok((row.slot, agent))
}

fn agent_state(state: SavedAgentState) -> AgentState {
    match state {
        SavedAgentState::LoggedOut(_) => AgentState::LoggedOut,
        SavedAgentState::NotReady(row) => AgentState::NotReady { reason: row.reason, until: row.until },
        SavedAgentState::Ready(row) => AgentState::Ready { rank: to_rank(&row) },
        SavedAgentState::Reserved(row) => AgentState::Reserved {
            call: CallKey::from_slot(row.call),
            leg: row.leg,
            until: row.until,
            rank: to_rank(&row.rank),
        },
        SavedAgentState::Talking(row) => AgentState::Talking {
            call: CallKey::from_slot(row.call),
            leg: row.leg,
            since: row.since,
            after: match (row.after_logged_out, row.after_not_ready) {
                (true, _) => AfterCall::LoggedOut,
                (false, Some(reason)) => AfterCall::NotReady { reason },
                (false, None) => AfterCall::Ready,
            },
        },
        SavedAgentState::WrapUp(until) => AgentState::WrapUp { until },
    }
}

fn to_rank(row: &SavedMoment) -> Rank {
    Rank { since: row.at, sequence: row.sequence }
}

fn line(row: &SavedLine) -> InLine {
    let place = Place { joined: row.place.at, sequence: row.place.sequence };
    InLine { queue: QueueKey::from_slot(row.queue), place }
}

fn call(row: SavedCall, gateways: &Table<GatewayKey, Gateway>) -> Result<(u32, Call)> {
    let gateway = GatewayKey::from_slot(row.gateway);
    gateways.get(gateway).ok_or(BROKEN("call gateway"))?;
    let state = match row.state.ok_or(BROKEN("call state"))? {
        SavedCallState::Waiting(at) => CallState::Waiting { line: line(&at) },
        SavedCallState::Offered(at) => {
            CallState::Offered { line: line(&at), agent: AgentKey::from_slot(at.agent), leg: at.leg }
        }
        SavedCallState::Talking(at) => {
            let agent = AgentKey::from_slot(at.agent);
            CallState::Talking { line: line(&at), agent, leg: at.leg, since: at.since }
        }
        SavedCallState::Ended(record) => {
            let record = CallRecord {
                call: row.id,
                number: row.number.clone(),
                caller: row.caller.clone(),
                queue: record.queue,
                agent: record.agent,
                offered_ms: row.offered,
                answered_ms: record.answered_ms,
                ended_ms: record.ended_ms,
                outcome: CallOutcome::from_number(record.outcome).ok_or(BROKEN("call outcome"))?,
                ended_by: record.ended_by,
                offers: row.offers,
                gateway: record.gateway,
            };
            CallState::Ended { record: Box::new(record) }
        }
    };
    let call = Call {
        id: row.id,
        gateway,
        number: row.number,
        caller: row.caller,
        caller_name: row.caller_name,
        trace: row.trace,
        offered: row.offered,
        offers: row.offers,
        legs_made: row.legs_made,
        legs: row.legs.into_iter().map(leg).collect::<Result<Vec<_>>>()?,
        state,
    };
    Ok((row.slot, call))
}

fn leg(row: SavedLeg) -> Result<Leg> {
    let want = match row.want.ok_or(BROKEN("leg want"))? {
        SavedWant::Alert(_) => LegWant::Alert,
        SavedWant::Ring(contact) => LegWant::Ring { contact: contact.into() },
        SavedWant::Listen(_) => LegWant::Listen,
        SavedWant::Join(leg) => LegWant::Join { leg },
        SavedWant::Gone(number) => {
            let release = Release::ALL.into_iter().find(|release| *release as i32 == number);
            LegWant::Gone { release: release.ok_or(BROKEN("leg release"))? }
        }
    };
    Ok(Leg {
        number: row.number,
        agent: row.agent.map(Into::into),
        answered: row.answered,
        want,
        revision: row.revision,
        passport: row.passport.into(),
    })
}

fn sender(row: SavedSender) -> Result<(u64, Sender)> {
    let mut replies = BTreeMap::new();
    for reply in row.replies {
        let outcome = match reply.code {
            0 => Ok(Accepted),
            code => {
                let code = RejectionCode::from_number(code).ok_or(BROKEN("reply code"))?;
                Err(Rejection { code, detail: reply.detail })
            }
        };
        replies.insert(reply.number, outcome);
    }
    let (last_seen, check_at, settled_below) = (row.last_seen, row.check_at, row.settled_below);
    Ok((row.id, Sender { last_seen, check_at, settled_below, replies }))
}

/// Builds everything that is not saved from what is.
fn index(shard: &mut Shard) -> Result<()> {
    let names = shard.queues.iter().map(|(key, row)| (row.name.clone(), key));
    shard.queue_names = names.collect();
    shard.gateway_ids = shard.gateways.iter().map(|(key, row)| (row.id.clone(), key)).collect();
    shard.agent_names = shard.agents.iter().map(|(key, row)| (row.name.clone(), key)).collect();
    shard.call_ids = shard.calls.iter().map(|(key, row)| (row.id, key)).collect::<BTreeMap<CallId, CallKey>>();
    for (id, sender) in &shard.senders.rows {
        shard.deadlines.insert((sender.check_at, Deadline::Sender(*id)));
    }
    for (key, call) in shard.calls.iter() {
        shard.gateways[call.gateway].calls.insert(key);
        let Some(line) = call.line() else { continue };
        shard.queues.get(line.queue).ok_or(BROKEN("call queue"))?;
        let queue = &mut shard.queues[line.queue];
        match call.state {
            CallState::Waiting { .. } => {
                queue.waiting.insert(line.place, key);
                if let Some(at) = queue.policy.wait_until(line.place.joined) {
                    shard.deadlines.insert((at, Deadline::Wait(key)));
                }
            }
            CallState::Offered { .. } => {
                queue.offered.insert(line.place, key);
            }
            CallState::Talking { .. } => queue.talking += 1,
            CallState::Ended { .. } => {}
        }
    }
    for key in shard.agents.keys() {
        let agent = &shard.agents[key];
        if agent.queues.iter().any(|queue| shard.queues.get(*queue).is_none()) {
            return Err(BROKEN("agent queue"));
        }
        if let Some(at) = agent.state.deadline() {
            shard.deadlines.insert((at, Deadline::Agent(key)));
        }
        if let Some(at) = agent.contacts_deadline() {
            shard.deadlines.insert((at, Deadline::Contacts(key)));
        }
        shard.list(key);
    }
    // What `list` marked was distributed before the snapshot.
    shard.dirty.clear();
    Ok(())
}
