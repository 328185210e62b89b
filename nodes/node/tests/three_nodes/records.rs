//! A consumer of the records goes from node to node with its cursor. It never asks which of them leads.

use proto::v1::{CallRecord, ChangeAgentRequest, EndCause, RecordBatch, StreamRecordsRequest, record::Kind};
use tonic::Code;

use super::*;

fn request(cursor: &str, kinds: &[&str], follow: bool) -> StreamRecordsRequest {
    let kinds = kinds.iter().map(ToString::to_string).collect();
    StreamRecordsRequest { cursor: cursor.into(), kinds, follow, batch_max: 3, shards: Vec::new() }
}

async fn open(cluster: &Cluster, index: usize, request: StreamRecordsRequest) -> tonic::Streaming<RecordBatch> {
    until("the node takes a consumer", async || {
        Some(cluster.admin(index).await?.stream_records(request.clone()).await.ok()?.into_inner())
    })
    .await
}

fn calls(batch: &RecordBatch) -> Vec<u64> {
    let call = |kind: &Kind| match kind {
        Kind::Call(CallRecord { call, .. }) => Some(*call),
        _ => None,
    };
    batch.records.iter().filter_map(|record| record.kind.as_ref().and_then(call)).collect()
}

/// Everything that one node has written down, as a consumer who does not wait reads it.
async fn all(cluster: &Cluster, index: usize) -> Vec<RecordBatch> {
    let mut stream = open(cluster, index, request("", &[], false)).await;
    let mut batches = Vec::new();
    while let Some(batch) = timeout(PATIENCE, stream.next()).await.expect("in time") {
        batches.push(batch.expect("a batch"));
    }
    batches
}

async fn ends(gateway: &mut Gateway, calls: std::ops::RangeInclusive<u64>) {
    for call in calls {
        gateway.accepted(offer(call)).await;
        gateway.accepted(end(call, 1, EndCause::Hangup)).await;
    }
}

/// A consumer that keeps what it was told.
#[derive(Default)]
struct Consumer {
    cursor: String,
    calls: Vec<u64>,
}

impl Consumer {
    async fn follow(&mut self, cluster: &Cluster, index: usize, enough: usize) {
        let mut stream = open(cluster, index, request(&self.cursor, &["call"], true)).await;
        while self.calls.len() < enough {
            let batch = timeout(PATIENCE, stream.next()).await.expect("in time").expect("open").expect("a batch");
            assert!(!batch.pruned);
            self.calls.extend(calls(&batch));
            self.cursor = batch.cursor;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_goes_from_node_to_node_without_loss_or_duplicates() {
    let mut cluster = Cluster::start().await;
    apply(&cluster, CENTRE).await;
    let away = AgentChange::LogOut.into();
    let change = ChangeAgentRequest { name: "anna".into(), change: away, ..ChangeAgentRequest::default() };
    cluster.admin(0).await.expect("up").change_agent(change).await.expect("changed");
    let leader = cluster.leader(&[0, 1, 2]).await;
    let (second, third) = ((leader + 1) % 3, (leader + 2) % 3);
    let (mut gateway, _) = Gateway::attach(&cluster.nodes[leader].endpoint, 0).await.expect("attached");

    let mut consumer = Consumer::default();
    ends(&mut gateway, 1..=10).await;
    consumer.follow(&cluster, leader, 7).await;
    consumer.follow(&cluster, second, 10).await;
    // It waits at a node that is stopped, and hears the end.
    let mut waiting = open(&cluster, third, request(&consumer.cursor, &["call"], true)).await;
    cluster.stop(third).await;
    assert!(timeout(PATIENCE, waiting.next()).await.expect("in time").is_none(), "a clean end");
    ends(&mut gateway, 11..=20).await;
    consumer.follow(&cluster, second, 14).await;
    // What the restarted node was not there for it writes down from the log, at the same places.
    cluster.restart(third);
    consumer.follow(&cluster, third, 20).await;
    cluster.stop(second).await;
    cluster.restart(second);
    ends(&mut gateway, 21..=25).await;
    consumer.follow(&cluster, second, 25).await;
    assert_eq!(consumer.calls, (1..=25).collect::<Vec<_>>());

    let expected = all(&cluster, leader).await;
    assert_eq!(expected.iter().flat_map(calls).count(), 25);
    for index in [second, third] {
        until("every node has the same records at the same places", async || {
            (all(&cluster, index).await == expected).then_some(())
        })
        .await;
    }
    let mut admin = cluster.admin(third).await.expect("up");
    for (wrong, field) in [(request("x", &[], false), "cursor"), (request("", &["calls"], false), "kinds")] {
        let refused = admin.stream_records(wrong).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(field), "{refused}");
    }
    for index in 0..3 {
        cluster.stop(index).await;
    }
}

/// Three nodes of which little is kept in the log, so that one that was away gets a snapshot; it looks for what it misses so
/// often. Which one was away, and calls 1 to 200, of which it heard the first three.
async fn one_was_away(fill_every_ms: u64, consumer: &mut Consumer) -> (Cluster, Gateway, usize) {
    let small = NodeConfig { snapshot_entries: 20, snapshot_bytes: 2_000, fill_every_ms, ..NodeConfig::default() };
    let mut cluster = Cluster::start_as(small).await;
    apply(&cluster, CENTRE).await;
    let away = AgentChange::LogOut.into();
    let change = ChangeAgentRequest { name: "anna".into(), change: away, ..ChangeAgentRequest::default() };
    cluster.admin(0).await.expect("up").change_agent(change).await.expect("changed");
    let leader = cluster.leader(&[0, 1, 2]).await;
    let third = (leader + 2) % 3;
    let (mut gateway, _) = Gateway::attach(&cluster.nodes[leader].endpoint, 0).await.expect("attached");
    ends(&mut gateway, 1..=3).await;
    consumer.follow(&cluster, leader, 3).await;
    cluster.stop(third).await;
    ends(&mut gateway, 4..=200).await;
    cluster.restart(third);
    (cluster, gateway, third)
}

/// Calls that a node has itself, and whether it says that something is missing.
async fn alone(cluster: &Cluster, index: usize) -> (Vec<u64>, bool) {
    let mut request = tonic::Request::new(request("", &["call"], false));
    request.metadata_mut().insert(node::shards::FROM_NODE, tonic::metadata::MetadataValue::from_static("1"));
    let mut admin = cluster.admin(index).await.expect("up");
    let mut stream = admin.stream_records(request).await.expect("open").into_inner();
    let (mut found, mut pruned) = (Vec::new(), false);
    while let Some(batch) = timeout(PATIENCE, stream.next()).await.expect("in time") {
        let batch = batch.expect("a batch");
        found.extend(calls(&batch));
        pruned |= batch.pruned;
    }
    (found, pruned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_has_kept_from_a_node_is_read_at_another() {
    let mut consumer = Consumer::default();
    let (mut cluster, mut gateway, third) = one_was_away(0, &mut consumer).await;
    consumer.follow(&cluster, third, 200).await;
    ends(&mut gateway, 201..=203).await;
    consumer.follow(&cluster, third, 203).await;
    assert_eq!(consumer.calls, (1..=203).collect::<Vec<_>>());
    // A node alone says that something is missing: or it got no snapshot, and this is no test.
    assert!(alone(&cluster, third).await.1);
    for index in 0..3 {
        cluster.stop(index).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_has_kept_from_a_node_comes_to_it() {
    let (mut cluster, mut gateway, third) = one_was_away(200, &mut Consumer::default()).await;
    ends(&mut gateway, 201..=203).await;
    until("the node has everything that it was not there for", async || {
        (alone(&cluster, third).await == ((1..=203).collect(), false)).then_some(())
    })
    .await;
    for index in 0..3 {
        cluster.stop(index).await;
    }
}
