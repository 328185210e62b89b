//! SRTP of one leg (RFC 3711, AES_CM_128_HMAC_SHA1_80) around `sipx-rtp`'s transform, which knows one source and one direction: which
//! context a packet is for, and what a gateway that takes a leg over does not know. Pure; bounded whatever is forged.

use sipx_rtp::srtp::{Context, Profile};

use crate::api::Srtp;
use crate::rtp::{self, HEADER_BYTES, Header};

/// Sources of one far end that are kept; a far end that goes on to another replaces the one that it left first.
const SOURCES_MAX: usize = 4;
/// RFC 3711, 3.3.1: the rollover count is not sent. A stream that is taken over after N x 65,536 packets is found by trying; so many counts
/// of 20 ms packets are almost three hours.
const ROLLOVERS_TRIED_MAX: usize = 8;
/// Packets of a known source in a row that are not authentic, until its rollover count is looked for anew.
const REFUSED_IN_A_ROW_MAX: u32 = 50;
const KEY_BYTES: usize = 16;

/// Both directions of a leg.
#[derive(Debug)]
pub(crate) struct Protection {
    keys: Srtp,
    sending: Context,
    /// The newest sequence number that was sent.
    newest: Option<u16>,
    sources: Vec<Source>,
}

/// A source that has proven that it knows the key.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    context: Context,
    refused: u32,
}

impl Protection {
    /// With the keys that were agreed. `None` cannot happen: keys have the length that the transform wants.
    pub(crate) fn new(keys: Srtp) -> Option<Protection> {
        Some(Protection { keys, sending: context(&keys.ours)?, newest: None, sources: Vec::new() })
    }

    /// Other keys: a direction whose key stays goes on as it was.
    pub(crate) fn rekey(&mut self, keys: Srtp) {
        if keys.ours != self.keys.ours
            && let Some(sending) = context(&keys.ours)
        {
            self.sending = sending;
            self.newest = None;
        }
        if keys.theirs != self.keys.theirs {
            self.sources.clear();
        }
        self.keys = keys;
    }

    /// The packet as it is sent. `None`: a straggler from before the sequence began anew, which cannot be sent any more.
    pub(crate) fn protect(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let sequence = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
        let ahead = self.newest.map_or(1, |newest| sequence.wrapping_sub(newest) as i16);
        if ahead < 0 && self.newest.is_some_and(|newest| sequence > newest) {
            return None;
        }
        if ahead > 0 {
            self.newest = Some(sequence);
        }
        self.sending.protect(packet).ok()
    }

    /// What an authentic packet says, each once. `None`: forged, said before, or no RTP.
    pub(crate) fn unprotect(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let header = rtp::parse(packet)?.header;
        if let Some(source) = self.sources.iter_mut().find(|source| source.ssrc == header.ssrc) {
            let plain = source.context.unprotect(packet).ok();
            source.refused = if plain.is_some() { 0 } else { source.refused + 1 };
            if plain.is_some() || source.refused < REFUSED_IN_A_ROW_MAX {
                return plain;
            }
            source.refused = 0;
        }
        let (context, plain) = find_rollover(&self.keys.theirs, header, packet)?;
        self.sources.retain(|source| source.ssrc != header.ssrc);
        if self.sources.len() >= SOURCES_MAX {
            self.sources.remove(0);
        }
        self.sources.push(Source { ssrc: header.ssrc, context, refused: 0 });
        Some(plain)
    }
}

fn context(key: &[u8; 30]) -> Option<Context> {
    let (key, salt) = key.split_at(KEY_BYTES);
    Context::new(Profile::AesCm128HmacSha1_80, key, salt).ok()
}

/// A context at the rollover count with which the packet is authentic. The count of a context follows what it protects, so it is moved on
/// by protecting headers that are thrown away; nothing of that is remembered but the count.
fn find_rollover(key: &[u8; 30], header: Header, packet: &[u8]) -> Option<(Context, Vec<u8>)> {
    let mut context = context(key)?;
    for _ in 0..ROLLOVERS_TRIED_MAX {
        if let Ok(plain) = context.unprotect(packet) {
            return Some((context, plain));
        }
        // To the next count, and right before the packet: its own number may be a count behind otherwise.
        for sequence in [u16::MAX, 0, header.sequence.saturating_sub(1)] {
            let step: [u8; HEADER_BYTES] = Header { sequence, ..header }.to_bytes();
            context.protect(&step).ok()?;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Srtp = Srtp { ours: [1; 30], theirs: [2; 30] };
    const MIRRORED: Srtp = Srtp { ours: KEYS.theirs, theirs: KEYS.ours };

    fn pair() -> (Protection, Protection) {
        (Protection::new(KEYS).expect("keys"), Protection::new(MIRRORED).expect("keys"))
    }

    fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
        let header = Header { marker: false, payload_type: 8, sequence, timestamp: 160, ssrc };
        let mut packet = header.to_bytes().to_vec();
        packet.extend_from_slice(&[0x55; 160]);
        packet
    }

    #[test]
    fn what_is_protected_is_read_by_who_has_the_key_and_once() {
        let (mut here, mut there) = pair();
        let plain = packet(7, 10);
        let sent = here.protect(&plain).expect("sent");
        assert_eq!(sent.len(), plain.len() + 10);
        assert_ne!(sent[12..172], plain[12..172]);
        let mut altered = sent.clone();
        altered[20] ^= 1;
        assert_eq!(there.unprotect(&altered), None);
        assert_eq!(there.unprotect(&plain), None);
        assert_eq!(there.unprotect(&sent), Some(plain));
        assert_eq!(there.unprotect(&sent), None, "a replay");
        assert_eq!(here.unprotect(&sent), None, "each direction has its own key");
    }

    #[test]
    fn a_packet_is_the_one_that_libsrtp_makes() {
        // The master key of RFC 3711, B.3, and the reference packet of libsrtp's own test.
        let key = [
            0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39, 0x0E, 0xC6,
            0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6,
        ];
        let mut here = Protection::new(Srtp { ours: key, theirs: key }).expect("keys");
        let mut plain = vec![0x80, 0x0F, 0x12, 0x34, 0xDE, 0xCA, 0xFB, 0xAD, 0xCA, 0xFE, 0xBA, 0xBE];
        plain.extend_from_slice(&[0xAB; 16]);
        let expected = [
            0x80, 0x0F, 0x12, 0x34, 0xDE, 0xCA, 0xFB, 0xAD, 0xCA, 0xFE, 0xBA, 0xBE, 0x4E, 0x55, 0xDC, 0x4C, 0xE7, 0x99,
            0x78, 0xD8, 0x8C, 0xA4, 0xD2, 0x15, 0x94, 0x9D, 0x24, 0x02, 0xB7, 0x8D, 0x6A, 0xCC, 0x99, 0xEA, 0x17, 0x9B,
            0x8D, 0xBB,
        ];
        assert_eq!(here.protect(&plain).expect("sent"), expected);
    }

    #[test]
    fn a_stream_is_followed_over_its_rollovers_by_who_heard_it_and_by_who_takes_over() {
        let (mut far_end, mut former) = pair();
        let mut sequence = 60_000u16;
        let mut last = Vec::new();
        // Three times around, in steps as large as loss may make them.
        for _ in 0..200 {
            let plain = packet(7, sequence);
            last = far_end.protect(&plain).expect("sent");
            assert_eq!(former.unprotect(&last), Some(plain));
            sequence = sequence.wrapping_add(1_000);
        }
        let (_, mut successor) = pair();
        assert!(successor.unprotect(&last).is_some());
        let next = far_end.protect(&packet(7, sequence)).expect("sent");
        assert!(successor.unprotect(&next).is_some());
        assert!(successor.unprotect(&next).is_none());
    }

    #[test]
    fn a_straggler_across_the_rollover_is_left_out_and_harms_nothing() {
        let (mut here, mut there) = pair();
        for (sequence, goes) in [(65_534, true), (0, true), (65_535, false), (1, true), (0, true), (2, true)] {
            let sent = here.protect(&packet(7, sequence));
            assert_eq!(sent.is_some(), goes, "{sequence}");
            sent.and_then(|sent| there.unprotect(&sent));
        }
        let sent = here.protect(&packet(7, 3)).expect("sent");
        assert!(there.unprotect(&sent).is_some());
    }

    #[test]
    fn sources_are_few_and_only_proven_ones_are_kept() {
        let (mut here, mut there) = pair();
        for ssrc in 0..100 {
            let mut forged = here.protect(&packet(1_000 + ssrc, 1)).expect("sent");
            forged[30] ^= 1;
            assert_eq!(there.unprotect(&forged), None);
        }
        assert!(there.sources.is_empty());
        for ssrc in 0..10 {
            let (mut other, _) = pair();
            assert!(there.unprotect(&other.protect(&packet(ssrc, 1)).expect("sent")).is_some());
        }
        assert_eq!(there.sources.len(), SOURCES_MAX);
        there.rekey(Srtp { theirs: [9; 30], ..MIRRORED });
        assert!(there.sources.is_empty());
    }
}
