//! SIPp calls SIPp, without us: what the load itself costs on this machine, and what a flush of its disk costs.

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Plan,
    figures::{percentile, round},
    proc::{by_process, cpu, since},
    sipp::Sipp,
};
use crate::ports::Ports;

/// Flushes that are timed.
const FLUSHES: u32 = 200;

pub(super) fn run(plan: &Plan) -> anyhow::Result<Value> {
    let dir = tempfile::Builder::new().prefix("cb-load-").tempdir_in("/tmp")?;
    let mut file = File::create(dir.path().join("flushed"))?;
    let mut took = Vec::new();
    for _ in 0..FLUSHES {
        let began = Instant::now();
        file.write_all(&[7; 256])?;
        file.sync_data()?;
        took.push(began.elapsed().as_micros() as u64);
    }
    let ports = Ports::take()?;
    let (agent, caller) = (ports.one()?, ports.one()?);
    let calls = plan.calls.min(2_000);
    let agents = Sipp::agents(dir.path(), agent)?;
    std::thread::sleep(Duration::from_millis(300));
    let mut callers = Sipp::callers(dir.path(), ([127, 0, 0, 1], agent).into(), caller, calls, plan.rate)?;
    let watched = [agents.watched(), callers.watched()];
    let before = cpu(&watched)?;
    let mut after = before.clone();
    // A process that has ended cannot be asked any more.
    while callers.goes_on()? {
        after = cpu(&watched).unwrap_or(after);
        std::thread::sleep(Duration::from_millis(50));
    }
    let used: f64 = by_process(&since(&before, &after)).values().sum();
    Ok(json!({
        "calls": calls,
        "failed": callers.counted().failed,
        "cpu_s_per_1000_calls": round(used * 1_000.0 / f64::from(calls)),
        "flush_us": { "p50": percentile(&took, 50.0), "p99": percentile(&took, 99.0) },
    }))
}
