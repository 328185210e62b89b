//! Offer and answer (RFC 3264) for one G.711 audio stream with RFC 4733 digits, plain or as SRTP (RFC 4568).
//! Parsing is `sipx-sdp`'s, its types stay here. Never resolves names: an SDP address is an IP address.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::config::Limits;
use crate::sdes::{self, Crypto};
use crate::types::{Codec, Direction, LocalMedia, RemoteMedia};
use crate::write::number;

/// Payload type of telephone events in our own offers.
const DTMF_PAYLOAD: u8 = 101;
const PTIME_MS_MAX: u16 = 200;
const PLAIN: &str = "RTP/AVP";
const SECURE: &str = "RTP/SAVP";
/// The tag of our only `crypto` attribute.
const CRYPTO_TAG: u32 = 1;

/// Why a session description cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SdpProblem {
    /// 400.
    Malformed,
    /// 488.
    NothingInCommon,
}

/// A description of the far end, reduced to what we answer.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// Every stream in order: kind, protocol, formats; the answer must name them all.
    streams: Vec<Stream>,
    /// Which of them is ours.
    chosen: usize,
    /// The tag of its `crypto` attribute; the answer repeats it.
    crypto_tag: u32,
    pub(crate) media: RemoteMedia,
}

impl Description {
    /// The streams as the passport keeps them, and which of them is ours.
    pub(crate) fn streams(&self) -> (Vec<String>, usize, u32) {
        let line = |stream: &Stream| format!("{} {} {}", stream.kind, stream.protocol, stream.formats);
        (self.streams.iter().map(line).collect(), self.chosen, self.crypto_tag)
    }

    /// From what `streams` wrote and the audio of the chosen one.
    pub(crate) fn restore(streams: &[String], chosen: usize, crypto_tag: u32, media: RemoteMedia) -> Option<Self> {
        let stream = |line: &String| {
            let mut parts = line.splitn(3, ' ').map(str::to_owned);
            let (kind, protocol, formats) = (parts.next()?, parts.next()?, parts.next()?);
            (!line.chars().any(char::is_control)).then_some(Stream { kind, protocol, formats })
        };
        let streams: Vec<Stream> = streams.iter().map(stream).collect::<Option<_>>()?;
        (chosen < streams.len()).then_some(Self { streams, chosen, crypto_tag, media })
    }
}

#[derive(Debug, Clone)]
struct Stream {
    kind: String,
    protocol: String,
    formats: String,
}

/// Reads an offer or an answer.
pub(crate) fn read(body: &[u8], limits: &Limits) -> Result<Description, SdpProblem> {
    let text = std::str::from_utf8(body).map_err(|_| SdpProblem::Malformed)?;
    let sdp = sipx_sdp::parse(text).map_err(|_| SdpProblem::Malformed)?;
    if sdp.media.is_empty() || sdp.media.len() > limits.streams_max {
        return Err(SdpProblem::NothingInCommon);
    }
    let found = sdp.media.iter().enumerate().find_map(|(index, media)| Some((index, audio(&sdp, media)?)));
    let (chosen, (media, crypto_tag)) = found.ok_or(SdpProblem::NothingInCommon)?;
    let streams = sdp
        .media
        .into_iter()
        .map(|media| Stream { kind: media.media, protocol: media.protocol, formats: media.formats.join(" ") })
        .collect();
    Ok(Description { streams, chosen, crypto_tag, media })
}

impl Description {
    /// An offer is taken when keys in it may travel as they did, and when we have one to answer with.
    pub(crate) fn permitted(self, keys_may_travel: bool) -> Result<Self, SdpProblem> {
        if self.media.crypto.is_some() && !keys_may_travel { Err(SdpProblem::NothingInCommon) } else { Ok(self) }
    }

    /// An answer is one to our offer: SRTP exactly when that had keys (RFC 3264 6: the same protocol).
    pub(crate) fn answers(self, offered: Option<LocalMedia>) -> Result<Self, SdpProblem> {
        let keys = offered.is_some_and(|local| local.crypto.is_some());
        if self.media.crypto.is_some() == keys { Ok(self) } else { Err(SdpProblem::NothingInCommon) }
    }
}

/// The far end's audio, if this stream is one that we can take part in.
fn audio(sdp: &sipx_sdp::SessionDescription, media: &sipx_sdp::MediaDescription) -> Option<(RemoteMedia, u32)> {
    if !media.media.eq_ignore_ascii_case("audio") || media.port == 0 {
        return None;
    }
    let crypto = match media.protocol.to_ascii_uppercase().as_str() {
        PLAIN => None,
        SECURE => Some(media.attributes.iter().find_map(usable_crypto)?),
        _ => return None,
    };
    let ip = sdp.address_for(media).filter(|ip| !ip.is_multicast())?;
    // Static payload types mean G.711 whether or not an rtpmap repeats it (RFC 3551).
    let codec = media.formats.iter().find_map(|format| match format.as_str() {
        "0" => Some(Codec::Pcmu),
        "8" => Some(Codec::Pcma),
        _ => None,
    })?;
    let dtmf_payload = media.formats.iter().find_map(|format| {
        let map = media.rtpmap(format)?;
        let event = map.get(..16).is_some_and(|name| name.eq_ignore_ascii_case("telephone-event/"));
        let payload = format.parse::<u8>().ok().filter(|payload| (96..128).contains(payload));
        if event && map[16..].starts_with("8000") { payload } else { None }
    });
    let direction = match media.declared_direction().unwrap_or_else(|| sdp.direction()) {
        // RFC 3264 8.4: an unspecified address is the old way to say "do not send".
        _ if ip.is_unspecified() => Direction::SendOnly,
        sipx_sdp::Direction::SendRecv => Direction::SendRecv,
        sipx_sdp::Direction::SendOnly => Direction::SendOnly,
        sipx_sdp::Direction::RecvOnly => Direction::RecvOnly,
        sipx_sdp::Direction::Inactive => Direction::Inactive,
    };
    let ptime = media.attribute("ptime").and_then(|a| a.value.as_deref()).and_then(|v| v.trim().parse::<u16>().ok());
    let ptime_ms = ptime.filter(|ms| (10..=PTIME_MS_MAX).contains(ms)).unwrap_or(20);
    let (address, key) = (SocketAddr::new(ip, media.port), crypto.map(|crypto| crypto.key.0));
    let audio = RemoteMedia { address, codec, dtmf_payload, direction, ptime_ms, crypto: key };
    Some((audio, crypto.map_or(0, |crypto| crypto.tag)))
}

/// RFC 4568 5.1.2: the first that we can use.
fn usable_crypto(attribute: &sipx_sdp::Attribute) -> Option<Crypto> {
    if attribute.name.eq_ignore_ascii_case("crypto") { sdes::read(attribute.value.as_deref()?) } else { None }
}

/// Our side of one session: `o=` identity and version (RFC 3264 8: the version grows by one with each change).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) id: u64,
    pub(crate) version: u64,
}

/// Our offer: both codecs and digits; SRTP when there is a key.
pub(crate) fn offer(origin: Origin, local: LocalMedia, direction: Direction) -> Bytes {
    let mut out = head(origin, local);
    out.extend_from_slice(b"m=audio ");
    number(&mut out, u64::from(local.port));
    protocol(&mut out, local.crypto.is_some());
    out.extend_from_slice(b"0 8 101\r\n");
    if let Some(key) = &local.crypto {
        sdes::write(&mut out, CRYPTO_TAG, key);
    }
    codec_lines(&mut out, &[Codec::Pcmu, Codec::Pcma], Some(DTMF_PAYLOAD));
    tail(&mut out, direction);
    Bytes::from(out)
}

/// Our answer: one codec, every other stream refused.
pub(crate) fn answer(origin: Origin, local: LocalMedia, offered: &Description) -> Bytes {
    let mut out = head(origin, local);
    for (index, stream) in offered.streams.iter().enumerate() {
        out.extend_from_slice(b"m=");
        out.extend_from_slice(stream.kind.as_bytes());
        out.push(b' ');
        if index == offered.chosen {
            number(&mut out, u64::from(local.port));
            let key = local.crypto.filter(|_| offered.media.crypto.is_some());
            protocol(&mut out, key.is_some());
            number(&mut out, u64::from(payload(offered.media.codec)));
            if let Some(dtmf) = offered.media.dtmf_payload {
                out.push(b' ');
                number(&mut out, u64::from(dtmf));
            }
            out.extend_from_slice(b"\r\n");
            if let Some(key) = &key {
                sdes::write(&mut out, offered.crypto_tag, key);
            }
            codec_lines(&mut out, &[offered.media.codec], offered.media.dtmf_payload);
            tail(&mut out, offered.media.direction.mirrored());
        } else {
            // RFC 3264 6: a refused stream has port zero and is still named.
            out.extend_from_slice(b"0 ");
            out.extend_from_slice(stream.protocol.as_bytes());
            out.push(b' ');
            out.extend_from_slice(stream.formats.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    Bytes::from(out)
}

fn head(origin: Origin, local: LocalMedia) -> Vec<u8> {
    let family: &[u8] = if local.address.is_ipv6() { b" IN IP6 " } else { b" IN IP4 " };
    let address = local.address.to_string();
    let mut out = Vec::with_capacity(320);
    out.extend_from_slice(b"v=0\r\no=cordboard ");
    number(&mut out, origin.id);
    out.push(b' ');
    number(&mut out, origin.version);
    out.extend_from_slice(family);
    out.extend_from_slice(address.as_bytes());
    out.extend_from_slice(b"\r\ns=-\r\nc=");
    out.extend_from_slice(family.trim_ascii_start());
    out.extend_from_slice(address.as_bytes());
    out.extend_from_slice(b"\r\nt=0 0\r\n");
    out
}

fn protocol(out: &mut Vec<u8>, secure: bool) {
    out.push(b' ');
    out.extend_from_slice(if secure { SECURE } else { PLAIN }.as_bytes());
    out.push(b' ');
}

fn payload(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
    }
}

fn codec_lines(out: &mut Vec<u8>, codecs: &[Codec], dtmf: Option<u8>) {
    for codec in codecs {
        out.extend_from_slice(match codec {
            Codec::Pcmu => b"a=rtpmap:0 PCMU/8000\r\n".as_slice(),
            Codec::Pcma => b"a=rtpmap:8 PCMA/8000\r\n".as_slice(),
        });
    }
    if let Some(dtmf) = dtmf {
        out.extend_from_slice(b"a=rtpmap:");
        number(out, u64::from(dtmf));
        out.extend_from_slice(b" telephone-event/8000\r\na=fmtp:");
        number(out, u64::from(dtmf));
        out.extend_from_slice(b" 0-15\r\n");
    }
}

fn tail(out: &mut Vec<u8>, direction: Direction) {
    out.extend_from_slice(b"a=ptime:20\r\na=");
    out.extend_from_slice(match direction {
        Direction::SendRecv => b"sendrecv\r\n".as_slice(),
        Direction::SendOnly => b"sendonly\r\n",
        Direction::RecvOnly => b"recvonly\r\n",
        Direction::Inactive => b"inactive\r\n",
    });
}
