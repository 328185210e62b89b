//! How many new requests a second are good: more while nobody waits, less as soon as somebody does (AIMD, as RFC 5681 has it
//! for TCP). What is measured is the wait before the lane and the commands before the shard.

use super::AdmissionLimits;

/// The rate follows this often.
const STEP_US: u64 = 50_000;
/// Of the rate, what is left after a step in which there was a queue, in percent.
const LESS_PERCENT: u64 = 95;
/// Of the best that is known, what a step without a queue adds, in permille.
const MORE_PERMILLE: u64 = 10;
/// The same far below the best that is known.
const MUCH_MORE_PERMILLE: u64 = 100;
/// How far below, in percent.
const FAR_PERCENT: u64 = 80;

/// The rate and what it follows.
pub(super) struct Pressure {
    rate: u64,
    /// What was served when there was last a queue: roughly what can be.
    best: u64,
    stepped_us: u64,
    admitted: u64,
    refused: u64,
    delay_us: u64,
    pending: usize,
    /// Admitted a second, smoothed.
    served: u64,
}

impl Pressure {
    pub(super) fn new(limits: &AdmissionLimits, now_us: u64) -> Self {
        let rate = u64::from(limits.rate_max);
        Self { rate, best: rate, stepped_us: now_us, admitted: 0, refused: 0, delay_us: 0, pending: 0, served: 0 }
    }

    pub(super) fn rate(&self) -> u32 {
        u32::try_from(self.rate).unwrap_or(u32::MAX)
    }

    /// The wait of one message, and the commands that had no outcome then.
    pub(super) fn felt(&mut self, delay_us: u64, pending: usize) {
        self.delay_us = self.delay_us.max(delay_us);
        self.pending = self.pending.max(pending);
    }

    pub(super) fn admitted(&mut self) {
        self.admitted += 1;
    }

    pub(super) fn refused(&mut self) {
        self.refused += 1;
    }

    /// The commands that may be pending: as many as are answered within the delay that is never to be passed. A call makes at
    /// least one (Little's law).
    pub(super) fn pending_max(&self, limits: &AdmissionLimits) -> usize {
        let within = self.served.saturating_mul(limits.delay_us_max) / 1_000_000;
        usize::try_from(within)
            .unwrap_or(usize::MAX)
            .clamp(limits.pending_min, limits.pending_max.max(limits.pending_min))
    }

    pub(super) fn tick(&mut self, limits: &AdmissionLimits, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.stepped_us);
        if elapsed_us < STEP_US {
            return;
        }
        let now_served = self.admitted.saturating_mul(1_000_000) / elapsed_us;
        self.served = (self.served * 3 + now_served) / 4;
        let waits = self.delay_us > limits.delay_us_max / 2
            || self.pending > self.pending_max(limits) / 2 + limits.pending_min / 2;
        if waits {
            self.best = self.served.max(u64::from(limits.rate_min));
            // Never far above what was served: a rate that nobody uses says nothing.
            self.rate = self.rate.min(self.best * 2) * LESS_PERCENT / 100;
        } else if self.refused > 0 || self.rate < self.best {
            let permille = if self.rate * 100 < self.best * FAR_PERCENT { MUCH_MORE_PERMILLE } else { MORE_PERMILLE };
            self.rate += (self.best * permille / 1_000).max(1);
        } else {
            // Nobody waits and nobody is refused: the storm is over.
            self.rate += (self.rate * MUCH_MORE_PERMILLE / 1_000).max(1);
        }
        self.rate = self.rate.clamp(u64::from(limits.rate_min), u64::from(limits.rate_max.max(limits.rate_min)));
        (self.admitted, self.refused, self.delay_us, self.pending) = (0, 0, 0, 0);
        self.stepped_us = now_us;
    }
}
