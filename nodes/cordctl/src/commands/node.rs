//! `cordctl node list`.

use proto::v1::{ListNodesRequest, NodeInfo};
use serde::Serialize;

use crate::{
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Output, figure, lasting, plain, word},
};

#[derive(Serialize)]
struct View {
    id: String,
    grpc: String,
    up: bool,
    leads: u32,
    replicas: u32,
    version: String,
    uptime_ms: u64,
}

pub(super) async fn fetch(cluster: &mut Cluster) -> Result<Vec<NodeInfo>, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_nodes(request).await;
    Ok(cluster.ask("node list", ListNodesRequest {}, rpc).await?.nodes)
}

pub(super) async fn list(cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let nodes: Vec<View> = fetch(cluster).await?.into_iter().map(View::from).collect();
    output.show(&nodes, |page| {
        let heads = ["ID", "STATE", "LEADS", "REPLICAS", "UPTIME", "VERSION", "GRPC"];
        page.table(
            heads,
            nodes.iter().map(|node| {
                [
                    plain(&node.id),
                    word(if node.up { "up" } else { "down" }),
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

impl From<NodeInfo> for View {
    fn from(node: NodeInfo) -> Self {
        let NodeInfo { id, grpc, up, leads, replicas, version, uptime_ms } = node;
        Self { id, grpc, up, leads, replicas, version, uptime_ms }
    }
}
