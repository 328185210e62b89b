//! The threads that own shards, the log and the records, and what ties them together. Nothing of the network but peers.

use std::{
    sync::{Arc, OnceLock, mpsc as blocking},
    thread,
    time::Duration,
};

use actix::{Actor as _, Addr, Arbiter, System};
use anyhow::Context as _;
use cluster::{
    Host, HostConfig, LogWriter, Persisted, Recovered, Store as _, StoreError, WriterCounters,
    peers::{PeerClient, PeerConfig, PeerEvent},
};
use proto::v1::{Ask, DirectoryView, ShardRow};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    actor::{Durable, ShardActor, Shell, SnapshotDone, Unreachable},
    birth::{OpenDisk, random},
    choosers::ASKS_WAITING_MAX,
    clock::now_us,
    config::NodeConfig,
    core::Core,
    disk_failure::stop_at_once,
    follow::uris,
    homes::Homes,
    machine::ShardMachine,
    members::Members,
    metrics::Metrics,
    owners::Owners,
    records::{Records, RecordsFirst},
    roster::Roster,
    telemetry::Telemetry,
};

/// What runs, and what it keeps up to date for others.
pub(super) struct Cores {
    pub(super) actors: Vec<Addr<ShardActor>>,
    pub(super) system: System,
    pub(super) threads: thread::JoinHandle<()>,
    pub(super) writer: LogWriter,
    pub(super) records: Records,
    pub(super) directory: watch::Receiver<Option<Arc<DirectoryView>>>,
    pub(super) homes: Homes,
    pub(super) counters: Arc<WriterCounters>,
    pub(super) roster: watch::Receiver<Arc<Roster>>,
    pub(super) peers: Arc<PeerClient>,
}

/// What actors tell to the tasks around them.
pub(super) struct Told {
    pub(super) gained: mpsc::UnboundedReceiver<u32>,
    pub(super) asks: mpsc::Receiver<(u32, Ask)>,
}

/// Starts them from what the disk has.
pub(super) fn start(
    config: &NodeConfig,
    members: &Members,
    own: u64,
    disk: OpenDisk,
    seal: u64,
    metrics: &Arc<Metrics>,
    telemetry: &Telemetry,
) -> anyhow::Result<(Cores, Told)> {
    let OpenDisk { mut store, records, begin } = disk;
    let recover = |row: &ShardRow| {
        let found = store.recover(row.shard)?;
        // A replica that has no first voters waits until its leader tells.
        Ok((row.shard, if row.born_with.is_empty() { found } else { found.or_bootstrap(&row.born_with) }))
    };
    let recovered = begin.replicas.iter().map(recover).collect::<Result<Vec<_>, StoreError>>();
    let recovered = recovered.context("the disk cannot be read")?;

    let cores = config.cores.max(1);
    // The writer and the transport call back to actors that are started after them.
    let addresses: Arc<OnceLock<Vec<Addr<ShardActor>>>> = Arc::default();
    let durable_to = Arc::clone(&addresses);
    let durable = move |host: usize, done: Persisted| {
        if let Some(actor) = durable_to.get().and_then(|actors| actors.get(host)) {
            // Past the mailbox's limit, for it must come: one by batch, of which the writer takes `QUEUE_BATCHES_MAX`.
            actor.do_send(Durable { done });
        }
    };
    let writer = LogWriter::start(RecordsFirst::new(store, records.clone()), durable, |error| stop_at_once(&error))?;
    let event_to = Arc::clone(&addresses);
    let peers = PeerClient::start_with(
        &PeerConfig { cluster: config.cluster.clone(), node: own, peers: uris(members), seal },
        config.trust.clone(),
        &Handle::current(),
        move |event| {
            let actors = event_to.get().map(Vec::as_slice).unwrap_or_default();
            // Past the mailbox's limit: of each peer one by try to connect, of each snapshot (`SNAPSHOTS_HELD_MAX`) one.
            match event {
                PeerEvent::Unreachable(node) => actors.iter().for_each(|actor| actor.do_send(Unreachable { node })),
                PeerEvent::SnapshotDone { shard, to, ok } => {
                    if !actors.is_empty() {
                        actors[Owners::index(shard, actors.len())].do_send(SnapshotDone { shard, to, ok });
                    }
                }
            }
        },
    )?;
    let peers = Arc::new(peers);
    let (directory, followed) = watch::channel(None);
    let (roster, rostered) = watch::channel(Arc::default());
    let homes = Homes::default();
    let (gained, gains) = mpsc::unbounded_channel();
    let (may_sleep, _) = watch::channel(false);
    let (asks, asked) = mpsc::channel(ASKS_WAITING_MAX);
    let mut actors = Vec::new();
    let mut recovered: Vec<_> = recovered.into_iter().map(Some).collect();
    for host in 0..cores {
        let mine: Vec<(u32, Recovered)> = recovered
            .iter_mut()
            .filter(|slot| slot.as_ref().is_some_and(|(shard, _)| Owners::index(*shard, cores) == host))
            .filter_map(Option::take)
            .collect();
        let mut core = core_of(config, members, (own, host, cores), mine)?;
        core.set_homes(homes.clone());
        let shell = Shell {
            host,
            writer: writer.handle(),
            peers: Arc::clone(&peers),
            members: members.clone(),
            records: records.clone(),
            homes: homes.clone(),
            roster: roster.clone(),
            directory: directory.clone(),
            may_sleep: may_sleep.clone(),
            gained: gained.clone(),
            asks: asks.clone(),
            metrics: Arc::clone(metrics),
            telemetry: telemetry.clone(),
            tick: Duration::from_millis(config.tick_ms.max(1)),
        };
        actors.push((core, shell));
    }
    let (system, threads, started) = start_system(actors)?;
    let _ = addresses.set(started.clone());
    let counters = writer.counters();
    Ok((
        Cores {
            actors: started,
            system,
            threads,
            writer,
            records,
            directory: followed,
            homes,
            counters,
            roster: rostered,
            peers,
        },
        Told { gained: gains, asks: asked },
    ))
}

fn core_of(
    config: &NodeConfig,
    members: &Members,
    (own, host, hosts): (u64, usize, usize),
    recovered: Vec<(u32, Recovered)>,
) -> anyhow::Result<Core> {
    let mut host = Host::new(HostConfig {
        host: host as u32,
        hosts: hosts as u32,
        snapshot_entries: config.snapshot_entries,
        snapshot_bytes: usize::try_from(config.snapshot_bytes).unwrap_or(usize::MAX),
        ..HostConfig::new(own)
    });
    for (shard, recovered) in recovered {
        host.add(shard, ShardMachine::new(shard), recovered)?;
    }
    let mut core = Core::new(host, members.clone(), random()?, config.limits);
    core.set_now(now_us());
    Ok(core)
}

/// One arbiter thread per core.
fn start_system(parts: Vec<(Core, Shell)>) -> anyhow::Result<(System, thread::JoinHandle<()>, Vec<Addr<ShardActor>>)> {
    let (started, starting) = blocking::channel();
    let threads = thread::Builder::new().name("shards".into()).spawn(move || {
        let system = System::new();
        let mut actors = Vec::new();
        for (number, (core, shell)) in parts.into_iter().enumerate() {
            let arbiter = if number == 0 { Arbiter::current() } else { Arbiter::new().handle() };
            if number == 0 {
                actors.push(system.block_on(async { ShardActor::new(core, shell).start() }));
            } else {
                actors.push(ShardActor::start_in_arbiter(&arbiter, |_| ShardActor::new(core, shell)));
            }
        }
        let _ = started.send((System::current(), actors));
        let _ = system.run();
    })?;
    let (system, actors) = starting.recv().context("the shard threads did not start")?;
    Ok((system, threads, actors))
}
