//! What a node answers over gRPC: every service behind the guard, and whatever a person changes behind the audit. What is said is
//! the services' business, never decided here.

use std::{sync::Arc, time::Duration};

use actix::Addr;
use cluster::{PeerMessage, peers::PeerService};
use proto::v1::{
    admin_server::AdminServer, audit_trail_server::AuditTrailServer, backup_server::BackupServer,
    cluster_server::ClusterServer, query_server::QueryServer, shard_server::ShardServer, steward_server::StewardServer,
    tenancy_server::TenancyServer,
};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tonic::transport::Server;
use tonic_health::{ServingStatus, server::HealthReporter};
use trust::Guard;

use super::Inside;
use crate::{
    actor::{ShardActor, Step},
    answers::Answers,
    config::NodeConfig,
    limits::{self, Limit},
    metrics::cluster::Others,
    owners::Owners,
    roles,
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
};

/// A peer of ours that has said nothing for so long is asked whether it is there.
const PING: Duration = Duration::from_millis(250);
/// Whoever does not answer that in time is gone, and the lease of a gateway runs from there (ADR 0040).
const PONG_MAX: Duration = Duration::from_millis(600);
/// How long open streams may take to end.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// Configuration and lists are larger than gRPC's default of 4 MiB.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The doors while they are open.
pub(super) struct Doors {
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    close: oneshot::Sender<()>,
}

impl Doors {
    /// Takes nobody in any more, and cuts off whoever does not end in time.
    pub(super) async fn close(self) {
        let Self { mut server, close } = self;
        let _ = close.send(());
        if timeout(CLOSE_MAX, &mut server).await.is_err() {
            server.abort();
            let _ = server.await;
        }
    }
}

/// Opens them; `tasks` keep up to date what is said of this node's health.
pub(super) fn open(
    config: &NodeConfig,
    inside: &Inside,
    listener: TcpListener,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Doors> {
    let Inside { own, members, owners, records, replicas, answers, shards, directory, roster, seen, limits, .. } =
        inside;
    let (reporter, health) = tonic_health::server::health_reporter();
    tasks.spawn(report_health(reporter, answers.clone()));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let peers = PeerService::new(config.cluster.clone(), *own, deliver_to(owners.clone()), {
        let members = members.clone();
        move |node| members.get(node).map(|member| member.seal)
    });
    let others = Others { sent: inside.peers.counters(), received: peers.counters(), door: config.trust.counters() };
    tasks.spawn(others.run(inside.metrics.cluster.clone()));
    let shard = ShardService::new(owners.clone(), directory.clone());
    let admin = AdminService::new(shards.clone(), records.clone(), owners.clone(), members.clone(), *own);
    let tenancy = TenancyService::new(Tenancies::new(owners.clone(), answers.clone()));
    let steward = StewardService {
        cluster: config.cluster.clone(),
        shards: shards.clone(),
        owners: owners.clone(),
        members: members.clone(),
        replicas: replicas.clone(),
        roster: roster.clone(),
        seen: seen.clone(),
        silence: Duration::from_millis(config.silence_ms),
        term: Arc::default(),
        impostors: Impostors::default(),
    };
    let cluster = ClusterService {
        shards: shards.clone(),
        members: members.clone(),
        seen: seen.clone(),
        limits: Arc::new(limits.clone()),
    };
    let (close, closed) = oneshot::channel::<()>();
    let server = Server::builder()
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PONG_MAX))
        .layer(Guard::new(roles::of))
        .layer(Audit::new(shards.clone(), MESSAGE_BYTES_MAX))
        .add_service(health)
        .add_service(reflection)
        .add_service(peers.into_server())
        .add_service(
            ShardServer::new(shard)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(QueryServer::new(QueryService::new(answers.clone())).max_encoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(AuditTrailServer::new(AuditTrailService::new(shards.clone())))
        .add_service(
            BackupServer::new(BackupService { shards: shards.clone() })
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(TenancyServer::new(tenancy).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(
            AdminServer::new(admin)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(StewardServer::new(steward).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(ClusterServer::new(cluster).max_encoding_message_size(MESSAGE_BYTES_MAX))
        .serve_with_incoming_shutdown(config.trust.accept(listener), async {
            let _ = closed.await;
        });
    Ok(Doors { server: tokio::spawn(server), close })
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

async fn report_health(reporter: HealthReporter, answers: Answers) {
    loop {
        let shards = answers.describe().await.map(|node| node.shards).unwrap_or_default();
        let serving = !shards.is_empty() && shards.iter().all(|shard| !shard.leader.is_empty());
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        sleep(Duration::from_millis(500)).await;
    }
}
