//! A plan made of what was recorded: the same calls at the same times, the same agents on the same shifts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use acd::{CallOutcome, Document};

use super::survival::kaplan_meier;
use crate::plan::{Arrival, Arrivals, Break, Habits, Line, Manners, Plan, Shift, Worker};
use crate::{Spread, Timestamp};

/// A call as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCall {
    /// Dialled.
    pub number: String,
    /// Calling party.
    pub caller: String,
    /// Unix milliseconds.
    pub offered_ms: Timestamp,
    /// Unix milliseconds; 0: nobody answered.
    pub answered_ms: Timestamp,
    /// Unix milliseconds.
    pub ended_ms: Timestamp,
    /// What it was.
    pub outcome: CallOutcome,
    /// Who talked, empty when nobody did.
    pub agent: String,
    /// In line.
    pub waited_ms: u64,
}

/// An agent's change of state as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedChange {
    /// The agent.
    pub agent: String,
    /// Unix milliseconds.
    pub at: Timestamp,
    /// The former state.
    pub from: String,
    /// The state.
    pub to: String,
    /// Why, may be empty.
    pub reason: String,
}

/// A plan out of records, and the time they cover.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Who does what.
    pub plan: Plan,
    /// The first thing recorded.
    pub from_ms: Timestamp,
    /// The last: agents who were signed in then leave then. The horizon to run to.
    pub until_ms: Timestamp,
}

impl Replay {
    /// Lets agents whom `after` has and `before` has not work all the time, in the usual manner and as quick to answer as
    /// the recorded ones. Agents whom `after` has not are refused when they log in, which is all that has to be done
    /// about them.
    #[must_use]
    pub fn with_newcomers(mut self, before: &[Document], after: &[Document]) -> Replay {
        let known: BTreeSet<&str> = agents(before).chain(self.plan.workers.iter().map(|w| w.name.as_str())).collect();
        let names: Vec<String> = agents(after).filter(|name| !known.contains(name)).map(str::to_owned).collect();
        let answers = self.plan.workers.iter().flat_map(|worker| match &worker.manners.answer {
            Spread::Recorded(list) => list.to_vec(),
            _ => Vec::new(),
        });
        let manners = manners(answers.collect(), 0, 0);
        let shift = Shift { from: self.from_ms, until: self.until_ms, breaks: Vec::new() };
        self.plan.workers.extend(names.into_iter().map(|name| Worker {
            name,
            shifts: vec![shift.clone()],
            pace: 1.0,
            manners: manners.clone(),
        }));
        self
    }
}

fn agents(documents: &[Document]) -> impl Iterator<Item = &str> {
    documents.iter().filter_map(|document| match document {
        Document::Agent(agent) => Some(agent.name.as_str()),
        _ => None,
    })
}

/// Not ready for these reasons is the centre's doing, which another policy does not repeat.
const REASONS_OF_THE_CENTRE: [&str; 4] = ["rona", "busy", "rejected", "unreachable"];

/// A call of the same caller within it of one without success is the same matter.
pub const REPEAT_MS: u64 = 3_600_000;

/// Turns records into a plan, in any order. Who abandoned keeps the patience they showed; who was served has one that
/// is longer than their wait, drawn from the number's Kaplan-Meier curve. Who was served keeps the talk time; the
/// others draw from those of the number. Nobody rings again but those who did; and of these only who is not served at
/// first: a call of the same caller to the same number within [`REPEAT_MS`] of one without success is its repeat.
pub fn from_records(calls: &[RecordedCall], changes: &[RecordedChange]) -> Replay {
    let moments = || {
        let calls = calls.iter().flat_map(|call| [call.offered_ms, call.ended_ms]);
        calls.chain(changes.iter().map(|change| change.at))
    };
    let from_ms = moments().min().unwrap_or(0);
    let until_ms = moments().max().unwrap_or(0);
    let mut numbers: BTreeMap<&str, Vec<&RecordedCall>> = BTreeMap::new();
    for call in calls {
        numbers.entry(&call.number).or_default().push(call);
    }
    let mut agents: BTreeMap<&str, Vec<&RecordedChange>> = BTreeMap::new();
    for change in changes {
        agents.entry(&change.agent).or_default().push(change);
    }
    let everybody: Arc<[u64]> = calls.iter().filter_map(talk_ms).collect();
    let plan = Plan {
        lines: numbers.into_iter().map(|(number, calls)| line(number, calls, &everybody)).collect(),
        workers: agents.into_iter().map(|(name, changes)| worker(name, changes, from_ms, until_ms)).collect(),
        ..Plan::default()
    };
    Replay { plan, from_ms, until_ms }
}

fn line(number: &str, mut calls: Vec<&RecordedCall>, everybody: &Arc<[u64]>) -> Line {
    calls.sort_by_key(|call| call.offered_ms);
    let waits: Vec<(u64, bool)> = calls.iter().filter_map(|call| Some((call.waited_ms, is_patience(call)?))).collect();
    let talks: Arc<[u64]> = calls.iter().filter_map(|call| talk_ms(call)).collect();
    let talks = if talks.is_empty() { everybody.clone() } else { talks };
    // When each caller's last call without success ended.
    let mut unserved: BTreeMap<&str, Timestamp> = BTreeMap::new();
    let mut arrivals = Vec::with_capacity(calls.len());
    for call in &calls {
        let caller: &str = &call.caller;
        let ended = unserved.remove(caller);
        if call.answered_ms == 0 && !caller.is_empty() {
            unserved.insert(caller, call.ended_ms);
        }
        arrivals.push(Arrival {
            at: call.offered_ms,
            caller: call.caller.clone(),
            patience_ms: (call.outcome == CallOutcome::Abandoned).then_some(call.waited_ms),
            patience_above_ms: call.waited_ms,
            talk_ms: talk_ms(call),
            is_repeat: ended.is_some_and(|ended| call.offered_ms.saturating_sub(ended) <= REPEAT_MS),
        });
    }
    Line {
        number: number.to_owned(),
        arrivals: Arrivals::List(arrivals),
        habits: Habits {
            patience: Spread::Survival(Arc::new(kaplan_meier(&waits))),
            talk: Spread::Recorded(talks),
            ..Habits::default()
        },
    }
}

/// Whether the wait ended by the caller's will; `None`: it tells nothing of patience.
fn is_patience(call: &RecordedCall) -> Option<bool> {
    match call.outcome {
        CallOutcome::Abandoned => Some(true),
        CallOutcome::Completed | CallOutcome::Refused | CallOutcome::Failed => Some(false),
    }
}

fn talk_ms(call: &RecordedCall) -> Option<u64> {
    (call.answered_ms > 0).then(|| call.ended_ms.saturating_sub(call.answered_ms))
}

fn is_out(state: &str) -> bool {
    matches!(state, "logged-out" | "absent")
}

fn worker(name: &str, mut changes: Vec<&RecordedChange>, from_ms: Timestamp, until_ms: Timestamp) -> Worker {
    changes.sort_by_key(|change| change.at);
    let mut shifts: Vec<Shift> = Vec::new();
    let mut shift =
        changes.first().filter(|change| !is_out(&change.from)).map(|_| Shift { from: from_ms, ..Shift::default() });
    let mut pause: Option<(Timestamp, String)> = None;
    let (mut rang_at, mut answers, mut ignored, mut rings) = (None, Vec::new(), 0u64, 0u64);
    for change in changes {
        if change.to != "not-ready" || is_out(&change.to) {
            end_break(&mut shift, &mut pause, change.at);
        }
        match (is_out(&change.to), &mut shift) {
            (true, Some(_)) => shifts.extend(shift.take().map(|shift| Shift { until: change.at, ..shift })),
            (false, None) => shift = Some(Shift { from: change.at, ..Shift::default() }),
            (true, None) | (false, Some(_)) => {}
        }
        if change.to == "not-ready" && pause.is_none() && !REASONS_OF_THE_CENTRE.contains(&change.reason.as_str()) {
            pause = Some((change.at, change.reason.clone()));
        }
        if change.to == "reserved" {
            rang_at = Some(change.at);
            rings += 1;
        } else if let Some(from) = rang_at.take() {
            if change.to == "talking" {
                answers.push(change.at.saturating_sub(from));
            } else if change.reason == "rona" {
                ignored += 1;
            }
        }
    }
    end_break(&mut shift, &mut pause, until_ms);
    shifts.extend(shift.map(|shift| Shift { until: until_ms, ..shift }));
    let manners = manners(answers, ignored, rings);
    Worker { name: name.to_owned(), shifts, pace: 1.0, manners }
}

fn manners(answers: Vec<u64>, ignored: u64, rings: u64) -> Manners {
    let usual = Manners::default();
    Manners {
        answer: if answers.is_empty() { usual.answer.clone() } else { Spread::Recorded(answers.into()) },
        ignores: if rings == 0 { 0.0 } else { ignored as f64 / rings as f64 },
        ..usual
    }
}

fn end_break(shift: &mut Option<Shift>, pause: &mut Option<(Timestamp, String)>, at: Timestamp) {
    if let (Some(shift), Some((from, reason))) = (shift, pause.take())
        && at > from
    {
        shift.breaks.push(Break { at: from, length_ms: at - from, reason });
    }
}
