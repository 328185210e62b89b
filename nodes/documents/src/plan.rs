//! The whole that the documents would make: do the references hold, is there too much of anything, what changes.
//! Looks at no text and never removes a document.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{Document, DocumentChange, DocumentError, document};

use super::{
    Key, Plan, SHARED_NAMES, Sourced, fields::Quoted, key, limits, loops, references::references, tenant_name, zones,
};

const NAMES_SHOWN_MAX: usize = 10;

/// All documents there would be, and where those that come in were written.
pub(super) type Whole<'a> = BTreeMap<Key, (&'a Document, Option<&'a Sourced<Document>>)>;

/// Everything that is wrong between documents.
pub(super) fn contradictions(current: &[Document], incoming: &[Sourced<Document>]) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    let mut whole: Whole<'_> = current.iter().filter_map(|document| Some((key(document)?, (document, None)))).collect();
    for sourced in incoming {
        if let Some((_, Some(first))) = whole.insert(sourced.key.clone(), (&sourced.document, Some(sourced))) {
            let place = format!("{}:{}", first.source.file, first.source.line);
            let message = format!("{} {} is already at {place}", first.key.kind, first.key.name);
            errors.push(refusal(sourced, "name", message, "each document once".to_owned()));
        }
    }
    errors.extend(of_others(current, &whole, incoming));
    errors.extend(wrong_references(&whole, incoming));
    errors.extend(empty_tiers(current, &whole, incoming));
    errors.extend(claimed_twice(&whole, incoming));
    errors.extend(loops::circles(&whole, incoming));
    errors.extend(excesses(&whole, incoming));
    errors
}

/// What to write, and what to tell.
pub(super) fn compare(current: &[Document], incoming: Vec<Sourced<Document>>) -> Plan {
    let present: BTreeMap<Key, &Document> =
        current.iter().filter_map(|document| Some((key(document)?, document))).collect();
    let mut plan = Plan::default();
    let mut whole = present.clone();
    whole.extend(incoming.iter().map(|sourced| (sourced.key.clone(), &sourced.document)));
    let mut zones = zones::of(zones::named(whole.into_values()));
    zones.retain(|zone| key(zone).and_then(|key| present.get(&key).copied()) != Some(zone));
    for Sourced { document, key, .. } in incoming {
        let action = match present.get(&key) {
            None => "created",
            Some(known) if **known == document => "unchanged",
            Some(_) => "changed",
        };
        if action != "unchanged" {
            plan.upserts.push(document);
        }
        plan.changes.push(DocumentChange { action: action.to_owned(), kind: key.kind.to_owned(), name: key.name });
    }
    plan.upserts.extend(zones);
    plan
}

/// Tenants that are not there, names that are another tenant's, and what is not for each tenant to say.
fn of_others(current: &[Document], whole: &Whole<'_>, incoming: &[Sourced<Document>]) -> Vec<DocumentError> {
    let tenants: BTreeSet<&str> =
        whole.keys().filter(|key| key.kind == "Tenant").map(|key| key.name.as_str()).collect();
    let mut owners: BTreeMap<Key, &str> = BTreeMap::new();
    for document in current {
        owners.extend(key(document).map(|key| (key, document.tenant.as_str())));
    }
    let mut errors = Vec::new();
    for sourced in incoming {
        let tenant = sourced.document.tenant.as_str();
        if !tenant.is_empty() && !tenants.contains(tenant) {
            let known: Vec<&str> = tenants.iter().copied().collect();
            errors.push(refusal(sourced, "tenant", format!("no tenant {}", Quoted(tenant)), some_of("tenant", &known)));
        }
        let shared = SHARED_NAMES.contains(&sourced.key.kind);
        if let Some(owner) = owners.get(&sourced.key).filter(|owner| shared && **owner != tenant) {
            let Key { kind, name, .. } = &sourced.key;
            let message = format!("{kind} {name} belongs to tenant {} already", tenant_name(owner));
            errors.push(refusal(sourced, "name", message, format!("each {} with one tenant", kind.to_lowercase())));
        }
        if let Some(document::Kind::Centre(centre)) = &sourced.document.kind
            && !tenant.is_empty()
        {
            let said = [
                ("egress_deny", centre.egress_deny.is_empty()),
                ("egress_allow", centre.egress_allow.is_empty()),
                ("emergency", centre.emergency.is_empty()),
            ];
            for (field, _) in said.into_iter().filter(|(_, empty)| !empty) {
                let allowed = "in the Centre of tenant main, for all tenants".to_owned();
                errors.push(refusal(sourced, field, "is not for one tenant alone".to_owned(), allowed));
            }
        }
    }
    errors
}

fn wrong_references(whole: &Whole<'_>, incoming: &[Sourced<Document>]) -> Vec<DocumentError> {
    // Of the same tenant: nobody names what is another's.
    let mut names: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (key, (document, _)) in whole {
        names.entry((key.kind, document.tenant.as_str())).or_default().push(&key.name);
    }
    let mut errors = Vec::new();
    for sourced in incoming {
        for reference in references(&sourced.document).into_iter().filter(|reference| reference.needed) {
            let known =
                names.get(&(reference.kind, sourced.document.tenant.as_str())).map(Vec::as_slice).unwrap_or_default();
            if known.binary_search(&reference.name).is_err() {
                let kind = reference.kind.to_lowercase();
                let message = format!("no {kind} {}", Quoted(reference.name));
                errors.push(refusal(sourced, &reference.field, message, some_of(&kind, known)));
            }
        }
    }
    errors
}

/// Tiers that a queue would open for nobody; told at the queue, or at the agent who left the tier.
fn empty_tiers(current: &[Document], whole: &Whole<'_>, incoming: &[Sourced<Document>]) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    let manned: BTreeSet<Held<'_>> = whole.values().flat_map(|(document, _)| held(document)).collect();
    let mut left: BTreeMap<Held<'_>, &Sourced<Document>> = BTreeMap::new();
    for document in current {
        let agent = key(document).and_then(|key| whole.get(&key)?.1);
        left.extend(agent.into_iter().flat_map(|agent| held(document).map(move |place| (place, agent))));
    }
    for (document, sourced) in whole.values() {
        let Some(document::Kind::Queue(queue)) = &document.kind else { continue };
        for tier in &queue.tiers {
            let place = (queue.name.as_str(), tier.tier, document.tenant.as_str());
            if manned.contains(&place) {
                continue;
            }
            let allowed =
                format!("a tier that an agent names, as in queues: [{{ name: {}, tier: {} }}]", place.0, place.1);
            if let Some(queue) = sourced {
                let message = format!("no agent is in tier {}", place.1);
                errors.push(refusal(queue, &format!("tiers.{}", place.1), message, allowed));
            } else if let Some(agent) = left.get(&place) {
                let message = format!("tier {} of queue {} would have no agent", place.1, Quoted(place.0));
                errors.push(refusal(agent, "queues", message, allowed));
            }
        }
    }
    // By the order of the files, however the queues are called.
    let order = |error: &DocumentError| incoming.iter().position(|known| *known.source.file == *error.file);
    errors.sort_by_cached_key(|error| (order(error), error.line));
    errors
}

/// A queue, a tier of it and whose it is.
type Held<'a> = (&'a str, u32, &'a str);

/// The tiers of queues that an agent holds.
fn held(document: &Document) -> impl Iterator<Item = Held<'_>> {
    let queues = match &document.kind {
        Some(document::Kind::Agent(agent)) => agent.queues.as_slice(),
        _ => &[],
    };
    queues.iter().map(|membership| (membership.queue.as_str(), membership.tier.max(1), document.tenant.as_str()))
}

/// What only one document may say: an agent's forwarding, the rules for a caller's number.
fn claimed_twice(whole: &Whole<'_>, incoming: &[Sourced<Document>]) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    let mut claimed: BTreeMap<(&str, (&str, &str)), &str> = BTreeMap::new();
    for (document, _) in whole.values().filter(|(_, sourced)| sourced.is_none()) {
        for (_, what, by) in claims(document) {
            claimed.insert((document.tenant.as_str(), what), by);
        }
    }
    for sourced in incoming {
        for (field, what, by) in claims(&sourced.document) {
            match claimed.insert((sourced.document.tenant.as_str(), what), by) {
                Some(other) if other != by => {
                    let message = format!("{} {} is already in {} {other}", what.0, Quoted(what.1), sourced.key.kind);
                    errors.push(refusal(sourced, &field, message, "one document for each".to_owned()));
                }
                _ => {}
            }
        }
    }
    errors
}

type Claim<'a> = (String, (&'static str, &'a str), &'a str);

fn claims(document: &Document) -> Vec<Claim<'_>> {
    match &document.kind {
        Some(document::Kind::Forwarding(forwarding)) if !forwarding.agent.is_empty() => {
            vec![("agent".to_owned(), ("agent", forwarding.agent.as_str()), forwarding.name.as_str())]
        }
        Some(document::Kind::Caller(caller)) => {
            let numbers = caller.numbers.iter().enumerate();
            numbers
                .map(|(index, number)| (format!("numbers[{index}]"), ("number", number.as_str()), caller.name.as_str()))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Kinds of which there would be too many, told at the last document of that kind.
fn excesses(whole: &Whole<'_>, incoming: &[Sourced<Document>]) -> Vec<DocumentError> {
    let limits = [
        ("Number", limits::NUMBERS_MAX),
        ("Queue", limits::QUEUES_MAX),
        ("Agent", limits::AGENTS_MAX),
        ("Trunk", limits::TRUNKS_MAX),
        ("Skill", limits::SKILLS_MAX),
        ("Schedule", limits::SCHEDULES_MAX),
        ("Caller", limits::CALLERS_MAX),
        ("Forwarding", limits::FORWARDINGS_MAX),
        ("Centre", limits::CENTRES_MAX),
        ("Tenant", limits::TENANTS_MAX),
    ];
    let mut errors = Vec::new();
    // Of each tenant; what all tenants share is counted once.
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (key, (document, _)) in whole {
        *counts.entry((key.kind, document.tenant.as_str())).or_default() += 1;
    }
    for (kind, limit) in limits {
        let too_many = |tenant: &str| counts.get(&(kind, tenant)).copied().filter(|count| *count > limit);
        let last = incoming.iter().rev().find_map(|sourced| {
            let of_kind = sourced.key.kind == kind;
            Some((too_many(&sourced.document.tenant).filter(|_| of_kind)?, sourced))
        });
        if let Some((count, last)) = last {
            let message = format!("there would be {count} documents of kind {kind}");
            errors.push(refusal(last, "", message, format!("up to {limit}")));
        }
    }
    let named: BTreeSet<&str> = zones::named(whole.values().map(|(document, _)| *document)).collect();
    let count = named.iter().filter(|name| !name.is_empty()).count();
    let last = incoming
        .iter()
        .rev()
        .find(|sourced| zones::named(std::iter::once(&sourced.document)).any(|name| !name.is_empty()));
    if let (true, Some(last)) = (count > limits::ZONES_MAX, last) {
        let message = format!("there would be {count} time zones");
        errors.push(refusal(last, "zone", message, format!("up to {}", limits::ZONES_MAX)));
    }
    errors
}

/// An error at a field, or at the innermost of what it is in that was written.
pub(super) fn refusal(document: &Sourced<Document>, field: &str, message: String, allowed: String) -> DocumentError {
    let (field, line) = document.source.place_of(field).unwrap_or((field, document.source.line));
    DocumentError {
        file: document.source.file.to_string(),
        line,
        field: field.to_owned(),
        message,
        allowed,
        document: format!("{} {}", document.key.kind, document.key.name),
    }
}

fn some_of(kind: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return format!("there are no {kind}s yet");
    }
    let mut text = names.iter().take(NAMES_SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_SHOWN_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMES_SHOWN_MAX));
    }
    text
}
