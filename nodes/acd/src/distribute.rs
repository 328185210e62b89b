//! Matching waiting calls with ready agents, in the one total order of `lib.rs`; nothing else gives a call to an agent.

use crate::document::Strategy;
use crate::limits::CANDIDATES_MAX;
use crate::line::Line;
use crate::output::{Candidate, DecisionRecord, Exclusion, Output, RecordKind};
use crate::pools::{figure, imagined};
use crate::rows::{Call, CallState, Class, ClassKey, InLine, Standing};
use crate::shard::Shard;
use crate::table::{AgentKey, CallKey, QueueKey};

/// Which of two calls an agent takes: the lesser one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// 0: waits for this agent alone.
    own: u8,
    /// 255 less the weight of the queue for the agent.
    weight: u8,
    priority: u8,
    /// Less the score: waited times ageing.
    score: i128,
    sequence: u64,
}

impl Shard {
    /// Afterwards no call waits that an available agent could take.
    ///
    /// Only who became available and what became matchable since the last time needs a look: all others were left
    /// unservable.
    pub(crate) fn distribute(&mut self, out: &mut Output) {
        while !(self.fresh.agents.is_empty() && self.fresh.calls.is_empty() && self.fresh.queues.is_empty()) {
            for queue in std::mem::take(&mut self.fresh.queues) {
                self.look_through(queue, out);
            }
            let mut agents = std::mem::take(&mut self.fresh.agents);
            if let ([agent], true) = (agents.as_slice(), self.fresh.calls.is_empty()) {
                self.serve_agent(*agent, out);
                agents.clear();
                self.fresh.agents.append(&mut agents);
                continue;
            }
            agents.retain(|key| self.agents.get(*key).is_some_and(|agent| agent.available()));
            agents.sort_by_key(|key| self.agents[*key].rank);
            agents.dedup();
            for agent in &agents {
                self.join_pools(*agent);
            }
            let mut calls = std::mem::take(&mut self.fresh.calls);
            for agent in agents {
                while self.agents.get(agent).is_some_and(|row| row.available())
                    && let Some((queue, call)) = self.best_call(agent)
                {
                    self.serve(call, queue, agent, out);
                }
            }
            calls.retain(|key| self.is_waiting(*key));
            calls.sort_by_key(|key| self.calls[*key].line.as_ref().map(|line| line.place));
            calls.dedup();
            if let [call] = calls.as_slice() {
                self.serve_call(*call, out);
                continue;
            }
            for call in calls {
                self.serve_in_turn(call, out);
            }
        }
    }

    fn is_waiting(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| call.state == CallState::Waiting && call.homeless.is_none())
    }

    /// A queue in which something changed for all who wait.
    fn look_through(&mut self, key: QueueKey, out: &mut Output) {
        if self.queues.get(key).is_none() {
            return;
        }
        self.leave_if_nobody(key, out);
        if self.queues.get(key).is_none() {
            return;
        }
        if self.queues[key].policy.document.leave.is_some() {
            self.look_at_the_clock(key);
        }
        let queue = &self.queues[key];
        self.fresh.calls.extend(queue.classes.values().flat_map(|line| line.iter().map(|(_, call)| call)));
    }

    /// One agent has become available, and nothing else has happened.
    fn serve_agent(&mut self, agent: AgentKey, out: &mut Output) {
        if !self.agents.get(agent).is_some_and(|row| row.available()) {
            return;
        }
        while self.agents.get(agent).is_some_and(|row| row.available())
            && let Some((queue, call)) = self.best_call(agent)
        {
            self.serve(call, queue, agent, out);
        }
        if self.agents.get(agent).is_some_and(|row| row.available() && row.seats.is_empty()) {
            self.join_pools(agent);
        }
    }

    /// The call that an agent takes next, over all queues, and the queue it comes from.
    fn best_call(&self, key: AgentKey) -> Option<(QueueKey, CallKey)> {
        let agent = &self.agents[key];
        let mut best: Option<(Turn, QueueKey, CallKey)> = None;
        let mut consider = |queue_key: QueueKey, ageing: u64, line: &Line, own: u8, weight: u8| {
            let Some((place, call)) = line.first() else { return };
            let waited = i128::from(self.now as i64 - place.effective);
            let turn = Turn {
                own,
                weight: 255 - weight,
                priority: place.priority,
                score: -waited * i128::from(ageing),
                sequence: place.sequence,
            };
            if best.is_none_or(|(other, ..)| turn < other) {
                best = Some((turn, queue_key, call));
            }
        };
        for key_of_queue in &agent.own {
            let queue = &self.queues[*key_of_queue];
            if let Some(line) = queue.classes.get(&ClassKey::Own(key)) {
                consider(*key_of_queue, queue.policy.ageing(), line, 0, 0);
            }
        }
        for member in &agent.members {
            let queue = &self.queues[member.queue];
            for (class, line) in &queue.classes {
                if let ClassKey::Open { demand, tier, shuns } = class
                    && agent.is_able(*demand)
                    && *shuns != Some(key)
                    && (*tier >= member.tier || queue.open_tier(*tier) >= member.tier)
                    && (queue.policy.document.strategy != Strategy::External
                        || self.may_ask(member.queue, *demand, *tier, agent.seats.is_empty()))
                {
                    consider(member.queue, queue.policy.ageing(), line, 1, member.weight);
                }
            }
        }
        best.map(|(_, queue, call)| (queue, call))
    }

    /// A waiting call for which `agent` is available: who takes it is the queue's strategy to say.
    fn serve(&mut self, call: CallKey, queue: QueueKey, agent: AgentKey, out: &mut Output) {
        let line = self.calls[call].line.as_deref().expect("a waiting call is in line");
        if let Some(wanted) = line.wanted.filter(|wanted| wanted.agent == agent) {
            return self.give(call, queue, agent, wanted.wish.cause(), out);
        }
        let strategy = self.queues[queue].policy.document.strategy;
        let alone = self.agents[agent].seats.is_empty();
        if strategy.is_single() && alone {
            // Nobody else could take it, or it would not have waited.
            return self.give(call, queue, agent, "", out);
        }
        if alone {
            self.join_pools(agent);
        }
        self.choose(call, queue, strategy, out);
    }

    /// One of several calls that have become matchable at once: whoever is free for it may have to take another one first.
    fn serve_in_turn(&mut self, key: CallKey, out: &mut Output) {
        while self.is_waiting(key) {
            let line = self.calls[key].line.as_deref().expect("a waiting call is in line");
            if line.wanted.is_some() {
                return self.serve_call(key, out);
            }
            let queues: Vec<QueueKey> = std::iter::once(line.queue).chain(line.more.iter().copied()).collect();
            let known = |queue: &QueueKey| self.queues.get(*queue).is_some();
            let queues: Vec<QueueKey> = queues.into_iter().filter(known).collect();
            let free = queues.into_iter().find_map(|queue| self.pick_some(key, queue, 1, false, &[]).first().copied());
            let Some(agent) = free else { return };
            match self.best_call(agent) {
                Some((queue, best)) if best != key => {
                    self.serve(best, queue, agent, out);
                    if self.is_waiting(best) {
                        return self.serve_call(key, out);
                    }
                }
                Some(_) | None => return self.serve_call(key, out),
            }
        }
    }

    /// A call that has become matchable.
    fn serve_call(&mut self, key: CallKey, out: &mut Output) {
        if !self.is_waiting(key) {
            return;
        }
        let line = self.calls[key].line.as_deref().expect("a waiting call is in line");
        if let Some(wanted) = line.wanted {
            if self.agents.get(wanted.agent).is_some_and(|agent| agent.available()) {
                self.give(key, line.queue, wanted.agent, wanted.wish.cause(), out);
            }
            return;
        }
        let queues: Vec<QueueKey> = std::iter::once(line.queue).chain(line.more.iter().copied()).collect();
        for queue in queues {
            if self.is_waiting(key) && self.queues.get(queue).is_some() {
                let strategy = self.queues[queue].policy.document.strategy;
                self.choose(key, queue, strategy, out);
            }
        }
    }

    /// Lets the strategy choose among the available members; nothing happens when there is none.
    pub(crate) fn choose(&mut self, call: CallKey, queue: QueueKey, strategy: Strategy, out: &mut Output) {
        match strategy {
            Strategy::RingAll => self.ring_all(call, queue, out),
            Strategy::Progressive => self.ring_step(call, queue, 0, out),
            Strategy::External => self.ask_chooser(call, queue, out),
            Strategy::LongestIdle
            | Strategy::RoundRobin
            | Strategy::Linear
            | Strategy::FewestCalls
            | Strategy::LeastTalk
            | Strategy::LeastOccupied
            | Strategy::MostSkilled
            | Strategy::Random
            | Strategy::WeightedRandom => self.choose_one(call, queue, out),
        }
    }

    pub(crate) fn choose_one(&mut self, call: CallKey, queue: QueueKey, out: &mut Output) {
        let Some((standing, agent)) = self.pick(call, queue) else { return };
        self.give(call, queue, agent, "", out);
        self.note_choice(call, queue, &standing);
    }

    /// What the queue remembers of who was chosen.
    pub(crate) fn note_choice(&mut self, call: CallKey, key: QueueKey, standing: &Standing) {
        let demand = self.calls[call].line.as_ref().map_or(0, |line| line.demand);
        let queue = &mut self.queues[key];
        match queue.policy.single() {
            Strategy::Random | Strategy::WeightedRandom => {
                if let Some(pool) = queue.pools.iter_mut().find(|pool| pool.demand == demand) {
                    pool.luck = pool.luck.max(standing.key);
                }
            }
            _ => {}
        }
    }

    /// Who is first for a call among the available members.
    fn pick(&mut self, call: CallKey, queue: QueueKey) -> Option<(Standing, AgentKey)> {
        let (pool, open, shuns) = self.terms(call, queue);
        let row = &self.queues[queue];
        let ready = &row.pools[pool].ready;
        let fits = |(standing, agent): &(&Standing, &AgentKey)| standing.tier <= open && Some(**agent) != shuns;
        let (first, agent) = ready.iter().take_while(|(standing, _)| standing.tier <= open).find(fits)?;
        if row.policy.single() == Strategy::RoundRobin
            && let Some(last) = row.cursor
        {
            let next = Standing { tier: first.tier, key: u64::from(last) + 1, since: 0, sequence: 0 };
            let beyond = Standing { tier: first.tier + 1, key: 0, since: 0, sequence: 0 };
            if let Some((standing, agent)) = ready.range(next..beyond).find(fits) {
                return Some((*standing, *agent));
            }
        }
        Some((*first, *agent))
    }

    /// The first so many for a call, without those in `not`.
    pub(crate) fn pick_some(
        &mut self,
        call: CallKey,
        queue: QueueKey,
        most: usize,
        one_tier: bool,
        not: &[AgentKey],
    ) -> Vec<AgentKey> {
        let (pool, open, shuns) = self.terms(call, queue);
        let ready = self.queues[queue].pools[pool].ready.iter();
        let mut fit = ready
            .take_while(|(standing, _)| standing.tier <= open)
            .filter(|(_, agent)| Some(**agent) != shuns && !not.contains(agent))
            .peekable();
        let tier = fit.peek().map(|(standing, _)| standing.tier);
        fit.filter(|(standing, _)| !one_tier || Some(standing.tier) == tier)
            .map(|(_, agent)| *agent)
            .take(most)
            .collect()
    }

    /// What a call demands of a queue's members: the pool, the tiers that are open, who is not to get it.
    fn terms(&mut self, call: CallKey, queue: QueueKey) -> (usize, u8, Option<AgentKey>) {
        let line = self.calls[call].line.as_deref().expect("a call to be matched is in line");
        let (demand, tier, shuns) = (line.demand, line.tier, line.shuns);
        let open = self.queues[queue].open_tier(tier);
        let pool = self.pool(queue, demand);
        if self.queues[queue].policy.single() == Strategy::LeastOccupied {
            self.refresh_occupancy(queue, pool);
        }
        (pool, open, shuns)
    }

    /// Offers the call to one agent.
    pub(crate) fn give(
        &mut self,
        call: CallKey,
        queue: QueueKey,
        agent: AgentKey,
        cause: &'static str,
        out: &mut Output,
    ) {
        let decision = self.explain(call, queue, &[agent], cause);
        self.write(RecordKind::Decision(Box::new(decision)), out);
        let member = self.agents[agent].member(queue).map(|member| member.order);
        if let Some(order) = member {
            self.queues[queue].cursor = Some(order);
        }
        if self.calls[call].line.as_ref().is_some_and(|line| line.callback.is_some()) {
            return self.call_back(call, queue, agent, out);
        }
        let mut ring_ms = self.queues[queue].policy.ring_ms();
        if cause == "direct"
            && let Some((after_ms, ..)) = self.no_answer_rule(agent)
        {
            ring_ms = ring_ms.min(after_ms);
        }
        self.offer(call, queue, &[agent], self.now.saturating_add(ring_ms), false, out);
    }

    /// Why this call goes to these agents.
    pub(crate) fn explain(
        &self,
        call: CallKey,
        queue_key: QueueKey,
        chosen: &[AgentKey],
        cause: &'static str,
    ) -> DecisionRecord {
        let queue = &self.queues[queue_key];
        let row: &Call = &self.calls[call];
        let line: &InLine = row.line.as_deref().expect("a call that is offered is in line");
        let strategy = queue.policy.single();
        let name = |key: AgentKey| self.agents[key].name.clone();
        let first = chosen[0];
        let open = queue.open_tier(line.tier);
        let alone = self.agents[first].seats.is_empty() || !cause.is_empty();
        let pool = queue.pools.iter().find(|pool| pool.demand == line.demand);
        let shunned = line.shuns.filter(|agent| {
            let row = &self.agents[*agent];
            row.class() == Class::Ready && row.member(queue_key).is_some_and(|member| member.tier <= open)
        });
        let sits = |pool: &crate::rows::Pool| shunned.is_some_and(|key| pool.ready.values().any(|agent| *agent == key));
        let fit = pool.map(|pool| {
            let ready = pool.ready.iter().take_while(|(standing, _)| standing.tier <= open);
            ready.filter(|(_, agent)| Some(**agent) != shunned)
        });
        let (candidates, total): (Vec<Candidate>, usize) = match fit {
            Some(fit) if !alone => {
                let more_tiers = pool
                    .is_some_and(|pool| pool.ready.last_key_value().is_some_and(|(standing, _)| standing.tier > open));
                let total = match pool {
                    Some(pool) if !more_tiers => pool.ready.len() - usize::from(sits(pool)),
                    Some(_) | None => fit.clone().count(),
                };
                let mut named: Vec<Candidate> = fit
                    .take(CANDIDATES_MAX)
                    .map(|(standing, agent)| Candidate {
                        agent: name(*agent),
                        figure: figure(strategy, standing, self.now),
                    })
                    .collect();
                // Round robin goes on from the last one: who is chosen leads the list.
                if let Some(at) = named.iter().position(|candidate| candidate.agent == self.agents[first].name) {
                    named[..=at].rotate_right(1);
                }
                (named, total)
            }
            Some(_) | None => {
                let agent = &self.agents[first];
                let asked = &self.demands.get(line.demand).asked;
                let standing = imagined(queue, agent, agent.member(queue_key), asked, self.now);
                (vec![Candidate { agent: name(first), figure: figure(strategy, &standing, self.now) }], 1)
            }
        };
        let tied = candidates.len() > 1 && candidates[0].figure == candidates[1].figure;
        let tier_of = |name: &crate::Name| {
            let member = self.agent_names.get(name).and_then(|key| self.agents[*key].member(queue_key));
            member.map_or(0, |member| member.tier)
        };
        let mut exclusions: Vec<Exclusion> = Class::EXCLUDED
            .iter()
            .map(|(class, reason)| Exclusion { reason, agents: queue.count(*class) })
            .filter(|exclusion| exclusion.agents > 0)
            .collect();
        let closed: u32 = queue.staff.iter().skip(usize::from(open) + 1).map(|tier| tier[Class::Ready as usize]).sum();
        let ready = queue.count(Class::Ready);
        let sent_on = u32::from(shunned.is_some_and(|agent| !chosen.contains(&agent)));
        let unskilled = ready.saturating_sub(closed).saturating_sub(total as u32).saturating_sub(sent_on);
        if sent_on > 0 {
            exclusions.push(Exclusion { reason: "sent-it-on", agents: sent_on });
        }
        if closed > 0 {
            exclusions.push(Exclusion { reason: "tier-closed", agents: closed });
        }
        if unskilled > 0 {
            exclusions
                .push(Exclusion { reason: if cause.is_empty() { "skills" } else { "not-wanted" }, agents: unskilled });
        }
        DecisionRecord {
            call: row.id,
            queue: queue.name.clone(),
            strategy: queue.policy.document.strategy.name(),
            chosen: name(first),
            candidates_total: total as u32,
            exclusions,
            waited_ms: self.now - line.joined,
            position: queue.before(line.place) as u32 + 1,
            tie_break: if candidates.len() > 1 && matches!(strategy, Strategy::Random | Strategy::WeightedRandom) {
                "dice"
            } else if !tied {
                ""
            } else if tier_of(&candidates[0].agent) != tier_of(&candidates[1].agent) {
                "tier"
            } else if strategy == Strategy::LongestIdle {
                "first to become ready"
            } else {
                "idle longest"
            },
            also: chosen[1..].iter().map(|key| name(*key)).collect(),
            rules: self.rules,
            tier: self.agents[first].member(queue_key).map_or(0, |member| u32::from(member.tier)),
            skills: self.demands.get(line.demand).text.clone(),
            cause,
            candidates,
        }
    }
}
