//! Renders answers: a table for people, JSON or YAML for programs. The only place that does; asks nobody anything.
//!
//! Whatever came over the wire passes `clean` before a terminal can see it: a caller chooses their own name.

use std::{env, fmt::Display, io::IsTerminal as _};

use clap::ValueEnum;
use ratatui::text::Span;
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// How to print an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people. Not for scripts: it may change.
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// How this run prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// The form.
    pub format: Format,
    colour: bool,
}

impl Output {
    /// Colours only on a terminal, and not against `NO_COLOR`.
    pub fn new(format: Format) -> Self {
        let colour = std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { format, colour }
    }

    /// The text of an answer: `value` for programs, what `draw` puts on the page for people.
    pub fn show<T: Serialize>(self, value: &T, draw: impl FnOnce(&mut Page)) -> Result<String, Failure> {
        let unwritable = |error: &dyn Display| Failure::Local(format!("cannot write the answer: {error}"));
        match self.format {
            Format::Table => {
                let mut page = Page { text: String::new(), colour: self.colour };
                draw(&mut page);
                Ok(page.text)
            }
            Format::Json => {
                let text = serde_json::to_string_pretty(value).map_err(|error| unwritable(&error))?;
                Ok(escaped(&text) + "\n")
            }
            Format::Yaml => {
                let mut value = serde_json::to_value(value).map_err(|error| unwritable(&error))?;
                clean_value(&mut value);
                serde_saphyr::to_string(&value).map_err(|error| unwritable(&error))
            }
        }
    }
}

/// One JSON document on one line, without the line's end.
pub(crate) fn json_line<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Local(format!("cannot write a line: {error}")))?;
    Ok(escaped(&text))
}

/// What a word means, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Busy,
    /// Wrong.
    Bad,
}

impl Tone {
    /// The tone of a state's word.
    pub fn of(state: &str) -> Self {
        match state {
            "up" | "ready" | "completed" | "created" => Self::Good,
            "reserved" | "talking" | "offered" | "wrap-up" | "changed" => Self::Busy,
            "down" | "none" | "abandoned" | "refused" | "failed" => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// One cell of a table.
#[derive(Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

/// A word, coloured by what it says.
pub fn word(text: impl Display) -> Cell {
    let text = dash(&clean(&text.to_string()));
    let tone = Tone::of(&text);
    Cell { text, tone, right: false }
}

/// Text as it is, without a meaning.
pub fn plain(text: impl Display) -> Cell {
    Cell { text: dash(&clean(&text.to_string())), tone: Tone::Plain, right: false }
}

/// A figure, aligned to the right.
pub fn figure(text: impl Display) -> Cell {
    Cell { text: text.to_string(), tone: Tone::Plain, right: true }
}

/// Whose things were asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// One tenant's.
    One,
    /// Everybody's.
    All,
}

/// The tenant that answers do not name.
const MAIN: &str = "main";

/// Whose something is.
pub fn tenant(named: String) -> String {
    if named.is_empty() { MAIN.to_owned() } else { named }
}

/// A page for people.
#[derive(Debug)]
pub struct Page {
    text: String,
    colour: bool,
}

impl Page {
    /// One line of words.
    pub fn line(&mut self, text: impl Display) {
        self.text.push_str(clean(&text.to_string()).trim_end());
        self.text.push('\n');
    }

    /// Names and values below each other.
    pub fn pairs<const N: usize>(&mut self, pairs: [(&str, Cell); N]) {
        let rows = pairs.into_iter().map(|(name, cell)| vec![plain(format!("{name}:")), Cell { right: false, ..cell }]);
        self.rows(rows.collect());
    }

    /// A table with a heading, even when it has no rows.
    pub fn table<const N: usize>(&mut self, heads: [&str; N], rows: impl IntoIterator<Item = [Cell; N]>) {
        self.list(&heads, rows.into_iter().map(Vec::from));
    }

    /// Like [`Self::table`], for columns that depend on what is asked.
    pub fn list(&mut self, heads: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) {
        let mut all: Vec<Vec<Cell>> = vec![heads.iter().map(plain).collect()];
        all.extend(rows);
        if let [head, first, ..] = all.as_mut_slice() {
            head.iter_mut().zip(first).for_each(|(head, cell)| head.right = cell.right);
        }
        self.rows(all);
    }

    /// Like [`Self::list`], of things that belong to tenants: whose each one is stands before it, when somebody else's than
    /// the main tenant's are among them, unless one tenant alone was asked about.
    pub fn list_of_tenants<'a>(
        &mut self,
        asked: Asked,
        heads: &[&str],
        rows: impl IntoIterator<Item = (&'a str, Vec<Cell>)>,
    ) {
        let rows: Vec<(&str, Vec<Cell>)> = rows.into_iter().collect();
        if asked == Asked::One || rows.iter().all(|(tenant, _)| *tenant == MAIN) {
            return self.list(heads, rows.into_iter().map(|(_, cells)| cells));
        }
        let heads: Vec<&str> = std::iter::once("TENANT").chain(heads.iter().copied()).collect();
        self.list(
            &heads,
            rows.into_iter().map(|(tenant, cells)| std::iter::once(plain(tenant)).chain(cells).collect()),
        );
    }

    fn rows(&mut self, rows: Vec<Vec<Cell>>) {
        let columns = rows.first().map_or(0, Vec::len);
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let gap = " ".repeat(width - cell.width());
                let text = cell.painted(self.colour);
                line.push_str(&if cell.right { gap + &text } else { text + &gap });
                line.push_str("  ");
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}

impl Cell {
    fn width(&self) -> usize {
        Span::raw(&self.text).width()
    }

    fn painted(&self, colour: bool) -> String {
        let code = match self.tone {
            Tone::Plain => return self.text.clone(),
            Tone::Good => 32,
            Tone::Busy => 33,
            Tone::Bad => 31,
        };
        if colour { format!("\x1b[{code}m{}\x1b[0m", self.text) } else { self.text.clone() }
    }
}

/// Text without anything that could steer a terminal or hide in it: no control characters, no line breaks, no
/// direction overrides, nothing invisible.
pub fn clean(text: &str) -> String {
    text.chars().filter(|character| !is_hostile(*character)).collect()
}

/// Like [`clean`], but line breaks stay.
pub fn clean_lines(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !is_hostile(*character)).collect()
}

fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// JSON stays what it was: serde escapes C0 alone, so the others are escaped here.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_hostile(character) {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
    }
    text
}

fn clean_value(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(items) => items.iter_mut().for_each(clean_value),
        Value::Object(fields) => fields.values_mut().for_each(clean_value),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// None for the empty text that protobuf has for nothing.
pub fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A span of time for people: `0.4s`, `12s`, `3m05s`, `2h10m`, `3d04h`.
pub fn lasting(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{seconds}.{}s", ms % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A figure that may not be there: `-`.
pub fn or_dash(text: Option<impl Display>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

/// Of 1000 as percent: `83.3%`.
pub fn percent(permille: u64) -> String {
    format!("{}.{}%", permille / 10, permille % 10)
}

/// Two spans of time: `5.0s-7.5s`; without the second one `4h00m+`.
pub fn between(from_ms: u64, until_ms: Option<u64>) -> String {
    match until_ms {
        Some(until_ms) => format!("{}-{}", lasting(from_ms), lasting(until_ms)),
        None => format!("{}+", lasting(from_ms)),
    }
}

/// The time of day of Unix milliseconds, in UTC.
pub fn time_of_day(ms: u64) -> String {
    let seconds = ms / 1000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_name_cannot_steer_the_terminal() {
        assert_eq!(clean("\x1b[2Jan\u{9b}31mna\r\n\u{202e}x\u{7f}"), "[2Jan31mnax");
        assert_eq!(escaped("\"a\u{9b}\u{202e}\""), "\"a\\u009b\\u202e\"");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut page = Page { text: String::new(), colour: false };
        page.table(["NAME", "CALLS"], [[plain("日本"), figure(7)], [plain(""), figure(12345)]]);
        assert_eq!(page.text, "NAME  CALLS\n日本      7\n-     12345\n");
    }

    #[test]
    fn times_are_short() {
        let spans = [0, 950, 12_345, 185_000, 7_800_000, 273_600_000].map(lasting);
        assert_eq!(spans, ["0.0s", "0.9s", "12s", "3m05s", "2h10m", "3d04h"]);
        assert_eq!(time_of_day(1_700_000_000_123), "22:13:20.123");
    }
}
