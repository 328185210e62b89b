//! How Admin asks the whole cluster: its tenants, each of its leader, and its nodes, each of itself. Changes nothing but by a
//! command to a tenant.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use proto::v1::{
    AgentInfo, AskRequest, CallDetail, DescribeRequest, DirectoryDocuments, GatewayInfo, GetAgentRequest,
    GetCallRequest, ListGatewaysRequest, NodeDescription, ShardInfo, ask_reply, ask_request::About, command,
    query_client::QueryClient,
};
use tonic::Status;

use super::{
    admin::AdminService,
    refusals::{missing, refused, unreached},
    scope::{Scope, named},
};
use crate::{pump, shards::within, translate};

/// How long a question may take before the asker hears that nobody leads.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// How long a node may take to describe itself before it counts as down.
const DESCRIBE_MAX: Duration = Duration::from_millis(500);
/// Tenants that are asked at the same time for one thing.
const TENANTS_AT_ONCE: usize = 32;

impl AdminService {
    /// The directory as its leader has it.
    pub(super) async fn directory(&self) -> Result<DirectoryDocuments, Status> {
        pump::present(&self.shards, WAIT)
            .await
            .map_err(|error| unreached(&error))?
            .ok_or_else(|| Status::internal("the directory gave an answer to another question"))
    }

    /// The same question to every tenant.
    pub(super) async fn ask_all(&self, scope: &Scope, about: About) -> Result<Vec<ask_reply::About>, Status> {
        let mut all = Vec::new();
        for rows in self.tenants(scope).await?.chunks(TENANTS_AT_ONCE) {
            let replies = join_all(rows.iter().map(|row| self.ask(row.number, about.clone()))).await;
            for (row, reply) in rows.iter().zip(replies) {
                all.push(named(row, reply?));
            }
        }
        Ok(all)
    }

    /// A question about one thing, wherever it is; None when no tenant has it. Of several the first by number.
    pub(super) async fn find(&self, scope: &Scope, about: About) -> Result<Option<(u32, ask_reply::About)>, Status> {
        for rows in self.tenants(scope).await?.chunks(TENANTS_AT_ONCE) {
            let replies = join_all(rows.iter().map(|row| self.ask(row.number, about.clone()))).await;
            for (row, reply) in rows.iter().zip(replies) {
                match reply? {
                    ask_reply::About::Nothing(_) => {}
                    found => return Ok(Some((row.number, named(row, found)))),
                }
            }
        }
        Ok(None)
    }

    /// A question to the leader of one tenant.
    async fn ask(&self, shard: u32, about: About) -> Result<ask_reply::About, Status> {
        let reply =
            self.shards.ask(AskRequest { shard, about: Some(about) }, WAIT).await.map_err(|error| unreached(&error))?;
        reply.about.ok_or_else(|| Status::internal("an empty answer"))
    }

    /// All nodes, as each describes itself; None for those that do not answer.
    pub(super) async fn describe_all(&self) -> Vec<(u64, Option<NodeDescription>)> {
        let described = self.members.all().into_iter().map(|(number, member)| {
            let mut query = QueryClient::new(self.shards.channels().to(&member.endpoint));
            async move { (number, within(DESCRIBE_MAX, query.describe(DescribeRequest {})).await.ok()) }
        });
        join_all(described).await
    }

    /// All shards, as the nodes that are up have them.
    pub(super) async fn shard_list(&self) -> Vec<ShardInfo> {
        shards_of(self.describe_all().await.into_iter().filter_map(|(_, description)| description))
    }

    /// A command to a tenant, until it is applied.
    pub(super) async fn change(&self, shard: u32, kind: command::Kind) -> Result<(), Status> {
        self.shards
            .submit(shard, kind, WAIT)
            .await
            .map_err(|error| unreached(&error))?
            .map_err(|rejection| refused(&rejection))
    }

    /// The agent, and the tenant it is of.
    pub(super) async fn agent(&self, scope: &Scope, name: String) -> Result<(u32, AgentInfo), Status> {
        match self.find(scope, About::Agent(GetAgentRequest { name: name.clone() })).await? {
            Some((shard, ask_reply::About::Agent(agent))) => Ok((shard, agent)),
            _ => Err(missing("agent", &name, "agent list")),
        }
    }

    /// The call, and the tenant it is of.
    pub(super) async fn call(&self, scope: &Scope, request: GetCallRequest) -> Result<(u32, CallDetail), Status> {
        let request = checked(request)?;
        match self.find(scope, About::Call(request.clone())).await? {
            Some((shard, ask_reply::About::Call(call))) => Ok((shard, call)),
            _ => Err(missing("call", &request.call, "call list")),
        }
    }

    /// A gateway serves all tenants: its legs are added up.
    pub(super) async fn gateways(&self) -> Result<Vec<GatewayInfo>, Status> {
        let mut gateways: BTreeMap<String, GatewayInfo> = BTreeMap::new();
        for reply in self.ask_all(&Scope::default(), About::Gateways(ListGatewaysRequest {})).await? {
            let ask_reply::About::Gateways(list) = reply else { continue };
            for seen in list.gateways {
                match gateways.get_mut(&seen.id) {
                    Some(known) => {
                        known.legs += seen.legs;
                        known.up |= seen.up;
                        known.calls += seen.calls;
                        known.draining |= seen.draining;
                    }
                    None => drop(gateways.insert(seen.id.clone(), seen)),
                }
            }
        }
        Ok(gateways.into_values().collect())
    }
}

pub(super) fn checked(request: GetCallRequest) -> Result<GetCallRequest, Status> {
    if translate::id_from_hex(&request.call).is_none() {
        return Err(Status::invalid_argument("a call id has 16 hexadecimal digits, as `cordctl call list` prints it"));
    }
    Ok(request)
}

/// All shards, as these nodes have them.
pub(super) fn shards_of(nodes: impl Iterator<Item = NodeDescription>) -> Vec<ShardInfo> {
    let mut shards: BTreeMap<u32, ShardInfo> = BTreeMap::new();
    for seen in nodes.flat_map(|description| description.shards) {
        match shards.get_mut(&seen.id) {
            // A later term knows the present leader; within a term, whoever knows one.
            Some(known) if (known.term, !known.leader.is_empty()) >= (seen.term, !seen.leader.is_empty()) => {
                known.committed = known.committed.max(seen.committed);
                known.applied = known.applied.max(seen.applied);
                known.config_version = known.config_version.max(seen.config_version);
            }
            _ => drop(shards.insert(seen.id, seen)),
        }
    }
    shards.into_values().collect()
}
