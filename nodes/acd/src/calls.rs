//! Calls: commands about them, their states and their ends; ends are concluded here, never asked for.

use crate::CallId;
use crate::command::{Accepted, EndCause, Rejection, RejectionCode};
use crate::deadlines::Deadline;
use crate::document::AnswerMode;
use crate::output::{CallOutcome, CallRecord, Output, RecordKind};
use crate::rows::{AfterCall, AgentState, CALLER, Call, CallState, InLine, LegWant, Release};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, GatewayKey};

/// The strings of an offered call.
pub(crate) struct Names {
    pub(crate) number: String,
    pub(crate) caller: String,
    pub(crate) caller_name: String,
    pub(crate) trace: Option<String>,
}

impl Shard {
    pub(crate) fn offer_call(
        &mut self,
        id: CallId,
        gateway: &str,
        incarnation: u64,
        names: Names,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let gateway = self.living_gateway(gateway, incarnation)?;
        if let Some(key) = self.call_ids.get(&id) {
            let call = &self.calls[*key];
            if call.gateway != gateway {
                // No order about it would ever reach this gateway.
                return Err(Rejection::new(RejectionCode::WrongState, "the call is on another gateway"));
            }
            if call.leg(CALLER).is_none() {
                return Err(Rejection::new(RejectionCode::WrongState, "the call has ended"));
            }
            return Ok(Accepted);
        }
        self.check_name("number", &names.number)?;
        self.check_name("caller", &names.caller)?;
        self.check_name("caller_name", &names.caller_name)?;
        // A trace is a courtesy: an impossible one is dropped, the call is not.
        let trace = names.trace.filter(|trace| trace.len() <= self.limits.name_bytes_max);
        let names = Names { trace, ..names };
        if self.calls.len() >= self.limits.calls_max {
            return Err(Rejection::new(RejectionCode::LimitReached, "calls_max"));
        }
        let refusal = match self.numbers.get(&names.number).copied() {
            None => Release::UnknownNumber,
            Some(queue) => {
                let row = &mut self.queues[queue];
                row.counts.offered += 1;
                let own_max = row.policy.waiting_max as usize;
                let limit = self.limits.waiting_per_queue_max;
                let waiting_max = if own_max == 0 { limit } else { own_max.min(limit) };
                // Somebody who is ready for this queue takes the caller, so nobody has to wait.
                if row.waiting.len() < waiting_max || !row.ready.is_empty() {
                    self.join_queue(id, gateway, names, queue);
                    return Ok(Accepted);
                }
                Release::QueueFull
            }
        };
        let queue = self.numbers.get(&names.number).map(|key| self.queues[*key].name.clone()).unwrap_or_default();
        let record = Box::new(CallRecord {
            call: id,
            number: names.number.clone(),
            caller: names.caller.clone(),
            queue,
            agent: String::new(),
            offered_ms: self.now,
            answered_ms: 0,
            ended_ms: self.now,
            outcome: CallOutcome::Refused,
            ended_by: "system".to_owned(),
            offers: 0,
            gateway: self.gateways[gateway].id.clone(),
        });
        self.write(RecordKind::Call((*record).clone()), out);
        let key = self.add_call(id, gateway, names, CallState::Ended { record });
        self.add_leg(key, None, LegWant::Gone { release: refusal });
        Ok(Accepted)
    }

    fn join_queue(&mut self, id: CallId, gateway: GatewayKey, names: Names, queue: crate::table::QueueKey) {
        let line = InLine { queue, place: self.next_place() };
        let key = self.add_call(id, gateway, names, CallState::Waiting { line });
        let want = match self.queues[queue].policy.answer {
            AnswerMode::OnEntry => LegWant::Listen,
            AnswerMode::OnAgent => LegWant::Alert,
        };
        self.add_leg(key, None, want);
        self.stand_in_line(key, line);
    }

    fn add_call(&mut self, id: CallId, gateway: GatewayKey, names: Names, state: CallState) -> CallKey {
        let Names { number, caller, caller_name, trace } = names;
        let (offered, legs) = (self.now, Vec::with_capacity(2));
        let call =
            Call { id, gateway, number, caller, caller_name, trace, offered, offers: 0, legs_made: 0, legs, state };
        let key = self.calls.insert(call);
        self.call_ids.insert(id, key);
        self.gateways[gateway].calls.insert(key);
        key
    }

    pub(crate) fn answer_leg(
        &mut self,
        id: CallId,
        leg: u32,
        passport: Vec<u8>,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.keep_passport(id, leg, passport)?;
        let call = &mut self.calls[key];
        let row = call.leg_mut(leg).expect("its passport was just kept");
        row.answered = true;
        if let LegWant::Gone { release } = row.want {
            // Late: the offer was withdrawn already. Said again, so that nobody stays on the line.
            self.want_gone(key, leg, release);
            return Ok(Accepted);
        }
        match call.state {
            CallState::Offered { line, agent, leg: ringing } if ringing == leg => {
                self.start_talk(key, line, agent, leg, out);
            }
            CallState::Waiting { .. }
            | CallState::Offered { .. }
            | CallState::Talking { .. }
            | CallState::Ended { .. } => {}
        }
        Ok(Accepted)
    }

    fn start_talk(&mut self, key: CallKey, line: InLine, agent: AgentKey, leg: u32, out: &mut Output) {
        let since = self.now;
        self.calls[key].state = CallState::Talking { line, agent, leg, since };
        let queue = &mut self.queues[line.queue];
        queue.offered.remove(&line.place);
        queue.talking += 1;
        queue.counts.answered += 1;
        queue.counts.wait_ms += since - line.place.joined;
        self.agents[agent].answered += 1;
        self.want(key, CALLER, LegWant::Join { leg });
        self.want(key, leg, LegWant::Join { leg: CALLER });
        let id = self.calls[key].id;
        self.enter(agent, AgentState::Talking { call: key, leg, since, after: AfterCall::Ready }, "", id, out);
    }

    pub(crate) fn confirm_leg(&mut self, id: CallId, leg: u32, passport: Vec<u8>) -> Result<Accepted, Rejection> {
        let key = self.keep_passport(id, leg, passport)?;
        // A confirmed dialog of the caller is an answered one; an agent's answer is asked for by AnswerLeg only.
        if leg == CALLER {
            self.calls[key].leg_mut(leg).expect("its passport was just kept").answered = true;
        }
        Ok(Accepted)
    }

    fn keep_passport(&mut self, id: CallId, leg: u32, passport: Vec<u8>) -> Result<CallKey, Rejection> {
        let key = self.call_key(id)?;
        let bytes_max = self.limits.passport_bytes_max;
        let row = self.calls[key].leg_mut(leg).ok_or_else(unknown_leg)?;
        if passport.len() > bytes_max {
            return Err(Rejection::new(RejectionCode::LimitReached, "passport_bytes_max"));
        }
        if !passport.is_empty() {
            row.passport = passport.into_boxed_slice();
        }
        Ok(key)
    }

    pub(crate) fn end_leg(
        &mut self,
        id: CallId,
        leg: u32,
        cause: EndCause,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.call_key(id)?;
        let call = &mut self.calls[key];
        let index = call.legs.iter().position(|row| row.number == leg).ok_or_else(unknown_leg)?;
        let ended = call.legs.remove(index);
        if let LegWant::Gone { .. } = ended.want {
            self.drop_call_without_legs(key);
            return Ok(Accepted);
        }
        match call.state.clone() {
            CallState::Waiting { .. } => self.caller_left(key, cause, out),
            CallState::Offered { .. } if leg == CALLER => self.caller_left(key, cause, out),
            CallState::Offered { line, agent, .. } => {
                self.return_call(key);
                let policy = &self.queues[line.queue].policy;
                let (busy_ms, unreachable_ms) = (policy.busy_ms(), policy.unreachable_ms());
                match cause {
                    EndCause::NoAnswer => {
                        let state = AgentState::NotReady { reason: "rona".to_owned(), until: None };
                        self.enter(agent, state, "rona", id, out);
                    }
                    EndCause::Busy => self.rest_agent(agent, "busy", busy_ms, id, out),
                    EndCause::Rejected | EndCause::Hangup | EndCause::Cancelled => {
                        self.rest_agent(agent, "rejected", busy_ms, id, out);
                    }
                    EndCause::Unreachable
                    | EndCause::Media
                    | EndCause::Ordered
                    | EndCause::Failed
                    | EndCause::Lost
                    | EndCause::Unspecified => self.rest_agent(agent, "unreachable", unreachable_ms, id, out),
                }
            }
            CallState::Talking { .. } => {
                let by = match cause {
                    EndCause::Media | EndCause::Failed | EndCause::Lost => "system",
                    EndCause::Hangup
                    | EndCause::Cancelled
                    | EndCause::Busy
                    | EndCause::Rejected
                    | EndCause::NoAnswer
                    | EndCause::Unreachable
                    | EndCause::Ordered
                    | EndCause::Unspecified => {
                        if leg == CALLER {
                            "caller"
                        } else {
                            "agent"
                        }
                    }
                };
                self.conclude(key, CallOutcome::Completed, by, Release::OtherSideEnded, out);
            }
            CallState::Ended { .. } => panic!("every leg of an ended call is ordered gone"),
        }
        self.drop_call_without_legs(key);
        Ok(Accepted)
    }

    /// The caller's leg ended before an agent answered.
    fn caller_left(&mut self, key: CallKey, cause: EndCause, out: &mut Output) {
        match cause {
            EndCause::Hangup | EndCause::Cancelled | EndCause::NoAnswer | EndCause::Rejected | EndCause::Busy => {
                self.conclude(key, CallOutcome::Abandoned, "caller", Release::CallerLeft, out);
            }
            EndCause::Unreachable
            | EndCause::Media
            | EndCause::Ordered
            | EndCause::Failed
            | EndCause::Lost
            | EndCause::Unspecified => self.conclude(key, CallOutcome::Failed, "system", Release::Failed, out),
        }
    }

    pub(crate) fn press_digits(&mut self, id: CallId, leg: u32, digits: &str) -> Result<Accepted, Rejection> {
        let key = self.call_key(id)?;
        self.calls[key].leg(leg).ok_or_else(unknown_leg)?;
        self.check_name("digits", digits)?;
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')) {
            return Err(Rejection::new(RejectionCode::Invalid, "digits are 0-9 * # A-D"));
        }
        // Nothing listens to digits yet: flows and feature codes will.
        Ok(Accepted)
    }

    pub(crate) fn clear_call(&mut self, id: CallId, by: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.call_key(id)?;
        self.check_name("by", by)?;
        let by = if by.is_empty() { "admin".to_owned() } else { format!("admin:{by}") };
        match self.calls[key].state {
            CallState::Waiting { .. } | CallState::Offered { .. } => {
                self.conclude(key, CallOutcome::Abandoned, &by, Release::Cleared, out);
            }
            CallState::Talking { .. } => self.conclude(key, CallOutcome::Completed, &by, Release::Cleared, out),
            CallState::Ended { .. } => {}
        }
        Ok(Accepted)
    }

    /// Lets a waiting call go by rule.
    pub(crate) fn refuse(&mut self, key: CallKey, release: Release, out: &mut Output) {
        self.conclude(key, CallOutcome::Refused, "system", release, out);
    }

    /// An offer has failed or was withdrawn: the call is at its place again, wait time and all.
    pub(crate) fn return_call(&mut self, key: CallKey) {
        let CallState::Offered { line, .. } = self.calls[key].state else {
            panic!("only an offered call returns");
        };
        self.queues[line.queue].offered.remove(&line.place);
        self.calls[key].state = CallState::Waiting { line };
        self.stand_in_line(key, line);
    }

    fn stand_in_line(&mut self, key: CallKey, line: InLine) {
        let queue = &mut self.queues[line.queue];
        queue.waiting.insert(line.place, key);
        if let Some(at) = queue.policy.wait_until(line.place.joined) {
            self.deadlines.insert((at, Deadline::Wait(key)));
        }
        self.dirty.insert(line.queue);
    }

    pub(crate) fn leave_line(&mut self, key: CallKey, line: InLine) {
        let queue = &mut self.queues[line.queue];
        queue.waiting.remove(&line.place);
        if let Some(at) = queue.policy.wait_until(line.place.joined) {
            self.deadlines.remove(&(at, Deadline::Wait(key)));
        }
    }

    /// Ends a call that lives: its one record, its agent free, all its legs to be gone.
    pub(crate) fn conclude(
        &mut self,
        key: CallKey,
        outcome: CallOutcome,
        by: &str,
        release: Release,
        out: &mut Output,
    ) {
        let id = self.calls[key].id;
        let (mut agent_name, mut answered_ms) = (String::new(), 0);
        let line = match self.calls[key].state.clone() {
            CallState::Waiting { line } => {
                self.leave_line(key, line);
                line
            }
            CallState::Offered { line, agent, .. } => {
                self.queues[line.queue].offered.remove(&line.place);
                let AgentState::Reserved { rank, .. } = self.agents[agent].state else {
                    panic!("the agent of an offered call is reserved");
                };
                // Not the agent's doing: the idle time goes on.
                self.enter(agent, AgentState::Ready { rank }, "call ended", id, out);
                line
            }
            CallState::Talking { line, agent, since, .. } => {
                agent_name = self.agents[agent].name.clone();
                answered_ms = since;
                let queue = &mut self.queues[line.queue];
                queue.talking -= 1;
                queue.counts.talk_ms += self.now - since;
                let wrap_up_seconds = queue.policy.wrap_up_seconds;
                self.finish_talk(agent, wrap_up_seconds, id, out);
                line
            }
            CallState::Ended { .. } => panic!("a call ends once"),
        };
        let queue = &mut self.queues[line.queue];
        if outcome == CallOutcome::Abandoned {
            queue.counts.abandoned += 1;
        }
        let call = &self.calls[key];
        let record = Box::new(CallRecord {
            call: id,
            number: call.number.clone(),
            caller: call.caller.clone(),
            queue: queue.name.clone(),
            agent: agent_name,
            offered_ms: call.offered,
            answered_ms,
            ended_ms: self.now,
            outcome,
            ended_by: by.to_owned(),
            offers: call.offers,
            gateway: self.gateways[call.gateway].id.clone(),
        });
        self.write(RecordKind::Call((*record).clone()), out);
        self.calls[key].state = CallState::Ended { record };
        self.release_legs(key, release);
        self.drop_queue_when_done(line.queue);
    }

    fn release_legs(&mut self, key: CallKey, release: Release) {
        let legs = &self.calls[key].legs;
        let still_there = legs.iter().filter(|leg| !matches!(leg.want, LegWant::Gone { .. }));
        for leg in still_there.map(|leg| leg.number).collect::<Vec<_>>() {
            self.want_gone(key, leg, release);
        }
    }

    pub(crate) fn drop_call_without_legs(&mut self, key: CallKey) {
        if self.calls[key].legs.is_empty() {
            self.drop_call(key);
        }
    }

    /// Forgets an ended call.
    pub(crate) fn drop_call(&mut self, key: CallKey) {
        let call = self.calls.remove(key);
        assert!(matches!(call.state, CallState::Ended { .. }), "only an ended call is forgotten");
        self.call_ids.remove(&call.id);
        self.gateways[call.gateway].calls.remove(&key);
    }

    fn call_key(&self, id: CallId) -> Result<CallKey, Rejection> {
        let unknown = || Rejection::new(RejectionCode::UnknownCall, "no such call, or it has ended");
        self.call_ids.get(&id).copied().ok_or_else(unknown)
    }
}

fn unknown_leg() -> Rejection {
    Rejection::new(RejectionCode::UnknownLeg, "the call has no such leg, or it has ended")
}
