//! What one far end said lately, put in order and handed out in even frames of 20 ms (RFC 3550 timestamps). Pure; only legs of a
//! conference have one.

use crate::api::Codec;
use crate::g711;
use crate::rtp::Header;
use crate::stream::FRAME_SAMPLES;

/// A talk spurt is held back for this long, so that packets may be late by 20 to 40 ms.
pub const DELAY_SAMPLES: u32 = 30 * 8;
/// More than this is never held: a far end whose clock is fast, or that sends a heap, is cut.
pub const HELD_SAMPLES_MAX: u32 = 80 * 8;
/// The longest packet that is taken, 200 ms.
pub const PACKET_SAMPLES_MAX: u32 = 200 * 8;

/// Holds the longest packet and what may wait before it.
const RING_SAMPLES: usize = 2_048;
/// A timestamp further off than this is another beginning.
const JUMP_SAMPLES_MAX: i32 = 8_000;

const FRAME: usize = FRAME_SAMPLES as usize;

/// 20 ms, linear.
pub type Frame = [i16; FRAME];

/// The buffer of one far end.
#[derive(Debug)]
pub struct Jitter {
    /// By timestamp; what has been handed out or was never heard is silence.
    ring: Box<[i16; RING_SAMPLES]>,
    ssrc: u32,
    /// The timestamp of the next frame.
    next: u32,
    /// Behind the newest sample.
    end: u32,
    talking: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// All of it will be heard.
    Kept,
    /// Some older sound was cut, because too much waited.
    Cut,
    /// It came too late, or is no packet that we take.
    Late,
}

impl Default for Jitter {
    fn default() -> Jitter {
        Jitter { ring: Box::new([0; RING_SAMPLES]), ssrc: 0, next: 0, end: 0, talking: false }
    }
}

impl Jitter {
    /// Takes a packet.
    pub fn put(&mut self, header: Header, codec: Codec, payload: &[u8]) -> Put {
        let length = payload.len() as u32;
        if length == 0 || length > PACKET_SAMPLES_MAX {
            return Put::Late;
        }
        let ahead = header.timestamp.wrapping_sub(self.next) as i32;
        let other = header.ssrc != self.ssrc || ahead.abs() > JUMP_SAMPLES_MAX;
        if !self.talking || other {
            self.begin(header);
        } else if ahead < 0 {
            // Late; when nothing else waits either, its clock is slow and the spurt begins anew, held back again.
            if self.is_dry() && (header.timestamp.wrapping_sub(self.end) as i32) >= 0 {
                self.begin(header);
            } else if ahead.unsigned_abs() >= length {
                return Put::Late;
            }
        }
        self.write(header.timestamp, codec, payload);
        let held = self.end.wrapping_sub(self.next);
        let most = HELD_SAMPLES_MAX.max(length + DELAY_SAMPLES);
        if held <= most {
            return Put::Kept;
        }
        self.drop_oldest(held - most.min(length + DELAY_SAMPLES));
        Put::Cut
    }

    /// The next 20 ms; `None` when the far end says nothing.
    pub fn take(&mut self) -> Option<Frame> {
        if !self.talking {
            return None;
        }
        let mut frame = [0; FRAME];
        for (n, sample) in (0..).zip(&mut frame) {
            *sample = std::mem::take(&mut self.ring[index(self.next.wrapping_add(n))]);
        }
        self.next = self.next.wrapping_add(FRAME_SAMPLES);
        // A spurt ends after a second of nothing; then the next packet is a beginning.
        let dry = self.next.wrapping_sub(self.end) as i32;
        self.talking = dry <= JUMP_SAMPLES_MAX;
        Some(frame)
    }

    fn is_dry(&self) -> bool {
        self.next.wrapping_sub(self.end) as i32 >= 0
    }

    fn begin(&mut self, header: Header) {
        self.ring.fill(0);
        self.ssrc = header.ssrc;
        self.next = header.timestamp.wrapping_sub(DELAY_SAMPLES);
        self.end = header.timestamp;
        self.talking = true;
    }

    /// Writes what is still to be handed out, and no further than the ring goes.
    fn write(&mut self, timestamp: u32, codec: Codec, payload: &[u8]) {
        let furthest = self.next.wrapping_add(RING_SAMPLES as u32);
        let behind = timestamp.wrapping_add(payload.len() as u32);
        if (behind.wrapping_sub(furthest) as i32) > 0 {
            self.drop_oldest(behind.wrapping_sub(furthest));
        }
        for (n, octet) in (0..).zip(payload) {
            let at = timestamp.wrapping_add(n);
            if (at.wrapping_sub(self.next) as i32) >= 0 {
                self.ring[index(at)] = g711::decode(codec, *octet);
            }
        }
        if (behind.wrapping_sub(self.end) as i32) > 0 {
            self.end = behind;
        }
    }

    fn drop_oldest(&mut self, samples: u32) {
        for n in 0..samples.min(RING_SAMPLES as u32) {
            self.ring[index(self.next.wrapping_add(n))] = 0;
        }
        self.next = self.next.wrapping_add(samples);
    }
}

fn index(timestamp: u32) -> usize {
    timestamp as usize % RING_SAMPLES
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: u8 = 0x00;

    fn heard(sequence: u16, timestamp: u32) -> Header {
        Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: 5 }
    }

    fn put(jitter: &mut Jitter, timestamp: u32, samples: usize) -> Put {
        jitter.put(heard(0, timestamp), Codec::Pcmu, &vec![LOUD; samples])
    }

    /// How many samples of a frame sound.
    fn loud(jitter: &mut Jitter) -> usize {
        jitter.take().map_or(0, |frame| frame.iter().filter(|sample| **sample != 0).count())
    }

    #[test]
    fn a_spurt_is_held_back_and_then_whole() {
        let mut jitter = Jitter::default();
        assert_eq!(jitter.take(), None);
        let start = u32::MAX - 100;
        let mut sounding = 0;
        for n in 0..10 {
            assert_eq!(put(&mut jitter, start.wrapping_add(n * 160), 160), Put::Kept);
            sounding += loud(&mut jitter);
        }
        sounding += (0..3).map(|_| loud(&mut jitter)).sum::<usize>();
        assert_eq!(sounding, 1_600);
    }

    #[test]
    fn packets_out_of_order_and_twice_are_heard_in_order_and_once() {
        let mut jitter = Jitter::default();
        assert_eq!(put(&mut jitter, 0, 160), Put::Kept);
        assert_eq!(loud(&mut jitter), 0);
        for timestamp in [320, 160, 160] {
            assert_eq!(put(&mut jitter, timestamp, 160), Put::Kept);
        }
        assert_eq!((0..6).map(|_| loud(&mut jitter)).sum::<usize>(), 480);
    }

    #[test]
    fn other_packet_times_are_the_same_sound() {
        for ptime in [80, 240, 320, 480, 800, 1_600] {
            let (mut jitter, mut sounding, mut sent) = (Jitter::default(), 0, 0);
            for now in 0..100u32 {
                while sent + ptime <= (now + 1) * 160 {
                    assert_eq!(put(&mut jitter, sent, ptime as usize), Put::Kept, "{ptime}");
                    sent += ptime;
                }
                sounding += loud(&mut jitter);
            }
            // All but what is still held back.
            let (all, held) = (sent as usize, (ptime + DELAY_SAMPLES) as usize);
            assert!((all - held..=all).contains(&sounding), "{ptime}: {sounding} of {all}");
        }
    }

    #[test]
    fn never_more_is_held_than_allowed() {
        let mut jitter = Jitter::default();
        let kept = (0..50).filter(|n| put(&mut jitter, n * 160, 160) == Put::Kept).count();
        assert!(kept < 50);
        let mut frames = 0;
        while loud(&mut jitter) > 0 || frames < 2 {
            frames += 1;
        }
        assert!(frames <= 6, "{frames}");
    }

    #[test]
    fn a_slow_clock_and_a_pause_begin_anew() {
        let mut jitter = Jitter::default();
        put(&mut jitter, 0, 160);
        assert_eq!((0..5).map(|_| loud(&mut jitter)).sum::<usize>(), 160);
        // 160 was due long ago, but nobody was kept waiting: it is heard.
        assert_eq!(put(&mut jitter, 160, 160), Put::Kept);
        assert_eq!((0..5).map(|_| loud(&mut jitter)).sum::<usize>(), 160);
        // What was heard already is late.
        assert_eq!(put(&mut jitter, 0, 160), Put::Late);
        for _ in 0..60 {
            jitter.take();
        }
        assert_eq!(jitter.take(), None);
    }

    #[test]
    fn any_packets_in_any_order_never_panic() {
        let mut dice = fastrand::Rng::with_seed(11);
        let mut jitter = Jitter::default();
        for _ in 0..100_000 {
            let near = jitter.next.wrapping_add(dice.u32(..4_000)).wrapping_sub(2_000);
            let timestamp = if dice.u8(..10) == 0 { dice.u32(..) } else { near };
            let payload = vec![LOUD; dice.usize(..2_000)];
            jitter.put(Header { ssrc: dice.u32(..2), ..heard(0, timestamp) }, Codec::Pcma, &payload);
            if dice.bool() {
                jitter.take();
            }
            assert!(!jitter.talking || jitter.end.wrapping_sub(jitter.next) as i32 <= RING_SAMPLES as i32);
        }
    }
}
