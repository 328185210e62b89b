//! Service Steward: nodes say who they are, and the steward on the directory's leader has replicas opened, dropped and
//! changed here. What is refused is refused in words.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::Membership;
use proto::v1::{
    Announce, ChangeMembers, DescribeRequest, JoinReply, JoinRequest, NodeDescription, NodeRow, ProposeReply,
    ProposeRequest, SteerReply, SteerRequest, TransferLead, directory_entry, query_client::QueryClient,
    steer_request::What, steward_client::StewardClient, steward_server,
};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};
use tonic::{Request, Response, Status, metadata::MetadataValue};

use super::{impostors::Impostors, query::not_leading};
use crate::{
    actor,
    directory::disk_refusal,
    members::{Members, number_of},
    owners::Owners,
    replicas::Replicas,
    roster::Roster,
    shards::{Shards, within},
    steward::Seen,
};

/// How long a node may take to say whether it is there.
const DESCRIBE_MAX: Duration = Duration::from_millis(500);
/// How long the directory may take to write an announcement down.
const ANNOUNCE_MAX: Duration = Duration::from_secs(3);
/// How long a replica may take to come or go.
const STEER_MAX: Duration = Duration::from_secs(10);
/// Marks what another node has passed on, so that it does not go round.
const PASSED_ON: &str = "cordboard-passed-on";

/// The service.
#[derive(Clone)]
pub(crate) struct StewardService {
    pub(crate) cluster: String,
    pub(crate) shards: Shards,
    pub(crate) owners: Owners,
    pub(crate) members: Members,
    pub(crate) replicas: Replicas,
    pub(crate) roster: watch::Receiver<Arc<Roster>>,
    pub(crate) seen: Seen,
    /// A disk that was heard of more recently is not taken for a lost one.
    pub(crate) silence: Duration,
    /// The latest term of the directory's leaders that steered this node.
    pub(crate) term: Arc<AtomicU64>,
    /// Those that speak in the name of another.
    pub(crate) impostors: Impostors,
}

#[tonic::async_trait]
impl steward_server::Steward for StewardService {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let passed_on = request.metadata().contains_key(PASSED_ON);
        // Whoever passes it on has looked at the certificate of the one it is about.
        if !passed_on {
            self.impostors.refuse(&request, &self.shards)?;
        }
        self.take_in(request.into_inner(), passed_on).await.map(Response::new)
    }

    async fn steer(&self, request: Request<SteerRequest>) -> Result<Response<SteerReply>, Status> {
        let service = self.clone();
        // On its own: who asked may go, or it takes too long, and half a replica is nothing that the next one expects.
        let carried_out = tokio::spawn(async move { service.carry_out(request.into_inner()).await });
        let refused = match timeout(STEER_MAX, carried_out).await {
            Ok(Ok(carried_out)) => carried_out.err().unwrap_or_default(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it takes too long".to_owned(),
        };
        Ok(Response::new(SteerReply { refused }))
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeReply>, Status> {
        let entry = request.into_inner().entry.ok_or_else(|| Status::invalid_argument("an entry is missing"))?;
        match self.shards.propose_here(entry).await {
            Ok(decided) => Ok(Response::new(ProposeReply { rejection: decided.err() })),
            Err(leader) => Err(not_leading(&leader)),
        }
    }
}

impl StewardService {
    async fn take_in(&self, request: JoinRequest, passed_on: bool) -> Result<JoinReply, Status> {
        let roster = self.roster.borrow().clone();
        let reply = JoinReply { founded: roster.founded.clone(), ..JoinReply::default() };
        let refuse = |why: String| Ok(JoinReply { refused: why, ..reply.clone() });
        let later = |why: &str| Ok(JoinReply { later: why.to_owned(), ..reply.clone() });
        let Some(number) = number_of(&request.id) else {
            return refuse(format!("{:?} is no node id: it is n1, n2, ...", request.id));
        };
        if request.cluster != self.cluster {
            return refuse(format!(
                "this cluster is called {:?}, and {} was started for {:?}; look at --cluster and --join",
                self.cluster, request.id, request.cluster
            ));
        }
        if !request.founded.is_empty() && !roster.founded.is_empty() && request.founded != roster.founded {
            return refuse(format!(
                "the disk of {} belongs to another cluster of the same name; start it there, or with an empty --dir",
                request.id
            ));
        }
        // What a replica that may lag behind can still be sure of.
        if let Some(row) = roster.row(number)
            && let Some(why) = disk_refusal(row, request.seal, request.life, true)
        {
            return refuse(why);
        }
        let Ok(rows) = self.shards.answers().directory_here(Roster::of).await else {
            if roster.founded.is_empty() {
                return later("the cluster is not founded yet");
            }
            return if passed_on { later("the directory has no leader") } else { self.pass_on(request, reply).await };
        };
        if rows.founded.is_empty() {
            return later("the cluster is not founded yet");
        }
        let reply = JoinReply { founded: rows.founded.clone(), ..JoinReply::default() };
        if !rows.knows_nodes() {
            let why = "the cluster follows earlier rules; `cordctl upgrade finish` lets nodes join";
            let early = self.members.get(number).is_some();
            let later = if early { String::new() } else { why.to_owned() };
            return Ok(JoinReply { early, later, ..reply });
        }
        self.decide(&request, number, &rows, reply).await
    }

    /// At the directory's leader, on rows that are current.
    async fn decide(
        &self,
        request: &JoinRequest,
        number: u64,
        rows: &Roster,
        reply: JoinReply,
    ) -> Result<JoinReply, Status> {
        let known = rows.row(number);
        if let Some(row) = known {
            if let Some(why) = disk_refusal(row, request.seal, request.life, request.empty) {
                return Ok(JoinReply { refused: why, ..reply });
            }
            if row.seal != 0 && (row.seal != request.seal || row.endpoint != request.endpoint) {
                let there = self.describe(&row.endpoint).await;
                let other =
                    there.as_ref().is_some_and(|there| there.seal == row.seal && there.process != request.process);
                if other {
                    let why = format!(
                        "{} runs already, at {}; give this node another id, or stop the other one",
                        request.id, row.endpoint
                    );
                    return Ok(JoinReply { refused: why, ..reply });
                }
                let in_its_place = there.is_some_and(|there| there.process == request.process);
                let silent = self.seen.silent_for(number);
                if row.seal != request.seal && !in_its_place && silent < self.silence {
                    let why = format!("the former disk of {} was heard of {} s ago", request.id, silent.as_secs());
                    return Ok(JoinReply { later: why, ..reply });
                }
            }
        }
        let node = NodeRow {
            number,
            id: request.id.clone(),
            endpoint: request.endpoint.clone(),
            zone: request.zone.clone(),
            seal: request.seal,
            life: request.life,
            release: request.release.clone(),
            rules_max: request.rules_max,
            ..NodeRow::default()
        };
        let nodes = |rows: &[NodeRow]| self.with_first_nodes(rows);
        if known.is_some_and(|row| is_said(row, &node)) {
            return Ok(JoinReply { nodes: nodes(&rows.nodes), ..reply });
        }
        let kind = directory_entry::Kind::Announce(Announce { node: Some(node), empty: request.empty });
        match self.shards.propose(kind, ANNOUNCE_MAX).await {
            Ok(Ok(())) => {
                tracing::info!(
                    node = request.id,
                    endpoint = request.endpoint,
                    life = request.life,
                    "a node has started"
                );
                let current = self.shards.answers().directory_here(Roster::of).await;
                Ok(JoinReply { nodes: nodes(&current.map_or(rows.nodes.clone(), |rows| rows.nodes)), ..reply })
            }
            Ok(Err(rejection)) => Ok(JoinReply { refused: rejection.detail, ..reply }),
            Err(unreached) => Ok(JoinReply { later: unreached.to_string(), ..reply }),
        }
    }

    /// Rows, and what is known of nodes that have none yet.
    fn with_first_nodes(&self, rows: &[NodeRow]) -> Vec<NodeRow> {
        let mut nodes = rows.to_vec();
        for (number, member) in self.members.all() {
            if nodes.iter().all(|row| row.number != number) {
                nodes.push(NodeRow { number, id: member.id, endpoint: member.endpoint, ..NodeRow::default() });
            }
        }
        nodes
    }

    async fn pass_on(&self, request: JoinRequest, reply: JoinReply) -> Result<JoinReply, Status> {
        let leader = self.shards.answers().leader_of(0).await.endpoint;
        let later = |why: &str| Ok(JoinReply { later: why.to_owned(), ..reply.clone() });
        if leader.is_empty() {
            return later("the directory has no leader");
        }
        let mut asked = Request::new(request);
        asked.metadata_mut().insert(PASSED_ON, MetadataValue::from_static("1"));
        let mut client = StewardClient::new(self.shards.channels().to(&leader));
        match within(ANNOUNCE_MAX, client.join(asked)).await {
            Ok(reply) => Ok(reply),
            Err(_) => later("the directory's leader does not answer"),
        }
    }

    async fn describe(&self, endpoint: &str) -> Option<NodeDescription> {
        let mut query = QueryClient::new(self.shards.channels().to(endpoint));
        within(DESCRIBE_MAX, query.describe(DescribeRequest {})).await.ok()
    }

    async fn carry_out(&self, request: SteerRequest) -> Result<(), String> {
        let SteerRequest { shard, what, directory_term } = request;
        if self.term.fetch_max(directory_term, Ordering::Relaxed) > directory_term {
            return Err("a later leader of the directory has spoken".to_owned());
        }
        match what {
            Some(What::Open(open)) => self.replicas.open(shard, open.born_with).await,
            Some(What::Drop(drop)) => self.replicas.drop(shard, drop.term, &drop.members).await,
            Some(What::Change(change)) => self.change(shard, change).await,
            Some(What::Transfer(TransferLead { to })) => {
                let owner = self.owners.of(shard).ok_or_else(|| no_replica(shard))?;
                owner.try_send(actor::TransferLead { shard, to }).map_err(|_| "this node is overloaded".to_owned())
            }
            None => Err("nothing to be done".to_owned()),
        }
    }

    async fn change(&self, shard: u32, change: ChangeMembers) -> Result<(), String> {
        let owner = self.owners.of(shard).ok_or_else(|| no_replica(shard))?;
        let learn = change.learn.into_iter().map(Membership::Learn);
        let vote = change.vote.into_iter().map(Membership::Vote);
        let leave = change.leave.into_iter().map(Membership::Leave);
        let steps = learn.chain(vote).chain(leave).collect();
        let (done, taken) = oneshot::channel();
        let asked = owner.try_send(actor::ChangeMembers { shard, steps, done });
        asked.map_err(|_| "this node is overloaded".to_owned())?;
        taken.await.map_err(|_| "the shard threads have stopped".to_owned())?
    }
}

fn no_replica(shard: u32) -> String {
    format!("this node has no replica of shard {shard}")
}

/// Whether a row says all that a node says of itself.
fn is_said(row: &NodeRow, node: &NodeRow) -> bool {
    let said = |row: &NodeRow| (row.seal, row.life, row.endpoint.clone(), row.release.clone(), row.rules_max);
    said(row) == said(node) && (node.zone.is_empty() || row.zone == node.zone)
}
