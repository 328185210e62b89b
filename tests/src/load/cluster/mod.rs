//! `make load-cluster`: what the replication costs and how fast it heals, beside etcd in the same run. Each piece against
//! fresh processes on loopback, with durable logs on the same disk. Judges nothing.

mod commits;
mod drive;
mod etcd;
mod failover;
mod gate;
mod idle;
mod rejoin;
mod servers;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::figures;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The binary under load.
    pub cordboard: PathBuf,
    /// These pieces; all of them when empty.
    pub only: Vec<String>,
    /// Seconds of each figure of the commit path.
    pub seconds: u64,
    /// How often the commit path is measured, taking turns with etcd.
    pub rounds: u32,
    /// Leaders killed.
    pub kills: u32,
    /// Shards of the idle cluster.
    pub idle_shards: u32,
    /// Shards that commit side by side.
    pub shards: u32,
    /// Waiting calls of the node that rejoins.
    pub calls: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            cordboard: PathBuf::new(),
            only: Vec::new(),
            seconds: 5,
            rounds: 2,
            kills: 50,
            idle_shards: 256,
            shards: 64,
            calls: 100_000,
        }
    }
}

/// The pieces by name.
pub const PIECES: [&str; 5] = ["commits", "failover", "handover", "idle", "rejoin"];

/// Runs the pieces one after the other. A piece that could not be measured says so in its place and in `not_measured`.
#[must_use]
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Value {
    let mut report = Map::new();
    report.insert("machine".into(), figures::machine());
    let mut missing = Vec::new();
    let mut piece = |name: &str, run: &mut dyn FnMut() -> anyhow::Result<Value>| {
        if plan.only.is_empty() || plan.only.iter().any(|only| only == name) {
            let figures = run().unwrap_or_else(|error| {
                missing.push(name.to_owned());
                json!({ "failed": format!("{error:#}") })
            });
            report.insert(name.into(), figures);
        }
    };
    piece("commits", &mut || commits::run(plan, say));
    piece("failover", &mut || failover::killed(plan, say));
    piece("handover", &mut || failover::handed_over(plan, say));
    piece("idle", &mut || idle::run(plan, say));
    piece("rejoin", &mut || rejoin::run(plan, say));
    let headline = [
        ("writes_per_cpu_second_over_etcd", &["commits", "writes_per_cpu_second_over_etcd"][..]),
        ("failover_p99_ms", &["failover", "p99_ms"]),
    ];
    for (name, path) in headline {
        let value = path.iter().try_fold(&Value::Object(report.clone()), |at, part| at.get(part)).cloned();
        report.insert(name.into(), value.unwrap_or(Value::Null));
    }
    report.insert("not_measured".into(), json!(missing));
    Value::Object(report)
}
