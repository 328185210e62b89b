//! What a gateway is told at its start. Read once; never consulted again in mid-flight by anything but its owner.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
};

use trust::Trust;

use crate::admission::AdmissionLimits;

/// Settings of one gateway process.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Text id: `g1`, `g2`, ...
    pub id: String,
    /// Where SIP is heard, UDP and TCP on the same port. Port 0 takes a free one.
    pub sip: SocketAddr,
    /// SIP over TLS; `None`: neither in nor out.
    pub tls: Option<TlsConfig>,
    /// SIP over WebSockets (RFC 7118).
    pub ws: WsConfig,
    /// Offers SRTP over TLS and WSS, and takes it there; otherwise it is refused.
    pub srtp: bool,
    /// Host and port that Via and Contact name; `None` uses those of `sip` (`rtp_ip` when that is unspecified).
    pub advertised: Option<(String, u16)>,
    /// gRPC endpoints (`host:port`) of any nodes; the directory view names the others.
    pub nodes: Vec<String>,
    /// Who this gateway is to the nodes and whom it believes; off by default, when nobody proves anything.
    pub trust: Trust,
    /// Ports of the media sockets.
    pub rtp_ports: RangeInclusive<u16>,
    /// Address of the media sockets, also named in SDP: one that far ends can reach, never `0.0.0.0`.
    pub rtp_ip: IpAddr,
    /// Folder of WAV prompts, when there is one.
    pub prompts: Option<PathBuf>,
    /// Threads that pump media.
    pub media_threads: usize,
    /// `/metrics`, `/health`, `/ready`; `None` serves none of them.
    pub http: Option<SocketAddr>,
    /// gRPC health and reflection. Port 0 takes a free one.
    pub grpc: SocketAddr,
    /// Single-threaded lanes that calls are spread over; 0 takes one for two cores.
    pub lanes: usize,
    /// OTLP endpoint (`http://host:port`); `None` traces nothing.
    pub otlp: Option<String>,
    /// How long a new INVITE may wait for the shard before 503 with Retry-After.
    pub setup_wait_ms: u64,
    /// How long a stopping gateway waits for its calls to be taken over or to end before it ends them.
    pub drain_ms: u64,
    /// Bounds on everything.
    pub limits: Limits,
}

impl GatewayConfig {
    /// A gateway `id` that hears SIP at `sip` and knows these `nodes`; everything else at its default.
    pub fn new(id: &str, sip: SocketAddr, nodes: Vec<String>) -> Self {
        Self {
            id: id.to_owned(),
            sip,
            tls: None,
            ws: WsConfig::default(),
            srtp: true,
            advertised: None,
            nodes,
            trust: Trust::off(),
            rtp_ports: 20_000..=29_999,
            rtp_ip: sip.ip(),
            prompts: None,
            media_threads: 1,
            http: None,
            grpc: SocketAddr::new(sip.ip(), 0),
            lanes: 0,
            otlp: None,
            setup_wait_ms: 10_000,
            drain_ms: 10_000,
            limits: Limits::default(),
        }
    }

    /// The number of lanes to start, never 0.
    pub(crate) fn lane_count(&self) -> usize {
        match self.lanes {
            0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
            lanes => lanes.min(self.limits.lanes_max),
        }
    }
}

/// SIP over TLS (RFC 3261 26.2). All files are PEM; they are read again when they change, without a restart.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Where it is heard. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Our certificate and those between it and a root. Also shown where a far end that we connect to asks for one.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who connects must show a certificate of these; `None` asks for none. WebSockets are not asked.
    pub client_ca: Option<PathBuf>,
    /// Whose certificates are believed when we connect; `None` believes the system's.
    pub roots: Option<PathBuf>,
}

/// SIP over WebSockets (RFC 7118).
#[derive(Clone, Debug, Default)]
pub struct WsConfig {
    /// Where it is heard in the open, as behind a proxy that does TLS; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Where it is heard over TLS, with the certificate of `tls`; `None`: nowhere.
    pub listen_tls: Option<SocketAddr>,
    /// The pages whose scripts may connect (RFC 6455 4.2.2), as `https://desk.example`; empty: all.
    pub origins: Vec<String>,
}

/// Bounds, by name. Reaching one refuses new work; it never breaks a call that stands.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Lanes of one process.
    pub lanes_max: usize,
    /// Legs of one lane, ended ones that still wait for the shard included.
    pub legs_max: usize,
    /// An accepted call about which its shard says nothing for so long is asked after; longer than half a lease, so that the
    /// leader has spoken since, and its orders come before what else it says.
    pub limbo_ms: u64,
    /// Commands of one link without an outcome; above it new calls and registrations get 503.
    pub commands_pending_max: usize,
    /// What the network brings that waits for one lane: messages for one that does not own the socket, keys, flows that failed.
    pub datagrams_queued_max: usize,
    /// TCP connections, both directions together.
    pub connections_max: usize,
    /// TCP connections from one address.
    pub connections_per_address_max: usize,
    /// Messages that wait to be written to one TCP connection.
    pub connection_queue_max: usize,
    /// A TCP connection without a byte for this long is closed.
    pub connection_idle_ms: u64,
    /// Who connects must have sent a whole message by then.
    pub first_message_ms_max: u64,
    /// A message that has begun must be whole by then.
    pub message_ms_max: u64,
    /// A far end must have taken a message by then.
    pub write_ms_max: u64,
    /// TLS and WebSocket handshakes must be done by then.
    pub handshake_ms_max: u64,
    /// How often a WebSocket is pinged; one that has said nothing until the next ping is closed.
    pub ws_ping_ms: u64,
    /// How often the certificate's files are looked at.
    pub certificate_poll_ms: u64,
    /// How often each listener of ours is asked whether it still answers.
    pub probe_ms: u64,
    /// So many questions without an answer make the gateway not ready.
    pub probe_misses_max: u32,
    /// Names that far ends must show certificates for.
    pub tls_names_max: usize,
    /// A TCP connect must have succeeded by then.
    pub connect_ms_max: u64,
    /// One SIP message, on either transport.
    pub message_bytes_max: usize,
    /// What each lane lets in.
    pub admission: AdmissionLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lanes_max: 64,
            legs_max: 50_000,
            limbo_ms: 2_000,
            commands_pending_max: 8_192,
            datagrams_queued_max: 16_384,
            connections_max: 8_192,
            connections_per_address_max: 1_024,
            connection_queue_max: 256,
            connection_idle_ms: 600_000,
            first_message_ms_max: 15_000,
            message_ms_max: 10_000,
            write_ms_max: 5_000,
            handshake_ms_max: 5_000,
            ws_ping_ms: 25_000,
            certificate_poll_ms: 2_000,
            probe_ms: 5_000,
            probe_misses_max: 3,
            tls_names_max: 4_096,
            connect_ms_max: 2_000,
            message_bytes_max: 65_535,
            admission: AdmissionLimits::default(),
        }
    }
}
