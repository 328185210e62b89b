//! What a centre writes down, as JSON shows it and as people are told it. What `events` writes `simulate` reads, so calls
//! and agents are read by the same types; adds nothing to what was written.

mod told;

use proto::v1::{
    AgentRecord, AuditRecord, CallOutcome, CallPart, CallRecord, DecisionRecord, IntervalRecord, Record,
    TransferRecord, record,
};
use serde::{Deserialize, Serialize};

use crate::{counts::Counted, output::given};

/// One record.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    pub(crate) at_ms: u64,
    #[serde(flatten)]
    pub(crate) what: What,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum What {
    Decision(Decision),
    Agent(Activity),
    Call(Ended),
    Transfer(Transfer),
    Interval(Box<Interval>),
    Audit(Change),
    /// A newer release wrote down something that this one does not know.
    Unknown,
}

/// Why a call was offered to whom.
#[derive(Debug, Serialize)]
pub(crate) struct Decision {
    call: String,
    queue: String,
    strategy: String,
    chosen: Option<String>,
    /// Rung at the same time.
    also: Vec<String>,
    /// Best first.
    candidates: Vec<Candidate>,
    candidates_total: u32,
    exclusions: Vec<Exclusion>,
    waited_ms: u64,
    position: u32,
    tie_break: Option<String>,
    tier: Option<u32>,
    skills: Option<String>,
    /// None: the strategy decided.
    cause: Option<String>,
    /// The version of the rules that decided.
    rules: u32,
}

#[derive(Debug, Serialize)]
struct Candidate {
    agent: String,
    figure: u64,
}

#[derive(Debug, Serialize)]
struct Exclusion {
    reason: String,
    agents: u32,
}

/// An agent changed state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) agent: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason: Option<String>,
    call: Option<String>,
    #[serde(default)]
    spent_ms: u64,
}

/// The one terminal record of a call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) call: Option<String>,
    pub(crate) number: String,
    pub(crate) caller: String,
    pub(crate) queue: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) offered_at_ms: Option<u64>,
    pub(crate) answered_at_ms: Option<u64>,
    pub(crate) ended_at_ms: u64,
    pub(crate) outcome: Outcome,
    ended_by: Option<String>,
    #[serde(default)]
    offers: u32,
    gateway: Option<String>,
    /// In line, all queues.
    pub(crate) waited_ms: Option<u64>,
    #[serde(default)]
    priority: u32,
    #[serde(default)]
    callback: bool,
    /// Asked at the end.
    skills: Option<String>,
    /// Who talked, in order.
    #[serde(default)]
    parts: Vec<Part>,
}

/// One agent's part of a call.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    agent: String,
    queue: Option<String>,
    from_ms: u64,
    until_ms: u64,
    #[serde(default)]
    hold_ms: u64,
    #[serde(default)]
    ring_ms: u64,
}

/// What a call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Completed,
    Abandoned,
    Refused,
    Failed,
    Unknown,
}

/// A transfer, forward or consultation was concluded.
#[derive(Debug, Serialize)]
pub(crate) struct Transfer {
    call: String,
    agent: Option<String>,
    kind: String,
    target: String,
    result: String,
}

/// Counts of one subject over one interval.
#[derive(Debug, Serialize)]
pub(crate) struct Interval {
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) from_ms: u64,
    pub(crate) until_ms: u64,
    #[serde(flatten)]
    pub(crate) counts: Counted,
}

/// Somebody wanted to change something, or what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) number: u64,
    pub(crate) who: String,
    pub(crate) role: String,
    pub(crate) method: String,
    pub(crate) subject: String,
    /// None when it was about to be done.
    pub(crate) outcome: Option<String>,
    /// The record that announced it, with an outcome.
    pub(crate) of: Option<u64>,
    pub(crate) from: String,
    /// Of the record before; empty for the very first.
    pub(crate) before: String,
    pub(crate) hash: String,
}

/// A call's id as people and JSON have it.
pub(crate) fn call_id(call: u64) -> String {
    format!("{call:016x}")
}

impl From<Record> for Written {
    fn from(record: Record) -> Self {
        let what = match record.kind {
            Some(record::Kind::Decision(decision)) => What::Decision(decision.into()),
            Some(record::Kind::Agent(activity)) => What::Agent(activity.into()),
            Some(record::Kind::Call(ended)) => What::Call(ended.into()),
            Some(record::Kind::Transfer(transfer)) => What::Transfer(transfer.into()),
            Some(record::Kind::Interval(interval)) => What::Interval(Box::new(interval.into())),
            Some(record::Kind::Audit(audit)) => What::Audit(audit.into()),
            None => What::Unknown,
        };
        Self { at_ms: record.at_ms, what }
    }
}

impl From<AuditRecord> for Change {
    fn from(record: AuditRecord) -> Self {
        let audit = record.what.unwrap_or_default();
        Self {
            number: record.number,
            who: audit.who,
            role: audit.role,
            method: audit.method,
            subject: audit.subject,
            outcome: given(audit.outcome),
            of: Some(audit.of).filter(|of| *of > 0),
            from: audit.from,
            before: hex(&record.before),
            hash: hex(&record.hash),
        }
    }
}

/// Two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<DecisionRecord> for Decision {
    fn from(decision: DecisionRecord) -> Self {
        let candidates = decision.candidates.into_iter();
        let exclusions = decision.exclusions.into_iter();
        Self {
            call: call_id(decision.call),
            queue: decision.queue,
            strategy: decision.strategy,
            chosen: given(decision.chosen),
            also: decision.also,
            candidates: candidates.map(|one| Candidate { agent: one.agent, figure: one.figure }).collect(),
            candidates_total: decision.candidates_total,
            exclusions: exclusions.map(|one| Exclusion { reason: one.reason, agents: one.agents }).collect(),
            waited_ms: decision.waited_ms,
            position: decision.position,
            tie_break: given(decision.tie_break),
            tier: Some(decision.tier).filter(|tier| *tier > 0),
            skills: given(decision.skills),
            cause: given(decision.cause),
            rules: decision.rules,
        }
    }
}

impl From<AgentRecord> for Activity {
    fn from(record: AgentRecord) -> Self {
        let AgentRecord { agent, from, to, reason, call, spent_ms } = record;
        Self { agent, from, to, reason: given(reason), call: (call != 0).then(|| call_id(call)), spent_ms }
    }
}

impl From<CallRecord> for Ended {
    fn from(record: CallRecord) -> Self {
        let moment = |ms: u64| Some(ms).filter(|ms| *ms > 0);
        Self {
            outcome: match record.outcome() {
                CallOutcome::Completed => Outcome::Completed,
                CallOutcome::Abandoned => Outcome::Abandoned,
                CallOutcome::Refused => Outcome::Refused,
                CallOutcome::Failed => Outcome::Failed,
                CallOutcome::Unspecified => Outcome::Unknown,
            },
            call: (record.call != 0).then(|| call_id(record.call)),
            number: record.number,
            caller: record.caller,
            queue: given(record.queue),
            agent: given(record.agent),
            offered_at_ms: moment(record.offered_ms),
            answered_at_ms: moment(record.answered_ms),
            ended_at_ms: record.ended_ms,
            ended_by: given(record.ended_by),
            offers: record.offers,
            gateway: given(record.gateway),
            waited_ms: Some(record.waited_ms),
            priority: record.priority,
            callback: record.callback,
            skills: given(record.skills),
            parts: record.parts.into_iter().map(Part::from).collect(),
        }
    }
}

impl From<CallPart> for Part {
    fn from(part: CallPart) -> Self {
        let CallPart { agent, queue, from_ms, until_ms, hold_ms, ring_ms } = part;
        Self { agent, queue: given(queue), from_ms, until_ms, hold_ms, ring_ms }
    }
}

impl From<TransferRecord> for Transfer {
    fn from(transfer: TransferRecord) -> Self {
        let TransferRecord { call, agent, kind, target, result } = transfer;
        Self { call: call_id(call), agent: given(agent), kind, target, result }
    }
}

impl From<IntervalRecord> for Interval {
    fn from(interval: IntervalRecord) -> Self {
        let IntervalRecord { subject, name, from_ms, until_ms, counts, .. } = interval;
        Self { subject, name, from_ms, until_ms, counts: counts.unwrap_or_default().into() }
    }
}
