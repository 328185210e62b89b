//! What happens when time has come; deadlines are data, nothing here waits.

use crate::output::Output;
use crate::rows::{AgentState, CallState, Release};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey};

/// What is due. The order of the variants breaks ties of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// The agent's state ends: no answer, wrap-up over, delay over.
    Agent(AgentKey),
    /// The agent's first contact expires.
    Contacts(AgentKey),
    /// The waiting caller has waited enough.
    Wait(CallKey),
    /// See whether the sender has been idle.
    Sender(u64),
}

impl Shard {
    /// Does all that is due, in order of deadlines.
    pub(crate) fn expire(&mut self, out: &mut Output) {
        while let Some(&(at, deadline)) = self.deadlines.first() {
            if at > self.now {
                return;
            }
            self.deadlines.pop_first();
            match deadline {
                Deadline::Agent(agent) => self.expire_agent(agent, out),
                Deadline::Contacts(agent) => self.expire_contacts(agent),
                Deadline::Wait(call) => self.expire_wait(call, out),
                Deadline::Sender(sender) => {
                    if let Some(check_at) = self.senders.check(sender, self.now) {
                        self.deadlines.insert((check_at, Deadline::Sender(sender)));
                    }
                }
            }
        }
    }

    /// Every ringing agent gets `ms` more: nobody is held to a time in which no leader could tell or hear anything.
    /// Walks all agents, once per change of leader.
    pub(crate) fn prolong_offers(&mut self, ms: u64) {
        let keys: Vec<AgentKey> = self.agents.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let AgentState::Reserved { until, .. } = &mut self.agents[key].state {
                self.deadlines.remove(&(*until, Deadline::Agent(key)));
                *until = until.saturating_add(ms);
                self.deadlines.insert((*until, Deadline::Agent(key)));
            }
        }
    }

    fn expire_agent(&mut self, key: AgentKey, out: &mut Output) {
        match self.agents[key].state.clone() {
            // RONA: the caller keeps the place, so is at the head again.
            AgentState::Reserved { call, leg, .. } => {
                self.want_gone(call, leg, Release::NoAnswer);
                self.return_call(call);
                let id = self.calls[call].id;
                self.enter(key, AgentState::NotReady { reason: "rona".to_owned(), until: None }, "rona", id, out);
            }
            AgentState::NotReady { reason, until: Some(_) } => {
                let rank = self.next_rank();
                self.enter(key, AgentState::Ready { rank }, &format!("{reason} over"), 0, out);
            }
            AgentState::WrapUp { .. } => {
                let rank = self.next_rank();
                self.enter(key, AgentState::Ready { rank }, "wrap-up over", 0, out);
            }
            AgentState::LoggedOut
            | AgentState::NotReady { until: None, .. }
            | AgentState::Ready { .. }
            | AgentState::Talking { .. } => panic!("an agent has a deadline only in a state that ends by itself"),
        }
    }

    fn expire_contacts(&mut self, key: AgentKey) {
        self.unlist(key);
        let now = self.now;
        let agent = &mut self.agents[key];
        agent.contacts.retain(|contact| contact.expires > now);
        if let Some(at) = agent.contacts_deadline() {
            self.deadlines.insert((at, Deadline::Contacts(key)));
        }
        self.list(key);
    }

    fn expire_wait(&mut self, key: CallKey, out: &mut Output) {
        match self.calls[key].state {
            CallState::Waiting { .. } => self.refuse(key, Release::WaitLimit, out),
            CallState::Offered { .. } | CallState::Talking { .. } | CallState::Ended { .. } => {
                panic!("only a waiting call has a wait limit running")
            }
        }
    }
}
