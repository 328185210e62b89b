//! How long nothing is committed: after the leader was killed, and when it hands over on purpose.

use std::{
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Plan,
    drive::Writer,
    gate::{Gate, leader_of},
    servers::{NODES, Servers},
};
use crate::load::figures::{percentile, round};

/// Clients that write all the time.
const CLIENTS: usize = 4;
/// Between two kills: the one that was killed is back and has what it missed.
const REST: Duration = Duration::from_millis(1_500);
const SHARD: u32 = 1;
/// One that has not happened by then is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A hand-over that takes longer does not happen.
const HAND_OVER_MAX: Duration = Duration::from_secs(10);
/// Leads handed over.
const HAND_OVERS: u32 = 20;

/// `kill -9` of the leader, again and again.
pub(super) fn killed(plan: &Plan, say: &mut dyn FnMut(&str)) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut servers = Servers::cordboard(&plan.cordboard, 1)?;
    let endpoints = servers.endpoints();
    let gaps = runtime.block_on(async {
        let commits = Commits::begin(&endpoints).await?;
        let mut gaps = Vec::new();
        for kill in 1..=plan.kills {
            let leader = leader_of(&endpoints, SHARD).await?;
            let at = Instant::now();
            servers.servers[leader].kill()?;
            let next = commits.first_after(Instant::now()).await?;
            gaps.push(u64::try_from((next - at).as_micros())?);
            if kill % 10 == 0 {
                say(&format!("{kill} leaders killed"));
            }
            servers.restart(leader)?;
            sleep(REST).await;
        }
        anyhow::Ok(gaps)
    })?;
    Ok(figures(&gaps))
}

/// `cordctl shard lead`, again and again: the longest time without a commit around each.
pub(super) fn handed_over(plan: &Plan, _: &mut dyn FnMut(&str)) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let servers = Servers::cordboard(&plan.cordboard, 1)?;
    let endpoints = servers.endpoints();
    let cordctl = plan.cordboard.with_file_name("cordctl");
    let mut again = 0;
    let gaps = runtime.block_on(async {
        let commits = Commits::begin(&endpoints).await?;
        let mut gaps = Vec::new();
        for _ in 0..HAND_OVERS {
            let leader = leader_of(&endpoints, SHARD).await?;
            let to = format!("n{}", (leader + 1) % NODES + 1);
            let began = Instant::now();
            let mut asked = None::<Instant>;
            while leader_of(&endpoints, SHARD).await? == leader {
                ensure!(began.elapsed() < HAND_OVER_MAX, "{to} does not lead, time {}", gaps.len() + 1);
                // A hand-over that is taken may still come to nothing: then it is asked for again, and counted.
                if asked.is_none_or(|asked| asked.elapsed() > ASK_AGAIN) {
                    again += u32::from(asked.is_some());
                    asked = Some(Instant::now());
                    let out = Command::new(&cordctl)
                        .args(["--endpoint", &endpoints.join(","), "shard", "lead", &SHARD.to_string(), "--to", &to])
                        .output()?;
                    ensure!(out.status.success(), "shard lead: {}", String::from_utf8_lossy(&out.stderr));
                }
            }
            sleep(Duration::from_millis(500)).await;
            gaps.push(commits.longest_gap_since(began));
        }
        anyhow::Ok(gaps)
    })?;
    let mut report = figures(&gaps);
    report["asked_again"] = json!(again);
    Ok(report)
}

fn figures(gaps: &[u64]) -> Value {
    json!({
        "times": gaps.len(),
        "p50_ms": round(percentile(gaps, 50.0) / 1_000.0),
        "p99_ms": round(percentile(gaps, 99.0) / 1_000.0),
        "max_ms": round(percentile(gaps, 100.0) / 1_000.0),
    })
}

/// Clients that write all the time, and when their writes were confirmed.
struct Commits {
    seen: Arc<Mutex<Vec<Instant>>>,
    done: Arc<AtomicBool>,
}

impl Commits {
    async fn begin(endpoints: &[String]) -> anyhow::Result<Self> {
        let gate = Arc::new(Gate::open(endpoints, 1, 1).await?);
        let (seen, done) = (Arc::<Mutex<Vec<Instant>>>::default(), Arc::<AtomicBool>::default());
        for client in 0..CLIENTS {
            let (gate, seen, done) = (Arc::clone(&gate), Arc::clone(&seen), Arc::clone(&done));
            tokio::spawn(async move {
                for turn in 0.. {
                    if done.load(Ordering::Relaxed) || gate.write(client, turn).await.is_err() {
                        return;
                    }
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                }
            });
        }
        Ok(Self { seen, done })
    }

    /// When the first write was confirmed after this moment.
    async fn first_after(&self, moment: Instant) -> anyhow::Result<Instant> {
        let deadline = moment + Duration::from_secs(60);
        loop {
            let found = self.with(|seen| seen.iter().rev().take_while(|at| **at > moment).last().copied());
            if let Some(at) = found {
                return Ok(at);
            }
            (Instant::now() < deadline).then_some(()).context("nothing is committed after a minute")?;
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Microseconds.
    fn longest_gap_since(&self, moment: Instant) -> u64 {
        let gaps = self.with(|seen| {
            let since: Vec<Instant> = seen.iter().copied().filter(|at| *at > moment).collect();
            since.windows(2).map(|pair| pair[1] - pair[0]).max()
        });
        gaps.map_or(u64::MAX, |gap| u64::try_from(gap.as_micros()).unwrap_or(u64::MAX))
    }

    fn with<T>(&self, look: impl FnOnce(&Vec<Instant>) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}
