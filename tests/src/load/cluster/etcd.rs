//! etcd's own gRPC, as much of it as is measured: Put, and who leads. Field numbers are those of etcd's rpc.proto.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::sleep;
use tonic::{
    IntoRequest as _,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

use super::drive::{VALUE_BYTES, Writer};

/// Connections that clients share.
const CONNECTIONS: usize = 8;
/// Keys, as many as ours writes to.
const KEYS: u64 = 1_000;

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes, tag = "1")]
    key: Vec<u8>,
    #[prost(bytes, tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// Clients of the leader.
pub(super) struct Puts {
    channels: Vec<Channel>,
}

impl Puts {
    /// Connects to whoever leads.
    pub(super) async fn to_leader_of(endpoints: &[String]) -> anyhow::Result<Self> {
        for _ in 0..100 {
            for endpoint in endpoints {
                let Ok(channel) = connect(endpoint).await else { continue };
                let status: anyhow::Result<StatusResponse> =
                    call(channel, "/etcdserverpb.Maintenance/Status", StatusRequest {}).await;
                let Ok(status) = status else { continue };
                let own = status.header.map_or(0, |header| header.member_id);
                if own != 0 && own == status.leader {
                    let mut channels = Vec::new();
                    for _ in 0..CONNECTIONS {
                        channels.push(connect(endpoint).await?);
                    }
                    return Ok(Self { channels });
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        bail!("etcd has no leader")
    }
}

impl Writer for Puts {
    async fn write(&self, client: usize, turn: u64) -> anyhow::Result<()> {
        let channel = self.channels[client % self.channels.len()].clone();
        let key = format!("key{}", (client as u64).wrapping_mul(7_919).wrapping_add(turn) % KEYS).into_bytes();
        let put = PutRequest { key, value: vec![b'v'; VALUE_BYTES] };
        let _: PutResponse = call(channel, "/etcdserverpb.KV/Put", put).await?;
        Ok(())
    }
}

async fn connect(endpoint: &str) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{endpoint}"))?.tcp_nodelay(true).connect().await?)
}

async fn call<Asked, Answer>(channel: Channel, path: &'static str, asked: Asked) -> anyhow::Result<Answer>
where
    Asked: prost::Message + Default + 'static,
    Answer: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.context("etcd is not ready")?;
    let codec = tonic_prost::ProstCodec::<Asked, Answer>::default();
    Ok(grpc.unary(asked.into_request(), PathAndQuery::from_static(path), codec).await?.into_inner())
}
