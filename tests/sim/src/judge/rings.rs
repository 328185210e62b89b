//! Invariants 2, 3 and 6 as the log shows them: whom the orders ring and join.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{Document, Strategy, command::Kind, document, order::Want, record, takeover::Rang};

use super::Step;
use crate::{
    people::LegKey,
    scenario::Us,
    verdict::{Check, hold},
};

/// Legs that the orders want to be there, and whose they are.
#[derive(Debug, Default)]
pub(super) struct Rings {
    agents: BTreeMap<LegKey, String>,
    /// Away by an own command.
    away: BTreeSet<String>,
    capacities: BTreeMap<String, usize>,
    /// Queues whose calls ring many at once, now or under earlier rules.
    many: BTreeSet<String>,
    ordered: BTreeMap<LegKey, Us>,
}

impl Rings {
    pub(super) fn ordered_us(&self, leg: LegKey) -> Option<Us> {
        self.ordered.get(&leg).copied()
    }

    pub(super) fn step(&mut self, step: &Step<'_>) -> Check {
        if step.done {
            match step.kind {
                Some(Kind::LogOutAgent(command)) => _ = self.away.insert(command.agent.clone()),
                Some(Kind::MakeAgentNotReady(command)) => _ = self.away.insert(command.agent.clone()),
                Some(Kind::MakeAgentReady(command)) => _ = self.away.remove(&command.agent),
                Some(Kind::Configure(command)) => self.configure(&command.documents),
                _ => {}
            }
        }
        self.decided(step)?;
        if !step.output.orders.is_empty() {
            self.count(step)?;
        }
        Ok(())
    }

    fn configure(&mut self, documents: &[Document]) {
        self.capacities = documents
            .iter()
            .filter_map(|document| match &document.kind {
                Some(document::Kind::Agent(agent)) => Some((agent.name.clone(), agent.capacity.max(1) as usize)),
                _ => None,
            })
            .collect();
        for document in documents {
            if let Some(document::Kind::Queue(queue)) = &document.kind
                && matches!(queue.strategy(), Strategy::RingAll | Strategy::Progressive)
            {
                self.many.insert(queue.name.clone());
            }
        }
        // One who is configured anew is another one.
        self.away.retain(|agent| self.capacities.contains_key(agent));
    }

    /// Nobody is rung without a decision, and nobody who is away.
    fn decided(&mut self, step: &Step<'_>) -> Check {
        let decided: BTreeSet<(u64, &str)> = step
            .output
            .records
            .iter()
            .filter_map(|record| match &record.kind {
                Some(record::Kind::Decision(decision)) => Some(decision),
                _ => None,
            })
            .flat_map(|decision| {
                std::iter::once(&decision.chosen).chain(&decision.also).map(|agent| (decision.call, agent.as_str()))
            })
            .collect();
        let again: BTreeSet<_> = rung_again(step).into_iter().map(|(call, _, agent)| (call, agent)).collect();
        for (_, order) in &step.output.orders {
            let Some(Want::Ring(ring)) = &order.want else { continue };
            let key = (order.call, order.leg);
            if self.agents.insert(key, ring.agent.clone()).is_some() {
                continue;
            }
            let agent = &ring.agent;
            self.ordered.insert(key, step.now_us);
            hold!(!self.away.contains(agent), Breaks, "{agent} is away and is rung for call {:x}", order.call);
            // The same phone rings anew by another gateway: that is the offer that was decided before.
            let anew = again.contains(&(order.call, agent.as_str()));
            let known = anew || decided.contains(&(order.call, agent.as_str()));
            hold!(known, Reference, "{agent} is rung for call {:x}, leg {}, without a decision", order.call, order.leg);
        }
        Ok(())
    }

    /// What all orders together want of each agent and of each call.
    fn count(&mut self, step: &Step<'_>) -> Check {
        let mut busy: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        let mut joined: BTreeMap<u64, usize> = BTreeMap::new();
        let mut alive = BTreeSet::new();
        let mut phones: BTreeMap<(u64, String), usize> = BTreeMap::new();
        let mut ringing: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        for gateway in step.shard.gateways() {
            for order in step.shard.standing_orders(&gateway.id, gateway.incarnation) {
                alive.insert(order.call);
                let Some(agent) = self.agents.get(&(order.call, order.leg)) else { continue };
                match &order.want {
                    acd::Want::Gone { .. } => continue,
                    acd::Want::Ring(_) => {
                        *phones.entry((order.call, agent.clone())).or_default() += 1;
                        ringing.entry(order.call).or_default().insert(agent);
                    }
                    acd::Want::Join { leg: 1 } => *joined.entry(order.call).or_default() += 1,
                    _ => {}
                }
                busy.entry(agent).or_default().insert(order.call);
            }
        }
        for ((call, agent), legs) in phones {
            hold!(legs == 1, OneAgent, "{agent} is rung by {legs} legs for call {call:x}");
        }
        for (call, agents) in ringing.iter().filter(|(_, agents)| agents.len() > 1) {
            let queue = step.shard.call(*call).map(|call| call.info.queue).unwrap_or_default();
            hold!(self.many.contains(&queue), OneAgent, "{agents:?} ring for call {call:x}");
        }
        for (call, agents) in joined {
            hold!(agents == 1, OneAgent, "{agents} agents are joined to call {call:x}");
        }
        for (agent, calls) in busy {
            let capacity = self.capacities.get(agent).copied().unwrap_or(1);
            hold!(calls.len() <= capacity, Capacity, "{agent} has calls {calls:x?} and a capacity of {capacity}");
        }
        // A call without a gateway is in nobody's orders; the one that had it may go on with it, rings and all.
        let lives = |call: u64| step.shard.call(call).is_some_and(|call| call.record.is_none());
        self.agents.retain(|(call, _), _| alive.contains(call) || lives(*call));
        Ok(())
    }
}

/// Calls, legs and agents whose phones are taken back to ring anew by another gateway.
pub(crate) fn rung_again<'a>(step: &'a Step<'_>) -> BTreeSet<(u64, u32, &'a str)> {
    let taken = step.output.orders.iter().filter_map(|(_, order)| match &order.takeover.as_ref()?.rang {
        Some(Rang::Ring(ring)) => Some((order.call, order.leg, ring.agent.as_str())),
        Some(Rang::Dial(_)) | None => None,
    });
    taken.collect()
}
