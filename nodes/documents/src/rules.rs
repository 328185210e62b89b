//! Conditions, actions and targets, wherever they stand. Looks at no other document.

use proto::v1::{Action, Condition, HangUp, SkillDemand, Staff, Target, action, target};

use super::{
    fields::{Fields, Notes, Quoted},
    kinds::levels,
    limits,
    readers::{entries_of, name_of, number_of, one_key_of, one_or_more, span_of, text_of, whole_of},
    tree::{Entry, Node, Value},
    values::{self, CONTACT_ALLOWED},
};

/// What an overflow step may do.
pub(super) const OVERFLOW: [&str; 10] = [
    "open-tier",
    "relax",
    "add-queue",
    "move-to",
    "priority",
    "boost",
    "offer-callback",
    "forward",
    "hang-up",
    "announce",
];
/// What may be done with a caller who would join.
pub(super) const JOIN: [&str; 10] = OVERFLOW;
/// Where callers go who must leave, or come out of hours.
pub(super) const AWAY: [&str; 3] = ["move-to", "forward", "hang-up"];
/// What a caller may ask for by key.
pub(super) const KEYS: [&str; 9] =
    ["take-callback", "move-to", "forward", "hang-up", "add-queue", "open-tier", "relax", "priority", "announce"];

/// One action of those that are `allowed` here.
pub(super) fn action(node: Node, path: &str, allowed: &[&str], notes: &mut Notes<'_>) -> Option<Action> {
    let (path, Entry { key, line, node }) = one_key_of(node, path, &allowed.join(", "), notes)?;
    if !allowed.contains(&key.as_str()) {
        let known = key == "take-callback" || OVERFLOW.contains(&key.as_str());
        let fault = if known { "is not done here:" } else { "unknown action" };
        notes.refuse(line, &path, format_args!("{fault} {}", Quoted(&key)), allowed.join(", "));
        return None;
    }
    let bare = matches!(node.value, Value::Null);
    if bare && !["offer-callback", "take-callback", "hang-up"].contains(&key.as_str()) {
        notes.refuse(line, &path, "has no value", format_args!("{{ {key}: ... }}"));
        return None;
    }
    let kind = match key.as_str() {
        "open-tier" => action::Kind::OpenTier(whole_of(node, &path, &limits::LATER_TIER, notes)?),
        "relax" => action::Kind::Relax(relaxed(node, &path, notes)?),
        "add-queue" => action::Kind::AddQueue(name_of(node, &path, notes)?),
        "move-to" => action::Kind::MoveTo(name_of(node, &path, notes)?),
        "priority" => action::Kind::Priority(whole_of(node, &path, &limits::PRIORITY, notes)?),
        "boost" => action::Kind::BoostSeconds(span_of(node, &path, &limits::SOME_SECONDS, notes)?),
        "forward" => action::Kind::Forward(target(node, &path, notes)?),
        "hang-up" => action::Kind::HangUp(hang_up(node, &path, notes)?),
        "announce" => action::Kind::Announce(name_of(node, &path, notes)?),
        "offer-callback" => action::Kind::OfferCallback(yes(node, &path, notes)?),
        _ => action::Kind::TakeCallback(yes(node, &path, notes)?),
    };
    Some(Action { kind: Some(kind) })
}

/// The bare word, or `true` after it.
fn yes(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<bool> {
    if matches!(node.value, Value::Null) {
        return Some(true);
    }
    let (text, line) = text_of(node, path, notes)?;
    if text != "true" {
        notes.refuse(line, path, format_args!("unknown value {}", Quoted(&text)), "true, or the word alone");
    }
    Some(true)
}

fn relaxed(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<SkillDemand> {
    let (line, errors) = (node.line, notes.errors.len());
    let mut skills = levels(node, path, &limits::RELAXED_LEVEL, notes);
    if notes.errors.len() == errors && skills.len() != 1 {
        let message = format_args!("{} skills where one belongs", skills.len()).to_string();
        notes.refuse(line, path, message, "one step for each skill");
    }
    let (skill, level) = skills.pop()?;
    Some(SkillDemand { skill, level })
}

fn hang_up(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<HangUp> {
    match node.value {
        Value::Null => return Some(HangUp::default()),
        Value::Text(_) => return yes(node, path, notes).map(|_| HangUp::default()),
        Value::List(_) | Value::Map(_) | Value::Broken => {}
    }
    let mut fields = Fields::of(node, path, notes)?;
    let prompt = fields.name("prompt", notes);
    let sip_status = fields.number("sip_status", &limits::SIP_STATUS, 0, notes);
    fields.finish(notes);
    Some(HangUp { prompt, sip_status })
}

/// What a target looks like, in words.
pub(super) const TARGET_ALLOWED: &str = "{ agent: NAME }, { queue: NAME }, { number: NUMBER } or { sip: URI }";

/// A target that stands alone.
pub(super) fn target(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<Target> {
    let mut fields = Fields::of(node, path, notes)?;
    let target = target_in(&mut fields, notes);
    fields.finish(notes);
    target
}

/// A target among other fields.
pub(super) fn target_in(fields: &mut Fields, notes: &mut Notes<'_>) -> Option<Target> {
    const WAYS: [&str; 4] = ["agent", "queue", "number", "sip"];
    let (line, place) = (fields.line(), fields.path().to_owned());
    let mut found = Vec::new();
    for way in WAYS {
        if let Some(node) = fields.take(way, notes) {
            found.push((way, fields.path_of(way), node));
        }
    }
    if found.len() != 1 {
        notes.refuse(line, &place, format_args!("has {} targets where one belongs", found.len()), TARGET_ALLOWED);
        return None;
    }
    let (way, path, node) = found.pop()?;
    let kind = match way {
        "agent" => target::Kind::Agent(name_of(node, &path, notes)?),
        "queue" => target::Kind::Queue(name_of(node, &path, notes)?),
        "number" => target::Kind::Number(number_of(node, &path, notes)?),
        _ => {
            let (uri, line) = text_of(node, &path, notes)?;
            if let Err(fault) = values::check_contact(&uri) {
                notes.refuse(line, &path, format_args!("{} {fault}", Quoted(&uri)), CONTACT_ALLOWED);
            }
            target::Kind::Sip(uri)
        }
    };
    Some(Target { kind: Some(kind) })
}

/// A condition; an empty one is refused, since leaving it out says the same.
pub(super) fn condition(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<Condition> {
    let mut fields = Fields::of(node, path, notes)?;
    if fields.is_empty() {
        notes.refuse(fields.line(), path, "asks nothing", "at least one condition");
    }
    let mut condition = Condition {
        waiting_over: fields.number("waiting-over", &limits::WAITING_OVER, 0, notes),
        some_wait: fields.truth("some-wait", notes),
        estimate_over_seconds: fields.span("estimate-over", &limits::SOME_SECONDS, notes).unwrap_or_default(),
        waiting_per_agent_over_percent: ratio("waiting-per-agent-over", &mut fields, notes),
        ..Condition::default()
    };
    let nobody = fields.path_of("nobody");
    condition.nobody = fields.take("nobody", notes).map(|node| staff(node, &nobody, notes));
    let line = fields.line_of("open");
    condition.closed = fields.name("closed", notes);
    condition.open = fields.name("open", notes);
    if let Some(line) = line.filter(|_| !condition.open.is_empty() && condition.open == condition.closed) {
        let path = fields.path_of("open");
        notes.refuse(line, &path, format_args!("{} cannot be open and closed", condition.open), "one of both");
    }
    fields.finish(notes);
    Some(condition)
}

fn staff(node: Node, path: &str, notes: &mut Notes<'_>) -> Staff {
    const STATES: &str = "ready, not-ready, wrap-up, ringing, talking, unreachable";
    let mut staff = Staff::default();
    let (line, broken) = (node.line, matches!(node.value, Value::Broken));
    let items = one_or_more(node, path, limits::STAFF_MAX, notes);
    if items.is_empty() && !broken {
        notes.refuse(line, path, "names no state", STATES);
    }
    for (path, item) in items {
        let Some((word, line)) = text_of(item, &path, notes) else { continue };
        let state = match word.as_str() {
            "ready" => &mut staff.ready,
            "not-ready" => &mut staff.not_ready,
            "wrap-up" => &mut staff.wrap_up,
            "ringing" => &mut staff.ringing,
            "talking" => &mut staff.talking,
            "unreachable" => &mut staff.unreachable,
            _ => {
                notes.refuse(line, &path, format_args!("unknown value {}", Quoted(&word)), STATES);
                continue;
            }
        };
        *state = true;
    }
    staff
}

/// `1.5` as 150.
fn ratio(field: &'static str, fields: &mut Fields, notes: &mut Notes<'_>) -> u32 {
    let Some((text, line)) = fields.text(field, notes) else { return 0 };
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    let figures = |text: &str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let percent = (figures(whole) && figures(part) && part.len() <= 2)
        .then(|| Some(whole.parse::<u32>().ok()? * 100 + format!("{part:0<2}").parse::<u32>().ok()?))
        .flatten()
        .filter(|percent| *percent > 0);
    if percent.is_none() {
        let message = format_args!("{} is not such a ratio", Quoted(&text)).to_string();
        notes.refuse(line, &fields.path_of(field), message, "0.01 to 9999.99, such as 1.5");
    }
    percent.unwrap_or_default()
}

/// What `when` says, or nothing.
pub(super) fn when(fields: &mut Fields, notes: &mut Notes<'_>) -> Option<Condition> {
    let path = fields.path_of("when");
    fields.take("when", notes).and_then(|node| condition(node, &path, notes))
}

/// What `do` says; it must be there.
pub(super) fn what(fields: &mut Fields, allowed: &[&str], notes: &mut Notes<'_>) -> Option<Action> {
    let path = fields.path_of("do");
    fields.require("do", allowed.join(", "), notes).and_then(|node| action(node, &path, allowed, notes))
}

/// What a waiting caller may press, by key.
pub(super) fn keys(node: Node, notes: &mut Notes<'_>) -> Vec<proto::v1::KeyAction> {
    const ALLOWED: &str = "one of 0123456789*#";
    let mut keys = Vec::new();
    for (path, Entry { key, line, node }) in entries_of(node, "keys", ALLOWED.len(), notes) {
        if key.len() != 1 || !key.bytes().all(|byte| byte.is_ascii_digit() || b"*#".contains(&byte)) {
            notes.refuse(line, &path, format_args!("{} is no key of a phone", Quoted(&key)), ALLOWED);
            continue;
        }
        let action = action(node, &path, &KEYS, notes);
        keys.push(proto::v1::KeyAction { key, action });
    }
    keys.sort_by(|left, right| left.key.cmp(&right.key));
    keys
}
