//! Rows to saved messages; never reads an index.

use super::*;
use crate::command::Accepted;
use crate::counts::Counts;
use crate::demand::Demands;
use crate::document::{AnswerMode, Target};
use crate::policy::Asked;
use crate::rows::{
    AfterCall, Agent, Aside, AsideStage, Call, CallState, Gateway, InLine, Leg, LegWant, Move, Offer, Party, Presence,
    Queue, Rank, Rung, Stage, Talk, Tally,
};
use crate::senders::Sender;
use crate::table::Key;

/// Everything but agents and calls, which are many and appended one by one.
pub(super) fn head(shard: &Shard) -> Saved {
    Saved {
        now: shard.now,
        config_version: shard.config_version,
        sequence: shard.sequence,
        revision: shard.revision,
        numbers: shard
            .numbers_in_order()
            .iter()
            .map(|name| {
                let row = &shard.numbers[name];
                SavedNumber { name: name.to_string(), queue: 0, counts: counts(&row.counts), removed: row.removed }
            })
            .collect(),
        queues: shard.queues.iter().map(|(key, row)| queue(key.slot(), row, &shard.demands)).collect(),
        agents: Vec::new(),
        calls: Vec::new(),
        gateways: shard.gateways.iter().map(|(key, row)| gateway(key.slot(), row)).collect(),
        senders: shard.senders.rows.iter().map(|(id, row)| sender(*id, row)).collect(),
        rules: shard.rules,
        documents: shard.documents.to_vec(),
        asked: shard.asked,
        dice: shard.dice.0,
        skills: shard.skills.iter().map(ToString::to_string).collect(),
        served: shard
            .memory
            .served
            .iter()
            .map(|(caller, (agent, at))| SavedServed { caller: caller.to_string(), agent: agent.to_string(), at: *at })
            .collect(),
        interval_ends: shard.interval_ends,
        day_ends: shard.day_ends,
    }
}

/// A repeated field may be written piece by piece: one message with one row is a piece.
pub(super) fn append_agent(slot: u32, row: &Agent, bytes: &mut Vec<u8>) {
    prost::encoding::message::encode(7, &agent(slot, row), bytes);
}

pub(super) fn append_call(slot: u32, row: &Call, demands: &Demands, bytes: &mut Vec<u8>) {
    prost::encoding::message::encode(8, &call(slot, row, demands), bytes);
}

fn counts(counts: &Counts) -> Option<SavedCounts> {
    if counts.is_empty() {
        return None;
    }
    let mut sums = vec![
        counts.offered,
        counts.answered,
        counts.abandoned,
        counts.abandoned_short,
        counts.within_threshold,
        counts.overflowed,
        counts.refused,
        counts.transferred_in,
        counts.transferred_out,
        counts.callbacks_asked,
        counts.callbacks_done,
        counts.rona,
        counts.wait_ms,
        counts.abandon_ms,
        counts.talk_ms,
        counts.hold_ms,
        counts.wrap_up_ms,
        counts.ring_ms,
        counts.repeated_callers,
        counts.abandoned_within_threshold,
    ];
    while sums.last() == Some(&0) {
        sums.pop();
    }
    let buckets = |histogram: &crate::counts::Histogram| {
        if histogram.is_empty() { Vec::new() } else { histogram.buckets.to_vec() }
    };
    let states = if counts.state_ms.iter().all(|ms| *ms == 0) { Vec::new() } else { counts.state_ms.to_vec() };
    Some(SavedCounts { sums, waits: buckets(&counts.waits), handles: buckets(&counts.handles), state_ms: states })
}

fn asked(asked: &[Asked]) -> Vec<SavedAsked> {
    asked.iter().map(|(skill, level)| SavedAsked { skill: u32::from(*skill), level: u32::from(*level) }).collect()
}

fn queue(slot: u32, row: &Queue, demands: &Demands) -> SavedQueue {
    SavedQueue {
        slot,
        name: row.name.to_string(),
        // A removed queue has no document: what its last calls need of it stays here.
        strategy: 1,
        answer: match row.policy.document.answer {
            AnswerMode::OnEntry => 1,
            AnswerMode::OnAgent => 2,
        },
        ring_seconds: row.policy.document.ring_seconds,
        wrap_up_seconds: row.policy.document.wrap_up_seconds,
        waiting_max: row.policy.document.waiting_max,
        wait_seconds_max: row.policy.document.wait_seconds_max,
        busy_delay_seconds: row.policy.document.busy_delay_seconds,
        unreachable_delay_seconds: row.policy.document.unreachable_delay_seconds,
        music: row.policy.document.music.clone(),
        removed: row.removed,
        offered: row.totals.offered,
        answered: row.totals.answered,
        abandoned: row.totals.abandoned,
        wait_ms: row.totals.wait_ms,
        talk_ms: row.totals.talk_ms,
        counts: counts(&row.counts),
        cursor: row.cursor,
        handled: row.handled,
        handle_ms: row.handle_ms,
        pools: row
            .pools
            .iter()
            .map(|pool| SavedPool { demand: asked(&demands.get(pool.demand).asked), luck: pool.luck })
            .collect(),
        alarm: row.alarm,
    }
}

fn agent(slot: u32, row: &Agent) -> SavedAgent {
    let contacts = row.contacts.iter().map(|contact| SavedContact {
        uri: contact.uri.to_string(),
        gateway: contact.gateway.clone(),
        expires: contact.expires,
        path: contact.path.as_ref().map(ToString::to_string),
        flow: contact.flow,
    });
    let (presence, reason, until) = match &row.presence {
        Presence::LoggedOut => (1, String::new(), None),
        Presence::NotReady { reason, until } => (2, reason.to_string(), *until),
        Presence::Ready => (3, String::new(), None),
        Presence::WrapUp { until } => (4, String::new(), Some(*until)),
    };
    let (after, after_reason) = match &row.after {
        AfterCall::Ready => (0, String::new()),
        AfterCall::NotReady { reason } => (1, reason.to_string()),
        AfterCall::LoggedOut => (2, String::new()),
    };
    SavedAgent {
        slot,
        name: row.name.to_string(),
        contact: String::new(),
        queues: Vec::new(),
        wrap_up_seconds: 0,
        removed: row.removed,
        since: row.since,
        contacts: contacts.collect(),
        answered: row.answered,
        state: None,
        presence,
        reason,
        until,
        after,
        after_reason,
        work: row
            .work
            .iter()
            .map(|work| SavedWork {
                call: work.call.slot(),
                stage: match work.stage {
                    Stage::Reserved => 0,
                    Stage::Talking => 1,
                    Stage::Held => 2,
                    Stage::Consulting => 3,
                },
            })
            .collect(),
        rank: Some(from_rank(row.rank)),
        last_call_end: row.last_call_end,
        rona: row.rona,
        shift: Some(tally(row.shift)),
        day: Some(tally(row.day)),
        recent: row.recent.iter().map(|(at, ms)| SavedMoment { at: *at, sequence: *ms }).collect(),
        state_ms: row.state_ms.to_vec(),
        counted: row.counted,
        counts: counts(&row.counts),
        closing: row.closing.map(|(queue, ms)| SavedMoment { at: u64::from(queue.slot()), sequence: ms }),
        members: row
            .members
            .iter()
            .map(|member| SavedMember {
                queue: member.queue.slot(),
                tier: u32::from(member.tier),
                weight: u32::from(member.weight),
                entry_calls: member.entry.0,
                entry_talk_ms: member.entry.1,
            })
            .collect(),
        seats: row
            .seats
            .iter()
            .map(|seat| SavedSeat {
                queue: seat.queue.slot(),
                pool: u32::from(seat.pool),
                key: seat.standing.key,
                since: seat.standing.since,
                tier: u32::from(seat.standing.tier),
                sequence: seat.standing.sequence,
            })
            .collect(),
        alarm: row.alarm,
    }
}

fn tally(tally: Tally) -> SavedTally {
    SavedTally { from: tally.from, calls: tally.calls, talk_ms: tally.talk_ms, busy_ms: tally.busy_ms }
}

fn from_rank(rank: Rank) -> SavedMoment {
    SavedMoment { at: rank.since, sequence: rank.sequence }
}

fn party(party: &Party, leg: u32) -> SavedParty {
    match party {
        Party::Agent(agent) => SavedParty { agent: Some(agent.slot()), outside: String::new(), leg },
        Party::Outside(name) => SavedParty { agent: None, outside: name.to_string(), leg },
    }
}

fn in_line(line: &InLine, demands: &Demands) -> SavedInLine {
    SavedInLine {
        queue: line.queue.slot(),
        more: line.more.iter().map(|queue| queue.slot()).collect(),
        priority: u32::from(line.place.priority),
        effective: line.place.effective,
        sequence: line.place.sequence,
        joined: line.joined,
        boost_ms: line.boost_ms,
        demand: asked(&demands.get(line.demand).asked),
        tier: u32::from(line.tier),
        wanted: line.wanted.map(|wanted| SavedWanted {
            agent: wanted.agent.slot(),
            until: wanted.until,
            wish: wanted.wish as u32,
        }),
        shuns: line.shuns.map(Key::slot),
        step: u32::from(line.step),
        step_at: line.step_at,
        tier_at: line.tier_at,
        announce_at: line.announce_at.iter().map(|at| at.unwrap_or(0)).collect(),
        wait_until: line.wait_until,
        callback: line.callback.as_ref().map(|wish| SavedCallback {
            number: wish.number.clone(),
            attempts: wish.attempts,
            rest_until: wish.rest_until,
            expires: wish.expires,
        }),
    }
}

fn offer(offer: &Offer) -> SavedOffer {
    SavedOffer {
        ringing: offer.ringing.iter().map(|ringing| party(&Party::Agent(ringing.agent), ringing.leg)).collect(),
        since: offer.since,
        until: offer.until,
        step: u32::from(offer.step),
        tried: offer.tried.iter().map(|agent| agent.slot()).collect(),
        queue: offer.queue.slot(),
        many: offer.many,
    }
}

fn moving(moving: &Move) -> SavedMove {
    SavedMove {
        kind: moving.kind as u32,
        back: moving.back.map(Key::slot),
        ringing: moving.ringing.iter().map(|(who, leg)| party(who, *leg)).collect(),
        until: moving.until,
        since: moving.since,
        next: moving
            .next
            .iter()
            .map(|(target, ring_ms)| {
                let (kind, name) = match target {
                    Target::Agent(name) => (1, name),
                    Target::Queue(name) => (2, name),
                    Target::Number(name) => (3, name),
                    Target::Sip(name) => (4, name),
                };
                SavedTarget { kind, name: name.clone(), ring_ms: *ring_ms }
            })
            .collect(),
    }
}

fn talk(talk: &Talk) -> SavedTalk {
    SavedTalk {
        party: Some(party(&talk.party, talk.leg)),
        since: talk.since,
        held: talk.held,
        hold_ms: talk.hold_ms,
        ring_ms: talk.ring_ms,
        code: talk.code.clone(),
        aside: talk.aside.as_deref().map(aside),
    }
}

fn aside(aside: &Aside) -> SavedAside {
    let (stage, until) = match aside.stage {
        AsideStage::Ringing { until } => (0, until),
        AsideStage::Target => (1, 0),
        AsideStage::Caller => (2, 0),
        AsideStage::Conference => (3, 0),
    };
    SavedAside { party: Some(party(&aside.party, 0)), legs: aside.legs.clone(), stage, until, since: aside.since }
}

fn call(slot: u32, row: &Call, demands: &Demands) -> SavedCall {
    let state = match &row.state {
        CallState::Waiting => SavedCallState::Waits(SavedNothing {}),
        CallState::Asking { ask, until } => SavedCallState::Asking(SavedAsking { ask: *ask, until: *until }),
        CallState::Offered(row) => SavedCallState::Rings(offer(row)),
        CallState::Calling { agent, leg, queue, until } => {
            SavedCallState::Calling(SavedCalling { agent: agent.slot(), leg: *leg, queue: queue.slot(), until: *until })
        }
        CallState::Moving(row) => SavedCallState::Moving(moving(row)),
        CallState::Talking(row) => SavedCallState::Talks(talk(row)),
        CallState::Leaving { until } => SavedCallState::Leaving(*until),
        CallState::Ended { record } => SavedCallState::Ended(SavedCallRecord {
            queue: record.queue.to_string(),
            agent: record.agent.to_string(),
            answered_ms: record.answered_ms,
            ended_ms: record.ended_ms,
            outcome: record.outcome as i32,
            ended_by: record.ended_by.to_string(),
            gateway: record.gateway.to_string(),
            priority: record.priority,
            skills: record.skills.to_string(),
        }),
    };
    SavedCall {
        slot,
        id: row.id,
        gateway: row.gateway.slot(),
        number: row.number.to_string(),
        caller: row.caller.to_string(),
        caller_name: row.caller_name.to_string(),
        trace: row.trace.as_ref().map(ToString::to_string),
        offered: row.offered,
        offers: row.offers,
        legs_made: row.legs_made,
        legs: row.legs.iter().map(leg).collect(),
        state: Some(state),
        in_line: row.line.as_deref().map(|line| in_line(line, demands)),
        caller_leg: row.caller_leg,
        parts: row
            .parts
            .iter()
            .map(|part| SavedPart {
                agent: part.agent.to_string(),
                queue: part.queue.to_string(),
                from_ms: part.from_ms,
                until_ms: part.until_ms,
                hold_ms: part.hold_ms,
                ring_ms: part.ring_ms,
            })
            .collect(),
        hops: u32::from(row.hops),
        history: row.history.clone(),
        waited_ms: row.waited_ms,
        said: row.said.0,
        said_parts: row.said.1.clone(),
        called_back: row.called_back,
        formers: row.tenure.saturating_sub(1),
        homeless: row.homeless,
    }
}

fn leg(row: &Leg) -> SavedLeg {
    let (want, status) = match &row.want {
        LegWant::Alert => (SavedWant::Alert(SavedNothing {}), 0),
        LegWant::Ring(rung) => (SavedWant::Ring(rung.contact.to_string()), 0),
        LegWant::Listen => (SavedWant::Listen(SavedNothing {}), 0),
        LegWant::Join { leg } => (SavedWant::Join(*leg), 0),
        LegWant::Gone { release, status } => (SavedWant::Gone(*release as i32), u32::from(*status)),
        LegWant::Dial { target, .. } => (SavedWant::Dial(target.to_string()), 0),
        LegWant::Quiet => (SavedWant::Quiet(SavedNothing {}), 0),
        LegWant::Meet { legs } => (SavedWant::Meet(SavedLegs { legs: legs.to_vec() }), 0),
    };
    SavedLeg {
        number: row.number,
        agent: row.party.as_ref().map(ToString::to_string),
        answered: row.answered,
        revision: row.revision,
        passport: row.passport.to_vec(),
        status,
        want: Some(want),
        way: match &row.want {
            LegWant::Ring(rung) => way(rung),
            LegWant::Dial { replaces, .. } => way_in_place_of(replaces),
            _ => None,
        },
        former: row.former.as_ref().map(ToString::to_string),
        rang: row.rang.as_deref().and_then(rang),
    }
}

fn way(rung: &Rung) -> Option<SavedWay> {
    let Rung { path, replaces, .. } = rung;
    let text = |name: &Option<crate::Name>| name.as_ref().map(ToString::to_string);
    (path.is_some() || replaces.is_some()).then(|| SavedWay { path: text(path), replaces: text(replaces) })
}

fn way_in_place_of(replaces: &Option<crate::Name>) -> Option<SavedWay> {
    replaces.as_ref().map(|replaces| SavedWay { path: None, replaces: Some(replaces.to_string()) })
}

fn rang(want: &LegWant) -> Option<SavedRang> {
    match want {
        LegWant::Ring(rung) => {
            Some(SavedRang { contact: Some(rung.contact.to_string()), target: String::new(), way: way(rung) })
        }
        LegWant::Dial { target, replaces } => {
            Some(SavedRang { contact: None, target: target.to_string(), way: way_in_place_of(replaces) })
        }
        _ => None,
    }
}

fn gateway(slot: u32, row: &Gateway) -> SavedGateway {
    SavedGateway {
        slot,
        id: row.id.to_string(),
        incarnation: row.incarnation,
        former: row.former,
        sip: row.sip.clone(),
        up: row.up,
        since: row.since,
        draining: row.draining,
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
