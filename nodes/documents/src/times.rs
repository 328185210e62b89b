//! Spans, hours of the day, weekdays and dates: their text, and back. Knows no zone and never reads a clock.

use std::{
    fmt::{self, Display},
    str::FromStr as _,
};

use proto::v1::{DateHours, Hours, Season};

use super::limits::YEAR;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_DAY: u32 = 1_440;

/// Seconds as `1h30m`, `45s`, `0s`.
pub(super) struct Span(pub(super) u32);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        for (amount, unit) in [(self.0 / 3_600, 'h'), (self.0 / 60 % 60, 'm'), (self.0 % 60, 's')] {
            if amount > 0 {
                write!(f, "{amount}{unit}")?;
            }
        }
        Ok(())
    }
}

/// Seconds of `1h30m`, `90s` or, without a unit, `90`; units fall and none is there twice.
pub(super) fn seconds_of(text: &str) -> Option<u32> {
    if let Some(seconds) = whole(text) {
        return Some(seconds);
    }
    let mut rest = text;
    let mut seconds = 0_u32;
    let mut units: &[(char, u32)] = &[('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
    while !rest.is_empty() {
        let (amount, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let unit = after.chars().next()?;
        let at = units.iter().position(|(known, _)| *known == unit)?;
        seconds = seconds.checked_add(whole(amount)?.checked_mul(units[at].1)?)?;
        units = &units[at + 1..];
        rest = &after[unit.len_utf8()..];
    }
    (!text.is_empty()).then_some(seconds)
}

/// `mon-fri 09:00-17:30` or `mon,wed 22:00-06:00`.
pub(super) fn weekly(text: &str) -> Result<Hours, &'static str> {
    let (days, span) = text.split_once(' ').ok_or("has no weekdays before the hours")?;
    let (from_minute, to_minute) = span_of_day(span.trim_start())?;
    Ok(Hours { weekdays: weekdays(days)?, from_minute, to_minute })
}

/// `09:00-17:30`.
pub(super) fn daily(text: &str) -> Result<Hours, &'static str> {
    let (from_minute, to_minute) = span_of_day(text)?;
    Ok(Hours { weekdays: Vec::new(), from_minute, to_minute })
}

/// What [`weekly`] and [`daily`] read.
pub(super) fn hours_text(hours: &Hours) -> String {
    let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
    let span = format!("{}-{}", clock(hours.from_minute), clock(hours.to_minute));
    if hours.weekdays.is_empty() { span } else { format!("{} {span}", weekdays_text(&hours.weekdays)) }
}

/// `12-25` or `2026-12-25` as year (0 = every year), month and day.
pub(super) fn date(text: &str) -> Result<(u32, u32, u32), &'static str> {
    let (year, rest) = if text.len() > 5 {
        let (year, rest) = text.split_once('-').ok_or("is not a date")?;
        let year = digits(year, 4).ok_or("is not a date")?;
        if !YEAR.contains(&year) {
            return Err("has a year out of range");
        }
        (year, rest)
    } else {
        (0, text)
    };
    let (month, day) = month_and_day(rest)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if (month, day) == (2, 29) && !leap {
        return Err("is no day of the calendar");
    }
    Ok((year, month, day))
}

/// `06-01..08-31`.
pub(super) fn season(text: &str) -> Result<Season, &'static str> {
    let (from, to) = text.split_once("..").ok_or("is not two days with .. between")?;
    let ((from_month, from_day), (to_month, to_day)) = (month_and_day(from)?, month_and_day(to)?);
    Ok(Season { from_month, from_day, to_month, to_day, hours: Vec::new() })
}

/// What [`date`] reads.
pub(super) fn date_text(date: &DateHours) -> String {
    let year = if date.year == 0 { String::new() } else { format!("{:04}-", date.year) };
    format!("{year}{:02}-{:02}", date.month, date.day)
}

/// What [`season`] reads.
pub(super) fn season_text(season: &Season) -> String {
    format!("{:02}-{:02}..{:02}-{:02}", season.from_month, season.from_day, season.to_month, season.to_day)
}

fn span_of_day(text: &str) -> Result<(u32, u32), &'static str> {
    let (from, to) = text.split_once('-').ok_or("is not two hours with - between")?;
    let (from, to) = (minute_of_day(from)?, minute_of_day(to)?);
    if from == MINUTES_OF_DAY {
        return Err("begins at 24:00, which is 00:00 of the next day");
    }
    if from == to {
        return Err("ends where it starts");
    }
    Ok((from, to))
}

fn minute_of_day(text: &str) -> Result<u32, &'static str> {
    let (hour, minute) = text.split_once(':').ok_or("has an hour that is not HH:MM")?;
    let hour = digits(hour, 2).ok_or("has an hour that is not HH:MM")?;
    let minute = digits(minute, 2).ok_or("has an hour that is not HH:MM")?;
    if minute > 59 || hour * 60 + minute > MINUTES_OF_DAY {
        return Err("has an hour outside the day");
    }
    Ok(hour * 60 + minute)
}

fn weekdays(text: &str) -> Result<Vec<u32>, &'static str> {
    let day = |name: &str| DAYS.iter().position(|known| *known == name).ok_or("has an unknown weekday");
    let mut open = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        for step in 0..=(last + 7 - first) % 7 {
            let weekday = &mut open[(first + step) % 7];
            if *weekday {
                return Err("has a weekday twice");
            }
            *weekday = true;
        }
    }
    Ok((1..).zip(open).filter_map(|(number, open)| open.then_some(number)).collect())
}

/// Runs of three and more become a range.
fn weekdays_text(days: &[u32]) -> String {
    let name =
        |day: u32| usize::try_from(day).ok().and_then(|day| DAYS.get(day.wrapping_sub(1)).copied()).unwrap_or("?");
    days.chunk_by(|left, right| left.checked_add(1) == Some(*right))
        .flat_map(|run| match run {
            [first, .., last] if run.len() > 2 => vec![format!("{}-{}", name(*first), name(*last))],
            _ => run.iter().map(|day| name(*day).to_owned()).collect(),
        })
        .collect::<Vec<_>>()
        .join(",")
}

fn month_and_day(text: &str) -> Result<(u32, u32), &'static str> {
    let (month, day) = text.split_once('-').ok_or("is not a date")?;
    let (month, day) = (digits(month, 2).ok_or("is not a date")?, digits(day, 2).ok_or("is not a date")?);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 29,
        _ => 0,
    };
    if (1..=last).contains(&day) { Ok((month, day)) } else { Err("is no day of the calendar") }
}

fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count).then(|| whole(text)).flatten()
}

fn whole(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| u32::from_str(text).ok()).flatten()
}
