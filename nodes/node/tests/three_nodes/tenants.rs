//! Tenants on their shards: placed, asked about by name, and moved while their calls go on.

use proto::v1::{
    ClusterView, GetAgentRequest, GetClusterRequest, ListQueuesRequest, MoveTenantRequest, SaveRequest,
    StreamRecordsRequest, TenantRow, backup_client::BackupClient, backup_piece, cluster_client::ClusterClient,
};

use super::*;

const ACME: &str = "
kind: Tenant
name: acme
---
kind: Tenant
name: solo
placement: own
---
kind: Queue
name: support
tenant: acme
---
kind: Number
name: '6000'
tenant: acme
route: { queue: support }
---
kind: Queue
name: desk
tenant: solo
";

async fn start_two_shards() -> Cluster {
    Cluster::start_as(NodeConfig { tenant_shards: 3, ..NodeConfig::default() }).await
}

async fn view(cluster: &Cluster, index: usize) -> Option<ClusterView> {
    let endpoint = format!("http://{}", cluster.nodes[index].endpoint);
    let mut client = ClusterClient::connect(endpoint).await.ok()?;
    Some(client.get_cluster(GetClusterRequest {}).await.ok()?.into_inner())
}

async fn row(cluster: &Cluster, among: &[usize], name: &str) -> TenantRow {
    until("the tenant is known", async || {
        for &index in among {
            if let Some(view) = view(cluster, index).await {
                return view.tenants.into_iter().find(|row| row.name == name);
            }
        }
        None
    })
    .await
}

async fn begin_move(cluster: &Cluster, index: usize, tenant: &str, to: u32) {
    until("a move is taken", async || {
        let endpoint = format!("http://{}", cluster.nodes[index].endpoint);
        let mut client = ClusterClient::connect(endpoint).await.ok()?;
        let request = MoveTenantRequest { tenant: tenant.into(), to, ..MoveTenantRequest::default() };
        client.move_tenant(request).await.ok()
    })
    .await;
}

async fn moved(cluster: &Cluster, among: &[usize], tenant: &str, to: u32) {
    until("the tenant has moved", async || {
        let row = row(cluster, among, tenant).await;
        (row.shard == to && row.moving_to == 0 && row.moving_from == 0).then_some(())
    })
    .await;
}

/// As a gateway does that has lost its leader: asks one node after another.
async fn attach_anywhere(cluster: &Cluster, among: &[usize], number: u64) -> (Gateway, Vec<Order>) {
    until("the gateway finds the tenant's leader", async || {
        for &index in among {
            if let Some(attached) = Gateway::attach(&cluster.nodes[index].endpoint, number).await {
                return Some(attached);
            }
        }
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_moves_with_a_caller_who_talks_and_callers_who_wait() {
    let mut cluster = start_two_shards().await;
    apply(&cluster, CENTRE).await;
    let all = [0, 1, 2];
    let (mut gateway, _) = attach_anywhere(&cluster, &all, 0).await;
    gateway.accepted(offer(1)).await;
    let answer = |call, leg| {
        command::Kind::AnswerLeg(AnswerLeg { call, leg, passport: vec![leg as u8], ..AnswerLeg::default() })
    };
    gateway.accepted(answer(1, 1)).await;
    gateway.accepted(answer(1, 2)).await;
    for call in 2..=4 {
        gateway.accepted(offer(call)).await;
    }
    assert_eq!(line(&cluster, 0).await, ["caller2", "caller3", "caller4"]);

    begin_move(&cluster, 1, "main", 2).await;
    // For the gateway its leader has gone, as when it changes.
    until("the stream ends", async || match timeout(PATIENCE, gateway.orders.next()).await.expect("in time") {
        Some(Ok(reply)) => matches!(reply.kind, Some(watch_reply::Kind::NotLeader(_))).then_some(()),
        Some(Err(_)) | None => Some(()),
    })
    .await;
    let (mut gateway, standing) = attach_anywhere(&cluster, &all, 100).await;
    let mut legs: Vec<_> = standing.iter().map(|order| (order.call, order.leg)).collect();
    legs.sort_unstable();
    assert_eq!(legs, [(1, 1), (1, 2), (2, 1), (3, 1), (4, 1)]);
    let joined = standing.iter().filter(|order| matches!(order.want, Some(order::Want::Join(_)))).count();
    assert_eq!(joined, 2, "they still talk: {standing:?}");
    moved(&cluster, &all, "main", 2).await;
    assert_eq!(line(&cluster, 1).await, ["caller2", "caller3", "caller4"]);

    // What was asked before the move is answered as it was, and not done again.
    gateway.number = 0;
    gateway.accepted(offer(1)).await;
    gateway.number = 200;
    // The agent is free, and the next in line is hers.
    gateway.accepted(end(1, 1, EndCause::Hangup)).await;
    gateway.accepted(end(1, 2, EndCause::Ordered)).await;
    let ring = gateway.order(2, 2).await;
    assert!(matches!(&ring, order::Want::Ring(ring) if ring.agent == "anna"), "{ring:?}");

    // What was written down before the move and after it is one story.
    let request = GetCallRequest { call: format!("{:016x}", 1) };
    let explained = cluster.admin(2).await.expect("up").explain_call(request).await.expect("explained").into_inner();
    let kinds: Vec<_> = explained.records.iter().filter_map(|record| record.kind.as_ref()).collect();
    assert!(kinds.iter().any(|kind| matches!(kind, record::Kind::Decision(decision) if decision.chosen == "anna")));
    assert_eq!(kinds.iter().filter(|kind| matches!(kind, record::Kind::Call(_))).count(), 1);

    // And all of it after a restart of everything.
    for index in all {
        cluster.stop(index).await;
    }
    for index in all {
        cluster.restart(index);
    }
    let waiting = until("the line is there", async || {
        let waiting = line(&cluster, 0).await;
        (waiting.len() == 3).then_some(waiting)
    })
    .await;
    assert_eq!(waiting, ["caller2", "caller3", "caller4"], "the one that rings is in line until she answers");
    for index in all {
        cluster.stop(index).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_the_directory_goes_on_with_a_move() {
    let mut cluster = start_two_shards().await;
    apply(&cluster, CENTRE).await;
    let (mut gateway, _) = attach_anywhere(&cluster, &[0, 1, 2], 0).await;
    for call in 1..=3 {
        gateway.accepted(offer(call)).await;
    }
    let before = line(&cluster, 0).await;
    let mut up = [0, 1, 2];
    let mut to = 2;
    for _ in 0..2 {
        begin_move(&cluster, up[0], "main", to).await;
        // Whichever it is: it leads some of the shards that have a part in it, or the directory.
        let gone = up[0];
        cluster.stop(gone).await;
        let others: Vec<_> = up.iter().copied().filter(|index| *index != gone).collect();
        moved(&cluster, &others, "main", to).await;
        assert_eq!(line(&cluster, others[0]).await, before);
        cluster.restart(gone);
        up.rotate_left(1);
        to = 3;
    }
    let (mut gateway, standing) = attach_anywhere(&cluster, &[0, 1, 2], 100).await;
    assert!(standing.iter().any(|order| order.call == 2));
    gateway.accepted(offer(9)).await;
    for index in 0..3 {
        cluster.stop(index).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_placed_apart_and_asked_about_by_name() {
    let mut cluster = start_two_shards().await;
    apply(&cluster, CENTRE).await;
    apply(&cluster, ACME).await;
    let all = [0, 1, 2];
    let (acme, solo) = (row(&cluster, &all, "acme").await, row(&cluster, &all, "solo").await);
    assert_eq!((acme.shard, solo.shard, solo.own), (2, 3, true));
    let mut admin = cluster.admin(0).await.expect("up");
    let of = |tenant: &'static str| {
        let mut request = tonic::Request::new(ListQueuesRequest {});
        request.metadata_mut().insert("cordboard-tenant", tenant.parse().expect("text"));
        request
    };
    let names = |list: proto::v1::QueueList| -> Vec<(String, String)> {
        list.queues.into_iter().map(|queue| (queue.tenant, queue.name)).collect()
    };
    let queues = names(admin.list_queues(ListQueuesRequest {}).await.expect("all").into_inner());
    let pair = |tenant: &str, name: &str| (tenant.to_owned(), name.to_owned());
    assert_eq!(queues, [pair("", "support"), pair("acme", "support"), pair("solo", "desk")]);
    let queues = names(admin.list_queues(of("acme")).await.expect("one's").into_inner());
    assert_eq!(queues, [pair("acme", "support")]);
    let unknown = admin.list_queues(of("acne")).await.expect_err("nobody");
    assert_eq!(unknown.code(), tonic::Code::NotFound);

    // Its calls are its own, and what is written down of them says so.
    let mut client = until("acme has a leader", async || {
        for index in all {
            let mut client = ShardClient::connect(format!("http://{}", cluster.nodes[index].endpoint)).await.ok()?;
            let watch =
                WatchRequest { shard: acme.number, gateway: "g1".into(), incarnation: INCARNATION, sip: "x:1".into() };
            let mut orders = client.watch(watch).await.ok()?.into_inner();
            if let Some(Ok(reply)) = timeout(Duration::from_secs(3), orders.next()).await.ok()?
                && !matches!(reply.kind, Some(watch_reply::Kind::NotLeader(_)))
            {
                return Some((client, orders));
            }
        }
        None
    })
    .await;
    let (requests, receiver) = mpsc::channel(4);
    let mut outcomes = client.0.submit(ReceiverStream::new(receiver)).await.expect("open").into_inner();
    let commands = [offer_to("6000", 7), end(7, 1, EndCause::Hangup)];
    for (kind, number) in commands.into_iter().zip(1..) {
        let id = Some(CommandId { sender: 9, number });
        let command = Some(Command { kind: Some(kind) });
        let submission = Submission { shard: acme.number, id, command, ..Submission::default() };
        requests.send(SubmitRequest { submissions: vec![submission] }).await.expect("open");
        let reply = timeout(PATIENCE, outcomes.next()).await.expect("in time").expect("open").expect("a reply");
        assert!(matches!(reply.outcomes[0].result, Some(outcome::Result::Accepted(_))), "{reply:?}");
    }
    let calls = until("the call is written down", async || {
        let mut request =
            tonic::Request::new(StreamRecordsRequest { kinds: vec!["call".into()], ..Default::default() });
        request.metadata_mut().insert("cordboard-tenant", "acme".parse().expect("text"));
        let mut stream = admin.stream_records(request).await.ok()?.into_inner();
        let batch = stream.message().await.ok()??;
        (!batch.records.is_empty()).then_some(batch.records)
    })
    .await;
    assert!(calls.iter().all(|record| record.tenant == "acme"), "{calls:?}");
    for index in all {
        cluster.stop(index).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_one_cluster_is_restored_into_an_empty_one() {
    let mut cluster = start_two_shards().await;
    apply(&cluster, CENTRE).await;
    apply(&cluster, ACME).await;
    let change = ChangeAgentRequest {
        name: "anna".into(),
        change: AgentChange::NotReady.into(),
        reason: "lunch".into(),
        seconds: 0,
    };
    cluster.admin(0).await.expect("up").change_agent(change).await.expect("changed");
    let (mut gateway, _) = attach_anywhere(&cluster, &[0, 1, 2], 0).await;
    gateway.accepted(offer(1)).await;
    let pieces = until("somebody saves it", async || {
        for index in 0..3 {
            let endpoint = format!("http://{}", cluster.nodes[index].endpoint);
            let mut client = BackupClient::connect(endpoint).await.ok()?;
            if let Ok(stream) = client.save(SaveRequest {}).await {
                let pieces: Result<Vec<_>, _> = stream.into_inner().collect().await;
                return pieces.ok();
            }
        }
        None
    })
    .await;
    let parts = pieces.iter().filter(|piece| matches!(piece.kind, Some(backup_piece::Kind::Part(_)))).count();
    assert_eq!(parts, 4, "the directory and three tenants");
    let restore = async |cluster: &Cluster| {
        let mut last = None;
        for index in 0..3 {
            let endpoint = format!("http://{}", cluster.nodes[index].endpoint);
            let mut client = BackupClient::connect(endpoint).await.expect("up");
            match client.restore(tokio_stream::iter(pieces.clone())).await {
                Ok(reply) => return Ok(reply.into_inner()),
                Err(status) if status.code() == tonic::Code::Unavailable => last = Some(status),
                Err(status) => return Err(status),
            }
        }
        Err(last.expect("three nodes were asked"))
    };
    let refused = restore(&cluster).await.expect_err("it has documents");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
    for index in 0..3 {
        cluster.stop(index).await;
    }

    let mut other = start_two_shards().await;
    let reply = restore(&other).await.expect("restored");
    assert_eq!(reply.tenants.len(), 3);
    let mut admin = other.admin(1).await.expect("up");
    let anna = admin.get_agent(GetAgentRequest { name: "anna".into() }).await.expect("found").into_inner();
    assert_eq!((anna.state.as_str(), anna.reason.as_str()), ("not-ready", "lunch"));
    let call = admin.get_call(GetCallRequest { call: format!("{:016x}", 1) }).await.expect("found").into_inner();
    assert_eq!(call.info.map(|info| info.number), Some("5000".to_owned()));
    let documents = admin.get_documents(GetDocumentsRequest::default()).await.expect("got").into_inner();
    assert!(documents.yaml.contains("placement: own"), "{}", documents.yaml);
    // And it goes on as a cluster does.
    apply(&other, "kind: Queue\nname: sales\n").await;
    let refused = restore(&other).await.expect_err("it has documents now");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    for index in 0..3 {
        other.stop(index).await;
    }
}
