//! From the shard machine to the wire.

use proto::v1;

/// An order.
#[must_use]
pub fn order(order: acd::Order) -> v1::Order {
    use acd::Want;
    use v1::order::Want as To;
    let want = match order.want {
        Want::Alert => To::Alert(v1::Alert {}),
        Want::Ring(ring) => To::Ring(v1::Ring {
            contact: ring.contact,
            agent: ring.agent,
            caller: ring.caller,
            caller_name: ring.caller_name,
            number: ring.number,
            queue: ring.queue,
        }),
        Want::Listen { prompt } => To::Listen(v1::Listen { prompt, ..v1::Listen::default() }),
        Want::Join { leg } => To::Join(v1::Join { leg }),
        Want::Gone { sip_status, reason } => To::Gone(v1::Gone { sip_status, reason }),
    };
    v1::Order {
        call: order.call,
        leg: order.leg,
        revision: order.revision,
        trace: order.trace.map(|traceparent| v1::TraceContext { traceparent }),
        want: Some(want),
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
            number: call.number,
            caller: call.caller,
            queue: call.queue,
            agent: call.agent,
            offered_ms: call.offered_ms,
            answered_ms: call.answered_ms,
            ended_ms: call.ended_ms,
            outcome: call.outcome as i32,
            ended_by: call.ended_by,
            offers: call.offers,
            gateway: call.gateway,
            ..v1::CallRecord::default()
        }),
        RecordKind::Agent(agent) => Kind::Agent(v1::AgentRecord {
            agent: agent.agent,
            from: agent.from.to_owned(),
            to: agent.to.to_owned(),
            reason: agent.reason,
            call: agent.call,
            spent_ms: agent.spent_ms,
        }),
        RecordKind::Decision(decision) => Kind::Decision(v1::DecisionRecord {
            call: decision.call,
            queue: decision.queue,
            strategy: decision.strategy.to_owned(),
            chosen: decision.chosen,
            candidates: decision
                .candidates
                .into_iter()
                .map(|candidate| v1::Candidate { agent: candidate.agent, figure: candidate.figure })
                .collect(),
            candidates_total: decision.candidates_total,
            exclusions: decision
                .exclusions
                .into_iter()
                .map(|exclusion| v1::Exclusion { reason: exclusion.reason.to_owned(), agents: exclusion.agents })
                .collect(),
            waited_ms: decision.waited_ms,
            position: decision.position,
            tie_break: decision.tie_break.to_owned(),
            ..v1::DecisionRecord::default()
        }),
    };
    v1::Record { at_ms: record.at, kind: Some(kind) }
}
