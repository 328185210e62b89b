//! The configurations of random stories: every kind of document, every field, mostly whole; never looks at an answer.

use super::World;
use crate::*;

const SKILLS: [&str; 3] = ["s0", "s1", "s2"];
const SCHEDULES: [&str; 2] = ["h0", "h1"];

impl World {
    pub(super) fn configure(&mut self) -> Command {
        let queues: Vec<String> = (0..4).filter(|_| self.dice.u8(..) < 230).map(|queue| format!("q{queue}")).collect();
        let agents: Vec<String> = (0..8).filter(|_| self.dice.u8(..) < 236).map(|agent| format!("a{agent}")).collect();
        let mut documents: Vec<Document> =
            SKILLS.iter().map(|name| Document::Skill(Skill { name: (*name).to_owned() })).collect();
        documents.push(Document::Zone(self.zone()));
        for name in SCHEDULES {
            documents.push(Document::Schedule(self.schedule(name)));
        }
        for name in &queues {
            let queue = self.queue(name, &queues, &agents);
            documents.push(Document::Queue(Box::new(queue)));
        }
        for number in 0..4 {
            if !queues.is_empty() {
                documents.push(Document::Number(self.number(format!("10{number}"), &queues, &agents)));
            }
        }
        for name in &agents {
            let agent = self.agent(name, &queues);
            documents.push(Document::Agent(agent));
        }
        for number in 1..3 {
            let caller = Caller {
                name: format!("caller{number}"),
                numbers: vec![format!("+49{number}")],
                priority: self.dice.u32(0..10),
                boost_seconds: self.rarely(60),
                agent: self.one_or_none(&agents, 120),
            };
            documents.push(Document::Caller(caller));
        }
        for agent in &agents {
            if self.dice.u8(..) < 60 {
                let rules = (0..self.dice.usize(1..3)).map(|_| self.forward_rule(&queues, &agents)).collect();
                let name = format!("forward {agent}");
                documents.push(Document::Forwarding(Forwarding { name, agent: agent.clone(), rules }));
            }
        }
        if self.dice.u8(..) < 200 {
            documents.push(Document::Centre(self.centre(&queues, &agents)));
        }
        self.spoil(&mut documents);
        if self.dice.u8(..) < 230 {
            self.version += 1;
        }
        Command::Configure { version: self.version, documents }
    }

    /// Now and then something that is not whole.
    fn spoil(&mut self, documents: &mut Vec<Document>) {
        let number =
            |name: &str, queue: &str| Number { name: name.to_owned(), queue: queue.to_owned(), ..Number::default() };
        match self.dice.u8(..) {
            0..6 => documents.push(documents.first().cloned().unwrap_or(Document::Trunk(Trunk::default()))),
            6..12 => documents.push(Document::Number(number("9", "nowhere"))),
            12..16 => {
                let skills = vec![SkillLevel { skill: "s0".to_owned(), level: 101 }];
                documents.push(Document::Agent(Agent { name: "a8".to_owned(), skills, ..Agent::default() }));
            }
            16..20 => documents.push(Document::Queue(Box::new(Queue {
                name: "q4".to_owned(),
                strategy: Strategy::Progressive,
                ..Queue::default()
            }))),
            20..40 => documents.push(Document::Trunk(Trunk::default())),
            _ => {}
        }
    }

    fn zone(&mut self) -> Zone {
        let changes = (1..self.dice.i64(1..4)).map(|change| (change * 3_000, self.dice.i32(-7200..7200))).collect();
        Zone {
            name: "Z".to_owned(),
            tzdb: "test".to_owned(),
            first_offset_seconds: self.dice.i32(-3600..3600),
            changes,
        }
    }

    fn hours(&mut self) -> Vec<Hours> {
        let open = self.dice.u32(3..20);
        let begin = self.dice.u32(0..10);
        let span = |at: u32| Hours {
            weekdays: vec![1, 2, 3, 4, 5, 6, 7],
            from_minute: begin + at * 25,
            to_minute: begin + at * 25 + open,
        };
        (0..50).map(span).collect()
    }

    fn schedule(&mut self, name: &str) -> Schedule {
        let mut schedule = Schedule { name: name.to_owned(), hours: self.hours(), ..Schedule::default() };
        if self.dice.bool() {
            schedule.zone = "Z".to_owned();
        }
        if self.dice.u8(..) < 30 {
            schedule.dates.push(DateHours { year: 0, month: 1, day: self.dice.u32(1..4), hours: Vec::new() });
        }
        if self.dice.u8(..) < 30 {
            let hours = self.hours();
            schedule.seasons.push(Season { from_month: 12, from_day: 24, to_month: 1, to_day: 6, hours });
        }
        schedule
    }

    fn queue(&mut self, name: &str, queues: &[String], agents: &[String]) -> Queue {
        let strategy = self.strategy.unwrap_or_else(|| *self.dice.choice(&Strategy::ALL).expect("not empty"));
        let singles: Vec<Strategy> = Strategy::ALL.into_iter().filter(|strategy| strategy.is_single()).collect();
        let mut keys = Vec::new();
        for key in ['1', '2', '9'] {
            if self.dice.bool() {
                keys.push((key, self.action(queues, agents)));
            }
        }
        let mut overflow = Vec::new();
        for after in 0..self.dice.u32(0..4) {
            let (when, action) = (self.condition(), self.action(queues, agents));
            overflow.push(OverflowStep { after_seconds: after * self.dice.u32(1..9), when, action });
        }
        let mut join = Vec::new();
        if self.dice.u8(..) < 60 {
            join.push(JoinRule { when: self.condition(), action: self.action(queues, agents) });
        }
        Queue {
            name: name.to_owned(),
            strategy,
            answer: if self.dice.bool() { AnswerMode::OnEntry } else { AnswerMode::OnAgent },
            ring_seconds: self.dice.u32(0..4),
            wrap_up_seconds: self.dice.u32(0..3),
            waiting_max: self.dice.u32(0..8),
            wait_seconds_max: if self.dice.bool() { 0 } else { self.dice.u32(1..40) },
            busy_delay_seconds: self.dice.u32(0..4),
            unreachable_delay_seconds: self.dice.u32(0..4),
            music: self.text(&["", "music", "waltz"]),
            idle_since: if self.dice.bool() { IdleSince::Ready } else { IdleSince::LastCall },
            window: match self.dice.u8(0..3) {
                0 => Window::Shift,
                1 => Window::Day,
                _ => Window::Minutes(self.dice.u32(1..4)),
            },
            rona: if self.dice.bool() { RonaPolicy::NotReady } else { RonaPolicy::StayReady },
            rona_delay_seconds: self.dice.u32(0..4),
            rona_max: self.dice.u32(0..4),
            ageing_permille: if self.dice.bool() { 0 } else { self.dice.u32(1..5000) },
            tiers: (2..5)
                .filter(|_| self.dice.u8(..) < 120)
                .map(|tier| Tier { tier, after_seconds: tier * 3 })
                .collect(),
            skills: if self.dice.u8(..) < 80 { self.demands() } else { Vec::new() },
            ring_max: self.dice.u32(0..4),
            ring_one_tier: self.dice.bool(),
            steps: (0..self.dice.u32(1..4))
                .map(|_| ProgressiveStep { agents: self.dice.u32(0..3), seconds: self.dice.u32(0..5) })
                .collect(),
            progressive: if self.dice.bool() { ProgressiveMode::Cumulative } else { ProgressiveMode::Replace },
            order: *self.dice.choice(&singles).expect("not empty"),
            chooser: Some(Chooser { endpoint: "http://chooser".to_owned(), deadline_ms: self.dice.u32(0..6_000) }),
            sticky: self
                .dice
                .bool()
                .then(|| Sticky { window_seconds: self.dice.u32(0..600), wait_seconds: self.dice.u32(0..20) }),
            overflow,
            join,
            leave: (self.dice.u8(..) < 40).then(|| (self.condition(), self.action(queues, agents))),
            schedule: if self.dice.u8(..) < 60 { self.text(&SCHEDULES) } else { String::new() },
            closed: self.dice.bool().then(|| self.action(queues, agents)),
            closing: if self.dice.bool() { ClosingPolicy::Stay } else { ClosingPolicy::Go },
            keys,
            announcements: (0..self.dice.u32(0..3)).map(|at| self.announcement(at)).collect(),
            callback: (self.dice.u8(..) < 200).then(|| Callback {
                attempts_max: self.dice.u32(0..4),
                retry_seconds: self.dice.u32(0..6),
                expiry_seconds: self.dice.u32(0..90),
                ring_seconds: self.dice.u32(0..6),
            }),
            short_abandon_seconds: self.dice.u32(0..4),
            service_level_seconds: self.dice.u32(0..9),
            wrap_up_max_seconds: self.dice.u32(0..9),
            reorder: self.dice.bool(),
        }
    }

    fn announcement(&mut self, at: u32) -> Announcement {
        let kinds = [AnnouncementKind::Prompt, AnnouncementKind::Position, AnnouncementKind::Estimate];
        Announcement {
            kind: *self.dice.choice(&kinds).expect("not empty"),
            prompt: "hear".to_owned(),
            after_seconds: at * 2,
            every_seconds: self.dice.u32(0..9),
        }
    }

    fn condition(&mut self) -> Condition {
        let nothing = Condition::default();
        match self.dice.u8(0..8) {
            0 => Condition { waiting_over: self.dice.u32(1..4), ..nothing },
            1 => Condition { some_wait: true, ..nothing },
            2 => Condition { estimate_over_seconds: self.dice.u32(1..20), ..nothing },
            3 => Condition { waiting_per_agent_over_percent: self.dice.u32(1..300), ..nothing },
            4 | 5 => {
                let staff = Staff {
                    ready: self.dice.bool(),
                    not_ready: self.dice.bool(),
                    wrap_up: self.dice.bool(),
                    ringing: self.dice.bool(),
                    talking: self.dice.bool(),
                    unreachable: self.dice.bool(),
                };
                Condition { nobody: Some(staff), ..nothing }
            }
            6 => Condition { closed: self.text(&SCHEDULES), ..nothing },
            _ => nothing,
        }
    }

    fn action(&mut self, queues: &[String], agents: &[String]) -> Action {
        let queue = self.dice.choice(queues).cloned().unwrap_or_default();
        match self.dice.u8(0..13) {
            0 => Action::OpenTier(self.dice.u32(0..12)),
            1 => Action::Relax(self.demand()),
            2 | 3 => Action::AddQueue(queue),
            4 => Action::MoveTo(queue),
            5 => Action::Priority(self.dice.u32(0..12)),
            6 => Action::Boost(self.dice.u32(0..100)),
            7 => Action::OfferCallback,
            8 => Action::Forward(self.target(queues, agents)),
            9 => Action::HangUp { prompt: self.text(&["", "sorry"]), sip_status: self.dice.u32(0..700) },
            10 => Action::Announce("hear".to_owned()),
            _ => Action::TakeCallback,
        }
    }

    pub(super) fn target(&mut self, queues: &[String], agents: &[String]) -> Target {
        match self.dice.u8(0..6) {
            0 | 1 => match self.dice.choice(agents) {
                Some(agent) => Target::Agent(agent.clone()),
                None => Target::Number("+4930".to_owned()),
            },
            2 => match self.dice.choice(queues) {
                Some(queue) => Target::Queue(queue.clone()),
                None => Target::Number("+4930".to_owned()),
            },
            3 => Target::Number(format!("10{}", self.dice.u8(0..4))),
            4 => Target::Number("+4930".to_owned()),
            _ => Target::Sip("sip:x@y".to_owned()),
        }
    }

    fn demand(&mut self) -> SkillDemand {
        SkillDemand {
            skill: (*self.dice.choice(&SKILLS).expect("not empty")).to_owned(),
            level: if self.dice.bool() { self.dice.u32(0..4) } else { self.dice.u32(0..101) },
        }
    }

    fn demands(&mut self) -> Vec<SkillDemand> {
        (0..self.dice.usize(0..3)).map(|_| self.demand()).collect()
    }

    fn number(&mut self, name: String, queues: &[String], agents: &[String]) -> Number {
        let queue = self.dice.choice(queues).cloned().unwrap_or_default();
        let route = TimedRoute {
            schedule: (*self.dice.choice(&SCHEDULES).expect("not empty")).to_owned(),
            queue: self.dice.choice(queues).cloned().unwrap_or_default(),
        };
        Number {
            name,
            queue,
            agent: self.one_or_none(agents, 60),
            direct_seconds: self.rarely(9),
            priority: self.dice.u32(0..10),
            boost_seconds: self.rarely(60),
            skills: if self.dice.u8(..) < 80 { self.demands() } else { Vec::new() },
            routes: if self.dice.u8(..) < 60 { vec![route] } else { Vec::new() },
        }
    }

    fn agent(&mut self, name: &str, queues: &[String]) -> Agent {
        let mut own = queues.to_vec();
        self.dice.shuffle(&mut own);
        own.truncate(self.dice.usize(0..4));
        let member = |queue: String, dice: &mut fastrand::Rng| Membership {
            queue,
            tier: if dice.bool() { 0 } else { dice.u32(1..5) },
            weight: if dice.bool() { 0 } else { dice.u32(1..4) },
        };
        let mut skills = Vec::new();
        for skill in SKILLS {
            if self.dice.u8(..) < 180 {
                skills.push(SkillLevel { skill: skill.to_owned(), level: self.dice.u32(0..101) });
            }
        }
        Agent {
            name: name.to_owned(),
            contact: if self.dice.u8(..) < 200 { format!("sip:{name}@host") } else { String::new() },
            queues: own.into_iter().map(|queue| member(queue, &mut self.dice)).collect(),
            start: *self
                .dice
                .choice(&[StartState::Ready, StartState::NotReady, StartState::LoggedOut])
                .expect("not empty"),
            wrap_up_seconds: self.dice.u32(0..2),
            capacity: if self.dice.bool() { 0 } else { self.dice.u32(1..4) },
            skills,
            ring_all_contacts: self.dice.bool(),
            number: self.text(&["", "+4977"]),
        }
    }

    fn forward_rule(&mut self, queues: &[String], agents: &[String]) -> ForwardRule {
        let when = [ForwardWhen::Always, ForwardWhen::Busy, ForwardWhen::NoAnswer, ForwardWhen::Unreachable];
        ForwardRule {
            when: *self.dice.choice(&when).expect("not empty"),
            after_seconds: self.dice.u32(0..4),
            targets: (0..self.dice.usize(0..4)).map(|_| (self.target(queues, agents), self.dice.u32(0..5))).collect(),
            group: self.dice.bool(),
        }
    }

    fn centre(&mut self, queues: &[String], agents: &[String]) -> Centre {
        let shown = [Presentation::Caller, Presentation::Company, Presentation::Hidden];
        Centre {
            name: "centre".to_owned(),
            zone: if self.dice.bool() { "Z".to_owned() } else { String::new() },
            number: self.text(&["", "+49800"]),
            outside: *self.dice.choice(&shown).expect("not empty"),
            transfer_failed: self.dice.bool().then(|| self.target(queues, agents)),
            hops_max: self.dice.u32(0..7),
            target_ring_seconds: self.dice.u32(0..6),
            blind_code: self.text(&["", "*1"]),
            consult_code: self.text(&["", "*2"]),
            transfer_prompt: self.text(&["", "moving"]),
            callback_digits_min: self.dice.u32(0..3),
        }
    }

    /// Mostly 0.
    fn rarely(&mut self, most: u32) -> u32 {
        if self.dice.u8(..) < 90 { self.dice.u32(0..most) } else { 0 }
    }

    fn one_or_none(&mut self, names: &[String], chance: u8) -> String {
        if self.dice.u8(..) < chance { self.dice.choice(names).cloned().unwrap_or_default() } else { String::new() }
    }
}
