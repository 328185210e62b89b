//! The set-up scenario: 500 agents, a hundred calls a second, 300 ms of talk; and the cluster without a call.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    Plan,
    figures::{percentile, round},
    phones::{Callers, CallersAtWork},
    proc::{Cpu, by_process, cpu, since},
    sipp::Sipp,
    site::{Answer, Site},
};

const AGENTS: u32 = 500;
const TALK: Duration = Duration::from_millis(300);
/// Of a hundred calls, those of our own caller, who has an exact clock.
const OWN_PERCENT: u32 = 20;
const WARM_UP_CALLS: u32 = 200;
const IDLE: Duration = Duration::from_secs(10);

pub(super) fn idle(plan: &Plan) -> anyhow::Result<Value> {
    let (site, _) = Site::start(plan, Answer::OnAgent, AGENTS)?;
    let (began, before) = (Instant::now(), cpu(&site.processes)?);
    let flushes = site.metric("cordboard_node_log_flushes");
    std::thread::sleep(IDLE);
    let (used, seconds) = (since(&before, &cpu(&site.processes)?), began.elapsed().as_secs_f64());
    let percent = |used: f64| round(used * 100.0 / seconds);
    Ok(json!({
        "cpu_percent": percent(used.values().sum()),
        "by_process": by_process(&used).into_iter().map(|(name, used)| (name, percent(used))).collect::<BTreeMap<_, _>>(),
        "flushes_per_s": round((site.metric("cordboard_node_log_flushes") - flushes) / seconds),
    }))
}

pub(super) fn run(plan: &Plan) -> anyhow::Result<Value> {
    let (site, agents_port) = Site::start(plan, Answer::OnAgent, AGENTS)?;
    let dir = tempfile::Builder::new().prefix("cb-sipp-").tempdir_in("/tmp")?;
    let mut agents = Sipp::agents(dir.path(), agents_port)?;
    std::thread::sleep(Duration::from_millis(300));
    let mut warm_up = Sipp::callers(dir.path(), site.sip, site.ports.one()?, WARM_UP_CALLS, plan.rate)?;
    warm_up.wait(Duration::from_secs(30))?;
    std::thread::sleep(Duration::from_millis(1_200));

    let own_calls = plan.calls * OWN_PERCENT / 100;
    let own_rate = plan.rate * OWN_PERCENT / 100;
    let names = ["log_flushes", "log_batches", "commands_applied_total"];
    let metrics = || names.map(|name| site.metric(&format!("cordboard_node_{name}")));
    let (counted, before, began) = (metrics(), cpu(&site.processes)?, Instant::now());
    let limit = Duration::from_secs(u64::from(plan.calls / plan.rate) + 60);
    let mut crowd =
        Sipp::callers(dir.path(), site.sip, site.ports.one()?, plan.calls - own_calls, plan.rate - own_rate)?;
    let socket = site.ports.socket()?;
    let own = Callers { to: site.sip, count: own_calls, rate: own_rate, talk: Some(TALK), rtp_port: 9 };
    let own = CallersAtWork::start(socket, own)?;
    crowd.wait(limit)?;
    while own.seen().ended + own.seen().failed < own_calls && began.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (used, seconds) = (since(&before, &cpu(&site.processes)?), began.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_millis(1_200));
    let counted: BTreeMap<_, _> = names
        .into_iter()
        .zip(metrics().into_iter().zip(counted))
        .map(|(name, (after, before))| (name, round((after - before) / f64::from(plan.calls))))
        .collect();
    anyhow::ensure!(agents.goes_on()?, "SIPp's agents ended early");
    let (seen, crowd) = (own.seen(), crowd.counted());
    let per_1000 = |used: f64| round(used * 1_000.0 / f64::from(plan.calls));
    let sum: f64 = used.values().sum();
    Ok(json!({
        "calls": plan.calls,
        "calls_per_s": round(f64::from(plan.calls) / seconds),
        "failed": crowd.failed + u64::from(seen.failed) + u64::from(own_calls - seen.answered.min(own_calls)),
        "good": crowd.good + u64::from(seen.ended),
        "repeated_requests": crowd.repeated + u64::from(seen.repeated),
        "cpu_s_per_1000_calls": per_1000(sum),
        "cpu_by_process": by_process(&used).into_iter().map(|(name, used)| (name, per_1000(used))).collect::<BTreeMap<_, _>>(),
        "cpu_by_thread": threads(&used, per_1000),
        "setup_ms": {
            "p50": round(percentile(&seen.setup_us, 50.0) / 1_000.0),
            "p99": round(percentile(&seen.setup_us, 99.0) / 1_000.0),
            "max": round(percentile(&seen.setup_us, 100.0) / 1_000.0),
            "calls": seen.setup_us.len(),
        },
        "per_call_all_nodes": counted,
        "resident_mb": site.processes.iter().map(|watched| {
            let bytes = super::proc::resident(watched.pid).context("resident")?;
            Ok((watched.name.clone(), round(bytes as f64 / 1e6)))
        }).collect::<anyhow::Result<BTreeMap<_, _>>>()?,
    }))
}

/// Thread names of all nodes together, and those of the gateway.
fn threads(used: &Cpu, per_1000: impl Fn(f64) -> f64) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::<String, f64>::new();
    for ((process, thread), used) in used {
        let role = process.trim_end_matches(|c: char| c.is_ascii_digit());
        let role = match role {
            "n" => "nodes",
            "g" => "gateway",
            other => other,
        };
        *sums.entry(format!("{role}/{thread}")).or_default() += used;
    }
    sums.into_iter().map(|(name, used)| (name, per_1000(used))).filter(|(_, used)| *used > 0.0).collect()
}
