//! What the dice make a world ask: mostly sense, some nonsense; never looks at an answer.

use super::World;
use crate::*;

impl World {
    pub(super) fn entry(&mut self) -> Entry {
        let sender = match self.dice.u8(..) {
            0..2 => 0,
            2..8 => self.dice.u64(4..9),
            _ => self.dice.u64(1..4),
        };
        let next = self.numbers.entry(sender).or_insert(0);
        *next += 1;
        let mut number = *next;
        let settled_below = number.saturating_sub(self.dice.u64(0..7));
        if self.dice.u8(..) < 3 {
            number = self.dice.u64(0..number + 1);
            if self.past.iter().any(|(old, _)| old.id == CommandId { sender, number }) {
                number = *next;
            }
        }
        let trace = (self.dice.u8(..) < 60).then(|| format!("00-{:032x}", self.dice.u64(..)));
        self.clock = match self.dice.u16(..1000) {
            0..400 => self.clock,
            400..900 => self.clock + self.dice.u64(1..1500),
            900..990 => self.shard.next_deadline().unwrap_or(self.clock).max(self.clock),
            990..995 => self.clock.saturating_sub(5_000),
            995..999 => self.clock + self.dice.u64(..60_000),
            _ => self.clock + self.dice.u64(..8_000_000),
        };
        // Shard time never runs backwards, whatever the leader's clock does.
        Entry { at: self.clock, id: CommandId { sender, number }, settled_below, trace, command: self.command() }
    }

    fn command(&mut self) -> Command {
        if self.version == 0 {
            return self.configure();
        }
        let (call, leg) = self.some_leg();
        let agent = format!("a{}", self.dice.u8(0..9));
        let passport = vec![self.dice.u8(..); if self.dice.u8(..) < 3 { 41 } else { self.dice.usize(0..4) }];
        match self.dice.u16(..1000) {
            0..12 => self.configure(),
            12..30 => self.attach(),
            30..36 => {
                let gateway = format!("g{}", self.dice.u8(1..5));
                let incarnation = self.life(&gateway);
                Command::LoseGateway { gateway, incarnation }
            }
            36..260 => self.offer(),
            260..420 => Command::AnswerLeg { call, leg, passport },
            420..460 => Command::ConfirmLeg { call, leg, passport },
            460..690 => Command::EndLeg { call, leg, cause: self.cause(), sip_status: 0 },
            690..700 => Command::PressDigits { call, leg, digits: self.text(&["1", "*8#", "x", ""]) },
            700..715 => Command::ClearCall { call, by: self.text(&["", "kim"]) },
            715..770 => Command::RegisterContact {
                contact: self.text(&["sip:x@1", "sip:y@2", "sip:z@3", "*", ""]),
                expires_seconds: *self.dice.choice(&[0, 1, 5, 60, 3600]).expect("not empty"),
                gateway: "g1".to_owned(),
                agent,
            },
            770..820 => Command::LogInAgent { agent },
            820..830 => Command::LogOutAgent { agent },
            830..930 => Command::MakeAgentReady { agent },
            930..960 => Command::MakeAgentNotReady { agent, reason: self.text(&["lunch", "", "meeting"]) },
            960..970 => Command::TakeLead,
            _ => Command::AdvanceClock,
        }
    }

    fn some_leg(&mut self) -> (CallId, u32) {
        let calls: Vec<CallId> = self.shard.calls.iter().map(|(_, call)| call.id).collect();
        if self.dice.u8(..) < 8 || calls.is_empty() {
            return (self.dice.u64(1..80), self.dice.u32(0..5));
        }
        let call = *self.dice.choice(&calls).expect("not empty");
        let legs = self.shard.call(call).expect("is in hand").legs;
        (call, self.dice.choice(&legs).expect("a call has legs").leg)
    }

    fn cause(&mut self) -> EndCause {
        use EndCause::*;
        let causes =
            [Unspecified, Hangup, Cancelled, Busy, Rejected, NoAnswer, Unreachable, Media, Ordered, Failed, Lost];
        *self.dice.choice(&causes).expect("not empty")
    }

    fn text(&mut self, texts: &[&str]) -> String {
        if self.dice.u8(..) < 2 {
            return "long".repeat(20);
        }
        (*self.dice.choice(texts).expect("not empty")).to_owned()
    }

    fn attach(&mut self) -> Command {
        let gateway = format!("g{}", self.dice.u8(1..5));
        if self.dice.u8(..) < 60 || !self.lives.contains_key(&gateway) {
            self.lives.insert(gateway.clone(), self.dice.u64(1..1000));
        }
        Command::AttachGateway { incarnation: self.lives[&gateway], gateway, sip: "127.0.0.1:5060".to_owned() }
    }

    fn life(&mut self, gateway: &str) -> u64 {
        let life = self.lives.get(gateway).copied().unwrap_or(7);
        if self.dice.u8(..) < 10 { self.dice.u64(0..9) } else { life }
    }

    fn offer(&mut self) -> Command {
        let gateway = format!("g{}", self.dice.u8(1..4));
        Command::OfferCall {
            call: self.dice.u64(1..80),
            incarnation: self.life(&gateway),
            gateway,
            number: self.text(&["100", "101", "102", "100", "101", "102", "103", "999"]),
            caller: self.text(&["+49", ""]),
            caller_name: self.text(&["Ann", ""]),
        }
    }

    fn configure(&mut self) -> Command {
        let mut documents = Vec::new();
        let queues: Vec<String> = (0..4).filter(|_| self.dice.u8(..) < 230).map(|queue| format!("q{queue}")).collect();
        for queue in &queues {
            documents.push(Document::Queue(Queue {
                name: queue.clone(),
                answer: if self.dice.bool() { AnswerMode::OnEntry } else { AnswerMode::OnAgent },
                ring_seconds: self.dice.u32(0..4),
                wrap_up_seconds: self.dice.u32(0..3),
                waiting_max: self.dice.u32(0..8),
                wait_seconds_max: if self.dice.bool() { 0 } else { self.dice.u32(1..40) },
                busy_delay_seconds: self.dice.u32(0..4),
                unreachable_delay_seconds: self.dice.u32(0..4),
                music: self.text(&["", "music", "waltz"]),
                ..Queue::default()
            }));
        }
        for number in 0..4 {
            if let Some(queue) = self.dice.choice(&queues) {
                documents.push(Document::Number(Number { name: format!("10{number}"), queue: queue.clone() }));
            }
        }
        for agent in 0..8 {
            if self.dice.u8(..) < 20 {
                continue;
            }
            let mut own = queues.clone();
            self.dice.shuffle(&mut own);
            own.truncate(self.dice.usize(0..4));
            documents.push(Document::Agent(Agent {
                name: format!("a{agent}"),
                contact: if self.dice.u8(..) < 200 { format!("sip:a{agent}@host") } else { String::new() },
                queues: own.into_iter().map(|queue| Membership { queue }).collect(),
                start: *self
                    .dice
                    .choice(&[StartState::Ready, StartState::NotReady, StartState::LoggedOut])
                    .expect("not empty"),
                wrap_up_seconds: self.dice.u32(0..2),
            }));
        }
        match self.dice.u8(..) {
            0..10 => documents.push(documents.first().cloned().unwrap_or(Document::Trunk(Trunk::default()))),
            10..20 => documents.push(Document::Number(Number { name: "9".to_owned(), queue: "nowhere".to_owned() })),
            _ => {}
        }
        if self.dice.u8(..) < 230 {
            self.version += 1;
        }
        Command::Configure { version: self.version, documents }
    }
}
