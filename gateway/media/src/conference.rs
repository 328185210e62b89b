//! A conference: each of its legs hears the sum of the others, mixed every 20 ms. Pure; frames come in and go out.

use crate::api::Codec;
use crate::jitter::{Frame, Jitter, Put};
use crate::rtp::Header;
use crate::stream::FRAME_SAMPLES;

/// The fewest and the most legs of a conference.
pub const LEGS_MIN: usize = 2;
/// See [`LEGS_MIN`].
pub const LEGS_MAX: usize = 8;

const FRAME: usize = FRAME_SAMPLES as usize;

/// The legs by their small index, in the order in which they came, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Conference {
    voices: Vec<Voice>,
}

/// One far end as the others hear it.
#[derive(Debug)]
struct Voice {
    leg: u32,
    jitter: Jitter,
    said: Option<Frame>,
}

/// What all say at one moment.
#[derive(Debug)]
pub(crate) struct Mix {
    sum: [i32; FRAME],
}

impl Conference {
    /// Joins; who is there already stays as they are.
    pub(crate) fn add(&mut self, leg: u32) {
        if !self.has(leg) {
            self.voices.push(Voice { leg, jitter: Jitter::default(), said: None });
        }
    }

    /// Leaves; not there: nothing.
    pub(crate) fn remove(&mut self, leg: u32) {
        self.voices.retain(|voice| voice.leg != leg);
    }

    pub(crate) fn has(&self, leg: u32) -> bool {
        self.voices.iter().any(|voice| voice.leg == leg)
    }

    pub(crate) fn len(&self) -> usize {
        self.voices.len()
    }

    pub(crate) fn leg(&self, position: usize) -> Option<u32> {
        self.voices.get(position).map(|voice| voice.leg)
    }

    /// A far end was heard. `None`: it is not here.
    pub(crate) fn hear(&mut self, leg: u32, header: Header, codec: Codec, payload: &[u8]) -> Option<Put> {
        let voice = self.voices.iter_mut().find(|voice| voice.leg == leg)?;
        Some(voice.jitter.put(header, codec, payload))
    }

    /// Goes on by one frame.
    pub(crate) fn mix(&mut self) -> Mix {
        let mut sum = [0; FRAME];
        for voice in &mut self.voices {
            voice.said = voice.jitter.take();
            for (total, sample) in sum.iter_mut().zip(voice.said.iter().flatten()) {
                *total += i32::from(*sample);
            }
        }
        Mix { sum }
    }

    /// What the leg at this position hears of a mix: everybody but itself, saturated.
    pub(crate) fn heard_at(&self, position: usize, mix: &Mix) -> Frame {
        let own = self.voices.get(position).and_then(|voice| voice.said);
        let mut frame = [0; FRAME];
        for (n, sample) in frame.iter_mut().enumerate() {
            let others = mix.sum[n] - own.map_or(0, |own| i32::from(own[n]));
            *sample = others.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711;

    #[test]
    fn each_hears_the_others_saturated_and_never_itself() {
        let mut conference = Conference::default();
        for leg in 0..3 {
            conference.add(leg);
            conference.add(leg);
        }
        assert_eq!(conference.len(), 3);
        let header = Header { marker: true, payload_type: 0, sequence: 0, timestamp: 0, ssrc: 1 };
        let level = g711::decode(Codec::Pcma, g711::encode(Codec::Pcma, 20_000));
        for leg in 0..2 {
            conference.hear(leg, header, Codec::Pcma, &[g711::encode(Codec::Pcma, 20_000); 480]);
        }
        conference.mix();
        conference.mix();
        let mix = conference.mix();
        assert_eq!(conference.heard_at(0, &mix), [level; 160]);
        assert_eq!(conference.heard_at(1, &mix), [level; 160]);
        assert_eq!(conference.heard_at(2, &mix), [i16::MAX; 160]);
        assert_eq!(conference.hear(9, header, Codec::Pcma, &[0; 160]), None);
    }
}
