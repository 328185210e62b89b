//! Configuration documents: text in, checked documents and a plan out; time zones as data. Never does IO and never
//! decides what is applied.
//!
//! [`check`] is the whole way from `cordctl apply` to what the directory may commit; [`parse`] and [`plan`] are its two
//! halves. Every error of every document is reported, in the order of the files, each with file, line, field, what is
//! wrong and what would be right.

mod agents;
mod fields;
mod kinds;
pub mod limits;
mod loops;
mod page;
mod plan;
mod printed;
mod queues;
mod readers;
mod references;
mod rules;
mod schedules;
mod secrets;
mod tenant;
mod times;
mod tree;
mod trunks;
mod values;
mod words;
mod yaml;
mod zones;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use proto::v1::{Document, DocumentChange, DocumentError, SourceFile, document};

use fields::Notes;

pub use kinds::KINDS;
pub use tenant::{for_shard, target};
pub use values::REALM;
pub use yaml::to_yaml;
pub use zones::{FROM_SECONDS, TO_SECONDS, tzdb_version, zones};

/// What names a document: no two documents have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// One of [`KINDS`], or `Zone`.
    pub kind: &'static str,
    /// Whose it is; empty for the main tenant's, and for kinds whose names are unique over all tenants.
    pub tenant: String,
    /// Unique within the kind and tenant.
    pub name: String,
}

/// The tenant that is always there. Documents leave its name out.
pub const MAIN: &str = "main";

/// Kinds whose names no two tenants share: callers dial numbers and phones log in without saying whose they are, trunks
/// and zones serve everybody.
pub const SHARED_NAMES: [&str; 5] = ["Number", "Agent", "Trunk", "Zone", "Tenant"];

/// The name of a tenant as people say it.
#[must_use]
pub fn tenant_name(tenant: &str) -> &str {
    if tenant.is_empty() { MAIN } else { tenant }
}

/// A document and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<T> {
    /// The document.
    pub document: T,
    /// Its kind and name.
    pub key: Key,
    /// Where it was written.
    pub source: Source,
}

/// Where a document was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as the client named it.
    pub file: Arc<str>,
    /// The document's first line, from 1.
    pub line: u32,
    /// The line of each field that was there, by its path.
    lines: Vec<(String, u32)>,
}

impl Source {
    /// The line of a field, or of what it would be in when the field is not there.
    pub fn line_of(&self, field: &str) -> u32 {
        self.place_of(field).map_or(self.line, |(_, line)| line)
    }

    /// The innermost that is there of a field and all it is in.
    fn place_of<'a>(&self, field: &'a str) -> Option<(&'a str, u32)> {
        let ends = field.rmatch_indices(['.', '[']).map(|(end, _)| end);
        std::iter::once(field.len()).chain(ends).find_map(|end| {
            let known = self.lines.iter().find(|(path, _)| *path == field[..end]);
            known.map(|(_, line)| (&field[..end], *line))
        })
    }
}

/// What an apply would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Documents that are new or differ from the present ones, with the time zones that the whole needs.
    pub upserts: Vec<Document>,
    /// One per document that was given, in its order.
    pub changes: Vec<DocumentChange>,
}

/// Reads files into documents, or says everything that is wrong with each document by itself.
pub fn parse(files: &[SourceFile]) -> Result<Vec<Sourced<Document>>, Vec<DocumentError>> {
    let (documents, errors) = read(files);
    if errors.is_empty() { Ok(documents) } else { Err(in_order(errors, files)) }
}

/// Compares documents with the present ones, or says everything that is wrong with the whole they would make.
pub fn plan(current: &[Document], incoming: Vec<Sourced<Document>>) -> Result<Plan, Vec<DocumentError>> {
    let errors = plan::contradictions(current, &incoming);
    if errors.is_empty() { Ok(plan::compare(current, incoming)) } else { Err(errors) }
}

/// [`parse`] and [`plan`] in one, so that an error in one document does not hide a wrong reference in another.
pub fn check(current: &[Document], files: &[SourceFile]) -> Result<Plan, Vec<DocumentError>> {
    let (documents, mut errors) = read(files);
    errors.extend(plan::contradictions(current, &documents));
    if errors.is_empty() { Ok(plan::compare(current, documents)) } else { Err(in_order(errors, files)) }
}

/// The line that people read: `centre.yaml:12: Queue support: strategy: unknown value "fastest" (allowed: ...)`.
pub fn line(error: &DocumentError) -> String {
    let mut line = error.file.clone();
    if error.line > 0 {
        line.push_str(&format!(":{}", error.line));
    }
    for part in [&error.document, &error.field, &error.message] {
        if !part.is_empty() {
            line.push_str(": ");
            line.push_str(part);
        }
    }
    if !error.allowed.is_empty() {
        line.push_str(&format!(" (allowed: {})", error.allowed));
    }
    line
}

/// A document's kind and name. None only for a message without a kind, which no release of ours writes.
pub fn key(document: &Document) -> Option<Key> {
    let (kind, name) = match document.kind.as_ref()? {
        document::Kind::Number(number) => ("Number", &number.name),
        document::Kind::Queue(queue) => ("Queue", &queue.name),
        document::Kind::Agent(agent) => ("Agent", &agent.name),
        document::Kind::Trunk(trunk) => ("Trunk", &trunk.name),
        document::Kind::Skill(skill) => ("Skill", &skill.name),
        document::Kind::Schedule(schedule) => ("Schedule", &schedule.name),
        document::Kind::Zone(zone) => ("Zone", &zone.name),
        document::Kind::Caller(caller) => ("Caller", &caller.name),
        document::Kind::Forwarding(forwarding) => ("Forwarding", &forwarding.name),
        document::Kind::Centre(centre) => ("Centre", &centre.name),
        document::Kind::TenantItself(tenant) => ("Tenant", &tenant.name),
    };
    Some(named(kind, &document.tenant, name.clone()))
}

/// The key of a kind, tenant and name.
fn named(kind: &'static str, tenant: &str, name: String) -> Key {
    let tenant = if SHARED_NAMES.contains(&kind) { String::new() } else { tenant.to_owned() };
    Key { kind, tenant, name }
}

/// Every document that can be named, and every error; a document with errors is among both.
fn read(files: &[SourceFile]) -> (Vec<Sourced<Document>>, Vec<DocumentError>) {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    let mut bytes = 0_usize;
    let mut nodes_left = limits::NODES_MAX;
    for file in files {
        bytes = bytes.saturating_add(file.text.len());
        let mut notes = Notes { file: &file.name, document: String::new(), errors: &mut errors, lines: Vec::new() };
        if bytes > limits::TEXT_BYTES_MAX {
            let allowed = format!("{} bytes of all files together", limits::TEXT_BYTES_MAX);
            notes.refuse(0, "", "is too large", allowed);
            break;
        }
        let (nodes, flaws) = tree::read(&file.text, &mut nodes_left);
        for flaw in flaws {
            notes.refuse(flaw.line, "", flaw.message, flaw.allowed);
        }
        for node in nodes {
            notes.document.clear();
            notes.lines.clear();
            documents.extend(kinds::read(node, &mut notes));
        }
    }
    (documents, errors)
}

/// By file and line, each once, and no more than somebody would read.
fn in_order(mut errors: Vec<DocumentError>, files: &[SourceFile]) -> Vec<DocumentError> {
    let place = |error: &DocumentError| files.iter().position(|file| file.name == error.file);
    errors.sort_by_cached_key(|error| (place(error), error.line));
    let mut seen = BTreeSet::new();
    errors.retain(|error| seen.insert(line(error)));
    let more = errors.len().saturating_sub(limits::ERRORS_MAX);
    if more > 0 {
        errors.truncate(limits::ERRORS_MAX);
        let file = errors.last().map(|error| error.file.clone()).unwrap_or_default();
        errors.push(DocumentError {
            file,
            message: format!("and at least {more} more errors"),
            ..DocumentError::default()
        });
    }
    errors
}
