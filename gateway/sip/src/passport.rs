//! The dialog passport: what any gateway needs to go on with a leg, as bytes; for a caller without an answer also the
//! transaction. Fields are only ever added.
//! Never holds anything of this gateway alone but the flow, which is a hint.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use prost::Message;

use crate::dialog::Dialog;
use crate::echo::Echo;
use crate::leg::{Audio, Leg, LegState, Offered, Refer, Reliable, Session};
use crate::raw;
use crate::sdp::{Description, Origin};
use crate::types::{Codec, Direction, Flow, LocalMedia, Login, RemoteMedia, Transport};

/// The layout that this release writes; a reader refuses newer ones it cannot understand by raising this number only
/// when old readers would be wrong.
const LAYOUT: u32 = 1;

/// The layout of a caller's without a final answer: who knows answered legs only must not take one for the other.
const LAYOUT_EARLY: u32 = 2;

#[derive(Clone, PartialEq, Message)]
struct Passport {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(bytes = "bytes", tag = "2")]
    call_id: Bytes,
    /// From and To values of our requests, tags included.
    #[prost(bytes = "bytes", tag = "3")]
    local: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    remote: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    remote_tag: Bytes,
    #[prost(uint32, tag = "6")]
    local_cseq: u32,
    #[prost(uint32, tag = "7")]
    remote_cseq: u32,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    routes: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "9")]
    target: Bytes,
    /// 0 UDP, 1 TCP, 2 TLS, 3 WS, 4 WSS.
    #[prost(uint32, tag = "10")]
    transport: u32,
    #[prost(string, tag = "11")]
    flow: String,
    #[prost(bool, tag = "12")]
    updates: bool,
    #[prost(uint64, tag = "13")]
    sdp_id: u64,
    #[prost(uint64, tag = "14")]
    sdp_version: u64,
    /// What we last wrote.
    #[prost(bytes = "bytes", tag = "15")]
    sdp: Bytes,
    #[prost(string, tag = "16")]
    local_rtp: String,
    #[prost(string, tag = "17")]
    remote_rtp: String,
    /// RTP payload type.
    #[prost(uint32, tag = "18")]
    codec: u32,
    /// Payload type of telephone events, 0 for none.
    #[prost(uint32, tag = "19")]
    dtmf: u32,
    /// 0 sendrecv, 1 sendonly, 2 recvonly, 3 inactive, as the far end wrote it.
    #[prost(uint32, tag = "20")]
    direction: u32,
    #[prost(uint32, tag = "21")]
    ptime_ms: u32,
    /// Session timer, 0 for none.
    #[prost(uint32, tag = "22")]
    session_seconds: u32,
    #[prost(bool, tag = "23")]
    session_ours: bool,
    /// The local tag and the user part of our Contact.
    #[prost(string, tag = "24")]
    token: String,
    /// SRTP master keys (RFC 4568), ours and the far end's; empty: plain RTP.
    #[prost(bytes = "vec", tag = "41")]
    local_crypto: Vec<u8>,
    #[prost(bytes = "vec", tag = "42")]
    remote_crypto: Vec<u8>,
    #[prost(message, optional, tag = "40")]
    early: Option<Early>,
    /// The open REFER's CSeq number (RFC 3515), 0 for none.
    #[prost(uint32, tag = "45")]
    refer: u32,
    /// It wants no NOTIFY (RFC 4488).
    #[prost(bool, tag = "46")]
    refer_silent: bool,
    /// Answers the far end's challenges; a trunk may ask for it at every request.
    #[prost(message, optional, tag = "43")]
    login: Option<Digest>,
}

/// Digest as client (RFC 7616 `H(A1)`), never a password.
#[derive(Clone, PartialEq, Message)]
struct Digest {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    realm: String,
    #[prost(bytes = "vec", tag = "3")]
    md5: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    sha256: Vec<u8>,
}

/// The transaction of a caller without a final answer. What the dialog says already is not said again: From, To, Call-ID,
/// CSeq and Record-Route of the responses are the dialog's, the chosen stream is the remote audio.
#[derive(Clone, PartialEq, Message)]
struct Early {
    /// The transaction's key, the same on every gateway.
    #[prost(fixed64, tag = "1")]
    key: u64,
    /// Via lines of the responses.
    #[prost(bytes = "bytes", tag = "2")]
    vias: Bytes,
    /// Streams of the offer: kind, protocol, formats. None: a late offer.
    #[prost(string, repeated, tag = "3")]
    streams: Vec<String>,
    /// Which of them is the audio.
    #[prost(uint32, tag = "4")]
    chosen: u32,
    /// What the 200 says about the session timer.
    #[prost(string, tag = "5")]
    session_line: String,
    /// The tag of the offered SRTP key; 0 without one.
    #[prost(uint32, tag = "6")]
    crypto_tag: u32,
    /// The caller requires reliable provisional responses (RFC 3262).
    #[prost(bool, tag = "12")]
    reliable: bool,
}

/// What a passport says.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) token: String,
    pub(crate) dialog: Dialog,
    pub(crate) audio: Audio,
    pub(crate) session: Option<Session>,
    /// Of a caller without a final answer.
    pub(crate) early: Option<Box<Offered>>,
    /// A REFER that was accepted and is not over.
    pub(crate) refer: Option<Box<Refer>>,
    pub(crate) login: Option<Login>,
}

/// Why bytes are no passport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassportError {
    /// Not a message, or one without what a dialog needs.
    #[error("the passport is damaged")]
    Damaged,
    /// Written by a release that this one does not understand.
    #[error("the passport has layout {0}")]
    Newer(u32),
    /// It belongs to another leg, or was written under another secret.
    #[error("the passport is another leg's")]
    Foreign,
    /// The leg lives here already, or there is no room.
    #[error("there is no place for the leg")]
    NoPlace,
}

/// The passport of an answered leg, or of a caller without an answer.
pub(crate) fn write(leg: &Leg, login: Option<&Login>) -> Option<Vec<u8>> {
    let early = match &leg.state {
        LegState::Up(_) => None,
        LegState::Offered(offered) => Some(early(offered)),
        LegState::Calling(_) => return None,
    };
    // An early passport leaves out what can be read from the rest of it.
    let whole = early.is_none();
    let (dialog, audio) = (&leg.dialog, &leg.audio);
    let remote = audio.remote.as_ref();
    let refer = match &leg.state {
        LegState::Up(up) => up.refer.as_ref().filter(|refer| refer.asked.is_none()),
        LegState::Offered(_) | LegState::Calling(_) => None,
    };
    let passport = Passport {
        refer: refer.map_or(0, |refer| refer.cseq),
        refer_silent: refer.is_some_and(|refer| refer.silent),
        layout: if whole { LAYOUT } else { LAYOUT_EARLY },
        call_id: dialog.call_id.clone(),
        local: dialog.local.clone(),
        remote: dialog.remote.clone(),
        remote_tag: if whole { dialog.remote_tag.clone() } else { Bytes::new() },
        local_cseq: dialog.local_cseq,
        // An early passport's is the INVITE's: PRACK and UPDATE have used higher ones.
        remote_cseq: match &leg.state {
            LegState::Offered(offered) => offered.cseq,
            LegState::Up(_) | LegState::Calling(_) => dialog.remote_cseq,
        },
        routes: dialog.routes.clone(),
        target: dialog.target.clone(),
        transport: dialog.flow.transport as u32,
        flow: dialog.flow.remote.to_string(),
        updates: dialog.updates,
        sdp_id: if whole { audio.origin.id } else { 0 },
        sdp_version: if whole { audio.origin.version } else { 0 },
        sdp: audio.sdp.clone(),
        local_rtp: audio.local.map(|local| SocketAddr::new(local.address, local.port).to_string()).unwrap_or_default(),
        remote_rtp: remote.map(|remote| remote.address.to_string()).unwrap_or_default(),
        codec: remote.map_or(0, |remote| match remote.codec {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
        }),
        dtmf: remote.and_then(|remote| remote.dtmf_payload).map_or(0, u32::from),
        direction: remote.map_or(0, |remote| match remote.direction {
            Direction::SendRecv => 0,
            Direction::SendOnly => 1,
            Direction::RecvOnly => 2,
            Direction::Inactive => 3,
        }),
        ptime_ms: remote.map_or(0, |remote| u32::from(remote.ptime_ms)),
        session_seconds: leg.session.map_or(0, |session| session.seconds),
        session_ours: leg.session.is_some_and(|session| session.ours),
        token: if whole { leg.token.clone() } else { String::new() },
        early,
        login: login.map(|login| Digest {
            user: login.user.clone(),
            realm: login.realm.clone(),
            md5: login.md5.to_vec(),
            sha256: login.sha256.to_vec(),
        }),
        local_crypto: audio.local.and_then(|local| local.crypto).map(Vec::from).unwrap_or_default(),
        remote_crypto: remote.and_then(|remote| remote.crypto).map(Vec::from).unwrap_or_default(),
    };
    Some(passport.encode_to_vec())
}

fn early(offered: &Offered) -> Early {
    let (streams, chosen, crypto_tag) = offered.offer.as_ref().map(Description::streams).unwrap_or_default();
    Early {
        key: offered.key,
        vias: Bytes::copy_from_slice(offered.echo.vias()),
        streams,
        chosen: u32::try_from(chosen).unwrap_or(0),
        session_line: offered.session_line.clone(),
        crypto_tag,
        reliable: offered.reliable.wanted,
    }
}

/// Reads a passport.
pub(crate) fn open(bytes: &[u8]) -> Result<Opened, PassportError> {
    let passport = Passport::decode(bytes).map_err(|_| PassportError::Damaged)?;
    let expected = if passport.early.is_some() { LAYOUT_EARLY } else { LAYOUT };
    if passport.layout != expected {
        return Err(PassportError::Newer(passport.layout));
    }
    let remote: SocketAddr = passport.flow.parse().map_err(|_| PassportError::Damaged)?;
    let transport = match passport.transport {
        0 => Transport::Udp,
        1 => Transport::Tcp,
        2 => Transport::Tls,
        3 => Transport::Ws,
        4 => Transport::Wss,
        _ => return Err(PassportError::Damaged),
    };
    let or_tag = |kept: Bytes, value: &Bytes| if kept.is_empty() { value.slice_ref(raw::tag(value)) } else { kept };
    let remote_tag = or_tag(passport.remote_tag, &passport.remote);
    let token = String::from_utf8_lossy(&or_tag(Bytes::from(passport.token), &passport.local)).into_owned();
    let dialog = Dialog {
        call_id: passport.call_id,
        local: passport.local,
        remote: passport.remote,
        remote_tag,
        local_cseq: passport.local_cseq,
        remote_cseq: passport.remote_cseq,
        routes: passport.routes,
        target: passport.target,
        flow: Flow { transport, remote, connection: 0 },
        updates: passport.updates,
    };
    let fields = [&dialog.call_id, &dialog.local, &dialog.remote, &dialog.target];
    let bad = |field: &Bytes| field.is_empty() || field.iter().any(|b| matches!(b, b'\r' | b'\n'));
    if fields.into_iter().chain(&dialog.routes).any(bad) {
        return Err(PassportError::Damaged);
    }
    let local = passport.local_rtp.parse::<SocketAddr>().ok();
    let media = passport.remote_rtp.parse::<SocketAddr>().ok().map(|address| RemoteMedia {
        address,
        codec: if passport.codec == 8 { Codec::Pcma } else { Codec::Pcmu },
        dtmf_payload: u8::try_from(passport.dtmf).ok().filter(|payload| *payload != 0),
        direction: match passport.direction {
            1 => Direction::SendOnly,
            2 => Direction::RecvOnly,
            3 => Direction::Inactive,
            _ => Direction::SendRecv,
        },
        ptime_ms: u16::try_from(passport.ptime_ms).unwrap_or(20),
        crypto: passport.remote_crypto.try_into().ok(),
    });
    let crypto = passport.local_crypto.try_into().ok();
    let audio = Audio {
        local: local.map(|address: SocketAddr| LocalMedia {
            address: address.ip() as IpAddr,
            port: address.port(),
            crypto,
        }),
        remote: media,
        origin: Origin { id: passport.sdp_id, version: passport.sdp_version },
        sdp: passport.sdp,
    };
    let session = (passport.session_seconds > 0)
        .then_some(Session { seconds: passport.session_seconds, ours: passport.session_ours });
    let early = passport.early.map(|early| open_early(early, &dialog, media)).transpose()?;
    let (cseq, silent) = (passport.refer, passport.refer_silent);
    let refer = (cseq > 0).then(|| Box::new(Refer { asked: None, cseq, silent, by: String::new() }));
    let login = passport.login.and_then(|login| {
        let (md5, sha256) = (login.md5.try_into().ok()?, login.sha256.try_into().ok()?);
        Some(Login { user: login.user, realm: login.realm, md5, sha256 })
    });
    Ok(Opened { token, dialog, audio, session, early, refer, login })
}

fn open_early(early: Early, dialog: &Dialog, media: Option<RemoteMedia>) -> Result<Box<Offered>, PassportError> {
    let offer = match media.filter(|_| !early.streams.is_empty()) {
        None => None,
        Some(media) => {
            let chosen = usize::try_from(early.chosen).map_err(|_| PassportError::Damaged)?;
            Some(Description::restore(&early.streams, chosen, early.crypto_tag, media).ok_or(PassportError::Damaged)?)
        }
    };
    let echo = Echo::restore(&early.vias, dialog, dialog.flow.transport).ok_or(PassportError::Damaged)?;
    let lines = early.session_line.as_bytes();
    // The line goes out as it is: nothing but session timer fields may be in it.
    let sane = lines.is_empty()
        || (lines.ends_with(b"\r\n")
            && raw::fields_of(lines).all(|(name, _)| name == b"Require" || name == b"Session-Expires"));
    if !sane {
        return Err(PassportError::Damaged);
    }
    let (key, cseq, session_line) = (early.key, dialog.remote_cseq, early.session_line);
    let reliable = Reliable { wanted: early.reliable, ..Reliable::default() };
    Ok(Box::new(Offered { key, cseq, echo, offer, alerted: false, session_line, adopted: true, taken: true, reliable }))
}
