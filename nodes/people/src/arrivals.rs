//! When the next call of a line comes; never who calls.

use fastrand::Rng;

use crate::Timestamp;
use crate::plan::{Arrival, Arrivals, Curve};
use crate::spread::exponential;

/// Where a line's arrivals have got to.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    dice: Rng,
    /// Calls so far.
    pub(crate) count: u64,
    /// Of a curve: interval number over all rounds, and how much of it is over, 0-1.
    interval: u64,
    part: f64,
}

impl Stream {
    pub(crate) fn new(seed: u64) -> Self {
        Stream { dice: Rng::with_seed(seed), count: 0, interval: 0, part: 0.0 }
    }

    /// The next call, not before `start`; none left is `None`.
    pub(crate) fn next(&mut self, arrivals: &Arrivals, start: Timestamp) -> Option<Arrival> {
        let arrival = match arrivals {
            Arrivals::Curve(curve) => Arrival { at: self.next_of(curve, start)?, ..Arrival::default() },
            Arrivals::List(list) => {
                let arrival = list.get(usize::try_from(self.count).ok()?)?;
                Arrival { at: arrival.at.max(start), ..arrival.clone() }
            }
        };
        self.count += 1;
        Some(arrival)
    }

    /// Goes through the curve until a unit exponential of expected calls is used up: a Poisson process at its rates.
    fn next_of(&mut self, curve: &Curve, start: Timestamp) -> Option<Timestamp> {
        let intervals = curve.calls.len() as u64 * u64::from(curve.rounds.max(1));
        if curve.interval_ms == 0 {
            return None;
        }
        let skipped = start.saturating_sub(curve.from);
        if self.interval == 0 && self.part == 0.0 && skipped > 0 {
            self.interval = skipped / curve.interval_ms;
            self.part = (skipped % curve.interval_ms) as f64 / curve.interval_ms as f64;
        }
        let mut owed = exponential(&mut self.dice);
        while self.interval < intervals {
            let rate = curve.calls[(self.interval % curve.calls.len() as u64) as usize];
            let left = (1.0 - self.part) * rate;
            if owed < left {
                self.part += owed / rate;
                let within = (self.part * curve.interval_ms as f64) as u64;
                return Some(curve.from + self.interval * curve.interval_ms + within);
            }
            if rate > 0.0 {
                owed -= left;
            }
            self.interval += 1;
            self.part = 0.0;
        }
        None
    }
}

impl Arrivals {
    /// When the first call may come.
    pub(crate) fn begins(&self) -> Option<Timestamp> {
        match self {
            Arrivals::Curve(curve) => Some(curve.from),
            Arrivals::List(list) => list.first().map(|arrival| arrival.at),
        }
    }
}
