//! A node's life: open the disk, start actors and doors, serve, hand over, stop. It decides nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as blocking,
    },
    thread,
    time::Duration,
};

use actix::{Actor as _, Addr, Arbiter, System};
use anyhow::Context as _;
use cluster::{
    Host, HostConfig, LogWriter, PeerMessage, Persisted, Recovered, Store as _, StoreError,
    peers::{PeerClient, PeerConfig, PeerCounters, PeerEvent, PeerService},
    placement::Limits,
};
use proto::v1::{
    Ask, DirectoryView, ShardRow, admin_server::AdminServer, audit_trail_server::AuditTrailServer,
    backup_server::BackupServer, cluster_server::ClusterServer, query_server::QueryServer, shard_server::ShardServer,
    steward_server::StewardServer, tenancy_server::TenancyServer,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic_health::ServingStatus;
use trust::{DoorCounters, Guard, Role};

use crate::{
    actor::{Durable, HandOver, ShardActor, Shell, SnapshotDone, Step, Unreachable},
    answers::Answers,
    birth::{Birth, OpenDisk, begin},
    choosers::{ASKS_WAITING_MAX, Choosers},
    clock::now_us,
    config::NodeConfig,
    core::Core,
    follow::Follow,
    homes::Homes,
    http,
    limits::{self, Limit},
    machine::ShardMachine,
    members::Members,
    metrics::{Metrics, cluster::Others, gauge_value},
    moves::Mover,
    owners::Owners,
    pump::Pump,
    records::{Records, RecordsFirst},
    replicas::Replicas,
    roles,
    roster::Roster,
    services::{
        admin::AdminService,
        audit::{Audit, AuditTrailService},
        backup::BackupService,
        cluster::ClusterService,
        impostors::Impostors,
        query::QueryService,
        shard::ShardService,
        steward::StewardService,
        tenancy::{Tenancies, TenancyService},
    },
    shards::Shards,
    steward::{Seen, Steward},
    telemetry::Telemetry,
};

/// How long a graceful stop waits for others to lead.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);
/// A peer of ours that has said nothing for so long is asked whether it is there.
const PING: Duration = Duration::from_millis(250);
/// Whoever does not answer that in time is gone, and the lease of a gateway runs from there (ADR 0040).
const PONG_MAX: Duration = Duration::from_millis(600);
/// How long open streams may take to end.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// How long writing what is left may take.
const END_MAX: Duration = Duration::from_secs(5);
/// Configuration and lists are larger than gRPC's default of 4 MiB.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Runs a node until `stop` resolves, then hands leadership over and ends.
///
/// # Errors
/// It could not start: what and why.
pub async fn run(config: NodeConfig, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    init_log();
    check_certificate(&config)?;
    let Birth { own, members, places, start, disk, announcer } = begin(&config).await?;
    let listener = TcpListener::bind(&places.listen)
        .await
        .with_context(|| format!("cannot listen for gRPC on {}", places.listen))?;
    let telemetry = Telemetry::start(&config.id, config.otlp.as_deref())?;
    let metrics = Arc::new(Metrics::default());
    let shards: Vec<u32> = disk.begin.replicas.iter().map(|row| row.shard).collect();
    let remembered = disk.begin.remembered.clone();
    let (parts, told) = start_actors(&config, &members, own, disk, start.seal, &metrics, &telemetry)?;
    let owners = Owners::new(parts.actors.clone(), shards, parts.homes.clone());
    let replicas = Replicas::new(own, parts.writer.handle(), owners.clone(), parts.records.clone(), remembered);

    let flush_us = Arc::clone(&start.flush_us);
    let answers = Answers::new(owners.clone(), parts.records.clone(), members.clone(), own, start);
    let channels = announcer.channels.clone();
    let ways = Shards::new(owners.clone(), answers.clone(), members.clone(), own, random()?, channels);
    let seen = Seen::default();
    let limits = Limits { replace_after_ms: config.replace_after_ms, ..Limits::default() };
    let pump = Pump {
        shards: ways.clone(),
        owners: owners.clone(),
        directory: parts.directory.clone(),
        gained: told.gained,
        tenant_shards: config.tenant_shards,
        rules: config.rules,
        delivered: std::collections::BTreeMap::new(),
    };
    let mover = Mover {
        shards: ways.clone(),
        owners: owners.clone(),
        directory: parts.directory.clone(),
        metrics: metrics.cluster.clone(),
        arrival_max: Duration::from_millis(config.arrival_max_ms),
    };
    let tenancies = TenancyService::new(Tenancies::new(owners.clone(), answers.clone()));
    let (refused, mut refusals) = mpsc::channel(1);
    let follow = Follow {
        own,
        roster: parts.roster.clone(),
        members: members.clone(),
        peers: Arc::clone(&parts.peers),
        replicas: replicas.clone(),
        refused: refused.clone(),
    };
    let steward = Steward {
        shards: ways.clone(),
        members: members.clone(),
        limits: limits.clone(),
        seen: seen.clone(),
        metrics: metrics.cluster.clone(),
    };
    let stewarding = StewardService {
        cluster: config.cluster.clone(),
        shards: ways.clone(),
        owners: owners.clone(),
        members: members.clone(),
        replicas: replicas.clone(),
        roster: parts.roster.clone(),
        seen: seen.clone(),
        silence: Duration::from_millis(config.silence_ms),
        term: Arc::default(),
        impostors: Impostors::default(),
    };
    let of_cluster = ClusterService { shards: ways.clone(), members: members.clone(), seen, limits: Arc::new(limits) };
    // Dropped at the end, so that nothing of this node goes on after it.
    let mut tasks = JoinSet::new();
    tasks.spawn(follow.run());
    tasks.spawn(steward.run());
    tasks.spawn(announcer.run(parts.roster.clone(), replicas, Arc::clone(&parts.peers), refused));
    tasks.spawn(pump.run());
    tasks.spawn(mover.run());
    tasks.spawn(config.trust.clone().watch());
    tasks.spawn(Choosers::new(ways.clone(), told.asks).run());
    if let Some(address) = config.http {
        let listener = listen_http(address).await?;
        tasks.spawn(http::serve(listener, Arc::clone(&metrics), answers.clone()));
    }
    let (sent, counted) = (parts.peers.counters(), metrics.cluster.clone());
    tasks.spawn(watch_counters(
        Arc::clone(&parts.counters),
        parts.peers.counters(),
        config.trust.counters(),
        parts.records.clone(),
        metrics,
    ));
    tasks.spawn(watch_flushes(Arc::clone(&parts.counters), flush_us));

    let (reporter, health) = tonic_health::server::health_reporter();
    tasks.spawn(report_health(reporter, answers.clone()));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let peer_service = PeerService::new(config.cluster.clone(), own, deliver_to(owners.clone()), {
        let members = members.clone();
        move |node| members.get(node).map(|member| member.seal)
    });
    let others = Others { sent, received: peer_service.counters(), door: config.trust.counters() };
    tasks.spawn(others.run(counted));
    let (close, closed) = oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PONG_MAX))
        .layer(Guard::new(roles::of))
        .layer(Audit::new(ways.clone(), MESSAGE_BYTES_MAX))
        .add_service(health)
        .add_service(reflection)
        .add_service(peer_service.into_server())
        .add_service(
            ShardServer::new(ShardService::new(owners.clone(), parts.directory.clone()))
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(QueryServer::new(QueryService::new(answers)).max_encoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(AuditTrailServer::new(AuditTrailService::new(ways.clone())))
        .add_service(
            BackupServer::new(BackupService { shards: ways.clone() })
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(TenancyServer::new(tenancies).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(
            AdminServer::new(AdminService::new(ways, parts.records.clone(), owners.clone(), members.clone(), own))
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(StewardServer::new(stewarding).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(ClusterServer::new(of_cluster).max_encoding_message_size(MESSAGE_BYTES_MAX))
        .serve_with_incoming_shutdown(config.trust.accept(listener), async {
            let _ = closed.await;
        });
    let mut server = tokio::spawn(server);
    tracing::info!(node = %config.id, endpoint = %places.advertise, "the node serves");

    let why = tokio::select! {
        () = stop => None,
        why = refusals.recv() => why,
    };
    tracing::info!("stopping");
    if members.numbers().len() > 1 {
        hand_over(&owners).await;
    }
    // Consumers go on at another node; gateways' streams do not end by themselves.
    parts.records.end_streams();
    let _ = close.send(());
    if timeout(CLOSE_MAX, &mut server).await.is_err() {
        server.abort();
        let _ = server.await;
    }
    tasks.shutdown().await;
    drop(owners);
    let Parts { system, threads, writer, records, .. } = parts;
    system.stop();
    let ended = tokio::task::spawn_blocking(move || {
        // In this order: the actors give to the writer, the writer waits for the records.
        let _ = threads.join();
        drop(writer);
        records.stop();
        telemetry.stop();
    });
    let _ = timeout(END_MAX, ended).await;
    why.map_or(Ok(()), |why| Err(why.into()))
}

/// A certificate of somebody else would only be found out by the others, one refusal at a time.
fn check_certificate(config: &NodeConfig) -> anyhow::Result<()> {
    let Some(own) = config.trust.own() else {
        tracing::warn!(
            "no certificates are given (--cluster-ca, --cluster-certificate, --cluster-key): whoever reaches this node may \
             do everything"
        );
        return Ok(());
    };
    let (id, cluster) = (&config.id, &config.cluster);
    let ours = own.role == Role::Node && own.name == *id && own.cluster == *cluster;
    anyhow::ensure!(ours, "the certificate is of {own}, this node is cordboard://{cluster}/node/{id}");
    Ok(())
}

/// What runs on the threads that own shards.
struct Parts {
    actors: Vec<Addr<ShardActor>>,
    system: System,
    threads: thread::JoinHandle<()>,
    writer: LogWriter,
    records: Records,
    directory: watch::Receiver<Option<Arc<DirectoryView>>>,
    homes: Homes,
    counters: Arc<cluster::WriterCounters>,
    roster: watch::Receiver<Arc<Roster>>,
    peers: Arc<PeerClient>,
}

/// What actors tell to the tasks around them.
struct Told {
    gained: mpsc::UnboundedReceiver<u32>,
    asks: mpsc::Receiver<(u32, Ask)>,
}

fn start_actors(
    config: &NodeConfig,
    members: &Members,
    own: u64,
    disk: OpenDisk,
    seal: u64,
    metrics: &Arc<Metrics>,
    telemetry: &Telemetry,
) -> anyhow::Result<(Parts, Told)> {
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
    let addresses: Arc<std::sync::OnceLock<Vec<Addr<ShardActor>>>> = Arc::default();
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
        &PeerConfig { cluster: config.cluster.clone(), node: own, peers: crate::follow::uris(members), seal },
        config.trust.clone(),
        &tokio::runtime::Handle::current(),
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
        Parts {
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

fn deliver_to(owners: Owners) -> impl Fn(u64, Vec<PeerMessage>) + Send + Sync + 'static {
    move |from, messages| {
        // Beats are of a whole node, and for all actors.
        let (beats, messages): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.beat.is_some());
        if !beats.is_empty() {
            owners.all().for_each(|owner| step(owner, Step { from, messages: beats.clone() }));
        }
        for (owner, messages) in owners.split(messages, |message| message.shard) {
            step(&owner, Step { from, messages });
        }
    }
}

/// A full mailbox drops messages of peers: raft sends again.
fn step(owner: &Addr<ShardActor>, step: Step) {
    if owner.try_send(step).is_err() {
        limits::reached(Limit::Mailbox);
    }
}

async fn hand_over(owners: &Owners) {
    for owner in owners.all() {
        let (done, handed_over) = oneshot::channel();
        // Past the mailbox's limit: once in a life.
        owner.do_send(HandOver { done });
        if timeout(HAND_OVER_MAX, handed_over).await.is_err() {
            tracing::warn!("nobody took the leadership over in time");
        }
    }
}

/// The disk failed: what was not acknowledged must not be, so the process ends here and now.
pub(crate) fn stop_at_once(error: &StoreError) {
    tracing::error!(%error, "the disk failed; this node stops, the cluster goes on without it");
    std::process::exit(DISK_FAILED);
}

/// How a process ends when its disk has failed: input/output error.
pub const DISK_FAILED: i32 = 74;

/// Whether a node did not start because of its disk. A folder that is another node's is no failure of it.
pub fn is_disk_failure(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<StoreError>());
    causes.any(|cause| !matches!(cause, StoreError::Foreign { .. }))
}

async fn report_health(reporter: tonic_health::server::HealthReporter, answers: Answers) {
    loop {
        let shards = answers.describe().await.map(|node| node.shards).unwrap_or_default();
        let serving = !shards.is_empty() && shards.iter().all(|shard| !shard.leader.is_empty());
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        sleep(Duration::from_millis(500)).await;
    }
}

/// How long the latest flushes took, for the steward.
async fn watch_flushes(counters: Arc<cluster::WriterCounters>, flush_us: Arc<AtomicU64>) {
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
    counters: Arc<cluster::WriterCounters>,
    peers: Arc<PeerCounters>,
    door: Arc<DoorCounters>,
    records: Records,
    metrics: Arc<Metrics>,
) {
    let mut dropped = 0;
    let value = |count: &AtomicU64| gauge_value(count.load(Ordering::Relaxed));
    loop {
        metrics.log_flushes.set(value(&counters.flushes));
        metrics.log_batches.set(value(&counters.batches));
        let dropped_now = peers.dropped.load(Ordering::Relaxed);
        limits::count(Limit::PeerQueue, dropped_now - std::mem::replace(&mut dropped, dropped_now));
        metrics.records_buffered.set(gauge_value(records.buffered()));
        metrics.connections_refused.set(value(&door.refused));
        sleep(Duration::from_secs(1)).await;
    }
}

async fn listen_http(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen for HTTP on {address}"))
}

pub(crate) fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(u64::from_le_bytes(bytes))
}

/// Says on stderr what happens, as far as `CORDBOARD_LOG` wants it.
pub fn init_log() {
    use tracing_subscriber::EnvFilter;
    // After every kill the engine warns of a broken batch; `cluster` has looked at the file before, and says what it is.
    let filter = EnvFilter::try_from_env("CORDBOARD_LOG").unwrap_or_else(|_| EnvFilter::new("info,raft_engine=error"));
    // A second initialisation (several nodes in one test process) is no error.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).try_init();
}
