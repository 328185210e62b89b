//! Saved messages to rows, and the indices built from the rows; never trusts that rows fit together.

mod index;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::alarms::Alarm;
use crate::command::{Accepted, Rejection, RejectionCode};
use crate::counts::{Counts, Histogram};
use crate::document::{self, AnswerMode, Document, Target};
use crate::output::{CallOutcome, CallPart, CallRecord};
use crate::policy::{Asked, QueuePolicy};
use crate::rows::{
    AfterCall, Agent, AgentPolicy, Aside, AsideStage, CALLER, Call, CallState, CallbackWish, Class, Contact, Gateway,
    InLine, Leg, LegWant, Member, Move, MoveKind, Offer, Party, Place, Pool, Presence, Queue, QueueTotals, Rank,
    Release, Ringing, Rung, Seat, Stage, Standing, State, TIERS, Talk, Tally, Wanted, Wish, Work,
};
use crate::senders::Sender;
use crate::shard::NumberRow;
use crate::table::{AgentKey, CallKey, GatewayKey, Key, QueueKey, Table};
use crate::{Name, Timestamp};

type Result<T> = std::result::Result<T, RestoreError>;
const BROKEN: fn(&'static str) -> RestoreError = RestoreError::Broken;

/// Slots are dense, so none is far beyond what the limits allow even after limits were lowered.
const SLOTS_MAX: u32 = 1 << 24;

pub(super) fn shard(mut saved: Saved, limits: Limits) -> Result<Shard> {
    let mut shard = Shard::with_limits(limits);
    if saved.rules == 0 {
        super::first::bring_up(&mut saved)?;
    }
    shard.rules = saved.rules;
    shard.now = saved.now;
    shard.config_version = saved.config_version;
    shard.sequence = saved.sequence;
    shard.revision = saved.revision;
    shard.asked = saved.asked;
    shard.dice.0 = saved.dice;
    shard.interval_ends = saved.interval_ends;
    shard.day_ends = saved.day_ends;
    shard.skills = saved.skills.iter().map(|name| name.as_str().into()).collect();
    for row in saved.served {
        shard.memory.put(row.caller.into(), row.agent.into(), row.at);
    }
    let queues = saved.queues;
    shard.queues = rows(queues.iter().map(|row| Ok((row.slot, queue(row)))), "queue slots")?;
    shard.gateways = rows(saved.gateways.into_iter().map(|row| Ok(gateway(row))), "gateway slots")?;
    shard.agents = rows(saved.agents.into_iter().map(agent), "agent slots")?;
    let calls = saved.calls.into_iter().map(|row| call(row, &mut shard)).collect::<Result<Vec<_>>>()?;
    shard.calls = Table::from_rows(calls, SLOTS_MAX).ok_or(BROKEN("call slots"))?;
    for number in saved.numbers {
        let row = NumberRow {
            name: number.name.as_str().into(),
            policy: document::Number { name: number.name.clone(), ..Default::default() },
            counts: Box::new(counts(number.counts)),
            demands: Vec::new(),
            removed: number.removed,
        };
        shard.numbers.insert(number.name.into(), row);
    }
    for row in saved.senders {
        let (id, sender) = sender(row)?;
        shard.senders.rows.insert(id, sender);
    }
    index::names(&mut shard);
    index::check_keys(&shard)?;
    shard.documents = saved.documents.into();
    let documents: Vec<Document> = match &*shard.documents {
        [] => Vec::new(),
        bytes => serde_json::from_slice(bytes).map_err(|error| RestoreError::Decode(error.to_string()))?,
    };
    let (interval_ends, day_ends) = (shard.interval_ends, shard.day_ends);
    shard.interval_ends = 0; // so that a zone does not begin a day
    shard.restore_documents(&documents).map_err(|_| BROKEN("documents"))?;
    (shard.interval_ends, shard.day_ends) = (interval_ends, day_ends);
    index::build(&mut shard, &queues)?;
    shard.audit().map_err(|_| BROKEN("rows disagree"))?;
    Ok(shard)
}

fn rows<K: Key, T: Clone>(rows: impl Iterator<Item = Result<(u32, T)>>, what: &'static str) -> Result<Table<K, T>> {
    Table::from_rows(rows.collect::<Result<Vec<_>>>()?, SLOTS_MAX).ok_or(BROKEN(what))
}

fn counts(saved: Option<SavedCounts>) -> Counts {
    let Some(saved) = saved else { return Counts::default() };
    let sum = |at: usize| saved.sums.get(at).copied().unwrap_or(0);
    let mut state_ms = [0; crate::counts::STATES];
    for (ms, saved) in state_ms.iter_mut().zip(&saved.state_ms) {
        *ms = *saved;
    }
    Counts {
        offered: sum(0),
        answered: sum(1),
        abandoned: sum(2),
        abandoned_short: sum(3),
        within_threshold: sum(4),
        overflowed: sum(5),
        refused: sum(6),
        transferred_in: sum(7),
        transferred_out: sum(8),
        callbacks_asked: sum(9),
        callbacks_done: sum(10),
        rona: sum(11),
        wait_ms: sum(12),
        abandon_ms: sum(13),
        talk_ms: sum(14),
        hold_ms: sum(15),
        wrap_up_ms: sum(16),
        ring_ms: sum(17),
        repeated_callers: sum(18),
        abandoned_within_threshold: sum(19),
        waits: Histogram::from_buckets(&saved.waits),
        handles: Histogram::from_buckets(&saved.handles),
        state_ms,
    }
}

/// The policy of a queue that no document names any more; others get theirs from the document.
fn queue(row: &SavedQueue) -> Queue {
    let document = document::Queue {
        name: row.name.clone(),
        answer: if row.answer == 2 { AnswerMode::OnAgent } else { AnswerMode::OnEntry },
        ring_seconds: row.ring_seconds,
        wrap_up_seconds: row.wrap_up_seconds,
        waiting_max: row.waiting_max,
        wait_seconds_max: row.wait_seconds_max,
        busy_delay_seconds: row.busy_delay_seconds,
        unreachable_delay_seconds: row.unreachable_delay_seconds,
        music: row.music.clone(),
        ..Default::default()
    };
    Queue {
        name: row.name.as_str().into(),
        policy: Box::new(QueuePolicy::new(&document, Vec::new(), None)),
        removed: row.removed,
        classes: BTreeMap::new(),
        offered: BTreeMap::new(),
        talking: 0,
        pools: Vec::new(),
        members: Vec::new(),
        staff: [[0; Class::COUNT]; TIERS],
        cursor: row.cursor,
        totals: QueueTotals {
            offered: row.offered,
            answered: row.answered,
            abandoned: row.abandoned,
            wait_ms: row.wait_ms,
            talk_ms: row.talk_ms,
        },
        counts: Box::new(counts(row.counts.clone())),
        handled: row.handled,
        handle_ms: row.handle_ms,
        callbacks: 0,
        open: true,
        alarm: None,
    }
}

fn gateway(row: SavedGateway) -> (u32, Gateway) {
    let SavedGateway { slot, id, incarnation, former, sip, up, since, draining } = row;
    (slot, Gateway { id: id.into(), incarnation, former, sip, up, draining, since, calls: BTreeSet::new() })
}

fn agent(row: SavedAgent) -> Result<(u32, Agent)> {
    let reason: Name = row.reason.into();
    let presence = match (row.presence, row.until) {
        (1, _) => Presence::LoggedOut,
        (2, until) => Presence::NotReady { reason, until },
        (3, _) => Presence::Ready,
        (4, Some(until)) => Presence::WrapUp { until },
        _ => return Err(BROKEN("agent presence")),
    };
    let after = match row.after {
        0 => AfterCall::Ready,
        1 => AfterCall::NotReady { reason: row.after_reason.into() },
        2 => AfterCall::LoggedOut,
        _ => return Err(BROKEN("agent after call")),
    };
    let work = row.work.iter().map(|work| {
        let stage = match work.stage {
            0 => Stage::Reserved,
            1 => Stage::Talking,
            2 => Stage::Held,
            3 => Stage::Consulting,
            _ => return Err(BROKEN("agent work")),
        };
        Ok(Work { call: CallKey::from_slot(work.call), stage })
    });
    let tally = |saved: Option<SavedTally>| {
        let saved = saved.unwrap_or_default();
        Tally { from: saved.from, calls: saved.calls, talk_ms: saved.talk_ms, busy_ms: saved.busy_ms }
    };
    let mut state_ms = [0; State::COUNT];
    for (ms, saved) in state_ms.iter_mut().zip(&row.state_ms) {
        *ms = *saved;
    }
    let contacts = row.contacts.into_iter();
    let mut agent = Agent {
        name: row.name.into(),
        policy: AgentPolicy::nobody(),
        members: row
            .members
            .iter()
            .map(|member| Member {
                queue: QueueKey::from_slot(member.queue),
                tier: member.tier.clamp(1, 9) as u8,
                weight: member.weight.clamp(1, 100) as u8,
                order: 0,
                entry: (member.entry_calls, member.entry_talk_ms),
            })
            .collect(),
        removed: row.removed,
        presence,
        after,
        work: work.collect::<Result<Vec<_>>>()?,
        state: State::LoggedOut,
        since: row.since,
        counted: row.counted,
        rank: row.rank.as_ref().map(to_rank).unwrap_or_default(),
        last_call_end: row.last_call_end,
        rona: row.rona,
        contacts: contacts
            .map(|contact| Contact {
                uri: contact.uri.into(),
                gateway: contact.gateway,
                expires: contact.expires,
                path: contact.path.map(Into::into),
                flow: contact.flow,
            })
            .collect(),
        answered: row.answered,
        shift: tally(row.shift),
        day: tally(row.day),
        recent: row.recent.iter().map(|moment| (moment.at, moment.sequence)).collect::<VecDeque<_>>(),
        state_ms,
        counts: Box::new(counts(row.counts)),
        closing: row.closing.map(|closing| (QueueKey::from_slot(closing.at as u32), closing.sequence)),
        seats: row
            .seats
            .iter()
            .map(|seat| Seat {
                queue: QueueKey::from_slot(seat.queue),
                pool: seat.pool as u16,
                standing: Standing {
                    tier: seat.tier.clamp(1, 9) as u8,
                    key: seat.key,
                    since: seat.since,
                    sequence: seat.sequence,
                },
            })
            .collect(),
        able: Vec::new(),
        own: Vec::new(),
        alarm: row.alarm,
        contacts_alarm: None,
    };
    agent.state = agent.derived_state();
    Ok((row.slot, agent))
}

fn to_rank(row: &SavedMoment) -> Rank {
    Rank { since: row.at, sequence: row.sequence }
}

fn asked(saved: &[SavedAsked], shard: &Shard) -> Result<Vec<Asked>> {
    let known = saved.iter().all(|asked| (asked.skill as usize) < shard.skills.len() && asked.level <= 100);
    if !known {
        return Err(BROKEN("skill"));
    }
    Ok(saved.iter().map(|asked| (asked.skill as u16, asked.level as u8)).collect())
}

fn party(saved: &SavedParty) -> Party {
    match saved.agent {
        Some(agent) => Party::Agent(AgentKey::from_slot(agent)),
        None => Party::Outside(saved.outside.as_str().into()),
    }
}

fn in_line(row: SavedInLine, shard: &mut Shard) -> Result<InLine> {
    let asked = asked(&row.demand, shard)?;
    let (demand, _) = shard.demands.key(&asked, &shard.skills);
    let wanted = match row.wanted {
        None => None,
        Some(wanted) => Some(Wanted {
            agent: AgentKey::from_slot(wanted.agent),
            until: wanted.until,
            wish: match wanted.wish {
                1 => Wish::Sticky,
                2 => Wish::Direct,
                3 => Wish::Pull,
                _ => return Err(BROKEN("call wish")),
            },
        }),
    };
    Ok(InLine {
        queue: QueueKey::from_slot(row.queue),
        more: row.more.into_iter().map(QueueKey::from_slot).collect(),
        place: Place { priority: row.priority.min(9) as u8, effective: row.effective, sequence: row.sequence },
        joined: row.joined,
        boost_ms: row.boost_ms,
        demand,
        tier: row.tier.clamp(1, 9) as u8,
        wanted,
        shuns: row.shuns.map(AgentKey::from_slot),
        step: row.step as u16,
        step_at: row.step_at,
        tier_at: row.tier_at,
        announce_at: row.announce_at.into_iter().map(|at| (at > 0).then_some(at)).collect(),
        wait_until: row.wait_until,
        callback: row.callback.map(|wish| {
            Box::new(CallbackWish {
                number: wish.number,
                attempts: wish.attempts,
                rest_until: wish.rest_until,
                expires: wish.expires,
            })
        }),
    })
}

fn call(row: SavedCall, shard: &mut Shard) -> Result<(u32, Call)> {
    let gateway = GatewayKey::from_slot(row.gateway);
    shard.gateways.get(gateway).ok_or(BROKEN("call gateway"))?;
    let parts: Vec<CallPart> = row
        .parts
        .into_iter()
        .map(|part| CallPart {
            agent: part.agent.into(),
            queue: part.queue.into(),
            from_ms: part.from_ms,
            until_ms: part.until_ms,
            hold_ms: part.hold_ms,
            ring_ms: part.ring_ms,
        })
        .collect();
    let (number, caller): (Name, Name) = (row.number.into(), row.caller.into());
    let state = match row.state.ok_or(BROKEN("call state"))? {
        SavedCallState::Waits(_) => CallState::Waiting,
        SavedCallState::Asking(row) => CallState::Asking { ask: row.ask, until: row.until },
        SavedCallState::Rings(row) => CallState::Offered(Box::new(offer(&row)?)),
        SavedCallState::Calling(row) => CallState::Calling {
            agent: AgentKey::from_slot(row.agent),
            leg: row.leg,
            queue: QueueKey::from_slot(row.queue),
            until: row.until,
        },
        SavedCallState::Moving(row) => CallState::Moving(Box::new(moving(row)?)),
        SavedCallState::Talks(row) => CallState::Talking(Box::new(talk(row)?)),
        SavedCallState::Leaving(until) => CallState::Leaving { until },
        SavedCallState::Ended(record) => CallState::Ended {
            record: std::sync::Arc::new(CallRecord {
                call: row.id,
                number: number.clone(),
                caller: caller.clone(),
                queue: record.queue.into(),
                agent: record.agent.into(),
                offered_ms: row.offered,
                answered_ms: record.answered_ms,
                ended_ms: record.ended_ms,
                outcome: CallOutcome::from_number(record.outcome).ok_or(BROKEN("call outcome"))?,
                ended_by: record.ended_by.into(),
                offers: row.offers,
                gateway: record.gateway.into(),
                parts: parts.clone(),
                priority: record.priority,
                callback: row.called_back,
                skills: record.skills.into(),
                waited_ms: row.waited_ms,
            }),
        },
        SavedCallState::Waiting(_) | SavedCallState::Offered(_) | SavedCallState::Talking(_) => {
            return Err(BROKEN("a state of the first rules"));
        }
    };
    let line = row.in_line.map(|line| in_line(line, shard)).transpose()?;
    let call = Call {
        id: row.id,
        gateway,
        tenure: row.formers.saturating_add(1),
        homeless: row.homeless,
        number,
        caller,
        caller_name: row.caller_name.into(),
        trace: row.trace.map(Into::into),
        offered: row.offered,
        offers: row.offers,
        legs_made: row.legs_made,
        caller_leg: row.caller_leg.max(CALLER),
        legs: row.legs.into_iter().map(leg).collect::<Result<Vec<_>>>()?,
        state,
        line: line.map(Box::new),
        parts,
        hops: row.hops as u8,
        history: row.history,
        waited_ms: row.waited_ms,
        said: (row.said, row.said_parts),
        called_back: row.called_back,
        alarm: None,
    };
    Ok((row.slot, call))
}

fn offer(row: &SavedOffer) -> Result<Offer> {
    let ringing = row.ringing.iter().map(|ringing| {
        let agent = ringing.agent.ok_or(BROKEN("an offer rings nobody"))?;
        Ok(Ringing { agent: AgentKey::from_slot(agent), leg: ringing.leg })
    });
    Ok(Offer {
        ringing: ringing.collect::<Result<Vec<_>>>()?,
        since: row.since,
        until: row.until,
        step: row.step as u16,
        tried: row.tried.iter().map(|slot| AgentKey::from_slot(*slot)).collect(),
        queue: QueueKey::from_slot(row.queue),
        many: row.many,
    })
}

fn moving(row: SavedMove) -> Result<Move> {
    let next = row.next.into_iter().map(|target| {
        let name = target.name;
        let who = match target.kind {
            1 => Target::Agent(name),
            2 => Target::Queue(name),
            3 => Target::Number(name),
            4 => Target::Sip(name),
            _ => return Err(BROKEN("call target")),
        };
        Ok((who, target.ring_ms))
    });
    Ok(Move {
        kind: match row.kind {
            1 => MoveKind::Blind,
            2 => MoveKind::Forward,
            3 => MoveKind::Overflow,
            _ => return Err(BROKEN("call move")),
        },
        back: row.back.map(AgentKey::from_slot),
        ringing: row.ringing.iter().map(|saved| (party(saved), saved.leg)).collect(),
        until: row.until,
        since: row.since,
        next: next.collect::<Result<Vec<_>>>()?,
    })
}

fn talk(row: SavedTalk) -> Result<Talk> {
    let who = row.party.ok_or(BROKEN("call party"))?;
    let aside = match row.aside {
        None => None,
        Some(aside) => Some(Box::new(Aside {
            party: party(&aside.party.ok_or(BROKEN("aside party"))?),
            legs: aside.legs,
            stage: match aside.stage {
                0 => AsideStage::Ringing { until: aside.until },
                1 => AsideStage::Target,
                2 => AsideStage::Caller,
                3 => AsideStage::Conference,
                _ => return Err(BROKEN("aside stage")),
            },
            since: aside.since,
        })),
    };
    Ok(Talk {
        party: party(&who),
        leg: who.leg,
        since: row.since,
        held: row.held,
        hold_ms: row.hold_ms,
        ring_ms: row.ring_ms,
        aside,
        code: row.code,
    })
}

fn leg(row: SavedLeg) -> Result<Leg> {
    let want = match row.want.ok_or(BROKEN("leg want"))? {
        SavedWant::Alert(_) => LegWant::Alert,
        SavedWant::Ring(contact) => LegWant::Ring(rung(contact, row.way)),
        SavedWant::Listen(_) => LegWant::Listen,
        SavedWant::Join(leg) => LegWant::Join { leg },
        SavedWant::Gone(number) => {
            let release = Release::ALL.into_iter().find(|release| *release as i32 == number);
            LegWant::Gone { release: release.ok_or(BROKEN("leg release"))?, status: row.status as u16 }
        }
        SavedWant::Dial(target) => dialled(target, row.way),
        SavedWant::Quiet(_) => LegWant::Quiet,
        SavedWant::Meet(legs) => LegWant::Meet { legs: legs.legs.into() },
    };
    Ok(Leg {
        number: row.number,
        party: row.agent.map(Into::into),
        answered: row.answered,
        want,
        revision: row.revision,
        passport: row.passport.into(),
        former: row.former.map(Into::into),
        rang: row.rang.map(|rang| {
            Box::new(match rang.contact {
                Some(contact) => LegWant::Ring(rung(contact, rang.way)),
                None => dialled(rang.target, rang.way),
            })
        }),
    })
}

fn dialled(target: String, way: Option<SavedWay>) -> LegWant {
    LegWant::Dial { target: target.into(), replaces: way.and_then(|way| way.replaces).map(Into::into) }
}

fn rung(contact: String, way: Option<SavedWay>) -> Rung {
    let SavedWay { path, replaces } = way.unwrap_or_default();
    Rung { contact: contact.into(), path: path.map(Into::into), replaces: replaces.map(Into::into) }
}

fn sender(row: SavedSender) -> Result<(u64, Sender)> {
    let replies = row.replies.into_iter().map(|reply| {
        let outcome = match reply.code {
            0 => Ok(Accepted),
            code => {
                let code = RejectionCode::from_number(code).ok_or(BROKEN("reply code"))?;
                Err(Rejection { code, detail: reply.detail })
            }
        };
        Ok((reply.number, outcome))
    });
    let replies = replies.collect::<Result<VecDeque<_>>>()?;
    let rising = replies.iter().zip(replies.iter().skip(1)).all(|(one, other)| one.0 < other.0);
    if !rising {
        return Err(BROKEN("replies out of order"));
    }
    let (last_seen, check_at, settled_below) = (row.last_seen, row.check_at, row.settled_below);
    Ok((row.id, Sender { last_seen, check_at, settled_below, replies }))
}
