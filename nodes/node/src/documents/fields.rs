//! Takes the fields of one mapping, one after the other, and notes everything that is wrong. Knows no kind.

use std::{
    collections::BTreeSet,
    fmt::{self, Display},
    ops::RangeInclusive,
};

use proto::v1::DocumentError;

use super::{
    limits::ERRORS_KEPT_MAX,
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
    left: Vec<Entry>,
    twice: Vec<Entry>,
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
        let Some((text, line)) = self.text(field, notes) else { return default };
        match text.parse::<u32>() {
            Ok(number) if range.contains(&number) => number,
            parsed => {
                let fault = if parsed.is_ok() || is_whole(&text) { "is out of range" } else { "is not a whole number" };
                let allowed = format_args!("{} to {}", range.start(), range.end()).to_string();
                notes.refuse(line, &self.path_of(field), format_args!("{} {fault}", Quoted(&text)), allowed);
                default
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        field: &'static str,
        choices: &[(&str, T)],
        default: T,
        notes: &mut Notes<'_>,
    ) -> T {
        let Some((text, line)) = self.text(field, notes) else { return default };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let allowed: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let message = format_args!("unknown value {}", Quoted(&text)).to_string();
        notes.refuse(line, &self.path_of(field), message, allowed.join(", "));
        default
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

/// A scalar's text.
pub(super) fn text_of(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<(String, u32)> {
    match node.value {
        Value::Text(text) => Some((text, node.line)),
        Value::Broken => None,
        other @ (Value::Null | Value::List(_) | Value::Map(_)) => {
            notes.refuse(node.line, path, format_args!("{} where one value belongs", other.word()), "");
            None
        }
    }
}

/// A sequence's items.
pub(super) fn list_of(node: Node, path: &str, notes: &mut Notes<'_>) -> Vec<Node> {
    match node.value {
        Value::List(items) => items,
        Value::Broken => Vec::new(),
        other @ (Value::Null | Value::Text(_) | Value::Map(_)) => {
            notes.refuse(node.line, path, format_args!("{} where a list belongs", other.word()), "");
            Vec::new()
        }
    }
}

impl Value {
    fn word(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Broken => "something unreadable",
        }
    }
}

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
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

/// A key as part of a path: as it is when it is plain, quoted otherwise.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if super::limits::is_name(self.0) { f.write_str(self.0) } else { write!(f, "{}", Quoted(self.0)) }
    }
}
