//! Being called back: the caller goes, the place stays; when its turn comes an agent is kept and the caller is called. Once.

use crate::command::{Accepted, EndCause, Rejection, RejectionCode};
use crate::output::{CallOutcome, Output};
use crate::rows::{CallState, CallbackWish, LegWant, Offer, Release, Ringing, Stage};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, Key, QueueKey};
use crate::{CallId, Name};

impl Shard {
    pub(crate) fn request_callback(
        &mut self,
        id: CallId,
        number: &str,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.living_call(id)?;
        self.check_name("number", number)?;
        let number: Name = if number.is_empty() { self.calls[key].caller.clone() } else { number.into() };
        self.begin_callback(key, &number, out)
    }

    pub(crate) fn begin_callback(
        &mut self,
        key: CallKey,
        number: &str,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        if digits < self.centre.document.callback_digits_min.max(1) as usize {
            return Err(Rejection::new(RejectionCode::Invalid, "no number to call back"));
        }
        let Some(line) = self.calls[key].in_line() else {
            return Err(Rejection::new(RejectionCode::WrongState, "the call is not in line"));
        };
        let queue = line.queue;
        if line.callback.is_some() {
            return Ok(Accepted);
        }
        let Some(policy) = self.queues[queue].policy.callback() else {
            return Err(Rejection::new(RejectionCode::WrongState, "the queue does not call back"));
        };
        let waits = self.calls[key].state == CallState::Waiting;
        if !waits {
            self.withdraw_all(key, "caller left", out);
            self.return_call(key);
        }
        self.leave_line(key);
        self.inherit_callback(key, queue, out);
        let expires = self.now.saturating_add(policy.expiry_ms);
        let wish = CallbackWish { number: number.to_owned(), attempts: 0, rest_until: None, expires };
        let line = self.line_mut(key);
        line.callback = Some(Box::new(wish));
        line.announce_at = Box::default();
        self.stand_in_line(key);
        self.queues[queue].counts.callbacks_asked += 1;
        self.calls[key].called_back = true;
        self.remember_callback(key);
        let leg = self.calls[key].caller_leg;
        self.want_gone(key, leg, Release::CalledBack);
        self.set_call_alarm(key);
        Ok(Accepted)
    }

    pub(crate) fn cancel_callback(&mut self, id: CallId, by: &str, out: &mut Output) -> Result<Accepted, Rejection> {
        let key = self.living_call(id)?;
        self.check_name("by", by)?;
        if self.calls[key].in_line().is_none_or(|line| line.callback.is_none()) {
            return Err(Rejection::new(RejectionCode::WrongState, "no callback is wanted"));
        }
        let by = if by.is_empty() { "admin".to_owned() } else { format!("admin:{by}") };
        self.conclude(key, CallOutcome::Abandoned, &by, Release::Cleared, out);
        Ok(Accepted)
    }

    /// So that a caller who rings again is known.
    pub(crate) fn remember_callback(&mut self, key: CallKey) {
        let call = &self.calls[key];
        if let Some(line) = call.line.as_deref()
            && line.callback.is_some()
        {
            let queue = line.queue;
            self.queues[queue].callbacks += 1;
            self.callbacks.insert((call.caller.clone(), queue, key));
        }
    }

    pub(crate) fn forget_callback(&mut self, key: CallKey) {
        let call = &self.calls[key];
        if let Some(line) = call.line.as_deref()
            && line.callback.is_some()
        {
            let queue = line.queue;
            self.queues[queue].callbacks -= 1;
            self.callbacks.remove(&(call.caller.clone(), queue, key));
        }
    }

    /// A caller who was to be called back rings again, or asks again: this call has the other's place.
    pub(crate) fn inherit_callback(&mut self, key: CallKey, queue: QueueKey, out: &mut Output) {
        let caller = self.calls[key].caller.clone();
        if caller.is_empty() {
            return;
        }
        let of_caller = (caller.clone(), queue, CallKey::from_slot(0))..=(caller, queue, CallKey::from_slot(u32::MAX));
        let others = self.callbacks.range(of_caller).map(|(.., other)| *other).filter(|other| *other != key);
        for old in others.collect::<Vec<_>>() {
            if self.calls[old].state != CallState::Waiting {
                continue;
            }
            let line = self.calls[old].line.as_deref().expect("a callback is in line");
            let (place, joined) = (line.place, line.joined);
            self.conclude(old, CallOutcome::Abandoned, "caller", Release::CallerLeft, out);
            let line = self.line_mut(key);
            line.place = line.place.min(place);
            line.joined = line.joined.min(joined);
        }
    }

    /// Its turn has come: the agent is kept, the caller is called.
    pub(crate) fn call_back(&mut self, key: CallKey, queue: QueueKey, agent: AgentKey, out: &mut Output) {
        let Some(gateway) = self.lightest_gateway() else {
            return self.rest_callback(key, 1_000);
        };
        let former = self.calls[key].gateway;
        if former != gateway && self.calls[key].legs.is_empty() {
            self.gateways[former].calls.remove(&key);
            self.gateways[gateway].calls.insert(key);
            self.calls[key].gateway = gateway;
        }
        let ring_ms = self.queues[queue].policy.callback().map_or(30_000, |policy| policy.ring_ms);
        let line = self.line_mut(key);
        let Some(wish) = line.callback.as_mut() else { return };
        wish.attempts += 1;
        let number: Name = wish.number.as_str().into();
        self.leave_line(key);
        self.keep_place(key);
        let call = &mut self.calls[key];
        call.offers = call.offers.saturating_add(1);
        let leg = self.add_leg(key, None, LegWant::Dial { target: number, replaces: None });
        let until = self.now.saturating_add(ring_ms);
        self.calls[key].caller_leg = leg;
        self.calls[key].state = CallState::Calling { agent, leg, queue, until };
        self.take_work(agent, key, Stage::Reserved, out);
        self.set_call_alarm(key);
    }

    /// The caller has answered: now the agent's phone rings.
    pub(crate) fn caller_called(&mut self, key: CallKey, out: &mut Output) {
        let CallState::Calling { agent, queue, .. } = self.calls[key].state else { return };
        self.queues[queue].counts.callbacks_done += 1;
        self.forget_callback(key);
        self.line_mut(key).callback = None;
        self.want_caller(key, LegWant::Listen);
        let until = self.now.saturating_add(self.queues[queue].policy.ring_ms());
        let offer =
            Offer { ringing: Vec::new(), since: self.now, until, step: 0, tried: Vec::new(), queue, many: false };
        self.calls[key].state = CallState::Offered(Box::new(offer));
        let row = &self.agents[agent];
        let (phones, name): (Vec<LegWant>, Name) = (row.reach().collect(), row.name.clone());
        if phones.is_empty() {
            // The phone went away while the caller was called.
            self.drop_work(agent, key, "unreachable", out);
            return self.return_call(key);
        }
        for want in phones {
            let leg = self.add_leg(key, Some(name.clone()), want);
            if let CallState::Offered(offer) = &mut self.calls[key].state {
                offer.ringing.push(Ringing { agent, leg });
            }
        }
        self.set_call_alarm(key);
    }

    /// The caller did not answer: the agent is free at once, the place stays for the next attempt.
    pub(crate) fn callback_missed(&mut self, key: CallKey, _: EndCause, out: &mut Output) {
        let CallState::Calling { agent, leg, queue, .. } = self.calls[key].state else { return };
        if self.calls[key].leg(leg).is_some() {
            self.want_gone(key, leg, Release::NoAnswer);
        }
        self.leave_line(key);
        self.calls[key].state = CallState::Waiting;
        self.drop_work(agent, key, "caller did not answer", out);
        let policy = self.queues[queue].policy.callback();
        let attempts = self.line_mut(key).callback.as_ref().map_or(0, |wish| wish.attempts);
        match policy {
            Some(policy) if attempts < policy.attempts => self.rest_callback(key, policy.retry_ms),
            Some(_) | None => {
                self.keep_place(key);
                self.conclude(key, CallOutcome::Abandoned, "caller", Release::NoAnswer, out);
            }
        }
    }

    /// The gateway that called is lost: as if it had not been tried.
    pub(crate) fn give_up_calling(&mut self, key: CallKey, out: &mut Output) {
        let CallState::Calling { agent, .. } = self.calls[key].state else { return };
        self.leave_line(key);
        self.calls[key].state = CallState::Waiting;
        self.drop_work(agent, key, "gateway lost", out);
        if let Some(wish) = self.line_mut(key).callback.as_mut() {
            wish.attempts = wish.attempts.saturating_sub(1);
        }
        self.rest_callback(key, 1_000);
    }

    fn rest_callback(&mut self, key: CallKey, ms: u64) {
        self.leave_line(key);
        self.calls[key].state = CallState::Waiting;
        let until = self.now.saturating_add(ms);
        if let Some(wish) = self.line_mut(key).callback.as_mut() {
            wish.rest_until = Some(until);
        }
        self.stand_in_line(key);
    }

    /// Nobody is called back while the queue is closed.
    pub(crate) fn rest_out_of_hours(&mut self, key: CallKey) {
        let now = self.now;
        let line = self.calls[key].line.as_deref().expect("a call in line");
        let Some(wish) = line.callback.as_deref().filter(|wish| wish.rest_until.is_none()) else { return };
        let calendar = self.queues[line.queue].policy.calendar.as_ref();
        if calendar.is_none_or(|calendar| calendar.is_open(now)) {
            return;
        }
        let opens = calendar.and_then(|calendar| calendar.next_change(now)).unwrap_or(wish.expires);
        if let Some(wish) = self.line_mut(key).callback.as_mut() {
            wish.rest_until = Some(opens.min(wish.expires));
        }
    }

    /// A callback that rested may be made again; one that is too old is not made any more.
    pub(crate) fn expire_callback(&mut self, key: CallKey, out: &mut Output) {
        let now = self.now;
        let Some(call) = self.calls.get(key) else { return };
        if call.state != CallState::Waiting {
            return;
        }
        let Some(wish) = call.line.as_deref().and_then(|line| line.callback.as_deref()) else { return };
        if wish.expires <= now {
            return self.conclude(key, CallOutcome::Abandoned, "system", Release::WaitLimit, out);
        }
        if wish.rest_until.is_some_and(|until| until <= now) {
            self.leave_line(key);
            if let Some(wish) = self.line_mut(key).callback.as_mut() {
                wish.rest_until = None;
            }
            self.stand_in_line(key);
        }
    }
}
