//! Filling the views from the rows; never changes one.

use super::*;
use crate::rows::{AfterCall, Agent, AgentState, Call, CallState, Class, LegWant, Place, Queue};
use crate::table::CallKey;

impl Shard {
    /// Shard time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The version of the configuration in force, 0 before the first.
    pub fn config_version(&self) -> u64 {
        self.config_version
    }

    /// The shard in figures. Walks all queues, agents and gateways, no calls.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (_, queue) in self.queues.iter() {
            totals.calls_waiting += queue.waiting.len() as u32;
            totals.calls_offered += queue.offered.len() as u32;
            totals.calls_talking += queue.talking;
        }
        for (_, agent) in self.agents.iter() {
            totals.agents_total += 1;
            totals.agents_ready += u32::from(matches!(agent.state, AgentState::Ready { .. }));
        }
        for (_, gateway) in self.gateways.iter() {
            totals.gateways_total += 1;
            totals.gateways_up += u32::from(gateway.up);
        }
        totals
    }

    /// All queues by name.
    pub fn queues(&self) -> Vec<QueueInfo> {
        let queues = self.queue_names.values().map(|key| &self.queues[*key]);
        queues.filter(|queue| !queue.removed).map(|queue| self.queue_info(queue)).collect()
    }

    /// A queue; `limit` bounds the calls in line, 0 is all.
    pub fn queue(&self, name: &str, limit: usize) -> Option<QueueDetail> {
        let queue = &self.queues[*self.queue_names.get(name)?];
        if queue.removed {
            return None;
        }
        Some(QueueDetail {
            info: self.queue_info(queue),
            waiting: self.in_line(queue, limit),
            agents: self.agents(Some(name)),
        })
    }

    /// Agents by name, of one queue or all.
    pub fn agents(&self, queue: Option<&str>) -> Vec<AgentInfo> {
        let key = queue.map(|name| self.queue_names.get(name).copied());
        let member = |agent: &Agent| match key {
            None => true,
            Some(None) => false,
            Some(Some(key)) => agent.queues.contains(&key),
        };
        let agents = self.agent_names.values().map(|key| &self.agents[*key]);
        agents.filter(|agent| member(agent)).map(|agent| self.agent_info(agent)).collect()
    }

    /// An agent. One that was removed stays until the present call has ended.
    pub fn agent(&self, name: &str) -> Option<AgentInfo> {
        self.agent_names.get(name).map(|key| self.agent_info(&self.agents[*key]))
    }

    /// Calls, oldest first; ended ones latest first.
    pub fn calls(&self, filter: &CallFilter) -> Vec<CallInfo> {
        let mut calls: Vec<(Timestamp, CallInfo)> = self
            .calls
            .iter()
            .filter(|(_, call)| matches!(call.state, CallState::Ended { .. }) == filter.ended)
            .filter(|(_, call)| filter.queue.as_deref().is_none_or(|queue| self.queue_of(call) == queue))
            .map(|(_, call)| (call.offered, self.call_info(call)))
            .collect();
        calls.sort_by_key(|(offered, info)| (*offered, info.call));
        if filter.ended {
            calls.reverse();
        }
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
        calls.into_iter().take(limit).map(|(_, info)| info).collect()
    }

    /// A call that lives, or has ended with legs not yet reported gone.
    pub fn call(&self, id: CallId) -> Option<CallDetail> {
        let call = &self.calls[*self.call_ids.get(&id)?];
        let record = match &call.state {
            CallState::Ended { record } => Some((**record).clone()),
            CallState::Waiting { .. } | CallState::Offered { .. } | CallState::Talking { .. } => None,
        };
        let legs = call.legs.iter().map(|leg| LegInfo {
            leg: leg.number,
            party: leg.agent.as_deref().unwrap_or("caller").to_owned(),
            state: match (&leg.want, leg.answered) {
                (LegWant::Gone { .. }, _) => "ending",
                (_, true) => "answered",
                (_, false) => "offered",
            }
            .to_owned(),
            wanted: in_words(&self.order(call, leg).want),
            revision: leg.revision,
        });
        Some(CallDetail { info: self.call_info(call), legs: legs.collect(), trace: call.trace.clone(), record })
    }

    /// All gateways by id.
    pub fn gateways(&self) -> Vec<GatewayInfo> {
        let gateways = self.gateway_ids.values().map(|key| &self.gateways[*key]);
        gateways
            .map(|gateway| GatewayInfo {
                id: gateway.id.clone(),
                incarnation: gateway.incarnation,
                sip: gateway.sip.clone(),
                up: gateway.up,
                legs: gateway.calls.iter().map(|call| self.calls[*call].legs.len() as u32).sum(),
                since: gateway.since,
            })
            .collect()
    }

    fn queue_info(&self, queue: &Queue) -> QueueInfo {
        let total: u32 = queue.members.iter().sum();
        let oldest = [queue.waiting.first_key_value(), queue.offered.first_key_value()];
        let joined = oldest.into_iter().flatten().map(|(place, _)| place.joined).min();
        QueueInfo {
            name: queue.name.clone(),
            waiting: queue.waiting.len() as u32,
            offered: queue.offered.len() as u32,
            talking: queue.talking,
            agents_ready: queue.ready.len() as u32,
            agents_logged_in: total - queue.members[Class::LoggedOut as usize],
            agents_total: total,
            longest_wait_ms: joined.map_or(0, |joined| self.now - joined),
            calls_offered: queue.counts.offered,
            calls_answered: queue.counts.answered,
            calls_abandoned: queue.counts.abandoned,
            wait_ms_sum: queue.counts.wait_ms,
            talk_ms_sum: queue.counts.talk_ms,
            strategy: queue.policy.strategy.name().to_owned(),
        }
    }

    fn in_line(&self, queue: &Queue, limit: usize) -> Vec<WaitingCall> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let mut waiting = queue.waiting.iter().peekable();
        let mut offered = queue.offered.iter().peekable();
        let mut line: Vec<(Place, CallKey, bool)> = Vec::new();
        while line.len() < limit {
            // Both are in order: merge them.
            let offered_first = match (waiting.peek(), offered.peek()) {
                (None, None) => break,
                (Some((waits, _)), Some((rings, _))) => rings < waits,
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let next = if offered_first { offered.next() } else { waiting.next() };
            line.extend(next.map(|(place, call)| (*place, *call, offered_first)));
        }
        let numbered = line.into_iter().zip(1..);
        numbered
            .map(|((place, call, offered), position)| WaitingCall {
                call: self.calls[call].id,
                caller: self.calls[call].caller.clone(),
                waited_ms: self.now - place.joined,
                position,
                offered,
            })
            .collect()
    }

    fn agent_info(&self, agent: &Agent) -> AgentInfo {
        let reason = match &agent.state {
            AgentState::NotReady { reason, .. } => reason.as_str(),
            AgentState::Talking { after: AfterCall::NotReady { reason }, .. } => reason.as_str(),
            AgentState::Talking { after: AfterCall::LoggedOut, .. } => "logged-out",
            AgentState::Ready { .. } if agent.reach().is_none() => "unreachable",
            AgentState::Ready { .. }
            | AgentState::Talking { .. }
            | AgentState::LoggedOut
            | AgentState::Reserved { .. }
            | AgentState::WrapUp { .. } => "",
        };
        let mut contacts: Vec<String> = agent.contacts.iter().map(|contact| contact.uri.clone()).collect();
        contacts.extend((!agent.contact.is_empty()).then(|| agent.contact.clone()));
        AgentInfo {
            name: agent.name.clone(),
            state: agent.state.name().to_owned(),
            reason: reason.to_owned(),
            in_state_ms: self.now - agent.since,
            call: agent.state.call().map(|call| self.calls[call].id),
            queues: agent.queues.iter().map(|queue| self.queues[*queue].name.clone()).collect(),
            contacts,
            calls_answered: agent.answered,
        }
    }

    fn queue_of<'a>(&'a self, call: &'a Call) -> &'a str {
        match &call.state {
            CallState::Waiting { line } | CallState::Offered { line, .. } | CallState::Talking { line, .. } => {
                &self.queues[line.queue].name
            }
            CallState::Ended { record } => &record.queue,
        }
    }

    fn call_info(&self, call: &Call) -> CallInfo {
        let (state, agent, waited_until, outcome) = match &call.state {
            CallState::Waiting { .. } => ("waiting", "", self.now, ""),
            CallState::Offered { agent, .. } => ("offered", self.agents[*agent].name.as_str(), self.now, ""),
            CallState::Talking { agent, since, .. } => ("talking", self.agents[*agent].name.as_str(), *since, ""),
            CallState::Ended { record } => {
                let until = if record.answered_ms > 0 { record.answered_ms } else { record.ended_ms };
                ("ended", record.agent.as_str(), until, record.outcome.name())
            }
        };
        CallInfo {
            call: call.id,
            state: state.to_owned(),
            number: call.number.clone(),
            caller: call.caller.clone(),
            queue: self.queue_of(call).to_owned(),
            agent: agent.to_owned(),
            age_ms: self.now - call.offered,
            waited_ms: waited_until - call.offered,
            gateway: self.gateways[call.gateway].id.clone(),
            outcome: outcome.to_owned(),
        }
    }
}
