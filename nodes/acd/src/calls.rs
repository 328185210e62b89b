//! Calls: a gateway's reports about them, and their ends; ends are concluded here, never asked for.

use std::sync::Arc;

use crate::command::{Accepted, EndCause, Rejection, RejectionCode};
use crate::document::AnswerMode;
use crate::output::{CallOutcome, CallRecord, Output, RecordKind};
use crate::rows::{CALLER, Call, CallState, LegWant, Release, Stage};
use crate::shard::Shard;
use crate::table::{CallKey, GatewayKey, QueueKey};
use crate::{CallId, Name};

/// The strings of an offered call.
#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) number: Name,
    pub(crate) caller: Name,
    pub(crate) caller_name: Name,
    pub(crate) trace: Option<Name>,
}

impl Shard {
    pub(crate) fn offer_call(
        &mut self,
        id: CallId,
        gateway: &str,
        incarnation: u64,
        names: Names,
        passport: Vec<u8>,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let gateway = self.living_gateway(gateway, incarnation)?;
        if let Some(key) = self.call_ids.get(&id) {
            let call = &self.calls[*key];
            if call.gateway != gateway {
                // No order about it would ever reach this gateway.
                return Err(Rejection::new(RejectionCode::WrongState, "the call is on another gateway"));
            }
            if call.caller_leg().is_none() {
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
        self.check_passport(&passport)?;
        let key = self.add_call(id, gateway, names);
        self.route(key, out);
        let caller = self.calls.get_mut(key).and_then(|call| call.leg_mut(CALLER));
        if let Some(leg) = caller {
            leg.passport = passport.into_boxed_slice();
        }
        Ok(Accepted)
    }

    fn add_call(&mut self, id: CallId, gateway: GatewayKey, names: Names) -> CallKey {
        let Names { number, caller, caller_name, trace } = names;
        let call = Call {
            id,
            gateway,
            tenure: 1,
            homeless: None,
            number,
            caller,
            caller_name,
            trace,
            offered: self.now,
            offers: 0,
            legs_made: 0,
            caller_leg: CALLER,
            legs: Vec::with_capacity(2),
            state: CallState::Waiting,
            line: None,
            parts: Vec::new(),
            hops: 0,
            history: Vec::new(),
            waited_ms: 0,
            said: (0, Vec::new()),
            called_back: false,
            alarm: None,
        };
        let key = self.calls.insert(call);
        self.call_ids.insert(id, key);
        self.gateways[gateway].calls.insert(key);
        key
    }

    /// The caller's leg of a new call: answered now, or ringing.
    pub(crate) fn greet(&mut self, key: CallKey, queue: QueueKey) {
        if self.calls[key].caller_leg().is_some() {
            return;
        }
        let want = match self.queues[queue].policy.document.answer {
            AnswerMode::OnEntry => LegWant::Listen,
            AnswerMode::OnAgent => LegWant::Alert,
        };
        self.add_leg(key, None, want);
    }

    /// Lets a new caller go without an answer.
    pub(crate) fn turn_away(
        &mut self,
        key: CallKey,
        queue: Option<QueueKey>,
        release: Release,
        status: u16,
        out: &mut Output,
    ) {
        if let Some(queue) = queue {
            self.queues[queue].counts.refused += 1;
        }
        let queue = queue.map_or(self.empty.clone(), |queue| self.queues[queue].name.clone());
        let record = self.call_record(key, queue, CallOutcome::Refused, "system".into());
        self.write(RecordKind::Call(Arc::clone(&record)), out);
        self.calls[key].state = CallState::Ended { record };
        if self.calls[key].caller_leg().is_none() {
            self.add_leg(key, None, LegWant::Gone { release, status });
        } else {
            self.want_caller(key, LegWant::Gone { release, status });
        }
        self.set_call_alarm(key);
    }

    fn call_record(&self, key: CallKey, queue: Name, outcome: CallOutcome, ended_by: Name) -> Arc<CallRecord> {
        let call = &self.calls[key];
        let line = call.line.as_deref();
        let first = call.parts.first();
        Arc::new(CallRecord {
            call: call.id,
            number: call.number.clone(),
            caller: call.caller.clone(),
            queue,
            agent: call.parts.last().map_or_else(|| self.empty.clone(), |part| part.agent.clone()),
            offered_ms: call.offered,
            answered_ms: first.map_or(0, |part| part.from_ms),
            ended_ms: self.now,
            outcome,
            ended_by,
            offers: call.offers,
            gateway: self.gateways[call.gateway].id.clone(),
            parts: call.parts.clone(),
            priority: line.map_or(0, |line| u32::from(line.place.priority)),
            callback: call.called_back,
            skills: line.map_or_else(|| self.empty.clone(), |line| self.demands.get(line.demand).text.clone()),
            waited_ms: call.waited_ms,
        })
    }

    pub(crate) fn answer_leg(
        &mut self,
        id: CallId,
        leg: u32,
        tenure: u32,
        passport: Vec<u8>,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.keep_passport(id, leg, tenure, passport)?;
        let call = &mut self.calls[key];
        let row = call.leg_mut(leg).expect("its passport was just kept");
        row.answered = true;
        row.rang = None;
        if let LegWant::Gone { release, status } = row.want {
            // Late: the offer was withdrawn already. Said again, so that nobody stays on the line.
            self.want(key, leg, LegWant::Gone { release, status });
            return Ok(Accepted);
        }
        match &call.state {
            CallState::Offered(offer) => {
                if let Some(agent) =
                    offer.ringing.iter().find(|ringing| ringing.leg == leg).map(|ringing| ringing.agent)
                {
                    self.start_talk(key, agent, leg, out);
                }
            }
            CallState::Calling { leg: called, .. } if *called == leg => self.caller_called(key, out),
            CallState::Moving(moving) if moving.ringing.iter().any(|(_, ringing)| *ringing == leg) => {
                self.target_answered(key, leg, out);
            }
            CallState::Talking(talk) if talk.aside.as_ref().is_some_and(|aside| aside.legs.contains(&leg)) => {
                self.aside_answered(key, leg, out);
            }
            CallState::Waiting
            | CallState::Asking { .. }
            | CallState::Calling { .. }
            | CallState::Moving(_)
            | CallState::Talking(_)
            | CallState::Leaving { .. }
            | CallState::Ended { .. } => {}
        }
        Ok(Accepted)
    }

    pub(crate) fn confirm_leg(
        &mut self,
        id: CallId,
        leg: u32,
        tenure: u32,
        passport: Vec<u8>,
    ) -> Result<Accepted, Rejection> {
        let key = self.keep_passport(id, leg, tenure, passport)?;
        // A confirmed dialog of the caller is an answered one; an agent's answer is asked for by AnswerLeg only.
        if leg == self.calls[key].caller_leg {
            self.calls[key].leg_mut(leg).expect("its passport was just kept").answered = true;
        }
        Ok(Accepted)
    }

    fn keep_passport(&mut self, id: CallId, leg: u32, tenure: u32, passport: Vec<u8>) -> Result<CallKey, Rejection> {
        let key = self.held_leg(id, leg, tenure)?;
        self.check_passport(&passport)?;
        let row = self.calls[key].leg_mut(leg).expect("the leg was just seen");
        if !passport.is_empty() {
            row.passport = passport.into_boxed_slice();
        }
        row.former = None;
        self.leg_settled(key);
        Ok(key)
    }

    fn check_passport(&self, passport: &[u8]) -> Result<(), Rejection> {
        if passport.len() > self.limits.passport_bytes_max {
            return Err(Rejection::new(RejectionCode::LimitReached, "passport_bytes_max"));
        }
        Ok(())
    }

    /// The call of a leg that the sender holds: a former gateway of the call has nothing to say about it any more.
    pub(crate) fn held_leg(&self, id: CallId, leg: u32, tenure: u32) -> Result<CallKey, Rejection> {
        let key = self.call_key(id)?;
        let call = &self.calls[key];
        if tenure != 0 && tenure != call.tenure {
            return Err(Rejection::new(RejectionCode::Stale, "another gateway has the call"));
        }
        call.leg(leg).ok_or_else(unknown_leg)?;
        Ok(key)
    }

    pub(crate) fn end_leg(
        &mut self,
        id: CallId,
        leg: u32,
        tenure: u32,
        cause: EndCause,
        moved_to: &[String],
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.held_leg(id, leg, tenure)?;
        let moved_to = if cause == EndCause::Moved { self.moved_to(moved_to) } else { Vec::new() };
        self.leg_settled(key);
        let call = &mut self.calls[key];
        let index = call.legs.iter().position(|row| row.number == leg).ok_or_else(unknown_leg)?;
        let ended = call.legs.remove(index);
        let caller = call.caller_leg;
        if let LegWant::Gone { .. } = ended.want {
            self.drop_call_without_legs(key);
            return Ok(Accepted);
        }
        let moved_to = match ended.want {
            LegWant::Dial { .. } => self.not_at_our_cost(moved_to),
            _ => moved_to,
        };
        let call = &self.calls[key];
        match &call.state {
            CallState::Waiting | CallState::Asking { .. } if leg == caller => self.caller_left(key, cause, out),
            CallState::Offered(_) if leg == caller => self.caller_left(key, cause, out),
            CallState::Offered(_) => self.ring_failed(key, leg, cause, moved_to, out),
            CallState::Calling { .. } => self.callback_missed(key, cause, out),
            CallState::Moving(_) if leg == caller => self.caller_left(key, cause, out),
            CallState::Moving(_) => self.target_failed(key, leg, cause, moved_to, out),
            CallState::Talking(_) if leg == caller => {
                self.conclude(key, CallOutcome::Completed, by(cause, "caller"), Release::OtherSideEnded, out);
            }
            CallState::Talking(talk) if talk.leg == leg => self.party_left(key, cause, out),
            CallState::Talking(_) => self.aside_failed(key, leg, cause, out),
            CallState::Leaving { .. } => self.conclude(key, CallOutcome::Refused, "caller", Release::CallerLeft, out),
            CallState::Waiting | CallState::Asking { .. } => panic!("a call that waits has no other leg"),
            CallState::Ended { .. } => panic!("every leg of an ended call is ordered gone"),
        }
        self.drop_call_without_legs(key);
        Ok(Accepted)
    }

    /// The caller's leg ended before somebody answered.
    fn caller_left(&mut self, key: CallKey, cause: EndCause, out: &mut Output) {
        let talked = !self.calls[key].parts.is_empty();
        match cause {
            EndCause::Hangup
            | EndCause::Cancelled
            | EndCause::NoAnswer
            | EndCause::Rejected
            | EndCause::Moved
            | EndCause::Busy => {
                let outcome = if talked { CallOutcome::Completed } else { CallOutcome::Abandoned };
                self.conclude(key, outcome, "caller", Release::CallerLeft, out);
            }
            EndCause::Unreachable
            | EndCause::Media
            | EndCause::Ordered
            | EndCause::Failed
            | EndCause::Lost
            | EndCause::Unspecified => self.conclude(key, CallOutcome::Failed, "system", Release::Failed, out),
        }
    }

    pub(crate) fn clear_call(&mut self, id: CallId, by: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.call_key(id)?;
        self.check_name("by", by)?;
        let by = if by.is_empty() { "admin".to_owned() } else { format!("admin:{by}") };
        let call = &self.calls[key];
        let outcome = match call.state {
            CallState::Ended { .. } => return Ok(Accepted),
            CallState::Talking(_) => CallOutcome::Completed,
            _ if !call.parts.is_empty() => CallOutcome::Completed,
            CallState::Waiting
            | CallState::Asking { .. }
            | CallState::Offered(_)
            | CallState::Calling { .. }
            | CallState::Moving(_) => CallOutcome::Abandoned,
            CallState::Leaving { .. } => CallOutcome::Refused,
        };
        self.conclude(key, outcome, &by, Release::Cleared, out);
        Ok(Accepted)
    }

    /// Lets a call in line go by rule.
    pub(crate) fn refuse(&mut self, key: CallKey, release: Release, out: &mut Output) {
        self.conclude(key, CallOutcome::Refused, "system", release, out);
    }

    /// Ends a call that lives: its one record, its agents free, all its legs to be gone.
    pub(crate) fn conclude(
        &mut self,
        key: CallKey,
        outcome: CallOutcome,
        by: &str,
        release: Release,
        out: &mut Output,
    ) {
        let in_line = self.calls[key].in_line().is_some();
        match self.calls[key].state {
            CallState::Waiting | CallState::Asking { .. } => self.leave_line(key),
            CallState::Offered(_) => {
                self.withdraw_offer(key, release, "call ended", out);
                self.leave_line(key);
            }
            CallState::Calling { agent, .. } => {
                self.leave_line(key);
                self.drop_work(agent, key, "call ended", out);
            }
            CallState::Moving(_) => self.end_move(key, "caller-left", out),
            CallState::Talking(_) => self.end_talk(key, out),
            CallState::Leaving { .. } => {}
            CallState::Ended { .. } => panic!("a call ends once"),
        }
        let queue = self.calls[key].line.as_ref().map(|line| line.queue);
        if in_line {
            self.count_wait_over(key, outcome, release);
        }
        let name = queue.map_or_else(|| self.empty.clone(), |queue| self.queues[queue].name.clone());
        let record = self.call_record(key, name, outcome, by.into());
        self.write(RecordKind::Call(Arc::clone(&record)), out);
        self.forget_callback(key);
        self.calls[key].state = CallState::Ended { record };
        self.release_legs(key, release);
        if let Some(queue) = queue {
            self.drop_queue_when_done(queue);
        }
        self.set_call_alarm(key);
        self.drop_call_without_legs(key);
    }

    fn release_legs(&mut self, key: CallKey, release: Release) {
        let legs = &self.calls[key].legs;
        let still_there = legs.iter().filter(|leg| !matches!(leg.want, LegWant::Gone { .. }));
        for leg in still_there.map(|leg| leg.number).collect::<Vec<_>>() {
            self.want_gone(key, leg, release);
        }
    }

    pub(crate) fn drop_call_without_legs(&mut self, key: CallKey) {
        if self.calls.get(key).is_some_and(|call| call.legs.is_empty() && call.is_ended()) {
            self.drop_call(key);
        }
    }

    /// Forgets an ended call.
    pub(crate) fn drop_call(&mut self, key: CallKey) {
        let call = self.calls.remove(key);
        assert!(call.is_ended(), "only an ended call is forgotten");
        self.call_ids.remove(&call.id);
        self.gateways[call.gateway].calls.remove(&key);
    }

    pub(crate) fn call_key(&self, id: CallId) -> Result<CallKey, Rejection> {
        let unknown = || Rejection::new(RejectionCode::UnknownCall, "no such call, or it has ended");
        self.call_ids.get(&id).copied().ok_or_else(unknown)
    }

    /// A call that lives.
    pub(crate) fn living_call(&self, id: CallId) -> Result<CallKey, Rejection> {
        let key = self.call_key(id)?;
        if self.calls[key].is_ended() {
            return Err(Rejection::new(RejectionCode::WrongState, "the call has ended"));
        }
        Ok(key)
    }

    /// What stage an agent's part in a call is at.
    pub(crate) fn stage_of(&self, agent: crate::table::AgentKey, call: CallKey) -> Option<Stage> {
        self.agents[agent].work.iter().find(|work| work.call == call).map(|work| work.stage)
    }
}

/// Who ended a talk.
pub(crate) fn by(cause: EndCause, party: &'static str) -> &'static str {
    match cause {
        EndCause::Media | EndCause::Failed | EndCause::Lost => "system",
        EndCause::Hangup
        | EndCause::Cancelled
        | EndCause::Busy
        | EndCause::Rejected
        | EndCause::Moved
        | EndCause::NoAnswer
        | EndCause::Unreachable
        | EndCause::Ordered
        | EndCause::Unspecified => party,
    }
}

pub(crate) fn unknown_leg() -> Rejection {
    Rejection::new(RejectionCode::UnknownLeg, "the call has no such leg, or it has ended")
}
