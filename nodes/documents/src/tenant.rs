//! A checked document as a tenant's shard understands it; never refuses: what a shard cannot use, or what a later release
//! says, is left out.

use acd::{
    Action, Agent, Announcement, AnnouncementKind, AnswerMode, Callback, Caller, Centre, Chooser, ClosingPolicy,
    Condition, DateHours, Document, ForwardRule, ForwardWhen, Forwarding, Hours, IdleSince, JoinRule, Membership,
    Number, OverflowStep, Presentation, ProgressiveMode, ProgressiveStep, Queue, RonaPolicy, Schedule, Season, Skill,
    SkillDemand, SkillLevel, Staff, StartState, Sticky, Strategy, Target, Tier, TimedRoute, Trunk, Window, Zone,
};
use proto::v1;

/// The same document in the shard's words. `None` for a kind that this release does not know.
#[must_use]
pub fn for_shard(document: v1::Document) -> Option<Document> {
    use v1::document::Kind;
    Some(match document.kind? {
        Kind::Number(from) => Document::Number(number(from)),
        Kind::Queue(from) => Document::Queue(Box::new(queue(from))),
        Kind::Agent(from) => Document::Agent(agent(from)),
        Kind::Trunk(v1::Trunk { name, addresses, .. }) => Document::Trunk(Trunk { name, addresses }),
        Kind::Skill(v1::Skill { name }) => Document::Skill(Skill { name }),
        Kind::Schedule(from) => Document::Schedule(schedule(from)),
        Kind::Zone(from) => Document::Zone(Zone {
            name: from.name,
            tzdb: from.tzdb,
            first_offset_seconds: from.first_offset_seconds,
            changes: from.changes.into_iter().map(|change| (change.at_seconds, change.offset_seconds)).collect(),
        }),
        Kind::Caller(v1::Caller { name, numbers, priority, boost_seconds, agent }) => {
            Document::Caller(Caller { name, numbers, priority, boost_seconds, agent })
        }
        Kind::Forwarding(from) => Document::Forwarding(Forwarding {
            name: from.name,
            agent: from.agent,
            rules: from.rules.into_iter().filter_map(forward_rule).collect(),
        }),
        Kind::Centre(from) => Document::Centre(centre(from)),
        // The directory's own business.
        Kind::TenantItself(_) => return None,
    })
}

fn number(from: v1::Number) -> Number {
    Number {
        name: from.name,
        queue: from.queue,
        agent: from.agent,
        direct_seconds: from.direct_seconds,
        priority: from.priority,
        boost_seconds: from.boost_seconds,
        skills: from.skills.into_iter().map(demand).collect(),
        routes: from
            .routes
            .into_iter()
            .map(|v1::TimedRoute { schedule, queue }| TimedRoute { schedule, queue })
            .collect(),
    }
}

fn demand(from: v1::SkillDemand) -> SkillDemand {
    SkillDemand { skill: from.skill, level: from.level }
}

fn strategy(from: v1::Strategy) -> Strategy {
    use v1::Strategy as From;
    match from {
        From::Unspecified | From::LongestIdle => Strategy::LongestIdle,
        From::RoundRobin => Strategy::RoundRobin,
        From::Linear => Strategy::Linear,
        From::FewestCalls => Strategy::FewestCalls,
        From::LeastTalk => Strategy::LeastTalk,
        From::LeastOccupied => Strategy::LeastOccupied,
        From::MostSkilled => Strategy::MostSkilled,
        From::Random => Strategy::Random,
        From::WeightedRandom => Strategy::WeightedRandom,
        From::RingAll => Strategy::RingAll,
        From::Progressive => Strategy::Progressive,
        From::External => Strategy::External,
    }
}

fn queue(from: v1::Queue) -> Queue {
    Queue {
        strategy: strategy(from.strategy()),
        answer: match from.answer() {
            v1::AnswerMode::Unspecified | v1::AnswerMode::OnEntry => AnswerMode::OnEntry,
            v1::AnswerMode::OnAgent => AnswerMode::OnAgent,
        },
        idle_since: match from.idle_since() {
            v1::IdleSince::Unspecified | v1::IdleSince::Ready => IdleSince::Ready,
            v1::IdleSince::LastCall => IdleSince::LastCall,
        },
        window: match from.window() {
            v1::Window::Unspecified | v1::Window::Shift => Window::Shift,
            v1::Window::Day => Window::Day,
            v1::Window::Minutes => Window::Minutes(from.window_minutes.clamp(1, 1_440)),
        },
        rona: match from.rona() {
            v1::RonaPolicy::Unspecified | v1::RonaPolicy::NotReady => RonaPolicy::NotReady,
            v1::RonaPolicy::StayReady => RonaPolicy::StayReady,
        },
        progressive: match from.progressive() {
            v1::ProgressiveMode::Unspecified | v1::ProgressiveMode::Cumulative => ProgressiveMode::Cumulative,
            v1::ProgressiveMode::Replace => ProgressiveMode::Replace,
        },
        order: strategy(from.order()),
        closing: match from.closing() {
            v1::ClosingPolicy::Unspecified | v1::ClosingPolicy::Stay => ClosingPolicy::Stay,
            v1::ClosingPolicy::Go => ClosingPolicy::Go,
        },
        name: from.name,
        ring_seconds: from.ring_seconds,
        wrap_up_seconds: from.wrap_up_seconds,
        waiting_max: from.waiting_max,
        wait_seconds_max: from.wait_seconds_max,
        busy_delay_seconds: from.busy_delay_seconds,
        unreachable_delay_seconds: from.unreachable_delay_seconds,
        music: from.music,
        rona_delay_seconds: from.rona_delay_seconds,
        rona_max: from.rona_max,
        ageing_permille: from.ageing_permille,
        tiers: from.tiers.into_iter().map(|v1::Tier { tier, after_seconds }| Tier { tier, after_seconds }).collect(),
        skills: from.skills.into_iter().map(demand).collect(),
        ring_max: from.ring_max,
        ring_one_tier: from.ring_one_tier,
        steps: from
            .steps
            .into_iter()
            .map(|v1::ProgressiveStep { agents, seconds }| ProgressiveStep { agents, seconds })
            .collect(),
        chooser: from.chooser.map(|v1::Chooser { endpoint, deadline_ms }| Chooser { endpoint, deadline_ms }),
        sticky: from
            .sticky
            .filter(|sticky| sticky.on)
            .map(|sticky| Sticky { window_seconds: sticky.window_seconds, wait_seconds: sticky.wait_seconds }),
        overflow: from
            .overflow
            .into_iter()
            .filter_map(|step| {
                let after_seconds = step.after_seconds;
                Some(OverflowStep { after_seconds, when: condition(step.when), action: action(step.action)? })
            })
            .collect(),
        join: from
            .join
            .into_iter()
            .filter_map(|rule| Some(JoinRule { when: condition(rule.when), action: action(rule.action)? }))
            .collect(),
        leave: action(from.leave_action).map(|action| (condition(from.leave), action)),
        schedule: from.schedule,
        closed: action(from.closed),
        keys: from.keys.into_iter().filter_map(|key| Some((key.key.chars().next()?, action(key.action)?))).collect(),
        announcements: from.announcements.into_iter().map(announcement).collect(),
        callback: from.callback.filter(|callback| callback.on).map(|callback| Callback {
            attempts_max: callback.attempts_max,
            retry_seconds: callback.retry_seconds,
            expiry_seconds: callback.expiry_seconds,
            ring_seconds: callback.ring_seconds,
        }),
        short_abandon_seconds: from.short_abandon_seconds,
        service_level_seconds: from.service_level_seconds,
        wrap_up_max_seconds: from.wrap_up_max_seconds,
        reorder: from.reorder,
    }
}

fn condition(from: Option<v1::Condition>) -> Condition {
    let from = from.unwrap_or_default();
    Condition {
        waiting_over: from.waiting_over,
        some_wait: from.some_wait,
        estimate_over_seconds: from.estimate_over_seconds,
        waiting_per_agent_over_percent: from.waiting_per_agent_over_percent,
        nobody: from.nobody.map(|staff| Staff {
            ready: staff.ready,
            not_ready: staff.not_ready,
            wrap_up: staff.wrap_up,
            ringing: staff.ringing,
            talking: staff.talking,
            unreachable: staff.unreachable,
        }),
        closed: from.closed,
        open: from.open,
    }
}

fn action(from: Option<v1::Action>) -> Option<Action> {
    use v1::action::Kind;
    Some(match from?.kind? {
        Kind::OpenTier(tier) => Action::OpenTier(tier),
        Kind::Relax(asked) => Action::Relax(demand(asked)),
        Kind::AddQueue(queue) => Action::AddQueue(queue),
        Kind::MoveTo(queue) => Action::MoveTo(queue),
        Kind::Priority(class) => Action::Priority(class),
        Kind::BoostSeconds(seconds) => Action::Boost(seconds),
        Kind::OfferCallback(_) => Action::OfferCallback,
        Kind::Forward(to) => Action::Forward(target(to)?),
        Kind::HangUp(v1::HangUp { prompt, sip_status }) => Action::HangUp { prompt, sip_status },
        Kind::Announce(prompt) => Action::Announce(prompt),
        Kind::TakeCallback(_) => Action::TakeCallback,
    })
}

/// Whom a call may be sent to. `None` when nobody is named.
#[must_use]
pub fn target(from: v1::Target) -> Option<Target> {
    use v1::target::Kind;
    Some(match from.kind? {
        Kind::Agent(name) => Target::Agent(name),
        Kind::Queue(name) => Target::Queue(name),
        Kind::Number(number) => Target::Number(number),
        Kind::Sip(uri) => Target::Sip(uri),
    })
}

fn announcement(from: v1::Announcement) -> Announcement {
    Announcement {
        kind: match from.kind() {
            v1::AnnouncementKind::Unspecified | v1::AnnouncementKind::Prompt => AnnouncementKind::Prompt,
            v1::AnnouncementKind::Position => AnnouncementKind::Position,
            v1::AnnouncementKind::Estimate => AnnouncementKind::Estimate,
        },
        prompt: from.prompt,
        after_seconds: from.after_seconds,
        every_seconds: from.every_seconds,
    }
}

fn agent(from: v1::Agent) -> Agent {
    Agent {
        start: match from.start() {
            v1::StartState::Unspecified | v1::StartState::LoggedOut => StartState::LoggedOut,
            v1::StartState::NotReady => StartState::NotReady,
            v1::StartState::Ready => StartState::Ready,
        },
        name: from.name,
        contact: from.contact,
        queues: from
            .queues
            .into_iter()
            .map(|v1::Membership { queue, tier, weight }| Membership { queue, tier, weight })
            .collect(),
        wrap_up_seconds: from.wrap_up_seconds,
        capacity: from.capacity,
        skills: from.skills.into_iter().map(|v1::SkillLevel { skill, level }| SkillLevel { skill, level }).collect(),
        ring_all_contacts: from.ring_all_contacts,
        number: from.number,
    }
}

fn schedule(from: v1::Schedule) -> Schedule {
    Schedule {
        name: from.name,
        zone: from.zone,
        hours: from.hours.into_iter().map(hours).collect(),
        dates: from
            .dates
            .into_iter()
            .map(|date| DateHours {
                year: date.year,
                month: date.month,
                day: date.day,
                hours: date.hours.into_iter().map(hours).collect(),
            })
            .collect(),
        seasons: from
            .seasons
            .into_iter()
            .map(|season| Season {
                from_month: season.from_month,
                from_day: season.from_day,
                to_month: season.to_month,
                to_day: season.to_day,
                hours: season.hours.into_iter().map(hours).collect(),
            })
            .collect(),
    }
}

fn hours(from: v1::Hours) -> Hours {
    Hours { weekdays: from.weekdays, from_minute: from.from_minute, to_minute: from.to_minute }
}

fn forward_rule(from: v1::ForwardRule) -> Option<ForwardRule> {
    Some(ForwardRule {
        when: match from.when() {
            v1::ForwardWhen::Unspecified => return None,
            v1::ForwardWhen::Always => ForwardWhen::Always,
            v1::ForwardWhen::Busy => ForwardWhen::Busy,
            v1::ForwardWhen::NoAnswer => ForwardWhen::NoAnswer,
            v1::ForwardWhen::Unreachable => ForwardWhen::Unreachable,
        },
        after_seconds: from.after_seconds,
        targets: from.targets.into_iter().filter_map(|to| Some((target(to.target?)?, to.seconds))).collect(),
        group: from.group,
    })
}

fn centre(from: v1::Centre) -> Centre {
    Centre {
        outside: match from.outside() {
            v1::Presentation::Unspecified | v1::Presentation::Caller => Presentation::Caller,
            v1::Presentation::Company => Presentation::Company,
            v1::Presentation::Hidden => Presentation::Hidden,
        },
        name: from.name,
        zone: from.zone,
        number: from.number,
        transfer_failed: from.transfer_failed.and_then(target),
        hops_max: from.hops_max,
        target_ring_seconds: from.target_ring_seconds,
        blind_code: from.blind_code,
        consult_code: from.consult_code,
        transfer_prompt: from.transfer_prompt,
        callback_digits_min: from.callback_digits_min,
    }
}
