//! The lines of a golden script that edit documents; `configure` applies them.
//!
//! `queue NAME key=value..`; `step`, `join`, `leave`, `closed`, `key`, `say QUEUE ..` add to it; `number N QUEUE ..`;
//! `agent NAME QUEUE[:TIER[:WEIGHT]].. ..`; `skill NAME..`; `schedule NAME HOURS..`; `zone NAME ..`; `caller NAME NUMBER.. ..`;
//! `forward AGENT WHEN TARGET[@TIME].. ..`; `centre ..`; `remove NAME`.

use std::collections::BTreeMap;

use super::{Script, milliseconds};
use crate::*;

type Settings<'a> = BTreeMap<&'a str, &'a str>;

impl Script {
    /// Whether the line was about a document.
    pub(super) fn edit(&mut self, words: &[&str], settings: &Settings<'_>) -> bool {
        match words {
            ["queue", name] => self.put(name, Document::Queue(Box::new(queue(name, settings)))),
            ["step", name] => {
                let after_seconds = time(settings, "after");
                let step = OverflowStep { after_seconds, when: condition(settings), action: action(settings) };
                self.edit_queue(name, |queue| queue.overflow.push(step));
            }
            ["join", name] => {
                let rule = JoinRule { when: condition(settings), action: action(settings) };
                self.edit_queue(name, |queue| queue.join.push(rule));
            }
            ["leave", name] if settings.contains_key("do") => {
                self.edit_queue(name, |queue| queue.leave = Some((condition(settings), action(settings))));
            }
            ["closed", name] => self.edit_queue(name, |queue| queue.closed = Some(action(settings))),
            ["key", name, key] => {
                let key = key.chars().next().expect("a key");
                self.edit_queue(name, |queue| queue.keys.push((key, action(settings))));
            }
            ["say", name, kind] => {
                let said = Announcement {
                    kind: match *kind {
                        "prompt" => AnnouncementKind::Prompt,
                        "position" => AnnouncementKind::Position,
                        "estimate" => AnnouncementKind::Estimate,
                        other => panic!("nothing says {other}"),
                    },
                    prompt: text(settings, "prompt"),
                    after_seconds: time(settings, "after"),
                    every_seconds: time(settings, "every"),
                };
                self.edit_queue(name, |queue| queue.announcements.push(said));
            }
            ["number", name, queue] => self.put(name, Document::Number(number(name, queue, settings))),
            ["agent", name, queues @ ..] => self.put(name, Document::Agent(agent(name, queues, settings))),
            ["skill", names @ ..] => {
                for name in names {
                    self.put(name, Document::Skill(Skill { name: (*name).to_owned() }));
                }
            }
            ["schedule", name, hours @ ..] => self.put(name, Document::Schedule(schedule(name, hours, settings))),
            ["zone", name] => {
                let zone = Zone {
                    name: (*name).to_owned(),
                    tzdb: "test".to_owned(),
                    first_offset_seconds: settings.get("offset").map_or(0, |offset| offset.parse().expect("seconds")),
                    changes: Vec::new(),
                };
                self.put(name, Document::Zone(zone));
            }
            ["caller", name, numbers @ ..] => {
                let caller = Caller {
                    name: (*name).to_owned(),
                    numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
                    priority: whole(settings, "priority"),
                    boost_seconds: time(settings, "boost"),
                    agent: text(settings, "agent"),
                };
                self.put(name, Document::Caller(caller));
            }
            ["forward", agent, when, targets @ ..] => self.forward(agent, when, targets, settings),
            ["centre"] => self.put("centre", Document::Centre(centre(settings))),
            ["remove", name] => {
                self.documents.remove(*name).expect("only what is there is removed");
            }
            _ => return false,
        }
        true
    }

    fn put(&mut self, name: &str, document: Document) {
        self.documents.insert(name.to_owned(), document);
    }

    fn edit_queue(&mut self, name: &str, edit: impl FnOnce(&mut Queue)) {
        match self.documents.get_mut(name) {
            Some(Document::Queue(queue)) => edit(queue),
            other => panic!("{name} is no queue: {other:?}"),
        }
    }

    fn forward(&mut self, agent: &str, when: &str, targets: &[&str], settings: &Settings<'_>) {
        let name = format!("forwarding of {agent}");
        let rule = ForwardRule {
            when: match when {
                "always" => ForwardWhen::Always,
                "busy" => ForwardWhen::Busy,
                "no-answer" => ForwardWhen::NoAnswer,
                "unreachable" => ForwardWhen::Unreachable,
                other => panic!("no such rule: {other}"),
            },
            after_seconds: time(settings, "after"),
            targets: targets
                .iter()
                .map(|word| match word.split_once('@') {
                    Some((to, time)) if !to.starts_with("sip:") => (target(to), (milliseconds(time) / 1000) as u32),
                    Some(_) | None => (target(word), 0),
                })
                .collect(),
            group: settings.contains_key("group"),
        };
        let entry = self
            .documents
            .entry(name.clone())
            .or_insert_with(|| Document::Forwarding(Forwarding { name, agent: agent.to_owned(), rules: Vec::new() }));
        if let Document::Forwarding(forwarding) = entry {
            forwarding.rules.push(rule);
        }
    }
}

/// `agent:a1`, `queue:q`, `number:5`, `sip:x@host`.
pub(super) fn target(word: &str) -> Target {
    match word.split_once(':') {
        Some(("agent", name)) => Target::Agent(name.to_owned()),
        Some(("queue", name)) => Target::Queue(name.to_owned()),
        Some(("number", name)) => Target::Number(name.to_owned()),
        Some(("sip", _)) => Target::Sip(word.to_owned()),
        Some(_) | None => panic!("no such target: {word}"),
    }
}

fn whole(settings: &Settings<'_>, name: &str) -> u32 {
    settings.get(name).map_or(0, |value| value.parse().expect("a number"))
}

fn time(settings: &Settings<'_>, name: &str) -> u32 {
    settings.get(name).map_or(0, |value| (milliseconds(value) / 1000) as u32)
}

fn text(settings: &Settings<'_>, name: &str) -> String {
    settings.get(name).copied().unwrap_or_default().to_owned()
}

fn strategy(word: &str) -> Strategy {
    Strategy::ALL
        .into_iter()
        .find(|strategy| strategy.name() == word)
        .unwrap_or_else(|| panic!("no such strategy: {word}"))
}

fn demands(word: &str) -> Vec<SkillDemand> {
    word.split(',').filter(|demand| !demand.is_empty()).map(demand).collect()
}

fn demand(word: &str) -> SkillDemand {
    let (skill, level) = word.split_once(':').unwrap_or((word, "1"));
    SkillDemand { skill: skill.to_owned(), level: level.parse().expect("a level") }
}

fn condition(settings: &Settings<'_>) -> Condition {
    let staff = |words: &&str| {
        let has = |state: &str| words.split(',').any(|word| word == state);
        Staff {
            ready: has("ready"),
            not_ready: has("not-ready"),
            wrap_up: has("wrap-up"),
            ringing: has("ringing"),
            talking: has("talking"),
            unreachable: has("unreachable"),
        }
    };
    Condition {
        waiting_over: whole(settings, "waiting-over"),
        some_wait: settings.contains_key("some-wait"),
        estimate_over_seconds: time(settings, "estimate-over"),
        waiting_per_agent_over_percent: whole(settings, "waiting-per-agent-over"),
        nobody: settings.get("nobody").map(staff),
        closed: text(settings, "when-closed"),
        open: text(settings, "when-open"),
    }
}

/// `do=open-tier:2`, `do=relax:english:20`, `do=forward:number:123`, `do=hang-up`, `do=hang-up:sorry`..
fn action(settings: &Settings<'_>) -> Action {
    let word = settings.get("do").expect("something is to be done");
    let (kind, rest) = word.split_once(':').unwrap_or((word, ""));
    let number = || rest.parse().expect("a number");
    match kind {
        "open-tier" => Action::OpenTier(number()),
        "relax" => Action::Relax(demand(rest)),
        "add-queue" => Action::AddQueue(rest.to_owned()),
        "move-to" => Action::MoveTo(rest.to_owned()),
        "priority" => Action::Priority(number()),
        "boost" => Action::Boost((milliseconds(rest) / 1000) as u32),
        "offer-callback" => Action::OfferCallback,
        "take-callback" => Action::TakeCallback,
        "forward" => Action::Forward(target(rest)),
        "hang-up" => Action::HangUp { prompt: rest.to_owned(), sip_status: whole(settings, "status") },
        "announce" => Action::Announce(rest.to_owned()),
        other => panic!("no such action: {other}"),
    }
}

fn queue(name: &str, settings: &Settings<'_>) -> Queue {
    let pairs = |name: &str| -> Vec<(String, String)> {
        let words = settings.get(name).copied().unwrap_or_default();
        let pair = |word: &str| word.split_once('@').map(|(one, other)| (one.to_owned(), other.to_owned()));
        words.split(',').filter_map(pair).collect()
    };
    let in_seconds = |word: &str| (milliseconds(word) / 1000) as u32;
    Queue {
        name: name.to_owned(),
        strategy: settings.get("strategy").map_or(Strategy::LongestIdle, |word| strategy(word)),
        answer: match settings.get("answer") {
            Some(&"on-agent") => AnswerMode::OnAgent,
            Some(_) | None => AnswerMode::OnEntry,
        },
        ring_seconds: time(settings, "ring"),
        wrap_up_seconds: time(settings, "wrap-up"),
        waiting_max: whole(settings, "waiting-max"),
        wait_seconds_max: time(settings, "wait-max"),
        busy_delay_seconds: time(settings, "busy-delay"),
        unreachable_delay_seconds: time(settings, "unreachable-delay"),
        music: text(settings, "music"),
        idle_since: if settings.get("idle-since") == Some(&"last-call") {
            IdleSince::LastCall
        } else {
            IdleSince::Ready
        },
        window: match settings.get("window") {
            None | Some(&"shift") => Window::Shift,
            Some(&"day") => Window::Day,
            Some(time) => Window::Minutes((milliseconds(time) / 60_000) as u32),
        },
        rona: if settings.get("rona") == Some(&"stay-ready") { RonaPolicy::StayReady } else { RonaPolicy::NotReady },
        rona_delay_seconds: time(settings, "rona-delay"),
        rona_max: whole(settings, "rona-max"),
        ageing_permille: whole(settings, "ageing"),
        tiers: pairs("tiers")
            .into_iter()
            .map(|(tier, after)| Tier { tier: tier.parse().expect("a tier"), after_seconds: in_seconds(&after) })
            .collect(),
        skills: demands(settings.get("skills").copied().unwrap_or_default()),
        ring_max: whole(settings, "ring-max"),
        ring_one_tier: settings.contains_key("one-tier"),
        steps: pairs("steps")
            .into_iter()
            .map(|(agents, time)| ProgressiveStep {
                agents: agents.parse().expect("agents"),
                seconds: in_seconds(&time),
            })
            .collect(),
        progressive: match settings.get("mode") {
            Some(&"replace") => ProgressiveMode::Replace,
            Some(_) | None => ProgressiveMode::Cumulative,
        },
        order: settings.get("order").map_or(Strategy::LongestIdle, |word| strategy(word)),
        chooser: settings
            .get("chooser")
            .map(|endpoint| Chooser { endpoint: (*endpoint).to_owned(), deadline_ms: whole(settings, "deadline-ms") }),
        sticky: settings
            .get("sticky")
            .map(|wait| Sticky { window_seconds: time(settings, "sticky-window"), wait_seconds: in_seconds(wait) }),
        schedule: text(settings, "schedule"),
        closing: if settings.get("closing") == Some(&"go") { ClosingPolicy::Go } else { ClosingPolicy::Stay },
        callback: settings.contains_key("callback").then(|| Callback {
            attempts_max: whole(settings, "attempts"),
            retry_seconds: time(settings, "retry"),
            expiry_seconds: time(settings, "expiry"),
            ring_seconds: time(settings, "callback-ring"),
        }),
        short_abandon_seconds: time(settings, "short-abandon"),
        service_level_seconds: time(settings, "service-level"),
        wrap_up_max_seconds: time(settings, "wrap-up-max"),
        reorder: settings.contains_key("reorder"),
        ..Queue::default()
    }
}

fn number(name: &str, queue: &str, settings: &Settings<'_>) -> Number {
    let routes = settings.get("routes").copied().unwrap_or_default();
    let routes = routes
        .split(',')
        .filter_map(|route| route.split_once('>'))
        .map(|(schedule, queue)| TimedRoute { schedule: schedule.to_owned(), queue: queue.to_owned() });
    Number {
        name: name.to_owned(),
        queue: queue.to_owned(),
        agent: text(settings, "agent"),
        direct_seconds: time(settings, "for"),
        priority: whole(settings, "priority"),
        boost_seconds: time(settings, "boost"),
        skills: demands(settings.get("skills").copied().unwrap_or_default()),
        routes: routes.collect(),
    }
}

fn agent(name: &str, queues: &[&str], settings: &Settings<'_>) -> Agent {
    let member = |word: &&str| {
        let mut parts = word.split(':');
        let queue = parts.next().expect("a queue").to_owned();
        let mut next = || parts.next().map_or(0, |part| part.parse().expect("a number"));
        Membership { queue, tier: next(), weight: next() }
    };
    let skills = settings.get("skills").copied().unwrap_or_default();
    Agent {
        name: name.to_owned(),
        contact: match settings.get("contact") {
            Some(&"none") => String::new(),
            Some(contact) => (*contact).to_owned(),
            None => format!("sip:{name}"),
        },
        queues: queues.iter().map(member).collect(),
        start: match settings.get("start") {
            None | Some(&"ready") => StartState::Ready,
            Some(&"not-ready") => StartState::NotReady,
            Some(_) => StartState::LoggedOut,
        },
        wrap_up_seconds: time(settings, "wrap-up"),
        capacity: whole(settings, "capacity"),
        skills: demands(skills).into_iter().map(|has| SkillLevel { skill: has.skill, level: has.level }).collect(),
        ring_all_contacts: settings.contains_key("ring-all-contacts"),
        number: text(settings, "number"),
    }
}

/// Hours are `mon-fri@9:00-17:00`, `*@..`; with `holiday=YYYY-MM-DD` closed on a date. Without a zone it is UTC.
fn schedule(name: &str, hours: &[&str], settings: &Settings<'_>) -> Schedule {
    let day = |word: &str| ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().position(|day| *day == word);
    let minute = |word: &str| {
        let (hour, minute) = word.split_once(':').expect("a time such as 9:00");
        hour.parse::<u32>().expect("an hour") * 60 + minute.parse::<u32>().expect("a minute")
    };
    let span = |word: &&str| {
        let (days, times) = word.split_once('@').expect("days@times");
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, to) = times.split_once('-').expect("a span");
        let days = if days == "*" { 0..=6 } else { day(first).expect("a day")..=day(last).expect("a day") };
        Hours { weekdays: days.map(|day| day as u32 + 1).collect(), from_minute: minute(from), to_minute: minute(to) }
    };
    let holiday = |word: &&str| {
        let mut parts = word.split('-').map(|part| part.parse().expect("a date"));
        let mut next = || parts.next().expect("a date such as 2001-09-10");
        DateHours { year: next(), month: next(), day: next(), hours: Vec::new() }
    };
    Schedule {
        name: name.to_owned(),
        zone: text(settings, "zone"),
        hours: hours.iter().map(span).collect(),
        dates: settings.get("holiday").iter().map(|word| holiday(word)).collect(),
        seasons: Vec::new(),
    }
}

fn centre(settings: &Settings<'_>) -> Centre {
    Centre {
        name: "centre".to_owned(),
        zone: text(settings, "zone"),
        number: text(settings, "number"),
        outside: match settings.get("outside") {
            None | Some(&"caller") => Presentation::Caller,
            Some(&"company") => Presentation::Company,
            Some(_) => Presentation::Hidden,
        },
        transfer_failed: settings.get("transfer-failed").map(|word| target(word)),
        hops_max: whole(settings, "hops-max"),
        target_ring_seconds: time(settings, "target-ring"),
        blind_code: text(settings, "blind-code"),
        consult_code: text(settings, "consult-code"),
        transfer_prompt: text(settings, "transfer-prompt"),
        callback_digits_min: whole(settings, "callback-digits-min"),
    }
}
