//! The service Cluster of the same fake: three nodes, two shards, and what was wanted of them. Whatever is wanted is so at
//! once, but for n3, of which nothing ever gets done.

use proto::v1::{
    cluster_server::{Cluster, ClusterServer},
    *,
};
use tonic::{Request, Response, Status as GrpcStatus};

use super::{Answer, Fake, known};

/// The service.
pub(super) fn server(fake: Fake) -> ClusterServer<Fake> {
    ClusterServer::new(fake)
}

impl Fake {
    /// As it is after all that was asked.
    async fn view(&self) -> ClusterView {
        let asked = self.asked.lock().await;
        let state = |id: &str| {
            let last = asked.nodes.iter().rev().find(|asked| asked.id == id).map(ChangeNodeRequest::wish);
            match last {
                Some(_) if id == "n3" => "draining",
                Some(NodeWish::Drained | NodeWish::Replaced) => "drained",
                Some(NodeWish::Removed) => "removed",
                _ => "active",
            }
        };
        let node = |number: u64, up: bool| {
            let id = format!("n{number}");
            let state = state(&id).to_owned();
            let (release, zone) = ("0.1.0".to_owned(), if number == 1 { "east".to_owned() } else { String::new() });
            let row = NodeRow { number, id, zone, release, rules_max: 4, ..NodeRow::default() };
            NodeView { row: Some(row), up, replicas: 2, leads: 1, state, slow: number == 1, ..NodeView::default() }
        };
        let lead = asked.leads.last().and_then(|asked| asked.to.strip_prefix('n')?.parse().ok()).unwrap_or(1);
        let added: u32 = asked.shards.iter().map(|asked| asked.count).sum();
        let shard = |shard, leader| ShardView { shard, leader, voters: vec![1, 2, 3], ..ShardView::default() };
        let next_steps = if asked.nodes.iter().any(|asked| asked.id == "n3") {
            vec!["shard 1: n1 to vote, n3 to leave".to_owned()]
        } else {
            Vec::new()
        };
        ClusterView {
            rules: asked.rules.last().map_or(3, |asked| if asked.version == 0 { 4 } else { asked.version }),
            rules_possible: 4,
            nodes: vec![node(1, true), node(2, !self.all_up_but_n2), node(3, true)],
            shards: (0..2 + added).map(|number| shard(number, lead)).collect(),
            next_steps,
            ..ClusterView::default()
        }
    }
}

#[tonic::async_trait]
impl Cluster for Fake {
    async fn get_cluster(&self, _: Request<GetClusterRequest>) -> Answer<ClusterView> {
        Ok(Response::new(self.view().await))
    }
    async fn change_node(&self, request: Request<ChangeNodeRequest>) -> Answer<ClusterView> {
        let request = request.into_inner();
        if request.wish() == NodeWish::Drained && request.id == "n2" && !request.force {
            return Err(GrpcStatus::failed_precondition("only 1 other nodes are up. Add a node first, or say --force"));
        }
        if request.wish() != NodeWish::Added {
            ["n1", "n2", "n3"]
                .iter()
                .find(|id| **id == request.id)
                .map_or_else(|| known(&request.id, "n1"), |_| Ok(()))?;
        }
        self.asked.lock().await.nodes.push(request);
        Ok(Response::new(self.view().await))
    }
    async fn add_shards(&self, request: Request<AddShardsRequest>) -> Answer<ClusterView> {
        self.asked.lock().await.shards.push(request.into_inner());
        Ok(Response::new(self.view().await))
    }
    async fn move_lead(&self, request: Request<MoveLeadRequest>) -> Answer<ClusterView> {
        let request = request.into_inner();
        if request.to == "n4" {
            return Err(GrpcStatus::failed_precondition("n4 does not vote in shard 1; n1, n2, n3 do"));
        }
        self.asked.lock().await.leads.push(request);
        Ok(Response::new(self.view().await))
    }
    async fn raise_rules(&self, request: Request<RaiseRulesRequest>) -> Answer<ClusterView> {
        let request = request.into_inner();
        if request.version > 4 {
            return Err(GrpcStatus::failed_precondition("not every node can follow rules 9: n1 knows rules up to 4"));
        }
        self.asked.lock().await.rules.push(request);
        Ok(Response::new(self.view().await))
    }
    async fn move_tenant(&self, _: Request<MoveTenantRequest>) -> Answer<ClusterView> {
        Ok(Response::new(self.view().await))
    }
}
