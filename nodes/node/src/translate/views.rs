//! What people look at: from the shard's views to the words of `admin.proto`. Waiting times are carried forward to the
//! present, because a quiet shard's clock stands still.

use proto::v1;

/// A call id in text.
#[must_use]
pub fn hex(call: u64) -> String {
    format!("{call:016x}")
}

/// A call id from text: 16 hexadecimal digits.
#[must_use]
pub fn id_from_hex(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The shard in figures.
#[must_use]
pub fn totals(shard: &acd::Shard) -> v1::Totals {
    let totals = shard.totals();
    v1::Totals {
        config_version: shard.config_version(),
        calls_waiting: totals.calls_waiting.saturating_add(totals.calls_offered),
        calls_talking: totals.calls_talking,
        agents_ready: totals.agents_ready,
        agents_total: totals.agents_total,
        at_ms: shard.now(),
        rules: shard.rules(),
    }
}

/// A queue in figures; `late_ms` is how far the shard's clock is behind the present.
#[must_use]
pub fn queue(queue: acd::view::QueueInfo, late_ms: u64) -> v1::QueueInfo {
    let someone_waits = queue.waiting > 0 || queue.offered > 0;
    v1::QueueInfo {
        name: queue.name,
        waiting: queue.waiting,
        offered: queue.offered,
        talking: queue.talking,
        agents_ready: queue.agents_ready,
        agents_logged_in: queue.agents_logged_in,
        agents_total: queue.agents_total,
        longest_wait_ms: if someone_waits { queue.longest_wait_ms + late_ms } else { 0 },
        calls_offered: queue.calls_offered,
        calls_answered: queue.calls_answered,
        calls_abandoned: queue.calls_abandoned,
        strategy: queue.strategy,
        estimate_low_ms: queue.estimate.map_or(0, |estimate| estimate.low_ms),
        estimate_high_ms: queue.estimate.map_or(0, |estimate| estimate.high_ms),
        callbacks: queue.callbacks,
        open: queue.open,
        now: Some(super::counts(&queue.counts)),
        ..v1::QueueInfo::default()
    }
}

/// A queue with its line and members.
#[must_use]
pub fn queue_detail(detail: acd::view::QueueDetail, late_ms: u64) -> v1::QueueDetail {
    let waiting = detail.waiting.into_iter().map(|call| v1::WaitingCall {
        call: hex(call.call),
        caller: call.caller,
        waited_ms: call.waited_ms + late_ms,
        position: call.position,
        offered: call.offered,
        priority: call.priority,
        skills: call.skills,
        tier: call.tier,
        waits_for: call.waits_for,
        callback: call.callback,
        estimate_low_ms: call.estimate.map_or(0, |estimate| estimate.low_ms),
        estimate_high_ms: call.estimate.map_or(0, |estimate| estimate.high_ms),
    });
    v1::QueueDetail {
        info: Some(queue(detail.info, late_ms)),
        waiting: waiting.collect(),
        agents: detail.agents.into_iter().map(|member| agent(member, late_ms)).collect(),
    }
}

/// An agent.
#[must_use]
pub fn agent(agent: acd::view::AgentInfo, late_ms: u64) -> v1::AgentInfo {
    v1::AgentInfo {
        name: agent.name,
        state: agent.state,
        reason: agent.reason,
        in_state_ms: agent.in_state_ms + late_ms,
        call: agent.call.map(hex).unwrap_or_default(),
        queues: agent.queues,
        contacts: agent.contacts,
        calls_answered: agent.calls_answered,
        skills: agent.skills.into_iter().map(|(skill, level)| v1::SkillLevel { skill, level }).collect(),
        state_ms: agent.state_ms,
        capacity: agent.capacity,
        calls: agent.calls.into_iter().map(hex).collect(),
        ..v1::AgentInfo::default()
    }
}

/// A call.
#[must_use]
pub fn call_info(call: acd::view::CallInfo, late_ms: u64) -> v1::CallInfo {
    let late_ms = if call.state == "ended" { 0 } else { late_ms };
    let still_waits = matches!(call.state.as_str(), "waiting" | "asking" | "offered" | "calling" | "moving");
    v1::CallInfo {
        call: hex(call.call),
        state: call.state,
        number: call.number,
        caller: call.caller,
        queue: call.queue,
        agent: call.agent,
        age_ms: call.age_ms + late_ms,
        waited_ms: call.waited_ms + if still_waits { late_ms } else { 0 },
        gateway: call.gateway,
        outcome: call.outcome,
        ..v1::CallInfo::default()
    }
}

/// A call with its legs.
#[must_use]
pub fn call(detail: acd::view::CallDetail, late_ms: u64) -> v1::CallDetail {
    let record = detail.record.map(|record| {
        let at = record.ended_ms;
        super::record(acd::Record { at, kind: acd::RecordKind::Call(record) })
    });
    v1::CallDetail {
        info: Some(call_info(detail.info, late_ms)),
        legs: detail
            .legs
            .into_iter()
            .map(|leg| v1::LegInfo {
                leg: leg.leg,
                party: leg.party,
                state: leg.state,
                wanted: leg.wanted,
                revision: leg.revision,
            })
            .collect(),
        traceparent: detail.trace.unwrap_or_default(),
        record: record.and_then(|record| match record.kind {
            Some(v1::record::Kind::Call(call)) => Some(call),
            _ => None,
        }),
    }
}

/// A gateway.
#[must_use]
pub fn gateway(gateway: acd::view::GatewayInfo) -> v1::GatewayInfo {
    v1::GatewayInfo {
        id: gateway.id,
        sip: gateway.sip,
        up: gateway.up,
        legs: gateway.legs,
        since_ms: gateway.since,
        calls: gateway.calls,
        draining: gateway.draining,
    }
}
