//! A slow, obviously right model of who is served next and by whom; it reads commands and records, never the shard.
//!
//! Worlds of one strategy each: three queues with tiers, skills, weights, classes, boosts and ageing; agents who come, go,
//! miss, hold and wrap up; callers who leave. Each decision is checked against what the model would decide.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::*;

const STEPS: usize = 1_200;
const SEEDS: u64 = 12;

#[derive(Debug, Default)]
struct Model {
    now: u64,
    counter: u64,
    queues: BTreeMap<String, Queue>,
    numbers: BTreeMap<String, Number>,
    documents: BTreeMap<String, Agent>,
    agents: BTreeMap<String, ModelAgent>,
    calls: BTreeMap<CallId, ModelCall>,
    /// Round robin: who was last, by queue.
    last: BTreeMap<String, String>,
    decisions: usize,
}

#[derive(Clone, Debug, Default)]
struct ModelAgent {
    state: String,
    state_since: u64,
    /// Means something while reserved.
    rings_for: CallId,
    ready_order: u64,
    ready_since: u64,
    last_call_end: u64,
    shift_from: u64,
    /// Of `done`, before this shift.
    done_before: usize,
    /// (ended, talk milliseconds) of all calls.
    done: Vec<(u64, u64)>,
    /// Talk of the present call so far, hold left out.
    talked: u64,
    /// Talk, hold and wrap-up: (from, until).
    busy: Vec<(u64, u64)>,
    /// By queue, at the last log-in.
    entry: BTreeMap<String, (u64, u64)>,
}

#[derive(Debug)]
struct ModelCall {
    queue: String,
    skills: BTreeMap<String, u32>,
    priority: u32,
    effective: i64,
    joined: u64,
    order: u64,
    waits: bool,
    in_line: bool,
}

type Rank = (u32, u64, u64, u64);

impl Model {
    fn configure(&mut self, documents: &[Document]) {
        for document in documents {
            match document {
                Document::Queue(queue) => drop(self.queues.insert(queue.name.clone(), (**queue).clone())),
                Document::Number(number) => drop(self.numbers.insert(number.name.clone(), number.clone())),
                Document::Agent(agent) => drop(self.documents.insert(agent.name.clone(), agent.clone())),
                _ => {}
            }
        }
    }

    fn follow(&mut self, entry: &Entry, is_new: bool, out: &Output) {
        self.now = self.now.max(entry.at);
        if let (Command::OfferCall { call, number, .. }, true) = (&entry.command, is_new) {
            self.join(*call, &number.clone());
        }
        for record in &out.records {
            match &record.kind {
                RecordKind::Call(call) => drop(self.calls.remove(&call.call)),
                RecordKind::Agent(change) => self.agent_changed(change),
                RecordKind::Decision(decision) => self.decided(decision),
                RecordKind::Interval(_) | RecordKind::Transfer(_) => {}
            }
        }
        for (id, call) in self.calls.iter().filter(|(_, call)| call.waits) {
            assert!(self.able(call).is_empty(), "call {id} waits although an agent could take it");
        }
    }

    fn join(&mut self, id: CallId, number: &str) {
        let number = &self.numbers[number];
        let queue = &self.queues[&number.queue];
        let mut skills: BTreeMap<String, u32> = BTreeMap::new();
        for asked in number.skills.iter().chain(&queue.skills) {
            let level = skills.entry(asked.skill.clone()).or_default();
            *level = (*level).max(asked.level.max(1));
        }
        self.counter += 1;
        let ageing = u64::from(if queue.ageing_permille == 0 { 1000 } else { queue.ageing_permille });
        let boost = u64::from(number.boost_seconds) * 1000 * 1000 / ageing;
        let call = ModelCall {
            queue: number.queue.clone(),
            skills,
            priority: if number.priority == 0 { 5 } else { number.priority },
            effective: self.now as i64 - boost as i64,
            joined: self.now,
            order: self.counter,
            waits: true,
            in_line: true,
        };
        self.calls.insert(id, call);
    }

    fn agent_changed(&mut self, change: &AgentRecord) {
        let name = change.agent.to_string();
        let now = self.now;
        let others = self.agents.iter().filter(|(other, _)| **other != name).map(|(_, agent)| agent);
        let rings_on = others.filter(|agent| agent.state == "reserved").any(|agent| agent.rings_for == change.call);
        if change.from == "reserved"
            && change.to != "talking"
            && !rings_on
            && let Some(call) = self.calls.get_mut(&change.call)
        {
            call.waits = true;
        }
        if change.to == "talking"
            && let Some(call) = self.calls.get_mut(&change.call)
        {
            (call.waits, call.in_line) = (false, false);
        }
        let least = (change.from == "logged-out").then(|| self.least(&name));
        let agent = self.agents.entry(name).or_default();
        let spent = now - agent.state_since;
        if agent.state == "talking" {
            agent.talked += spent;
        }
        if ["talking", "held", "wrap-up"].contains(&agent.state.as_str()) {
            agent.busy.push((agent.state_since, now));
        }
        if let Some(least) = least {
            (agent.shift_from, agent.done_before, agent.entry) = (now, agent.done.len(), least);
        }
        if change.from == "absent" {
            agent.shift_from = now;
        }
        if ["talking", "held"].contains(&change.from) && !["talking", "held"].contains(&change.to) {
            agent.done.push((now, std::mem::take(&mut agent.talked)));
            agent.last_call_end = now;
        }
        if change.to == "ready" && change.from != "reserved" {
            self.counter += 1;
            (agent.ready_order, agent.ready_since) = (self.counter, now);
        }
        assert!(change.from == "absent" || agent.state == change.from, "{} came from another state", change.agent);
        (agent.state, agent.state_since, agent.rings_for) = (change.to.to_owned(), now, change.call);
    }

    /// What a newcomer is counted as having done, in each queue: what the least busy other there has.
    fn least(&self, newcomer: &str) -> BTreeMap<String, (u64, u64)> {
        let queues = self.documents[newcomer].queues.iter().map(|member| &member.queue);
        let of_queue = |queue: &String| {
            let others = self.members(queue).into_iter().filter(|other| other.name != newcomer);
            let others = others.filter(|other| self.agents[&other.name].state != "logged-out");
            let figures: Vec<(u64, u64)> = others.map(|other| self.figures(&other.name, queue)).collect();
            let calls = figures.iter().map(|figure| figure.0).min().unwrap_or(0);
            let talk = figures.iter().map(|figure| figure.1).min().unwrap_or(0);
            let own = match self.queues[queue].window {
                Window::Day => self.done_since(newcomer, self.midnight()),
                _ => (0, 0),
            };
            (queue.clone(), (calls.saturating_sub(own.0), talk.saturating_sub(own.1)))
        };
        queues.map(of_queue).collect()
    }

    fn midnight(&self) -> u64 {
        self.now - self.now % 86_400_000
    }

    fn done_since(&self, agent: &str, from: u64) -> (u64, u64) {
        let done: Vec<(u64, u64)> =
            self.agents[agent].done.iter().filter(|(ended, _)| *ended >= from).copied().collect();
        sum(&done)
    }

    /// (calls, talk) in the queue's window, with what a newcomer was given.
    fn figures(&self, name: &str, queue: &str) -> (u64, u64) {
        let agent = &self.agents[name];
        let (own, entry_holds) = match self.queues[queue].window {
            Window::Day => (self.done_since(name, self.midnight()), agent.shift_from >= self.midnight()),
            _ => (sum(&agent.done[agent.done_before..]), true),
        };
        let entry = agent.entry.get(queue).copied().filter(|_| entry_holds).unwrap_or_default();
        (own.0 + entry.0, own.1 + entry.1)
    }

    /// In their order: tier, then weight, then name.
    fn members(&self, queue: &str) -> Vec<&Agent> {
        let mut members: Vec<(u32, u32, &Agent)> = Vec::new();
        for agent in self.documents.values() {
            for member in agent.queues.iter().filter(|member| member.queue == queue) {
                members.push((member.tier.max(1), 101 - member.weight.max(1), agent));
            }
        }
        members.sort_by_key(|(tier, weight, agent)| (*tier, *weight, agent.name.clone()));
        members.into_iter().map(|(.., agent)| agent).collect()
    }

    fn tier(agent: &Agent, queue: &str) -> u32 {
        agent.queues.iter().find(|member| member.queue == queue).map_or(0, |member| member.tier.max(1))
    }

    /// Up to which tier the call may go: by time, and over tiers that have nobody logged in.
    fn open_tier(&self, call: &ModelCall) -> u32 {
        let queue = &self.queues[&call.queue];
        let opens = |tier: u32| queue.tiers.iter().find(|entry| entry.tier == tier);
        let mut open = 1;
        for tier in 2..10 {
            if opens(tier).is_some_and(|entry| call.joined + u64::from(entry.after_seconds) * 1000 <= self.now) {
                open = tier;
            }
        }
        let somebody = |tier: u32| {
            let members = self.members(&call.queue);
            let mut there = members.iter().filter(|agent| Self::tier(agent, &call.queue) == tier);
            there.any(|agent| self.agents[&agent.name].state != "logged-out")
        };
        while open < 9 && (opens(open + 1).is_none() || !somebody(open)) {
            open += 1;
        }
        open
    }

    /// Who could take the call now, best first.
    fn able(&self, call: &ModelCall) -> Vec<String> {
        let open = self.open_tier(call);
        let skilled = |agent: &Agent| {
            let level =
                |skill: &str| agent.skills.iter().find(|has| has.skill == skill).map_or(0, |has| has.level.max(1));
            call.skills.iter().all(|(skill, asked)| level(skill) >= *asked)
        };
        let members = self.members(&call.queue).into_iter();
        let fit = members.filter(|agent| {
            self.agents[&agent.name].state == "ready" && skilled(agent) && Self::tier(agent, &call.queue) <= open
        });
        let mut able: Vec<(Rank, String)> = fit.map(|agent| (self.rank(agent, call), agent.name.clone())).collect();
        able.sort();
        able.into_iter().map(|(_, name)| name).collect()
    }

    /// Tier, the strategy's own figure, idle since, order of becoming ready.
    fn rank(&self, document: &Agent, call: &ModelCall) -> Rank {
        let queue = &self.queues[&call.queue];
        let agent = &self.agents[&document.name];
        let since = match queue.idle_since {
            IdleSince::LastCall if agent.last_call_end > 0 && agent.last_call_end >= agent.shift_from => {
                agent.last_call_end
            }
            _ => agent.ready_since,
        };
        let tier = Self::tier(document, &call.queue);
        (tier, self.figure(document, call), since, agent.ready_order)
    }

    fn figure(&self, document: &Agent, call: &ModelCall) -> u64 {
        let queue = &self.queues[&call.queue];
        let agent = &self.agents[&document.name];
        let members = self.members(&call.queue);
        let place = |name: &str| members.iter().position(|member| member.name == name).expect("a member") as u64;
        match queue.strategy {
            Strategy::Linear => place(&document.name),
            Strategy::RoundRobin => {
                let last = self.last.get(&call.queue).map_or(u64::MAX, |last| place(last));
                // Those after the last one come before the others.
                (u64::from(place(&document.name) <= last && last < u64::MAX) << 32) + place(&document.name)
            }
            Strategy::FewestCalls => self.figures(&document.name, &call.queue).0,
            Strategy::LeastTalk => self.figures(&document.name, &call.queue).1,
            Strategy::LeastOccupied => {
                let from = match queue.window {
                    Window::Day => agent.shift_from.max(self.midnight()),
                    _ => agent.shift_from,
                };
                let spans = agent.busy.iter().filter(|(_, until)| *until > from);
                let busy: u64 = spans.map(|(begun, until)| until - begun.max(&from)).sum();
                (busy * 1000 / (self.now - from).max(1)).min(1000)
            }
            Strategy::MostSkilled => {
                let level = |skill: &String| document.skills.iter().find(|has| has.skill == *skill);
                let sum: u32 = call.skills.keys().filter_map(level).map(|has| has.level.max(1)).sum();
                25_500_000 - u64::from(sum)
            }
            _ => 0,
        }
    }

    /// What this agent would take of all that wait: weight, class, score, order of joining.
    fn best_call(&self, agent: &str) -> Option<CallId> {
        let turn = |call: &ModelCall| {
            let member = self.documents[agent].queues.iter().find(|member| member.queue == call.queue);
            let weight = member.map_or(0, |member| member.weight.max(1));
            let ageing = i128::from(self.queues[&call.queue].ageing_permille);
            let waited = i128::from(self.now as i64 - call.effective);
            (u32::MAX - weight, call.priority, -waited * if ageing == 0 { 1000 } else { ageing }, call.order)
        };
        let calls = self.calls.iter().filter(|(_, call)| call.waits);
        let calls = calls.filter(|(_, call)| self.able(call).iter().any(|name| name == agent));
        calls.min_by_key(|(_, call)| turn(call)).map(|(id, _)| *id)
    }

    fn decided(&mut self, decision: &DecisionRecord) {
        self.decisions += 1;
        let call = &self.calls[&decision.call];
        assert!(call.waits, "call {} is given away and does not wait", decision.call);
        let queue = &self.queues[&call.queue];
        let able = self.able(call);
        let name = |agent: &Name| agent.to_string();
        let chosen = name(&decision.chosen);
        assert_eq!(*decision.queue, *call.queue);
        assert_eq!(decision.strategy, queue.strategy.name());
        assert_eq!(decision.waited_ms, self.now - call.joined);
        let place = |call: &ModelCall| (call.priority, call.effective, call.order);
        let same = self.calls.values().filter(|other| other.in_line && other.queue == call.queue);
        assert_eq!(decision.position as usize, same.filter(|other| place(other) < place(call)).count() + 1, "position");
        let somebodys_turn = able.iter().any(|agent| self.best_call(agent) == Some(decision.call));
        if !somebodys_turn {
            let turns: Vec<_> = able.iter().map(|agent| (agent, self.best_call(agent))).collect();
            let waiting: Vec<_> = self
                .calls
                .iter()
                .filter(|(_, call)| call.waits)
                .map(|(id, call)| (id, call, self.able(call)))
                .collect();
            panic!("it is nobody's turn to take call {}: {turns:?} of {waiting:#?}", decision.call);
        }
        match queue.strategy {
            Strategy::Random | Strategy::WeightedRandom => {
                let tier = |agent: &String| Self::tier(&self.documents[agent], &call.queue);
                assert!(able.contains(&chosen), "{chosen} cannot take it");
                assert_eq!(tier(&chosen), able.iter().map(tier).min().unwrap_or(0), "a lower tier is there");
            }
            Strategy::RingAll => {
                let first = Self::tier(&self.documents[&able[0]], &call.queue);
                let ring_max = if queue.ring_max == 0 { 20 } else { queue.ring_max as usize };
                let rung = able
                    .iter()
                    .filter(|agent| !queue.ring_one_tier || Self::tier(&self.documents[*agent], &call.queue) == first);
                let rung: Vec<String> = rung.take(ring_max).cloned().collect();
                let told: Vec<String> = std::iter::once(&decision.chosen).chain(&decision.also).map(name).collect();
                assert_eq!(told, rung, "those who ring");
            }
            _ => assert_eq!(chosen, able[0], "chosen of {able:?}"),
        }
        assert_eq!(decision.candidates_total as usize, able.len(), "candidates");
        let named: Vec<String> = decision.candidates.iter().map(|candidate| name(&candidate.agent)).collect();
        assert!(named.iter().all(|agent| able.contains(agent)), "a candidate cannot take it");
        let counts = matches!(queue.strategy, Strategy::FewestCalls | Strategy::LeastTalk | Strategy::LeastOccupied);
        for candidate in decision.candidates.iter().filter(|_| counts) {
            let wanted = self.figure(&self.documents[&name(&candidate.agent)], call);
            assert_eq!(candidate.figure, wanted, "figure of {}", candidate.agent);
        }
        let excluded: u32 = decision.exclusions.iter().map(|exclusion| exclusion.agents).sum();
        assert_eq!(excluded as usize + able.len(), self.members(&call.queue).len(), "everybody is counted once");
        let queue = call.queue.clone();
        self.calls.get_mut(&decision.call).expect("just read").waits = false;
        if decision.also.is_empty() {
            self.last.insert(queue, chosen);
        }
    }
}

fn sum(done: &[(u64, u64)]) -> (u64, u64) {
    done.iter().fold((0, 0), |(calls, talk), (_, ms)| (calls + 1, talk + ms))
}

fn documents(dice: &mut Rng, strategy: Strategy) -> Vec<Document> {
    let mut documents: Vec<Document> =
        ["s0", "s1"].map(|name| Document::Skill(Skill { name: name.to_owned() })).to_vec();
    let demand = |dice: &mut Rng| SkillDemand { skill: format!("s{}", dice.u8(0..2)), level: dice.u32(0..60) };
    for queue in 0..3 {
        documents.push(Document::Queue(Box::new(Queue {
            name: format!("q{queue}"),
            strategy,
            ring_seconds: dice.u32(1..5),
            wrap_up_seconds: dice.u32(0..4),
            busy_delay_seconds: dice.u32(0..4),
            idle_since: if dice.bool() { IdleSince::Ready } else { IdleSince::LastCall },
            window: if dice.bool() { Window::Shift } else { Window::Day },
            rona: if dice.bool() { RonaPolicy::NotReady } else { RonaPolicy::StayReady },
            ageing_permille: if dice.bool() { 0 } else { dice.u32(1..4000) },
            tiers: (2..4).filter(|_| dice.bool()).map(|tier| Tier { tier, after_seconds: tier * 3 }).collect(),
            skills: if dice.bool() { vec![demand(dice)] } else { Vec::new() },
            ring_max: dice.u32(0..4),
            ring_one_tier: dice.bool(),
            ..Queue::default()
        })));
    }
    for number in 0..5 {
        documents.push(Document::Number(Number {
            name: format!("10{number}"),
            queue: format!("q{}", number % 3),
            priority: if dice.bool() { 0 } else { dice.u32(3..7) },
            boost_seconds: if dice.bool() { 0 } else { dice.u32(0..20) },
            skills: if dice.u8(..) < 60 { vec![demand(dice)] } else { Vec::new() },
            ..Number::default()
        }));
    }
    for agent in 0..7 {
        let mut queues = Vec::new();
        for queue in 0..3 {
            if dice.bool() {
                let (tier, weight) = (dice.u32(0..4), if dice.bool() { 0 } else { dice.u32(1..4) });
                queues.push(Membership { queue: format!("q{queue}"), tier, weight });
            }
        }
        documents.push(Document::Agent(Agent {
            name: format!("a{agent}"),
            contact: format!("sip:a{agent}@host"),
            queues,
            start: if dice.bool() { StartState::Ready } else { StartState::LoggedOut },
            skills: ["s0", "s1"].map(|skill| SkillLevel { skill: skill.to_owned(), level: dice.u32(0..101) }).to_vec(),
            ..Agent::default()
        }));
    }
    documents
}

fn command(dice: &mut Rng, shard: &Shard, calls: &mut u64) -> Command {
    let agent = format!("a{}", dice.u8(0..7));
    let living: Vec<CallId> = shard.calls(&view::CallFilter::default()).iter().map(|call| call.call).collect();
    let call = dice.choice(&living).copied().unwrap_or(1);
    let legs = shard.call(call).map(|call| call.legs).unwrap_or_default();
    let leg = dice.choice(&legs).map_or(1, |leg| leg.leg);
    let talks = shard.call(call).map(|call| call.info.agent).unwrap_or_default();
    match dice.u8(0..100) {
        0..20 if living.len() < 12 => {
            *calls += 1;
            let (gateway, number) = ("g1".to_owned(), format!("10{}", dice.u8(0..5)));
            let (caller, caller_name) = (String::new(), String::new());
            Command::OfferCall {
                call: *calls,
                gateway,
                incarnation: 1,
                number,
                caller,
                caller_name,
                passport: Vec::new(),
            }
        }
        0..45 => Command::AnswerLeg { call, leg, passport: Vec::new(), tenure: 0 },
        45..62 => {
            let causes = [EndCause::Hangup, EndCause::Busy, EndCause::Rejected, EndCause::NoAnswer];
            let cause = *dice.choice(&causes).expect("not empty");
            Command::EndLeg { call, leg, cause, sip_status: 0, tenure: 0, moved_to: Vec::new() }
        }
        62..66 => Command::ControlCall { call, agent: talks, control: CallControl::Hold },
        66..70 => Command::ControlCall { call, agent: talks, control: CallControl::Resume },
        70..76 => Command::LogInAgent { agent },
        76..78 => Command::LogOutAgent { agent },
        78..88 => Command::MakeAgentReady { agent },
        88..90 => Command::MakeAgentNotReady { agent, reason: "tea".to_owned() },
        _ => Command::AdvanceClock,
    }
}

fn world(seed: u64, strategy: Strategy) -> usize {
    let mut dice = Rng::with_seed(seed);
    let (mut shard, mut model) = (Shard::new(), Model::default());
    let documents = documents(&mut dice, strategy);
    model.configure(&documents);
    let (gateway, sip) = ("g1".to_owned(), String::new());
    let first = [Command::Configure { version: 1, documents }, Command::AttachGateway { gateway, incarnation: 1, sip }];
    let (mut at, mut calls) = (86_400_000 * 3 - 900_000, 0);
    let mut first = first.into_iter();
    for number in 1..STEPS as u64 {
        at = match dice.u16(0..1000) {
            0..600 => at,
            600..998 => at + dice.u64(1..2_500),
            _ => at + dice.u64(..3_000_000),
        };
        // Each deadline on its time, so that the model need not know deadlines.
        let due = shard.next_deadline().unwrap_or(u64::MAX);
        let (at, command) = if due <= at {
            at = due;
            (at, Command::AdvanceClock)
        } else {
            (at, first.next().unwrap_or_else(|| command(&mut dice, &shard, &mut calls)))
        };
        let entry = Entry { at, id: CommandId { sender: 1, number }, settled_below: number, trace: None, command };
        let is_new = matches!(&entry.command, Command::OfferCall { call, .. } if shard.call(*call).is_none());
        let mut out = Output::default();
        let reply = shard.apply(entry.clone(), &mut out);
        model.follow(&entry, is_new && reply.is_ok(), &out);
    }
    model.decisions
}

/// More of them: `ACD_SEEDS=1000 cargo test -p acd model`.
#[test]
fn each_strategy_decides_as_the_slow_model_does() {
    let seeds = std::env::var("ACD_SEEDS").ok().and_then(|value| value.parse().ok()).unwrap_or(SEEDS);
    let strategies =
        Strategy::ALL.into_iter().filter(|strategy| strategy.is_single() || *strategy == Strategy::RingAll);
    for strategy in strategies {
        let mut decisions = 0;
        for seed in 0..seeds {
            let told = std::panic::catch_unwind(|| world(seed, strategy));
            decisions += told.unwrap_or_else(|panic| {
                eprintln!("{} fails with seed {seed}", strategy.name());
                std::panic::resume_unwind(panic)
            });
        }
        assert!(decisions as u64 > 20 * seeds, "{}: {decisions} decisions prove little", strategy.name());
    }
}
