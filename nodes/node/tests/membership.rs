//! Clusters that change: nodes join, go, come back and are refused; with real disks and real gRPC in one process.

use std::{path::PathBuf, time::Duration};

use node::NodeConfig;
use proto::v1::{
    ChangeNodeRequest, ClusterView, DescribeRequest, GetClusterRequest, GetStatusRequest, NodeDescription, NodeWish,
    admin_client::AdminClient, cluster_client::ClusterClient, query_client::QueryClient,
};
use running::{PATIENCE, Running, places, until};
use tokio::time::{sleep, timeout};
use tonic::{Status, transport::Channel};

#[path = "membership/callers.rs"]
mod callers;
#[path = "membership/disks.rs"]
mod disks;
#[path = "membership/growing.rs"]
mod growing;
#[path = "membership/rules.rs"]
mod rules;
mod running;
#[path = "membership/sleeping.rs"]
mod sleeping;
#[path = "membership/steering.rs"]
mod steering;

/// Nodes by number, those that run and those that do not.
struct World {
    nodes: Vec<Option<Running>>,
    endpoints: Vec<String>,
    dir: tempfile::TempDir,
    config: NodeConfig,
}

impl World {
    /// The first `count` nodes found a cluster; there is room for more.
    async fn found(count: usize, config: NodeConfig) -> Self {
        let mut world = Self::prepare(count, config);
        (1..=count).for_each(|number| world.start(number));
        let shards = world.config.tenant_shards + 1;
        until("the cluster is founded", async || {
            let mut admin = AdminClient::connect(format!("http://{}", world.at(1))).await.ok()?;
            let status = admin.get_status(GetStatusRequest {}).await.ok()?.into_inner();
            (status.shards_led == shards && !status.cluster.is_empty()).then_some(())
        })
        .await;
        world
    }

    /// Nobody runs yet; the first `count` are going to found a cluster.
    fn prepare(count: usize, config: NodeConfig) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = NodeConfig { silence_ms: 1_000, ..config };
        let mut world = Self { nodes: (0..8).map(|_| None).collect(), endpoints: places(8), dir, config };
        world.config.peers = (1..=count).map(|number| format!("n{number}={}", world.at(number))).collect();
        world
    }

    fn at(&self, number: usize) -> &str {
        &self.endpoints[number - 1]
    }

    fn disk(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("n{number}"))
    }

    /// As one of the first.
    fn start(&mut self, number: usize) {
        self.run(number, self.config.clone());
    }

    /// By a seed list, and without the list of the first nodes.
    fn join(&mut self, number: usize, seeds: &[usize]) {
        let join = seeds.iter().map(|seed| self.at(*seed).to_owned()).collect();
        self.run(number, NodeConfig { peers: Vec::new(), join, ..self.config.clone() });
    }

    /// With nothing but what is on its disk.
    fn again(&mut self, number: usize) {
        self.join(number, &[]);
    }

    fn run(&mut self, number: usize, config: NodeConfig) {
        let grpc = if config.peers.is_empty() { self.at(number).to_owned() } else { String::new() };
        let config = NodeConfig { id: format!("n{number}"), dir: self.disk(number), grpc, ..config };
        assert!(self.nodes[number - 1].is_none(), "n{number} runs");
        self.nodes[number - 1] = Some(Running::start(config));
    }

    async fn stop(&mut self, number: usize) {
        self.nodes[number - 1].take().expect("it runs").stop().await;
    }

    async fn stop_all(&mut self) {
        for number in 1..=self.nodes.len() {
            if self.nodes[number - 1].is_some() {
                self.stop(number).await;
            }
        }
    }

    async fn cluster(&self, number: usize) -> Option<ClusterClient<Channel>> {
        ClusterClient::connect(format!("http://{}", self.at(number))).await.ok()
    }

    async fn describe(&self, number: usize) -> Option<NodeDescription> {
        let mut query = QueryClient::connect(format!("http://{}", self.at(number))).await.ok()?;
        query.describe(DescribeRequest {}).await.ok().map(tonic::Response::into_inner)
    }

    /// Waits until a running node sees the cluster so.
    async fn see<T>(&self, what: &str, look: impl Fn(&ClusterView) -> Option<T>) -> T {
        let last = std::cell::RefCell::new(None);
        let waiting = timeout(PATIENCE, async {
            loop {
                for number in (1..=self.nodes.len()).filter(|number| self.nodes[number - 1].is_some()) {
                    let Some(mut client) = self.cluster(number).await else { continue };
                    let Ok(view) = client.get_cluster(GetClusterRequest {}).await else { continue };
                    let view = view.into_inner();
                    if let Some(found) = look(&view) {
                        return found;
                    }
                    last.replace(Some(view));
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        let found = waiting.await;
        found.unwrap_or_else(|_| panic!("not in time: {what}\nlast seen: {:#?}", last.borrow()))
    }

    async fn wish(&self, asked: usize, id: &str, wish: NodeWish, force: bool) -> Result<ClusterView, Status> {
        let request = ChangeNodeRequest { id: id.into(), wish: wish.into(), force, ..ChangeNodeRequest::default() };
        let mut client = self.cluster(asked).await.expect("up");
        client.change_node(request).await.map(tonic::Response::into_inner)
    }
}

fn voters(view: &ClusterView, shard: u32) -> Vec<u64> {
    view.shards.iter().find(|seen| seen.shard == shard).map(|seen| seen.voters.clone()).unwrap_or_default()
}

fn state_of<'a>(view: &'a ClusterView, id: &str) -> &'a str {
    let node = view.nodes.iter().find(|node| node.row.as_ref().is_some_and(|row| row.id == id));
    node.map_or("", |node| &node.state)
}

/// Nothing changes and nothing is going to.
fn is_calm(view: &ClusterView) -> bool {
    view.next_steps.is_empty() && view.shards.iter().all(|shard| !shard.changing && shard.leader != 0)
}
