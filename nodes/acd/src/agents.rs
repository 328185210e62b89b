//! Agents: commands about them and the one way from state to state; never picks an agent for a call.

use crate::command::{Accepted, Rejection, RejectionCode};
use crate::deadlines::Deadline;
use crate::limits::CONTACT_SECONDS_MAX;
use crate::output::{AgentRecord, Output, RecordKind};
use crate::rows::{AfterCall, AgentState, Class, Contact, Release};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey};
use crate::{CallId, Timestamp};

/// State names in records of agents that come and go by configuration.
pub(crate) const ABSENT: &str = "absent";

impl Shard {
    pub(crate) fn log_in_agent(&mut self, name: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        match &mut self.agents[key].state {
            AgentState::LoggedOut => {
                let state = AgentState::NotReady { reason: "logged-in".to_owned(), until: None };
                self.enter(key, state, "logged-in", 0, out);
            }
            // Takes a log-out after this call back; a pause after it stays.
            AgentState::Talking { after: after @ AfterCall::LoggedOut, .. } => {
                *after = AfterCall::NotReady { reason: "logged-in".to_owned() };
            }
            AgentState::NotReady { .. }
            | AgentState::Ready { .. }
            | AgentState::Reserved { .. }
            | AgentState::Talking { .. }
            | AgentState::WrapUp { .. } => {}
        }
        Ok(Accepted)
    }

    pub(crate) fn log_out_agent(&mut self, name: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        match &mut self.agents[key].state {
            AgentState::LoggedOut => {}
            AgentState::Reserved { call, leg, .. } => {
                let (call, leg) = (*call, *leg);
                let id = self.withdraw(call, leg);
                self.enter(key, AgentState::LoggedOut, "logged-out", id, out);
            }
            AgentState::Talking { after, .. } => *after = AfterCall::LoggedOut,
            AgentState::NotReady { .. } | AgentState::Ready { .. } | AgentState::WrapUp { .. } => {
                self.enter(key, AgentState::LoggedOut, "logged-out", 0, out);
            }
        }
        Ok(Accepted)
    }

    pub(crate) fn make_agent_ready(&mut self, name: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        match &mut self.agents[key].state {
            AgentState::LoggedOut => {
                return Err(Rejection::new(RejectionCode::WrongState, "the agent is logged out"));
            }
            // A log-out that was asked for is taken back by a log-in only.
            AgentState::Talking { after: AfterCall::LoggedOut, .. } => {
                return Err(Rejection::new(RejectionCode::WrongState, "the agent logs out after this call"));
            }
            AgentState::Talking { after, .. } => *after = AfterCall::Ready,
            AgentState::Ready { .. } | AgentState::Reserved { .. } => {}
            AgentState::NotReady { .. } | AgentState::WrapUp { .. } => {
                let rank = self.next_rank();
                self.enter(key, AgentState::Ready { rank }, "asked", 0, out);
            }
        }
        Ok(Accepted)
    }

    pub(crate) fn make_agent_not_ready(
        &mut self,
        name: &str,
        reason: String,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        self.check_name("reason", &reason)?;
        match &mut self.agents[key].state {
            AgentState::LoggedOut => {
                return Err(Rejection::new(RejectionCode::WrongState, "the agent is logged out"));
            }
            AgentState::Talking { after: AfterCall::LoggedOut, .. } => {
                return Err(Rejection::new(RejectionCode::WrongState, "the agent logs out after this call"));
            }
            AgentState::Talking { after, .. } => *after = AfterCall::NotReady { reason },
            AgentState::NotReady { reason: same, until: None } if *same == reason => {}
            AgentState::Reserved { call, leg, .. } => {
                let (call, leg) = (*call, *leg);
                let id = self.withdraw(call, leg);
                let state = AgentState::NotReady { reason: reason.clone(), until: None };
                self.enter(key, state, &reason, id, out);
            }
            AgentState::NotReady { .. } | AgentState::Ready { .. } | AgentState::WrapUp { .. } => {
                let state = AgentState::NotReady { reason: reason.clone(), until: None };
                self.enter(key, state, &reason, 0, out);
            }
        }
        Ok(Accepted)
    }

    pub(crate) fn register_contact(
        &mut self,
        name: &str,
        uri: String,
        expires_seconds: u32,
        gateway: String,
    ) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        self.check_name("gateway", &gateway)?;
        if uri.is_empty() || uri.len() > self.limits.contact_bytes_max {
            return Err(Rejection::new(RejectionCode::Invalid, "contact is empty or too long"));
        }
        if uri == "*" && expires_seconds > 0 {
            // RFC 3261 section 10.2.2: "*" only with an expiry of zero.
            return Err(Rejection::new(RejectionCode::Invalid, "contact * needs expires_seconds 0"));
        }
        let agent = &self.agents[key];
        let known = agent.contacts.iter().any(|contact| contact.uri == uri);
        if expires_seconds > 0 && !known && agent.contacts.len() >= self.limits.contacts_per_agent_max {
            return Err(Rejection::new(RejectionCode::LimitReached, "contacts_per_agent_max"));
        }
        let expires = self.now + u64::from(expires_seconds.min(CONTACT_SECONDS_MAX)) * 1000;
        self.unlist(key);
        let agent = &mut self.agents[key];
        if let Some(at) = agent.contacts_deadline() {
            self.deadlines.remove(&(at, Deadline::Contacts(key)));
        }
        agent.contacts.retain(|contact| uri != "*" && contact.uri != uri);
        if expires_seconds > 0 {
            agent.contacts.insert(0, Contact { uri, gateway, expires });
        }
        if let Some(at) = agent.contacts_deadline() {
            self.deadlines.insert((at, Deadline::Contacts(key)));
        }
        self.list(key);
        Ok(Accepted)
    }

    /// An agent's leg could not be rung or refused: not ready until the delay is over.
    pub(crate) fn rest_agent(&mut self, key: AgentKey, reason: &str, delay_ms: u64, call: CallId, out: &mut Output) {
        let state = AgentState::NotReady { reason: reason.to_owned(), until: Some(self.now + delay_ms) };
        self.enter(key, state, reason, call, out);
    }

    /// The agent's talk is over: what was asked for meanwhile, else wrap-up, else ready.
    pub(crate) fn finish_talk(&mut self, key: AgentKey, queue_seconds: u32, call: CallId, out: &mut Output) {
        let agent = &self.agents[key];
        let AgentState::Talking { after, .. } = &agent.state else {
            panic!("the agent of a talking call talks");
        };
        let seconds = if agent.wrap_up_seconds > 0 { agent.wrap_up_seconds } else { queue_seconds };
        if agent.removed {
            return self.drop_agent(key, call, out);
        }
        match after.clone() {
            AfterCall::LoggedOut => self.enter(key, AgentState::LoggedOut, "logged-out", call, out),
            AfterCall::NotReady { reason } => {
                let state = AgentState::NotReady { reason: reason.clone(), until: None };
                self.enter(key, state, &reason, call, out);
            }
            AfterCall::Ready if seconds > 0 => {
                let until = self.now + u64::from(seconds) * 1000;
                self.enter(key, AgentState::WrapUp { until }, "", call, out);
            }
            AfterCall::Ready => {
                let rank = self.next_rank();
                self.enter(key, AgentState::Ready { rank }, "", call, out);
            }
        }
    }

    /// Takes an offer back: the leg is to be gone, the call is at its place again. The agent is the caller's business.
    pub(crate) fn withdraw(&mut self, call: CallKey, leg: u32) -> CallId {
        self.want_gone(call, leg, Release::Withdrawn);
        self.return_call(call);
        self.calls[call].id
    }

    /// The one way from state to state: keeps deadline, indices and the record. `call` is 0 when none is concerned.
    pub(crate) fn enter(&mut self, key: AgentKey, state: AgentState, reason: &str, call: CallId, out: &mut Output) {
        self.unlist(key);
        let now = self.now;
        let agent = &mut self.agents[key];
        if let Some(at) = agent.state.deadline() {
            self.deadlines.remove(&(at, Deadline::Agent(key)));
        }
        let from = std::mem::replace(&mut agent.state, state);
        let record = AgentRecord {
            agent: agent.name.clone(),
            from: from.name(),
            to: agent.state.name(),
            reason: reason.to_owned(),
            call,
            spent_ms: now - agent.since,
        };
        agent.since = now;
        if let Some(at) = agent.state.deadline() {
            self.deadlines.insert((at, Deadline::Agent(key)));
        }
        self.write(RecordKind::Agent(record), out);
        self.list(key);
    }

    /// Takes an agent out of the indices of its queues, before state, contacts or memberships change.
    pub(crate) fn unlist(&mut self, key: AgentKey) {
        let agent = &self.agents[key];
        let class = agent.class();
        for queue in &agent.queues {
            let queue = &mut self.queues[*queue];
            queue.members[class as usize] -= 1;
            if let (Class::Ready, AgentState::Ready { rank }) = (class, &agent.state) {
                queue.ready.remove(rank);
            }
        }
    }

    /// Puts an agent into the indices of its queues.
    pub(crate) fn list(&mut self, key: AgentKey) {
        let agent = &self.agents[key];
        let class = agent.class();
        for queue_key in &agent.queues {
            let queue = &mut self.queues[*queue_key];
            queue.members[class as usize] += 1;
            if let (Class::Ready, AgentState::Ready { rank }) = (class, &agent.state) {
                queue.ready.insert(*rank, key);
                self.dirty.insert(*queue_key);
            }
        }
    }

    /// The agent is gone for good.
    pub(crate) fn drop_agent(&mut self, key: AgentKey, call: CallId, out: &mut Output) {
        self.unlist(key);
        let agent = self.agents.remove(key);
        self.agent_names.remove(&agent.name);
        if let Some(at) = agent.state.deadline() {
            self.deadlines.remove(&(at, Deadline::Agent(key)));
        }
        if let Some(at) = agent.contacts_deadline() {
            self.deadlines.remove(&(at, Deadline::Contacts(key)));
        }
        let from = agent.state.name();
        self.write_arrival(agent.name, from, ABSENT, self.now - agent.since, call, out);
    }

    pub(crate) fn write_arrival(
        &self,
        agent: String,
        from: &'static str,
        to: &'static str,
        spent_ms: Timestamp,
        call: CallId,
        out: &mut Output,
    ) {
        let record = AgentRecord { agent, from, to, reason: "configured".to_owned(), call, spent_ms };
        self.write(RecordKind::Agent(record), out);
    }

    fn agent_key(&self, name: &str) -> Result<AgentKey, Rejection> {
        self.agent_names
            .get(name)
            .copied()
            .filter(|key| !self.agents[*key].removed)
            .ok_or_else(|| Rejection::new(RejectionCode::UnknownAgent, "no such agent"))
    }
}
