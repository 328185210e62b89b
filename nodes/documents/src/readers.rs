//! Reads one value of the tree: text, figures, names, lists, mappings with keys of their own. Knows no kind.

use std::ops::RangeInclusive;

use super::{
    fields::{Fields, Notes, Quoted, plain},
    limits::{NAME_ALLOWED, NUMBER_ALLOWED, is_name, is_number},
    times,
    tree::{Entry, Node, Value},
};

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

/// A whole number within a range.
pub(super) fn whole_of(node: Node, path: &str, range: &RangeInclusive<u32>, notes: &mut Notes<'_>) -> Option<u32> {
    let (text, line) = text_of(node, path, notes)?;
    match text.parse::<u32>() {
        Ok(number) if range.contains(&number) => Some(number),
        parsed => {
            let fault = if parsed.is_ok() || is_whole(&text) { "is out of range" } else { "is not a whole number" };
            let allowed = format_args!("{} to {}", range.start(), range.end()).to_string();
            notes.refuse(line, path, format_args!("{} {fault}", Quoted(&text)), allowed);
            None
        }
    }
}

/// A span in seconds within a range.
pub(super) fn span_of(node: Node, path: &str, range: &RangeInclusive<u32>, notes: &mut Notes<'_>) -> Option<u32> {
    let (text, line) = text_of(node, path, notes)?;
    let fault = match times::seconds_of(&text) {
        Some(seconds) if range.contains(&seconds) => return Some(seconds),
        Some(_) => "is out of range",
        None => "is not a span of time",
    };
    let allowed =
        format_args!("{} to {}, such as 30s, 5m or 1h30m", times::Span(*range.start()), times::Span(*range.end()))
            .to_string();
    notes.refuse(line, path, format_args!("{} {fault}", Quoted(&text)), allowed);
    None
}

/// The name of a document or a prompt.
pub(super) fn name_of(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<String> {
    let (text, line) = text_of(node, path, notes)?;
    if is_name(&text) {
        return Some(text);
    }
    notes.refuse(line, path, format_args!("{} cannot be a name", Quoted(&text)), NAME_ALLOWED);
    None
}

/// A number that is dialled or shown.
pub(super) fn number_of(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<String> {
    let (text, line) = text_of(node, path, notes)?;
    if is_number(&text) {
        return Some(text);
    }
    notes.refuse(line, path, format_args!("{} cannot be a number", Quoted(&text)), NUMBER_ALLOWED);
    None
}

/// A sequence's items, each with its path. Too many of them are refused as one error, and none is read.
pub(super) fn items_of(node: Node, path: &str, limit: usize, notes: &mut Notes<'_>) -> Vec<(String, Node)> {
    let line = node.line;
    let items = list_of(node, path, notes);
    if items.len() > limit {
        let what = path.rsplit('.').next().unwrap_or_default();
        notes.refuse(line, path, format_args!("{} {what} are too many", items.len()), format_args!("up to {limit}"));
        return Vec::new();
    }
    let items = items.into_iter().enumerate().map(|(index, node)| (format!("{path}[{index}]"), node));
    items.inspect(|(path, node)| notes.lines.push((path.clone(), node.line))).collect()
}

/// The same, where one item may stand without the brackets of a list.
pub(super) fn one_or_more(node: Node, path: &str, limit: usize, notes: &mut Notes<'_>) -> Vec<(String, Node)> {
    match node.value {
        Value::List(_) => items_of(node, path, limit, notes),
        Value::Broken => Vec::new(),
        Value::Null | Value::Text(_) | Value::Map(_) => vec![(path.to_owned(), node)],
    }
}

/// A mapping's entries, whatever their keys, each with its path; of a key that is there twice the first one counts.
pub(super) fn entries_of(node: Node, path: &str, limit: usize, notes: &mut Notes<'_>) -> Vec<(String, Entry)> {
    let line = node.line;
    let Some(fields) = Fields::of(node, path, notes) else { return Vec::new() };
    for entry in &fields.twice {
        notes.refuse(entry.line, &fields.path_of(&entry.key), "is there twice", "once");
    }
    if fields.left.len() > limit {
        let what = path.rsplit('.').next().unwrap_or_default();
        let message = format_args!("{} {what} are too many", fields.left.len()).to_string();
        notes.refuse(line, path, message, format_args!("up to {limit}"));
        return Vec::new();
    }
    let path_of = |key: &str| format!("{path}.{}", plain(key));
    let entries = fields.left.into_iter().map(|entry| (path_of(&entry.key), entry));
    let mut kept = Vec::new();
    for (path, mut entry) in entries {
        notes.lines.push((path.clone(), entry.line));
        if matches!(entry.node.value, Value::Null) {
            notes.refuse(entry.line, &path, "has no value", "a value, or no such field");
            entry.node.value = Value::Broken;
        }
        kept.push((path, entry));
    }
    kept
}

/// One word, or a mapping with one key: `hang-up`, `{ move-to: sales }`. A word alone has the value null.
pub(super) fn one_key_of(node: Node, path: &str, allowed: &str, notes: &mut Notes<'_>) -> Option<(String, Entry)> {
    let line = node.line;
    if let Value::Text(word) = node.value {
        let path = format!("{path}.{}", plain(&word));
        notes.lines.push((path.clone(), line));
        return Some((path, Entry { key: word, line, node: Node { line, value: Value::Null } }));
    }
    let broken = matches!(node.value, Value::Broken);
    if let Value::List(_) | Value::Null = node.value {
        notes.refuse(line, path, format_args!("{} where one belongs", node.value.word()), allowed);
        return None;
    }
    let mut entries = entries_of(node, path, usize::MAX, notes);
    if entries.len() != 1 {
        if !broken {
            notes.refuse(line, path, format_args!("has {} keys where one belongs", entries.len()), allowed);
        }
        return None;
    }
    entries.pop()
}

/// A sequence's items.
fn list_of(node: Node, path: &str, notes: &mut Notes<'_>) -> Vec<Node> {
    match node.value {
        Value::List(items) => items,
        Value::Broken => Vec::new(),
        other @ (Value::Null | Value::Text(_) | Value::Map(_)) => {
            notes.refuse(node.line, path, format_args!("{} where a list belongs", other.word()), "");
            Vec::new()
        }
    }
}

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
