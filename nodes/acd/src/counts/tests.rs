//! Stories of counts and of what is derived from them.

use super::*;

#[test]
fn short_abandons_count_neither_for_nor_against_the_service_level() {
    let counts = Counts {
        offered: 110,
        answered: 90,
        abandoned: 20,
        abandoned_short: 10,
        within_threshold: 80,
        ..Counts::default()
    };
    assert_eq!(counts.service_level(), Some(800));
    assert_eq!(counts.abandonment(), Some(100));
}

#[test]
fn averages_are_over_the_answered() {
    let counts = Counts {
        answered: 4,
        wait_ms: 10_002,
        talk_ms: 40_000,
        hold_ms: 4_000,
        wrap_up_ms: 8_000,
        abandon_ms: 99_000,
        ..Counts::default()
    };
    assert_eq!(counts.asa_ms(), Some(2_500));
    assert_eq!(counts.aht_ms(), Some(13_000));
}

#[test]
fn occupancy_is_the_busy_time_of_the_busy_and_idle_time() {
    let counts = Counts { state_ms: [1_000_000, 500_000, 3_000, 0, 6_000, 0, 0, 0, 0], ..Counts::default() };
    assert_eq!(counts.occupancy(&[4, 5], &[2]), Some(667));
    assert_eq!(counts.occupancy(&[4, 99], &[]), Some(1000));
    assert_eq!(counts.occupancy(&[5], &[6]), None, "no time at all");
}

#[test]
fn nothing_counted_has_no_ratios() {
    let nothing = Counts::default();
    assert!(nothing.is_empty());
    assert_eq!((nothing.service_level(), nothing.abandonment()), (None, None));
    assert_eq!((nothing.asa_ms(), nothing.aht_ms()), (None, None));
    assert_eq!(nothing.occupancy(&[0, 1], &[2]), None);
    assert_eq!(nothing.waits.quantile_ms(500), None);
    let all_short = Counts { offered: 3, abandoned: 3, abandoned_short: 3, ..Counts::default() };
    assert!(!all_short.is_empty());
    assert_eq!(all_short.service_level(), None, "of nobody");
}

#[test]
fn a_call_offered_in_the_interval_before_does_not_make_more_than_all() {
    let counts = Counts { offered: 1, answered: 2, within_threshold: 2, ..Counts::default() };
    assert_eq!(counts.service_level(), Some(1000));
}

#[test]
fn merging_intervals_is_counting_them_together() {
    let mut dice = fastrand::Rng::with_seed(7);
    let parts: Vec<Counts> = (0..20).map(|_| random(&mut dice, 1 << 40)).collect();
    let mut forward = Counts::default();
    parts.iter().for_each(|part| forward.merge(part));
    let mut backward = Counts::default();
    parts.iter().rev().for_each(|part| backward.merge(part));
    assert_eq!(forward, backward);
    for (name, figure) in FIELDS {
        assert_eq!(figure(&forward), parts.iter().map(figure).sum::<u64>(), "{name}");
    }
    for state in 0..STATES {
        assert_eq!(forward.state_ms[state], parts.iter().map(|part| part.state_ms[state]).sum::<u64>());
    }
    assert_eq!(forward.waits.count(), parts.iter().map(|part| part.waits.count()).sum::<u64>());
    assert_eq!(forward.handles.count(), parts.iter().map(|part| part.handles.count()).sum::<u64>());
    let before = forward.clone();
    forward.merge(&Counts::default());
    assert_eq!(forward, before);
}

#[test]
fn counts_at_their_end_stay_there() {
    let mut dice = fastrand::Rng::with_seed(1);
    let mut full = random(&mut dice, u64::MAX);
    (full.offered, full.abandoned_short, full.wait_ms) = (u64::MAX, 5, u64::MAX);
    full.talk_ms = u64::MAX;
    full.state_ms = [u64::MAX; STATES];
    full.waits.buckets = [u32::MAX; BUCKETS];
    let again = full.clone();
    full.merge(&again);
    full.waits.add(3);
    assert_eq!((full.wait_ms, full.talk_ms, full.state_ms), (u64::MAX, u64::MAX, [u64::MAX; STATES]));
    assert_eq!(full.waits.buckets, [u32::MAX; BUCKETS]);
    assert_eq!(full.occupancy(&[0, 1], &[2, 3]), Some(1000));
    assert!(full.waits.quantile_ms(1000).is_some() && full.service_level().is_some() && full.aht_ms().is_some());
    let half = Counts { offered: u64::MAX, within_threshold: u64::MAX / 2, ..Counts::default() };
    assert_eq!(half.service_level(), Some(500));
}

#[test]
fn the_bounds_rise_and_each_value_falls_below_its_own() {
    assert!(BOUNDS_MS.is_sorted_by(|a, b| a < b));
    for (bucket, bound) in BOUNDS_MS.into_iter().enumerate() {
        let mut histogram = Histogram::default();
        histogram.add(bound - 1);
        histogram.add(bound);
        assert_eq!((histogram.buckets[bucket], histogram.buckets[bucket + 1]), (1, 1));
    }
    let mut histogram = Histogram::default();
    histogram.add(0);
    histogram.add(u64::MAX);
    assert_eq!((histogram.buckets[0], histogram.buckets[BUCKETS - 1]), (1, 1));
}

#[test]
fn the_true_quantile_lies_in_the_interval() {
    let mut dice = fastrand::Rng::with_seed(3);
    for size in [1, 2, 3, 10, 999, 1000, 1001] {
        let mut values: Vec<u64> = (0..size).map(|_| dice.u64(..1 << 25) >> dice.u32(..25)).collect();
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(*value));
        values.sort_unstable();
        for permille in [0, 1, 333, 500, 800, 950, 999, 1000, 5000] {
            let rank = (values.len() as u64 * u64::from(permille.min(1000))).div_ceil(1000).max(1);
            let quantile = values[rank as usize - 1];
            let (from, to) = histogram.quantile_ms(permille).expect("something was counted");
            assert!(from <= quantile && to.is_none_or(|to| quantile < to), "{permille} of {size}: {from} {to:?}");
        }
    }
}

#[test]
fn buckets_written_by_another_release_lose_nobody() {
    let mut histogram = Histogram::default();
    [3, 700, 40_000, u64::MAX].into_iter().for_each(|ms| histogram.add(ms));
    assert_eq!(Histogram::from_buckets(&histogram.buckets), histogram);
    assert!(Histogram::from_buckets(&[]).is_empty());
    assert_eq!(Histogram::from_buckets(&[1, 2]).count(), 3);
    let many = Histogram::from_buckets(&[1; BUCKETS + 5]);
    assert_eq!((many.count(), many.buckets[BUCKETS - 1]), (BUCKETS as u64 + 5, 6));
}

/// One figure of some counts.
type Figure = fn(&Counts) -> u64;

const FIELDS: [(&str, Figure); 20] = [
    ("offered", |c| c.offered),
    ("answered", |c| c.answered),
    ("abandoned", |c| c.abandoned),
    ("abandoned_short", |c| c.abandoned_short),
    ("within_threshold", |c| c.within_threshold),
    ("overflowed", |c| c.overflowed),
    ("refused", |c| c.refused),
    ("transferred_in", |c| c.transferred_in),
    ("transferred_out", |c| c.transferred_out),
    ("callbacks_asked", |c| c.callbacks_asked),
    ("callbacks_done", |c| c.callbacks_done),
    ("rona", |c| c.rona),
    ("wait_ms", |c| c.wait_ms),
    ("abandon_ms", |c| c.abandon_ms),
    ("talk_ms", |c| c.talk_ms),
    ("hold_ms", |c| c.hold_ms),
    ("wrap_up_ms", |c| c.wrap_up_ms),
    ("ring_ms", |c| c.ring_ms),
    ("repeated_callers", |c| c.repeated_callers),
    ("abandoned_within_threshold", |c| c.abandoned_within_threshold),
];

fn random(dice: &mut fastrand::Rng, most: u64) -> Counts {
    let mut counts = Counts {
        offered: dice.u64(..most),
        answered: dice.u64(..most),
        abandoned: dice.u64(..most),
        abandoned_short: dice.u64(..most),
        within_threshold: dice.u64(..most),
        overflowed: dice.u64(..most),
        refused: dice.u64(..most),
        transferred_in: dice.u64(..most),
        transferred_out: dice.u64(..most),
        callbacks_asked: dice.u64(..most),
        callbacks_done: dice.u64(..most),
        rona: dice.u64(..most),
        wait_ms: dice.u64(..most),
        abandon_ms: dice.u64(..most),
        talk_ms: dice.u64(..most),
        hold_ms: dice.u64(..most),
        wrap_up_ms: dice.u64(..most),
        ring_ms: dice.u64(..most),
        repeated_callers: dice.u64(..most),
        abandoned_within_threshold: dice.u64(..most),
        ..Counts::default()
    };
    counts.state_ms.iter_mut().for_each(|ms| *ms = dice.u64(..most));
    for _ in 0..50 {
        counts.waits.add(dice.u64(..1 << 25));
        counts.handles.add(dice.u64(..1 << 25));
    }
    counts
}
