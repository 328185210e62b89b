//! One function per kind of document: its fields, their defaults, their ranges. Looks at no other document.

use proto::v1::{Agent, AnswerMode, Document, Membership, Number, Queue, StartState, Strategy, Trunk, document};

use super::{
    Key, Source, Sourced,
    fields::{Fields, Notes, Quoted, list_of, text_of},
    limits::{self, NAME_ALLOWED, is_name},
    tree::Node,
    values::{self, CONTACT_ALLOWED, NETWORK_ALLOWED},
};

/// The kinds, as `kind:` and `Key::kind` spell them.
pub const KINDS: [&str; 4] = ["Number", "Queue", "Agent", "Trunk"];

pub(super) const STRATEGIES: [(&str, Strategy); 1] = [("longest-idle", Strategy::LongestIdle)];
pub(super) const ANSWERS: [(&str, AnswerMode); 2] =
    [("on-entry", AnswerMode::OnEntry), ("on-agent", AnswerMode::OnAgent)];
pub(super) const STARTS: [(&str, StartState); 3] =
    [("ready", StartState::Ready), ("not-ready", StartState::NotReady), ("logged-out", StartState::LoggedOut)];

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
    let name = fields.require("name", NAME_ALLOWED, notes).and_then(|node| name_of(node, "name", notes));
    if let Some(name) = &name {
        notes.document = format!("{kind} {name}");
    }
    let given = name.clone().unwrap_or_default();
    let document = match kind {
        "Number" => document::Kind::Number(number(given, &mut fields, notes)),
        "Queue" => document::Kind::Queue(queue(given, &mut fields, notes)),
        "Agent" => document::Kind::Agent(agent(given, &mut fields, notes)),
        _ => document::Kind::Trunk(trunk(given, &mut fields, notes)),
    };
    fields.finish(notes);
    let lines = std::mem::take(&mut notes.lines);
    let source = Source { file: notes.file.into(), line, lines };
    Some(Sourced { document: Document { kind: Some(document) }, key: Key { kind, name: name? }, source })
}

fn number(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Number {
    let route = fields.require("route", "{ queue: NAME }", notes);
    let mut queue = None;
    if let Some(mut route) = route.and_then(|node| Fields::of(node, "route", notes)) {
        queue =
            route.require("queue", "the name of a queue", notes).and_then(|node| name_of(node, "route.queue", notes));
        route.finish(notes);
    }
    Number { name, queue: queue.unwrap_or_default() }
}

fn queue(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Queue {
    Queue {
        name,
        strategy: fields.choice("strategy", &STRATEGIES, Strategy::LongestIdle, notes).into(),
        answer: fields.choice("answer", &ANSWERS, AnswerMode::OnEntry, notes).into(),
        ring_seconds: fields.number("ring_seconds", &limits::RING_SECONDS, 15, notes),
        wrap_up_seconds: fields.number("wrap_up_seconds", &limits::WRAP_UP_SECONDS, 0, notes),
        waiting_max: fields.number("waiting_max", &limits::WAITING_MAX, 0, notes),
        wait_seconds_max: fields.number("wait_seconds_max", &limits::WAIT_SECONDS_MAX, 0, notes),
        busy_delay_seconds: fields.number("busy_delay_seconds", &limits::DELAY_SECONDS, 5, notes),
        unreachable_delay_seconds: fields.number("unreachable_delay_seconds", &limits::DELAY_SECONDS, 30, notes),
        music: fields
            .take("music", notes)
            .and_then(|node| name_of(node, "music", notes))
            .unwrap_or_else(|| "music".to_owned()),
    }
}

fn agent(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Agent {
    let contact = fields.text("contact", notes).map(|(contact, line)| {
        if let Err(fault) = values::check_contact(&contact) {
            notes.refuse(line, "contact", format_args!("{} {fault}", Quoted(&contact)), CONTACT_ALLOWED);
        }
        contact
    });
    let queues = fields.take("queues", notes).map(|node| memberships(node, notes)).unwrap_or_default();
    let start = fields.choice("start", &STARTS, StartState::LoggedOut, notes).into();
    let wrap_up_seconds = fields.number("wrap_up_seconds", &limits::WRAP_UP_SECONDS, 0, notes);
    let (ha1_md5, ha1_sha256) = credential(&name, fields, notes);
    Agent { name, contact: contact.unwrap_or_default(), queues, start, wrap_up_seconds, ha1_md5, ha1_sha256 }
}

fn memberships(node: Node, notes: &mut Notes<'_>) -> Vec<Membership> {
    let line = node.line;
    let mut queues: Vec<Membership> = Vec::new();
    let items = list_of(node, "queues", notes);
    if items.len() > limits::AGENT_QUEUES_MAX {
        let allowed = format!("up to {}", limits::AGENT_QUEUES_MAX);
        notes.refuse(line, "queues", format_args!("{} queues are too many", items.len()), allowed);
        return queues;
    }
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("queues[{index}]");
        let Some(mut fields) = Fields::of(item, &path, notes) else { continue };
        let path = fields.path_of("name");
        let line = fields.line();
        let queue = fields.require("name", "the name of a queue", notes).and_then(|node| name_of(node, &path, notes));
        fields.finish(notes);
        // A name that cannot be read keeps its place, so that the next one's index is right.
        let queue = queue.unwrap_or_default();
        if !queue.is_empty() && queues.iter().any(|known| known.queue == queue) {
            notes.refuse(line, &path, format_args!("{} is there twice", Quoted(&queue)), "each queue once");
        }
        queues.push(Membership { queue });
    }
    queues
}

/// A password is hashed here and kept nowhere; no message ever quotes it.
fn credential(name: &str, fields: &mut Fields, notes: &mut Notes<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut digest = |field: &'static str, bytes: usize, notes: &mut Notes<'_>| {
        let (text, line) = fields.text(field, notes)?;
        let digest = values::from_hex(&text, bytes);
        if digest.is_none() {
            notes.refuse(line, field, "is not such a digest", format_args!("{} hex digits", bytes * 2));
        }
        Some(digest.unwrap_or_default())
    };
    let md5 = digest("ha1_md5", 16, notes);
    let sha256 = digest("ha1_sha256", 32, notes);
    let Some((password, line)) = fields.text("password", notes) else {
        return (md5.unwrap_or_default(), sha256.unwrap_or_default());
    };
    if md5.is_some() || sha256.is_some() {
        notes.refuse(line, "password", "stands beside ha1_md5 or ha1_sha256", "either the password or the digests");
    }
    if password.is_empty() || password.chars().count() > limits::PASSWORD_CHARS_MAX {
        let allowed = format!("1 to {} characters", limits::PASSWORD_CHARS_MAX);
        notes.refuse(line, "password", "is empty or too long", allowed);
    }
    values::hash_password(name, &password)
}

fn trunk(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Trunk {
    let mut addresses = Vec::new();
    let Some(node) = fields.require("addresses", NETWORK_ALLOWED, notes) else { return Trunk { name, addresses } };
    let line = node.line;
    let broken = matches!(node.value, super::tree::Value::Broken);
    let items = list_of(node, "addresses", notes);
    if !broken && !(1..=limits::TRUNK_ADDRESSES_MAX).contains(&items.len()) {
        let allowed = format!("1 to {}", limits::TRUNK_ADDRESSES_MAX);
        notes.refuse(line, "addresses", format_args!("has {} addresses", items.len()), allowed);
        return Trunk { name, addresses };
    }
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("addresses[{index}]");
        let Some((text, line)) = text_of(item, &path, notes) else { continue };
        match values::check_network(&text) {
            Ok(network) => addresses.push(network),
            Err(fault) => notes.refuse(line, &path, format_args!("{} {fault}", Quoted(&text)), NETWORK_ALLOWED),
        }
    }
    Trunk { name, addresses }
}

fn name_of(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<String> {
    let (text, line) = text_of(node, path, notes)?;
    if is_name(&text) {
        return Some(text);
    }
    notes.refuse(line, path, format_args!("{} cannot be a name", Quoted(&text)), NAME_ALLOWED);
    None
}
