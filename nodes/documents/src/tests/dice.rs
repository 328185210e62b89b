//! Documents by seeded dice: what is printed reads back as it was, and no text makes reading panic.

use std::ops::RangeInclusive;

use fastrand::Rng;
use proto::v1::*;

use super::{check, file, line, parse, reference, to_yaml, zones};
use crate::{limits, words};

/// Dice for one document.
struct Dice(Rng);

impl Dice {
    fn name(&mut self) -> String {
        let names = ["a", "null", "007", "no", "x-1", "1.5", "~", "true", "on", "anna.b", "+1", "closed", "-"];
        let name = names[self.0.usize(0..names.len())];
        if limits::is_name(name) { name.to_owned() } else { "q_".to_owned() }
    }

    fn maybe_name(&mut self) -> String {
        if self.0.bool() { self.name() } else { String::new() }
    }

    fn number(&mut self) -> String {
        ["+4930", "*8", "#1", "5000", "null", "anna"][self.0.usize(0..6)].to_owned()
    }

    fn within(&mut self, range: &RangeInclusive<u32>) -> u32 {
        if self.0.u8(0..4) == 0 { *range.end() } else { self.0.u32(*range.start()..=(*range.end()).min(5_000)) }
    }

    /// Within the range, or 0 for a field that is not there.
    fn maybe(&mut self, range: &RangeInclusive<u32>) -> u32 {
        if self.0.bool() { self.within(range) } else { 0 }
    }

    fn word<T: Copy + Into<i32>>(&mut self, words: &[(&str, T)]) -> i32 {
        words[self.0.usize(0..words.len())].1.into()
    }

    fn maybe_word<T: Copy + Into<i32>>(&mut self, words: &[(&str, T)]) -> i32 {
        if self.0.bool() { self.word(words) } else { 0 }
    }

    fn some<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.0.usize(0..=most)).map(|_| one(self)).collect()
    }

    fn demands(&mut self) -> Vec<SkillDemand> {
        let mut skills: Vec<_> = self.some(4, |dice| (dice.name(), dice.within(&limits::LEVEL)));
        skills.sort();
        skills.dedup_by(|left, right| left.0 == right.0);
        skills.into_iter().map(|(skill, level)| SkillDemand { skill, level }).collect()
    }

    fn target(&mut self) -> Target {
        let kind = match self.0.u8(0..4) {
            0 => target::Kind::Agent(self.name()),
            1 => target::Kind::Queue(self.name()),
            2 => target::Kind::Number(self.number()),
            _ => target::Kind::Sip("sip:a@[2001:db8::1]:5060;transport=tcp".to_owned()),
        };
        Target { kind: Some(kind) }
    }

    fn away(&mut self) -> Action {
        let kind = match self.0.u8(0..3) {
            0 => action::Kind::MoveTo(self.name()),
            1 => action::Kind::Forward(self.target()),
            _ => {
                action::Kind::HangUp(HangUp { prompt: self.maybe_name(), sip_status: self.maybe(&limits::SIP_STATUS) })
            }
        };
        Action { kind: Some(kind) }
    }

    fn action(&mut self, callbacks: bool) -> Action {
        let kind = match self.0.u8(0..8) {
            0 => action::Kind::OpenTier(self.within(&limits::LATER_TIER)),
            1 => action::Kind::Relax(SkillDemand { skill: self.name(), level: self.within(&limits::RELAXED_LEVEL) }),
            2 => action::Kind::AddQueue(self.name()),
            3 => action::Kind::Priority(self.within(&limits::PRIORITY)),
            4 => action::Kind::BoostSeconds(self.within(&limits::SOME_SECONDS)),
            5 => action::Kind::Announce(self.name()),
            6 if callbacks => action::Kind::OfferCallback(true),
            _ => return self.away(),
        };
        Action { kind: Some(kind) }
    }

    fn condition(&mut self) -> Condition {
        let nobody = self.0.bool().then(|| Staff {
            ready: true,
            not_ready: self.0.bool(),
            wrap_up: self.0.bool(),
            ringing: self.0.bool(),
            talking: self.0.bool(),
            unreachable: self.0.bool(),
        });
        Condition {
            waiting_over: self.within(&limits::WAITING_OVER),
            some_wait: self.0.bool(),
            estimate_over_seconds: self.maybe(&limits::SOME_SECONDS),
            waiting_per_agent_over_percent: self.maybe(&(1..=999_999)),
            nobody,
            closed: self.maybe_name(),
            open: String::new(),
        }
    }

    fn maybe_when(&mut self) -> Option<Condition> {
        self.0.bool().then(|| self.condition())
    }

    fn queue(&mut self) -> Queue {
        let mut queue = Queue {
            name: self.name(),
            strategy: self.word(&words::STRATEGIES),
            answer: self.word(&words::ANSWERS),
            ring_seconds: self.within(&limits::RING_SECONDS),
            wrap_up_seconds: self.within(&limits::WRAP_UP_SECONDS),
            waiting_max: self.within(&limits::WAITING_MAX),
            wait_seconds_max: self.within(&limits::WAIT_SECONDS_MAX),
            busy_delay_seconds: self.within(&limits::DELAY_SECONDS),
            unreachable_delay_seconds: self.within(&limits::DELAY_SECONDS),
            music: self.name(),
            rona: self.maybe_word(&words::RONA),
            rona_max: self.maybe(&limits::RONA_MAX),
            ageing_permille: self.maybe(&limits::AGEING_PERMILLE),
            skills: self.demands(),
            schedule: self.maybe_name(),
            short_abandon_seconds: self.maybe(&limits::SOME_SECONDS),
            service_level_seconds: self.maybe(&limits::SOME_SECONDS),
            wrap_up_max_seconds: self.maybe(&limits::SOME_SECONDS),
            reorder: self.0.bool(),
            ..Queue::default()
        };
        if queue.rona() == RonaPolicy::StayReady {
            queue.rona_delay_seconds = self.maybe(&limits::RONA_DELAY_SECONDS);
        }
        self.choosing(&mut queue);
        self.waiting(&mut queue);
        queue
    }

    fn choosing(&mut self, queue: &mut Queue) {
        match queue.strategy() {
            Strategy::RingAll => {
                queue.ring_max = self.maybe(&limits::RING_MAX);
                queue.ring_one_tier = self.0.bool();
                queue.order = self.maybe_word(&words::STRATEGIES[..words::SINGLE]);
            }
            Strategy::Progressive => {
                queue.progressive = self.maybe_word(&words::PROGRESSIVE);
                queue.steps = self.some(4, |dice| ProgressiveStep {
                    agents: dice.within(&limits::STEP_AGENTS),
                    seconds: dice.within(&limits::RING_SECONDS),
                });
                queue.steps.push(ProgressiveStep { agents: 1, seconds: 1 });
            }
            Strategy::External => {
                let deadline_ms = self.maybe(&limits::CHOOSER_DEADLINE_MS);
                queue.chooser = Some(Chooser { endpoint: "http://[::1]:50051".to_owned(), deadline_ms });
            }
            Strategy::FewestCalls | Strategy::LeastTalk | Strategy::LeastOccupied => {
                let windows = [Window::Unspecified, Window::Shift, Window::Day, Window::Minutes];
                queue.window = windows[self.0.usize(0..4)].into();
                if queue.window() == Window::Minutes {
                    queue.window_minutes = self.within(&limits::WINDOW_MINUTES);
                }
            }
            Strategy::LongestIdle | Strategy::MostSkilled => queue.idle_since = self.maybe_word(&words::IDLE),
            _ => {}
        }
    }

    fn waiting(&mut self, queue: &mut Queue) {
        let tiers = self.0.u32(2..=9);
        queue.tiers = (2..tiers).map(|tier| Tier { tier, after_seconds: tier * 7 }).collect();
        queue.sticky = self.0.bool().then(|| Sticky {
            on: true,
            window_seconds: self.maybe(&limits::STICKY_WINDOW_SECONDS),
            wait_seconds: self.maybe(&limits::SPAN_SECONDS),
        });
        queue.callback = self.0.bool().then(|| Callback {
            on: true,
            attempts_max: self.maybe(&limits::ATTEMPTS_MAX),
            retry_seconds: self.maybe(&limits::SOME_SECONDS),
            expiry_seconds: self.maybe(&limits::EXPIRY_SECONDS),
            ring_seconds: self.maybe(&limits::RING_SECONDS),
        });
        let callbacks = queue.callback.is_some();
        let mut after_seconds = 0;
        queue.overflow = self.some(4, |dice| {
            after_seconds += dice.0.u32(0..4_000);
            OverflowStep { after_seconds, when: dice.maybe_when(), action: Some(dice.action(callbacks)) }
        });
        queue.join =
            self.some(3, |dice| JoinRule { when: Some(dice.condition()), action: Some(dice.action(callbacks)) });
        if self.0.bool() {
            (queue.leave, queue.leave_action) = (Some(self.condition()), Some(self.away()));
        }
        if !queue.schedule.is_empty() {
            queue.closed = self.0.bool().then(|| self.away());
            queue.closing = self.maybe_word(&words::CLOSING);
        }
        let key = |key: &str, action| KeyAction { key: key.to_owned(), action: Some(action) };
        for name in ["#", "*", "0", "7"].into_iter().filter(|_| self.0.bool()).collect::<Vec<_>>() {
            queue.keys.push(key(name, self.away()));
        }
        if callbacks {
            queue.keys.push(key("9", Action { kind: Some(action::Kind::TakeCallback(true)) }));
        }
        queue.announcements = self.some(4, |dice| Announcement {
            kind: dice.word(&words::SAID),
            prompt: dice.name(),
            after_seconds: dice.maybe(&limits::SPAN_SECONDS),
            every_seconds: dice.maybe(&limits::SOME_SECONDS),
        });
    }

    fn agent(&mut self) -> Agent {
        let mut queues = self.some(4, |dice| Membership {
            queue: dice.name(),
            tier: dice.maybe(&limits::TIER),
            weight: dice.maybe(&limits::WEIGHT),
        });
        queues.sort_by(|left, right| left.queue.cmp(&right.queue));
        queues.dedup_by(|left, right| left.queue == right.queue);
        let skills = self.demands().into_iter().map(|demand| SkillLevel { skill: demand.skill, level: demand.level });
        Agent {
            name: self.name(),
            contact: ["", "sip:a@192.0.2.1"][self.0.usize(0..2)].to_owned(),
            queues,
            start: self.word(&words::STARTS),
            wrap_up_seconds: self.maybe(&limits::WRAP_UP_SECONDS),
            ha1_md5: vec![self.0.u8(..); 16],
            ha1_sha256: vec![self.0.u8(..); 32],
            capacity: self.maybe(&limits::CAPACITY),
            skills: skills.collect(),
            ring_all_contacts: self.0.bool(),
            number: self.number(),
        }
    }

    fn trunk(&mut self) -> Trunk {
        let networks = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"];
        let names = ["192.0.2.1", "2001:db8::7", "sip.example.net", "carrier", "null", "a-1.b_2.x"];
        let mut hosts = self.some(4, |dice| TrunkHost {
            host: names[dice.0.usize(0..names.len())].to_owned(),
            port: dice.maybe(&limits::PORT),
            transport: dice.maybe_word(&words::TRANSPORTS),
            priority: dice.maybe(&limits::TRUNK_PRIORITY),
            weight: dice.maybe(&limits::TRUNK_WEIGHT),
        });
        hosts.sort_by(|left, right| left.host.cmp(&right.host));
        hosts.dedup_by(|left, right| left.host == right.host);
        let mut trunk = Trunk {
            name: self.name(),
            addresses: self.some(3, |dice| networks[dice.0.usize(0..networks.len())].to_owned()),
            hosts,
            calls_max: self.maybe(&limits::TRUNK_CALLS_MAX),
            calls_per_second_max: self.maybe(&limits::TRUNK_CALLS_PER_SECOND_MAX),
            assert_identity: self.0.bool(),
            codecs: [vec![], vec!["pcma"], vec!["pcma", "pcmu"]][self.0.usize(0..3)]
                .iter()
                .map(ToString::to_string)
                .collect(),
            ..Trunk::default()
        };
        if trunk.hosts.is_empty() {
            trunk.addresses.push("192.0.2.9".to_owned());
            return trunk;
        }
        trunk.prefixes = ["+49", "0", "*8", "007"].into_iter().filter(|_| self.0.bool()).map(str::to_owned).collect();
        trunk.priority = self.maybe(&limits::TRUNK_PRIORITY);
        trunk.weight = self.maybe(&limits::TRUNK_WEIGHT);
        trunk.options_seconds = self.maybe(&limits::TRUNK_OPTIONS_SECONDS);
        trunk.login = self.0.bool().then(|| TrunkLogin {
            user: ["49 30", "null", "a@b"][self.0.usize(0..3)].to_owned(),
            realm: ["sip.example.net", "a: b", "'"][self.0.usize(0..3)].to_owned(),
            ha1_md5: vec![self.0.u8(..); 16],
            ha1_sha256: vec![self.0.u8(..); 32],
        });
        trunk.registration = self.0.bool().then(|| TrunkRegistration {
            aor: "sip:+4930@example.net".to_owned(),
            expires_seconds: self.maybe(&limits::REGISTRATION_SECONDS),
        });
        trunk.diversion = self.0.bool();
        trunk.domain = ["", "example.net", "192.0.2.1", "true"][self.0.usize(0..4)].to_owned();
        trunk
    }

    fn hours(&mut self, weekly: bool) -> Hours {
        let weekdays: Vec<u32> = (1..=7).filter(|_| weekly && self.0.bool()).collect();
        let (from_minute, to_minute) = (self.0.u32(0..1_440), self.0.u32(0..=1_440));
        let to_minute = if from_minute == to_minute { 1_440 } else { to_minute };
        let weekdays = if weekly && weekdays.is_empty() { vec![6, 7] } else { weekdays };
        Hours { weekdays, from_minute, to_minute }
    }

    fn schedule(&mut self) -> Schedule {
        let mut dates = self.some(5, |dice| DateHours {
            year: if dice.0.bool() { dice.0.u32(limits::YEAR) } else { 0 },
            month: dice.0.u32(1..=12),
            day: dice.0.u32(1..=28),
            hours: dice.some(2, |dice| dice.hours(false)),
        });
        dates.sort_by_key(|date| (date.year == 0, date.year, date.month, date.day));
        dates.dedup_by_key(|date| (date.year, date.month, date.day));
        let seasons = (1..=12).step_by(3).filter(|_| self.0.bool()).collect::<Vec<u32>>();
        Schedule {
            name: self.name(),
            zone: ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"][self.0.usize(0..3)].to_owned(),
            hours: self.some(4, |dice| dice.hours(true)),
            dates,
            seasons: seasons
                .into_iter()
                .map(|from_month| Season {
                    from_month,
                    from_day: self.0.u32(1..=28),
                    to_month: from_month + 1,
                    to_day: self.0.u32(1..=28),
                    hours: self.some(2, |dice| dice.hours(true)),
                })
                .collect(),
        }
    }

    fn forwarding(&mut self) -> Forwarding {
        let mut rules: Vec<ForwardRule> = Vec::new();
        for (_, when) in words::FORWARDS.iter().rev().filter(|_| self.0.bool()).collect::<Vec<_>>() {
            let mut targets = self.some(3, |dice| ForwardTarget {
                target: Some(dice.target()),
                seconds: dice.maybe(&limits::RING_SECONDS),
            });
            targets.push(ForwardTarget { target: Some(self.target()), seconds: 0 });
            let no_answer = *when == ForwardWhen::NoAnswer;
            let after_seconds = if no_answer { self.maybe(&limits::RING_SECONDS) } else { 0 };
            rules.push(ForwardRule { when: (*when).into(), after_seconds, targets, group: self.0.bool() });
        }
        if rules.is_empty() {
            let targets = vec![ForwardTarget { target: Some(self.target()), seconds: 0 }];
            rules.push(ForwardRule { when: ForwardWhen::Always.into(), targets, ..ForwardRule::default() });
        }
        Forwarding { name: self.name(), agent: self.name(), rules }
    }

    fn document(&mut self) -> Document {
        let kind = match self.0.u8(0..10) {
            0 => document::Kind::Number(Number {
                name: self.name(),
                queue: self.name(),
                agent: self.name(),
                direct_seconds: self.maybe(&limits::SPAN_SECONDS),
                priority: self.maybe(&limits::PRIORITY),
                boost_seconds: self.maybe(&limits::SPAN_SECONDS),
                skills: self.demands(),
                routes: self.some(3, |dice| TimedRoute { schedule: dice.name(), queue: dice.name() }),
            }),
            1 | 2 => document::Kind::Queue(self.queue()),
            3 => document::Kind::Agent(self.agent()),
            4 => document::Kind::Schedule(self.schedule()),
            5 => document::Kind::Forwarding(self.forwarding()),
            6 => document::Kind::Caller(Caller {
                name: self.name(),
                numbers: vec![self.number(), "1".to_owned()],
                priority: self.maybe(&limits::PRIORITY),
                boost_seconds: self.maybe(&limits::SPAN_SECONDS),
                agent: self.maybe_name(),
            }),
            7 => document::Kind::Centre(Centre {
                name: self.name(),
                zone: ["", "Asia/Kathmandu"][self.0.usize(0..2)].to_owned(),
                number: self.number(),
                outside: self.maybe_word(&words::PRESENTATIONS),
                transfer_failed: self.0.bool().then(|| self.target()),
                hops_max: self.maybe(&limits::HOPS_MAX),
                target_ring_seconds: self.maybe(&limits::RING_SECONDS),
                blind_code: ["", "*81"][self.0.usize(0..2)].to_owned(),
                consult_code: ["", "*9"][self.0.usize(0..2)].to_owned(),
                transfer_prompt: self.maybe_name(),
                callback_digits_min: self.maybe(&limits::CALLBACK_DIGITS_MIN),
                egress_deny: ["10.0.0.0/8", "::/0"].into_iter().filter(|_| self.0.bool()).map(str::to_owned).collect(),
                egress_allow: ["192.0.2.1"].into_iter().filter(|_| self.0.bool()).map(str::to_owned).collect(),
                emergency: self.some(3, Self::number),
            }),
            8 => document::Kind::Trunk(self.trunk()),
            _ => document::Kind::Skill(Skill { name: self.name() }),
        };
        Document { kind: Some(kind), ..Document::default() }
    }
}

#[test]
fn what_is_printed_reads_back_as_it_was() {
    for seed in 0..3_000 {
        let document = Dice(Rng::with_seed(seed)).document();
        let yaml = to_yaml(std::slice::from_ref(&document));
        let read = parse(&[file("f", &yaml)]).unwrap_or_else(|errors| {
            let errors: Vec<_> = errors.iter().map(line).collect();
            panic!("seed {seed}: {}\n{yaml}", errors.join("\n"))
        });
        let read: Vec<_> = read.into_iter().map(|sourced| sourced.document).collect();
        assert_eq!(read, [document], "seed {seed}:\n{yaml}");
    }
}

#[test]
fn other_readers_of_yaml_see_the_same_keys() {
    for seed in 0..300 {
        let document = Dice(Rng::with_seed(seed)).document();
        let yaml = to_yaml(std::slice::from_ref(&document));
        let read: Result<Vec<serde::de::IgnoredAny>, _> = serde_saphyr::from_multiple(&yaml);
        assert!(read.is_ok(), "seed {seed}: {:?}\n{yaml}", read.err());
    }
}

#[test]
fn a_reference_that_is_cut_short_or_mangled_never_panics() {
    let text: String = reference::blocks().into_iter().map(|(_, block)| format!("---\n{block}")).collect();
    let mut dice = Rng::with_seed(7);
    for cut in (0..text.len()).step_by(61) {
        let _ = check(&[], &[file("f", &text[..cut])]);
    }
    let lines: Vec<&str> = text.lines().collect();
    for _ in 0..300 {
        let mut mangled = lines.clone();
        for _ in 0..dice.usize(1..20) {
            let (at, to) = (dice.usize(0..mangled.len()), dice.usize(0..mangled.len()));
            match dice.u8(0..4) {
                0 => drop(mangled.remove(at)),
                1 => mangled.swap(at, to),
                2 => mangled[at] = mangled[at].split(':').next().unwrap_or_default(),
                _ => mangled.insert(at, lines[to % lines.len()]),
            }
        }
        let mangled = mangled.join("\n");
        match check(&[], &[file("f", &mangled)]) {
            Ok(plan) => drop(to_yaml(&plan.upserts)),
            Err(errors) => assert!(errors.iter().all(|error| error.file == "f" && error.line > 0), "{errors:?}"),
        }
    }
}

#[test]
fn documents_that_nobody_could_have_written_are_printed_all_the_same() {
    let odd = [
        document::Kind::Queue(Queue {
            window: 99,
            tiers: vec![Tier { tier: 0, after_seconds: u32::MAX }],
            closed: Some(Action { kind: None }),
            join: vec![JoinRule { when: None, action: None }],
            keys: vec![KeyAction { key: "\u{0}".to_owned(), action: None }],
            ..Queue::default()
        }),
        document::Kind::Schedule(Schedule {
            hours: vec![Hours { weekdays: vec![0, 9, u32::MAX], from_minute: u32::MAX, to_minute: 0 }],
            zone: "Nowhere/None".to_owned(),
            ..Schedule::default()
        }),
        document::Kind::Forwarding(Forwarding {
            rules: vec![ForwardRule { targets: vec![ForwardTarget::default()], ..ForwardRule::default() }],
            ..Forwarding::default()
        }),
    ];
    let documents: Vec<_> = odd.into_iter().map(|kind| Document { kind: Some(kind), ..Document::default() }).collect();
    let yaml = to_yaml(&documents);
    assert!(check(&[], &[file("f", &yaml)]).is_err(), "{yaml}");
    assert_eq!(zones(&documents), [], "an unknown zone is left out");
    assert!(check(&documents, &[file("f", "kind: Skill\nname: k\n")]).is_ok(), "what is there does not hinder");
}
