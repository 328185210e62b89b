//! Legs change hands: from a gateway that is gone, by a drain, in doubt. Two gateways, one scripted shard.

use std::{net::SocketAddr, time::Duration};

use gateway::Gateway;
use proto::v1::{Alert, EndCause, Gone, RejectionCode, Yield, command::Kind, order::Want};

use crate::{
    calls::{listen, ring, talk},
    config,
    peer::{Message, Peer},
    ready_gateway,
    shard::Cluster,
    until,
};

/// Short, for nothing is expected.
const A_MOMENT: Duration = Duration::from_millis(300);

async fn second(cluster: &Cluster) -> Gateway {
    let mut config = config(cluster);
    config.id = "g2".to_owned();
    ready_gateway(config).await
}

/// The newest passport of a leg.
fn passport(cluster: &Cluster, call: u64, leg: u32) -> Vec<u8> {
    let of = |kind: &Kind| match kind {
        Kind::AnswerLeg(answer) if (answer.call, answer.leg) == (call, leg) => Some(answer.passport.clone()),
        Kind::ConfirmLeg(confirm) if (confirm.call, confirm.leg) == (call, leg) => Some(confirm.passport.clone()),
        Kind::OfferCall(offer) if (offer.call, 1) == (call, leg) => Some(offer.passport.clone()),
        _ => None,
    };
    cluster.picked(of).into_iter().next_back().expect("a passport was told")
}

/// The far end hears a re-INVITE from elsewhere, and follows.
async fn follow(peer: &mut Peer, to: SocketAddr) -> Message {
    let invite = peer.expect("INVITE").await;
    assert!(invite.contact().contains(&to.to_string()), "{} is not at {to}", invite.contact());
    peer.gateway = to;
    let contact = format!("Contact: <sip:peer@{}>\r\n", peer.address);
    peer.send(&invite.response("200 OK", &contact, &peer.sdp())).await;
    peer.expect("ACK").await;
    invite
}

async fn confirmed(cluster: &Cluster, call: u64, leg: u32, tenure: u32) {
    let of = |kind: &Kind| match kind {
        Kind::ConfirmLeg(c) if (c.call, c.leg, c.tenure) == (call, leg, tenure) => Some(()),
        _ => None,
    };
    cluster.wait("the taken-over leg is confirmed", of).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_talking_call_goes_on_at_another_gateway_and_the_former_one_forgets_it_without_a_word() {
    let cluster = Cluster::start(2).await;
    let first = crate::gateway(&cluster).await;
    let (mut caller, mut agent, call) = talk(&cluster, first.sip(), "moves").await;
    let other = second(&cluster).await;
    let passports = [1, 2].map(|leg| (leg, passport(&cluster, call, leg)));
    cluster.hand_over(call, "g2", &first.sip().to_string(), &passports);
    follow(&mut caller, other.sip()).await;
    follow(&mut agent, other.sip()).await;
    confirmed(&cluster, call, 1, 2).await;
    confirmed(&cluster, call, 2, 2).await;

    // The former one watches anew, and is told nothing of the call: it asks, and hears that it is no longer its own.
    cluster.lead(Some(1));
    let asked =
        |kind: &Kind| matches!(kind, Kind::EndLeg(e) if e.cause() == EndCause::Lost && e.tenure == 1).then_some(());
    until("both legs are asked after", || (cluster.picked(asked).len() == 2).then_some(())).await;
    until("the former one is ready again", || first.is_ready().then_some(())).await;
    caller.expect_none("BYE", A_MOMENT).await;
    agent.expect_none("BYE", A_MOMENT).await;

    // It is controlled and ended through the other one.
    cluster.order(call, 2, Want::Gone(Gone { sip_status: 480, reason: String::new() }));
    let bye = agent.expect("BYE").await;
    agent.send(&bye.response("200 OK", "", "")).await;
    let ended =
        |kind: &Kind| matches!(kind, Kind::EndLeg(e) if (e.call, e.leg, e.tenure) == (call, 2, 2)).then_some(());
    cluster.wait("the end of the leg, told by who has it", ended).await;
    first.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_an_answer_is_answered_by_another_gateway() {
    let cluster = Cluster::start(1).await;
    let first = crate::gateway(&cluster).await;
    let mut caller = Peer::udp(first.sip()).await;
    caller.send(&caller.invite("early", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, Want::Alert(Alert {}));
    let ringing = caller.expect("SIP/2.0 180").await;
    let other = second(&cluster).await;
    cluster.hand_over(offer.call, "g2", &first.sip().to_string(), &[(1, offer.passport.clone())]);
    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    assert!(ok.contact().contains(&other.sip().to_string()), "{}", ok.0);
    assert_eq!(ok.header("To"), ringing.header("To"), "it is the same dialog");
    caller.gateway = other.sip();
    caller.send(&caller.within("ACK", 1, "early", &ok)).await;
    // The former one may have answered as well: the far end is asked once more where it sends its sound.
    follow(&mut caller, other.sip()).await;
    confirmed(&cluster, offer.call, 1, 2).await;
    first.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ringing_of_a_gateway_that_is_gone_is_taken_back_and_rings_again() {
    let cluster = Cluster::start(1).await;
    let first = crate::gateway(&cluster).await;
    let mut caller = Peer::udp(first.sip()).await;
    caller.send(&caller.invite("rings", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, Want::Alert(Alert {}));
    let mut agent = Peer::udp(first.sip()).await;
    let rang = ring(&agent);
    cluster.order(offer.call, 2, rang.clone());
    let invite = agent.expect("INVITE").await;
    agent.send(&invite.response("180 Ringing", "", "")).await;
    let other = second(&cluster).await;
    let Want::Ring(rang) = rang else { panic!("a ring") };
    cluster.hand_over(offer.call, "g2", &first.sip().to_string(), &[(1, offer.passport.clone())]);
    cluster.take_back(offer.call, 2, &first.sip().to_string(), rang.clone());
    cluster.order(offer.call, 3, Want::Ring(rang));
    let cancel = agent.expect("CANCEL").await;
    for name in ["Call-ID", "From", "Via"] {
        assert_eq!(cancel.header(name), invite.header(name), "{name} names the INVITE");
    }
    let again = agent.expect("INVITE").await;
    assert_ne!(again.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(cluster.ended(offer.call, 2).await.cause(), EndCause::Ordered);
    first.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_to_the_wrong_gateway_reaches_the_one_that_has_the_call() {
    let cluster = Cluster::start(1).await;
    let first = crate::gateway(&cluster).await;
    let (mut caller, _agent, call) = talk(&cluster, first.sip(), "astray").await;
    cluster.keep(call, "g1");
    let other = second(&cluster).await;
    let ok = caller.last_ok.clone().expect("an answer");
    caller.gateway = other.sip();
    caller.send(&caller.within("BYE", 2, "astray", &ok)).await;
    let answer = caller.expect("SIP/2.0 200").await;
    assert!(answer.header("CSeq").ends_with("BYE"), "{}", answer.0);
    assert_eq!(answer.headers("Via").len(), 1, "the relay took its Via back");
    assert_eq!(cluster.ended(call, 1).await.cause(), EndCause::Hangup);
    // Nobody has it any more.
    cluster.keep(call, "");
    caller.send(&caller.within("BYE", 3, "astray", &ok)).await;
    caller.expect("SIP/2.0 481").await;
    first.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_asks_another_gateway_as_well_is_answered_by_the_one_that_has_the_call() {
    let cluster = Cluster::start(1).await;
    let first = crate::gateway(&cluster).await;
    let mut caller = Peer::udp(first.sip()).await;
    let invite = caller.invite("twice", "5000");
    caller.send(&invite).await;
    let call = cluster.offered().await.call;
    cluster.order(call, 1, Want::Alert(Alert {}));
    caller.expect("SIP/2.0 180").await;
    cluster.keep(call, "g1");
    let other = second(&cluster).await;
    caller.gateway = other.sip();
    cluster.reject(RejectionCode::WrongState);
    caller.send(&invite.replace("branch=z9hG4bKinvtwice", "branch=z9hG4bKagain")).await;
    let ringing = caller.expect("SIP/2.0 180").await;
    assert!(ringing.header("Via").contains("z9hG4bKagain"), "{}", ringing.0);
    assert_eq!(ringing.headers("Via").len(), 1, "the relay took its Via back");
    cluster.order(call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    assert!(ok.header("Via").contains("z9hG4bKagain") && ok.contact().contains(&first.sip().to_string()), "{}", ok.0);
    caller.send(&caller.within("ACK", 1, "twice", &ok)).await;
    confirmed(&cluster, call, 1, 1).await;
    assert!(cluster.picked(|kind| matches!(kind, Kind::EndLeg(_)).then_some(())).is_empty(), "nothing ended");
    first.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_over_is_refused_and_not_reported() {
    let cluster = Cluster::start(1).await;
    let gateway = crate::gateway(&cluster).await;
    cluster.reject(RejectionCode::WrongState);
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("over", "5000")).await;
    caller.expect("SIP/2.0 481").await;
    assert!(cluster.picked(|kind| matches!(kind, Kind::EndLeg(_)).then_some(())).is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yielded_leg_is_left_alone() {
    let cluster = Cluster::start(1).await;
    let gateway = crate::gateway(&cluster).await;
    let (mut caller, _agent, call) = talk(&cluster, gateway.sip(), "yields").await;
    cluster.whisper("g1", call, 1, Want::Yield(Yield {}));
    cluster.whisper("g1", call, 2, Want::Yield(Yield {}));
    cluster.keep(call, "g2");
    caller.expect_none("BYE", A_MOMENT).await;
    gateway.stop().await;
    caller.expect_none("BYE", A_MOMENT).await;
    assert!(cluster.picked(|kind| matches!(kind, Kind::EndLeg(_)).then_some(())).is_empty(), "nothing ended here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_call_of_which_the_shard_never_speaks_is_let_go() {
    let cluster = Cluster::start(1).await;
    let mut config = config(&cluster);
    config.limits.limbo_ms = 300;
    let gateway = ready_gateway(config).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("limbo", "5000")).await;
    let offer = cluster.offered().await;
    caller.expect("SIP/2.0 503").await;
    let of = |kind: &Kind| {
        matches!(kind, Kind::EndLeg(e) if e.call == offer.call && e.cause() == EndCause::Lost).then_some(())
    };
    assert_eq!(cluster.picked(of).len(), 1, "it was asked after once");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_drained_sends_new_callers_elsewhere_until_that_is_undone() {
    let cluster = Cluster::start(1).await;
    let gateway = crate::gateway(&cluster).await;
    cluster.drain(true);
    let mut caller = Peer::udp(gateway.sip()).await;
    let mut turn = 0;
    let refused = async {
        loop {
            turn += 1;
            let name = format!("late{turn}");
            caller.send(&caller.invite(&name, "5000")).await;
            let answer = caller.expect("SIP/2.0 ").await;
            if answer.0.starts_with("SIP/2.0 503") {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(crate::PATIENCE, refused).await.expect("it is drained at last");
    assert!(!answer.header("Retry-After").is_empty());
    cluster.drain(false);
    let served = async {
        loop {
            turn += 1;
            let name = format!("again{turn}");
            caller.send(&caller.invite(&name, "5000")).await;
            if caller.expect("SIP/2.0 ").await.0.starts_with("SIP/2.0 100") {
                return;
            }
        }
    };
    tokio::time::timeout(crate::PATIENCE, served).await.expect("it serves again at last");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_leader_nobody_is_told_that_a_call_does_not_exist() {
    let cluster = Cluster::start(1).await;
    let first = crate::gateway(&cluster).await;
    let (mut caller, _agent, call) = talk(&cluster, first.sip(), "unsure").await;
    cluster.keep(call, "g1");
    let other = second(&cluster).await;
    let ok = caller.last_ok.clone().expect("an answer");
    caller.gateway = other.sip();
    cluster.lead(None);
    until("the other gateway has no leader", || (!other.is_ready()).then_some(())).await;
    let bye = caller.within("BYE", 2, "unsure", &ok);
    caller.send(&bye).await;
    caller.expect_none("SIP/2.0 481", A_MOMENT).await;
    cluster.lead(Some(0));
    until("there is a leader again", || other.is_ready().then_some(())).await;
    caller.send(&bye).await;
    assert!(caller.expect("SIP/2.0 200").await.header("CSeq").ends_with("BYE"));
    first.stop().await;
    other.stop().await;
}
