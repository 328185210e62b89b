//! `cordctl shard ..`: shards, more of them, and who leads.

use proto::v1::{AddShardsRequest, ListShardsRequest, MoveLeadRequest, ShardInfo, cluster_client::ClusterClient};
use serde::Serialize;
use tonic::transport::Channel;

use super::node::{calm, wait_until};
use crate::{
    args::Shard,
    cluster::{Admin, Cluster, by},
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

pub(super) async fn run(asked: Shard, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    match asked {
        Shard::List => {}
        Shard::Add { count, wait } => {
            let what = "shard add";
            let rpc =
                async |channel: &mut Channel, request| ClusterClient::new(channel.clone()).add_shards(request).await;
            let before = fetch(cluster).await?.len();
            let seen = cluster.ask_service(what, AddShardsRequest { count, by: by() }, rpc).await?;
            if wait.wait {
                let wanted = before + count as usize;
                wait_until(cluster, what, seen, wait.deadline, |seen| seen.shards.len() >= wanted && calm(seen))
                    .await?;
            }
        }
        Shard::Lead { shard, to, wait } => {
            let what = format!("shard lead {shard}");
            let number = to.strip_prefix('n').and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
            let rpc =
                async |channel: &mut Channel, request| ClusterClient::new(channel.clone()).move_lead(request).await;
            let seen = cluster.ask_service(&what, MoveLeadRequest { shard, to, by: by() }, rpc).await?;
            if wait.wait {
                let leads = |seen: &proto::v1::ClusterView| {
                    seen.shards.iter().any(|seen| seen.shard == shard && seen.leader == number)
                };
                wait_until(cluster, &what, seen, wait.deadline, leads).await?;
            }
        }
    }
    list(cluster, output).await
}

async fn list(cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
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
