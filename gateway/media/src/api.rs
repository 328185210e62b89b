//! The words between the gateway and its media: keys, remotes, events, and the trait a media plane fulfils. No behaviour here.

use std::net::SocketAddr;

use crate::error::MediaError;

/// One leg of one call. All legs of a call are served by the same media thread, so that they can be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaKey {
    /// The call.
    pub call: u64,
    /// The leg within the call; the caller is 1.
    pub leg: u32,
}

/// A G.711 companding law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// mu-law, RTP payload type 0.
    Pcmu,
    /// A-law, RTP payload type 8.
    Pcma,
}

impl Codec {
    /// The static RTP payload type, RFC 3551.
    pub const fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
        }
    }

    /// The codec of a static RTP payload type.
    pub const fn of_payload_type(payload_type: u8) -> Option<Codec> {
        match payload_type {
            0 => Some(Codec::Pcmu),
            8 => Some(Codec::Pcma),
            _ => None,
        }
    }
}

/// Which way media flows, **as the far end wrote it in its own SDP**: `SendOnly` means the far end sends and does not listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The far end sends and listens.
    SendRecv,
    /// The far end sends and does not listen (it has put us on hold).
    SendOnly,
    /// The far end listens and does not send.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether the far end wants to hear us.
    pub const fn far_end_listens(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// Whether the far end is expected to send.
    pub const fn far_end_sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }
}

/// The far end of a leg, as its SDP described it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where its SDP says that it receives RTP.
    pub address: SocketAddr,
    /// What it wants to be sent. Both laws are understood from it whatever this says.
    pub codec: Codec,
    /// The payload type of telephone-event (RFC 4733) if it was negotiated.
    pub dtmf_payload: Option<u8>,
    /// Its own view of the direction.
    pub direction: Direction,
    /// The keys when SRTP was agreed; `None` is plain RTP.
    pub srtp: Option<Srtp>,
}

/// Master keys of AES_CM_128_HMAC_SHA1_80 (RFC 3711), each 16 octets of key and 14 of salt, as SDES carries them (RFC 4568, 6.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Srtp {
    /// Of what we send.
    pub ours: [u8; 30],
    /// Of what the far end sends.
    pub theirs: [u8; 30],
}

impl std::fmt::Debug for Srtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Srtp")
    }
}

/// What the media plane tells the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// The far end pressed a key and let go of it. Once per press.
    Digit {
        /// Whose leg.
        key: MediaKey,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long it was held, as far as was heard.
        duration_ms: u32,
    },
    /// A far end that should be sending has not been heard. Once per silence.
    Silent {
        /// Whose leg.
        key: MediaKey,
        /// Since the last valid packet, or since it was connected.
        for_ms: u32,
    },
}

/// The bounded stream of events: `recv().await` in async code, `blocking_recv()` on a thread.
pub type MediaEvents = tokio::sync::mpsc::Receiver<MediaEvent>;

/// What the gateway needs from whoever carries the media: the built-in [`crate::MediaPlane`], or a relay beside it.
pub trait Media: Send + Sync {
    /// Reserves a port for a leg and says which. Asked again for the same leg it says the same port.
    fn open(&self, key: MediaKey) -> Result<u16, MediaError>;
    /// Tells where the far end is, or what has changed about it.
    fn connect(&self, key: MediaKey, remote: Remote);
    /// Plays a prompt in a loop until told otherwise.
    fn play(&self, key: MediaKey, prompt: &str);
    /// Bridges two legs both ways.
    fn join(&self, a: MediaKey, b: MediaKey);
    /// A conference of exactly these 2 to 8 legs of one call: each hears the others. Who was in it and is not named hears nothing.
    fn meet(&self, legs: &[MediaKey]);
    /// Says prompts once, in order, in place of what the leg hears, which goes on behind them. The same number again is nothing.
    fn say(&self, key: MediaKey, number: u32, parts: &[String]);
    /// Neither plays nor is joined; digits are still heard.
    fn silence(&self, key: MediaKey);
    /// Frees the leg and its port.
    fn close(&self, key: MediaKey);
}
