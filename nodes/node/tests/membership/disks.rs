use std::{fs, path::Path, time::Instant};

use super::*;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// All members hold what they are members of, and have all of it.
async fn whole(world: &World, what: &str) {
    world
        .see(what, |view| {
            let up = view.nodes.iter().all(|node| node.up);
            (up && is_calm(view) && view.shards.iter().all(|shard| shard.voters == [1, 2, 3])).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_rejoins_by_itself_and_starts_twice_after_it() {
    let mut world = World::found(3, NodeConfig { snapshot_entries: 5, ..NodeConfig::default() }).await;
    whole(&world, "three nodes are known").await;
    let before = until("n3 describes itself", async || world.describe(3).await).await;
    world.stop(3).await;
    fs::remove_dir_all(world.disk(3)).expect("wiped");
    // As it was started before: that the cluster is founded already it hears from the others.
    world.start(3);
    for shard in [0, 1] {
        // It believes no leader for its first second, so this cannot be missed.
        world
            .see("the vote of the lost disk is gone, and the new one learns", |view| {
                let shard = view.shards.iter().find(|seen| seen.shard == shard)?;
                (shard.voters == [1, 2] || shard.learners == [3]).then_some(())
            })
            .await;
    }
    until("n3 has all its replicas again, on another disk", async || {
        let now = world.describe(3).await?;
        let all = before.shards.iter().all(|had| {
            now.shards.iter().any(|has| has.id == had.id && has.applied >= had.applied && !has.leader.is_empty())
        });
        (all && now.seal != before.seal && now.life == 1).then_some(())
    })
    .await;
    whole(&world, "n3 votes again").await;
    for life in 2..=3 {
        world.stop(3).await;
        world.start(3);
        until("n3 is back", async || world.describe(3).await.filter(|now| now.life == life && now.shards.len() == 2))
            .await;
        whole(&world, "n3 votes").await;
    }
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_disk_elsewhere_is_taken_in_only_when_the_former_one_has_been_silent() {
    const SILENCE_MS: u64 = 6_000;
    // Nodes are looked at about once a second, so the last word may be older than the stop by as much.
    const AFTER: Duration = Duration::from_millis(SILENCE_MS / 2);
    let mut world = World::prepare(3, NodeConfig::default());
    world.config.silence_ms = SILENCE_MS;
    (1..=3).for_each(|number| world.start(number));
    whole(&world, "three nodes are known").await;
    let endpoint = |view: &ClusterView| {
        let mut rows = view.nodes.iter().filter_map(|node| node.row.clone());
        rows.find(|row| row.id == "n3").map(|row| row.endpoint)
    };
    world.stop(3).await;
    let stopped = Instant::now();
    // Where the former one was nobody answers, so it might be cut off and live.
    let elsewhere = NodeConfig {
        id: "n3".into(),
        dir: world.dir.path().join("elsewhere"),
        grpc: world.at(6).to_owned(),
        join: vec![world.at(1).to_owned()],
        peers: Vec::new(),
        ..world.config.clone()
    };
    let new = Running::start(elsewhere);
    world.see("n3 is elsewhere", |view| (endpoint(view)? == world.at(6)).then_some(())).await;
    assert!(stopped.elapsed() > AFTER, "after {:?}", stopped.elapsed());
    whole(&world, "n3 votes again").await;
    new.stop().await;
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_that_must_not_serve_are_refused_in_words() {
    let mut world = World::found(3, NodeConfig::default()).await;
    whole(&world, "three nodes are known").await;

    // Another process calls itself n3, on a disk of its own.
    let grpc = world.at(6).to_owned();
    let join = vec![world.at(1).to_owned()];
    let other = |id: &str, dir: &str, cluster: &str| NodeConfig {
        id: id.into(),
        dir: world.dir.path().join(dir),
        cluster: cluster.into(),
        peers: Vec::new(),
        join: join.clone(),
        grpc: grpc.clone(),
        ..world.config.clone()
    };
    let why = Running::start(other("n3", "second", "cordboard")).refusal().await;
    assert!(why.contains("runs already"), "{why}");
    let why = Running::start(other("n6", "foreign", "another")).refusal().await;
    assert!(why.contains("this cluster is called"), "{why}");
    // A folder of another node.
    let why = Running::start(other("n6", "second", "cordboard")).refusal().await;
    assert!(why.contains("belongs to node 3"), "{why}");

    // An old copy of its disk.
    world.stop(3).await;
    copy(&world.disk(3), &world.dir.path().join("copy"));
    world.start(3);
    until("n3 is back", async || world.describe(3).await.filter(|now| now.life == 2)).await;
    whole(&world, "n3 is known").await;
    world.stop(3).await;
    world.start(3);
    whole(&world, "n3 is known").await;
    world.stop(3).await;
    fs::rename(world.disk(3), world.dir.path().join("good")).expect("moved away");
    fs::rename(world.dir.path().join("copy"), world.disk(3)).expect("moved");
    world.start(3);
    let why = world.nodes[2].take().expect("started").refusal().await;
    assert!(why.contains("an old copy"), "{why}");
    fs::remove_dir_all(world.disk(3)).expect("gone");
    fs::rename(world.dir.path().join("good"), world.disk(3)).expect("back");
    world.start(3);
    whole(&world, "n3 is known again on its own disk").await;
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_removed_never_comes_back() {
    let mut world = World::found(3, NodeConfig::default()).await;
    world.join(4, &[2]);
    world.see("n4 is there", |view| (state_of(view, "n4") == "active" && is_calm(view)).then_some(())).await;
    world.stop(4).await;
    world.see("n4 is gone", |view| (state_of(view, "n4") == "gone").then_some(())).await;
    let held = world.wish(1, "n4", NodeWish::Removed, false).await.expect_err("it is a member");
    assert!(held.message().contains("--force"), "{held}");
    world.wish(1, "n4", NodeWish::Removed, true).await.expect("forced");
    world.see("n4 is removed", |view| (state_of(view, "n4") == "removed" && is_calm(view)).then_some(())).await;
    world.again(4);
    let why = world.nodes[3].take().expect("started").refusal().await;
    assert!(why.contains("was removed"), "{why}");
    fs::remove_dir_all(world.disk(4)).expect("wiped");
    world.join(4, &[1]);
    let why = world.nodes[3].take().expect("started").refusal().await;
    assert!(why.contains("another id"), "{why}");
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_burnt_is_replaced_by_the_one_that_was_named() {
    let mut world = World::found(3, NodeConfig::default()).await;
    world.join(4, &[1]);
    world.join(5, &[2]);
    world
        .see("five nodes vote about the directory", |view| {
            (voters(view, 0) == [1, 2, 3, 4, 5] && voters(view, 1) == [1, 2, 3] && is_calm(view)).then_some(())
        })
        .await;
    world.stop(2).await;
    fs::remove_dir_all(world.disk(2)).expect("burnt");
    let replace = |with: &str| ChangeNodeRequest {
        id: "n2".into(),
        wish: NodeWish::Replaced.into(),
        replacement: with.into(),
        ..ChangeNodeRequest::default()
    };
    for nobody in ["n2", "n7"] {
        let wrong = world.cluster(1).await.expect("up").change_node(replace(nobody)).await.expect_err("nobody else");
        assert!(wrong.message().contains("cannot take the place"), "{wrong}");
    }
    world.cluster(3).await.expect("up").change_node(replace("n5")).await.expect("taken");
    // n4 has as much room and a smaller number: it would be the one if nobody was named.
    let view = world
        .see("n5 votes where n2 did", |view| {
            (voters(view, 1) == [1, 3, 5] && state_of(view, "n2") == "drained" && is_calm(view)).then(|| view.clone())
        })
        .await;
    assert!(view.shards.iter().all(|shard| !shard.voters.contains(&2) && !shard.learners.contains(&2)), "{view:?}");
    let has = until("n5 describes itself", async || world.describe(5).await).await;
    assert_eq!(has.replicas.iter().map(|replica| replica.shard).collect::<Vec<_>>(), [0, 1]);
    world.wish(1, "n2", NodeWish::Removed, false).await.expect("it holds nothing");
    world.see("n2 is removed", |view| (state_of(view, "n2") == "removed" && is_calm(view)).then_some(())).await;
    world.stop_all().await;
}
