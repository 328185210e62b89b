//! Counters and gauges of a node, and their text. Labels never carry a person's data.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::limits;

pub mod cluster;

use cluster::ClusterMetrics;

/// A gauge per shard or per Raft count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ShardLabel {
    /// The shard.
    pub shard: u32,
}

/// A gauge per tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TenantLabel {
    /// The shard on which it lives.
    pub shard: u32,
    /// Its number.
    pub tenant: u32,
}

/// A family of gauges of tenants.
pub type PerTenant = Family<TenantLabel, Gauge<i64, AtomicI64>>;

/// A gauge per queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabel {
    /// The shard on which its tenant lives.
    pub shard: u32,
    /// Its tenant's number.
    pub tenant: u32,
    /// The queue's name, which is configuration.
    pub queue: String,
}

/// A family of gauges.
type PerQueue = Family<QueueLabel, Gauge<i64, AtomicI64>>;

/// Queues of one shard that have gauges, the first ones by name: a centre with more of them asks `cordctl`.
pub const QUEUES_MAX: usize = 200;

/// Figures of queues, as this replica has applied.
#[derive(Debug, Clone, Default)]
pub struct QueueMetrics {
    waiting: PerQueue,
    ready: PerQueue,
    answered: PerQueue,
    abandoned: PerQueue,
}

impl QueueMetrics {
    fn register(&self, registry: &mut Registry) {
        let mut family = |name: &str, help: &str, family: &PerQueue| registry.register(name, help, family.clone());
        family("queue_calls_waiting", "Calls in line, offered ones included", &self.waiting);
        family("queue_agents_ready", "Members who can take a call", &self.ready);
        family("queue_calls_answered", "Calls answered since the beginning", &self.answered);
        family("queue_calls_abandoned", "Callers who left since the beginning", &self.abandoned);
    }

    /// Forgets all queues, those that were removed too.
    pub fn clear(&self) {
        for family in [&self.waiting, &self.ready, &self.answered, &self.abandoned] {
            family.clear();
        }
    }

    /// One queue's figures.
    pub fn set(&self, shard: u32, tenant: u32, queue: acd::view::QueueInfo) {
        let label = QueueLabel { shard, tenant, queue: queue.name };
        let set = |family: &PerQueue, value: u64| {
            family.get_or_create_owned(&label).set(gauge_value(value));
        };
        set(&self.waiting, u64::from(queue.waiting) + u64::from(queue.offered));
        set(&self.ready, queue.agents_ready.into());
        set(&self.answered, queue.calls_answered);
        set(&self.abandoned, queue.calls_abandoned);
    }
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
    pub calls_waiting: PerTenant,
    /// Calls with an agent.
    pub calls_talking: PerTenant,
    /// Agents who are ready.
    pub agents_ready: PerTenant,
    /// By queue.
    pub queues: QueueMetrics,
    /// Flushes of the log.
    pub log_flushes: Gauge<i64, AtomicI64>,
    /// Batches made durable by them.
    pub log_batches: Gauge<i64, AtomicI64>,
    /// Records that are not stored yet.
    pub records_buffered: Gauge<i64, AtomicI64>,
    /// Gaps in the records that other nodes may fill.
    pub record_gaps: Gauge<i64, AtomicI64>,
    /// Of its part in the cluster.
    pub cluster: ClusterMetrics,
    /// Connections refused: a certificate that is not believed, or one stranger too many.
    pub connections_refused: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cordboard_node");
        limits::register(&mut registry);
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
        let mut per_tenant = |name: &str, help: &str| {
            let family = PerTenant::default();
            registry.register(name, help, family.clone());
            family
        };
        let calls_waiting = per_tenant("calls_waiting", "Calls in line, as this replica has applied");
        let calls_talking = per_tenant("calls_talking", "Calls with an agent, as this replica has applied");
        let agents_ready = per_tenant("agents_ready", "Agents who are ready, as this replica has applied");
        let queues = QueueMetrics::default();
        queues.register(&mut registry);
        let cluster = ClusterMetrics::default();
        cluster.register(&mut registry);
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let log_flushes = gauge("log_flushes", "Flushes of the Raft log since the start");
        let log_batches = gauge("log_batches", "Write batches made durable since the start");
        let records_buffered = gauge("records_buffered", "Records that are not in the outbox yet");
        let record_gaps = gauge("record_gaps", "Gaps in the records of this node that others may fill");
        let connections_refused = gauge(
            "connections_refused",
            "gRPC connections refused since the start: a certificate not believed, too many",
        );
        Self {
            registry,
            commands_applied,
            leads,
            applied_index,
            term,
            calls_waiting,
            calls_talking,
            agents_ready,
            queues,
            log_flushes,
            log_batches,
            records_buffered,
            record_gaps,
            cluster,
            connections_refused,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_was_removed_is_shown_no_more() {
        let metrics = Metrics::default();
        let queue =
            |name: &str| acd::view::QueueInfo { name: name.into(), waiting: 2, offered: 1, ..Default::default() };
        metrics.queues.set(1, 1, queue("sales"));
        assert!(
            metrics.text().contains("cordboard_node_queue_calls_waiting{shard=\"1\",tenant=\"1\",queue=\"sales\"} 3")
        );
        metrics.queues.clear();
        metrics.queues.set(1, 1, queue("support"));
        let text = metrics.text();
        assert!(text.contains("support") && !text.contains("sales"), "{text}");
    }
}
