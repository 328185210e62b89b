//! Records in words, as a story that somebody can read aloud. Says only what was written.

use std::fmt;

use super::{Activity, Candidate, Change, Decision, Ended, Interval, Outcome, Part, Transfer, What};
use crate::{
    output::{lasting, time_of_day},
    times::in_utc,
};

impl What {
    /// The first line says what happened, the others how it came.
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::Decision(decision) => decision.words(),
            Self::Agent(activity) => vec![activity.words()],
            Self::Call(ended) => ended.words(),
            Self::Transfer(transfer) => vec![transfer.words()],
            Self::Interval(interval) => vec![interval.words()],
            Self::Audit(change) => vec![change.words()],
            Self::Unknown => vec!["something that this release of cordctl does not know".to_owned()],
        }
    }

    /// Which call it is about.
    pub(crate) fn call(&self) -> Option<&str> {
        match self {
            Self::Decision(Decision { call, .. }) | Self::Transfer(Transfer { call, .. }) => Some(call),
            Self::Agent(Activity { call, .. }) | Self::Call(Ended { call, .. }) => call.as_deref(),
            Self::Interval(_) | Self::Audit(_) | Self::Unknown => None,
        }
    }
}

impl Decision {
    fn words(&self) -> Vec<String> {
        let Self { queue, position, .. } = self;
        let place = format!("position {position} of {queue}, after {}", lasting(self.waited_ms));
        let mut lines = vec![match &self.chosen {
            Some(agent) => format!("offered to {agent}{} ({place})", self.why()),
            None => format!("offered to nobody ({place})"),
        }];
        if !self.also.is_empty() {
            lines.push(format!("rung at the same time: {}", self.also.join(", ")));
        }
        let asked = self.skills.as_ref().map(|skills| format!("asked for {skills}"));
        let tier = self.tier.map(|tier| format!("tier {tier}"));
        let rules = (self.rules > 0).then(|| format!("rules {}", self.rules));
        let terms: Vec<String> = [asked, tier, rules].into_iter().flatten().collect();
        if !terms.is_empty() {
            lines.push(terms.join(", "));
        }
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

    fn why(&self) -> String {
        match self.cause.as_deref() {
            None => format!(" by {}", self.strategy),
            Some("sticky") => ", who served this caller before: sticky".to_owned(),
            Some("direct") => ", for whom it was meant: direct".to_owned(),
            Some("pull") => ", who was given it out of turn: pull".to_owned(),
            Some("chooser") => ", whom the external chooser named: chooser".to_owned(),
            Some("callback") => ", to call the caller back: callback".to_owned(),
            Some(other) => format!(" because of {other}"),
        }
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
    /// The end of a call, and who had which part of it.
    pub(crate) fn words(&self) -> Vec<String> {
        let by = self.ended_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let offers = match self.offers {
            0 => "never offered".to_owned(),
            1 => "offered once".to_owned(),
            offers => format!("offered {offers} times"),
        };
        let talked = self.answered_at_ms.map(|answered| {
            let agent = self.agent.as_deref().unwrap_or("an agent");
            // The last one may not be the only one; then the parts say who talked how long.
            match self.parts.len() {
                0 | 1 => format!(", talked to {agent} for {}", lasting(self.ended_at_ms.saturating_sub(answered))),
                several => format!(", talked to {several} agents, last to {agent}"),
            }
        });
        let mut lines = vec![format!("ended{by}: {}, {offers}{}", self.outcome, talked.unwrap_or_default())];
        let waited = self.waited_ms.filter(|ms| *ms > 0).map(|ms| format!("waited {} in line", lasting(ms)));
        let priority = (self.priority > 0).then(|| format!("priority {}", self.priority));
        let asked = self.skills.as_ref().map(|skills| format!("asked for {skills}"));
        let back = self.callback.then(|| "was called back".to_owned());
        let terms: Vec<String> = [waited, priority, asked, back].into_iter().flatten().collect();
        if !terms.is_empty() {
            lines.push(terms.join(", "));
        }
        lines.extend(self.parts.iter().map(Part::words));
        lines
    }
}

impl Part {
    fn words(&self) -> String {
        let span = |what: &str, ms: u64| if ms > 0 { format!(", {what} {}", lasting(ms)) } else { String::new() };
        let queue = self.queue.as_ref().map(|queue| format!(" of {queue}")).unwrap_or_default();
        let (from, until) = (time_of_day(self.from_ms), time_of_day(self.until_ms));
        let lasted = lasting(self.until_ms.saturating_sub(self.from_ms));
        let (rang, held) = (span("rang", self.ring_ms), span("on hold", self.hold_ms));
        format!("{}{queue}: {from} to {until}, {lasted}{rang}{held}", self.agent)
    }
}

impl Transfer {
    fn words(&self) -> String {
        let Self { kind, target, result, .. } = self;
        let by = self.agent.as_ref().map(|agent| format!("{agent}: ")).unwrap_or_default();
        let kind = match kind.as_str() {
            "blind" => "blind transfer",
            "consult" => "consultation",
            other => other,
        };
        format!("{by}{kind} to {target}: {result}")
    }
}

impl Change {
    fn words(&self) -> String {
        let Self { number, who, role, method, subject, .. } = self;
        match (&self.outcome, self.of) {
            (None, _) => format!("audit {number}: {who} ({role}) is about to {method}, {subject}"),
            (Some(outcome), None) => format!("audit {number}: {method} by {who} ({role}), {subject}: {outcome}"),
            (Some(outcome), Some(of)) => {
                format!("audit {number}: {method} by {who} ({role}), {subject}: {outcome} (of {of})")
            }
        }
    }
}

impl Interval {
    fn words(&self) -> String {
        let Self { subject, name, from_ms, until_ms, counts } = self;
        format!("{subject} {name}, {} to {}: {}", in_utc(*from_ms), in_utc(*until_ms), counts.words())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Abandoned => "abandoned",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}
