//! Who gets in: every method that the protos know, called with every role over real TLS, against one real node.

use std::{collections::BTreeSet, path::Path, time::Duration};

use node::{NodeConfig, roles};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use proto::v1::{
    FollowRequest, GetStatusRequest, PeerBatch, WatchRequest, admin_client::AdminClient, peer_client::PeerClient,
    shard_client::ShardClient,
};
use running::{PATIENCE, Running, places};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderValue, Request, header::CONTENT_TYPE},
    transport::{Channel, Endpoint},
};
use tower::Service as _;
use trust::{Far, Role, Trust, authority::Authority};

#[path = "roles/audit.rs"]
mod audit;
#[allow(dead_code, reason = "none of these nodes is refused")]
mod running;

/// Who is let in may wait for an answer for ever; who is not is told at once.
const LET_IN: Duration = Duration::from_secs(2);

struct Node {
    endpoint: Endpoint,
    running: Running,
    authority: Authority,
    dir: tempfile::TempDir,
}

impl Node {
    /// The only one of its cluster, when it is founded.
    async fn start() -> Self {
        Self::start_under(acd::RULES).await
    }

    /// The same, founded with these rules.
    async fn start_under(rules: u32) -> Self {
        let node = Self::start_of(1, rules).await;
        let admin = node.certificate("root", Role::Admin);
        let up = async {
            loop {
                let status =
                    async { AdminClient::new(node.connect(&admin).await?).get_status(GetStatusRequest {}).await };
                if status.await.is_ok_and(|status| !status.get_ref().cluster.is_empty()) {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, up).await.expect("the node serves");
        node
    }

    /// One of so many, of which no other runs; when it can be connected to.
    async fn start_of(nodes: u64, rules: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::begin(&dir.path().join("tls"), "cordboard").expect("an authority");
        let trust = Trust::load(authority.issue("n1", Role::Node, 2).expect("issued")).expect("loaded");
        let address = places(1).remove(0);
        let mut config = NodeConfig { trust, rules, ..config(dir.path(), &address) };
        config.peers.extend((2..=nodes).map(|number| format!("n{number}=127.0.0.1:{number}")));
        let running = Running::start(config);
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
        let node = Self { endpoint, running, authority, dir };
        let admin = node.certificate("root", Role::Admin);
        let up = async {
            while node.connect(&admin).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, up).await.expect("the node serves");
        node
    }

    fn certificate(&self, name: &str, role: Role) -> Trust {
        if role == Role::Stranger {
            return Trust::off();
        }
        Trust::load(self.authority.issue(name, role, 2).expect("issued")).expect("loaded")
    }

    async fn connect(&self, trust: &Trust) -> Result<Channel, Status> {
        trust.connect(&self.endpoint, Far::AnyNode).await.map_err(|error| Status::unavailable(error.to_string()))
    }

    async fn stop(self) {
        self.running.stop().await;
        drop(self.dir);
    }
}

fn config(dir: &Path, address: &str) -> NodeConfig {
    NodeConfig { dir: dir.join("n1"), id: "n1".into(), peers: vec![format!("n1={address}")], ..NodeConfig::default() }
}

/// Every method of our protos, and of the services that every node has besides.
fn methods() -> Vec<String> {
    let ours = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("our own descriptors");
    let health = FileDescriptorSet::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).expect("descriptors");
    let reflection = FileDescriptorSet::decode(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET).expect("descriptors");
    let mut methods = Vec::new();
    for file in ours.file.into_iter().chain(health.file).chain(reflection.file) {
        for service in &file.service {
            let paths = service.method.iter().map(|method| (file.package(), service.name(), method.name()));
            methods.extend(paths.map(|(package, service, method)| format!("/{package}.{service}/{method}")));
        }
    }
    methods
}

#[test]
fn every_method_has_a_row_and_every_row_a_method() {
    let methods = methods();
    assert!(methods.len() > 40, "{}", methods.len());
    let without: Vec<_> = methods.iter().filter(|method| roles::of(method).is_none()).collect();
    assert!(without.is_empty(), "give these a row in roles.rs: {without:?}");
    let known: BTreeSet<&str> =
        methods.iter().map(|path| path.strip_prefix("/cordboard.v1.").unwrap_or(path)).collect();
    let idle: Vec<_> = roles::TABLE.iter().filter(|(method, _)| !known.contains(method)).collect();
    assert!(idle.is_empty(), "there is no such method: {idle:?}");
}

/// The rows of docs/security.md by their beginning, and the methods that do what each says.
const DOCUMENTED: [(&str, &[&str]); 7] = [
    (
        "state of the cluster",
        &["Admin/GetStatus", "Admin/ListNodes", "Admin/ListShards", "Admin/ListGateways", "Cluster/GetCluster"],
    ),
    (
        "queues, agents, calls, counts",
        &[
            "Admin/ListQueues",
            "Admin/GetQueue",
            "Admin/ListAgents",
            "Admin/GetAgent",
            "Admin/ListCalls",
            "Admin/GetCall",
            "Admin/ExplainCall",
            "Admin/GetStats",
        ],
    ),
    ("change agents and calls", &["Admin/ChangeAgent", "Admin/HangUpCall", "Admin/ActOnCall"]),
    ("records", &["Admin/StreamRecords"]),
    (
        "read and apply documents",
        &[
            "Admin/Apply",
            "Admin/GetDocuments",
            "Admin/DrainGateway",
            "Cluster/ChangeNode",
            "Cluster/AddShards",
            "Cluster/MoveLead",
            "Cluster/RaiseRules",
            "Cluster/MoveTenant",
        ],
    ),
    ("save and restore the whole cluster", &["Backup/Save", "Backup/Restore"]),
    ("audit", &["AuditTrail/List"]),
];

#[test]
fn people_may_do_what_the_document_says_and_machines_speak_among_themselves() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let document = std::fs::read_to_string(document).expect("docs/security.md");
    let people = [Role::Viewer, Role::Supervisor, Role::Operator, Role::Admin, Role::Auditor];
    assert!(document.contains("| | viewer | supervisor | operator | admin | auditor |"), "its columns are others");
    let mut wrong = Vec::new();
    for (what, methods) in DOCUMENTED {
        let row = document.lines().find(|line| line.starts_with(&format!("| {what}"))).expect(what);
        let may: Vec<bool> = row.split('|').skip(2).take(5).map(|cell| cell.trim() == "yes").collect();
        for method in methods {
            let roles = roles::of(&format!("/cordboard.v1.{method}")).expect(method);
            wrong.extend(
                people.iter().zip(&may).filter(|(role, may)| roles.has(**role) != **may).map(|(r, _)| (*r, *method)),
            );
            wrong.extend(
                [Role::Gateway, Role::Stranger].into_iter().filter(|role| roles.has(*role)).map(|r| (r, *method)),
            );
        }
    }
    let documented: BTreeSet<&str> = DOCUMENTED.iter().flat_map(|(_, methods)| methods.iter().copied()).collect();
    for (method, roles) in
        roles::TABLE.iter().filter(|(method, _)| !method.starts_with('/') && !documented.contains(method))
    {
        let gateways = method.starts_with("Shard/");
        let others = people.into_iter().chain([Role::Stranger]).chain((!gateways).then_some(Role::Gateway));
        wrong.extend(others.filter(|role| roles.has(*role)).map(|role| (role, *method)));
    }
    assert!(wrong.is_empty(), "roles.rs and docs/security.md do not say the same of {wrong:?}");
}

/// What a guard says to this caller, if it says something: no guard refuses late.
async fn refused(mut channel: Channel, path: &str) -> Option<Status> {
    // One message without a field: not compressed, no bytes.
    let empty = axum::body::Body::from(vec![0_u8; 5]);
    let mut request = Request::post(path).body(Body::new(empty)).expect("a request");
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    std::future::poll_fn(|context| channel.poll_ready(context)).await.expect("connected");
    let answer = timeout(LET_IN, channel.call(request)).await.ok()?.expect("an answer");
    let status = Status::from_header_map(answer.headers())?;
    let by_guard = status.code() == Code::Unauthenticated || status.message().contains("the certificate says that");
    by_guard.then_some(status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_may_call_exactly_what_the_table_says() {
    let node = Node::start().await;
    let mut asked = JoinSet::new();
    for role in Role::ALL {
        let channel = node.connect(&node.certificate("x1", role)).await.expect("connected");
        for path in methods() {
            let channel = channel.clone();
            asked.spawn(async move { (role, refused(channel, &path).await, path) });
        }
    }
    let mut wrong = Vec::new();
    while let Some(answer) = asked.join_next().await {
        let (role, refused, path) = answer.expect("no panic");
        let may = roles::of(&path).is_some_and(|roles| roles.has(role));
        let expected = match role {
            Role::Stranger => Code::Unauthenticated,
            _ => Code::PermissionDenied,
        };
        if refused.as_ref().map(Status::code) != (!may).then_some(expected) {
            wrong.push(format!("{role} {path}: {refused:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is not known at all is refused to the mightiest.
    let admin = node.connect(&node.certificate("root", Role::Admin)).await.expect("connected");
    for path in ["/cordboard.v1.Admin/DropEverything", "/cordboard.v1.Nobody/Knows", "/"] {
        assert_eq!(
            refused(admin.clone(), path).await.map(|status| status.code()),
            Some(Code::PermissionDenied),
            "{path}"
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_in_the_name_of_another() {
    let node = Node::start().await;
    let g1 = node.connect(&node.certificate("g1", Role::Gateway)).await.expect("connected");
    let mut shard = ShardClient::new(g1);
    let watch =
        |gateway: &str| WatchRequest { shard: 1, gateway: gateway.into(), incarnation: 1, sip: "127.0.0.1:1".into() };
    let refusal = shard.watch(watch("g2")).await.expect_err("as g2");
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal:?}");
    let refusal = shard.follow(FollowRequest { gateway: "g2".into() }).await.expect_err("as g2");
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal:?}");
    shard.watch(watch("g1")).await.expect("as itself");

    let n2 = node.connect(&node.certificate("n2", Role::Node)).await.expect("connected");
    let batch = |from| PeerBatch { cluster: "cordboard".into(), from, to: 1, ..PeerBatch::default() };
    let refusal = PeerClient::new(n2.clone()).exchange(tokio_stream::once(batch(3))).await.expect_err("as n3");
    assert!(refusal.code() == Code::PermissionDenied && refusal.message().contains("n2"), "{refusal:?}");
    PeerClient::new(n2).exchange(tokio_stream::once(batch(2))).await.expect("as itself");
    node.stop().await;
}

#[tokio::test]
async fn a_node_does_not_start_with_the_certificate_of_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::begin(&dir.path().join("tls"), "elsewhere").expect("an authority");
    for (name, role) in [("n1", Role::Node), ("n2", Role::Node), ("n1", Role::Gateway)] {
        let trust = Trust::load(authority.issue(name, role, 2).expect("issued")).expect("loaded");
        let config = NodeConfig { trust, ..config(dir.path(), "127.0.0.1:1") };
        let error = node::run(config, async {}).await.expect_err("not of this node").to_string();
        assert!(error.contains("elsewhere") && error.contains("cordboard://cordboard/node/n1"), "{error}");
    }
}
