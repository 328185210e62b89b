//! The built-in music on hold: a quiet melody over a soft two-note drone, computed at start, the same on every machine. Plays nothing.
//!
//! 24 seconds that join without a seam. The drone sounds all the time at [`DRONE_HZ`] (C4 and the fifth above), each about
//! [`DRONE_AMPLITUDE`] of 32,768, so a quarter of a second anywhere is enough to know it. The melody is plucked from the
//! pentatonic scale [`SCALE_HZ`] in just intonation over the same C, so that no moment is out of tune with the drone.

use std::f64::consts::TAU;

use crate::tone::SAMPLE_RATE_HZ;

/// The two notes that always sound.
pub const DRONE_HZ: [f64; 2] = [262.0, 393.0];

/// The mean amplitude of each note of the drone; it swells and ebbs by a quarter.
pub const DRONE_AMPLITUDE: f64 = 700.0;

/// The notes of the melody: C5 D5 E5 G5 A5 C6.
pub const SCALE_HZ: [f64; 6] = [524.0, 589.5, 655.0, 786.0, 873.0, 1_048.0];

/// How long the loop is.
pub const SECONDS: u32 = 24;

const NOTE_AMPLITUDE: f64 = 1_500.0;
const BEATS: usize = 48;
const BEAT_SAMPLES: usize = (SECONDS * SAMPLE_RATE_HZ) as usize / BEATS;

/// Indices into the scale, two a second; `_` rests.
const MELODY: &[u8; BEATS] = b"0_2_3__24_3_2___2_3_4__35_4_3___4_3_2__31_2_0___";

/// The whole loop, 8 kHz linear.
pub fn samples() -> Vec<i16> {
    let length = (SECONDS * SAMPLE_RATE_HZ) as usize;
    let mut sound = vec![0.0f64; length];
    for (n, sample) in sound.iter_mut().enumerate() {
        let seconds = n as f64 / f64::from(SAMPLE_RATE_HZ);
        for (hz, swells) in DRONE_HZ.into_iter().zip([3.0, 4.0]) {
            // Whole numbers of waves and of swells in the loop: no seam.
            let swell = 1.0 + 0.25 * (TAU * swells * seconds / f64::from(SECONDS)).sin();
            *sample += DRONE_AMPLITUDE * swell * (TAU * hz * seconds).sin();
        }
    }
    for (beat, note) in MELODY.iter().enumerate() {
        if let Some(hz) = note.checked_sub(b'0').and_then(|index| SCALE_HZ.get(usize::from(index))) {
            pluck(&mut sound, beat * BEAT_SAMPLES, *hz);
        }
    }
    sound.into_iter().map(|sample| sample.round().clamp(-32_768.0, 32_767.0) as i16).collect()
}

/// The two notes of [`chime`], one after the other.
pub const CHIME_HZ: [f64; 2] = [660.0, 880.0];

/// What is heard in place of an announcement whose prompts are missing: two short notes.
pub fn chime() -> Vec<i16> {
    const NOTE_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 4;
    let note = |hz: f64| {
        (0..NOTE_SAMPLES).map(move |n| {
            let edge = (n.min(NOTE_SAMPLES - n) as f64 / 160.0).min(1.0);
            (2.0 * NOTE_AMPLITUDE * edge * (TAU * hz * n as f64 / f64::from(SAMPLE_RATE_HZ)).sin()).round() as i16
        })
    };
    CHIME_HZ.into_iter().flat_map(note).collect()
}

/// Adds a soft pluck; what rings on beyond the end rings at the beginning.
fn pluck(sound: &mut [f64], start: usize, hz: f64) {
    let length = sound.len();
    for n in 0..SAMPLE_RATE_HZ as usize * 2 {
        let seconds = n as f64 / f64::from(SAMPLE_RATE_HZ);
        let attack = (seconds / 0.03).min(1.0);
        let release = ((2.0 - seconds) / 0.2).min(1.0);
        let level = NOTE_AMPLITUDE * attack * release * (-2.5 * seconds).exp();
        let wave = (TAU * hz * seconds).sin() + 0.2 * (2.0 * TAU * hz * seconds).sin() * (-4.0 * seconds).exp();
        sound[(start + n) % length] += level * wave;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::amplitude;

    #[test]
    fn the_drone_is_heard_in_any_quarter_second() {
        for window in samples().chunks_exact(2_000) {
            for hz in DRONE_HZ {
                assert!(amplitude(window, hz) > DRONE_AMPLITUDE * 0.6);
            }
            for hz in [325.0, 1_700.0, 2_500.0] {
                assert!(amplitude(window, hz) < DRONE_AMPLITUDE * 0.2, "{hz}");
            }
        }
    }

    #[test]
    fn the_melody_is_where_it_is_written() {
        let sound = samples();
        for (beat, note) in MELODY.iter().enumerate().filter(|(_, note)| **note != b'_') {
            let start = beat * BEAT_SAMPLES;
            let level = amplitude(&sound[start..start + 2_000], SCALE_HZ[usize::from(note - b'0')]);
            assert!(level > 600.0, "beat {beat}: {level}");
        }
    }

    #[test]
    fn it_is_quiet_and_has_no_seam() {
        let sound = samples();
        let loudest = sound.iter().map(|sample| sample.unsigned_abs()).max().expect("not empty");
        assert!((2_000..8_000).contains(&loudest), "{loudest}");
        let step = |n: usize| (i32::from(sound[(n + 1) % sound.len()]) - i32::from(sound[n])).abs();
        let largest = (0..sound.len() - 1).map(step).max().expect("not empty");
        assert!(step(sound.len() - 1) <= largest);
        assert_eq!(sound.len() % 160, 0);
        assert_eq!(sound, samples());
    }
}
