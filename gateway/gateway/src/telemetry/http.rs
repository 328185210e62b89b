//! `/metrics`, `/health`, `/ready` over HTTP, and the gRPC health and reflection services. Reads, never decides.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tonic_health::ServingStatus;
use trust::{Guard, Role, Roles, Trust};

use crate::process::Shared;

/// How often the gRPC health status is brought up to date.
const HEALTH_MS: u64 = 250;

/// Serves HTTP until the process ends.
pub(crate) async fn serve_http(listener: TcpListener, shared: Arc<Shared>) {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .with_state(shared);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "HTTP ended");
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    shared.gauge();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.text())
}

/// 200 when calls can be taken: a view, and every link in sync. The text says what is missing.
async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    let mut text = String::new();
    for missing in shared.missing() {
        let _ = writeln!(text, "{missing}");
    }
    match text.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, text),
    }
}

/// Health is for everybody, what is served here for every person; what is not named here, for nobody.
fn roles(path: &str) -> Option<Roles> {
    match path {
        "/grpc.health.v1.Health/Check" | "/grpc.health.v1.Health/Watch" => Some(Roles::of(&Role::ALL)),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => Some(Roles::of(&Role::OF_USERS)),
        _ => None,
    }
}

/// Serves gRPC health and reflection until the process ends.
pub(crate) async fn serve_grpc(listener: TcpListener, trust: Trust, shared: Arc<Shared>) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let follow = async move {
        loop {
            let serving = shared.missing().is_empty();
            let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("", status).await;
            reporter.set_service_status("cordboard.gateway", status).await;
            tokio::time::sleep(Duration::from_millis(HEALTH_MS)).await;
        }
    };
    let server = tonic::transport::Server::builder()
        .layer(Guard::new(roles))
        .add_service(health)
        .add_service(reflection)
        .serve_with_incoming(trust.accept(listener));
    tokio::select! {
        ended = server => Ok(ended?),
        () = follow => Ok(()),
    }
}
