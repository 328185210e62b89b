//! Distributions of durations and how one is drawn; never a fraction of a millisecond.

use std::sync::Arc;

use fastrand::Rng;

use crate::maths::{exp, ln};

/// No duration is longer: a hundred years, so that no sum overflows.
const MS_MAX: f64 = 3_155_760_000_000.0;

/// Throws for a duration above a floor before the floor is taken.
const THROWS_MAX: u32 = 64;

/// How durations spread.
#[derive(Clone, Debug, PartialEq)]
pub enum Spread {
    /// Never comes: endless patience.
    Never,
    /// Always the same.
    Exactly {
        /// Milliseconds.
        ms: u64,
    },
    /// Evenly, both ends included.
    Uniform {
        /// Milliseconds.
        from_ms: u64,
        /// Milliseconds, not below `from_ms`.
        to_ms: u64,
    },
    /// Without memory.
    Exponential {
        /// Milliseconds.
        mean_ms: u64,
    },
    /// As talk times tend to be.
    LogNormal {
        /// Milliseconds.
        mean_ms: u64,
        /// Standard deviation in percent of the mean.
        deviation_percent: u32,
    },
    /// One of these, evenly; none: never.
    Recorded(Arc<[u64]>),
    /// By a curve of survival.
    Survival(Arc<Survival>),
}

/// A curve of survival: which share outlasts which time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survival {
    /// (milliseconds, share that outlasts them): the first rising, the second falling within 0-1.
    pub steps: Vec<(u64, f64)>,
    /// Beyond the last step, when its share is above 0: exponential with this mean. 0: never.
    pub tail_ms: u64,
}

impl Spread {
    /// Draws one in milliseconds; `None` is never.
    pub fn draw(&self, dice: &mut Rng) -> Option<u64> {
        match self {
            Spread::Never => None,
            Spread::Exactly { ms } => Some(*ms),
            Spread::Uniform { from_ms, to_ms } => Some(dice.u64(*from_ms..=(*to_ms).max(*from_ms))),
            Spread::Exponential { mean_ms } => Some(whole(exponential(dice) * *mean_ms as f64)),
            Spread::LogNormal { mean_ms, deviation_percent } => {
                let ratio = f64::from(*deviation_percent) / 100.0;
                let variance = ln(1.0 + ratio * ratio);
                let normal = normal(dice);
                Some(whole(*mean_ms as f64 * exp(variance.sqrt() * normal - variance / 2.0)))
            }
            Spread::Recorded(list) => (!list.is_empty()).then(|| list[dice.usize(..list.len())]),
            Spread::Survival(curve) => {
                let outlasts = 1.0 - dice.f64();
                curve.at(outlasts, 0, dice)
            }
        }
    }

    /// Draws one that is longer than `floor` milliseconds, as far as the distribution has any.
    pub fn draw_above(&self, floor: u64, dice: &mut Rng) -> Option<u64> {
        if floor == 0 {
            return self.draw(dice);
        }
        match self {
            // Without memory, and by the curve's own share: exact and one throw.
            Spread::Exponential { .. } => self.draw(dice).map(|ms| ms.saturating_add(floor)),
            Spread::Survival(curve) => {
                let outlasts = (1.0 - dice.f64()) * curve.share_above(floor);
                curve.at(outlasts, floor, dice)
            }
            Spread::Never
            | Spread::Exactly { .. }
            | Spread::Uniform { .. }
            | Spread::LogNormal { .. }
            | Spread::Recorded(_) => {
                for _ in 0..THROWS_MAX {
                    match self.draw(dice) {
                        Some(ms) if ms <= floor => {}
                        drawn => return drawn,
                    }
                }
                Some(floor.saturating_add(1))
            }
        }
    }

    /// The mean in milliseconds; `None` when there is none.
    pub fn mean_ms(&self) -> Option<f64> {
        match self {
            Spread::Never => None,
            Spread::Exactly { ms } => Some(*ms as f64),
            Spread::Uniform { from_ms, to_ms } => Some((*from_ms as f64 + *to_ms as f64) / 2.0),
            Spread::Exponential { mean_ms } | Spread::LogNormal { mean_ms, .. } => Some(*mean_ms as f64),
            Spread::Recorded(list) if list.is_empty() => None,
            Spread::Recorded(list) => Some(list.iter().map(|ms| *ms as f64).sum::<f64>() / list.len() as f64),
            Spread::Survival(curve) => curve.mean_ms(),
        }
    }
}

impl Survival {
    /// The time that this share outlasts, above the floor.
    fn at(&self, outlasts: f64, floor: u64, dice: &mut Rng) -> Option<u64> {
        let index = self.steps.partition_point(|(_, share)| *share >= outlasts);
        if let Some((ms, _)) = self.steps.get(index) {
            return Some(*ms);
        }
        let known = self.steps.last().map_or(0, |(ms, _)| *ms).max(floor);
        (self.tail_ms > 0).then(|| known.saturating_add(whole(exponential(dice) * self.tail_ms as f64)))
    }

    /// The share that outlasts this time.
    fn share_above(&self, ms: u64) -> f64 {
        let index = self.steps.partition_point(|(step, _)| *step <= ms);
        index.checked_sub(1).map_or(1.0, |last| self.steps[last].1)
    }

    fn mean_ms(&self) -> Option<f64> {
        let (mut from, mut share, mut mean) = (0, 1.0, 0.0);
        for (ms, next) in &self.steps {
            mean += (*ms - from) as f64 * share;
            (from, share) = (*ms, *next);
        }
        if share <= 0.0 {
            return Some(mean);
        }
        (self.tail_ms > 0).then_some(mean + share * self.tail_ms as f64)
    }
}

/// Mean 1.
pub(crate) fn exponential(dice: &mut Rng) -> f64 {
    -ln(1.0 - dice.f64())
}

/// Mean 0, deviation 1, by Marsaglia's polar method.
fn normal(dice: &mut Rng) -> f64 {
    loop {
        let (x, y) = (2.0 * dice.f64() - 1.0, 2.0 * dice.f64() - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * ln(square) / square).sqrt();
        }
    }
}

/// To whole milliseconds.
pub(crate) fn whole(ms: f64) -> u64 {
    (ms.clamp(0.0, MS_MAX) + 0.5) as u64
}

/// True with this chance.
pub(crate) fn happens(share: f64, dice: &mut Rng) -> bool {
    dice.f64() < share
}
