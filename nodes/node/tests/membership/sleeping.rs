use super::*;

const WITHIN: Duration = Duration::from_secs(20);

async fn all_sleep(world: &World, nodes: &[usize], what: &str) {
    for number in nodes {
        let last = std::cell::RefCell::new(None);
        let looked = timeout(WITHIN, async {
            loop {
                if let Some(held) = world.describe(*number).await {
                    let mut tenants = held.replicas.iter().filter(|replica| replica.shard != 0);
                    if held.replicas.len() > 1 && tenants.all(|replica| replica.asleep) {
                        return;
                    }
                    last.replace(Some(held.replicas));
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        if looked.await.is_ok() {
            continue;
        }
        let mut awake = Vec::new();
        for other in nodes {
            let held = world.describe(*other).await.map(|held| held.replicas).unwrap_or_default();
            let held = held.into_iter().filter(|replica| !replica.asleep);
            awake.extend(held.map(|replica| (*other, replica.shard, replica.leads, replica.last)));
        }
        panic!("{what}: n{number} does not sleep: {:?}; awake (node, shard, leads, last): {awake:?}", last.borrow());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_shards_sleep_and_a_node_that_was_away_falls_asleep_again() {
    let mut world = World::found(3, NodeConfig { tenant_shards: 8, ..NodeConfig::default() }).await;
    all_sleep(&world, &[1, 2, 3], "after the founding").await;
    world.stop(2).await;
    world
        .see("the others lead all shards", |view| {
            view.shards.iter().all(|shard| shard.leader != 0 && shard.leader != 2).then_some(())
        })
        .await;
    world.start(2);
    all_sleep(&world, &[1, 2, 3], "after its return").await;
    world.stop_all().await;
}
