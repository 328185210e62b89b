//! A queue back to its YAML, with its conditions, actions and targets. Never prints a default that nobody wrote, save
//! those that were printed ever since.

use proto::v1::{
    Action, AnnouncementKind, Callback, Condition, Queue, SkillDemand, Sticky, Target, Window, action, target,
};

use super::{
    page::{Page, Printed},
    words::{ANSWERS, CLOSING, IDLE, PROGRESSIVE, RONA, SAID, STRATEGIES, word},
    yaml::span,
};

pub(super) fn queue(queue: &Queue) -> Page {
    let mut page = Page::of("Queue", &queue.name)
        .with("strategy", Printed::text(word(&STRATEGIES, queue.strategy())))
        .with("answer", Printed::text(word(&ANSWERS, queue.answer())))
        .with("ring_seconds", Printed::Number(queue.ring_seconds))
        .with("wrap_up_seconds", Printed::Number(queue.wrap_up_seconds))
        .with("waiting_max", Printed::Number(queue.waiting_max))
        .with("wait_seconds_max", Printed::Number(queue.wait_seconds_max))
        .with("busy_delay_seconds", Printed::Number(queue.busy_delay_seconds))
        .with("unreachable_delay_seconds", Printed::Number(queue.unreachable_delay_seconds))
        .with("music", Printed::text(&queue.music));
    page = choosing(page, queue);
    if queue.rona != 0 {
        page = page.with("rona", Printed::text(word(&RONA, queue.rona())));
    }
    page = page
        .number("rona_delay_seconds", queue.rona_delay_seconds)
        .number("rona_max", queue.rona_max)
        .number("ageing_permille", queue.ageing_permille)
        .map("tiers", queue.tiers.iter().map(|tier| (tier.tier.to_string(), span(tier.after_seconds))))
        .map("skills", demands(&queue.skills));
    if let Some(settings) = queue.sticky {
        page = page.with("sticky", sticky(settings));
    }
    page = page
        .truth("reorder", queue.reorder)
        .number("short_abandon_seconds", queue.short_abandon_seconds)
        .number("service_level_seconds", queue.service_level_seconds)
        .number("wrap_up_max_seconds", queue.wrap_up_max_seconds);
    if let Some(settings) = queue.callback {
        page = page.with("callback", callback(settings));
    }
    ways_out(page, queue).list("announcements", announcements(queue))
}

fn choosing(mut page: Page, queue: &Queue) -> Page {
    if queue.order != 0 {
        page = page.with("order", Printed::text(word(&STRATEGIES, queue.order())));
    }
    if queue.idle_since != 0 {
        page = page.with("idle_since", Printed::text(word(&IDLE, queue.idle_since())));
    }
    page = match queue.window() {
        Window::Unspecified => page,
        Window::Shift => page.with("window", Printed::text("shift")),
        Window::Day => page.with("window", Printed::text("day")),
        Window::Minutes => page.with("window", Printed::Text(format!("{}m", queue.window_minutes))),
    };
    let steps = queue.steps.iter().map(|step| {
        Page::default().with("agents", Printed::Number(step.agents)).with("for", span(step.seconds)).done()
    });
    page = page.number("ring_max", queue.ring_max).truth("ring_one_tier", queue.ring_one_tier).list("steps", steps);
    if queue.progressive != 0 {
        page = page.with("progressive", Printed::text(word(&PROGRESSIVE, queue.progressive())));
    }
    if let Some(chooser) = &queue.chooser {
        let settings = Page::default().text("endpoint", &chooser.endpoint).number("deadline_ms", chooser.deadline_ms);
        page = page.with("chooser", settings.done());
    }
    page
}

fn sticky(sticky: Sticky) -> Printed {
    let page =
        Page::default().number("window_seconds", sticky.window_seconds).number("wait_seconds", sticky.wait_seconds);
    switched(sticky.on, page)
}

fn callback(callback: Callback) -> Printed {
    let page = Page::default()
        .number("attempts_max", callback.attempts_max)
        .number("retry_seconds", callback.retry_seconds)
        .number("expiry_seconds", callback.expiry_seconds)
        .number("ring_seconds", callback.ring_seconds);
    switched(callback.on, page)
}

/// Settings of which none is given are just on.
fn switched(on: bool, page: Page) -> Printed {
    match page.done() {
        Printed::Map(fields) if on && !fields.is_empty() => Printed::Map(fields),
        _ => Printed::Truth(on),
    }
}

fn ways_out(mut page: Page, queue: &Queue) -> Page {
    let steps = queue.overflow.iter().map(|step| {
        let page = Page::default().with("after", span(step.after_seconds));
        rule(page, step.when.as_ref(), step.action.as_ref())
    });
    let rules = queue.join.iter().map(|join| rule(Page::default(), join.when.as_ref(), join.action.as_ref()));
    page = page.list("overflow", steps).list("join", rules);
    if queue.leave.is_some() {
        page = page.with("leave", rule(Page::default(), queue.leave.as_ref(), queue.leave_action.as_ref()));
    }
    page = page.text("schedule", &queue.schedule);
    if let Some(closed) = &queue.closed {
        page = page.with("closed", action(closed));
    }
    if queue.closing != 0 {
        page = page.with("closing", Printed::text(word(&CLOSING, queue.closing())));
    }
    let keys = queue.keys.iter().filter_map(|key| Some((key.key.clone(), action(key.action.as_ref()?))));
    page.map("keys", keys)
}

fn announcements(queue: &Queue) -> impl Iterator<Item = Printed> {
    queue.announcements.iter().map(|said| {
        let page = match said.kind() {
            AnnouncementKind::Prompt => Page::default(),
            kind => Page::default().with("say", Printed::text(word(&SAID, kind))),
        };
        page.text("prompt", &said.prompt).span("after", said.after_seconds).span("every", said.every_seconds).done()
    })
}

fn rule(mut page: Page, when: Option<&Condition>, what: Option<&Action>) -> Printed {
    if let Some(when) = when {
        page = page.with("when", condition(when));
    }
    if let Some(what) = what {
        page = page.with("do", action(what));
    }
    page.done()
}

fn condition(when: &Condition) -> Printed {
    let mut page = Page::default()
        .number("waiting-over", when.waiting_over)
        .truth("some-wait", when.some_wait)
        .span("estimate-over", when.estimate_over_seconds);
    if when.waiting_per_agent_over_percent != 0 {
        page = page.with("waiting-per-agent-over", Printed::Ratio(when.waiting_per_agent_over_percent));
    }
    if let Some(staff) = &when.nobody {
        let states = [
            ("ready", staff.ready),
            ("not-ready", staff.not_ready),
            ("wrap-up", staff.wrap_up),
            ("ringing", staff.ringing),
            ("talking", staff.talking),
            ("unreachable", staff.unreachable),
        ];
        let set = states.into_iter().filter(|(_, set)| *set).map(|(word, _)| Printed::text(word));
        page = page.list("nobody", set);
    }
    page.text("closed", &when.closed).text("open", &when.open).done()
}

fn action(action: &Action) -> Printed {
    let (word, value) = match &action.kind {
        Some(action::Kind::OpenTier(tier)) => ("open-tier", Printed::Number(*tier)),
        Some(action::Kind::Relax(SkillDemand { skill, level })) => {
            ("relax", Printed::Map(vec![(skill.clone(), Printed::Number(*level))]))
        }
        Some(action::Kind::AddQueue(queue)) => ("add-queue", Printed::text(queue)),
        Some(action::Kind::MoveTo(queue)) => ("move-to", Printed::text(queue)),
        Some(action::Kind::Priority(class)) => ("priority", Printed::Number(*class)),
        Some(action::Kind::BoostSeconds(seconds)) => ("boost", span(*seconds)),
        Some(action::Kind::OfferCallback(_)) => return Printed::text("offer-callback"),
        Some(action::Kind::Forward(target)) => ("forward", self::target(target).done()),
        Some(action::Kind::HangUp(hang_up)) => {
            let page = Page::default().text("prompt", &hang_up.prompt).number("sip_status", hang_up.sip_status);
            match page.done() {
                Printed::Map(fields) if !fields.is_empty() => ("hang-up", Printed::Map(fields)),
                _ => return Printed::text("hang-up"),
            }
        }
        Some(action::Kind::Announce(prompt)) => ("announce", Printed::text(prompt)),
        Some(action::Kind::TakeCallback(_)) => return Printed::text("take-callback"),
        None => return Printed::text("nothing"),
    };
    Printed::Map(vec![(word.to_owned(), value)])
}

/// A target's one key, for more to be added.
pub(super) fn target(target: &Target) -> Page {
    match &target.kind {
        Some(target::Kind::Agent(name)) => Page::default().text("agent", name),
        Some(target::Kind::Queue(name)) => Page::default().text("queue", name),
        Some(target::Kind::Number(number)) => Page::default().text("number", number),
        Some(target::Kind::Sip(uri)) => Page::default().text("sip", uri),
        None => Page::default(),
    }
}

/// Skills and the levels they are asked at.
pub(super) fn demands(demands: &[SkillDemand]) -> impl Iterator<Item = (String, Printed)> {
    demands.iter().map(|demand| (demand.skill.clone(), Printed::Number(demand.level)))
}
