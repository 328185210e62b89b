//! The whole that the documents would make: do the references hold, is there too much of anything, what changes.
//! Looks at no text and never removes a document.

use std::collections::BTreeMap;

use proto::v1::{Document, DocumentChange, DocumentError, document};

use super::{Key, Plan, Sourced, fields::Quoted, key, limits};

const NAMES_SHOWN_MAX: usize = 10;

/// Everything that is wrong between documents.
pub(super) fn contradictions(current: &[Document], incoming: &[Sourced<Document>]) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    let mut whole: BTreeMap<Key, Option<&Sourced<Document>>> =
        current.iter().filter_map(|document| Some((key(document)?, None))).collect();
    for document in incoming {
        if let Some(Some(first)) = whole.insert(document.key.clone(), Some(document)) {
            let place = format!("{}:{}", first.source.file, first.source.line);
            let message = format!("{} {} is already at {place}", first.key.kind, first.key.name);
            errors.push(refusal(document, "name", message, "each document once".to_owned()));
        }
    }
    let queues: Vec<&str> = whole.keys().filter(|key| key.kind == "Queue").map(|key| key.name.as_str()).collect();
    for document in incoming {
        for (field, queue) in references(&document.document) {
            if !queue.is_empty() && queues.binary_search(&queue).is_err() {
                errors.push(refusal(document, &field, format!("no queue {}", Quoted(queue)), some_of(&queues)));
            }
        }
    }
    errors.extend(excesses(&whole, incoming));
    errors
}

/// What to write, and what to tell.
pub(super) fn compare(current: &[Document], incoming: Vec<Sourced<Document>>) -> Plan {
    let present: BTreeMap<Key, &Document> =
        current.iter().filter_map(|document| Some((key(document)?, document))).collect();
    let mut plan = Plan::default();
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
    plan
}

/// The queues that a document names, by field. Empty names were already refused.
fn references(document: &Document) -> Vec<(String, &str)> {
    match &document.kind {
        Some(document::Kind::Number(number)) => vec![("route.queue".to_owned(), number.queue.as_str())],
        Some(document::Kind::Agent(agent)) => agent
            .queues
            .iter()
            .enumerate()
            .map(|(index, membership)| (format!("queues[{index}].name"), membership.queue.as_str()))
            .collect(),
        Some(document::Kind::Queue(_) | document::Kind::Trunk(_)) | None => Vec::new(),
    }
}

/// Kinds of which there would be too many, told at the last document of that kind.
fn excesses(whole: &BTreeMap<Key, Option<&Sourced<Document>>>, incoming: &[Sourced<Document>]) -> Vec<DocumentError> {
    let limits = [
        ("Number", limits::NUMBERS_MAX),
        ("Queue", limits::QUEUES_MAX),
        ("Agent", limits::AGENTS_MAX),
        ("Trunk", limits::TRUNKS_MAX),
    ];
    let mut errors = Vec::new();
    for (kind, limit) in limits {
        let count = whole.keys().filter(|key| key.kind == kind).count();
        let last = incoming.iter().rev().find(|document| document.key.kind == kind);
        if let (true, Some(last)) = (count > limit, last) {
            let message = format!("there would be {count} documents of kind {kind}");
            errors.push(refusal(last, "", message, format!("up to {limit}")));
        }
    }
    errors
}

fn refusal(document: &Sourced<Document>, field: &str, message: String, allowed: String) -> DocumentError {
    DocumentError {
        file: document.source.file.to_string(),
        line: document.source.line_of(field),
        field: field.to_owned(),
        message,
        allowed,
        document: format!("{} {}", document.key.kind, document.key.name),
    }
}

fn some_of(names: &[&str]) -> String {
    if names.is_empty() {
        return "there are no queues yet".to_owned();
    }
    let mut text = names.iter().take(NAMES_SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_SHOWN_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMES_SHOWN_MAX));
    }
    text
}
