//! Counting what the shard writes down; never looks at how it came to it.

use std::collections::{BTreeMap, BTreeSet};

use acd::view::CallFilter;
use acd::{AgentRecord, CallOutcome, CallRecord, Document, Record, RecordKind, Shard};

use super::report::{AgentFigures, Figures, Report};
use super::terms::Terms;
use crate::words::Deed;

/// How far back in a line places are looked at.
const PLACES_MAX: usize = 1_000;

/// Queue and position by call.
type Places = BTreeMap<u64, (usize, u32)>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    whole: Figures,
    queues: BTreeMap<String, (Terms, Figures)>,
    /// Members by queue.
    teams: BTreeMap<String, BTreeSet<String>>,
    agents: BTreeMap<String, AgentFigures>,
    /// Those who waited when the lines were last looked at.
    places: Places,
    places_lost: u64,
    refusals: u64,
}

impl Tally {
    pub(crate) fn new(documents: &[Document]) -> Self {
        let queues = documents.iter().filter_map(|document| match document {
            Document::Queue(queue) => Some((queue.name.clone(), (Terms::of(queue), Figures::default()))),
            _ => None,
        });
        let mut teams: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for document in documents {
            let Document::Agent(agent) = document else { continue };
            for membership in &agent.queues {
                teams.entry(membership.queue.clone()).or_default().insert(agent.name.clone());
            }
        }
        Tally { queues: queues.collect(), teams, ..Tally::default() }
    }

    pub(crate) fn see_deed(&mut self, deed: &Deed, refused: bool) {
        if refused {
            self.refusals += 1;
            if matches!(deed, Deed::Dial { .. }) {
                self.whole.offered += 1;
                self.whole.refused += 1;
            }
        }
    }

    pub(crate) fn see_record(&mut self, record: &Record) {
        match &record.kind {
            RecordKind::Call(call) => self.see_call(call),
            RecordKind::Agent(agent) => self.see_change(agent),
            _ => {}
        }
    }

    fn see_call(&mut self, call: &CallRecord) {
        let queue: &str = &call.queue;
        let terms = self.queues.get(queue).map(|(terms, _)| *terms).unwrap_or_default();
        self.whole.count(call, terms);
        if let Some((_, figures)) = self.queues.get_mut(queue) {
            figures.count(call, terms);
        }
    }

    fn see_change(&mut self, change: &AgentRecord) {
        let name: &str = &change.agent;
        let agent = match self.agents.get_mut(name) {
            Some(agent) => agent,
            None => self
                .agents
                .entry(name.to_owned())
                .or_insert_with(|| AgentFigures { name: name.to_owned(), ..AgentFigures::default() }),
        };
        agent.spend(change.from, change.spent_ms);
        if change.from == "reserved" && change.to == "talking" {
            agent.calls += 1;
        }
    }

    /// Looks at all lines: whoever stands behind more others than before in the same queue has lost their place.
    pub(crate) fn look(&mut self, shard: &Shard) {
        let mut places = Places::new();
        for (index, info) in shard.queues().into_iter().enumerate() {
            if info.waiting == 0 {
                continue;
            }
            let name: &str = &info.name;
            let Some(queue) = shard.queue(name, PLACES_MAX) else { continue };
            for waiting in queue.waiting {
                places.insert(waiting.call, (index, waiting.position));
            }
        }
        self.places_lost += places_lost(&self.places, &places);
        self.places = places;
    }

    pub(crate) fn report(mut self, shard: &Shard, from_ms: u64, until_ms: u64, commands: u64) -> Report {
        for agent in shard.agents(None) {
            let name: &str = &agent.name;
            if let Some(figures) = self.agents.get_mut(name) {
                figures.spend(&agent.state, agent.in_state_ms);
            }
        }
        for call in shard.calls(&CallFilter::default()) {
            self.whole.unfinished += 1;
            let queue: &str = &call.queue;
            if let Some((_, figures)) = self.queues.get_mut(queue) {
                figures.unfinished += 1;
            }
        }
        Report {
            from_ms,
            until_ms,
            whole: self.whole,
            queues: self.queues.into_iter().map(|(name, (_, figures))| (name, figures)).collect(),
            agents: self.agents.into_values().filter(|agent| agent.signed_in_ms > 0).collect(),
            teams: self.teams.into_iter().map(|(queue, team)| (queue, team.into_iter().collect())).collect(),
            places_lost: self.places_lost,
            commands,
            refusals: self.refusals,
        }
    }
}

/// How many stand behind more others than before in the same queue.
fn places_lost(before: &Places, after: &Places) -> u64 {
    let lost = after.iter().filter(|(call, (queue, position))| {
        before.get(call).is_some_and(|(former, ahead)| former == queue && ahead < position)
    });
    lost.count() as u64
}

impl Figures {
    fn count(&mut self, call: &CallRecord, terms: Terms) {
        self.offered += 1;
        let answered = call.answered_ms > 0;
        let wait = if answered { call.answered_ms } else { call.ended_ms }.saturating_sub(call.offered_ms);
        self.longest_wait_ms = self.longest_wait_ms.max(wait);
        if answered {
            self.answered += 1;
            self.within += u64::from(wait <= terms.service_level_ms);
            self.wait_ms += wait;
            self.talk_ms += call.ended_ms.saturating_sub(call.answered_ms);
            return;
        }
        match call.outcome {
            CallOutcome::Abandoned => {
                self.abandoned += 1;
                self.abandoned_short += u64::from(wait < terms.short_abandon_ms);
                self.abandon_ms += wait;
            }
            CallOutcome::Refused => self.refused += 1,
            CallOutcome::Completed | CallOutcome::Failed => self.failed += 1,
        }
    }
}

impl AgentFigures {
    /// Time in a state, by its name in records.
    fn spend(&mut self, state: &str, ms: u64) {
        let part = match state {
            "absent" | "logged-out" => return,
            "ready" => &mut self.ready_ms,
            "reserved" => &mut self.ring_ms,
            "wrap-up" => &mut self.wrap_up_ms,
            "not-ready" => &mut self.not_ready_ms,
            // talking, held, consulting
            _ => &mut self.talk_ms,
        };
        *part += ms;
        self.signed_in_ms += ms;
    }
}

#[cfg(test)]
mod tests {
    use super::{Places, places_lost};

    #[test]
    fn a_place_is_lost_in_the_same_queue_only() {
        let before = Places::from([(1, (0, 1)), (2, (0, 2)), (3, (0, 3)), (4, (1, 1))]);
        // One was served, two kept theirs, three fell behind a newcomer, four went to another queue's end.
        let after = Places::from([(2, (0, 2)), (9, (0, 3)), (3, (0, 4)), (4, (0, 5))]);
        assert_eq!(places_lost(&before, &after), 1);
        assert_eq!(places_lost(&before, &before), 0);
        assert_eq!(places_lost(&after, &before), 0);
    }
}
