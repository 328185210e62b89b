//! Service Admin: what people and their tools ask of the whole cluster. Any node answers; what must be right is asked of
//! the leaders.

use proto::v1::{
    ActOnCallRequest, AgentChange, AgentInfo, AgentList, ApplyReply, ApplyRequest, CallDetail, CallExplanation,
    CallList, ChangeAgentRequest, ClearCall, Document, DocumentList, DrainGatewayRequest, ExtendWrapUp, GatewayInfo,
    GatewayList, GetAgentRequest, GetCallRequest, GetDocumentsRequest, GetQueueRequest, GetStatusRequest,
    HangUpCallRequest, ListAgentsRequest, ListCallsRequest, ListGatewaysRequest, ListNodesRequest, ListQueuesRequest,
    ListShardsRequest, LogInAgent, LogOutAgent, MakeAgentNotReady, MakeAgentReady, NodeInfo, NodeList, QueueDetail,
    QueueList, ShardList, StatsReply, StatsRequest, Status as Overview, StreamRecordsRequest, TotalsRequest,
    admin_server, ask_reply, ask_request::About, command,
};
use tonic::{Request, Response, Status};

use super::{
    asking::{checked, shards_of},
    elsewhere::Elsewhere,
    refusals::missing,
    scope::Scope,
    stream::{Batches, Streams},
};
use crate::{
    directory::{kind_of, name_of},
    members::Members,
    owners::Owners,
    records::Records,
    roles::who,
    shards::Shards,
    translate,
};

/// Calls in one answer, when the asker gives no number.
const CALLS_DEFAULT: u32 = 1_000;
/// Calls in one answer at the most.
const CALLS_MAX: u32 = 100_000;

/// The service.
#[derive(Clone)]
pub struct AdminService {
    pub(super) shards: Shards,
    streams: Streams,
    pub(super) owners: Owners,
    pub(super) members: Members,
    pub(super) own: u64,
}

impl AdminService {
    /// Asks through `shards`; `records` are this node's own, and `own` its number.
    #[must_use]
    pub fn new(shards: Shards, records: Records, owners: Owners, members: Members, own: u64) -> Self {
        let elsewhere = Elsewhere::new(shards.channels().clone(), &members, own);
        let streams = Streams::new(records, owners.clone(), elsewhere);
        Self { shards, streams, owners, members, own }
    }
}

#[tonic::async_trait]
impl admin_server::Admin for AdminService {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<Overview>, Status> {
        let nodes = self.describe_all().await;
        let nodes_total = nodes.len();
        let up: Vec<_> = nodes.into_iter().filter_map(|(_, description)| description).collect();
        let nodes_up = up.len();
        let shards = shards_of(up.into_iter());
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut status = Overview {
            nodes_up: count(nodes_up),
            nodes_total: count(nodes_total),
            shards_led: count(shards.iter().filter(|shard| !shard.leader.is_empty()).count()),
            shards_total: count(shards.len()),
            at_ms: crate::clock::now_us() / 1_000,
            answered_by: crate::members::id_of(self.own),
            ..Overview::default()
        };
        // Without leaders the rest is unknown; what is known is worth an answer.
        if status.shards_led < status.shards_total || status.shards_total == 0 {
            return Ok(Response::new(status));
        }
        let directory = self.directory().await?;
        status.cluster = directory.cluster;
        status.config_version = directory.version;
        for totals in self.ask_all(&Scope::default(), About::Totals(TotalsRequest {})).await? {
            if let ask_reply::About::Totals(totals) = totals {
                status.calls_waiting += totals.calls_waiting;
                status.calls_talking += totals.calls_talking;
                status.agents_ready += totals.agents_ready;
                status.agents_total += totals.agents_total;
            }
        }
        let gateways = self.gateways().await?;
        status.gateways_up = count(gateways.iter().filter(|gateway| gateway.up).count());
        status.gateways_total = count(gateways.len());
        Ok(Response::new(status))
    }

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Result<Response<NodeList>, Status> {
        let nodes = self.describe_all().await.into_iter().map(|(number, description)| {
            description.and_then(|description| description.info).unwrap_or_else(|| NodeInfo {
                id: crate::members::id_of(number),
                grpc: self.members.get(number).map(|member| member.endpoint).unwrap_or_default(),
                ..NodeInfo::default()
            })
        });
        Ok(Response::new(NodeList { nodes: nodes.collect() }))
    }

    async fn list_shards(&self, _: Request<ListShardsRequest>) -> Result<Response<ShardList>, Status> {
        Ok(Response::new(ShardList { shards: self.shard_list().await }))
    }

    async fn list_gateways(&self, _: Request<ListGatewaysRequest>) -> Result<Response<GatewayList>, Status> {
        Ok(Response::new(GatewayList { gateways: self.gateways().await? }))
    }

    async fn drain_gateway(&self, request: Request<DrainGatewayRequest>) -> Result<Response<GatewayInfo>, Status> {
        let by = who(&request, &request.get_ref().by);
        self.drain(DrainGatewayRequest { by, ..request.into_inner() }).await.map(Response::new)
    }

    async fn list_queues(&self, request: Request<ListQueuesRequest>) -> Result<Response<QueueList>, Status> {
        let scope = Scope::of(&request)?;
        let mut queues = Vec::new();
        for reply in self.ask_all(&scope, About::Queues(request.into_inner())).await? {
            if let ask_reply::About::Queues(list) = reply {
                queues.extend(list.queues);
            }
        }
        Ok(Response::new(QueueList { queues }))
    }

    async fn get_queue(&self, request: Request<GetQueueRequest>) -> Result<Response<QueueDetail>, Status> {
        let scope = Scope::of(&request)?;
        let request = request.into_inner();
        match self.find(&scope, About::Queue(request.clone())).await? {
            Some((_, ask_reply::About::Queue(queue))) => Ok(Response::new(queue)),
            _ => Err(missing("queue", &request.name, "queue list")),
        }
    }

    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Result<Response<AgentList>, Status> {
        let scope = Scope::of(&request)?;
        let mut agents = Vec::new();
        for reply in self.ask_all(&scope, About::Agents(request.into_inner())).await? {
            if let ask_reply::About::Agents(list) = reply {
                agents.extend(list.agents);
            }
        }
        Ok(Response::new(AgentList { agents }))
    }

    async fn get_agent(&self, request: Request<GetAgentRequest>) -> Result<Response<AgentInfo>, Status> {
        let scope = Scope::of(&request)?;
        self.agent(&scope, request.into_inner().name).await.map(|(_, agent)| Response::new(agent))
    }

    async fn change_agent(&self, request: Request<ChangeAgentRequest>) -> Result<Response<AgentInfo>, Status> {
        let scope = Scope::of(&request)?;
        let change = request.into_inner();
        let (shard, _) = self.agent(&scope, change.name.clone()).await?;
        let agent = change.name.clone();
        let kind = match change.change() {
            AgentChange::LogIn => command::Kind::LogInAgent(LogInAgent { agent }),
            AgentChange::LogOut => command::Kind::LogOutAgent(LogOutAgent { agent }),
            AgentChange::Ready => command::Kind::MakeAgentReady(MakeAgentReady { agent }),
            AgentChange::NotReady => {
                command::Kind::MakeAgentNotReady(MakeAgentNotReady { agent, reason: change.reason })
            }
            AgentChange::ExtendWrapUp if change.seconds == 0 => {
                return Err(Status::invalid_argument("seconds is missing: by how much the wrap-up is extended"));
            }
            AgentChange::ExtendWrapUp => command::Kind::ExtendWrapUp(ExtendWrapUp { agent, seconds: change.seconds }),
            AgentChange::Unspecified => return Err(Status::invalid_argument("say which change")),
        };
        self.change(shard, kind).await?;
        self.agent(&scope, change.name).await.map(|(_, agent)| Response::new(agent))
    }

    async fn list_calls(&self, request: Request<ListCallsRequest>) -> Result<Response<CallList>, Status> {
        let scope = Scope::of(&request)?;
        let mut request = request.into_inner();
        request.limit = if request.limit == 0 { CALLS_DEFAULT } else { request.limit.min(CALLS_MAX) };
        let mut calls = Vec::new();
        for reply in self.ask_all(&scope, About::Calls(request)).await? {
            if let ask_reply::About::Calls(list) = reply {
                calls.extend(list.calls);
            }
        }
        Ok(Response::new(CallList { calls }))
    }

    async fn get_call(&self, request: Request<GetCallRequest>) -> Result<Response<CallDetail>, Status> {
        let scope = Scope::of(&request)?;
        self.call(&scope, request.into_inner()).await.map(|(_, call)| Response::new(call))
    }

    async fn explain_call(&self, request: Request<GetCallRequest>) -> Result<Response<CallExplanation>, Status> {
        let scope = Scope::of(&request)?;
        let request = checked(request.into_inner())?;
        match self.find(&scope, About::Explain(request.clone())).await? {
            Some((_, ask_reply::About::Explain(explanation))) => Ok(Response::new(explanation)),
            _ => Err(missing("call", &request.call, "call list")),
        }
    }

    async fn hang_up_call(&self, request: Request<HangUpCallRequest>) -> Result<Response<CallDetail>, Status> {
        let (by, scope) = (who(&request, ""), Scope::of(&request)?);
        let request = GetCallRequest { call: request.into_inner().call };
        let (shard, _) = self.call(&scope, request.clone()).await?;
        let call = translate::id_from_hex(&request.call).unwrap_or_default();
        self.change(shard, command::Kind::ClearCall(ClearCall { call, by })).await?;
        self.call(&scope, request).await.map(|(_, call)| Response::new(call))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyReply>, Status> {
        let by = who(&request, &request.get_ref().by);
        self.apply_documents(request, by).await
    }

    async fn get_documents(&self, request: Request<GetDocumentsRequest>) -> Result<Response<DocumentList>, Status> {
        let scope = Scope::of(&request)?;
        let GetDocumentsRequest { kind, name } = request.into_inner();
        let directory = self.directory().await?;
        // Zones are ours, not people's.
        let wanted = |document: &Document| {
            kind_of(document) != "Zone"
                && scope.in_records().is_none_or(|tenant| document.tenant == tenant)
                && (kind.is_empty() || kind.eq_ignore_ascii_case(kind_of(document)))
                && (name.is_empty() || name == name_of(document))
        };
        let documents: Vec<_> = directory.documents.into_iter().filter(wanted).collect();
        if documents.is_empty() && !name.is_empty() {
            return Err(missing("document", &name, "get"));
        }
        Ok(Response::new(DocumentList { version: directory.version, yaml: documents::to_yaml(&documents), documents }))
    }

    async fn act_on_call(&self, request: Request<ActOnCallRequest>) -> Result<Response<CallDetail>, Status> {
        let (person, scope) = (who(&request, ""), Scope::of(&request)?);
        self.act(&scope, request.into_inner(), &person).await.map(Response::new)
    }

    async fn get_stats(&self, request: Request<StatsRequest>) -> Result<Response<StatsReply>, Status> {
        self.stats(request).await
    }

    type StreamRecordsStream = Batches;

    async fn stream_records(
        &self,
        request: Request<StreamRecordsRequest>,
    ) -> Result<Response<Self::StreamRecordsStream>, Status> {
        self.streams.open(request).await
    }
}
