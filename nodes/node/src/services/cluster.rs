//! Service Cluster: what operators ask about nodes and shards, and want of them. Any node takes it and hands it to the
//! directory's leader, whose steward does it step by step; the answer says how it stands.

mod moving;

use std::{sync::Arc, time::Duration};

use cluster::placement::Limits;
use proto::v1::{
    AddShardsRequest, ChangeNodeRequest, ClusterView, CreateShard, GetClusterRequest, MoveLeadRequest,
    MoveTenantRequest, NodeWish, RaiseRules, RaiseRulesRequest, Rejection, RejectionCode, SetNode, SteerRequest,
    TransferLead, cluster_client::ClusterClient, cluster_server, directory_entry::Kind, steer_request::What,
    steward_client::StewardClient,
};
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status, metadata::MetadataValue, transport::Channel};

use super::refusals::{missing, refused, unreached};
use crate::{
    members::{Members, id_of, number_of},
    roles::who,
    roster::Roster,
    shards::{Shards, within},
    steward::{Seen, next_shard},
};

/// How long the directory may take to write something down.
const WAIT: Duration = Duration::from_secs(5);
/// Between attempts while the directory's leader changes.
const AGAIN: Duration = Duration::from_millis(100);
/// Shards that may be added at once.
const SHARDS_AT_ONCE_MAX: u32 = 256;
/// Marks what another node has passed on, so that it does not go round.
const PASSED_ON: &str = "cordboard-passed-on";

/// The service.
#[derive(Clone)]
pub(crate) struct ClusterService {
    pub(crate) shards: Shards,
    pub(crate) members: Members,
    pub(crate) seen: Seen,
    pub(crate) limits: Arc<Limits>,
}

/// Hands a request to the directory's leader, or does it here.
macro_rules! at_leader {
    ($self:ident, $request:ident, $method:ident, |$roster:ident, $asked:ident| $here:expr) => {{
        let passed_on = $request.metadata().contains_key(PASSED_ON);
        match $self.leader(passed_on).await? {
            Place::Here($roster) => {
                let $asked = $request.into_inner();
                $here
            }
            Place::There(mut client) => {
                let mut request = $request;
                request.metadata_mut().insert(PASSED_ON, MetadataValue::from_static("1"));
                client.$method(request).await
            }
        }
    }};
}

enum Place {
    Here(Roster),
    There(ClusterClient<Channel>),
}

#[tonic::async_trait]
impl cluster_server::Cluster for ClusterService {
    async fn get_cluster(&self, request: Request<GetClusterRequest>) -> Result<Response<ClusterView>, Status> {
        at_leader!(self, request, get_cluster, |roster, _asked| Ok(Response::new(self.view(&roster))))
    }

    async fn change_node(&self, mut request: Request<ChangeNodeRequest>) -> Result<Response<ClusterView>, Status> {
        request.get_mut().by = who(&request, &request.get_ref().by);
        at_leader!(self, request, change_node, |roster, asked| self.change(&roster, asked).await)
    }

    async fn add_shards(&self, request: Request<AddShardsRequest>) -> Result<Response<ClusterView>, Status> {
        at_leader!(self, request, add_shards, |roster, asked| {
            if asked.count == 0 || asked.count > SHARDS_AT_ONCE_MAX {
                return Err(Status::invalid_argument(format!("1 to {SHARDS_AT_ONCE_MAX} shards at once")));
            }
            under_rules(&roster)?;
            for _ in 0..asked.count {
                self.create_shard().await?;
            }
            self.now().await
        })
    }

    async fn move_lead(&self, request: Request<MoveLeadRequest>) -> Result<Response<ClusterView>, Status> {
        at_leader!(self, request, move_lead, |roster, asked| self.lead(&roster, &asked).await)
    }

    async fn raise_rules(&self, mut request: Request<RaiseRulesRequest>) -> Result<Response<ClusterView>, Status> {
        request.get_mut().by = who(&request, &request.get_ref().by);
        at_leader!(self, request, raise_rules, |roster, asked| self.raise(&roster, asked).await)
    }

    async fn move_tenant(&self, request: Request<MoveTenantRequest>) -> Result<Response<ClusterView>, Status> {
        at_leader!(self, request, move_tenant, |roster, asked| self.begin_move(&roster, asked).await)
    }
}

impl ClusterService {
    async fn leader(&self, passed_on: bool) -> Result<Place, Status> {
        match self.shards.answers().directory_here(Roster::of).await {
            // What is decided here is decided on what the steward has seen.
            Ok(_) if !self.seen.has_looked() && !self.seen.afresh().await => {
                Err(Status::unavailable("the directory's leader has just begun; ask again"))
            }
            Ok(roster) => Ok(Place::Here(roster)),
            Err(leader) if !leader.endpoint.is_empty() && !passed_on => {
                Ok(Place::There(ClusterClient::new(self.shards.channels().to(&leader.endpoint))))
            }
            Err(_) => Err(Status::unavailable("the directory has no leader; are most nodes up?")),
        }
    }

    fn view(&self, roster: &Roster) -> ClusterView {
        self.seen.view(roster, &self.members)
    }

    /// How it stands after a change. What was changed may have moved the directory's lead: then its next leader is asked.
    async fn now(&self) -> Result<Response<ClusterView>, Status> {
        let deadline = Instant::now() + WAIT;
        loop {
            let answer = match self.leader(false).await {
                Ok(Place::Here(_)) => match (self.seen.afresh().await, self.leader(true).await) {
                    (true, Ok(Place::Here(roster))) => Ok(Response::new(self.view(&roster))),
                    _ => Err(Status::unavailable("the directory's leader is changing; ask again")),
                },
                Ok(Place::There(mut client)) => {
                    let mut request = Request::new(GetClusterRequest {});
                    request.metadata_mut().insert(PASSED_ON, MetadataValue::from_static("1"));
                    client.get_cluster(request).await
                }
                Err(status) => Err(status),
            };
            if answer.is_ok() || Instant::now() > deadline {
                return answer;
            }
            sleep(AGAIN).await;
        }
    }

    async fn propose(&self, kind: Kind) -> Result<Result<(), Rejection>, Status> {
        self.shards.propose(kind, WAIT).await.map_err(|error| unreached(&error))
    }

    async fn change(&self, roster: &Roster, asked: ChangeNodeRequest) -> Result<Response<ClusterView>, Status> {
        under_rules(roster)?;
        let wish = asked.wish();
        let number = number_of(&asked.id)
            .ok_or_else(|| Status::invalid_argument(format!("{:?} is no node id: it is n1, n2, ...", asked.id)))?;
        let view = self.view(roster);
        let node = view.nodes.iter().find(|node| node.row.as_ref().is_some_and(|row| row.number == number));
        if let Some(node) = node {
            self.check(&view, node, &asked)?;
        } else if wish != NodeWish::Added {
            return Err(missing("node", &asked.id, "node list"));
        }
        let set = SetNode {
            id: asked.id,
            wish: wish.into(),
            replacement: asked.replacement,
            endpoint: asked.endpoint,
            zone: asked.zone,
            by: asked.by,
        };
        self.propose(Kind::SetNode(set)).await?.map_err(|rejection| refused(&rejection))?;
        self.now().await
    }

    /// Whether what is wanted of a node that is known leaves enough of the cluster.
    fn check(&self, view: &ClusterView, node: &proto::v1::NodeView, asked: &ChangeNodeRequest) -> Result<(), Status> {
        let row = node.row.clone().unwrap_or_default();
        let stays = |row: &proto::v1::NodeRow| matches!(row.wish(), NodeWish::Unspecified | NodeWish::Added);
        let others = view.nodes.iter().filter_map(|other| other.row.as_ref().map(|row| (other, row)));
        let left = others.filter(|(other, other_row)| stays(other_row) && other.up && other_row.number != row.number);
        let (left, replicas) = (left.count(), self.limits.replicas);
        match asked.wish() {
            NodeWish::Drained | NodeWish::Replaced if stays(&row) && left < replicas && !asked.force => {
                Err(Status::failed_precondition(format!(
                    "only {left} other nodes are up: shards would have {left} replicas instead of {replicas}. Add a node \
                     first, or say --force"
                )))
            }
            NodeWish::Removed if node.state != "drained" && row.wish() != NodeWish::Removed => {
                if node.up {
                    Err(Status::failed_precondition(format!(
                        "{} lives and is not drained: `cordctl node drain {}` first",
                        row.id, row.id
                    )))
                } else if node.replicas > 0 && !asked.force {
                    Err(Status::failed_precondition(format!(
                        "{} is gone and is a member of {} shards: `cordctl node replace {}` moves them, --force does not \
                         wait for that",
                        row.id, node.replicas, row.id
                    )))
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Has one more shard begin; gives its number.
    pub(crate) async fn create_shard(&self) -> Result<u32, Status> {
        loop {
            let roster = self.shards.answers().directory_here(Roster::of).await;
            let roster = roster.map_err(|_| Status::unavailable("the directory's leader is changing; ask again"))?;
            let born_with = self.seen.first_voters(self.limits.replicas);
            if born_with.is_empty() {
                return Err(Status::unavailable("no node is known to be up yet; ask again"));
            }
            let shard = next_shard(&roster);
            match self.propose(Kind::CreateShard(CreateShard { shard, born_with })).await? {
                Ok(()) => return Ok(shard),
                // Somebody else took the number.
                Err(rejection) if rejection.code() == RejectionCode::WrongState => {}
                Err(rejection) => return Err(refused(&rejection)),
            }
        }
    }

    /// Asks until it is so: a hand-over that came to nothing within an election's time is given up by its leader, and the
    /// leader that was seen last may lead no more.
    async fn lead(&self, roster: &Roster, asked: &MoveLeadRequest) -> Result<Response<ClusterView>, Status> {
        let deadline = Instant::now() + WAIT;
        loop {
            let view = self.view(roster);
            let shard = view.shards.iter().find(|shard| shard.shard == asked.shard);
            let shard = shard.ok_or_else(|| missing("shard", &asked.shard.to_string(), "shard list"))?;
            let to = number_of(&asked.to).filter(|to| shard.voters.contains(to));
            let to = to.ok_or_else(|| {
                let voters: Vec<_> = shard.voters.iter().map(|voter| id_of(*voter)).collect();
                Status::failed_precondition(format!(
                    "{} does not vote in shard {}; {} do",
                    asked.to,
                    asked.shard,
                    voters.join(", ")
                ))
            })?;
            if shard.leader == to {
                return self.now().await;
            }
            if Instant::now() > deadline {
                return Err(Status::unavailable(format!(
                    "{} does not lead shard {} yet; ask again",
                    asked.to, asked.shard
                )));
            }
            if let Some(leader) = self.members.get(shard.leader) {
                let mut client = StewardClient::new(self.shards.channels().to(&leader.endpoint));
                let what = Some(What::Transfer(TransferLead { to }));
                let directory_term = self.shards.answers().term_of(0).await;
                let request = SteerRequest { shard: asked.shard, what, directory_term };
                let reply = within(WAIT, client.steer(request)).await?;
                if !reply.refused.is_empty() {
                    return Err(Status::failed_precondition(reply.refused));
                }
            }
            sleep(AGAIN).await;
            if !self.seen.afresh().await {
                // The directory's own lead has moved.
                return self.now().await;
            }
        }
    }

    async fn raise(&self, roster: &Roster, asked: RaiseRulesRequest) -> Result<Response<ClusterView>, Status> {
        let view = self.view(roster);
        let version = if asked.version == 0 { view.rules_possible.max(view.rules) } else { asked.version };
        if asked.dry_run || version == view.rules {
            return Ok(Response::new(view));
        }
        let lacking = self.seen.cannot_follow(version, roster, &self.members);
        if !lacking.is_empty() || version > acd::RULES {
            return Err(Status::failed_precondition(format!(
                "not every node can follow rules {version}: {}. Bring all of them to the new release first",
                if lacking.is_empty() { "this release does not know them".to_owned() } else { lacking.join(", ") }
            )));
        }
        let raise = RaiseRules { version, by: asked.by };
        self.propose(Kind::RaiseRules(raise)).await?.map_err(|rejection| refused(&rejection))?;
        tracing::info!(rules = version, "the cluster follows later rules");
        self.now().await
    }
}

fn under_rules(roster: &Roster) -> Result<(), Status> {
    if roster.knows_nodes() {
        return Ok(());
    }
    Err(Status::failed_precondition(
        "the cluster follows the rules of an earlier release, under which its nodes do not change; `cordctl upgrade \
         status` says whether `cordctl upgrade finish` is possible",
    ))
}
