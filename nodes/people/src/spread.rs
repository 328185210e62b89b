//! Distributions of durations and how one is drawn; never a fraction of a millisecond.

use std::sync::Arc;

use fastrand::Rng;

use crate::maths::{exp, ln};

/// No duration is longer: a hundred years, so that no sum overflows.
const MS_MAX: f64 = 3_155_760_000_000.0;

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
            Spread::Survival(curve) => curve.at(dice.f64(), dice),
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
    /// The time that a share of `1 - level` outlasts.
    fn at(&self, level: f64, dice: &mut Rng) -> Option<u64> {
        let outlasts = 1.0 - level;
        // The first step whose surviving share is below it is where this one dies.
        let index = self.steps.partition_point(|(_, share)| *share >= outlasts);
        if let Some((ms, _)) = self.steps.get(index) {
            return Some(*ms);
        }
        let (last, _) = self.steps.last().copied().unwrap_or_default();
        (self.tail_ms > 0).then(|| last.saturating_add(whole(exponential(dice) * self.tail_ms as f64)))
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
        (self.tail_ms > 0).then(|| mean + share * self.tail_ms as f64)
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
