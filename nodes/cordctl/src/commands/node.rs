//! `cordctl node ..`: nodes, and what people want of them. `--wait` looks again until it is so.

use std::{collections::BTreeMap, time::Duration};

use proto::v1::{
    ChangeNodeRequest, ClusterView, GetClusterRequest, ListNodesRequest, NodeInfo, NodeView, NodeWish,
    cluster_client::ClusterClient,
};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use crate::{
    args::{Node, Wait},
    cluster::{Admin, Cluster, by},
    failure::Failure,
    output::{Output, clean, figure, given, lasting, plain, word},
};

/// Between two looks while waiting.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct View {
    id: String,
    grpc: String,
    up: bool,
    leads: u32,
    replicas: u32,
    version: String,
    uptime_ms: u64,
    /// None when the directory cannot be asked.
    place: Option<String>,
    zone: Option<String>,
    slow: bool,
}

pub(super) async fn run(asked: Node, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let request = |id: String, wish: NodeWish| ChangeNodeRequest {
        id,
        wish: wish.into(),
        by: by(),
        ..ChangeNodeRequest::default()
    };
    match asked {
        Node::List => list(cluster, output).await,
        Node::Add { id, at, zone } => {
            let request = ChangeNodeRequest { endpoint: at, zone, ..request(id, NodeWish::Added) };
            change(cluster, output, "add", request, None).await
        }
        Node::Drain { id, undo: true, wait, .. } => {
            change(cluster, output, "drain --undo", request(id, NodeWish::Unspecified), Some((wait, "active"))).await
        }
        Node::Drain { id, force, wait, .. } => {
            let request = ChangeNodeRequest { force, ..request(id, NodeWish::Drained) };
            change(cluster, output, "drain", request, Some((wait, "drained"))).await
        }
        Node::Replace { id, with, force, wait } => {
            let request = ChangeNodeRequest { force, replacement: with, ..request(id, NodeWish::Replaced) };
            change(cluster, output, "replace", request, Some((wait, "drained"))).await
        }
        Node::Remove { id, force, wait } => {
            let request = ChangeNodeRequest { force, ..request(id, NodeWish::Removed) };
            change(cluster, output, "remove", request, Some((wait, "removed"))).await
        }
    }
}

pub(super) async fn fetch(cluster: &mut Cluster) -> Result<Vec<NodeInfo>, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_nodes(request).await;
    Ok(cluster.ask("node list", ListNodesRequest {}, rpc).await?.nodes)
}

/// The cluster as the directory's leader sees it.
pub(super) async fn view(what: &str, cluster: &mut Cluster) -> Result<ClusterView, Failure> {
    let rpc = async |channel: &mut Channel, request| ClusterClient::new(channel.clone()).get_cluster(request).await;
    cluster.ask_service(what, GetClusterRequest {}, rpc).await
}

async fn list(cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let described = fetch(cluster).await?;
    // What each node says of itself is worth a list also when the directory has no leader.
    let known = view("node list", cluster).await.map(|view| view.nodes).unwrap_or_default();
    let mut known: BTreeMap<u64, NodeView> =
        known.into_iter().filter_map(|node| Some((node.row.as_ref()?.number, node))).collect();
    let mut nodes: Vec<View> = Vec::new();
    for node in described {
        let number = node.id.strip_prefix('n').and_then(|number| number.parse().ok()).unwrap_or_default();
        nodes.push(View::of(node, known.remove(&number)));
    }
    // Those that are expected, and those that were removed and are still members.
    for node in known.into_values().filter(|node| node.state != "removed") {
        let row = node.row.clone().unwrap_or_default();
        let info = NodeInfo { id: row.id, grpc: row.endpoint, ..NodeInfo::default() };
        nodes.push(View::of(info, Some(node)));
    }
    output.show(&nodes, |page| {
        let heads = ["ID", "STATE", "PLACE", "ZONE", "LEADS", "REPLICAS", "UPTIME", "VERSION", "GRPC"];
        page.table(
            heads,
            nodes.iter().map(|node| {
                let state = match (node.up, node.slow) {
                    (true, true) => "slow",
                    (true, false) => "up",
                    (false, _) => "down",
                };
                [
                    plain(&node.id),
                    word(state),
                    word(node.place.as_deref().unwrap_or("-")),
                    plain(node.zone.as_deref().unwrap_or("-")),
                    figure(node.leads),
                    figure(node.replicas),
                    figure(lasting(node.uptime_ms)),
                    plain(&node.version),
                    plain(&node.grpc),
                ]
            }),
        );
    })
}

/// Says what is wanted, and waits until the node is in this state.
async fn change(
    cluster: &mut Cluster,
    output: Output,
    verb: &str,
    request: ChangeNodeRequest,
    until: Option<(Wait, &str)>,
) -> Result<String, Failure> {
    let id = request.id.clone();
    let what = format!("node {verb} {}", clean(&id));
    let rpc = async |channel: &mut Channel, request| ClusterClient::new(channel.clone()).change_node(request).await;
    let mut seen = cluster.ask_service(&what, request, rpc).await?;
    if let Some((wait, state)) = until.filter(|(wait, _)| wait.wait) {
        let done = |seen: &ClusterView| {
            let node = find(seen, &id);
            (node.is_none() && state == "removed") || (node.is_some_and(|node| node.state == state) && calm(seen))
        };
        seen = wait_until(cluster, &what, seen, wait.deadline, done).await?;
    }
    let node = find(&seen, &id).cloned().unwrap_or_default();
    let view =
        Change { id, state: node.state, replicas: node.replicas, leads: node.leads, next_steps: seen.next_steps };
    output.show(&view, |page| {
        page.table(
            ["ID", "PLACE", "LEADS", "REPLICAS"],
            [[plain(&view.id), word(&view.state), figure(view.leads), figure(view.replicas)]],
        );
    })
}

#[derive(Serialize)]
struct Change {
    id: String,
    state: String,
    replicas: u32,
    leads: u32,
    next_steps: Vec<String>,
}

/// Looks again until it is so; says on stderr what is done next.
pub(super) async fn wait_until(
    cluster: &mut Cluster,
    what: &str,
    mut seen: ClusterView,
    deadline: u32,
    done: impl Fn(&ClusterView) -> bool,
) -> Result<ClusterView, Failure> {
    let until = Instant::now() + Duration::from_secs(deadline.into());
    let mut said = Vec::new();
    while !done(&seen) {
        for step in seen.next_steps.iter().filter(|step| !said.contains(*step)) {
            eprintln!("cordctl: {what}: {}", clean(step));
        }
        said.clone_from(&seen.next_steps);
        if Instant::now() >= until {
            let left = format!("not done after {deadline} s; the cluster goes on with it");
            return Err(Failure::Left { what: what.to_owned(), left });
        }
        sleep(LOOK).await;
        // While leads move nobody may be able to answer for a moment.
        if let Ok(next) = view(what, cluster).await {
            seen = next;
        }
    }
    Ok(seen)
}

/// Nothing is under way.
pub(super) fn calm(seen: &ClusterView) -> bool {
    seen.next_steps.is_empty() && seen.shards.iter().all(|shard| !shard.changing && shard.leader != 0)
}

fn find<'a>(seen: &'a ClusterView, id: &str) -> Option<&'a NodeView> {
    seen.nodes.iter().find(|node| node.row.as_ref().is_some_and(|row| row.id == id))
}

impl View {
    fn of(node: NodeInfo, known: Option<NodeView>) -> Self {
        let NodeInfo { id, grpc, up, leads, replicas, version, uptime_ms } = node;
        let (place, slow) = known.as_ref().map(|known| (known.state.clone(), known.slow)).unwrap_or_default();
        let zone = known.and_then(|known| known.row).map(|row| row.zone).unwrap_or_default();
        Self { id, grpc, up, leads, replicas, version, uptime_ms, place: given(place), zone: given(zone), slow }
    }
}
