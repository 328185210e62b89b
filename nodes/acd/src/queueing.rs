//! Standing in line: how a call gets there, keeps its place and leaves; never who takes it.

use crate::command::{Accepted, Rejection, RejectionCode};
use crate::demand::both;
use crate::document::{Action, SkillDemand};
use crate::output::Output;
use crate::policy::{boost_in_line, priority};
use crate::rows::{Call, CallState, ClassKey, InLine, Place, Release, Wanted, Wish};
use crate::shard::Shard;
use crate::table::{CallKey, QueueKey};
use crate::{CallId, Timestamp};

/// Rules that send a new caller on are followed so many times.
const REDIRECTS_MAX: usize = 8;

impl Shard {
    /// A new call: by its number, the hour and the rules for new callers into a line, or away.
    pub(crate) fn route(&mut self, key: CallKey, out: &mut Output) {
        let number = self.calls[key].number.clone();
        let Some(row) = self.numbers.get_mut(&number).filter(|row| !row.removed) else {
            return self.turn_away(key, None, Release::UnknownNumber, 0, out);
        };
        row.counts.offered += 1;
        let policy = &row.policy;
        let open = policy
            .routes
            .iter()
            .find(|route| self.calendars.get(&route.schedule).is_some_and(|calendar| calendar.is_open(self.now)));
        let queue = open.map_or(&policy.queue, |route| &route.queue);
        let Some(queue) = self.queue_names.get(queue.as_str()).copied() else {
            return self.turn_away(key, None, Release::UnknownNumber, 0, out);
        };
        self.enter_queue(key, queue, out);
        self.forward_direct(key, out);
    }

    /// By the rules for new callers into this queue's line, or where they say.
    pub(crate) fn enter_queue(&mut self, key: CallKey, first: QueueKey, out: &mut Output) {
        let mut queue = first;
        for _ in 0..REDIRECTS_MAX {
            let row = &self.queues[queue];
            let document = &row.policy.document;
            let (action, release) = if !row.open {
                (
                    Some(document.closed.clone().unwrap_or(Action::HangUp { prompt: String::new(), sip_status: 0 })),
                    Release::Closed,
                )
            } else {
                let rule = document.join.iter().find(|rule| self.holds_condition(queue, &rule.when));
                (rule.map(|rule| rule.action.clone()), Release::Overflow)
            };
            match action {
                Some(Action::MoveTo(name)) => match self.queue_names.get(name.as_str()) {
                    Some(next) => queue = *next,
                    None => return self.turn_away(key, Some(queue), release, 0, out),
                },
                Some(Action::HangUp { prompt, sip_status }) => {
                    self.count_offered(key, queue);
                    return self.let_go(key, queue, &prompt, sip_status as u16, release, out);
                }
                Some(Action::Forward(target)) => {
                    self.count_offered(key, queue);
                    self.greet(key, queue);
                    self.queues[queue].counts.overflowed += 1;
                    return self.move_out(key, &[(target, 0)], crate::rows::MoveKind::Overflow, None, out);
                }
                Some(other) => {
                    if self.join(key, queue, out) {
                        self.act(key, &other, out);
                    }
                    return;
                }
                None => {
                    self.join(key, queue, out);
                    return;
                }
            }
        }
        self.turn_away(key, Some(queue), Release::Overflow, 0, out);
    }

    /// Whether a call that comes from elsewhere would be let go here: then it stays where it is.
    pub(crate) fn turns_away(&self, queue: QueueKey) -> bool {
        let row = &self.queues[queue];
        let document = &row.policy.document;
        if !row.open {
            return document.closed.as_ref().is_none_or(|action| matches!(action, Action::HangUp { .. }));
        }
        let rule = document.join.iter().find(|rule| self.holds_condition(queue, &rule.when));
        match rule.map(|rule| &rule.action) {
            Some(Action::HangUp { .. }) => true,
            Some(Action::MoveTo(_) | Action::Forward(_)) => false,
            Some(_) | None => self.is_full(queue),
        }
    }

    fn is_full(&self, queue: QueueKey) -> bool {
        let row = &self.queues[queue];
        let own_max = row.policy.document.waiting_max as usize;
        let limit = self.limits.waiting_per_queue_max;
        let waiting_max = if own_max == 0 { limit } else { own_max.min(limit) };
        // Somebody who is ready for this queue takes the caller, so nobody has to wait.
        row.waiting() >= waiting_max && row.pools.first().is_none_or(|pool| pool.ready.is_empty())
    }

    /// Whether there was room.
    fn join(&mut self, key: CallKey, queue: QueueKey, out: &mut Output) -> bool {
        self.count_offered(key, queue);
        if self.is_full(queue) {
            self.turn_away(key, Some(queue), Release::QueueFull, 0, out);
            return false;
        }
        self.greet(key, queue);
        let line = self.new_line(key, queue, self.now);
        self.calls[key].line = Some(Box::new(line));
        self.calls[key].state = CallState::Waiting;
        self.inherit_callback(key, queue, out);
        self.stand_in_line(key);
        if self.queues[queue].policy.document.leave.is_some() {
            self.fresh.queues.insert(queue);
        }
        true
    }

    /// The terms on which a call stands in a queue's line.
    pub(crate) fn new_line(&mut self, key: CallKey, queue: QueueKey, joined: Timestamp) -> InLine {
        let demand = self.demand_of(key, queue);
        let (class, boost_ms) = self.class_and_boost(key);
        let row = &self.queues[queue];
        let place = Place {
            priority: class,
            effective: joined as i64 - boost_in_line(boost_ms, row).min(i64::MAX as u64 / 2) as i64,
            sequence: 0,
        };
        let document = &row.policy.document;
        let wanted = self.wish_of(key, queue, joined);
        let announce = document.announcements.iter().map(|said| Some(joined + u64::from(said.after_seconds) * 1000));
        let mut line = InLine {
            queue,
            more: Vec::new(),
            place,
            joined,
            boost_ms,
            demand,
            tier: 1,
            wanted,
            shuns: None,
            step: 0,
            step_at: document.overflow.first().map(|step| joined + u64::from(step.after_seconds) * 1000),
            tier_at: None,
            announce_at: announce.collect(),
            wait_until: row.policy.wait_until(joined),
            callback: None,
        };
        line.tier_at = self.tier_opens_at(&line);
        line.place.sequence = self.next_sequence();
        line
    }

    /// The class of a call and its boost in milliseconds, by the documents of its number and caller.
    pub(crate) fn class_and_boost(&self, key: CallKey) -> (u8, u64) {
        let call = &self.calls[key];
        let number = self.numbers.get(&call.number).map(|row| &row.policy);
        let caller = self.callers.get(&*call.caller);
        let class = match caller.map(|caller| caller.priority) {
            Some(class) if class > 0 => class.min(9) as u8,
            Some(_) | None => number.map_or(crate::limits::PRIORITY_DEFAULT as u8, priority),
        };
        let boost = number.map_or(0, |number| u64::from(number.boost_seconds))
            + caller.map_or(0, |caller| u64::from(caller.boost_seconds));
        (class, boost * 1000)
    }

    /// The agent whom the caller asks for or is used to.
    fn wish_of(&self, key: CallKey, queue: QueueKey, joined: Timestamp) -> Option<Wanted> {
        let call = &self.calls[key];
        let number = self.numbers.get(&call.number).map(|row| &row.policy);
        if let Some(number) = number.filter(|number| !number.agent.is_empty())
            && call.parts.is_empty()
            && call.history.is_empty()
            && let Ok(agent) = self.agent_key(&number.agent)
        {
            let until = (number.direct_seconds > 0).then(|| joined + u64::from(number.direct_seconds) * 1000);
            return Some(Wanted { agent, until, wish: Wish::Direct });
        }
        let policy = &self.queues[queue].policy;
        let sticky = policy.document.sticky?;
        let preferred = self.callers.get(&*call.caller).map(|caller| &caller.agent).filter(|agent| !agent.is_empty());
        let name = match preferred {
            Some(name) => name.as_str(),
            None => self.memory.agent_of(&call.caller, policy.sticky_window_ms()?, self.now)?,
        };
        let agent = self.agent_key(name).ok()?;
        let row = &self.agents[agent];
        row.member(queue)?;
        // Who is not there is not waited for.
        let there = row.presence != crate::rows::Presence::LoggedOut && row.reachable();
        if !there || (sticky.wait_seconds == 0 && !row.available()) {
            return None;
        }
        let until = Some(self.now + u64::from(sticky.wait_seconds) * 1000);
        Some(Wanted { agent, until, wish: Wish::Sticky })
    }

    /// What the call asks of this queue's members.
    fn demand_of(&mut self, key: CallKey, queue: QueueKey) -> u32 {
        let number = self.calls[key].number.clone();
        let Some(row) = self.numbers.get(&number) else {
            let skills = self.queues[queue].policy.skills.clone();
            return self.demand_key(&skills);
        };
        if let Some((_, demand)) = row.demands.iter().find(|(known, _)| *known == queue) {
            return *demand;
        }
        let own: Vec<_> = row.policy.skills.iter().filter_map(|asked| self.asked(asked)).collect();
        let all = both(&own, &self.queues[queue].policy.skills);
        let demand = self.demand_key(&all);
        if let Some(row) = self.numbers.get_mut(&number) {
            row.demands.push((queue, demand));
        }
        demand
    }

    pub(crate) fn asked(&self, demand: &SkillDemand) -> Option<(u16, u8)> {
        let skill = self.skills.iter().position(|name| **name == *demand.skill)?;
        Some((skill as u16, demand.level.clamp(1, 100) as u8))
    }

    /// The key of a demand. A new one is checked against all agents.
    pub(crate) fn demand_key(&mut self, asked: &[crate::policy::Asked]) -> u32 {
        let (key, is_new) = self.demands.key(asked, &self.skills);
        if is_new {
            for agent in self.agents.keys() {
                let met = crate::demand::meets(&self.agents[agent].policy.skills, asked);
                let able = &mut self.agents[agent].able;
                able.resize(key as usize / 64 + 1, 0);
                able[key as usize / 64] |= u64::from(met) << (key % 64);
            }
        }
        key
    }

    /// When the next tier opens for the call by time.
    fn tier_opens_at(&self, line: &InLine) -> Option<Timestamp> {
        let tiers = &self.queues[line.queue].policy.tiers;
        let next = (usize::from(line.tier) + 1..tiers.len()).find_map(|tier| tiers[tier]);
        next.map(|after| line.joined + after)
    }

    /// Opens the tiers whose time has come.
    pub(crate) fn open_tiers(&mut self, key: CallKey) {
        let now = self.now;
        let line = self.calls[key].line.as_deref().expect("tiers open for a call in line");
        if line.tier_at.is_none_or(|at| at > now) {
            return;
        }
        let tiers = &self.queues[line.queue].policy.tiers;
        let joined = line.joined;
        let due = (usize::from(line.tier) + 1..tiers.len())
            .filter(|tier| tiers[*tier].is_some_and(|after| joined + after <= now));
        let tier = due.max().map_or(line.tier, |tier| tier as u8);
        self.reclass(key, |line| line.tier = line.tier.max(tier));
        let line = self.calls[key].line.as_deref().expect("still in line");
        let next = self.tier_opens_at(line).filter(|at| *at > now);
        self.line_mut(key).tier_at = next;
    }

    pub(crate) fn line_mut(&mut self, key: CallKey) -> &mut InLine {
        self.calls[key].line.as_deref_mut().expect("a call in line")
    }

    /// Changes by whom a call may be taken, or when its turn is.
    pub(crate) fn reclass(&mut self, key: CallKey, change: impl FnOnce(&mut InLine)) {
        let waits = self.calls[key].state == CallState::Waiting;
        let is_in_line = self.calls[key].in_line().is_some();
        self.leave_line(key);
        change(self.line_mut(key));
        if waits {
            self.stand_in_line(key);
        } else if is_in_line {
            self.keep_place(key);
        }
    }

    /// Where a call that waits is listed.
    fn class_of(call: &Call) -> ClassKey {
        let line = call.line.as_deref().expect("a call in line");
        match line.wanted {
            Some(wanted) => ClassKey::Own(wanted.agent),
            None => ClassKey::Open { demand: line.demand, tier: line.tier, shuns: line.shuns },
        }
    }

    fn queues_of(line: &InLine) -> impl Iterator<Item = QueueKey> + '_ {
        let more = if line.wanted.is_some() { &[][..] } else { &line.more[..] };
        std::iter::once(line.queue).chain(more.iter().copied())
    }

    /// The call waits to be matched.
    pub(crate) fn stand_in_line(&mut self, key: CallKey) {
        self.rest_out_of_hours(key);
        let call = &self.calls[key];
        let line = call.line.as_deref().expect("a call in line");
        let rests = line.callback.as_ref().is_some_and(|callback| callback.rest_until.is_some());
        if rests || call.homeless.is_some() {
            self.keep_place(key);
            return self.set_call_alarm(key);
        }
        let (class, place) = (Self::class_of(call), line.place);
        for queue in Self::queues_of(line) {
            let Some(row) = self.queues.get_mut(queue) else { continue };
            row.classes.entry(class).or_default().insert(place, key);
        }
        if let ClassKey::Own(agent) = class {
            let queue = line.queue;
            let own = &mut self.agents[agent].own;
            if !own.contains(&queue) {
                own.push(queue);
            }
        }
        self.fresh.calls.push(key);
        self.set_call_alarm(key);
    }

    /// Something is under way for the call, or it rests: it is not to be matched, and its place is kept.
    pub(crate) fn keep_place(&mut self, key: CallKey) {
        let line = self.calls[key].line.as_deref().expect("a call in line");
        let place = line.place;
        for queue in Self::queues_of(line) {
            if let Some(row) = self.queues.get_mut(queue) {
                row.offered.insert(place, key);
            }
        }
    }

    /// Out of all lists; the terms stay with the call.
    pub(crate) fn leave_line(&mut self, key: CallKey) {
        if matches!(self.calls[key].state, CallState::Asking { .. }) {
            self.ask_ends(key);
        }
        let call = &self.calls[key];
        let line = call.line.as_deref().expect("a call in line");
        let (class, place) = (Self::class_of(call), line.place);
        for queue in Self::queues_of(line) {
            let Some(row) = self.queues.get_mut(queue) else { continue };
            if row.offered.remove(&place).is_some() {
                continue;
            }
            if let Some(calls) = row.classes.get_mut(&class) {
                calls.remove(place);
                if calls.is_empty() {
                    row.classes.remove(&class);
                    if let ClassKey::Own(agent) = class
                        && let Some(agent) = self.agents.get_mut(agent)
                    {
                        agent.own.retain(|own| *own != queue);
                    }
                }
            }
        }
    }

    /// What was under way has failed: the call is at its place again, wait time and all.
    pub(crate) fn return_call(&mut self, key: CallKey) {
        self.leave_line(key);
        self.calls[key].state = CallState::Waiting;
        self.stand_in_line(key);
    }

    /// Leaves this queue for that one, with its wait time.
    pub(crate) fn move_to_queue(&mut self, key: CallKey, queue: QueueKey, out: &mut Output) {
        let former = self.calls[key].line.as_deref().expect("a call in line").clone();
        if former.queue == queue {
            return;
        }
        if matches!(self.calls[key].state, CallState::Offered(_)) {
            self.withdraw_offer(key, Release::Withdrawn, "call moved", out);
        }
        if let CallState::Calling { agent, leg, .. } = self.calls[key].state {
            self.want_gone(key, leg, Release::Withdrawn);
            self.drop_work(agent, key, "call moved", out);
        }
        self.leave_line(key);
        self.forget_callback(key);
        let mut line = self.new_line(key, queue, former.joined);
        line.place.priority = former.place.priority.min(line.place.priority);
        line.place.sequence = former.place.sequence;
        line.shun(former.shuns);
        // A call for a named agent that is moved on is for anyone there.
        line.wanted = line.wanted.filter(|wanted| wanted.wish != Wish::Direct);
        // Rules of the new queue count from now on: its steps and announcements are not those of the past.
        let document = &self.queues[queue].policy.document;
        line.step_at = document.overflow.first().map(|step| self.now + u64::from(step.after_seconds) * 1000);
        line.announce_at =
            document.announcements.iter().map(|said| Some(self.now + u64::from(said.after_seconds) * 1000)).collect();
        line.callback = former.callback;
        line.wait_until = self.queues[queue].policy.wait_until(self.now);
        self.calls[key].line = Some(Box::new(line));
        self.calls[key].state = CallState::Waiting;
        self.queues[former.queue].counts.overflowed += 1;
        self.count_offered(key, queue);
        self.remember_callback(key);
        self.stand_in_line(key);
        self.open_tiers(key);
        self.change_music(key);
        self.drop_queue_when_done(former.queue);
    }

    /// A new class or more boost; the rest of the place stays.
    pub(crate) fn replace(&mut self, key: CallKey, class: Option<u8>, boost_seconds: u32) {
        let line = self.calls[key].line.as_deref().expect("a call in line");
        let older = boost_in_line(u64::from(boost_seconds) * 1000, &self.queues[line.queue]) as i64;
        self.reclass(key, |line| {
            line.place.priority = class.unwrap_or(line.place.priority);
            line.place.effective -= older;
            line.boost_ms += u64::from(boost_seconds) * 1000;
        });
    }

    pub(crate) fn change_call(
        &mut self,
        id: CallId,
        class: u32,
        boost_seconds: u32,
        move_to: &str,
        by: &str,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.living_call(id)?;
        self.check_name("by", by)?;
        if class > 9 || boost_seconds > 86_400 {
            return Err(Rejection::new(RejectionCode::Invalid, "priority is 1-9, boost_seconds at most 86400"));
        }
        if self.calls[key].in_line().is_none() {
            return Err(Rejection::new(RejectionCode::WrongState, "the call is not in line"));
        }
        let queue = match move_to {
            "" => None,
            name => Some(self.queue_key(name)?),
        };
        if class > 0 || boost_seconds > 0 {
            self.replace(key, (class > 0).then_some(class as u8), boost_seconds);
        }
        if let Some(queue) = queue {
            self.move_to_queue(key, queue, out);
        }
        Ok(Accepted)
    }

    pub(crate) fn queue_key(&self, name: &str) -> Result<QueueKey, Rejection> {
        let key = self.queue_names.get(name).copied().filter(|key| !self.queues[*key].removed);
        key.ok_or_else(|| Rejection::new(RejectionCode::Invalid, "no such queue"))
    }

    /// The wish for one agent is over: anyone may take the call.
    pub(crate) fn want_anyone(&mut self, key: CallKey) {
        self.reclass(key, |line| line.wanted = None);
    }

    /// A waiting call is offered to this agent, out of turn.
    pub(crate) fn pull_call(
        &mut self,
        id: CallId,
        agent: &str,
        by: &str,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.living_call(id)?;
        self.check_name("by", by)?;
        let agent = self.agent_key(agent)?;
        let row = &self.agents[agent];
        let may = row.presence != crate::rows::Presence::LoggedOut
            && row.work.len() < usize::from(row.policy.capacity)
            && row.work.iter().all(|work| work.stage != crate::rows::Stage::Reserved)
            && row.reachable();
        if !may {
            return Err(Rejection::new(RejectionCode::WrongState, "the agent cannot be rung"));
        }
        match self.calls[key].state {
            CallState::Waiting if self.calls[key].homeless.is_some() => {
                return Err(Rejection::new(RejectionCode::WrongState, "the call has no gateway"));
            }
            CallState::Waiting => {}
            CallState::Asking { .. } => self.return_call(key),
            _ => return Err(Rejection::new(RejectionCode::WrongState, "the call does not wait")),
        }
        let queue = self.calls[key].line.as_deref().expect("a call in line").queue;
        self.give(key, queue, agent, Wish::Pull.cause(), out);
        Ok(Accepted)
    }
}
