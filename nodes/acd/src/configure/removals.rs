//! Agents and queues that no document names any more: what they have in hand is finished or given back, then they go.

use crate::output::Output;
use crate::rows::{CallState, Release, Stage};
use crate::shard::Shard;
use crate::table::{AgentKey, QueueKey};

impl Shard {
    pub(super) fn remove_agent(&mut self, key: AgentKey, out: &mut Output) {
        let reserved = self.agents[key].work.iter().find(|work| work.stage == Stage::Reserved).map(|work| work.call);
        let id = reserved.map_or(0, |call| self.calls[call].id);
        if let Some(call) = reserved {
            self.take_back(call, key, Release::Withdrawn, out);
        }
        self.forget_wishes(key);
        let class = self.agents[key].class();
        self.leave_pools(key);
        self.count_staff(key, class, false);
        for queue in self.agents[key].members.iter().map(|member| member.queue).collect::<Vec<_>>() {
            let row = &mut self.queues[queue];
            if let Some(at) = row.members.iter().position(|member| *member == key) {
                row.members.remove(at);
                row.cursor =
                    row.cursor.and_then(|last| if last >= at as u32 { last.checked_sub(1) } else { Some(last) });
            }
        }
        let agent = &mut self.agents[key];
        agent.members.clear();
        agent.removed = true;
        if agent.work.iter().all(|work| Some(work.call) == reserved) {
            agent.work.clear();
            self.drop_agent(key, id, out);
        } else if reserved.is_some() {
            self.enter(key, "configured", id, out, |agent| agent.work.retain(|work| Some(work.call) != reserved));
        }
    }

    /// Calls that ask for an agent who is no more ask for anyone. Walks all calls.
    pub(crate) fn forget_wishes(&mut self, agent: AgentKey) {
        for key in self.calls.keys() {
            let in_line = self.calls[key].in_line().is_some();
            let call = &mut self.calls[key];
            if let CallState::Moving(moving) = &mut call.state
                && moving.back == Some(agent)
            {
                moving.back = None;
            }
            let Some(line) = call.line.as_deref_mut() else { continue };
            if line.shuns == Some(agent) {
                if in_line {
                    self.reclass(key, |line| line.shuns = None);
                } else {
                    line.shuns = None;
                }
            }
            let Some(line) = self.calls[key].line.as_deref_mut() else { continue };
            if line.wanted.is_some_and(|wanted| wanted.agent == agent) {
                if in_line {
                    self.want_anyone(key);
                } else {
                    line.wanted = None;
                }
            }
        }
    }

    pub(super) fn remove_queue(&mut self, key: QueueKey, out: &mut Output) {
        self.queues[key].removed = true;
        self.queues[key].policy.calendar = None;
        self.look_at_the_clock(key);
        for (_, call) in self.queues[key].everybody() {
            let primary = self.calls[call].line.as_ref().is_some_and(|line| line.queue == key);
            if primary {
                self.refuse(call, Release::QueueRemoved, out);
            } else {
                if matches!(
                    self.calls[call].state,
                    CallState::Offered(_) | CallState::Calling { .. } | CallState::Asking { .. }
                ) {
                    self.withdraw_all(call, "queue removed", out);
                    self.return_call(call);
                }
                self.reclass(call, |line| line.more.retain(|queue| *queue != key));
            }
        }
        // Who is out of line just now, or waits for one agent alone, does not come back to it either.
        for call in self.calls.keys() {
            if self.calls[call].line.as_deref().is_some_and(|line| line.more.contains(&key)) {
                self.line_mut(call).more.retain(|queue| *queue != key);
            }
        }
        if self.queues.get(key).is_some() {
            self.drop_queue_when_done(key);
        }
    }

    /// A removed queue stays until its last call has talked.
    pub(crate) fn drop_queue_when_done(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get(key) else { return };
        if !queue.removed || queue.talking > 0 || queue.in_line() > 0 {
            return;
        }
        let refers =
            |call: &crate::rows::Call| !call.is_ended() && call.line.as_deref().is_some_and(|line| line.queue == key);
        if self.calls.iter().any(|(_, call)| refers(call)) {
            return;
        }
        for call in self.calls.keys() {
            if self.calls[call].line.as_deref().is_some_and(|line| line.queue == key || line.more.contains(&key)) {
                let call = &mut self.calls[call];
                match call.is_ended() {
                    true => call.line = None,
                    false => call.line.as_deref_mut().expect("just seen").more.retain(|queue| *queue != key),
                }
            }
        }
        for agent in self.agents.keys() {
            let agent = &mut self.agents[agent];
            agent.closing = agent.closing.filter(|(queue, _)| *queue != key);
        }
        let queue = self.queues.remove(key);
        self.queue_names.remove(&queue.name);
        self.fresh.queues.remove(&key);
    }
}
