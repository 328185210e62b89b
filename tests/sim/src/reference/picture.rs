//! What the model knows: agents, lines and rules as lists. Changed by words only; decides nothing.

use proto::v1::{self, Document, document::Kind};

/// A step-by-step offer is over within this after its steps, whatever rules it began under.
const STEPS_SLACK_MS: u64 = 20_000;

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    Offered,
    Talking,
}

/// A call that has joined a line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) call: u64,
    pub(super) queue: String,
    pub(super) stage: Stage,
    /// 1 is served first.
    pub(super) class: u32,
    /// Counts as the moment of joining: a boost is worth more where waiting counts less.
    pub(super) effective_ms: i128,
    /// Skills and levels that the number asks.
    pub(super) skills: Vec<(String, u32)>,
    /// Up to which tier time has opened.
    pub(super) tier: u32,
    pub(super) joined_ms: u64,
    /// Counts joinings.
    pub(super) number: u64,
    /// No gateway has the call since then.
    pub(super) homeless_ms: Option<u64>,
}

impl Line {
    /// Less is served first among the calls of one queue, where waiting counts equally.
    pub(super) fn claim(&self) -> (u32, i128, u64) {
        (self.class, self.effective_ms, self.number)
    }
}

/// Someone who answers.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) rules: v1::Agent,
    pub(super) state: String,
    pub(super) since_ms: u64,
    /// When the idle time began: moment and order.
    pub(super) rank: (u64, u64),
    pub(super) reserved_until_ms: u64,
    /// Rung by steps, or under rules that have changed since: the moment is a bound only.
    pub(super) roughly: bool,
    /// End of a wrap-up.
    pub(super) until_ms: Option<u64>,
    /// An own command ended the state.
    pub(super) asked: bool,
    /// The call that rings or talks.
    pub(super) call: u64,
    pub(super) last_talk_ms: u64,
    /// Talks and their milliseconds since the log-in.
    pub(super) talks: (u64, u64),
    /// What a newcomer to a queue is taken to have done: queue, talks, milliseconds.
    pub(super) entries: Vec<(String, u64, u64)>,
    /// Registered contacts: address and when it expires.
    pub(super) contacts: Vec<(String, u64)>,
}

/// All that the model knows.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) now_ms: u64,
    last_ms: u64,
    count: u64,
    pub(super) queues: Vec<v1::Queue>,
    numbers: Vec<v1::Number>,
    configured: Vec<v1::Agent>,
    pub(super) agents: Vec<Agent>,
    pub(super) lines: Vec<Line>,
    /// Of each queue the members up to the last one offered.
    pub(super) cursors: Vec<(String, Vec<String>)>,
    /// Calls that were offered when the step began.
    pub(super) offered_before: Vec<u64>,
    /// Who has become ready in it.
    pub(super) freed: Vec<String>,
}

impl Picture {
    pub(super) fn configure(&mut self, documents: &[Document]) {
        // Those who came since among them, for one of these may be next to the last one who stays.
        for (queue, offered) in std::mem::take(&mut self.cursors) {
            let last = offered.last().cloned().unwrap_or_default();
            self.offered(&queue, &last);
        }
        let kinds: Vec<Kind> = documents.iter().filter_map(|document| document.kind.clone()).collect();
        self.queues = kinds
            .iter()
            .filter_map(|kind| if let Kind::Queue(queue) = kind { Some(queue.clone()) } else { None })
            .collect();
        self.numbers = kinds
            .iter()
            .filter_map(|kind| if let Kind::Number(number) = kind { Some(number.clone()) } else { None })
            .collect();
        self.configured = kinds
            .into_iter()
            .filter_map(|kind| if let Kind::Agent(agent) = kind { Some(agent) } else { None })
            .collect();
        let before: Vec<_> = self.agents.iter().map(|agent| (agent.name.clone(), agent.rules.queues.clone())).collect();
        for agent in &mut self.agents {
            if agent.state == "reserved" {
                agent.roughly = true;
                agent.reserved_until_ms += STEPS_SLACK_MS;
            }
            match self.configured.iter().find(|rules| rules.name == agent.name) {
                Some(rules) => agent.rules = rules.clone(),
                // Gone after the present call; member of nothing until then.
                None => agent.rules.queues.clear(),
            }
        }
        self.level_newcomers(&before);
        let mut cursors = std::mem::take(&mut self.cursors);
        for (queue, offered) in &mut cursors {
            let members = self.members(queue);
            while offered.last().is_some_and(|last| !members.contains(last)) {
                offered.pop();
            }
        }
        cursors.retain(|(queue, offered)| !offered.is_empty() && self.queue(queue).is_some());
        self.cursors = cursors;
    }

    /// This agent was the last one offered.
    pub(super) fn offered(&mut self, queue: &str, agent: &str) {
        let mut members = self.members(queue);
        let place = members.iter().position(|name| name == agent);
        members.truncate(place.map_or(0, |place| place + 1));
        self.cursors.retain(|(known, _)| known != queue);
        self.cursors.extend(place.map(|_| (queue.to_owned(), members)));
    }

    pub(super) fn arrive(&mut self, name: &str, state: &str) {
        let rules = self.configured.iter().find(|rules| rules.name == name).cloned().unwrap_or_default();
        self.agents.push(Agent {
            name: name.to_owned(),
            rules,
            state: state.to_owned(),
            since_ms: self.now_ms,
            rank: (0, 0),
            reserved_until_ms: 0,
            roughly: false,
            until_ms: None,
            asked: false,
            call: 0,
            last_talk_ms: 0,
            talks: (0, 0),
            entries: Vec::new(),
            contacts: Vec::new(),
        });
        self.rank(name);
    }

    pub(super) fn leave(&mut self, name: &str) {
        self.agents.retain(|agent| agent.name != name);
    }

    pub(super) fn agent_mut(&mut self, name: &str) -> Option<&mut Agent> {
        self.agents.iter_mut().find(|agent| agent.name == name)
    }

    /// The agent's idle time begins.
    pub(super) fn rank(&mut self, name: &str) {
        self.count += 1;
        let rank = (self.now_ms, self.count);
        if let Some(agent) = self.agent_mut(name) {
            agent.rank = rank;
        }
    }

    pub(super) fn join(&mut self, call: u64, dialled: &str) {
        let Some(number) = self.numbers.iter().find(|number| number.name == dialled) else { return };
        self.count += 1;
        let ageing = self.queue(&number.queue).map_or(1_000, ageing);
        let boost_ms = i128::from(number.boost_seconds) * 1_000 * 1_000 / i128::from(ageing);
        self.lines.push(Line {
            call,
            queue: number.queue.clone(),
            stage: Stage::Waiting,
            class: if number.priority == 0 { 5 } else { number.priority },
            effective_ms: i128::from(self.now_ms) - boost_ms,
            skills: asked(&number.skills),
            tier: 1,
            joined_ms: self.now_ms,
            number: self.count,
            homeless_ms: None,
        });
    }

    pub(super) fn line(&self, call: u64) -> Option<&Line> {
        self.lines.iter().find(|line| line.call == call)
    }

    pub(super) fn stage(&mut self, call: u64, stage: Stage) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.call == call) {
            line.stage = stage;
        }
    }

    pub(super) fn register(&mut self, name: &str, contact: &str, seconds: u32) {
        let until_ms = self.now_ms + u64::from(seconds) * 1_000;
        if let Some(agent) = self.agent_mut(name) {
            agent.contacts.retain(|(known, _)| contact != "*" && known != contact);
            if seconds > 0 {
                agent.contacts.push((contact.to_owned(), until_ms));
            }
        }
    }

    pub(super) fn queue(&self, name: &str) -> Option<&v1::Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// The members of a queue, from the top of the list.
    pub(super) fn members(&self, queue: &str) -> Vec<String> {
        let mut members: Vec<(u32, u32, String)> = Vec::new();
        for agent in &self.agents {
            for member in agent.rules.queues.iter().filter(|member| member.queue == queue) {
                members.push((member.tier.max(1), 255 - member.weight.max(1), agent.name.clone()));
            }
        }
        members.sort();
        members.into_iter().map(|(.., name)| name).collect()
    }

    pub(super) fn membership(agent: &Agent, queue: &str) -> Option<(u32, u32)> {
        let member = agent.rules.queues.iter().find(|member| member.queue == queue)?;
        Some((member.tier.max(1), member.weight.max(1)))
    }

    /// Up to which tier a call may go now: the next one opens with the one before it when it has no time of its own, and at
    /// once when that one has nobody logged in.
    pub(super) fn open_tier(&self, line: &Line) -> u32 {
        let Some(queue) = self.queue(&line.queue) else { return line.tier };
        let mut open = line.tier;
        while open < 9 {
            let own_time = queue.tiers.iter().any(|tier| tier.tier == open + 1);
            let staffed = self.agents.iter().any(|agent| {
                agent.state != "logged-out"
                    && Self::membership(agent, &line.queue).is_some_and(|(tier, _)| tier == open)
            });
            if own_time && staffed {
                return open;
            }
            open += 1;
        }
        open
    }

    /// Opens the tiers whose time has come.
    pub(super) fn open_tiers(&mut self) {
        let (now_ms, queues) = (self.now_ms, self.queues.clone());
        for line in &mut self.lines {
            let Some(queue) = queues.iter().find(|queue| queue.name == line.queue) else { continue };
            for tier in &queue.tiers {
                if line.joined_ms + u64::from(tier.after_seconds) * 1_000 <= now_ms {
                    line.tier = line.tier.max(tier.tier);
                }
            }
        }
    }

    /// A shift begins: nothing was done, and in each queue that counts no less than the least of the others.
    pub(super) fn begin_shift(&mut self, name: &str) {
        if let Some(agent) = self.agent_mut(name) {
            (agent.talks, agent.entries) = ((0, 0), Vec::new());
        }
        let Some(agent) = self.agents.iter().find(|agent| agent.name == name) else { return };
        for member in agent.rules.queues.clone() {
            let least = self.least(&member.queue, |other| other.name != name);
            self.enter(name, &member.queue, least);
        }
    }

    /// Whoever came to a queue by new rules begins at the least of those who were there and stay.
    fn level_newcomers(&mut self, before: &[(String, Vec<v1::Membership>)]) {
        let was_in = |name: &str, queue: &str| {
            let of = before.iter().find(|(known, _)| known == name);
            of.is_some_and(|(_, queues)| queues.iter().any(|member| member.queue == queue))
        };
        for agent in self.agents.clone().iter().filter(|agent| agent.state != "logged-out") {
            for member in agent.rules.queues.iter().filter(|member| !was_in(&agent.name, &member.queue)) {
                let least = self.least(&member.queue, |other| was_in(&other.name, &member.queue));
                self.enter(&agent.name, &member.queue, least);
            }
        }
    }

    /// The least that members of a queue who are logged in have done, where its strategy counts.
    fn least(&self, queue: &str, these: impl Fn(&Agent) -> bool) -> (u64, u64) {
        let counts = self.queue(queue).is_some_and(|queue| {
            matches!(super::choose::single(queue), v1::Strategy::FewestCalls | v1::Strategy::LeastTalk)
        });
        let there = |agent: &&Agent| {
            counts && agent.state != "logged-out" && Self::membership(agent, queue).is_some() && these(agent)
        };
        let done = || self.agents.iter().filter(there).map(|agent| super::choose::done(agent, queue));
        (done().map(|done| done.0).min().unwrap_or(0), done().map(|done| done.1).min().unwrap_or(0))
    }

    /// The agent is taken to have done so much in the queue at least.
    fn enter(&mut self, name: &str, queue: &str, least: (u64, u64)) {
        if let Some(agent) = self.agent_mut(name) {
            let own = agent.talks;
            agent.entries.retain(|(known, ..)| known != queue);
            agent.entries.push((queue.to_owned(), least.0.saturating_sub(own.0), least.1.saturating_sub(own.1)));
        }
    }

    /// Whether the queue may ring many phones at once.
    pub(super) fn rings_many(&self, queue: &str) -> bool {
        let many = |queue: &v1::Queue| matches!(queue.strategy(), v1::Strategy::RingAll | v1::Strategy::Progressive);
        self.queue(queue).is_some_and(many)
    }

    pub(super) fn ring_ms(&self, queue: &str) -> u64 {
        if let Some(queue) = self.queue(queue).filter(|queue| queue.strategy() == v1::Strategy::Progressive) {
            // Each step has its own time, and steps go on when the rules change: this is a bound, not the moment.
            let all: u64 = queue.steps.iter().map(|step| u64::from(step.seconds.max(1)) * 1_000).sum();
            return 2 * all + STEPS_SLACK_MS;
        }
        let seconds = self.queue(queue).map_or(0, |queue| queue.ring_seconds);
        u64::from(if seconds == 0 { 15 } else { seconds }) * 1_000
    }

    pub(super) fn begin_wrap_up(&mut self, name: &str, call: u64) {
        let queue = self.line(call).and_then(|line| self.queue(&line.queue)).map(|queue| queue.wrap_up_seconds);
        let now_ms = self.now_ms;
        if let Some(agent) = self.agent_mut(name) {
            let own = Some(agent.rules.wrap_up_seconds).filter(|seconds| *seconds > 0);
            // A queue that is gone from the rules took its wrap-up with it: then only the agent's own is known.
            agent.until_ms = own.or(queue).map(|seconds| now_ms + u64::from(seconds) * 1_000);
        }
    }

    /// A leader began: whoever rings has the time that was lost.
    pub(super) fn prolong(&mut self) {
        let lost_ms = self.now_ms.saturating_sub(self.last_ms);
        for agent in self.agents.iter_mut().filter(|agent| agent.state == "reserved") {
            agent.reserved_until_ms += lost_ms;
        }
        for since_ms in self.lines.iter_mut().filter_map(|line| line.homeless_ms.as_mut()) {
            *since_ms += lost_ms;
        }
    }

    /// Which calls have a gateway. Whoever rings for one that had none has the time that was lost.
    pub(super) fn house(&mut self, is_held: impl Fn(u64) -> bool) {
        let now_ms = self.now_ms;
        for line in &mut self.lines {
            if !is_held(line.call) {
                line.homeless_ms.get_or_insert(now_ms);
            } else if let Some(since_ms) = line.homeless_ms.take() {
                let rings = |agent: &&mut Agent| agent.state == "reserved" && agent.call == line.call;
                for agent in self.agents.iter_mut().filter(rings) {
                    agent.reserved_until_ms += now_ms.saturating_sub(since_ms);
                }
            }
        }
    }

    /// Somebody asks for another state of this agent.
    pub(super) fn ask(&mut self, name: &str) {
        if let Some(agent) = self.agent_mut(name) {
            agent.asked = true;
        }
    }

    /// The step is over.
    pub(super) fn seal(&mut self) {
        self.agents.iter_mut().for_each(|agent| agent.asked = false);
        self.freed.clear();
        self.offered_before.clear();
        self.offered_before.extend(self.lines.iter().filter(|line| line.stage == Stage::Offered).map(|line| line.call));
        self.last_ms = self.now_ms;
    }
}

/// Skills and the levels that are asked.
pub(super) fn asked(demands: &[v1::SkillDemand]) -> Vec<(String, u32)> {
    demands.iter().map(|demand| (demand.skill.clone(), demand.level.max(1))).collect()
}

/// How fast waiting counts in a queue, in permille.
pub(super) fn ageing(queue: &v1::Queue) -> u32 {
    if queue.ageing_permille == 0 { 1_000 } else { queue.ageing_permille }
}
