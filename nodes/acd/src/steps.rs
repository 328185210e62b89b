//! What happens to callers who wait: overflow steps, keys, announcements, hours, leaving; conditions and actions.

use crate::command::{Accepted, EndCause, Rejection};
use crate::document::{Action, AnnouncementKind, AnswerMode, ClosingPolicy, Condition, Staff};
use crate::limits::{LEAVING_SECONDS, STEP_SECONDS};
use crate::output::{CallOutcome, Output};
use crate::rows::{Call, CallState, Class, LegWant, MoveKind, Queue, Release, TIERS};
use crate::shard::Shard;
use crate::table::{CallKey, QueueKey};
use crate::{CallId, Timestamp};

/// Less than the time that a schedule looks ahead.
const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;

impl Shard {
    /// When the call wants to be looked at.
    pub(crate) fn call_due(&self, call: &Call) -> Option<Timestamp> {
        if let Some(since) = call.homeless {
            return Some(since.saturating_add(self.limits.homeless_ms));
        }
        let state = match &call.state {
            CallState::Waiting | CallState::Ended { .. } => None,
            CallState::Asking { until, .. } | CallState::Calling { until, .. } | CallState::Leaving { until } => {
                Some(*until)
            }
            CallState::Offered(offer) => Some(offer.until),
            CallState::Moving(moving) => Some(moving.until),
            CallState::Talking(talk) => match talk.aside.as_ref().map(|aside| aside.stage) {
                Some(crate::rows::AsideStage::Ringing { until }) => Some(until),
                Some(_) | None => None,
            },
        };
        let Some(line) = call.in_line() else { return state };
        let waits = call.state == CallState::Waiting;
        let callback = line.callback.as_deref();
        let times = line.announce_at.iter().copied().chain([
            state,
            line.step_at,
            line.tier_at,
            line.wait_until.filter(|_| waits && callback.is_none()),
            line.wanted.and_then(|wanted| wanted.until).filter(|_| waits),
            callback.map(|callback| callback.expires).filter(|_| waits),
            callback.and_then(|callback| callback.rest_until).filter(|_| waits),
        ]);
        times.flatten().min()
    }

    /// Does what is due about a call: first what is under way, then the rules of its line.
    pub(crate) fn expire_call(&mut self, key: CallKey, out: &mut Output) {
        let now = self.now;
        if self.calls[key].homeless.is_some() {
            return self.give_up_homeless(key, out);
        }
        match &self.calls[key].state {
            CallState::Offered(offer) if offer.until <= now => self.expire_offer(key, out),
            CallState::Asking { until, .. } if *until <= now => self.expire_ask(key, out),
            CallState::Calling { until, .. } if *until <= now => self.callback_missed(key, EndCause::NoAnswer, out),
            CallState::Moving(moving) if moving.until <= now => self.expire_move(key, out),
            CallState::Talking(_) => self.expire_aside(key, out),
            CallState::Leaving { until } if *until <= now => {
                self.conclude(key, CallOutcome::Refused, "system", Release::Overflow, out);
            }
            _ => {}
        }
        self.expire_callback(key, out);
        if self.stands(key) {
            self.announce(key);
            self.open_tiers(key);
            let wanted = self.line_mut(key).wanted;
            if self.calls[key].state == CallState::Waiting
                && wanted.and_then(|wanted| wanted.until).is_some_and(|until| until <= now)
            {
                self.want_anyone(key);
            }
        }
        while self.stands(key) && self.line_mut(key).step_at.is_some_and(|at| at <= now) {
            self.overflow(key, out);
        }
        if self.stands(key)
            && self.calls[key].state == CallState::Waiting
            && self.line_mut(key).callback.is_none()
            && self.line_mut(key).wait_until.is_some_and(|until| until <= now)
        {
            self.refuse(key, Release::WaitLimit, out);
        }
    }

    fn stands(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| call.in_line().is_some())
    }

    /// The next overflow step, if its condition holds; else it is looked at again a little later.
    fn overflow(&mut self, key: CallKey, out: &mut Output) {
        let line = self.calls[key].line.as_deref().expect("a call in line");
        let (queue, index, joined) = (line.queue, usize::from(line.step), line.joined);
        let steps = &self.queues[queue].policy.document.overflow;
        let Some(step) = steps.get(index) else {
            self.line_mut(key).step_at = None;
            return;
        };
        if !self.holds_condition(queue, &step.when) {
            let again = self.now + u64::from(STEP_SECONDS) * 1000;
            self.line_mut(key).step_at = Some(again);
            return;
        }
        let action = step.action.clone();
        let next = steps.get(index + 1).map(|step| joined + u64::from(step.after_seconds) * 1000);
        let line = self.line_mut(key);
        line.step += 1;
        line.step_at = next;
        self.act(key, &action, out);
    }

    /// Does what a step, a key or a rule says with a call in line.
    pub(crate) fn act(&mut self, key: CallKey, action: &Action, out: &mut Output) {
        if !self.stands(key) {
            return;
        }
        let absent = self.line_mut(key).callback.is_some();
        match action {
            // Who is to be called back is not on the phone: there is nobody to send away.
            Action::Forward(_) | Action::HangUp { .. } if absent => {}
            Action::OpenTier(tier) => {
                let tier = (*tier).clamp(1, TIERS as u32 - 1) as u8;
                self.reclass(key, |line| line.tier = line.tier.max(tier));
            }
            Action::Relax(demand) => {
                let line = self.calls[key].line.as_deref().expect("a call in line");
                let mut asked = self.demands.get(line.demand).asked.clone();
                let Some(skill) = self.skills.iter().position(|name| **name == *demand.skill) else { return };
                asked.retain(|(other, _)| usize::from(*other) != skill);
                if demand.level > 0 {
                    asked.push((skill as u16, demand.level.min(100) as u8));
                    asked.sort_unstable();
                }
                let relaxed = self.demand_key(&asked);
                self.reclass(key, |line| line.demand = relaxed);
            }
            Action::AddQueue(name) => {
                let Ok(queue) = self.queue_key(name) else { return };
                let most = self.limits.queues_per_call_max;
                let line = self.line_mut(key);
                if line.queue != queue && !line.more.contains(&queue) && line.more.len() + 1 < most {
                    self.reclass(key, |line| line.more.push(queue));
                }
            }
            Action::MoveTo(name) => {
                let call = &self.calls[key];
                // Queues whose rules move calls to each other must not do so for ever.
                if u32::from(call.hops) < self.centre.hops_max()
                    && let Ok(queue) = self.queue_key(name)
                {
                    self.calls[key].hops += 1;
                    self.move_to_queue(key, queue, out);
                }
            }
            Action::Priority(class) => self.replace(key, Some((*class).clamp(1, 9) as u8), 0),
            Action::Boost(seconds) => self.replace(key, None, *seconds),
            Action::OfferCallback => self.say(key, vec!["callback-offer".to_owned()]),
            Action::Announce(prompt) => self.say(key, vec![prompt.clone()]),
            Action::Forward(target) => {
                self.count_overflow(key);
                self.move_out(key, &[(target.clone(), 0)], MoveKind::Overflow, None, out);
            }
            Action::HangUp { prompt, sip_status } => {
                let queue = self.line_mut(key).queue;
                self.count_overflow(key);
                self.withdraw_all(key, "let go", out);
                self.leave_line(key);
                self.let_go(key, queue, prompt, *sip_status as u16, Release::Overflow, out);
            }
            Action::TakeCallback => {
                let caller = self.calls[key].caller.clone();
                // Who cannot be called back goes on waiting.
                let _ = self.begin_callback(key, &caller, out);
            }
        }
    }

    /// Whatever is under way for a call in line is taken back; the call stays in the lists as it is.
    pub(crate) fn withdraw_all(&mut self, key: CallKey, reason: &str, out: &mut Output) {
        match self.calls[key].state {
            CallState::Offered(_) => self.withdraw_offer(key, Release::Withdrawn, reason, out),
            CallState::Calling { agent, leg, .. } => {
                self.want_gone(key, leg, Release::Withdrawn);
                self.drop_work(agent, key, reason, out);
            }
            _ => {}
        }
    }

    /// Lets a caller go, out of all lines already: with a prompt who is answered or may be, else at once.
    pub(crate) fn let_go(
        &mut self,
        key: CallKey,
        queue: QueueKey,
        prompt: &str,
        status: u16,
        release: Release,
        out: &mut Output,
    ) {
        let answered = self.calls[key].caller_leg().map(|leg| leg.want == LegWant::Listen);
        let hears = answered.unwrap_or(self.queues[queue].policy.document.answer == AnswerMode::OnEntry);
        if prompt.is_empty() || !hears {
            self.forget_callback(key);
            self.turn_away(key, Some(queue), release, status, out);
            self.drop_call_without_legs(key);
            self.set_call_alarm(key);
            return self.drop_queue_when_done(queue);
        }
        self.greet(key, queue);
        self.queues[queue].counts.refused += 1;
        let until = self.now + u64::from(LEAVING_SECONDS) * 1000;
        self.calls[key].state = CallState::Leaving { until };
        self.say(key, vec![prompt.to_owned()]);
        self.set_call_alarm(key);
    }

    /// Says something over the music, to a caller who hears it.
    pub(crate) fn say(&mut self, key: CallKey, parts: Vec<String>) {
        let call = &mut self.calls[key];
        if call.caller_leg().is_none_or(|leg| leg.want != LegWant::Listen) {
            return;
        }
        call.said = (call.said.0 + 1, parts);
        self.want_caller(key, LegWant::Listen);
    }

    /// Says what is due, one after the other.
    fn announce(&mut self, key: CallKey) {
        let now = self.now;
        let line = self.calls[key].line.as_deref().expect("a call in line");
        let due: Vec<usize> =
            (0..line.announce_at.len()).filter(|at| line.announce_at[*at].is_some_and(|time| time <= now)).collect();
        if due.is_empty() {
            return;
        }
        let queue = &self.queues[line.queue];
        let mut parts = Vec::new();
        let mut next = Vec::new();
        for index in due {
            let Some(said) = queue.policy.document.announcements.get(index) else {
                next.push((index, None));
                continue;
            };
            let every = u64::from(said.every_seconds) * 1000;
            next.push((index, (every > 0).then_some(now + every)));
            match said.kind {
                AnnouncementKind::Prompt => parts.push(said.prompt.clone()),
                AnnouncementKind::Position => {
                    parts.extend([said.prompt.clone(), format!("#{}", queue.before(line.place) + 1)]);
                }
                AnnouncementKind::Estimate => {
                    if let Some(estimate) = self.estimate(line.queue, queue.before(line.place)) {
                        parts.extend([said.prompt.clone(), format!("#{}", estimate.high_ms.div_ceil(60_000).max(1))]);
                    }
                }
            }
        }
        let line = self.line_mut(key);
        for (index, at) in next {
            line.announce_at[index] = at;
        }
        if !parts.is_empty() {
            self.say(key, parts);
        }
    }

    /// Digits of a caller in line, or of an agent who talks.
    pub(crate) fn press_digits(
        &mut self,
        id: CallId,
        leg: u32,
        tenure: u32,
        digits: &str,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.held_leg(id, leg, tenure)?;
        self.check_digits(digits)?;
        for digit in digits.chars() {
            if leg == self.calls[key].caller_leg {
                if !self.stands(key) {
                    break;
                }
                let queue = self.line_mut(key).queue;
                let keys = &self.queues[queue].policy.document.keys;
                if let Some((_, action)) = keys.iter().find(|(key, _)| *key == digit) {
                    let action = action.clone();
                    self.act(key, &action, out);
                }
            } else {
                self.press_code(key, leg, digit, out);
            }
        }
        Ok(Accepted)
    }

    /// Whether all that a condition asks holds in a queue.
    pub(crate) fn holds_condition(&self, key: QueueKey, when: &Condition) -> bool {
        let queue = &self.queues[key];
        let waiting = queue.in_line() as u64;
        if when.waiting_over > 0 && waiting <= u64::from(when.waiting_over) {
            return false;
        }
        if when.some_wait && waiting == 0 {
            return false;
        }
        if when.estimate_over_seconds > 0 {
            let estimate = self.estimate(key, queue.in_line());
            let over = u64::from(when.estimate_over_seconds) * 1000;
            if estimate.is_none_or(|estimate| estimate.high_ms <= over) {
                return false;
            }
        }
        if when.waiting_per_agent_over_percent > 0 {
            let agents: u32 = (1..TIERS as u8).map(|tier| queue.logged_in(tier)).sum();
            if waiting * 100 <= u64::from(when.waiting_per_agent_over_percent) * u64::from(agents) {
                return false;
            }
        }
        if when.nobody.is_some_and(|staff| somebody(queue, staff)) {
            return false;
        }
        let is_open = |name: &str| self.calendars.get(name).is_none_or(|calendar| calendar.is_open(self.now));
        (when.closed.is_empty() || !is_open(&when.closed)) && (when.open.is_empty() || is_open(&when.open))
    }

    /// When the queue's leave condition holds, all who wait go.
    pub(crate) fn leave_if_nobody(&mut self, key: QueueKey, out: &mut Output) {
        let Some((when, action)) = self.queues[key].policy.document.leave.clone() else { return };
        if !self.holds_condition(key, &when) {
            return;
        }
        for (_, call) in self.queues[key].everybody() {
            // What is done with one may end another of the same caller.
            let Some(row) = self.calls.get(call) else { continue };
            let primary = row.in_line().is_some_and(|line| line.queue == key);
            if primary && row.state == CallState::Waiting {
                self.act(call, &action, out);
            }
        }
    }

    /// The queue opens or closes.
    pub(crate) fn expire_queue(&mut self, key: QueueKey, out: &mut Output) {
        let was_open = self.queues[key].open;
        self.look_at_the_clock(key);
        if was_open && !self.queues[key].open {
            for (_, call) in self.queues[key].everybody() {
                let row = &self.calls[call];
                if row.state == CallState::Waiting
                    && row.line.as_deref().is_some_and(|line| line.queue == key && line.callback.is_some())
                {
                    self.reclass(call, |_| {});
                }
            }
        }
        let queue = &self.queues[key];
        if was_open && !queue.open && queue.policy.document.closing == ClosingPolicy::Go {
            let action = queue.policy.document.closed.clone();
            let action = action.unwrap_or(Action::HangUp { prompt: String::new(), sip_status: 0 });
            for (_, call) in queue.everybody() {
                let here = self.calls.get(call).and_then(Call::in_line).is_some_and(|line| line.queue == key);
                if here && self.calls[call].state == CallState::Waiting {
                    self.act(call, &action, out);
                }
            }
        }
        if self.queues.get(key).is_some_and(|queue| queue.policy.document.leave.is_some()) {
            self.fresh.queues.insert(key);
        }
    }

    /// Whether the queue is open now, and when to look again.
    pub(crate) fn look_at_the_clock(&mut self, key: QueueKey) {
        let now = self.now;
        let calendar = self.queues[key].policy.calendar.as_ref();
        let open = calendar.is_none_or(|calendar| calendar.is_open(now));
        let next = calendar.and_then(|calendar| calendar.next_change(now));
        // Nothing tells of a schedule that has no change within a year: it is looked at again before.
        let next = next.or_else(|| calendar.map(|_| now + YEAR_MS));
        // A condition for leaving may come true without anybody's doing.
        let queue = &self.queues[key];
        let again = (queue.policy.document.leave.is_some() && !queue.classes.is_empty())
            .then(|| now + u64::from(STEP_SECONDS) * 1000);
        let next = [next, again].into_iter().flatten().min();
        self.queues[key].open = open;
        self.set_queue_alarm(key, next);
    }

    /// Callers who hear music hear the queue's; who hears ringing is answered if the queue answers on entry. Who is answered
    /// already cannot be unanswered.
    pub(crate) fn change_music(&mut self, key: CallKey) {
        let call = &self.calls[key];
        let Some(line) = call.line.as_deref() else { return };
        let answers = self.queues[line.queue].policy.document.answer == AnswerMode::OnEntry;
        match call.caller_leg().map(|leg| &leg.want) {
            Some(LegWant::Listen) => self.want_caller(key, LegWant::Listen),
            Some(LegWant::Alert) if answers => self.want_caller(key, LegWant::Listen),
            Some(_) | None => {}
        }
    }
}

fn somebody(queue: &Queue, staff: Staff) -> bool {
    let asked = [
        (staff.ready, Class::Ready),
        (staff.not_ready, Class::NotReady),
        (staff.wrap_up, Class::WrapUp),
        (staff.ringing, Class::Reserved),
        (staff.talking, Class::Talking),
        (staff.unreachable, Class::Unreachable),
    ];
    asked.into_iter().any(|(counts, class)| counts && queue.count(class) > 0)
}
