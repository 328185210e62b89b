//! Offers: phones that ring for a call, until one is answered or the time is up; never who is chosen.

use crate::agents::Miss;
use crate::command::{Accepted, EndCause, Rejection, RejectionCode};
use crate::document::{ProgressiveMode, Target};
use crate::limits::CHOOSER_CANDIDATES_MAX;
use crate::output::{Ask, Candidate, Output, RecordKind};
use crate::pools::{figure, imagined};
use crate::rows::{CallState, LegWant, Offer, Release, Ringing, Stage};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, QueueKey};
use crate::{CallId, Timestamp};

impl Shard {
    /// Rings these agents for a call that is in line.
    pub(crate) fn offer(
        &mut self,
        key: CallKey,
        queue: QueueKey,
        agents: &[AgentKey],
        until: Timestamp,
        many: bool,
        out: &mut Output,
    ) {
        self.leave_line(key);
        self.keep_place(key);
        let call = &mut self.calls[key];
        call.offers = call.offers.saturating_add(1);
        let since = self.now;
        let offer = Offer { ringing: Vec::new(), since, until, step: 0, tried: Vec::new(), queue, many };
        call.state = CallState::Offered(Box::new(offer));
        for agent in agents {
            self.ring(key, *agent, out);
        }
        self.set_call_alarm(key);
    }

    fn ring(&mut self, key: CallKey, agent: AgentKey, out: &mut Output) {
        let row = &self.agents[agent];
        let phones: Vec<LegWant> = row.reach().collect();
        let name = row.name.clone();
        self.agents[agent].counts.offered += 1;
        self.take_work(agent, key, Stage::Reserved, out);
        for want in phones {
            let leg = self.add_leg(key, Some(name.clone()), want);
            if let CallState::Offered(offer) = &mut self.calls[key].state {
                offer.ringing.push(Ringing { agent, leg });
            }
        }
    }

    pub(crate) fn ring_all(&mut self, key: CallKey, queue: QueueKey, out: &mut Output) {
        let policy = &self.queues[queue].policy;
        let (most, one_tier, ring_ms) = (policy.ring_max(), policy.document.ring_one_tier, policy.ring_ms());
        let agents = self.pick_some(key, queue, most, one_tier, &[]);
        if agents.is_empty() {
            return;
        }
        let decision = self.explain(key, queue, &agents, "");
        self.write(RecordKind::Decision(Box::new(decision)), out);
        if self.calls[key].line.as_ref().is_some_and(|line| line.callback.is_some()) {
            return self.call_back(key, queue, agents[0], out);
        }
        self.offer(key, queue, &agents, self.now.saturating_add(ring_ms), true, out);
    }

    /// Rings the agents of a progressive step, and of those after it while nobody is there.
    pub(crate) fn ring_step(&mut self, key: CallKey, queue: QueueKey, first: u16, out: &mut Output) {
        let document = &self.queues[queue].policy.document;
        let replace = document.progressive == ProgressiveMode::Replace;
        let (most, seconds) = match document.steps.get(usize::from(first)) {
            Some(step) => (step.agents as usize, step.seconds),
            None => return,
        };
        let until = self.now.saturating_add(u64::from(seconds.max(1)) * 1000);
        let mut not: Vec<AgentKey> = Vec::new();
        if let CallState::Offered(offer) = &self.calls[key].state {
            not.extend(offer.ringing.iter().map(|ringing| ringing.agent));
            not.extend(&offer.tried);
        }
        let agents = self.pick_some(key, queue, most.max(1), false, &not);
        if let CallState::Offered(_) = &self.calls[key].state {
            if replace {
                self.end_round(key, Release::NoAnswer, Miss::NoAnswer, out);
            }
            let CallState::Offered(offer) = &mut self.calls[key].state else { return };
            if replace {
                offer.tried = not;
            }
            offer.step = first;
            offer.until = until;
            if agents.is_empty() {
                if offer.ringing.is_empty() {
                    self.return_call(key);
                }
                return self.set_call_alarm(key);
            }
        } else if agents.is_empty() {
            return;
        }
        let decision = self.explain(key, queue, &agents, "");
        self.write(RecordKind::Decision(Box::new(decision)), out);
        if self.calls[key].line.as_ref().is_some_and(|line| line.callback.is_some()) {
            return self.call_back(key, queue, agents[0], out);
        }
        if let CallState::Offered(_) = &self.calls[key].state {
            for agent in agents {
                self.ring(key, agent, out);
            }
        } else {
            self.offer(key, queue, &agents, until, true, out);
        }
        self.set_call_alarm(key);
    }

    /// The offer's time is up.
    pub(crate) fn expire_offer(&mut self, key: CallKey, out: &mut Output) {
        let CallState::Offered(offer) = &self.calls[key].state else { return };
        let (queue, step) = (offer.queue, offer.step);
        let steps = &self.queues[queue].policy.document.steps;
        let progressive = self.queues[queue].policy.document.strategy == crate::document::Strategy::Progressive;
        if progressive && offer.many && usize::from(step) + 1 < steps.len() {
            return self.ring_step(key, queue, step + 1, out);
        }
        let direct = self.rings_direct(key);
        self.end_round(key, Release::NoAnswer, Miss::NoAnswer, out);
        self.return_call(key);
        self.forward_unanswered(key, direct, out);
    }

    /// The agent for whom a direct call rings.
    fn rings_direct(&self, key: CallKey) -> Option<AgentKey> {
        let wanted = self.calls[key].line.as_deref()?.wanted?;
        (wanted.wish == crate::rows::Wish::Direct).then_some(wanted.agent)
    }

    /// A direct call that its agent did not answer goes where the agent's rule says.
    fn forward_unanswered(&mut self, key: CallKey, direct: Option<AgentKey>, out: &mut Output) {
        let Some(agent) = direct.filter(|agent| self.agents.get(*agent).is_some()) else { return };
        let Some((_, targets, group)) = self.no_answer_rule(agent) else { return };
        self.forward(key, agent, targets, group, out);
    }

    /// All phones stop; who rang did not answer.
    fn end_round(&mut self, key: CallKey, release: Release, miss: Miss, out: &mut Output) {
        let CallState::Offered(offer) = &mut self.calls[key].state else { return };
        let (ringing, queue, many) = (std::mem::take(&mut offer.ringing), offer.queue, offer.many);
        for Ringing { leg, .. } in &ringing {
            self.want_gone(key, *leg, release);
        }
        let mut agents: Vec<AgentKey> = ringing.iter().map(|ringing| ringing.agent).collect();
        agents.dedup();
        for agent in agents {
            self.blame(agent, miss, queue, many, key, out);
        }
    }

    /// An agent who rings is rung no more. The agent's own state is the caller's business.
    pub(crate) fn take_back(&mut self, key: CallKey, agent: AgentKey, release: Release, out: &mut Output) {
        match &mut self.calls[key].state {
            CallState::Offered(offer) => {
                let gone: Vec<u32> =
                    offer.ringing.iter().filter(|ringing| ringing.agent == agent).map(|ringing| ringing.leg).collect();
                offer.ringing.retain(|ringing| ringing.agent != agent);
                let nobody = offer.ringing.is_empty();
                for leg in gone {
                    self.want_gone(key, leg, release);
                }
                if nobody {
                    self.return_call(key);
                }
            }
            CallState::Calling { leg, .. } => {
                let leg = *leg;
                self.want_gone(key, leg, release);
                self.return_call(key);
            }
            CallState::Waiting
            | CallState::Asking { .. }
            | CallState::Moving(_)
            | CallState::Talking(_)
            | CallState::Leaving { .. }
            | CallState::Ended { .. } => self.take_target_back(key, agent, release, out),
        }
    }

    /// A leg that rang an agent has ended without an answer.
    pub(crate) fn ring_failed(
        &mut self,
        key: CallKey,
        leg: u32,
        cause: EndCause,
        moved_to: Vec<(Target, u64)>,
        out: &mut Output,
    ) {
        let CallState::Offered(offer) = &mut self.calls[key].state else { return };
        let Some(at) = offer.ringing.iter().position(|ringing| ringing.leg == leg) else { return };
        let agent = offer.ringing.remove(at).agent;
        let (queue, many, step) = (offer.queue, offer.many, offer.step);
        if offer.ringing.iter().any(|ringing| ringing.agent == agent) {
            return; // another phone of the same agent rings on
        }
        let nobody = offer.ringing.is_empty();
        if nobody && !moved_to.is_empty() && self.may_hop(key) {
            // 3xx: as if a rule of the agent's had sent the call on.
            self.drop_work(agent, key, "moved", out);
            if self.calls.get(key).is_some_and(|call| matches!(call.state, CallState::Offered(_))) {
                self.forward(key, agent, moved_to, false, out);
            }
            return;
        }
        let direct = self.rings_direct(key).filter(|_| miss(cause) == Miss::NoAnswer);
        self.blame(agent, miss(cause), queue, many, key, out);
        if nobody {
            if many && usize::from(step) + 1 < self.queues[queue].policy.document.steps.len() {
                return self.ring_step(key, queue, step + 1, out);
            }
            self.return_call(key);
            self.forward_unanswered(key, direct, out);
        }
    }

    /// Takes all phones back: the caller has left or moved on. Nobody is blamed.
    pub(crate) fn withdraw_offer(&mut self, key: CallKey, release: Release, reason: &str, out: &mut Output) {
        let CallState::Offered(offer) = &mut self.calls[key].state else { return };
        let ringing = std::mem::take(&mut offer.ringing);
        let mut agents: Vec<AgentKey> = ringing.iter().map(|ringing| ringing.agent).collect();
        agents.dedup();
        for Ringing { leg, .. } in ringing {
            self.want_gone(key, leg, release);
        }
        for agent in agents {
            self.drop_work(agent, key, reason, out);
        }
    }

    /// Asks the queue's chooser; the fallback decides when it is silent.
    pub(crate) fn ask_chooser(&mut self, key: CallKey, queue: QueueKey, out: &mut Output) {
        let Some(chooser) = &self.queues[queue].policy.document.chooser else {
            return self.choose_one(key, queue, out);
        };
        let endpoint = chooser.endpoint.clone();
        let line = self.calls[key].line.as_deref().expect("a call to be matched is in line");
        if !self.may_ask(queue, line.demand, line.tier, false) {
            return;
        }
        let agents = self.pick_some(key, queue, CHOOSER_CANDIDATES_MAX, false, &[]);
        if agents.is_empty() {
            return;
        }
        let deadline_ms = self.queues[queue].policy.chooser_ms();
        self.asked += 1;
        self.leave_line(key);
        self.keep_place(key);
        let ask = self.asked;
        self.calls[key].state = CallState::Asking { ask, until: self.now.saturating_add(deadline_ms) };
        self.set_call_alarm(key);
        let demand = self.calls[key].line.as_ref().map_or(0, |line| line.demand);
        let asked = self.demands.get(demand).asked.clone();
        let row = &self.queues[queue];
        let candidates = agents.iter().map(|agent| {
            let agent = &self.agents[*agent];
            let standing = imagined(row, agent, agent.member(queue), &asked, self.now);
            Candidate { agent: agent.name.clone(), figure: figure(row.policy.single(), &standing, self.now) }
        });
        let candidates = candidates.collect();
        out.asks.push(Ask { candidates, ..self.ask(key, ask, endpoint, deadline_ms) });
    }

    /// No more is asked at once than there are agents to be chosen: the others in line are asked about when it is answered.
    /// `one_more`: an agent without a seat yet counts too.
    pub(crate) fn may_ask(&self, queue: QueueKey, demand: u32, tier: u8, one_more: bool) -> bool {
        let row = &self.queues[queue];
        let asks = row.offered.values().filter(|call| {
            let call = &self.calls[**call];
            matches!(call.state, CallState::Asking { .. })
                && call.line.as_deref().is_some_and(|line| line.demand == demand)
        });
        let asks = asks.count();
        let Some(pool) = row.pools.iter().find(|pool| pool.demand == demand) else { return true };
        let open = row.open_tier(tier);
        let seated = pool.ready.keys().take_while(|standing| standing.tier <= open).take(asks + 1).count();
        asks < seated + usize::from(one_more)
    }

    /// An answer is not waited for any more: somebody else in line may be asked about.
    pub(crate) fn ask_ends(&mut self, key: CallKey) {
        let line = self.calls[key].line.as_deref().expect("a call that is asked about is in line");
        for queue in std::iter::once(line.queue).chain(line.more.iter().copied()) {
            let pool = self.queues.get(queue).and_then(|row| row.pools.iter().find(|pool| pool.demand == line.demand));
            self.fresh.agents.extend(pool.and_then(|pool| pool.ready.values().next()));
        }
    }

    fn ask(&self, key: CallKey, ask: u64, endpoint: String, deadline_ms: u64) -> Ask {
        let call = &self.calls[key];
        let line = call.line.as_deref().expect("a call that is asked about is in line");
        Ask {
            ask,
            call: call.id,
            queue: self.queues[line.queue].name.clone(),
            endpoint,
            deadline_ms: deadline_ms as u32,
            caller: call.caller.clone(),
            number: call.number.clone(),
            waited_ms: self.now - line.joined,
            candidates: Vec::new(),
        }
    }

    /// Asks that wait for an answer, without candidates: for a leader that begins. Walks all calls.
    pub fn standing_asks(&self) -> Vec<Ask> {
        let asking = self.calls.iter().filter_map(|(key, call)| match call.state {
            CallState::Asking { ask, until } => Some((key, ask, until)),
            _ => None,
        });
        asking
            .filter_map(|(key, ask, until)| {
                let queue = self.calls[key].line.as_ref()?.queue;
                let chooser = self.queues[queue].policy.document.chooser.as_ref()?;
                Some(self.ask(key, ask, chooser.endpoint.clone(), until.saturating_sub(self.now)))
            })
            .collect()
    }

    pub(crate) fn choose_agents(
        &mut self,
        id: CallId,
        ask: u64,
        agents: &[String],
        out: &mut Output,
    ) -> Result<Accepted, Rejection> {
        let key = self.call_key(id)?;
        let CallState::Asking { ask: asked, .. } = self.calls[key].state else {
            return Err(Rejection::new(RejectionCode::WrongState, "nobody is asked about this call"));
        };
        if ask != asked {
            return Err(Rejection::new(RejectionCode::Stale, "the answer is to another question"));
        }
        let line = self.calls[key].line.as_deref().expect("a call that is asked about is in line");
        let queue = line.queue;
        let shuns = line.shuns;
        let able = |agent: &AgentKey| {
            let row = &self.agents[*agent];
            row.available() && row.member(queue).is_some() && row.is_able(line.demand) && Some(*agent) != shuns
        };
        let chosen = agents.iter().filter_map(|name| self.agent_key(name).ok()).find(able);
        self.return_call(key);
        match chosen {
            Some(agent) => self.give(key, queue, agent, "chooser", out),
            None => self.choose_one(key, queue, out),
        }
        Ok(Accepted)
    }

    /// The chooser was silent.
    pub(crate) fn expire_ask(&mut self, key: CallKey, out: &mut Output) {
        let queue = self.calls[key].line.as_deref().expect("a call that is asked about is in line").queue;
        self.return_call(key);
        self.choose_one(key, queue, out);
    }
}

/// What an agent is blamed for.
pub(crate) fn miss(cause: EndCause) -> Miss {
    match cause {
        EndCause::NoAnswer => Miss::NoAnswer,
        EndCause::Busy => Miss::Busy,
        EndCause::Rejected | EndCause::Moved | EndCause::Hangup | EndCause::Cancelled => Miss::Rejected,
        EndCause::Unreachable
        | EndCause::Media
        | EndCause::Ordered
        | EndCause::Failed
        | EndCause::Lost
        | EndCause::Unspecified => Miss::Unreachable,
    }
}
