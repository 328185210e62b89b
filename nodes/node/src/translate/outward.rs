//! From the shard machine to the wire.

use proto::v1;

/// An order.
#[must_use]
pub fn order(order: acd::Order) -> v1::Order {
    let takeover = order.takeover.map(|from| takeover(*from));
    v1::Order {
        call: order.call,
        leg: order.leg,
        revision: order.revision,
        trace: order.trace.map(|traceparent| v1::TraceContext { traceparent: traceparent.to_string() }),
        tenure: order.tenure,
        takeover,
        want: Some(want(order.want)),
    }
}

fn takeover(from: acd::Takeover) -> v1::Takeover {
    use v1::{order::Want, takeover::Rang};
    let rang = from.rang.map(want).and_then(|rang| match rang {
        Want::Ring(ring) => Some(Rang::Ring(ring)),
        Want::Dial(dial) => Some(Rang::Dial(dial)),
        _ => None,
    });
    v1::Takeover { passport: from.passport, former_sip: from.former_sip, rang }
}

fn want(want: acd::Want) -> v1::order::Want {
    use acd::Want;
    use v1::order::Want as To;
    match want {
        Want::Alert => To::Alert(v1::Alert {}),
        Want::Ring(ring) => To::Ring(v1::Ring {
            contact: ring.contact.to_string(),
            agent: ring.agent.to_string(),
            caller: ring.caller.to_string(),
            caller_name: ring.caller_name.to_string(),
            number: ring.number.to_string(),
            queue: ring.queue.to_string(),
            path: ring.path.map(|path| path.to_string()).unwrap_or_default(),
            replaces: ring.replaces.map(|replaces| replaces.to_string()).unwrap_or_default(),
            history: ring.history,
        }),
        Want::Listen { prompt, announcement } => To::Listen(v1::Listen {
            prompt,
            announcement: announcement.map(|said| v1::listen::Announcement { number: said.number, parts: said.parts }),
        }),
        Want::Dial(dial) => To::Dial(v1::Dial {
            target: dial.target,
            caller: dial.caller,
            caller_name: dial.caller_name,
            hidden: dial.hidden,
            history: dial.history,
            replaces: dial.replaces.map(|replaces| replaces.to_string()).unwrap_or_default(),
        }),
        Want::Quiet => To::Quiet(v1::Quiet {}),
        Want::Join { leg } => To::Join(v1::Join { leg }),
        Want::Meet { legs } => To::Meet(v1::Meet { legs }),
        Want::Gone { sip_status, reason } => To::Gone(v1::Gone { sip_status, reason }),
        Want::Yield => To::Yield(v1::Yield {}),
    }
}

/// A question to a chooser.
#[must_use]
pub fn ask(ask: acd::Ask) -> v1::Ask {
    v1::Ask {
        ask: ask.ask,
        call: ask.call,
        queue: ask.queue.to_string(),
        endpoint: ask.endpoint,
        deadline_ms: ask.deadline_ms,
        caller: ask.caller.to_string(),
        number: ask.number.to_string(),
        waited_ms: ask.waited_ms,
        candidates: candidates(ask.candidates),
    }
}

fn candidates(candidates: Vec<acd::Candidate>) -> Vec<v1::Candidate> {
    let candidate = |from: acd::Candidate| v1::Candidate { agent: from.agent.to_string(), figure: from.figure };
    candidates.into_iter().map(candidate).collect()
}

/// Counts.
#[must_use]
pub fn counts(from: &acd::counts::Counts) -> v1::Counts {
    let histogram =
        |from: &acd::counts::Histogram| (!from.is_empty()).then(|| v1::Histogram { buckets: from.buckets.to_vec() });
    v1::Counts {
        offered: from.offered,
        answered: from.answered,
        abandoned: from.abandoned,
        abandoned_short: from.abandoned_short,
        within_threshold: from.within_threshold,
        overflowed: from.overflowed,
        refused: from.refused,
        transferred_in: from.transferred_in,
        transferred_out: from.transferred_out,
        callbacks_asked: from.callbacks_asked,
        callbacks_done: from.callbacks_done,
        rona: from.rona,
        wait_ms: from.wait_ms,
        abandon_ms: from.abandon_ms,
        talk_ms: from.talk_ms,
        hold_ms: from.hold_ms,
        wrap_up_ms: from.wrap_up_ms,
        ring_ms: from.ring_ms,
        repeated_callers: from.repeated_callers,
        waits: histogram(&from.waits),
        handles: histogram(&from.handles),
        state_ms: if from.state_ms.iter().all(|ms| *ms == 0) { Vec::new() } else { from.state_ms.to_vec() },
        abandoned_within_threshold: from.abandoned_within_threshold,
    }
}

/// A refusal.
#[must_use]
pub fn rejection(rejection: acd::Rejection) -> v1::Rejection {
    v1::Rejection { code: rejection.code as i32, detail: rejection.detail }
}

/// A record.
#[must_use]
pub fn record(record: acd::Record) -> v1::Record {
    use acd::RecordKind;
    use v1::record::Kind;
    let kind = match record.kind {
        RecordKind::Call(call) => Kind::Call(v1::CallRecord {
            call: call.call,
            number: call.number.to_string(),
            caller: call.caller.to_string(),
            queue: call.queue.to_string(),
            agent: call.agent.to_string(),
            offered_ms: call.offered_ms,
            answered_ms: call.answered_ms,
            ended_ms: call.ended_ms,
            outcome: call.outcome as i32,
            ended_by: call.ended_by.to_string(),
            offers: call.offers,
            gateway: call.gateway.to_string(),
            parts: call
                .parts
                .iter()
                .map(|part| v1::CallPart {
                    agent: part.agent.to_string(),
                    queue: part.queue.to_string(),
                    from_ms: part.from_ms,
                    until_ms: part.until_ms,
                    hold_ms: part.hold_ms,
                    ring_ms: part.ring_ms,
                })
                .collect(),
            priority: call.priority,
            callback: call.callback,
            skills: call.skills.to_string(),
            waited_ms: call.waited_ms,
        }),
        RecordKind::Agent(agent) => Kind::Agent(v1::AgentRecord {
            agent: agent.agent.to_string(),
            from: agent.from.to_owned(),
            to: agent.to.to_owned(),
            reason: agent.reason.to_string(),
            call: agent.call,
            spent_ms: agent.spent_ms,
        }),
        RecordKind::Decision(decision) => Kind::Decision(v1::DecisionRecord {
            call: decision.call,
            queue: decision.queue.to_string(),
            strategy: decision.strategy.to_owned(),
            chosen: decision.chosen.to_string(),
            candidates: candidates(decision.candidates),
            candidates_total: decision.candidates_total,
            exclusions: decision
                .exclusions
                .into_iter()
                .map(|exclusion| v1::Exclusion { reason: exclusion.reason.to_owned(), agents: exclusion.agents })
                .collect(),
            waited_ms: decision.waited_ms,
            position: decision.position,
            tie_break: decision.tie_break.to_owned(),
            also: decision.also.iter().map(ToString::to_string).collect(),
            rules: decision.rules,
            tier: decision.tier,
            skills: decision.skills.to_string(),
            cause: decision.cause.to_owned(),
        }),
        RecordKind::Interval(interval) => Kind::Interval(v1::IntervalRecord {
            subject: interval.subject.to_owned(),
            name: interval.name.to_string(),
            from_ms: interval.from_ms,
            until_ms: interval.until_ms,
            counts: Some(counts(&interval.counts)),
            ..v1::IntervalRecord::default()
        }),
        RecordKind::Transfer(transfer) => Kind::Transfer(v1::TransferRecord {
            call: transfer.call,
            agent: transfer.agent.to_string(),
            kind: transfer.kind.to_owned(),
            target: transfer.target,
            result: transfer.result.to_owned(),
        }),
    };
    v1::Record { at_ms: record.at, kind: Some(kind), ..v1::Record::default() }
}
