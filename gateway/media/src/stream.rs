//! What one leg sends, as one unbroken RTP stream whatever feeds it: own SSRC, sequence and timestamps. Pure; does not see payloads.

use crate::rtp::Header;

/// 20 ms at 8 kHz.
pub const FRAME_SAMPLES: u32 = 160;

// RFC 3550, A.1: beyond these a source has restarted.
const DROPOUT_MAX: i16 = 3_000;
const MISORDER_MAX: i16 = 100;
const JUMP_FORWARD_SAMPLES_MAX: i32 = 60 * 8_000;
const JUMP_BACK_SAMPLES_MAX: i32 = 10 * 8_000;

/// The outgoing stream of a leg.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    ssrc: u32,
    /// What our clock's zero is in this stream.
    offset: u32,
    /// The highest that was sent.
    last_sequence: u16,
    /// The highest that was sent.
    last_timestamp: u32,
    feed: Feed,
}

/// Who feeds the stream.
#[derive(Clone, Copy, Debug)]
enum Feed {
    /// Nobody; whoever comes next begins a talk spurt.
    Nobody,
    /// Our own frames, every 20 ms.
    Clock,
    /// Packets of another leg's far end.
    Relay(Relay),
}

/// How a far end's numbers become ours.
#[derive(Clone, Copy, Debug)]
struct Relay {
    ssrc: u32,
    in_sequence: u16,
    in_timestamp: u32,
    out_sequence: u16,
    out_timestamp: u32,
    /// Packets before this one came too late for the numbers that we have given out.
    floor: u16,
}

impl Outgoing {
    /// A stream from dice: RFC 3550 wants SSRC and both beginnings unpredictable.
    pub fn new(dice: [u8; 12]) -> Outgoing {
        let [s0, s1, s2, s3, t0, t1, t2, t3, q0, q1, _, _] = dice;
        let offset = u32::from_be_bytes([t0, t1, t2, t3]);
        Outgoing {
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            offset,
            last_sequence: u16::from_be_bytes([q0, q1]),
            last_timestamp: offset.wrapping_sub(FRAME_SAMPLES),
            feed: Feed::Nobody,
        }
    }

    /// The feed stops (hold, silence, another feed): the next packet carries the marker.
    pub fn pause(&mut self) {
        self.feed = Feed::Nobody;
    }

    /// The header of our own next frame. `clock` is our time in samples.
    pub fn frame(&mut self, clock: u64, payload_type: u8) -> Header {
        let marker = !matches!(self.feed, Feed::Clock);
        let timestamp = self.forward_timestamp(clock);
        self.feed = Feed::Clock;
        self.last_timestamp = timestamp;
        self.last_sequence = self.last_sequence.wrapping_add(1);
        Header { marker, payload_type, sequence: self.last_sequence, timestamp, ssrc: self.ssrc }
    }

    /// The header for a packet of another leg's far end; gaps and disorder in it stay as they are. `None`: too late to be sent.
    pub fn relay(&mut self, clock: u64, heard: Header, payload_type: u8) -> Option<Header> {
        let Some((mut relay, sequence_step, timestamp_step)) = self.following(heard) else {
            return Some(self.begin_relay(clock, heard, payload_type));
        };
        if (heard.sequence.wrapping_sub(relay.floor) as i16) < 0 {
            return None;
        }
        let sequence = relay.out_sequence.wrapping_add(sequence_step as u16);
        let timestamp = relay.out_timestamp.wrapping_add(timestamp_step as u32);
        if sequence_step > 0 {
            relay.in_sequence = heard.sequence;
            relay.in_timestamp = heard.timestamp;
            relay.out_sequence = sequence;
            relay.out_timestamp = timestamp;
            self.last_sequence = sequence;
            self.feed = Feed::Relay(relay);
        }
        if (timestamp.wrapping_sub(self.last_timestamp) as i32) > 0 {
            self.last_timestamp = timestamp;
        }
        Some(Header { marker: heard.marker, payload_type, sequence, timestamp, ssrc: self.ssrc })
    }

    /// A packet of the far end that is not sent on (an event that the other side does not know) leaves no gap in the sequence.
    pub fn swallow(&mut self, heard: Header) {
        let Some((mut relay, sequence_step, timestamp_step)) = self.following(heard) else { return };
        if sequence_step > 0 {
            relay.in_sequence = heard.sequence;
            relay.in_timestamp = heard.timestamp;
            relay.out_sequence = relay.out_sequence.wrapping_add(sequence_step as u16).wrapping_sub(1);
            relay.out_timestamp = relay.out_timestamp.wrapping_add(timestamp_step as u32);
            relay.floor = heard.sequence;
            self.last_sequence = relay.out_sequence;
            self.feed = Feed::Relay(relay);
        }
    }

    /// The relay that this packet goes on with, and how far it is from the newest in sequence and time.
    fn following(&self, heard: Header) -> Option<(Relay, i16, i32)> {
        let Feed::Relay(relay) = self.feed else { return None };
        let sequence_step = heard.sequence.wrapping_sub(relay.in_sequence) as i16;
        let timestamp_step = heard.timestamp.wrapping_sub(relay.in_timestamp) as i32;
        let same = heard.ssrc == relay.ssrc
            && (-MISORDER_MAX..DROPOUT_MAX).contains(&sequence_step)
            && (-JUMP_BACK_SAMPLES_MAX..JUMP_FORWARD_SAMPLES_MAX).contains(&timestamp_step);
        same.then_some((relay, sequence_step, timestamp_step))
    }

    fn begin_relay(&mut self, clock: u64, heard: Header, payload_type: u8) -> Header {
        let timestamp = self.forward_timestamp(clock);
        let sequence = self.last_sequence.wrapping_add(1);
        self.last_timestamp = timestamp;
        self.last_sequence = sequence;
        self.feed = Feed::Relay(Relay {
            ssrc: heard.ssrc,
            in_sequence: heard.sequence,
            in_timestamp: heard.timestamp,
            out_sequence: sequence,
            out_timestamp: timestamp,
            floor: heard.sequence,
        });
        Header { marker: true, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// Our clock in this stream, but never behind what was sent: a far end's clock may have run faster than ours.
    fn forward_timestamp(&mut self, clock: u64) -> u32 {
        let timestamp = self.offset.wrapping_add(clock as u32);
        let earliest = self.last_timestamp.wrapping_add(FRAME_SAMPLES);
        if (timestamp.wrapping_sub(earliest) as i32) >= 0 {
            return timestamp;
        }
        self.offset = self.offset.wrapping_add(earliest.wrapping_sub(timestamp));
        earliest
    }
}

#[cfg(test)]
mod tests;
