//! Business time: hours by weekday, dates, seasons. Looks at no other document and knows no zone.

use proto::v1::{DateHours, Hours, Schedule, Season};

use super::{
    fields::{Fields, Notes, Quoted},
    limits,
    readers::{entries_of, one_or_more, text_of},
    times,
    tree::{Entry, Node, Value},
};

const WEEKLY_ALLOWED: &str = "such as mon-fri 09:00-17:30 or sat,sun 22:00-06:00";
const DAILY_ALLOWED: &str = "closed, or hours such as 09:00-17:30";
const DATE_ALLOWED: &str = "MM-DD for every year, or YYYY-MM-DD from 2000 to 2099";
const SEASON_ALLOWED: &str = "MM-DD..MM-DD, such as 06-01..08-31";

/// The rest of a schedule that has its name and zone. A date with a year goes before the same day of every year.
pub(super) fn schedule(mut schedule: Schedule, fields: &mut Fields, notes: &mut Notes<'_>) -> Schedule {
    if let Some(node) = fields.require("hours", WEEKLY_ALLOWED, notes) {
        schedule.hours = hours(node, "hours", true, notes);
    }
    if let Some(node) = fields.take("dates", notes) {
        for (path, Entry { key, line, node }) in entries_of(node, "dates", limits::DATES_MAX, notes) {
            let hours = hours(node, &path, false, notes);
            match times::date(&key) {
                Ok((year, month, day)) => schedule.dates.push(DateHours { year, month, day, hours }),
                Err(fault) => notes.refuse(line, &path, format_args!("{} {fault}", Quoted(&key)), DATE_ALLOWED),
            }
        }
        schedule.dates.sort_by_key(|date| (date.year == 0, date.year, date.month, date.day));
    }
    if let Some(node) = fields.take("seasons", notes) {
        for (path, Entry { key, line, node }) in entries_of(node, "seasons", limits::SEASONS_MAX, notes) {
            let hours = hours(node, &path, true, notes);
            match times::season(&key) {
                Ok(season) => {
                    if let Some(other) = schedule.seasons.iter().find(|other| overlap(other, &season)) {
                        let message = format_args!("overlaps {}", times::season_text(other)).to_string();
                        notes.refuse(line, &path, message, "seasons of which each day has one");
                    }
                    schedule.seasons.push(Season { hours, ..season });
                }
                Err(fault) => notes.refuse(line, &path, format_args!("{} {fault}", Quoted(&key)), SEASON_ALLOWED),
            }
        }
        schedule.seasons.sort_by_key(|season| (season.from_month, season.from_day));
    }
    schedule
}

/// `closed`, one span, or a list of spans; of a week they have weekdays, of a date not.
fn hours(node: Node, path: &str, weekly: bool, notes: &mut Notes<'_>) -> Vec<Hours> {
    if matches!(&node.value, Value::Text(word) if word == "closed") {
        return Vec::new();
    }
    let allowed = if weekly { WEEKLY_ALLOWED } else { DAILY_ALLOWED };
    let (line, broken) = (node.line, matches!(node.value, Value::Broken));
    let items = one_or_more(node, path, limits::HOURS_MAX, notes);
    if items.is_empty() && !broken {
        notes.refuse(line, path, "is empty", allowed);
    }
    let mut spans = Vec::new();
    for (path, item) in items {
        let Some((text, line)) = text_of(item, &path, notes) else { continue };
        match if weekly { times::weekly(&text) } else { times::daily(&text) } {
            Ok(span) => spans.push(span),
            Err(fault) => notes.refuse(line, &path, format_args!("{} {fault}", Quoted(&text)), allowed),
        }
    }
    spans
}

/// Whether two parts of the year share a day; either may go over the end of the year.
fn overlap(left: &Season, right: &Season) -> bool {
    let within = |month: u32, day: u32, season: &Season| {
        let (from, to) = ((season.from_month, season.from_day), (season.to_month, season.to_day));
        let at = (month, day);
        if from <= to { (from..=to).contains(&at) } else { at >= from || at <= to }
    };
    within(left.from_month, left.from_day, right) || within(right.from_month, right.from_day, left)
}
