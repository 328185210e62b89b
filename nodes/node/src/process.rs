//! A node's life: open the disk (`birth.rs`), start the threads that own shards (`cores.rs`), the node's own tasks
//! (`tasks.rs`) and its doors (`doors.rs`), serve, hand over, stop. It decides nothing.

mod cores;
mod doors;
mod tasks;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use cluster::{peers::PeerClient, placement::Limits};
use proto::v1::DirectoryView;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    time::timeout,
};
use trust::Role;

use crate::{
    actor::HandOver,
    answers::Answers,
    birth::{Birth, begin, random},
    config::NodeConfig,
    members::Members,
    metrics::Metrics,
    owners::Owners,
    records::Records,
    replicas::Replicas,
    roster::Roster,
    shards::Shards,
    steward::Seen,
    telemetry::Telemetry,
};
use cores::Cores;

pub(crate) use doors::MESSAGE_BYTES_MAX;

/// How long a graceful stop waits for others to lead.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);
/// How long writing what is left may take.
const END_MAX: Duration = Duration::from_secs(5);

/// What the doors and the tasks of a node reach. Nothing of it is left when the threads that own shards are stopped.
struct Inside {
    own: u64,
    members: Members,
    owners: Owners,
    records: Records,
    replicas: Replicas,
    answers: Answers,
    shards: Shards,
    peers: Arc<PeerClient>,
    directory: watch::Receiver<Option<Arc<DirectoryView>>>,
    roster: watch::Receiver<Arc<Roster>>,
    seen: Seen,
    limits: Limits,
    metrics: Arc<Metrics>,
}

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
    let replicas: Vec<u32> = disk.begin.replicas.iter().map(|row| row.shard).collect();
    let remembered = disk.begin.remembered.clone();
    let (cores, told) = cores::start(&config, &members, own, disk, start.seal, &metrics, &telemetry)?;

    let flush_us = Arc::clone(&start.flush_us);
    let owners = Owners::new(cores.actors.clone(), replicas, cores.homes.clone());
    let answers = Answers::new(owners.clone(), cores.records.clone(), members.clone(), own, start);
    let channels = announcer.channels.clone();
    let inside = Inside {
        own,
        replicas: Replicas::new(own, cores.writer.handle(), owners.clone(), cores.records.clone(), remembered),
        shards: Shards::new(owners.clone(), answers.clone(), members.clone(), own, random()?, channels),
        members,
        owners,
        records: cores.records.clone(),
        answers,
        peers: Arc::clone(&cores.peers),
        directory: cores.directory.clone(),
        roster: cores.roster.clone(),
        seen: Seen::default(),
        limits: Limits { replace_after_ms: config.replace_after_ms, ..Limits::default() },
        metrics,
    };
    let counters = Arc::clone(&cores.counters);
    let (mut tasks, mut refusals) = tasks::spawn(&config, &inside, told, announcer, counters, flush_us).await?;
    let doors = doors::open(&config, &inside, listener, &mut tasks)?;
    tracing::info!(node = %config.id, endpoint = %places.advertise, "the node serves");

    let why = tokio::select! {
        () = stop => None,
        why = refusals.recv() => why,
    };
    tracing::info!("stopping");
    if inside.members.numbers().len() > 1 {
        hand_over(&inside.owners).await;
    }
    // Consumers go on at another node; gateways' streams do not end by themselves.
    inside.records.end_streams();
    doors.close().await;
    tasks.shutdown().await;
    drop(inside);
    let Cores { system, threads, writer, records, .. } = cores;
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

/// Says on stderr what happens, as far as `CORDBOARD_LOG` wants it.
pub fn init_log() {
    use tracing_subscriber::EnvFilter;
    // After every kill the engine warns of a broken batch; `cluster` has looked at the file before, and says what it is.
    let filter = EnvFilter::try_from_env("CORDBOARD_LOG").unwrap_or_else(|_| EnvFilter::new("info,raft_engine=error"));
    // A second initialisation (several nodes in one test process) is no error.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).try_init();
}
