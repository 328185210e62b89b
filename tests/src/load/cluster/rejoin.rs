//! A node of many waiting calls comes back with an empty disk: how long until it has everything, and what that does to the
//! others' writes.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use proto::v1::{DescribeRequest, query_client::QueryClient};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Plan,
    drive::{WARM_UP, measure},
    gate::{Gate, leader_of},
    servers::{NODES, Servers},
};
use crate::load::figures::round;

const CLIENTS: usize = 16;
const SHARD: u32 = 1;
const REJOIN_MAX: Duration = Duration::from_secs(180);
/// Offered at once.
const PIECE: u64 = 2_000;

pub(super) fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut servers = Servers::cordboard(&plan.cordboard, 1)?;
    let endpoints = servers.endpoints();
    let span = Duration::from_secs(plan.seconds);
    runtime.block_on(async {
        let gate = Arc::new(Gate::open(&endpoints, 1, 4).await?);
        let first = 1_000_000;
        for from in (first..first + plan.calls).step_by(PIECE as usize) {
            gate.offer(0, from..(from + PIECE).min(first + plan.calls)).await?;
        }
        say(&format!("{} calls wait", plan.calls));
        let before = measure(Arc::clone(&gate), CLIENTS, (WARM_UP, span), &servers.watched()).await?;
        let leader = leader_of(&endpoints, SHARD).await?;
        let place = (leader + 1) % NODES;
        let goal = applied(&endpoints[leader]).await?;
        servers.servers[place].kill()?;
        fs::remove_dir_all(&servers.servers[place].dir)?;
        servers.restart(place)?;
        let began = Instant::now();
        let endpoint = endpoints[place].clone();
        let rejoined = tokio::spawn(async move {
            while began.elapsed() < REJOIN_MAX {
                if applied(&endpoint).await.is_ok_and(|index| index >= goal) {
                    return Some(began.elapsed());
                }
                sleep(Duration::from_millis(20)).await;
            }
            None
        });
        // The load of before, from the start of the node until it has everything.
        let without: Vec<_> =
            servers.watched().into_iter().filter(|server| server.name != format!("n{}", place + 1)).collect();
        let during = measure(Arc::clone(&gate), CLIENTS, (Duration::ZERO, span), &without).await?;
        let took = rejoined.await?.context("the node did not come back")?;
        ensure!(goal > plan.calls / 10_000, "the log is too short to mean anything: {goal}");
        let p99 = |json: &Value| json["p99_ms"].as_f64().unwrap_or(0.0);
        Ok(json!({
            "calls": plan.calls,
            "seconds": round(took.as_secs_f64()),
            "before": before.json,
            "during": during.json,
            "p99_times": round(p99(&during.json) / p99(&before.json).max(0.001)),
        }))
    })
}

/// What a node has applied of the shard.
async fn applied(endpoint: &str) -> anyhow::Result<u64> {
    let mut query = QueryClient::connect(format!("http://{endpoint}")).await?;
    let shards = query.describe(DescribeRequest {}).await?.into_inner().shards;
    Ok(shards.into_iter().find(|shard| shard.id == SHARD).context("no replica")?.applied)
}
