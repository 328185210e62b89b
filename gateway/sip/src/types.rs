//! The words of this package's interface: legs, flows, media, effects.
//! No behaviour beyond small conversions.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

/// A moment in milliseconds. The endpoint only compares and adds; Unix time is expected (nonces carry it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment and so many milliseconds more.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Names one leg for ever: the shard that owns the call, the call, and the leg in it (the caller is leg 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId {
    /// The shard that owns the call.
    pub shard: u32,
    /// The call, derived from (Call-ID, From-tag) of the caller's INVITE.
    pub call: u64,
    /// The leg within the call; the caller is 1.
    pub leg: u32,
}

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams; we retransmit.
    Udp,
    /// A stream, framed by Content-Length.
    Tcp,
    /// The same under TLS (RFC 3261 26.2.1).
    Tls,
    /// A WebSocket (RFC 7118): a message is a frame, and nobody can be connected to from here.
    Ws,
    /// The same under TLS.
    Wss,
}

impl Transport {
    /// Whether the network itself repeats what is lost.
    #[must_use]
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// Whether it is encrypted: `sips` and SRTP keys may travel over it.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// As a Via writes it.
    #[must_use]
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// As a `transport` parameter of a URI writes it; RFC 7118 5.2 has `ws` for both.
    #[must_use]
    pub fn uri_name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws | Self::Wss => "ws",
        }
    }
}

/// Where a message came from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// How it travels.
    pub transport: Transport,
    /// The far end's address.
    pub remote: SocketAddr,
    /// The gateway's number of the TCP connection; 0 for UDP, and for "connect, or reuse one to `remote`".
    pub connection: u64,
}

/// The digest secrets of an agent (RFC 7616 `H(A1)`), never the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    /// MD5(user:realm:password).
    pub md5: [u8; 16],
    /// SHA-256(user:realm:password).
    pub sha256: [u8; 32],
    /// The shard the agent lives in.
    pub shard: u32,
}

impl std::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ha1").field("shard", &self.shard).finish_non_exhaustive()
    }
}

/// What the directory knows and the endpoint must ask before it bothers a shard.
pub trait Access {
    /// The shard that serves a dialled number.
    fn shard_of_number(&self, number: &str) -> Option<u32>;
    /// Whether calls are taken from this address.
    fn trunk_allows(&self, ip: IpAddr) -> bool;
    /// The digest secrets of an agent.
    fn credential(&self, agent: &str) -> Option<Ha1>;
    /// Whether what comes from this address may say who calls (P-Asserted-Identity, RFC 3325 section 5).
    fn trusts_identity(&self, _ip: IpAddr) -> bool {
        false
    }
}

/// An audio codec that both media plane and SDP know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 mu-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
}

/// The direction of a stream **as its writer sees it** (RFC 3264): `SendOnly` in a `RemoteMedia` means that the far
/// end sends and does not listen (it holds us).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only listens.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The same stream as the other side must write it.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer listens.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// Bytes that no log may show.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) [u8; 30]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Our end of a leg's audio.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalMedia {
    /// The address that goes into our SDP.
    pub address: IpAddr,
    /// The RTP port.
    pub port: u16,
    /// The SRTP master key and salt of what we send (RFC 4568), should SRTP be agreed: offered where keys may travel,
    /// passed over where the far end wants plain RTP.
    pub crypto: Option<[u8; 30]>,
}

impl std::fmt::Debug for LocalMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, port, crypto } = self;
        let crypto = crypto.map(Key);
        f.debug_struct("LocalMedia").field("address", address).field("port", port).field("crypto", &crypto).finish()
    }
}

/// The far end's audio as agreed by offer and answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RemoteMedia {
    /// Where its SDP says RTP goes.
    pub address: SocketAddr,
    /// The codec both use.
    pub codec: Codec,
    /// The payload type of RFC 4733 telephone events, when it knows them.
    pub dtmf_payload: Option<u8>,
    /// As the far end wrote it: `RecvOnly` listens, `SendOnly` holds us.
    pub direction: Direction,
    /// Packet time it asked for.
    pub ptime_ms: u16,
    /// The SRTP master key and salt of what it sends; `None`: plain RTP both ways.
    pub crypto: Option<[u8; 30]>,
}

impl std::fmt::Debug for RemoteMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, codec, dtmf_payload, direction, ptime_ms, crypto } = self;
        f.debug_struct("RemoteMedia")
            .field("address", address)
            .field("codec", codec)
            .field("dtmf_payload", dtmf_payload)
            .field("direction", direction)
            .field("ptime_ms", ptime_ms)
            .field("crypto", &crypto.map(Key))
            .finish()
    }
}

/// Names one REGISTER that waits for `answer_register`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterId(pub u64);

/// What the shard said about a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// Committed: 200.
    Accepted,
    /// Nobody could decide: 503 with Retry-After.
    Unavailable,
    /// The shard refused it: 403.
    Refused,
}

/// An INVITE to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The SIP URI to ring.
    pub target: String,
    /// Where to send it; without it the first of `route`, else the host of `target`, must be an IP address.
    pub destination: Option<Flow>,
    /// Route header values, first hop first (a Path, RFC 3327).
    pub route: Vec<String>,
    /// The calling party's user part, shown to the far end; may be empty (anonymous).
    pub caller: String,
    /// The calling party's name; may be empty.
    pub caller_name: String,
    /// What the caller dialled; may be empty.
    pub number: String,
    /// Our end of the audio.
    pub media: LocalMedia,
    /// More header fields, name and value. Those with CR, LF or a name that is not a token are left out.
    pub headers: Vec<(String, String)>,
    /// How the caller is shown (RFC 3323, 3325).
    pub identity: Identity,
    /// Who was called before, oldest first: History-Info (RFC 7044); with `diversion` also Diversion (RFC 5806).
    pub history: Vec<String>,
    /// Write Diversion beside History-Info.
    pub diversion: bool,
    /// Replaces (RFC 3891); empty: none.
    pub replaces: String,
    /// Answers to a digest challenge of its realm.
    pub login: Option<Login>,
    /// Host of From and, for a number, of the Request-URI; empty: ours, and that of the target.
    pub domain: String,
    /// Max-Forwards; 0 counts as 70.
    pub max_forwards: u8,
    /// Counts the ways that were tried for this leg before: each is a request of its own, with a number and a branch of
    /// its own.
    pub attempt: u8,
}

impl Invite {
    /// To this SIP URI, with our end of the audio; nothing is said about who calls.
    #[must_use]
    pub fn to(target: &str, media: LocalMedia) -> Self {
        Self {
            target: target.to_owned(),
            destination: None,
            route: Vec::new(),
            caller: String::new(),
            caller_name: String::new(),
            number: String::new(),
            media,
            headers: Vec::new(),
            identity: Identity::default(),
            history: Vec::new(),
            diversion: false,
            replaces: String::new(),
            login: None,
            domain: String::new(),
            max_forwards: 0,
            attempt: 0,
        }
    }

    /// The first CSeq: attempts leave each other room for answers to challenges.
    pub(crate) fn cseq(&self) -> u32 {
        1 + u32::from(self.attempt) * 8
    }
}

/// What an INVITE says about who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Identity {
    /// P-Asserted-Identity goes out: the far end is in our trust domain (RFC 3325 section 5).
    pub asserted: bool,
    /// From is anonymous and `Privacy: id` says so.
    pub hidden: bool,
}

/// Digest as client (RFC 7616): never a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// The only realm whose challenges are answered.
    pub realm: String,
    /// MD5(user:realm:password).
    pub md5: [u8; 16],
    /// SHA-256(user:realm:password).
    pub sha256: [u8; 32],
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// What a leg is that was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// A caller without an answer, as far as the passport knows: `alert`, `answer` or `end` it.
    Offered,
    /// An answered leg: `reoffer` or `end` it.
    Up,
}

/// Names a binding of ours at somebody else's registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingId(pub u64);

/// Names an OPTIONS of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PingId(pub u64);

/// A binding of ours at somebody else's registrar (RFC 3261 section 10.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The address of record, a SIP URI; its user part is that of our Contact, its host the Request-URI.
    pub aor: String,
    /// Where the registrar is.
    pub registrar: Flow,
    /// What is asked for; the registrar may grant less.
    pub expires_seconds: u32,
    /// Answers to a digest challenge of its realm.
    pub login: Option<Login>,
}

/// Why a leg is no more; one to one with `EndCause` in shard.proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndCause {
    /// BYE from the far end.
    Hangup,
    /// The caller gave up before an answer.
    Cancelled,
    /// 486, 600.
    Busy,
    /// 603 and every other final refusal.
    Rejected,
    /// 408, 480 after ringing.
    NoAnswer,
    /// No provisional answer, transport error, 404, 410, 5xx.
    Unreachable,
    /// No common codec.
    Media,
    /// Gone because `end` was asked.
    Ordered,
    /// The dialog broke: no ACK, session timer expired, protocol error.
    Failed,
    /// 300, 301, 302 with somewhere to go: `Effect::Redirected` came right before.
    Moved,
}

/// What the world should do or know. Drained by `Endpoint::poll`, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Put these bytes on the wire. A TCP flow with connection 0: connect to `remote`, or reuse a connection to it.
    Send {
        /// Where to.
        flow: Flow,
        /// The whole message.
        bytes: Bytes,
    },
    /// A caller wants in; 100 has been sent. 400, 403, 404, 420, 488 and so on were decided inside.
    Offered {
        /// The caller's leg (leg 1).
        leg: LegId,
        /// What was dialled.
        number: String,
        /// User part of the calling party; may be empty.
        caller: String,
        /// Its display name; may be empty. Never holds CR, LF or other control characters.
        caller_name: String,
        /// It must not be shown to anybody (RFC 3323, 3325 `Privacy`): `caller` is for routing alone.
        hidden: bool,
        /// Its audio; none when the INVITE has no SDP (a late offer): `MediaChanged` tells it after the ACK.
        media: Option<RemoteMedia>,
        /// The transaction, as any gateway needs it to answer.
        passport: Vec<u8>,
    },
    /// The far end of a leg we invited rings. Once per leg.
    Ringing {
        /// Which leg.
        leg: LegId,
    },
    /// The far end of a leg we invited has answered; the ACK has been sent.
    Answered {
        /// Which leg.
        leg: LegId,
        /// Its audio.
        media: RemoteMedia,
        /// The dialog, as any gateway needs it to go on.
        passport: Vec<u8>,
    },
    /// The caller's ACK came, or the dialog changed (target refresh, media): keep this passport.
    Confirmed {
        /// Which leg.
        leg: LegId,
        /// The dialog, as any gateway needs it to go on.
        passport: Vec<u8>,
    },
    /// The far end's audio has changed: hold, resume, new address, or the answer to our offer.
    MediaChanged {
        /// Which leg.
        leg: LegId,
        /// Its audio.
        media: RemoteMedia,
    },
    /// Keys pressed, by SIP INFO.
    Digits {
        /// Which leg.
        leg: LegId,
        /// 0-9 * # A-D.
        digits: String,
    },
    /// The leg is no more. Exactly once per leg.
    Ended {
        /// Which leg.
        leg: LegId,
        /// Why.
        cause: EndCause,
        /// The final SIP status seen or sent; 0 when there was none.
        status: u16,
    },
    /// The far end wants its peer sent elsewhere (RFC 3515); answer with `answer_refer`.
    Referred {
        /// Whose far end asks.
        leg: LegId,
        /// The URI of Refer-To, without header components.
        to: String,
        /// Its user part, or the number of a tel URI.
        user: String,
        /// It names something here: the host is our host or realm, or it is a tel URI.
        ours: bool,
        /// Replaces (RFC 3891) out of Refer-To, unescaped; empty: none.
        replaces: String,
    },
    /// The far end of a leg we invited says where else to try (3xx); `Ended` with `Moved` follows.
    Redirected {
        /// Which leg.
        leg: LegId,
        /// Best first (q of RFC 3261 20.10): SIP URIs, and the bare user part of what is ours or a tel URI.
        contacts: Vec<String>,
    },
    /// What became of a REGISTER of ours.
    Bound {
        /// Which binding.
        id: BindingId,
        /// The final status; 408 nothing came, 503 it could not be sent.
        status: u16,
        /// For how long it was granted; 0: it is not bound.
        expires_seconds: u32,
    },
    /// What became of an OPTIONS of ours.
    Pinged {
        /// Which ping.
        id: PingId,
        /// The final status; 0: nothing came.
        status: u16,
    },
    /// A request of a call that is not here: ask its shard who has it and relay it there, or `answer_stray`.
    Stray {
        /// The shard of the call, as far as it is known.
        shard: Option<u32>,
        /// The call.
        call: u64,
        /// Where it came from.
        flow: Flow,
        /// The whole request.
        bytes: Bytes,
    },
    /// An authenticated agent binds a contact; answer with `answer_register`.
    Register {
        /// To answer it with.
        id: RegisterId,
        /// The agent.
        agent: String,
        /// The shard the agent lives in.
        shard: u32,
        /// A SIP URI to ring, rewritten for NAT; `*` with 0 seconds removes all.
        contact: String,
        /// 0 removes it.
        expires_seconds: u32,
        /// Path of INVITEs to it, comma-separated; empty: none.
        path: String,
        /// Reachable only over the connection it registered by.
        flow: bool,
    },
}

/// The endpoint has no such leg: it has ended, or lives elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no leg {} of call {:016x} here", .0.leg, .0.call)]
pub struct UnknownLeg(pub LegId);
