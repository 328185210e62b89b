//! The commit path: writes a second and per CPU-second of the servers, ours and etcd's in turns, at 1, 64 and 256 clients.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    Plan,
    drive::{Reached, WARM_UP, Writer, measure},
    etcd::Puts,
    gate::Gate,
    servers::Servers,
};
use crate::load::figures::round;

const CLIENTS: [usize; 3] = [1, 64, 256];
/// Streams that the clients of one shard share, as many as etcd's connections.
const STREAMS: usize = 8;

pub(super) fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let span = Duration::from_secs(plan.seconds);
    let mut rounds = Vec::new();
    let (mut at_their_best, mut lowest) = (f64::INFINITY, f64::INFINITY);
    for round_number in 1..=plan.rounds.max(1) {
        let mut figures = Map::new();
        let mut reached: Vec<(&str, Vec<Reached>)> = Vec::new();
        for kind in ["etcd", "one_shard", "shards"] {
            let levels = match kind {
                "etcd" => {
                    let servers = Servers::etcd()?;
                    let puts = Arc::new(runtime.block_on(Puts::to_leader_of(&servers.endpoints()))?);
                    levels(&runtime, &puts, span, &servers, say, kind)?
                }
                "one_shard" => {
                    let servers = Servers::cordboard(&plan.cordboard, 1)?;
                    let gate = Arc::new(runtime.block_on(Gate::open(&servers.endpoints(), 1, STREAMS))?);
                    levels(&runtime, &gate, span, &servers, say, kind)?
                }
                _ => {
                    let servers = Servers::cordboard(&plan.cordboard, plan.shards)?;
                    let gate = Arc::new(runtime.block_on(Gate::open(&servers.endpoints(), plan.shards, 1))?);
                    levels(&runtime, &gate, span, &servers, say, kind)?
                }
            };
            let rows: Map<String, Value> =
                CLIENTS.iter().zip(&levels).map(|(clients, level)| (clients.to_string(), level.json.clone())).collect();
            figures.insert(kind.into(), rows.into());
            reached.push((kind, levels));
        }
        let (theirs, ours) = reached.split_first().map(|(first, rest)| (&first.1, rest)).unwrap_or((&EMPTY, &[]));
        let best = theirs.iter().map(|level| level.per_cpu_second).fold(0.0, f64::max);
        let mut ratios = Map::new();
        for (kind, levels) in ours {
            for ((clients, own), other) in CLIENTS.iter().zip(levels).zip(theirs) {
                let ratio = own.per_cpu_second / other.per_cpu_second.max(1.0);
                ratios.insert(format!("{kind}_{clients}"), json!(round(ratio)));
                if other.per_cpu_second >= best {
                    at_their_best = at_their_best.min(ratio);
                }
                // A lone client measures how long one write takes; both are mostly idle then.
                if *clients > 1 {
                    lowest = lowest.min(ratio);
                }
            }
        }
        figures.insert("per_cpu_second_over_etcd".into(), ratios.into());
        say(&format!("round {round_number}: {}", Value::Object(figures.clone())));
        rounds.push(Value::Object(figures));
    }
    Ok(json!({
        "value_bytes": super::drive::VALUE_BYTES,
        "shards": plan.shards,
        "rounds": rounds,
        // With as many clients as etcd does most with a CPU-second, the lower one of one shard and of many, of all rounds.
        "writes_per_cpu_second_over_etcd": round(at_their_best),
        // The same over 64 and 256 clients: with 64 each of 64 shards has a lone one, whose every write is a log entry.
        "lowest_over_etcd": round(lowest),
    }))
}

static EMPTY: Vec<Reached> = Vec::new();

fn levels(
    runtime: &tokio::runtime::Runtime,
    writer: &Arc<impl Writer>,
    span: Duration,
    servers: &Servers,
    say: &mut dyn FnMut(&str),
    kind: &str,
) -> anyhow::Result<Vec<Reached>> {
    let watched = servers.watched();
    CLIENTS
        .iter()
        .map(|&clients| {
            let reached = runtime.block_on(measure(Arc::clone(writer), clients, (WARM_UP, span), &watched))?;
            say(&format!("{kind}, {clients} clients: {:.0} a second", reached.per_second));
            Ok(reached)
        })
        .collect()
}
