//! Business time as data: whether a schedule is open, when that changes, where a local day begins. Never reads a clock
//! or a database of zones.
//!
//! Every question is put to an instant and answered by its local time, never the other way round. So a local time that
//! a change of the clocks skips is never asked about, one that it repeats counts twice, and every instant has an answer.

use std::sync::Arc;

use crate::Timestamp;
use crate::document::{Hours, Schedule, Season, Zone};

/// How far ahead [`Calendar::next_change`] looks: over any holiday that comes every year.
pub(crate) const LOOK_AHEAD_DAYS: i64 = 400;
/// No clock on earth is further from UTC; a zone that says so is taken as this.
const OFFSET_SECONDS_MAX: i64 = 26 * 3600;
const DAY_SECONDS: i64 = 86_400;
const DAY_MINUTES: u32 = 1440;

/// Spans of one day, in minutes since its midnight: rising, apart, ending before the next day does.
type Spans = Vec<(u32, u32)>;
/// Spans from Monday on.
type Week = [Spans; 7];
/// Month and day.
type YearDay = (u32, u32);

/// A schedule that can be asked. On each day the first of these that speaks of it decides: its date with the year, its
/// date in every year, the season, the weekly hours. A span belongs to the day on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    zone: Option<Arc<Zone>>,
    week: Week,
    /// (year, month, day), rising; year 0 is every year.
    dates: Vec<((u32, u32, u32), Spans)>,
    /// By first and last day.
    seasons: Vec<(YearDay, YearDay, Week)>,
}

impl Calendar {
    /// No zone is UTC. Of two entries for the same date, and of two seasons on a day, the first counts. Spans that begin
    /// at minute 1440 or later, and weekdays that there are not, are left out.
    pub(crate) fn new(schedule: &Schedule, zone: Option<Arc<Zone>>) -> Self {
        let mut dates: Vec<_> =
            schedule.dates.iter().map(|date| ((date.year, date.month, date.day), spans(date.hours.iter()))).collect();
        dates.sort_by_key(|(date, _)| *date);
        dates.dedup_by_key(|(date, _)| *date);
        let season = |season: &Season| {
            ((season.from_month, season.from_day), (season.to_month, season.to_day), week(&season.hours))
        };
        Calendar { zone, week: week(&schedule.hours), dates, seasons: schedule.seasons.iter().map(season).collect() }
    }

    /// Whether it is business time at this instant.
    pub(crate) fn is_open(&self, at: Timestamp) -> bool {
        self.is_open_at(seconds(at))
    }

    /// The first instant after `at` at which [`Calendar::is_open`] changes. `None` when that is more than
    /// [`LOOK_AHEAD_DAYS`] away, which may be for ever.
    pub(crate) fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let start = seconds(at);
        let open = self.is_open_at(start);
        let mut instant = start;
        loop {
            instant = self.next_boundary(instant);
            if instant - start > LOOK_AHEAD_DAYS * DAY_SECONDS {
                return None;
            }
            if self.is_open_at(instant) != open {
                return u64::try_from(instant).ok()?.checked_mul(1000);
            }
        }
    }

    fn is_open_at(&self, instant: i64) -> bool {
        let (day, second) = self.local(instant);
        let minute = (second / 60) as u32;
        let within = |spans: &Spans, minute: u32| spans.iter().any(|(from, to)| (*from..*to).contains(&minute));
        within(self.spans_of(day), minute) || within(self.spans_of(day - 1), minute + DAY_MINUTES)
    }

    /// The next instant, at most a day away, before which nothing can change: a change of the clocks, midnight, or an
    /// end of a span.
    fn next_boundary(&self, instant: i64) -> i64 {
        let (day, second) = self.local(instant);
        let today = self.spans_of(day).iter().map(|(from, to)| (*from, *to));
        // What began yesterday, seen from today's midnight.
        let overnight = self.spans_of(day - 1).iter().filter(|(_, to)| *to > DAY_MINUTES);
        let overnight = overnight.map(|(_, to)| (0, to - DAY_MINUTES));
        let ends = today.chain(overnight).flat_map(|(from, to)| [i64::from(from) * 60, i64::from(to) * 60]);
        let in_line = ends.filter(|end| *end > second).min().unwrap_or(DAY_SECONDS).min(DAY_SECONDS);
        let boundary = instant + in_line - second;
        match next_offset_change(self.zone.as_deref(), instant) {
            Some(change) if change < boundary => change,
            _ => boundary,
        }
    }

    /// Local day since 1970-01-01 and second of it.
    fn local(&self, instant: i64) -> (i64, i64) {
        let local = instant + offset(self.zone.as_deref(), instant);
        (local.div_euclid(DAY_SECONDS), local.rem_euclid(DAY_SECONDS))
    }

    fn spans_of(&self, day: i64) -> &Spans {
        let (year, month, date) = civil(day);
        let year = u32::try_from(year).unwrap_or(u32::MAX).max(1);
        for key in [(year, month, date), (0, month, date)] {
            if let Ok(at) = self.dates.binary_search_by_key(&key, |(date, _)| *date) {
                return &self.dates[at].1;
            }
        }
        let today = (month, date);
        let in_season = |(from, to, _): &&(YearDay, YearDay, Week)| match from <= to {
            true => (*from..=*to).contains(&today),
            // Over the end of the year.
            false => today >= *from || today <= *to,
        };
        let week = self.seasons.iter().find(in_season).map_or(&self.week, |(.., week)| week);
        // 1970-01-01 was a Thursday.
        &week[(day + 3).rem_euclid(7) as usize]
    }
}

/// Where the local day of `at` begins; 0 when that is before 1970. Usually midnight, but some clocks are put forward at
/// midnight. A day has one beginning: the hour before midnight that comes again after it belongs to the new day.
#[cfg(test)]
pub(crate) fn midnight_before(zone: Option<&Zone>, at: Timestamp) -> Timestamp {
    let instant = seconds(at);
    let day = (instant + offset(zone, instant)).div_euclid(DAY_SECONDS);
    let begun = (0..=3).rev().map(|more| day_begin(zone, day + more)).find(|begin| *begin <= instant);
    milliseconds(begun.unwrap_or(instant))
}

/// Where the local day after that of `at` begins: later than `at`, unless that is the end of time.
pub(crate) fn midnight_after(zone: Option<&Zone>, at: Timestamp) -> Timestamp {
    let instant = seconds(at);
    let day = (instant + offset(zone, instant)).div_euclid(DAY_SECONDS);
    let next = (0..=4).map(|more| day_begin(zone, day + more)).find(|begin| *begin > instant);
    milliseconds(next.unwrap_or(instant + DAY_SECONDS))
}

/// Seconds east of UTC at an instant, both in seconds.
pub(crate) fn offset(zone: Option<&Zone>, instant: i64) -> i64 {
    let Some(zone) = zone else { return 0 };
    let changed = zone.changes.partition_point(|(from, _)| *from <= instant);
    let offset = changed.checked_sub(1).map_or(zone.first_offset_seconds, |last| zone.changes[last].1);
    i64::from(offset).clamp(-OFFSET_SECONDS_MAX, OFFSET_SECONDS_MAX)
}

fn next_offset_change(zone: Option<&Zone>, instant: i64) -> Option<i64> {
    let zone = zone?;
    let next = zone.changes.partition_point(|(from, _)| *from <= instant);
    // A zone whose changes do not rise is wrong, but must not stop the search.
    zone.changes.get(next).map(|(from, _)| *from).filter(|from| *from > instant)
}

/// The first instant whose local time has reached this day.
fn day_begin(zone: Option<&Zone>, day: i64) -> i64 {
    let midnight = day * DAY_SECONDS;
    let mut instant = midnight - OFFSET_SECONDS_MAX - 1;
    loop {
        let reached = midnight - offset(zone, instant);
        match next_offset_change(zone, instant) {
            Some(change) if change <= reached => instant = change,
            _ => return reached,
        }
        if instant + offset(zone, instant) >= midnight {
            return instant;
        }
    }
}

/// (year, month, day) of a day since 1970-01-01, in the Gregorian calendar at all times.
pub(crate) fn civil(day: i64) -> (i64, u32, u32) {
    // Years from March on, so that the day that is not in every year is the last one.
    let from_march = day + 719_468;
    let (era, day_of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (year_of_era + era * 400 + next_year, month as u32, date as u32)
}

fn week(hours: &[Hours]) -> Week {
    std::array::from_fn(|weekday| spans(hours.iter().filter(|span| span.weekdays.contains(&(weekday as u32 + 1)))))
}

/// In order, and those that touch made one.
fn spans<'a>(hours: impl Iterator<Item = &'a Hours>) -> Spans {
    let span = |hours: &Hours| {
        let (from, to) = (hours.from_minute, hours.to_minute.min(DAY_MINUTES));
        (from, if to > from { to } else { to + DAY_MINUTES })
    };
    let mut spans: Spans = hours.filter(|hours| hours.from_minute < DAY_MINUTES).map(span).collect();
    spans.sort_unstable();
    spans.dedup_by(|next, last| {
        let touch = next.0 <= last.1;
        if touch {
            last.1 = last.1.max(next.1);
        }
        touch
    });
    spans
}

/// Whole seconds: nothing here changes within one.
fn seconds(at: Timestamp) -> i64 {
    (at / 1000) as i64
}

fn milliseconds(instant: i64) -> Timestamp {
    u64::try_from(instant).unwrap_or(0).saturating_mul(1000)
}

#[cfg(test)]
mod tests;
