//! What a node does of itself while it runs: each task with what it reaches, spawned once and ended by its set.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use cluster::WriterCounters;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::sleep};
use trust::DoorCounters;

use super::{Inside, cores::Told};
use crate::{
    choosers::Choosers,
    config::NodeConfig,
    filler::Filler,
    follow::Follow,
    http,
    join::{Announcer, Refused},
    metrics::{Metrics, gauge_value},
    moves::Mover,
    pump::Pump,
    records::Records,
    steward::Steward,
};

/// Spawns all of them. What is received is why this node must not go on.
pub(super) async fn spawn(
    config: &NodeConfig,
    inside: &Inside,
    told: Told,
    announcer: Announcer,
    counters: Arc<WriterCounters>,
    flush_us: Arc<AtomicU64>,
) -> anyhow::Result<(JoinSet<()>, mpsc::Receiver<Refused>)> {
    let Inside { own, members, owners, records, replicas, answers, shards, peers, directory, roster, metrics, .. } =
        inside;
    let (refused, refusals) = mpsc::channel(1);
    let follow = Follow {
        own: *own,
        roster: roster.clone(),
        members: members.clone(),
        peers: Arc::clone(peers),
        replicas: replicas.clone(),
        refused: refused.clone(),
    };
    let steward = Steward {
        shards: shards.clone(),
        members: members.clone(),
        limits: inside.limits.clone(),
        seen: inside.seen.clone(),
        metrics: metrics.cluster.clone(),
    };
    let pump = Pump {
        shards: shards.clone(),
        owners: owners.clone(),
        directory: directory.clone(),
        gained: told.gained,
        tenant_shards: config.tenant_shards,
        rules: config.rules,
        delivered: BTreeMap::new(),
    };
    let mover = Mover {
        shards: shards.clone(),
        owners: owners.clone(),
        directory: directory.clone(),
        metrics: metrics.cluster.clone(),
        arrival_max: Duration::from_millis(config.arrival_max_ms),
    };
    // Dropped at the end, so that nothing of this node goes on after it.
    let mut tasks = JoinSet::new();
    tasks.spawn(follow.run());
    tasks.spawn(steward.run());
    tasks.spawn(announcer.run(roster.clone(), replicas.clone(), Arc::clone(peers), refused));
    tasks.spawn(pump.run());
    tasks.spawn(mover.run());
    if config.fill_every_ms > 0 {
        let filler = Filler {
            own: *own,
            records: records.clone(),
            owners: owners.clone(),
            members: members.clone(),
            channels: shards.channels().clone(),
            every: Duration::from_millis(config.fill_every_ms),
        };
        tasks.spawn(filler.run());
    }
    tasks.spawn(config.trust.clone().watch());
    tasks.spawn(Choosers::new(shards.clone(), told.asks).run());
    if let Some(address) = config.http {
        let listener = listen_http(address).await?;
        tasks.spawn(http::serve(listener, Arc::clone(metrics), answers.clone()));
    }
    let door = config.trust.counters();
    tasks.spawn(watch_counters(Arc::clone(&counters), door, records.clone(), Arc::clone(metrics)));
    tasks.spawn(watch_flushes(counters, flush_us));
    Ok((tasks, refusals))
}

async fn listen_http(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen for HTTP on {address}"))
}

/// How long the latest flushes took, for the steward.
async fn watch_flushes(counters: Arc<WriterCounters>, flush_us: Arc<AtomicU64>) {
    let now = || (counters.flushes.load(Ordering::Relaxed), counters.flush_us.load(Ordering::Relaxed));
    let mut before = now();
    loop {
        sleep(Duration::from_secs(2)).await;
        let after = now();
        // A disk that nothing was written to is as fast as it was.
        if let Some(mean) = (after.1 - before.1).checked_div(after.0 - before.0) {
            flush_us.store(mean, Ordering::Relaxed);
        }
        before = after;
    }
}

async fn watch_counters(
    counters: Arc<WriterCounters>,
    door: Arc<DoorCounters>,
    records: Records,
    metrics: Arc<Metrics>,
) {
    let value = |count: &AtomicU64| gauge_value(count.load(Ordering::Relaxed));
    loop {
        metrics.log_flushes.set(value(&counters.flushes));
        metrics.log_batches.set(value(&counters.batches));
        metrics.records_buffered.set(gauge_value(records.buffered()));
        metrics.connections_refused.set(value(&door.refused));
        sleep(Duration::from_secs(1)).await;
    }
}
