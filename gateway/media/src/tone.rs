//! How much of one frequency is in some audio (Goertzel). A listener for tests and load drivers; no packet passes here.

use std::f64::consts::TAU;

/// Samples a second of everything in this package.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// The amplitude of the sine of `hz` in `samples` (16 bit units); 0 for no samples. Over 0.25 s it tells frequencies 8 Hz apart.
pub fn amplitude(samples: &[i16], hz: f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let turn = TAU * hz / f64::from(SAMPLE_RATE_HZ);
    let coefficient = 2.0 * turn.cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in samples {
        (last, before) = (f64::from(sample) + coefficient * last - before, last);
    }
    let power = last * last + before * before - coefficient * last * before;
    2.0 * power.max(0.0).sqrt() / samples.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_is_heard_at_its_own_frequency_only() {
        let sine: Vec<i16> =
            (0..2_000).map(|n| (1_000.0 * (TAU * 440.0 * f64::from(n) / 8_000.0).sin()) as i16).collect();
        assert!((amplitude(&sine, 440.0) - 1_000.0).abs() < 10.0);
        assert!(amplitude(&sine, 480.0) < 50.0);
        assert_eq!(amplitude(&[], 440.0), 0.0);
    }
}
