//! Leaders that change, fall silent and forget; calls go on.

use std::time::{Duration, Instant};

use proto::v1::{EndCause, Gone, Join, RejectionCode, command::Kind, order::Want};

use crate::{
    calls::{answered_agent, listen, ring, talk},
    config, gateway,
    peer::Peer,
    ready_gateway,
    shard::Cluster,
    until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_is_found_and_commands_without_an_answer_go_there_with_the_same_id() {
    let cluster = Cluster::start(3).await;
    let gateway = gateway(&cluster).await;
    let (mut caller, _agent, call) = talk(&cluster, gateway.sip(), "moved").await;
    cluster.mute(true);
    cluster.order(call, 2, Want::Gone(Gone::default()));
    until("the end to be heard once", || heard_ends(&cluster, call, 2).first().copied()).await;
    cluster.lead(None);
    cluster.mute(false);
    cluster.lead(Some(2));
    let began = Instant::now();
    until("the end to be heard by the new leader", || {
        heard_ends(&cluster, call, 2).iter().any(|(node, _)| *node == 2).then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(2));
    let ids: Vec<_> = heard_ends(&cluster, call, 2).into_iter().map(|(_, id)| id).collect();
    assert!(ids.len() >= 2 && ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    caller.expect_none("BYE", Duration::from_millis(300)).await;
    gateway.stop().await;
}

fn heard_ends(cluster: &Cluster, call: u64, leg: u32) -> Vec<(usize, (u64, u64))> {
    let heard = cluster.heard();
    let ends = heard.iter().filter(|(_, submission)| {
        let kind = submission.command.as_ref().and_then(|command| command.kind.as_ref());
        matches!(kind, Some(Kind::EndLeg(end)) if (end.call, end.leg) == (call, leg))
    });
    ends.map(|(node, submission)| (*node, submission.id.map(|id| (id.sender, id.number)).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_waits_while_the_leader_changes_notices_nothing() {
    let cluster = Cluster::start(3).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("waits", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, "waits", &ok)).await;
    cluster.lead(None);
    until("the loss to be noticed", || (!gateway.is_ready()).then_some(())).await;
    cluster.lead(Some(1));
    until("the new leader", || gateway.is_ready().then_some(())).await;
    let mut agent = answered_agent(&cluster, gateway.sip(), offer.call).await;
    cluster.order(offer.call, 1, Want::Join(Join { leg: 2 }));
    cluster.order(offer.call, 2, Want::Join(Join { leg: 1 }));
    caller.expect_none("BYE", Duration::from_millis(200)).await;
    caller.send(&caller.within("BYE", 2, "waits", &ok)).await;
    caller.expect("SIP/2.0 200").await;
    assert_eq!(cluster.ended(offer.call, 1).await.cause(), EndCause::Hangup);
    cluster.order(offer.call, 2, Want::Gone(Gone::default()));
    agent.expect("BYE").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_falls_silent_is_left_for_one_that_speaks() {
    let cluster = Cluster::start(3).await;
    let gateway = gateway(&cluster).await;
    cluster.hush(0);
    let mut caller = Peer::udp(gateway.sip()).await;
    let began = Instant::now();
    caller.send(&caller.invite("silent", "5000")).await;
    until("the offer at the silent leader", || (!cluster.heard().is_empty()).then_some(())).await;
    until("the silence to be noticed", || (!gateway.is_ready()).then_some(())).await;
    cluster.lead(Some(1));
    until("the offer at the new leader", || cluster.heard().iter().any(|(node, _)| *node == 1).then_some(())).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    caller.expect("SIP/2.0 200").await;
    assert_eq!(cluster.picked(|kind| matches!(kind, Kind::OfferCall(_)).then_some(())).len(), 1, "one id");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_never_answers_costs_the_caller_the_setup_wait_and_no_more() {
    let cluster = Cluster::start(1).await;
    let mut config = config(&cluster);
    config.setup_wait_ms = 600;
    let gateway = ready_gateway(config).await;
    cluster.mute(true);
    let mut caller = Peer::udp(gateway.sip()).await;
    let began = Instant::now();
    caller.send(&caller.invite("mute", "5000")).await;
    caller.expect("SIP/2.0 100").await;
    let refusal = caller.expect("SIP/2.0 503").await;
    assert!(!refusal.header("Retry-After").is_empty());
    assert!(began.elapsed() >= Duration::from_millis(500));
    let offer = cluster.offered().await;
    // The shard may yet commit the offer, so it must hear of the end.
    cluster.ended(offer.call, 1).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_left_before_the_offer_was_taken_rings_nobody() {
    let cluster = Cluster::start(1).await;
    let mut config = config(&cluster);
    config.setup_wait_ms = 600;
    let gateway = ready_gateway(config).await;
    cluster.mute(true);
    let mut caller = Peer::udp(gateway.sip()).await;
    let mut agent = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("early", "5000")).await;
    caller.expect("SIP/2.0 503").await;
    let offer = cluster.offered().await;
    cluster.ended(offer.call, 1).await;
    cluster.order(offer.call, 2, ring(&agent));
    assert_eq!(cluster.ended(offer.call, 2).await.cause(), EndCause::Ordered);
    agent.expect_none("INVITE", Duration::from_millis(300)).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_that_the_new_leader_does_not_know_is_ended() {
    let cluster = Cluster::start(2).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("forgotten", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, "forgotten", &ok)).await;
    cluster.forget(offer.call, 1);
    cluster.lead(Some(1));
    let bye = caller.expect("BYE").await;
    caller.send(&bye.response("200 OK", "", "")).await;
    assert_eq!(cluster.ended(offer.call, 1).await.cause(), EndCause::Lost);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_of_an_earlier_life_is_reported_lost_and_a_ring_is_not() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut agent = Peer::udp(gateway.sip()).await;
    cluster.order(77, 1, listen());
    assert_eq!(cluster.ended(77, 1).await.cause(), EndCause::Lost);
    // Of another call, whose caller nobody has said to be gone.
    cluster.order(78, 2, ring(&agent));
    agent.expect("INVITE").await;
    assert!(heard_ends(&cluster, 78, 2).is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_does_not_know_the_gateway_is_attached_to_again_and_the_call_goes_on() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let watches = cluster.watches().len();
    cluster.reject(RejectionCode::UnknownGateway);
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("unknown", "5000")).await;
    until("the second offer", || {
        (cluster.picked(|kind| matches!(kind, Kind::OfferCall(_)).then_some(())).len() == 2).then_some(())
    })
    .await;
    assert!(cluster.watches().len() > watches);
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    caller.expect("SIP/2.0 200").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_who_refused_is_not_rung_again_by_the_next_leader() {
    let cluster = Cluster::start(2).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("refused", "5000")).await;
    let offer = cluster.offered().await;
    let mut agent = Peer::udp(gateway.sip()).await;
    cluster.order(offer.call, 2, ring(&agent));
    let invite = agent.expect("INVITE").await;
    cluster.mute(true);
    agent.send(&invite.response("486 Busy Here", "", "")).await;
    agent.expect("ACK").await;
    until("the end, unanswered", || heard_ends(&cluster, offer.call, 2).first().copied()).await;
    // The next leader's whole set still says that this agent should ring.
    cluster.mute(false);
    cluster.lead(Some(1));
    until("the end at the next leader", || {
        heard_ends(&cluster, offer.call, 2).iter().any(|(node, _)| *node == 1).then_some(())
    })
    .await;
    agent.expect_none("INVITE", Duration::from_millis(300)).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_too_many_commands_wait_new_callers_are_sent_away_at_once() {
    let cluster = Cluster::start(1).await;
    let mut config = config(&cluster);
    config.limits.commands_pending_max = 1;
    let gateway = ready_gateway(config).await;
    cluster.mute(true);
    let mut first = Peer::udp(gateway.sip()).await;
    first.send(&first.invite("first", "5000")).await;
    cluster.offered().await;
    let mut second = Peer::udp(gateway.sip()).await;
    second.send(&second.invite("second", "5000")).await;
    assert!(!second.expect("SIP/2.0 503").await.header("Retry-After").is_empty());
    assert_eq!(cluster.picked(|kind| matches!(kind, Kind::OfferCall(_)).then_some(())).len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_is_refused_and_the_agent_is_hung_up() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    cluster.refuse_answers();
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("late", "5000")).await;
    let offer = cluster.offered().await;
    let mut agent = answered_agent(&cluster, gateway.sip(), offer.call).await;
    let bye = agent.expect("BYE").await;
    agent.send(&bye.response("200 OK", "", "")).await;
    assert_eq!(cluster.ended(offer.call, 2).await.cause(), EndCause::Ordered);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_stream_of_noise_is_closed_and_nobody_else_notices() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut noise = tokio::net::TcpStream::connect(gateway.sip()).await.unwrap();
    noise.write_all(b"INVITE sip:5000@h SIP/2.0\r\nContent-Length: many\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(crate::PATIENCE, noise.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is closed");
    let mut caller = Peer::tcp(gateway.sip()).await;
    caller.send("\r\n\r\n").await;
    caller.send(&caller.invite("after", "5000")).await;
    cluster.offered().await;
    gateway.stop().await;
}
