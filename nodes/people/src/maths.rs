//! `ln` and `exp` out of `+ - * /`, bit-equal on every machine; never the platform's, which may differ in the last bit.

/// ln 2, split so that its product with an exponent loses nothing.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Natural logarithm of a positive normal number, within 1e-15 of the true one relative to max(1, |ln x|).
/// Of anything else: the least finite one.
pub fn ln(x: f64) -> f64 {
    if !(x.is_normal() && x > 0.0) {
        return if x == f64::INFINITY { f64::MAX } else { f64::MIN };
    }
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 atanh((m - 1) / (m + 1)); |s| <= 0.1716, so 11 terms reach 2^-60.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    let mut odd = 23.0;
    while odd >= 1.0 {
        sum = sum * square + 1.0 / odd;
        odd -= 2.0;
    }
    let exponent = exponent as f64;
    exponent * LN_2_HIGH + (exponent * LN_2_LOW + 2.0 * s * sum)
}

/// e to the power of x; 0 below -700, and that of 700 above it.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() || x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    let halves = (x / std::f64::consts::LN_2 + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let rest = (x - halves as f64 * LN_2_HIGH) - halves as f64 * LN_2_LOW;
    // |rest| <= 0.3466, so 16 terms reach 2^-60.
    let mut sum = 1.0;
    let mut term = 16.0;
    while term >= 1.0 {
        sum = 1.0 + rest * sum / term;
        term -= 1.0;
    }
    sum * f64::from_bits(((halves + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::{exp, ln};

    #[test]
    fn they_are_what_the_platform_says_up_to_the_last_bits() {
        let mut dice = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            let x = (dice.f64() + 1e-12) * f64::powi(10.0, dice.i32(-12..12));
            assert!((ln(x) - x.ln()).abs() <= 1e-15 * x.ln().abs().max(1.0), "ln {x}");
            let y = (dice.f64() - 0.5) * 1_000.0;
            assert!((exp(y) / y.exp() - 1.0).abs() <= 1e-13, "exp {y}");
        }
    }

    #[test]
    fn their_bits_are_the_same_on_every_machine() {
        let mut mix = 0u64;
        let mut dice = fastrand::Rng::with_seed(2);
        for _ in 0..10_000 {
            let x = dice.f64() + 1e-9;
            mix = mix.rotate_left(7) ^ ln(x).to_bits() ^ exp(x * 20.0 - 10.0).to_bits();
        }
        assert_eq!(mix, GOLDEN, "{mix:#x}");
    }

    const GOLDEN: u64 = 0x56ff_aa0a_3fbe_e7a2;

    #[test]
    fn edges_are_finite() {
        assert!(
            ln(0.0).is_finite() && ln(-1.0).is_finite() && ln(f64::INFINITY).is_finite() && ln(f64::NAN).is_finite()
        );
        assert_eq!(exp(-1e9), 0.0);
        assert!(exp(1e9).is_finite());
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(ln(1.0), 0.0);
    }
}
