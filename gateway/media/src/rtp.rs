//! RTP packets, RFC 3550: parsing with every bound checked, and writing. Never allocates, keeps no state.

/// The fixed header without contributing sources.
pub const HEADER_BYTES: usize = 12;

/// The fields of a header that we read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Marker: the first packet of a talk spurt or of an event.
    pub marker: bool,
    /// Payload type, 0-127.
    pub payload_type: u8,
    /// One more for each packet sent.
    pub sequence: u16,
    /// In samples of the media clock, 8,000 a second here.
    pub timestamp: u32,
    /// The sender's synchronisation source.
    pub ssrc: u32,
}

/// A parsed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The header.
    pub header: Header,
    /// What is left without header, contributing sources, extension and padding. May be empty.
    pub payload: &'a [u8],
}

/// Whether this is RTCP on the RTP port. RFC 5761, 4: the second octet tells them apart.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..] if first >> 6 == 2 && (192..=223).contains(second))
}

/// Reads a packet; `None` if it is not RTP version 2 or contradicts its own length. RFC 3550, A.1.
pub fn parse(bytes: &[u8]) -> Option<Packet<'_>> {
    let (fixed, mut rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [flags, kind, s1, s0, t3, t2, t1, t0, c3, c2, c1, c0] = *fixed;
    if flags >> 6 != 2 {
        return None;
    }
    rest = rest.get(usize::from(flags & 0x0F) * 4..)?;
    if flags & 0x10 != 0 {
        let ([_, _, words_high, words_low], after) = rest.split_first_chunk::<4>()?;
        rest = after.get(usize::from(u16::from_be_bytes([*words_high, *words_low])) * 4..)?;
    }
    if flags & 0x20 != 0 {
        // The last octet counts the padding, itself included.
        let padding = usize::from(*rest.last()?);
        if padding == 0 {
            return None;
        }
        rest = rest.get(..rest.len().checked_sub(padding)?)?;
    }
    let header = Header {
        marker: kind & 0x80 != 0,
        payload_type: kind & 0x7F,
        sequence: u16::from_be_bytes([s1, s0]),
        timestamp: u32::from_be_bytes([t3, t2, t1, t0]),
        ssrc: u32::from_be_bytes([c3, c2, c1, c0]),
    };
    Some(Packet { header, payload: rest })
}

impl Header {
    /// The twelve octets on the wire.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [s1, s0] = self.sequence.to_be_bytes();
        let [t3, t2, t1, t0] = self.timestamp.to_be_bytes();
        let [c3, c2, c1, c0] = self.ssrc.to_be_bytes();
        let kind = (self.payload_type & 0x7F) | if self.marker { 0x80 } else { 0 };
        [0x80, kind, s1, s0, t3, t2, t1, t0, c3, c2, c1, c0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { marker: true, payload_type: 101, sequence: 0xFFFE, timestamp: 0xDEAD_BEEF, ssrc: 7 };

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = HEADER.to_bytes().to_vec();
        bytes.extend_from_slice(b"payload");
        assert_eq!(parse(&bytes), Some(Packet { header: HEADER, payload: b"payload" }));
        assert!(!is_rtcp(&bytes));
    }

    #[test]
    fn sources_extension_and_padding_are_stepped_over() {
        let mut bytes = HEADER.to_bytes().to_vec();
        bytes[0] = 0x80 | 0x20 | 0x10 | 2;
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[0xBE, 0xDE, 0, 1, 1, 2, 3, 4]);
        bytes.extend_from_slice(b"payload");
        bytes.extend_from_slice(&[0, 0, 3]);
        assert_eq!(parse(&bytes).map(|packet| packet.payload), Some(&b"payload"[..]));
    }

    #[test]
    fn a_packet_that_contradicts_its_length_is_not_rtp() {
        let header = HEADER.to_bytes();
        assert_eq!(parse(&header[..11]), None);
        let with = |flags: u8, tail: &[u8]| {
            let mut bytes = header.to_vec();
            bytes[0] = flags;
            bytes.extend_from_slice(tail);
            parse(&bytes).is_some()
        };
        assert!(!with(0x40, b"version 1"));
        assert!(!with(0x8F, b"fifteen sources?"));
        assert!(!with(0x90, &[0, 0, 0xFF, 0xFF]));
        assert!(!with(0x90, &[0, 0]));
        assert!(!with(0xA0, &[]));
        assert!(!with(0xA0, &[1, 2, 0]));
        assert!(!with(0xA0, &[1, 2, 4]));
        assert!(with(0xA0, &[1, 2, 3]));
    }

    #[test]
    fn rtcp_on_the_same_port_is_recognised() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(is_rtcp(&[0x81, 203, 0, 1]));
        assert!(!is_rtcp(&[0x80]));
        assert!(!is_rtcp(&[0x80, 0x80 | 8]));
    }

    #[test]
    fn garbage_never_panics() {
        let mut dice = fastrand::Rng::with_seed(42);
        let mut buffer = [0u8; 64];
        for _ in 0..200_000 {
            let length = dice.usize(..=buffer.len());
            dice.fill(&mut buffer);
            buffer[0] = (buffer[0] & 0x3F) | if dice.bool() { 0x80 } else { 0 };
            if let Some(packet) = parse(&buffer[..length]) {
                assert!(packet.payload.len() + HEADER_BYTES <= length);
            }
            let _ = is_rtcp(&buffer[..length]);
        }
    }
}
