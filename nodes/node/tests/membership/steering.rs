//! What a node does for the steward, and for whom it does it no more.

use proto::v1::{DropReplica, OpenReplica, SteerRequest, steer_request::What, steward_client::StewardClient};

use super::*;

/// Later than the directory of a test ever gets.
const TERM: u64 = 1_000;
const SHARD: u32 = 9;

async fn steered(world: &World, directory_term: u64, what: What) -> String {
    let mut client = StewardClient::connect(format!("http://{}", world.at(1))).await.expect("up");
    steer(&mut client, SHARD, directory_term, what).await
}

async fn steer(client: &mut StewardClient<Channel>, shard: u32, directory_term: u64, what: What) -> String {
    let request = SteerRequest { shard, what: Some(what), directory_term };
    client.steer(request).await.expect("an answer").into_inner().refused
}

fn open() -> What {
    What::Open(OpenReplica { born_with: vec![1] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_leads_no_more_steers_no_more() {
    let mut world = World::found(1, NodeConfig::default()).await;
    assert_eq!(steered(&world, TERM, open()).await, "");
    let gone = |term, members| What::Drop(DropReplica { term, members });
    let refused = steered(&world, TERM - 1, gone(u64::MAX, vec![2])).await;
    assert_eq!(refused, "a later leader of the directory has spoken");
    // The one who leads is heard, and what would cost a vote is refused all the same.
    assert_eq!(steered(&world, TERM, gone(u64::MAX, vec![1])).await, "n1 is a member of shard 9");
    assert_eq!(steered(&world, TERM, gone(u64::MAX, Vec::new())).await, "n1 is a member of shard 9");
    until("it leads the shard", async || {
        let described = world.describe(1).await?;
        described.replicas.iter().any(|replica| replica.shard == SHARD && replica.leads).then_some(())
    })
    .await;
    let refused = steered(&world, TERM, gone(u64::MAX, vec![2])).await;
    assert_eq!(refused, "n1 knows of a later leader of shard 9");
    world.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steward_who_goes_in_the_middle_leaves_no_half_replica() {
    let mut world = World::found(1, NodeConfig::default()).await;
    let shards = SHARD..SHARD + 60;
    let mut client = StewardClient::connect(format!("http://{}", world.at(1))).await.expect("up");
    // Nobody waits for the answer: not at all for the first, a little longer for the next.
    for shard in shards.clone() {
        let patience = Duration::from_micros(200) * (shard - SHARD);
        let _ = timeout(patience, steer(&mut client, shard, TERM, open())).await;
    }
    for shard in shards.clone() {
        assert_eq!(steer(&mut client, shard, TERM, open()).await, "", "shard {shard}");
    }
    let all_led = async |world: &World| {
        let described = world.describe(1).await?;
        let led = |shard: u32| {
            let found: Vec<_> = described.replicas.iter().filter(|replica| replica.shard == shard).collect();
            assert!(found.len() <= 1, "{found:?}");
            found.first().is_some_and(|replica| replica.leads)
        };
        shards.clone().all(led).then_some(())
    };
    until("it leads the shards", async || all_led(&world).await).await;
    world.stop(1).await;
    world.again(1);
    until("it leads the shards after a restart", async || all_led(&world).await).await;
    world.stop_all().await;
}
