//! A bucket of tokens that fills with time. Pure: time comes in, in microseconds.

/// Parts of a token; so fine that a thousand a second fill evenly.
const PARTS: u64 = 1_000_000;

/// So many a second, with so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    parts: u64,
    filled_us: u64,
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(now_us: u64, burst: u32) -> Self {
        Self { parts: u64::from(burst) * PARTS, filled_us: now_us }
    }

    /// Takes one token, when there is one.
    pub(crate) fn take(&mut self, now_us: u64, per_second: u32, burst: u32) -> bool {
        self.take_above(now_us, per_second, burst, 0)
    }

    /// Takes one token, when `kept` are left then.
    pub(crate) fn take_above(&mut self, now_us: u64, per_second: u32, burst: u32, kept: u32) -> bool {
        self.fill(now_us, per_second, burst);
        let there = self.parts >= (u64::from(kept) + 1) * PARTS;
        if there {
            self.parts -= PARTS;
        }
        there
    }

    /// A clock that stands still or goes back gives nothing.
    fn fill(&mut self, now_us: u64, per_second: u32, burst: u32) {
        let elapsed_us = now_us.saturating_sub(self.filled_us);
        // A microsecond of one token a second is one part.
        self.parts = self.parts.saturating_add(elapsed_us.saturating_mul(u64::from(per_second)));
        self.parts = self.parts.min(u64::from(burst) * PARTS);
        self.filled_us = self.filled_us.max(now_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::full(0, 10);
        assert_eq!((0..20).filter(|_| bucket.take(0, 100, 10)).count(), 10);
        let taken = (1..=1_000_000_u64).step_by(500).filter(|now| bucket.take(*now, 100, 10)).count();
        assert!((98..=100).contains(&taken), "{taken}");
        assert!(!bucket.take_above(1_030_000, 100, 10, 5), "the last ones are kept");
        assert!(bucket.take_above(1_070_000, 100, 10, 5));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut bucket = Bucket::full(1_000_000, 1);
        assert!(bucket.take(1_000_000, 1, 1));
        assert!(!bucket.take(0, 1, 1));
        assert!(!bucket.take(1_999_999, 1, 1));
        assert!(bucket.take(2_000_000, 1, 1));
        assert!(bucket.take(u64::MAX, u32::MAX, 1), "nothing overflows");
    }
}
