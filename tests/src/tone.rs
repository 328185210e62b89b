//! Sound for tests: G.711 by its definition (ITU-T), sines, and an ear for single frequencies (Goertzel). Written apart
//! from `media`, so that both cannot be wrong in the same way.

use std::f64::consts::TAU;

/// Samples a second.
pub const RATE_HZ: f64 = 8_000.0;

/// What a payload is coded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// PCMU, payload type 0.
    Mu,
    /// PCMA, payload type 8.
    A,
}

impl Law {
    /// RFC 3551's static payload type.
    #[must_use]
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// `rtpmap` name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mu => "PCMU",
            Self::A => "PCMA",
        }
    }

    /// One sample from its octet.
    #[must_use]
    pub fn decode(self, octet: u8) -> i16 {
        match self {
            Self::Mu => {
                let bits = !octet;
                let (exponent, mantissa) = (i32::from(bits >> 4 & 7), i32::from(bits & 15));
                let size = (((mantissa << 3) + 132) << exponent) - 132;
                clamp(if bits & 0x80 != 0 { -size } else { size })
            }
            Self::A => {
                let bits = octet ^ 0x55;
                let (exponent, mantissa) = (i32::from(bits >> 4 & 7), i32::from(bits & 15));
                let size = match exponent {
                    0 => (mantissa << 4) + 8,
                    _ => ((mantissa << 4) + 264) << (exponent - 1),
                };
                clamp(if bits & 0x80 != 0 { size } else { -size })
            }
        }
    }

    /// The octet whose sample is nearest: slow and plain, which is what makes it trustworthy.
    #[must_use]
    pub fn encode(self, sample: i16) -> u8 {
        (0..=u8::MAX).min_by_key(|octet| (i32::from(self.decode(*octet)) - i32::from(sample)).abs()).unwrap_or_default()
    }
}

fn clamp(value: i32) -> i16 {
    i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
}

/// One second of a sine; whole waves for whole frequencies, so it may be repeated.
#[must_use]
pub fn second_of(hz: u32, amplitude: f64, law: Law) -> Vec<u8> {
    let sample = |n: u32| (amplitude * (TAU * f64::from(hz) * f64::from(n) / RATE_HZ).sin()) as i16;
    (0..8_000).map(|n| law.encode(sample(n))).collect()
}

/// The amplitude of a sine of `hz` in these samples.
#[must_use]
pub fn amplitude(samples: &[i16], hz: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let turn = TAU * hz * n as f64 / RATE_HZ;
        real += f64::from(*sample) * turn.cos();
        imaginary += f64::from(*sample) * turn.sin();
    }
    2.0 * f64::hypot(real, imaginary) / samples.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_laws_keep_a_sine() {
        for law in [Law::Mu, Law::A] {
            let samples: Vec<i16> = second_of(700, 8_000.0, law).into_iter().map(|octet| law.decode(octet)).collect();
            assert!((amplitude(&samples, 700.0) - 8_000.0).abs() < 100.0, "{law:?}");
            assert!(amplitude(&samples, 900.0) < 50.0, "{law:?}");
        }
    }

    #[test]
    fn silence_is_where_the_standard_says() {
        assert_eq!((Law::Mu.decode(0xff), Law::Mu.decode(0x80), Law::Mu.decode(0x00)), (0, 32_124, -32_124));
        assert_eq!((Law::A.decode(0xd5), Law::A.decode(0xaa), Law::A.decode(0x2a)), (8, 32_256, -32_256));
    }
}
