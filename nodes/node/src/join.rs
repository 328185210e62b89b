//! A node says who it is, at each start, until the cluster has taken it in or says why it must not run. What is on the
//! disk decides how it begins: again with what it has, as one of the first, or empty and waiting to be told.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use cluster::{DiskStore, Store as _, StoreError, peers::PeerClient};
use prost::Message as _;
use proto::v1::{JoinReply, JoinRequest, Remembered, ShardRow, steward_client::StewardClient};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tonic::Code;

use crate::{
    answers::Start,
    config::NodeConfig,
    follow::set_peers,
    members::{Members, id_of},
    replicas::{REMEMBERED, Replicas},
    roster::Roster,
};

/// How long one node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Between rounds.
const AGAIN: Duration = Duration::from_millis(500);
/// Exit code of a node that must not run as it was started: to start it again does not help.
pub const EXIT_REFUSED: u8 = 78;

/// Why this node must not run, in words for the person who started it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Whether this is why a node must not run as it was started: refused by its cluster, or on the disk of another one.
#[must_use]
pub fn is_refusal(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Refused>() || matches!(cause.downcast_ref::<StoreError>(), Some(StoreError::Foreign { .. }))
    })
}

/// What a node begins with.
pub(crate) struct Begin {
    /// As on the disk.
    pub remembered: Remembered,
    /// Replicas to start, with the first voters of those that begin now.
    pub replicas: Vec<ShardRow>,
    /// Nothing of any shard is on the disk.
    pub empty: bool,
    /// The cluster that the disk has seen.
    pub founded: String,
}

impl Begin {
    /// Looks at the disk. Shards that were being dropped go now.
    pub(crate) fn read(store: &mut DiskStore, config: &NodeConfig, peers: &Members) -> anyhow::Result<Self> {
        let on_disk = store.replicas()?;
        let founded = store.founded()?.unwrap_or_default();
        let fact = store.recall(REMEMBERED)?;
        let remembered = match &fact {
            Some(bytes) => Remembered::decode(bytes.as_slice()).context("what the disk remembers cannot be read")?,
            None => Remembered::default(),
        };
        let empty = on_disk.is_empty();
        let replicas = if fact.is_some() {
            for shard in on_disk.iter().filter(|shard| remembered.replicas.iter().all(|row| row.shard != **shard)) {
                store.destroy(*shard)?;
            }
            remembered.replicas.clone()
        } else {
            // A new disk, or one of a release that kept no list: the first nodes have a replica of everything.
            let born_with = peers.numbers();
            let shards = if born_with.is_empty() { 0..0 } else { 0..config.tenant_shards + 1 };
            shards.map(|shard| ShardRow { shard, born_with: born_with.clone() }).collect()
        };
        Ok(Self { remembered, replicas, empty, founded })
    }

    /// The cluster lives already: this node holds nothing until it is told to.
    pub(crate) fn wait_to_be_told(&mut self) {
        self.replicas.clear();
    }
}

/// What the others say.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Known to the directory as this disk in this life.
    TakenIn(JoinReply),
    /// One of the first nodes of a cluster whose rules know no announcements.
    Early,
    /// Not decided yet.
    Later {
        /// Why.
        why: String,
        /// Whether the cluster is founded.
        founded: bool,
    },
    /// Must not run.
    Refused(Refused),
}

/// Asks until it is taken in.
pub(crate) struct Announcer {
    /// Who this is.
    pub request: JoinRequest,
    /// Named at the start.
    pub seeds: Vec<String>,
    /// All nodes, as far as known.
    pub members: Members,
    /// Ways to them.
    pub channels: trust::Channels,
}

impl Announcer {
    /// Asks everybody once, until somebody knows.
    pub(crate) async fn ask(&self, with_own: bool) -> Answer {
        let mut endpoints = self.seeds.clone();
        endpoints.extend(self.members.endpoints());
        let own = &self.request.endpoint;
        let mut asked: Vec<String> = Vec::new();
        let (mut why, mut founded) = ("no node that it knows answers".to_owned(), false);
        let mut barred = None;
        for endpoint in endpoints {
            if (!with_own && endpoint == *own) || asked.contains(&endpoint) {
                continue;
            }
            asked.push(endpoint.clone());
            let mut client = StewardClient::new(self.channels.to(&endpoint));
            let reply = match timeout(ANSWER_MAX, client.join(self.request.clone())).await {
                Ok(Ok(reply)) => reply.into_inner(),
                // A certificate may be renewed while this node waits, so that is no reason to end.
                Ok(Err(status)) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => {
                    barred = Some(format!("{endpoint} does not let it in: {}", status.message()));
                    continue;
                }
                Ok(Err(_)) | Err(_) => continue,
            };
            if !reply.refused.is_empty() {
                return Answer::Refused(Refused(reply.refused));
            }
            if reply.early {
                return Answer::Early;
            }
            if reply.later.is_empty() {
                return Answer::TakenIn(reply);
            }
            founded |= !reply.founded.is_empty();
            why = reply.later;
        }
        // What this node could say of itself explains less.
        Answer::Later { why: barred.unwrap_or(why), founded }
    }

    /// Runs until the directory knows this start of this node.
    pub(crate) async fn run(
        self,
        mut roster: watch::Receiver<Arc<Roster>>,
        replicas: Replicas,
        peers: Arc<PeerClient>,
        refused: mpsc::Sender<Refused>,
    ) {
        let mut said = String::new();
        let mut early = false;
        loop {
            let known = roster.borrow_and_update().clone();
            if self.is_known(&known) {
                return;
            }
            // Under earlier rules there is nothing to be said until they are raised.
            if !early || known.knows_nodes() {
                match self.ask(true).await {
                    Answer::TakenIn(reply) => {
                        self.members.trust(&reply.nodes);
                        // Before the directory comes here, whose leader waits for our answers.
                        set_peers(&peers, &self.members);
                        if let Err(error) = replicas.know(&reply.nodes, &reply.founded).await {
                            tracing::warn!(%error, "the nodes of the cluster are not kept on the disk");
                        }
                        tracing::info!(node = self.request.id, life = self.request.life, "the cluster knows this node");
                        return;
                    }
                    Answer::Early => early = true,
                    Answer::Refused(why) => drop(refused.send(why).await),
                    Answer::Later { why, .. } if why != said => {
                        tracing::info!(why, "the cluster does not know this node yet");
                        said = why;
                    }
                    Answer::Later { .. } => {}
                }
            }
            let _ = timeout(AGAIN, roster.changed()).await;
        }
    }

    fn is_known(&self, roster: &Roster) -> bool {
        let JoinRequest { id, seal, life, endpoint, release, .. } = &self.request;
        roster.nodes.iter().any(|row| {
            row.id == *id
                && (row.seal, row.life) == (*seal, *life)
                && row.endpoint == *endpoint
                && row.release == *release
        })
    }
}

/// Who a node says it is.
pub(crate) fn request(config: &NodeConfig, own: u64, endpoint: &str, begin: &Begin, start: &Start) -> JoinRequest {
    JoinRequest {
        cluster: config.cluster.clone(),
        id: id_of(own),
        endpoint: endpoint.to_owned(),
        zone: config.zone.clone(),
        seal: start.seal,
        life: start.life,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        rules_max: acd::RULES,
        empty: begin.empty,
        founded: begin.founded.clone(),
        process: start.process,
    }
}
