//! An admin service that knows one centre by heart, in this process on loopback.

mod cluster;

use std::{net::SocketAddr, sync::Arc};

use proto::v1::{
    admin_server::{Admin, AdminServer},
    *,
};
use tokio::{net::TcpListener, sync::Mutex};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status as GrpcStatus};

type Answer<T> = Result<Response<T>, GrpcStatus>;

/// What the fake was asked to change.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) changes: Vec<ChangeAgentRequest>,
    pub(crate) applies: Vec<ApplyRequest>,
    pub(crate) calls: Vec<ListCallsRequest>,
    pub(crate) acts: Vec<ActOnCallRequest>,
    pub(crate) stats: Vec<StatsRequest>,
    pub(crate) streams: Vec<StreamRecordsRequest>,
    pub(crate) nodes: Vec<ChangeNodeRequest>,
    pub(crate) shards: Vec<AddShardsRequest>,
    pub(crate) leads: Vec<MoveLeadRequest>,
    pub(crate) rules: Vec<RaiseRulesRequest>,
}

#[derive(Clone, Default)]
pub(crate) struct Fake {
    pub(crate) asked: Arc<Mutex<Asked>>,
    pub(crate) hangs: bool,
    /// Whether what is done with calls ends without an answer.
    pub(crate) loses_acts: bool,
    /// What is written down, in batches of two; a cursor is how many were read.
    pub(crate) records: Vec<Record>,
    /// Every stream breaks after so many batches.
    pub(crate) breaks_after: Option<usize>,
    /// Documents instead of the one number.
    pub(crate) documents: Vec<Document>,
    /// Whether n2 is silent.
    pub(crate) all_up_but_n2: bool,
    /// Whether there is another tenant, with things of the same names.
    pub(crate) tenants: bool,
}

impl Fake {
    /// Serves until the runtime ends.
    pub(crate) async fn serve(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tonic::transport::Server::builder()
            .add_service(cluster::server(self.clone()))
            .add_service(AdminServer::new(self));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }
}

fn agent(name: &str) -> AgentInfo {
    AgentInfo {
        name: name.to_owned(),
        state: "ready".to_owned(),
        in_state_ms: 12_300,
        queues: vec!["support".to_owned()],
        contacts: vec!["sip:anna@127.0.0.1:15080".to_owned()],
        calls_answered: 7,
        skills: vec![SkillLevel { skill: "english".to_owned(), level: 50 }],
        state_ms: vec![0, 60_000, 12_300, 0, 600_000, 0, 0, 30_000, 0],
        capacity: 2,
        calls: vec!["00000000deadbeef".to_owned()],
        ..AgentInfo::default()
    }
}

fn queue() -> QueueInfo {
    QueueInfo {
        name: "support".to_owned(),
        waiting: 2,
        offered: 1,
        agents_ready: 1,
        agents_logged_in: 1,
        agents_total: 2,
        longest_wait_ms: 65_000,
        calls_offered: 10,
        calls_answered: 7,
        calls_abandoned: 1,
        strategy: "longest-idle".to_owned(),
        open: true,
        callbacks: 1,
        estimate_low_ms: 65_000,
        estimate_high_ms: 130_000,
        now: Some(counts()),
        ..QueueInfo::default()
    }
}

/// 24 were there for long enough, 18 of them answered in time.
fn counts() -> Counts {
    let mut buckets = vec![0; 24];
    (buckets[4], buckets[8], buckets[23]) = (10, 8, 2);
    Counts {
        offered: 25,
        answered: 20,
        abandoned: 5,
        abandoned_short: 1,
        within_threshold: 18,
        wait_ms: 200_000,
        talk_ms: 3_000_000,
        hold_ms: 100_000,
        wrap_up_ms: 300_000,
        transferred_out: 3,
        callbacks_asked: 2,
        callbacks_done: 1,
        rona: 4,
        state_ms: vec![9_000, 1_000, 2_000, 0, 4_000, 1_000, 0, 2_000, 0],
        waits: Some(Histogram { buckets }),
        ..Counts::default()
    }
}

fn call(state: &str) -> CallInfo {
    CallInfo {
        call: "00000000deadbeef".to_owned(),
        state: state.to_owned(),
        number: "5000".to_owned(),
        caller: "\x1b[2Jmallory\u{9b}".to_owned(),
        queue: "support".to_owned(),
        age_ms: 5_000,
        waited_ms: 4_000,
        gateway: "g1".to_owned(),
        ..CallInfo::default()
    }
}

fn known(name: &str, expected: &str) -> Result<(), GrpcStatus> {
    if name == expected { Ok(()) } else { Err(GrpcStatus::not_found(format!("there is no {name}"))) }
}

#[tonic::async_trait]
impl Admin for Fake {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Answer<Status> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(Status {
            cluster: "c0ffee".to_owned(),
            config_version: 3,
            nodes_up: 2,
            nodes_total: 3,
            shards_led: 2,
            shards_total: 2,
            gateways_up: 2,
            gateways_total: 2,
            calls_waiting: 2,
            calls_talking: 1,
            agents_ready: 1,
            agents_total: 2,
            at_ms: 1_700_000_000_000,
            answered_by: "n1".to_owned(),
        }))
    }
    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Answer<NodeList> {
        let node = |id: &str, up| NodeInfo {
            id: id.to_owned(),
            grpc: "127.0.0.1:7001".to_owned(),
            up,
            leads: 1,
            replicas: 2,
            version: "0.1.0".to_owned(),
            uptime_ms: 61_000,
        };
        Ok(Response::new(NodeList { nodes: vec![node("n1", true), node("n2", false)] }))
    }
    async fn list_shards(&self, _: Request<ListShardsRequest>) -> Answer<ShardList> {
        let shard = |id, leader: &str, role: &str| ShardInfo {
            id,
            leader: leader.to_owned(),
            replicas: vec!["n1".to_owned(), "n2".to_owned(), "n3".to_owned()],
            role: role.to_owned(),
            term: 2,
            ..ShardInfo::default()
        };
        Ok(Response::new(ShardList { shards: vec![shard(0, "n1", "directory"), shard(1, "", "tenant")] }))
    }
    async fn list_gateways(&self, _: Request<ListGatewaysRequest>) -> Answer<GatewayList> {
        let gateway = GatewayInfo {
            id: "g1".to_owned(),
            sip: "127.0.0.1:5060".to_owned(),
            up: true,
            legs: 3,
            calls: 2,
            ..GatewayInfo::default()
        };
        let other = GatewayInfo { id: "g2".to_owned(), ..gateway.clone() };
        Ok(Response::new(GatewayList { gateways: vec![gateway, other] }))
    }
    async fn drain_gateway(&self, request: Request<proto::v1::DrainGatewayRequest>) -> Answer<GatewayInfo> {
        let request = request.into_inner();
        known(&request.id, "g1").or_else(|_| known(&request.id, "g2"))?;
        // The second one has calls that never settle.
        let calls = if request.id == "g2" { 2 } else { 0 };
        let draining = !request.undo;
        Ok(Response::new(GatewayInfo { id: request.id, up: true, draining, calls, ..GatewayInfo::default() }))
    }
    async fn list_queues(&self, _: Request<ListQueuesRequest>) -> Answer<QueueList> {
        let theirs = self.tenants.then(|| QueueInfo { tenant: "acme".to_owned(), ..queue() });
        Ok(Response::new(QueueList { queues: [Some(queue()), theirs].into_iter().flatten().collect() }))
    }
    async fn get_queue(&self, request: Request<GetQueueRequest>) -> Answer<QueueDetail> {
        known(&request.get_ref().name, "support")?;
        let waiting = |position, call: &str, offered| WaitingCall {
            call: call.to_owned(),
            caller: "\x1b]0;owned\x07bob".to_owned(),
            waited_ms: 65_000 / u64::from(position),
            position,
            offered,
            priority: 5,
            skills: "english:50".to_owned(),
            tier: 2,
            waits_for: if offered { String::new() } else { "ben".to_owned() },
            callback: !offered,
            estimate_low_ms: u64::from(position - 1) * 5_000,
            estimate_high_ms: u64::from(position - 1) * 9_000,
        };
        Ok(Response::new(QueueDetail {
            info: Some(queue()),
            waiting: vec![waiting(1, "00000000deadbeef", true), waiting(2, "00000000deadbef0", false)],
            agents: vec![agent("anna")],
        }))
    }
    async fn list_agents(&self, _: Request<ListAgentsRequest>) -> Answer<AgentList> {
        let whose = if self.tenants { "acme" } else { "" };
        let ben = AgentInfo { tenant: whose.to_owned(), ..agent("ben") };
        Ok(Response::new(AgentList { agents: vec![agent("anna"), ben] }))
    }
    async fn get_agent(&self, request: Request<GetAgentRequest>) -> Answer<AgentInfo> {
        known(&request.get_ref().name, "anna")?;
        Ok(Response::new(agent("anna")))
    }
    async fn change_agent(&self, request: Request<ChangeAgentRequest>) -> Answer<AgentInfo> {
        let request = request.into_inner();
        let changed = match request.change() {
            AgentChange::Ready if request.name == "ben" => {
                return Err(GrpcStatus::failed_precondition("ben is logged out; log in first"));
            }
            AgentChange::NotReady => "not-ready",
            AgentChange::LogOut => "logged-out",
            _ => "ready",
        };
        let answer = AgentInfo { state: changed.to_owned(), reason: request.reason.clone(), ..agent(&request.name) };
        self.asked.lock().await.changes.push(request);
        Ok(Response::new(answer))
    }
    async fn list_calls(&self, request: Request<ListCallsRequest>) -> Answer<CallList> {
        self.asked.lock().await.calls.push(request.into_inner());
        let theirs = self.tenants.then(|| CallInfo { tenant: "acme".to_owned(), ..call("talking") });
        Ok(Response::new(CallList { calls: [Some(call("waiting")), theirs].into_iter().flatten().collect() }))
    }
    async fn get_call(&self, request: Request<GetCallRequest>) -> Answer<CallDetail> {
        known(&request.get_ref().call, "00000000deadbeef")?;
        let leg = LegInfo {
            leg: 1,
            party: "caller".to_owned(),
            state: "answered".to_owned(),
            wanted: "play music".to_owned(),
            revision: 2,
        };
        Ok(Response::new(CallDetail { info: Some(call("waiting")), legs: vec![leg], ..CallDetail::default() }))
    }
    async fn explain_call(&self, request: Request<GetCallRequest>) -> Answer<CallExplanation> {
        known(&request.get_ref().call, "00000000deadbeef")?;
        let decision = DecisionRecord {
            call: 0xdead_beef,
            queue: "support".to_owned(),
            strategy: "longest-idle".to_owned(),
            chosen: "anna".to_owned(),
            candidates: vec![
                Candidate { agent: "anna".to_owned(), figure: 12_300 },
                Candidate { agent: "ben".to_owned(), figure: 4_000 },
            ],
            candidates_total: 5,
            exclusions: vec![
                Exclusion { reason: "not-ready".to_owned(), agents: 2 },
                Exclusion { reason: "talking".to_owned(), agents: 1 },
            ],
            waited_ms: 1_200,
            position: 1,
            tie_break: "name".to_owned(),
            also: vec!["ben".to_owned()],
            rules: 1,
            tier: 2,
            skills: "english:50".to_owned(),
            cause: String::new(),
        };
        let activity = AgentRecord {
            agent: "anna".to_owned(),
            from: "reserved".to_owned(),
            to: "talking".to_owned(),
            spent_ms: 2_000,
            ..AgentRecord::default()
        };
        let ended = CallRecord {
            call: 0xdead_beef,
            number: "5000".to_owned(),
            agent: "anna".to_owned(),
            offered_ms: 1_700_000_001_200,
            answered_ms: 1_700_000_003_200,
            ended_ms: 1_700_000_008_200,
            outcome: CallOutcome::Completed.into(),
            ended_by: "caller".to_owned(),
            offers: 1,
            parts: vec![
                CallPart {
                    agent: "anna".to_owned(),
                    queue: "support".to_owned(),
                    from_ms: 1_700_000_003_200,
                    until_ms: 1_700_000_006_200,
                    hold_ms: 1_000,
                    ring_ms: 2_000,
                },
                CallPart {
                    agent: "ben".to_owned(),
                    from_ms: 1_700_000_006_200,
                    until_ms: 1_700_000_008_200,
                    ..CallPart::default()
                },
            ],
            priority: 5,
            skills: "english:50".to_owned(),
            waited_ms: 3_200,
            ..CallRecord::default()
        };
        let sticky = DecisionRecord {
            call: 0xdead_beef,
            queue: "support".to_owned(),
            chosen: "anna".to_owned(),
            position: 1,
            cause: "sticky".to_owned(),
            ..DecisionRecord::default()
        };
        let transfer = TransferRecord {
            call: 0xdead_beef,
            agent: "anna".to_owned(),
            kind: "blind".to_owned(),
            target: "ben".to_owned(),
            result: "done".to_owned(),
        };
        let record = |at_ms, kind| Record { at_ms, kind: Some(kind), ..Record::default() };
        Ok(Response::new(CallExplanation {
            info: Some(call("ended")),
            records: vec![
                record(1_700_000_000_000, record::Kind::Decision(sticky)),
                record(1_700_000_001_200, record::Kind::Decision(decision)),
                record(1_700_000_003_200, record::Kind::Agent(activity)),
                record(1_700_000_006_200, record::Kind::Transfer(transfer)),
                record(1_700_000_008_200, record::Kind::Call(ended)),
            ],
        }))
    }
    async fn hang_up_call(&self, request: Request<HangUpCallRequest>) -> Answer<CallDetail> {
        known(&request.get_ref().call, "00000000deadbeef")?;
        Ok(Response::new(CallDetail { info: Some(call("ended")), ..CallDetail::default() }))
    }
    async fn apply(&self, request: Request<ApplyRequest>) -> Answer<ApplyReply> {
        let request = request.into_inner();
        let wrong = request.files.iter().find(|file| file.text.contains("fastest"));
        let errors = wrong.map(|file| DocumentError {
            file: file.name.clone(),
            line: 12,
            document: "Queue support".to_owned(),
            field: "strategy".to_owned(),
            message: "unknown value \"fastest\"".to_owned(),
            allowed: "longest-idle".to_owned(),
        });
        let change = |action: &str, name: &str| DocumentChange {
            action: action.to_owned(),
            kind: "Queue".to_owned(),
            name: name.to_owned(),
        };
        let changes = if errors.is_some() {
            Vec::new()
        } else {
            vec![change("created", "support"), change("unchanged", "sales")]
        };
        self.asked.lock().await.applies.push(request);
        Ok(Response::new(ApplyReply { version: 4, changes, errors: errors.into_iter().collect() }))
    }
    async fn get_documents(&self, request: Request<GetDocumentsRequest>) -> Answer<DocumentList> {
        let request = request.into_inner();
        let number = Number { name: "5000".to_owned(), queue: "support".to_owned(), ..Number::default() };
        let documents = if !self.documents.is_empty() {
            self.documents.clone()
        } else if ["", "5000"].contains(&request.name.as_str()) {
            vec![Document { kind: Some(document::Kind::Number(number)), ..Document::default() }]
        } else {
            Vec::new()
        };
        let yaml = "kind: Number\nname: \"5000\"\nroute:\n  queue: support\n".to_owned();
        Ok(Response::new(DocumentList { version: 4, yaml, documents }))
    }
    async fn act_on_call(&self, request: Request<ActOnCallRequest>) -> Answer<CallDetail> {
        let request = request.into_inner();
        let refused = matches!(&request.action, Some(act_on_call_request::Action::Pull(pull)) if pull.agent == "ben");
        self.asked.lock().await.acts.push(request);
        if refused {
            return Err(GrpcStatus::failed_precondition("ben is talking"));
        }
        if self.loses_acts {
            return Err(GrpcStatus::unavailable("the leader went away"));
        }
        Ok(Response::new(CallDetail { info: Some(call("talking")), ..CallDetail::default() }))
    }
    async fn get_stats(&self, request: Request<StatsRequest>) -> Answer<StatsReply> {
        let request = request.into_inner();
        let row = |name: &str, counts| IntervalRecord {
            subject: request.subject.clone(),
            name: name.to_owned(),
            from_ms: 1_700_000_000_000,
            until_ms: 1_700_000_900_000,
            counts: Some(counts),
            ..IntervalRecord::default()
        };
        let whose = if self.tenants { "acme" } else { "" };
        let theirs = IntervalRecord { tenant: whose.to_owned(), ..row("sales", Counts::default()) };
        let rows = vec![row("support", counts()), theirs];
        let complete = request.from_ms == 0;
        self.asked.lock().await.stats.push(request);
        Ok(Response::new(StatsReply { rows, at_ms: 1_700_000_900_000, complete }))
    }
    type StreamRecordsStream = tokio_stream::Iter<std::vec::IntoIter<Result<RecordBatch, GrpcStatus>>>;
    async fn stream_records(&self, request: Request<StreamRecordsRequest>) -> Answer<Self::StreamRecordsStream> {
        let request = request.into_inner();
        let read: usize = match request.cursor.as_str() {
            "" => 0,
            cursor => cursor.parse().map_err(|_| GrpcStatus::invalid_argument("that is no cursor of ours"))?,
        };
        let (all, mut batches) = (self.records.len(), Vec::new());
        for at in (read.min(all)..all).step_by(2) {
            let until = (at + 2).min(all);
            let cursor = until.to_string();
            batches.push(Ok(RecordBatch { records: self.records[at..until].to_vec(), cursor, pruned: false }));
        }
        if let Some(most) = self.breaks_after.filter(|most| *most < batches.len()) {
            batches.truncate(most);
            batches.push(Err(GrpcStatus::unavailable("this node is going")));
        }
        self.asked.lock().await.streams.push(request);
        Ok(Response::new(tokio_stream::iter(batches)))
    }
}
