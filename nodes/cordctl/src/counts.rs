//! Figures derived from counts, each definition in one place and with its name. Only counts come over the wire, because
//! ratios cannot be added; asks nobody anything.

use std::collections::BTreeMap;

use proto::v1::{Counts, Histogram};
use serde::Serialize;

/// The definitions, as `cordctl stats --help` and `docs/cordctl.md` list them.
pub const DEFINITIONS: &str = "\
Definitions (offered without short abandons: offered - abandoned within the queue's short-abandon time):
  service level   answered within the queue's threshold / offered without short abandons
  ASA             average speed of answer: time the answered waited / answered
  AHT             average handle time: (talk + hold + wrap-up) / answered
  abandonment     (abandoned - short abandons) / offered without short abandons
  occupancy       time talking, held, consulting and in wrap-up / time signed in
  RONA            offers that rang out without an answer
  p50, p95 wait   between which times the wait lies that 50 % (95 %) of the answered did not exceed
A figure of nothing is `-` (null in JSON): no calls, no ratio.";

/// Names of an agent's states, in the order in which counts list their times.
pub const STATES: [&str; 9] =
    ["logged-out", "not-ready", "ready", "reserved", "talking", "held", "consulting", "wrap-up", "other"];
/// Places in [`STATES`] that count as occupied.
const OCCUPIED: [usize; 4] = [4, 5, 6, 7];
/// Upper bounds of the buckets of a histogram, exclusive; the last bucket has none.
pub const BOUNDS_MS: [u64; 23] = [
    500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 180_000,
    300_000, 450_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000,
];

/// Between which durations a quantile lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Between {
    /// At least this, milliseconds.
    pub at_least_ms: u64,
    /// Below this, milliseconds; none: nobody knows how long.
    pub below_ms: Option<u64>,
}

/// What is derived from counts; every figure of nothing is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Derived {
    /// Answered within the threshold, of all offered but the short abandons; of 1000.
    pub service_level_permille: Option<u64>,
    /// Wait of the answered, by the answered.
    pub asa_ms: Option<u64>,
    /// Talk, hold and wrap-up, by the answered.
    pub aht_ms: Option<u64>,
    /// Abandoned but not short, of all offered but the short abandons; of 1000.
    pub abandonment_permille: Option<u64>,
    /// Talking, held, consulting and wrap-up, of the time signed in; of 1000.
    pub occupancy_permille: Option<u64>,
    /// Half of the answered waited no longer.
    pub wait_p50: Option<Between>,
    /// 95 of 100 of the answered waited no longer.
    pub wait_p95: Option<Between>,
}

impl Derived {
    /// By the definitions.
    pub fn of(counts: &Counts) -> Self {
        let offered = counts.offered.saturating_sub(counts.abandoned_short);
        let occupied = OCCUPIED.iter().filter_map(|state| counts.state_ms.get(*state)).fold(0, sum);
        let signed_in = counts.state_ms.iter().skip(1).fold(0, sum);
        let handle = [counts.talk_ms, counts.hold_ms, counts.wrap_up_ms].iter().fold(0, sum);
        let waits = counts.waits.as_ref();
        Self {
            service_level_permille: permille(counts.within_threshold, offered),
            asa_ms: counts.wait_ms.checked_div(counts.answered),
            aht_ms: handle.checked_div(counts.answered),
            abandonment_permille: permille(counts.abandoned.saturating_sub(counts.abandoned_short), offered),
            occupancy_permille: permille(occupied, signed_in),
            wait_p50: waits.and_then(|waits| quantile(waits, 500)),
            wait_p95: waits.and_then(|waits| quantile(waits, 950)),
        }
    }
}

/// Between which durations the smallest one lies that at least `of_1000` of all do not exceed.
pub fn quantile(histogram: &Histogram, of_1000: u64) -> Option<Between> {
    let count = histogram.buckets.iter().map(|count| u64::from(*count)).fold(0, |all, one| sum(all, &one));
    let rank = count.saturating_mul(of_1000.min(1000)).div_ceil(1000).max(1);
    let mut seen = 0_u64;
    let bucket = histogram.buckets.iter().position(|count| {
        seen = seen.saturating_add(u64::from(*count));
        seen >= rank
    })?;
    // A later release may have more buckets: what is beyond our bounds is beyond the last one.
    let bucket = bucket.min(BOUNDS_MS.len());
    let at_least_ms = bucket.checked_sub(1).and_then(|before| BOUNDS_MS.get(before)).copied().unwrap_or(0);
    Some(Between { at_least_ms, below_ms: BOUNDS_MS.get(bucket).copied() })
}

/// Times by the state's name; a state without time is left out.
pub fn times_by_state(state_ms: &[u64]) -> BTreeMap<&'static str, u64> {
    let mut times = BTreeMap::new();
    for (at, ms) in state_ms.iter().enumerate().filter(|(_, ms)| **ms > 0) {
        let state = STATES.get(at).or(STATES.last()).copied().unwrap_or_default();
        let time = times.entry(state).or_insert(0);
        *time = sum(*time, ms);
    }
    times
}

fn sum(all: u64, one: &u64) -> u64 {
    all.saturating_add(*one)
}

/// Rounded to the nearest, at most 1000: a part may be counted in an earlier interval than its whole.
fn permille(part: u64, whole: u64) -> Option<u64> {
    let (part, whole) = (u128::from(part), u128::from(whole));
    let rounded = (part * 1000 + whole / 2).checked_div(whole)?;
    u64::try_from(rounded.min(1000)).ok()
}

/// Counts and what is derived from them, as JSON shows them.
#[derive(Debug, Clone, Serialize)]
pub struct Counted {
    pub(crate) offered: u64,
    pub(crate) answered: u64,
    pub(crate) abandoned: u64,
    pub(crate) abandoned_short: u64,
    pub(crate) within_threshold: u64,
    pub(crate) abandoned_within_threshold: u64,
    pub(crate) overflowed: u64,
    pub(crate) refused: u64,
    pub(crate) transferred_in: u64,
    pub(crate) transferred_out: u64,
    pub(crate) callbacks_asked: u64,
    pub(crate) callbacks_done: u64,
    pub(crate) rona: u64,
    pub(crate) repeated_callers: u64,
    pub(crate) wait_ms: u64,
    pub(crate) abandon_ms: u64,
    pub(crate) talk_ms: u64,
    pub(crate) hold_ms: u64,
    pub(crate) wrap_up_ms: u64,
    pub(crate) ring_ms: u64,
    pub(crate) state_ms: BTreeMap<&'static str, u64>,
    /// Buckets, as [`BOUNDS_MS`] bound them.
    pub(crate) waits: Vec<u32>,
    pub(crate) handles: Vec<u32>,
    #[serde(flatten)]
    pub(crate) derived: Derived,
}

impl From<Counts> for Counted {
    fn from(counts: Counts) -> Self {
        let derived = Derived::of(&counts);
        Self {
            offered: counts.offered,
            answered: counts.answered,
            abandoned: counts.abandoned,
            abandoned_short: counts.abandoned_short,
            within_threshold: counts.within_threshold,
            abandoned_within_threshold: counts.abandoned_within_threshold,
            overflowed: counts.overflowed,
            refused: counts.refused,
            transferred_in: counts.transferred_in,
            transferred_out: counts.transferred_out,
            callbacks_asked: counts.callbacks_asked,
            callbacks_done: counts.callbacks_done,
            rona: counts.rona,
            repeated_callers: counts.repeated_callers,
            wait_ms: counts.wait_ms,
            abandon_ms: counts.abandon_ms,
            talk_ms: counts.talk_ms,
            hold_ms: counts.hold_ms,
            wrap_up_ms: counts.wrap_up_ms,
            ring_ms: counts.ring_ms,
            state_ms: times_by_state(&counts.state_ms),
            waits: counts.waits.map(|histogram| histogram.buckets).unwrap_or_default(),
            handles: counts.handles.map(|histogram| histogram.buckets).unwrap_or_default(),
            derived,
        }
    }
}

impl Counted {
    /// The counts that matter most, in one line.
    pub fn words(&self) -> String {
        let Self { offered, answered, abandoned, .. } = self;
        format!("offered {offered}, answered {answered}, abandoned {abandoned}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_what_its_definition_says() {
        let mut buckets = vec![0; 24];
        (buckets[4], buckets[8], buckets[23]) = (10, 8, 2);
        let counts = Counts {
            offered: 25,
            answered: 20,
            abandoned: 5,
            abandoned_short: 1,
            within_threshold: 18,
            wait_ms: 200_000,
            talk_ms: 3_000_000,
            hold_ms: 100_000,
            wrap_up_ms: 300_000,
            state_ms: vec![9_000, 1_000, 2_000, 0, 4_000, 1_000, 0, 2_000, 0],
            waits: Some(Histogram { buckets }),
            ..Counts::default()
        };
        let derived = Derived::of(&counts);
        assert_eq!(derived.service_level_permille, Some(750), "18 of 24");
        assert_eq!(derived.abandonment_permille, Some(167), "4 of 24");
        assert_eq!((derived.asa_ms, derived.aht_ms), (Some(10_000), Some(170_000)));
        assert_eq!(derived.occupancy_permille, Some(700), "7 of 10 seconds signed in");
        assert_eq!(derived.wait_p50, Some(Between { at_least_ms: 3_000, below_ms: Some(5_000) }));
        assert_eq!(derived.wait_p95, Some(Between { at_least_ms: 14_400_000, below_ms: None }));
    }

    #[test]
    fn a_ratio_of_nothing_is_none_and_a_full_count_does_not_overflow() {
        let counts = Counts { offered: 3, abandoned: 3, abandoned_short: 3, ..Counts::default() };
        assert_eq!(Derived::of(&counts), Derived::default());
        let full = Counts {
            offered: u64::MAX,
            within_threshold: u64::MAX,
            state_ms: vec![u64::MAX; 40],
            waits: Some(Histogram { buckets: vec![u32::MAX; 40] }),
            ..Counts::default()
        };
        let derived = Derived::of(&full);
        assert_eq!((derived.service_level_permille, derived.occupancy_permille), (Some(1000), Some(1000)));
        assert_eq!(derived.wait_p95, Some(Between { at_least_ms: 14_400_000, below_ms: None }));
    }
}
