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
        let tenure = self.tenure(call);
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
            36..220 => self.offer(),
            220..390 => Command::AnswerLeg { call, leg, passport, tenure },
            390..410 => Command::ConfirmLeg { call, leg, passport, tenure },
            410..560 => {
                let (cause, moved_to) = (self.cause(), self.places());
                Command::EndLeg { call, leg, cause, sip_status: 0, tenure, moved_to }
            }
            560..600 => {
                let digits = self
                    .text(&["1", "2", "9", "12", "*8101#", "*8+", "*7102#", "*1103#", "*2100#", "*8", "#", "x", ""]);
                Command::PressDigits { call, leg, digits, tenure }
            }
            600..612 => Command::ClearCall { call, by: self.text(&["", "kim"]) },
            612..650 => Command::RegisterContact {
                contact: self.text(&["sip:x@1", "sip:y@2", "sip:z@3", "*", ""]),
                expires_seconds: *self.dice.choice(&[0, 1, 5, 60, 3600]).expect("not empty"),
                gateway: self.text(&["g1", "g2", "g3"]),
                path: self.text(&["", "", "<sip:edge;lr>"]),
                flow: self.dice.bool(),
                agent,
            },
            650..690 => Command::LogInAgent { agent },
            690..698 => Command::LogOutAgent { agent },
            698..770 => Command::MakeAgentReady { agent },
            770..790 => Command::MakeAgentNotReady { agent, reason: self.text(&["lunch", "", "meeting"]) },
            790..795 => Command::SetRules { version: self.dice.u32(0..5) },
            795..800 => Command::ExtendWrapUp { agent, seconds: self.dice.u32(0..20) },
            800..820 => Command::PullCall { call, agent, by: self.text(&["", "kim"]) },
            820..840 => self.choice(),
            840..855 => self.change(call),
            855..875 => Command::TransferCall { agent: self.talker(call), call, target: self.some_target() },
            875..895 => Command::ConsultCall { agent: self.talker(call), call, target: self.some_target() },
            895..930 => self.control(call),
            930..945 => Command::RequestCallback { call, number: self.text(&["", "", "+4960", "x"]) },
            945..950 => Command::CancelCallback { call, by: self.text(&["", "kim"]) },
            950..955 => Command::TakeLead,
            955..965 => Command::ReferLeg {
                replaces: self.text(&["", "abc;to-tag=1;from-tag=2"]),
                target: self.some_target(),
                call,
                leg,
                tenure,
            },
            965..975 => Command::HoldLeg { call, leg, tenure, held: self.dice.bool() },
            975..983 => {
                let gateway = format!("g{}", self.dice.u8(1..5));
                let incarnation = if self.dice.bool() { 0 } else { self.life(&gateway) };
                Command::DrainGateway {
                    gateway,
                    incarnation,
                    undo: self.dice.u8(..) < 100,
                    by: self.text(&["", "kim"]),
                }
            }
            _ => Command::AdvanceClock,
        }
    }

    /// Who talks in the call, mostly.
    fn talker(&mut self, call: CallId) -> String {
        let talks = self.shard.call(call).map(|call| call.info.agent).filter(|agent| !agent.is_empty());
        match talks {
            Some(agent) if self.dice.u8(..) < 230 => agent,
            Some(_) | None => format!("a{}", self.dice.u8(0..9)),
        }
    }

    /// That of the gateway that has the call, mostly.
    fn tenure(&mut self, call: CallId) -> u32 {
        let present = self.shard.call_ids.get(&call).map_or(1, |key| self.shard.calls[*key].tenure);
        match self.dice.u8(..) {
            0..6 => present.saturating_sub(1),
            6..12 => present + 1,
            12..40 => 0,
            _ => present,
        }
    }

    fn places(&mut self) -> Vec<String> {
        let count = self.dice.usize(0..3);
        (0..count).map(|_| self.text(&["101", "+4950", "sip:else@where", "SIPS:", ""])).collect()
    }

    fn some_target(&mut self) -> Target {
        let queues: Vec<String> = (0..5).map(|queue| format!("q{queue}")).collect();
        let agents: Vec<String> = (0..9).map(|agent| format!("a{agent}")).collect();
        self.target(&queues, &agents)
    }

    fn change(&mut self, call: CallId) -> Command {
        let move_to = if self.dice.bool() { format!("q{}", self.dice.u8(0..5)) } else { String::new() };
        let (priority, boost_seconds) = (self.dice.u32(0..11), self.dice.u32(0..50));
        Command::ChangeCall { call, priority, boost_seconds, move_to, by: self.text(&["", "kim"]) }
    }

    /// An answer of the chooser, mostly to what was asked.
    fn choice(&mut self) -> Command {
        let agents = (0..self.dice.usize(0..4)).map(|_| format!("a{}", self.dice.u8(0..9))).collect();
        let asks = self.shard.standing_asks();
        match self.dice.choice(&asks) {
            Some(ask) if self.dice.u8(..) < 230 => Command::ChooseAgents { call: ask.call, ask: ask.ask, agents },
            Some(_) | None => Command::ChooseAgents { call: self.dice.u64(1..80), ask: self.dice.u64(0..20), agents },
        }
    }

    fn control(&mut self, call: CallId) -> Command {
        use CallControl::*;
        let controls = [Hold, Resume, Complete, Swap, Conference, Conference, TakeBack, Leave];
        let control = *self.dice.choice(&controls).expect("not empty");
        Command::ControlCall { agent: self.talker(call), call, control }
    }

    fn some_leg(&mut self) -> (CallId, u32) {
        let calls: Vec<CallId> = self.shard.calls.iter().map(|(_, call)| call.id).collect();
        if self.dice.u8(..) < 8 || calls.is_empty() {
            return (self.dice.u64(1..80), self.dice.u32(0..5));
        }
        let call = *self.dice.choice(&calls).expect("not empty");
        let legs = self.shard.call(call).expect("is in hand").legs;
        (call, self.dice.choice(&legs).map_or(1, |leg| leg.leg))
    }

    fn cause(&mut self) -> EndCause {
        use EndCause::*;
        let causes = [
            Unspecified,
            Hangup,
            Cancelled,
            Busy,
            Rejected,
            NoAnswer,
            Unreachable,
            Media,
            Ordered,
            Failed,
            Lost,
            Moved,
        ];
        *self.dice.choice(&causes).expect("not empty")
    }

    pub(super) fn text(&mut self, texts: &[&str]) -> String {
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
            caller: self.text(&["+491", "+492", "+493", "", "anna"]),
            caller_name: self.text(&["Ann", ""]),
            passport: vec![1; if self.dice.u8(..) < 2 { 41 } else { self.dice.usize(0..4) }],
        }
    }
}
