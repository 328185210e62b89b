//! Filling the views from the rows; never changes one.

use super::*;
use crate::rows::{
    AfterCall, Agent, AsideStage, Call, CallState, Class, Gateway, LegWant, Presence, Queue, State, TIERS,
};
use crate::table::{GatewayKey, QueueKey};

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
            totals.calls_waiting += queue.waiting() as u32;
            totals.calls_offered += queue.offered.len() as u32;
            totals.calls_talking += queue.talking;
        }
        for (_, agent) in self.agents.iter() {
            totals.agents_total += 1;
            totals.agents_ready += u32::from(agent.state == State::Ready);
        }
        for (_, gateway) in self.gateways.iter() {
            totals.gateways_total += 1;
            totals.gateways_up += u32::from(gateway.up);
        }
        totals
    }

    /// All queues by name.
    pub fn queues(&self) -> Vec<QueueInfo> {
        let queues = self.queues.iter().filter(|(_, queue)| !queue.removed);
        let mut queues: Vec<QueueInfo> = queues.map(|(key, queue)| self.queue_info(key, queue)).collect();
        queues.sort_by(|one, other| one.name.cmp(&other.name));
        queues
    }

    /// A queue; `limit` bounds the calls in line, 0 is all.
    pub fn queue(&self, name: &str, limit: usize) -> Option<QueueDetail> {
        let key = *self.queue_names.get(name)?;
        let queue = &self.queues[key];
        if queue.removed {
            return None;
        }
        Some(QueueDetail {
            info: self.queue_info(key, queue),
            waiting: self.line_of(key, queue, limit),
            agents: self.agents(Some(name)),
        })
    }

    /// Agents by name, of one queue or all.
    pub fn agents(&self, queue: Option<&str>) -> Vec<AgentInfo> {
        let key = queue.map(|name| self.queue_names.get(name).copied());
        let member = |agent: &Agent| match key {
            None => true,
            Some(None) => false,
            Some(Some(key)) => agent.member(key).is_some(),
        };
        let agents = self.agents.iter().filter(|(_, agent)| member(agent));
        let mut agents: Vec<AgentInfo> = agents.map(|(_, agent)| self.agent_info(agent)).collect();
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        agents
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
            .filter(|(_, call)| call.is_ended() == filter.ended)
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
            CallState::Ended { record } => Some(std::sync::Arc::clone(record)),
            _ => None,
        };
        let legs = call.legs.iter().map(|leg| LegInfo {
            leg: leg.number,
            party: leg.party.as_deref().unwrap_or("caller").to_owned(),
            state: match (&leg.want, leg.answered) {
                (LegWant::Gone { .. }, _) => "ending",
                (_, true) => "answered",
                (_, false) => "offered",
            }
            .to_owned(),
            wanted: in_words(&self.order(call, leg).want),
            revision: leg.revision,
        });
        Some(CallDetail {
            info: self.call_info(call),
            legs: legs.collect(),
            trace: call.trace.as_ref().map(ToString::to_string),
            record,
        })
    }

    /// Id and address of the gateway that holds a call; nobody while it is lost.
    pub fn holder(&self, id: CallId) -> Option<(String, String)> {
        let gateway = &self.gateways[self.calls[*self.call_ids.get(&id)?].gateway];
        gateway.up.then(|| (gateway.id.to_string(), gateway.sip.clone()))
    }

    /// What a gateway has to do; nothing for one that is not known.
    pub fn load(&self, gateway: &str) -> Option<GatewayLoad> {
        let own = *self.gateway_ids.get(gateway)?;
        let row = &self.gateways[own];
        let takes = |(key, other): &(GatewayKey, &Gateway)| *key != own && other.up && !other.draining;
        let takers = self.gateways.iter().filter(takes).count() as u32;
        let calls = row.calls.len() as u32;
        Some(GatewayLoad { incarnation: row.incarnation, calls, draining: row.draining, takers })
    }

    /// All gateways by id.
    pub fn gateways(&self) -> Vec<GatewayInfo> {
        let gateways = self.gateway_ids.values().map(|key| &self.gateways[*key]);
        gateways
            .map(|gateway| GatewayInfo {
                id: gateway.id.to_string(),
                incarnation: gateway.incarnation,
                sip: gateway.sip.clone(),
                up: gateway.up,
                legs: gateway.calls.iter().map(|call| self.calls[*call].legs.len() as u32).sum(),
                calls: gateway.calls.len() as u32,
                draining: gateway.draining,
                since: gateway.since,
            })
            .collect()
    }

    fn queue_info(&self, key: QueueKey, queue: &Queue) -> QueueInfo {
        let logged_in: u32 = (1..TIERS as u8).map(|tier| queue.logged_in(tier)).sum();
        // With one class of priority and no boost the first is the oldest; in general a few heads have to be seen.
        let heads = queue.classes.values().filter_map(|line| line.first().map(|(_, call)| call));
        let heads = heads.chain(queue.offered.values().copied());
        let joined = heads.filter_map(|call| self.calls[call].line.as_deref().map(|line| line.joined)).min();
        QueueInfo {
            name: queue.name.to_string(),
            waiting: queue.waiting() as u32,
            offered: queue.offered.len() as u32,
            talking: queue.talking,
            agents_ready: queue.count(Class::Ready),
            agents_logged_in: logged_in,
            agents_total: queue.members.len() as u32,
            longest_wait_ms: joined.map_or(0, |joined| self.now - joined),
            calls_offered: queue.totals.offered,
            calls_answered: queue.totals.answered,
            calls_abandoned: queue.totals.abandoned,
            wait_ms_sum: queue.totals.wait_ms,
            talk_ms_sum: queue.totals.talk_ms,
            strategy: queue.policy.document.strategy.name().to_owned(),
            estimate: self.estimate(key, queue.in_line()),
            callbacks: queue.callbacks,
            open: queue.open,
            counts: (*queue.counts).clone(),
        }
    }

    fn line_of(&self, key: QueueKey, queue: &Queue, limit: usize) -> Vec<WaitingCall> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let everybody = queue.everybody().into_iter().take(limit).zip(1..);
        everybody
            .map(|((_, call), position)| {
                let call = &self.calls[call];
                let line = call.line.as_deref().expect("who is in line has a line");
                WaitingCall {
                    call: call.id,
                    caller: call.caller.to_string(),
                    waited_ms: self.now - line.joined,
                    position,
                    offered: call.state != CallState::Waiting,
                    priority: u32::from(line.place.priority),
                    skills: self.demands.get(line.demand).text.to_string(),
                    tier: u32::from(queue.open_tier(line.tier)),
                    waits_for: line.wanted.map(|wanted| self.agents[wanted.agent].name.to_string()).unwrap_or_default(),
                    callback: line.callback.is_some(),
                    estimate: self.estimate(key, position as usize - 1),
                }
            })
            .collect()
    }

    fn agent_info(&self, agent: &Agent) -> AgentInfo {
        let reason = match (&agent.presence, &agent.after) {
            (_, AfterCall::NotReady { reason }) => reason,
            (_, AfterCall::LoggedOut) => "logged-out",
            (Presence::NotReady { reason, .. }, AfterCall::Ready) => reason,
            (Presence::Ready, AfterCall::Ready) if agent.work.is_empty() && !agent.reachable() => "unreachable",
            (Presence::Ready | Presence::LoggedOut | Presence::WrapUp { .. }, AfterCall::Ready) => "",
        };
        let mut contacts: Vec<String> = agent.contacts.iter().map(|contact| contact.uri.to_string()).collect();
        contacts.extend((!agent.policy.contact.is_empty()).then(|| agent.policy.contact.to_string()));
        let calls: Vec<CallId> = agent.work.iter().map(|work| self.calls[work.call].id).collect();
        let skills = agent.policy.skills.iter();
        AgentInfo {
            name: agent.name.to_string(),
            state: agent.state.name().to_owned(),
            reason: reason.to_owned(),
            in_state_ms: self.now - agent.since,
            call: calls.last().copied(),
            queues: agent.members.iter().map(|member| self.queues[member.queue].name.to_string()).collect(),
            contacts,
            calls_answered: agent.answered,
            skills: skills
                .map(|(skill, level)| (self.skills[usize::from(*skill)].to_string(), u32::from(*level)))
                .collect(),
            state_ms: agent.times(self.now)[..STATES.len()].to_vec(),
            capacity: u32::from(agent.policy.capacity),
            calls,
        }
    }

    fn queue_of<'a>(&'a self, call: &'a Call) -> &'a str {
        match (&call.state, call.line.as_deref()) {
            (CallState::Ended { record }, _) => &record.queue,
            (_, Some(line)) => &self.queues[line.queue].name,
            (_, None) => "",
        }
    }

    fn call_info(&self, call: &Call) -> CallInfo {
        let name = |key: crate::table::AgentKey| self.agents[key].name.to_string();
        let (state, agent, waited_until, outcome) = match &call.state {
            CallState::Waiting => ("waiting", String::new(), self.now, ""),
            CallState::Asking { .. } => ("asking", String::new(), self.now, ""),
            CallState::Offered(offer) => {
                ("offered", offer.ringing.first().map(|ringing| name(ringing.agent)).unwrap_or_default(), self.now, "")
            }
            CallState::Calling { agent, .. } => ("calling", name(*agent), self.now, ""),
            CallState::Moving(moving) => {
                let first = moving.ringing.first().map(|(party, _)| self.party_name(party).to_string());
                ("moving", first.unwrap_or_default(), self.now, "")
            }
            CallState::Talking(talk) => {
                let state = match talk.aside.as_ref().map(|aside| aside.stage) {
                    None if talk.held.is_some() => "held",
                    None => "talking",
                    Some(AsideStage::Conference) => "conference",
                    Some(_) => "consulting",
                };
                let first = call.parts.first().map_or(talk.since, |part| part.from_ms);
                (state, self.party_name(&talk.party).to_string(), first, "")
            }
            CallState::Leaving { .. } => ("leaving", String::new(), self.now, ""),
            CallState::Ended { record } => {
                let until = if record.answered_ms > 0 { record.answered_ms } else { record.ended_ms };
                ("ended", record.agent.to_string(), until, record.outcome.name())
            }
        };
        CallInfo {
            call: call.id,
            state: state.to_owned(),
            number: call.number.to_string(),
            caller: call.caller.to_string(),
            queue: self.queue_of(call).to_owned(),
            agent,
            age_ms: self.now - call.offered,
            waited_ms: waited_until.saturating_sub(call.offered),
            gateway: self.gateways[call.gateway].id.to_string(),
            outcome: outcome.to_owned(),
        }
    }

    /// Counts of the present interval, which began at the time that is given with them, of a `queue`, `agent` or `number`.
    pub fn counts(&self, subject: &str) -> Vec<(String, Timestamp, crate::counts::Counts)> {
        let from = self.interval_ends.saturating_sub(crate::limits::INTERVAL_MS);
        match subject {
            "queue" => self.queues.iter().map(|(_, row)| (row.name.to_string(), from, (*row.counts).clone())).collect(),
            "number" => {
                self.numbers.iter().map(|(name, row)| (name.to_string(), from, (*row.counts).clone())).collect()
            }
            "agent" => {
                let agents = self.agents.iter().map(|(_, row)| {
                    let mut counts = (*row.counts).clone();
                    counts.state_ms[row.state as usize] += self.now - row.counted;
                    (row.name.to_string(), from, counts)
                });
                agents.collect()
            }
            _ => Vec::new(),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> u32 {
        self.rules
    }
}
