//! More comes than can be served; or nobody is there who could.

use std::time::{Duration, Instant};

use gateway::Gateway;
use proto::v1::{self, EndCause, command::Kind};

use crate::{calls::listen, config, operation::get, peer::Peer, ready_gateway, shard::Cluster};

/// Four at once, forty a second; the gateway asks itself now and then, too.
async fn narrow(cluster: &Cluster) -> Gateway {
    let mut config = config(cluster);
    (config.limits.admission.rate_max, config.limits.admission.rate_min) = (40, 40);
    config.lanes = 1;
    ready_gateway(config).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused_at_once_and_calls_that_stand_and_emergencies_are_not() {
    let cluster = Cluster::start(1).await;
    cluster.directory(|view| {
        view.numbers.push(v1::NumberRoute { number: "112".into(), shard: 1 });
        view.emergency = vec!["112".into()];
    });
    let gateway = narrow(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("first", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, "first", &ok)).await;

    for turn in 0..40 {
        caller.send(&caller.invite(&format!("storm{turn}"), "5000")).await;
    }
    let refusal = caller.expect("SIP/2.0 503").await;
    let wait: u32 = refusal.header("Retry-After").parse().unwrap();
    assert!((1..=5).contains(&wait), "{wait}");
    // No dialog and no transaction: its ACK is nobody's.
    let name = refusal.header("Call-ID").trim_end_matches("@test").to_owned();
    caller.send(&caller.ack_refusal(&name, "5000", &refusal)).await;

    caller.send(&caller.invite("help", "112")).await;
    let called = |kind: &Kind| matches!(kind, Kind::OfferCall(offer) if offer.number == "112").then_some(());
    cluster.wait("the emergency call", called).await;
    caller.send(&caller.within("BYE", 2, "first", &ok)).await;
    assert_eq!(cluster.ended(offer.call, 1).await.cause(), EndCause::Hangup);

    let offers = cluster.picked(|kind| matches!(kind, Kind::OfferCall(_)).then_some(())).len();
    assert!(offers < 30, "some were refused before the shard heard of them");
    let text = get(gateway.http().unwrap(), "/metrics").await;
    for line in [r#"admission_total{verdict="refused_rate"}"#, r#"admission_total{verdict="passed_emergency"} 1"#] {
        assert!(text.contains(line), "{line}: {text}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_leader_a_caller_waits_for_the_setup_wait_and_is_refused_then_also_in_doubt() {
    let cluster = Cluster::start(1).await;
    let mut config = config(&cluster);
    // Beyond half a lease: the gateway is in doubt by then.
    config.setup_wait_ms = 2_200;
    let gateway = ready_gateway(config).await;
    cluster.lead(None);
    let mut caller = Peer::udp(gateway.sip()).await;
    let began = Instant::now();
    caller.send(&caller.invite("alone", "5000")).await;
    caller.expect("SIP/2.0 100").await;
    let refusal = caller.expect("SIP/2.0 503").await;
    assert!(!refusal.header("Retry-After").is_empty());
    assert!(began.elapsed() >= Duration::from_millis(2_000), "{:?}", began.elapsed());
    gateway.stop().await;
}
