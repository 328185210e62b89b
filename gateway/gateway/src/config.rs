//! What a gateway is told at its start. Read once; never consulted again in mid-flight by anything but its owner.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
};

/// Settings of one gateway process.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Text id: `g1`, `g2`, ...
    pub id: String,
    /// Where SIP is heard, UDP and TCP on the same port. Port 0 takes a free one.
    pub sip: SocketAddr,
    /// Host and port that Via and Contact name; `None` uses those of `sip` (`rtp_ip` when that is unspecified).
    pub advertised: Option<(String, u16)>,
    /// gRPC endpoints (`host:port`) of any nodes; the directory view names the others.
    pub nodes: Vec<String>,
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
            advertised: None,
            nodes,
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

/// Bounds, by name. Reaching one refuses new work; it never breaks a call that stands.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Lanes of one process.
    pub lanes_max: usize,
    /// Legs of one lane, ended ones that still wait for the shard included.
    pub legs_max: usize,
    /// An accepted call about which its shard says nothing for so long is asked after; longer than a lease.
    pub limbo_ms: u64,
    /// Commands of one link without an outcome; above it new calls and registrations get 503.
    pub commands_pending_max: usize,
    /// Datagrams that wait for a lane which does not own the socket.
    pub datagrams_queued_max: usize,
    /// TCP connections, both directions together.
    pub connections_max: usize,
    /// TCP connections from one address.
    pub connections_per_address_max: usize,
    /// Messages that wait to be written to one TCP connection.
    pub connection_queue_max: usize,
    /// A TCP connection without a byte for this long is closed.
    pub connection_idle_ms: u64,
    /// A TCP connect must have succeeded by then.
    pub connect_ms_max: u64,
    /// One SIP message, on either transport.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lanes_max: 64,
            legs_max: 50_000,
            limbo_ms: 12_000,
            commands_pending_max: 8_192,
            datagrams_queued_max: 16_384,
            connections_max: 8_192,
            connections_per_address_max: 1_024,
            connection_queue_max: 256,
            connection_idle_ms: 600_000,
            connect_ms_max: 2_000,
            message_bytes_max: 65_535,
        }
    }
}
