//! A queue: its fields, their defaults, their ranges, and what would not count beside each other. Looks at no other
//! document.

use proto::v1::{
    Action, Announcement, AnnouncementKind, AnswerMode, Callback, Chooser, Condition, JoinRule, OverflowStep,
    ProgressiveStep, Queue, RonaPolicy, Sticky, Strategy, Tier, Window, action,
};

use super::{
    fields::{Fields, Notes, Quoted},
    kinds::{demands, useless},
    limits,
    readers::{entries_of, items_of, span_of},
    rules::{self, AWAY, JOIN, OVERFLOW},
    times,
    tree::{Node, Value},
    values::{self, ENDPOINT_ALLOWED},
    words::{ANSWERS, CLOSING, IDLE, PROGRESSIVE, RONA, SAID, SINGLE, STRATEGIES},
};

pub(super) fn queue(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Queue {
    let mut queue = Queue {
        name,
        strategy: fields.choice("strategy", &STRATEGIES, Strategy::LongestIdle, notes).into(),
        answer: fields.choice("answer", &ANSWERS, AnswerMode::OnEntry, notes).into(),
        ring_seconds: fields.number("ring_seconds", &limits::RING_SECONDS, 15, notes),
        wrap_up_seconds: fields.number("wrap_up_seconds", &limits::WRAP_UP_SECONDS, 0, notes),
        waiting_max: fields.number("waiting_max", &limits::WAITING_MAX, 0, notes),
        wait_seconds_max: fields.number("wait_seconds_max", &limits::WAIT_SECONDS_MAX, 0, notes),
        busy_delay_seconds: fields.number("busy_delay_seconds", &limits::DELAY_SECONDS, 5, notes),
        unreachable_delay_seconds: fields.number("unreachable_delay_seconds", &limits::DELAY_SECONDS, 30, notes),
        music: fields.name("music", notes),
        ..Queue::default()
    };
    if queue.music.is_empty() {
        "music".clone_into(&mut queue.music);
    }
    choosing(&mut queue, fields, notes);
    if let Some(word) = fields.chosen("rona", &RONA, notes) {
        queue.rona = word.into();
    }
    if queue.rona() != RonaPolicy::StayReady {
        useless(fields, "rona_delay_seconds", "the agent is made not ready", "with rona: stay-ready", notes);
    }
    queue.rona_delay_seconds = fields.number("rona_delay_seconds", &limits::RONA_DELAY_SECONDS, 0, notes);
    queue.rona_max = fields.number("rona_max", &limits::RONA_MAX, 0, notes);
    queue.ageing_permille = fields.number("ageing_permille", &limits::AGEING_PERMILLE, 0, notes);
    queue.tiers = fields.take("tiers", notes).map(|node| tiers(node, notes)).unwrap_or_default();
    queue.skills = demands(fields, notes);
    queue.sticky = fields.take("sticky", notes).and_then(|node| sticky(node, notes));
    queue.reorder = fields.truth("reorder", notes);
    queue.short_abandon_seconds = fields.number("short_abandon_seconds", &limits::SOME_SECONDS, 0, notes);
    queue.service_level_seconds = fields.number("service_level_seconds", &limits::SOME_SECONDS, 0, notes);
    queue.wrap_up_max_seconds = fields.number("wrap_up_max_seconds", &limits::SOME_SECONDS, 0, notes);
    queue.callback = fields.take("callback", notes).and_then(|node| callback(node, notes));
    ways_out(&mut queue, fields, notes);
    queue.announcements =
        fields.take("announcements", notes).map(|node| announcements(node, notes)).unwrap_or_default();
    queue
}

/// The strategy's own settings. Each is refused beside a strategy that would not look at it.
fn choosing(queue: &mut Queue, fields: &mut Fields, notes: &mut Notes<'_>) {
    let strategy = queue.strategy();
    let many = [Strategy::RingAll, Strategy::Progressive, Strategy::External].contains(&strategy);
    if !many {
        useless(fields, "order", "the strategy chooses", "with ring-all, progressive or external", notes);
    }
    if let Some(word) = fields.chosen("order", &STRATEGIES[..SINGLE], notes) {
        queue.order = word.into();
    }
    let by = match (many, queue.order()) {
        (false, _) => strategy,
        (true, Strategy::Unspecified) => Strategy::LongestIdle,
        (true, order) => order,
    };
    if [Strategy::RoundRobin, Strategy::Linear, Strategy::Random, Strategy::WeightedRandom].contains(&by) {
        useless(fields, "idle_since", "nobody looks at idle times", "with a strategy that does", notes);
    }
    if let Some(word) = fields.chosen("idle_since", &IDLE, notes) {
        queue.idle_since = word.into();
    }
    if ![Strategy::FewestCalls, Strategy::LeastTalk, Strategy::LeastOccupied].contains(&by) {
        useless(fields, "window", "nothing is counted", "with fewest-calls, least-talk or least-occupied", notes);
    }
    window(queue, fields, notes);
    if strategy != Strategy::RingAll {
        for field in ["ring_max", "ring_one_tier"] {
            useless(fields, field, "not all ring", "with strategy: ring-all", notes);
        }
    }
    queue.ring_max = fields.number("ring_max", &limits::RING_MAX, 0, notes);
    queue.ring_one_tier = fields.truth("ring_one_tier", notes);
    if strategy == Strategy::Progressive {
        if !fields.has("steps") {
            notes.refuse(fields.line(), "steps", "is missing", "a list of { agents, for }");
        }
    } else {
        for field in ["steps", "progressive"] {
            useless(fields, field, "nothing goes by steps", "with strategy: progressive", notes);
        }
    }
    queue.steps = fields.take("steps", notes).map(|node| steps(node, notes)).unwrap_or_default();
    if let Some(word) = fields.chosen("progressive", &PROGRESSIVE, notes) {
        queue.progressive = word.into();
    }
    if strategy != Strategy::External {
        useless(fields, "chooser", "nobody is asked", "with strategy: external", notes);
    } else if !fields.has("chooser") {
        notes.refuse(fields.line(), "chooser", "is missing", "{ endpoint: http://HOST:PORT }");
    }
    queue.chooser = fields.take("chooser", notes).and_then(|node| chooser(node, notes));
}

fn window(queue: &mut Queue, fields: &mut Fields, notes: &mut Notes<'_>) {
    let Some((text, line)) = fields.text("window", notes) else { return };
    let minutes = times::seconds_of(&text)
        .filter(|seconds| seconds.is_multiple_of(60) && limits::WINDOW_MINUTES.contains(&(seconds / 60)));
    match (text.as_str(), minutes) {
        ("shift", _) => queue.window = Window::Shift.into(),
        ("day", _) => queue.window = Window::Day.into(),
        (_, Some(seconds)) => {
            queue.window = Window::Minutes.into();
            queue.window_minutes = seconds / 60;
        }
        _ => {
            let message = format_args!("unknown value {}", Quoted(&text)).to_string();
            notes.refuse(line, "window", message, "shift, day, or whole minutes from 1m to 24h");
        }
    }
}

fn steps(node: Node, notes: &mut Notes<'_>) -> Vec<ProgressiveStep> {
    let mut steps = Vec::new();
    let (line, broken) = (node.line, matches!(node.value, Value::Broken));
    let items = items_of(node, "steps", limits::PROGRESSIVE_STEPS_MAX, notes);
    if items.is_empty() && !broken {
        notes.refuse(line, "steps", "has no step", "a list of { agents, for }");
    }
    for (path, item) in items {
        let Some(mut fields) = Fields::of(item, &path, notes) else { continue };
        for field in ["agents", "for"] {
            if !fields.has(field) {
                notes.refuse(fields.line(), &fields.path_of(field), "is missing", "{ agents: 2, for: 10s }");
            }
        }
        let agents = fields.number("agents", &limits::STEP_AGENTS, 1, notes);
        let seconds = fields.span("for", &limits::RING_SECONDS, notes).unwrap_or_default();
        fields.finish(notes);
        steps.push(ProgressiveStep { agents, seconds });
    }
    steps
}

fn chooser(node: Node, notes: &mut Notes<'_>) -> Option<Chooser> {
    let mut fields = Fields::of(node, "chooser", notes)?;
    let given = fields.line_of("endpoint");
    let endpoint = fields.text("endpoint", notes).map(|(endpoint, line)| {
        if !values::is_endpoint(&endpoint) {
            let message = format_args!("{} is not an endpoint", Quoted(&endpoint)).to_string();
            notes.refuse(line, "chooser.endpoint", message, ENDPOINT_ALLOWED);
        }
        endpoint
    });
    if given.is_none() {
        notes.refuse(fields.line(), "chooser.endpoint", "is missing", ENDPOINT_ALLOWED);
    }
    let deadline_ms = fields.number("deadline_ms", &limits::CHOOSER_DEADLINE_MS, 0, notes);
    fields.finish(notes);
    Some(Chooser { endpoint: endpoint.unwrap_or_default(), deadline_ms })
}

/// `tiers: { 2: 30s, 3: 60s }`, by tier; a later tier opens later.
fn tiers(node: Node, notes: &mut Notes<'_>) -> Vec<Tier> {
    let mut tiers: Vec<(Tier, u32, String)> = Vec::new();
    for (path, entry) in entries_of(node, "tiers", usize::MAX, notes) {
        let tier = entry.key.parse::<u32>().ok().filter(|tier| limits::LATER_TIER.contains(tier));
        let after = span_of(entry.node, &path, &limits::SPAN_SECONDS, notes);
        let Some(tier) = tier.filter(|tier| tier.to_string() == entry.key) else {
            notes.refuse(entry.line, &path, format_args!("{} is no later tier", Quoted(&entry.key)), "2 to 9");
            continue;
        };
        tiers.extend(after.map(|after_seconds| (Tier { tier, after_seconds }, entry.line, path)));
    }
    tiers.sort_by_key(|(tier, ..)| tier.tier);
    for pair in tiers.windows(2) {
        let [(before, ..), (tier, line, path)] = pair else { continue };
        if tier.after_seconds <= before.after_seconds {
            let after = times::Span(before.after_seconds);
            let message = format_args!("tier {} opens no later than tier {}", tier.tier, before.tier).to_string();
            notes.refuse(*line, path, message, format_args!("more than {after}"));
        }
    }
    tiers.into_iter().map(|(tier, ..)| tier).collect()
}

/// `true`, `false` or a mapping; None when it is off.
fn switched(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<Option<Fields>> {
    match &node.value {
        Value::Text(word) if word == "true" => Some(None),
        Value::Text(word) if word == "false" => None,
        Value::Text(word) => {
            notes.refuse(node.line, path, format_args!("unknown value {}", Quoted(word)), "true, false or settings");
            None
        }
        Value::Null | Value::List(_) | Value::Map(_) | Value::Broken => Fields::of(node, path, notes).map(Some),
    }
}

fn sticky(node: Node, notes: &mut Notes<'_>) -> Option<Sticky> {
    let mut sticky = Sticky { on: true, ..Sticky::default() };
    if let Some(mut fields) = switched(node, "sticky", notes)? {
        sticky.window_seconds = fields.number("window_seconds", &limits::STICKY_WINDOW_SECONDS, 0, notes);
        sticky.wait_seconds = fields.number("wait_seconds", &limits::SPAN_SECONDS, 0, notes);
        fields.finish(notes);
    }
    Some(sticky)
}

fn callback(node: Node, notes: &mut Notes<'_>) -> Option<Callback> {
    let mut callback = Callback { on: true, ..Callback::default() };
    if let Some(mut fields) = switched(node, "callback", notes)? {
        callback.attempts_max = fields.number("attempts_max", &limits::ATTEMPTS_MAX, 0, notes);
        callback.retry_seconds = fields.number("retry_seconds", &limits::SOME_SECONDS, 0, notes);
        callback.expiry_seconds = fields.number("expiry_seconds", &limits::EXPIRY_SECONDS, 0, notes);
        callback.ring_seconds = fields.number("ring_seconds", &limits::RING_SECONDS, 0, notes);
        fields.finish(notes);
    }
    Some(callback)
}

/// Everything that takes a caller out of the line, or lets them in: overflow, join, leave, closed, keys.
fn ways_out(queue: &mut Queue, fields: &mut Fields, notes: &mut Notes<'_>) {
    queue.overflow = fields.take("overflow", notes).map(|node| overflow(node, notes)).unwrap_or_default();
    queue.join = fields.take("join", notes).map(|node| join(node, notes)).unwrap_or_default();
    if let Some((when, what)) = fields.take("leave", notes).and_then(|node| leave(node, notes)) {
        (queue.leave, queue.leave_action) = (Some(when), Some(what));
    }
    if !fields.has("schedule") {
        for field in ["closed", "closing"] {
            useless(fields, field, "the queue never closes", "with a schedule", notes);
        }
    }
    queue.schedule = fields.name("schedule", notes);
    queue.closed = fields.take("closed", notes).and_then(|node| rules::action(node, "closed", &AWAY, notes));
    if let Some(word) = fields.chosen("closing", &CLOSING, notes) {
        queue.closing = word.into();
    }
    queue.keys = fields.take("keys", notes).map(|node| rules::keys(node, notes)).unwrap_or_default();
    callbacks_without_policy(queue, notes);
}

fn overflow(node: Node, notes: &mut Notes<'_>) -> Vec<OverflowStep> {
    let mut steps: Vec<OverflowStep> = Vec::new();
    for (path, item) in items_of(node, "overflow", limits::OVERFLOW_STEPS_MAX, notes) {
        let Some(mut fields) = Fields::of(item, &path, notes) else { continue };
        let line = fields.line_of("after").unwrap_or_else(|| fields.line());
        if !fields.has("after") {
            notes.refuse(line, &fields.path_of("after"), "is missing", "a span such as 60s");
        }
        let after = fields.span("after", &limits::SPAN_SECONDS, notes);
        let when = rules::when(&mut fields, notes);
        let action = rules::what(&mut fields, &OVERFLOW, notes);
        let before = steps.last().map_or(0, |step| step.after_seconds);
        if after.is_some_and(|after| after < before) {
            let allowed = format!("at least {}", times::Span(before));
            notes.refuse(line, &fields.path_of("after"), "is before the step before it", allowed);
        }
        fields.finish(notes);
        // A step that cannot be read keeps its place, so that the next one's index is right.
        steps.push(OverflowStep { after_seconds: after.unwrap_or(before), when, action });
    }
    steps
}

fn join(node: Node, notes: &mut Notes<'_>) -> Vec<JoinRule> {
    let mut rules: Vec<JoinRule> = Vec::new();
    for (path, item) in items_of(node, "join", limits::JOIN_RULES_MAX, notes) {
        let Some(mut fields) = Fields::of(item, &path, notes) else { continue };
        if rules.last().is_some_and(|rule| rule.when.is_none() && rule.action.is_some()) {
            notes.refuse(fields.line(), &path, "would not count: the rule before it always holds", "a when before it");
        }
        let broken = fields.has("when");
        let mut when = rules::when(&mut fields, notes);
        if broken && when.is_none() {
            when = Some(Condition::default());
        }
        let action = rules::what(&mut fields, &JOIN, notes);
        fields.finish(notes);
        rules.push(JoinRule { when, action });
    }
    rules
}

fn leave(node: Node, notes: &mut Notes<'_>) -> Option<(Condition, Action)> {
    let mut fields = Fields::of(node, "leave", notes)?;
    if !fields.has("when") {
        notes.refuse(fields.line(), "leave.when", "is missing", "a condition; without one nobody could wait");
    }
    let when = rules::when(&mut fields, notes);
    let action = rules::what(&mut fields, &AWAY, notes);
    fields.finish(notes);
    Some((when?, action?))
}

fn announcements(node: Node, notes: &mut Notes<'_>) -> Vec<Announcement> {
    let mut announcements = Vec::new();
    for (path, item) in items_of(node, "announcements", limits::ANNOUNCEMENTS_MAX, notes) {
        let Some(mut fields) = Fields::of(item, &path, notes) else { continue };
        let kind = fields.choice("say", &SAID, AnnouncementKind::Prompt, notes);
        if kind == AnnouncementKind::Prompt && !fields.has("prompt") {
            notes.refuse(fields.line(), &fields.path_of("prompt"), "is missing", "the name of a prompt");
        }
        let prompt = fields.name("prompt", notes);
        let after_seconds = fields.span("after", &limits::SPAN_SECONDS, notes).unwrap_or_default();
        let every_seconds = fields.span("every", &limits::SOME_SECONDS, notes).unwrap_or_default();
        fields.finish(notes);
        announcements.push(Announcement { kind: kind.into(), prompt, after_seconds, every_seconds });
    }
    announcements
}

/// A callback that is offered or taken needs the policy, and one that is offered needs a key to take it.
fn callbacks_without_policy(queue: &Queue, notes: &mut Notes<'_>) {
    let is = |action: &Option<Action>, wanted: fn(&action::Kind) -> bool| {
        action.as_ref().and_then(|action| action.kind.as_ref()).is_some_and(wanted)
    };
    let taken = |kind: &action::Kind| matches!(kind, action::Kind::TakeCallback(_));
    let offered = |kind: &action::Kind| matches!(kind, action::Kind::OfferCallback(_));
    let keys: Vec<_> = queue.keys.iter().filter(|key| is(&key.action, taken)).collect();
    let steps = queue.overflow.iter().map(|step| &step.action).enumerate();
    let rules = queue.join.iter().map(|rule| &rule.action).enumerate();
    let offers: Vec<String> = steps
        .map(|(index, action)| (format!("overflow[{index}].do.offer-callback"), action))
        .chain(rules.map(|(index, action)| (format!("join[{index}].do.offer-callback"), action)))
        .filter_map(|(path, action)| is(action, offered).then_some(path))
        .collect();
    let takes = keys.iter().map(|key| format!("keys.{}.take-callback", super::fields::plain(&key.key)));
    if queue.callback.is_none() {
        for path in offers.into_iter().chain(takes) {
            notes.refuse(notes.line_of(&path), &path, "there is no callback policy", "with callback: true or settings");
        }
    } else if keys.is_empty() {
        for path in offers {
            notes.refuse(notes.line_of(&path), &path, "no key takes the callback", "keys: { 1: take-callback }");
        }
    }
}
