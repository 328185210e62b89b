//! The dialog passport: what any gateway needs to go on with a leg, as bytes. Fields are only ever added.
//! Never holds anything of this gateway alone but the flow, which is a hint.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use prost::Message;

use crate::dialog::Dialog;
use crate::leg::{Audio, Leg, LegState, Session};
use crate::sdp::Origin;
use crate::types::{Codec, Direction, Flow, LocalMedia, RemoteMedia, Transport};

/// The layout that this release writes; a reader refuses newer ones it cannot understand by raising this number only
/// when old readers would be wrong.
const LAYOUT: u32 = 1;

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
    #[prost(bytes = "vec", tag = "40")]
    local_crypto: Vec<u8>,
    #[prost(bytes = "vec", tag = "41")]
    remote_crypto: Vec<u8>,
}

/// What a passport says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) token: String,
    pub(crate) dialog: Dialog,
    pub(crate) audio: Audio,
    pub(crate) session: Option<Session>,
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

/// The passport of an answered leg.
pub(crate) fn write(leg: &Leg) -> Option<Vec<u8>> {
    if !matches!(leg.state, LegState::Up(_)) {
        return None;
    }
    let (dialog, audio) = (&leg.dialog, &leg.audio);
    let remote = audio.remote.as_ref();
    let passport = Passport {
        layout: LAYOUT,
        call_id: dialog.call_id.clone(),
        local: dialog.local.clone(),
        remote: dialog.remote.clone(),
        remote_tag: dialog.remote_tag.clone(),
        local_cseq: dialog.local_cseq,
        remote_cseq: dialog.remote_cseq,
        routes: dialog.routes.clone(),
        target: dialog.target.clone(),
        transport: dialog.flow.transport as u32,
        flow: dialog.flow.remote.to_string(),
        updates: dialog.updates,
        sdp_id: audio.origin.id,
        sdp_version: audio.origin.version,
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
        token: leg.token.clone(),
        local_crypto: audio.local.and_then(|local| local.crypto).map(Vec::from).unwrap_or_default(),
        remote_crypto: remote.and_then(|remote| remote.crypto).map(Vec::from).unwrap_or_default(),
    };
    Some(passport.encode_to_vec())
}

/// Reads a passport.
pub(crate) fn open(bytes: &[u8]) -> Result<Opened, PassportError> {
    let passport = Passport::decode(bytes).map_err(|_| PassportError::Damaged)?;
    if passport.layout != LAYOUT {
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
    let dialog = Dialog {
        call_id: passport.call_id,
        local: passport.local,
        remote: passport.remote,
        remote_tag: passport.remote_tag,
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
    Ok(Opened { token: passport.token, dialog, audio, session })
}
