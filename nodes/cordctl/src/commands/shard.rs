//! `cordctl shard list`.

use proto::v1::{ListShardsRequest, ShardInfo};
use serde::Serialize;

use crate::{
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Output, figure, given, plain, word},
};

#[derive(Serialize)]
struct View {
    id: u32,
    role: String,
    /// None while the shard elects one.
    leader: Option<String>,
    replicas: Vec<String>,
    term: u64,
    committed: u64,
    applied: u64,
    config_version: u64,
}

pub(super) async fn fetch(cluster: &mut Cluster) -> Result<Vec<ShardInfo>, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_shards(request).await;
    Ok(cluster.ask("shard list", ListShardsRequest {}, rpc).await?.shards)
}

pub(super) async fn list(cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let shards: Vec<View> = fetch(cluster).await?.into_iter().map(View::from).collect();
    output.show(&shards, |page| {
        let heads = ["ID", "ROLE", "LEADER", "REPLICAS", "TERM", "COMMITTED", "APPLIED", "CONFIG"];
        page.table(
            heads,
            shards.iter().map(|shard| {
                [
                    figure(shard.id),
                    plain(&shard.role),
                    word(shard.leader.as_deref().unwrap_or("none")),
                    plain(shard.replicas.join(",")),
                    figure(shard.term),
                    figure(shard.committed),
                    figure(shard.applied),
                    figure(shard.config_version),
                ]
            }),
        );
    })
}

impl From<ShardInfo> for View {
    fn from(shard: ShardInfo) -> Self {
        let ShardInfo { id, leader, replicas, term, committed, applied, role, config_version } = shard;
        Self { id, role, leader: given(leader), replicas, term, committed, applied, config_version }
    }
}
