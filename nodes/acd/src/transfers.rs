//! Moving a call: blind transfer, forwarding, overflow to elsewhere; a move that fails returns the call, never drops it.

use crate::agents::Miss;
use crate::command::{Accepted, EndCause, Rejection, RejectionCode};
use crate::document::{ForwardWhen, Target};
use crate::limits::{FORWARD_SECONDS_DEFAULT, NO_ANSWER_SECONDS_DEFAULT};
use crate::offers::miss;
use crate::output::{CallOutcome, Output, RecordKind, TransferRecord};
use crate::rows::{CallState, LegWant, Move, MoveKind, Party, Presence, Release, Stage, Wanted, Wish};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey};
use crate::{CallId, Name};

/// Targets with the milliseconds each rings.
type Targets = Vec<(Target, u64)>;

/// What comes of trying a target.
enum Try {
    /// These legs ring, for so many milliseconds.
    Rings(Vec<(Party, u32)>, u64),
    /// It leads to these instead.
    Leads(Vec<(Target, u64)>, bool),
    /// The call has joined a queue's line.
    Joined,
    /// Not to be reached this way.
    No(&'static str),
}

impl Shard {
    pub(crate) fn transfer_call(
        &mut self,
        id: CallId,
        agent: &str,
        target: Target,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let (key, agent) = self.talk_of(id, agent)?;
        self.check_target(&target)?;
        self.blind_transfer(key, agent, target, out);
        Ok(Accepted)
    }

    /// The call of an agent who talks in it.
    pub(crate) fn talk_of(&self, id: CallId, agent: &str) -> Result<(CallKey, AgentKey), Rejection> {
        let key = self.living_call(id)?;
        let agent = self.agent_key(agent)?;
        let CallState::Talking(talk) = &self.calls[key].state else {
            return Err(Rejection::new(RejectionCode::WrongState, "nobody talks in this call"));
        };
        if talk.party != Party::Agent(agent) {
            return Err(Rejection::new(RejectionCode::WrongState, "it is not the agent's call"));
        }
        Ok((key, agent))
    }

    pub(crate) fn check_target(&self, target: &Target) -> Result<(), Rejection> {
        match target {
            Target::Agent(name) => self.agent_key(name).map(|_| ()),
            Target::Queue(name) => self.queue_key(name).map(|_| ()),
            Target::Number(number) if number.is_empty() => Err(Rejection::new(RejectionCode::Invalid, "no number")),
            Target::Number(number) => self.check_name("number", number),
            Target::Sip(uri) if uri.is_empty() || uri.len() > self.limits.contact_bytes_max => {
                Err(Rejection::new(RejectionCode::Invalid, "the SIP address is empty or too long"))
            }
            Target::Sip(_) => Ok(()),
        }
    }

    pub(crate) fn blind_transfer(&mut self, key: CallKey, agent: AgentKey, target: Target, out: &mut Output) {
        self.end_aside(key, "taken-back", out);
        let CallState::Talking(talk) = &self.calls[key].state else { return };
        let leg = talk.leg;
        if let Some(queue) = self.calls[key].line.as_ref().map(|line| line.queue) {
            self.queues[queue].counts.transferred_out += 1;
        }
        self.agents[agent].counts.transferred_out += 1;
        self.end_part(key, out);
        self.want_gone(key, leg, Release::Transferred);
        let back = self.agents.get(agent).map(|_| agent);
        self.move_out(key, &[(target, 0)], MoveKind::Blind, back, out);
    }

    /// Out of the line, or of a talk that is over: to the first of the targets that takes the call.
    pub(crate) fn move_out(
        &mut self,
        key: CallKey,
        targets: &[(Target, u64)],
        kind: MoveKind,
        back: Option<AgentKey>,
        out: &mut Output,
    ) {
        self.begin_move(key, targets, kind, back, out);
        self.try_next(key, "unreachable", out);
    }

    fn begin_move(
        &mut self,
        key: CallKey,
        targets: &[(Target, u64)],
        kind: MoveKind,
        back: Option<AgentKey>,
        out: &mut Output,
    ) {
        if self.calls[key].in_line().is_some() && self.calls[key].line.is_some() {
            self.withdraw_all(key, "call moved", out);
            self.leave_line(key);
        }
        let moving = Move { kind, back, ringing: Vec::new(), until: self.now, since: self.now, next: targets.to_vec() };
        self.calls[key].state = CallState::Moving(Box::new(moving));
        if self.calls[key].caller_leg().is_some_and(|leg| !matches!(leg.want, LegWant::Alert | LegWant::Gone { .. })) {
            self.want_caller(key, LegWant::Listen);
            let prompt = self.centre.document.transfer_prompt.clone();
            if kind == MoveKind::Blind && !prompt.is_empty() {
                self.say(key, vec![prompt]);
            }
        }
    }

    /// Tries the targets that are left. `why` is what became of the one before.
    fn try_next(&mut self, key: CallKey, mut why: &'static str, out: &mut Output) {
        loop {
            let hops_max = self.centre.hops_max();
            let call = &mut self.calls[key];
            let CallState::Moving(moving) = &mut call.state else { return };
            if moving.next.is_empty() || u32::from(call.hops) >= hops_max {
                return self.move_failed(key, why, out);
            }
            let (target, ring_ms) = moving.next.remove(0);
            call.hops = call.hops.saturating_add(1);
            match self.try_target(key, &target, ring_ms, out) {
                Try::Rings(ringing, ring_ms) => {
                    let until = self.now.saturating_add(ring_ms);
                    if let CallState::Moving(moving) = &mut self.calls[key].state {
                        moving.ringing.extend(ringing);
                        moving.until = until;
                        moving.since = self.now;
                    }
                    return self.set_call_alarm(key);
                }
                Try::Leads(instead, false) => {
                    if let CallState::Moving(moving) = &mut self.calls[key].state {
                        moving.next.splice(0..0, instead);
                    }
                }
                Try::Leads(group, true) => {
                    if self.ring_group(key, group, &mut why, out) {
                        return;
                    }
                }
                Try::Joined => return,
                Try::No(reason) => why = reason,
            }
        }
    }

    /// Rings all of a group that can be rung; the others are tried after it. Whether anybody rings, or the call has gone on.
    fn ring_group(
        &mut self,
        key: CallKey,
        group: Vec<(Target, u64)>,
        why: &mut &'static str,
        out: &mut Output,
    ) -> bool {
        let mut longest = 0;
        let mut later = Vec::new();
        for (target, ring_ms) in group {
            if matches!(target, Target::Queue(_)) {
                later.push((target, ring_ms)); // takes the call when nobody who rings does
                continue;
            }
            match self.try_target(key, &target, ring_ms, out) {
                Try::Rings(ringing, ring_ms) => {
                    longest = ring_ms.max(longest);
                    if let CallState::Moving(moving) = &mut self.calls[key].state {
                        moving.ringing.extend(ringing);
                    }
                }
                Try::Leads(instead, _) => later.extend(instead),
                Try::Joined => return true,
                Try::No(reason) => *why = reason,
            }
        }
        let now = self.now;
        let CallState::Moving(moving) = &mut self.calls[key].state else { return true };
        moving.next.splice(0..0, later);
        if longest > 0 {
            moving.until = now.saturating_add(longest);
            moving.since = now;
            self.set_call_alarm(key);
        }
        longest > 0
    }

    fn try_target(&mut self, key: CallKey, target: &Target, ring_ms: u64, out: &mut Output) -> Try {
        let ring_ms = if ring_ms == 0 { self.centre.target_ring_ms() } else { ring_ms };
        match target {
            Target::Queue(name) => {
                let Ok(queue) = self.queue_key(name) else { return Try::No("unreachable") };
                // Who has talked or waited already is not turned away at the door: the move fails and the call returns.
                let known = !self.calls[key].parts.is_empty() || self.calls[key].line.is_some();
                if known && self.turns_away(queue) {
                    return Try::No("busy");
                }
                self.write_move(key, name, "done", out);
                let back = match &self.calls[key].state {
                    CallState::Moving(moving) => moving.back,
                    _ => None,
                };
                let former = self.calls[key].line.take().map(|line| line.queue);
                self.calls[key].state = CallState::Waiting;
                self.enter_queue(key, queue, out);
                if self.calls.get(key).is_some_and(|call| call.in_line().is_some()) {
                    self.reclass(key, |line| line.shun(back));
                    self.change_music(key);
                }
                if let Some(former) = former {
                    self.drop_queue_when_done(former);
                }
                Try::Joined
            }
            Target::Number(number) => match self.numbers.get(number.as_str()).filter(|row| !row.removed) {
                Some(row) => {
                    let queue = Target::Queue(row.policy.queue.clone());
                    let instead = if row.policy.agent.is_empty() {
                        vec![(queue, 0)]
                    } else {
                        vec![(Target::Agent(row.policy.agent.clone()), ring_ms), (queue, 0)]
                    };
                    Try::Leads(instead, false)
                }
                None => Try::Rings(vec![self.dial(key, number)], ring_ms),
            },
            Target::Sip(uri) => Try::Rings(vec![self.dial(key, uri)], ring_ms),
            Target::Agent(name) => {
                let Ok(agent) = self.agent_key(name) else { return Try::No("unreachable") };
                if let Some((targets, group)) = self.forward_now(agent) {
                    self.calls[key].history.push(name.clone());
                    return Try::Leads(targets, group);
                }
                if !self.agents[agent].available() {
                    return Try::No("busy");
                }
                let ring_ms = self.no_answer_rule(agent).map_or(ring_ms, |(after_ms, ..)| after_ms.min(ring_ms));
                let row = &self.agents[agent];
                let (phones, name): (Vec<LegWant>, Name) = (row.reach().collect(), row.name.clone());
                self.take_work(agent, key, Stage::Reserved, out);
                let legs =
                    phones.into_iter().map(|want| (Party::Agent(agent), self.add_leg(key, Some(name.clone()), want)));
                Try::Rings(legs.collect(), ring_ms)
            }
        }
    }

    pub(crate) fn dial(&mut self, key: CallKey, target: &str) -> (Party, u32) {
        let name: Name = target.into();
        let leg = self.add_leg(key, Some(name.clone()), LegWant::Dial { target: target.into(), replaces: None });
        (Party::Outside(name), leg)
    }

    /// Where calls for the agent go just now: always, when busy, when not to be reached.
    pub(crate) fn forward_now(&self, key: AgentKey) -> Option<(Vec<(Target, u64)>, bool)> {
        let agent = &self.agents[key];
        let unreachable = agent.presence == Presence::LoggedOut || !agent.reachable();
        let busy = !unreachable && !agent.available();
        let rule = agent.policy.forwards.iter().find(|rule| match rule.when {
            ForwardWhen::Always => true,
            ForwardWhen::Busy => busy,
            ForwardWhen::Unreachable => unreachable,
            ForwardWhen::NoAnswer => false,
        })?;
        Some((with_times(&rule.targets), rule.group))
    }

    /// (after, targets, group) of the agent's rule for no answer.
    pub(crate) fn no_answer_rule(&self, key: AgentKey) -> Option<(u64, Targets, bool)> {
        let rule = self.agents[key].policy.forwards.iter().find(|rule| rule.when == ForwardWhen::NoAnswer)?;
        let after_ms = if rule.after_ms == 0 { u64::from(NO_ANSWER_SECONDS_DEFAULT) * 1000 } else { rule.after_ms };
        Some((after_ms, with_times(&rule.targets), rule.group))
    }

    /// A direct call whose agent has forwarded calls: it goes there at once.
    pub(crate) fn forward_direct(&mut self, key: CallKey, out: &mut Output) {
        let Some(line) = self.calls.get(key).and_then(|call| call.in_line()) else { return };
        if line.callback.is_some() {
            return;
        }
        let Some(wanted) = line.wanted.filter(|wanted| wanted.wish == Wish::Direct) else { return };
        if let Some((targets, group)) = self.forward_now(wanted.agent) {
            self.forward(key, wanted.agent, targets, group, out);
        }
    }

    /// The agent's rule sends the call on: to one after another, or to all at once.
    pub(crate) fn forward(
        &mut self,
        key: CallKey,
        agent: AgentKey,
        targets: Vec<(Target, u64)>,
        group: bool,
        out: &mut Output,
    ) {
        let name = self.agents[agent].name.to_string();
        self.calls[key].history.push(name);
        if !group {
            return self.move_out(key, &targets, MoveKind::Forward, None, out);
        }
        self.begin_move(key, &[], MoveKind::Forward, None, out);
        self.calls[key].hops = self.calls[key].hops.saturating_add(1);
        let mut why = "unreachable";
        if !self.ring_group(key, targets, &mut why, out) {
            self.try_next(key, why, out);
        }
    }

    /// One of the targets has answered: the others stop.
    pub(crate) fn target_answered(&mut self, key: CallKey, leg: u32, out: &mut Output) {
        let CallState::Moving(moving) = &mut self.calls[key].state else { return };
        let ringing = std::mem::take(&mut moving.ringing);
        let ring_ms = self.now - moving.since;
        let Some((party, _)) = ringing.iter().find(|(_, ring)| *ring == leg).cloned() else { return };
        self.stop(key, &ringing, Some((&party, leg)), Release::AnsweredElsewhere, "answered elsewhere", out);
        let name = self.party_name(&party);
        self.write_move(key, &name, "done", out);
        if let Party::Agent(agent) = party {
            self.agents[agent].counts.transferred_in += 1;
        }
        self.join_party(key, &party, leg, ring_ms, out);
    }

    /// All legs but one, and all agents but one, ring no more.
    fn stop(
        &mut self,
        key: CallKey,
        ringing: &[(Party, u32)],
        but: Option<(&Party, u32)>,
        release: Release,
        reason: &str,
        out: &mut Output,
    ) {
        let mut agents = Vec::new();
        for (party, leg) in ringing {
            if but.is_none_or(|(_, kept)| kept != *leg) && self.calls[key].leg(*leg).is_some() {
                self.want_gone(key, *leg, release);
            }
            if let Party::Agent(agent) = party
                && but.is_none_or(|(kept, _)| kept != party)
                && !agents.contains(agent)
            {
                agents.push(*agent);
            }
        }
        for agent in agents {
            self.drop_work(agent, key, reason, out);
        }
    }

    /// A target's leg has ended without an answer.
    pub(crate) fn target_failed(
        &mut self,
        key: CallKey,
        leg: u32,
        cause: EndCause,
        moved_to: Targets,
        out: &mut Output,
    ) {
        let CallState::Moving(moving) = &mut self.calls[key].state else { return };
        let Some(at) = moving.ringing.iter().position(|(_, ringing)| *ringing == leg) else { return };
        let (party, _) = moving.ringing.remove(at);
        let others = moving.ringing.iter().any(|(other, _)| *other == party);
        let miss = miss(cause);
        if !others && !moved_to.is_empty() {
            let name = self.party_name(&party).to_string();
            self.calls[key].history.push(name);
            if let CallState::Moving(moving) = &mut self.calls[key].state {
                moving.next.splice(0..0, moved_to);
            }
        }
        if !others && let Party::Agent(agent) = party {
            self.missed_as_target(key, agent, miss, out);
        }
        if self.nobody_rings(key) {
            self.try_next(key, result_of(miss), out);
        }
    }

    fn missed_as_target(&mut self, key: CallKey, agent: AgentKey, miss: Miss, out: &mut Output) {
        self.drop_work(agent, key, result_of(miss), out);
        if miss == Miss::NoAnswer
            && let Some((_, targets, group)) = self.no_answer_rule(agent)
        {
            let name = self.agents[agent].name.to_string();
            let call = &mut self.calls[key];
            call.history.push(name);
            let may = u32::from(call.hops) < self.centre.hops_max();
            if group && may {
                self.calls[key].hops += 1;
                self.ring_group(key, targets, &mut result_of(miss), out);
            } else if let CallState::Moving(moving) = &mut self.calls[key].state {
                moving.next.splice(0..0, targets);
            }
        }
    }

    /// The targets that ring have had their time.
    pub(crate) fn expire_move(&mut self, key: CallKey, out: &mut Output) {
        let CallState::Moving(moving) = &mut self.calls[key].state else { return };
        let ringing = std::mem::take(&mut moving.ringing);
        let mut agents: Vec<AgentKey> = Vec::new();
        for (party, leg) in &ringing {
            self.want_gone(key, *leg, Release::NoAnswer);
            if let Party::Agent(agent) = party
                && !agents.contains(agent)
            {
                agents.push(*agent);
            }
        }
        for agent in agents {
            self.missed_as_target(key, agent, Miss::NoAnswer, out);
        }
        if self.nobody_rings(key) {
            self.try_next(key, "no-answer", out);
        }
    }

    fn nobody_rings(&self, key: CallKey) -> bool {
        matches!(&self.calls[key].state, CallState::Moving(moving) if moving.ringing.is_empty())
    }

    /// One more forward or transfer is within the limit.
    pub(crate) fn may_hop(&self, key: CallKey) -> bool {
        u32::from(self.calls[key].hops) < self.centre.hops_max()
    }

    fn move_failed(&mut self, key: CallKey, why: &'static str, out: &mut Output) {
        self.write_move(key, "", why, out);
        self.give_up_move(key, why, out);
    }

    /// No target takes the call: back to who sent it if ready, else to its place in line, else where the centre says.
    pub(crate) fn give_up_move(&mut self, key: CallKey, why: &'static str, out: &mut Output) {
        let CallState::Moving(moving) = &self.calls[key].state else { return };
        let (kind, back) = (moving.kind, moving.back);
        let ready = back.filter(|back| self.agents.get(*back).is_some_and(|agent| agent.available()));
        let line = self.calls[key].line.as_deref();
        if line.is_some_and(|line| self.queues.get(line.queue).is_some_and(|queue| !queue.removed)) {
            let ring_ms = self.centre.target_ring_ms();
            let until = Some(self.now.saturating_add(ring_ms));
            let line = self.line_mut(key);
            line.wanted = ready.map(|agent| Wanted { agent, until, wish: Wish::Sticky });
            line.announce_at = Box::default();
            self.calls[key].state = CallState::Waiting;
            return self.stand_in_line(key);
        }
        let last_resort = self.centre.document.transfer_failed.clone();
        if let (MoveKind::Blind, Some(target)) = (kind, last_resort)
            && let CallState::Moving(moving) = &mut self.calls[key].state
        {
            moving.kind = MoveKind::Overflow;
            moving.next = vec![(target, 0)];
            self.calls[key].hops = 0;
            return self.try_next(key, why, out);
        }
        let outcome = if self.calls[key].parts.is_empty() { CallOutcome::Refused } else { CallOutcome::Completed };
        self.conclude(key, outcome, "system", Release::NotTaken, out);
    }

    /// The call ends while targets ring, or is called back from them.
    pub(crate) fn end_move(&mut self, key: CallKey, result: &'static str, out: &mut Output) {
        let CallState::Moving(moving) = &mut self.calls[key].state else { return };
        let ringing = std::mem::take(&mut moving.ringing);
        if !ringing.is_empty() {
            self.write_move(key, "", result, out);
        }
        self.stop(key, &ringing, None, Release::Withdrawn, "call ended", out);
    }

    /// An agent who rings as a target rings no more. The agent's own state is the caller's business.
    pub(crate) fn take_target_back(&mut self, key: CallKey, agent: AgentKey, release: Release, out: &mut Output) {
        match &mut self.calls[key].state {
            CallState::Moving(moving) => {
                let party = Party::Agent(agent);
                let gone: Vec<u32> =
                    moving.ringing.iter().filter(|(other, _)| *other == party).map(|(_, leg)| *leg).collect();
                moving.ringing.retain(|(other, _)| *other != party);
                let nobody = moving.ringing.is_empty();
                for leg in gone {
                    self.want_gone(key, leg, release);
                }
                if nobody {
                    self.try_next(key, "unreachable", out);
                }
            }
            CallState::Talking(_) => self.aside_withdrawn(key, release, out),
            _ => {}
        }
    }

    pub(crate) fn party_name(&self, party: &Party) -> Name {
        match party {
            Party::Agent(agent) => self.agents[*agent].name.clone(),
            Party::Outside(name) => name.clone(),
        }
    }

    fn write_move(&self, key: CallKey, target: &str, result: &'static str, out: &mut Output) {
        let CallState::Moving(moving) = &self.calls[key].state else { return };
        let agent = moving.back.and_then(|back| self.agents.get(back)).map(|agent| agent.name.clone());
        self.write_transfer(key, agent, moving.kind.name(), target, result, out);
    }

    pub(crate) fn write_transfer(
        &self,
        key: CallKey,
        agent: Option<Name>,
        kind: &'static str,
        target: &str,
        result: &'static str,
        out: &mut Output,
    ) {
        let agent = agent.unwrap_or_else(|| self.empty.clone());
        let record = TransferRecord { call: self.calls[key].id, agent, kind, target: target.to_owned(), result };
        self.write(RecordKind::Transfer(record), out);
    }
}

fn with_times(targets: &[(Target, u64)]) -> Vec<(Target, u64)> {
    let default = u64::from(FORWARD_SECONDS_DEFAULT) * 1000;
    targets.iter().map(|(target, ms)| (target.clone(), if *ms == 0 { default } else { *ms })).collect()
}

pub(crate) fn result_of(miss: Miss) -> &'static str {
    match miss {
        Miss::NoAnswer => "no-answer",
        Miss::Busy | Miss::Rejected => "busy",
        Miss::Unreachable => "unreachable",
    }
}
