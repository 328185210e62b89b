use super::*;

fn of_shards(tenant_shards: u32) -> NodeConfig {
    NodeConfig { tenant_shards, ..NodeConfig::default() }
}

/// Replicas of tenants' shards by node.
fn loads(view: &ClusterView) -> Vec<usize> {
    let of =
        |number: &u64| view.shards.iter().filter(|shard| shard.shard != 0 && shard.voters.contains(number)).count();
    (1..=5).map(|number| of(&number)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_become_five_one_is_drained_and_comes_back() {
    let mut world = World::found(3, of_shards(4)).await;
    world.join(4, &[1, 2]);
    world.join(5, &[3]);
    let view = world
        .see("five nodes vote about the directory, and the shards are spread", |view| {
            let even = loads(view).into_iter().all(|load| (2..=3).contains(&load));
            (voters(view, 0) == [1, 2, 3, 4, 5] && even && is_calm(view)).then(|| view.clone())
        })
        .await;
    assert!(view.shards.iter().all(|shard| shard.shard == 0 || shard.voters.len() == 3), "{:?}", view.shards);
    assert!((1..=5).all(|number| state_of(&view, &format!("n{number}")) == "active"));

    // Whoever has joined needs no seeds any more.
    world.stop(4).await;
    world.again(4);
    world
        .see("n4 is back on the same disk", |view| {
            let row = view.nodes.iter().filter_map(|node| node.row.as_ref()).find(|row| row.id == "n4")?;
            (row.life == 2 && is_calm(view)).then_some(())
        })
        .await;

    world.wish(2, "n1", NodeWish::Drained, false).await.expect("four are left");
    let view = world
        .see("n1 is drained", |view| (state_of(view, "n1") == "drained" && is_calm(view)).then(|| view.clone()))
        .await;
    assert!(voters(&view, 0).len() == 3 && !voters(&view, 0).contains(&1), "of four, three vote: {view:?}");
    assert!(view.shards.iter().all(|shard| !shard.voters.contains(&1)), "{:?}", view.shards);
    let held = until("n1 describes itself", async || world.describe(1).await).await;
    let held: Vec<u32> = held.replicas.iter().map(|replica| replica.shard).collect();
    assert_eq!(held, [0], "it keeps a copy of the directory only");
    // A restart changes nothing about that.
    world.stop(1).await;
    world.start(1);
    until("n1 describes itself", async || world.describe(1).await).await;
    world.see("n1 is still drained", |view| (state_of(view, "n1") == "drained").then_some(())).await;

    world.wish(3, "n1", NodeWish::Unspecified, false).await.expect("undone");
    world
        .see("n1 holds its share again", |view| {
            (voters(view, 0).len() == 5 && loads(view)[0] >= 2 && is_calm(view)).then_some(())
        })
        .await;
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stays_away_is_replaced_and_forgets_what_it_had() {
    let config = NodeConfig { replace_after_ms: 1_500, ..NodeConfig::default() };
    let mut world = World::found(3, config).await;
    world.join(4, &[1]);
    world
        .see("n4 learns the directory", |view| {
            let learns = view.shards.iter().any(|shard| shard.shard == 0 && shard.learners == [4]);
            (learns && is_calm(view)).then_some(())
        })
        .await;
    world.stop(2).await;
    world
        .see("n4 votes where n2 did", |view| {
            (voters(view, 0) == [1, 3, 4] && voters(view, 1) == [1, 3, 4] && is_calm(view)).then_some(())
        })
        .await;
    // It comes back with replicas that nobody counts any more.
    world.start(2);
    world
        .see("n2 learns the directory", |view| {
            let learns = view.shards.iter().any(|shard| shard.shard == 0 && shard.learners == [2]);
            (learns && is_calm(view)).then_some(())
        })
        .await;
    until("n2 has dropped the rest", async || {
        let held = world.describe(2).await?;
        (held.replicas.iter().map(|replica| replica.shard).collect::<Vec<_>>() == [0]).then_some(())
    })
    .await;
    // Twice: nothing of it comes back from the disk.
    for _ in 0..2 {
        world.stop(2).await;
        world.start(2);
        let held = until("n2 describes itself", async || world.describe(2).await).await;
        assert_eq!(held.replicas.iter().map(|replica| replica.shard).collect::<Vec<_>>(), [0]);
    }
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_shards_begin_while_it_runs_and_leads_are_moved_by_hand() {
    let mut world = World::found(3, NodeConfig::default()).await;
    world.see("the steward looks", |view| is_calm(view).then_some(())).await;
    let request = proto::v1::AddShardsRequest { count: 2, by: "test".into() };
    world.cluster(2).await.expect("up").add_shards(request).await.expect("added");
    let view = world
        .see("shards 2 and 3 have leaders", |view| (view.shards.len() == 4 && is_calm(view)).then(|| view.clone()))
        .await;
    assert!(view.shards.iter().all(|shard| shard.voters == [1, 2, 3]));
    for to in ["n1", "n2", "n3"] {
        let request = proto::v1::MoveLeadRequest { shard: 3, to: to.into(), by: "test".into() };
        world.cluster(1).await.expect("up").move_lead(request).await.expect("asked");
        let number: u64 = to[1..].parse().expect("a number");
        let led = |view: &ClusterView| view.shards.iter().any(|shard| shard.shard == 3 && shard.leader == number);
        world.see("it leads", |view| led(view).then_some(())).await;
    }
    // All of it is on the disks.
    world.stop_all().await;
    (1..=3).for_each(|number| world.again(number));
    world.see("all four shards are back", |view| (view.shards.len() == 4 && is_calm(view)).then_some(())).await;
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_leave_too_few_is_refused() {
    let mut world = World::found(3, NodeConfig::default()).await;
    world
        .see("the steward has seen all", |view| (view.nodes.iter().all(|node| node.up) && is_calm(view)).then_some(()))
        .await;
    let few = world.wish(1, "n3", NodeWish::Drained, false).await.expect_err("two are left");
    assert!(few.message().contains("only 2 other nodes"), "{few}");
    let alive = world.wish(1, "n3", NodeWish::Removed, true).await.expect_err("it lives");
    assert!(alive.message().contains("drain"), "{alive}");
    let unknown = world.wish(1, "n7", NodeWish::Drained, false).await.expect_err("nobody");
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_there_before_the_cluster_joins_all_the_same() {
    let mut world = World::prepare(3, NodeConfig::default());
    world.join(4, &[1, 2]);
    until("it waits", async || world.describe(4).await).await;
    (1..=3).for_each(|number| world.start(number));
    world.see("n4 is there", |view| (state_of(view, "n4") == "active" && is_calm(view)).then_some(())).await;
    world.wish(1, "n2", NodeWish::Drained, false).await.expect("three are left");
    world.see("n4 has what n2 had", |view| (voters(view, 1) == [1, 3, 4] && is_calm(view)).then_some(())).await;
    world.stop_all().await;
}
