//! Talking: an agent answers, holds, hangs up; each part is written down to who talked. Never a transfer.

use crate::command::EndCause;
use crate::output::{CallOutcome, CallPart, Output};
use crate::rows::{CallState, LegWant, Party, Release, Ringing, Stage, Talk};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey};

impl Shard {
    /// One of the agents who ring has answered: the others stop.
    pub(crate) fn start_talk(&mut self, key: CallKey, agent: AgentKey, leg: u32, out: &mut Output) {
        let CallState::Offered(offer) = &mut self.calls[key].state else { return };
        let ringing = std::mem::take(&mut offer.ringing);
        let (queue, since) = (offer.queue, offer.since);
        let mut losers: Vec<AgentKey> = Vec::new();
        for Ringing { agent: other, leg: ring } in ringing {
            if ring != leg {
                self.want_gone(key, ring, Release::AnsweredElsewhere);
            }
            if other != agent && !losers.contains(&other) {
                losers.push(other);
            }
        }
        for loser in losers {
            self.drop_work(loser, key, "answered elsewhere", out);
        }
        self.leave_line(key);
        self.count_answer(key, queue);
        let ring_ms = self.now - since;
        self.join_party(key, &Party::Agent(agent), leg, ring_ms, out);
    }

    /// The caller talks to this party from now on.
    pub(crate) fn join_party(&mut self, key: CallKey, party: &Party, leg: u32, ring_ms: u64, out: &mut Output) {
        let since = self.now;
        let talk = Talk {
            party: party.clone(),
            leg,
            since,
            held: None,
            hold_ms: 0,
            ring_ms,
            aside: None,
            code: String::new(),
        };
        self.calls[key].state = CallState::Talking(Box::new(talk));
        if let Some(line) = self.calls[key].line.as_deref() {
            let queue = line.queue;
            self.queues[queue].talking += 1;
        }
        self.want_caller(key, LegWant::Join { leg });
        self.want(key, leg, LegWant::Join { leg: self.calls[key].caller_leg });
        self.set_call_alarm(key);
        if let Party::Agent(agent) = *party {
            let row = &mut self.agents[agent];
            row.answered += 1;
            row.rona = 0;
            row.counts.answered += 1;
            row.counts.ring_ms += ring_ms;
            self.take_work(agent, key, Stage::Talking, out);
        }
    }

    /// The party's part of the talk is over: written down, the agent free. The caller's state is the next step's business.
    pub(crate) fn end_part(&mut self, key: CallKey, out: &mut Output) {
        let now = self.now;
        let CallState::Talking(talk) = &self.calls[key].state else { return };
        let (party, since, ring_ms) = (talk.party.clone(), talk.since, talk.ring_ms);
        let hold_ms = talk.hold_ms + talk.held.map_or(0, |held| now - held);
        let queue = self.calls[key].line.as_ref().map(|line| line.queue);
        let agent = match &party {
            Party::Agent(agent) => self.agents[*agent].name.clone(),
            Party::Outside(name) => name.clone(),
        };
        let part = CallPart {
            agent: agent.clone(),
            queue: queue.map_or_else(|| self.empty.clone(), |queue| self.queues[queue].name.clone()),
            from_ms: since,
            until_ms: now,
            hold_ms,
            ring_ms,
        };
        let bound_ms = now - since;
        let talk_ms = bound_ms - hold_ms;
        let parts_max = self.limits.parts_per_call_max;
        let call = &mut self.calls[key];
        if call.parts.len() < parts_max {
            call.parts.push(part);
        }
        let caller = call.caller.clone();
        let mut wrap_up_seconds = 0;
        if let Some(queue) = queue {
            let row = &mut self.queues[queue];
            row.talking -= 1;
            row.totals.talk_ms += bound_ms;
            row.counts.talk_ms += talk_ms;
            row.counts.hold_ms += hold_ms;
            wrap_up_seconds = row.policy.document.wrap_up_seconds;
        }
        if let Party::Agent(agent_key) = party {
            self.memory.keep(&caller, &agent, now, self.limits.served_max);
            let counts_minutes = self.longest_window(&self.agents[agent_key]) > 0;
            let row = &mut self.agents[agent_key];
            row.counts.talk_ms += talk_ms;
            row.counts.hold_ms += hold_ms;
            for tally in [&mut row.shift, &mut row.day] {
                tally.calls += 1;
                tally.talk_ms += talk_ms;
            }
            if counts_minutes {
                row.recent.push_back((now, talk_ms));
                if row.recent.len() > crate::limits::RECENT_CALLS_MAX {
                    row.recent.pop_front();
                }
            }
            row.closing = queue.map(|queue| (queue, bound_ms));
            self.finish_talk(agent_key, key, wrap_up_seconds, out);
            self.count_handle(agent_key);
        }
    }

    /// The whole talk is over, asides included: parts written down, agents free. The legs are the caller's business.
    pub(crate) fn end_talk(&mut self, key: CallKey, out: &mut Output) {
        self.end_aside(key, "caller-left", out);
        self.end_part(key, out);
    }

    /// The party whom the caller talked to has hung up.
    pub(crate) fn party_left(&mut self, key: CallKey, cause: EndCause, out: &mut Output) {
        let CallState::Talking(talk) = &self.calls[key].state else { return };
        if talk.aside.is_some() {
            return self.party_left_aside(key, cause, out);
        }
        let who = match talk.party {
            Party::Agent(_) => "agent",
            Party::Outside(_) => "target",
        };
        self.conclude(key, CallOutcome::Completed, crate::calls::by(cause, who), Release::OtherSideEnded, out);
    }

    /// The caller hears music while the agent does something else.
    pub(crate) fn hold(&mut self, key: CallKey, out: &mut Output) {
        let now = self.now;
        let CallState::Talking(talk) = &mut self.calls[key].state else { return };
        if talk.held.is_some() {
            return;
        }
        talk.held = Some(now);
        let (leg, party) = (talk.leg, talk.party.clone());
        self.want_caller(key, LegWant::Listen);
        self.want(key, leg, LegWant::Quiet);
        if let Party::Agent(agent) = party {
            self.take_work(agent, key, Stage::Held, out);
        }
    }

    /// Back to the caller.
    pub(crate) fn resume(&mut self, key: CallKey, out: &mut Output) {
        let now = self.now;
        let CallState::Talking(talk) = &mut self.calls[key].state else { return };
        if let Some(held) = talk.held.take() {
            talk.hold_ms += now - held;
        }
        let (leg, party) = (talk.leg, talk.party.clone());
        self.want_caller(key, LegWant::Join { leg });
        self.want(key, leg, LegWant::Join { leg: self.calls[key].caller_leg });
        if let Party::Agent(agent) = party {
            self.take_work(agent, key, Stage::Talking, out);
        }
    }
}
