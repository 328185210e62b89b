//! Service Admin: what people and their tools ask of the whole cluster. Any node answers; what must be right is asked of
//! the leaders.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use proto::v1::{
    ActOnCallRequest, AgentChange, AgentInfo, AgentList, ApplyReply, ApplyRequest, AskRequest, CallDetail,
    CallExplanation, CallList, ChangeAgentRequest, ClearCall, DescribeRequest, DirectoryDocuments, Document,
    DocumentChange, DocumentList, DrainGatewayRequest, ExtendWrapUp, GatewayInfo, GatewayList, GetAgentRequest,
    GetCallRequest, GetDocumentsRequest, GetQueueRequest, GetStatusRequest, HangUpCallRequest, ListAgentsRequest,
    ListCallsRequest, ListGatewaysRequest, ListNodesRequest, ListQueuesRequest, ListShardsRequest, LogInAgent,
    LogOutAgent, MakeAgentNotReady, MakeAgentReady, NodeDescription, NodeInfo, NodeList, PutDocuments, QueueDetail,
    QueueList, Rejection, RejectionCode, ShardInfo, ShardList, StatsReply, StatsRequest, Status as Overview,
    StreamRecordsRequest, TotalsRequest, admin_client::AdminClient, admin_server, ask_reply, ask_request::About,
    command, directory_entry, query_client::QueryClient,
};
use tonic::{Request, Response, Status};

use super::{
    audit::Outcome,
    elsewhere::Elsewhere,
    scope::{Scope, named},
    stream::{Batches, Streams},
};
use crate::{
    directory::{RULES_OF_NODES, kind_of, name_of},
    members::Members,
    owners::Owners,
    pump,
    records::Records,
    roles::who,
    shards::{PASSED_ON, Shards, Unreached, within},
    translate,
};

/// How long a question may take before the asker hears that nobody leads.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// How long a node may take to describe itself before it counts as down.
const DESCRIBE_MAX: Duration = Duration::from_millis(500);
/// Calls in one answer, when the asker gives no number.
const CALLS_DEFAULT: u32 = 1_000;
/// Documents that an audit record names.
const CHANGES_TOLD_MAX: usize = 10;
/// Tenants that are asked at the same time for one thing.
const TENANTS_AT_ONCE: usize = 32;
/// Calls in one answer at the most.
const CALLS_MAX: u32 = 100_000;

/// The service.
#[derive(Clone)]
pub struct AdminService {
    pub(super) shards: Shards,
    streams: Streams,
    owners: Owners,
    members: Members,
    own: u64,
}

impl AdminService {
    /// Asks through `shards`; `records` are this node's own, and `own` its number.
    #[must_use]
    pub fn new(shards: Shards, records: Records, owners: Owners, members: Members, own: u64) -> Self {
        let elsewhere = Elsewhere::new(shards.channels().clone(), &members, own);
        let streams = Streams::new(records, owners.clone(), elsewhere);
        Self { shards, streams, owners, members, own }
    }

    /// The directory as its leader has it.
    pub(super) async fn directory(&self) -> Result<DirectoryDocuments, Status> {
        pump::present(&self.shards, WAIT)
            .await
            .map_err(|error| unreached(&error))?
            .ok_or_else(|| Status::internal("the directory gave an answer to another question"))
    }

    /// The same question to every tenant.
    async fn ask_all(&self, scope: &Scope, about: About) -> Result<Vec<ask_reply::About>, Status> {
        let tenants = self.tenants(scope).await?;
        let replies = tenants.iter().map(|row| async {
            let reply = self.ask(row.number, about.clone()).await?;
            Ok(named(row, reply))
        });
        join_all(replies).await.into_iter().collect()
    }

    /// A question about one thing, wherever it is; None when no tenant has it. Of several the first by number.
    async fn find(&self, scope: &Scope, about: About) -> Result<Option<(u32, ask_reply::About)>, Status> {
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

    async fn ask(&self, shard: u32, about: About) -> Result<ask_reply::About, Status> {
        let reply =
            self.shards.ask(AskRequest { shard, about: Some(about) }, WAIT).await.map_err(|error| unreached(&error))?;
        reply.about.ok_or_else(|| Status::internal("an empty answer"))
    }

    async fn describe_all(&self) -> Vec<(u64, Option<NodeDescription>)> {
        let described = self.members.all().into_iter().map(|(number, member)| {
            let mut query = QueryClient::new(self.shards.channels().to(&member.endpoint));
            async move { (number, within(DESCRIBE_MAX, query.describe(DescribeRequest {})).await.ok()) }
        });
        join_all(described).await
    }

    async fn shard_list(&self) -> Vec<ShardInfo> {
        let mut shards: BTreeMap<u32, ShardInfo> = BTreeMap::new();
        for (_, description) in self.describe_all().await {
            for seen in description.map(|description| description.shards).unwrap_or_default() {
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
        }
        shards.into_values().collect()
    }

    /// Applies at the directory's leader, here.
    async fn apply_here(&self, request: ApplyRequest) -> Result<ApplyReply, Status> {
        let present = self.directory().await?;
        let plan = match documents::check(&present.documents, &request.files) {
            Ok(plan) => plan,
            Err(errors) => return Ok(ApplyReply { version: present.version, errors, ..ApplyReply::default() }),
        };
        if present.rules < RULES_OF_NODES && plan.upserts.iter().any(is_of_a_tenant) {
            return Err(Status::failed_precondition(
                "the cluster does not know tenants yet: `cordctl upgrade finish` once every node runs this release",
            ));
        }
        if request.dry_run || plan.upserts.is_empty() {
            return Ok(ApplyReply { version: present.version, changes: plan.changes, errors: Vec::new() });
        }
        let put =
            PutDocuments { base_version: present.version, upserts: plan.upserts, removals: Vec::new(), by: request.by };
        match pump::propose(&self.owners, directory_entry::Kind::PutDocuments(put)).await {
            Some(Ok(())) => {}
            Some(Err(rejection)) => return Err(refused(&rejection)),
            None => return Err(Status::unavailable("the directory's leader changed; look with `get` and apply again")),
        }
        self.wait_until_configured(present.version + 1).await;
        Ok(ApplyReply { version: present.version + 1, changes: plan.changes, errors: Vec::new() })
    }

    /// The documents are committed; tenants that are slow get them all the same, so this only waits for a while.
    async fn wait_until_configured(&self, version: u64) {
        let deadline = tokio::time::Instant::now() + WAIT;
        let Ok(present) = self.directory().await else { return };
        for row in present.tenants.iter().filter(|row| row.documents >= version) {
            while tokio::time::Instant::now() < deadline
                && !pump::config_version(&self.shards, row.number, WAIT).await.is_ok_and(|known| known >= row.documents)
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// The endpoint of the directory's leader, None when it is this node.
    async fn directory_elsewhere(&self) -> Result<Option<String>, Status> {
        let leader = self
            .shard_list()
            .await
            .into_iter()
            .find(|shard| shard.id == 0 && !shard.leader.is_empty())
            .ok_or_else(|| Status::unavailable("the directory has no leader; are most nodes up?"))?
            .leader;
        Ok(self
            .members
            .all()
            .into_iter()
            .find(|(number, member)| member.id == leader && *number != self.own)
            .map(|(_, member)| member.endpoint))
    }

    pub(super) async fn change(&self, shard: u32, kind: command::Kind) -> Result<(), Status> {
        self.shards
            .submit(shard, kind, WAIT)
            .await
            .map_err(|error| unreached(&error))?
            .map_err(|rejection| refused(&rejection))
    }
}

/// What a release without tenants would not understand.
fn is_of_a_tenant(document: &Document) -> bool {
    !document.tenant.is_empty() || kind_of(document) == "Tenant"
}

#[tonic::async_trait]
impl admin_server::Admin for AdminService {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<Overview>, Status> {
        let nodes = self.describe_all().await;
        let shards = self.shard_list().await;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut status = Overview {
            nodes_up: count(nodes.iter().filter(|(_, description)| description.is_some()).count()),
            nodes_total: count(nodes.len()),
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
        let passed_on = request.metadata().contains_key(PASSED_ON);
        let by = who(&request, &request.get_ref().by);
        let request = ApplyRequest { by, ..request.into_inner() };
        match self.directory_elsewhere().await? {
            Some(_) if passed_on => Err(Status::unavailable("the directory's leader is changing; apply again")),
            Some(endpoint) => {
                let mut request = Request::new(request);
                request.metadata_mut().insert(PASSED_ON, tonic::metadata::MetadataValue::from_static("1"));
                AdminClient::new(self.shards.channels().to(&endpoint))
                    .max_encoding_message_size(usize::MAX)
                    .max_decoding_message_size(usize::MAX)
                    .apply(request)
                    .await
                    .map(told)
            }
            None => self.apply_here(request).await.map(Response::new).map(told),
        }
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

impl AdminService {
    async fn agent(&self, scope: &Scope, name: String) -> Result<(u32, AgentInfo), Status> {
        match self.find(scope, About::Agent(GetAgentRequest { name: name.clone() })).await? {
            Some((shard, ask_reply::About::Agent(agent))) => Ok((shard, agent)),
            _ => Err(missing("agent", &name, "agent list")),
        }
    }

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

/// What became of documents is said in the reply, not by its status. A Caller's name may be a caller's number.
fn told(mut reply: Response<ApplyReply>) -> Response<ApplyReply> {
    let ApplyReply { version, changes, errors } = reply.get_ref();
    let name = |change: &DocumentChange| match change.kind.as_str() {
        "Caller" => "a Caller".to_owned(),
        kind => format!("{kind} {}", change.name),
    };
    let changed: Vec<String> =
        changes.iter().filter(|change| change.action != "unchanged").take(CHANGES_TOLD_MAX).map(name).collect();
    let outcome = match errors.len() {
        0 => format!("done: version {version}: {}", changed.join(", ")),
        count => format!("refused, errors: {count}"),
    };
    reply.extensions_mut().insert(Outcome(outcome));
    reply
}

fn checked(request: GetCallRequest) -> Result<GetCallRequest, Status> {
    if translate::id_from_hex(&request.call).is_none() {
        return Err(Status::invalid_argument("a call id has 16 hexadecimal digits, as `cordctl call list` prints it"));
    }
    Ok(request)
}

pub(super) fn missing(what: &str, name: &str, list: &str) -> Status {
    Status::not_found(format!("there is no {what} {name:?}; `cordctl {list}` shows what there is"))
}

pub(super) fn unreached(error: &Unreached) -> Status {
    Status::unavailable(format!("{error}; `cordctl shard list` shows who leads"))
}

pub(super) fn refused(rejection: &Rejection) -> Status {
    let detail = rejection.detail.clone();
    match rejection.code() {
        RejectionCode::UnknownCall
        | RejectionCode::UnknownLeg
        | RejectionCode::UnknownAgent
        | RejectionCode::UnknownNumber
        | RejectionCode::UnknownGateway => Status::not_found(detail),
        RejectionCode::LimitReached => Status::resource_exhausted(detail),
        RejectionCode::Invalid => Status::invalid_argument(detail),
        RejectionCode::Stale => Status::aborted(detail),
        RejectionCode::WrongState | RejectionCode::Unspecified => Status::failed_precondition(detail),
    }
}
