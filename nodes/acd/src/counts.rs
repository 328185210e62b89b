//! What is counted of a queue, an agent or a number over an interval, and the figures derived from it. Only counts are
//! kept, for ratios cannot be added; no clock, no subject, no interval in here.
//!
//! Everything saturates: a count that has reached its end stays there.

/// States of an agent that time is counted by: an index into [`Counts::state_ms`] is the state's place in the order of
/// `docs/distribution.md`.
pub const STATES: usize = 9;
/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = BOUNDS_MS.len() + 1;
/// Upper bounds of all buckets but the last, exclusive, rising; the last one is open.
pub const BOUNDS_MS: [u64; 23] = [
    500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 180_000,
    300_000, 450_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000,
];

/// Counts of one subject over one interval, or over any intervals merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that came.
    pub offered: u64,
    /// An agent answered.
    pub answered: u64,
    /// The caller left before an answer, short ones included.
    pub abandoned: u64,
    /// The caller left within the queue's short-abandon time.
    pub abandoned_short: u64,
    /// Answered within the service level's time.
    pub within_threshold: u64,
    /// Left by an overflow step, a leave condition or a key.
    pub overflowed: u64,
    /// We refused: full, waited too long, nobody to take it.
    pub refused: u64,
    /// Came by transfer.
    pub transferred_in: u64,
    /// Left by transfer.
    pub transferred_out: u64,
    /// Callers who asked to be called back.
    pub callbacks_asked: u64,
    /// Called back and talked.
    pub callbacks_done: u64,
    /// Offers that rang out.
    pub rona: u64,
    /// Milliseconds waited by the answered.
    pub wait_ms: u64,
    /// Milliseconds waited by the abandoned.
    pub abandon_ms: u64,
    /// Milliseconds talked.
    pub talk_ms: u64,
    /// Milliseconds on hold.
    pub hold_ms: u64,
    /// Milliseconds of after-call work.
    pub wrap_up_ms: u64,
    /// Milliseconds that phones rang.
    pub ring_ms: u64,
    /// Same caller and number within the window: not resolved at first contact.
    pub repeated_callers: u64,
    /// Waits of the answered.
    pub waits: Histogram,
    /// Talk, hold and wrap-up of each call handled.
    pub handles: Histogram,
    /// Milliseconds of agents by state.
    pub state_ms: [u64; STATES],
    /// The caller left within the service level's time, short ones included.
    pub abandoned_within_threshold: u64,
}

impl Counts {
    /// Nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Counts::default()
    }

    /// Adds what was counted elsewhere or at another time.
    pub fn merge(&mut self, other: &Counts) {
        // Named one by one, so that a field cannot be forgotten.
        let Counts {
            offered,
            answered,
            abandoned,
            abandoned_short,
            within_threshold,
            overflowed,
            refused,
            transferred_in,
            transferred_out,
            callbacks_asked,
            callbacks_done,
            rona,
            wait_ms,
            abandon_ms,
            talk_ms,
            hold_ms,
            wrap_up_ms,
            ring_ms,
            repeated_callers,
            waits,
            handles,
            state_ms,
            abandoned_within_threshold,
        } = other;
        add(&mut self.offered, *offered);
        add(&mut self.answered, *answered);
        add(&mut self.abandoned, *abandoned);
        add(&mut self.abandoned_short, *abandoned_short);
        add(&mut self.within_threshold, *within_threshold);
        add(&mut self.overflowed, *overflowed);
        add(&mut self.refused, *refused);
        add(&mut self.transferred_in, *transferred_in);
        add(&mut self.transferred_out, *transferred_out);
        add(&mut self.callbacks_asked, *callbacks_asked);
        add(&mut self.callbacks_done, *callbacks_done);
        add(&mut self.rona, *rona);
        add(&mut self.wait_ms, *wait_ms);
        add(&mut self.abandon_ms, *abandon_ms);
        add(&mut self.talk_ms, *talk_ms);
        add(&mut self.hold_ms, *hold_ms);
        add(&mut self.wrap_up_ms, *wrap_up_ms);
        add(&mut self.ring_ms, *ring_ms);
        add(&mut self.repeated_callers, *repeated_callers);
        self.waits.merge(waits);
        self.handles.merge(handles);
        self.state_ms.iter_mut().zip(state_ms).for_each(|(ours, theirs)| add(ours, *theirs));
        add(&mut self.abandoned_within_threshold, *abandoned_within_threshold);
    }

    /// Service level, permille: answered within the threshold, of all offered but the short abandons. `None` without
    /// any.
    pub fn service_level(&self) -> Option<u32> {
        permille(self.within_threshold, self.offered.saturating_sub(self.abandoned_short))
    }

    /// Abandonment, permille: abandoned but not short, of all offered but the short abandons. `None` without any.
    pub fn abandonment(&self) -> Option<u32> {
        let long = self.abandoned.saturating_sub(self.abandoned_short);
        permille(long, self.offered.saturating_sub(self.abandoned_short))
    }

    /// Average speed of answer, milliseconds: the wait of the answered, by the answered. `None` without any.
    pub fn asa_ms(&self) -> Option<u64> {
        self.wait_ms.checked_div(self.answered)
    }

    /// Average handle time, milliseconds: talk, hold and wrap-up, by the answered. `None` without any.
    pub fn aht_ms(&self) -> Option<u64> {
        self.handle_ms().checked_div(self.answered)
    }

    /// Occupancy, permille: the time in the states of `busy`, of that in the states of `busy` and `idle`. Which ones
    /// these are is the caller's definition; indices beyond [`STATES`] count nothing. `None` without any time.
    pub fn occupancy(&self, busy: &[usize], idle: &[usize]) -> Option<u32> {
        let sum = |states: &[usize]| {
            states.iter().filter_map(|state| self.state_ms.get(*state)).fold(0, |sum: u64, ms| sum.saturating_add(*ms))
        };
        let busy = sum(busy);
        permille(busy, busy.saturating_add(sum(idle)))
    }

    fn handle_ms(&self) -> u64 {
        self.talk_ms.saturating_add(self.hold_ms).saturating_add(self.wrap_up_ms)
    }
}

/// How many durations fell into each bucket of [`BOUNDS_MS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Bucket i counts what is below its bound and not below the one before; the last one has no bound.
    pub buckets: [u32; BUCKETS],
}

impl Histogram {
    /// Counts one duration, milliseconds.
    pub fn add(&mut self, ms: u64) {
        let bucket = &mut self.buckets[BOUNDS_MS.partition_point(|bound| *bound <= ms)];
        *bucket = bucket.saturating_add(1);
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Histogram) {
        for (ours, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *ours = ours.saturating_add(theirs);
        }
    }

    /// From buckets as they were written, maybe by a release with fewer or more of them: what is missing is 0, what is
    /// too much goes to the last one.
    pub fn from_buckets(buckets: &[u32]) -> Self {
        let mut histogram = Histogram::default();
        for (at, count) in buckets.iter().enumerate() {
            let bucket = &mut histogram.buckets[at.min(BUCKETS - 1)];
            *bucket = bucket.saturating_add(*count);
        }
        histogram
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|count| u64::from(*count)).sum()
    }

    /// Nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|count| *count == 0)
    }

    /// Between which durations the quantile lies: at least the first, below the second, which is `None` in the open
    /// bucket. The quantile is the smallest counted duration that at least `permille` of all do not exceed; above 1000
    /// is 1000. `None` when nothing was counted.
    pub fn quantile_ms(&self, permille: u32) -> Option<(u64, Option<u64>)> {
        let count = self.count();
        let rank = (count * u64::from(permille.min(1000))).div_ceil(1000).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        let from = bucket.checked_sub(1).map_or(0, |before| BOUNDS_MS[before]);
        Some((from, BOUNDS_MS.get(bucket).copied()))
    }
}

fn add(ours: &mut u64, theirs: u64) {
    *ours = ours.saturating_add(theirs);
}

/// Rounded to the nearest, at most 1000: a part may be counted in an earlier interval than its whole.
fn permille(part: u64, whole: u64) -> Option<u32> {
    let (part, whole) = (u128::from(part), u128::from(whole));
    let rounded = (part * 1000 + whole / 2).checked_div(whole)?;
    Some(rounded.min(1000) as u32)
}

#[cfg(test)]
mod tests;
