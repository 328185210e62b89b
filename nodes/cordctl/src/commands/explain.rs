//! `cordctl call explain`: why the call went where it went, in words. Adds nothing to what was written down.

use proto::v1::{AgentRecord, CallOutcome, CallRecord, DecisionRecord, GetCallRequest, Record, record};
use serde::Serialize;

use super::call;
use crate::{
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Output, given, lasting, time_of_day},
};

#[derive(Serialize)]
struct Explanation {
    #[serde(flatten)]
    info: call::View,
    records: Vec<Written>,
}

#[derive(Serialize)]
struct Written {
    at_ms: u64,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum What {
    Decision(Decision),
    Agent(Activity),
    Call(Ended),
    /// A newer release wrote down something that this one does not know.
    Unknown,
}

#[derive(Serialize)]
struct Decision {
    queue: String,
    strategy: String,
    chosen: Option<String>,
    /// Best first.
    candidates: Vec<Candidate>,
    candidates_total: u32,
    exclusions: Vec<Exclusion>,
    waited_ms: u64,
    position: u32,
    tie_break: Option<String>,
}

#[derive(Serialize)]
struct Candidate {
    agent: String,
    figure: u64,
}

#[derive(Serialize)]
struct Exclusion {
    reason: String,
    agents: u32,
}

#[derive(Serialize)]
struct Activity {
    agent: String,
    from: String,
    to: String,
    reason: Option<String>,
    spent_ms: u64,
}

/// The one terminal record of a call.
#[derive(Serialize)]
pub(super) struct Ended {
    number: String,
    caller: String,
    queue: Option<String>,
    agent: Option<String>,
    offered_at_ms: Option<u64>,
    answered_at_ms: Option<u64>,
    ended_at_ms: u64,
    outcome: &'static str,
    ended_by: Option<String>,
    offers: u32,
    gateway: Option<String>,
}

pub(super) async fn run(id: String, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let what = format!("call explain {id}");
    let rpc = async |admin: &mut Admin, request| admin.explain_call(request).await;
    let answer = cluster.ask(&what, GetCallRequest { call: id }, rpc).await?;
    let explanation = Explanation {
        info: answer.info.unwrap_or_default().into(),
        records: answer.records.into_iter().map(Written::from).collect(),
    };
    output.show(&explanation, |page| {
        call::head(page, &explanation.info);
        page.line("");
        if explanation.records.is_empty() {
            page.line("Nothing has been decided yet: the call waits, or no record of it is kept any more.");
        }
        for record in &explanation.records {
            let mut lines = record.what.words().into_iter();
            page.line(format_args!("{}  {}", time_of_day(record.at_ms), lines.next().unwrap_or_default()));
            lines.for_each(|line| page.line(format_args!("              {line}")));
        }
    })
}

impl What {
    fn words(&self) -> Vec<String> {
        match self {
            Self::Decision(decision) => decision.words(),
            Self::Agent(activity) => vec![activity.words()],
            Self::Call(ended) => vec![ended.words()],
            Self::Unknown => vec!["something that this release of cordctl does not know".to_owned()],
        }
    }
}

impl Decision {
    fn words(&self) -> Vec<String> {
        let Self { queue, strategy, position, .. } = self;
        let place = format!("position {position} of {queue}, after {}", lasting(self.waited_ms));
        let mut lines = vec![match &self.chosen {
            Some(agent) => format!("offered to {agent} by {strategy} ({place})"),
            None => format!("offered to nobody ({place})"),
        }];
        if !self.candidates.is_empty() {
            let ranked: Vec<_> = self.candidates.iter().map(|candidate| self.ranked(candidate)).collect();
            let shown = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
            let more = match self.candidates_total.saturating_sub(shown) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            lines.push(format!("candidates, best first: {}{more}", ranked.join(", ")));
        }
        if let Some(tie_break) = &self.tie_break {
            lines.push(format!("equal figures were decided by: {tie_break}"));
        }
        if !self.exclusions.is_empty() {
            let excluded: Vec<_> =
                self.exclusions.iter().map(|exclusion| format!("{} {}", exclusion.agents, exclusion.reason)).collect();
            lines.push(format!("not considered: {}", excluded.join(", ")));
        }
        lines
    }

    fn ranked(&self, candidate: &Candidate) -> String {
        let Candidate { agent, figure } = candidate;
        match self.strategy.as_str() {
            "longest-idle" => format!("{agent} (idle {})", lasting(*figure)),
            _ => format!("{agent} ({figure})"),
        }
    }
}

impl Activity {
    fn words(&self) -> String {
        let Self { agent, from, to, .. } = self;
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{agent}: {from} -> {to}{reason}, after {}", lasting(self.spent_ms))
    }
}

impl Ended {
    /// The end of a call in one sentence.
    pub(super) fn words(&self) -> String {
        let by = self.ended_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let offers = match self.offers {
            0 => "never offered".to_owned(),
            1 => "offered once".to_owned(),
            offers => format!("offered {offers} times"),
        };
        let talked = self.answered_at_ms.map(|answered| {
            let agent = self.agent.as_deref().unwrap_or("an agent");
            format!(", talked to {agent} for {}", lasting(self.ended_at_ms.saturating_sub(answered)))
        });
        format!("ended{by}: {}, {offers}{}", self.outcome, talked.unwrap_or_default())
    }
}

impl From<Record> for Written {
    fn from(record: Record) -> Self {
        let what = match record.kind {
            Some(record::Kind::Decision(decision)) => What::Decision(decision.into()),
            Some(record::Kind::Agent(activity)) => What::Agent(activity.into()),
            Some(record::Kind::Call(ended)) => What::Call(ended.into()),
            Some(record::Kind::Interval(_) | record::Kind::Transfer(_)) | None => What::Unknown,
        };
        Self { at_ms: record.at_ms, what }
    }
}

impl From<DecisionRecord> for Decision {
    fn from(decision: DecisionRecord) -> Self {
        let candidates = decision.candidates.into_iter();
        let exclusions = decision.exclusions.into_iter();
        Self {
            queue: decision.queue,
            strategy: decision.strategy,
            chosen: given(decision.chosen),
            candidates: candidates.map(|one| Candidate { agent: one.agent, figure: one.figure }).collect(),
            candidates_total: decision.candidates_total,
            exclusions: exclusions.map(|one| Exclusion { reason: one.reason, agents: one.agents }).collect(),
            waited_ms: decision.waited_ms,
            position: decision.position,
            tie_break: given(decision.tie_break),
        }
    }
}

impl From<AgentRecord> for Activity {
    fn from(record: AgentRecord) -> Self {
        let AgentRecord { agent, from, to, reason, call: _, spent_ms } = record;
        Self { agent, from, to, reason: given(reason), spent_ms }
    }
}

impl From<CallRecord> for Ended {
    fn from(record: CallRecord) -> Self {
        let outcome = match record.outcome() {
            CallOutcome::Completed => "completed",
            CallOutcome::Abandoned => "abandoned",
            CallOutcome::Refused => "refused",
            CallOutcome::Failed => "failed",
            CallOutcome::Unspecified => "unknown",
        };
        Self {
            number: record.number,
            caller: record.caller,
            queue: given(record.queue),
            agent: given(record.agent),
            offered_at_ms: Some(record.offered_ms).filter(|ms| *ms > 0),
            answered_at_ms: Some(record.answered_ms).filter(|ms| *ms > 0),
            ended_at_ms: record.ended_ms,
            outcome,
            ended_by: given(record.ended_by),
            offers: record.offers,
            gateway: given(record.gateway),
        }
    }
}
