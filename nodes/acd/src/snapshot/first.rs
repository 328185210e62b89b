//! Snapshots of the first rules, whose rows carry their policy, brought up to what is read today; never written any more.

use super::*;
use crate::document::{Agent, AnswerMode, Document, Membership, Number, Queue};

type Result<T> = std::result::Result<T, RestoreError>;
const BROKEN: fn(&'static str) -> RestoreError = RestoreError::Broken;

pub(super) fn bring_up(saved: &mut Saved) -> Result<()> {
    saved.rules = 1;
    let names: std::collections::BTreeMap<u32, String> =
        saved.queues.iter().filter(|queue| !queue.removed).map(|queue| (queue.slot, queue.name.clone())).collect();
    let mut documents = Vec::new();
    for queue in &mut saved.queues {
        queue.pools = vec![SavedPool { demand: Vec::new(), luck: 0 }];
        if !queue.removed {
            documents.push(Document::Queue(Box::new(Queue {
                name: queue.name.clone(),
                answer: if queue.answer == 2 { AnswerMode::OnAgent } else { AnswerMode::OnEntry },
                ring_seconds: queue.ring_seconds,
                wrap_up_seconds: queue.wrap_up_seconds,
                waiting_max: queue.waiting_max,
                wait_seconds_max: queue.wait_seconds_max,
                busy_delay_seconds: queue.busy_delay_seconds,
                unreachable_delay_seconds: queue.unreachable_delay_seconds,
                music: queue.music.clone(),
                ..Default::default()
            })));
        }
    }
    for number in &saved.numbers {
        let queue = names.get(&number.queue).ok_or(BROKEN("number queue"))?.clone();
        documents.push(Document::Number(Number { name: number.name.clone(), queue, ..Default::default() }));
    }
    let mut untils = std::collections::BTreeMap::new();
    for agent in &mut saved.agents {
        let queues = agent.queues.iter().filter_map(|slot| names.get(slot));
        if !agent.removed {
            documents.push(Document::Agent(Agent {
                name: agent.name.clone(),
                contact: agent.contact.clone(),
                queues: queues.map(|queue| Membership { queue: queue.clone(), ..Default::default() }).collect(),
                wrap_up_seconds: agent.wrap_up_seconds,
                ..Default::default()
            }));
        }
        bring_up_agent(agent, saved.now, &mut untils)?;
    }
    for call in &mut saved.calls {
        bring_up_call(call, &saved.queues, &untils)?;
    }
    saved.documents = serde_json::to_vec(&documents).map_err(|_| BROKEN("documents"))?;
    Ok(())
}

fn bring_up_agent(
    agent: &mut SavedAgent,
    now: u64,
    untils: &mut std::collections::BTreeMap<u32, (u64, u64)>,
) -> Result<()> {
    agent.members = agent
        .queues
        .iter()
        .map(|queue| SavedMember { queue: *queue, tier: 1, weight: 1, entry_calls: 0, entry_talk_ms: 0 })
        .collect();
    agent.counted = now;
    agent.presence = 3;
    match agent.state.take().ok_or(BROKEN("agent state"))? {
        SavedAgentState::LoggedOut(_) => agent.presence = 1,
        SavedAgentState::NotReady(row) => {
            (agent.presence, agent.reason, agent.until, agent.alarm) = (2, row.reason, row.until, row.until);
        }
        SavedAgentState::Ready(rank) => {
            let (since, sequence) = (rank.at, rank.sequence);
            let reachable = !agent.contact.is_empty() || !agent.contacts.is_empty();
            agent.rank = Some(rank);
            if reachable {
                let seat = |queue: &u32| SavedSeat { queue: *queue, pool: 0, key: 0, since, tier: 1, sequence };
                agent.seats = agent.queues.iter().map(seat).collect();
            }
        }
        SavedAgentState::Reserved(row) => {
            untils.insert(row.call, (agent.since, row.until));
            agent.rank = Some(row.rank);
            agent.work = vec![SavedWork { call: row.call, stage: 0 }];
        }
        SavedAgentState::Talking(row) => {
            agent.work = vec![SavedWork { call: row.call, stage: 1 }];
            match (row.after_logged_out, row.after_not_ready) {
                (true, _) => agent.after = 2,
                (false, Some(reason)) => (agent.after, agent.after_reason) = (1, reason),
                (false, None) => {}
            }
        }
        SavedAgentState::WrapUp(until) => {
            (agent.presence, agent.until, agent.alarm) = (4, Some(until), Some(until));
        }
    }
    agent.queues.clear();
    Ok(())
}

fn bring_up_call(
    call: &mut SavedCall,
    queues: &[SavedQueue],
    untils: &std::collections::BTreeMap<u32, (u64, u64)>,
) -> Result<()> {
    call.caller_leg = 1;
    let at = match call.state.as_ref().ok_or(BROKEN("call state"))? {
        SavedCallState::Waiting(at) | SavedCallState::Offered(at) | SavedCallState::Talking(at) => at.clone(),
        _ => return Ok(()),
    };
    let queue = queues.iter().find(|queue| queue.slot == at.queue).ok_or(BROKEN("call queue"))?;
    let joined = at.place.at;
    let limit = u64::from(queue.wait_seconds_max) * 1000;
    call.in_line = Some(SavedInLine {
        queue: at.queue,
        priority: crate::limits::PRIORITY_DEFAULT,
        effective: joined as i64,
        sequence: at.place.sequence,
        joined,
        tier: 1,
        wait_until: (limit > 0).then_some(joined + limit),
        ..Default::default()
    });
    let who = SavedParty { agent: Some(at.agent), outside: String::new(), leg: at.leg };
    call.state = Some(match call.state.take() {
        Some(SavedCallState::Offered(_)) => {
            let (since, until) = *untils.get(&call.slot).ok_or(BROKEN("nobody rings for an offered call"))?;
            SavedCallState::Rings(SavedOffer {
                ringing: vec![who],
                since,
                until,
                queue: at.queue,
                ..Default::default()
            })
        }
        Some(SavedCallState::Talking(_)) => {
            call.waited_ms = at.since.saturating_sub(joined);
            SavedCallState::Talks(SavedTalk { party: Some(who), since: at.since, ..Default::default() })
        }
        _ => SavedCallState::Waits(SavedNothing {}),
    });
    Ok(())
}
