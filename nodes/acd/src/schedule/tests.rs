//! Stories of business time, and the same questions asked minute by minute of a slow answerer that knows no shortcuts.

use std::sync::Arc;

use super::*;
use crate::document::DateHours;

const HOUR: i64 = 3600;
const MINUTE_MS: u64 = 60_000;

/// Clocks forward on 29 March, back on 25 October 2026, both at 01:00 UTC; again in 2027.
fn berlin() -> Arc<Zone> {
    zone(3600, &[(1_774_746_000, 7200), (1_792_890_000, 3600), (1_806_195_600, 7200), (1_824_944_400, 3600)])
}

fn zone(first_offset_seconds: i32, changes: &[(i64, i32)]) -> Arc<Zone> {
    Arc::new(Zone { first_offset_seconds, changes: changes.to_vec(), ..Zone::default() })
}

fn hours(weekdays: &[u32], from_minute: u32, to_minute: u32) -> Hours {
    Hours { weekdays: weekdays.to_vec(), from_minute, to_minute }
}

fn date(year: u32, month: u32, day: u32, hours: Vec<Hours>) -> DateHours {
    DateHours { year, month, day, hours }
}

/// Unix milliseconds of a moment in UTC, counted up day by day.
fn utc(year: i64, month: u32, day: u32, hour: i64, minute: i64) -> Timestamp {
    let days = slow::days().position(|date| date == (year, month, day)).expect("a date from 1970 on");
    ((days as i64 * DAY_SECONDS + hour * HOUR + minute * 60) * 1000) as u64
}

const OFFICE: [u32; 5] = [1, 2, 3, 4, 5];
const DAILY: [u32; 7] = [1, 2, 3, 4, 5, 6, 7];

#[test]
fn an_office_opens_at_nine_of_its_own_clock_in_summer_and_in_winter() {
    let schedule = Schedule { hours: vec![hours(&OFFICE, 540, 1020)], ..Schedule::default() };
    let office = Calendar::new(&schedule, Some(berlin()));
    // Friday before the clocks go forward: nine is eight in UTC. Monday after: seven.
    let friday = utc(2026, 3, 27, 8, 0);
    assert!(!office.is_open(friday - 1));
    assert!(office.is_open(friday));
    let closing = utc(2026, 3, 27, 16, 0);
    assert_eq!(office.next_change(friday), Some(closing));
    assert!(office.is_open(closing - 1) && !office.is_open(closing));
    assert_eq!(office.next_change(closing), Some(utc(2026, 3, 30, 7, 0)));
}

#[test]
fn a_span_in_the_hour_that_is_skipped_never_opens_and_in_the_hour_that_is_repeated_opens_twice() {
    let schedule = Schedule { hours: vec![hours(&[7], 130, 170)], ..Schedule::default() };
    let night = Calendar::new(&schedule, Some(berlin()));
    let changes = |from: Timestamp, until: Timestamp| {
        let mut found = Vec::new();
        let mut at = from;
        while let Some(change) = night.next_change(at).filter(|change| *change < until) {
            found.push(change);
            at = change;
        }
        found
    };
    assert_eq!(changes(utc(2026, 3, 28, 12, 0), utc(2026, 3, 30, 0, 0)), Vec::<u64>::new());
    let twice =
        [utc(2026, 10, 25, 0, 10), utc(2026, 10, 25, 0, 50), utc(2026, 10, 25, 1, 10), utc(2026, 10, 25, 1, 50)];
    assert_eq!(changes(utc(2026, 10, 24, 12, 0), utc(2026, 10, 26, 0, 0)), twice);
}

#[test]
fn a_holiday_closes_what_begins_on_it_and_lets_the_night_before_end() {
    let schedule =
        Schedule { hours: vec![hours(&DAILY, 1320, 360)], dates: vec![date(0, 12, 25, vec![])], ..Schedule::default() };
    let night = Calendar::new(&schedule, None);
    assert!(night.is_open(utc(2026, 12, 25, 5, 59)), "began on the 24th");
    assert!(!night.is_open(utc(2026, 12, 25, 6, 0)));
    assert_eq!(night.next_change(utc(2026, 12, 25, 6, 0)), Some(utc(2026, 12, 26, 22, 0)));
    assert!(!night.is_open(utc(2026, 12, 26, 3, 0)), "would have begun on the 25th");
}

#[test]
fn a_date_with_its_year_goes_before_every_year_before_the_season_before_the_week() {
    let season = Season { from_month: 12, from_day: 20, to_month: 1, to_day: 6, hours: vec![hours(&DAILY, 600, 720)] };
    let schedule = Schedule {
        hours: vec![hours(&DAILY, 540, 1020)],
        dates: vec![date(0, 12, 31, vec![hours(&[], 0, 60)]), date(2026, 12, 31, vec![hours(&[], 60, 120)])],
        seasons: vec![season],
        ..Schedule::default()
    };
    let calendar = Calendar::new(&schedule, None);
    let opening = |at| calendar.next_change(at).expect("opens");
    assert_eq!(opening(utc(2026, 12, 18, 17, 0)), utc(2026, 12, 19, 9, 0), "the week");
    assert_eq!(opening(utc(2026, 12, 19, 17, 0)), utc(2026, 12, 20, 10, 0), "the season");
    assert_eq!(opening(utc(2027, 1, 6, 12, 0)), utc(2027, 1, 7, 9, 0), "the season is over");
    assert_eq!(opening(utc(2026, 12, 30, 12, 0)), utc(2026, 12, 31, 1, 0), "the date of this year");
    assert_eq!(opening(utc(2027, 12, 30, 12, 0)), utc(2027, 12, 31, 0, 0), "the date of every year");
}

#[test]
fn the_29th_of_february_is_a_date_of_leap_years_alone() {
    let schedule = Schedule { dates: vec![date(0, 2, 29, vec![hours(&[], 0, 1440)])], ..Schedule::default() };
    let calendar = Calendar::new(&schedule, None);
    let leap = utc(2028, 2, 29, 0, 0);
    assert_eq!(calendar.next_change(utc(2027, 6, 1, 0, 0)), Some(leap));
    assert_eq!(calendar.next_change(leap), Some(utc(2028, 3, 1, 0, 0)));
    assert_eq!(calendar.next_change(utc(2028, 3, 1, 0, 0)), None, "four years are further than anybody looks");
    assert!((0..365 * 24).all(|hour| !calendar.is_open(utc(2027, 1, 1, 0, 0) + hour * 60 * MINUTE_MS)));
}

#[test]
fn a_schedule_that_never_changes_says_so() {
    let always = Schedule { hours: vec![hours(&DAILY, 0, 1440)], ..Schedule::default() };
    for (schedule, open) in [(always, true), (Schedule::default(), false)] {
        let calendar = Calendar::new(&schedule, Some(berlin()));
        for at in [0, utc(2026, 3, 29, 0, 30), utc(2038, 1, 19, 3, 14)] {
            assert_eq!((calendar.is_open(at), calendar.next_change(at)), (open, None));
        }
    }
}

#[test]
fn the_end_of_time_is_a_time_like_any_other() {
    let schedule = Schedule { hours: vec![hours(&OFFICE, 540, 1020)], ..Schedule::default() };
    let wild = zone(i32::MIN, &[(i64::MIN, i32::MAX), (0, i32::MIN), (i64::MAX, 0)]);
    for zone in [None, Some(berlin()), Some(wild)] {
        let calendar = Calendar::new(&schedule, zone.clone());
        for at in [0, 1, u64::MAX / 4 - 1, u64::MAX / 4] {
            let change = calendar.next_change(at).expect("an office opens again");
            assert_ne!(calendar.is_open(change), calendar.is_open(change - 1));
            assert!(midnight_before(zone.as_deref(), at) <= at);
            assert!(midnight_after(zone.as_deref(), at) > at);
        }
        for at in [i64::MAX as u64, u64::MAX] {
            calendar.is_open(at);
            calendar.next_change(at);
            midnight_before(zone.as_deref(), at);
            midnight_after(zone.as_deref(), at);
        }
    }
}

#[test]
fn before_the_first_change_of_a_zone_its_first_offset_holds_and_after_the_last_its_last() {
    let zone = berlin();
    assert_eq!(offset(Some(&zone), 0), HOUR);
    assert_eq!(offset(Some(&zone), 1_774_745_999), HOUR);
    assert_eq!(offset(Some(&zone), 1_774_746_000), 2 * HOUR);
    assert_eq!(offset(Some(&zone), (utc(2045, 7, 1, 0, 0) / 1000) as i64), HOUR);
}

#[test]
fn the_calendar_of_days_is_the_one_counted_by_hand() {
    for (day, date) in slow::days().take(200_000).enumerate() {
        assert_eq!(civil(day as i64), date);
    }
    assert_eq!(civil(-1), (1969, 12, 31));
    assert_eq!(civil(-719_468), (0, 3, 1));
}

#[test]
fn a_day_of_changed_clocks_is_23_or_25_hours_long() {
    let zone = berlin();
    let spring = utc(2026, 3, 29, 12, 0);
    assert_eq!(midnight_before(Some(&zone), spring), utc(2026, 3, 28, 23, 0));
    assert_eq!(midnight_after(Some(&zone), spring), utc(2026, 3, 29, 22, 0));
    let autumn = utc(2026, 10, 25, 12, 0);
    assert_eq!(midnight_before(Some(&zone), autumn), utc(2026, 10, 24, 22, 0));
    assert_eq!(midnight_after(Some(&zone), autumn), utc(2026, 10, 25, 23, 0));
    assert_eq!(midnight_before(Some(&zone), 0), 0, "1969 is no timestamp");
}

#[test]
fn where_midnight_is_skipped_or_repeated_or_the_day_left_out_a_day_still_begins_once() {
    let noon = utc(2026, 6, 10, 12, 0) as i64 / 1000;
    // Forward at midnight; back a minute after it; a day left out; a day lived twice.
    for (before, change) in [
        (-10_800, (noon - 9 * HOUR, -7_200)),
        (-9_000, (noon - 12 * HOUR + 9_060, -12_600)),
        (-36_000, (noon, 50_400)),
        (54_000, (noon, -32_400)),
    ] {
        let zone = zone(before, &[change]);
        let mut highest = i64::MIN;
        let mut begin = None;
        let from = ((noon - 72 * HOUR) * 1000) as u64;
        for at in (from..from + 144 * 60 * MINUTE_MS).step_by(MINUTE_MS as usize) {
            let instant = (at / 1000) as i64;
            let day = (instant + offset(Some(&zone), instant)).div_euclid(DAY_SECONDS);
            if day > highest && highest > i64::MIN {
                assert_eq!(midnight_after(Some(&zone), at - 1), at);
                begin = Some(at);
            }
            highest = highest.max(day);
            if let Some(begin) = begin {
                assert_eq!(midnight_before(Some(&zone), at), begin, "of {at}");
                assert!(midnight_after(Some(&zone), at) > at);
            }
        }
        assert!(begin.is_some());
    }
}

#[test]
fn every_minute_is_as_the_slow_answerer_says_and_it_changes_exactly_then() {
    let mut opened = 0;
    for seed in 0..120 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let zone = random_zone(&mut dice);
        let schedule = random_schedule(&mut dice);
        let calendar = Calendar::new(&schedule, zone.clone());
        // Around a change of the clocks, a date, the new year.
        let pivots = [utc(2026, 3, 29, 1, 0), utc(2026, 10, 25, 1, 0), utc(2026, 12, 31, 0, 0), utc(2028, 2, 29, 0, 0)];
        let from = pivots[dice.usize(..4)] - dice.u64(0..48 * 60) * MINUTE_MS;
        let minutes = 4 * 24 * 60;
        let slow: Vec<bool> =
            (0..minutes).map(|minute| slow::is_open(&schedule, zone.as_deref(), from + minute * MINUTE_MS)).collect();
        let mut next = None;
        for minute in (0..minutes).rev() {
            let (at, open) = (from + minute * MINUTE_MS, slow[minute as usize]);
            opened += u64::from(open);
            assert_eq!(calendar.is_open(at), open, "seed {seed} at {at}");
            assert_eq!(calendar.is_open(at + dice.u64(0..MINUTE_MS)), open, "seed {seed} within {at}");
            if slow.get(minute as usize + 1).is_some_and(|later| *later != open) {
                next = Some(at + MINUTE_MS);
            }
            // Where it changes, always; elsewhere now and then.
            if next != Some(at + MINUTE_MS) && dice.u8(..30) > 0 {
                continue;
            }
            let found = calendar.next_change(at);
            match next {
                Some(_) => assert_eq!(found, next, "seed {seed} after {at}"),
                None => assert!(found.is_none_or(|found| found >= from + minutes * MINUTE_MS), "seed {seed}"),
            }
        }
    }
    assert!(opened > 100_000, "the schedules were open for {opened} minutes");
}

#[test]
fn over_years_each_change_is_one_and_there_is_none_between_them() {
    for seed in 0..60 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let zone = random_zone(&mut dice);
        let calendar = Calendar::new(&random_schedule(&mut dice), zone);
        let mut at = utc(2026, 1, 1, 0, 0);
        for _ in 0..300 {
            let Some(change) = calendar.next_change(at) else { break };
            assert!(change > at);
            assert_eq!(calendar.is_open(change - 1), calendar.is_open(at), "seed {seed}");
            assert_ne!(calendar.is_open(change), calendar.is_open(at), "seed {seed}");
            let between = at + dice.u64(..change - at);
            assert_eq!(calendar.is_open(between), calendar.is_open(at), "seed {seed}");
            assert_eq!(calendar.next_change(between), Some(change), "seed {seed}");
            at = change;
        }
    }
}

/// Odd offsets, but whole minutes, so that minutes are enough to look at.
fn random_zone(dice: &mut fastrand::Rng) -> Option<Arc<Zone>> {
    match dice.u8(..4) {
        0 => None,
        1 => Some(berlin()),
        _ => {
            let minutes = [-660, -180, -150, 0, 60, 330, 630, 765, 840];
            let offset = |dice: &mut fastrand::Rng| minutes[dice.usize(..minutes.len())] * 60;
            let first = offset(dice);
            let mut at = utc(2026, 1, 1, 0, 0) as i64 / 1000;
            let mut changes = Vec::new();
            while at < utc(2028, 6, 1, 0, 0) as i64 / 1000 {
                at += dice.i64(1..8 * 24 * 60) * 60;
                changes.push((at, offset(dice)));
            }
            Some(zone(first, &changes))
        }
    }
}

fn random_schedule(dice: &mut fastrand::Rng) -> Schedule {
    let minute = |dice: &mut fastrand::Rng| [0, 1, 120, 540, 720, 1080, 1439][dice.usize(..7)];
    let spans = |dice: &mut fastrand::Rng, spans_max: usize| -> Vec<Hours> {
        (0..dice.usize(0..=spans_max))
            .map(|_| {
                let weekdays = (1..=7).filter(|_| dice.u8(..3) > 0).collect::<Vec<_>>();
                hours(&weekdays, minute(dice), if dice.bool() { 1440 } else { minute(dice) })
            })
            .collect()
    };
    let dates = [(3, 28), (3, 29), (10, 25), (12, 24), (12, 25), (12, 31), (1, 1), (2, 28), (2, 29), (3, 1)];
    let day = |dice: &mut fastrand::Rng| dates[dice.usize(..dates.len())];
    let year = |dice: &mut fastrand::Rng| [0, 2026, 2027, 2028][dice.usize(..4)];
    Schedule {
        hours: spans(dice, 3),
        dates: (0..dice.usize(..5))
            .map(|_| {
                let (month, day) = day(dice);
                date(year(dice), month, day, spans(dice, 2))
            })
            .collect(),
        seasons: (0..dice.usize(..3))
            .map(|_| {
                let ((from_month, from_day), (to_month, to_day)) = (day(dice), day(dice));
                Season { from_month, from_day, to_month, to_day, hours: spans(dice, 2) }
            })
            .collect(),
        ..Schedule::default()
    }
}

/// Reads the documents as a person would, a minute at a time.
mod slow {
    use super::*;

    /// All dates since 1970-01-01.
    pub(super) fn days() -> impl Iterator<Item = (i64, u32, u32)> {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        (1970..).flat_map(move |year| {
            (1..=12).flat_map(move |month| {
                let days = match month {
                    2 if leap(year) => 29,
                    2 => 28,
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                (1..=days).map(move |day| (year, month, day))
            })
        })
    }

    thread_local!(static DATES: Vec<(i64, u32, u32)> = days().take(25_000).collect());

    pub(super) fn is_open(schedule: &Schedule, zone: Option<&Zone>, at: Timestamp) -> bool {
        let instant = (at / 1000) as i64;
        let mut offset = 0;
        if let Some(zone) = zone {
            offset = zone.first_offset_seconds;
            for (from, then) in &zone.changes {
                if *from <= instant {
                    offset = *then;
                }
            }
        }
        let local = instant + i64::from(offset);
        let (day, minute) = (local / DAY_SECONDS, (local % DAY_SECONDS / 60) as u32);
        let today = hours_of(schedule, day).iter().any(|hours| {
            let past_midnight = hours.to_minute <= hours.from_minute;
            minute >= hours.from_minute && (past_midnight || minute < hours.to_minute)
        });
        let from_yesterday = hours_of(schedule, day - 1)
            .iter()
            .any(|hours| hours.to_minute <= hours.from_minute && minute < hours.to_minute);
        today || from_yesterday
    }

    fn hours_of(schedule: &Schedule, day: i64) -> Vec<Hours> {
        let (year, month, date) = DATES.with(|dates| dates[day as usize]);
        let weekday = (day + 3) % 7 + 1;
        for wanted in [year as u32, 0] {
            let mut dates = schedule.dates.iter();
            if let Some(found) = dates.find(|entry| (entry.year, entry.month, entry.day) == (wanted, month, date)) {
                return found.hours.clone();
            }
        }
        for season in &schedule.seasons {
            // Day numbers in a year of 31-day months.
            let number = |month: u32, day: u32| month * 31 + day;
            let (from, to) = (number(season.from_month, season.from_day), number(season.to_month, season.to_day));
            let today = number(month, date);
            let within = if from <= to { from <= today && today <= to } else { from <= today || today <= to };
            if within {
                return of_weekday(&season.hours, weekday);
            }
        }
        of_weekday(&schedule.hours, weekday)
    }

    fn of_weekday(hours: &[Hours], weekday: i64) -> Vec<Hours> {
        hours.iter().filter(|span| span.weekdays.contains(&(weekday as u32))).cloned().collect()
    }
}
