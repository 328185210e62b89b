//! Agents: commands about them and the one way from state to state; never picks an agent for a call.

use crate::command::{Accepted, Rejection, RejectionCode};
use crate::document::RonaPolicy;
use crate::limits::CONTACT_SECONDS_MAX;
use crate::output::{AgentRecord, Output, RecordKind};
use crate::rows::{AfterCall, Agent, Contact, Presence, Release, Stage, State, Tally, Work};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, QueueKey};
use crate::{CallId, Name, Timestamp};

/// State names in records of agents that come and go by configuration.
pub(crate) const ABSENT: &str = "absent";

/// Why an agent who was rung did not take the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// Let it ring.
    NoAnswer,
    Busy,
    Rejected,
    Unreachable,
}

/// Where a phone registered, and how it is reached.
pub(crate) struct Reached {
    pub(crate) gateway: String,
    pub(crate) path: String,
    pub(crate) flow: bool,
}

impl Shard {
    pub(crate) fn log_in_agent(&mut self, name: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        if self.agents[key].presence == Presence::LoggedOut {
            self.begin_shift(key);
            let presence = Presence::NotReady { reason: "logged-in".into(), until: None };
            self.set_presence(key, presence, "logged-in", 0, None, out);
        } else if self.agents[key].after == AfterCall::LoggedOut {
            // Takes a log-out after this call back; a pause after it stays.
            self.agents[key].after = AfterCall::NotReady { reason: "logged-in".into() };
        }
        Ok(Accepted)
    }

    pub(crate) fn log_out_agent(&mut self, name: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        if self.agents[key].presence != Presence::LoggedOut {
            self.leave(key, Presence::LoggedOut, AfterCall::LoggedOut, "logged-out", out);
        }
        Ok(Accepted)
    }

    pub(crate) fn make_agent_ready(&mut self, name: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        let agent = &self.agents[key];
        match (&agent.presence, &agent.after) {
            (Presence::LoggedOut, _) => {
                return Err(Rejection::new(RejectionCode::WrongState, "the agent is logged out"));
            }
            // A log-out that was asked for is taken back by a log-in only.
            (_, AfterCall::LoggedOut) => {
                return Err(Rejection::new(RejectionCode::WrongState, "the agent logs out after this call"));
            }
            (Presence::Ready, AfterCall::Ready) => {}
            (Presence::Ready, AfterCall::NotReady { .. }) => {
                self.enter(key, "asked", 0, out, |agent| agent.after = AfterCall::Ready);
            }
            (Presence::NotReady { .. } | Presence::WrapUp { .. }, _) => {
                self.set_presence(key, Presence::Ready, "asked", 0, None, out);
            }
        }
        Ok(Accepted)
    }

    pub(crate) fn make_agent_not_ready(
        &mut self,
        name: &str,
        reason: &str,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        self.check_name("reason", reason)?;
        let agent = &self.agents[key];
        if agent.presence == Presence::LoggedOut {
            return Err(Rejection::new(RejectionCode::WrongState, "the agent is logged out"));
        }
        if agent.after == AfterCall::LoggedOut {
            return Err(Rejection::new(RejectionCode::WrongState, "the agent logs out after this call"));
        }
        if matches!(&agent.presence, Presence::NotReady { reason: same, until: None } if **same == *reason) {
            return Ok(Accepted);
        }
        let reason: Name = reason.into();
        let presence = Presence::NotReady { reason: reason.clone(), until: None };
        self.leave(key, presence, AfterCall::NotReady { reason: reason.clone() }, &reason, out);
        Ok(Accepted)
    }

    /// Takes no more calls: offers are taken back at once, talks are finished first.
    fn leave(&mut self, key: AgentKey, presence: Presence, after: AfterCall, reason: &str, out: &mut Output) {
        let reserved = self.agents[key].work.iter().find(|work| work.stage == Stage::Reserved).map(|work| work.call);
        let id = reserved.map_or(0, |call| self.calls[call].id);
        if let Some(call) = reserved {
            self.take_back(call, key, Release::Withdrawn, out);
        }
        if self.agents[key].work.iter().all(|work| Some(work.call) == reserved) {
            self.set_presence(key, presence, reason, id, reserved, out);
        } else {
            self.enter(key, reason, id, out, |agent| {
                agent.work.retain(|work| Some(work.call) != reserved);
                agent.after = after;
            });
        }
    }

    pub(crate) fn extend_wrap_up(&mut self, name: &str, seconds: u32) -> Result<Accepted, Rejection> {
        let key = self.agent_key(name)?;
        let most =
            self.agents[key].members.iter().map(|member| self.queues[member.queue].policy.wrap_up_ms_max()).max();
        let agent = &mut self.agents[key];
        let Presence::WrapUp { until } = &mut agent.presence else {
            return Err(Rejection::new(RejectionCode::WrongState, "the agent is not in wrap-up"));
        };
        let most = most.unwrap_or(u64::from(crate::limits::WRAP_UP_SECONDS_MAX_DEFAULT) * 1000);
        let wanted = self.now.saturating_add(u64::from(seconds) * 1000).min(agent.since.saturating_add(most));
        *until = (*until).max(wanted);
        self.set_agent_alarm(key);
        Ok(Accepted)
    }

    pub(crate) fn register_contact(
        &mut self,
        name: &str,
        uri: String,
        expires_seconds: u32,
        how: Reached,
    ) -> Result<Accepted, Rejection> {
        let Reached { gateway, path, flow } = how;
        let key = self.agent_key(name)?;
        self.check_name("gateway", &gateway)?;
        if uri.is_empty() || uri.len().max(path.len()) > self.limits.contact_bytes_max {
            return Err(Rejection::new(RejectionCode::Invalid, "contact is empty or too long"));
        }
        if uri == "*" && expires_seconds > 0 {
            // RFC 3261 section 10.2.2: "*" only with an expiry of zero.
            return Err(Rejection::new(RejectionCode::Invalid, "contact * needs expires_seconds 0"));
        }
        let agent = &self.agents[key];
        let known = agent.contacts.iter().any(|contact| *contact.uri == *uri);
        if expires_seconds > 0 && !known && agent.contacts.len() >= self.limits.contacts_per_agent_max {
            return Err(Rejection::new(RejectionCode::LimitReached, "contacts_per_agent_max"));
        }
        let expires = self.now + u64::from(expires_seconds.min(CONTACT_SECONDS_MAX)) * 1000;
        let uri: Name = uri.into();
        let path: Option<Name> = (!path.is_empty()).then(|| path.into());
        self.change_reach(key, |agent| {
            agent.contacts.retain(|contact| &*uri != "*" && contact.uri != uri);
            if expires_seconds > 0 {
                agent.contacts.insert(0, Contact { uri, gateway, expires, path, flow });
            }
        });
        Ok(Accepted)
    }

    /// Connections end with the gateway that held them: who was reachable over one has to register again.
    pub(crate) fn lose_flows(&mut self, gateway: &str) {
        let lost = |contact: &Contact| contact.flow && contact.gateway == gateway;
        for key in self.agents.keys() {
            if self.agents[key].contacts.iter().any(lost) {
                self.change_reach(key, |agent| agent.contacts.retain(|contact| !lost(contact)));
            }
        }
    }

    /// Changes what an agent can be reached at. Who stays reachable keeps the place among the ready.
    pub(crate) fn change_reach(&mut self, key: AgentKey, change: impl FnOnce(&mut Agent)) {
        let class = self.agents[key].class();
        change(&mut self.agents[key]);
        self.set_contacts_alarm(key);
        self.relist(key, class);
    }

    /// An agent who was rung did not take the call: what the queue's rules say. `many`: rang with others.
    pub(crate) fn blame(
        &mut self,
        key: AgentKey,
        miss: Miss,
        queue: QueueKey,
        many: bool,
        call: CallKey,
        out: &mut Output,
    ) {
        let id = self.calls[call].id;
        let policy = &self.queues[queue].policy;
        let stays = many || policy.document.rona == RonaPolicy::StayReady;
        let (reason, rest_ms) = match miss {
            Miss::NoAnswer => ("rona", stays.then_some(policy.rona_ms())),
            Miss::Busy => ("busy", Some(policy.busy_ms())),
            Miss::Rejected => ("rejected", Some(policy.busy_ms())),
            Miss::Unreachable => ("unreachable", Some(policy.unreachable_ms())),
        };
        let rona_max = policy.document.rona_max;
        let agent = &mut self.agents[key];
        if miss == Miss::NoAnswer && !many {
            agent.counts.rona += 1;
            agent.rona += 1;
            self.queues[queue].counts.rona += 1;
        }
        let others = agent.work.iter().any(|work| work.call != call);
        let until = rest_ms.map(|ms| self.now.saturating_add(ms));
        let out_of_here = rona_max > 0 && agent.rona >= rona_max;
        if others {
            // In another call meanwhile: after it.
            return self.enter(key, reason, id, out, |agent| {
                agent.work.retain(|work| work.call != call);
                if out_of_here {
                    agent.after = AfterCall::LoggedOut;
                } else if until.is_none() {
                    agent.after = AfterCall::NotReady { reason: reason.into() };
                }
            });
        }
        let presence = match agent.after.clone() {
            AfterCall::LoggedOut => Presence::LoggedOut,
            AfterCall::NotReady { reason } => Presence::NotReady { reason, until: None },
            AfterCall::Ready if out_of_here => Presence::LoggedOut,
            AfterCall::Ready => Presence::NotReady { reason: reason.into(), until },
        };
        self.set_presence(key, presence, reason, id, Some(call), out);
    }

    /// The agent has a call more in hand.
    pub(crate) fn take_work(&mut self, key: AgentKey, call: CallKey, stage: Stage, out: &mut Output) {
        let id = self.calls[call].id;
        self.enter(key, "", id, out, |agent| match agent.work.iter_mut().find(|work| work.call == call) {
            Some(work) => work.stage = stage,
            None => agent.work.push(Work { call, stage }),
        });
    }

    /// The agent has the call no more, without having talked: the idle time goes on.
    pub(crate) fn drop_work(&mut self, key: AgentKey, call: CallKey, reason: &str, out: &mut Output) {
        let id = self.calls[call].id;
        self.enter(key, reason, id, out, |agent| agent.work.retain(|work| work.call != call));
        self.after_work(key, id, out);
    }

    /// The agent's part of a talk is over: what was asked for meanwhile, else wrap-up, else ready.
    pub(crate) fn finish_talk(&mut self, key: AgentKey, call: CallKey, queue_seconds: u32, out: &mut Output) {
        let id = self.calls[call].id;
        let agent = &self.agents[key];
        let seconds = if agent.policy.wrap_up_seconds > 0 { agent.policy.wrap_up_seconds } else { queue_seconds };
        let now = self.now;
        let last = agent.work.len() == 1 && agent.work[0].call == call;
        if !last {
            self.agents[key].last_call_end = now;
            self.enter(key, "", id, out, |agent| agent.work.retain(|work| work.call != call));
            return self.after_work(key, id, out);
        }
        if agent.removed {
            return self.drop_agent(key, id, out);
        }
        let (presence, reason): (Presence, Name) = match agent.after.clone() {
            AfterCall::LoggedOut => (Presence::LoggedOut, "logged-out".into()),
            AfterCall::NotReady { reason } => (Presence::NotReady { reason: reason.clone(), until: None }, reason),
            // Was asked out of turn: not ready as before.
            AfterCall::Ready if matches!(agent.presence, Presence::NotReady { .. }) => {
                (agent.presence.clone(), "".into())
            }
            AfterCall::Ready if seconds > 0 => {
                (Presence::WrapUp { until: now.saturating_add(u64::from(seconds) * 1000) }, self.empty.clone())
            }
            AfterCall::Ready => (Presence::Ready, self.empty.clone()),
        };
        let rank = self.next_rank();
        self.enter(key, &reason, id, out, |agent| {
            agent.work.clear();
            agent.after = AfterCall::Ready;
            agent.presence = presence;
            agent.rank = rank;
            agent.last_call_end = now;
            agent.rona = 0;
        });
    }

    /// What was asked for while calls were in hand is done when the last one is gone.
    fn after_work(&mut self, key: AgentKey, call: CallId, out: &mut Output) {
        let Some(agent) = self.agents.get(key) else { return };
        if !agent.work.is_empty() {
            return;
        }
        if agent.removed {
            return self.drop_agent(key, call, out);
        }
        match agent.after.clone() {
            AfterCall::Ready => {}
            AfterCall::LoggedOut => self.set_presence(key, Presence::LoggedOut, "logged-out", call, None, out),
            AfterCall::NotReady { reason } => {
                self.set_presence(
                    key,
                    Presence::NotReady { reason: reason.clone(), until: None },
                    &reason,
                    call,
                    None,
                    out,
                );
            }
        }
    }

    pub(crate) fn expire_agent(&mut self, key: AgentKey, out: &mut Output) {
        let due = self.agents[key].until().is_some_and(|until| until <= self.now);
        match self.agents[key].presence.clone() {
            Presence::NotReady { reason, until: Some(_) } if due => {
                self.set_presence(key, Presence::Ready, &format!("{reason} over"), 0, None, out);
            }
            Presence::WrapUp { .. } if due => self.set_presence(key, Presence::Ready, "wrap-up over", 0, None, out),
            Presence::LoggedOut | Presence::NotReady { .. } | Presence::Ready | Presence::WrapUp { .. } => {
                self.refresh_figures(key);
            }
        }
    }

    /// Says what the agent is when no call is in hand, but for `dropped`. Ready gets a new rank.
    pub(crate) fn set_presence(
        &mut self,
        key: AgentKey,
        presence: Presence,
        reason: &str,
        call: CallId,
        dropped: Option<CallKey>,
        out: &mut Output,
    ) {
        let rank = (presence == Presence::Ready).then(|| self.next_rank());
        self.enter(key, reason, call, out, |agent| {
            agent.work.retain(|work| Some(work.call) != dropped);
            if presence == Presence::LoggedOut {
                agent.rona = 0;
            }
            agent.presence = presence;
            agent.after = AfterCall::Ready;
            agent.rank = rank.unwrap_or(agent.rank);
        });
    }

    /// The one way from state to state: keeps times, alarms, indices and the record. `call` is 0 when none is concerned.
    pub(crate) fn enter(
        &mut self,
        key: AgentKey,
        reason: &str,
        call: CallId,
        out: &mut Output,
        change: impl FnOnce(&mut Agent),
    ) {
        let now = self.now;
        let agent = &mut self.agents[key];
        let class = agent.class();
        let from = agent.state;
        let presence = agent.presence.clone();
        let spent_ms = now - agent.since;
        agent.count_time(now);
        change(agent);
        agent.state = agent.derived_state();
        if agent.state != from || agent.presence != presence {
            let record = AgentRecord {
                agent: agent.name.clone(),
                from: from.name(),
                to: agent.state.name(),
                reason: if reason.is_empty() { self.empty.clone() } else { reason.into() },
                call,
                spent_ms,
            };
            agent.since = now;
            self.write(RecordKind::Agent(record), out);
        }
        let wrapped_up = matches!(presence, Presence::WrapUp { .. });
        if wrapped_up && !matches!(self.agents[key].presence, Presence::WrapUp { .. }) {
            self.count_wrap_up(key, spent_ms);
        }
        self.relist(key, class);
        self.set_agent_alarm(key);
    }

    /// The agent is gone for good.
    pub(crate) fn drop_agent(&mut self, key: AgentKey, call: CallId, out: &mut Output) {
        self.agents[key].count_time(self.now);
        self.leave_pools(key);
        self.count_staff(key, self.agents[key].class(), false);
        self.write_agent_interval(key, out);
        let agent = self.agents.remove(key);
        self.agent_names.remove(&agent.name);
        self.write_arrival(agent.name, agent.state.name(), ABSENT, self.now - agent.since, call, out);
    }

    pub(crate) fn write_arrival(
        &self,
        agent: Name,
        from: &'static str,
        to: &'static str,
        spent_ms: Timestamp,
        call: CallId,
        out: &mut Output,
    ) {
        let record = AgentRecord { agent, from, to, reason: "configured".into(), call, spent_ms };
        self.write(RecordKind::Agent(record), out);
    }

    /// A new shift: counts begin anew, and in each queue at the least that somebody there has, so that a newcomer is not flooded.
    pub(crate) fn begin_shift(&mut self, key: AgentKey) {
        let now = self.now;
        let agent = &mut self.agents[key];
        agent.shift = Tally { from: now, ..Tally::default() };
        agent.state_ms = [0; State::COUNT];
        agent.counted = now;
        agent.rona = 0;
        // Occupancy is of this time signed in, in the day too.
        agent.day.busy_ms = 0;
        for index in 0..self.agents[key].members.len() {
            self.level_entry(key, index, |other| other != key);
        }
    }

    /// A newcomer to a queue is counted as if having done at least what the least busy of the `others` there has.
    pub(crate) fn level_entry(&mut self, key: AgentKey, index: usize, others: impl Fn(AgentKey) -> bool) {
        self.agents[key].members[index].entry = (0, 0);
        let agent = &self.agents[key];
        let member = &agent.members[index];
        let window = self.queues[member.queue].policy.document.window;
        let least = self.least_figures(member.queue, others);
        let own = crate::pools::done(agent, member, window, self.now);
        self.agents[key].members[index].entry = (least.0.saturating_sub(own.0), least.1.saturating_sub(own.1));
    }

    pub(crate) fn agent_key(&self, name: &str) -> Result<AgentKey, Rejection> {
        self.agent_names
            .get(name)
            .copied()
            .filter(|key| !self.agents[*key].removed)
            .ok_or_else(|| Rejection::new(RejectionCode::UnknownAgent, "no such agent"))
    }
}

impl Agent {
    /// Counts the time in the present state up to `now`.
    pub(crate) fn count_time(&mut self, now: Timestamp) {
        let spent = now - self.counted;
        self.counted = now;
        if spent == 0 {
            return;
        }
        self.state_ms[self.state as usize] += spent;
        self.counts.state_ms[self.state as usize] += spent;
        if matches!(self.state, State::Talking | State::Held | State::Consulting | State::WrapUp) {
            self.shift.busy_ms += spent;
            self.day.busy_ms += spent;
        }
        if self.state == State::WrapUp {
            self.counts.wrap_up_ms += spent;
        }
    }
}
