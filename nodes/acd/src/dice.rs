//! Dice that are part of the state: every replica throws the same; never the machine's randomness.

/// A seeded generator (SplitMix64).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dice(pub(crate) u64);

/// What a throw of `exponential` is on average, for weight 1.
#[cfg(test)]
pub(crate) const MEAN: u64 = 1 << 32;

impl Dice {
    pub(crate) fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// An exponentially distributed throw with mean 2^32 / `weight`.
    ///
    /// The least of several such throws belongs to each with a chance in proportion to its weight, and the others are as good
    /// as newly thrown: so agents may keep their throws while they wait, and choosing is taking the least.
    pub(crate) fn exponential(&mut self, weight: u8) -> u64 {
        // -ln(u) = ln 2 * -log2(u); in whole numbers, so that all machines agree to the bit.
        const LN2: u128 = 0xb172_17f7_d1cf_79ab; // ln 2 * 2^64
        let halvings = u128::from(minus_log2(self.throw() | 1)); // 2^-32ths
        ((halvings * LN2) >> 64) as u64 / u64::from(weight.max(1))
    }
}

/// -log2(u / 2^64) in 2^-32ths, by repeated squaring.
fn minus_log2(u: u64) -> u64 {
    let zeros = u.leading_zeros();
    let mut fraction = 0_u64;
    let mut x = u << zeros; // 1.63 fixed point, in [1, 2)
    for bit in (0..32).rev() {
        let square = (u128::from(x) * u128::from(x)) >> 63;
        if square >= 1 << 64 {
            fraction |= 1 << bit;
            x = (square >> 1) as u64;
        } else {
            x = square as u64;
        }
    }
    // log2(u / 2^64) = -1 - zeros + fraction
    ((u64::from(zeros) + 1) << 32) - fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_the_logarithm() {
        for u in [1_u64, 2, 3, 1 << 40, u64::MAX / 3, u64::MAX / 2, u64::MAX - 5, u64::MAX] {
            let wanted = 64.0 - (u as f64).log2();
            let got = minus_log2(u) as f64 / (1_u64 << 32) as f64;
            assert!((wanted - got).abs() < 1e-6, "{u}: {got} is not {wanted}");
        }
    }

    #[test]
    fn the_least_throw_belongs_to_each_by_weight() {
        let mut dice = Dice(1);
        let wins = (0..40_000).filter(|_| dice.exponential(3) < dice.exponential(1)).count();
        assert!((29_500..30_500).contains(&wins), "three to one, but {wins} of 40000");
        let mean = (0..40_000).map(|_| dice.exponential(1) / 40_000).sum::<u64>();
        assert!((MEAN * 98 / 100..MEAN * 102 / 100).contains(&mean), "mean {mean}");
    }
}
