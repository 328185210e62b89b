//! What a node is told at its start.

use std::{net::SocketAddr, path::PathBuf};

use trust::Trust;

use crate::core::Limits;

/// Configuration of the role `node`.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// This node's id: `n1`.
    pub id: String,
    /// Where its log, snapshots and records live.
    pub dir: PathBuf,
    /// The first nodes of a cluster, this one included: `id=host:port` of their gRPC. Empty for one that joins later.
    pub peers: Vec<String>,
    /// Nodes of a cluster to join, host:port of their gRPC; only needed until this node's disk knows the others.
    pub join: Vec<String>,
    /// Where gRPC is listened for, host:port; empty = as in `peers`, or as it was at the last start.
    pub grpc: String,
    /// How others reach it, host:port; empty = as `grpc`.
    pub advertise: String,
    /// Nodes of one zone may fail together; shards are spread over zones.
    pub zone: String,
    /// Name of the cluster; nodes of another one are refused.
    pub cluster: String,
    /// Prometheus metrics and health, off without it.
    pub http: Option<SocketAddr>,
    /// OTLP endpoint for traces, off without it.
    pub otlp: Option<String>,
    /// Threads that own shards.
    pub cores: usize,
    /// Tenant shards of a cluster that is founded by this node, from 1.
    pub tenant_shards: u32,
    /// Raft tick, milliseconds. An election takes 15 of them or more, a heartbeat 3.
    pub tick_ms: u64,
    /// A snapshot is taken after so many log entries.
    pub snapshot_entries: u64,
    /// Or after so many bytes of them.
    pub snapshot_bytes: u64,
    /// Who this node is to the others and whom it believes; off by default, when everybody may do everything.
    pub trust: Trust,
    /// Bounds of each shard's desk.
    pub limits: Limits,
    /// A node that is gone for longer is replaced where another can take its place, milliseconds.
    pub replace_after_ms: u64,
    /// A disk that was heard of more recently is not taken for a lost one, milliseconds.
    pub silence_ms: u64,
    /// A tenant that moves and has not arrived by then lives where it was again, milliseconds.
    pub arrival_max_ms: u64,
    /// How often it is looked for records that this node misses and others have, milliseconds; 0 = never.
    pub fill_every_ms: u64,
    /// Rules of a cluster that is founded by this node.
    pub rules: u32,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            id: String::new(),
            dir: PathBuf::new(),
            peers: Vec::new(),
            join: Vec::new(),
            grpc: String::new(),
            advertise: String::new(),
            zone: String::new(),
            cluster: "cordboard".into(),
            http: None,
            otlp: None,
            cores: 1,
            tenant_shards: 1,
            tick_ms: 20,
            snapshot_entries: 20_000,
            snapshot_bytes: 16 << 20,
            trust: Trust::off(),
            limits: Limits::default(),
            replace_after_ms: 300_000,
            silence_ms: 10_000,
            arrival_max_ms: 15_000,
            fill_every_ms: 1_000,
            rules: acd::RULES,
        }
    }
}
