//! What is printed before it is YAML: fields in an order, defaults left out. Knows no kind.

use serde::{Serialize, Serializer};

use super::yaml::span;

/// A value to be written.
#[derive(Debug, Clone)]
pub(super) enum Printed {
    Text(String),
    Number(u32),
    /// Hundredths.
    Ratio(u32),
    Truth(bool),
    List(Vec<Printed>),
    Map(Vec<(String, Printed)>),
}

impl Printed {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for Printed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u32(*number),
            Self::Ratio(hundredths) => serializer.serialize_f64(f64::from(*hundredths) / 100.0),
            Self::Truth(truth) => serializer.serialize_bool(*truth),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

/// The fields of one mapping. Every method but `with` leaves out what is the default.
#[derive(Debug, Default)]
pub(super) struct Page(Vec<(String, Printed)>);

impl Page {
    /// The page of a document.
    pub(super) fn of(kind: &str, name: &str) -> Self {
        Self::default().with("kind", Printed::text(kind)).with("name", Printed::text(name))
    }

    pub(super) fn with(mut self, field: &str, value: Printed) -> Self {
        self.0.push((field.to_owned(), value));
        self
    }

    fn with_some(self, field: &str, some: bool, value: impl FnOnce() -> Printed) -> Self {
        if some { self.with(field, value()) } else { self }
    }

    pub(super) fn text(self, field: &str, text: &str) -> Self {
        self.with_some(field, !text.is_empty(), || Printed::text(text))
    }

    pub(super) fn number(self, field: &str, number: u32) -> Self {
        self.with_some(field, number != 0, || Printed::Number(number))
    }

    pub(super) fn span(self, field: &str, seconds: u32) -> Self {
        self.with_some(field, seconds != 0, || span(seconds))
    }

    pub(super) fn truth(self, field: &str, truth: bool) -> Self {
        self.with_some(field, truth, || Printed::Truth(truth))
    }

    pub(super) fn list(self, field: &str, items: impl Iterator<Item = Printed>) -> Self {
        let items: Vec<_> = items.collect();
        self.with_some(field, !items.is_empty(), || Printed::List(items))
    }

    pub(super) fn map(self, field: &str, entries: impl Iterator<Item = (String, Printed)>) -> Self {
        let entries: Vec<_> = entries.collect();
        self.with_some(field, !entries.is_empty(), || Printed::Map(entries))
    }

    pub(super) fn done(self) -> Printed {
        Printed::Map(self.0)
    }
}
