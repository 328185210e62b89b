//! What a node counts of its part in the cluster: sleep, beats, snapshots, moves, the steward's steps, connections. Labels
//! are of small fixed sets; nobody's name, number or address is in them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::{
    HostCounters,
    peers::{PeerCounters, ServiceCounters},
    placement::Step,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::time::sleep;
use trust::DoorCounters;

use crate::limits::{self, Limit};

/// How often what others count is read.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What is counted of the cluster by this node.
#[derive(Debug, Clone, Default)]
pub struct ClusterMetrics {
    /// Replicas that sleep, as they were looked at last.
    pub shards_asleep: Gauge<i64, AtomicI64>,
    sleeps: Counter,
    wakes_by_silence: Counter,
    beats_sent: Counter,
    garbage: Counter,
    snapshots_taken: Counter,
    snapshots_restored: Counter,
    snapshots_sent: Counter,
    snapshots_given_up: Counter,
    snapshots_sent_bytes: Counter,
    snapshots_received: Counter,
    snapshots_refused: Counter,
    peer_connects: Counter,
    peer_batches_refused: Counter,
    handshakes: Counter,
    strangers: Counter,
    moves: Family<OutcomeLabel, Counter>,
    steps: Family<StepLabel, Counter>,
    steps_failed: Family<StepLabel, Counter>,
}

impl ClusterMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("shards_asleep", "Replicas of this node that have nothing to do", self.shards_asleep.clone());
        let mut counter = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        counter("shard_sleeps", "Times that a replica fell asleep", &self.sleeps);
        counter(
            "shard_wakes_by_silence",
            "Times that a replica woke because another node was silent",
            &self.wakes_by_silence,
        );
        counter("beats_sent", "Beats sent to other nodes, each for all shards of a host", &self.beats_sent);
        counter("peer_messages_refused", "Messages that no honest peer sends, or for no replica here", &self.garbage);
        counter("snapshots_taken", "Snapshots taken to shorten a log", &self.snapshots_taken);
        counter(
            "snapshots_restored",
            "Snapshots of a leader that replaced a replica's state",
            &self.snapshots_restored,
        );
        counter("snapshots_sent", "Snapshots streamed to another node", &self.snapshots_sent);
        counter("snapshots_given_up", "Snapshots that did not get to another node", &self.snapshots_given_up);
        counter("snapshots_sent_bytes", "Bytes of snapshots streamed to other nodes", &self.snapshots_sent_bytes);
        counter("snapshots_received", "Snapshots taken in from another node", &self.snapshots_received);
        counter(
            "snapshots_refused",
            "Snapshots of another node refused, damaged or broken off",
            &self.snapshots_refused,
        );
        counter("peer_connects", "Connections opened to other nodes, but for snapshots", &self.peer_connects);
        counter(
            "peer_batches_refused",
            "Batches refused: another cluster's, node's or disk's",
            &self.peer_batches_refused,
        );
        counter("handshakes", "TLS handshakes done with a certificate", &self.handshakes);
        counter("strangers", "Connections without a certificate that were let in", &self.strangers);
        // With 0 too: whoever watches them finds their names.
        for outcome in [ARRIVED, FAILED] {
            self.moves.get_or_create_owned(&OutcomeLabel { outcome });
        }
        registry.register(
            "tenant_moves",
            "Moves of tenants decided here, where the directory is led",
            self.moves.clone(),
        );
        for step in STEPS {
            self.steps.get_or_create_owned(&StepLabel { step });
            self.steps_failed.get_or_create_owned(&StepLabel { step });
        }
        registry.register("steward_steps", "Steps that the steward had done from here", self.steps.clone());
        let help = "Steps that the steward could not have done yet";
        registry.register("steward_steps_failed", help, self.steps_failed.clone());
    }

    /// What a host has counted since it was looked at `before`.
    pub fn add_host(&self, before: &mut HostCounters, now: HostCounters) {
        self.sleeps.inc_by(now.sleeps - before.sleeps);
        self.wakes_by_silence.inc_by(now.wakes_by_silence - before.wakes_by_silence);
        self.beats_sent.inc_by(now.beats - before.beats);
        self.garbage.inc_by(now.garbage - before.garbage);
        self.snapshots_taken.inc_by(now.snapshots_taken - before.snapshots_taken);
        self.snapshots_restored.inc_by(now.snapshots_restored - before.snapshots_restored);
        *before = now;
    }

    /// The directory has decided about a move, here.
    pub fn moved(&self, arrived: bool) {
        let outcome = if arrived { ARRIVED } else { FAILED };
        self.moves.get_or_create_owned(&OutcomeLabel { outcome }).inc();
    }

    /// The steward has had a step done, or tried to.
    pub fn stepped(&self, step: &Step, done: bool) {
        let family = if done { &self.steps } else { &self.steps_failed };
        family.get_or_create_owned(&StepLabel { step: name_of(step) }).inc();
    }
}

const ARRIVED: &str = "arrived";
const FAILED: &str = "failed";
const STEPS: [&str; 5] = ["open", "drop", "change", "lead", "born"];

const fn name_of(step: &Step) -> &'static str {
    match step {
        Step::Open { .. } => STEPS[0],
        Step::Drop { .. } => STEPS[1],
        Step::Change { .. } => STEPS[2],
        Step::Lead { .. } => STEPS[3],
        Step::Born { .. } => STEPS[4],
    }
}

/// What the transport and the door count for themselves.
pub(crate) struct Others {
    pub(crate) sent: Arc<PeerCounters>,
    pub(crate) received: Arc<ServiceCounters>,
    pub(crate) door: Arc<DoorCounters>,
}

impl Others {
    /// Carries it into the metrics, for the life of the node.
    pub(crate) async fn run(self, metrics: ClusterMetrics) {
        loop {
            self.carry(&metrics);
            sleep(LOOK).await;
        }
    }

    fn carry(&self, metrics: &ClusterMetrics) {
        let Self { sent, received, door } = self;
        for (counter, count) in [
            (&metrics.snapshots_sent, &sent.snapshots),
            (&metrics.snapshots_given_up, &sent.snapshots_given_up),
            (&metrics.snapshots_sent_bytes, &sent.snapshot_bytes),
            (&metrics.peer_connects, &sent.connects),
            (&metrics.snapshots_received, &received.snapshots),
            (&metrics.snapshots_refused, &received.snapshots_failed),
            (&metrics.peer_batches_refused, &received.refused),
            (&metrics.handshakes, &door.known),
            (&metrics.strangers, &door.strangers),
        ] {
            // It only ever grows, and nobody else adds to it.
            counter.inc_by(value(count).saturating_sub(counter.get()));
        }
        for (limit, count) in [
            (Limit::PeerQueue, &sent.dropped),
            (Limit::Handshakes, &door.handshakes_limit),
            (Limit::Strangers, &door.strangers_limit),
        ] {
            limits::up_to(limit, value(count));
        }
    }
}

fn value(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    /// The value of a line of `/metrics`, by its name with labels.
    fn line(text: &str, name: &str) -> Option<u64> {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.and_then(|value| value.parse().ok())
    }

    #[test]
    fn what_is_counted_is_shown_once_by_its_name() {
        let metrics = Metrics::default();
        let mut before = HostCounters::default();
        for sleeps in [3, 5] {
            let now = HostCounters { sleeps, wakes_by_silence: 1, beats: 40, garbage: 2, ..before };
            metrics.cluster.add_host(&mut before, now);
        }
        let others = Others { sent: Arc::default(), received: Arc::default(), door: Arc::default() };
        others.sent.snapshots.store(2, Ordering::Relaxed);
        others.sent.snapshot_bytes.store(900, Ordering::Relaxed);
        others.sent.dropped.store(5, Ordering::Relaxed);
        others.received.snapshots_failed.store(4, Ordering::Relaxed);
        others.door.known.store(6, Ordering::Relaxed);
        others.door.strangers_limit.store(7, Ordering::Relaxed);
        others.door.handshakes_limit.store(8, Ordering::Relaxed);
        for _ in 0..2 {
            others.carry(&metrics.cluster);
        }
        metrics.cluster.moved(true);
        metrics.cluster.stepped(&Step::Drop { node: 1, shard: 2 }, true);
        metrics.cluster.stepped(&Step::Born { shard: 2 }, false);
        let text = metrics.text();
        for (name, wanted) in [
            ("shards_asleep", 0),
            ("shard_sleeps_total", 5),
            ("shard_wakes_by_silence_total", 1),
            ("beats_sent_total", 40),
            ("peer_messages_refused_total", 2),
            ("snapshots_sent_total", 2),
            ("snapshots_sent_bytes_total", 900),
            ("snapshots_refused_total", 4),
            ("handshakes_total", 6),
            ("limit_reached_total{limit=\"peer_queue\"}", 5),
            ("limit_reached_total{limit=\"strangers\"}", 7),
            ("limit_reached_total{limit=\"handshakes\"}", 8),
            ("tenant_moves_total{outcome=\"arrived\"}", 1),
            ("tenant_moves_total{outcome=\"failed\"}", 0),
            ("steward_steps_total{step=\"drop\"}", 1),
            ("steward_steps_total{step=\"born\"}", 0),
            ("steward_steps_failed_total{step=\"born\"}", 1),
        ] {
            assert_eq!(line(&text, &format!("cordboard_node_{name}")), Some(wanted), "{name}: {text}");
        }
    }

    #[test]
    fn every_name_is_in_the_manual() {
        let (text, manual) = (Metrics::default().text(), include_str!("../../../../docs/metrics.md"));
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE cordboard_node_")) {
            let (name, kind) = name.split_once(' ').expect("a name and a kind");
            let suffix = if kind == "counter" { "_total" } else { "" };
            assert!(
                manual.contains(&format!("`cordboard_node_{name}{suffix}`")),
                "{name}{suffix} is not in docs/metrics.md"
            );
        }
    }
}
