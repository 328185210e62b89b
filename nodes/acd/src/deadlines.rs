//! What happens when time has come; deadlines are data, nothing here waits.

use crate::alarms::Alarm;
use crate::output::Output;
use crate::rows::{AsideStage, CallState};
use crate::shard::Shard;
use crate::table::{CallKey, Key, QueueKey};
use crate::{Timestamp, table::AgentKey};

/// Stale alarms are dropped when there are so many more alarms than rows.
const STALE_MAX: usize = 4_096;

/// Under earlier rules the steps of a queue go on while nobody can be heard, and take back what rings.
const PROLONGED_STEPS_RULES: u32 = 4;

impl Shard {
    /// Does all that is due, in order of time, then of [`Alarm`].
    pub(crate) fn expire(&mut self, out: &mut Output) {
        while let Some((at, alarm)) = self.alarms.first() {
            if at > self.now {
                return;
            }
            self.alarms.pop();
            if !self.holds(at, alarm) {
                continue;
            }
            match alarm {
                Alarm::Interval => self.end_interval(out),
                Alarm::Agent(agent) => {
                    self.agents[agent].alarm = None;
                    self.expire_agent(agent, out);
                    self.set_agent_alarm(agent);
                }
                Alarm::Contacts(agent) => self.expire_contacts(agent),
                Alarm::Call(call) => {
                    self.calls[call].alarm = None;
                    self.expire_call(call, out);
                    self.set_call_alarm(call);
                }
                Alarm::Queue(queue) => {
                    self.queues[queue].alarm = None;
                    self.expire_queue(queue, out);
                }
                Alarm::Sender(sender) => {
                    if let Some(check_at) = self.senders.check(sender, self.now) {
                        self.alarms.set(check_at, Alarm::Sender(sender));
                    }
                }
            }
        }
    }

    /// Whether the row still wants to be looked at then.
    fn holds(&self, at: Timestamp, alarm: Alarm) -> bool {
        match alarm {
            Alarm::Interval => self.interval_ends == at || self.day_ends == at,
            Alarm::Agent(key) => self.agents.get(key).is_some_and(|row| row.alarm == Some(at)),
            Alarm::Contacts(key) => self.agents.get(key).is_some_and(|row| row.contacts_alarm == Some(at)),
            Alarm::Call(key) => self.calls.get(key).is_some_and(|row| row.alarm == Some(at)),
            Alarm::Queue(key) => self.queues.get(key).is_some_and(|row| row.alarm == Some(at)),
            Alarm::Sender(id) => self.senders.rows.get(&id).is_some_and(|row| row.check_at == at),
        }
    }

    /// Afterwards the first alarm is one that holds.
    pub(crate) fn settle_alarms(&mut self) {
        while let Some((at, alarm)) = self.alarms.first() {
            if self.holds(at, alarm) {
                break;
            }
            self.alarms.pop();
        }
        let rows = self.calls.len() + 2 * self.agents.len() + self.queues.len() + self.senders.rows.len();
        if self.alarms.len() > 2 * rows + STALE_MAX {
            let mut alarms = std::mem::take(&mut self.alarms);
            alarms.retain(|std::cmp::Reverse((at, alarm))| self.holds(*at, *alarm));
            self.alarms = alarms;
        }
    }

    /// After the call may have ended, moved on or been looked at: when to look again.
    pub(crate) fn set_call_alarm(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let due = self.call_due(call);
        if due == call.alarm {
            return;
        }
        self.calls[key].alarm = due;
        if let Some(at) = due {
            self.alarms.set(at, Alarm::Call(key));
        }
    }

    pub(crate) fn set_agent_alarm(&mut self, key: AgentKey) {
        let Some(agent) = self.agents.get(key) else { return };
        let due = match (agent.until(), self.figures_change_at(agent)) {
            (Some(until), Some(change)) => Some(until.min(change)),
            (one, other) => one.or(other),
        };
        if due == agent.alarm {
            return;
        }
        self.agents[key].alarm = due;
        if let Some(at) = due {
            self.alarms.set(at, Alarm::Agent(key));
        }
    }

    pub(crate) fn set_contacts_alarm(&mut self, key: AgentKey) {
        let agent = &mut self.agents[key];
        let due = agent.contacts_deadline();
        if due != agent.contacts_alarm {
            agent.contacts_alarm = due;
            if let Some(at) = due {
                self.alarms.set(at, Alarm::Contacts(key));
            }
        }
    }

    pub(crate) fn set_queue_alarm(&mut self, key: QueueKey, due: Option<Timestamp>) {
        let queue = &mut self.queues[key];
        if due != queue.alarm {
            queue.alarm = due;
            if let Some(at) = due {
                self.alarms.set(at, Alarm::Queue(key));
            }
        }
    }

    /// All who ring get `ms` more: nobody is held to a time in which no leader could tell or hear anything.
    /// Walks all calls, once per change of leader or leap of its clock.
    pub(crate) fn prolong_offers(&mut self, ms: u64) {
        for slot in 0..self.calls.slots() {
            let key = CallKey::from_slot(slot);
            let Some(call) = self.calls.get(key) else { continue };
            if call.homeless.is_some() {
                // Nobody could come meanwhile either. Not beyond now, where the clock is about to be.
                let call = &mut self.calls[key];
                call.homeless = call.homeless.map(|since| since.saturating_add(ms));
                self.set_call_alarm(key);
            }
            self.prolong_call(key, ms);
        }
    }

    /// Who rings for this call, is asked about it or says a last word gets `ms` more. A step of its queue, which would take the
    /// ringing back, waits for so long too.
    pub(crate) fn prolong_call(&mut self, key: CallKey, ms: u64) {
        if !matches!(self.calls[key].state, CallState::Waiting | CallState::Ended { .. }) {
            match &mut self.calls[key].state {
                CallState::Offered(offer) => {
                    offer.until = offer.until.saturating_add(ms);
                    if self.rules >= PROLONGED_STEPS_RULES
                        && let Some(line) = &mut self.calls[key].line
                    {
                        line.step_at = line.step_at.map(|at| at.saturating_add(ms));
                    }
                }
                CallState::Asking { until, .. } | CallState::Calling { until, .. } | CallState::Leaving { until } => {
                    *until = until.saturating_add(ms);
                }
                CallState::Moving(moving) => moving.until = moving.until.saturating_add(ms),
                CallState::Talking(talk) => {
                    if let Some(aside) = &mut talk.aside
                        && let AsideStage::Ringing { until } = &mut aside.stage
                    {
                        *until = until.saturating_add(ms);
                    }
                }
                CallState::Waiting | CallState::Ended { .. } => {}
            }
            self.set_call_alarm(key);
        }
    }

    fn expire_contacts(&mut self, key: AgentKey) {
        let now = self.now;
        self.agents[key].contacts_alarm = None;
        self.change_reach(key, |agent| agent.contacts.retain(|contact| contact.expires > now));
    }
}
