//! Matching waiting calls with ready agents, in the one total order of `lib.rs`; nothing else gives a call to an agent.

use std::collections::BTreeSet;

use crate::limits::CANDIDATES_MAX;
use crate::output::{Candidate, DecisionRecord, Exclusion, Output, RecordKind};
use crate::rows::{AgentState, CallState, Class, InLine, LegWant, Place, Queue};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, QueueKey};

impl Shard {
    /// Afterwards no queue holds both a waiting call and a ready agent who can be reached.
    ///
    /// Only queues that gained a call or an agent since the last time need a look: all others were left unservable.
    pub(crate) fn distribute(&mut self, out: &mut Output) {
        let mut servable = BTreeSet::new();
        while let Some(queue) = self.dirty.pop_first() {
            servable.extend(self.head_place(queue).map(|place| (place, queue)));
        }
        while let Some((_, queue)) = servable.pop_first() {
            if self.head_place(queue).is_none() {
                continue; // its agents took longer-waiting calls of other queues
            }
            self.offer_head(queue, out);
            servable.extend(self.head_place(queue).map(|place| (place, queue)));
        }
        self.dirty.clear();
    }

    /// The place of the call that the queue can serve now.
    fn head_place(&self, queue: QueueKey) -> Option<Place> {
        let queue = self.queues.get(queue)?;
        let (place, _) = queue.waiting.first_key_value()?;
        (!queue.ready.is_empty()).then_some(*place)
    }

    fn offer_head(&mut self, queue_key: QueueKey, out: &mut Output) {
        let queue = &self.queues[queue_key];
        let (place, call) = queue.waiting.first_key_value().expect("a servable queue has a waiting call");
        let (rank, agent) = queue.ready.first_key_value().expect("a servable queue has a ready agent");
        let (place, call, rank, agent) = (*place, *call, *rank, *agent);
        let decision = self.explain(queue, place, call, agent);
        self.write(RecordKind::Decision(decision), out);

        let line = InLine { queue: queue_key, place };
        let until = self.now + queue.policy.ring_ms();
        self.leave_line(call, line);
        self.queues[queue_key].offered.insert(place, call);
        let row = &self.agents[agent];
        let contact = row.reach().expect("a ready agent in the index can be reached").into();
        let name = row.name.as_str().into();
        let leg = self.add_leg(call, Some(name), LegWant::Ring { contact });
        let row = &mut self.calls[call];
        row.state = CallState::Offered { line, agent, leg };
        row.offers = row.offers.saturating_add(1);
        let id = row.id;
        self.enter(agent, AgentState::Reserved { call, leg, until, rank }, "", id, out);
    }

    fn explain(&self, queue: &Queue, place: Place, call: CallKey, chosen: AgentKey) -> DecisionRecord {
        let candidates: Vec<Candidate> = queue
            .ready
            .iter()
            .take(CANDIDATES_MAX)
            .map(|(rank, agent)| Candidate { agent: self.agents[*agent].name.clone(), figure: self.now - rank.since })
            .collect();
        let tied = candidates.len() > 1 && candidates[0].figure == candidates[1].figure;
        let excluded = Class::EXCLUDED.iter().map(|(class, reason)| (queue.members[*class as usize], *reason));
        DecisionRecord {
            call: self.calls[call].id,
            queue: queue.name.clone(),
            strategy: queue.policy.strategy.name(),
            chosen: self.agents[chosen].name.clone(),
            candidates,
            candidates_total: queue.ready.len() as u32,
            exclusions: excluded
                .filter(|(agents, _)| *agents > 0)
                .map(|(agents, reason)| Exclusion { reason, agents })
                .collect(),
            waited_ms: self.now - place.joined,
            position: 1,
            tie_break: if tied { "first to become ready" } else { "" },
        }
    }
}
