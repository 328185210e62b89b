//! One function per kind of document: its fields, their defaults, their ranges. Looks at no other document.

use proto::v1::{
    Caller, Centre, Document, Number, Presentation, Schedule, Skill, SkillDemand, Tenant, TimedRoute, document,
};

use super::{
    MAIN, Source, Sourced, agents,
    fields::{Fields, Notes, Quoted},
    limits::{self, NAME_ALLOWED, NUMBER_ALLOWED},
    named, queues,
    readers::{entries_of, items_of, number_of, one_or_more, text_of, whole_of},
    rules, schedules,
    tree::{Node, Value},
    trunks,
    values::{self, CODE_ALLOWED},
    words::PRESENTATIONS,
    zones::{self, ZONE_ALLOWED},
};

/// The kinds, as `kind:` and `Key::kind` spell them. Zones are made, not written, so are not among them.
pub const KINDS: [&str; 10] =
    ["Number", "Queue", "Agent", "Trunk", "Skill", "Schedule", "Caller", "Forwarding", "Centre", "Tenant"];

/// Where a tenant may live.
const PLACEMENTS: [(&str, &str); 2] = [("shared", ""), ("own", "own")];

/// Reads one document. None when it cannot be named; a document with errors is returned as far as it could be read,
/// so that others may refer to it (the errors are in the notes and nothing is applied).
pub(super) fn read(node: Node, notes: &mut Notes<'_>) -> Option<Sourced<Document>> {
    let mut fields = Fields::of(node, "", notes)?;
    let line = fields.line();
    let kind = fields.require("kind", KINDS.join(", "), notes).and_then(|node| text_of(node, "kind", notes))?;
    let Some(kind) = KINDS.into_iter().find(|known| *known == kind.0) else {
        notes.refuse(kind.1, "kind", format_args!("unknown kind {}", Quoted(&kind.0)), KINDS.join(", "));
        return None;
    };
    kind.clone_into(&mut notes.document);
    let name = fields.required_name("name", NAME_ALLOWED, notes);
    if !name.is_empty() {
        notes.document = format!("{kind} {name}");
    }
    let given = name.clone();
    let tenant = tenant(kind, &mut fields, notes);
    let document = match kind {
        "Number" => document::Kind::Number(number(given, &mut fields, notes)),
        "Queue" => document::Kind::Queue(queues::queue(given, &mut fields, notes)),
        "Agent" => document::Kind::Agent(agents::agent(given, &mut fields, notes)),
        "Trunk" => document::Kind::Trunk(trunks::trunk(given, &mut fields, notes)),
        "Skill" => document::Kind::Skill(Skill { name: given }),
        "Schedule" => document::Kind::Schedule(schedule(given, &mut fields, notes)),
        "Caller" => document::Kind::Caller(caller(given, &mut fields, notes)),
        "Forwarding" => document::Kind::Forwarding(agents::forwarding(given, &mut fields, notes)),
        "Tenant" => document::Kind::TenantItself(Tenant {
            name: given,
            placement: fields.choice("placement", &PLACEMENTS, "", notes).to_owned(),
        }),
        _ => document::Kind::Centre(centre(given, &mut fields, notes)),
    };
    fields.finish(notes);
    if name.is_empty() {
        notes.lines.clear();
        return None;
    }
    let lines = std::mem::take(&mut notes.lines);
    let source = Source { file: notes.file.into(), line, lines };
    Some(Sourced { key: named(kind, &tenant, name), document: Document { kind: Some(document), tenant }, source })
}

/// Whose it is. A tenant is nobody's, and trunks serve all of them.
fn tenant(kind: &str, fields: &mut Fields, notes: &mut Notes<'_>) -> String {
    if kind == "Tenant" || kind == "Trunk" {
        return String::new();
    }
    let name = fields.name("tenant", notes);
    if name == MAIN { String::new() } else { name }
}

fn number(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Number {
    let mut number = Number { name, ..Number::default() };
    let route = fields.require("route", "{ queue: NAME }", notes);
    if let Some(mut route) = route.and_then(|node| Fields::of(node, "route", notes)) {
        number.queue = route.required_name("queue", "the name of a queue", notes);
        number.agent = route.name("agent", notes);
        if route.has("direct_seconds") && number.agent.is_empty() {
            useless(&route, "direct_seconds", "there is no agent to wait for", "with route.agent", notes);
        }
        number.direct_seconds = route.number("direct_seconds", &limits::SPAN_SECONDS, 0, notes);
        number.routes = route.take("timed", notes).map(|node| timed(node, notes)).unwrap_or_default();
        route.finish(notes);
    }
    number.priority = fields.number("priority", &limits::PRIORITY, 0, notes);
    number.boost_seconds = fields.number("boost_seconds", &limits::SPAN_SECONDS, 0, notes);
    number.skills = demands(fields, notes);
    number
}

fn timed(node: Node, notes: &mut Notes<'_>) -> Vec<TimedRoute> {
    let mut routes = Vec::new();
    for (path, item) in items_of(node, "route.timed", limits::ROUTES_MAX, notes) {
        let Some(mut fields) = Fields::of(item, &path, notes) else { continue };
        let schedule = fields.required_name("schedule", "the name of a schedule", notes);
        let queue = fields.required_name("queue", "the name of a queue", notes);
        fields.finish(notes);
        routes.push(TimedRoute { schedule, queue });
    }
    routes
}

/// `skills: { english: 50 }` as demands.
pub(super) fn demands(fields: &mut Fields, notes: &mut Notes<'_>) -> Vec<SkillDemand> {
    let demand = |(skill, level)| SkillDemand { skill, level };
    let Some(node) = fields.take("skills", notes) else { return Vec::new() };
    levels(node, "skills", &limits::LEVEL, notes).into_iter().map(demand).collect()
}

/// A mapping of skills to levels, by name: their order means nothing.
pub(super) fn levels(
    node: Node,
    path: &str,
    range: &std::ops::RangeInclusive<u32>,
    notes: &mut Notes<'_>,
) -> Vec<(String, u32)> {
    let mut levels = Vec::new();
    for (path, entry) in entries_of(node, path, limits::SKILL_LEVELS_MAX, notes) {
        if !limits::is_name(&entry.key) {
            let message = format_args!("{} cannot be a name", Quoted(&entry.key)).to_string();
            notes.refuse(entry.line, &path, message, NAME_ALLOWED);
        } else if let Some(level) = whole_of(entry.node, &path, range, notes) {
            levels.push((entry.key, level));
        }
    }
    levels.sort();
    levels
}

fn caller(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Caller {
    let mut numbers: Vec<String> = Vec::new();
    if let Some(node) = fields.require("numbers", NUMBER_ALLOWED, notes) {
        let (line, broken) = (node.line, matches!(node.value, Value::Broken));
        let items = one_or_more(node, "numbers", limits::CALLER_NUMBERS_MAX, notes);
        if items.is_empty() && !broken {
            notes.refuse(line, "numbers", "has no number to go by", format!("1 to {}", limits::CALLER_NUMBERS_MAX));
        }
        for (path, item) in items {
            let line = item.line;
            let Some(number) = number_of(item, &path, notes) else { continue };
            if numbers.contains(&number) {
                notes.refuse(line, &path, format_args!("{} is there twice", Quoted(&number)), "each number once");
            }
            numbers.push(number);
        }
    }
    Caller {
        name,
        numbers,
        priority: fields.number("priority", &limits::PRIORITY, 0, notes),
        boost_seconds: fields.number("boost_seconds", &limits::SPAN_SECONDS, 0, notes),
        agent: fields.name("agent", notes),
    }
}

fn schedule(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Schedule {
    let given = (fields.has("zone"), fields.line());
    let zone = zone(fields, notes);
    if !given.0 {
        notes.refuse(given.1, "zone", "is missing", ZONE_ALLOWED);
    }
    schedules::schedule(Schedule { name, zone, ..Schedule::default() }, fields, notes)
}

fn zone(fields: &mut Fields, notes: &mut Notes<'_>) -> String {
    let Some((zone, line)) = fields.text("zone", notes) else { return String::new() };
    if let Err(allowed) = zones::check(&zone) {
        notes.refuse(line, "zone", format_args!("{} is no time zone", Quoted(&zone)), allowed);
    }
    zone
}

fn centre(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Centre {
    let number_line = fields.line();
    let mut centre = Centre {
        name,
        zone: zone(fields, notes),
        number: fields.dialled("number", notes),
        outside: fields.chosen("outside", &PRESENTATIONS, notes).unwrap_or(Presentation::Unspecified).into(),
        hops_max: fields.number("hops_max", &limits::HOPS_MAX, 0, notes),
        target_ring_seconds: fields.number("target_ring_seconds", &limits::RING_SECONDS, 0, notes),
        transfer_prompt: fields.name("transfer_prompt", notes),
        callback_digits_min: fields.number("callback_digits_min", &limits::CALLBACK_DIGITS_MIN, 0, notes),
        ..Centre::default()
    };
    if centre.outside() == Presentation::Company && centre.number.is_empty() {
        notes.refuse(number_line, "number", "is missing, and outside is company", NUMBER_ALLOWED);
    }
    centre.transfer_failed =
        fields.take("transfer_failed", notes).and_then(|node| rules::target(node, "transfer_failed", notes));
    centre.blind_code = code("blind_code", fields, notes);
    let line = fields.line_of("consult_code").unwrap_or(number_line);
    centre.consult_code = code("consult_code", fields, notes);
    let or = |code: &str, default: &str| if code.is_empty() { default.to_owned() } else { code.to_owned() };
    let (blind, consult) = (or(&centre.blind_code, "*8"), or(&centre.consult_code, "*7"));
    if blind.starts_with(&consult) || consult.starts_with(&blind) {
        let message = format_args!("{consult} cannot be told from blind_code {blind}").to_string();
        notes.refuse(line, "consult_code", message, "two codes of which none begins with the other");
    }
    centre.egress_deny = blocks("egress_deny", fields, notes);
    centre.egress_allow = blocks("egress_allow", fields, notes);
    centre.emergency = emergency(fields, notes);
    centre
}

fn blocks(field: &'static str, fields: &mut Fields, notes: &mut Notes<'_>) -> Vec<String> {
    let Some(node) = fields.take(field, notes) else { return Vec::new() };
    let items = one_or_more(node, field, limits::EGRESS_MAX, notes);
    trunks::networks(items, notes)
}

fn emergency(fields: &mut Fields, notes: &mut Notes<'_>) -> Vec<String> {
    let Some(node) = fields.take("emergency", notes) else { return Vec::new() };
    let items = one_or_more(node, "emergency", limits::EMERGENCY_MAX, notes);
    items.into_iter().filter_map(|(path, item)| number_of(item, &path, notes)).collect()
}

fn code(field: &'static str, fields: &mut Fields, notes: &mut Notes<'_>) -> String {
    let Some((code, line)) = fields.text(field, notes) else { return String::new() };
    if !values::is_code(&code) {
        notes.refuse(line, field, format_args!("{} is not a star code", Quoted(&code)), CODE_ALLOWED);
    }
    code
}

/// Notes that a field that is there would not count.
pub(super) fn useless(fields: &Fields, field: &str, why: &str, allowed: &str, notes: &mut Notes<'_>) {
    if let Some(line) = fields.line_of(field) {
        notes.refuse(line, &fields.path_of(field), format_args!("would not count: {why}"), allowed);
    }
}
