//! Keeps the directory view fresh from any node that answers. Never decides what a view means.

use std::{sync::Arc, time::Duration};

use proto::v1::{FollowRequest, shard_client::ShardClient};
use trust::Channels;

use crate::directory::{Directory, View};

const RETRY_MS: u64 = 50;
const RETRY_MS_MAX: u64 = 250;
/// A node that has not answered `Follow` with its view by then is passed over.
const FIRST_VIEW_MS_MAX: u64 = 1_000;

/// Follows the directory for ever; `changed` is called after each view that was taken.
pub(crate) async fn follow(
    (gateway, channels): (String, Channels),
    nodes: Vec<String>,
    directory: Directory,
    changed: impl Fn(&Arc<View>),
) {
    let mut position = 0;
    let mut retry_ms = RETRY_MS;
    loop {
        let endpoints = known_endpoints(&nodes, &directory);
        if let Some(endpoint) = endpoints.get(position % endpoints.len().max(1)) {
            let before = directory.load().as_ref().map(|view| view.version);
            if let Err(error) = follow_one((&gateway, &channels), endpoint, &directory, &changed).await {
                tracing::debug!(endpoint, %error, "directory lost, another node is asked");
            }
            if directory.load().as_ref().map(|view| view.version) != before {
                retry_ms = RETRY_MS;
            }
        }
        position = position.wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(retry_ms)).await;
        retry_ms = (retry_ms * 2).min(RETRY_MS_MAX);
    }
}

/// The nodes named at the start, then those that the view knows.
fn known_endpoints(nodes: &[String], directory: &Directory) -> Vec<String> {
    let mut endpoints = nodes.to_vec();
    if let Some(view) = directory.load().as_ref() {
        for endpoint in view.shards.iter().flat_map(|place| &place.endpoints) {
            if !endpoints.contains(endpoint) {
                endpoints.push(endpoint.clone());
            }
        }
    }
    endpoints
}

async fn follow_one(
    (gateway, channels): (&str, &Channels),
    endpoint: &str,
    directory: &Directory,
    changed: &impl Fn(&Arc<View>),
) -> anyhow::Result<()> {
    let mut client = ShardClient::new(channels.to(endpoint));
    let first_view = Duration::from_millis(FIRST_VIEW_MS_MAX);
    let request = FollowRequest { gateway: gateway.to_owned() };
    let mut views = tokio::time::timeout(first_view, client.follow(request)).await??.into_inner();
    let mut next = tokio::time::timeout(first_view, views.message()).await??;
    while let Some(message) = next {
        take(View::try_from(message)?, directory, changed);
        next = views.message().await?;
    }
    Ok(())
}

/// A node that lags behind may tell an older view: it is not taken.
fn take(view: View, directory: &Directory, changed: &impl Fn(&Arc<View>)) {
    let known = directory.load();
    if let Some(known) = known.as_ref() {
        if view.version <= known.version {
            return;
        }
        if view.secret != known.secret {
            tracing::error!("the directory's secret changed: this view is of another cluster and is not taken");
            return;
        }
    }
    tracing::info!(version = view.version, shards = view.shards.len(), "directory view taken");
    let view = Arc::new(view);
    directory.store(Some(Arc::clone(&view)));
    changed(&view);
}
