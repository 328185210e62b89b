//! Recomputes from the rows what the indices say and what must always hold; never repairs anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::deadlines::Deadline;
use crate::rows::{AgentState, CALLER, CallState, Class, LegWant};
use crate::shard::Shard;

macro_rules! ensure {
    ($holds:expr, $($what:tt)*) => { if !$holds { return Err(format!($($what)*)); } };
}

impl Shard {
    /// Whether all indices agree with the rows and the invariants hold. Slow: for tests, the simulator and restores.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn audit(&self) -> Result<(), String> {
        self.audit_names()?;
        self.audit_calls()?;
        self.audit_agents()?;
        self.audit_queues()?;
        self.audit_deadlines()
    }

    fn audit_names(&self) -> Result<(), String> {
        ensure!(self.dirty.is_empty() && self.touched.is_empty(), "scratch is not empty");
        ensure!(self.queue_names.len() == self.queues.len(), "queue names");
        ensure!(self.agent_names.len() == self.agents.len(), "agent names");
        ensure!(self.call_ids.len() == self.calls.len(), "call ids");
        ensure!(self.gateway_ids.len() == self.gateways.len(), "gateway ids");
        for (number, queue) in &self.numbers {
            ensure!(self.queues.get(*queue).is_some_and(|queue| !queue.removed), "number {number} leads nowhere");
        }
        Ok(())
    }

    fn audit_calls(&self) -> Result<(), String> {
        let mut on_gateways = 0;
        for (key, call) in self.calls.iter() {
            let id = call.id;
            ensure!(self.call_ids.get(&id) == Some(&key), "call {id}: id index");
            ensure!(
                self.gateways.get(call.gateway).is_some_and(|row| row.up && row.calls.contains(&key)),
                "call {id}: on a gateway that does not serve it"
            );
            on_gateways += 1;
            ensure!(call.offered <= self.now, "call {id}: offered in the future");
            if let CallState::Talking { since, .. } = call.state {
                ensure!(since <= self.now, "call {id}: talks in the future");
            }
            ensure!(!call.legs.is_empty(), "call {id}: no legs");
            ensure!(call.legs.len() <= self.limits.legs_per_call_max.max(3), "call {id}: too many legs");
            ensure!(call.legs.windows(2).all(|pair| pair[0].number < pair[1].number), "call {id}: leg order");
            ensure!(call.legs.iter().all(|leg| leg.number <= call.legs_made), "call {id}: leg numbers");
            ensure!(call.legs.iter().all(|leg| leg.revision <= self.revision), "call {id}: leg revisions");
            if let Some(line) = call.line() {
                let queue = self.queues.get(line.queue).ok_or(format!("call {id}: queue is gone"))?;
                let listed = match call.state {
                    CallState::Waiting { .. } => queue.waiting.get(&line.place) == Some(&key),
                    CallState::Offered { .. } => queue.offered.get(&line.place) == Some(&key),
                    CallState::Talking { .. } | CallState::Ended { .. } => true,
                };
                ensure!(listed, "call {id}: not in its queue");
                ensure!(line.place.joined <= self.now, "call {id}: joined in the future");
            }
            let wants: Vec<(u32, &LegWant)> = call
                .legs
                .iter()
                .filter(|leg| !matches!(leg.want, LegWant::Gone { .. }))
                .map(|leg| (leg.number, &leg.want))
                .collect();
            let in_line = |want: &LegWant| matches!(want, LegWant::Alert | LegWant::Listen);
            let fits = match (&call.state, wants.as_slice()) {
                (CallState::Waiting { .. }, [(CALLER, caller)]) => in_line(caller),
                (CallState::Offered { agent, leg, .. }, [(CALLER, caller), (number, LegWant::Ring { .. })]) => {
                    let reserved = self.agents.get(*agent).map(|row| &row.state);
                    let same = matches!(reserved, Some(AgentState::Reserved { call, leg, .. })
                        if *call == key && leg == number);
                    leg == number && in_line(caller) && same
                }
                (
                    CallState::Talking { agent, leg, .. },
                    [(CALLER, LegWant::Join { leg: to }), (number, LegWant::Join { leg: CALLER })],
                ) => {
                    let talking = self.agents.get(*agent).map(|row| &row.state);
                    let same =
                        matches!(talking, Some(AgentState::Talking { call, leg, .. }) if *call == key && leg == number);
                    leg == number && to == number && same
                }
                (CallState::Ended { .. }, []) => true,
                (
                    CallState::Waiting { .. }
                    | CallState::Offered { .. }
                    | CallState::Talking { .. }
                    | CallState::Ended { .. },
                    _,
                ) => false,
            };
            ensure!(fits, "call {id}: legs {wants:?} do not fit {:?}", call.state);
        }
        let listed: usize = self.gateways.iter().map(|(_, gateway)| gateway.calls.len()).sum();
        ensure!(listed == on_gateways, "gateways list {listed} calls of {on_gateways}");
        Ok(())
    }

    fn audit_agents(&self) -> Result<(), String> {
        for (key, agent) in self.agents.iter() {
            let name = &agent.name;
            ensure!(self.agent_names.get(name) == Some(&key), "agent {name}: name index");
            ensure!(agent.since <= self.now, "agent {name}: since the future");
            if let AgentState::Ready { rank } | AgentState::Reserved { rank, .. } = &agent.state {
                ensure!(rank.since <= self.now, "agent {name}: idle since the future");
            }
            let fits = match &agent.state {
                AgentState::Reserved { call, leg, .. } => self.calls.get(*call).is_some_and(|row| {
                    matches!(row.state, CallState::Offered { line, agent: rung, leg: ringing }
                        if rung == key && ringing == *leg && agent.queues.contains(&line.queue))
                }),
                AgentState::Talking { call, leg, .. } => self.calls.get(*call).is_some_and(|row| {
                    matches!(row.state, CallState::Talking { agent, leg: joined, .. }
                        if agent == key && joined == *leg)
                }),
                AgentState::LoggedOut
                | AgentState::NotReady { .. }
                | AgentState::Ready { .. }
                | AgentState::WrapUp { .. } => true,
            };
            ensure!(fits, "agent {name}: {:?} does not fit the call", agent.state);
            if agent.removed {
                let talks = matches!(agent.state, AgentState::Talking { .. });
                ensure!(talks && agent.queues.is_empty(), "agent {name}: removed and still here");
            }
            if let Some(until) = agent.state.deadline() {
                ensure!(until > self.now, "agent {name}: past the deadline in {}", agent.state.name());
            }
            ensure!(
                agent.contacts.iter().all(|contact| contact.expires > self.now),
                "agent {name}: a contact has expired"
            );
        }
        Ok(())
    }

    fn audit_queues(&self) -> Result<(), String> {
        let mut members: BTreeMap<_, [u32; Class::COUNT]> = BTreeMap::new();
        let mut ready: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (key, agent) in self.agents.iter() {
            for queue in &agent.queues {
                members.entry(*queue).or_default()[agent.class() as usize] += 1;
                if let (Class::Ready, AgentState::Ready { rank }) = (agent.class(), &agent.state) {
                    ready.entry(*queue).or_default().insert(*rank, key);
                }
            }
        }
        let (mut in_line, mut talking) = (BTreeMap::new(), BTreeMap::new());
        for (_, call) in self.calls.iter() {
            match call.state {
                CallState::Waiting { line } | CallState::Offered { line, .. } => {
                    *in_line.entry(line.queue).or_insert(0_usize) += 1;
                }
                CallState::Talking { line, .. } => *talking.entry(line.queue).or_insert(0_u32) += 1,
                CallState::Ended { .. } => {}
            }
        }
        for (key, queue) in self.queues.iter() {
            let name = &queue.name;
            ensure!(self.queue_names.get(name) == Some(&key), "queue {name}: name index");
            ensure!(queue.members == members.get(&key).copied().unwrap_or_default(), "queue {name}: member counts");
            ensure!(queue.ready == ready.remove(&key).unwrap_or_default(), "queue {name}: ready index");
            let lines = queue.waiting.len() + queue.offered.len();
            ensure!(lines == in_line.get(&key).copied().unwrap_or_default(), "queue {name}: calls in line");
            ensure!(queue.talking == talking.get(&key).copied().unwrap_or_default(), "queue {name}: talking");
            ensure!(queue.waiting.is_empty() || queue.ready.is_empty(), "queue {name}: a call waits for a ready agent");
            if queue.removed {
                ensure!(queue.talking > 0 && lines == 0, "queue {name}: removed and still here");
            }
        }
        Ok(())
    }

    fn audit_deadlines(&self) -> Result<(), String> {
        let seen_later = self.senders.rows.values().any(|row| row.last_seen > self.now);
        ensure!(!seen_later, "a sender was seen in the future");
        ensure!(self.now <= crate::limits::TIME_MAX, "time is beyond its end");
        let mut due = BTreeSet::new();
        for (key, agent) in self.agents.iter() {
            due.extend(agent.state.deadline().map(|at| (at, Deadline::Agent(key))));
            due.extend(agent.contacts_deadline().map(|at| (at, Deadline::Contacts(key))));
        }
        for (key, call) in self.calls.iter() {
            if let CallState::Waiting { line } = call.state {
                let at = self.queues[line.queue].policy.wait_until(line.place.joined);
                due.extend(at.map(|at| (at, Deadline::Wait(key))));
            }
        }
        due.extend(self.senders.rows.iter().map(|(id, row)| (row.check_at, Deadline::Sender(*id))));
        ensure!(due == self.deadlines, "deadlines are not those of the rows");
        ensure!(self.next_deadline().is_none_or(|at| at > self.now), "something due was not done");
        Ok(())
    }
}
