//! Agents and their forwardings: fields, defaults, ranges. Looks at no other document and keeps no password.

use proto::v1::{Agent, ForwardRule, ForwardTarget, ForwardWhen, Forwarding, Membership, SkillLevel, StartState};

use super::{
    fields::{Fields, Notes, Quoted},
    kinds::{levels, useless},
    limits,
    readers::{items_of, name_of, one_or_more},
    rules, secrets,
    tree::{Node, Value},
    values::{self, CONTACT_ALLOWED, REALM},
    words::{FORWARDS, STARTS},
};

pub(super) fn agent(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Agent {
    let contact = fields.text("contact", notes).map(|(contact, line)| {
        if let Err(fault) = values::check_contact(&contact) {
            notes.refuse(line, "contact", format_args!("{} {fault}", Quoted(&contact)), CONTACT_ALLOWED);
        }
        contact
    });
    let queues = fields.take("queues", notes).map(|node| memberships(node, notes)).unwrap_or_default();
    let start = fields.choice("start", &STARTS, StartState::LoggedOut, notes).into();
    let wrap_up_seconds = fields.number("wrap_up_seconds", &limits::WRAP_UP_SECONDS, 0, notes);
    let (ha1_md5, ha1_sha256) = secrets::credential(&name, REALM, fields, notes);
    let skill = |(skill, level)| SkillLevel { skill, level };
    let skills = fields.take("skills", notes).map(|node| levels(node, "skills", &limits::LEVEL, notes));
    Agent {
        name,
        contact: contact.unwrap_or_default(),
        queues,
        start,
        wrap_up_seconds,
        ha1_md5,
        ha1_sha256,
        capacity: fields.number("capacity", &limits::CAPACITY, 0, notes),
        skills: skills.unwrap_or_default().into_iter().map(skill).collect(),
        ring_all_contacts: fields.truth("ring_all_contacts", notes),
        number: fields.dialled("number", notes),
    }
}

fn memberships(node: Node, notes: &mut Notes<'_>) -> Vec<Membership> {
    let mut queues: Vec<Membership> = Vec::new();
    for (path, item) in items_of(node, "queues", limits::AGENT_QUEUES_MAX, notes) {
        let line = item.line;
        let (path, membership) = if let Value::Text(_) = item.value {
            let queue = name_of(item, &path, notes).unwrap_or_default();
            (path, Membership { queue, ..Membership::default() })
        } else {
            let Some(mut fields) = Fields::of(item, &path, notes) else { continue };
            let queue = fields.required_name("name", "the name of a queue", notes);
            let tier = fields.number("tier", &limits::TIER, 0, notes);
            let weight = fields.number("weight", &limits::WEIGHT, 0, notes);
            let path = fields.path_of("name");
            fields.finish(notes);
            (path, Membership { queue, tier, weight })
        };
        // A name that cannot be read keeps its place, so that the next one's index is right.
        let queue = &membership.queue;
        if !queue.is_empty() && queues.iter().any(|known| known.queue == *queue) {
            notes.refuse(line, &path, format_args!("{} is there twice", Quoted(queue)), "each queue once");
        }
        queues.push(membership);
    }
    queues
}

/// A forwarding. Two rules for the same case, and one after `always`, would never be looked at.
pub(super) fn forwarding(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Forwarding {
    let agent = fields.required_name("agent", "the name of an agent", notes);
    let mut rules: Vec<ForwardRule> = Vec::new();
    let Some(node) = fields.require("rules", "a list of { when, to }", notes) else {
        return Forwarding { name, agent, rules };
    };
    let (line, broken) = (node.line, matches!(node.value, Value::Broken));
    let items = items_of(node, "rules", limits::FORWARD_RULES_MAX, notes);
    if items.is_empty() && !broken {
        notes.refuse(line, "rules", "has no rule", "a list of { when, to }");
    }
    for (path, item) in items {
        let line = item.line;
        let Some(rule) = forward_rule(item, &path, notes) else { continue };
        let hidden = |known: &ForwardRule| known.when() == ForwardWhen::Always || known.when() == rule.when();
        if rule.when() != ForwardWhen::Unspecified && rules.iter().any(hidden) {
            let message = "would not count: a rule before it holds whenever this one does";
            notes.refuse(line, &path, message, "each case once, always as the last");
        }
        rules.push(rule);
    }
    Forwarding { name, agent, rules }
}

fn forward_rule(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<ForwardRule> {
    let mut fields = Fields::of(node, path, notes)?;
    let words: Vec<_> = FORWARDS.iter().map(|(word, _)| *word).collect();
    let given = fields.has("when");
    let when = fields.choice("when", &FORWARDS, ForwardWhen::Unspecified, notes);
    if !given {
        notes.refuse(fields.line(), &fields.path_of("when"), "is missing", words.join(", "));
    }
    if when != ForwardWhen::NoAnswer {
        useless(&fields, "after", "nobody waits for an answer", "with when: no-answer", notes);
    }
    let after_seconds = fields.span("after", &limits::RING_SECONDS, notes).unwrap_or_default();
    let group = fields.truth("group", notes);
    let mut targets = Vec::new();
    let to = fields.path_of("to");
    if let Some(node) = fields.require("to", rules::TARGET_ALLOWED, notes) {
        let (line, broken) = (node.line, matches!(node.value, Value::Broken));
        let items = one_or_more(node, &to, limits::FORWARD_TARGETS_MAX, notes);
        if items.is_empty() && !broken {
            notes.refuse(line, &to, "leads nowhere", rules::TARGET_ALLOWED);
        }
        targets.extend(items.into_iter().filter_map(|(path, item)| forward_target(item, &path, notes)));
    }
    fields.finish(notes);
    Some(ForwardRule { when: when.into(), after_seconds, targets, group })
}

fn forward_target(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<ForwardTarget> {
    let mut fields = Fields::of(node, path, notes)?;
    let target = rules::target_in(&mut fields, notes);
    let seconds = fields.span("for", &limits::RING_SECONDS, notes).unwrap_or_default();
    fields.finish(notes);
    Some(ForwardTarget { target: Some(target?), seconds })
}
