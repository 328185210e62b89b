//! ITU-T G.711: A-law and mu-law by table, and from one to the other. Never allocates, never fails.

use crate::api::Codec;

/// What silence looks like in a law.
pub const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xFF,
        Codec::Pcma => 0xD5,
    }
}

/// One octet to a 16 bit linear sample.
pub fn decode(codec: Codec, octet: u8) -> i16 {
    match codec {
        Codec::Pcmu => MU_TO_LINEAR[usize::from(octet)],
        Codec::Pcma => A_TO_LINEAR[usize::from(octet)],
    }
}

/// One 16 bit linear sample to an octet.
pub fn encode(codec: Codec, sample: i16) -> u8 {
    // The tables are indexed by the sample's top 14 (mu-law) and 13 (A-law) bits, which is all that the laws look at.
    let code = sample as u16;
    match codec {
        Codec::Pcmu => LINEAR_TO_MU[usize::from(code >> 2)],
        Codec::Pcma => LINEAR_TO_A[usize::from(code >> 3)],
    }
}

/// One octet of one law as the nearest octet of the other (or the same).
pub fn convert(from: Codec, to: Codec, octet: u8) -> u8 {
    match (from, to) {
        (Codec::Pcmu, Codec::Pcma) => MU_TO_A[usize::from(octet)],
        (Codec::Pcma, Codec::Pcmu) => A_TO_MU[usize::from(octet)],
        (Codec::Pcmu, Codec::Pcmu) | (Codec::Pcma, Codec::Pcma) => octet,
    }
}

/// A payload in place, from one law to the other; nothing to do when they are the same.
pub fn convert_in_place(from: Codec, to: Codec, payload: &mut [u8]) {
    let table = match (from, to) {
        (Codec::Pcmu, Codec::Pcma) => &MU_TO_A,
        (Codec::Pcma, Codec::Pcmu) => &A_TO_MU,
        (Codec::Pcmu, Codec::Pcmu) | (Codec::Pcma, Codec::Pcma) => return,
    };
    for octet in payload {
        *octet = table[usize::from(*octet)];
    }
}

static MU_TO_LINEAR: [i16; 256] = mu_to_linear();
static A_TO_LINEAR: [i16; 256] = a_to_linear();
static LINEAR_TO_MU: [u8; 16_384] = linear_to_mu();
static LINEAR_TO_A: [u8; 8_192] = linear_to_a();
static MU_TO_A: [u8; 256] = mu_to_a();
static A_TO_MU: [u8; 256] = a_to_mu();

const MU_BIAS: i32 = 0x84;
const MU_CLIP: i32 = 32_635;

const fn mu_octet_to_linear(octet: u8) -> i16 {
    let code = !octet;
    let exponent = (code >> 4) & 7;
    let mantissa = (code & 15) as i32;
    let magnitude = (((mantissa << 3) + MU_BIAS) << exponent) - MU_BIAS;
    if code & 0x80 != 0 { -magnitude as i16 } else { magnitude as i16 }
}

const fn linear_to_mu_octet(sample: i32) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    // One's complement, as ITU-T G.191 does it: the top 14 bits alone then say everything.
    let magnitude = if sample < 0 { -sample - 1 } else { sample };
    let biased = if magnitude > MU_CLIP { MU_CLIP + MU_BIAS } else { magnitude + MU_BIAS };
    let mut exponent = 7;
    while exponent > 0 && biased < (0x80 << exponent) {
        exponent -= 1;
    }
    let mantissa = (biased >> (exponent + 3)) & 15;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

const fn a_octet_to_linear(octet: u8) -> i16 {
    let code = octet ^ 0x55;
    let exponent = (code >> 4) & 7;
    let mantissa = (code & 15) as i32;
    let magnitude = if exponent == 0 { (mantissa << 4) + 8 } else { ((mantissa << 4) + 0x108) << (exponent - 1) };
    if code & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 }
}

const fn linear_to_a_octet(sample: i32) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    // A-law has no zero: -1 is the first step below, as +0 is the first above.
    let magnitude = (if sample < 0 { -sample - 1 } else { sample }) >> 4;
    let mut exponent = 7;
    while exponent > 0 && magnitude < (0x10 << (exponent - 1)) {
        exponent -= 1;
    }
    let mantissa = if exponent == 0 { magnitude & 15 } else { (magnitude >> (exponent - 1)) & 15 };
    (sign | (exponent << 4) as u8 | mantissa as u8) ^ 0x55
}

const fn mu_to_linear() -> [i16; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = mu_octet_to_linear(i as u8);
        i += 1;
    }
    table
}

const fn a_to_linear() -> [i16; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = a_octet_to_linear(i as u8);
        i += 1;
    }
    table
}

const fn linear_to_mu() -> [u8; 16_384] {
    let mut table = [0; 16_384];
    let mut i = 0;
    while i < 16_384 {
        table[i] = linear_to_mu_octet(((i << 2) as u16 as i16) as i32);
        i += 1;
    }
    table
}

const fn linear_to_a() -> [u8; 8_192] {
    let mut table = [0; 8_192];
    let mut i = 0;
    while i < 8_192 {
        table[i] = linear_to_a_octet(((i << 3) as u16 as i16) as i32);
        i += 1;
    }
    table
}

const fn mu_to_a() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        // Both zeros of mu-law keep their sign, so that a quiet line stays on one A-law code.
        table[i] = match i {
            0x7F => 0x55,
            0xFF => 0xD5,
            _ => linear_to_a_octet(mu_octet_to_linear(i as u8) as i32),
        };
        i += 1;
    }
    table
}

const fn a_to_mu() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = linear_to_mu_octet(a_octet_to_linear(i as u8) as i32);
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use Codec::{Pcma, Pcmu};

    // G.711, tables 5 and 6: eight octets that are a 1 kHz sine at 0 dBm0.
    const MILLIWATT_A: [u8; 8] = [0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4];
    const MILLIWATT_MU: [u8; 8] = [0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E];

    #[test]
    fn the_ends_and_the_middle_of_both_laws_are_the_standard_s() {
        for (octet, linear) in [(0xFF, 0), (0x7F, 0), (0x80, 32_124), (0x00, -32_124), (0xFE, 8), (0xF0, 120)] {
            assert_eq!(decode(Pcmu, octet), linear, "mu {octet:02x}");
        }
        for (octet, linear) in [(0xD5, 8), (0x55, -8), (0xAA, 32_256), (0x2A, -32_256), (0xD4, 24), (0xC5, 264)] {
            assert_eq!(decode(Pcma, octet), linear, "A {octet:02x}");
        }
        for (sample, mu, a) in [(0, 0xFF, 0xD5), (32_767, 0x80, 0xAA), (-32_768, 0x00, 0x2A), (-1, 0x7F, 0x55)] {
            assert_eq!(encode(Pcma, sample), a, "{sample}");
            assert_eq!(encode(Pcmu, sample), mu, "{sample}");
        }
    }

    #[test]
    fn the_digital_milliwatt_has_the_same_level_in_both_laws() {
        for (codec, octets) in [(Pcma, MILLIWATT_A), (Pcmu, MILLIWATT_MU)] {
            let power: f64 = octets.iter().map(|&octet| f64::from(decode(codec, octet)).powi(2)).sum::<f64>() / 8.0;
            // 0 dBm0 is 3.14 dB (A) or 3.17 dB (mu) below the largest sine.
            let below = -10.0 * (power / (32_768.0f64.powi(2) / 2.0)).log10();
            assert!((3.0..3.4).contains(&below), "{codec:?}: {below} dB");
        }
        for (mu, a) in MILLIWATT_MU.into_iter().zip(MILLIWATT_A) {
            assert_eq!(convert(Pcmu, Pcma, mu), a);
            assert_eq!(convert(Pcma, Pcmu, a), mu);
        }
    }

    #[test]
    fn decoding_and_encoding_again_changes_nothing() {
        for octet in 0..=255u8 {
            assert_eq!(encode(Pcma, decode(Pcma, octet)), octet);
            // Mu-law has two zeros; linear has one.
            let expected = if octet == 0x7F { 0xFF } else { octet };
            assert_eq!(encode(Pcmu, decode(Pcmu, octet)), expected);
        }
    }

    #[test]
    fn encoding_errs_by_less_than_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let room = i32::from(sample).abs() / 16 + 16;
            for codec in [Pcma, Pcmu] {
                let error = (i32::from(decode(codec, encode(codec, sample))) - i32::from(sample)).abs();
                let clipped = i32::from(sample).abs() > MU_CLIP;
                assert!(error <= room || clipped, "{codec:?} {sample}: {error}");
            }
        }
    }

    #[test]
    fn going_there_and_back_again_stays_within_a_step() {
        for octet in 0..=255u8 {
            for (here, there) in [(Pcma, Pcmu), (Pcmu, Pcma)] {
                let back = convert(there, here, convert(here, there, octet));
                let (before, after) = (i32::from(decode(here, octet)), i32::from(decode(here, back)));
                assert!((before - after).abs() <= before.abs() / 16 + 8, "{here:?} {octet:02x} {back:02x}");
            }
        }
        let mut payload = [0xFF, 0x1E];
        convert_in_place(Pcmu, Pcma, &mut payload);
        assert_eq!(payload, [silence(Pcma), 0x34]);
        convert_in_place(Pcma, Pcma, &mut payload);
        assert_eq!(payload, [silence(Pcma), 0x34]);
    }
}
