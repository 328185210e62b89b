//! One leg on its media thread: its far end, what it hears and what it sends. Decides about packets; does not read or write them.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::announcement::Announcement;
use crate::api::{Codec, MediaKey, Remote};
use crate::latch::{Latch, Verdict};
use crate::prompt::Prompt;
use crate::rtp::{self, Header};
use crate::srtp::Protection;
use crate::stream::Outgoing;
use crate::telephone_event::{self, Press, Receiver};

/// RFC 3389.
const COMFORT_NOISE: u8 = 13;

/// Everything about a leg but its socket.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) key: MediaKey,
    pub(crate) far_end: Option<FarEnd>,
    pub(crate) feed: Feed,
    /// An announcement that its far end hears instead of the feed.
    pub(crate) saying: Option<Announcement>,
    pub(crate) outgoing: Outgoing,
    protection: Option<Box<Protection>>,
    /// The number of the last announcement.
    said: Option<u32>,
    digits: Receiver,
    digits_ssrc: u32,
    silence_told: bool,
}

/// Who is heard by the leg's far end.
#[derive(Debug)]
pub(crate) enum Feed {
    /// Nobody.
    Nothing,
    /// A prompt, by the wheel.
    Prompt(Arc<Prompt>),
    /// The far end of the leg with this index.
    Peer(u32),
    /// The others of the conference with this index.
    Conference(u32),
}

/// The far end, as it was told and as it is.
#[derive(Debug)]
pub(crate) struct FarEnd {
    pub(crate) remote: Remote,
    latch: Latch,
    /// The last valid packet, or since when one is expected.
    heard_ms: u64,
}

/// What a received datagram was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// Sound.
    Audio { header: Header, codec: Codec, payload: &'a [u8] },
    /// A report of a key, and the press that ended by it.
    Event { header: Header, payload: &'a [u8], press: Option<Press> },
    /// From the far end, but nothing to pass on.
    Noise { header: Header },
    /// The far end sends although it said that it would not.
    Unasked,
    /// RTCP.
    Rtcp,
    /// No far end is known.
    Early,
    /// Valid, but from somebody else.
    Stranger,
    /// Not RTP, or of an unknown payload type.
    Bad,
}

/// A packet that SRTP does not let through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl Leg {
    pub(crate) fn new(key: MediaKey, dice: [u8; 12]) -> Leg {
        Leg {
            key,
            far_end: None,
            feed: Feed::Nothing,
            saying: None,
            outgoing: Outgoing::new(dice),
            protection: None,
            said: None,
            digits: Receiver::default(),
            digits_ssrc: 0,
            silence_told: false,
        }
    }

    /// Ends what the far end hears, an announcement too; says what it was.
    pub(crate) fn unplug(&mut self) -> Feed {
        self.saying = None;
        self.outgoing.pause();
        std::mem::replace(&mut self.feed, Feed::Nothing)
    }

    /// Begins an announcement in place of the one before; the same number again changes nothing.
    pub(crate) fn say(&mut self, number: u32, announcement: Option<Announcement>) {
        if self.said != Some(number) {
            self.said = Some(number);
            self.saying = announcement;
        }
    }

    /// Whether frames must be made for it every 20 ms.
    pub(crate) fn is_played_to(&self) -> bool {
        self.saying.is_some() || matches!(self.feed, Feed::Prompt(_))
    }

    /// The far end's SDP; the same again changes nothing.
    pub(crate) fn connect(&mut self, now_ms: u64, remote: Remote) {
        self.protection = match (self.protection.take(), remote.srtp) {
            (Some(mut protection), Some(keys)) => {
                protection.rekey(keys);
                Some(protection)
            }
            (None, Some(keys)) => Protection::new(keys).map(Box::new),
            (_, None) => None,
        };
        let Some(far_end) = &mut self.far_end else {
            self.far_end = Some(FarEnd { remote, latch: Latch::new(remote.address), heard_ms: now_ms });
            return;
        };
        if far_end.remote == remote {
            return;
        }
        if !far_end.remote.direction.far_end_sends() {
            far_end.heard_ms = now_ms;
        }
        far_end.latch.reconnect(remote.address);
        far_end.remote = remote;
        self.silence_told = false;
        if !remote.direction.far_end_listens() {
            self.outgoing.pause();
        }
    }

    /// What a datagram of a leg with SRTP says; others are as they are. `None`: somebody else's, forged, or said before. RTCP is not
    /// looked at, so it stays protected.
    pub(crate) fn unprotect(
        &mut self,
        now_ms: u64,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<Option<Vec<u8>>, Refused> {
        let Some(protection) = self.protection.as_mut().filter(|_| !rtp::is_rtcp(datagram)) else { return Ok(None) };
        if !self.far_end.as_ref().is_some_and(|far_end| far_end.latch.might_be(now_ms, from)) {
            return Err(Refused);
        }
        protection.unprotect(datagram).map(Some).ok_or(Refused)
    }

    /// What is sent in place of a packet when SRTP was agreed.
    pub(crate) fn protect(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        let Some(protection) = &mut self.protection else { return Ok(None) };
        protection.protect(packet).map(Some).ok_or(Refused)
    }

    /// Judges a datagram.
    pub(crate) fn hear<'a>(&mut self, now_ms: u64, from: SocketAddr, datagram: &'a [u8]) -> Heard<'a> {
        if rtp::is_rtcp(datagram) {
            return Heard::Rtcp;
        }
        let Some(far_end) = &mut self.far_end else { return Heard::Early };
        let Some(packet) = rtp::parse(datagram) else { return Heard::Bad };
        let header = packet.header;
        let is_event = far_end.remote.dtmf_payload == Some(header.payload_type);
        let codec = Codec::of_payload_type(header.payload_type);
        if !is_event && codec.is_none() && header.payload_type != COMFORT_NOISE {
            return Heard::Bad;
        }
        match far_end.latch.judge(now_ms, from) {
            Verdict::Stranger => return Heard::Stranger,
            Verdict::Accept => {}
            Verdict::Latch => tracing::trace!(call = self.key.call, leg = self.key.leg, "RTP source latched"),
        }
        far_end.heard_ms = now_ms;
        self.silence_told = false;
        if !far_end.remote.direction.far_end_sends() {
            return Heard::Unasked;
        }
        match codec {
            _ if is_event => {
                Heard::Event { header, payload: packet.payload, press: self.key_report(now_ms, header, packet.payload) }
            }
            Some(codec) if !packet.payload.is_empty() => Heard::Audio { header, codec, payload: packet.payload },
            Some(_) | None => Heard::Noise { header },
        }
    }

    /// Whether a key is down, so that [`Leg::expire_press`] must be asked.
    pub(crate) fn is_key_down(&self) -> bool {
        self.digits.is_pressed()
    }

    /// A press whose end was lost.
    pub(crate) fn expire_press(&mut self, now_ms: u64) -> Option<Press> {
        self.digits.expire(now_ms)
    }

    /// For how long a far end that should be sending has been silent, the first time that this exceeds `silent_ms`.
    pub(crate) fn fresh_silence(&mut self, now_ms: u64, silent_ms: u64) -> Option<u64> {
        let far_end = self.far_end.as_ref()?;
        let for_ms = now_ms.saturating_sub(far_end.heard_ms);
        if self.silence_told || for_ms < silent_ms || !far_end.remote.direction.far_end_sends() {
            return None;
        }
        self.silence_told = true;
        Some(for_ms)
    }

    /// Where sound for the far end goes and in which law; `None` while it is unknown or does not listen.
    pub(crate) fn listener(&self) -> Option<(SocketAddr, Remote)> {
        let far_end = self.far_end.as_ref()?;
        let listens = far_end.remote.direction.far_end_listens();
        far_end.latch.destination().filter(|_| listens).map(|destination| (destination, far_end.remote))
    }

    fn key_report(&mut self, now_ms: u64, header: Header, payload: &[u8]) -> Option<Press> {
        let report = telephone_event::parse(payload)?;
        if header.ssrc != self.digits_ssrc {
            // Another source has other timestamps: nothing can be compared. Its own press is told again by its next packet.
            self.digits_ssrc = header.ssrc;
            let unfinished = std::mem::take(&mut self.digits).expire(u64::MAX);
            if unfinished.is_some() {
                return unfinished;
            }
        }
        self.digits.receive(now_ms, header.marker, header.timestamp, report)
    }
}
