//! Who changed what: written down before and after, by name and role, and nothing changes when it cannot be.

use proto::v1::{
    AgentChange, ApplyRequest, AuditLine, ChangeAgentRequest, JoinRequest, ListAuditRequest, SourceFile,
    StreamRecordsRequest, audit_trail_client::AuditTrailClient, record::Kind, steward_client::StewardClient,
};
use tokio_stream::StreamExt as _;

use super::*;

const QUEUE: &str = "kind: Queue\nname: support\n---\nkind: Caller\nname: '015112345'\nnumber: '015112345'\n";

fn apply(text: &str, dry_run: bool) -> ApplyRequest {
    let file = SourceFile { name: "centre.yaml".into(), text: text.into() };
    ApplyRequest { files: vec![file], dry_run, by: "somebody else".into() }
}

impl Node {
    async fn admin(&self, name: &str, role: Role) -> AdminClient<Channel> {
        AdminClient::new(self.connect(&self.certificate(name, role)).await.expect("connected"))
    }
}

fn told(line: &AuditLine) -> (u64, &str, &str, &str, &str, u64) {
    let AuditLine { number, who, role, method, outcome, of, .. } = line;
    (*number, who, role, method, outcome, *of)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_written_down_with_who_wanted_them_and_what_came_of_them() {
    let node = Node::start().await;
    let mut carla = node.admin("carla", Role::Supervisor).await;
    let login = |name: &str| ChangeAgentRequest {
        name: name.into(),
        change: AgentChange::LogIn.into(),
        ..ChangeAgentRequest::default()
    };
    let nobody = carla.change_agent(login("nobody")).await.expect_err("there is no such agent");
    assert_eq!(nobody.code(), Code::NotFound, "{nobody:?}");
    // Who may not, and who only asks what would be, changes nothing that is written down.
    let refused = node.admin("vera", Role::Viewer).await.change_agent(login("nobody")).await.expect_err("a viewer");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let mut root = node.admin("root", Role::Admin).await;
    root.apply(apply(QUEUE, true)).await.expect("tried");
    root.apply(apply("kind: Queue\nname: ''\n", false)).await.expect("an answer, with errors");
    let reply = root.apply(apply("kind: Queue\nname: support\n", false)).await.expect("applied").into_inner();
    assert!(reply.errors.is_empty(), "{reply:?}");

    let otto = node.connect(&node.certificate("otto", Role::Auditor)).await.expect("connected");
    let list =
        AuditTrailClient::new(otto.clone()).list(ListAuditRequest::default()).await.expect("listed").into_inner();
    assert!(list.chain_whole);
    let done = format!("done: version {}: Queue support", reply.version);
    let (agent, documents) = ("Admin.ChangeAgent", "Admin.Apply");
    assert_eq!(
        list.lines.iter().map(told).collect::<Vec<_>>(),
        [
            (1, "carla", "supervisor", agent, "", 0),
            (2, "carla", "supervisor", agent, "failed: NotFound", 1),
            (3, "root", "admin", documents, "", 0),
            (4, "root", "admin", documents, "refused, errors: 1", 3),
            (5, "root", "admin", documents, "", 0),
            (6, "root", "admin", documents, done.as_str(), 5),
        ]
    );
    assert_eq!(list.lines[0].subject, "agent nobody: log in");
    assert!(list.lines.iter().all(|line| line.from == "127.0.0.1" && !line.hash.is_empty()));

    let request = StreamRecordsRequest { kinds: vec!["audit".into()], ..StreamRecordsRequest::default() };
    let batches = AdminClient::new(otto).stream_records(request).await.expect("a stream").into_inner();
    let batches: Vec<_> = timeout(PATIENCE, batches.collect::<Vec<_>>()).await.expect("it ends");
    let records = batches.into_iter().flat_map(|batch| batch.expect("a batch").records);
    let hashes: Vec<_> = records
        .filter_map(|record| match record.kind {
            Some(Kind::Audit(audit)) => Some(audit.hash),
            _ => None,
        })
        .collect();
    assert_eq!(hashes, list.lines.into_iter().map(|line| line.hash).collect::<Vec<_>>());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_record_there_is_no_change() {
    // One of three nodes: it serves, and the directory has no leader.
    let node = Node::start_of(3, acd::RULES).await;
    let mut root = node.admin("root", Role::Admin).await;
    let refusal = loop {
        match root.apply(apply("kind: Queue\nname: support\n", false)).await {
            Ok(reply) => panic!("it was applied: {reply:?}"),
            Err(status) if status.message().contains("transport") => sleep(Duration::from_millis(50)).await,
            Err(status) => break status,
        }
    };
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
    assert!(refusal.message().starts_with("nothing was changed"), "{refusal:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_earlier_rules_changes_are_made_and_nothing_is_written_that_they_do_not_know() {
    let node = Node::start_under(3).await;
    let mut root = node.admin("root", Role::Admin).await;
    let reply = root.apply(apply("kind: Queue\nname: support\n", false)).await.expect("applied").into_inner();
    assert!(reply.errors.is_empty() && reply.version > 1, "{reply:?}");
    let otto = node.connect(&node.certificate("otto", Role::Auditor)).await.expect("connected");
    let list = AuditTrailClient::new(otto).list(ListAuditRequest::default()).await.expect("listed").into_inner();
    assert!(list.lines.is_empty(), "{list:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_would_join_in_the_name_of_another_is_refused_and_written_down() {
    let node = Node::start().await;
    let n2 = node.connect(&node.certificate("n2", Role::Node)).await.expect("connected");
    let mut steward = StewardClient::new(n2);
    let join = |id: &str| JoinRequest {
        cluster: "cordboard".into(),
        id: id.into(),
        endpoint: "127.0.0.1:1".into(),
        seal: 7,
        life: 1,
        empty: true,
        process: 9,
        ..JoinRequest::default()
    };
    for _ in 0..3 {
        let refusal = steward.join(join("n3")).await.expect_err("as n3");
        assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal:?}");
        assert!(refusal.message().contains("the certificate is of n2"), "{refusal:?}");
    }
    let reply = steward.join(join("n2")).await.expect("as itself").into_inner();
    assert!(reply.refused.is_empty() && reply.nodes.iter().all(|row| row.id != "n3"), "{reply:?}");
    let otto = node.connect(&node.certificate("otto", Role::Auditor)).await.expect("connected");
    let mut trail = AuditTrailClient::new(otto);
    let written = async {
        loop {
            let list = trail.list(ListAuditRequest::default()).await.expect("listed").into_inner();
            if !list.lines.is_empty() {
                return list;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let list = timeout(PATIENCE, written).await.expect("it is written down");
    let refused = (1, "n2", "node", "Steward.Join", "refused: the certificate is of another", 0);
    assert_eq!(list.lines.iter().map(told).collect::<Vec<_>>(), [refused], "once, however often it asks");
    assert_eq!((list.lines[0].subject.as_str(), list.lines[0].from.as_str()), ("join as n3", "127.0.0.1"));
    node.stop().await;
}
