//! Those who do not read: what waits for them is bounded, counted, and let go of.

use node::limits::{Limit, times_reached};
use tonic::transport::Endpoint;

use super::*;

/// Calls after which even a generous transport is full.
const CALLS_MAX: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_never_reads_its_orders_is_let_go_of_at_a_limit_with_a_name() {
    let cluster = Cluster::start().await;
    apply(&cluster, CENTRE).await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let (mut gateway, _) =
        until("a gateway attaches", async || Gateway::attach(&cluster.nodes[leader].endpoint, 0).await).await;
    // The same gateway's orders, over a transport that holds next to nothing.
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.nodes[leader].endpoint)).expect("an address");
    let channel = endpoint.initial_stream_window_size(1_024).connect().await.expect("it is up");
    let watch = WatchRequest { shard: 1, gateway: "g1".into(), incarnation: INCARNATION, sip: "127.0.0.1:5060".into() };
    gateway.orders = ShardClient::new(channel).watch(watch).await.expect("open").into_inner();

    let before = times_reached(Limit::WatchOrders);
    let mut call = 0;
    while times_reached(Limit::WatchOrders) == before {
        call += 1;
        assert!(call <= CALLS_MAX, "orders of {CALLS_MAX} calls wait for somebody who does not read");
        gateway.submit(offer(call)).await;
        gateway.submit(end(call, 1, EndCause::Hangup)).await;
    }
    // What was sent until then can be read, and then the stream ends, so that the gateway knows.
    let drained = async {
        let mut replies = 0;
        while let Some(Ok(_)) = gateway.orders.next().await {
            replies += 1;
        }
        replies
    };
    let replies = timeout(PATIENCE, drained).await.expect("the stream ends");
    println!("{call} calls, {replies} replies were kept for it");
    assert!(replies <= node::actor::STREAM_QUEUE_MAX + 200, "{replies} replies were kept for it");
    // Others are served as before.
    assert!(line(&cluster, leader).await.is_empty());
}
