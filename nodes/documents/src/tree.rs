//! YAML text to a tree that knows its lines. Knows no kind and no field; never stops at the first flaw.
//!
//! Works on the event stream of serde-saphyr's own parser rather than on serde, because serde ends a document at its
//! first error, and every error of a file is wanted at once. Anchors, aliases and tags are refused, so no input can
//! grow beyond its own size.

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle};

use super::limits::{DEPTH_MAX, ERRORS_KEPT_MAX};

/// A value and the line it begins on.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) value: Value,
}

/// What a document is made of.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing after the colon, `~` or `null`.
    Null,
    /// Any scalar as it is written: `5000`, `"5000"` and `007` keep their characters.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the file, duplicates included.
    Map(Vec<Entry>),
    /// Already reported as a flaw: say nothing more about it.
    Broken,
}

/// One key of a mapping with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: u32,
    pub(super) node: Node,
}

/// What is wrong with the text itself.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) line: u32,
    pub(super) message: String,
    pub(super) allowed: &'static str,
}

/// Reads all documents of a text. A syntax error hides the rest of its own document only.
/// `nodes_left` is what all files may still have; when it is used up, reading ends with a flaw.
pub(super) fn read(text: &str, nodes_left: &mut usize) -> (Vec<Node>, Vec<Flaw>) {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut growing = Growing::default();
    loop {
        match parser.next_event() {
            None => break,
            Some(Ok((event, span))) => {
                let line = line_of(span.start.line());
                let Some(left) = nodes_left.checked_sub(usize::from(event.is_node())) else {
                    let message = "too many keys and values in one apply".to_owned();
                    growing.abandon(Flaw { line, message, allowed: "several smaller applies" });
                    break;
                };
                *nodes_left = left;
                growing.grow(event, line);
            }
            Some(Err(error)) => {
                let line = line_of(error.marker().line());
                growing.abandon(Flaw { line, message: format!("not valid YAML: {}", error.info()), allowed: "" });
                if growing.flaws.len() >= ERRORS_KEPT_MAX || !parser.proceed_next_document().unwrap_or(false) {
                    break;
                }
            }
        }
    }
    (growing.documents, growing.flaws)
}

fn line_of(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// The documents so far and the open collections of the one being read.
#[derive(Default)]
struct Growing {
    documents: Vec<Node>,
    flaws: Vec<Flaw>,
    open: Vec<Open>,
}

enum Open {
    List { line: u32, items: Vec<Node> },
    Map { line: u32, entries: Vec<Entry>, key: Option<(String, u32)> },
}

impl Growing {
    fn grow(&mut self, event: Event<'_>, line: u32) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), line);
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                let value = if null { Value::Null } else { Value::Text(text.into_owned()) };
                self.place(Node { line, value });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.flaw(line, "an alias (*name) is not supported", "the value itself");
                self.place(Node { line, value: Value::Broken });
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), line);
                self.open.push(Open::List { line, items: Vec::new() });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), line);
                self.open.push(Open::Map { line, entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { line, items }) => self.place(Node { line, value: Value::List(items) }),
                Some(Open::Map { line, entries, .. }) => self.place(Node { line, value: Value::Map(entries) }),
                None => {}
            },
            _ => {}
        }
    }

    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            // A document of nothing but comments is nothing.
            None if matches!(node.value, Value::Null) => {}
            None => self.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((key, line)) => entries.push(Entry { key, line, node }),
                None => match node.value {
                    Value::Text(text) => *key = Some((text, node.line)),
                    Value::Null | Value::List(_) | Value::Map(_) | Value::Broken => {
                        *key = Some((String::new(), node.line));
                    }
                },
            },
        }
    }

    fn refuse_properties(&mut self, anchor: usize, tagged: bool, line: u32) {
        if anchor != 0 {
            self.flaw(line, "an anchor (&name) is not supported", "the value alone");
        }
        if tagged {
            self.flaw(line, "a tag (!name) is not supported", "the value alone");
        }
    }

    fn flaw(&mut self, line: u32, message: &str, allowed: &'static str) {
        if self.flaws.len() < ERRORS_KEPT_MAX {
            self.flaws.push(Flaw { line, message: message.to_owned(), allowed });
        }
    }

    fn abandon(&mut self, flaw: Flaw) {
        self.flaws.push(flaw);
        self.open.clear();
    }
}
