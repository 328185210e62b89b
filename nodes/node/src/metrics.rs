//! Counters and gauges of a node, and their text. Labels never carry a person's data.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// A gauge per shard or per Raft count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ShardLabel {
    /// The shard.
    pub shard: u32,
}

/// Everything that a node counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Commands applied by this node's replicas.
    pub commands_applied: Counter,
    /// 1 where this node leads the shard.
    pub leads: Family<ShardLabel, Gauge<i64, AtomicI64>>,
    /// Applied log index.
    pub applied_index: Family<ShardLabel, Gauge<i64, AtomicI64>>,
    /// Raft term.
    pub term: Family<ShardLabel, Gauge<i64, AtomicI64>>,
    /// Calls in line.
    pub calls_waiting: Family<ShardLabel, Gauge<i64, AtomicI64>>,
    /// Calls with an agent.
    pub calls_talking: Family<ShardLabel, Gauge<i64, AtomicI64>>,
    /// Agents who are ready.
    pub agents_ready: Family<ShardLabel, Gauge<i64, AtomicI64>>,
    /// Flushes of the log.
    pub log_flushes: Gauge<i64, AtomicI64>,
    /// Batches made durable by them.
    pub log_batches: Gauge<i64, AtomicI64>,
    /// Records that are not stored yet.
    pub records_buffered: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cordboard_node");
        let commands_applied = Counter::default();
        registry.register(
            "commands_applied",
            "Commands applied by the replicas of this node",
            commands_applied.clone(),
        );
        let mut per_shard = |name: &str, help: &str| {
            let family = Family::<ShardLabel, Gauge<i64, AtomicI64>>::default();
            registry.register(name, help, family.clone());
            family
        };
        let leads = per_shard("shard_leads", "1 where this node leads the shard");
        let applied_index = per_shard("shard_applied_index", "Log index applied by this replica");
        let term = per_shard("shard_term", "Raft term of this replica");
        let calls_waiting = per_shard("calls_waiting", "Calls in line, as this replica has applied");
        let calls_talking = per_shard("calls_talking", "Calls with an agent, as this replica has applied");
        let agents_ready = per_shard("agents_ready", "Agents who are ready, as this replica has applied");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let log_flushes = gauge("log_flushes", "Flushes of the Raft log since the start");
        let log_batches = gauge("log_batches", "Write batches made durable since the start");
        let records_buffered = gauge("records_buffered", "Records that are not in the outbox yet");
        Self {
            registry,
            commands_applied,
            leads,
            applied_index,
            term,
            calls_waiting,
            calls_talking,
            agents_ready,
            log_flushes,
            log_batches,
            records_buffered,
        }
    }
}

impl Metrics {
    /// OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// A count as a gauge takes it.
#[must_use]
pub fn gauge_value(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
