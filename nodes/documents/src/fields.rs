//! Takes the fields of one mapping, one after the other, and notes everything that is wrong. Knows no kind.

use std::{
    collections::BTreeSet,
    fmt::{self, Display},
    ops::RangeInclusive,
};

use proto::v1::DocumentError;

use super::{
    limits::ERRORS_KEPT_MAX,
    readers::{name_of, number_of, span_of, text_of, whole_of},
    tree::{Entry, Node, Value},
};

/// What is wrong in one document, and where its values stand.
pub(super) struct Notes<'a> {
    pub(super) file: &'a str,
    pub(super) document: String,
    pub(super) errors: &'a mut Vec<DocumentError>,
    pub(super) lines: Vec<(String, u32)>,
}

impl Notes<'_> {
    /// The line of a field of this document that was there, or 0.
    pub(super) fn line_of(&self, field: &str) -> u32 {
        self.lines.iter().find(|(path, _)| path == field).map_or(0, |(_, line)| *line)
    }

    /// Notes an error at a field.
    pub(super) fn refuse(&mut self, line: u32, field: &str, message: impl Display, allowed: impl Display) {
        if self.errors.len() >= ERRORS_KEPT_MAX {
            return;
        }
        self.errors.push(DocumentError {
            file: self.file.to_owned(),
            line,
            field: field.to_owned(),
            message: message.to_string(),
            allowed: allowed.to_string(),
            document: self.document.clone(),
        });
    }
}

/// The fields of one mapping that nobody has taken yet.
pub(super) struct Fields {
    path: String,
    line: u32,
    pub(super) left: Vec<Entry>,
    pub(super) twice: Vec<Entry>,
    asked: Vec<&'static str>,
}

impl Fields {
    /// The fields of `node`; refuses what is not a mapping. Of a key that is there twice the first one counts.
    pub(super) fn of(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Broken => return None,
            other @ (Value::Null | Value::Text(_) | Value::List(_)) => {
                notes.refuse(node.line, path, format_args!("{} where a mapping belongs", other.word()), "");
                return None;
            }
        };
        let mut fields =
            Self { path: path.to_owned(), line: node.line, left: Vec::new(), twice: Vec::new(), asked: Vec::new() };
        let mut seen = BTreeSet::new();
        for entry in entries {
            if seen.insert(entry.key.clone()) {
                fields.left.push(entry);
            } else {
                fields.twice.push(entry);
            }
        }
        Some(fields)
    }

    /// Where a field is, from the top of the document.
    pub(super) fn path_of(&self, field: &str) -> String {
        let field = Plain(field);
        if self.path.is_empty() { field.to_string() } else { format!("{}.{field}", self.path) }
    }

    /// Where the mapping is.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The line on which the mapping begins.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// The field's value; a null is refused.
    pub(super) fn take(&mut self, field: &'static str, notes: &mut Notes<'_>) -> Option<Node> {
        self.asked.push(field);
        let at = self.left.iter().position(|entry| entry.key == field)?;
        let entry = self.left.remove(at);
        let path = self.path_of(field);
        notes.lines.push((path.clone(), entry.node.line));
        if matches!(entry.node.value, Value::Null) {
            notes.refuse(entry.line, &path, "has no value", "a value, or no such field");
            return Some(Node { line: entry.line, value: Value::Broken });
        }
        Some(entry.node)
    }

    /// Like `take`, and a field that is missing is refused.
    pub(super) fn require(
        &mut self,
        field: &'static str,
        allowed: impl Display,
        notes: &mut Notes<'_>,
    ) -> Option<Node> {
        let node = self.take(field, notes);
        if node.is_none() {
            notes.refuse(self.line, &self.path_of(field), "is missing", allowed);
        }
        node
    }

    /// A field of text, as written.
    pub(super) fn text(&mut self, field: &'static str, notes: &mut Notes<'_>) -> Option<(String, u32)> {
        let node = self.take(field, notes)?;
        let path = self.path_of(field);
        text_of(node, &path, notes)
    }

    /// A whole number within a range.
    pub(super) fn number(
        &mut self,
        field: &'static str,
        range: &RangeInclusive<u32>,
        default: u32,
        notes: &mut Notes<'_>,
    ) -> u32 {
        let Some(node) = self.take(field, notes) else { return default };
        let path = self.path_of(field);
        whole_of(node, &path, range, notes).unwrap_or(default)
    }

    /// Yes or no.
    pub(super) fn truth(&mut self, field: &'static str, notes: &mut Notes<'_>) -> bool {
        self.choice(field, &[("true", true), ("false", false)], false, notes)
    }

    /// A span, such as `90s` or `1h30m`; the Ok is in seconds.
    pub(super) fn span(
        &mut self,
        field: &'static str,
        range: &RangeInclusive<u32>,
        notes: &mut Notes<'_>,
    ) -> Option<u32> {
        let node = self.take(field, notes)?;
        let path = self.path_of(field);
        Some(span_of(node, &path, range, notes).unwrap_or(*range.start()))
    }

    /// The name of a document or a prompt; empty when it is not there.
    pub(super) fn name(&mut self, field: &'static str, notes: &mut Notes<'_>) -> String {
        let path = self.path_of(field);
        self.take(field, notes).and_then(|node| name_of(node, &path, notes)).unwrap_or_default()
    }

    /// The same, and it must be there.
    pub(super) fn required_name(&mut self, field: &'static str, allowed: &str, notes: &mut Notes<'_>) -> String {
        let path = self.path_of(field);
        self.require(field, allowed, notes).and_then(|node| name_of(node, &path, notes)).unwrap_or_default()
    }

    /// A number that is dialled or shown; empty when it is not there.
    pub(super) fn dialled(&mut self, field: &'static str, notes: &mut Notes<'_>) -> String {
        let path = self.path_of(field);
        self.take(field, notes).and_then(|node| number_of(node, &path, notes)).unwrap_or_default()
    }

    /// Whether the field is there and not yet taken.
    pub(super) fn has(&self, field: &str) -> bool {
        self.left.iter().any(|entry| entry.key == field)
    }

    /// The line of a field that is there and not yet taken.
    pub(super) fn line_of(&self, field: &str) -> Option<u32> {
        self.left.iter().find(|entry| entry.key == field).map(|entry| entry.line)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        field: &'static str,
        choices: &[(&str, T)],
        default: T,
        notes: &mut Notes<'_>,
    ) -> T {
        self.chosen(field, choices, notes).unwrap_or(default)
    }

    /// The same, when it is there.
    pub(super) fn chosen<T: Copy>(
        &mut self,
        field: &'static str,
        choices: &[(&str, T)],
        notes: &mut Notes<'_>,
    ) -> Option<T> {
        let (text, line) = self.text(field, notes)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let allowed: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let message = format_args!("unknown value {}", Quoted(&text)).to_string();
        notes.refuse(line, &self.path_of(field), message, allowed.join(", "));
        None
    }

    /// Refuses every field that nobody asked for, and every one that was there before.
    pub(super) fn finish(self, notes: &mut Notes<'_>) {
        for entry in &self.twice {
            notes.refuse(entry.line, &self.path_of(&entry.key), "is there twice", "once");
        }
        for entry in &self.left {
            let path = self.path_of(&entry.key);
            notes.refuse(entry.line, &path, "unknown field", self.asked.join(", "));
        }
    }
}

impl Value {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Broken => "something unreadable",
        }
    }
}

const QUOTED_CHARS_MAX: usize = 60;

/// What somebody wrote, quoted for a message: short, and without control characters.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.0.chars().take(QUOTED_CHARS_MAX).collect();
        write!(f, "{short:?}{}", if short.len() < self.0.len() { "..." } else { "" })
    }
}

/// A key as part of a path.
pub(super) fn plain(key: &str) -> String {
    Plain(key).to_string()
}

/// A key as part of a path: as it is when it is plain, quoted otherwise.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if super::limits::is_name(self.0) { f.write_str(self.0) } else { write!(f, "{}", Quoted(self.0)) }
    }
}
