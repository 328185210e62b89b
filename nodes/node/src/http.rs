//! `/metrics`, `/health` and `/ready` over HTTP. Reads, never decides.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    answers::{Answers, TenantHere},
    metrics::{Metrics, PerTenant, QUEUES_MAX, ShardLabel, TenantLabel, gauge_value},
};

#[derive(Clone)]
struct Seen {
    metrics: Arc<Metrics>,
    answers: Answers,
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, answers: Answers) {
    let routes = Router::new()
        .route("/metrics", get(text))
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .with_state(Seen { metrics, answers });
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "HTTP ended");
    }
}

async fn text(State(seen): State<Seen>) -> impl IntoResponse {
    let (described, tenants) = (seen.answers.describe().await, seen.answers.tenants_here(QUEUES_MAX).await);
    let metrics = &seen.metrics;
    // A core with too much to do says nothing of its shards: what is counted is told all the same.
    let (described, tenants) = (described.unwrap_or_default(), tenants.unwrap_or_default());
    metrics
        .cluster
        .shards_asleep
        .set(gauge_value(described.replicas.iter().filter(|replica| replica.asleep).count() as u64));
    metrics.record_gaps.set(gauge_value(seen.answers.record_gaps() as u64));
    let shards = described.shards;
    // A tenant that has moved is shown where it lives only.
    metrics.queues.clear();
    [&metrics.calls_waiting, &metrics.calls_talking, &metrics.agents_ready].into_iter().for_each(PerTenant::clear);
    for TenantHere { shard, tenant, totals, queues } in tenants {
        queues.into_iter().for_each(|queue| metrics.queues.set(shard, tenant, queue));
        let label = TenantLabel { shard, tenant };
        let set = |family: &PerTenant, value: u32| {
            family.get_or_create_owned(&label).set(value.into());
        };
        set(&metrics.calls_waiting, totals.calls_waiting);
        set(&metrics.calls_talking, totals.calls_talking);
        set(&metrics.agents_ready, totals.agents_ready);
    }
    for shard in shards {
        let label = ShardLabel { shard: shard.id };
        let set = |family: &prometheus_client::metrics::family::Family<ShardLabel, _>, value: i64| {
            let gauge: prometheus_client::metrics::gauge::Gauge = family.get_or_create_owned(&label);
            gauge.set(value);
        };
        set(&seen.metrics.leads, i64::from(shard.leader == seen.answers.own_id()));
        set(&seen.metrics.applied_index, gauge_value(shard.applied));
        set(&seen.metrics.term, gauge_value(shard.term));
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], seen.metrics.text())
}

/// 200 when every replica here knows a leader. The text says which do not.
async fn ready(State(seen): State<Seen>) -> (StatusCode, String) {
    let mut text = String::new();
    let Some(described) = seen.answers.describe().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "this node is overloaded, or stops\n".into());
    };
    for shard in described.shards.iter().filter(|shard| shard.leader.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "shard {} has no leader", shard.id);
    }
    if text.is_empty() { (StatusCode::OK, "ready\n".into()) } else { (StatusCode::SERVICE_UNAVAILABLE, text) }
}
