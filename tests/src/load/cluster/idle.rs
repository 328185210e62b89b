//! Many shards that do nothing: what that costs, alone and with a gateway that watches a tenant on each of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Plan,
    gate::{Gate, leader_of},
    servers::Servers,
};
use crate::load::{
    figures::round,
    proc::{by_process, cpu, resident, since},
};

/// Until all have elected and fallen asleep.
const SETTLE: Duration = Duration::from_secs(15);
const SPAN: Duration = Duration::from_secs(20);

pub(super) fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let servers = Servers::cordboard(&plan.cordboard, plan.idle_shards)?;
    let founded = Instant::now();
    runtime.block_on(leader_of(&servers.endpoints(), plan.idle_shards))?;
    say(&format!("{} shards are led", plan.idle_shards));
    let led = founded.elapsed().as_secs_f64();
    let alone = measure(&servers)?;
    // As a gateway does: a Watch stream of each tenant, whose leader says five times a second that it is there.
    let gate = runtime.block_on(Gate::open(&servers.endpoints(), plan.idle_shards, 0))?;
    say(&format!("a gateway watches {} tenants", plan.idle_shards));
    let watched = measure(&servers)?;
    drop(gate);
    Ok(json!({
        "shards": plan.idle_shards,
        "led_after_s": round(led),
        "most_percent": alone.most,
        "alone": alone.json,
        "watched_most_percent": watched.most,
        "watched": watched.json,
    }))
}

struct Measured {
    most: f64,
    json: Value,
}

fn measure(servers: &Servers) -> anyhow::Result<Measured> {
    std::thread::sleep(SETTLE);
    let (before, began) = (cpu(&servers.watched())?, Instant::now());
    std::thread::sleep(SPAN);
    let (used, seconds) = (since(&before, &cpu(&servers.watched())?), began.elapsed().as_secs_f64());
    let percent: BTreeMap<String, f64> =
        by_process(&used).into_iter().map(|(name, used)| (name, round(used * 100.0 / seconds))).collect();
    let memory: BTreeMap<String, f64> = servers
        .watched()
        .iter()
        .filter_map(|server| Some((server.name.clone(), round(resident(server.pid).ok()? as f64 / 1e6))))
        .collect();
    let most = percent.values().copied().fold(0.0, f64::max);
    Ok(Measured { most, json: json!({ "cpu_percent_of_a_core": percent, "resident_mb": memory }) })
}
