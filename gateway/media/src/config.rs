//! What the media plane is told at start. Read once, never changed.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// How to run the media plane.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// The local address all RTP sockets bind to.
    pub ip: IpAddr,
    /// The ports that may be used, one per leg; even ones are given out first (RFC 3550, 11). The default lies below the
    /// range from which Linux gives ports to anybody.
    pub ports: RangeInclusive<u16>,
    /// Media threads; calls are spread over them. One carries some thousands of legs.
    pub threads: usize,
    /// A folder of `NAME.wav` files (8 kHz, mono, 16 bit) that can be played as `NAME`.
    pub prompts: Option<PathBuf>,
    /// After how long without RTP a far end that should be sending is reported; 0 is never.
    pub silent_ms: u32,
    /// How many events may wait for the gateway; more are dropped and counted.
    pub events_max: usize,
    /// SO_RCVBUF of each socket; the kernel keeps at most about twice that per leg.
    pub receive_buffer_bytes: usize,
}

impl Default for MediaConfig {
    fn default() -> Self {
        MediaConfig {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: 16_384..=32_767,
            threads: 1,
            prompts: None,
            silent_ms: 0,
            events_max: 16_384,
            receive_buffer_bytes: 16 * 1024,
        }
    }
}
