//! Three nodes with real disks and real gRPC in one process, spoken to as a gateway and an admin would.

use std::{path::Path, time::Duration};

use node::NodeConfig;
use proto::v1::{
    AgentChange, AnswerLeg, ApplyRequest, AskRequest, CallOutcome, ChangeAgentRequest, Command, CommandId, EndCause,
    EndLeg, GetCallRequest, GetDocumentsRequest, GetQueueRequest, GetStatusRequest, ListShardsRequest, OfferCall,
    Order, SourceFile, Submission, SubmitRequest, WatchRequest, admin_client::AdminClient, ask_reply, ask_request,
    command, document, order, outcome, query_client::QueryClient, record, shard_client::ShardClient, watch_reply,
};
use running::{PATIENCE, Running, places, until};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::transport::Channel;

#[path = "three_nodes/acts.rs"]
mod acts;
#[path = "three_nodes/choosers.rs"]
mod choosers;
#[path = "three_nodes/limits.rs"]
mod limits;
#[path = "three_nodes/records.rs"]
mod records;
#[allow(dead_code, reason = "none of these nodes is refused")]
mod running;
#[path = "three_nodes/tenants.rs"]
mod tenants;

const CENTRE: &str = "
kind: Number
name: '5000'
route: { queue: support }
---
kind: Queue
name: support
answer: on-entry
---
kind: Agent
name: anna
contact: sip:anna@127.0.0.1:15080
queues: [{ name: support }]
start: ready
";

struct Member {
    endpoint: String,
    running: Option<Running>,
}

struct Cluster {
    nodes: Vec<Member>,
    peers: Vec<String>,
    dir: tempfile::TempDir,
    config: NodeConfig,
}

impl Cluster {
    async fn start() -> Self {
        Self::start_as(NodeConfig::default()).await
    }

    /// With the settings of `config`.
    async fn start_as(config: NodeConfig) -> Self {
        let endpoints = places(3);
        let peers: Vec<_> = (1..).zip(&endpoints).map(|(number, at)| format!("n{number}={at}")).collect();
        let dir = tempfile::tempdir().expect("a directory");
        let nodes = (0..3).map(|index| start(&config, index, &peers, dir.path(), endpoints[index].clone())).collect();
        let led = config.tenant_shards + 1;
        let cluster = Self { nodes, peers, dir, config };
        until("shards have leaders", async || {
            let status = cluster.admin(0).await?.get_status(GetStatusRequest {}).await.ok()?.into_inner();
            (status.shards_led == led && !status.cluster.is_empty()).then_some(())
        })
        .await;
        cluster
    }

    async fn admin(&self, index: usize) -> Option<AdminClient<Channel>> {
        AdminClient::connect(format!("http://{}", self.nodes[index].endpoint)).await.ok()
    }

    async fn leader(&self, among: &[usize]) -> usize {
        until("shard 1 has a leader", async || {
            for &index in among {
                let Some(mut admin) = self.admin(index).await else { continue };
                let Ok(shards) = admin.list_shards(ListShardsRequest {}).await else { continue };
                let leader = shards.into_inner().shards.into_iter().find(|shard| shard.id == 1)?.leader;
                let found = leader.strip_prefix('n').and_then(|number| number.parse::<usize>().ok())? - 1;
                if among.contains(&found) {
                    return Some(found);
                }
            }
            None
        })
        .await
    }

    async fn stop(&mut self, index: usize) {
        self.nodes[index].running.take().expect("it runs").stop().await;
    }

    fn restart(&mut self, index: usize) {
        let endpoint = self.nodes[index].endpoint.clone();
        self.nodes[index] = start(&self.config, index, &self.peers, self.dir.path(), endpoint);
    }
}

fn start(config: &NodeConfig, index: usize, peers: &[String], dir: &Path, endpoint: String) -> Member {
    let id = format!("n{}", index + 1);
    let config = NodeConfig { dir: dir.join(&id), id, peers: peers.to_vec(), ..config.clone() };
    Member { endpoint, running: Some(Running::start(config)) }
}

/// A gateway as the shard sees it.
struct Gateway {
    requests: mpsc::Sender<SubmitRequest>,
    outcomes: tonic::Streaming<proto::v1::SubmitReply>,
    orders: tonic::Streaming<proto::v1::WatchReply>,
    number: u64,
}

const INCARNATION: u64 = 77;

impl Gateway {
    async fn attach(endpoint: &str, number: u64) -> Option<(Self, Vec<Order>)> {
        let mut client = ShardClient::connect(format!("http://{endpoint}")).await.ok()?;
        let watch =
            WatchRequest { shard: 1, gateway: "g1".into(), incarnation: INCARNATION, sip: "127.0.0.1:5060".into() };
        let mut orders = client.watch(watch).await.ok()?.into_inner();
        let mut standing = Vec::new();
        loop {
            match timeout(Duration::from_secs(3), orders.next()).await.ok()??.ok()?.kind? {
                watch_reply::Kind::Orders(more) => standing.extend(more.orders),
                watch_reply::Kind::InSync(_) => break,
                watch_reply::Kind::KeepAlive(_) => {}
                watch_reply::Kind::NotLeader(_) => return None,
            }
        }
        let (requests, receiver) = mpsc::channel(16);
        let outcomes = client.submit(ReceiverStream::new(receiver)).await.ok()?.into_inner();
        Some((Self { requests, outcomes, orders, number }, standing))
    }

    async fn submit(&mut self, kind: command::Kind) -> outcome::Result {
        self.number += 1;
        let id = Some(CommandId { sender: 9, number: self.number });
        let submission =
            Submission { shard: 1, id, settled_below: 0, command: Some(Command { kind: Some(kind) }), trace: None };
        self.requests.send(SubmitRequest { submissions: vec![submission] }).await.expect("the stream is open");
        let reply = timeout(PATIENCE, self.outcomes.next()).await.expect("in time").expect("open").expect("a reply");
        reply.outcomes.into_iter().next().and_then(|outcome| outcome.result).expect("an outcome")
    }

    async fn accepted(&mut self, kind: command::Kind) {
        let result = self.submit(kind).await;
        assert!(matches!(result, outcome::Result::Accepted(_)), "{result:?}");
    }

    async fn order(&mut self, call: u64, leg: u32) -> order::Want {
        loop {
            let reply = timeout(PATIENCE, self.orders.next()).await.expect("in time").expect("open").expect("a reply");
            if let Some(watch_reply::Kind::Orders(orders)) = reply.kind
                && let Some(order) = orders.orders.into_iter().find(|order| order.call == call && order.leg == leg)
            {
                return order.want.expect("an order wants something");
            }
        }
    }
}

fn offer(call: u64) -> command::Kind {
    offer_to("5000", call)
}

fn offer_to(number: &str, call: u64) -> command::Kind {
    command::Kind::OfferCall(OfferCall {
        call,
        gateway: "g1".into(),
        incarnation: INCARNATION,
        number: number.into(),
        caller: format!("caller{call}"),
        ..OfferCall::default()
    })
}

fn end(call: u64, leg: u32, cause: EndCause) -> command::Kind {
    command::Kind::EndLeg(EndLeg { call, leg, cause: cause.into(), ..EndLeg::default() })
}

async fn line(cluster: &Cluster, index: usize) -> Vec<String> {
    until("the line can be read", async || {
        let request = GetQueueRequest { name: "support".into(), limit: 0 };
        let queue = cluster.admin(index).await?.get_queue(request).await.ok()?.into_inner();
        Some(queue.waiting.into_iter().map(|call| call.caller).collect())
    })
    .await
}

async fn apply(cluster: &Cluster, text: &str) {
    let file = SourceFile { name: "centre.yaml".into(), text: text.into() };
    let request = ApplyRequest { files: vec![file], dry_run: false, by: "test".into() };
    // Asked of each node in turn, because whoever does not lead passes it on.
    let reply = cluster.admin(1).await.expect("up").apply(request).await.expect("applied").into_inner();
    assert!(reply.errors.is_empty(), "{:?}", reply.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_answered_ended_and_explained() {
    let mut cluster = Cluster::start().await;
    apply(&cluster, CENTRE).await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let (mut gateway, standing) = Gateway::attach(&cluster.nodes[leader].endpoint, 0).await.expect("attached");
    assert!(standing.is_empty());
    gateway.accepted(offer(1)).await;
    // The whole entry's orders come together; anna rings at once.
    let ring = gateway.order(1, 2).await;
    assert!(matches!(&ring, order::Want::Ring(ring) if ring.agent == "anna"), "{ring:?}");
    gateway
        .accepted(command::Kind::AnswerLeg(AnswerLeg { call: 1, leg: 2, passport: vec![1], ..AnswerLeg::default() }))
        .await;
    gateway.accepted(end(1, 1, EndCause::Hangup)).await;
    gateway.accepted(end(1, 2, EndCause::Ordered)).await;
    let mut admin = cluster.admin((leader + 1) % 3).await.expect("up");
    let request = GetCallRequest { call: format!("{:016x}", 1) };
    let explained = admin.explain_call(request.clone()).await.expect("explained").into_inner();
    let kinds: Vec<_> = explained.records.iter().filter_map(|record| record.kind.as_ref()).collect();
    assert!(kinds.iter().any(|kind| matches!(kind, record::Kind::Decision(decision) if decision.chosen == "anna")));
    let ended: Vec<_> = kinds.iter().filter(|kind| matches!(kind, record::Kind::Call(_))).collect();
    assert_eq!(ended.len(), 1, "exactly one terminal record");
    let call = admin.get_call(request).await.expect("found").into_inner();
    assert_eq!(call.record.expect("ended").outcome(), CallOutcome::Completed);
    for index in 0..3 {
        cluster.stop(index).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_brings_the_zones_that_its_schedules_need_and_shows_them_to_nobody() {
    let mut cluster = Cluster::start().await;
    apply(&cluster, "kind: Schedule\nname: office\nzone: Europe/Berlin\nhours: mon-fri 09:00-17:00\n").await;
    let present = until("the directory's leader answers", async || {
        for node in &cluster.nodes {
            let about = Some(ask_request::About::Documents(GetDocumentsRequest::default()));
            let mut query = QueryClient::connect(format!("http://{}", node.endpoint)).await.ok()?;
            if let Ok(reply) = query.ask(AskRequest { shard: 0, about }).await {
                return reply.into_inner().about;
            }
        }
        None
    })
    .await;
    let ask_reply::About::Documents(present) = present else { panic!("{present:?}") };
    let zones: Vec<_> = present
        .documents
        .iter()
        .filter_map(|document| match &document.kind {
            Some(document::Kind::Zone(zone)) => Some((zone.name.as_str(), zone.changes.len())),
            _ => None,
        })
        .collect();
    assert_eq!(zones, [("Europe/Berlin", 160)]);
    let mut admin = cluster.admin(0).await.expect("up");
    let shown = admin.get_documents(GetDocumentsRequest::default()).await.expect("got").into_inner();
    assert_eq!(shown.documents.len(), 1, "{:?}", shown.documents);
    assert!(shown.yaml.contains("kind: Schedule") && !shown.yaml.contains("kind: Zone"), "{}", shown.yaml);
    for index in 0..3 {
        cluster.stop(index).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_survives_a_change_of_leader_and_a_restart_of_all() {
    let mut cluster = Cluster::start().await;
    apply(&cluster, CENTRE).await;
    let change = ChangeAgentRequest {
        name: "anna".into(),
        change: AgentChange::NotReady.into(),
        reason: "lunch".into(),
        seconds: 0,
    };
    cluster.admin(0).await.expect("up").change_agent(change).await.expect("changed");
    let leader = cluster.leader(&[0, 1, 2]).await;
    let (mut gateway, _) = Gateway::attach(&cluster.nodes[leader].endpoint, 0).await.expect("attached");
    for call in 1..=20 {
        gateway.accepted(offer(call)).await;
    }
    let before = line(&cluster, 0).await;
    assert_eq!(before.len(), 20);

    cluster.stop(leader).await;
    let others: Vec<_> = (0..3).filter(|&index| index != leader).collect();
    let next = cluster.leader(&others).await;
    assert_eq!(line(&cluster, next).await, before);
    let (mut gateway, standing) = until("the gateway attaches to the next leader", async || {
        Gateway::attach(&cluster.nodes[next].endpoint, 100).await
    })
    .await;
    assert_eq!(standing.len(), 20, "every leg's order is told again");
    // A retry of the first command: the first answer, and no second call.
    gateway.number = 0;
    gateway.accepted(offer(1)).await;
    gateway.number = 200;
    gateway.accepted(end(3, 1, EndCause::Hangup)).await;
    let mut expected = before;
    expected.retain(|caller| caller != "caller3");

    for index in others {
        cluster.stop(index).await;
    }
    for index in 0..3 {
        cluster.restart(index);
    }
    let found = cluster.leader(&[0, 1, 2]).await;
    assert_eq!(line(&cluster, found).await, expected);
    for index in 0..3 {
        cluster.stop(index).await;
    }
}
