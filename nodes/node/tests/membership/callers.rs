//! A tenant with callers, whose shard comes and goes: a move that fails half-way, and a replica that returns.

use proto::v1::{
    AddShardsRequest, ApplyRequest, Command, CommandId, DropTenant, EndCause, EndLeg, GetQueueRequest, InstallTenant,
    ListCallsRequest, MoveLeadRequest, MoveTenantRequest, OfferCall, SealTenant, SourceFile, StreamRecordsRequest,
    Submission, SubmitRequest, TenancyReply, TenancyRequest, TenantRow, TenantStanding, WatchRequest, command, outcome,
    record, shard_client::ShardClient, tenancy_client::TenancyClient, tenancy_request::Change, watch_reply,
};

use tokio::task::JoinHandle;

use super::*;

const CENTRE: &str = "
kind: Number
name: '5000'
route: { queue: support }
---
kind: Queue
name: support
answer: on-entry
";

/// Asked of each node in turn, as whoever leads the directory would ask: by the leader of the shard it is done.
async fn tenancy(world: &World, among: &[usize], shard: u32, change: Option<Change>) -> TenancyReply {
    until("the leader of the shard answers", async || {
        for number in among {
            let Ok(mut client) = TenancyClient::connect(format!("http://{}", world.at(*number))).await else {
                continue;
            };
            let request = TenancyRequest { shard, tenant: 1, change: change.clone() };
            if let Ok(reply) = client.change(request).await {
                return Some(reply.into_inner());
            }
        }
        None
    })
    .await
}

/// Until it stands so.
async fn stands(world: &World, among: &[usize], shard: u32, change: Option<Change>, wanted: TenantStanding) {
    until("the tenant stands as it should", async || {
        let reply = tenancy(world, among, shard, change.clone()).await;
        (reply.standing() == wanted).then_some(())
    })
    .await;
}

async fn move_main(world: &World, to: u32) -> Result<(), Status> {
    let request = MoveTenantRequest { tenant: "main".into(), to, ..MoveTenantRequest::default() };
    world.cluster(1).await.expect("up").move_tenant(request).await.map(drop)
}

fn main_row(view: &ClusterView) -> Option<TenantRow> {
    view.tenants.iter().find(|row| row.number == 1).cloned()
}

/// The callers in line, wherever the tenant lives.
async fn line(world: &World) -> Vec<String> {
    until("the line can be read", async || {
        let mut admin = AdminClient::connect(format!("http://{}", world.at(2))).await.ok()?;
        let queue = admin.get_queue(GetQueueRequest { name: "support".into(), limit: 0 }).await.ok()?.into_inner();
        Some(queue.waiting.into_iter().map(|call| call.caller).collect())
    })
    .await
}

/// A gateway that stays: wherever the tenant's leader is, it is found and watched.
fn gateway_stays(world: &World) -> JoinHandle<()> {
    let endpoints: Vec<_> = (1..=5).map(|number| format!("http://{}", world.at(number))).collect();
    tokio::spawn(async move {
        for endpoint in endpoints.iter().cycle() {
            sleep(Duration::from_millis(10)).await;
            let Ok(mut client) = ShardClient::connect(endpoint.clone()).await else { continue };
            let watch = WatchRequest { shard: 1, gateway: "g1".into(), incarnation: 7, sip: "127.0.0.1:5060".into() };
            let Ok(orders) = client.watch(watch).await else { continue };
            let mut orders = orders.into_inner();
            while let Ok(Some(reply)) = orders.message().await {
                if matches!(reply.kind, Some(watch_reply::Kind::NotLeader(_))) {
                    break;
                }
            }
        }
    })
}

/// As that gateway; the same id each time, so that it is done once however often it is asked. What is refused, because the
/// gateway is not there yet, is asked anew.
async fn accepted(world: &World, among: &[usize], number: u64, kind: command::Kind) {
    let mut number = number * 1_000;
    until("a command is accepted", async || {
        for node in among {
            let Ok(mut client) = ShardClient::connect(format!("http://{}", world.at(*node))).await else { continue };
            match submitted(&mut client, number, kind.clone()).await {
                Some(outcome::Result::Accepted(_)) => return Some(()),
                Some(outcome::Result::Rejection(_)) => number += 1,
                _ => {}
            }
        }
        None
    })
    .await;
}

async fn submitted(client: &mut ShardClient<Channel>, number: u64, kind: command::Kind) -> Option<outcome::Result> {
    let id = Some(CommandId { sender: 9, number });
    let submission = Submission { shard: 1, id, command: Some(Command { kind: Some(kind) }), ..Submission::default() };
    let request = SubmitRequest { submissions: vec![submission] };
    let open = tokio_stream::StreamExt::chain(tokio_stream::iter([request]), tokio_stream::pending());
    let mut replies = client.submit(open).await.ok()?.into_inner();
    let reply = timeout(Duration::from_secs(2), replies.message()).await.ok()?.ok()??;
    reply.outcomes.into_iter().next()?.result
}

async fn caller_comes(world: &World, among: &[usize], call: u64) {
    let offer = OfferCall {
        call,
        gateway: "g1".into(),
        incarnation: 7,
        number: "5000".into(),
        caller: format!("caller{call}"),
        ..OfferCall::default()
    };
    accepted(world, among, call, command::Kind::OfferCall(offer)).await;
}

async fn apply_centre(world: &World) {
    let file = SourceFile { name: "centre.yaml".into(), text: CENTRE.into() };
    let mut admin = AdminClient::connect(format!("http://{}", world.at(1))).await.expect("up");
    let request = ApplyRequest { files: vec![file], dry_run: false, by: "test".into() };
    let applied = admin.apply(request).await.expect("applied").into_inner();
    assert!(applied.errors.is_empty(), "{:?}", applied.errors);
}

async fn caller_leaves(world: &World, among: &[usize], call: u64) {
    let end = EndLeg { call, leg: 1, cause: EndCause::Hangup.into(), ..EndLeg::default() };
    accepted(world, among, 100 + call, command::Kind::EndLeg(end)).await;
}

/// The calls that one node says were written down from a cursor on, and where it is then.
async fn written_down(world: &World, number: usize, cursor: &str) -> (Vec<u64>, String) {
    until("the records are read to their end", async || {
        let mut admin = AdminClient::connect(format!("http://{}", world.at(number))).await.ok()?;
        let request = StreamRecordsRequest {
            cursor: cursor.into(),
            kinds: vec!["call".into()],
            ..StreamRecordsRequest::default()
        };
        let mut batches = admin.stream_records(request).await.ok()?.into_inner();
        let (mut calls, mut last) = (Vec::new(), cursor.to_owned());
        while let Some(batch) = batches.message().await.ok()? {
            assert!(!batch.pruned, "nothing is missing");
            calls.extend(batch.records.into_iter().filter_map(|record| match record.kind {
                Some(record::Kind::Call(call)) => Some(call.call),
                _ => None,
            }));
            last = batch.cursor;
        }
        Some((calls, last))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_whose_target_goes_silent_is_undone_and_can_be_made_again() {
    let config = NodeConfig { arrival_max_ms: 1_500, ..NodeConfig::default() };
    let mut world = World::found(3, config).await;
    world.join(4, &[1]);
    world.join(5, &[2]);
    world
        .see("five nodes vote about the directory", |view| (voters(view, 0).len() == 5 && is_calm(view)).then_some(()))
        .await;
    world
        .cluster(1)
        .await
        .expect("up")
        .add_shards(AddShardsRequest { count: 1, by: "test".into() })
        .await
        .expect("added");
    // n4 and n5 have the fewest replicas: most of the new shard's voters are there, and none of the tenant's.
    world
        .see("shard 2 is there", |view| {
            (voters(view, 1) == [1, 2, 3] && voters(view, 2) == [1, 4, 5] && is_calm(view)).then_some(())
        })
        .await;
    apply_centre(&world).await;
    let gateway = gateway_stays(&world);
    for call in 1..=3 {
        caller_comes(&world, &[1, 2, 3], call).await;
    }
    let before = line(&world).await;
    assert_eq!(before, ["caller1", "caller2", "caller3"]);

    // What a leader of the directory has done who got as far as the first piece: and then it and the target were gone.
    let piece = InstallTenant { r#move: 1, bytes_total: 1_000, data: vec![7; 100], ..InstallTenant::default() };
    stands(&world, &[1, 4, 5], 2, Some(Change::Install(piece)), TenantStanding::Arriving).await;
    world.stop(4).await;
    world.stop(5).await;
    until("the directory's next leader takes the move", async || move_main(&world, 2).await.ok()).await;
    stands(&world, &[1, 2, 3], 1, Some(Change::Seal(SealTenant { r#move: 1 })), TenantStanding::Sealed).await;

    // The time is up: it lives where it was with its callers, who are served, while the target is still silent.
    world.see("the move has failed", |view| main_row(view).filter(|row| row.failing && row.shard == 1).map(drop)).await;
    stands(&world, &[1, 2, 3], 1, None, TenantStanding::Lives).await;
    assert_eq!(line(&world).await, before);
    caller_comes(&world, &[1, 2, 3], 4).await;
    let moving = move_main(&world, 2).await.expect_err("the former one is not over");
    assert!(moving.message().contains("is moving already"), "{moving}");
    // Whoever was paused and knows nothing of it seals nothing.
    let late = tenancy(&world, &[1, 2, 3], 1, Some(Change::Seal(SealTenant { r#move: 1 }))).await;
    assert_eq!((late.standing(), late.r#move), (TenantStanding::Lives, 1));

    // The target comes back: what had come goes, and the move can be made again.
    world.again(4);
    world.again(5);
    world
        .see("nothing moves any more", |view| {
            main_row(view).filter(|row| !row.failing && row.moving_to == 0 && row.shard == 1).map(drop)
        })
        .await;
    let there = tenancy(&world, &[1, 4, 5], 2, None).await;
    assert_eq!((there.standing(), there.r#move), (TenantStanding::Gone, 1));
    caller_leaves(&world, &[1, 2, 3], 1).await;
    until("it moves again", async || move_main(&world, 2).await.ok()).await;
    world
        .see("it has moved", |view| {
            main_row(view).filter(|row| row.shard == 2 && row.moving_from == 0 && row.moving_to == 0).map(drop)
        })
        .await;
    assert_eq!(line(&world).await, ["caller2", "caller3", "caller4"]);
    let gone = tenancy(&world, &[1, 2, 3], 1, Some(Change::Drop(DropTenant { r#move: 1, undo: true }))).await;
    assert_eq!((gone.standing(), gone.r#move), (TenantStanding::Gone, 2), "an undo that is late begins nothing");

    // What was written down is on both shards. n2 has the one, n4 the other: each of them tells all of it.
    caller_leaves(&world, &[1, 4, 5], 2).await;
    let mut cursors = Vec::new();
    for number in [2, 4] {
        let (mut calls, cursor) = written_down(&world, number, "").await;
        calls.sort_unstable();
        assert_eq!(calls, [1, 2], "at n{number}");
        cursors.push(cursor);
    }
    caller_leaves(&world, &[1, 4, 5], 3).await;
    // A cursor means the same at every node.
    assert_eq!(written_down(&world, 4, &cursors[0]).await.0, [3]);
    assert_eq!(written_down(&world, 2, &cursors[1]).await.0, [3]);
    gateway.abort();
    world.stop_all().await;
}

async fn votes(world: &World, nodes: &[u64]) {
    world.see("the shard has moved", |view| (voters(view, 1) == nodes && is_calm(view)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_returns_knows_what_was_written_down_before_it_went() {
    let mut world = World::found(3, NodeConfig::default()).await;
    world.join(4, &[1]);
    world.see("n4 is there", |view| (state_of(view, "n4") == "active" && is_calm(view)).then_some(())).await;
    apply_centre(&world).await;
    let gateway = gateway_stays(&world);
    caller_comes(&world, &[1, 2, 3], 1).await;
    caller_leaves(&world, &[1, 2, 3], 1).await;
    // n2's replica goes, and comes back where n4's was. It is restarted meanwhile, without one.
    world.wish(1, "n2", NodeWish::Drained, false).await.expect("three are left");
    votes(&world, &[1, 3, 4]).await;
    until("n2 has dropped it", async || {
        let held = world.describe(2).await?;
        held.replicas.iter().all(|replica| replica.shard == 0).then_some(())
    })
    .await;
    world.stop(2).await;
    world.start(2);
    until("n2 is back", async || world.describe(2).await.filter(|now| now.life == 2)).await;
    world.see("n2 is known", |view| (view.nodes.iter().all(|node| node.up) && is_calm(view)).then_some(())).await;
    world.wish(1, "n2", NodeWish::Unspecified, false).await.expect("undone");
    world.wish(1, "n4", NodeWish::Drained, false).await.expect("three are left");
    votes(&world, &[1, 2, 3]).await;
    let lead = MoveLeadRequest { shard: 1, to: "n2".into(), by: "test".into() };
    world.cluster(1).await.expect("up").move_lead(lead).await.expect("it leads");
    // It is told by the leader, from what it has itself.
    let ended = until("n2 leads", async || {
        let about = ListCallsRequest { ended: true, limit: 10, ..ListCallsRequest::default() };
        let about = Some(proto::v1::ask_request::About::Calls(about));
        let mut query = QueryClient::connect(format!("http://{}", world.at(2))).await.ok()?;
        let reply = query.ask(proto::v1::AskRequest { shard: 1, about }).await.ok()?.into_inner();
        match reply.about {
            Some(proto::v1::ask_reply::About::Calls(list)) => Some(list.calls),
            _ => None,
        }
    })
    .await;
    assert_eq!(ended.iter().map(|call| call.caller.as_str()).collect::<Vec<_>>(), ["caller1"]);
    gateway.abort();
    world.stop_all().await;
}
