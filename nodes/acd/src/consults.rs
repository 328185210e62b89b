//! A second conversation beside the caller: consult, swap, complete, conference, take back; star codes. Failure returns to the
//! caller.

use crate::command::{Accepted, CallControl, EndCause, Rejection, RejectionCode};
use crate::document::Target;
use crate::limits::CODE_DIGITS_MAX;
use crate::offers::miss;
use crate::output::Output;
use crate::rows::{Aside, AsideStage, CallState, LegWant, Move, MoveKind, Party, Release, Stage, Talk};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey};
use crate::transfers::result_of;
use crate::{CallId, Name};

impl Shard {
    pub(crate) fn consult_call(
        &mut self,
        id: CallId,
        agent: &str,
        target: &Target,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let (key, agent) = self.talk_of(id, agent)?;
        self.check_target(target)?;
        self.consult(key, agent, target, out)
    }

    fn consult(
        &mut self,
        key: CallKey,
        agent: AgentKey,
        target: &Target,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        if self.talk(key).is_none_or(|talk| talk.aside.is_some()) {
            return Err(Rejection::new(RejectionCode::WrongState, "the agent consults already"));
        }
        // A number of ours that leads to an agent is that agent.
        let target = match target {
            Target::Number(number) => match self.numbers.get(number.as_str()).map(|row| &row.policy) {
                Some(policy) if policy.agent.is_empty() => Target::Queue(policy.queue.clone()),
                Some(policy) => Target::Agent(policy.agent.clone()),
                None => target.clone(),
            },
            Target::Agent(_) | Target::Queue(_) | Target::Sip(_) => target.clone(),
        };
        let (party, contacts): (Party, Vec<LegWant>) = match &target {
            Target::Queue(_) => return Err(Rejection::new(RejectionCode::Invalid, "a queue cannot be consulted")),
            Target::Number(address) | Target::Sip(address) => {
                let address: Name = address.as_str().into();
                (Party::Outside(address.clone()), vec![LegWant::Dial { target: address, replaces: None }])
            }
            Target::Agent(name) => {
                let other = self.agent_key(name)?;
                let row = &self.agents[other];
                if other == agent || !row.available() {
                    return Err(Rejection::new(RejectionCode::WrongState, "the other agent is not available"));
                }
                (Party::Agent(other), row.reach().collect())
            }
        };
        self.hold(key, out);
        let name = self.party_name(&party);
        let legs = contacts.into_iter().map(|want| self.add_leg(key, Some(name.clone()), want)).collect();
        if let Party::Agent(other) = party {
            self.take_work(other, key, Stage::Reserved, out);
        }
        let until = self.now.saturating_add(self.centre.target_ring_ms());
        let aside = Aside { party, legs, stage: AsideStage::Ringing { until }, since: self.now };
        if let Some(talk) = self.talk_mut(key) {
            talk.aside = Some(Box::new(aside));
        }
        self.take_work(agent, key, Stage::Consulting, out);
        self.set_call_alarm(key);
        Ok(Accepted)
    }

    pub(crate) fn control_call(
        &mut self,
        id: CallId,
        agent: &str,
        control: CallControl,
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        if control == CallControl::TakeBack && self.call_back_from_move(id, agent, out)? {
            return Ok(Accepted);
        }
        let (key, agent) = self.talk_of(id, agent)?;
        let wrong = |what: &str| Err(Rejection::new(RejectionCode::WrongState, what));
        let stage = self.talk(key).and_then(|talk| talk.aside.as_ref()).map(|aside| aside.stage);
        match (control, stage) {
            (CallControl::Hold, None) => self.hold(key, out),
            (CallControl::Resume, None) => self.resume(key, out),
            (CallControl::Hold | CallControl::Resume, Some(_)) => return wrong("the agent consults"),
            (_, None) => return wrong("the agent does not consult"),
            (CallControl::Complete | CallControl::Leave, Some(_)) => self.complete(key, true, out),
            (CallControl::TakeBack, Some(_)) => {
                self.end_aside(key, "taken-back", out);
                self.resume(key, out);
            }
            (CallControl::Swap | CallControl::Conference, Some(AsideStage::Ringing { .. })) => {
                return wrong("the target has not answered yet");
            }
            (CallControl::Swap, Some(AsideStage::Caller)) => self.stage_aside(key, agent, AsideStage::Target, out),
            (CallControl::Swap, Some(AsideStage::Target | AsideStage::Conference)) => {
                self.stage_aside(key, agent, AsideStage::Caller, out);
            }
            (CallControl::Conference, Some(_)) => self.stage_aside(key, agent, AsideStage::Conference, out),
        }
        self.set_call_alarm(key);
        Ok(Accepted)
    }

    fn talk(&self, key: CallKey) -> Option<&Talk> {
        match &self.calls.get(key)?.state {
            CallState::Talking(talk) => Some(talk),
            _ => None,
        }
    }

    fn talk_mut(&mut self, key: CallKey) -> Option<&mut Talk> {
        match &mut self.calls[key].state {
            CallState::Talking(talk) => Some(talk),
            _ => None,
        }
    }

    /// Who hears whom, from now on.
    fn stage_aside(&mut self, key: CallKey, agent: AgentKey, stage: AsideStage, out: &mut Output) {
        let now = self.now;
        let caller = self.calls[key].caller_leg;
        let Some(talk) = self.talk_mut(key) else { return };
        let Some(aside) = &mut talk.aside else { return };
        aside.stage = stage;
        let (mine, theirs, party) = (talk.leg, aside.legs.first().copied(), aside.party.clone());
        let Some(theirs) = theirs else { return };
        let held = matches!(stage, AsideStage::Target | AsideStage::Ringing { .. });
        match (held, talk.held) {
            (true, None) => talk.held = Some(now),
            (false, Some(since)) => {
                talk.hold_ms += now - since;
                talk.held = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
        match stage {
            AsideStage::Ringing { .. } => {}
            AsideStage::Target => {
                self.want(key, caller, LegWant::Listen);
                self.want(key, mine, LegWant::Join { leg: theirs });
                self.want(key, theirs, LegWant::Join { leg: mine });
            }
            AsideStage::Caller => {
                self.want(key, theirs, LegWant::Listen);
                self.want(key, mine, LegWant::Join { leg: caller });
                self.want(key, caller, LegWant::Join { leg: mine });
            }
            AsideStage::Conference => {
                self.want(key, caller, LegWant::Meet { legs: [mine, theirs].into() });
                self.want(key, mine, LegWant::Meet { legs: [caller, theirs].into() });
                self.want(key, theirs, LegWant::Meet { legs: [caller, mine].into() });
            }
        }
        let work = if stage == AsideStage::Target { Stage::Consulting } else { Stage::Talking };
        self.take_work(agent, key, work, out);
        if let Party::Agent(other) = party {
            let work = match stage {
                AsideStage::Caller => Stage::Held,
                AsideStage::Conference => Stage::Talking,
                AsideStage::Target | AsideStage::Ringing { .. } => Stage::Consulting,
            };
            self.take_work(other, key, work, out);
        }
    }

    /// The consulted target has answered, by this leg.
    pub(crate) fn aside_answered(&mut self, key: CallKey, leg: u32, out: &mut Output) {
        let now = self.now;
        let Some(talk) = self.talk_mut(key) else { return };
        let Some(aside) = &mut talk.aside else { return };
        if !matches!(aside.stage, AsideStage::Ringing { .. }) {
            return;
        }
        let others: Vec<u32> = aside.legs.iter().copied().filter(|other| *other != leg).collect();
        aside.legs = vec![leg];
        aside.since = now;
        let party = talk.party.clone();
        for other in others {
            self.want_gone(key, other, Release::AnsweredElsewhere);
        }
        if let Party::Agent(agent) = party {
            self.stage_aside(key, agent, AsideStage::Target, out);
        }
        self.set_call_alarm(key);
    }

    /// A leg of the target has ended: back to the caller, unless another phone of it rings on.
    pub(crate) fn aside_failed(&mut self, key: CallKey, leg: u32, cause: EndCause, out: &mut Output) {
        let Some(talk) = self.talk_mut(key) else { return };
        let Some(aside) = &mut talk.aside else { return };
        aside.legs.retain(|other| *other != leg);
        let ringing = matches!(aside.stage, AsideStage::Ringing { .. });
        if ringing && !aside.legs.is_empty() {
            return;
        }
        let result = if ringing { result_of(miss(cause)) } else { "taken-back" };
        self.end_aside(key, result, out);
        self.resume(key, out);
        self.set_call_alarm(key);
    }

    /// The target's phone is taken back: the agent there is not to be rung any more.
    pub(crate) fn aside_withdrawn(&mut self, key: CallKey, release: Release, out: &mut Output) {
        let Some(talk) = self.talk_mut(key) else { return };
        let Some(aside) = talk.aside.take() else { return };
        let mine = self.talk(key).map(|talk| talk.party.clone());
        for leg in &aside.legs {
            self.want_gone(key, *leg, release);
        }
        let agent = mine.map(|party| self.party_name(&party));
        let name = self.party_name(&aside.party);
        self.write_transfer(key, agent, "consult", &name, "unreachable", out);
        self.resume(key, out);
        self.set_call_alarm(key);
    }

    pub(crate) fn expire_aside(&mut self, key: CallKey, out: &mut Output) {
        let now = self.now;
        let stage = self.talk(key).and_then(|talk| talk.aside.as_ref()).map(|aside| aside.stage);
        if let Some(AsideStage::Ringing { until }) = stage
            && until <= now
        {
            self.end_aside(key, "no-answer", out);
            self.resume(key, out);
        }
    }

    /// The second conversation is over. The caller's leg is the next step's business.
    pub(crate) fn end_aside(&mut self, key: CallKey, result: &'static str, out: &mut Output) {
        let now = self.now;
        let Some(talk) = self.talk_mut(key) else { return };
        let Some(aside) = talk.aside.take() else { return };
        let party = talk.party.clone();
        let release = if result == "no-answer" { Release::NoAnswer } else { Release::Withdrawn };
        for leg in &aside.legs {
            if self.calls[key].leg(*leg).is_some() {
                self.want_gone(key, *leg, release);
            }
        }
        let (agent, name) = (self.party_name(&party), self.party_name(&aside.party));
        self.write_transfer(key, Some(agent), "consult", &name, result, out);
        if let Party::Agent(other) = aside.party {
            if matches!(aside.stage, AsideStage::Ringing { .. }) {
                self.drop_work(other, key, result, out);
            } else {
                self.agents[other].counts.talk_ms += now - aside.since;
                self.agents[other].shift.talk_ms += now - aside.since;
                self.finish_talk(other, key, 0, out);
            }
        }
    }

    /// The target takes the caller, the agent is free. `leg_is_there`: the agent has not hung up.
    fn complete(&mut self, key: CallKey, leg_is_there: bool, out: &mut Output) {
        let Some(talk) = self.talk_mut(key) else { return };
        let Some(aside) = talk.aside.take() else { return };
        let (leg, party) = (talk.leg, talk.party.clone());
        let Party::Agent(agent) = party else { return };
        if let Some(queue) = self.calls[key].line.as_ref().map(|line| line.queue) {
            self.queues[queue].counts.transferred_out += 1;
        }
        self.agents[agent].counts.transferred_out += 1;
        let (from, name) = (self.agents[agent].name.clone(), self.party_name(&aside.party));
        self.end_part(key, out);
        if leg_is_there {
            self.want_gone(key, leg, Release::Transferred);
        }
        if let AsideStage::Ringing { until } = aside.stage {
            // Not answered yet: it becomes a blind transfer.
            let ringing = aside.legs.iter().map(|leg| (aside.party.clone(), *leg)).collect();
            let back = self.agents.get(agent).map(|_| agent);
            let moving = Move { kind: MoveKind::Blind, back, ringing, until, since: aside.since, next: Vec::new() };
            self.calls[key].state = CallState::Moving(Box::new(moving));
            self.calls[key].hops = self.calls[key].hops.saturating_add(1);
            return self.set_call_alarm(key);
        }
        self.write_transfer(key, Some(from), "consult", &name, "done", out);
        if let Party::Agent(other) = aside.party {
            self.agents[other].counts.transferred_in += 1;
        }
        let leg = aside.legs.first().copied().expect("an answered target has a leg");
        self.join_party(key, &aside.party, leg, 0, out);
    }

    /// The agent has hung up while consulting: that completes the transfer.
    pub(crate) fn party_left_aside(&mut self, key: CallKey, _: EndCause, out: &mut Output) {
        self.complete(key, false, out);
    }

    /// The agent wants a blind transfer back that still rings. Whether there was one.
    fn call_back_from_move(&mut self, id: CallId, agent: &str, out: &mut Output) -> Result<bool, Rejection> {
        let key = self.living_call(id)?;
        let agent = self.agent_key(agent)?;
        let CallState::Moving(moving) = &mut self.calls[key].state else { return Ok(false) };
        if moving.back != Some(agent) {
            return Err(Rejection::new(RejectionCode::WrongState, "it is not the agent's call"));
        }
        moving.next.clear();
        self.end_move(key, "taken-back", out);
        self.give_up_move(key, "taken-back", out);
        Ok(true)
    }

    /// A digit of an agent: star codes are collected until `#`.
    pub(crate) fn press_code(&mut self, key: CallKey, leg: u32, digit: char, out: &mut Output) {
        let Some(talk) = self.talk_mut(key).filter(|talk| talk.leg == leg) else { return };
        if talk.code.is_empty() && digit != '*' {
            return;
        }
        if digit != '#' {
            if talk.code.len() < CODE_DIGITS_MAX {
                talk.code.push(digit);
            }
            return;
        }
        let code = std::mem::take(&mut talk.code);
        let Party::Agent(agent) = talk.party else { return };
        let number = |prefix: &str| code.strip_prefix(prefix).filter(|number| !number.is_empty());
        if let Some(number) = number(self.centre.blind_code()) {
            let target = Target::Number(number.to_owned());
            self.blind_transfer(key, agent, target, out);
        } else if let Some(number) = number(self.centre.consult_code()) {
            let target = Target::Number(number.to_owned());
            // Who cannot be consulted is not: the agent stays with the caller.
            let _ = self.consult(key, agent, &target, out);
        }
    }
}
