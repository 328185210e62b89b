//! Clients in a closed loop: each writes, waits for the answer, writes again. Measures what they waited for and what the
//! servers worked.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::load::{
    figures::{percentile, round},
    proc::{Watched, by_process, cpu, since},
};

/// Before anything is counted.
pub(super) const WARM_UP: Duration = Duration::from_millis(1_500);
/// Of a value that is written.
pub(super) const VALUE_BYTES: usize = 256;

/// Something that can be written to.
pub(super) trait Writer: Send + Sync + 'static {
    /// Durable on a majority when it returns.
    fn write(&self, client: usize, turn: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What was reached.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub(super) per_second: f64,
    pub(super) per_cpu_second: f64,
    pub(super) json: Value,
}

/// So many clients for so long, after a time in which nothing is counted.
pub(super) async fn measure(
    writer: Arc<impl Writer>,
    clients: usize,
    (warm_up, span): (Duration, Duration),
    servers: &[Watched],
) -> anyhow::Result<Reached> {
    let (counting, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (latencies, failed) = (Arc::<Mutex<Vec<u64>>>::default(), Arc::<Mutex<Option<String>>>::default());
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let (writer, counting, done) = (Arc::clone(&writer), Arc::clone(&counting), Arc::clone(&done));
        let (latencies, failed) = (Arc::clone(&latencies), Arc::clone(&failed));
        tasks.spawn(async move {
            let mut own = Vec::new();
            for turn in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let began = Instant::now();
                if let Err(error) = writer.write(client, turn).await {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
                    break;
                }
                if counting.load(Ordering::Relaxed) {
                    own.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
            }
            latencies.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
        });
    }
    sleep(warm_up).await;
    let (before, began) = (cpu(servers)?, Instant::now());
    counting.store(true, Ordering::Relaxed);
    sleep(span).await;
    counting.store(false, Ordering::Relaxed);
    let (used, seconds) = (since(&before, &cpu(servers)?), began.elapsed().as_secs_f64());
    done.store(true, Ordering::Relaxed);
    while tasks.join_next().await.is_some() {}
    if let Some(error) = failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        anyhow::bail!("a client could not write: {error}");
    }
    let latencies = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
    let (writes, worked) = (latencies.len() as f64, by_process(&used).values().sum::<f64>());
    let (per_second, per_cpu_second) = (writes / seconds, writes / worked.max(0.001));
    let json = json!({
        "per_second": per_second.round(),
        "per_cpu_second": per_cpu_second.round(),
        "cpu_us_each": round(worked * 1e6 / writes.max(1.0)),
        "p50_ms": round(percentile(&latencies, 50.0) / 1_000.0),
        "p99_ms": round(percentile(&latencies, 99.0) / 1_000.0),
    });
    Ok(Reached { per_second, per_cpu_second, json })
}
