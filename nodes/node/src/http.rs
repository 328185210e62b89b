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
    answers::Answers,
    metrics::{Metrics, QUEUES_MAX, ShardLabel, gauge_value},
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
    let shards = seen.answers.describe().await.shards;
    let mut queues = Vec::new();
    for shard in &shards {
        queues.extend(seen.answers.queues_here(shard.id, QUEUES_MAX).await.into_iter().map(|queue| (shard.id, queue)));
    }
    seen.metrics.queues.clear();
    queues.into_iter().for_each(|(shard, queue)| seen.metrics.queues.set(shard, queue));
    for shard in shards {
        let label = ShardLabel { shard: shard.id };
        let set = |family: &prometheus_client::metrics::family::Family<ShardLabel, _>, value: i64| {
            let gauge: prometheus_client::metrics::gauge::Gauge = family.get_or_create_owned(&label);
            gauge.set(value);
        };
        set(&seen.metrics.leads, i64::from(shard.leader == seen.answers.own_id()));
        set(&seen.metrics.applied_index, gauge_value(shard.applied));
        set(&seen.metrics.term, gauge_value(shard.term));
        if let Some(totals) = seen.answers.totals_here(shard.id).await {
            set(&seen.metrics.calls_waiting, i64::from(totals.calls_waiting));
            set(&seen.metrics.calls_talking, i64::from(totals.calls_talking));
            set(&seen.metrics.agents_ready, i64::from(totals.agents_ready));
        }
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], seen.metrics.text())
}

/// 200 when every replica here knows a leader. The text says which do not.
async fn ready(State(seen): State<Seen>) -> (StatusCode, String) {
    let mut text = String::new();
    for shard in seen.answers.describe().await.shards.iter().filter(|shard| shard.leader.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "shard {} has no leader", shard.id);
    }
    if text.is_empty() { (StatusCode::OK, "ready\n".into()) } else { (StatusCode::SERVICE_UNAVAILABLE, text) }
}
